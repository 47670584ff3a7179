//! What the worker state machine costs without its shell: reading a header, writing one, and forwarding a packet to
//! many.
//!
//! `cargo bench -p corecast-bench --bench machine -- forward` runs one group. Groups: `parse`, `rewrite`, `forward`,
//! `feedback`.
//! `forward` counts the whole way from a datagram to sealed packets in the outbox, one packet of 1,200 bytes in frames
//! of ten; divide by the number of consumers. `feedback` counts what one transport-wide feedback of 24 packets takes,
//! from the sealed datagram on, as each of so many receivers sends it.

use std::hint::black_box;
use std::net::SocketAddr;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use corecast_bench::crypto;
use corecast_bench::webrtc::feedback::Arrivals;
use corecast_core::rtp::{Header, RtpView, write_header};
use corecast_core::{
    Config, Endpoint, EndpointId, Forward, Instant, MemorySource, Outbox, PLACES, Path, Words, Worker,
};
use corecast_wire::{
    Codec, CodecMapping, Command, ConsumeOptions, ConsumerExtension, ConsumerId, EncodingMapping, HeaderExtension,
    MediaKind, PayloadTypeMapping, PlainTransportOptions, ProduceOptions, ProducerId, RouterId, SrtpCryptoSuite,
    SrtpParameters, TransportId,
};
use webrtc_srtp::context::Context;
use webrtc_util::marshal::Marshal as _;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const FRAME_PACKETS: u16 = 10;
const SSRC: u32 = 1_111;

fn packet(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(sequence.to_be_bytes());
    packet.extend(3_000_u32.to_be_bytes());
    packet.extend(SSRC.to_be_bytes());
    packet.resize(1_200, 7);
    packet
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    let packet = packet(1);
    group.bench_function("corecast", |bencher| {
        bencher.iter(|| black_box(RtpView::parse(black_box(&packet)).expect("lawful").ssrc()));
    });
    group.bench_function("rtp", |bencher| {
        use webrtc_util::Unmarshal;
        bencher.iter(|| {
            black_box(rtp::header::Header::unmarshal(&mut black_box(packet.as_slice())).expect("lawful").ssrc)
        });
    });
    group.finish();
}

fn rewrite(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rewrite");
    let header = Header { payload_type: 101, sequence: 5, timestamp: 3_000, ssrc: 21, ..Header::default() };
    let mut out = [0; 64];
    for (name, block) in [("no extensions", &[][..]), ("8 bytes of extensions", &[0xbe, 0xde, 0, 1, 0x22, 1, 2, 3][..])]
    {
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(write_header(&mut out, black_box(&header), &[], black_box(block))));
        });
    }
    group.finish();
}

fn address(port: usize) -> SocketAddr {
    ([127, 0, 0, 1], u16::try_from(port).expect("few ports")).into()
}

/// What a browser's packets carry: MID, abs-send-time, transport-wide sequence number.
fn extensions() -> Vec<ConsumerExtension> {
    let kinds = [HeaderExtension::Mid, HeaderExtension::AbsSendTime, HeaderExtension::TransportCc];
    kinds.into_iter().zip(1..).map(|(kind, id)| ConsumerExtension::same(kind, id)).collect()
}

