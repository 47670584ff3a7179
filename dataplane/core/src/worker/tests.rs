//! What only a test inside the machine can do: a sender and a receiver whose SRTP keys run out (RFC 3711 section 9.2),
//! which takes 2^48 packets, so the counters are set; queues that are full, and an outbox that is full in the middle of
//! a round.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use corecast_wire::{
    Codec, CodecMapping, Command, ConsumeOptions, ConsumerId, DataConsumerId, Discard, EncodingMapping, Event,
    IceState, MediaKind, PayloadTypeMapping, PlainTransportOptions, ProduceOptions, ProducerId, RouterId,
    SrtpCryptoSuite, SrtpParameters, TransportId,
};

use crate::limits::{MAX_EVENTS, MAX_LAYER_EVENTS};
use crate::memory::{Memory, MemorySource, PLACES, Words};
use crate::srtp::{ReplayWindow, Sealer};
use crate::{Config, Endpoint, EndpointId, Forward, Instant, Outbox, OutboxSize, Path, SystemInstant, Worker};

const LAST_INDEX: u64 = (1 << 48) - 1;
/// First sequence number of the consumer. The sender's is 0, so that its index is always so much higher.
const AHEAD: u64 = 7;

fn key(suite: SrtpCryptoSuite, fill: u8) -> SrtpParameters {
    SrtpParameters { suite, key_and_salt: vec![fill; suite.key_and_salt_len()] }
}

/// Transport 0 sends, transport 1 receives.
struct Call {
    worker: Worker,
    outbox: Outbox,
    sealer: Sealer,
}

impl Call {
    fn new(suite: SrtpCryptoSuite) -> Self {
        Self::with_words(suite, Words::default())
    }

    #[expect(clippy::disallowed_methods, reason = "a worker is told one, and nothing here reads it")]
    fn with_words(suite: SrtpCryptoSuite, words: Words) -> Self {
        let config = Config::plain(SystemInstant::now());
        let worker = Worker::with_memory(config, MemorySource::default(), words);
        let sealer = Sealer::new(&key(suite, 1)).expect("a key of the right length");
        let mut call = Self { worker, outbox: Outbox::new(), sealer };
        let router = RouterId(1);
        call.must(&Command::CreateRouter { router }, &[]);
        for number in 0..2 {
            let (local, transport) = (SocketAddr::from(([127, 0, 0, 1], 4_000)), TransportId(number.into()));
            let srtp = Some(key(suite, 2));
            let (listen_ip, port) = (local.ip(), None);
            let options = PlainTransportOptions { port, srtp, ..PlainTransportOptions::new(listen_ip, 9) };
            let opened = [Endpoint { id: EndpointId(number), local }];
            call.must(&Command::CreatePlainTransport { router, transport, options }, &opened);
            let (remote, srtp) = (Some(path(number).remote), Some(key(suite, 1)));
            call.must(&Command::ConnectPlainTransport { transport, remote, rtcp_remote: None, srtp }, &[]);
        }
        let (transport, producer, consumer) = (TransportId(0), ProducerId(1), ConsumerId(1));
        call.must(&Command::Produce { transport, producer, options: produce() }, &[]);
        let transport = TransportId(1);
        call.must(&Command::Consume { transport, consumer, producer, options: consume() }, &[]);
        call
    }

    fn must(&mut self, command: &Command, opened: &[Endpoint]) {
        self.worker.handle_command(Instant::default(), command, opened, &mut self.outbox).expect("a lawful command");
        self.outbox.clear();
    }

    /// The same with an outbox for two packets.
    fn with_little_room() -> Self {
        let size = OutboxSize { bytes: 4_096, segments: 2, trains: 2 };
        Self { outbox: Outbox::in_memory(Memory::boxed(size.bytes), size), ..Self::new(SUITES[0]) }
    }

    /// Takes in the packet of an index. Returns how many leave.
    fn send(&mut self, index: u64) -> usize {
        self.take_in(index);
        assert_eq!(self.worker.forward(Instant::default(), &mut self.outbox), Forward::Done);
        let sent = self.outbox.packets();
        self.outbox.clear();
        sent
    }

    fn take_in(&mut self, index: u64) {
        let [.., high, low] = index.to_be_bytes();
        let header = [0x80, 96, high, low, 0, 0, 0, 0, 0, 0, 0, 42];
        let mut packet = vec![0; header.len() + 20 + self.sealer.rtp_overhead()];
        packet[..header.len()].copy_from_slice(&header);
        self.sealer.seal_rtp(42, index, &mut packet, header.len(), &[1; 20]).expect("an index that there is");
        self.worker.handle_datagram(Instant::default(), Instant::default(), path(0), &packet, &mut self.outbox);
    }

