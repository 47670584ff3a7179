//! WHIP and WHEP: publishing and watching by one HTTP request each.

pub(crate) mod endpoints;
pub(crate) mod layers;
pub(crate) mod sessions;
