//! What senders are told about congestion: transport-wide feedback and REMB.

use std::time::Duration;

use corecast_core::rtcp::{self, Packet};
use corecast_wire::{
    Command, EncodingMapping, ExtensionMapping, HeaderExtension, IncomingStats, Object, ObjectStats, ProduceOptions,
    ProducerId, Reply, TransportId,
};

use crate::bed::{Bed, KEY_FRAME, packet, path, remote, video};

const NUMBER: u8 = 3;
/// What caps nobody.
const LIFTED_BPS: u64 = 10_000_000_000;

fn sender(ssrc: u32, transport_cc: bool, remb: bool) -> ProduceOptions {
    ProduceOptions {
        header_extensions: vec![ExtensionMapping { extension: HeaderExtension::TransportCc, id: NUMBER, mapped_id: 5 }],
        encodings: vec![EncodingMapping { ssrc: Some(ssrc), rtx_ssrc: Some(ssrc + 1), rid: None }],
        transport_cc,
        remb,
        ..video()
    }
}

/// Serves every timer that is due until then; what it sends to the publisher.
fn wait(bed: &mut Bed, millis: u64) -> Vec<Vec<u8>> {
    let until = bed.now + Duration::from_millis(millis);
    let mut sent = Vec::new();
    while let Some(at) = bed.worker.next_timeout().filter(|at| *at <= until) {
        bed.now = at.max(bed.now);
        bed.worker.handle_timeout(bed.now, &mut bed.outbox);
        sent.extend(bed.sent().into_iter().filter(|(to, _)| *to == remote(0)).map(|(_, bytes)| bytes));
    }
    bed.now = until;
    sent
}

/// Media SSRC, count of messages, numbers and whether they came.
type Feedback = (u32, u8, Vec<(u16, bool)>);

fn feedback(sent: &[Vec<u8>]) -> Vec<Feedback> {
    let packets = sent.iter().flat_map(|bytes| rtcp::parse(bytes).expect("lawful"));
    packets
        .filter_map(|packet| match packet {
            Packet::TransportCc(feedback) => {
                let statuses = feedback.statuses().map(|status| (status.sequence, status.delta.is_some()));
                Some((feedback.media_ssrc, feedback.feedback_count, statuses.collect()))
            }
            _ => None,
        })
        .collect()
}

fn rembs(sent: &[Vec<u8>]) -> Vec<(u64, Vec<u32>)> {
    let packets = sent.iter().flat_map(|bytes| rtcp::parse(bytes).expect("lawful"));
    packets
        .filter_map(|packet| match packet {
            Packet::Remb { bitrate_bps, ssrcs, .. } => Some((bitrate_bps, ssrcs.collect())),
            _ => None,
        })
        .collect()
}

/// What statistics say of the path from the senders.
fn incoming(bed: &mut Bed) -> Option<IncomingStats> {
    let command = Command::ObjectStats { object: Object::Transport(TransportId(0)) };
    let Ok(Reply::ObjectStats(stats)) = bed.command(&command) else { panic!("another reply") };
    let ObjectStats::Transport(stats) = *stats else { panic!("other statistics") };
    stats.incoming
}

fn numbered(number: u16) -> [u8; 2] {
    number.to_be_bytes()
}

#[test]
fn arrivals_are_told_every_100_ms_and_only_while_there_are_any() {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.produce_as(0, 1, sender(1_111, true, true)).expect("new");
    bed.produce_as(0, 2, sender(2_222, true, true)).expect("new");
    assert_eq!(feedback(&wait(&mut bed, 3_000)), []);
    bed.arrive(path(0), &packet(1_111, 96, 1, &[(NUMBER, &numbered(7))], &KEY_FRAME));
    bed.arrive(path(0), &packet(2_222, 96, 1, &[(NUMBER, &numbered(9))], &KEY_FRAME));
    bed.arrive(path(0), &packet(2_223, 97, 1, &[(NUMBER, &numbered(10))], &[]));
    let told = feedback(&wait(&mut bed, 100));
    assert_eq!(told, [(2_223, 0, vec![(7, true), (8, false), (9, true), (10, true)])]);
    let mut messages = 0;
    for number in 11..211 {
        bed.arrive(path(0), &packet(1_111, 96, number, &[(NUMBER, &numbered(number))], &KEY_FRAME));
        messages += feedback(&wait(&mut bed, 10)).len();
    }
    assert!((19..=21).contains(&messages), "{messages} in two seconds");
    wait(&mut bed, 100);
    assert_eq!(feedback(&wait(&mut bed, 5_000)), []);
    assert_eq!(bed.discarded(), [], "a retransmission of padding only is a probe");
}

#[test]
fn many_arrivals_are_told_before_they_leave_the_window() {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.produce_as(0, 1, sender(1_111, true, false)).expect("new");
    let mut told = Vec::new();
    for number in 0..3_000_u16 {
        bed.arrive(path(0), &packet(1_111, 96, number, &[(NUMBER, &numbered(number))], &KEY_FRAME));
        if number % 100 == 99 {
            told.extend(feedback(&wait(&mut bed, 1)));
        }
    }
    told.extend(feedback(&wait(&mut bed, 100)));
    let numbers: Vec<_> = told.iter().flat_map(|(_, _, statuses)| statuses).copied().collect();
    assert_eq!(numbers, (0..3_000).map(|number| (number, true)).collect::<Vec<_>>());
    let counts: Vec<_> = told.iter().map(|(_, count, _)| usize::from(*count)).collect();
    assert_eq!(counts, (0..told.len()).collect::<Vec<_>>());
}

