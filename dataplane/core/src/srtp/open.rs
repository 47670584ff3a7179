//! Opening what arrives. Every byte here may be hostile.

use corecast_wire::{SrtpParameters, TransportId};

use super::cipher::{Cipher, gcm_nonce, gcm_open};
use super::error::{KeyError, OpenError};
use super::replay::ReplayWindow;
use super::{
    END_OF_RTP_INDEXES, RTCP_ENCRYPTED, RTCP_HEADER_BYTES, RTCP_TRAILER_BYTES, keys, rollover, rtcp_associated,
    rtcp_ssrc,
};
use crate::limits::MAX_RTCP_SOURCES_PER_KEY;
use crate::memory::{Name, What, Word, Words};

/// Opens RTP and RTCP under one master key, in one direction.
pub struct Opener {
    pub(super) rtp: Cipher,
    pub(super) rtcp: Cipher,
    /// Only SSRCs that have authenticated. Few, so it is searched from the front.
    sources: Vec<Source>,
}

/// A sender of RTCP.
struct Source {
    ssrc: u32,
    window: ReplayWindow,
    /// The SSRC and the end of the window, as they are kept.
    kept: Word,
}

impl Source {
    fn new(ssrc: u32, window: ReplayWindow) -> Self {
        Self { ssrc, window, kept: Word::default() }
    }

    fn accept(&mut self, index: u64) {
        self.window.accept(index);
        let end = self.window.highest().map_or(0, |highest| highest + 1);
        self.kept.set(u64::from(self.ssrc) << 32 | end);
    }
}

/// The senders of RTCP of a transport are kept in the order in which they came.
const fn name_of(transport: TransportId, place: usize) -> Name {
    #[expect(clippy::cast_possible_truncation, reason = "few sources")]
    Name::new(What::RtcpIn, transport.0, place as u8)
}

const _: () = assert!(MAX_RTCP_SOURCES_PER_KEY <= 1 << 8, "a place has eight bits");

impl std::fmt::Debug for Opener {
    /// Keys are not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener").field("rtcp_sources", &self.sources.len()).finish_non_exhaustive()
    }
}

