//! Headers and extensions: the layouts of RFC 3550 and RFC 8285 and everything that has crashed other servers.

use super::*;

/// Two CSRCs, marker, payload type 96, sequence 0x1234, and an extension block in one-byte form: the example of RFC
/// 8285 section 4.2 (1, 2 and 4 bytes of data with padding between).
const SAMPLE: [u8; 39] = [
    0x92, 0xe0, 0x12, 0x34, 0x01, 0x02, 0x03, 0x04, 0xca, 0xfe, 0xba, 0xbe, // fixed
    0, 0, 0, 1, 0, 0, 0, 2, // CSRCs
    0xbe, 0xde, 0x00, 0x03, 0x10, 0xaa, 0x21, 0xb1, 0xb2, 0x00, 0x00, 0x33, 0xc1, 0xc2, 0xc3, 0xc4, // extension
    b'b', b'o', b'd',
];

/// A packet whose extension block has this profile and these words.
fn with_block(profile: u16, words: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x90, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    packet.extend(profile.to_be_bytes());
    packet.extend(((words.len() / 4) as u16).to_be_bytes());
    packet.extend(words);
    packet
}

fn elements(packet: &[u8]) -> Vec<(u8, Vec<u8>)> {
    RtpView::parse(packet).unwrap().extensions().map(|(id, data)| (id, data.to_vec())).collect()
}

#[test]
fn every_field_is_where_rfc_3550_puts_it() {
    let view = RtpView::parse(&SAMPLE).unwrap();
    assert_eq!((view.ssrc(), view.sequence(), view.timestamp()), (0xcafe_babe, 0x1234, 0x0102_0304));
    assert_eq!((view.marker(), view.payload_type(), view.has_padding()), (true, 96, false));
    assert_eq!(view.csrcs(), &SAMPLE[12..20]);
    assert_eq!(view.extension_block(), &SAMPLE[20..36]);
    assert_eq!(view.header(), &SAMPLE[..36]);
    assert_eq!(view.body(), b"bod");
    assert_eq!(elements(&SAMPLE), [(1, vec![0xaa]), (2, vec![0xb1, 0xb2]), (3, vec![0xc1, 0xc2, 0xc3, 0xc4])]);
}

#[test]
fn truncated_anywhere_in_the_header_is_refused_and_in_the_body_is_not() {
    for len in 0..SAMPLE.len() {
        let error = RtpView::parse(&SAMPLE[..len]).err();
        let expected = match len {
            0..12 => Some(MalformedRtp::TooShort),
            12..20 => Some(MalformedRtp::Csrcs),
            20..36 => Some(MalformedRtp::Extension),
            _ => None,
        };
        assert_eq!(error, expected, "{len} bytes");
    }
    assert!(RtpView::parse(&SAMPLE[..36]).unwrap().body().is_empty());
}

#[test]
fn other_versions_are_refused() {
    for version in [0u8, 1, 3] {
        let mut packet = SAMPLE;
        packet[0] = packet[0] & 0x3f | version << 6;
        assert_eq!(RtpView::parse(&packet).err(), Some(MalformedRtp::Version));
    }
}

#[test]
fn one_byte_element_that_runs_past_the_block_is_refused() {
    // Claims 16 bytes in a block of one word; the second time the datagram would even have them.
    assert_eq!(RtpView::parse(&with_block(0xbede, &[0x1f, 0, 0, 0])).err(), Some(MalformedRtp::Extension));
    let mut packet = with_block(0xbede, &[0x1f, 0, 0, 0]);
    packet.extend([0; 32]);
    assert_eq!(RtpView::parse(&packet).err(), Some(MalformedRtp::Extension));
    assert!(RtpView::parse(&with_block(0xbede, &[0x12, 1, 2, 3])).is_ok(), "ends where the block ends");
}

#[test]
fn two_byte_element_that_runs_past_the_block_is_refused() {
    assert_eq!(RtpView::parse(&with_block(0x1000, &[1, 3, 0, 0])).err(), Some(MalformedRtp::Extension));
    assert_eq!(elements(&with_block(0x1000, &[1, 2, 7, 8])), [(1, vec![7, 8])]);
}

#[test]
fn two_byte_element_without_its_length_byte_is_refused() {
    assert_eq!(RtpView::parse(&with_block(0x1000, &[0, 0, 0, 1])).err(), Some(MalformedRtp::Extension));
    let mut packet = with_block(0x1000, &[0, 0, 0, 1]);
    packet.extend([1, 2, 3]);
    assert_eq!(RtpView::parse(&packet).err(), Some(MalformedRtp::Extension), "the body does not help");
}

