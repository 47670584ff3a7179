//! What is written into a consumer's headers: payload types and extension ids as its receiver calls them, MID, time and
//! transport-wide sequence numbers.

use std::time::Duration;

use corecast_core::Forward;
use corecast_core::rtcp::Writer;
use corecast_core::rtp::RtpView;
use corecast_wire::{
    Command, CommandError, ConsumeOptions, ConsumerExtension, ExtensionMapping, HeaderExtension, ObjectStats,
    PayloadTypeMapping, ProduceOptions, Reply, RtxOptions,
};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, packet, path, receiver, remote, video};

/// The receiver's numbers.
const MID: u8 = 5;
const TIME: u8 = 6;
const NUMBER: u8 = 7;
const ORIENTATION: u8 = 8;

/// A sender of video orientation as 1, which the router calls 4, and of a MID as 2.
fn oriented() -> ProduceOptions {
    let extension = |extension, id, mapped_id| ExtensionMapping { extension, id, mapped_id };
    ProduceOptions {
        header_extensions: vec![
            extension(HeaderExtension::VideoOrientation, 1, 4),
            extension(HeaderExtension::Mid, 2, 5),
        ],
        ..video()
    }
}

/// Takes the router's 101 as 33, with retransmissions as 34, and knows everything.
fn browser(ssrc: u32) -> ConsumeOptions {
    let extension = |extension, router_id, receiver_id| ConsumerExtension { extension, router_id, receiver_id };
    ConsumeOptions {
        rtx: Some(RtxOptions { ssrc: ssrc + 100, payload_types: vec![(101, 34)], first_sequence: 70 }),
        payload_types: vec![PayloadTypeMapping { router: 101, receiver: 33 }],
        header_extensions: vec![
            extension(HeaderExtension::VideoOrientation, 4, ORIENTATION),
            extension(HeaderExtension::Mid, 1, MID),
            extension(HeaderExtension::AbsSendTime, 2, TIME),
            extension(HeaderExtension::TransportCc, 3, NUMBER),
        ],
        mid: Some(format!("v{ssrc}")),
        ..receiver(ssrc)
    }
}

/// One packet that left: (payload type, SSRC), and the data of an extension.
fn number(bytes: &[u8]) -> Option<u16> {
    let view = RtpView::parse(bytes).expect("lawful");
    view.extension(NUMBER).map(|data| u16::from_be_bytes([data[0], data[1]]))
}

fn media(bed: &mut Bed) -> Vec<Vec<u8>> {
    let sent = bed.sent();
    let is_rtp = |bytes: &[u8]| !(192..=223).contains(&bytes[1]);
    sent.into_iter().filter(|(to, bytes)| *to == remote(1) && is_rtp(bytes)).map(|(_, bytes)| bytes).collect()
}

fn ask_again(bed: &mut Bed, ssrc: u32, sequence: u16) {
    let mut nack = [0; 64];
    let mut writer = Writer::new(&mut nack);
    assert!(writer.push_nack(1, ssrc, [sequence]));
    let len = writer.len();
    bed.arrive(path(1), &nack[..len]);
}

fn bed(options: &[ConsumeOptions]) -> Bed {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.transport(1, false, false);
    bed.produce_as(0, 1, oriented()).expect("new");
    for options in options {
        bed.consume_as(1, 1, options.clone()).expect("new");
    }
    bed.sent();
    bed
}

#[test]
fn everything_is_called_as_the_receiver_calls_it() {
    let mut bed = bed(&[browser(21)]);
    bed.arrive(path(0), &packet(1_111, 96, 1, &[(2, b"a"), (1, &[3])], &KEY_FRAME));
    bed.arrive(path(0), &packet(1_111, 96, 2, &[(2, b"a")], &DELTA_FRAME));
    for (position, bytes) in media(&mut bed).iter().enumerate() {
        let view = RtpView::parse(bytes).expect("lawful");
        assert_eq!((view.ssrc(), view.payload_type()), (21, 33));
        let orientation = (position == 0).then_some(&[3_u8][..]);
        assert_eq!((view.extension(ORIENTATION), view.extension(MID)), (orientation, Some(&b"v21"[..])));
        assert_eq!(view.extensions().count(), if position == 0 { 4 } else { 3 }, "nothing of the sender's own");
    }
}

#[test]
fn a_transport_counts_whatever_leaves_it() {
    let mut bed = bed(&[browser(21), receiver(22), browser(23)]);
    bed.arrive(path(0), &packet(1_111, 96, 1, &[], &KEY_FRAME));
    bed.arrive(path(0), &packet(1_111, 96, 2, &[], &DELTA_FRAME));
    let numbers: Vec<_> = media(&mut bed).iter().map(|bytes| number(bytes)).collect();
    assert_eq!(numbers, [Some(0), Some(1), None, None, Some(2), Some(3)]);
    ask_again(&mut bed, 23, 11);
    let again = media(&mut bed);
    let view = RtpView::parse(&again[0]).expect("lawful");
    assert_eq!((again.len(), view.ssrc(), view.payload_type(), view.sequence()), (1, 123, 34, 70));
    assert_eq!((number(&again[0]), view.extension(MID)), (Some(4), Some(&b"v23"[..])));
    bed.arrive(path(0), &packet(1_111, 96, 3, &[], &DELTA_FRAME));
    let numbers: Vec<_> = media(&mut bed).iter().map(|bytes| number(bytes)).collect();
    assert_eq!(numbers, [Some(5), None, Some(6)]);
}

