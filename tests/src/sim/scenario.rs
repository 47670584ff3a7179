//! What a run is made of, drawn from its seed before it begins: who takes part, over which links, sending what.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use corecast_core::OutboxSize;
use corecast_wire::{
    Codec, CodecMapping, DtlsVersions, EncodingMapping, ExtensionMapping, HeaderExtension, MediaKind, ProduceOptions,
    SrtpCryptoSuite, SrtpParameters,
};

use super::link::{LinkModel, Loss};
use super::numbers::MS;
use super::random::Random;
use super::svc::Svc;
use super::webrtc::plan::WebRtcPlan;

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Rooms.
    pub routers: u64,
    /// The participants.
    pub peers: Vec<PeerPlan>,
    /// When the links heal. After that, no participant comes or goes.
    pub heal_ns: u64,
    /// When the sources stop.
    pub quiet_ns: u64,
    /// When everything is closed.
    pub close_ns: u64,
    /// Datagrams wait up to this long for their batch.
    pub batch_wait_us: u64,
    /// A timer is served so much late.
    pub timer_slack_us: u64,
    /// Sends that the kernel refuses, of a million.
    pub refuse_ppm: u32,
    /// How much the outbox holds: little of it makes rounds pause, with commands between their parts.
    pub outbox: OutboxSize,
    /// A pause is so long at most; short where so much is sent that the rounds would not end.
    pub pause_us: u64,
    /// Most that sound waits for more sound.
    pub sound_wait_ms: u64,
    /// Whether endpoint operations are carried out, as `connect` does.
    pub connect_sockets: bool,
    /// Strangers send garbage, replays and forgeries.
    pub hostile: bool,
    /// Mean time between two random commands, in ms; 0 for none.
    pub churn_ms: u64,
    /// Now and then only the loudest are to be heard.
    pub limits_sound: bool,
    /// Every subscription is made so many times.
    pub replicas: u64,
    /// Versions of DTLS that the server speaks, if there are WebRTC participants.
    pub webrtc: Option<DtlsVersions>,
    /// When the worker dies and another one takes its place.
    pub crashes_ns: Vec<u64>,
}

/// A few packets.
const SMALL_OUTBOX: OutboxSize = OutboxSize { bytes: 16_384, segments: 12, trains: 6 };
/// Hardly more than one packet.
const TINY_OUTBOX: OutboxSize = OutboxSize { bytes: 4_096, segments: 2, trains: 2 };

/// One participant: one transport.
#[derive(Clone, Debug)]
pub struct PeerPlan {
    /// Its room.
    pub router: u64,
    /// When it joins.
    pub join_ns: u64,
    /// When it leaves, if before the end.
    pub leave_ns: Option<u64>,
    /// Time between the transport's creation and its connection.
    pub connect_after_ns: u64,
    /// Where its RTP comes from and goes to.
    pub rtp: SocketAddr,
    /// Where its RTCP comes from and goes to.
    pub rtcp: SocketAddr,
    /// One port for both.
    pub mux: bool,
    /// The server learns its address.
    pub comedia: bool,
    /// Its key and the server's.
    pub srtp: Option<(SrtpParameters, SrtpParameters)>,
    /// To the server.
    pub up: LinkModel,
    /// From the server.
    pub down: LinkModel,
    /// What it sends.
    pub sources: Vec<SourcePlan>,
    /// It takes what the others send.
    pub subscribes: bool,
    /// It takes retransmissions on a stream of their own.
    pub rtx: bool,
    /// It asks for what it misses.
    pub nack: bool,
    /// It knows header extensions.
    pub extensions: bool,
    /// Its feedback comes without a report in front (RFC 5506).
    pub reduced_size: bool,
    /// SSRC of its own RTCP.
    pub rtcp_ssrc: u32,
    /// It is a WebRTC participant.
    pub webrtc: Option<WebRtcPlan>,
}

