//! One stream that a producer's sender sends: its sequence numbers, its history, what it misses, its reception
//! statistics (RFC 3550 appendix A.3, A.8).

use std::ops::Range;

use corecast_wire::{Discard, EncodingMapping, MediaKind};

use super::history::{History, PacketMeta, SlotRef};
use super::key_frame::KeyFrameRequests;
use super::layers::Activity;
use super::missing::{MissingList, TooMany};
use super::reception::Reception;
use super::sequence::Sequence;
use crate::key::{ConsumerKey, ProducerKey, TransportKey};
use crate::limits::{AUDIO_HISTORY_PACKETS, REPLAY_AGE, REPLAY_PACKETS, VIDEO_HISTORY_PACKETS};
use crate::srtp::ReplayWindow;
use crate::time::Instant;

const NO_SLOT: u32 = u32::MAX;

/// A stream. Owns its part of history.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) producer: ProducerKey,
    pub(crate) ssrc: Option<u32>,
    pub(crate) rtx_ssrc: Option<u32>,
    /// Restriction identifier (RFC 8852), if it has one.
    pub(crate) rid: Option<String>,
    /// Plain RTP only.
    pub(crate) sequence: Sequence,
    /// SRTP only: indexes of the media SSRC, and of the RTX SSRC.
    pub(crate) window: ReplayWindow,
    pub(crate) rtx_window: ReplayWindow,
    ring: Box<[u32]>,
    /// Packets that came with the current batch, and those that are being forwarded.
    pub(crate) fresh: Vec<SlotRef>,
    pub(crate) round: Vec<SlotRef>,
    pub(crate) missing: MissingList,
    pub(crate) nack_due: Option<Instant>,
    pub(crate) key_frames: KeyFrameRequests,
    pub(crate) key_frame_due: Option<Instant>,
    /// Where the newest key frame begins.
    key_frame: Option<KeyFrame>,
    pub(crate) fir_sequence: u8,
    pub(crate) reception: Reception,
    /// Consumers that take it, now or from its next key frame on, and their transports: what the fan-out walks. Some
    /// may have left it for another stream of the producer a moment ago; none is listed twice.
    pub(crate) subscribers: Vec<(ConsumerKey, TransportKey)>,
    /// Only of one among several.
    pub(crate) activity: Option<Activity>,
    /// A consumer has switched to it since the last tick.
    pub(crate) switched: bool,
    /// Width and height of its newest key frame, if its codec shows them.
    pub(crate) picture: Option<(u16, u16)>,
    /// Its source has left (BYE) and not come back.
    pub(crate) has_ended: bool,
    /// Highest sequence number taken in.
    highest: Option<u64>,
}

/// First packet of a key frame.
#[derive(Clone, Copy, Debug)]
struct KeyFrame {
    sequence: u64,
    timestamp: u32,
    arrived: Instant,
}

/// A packet's place among the others of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    /// It had been asked for.
    pub(crate) repaired: bool,
    /// The gap before it is too wide to ask for.
    pub(crate) too_many_missing: bool,
}

impl Stream {
    pub(crate) fn new(producer: ProducerKey, kind: MediaKind, encoding: &EncodingMapping) -> Self {
        let packets = match kind {
            MediaKind::Audio => AUDIO_HISTORY_PACKETS,
            MediaKind::Video => VIDEO_HISTORY_PACKETS,
        };
        Self {
            producer,
            ssrc: encoding.ssrc,
            rtx_ssrc: encoding.rtx_ssrc,
            rid: encoding.rid.clone(),
            sequence: Sequence::default(),
            window: ReplayWindow::default(),
            rtx_window: ReplayWindow::default(),
            ring: vec![NO_SLOT; packets].into_boxed_slice(),
            fresh: Vec::with_capacity(packets),
            round: Vec::with_capacity(packets),
            missing: MissingList::default(),
            nack_due: None,
            key_frames: KeyFrameRequests::default(),
            key_frame_due: None,
            key_frame: None,
            fir_sequence: 0,
            reception: Reception::default(),
            subscribers: Vec::new(),
            activity: None,
            switched: false,
            picture: None,
            has_ended: false,
            highest: None,
        }
    }

