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

use super::capture::Capture;
use super::dtls::{Association, Keys, is_dtls};
use super::ice::{CheckEvent, Checks, Credentials, RESEND_CHECK_AFTER, is_stun};
use super::options::{JoinError, Phase, Times, failed};
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
    pub(super) socket: Arc<UdpSocket>,
    /// Seals what we send.
    pub(super) seal: Context,
    /// Opens what we get.
    pub(super) open: Context,
    /// Consent.
    pub(super) checks: Checks,
    /// DTLS, for its end.
    pub(super) association: Association,
    /// The session at the server.
    pub(super) resource: Resource,
    /// The header extension by which packets are numbered over the whole transport, if they are.
    pub(super) transport_cc: Option<u8>,
    /// Payload type of retransmissions, if there are any.
    pub(super) rtx: Option<u8>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("resource", &self.resource.url.as_str()).finish_non_exhaustive()
    }
}

/// What the steps of joining have made.
pub(super) struct Connected {
    pub(super) resource: Resource,
    pub(super) answer: Answer,
    pub(super) checks: Checks,
    pub(super) association: Association,
    pub(super) wire: Wire,
}

/// An endpoint that is in.
pub struct Session {
    /// The session at the server.
    pub(super) resource: Resource,
    answer: Answer,
    times: Times,
    keys: Keys,
    /// Checks and consent.
    pub(super) checks: Checks,
    association: Association,
    wire: Wire,
    seal: Context,
    open: Context,
    began: Instant,
    next_check: Instant,
    pending: VecDeque<Event>,
    ended: bool,
    capture: Option<Capture>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("resource", &self.resource.url.as_str()).finish_non_exhaustive()
    }
}

impl Session {
    /// `began` is when the offer was sent.
    pub(super) fn begin(connected: Connected, keys: Keys, times: Times, began: Instant) -> anyhow::Result<Self> {
        let Connected { resource, answer, checks, association, wire } = connected;
        Ok(Self {
            seal: crypto::endpoint(&keys.local)?,
            open: crypto::endpoint(&keys.remote)?,
            resource,
            answer,
            checks,
            times,
            began,
            next_check: Instant::now() + consent_interval(),
            pending: VecDeque::new(),
            ended: false,
            capture: None,
            association,
            wire,
            keys,
        })
    }

    /// Where the session is.
    #[must_use]
    pub fn url(&self) -> &str {
        self.resource.url.as_str()
    }

    /// The server's answer.
    #[must_use]
    pub const fn answer(&self) -> &Answer {
        &self.answer
    }

    /// How long the steps took.
    #[must_use]
    pub const fn times(&self) -> Times {
        self.times
    }

    /// SRTP keys.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The server's user name fragment.
    #[must_use]
    pub fn remote_ufrag(&self) -> &str {
        &self.checks.remote.ufrag
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

    /// Checks the path at once, and not only when consent asks for it.
    ///
    /// # Errors
    /// The socket fails.
    pub fn check(&mut self) -> anyhow::Result<()> {
        Ok(self.wire.send(&self.checks.request()?)?)
    }

    /// Checks of ours that the server has answered, since the session began or ICE was restarted.
    #[must_use]
    pub const fn checks_answered(&self) -> u64 {
        self.checks.answered
    }

    /// Seals an RTP packet.
    ///
    /// # Errors
    /// The bytes are no packet.
    pub fn seal_rtp(&mut self, plain: &[u8]) -> anyhow::Result<Bytes> {
        Ok(self.seal.encrypt_rtp(plain)?)
    }

    /// Seals a compound RTCP packet.
    ///
    /// # Errors
    /// The bytes are no packet.
    pub fn seal_rtcp(&mut self, plain: &[u8]) -> anyhow::Result<Bytes> {
        Ok(self.seal.encrypt_rtcp(plain)?)
    }

    /// Seals and sends an RTP packet.
    ///
    /// # Errors
    /// The bytes are no packet, or the socket fails.
    pub fn send_rtp(&mut self, plain: &[u8]) -> anyhow::Result<()> {
        let sealed = self.seal_rtp(plain)?;
        Ok(self.wire.send(&sealed)?)
    }

    /// Seals and sends a compound RTCP packet.
    ///
    /// # Errors
    /// The bytes are no packet, or the socket fails.
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

    /// Leaves as an endpoint should: the session is deleted, then the association closed. (The other way round, the
    /// server may have ended the session by itself before it is asked to.)
    ///
    /// # Errors
    /// The server no longer knows the session, or does not answer.
    pub async fn leave(self) -> anyhow::Result<()> {
        let deleted = self.resource.delete().await;
        self.association.close().await;
        deleted
    }

    /// Closes the association (`close_notify`) and no more.
    pub async fn close_dtls(&self) {
        self.association.close().await;
    }

    /// From now on notes the number of each packet that comes.
    pub fn capture(&mut self) {
        self.capture = Some(Capture::default());
    }

    /// What was noted.
    pub fn take_capture(&mut self) -> Capture {
        self.capture.take().unwrap_or_default()
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
            transport_cc: self.answer.transport_cc(),
            rtx: self.answer.rtx(),
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
            if let CheckEvent::Request(answer) = self.checks.take(datagram, self.wire.remote) {
                self.wire.send(&answer)?;
            }
            return Ok(Turn::Nothing);
        }
        // RFC 5761 section 4: these second bytes are RTCP's.
        let is_rtcp = matches!(datagram.get(1), Some(192..=223));
        if let Some(capture) = &mut self.capture {
            capture.note(datagram, is_rtcp);
        }
        let event = if is_rtcp {
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
