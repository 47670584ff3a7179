//! Peers with keys and no manners: what they send is built by hand or by an association of the crate `dcsctp`, and
//! reaches the machine in proper records of DTLS.

use std::time::Duration;

use corecast_bench::sockets::thread_cpu_clock;
use corecast_tests::association::{inject, packet};
use corecast_tests::bare::{BarePeer, certificate, fingerprint};
use corecast_tests::chunks::{Numbers, chunks};
use corecast_tests::webrtc::Bench;
use corecast_wire::{
    Command, Discard, DtlsState, DtlsVersions, Event, RouterId, SctpBuffers, SctpOptions, SctpState, TransportId,
};
use dcsctp::api::{DcSctpSocket, Message, Options, PpId, SendOptions, SocketEvent, SocketState, SocketTime, StreamId};

use crate::{Room, SCTP};

/// A bare peer with an association of its own.
struct Peer {
    bare: BarePeer,
    socket: Box<dyn DcSctpSocket>,
    received: Vec<(u16, u32, Vec<u8>)>,
    /// The verification tag that the machine expects (RFC 9260 section 3.1).
    tag: u32,
    /// The window that the machine has announced (RFC 9260 section 3.3.3).
    window: u32,
    /// What both sides count from.
    numbers: Numbers,
}

impl Peer {
    fn join(room: &mut Room, number: u8) -> Self {
        let own = certificate();
        room.bench.create_transport(RouterId(1), number);
        room.bench.connect(number, true, vec![fingerprint(&own)]);
        let mut bare = BarePeer::new(&room.bench, number, true, DtlsVersions::V12, own);
        bare.check(&mut room.bench);
        bare.handshake(&mut room.bench);
        assert_eq!(room.bench.state_of(number.into()).1, DtlsState::Connected);
        let mut peer =
            Self { bare, socket: Self::socket(), received: Vec::new(), tag: 0, window: 0, numbers: Numbers::default() };
        peer.socket.connect();
        peer.exchange(room, 20);
        peer
    }

    /// Another association takes the place of this one. False if the machine does not take it: this one is closing.
    fn begin_again(&mut self, room: &mut Room, interleaves: bool) -> bool {
        room.bench.skip(Duration::from_secs(1));
        self.bare.check(&mut room.bench);
        let options = Options { mtu: 1_100, enable_message_interleaving: interleaves, ..Options::default() };
        self.socket = dcsctp::new_socket("peer", &options);
        self.numbers.interleaves = interleaves;
        self.socket.connect();
        self.received.clear();
        self.exchange(room, 20);
        self.socket.state() == SocketState::Connected
    }

    fn socket() -> Box<dyn DcSctpSocket> {
        dcsctp::new_socket("peer", &Options { mtu: 1_100, ..Options::default() })
    }

    /// Lets so many milliseconds pass.
    fn exchange(&mut self, room: &mut Room, ms: u64) {
        for _ in 0..ms {
            while let Some(event) = self.socket.poll_event() {
                if let SocketEvent::SendPacket(packet) = event {
                    self.tag = u32::from_be_bytes(*packet[4..].first_chunk().expect("a header"));
                    self.numbers.learn(&packet);
                    inject(&mut room.bench, &mut self.bare, &packet);
                }
            }
            room.bench.skip(Duration::from_millis(1));
            room.follow();
            for datagram in self.bare.arrived(&mut room.bench) {
                self.bare.hear(&room.bench, &datagram);
            }
            for packet in self.bare.take_application_data(&room.bench) {
                if let [2, _, _, _, _, _, _, _, a, b, c, d, ..] = packet[12..] {
                    self.window = u32::from_be_bytes([a, b, c, d]);
                }
                self.numbers.learn(&packet);
                self.socket.handle_input(&packet);
            }
            self.socket.advance_time(SocketTime::zero() + room.bench.now);
            while let Some(message) = self.socket.get_next_message() {
                self.received.push((message.stream_id.0, message.ppid.0, message.payload));
            }
        }
    }

    fn send(&mut self, stream: u16, identifier: u32, payload: &[u8]) {
        let message = Message::new(StreamId(stream), PpId(identifier), payload.to_vec());
        self.socket.send(message, &SendOptions::default()).expect("room");
    }

