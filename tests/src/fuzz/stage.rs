//! A worker that has everything: plain and SRTP transports of every suite, connected and comedia, each with producers,
//! each consuming from its neighbour. What fuzzing and the sweep play their datagrams to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use corecast_core::rtp::RtpView;
use corecast_core::srtp::Sealer;
use corecast_core::{Config, Endpoint, EndpointId, Forward, Instant, Outbox, Path, Totals, Worker};
use corecast_wire::{
    Codec, CodecMapping, Command, ConsumeOptions, ConsumerExtension, ConsumerId, EncodingMapping, ExtensionMapping,
    HeaderExtension, MediaKind, ObjectStats, PayloadTypeMapping, PlainTransportOptions, ProduceOptions, ProducerId,
    Reply, RouterId, RtxOptions, SpatialLayer, SrtpCryptoSuite, SrtpParameters, TransportId,
};

use crate::sim::numbers::extend;
use crate::sim::wire::is_rtcp;

/// Transports: no SRTP and every suite, each connected and comedia.
pub const TRANSPORTS: u8 = 8;
/// Datagrams that wait before they are forwarded.
const MAX_BATCH: usize = 32;
/// Calls of `forward` for one batch.
const MAX_FORWARDS: usize = 1_000;
/// History that the stage may use: every stream's ring, and the chunk being filled.
const MAX_SLOTS_IN_USE: usize = TRANSPORTS as usize * 3 * 512 + 64;

/// The worker and its keys.
#[derive(Debug)]
pub struct Stage {
    worker: Worker,
    outbox: Outbox,
    now: Instant,
    sealers: Vec<Option<Sealer>>,
    highest: BTreeMap<(u8, u32), u64>,
    waiting: usize,
    sent: u64,
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

/// SSRC of a transport's video: of its lower layer, whose retransmissions and whose upper layer have the next ones.
#[must_use]
pub const fn video_ssrc(transport: u8) -> u32 {
    1_000 + transport as u32 * 10
}

/// Where a transport's datagrams arrive: (endpoint, remote). RTCP is apart on odd transports.
#[must_use]
pub fn path(transport: u8, rtcp: bool) -> Path {
    let apart = rtcp && transport % 2 == 1;
    Path {
        local: EndpointId(u32::from(transport) * 2 + u32::from(apart)),
        remote: SocketAddr::from(([192, 0, 2, transport + 1], 5_000 + u16::from(apart))),
    }
}

fn key(transport: u8, ours: bool) -> Option<SrtpParameters> {
    let suite = match transport / 2 {
        1 => SrtpCryptoSuite::AeadAes128Gcm,
        2 => SrtpCryptoSuite::AeadAes256Gcm,
        3 => SrtpCryptoSuite::AesCm128HmacSha1_80,
        _ => return None,
    };
    Some(SrtpParameters { suite, key_and_salt: vec![transport * 2 + u8::from(ours) + 1; suite.key_and_salt_len()] })
}

impl Stage {
    /// Everything set up, nothing received.
    #[must_use]
    pub fn new() -> Self {
        let sealers = (0..TRANSPORTS)
            .map(|transport| key(transport, false).map(|key| Sealer::new(&key).expect("a key of the right length")))
            .collect();
        let mut stage = Self {
            worker: Worker::new(Config::plain(std::time::Instant::now())),
            outbox: Outbox::new(),
            now: Instant::from_nanos(1_000_000),
            sealers,
            highest: BTreeMap::new(),
            waiting: 0,
            sent: 0,
        };
        stage.must(&Command::CreateRouter { router: RouterId(1) }, &[]);
        (0..TRANSPORTS).for_each(|transport| stage.add_transport(transport));
        (0..TRANSPORTS).for_each(|transport| stage.add_consumers(transport));
        stage.flush();
        stage
    }

    fn must(&mut self, command: &Command, opened: &[Endpoint]) {
        let reply = self.worker.handle_command(self.now, command, opened, &mut self.outbox);
        assert!(matches!(reply, Ok(Reply::Done | Reply::PlainTransport { .. })), "{command:?}: {reply:?}");
    }

