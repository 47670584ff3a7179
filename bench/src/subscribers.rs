//! Subscribers: each a socket with a key of its own, connected at once or joined over WebRTC, read without ever
//! sleeping (a receiver that sleeps charges its wake-up to the sender, that is, to the server).
//!
//! Every packet's latency is taken: the clear RTP header says which packet it was, and publishers remember when they
//! sent it. What ties the two together is learnt by opening the first packet of each stream, and checked, with every
//! byte of the payload, by opening one in `SAMPLE`.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use corecast_wire::SrtpParameters;
use hdrhistogram::Histogram;
use webrtc_srtp::context::Context;
use webrtc_util::marshal::Unmarshal as _;

use crate::clock::Clock;
use crate::crypto;
use crate::packet::{self, HEADER_BYTES};
use crate::publishers::{Publisher, age_ns};
use crate::sockets::{self, RecvBatch};
use crate::webrtc::session::Parts;
use crate::webrtc::upkeep::{Upkeep, Watching};

/// One packet in so many is opened and compared.
const SAMPLE: u64 = 64;
/// SSRC under which mediasoup's own worker probes; no target promises it.
const PROBES: u32 = 1_234;
const SOCKET_BUFFER_BYTES: i32 = 8 * 1_024 * 1_024;
const MAX_LATENCY_NS: u64 = 60_000_000_000;

/// A stream that a subscriber is promised.
#[derive(Clone, Copy, Debug)]
pub struct Promised {
    /// Number of its publisher.
    pub publisher: usize,
    /// SSRC under which it arrives.
    pub ssrc: u32,
    /// Payload type under which it arrives.
    pub payload_type: u8,
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    promised: Promised,
    /// Sequence number received less sequence number sent, once known.
    offset: Option<u16>,
    highest: u16,
    /// Bit n: `highest - n` was received.
    seen: u64,
    received: u64,
}

/// What arrived, all subscribers together, since they were made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrivals {
    /// RTP packets, repeated ones not counted.
    pub packets: u64,
    /// RTP packets that arrived once more.
    pub repeated: u64,
    /// RTP packets that arrived behind a later one.
    pub reordered: u64,
    /// RTCP packets.
    pub rtcp: u64,
    /// Datagrams of STUN and DTLS.
    pub upkeep: u64,
    /// Packets that were opened and compared byte by byte.
    pub compared: u64,
    /// Packets that only probed the path.
    pub probes: u64,
    /// Times that a subscriber has said what came, by transport-wide feedback.
    pub feedbacks: u64,
}

impl Arrivals {
    /// What arrived since `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            packets: self.packets - earlier.packets,
            repeated: self.repeated - earlier.repeated,
            reordered: self.reordered - earlier.reordered,
            rtcp: self.rtcp - earlier.rtcp,
            upkeep: self.upkeep - earlier.upkeep,
            compared: self.compared - earlier.compared,
            probes: self.probes - earlier.probes,
            feedbacks: self.feedbacks - earlier.feedbacks,
        }
    }
}

struct Subscriber {
    socket: Arc<UdpSocket>,
    srtp: Option<Context>,
    streams: Vec<Stream>,
    watching: Option<Watching>,
}

/// All subscribers.
pub struct Subscribers {
    subscribers: Vec<Subscriber>,
    batch: RecvBatch,
    next: usize,
    gro: bool,
    wall_offset_ns: Option<u64>,
    renumbered: bool,
    sheds: bool,
    settling: bool,
    latency: Histogram<u64>,
    sound_latency: Histogram<u64>,
    /// The same of every so many-th subscriber, for each of them.
    latency_of: Vec<Histogram<u64>>,
    arrivals: Arrivals,
}

impl std::fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscribers").field("arrivals", &self.arrivals).finish_non_exhaustive()
    }
}

impl Subscribers {
    /// One subscriber per entry of `srtp`, with or without a key.
    ///
    /// # Errors
    /// Sockets are not to be had.
    pub fn new(srtp: Vec<Option<Context>>, gro: bool, ip: Ipv4Addr) -> anyhow::Result<Self> {
        let mut subscribers = Vec::with_capacity(srtp.len());
        for srtp in srtp {
            let socket = UdpSocket::bind((ip, 0)).context("subscriber's socket (raise ulimit -n?)")?;
            socket.set_nonblocking(true)?;
            prepare(&socket, gro)?;
            subscribers.push(Subscriber { socket: Arc::new(socket), srtp, streams: Vec::new(), watching: None });
        }
        let batch = if gro { RecvBatch::new(4, 65_536) } else { RecvBatch::new(64, 2_048) };
        let latency = Histogram::new_with_bounds(1, MAX_LATENCY_NS, 3).context("histogram")?;
        Ok(Self {
            subscribers,
            batch,
            next: 0,
            gro,
            wall_offset_ns: None,
            renumbered: false,
            sheds: false,
            settling: false,
            sound_latency: latency.clone(),
            latency_of: Vec::new(),
            latency,
            arrivals: Arrivals::default(),
        })
    }

