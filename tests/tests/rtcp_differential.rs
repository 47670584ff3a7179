//! RTCP against the crate `rtcp`: what we write it reads as we meant it, and what it writes we read as it meant it.

use corecast_core::rtcp::{
    DlrrBlock, Packet, ReportBlock, SdesItem, SenderInfo, TransportCcHead, Writer, XrBlock, parse,
};
use rtcp::extended_report::{DLRRReport, DLRRReportBlock, ExtendedReport, ReceiverReferenceTimeReportBlock};
use rtcp::goodbye::Goodbye;
use rtcp::payload_feedbacks::full_intra_request::{FirEntry, FullIntraRequest};
use rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtcp::receiver_report::ReceiverReport;
use rtcp::reception_report::ReceptionReport;
use rtcp::sender_report::SenderReport;
use rtcp::source_description::{SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem};
use rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, RecvDelta, RunLengthChunk, StatusChunkTypeTcc, SymbolTypeTcc, TransportLayerCc,
};
use rtcp::transport_feedbacks::transport_layer_nack::{TransportLayerNack, nack_pairs_from_sequence_numbers};
use webrtc_util::marshal::Marshal;

type Theirs = Box<dyn rtcp::packet::Packet + Send + Sync>;

/// Writes with ours, reads with the crate.
fn written(write: impl FnOnce(&mut Writer<'_>) -> bool) -> Vec<Theirs> {
    let mut out = [0; 4096];
    let mut writer = Writer::new(&mut out);
    assert!(write(&mut writer));
    rtcp::packet::unmarshal(&mut writer.as_bytes()).unwrap()
}

/// The only packet, as the type that it should be.
fn only<T: Clone + 'static>(packets: &[Theirs]) -> T {
    assert_eq!(packets.len(), 1);
    packets[0].as_any().downcast_ref::<T>().expect("another type of packet").clone()
}

fn ours() -> ReportBlock {
    ReportBlock {
        ssrc: 0xfedc_ba98,
        fraction_lost: 200,
        cumulative_lost: 0x7f_fffe,
        highest_sequence: 0x1234_5678,
        jitter: 0x8000_0001,
        last_sr: 0x9abc_def0,
        delay_since_last_sr: 0x0f0f_0f0f,
    }
}

fn theirs() -> ReceptionReport {
    ReceptionReport {
        ssrc: 0xfedc_ba98,
        fraction_lost: 200,
        total_lost: 0x7f_fffe,
        last_sequence_number: 0x1234_5678,
        jitter: 0x8000_0001,
        last_sender_report: 0x9abc_def0,
        delay: 0x0f0f_0f0f,
    }
}

#[test]
fn reports_that_we_write() {
    let info =
        SenderInfo { ssrc: 9, ntp: 0x1122_3344_5566_7788, rtp_timestamp: 2, packet_count: 3, octet_count: 0xffff_fff0 };
    let report: SenderReport = only(&written(|writer| writer.push_sender_report(&info, [ours(), ours()])));
    assert_eq!((report.ssrc, report.ntp_time, report.rtp_time), (9, 0x1122_3344_5566_7788, 2));
    assert_eq!((report.packet_count, report.octet_count), (3, 0xffff_fff0));
    assert_eq!(report.reports, [theirs(), theirs()]);

    let reports = written(|writer| writer.push_receiver_report(9, [ours(); 33]));
    let counts: Vec<_> = reports
        .iter()
        .map(|packet| packet.as_any().downcast_ref::<ReceiverReport>().unwrap())
        .inspect(|report| assert!(report.ssrc == 9 && report.reports.iter().all(|block| *block == theirs())))
        .map(|report| report.reports.len())
        .collect();
    assert_eq!(counts, [31, 2]);
}

#[test]
fn reports_that_the_crate_writes() {
    let packets: [Theirs; 2] = [
        Box::new(SenderReport {
            ssrc: 9,
            ntp_time: 0x1122_3344_5566_7788,
            rtp_time: 2,
            packet_count: 3,
            octet_count: 4,
            reports: vec![theirs()],
            profile_extensions: vec![1, 2, 3, 4].into(),
        }),
        Box::new(ReceiverReport { ssrc: 8, reports: vec![theirs(); 31], ..Default::default() }),
    ];
    let bytes = rtcp::packet::marshal(&packets).unwrap();
    let packets: Vec<_> = parse(&bytes).unwrap().collect();
    let [
        Packet::SenderReport {
            ssrc: 9,
            ntp: 0x1122_3344_5566_7788,
            rtp_timestamp: 2,
            packet_count: 3,
            octet_count: 4,
            reports: first,
        },
        Packet::ReceiverReport { ssrc: 8, reports: second },
    ] = &packets[..]
    else {
        panic!("{packets:?}")
    };
    assert!(first.clone().eq([ours()]));
    assert!(second.clone().eq([ours(); 31]));
}

