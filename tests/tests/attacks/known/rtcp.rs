//! Compounds, sealed with the right key: any participant can send them.

use corecast_wire::Discard;

use super::{Case, Expect, Packet, case, play};

use Discard::{AuthenticationFailed, MalformedRtcp, TooShort, UnknownFeedback, UnknownProtocol};
use Expect::{Refused, Taken};

const RFC_3550: &str = "RFC 3550 section 6.1 and appendix A.2";
const REMB: &str = "Janus 2018, str0m 0.23.1, webrtc-rs rtcp 0.17";
const TRANSPORT_CC: &str = "str0m 0.23.1, mediasoup and LiveKit changelogs";
const WEBRTC_RS: &str = "webrtc-rs rtcp 0.17";
const PJSIP: &str = "CVE-2021-43804";
const SDES: &str = "RFC 3550 section 6.5: item overrun, as in Janus";
const XR: &str = "RFC 3611 section 3: block length overflow";
const SRTCP: &str = "str0m 0.23.1, webrtc-srtp 0.17";

/// A packet: count or format, type, body (whole words).
fn packet(count: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(body.len() / 4).expect("short").to_be_bytes();
    [&[0x80 | count, kind, high, low], body].concat()
}

/// Feedback from SSRC 9 about 4242.
fn feedback(format: u8, kind: u8, fci: &[u8]) -> Packet {
    Packet::Rtcp(packet(format, kind, &[&[0, 0, 0, 9, 0, 0, 0x10, 0x92][..], fci].concat()))
}

fn compounds() -> Vec<Case> {
    let report = packet(0, 201, &[0, 0, 0, 9]);
    let changed = |at: usize, to: u8| {
        let mut packet = packet(0, 201, &[0, 0, 0, 9, 1, 2, 3, 4]);
        packet[at] = to;
        Packet::Rtcp(packet)
    };
    let behind = |rest: &[u8]| Packet::Rtcp([&report, rest].concat());
    vec![
        case("f5_rtcp_length_runs_past_the_compound", RFC_3550, changed(3, 3), Refused(MalformedRtcp)),
        case("f5_rtcp_length_of_65535_words", RFC_3550, changed(2, 0xFF), Refused(MalformedRtcp)),
        case("f5_rtcp_length_of_no_words", RFC_3550, changed(3, 0), Refused(MalformedRtcp)),
        case("f5_rtcp_with_a_header_cut_off", RFC_3550, behind(&[0x80, 201]), Refused(MalformedRtcp)),
        case(
            "f5_rtcp_of_another_version_behind_the_first",
            RFC_3550,
            behind(&[0x40, 201, 0, 0]),
            Refused(MalformedRtcp),
        ),
        case(
            "f5_rtcp_padding_on_the_first_packet",
            RFC_3550,
            Packet::Rtcp([&[0xA0, 201, 0, 2, 0, 0, 0, 9, 0, 0, 0, 4][..], &report].concat()),
            Refused(MalformedRtcp),
        ),
        case(
            "f5_rtcp_padding_of_no_bytes",
            RFC_3550,
            Packet::Rtcp(vec![0xA0, 201, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0]),
            Refused(MalformedRtcp),
        ),
        case(
            "f5_rtcp_padding_longer_than_the_packet",
            RFC_3550,
            Packet::Rtcp(vec![0xA0, 201, 0, 2, 0, 0, 0, 9, 0, 0, 0, 252]),
            Refused(MalformedRtcp),
        ),
    ]
}

fn reports() -> Vec<Case> {
    let report = packet(0, 201, &[0, 0, 0, 9]);
    vec![
        case(
            "f5_receiver_report_of_more_blocks_than_it_has",
            RFC_3550,
            Packet::Rtcp(packet(31, 201, &[9; 28])),
            Refused(MalformedRtcp),
        ),
        case(
            "f5_sender_report_of_more_blocks_than_it_has",
            RFC_3550,
            Packet::Rtcp(packet(2, 200, &[9; 48])),
            Refused(MalformedRtcp),
        ),
        case("f5_sender_report_is_cut_off", RFC_3550, Packet::Rtcp(packet(0, 200, &[9; 20])), Refused(MalformedRtcp)),
        case(
            "f5_bye_of_more_sources_than_it_has",
            PJSIP,
            Packet::Rtcp(packet(31, 203, &[9; 8])),
            Refused(MalformedRtcp),
        ),
        case(
            "f5_bye_reason_runs_past_the_packet",
            PJSIP,
            Packet::Rtcp(packet(1, 203, &[0, 0, 0, 9, 255, b'a', b'b', b'c'])),
            Refused(MalformedRtcp),
        ),
        case("f5_bye_of_nobody", PJSIP, Packet::Rtcp([report, packet(0, 203, &[])].concat()), Taken(0)),
    ]
}