    fn add_transport(&mut self, number: u8) {
        let (transport, comedia) = (TransportId(u64::from(number)), number % 2 == 1);
        let local = |rtcp| Endpoint {
            id: path(number, rtcp).local,
            local: SocketAddr::from(([127, 0, 0, 1], 10_000 + u16::from(number) * 2 + u16::from(rtcp))),
        };
        let options = PlainTransportOptions {
            rtcp_mux: !comedia,
            comedia,
            srtp: key(number, true),
            ..PlainTransportOptions::new([127, 0, 0, 1].into(), 7)
        };
        let opened = [local(false), local(true)];
        let opened = if comedia { &opened[..] } else { &opened[..1] };
        self.must(&Command::CreatePlainTransport { router: RouterId(1), transport, options }, opened);
        let (remote, srtp) = ((!comedia).then(|| path(number, false).remote), key(number, false));
        if remote.is_some() || srtp.is_some() {
            self.must(&Command::ConnectPlainTransport { transport, remote, rtcp_remote: None, srtp }, &[]);
        }
        let (video, audio) = (ProducerId(u64::from(number) * 2), ProducerId(u64::from(number) * 2 + 1));
        self.must(&Command::Produce { transport, producer: video, options: video_options(number) }, &[]);
        self.must(&Command::Produce { transport, producer: audio, options: audio_options() }, &[]);
    }

    /// Two consumers of the video and one of the sound of the transport before.
    fn add_consumers(&mut self, number: u8) {
        let from = u64::from((number + TRANSPORTS - 1) % TRANSPORTS) * 2;
        for (at, producer) in [(0, from), (1, from), (2, from + 1)] {
            let ssrc = 50_000 + u32::from(number) * 10 + at * 2;
            let options = ConsumeOptions {
                rtx: (at == 0).then(|| RtxOptions {
                    ssrc: ssrc + 1,
                    payload_types: vec![(110, 111)],
                    first_sequence: 5,
                }),
                header_extensions: if at == 0 { all_extensions() } else { vec![] },
                mid: (at == 0).then(|| "0".to_owned()),
                nack: true,
                ccfb: at == 1,
                first_sequence: 100,
                ..ConsumeOptions::new(
                    ssrc,
                    vec![PayloadTypeMapping::same(110), PayloadTypeMapping::same(112)],
                    "stage".to_owned(),
                )
            };
            let (transport, consumer) = (TransportId(u64::from(number)), ConsumerId(u64::from(ssrc)));
            self.must(&Command::Consume { transport, consumer, producer: ProducerId(producer), options }, &[]);
        }
    }

    /// One record of an input.
    pub fn play(&mut self, kind: u8, place: u8, bytes: &[u8]) {
        let transport = place % TRANSPORTS;
        let rtcp = place & 0x80 != 0;
        match kind % 8 {
            0 => self.receive(path(transport, rtcp), bytes),
            1 => self.receive_sealed(transport, bytes),
            2 => self.receive_sealed(transport, &rtp_template(transport, place, bytes)),
            3 => self.receive_sealed(transport, &rtcp_template(transport, place, bytes)),
            4 => self.wait(bytes),
            5 => self.command(place, bytes),
            6 => self.settle(),
            _ => {
                let stranger = SocketAddr::from(([203, 0, 113, 9], 9));
                self.receive(Path { remote: stranger, ..path(transport, rtcp) }, bytes);
            }
        }
    }

    /// Seals a packet as the remote side would, if it is well-formed enough for that, and takes it in.
    pub fn receive_sealed(&mut self, transport: u8, plain: &[u8]) {
        let path = path(transport, is_rtcp(plain));
        let mut sealed = plain.to_vec();
        let Some(Some(sealer)) = self.sealers.get_mut(usize::from(transport)) else {
            return self.receive(path, plain);
        };
        if is_rtcp(plain) {
            sealed.resize(plain.len() + sealer.rtcp_overhead(), 0);
            if sealer.seal_rtcp(&mut sealed, plain.len()).is_err() {
                return self.receive(path, plain);
            }
        } else if let Ok(view) = RtpView::parse(plain) {
            let highest = self.highest.entry((transport, view.ssrc())).or_insert_with(|| u64::from(view.sequence()));
            let index = extend(*highest, view.sequence());
            *highest = index.max(*highest);
            sealed.resize(plain.len() + sealer.rtp_overhead(), 0);
            let (header_len, body) = (view.header().len(), view.body());
            sealer.seal_rtp(view.ssrc(), index, &mut sealed, header_len, body).expect("lengths that add up");
        }
        self.receive(path, &sealed);
    }

