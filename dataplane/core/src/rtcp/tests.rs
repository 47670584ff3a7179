//! Compounds: what each packet says, what is refused, and that nothing is taken on faith.

use super::*;

/// A packet with this count, type and body of whole words.
pub(super) fn packet(count: u8, packet_type: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len().is_multiple_of(4), "not whole words");
    let [high, low] = ((body.len() / 4) as u16).to_be_bytes();
    [&[0x80 | count, packet_type, high, low], body].concat()
}

/// The only packet of a compound.
fn only(compound: &[u8]) -> Packet<'_> {
    let mut packets = parse(compound).unwrap();
    let packet = packets.next().unwrap();
    assert!(packets.next().is_none());
    packet
}

fn refused(compound: &[u8]) -> MalformedRtcp {
    parse(compound).unwrap_err()
}

/// One of each packet that the writer knows, with every field different from 0.
pub(super) fn sample(out: &mut [u8]) -> usize {
    let mut writer = Writer::new(out);
    let block = |ssrc| ReportBlock {
        ssrc,
        fraction_lost: 3,
        cumulative_lost: -4,
        highest_sequence: 0x0001_0002,
        jitter: 5,
        last_sr: 6,
        delay_since_last_sr: 7,
    };
    let info = SenderInfo { ssrc: 1, ntp: 2 << 32 | 3, rtp_timestamp: 4, packet_count: 5, octet_count: 6 };
    let head =
        TransportCcHead { sender_ssrc: 1, media_ssrc: 2, base_sequence: 3, reference_time: -4, feedback_count: 5 };
    assert!(writer.push_sender_report(&info, [block(2)]));
    assert!(writer.push_receiver_report(1, [block(2), block(3)]));
    assert!(writer.push_sdes_cname(1, "corecast"));
    assert!(writer.push_nack(1, 2, [65_530, 65_531, 2, 30]));
    assert!(writer.push_pli(1, 2));
    assert!(writer.push_fir(1, 2, 3));
    assert!(writer.push_remb(1, 1_000_000, [2, 3]));
    assert!(writer.push_transport_cc(&head, [Some(1), None, Some(-1), Some(256), Some(0)].into_iter()));
    assert!(writer.push_rrtr(1, 0x0102_0304_0506_0708));
    assert!(writer.push_dlrr(1, [DlrrBlock { ssrc: 2, last_rr: 3, delay_since_last_rr: 4 }]));
    assert!(writer.push_bye([1, 2]));
    writer.len()
}

#[test]
fn sample_truncated_anywhere_is_refused() {
    let mut compound = [0; 512];
    let len = sample(&mut compound);
    let mut boundaries = vec![];
    let mut at = 0;
    while at < len {
        at += 4 + 4 * usize::from(u16::from_be_bytes([compound[at + 2], compound[at + 3]]));
        boundaries.push(at);
    }
    for cut in 0..=len {
        assert_eq!(parse(&compound[..cut]).is_ok(), boundaries.contains(&cut), "{cut} of {len} bytes");
    }
    assert_eq!(parse(&compound[..len]).unwrap().count(), 11);
}

#[test]
fn body_shortened_by_any_number_of_words_is_refused_or_another_lawful_packet() {
    let mut compound = [0; 512];
    let len = sample(&mut compound);
    let mut rest = &compound[..len];
    while let [flags, packet_type, high, low, ..] = *rest {
        let words = usize::from(u16::from_be_bytes([high, low]));
        for fewer in 0..words {
            let shorter = packet(flags & 0x1f, packet_type, &rest[4..4 + 4 * fewer]);
            // NACK entries and XR blocks are counted by length alone; a REMB that loses its name is any feedback.
            let may_be_lawful = match (packet_type, flags & 0x1f) {
                (205, 1) => fewer > 2,
                (206, 15) => fewer == 2,
                (207, _) => fewer == 1,
                _ => false,
            };
            assert_eq!(parse(&shorter).is_ok(), may_be_lawful, "type {packet_type}, {fewer} of {words} words");
        }
        rest = &rest[4 + 4 * words..];
    }
}

#[test]
fn lengths_must_add_up_to_the_datagram() {
    let pli = packet(1, 206, &[0; 8]);
    for extra in 1..4 {
        assert_eq!(refused(&[&pli[..], &vec![0x80; extra]].concat()), MalformedRtcp::TooShort);
    }
    assert_eq!(refused(&[]), MalformedRtcp::TooShort);
    assert_eq!(refused(&[0x80, 201, 0xff, 0xff]), MalformedRtcp::Length);
    assert_eq!(refused(&[0x81, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2]), MalformedRtcp::Length);
}

#[test]
fn version_is_checked_in_every_packet() {
    let pli = packet(1, 206, &[0; 8]);
    for flags in [0x01, 0x41, 0xc1] {
        let mut second = pli.clone();
        second[0] = flags;
        assert_eq!(refused(&[&pli[..], &second[..]].concat()), MalformedRtcp::Version);
    }
}