    /// Packets by which one may be behind the newest and still be taken in.
    pub(crate) const fn history_packets(&self) -> u64 {
        self.ring.len() as u64
    }

    pub(crate) const fn highest(&self) -> Option<u64> {
        self.highest
    }

    fn position(&self, sequence: u64) -> usize {
        (sequence & (self.history_packets() - 1)) as usize
    }

    /// The slot that holds packet `sequence`.
    pub(crate) fn slot(&self, history: &History, sequence: u64) -> Option<u32> {
        let index = *self.ring.get(self.position(sequence))?;
        (index != NO_SLOT && history.meta(index).sequence == sequence).then_some(index)
    }

    /// Whether a packet may join: not held already, and not older than history reaches. What is refused here once is
    /// refused for ever, so that no consumer seals two payloads under one index.
    pub(crate) fn admit(&self, history: &History, sequence: u64) -> Result<(), Discard> {
        if self.highest.is_some_and(|highest| sequence + self.history_packets() <= highest) {
            return Err(Discard::TooOld);
        }
        if self.slot(history, sequence).is_some() {
            return Err(Discard::Replayed);
        }
        Ok(())
    }

    /// Takes slot `index`, written and admitted, into history. Returns its place and the slot that it displaced.
    pub(crate) fn insert(&mut self, history: &mut History, index: u32, meta: PacketMeta) -> (Placed, Option<u32>) {
        let sequence = meta.sequence;
        if let Some(held) = history.meta_mut(index) {
            *held = meta;
        }
        let mut placed = Placed { repaired: false, too_many_missing: false };
        match self.highest {
            Some(highest) if sequence > highest => {
                placed.too_many_missing = self.missing.skipped(highest + 1, sequence) == Err(TooMany);
            }
            Some(_) => placed.repaired = self.missing.found(sequence),
            None => {}
        }
        self.highest = Some(self.highest.map_or(sequence, |highest| highest.max(sequence)));
        let position = self.position(sequence);
        let displaced = self.ring.get_mut(position).map(|held| std::mem::replace(held, index));
        self.fresh.push(history.reference(index));
        (placed, displaced.filter(|index| *index != NO_SLOT))
    }

    /// A packet that starts a key frame. Several may, of one frame: the first counts.
    pub(crate) fn record_key_frame(&mut self, meta: &PacketMeta) {
        let PacketMeta { sequence, timestamp, arrived, .. } = *meta;
        let is_first = self.key_frame.is_none_or(|known| match known.timestamp == timestamp {
            true => sequence < known.sequence,
            false => sequence > known.sequence,
        });
        if is_first {
            self.key_frame = Some(KeyFrame { sequence, timestamp, arrived });
        }
    }

    /// Nobody may begin with what came so far.
    pub(crate) const fn forget_key_frame(&mut self) {
        self.key_frame = None;
    }

    /// The packets since the newest key frame, if it came so lately that a receiver may begin with it instead of
    /// waiting for the next one.
    pub(crate) fn since_key_frame(&self, now: Instant, history: &History) -> Option<Range<u64>> {
        let KeyFrame { sequence, arrived, .. } = self.key_frame?;
        let end = self.highest? + 1;
        let is_held = self.slot(history, sequence).is_some_and(|index| history.meta(index).settled);
        let is_near = now.since(arrived) <= REPLAY_AGE && end.saturating_sub(sequence) <= REPLAY_PACKETS;
        (is_held && is_near).then_some(sequence..end)
    }

    /// Packet `sequence`, if its round is over: no round is going to send it any more.
    pub(crate) fn past(&self, history: &History, sequence: u64) -> Option<SlotRef> {
        let index = self.slot(history, sequence).filter(|index| history.meta(*index).settled)?;
        Some(history.reference(index)).filter(|slot| !self.round.contains(slot))
    }

    /// The sender has started anew: what came before is not missing.
    pub(crate) fn restart(&mut self, sequence: u64) {
        self.missing.clear();
        self.forget_key_frame();
        self.highest = Some(sequence.saturating_sub(1));
        self.reception.restart();
    }

    /// Gives every slot back.
    pub(crate) fn release(&mut self, history: &mut History) {
        for index in self.ring.iter_mut().filter(|index| **index != NO_SLOT) {
            history.release(*index);
            *index = NO_SLOT;
        }
    }
}
