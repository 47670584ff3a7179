//! What travels in a run: media and RTCP from the participants, what strangers send, and what becomes of each packet
//! that the server sends.

use std::net::SocketAddr;

use bytes::Bytes;
use corecast_core::Path;
use corecast_wire::SrtpCryptoSuite;
use rtcp::reception_report::ReceptionReport;
use webrtc_util::marshal::Unmarshal;

use super::consumer::{Broken, Kind, Seen, check};
use super::delivery::{About, Delivered};
use super::extensions::check_extensions;
use super::feedback::{
    Asked, RtcpPacket, check_rtcp, compound, description, key_frame_request, nack, receiver_report, sender_report,
};
use super::machine::Machine;
use super::numbers::MS;
use super::webrtc::{stranger, wire_len};
use super::wire::is_rtcp;
use super::world::{Act, Event, Peer, State, World};

/// Between two looks of a participant at what it misses.
const TICK_NS: u64 = 20 * MS;
/// Ticks between two reports.
const REPORT_TICKS: u64 = 20;
/// RTCP packets in one datagram.
const MAX_COMPOUND: usize = 12;
/// Datagrams that a stranger may replay.
const RECENT: usize = 8;

/// Position of a consumer, and the numbers that its receiver asks for again.
type Asks = (usize, Vec<u16>);

impl<M: Machine> World<M> {
    /// A packet leaves the server: is it allowed to, and what is it?
    pub(super) fn check_leaving(
        &mut self,
        (at, socket_is_rtcp): (usize, bool),
        path: Path,
        bytes: &Bytes,
    ) -> Result<Delivered, Broken> {
        let peer = &mut self.peers[at];
        let rtcp = is_rtcp(bytes);
        let expected = if rtcp { peer.plan.rtcp } else { peer.plan.rtp };
        check!(path.remote == expected, "sent to {} instead of {expected}", path.remote);
        check!(peer.plan.mux || socket_is_rtcp == rtcp, "sent from the wrong one of two endpoints");
        check!(if rtcp { peer.rtcp_connected } else { peer.connected }, "sent before it was known where to");
        let plain = peer.wire.open(bytes)?;
        if !rtcp {
            return self.check_rtp(at, &plain);
        }
        self.check_leaving_rtcp(at, &plain).map(Delivered::Asked)
    }

    pub(super) fn check_leaving_rtcp(&mut self, at: usize, plain: &Bytes) -> Result<Asked, Broken> {
        self.coverage.rtcp += 1;
        let asked = check_rtcp(plain, at, self.now_ns, &mut self.sources, &self.consumers)?;
        self.coverage.asked_upstream += asked.again.len() as u64;
        self.coverage.key_frames_asked += asked.key_frames.len() as u64;
        Ok(asked)
    }

    pub(super) fn check_rtp(&mut self, peer: usize, plain: &Bytes) -> Result<Delivered, Broken> {
        let packet =
            rtp::packet::Packet::unmarshal(&mut &plain[..]).map_err(|error| format!("malformed RTP: {error}"))?;
        let header = &packet.header;
        let Some(consumer) = self.consumer_by_ssrc.get(&(peer, header.ssrc)).copied() else {
            return Err(format!("sent SSRC {:#x}, which is no consumer's", header.ssrc));
        };
        let one = &mut self.consumers[consumer];
        let source = &self.sources[one.source];
        let seen = Seen { header, payload: &packet.payload, whole: plain, now_ns: self.now_ns };
        let number = one.number;
        let kind = one
            .saw(source, &seen)
            .map_err(|broken| format!("consumer {number} of source {}: {broken}", source.number))?;
        let next = &mut self.peers[peer].next_transport_cc;
        let stamped = check_extensions(&one.options, header, self.now_ns, next)
            .map_err(|broken| format!("consumer {number} of source {}: {broken}", source.number))?;
        self.coverage.stamped += u64::from(stamped);
        self.coverage.renumbered += u64::from(one.renumbers());
        if kind == Kind::Padding {
            self.coverage.padding += 1;
            return Ok(Delivered::Padding);
        }
        let media = if kind == Kind::Retransmission { packet.payload.get(2..) } else { packet.payload.get(..) };
        let index = media.and_then(super::source::stamp).map_or(0, |(_, index)| index);
        let sent = &source.sent[usize::try_from(index).expect("it was found")];
        one.last_sent_ns = Some(self.now_ns);
        one.synced_ns = one.synced_ns.or(Some(self.now_ns));
        match kind {
            Kind::Media => {
                self.coverage.media += 1;
                let from = &self.peers[source.peer];
                self.web.mixed += u64::from(from.web.is_some() != self.peers[peer].web.is_some());
                match self.peers[peer].wire.suite() {
                    Some(SrtpCryptoSuite::AesCm128HmacSha1_80) => self.coverage.cm += 1,
                    Some(_) => self.coverage.gcm += 1,
                    None => {}
                }
            }
            Kind::Repeated => self.coverage.repeated += 1,
            Kind::Retransmission => self.coverage.retransmitted += 1,
            Kind::Padding => {}
        }
        let sequence = match (kind, packet.payload.first_chunk::<2>()) {
            (Kind::Retransmission, Some(original)) => u16::from_be_bytes(*original),
            _ => header.sequence_number,
        };
        Ok(Delivered::Media { consumer, sequence, key_start: sent.key_start })
    }