#[test]
fn padding_by_words_only_on_the_last_packet() {
    let mut padded = packet(0, 201, &[0, 0, 0, 9, 0, 0, 0, 4]);
    padded[0] |= 0x20;
    assert!(matches!(only(&padded), Packet::ReceiverReport { ssrc: 9, .. }));
    let pli = packet(1, 206, &[0; 8]);
    assert!(parse(&[&pli[..], &padded[..]].concat()).is_ok());
    assert_eq!(refused(&[&padded[..], &pli[..]].concat()), MalformedRtcp::Padding);
}

#[test]
fn padding_of_impossible_length_is_refused() {
    for last in [0u8, 5, 6, 7, 9, 12, 255] {
        let mut padded = packet(0, 201, &[0, 0, 0, 9, 0, 0, 0, last]);
        padded[0] |= 0x20;
        assert_eq!(refused(&padded), MalformedRtcp::Padding, "{last}");
    }
    assert_eq!(refused(&[0xa0, 201, 0, 0]), MalformedRtcp::Padding, "no body at all");
    let mut everything = packet(0, 201, &[0, 0, 0, 9, 0, 0, 0, 8]);
    everything[0] |= 0x20;
    assert_eq!(refused(&everything), MalformedRtcp::Body, "padding is not an SSRC");
}

