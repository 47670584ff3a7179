//! An endpoint's way in: offer, checks, handshake, each of which can be taken alone.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use tokio::time::Instant;

use super::dtls::{Handshake, Terms};
use super::ice::{Checks, Credentials, Taken};
use super::identity::Identity;
use super::sdp::{Answer, Media, Offer, Setup};
use super::session::Session;
use super::whip::{self, Resource};
use super::wire::{DATAGRAM_BYTES, Wire, feed_all};

/// First time after which a check is sent again; doubled each time (RFC 8489 section 6.2.1).
pub(super) const RESEND_CHECK_AFTER: Duration = Duration::from_millis(100);

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
    /// What it was at.
    pub phase: Phase,
    /// Why it failed; holds a [`whip::Refused`] where the server has said why.
    pub reason: anyhow::Error,
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
    /// The certificate that it shows.
    pub identity: Arc<Identity>,
    /// What the offer says instead of that certificate's fingerprint.
    pub fingerprint: Option<String>,
    /// Bearer token.
    pub token: Option<String>,
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
            identity: Arc::clone(identity),
            fingerprint: None,
            token: None,
            setup: Setup::ActPass,
            terms: Terms::default(),
            check_fingerprint: true,
            bind: None,
            ice_within: Duration::from_secs(10),
        }
    }
}

/// An endpoint whose offer was answered.
pub struct Joining {
    options: Options,
    /// The session at the server.
    pub resource: Resource,
    /// The answer.
    pub answer: Answer,
    /// The answer as it was sent.
    pub answer_text: String,
    /// Checks: their credentials may be changed.
    pub checks: Checks,
    pub(super) began: Instant,
    pub(super) times: Times,
    wire: Option<Wire>,
}

impl std::fmt::Debug for Joining {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Joining").field("resource", &self.resource.url.as_str()).finish_non_exhaustive()
    }
}

pub(super) fn failed(phase: Phase) -> impl Fn(anyhow::Error) -> JoinError {
    move |reason| JoinError { phase, reason }
}

impl Joining {
    /// Posts an offer to a WHIP or WHEP endpoint.
    ///
    /// # Errors
    /// The server refuses, or its answer is none.
    pub async fn post(client: &reqwest::Client, url: &str, options: Options) -> Result<Self, JoinError> {
        let began = Instant::now();
        let local = Credentials::random();
        let truth = options.identity.fingerprint();
        let offer = Offer {
            ice: &local,
            fingerprint: options.fingerprint.as_deref().unwrap_or(&truth),
            setup: options.setup,
            media: &options.media,
        };
        let posted = whip::post(client, url, options.token.as_deref(), offer.to_text()).await;
        let (resource, answer_text) = posted.map_err(failed(Phase::Http))?;
        let answer = Answer::parse(&answer_text).map_err(failed(Phase::Http))?;
        let times = Times { http: began.elapsed(), total: began.elapsed(), ..Times::default() };
        let checks = Checks::new(local, answer.ice.clone());
        Ok(Self { options, resource, answer, answer_text, checks, began, times, wire: None })
    }

    /// Takes an address of the server without checking it: [`Self::shake`] then speaks out of turn.
    ///
    /// # Errors
    /// No socket is to be had.
    pub fn take_unchecked(&mut self, remote: SocketAddr) -> io::Result<()> {
        self.wire = Some(Wire::open(self.options.bind, remote)?);
        Ok(())
    }

    /// Where the checks go, or have gone.
    #[must_use]
    pub fn remote(&self) -> Option<SocketAddr> {
        self.wire.as_ref().map(|wire| wire.remote)
    }

    /// Checks the server's candidates in the order of their priority until one answers.
    ///
    /// # Errors
    /// None answers, or the server refuses.
    pub async fn check(&mut self) -> Result<(), JoinError> {
        let began = Instant::now();
        let candidates = self.answer.udp.clone();
        let mut result = Err(anyhow!("the answer has no candidate on UDP"));
        let share = self.options.ice_within / u32::try_from(candidates.len().max(1)).unwrap_or(1);
        for remote in candidates {
            let checked = match Wire::open(self.options.bind, remote) {
                Ok(wire) => check(&wire, &mut self.checks, share).await.map(|()| wire),
                Err(error) => Err(error.into()),
            };
            match checked.with_context(|| remote.to_string()) {
                Ok(wire) => {
                    self.wire = Some(wire);
                    (self.times.ice, self.times.total) = (began.elapsed(), self.began.elapsed());
                    return Ok(());
                }
                Err(error) => result = Err(error),
            }
        }
        result.map_err(failed(Phase::Ice))
    }

    /// Shakes hands over the address that was checked.
    ///
    /// # Errors
    /// It fails, or ends without SRTP keys.
    pub async fn shake(self) -> Result<Session, JoinError> {
        self.shaken().await.map_err(failed(Phase::Dtls))
    }

    async fn shaken(mut self) -> anyhow::Result<Session> {
        let wire = self.wire.take().context("no address was checked")?;
        let began = Instant::now();
        let client = self.answer.setup == Setup::Passive;
        let fingerprints: &[String] = if self.options.check_fingerprint { &self.answer.fingerprints } else { &[] };
        ensure!(!self.options.check_fingerprint || !fingerprints.is_empty(), "the answer has no fingerprint");
        let handshake = Handshake::over(Arc::clone(wire.socket()));
        let feed = handshake.feed();
        let association = tokio::select! {
            done = handshake.shake(&self.options.identity, client, &self.options.terms, fingerprints) => done?,
            failed = feed_all(&wire, &mut self.checks, &feed) => match failed.context("socket")? {},
        };
        let keys = association.keys.clone().context("no SRTP profile was chosen")?;
        (self.times.dtls, self.times.total) = (began.elapsed(), self.began.elapsed());
        Session::begin(self, wire, association, keys)
    }
}

/// Sends checks until one is answered.
async fn check(wire: &Wire, checks: &mut Checks, within: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + within;
    let (mut wait, mut buffer) = (RESEND_CHECK_AFTER, [0; DATAGRAM_BYTES]);
    loop {
        wire.send(&checks.request()?)?;
        let again = (Instant::now() + wait).min(deadline);
        while let Ok(len) = tokio::time::timeout_at(again, wire.recv(&mut buffer)).await {
            match checks.take(&buffer[..len?], wire.remote) {
                Taken::Answered(_) => return Ok(()),
                Taken::Refused(code) => bail!("refused with {code}"),
                Taken::Request(answer) => wire.send(&answer)?,
                Taken::Ignored => {}
            }
        }
        ensure!(Instant::now() < deadline, "no answer within {within:?}");
        wait *= 2;
    }
}