fn descriptions() -> Vec<Case> {
    let report = packet(0, 201, &[0, 0, 0, 9]);
    vec![
        case(
            "f5_sdes_item_runs_past_its_chunk",
            SDES,
            Packet::Rtcp(packet(1, 202, &[0, 0, 0, 9, 1, 255, b'a', b'b'])),
            Refused(MalformedRtcp),
        ),
        case(
            "f5_sdes_item_without_a_length",
            SDES,
            Packet::Rtcp(packet(1, 202, &[0, 0, 0, 9, 1, 1, b'a', 1])),
            Refused(MalformedRtcp),
        ),
        case(
            "f5_sdes_chunk_without_an_end",
            SDES,
            // The last byte begins an item that has no length.
            Packet::Rtcp(packet(1, 202, &[0, 0, 0, 9, 1, 1, b'a', 1])),
            Refused(MalformedRtcp),
        ),
        case(
            "f5_sdes_of_more_chunks_than_it_has",
            SDES,
            Packet::Rtcp(packet(31, 202, &[0, 0, 0, 9, 0, 0, 0, 0])),
            Refused(MalformedRtcp),
        ),
        case(
            "f5_xr_block_runs_past_the_packet",
            XR,
            Packet::Rtcp(packet(0, 207, &[0, 0, 0, 9, 4, 0, 0, 3, 1, 1, 1, 1])),
            Refused(MalformedRtcp),
        ),
        case(
            "f5_xr_block_of_65535_words",
            XR,
            Packet::Rtcp(packet(0, 207, &[0, 0, 0, 9, 99, 0, 0xFF, 0xFF])),
            Refused(MalformedRtcp),
        ),
        case(
            "f5_xr_answer_is_cut_off",
            XR,
            Packet::Rtcp(packet(0, 207, &[0, 0, 0, 9, 5, 0, 0, 2, 1, 1, 1, 1, 2, 2, 2, 2])),
            Refused(MalformedRtcp),
        ),
        case("f5_xr_of_no_bytes", XR, Packet::Rtcp([report, packet(0, 207, &[])].concat()), Refused(MalformedRtcp)),
    ]
}

fn receivers() -> Vec<Case> {
    let remb = |rest: &[u8]| feedback(15, 206, &[b"REMB", rest].concat());
    vec![
        case("f5_remb_of_more_sources_than_it_has", REMB, remb(&[2, 0, 0, 1, 0, 0, 0, 42]), Refused(MalformedRtcp)),
        case("f5_remb_of_255_sources_and_none", REMB, remb(&[255, 0, 0, 1]), Refused(MalformedRtcp)),
        case("f5_remb_of_fewer_sources_than_it_has", REMB, remb(&[0, 0, 0, 1, 0, 0, 0, 42]), Refused(MalformedRtcp)),
        case("f5_remb_name_alone", REMB, remb(&[]), Refused(MalformedRtcp)),
        case(
            "f5_remb_of_more_than_64_bits",
            "draft-alvestrand-rmcat-remb-03: a REMB of 2^63",
            remb(&[1, 0xFF, 0xFF, 0xFF, 0, 0, 0, 42]),
            Taken(0),
        ),
        case("f5_nack_of_no_entries", WEBRTC_RS, feedback(1, 205, &[]), Refused(MalformedRtcp)),
        case(
            "f5_nack_of_a_header_alone",
            WEBRTC_RS,
            Packet::Rtcp([packet(0, 201, &[0, 0, 0, 9]), packet(1, 205, &[])].concat()),
            Refused(MalformedRtcp),
        ),
        case("f5_nack_of_one_word", WEBRTC_RS, Packet::Rtcp(packet(1, 205, &[0, 0, 0, 9])), Refused(MalformedRtcp)),
        case("f5_fir_of_half_an_entry", WEBRTC_RS, feedback(4, 206, &[0, 0, 0x10, 0x92]), Refused(MalformedRtcp)),
        case("f5_fir_of_no_entries", WEBRTC_RS, feedback(4, 206, &[]), Refused(MalformedRtcp)),
        case("f5_fir_for_nobody", WEBRTC_RS, feedback(4, 206, &[0, 0, 0, 1, 5, 0, 0, 0]), Refused(UnknownFeedback)),
        case("f5_pli_of_one_word", WEBRTC_RS, Packet::Rtcp(packet(1, 206, &[0, 0, 0, 9])), Refused(MalformedRtcp)),
        case("f5_feedback_of_an_unknown_format", WEBRTC_RS, feedback(31, 205, &[9; 40]), Taken(0)),
        case("f5_rtcp_of_an_unknown_type", WEBRTC_RS, Packet::Rtcp(packet(7, 208, &[9; 40])), Taken(0)),
    ]
}

