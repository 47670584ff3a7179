//! Just enough of each video codec's payload format to see where a key frame starts.

/// Whether `payload` (RTP payload without padding) starts a key frame of `codec`.
#[must_use]
pub fn is_key_frame(_codec: corecast_wire::Codec, _payload: &[u8]) -> bool {
    false
}