    /// A packet reaches a participant.
    pub(super) fn deliver(&mut self, peer: usize, packet: Delivered) -> Result<(), Broken> {
        if let Delivered::Datagram { from, to, bytes } = &packet {
            return self.deliver_webrtc(peer, *from, *to, bytes);
        }
        if self.peers[peer].state != State::Joined {
            return Ok(());
        }
        match packet {
            Delivered::Media { consumer, sequence, key_start } => {
                self.consumers[consumer].sink.receive(self.now_ns, sequence, key_start);
            }
            Delivered::Asked(asked) => {
                for source in asked.key_frames {
                    self.sources[source].key_wanted = true;
                }
                for (source, index) in asked.again {
                    self.send_again(peer, source, index);
                }
            }
            Delivered::Datagram { .. } | Delivered::Padding => {}
        }
        Ok(())
    }

    fn send_again(&mut self, peer: usize, source: usize, index: u64) {
        let from = &mut self.sources[source];
        if from.plan.rtx.is_some() {
            let Some(plain) = from.retransmission(index) else { return };
            let sealed = self.peers[peer].wire.seal(&plain);
            self.send_up(peer, false, sealed, &About::Media { source, index, rtx: true });
        } else if let Some(sealed) = from.again(index) {
            self.send_up(peer, false, sealed, &About::Media { source, index, rtx: false });
        }
    }

    /// Sends a datagram to the server over the participant's link.
    pub(super) fn send_up(&mut self, peer: usize, rtcp: bool, sealed: Bytes, about: &About) {
        let Peer { plan, local, rtcp_local, .. } = &self.peers[peer];
        let from = if rtcp { plan.rtcp } else { plan.rtp };
        let Some(to) = (if rtcp && !plan.mux { *rtcp_local } else { *local }) else { return };
        self.overhear(peer, rtcp, &sealed, about);
        self.carry_up(peer, from, to, sealed, about);
    }

    /// An eavesdropper keeps a copy.
    pub(super) fn overhear(&mut self, peer: usize, rtcp: bool, sealed: &Bytes, about: &About) {
        let recent = &mut self.peers[peer].recent;
        recent.push((rtcp, sealed.clone(), about.clone()));
        if recent.len() > RECENT {
            recent.remove(0);
        }
    }

    /// A datagram is on its way to the server.
    pub(super) fn carry_up(&mut self, peer: usize, from: SocketAddr, to: SocketAddr, bytes: Bytes, about: &About) {
        let arrivals = self.peers[peer].up.send(self.now_ns, wire_len(&bytes), &mut self.random);
        for at_ns in arrivals.into_iter().flatten() {
            self.at(at_ns, Event::ToServer { to, from, bytes: bytes.clone(), about: about.clone() });
        }
    }

