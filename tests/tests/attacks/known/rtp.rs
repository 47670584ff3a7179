//! Headers, extensions, padding, retransmissions and redundancy.

use corecast_wire::{Codec, Discard};

use super::{Case, Expect, Packet, case, media, play, rtx, ssrc_of};
use crate::pair::MEDIA;

use Discard::{
    AlreadyReceived, AuthenticationFailed, MalformedRtp, MalformedRtx, PaddingOnly, TooShort, UnknownProtocol,
};
use Expect::{Refused, Taken};

const VP8: &[u8] = &[0x10, 0, 0x77];
const LICODE: &str = "lynckia/licode #2046, webrtc-rs rtp 0.17";
const OME: &str = "OvenMediaLabs/OvenMediaEngine #2312, webrtc-rs rtp 0.17";
const RFC_8285: &str = "RFC 8285 sections 4.2 and 4.3";
const PION_INTERCEPTOR: &str = "GHSA-f26w-gh5m-qq77, CVE-2025-49140";
const PION_3507: &str = "pion/webrtc #3507";
const LIBSRTP: &str = "libsrtp CVE-2013-2139, CVE-2015-6360";
const STR0M: &str = "str0m 0.23.1";

/// A header in the clear, of SSRC 42 and a number not yet seen, and what follows: whether it can be parsed is asked
/// before authentication.
fn clear(first: u8, rest: &[u8]) -> Packet {
    Packet::Raw([&[first, MEDIA, 0x40, 9, 0, 0, 0, 9, 0, 0, 0, 42], rest].concat())
}

/// Elements of a block (RFC 8285).
fn elements() -> Vec<Case> {
    vec![
        case(
            "f5_rtp_extension_element_runs_past_its_block",
            LICODE,
            clear(0x90, &[0xBE, 0xDE, 0, 1, 0x1F, 1, 2, 3]),
            Refused(MalformedRtp),
        ),
        case(
            "f5_rtp_extension_element_runs_past_its_block_into_the_payload",
            LICODE,
            clear(0x90, &[&[0xBE, 0xDE, 0, 1, 0x1F, 1, 2, 3][..], &[7; 60]].concat()),
            Refused(MalformedRtp),
        ),
        case(
            "f5_rtp_last_element_of_a_block_runs_past_it",
            LICODE,
            clear(0x90, &[0xBE, 0xDE, 0, 1, 0x10, 1, 0x23, 3]),
            Refused(MalformedRtp),
        ),
        case(
            "f5_rtp_two_byte_element_without_its_length",
            OME,
            clear(0x90, &[0x10, 0, 0, 1, 0, 0, 0, 5]),
            Refused(MalformedRtp),
        ),
        case(
            "f5_rtp_two_byte_element_runs_past_its_block",
            OME,
            clear(0x90, &[0x10, 0, 0, 1, 5, 255, 0, 0]),
            Refused(MalformedRtp),
        ),
        case("f5_rtp_two_byte_element_of_no_bytes", RFC_8285, media(0x90, &[0x10, 0, 0, 1, 5, 0, 6, 0], VP8), Taken(1)),
        case(
            "f5_rtp_extension_id_15_ends_the_block",
            RFC_8285,
            media(0x90, &[0xBE, 0xDE, 0, 1, 0xFF, 9, 9, 9], VP8),
            Taken(1),
        ),
        case(
            "f5_rtp_extension_id_0_with_a_length_ends_the_block",
            RFC_8285,
            media(0x90, &[0xBE, 0xDE, 0, 1, 0x0F, 9, 9, 9], VP8),
            Taken(1),
        ),
        case(
            "f5_rtp_extension_of_padding_alone",
            RFC_8285,
            media(0x90, &[0xBE, 0xDE, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0], VP8),
            Taken(1),
        ),
    ]
}

/// The block itself (RFC 3550 section 5.3.1).
fn blocks() -> Vec<Case> {
    vec![
        case("f5_rtp_extension_of_no_words", RFC_8285, media(0x90, &[0xBE, 0xDE, 0, 0], VP8), Taken(1)),
        case(
            "f5_rtp_extension_of_another_profile",
            "RFC 3550 section 5.3.1",
            media(0x90, &[0x12, 0x34, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF], VP8),
            Taken(1),
        ),
        case("f5_rtp_extension_flag_and_no_block", PION_3507, clear(0x90, &[]), Refused(MalformedRtp)),
        case("f5_rtp_extension_head_is_cut_off", PION_3507, clear(0x90, &[0xBE, 0xDE, 0]), Refused(MalformedRtp)),
        case(
            "f5_rtp_extension_runs_past_the_datagram",
            PION_3507,
            clear(0x90, &[0xBE, 0xDE, 0xFF, 0xFF, 0, 0, 0, 0]),
            Refused(MalformedRtp),
        ),
        case(
            "f5_rtp_extension_length_overflows_16_bits",
            PION_3507,
            // 16 and 4 times 16,383 are 65,548: 12 in 16 bits.
            clear(0x90, &[&[0xBE, 0xDE, 0x3F, 0xFF][..], &[0; 40]].concat()),
            Refused(MalformedRtp),
        ),
    ]
}

