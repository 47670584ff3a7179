//! Redundant sound (RFC 2198) that is made of history for receivers that lose much: each is decoded here as a receiver
//! does it.

use std::collections::BTreeMap;
use std::time::Duration;

use corecast_core::Instant;
use corecast_core::rtcp::{ReportBlock, Writer};
use corecast_core::rtp::RtpView;
use corecast_core::srtp::{Opener, Sealer};
use corecast_wire::{
    Codec, CodecMapping, Command, ConsumeOptions, ConsumerId, EncodingMapping, MediaKind, PayloadTypeMapping,
    ProduceOptions, RedundancyOptions,
};

use crate::bed::{Bed, packet, path, remote, srtp};

const OPUS: u8 = 100;
const OPUS_THERE: u8 = 96;
const RED_THERE: u8 = 97;
/// 20 ms.
const FRAME: u32 = 960;
/// Loss in reports, of 256.
const NONE: u8 = 0;
const FOUR_PERCENT: u8 = 10;
const TWELVE_PERCENT: u8 = 31;

/// What a receiver has decoded: payloads by RTP time.
type Sound = BTreeMap<u32, Vec<u8>>;

/// A sender of Opus, and a receiver that has redundancy or not.
struct Call {
    bed: Bed,
    is_encrypted: bool,
    /// The receiver's.
    sealer: Sealer,
    now: Instant,
    timestamp: u32,
    sequence: u16,
    /// What was sent, by RTP time.
    sent: Sound,
}

/// A packet as it left.
#[derive(Clone, Debug, PartialEq)]
struct Left {
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    payload: Vec<u8>,
    bytes: Vec<u8>,
}

/// Blocks of a packet by RTP time, the primary last.
fn decode(left: &Left) -> Vec<(u32, Vec<u8>)> {
    if left.payload_type == OPUS_THERE {
        return vec![(left.timestamp, left.payload.clone())];
    }
    assert_eq!(left.payload_type, RED_THERE);
    let (mut rest, mut heads) = (&left.payload[..], Vec::new());
    while rest[0] & 0x80 != 0 {
        let word = u32::from_be_bytes(rest[..4].try_into().expect("four bytes"));
        assert_eq!((word >> 24 & 0x7f) as u8, OPUS_THERE);
        heads.push((word >> 10 & 0x3fff, (word & 0x3ff) as usize));
        rest = &rest[4..];
    }
    assert_eq!(rest[0], OPUS_THERE);
    rest = &rest[1..];
    let mut blocks = Vec::new();
    for (age, len) in heads {
        let (block, behind) = rest.split_at(len);
        blocks.push((left.timestamp.wrapping_sub(age), block.to_vec()));
        rest = behind;
    }
    blocks.push((left.timestamp, rest.to_vec()));
    blocks
}

impl Call {
    fn new(is_encrypted: bool, redundancy: Option<RedundancyOptions>) -> Self {
        let mut bed = Bed::new();
        bed.transport(0, false, false);
        bed.transport(1, false, is_encrypted);
        let opus =
            CodecMapping { payload_type: 111, mapped_payload_type: OPUS, codec: Codec::Other, clock_rate_hz: 48_000 };
        let encodings = vec![EncodingMapping::announced(1_111)];
        bed.produce_as(0, 1, ProduceOptions::new(MediaKind::Audio, vec![opus], encodings)).expect("new");
        let types = vec![PayloadTypeMapping { router: OPUS, receiver: OPUS_THERE }];
        let options = ConsumeOptions {
            nack: true,
            redundancy,
            first_sequence: 10,
            ..ConsumeOptions::new(101, types, "c".into())
        };
        bed.consume_as(1, 1, options).expect("new");
        bed.sent();
        Self {
            now: bed.now,
            bed,
            is_encrypted,
            sealer: Sealer::new(&srtp(101)).expect("a lawful key"),
            timestamp: u32::MAX - 5 * FRAME,
            sequence: u16::MAX - 5,
            sent: Sound::new(),
        }
    }

    fn with_redundancy() -> Self {
        Self::new(true, Some(RedundancyOptions { router: OPUS, receiver: RED_THERE }))
    }

    /// The next packet of this payload, so much later than the one before. What leaves.
    fn says(&mut self, payload: &[u8], later: u32) -> Vec<Left> {
        self.timestamp = self.timestamp.wrapping_add(later);
        self.sequence = self.sequence.wrapping_add(1);
        self.now = self.now + Duration::from_micros(u64::from(later) * 1_000 / 48);
        self.sent.insert(self.timestamp, payload.to_vec());
        self.arrives(self.sequence, self.timestamp, payload)
    }

