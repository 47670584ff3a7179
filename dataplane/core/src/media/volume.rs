//! How much of each layer a stream has sent.

use crate::codec::Frame;
use crate::time::Instant;

/// Bytes of a packet around its payload: headers of IP, UDP and RTP, extensions, the tag.
const OVERHEAD_BYTES: u64 = 68;
/// Temporal layers that are told apart, and spatial layers within one encoding.
pub(crate) const TEMPORAL_LAYERS: usize = 4;
pub(crate) const SPATIAL_LAYERS: usize = 4;

/// Bytes by temporal layer.
pub(super) type ByTemporal = [u64; TEMPORAL_LAYERS];

/// The spatial and temporal layer as which a frame counts.
#[inline]
pub(super) fn layer_of(frame: Frame) -> (usize, usize) {
    (usize::from(frame.spatial()).min(SPATIAL_LAYERS - 1), usize::from(frame.temporal()).min(TEMPORAL_LAYERS - 1))
}

/// What a stream has sent since it began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Volume {
    since: Instant,
    packets: u64,
    /// Payload by spatial and temporal layer.
    bytes: [ByTemporal; SPATIAL_LAYERS],
    /// That part of it which the layers above need.
    referenced: [ByTemporal; SPATIAL_LAYERS],
}

impl Volume {
    /// Nothing yet, since a moment.
    pub(super) const fn beginning(since: Instant) -> Self {
        let none = [[0; TEMPORAL_LAYERS]; SPATIAL_LAYERS];
        Self { since, packets: 0, bytes: none, referenced: none }
    }

    /// When its first packet came.
    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    /// One packet, which came at `arrived`.
    #[inline]
    pub(crate) fn count(&mut self, arrived: Instant, payload_bytes: u16, frame: Frame) {
        if self.packets == 0 {
            self.since = arrived;
        }
        self.packets += 1;
        let (spatial, temporal) = layer_of(frame);
        let add = |table: &mut [ByTemporal; SPATIAL_LAYERS]| {
            if let Some(bytes) = table.get_mut(spatial).and_then(|layer| layer.get_mut(temporal)) {
                *bytes += u64::from(payload_bytes);
            }
        };
        add(&mut self.bytes);
        if !frame.is_unreferenced() {
            add(&mut self.referenced);
        }
    }

    /// Bytes of a spatial layer.
    pub(super) fn of_spatial(&self, spatial: usize) -> u64 {
        self.bytes.get(spatial).map_or(0, |layer| layer.iter().sum())
    }

    /// Bytes of payload.
    pub(super) fn payload(&self) -> u64 {
        self.bytes.iter().flatten().sum()
    }

    /// Bytes of its packets with all that is around their payloads.
    pub(super) fn on_the_wire(&self) -> u64 {
        self.packets * OVERHEAD_BYTES + self.payload()
    }

    /// Bytes that a receiver of layers up to these gets.
    pub(super) fn up_to(&self, spatial: usize, temporal: usize) -> u64 {
        let own = self.bytes.iter().skip(spatial).take(1);
        let layers = self.referenced.iter().take(spatial).chain(own);
        layers.map(|layer| layer.iter().take(temporal + 1).sum::<u64>()).sum()
    }
}