    /// A source sends a frame.
    pub(super) fn media(&mut self, source: usize) -> Result<(), Broken> {
        let peer = self.sources[source].peer;
        if self.peers[peer].state != State::Joined || self.now_ns > self.plan.quiet_ns {
            return Ok(());
        }
        self.act_in(1_000 * MS / self.sources[source].plan.frames_per_s, Act::Media(source));
        if self.peers[peer].plan.webrtc.is_some() {
            return self.media_webrtc(source);
        }
        for packet in self.sources[source].frame(&mut self.random) {
            let sealed = self.peers[peer].wire.seal(&packet.plain);
            self.sources[source].keep(&packet, sealed.clone());
            self.send_up(peer, false, sealed, &About::Media { source, index: packet.index, rtx: false });
        }
        Ok(())
    }

    /// The machine has taken in a datagram of ours.
    pub(super) fn note_arrival(&mut self, path: Path, about: About) {
        match about {
            About::Media { source, index, rtx } => self.note_media(path, source, index, rtx),
            About::Asks(asks) => {
                for (consumer, sequences) in asks {
                    for sequence in sequences {
                        self.consumers[consumer].asked_for(sequence);
                    }
                }
            }
            About::Check { .. } | About::Other => {}
        }
    }

    fn note_media(&mut self, path: Path, source: usize, index: u64, rtx: bool) {
        let from = &mut self.sources[source];
        let peer = &self.peers[from.peer];
        // WebRTC media is taken from every path that a check has validated.
        let is_valid = match &peer.web {
            Some(web) => web.paths.is_valid(path),
            None => peer.connected || peer.plan.comedia,
        };
        let taken_in = from.produced && !from.closed && peer.key_known && is_valid;
        // What has not been passed cannot be a retransmission.
        if !taken_in || (rtx && from.newest_arrived.is_none_or(|newest| index > newest)) {
            return;
        }
        let live = from.is_live();
        let newest = from.newest_arrived.map_or(index, |newest| newest.max(index));
        let sent = &mut from.sent[usize::try_from(index).expect("it was sent")];
        if sent.arrived.is_some() {
            return;
        }
        self.arrivals += 1;
        sent.arrived = Some(self.arrivals);
        self.web.retransmitted_upstream += u64::from(rtx && peer.web.is_some());
        from.key_arrived |= sent.key_start;
        from.newest_arrived = Some(newest);
        if live && from.is_remembered(index) {
            self.fresh.push((source, index, self.arrivals, self.now_ns));
        }
    }

    /// A participant looks at what it has, asks for what it misses and now and then reports.
    pub(super) fn tick(&mut self, at: usize) -> Result<(), Broken> {
        if self.peers[at].state != State::Joined {
            return Ok(());
        }
        if self.peers[at].plan.webrtc.is_some() {
            return self.tick_webrtc(at);
        }
        self.act_in(TICK_NS, Act::Tick(at));
        let report_is_due = self.peers[at].ticks.is_multiple_of(REPORT_TICKS);
        self.peers[at].ticks += 1;
        let mut packets = Vec::new();
        if report_is_due {
            packets.extend(self.reports(at).into_iter().map(|report| (report, None)));
        }
        self.feedback(at, &mut packets);
        let reduced = self.peers[at].plan.reduced_size || report_is_due;
        let ssrc = self.peers[at].plan.rtcp_ssrc;
        for (number, chunk) in packets.chunks(MAX_COMPOUND).enumerate() {
            let mut datagram = Vec::new();
            if !reduced || number > 0 {
                datagram.extend([receiver_report(ssrc, Vec::new()), description(ssrc)]);
            }
            datagram.extend(chunk.iter().map(|(packet, _)| packet.clone()));
            let sealed = self.peers[at].wire.seal(&compound(&datagram));
            let asks = chunk.iter().filter_map(|(_, asks)| asks.clone()).collect();
            self.send_up(at, true, sealed, &About::Asks(asks));
        }
        Ok(())
    }