#[test]
fn one_byte_identifier_15_ends_the_extension() {
    // Its length is not looked at, nor is what follows (RFC 8285 section 4.2).
    assert_eq!(elements(&with_block(0xbede, &[0x10, 9, 0xff, 0x20])), [(1, vec![9])]);
}

#[test]
fn one_byte_identifier_0_with_a_length_ends_the_extension() {
    assert_eq!(elements(&with_block(0xbede, &[0x10, 9, 0x0f, 0x20])), [(1, vec![9])]);
}

#[test]
fn padding_between_elements_is_passed_over() {
    assert_eq!(elements(&with_block(0xbede, &[0, 0x10, 9, 0, 0, 0x20, 8, 0])), [(1, vec![9]), (2, vec![8])]);
    assert_eq!(elements(&with_block(0x1000, &[0, 1, 0, 0, 2, 1, 8, 0])), [(1, vec![]), (2, vec![8])]);
    assert_eq!(elements(&with_block(0xbede, &[0; 8])), []);
}

#[test]
fn appbits_are_ignored_and_unknown_profiles_have_no_elements() {
    for appbits in 0..16 {
        assert_eq!(elements(&with_block(0x1000 | appbits, &[1, 2, 7, 8])), [(1, vec![7, 8])]);
    }
    for profile in [0x0000, 0x0fff, 0x1010, 0x2000, 0xbedd, 0xffff] {
        let packet = with_block(profile, &[0x1f, 0xff, 0xff, 0xff]);
        assert_eq!(elements(&packet), []);
        assert_eq!(RtpView::parse(&packet).unwrap().extension_block().len(), 8, "still in its place");
    }
}

#[test]
fn csrcs_and_extension_beyond_the_datagram_are_refused() {
    let mut packet = vec![0x9f; 12];
    assert_eq!(RtpView::parse(&packet).err(), Some(MalformedRtp::Csrcs));
    packet.resize(12 + 60, 0);
    assert_eq!(RtpView::parse(&packet).err(), Some(MalformedRtp::Extension), "no room for the head");
    packet.extend([0xbe, 0xde, 0, 1]);
    assert_eq!(RtpView::parse(&packet).err(), Some(MalformedRtp::Extension), "no room for the word");
}

#[test]
fn extension_length_that_would_overflow_16_bits_is_refused() {
    // 0x4000 words are 65,536 bytes: 0 in a 16-bit sum.
    for words in [0x4000u16, 0x3fff, 0xffff] {
        let mut packet = with_block(0xbede, &[]);
        packet[14..16].copy_from_slice(&words.to_be_bytes());
        packet.resize(1500, 0);
        assert_eq!(RtpView::parse(&packet).err(), Some(MalformedRtp::Extension), "{words} words");
    }
}

#[test]
fn padding_of_zero_or_more_than_the_payload_is_refused() {
    assert_eq!(padding_len(&[]), Err(MalformedRtp::Padding));
    assert_eq!(padding_len(&[1, 2, 0]), Err(MalformedRtp::Padding));
    assert_eq!(padding_len(&[1, 2, 4]), Err(MalformedRtp::Padding));
    assert_eq!(padding_len(&[255]), Err(MalformedRtp::Padding));
    assert_eq!(padding_len(&[9, 9, 2]), Ok(2));
}

#[test]
fn packet_of_padding_only_is_valid() {
    assert_eq!(padding_len(&[0, 0, 3]), Ok(3));
    assert_eq!(padding_len(&[0xff; 255]), Ok(255));
    assert_eq!(padding_len(&[1]), Ok(1));
}

#[test]
fn rtx_of_fewer_than_two_bytes_has_no_original() {
    assert_eq!(split_rtx(&[]), None);
    assert_eq!(split_rtx(&[1]), None);
    assert_eq!(split_rtx(&[1, 2]), Some((0x0102, &[][..])));
    assert_eq!(split_rtx(&[0xff, 0xfe, 9]), Some((0xfffe, &[9][..])));
}

