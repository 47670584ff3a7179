//! RTCP of a run: what participants write, and what is allowed in what the server writes. Packets are those of the
//! `rtcp` crate.

use bytes::Bytes;
use corecast_core::limits::{KEY_FRAME_INTERVAL, KEY_FRAME_RETRY, MAX_NACK_TRIES};
use rtcp::goodbye::Goodbye;
use rtcp::packet::Packet;
use rtcp::payload_feedbacks::full_intra_request::{FirEntry, FullIntraRequest};
use rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtcp::receiver_report::ReceiverReport;
use rtcp::reception_report::ReceptionReport;
use rtcp::sender_report::SenderReport;
use rtcp::source_description::{SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem};
use rtcp::transport_feedbacks::transport_layer_nack::{TransportLayerNack, nack_pairs_from_sequence_numbers};

use super::consumer::{Broken, Consumer, check};
use super::source::Source;

/// A packet of the `rtcp` crate.
pub type RtcpPacket = Box<dyn Packet + Send + Sync>;

/// What the server asks of a participant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Packets to send again: source, position in its stream.
    pub again: Vec<(usize, u64)>,
    /// Sources that are to send a key frame.
    pub key_frames: Vec<usize>,
}

/// A generic NACK (RFC 4585 section 6.2.1).
#[must_use]
pub fn nack(sender_ssrc: u32, media_ssrc: u32, sequences: &[u16]) -> RtcpPacket {
    Box::new(TransportLayerNack { sender_ssrc, media_ssrc, nacks: nack_pairs_from_sequence_numbers(sequences) })
}

/// A picture loss indication, or a full intra request with a number.
#[must_use]
pub fn key_frame_request(sender_ssrc: u32, media_ssrc: u32, fir: Option<u8>) -> RtcpPacket {
    match fir {
        None => Box::new(PictureLossIndication { sender_ssrc, media_ssrc }),
        Some(sequence_number) => Box::new(FullIntraRequest {
            sender_ssrc,
            media_ssrc,
            fir: vec![FirEntry { ssrc: media_ssrc, sequence_number }],
        }),
    }
}

/// A receiver report.
#[must_use]
pub fn receiver_report(ssrc: u32, reports: Vec<ReceptionReport>) -> RtcpPacket {
    Box::new(ReceiverReport { ssrc, reports, profile_extensions: Bytes::new() })
}

/// A sender report.
#[must_use]
pub fn sender_report(source: &Source, now_ns: u64) -> RtcpPacket {
    let ntp_time = ((now_ns / 1_000_000_000) << 32) | ((now_ns % 1_000_000_000) * 4);
    Box::new(SenderReport {
        ssrc: source.plan.ssrc,
        ntp_time,
        rtp_time: source.sent.last().map_or(0, |sent| sent.timestamp),
        packet_count: u32::try_from(source.sent.len()).unwrap_or(u32::MAX),
        octet_count: 0,
        reports: Vec::new(),
        profile_extensions: Bytes::new(),
    })
}

/// Who we are (RFC 3550 section 6.5.1).
#[must_use]
pub fn description(source: u32) -> RtcpPacket {
    let items = vec![SourceDescriptionItem { sdes_type: SdesType::SdesCname, text: Bytes::from_static(b"peer") }];
    Box::new(SourceDescription { chunks: vec![SourceDescriptionChunk { source, items }] })
}

/// The packets one after another.
#[must_use]
pub fn compound(packets: &[RtcpPacket]) -> Bytes {
    rtcp::packet::marshal(packets).expect("RTCP of ours")
}