    fn reports(&self, at: usize) -> Vec<RtcpPacket> {
        let peer = &self.peers[at];
        let sources = peer.sources.iter().map(|source| &self.sources[*source]).filter(|source| !source.sent.is_empty());
        let mut packets: Vec<_> = sources.map(|source| sender_report(source, self.now_ns)).collect();
        let blocks = peer.consumers.iter().filter_map(|consumer| {
            let consumer = &self.consumers[*consumer];
            let (last_sequence_number, total_lost) = consumer.sink.report()?;
            Some(ReceptionReport {
                ssrc: consumer.options.ssrc,
                last_sequence_number,
                total_lost,
                ..ReceptionReport::default()
            })
        });
        packets.push(receiver_report(peer.plan.rtcp_ssrc, blocks.take(31).collect()));
        packets.push(description(peer.plan.rtcp_ssrc));
        packets
    }

    /// What its consumers ask for: each packet with the consumer and the numbers that it asks for again, if any.
    fn feedback(&mut self, at: usize, packets: &mut Vec<(RtcpPacket, Option<Asks>)>) {
        let Peer { plan, consumers, fir_number, .. } = &mut self.peers[at];
        for key in consumers.iter() {
            let consumer = &mut self.consumers[*key];
            if consumer.closed {
                continue;
            }
            if consumer.options.nack {
                let wanted = consumer.sink.wanted(self.now_ns);
                if !wanted.is_empty() {
                    packets.push((nack(plan.rtcp_ssrc, consumer.options.ssrc, &wanted), Some((*key, wanted))));
                }
            }
            if consumer.ready_since_ns.is_some() && consumer.sink.wants_key(self.now_ns) {
                *fir_number = fir_number.wrapping_add(1);
                let fir = fir_number.is_multiple_of(3).then_some(*fir_number);
                packets.push((key_frame_request(plan.rtcp_ssrc, consumer.options.ssrc, fir), None));
            }
        }
    }

    /// A stranger tries something.
    pub(super) fn hostile(&mut self) {
        if self.now_ns < self.plan.quiet_ns {
            let wait_ns = self.random.range(1..=15) * MS;
            self.act_in(wait_ns, Act::Hostile);
        }
        let at = self.random.index(self.peers.len());
        let peer = &self.peers[at];
        let (Some(local), Some((rtcp, captured, about))) = (peer.local, peer.recent.first().cloned()) else { return };
        let mut replayed = About::Other;
        let to = if rtcp && !peer.plan.mux { peer.rtcp_local.unwrap_or(local) } else { local };
        let own = peer.web.as_ref().map_or(if rtcp { peer.plan.rtcp } else { peer.plan.rtp }, |web| web.public);
        let known = peer.connected && peer.rtcp_connected;
        // An attacker who can write into a handshake under way can end it.
        let webrtc = peer.web.is_some();
        let secure = peer.plan.srtp.is_some() || (webrtc && known);
        // Without an announced SSRC, plain RTP of the right type from the right address is the stream.
        let announced = peer.plan.sources.iter().all(|source| source.options.encodings[0].ssrc.is_some());
        // A stranger who repeats a check from elsewhere is believed until the next check comes.
        let believed = matches!(about, About::Check { .. }) && self.now_ns > self.plan.heal_ns;
        let stranger = stranger(at);
        let mut bytes = captured.to_vec();
        let from = match self.random.range(0..=5) {
            // The first sender on a plain comedia transport becomes its remote side: that is what comedia means.
            0 if known || secure => {
                bytes = self.garbage();
                stranger
            }
            1 if known && !believed => {
                replayed = if webrtc { about } else { About::Other };
                stranger
            }
            2 if (known || secure) && !believed => {
                replayed = about; // it may be the first that arrives, if the original was lost
                own
            }
            3 if secure => {
                let at = self.random.index(bytes.len());
                bytes[at] ^= 1 << self.random.range(0..=7);
                own
            }
            4 if secure => {
                bytes.truncate(self.random.index(bytes.len()));
                own
            }
            5 if known && (secure || announced) => {
                bytes = self.garbage();
                own
            }
            _ => return,
        };
        self.coverage.hostile += 1;
        self.at(self.now_ns + 1, Event::ToServer { to, from, bytes: bytes.into(), about: replayed });
    }

    fn garbage(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.random.range(0..=200)).expect("small")];
        self.random.fill(&mut bytes);
        if let Some(first) = bytes.first_mut()
            && self.random.percent(60)
        {
            *first = *first & 0x3F | 0x80;
        }
        bytes
    }
}