    /// Lets packets leave until the outbox is full. Returns their numbers.
    fn forward(&mut self) -> (Forward, Vec<u64>) {
        let (forward, mut numbers) = (self.worker.forward(Instant::default(), &mut self.outbox), Vec::new());
        self.outbox.for_each_packet(self.worker.history(), |_, packet| {
            numbers.push(u64::from(u16::from_be_bytes([packet[2], packet[3]])));
        });
        self.outbox.clear();
        (forward, numbers)
    }

    fn pause_consumer(&mut self, paused: bool) {
        self.must(&Command::PauseConsumer { consumer: ConsumerId(1), paused }, &[]);
    }

    fn pause_producer(&mut self, paused: bool) {
        self.must(&Command::PauseProducer { producer: ProducerId(1), paused }, &[]);
    }

    fn discarded(&self, why: Discard) -> u64 {
        self.worker.totals().discards.get(why)
    }
}

fn path(number: u32) -> Path {
    Path { local: EndpointId(number), remote: SocketAddr::from(([192, 0, 2, 1], 5_000)) }
}

fn produce() -> ProduceOptions {
    let codec = Codec::Other;
    let codecs = vec![CodecMapping { payload_type: 96, mapped_payload_type: 96, codec, clock_rate_hz: 48_000 }];
    let encodings = vec![EncodingMapping::announced(42)];
    ProduceOptions { nack: true, ..ProduceOptions::new(MediaKind::Audio, codecs, encodings) }
}

fn consume() -> ConsumeOptions {
    ConsumeOptions {
        first_sequence: AHEAD as u16,
        ..ConsumeOptions::new(43, vec![PayloadTypeMapping::same(96)], "one".to_owned())
    }
}

const SUITES: [SrtpCryptoSuite; 3] =
    [SrtpCryptoSuite::AeadAes128Gcm, SrtpCryptoSuite::AeadAes256Gcm, SrtpCryptoSuite::AesCm128HmacSha1_80];

#[test]
fn rtp_is_not_sent_beyond_its_last_index() {
    for suite in SUITES {
        let mut call = Call::new(suite);
        assert_eq!(call.send(0), 1);
        // So many packets later.
        for stream in call.worker.streams.objects_mut() {
            *stream.window(false) = ReplayWindow::restore(LAST_INDEX - AHEAD - 5);
        }
        for index in LAST_INDEX - AHEAD - 4..=LAST_INDEX - AHEAD {
            assert_eq!(call.send(index), 1, "{suite:?}: {index}");
        }
        for index in LAST_INDEX - AHEAD + 1..=LAST_INDEX {
            assert_eq!(call.send(index), 0, "{suite:?}: {index} would begin the consumer's indexes again");
        }
        assert_eq!(call.discarded(Discard::KeyExhausted), AHEAD);
        // Nor does the sender begin again: what follows its last packet is taken for something far behind.
        assert_eq!(call.send(0) + call.send(1), 0);
        assert_eq!(call.discarded(Discard::TooOld), 2);
    }
}

#[test]
fn rtcp_is_not_sent_beyond_its_last_index() {
    for suite in SUITES {
        let mut call = Call::new(suite);
        assert_eq!(call.send(0), 1);
        for transport in call.worker.transports.objects_mut() {
            let security = transport.security_mut().expect("SRTP");
            security.sealer_mut().skip_to_rtcp_index((1 << 31) - 2);
        }
        let mut sent = 0;
        for _ in 0..20 {
            let Some(due) = call.worker.next_timeout() else { break };
            call.worker.handle_timeout(due, &mut call.outbox);
            sent += call.outbox.packets();
            call.outbox.clear();
        }
        assert_eq!(sent, 2 * 2, "{suite:?}: two compounds of each transport");
        assert!(call.discarded(Discard::KeyExhausted) > 0);
    }
}

#[test]
fn timers_wait_for_their_turn_if_very_many_events_wait_to_be_polled() {
    let mut call = Call::new(SUITES[0]);
    let event = Event::ConsumerLayersChanged { consumer: ConsumerId(1), current: None, temporal: None };
    let due = call.worker.next_timeout().expect("reports");
    while call.worker.events.len() + MAX_LAYER_EVENTS <= MAX_EVENTS {
        call.worker.push_event(event.clone());
    }
    call.worker.handle_timeout(due, &mut call.outbox);
    assert_eq!(call.worker.next_timeout(), Some(due), "still due");
    assert!(call.worker.poll_event().is_some());
    call.worker.handle_timeout(due, &mut call.outbox);
    assert!(call.worker.next_timeout() > Some(due), "done");
}

