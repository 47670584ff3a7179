//! What a consumer withholds of the stream that it is sent, and where that changes.

use super::{Consumer, Next};
use crate::key::StreamKey;
use crate::media::{Column, Filter, History, PacketMeta, SlotRef, Stream};

impl Consumer {
    /// A packet without payload has come on the stream that is forwarded. It is not sent on, so numbers must count it.
    pub(crate) fn count_empty(&mut self) {
        if self.next == Next::Packet && self.numbering.column() == Column::NONE {
            self.next = Next::Count;
        }
    }

    /// From this packet on numbers count what has no payload.
    pub(super) fn begin_counting(&mut self, stream: &mut Stream, history: &History, packet: &PacketMeta) {
        self.next = Next::Packet;
        let column = stream.column(history, &self.filter);
        if let Ok(count) = stream.withheld_mut().pass(column, &self.filter, packet) {
            self.numbering.begin_column(column, (packet.sequence, count), stream.withheld());
        }
    }

    /// The receiver enters or leaves layers with a packet, if its frame allows that.
    pub(super) fn change_filter(
        &mut self,
        (key, stream): (StreamKey, &mut Stream),
        history: &History,
        packet: &PacketMeta,
    ) {
        let Filter { spatial, temporal, .. } = self.filter;
        let entered_spatial = packet.frame.entered_spatial(spatial, self.spatial);
        let entered_temporal = packet.frame.entered_temporal(temporal, self.wanted_temporal());
        let filter = Filter {
            spatial: entered_spatial.unwrap_or(spatial),
            temporal: entered_temporal.unwrap_or(temporal),
            ..self.filter
        };
        if filter == self.filter {
            return;
        }
        if self.numbering.newest_in(key, stream.withheld()).is_some_and(|newest| packet.sequence <= newest) {
            return;
        }
        // A key frame is worth asking for what came before it.
        if !packet.frame.is_key() && self.has_withheld_behind(&filter, stream, history, packet) {
            return;
        }
        let column = stream.column(history, &filter);
        let Ok(count) = stream.withheld_mut().pass(column, &filter, packet) else { return };
        self.numbering.begin_filter(stream.withheld(), (column, filter.layers()), (packet.sequence, count));
        self.filter = filter;
        self.next = Next::Packet;
        self.follow_layers();
        self.on_account &= self.awaits_layer();
    }

    /// A packet is late, and this filter would have let through what was withheld behind it: the frames that follow may
    /// need that.
    fn has_withheld_behind(&self, filter: &Filter, stream: &Stream, history: &History, packet: &PacketMeta) -> bool {
        if self.replaying {
            return false;
        }
        let is_own = |slot: &SlotRef| history.current(*slot).is_some_and(|meta| meta.sequence == packet.sequence);
        let place = stream.round().iter().position(is_own).unwrap_or(0);
        let is_to_come = |index| stream.round().iter().skip(place).any(|slot| *slot == history.reference(index));
        let is_new = |other: &PacketMeta| filter.withholds(other).is_none() && self.filter.withholds(other).is_some();
        let behind = packet.sequence + 1..=stream.highest().unwrap_or(0);
        let mut behind = behind.filter_map(|sequence| stream.slot(history, sequence));
        behind.any(|index| is_new(&history.meta(index)) && !is_to_come(index))
    }
}
