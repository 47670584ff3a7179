//! RTP packets (RFC 3550 section 5), read where they lie and written once per receiver.
//!
//! Owns nothing and keeps nothing: [`RtpView`] borrows a datagram, [`write_header`] fills a buffer of the caller. What
//! is parsed here may not be authenticated yet, so no input may panic, and everything that an accessor will touch has
//! been checked by [`RtpView::parse`]. Header extensions (RFC 8285) are in `rtp/extension.rs`.

mod extension;

pub use extension::{EXTENSION_HEAD_BYTES, Extensions, extension_block_len, write_extension_block};

/// Bytes of the fixed header (RFC 3550 section 5.1).
pub const FIXED_HEADER_BYTES: usize = 12;

/// The most CSRCs that a header can count: CC has four bits.
const MAX_CSRCS: usize = 15;

/// Why bytes are not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedRtp {
    /// Shorter than the fixed header.
    #[error("shorter than the fixed RTP header")]
    TooShort,
    /// The version is not 2.
    #[error("RTP version is not 2")]
    Version,
    /// The CSRC list runs past the datagram.
    #[error("CSRC list runs past the datagram")]
    Csrcs,
    /// The extension block runs past the datagram, or one of its elements past the block.
    #[error("header extension runs past its end")]
    Extension,
    /// Padding of no bytes, or of more than the payload has.
    #[error("padding length is zero or longer than the payload")]
    Padding,
}

/// An RTP packet in the datagram that brought it. The body may still be encrypted: SRTP leaves the header in the clear
/// (RFC 3711 section 3.1).
#[derive(Clone, Copy, Debug)]
pub struct RtpView<'a> {
    fixed: &'a [u8; FIXED_HEADER_BYTES],
    csrcs: &'a [u8],
    extension_block: &'a [u8],
    header: &'a [u8],
    body: &'a [u8],
}

impl<'a> RtpView<'a> {
    /// Reads a packet's header. The body may be empty. Padding is not looked at, since in SRTP it is encrypted: see
    /// [`padding_len`].
    ///
    /// # Errors
    /// If the version is not 2, or if CSRCs, extension block or an extension element reach beyond what holds them.
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Result<Self, MalformedRtp> {
        let (fixed, rest) = datagram.split_first_chunk::<FIXED_HEADER_BYTES>().ok_or(MalformedRtp::TooShort)?;
        if fixed[0] >> 6 != 2 {
            return Err(MalformedRtp::Version);
        }
        let csrcs_len = 4 * usize::from(fixed[0] & 0x0f);
        let (csrcs, rest) = rest.split_at_checked(csrcs_len).ok_or(MalformedRtp::Csrcs)?;
        let (extension_block, body) =
            if fixed[0] & 0x10 == 0 { rest.split_at(0) } else { extension::split_block(rest)? };
        let header_len = FIXED_HEADER_BYTES + csrcs.len() + extension_block.len();
        let header = datagram.get(..header_len).ok_or(MalformedRtp::TooShort)?;
        Ok(Self { fixed, csrcs, extension_block, header, body })
    }

    /// Synchronisation source.
    #[must_use]
    pub fn ssrc(&self) -> u32 {
        let [.., a, b, c, d] = *self.fixed;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Sequence number.
    #[must_use]
    pub fn sequence(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// Media timestamp, in units of the payload type's clock.
    #[must_use]
    pub fn timestamp(&self) -> u32 {
        let [_, _, _, _, a, b, c, d, ..] = *self.fixed;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Marker bit: for video, the last packet of a frame.
    #[must_use]
    pub fn marker(&self) -> bool {
        self.fixed[1] & 0x80 != 0
    }

    /// Payload type, 0 to 127.
    #[must_use]
    pub fn payload_type(&self) -> u8 {
        self.fixed[1] & 0x7f
    }

    /// Whether the (decrypted) body ends in padding: see [`padding_len`].
    #[must_use]
    pub fn has_padding(&self) -> bool {
        self.fixed[0] & 0x20 != 0
    }

    /// Contributing sources, four bytes each, as they lie in the packet.
    #[must_use]
    pub fn csrcs(&self) -> &'a [u8] {
        self.csrcs
    }

    /// Everything before the body: what AES-GCM authenticates but does not encrypt (RFC 7714 section 9.1).
    #[must_use]
    pub fn header(&self) -> &'a [u8] {
        self.header
    }

    /// Everything after the header: payload and padding, or ciphertext and tag.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The header extension with its four bytes of head (RFC 3550 section 5.3.1); empty if the packet has none.
    #[must_use]
    pub fn extension_block(&self) -> &'a [u8] {
        self.extension_block
    }

