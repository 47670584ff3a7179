//! What objects cost in memory, and to look at. `cargo test -p corecast-tests --test memory -- --nocapture` prints the
//! figures that docs/performance.md quotes; the bounds here are twice as wide.

use std::fs;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use corecast_core::srtp::Sealer;
use corecast_core::{Config, Endpoint, EndpointId, Instant, MemorySource, Outbox, PLACES, Path, Words, Worker};
use corecast_tests::webrtc::configure;
use corecast_wire::{
    Codec, CodecMapping, Command, ConsumeOptions, ConsumerExtension, ConsumerId, DtlsVersions, EncodingMapping,
    ExtensionMapping, Frame, HeaderExtension, IceParameters, IceProtocol, IceTuple, MAX_FRAME_BYTES, MediaKind,
    OutgoingBitrates, PayloadTypeMapping, PlainTransportOptions, ProduceOptions, ProducerId, Record, Records, Reply,
    RouterId, RtxOptions, SrtpCryptoSuite, SrtpParameters, StatsPage, TransportId, WebRtcTransportOptions, encode,
};

const TRANSPORTS: u32 = 2_000;
const CONSUMERS: u32 = 20_000;
const PACKETS: u16 = 2_000;

/// What one test allocates, another would find in its figures.
static ALONE: Mutex<()> = Mutex::new(());

fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a figure");
    line.split_whitespace().nth(1).expect("a number").parse::<usize>().expect("kB") * 1_024
}

struct Machine {
    worker: Worker,
    outbox: Outbox,
}

impl Machine {
    fn must(&mut self, command: &Command, opened: &[Endpoint]) {
        self.worker.handle_command(Instant::default(), command, opened, &mut self.outbox).expect("lawful");
        self.outbox.clear();
    }

    fn transport(&mut self, number: u32) {
        let suite = SrtpCryptoSuite::AeadAes128Gcm;
        let srtp = SrtpParameters { suite, key_and_salt: vec![7; suite.key_and_salt_len()] };
        let local = Endpoint { id: EndpointId(number), local: ([127, 0, 0, 1], 4_000).into() };
        let options = PlainTransportOptions {
            comedia: true,
            srtp: (number > 0).then_some(srtp),
            ..PlainTransportOptions::new(local.local.ip(), 1)
        };
        let transport = TransportId(number.into());
        self.must(&Command::CreatePlainTransport { router: RouterId(1), transport, options }, &[local]);
    }

    fn consume(&mut self, number: u32) {
        let options = ConsumeOptions {
            nack: true,
            ..ConsumeOptions::new(number + 1, vec![PayloadTypeMapping::same(101)], "abcdefgh".into())
        };
        let transport = TransportId(u64::from(1 + number % (TRANSPORTS - 1)));
        let consumer = ConsumerId(number.into());
        self.must(&Command::Consume { transport, consumer, producer: ProducerId(1), options }, &[]);
    }
}

/// Looks at all objects as control does: how long each page took with its frame, and how many bytes that has.
fn look(machine: &mut Machine) -> Vec<(Duration, usize)> {
    let (mut pages, mut from) = (Vec::new(), None);
    loop {
        let (mut frame, began) = (Vec::new(), std::time::Instant::now());
        let command = Command::Stats { from };
        let asked = machine.worker.handle_command(Instant::default(), &command, &[], &mut machine.outbox);
        let reply = asked.expect("lawful");
        let Reply::Stats(StatsPage { next, .. }) = &reply else { panic!("{reply:?}") };
        from = *next;
        encode(&Frame::Reply { id: 1, result: Ok(reply) }, &mut frame).expect("fits");
        pages.push((began.elapsed(), frame.len()));
        if from.is_none() {
            return pages;
        }
    }
}

fn produce() -> ProduceOptions {
    let codec = CodecMapping { payload_type: 96, mapped_payload_type: 101, codec: Codec::Vp8, clock_rate_hz: 90_000 };
    ProduceOptions::new(MediaKind::Video, vec![codec], vec![EncodingMapping::announced(1_111)])
}

