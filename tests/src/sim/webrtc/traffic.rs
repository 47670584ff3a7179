//! What travels between the machine and str0m.

use std::net::SocketAddr;

use bytes::Bytes;
use corecast_core::Path;
use rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use str0m::media::Mid;
use str0m::rtp::RtpPacket;
use webrtc_util::marshal::Unmarshal;

use super::client::{Client, Said};
use super::datagrams::{DatagramKind, is_handshake, kind_of};
use super::participant::{Web, WebAct};
use super::plan::{SERVER, sent_mid};
use crate::sim::consumer::{Broken, check};
use crate::sim::delivery::{About, Delivered};
use crate::sim::machine::Machine;
use crate::sim::numbers::MS;
use crate::sim::source::stamp;
use crate::sim::wire::is_rtcp;
use crate::sim::world::{Act, Event, State, World};

/// Between two looks of a participant at whether it needs a key frame.
const TICK_NS: u64 = 50 * MS;
/// Least time until str0m is called again.
const LEAST_WAIT_NS: u64 = 10_000;

impl<M: Machine> World<M> {
    /// Lets a participant do something, and carries what it says.
    pub(in crate::sim) fn talk(
        &mut self,
        at: usize,
        call: impl FnOnce(&mut Client, u64) -> Result<Vec<Said>, Broken>,
    ) -> Result<(), Broken> {
        let now_ns = self.now_ns;
        let (left, key_known) = (self.peers[at].state == State::Left, self.peers[at].key_known);
        let Some(web) = self.peers[at].web.as_deref_mut().filter(|web| !web.gone) else { return Ok(()) };
        let all = match call(&mut web.client, now_ns) {
            Ok(all) => all,
            // The server no longer answers its handshake, or not in time.
            Err(_) if left || (web.disturbed && !key_known) => {
                web.gone = true;
                return Ok(());
            }
            Err(broken) => return Err(format!("peer {at}: {broken}")),
        };
        for said in all {
            match said {
                Said::Datagram { from, to, bytes } => self.send_up_webrtc(at, from, to, bytes),
                Said::Opened(packet) => self.opened(at, &packet).map_err(|broken| format!("peer {at}: {broken}"))?,
                Said::KeyFrame(mid) => self.key_frame_wanted(at, mid),
            }
        }
        self.schedule(at);
        Ok(())
    }

    /// Calls a participant when it wants to be called.
    pub(super) fn schedule(&mut self, at: usize) {
        let least_ns = self.now_ns + LEAST_WAIT_NS;
        let Some(web) = &mut self.peers[at].web else { return };
        let due_ns = web.client.wake_ns.max(least_ns);
        if due_ns < web.scheduled_ns {
            web.scheduled_ns = due_ns;
            self.at(due_ns, Event::Act(Act::Web(at, WebAct::Wake)));
        }
    }

    fn send_up_webrtc(&mut self, at: usize, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        let about = self.about(at, &bytes);
        let Some(web) = &self.peers[at].web else { return };
        // What still leaves an address that it has given up is lost.
        if web.cut || from != web.client.host {
            return;
        }
        let public = web.public;
        if !is_handshake(&bytes) {
            self.overhear(at, is_rtcp(&bytes), &bytes, &about);
        }
        self.carry_up(at, public, to, bytes, &about);
    }

    /// What a datagram of a participant is.
    fn about(&mut self, at: usize, bytes: &Bytes) -> About {
        let peer = &mut self.peers[at];
        let Some(web) = &mut peer.web else { return About::Other };
        match kind_of(bytes) {
            Some(DatagramKind::Stun) => About::check(at, bytes),
            Some(DatagramKind::Media) if peer.key_known && is_rtcp(bytes) => {
                web.up.open(bytes).map_or(About::Other, |plain| self.about_rtcp(at, &plain))
            }
            Some(DatagramKind::Media) if !is_rtcp(bytes) => self.about_rtp(at, bytes),
            _ => About::Other,
        }
    }

