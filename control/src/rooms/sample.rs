//! What was last seen of the encodings of a producer.

use std::time::Instant;

use corecast_wire::ProducerStats;

/// One look at a producer's counters.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) encodings: Vec<EncodingState>,
}

/// An encoding of a producer, as it is sent to the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncodingState {
    /// Packets of it come.
    pub(crate) active: bool,
    /// Rank of its quality among the producer's encodings, the lowest is 0.
    pub(crate) spatial: u8,
    pub(crate) bytes: u64,
    /// Since the look before.
    pub(crate) bitrate_bps: Option<u64>,
    /// Width and height of its picture, if they are known.
    pub(crate) picture: Option<(u16, u16)>,
    /// Spatial layers within it; 0 if it is not known to have several.
    pub(crate) spatial_layers: u8,
}

impl Sample {
    /// `before` is the one before: bit rates are those since.
    pub(super) fn new(stats: &ProducerStats, before: Option<&Self>, at: Instant) -> Self {
        let encodings = stats.streams.iter().enumerate().map(|(index, stream)| {
            let since = before.and_then(|before| {
                let bytes = stream.byte_count.checked_sub(before.encodings.get(index)?.bytes)?;
                let elapsed_ms = u64::try_from(at.duration_since(before.at).as_millis()).ok()?;
                bytes.saturating_mul(8_000).checked_div(elapsed_ms)
            });
            EncodingState {
                active: stream.active,
                spatial: stream.spatial,
                bytes: stream.byte_count,
                bitrate_bps: since,
                picture: stream.picture,
                spatial_layers: stream.spatial_layers,
            }
        });
        Self { at, encodings: encodings.collect() }
    }
}