/// A worker with one producer on endpoint 0 and `consumers` transports of one consumer each.
fn worker(consumers: usize, suite: Option<SrtpCryptoSuite>, extended: bool, outbox: &mut Outbox) -> Worker {
    // As in a worker's process: the numbers lie apart from what owns them.
    let words = Words::new(|| Some(Box::leak((0..PLACES).map(|_| AtomicU64::new(0)).collect())));
    let config = Config::plain(std::time::Instant::now());
    let mut worker = Worker::with_memory(config, MemorySource::default(), words);
    let now = Instant::default();
    let router = RouterId(1);
    worker.handle_command(now, &Command::CreateRouter { router }, &[], outbox).expect("first");
    for number in 0..=consumers {
        let transport = TransportId(number as u64);
        let srtp = suite.filter(|_| number > 0).map(|suite| SrtpParameters {
            suite,
            key_and_salt: (0..suite.key_and_salt_len()).map(|at| (at * 7 + number) as u8).collect(),
        });
        let options = PlainTransportOptions { srtp: srtp.clone(), ..PlainTransportOptions::new(address(0).ip(), 1) };
        let opened = [Endpoint { id: EndpointId(number as u32), local: address(10_000 + number) }];
        let create = Command::CreatePlainTransport { router, transport, options };
        worker.handle_command(now, &create, &opened, outbox).expect("new");
        let remote = Some(address(20_000 + number));
        let connect = Command::ConnectPlainTransport { transport, remote, rtcp_remote: None, srtp };
        worker.handle_command(now, &connect, &[], outbox).expect("not connected yet");
    }
    let produce = ProduceOptions::new(
        MediaKind::Video,
        vec![CodecMapping { payload_type: 96, mapped_payload_type: 101, codec: Codec::Other, clock_rate_hz: 90_000 }],
        vec![EncodingMapping::announced(SSRC)],
    );
    let producer = ProducerId(1);
    let command = Command::Produce { transport: TransportId(0), producer, options: produce };
    worker.handle_command(now, &command, &[], outbox).expect("new");
    for number in 1..=consumers {
        let options = ConsumeOptions {
            header_extensions: if extended { extensions() } else { vec![] },
            mid: extended.then(|| "0".to_owned()),
            nack: !extended,
            ..ConsumeOptions::new(number as u32, vec![PayloadTypeMapping::same(101)], String::new())
        };
        let transport = TransportId(number as u64);
        let command = Command::Consume { transport, consumer: ConsumerId(number as u64), producer, options };
        worker.handle_command(now, &command, &[], outbox).expect("new");
    }
    worker
}

fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward");
    let path = Path { local: EndpointId(0), remote: address(20_000) };
    let suites = [
        ("none", None, false),
        ("gcm128", Some(SrtpCryptoSuite::AeadAes128Gcm), false),
        ("gcm128 with extensions", Some(SrtpCryptoSuite::AeadAes128Gcm), true),
        ("gcm256", Some(SrtpCryptoSuite::AeadAes256Gcm), false),
        ("cm80", Some(SrtpCryptoSuite::AesCm128HmacSha1_80), false),
    ];
    for (name, suite, extended) in suites {
        for consumers in [1, 10, 100, 400] {
            let mut outbox = Outbox::new();
            let mut worker = worker(consumers, suite, extended, &mut outbox);
            outbox.clear();
            let mut frame: Vec<_> = (0..FRAME_PACKETS).map(packet).collect();
            let mut first = 0_u16;
            group.throughput(Throughput::Elements(consumers as u64 * u64::from(FRAME_PACKETS)));
            group.bench_function(BenchmarkId::new(name, consumers), |bencher| {
                bencher.iter(|| {
                    for (position, packet) in frame.iter_mut().enumerate() {
                        packet[2..4].copy_from_slice(&first.wrapping_add(position as u16).to_be_bytes());
                        worker.handle_datagram(Instant::default(), Instant::default(), path, packet, &mut outbox);
                    }
                    first = first.wrapping_add(FRAME_PACKETS);
                    while worker.forward(Instant::default(), &mut outbox) == Forward::Full {
                        black_box(outbox.trains());
                        outbox.clear();
                    }
                    black_box(outbox.trains());
                    outbox.clear();
                });
            });
        }
    }
    group.finish();
}

const TRANSPORT_CC_ID: u8 = 3;
/// Packets leave in groups, as a publisher's pacer sends them: so many, so far apart; feedback after so many groups.
const GROUP_PACKETS: u16 = 3;
const GROUP_NS: u64 = 10_000_000;
const GROUPS: u16 = 8;

/// Receivers that say what came.
struct Receivers {
    worker: Worker,
    outbox: Outbox,
    /// What each has of the transport, and how it seals.
    all: Vec<(Arrivals, Context)>,
    now_ns: u64,
    sequence: u16,
    /// So many of a hundred packets do not arrive.
    lost_of_hundred: usize,
    packets: usize,
}

