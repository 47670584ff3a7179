//! Layers of a producer, as control names those that a consumer wants and is told of those that it is sent.

use serde::{Deserialize, Serialize};

/// Names one of a producer's encodings, or of the layers within an only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpatialLayer {
    /// By quality, the lowest is 0. Which encoding that is may change as more is seen of them. Where there is one
    /// encoding, of VP9 or AV1, the spatial layer within it; more than there are stand for all.
    Quality(u8),
    /// By its index in [`crate::ProduceOptions::encodings`], whatever its quality turns out to be.
    Encoding(u8),
}

/// The spatial layer that a consumer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentLayer {
    /// Index of its encoding in [`crate::ProduceOptions::encodings`].
    pub encoding: u8,
    /// The encoding's rank by quality, the lowest is 0; of an only encoding, the layer within it.
    pub spatial: u8,
}