#[test]
fn objects_cost_what_the_documentation_says() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut machine = Machine { worker: Worker::new(Config::plain(std::time::Instant::now())), outbox: Outbox::new() };
    machine.must(&Command::CreateRouter { router: RouterId(1) }, &[]);
    machine.transport(0);
    let producer = ProducerId(1);
    machine.must(&Command::Produce { transport: TransportId(0), producer, options: produce() }, &[]);

    let path = Path { local: EndpointId(0), remote: ([192, 0, 2, 1], 5_000).into() };
    for sequence in 0..PACKETS {
        let mut packet = vec![0x80, 96];
        packet.extend(sequence.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(1_111_u32.to_be_bytes());
        packet.resize(1_200, 7);
        machine.worker.handle_datagram(Instant::default(), Instant::default(), path, &packet, &mut machine.outbox);
        machine.worker.forward(Instant::default(), &mut machine.outbox);
        machine.outbox.clear();
    }
    let stream = machine.worker.history().memory_bytes();

    let before = resident_bytes();
    (1..TRANSPORTS).for_each(|number| machine.transport(number));
    let transport = (resident_bytes() - before) / (TRANSPORTS - 1) as usize;
    let before = resident_bytes();
    (0..CONSUMERS).for_each(|number| machine.consume(number));
    let consumer = (resident_bytes() - before) / CONSUMERS as usize;

    let mut pages = look(&mut machine);
    pages.sort();
    let (median, longest) = (pages[pages.len() / 2].0, pages[pages.len() - 1].0);
    let bytes = pages.iter().map(|(_, bytes)| *bytes).max().unwrap_or_default();
    println!("{} pages of counters: {median:?} each, {longest:?} the longest, {bytes} bytes at most", pages.len());
    assert!(bytes <= MAX_FRAME_BYTES / 4, "{bytes} bytes for a page of counters");
    println!("bytes: idle consumer {consumer}, SRTP transport {transport}, history of a video stream {stream}");
    assert!(consumer <= 2 * 1_024, "{consumer} bytes for an idle consumer");
    assert!(transport <= 8 * 1_024, "{transport} bytes for an SRTP transport in the machine");
    assert!(stream <= 2 * 1_024 * 1_024, "{stream} bytes of history for a video stream");
}

/// Numbers of objects are as long as those of the third server in a row.
const IDS: u64 = 2 << 32;
const CALLS: u64 = 500;
const SUITE: SrtpCryptoSuite = SrtpCryptoSuite::AeadAes128Gcm;
/// Length, checksum and subject of a record, in the file.
const ABOUT_A_RECORD_BYTES: usize = 24;

/// A worker with words and records that outlive it.
struct Keeping {
    worker: Worker,
    outbox: Outbox,
    records: Records,
    blocks: Arc<AtomicUsize>,
}

fn key(fill: u8) -> SrtpParameters {
    SrtpParameters { suite: SUITE, key_and_salt: vec![fill; SUITE.key_and_salt_len()] }
}

impl Keeping {
    fn new() -> Self {
        let blocks = Arc::new(AtomicUsize::new(0));
        let given = Arc::clone(&blocks);
        let words = Words::new(move || {
            given.fetch_add(1, Ordering::Relaxed);
            Some(Box::leak((0..PLACES).map(|_| AtomicU64::new(0)).collect()))
        });
        let (webrtc, _) = configure(vec![([127, 0, 0, 1], 4_000).into()], DtlsVersions::V12);
        let config = Config { webrtc: Some(webrtc), ..Config::plain(std::time::Instant::now()) };
        let worker = Worker::with_memory(config, MemorySource::default(), words);
        Self { worker, outbox: Outbox::new(), records: Records::default(), blocks }
    }

    fn tell(&mut self, record: Record) {
        self.worker.restore(Instant::default(), &record, &[], &mut self.outbox).expect("lawful");
        self.outbox.clear();
        self.learnt();
        self.records.note(&record);
    }

    fn learnt(&mut self) {
        while let Some(record) = self.worker.poll_record() {
            self.records.note(&record);
        }
    }

    /// Both forms of what is kept, in bytes.
    fn kept_bytes(&self) -> (usize, usize) {
        let words = self.blocks.load(Ordering::Relaxed) * PLACES * size_of::<AtomicU64>();
        let records = self.records.changes().filter_map(|change| change.record);
        (words, records.map(|record| record.len() + ABOUT_A_RECORD_BYTES).sum())
    }

    /// A WebRTC transport with a path and keys.
    fn transport(&mut self, id: TransportId, local: Endpoint) -> Path {
        let number = u16::try_from(id.0 - IDS).expect("few");
        let ice = IceParameters {
            username_fragment: format!("{number:016}"),
            password: "abcdefghijklmnopqrstuvwxyz012345".into(),
        };
        let options = WebRtcTransportOptions {
            ice,
            rtcp_ssrc: 4_000_000_000,
            max_incoming_bitrate_bps: 3_000_000,
            outgoing: OutgoingBitrates { initial_bps: 1_000_000, min_bps: 0, max_bps: 0 },
            consent_timeout_ms: None,
            sctp: None,
        };
        let router = RouterId(IDS);
        self.tell(Record::Command(Command::CreateWebRtcTransport { router, transport: id, options }));
        self.tell(Record::Keys { transport: id, sending: key(1), receiving: key(2) });
        let remote = ([203, 0, 113, 7], number).into();
        let tuple = Some(IceTuple { local: local.local, remote, protocol: IceProtocol::Udp });
        self.tell(Record::Path { transport: id, tuple });
        Path { local: local.id, remote }
    }

    fn send(&mut self, path: Path, payload_type: u8, ssrc: u32) {
        let header = [&[0x80, payload_type, 0, 9, 0, 0, 0, 0][..], &ssrc.to_be_bytes()].concat();
        let sealer = Sealer::new(&key(2)).expect("a key");
        let mut packet = [&header[..], &[0x10; 100]].concat();
        packet.resize(packet.len() + sealer.rtp_overhead(), 0);
        sealer.seal_rtp(ssrc, 9, &mut packet, header.len(), &[0x10; 100]).expect("room");
        self.worker.handle_datagram(Instant::default(), Instant::default(), path, &packet, &mut self.outbox);
        self.worker.forward(Instant::default(), &mut self.outbox);
        self.outbox.clear();
        self.learnt();
    }
}