#[test]
fn time_is_that_of_forwarding() {
    let mut bed = bed(&[browser(21)]);
    let mut times = Vec::new();
    for sequence in 1..=2 {
        bed.arrive(path(0), &packet(1_111, 96, sequence, &[], &KEY_FRAME));
        bed.now = bed.now + Duration::from_millis(250);
        let sent = media(&mut bed);
        let view = RtpView::parse(&sent[0]).expect("lawful");
        let &[a, b, c] = view.extension(TIME).expect("negotiated") else { panic!("not three bytes") };
        times.push(u32::from_be_bytes([0, a, b, c]));
    }
    assert_eq!(times[1] - times[0], (1 << 18) / 4, "a quarter of a second in 6.18 bits");
}

#[test]
fn what_may_be_repeated_is_the_same_later() {
    let mut bed = bed(&[ConsumeOptions { rtx: None, ..browser(21) }]);
    bed.arrive(path(0), &packet(1_111, 96, 1, &[(1, &[3])], &KEY_FRAME));
    let first = media(&mut bed);
    let view = RtpView::parse(&first[0]).expect("lawful");
    assert_eq!((view.extension(MID), view.extension(ORIENTATION)), (Some(&b"v21"[..]), Some(&[3][..])));
    assert_eq!((view.extension(TIME), view.extension(NUMBER)), (None, None));
    bed.now = bed.now + Duration::from_secs(1);
    ask_again(&mut bed, 21, 10);
    assert_eq!(media(&mut bed), first);
}

#[test]
fn two_extensions_under_one_number_are_refused() {
    let mut bed = bed(&[]);
    let mut options = browser(21);
    options.header_extensions[0].receiver_id = NUMBER;
    assert!(matches!(bed.consume_as(1, 1, options), Err(CommandError::Invalid { .. })));
}

/// libwebrtc shortens the payload of a packet with a longer header extension, so that a frame's packets are equal.
#[test]
fn packets_equally_long_on_the_wire_stay_so() {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.transport(1, false, true);
    let mapping = ExtensionMapping { extension: HeaderExtension::VideoOrientation, id: 4, mapped_id: 8 };
    bed.produce_as(0, 1, ProduceOptions { header_extensions: vec![mapping], ..video() }).expect("a producer");
    let extension = ConsumerExtension::same(HeaderExtension::VideoOrientation, 8);
    bed.consume_as(1, 1, ConsumeOptions { header_extensions: vec![extension], ..receiver(77) }).expect("a consumer");
    bed.outbox.clear();
    for sequence in 0..10_u16 {
        // The first of the frame has eight bytes of extension, and eight bytes less of payload.
        let extensions: &[(u8, &[u8])] = if sequence == 0 { &[(4, &[1])] } else { &[] };
        let len = if sequence == 0 { 1_188 } else { 1_196 };
        let payload = [if sequence == 0 { KEY_FRAME } else { DELTA_FRAME }.to_vec(), vec![0; len]].concat();
        bed.arrive(path(0), &packet(1_111, 96, sequence, extensions, &payload));
    }
    assert_eq!(bed.worker.forward(bed.now, &mut bed.outbox), Forward::Done);
    let trains: Vec<_> = bed.outbox.trains().iter().map(|train| (train.segments, train.segment_len)).collect();
    assert_eq!(trains, [(10, 12 + 1_200 + 16)], "one train of packets without padding");
}

/// Control is told of payloads, as corecast shows them, and of whole packets, as mediasoup counts.
#[test]
fn whole_packets_are_counted_beside_their_payloads() {
    let mut bed = bed(&[browser(21)]);
    let repeated = [&3_u16.to_be_bytes()[..], &DELTA_FRAME].concat();
    let come = [
        packet(1_111, 96, 1, &[(2, b"a"), (1, &[3])], &KEY_FRAME),
        packet(1_111, 96, 2, &[(2, b"a")], &DELTA_FRAME),
        packet(1_111, 96, 4, &[], &DELTA_FRAME),
        packet(1_112, 97, 9, &[], &repeated),
    ];
    come.iter().for_each(|one| bed.arrive(path(0), one));
    let left = media(&mut bed);
    assert_eq!(left.len(), 4);
    let Ok(Reply::Stats(page)) = bed.command(&Command::Stats { from: None }) else { panic!("a page") };
    let lens = |packets: &[Vec<u8>]| packets.iter().map(|one| one.len() as u64).sum::<u64>();
    for object in page.objects {
        match object {
            ObjectStats::Producer(producer) => {
                let stream = &producer.streams[0];
                let layers = stream.layer_bytes.as_flattened();
                // A retransmission without its original sequence number.
                assert_eq!((stream.packet_count, stream.byte_count, layers[0]), (4, 16, lens(&come) - 2));
                assert_eq!(layers.iter().sum::<u64>(), layers[0], "there are no layers");
            }
            ObjectStats::Consumer(one) => {
                assert_eq!((one.packet_count, one.byte_count, one.rtp_byte_count), (4, 16, lens(&left)));
            }
            _ => {}
        }
    }
}
