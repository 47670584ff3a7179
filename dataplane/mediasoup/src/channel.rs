//! The channel to the library: messages behind their length, read on descriptor 3 and written on descriptor 4, without
//! ever blocking.
//!
//! A message is a FlatBuffer with its length before it (little endian, 32 bits). The peer is this process's parent, but
//! what it sends is checked as if it were not: a message that is too long is passed over, one that cannot be read is
//! logged and left.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use corecast_mediasoup_worker::fbs::message::{Body, Message};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use planus::Builder;

/// Descriptor on which the library's messages come.
pub(crate) const READ_FD: i32 = 3;
/// Descriptor on which it takes ours.
pub(crate) const WRITE_FD: i32 = 4;
/// Longest message in either direction, in bytes: mediasoup's.
const MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024 - 4;
const PREFIX_BYTES: usize = 4;
/// Bytes read at most in one turn, so that a flood of requests cannot keep media waiting.
const READ_BYTES: usize = 64 * 1024;
/// The library is dead if it leaves more than this unread, in bytes.
const MAX_BACKLOG_BYTES: usize = 64 * 1024 * 1024;

/// Both ends, and what has not been read or written whole.
pub(crate) struct Channel {
    reader: File,
    writer: File,
    framing: Framing,
    room: Box<[u8]>,
    backlog: Vec<u8>,
    written: usize,
    builder: Builder,
    ended: bool,
}

/// Cuts a byte stream into messages.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    bytes: Vec<u8>,
    read: usize,
    /// Bytes of a message that is too long, still to come.
    skip: usize,
}

impl Channel {
    /// Takes the two descriptors over.
    pub(crate) fn new(reader: OwnedFd, writer: OwnedFd) -> Self {
        for fd in [reader.as_fd(), writer.as_fd()] {
            // Cannot fail for a descriptor that is open.
            let _ = fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        }
        Self {
            reader: reader.into(),
            writer: writer.into(),
            framing: Framing::default(),
            room: vec![0; READ_BYTES].into_boxed_slice(),
            backlog: Vec::new(),
            written: 0,
            builder: Builder::new(),
            ended: false,
        }
    }

    /// Readable when messages have come.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// Takes in what has come.
    pub(crate) fn read(&mut self) {
        match self.reader.read(&mut self.room) {
            Ok(0) => self.ended = true,
            Ok(count) => self.framing.push(self.room.get(..count).unwrap_or_default()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.ended = true,
        }
    }

    /// What has come, to be taken out message by message, and then given back.
    pub(crate) fn take_framing(&mut self) -> Framing {
        std::mem::take(&mut self.framing)
    }

    /// Takes back what [`Self::take_framing`] gave. Nothing may have been read meanwhile.
    pub(crate) fn give_back(&mut self, framing: Framing) {
        self.framing = framing;
    }

    /// The library has closed its end, or no longer reads.
    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Queues a message.
    pub(crate) fn send(&mut self, body: Body) {
        self.builder.clear();
        let bytes = self.builder.finish(Message { data: body }, None);
        let Some(length) = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= MAX_MESSAGE_BYTES) else {
            tracing::error!(bytes = bytes.len(), "a message is too long for the channel");
            return;
        };
        self.backlog.extend_from_slice(&length.to_le_bytes());
        self.backlog.extend_from_slice(bytes);
    }

    /// Writes as much as can be written without waiting.
    pub(crate) fn flush(&mut self) {
        while let Some(rest) = self.backlog.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.writer.write(rest) {
                Ok(count) if count > 0 => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => {
                    self.ended = true;
                    self.backlog.clear();
                    self.written = 0;
                    return;
                }
            }
        }
        self.backlog.drain(..self.written);
        self.written = 0;
        if self.backlog.len() > MAX_BACKLOG_BYTES {
            eprintln!("the library no longer reads its channel");
            self.ended = true;
        }
    }

    /// Whether something waits to be written.
    pub(crate) const fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }
}

impl Framing {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.read);
        self.read = 0;
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        self.bytes.extend_from_slice(bytes.get(skipped..).unwrap_or_default());
    }

    /// The next message that is there whole.
    pub(crate) fn next_message(&mut self) -> Option<&[u8]> {
        loop {
            let pending = self.bytes.get(self.read..).unwrap_or_default();
            let (prefix, rest) = pending.split_first_chunk::<PREFIX_BYTES>()?;
            let length = usize::try_from(u32::from_le_bytes(*prefix)).ok()?;
            if length <= MAX_MESSAGE_BYTES {
                let from = self.read + PREFIX_BYTES;
                let whole = from..from + length;
                if rest.len() >= length {
                    self.read = whole.end;
                }
                return self.bytes.get(whole);
            }
            tracing::error!(length, "a message that is too long is passed over");
            let there = length.min(rest.len());
            self.skip = length - there;
            self.read += PREFIX_BYTES + there;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).expect("short");
        [&length.to_le_bytes()[..], message].concat()
    }

    #[test]
    fn messages_survive_any_cut() {
        let stream = [framed(b"one"), framed(b""), framed(b"three")].concat();
        for cut in 0..=stream.len() {
            let mut framing = Framing::default();
            let mut got = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                framing.push(part);
                while let Some(message) = framing.next_message() {
                    got.push(message.to_vec());
                }
            }
            assert_eq!(got, [&b"one"[..], b"", b"three"], "cut at {cut}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_costs_itself_alone() {
        let long = MAX_MESSAGE_BYTES + 1;
        let mut framing = Framing::default();
        framing.push(&u32::try_from(long).expect("short").to_le_bytes());
        let mut left = long;
        while left > 0 {
            let count = left.min(100_000);
            framing.push(&vec![7; count]);
            assert_eq!(framing.next_message(), None);
            assert!(framing.bytes.len() <= PREFIX_BYTES + count, "it is not kept");
            left -= count;
        }
        framing.push(&framed(b"next"));
        assert_eq!(framing.next_message(), Some(&b"next"[..]));
    }
}