impl Opener {
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
        Self { rtp, rtcp, sources: Vec::new() }
    }

    /// Opens an RTP packet: verifies `header` and `body` (cipher text and tag), writes the payload to the start of
    /// `out` and returns its length. `index` is the rollover counter followed by the sequence number, as
    /// [`ReplayWindow::guess`] gives it and [`ReplayWindow::check`] has let pass. Keeps nothing.
    ///
    /// `ssrc` and the sequence number must be those of `header`: AES-CM authenticates them there and only there.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; what is in `out` is not to be read then.
    pub fn open_rtp(
        &self,
        ssrc: u32,
        index: u64,
        header: &[u8],
        body: &[u8],
        out: &mut [u8],
    ) -> Result<usize, OpenError> {
        if index >= END_OF_RTP_INDEXES {
            return Err(OpenError::IndexOutOfRange);
        }
        let len = body.len().checked_sub(self.rtp.tag_len()).ok_or(OpenError::TooShort)?;
        let (sealed, tag) = body.split_at_checked(len).ok_or(OpenError::TooShort)?;
        let out = out.get_mut(..len).ok_or(OpenError::TooLong)?;
        match &self.rtp {
            Cipher::Gcm { key, salt } => gcm_open(key, gcm_nonce(salt, ssrc, index), header, sealed, tag, out)?,
            Cipher::Cm(cipher) => {
                cipher.verify([header, sealed, &rollover(index)], tag)?;
                out.copy_from_slice(sealed);
                cipher.apply(ssrc, index, out).map_err(|_| OpenError::TooLong)?;
            }
        }
        Ok(len)
    }

    /// Opens an SRTCP packet: checks the replay window of its sender, verifies it, writes the compound to the start of
    /// `out` and returns its length. A sender's window is made when its first packet has authenticated; at most
    /// [`MAX_RTCP_SOURCES_PER_KEY`] of them, and none is given up for another, since that would let replays in.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; what is in `out` is not to be read then.
    pub fn open_rtcp(&mut self, packet: &[u8], out: &mut [u8]) -> Result<usize, OpenError> {
        let (header, rest) = packet.split_first_chunk::<RTCP_HEADER_BYTES>().ok_or(OpenError::TooShort)?;
        let tag_len = self.rtcp.tag_len();
        let body_len = rest.len().checked_sub(tag_len + RTCP_TRAILER_BYTES).ok_or(OpenError::TooShort)?;
        let (body, end) = rest.split_at_checked(body_len).ok_or(OpenError::TooShort)?;
        // AES-GCM: tag, then index (RFC 7714 section 9.3). AES-CM: index, then tag (RFC 3711 section 3.4).
        let (tag, trailer) = match self.rtcp {
            Cipher::Gcm { .. } => end.split_last_chunk::<RTCP_TRAILER_BYTES>(),
            Cipher::Cm(_) => end.split_first_chunk::<RTCP_TRAILER_BYTES>().map(|(trailer, tag)| (tag, trailer)),
        }
        .ok_or(OpenError::TooShort)?;

        let word = u32::from_be_bytes(*trailer);
        if word & RTCP_ENCRYPTED == 0 {
            return Err(OpenError::NotEncrypted);
        }
        let index = u64::from(word & !RTCP_ENCRYPTED);
        let ssrc = rtcp_ssrc(header);
        let source = self.sources.iter().position(|known| known.ssrc == ssrc);
        match source.and_then(|at| self.sources.get(at)) {
            Some(known) => known.window.check(index)?,
            None if self.sources.len() >= MAX_RTCP_SOURCES_PER_KEY => return Err(OpenError::TooManySources),
            None => {}
        }

        let (out_header, out_rest) = out.split_first_chunk_mut::<RTCP_HEADER_BYTES>().ok_or(OpenError::TooLong)?;
        let plain = out_rest.get_mut(..body_len).ok_or(OpenError::TooLong)?;
        *out_header = *header;
        match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                let associated = rtcp_associated(header, trailer);
                gcm_open(key, gcm_nonce(salt, ssrc, index), &associated, body, tag, plain)?;
            }
            Cipher::Cm(cipher) => {
                cipher.verify([header, body, trailer], tag)?;
                plain.copy_from_slice(body);
                cipher.apply(ssrc, index, plain).map_err(|_| OpenError::TooLong)?;
            }
        }
        self.accept_rtcp(source, ssrc, index);
        Ok(RTCP_HEADER_BYTES + body_len)
    }

    /// Remembers a compound that has authenticated.
    fn accept_rtcp(&mut self, source: Option<usize>, ssrc: u32, index: u64) {
        if let Some(known) = source.and_then(|at| self.sources.get_mut(at)) {
            known.accept(index);
            return;
        }
        let mut source = Source::new(ssrc, ReplayWindow::default());
        source.accept(index);
        self.sources.push(source);
    }

    /// Keeps the highest index of the newest sender of RTCP among the worker's words, as that of a transport.
    pub(crate) fn keep_newest(&mut self, words: &mut Words, transport: TransportId) {
        let place = self.sources.len().saturating_sub(1);
        if let Some(source) = self.sources.last_mut() {
            words.keep(&mut source.kept, name_of(transport, place));
        }
    }

    /// Goes on after the worker whose words are left: what was taken in then of a transport's RTCP counts as seen.
    pub(crate) fn follow(&mut self, words: &mut Words, transport: TransportId) {
        while self.sources.len() < MAX_RTCP_SOURCES_PER_KEY
            && let Some(kept) = words.left(name_of(transport, self.sources.len()))
        {
            let (ssrc, end) = ((kept >> 32) as u32, kept & u64::from(u32::MAX));
            self.sources.push(Source::new(ssrc, ReplayWindow::restore(end.saturating_sub(1))));
            self.keep_newest(words, transport);
        }
    }

    /// (SSRC, highest index) of every sender of RTCP.
    pub fn rtcp_sources(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.sources.iter().filter_map(|source| Some((source.ssrc, source.window.highest()?)))
    }
}
