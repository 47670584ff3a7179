//! One valid path: when the other side last used it, and what shows that the other side gets what we send along it.
//!
//! A check proves that its sender knows the password, not that the sender is at the address from which the check says
//! that it came: a session's owner can write another's address into it. So what leaves along a path that nothing but
//! checks has come along is at most three times what came (RFC 9000 section 8.1).

use std::time::Duration;

use corecast_wire::IceProtocol;

use crate::io::Path;
use crate::time::Instant;

/// Times the bytes that came which may leave along a path without proof (RFC 9000 section 8.1).
const AMPLIFICATION: u64 = 3;
/// How long media goes along a path that packets have proved while no further packet comes. Receivers send reports once
/// a second, or once in 5 s (7.5 s at most, RFC 3550 section 6.2) about sound alone.
pub(super) const PROOF_AGE: Duration = Duration::from_secs(30);

/// What shows that the other side receives along a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing: checks alone have come.
    None,
    /// Authenticated SRTP, SRTCP or DTLS. Holds while such packets go on coming in answer to media.
    Packets,
    /// A DTLS handshake, whose last flight nobody can write who has not received ours; or the handshake of TCP.
    Handshake,
}

/// A path that a check has validated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tuple {
    pub(super) path: Path,
    pub(super) protocol: IceProtocol,
    pub(super) priority: u32,
    /// When an authenticated check or packet came along it.
    pub(super) alive: Instant,
    proof: Proof,
    /// Bytes that came while there was no proof, and bytes that left.
    received: u64,
    sent: u64,
    /// Since when media has left that no authenticated packet has followed.
    unanswered: Option<Instant>,
}

impl Tuple {
    pub(super) const fn new(path: Path, protocol: IceProtocol, priority: u32, now: Instant) -> Self {
        let proof = match protocol {
            IceProtocol::Udp => Proof::None,
            IceProtocol::Tcp => Proof::Handshake,
        };
        Self { path, protocol, priority, alive: now, proof, received: 0, sent: 0, unanswered: None }
    }

    pub(super) fn is_proven(&self) -> bool {
        self.proof != Proof::None
    }

    /// Whether it is proven, and the other side has used it lately.
    pub(super) fn is_of_use(&self, now: Instant) -> bool {
        self.is_proven() && now.since(self.alive) <= PROOF_AGE
    }

    /// The other side has shown that it receives along this path.
    pub(super) fn prove(&mut self, proof: Proof) {
        if self.proof != Proof::Handshake {
            self.proof = proof;
        }
        self.unanswered = None;
    }

    /// A check or a part of a handshake has come, and an answer left at once. If that is not longer than its question,
    /// then it amplifies nothing.
    pub(super) const fn count_received(&mut self, bytes: usize, answer: usize) {
        self.received += bytes as u64;
        self.sent += answer.saturating_sub(bytes) as u64;
    }

    /// Whether so many bytes may leave along it.
    pub(super) fn may_send(&self, bytes: usize) -> bool {
        self.is_proven() || self.sent + bytes as u64 <= AMPLIFICATION * self.received
    }

    /// The same. If they may, they are counted.
    pub(super) fn spend(&mut self, bytes: usize) -> bool {
        let may = self.may_send(bytes);
        if may {
            self.sent += bytes as u64;
        }
        may
    }

    /// Media has left along it. Packets prove a path for as long as they go on coming in answer to media.
    pub(super) fn record_media(&mut self, now: Instant) {
        let since = *self.unanswered.get_or_insert(now);
        if self.proof == Proof::Packets && now.since(since) > PROOF_AGE {
            self.proof = Proof::None;
            (self.received, self.sent, self.unanswered) = (0, 0, None);
        }
    }
}