/// Checks one datagram of RTCP that the server sends to `peer`, and says what it asks for.
///
/// # Errors
/// Which rule it breaks.
pub fn check_rtcp(
    datagram: &[u8],
    peer: usize,
    now_ns: u64,
    sources: &mut [Source],
    consumers: &[Consumer],
) -> Result<Asked, Broken> {
    let packets = rtcp::packet::unmarshal(&mut &datagram[..]).map_err(|error| format!("malformed RTCP: {error}"))?;
    let mut asked = Asked::default();
    for packet in packets {
        let packet = packet.as_any();
        if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
            let source = own_source(sources, peer, nack.media_ssrc)?;
            check_nack(&mut sources[source], source, nack, &mut asked)?;
        } else if let Some(pli) = packet.downcast_ref::<PictureLossIndication>() {
            let source = own_source(sources, peer, pli.media_ssrc)?;
            check!(sources[source].plan.options.pli, "PLI to a source that does not know it");
            check_key_request(&mut sources[source], now_ns)?;
            asked.key_frames.push(source);
        } else if let Some(fir) = packet.downcast_ref::<FullIntraRequest>() {
            for entry in &fir.fir {
                let source = own_source(sources, peer, entry.ssrc)?;
                check!(sources[source].plan.options.fir, "FIR to a source that does not know it");
                check_key_request(&mut sources[source], now_ns)?;
                asked.key_frames.push(source);
            }
        } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
            check_reports(&report.reports, peer, sources)?;
        } else if let Some(report) = packet.downcast_ref::<SenderReport>() {
            check_reports(&report.reports, peer, sources)?;
            let consumer = own_consumer(consumers, peer, report.ssrc)?;
            check!(
                u64::from(report.packet_count) <= consumer.media_packets(),
                "SR says {} packets, {} have left",
                report.packet_count,
                consumer.media_packets()
            );
            check!(report.packet_count > 0, "SR before the first packet");
        } else if let Some(bye) = packet.downcast_ref::<Goodbye>() {
            for ssrc in &bye.sources {
                own_consumer(consumers, peer, *ssrc)?;
            }
        }
    }
    Ok(asked)
}

fn own_source(sources: &[Source], peer: usize, ssrc: u32) -> Result<usize, Broken> {
    sources
        .iter()
        .position(|source| source.peer == peer && source.plan.ssrc == ssrc && !source.closed)
        .ok_or_else(|| format!("feedback about SSRC {ssrc:#x}, which peer {peer} does not send"))
}

fn own_consumer(consumers: &[Consumer], peer: usize, ssrc: u32) -> Result<&Consumer, Broken> {
    consumers
        .iter()
        .find(|consumer| consumer.peer == peer && consumer.options.ssrc == ssrc)
        .ok_or_else(|| format!("report of SSRC {ssrc:#x}, which is not sent to peer {peer}"))
}

fn check_nack(source: &mut Source, at: usize, nack: &TransportLayerNack, asked: &mut Asked) -> Result<(), Broken> {
    check!(source.plan.options.nack, "NACK to a source that does not answer it");
    for sequence in nack.nacks.iter().flat_map(|pair| pair.packet_list()) {
        let Some(index) = source.index_of(sequence) else {
            return Err(format!("asked for {sequence}, from before the stream began"));
        };
        let Some(sent) = usize::try_from(index).ok().and_then(|index| source.sent.get_mut(index)) else {
            return Err(format!("asked for {sequence}, which has not been sent"));
        };
        check!(sent.arrived.is_none(), "asked for packet {index}, which has arrived");
        sent.asked += 1;
        check!(sent.asked <= u32::from(MAX_NACK_TRIES), "asked {} times for packet {index}", sent.asked);
        asked.again.push((at, index));
    }
    Ok(())
}

fn check_key_request(source: &mut Source, now_ns: u64) -> Result<(), Broken> {
    check!(source.plan.is_video(), "asked for a key frame of sound");
    let answered = std::mem::take(&mut source.key_arrived);
    if let Some(last) = source.key_asked_ns.replace(now_ns) {
        let since = now_ns - last;
        let least = if answered { KEY_FRAME_INTERVAL } else { KEY_FRAME_RETRY };
        let millis = since / 1_000_000;
        check!(u128::from(since) >= least.as_nanos(), "asked for two key frames within {millis} ms");
    }
    Ok(())
}

fn check_reports(reports: &[ReceptionReport], peer: usize, sources: &[Source]) -> Result<(), Broken> {
    for report in reports {
        let ours = |source: &&Source| {
            let rtx = source.plan.rtx.is_some_and(|(ssrc, _)| ssrc == report.ssrc);
            source.peer == peer && (source.plan.ssrc == report.ssrc || rtx)
        };
        let Some(source) = sources.iter().find(ours) else {
            return Err(format!("report about SSRC {:#x}, which peer {peer} does not send", report.ssrc));
        };
        let sent = source.sent.len();
        check!(
            report.total_lost & 0x80_0000 != 0 || report.total_lost as usize <= sent,
            "report of {} lost of {sent}",
            report.total_lost
        );
    }
    Ok(())
}