    /// Takes in a datagram as it is.
    pub fn receive(&mut self, path: Path, datagram: &[u8]) {
        self.worker.handle_datagram(self.now, self.now, path, datagram, &mut self.outbox);
        self.waiting += 1;
        if self.outbox.wants_flush() {
            self.flush();
        }
        if self.waiting >= MAX_BATCH {
            self.settle();
        }
    }

    /// Lets some time pass, of the length that the bytes say, and serves what is due.
    fn wait(&mut self, bytes: &[u8]) {
        self.settle();
        let millis = bytes.first_chunk::<2>().map_or(1, |millis| u64::from(u16::from_le_bytes(*millis)));
        self.now = self.now + Duration::from_millis(millis);
        let mut served = 0;
        while self.worker.next_timeout().is_some_and(|at| at <= self.now) {
            self.worker.handle_timeout(self.now, &mut self.outbox);
            self.flush();
            served += 1;
            assert!(served < 1_000, "the timer does not advance");
        }
    }

    fn command(&mut self, place: u8, bytes: &[u8]) {
        self.settle();
        let what = bytes.first().copied().unwrap_or(0);
        let paused = what & 0x80 != 0;
        let producer = ProducerId(u64::from(place % (TRANSPORTS * 2)));
        let consumer = ConsumerId(50_000 + u64::from(place % TRANSPORTS) * 10 + u64::from(place >> 4) % 3 * 2);
        let command = match what % 8 {
            0 => Command::PauseProducer { producer, paused },
            1 | 2 => Command::PauseConsumer { consumer, paused },
            3 => Command::RequestKeyFrame { consumer },
            4 => Command::CloseConsumer { consumer },
            5 if paused => Command::CloseProducer { producer },
            6 => {
                let named = if place & 1 == 0 { SpatialLayer::Quality } else { SpatialLayer::Encoding };
                Command::SetPreferredLayers { consumer, spatial: named(what >> 4 & 1), temporal: Some(what >> 5) }
            }
            7 if paused => Command::CloseTransport { transport: TransportId(u64::from(place % TRANSPORTS)) },
            _ => Command::Stats { from: None },
        };
        // Whether it is lawful depends on what came before; either way nothing may break.
        let _ = self.worker.handle_command(self.now, &command, &[], &mut self.outbox);
        self.flush();
    }

    /// Forwards what has come, as the shell does.
    pub fn settle(&mut self) {
        self.waiting = 0;
        for _ in 0..MAX_FORWARDS {
            let forward = self.worker.forward(self.now, &mut self.outbox);
            self.flush();
            if forward == Forward::Done {
                while self.worker.poll_event().is_some() {}
                while self.worker.poll_endpoint_op().is_some() {}
                return;
            }
        }
        panic!("forward is never done");
    }

    fn flush(&mut self) {
        let sent = &mut self.sent;
        self.outbox.for_each_packet(self.worker.history(), |path, packet| {
            assert!(packet.len() >= 8 && packet[0] >> 6 == 2, "sent {packet:02x?}");
            assert_ne!(path.remote.ip().to_string(), "203.0.113.9", "sent to a stranger");
            *sent += 1;
        });
        self.outbox.clear();
    }

    /// What the worker counts.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.worker.totals()
    }

    /// Packets that it has sent.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Packets of media that were taken in, by all streams together.
    ///
    /// # Panics
    /// If the machine refuses to say.
    pub fn taken_in(&mut self) -> u64 {
        let (mut from, mut packets) = (None, 0);
        loop {
            let command = Command::Stats { from };
            let reply = self.worker.handle_command(self.now, &command, &[], &mut self.outbox);
            let Ok(Reply::Stats(page)) = reply else { panic!("no statistics: {reply:?}") };
            for object in &page.objects {
                if let ObjectStats::Producer(producer) = object {
                    packets += producer.streams.iter().map(|stream| stream.packet_count).sum::<u64>();
                }
            }
            let Some(next) = page.next else { return packets };
            from = Some(next);
        }
    }

    /// State is bounded, whatever came in.
    ///
    /// # Panics
    /// If it is not.
    pub fn check(&self) {
        let slots = self.worker.history().slots_in_use();
        assert!(slots <= MAX_SLOTS_IN_USE, "{slots} slots of history in use");
        let totals = self.worker.totals();
        assert!(totals.transports <= u32::from(TRANSPORTS) && totals.routers == 1);
    }
}