#[test]
fn descriptions_and_goodbyes() {
    for cname in ["", "a", "ab", "abc", "abcd", &"x".repeat(255)] {
        let text = cname.as_bytes().to_vec().into();
        let items = vec![SourceDescriptionItem { sdes_type: SdesType::SdesCname, text }];
        let description = SourceDescription { chunks: vec![SourceDescriptionChunk { source: 7, items }] };
        let read: SourceDescription = only(&written(|writer| writer.push_sdes_cname(7, cname)));
        assert_eq!(read, description);
        let bytes = description.marshal().unwrap();
        let Some(Packet::Sdes(mut sdes)) = parse(&bytes).unwrap().next() else { panic!("not SDES") };
        let mut chunk = sdes.next().unwrap();
        assert_eq!((chunk.ssrc, sdes.next().is_none()), (7, true));
        assert_eq!(chunk.items.next(), Some(SdesItem { kind: SdesItem::CNAME, text: cname.as_bytes() }));
    }

    let read: Goodbye = only(&written(|writer| writer.push_bye([1, 2, 3])));
    assert_eq!((read.sources, read.reason.len()), (vec![1, 2, 3], 0));
    for reason in ["", "b", "bye", "good night"] {
        let bytes = Goodbye { sources: vec![1, 2], reason: reason.as_bytes().to_vec().into() }.marshal().unwrap();
        let Some(Packet::Bye { ssrcs, reason: read }) = parse(&bytes).unwrap().next() else { panic!("not BYE") };
        assert_eq!((ssrcs.collect::<Vec<_>>(), read), (vec![1, 2], reason.as_bytes()));
    }
}

#[test]
fn nacks() {
    for lost in [vec![5], vec![5, 6, 21, 22], vec![65_530, 65_535, 0, 9], (100..200).step_by(3).collect()] {
        let nack: TransportLayerNack = only(&written(|writer| writer.push_nack(1, 2, lost.iter().copied())));
        assert_eq!((nack.sender_ssrc, nack.media_ssrc), (1, 2));
        assert_eq!(nack.nacks.iter().flat_map(|pair| pair.packet_list()).collect::<Vec<_>>(), lost);

        let nacks = nack_pairs_from_sequence_numbers(&lost);
        let bytes = TransportLayerNack { sender_ssrc: 1, media_ssrc: 2, nacks }.marshal().unwrap();
        let Some(Packet::Nack(nack)) = parse(&bytes).unwrap().next() else { panic!("not a NACK") };
        assert_eq!((nack.sender_ssrc, nack.media_ssrc), (1, 2));
        assert_eq!(nack.lost().collect::<Vec<_>>(), lost);
    }
}

#[test]
fn key_frame_requests() {
    let pli: PictureLossIndication = only(&written(|writer| writer.push_pli(1, 2)));
    assert_eq!((pli.sender_ssrc, pli.media_ssrc), (1, 2));
    let bytes = pli.marshal().unwrap();
    assert!(matches!(parse(&bytes).unwrap().next(), Some(Packet::Pli { sender_ssrc: 1, media_ssrc: 2 })));

    let fir: FullIntraRequest = only(&written(|writer| writer.push_fir(1, 2, 3)));
    assert_eq!((fir.sender_ssrc, fir.media_ssrc), (1, 0));
    assert_eq!(fir.fir, [FirEntry { ssrc: 2, sequence_number: 3 }]);
    let fir = (4..7).map(|ssrc| FirEntry { ssrc, sequence_number: ssrc as u8 * 2 }).collect();
    let bytes = FullIntraRequest { sender_ssrc: 1, media_ssrc: 0, fir }.marshal().unwrap();
    let Some(Packet::Fir { sender_ssrc: 1, entries }) = parse(&bytes).unwrap().next() else { panic!("not a FIR") };
    assert_eq!(entries.collect::<Vec<_>>(), [(4, 8), (5, 10), (6, 12)]);
}

#[test]
fn rembs() {
    // Bitrates of at most 18 significant bits, which neither side rounds. Not 0: the crate reads it as 2^23.
    for bitrate_bps in [1, 262_143, 262_144, 1 << 20, 0x3_ffff << 10, 0x2_0001 << 40] {
        let remb: ReceiverEstimatedMaximumBitrate = only(&written(|writer| writer.push_remb(1, bitrate_bps, [2, 3])));
        assert_eq!((remb.sender_ssrc, remb.bitrate as u64, &remb.ssrcs[..]), (1, bitrate_bps, &[2, 3][..]));
        let remb = ReceiverEstimatedMaximumBitrate { sender_ssrc: 1, bitrate: bitrate_bps as f32, ssrcs: vec![2, 3] };
        let bytes = remb.marshal().unwrap();
        let Some(Packet::Remb { sender_ssrc: 1, bitrate_bps: read, ssrcs }) = parse(&bytes).unwrap().next() else {
            panic!("not a REMB")
        };
        assert_eq!((read, ssrcs.collect::<Vec<_>>()), (bitrate_bps, vec![2, 3]));
    }
}

