//! What the server and its workers tell the supervisor: one JSON object per line, on a socket pair.
//!
//! The socket is the server's standard output, and that of worker processes too, so that everybody who may die can
//! write last words to it. Lines that are no report are passed to the log.

use std::fmt;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};

use crate::addresses::Names;

/// Longest line. A longer one is cut.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// The server accepts work; the text is for the operator.
    Ready {
        /// Where it listens, on which cores, by which driver.
        summary: String,
        /// Announced names and what they mean: the next server falls back on it.
        names: Names,
    },
    /// The control plane lives.
    Beat,
    /// An operator wants corecast to drain and stop.
    Drain,
    /// An operator wants the server to start again.
    Restart,
    /// The server or a worker could not start. Written by the server.
    StartFailed {
        /// The exit code of a program that has never been ready; none if trying again may help.
        exit: Option<u8>,
        /// A sentence for the operator.
        cause: String,
    },
    /// A thread is dying and says so itself.
    LastWords(Died),
    /// The server has found a worker dead.
    Died(Died),
    /// The server has found that a worker does not answer.
    Stalled(Died),
}

/// Who died, of what, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Died {
    /// None: control.
    pub(crate) worker: Option<u32>,
    pub(crate) core: Option<u32>,
    pub(crate) pid: u32,
    pub(crate) cause: String,
    /// File and line, or offset in the program.
    #[serde(default)]
    pub(crate) place: Option<String>,
}

impl fmt::Display for Died {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.worker {
            Some(worker) => write!(f, "worker {worker}")?,
            None => f.write_str("control")?,
        }
        f.write_str(" (")?;
        if let Some(core) = self.core {
            write!(f, "core {core}, ")?;
        }
        write!(f, "pid {}) died: {}", self.pid, self.cause)?;
        self.place.as_ref().map_or(Ok(()), |place| write!(f, ", at {place}"))
    }
}

/// Writes a report to `to`, in one piece. Needs no file descriptor of its own: a server that has used up all of them
/// still tells that it lives.
pub(crate) fn send(to: &impl AsFd, report: &Report) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    let mut left = line.as_slice();
    while !left.is_empty() {
        match nix::unistd::write(to, left) {
            Ok(written) => left = left.get(written..).unwrap_or_default(),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Reads reports as they come.
#[derive(Debug)]
pub(crate) struct Reports {
    stream: UnixStream,
    bytes: Vec<u8>,
}

impl Reports {
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, bytes: Vec::new() })
    }

    pub(crate) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// What has arrived. Never waits.
    pub(crate) fn take(&mut self) -> Vec<Report> {
        let mut part = [0; 4_096];
        while let Ok(length @ 1..) = self.stream.read(&mut part) {
            self.bytes.extend_from_slice(part.get(..length).unwrap_or_default());
        }
        let mut reports = Vec::new();
        while let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(report) => reports.push(report),
                Err(_) => tracing::info!("server: {}", String::from_utf8_lossy(&line).trim_end()),
            }
        }
        if self.bytes.len() > MAX_LINE_BYTES {
            self.bytes.clear();
        }
        reports
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_may_come_in_pieces_and_between_others() {
        let (mut theirs, ours) = UnixStream::pair().expect("socket pair");
        let mut reports = Reports::new(ours).expect("non-blocking");
        let died = Died { worker: Some(1), core: Some(3), pid: 9, cause: "SIGSEGV".into(), place: None };
        theirs.write_all(b"not a report\n{\"las").expect("writes");
        assert_eq!(reports.take(), []);
        theirs.write_all(b"t_words\":{\"worker\":1,\"core\":3,\"pid\":9,\"cause\":\"SIGSEGV\"}}\n").expect("writes");
        send(&theirs, &Report::Beat).expect("writes");
        assert_eq!(reports.take(), [Report::LastWords(died.clone()), Report::Beat]);
        assert_eq!(died.to_string(), "worker 1 (core 3, pid 9) died: SIGSEGV");
    }
}
