//! Simulcast: which of a producer's encodings ("spatial layers", lowest quality first) a consumer is sent.
//!
//! The *quality* of an encoding is what is seen of it: the size of its picture, or its bitrate where sizes are not
//! told. Where it stands in the offer says nothing: OBS lists the best first, as RFC 8853 section 5.2 wants it, and
//! many pages the worst.
//!
//! A consumer has a preferred layer, and a *target*: the highest active layer up to the preferred one, else the lowest
//! active one above it. Targets are decided on a slow tick, when a layer awakes, and by command; never per packet. The
//! switch itself is made where packets are rewritten ([`crate::consumer`]), at the target's next key frame: until then
//! the layer of before is forwarded, and nothing of it afterwards.
//!
//! The encodings of a producer are its layers, or, if it has one, the spatial layers within that one (SVC): see
//! [`super::measured`].

use std::time::Duration;

use corecast_wire::EncodingTarget;

use crate::limits::MAX_ENCODINGS;
use crate::time::Instant;

/// A layer that has sent nothing for so long is dead if others of its producer have sent [`OTHERS`] pictures meanwhile.
/// Where none sends, the source is slow (a screen that does not change), and nothing is dead yet.
pub(super) const QUIET: Duration = Duration::from_millis(1_500);
const OTHERS: u64 = 8;
/// One that has sent nothing for so long is dead in any case.
pub(crate) const SILENT: Duration = Duration::from_secs(5);
/// A consumer that gets media goes up to a layer that has been active for this long (mediasoup: 2 s).
pub(super) const STEADY: Duration = Duration::from_secs(2);

/// Time over which a bitrate is measured.
const MEASURED: Duration = Duration::from_secs(1);
/// One bitrate is above another if it is more than half as much again: encodings differ by more, and what differs by
/// less may be a key frame.
const CLEARLY: (u64, u64) = (3, 2);

/// When a stream of several has been sending, and how much. Packets without payload, which only probe the path, do not
/// count.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Activity {
    /// Since when without a pause; nothing before the first packet.
    stretch: Option<Stretch>,
    /// Timestamp of its newest picture, and how many pictures of all layers had come by then.
    timestamp: Option<u32>,
    pictures: u64,
    /// Payload has come since it was looked at last.
    has_news: bool,
    /// Payload since then, in bytes.
    bytes: u64,
    measured_since: Instant,
    bitrate_bps: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Stretch {
    since: Instant,
    last: Instant,
}

impl Activity {
    /// A packet with so much payload has come.
    pub(crate) const fn count(&mut self, payload_bytes: u16) {
        self.bytes += payload_bytes as u64;
        self.has_news |= payload_bytes > 0;
    }

    /// Records the packets that have come, the newest of which has this timestamp. `pictures` counts those of all
    /// layers of the producer. True if they are the first, or the first after a pause.
    pub(crate) fn record(&mut self, now: Instant, timestamp: Option<u32>, pictures: &mut u64) -> bool {
        if !std::mem::take(&mut self.has_news) {
            return false;
        }
        let was_active = self.is_active(now, *pictures);
        if std::mem::replace(&mut self.timestamp, timestamp) != timestamp {
            *pictures += 1;
        }
        self.pictures = *pictures;
        match &mut self.stretch {
            Some(stretch) if was_active => {
                stretch.last = now;
                self.measure(now);
                false
            }
            stretch => {
                *stretch = Some(Stretch { since: now, last: now });
                (self.bytes, self.measured_since) = (0, now);
                true
            }
        }
    }

    fn measure(&mut self, now: Instant) {
        let elapsed = now.since(self.measured_since);
        if elapsed < MEASURED {
            return;
        }
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let bps = self.bytes.saturating_mul(8_000) / elapsed_ms.max(1);
        self.bitrate_bps = Some(self.bitrate_bps.map_or(bps, |before| (3 * before).saturating_add(bps) / 4));
        (self.bytes, self.measured_since) = (0, now);
    }