#[test]
fn transport_feedback_that_we_write() {
    let head =
        TransportCcHead { sender_ssrc: 1, media_ssrc: 2, base_sequence: 65_535, reference_time: 77, feedback_count: 3 };
    let statuses: [&[Option<i16>]; 5] = [
        &[Some(0)],
        &[Some(4); 40],
        &[Some(255), None, Some(256), Some(-1), None, Some(i16::MIN), Some(i16::MAX), Some(1)],
        &[Some(1), None, None, Some(2), Some(3)],
        &[&[None; 100][..], &[Some(9); 3], &[Some(-300); 20]].concat(),
    ];
    for statuses in statuses {
        let cc: TransportLayerCc = only(&written(|writer| writer.push_transport_cc(&head, statuses.iter().copied())));
        assert_eq!((cc.sender_ssrc, cc.media_ssrc, cc.base_sequence_number), (1, 2, 65_535));
        assert_eq!((cc.reference_time, cc.fb_pkt_count), (77, 3));
        assert_eq!(usize::from(cc.packet_status_count), statuses.len());
        let deltas: Vec<_> = cc.recv_deltas.iter().map(|delta| delta.delta / 250).collect();
        let expected: Vec<_> = statuses.iter().flatten().map(|&delta| i64::from(delta)).collect();
        assert_eq!(deltas, expected);
    }
}

#[test]
fn transport_feedback_that_the_crate_writes() {
    use SymbolTypeTcc::{PacketNotReceived, PacketReceivedLargeDelta, PacketReceivedSmallDelta};
    let run = |packet_status_symbol, run_length| {
        let type_tcc = StatusChunkTypeTcc::RunLengthChunk;
        PacketStatusChunk::RunLengthChunk(RunLengthChunk { type_tcc, packet_status_symbol, run_length })
    };
    let delta = |type_tcc_packet, ticks: i64| RecvDelta { type_tcc_packet, delta: 250 * ticks };
    let feedback = TransportLayerCc {
        sender_ssrc: 1,
        media_ssrc: 2,
        base_sequence_number: 65_535,
        packet_status_count: 5,
        reference_time: 0xff_ffff,
        fb_pkt_count: 3,
        packet_chunks: vec![
            run(PacketReceivedSmallDelta, 2),
            run(PacketNotReceived, 1),
            run(PacketReceivedLargeDelta, 2),
        ],
        recv_deltas: vec![
            delta(PacketReceivedSmallDelta, 0),
            delta(PacketReceivedSmallDelta, 255),
            delta(PacketReceivedLargeDelta, -32_768),
            delta(PacketReceivedLargeDelta, 300),
        ],
    };
    let bytes = feedback.marshal().unwrap();
    let Some(Packet::TransportCc(cc)) = parse(&bytes).unwrap().next() else { panic!("not transport-cc") };
    assert_eq!((cc.sender_ssrc, cc.media_ssrc), (1, 2));
    assert_eq!((cc.reference_time, cc.feedback_count), (-1, 3), "24 bits with a sign");
    let statuses: Vec<_> = cc.statuses().map(|status| (status.sequence, status.delta)).collect();
    let expected = [(65_535, Some(0)), (0, Some(255)), (1, None), (2, Some(-32_768)), (3, Some(300))];
    assert_eq!(statuses, expected);
}

#[test]
fn extended_reports() {
    let block = |ssrc| DlrrBlock { ssrc, last_rr: 2, delay_since_last_rr: 0xffff_fffe };
    let answer = |ssrc| DLRRReport { ssrc, last_rr: 2, dlrr: 0xffff_fffe };
    let time = ReceiverReferenceTimeReportBlock { ntp_timestamp: 0x1122_3344_5566_7788 };
    let answers = DLRRReportBlock { reports: vec![answer(7), answer(8)] };

    let read: ExtendedReport = only(&written(|writer| writer.push_rrtr(1, 0x1122_3344_5566_7788)));
    assert_eq!((read.sender_ssrc, read.reports.len()), (1, 1));
    assert_eq!(read.reports[0].as_any().downcast_ref(), Some(&time));
    let read: ExtendedReport = only(&written(|writer| writer.push_dlrr(1, [block(7), block(8)])));
    assert_eq!(read.reports[0].as_any().downcast_ref(), Some(&answers));

    let reports: Vec<Theirs> = vec![Box::new(time), Box::new(answers)];
    let bytes = ExtendedReport { sender_ssrc: 1, reports }.marshal().unwrap();
    let Some(Packet::Xr(xr)) = parse(&bytes).unwrap().next() else { panic!("not XR") };
    let blocks: Vec<_> = xr.blocks().collect();
    let [XrBlock::ReceiverReferenceTime { ntp: 0x1122_3344_5566_7788 }, XrBlock::Dlrr(answers)] = &blocks[..] else {
        panic!("{blocks:?}")
    };
    assert!(xr.sender_ssrc == 1 && answers.clone().eq([block(7), block(8)]));
}
