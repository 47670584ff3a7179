//! Consumers that outlive their producer and go on with another one's media.

use std::time::Duration;

use corecast_core::rtp::{Header, RtpView, write_header};
use corecast_wire::{
    Codec, CodecMapping, Command, CommandError, ConsumeOptions, ConsumerId, EncodingMapping, MediaKind, ObjectStats,
    PayloadTypeMapping, ProduceOptions, ProducerId, Reply, RouterId, RtxOptions, Silence, TransportId,
};

use crate::bed::{Bed, path, receiver, remote, video};

const OUT: u32 = 21;
const FIRST: u32 = 1_111;
const SECOND: u32 = 3_333;
/// Ticks of pictures' clocks in a millisecond.
const TICKS_PER_MS: u32 = 90;

/// What the receiver has of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Got {
    sequence: u16,
    timestamp: u32,
    picture: u16,
}

fn second() -> ProduceOptions {
    ProduceOptions {
        encodings: vec![EncodingMapping { ssrc: Some(SECOND), rtx_ssrc: Some(SECOND + 1), rid: None }],
        ..video()
    }
}

fn outliving() -> ConsumeOptions {
    let rtx = RtxOptions { ssrc: OUT + 1, payload_types: vec![(101, 102)], first_sequence: 5 };
    ConsumeOptions { outlives_producer: true, rtx: Some(rtx), ..receiver(OUT) }
}

/// A sender at transport 0 whose receiver is at 1, and transport 2 for the next sender.
fn bed() -> Bed {
    let mut bed = Bed::new();
    (0..3).for_each(|number| bed.transport(number, false, false));
    bed.produce_as(0, 1, video()).expect("new");
    bed.consume_as(1, 1, outliving()).expect("new");
    bed.sent();
    bed
}

/// A picture of VP8 in one packet.
fn picture(bed: &mut Bed, from: u32, ssrc: u32, (sequence, timestamp, id): (u16, u32, u16), key: bool) {
    let header = Header { payload_type: 96, sequence, timestamp, ssrc, ..Header::default() };
    let mut bytes = [0; 12 + 11];
    let len = write_header(&mut bytes, &header, &[], &[]).expect("room");
    let [high, low] = id.to_be_bytes();
    let payload = [0x90, 0xe0, high | 0x80, low, 7, 0x20, u8::from(!key), 0x9d, 0x01, 0x2a, 7];
    bytes[len..].copy_from_slice(&payload);
    bed.arrive(path(from), &bytes);
}

/// What has come to the receiver, under its one SSRC.
fn got(bed: &mut Bed) -> Vec<Got> {
    let sent = bed.sent();
    let media = sent.iter().filter(|(to, bytes)| *to == remote(1) && bytes[1] & 0x7f == 101);
    let read = |(_, bytes): &(_, Vec<u8>)| {
        let view = RtpView::parse(bytes).expect("lawful");
        assert_eq!(view.ssrc(), OUT);
        let (payload, timestamp) = (view.body(), u32::from_be_bytes(bytes[4..8].try_into().expect("four")));
        Got { sequence: view.sequence(), timestamp, picture: u16::from_be_bytes([payload[2] & 0x7f, payload[3]]) }
    };
    media.map(read).collect()
}

fn move_to(bed: &mut Bed, producer: u64) -> Result<Reply, CommandError> {
    bed.command(&Command::MoveConsumer { consumer: ConsumerId(OUT.into()), producer: ProducerId(producer) })
}

fn consumers(bed: &mut Bed) -> Vec<u64> {
    let Reply::Stats(page) = bed.command(&Command::Stats { from: None }).expect("answered") else { panic!("no page") };
    let consumer = |object: &ObjectStats| match object {
        ObjectStats::Consumer(stats) => Some(stats.consumer.0),
        _ => None,
    };
    page.objects.iter().filter_map(consumer).collect()
}

/// Lets time pass, and timers do what is due.
fn pass(bed: &mut Bed, millis: u64) {
    let until = bed.now + Duration::from_millis(millis);
    while let Some(due) = bed.worker.next_timeout().filter(|due| *due <= until) {
        bed.now = due;
        bed.worker.handle_timeout(due, &mut bed.outbox);
        bed.outbox.clear();
    }
    bed.now = until;
}

/// Plays with the first sender, lets it close after a silence, and goes on with the second: what came before and after.
/// Both send ten pictures a second.
fn changes(silence_ms: u64) -> (Got, Vec<Got>) {
    let mut bed = bed();
    picture(&mut bed, 0, FIRST, (100, 5_000, 900), true);
    let mut before = got(&mut bed);
    pass(&mut bed, 100);
    picture(&mut bed, 0, FIRST, (101, 14_000, 901), false);
    before.extend(got(&mut bed));
    assert_eq!((before.len(), before[1].picture), (2, 901));
    pass(&mut bed, silence_ms);
    bed.command(&Command::CloseTransport { transport: TransportId(0) }).expect("there");
    assert_eq!(consumers(&mut bed), [u64::from(OUT)], "it stays");

    bed.produce_as(2, 2, second()).expect("new");
    move_to(&mut bed, 2).expect("moves");
    // The second sender's numbers are behind the first one's.
    picture(&mut bed, 2, SECOND, (7, 4_000_000_000, 3), false);
    assert_eq!(got(&mut bed), [], "it begins with a key frame");
    let mut after = Vec::new();
    for (sequence, timestamp, id) in [(8, 4_000_009_000, 4), (9, 4_000_018_000, 5)] {
        pass(&mut bed, 100);
        picture(&mut bed, 2, SECOND, (sequence, timestamp, id), sequence == 8);
        after.extend(got(&mut bed));
    }
    (before[1], after)
}