/// One media stream that a participant sends.
#[derive(Clone, Debug)]
pub struct SourcePlan {
    /// What the router is told.
    pub options: ProduceOptions,
    /// The codec, and how it is numbered by its sender and by the router.
    pub codec: Codec,
    /// Its SSRC.
    pub ssrc: u32,
    /// Retransmission stream: SSRC and the sender's payload type.
    pub rtx: Option<(u32, u8)>,
    /// Extensions as sent.
    pub extensions: Vec<ExtensionMapping>,
    /// Extensions in the two-byte form (RFC 8285 section 4.3).
    pub two_byte: bool,
    /// Contributing sources.
    pub csrcs: Vec<u32>,
    /// Frames per second.
    pub frames_per_s: u64,
    /// Most packets of a frame.
    pub max_packets: u64,
    /// Most bytes of payload.
    pub max_payload: u64,
    /// First sequence number.
    pub first_sequence: u16,
    /// Every so many packets one has padding (RFC 3550 section 5.1); 0 for never.
    pub pad_every: u64,
    /// Layers within it.
    pub svc: Option<Svc>,
}

impl SourcePlan {
    /// Payload type as sent.
    #[must_use]
    pub fn payload_type(&self) -> u8 {
        self.options.codecs[0].payload_type
    }

    /// Payload type as the router calls it.
    #[must_use]
    pub fn mapped_payload_type(&self) -> u8 {
        self.options.codecs[0].mapped_payload_type
    }

    /// RTP clock in Hz.
    #[must_use]
    pub fn clock_rate_hz(&self) -> u32 {
        self.options.codecs[0].clock_rate_hz
    }

    /// The stream is pictures.
    #[must_use]
    pub fn is_video(&self) -> bool {
        self.options.kind == MediaKind::Video
    }
}

impl Plan {
    /// The run of a seed.
    #[must_use]
    pub fn draw(random: &mut Random) -> Self {
        let wide = random.percent(4);
        let chaos_ns = random.range(1_000..=3_000) * MS;
        let routers = if wide { 1 } else { random.range(1..=2) };
        let count = if wide { random.range(8..=20) } else { random.range(2..=5) };
        let mut peers: Vec<_> = (0..count).map(|at| PeerPlan::draw(random, at, routers, chaos_ns, wide)).collect();
        if peers.iter().all(|peer| peer.sources.is_empty()) {
            let kind = random.pick(&[MediaKind::Audio, MediaKind::Video]);
            peers[0].sources.push(SourcePlan::draw(random, kind, 0));
        }
        let hostile = random.percent(40);
        Self {
            routers,
            peers,
            heal_ns: chaos_ns,
            quiet_ns: chaos_ns + 3_500 * MS,
            close_ns: chaos_ns + 4_500 * MS,
            batch_wait_us: random.pick(&[0, 100, 300, 1_000, 20_000]),
            timer_slack_us: random.pick(&[0, 0, 500, 5_000]),
            refuse_ppm: random.pick(&[0, 0, 1_000, 20_000]),
            outbox: random.pick(&[OutboxSize::default(), SMALL_OUTBOX, TINY_OUTBOX]),
            pause_us: if wide { 20 } else { 300 },
            sound_wait_ms: [0, 5, 20][usize::try_from(chaos_ns / MS % 3).expect("small")],
            connect_sockets: random.percent(50),
            hostile,
            churn_ms: random.pick(&[0, 12, 60, 200, 500]),
            limits_sound: (chaos_ns / MS).is_multiple_of(2),
            replicas: if wide { random.range(4..=16) } else { 1 },
            webrtc: None,
            crashes_ns: Vec::new(),
        }
    }

    /// Bits per second at which probes can leave at most: as many packets of padding as the outbox holds, each time
    /// that a timer wakes the worker, which is at least a millisecond later.
    pub(super) fn probe_bps(&self) -> u64 {
        const PADDING_BYTES: u64 = 280;
        let packets = self.outbox.segments as u64;
        packets * PADDING_BYTES * 8 * 1_000_000 / (1_000 + self.timer_slack_us)
    }

    /// The smallest run: one sender, one receiver, clean links, nothing random about the shell. For tests of the
    /// harness.
    #[must_use]
    pub fn plain(random: &mut Random) -> Self {
        let mut plan = Self::draw(random);
        let mut peers = vec![PeerPlan::draw(random, 0, 1, MS, false), PeerPlan::draw(random, 1, 1, MS, false)];
        for peer in &mut peers {
            (peer.up, peer.down) = (LinkModel::clean(1_000), LinkModel::clean(1_000));
            (peer.srtp, peer.mux, peer.comedia, peer.leave_ns) = (None, true, false, None);
            (peer.rtx, peer.nack, peer.subscribes) = (false, true, true);
            (peer.join_ns, peer.connect_after_ns) = (0, 0);
            peer.rtcp = peer.rtp;
            peer.sources.clear();
        }
        peers[0].sources.push(SourcePlan::draw(random, MediaKind::Video, 0));
        peers[0].sources.push(SourcePlan::draw(random, MediaKind::Audio, 1));
        plan.peers = peers;
        (plan.routers, plan.replicas, plan.churn_ms, plan.hostile, plan.refuse_ppm) = (1, 1, 0, false, 0);
        (plan.heal_ns, plan.quiet_ns, plan.close_ns) = (1_000 * MS, 3_000 * MS, 3_500 * MS);
        plan
    }
}