    /// The data of the first element with an identifier; none for identifier 0, which no element has.
    #[must_use]
    pub fn extension(&self, id: u8) -> Option<&'a [u8]> {
        if id == 0 || self.extension_block.is_empty() {
            return None;
        }
        self.extensions().find(|(found, _)| *found == id).map(|(_, data)| data)
    }

    /// The elements of the header extension: none if its profile is not one of RFC 8285's two.
    #[must_use]
    pub fn extensions(&self) -> Extensions<'a> {
        Extensions::of_block(self.extension_block)
    }
}

/// How many bytes at the end of `payload` are padding, for a packet with the P bit (RFC 3550 section 5.1). At least 1
/// and at most the whole payload: a packet of padding only is valid (bandwidth probes are).
///
/// # Errors
/// If the last byte says 0 or more than there is, or if there is no last byte.
pub fn padding_len(payload: &[u8]) -> Result<usize, MalformedRtp> {
    let len = usize::from(*payload.last().ok_or(MalformedRtp::Padding)?);
    if len == 0 || len > payload.len() { Err(MalformedRtp::Padding) } else { Ok(len) }
}

/// Splits the payload of an RTX packet into the original packet's sequence number and its payload (RFC 4588 section 4);
/// none if it is too short to be one. Probes of padding only are: take the padding off before.
#[must_use]
pub fn split_rtx(payload: &[u8]) -> Option<(u16, &[u8])> {
    payload.split_first_chunk().map(|(sequence, rest)| (u16::from_be_bytes(*sequence), rest))
}

/// The fields of a fixed header that a sender chooses; version, CC and X follow from the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// 0 to 127; the top bit is ignored.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Whether the payload ends in padding.
    pub padding: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Media timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

/// Writes a whole header: fixed part, `csrcs` (four bytes each) and `extension_block` (complete, as
/// [`write_extension_block`] makes it; empty for none), and says how many bytes that took.
///
/// `None` if `out` is too small, and then nothing was written. Also if `csrcs` is not at most 15 times four bytes or
/// `extension_block` not a multiple of four, which a parsed packet cannot cause.
#[must_use]
pub fn write_header(out: &mut [u8], header: &Header, csrcs: &[u8], extension_block: &[u8]) -> Option<usize> {
    let block_out = begin_header(out, header, csrcs, extension_block.len())?;
    block_out.copy_from_slice(extension_block);
    Some(FIXED_HEADER_BYTES + csrcs.len() + extension_block.len())
}

/// The same without the extension block: gives the place of `block_len` bytes where it is to be written.
pub(crate) fn begin_header<'a>(
    out: &'a mut [u8],
    header: &Header,
    csrcs: &[u8],
    block_len: usize,
) -> Option<&'a mut [u8]> {
    if !csrcs.len().is_multiple_of(4) || csrcs.len() > 4 * MAX_CSRCS || !block_len.is_multiple_of(4) {
        return None;
    }
    let len = FIXED_HEADER_BYTES + csrcs.len() + block_len;
    let (fixed, rest) = out.get_mut(..len)?.split_first_chunk_mut::<FIXED_HEADER_BYTES>()?;
    let cc = (csrcs.len() / 4) as u8;
    let flags = 0x80 | u8::from(header.padding) << 5 | u8::from(block_len > 0) << 4 | cc;
    let [s0, s1] = header.sequence.to_be_bytes();
    let [t0, t1, t2, t3] = header.timestamp.to_be_bytes();
    let [i0, i1, i2, i3] = header.ssrc.to_be_bytes();
    let kind = u8::from(header.marker) << 7 | header.payload_type & 0x7f;
    *fixed = [flags, kind, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3];
    let (csrcs_out, block_out) = rest.split_at_mut_checked(csrcs.len())?;
    // Hardly any packet has some, and a copy of nothing is a call all the same.
    if !csrcs.is_empty() {
        csrcs_out.copy_from_slice(csrcs);
    }
    Some(block_out)
}

#[cfg(test)]
mod tests;
