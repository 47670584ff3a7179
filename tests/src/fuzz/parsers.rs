//! Targets for what reads bytes on its own: RTP, RTCP, frames of the link. Beyond "no panic", what was read and written
//! again reads the same.

use corecast_core::rtcp::{self, Packet};
use corecast_core::rtp::{Header, RtpView, padding_len, split_rtx, write_extension_block, write_header};
use corecast_wire::{FrameDecoder, encode};

/// An RTP packet: parsed, walked through, written again.
pub fn rtp(data: &[u8]) {
    let Ok(view) = RtpView::parse(data) else { return };
    let extensions: Vec<_> = view.extensions().collect();
    assert!(extensions.iter().map(|(_, data)| data.len()).sum::<usize>() <= data.len());
    if view.has_padding()
        && let Ok(padding) = padding_len(view.body())
    {
        assert!((1..=view.body().len()).contains(&padding));
    }
    if let Some((_, payload)) = split_rtx(view.body()) {
        assert_eq!(payload.len() + 2, view.body().len());
    }
    let header = Header {
        payload_type: view.payload_type(),
        marker: view.marker(),
        padding: view.has_padding(),
        sequence: view.sequence(),
        timestamp: view.timestamp(),
        ssrc: view.ssrc(),
    };
    let mut out = vec![0; data.len()];
    let len = write_header(&mut out, &header, view.csrcs(), view.extension_block()).expect("as long as it was");
    assert_eq!(out[..len], data[..view.header().len()]);
    let mut block = vec![0; data.len()];
    let kept = view.extensions().filter(|(id, _)| *id <= 15 && 0x5554 >> id & 1 == 1);
    let block_len = write_extension_block(&mut block, kept.clone());
    let len = write_header(&mut out, &header, view.csrcs(), &block[..block_len]).expect("no longer than before");
    let again = RtpView::parse(&out[..len]).expect("what was written is well-formed");
    assert!(again.extensions().eq(kept), "{extensions:?}");
}

/// An RTCP compound: parsed, every iterator walked to its end.
pub fn rtcp(data: &[u8]) {
    let Ok(packets) = rtcp::parse(data) else { return };
    let mut walked = 0;
    for packet in packets {
        walked += match packet {
            Packet::SenderReport { reports, .. } | Packet::ReceiverReport { reports, .. } => reports.count(),
            Packet::Sdes(sdes) => sdes.map(|chunk| chunk.items.count()).sum(),
            Packet::Bye { ssrcs, reason } => ssrcs.count() + reason.len(),
            Packet::Nack(nack) => nack.lost().count() / 17,
            Packet::Fir { entries, .. } => entries.count(),
            Packet::Remb { ssrcs, .. } => ssrcs.count(),
            Packet::TransportCc(feedback) => feedback.statuses().count() / (8 * 1_024),
            Packet::Xr(xr) => xr.blocks().count(),
            Packet::Pli { .. } | Packet::Other { .. } => 0,
        };
    }
    assert!(walked <= data.len(), "more entries than bytes");
}

/// Frames of the link, cut anywhere: what can be read can be written, and reads the same.
pub fn frames(data: &[u8]) {
    let (cut, stream) = data.split_first().map_or((0, data), |(cut, stream)| (usize::from(*cut), stream));
    let (first, second) = stream.split_at(cut.min(stream.len()));
    let mut decoder = FrameDecoder::default();
    for part in [first, second] {
        decoder.push(part);
        while let Ok(Some(frame)) = decoder.next_frame() {
            let mut bytes = Vec::new();
            encode(&frame, &mut bytes).expect("a frame that was read is short enough");
            let mut again = FrameDecoder::default();
            again.push(&bytes);
            assert_eq!(again.next_frame().expect("it was written by us"), Some(frame));
        }
    }
}