    fn about_rtp(&mut self, at: usize, bytes: &Bytes) -> About {
        let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
        let ssrc = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        let (sources, peer) = (&self.sources, &mut self.peers[at]);
        for source in peer.sources.iter().copied() {
            let from = &sources[source];
            if from.plan.ssrc == ssrc {
                let index = from.index_of(sequence);
                return index.map_or(About::Other, |index| About::Media { source, index, rtx: false });
            }
            if peer.key_known && from.plan.rtx.is_some_and(|(rtx, _)| rtx == ssrc) {
                let plain = peer.web.as_mut().and_then(|web| web.up.open(bytes).ok());
                let packet = plain.and_then(|plain| rtp::packet::Packet::unmarshal(&mut &plain[..]).ok());
                let original = packet.and_then(|packet| packet.payload.first_chunk().copied());
                let index = original.and_then(|original| from.index_of(u16::from_be_bytes(original)));
                return index.map_or(About::Other, |index| About::Media { source, index, rtx: true });
            }
        }
        About::Other
    }

    fn about_rtcp(&mut self, at: usize, plain: &Bytes) -> About {
        let packets = rtcp::packet::unmarshal(&mut &plain[..]).unwrap_or_default();
        let nacks = packets.iter().filter_map(|packet| packet.as_any().downcast_ref::<TransportLayerNack>());
        let mut asks = Vec::new();
        for nack in nacks {
            let Some(consumer) = self.consumer_by_ssrc.get(&(at, nack.media_ssrc)).copied() else { continue };
            let sequences: Vec<u16> = nack.nacks.iter().flat_map(|pair| pair.packet_list()).collect();
            sequences.iter().for_each(|sequence| self.consumers[consumer].sink.has_asked(*sequence));
            asks.push((consumer, sequences));
        }
        if asks.is_empty() { About::Other } else { About::Asks(asks) }
    }

    /// A datagram leaves on an endpoint that all WebRTC transports share. Answers to whom.
    pub(in crate::sim) fn check_leaving_webrtc(
        &mut self,
        path: Path,
        bytes: &Bytes,
    ) -> Result<(usize, Delivered), Broken> {
        let Some(at) = self.peer_by_address.get(&path.remote).copied() else {
            return Err(format!("sent to {}, from where nobody has sent", path.remote));
        };
        let kind = kind_of(bytes);
        let now_ns = self.now_ns;
        let Some(web) = &mut self.peers[at].web else { return Err(format!("sent to {}", path.remote)) };
        match kind {
            Some(DatagramKind::Stun) => {
                web.paths.answer(path, bytes)?;
                self.web.answered += 1;
            }
            Some(DatagramKind::Dtls) => web.paths.handshake(now_ns, path, bytes.len())?,
            Some(DatagramKind::Media) => {
                if web.paths.media(now_ns, path, bytes)? {
                    self.refresh();
                }
                let plain = self.peers[at].wire.open(bytes)?;
                check!(self.peers[at].key_known, "sent media before there were keys");
                if is_rtcp(bytes) {
                    self.check_leaving_rtcp(at, &plain)?;
                } else {
                    self.check_rtp(at, &plain)?;
                }
            }
            None => return Err("sent what is neither STUN nor DTLS nor media".to_owned()),
        }
        let from = SERVER[usize::try_from(path.local.0).expect("two endpoints")];
        Ok((at, Delivered::Datagram { from, to: path.remote, bytes: bytes.clone() }))
    }

    /// A datagram reaches a participant's address.
    pub(in crate::sim) fn deliver_webrtc(
        &mut self,
        at: usize,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &Bytes,
    ) -> Result<(), Broken> {
        let peer = &self.peers[at];
        let reached = |web: &&Web| !web.gone && !web.cut && web.public == to;
        let Some(web) = peer.web.as_deref().filter(reached) else { return Ok(()) };
        let lived = web.client.is_alive();
        self.talk(at, |client, now_ns| client.receive(now_ns, from, bytes))?;
        let lives = self.peers[at].web.as_ref().is_some_and(|web| web.client.is_alive());
        if lived && !lives {
            check!(self.peers[at].state == State::Left, "peer {at} was told goodbye");
            self.web.goodbyes_told += 1;
        }
        Ok(())
    }

