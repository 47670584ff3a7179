//! How packets of a transport get into the outbox: where they go, under which key, and counted.

use corecast_wire::{Discard, RtpBytes};

use super::{Flow, Queue, Security, Traffic, Transport};
use crate::congestion::Sending;
use crate::io::{Outbox, Path};
use crate::key::{ConsumerKey, StreamKey};
use crate::media::SlotRef;
use crate::memory::Word;
use crate::rtcp::Writer;
use crate::srtp::{SealError, Sealer};
use crate::time::Instant;

/// Room for the longest compound: one that is closed at 1,000 bytes, plus one sender report with its CNAME, plus
/// answers to reference times if there is room.
const RTCP_ROOM_BYTES: usize = 1_400;

/// The way out of a transport for RTP.
#[derive(Debug)]
pub(crate) struct Exit<'a> {
    path: Path,
    sealer: Option<&'a Sealer>,
    next_transport_cc: &'a mut Word,
    sending: Option<&'a mut Sending>,
    sent: &'a mut Traffic,
    rtp_sent: &'a mut u64,
    rtp_bytes: &'a mut RtpBytes,
    traced: bool,
    /// Bytes of the last packet.
    last_len: usize,
}

/// Headers of UDP and IP.
const HEADERS_V4: usize = 28;
const HEADERS_V6: usize = 48;

impl<'a> Exit<'a> {
    /// Seals what leaves; `None` for plain RTP.
    pub(crate) const fn sealer(&self) -> Option<&'a Sealer> {
        self.sealer
    }

    /// Transport-wide sequence number of the next packet that has one. It is not taken back if the kernel refuses the
    /// packet.
    #[expect(clippy::cast_possible_truncation, reason = "it wraps")]
    pub(crate) fn next_transport_cc(&self) -> u16 {
        self.next_transport_cc.get() as u16
    }

    /// The last packet had that number, or this SSRC and sequence number, by which its receiver says what came of it.
    #[inline]
    pub(crate) fn numbered(&mut self, now: Instant, name: Option<(u32, u16)>) {
        self.next_transport_cc.set(self.next_transport_cc.get() + 1);
        if let Some(sending) = &mut self.sending {
            let headers = if self.path.remote.is_ipv4() { HEADERS_V4 } else { HEADERS_V6 };
            sending.sent(now, self.last_len + headers, name);
        }
    }

    /// Whether control is told of packets of the transport's consumers.
    pub(crate) const fn is_traced(&self) -> bool {
        self.traced
    }

    /// Bytes of the last packet.
    pub(crate) const fn last_len(&self) -> usize {
        self.last_len
    }

    /// Bytes of the last packet, without what SRTP adds.
    #[expect(clippy::cast_possible_truncation, reason = "a packet has fewer than 65,536")]
    pub(crate) fn last_rtp_len(&self) -> u32 {
        self.last_len.saturating_sub(self.sealer.map_or(0, Sealer::rtp_overhead)) as u32
    }

    /// The last packet has been sent before.
    pub(crate) fn was_repeated(&mut self) {
        let bytes = u64::from(self.last_rtp_len());
        *self.rtp_sent -= bytes;
        self.rtp_bytes.rtx_sent += bytes;
    }

    /// The last packet was padding alone.
    pub(crate) fn was_padding(&mut self) {
        let bytes = u64::from(self.last_rtp_len());
        *self.rtp_sent -= bytes;
        self.rtp_bytes.probation_sent += bytes;
    }

    /// Puts a packet into the outbox that was written into its last reservation, and counts it.
    #[inline]
    pub(crate) fn push(&mut self, outbox: &mut Outbox, len: usize, payload: Option<(SlotRef, usize)>) {
        self.last_len = len + payload.map_or(0, |(_, payload_len)| payload_len);
        self.sent.count(self.last_len);
        *self.rtp_sent += u64::from(self.last_rtp_len());
        outbox.push(self.path, len, payload);
    }
}

impl Transport {
    /// Who has packets of which stream to send in the current round, what waits before them, and the way out.
    pub(crate) fn departure(&mut self) -> (&[(ConsumerKey, StreamKey)], Option<&mut Queue>, Option<Exit<'_>>) {
        let path = self.path(Flow::Rtp);
        let sealer = self.security.as_ref().map(Security::sealer);
        let exit = path.map(|path| Exit {
            path,
            sealer,
            next_transport_cc: &mut self.next_transport_cc,
            sending: self.sending.as_deref_mut(),
            sent: &mut self.sent,
            rtp_sent: &mut self.rtp_sent,
            rtp_bytes: &mut self.rtp_bytes,
            traced: self.traced,
            last_len: 0,
        });
        (&self.pending, self.queue.as_deref_mut(), exit)
    }

    /// The way out for RTP; `None` while the transport is not connected.
    pub(crate) fn exit(&mut self) -> Option<Exit<'_>> {
        self.departure().2
    }

    /// Whether RTCP has a way out, or may have one.
    pub(crate) fn has_rtcp_path(&self) -> bool {
        let selected = self.webrtc().and_then(|webrtc| webrtc.ice().selected()).filter(|_| self.security.is_some());
        selected.is_some() || self.path(self.rtcp_flow()).is_some()
    }

    /// Where RTCP of so many bytes goes: along the selected path, though nothing has proved it yet, if they are few
    /// enough. Many receivers answer a report, but send none of their own accord.
    fn rtcp_path(&mut self, bytes: usize) -> Option<Path> {
        if let Some(webrtc) = self.webrtc.as_deref_mut()
            && let Some((path, _)) = webrtc.ice().selected()
            && webrtc.ice_mut().spend(path, bytes)
        {
            return Some(path);
        }
        self.path(self.rtcp_flow())
    }

    /// Sends one RTCP datagram, as `write` writes it, or none if it writes nothing.
    ///
    /// # Errors
    /// What has become of the datagram instead: no path, no room in the outbox, or the key has reached its end.
    pub(crate) fn send_rtcp(
        &mut self,
        outbox: &mut Outbox,
        write: impl FnOnce(&mut Writer<'_>),
    ) -> Result<(), Discard> {
        if !self.has_rtcp_path() {
            return Err(Discard::NotConnected);
        }
        let overhead = self.security.as_ref().map_or(0, |security| security.sealer().rtcp_overhead());
        let room = outbox.reserve(RTCP_ROOM_BYTES + overhead).ok_or(Discard::OutboxFull)?;
        let mut writer = Writer::new(room.get_mut(..RTCP_ROOM_BYTES).unwrap_or_default());
        write(&mut writer);
        let len = writer.len();
        if len == 0 {
            return Ok(());
        }
        let len = match &mut self.security {
            None => len,
            Some(security) => security.sealer_mut().seal_rtcp(room, len).map_err(SealError::discard)?,
        };
        let path = self.rtcp_path(len).ok_or(Discard::NotConnected)?;
        self.push_to(path, outbox, len);
        Ok(())
    }

    /// Puts a datagram of `len` bytes into the outbox that was written into its last reservation, and counts it.
    pub(crate) fn push_to(&mut self, path: Path, outbox: &mut Outbox, len: usize) {
        self.sent.count(len);
        outbox.push(path, len, None);
    }
}
