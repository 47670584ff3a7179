//! RTP out: one packet of history, as one receiver gets it, into the outbox.

use corecast_wire::Discard;

use crate::codec::{self, Change, Limits, MAX_DESCRIPTOR_BYTES, red};
use crate::consumer::{Consumer, ExtensionPlan, Numbered, Passed, Stamp};
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
    pub(super) redundancy: Redundancy,
}

/// Redundant audio data that history has made of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    /// The receiver's payload type of it.
    pub(super) payload_type: u8,
    /// Bytes of its payload.
    pub(super) len: u16,
}

/// What becomes of redundant audio data (RFC 2198).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redundancy {
    /// The packet has none.
    None,
    /// It leaves, under the receiver's payload type of its blocks instead of the router's.
    Renamed { router: u8, receiver: u8 },
    /// The receiver has no redundancy: so many bytes before the primary block do not leave.
    LeftOut(u16),
    /// The packet has none, and leaves with what those before it had: so many bytes, which history has made.
    Made(u16),
}

impl<'a> Outgoing<'a> {
    /// A packet as a consumer sends it, the first time and, so that it stays the same to the byte, every time: the
    /// stamp is written by those consumers alone that never repeat a packet.
    #[inline]
    pub(crate) fn of(
        consumer: &'a Consumer,
        stamp: Stamp,
        (history, slot, packet): (&History, u32, &PacketMeta),
        numbered: Numbered,
    ) -> Self {
        let known = consumer.payload_type(packet.payload_type);
        let (payload_type, redundancy) = match packet.blocks {
            0 => (known.unwrap_or(packet.payload_type), Redundancy::None),
            blocks => redundancy(consumer, known, history.sealable(slot, false), blocks),
        };
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
            redundancy,
        }
    }

    /// The packet leaves as what was made of it.
    pub(super) fn redundant(self, made: Made) -> Self {
        Self { payload_type: made.payload_type, redundancy: Redundancy::Made(made.len), ..self }
    }

    /// Bytes of payload that leave of a packet.
    pub(super) fn payload_len(&self, packet: &PacketMeta) -> u32 {
        match self.redundancy {
            Redundancy::Made(len) => len.into(),
            Redundancy::LeftOut(bytes) => packet.payload_len.saturating_sub(bytes).into(),
            Redundancy::None | Redundancy::Renamed { .. } => packet.payload_len.into(),
        }
    }

    /// Bytes of the payload that do not leave.
    pub(crate) fn left_out(&self) -> usize {
        match self.redundancy {
            Redundancy::LeftOut(bytes) => bytes.into(),
            _ => 0,
        }
    }
}