/// Base 0, so many statuses, reference time 1, then chunks and deltas, to whole words.
fn transport_cc(count: u16, chunks: &[u16], deltas: &[u8]) -> Packet {
    let [high, low] = count.to_be_bytes();
    let chunks: Vec<_> = chunks.iter().flat_map(|chunk| chunk.to_be_bytes()).collect();
    let mut fci = [&[0, 0, high, low, 0, 0, 1, 0], &chunks[..], deltas].concat();
    fci.resize(fci.len().next_multiple_of(4), 0);
    feedback(15, 205, &fci)
}

fn congestion() -> Vec<Case> {
    vec![
        case(
            "f5_transport_cc_reserved_symbol_in_a_vector",
            TRANSPORT_CC,
            transport_cc(7, &[0xFFFF], &[]),
            Refused(MalformedRtcp),
        ),
        case(
            "f5_transport_cc_run_of_reserved_symbols",
            TRANSPORT_CC,
            transport_cc(100, &[0x6064], &[]),
            Refused(MalformedRtcp),
        ),
        case(
            "f5_transport_cc_without_its_deltas",
            TRANSPORT_CC,
            transport_cc(8_191, &[0x3FFF], &[1, 2]),
            Refused(MalformedRtcp),
        ),
        case(
            "f5_transport_cc_large_deltas_are_cut_off",
            TRANSPORT_CC,
            transport_cc(7, &[0xEAAA], &[1, 2, 3, 4]),
            Refused(MalformedRtcp),
        ),
        case(
            "f5_transport_cc_chunks_are_cut_off",
            TRANSPORT_CC,
            transport_cc(65_535, &[0x1FFF, 0x1FFF], &[]),
            Refused(MalformedRtcp),
        ),
        case(
            "f5_transport_cc_of_a_header_alone",
            TRANSPORT_CC,
            feedback(15, 205, &[0, 0, 0, 1]),
            Refused(MalformedRtcp),
        ),
        case(
            "f5_transport_cc_of_65535_that_were_lost",
            TRANSPORT_CC,
            transport_cc(65_535, &[0x1FFF; 9], &[]),
            Refused(UnknownFeedback),
        ),
        case(
            "f5_transport_cc_run_longer_than_its_count",
            TRANSPORT_CC,
            transport_cc(2, &[0x3FFF], &[1, 1]),
            Refused(UnknownFeedback),
        ),
        case(
            "f5_transport_cc_of_packets_never_sent",
            "a receiver that lies",
            transport_cc(14, &[0xBFFF], &[0; 14]),
            Refused(UnknownFeedback),
        ),
    ]
}

fn sealed() -> Vec<Case> {
    let raw = |len: usize| Packet::Raw([&[0x80, 201, 0, 1, 0, 0, 0, 9][..], &[0xFF; 40]].concat()[..len].to_vec());
    let short = |name, len| case(name, SRTCP, raw(len), Refused(TooShort));
    vec![
        case("f5_srtcp_of_4_bytes", SRTCP, raw(4), Refused(UnknownProtocol)),
        case("f5_srtcp_of_7_bytes", SRTCP, raw(7), Refused(UnknownProtocol)),
        short("f5_srtcp_of_8_bytes", 8),
        short("f5_srtcp_of_13_bytes", 13),
        short("f5_srtcp_of_20_bytes", 20),
        short("f5_srtcp_of_24_bytes", 24),
        short("f5_srtcp_of_27_bytes", 27),
        case("f5_srtcp_of_28_bytes", SRTCP, raw(28), Refused(AuthenticationFailed)),
        case(
            "f5_srtcp_without_its_encryption_flag",
            "webrtc-srtp 0.17",
            Packet::Raw([&[0x80, 201, 0, 1, 0, 0, 0, 9][..], &[7; 40]].concat()),
            Refused(AuthenticationFailed),
        ),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    [compounds(), reports(), descriptions(), receivers(), congestion(), sealed()].into_iter().flatten().collect()
}

#[test]
fn f5_rtcp() {
    play(&cases());
}
