//! An endpoint that is in: its media, and its ways out.
//!
//! A session has no task of its own: it reads its socket, keeps consent and answers while one of its methods is
//! awaited, and is silent otherwise. Dropped, it vanishes without a word.

use std::collections::VecDeque;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, ensure};
use bytes::Bytes;
use tokio::time::Instant;
use webrtc_srtp::context::Context;
use webrtc_util::marshal::Unmarshal as _;

use super::dtls::{Association, Keys, is_dtls};
use super::ice::{Checks, Credentials, Taken, is_stun};
use super::joining::{JoinError, Joining, Options, Phase, RESEND_CHECK_AFTER, Times, failed};
use super::sdp::Answer;
use super::whip::Resource;
use super::wire::{DATAGRAM_BYTES, Wire};
use crate::crypto;

/// RFC 7675 section 5.1: every 5 seconds, 0.8 to 1.2 times.
const CONSENT_EVERY: Duration = Duration::from_secs(5);

/// The next interval between consent checks.
pub(crate) fn consent_interval() -> Duration {
    CONSENT_EVERY.mul_f64(rand::random_range(0.8..1.2))
}

/// What comes of a session.
#[derive(Clone, Debug)]
pub enum Event {
    /// A packet that opened.
    Rtp(rtp::packet::Packet),
    /// A compound packet that opened.
    Rtcp(Bytes),
    /// Something in the place of RTP or RTCP that did not open, and why.
    Unopened(Bytes, String),
    /// The server has closed the association.
    Closed,
}

/// What [`Session::into_parts`] leaves: enough to go on without an async runtime.
pub struct Parts {
    /// Connected and non-blocking.
    pub socket: Arc<UdpSocket>,
    /// Seals what we send.
    pub seal: Context,
    /// Opens what we get.
    pub open: Context,
    /// Consent.
    pub checks: Checks,
    /// DTLS, for its end.
    pub association: Association,
    /// The session at the server.
    pub resource: Resource,
    /// The answer.
    pub answer: Answer,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("resource", &self.resource.url.as_str()).finish_non_exhaustive()
    }
}

/// An endpoint that is in.
pub struct Session {
    /// The session at the server.
    pub resource: Resource,
    /// The answer.
    pub answer: Answer,
    /// How long the steps took.
    pub times: Times,
    /// SRTP keys.
    pub keys: Keys,
    /// Checks and consent.
    pub checks: Checks,
    association: Association,
    wire: Wire,
    seal: Context,
    open: Context,
    began: Instant,
    next_check: Instant,
    pending: VecDeque<Event>,
    ended: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("resource", &self.resource.url.as_str()).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn begin(joining: Joining, wire: Wire, association: Association, keys: Keys) -> anyhow::Result<Self> {
        Ok(Self {
            seal: crypto::endpoint(&keys.local)?,
            open: crypto::endpoint(&keys.remote)?,
            resource: joining.resource,
            answer: joining.answer,
            checks: joining.checks,
            times: joining.times,
            began: joining.began,
            next_check: Instant::now() + consent_interval(),
            pending: VecDeque::new(),
            ended: false,
            association,
            wire,
            keys,
        })
    }

    /// Offers, checks and shakes hands.
    ///
    /// # Errors
    /// A step failed.
    pub async fn connect(client: &reqwest::Client, url: &str, options: Options) -> Result<Self, JoinError> {
        let mut joining = Joining::post(client, url, options).await?;
        joining.check().await?;
        joining.shake().await
    }

    /// Our socket, connected to the server: for what an honest endpoint would not send.
    #[must_use]
    pub fn socket(&self) -> &UdpSocket {
        self.wire.socket()
    }

    /// The server's certificate in DER.
    #[must_use]
    pub fn server_certificate(&self) -> &[u8] {
        &self.association.certificate
    }

    /// Seals an RTP packet.
    ///
    /// # Errors
    /// It is none.
    pub fn seal_rtp(&mut self, plain: &[u8]) -> anyhow::Result<Bytes> {
        Ok(self.seal.encrypt_rtp(plain)?)
    }

    /// Seals a compound RTCP packet.
    ///
    /// # Errors
    /// It is none.
    pub fn seal_rtcp(&mut self, plain: &[u8]) -> anyhow::Result<Bytes> {
        Ok(self.seal.encrypt_rtcp(plain)?)
    }

    /// Seals and sends an RTP packet.
    ///
    /// # Errors
    /// It is none, or the socket fails.
    pub fn send_rtp(&mut self, plain: &[u8]) -> anyhow::Result<()> {
        let sealed = self.seal_rtp(plain)?;
        Ok(self.wire.send(&sealed)?)
    }

