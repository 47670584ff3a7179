//! What all ways of signaling by HTTP share.

pub(crate) mod origins;
pub(crate) mod rates;
