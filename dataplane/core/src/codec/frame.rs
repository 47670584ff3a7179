//! What one RTP packet says about its frame, in words that all codecs share.

/// A packet's part in its frame, and that frame's part in the stream. Made once, when the packet comes. What the codec
/// does not say is not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Spatial layer in bits 4 to 6, temporal layer in bits 0 to 2; [`UNREFERENCED`] and [`COUNTS_PICTURES`] between.
    layers: u8,
    flags: u8,
}

/// No frame of a higher spatial layer needs this one.
const UNREFERENCED: u8 = 1 << 3;
/// Its numbers of pictures must be without holes.
const COUNTS_PICTURES: u8 = 1 << 7;

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
    pub(crate) const fn of_layers(spatial: u8, temporal: u8) -> Self {
        Self { layers: (spatial & 0x07) << 4 | temporal & 0x07, flags: 0 }
    }

    const fn with(self, flag: u8, is_set: bool) -> Self {
        Self { flags: if is_set { self.flags | flag } else { self.flags & !flag }, ..self }
    }

    /// No frame of a higher spatial layer needs it.
    pub(crate) const fn unreferenced(self, is_set: bool) -> Self {
        Self { layers: if is_set { self.layers | UNREFERENCED } else { self.layers }, ..self }
    }

    /// Its numbers of pictures must be without holes.
    pub(super) const fn counts_pictures(self) -> Self {
        Self { layers: self.layers | COUNTS_PICTURES, ..self }
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
        self.layers >> 4 & 0x07
    }

    /// Temporal layer.
    #[must_use]
    pub const fn temporal(self) -> u8 {
        self.layers & 0x07
    }

    /// Whether no frame of a higher spatial layer needs it: who gets such a layer does without it.
    #[must_use]
    pub const fn is_unreferenced(self) -> bool {
        self.layers & UNREFERENCED != 0
    }

    /// Whether it is of a codec whose numbers of pictures must be without holes.
    #[must_use]
    pub const fn has_counted_pictures(self) -> bool {
        self.layers & COUNTS_PICTURES != 0
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

    /// Whether its payload has numbers of pictures that a `Rewrite` changes.
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
        let begins_picture = self.spatial() == 0;
        if self.flags & ENTERS != 0 && begins_picture && own == current.saturating_add(1) { Some(own) } else { None }
    }

    /// The spatial layer, `wanted` or `current`, that a receiver of `current` gets from this packet on. A higher one
    /// is entered at a key frame, a lower one with the next picture if its frames have come before: where layers need
    /// each other at key frames only, they have not.
    #[must_use]
    pub const fn entered_spatial(self, current: u8, wanted: u8) -> Option<u8> {
        if !self.is_first() || wanted == current {
            return None;
        }
        let own = self.spatial();
        let had_all = if current == u8::MAX { own == wanted } else { own == 0 && !self.is_unreferenced() };
        let leaves = wanted < current && had_all;
        if self.is_key() || leaves { Some(wanted) } else { None }
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
        let frame = frame.unreferenced(true).counts_pictures();
        assert_eq!((frame.spatial(), frame.temporal()), (7, 5));
        assert!(frame.is_unreferenced() && frame.has_counted_pictures());
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
    fn a_spatial_layer_is_entered_at_a_key_frame_and_left_with_a_picture() {
        let upper = |spatial| Frame::of_layers(spatial, 0).begins(true);
        assert_eq!(first(0).key(true).entered_spatial(0, 2), Some(2));
        assert_eq!(first(0).key(true).entered_spatial(2, 1), Some(1));
        assert_eq!(first(0).entered_spatial(0, 2), None);
        assert_eq!(upper(1).enters(true).entered_spatial(0, 1), None, "its picture has begun, and may have ended");
        assert_eq!(first(0).entered_spatial(2, 1), Some(1));
        assert_eq!(upper(1).entered_spatial(2, 1), None, "in the middle of a picture");
        assert_eq!(Frame::of_layers(0, 0).entered_spatial(2, 1), None, "in the middle of a frame");
        assert_eq!(first(0).entered_spatial(1, 1), None);
        assert_eq!([0, 1, 2].map(|own| upper(own).entered_spatial(u8::MAX, 1)), [None, Some(1), None], "all have come");
    }

    #[test]
    fn layers_that_need_each_other_at_key_frames_only_are_left_at_one() {
        let alone = |spatial| Frame::of_layers(spatial, 0).begins(true).unreferenced(true);
        assert_eq!([0, 1, 2].map(|own| alone(own).entered_spatial(2, 1)), [None; 3], "layer 1 has not come");
        assert_eq!([0, 1, 2].map(|own| alone(own).entered_spatial(u8::MAX, 1)), [None, Some(1), None], "all have");
        assert_eq!(alone(0).key(true).entered_spatial(2, 1), Some(1));
    }

    #[test]
    fn a_frame_may_open_all_layers_above() {
        assert_eq!(first(0).opens(true).entered_temporal(0, 2), Some(2));
        assert_eq!(first(1).opens(true).entered_temporal(0, 2), None, "for receivers of that frame only");
        assert_eq!(first(0).key(true).entered_temporal(0, 2), Some(2));
        assert_eq!(first(0).key(true).entered_temporal(2, 2), None, "is there already");
    }
}