    /// Sends chunks that were built by hand, as many as fit in each packet.
    fn inject(&mut self, room: &mut Room, chunks: &[Vec<u8>]) {
        for some in chunks.chunks(40) {
            inject(&mut room.bench, &mut self.bare, &packet(self.tag, &some.concat()));
        }
    }

    /// The last acknowledgement of the next 300 ms: the TSN up to which all has come, and the window (RFC 9260 section
    /// 3.3.4).
    fn acknowledgement(&mut self, room: &mut Room) -> Option<(u32, u32)> {
        let mut last = None;
        for _ in 0..300 {
            room.bench.skip(Duration::from_millis(1));
            for datagram in self.bare.arrived(&mut room.bench) {
                self.bare.hear(&room.bench, &datagram);
                for packet in self.bare.take_application_data(&room.bench) {
                    if let [3, _, _, _, a, b, c, d, e, f, g, h, ..] = packet[12..] {
                        last = Some((u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])));
                    }
                }
            }
        }
        last
    }

    /// Opens a channel by hand.
    fn open(&mut self, stream: u16, label: &str) {
        let len = u16::try_from(label.len()).expect("short").to_be_bytes();
        self.send(stream, 50, &[&[3, 0, 0, 0, 0, 0, 0, 0], &len[..], &[0, 0], label.as_bytes()].concat());
    }
}

fn room() -> Room {
    Room::new(Bench::new(DtlsVersions::V12))
}

fn opened(room: &Room) -> usize {
    room.bench.events.iter().filter(|event| matches!(event, Event::DataChannelOpened { .. })).count()
}

#[test]
fn messages_of_the_largest_size_and_empty_ones_pass_as_they_are() {
    let mut room = room();
    let (mut one, mut two) = (Peer::join(&mut room, 1), Peer::join(&mut room, 2));
    one.open(0, "chat");
    two.open(6, "chat");
    for _ in 0..50 {
        one.exchange(&mut room, 1);
        two.exchange(&mut room, 1);
    }
    assert_eq!(one.received, [(0, 50, vec![2])]);
    assert_eq!(two.received.split_off(0), [(6, 50, vec![2])]);
    let messages = [(56, vec![0]), (57, vec![0]), (51, b"a".to_vec()), (53, vec![9; 262_144])];
    for (identifier, payload) in &messages {
        one.send(0, *identifier, payload);
    }
    for _ in 0..2_000 {
        one.exchange(&mut room, 1);
        two.exchange(&mut room, 1);
    }
    let expected: Vec<_> = messages.into_iter().map(|(identifier, payload)| (6, identifier, payload)).collect();
    assert!(two.received == expected, "{:?}", two.received.iter().map(|(_, id, p)| (*id, p.len())).collect::<Vec<_>>());
}

#[test]
fn the_window_is_that_of_the_settings() {
    assert_eq!(Peer::join(&mut room(), 1).window, 512 << 10);
    let bench = Bench::with_config(DtlsVersions::V12, |config| config.data.recv_window_bytes = 3 << 20);
    assert_eq!(Peer::join(&mut Room::new(bench), 1).window, 3 << 20);
    for (asked, given) in [(0, 1_500), (100_000, 100_000), (5 << 20, 512 << 10)] {
        let mut room = room();
        let buffers = SctpBuffers { recv_window_bytes: asked, ..SctpBuffers::OF_WORKER };
        room.bench.sctp = Some(SctpOptions { buffers, ..SCTP });
        assert_eq!(Peer::join(&mut room, 1).window, given, "of {asked}");
    }
}

/// The first messages come before control has said what becomes of the channel: they wait.
#[test]
fn what_is_sent_before_control_has_answered_is_not_lost() {
    let mut room = room();
    let (mut one, mut two) = (Peer::join(&mut room, 1), Peer::join(&mut room, 2));
    two.open(0, "chat");
    two.exchange(&mut room, 20);
    // Control does not look for a while.
    let seen = std::mem::replace(&mut room.followed, usize::MAX);
    one.open(0, "chat");
    for number in 0..20 {
        one.send(0, 51, format!("{number}").as_bytes());
    }
    one.exchange(&mut room, 50);
    room.followed = seen;
    for _ in 0..100 {
        one.exchange(&mut room, 1);
        two.exchange(&mut room, 1);
    }
    let texts: Vec<_> =
        two.received.iter().filter(|message| message.1 == 51).map(|message| message.2.clone()).collect();
    assert_eq!(texts, (0..20).map(|number| format!("{number}").into_bytes()).collect::<Vec<_>>());
}