fn codec(transport: u8) -> Codec {
    match transport % 5 {
        0 => Codec::Vp8,
        1 => Codec::H264,
        2 => Codec::Vp9,
        3 => Codec::H265,
        _ => Codec::Av1,
    }
}

/// Every extension of the video, two of them under other numbers than the router's.
fn all_extensions() -> Vec<ConsumerExtension> {
    let known = |(extension, router_id, receiver_id)| ConsumerExtension { extension, router_id, receiver_id };
    let all = [
        (HeaderExtension::Mid, 1, 1),
        (HeaderExtension::AbsSendTime, 2, 2),
        (HeaderExtension::VideoOrientation, 3, 6),
        (HeaderExtension::TransportCc, 4, 4),
        (HeaderExtension::DependencyDescriptor, 6, 3),
    ];
    all.into_iter().map(known).collect()
}

/// One of two layers, with its retransmissions.
fn encoding(ssrc: u32) -> EncodingMapping {
    EncodingMapping { ssrc: Some(ssrc), rtx_ssrc: Some(ssrc + 1), rid: None }
}

fn video_options(transport: u8) -> ProduceOptions {
    let mapping = |payload_type, mapped_payload_type, codec| CodecMapping {
        payload_type,
        mapped_payload_type,
        codec,
        clock_rate_hz: 90_000,
    };
    let extension = |extension, id, mapped_id| ExtensionMapping { extension, id, mapped_id };
    ProduceOptions {
        header_extensions: vec![
            extension(HeaderExtension::Mid, 4, 1),
            extension(HeaderExtension::AbsSendTime, 3, 2),
            extension(HeaderExtension::VideoOrientation, 2, 3),
            extension(HeaderExtension::TransportCc, 1, 4),
            extension(HeaderExtension::DependencyDescriptor, 5, 6),
            extension(HeaderExtension::VideoLayersAllocation, 6, 5),
        ],
        nack: true,
        pli: !transport.is_multiple_of(3),
        fir: true,
        transport_cc: transport.is_multiple_of(2),
        remb: true,
        ..ProduceOptions::new(
            MediaKind::Video,
            vec![mapping(96, 110, codec(transport)), mapping(97, 111, Codec::Rtx { apt: 96 })],
            [0, 2].map(|layer| encoding(video_ssrc(transport) + layer)).to_vec(),
        )
    }
}

/// Sound without an announced SSRC: the payload type tells whose it is.
fn audio_options() -> ProduceOptions {
    ProduceOptions {
        header_extensions: vec![ExtensionMapping { extension: HeaderExtension::AudioLevel, id: 200, mapped_id: 5 }],
        ..ProduceOptions::new(
            MediaKind::Audio,
            vec![CodecMapping {
                payload_type: 100,
                mapped_payload_type: 112,
                codec: Codec::Other,
                clock_rate_hz: 48_000,
            }],
            vec![EncodingMapping::default()],
        )
    }
}

/// A packet of the transport's video (or its retransmission) whose flags, sequence number and payload are the bytes.
fn rtp_template(transport: u8, place: u8, bytes: &[u8]) -> Vec<u8> {
    let (rtx, layer) = (place & 0x40 != 0, u32::from(place >> 5 & 1));
    let (fixed, payload) = bytes.split_at(bytes.len().min(3));
    let flag = fixed.first().copied().unwrap_or(0) & 0x3F | 0x80;
    let sequence = [fixed.get(1).copied().unwrap_or(0), fixed.get(2).copied().unwrap_or(0)];
    let ssrc = (video_ssrc(transport) + 2 * layer + u32::from(rtx)).to_be_bytes();
    [&[flag, 96 + u8::from(rtx)], &sequence[..], &[0, 0, 0, 9], &ssrc, payload].concat()
}

/// Feedback about a consumer of the transport: format, then packet type 205 or 206, then what the bytes say.
fn rtcp_template(transport: u8, place: u8, bytes: &[u8]) -> Vec<u8> {
    let (format, content) = bytes.split_at(bytes.len().min(1));
    let media = (50_000 + u32::from(transport) * 10 + u32::from(place >> 4) % 3 * 2).to_be_bytes();
    let words = content.len() / 4;
    let len = u16::try_from(words + 2).unwrap_or(0).to_be_bytes();
    let kind = 205 + (place >> 6 & 1);
    let format = format.first().copied().unwrap_or(1) & 0x1F | 0x80;
    [&[format, kind], &len[..], &[0, 0, 0, 1], &media, &content[..words * 4]].concat()
}
