//! The worker's end of its link to control: a Unix stream of frames that never blocks the worker.
//!
//! Owns the stream and the bytes that have not been written to it yet. The end of the stream is the only sign of death.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use corecast_wire::{Command, CommandError, Event, Frame, FrameDecoder, Reply, StartError, WorkerConfig, encode};

use crate::control::{Control, Machine, Served};

/// Control is dead if it leaves more than this unread, in bytes.
const MAX_BACKLOG_BYTES: usize = 1024 * 1024;
/// Bytes read at most in one turn, so that a flood of commands cannot keep media waiting.
const READ_BYTES: usize = 64 * 1024;

/// The link cannot be used any longer: control has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended;

/// Worker's end of a link.
pub(crate) struct Link {
    stream: UnixStream,
    decoder: FrameDecoder,
    room: Box<[u8]>,
    backlog: Vec<u8>,
    written: usize,
    ended: bool,
}

impl Link {
    /// Waits for the first frame.
    ///
    /// # Errors
    /// The link ends, or its first frame is another one.
    pub(crate) fn accept(mut stream: UnixStream) -> Result<(Self, WorkerConfig), StartError> {
        let refused = |cause: String| StartError::Other(format!("link: {cause}"));
        let mut decoder = FrameDecoder::default();
        let mut room = vec![0; READ_BYTES].into_boxed_slice();
        loop {
            match decoder.next_frame().map_err(|error| refused(error.to_string()))? {
                Some(Frame::Config(config)) => {
                    stream.set_nonblocking(true).map_err(|error| refused(error.to_string()))?;
                    let link = Self { stream, decoder, room, backlog: Vec::new(), written: 0, ended: false };
                    return Ok((link, config));
                }
                Some(_) => return Err(refused("the first frame is not a configuration".into())),
                None => {}
            }
            match stream.read(&mut room) {
                Ok(0) => return Err(refused("ended before the configuration came".into())),
                Ok(count) => decoder.push(room.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(refused(error.to_string())),
            }
        }
    }

    /// Reads from the stream. Its end is noticed here and reported once the requests before it have been read.
    fn read(&mut self) {
        match self.stream.read(&mut self.room) {
            Ok(0) => self.ended = true,
            Ok(count) => self.decoder.push(self.room.get(..count).unwrap_or_default()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.ended = true,
        }
    }

    /// The next request, if a whole one is there.
    fn next_request(&mut self) -> Result<Option<(u64, Command)>, Ended> {
        match self.decoder.next_frame() {
            Ok(Some(Frame::Request { id, command })) => Ok(Some((id, command))),
            Ok(None) if !self.ended => Ok(None),
            Ok(Some(other)) => {
                tracing::error!(?other, "control sent a frame that is not a request");
                Err(Ended)
            }
            Ok(None) => Err(Ended),
            Err(error) => {
                tracing::error!(%error, "control sent a frame that cannot be read");
                Err(Ended)
            }
        }
    }

    /// Queues the answer to a request.
    fn reply(&mut self, id: u64, result: Result<Reply, CommandError>) {
        if let Err(error) = encode(&Frame::Reply { id, result }, &mut self.backlog) {
            let limit = CommandError::Invalid { field: "reply".into(), cause: error.to_string() };
            // An error message is short.
            let _ = encode(&Frame::Reply { id, result: Err(limit) }, &mut self.backlog);
        }
    }

    /// Writes as many bytes as the stream takes without blocking.
    fn flush(&mut self) -> Result<(), Ended> {
        while let Some(rest) = self.backlog.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return Err(Ended),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(Ended),
            }
        }
        self.backlog.drain(..self.written);
        self.written = 0;
        if self.backlog.len() > MAX_BACKLOG_BYTES {
            tracing::error!(bytes = self.backlog.len(), "control no longer reads its link");
            return Err(Ended);
        }
        Ok(())
    }
}

impl Control for Link {
    fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    fn serve(&mut self, machine: &mut dyn Machine) -> Served {
        self.read();
        let mut served = Served::All;
        loop {
            if !machine.has_time() {
                served = Served::More;
                break;
            }
            match self.next_request() {
                Ok(Some((id, Command::Shutdown))) => {
                    machine.leave();
                    self.reply(id, Ok(Reply::Done));
                    self.drain();
                    return Served::Ended;
                }
                Ok(Some((id, command))) => {
                    let result = machine.execute(&command);
                    while let Some(event) = machine.next_event() {
                        self.tell(event);
                    }
                    self.reply(id, result);
                }
                Ok(None) => break,
                Err(Ended) => return Served::Ended,
            }
        }
        if self.flush().is_err() { Served::Ended } else { served }
    }

    fn tell(&mut self, event: Event) {
        if let Err(error) = encode(&Frame::Event(event), &mut self.backlog) {
            tracing::error!(%error, "an event does not fit a frame");
        }
    }

    fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    fn drain(&mut self) {
        let waits = self.stream.set_nonblocking(false).is_ok()
            && self.stream.set_write_timeout(Some(std::time::Duration::from_secs(1))).is_ok();
        if waits && self.flush().is_err() {
            tracing::debug!("control had gone before the worker's last words");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_that_does_not_read_is_dead_after_a_mebibyte() {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let mut config = Vec::new();
        encode(&Frame::Config(crate::tests::config()), &mut config).expect("short");
        (&theirs).write_all(&config).expect("room");
        let (mut link, _) = Link::accept(ours).expect("configured");
        let event =
            || Event::Started { io: corecast_wire::Io::Syscalls, reason: "x".repeat(60_000), warnings: Vec::new() };
        let mut events = 0;
        let ended = loop {
            link.tell(event());
            events += 1;
            if let Err(ended) = link.flush() {
                break ended;
            }
            assert!(events < 1_000, "never noticed");
        };
        assert_eq!(ended, Ended);
        assert!(events > MAX_BACKLOG_BYTES / 60_100, "given up after {events} events");
    }

    #[test]
    fn requests_before_the_end_are_still_read() {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let mut bytes = Vec::new();
        encode(&Frame::Config(crate::tests::config()), &mut bytes).expect("short");
        encode(&Frame::Request { id: 9, command: Command::Shutdown }, &mut bytes).expect("short");
        (&theirs).write_all(&bytes).expect("room");
        drop(theirs);
        let (mut link, _) = Link::accept(ours).expect("configured");
        link.read();
        assert_eq!(link.next_request(), Ok(Some((9, Command::Shutdown))));
        assert_eq!(link.next_request(), Err(Ended));
    }
}