/// It begins again with the same ports, as one whose process was started again: channels go on, or are opened again.
#[test]
fn an_association_that_begins_again_goes_on() {
    let mut room = room();
    let (mut one, mut two) = (Peer::join(&mut room, 1), Peer::join(&mut room, 2));
    one.open(0, "chat");
    two.open(0, "chat");
    for _ in 0..50 {
        one.exchange(&mut room, 1);
        two.exchange(&mut room, 1);
    }
    one.socket = Peer::socket();
    one.socket.connect();
    one.exchange(&mut room, 50);
    one.open(0, "chat");
    one.send(0, 51, b"here again");
    two.send(0, 51, b"welcome");
    for _ in 0..100 {
        one.exchange(&mut room, 1);
        two.exchange(&mut room, 1);
    }
    assert_eq!(opened(&room), 2, "the channel that is open already was acknowledged again");
    assert_eq!(two.received.last(), Some(&(0, 51, b"here again".to_vec())));
    assert_eq!(one.received.last(), Some(&(0, 51, b"welcome".to_vec())));
}

#[test]
fn a_label_that_is_wrong_and_kinds_that_are_none_are_counted_and_open_nothing() {
    let mut room = room();
    let mut one = Peer::join(&mut room, 1);
    one.send(0, 50, &[3, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0xFF, 0xFE]);
    one.send(0, 50, &[9]);
    one.send(0, 52, b"partial");
    one.send(0, 46, b"of another protocol");
    one.send(4, 51, b"on a stream without a channel");
    one.exchange(&mut room, 50);
    let discards = room.bench.worker.totals().discards;
    assert_eq!((discards.get(Discard::MalformedMessage), discards.get(Discard::UnknownDataStream)), (4, 1));
    assert_eq!(opened(&room), 0);
}

#[test]
fn channels_are_bounded_and_a_stream_has_one() {
    let mut room = room();
    let mut one = Peer::join(&mut room, 1);
    for stream in 0..100 {
        one.open(stream, "chat");
        one.exchange(&mut room, 3);
    }
    assert_eq!((opened(&room), room.open.len()), (64, 64));
    // Another label on a stream that is in use: both are gone.
    one.open(5, "other");
    one.exchange(&mut room, 50);
    assert_eq!(room.open.len(), 63);
    let closed = Event::DataChannelClosed { transport: TransportId(1), stream: 5 };
    assert_eq!(room.bench.events.iter().filter(|event| **event == closed).count(), 1);
    assert_eq!(opened(&room), 64);
}

#[test]
fn sctp_for_a_transport_without_channels_is_counted() {
    let mut room = room();
    room.bench.sctp = None;
    let mut one = Peer::join(&mut room, 1);
    one.exchange(&mut room, 10);
    assert!(room.bench.worker.totals().discards.get(Discard::UnexpectedSctp) > 0);
    assert!(!room.bench.events.iter().any(|event| matches!(event, Event::SctpStateChanged { .. })));
}

/// Who ends its association again and again may begin one a second: control is told of each.
#[test]
fn associations_do_not_begin_as_often_as_a_peer_likes() {
    let mut room = room();
    let mut one = Peer::join(&mut room, 1);
    for _ in 0..200 {
        one.socket.close();
        one.exchange(&mut room, 1);
        one.socket = Peer::socket();
        one.socket.connect();
        one.exchange(&mut room, 4);
    }
    let begun = |event: &&Event| matches!(event, Event::SctpStateChanged { state: SctpState::Connecting, .. });
    assert!(room.bench.events.iter().filter(begun).count() <= 3);
}

