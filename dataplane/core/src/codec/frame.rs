//! What one RTP packet says about its frame, in words that all codecs share.

/// A packet's part in its frame, and that frame's part in the stream. Made once, when the packet comes. What the codec
/// does not say is not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Spatial layer in the upper four bits, temporal layer in the lower ones.
    layers: u8,
    flags: u8,
}

/// First packet of a key frame.
const KEY: u8 = 1 << 0;
/// First packet of a frame.
const BEGINS: u8 = 1 << 1;
/// Last packet of a frame.
const ENDS: u8 = 1 << 2;
/// The frame needs no other frame of its layer: a receiver of the layers below may enter this layer here.
const ENTERS: u8 = 1 << 3;
/// No later frame of a higher temporal layer needs what came before: a receiver of this layer may enter those here.
const OPENS: u8 = 1 << 4;
/// No other frame needs this frame.
const DISCARDABLE: u8 = 1 << 5;
/// Its payload has numbers of pictures that a rewrite changes.
const NUMBERED: u8 = 1 << 6;
/// No frame: the packet has no payload, and probes the path or keeps it open.
const EMPTY: u8 = 1 << 7;

impl Frame {
    /// What a packet without payload says: no receiver gets it.
    pub const EMPTY: Self = Self { layers: 0, flags: EMPTY };

    /// A frame of these layers, of which three bits count.
    pub(super) const fn of_layers(spatial: u8, temporal: u8) -> Self {
        Self { layers: (spatial & 0x07) << 4 | temporal & 0x07, flags: 0 }
    }

    const fn with(self, flag: u8, is_set: bool) -> Self {
        Self { flags: if is_set { self.flags | flag } else { self.flags & !flag }, ..self }
    }

    pub(super) const fn key(self, is_set: bool) -> Self {
        self.with(KEY, is_set)
    }

    pub(super) const fn begins(self, is_set: bool) -> Self {
        self.with(BEGINS, is_set)
    }

    pub(super) const fn ends(self, is_set: bool) -> Self {
        self.with(ENDS, is_set)
    }

    pub(super) const fn enters(self, is_set: bool) -> Self {
        self.with(ENTERS, is_set)
    }

    pub(super) const fn opens(self, is_set: bool) -> Self {
        self.with(OPENS, is_set)
    }

    pub(super) const fn discardable(self, is_set: bool) -> Self {
        self.with(DISCARDABLE, is_set)
    }

    pub(super) const fn numbered(self, is_set: bool) -> Self {
        self.with(NUMBERED, is_set)
    }

    /// Spatial layer within its encoding.
    #[must_use]
    pub const fn spatial(self) -> u8 {
        self.layers >> 4
    }

    /// Temporal layer.
    #[must_use]
    pub const fn temporal(self) -> u8 {
        self.layers & 0x0f
    }

    /// Whether the packet starts a key frame of the lowest spatial layer: a receiver that has nothing can begin here.
    #[must_use]
    pub const fn is_key(self) -> bool {
        self.flags & KEY != 0
    }

    /// Whether it is the first packet of its frame.
    #[must_use]
    pub const fn is_first(self) -> bool {
        self.flags & BEGINS != 0
    }

    /// Whether it is the last packet of its frame.
    #[must_use]
    pub const fn is_last(self) -> bool {
        self.flags & ENDS != 0
    }

    /// Whether no other frame needs this one.
    #[must_use]
    pub const fn is_discardable(self) -> bool {
        self.flags & DISCARDABLE != 0
    }

    /// Whether the packet has no payload, and so no part in any frame.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.flags & EMPTY != 0
    }

    /// Whether its payload has numbers of pictures that a [`super::Rewrite`] changes.
    #[must_use]
    pub const fn is_numbered(self) -> bool {
        self.flags & NUMBERED != 0
    }

    /// The highest temporal layer, of those up to `wanted`, that a receiver of all up to `current` can decode from this
    /// packet on. Nothing if it must stay where it is.
    #[must_use]
    pub const fn entered_temporal(self, current: u8, wanted: u8) -> Option<u8> {
        let own = self.temporal();
        if !self.is_first() || own > wanted {
            return None;
        }
        if wanted < current {
            return Some(wanted);
        }
        let opens = self.is_key() || (self.flags & OPENS != 0 && own <= current);
        if opens && wanted > current {
            return Some(wanted);
        }
        // A frame of the layer above that needs nothing of that layer. One step at a time: what is above may need more.
        if self.flags & ENTERS != 0 && own == current.saturating_add(1) { Some(own) } else { None }
    }

    /// Whether a receiver of the spatial layers below can enter the frame's own with this packet.
    #[must_use]
    pub const fn enters_spatial(self) -> bool {
        self.is_first() && self.flags & ENTERS != 0
    }
}

const _: () = assert!(size_of::<Frame>() == 2, "history keeps one for each packet");

#[cfg(test)]
mod tests {
    use super::Frame;

    const fn first(temporal: u8) -> Frame {
        Frame::of_layers(0, temporal).begins(true)
    }

    #[test]
    fn layers_and_flags_do_not_mix() {
        let frame = Frame::of_layers(7, 5).key(true).ends(true).discardable(true).numbered(true).numbered(false);
        assert_eq!((frame.spatial(), frame.temporal()), (7, 5));
        assert_eq!(
            (frame.is_key(), frame.is_first(), frame.is_last(), frame.is_discardable(), frame.is_numbered()),
            (true, false, true, true, false)
        );
    }

    #[test]
    fn a_lower_layer_is_entered_with_its_next_frame() {
        assert_eq!(first(0).entered_temporal(2, 0), Some(0));
        assert_eq!(first(1).entered_temporal(2, 0), None, "is not of it");
        assert_eq!(Frame::of_layers(0, 0).entered_temporal(2, 0), None, "in the middle of a frame");
    }

    #[test]
    fn a_higher_layer_is_entered_where_it_needs_nothing_of_its_own() {
        assert_eq!(first(1).entered_temporal(0, 2), None);
        assert_eq!(first(1).enters(true).entered_temporal(0, 2), Some(1), "one layer");
        assert_eq!(first(2).enters(true).entered_temporal(0, 2), None, "the layer between is missing");
        assert_eq!(first(2).enters(true).entered_temporal(1, 2), Some(2));
        assert_eq!(first(2).enters(true).entered_temporal(0, 1), None, "is not wanted");
    }

    #[test]
    fn a_frame_may_open_all_layers_above() {
        assert_eq!(first(0).opens(true).entered_temporal(0, 2), Some(2));
        assert_eq!(first(1).opens(true).entered_temporal(0, 2), None, "for receivers of that frame only");
        assert_eq!(first(0).key(true).entered_temporal(0, 2), Some(2));
        assert_eq!(first(0).key(true).entered_temporal(2, 2), None, "is there already");
    }
}
