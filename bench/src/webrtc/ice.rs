//! ICE as a full, controlling agent with one pair: connectivity and consent checks (RFC 8445, RFC 7675) towards an
//! ICE-lite server. Builds and reads STUN messages (RFC 8489, crate `stun`); knows no sockets.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rand::distr::{Alphanumeric, SampleString as _};
use stun::agent::TransactionId;
use stun::attributes::{
    ATTR_ICE_CONTROLLED, ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME, AttrType,
};
use stun::error_code::ErrorCodeAttribute;
use stun::fingerprint::FINGERPRINT;
use stun::integrity::MessageIntegrity;
use stun::message::{BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, Getter as _, Message, MessageType, Setter as _};
use stun::xoraddr::XorMappedAddress;

/// `ice-ufrag` and `ice-pwd` of one side (RFC 8839 section 5.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Says whose a check is.
    pub ufrag: String,
    /// Key of its integrity.
    pub password: String,
}

impl Credentials {
    /// Random ones, as long as browsers' are.
    #[must_use]
    pub fn random() -> Self {
        let mut rng = rand::rng();
        Self { ufrag: Alphanumeric.sample_string(&mut rng, 8), password: Alphanumeric.sample_string(&mut rng, 24) }
    }
}

/// Priority of our only candidate, a host on UDP (RFC 8445 section 5.1.2.1).
const PRIORITY: u32 = 126 << 24 | 65_535 << 8 | 255;
/// First time after which a check is sent again; doubled each time (RFC 8489 section 6.2.1).
pub(super) const RESEND_CHECK_AFTER: Duration = Duration::from_millis(100);
/// Requests whose answers are still awaited; older ones are forgotten.
const MAX_OUTSTANDING: usize = 16;
/// A request whose answer has not come for so long was lost, or its answer was: one that is late by less is no loss.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// What a STUN message means to the checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckEvent {
    /// The other side answered a request of ours; it sees us at this address.
    Answered(SocketAddr),
    /// It answered with this error code.
    Refused(u16),
    /// It asks; this is our answer.
    Request(Vec<u8>),
    /// No STUN, an answer to nothing, or not authentic.
    Ignored,
}

/// Checks on one pair.
#[derive(Debug)]
pub struct Checks {
    /// Our credentials.
    pub(super) local: Credentials,
    /// The other side's credentials.
    pub(super) remote: Credentials,
    /// Requests that were made.
    pub(super) asked: u64,
    /// Requests that were answered with success.
    pub(super) answered: u64,
    tie_breaker: u64,
    outstanding: VecDeque<(TransactionId, Instant)>,
    /// Requests that are no longer awaited.
    lost: u64,
}

/// Whether a datagram is STUN's (RFC 7983 section 7).
#[must_use]
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|byte| *byte < 4)
}

fn sealed(message: &mut Message, password: &str) -> anyhow::Result<()> {
    MessageIntegrity::new_short_term_integrity(password.to_owned()).add_to(message)?;
    Ok(FINGERPRINT.add_to(message)?)
}

/// A binding request under any credentials, with attributes of the caller's: what honest and forged checks are made of.
///
/// # Errors
/// The crate refuses.
pub fn binding_request(username: &str, password: &str, attributes: &[(AttrType, &[u8])]) -> anyhow::Result<Message> {
    let mut message = begin(BINDING_REQUEST, TransactionId::new());
    message.add(ATTR_USERNAME, username.as_bytes());
    for (name, value) in attributes {
        message.add(*name, value);
    }
    sealed(&mut message, password).context("STUN request")?;
    Ok(message)
}

fn begin(kind: MessageType, transaction_id: TransactionId) -> Message {
    let mut message = Message::new();
    (message.typ, message.transaction_id) = (kind, transaction_id);
    message.write_header();
    message
}

impl Checks {
    /// Checks of the pair of these two sides.
    #[must_use]
    pub fn new(local: Credentials, remote: Credentials) -> Self {
        let (tie_breaker, outstanding) = (rand::random(), VecDeque::new());
        Self { local, remote, asked: 0, answered: 0, tie_breaker, outstanding, lost: 0 }
    }

    /// Requests that were not answered in time.
    pub(super) fn lost(&self) -> u64 {
        let late = self.outstanding.iter().filter(|(_, asked_at)| asked_at.elapsed() >= ANSWERED_WITHIN);
        self.lost + late.count() as u64
    }

