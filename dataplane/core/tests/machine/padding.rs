//! Packets of media without payload: senders probe their path with them, and receivers must not get them.

use corecast_core::rtcp::{self, Writer};
use corecast_core::rtp::RtpView;
use corecast_core::srtp::Opener;

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, packet, path, remote, srtp, video};

/// A packet of padding only, of the picture to which this timestamp belongs.
fn padding(sequence: u16) -> Vec<u8> {
    let mut packet = packet(1_111, 96, sequence, &[], &[0, 0, 0, 0, 0, 6]);
    packet[0] |= 0x20;
    packet
}

fn media(sequence: u16, key: bool) -> Vec<u8> {
    let payload = [if key { &KEY_FRAME[..] } else { &DELTA_FRAME }, &sequence.to_be_bytes()].concat();
    packet(1_111, 96, sequence, &[], &payload)
}

fn bed() -> Bed {
    let mut bed = Bed::new();
    (0..3).for_each(|transport| bed.transport(transport, false, transport == 2));
    bed.produce_as(0, 1, video()).expect("new");
    bed.consume(1, 21).expect("new");
    bed.consume(2, 22).expect("new");
    bed.sent();
    bed
}

/// Number and origin of what the plain receiver gets.
fn got(bed: &mut Bed) -> Vec<(u16, u16)> {
    let sent = bed.sent();
    let media = sent.iter().filter(|(to, bytes)| *to == remote(1) && rtcp::parse(bytes).is_err());
    media
        .map(|(_, bytes)| {
            let view = RtpView::parse(bytes).expect("lawful");
            let body = view.body();
            (view.sequence(), u16::from_be_bytes([body[4], body[5]]))
        })
        .collect()
}

#[test]
fn packets_of_padding_alone_are_withheld_and_leave_no_gap() {
    for at_once in [false, true] {
        let mut bed = bed();
        let packets = [
            media(1, true),
            media(2, false),
            padding(3),
            padding(4),
            media(5, false),
            padding(6),
            media(7, false),
            media(8, false),
        ];
        let mut all = Vec::new();
        for packet in &packets {
            bed.arrive(path(0), packet);
            if !at_once {
                all.extend(got(&mut bed));
            }
        }
        all.extend(got(&mut bed));
        assert_eq!(all, [(10, 1), (11, 2), (12, 5), (13, 7), (14, 8)], "at once: {at_once}");
        assert_eq!(bed.discarded(), [("padding_only", 3)]);
    }
}

#[test]
fn losses_among_them_stay_gaps_and_late_packets_find_them() {
    let mut bed = bed();
    for packet in
        [media(1, true), padding(2), media(4, false), media(6, false), padding(7), padding(9), media(10, false)]
    {
        bed.arrive(path(0), &packet);
    }
    assert_eq!(got(&mut bed), [(10, 1), (12, 4), (14, 6), (16, 10)], "3, 5 and 8 are missing");
    for late in [3, 8, 5] {
        bed.arrive(path(0), &media(late, false));
    }
    assert_eq!(got(&mut bed), [(11, 3), (15, 8), (13, 5)]);
}

#[test]
fn what_is_asked_for_again_is_what_had_that_number() {
    let mut bed = bed();
    for packet in [media(1, true), media(2, false), padding(3), media(4, false), padding(5), media(6, false)] {
        bed.arrive(path(0), &packet);
    }
    let first = got(&mut bed);
    assert_eq!(first, [(10, 1), (11, 2), (12, 4), (13, 6)]);
    for (number, origin) in first {
        let mut bytes = [0; 64];
        let mut writer = Writer::new(&mut bytes);
        writer.push_nack(9, 21, [number]);
        let len = writer.len();
        bed.arrive(path(1), &bytes[..len]);
        assert_eq!(got(&mut bed), [(number, origin)]);
    }
}

#[test]
fn who_joins_later_has_no_gaps_either() {
    let mut bed = bed();
    for packet in [media(1, true), padding(2), media(3, false)] {
        bed.arrive(path(0), &packet);
    }
    bed.sent();
    bed.consume(1, 31).expect("new");
    for packet in [padding(4), media(5, true), padding(6), media(7, false)] {
        bed.arrive(path(0), &packet);
    }
    let sent = bed.sent();
    let views = sent.iter().filter(|(to, _)| *to == remote(1)).filter_map(|(_, bytes)| RtpView::parse(bytes).ok());
    let numbers: Vec<_> = views.filter(|view| view.ssrc() == 31).map(|view| view.sequence()).collect();
    assert_eq!(numbers, (10..10 + numbers.len() as u16).collect::<Vec<_>>());
    assert!(numbers.len() >= 2, "{numbers:?}");
}

#[test]
fn no_index_of_srtp_is_used_twice() {
    let mut bed = bed();
    let opener = Opener::new(&srtp(2)).expect("a lawful key");
    let mut state = 7_u64;
    let mut opened = std::collections::BTreeMap::new();
    for sequence in 1..400_u16 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let is_media = sequence == 1 || !(state >> 33).is_multiple_of(3);
        let is_lost = (state >> 40).is_multiple_of(10) && sequence > 1;
        if !is_lost {
            bed.arrive(path(0), &if is_media { media(sequence, sequence == 1) } else { padding(sequence) });
        }
        for (to, bytes) in bed.sent() {
            let Some(view) = RtpView::parse(&bytes).ok().filter(|view| to == remote(2) && view.ssrc() == 22) else {
                continue;
            };
            let mut payload = vec![0; bytes.len()];
            let index = u64::from(view.sequence());
            let Ok(len) = opener.open_rtp(22, index, view.header(), view.body(), &mut payload) else { continue };
            payload.truncate(len);
            assert_eq!(opened.insert(index, payload), None, "number {index}");
        }
    }
    assert!(opened.len() > 200);
    let missing = (10..*opened.keys().last().expect("some")).filter(|index| !opened.contains_key(index)).count();
    assert!(missing < 60, "losses only: {missing}");
}
