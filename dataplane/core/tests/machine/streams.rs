//! Whose a packet is: SSRC, MID, RID, payload type (RFC 8843 section 9.2, RFC 8852).

use corecast_core::rtp::RtpView;
use corecast_core::srtp::Sealer;
use corecast_core::{Endpoint, EndpointId};
use corecast_wire::{
    Command, CommandError, EncodingMapping, ExtensionMapping, HeaderExtension, PlainTransportOptions, ProduceOptions,
    ProducerId, RouterId, TransportId,
};

use crate::bed::{Bed, KEY_FRAME, local, packet, path, receiver, remote, srtp, video};

const MID: u8 = 3;
const RID: u8 = 4;
const REPAIRED_RID: u8 = 5;

fn encoding(rid: Option<&str>) -> EncodingMapping {
    EncodingMapping { rid: rid.map(Into::into), ..EncodingMapping::default() }
}

/// Video whose sender announces no SSRC.
fn named(mid: Option<&str>, rids: &[Option<&str>]) -> ProduceOptions {
    let extension = |extension, id| ExtensionMapping { extension, id, mapped_id: id };
    ProduceOptions {
        header_extensions: vec![
            extension(HeaderExtension::Mid, MID),
            extension(HeaderExtension::Rid, RID),
            extension(HeaderExtension::RepairedRid, REPAIRED_RID),
        ],
        encodings: rids.iter().map(|rid| encoding(*rid)).collect(),
        mid: mid.map(Into::into),
        ..video()
    }
}

/// Two producers of a camera each, with the same payload types, and a consumer of each: 21 and 22.
fn two_cameras(encrypted: bool) -> Bed {
    let mut bed = Bed::new();
    bed.transport(0, false, encrypted);
    bed.transport(1, false, false);
    bed.produce_as(0, 1, named(Some("a"), &[None])).expect("new");
    bed.produce_as(0, 2, named(Some("b"), &[None])).expect("new");
    bed.consume_as(1, 1, receiver(21)).expect("new");
    bed.consume_as(1, 2, receiver(22)).expect("new");
    bed.sent();
    bed
}

/// SSRCs of what goes to the receiver.
fn forwarded(bed: &mut Bed) -> Vec<u32> {
    let sent = bed.sent();
    let media = sent.iter().filter(|(to, bytes)| *to == remote(1) && bytes[1] & 0x7f == 101);
    media.map(|(_, bytes)| RtpView::parse(bytes).expect("lawful").ssrc()).collect()
}

#[test]
fn the_mid_of_its_first_packet_says_whose_an_ssrc_is() {
    let mut bed = two_cameras(false);
    bed.arrive(path(0), &packet(700, 96, 1, &[(MID, b"b")], &KEY_FRAME));
    bed.arrive(path(0), &packet(800, 96, 1, &[(MID, b"a")], &KEY_FRAME));
    assert_eq!(forwarded(&mut bed), [22, 21], "each to the consumer of its own producer");
    bed.arrive(path(0), &packet(700, 96, 2, &[], &KEY_FRAME));
    assert_eq!(forwarded(&mut bed), [22], "and so all that follow, without a MID");
    bed.arrive(path(0), &packet(700, 96, 3, &[(MID, b"a")], &KEY_FRAME));
    assert_eq!(forwarded(&mut bed), [22], "a bound SSRC cannot change sides");
    bed.arrive(path(0), &packet(900, 96, 1, &[(MID, b"a")], &KEY_FRAME));
    bed.arrive(path(0), &packet(900, 96, 1, &[(MID, b"c")], &KEY_FRAME));
    assert_eq!(forwarded(&mut bed), [], "a second SSRC for one stream, and a MID that nobody has");
    assert_eq!(bed.discarded(), [("unknown_ssrc", 2)]);
}

#[test]
fn a_payload_type_that_two_share_tells_nothing_without_a_mid() {
    let mut bed = two_cameras(false);
    bed.arrive(path(0), &packet(700, 96, 1, &[], &KEY_FRAME));
    assert_eq!(forwarded(&mut bed), []);
    bed.arrive(path(0), &packet(700, 96, 2, &[(MID, b"b")], &KEY_FRAME));
    bed.arrive(path(0), &packet(701, 50, 2, &[(MID, b"a")], &KEY_FRAME));
    assert_eq!(forwarded(&mut bed), [22]);
    assert_eq!(bed.discarded(), [("unknown_ssrc", 1), ("unknown_payload_type", 1)]);
}

#[test]
fn nothing_is_bound_by_what_is_not_authentic() {
    let mut bed = two_cameras(true);
    let publisher = Sealer::new(&srtp(100)).expect("a lawful key");
    let seal = |mut plain: Vec<u8>, sequence: u64| {
        let view = RtpView::parse(&plain).expect("lawful");
        let (ssrc, header_len, body) = (view.ssrc(), view.header().len(), view.body().to_vec());
        plain.resize(plain.len() + publisher.rtp_overhead(), 0);
        publisher.seal_rtp(ssrc, sequence, &mut plain, header_len, &body).expect("fits");
        plain
    };
    let mut forged = seal(packet(700, 96, 9, &[(MID, b"a")], &KEY_FRAME), 9);
    *forged.last_mut().expect("not empty") ^= 1;
    bed.arrive(path(0), &forged);
    assert_eq!(bed.discarded(), [("authentication_failed", 1)]);
    let sealed = seal(packet(700, 96, 1, &[(MID, b"b")], &KEY_FRAME), 1);
    bed.arrive(path(0), &sealed);
    assert_eq!(forwarded(&mut bed), [22], "neither the SSRC nor its index had been learnt");
}

