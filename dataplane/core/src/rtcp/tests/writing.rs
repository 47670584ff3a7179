//! What is written is read back, and what does not fit is not written.

use super::super::*;
use super::sample;

fn numbered(ssrc: u32) -> ReportBlock {
    ReportBlock { ssrc, highest_sequence: ssrc, ..ReportBlock::default() }
}

#[test]
fn sample_is_read_back() {
    let mut out = [0; 512];
    let len = sample(&mut out);
    let packets: Vec<_> = parse(&out[..len]).unwrap().collect();
    let [
        Packet::SenderReport {
            ssrc: 1,
            ntp: 0x2_0000_0003,
            rtp_timestamp: 4,
            packet_count: 5,
            octet_count: 6,
            reports,
        },
        Packet::ReceiverReport { ssrc: 1, reports: more },
        Packet::Sdes(sdes),
        Packet::Nack(nack),
        Packet::Pli { sender_ssrc: 1, media_ssrc: 2 },
        Packet::Fir { sender_ssrc: 1, entries },
        Packet::Remb { sender_ssrc: 1, bitrate_bps: 1_000_000, ssrcs },
        Packet::TransportCc(cc),
        Packet::Xr(rrtr),
        Packet::Xr(dlrr),
        Packet::Bye { ssrcs: gone, reason: [] },
    ] = &packets[..]
    else {
        panic!("{packets:?}")
    };
    let report = reports.clone().next().unwrap();
    assert_eq!((report.ssrc, report.fraction_lost, report.cumulative_lost), (2, 3, -4));
    assert_eq!((report.highest_sequence, report.jitter), (0x1_0002, 5));
    assert_eq!((report.last_sr, report.delay_since_last_sr), (6, 7));
    assert_eq!(more.clone().map(|report| report.ssrc).collect::<Vec<_>>(), [2, 3]);
    let mut chunk = sdes.clone().next().unwrap();
    assert_eq!((chunk.ssrc, chunk.items.next()), (1, Some(SdesItem { kind: SdesItem::CNAME, text: b"corecast" })));
    assert_eq!(nack.lost().collect::<Vec<_>>(), [65_530, 65_531, 2, 30]);
    assert_eq!(entries.clone().collect::<Vec<_>>(), [(2, 3)]);
    assert_eq!(ssrcs.clone().collect::<Vec<_>>(), [2, 3]);
    let deltas: Vec<_> = cc.statuses().map(|status| status.delta).collect();
    assert_eq!(deltas, [Some(1), None, Some(-1), Some(256), Some(0)]);
    assert!(matches!(rrtr.blocks().next(), Some(XrBlock::ReceiverReferenceTime { ntp: 0x0102_0304_0506_0708 })));
    let Some(XrBlock::Dlrr(mut answers)) = dlrr.blocks().next() else { panic!("{dlrr:?}") };
    assert_eq!(answers.next(), Some(DlrrBlock { ssrc: 2, last_rr: 3, delay_since_last_rr: 4 }));
    assert_eq!(gone.clone().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn reports_beyond_31_go_to_further_packets() {
    for count in [0u32, 1, 31, 32, 62, 63] {
        let mut out = [0; 4096];
        let mut writer = Writer::new(&mut out);
        assert!(writer.push_receiver_report(9, (0..count).map(numbered)));
        let packets: Vec<_> = parse(writer.as_bytes()).unwrap().collect();
        assert_eq!(packets.len(), (count as usize).div_ceil(31).max(1));
        let seen = packets.into_iter().flat_map(|packet| match packet {
            Packet::ReceiverReport { ssrc: 9, reports } => reports,
            other => panic!("{other:?}"),
        });
        assert!(seen.map(|report| report.ssrc).eq(0..count));

        let mut writer = Writer::new(&mut out);
        assert!(writer.push_sender_report(&SenderInfo::default(), (0..count).map(numbered)));
        let mut packets = parse(writer.as_bytes()).unwrap();
        assert!(matches!(packets.next(), Some(Packet::SenderReport { .. })));
        assert_eq!(packets.count(), (count as usize).div_ceil(31).saturating_sub(1));
    }
}

#[test]
fn what_does_not_fit_leaves_the_compound_as_it_was() {
    type Push = fn(&mut Writer<'_>) -> bool;
    let pushes: [Push; 11] = [
        |writer| writer.push_sender_report(&SenderInfo::default(), (0..40).map(numbered)),
        |writer| writer.push_receiver_report(1, (0..40).map(numbered)),
        |writer| writer.push_sdes_cname(1, "corecast"),
        |writer| writer.push_bye(0..40),
        |writer| writer.push_nack(1, 2, (0..100).map(|n| 20 * n)),
        |writer| writer.push_pli(1, 2),
        |writer| writer.push_fir(1, 2, 3),
        |writer| writer.push_remb(1, 2, 0..9),
        |writer| writer.push_transport_cc(&TransportCcHead::default(), (0..99).map(|n| Some(n * 9))),
        |writer| writer.push_rrtr(1, 2),
        |writer| writer.push_dlrr(1, [DlrrBlock::default(); 3]),
    ];
    for (n, push) in pushes.into_iter().enumerate() {
        let mut out = [0; 2048];
        let mut writer = Writer::new(&mut out);
        assert!(push(&mut writer));
        let needed = writer.len();
        assert!(parse(writer.as_bytes()).is_ok(), "{n}");
        for room in 0..needed {
            let mut out = vec![0; 12 + room];
            let mut writer = Writer::new(&mut out);
            assert!(writer.push_pli(7, 8));
            let before = writer.as_bytes().to_vec();
            assert!(!push(&mut writer), "push {n} with {room} of {needed} bytes");
            assert_eq!(writer.as_bytes(), before);
        }
        let mut out = vec![0; needed];
        assert!(push(&mut Writer::new(&mut out)), "push {n} with just enough");
    }
}

#[test]
fn nothing_to_say_writes_nothing() {
    let mut out = [0; 64];
    let mut writer = Writer::new(&mut out);
    assert!(writer.push_nack(1, 2, []));
    assert!(writer.push_bye([]));
    assert!(writer.push_dlrr(1, []));
    assert!(writer.push_transport_cc(&TransportCcHead::default(), std::iter::empty()));
    assert!(writer.is_empty());
    assert!(writer.push_receiver_report(1, []), "an empty report is a sign of life");
    assert_eq!(writer.len(), 8);
}

#[test]
fn nack_packs_what_is_within_16() {
    let entries = |sequences: &[u16]| {
        let mut out = [0; 512];
        let mut writer = Writer::new(&mut out);
        assert!(writer.push_nack(1, 2, sequences.iter().copied()));
        let Some(Packet::Nack(nack)) = parse(writer.as_bytes()).unwrap().next() else { panic!("not a NACK") };
        assert_eq!(nack.lost().collect::<Vec<_>>(), sequences);
        (writer.len() - 12) / 4
    };
    assert_eq!(entries(&[5]), 1);
    assert_eq!(entries(&(5..=21).collect::<Vec<_>>()), 1);
    assert_eq!(entries(&(5..=22).collect::<Vec<_>>()), 2);
    assert_eq!(entries(&[65_535, 0, 15]), 1, "over the wrap");
    assert_eq!(entries(&[0, 100, 200]), 3);
    let mut out = [0; 64];
    let mut writer = Writer::new(&mut out);
    assert!(writer.push_nack(1, 2, [7, 7, 8, 8, 7]));
    assert_eq!(writer.len(), 16, "what is named twice is written once");
}

#[test]
fn remb_is_rounded_down_to_18_bits() {
    for bitrate_bps in [0, 1, 0x3_ffff, 0x4_0000, 0x4_0001, 2_500_000, u64::from(u32::MAX), 1 << 63, u64::MAX] {
        let mut out = [0; 64];
        let mut writer = Writer::new(&mut out);
        assert!(writer.push_remb(1, bitrate_bps, [2]));
        let Some(Packet::Remb { bitrate_bps: read, .. }) = parse(writer.as_bytes()).unwrap().next() else {
            panic!("not a REMB")
        };
        assert!(read <= bitrate_bps && bitrate_bps - read <= bitrate_bps >> 17, "{bitrate_bps} became {read}");
    }
    let mut out = [0; 2048];
    assert!(Writer::new(&mut out).push_remb(1, 2, 0..255));
    assert!(!Writer::new(&mut out).push_remb(1, 2, 0..256), "the count is one byte");
}

#[test]
fn cname_of_any_length_ends_in_zeros_on_a_word() {
    for len in 0..=255usize {
        let cname = "c".repeat(len);
        let mut out = [0xee; 300];
        let mut writer = Writer::new(&mut out);
        assert!(writer.push_sdes_cname(1, &cname));
        let Some(Packet::Sdes(mut sdes)) = parse(writer.as_bytes()).unwrap().next() else { panic!("not SDES") };
        assert_eq!(sdes.next().unwrap().items.next().unwrap().text, cname.as_bytes());
        assert!(writer.as_bytes()[8 + 2 + len..].iter().all(|&byte| byte == 0), "{len}");
    }
    assert!(!Writer::new(&mut [0; 512]).push_sdes_cname(1, &"c".repeat(256)));
}
