//! Redundant sound (RFC 2198) for receivers that lose much: a packet leaves with what those before it had, made of
//! history. What was left out of the receiver's numbers, or came before its segment, is in none.

use super::forward::Departure;
use super::seal::{Made, Unsealed};
use crate::codec::red;
use crate::consumer::{Consumer, MAX_MADE_BLOCKS, Numbered};
use crate::media::{SlotRef, Stream};

impl Departure<'_> {
    /// A packet of sound, with what those before it had if that is there; else as it is.
    #[cold]
    pub(super) fn seal_redundant(
        &mut self,
        consumer: &mut Consumer,
        stream: &Stream,
        slot: SlotRef,
        numbered: Numbered,
    ) -> Result<(), Unsealed> {
        let made = self.make(consumer, stream, slot, numbered);
        if made.is_some() {
            consumer.makes_redundant(numbered.index);
        }
        self.seal_as(consumer, slot, numbered, made)
    }

    fn make(&mut self, consumer: &Consumer, stream: &Stream, slot: SlotRef, numbered: Numbered) -> Option<Made> {
        let options = consumer.redundancy()?;
        let packet = self.history.current(slot)?;
        let carried = consumer.payload_type(options.router)?;
        if packet.blocks > 0 || packet.payload_type != options.router || packet.payload_len == 0 {
            return None;
        }
        // A number is never further from the segment's first than its packet is from the segment's first packet.
        let since = numbered.index.saturating_sub(consumer.first_out());
        let (mut earlier, mut count) = ([(0, 0); MAX_MADE_BLOCKS], 0);
        for back in (1..=u64::from(consumer.redundant_blocks())).rev().filter(|back| *back <= since) {
            let before = packet.sequence.checked_sub(back).and_then(|sequence| stream.slot(self.history, sequence));
            let Some(index) = before else { continue };
            let meta = self.history.meta(index);
            let age = packet.timestamp.wrapping_sub(meta.timestamp);
            let is_alike = meta.blocks == 0 && meta.payload_type == options.router;
            if is_alike
                && red::can_repeat(age, meta.payload_len.into())
                && let Some(place) = earlier.get_mut(count)
            {
                *place = (age, index);
                count += 1;
            }
        }
        // If all are too long, then the newest of them.
        (0..count).find_map(|oldest| {
            let blocks = earlier.get(oldest..count)?;
            let len = self.history.make_redundant(carried, blocks, slot.index)?;
            Some(Made { payload_type: options.receiver, len })
        })
    }
}
