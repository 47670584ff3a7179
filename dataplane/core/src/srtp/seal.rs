//! Sealing what we send.

use corecast_wire::{SrtpParameters, TransportId};

use super::cipher::{Cipher, gcm_nonce, gcm_seal, gcm_seal_in_place};
use super::error::{KeyError, SealError};
use super::{
    END_OF_RTCP_INDEXES, END_OF_RTP_INDEXES, RTCP_ENCRYPTED, RTCP_HEADER_BYTES, RTCP_TRAILER_BYTES, keys, rollover,
    rtcp_associated, rtcp_ssrc,
};
use crate::memory::{Name, What, Word, Words};

/// Seals RTP and RTCP under one master key, in one direction.
pub struct Sealer {
    pub(super) rtp: Cipher,
    pub(super) rtcp: Cipher,
    /// Spent indexes are never used again.
    next_rtcp_index: Word,
}

impl std::fmt::Debug for Sealer {
    /// Keys are not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("next_rtcp_index", &self.next_rtcp_index()).finish_non_exhaustive()
    }
}

impl Sealer {
    /// Derives the session keys.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if key and salt are not as long as the suite wants them.
    pub fn new(parameters: &SrtpParameters) -> Result<Self, KeyError> {
        let (rtp, rtcp) = keys::derive(parameters)?;
        Ok(Self::with_ciphers(rtp, rtcp))
    }

    pub(super) const fn with_ciphers(rtp: Cipher, rtcp: Cipher) -> Self {
        Self { rtp, rtcp, next_rtcp_index: Word::new(0) }
    }

    /// Keeps the next index among the worker's words, as that of a transport.
    pub(crate) fn keep(&mut self, words: &mut Words, transport: TransportId) {
        words.keep(&mut self.next_rtcp_index, Name::new(What::NextRtcpOut, transport.0, 0));
    }

    /// Bytes by which RTP grows: the tag.
    #[must_use]
    pub fn rtp_overhead(&self) -> usize {
        self.rtp.tag_len()
    }

    /// Bytes by which a compound grows: index and tag.
    #[must_use]
    pub fn rtcp_overhead(&self) -> usize {
        self.rtcp.tag_len() + RTCP_TRAILER_BYTES
    }

    /// Seals an RTP packet: `packet` holds the header and room for exactly payload and tag; `payload` is encrypted into
    /// it. `index` is the rollover counter followed by the sequence number, 48 bits.
    ///
    /// `ssrc` and the sequence number must be those of the header. One (`ssrc`, `index`) must never be sealed with two
    /// different contents (RFC 3711 section 9.1).
    ///
    /// # Errors
    ///
    /// [`SealError::KeyExhausted`] if `index` is 2^48 or more, [`SealError::Length`] if `packet` is not as long as
    /// header, payload and tag. The packet is not to be sent then.
    pub fn seal_rtp(
        &self,
        ssrc: u32,
        index: u64,
        packet: &mut [u8],
        header_len: usize,
        payload: &[u8],
    ) -> Result<(), SealError> {
        if index >= END_OF_RTP_INDEXES {
            return Err(SealError::KeyExhausted);
        }
        let (header, rest) = packet.split_at_mut_checked(header_len).ok_or(SealError::Length)?;
        let (sealed, tag) = rest.split_at_mut_checked(payload.len()).ok_or(SealError::Length)?;
        if tag.len() != self.rtp.tag_len() {
            return Err(SealError::Length);
        }
        match &self.rtp {
            Cipher::Gcm { key, salt } => gcm_seal(key, gcm_nonce(salt, ssrc, index), header, payload, sealed, tag),
            Cipher::Cm(cipher) => {
                sealed.copy_from_slice(payload);
                cipher.apply(ssrc, index, sealed)?;
                cipher.write_tag([header, sealed, &rollover(index)], tag)
            }
        }
    }

    /// Seals the compound in `buffer[..len]` where it lies and returns its new length, `len` plus
    /// [`Sealer::rtcp_overhead`]. Counts the SRTCP index; one counter serves all SSRCs of the session, so that no
    /// (key, SSRC, index) can come twice.
    ///
    /// # Errors
    ///
    /// [`SealError::KeyExhausted`] after 2^31 compounds (RFC 3711 section 9.2), [`SealError::Length`] if the buffer
    /// cannot hold the result or `len` is shorter than a header and an SSRC. The buffer is not to be sent then.
    pub fn seal_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SealError> {
        let index = self.next_rtcp_index();
        if index >= END_OF_RTCP_INDEXES {
            return Err(SealError::KeyExhausted);
        }
        let total = len.checked_add(self.rtcp_overhead()).ok_or(SealError::Length)?;
        let packet = buffer.get_mut(..total).ok_or(SealError::Length)?;
        let body_len = len.checked_sub(RTCP_HEADER_BYTES).ok_or(SealError::Length)?;
        let (header, rest) = packet.split_first_chunk_mut::<RTCP_HEADER_BYTES>().ok_or(SealError::Length)?;
        let (body, end) = rest.split_at_mut_checked(body_len).ok_or(SealError::Length)?;

        let ssrc = rtcp_ssrc(header);
        // Spent before it is used: whatever happens below, it is not used again.
        self.next_rtcp_index.set(u64::from(index) + 1);
        let trailer = (RTCP_ENCRYPTED | index).to_be_bytes();
        match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                // The index follows the tag and is authenticated with the header (RFC 7714 section 9.3).
                let (tag, last) = end.split_last_chunk_mut::<RTCP_TRAILER_BYTES>().ok_or(SealError::Length)?;
                *last = trailer;
                let associated = rtcp_associated(header, last);
                gcm_seal_in_place(key, gcm_nonce(salt, ssrc, index.into()), &associated, body, tag)?;
            }
            Cipher::Cm(cipher) => {
                let (first, tag) = end.split_first_chunk_mut::<RTCP_TRAILER_BYTES>().ok_or(SealError::Length)?;
                *first = trailer;
                cipher.apply(ssrc, index.into(), body)?;
                cipher.write_tag([header, body, first], tag)?;
            }
        }
        Ok(total)
    }

    /// Index of the next compound. 2^31 if there may be none.
    #[must_use]
    pub fn next_rtcp_index(&self) -> u32 {
        u32::try_from(self.next_rtcp_index.get()).unwrap_or(END_OF_RTCP_INDEXES)
    }

    /// Continues at `index` after a restart, which must be beyond all that may have been sent. Never goes back.
    pub fn skip_to_rtcp_index(&mut self, index: u32) {
        let index = self.next_rtcp_index().max(index.min(END_OF_RTCP_INDEXES));
        self.next_rtcp_index.set(index.into());
    }
}