#[test]
fn a_consumer_goes_on_with_another_producer_where_the_first_ended() {
    // Within what history keeps, and after it has given everything back.
    for silence_ms in [1_000, 30_000] {
        let (last, after) = changes(silence_ms);
        let expected = [1, 2].map(|number| Got {
            sequence: last.sequence + number,
            timestamp: last.timestamp + TICKS_PER_MS * (silence_ms as u32 + 100 * u32::from(number)),
            picture: last.picture + number,
        });
        assert_eq!(after, expected, "{silence_ms} ms");
    }
}

#[test]
fn the_new_sender_is_asked_for_a_key_frame() {
    let mut bed = bed();
    picture(&mut bed, 0, FIRST, (100, 5_000, 900), true);
    assert_eq!(got(&mut bed).len(), 1);
    bed.command(&Command::CloseProducer { producer: ProducerId(1) }).expect("there");
    bed.produce_as(2, 2, second()).expect("new");
    picture(&mut bed, 2, SECOND, (7, 4_000_000_000, 3), false);
    bed.sent();
    move_to(&mut bed, 2).expect("moves");
    let sent = bed.sent();
    let asks =
        |(to, bytes): &(_, Vec<u8>)| *to == remote(2) && bytes.windows(4).any(|ssrc| ssrc == SECOND.to_be_bytes());
    assert!(sent.iter().any(asks), "{sent:x?}");
}

#[test]
fn who_does_not_outlive_goes_with_the_producer_and_what_does_is_moved_to_what_it_can_take() {
    let mut bed = bed();
    bed.consume_as(1, 1, receiver(OUT + 10)).expect("new");
    assert!(matches!(move_to(&mut bed, 1), Err(CommandError::Invalid { .. })), "it has a producer");
    bed.command(&Command::CloseProducer { producer: ProducerId(1) }).expect("there");
    assert_eq!(consumers(&mut bed), [u64::from(OUT)]);
    assert!(matches!(move_to(&mut bed, 1), Err(CommandError::NotFound { .. })), "it is gone");

    let codec = CodecMapping { payload_type: 98, mapped_payload_type: 109, codec: Codec::Vp9, clock_rate_hz: 90_000 };
    let other = ProduceOptions::new(MediaKind::Video, vec![codec], vec![EncodingMapping::announced(5_555)]);
    bed.produce_as(2, 2, other).expect("new");
    assert!(matches!(move_to(&mut bed, 2), Err(CommandError::Invalid { .. })), "no payload type for VP9");

    bed.command(&Command::CreateRouter { router: RouterId(2) }).expect("new");
    let mapping = PayloadTypeMapping::same(101);
    assert_eq!(outliving().payload_types, [mapping]);
    bed.produce_as(2, 3, second()).expect("new");
    move_to(&mut bed, 3).expect("moves");
    // The receiver's transport closes, and takes it along.
    bed.command(&Command::CloseProducer { producer: ProducerId(3) }).expect("there");
    bed.command(&Command::CloseTransport { transport: TransportId(1) }).expect("there");
    assert_eq!(consumers(&mut bed), [] as [u64; 0]);
}

#[test]
fn nothing_is_reported_of_a_consumer_without_a_producer() {
    let mut bed = bed();
    picture(&mut bed, 0, FIRST, (100, 5_000, 900), true);
    assert_eq!(got(&mut bed).len(), 1);
    bed.command(&Command::CloseProducer { producer: ProducerId(1) }).expect("there");
    let until = bed.now + Duration::from_secs(20);
    while let Some(due) = bed.worker.next_timeout().filter(|due| *due <= until) {
        bed.now = due;
        bed.worker.handle_timeout(due, &mut bed.outbox);
        let to_receiver: Vec<_> = bed.sent().into_iter().filter(|(to, _)| *to == remote(1)).collect();
        assert_eq!(to_receiver, []);
    }
}

#[test]
fn silence_is_counted_from_the_last_packet() {
    let mut bed = bed();
    let ask = Command::Silences { producers: vec![ProducerId(1), ProducerId(9)] };
    let nothing = Silence::default();
    assert_eq!(bed.command(&ask), Ok(Reply::Silences(vec![nothing, nothing])), "nothing ever came");
    picture(&mut bed, 0, FIRST, (100, 5_000, 900), true);
    pass(&mut bed, 2_500);
    let silence = Silence { media_ms: Some(2_500), life_ms: None };
    assert_eq!(bed.command(&ask), Ok(Reply::Silences(vec![silence, nothing])));
    let many = Command::Silences { producers: vec![ProducerId(1); corecast_wire::MAX_SILENCES + 1] };
    assert!(matches!(bed.command(&many), Err(CommandError::Limit { .. })));
}
