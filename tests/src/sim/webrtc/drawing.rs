//! Runs with WebRTC participants, drawn from a seed or made for a test of one thing.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use corecast_wire::{Codec, DtlsVersions, ExtensionMapping, HeaderExtension, MediaKind};
use str0m::config::DtlsVersion;

use super::plan::{AUDIO_TYPES, CONSENT_NS, LATE_DELAY_US, Leave, Move, VIDEO_TYPES, WebRtcPlan, sent_mid};
use crate::sim::link::{LinkModel, Loss};
use crate::sim::numbers::MS;
use crate::sim::random::Random;
use crate::sim::scenario::{PeerPlan, Plan, SourcePlan};

impl Plan {
    /// The run of a seed, with WebRTC participants.
    #[must_use]
    pub fn draw_webrtc(random: &mut Random) -> Self {
        let chaos_ns = random.range(1_500..=4_000) * MS;
        let versions = random.pick(&[DtlsVersions::V12, DtlsVersions::V13, DtlsVersions::Both]);
        let routers = random.pick(&[1, 1, 2]);
        let count = random.range(2..=4);
        let mut peers: Vec<_> = (0..count).map(|at| PeerPlan::draw(random, at, routers, chaos_ns, false)).collect();
        if peers.iter().all(|peer| peer.sources.is_empty()) {
            peers[0].sources.push(SourcePlan::draw(random, MediaKind::Video, 0));
        }
        let plain = if random.percent(25) { random.index(peers.len()) } else { usize::MAX };
        for (at, peer) in peers.iter_mut().enumerate() {
            if at == plain {
                peer.sources.iter_mut().for_each(|source| source.in_rooms_with_webrtc());
            } else {
                peer.make_webrtc(random, versions, chaos_ns);
            }
        }
        let mut plan = Self { routers, peers, webrtc: Some(versions), replicas: 1, ..Self::draw(random) };
        plan.end_after(chaos_ns);
        if random.percent(3) {
            plan.cut_off(random);
        }
        plan
    }

    /// Sets the end, so late that a participant that has fallen silent is noticed.
    pub(in crate::sim) fn end_after(&mut self, chaos_ns: u64) {
        self.heal_ns = chaos_ns;
        self.quiet_ns = chaos_ns + 5_000 * MS;
        self.close_ns = self.quiet_ns + 500 * MS;
        for peer in &self.peers {
            let says_nothing = peer.webrtc.as_ref().is_some_and(|webrtc| webrtc.leave != Leave::Closed);
            if let Some(leave_ns) = peer.leave_ns.filter(|_| says_nothing) {
                // Until the links heal, a stranger may repeat its checks.
                self.close_ns = self.close_ns.max(leave_ns.max(self.heal_ns) + CONSENT_NS + 1_000 * MS);
            }
        }
    }

    /// The last participant is cut off for longer than consent lasts, and comes back.
    fn cut_off(&mut self, random: &mut Random) {
        let last = self.peers.len() - 1;
        let peer = &mut self.peers[last];
        let Some(webrtc) = &mut peer.webrtc else { return };
        peer.leave_ns = None;
        let from_ns = peer.join_ns + random.range(1_000..=2_000) * MS;
        let to_ns = from_ns + CONSENT_NS + random.range(2_000..=60_000) * MS;
        (webrtc.outage, webrtc.moves, webrtc.restarts) =
            (Some((from_ns, to_ns)), vec![(to_ns, Move::Moved)], vec![to_ns]);
        self.end_after(to_ns);
    }

    /// Two WebRTC participants on clean links: the first sends video, the second watches from `join_ns` on. For tests
    /// of one thing.
    #[must_use]
    pub fn plain_webrtc(random: &mut Random, join_ns: u64) -> Self {
        let mut plan = Self::plain(random);
        let versions = DtlsVersions::Both;
        plan.webrtc = Some(versions);
        for peer in &mut plan.peers {
            (peer.rtx, peer.sources) = (true, Vec::new());
            peer.make_webrtc(random, versions, MS);
            let webrtc = peer.webrtc.as_mut().expect("just made");
            (webrtc.moves, webrtc.restarts) = (Vec::new(), Vec::new());
            (webrtc.dtls_client, webrtc.version) = (true, DtlsVersion::Auto);
        }
        let mut source = SourcePlan::draw(random, MediaKind::Video, 0);
        source.with_retransmissions();
        let publisher = &mut plan.peers[0];
        source.adapt_to_str0m(0, publisher.webrtc.as_ref().expect("just made"));
        publisher.sources.push(source);
        plan.peers[0].subscribes = false;
        plan.peers[1].join_ns = join_ns;
        plan
    }

    /// [`Self::plain_webrtc`] with a receiver who falls silent after a second.
    #[must_use]
    pub fn silent_webrtc(random: &mut Random) -> Self {
        let mut plan = Self::plain_webrtc(random, 0);
        plan.peers[1].leave_ns = Some(1_000 * MS);
        plan.peers[1].webrtc.as_mut().expect("it is one").leave = Leave::Silent;
        plan.end_after(1_000 * MS);
        plan
    }

