//! What is known of how good a stream's pictures are: by this its producer's encodings are ranked.

use corecast_wire::EncodingTarget;

use super::super::layers::Quality;
use super::Stream;

impl Stream {
    /// What is known of its quality, if it is one among several.
    pub(crate) fn quality(&self) -> Quality {
        let (picture, hint) = (self.picture, self.hint.as_deref().copied());
        Quality { picture, bitrate_bps: self.activity().bitrate_bps(), hint }
    }

    /// Its sender has said what it means to send. Sizes are told at first, and then only rates.
    pub(crate) fn set_hint(&mut self, target: Option<EncodingTarget>) {
        match (&mut self.hint, target) {
            (Some(known), Some(told)) => **known = EncodingTarget { pixels: told.pixels.or(known.pixels), ..told },
            (hint, told) => *hint = told.map(Box::new),
        }
    }
}