/// The payload type of a packet of redundant audio data, and what becomes of that. A receiver that does not know it is
/// sent the primary block alone, which it knows: others are withheld by their filter.
#[cold]
fn redundancy(consumer: &Consumer, known: Option<u8>, payload: &[u8], blocks: u8) -> (u8, Redundancy) {
    let router = red::carried(payload).unwrap_or_default();
    let receiver = consumer.payload_type(router).unwrap_or(router);
    match known {
        Some(payload_type) => (payload_type, Redundancy::Renamed { router, receiver }),
        None => {
            let left_out = u16::try_from(red::primary_at(payload, blocks)).unwrap_or(u16::MAX);
            (receiver, Redundancy::LeftOut(left_out))
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
    if outgoing.redundancy != Redundancy::None {
        return seal_redundant(history, slot, exit, outgoing, outbox);
    }
    match outgoing.change.limits() {
        None => seal_changed(history, slot, exit, (outgoing, None), outbox),
        Some(limits) => seal_limited(history, slot, exit, (outgoing, limits), outbox),
    }
}

/// The same for a receiver of some layers, to whom the packet's dependency descriptor says what these are.
fn seal_limited(
    history: &mut History,
    slot: u32,
    exit: &mut Exit<'_>,
    (outgoing, limits): (&Outgoing<'_>, Limits),
    outbox: &mut Outbox,
) -> Result<(), Unsealed> {
    let (meta, mut room) = (history.meta(slot), [0; MAX_DESCRIPTOR_BYTES]);
    let block = history.extra(slot).get(usize::from(meta.csrc_count) * 4..).unwrap_or_default();
    let descriptor = outgoing.extensions.descriptor(meta.extension_ids, block);
    let len = descriptor.and_then(|descriptor| codec::limited(descriptor, history.note(slot), limits, &mut room));
    seal_changed(history, slot, exit, (outgoing, len.and_then(|len| room.get(..len))), outbox)
}

/// The same, with another dependency descriptor if there is one.
#[inline]
fn seal_changed(
    history: &mut History,
    slot: u32,
    exit: &mut Exit<'_>,
    (outgoing, descriptor): (&Outgoing<'_>, Option<&[u8]>),
    outbox: &mut Outbox,
) -> Result<(), Unsealed> {
    let change = outgoing.change;
    if !change.alters_payload() {
        return seal_as_it_is(history, slot, exit, (outgoing, descriptor), outbox);
    }
    history.change(slot, change);
    let result = seal_as_it_is(history, slot, exit, (outgoing, descriptor), outbox);
    history.change(slot, change.inverse());
    result
}

/// The same for a packet of redundant audio data, which is in history as the router has it, before and after.
#[cold]
fn seal_redundant(
    history: &mut History,
    slot: u32,
    exit: &mut Exit<'_>,
    outgoing: &Outgoing<'_>,
    outbox: &mut Outbox,
) -> Result<(), Unsealed> {
    match outgoing.redundancy {
        Redundancy::None | Redundancy::Made(_) => seal_as_it_is(history, slot, exit, (outgoing, None), outbox),
        Redundancy::Renamed { router, receiver } => {
            history.rename_blocks(slot, receiver);
            let result = seal_as_it_is(history, slot, exit, (outgoing, None), outbox);
            history.rename_blocks(slot, router);
            result
        }
        Redundancy::LeftOut(bytes) => {
            // An original sequence number is written over the end of what is left out.
            let kept = history.write_headroom(slot, bytes.into(), [0; 2]);
            let result = seal_as_it_is(history, slot, exit, (outgoing, None), outbox);
            history.write_headroom(slot, bytes.into(), kept);
            result
        }
    }
}

#[inline]
fn seal_as_it_is(
    history: &mut History,
    slot: u32,
    exit: &mut Exit<'_>,
    (outgoing, descriptor): (&Outgoing<'_>, Option<&[u8]>),
    outbox: &mut Outbox,
) -> Result<(), Unsealed> {
    let (meta, sealer) = (history.meta(slot), exit.sealer());
    #[expect(clippy::cast_possible_truncation, reason = "RTP carries the lower 16 bits")]
    let header = Header {
        payload_type: outgoing.payload_type,
        marker: meta.marker || outgoing.change.marks(meta.frame),
        padding: meta.pad() > 0 && !matches!(outgoing.redundancy, Redundancy::Made(_)),
        sequence: outgoing.index as u16,
        timestamp: meta.timestamp.wrapping_add(outgoing.timestamp_offset),
        ssrc: outgoing.ssrc,
    };
    if let Some(original) = outgoing.original {
        history.write_headroom(slot, outgoing.left_out(), original.to_be_bytes());
    }
    let extra = history.extra(slot);
    let Some((csrcs, block)) = extra.split_at_checked(usize::from(meta.csrc_count) * 4) else {
        return Err(Unsealed::Discarded(Discard::SealFailed));
    };
    let passed = Passed { ids: meta.extension_ids, block, descriptor };
    let block_len = outgoing.extensions.block_len(passed);
    let payload = match outgoing.redundancy {
        Redundancy::Made(len) => history.made(len),
        _ => history.sealable(slot, outgoing.original.is_some()).get(outgoing.left_out()..).unwrap_or_default(),
    };
    let header_len = FIXED_HEADER_BYTES + csrcs.len() + block_len;
    // Plain RTP leaves its payload in history, but for an original sequence number, unless it is changed or copied.
    let is_redundant = outgoing.redundancy != Redundancy::None;
    let is_copied = outgoing.is_copied || outgoing.change.alters_payload() || is_redundant;
    let stays = if is_copied { 0 } else { usize::from(meta.payload_len) + usize::from(meta.pad()) };
    let copied = payload.len() - stays;
    let len = header_len + sealer.map_or(copied, |sealer| payload.len() + sealer.rtp_overhead());
    let room = outbox.reserve(len).ok_or(Unsealed::Full)?;
    let written = begin_header(room, &header, csrcs, block_len)
        .and_then(|room| outgoing.extensions.write(passed, outgoing.stamp, room));
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