#[test]
fn the_end_of_a_session_is_told_however_many_events_wait() {
    let mut call = Call::new(SUITES[0]);
    let lost =
        |number| Event::IceStateChanged { transport: TransportId(number), state: IceState::Disconnected, tuple: None };
    let full = |number| Event::DataConsumerSendBufferFull { data_consumer: DataConsumerId(number) };
    let sessions = 2 * MAX_EVENTS as u64;
    for number in 0..sessions {
        call.worker.push_event(full(number));
        call.worker.push_event(lost(number));
    }
    let told: Vec<_> = std::iter::from_fn(|| call.worker.poll_event()).collect();
    let ends: Vec<_> = told.iter().filter(|event| matches!(event, Event::IceStateChanged { .. })).cloned().collect();
    assert_eq!(ends, (0..sessions).map(lost).collect::<Vec<_>>(), "each, in order");
    let others = told.len() - ends.len();
    assert_eq!(others, MAX_EVENTS / 2, "what passes by finds no room behind {MAX_EVENTS}");
}

#[test]
fn timers_wait_while_the_outbox_is_half_full() {
    let mut call = Call::with_little_room();
    let due = call.worker.next_timeout().expect("reports");
    call.take_in(0);
    assert_eq!(call.worker.forward(due, &mut call.outbox), Forward::Done);
    call.worker.handle_timeout(due, &mut call.outbox);
    assert_eq!((call.worker.next_timeout(), call.outbox.packets()), (Some(due), 1), "still due");
    call.outbox.clear();
    call.worker.handle_timeout(due, &mut call.outbox);
    assert!(call.worker.next_timeout() > Some(due) && !call.outbox.is_empty(), "done");
}

#[test]
fn what_is_missing_is_asked_for_as_soon_as_there_is_room() {
    let (mut call, now) = (Call::with_little_room(), Instant::default());
    call.take_in(0);
    call.take_in(1);
    assert_eq!(call.worker.forward(now, &mut call.outbox), Forward::Done);
    call.take_in(5);
    assert_eq!(call.worker.forward(now, &mut call.outbox), Forward::Full);
    call.outbox.clear();
    assert_eq!(call.worker.next_timeout(), Some(now), "due at once");
    call.worker.handle_timeout(now, &mut call.outbox);
    assert_eq!((call.outbox.packets(), call.discarded(Discard::OutboxFull)), (1, 0));
    assert!(call.worker.next_timeout() > Some(now));
}

#[test]
fn a_packet_that_finds_no_room_has_no_number() {
    let mut call = Call::with_little_room();
    (0..3).for_each(|index| call.take_in(index));
    assert_eq!(call.forward(), (Forward::Full, vec![AHEAD, AHEAD + 1]));
    call.pause_consumer(true);
    call.pause_consumer(false);
    assert_eq!(call.forward(), (Forward::Done, vec![AHEAD + 2]));
}

#[test]
fn what_a_round_has_still_to_send_is_not_repeated() {
    let mut call = Call::with_little_room();
    call.send(0);
    call.send(2);
    [3, 4, 1].into_iter().for_each(|index| call.take_in(index));
    assert_eq!(call.forward(), (Forward::Full, vec![AHEAD + 3, AHEAD + 4]));
    let key = *call.worker.consumer_by_id.get(&ConsumerId(1)).expect("a consumer");
    let late = AHEAD as u16 + 1;
    let ask = |call: &mut Call| call.worker.retransmit(Instant::default(), key, late, &mut call.outbox);
    assert_eq!(ask(&mut call), Err(Discard::RetransmitNotFound));
    assert_eq!(call.forward(), (Forward::Done, vec![AHEAD + 1]));
    assert_eq!(ask(&mut call), Ok(()), "now it may be missed");
}

#[test]
fn what_a_round_has_still_to_send_of_a_producer_that_is_paused_does_not_leave() {
    let mut call = Call::with_little_room();
    (0..4).for_each(|index| call.take_in(index));
    assert_eq!(call.forward(), (Forward::Full, vec![AHEAD, AHEAD + 1]));
    call.pause_producer(true);
    assert_eq!(call.forward(), (Forward::Done, vec![]));
    call.pause_producer(false);
    call.take_in(4);
    assert_eq!(call.forward(), (Forward::Done, vec![AHEAD + 2]));
}