#[test]
fn statistics_have_the_share_of_what_senders_were_told_to_have_lost() {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.produce_as(0, 1, sender(1_111, true, false)).expect("new");
    assert_eq!(incoming(&mut bed), None, "nothing has come");
    for number in (0..3_000_u16).filter(|number| !number.is_multiple_of(4)) {
        bed.arrive(path(0), &packet(1_111, 96, number, &[(NUMBER, &numbered(number))], &KEY_FRAME));
        wait(&mut bed, 10);
    }
    let told = incoming(&mut bed).expect("it is told");
    assert_eq!(told.available_bps, None, "the sender estimates it itself");
    assert!(told.lost_share.abs_diff(u16::MAX / 4) < u16::MAX / 40, "{told:?}");
}

#[test]
fn nothing_is_told_that_was_not_negotiated() {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.produce_as(0, 1, sender(1_111, false, false)).expect("new");
    for number in 1..200 {
        bed.arrive(path(0), &packet(1_111, 96, number, &[(NUMBER, &numbered(number))], &KEY_FRAME));
        let sent = wait(&mut bed, 10);
        assert_eq!((feedback(&sent), rembs(&sent)), (vec![], vec![]));
    }
    assert_eq!(incoming(&mut bed), None);
}

#[test]
fn who_takes_remb_alone_can_ramp_up() {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.produce_as(0, 1, sender(1_111, false, true)).expect("new");
    bed.produce_as(0, 2, sender(2_222, true, true)).expect("takes both");
    let payload = [&KEY_FRAME[..], &[0; 1_200]].concat();
    let mut told = Vec::new();
    for number in 1..400 {
        bed.arrive(path(0), &packet(1_111, 96, number, &[], &payload));
        told.extend(rembs(&wait(&mut bed, 10)));
    }
    assert!((4..=5).contains(&told.len()), "one a second: {told:?}");
    assert!(told.iter().all(|(_, ssrcs)| *ssrcs == [1_111, 2_222]));
    let highest = told.last().expect("some").0;
    assert!((1_300_000..1_600_000).contains(&highest), "half as much again as a megabit: {highest}");
    let told_by_statistics = incoming(&mut bed).and_then(|told| told.available_bps).expect("it is estimated");
    assert!(told_by_statistics.abs_diff(highest) < highest / 10, "{told_by_statistics}");
    let mut fallen = Vec::new();
    for number in (400..480).step_by(2) {
        bed.arrive(path(0), &packet(1_111, 96, number, &[], &payload));
        fallen.extend(rembs(&wait(&mut bed, 20)));
    }
    assert!(fallen.first().is_some_and(|(bps, _)| *bps < highest * 3 / 4), "half is lost: {fallen:?}");
}

#[test]
fn a_cap_that_no_longer_holds_is_lifted() {
    // Video that takes both or transport-wide feedback alone, besides sound for which REMB is estimated.
    for takes_remb in [true, false] {
        let mut bed = Bed::new();
        bed.transport(0, false, false);
        bed.produce_as(0, 1, sender(1_111, false, true)).expect("new");
        bed.produce_as(0, 2, sender(2_222, true, takes_remb)).expect("new");
        let both = |bed: &mut Bed, numbers: std::ops::Range<u16>| {
            let mut told = Vec::new();
            for number in numbers {
                bed.arrive(path(0), &packet(1_111, 96, number, &[], &KEY_FRAME));
                bed.arrive(path(0), &packet(2_222, 96, number, &[(NUMBER, &numbered(number))], &KEY_FRAME));
                told.extend(rembs(&wait(bed, 20)));
            }
            told
        };
        let capped = both(&mut bed, 1..100);
        assert!(capped.iter().all(|(bps, _)| *bps == 300_000) && !capped.is_empty(), "{capped:?}");
        bed.command(&Command::CloseProducer { producer: ProducerId(1) }).expect("there");
        let lifted = both(&mut bed, 100..500);
        let expected = vec![(LIFTED_BPS, vec![2_222]); 3];
        let lifted: Vec<_> =
            lifted.into_iter().map(|(bps, ssrcs)| (bps.next_multiple_of(LIFTED_BPS / 100), ssrcs)).collect();
        assert_eq!(lifted, expected, "and no more: takes REMB: {takes_remb}");
    }
}

#[test]
fn feedback_goes_on_whatever_becomes_of_the_media() {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.produce_as(0, 1, sender(1_111, true, false)).expect("new");
    let told = |bed: &mut Bed, number: u16, payload: &[u8]| {
        let mut packet = packet(1_111, 96, number, &[(NUMBER, &numbered(number))], payload);
        packet[0] |= if payload == [1] { 0x20 } else { 0 };
        bed.arrive(path(0), &packet);
        bed.sent();
        feedback(&wait(bed, 100)).into_iter().flat_map(|(_, _, statuses)| statuses).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut bed, 1, &KEY_FRAME), [(1, true)], "nobody watches");
    bed.command(&Command::PauseProducer { producer: ProducerId(1), paused: true }).expect("there");
    assert_eq!(told(&mut bed, 2, &KEY_FRAME), [(2, true)], "paused");
    assert_eq!(told(&mut bed, 3, &[1]), [(3, true)], "padding alone");
    assert_eq!(told(&mut bed, 4, &[0; 1_500]), [(4, true)], "as long as may be");
}