    /// Takes in a subscriber that has joined over WebRTC.
    ///
    /// # Errors
    /// The socket refuses options.
    pub fn join(&mut self, parts: Parts, promised: Vec<Promised>, now_ns: u64) -> anyhow::Result<()> {
        let (watching, socket, srtp) = Watching::new(parts, now_ns)?;
        prepare(&socket, self.gro)?;
        if self.wall_offset_ns.is_some() {
            sockets::set_time_stamps(&socket)?;
        }
        let (srtp, streams, watching) = (Some(srtp), promised.into_iter().map(Stream::new).collect(), Some(watching));
        self.subscribers.push(Subscriber { socket, srtp, streams, watching });
        Ok(())
    }

    /// From now on latency ends when the kernel takes a packet in, and not when it is read: for when the reader has
    /// other work to do.
    ///
    /// # Errors
    /// The kernel does not know time stamps.
    pub fn trust_time_stamps(&mut self, clock: &Clock) -> anyhow::Result<()> {
        if self.wall_offset_ns.replace(clock.wall_offset_ns()).is_none() {
            for subscriber in &self.subscribers {
                sockets::set_time_stamps(&subscriber.socket)?;
            }
        }
        Ok(())
    }

    /// From now on the server may leave packets out and close the gap, so that a sequence number no longer says which
    /// packet it is: latency begins when the packet's frame was due, as its timestamp says.
    pub const fn expect_gaps_closed(&mut self) {
        self.renumbered = true;
    }

    /// From now on the server may leave out pictures for which it is late, up to the next key frame, and close the gap.
    /// A packet whose timestamp is not that of the packet that its number says tells of that; it is opened, and the
    /// numbers that follow are taken from there.
    pub const fn expect_shedding(&mut self) {
        self.sheds = true;
    }

    /// Whether media is opened and neither compared nor counted: until each subscriber gets the encoding that it will
    /// have.
    pub const fn set_settling(&mut self, settling: bool) {
        self.settling = settling;
    }

    /// How many get the stream of publisher `number`.
    #[must_use]
    pub fn watchers(&self, number: usize) -> u64 {
        let streams = self.subscribers.iter().flat_map(|subscriber| &subscriber.streams);
        streams.filter(|stream| stream.promised.publisher == number).count() as u64
    }

    /// Whether all have told the server what came, as far as they tell anything.
    #[must_use]
    pub fn have_told(&self) -> bool {
        self.subscribers.iter().all(|subscriber| subscriber.watching.as_ref().is_none_or(Watching::has_told))
    }

    /// Consent of the subscribers that joined over WebRTC.
    pub fn upkeep(&self) -> impl Iterator<Item = &Upkeep> {
        self.subscribers.iter().filter_map(|subscriber| Some(subscriber.watching.as_ref()?.upkeep()))
    }

    /// Removes all subscribers. The caller has those that joined over WebRTC leave the server.
    pub fn dissolve(&mut self) -> Vec<Upkeep> {
        let watching = self.subscribers.drain(..).filter_map(|subscriber| subscriber.watching);
        watching.map(Watching::into_upkeep).collect()
    }

    /// Time from a packet's send stamp to its being read, in nanoseconds.
    #[must_use]
    pub const fn latency(&self) -> &Histogram<u64> {
        &self.latency
    }

    /// The same of the packets of sound alone.
    #[must_use]
    pub const fn sound_latency(&self) -> &Histogram<u64> {
        &self.sound_latency
    }

    /// From now on the latencies of every `groups`-th subscriber are also kept by themselves.
    ///
    /// # Errors
    /// None that is known.
    pub fn tell_apart(&mut self, groups: usize) -> anyhow::Result<()> {
        let empty = Histogram::new_with_bounds(1, MAX_LATENCY_NS, 3).context("histogram")?;
        self.latency_of = vec![empty; groups];
        Ok(())
    }

    /// Those latencies, of the first subscriber and its group first.
    #[must_use]
    pub fn latency_of(&self) -> &[Histogram<u64>] {
        &self.latency_of
    }

    /// Forgets the latencies.
    pub fn reset_latency(&mut self) {
        self.latency.reset();
        self.sound_latency.reset();
        self.latency_of.iter_mut().for_each(Histogram::reset);
    }

