//! Publishers: each a socket, a stream and a key, sending what its [`Source`] plans.

use std::io::IoSlice;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use anyhow::Context as _;
use corecast_wire::SrtpParameters;
use webrtc_srtp::context::Context;

use crate::clock::Clock;
use crate::crypto;
use crate::packet::{self, Header, Planned, Stamp};
use crate::schedule::Source;
use crate::sockets;
use crate::webrtc::session::Parts;
use crate::webrtc::upkeep::{Publishing, SenderTotals, Upkeep};

/// Send times that are remembered per publisher. A power of two, and many seconds.
const REMEMBERED: usize = 16 * 1_024;
const SOCKET_BUFFER_BYTES: i32 = 4 * 1_024 * 1_024;
const VIDEO_CLOCK_HZ: u128 = 90_000;
/// How many speak at a time; how loud that is, and how loud a room is in which nobody does, in -dBov.
const SPEAKERS: u64 = 2;
const LOUD: u8 = 25;
const QUIET: u8 = 70;

/// One publisher.
pub struct Publisher {
    socket: Arc<UdpSocket>,
    source: Source,
    ssrc: u32,
    payload_type: u8,
    sent: u64,
    refused: u64,
    /// What it owes the server, if it joined over WebRTC.
    publishing: Option<Publishing>,
    number: u16,
    octets: u64,
    srtp: Option<Context>,
    /// It is one of so many who speak in turn, and says how loud it is.
    speaks_among: Option<u16>,
    first_sequence: u16,
    index: u64,
    sent_ns: Box<[u64]>,
    /// RTP timestamps of the same packets.
    timestamps: Box<[u32]>,
    planned: Vec<Planned>,
    plain: Vec<u8>,
    packets: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("ssrc", &self.ssrc).field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl Publisher {
    /// Publisher `number`, not yet connected; `srtp` seals its packets.
    ///
    /// # Errors
    /// No socket is to be had.
    pub fn new(number: u16, source: Source, srtp: Option<Context>, from: SocketAddr) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind(from).with_context(|| format!("cannot send from {from}"))?;
        socket.set_nonblocking(true)?;
        Self::over(number, source, srtp, Arc::new(socket))
    }

    /// Publisher `number`, which has joined over WebRTC; its first packet leaves when it is due.
    ///
    /// # Errors
    /// The socket is not connected.
    pub fn joined(number: u16, source: Source, parts: Parts, now_ns: u64) -> anyhow::Result<Self> {
        let (publishing, socket, seal) = Publishing::new(parts, now_ns)?;
        Ok(Self { publishing: Some(publishing), ..Self::over(number, source, Some(seal), socket)? })
    }

    /// Publisher `number`: another stream of an endpoint that has joined over WebRTC, under the same key.
    ///
    /// # Errors
    /// The socket refuses options, or the key is none.
    pub fn beside(number: u16, source: Source, key: &SrtpParameters, socket: Arc<UdpSocket>) -> anyhow::Result<Self> {
        Self::over(number, source, Some(crypto::endpoint(key)?), socket)
    }

    fn over(number: u16, source: Source, srtp: Option<Context>, socket: Arc<UdpSocket>) -> anyhow::Result<Self> {
        sockets::set_buffers(&socket, SOCKET_BUFFER_BYTES)?;
        Ok(Self {
            socket,
            source,
            ssrc: packet::FIRST_SSRC + u32::from(number),
            payload_type: packet::PAYLOAD_TYPE,
            sent: 0,
            refused: 0,
            publishing: None,
            number,
            octets: 0,
            srtp,
            speaks_among: None,
            first_sequence: number.wrapping_mul(257) % 0x4000,
            index: 0,
            sent_ns: vec![0; REMEMBERED].into_boxed_slice(),
            timestamps: vec![0; REMEMBERED].into_boxed_slice(),
            planned: Vec::new(),
            plain: Vec::new(),
            packets: Vec::new(),
        })
    }

    /// The same, but sending under this SSRC.
    #[must_use]
    pub fn with_ssrc(self, ssrc: u32) -> Self {
        Self { ssrc, ..self }
    }

    /// The same, but sending with this payload type.
    #[must_use]
    pub fn with_payload_type(self, payload_type: u8) -> Self {
        Self { payload_type, ..self }
    }

    /// The same, one of so many who speak in turn, two at a time, a second each; and its packets say how loud they are.
    #[must_use]
    pub fn speaking_among(self, peers: u16) -> Self {
        Self { speaks_among: Some(peers.max(1)), ..self }
    }

    fn level(&self, at_ns: u64) -> Option<u8> {
        let peers = u64::from(self.speaks_among?);
        let turn = at_ns / 1_000_000_000 + u64::from(self.number);
        Some(if turn % peers < SPEAKERS { LOUD } else { QUIET })
    }

    /// Connects its socket to the address that it sends to.
    ///
    /// # Errors
    /// The address cannot be connected to.
    pub fn connect(&self, address: SocketAddr) -> std::io::Result<()> {
        self.socket.connect(address)
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// Its socket.
    #[must_use]
    pub const fn socket(&self) -> &Arc<UdpSocket> {
        &self.socket
    }

    /// It sends sound.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.source.is_sound()
    }