    /// What it sends in bits per second, once that has been measured.
    pub(crate) const fn bitrate_bps(&self) -> Option<u64> {
        self.bitrate_bps
    }

    /// Whether it sends, where the layers of its producer have sent so many pictures.
    pub(crate) fn is_active(&self, now: Instant, pictures: u64) -> bool {
        let others_go_on = pictures.saturating_sub(self.pictures) >= OTHERS;
        let longest = if others_go_on { QUIET } else { SILENT };
        self.stretch.is_some_and(|stretch| now.since(stretch.last) <= longest)
    }

    /// Whether it has sent for a while without a pause.
    pub(crate) fn is_steady(&self, now: Instant, pictures: u64) -> bool {
        self.is_active(now, pictures) && self.stretch.is_some_and(|stretch| now.since(stretch.since) >= STEADY)
    }
}

/// The layers of a producer at a moment; bit n is that of layer n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layers {
    pub(crate) active: u8,
    pub(crate) steady: u8,
}

const _: () = assert!(MAX_ENCODINGS <= 8, "a layer is a bit");

/// What is known of the quality of an encoding.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quality {
    /// Width and height of its newest key frame, if that told them.
    pub(crate) picture: Option<(u16, u16)>,
    /// See [`Activity::bitrate_bps`].
    pub(crate) bitrate_bps: Option<u64>,
    /// What its sender means to send: it counts for an encoding of which nothing has been seen.
    pub(crate) hint: Option<EncodingTarget>,
}

impl Quality {
    const fn is_seen(&self) -> bool {
        self.picture.is_some() || self.bitrate_bps.is_some()
    }

    /// What is said of an encoding of which nothing has been seen.
    fn hinted(&self) -> Option<EncodingTarget> {
        self.hint.filter(|_| !self.is_seen())
    }

    fn area(&self) -> Option<u64> {
        let seen = self.picture.map(|(width, height)| u64::from(width) * u64::from(height));
        seen.or_else(|| self.hinted()?.pixels)
    }

    fn bitrate(&self) -> Option<u64> {
        self.bitrate_bps.or_else(|| Some(self.hinted()?.bitrate_bps))
    }

    /// Whether it is better than another, by what both show: sizes, if they differ, else bitrates, if they differ
    /// clearly.
    fn exceeds(&self, other: &Self, by_size: bool) -> bool {
        if by_size && self.area() != other.area() {
            return self.area() > other.area();
        }
        let (Some(own), Some(other)) = (self.bitrate(), other.bitrate()) else { return false };
        own.saturating_mul(CLEARLY.1) > other.saturating_mul(CLEARLY.0)
    }
}