    /// Seals and sends a compound RTCP packet.
    ///
    /// # Errors
    /// It is none, or the socket fails.
    pub fn send_rtcp(&mut self, plain: &[u8]) -> anyhow::Result<()> {
        let sealed = self.seal_rtcp(plain)?;
        Ok(self.wire.send(&sealed)?)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The socket fails.
    pub fn send_raw(&self, datagram: &[u8]) -> anyhow::Result<()> {
        Ok(self.wire.send(datagram)?)
    }

    /// What comes next; none within that time.
    ///
    /// # Errors
    /// The socket fails.
    pub async fn recv(&mut self, within: Duration) -> anyhow::Result<Option<Event>> {
        if let Some(event) = self.pending.pop_front() {
            return Ok(Some(event));
        }
        let deadline = Instant::now() + within;
        loop {
            match self.turn(deadline).await? {
                Turn::Event(event) => return Ok(Some(event)),
                Turn::TimedOut => return Ok(None),
                Turn::Nothing => {}
            }
        }
    }

    /// Waits for an RTP packet, and notes how long the first took; what else comes meanwhile is dropped.
    ///
    /// # Errors
    /// None comes within that time, or the socket fails.
    pub async fn recv_rtp(&mut self, within: Duration) -> Result<rtp::packet::Packet, JoinError> {
        let deadline = Instant::now() + within;
        let missing = || anyhow!("no RTP within {within:?}");
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            match self.recv(rest).await.map_err(failed(Phase::FirstRtp))? {
                Some(Event::Rtp(packet)) => return Ok(packet),
                Some(Event::Closed) => return Err(failed(Phase::FirstRtp)(anyhow!("the server has closed"))),
                Some(_) => {}
                None => return Err(failed(Phase::FirstRtp)(missing())),
            }
        }
    }

    /// Restarts ICE (RFC 8445 section 9): new credentials on both sides, then checks with them on the same socket.
    ///
    /// # Errors
    /// The server refuses or does not answer.
    pub async fn restart_ice(&mut self, within: Duration) -> anyhow::Result<()> {
        let local = Credentials::random();
        let remote = self.resource.restart_ice(&local).await?;
        self.checks = Checks::new(local, remote);
        let deadline = Instant::now() + within;
        while self.checks.answered == 0 {
            self.wire.send(&self.checks.request()?)?;
            let again = (Instant::now() + RESEND_CHECK_AFTER).min(deadline);
            while self.checks.answered == 0 {
                match self.turn(again).await? {
                    Turn::Event(event) => self.pending.push_back(event),
                    Turn::TimedOut => break,
                    Turn::Nothing => {}
                }
            }
            ensure!(self.checks.answered > 0 || Instant::now() < deadline, "no answer within {within:?}");
        }
        Ok(())
    }

    /// Leaves as it should: the session is deleted, and the association closed. (The other way round, the server may
    /// have ended the session by itself before it is asked to.)
    ///
    /// # Errors
    /// The server does not know the session any more, or does not answer.
    pub async fn leave(self) -> anyhow::Result<()> {
        let deleted = self.resource.delete().await;
        self.association.close().await;
        deleted
    }

    /// Closes the association (`close_notify`) and no more.
    pub async fn close_dtls(&self) {
        self.association.close().await;
    }

    /// Takes the session apart, for a caller who reads the socket without a runtime.
    #[must_use]
    pub fn into_parts(self) -> Parts {
        Parts {
            socket: self.wire.into_socket(),
            seal: self.seal,
            open: self.open,
            checks: self.checks,
            association: self.association,
            resource: self.resource,
            answer: self.answer,
        }
    }

    async fn turn(&mut self, deadline: Instant) -> anyhow::Result<Turn> {
        let mut buffer = [0; DATAGRAM_BYTES];
        tokio::select! {
            read = self.wire.recv(&mut buffer) => {
                let len = read?;
                self.take(&buffer[..len])
            }
            () = self.association.ended(), if !self.ended => {
                self.ended = true;
                Ok(Turn::Event(Event::Closed))
            }
            () = tokio::time::sleep_until(self.next_check) => {
                self.wire.send(&self.checks.request()?)?;
                self.next_check = Instant::now() + consent_interval();
                Ok(Turn::Nothing)
            }
            () = tokio::time::sleep_until(deadline) => Ok(Turn::TimedOut),
        }
    }

    fn take(&mut self, datagram: &[u8]) -> anyhow::Result<Turn> {
        if is_dtls(datagram) {
            self.association.feed.take(datagram);
            return Ok(Turn::Nothing);
        }
        if is_stun(datagram) {
            if let Taken::Request(answer) = self.checks.take(datagram, self.wire.remote) {
                self.wire.send(&answer)?;
            }
            return Ok(Turn::Nothing);
        }
        // RFC 5761 section 4: these second bytes are RTCP's.
        let event = if matches!(datagram.get(1), Some(192..=223)) {
            self.open.decrypt_rtcp(datagram).map(Event::Rtcp).map_err(|error| error.to_string())
        } else {
            self.open_rtp(datagram).map(Event::Rtp).map_err(|error| error.to_string())
        };
        let event = event.unwrap_or_else(|why| Event::Unopened(Bytes::copy_from_slice(datagram), why));
        Ok(Turn::Event(event))
    }

    fn open_rtp(&mut self, datagram: &[u8]) -> anyhow::Result<rtp::packet::Packet> {
        let plain = self.open.decrypt_rtp(datagram)?;
        let packet = rtp::packet::Packet::unmarshal(&mut plain.as_ref())?;
        if self.times.first_rtp.is_none() {
            let total = self.began.elapsed();
            self.times.first_rtp = Some(total.saturating_sub(self.times.total));
            self.times.total = total;
        }
        Ok(packet)
    }
}

enum Turn {
    Event(Event),
    Nothing,
    TimedOut,
}
