//! Simulcast: which of a producer's encodings ("spatial layers", lowest quality first) a consumer is sent.
//!
//! A consumer has a preferred layer, and a *target*: the highest active layer up to the preferred one, else the lowest
//! active one above it. Targets are decided on a slow tick, when a layer awakes, and by command; never per packet. The
//! switch itself is made where packets are rewritten ([`crate::consumer`]), at the target's next key frame: until then
//! the layer of before is forwarded, and nothing of it afterwards.
//!
//! Producers with one encoding have none of this.

use std::time::Duration;

use crate::limits::MAX_ENCODINGS;
use crate::time::Instant;

/// A layer is active while its last packet is not older than this.
pub(crate) const ACTIVE: Duration = Duration::from_millis(1_500);
/// A consumer that gets media goes up to a layer that has been active for this long (mediasoup: 2 s).
const STEADY: Duration = Duration::from_secs(2);

/// When a stream of several has been sending.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Activity {
    /// Since when without a pause; nothing before the first packet.
    stretch: Option<Stretch>,
}

#[derive(Clone, Copy, Debug)]
struct Stretch {
    since: Instant,
    last: Instant,
}

impl Activity {
    /// Records that packets have come. True if they are the first, or the first after a pause.
    pub(crate) fn record(&mut self, now: Instant) -> bool {
        match &mut self.stretch {
            Some(stretch) if now.since(stretch.last) <= ACTIVE => {
                stretch.last = now;
                false
            }
            stretch => {
                *stretch = Some(Stretch { since: now, last: now });
                true
            }
        }
    }

    pub(crate) fn is_active(&self, now: Instant) -> bool {
        self.stretch.is_some_and(|stretch| now.since(stretch.last) <= ACTIVE)
    }

    pub(crate) fn is_steady(&self, now: Instant) -> bool {
        self.is_active(now) && self.stretch.is_some_and(|stretch| now.since(stretch.since) >= STEADY)
    }
}

/// The layers of a producer at a moment; bit n is that of layer n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layers {
    pub(crate) active: u8,
    pub(crate) steady: u8,
}

const _: () = assert!(MAX_ENCODINGS <= 8, "a layer is a bit");

/// The bit of a layer.
pub(crate) const fn bit(layer: u8) -> u8 {
    match 1_u8.checked_shl(layer as u32) {
        Some(bit) => bit,
        None => 0,
    }
}

impl Layers {
    pub(crate) const fn is_active(self, layer: u8) -> bool {
        self.active & bit(layer) != 0
    }

    /// The layer to send; `None` if none is active. `current` is the one from which the receiver gets media, if it
    /// does: it is left for a higher one only when that is steady.
    pub(crate) fn target(self, preferred: u8, current: Option<u8>) -> Option<u8> {
        let current = current.filter(|current| self.is_active(*current));
        let fits = |layer: &u8| {
            let may_begin = current.is_none_or(|current| *layer <= current) || self.steady & bit(*layer) != 0;
            self.is_active(*layer) && may_begin
        };
        (0..=preferred).rev().find(fits).or_else(|| (preferred..8).find(fits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn layers(active: u8, steady: u8) -> Layers {
        Layers { active, steady }
    }

    #[test]
    fn the_highest_active_layer_up_to_the_preferred_one() {
        let all = layers(0b111, 0b111);
        assert_eq!([0, 1, 2].map(|preferred| all.target(preferred, None)), [Some(0), Some(1), Some(2)]);
        let holed = layers(0b101, 0b101);
        assert_eq!([0, 1, 2].map(|preferred| holed.target(preferred, None)), [Some(0), Some(0), Some(2)]);
    }

    #[test]
    fn the_lowest_above_where_none_below_is_active() {
        assert_eq!(layers(0b110, 0).target(0, None), Some(1));
        assert_eq!(layers(0b100, 0).target(1, None), Some(2));
        assert_eq!(layers(0, 0).target(2, Some(1)), None);
        assert_eq!(layers(0b1000_0000, 0).target(0, None), Some(7));
    }

    #[test]
    fn up_only_to_a_steady_layer_and_down_at_once() {
        assert_eq!(layers(0b111, 0b001).target(2, None), Some(2), "never to start");
        assert_eq!(layers(0b111, 0b001).target(2, Some(0)), Some(0));
        assert_eq!(layers(0b111, 0b011).target(2, Some(0)), Some(1));
        assert_eq!(layers(0b111, 0b111).target(2, Some(0)), Some(2));
        assert_eq!(layers(0b011, 0b000).target(0, Some(1)), Some(0), "down");
        assert_eq!(layers(0b011, 0b000).target(2, Some(2)), Some(1), "the current one is dead");
        assert_eq!(layers(0b100, 0b000).target(2, Some(0)), Some(2), "as if to start");
    }

    #[test]
    fn a_pause_ends_a_stretch() {
        let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        let mut activity = Activity::default();
        assert!(!activity.is_active(at(0)));
        assert!(activity.record(at(1_000)) && !activity.record(at(2_000)));
        assert!(activity.is_active(at(3_500)) && !activity.is_active(at(3_501)));
        assert!(!activity.is_steady(at(2_999)) && activity.is_steady(at(3_000)) && !activity.is_steady(at(3_501)));
        assert!(activity.record(at(3_600)));
        assert!(!activity.is_steady(at(5_000)), "a new stretch");
    }
}
