//! What operators see and decide: the status page, counters as JSON, health, and who may use what.

pub(crate) mod access;
pub(crate) mod stats;
pub(crate) mod status;
