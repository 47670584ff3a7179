//! What a client has been offered and has not answered.

use std::time::Duration;

use tokio::time::Instant;

/// Offers that a client may not have answered at a time; further ones wait.
pub(super) const MAX_OFFERS: usize = 64;
/// Producers, and data producers, that a client is to be offered; a client that has no transport to receive on is
/// offered the newest of them when it has one.
pub(super) const MAX_WISHES: usize = 16_384;
/// Requests' ids are below this (protoo's).
pub(super) const IDS: u64 = 10_000_000;

/// What a client has been offered.
#[derive(Clone, Debug)]
pub(super) enum Offered {
    Media(String),
    Data(String),
}

/// An offer that is not answered yet.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) what: Offered,
    pub(super) until: Instant,
}

/// How long an answer may take, the longer the more are asked for (protoo-server's).
pub(super) fn patience(pending: usize) -> Duration {
    Duration::from_millis(2_000 * 15 + 200 * u64::try_from(pending).unwrap_or(u64::MAX))
}
