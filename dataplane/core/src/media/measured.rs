//! What is measured of a stream: how much it sends, and of which spatial layers within its one encoding (SVC).

use std::time::Duration;

use super::history::PacketMeta;
use super::layers::{Layers, QUIET, STEADY, bit};
use super::rate::Rate;
use super::volume::{ByTemporal, SPATIAL_LAYERS, Volume, layer_of};
use crate::time::Instant;

/// What is measured of a stream that sends.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    volume: Volume,
    /// Bytes of RTP packets that have a payload, by spatial and temporal layer; see [`corecast_wire::StreamStats`].
    layer_bytes: [ByTemporal; SPATIAL_LAYERS],
    /// Once somebody has asked.
    rate: Option<Rate>,
    /// A packet of an upper spatial layer has come.
    has_layers: bool,
    /// The highest temporal layer of which a packet has come; and whether that has changed since it was asked.
    highest_temporal: u8,
    has_risen: bool,
    /// It has been told that there are several layers.
    is_told: bool,
    /// Its spatial layers need each other at key frames only, as far as the newest picture shows.
    is_independent: bool,
    layers: [Layer; SPATIAL_LAYERS],
}

/// A spatial layer, as it was seen when it was looked at last.
#[derive(Clone, Copy, Debug, Default)]
struct Layer {
    bytes: u64,
    /// Since when it has been sending without a pause, and when it last had.
    sending: Option<(Instant, Instant)>,
}

impl Measured {
    /// One packet has come, of so many bytes with its headers.
    #[inline]
    pub(super) fn count(&mut self, meta: &PacketMeta, rtp_len: u16) {
        let frame = meta.frame;
        self.volume.count(meta.arrived, meta.payload_len, frame);
        if meta.payload_len > 0 {
            let (spatial, temporal) = layer_of(frame);
            if let Some(bytes) = self.layer_bytes.get_mut(spatial).and_then(|layer| layer.get_mut(temporal)) {
                *bytes += u64::from(rtp_len);
            }
        }
        self.has_layers |= frame.spatial() > 0;
        if frame.temporal() > self.highest_temporal {
            (self.highest_temporal, self.has_risen) = (frame.temporal(), true);
        }
        if frame.is_first() && frame.spatial() == 0 && !frame.is_key() {
            self.is_independent = frame.is_unreferenced();
        }
    }

    /// How much it sends, measured now.
    pub(super) fn rate(&mut self, now: Instant) -> &Rate {
        let Self { volume, rate, .. } = self;
        let rate = rate.get_or_insert_with(|| Rate::new(volume));
        rate.sample(now, volume);
        rate
    }

    /// Bytes of RTP packets that have a payload, by spatial and temporal layer.
    pub(crate) const fn layer_bytes(&self) -> [ByTemporal; SPATIAL_LAYERS] {
        self.layer_bytes
    }

    /// Whether it has spatial layers.
    pub(crate) const fn has_layers(&self) -> bool {
        self.has_layers
    }

    /// Whether it has layers, spatial or temporal.
    pub(crate) const fn has_several(&self) -> bool {
        self.has_layers || self.highest_temporal > 0
    }

    /// Whether it has layers, spatial or temporal, and this was not asked before.
    pub(crate) const fn has_new_layers(&mut self) -> bool {
        self.has_several() && !std::mem::replace(&mut self.is_told, true)
    }

    /// The highest temporal layer that it has sent; 0 where it names none.
    pub(crate) const fn highest_temporal(&self) -> u8 {
        self.highest_temporal
    }

    /// Whether that has changed since this was asked last.
    pub(crate) const fn take_risen(&mut self) -> bool {
        std::mem::replace(&mut self.has_risen, false)
    }

    /// Whether its spatial layers need each other at key frames only.
    pub(crate) const fn is_independent(&self) -> bool {
        self.is_independent
    }

    /// Looks at its spatial layers: one has been sending if something of it has come since the last look.
    pub(crate) fn look(&mut self, now: Instant) {
        for (spatial, layer) in self.layers.iter_mut().enumerate() {
            let bytes = self.volume.of_spatial(spatial);
            if std::mem::replace(&mut layer.bytes, bytes) == bytes {
                continue;
            }
            let goes_on = layer.sending.filter(|(_, last)| now.since(*last) <= QUIET);
            layer.sending = Some((goes_on.map_or(now, |(since, _)| since), now));
        }
    }

    /// Its spatial layers, as they were seen last; none of one that has none. One that has been quiet while others sent
    /// is not active; where none sends, the source is slow.
    pub(crate) fn layers(&self) -> Layers {
        let mut layers = Layers::default();
        let newest = self.layers.iter().filter_map(|layer| layer.sending).map(|(_, last)| last).max();
        let Some(newest) = newest.filter(|_| self.has_layers) else { return layers };
        let behind = |at: Instant| -> Duration { newest.since(at) };
        for (spatial, layer) in (0..).zip(&self.layers) {
            let Some((since, last)) = layer.sending.filter(|(_, last)| behind(*last) <= QUIET) else { continue };
            layers.active |= bit(spatial);
            layers.steady |= if last.since(since) >= STEADY { bit(spatial) } else { 0 };
        }
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Frame;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// A picture of spatial layers up to one, and a look.
    fn picture(measured: &mut Measured, millis: u64, highest: u8) {
        for spatial in 0..=highest {
            let meta = PacketMeta { payload_len: 100, frame: Frame::of_layers(spatial, 0), ..PacketMeta::default() };
            measured.count(&PacketMeta { arrived: at(millis), ..meta }, 112);
        }
        measured.look(at(millis));
    }

    #[test]
    fn layers_are_active_while_they_send_and_steady_after_a_while() {
        let mut measured = Measured::default();
        picture(&mut measured, 0, 0);
        assert_eq!(measured.layers(), Layers::default(), "one layer is none");
        assert!(!measured.has_new_layers());
        picture(&mut measured, 200, 2);
        assert!(measured.has_new_layers() && !measured.has_new_layers(), "told once");
        assert_eq!(measured.layers(), Layers { active: 0b111, steady: 0 });
        (2..=11).for_each(|n| picture(&mut measured, 200 * n, 2));
        assert_eq!(measured.layers(), Layers { active: 0b111, steady: 0b111 });
        // The best is left out.
        (12..=18).for_each(|n| picture(&mut measured, 200 * n, 1));
        assert_eq!(measured.layers().active, 0b111, "not for long yet");
        (19..=20).for_each(|n| picture(&mut measured, 200 * n, 1));
        assert_eq!(measured.layers(), Layers { active: 0b011, steady: 0b011 });
        picture(&mut measured, 4_200, 2);
        assert_eq!(measured.layers(), Layers { active: 0b111, steady: 0b011 }, "it begins again");
    }

    #[test]
    fn a_slow_source_is_not_dead() {
        let mut measured = Measured::default();
        picture(&mut measured, 0, 1);
        measured.look(at(60_000));
        assert_eq!(measured.layers().active, 0b11);
    }
}
