//! An endpoint's way in: offer, checks, handshake, each of which can be taken alone.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use tokio::time::Instant;

use super::dtls::Handshake;
use super::ice::{CheckEvent, Checks, Credentials, RESEND_CHECK_AFTER};
use super::options::{JoinError, Options, Phase, Times, failed};
use super::sdp::{Answer, Offer, Setup};
use super::session::{Connected, Session};
use super::whip::{self, Resource};
use super::wire::{DATAGRAM_BYTES, Wire, feed_all};

/// An endpoint whose offer was answered.
pub struct Joining {
    options: Options,
    /// The session at the server.
    pub(super) resource: Resource,
    answer: Answer,
    /// Checks: their credentials may be changed.
    pub(super) checks: Checks,
    began: Instant,
    times: Times,
    wire: Option<Wire>,
}

impl std::fmt::Debug for Joining {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Joining").field("resource", &self.resource.url.as_str()).finish_non_exhaustive()
    }
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
            data: options.data,
        };
        let posted = whip::post(client, url, &options, offer.to_text()).await;
        let (resource, answer_text) = posted.map_err(failed(Phase::Http))?;
        let answer = Answer::parse(&answer_text).map_err(failed(Phase::Http))?;
        let times = Times { http: began.elapsed(), total: began.elapsed(), ..Times::default() };
        let checks = Checks::new(local, answer.ice.clone());
        Ok(Self { options, resource, answer, checks, began, times, wire: None })
    }

    /// Takes what another signaling has told of a transport; `url` names it.
    #[must_use]
    pub fn over(url: reqwest::Url, answer: Answer, options: Options) -> Self {
        let checks = Checks::new(Credentials::random(), answer.ice.clone());
        let resource = Resource::elsewhere(url);
        Self { options, resource, answer, checks, began: Instant::now(), times: Times::default(), wire: None }
    }

    /// Takes an address of the server without checking it: [`Self::shake`] then speaks out of turn.
    ///
    /// # Errors
    /// No socket is to be had.
    pub fn take_unchecked(&mut self, remote: SocketAddr) -> io::Result<()> {
        self.wire = Some(Wire::open(self.options.bind, remote)?);
        Ok(())
    }

    /// What the server has answered.
    #[must_use]
    pub const fn answer(&self) -> &Answer {
        &self.answer
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
        let Self { resource, answer, checks, times, began, .. } = self;
        Session::begin(Connected { resource, answer, checks, association, wire }, keys, times, began)
    }
}

/// Offers, checks and shakes hands.
///
/// # Errors
/// A step failed.
pub async fn join(client: &reqwest::Client, url: &str, options: Options) -> Result<Session, JoinError> {
    let mut joining = Joining::post(client, url, options).await?;
    joining.check().await?;
    joining.shake().await
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
                CheckEvent::Answered(_) => return Ok(()),
                CheckEvent::Refused(code) => bail!("refused with {code}"),
                CheckEvent::Request(answer) => wire.send(&answer)?,
                CheckEvent::Ignored => {}
            }
        }
        ensure!(Instant::now() < deadline, "no answer within {within:?}");
        wait *= 2;
    }
}