    /// What arrived.
    #[must_use]
    pub const fn arrivals(&self) -> Arrivals {
        self.arrivals
    }

    /// Number of subscribers.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.subscribers.len()
    }

    /// There is no subscriber.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// Where each listens.
    ///
    /// # Errors
    /// None that Linux documents.
    pub fn local_addresses(&self) -> anyhow::Result<Vec<SocketAddr>> {
        self.subscribers.iter().map(|subscriber| Ok(subscriber.socket.local_addr()?)).collect()
    }

    /// Tells each subscriber what it will get.
    pub fn promise(&mut self, promised: Vec<Vec<Promised>>) {
        for (subscriber, promised) in self.subscribers.iter_mut().zip(promised) {
            subscriber.streams = promised.into_iter().map(Stream::new).collect();
        }
    }

    /// Connects each socket, so that only the target's packets arrive. What came before is thrown away: a port may get
    /// what was meant for its last owner.
    ///
    /// # Errors
    /// An address cannot be connected to.
    pub fn receive_from(&mut self, addresses: &[SocketAddr]) -> anyhow::Result<()> {
        for (subscriber, address) in self.subscribers.iter().zip(addresses) {
            subscriber.socket.connect(address).with_context(|| format!("subscriber of {address}"))?;
            while self.batch.receive(&subscriber.socket, 0)? > 0 {}
        }
        Ok(())
    }

    /// Replaces the keys, subscriber by subscriber.
    ///
    /// # Errors
    /// A key has the wrong length.
    pub fn open_with(&mut self, keys: &[Option<SrtpParameters>]) -> anyhow::Result<()> {
        for (subscriber, key) in self.subscribers.iter_mut().zip(keys) {
            subscriber.srtp = key.as_ref().map(crypto::endpoint).transpose()?;
        }
        Ok(())
    }

    /// Packets lost in the subscribers' own sockets.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn receive_drops(&self) -> anyhow::Result<u64> {
        self.subscribers.iter().map(|subscriber| Ok(u64::from(sockets::receive_drops(&subscriber.socket)?))).sum()
    }

    /// Reads the next `count` sockets in turn.
    ///
    /// # Errors
    /// Something arrived that should not have, or not as it was sent.
    pub fn poll(&mut self, count: usize, clock: &Clock, publishers: &[Publisher]) -> anyhow::Result<()> {
        let begun_ns = clock.now_ns();
        for _ in 0..count.min(self.subscribers.len()) {
            let number = self.next;
            self.next = (self.next + 1) % self.subscribers.len();
            let subscriber = &mut self.subscribers[number];
            self.arrivals.feedbacks += subscriber.keep_up(begun_ns)?;
            let filled = self.batch.receive(&subscriber.socket, 0).context("subscriber's socket")?;
            if filled == 0 {
                continue;
            }
            let now_ns = clock.now_ns();
            let (latency, arrivals, renumbered) = (&mut self.latency, &mut self.arrivals, self.renumbered);
            let (settling, sheds) = (self.settling, self.sheds);
            let sound_latency = &mut self.sound_latency;
            let group = number.checked_rem(self.latency_of.len()).and_then(|group| self.latency_of.get_mut(group));
            let mut tally =
                Tally { latency, sound_latency, group, arrivals, publishers, renumbered, sheds, settling, now_ns };
            for index in 0..filled {
                let datagram = self.batch.datagram(index);
                let stamp_ns =
                    datagram.stamp_ns.zip(self.wall_offset_ns).map(|(wall, offset)| wall.saturating_sub(offset));
                tally.now_ns = stamp_ns.unwrap_or(now_ns);
                for packet in datagram.bytes.chunks(datagram.segment_len) {
                    subscriber.take(packet, &mut tally).with_context(|| format!("subscriber {number}"))?;
                }
            }
        }
        Ok(())
    }
}

/// Where the packets of one poll are accounted for.
struct Tally<'a> {
    latency: &'a mut Histogram<u64>,
    sound_latency: &'a mut Histogram<u64>,
    group: Option<&'a mut Histogram<u64>>,
    arrivals: &'a mut Arrivals,
    publishers: &'a [Publisher],
    renumbered: bool,
    sheds: bool,
    settling: bool,
    now_ns: u64,
}

impl Tally<'_> {
    /// Records the latency of a packet of publisher `number`.
    fn record(&mut self, number: usize, latency_ns: u64) {
        self.latency.saturating_record(latency_ns.max(1));
        if let Some(group) = &mut self.group {
            group.saturating_record(latency_ns.max(1));
        }
        if self.publishers[number].is_sound() {
            self.sound_latency.saturating_record(latency_ns.max(1));
        }
    }
}