/// Ranks encodings, the best last: by size if each of which anything has been seen has one, else by bitrate. Where
/// nothing has been seen of one, what its sender says counts. Those that cannot be told apart stay in their order, and
/// those of which nothing is known stay where they are.
pub(super) fn rank<K: Copy>(encodings: &mut [(K, Quality)]) {
    let has_size = |(_, quality): &(K, Quality)| quality.area().is_some();
    let by_size = encodings.iter().all(|one| has_size(one) || !one.1.is_seen()) && encodings.iter().any(has_size);
    let is_known = |one: &(K, Quality)| if by_size { has_size(one) } else { one.1.bitrate().is_some() };
    let places: Vec<usize> = (0..encodings.len()).filter(|at| encodings.get(*at).is_some_and(is_known)).collect();
    for _ in &places {
        for (low, high) in places.iter().zip(places.iter().skip(1)) {
            let (Some((_, one)), Some((_, next))) = (encodings.get(*low), encodings.get(*high)) else { continue };
            if one.exceeds(next, by_size) {
                encodings.swap(*low, *high);
            }
        }
    }
}

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

    /// The highest active layer.
    pub(crate) fn highest_active(self) -> Option<u8> {
        (0..8).rev().find(|layer| self.is_active(*layer))
    }

    /// The best active layer of those up to one.
    pub(crate) fn lower_of(self, layer: u8) -> Option<u8> {
        self.highest_active().map(|highest| highest.min(layer))
    }

    /// The spatial layer within an encoding to send, or [`u8::MAX`] where that is all of it. `is_independent` if the
    /// best does without those below.
    pub(crate) fn spatial_target(self, preferred: u8, current: Option<u8>, is_independent: bool) -> u8 {
        let highest = self.highest_active().filter(|highest| *highest > 0);
        let target = highest.and_then(|_| self.target(preferred, current)).unwrap_or(u8::MAX);
        if Some(target) == highest && !is_independent { u8::MAX } else { target }
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

    type Size = (u16, u16);

    /// The order in which encodings stand that were announced in the order of the alphabet.
    fn ranked(known: &[(Option<Size>, Option<u64>)]) -> String {
        let quality = |&(picture, bitrate_bps)| Quality { picture, bitrate_bps, hint: None };
        let mut encodings: Vec<_> = ('a'..).zip(known.iter().map(quality)).collect();
        rank(&mut encodings);
        encodings.iter().map(|(name, _)| *name).collect()
    }

    const SMALL: Option<Size> = Some((320, 180));
    const MIDDLE: Option<Size> = Some((640, 360));
    const LARGE: Option<Size> = Some((1_280, 720));

    #[test]
    fn sizes_rank_layers_wherever_they_stand() {
        assert_eq!(ranked(&[(LARGE, Some(100)), (MIDDLE, Some(900)), (SMALL, None)]), "cba", "best first");
        assert_eq!(ranked(&[(SMALL, None), (MIDDLE, None), (LARGE, None)]), "abc");
        assert_eq!(ranked(&[(MIDDLE, None), (LARGE, None), (SMALL, None)]), "cab");
        assert_eq!(ranked(&[(LARGE, None), (None, None), (SMALL, None)]), "cba", "one has not been seen");
        assert_eq!(ranked(&[(Some((360, 640)), None), (MIDDLE, None)]), "ab", "as large when it is turned");
    }

    #[test]
    fn bitrates_rank_layers_without_sizes_and_those_of_one_size() {
        assert_eq!(ranked(&[(None, Some(1_000)), (None, Some(300)), (None, Some(90))]), "cba");
        assert_eq!(ranked(&[(None, Some(140)), (None, Some(100))]), "ab", "hardly more");
        assert_eq!(ranked(&[(MIDDLE, Some(900)), (MIDDLE, Some(300)), (SMALL, Some(1_000))]), "cba");
        assert_eq!(ranked(&[(LARGE, Some(100)), (None, Some(900)), (SMALL, Some(50))]), "cab", "not all have sizes");
        assert_eq!(ranked(&[(None, None), (None, Some(900)), (None, Some(50))]), "acb");
    }

    #[test]
    fn hints_rank_what_has_not_been_seen_and_nothing_else() {
        // Size and bitrate that are seen, size and bitrate that are told.
        type Known = (Option<Size>, Option<u64>, Option<u64>, u64);
        let hinted = |known: &[Known]| {
            let quality = |&(picture, bitrate_bps, pixels, kbps)| {
                let hint = Some(EncodingTarget { pixels, bitrate_bps: kbps });
                Quality { picture, bitrate_bps, hint }
            };
            let mut encodings: Vec<_> = ('a'..).zip(known.iter().map(quality)).collect();
            rank(&mut encodings);
            encodings.iter().map(|(name, _)| *name).collect::<String>()
        };
        let unseen = |pixels, kbps| (None, None, pixels, kbps);
        let sizes = [(Some(9), 1), (Some(4), 2), (Some(1), 3)].map(|(pixels, kbps)| unseen(pixels, kbps));
        assert_eq!(hinted(&sizes), "cba", "sizes before bitrates");
        assert_eq!(hinted(&[unseen(None, 900), unseen(None, 100), unseen(None, 300)]), "bca", "bitrates");
        let small = |pixels| unseen(Some(pixels), 1);
        assert_eq!(hinted(&[(LARGE, None, Some(1), 1), small(1_000), small(2_000)]), "bca", "the size that is seen");
        assert_eq!(hinted(&[(LARGE, None, Some(1), 1), (SMALL, None, Some(2), 2)]), "ba", "what is seen outdoes them");
        assert_eq!(hinted(&[(None, Some(900), Some(1), 1), (None, Some(90), Some(2), 2)]), "ba", "bitrates as well");
        assert_eq!(hinted(&[(SMALL, None, Some(9), 9), unseen(None, 1)]), "ab", "no size: it stays");
    }

    #[test]
    fn position_breaks_ties() {
        assert_eq!(ranked(&[(None, None); 4]), "abcd");
        assert_eq!(ranked(&[(SMALL, Some(10)); 4]), "abcd");
        assert_eq!(ranked(&[(SMALL, None), (None, None), (SMALL, None)]), "abc");
        assert_eq!(ranked(&[]), "");
    }

    #[test]
    fn a_bitrate_is_measured_while_packets_come() {
        let mut activity = Activity::default();
        for millis in (0..=2_000).step_by(100) {
            activity.count(1_250);
            activity.record(at(millis), None, &mut 0);
            let expected = (millis >= 1_000).then_some(100_000);
            assert_eq!(activity.bitrate_bps(), expected, "{millis} ms");
        }
        activity.count(1_250);
        activity.record(at(60_000), None, &mut 0);
        activity.count(1_250);
        activity.record(at(61_000), None, &mut 0);
        assert_eq!(activity.bitrate_bps(), Some(77_500), "the pause does not count");
    }

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// A picture of a layer.
    fn picture(activity: &mut Activity, millis: u64, pictures: &mut u64) -> bool {
        activity.count(100);
        activity.record(at(millis), Some(millis as u32), pictures)
    }

    #[test]
    fn a_pause_ends_a_stretch_if_others_go_on() {
        let (mut activity, mut pictures) = (Activity::default(), 0);
        assert!(!activity.is_active(at(0), pictures));
        assert!(picture(&mut activity, 1_000, &mut pictures) && !picture(&mut activity, 2_000, &mut pictures));
        pictures += OTHERS;
        assert!(activity.is_active(at(3_500), pictures) && !activity.is_active(at(3_501), pictures));
        assert!(!activity.is_steady(at(2_999), pictures) && activity.is_steady(at(3_000), pictures));
        assert!(!activity.is_steady(at(3_501), pictures));
        assert!(picture(&mut activity, 3_600, &mut pictures));
        assert!(!activity.is_steady(at(5_000), pictures), "a new stretch");
    }

    #[test]
    fn a_slow_source_is_not_dead() {
        let (mut low, mut high, mut pictures) = (Activity::default(), Activity::default(), 0);
        for millis in (1_000..60_000).step_by(4_000) {
            let first = millis == 1_000;
            assert_eq!(picture(&mut low, millis, &mut pictures), first, "{millis} ms");
            assert_eq!(picture(&mut high, millis + 1_000, &mut pictures), first, "{millis} ms");
            assert!(low.is_active(at(millis + 3_900), pictures) && high.is_active(at(millis + 3_900), pictures));
        }
        assert!(low.is_steady(at(60_000), pictures) && high.is_steady(at(60_000), pictures));
        assert!(!low.is_active(at(62_001), pictures), "at last it is");
    }

    #[test]
    fn several_packets_are_one_picture_and_padding_is_none() {
        let (mut activity, mut pictures) = (Activity::default(), 0);
        activity.count(0);
        assert!(!activity.record(at(10), Some(1), &mut pictures) && !activity.is_active(at(10), pictures));
        for millis in [1_000, 1_010, 1_020] {
            activity.count(100);
            activity.record(at(millis), Some(7), &mut pictures);
        }
        assert_eq!(pictures, 1);
        pictures += OTHERS;
        activity.count(0);
        assert!(!activity.record(at(2_500), Some(8), &mut pictures));
        assert!(!activity.is_active(at(2_600), pictures), "padding keeps nothing alive");
    }
}