impl Plan {
    /// One sender of video at two thousand packets a second for 36 s, two receivers, links that lose some. The suites
    /// come in turn; half of the runs have retransmission streams.
    #[must_use]
    pub fn long(random: &mut Random, turn: u64) -> Self {
        let mut plan = Self::plain(random);
        plan.peers.push(plan.peers[1].clone());
        let suites = [
            None,
            Some(SrtpCryptoSuite::AeadAes128Gcm),
            Some(SrtpCryptoSuite::AeadAes256Gcm),
            Some(SrtpCryptoSuite::AesCm128HmacSha1_80),
        ];
        for (at, peer) in plan.peers.iter_mut().enumerate() {
            (peer.rtp, peer.rtcp) = addresses(random, at as u64, true);
            peer.srtp =
                suites[usize::try_from(turn % 4).expect("small")].map(|suite| (key(random, suite), key(random, suite)));
            peer.rtx = turn >= 4;
            let loss = Loss::Bernoulli(10_000);
            peer.up = LinkModel { loss, reorder_ppm: 5_000, reorder_us: 20_000, ..LinkModel::clean(5_000) };
            peer.down = peer.up;
        }
        let source = &mut plan.peers[0].sources;
        source.truncate(1);
        let source = &mut source[0];
        (source.frames_per_s, source.max_packets, source.max_payload) = (400, 9, 100);
        source.options.nack = true;
        (plan.heal_ns, plan.quiet_ns, plan.close_ns) = (34_000 * MS, 36_000 * MS, 37_000 * MS);
        plan
    }
}

/// Addresses of a participant: RTP and RTCP.
fn addresses(random: &mut Random, at: u64, mux: bool) -> (SocketAddr, SocketAddr) {
    let number = u16::try_from(at).expect("few peers");
    let [high, low] = number.to_be_bytes();
    let ip = if random.percent(30) {
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, number))
    } else {
        IpAddr::V4(Ipv4Addr::new(10, 1, high, low))
    };
    let rtp = SocketAddr::new(ip, 5_000);
    (rtp, if mux { rtp } else { SocketAddr::new(ip, 5_001) })
}

fn key(random: &mut Random, suite: SrtpCryptoSuite) -> SrtpParameters {
    let mut key_and_salt = vec![0; suite.key_and_salt_len()];
    random.fill(&mut key_and_salt);
    SrtpParameters { suite, key_and_salt }
}

impl PeerPlan {
    pub(super) fn draw(random: &mut Random, at: u64, routers: u64, chaos_ns: u64, wide: bool) -> Self {
        let mut sources = Vec::new();
        let many = if wide { u64::from(at == 0) } else { random.range(0..=2) };
        for _ in 0..many {
            let kind = random.pick(&[MediaKind::Audio, MediaKind::Video]);
            sources.push(SourcePlan::draw(random, kind, sources.len() as u64));
        }
        let mux = random.percent(60);
        let (rtp, rtcp) = addresses(random, at, mux);
        let suite = match random.range(0..=5) {
            0..=2 => None,
            3 => Some(SrtpCryptoSuite::AeadAes128Gcm),
            4 => Some(SrtpCryptoSuite::AeadAes256Gcm),
            _ => Some(SrtpCryptoSuite::AesCm128HmacSha1_80),
        };
        let join_ns = if at == 0 { 0 } else { random.range(0..=chaos_ns) };
        Self {
            router: random.range(0..=routers - 1),
            join_ns,
            leave_ns: random.percent(15).then(|| random.range(join_ns..=chaos_ns.max(join_ns + 1))),
            connect_after_ns: random.range(0..=200) * MS,
            rtp,
            rtcp,
            mux,
            // A receiver that sends no media can be learnt only from its RTCP, so only if that comes to the same port.
            comedia: random.percent(50) && (mux || !sources.is_empty()),
            srtp: suite.map(|suite| (key(random, suite), key(random, suite))),
            up: Self::link(random),
            down: Self::link(random),
            sources,
            subscribes: wide || random.percent(85),
            rtx: random.percent(50),
            nack: random.percent(80),
            extensions: random.percent(60),
            reduced_size: random.percent(50),
            rtcp_ssrc: random.next_u32() | 1,
            webrtc: None,
        }
    }