    fn arrives(&mut self, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<Left> {
        let mut datagram = packet(1_111, 111, sequence, &[], payload);
        datagram[4..8].copy_from_slice(&timestamp.to_be_bytes());
        self.bed.now = self.now;
        self.bed.arrive(path(0), &datagram);
        let left = self.leaves();
        if !left.is_empty() {
            return left;
        }
        // Sound may wait a moment for more.
        self.bed.now = self.now + Duration::from_millis(5);
        self.leaves()
    }

    /// The next 20 ms.
    fn goes_on(&mut self) -> Vec<Left> {
        let fill = self.sequence.to_be_bytes()[1];
        let len = 60 + usize::from(fill % 7);
        self.says(&vec![fill; len], FRAME)
    }

    fn leaves(&mut self) -> Vec<Left> {
        let mut left = Vec::new();
        for (to, bytes) in self.bed.sent() {
            // RFC 5761 section 4.
            if to != remote(1) || (192..224).contains(&bytes[1]) {
                continue;
            }
            let view = RtpView::parse(&bytes).expect("lawful");
            let (payload_type, sequence, timestamp) = (view.payload_type(), view.sequence(), view.timestamp());
            let payload = if self.is_encrypted {
                let opener = Opener::new(&srtp(1)).expect("a lawful key");
                let mut plain = [0; 1_500];
                let index = sequence.into();
                let len = opener.open_rtp(view.ssrc(), index, view.header(), view.body(), &mut plain);
                plain[..len.expect("authentic")].to_vec()
            } else {
                view.body().to_vec()
            };
            left.push(Left { payload_type, sequence, timestamp, payload, bytes: bytes.clone() });
        }
        left
    }

    /// The receiver sends RTCP.
    fn hears(&mut self, write: impl FnOnce(&mut Writer<'_>)) -> Vec<Left> {
        let mut out = [0; 128];
        let mut writer = Writer::new(&mut out);
        write(&mut writer);
        let len = writer.len();
        let datagram = if self.is_encrypted {
            let mut sealed = [0; 192];
            sealed[..len].copy_from_slice(&out[..len]);
            let len = self.sealer.seal_rtcp(&mut sealed, len).expect("room");
            sealed[..len].to_vec()
        } else {
            out[..len].to_vec()
        };
        self.bed.arrive(path(1), &datagram);
        self.leaves()
    }

    /// The receiver reports that it has lost so much, of 256.
    fn loses(&mut self, fraction_lost: u8) {
        let block = ReportBlock { ssrc: 101, fraction_lost, ..ReportBlock::default() };
        let left = self.hears(|writer| {
            writer.push_receiver_report(9, [block]);
        });
        assert_eq!(left, []);
    }

    fn asks_again(&mut self, sequence: u16) -> Vec<Left> {
        self.hears(|writer| {
            writer.push_receiver_report(9, []);
            writer.push_nack(9, 101, [sequence]);
        })
    }
}

/// How many earlier payloads a packet has, once it is what was sent at each time.
fn checked(call: &Call, left: &[Left]) -> usize {
    let [left] = left else { panic!("one packet: {left:?}") };
    let blocks = decode(left);
    for (timestamp, block) in &blocks {
        assert_eq!(call.sent.get(timestamp), Some(block), "at {timestamp}");
    }
    assert_eq!(blocks.last().map(|(timestamp, _)| *timestamp), Some(left.timestamp));
    blocks.len() - 1
}

#[test]
fn it_is_made_while_much_is_lost_and_for_some_time_after_that() {
    for is_encrypted in [false, true] {
        let options = RedundancyOptions { router: OPUS, receiver: RED_THERE };
        let mut call = Call::new(is_encrypted, Some(options));
        let mut sequences = Vec::new();
        let mut expect = |call: &mut Call, loss: Option<u8>, blocks: usize| {
            if let Some(loss) = loss {
                call.loses(loss);
            }
            for _ in 0..3 {
                let left = call.goes_on();
                assert_eq!(checked(call, &left), blocks, "after {loss:?}");
                assert_eq!(left[0].payload_type, if blocks == 0 { OPUS_THERE } else { RED_THERE });
                sequences.push(left[0].sequence);
            }
        };
        expect(&mut call, None, 0);
        expect(&mut call, Some(7), 0);
        expect(&mut call, Some(FOUR_PERCENT), 1);
        expect(&mut call, Some(TWELVE_PERCENT), 2);
        expect(&mut call, Some(NONE), 2);
        for _ in 0..490 {
            call.goes_on();
        }
        call.loses(3);
        call.loses(NONE);
        for _ in 0..490 {
            call.goes_on();
        }
        // Not calm for ten seconds yet.
        call.loses(NONE);
        let left = call.goes_on();
        assert_eq!(checked(&call, &left), 2);
        for _ in 0..10 {
            call.goes_on();
        }
        call.loses(NONE);
        let left = call.goes_on();
        assert_eq!(checked(&call, &left), 0);
        call.loses(FOUR_PERCENT);
        let left = call.goes_on();
        assert_eq!(checked(&call, &left), 1, "again");
        assert!(sequences.is_sorted_by(|one, next| *next == one + 1), "no number is left out: {sequences:?}");
        assert_eq!(call.bed.discarded(), []);
    }
}

#[test]
fn a_receiver_hears_all_of_it_though_a_packet_in_eight_is_lost() {
    let mut call = Call::with_redundancy();
    call.loses(TWELVE_PERCENT);
    let mut heard = Sound::new();
    for number in 0..400 {
        let left = call.goes_on();
        checked(&call, &left);
        // Alone, and two in a row.
        if number % 16 != 3 && !(7..9).contains(&(number % 16)) {
            heard.extend(left.iter().flat_map(decode));
        }
    }
    assert_eq!(heard, call.sent);
}

#[test]
fn who_has_not_agreed_to_it_never_gets_it() {
    let mut call = Call::new(true, None);
    call.loses(u8::MAX);
    for _ in 0..5 {
        let left = call.goes_on();
        assert_eq!((checked(&call, &left), left[0].payload_type), (0, OPUS_THERE));
    }
}

#[test]
fn what_a_header_cannot_say_or_is_too_long_is_left_out() {
    let mut call = Call::with_redundancy();
    call.loses(TWELVE_PERCENT);
    call.goes_on();
    // Silence: a packet each 400 ms, further back than an offset reaches.
    for (later, blocks) in [(19_200, 0), (19_200, 0), (16_384, 0), (16_383, 1), (FRAME, 1), (FRAME, 2)] {
        let left = call.says(&[1, 2], later);
        assert_eq!(checked(&call, &left), blocks, "{later} later");
    }
    // The length of a block has ten bits, and all must fit a path.
    let lens =
        [(1_023, 2), (30, 2), (60, 1), (60, 2), (1_024, 1), (60, 1), (60, 1), (60, 2), (700, 2), (700, 0), (400, 0)];
    for (len, blocks) in lens.into_iter().chain([(390, 1)]) {
        let left = call.says(&vec![5; len], FRAME);
        assert_eq!(checked(&call, &left), blocks, "before {len} bytes");
        assert!(left[0].payload.len() <= 1_100, "{len}");
    }
}

#[test]
fn nothing_of_a_pause_is_in_it_and_nothing_that_never_came() {
    let mut call = Call::with_redundancy();
    call.loses(TWELVE_PERCENT);
    for _ in 0..4 {
        call.goes_on();
    }
    let consumer = ConsumerId(101);
    call.bed.command(&Command::PauseConsumer { consumer, paused: true }).expect("paused");
    for _ in 0..4 {
        assert_eq!(call.says(b"not for this receiver", FRAME), []);
    }
    call.bed.command(&Command::PauseConsumer { consumer, paused: false }).expect("resumed");
    for blocks in [0, 1, 2] {
        let left = call.goes_on();
        assert_eq!(checked(&call, &left), blocks);
    }
    // One is lost on its way to us, and comes late.
    let (sequence, timestamp) = (call.sequence.wrapping_add(1), call.timestamp.wrapping_add(FRAME));
    (call.sequence, call.timestamp) = (sequence, timestamp);
    let left = call.goes_on();
    assert_eq!(checked(&call, &left), 1, "the one before that");
    call.sent.insert(timestamp, b"late".to_vec());
    let left = call.arrives(sequence, timestamp, b"late");
    assert_eq!(checked(&call, &left), 2);
    let left = call.goes_on();
    assert_eq!(checked(&call, &left), 2);
}

#[test]
fn what_was_made_is_never_sealed_again_under_its_number() {
    let mut call = Call::with_redundancy();
    let plain = call.goes_on().remove(0);
    call.loses(FOUR_PERCENT);
    let made = call.goes_on().remove(0);
    assert_eq!(made.payload_type, RED_THERE);
    assert_eq!(call.asks_again(plain.sequence), [plain], "to the byte");
    assert_eq!(call.asks_again(made.sequence), [], "what it was made of may have changed");
}