    /// Packets that the kernel took.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Packets that the kernel refused.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// When [`Self::send_due`] next has something to send, in nanoseconds.
    #[must_use]
    pub fn next_ns(&self) -> u64 {
        self.source.next_ns()
    }

    /// Plans its packets from `start_ns` on; those that were planned before are dropped.
    pub fn restart(&mut self, start_ns: u64) {
        self.source.restart(start_ns);
    }

    /// So many packets a second from the next [`Self::restart`] on.
    pub fn set_pps(&mut self, pps: u32) {
        self.source.set_pps(pps);
    }

    /// Its part of consent, if it joined over WebRTC.
    #[must_use]
    pub fn upkeep(&self) -> Option<&Upkeep> {
        self.publishing.as_ref().map(Publishing::upkeep)
    }

    /// What is left to do for an endpoint that joined over WebRTC: consent, and the way out.
    #[must_use]
    pub fn into_upkeep(self) -> Option<Upkeep> {
        self.publishing.map(Publishing::into_upkeep)
    }

    /// Where it sends from.
    ///
    /// # Errors
    /// None that Linux documents.
    pub fn local_address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    /// When the packet with this sequence number (as it was sent) left, in nanoseconds.
    #[must_use]
    pub fn sent_ns(&self, sequence: u16) -> u64 {
        self.sent_ns[usize::from(sequence) % REMEMBERED]
    }

    /// RTP timestamp of the packet with this sequence number (as it was sent).
    #[must_use]
    pub fn timestamp(&self, sequence: u16) -> u32 {
        self.timestamps[usize::from(sequence) % REMEMBERED]
    }

    /// Sequence number of packet `index`.
    #[must_use]
    pub const fn sequence(&self, index: u64) -> u16 {
        self.first_sequence.wrapping_add(index as u16)
    }

    /// Reads feedback, keeps consent and reports, if it joined over WebRTC.
    ///
    /// # Errors
    /// A cipher fails, or something came that is not what it should be.
    pub fn turn(&mut self, now_ns: u64) -> anyhow::Result<()> {
        let (Some(publishing), Some(seal)) = (&mut self.publishing, &mut self.srtp) else { return Ok(()) };
        if !publishing.is_due(now_ns) {
            return Ok(());
        }
        let sent = SenderTotals {
            ssrc: self.ssrc,
            rtp_time: rtp_time(now_ns),
            packets: self.sent as u32,
            octets: self.octets as u32,
        };
        if publishing.turn(now_ns, &self.socket, seal, sent)? {
            self.source.want_key_frame();
        }
        Ok(())
    }

    /// Sends what is due at `now_ns`.
    ///
    /// # Errors
    /// The socket or the cipher fails.
    pub fn send_due(&mut self, now_ns: u64, clock: &Clock) -> anyhow::Result<()> {
        self.planned.clear();
        self.source.take_due(now_ns, &mut self.planned);
        if self.planned.is_empty() {
            return Ok(());
        }
        if self.packets.len() < self.planned.len() {
            self.packets.resize_with(self.planned.len(), Vec::new);
        }
        let level = self.planned.first().and_then(|planned| self.level(planned.frame_ns));
        for (planned, out) in self.planned.iter().zip(&mut self.packets) {
            let sequence = self.first_sequence.wrapping_add(self.index as u16);
            let timestamp = rtp_time(planned.frame_ns);
            let header = Header { ssrc: self.ssrc, payload_type: self.payload_type, sequence, timestamp, level };
            let stamp = Stamp { publisher: self.number, index: self.index, sent_ns: clock.now_ns() };
            self.plain.clear();
            packet::write(header, stamp, *planned, &mut self.plain);
            out.clear();
            match &mut self.srtp {
                None => out.extend_from_slice(&self.plain),
                Some(srtp) => out.extend_from_slice(&srtp.encrypt_rtp(&self.plain).context("publisher's SRTP")?),
            }
            self.sent_ns[usize::from(sequence) % REMEMBERED] = stamp.sent_ns;
            self.timestamps[usize::from(sequence) % REMEMBERED] = timestamp;
            self.index += 1;
            self.octets += planned.payload_len as u64;
        }
        let count = self.planned.len();
        let slices: Vec<_> = self.packets[..count].iter().map(|packet| IoSlice::new(packet)).collect();
        let sent = sockets::send_burst(&self.socket, &slices).context("publisher's socket")?;
        self.sent += sent as u64;
        self.refused += (count - sent) as u64;
        Ok(())
    }
}

/// How long ago it was what a publisher's timestamp says, in nanoseconds; 0 if that is to come.
pub(crate) const fn age_ns(now_ns: u64, timestamp: u32) -> u64 {
    let ticks = rtp_time(now_ns).wrapping_sub(timestamp).cast_signed();
    if ticks > 0 { (ticks as u128 * 1_000_000_000 / VIDEO_CLOCK_HZ) as u64 } else { 0 }
}

/// The RTP clock of pictures. Sound has it too here, since no receiver plays it.
const fn rtp_time(ns: u64) -> u32 {
    (ns as u128 * VIDEO_CLOCK_HZ / 1_000_000_000) as u32
}