/// What a subscriber's socket needs before media flows.
fn prepare(socket: &UdpSocket, gro: bool) -> anyhow::Result<()> {
    sockets::set_buffers(socket, SOCKET_BUFFER_BYTES)?;
    if gro {
        sockets::set_gro(socket)?;
    }
    Ok(())
}

impl Subscriber {
    /// Sends what is due; how many times it has said what came.
    fn keep_up(&mut self, now_ns: u64) -> anyhow::Result<u64> {
        match (&mut self.watching, self.streams.first()) {
            (Some(watching), Some(stream)) if watching.is_due(now_ns) => {
                watching.turn(now_ns, &self.socket, stream.promised.ssrc, stream.highest)
            }
            _ => Ok(0),
        }
    }

    fn take(&mut self, packet: &[u8], tally: &mut Tally<'_>) -> anyhow::Result<()> {
        let header: &[u8; HEADER_BYTES] = packet.first_chunk().context("a packet shorter than an RTP header")?;
        if let Some(watching) = &mut self.watching
            && header[0] < 128
        {
            tally.arrivals.upkeep += 1;
            watching.take(packet, &self.socket);
            return Ok(());
        }
        // RFC 5761 section 4: these second bytes are RTCP's.
        if matches!(header[1], 192..=223) {
            tally.arrivals.rtcp += 1;
            return Ok(());
        }
        let sequence = u16::from_be_bytes([header[2], header[3]]);
        let ssrc = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        if let Some(watching) = &mut self.watching {
            watching.note(packet, tally.now_ns)?;
            if watching.is_repeated(header[1] & 0x7f) {
                tally.arrivals.probes += 1;
                return Ok(());
            }
        }
        if ssrc == PROBES {
            return Ok(());
        }
        if tally.settling {
            // So that the cipher sees sequence numbers wrap.
            if let Some(srtp) = &mut self.srtp {
                srtp.decrypt_rtp(packet).context("does not open")?;
            }
            return Ok(());
        }
        let hint = (ssrc & 0xfff) as usize;
        let number = match self.streams.get(hint) {
            Some(stream) if stream.promised.ssrc == ssrc => hint,
            _ => (self.streams.iter().position(|stream| stream.promised.ssrc == ssrc))
                .with_context(|| format!("SSRC {ssrc:#x} was meant for somebody else"))?,
        };
        if tally.renumbered {
            return self.take_renumbered(number, (packet, header), tally);
        }
        let stream = &mut self.streams[number];
        let number = stream.promised.publisher;
        let publisher = &tally.publishers[number];
        let timestamp = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let is_its = |offset| !tally.sheds || publisher.timestamp(sequence.wrapping_sub(offset)) == timestamp;
        let offset = match stream.offset {
            Some(offset) if !stream.received.is_multiple_of(SAMPLE) && is_its(offset) => offset,
            known => {
                let stamp = open(&mut self.srtp, packet, stream.promised)
                    .with_context(|| format!("SSRC {ssrc:#x}, sequence number {sequence}"))?;
                ensure!(usize::from(stamp.publisher) == number, "a packet of publisher {}", stamp.publisher);
                let sent_as = publisher.sequence(stamp.index);
                let offset = sequence.wrapping_sub(sent_as);
                let is_moved = !tally.sheds && known.is_some_and(|known| known != offset);
                if is_moved || publisher.sent_ns(sent_as) != stamp.sent_ns {
                    bail!("SSRC {ssrc:#x}: sequence number {sequence} holds what was sent as {sent_as}");
                }
                tally.arrivals.compared += 1;
                *stream.offset.insert(offset)
            }
        };
        let sent_ns = publisher.sent_ns(sequence.wrapping_sub(offset));
        stream.note(sequence, tally.arrivals);
        tally.record(number, tally.now_ns.saturating_sub(sent_ns));
        Ok(())
    }

    /// A packet whose number does not tell which packet of the publisher's it is: its timestamp tells its age.
    fn take_renumbered(
        &mut self,
        number: usize,
        (packet, header): (&[u8], &[u8; HEADER_BYTES]),
        tally: &mut Tally<'_>,
    ) -> anyhow::Result<()> {
        let stream = &mut self.streams[number];
        let publisher = stream.promised.publisher;
        if stream.received.is_multiple_of(SAMPLE) {
            let stamp = open(&mut self.srtp, packet, stream.promised)?;
            ensure!(usize::from(stamp.publisher) == publisher, "a packet of publisher {}", stamp.publisher);
            tally.arrivals.compared += 1;
        }
        stream.note(u16::from_be_bytes([header[2], header[3]]), tally.arrivals);
        let timestamp = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        tally.record(publisher, age_ns(tally.now_ns, timestamp));
        Ok(())
    }
}