    /// The next check. It nominates the pair at once, as aggressive nomination does: there is only one.
    ///
    /// # Errors
    /// The crate refuses.
    pub fn request(&mut self) -> anyhow::Result<Vec<u8>> {
        let username = format!("{}:{}", self.remote.ufrag, self.local.ufrag);
        let (priority, tie_breaker) = (PRIORITY.to_be_bytes(), self.tie_breaker.to_be_bytes());
        let attributes: [(AttrType, &[u8]); 3] =
            [(ATTR_PRIORITY, &priority), (ATTR_ICE_CONTROLLING, &tie_breaker), (ATTR_USE_CANDIDATE, &[])];
        let message = binding_request(&username, &self.remote.password, &attributes)?;
        if self.outstanding.len() == MAX_OUTSTANDING {
            self.outstanding.pop_front();
            self.lost += 1;
        }
        self.outstanding.push_back((message.transaction_id, Instant::now()));
        self.asked += 1;
        Ok(message.raw)
    }

    /// Takes a datagram in.
    pub fn take(&mut self, datagram: &[u8], from: SocketAddr) -> CheckEvent {
        let mut message = Message::new();
        if !is_stun(datagram) || message.unmarshal_binary(datagram).is_err() {
            return CheckEvent::Ignored;
        }
        match message.typ {
            BINDING_SUCCESS => self.answer(&mut message).map_or(CheckEvent::Ignored, CheckEvent::Answered),
            BINDING_ERROR if self.forget(message.transaction_id) => {
                let mut error = ErrorCodeAttribute::default();
                error.get_from(&message).map_or(CheckEvent::Ignored, |()| CheckEvent::Refused(error.code.0))
            }
            BINDING_REQUEST => {
                respond(&mut message, &self.local.password, from).map_or(CheckEvent::Ignored, CheckEvent::Request)
            }
            _ => CheckEvent::Ignored,
        }
    }

    fn forget(&mut self, transaction_id: TransactionId) -> bool {
        let found = self.outstanding.iter().position(|(outstanding, _)| *outstanding == transaction_id);
        found.is_some_and(|index| self.outstanding.remove(index).is_some())
    }

    /// RFC 8445 section 7.2.5.2: an answer counts if it is ours and authentic under their password.
    fn answer(&mut self, message: &mut Message) -> Option<SocketAddr> {
        MessageIntegrity::new_short_term_integrity(self.remote.password.clone()).check(message).ok()?;
        FINGERPRINT.check(message).ok()?;
        let mut mapped = XorMappedAddress::default();
        mapped.get_from(message).ok()?;
        self.forget(message.transaction_id).then_some(())?;
        self.answered += 1;
        Some(SocketAddr::new(mapped.ip, mapped.port))
    }
}

/// The answer to a request that is authentic under `password` (RFC 8445 section 7.3.1).
///
/// # Errors
/// It is not.
pub fn respond(request: &mut Message, password: &str, from: SocketAddr) -> anyhow::Result<Vec<u8>> {
    FINGERPRINT.check(request)?;
    MessageIntegrity::new_short_term_integrity(password.to_owned()).check(request)?;
    anyhow::ensure!(!request.contains(ATTR_ICE_CONTROLLED) || !request.contains(ATTR_ICE_CONTROLLING), "two roles");
    let mut answer = begin(BINDING_SUCCESS, request.transaction_id);
    XorMappedAddress { ip: from.ip(), port: from.port() }.add_to(&mut answer)?;
    sealed(&mut answer, password)?;
    Ok(answer.raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from() -> SocketAddr {
        "127.0.0.1:5000".parse().expect("an address")
    }

    fn pair() -> (Checks, Checks) {
        let (ours, theirs) = (Credentials::random(), Credentials::random());
        (Checks::new(ours.clone(), theirs.clone()), Checks::new(theirs, ours))
    }

    #[test]
    fn a_check_is_answered_once() {
        let (mut asks, mut answers) = pair();
        let request = asks.request().expect("made");
        let CheckEvent::Request(answer) = answers.take(&request, from()) else { panic!("not answered") };
        assert_eq!(asks.take(&answer, from()), CheckEvent::Answered(from()));
        assert_eq!(asks.take(&answer, from()), CheckEvent::Ignored, "the same answer again");
        assert_eq!((asks.asked, asks.answered), (1, 1));
    }

    #[test]
    fn what_is_not_authentic_is_ignored() {
        let (mut asks, mut answers) = pair();
        let request = asks.request().expect("made");
        let CheckEvent::Request(answer) = answers.take(&request, from()) else { panic!("not answered") };
        for at in [8, 30, request.len() - 1] {
            let mut changed = request.clone();
            changed[at] ^= 1;
            assert_eq!(answers.take(&changed, from()), CheckEvent::Ignored, "byte {at} of the request");
        }
        for at in [8, 27, answer.len() - 1] {
            let mut changed = answer.clone();
            changed[at] ^= 1;
            assert_eq!(asks.take(&changed, from()), CheckEvent::Ignored, "byte {at} of the answer");
        }
        assert_eq!(asks.take(&[0x80; 40], from()), CheckEvent::Ignored);
    }
}