    /// str0m has opened a packet of media: it is one that left for it, and comes once.
    fn opened(&mut self, at: usize, packet: &RtpPacket) -> Result<(), Broken> {
        let ssrc = *packet.header.ssrc;
        let Some(key) = self.consumer_by_ssrc.get(&(at, ssrc)).copied() else {
            return Err(format!("opened SSRC {ssrc:#x}, which is no consumer's"));
        };
        let consumer = &mut self.consumers[key];
        let source = &self.sources[consumer.source];
        let Some((number, index)) = stamp(&packet.payload) else { return Err("opened what nobody sent".to_owned()) };
        check!(number == source.number, "opened media of source {number} instead of {}", source.number);
        let sent = usize::try_from(index).ok().and_then(|index| source.sent.get(index));
        let Some(sent) = sent.filter(|sent| sent.is(&packet.payload)) else {
            return Err(format!("opened packet {index} of source {number} with another payload"));
        };
        let sequence = packet.header.sequence_number;
        let left = consumer.sequence_of(index);
        check!(left.is_none_or(|left| left == sequence), "opened packet {index} as {sequence}, it left as {left:?}");
        let marker = packet.header.marker;
        check!(marker == sent.marker || sent.part.is_some(), "opened packet {index} with marker {marker}");
        let mid = packet.header.ext_vals.mid;
        let known = consumer.options.mid.as_deref().map(Mid::from);
        check!(mid.is_none_or(|mid| Some(mid) == known), "opened packet {index} with MID {mid:?}");
        let repaired = consumer.sink.repaired;
        consumer.sink.receive(self.now_ns, sequence, sent.key_start);
        self.web.opened += 1;
        self.web.opened_repaired += consumer.sink.repaired - repaired;
        let Some(web) = &mut self.peers[at].web else { return Ok(()) };
        let before = web.opened.entry(key).or_default().insert(index, self.now_ns);
        check!(before.is_none(), "opened packet {index} twice");
        Ok(())
    }

    fn key_frame_wanted(&mut self, at: usize, mid: Mid) {
        self.web.key_frames_asked += 1;
        for (number, source) in self.peers[at].sources.iter().enumerate() {
            if Mid::from(sent_mid(number).as_str()) == mid {
                self.sources[*source].key_wanted = true;
            }
        }
    }

    /// A source of a WebRTC participant sends a frame.
    pub(in crate::sim) fn media_webrtc(&mut self, source: usize) -> Result<(), Broken> {
        let from = &mut self.sources[source];
        let at = from.peer;
        // What str0m has queued until then would leave all at once, in the order of a hash map.
        let can_send = self.peers[at].web.as_ref().is_some_and(|web| web.client.is_connected());
        let Some(plan) = self.peers[at].plan.webrtc.clone().filter(|_| can_send) else { return Ok(()) };
        let first = u64::from(from.plan.first_sequence);
        let packets: Vec<_> = from
            .frame(&mut self.random)
            .into_iter()
            .map(|packet| {
                let plain = rtp::packet::Packet::unmarshal(&mut &packet.plain[..]).expect("ours");
                (first + packet.index, plain, packet.descriptor)
            })
            .collect();
        self.talk(at, |client, now_ns| client.send(now_ns, &packets, &plan))
    }

    /// A participant asks for the key frames that it needs. Everything else str0m does by itself.
    pub(in crate::sim) fn tick_webrtc(&mut self, at: usize) -> Result<(), Broken> {
        if self.peers[at].web.as_ref().is_none_or(|web| web.gone) {
            return Ok(());
        }
        self.act_in(TICK_NS, Act::Tick(at));
        for key in self.peers[at].consumers.clone() {
            let consumer = &mut self.consumers[key];
            if consumer.closed || consumer.ready_since_ns.is_none() || !consumer.sink.wants_key(self.now_ns) {
                continue;
            }
            let (ssrc, peer) = (consumer.options.ssrc, &mut self.peers[at]);
            peer.fir_number = peer.fir_number.wrapping_add(1);
            let fir = peer.fir_number.is_multiple_of(3);
            self.talk(at, |client, now_ns| client.want_key_frame(now_ns, ssrc, fir))?;
        }
        Ok(())
    }
}