/// Records of DTLS 1.2 have nonces that are drawn: a key protects so many, and then the channels close. DTLS does not.
#[test]
fn a_key_protects_so_many_records_and_no_more() {
    let mut room = Room::new(Bench::with_config(DtlsVersions::V12, |config| config.max_data_records_per_key = 60));
    let (mut one, mut two) = (Peer::join(&mut room, 1), Peer::join(&mut room, 2));
    one.open(0, "chat");
    two.open(0, "chat");
    for _ in 0..50 {
        one.exchange(&mut room, 1);
        two.exchange(&mut room, 1);
    }
    two.bare.heard_nonces.clear();
    for _ in 0..100 {
        one.send(0, 53, &[7; 1_000]);
        one.exchange(&mut room, 1);
        two.exchange(&mut room, 1);
    }
    let closed = |event: &Event| match event {
        Event::SctpStateChanged { transport: TransportId(2), state: SctpState::Closed, detail, .. } => {
            Some(detail.clone())
        }
        _ => None,
    };
    let causes: Vec<_> = room.bench.events.iter().filter_map(closed).collect();
    assert_eq!(causes, ["its key has protected as many records as it may"]);
    assert_eq!(two.socket.state(), SocketState::Closed, "it was told");
    let arrived = two.received.iter().filter(|message| message.1 == 53).count();
    assert!((20..60).contains(&arrived), "{arrived}");
    assert!(two.bare.heard_nonces.len() < 60);
    assert_eq!(room.bench.state_of(2).1, DtlsState::Connected);
}