#[test]
fn rids_name_the_encodings_and_repaired_rids_their_retransmissions() {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.transport(1, false, false);
    bed.produce_as(0, 1, named(Some("a"), &[Some("r0"), Some("r1")])).expect("new");
    bed.consume_as(1, 1, receiver(21)).expect("new");
    bed.sent();
    bed.arrive(path(0), &packet(700, 96, 1, &[(MID, b"a"), (RID, b"r0")], &KEY_FRAME));
    assert_eq!(forwarded(&mut bed), [21], "the only encoding so far");
    bed.arrive(path(0), &packet(701, 96, 1, &[(MID, b"a"), (RID, b"r1")], &KEY_FRAME));
    assert_eq!(forwarded(&mut bed), [], "the other encoding");
    bed.arrive(path(0), &packet(700, 96, 3, &[], &KEY_FRAME));
    bed.arrive(path(0), &packet(702, 96, 1, &[(MID, b"a")], &KEY_FRAME));
    bed.arrive(path(0), &packet(702, 96, 1, &[(MID, b"a"), (RID, b"r2")], &KEY_FRAME));
    assert_eq!(forwarded(&mut bed), [21]);
    assert_eq!(bed.discarded(), [("unknown_ssrc", 2)]);
    let rtx = [&2_u16.to_be_bytes()[..], &KEY_FRAME].concat();
    bed.arrive(path(0), &packet(703, 97, 1, &[(MID, b"a"), (REPAIRED_RID, b"r0")], &rtx));
    assert_eq!(forwarded(&mut bed), [21], "fills the gap of encoding r0");
}

#[test]
fn a_single_encoding_may_leave_its_rid_out() {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.transport(1, false, false);
    bed.produce_as(0, 1, named(None, &[Some("r0")])).expect("new");
    bed.consume_as(1, 1, receiver(21)).expect("new");
    bed.arrive(path(0), &packet(700, 96, 1, &[(MID, b"whatever")], &KEY_FRAME));
    assert_eq!(forwarded(&mut bed), [21]);
}

#[test]
fn names_that_would_find_two_are_refused() {
    let mut bed = two_cameras(false);
    let mut refused = |options| {
        let result = bed.produce_as(0, 3, options);
        assert!(matches!(&result, Err(CommandError::Invalid { .. })), "{result:?}");
    };
    refused(named(Some("b"), &[None]));
    refused(named(Some(""), &[None]));
    refused(named(Some("c"), &[Some("r0"), Some("r0")]));
    bed.produce_as(0, 3, named(Some("c"), &[Some("r0"), Some("r1")])).expect("nothing was left behind");
    bed.transport(2, false, false);
    bed.produce_as(2, 4, named(Some("a"), &[None])).expect("a MID is its transport's own");
    bed.command(&Command::CloseProducer { producer: ProducerId(1) }).expect("there");
    bed.produce_as(0, 1, named(Some("a"), &[None])).expect("free again");
}

#[test]
fn a_transport_has_a_bounded_number_of_ssrcs() {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    let announced = |first: u32| {
        let ssrcs = (first..).step_by(2).take(4);
        let encodings = ssrcs.map(|ssrc| EncodingMapping { ssrc: Some(ssrc), rtx_ssrc: Some(ssrc + 1), rid: None });
        ProduceOptions { encodings: encodings.collect(), ..video() }
    };
    for number in 0..7 {
        bed.produce_as(0, number, announced(1_000 + 100 * number as u32)).expect("56 at most");
    }
    bed.produce_as(0, 7, named(Some("a"), &[None])).expect("announces none");
    bed.produce_as(0, 8, announced(2_000)).expect("64");
    let result = bed.produce_as(0, 9, announced(3_000));
    assert!(matches!(result, Err(CommandError::Limit { max: 64, .. })), "{result:?}");
    bed.arrive(path(0), &packet(700, 96, 1, &[(MID, b"a")], &KEY_FRAME));
    assert_eq!(bed.discarded(), [("too_many_ssrcs", 1)]);
}

/// A pipe carries what a whole room sends: more producers than a client may have, and their packets find them, however
/// many come in a second.
#[test]
fn a_pipe_has_many_producers() {
    let mut bed = Bed::with_config(|config| config.max_packets_per_s = 100);
    let (transport, options) = (TransportId(0), PlainTransportOptions::new(local(0).ip(), 7));
    let options = PlainTransportOptions { pipe: true, ..options };
    let create = Command::CreatePlainTransport { router: RouterId(1), transport, options };
    let opened = [Endpoint { id: EndpointId(0), local: local(0) }];
    bed.worker.handle_command(bed.now, &create, &opened, &mut bed.outbox).expect("new");
    let remote = Some(remote(0));
    bed.command(&Command::ConnectPlainTransport { transport, remote, rtcp_remote: None, srtp: None }).expect("once");
    bed.transport(1, false, false);
    // Not in the order of their SSRCs.
    let ssrc = |number: u64| 1_000 + (number as u32 * 7_919) % 10_000 * 2;
    for number in 0..300 {
        let encoding = EncodingMapping { ssrc: Some(ssrc(number)), rtx_ssrc: None, rid: None };
        bed.produce_as(0, number, ProduceOptions { encodings: vec![encoding], ..video() }).expect("many");
        bed.consume_as(1, number, receiver(100_000 + number as u32)).expect("new");
    }
    bed.sent();
    for number in 0..300 {
        bed.arrive(path(0), &packet(ssrc(number), 96, 1, &[], &KEY_FRAME));
    }
    let media = bed.sent().into_iter().filter(|(_, bytes)| bytes[1] & 0x7f == 101).count();
    assert_eq!((media, bed.discarded()), (300, vec![]));
}