#[test]
fn no_datagram_panics() {
    // Every first byte and extension profile of interest over bytes that are mostly lengths.
    let mut state = 1u64;
    for round in 0..100_000usize {
        let mut packet = [0u8; 96];
        for byte in &mut packet {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
        packet[0] = 0x80 | packet[0] & 0x33;
        let block_at = 12 + 4 * usize::from(packet[0] & 0x0f);
        packet[block_at..block_at + 4].copy_from_slice(&[[0xbe, 0xde, 0, 6], [0x10, 0x07, 0, 6]][round % 2]);
        if let Ok(view) = RtpView::parse(&packet[..round % 97]) {
            assert_eq!(view.header().len() + view.body().len(), round % 97);
            let data: usize = view.extensions().map(|(_, data)| data.len()).sum();
            assert!(data <= view.extension_block().len());
        }
        let mut out = [0u8; 96];
        let elements = Extensions::of_block(&packet[..round % 97]);
        let len = write_extension_block(&mut out, elements);
        assert!(len <= out.len());
    }
}

#[test]
fn header_round_trip() {
    let header =
        Header { payload_type: 111, marker: true, padding: true, sequence: 0xffff, timestamp: 0x8000_0001, ssrc: 7 };
    for csrc_count in 0..=15 {
        let csrcs = [0xc5; 60];
        let csrcs = &csrcs[..4 * csrc_count];
        for block in [&[][..], &SAMPLE[20..36]] {
            let mut out = [0u8; 100];
            let len = write_header(&mut out, &header, csrcs, block).unwrap();
            let view = RtpView::parse(&out[..len]).unwrap();
            assert_eq!((view.payload_type(), view.marker(), view.has_padding()), (111, true, true));
            assert_eq!((view.sequence(), view.timestamp(), view.ssrc()), (0xffff, 0x8000_0001, 7));
            assert_eq!((view.csrcs(), view.extension_block(), view.body()), (csrcs, block, &[][..]));
        }
    }
}

#[test]
fn header_that_does_not_fit_is_not_written() {
    let block = [0xbe, 0xde, 0, 1, 0x10, 1, 0, 0];
    for len in 0..12 + 4 + 8 {
        let mut out = vec![0xee; len];
        assert_eq!(write_header(&mut out, &Header::default(), &[0; 4], &block), None);
        assert!(out.iter().all(|&byte| byte == 0xee), "{len} bytes");
    }
    let mut out = [0; 200];
    assert_eq!(write_header(&mut out, &Header::default(), &[0; 64], &[]), None, "16 CSRCs");
    assert_eq!(write_header(&mut out, &Header::default(), &[0; 3], &[]), None);
    assert_eq!(write_header(&mut out, &Header::default(), &[], &[0xbe, 0xde, 0]), None);
}

/// Writes elements, reads them back from a packet, and gives the block.
fn written(elements: &[(u8, &[u8])], room: usize) -> Vec<u8> {
    let mut out = vec![0xee; room];
    let len = write_extension_block(&mut out, elements.iter().copied());
    out.truncate(len);
    out
}

#[test]
fn extension_block_takes_the_form_that_its_elements_need() {
    assert_eq!(written(&[(1, &[0xaa])], 64), [0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0]);
    assert_eq!(written(&[(14, &[7; 16])], 64)[..5], [0xbe, 0xde, 0, 5, 0xef]);
    assert_eq!(written(&[(15, &[0xaa])], 64), [0x10, 0, 0, 1, 15, 1, 0xaa, 0]);
    assert_eq!(written(&[(1, &[])], 64), [0x10, 0, 0, 1, 1, 0, 0, 0]);
    assert_eq!(written(&[(1, &[7; 17])], 64)[..6], [0x10, 0, 0, 5, 1, 17]);
    assert_eq!(written(&[], 64), []);
    assert_eq!(written(&[(0, &[1]), (3, &[0; 256])], 512), [], "nothing that can be carried");
    assert_eq!(written(&[(0, &[1]), (1, &[2])], 64)[..2], [0xbe, 0xde], "and it does not force the form");
}

#[test]
fn elements_without_room_are_left_out() {
    let elements: [(u8, &[u8]); 3] = [(1, &[1, 1, 1]), (2, &[2; 9]), (3, &[3])];
    assert_eq!(written(&elements, 3), []);
    assert_eq!(written(&elements, 7), [], "the last three bytes are not a word");
    assert_eq!(written(&elements, 8), [0xbe, 0xde, 0, 1, 0x12, 1, 1, 1]);
    assert_eq!(written(&elements, 12), [0xbe, 0xde, 0, 2, 0x12, 1, 1, 1, 0x30, 3, 0, 0]);
    assert_eq!(written(&elements, 24).len(), 20);
}

#[test]
fn a_block_is_as_long_as_was_said() {
    let long = [7; 200];
    let all: [(u8, &[u8]); 7] = [(1, &[]), (0, &[1]), (14, &[2; 16]), (3, &[3]), (15, &[4]), (9, &[5; 17]), (2, &long)];
    for choice in 0..1u8 << all.len() {
        let elements = all.iter().enumerate().filter(|(at, _)| choice >> at & 1 == 1).map(|(_, element)| *element);
        let mut out = [0; 300];
        let len = extension_block_len(elements.clone());
        assert_eq!(write_extension_block(&mut out, elements), len, "choice {choice:#b}");
    }
}