    fn link(random: &mut Random) -> LinkModel {
        if random.percent(40) { LinkModel::clean(random.range(50..=20_000)) } else { LinkModel::draw(random) }
    }

    /// Neither of its links loses anything.
    #[must_use]
    pub fn is_lossless(&self) -> bool {
        [&self.up, &self.down].iter().all(|link| link.loss == Loss::None && link.rate_bps == 0)
    }
}

impl SourcePlan {
    pub(super) fn draw(random: &mut Random, kind: MediaKind, at: u64) -> Self {
        let video = kind == MediaKind::Video;
        let codec = match kind {
            MediaKind::Audio => Codec::Other,
            MediaKind::Video => random.pick(&[Codec::Vp8, Codec::Vp8, Codec::H264, Codec::Vp9]),
        };
        let offset = u8::try_from(at).expect("few") * 4;
        let (payload_type, mapped) = (96 + offset, 110 + offset);
        let clock_rate_hz = if video { 90_000 } else { 48_000 };
        let mut codecs = vec![CodecMapping { payload_type, mapped_payload_type: mapped, codec, clock_rate_hz }];
        let ssrc = random.next_u32() & !3 | u32::from(offset >> 2 << 1);
        let rtx = (video && random.percent(50)).then_some((ssrc | 1, payload_type + 1));
        if let Some((_, rtx_type)) = rtx {
            let codec = Codec::Rtx { apt: payload_type };
            codecs.push(CodecMapping { payload_type: rtx_type, mapped_payload_type: mapped + 1, codec, clock_rate_hz });
        }
        let extensions = Self::extensions(random, video);
        let announced = random.percent(75);
        let feedback = random.pick(&[(true, false), (true, true), (false, true)]);
        let options = ProduceOptions {
            header_extensions: extensions.clone(),
            // As browsers send it. A stream without one is known by its payload type alone.
            mid: random.percent(50).then(|| format!("mid{at}")),
            nack: rtx.is_some() || random.percent(60),
            pli: video && feedback.0,
            fir: video && feedback.1,
            ..ProduceOptions::new(
                kind,
                codecs,
                vec![EncodingMapping {
                    ssrc: announced.then_some(ssrc),
                    rtx_ssrc: rtx.map(|(ssrc, _)| ssrc).filter(|_| announced),
                    rid: None,
                }],
            )
        };
        Self {
            options,
            codec,
            ssrc,
            rtx,
            extensions,
            two_byte: random.percent(30),
            csrcs: if random.percent(15) { vec![random.next_u32(), random.next_u32()] } else { Vec::new() },
            frames_per_s: if video { random.range(10..=30) } else { 50 },
            max_packets: if video { random.range(1..=8) } else { 1 },
            max_payload: if video { random.range(300..=1_200) } else { random.range(60..=160) },
            // Some run over 65,535 while they are watched, but none at its very beginning (RFC 3711 section 3.3.1).
            first_sequence: u16::try_from(random.pick(&[1, 0, 20_000, 65_000]) + random.range(0..=450))
                .expect("at most 65,450"),
            pad_every: random.pick(&[0, 0, 7]),
            svc: None,
        }
    }

    fn extensions(random: &mut Random, video: bool) -> Vec<ExtensionMapping> {
        let mut known = vec![HeaderExtension::Mid, HeaderExtension::AbsSendTime, HeaderExtension::TransportCc];
        known.push(if video { HeaderExtension::VideoOrientation } else { HeaderExtension::AudioLevel });
        known.push(HeaderExtension::PlayoutDelay);
        known.retain(|_| random.percent(50));
        let first = random.range(1..=9);
        let number = |at: usize, from: u64| u8::try_from(from + at as u64).expect("small");
        known
            .into_iter()
            .enumerate()
            .map(|(at, extension)| ExtensionMapping { extension, id: number(at, first), mapped_id: number(at, 3) })
            .collect()
    }
}