impl Receivers {
    fn new(count: usize, lost_of_hundred: usize) -> Self {
        let (suite, mut outbox) = (SrtpCryptoSuite::AeadAes128Gcm, Outbox::new());
        let worker = worker(count, Some(suite), true, &mut outbox);
        outbox.clear();
        let all = (1..=count).map(|number| {
            let key_and_salt = (0..suite.key_and_salt_len()).map(|at| (at * 7 + number) as u8).collect();
            let seal = crypto::endpoint(&SrtpParameters { suite, key_and_salt }).expect("as long as it should be");
            (Arrivals::new(TRANSPORT_CC_ID, 0), seal)
        });
        let all = all.collect();
        Self { worker, outbox, all, now_ns: 1_000_000_000, sequence: 0, lost_of_hundred, packets: 0 }
    }

    fn take_sent(&mut self) {
        let Self { worker, outbox, all, now_ns, lost_of_hundred, packets, .. } = self;
        outbox.for_each_packet(worker.history(), |path, packet| {
            *packets += 1;
            let is_lost = *packets * 37 % 100 < *lost_of_hundred;
            let receiver = all.get_mut(usize::from(path.remote.port()).wrapping_sub(20_001));
            if let Some((arrivals, _)) = receiver.filter(|_| !is_lost && matches!(packet, [0x90, ..])) {
                arrivals.note(packet, *now_ns).expect("numbered");
            }
        });
        outbox.clear();
    }

    /// Forwards what a publisher sends in the time between two feedbacks.
    fn forward(&mut self) {
        let publisher = Path { local: EndpointId(0), remote: address(20_000) };
        for _ in 0..GROUPS {
            self.now_ns += GROUP_NS;
            let now = Instant::from_nanos(self.now_ns);
            for _ in 0..GROUP_PACKETS {
                self.sequence = self.sequence.wrapping_add(1);
                self.worker.handle_datagram(now, now, publisher, &packet(self.sequence), &mut self.outbox);
            }
            while self.worker.forward(now, &mut self.outbox) == Forward::Full {
                self.take_sent();
            }
            self.take_sent();
            while self.worker.next_timeout().is_some_and(|due| due <= now) {
                self.worker.handle_timeout(now, &mut self.outbox);
                self.take_sent();
            }
        }
    }

    /// Has each say what came; how long the worker took for it.
    fn say(&mut self) -> Duration {
        let (mut taken, now) = (Duration::ZERO, Instant::from_nanos(self.now_ns));
        for number in 0..self.all.len() {
            let Some((arrivals, seal)) = self.all.get_mut(number) else { continue };
            let said = arrivals.take(0, 1, 2).into_iter().map(|one| one.marshal().expect("written"));
            let sealed = said.map(|plain| seal.encrypt_rtcp(&plain).expect("sealed")).collect::<Vec<_>>();
            let local = EndpointId(u32::try_from(number + 1).expect("few"));
            let path = Path { local, remote: address(20_001 + number) };
            let began = std::time::Instant::now();
            for datagram in &sealed {
                self.worker.handle_datagram(now, now, path, datagram, &mut self.outbox);
            }
            taken += began.elapsed();
            self.take_sent();
        }
        taken
    }
}

fn feedback(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("feedback");
    for (name, lost_of_hundred) in [("all came", 0), ("3 percent lost", 3)] {
        for count in [1, 300] {
            let mut receivers = Receivers::new(count, lost_of_hundred);
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter_custom(|times| {
                    let mut taken = Duration::ZERO;
                    for _ in 0..times.div_ceil(count as u64) {
                        receivers.forward();
                        taken += receivers.say();
                    }
                    taken.mul_f64(times as f64 / times.next_multiple_of(count as u64) as f64)
                });
            });
            let discards = receivers.worker.totals().discards;
            assert_eq!(discards.iter().map(|(name, _)| name).collect::<Vec<_>>(), [] as [&str; 0], "all is taken in");
        }
    }
    group.finish();
}

criterion_group!(benches, parse, rewrite, forward, feedback);
criterion_main!(benches);