#[test]
fn a_limit_does_not_end_before_the_round_that_needs_it() {
    let (mut call, now) = (Call::new(SUITES[0]), Instant::default());
    let key = *call.worker.transport_by_id.get(&TransportId(1)).expect("a transport");
    let is_limited = |call: &mut Call| call.worker.transports.get_mut(key).is_some_and(|one| one.queue().is_some());
    call.worker.transports.get_mut(key).expect("the same").limit(now, 1);
    call.worker.limited.push(key);
    call.worker.drain(now, key, &mut call.outbox);
    assert!(is_limited(&mut call), "the round is not over");
    assert_eq!(call.send(0), 1);
    assert!(!is_limited(&mut call));
}

#[test]
fn a_stream_that_turns_idle_while_its_packets_wait_goes_on_afterwards() {
    let mut call = Call::with_little_room();
    (0..3).for_each(|index| call.take_in(index));
    assert_eq!(call.forward().0, Forward::Full);
    call.take_in(3);
    // The process stood still for a minute.
    let now = Instant::from_nanos(60_000_000_000);
    while call.worker.next_timeout().is_some_and(|due| due <= now) {
        call.worker.handle_timeout(now, &mut call.outbox);
        call.outbox.clear();
    }
    call.take_in(4);
    assert_eq!(call.forward(), (Forward::Done, vec![AHEAD + 4]));
}

/// What a call needs to go on after its process has died lies in the shell's memory, and is given back.
#[test]
fn numbers_of_a_call_lie_where_the_shell_says() {
    let places: &'static [AtomicU64] = Box::leak((0..PLACES).map(|_| AtomicU64::new(0)).collect());
    for suite in SUITES {
        let mut left = Some(places);
        let mut call = Call::with_words(suite, Words::new(move || left.take()));
        let has = |value: u64| places.iter().filter(|place| place.load(Ordering::Relaxed) == value).count();
        (3..=9).for_each(|index| assert_eq!(call.send(index), 1));
        assert_eq!(has(9 + 1), 1, "behind the highest index in");
        assert_eq!(has((1 << 16) + 9 + 1), 1, "behind the stream's highest number");
        assert_eq!(has(AHEAD + 7), 1, "the next index out");
        let (from, outbox) = (TransportId(1), &mut call.outbox);
        let key = call.worker.transport_key(from).expect("a transport");
        let transport = call.worker.transports.get_mut(key).expect("a transport");
        for _ in 0..5 {
            transport.send_rtcp(outbox, |writer| assert!(writer.push_pli(1, 2))).expect("room");
        }
        outbox.clear();
        assert_eq!(has(5), 1, "the next index of RTCP");
        let kept = call.worker.words.kept();
        call.must(&Command::CloseRouter { router: RouterId(1) }, &[]);
        // Two sealers, two windows, two transports (4), a consumer (2), a stream that sends (5); and since when the
        // worker lives, whom it serves, and whom it suspects.
        assert_eq!((kept, call.worker.words.kept()), (18, 3));
    }
}

/// A worker may die of a packet that it forwards as well as of one that it takes in: its sender is to blame, not who
/// was served last, nor its receiver.
#[test]
fn the_sender_of_what_is_forwarded_is_blamed() {
    let mut left = Some(&*Box::leak((0..PLACES).map(|_| AtomicU64::new(0)).collect::<Box<[_]>>()));
    let words = Words::new(move || left.take());
    let mut call = Call::with_words(SUITES[0], words);
    let now = Instant::default();
    call.take_in(3);
    assert_eq!(call.worker.blame.served(), Some(TransportId(0)));
    call.worker.handle_datagram(now, now, path(1), &[0x80; 20], &mut call.outbox);
    assert_eq!(call.worker.blame.served(), Some(TransportId(1)));
    call.worker.begin_round(now, &mut call.outbox);
    assert_eq!(call.worker.blame.served(), Some(TransportId(0)));
    assert!(call.worker.advance_round(now, &mut call.outbox));
    assert_eq!(call.outbox.packets(), 1);
    assert_eq!(call.worker.blame.served(), Some(TransportId(0)));
    assert_eq!(call.worker.forward(now, &mut call.outbox), Forward::Done);
    assert_eq!(call.worker.blame.served(), None);
}
