//! Frames of a link: a little-endian `u32` length, then that many bytes of postcard.
//!
//! A link is a byte stream (a Unix socket pair). Its end is the sign of death; nothing else is.

use serde::{Deserialize, Serialize};

use crate::{Command, CommandError, Event, Reply, WorkerConfig};

/// A frame is never longer than this, its length prefix not counted.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;

const PREFIX_BYTES: usize = 4;

/// What travels on a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Frame {
    /// First frame, control to worker.
    Config(WorkerConfig),
    /// Control to worker.
    Request {
        /// Chosen by control; comes back in the reply.
        id: u64,
        /// What is asked.
        command: Command,
    },
    /// Worker to control, one per request, in the order of the requests.
    Reply {
        /// Number of the request.
        id: u64,
        /// What came of it.
        result: Result<Reply, CommandError>,
    },
    /// Worker to control.
    Event(Event),
}

/// A frame that cannot be sent or read. The link is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME_BYTES`].
    #[error("frame of {0} bytes is longer than {MAX_FRAME_BYTES}")]
    TooLong(usize),
    /// Not what postcard wrote.
    #[error("frame cannot be read: {0}")]
    Malformed(#[from] postcard::Error),
}

/// Appends one frame to `out`.
///
/// # Errors
/// [`FrameError::TooLong`]; `out` is as it was.
pub fn encode(frame: &Frame, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let body = postcard::to_stdvec(frame)?;
    let Some(length) = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_FRAME_BYTES) else {
        return Err(FrameError::TooLong(body.len()));
    };
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&body);
    Ok(())
}

/// Cuts a byte stream into frames.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    bytes: Vec<u8>,
    read: usize,
}

impl FrameDecoder {
    /// Takes in what the link delivered.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.read);
        self.read = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    ///
    /// # Errors
    /// Any error ends the link: what follows cannot be told apart.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let pending = self.bytes.get(self.read..).unwrap_or_default();
        let Some((prefix, rest)) = pending.split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length > MAX_FRAME_BYTES {
            return Err(FrameError::TooLong(length));
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = postcard::from_bytes(body)?;
        self.read += PREFIX_BYTES + length;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cut() {
        let frames = [
            Frame::Request { id: 1, command: Command::Usage },
            Frame::Reply { id: 1, result: Err(CommandError::SsrcTaken(5)) },
            Frame::Event(Event::StartFailed(crate::StartError::Other("x".into()))),
        ];
        let mut stream = Vec::new();
        for frame in &frames {
            encode(frame, &mut stream).expect("short frames");
        }
        for cut in 0..stream.len() {
            let mut decoder = FrameDecoder::default();
            let mut got = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                decoder.push(part);
                while let Some(frame) = decoder.next_frame().expect("well-formed") {
                    got.push(frame);
                }
            }
            assert_eq!(got, frames);
        }
    }

    #[test]
    fn a_length_beyond_the_maximum_ends_the_link() {
        let mut decoder = FrameDecoder::default();
        decoder.push(&u32::MAX.to_le_bytes());
        assert!(matches!(decoder.next_frame(), Err(FrameError::TooLong(_))));
    }
}