impl Stream {
    const fn new(promised: Promised) -> Self {
        Self { promised, offset: None, highest: 0, seen: 0, received: 0 }
    }

    fn note(&mut self, sequence: u16, arrivals: &mut Arrivals) {
        let ahead = sequence.wrapping_sub(self.highest);
        if self.received == 0 || ahead < 0x8000 && ahead != 0 {
            self.seen = if ahead < 64 && self.received > 0 { self.seen << ahead | 1 } else { 1 };
            self.highest = sequence;
        } else {
            let behind = self.highest.wrapping_sub(sequence);
            let bit = if behind < 64 { 1 << behind } else { 0 };
            if self.seen & bit != 0 {
                arrivals.repeated += 1;
                return;
            }
            self.seen |= bit;
            arrivals.reordered += 1;
        }
        self.received += 1;
        arrivals.packets += 1;
    }
}

fn open(srtp: &mut Option<Context>, packet: &[u8], promised: Promised) -> anyhow::Result<packet::Stamp> {
    let plain = match srtp {
        None => packet.to_vec().into(),
        Some(srtp) => srtp.decrypt_rtp(packet).context("does not open")?,
    };
    let packet = rtp::packet::Packet::unmarshal(&mut plain.as_ref()).context("is not RTP")?;
    let payload_type = packet.header.payload_type;
    ensure!(payload_type == promised.payload_type, "payload type {payload_type}, not {}", promised.payload_type);
    packet::check(&packet.payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Payload, Profile, Source};

    /// Frames of ten packets of publisher 0, of which the subscriber gets those that `is_sent` names, under numbers
    /// without a gap.
    fn forward(subscribers: &mut Subscribers, is_sent: impl Fn(u32) -> bool) -> anyhow::Result<()> {
        let relay = UdpSocket::bind("127.0.0.1:0")?;
        let source = Source::new(Profile::Frame, Payload::Fixed(200), 300, 0, 1);
        let mut publisher = Publisher::new(0, source, None, (Ipv4Addr::LOCALHOST, 0).into())?;
        publisher.connect(relay.local_addr()?)?;
        let clock = Clock::default();
        let (mut number, to) = (500_u16, subscribers.local_addresses()?[0]);
        for frame in 0..12 {
            let due_ns = publisher.next_ns();
            publisher.send_due(due_ns, &clock)?;
            for _ in 0..10 {
                let mut packet = [0; 400];
                let length = relay.recv(&mut packet)?;
                packet[2..4].copy_from_slice(&number.to_be_bytes());
                if is_sent(frame) {
                    relay.send_to(&packet[..length], to)?;
                    number += 1;
                }
            }
        }
        (0..4).try_for_each(|_| subscribers.poll(1, &clock, std::slice::from_ref(&publisher)))
    }

    #[test]
    fn a_gap_that_was_closed_is_seen_at_once_and_is_an_error_unless_the_server_may_shed() {
        let made = || {
            let mut subscribers = Subscribers::new(vec![None], false, Ipv4Addr::LOCALHOST).expect("a socket");
            let (ssrc, payload_type) = (packet::FIRST_SSRC, packet::PAYLOAD_TYPE);
            subscribers.promise(vec![vec![Promised { publisher: 0, ssrc, payload_type }]]);
            subscribers
        };
        let mut shedding = made();
        shedding.expect_shedding();
        forward(&mut shedding, |frame| frame != 2 && frame != 3).expect("all is in order");
        let arrivals = shedding.arrivals();
        assert_eq!((arrivals.packets, arrivals.compared), (100, 3), "the first, the first behind the gap, one in 64");
        let mut strict = made();
        let error = forward(&mut strict, |frame| frame != 2 && frame != 3).expect_err("a gap");
        assert!(format!("{error:#}").contains("holds what was sent as"), "{error:#}");
    }

    #[test]
    fn repeated_and_late_packets_are_told_apart() {
        let mut stream = Stream::new(Promised { publisher: 0, ssrc: 1, payload_type: 96 });
        let mut arrivals = Arrivals::default();
        for sequence in [65_534, 65_535, 2, 1, 1, 2, 65_535, 3, 0] {
            stream.note(sequence, &mut arrivals);
        }
        assert_eq!((arrivals.packets, arrivals.repeated, arrivals.reordered), (6, 3, 2));
    }
}