#[test]
fn padding_to_the_word_as_libwebrtc_writes_it_is_taken() {
    // Two in one compound, each with the P bit and two bytes of padding.
    let mut feedback = packet(15, 205, &[0, 0, 0, 1, 0, 0, 0, 2, 0, 7, 0, 1, 0, 0, 1, 0, 0x20, 1, 9, 1]);
    feedback[0] |= 0x20;
    let compound = [&feedback[..], &feedback[..]].concat();
    let statuses: Vec<_> = parse(&compound)
        .unwrap()
        .flat_map(|packet| match packet {
            Packet::TransportCc(feedback) => feedback.statuses(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(statuses, [PacketStatus { sequence: 7, delta: Some(9) }; 2]);
}

#[test]
fn reports_that_the_body_does_not_hold_are_refused() {
    for count in 1..=31 {
        let body = vec![0; 4 + 24 * usize::from(count)];
        assert!(parse(&packet(count, 201, &body)).is_ok());
        assert_eq!(refused(&packet(count, 201, &body[4..])), MalformedRtcp::Body);
        let body = vec![0; 24 + 24 * usize::from(count)];
        assert!(parse(&packet(count, 200, &body)).is_ok());
        assert_eq!(refused(&packet(count, 200, &body[4..])), MalformedRtcp::Body);
    }
    assert_eq!(refused(&packet(0, 200, &[0; 20])), MalformedRtcp::Body);
    assert_eq!(refused(&packet(0, 201, &[])), MalformedRtcp::Body);
}

#[test]
fn cumulative_loss_is_signed() {
    let mut body = vec![0; 28];
    for (bytes, lost) in [([0xff; 3], -1), ([0x80, 0, 0], -0x80_0000), ([0x7f, 0xff, 0xff], 0x7f_ffff)] {
        body[9..12].copy_from_slice(&bytes);
        let compound = packet(1, 201, &body);
        let Packet::ReceiverReport { mut reports, .. } = only(&compound) else { panic!("not an RR") };
        assert_eq!(reports.next().unwrap().cumulative_lost, lost);
    }
    let mut out = [0; 64];
    let mut writer = Writer::new(&mut out);
    assert!(writer.push_receiver_report(1, [ReportBlock { cumulative_lost: i32::MAX, ..Default::default() }]));
    let Packet::ReceiverReport { mut reports, .. } = only(writer.as_bytes()) else { panic!("not an RR") };
    assert_eq!(reports.next().unwrap().cumulative_lost, 0x7f_ffff, "clamped, not wrapped");
}

#[test]
fn sdes_items_that_run_past_the_packet_are_refused() {
    assert_eq!(refused(&packet(1, 202, &[0, 0, 0, 1, 1, 200, b'a', 0])), MalformedRtcp::Body, "overrun");
    assert_eq!(refused(&packet(2, 202, &[0, 0, 0, 1, 1, 2, b'a', b'b'])), MalformedRtcp::Body, "no end, and one more");
    assert_eq!(refused(&packet(1, 202, &[0, 0, 0, 1, 1, 1, b'a', 2])), MalformedRtcp::Body, "type without a length");
    assert_eq!(refused(&packet(2, 202, &[0, 0, 0, 1, 0, 0, 0, 0])), MalformedRtcp::Body, "second chunk missing");
    assert_eq!(refused(&packet(1, 202, &[])), MalformedRtcp::Body);
}

#[test]
fn sdes_chunks_and_items() {
    let body = [
        [0, 0, 0, 1, 1, 2, b'a', b'b', 2, 0, 0, 0].as_slice(), // CNAME, an empty NAME, end and padding
        &[0, 0, 0, 2, 0, 0, 0, 0],                             // no items
        &[0, 0, 0, 3, 1, 1, b'c', 0],                          // ends on the word
    ];
    let compound = packet(3, 202, &body.concat());
    let Packet::Sdes(sdes) = only(&compound) else { panic!("not SDES") };
    let seen: Vec<_> = sdes.map(|chunk| (chunk.ssrc, chunk.items.collect::<Vec<_>>())).collect();
    let item = |kind, text| SdesItem { kind, text };
    assert_eq!(seen, [(1, vec![item(1, b"ab"), item(2, b"")]), (2, vec![]), (3, vec![item(1, b"c")])]);
}

#[test]
fn an_sdes_chunk_that_ends_the_packet_needs_no_zero() {
    let compound = packet(2, 202, &[0, 0, 0, 1, 1, 1, b'c', 0, 0, 0, 0, 2, 1, 2, b'a', b'b']);
    let Packet::Sdes(sdes) = only(&compound) else { panic!("not SDES") };
    let seen: Vec<_> = sdes.map(|chunk| (chunk.ssrc, chunk.items.collect::<Vec<_>>())).collect();
    let item = |text| SdesItem { kind: SdesItem::CNAME, text };
    assert_eq!(seen, [(1, vec![item(b"c")]), (2, vec![item(b"ab")])]);
}

#[test]
fn bye_counts_and_reason_are_checked() {
    assert_eq!(refused(&packet(2, 203, &[0; 4])), MalformedRtcp::Body);
    assert_eq!(refused(&packet(1, 203, &[0, 0, 0, 1, 4, b'b', b'y', b'e'])), MalformedRtcp::Body, "reason overruns");
    assert_eq!(refused(&packet(1, 203, &[0, 0, 0, 1, 255, 0, 0, 0])), MalformedRtcp::Body);
    let compound = packet(1, 203, &[0, 0, 0, 1, 3, b'b', b'y', b'e']);
    let Packet::Bye { ssrcs, reason } = only(&compound) else { panic!("not BYE") };
    assert_eq!((ssrcs.collect::<Vec<_>>(), reason), (vec![1], &b"bye"[..]));
    let Packet::Bye { ssrcs, reason } = only(&[0x80, 203, 0, 0]) else { panic!("not BYE") };
    assert_eq!((ssrcs.len(), reason.len()), (0, 0), "nobody leaves: useless, but lawful");
}

#[test]
fn nack_expands_pid_and_blp() {
    let compound = packet(1, 205, &[0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0x80, 0x01, 0, 20, 0, 0]);
    let Packet::Nack(nack) = only(&compound) else { panic!("not a NACK") };
    assert_eq!((nack.sender_ssrc, nack.media_ssrc), (1, 2));
    assert_eq!(nack.lost().collect::<Vec<_>>(), [0xffff, 0, 15, 20], "bit 0 is the next number, over the wrap");
}

#[test]
fn nack_and_fir_entries_must_match_the_length() {
    for words in 0..=2 {
        assert_eq!(refused(&packet(1, 205, &vec![0; 4 * words])), MalformedRtcp::Body, "NACK of {words} words");
    }
    for words in [0, 1, 2, 3, 5] {
        assert_eq!(refused(&packet(4, 206, &vec![0; 4 * words])), MalformedRtcp::Body, "FIR of {words} words");
    }
    let compound = packet(4, 206, &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 9, 0, 0, 0]);
    let Packet::Fir { sender_ssrc: 1, entries } = only(&compound) else { panic!("not a FIR") };
    assert_eq!(entries.collect::<Vec<_>>(), [(5, 9)]);
    assert_eq!(refused(&packet(1, 206, &[0; 12])), MalformedRtcp::Body, "a PLI has no entries");
}

/// A REMB with this count, exponent, mantissa and as many SSRCs as there are words.
fn remb(count: u8, exponent: u8, mantissa: u32, ssrcs: &[u8]) -> Vec<u8> {
    let [_, m0, m1, m2] = mantissa.to_be_bytes();
    packet(15, 206, &[&[0, 0, 0, 1, 0, 0, 0, 0], &b"REMB"[..], &[count, exponent << 2 | m0, m1, m2], ssrcs].concat())
}

#[test]
fn remb_ssrc_count_must_match_the_length() {
    assert_eq!(refused(&remb(1, 0, 1, &[])), MalformedRtcp::Body);
    assert_eq!(refused(&remb(255, 0, 1, &[0; 4])), MalformedRtcp::Body);
    assert_eq!(refused(&remb(0, 0, 1, &[0; 4])), MalformedRtcp::Body);
    assert_eq!(refused(&packet(15, 206, b"aaaabbbbREMB")), MalformedRtcp::Body, "not even a count");
    assert!(matches!(only(&packet(15, 206, b"aaaabbbbBMER")), Packet::Other { packet_type: 206 }));
    assert!(matches!(only(&packet(15, 206, b"aaaabbbb")), Packet::Other { packet_type: 206 }));
}

#[test]
fn remb_bitrate_saturates() {
    let bitrate = |exponent, mantissa| {
        let compound = remb(1, exponent, mantissa, &[0, 0, 0, 7]);
        let Packet::Remb { bitrate_bps, ssrcs, .. } = only(&compound) else { panic!("not a REMB") };
        assert_eq!(ssrcs.collect::<Vec<_>>(), [7]);
        bitrate_bps
    };
    assert_eq!(bitrate(0, 0), 0);
    assert_eq!(bitrate(63, 0), 0);
    assert_eq!(bitrate(3, 5), 40);
    assert_eq!(bitrate(46, 0x3_ffff), 0x3_ffff << 46, "the last that fits");
    assert_eq!(bitrate(47, 0x3_ffff), u64::MAX);
    assert_eq!(bitrate(63, 1), 1 << 63);
    assert_eq!(bitrate(63, 2), u64::MAX);
    assert_eq!(bitrate(63, 0x3_ffff), u64::MAX);
}

#[test]
fn xr_block_lengths_are_checked() {
    let xr = |blocks: &[u8]| packet(0, 207, &[&[0, 0, 0, 1], blocks].concat());
    assert_eq!(refused(&packet(0, 207, &[])), MalformedRtcp::Body, "no SSRC");
    assert_eq!(refused(&xr(&[4, 0, 0xff, 0xff])), MalformedRtcp::Body, "16-bit length in words is 256 KiB");
    assert_eq!(refused(&xr(&[9, 0, 0, 1])), MalformedRtcp::Body, "unknown block that overruns");
    assert_eq!(refused(&xr(&[4, 0, 0, 1, 0, 0, 0, 0])), MalformedRtcp::Body, "half a timestamp");
    assert_eq!(refused(&xr(&[4, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])), MalformedRtcp::Body, "and more");
    assert_eq!(refused(&xr(&[5, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0])), MalformedRtcp::Body, "two thirds of an answer");
    let compound = xr(&[9, 0, 0, 1, 1, 2, 3, 4, 5, 0, 0, 0, 4, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    let Packet::Xr(report) = only(&compound) else { panic!("not XR") };
    let blocks: Vec<_> = report.blocks().collect();
    assert!(matches!(
        blocks[..],
        [XrBlock::Other { block_type: 9 }, XrBlock::Dlrr(_), XrBlock::ReceiverReferenceTime { ntp: 0x1_0000_0002 }]
    ));
}

#[test]
fn reduced_size_and_unknown_packets_are_taken() {
    assert!(matches!(only(&packet(1, 206, &[0; 8])), Packet::Pli { .. }), "RFC 5506");
    assert!(matches!(only(&packet(3, 204, &[0; 8])), Packet::Other { packet_type: 204 }));
    assert!(matches!(only(&packet(7, 205, &[0; 8])), Packet::Other { packet_type: 205 }));
    assert_eq!(refused(&packet(7, 205, &[0; 4])), MalformedRtcp::Body, "feedback without media SSRC");
}

#[test]
fn no_datagram_panics() {
    let mut base = [0u8; 512];
    let len = sample(&mut base);
    let mut state = 7u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for _ in 0..100_000 {
        let mut compound = base;
        for _ in 0..1 + next() % 4 {
            compound[next() % len] = next() as u8;
        }
        for packet in parse(&compound[..len - 4 * (next() % 3)]).into_iter().flatten() {
            match packet {
                Packet::SenderReport { reports, .. } | Packet::ReceiverReport { reports, .. } => drop(reports.count()),
                Packet::Sdes(sdes) => drop(sdes.map(|chunk| chunk.items.count()).sum::<usize>()),
                Packet::Bye { ssrcs, .. } | Packet::Remb { ssrcs, .. } => drop(ssrcs.count()),
                Packet::Nack(nack) => assert!(nack.lost().count() <= 17 * 128),
                Packet::Fir { entries, .. } => drop(entries.count()),
                Packet::Ccfb(ccfb) => ccfb.streams().for_each(|stream| _ = stream.len()),
                Packet::TransportCc(cc) => assert_eq!(cc.statuses().count(), usize::from(cc.status_count)),
                Packet::Xr(xr) => drop(xr.blocks().count()),
                Packet::Pli { .. } | Packet::Other { .. } => {}
            }
        }
    }
}

mod ccfb;
mod transport_cc;
mod writing;