    /// [`Self::plain_webrtc`] with a receiver who joins after 5 s and loses 5 percent each way.
    #[must_use]
    pub fn late_and_lossy(random: &mut Random) -> Self {
        let mut plan = Self::plain_webrtc(random, 5_000 * MS);
        let link = LinkModel { loss: Loss::Bernoulli(50_000), ..LinkModel::clean(LATE_DELAY_US) };
        (plan.peers[1].up, plan.peers[1].down) = (link, link);
        let source = &mut plan.peers[0].sources[0];
        (source.frames_per_s, source.max_packets, source.max_payload) = (30, 8, 1_100);
        (plan.batch_wait_us, plan.timer_slack_us, plan.refuse_ppm) = (100, 0, 0);
        (plan.heal_ns, plan.quiet_ns, plan.close_ns) = (25_000 * MS, 27_000 * MS, 28_000 * MS);
        plan
    }
}

impl PeerPlan {
    pub(in crate::sim) fn make_webrtc(&mut self, random: &mut Random, versions: DtlsVersions, chaos_ns: u64) {
        (self.mux, self.comedia, self.srtp) = (true, false, None);
        // str0m asks for packets again only where there is a stream for them.
        self.nack = self.rtx;
        self.rtcp = self.rtp;
        let webrtc = WebRtcPlan::draw(random, versions, self.join_ns, chaos_ns);
        for (at, source) in self.sources.iter_mut().enumerate() {
            source.adapt_to_str0m(at, &webrtc);
        }
        self.webrtc = Some(webrtc);
    }

    /// The address that participant `at` has after it has changed `moves` times.
    #[must_use]
    pub fn address_after(&self, at: usize, moves: u16) -> SocketAddr {
        let number = u16::try_from(at).expect("few peers");
        match moves {
            0 => self.rtp,
            _ if moves % 2 == 1 => SocketAddr::from((Ipv4Addr::new(10, 2, 0, number.to_be_bytes()[1]), 6_000 + moves)),
            _ => SocketAddr::from((Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 2, number), 6_000 + moves)),
        }
    }
}

impl SourcePlan {
    /// Only one codec of each kind, and the rooms' payload types for it: a WebRTC participant knows no others.
    fn in_rooms_with_webrtc(&mut self) {
        if self.is_video() {
            self.codec = Codec::Vp8;
        }
        for codec in &mut self.options.codecs {
            codec.mapped_payload_type = match codec.codec {
                Codec::Rtx { .. } => VIDEO_TYPES[1].1,
                Codec::Other => AUDIO_TYPES[1],
                _ => VIDEO_TYPES[1].0,
            };
            if !matches!(codec.codec, Codec::Rtx { .. }) {
                codec.codec = self.codec;
            }
        }
    }

    fn with_retransmissions(&mut self) {
        self.rtx = Some((self.ssrc | 1, VIDEO_TYPES[0].1));
        self.options.encodings[0].rtx_ssrc = Some(self.ssrc | 1);
    }

    /// As str0m sends it.
    pub(in crate::sim) fn adapt_to_str0m(&mut self, at: usize, sender: &WebRtcPlan) {
        self.in_rooms_with_webrtc();
        let video = self.is_video();
        let wanted = |known: HeaderExtension| known != HeaderExtension::AudioLevel || !video;
        self.extensions = sender
            .extensions
            .iter()
            .filter(|(known, _)| wanted(*known))
            .zip(3..)
            .map(|((extension, id), mapped_id)| ExtensionMapping { extension: *extension, id: *id, mapped_id })
            .collect();
        let (media, rtx) = if video { VIDEO_TYPES[0] } else { (AUDIO_TYPES[0], 0) };
        let clock_rate_hz = self.clock_rate_hz();
        self.options.codecs.truncate(1);
        self.options.codecs[0].payload_type = media;
        if let Some((_, payload_type)) = &mut self.rtx {
            *payload_type = rtx;
            let codec = Codec::Rtx { apt: media };
            let mapped_payload_type = VIDEO_TYPES[1].1;
            let mapping = corecast_wire::CodecMapping { payload_type: rtx, mapped_payload_type, codec, clock_rate_hz };
            self.options.codecs.push(mapping);
        }
        self.options.header_extensions.clone_from(&self.extensions);
        self.options.mid = Some(sent_mid(at));
        if sender.extension(HeaderExtension::Mid).is_none() {
            // Then its SSRC is all that tells it from others.
            let encoding = &mut self.options.encodings[0];
            (encoding.ssrc, encoding.rtx_ssrc) = (Some(self.ssrc), self.rtx.map(|(ssrc, _)| ssrc));
        }
        self.options.nack = self.rtx.is_some();
        self.options.transport_cc = sender.extension(HeaderExtension::TransportCc).is_some();
        self.options.remb = !self.options.transport_cc;
        (self.two_byte, self.pad_every) = (false, 0);
    }
}
