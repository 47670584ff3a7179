//! RTP out: one packet of history, as one receiver gets it, into the outbox.

use corecast_wire::Discard;

use crate::codec::Change;
use crate::consumer::{Consumer, ExtensionPlan, Numbered, Stamp};
use crate::io::Outbox;
use crate::media::{History, PacketMeta};
use crate::rtp::{FIXED_HEADER_BYTES, Header, begin_header};
use crate::transport::Exit;

/// What is different for this receiver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) ssrc: u32,
    pub(crate) payload_type: u8,
    /// Sequence number with its rollover count: the SRTP index.
    pub(crate) index: u64,
    /// Added to the packet's timestamp.
    pub(crate) timestamp_offset: u32,
    /// What is changed in the packet.
    pub(crate) change: Change,
    pub(crate) extensions: &'a ExtensionPlan,
    pub(crate) stamp: Stamp,
    /// Original sequence number, for a packet of an RTX stream (RFC 4588 section 4).
    pub(crate) original: Option<u16>,
    /// The payload of plain RTP is copied: other packets may come, and change history, before this one is sent.
    pub(crate) is_copied: bool,
}

impl<'a> Outgoing<'a> {
    /// A packet as a consumer sends it, the first time and, so that it stays the same to the byte, every time: the
    /// stamp is written by those consumers alone that never repeat a packet.
    #[inline]
    pub(crate) fn of(consumer: &'a Consumer, stamp: Stamp, packet: &PacketMeta, numbered: Numbered) -> Self {
        let payload_type = consumer.payload_type(packet.payload_type).unwrap_or(packet.payload_type);
        Self {
            ssrc: consumer.ssrc(),
            payload_type,
            index: numbered.index,
            timestamp_offset: numbered.timestamp_offset,
            change: numbered.change.of(packet.frame),
            extensions: consumer.extensions(),
            stamp,
            original: None,
            is_copied: false,
        }
    }
}

/// Why a packet did not get into the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsealed {
    /// No room: try again when it has been sent.
    Full,
    /// Never.
    Discarded(Discard),
}

/// Writes a header of the consumer's and seals the payload from history straight into the outbox; for plain RTP, only
/// names it.
///
/// A payload that this receiver gets changed is changed in history while it is sealed, and then back again; plain RTP,
/// which is read from history later, gets a copy.
#[inline]
pub(crate) fn seal(
    history: &mut History,
    slot: u32,
    exit: &mut Exit<'_>,
    outgoing: &Outgoing<'_>,
    outbox: &mut Outbox,
) -> Result<(), Unsealed> {
    let change = outgoing.change;
    if !change.alters_payload() {
        return seal_as_it_is(history, slot, exit, outgoing, outbox);
    }
    history.change(slot, change);
    let result = seal_as_it_is(history, slot, exit, outgoing, outbox);
    history.change(slot, change.inverse());
    result
}

#[inline]
fn seal_as_it_is(
    history: &mut History,
    slot: u32,
    exit: &mut Exit<'_>,
    outgoing: &Outgoing<'_>,
    outbox: &mut Outbox,
) -> Result<(), Unsealed> {
    let (meta, sealer) = (history.meta(slot), exit.sealer());
    #[expect(clippy::cast_possible_truncation, reason = "RTP carries the lower 16 bits")]
    let header = Header {
        payload_type: outgoing.payload_type,
        marker: meta.marker || outgoing.change.marks(),
        padding: meta.pad > 0,
        sequence: outgoing.index as u16,
        timestamp: meta.timestamp.wrapping_add(outgoing.timestamp_offset),
        ssrc: outgoing.ssrc,
    };
    if let Some(original) = outgoing.original {
        history.write_headroom(slot, original);
    }
    let extra = history.extra(slot);
    let Some((csrcs, block)) = extra.split_at_checked(usize::from(meta.csrc_count) * 4) else {
        return Err(Unsealed::Discarded(Discard::SealFailed));
    };
    let block_len = outgoing.extensions.block_len(meta.extension_ids, block);
    let payload = history.sealable(slot, outgoing.original.is_some());
    let header_len = FIXED_HEADER_BYTES + csrcs.len() + block_len;
    // Plain RTP leaves its payload in history, but for an original sequence number, unless it is changed or copied.
    let is_copied = outgoing.is_copied || outgoing.change.alters_payload();
    let stays = if is_copied { 0 } else { usize::from(meta.payload_len) + usize::from(meta.pad) };
    let copied = payload.len() - stays;
    let len = header_len + sealer.map_or(copied, |sealer| payload.len() + sealer.rtp_overhead());
    let room = outbox.reserve(len).ok_or(Unsealed::Full)?;
    let written = begin_header(room, &header, csrcs, block_len)
        .and_then(|room| outgoing.extensions.write(meta.extension_ids, block, outgoing.stamp, room));
    written.ok_or(Unsealed::Discarded(Discard::SealFailed))?;
    let Some(sealer) = sealer else {
        let (copied, rest) = payload.split_at(copied);
        if !copied.is_empty() {
            room.get_mut(header_len..).unwrap_or_default().copy_from_slice(copied);
        }
        let payload = Some((history.reference(slot), rest.len())).filter(|_| !rest.is_empty());
        exit.push(outbox, len, payload);
        return Ok(());
    };
    sealer
        .seal_rtp(outgoing.ssrc, outgoing.index, room, header_len, payload)
        .map_err(|error| Unsealed::Discarded(error.discard()))?;
    exit.push(outbox, len, None);
    Ok(())
}