fn headers() -> Vec<Case> {
    vec![
        case("f5_rtp_csrcs_run_past_the_datagram", PION_3507, clear(0x8F, &[1; 59]), Refused(MalformedRtp)),
        case("f5_rtp_csrcs_and_nothing_else", PION_3507, clear(0x81, &[]), Refused(MalformedRtp)),
        case(
            "f5_rtp_csrcs_and_extension_run_past_the_datagram",
            PION_3507,
            clear(0x9F, &[&[1; 60][..], &[0xBE, 0xDE, 0xFF, 0xFF]].concat()),
            Refused(MalformedRtp),
        ),
        case("f5_rtp_of_fifteen_csrcs", PION_3507, media(0x8F, &[1; 60], VP8), Taken(1)),
        case("f5_srtp_header_is_longer_than_the_packet", LIBSRTP, clear(0x8F, &[0; 20]), Refused(MalformedRtp)),
        case("f5_srtp_header_takes_the_tag", LIBSRTP, clear(0x82, &[0; 16]), Refused(TooShort)),
        case("f5_srtp_without_a_body", STR0M, clear(0x80, &[]), Refused(TooShort)),
        case("f5_srtp_shorter_than_its_tag", STR0M, clear(0x80, &[7; 15]), Refused(TooShort)),
        case("f5_srtp_of_a_tag_alone", STR0M, clear(0x80, &[7; 16]), Refused(AuthenticationFailed)),
        case(
            "f5_a_datagram_of_no_bytes",
            "zero-length reads, as in pion/webrtc #3507",
            Packet::Raw(vec![]),
            Refused(UnknownProtocol),
        ),
        case("f5_a_datagram_of_one_byte", STR0M, Packet::Raw(vec![0x80]), Refused(UnknownProtocol)),
        case("f5_rtp_of_eleven_bytes", STR0M, Packet::Raw(vec![0x80; 11]), Refused(UnknownProtocol)),
        case(
            "f5_rtp_without_a_payload",
            "zero-length reads, as in pion/webrtc #3507",
            media(0x80, &[], &[]),
            Refused(PaddingOnly),
        ),
    ]
}

fn padding() -> Vec<Case> {
    vec![
        case("f5_rtp_padding_of_no_bytes", PION_INTERCEPTOR, media(0xA0, &[], &[0x10, 0, 0]), Refused(MalformedRtp)),
        case(
            "f5_rtp_padding_longer_than_the_payload",
            PION_INTERCEPTOR,
            media(0xA0, &[], &[0x10, 0, 4]),
            Refused(MalformedRtp),
        ),
        case(
            "f5_rtp_padding_of_255_bytes_that_are_not_there",
            PION_INTERCEPTOR,
            media(0xA0, &[], &[255; 200]),
            Refused(MalformedRtp),
        ),
        case("f5_rtp_padding_and_no_payload", PION_INTERCEPTOR, media(0xA0, &[], &[]), Refused(MalformedRtp)),
        case("f5_rtp_of_padding_alone", PION_INTERCEPTOR, media(0xA0, &[], &[0, 0, 0, 4]), Refused(PaddingOnly)),
        case("f5_rtp_of_one_byte_of_padding", PION_INTERCEPTOR, media(0xA0, &[], &[1]), Refused(PaddingOnly)),
    ]
}

fn retransmissions() -> Vec<Case> {
    let red = |payload: &[u8]| Packet::Rtp(0x80, ssrc_of(Codec::Other), MEDIA, Vec::new(), payload.to_vec());
    let rfc_4588 = "RFC 4588 section 4: fewer than 2 bytes";
    let rfc_2198 = "RFC 2198 section 3: bad block lengths";
    vec![
        case("f5_rtx_of_no_bytes", rfc_4588, rtx(&[]), Taken(0)),
        case("f5_rtx_of_one_byte", rfc_4588, rtx(&[0]), Refused(MalformedRtx)),
        case("f5_rtx_of_a_number_alone", rfc_4588, rtx(&[0, 1]), Refused(AlreadyReceived)),
        case("f5_rtx_of_what_was_never_sent", "found here by simulation", rtx(&[0x40, 0, 1, 2]), Refused(MalformedRtx)),
        case(
            "f5_rtx_of_padding_that_takes_the_number",
            rfc_4588,
            Packet::Rtp(0xA0, 43, 97, Vec::new(), vec![0, 2]),
            Taken(0),
        ),
        // Redundancy is for the receiver: it passes, whatever it is.
        case("f5_red_block_longer_than_the_packet", rfc_2198, red(&[0x80 | 111, 0xFF, 0xFF, 0xFF, 111, 1]), Taken(1)),
        case("f5_red_header_without_an_end", rfc_2198, red(&[0x80 | 111]), Taken(1)),
        case("f5_red_of_no_bytes", rfc_2198, red(&[]), Refused(PaddingOnly)),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    [elements(), blocks(), headers(), padding(), retransmissions()].into_iter().flatten().collect()
}

#[test]
fn f5_rtp() {
    play(&cases());
}