/// A DATA chunk (RFC 9260 section 3.3.1) of binary data, ordered. `flags` as there: 2 begins a message, 1 ends it.
fn data(tsn: u32, flags: u8, stream: u16, order: u16, identifier: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(16 + payload.len()).expect("short").to_be_bytes();
    let (tsn, stream, order) = (tsn.to_be_bytes(), stream.to_be_bytes(), order.to_be_bytes());
    let mut chunk = [&[0, flags][..], &len, &tsn, &stream, &order, &[0, 0, 0, identifier], payload].concat();
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

/// The beginnings of 6,000 messages of which nothing more comes, a byte each. What they take of the window is what they
/// take of memory, so it closes; of their bytes alone it would hold half a million.
#[test]
fn fragments_of_one_byte_close_the_window() {
    let mut room = room();
    let mut one = Peer::join(&mut room, 1);
    let first = one.numbers.ours;
    let chunks: Vec<_> = (0..6_000).map(|at| data(first.wrapping_add(at), 2, 0, at as u16 + 1, 53, b"x")).collect();
    one.inject(&mut room, &chunks);
    let (tsn, window) = one.acknowledgement(&mut room).expect("something has come");
    assert_eq!(window, 0);
    let taken = tsn.wrapping_sub(first);
    assert!((3_000..4_500).contains(&taken), "{taken} were taken in");
}

/// An association keeps 1,024 streams. What comes on another one is acknowledged, opens no channel and leaves nothing
/// behind, until one of those has been reset.
#[test]
fn streams_are_bounded_until_they_are_reset() {
    let mut room = room();
    let mut one = Peer::join(&mut room, 1);
    let first = one.numbers.ours;
    let used: Vec<_> = (0..1_024).map(|at| data(first.wrapping_add(at), 3, at as u16, 0, 53, b"x")).collect();
    one.inject(&mut room, &used);
    let open = [&[3, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0][..], b"chat"].concat();
    let tsn = |at: u32| first.wrapping_add(1_024 + at);
    one.inject(&mut room, &[data(tsn(0), 3, 5_000, 0, 50, &open)]);
    assert_eq!(one.acknowledgement(&mut room).map(|(up_to, _)| up_to), Some(tsn(0)));
    assert_eq!(opened(&room), 0);
    let reset =
        [&[130, 0, 0, 22, 0, 13, 0, 18][..], &first.to_be_bytes(), &[0; 4], &tsn(0).to_be_bytes(), &[0, 7, 0, 0]];
    one.inject(&mut room, &[reset.concat(), data(tsn(1), 3, 5_000, 0, 50, &open)]);
    assert_eq!(one.acknowledgement(&mut room).map(|(up_to, _)| up_to), Some(tsn(1)));
    assert_eq!(opened(&room), 1);
}

/// A reset of streams that waits for data which never comes (RFC 6525 section 5.2.2), and then thousands of FORWARD-TSN
/// behind it. Each is kept for after the reset, as long as there is room in the window.
#[test]
fn what_waits_for_a_reset_is_bounded() {
    let mut room = room();
    let mut one = Peer::join(&mut room, 1);
    let first = one.numbers.ours;
    let (request, last) = (first.to_be_bytes(), first.wrapping_add(9).to_be_bytes());
    let reset = [&[130, 0, 0, 22, 0, 13, 0, 18][..], &request, &[0; 4], &last, &[0, 0, 0, 0]].concat();
    one.inject(&mut room, &[reset]);
    let forward = |at: u32| [&[192, 0, 0, 8][..], &first.wrapping_add(10 + at).to_be_bytes()].concat();
    one.inject(&mut room, &(0..6_000).map(forward).collect::<Vec<_>>());
    let (tsn, _) = one.acknowledgement(&mut room).expect("something has come");
    let taken = tsn.wrapping_sub(first);
    assert!((3_000..4_500).contains(&taken), "{taken} were taken in");
}

/// Packets of [`packets_that_are_nearly_right_do_no_harm`], unless `CORECAST_PACKETS` says another number.
const PACKETS: u64 = 20_000;
/// What the machine may have taken up by the end beyond what it had in the middle, in bytes.
const GROWTH_BYTES: u64 = 64 << 20;

/// Chunks of every type, built with numbers that the association expects or some near them and lengths that are
/// sometimes wrong, in packets with the right tag and checksum. Nothing panics, nothing takes memory without end, and
/// another participant's channel goes on. What was seen is printed: the slowest packet, and memory.
#[test]
fn packets_that_are_nearly_right_do_no_harm() {
    let wanted = std::env::var("CORECAST_PACKETS").ok().and_then(|text| text.parse().ok()).unwrap_or(PACKETS);
    let mut room = room();
    let (mut two, mut three) = (Peer::join(&mut room, 2), Peer::join(&mut room, 3));
    two.open(0, "chat");
    three.open(0, "chat");
    for _ in 0..50 {
        two.exchange(&mut room, 1);
        three.exchange(&mut room, 1);
    }
    let mut random = fastrand::Rng::with_seed(7);
    let (mut slowest, mut slow, mut half) = ((Duration::ZERO, 0), 0_u64, 0);
    let mut one = Peer::join(&mut room, 1);
    let mut is_connected = true;
    for round in 1..=wanted {
        let packet = packet(one.tag, &chunks(&mut random, one.numbers));
        let records = one.bare.protect(&room.bench, &packet);
        let began = thread_cpu_clock().expect("a clock");
        records.iter().for_each(|record| room.bench.inject(one.bare.address, record));
        let took = thread_cpu_clock().expect("a clock").saturating_sub(began);
        slowest = slowest.max((took, round));
        slow += u64::from(took > Duration::from_millis(1));
        if round.is_multiple_of(8) {
            room.bench.skip(Duration::from_millis(1));
            room.follow();
        }
        if round.is_multiple_of(200) {
            is_connected = one.begin_again(&mut room, random.bool());
            [&mut one, &mut two, &mut three].into_iter().for_each(|peer| peer.bare.forget_what_was_sent());
            for peer in [&mut two, &mut three] {
                peer.bare.check(&mut room.bench);
                peer.exchange(&mut room, 1);
            }
        }
        // A key protects so many records, and no more.
        if round.is_multiple_of(100_000) || !is_connected {
            is_connected = true;
            room.bench.must(&Command::CloseTransport { transport: TransportId(1) });
            room.bench.forget();
            room.followed = 0;
            room.open.retain(|open| open.transport != TransportId(1));
            one = Peer::join(&mut room, 1);
        }
        if round == wanted / 2 {
            half = resident_bytes();
        }
    }
    two.send(0, 51, b"hello");
    for _ in 0..100 {
        two.exchange(&mut room, 1);
        three.exchange(&mut room, 1);
    }
    assert_eq!(three.received.last(), Some(&(0, 51, b"hello".to_vec())));
    let grown = resident_bytes().saturating_sub(half);
    let (took, number) = slowest;
    println!("{wanted} packets, {slow} took more than 1 ms of CPU, number {number} {took:?}; {grown} bytes more");
    assert!(grown < GROWTH_BYTES, "{grown} bytes more than in the middle");
    room.bench.must(&Command::CloseTransport { transport: TransportId(1) });
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a figure");
    line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("kB") * 1_024
}