const EXTENSIONS: [HeaderExtension; 8] = [
    HeaderExtension::Mid,
    HeaderExtension::Rid,
    HeaderExtension::RepairedRid,
    HeaderExtension::AbsSendTime,
    HeaderExtension::TransportCc,
    HeaderExtension::DependencyDescriptor,
    HeaderExtension::VideoOrientation,
    HeaderExtension::PlayoutDelay,
];

/// What a browser offers that sends sound, and pictures in three sizes with retransmissions.
fn published(kind: MediaKind) -> ProduceOptions {
    let is_video = kind == MediaKind::Video;
    let (payload_type, codec, clock_rate_hz) =
        if is_video { (96, Codec::Vp8, 90_000) } else { (111, Codec::Other, 48_000) };
    let codec = CodecMapping { payload_type, mapped_payload_type: payload_type, codec, clock_rate_hz };
    let rtx = CodecMapping { payload_type: 97, mapped_payload_type: 97, codec: Codec::Rtx { apt: 96 }, clock_rate_hz };
    let encodings = (0..if is_video { 3 } else { 1 }).map(|layer| EncodingMapping {
        ssrc: Some(4_000_000_000 + u32::from(payload_type) * 10 + layer),
        rtx_ssrc: is_video.then_some(4_100_000_000 + layer),
        rid: is_video.then(|| format!("r{layer}")),
    });
    let codecs = if is_video { vec![codec, rtx] } else { vec![codec] };
    let extensions = (1..).zip(EXTENSIONS);
    ProduceOptions {
        header_extensions: extensions
            .map(|(id, extension)| ExtensionMapping { extension, id, mapped_id: id })
            .collect(),
        mid: Some(if is_video { "1" } else { "0" }.into()),
        nack: true,
        pli: is_video,
        transport_cc: true,
        ..ProduceOptions::new(kind, codecs, encodings.collect())
    }
}

fn watched(kind: MediaKind, number: u32) -> ConsumeOptions {
    let is_video = kind == MediaKind::Video;
    let payload_type = if is_video { 96 } else { 111 };
    let extensions = (1..).zip(EXTENSIONS);
    ConsumeOptions {
        rtx: is_video.then(|| RtxOptions {
            ssrc: 4_200_000_000 + number,
            payload_types: vec![(96, 97)],
            first_sequence: 20_000,
        }),
        header_extensions: extensions
            .map(|(id, extension)| ConsumerExtension { extension, router_id: id, receiver_id: id })
            .collect(),
        mid: Some("0".into()),
        nack: true,
        first_sequence: 20_000,
        ..ConsumeOptions::new(
            4_000_100_000 + 2 * number + u32::from(is_video),
            vec![PayloadTypeMapping::same(payload_type)],
            "abcdefgh".into(),
        )
    }
}

#[test]
fn what_outlives_a_worker_is_as_small_as_the_documentation_says() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut keeping = Keeping::new();
    let local = Endpoint { id: EndpointId(0), local: ([127, 0, 0, 1], 4_000).into() };
    keeping.worker.open_webrtc(local, IceProtocol::Udp);
    keeping.tell(Record::Command(Command::CreateRouter { router: RouterId(IDS) }));
    let begun = keeping.kept_bytes();
    let kinds = [(MediaKind::Audio, 1), (MediaKind::Video, 2)];
    for call in 0..CALLS {
        let transport = TransportId(IDS + call + 1);
        let path = keeping.transport(transport, local);
        for (kind, place) in kinds {
            let (producer, options) = (ProducerId(IDS + 2 * call + place), published(kind));
            keeping.tell(Record::Command(Command::Produce { transport, producer, options: options.clone() }));
            for encoding in options.encodings {
                keeping.send(path, options.codecs[0].payload_type, encoding.ssrc.expect("announced"));
            }
        }
    }
    let published = keeping.kept_bytes();
    for call in 0..CALLS {
        let transport = TransportId(IDS + CALLS + call + 1);
        keeping.transport(transport, local);
        for (kind, place) in kinds {
            let (consumer, producer) = (ConsumerId(IDS + 2 * call + place), ProducerId(IDS + 2 * call + place));
            let options = watched(kind, u32::try_from(call).expect("few"));
            let consume = Command::Consume { transport, consumer, producer, options };
            keeping.tell(Record::Command(consume));
        }
    }
    let watched = keeping.kept_bytes();
    let each =
        |from: (usize, usize), to: (usize, usize)| ((to.0 - from.0) / CALLS as usize, (to.1 - from.1) / CALLS as usize);
    for (who, (words, records)) in [("publisher", each(begun, published)), ("viewer", each(published, watched))] {
        println!("bytes that are kept of a {who}: {words} of numbers, {records} of records");
        assert!(words + records <= 2 * 1_024, "{words} and {records} bytes are kept of a {who}");
        assert!(words > 100 && records > 200, "{words} and {records} bytes are too few of a {who} to go on with");
    }
}
