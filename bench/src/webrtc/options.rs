//! What an endpoint wants of a session, and how joining went: plain values.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::dtls::Terms;
use super::identity::Identity;
use super::sdp::{Media, Setup};

/// A step of joining.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Offer and answer.
    Http,
    /// Connectivity checks.
    Ice,
    /// The handshake.
    Dtls,
    /// Waiting for media.
    FirstRtp,
}

/// Why an endpoint is not in.
#[derive(Debug, thiserror::Error)]
#[error("{phase:?}: {reason:#}")]
pub struct JoinError {
    /// The step that failed.
    pub(super) phase: Phase,
    /// Why it failed; holds a [`Refused`](super::whip::Refused) if the server has said why.
    pub(super) reason: anyhow::Error,
}

impl JoinError {
    /// This step failed for this reason.
    #[must_use]
    pub const fn new(phase: Phase, reason: anyhow::Error) -> Self {
        Self { phase, reason }
    }
}

/// Makes a reason the error of a step.
pub(super) fn failed(phase: Phase) -> impl Fn(anyhow::Error) -> JoinError {
    move |reason| JoinError::new(phase, reason)
}

/// How long the steps took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// From sending the offer to having read the answer.
    pub http: Duration,
    /// From the first check to its answer.
    pub ice: Duration,
    /// From ClientHello to Finished.
    pub dtls: Duration,
    /// From there to the first RTP packet that opens.
    pub first_rtp: Option<Duration>,
    /// From sending the offer to the last of these.
    pub total: Duration,
}

/// What an endpoint wants, and what it says of itself.
#[derive(Clone, Debug)]
pub struct Options {
    /// Sections of the offer.
    pub media: Vec<Media>,
    /// Behind them one for data channels.
    pub data: bool,
    /// The certificate that it shows.
    pub identity: Arc<Identity>,
    /// What the offer says instead of that certificate's fingerprint.
    pub fingerprint: Option<String>,
    /// Bearer token.
    pub token: Option<String>,
    /// URL of a session whose place the new one takes.
    pub replaces: Option<String>,
    /// Who begins the handshake.
    pub setup: Setup,
    /// How the handshake is to go.
    pub terms: Terms,
    /// Whether the server's certificate must be the one that its answer names.
    pub check_fingerprint: bool,
    /// Local address; by default the system's choice.
    pub bind: Option<IpAddr>,
    /// Time that the checks may take, over all candidates.
    pub ice_within: Duration,
}

impl Options {
    /// An honest endpoint.
    #[must_use]
    pub fn new(identity: &Arc<Identity>, media: Vec<Media>) -> Self {
        Self {
            media,
            data: false,
            identity: Arc::clone(identity),
            fingerprint: None,
            token: None,
            replaces: None,
            setup: Setup::ActPass,
            terms: Terms::default(),
            check_fingerprint: true,
            bind: None,
            ice_within: Duration::from_secs(10),
        }
    }
}
