//! SRTP and SRTCP (RFC 3711, RFC 7714): session keys, [`Sealer`], [`Opener`] and the [`ReplayWindow`] of a stream.
//!
//! Owns session keys, the outgoing SRTCP index and the replay windows of incoming SRTCP. Never owns per-SSRC state of
//! RTP: the owner of the stream knows its index and its window, so a forged packet has nothing here to grow.
//! Payload is moved once, by the cipher (AES-CM: one copy first, since the library encrypts it in place only). Nothing
//! is allocated per packet and no bytes, however wrong, make it panic.
//!
//! Not here: key derivation rates other than 0 and the MKI (nobody negotiates them for WebRTC), unencrypted SRTCP (the
//! E flag is required).

mod cipher;
mod error;
mod keys;
mod open;
mod replay;
mod seal;
#[cfg(test)]
mod tests;

pub use error::{KeyError, OpenError, SealError};
pub use open::Opener;
pub use replay::{Replay, ReplayWindow};
pub use seal::Sealer;

/// First index that SRTP cannot have: rollover counter and sequence number are 48 bits (RFC 3711 section 3.3.1).
const END_OF_RTP_INDEXES: u64 = 1 << 48;
/// First index that SRTCP cannot have: 31 bits (RFC 3711 section 3.4).
const END_OF_RTCP_INDEXES: u32 = 1 << 31;
/// The flag "encrypted" beside the SRTCP index (RFC 3711 section 3.4).
const RTCP_ENCRYPTED: u32 = 1 << 31;
/// Bytes of the flag and the index.
const RTCP_TRAILER_BYTES: usize = 4;
/// Bytes of a compound that stay readable: the first header and the sender's SSRC (RFC 3711 section 3.4).
const RTCP_HEADER_BYTES: usize = 8;

/// The sender's SSRC of a compound, from its readable part.
const fn rtcp_ssrc(header: &[u8; RTCP_HEADER_BYTES]) -> u32 {
    let [_, _, _, _, a, b, c, d] = *header;
    u32::from_be_bytes([a, b, c, d])
}

/// What AES-GCM authenticates of a compound besides its body: header, flag and index (RFC 7714 section 9.2).
const fn rtcp_associated(header: &[u8; RTCP_HEADER_BYTES], trailer: &[u8; RTCP_TRAILER_BYTES]) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h] = *header;
    let [i, j, k, l] = *trailer;
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

/// The rollover counter of an RTP index as HMAC takes it in (RFC 3711 section 4.2).
const fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}
