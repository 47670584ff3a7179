//! Targets for what reads bytes on its own: RTP, RTCP, STUN, frames of the link. Beyond "no panic", what was read and
//! written again reads the same.

use corecast_core::limits::{MAX_STUN_ANSWER_BYTES, MAX_STUN_BYTES};
use corecast_core::rtcp::{self, Packet};
use corecast_core::rtp::{Header, RtpView, padding_len, split_rtx, write_extension_block, write_header};
use corecast_core::stun::{self, Class, ErrorCode, Password, Writer, attribute};
use corecast_wire::{FrameDecoder, VideoLayers, encode};

/// An RTP packet: parsed, walked through, written again.
pub fn rtp(data: &[u8]) {
    let Ok(view) = RtpView::parse(data) else { return };
    let extensions: Vec<_> = view.extensions().collect();
    assert!(extensions.iter().map(|(_, data)| data.len()).sum::<usize>() <= data.len());
    for VideoLayers { own, count, targets } in extensions.iter().filter_map(|(_, data)| VideoLayers::parse(data)) {
        assert!(own < count && targets.iter().skip(count.into()).all(Option::is_none));
    }
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
            Packet::Ccfb(feedback) => feedback.streams().map(|stream| stream.len()).sum(),
            Packet::Xr(xr) => xr.blocks().count(),
            Packet::Pli { .. } | Packet::Other { .. } => 0,
        };
    }
    assert!(walked <= data.len(), "more entries than bytes");
}

/// A STUN message, read as it is. Then the input as a list of attributes (type, length, value) in a message that is
/// signed and has a fingerprint, so that what stands behind both is reached.
pub fn stun(data: &[u8]) {
    let password = Password::new("aVeryLongPasswordForIce");
    stun_message(data, &password);
    let mut out = [0; MAX_STUN_BYTES];
    let mut writer = Writer::request(&mut out, b"transaction!").expect("there is room");
    let mut rest = data;
    while let Some((&[high, low, len], tail)) = rest.split_first_chunk() {
        let (value, tail) = tail.split_at(usize::from(len).min(tail.len()));
        rest = tail;
        let kind = u16::from_be_bytes([high, low]);
        if writer.len() + 4 + value.len() > MAX_STUN_BYTES - 40 || kind == attribute::FINGERPRINT {
            break;
        }
        writer.push(kind, value).expect("there is room");
    }
    writer.push_integrity(&password).expect("there is room");
    writer.push_fingerprint().expect("there is room");
    let len = writer.len();
    // An attribute may have a wrong length, or the input a (wrong) integrity of its own, which is then the first.
    let well_formed = stun::parse(&out[..len]).is_ok();
    let believed = stun_message(&out[..len], &password);
    assert!(believed || !well_formed || data.windows(2).any(|kind| kind == [0, 8]), "not believed");
}

/// Whether the message is well-formed and authentic. Answers to it are well-formed and authentic.
fn stun_message(data: &[u8], password: &Password) -> bool {
    let Ok(message) = stun::parse(data) else { return false };
    assert!(message.username().is_none_or(|username| username.len() < 509));
    assert!(
        message
            .fragments()
            .is_none_or(|(ours, theirs)| message.username() == Some(format!("{ours}:{theirs}").as_bytes()))
    );
    let from = ([192, 0, 2, 1], 3_478).into();
    let errors = [None, Some(ErrorCode::BadRequest), Some(ErrorCode::UnknownAttribute), Some(ErrorCode::RoleConflict)];
    for error in errors {
        let mut out = [0; MAX_STUN_ANSWER_BYTES];
        let len = match error {
            None => stun::write_success(&mut out, &message, from, password),
            Some(error) => stun::write_error(&mut out, &message, error, password),
        };
        let answer = stun::parse(&out[..len.expect("an answer fits")]).expect("what we wrote is well-formed");
        assert!(answer.verify(password) && answer.has_fingerprint());
        assert_eq!((answer.method(), answer.transaction()), (message.method(), message.transaction()));
        assert_eq!(answer.class(), if error.is_none() { Class::Success } else { Class::Error });
    }
    message.verify(password)
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
