//! The log: lines on standard error; and the summary on standard output.
//!
//! Nobody who logs waits or fails, whatever becomes of the two streams: a full disk, a reader that sleeps or has gone
//! would otherwise stop or end the server. Lines go into a bounded queue, and a thread for each stream writes them. A
//! line that finds the queue full, or cannot be written, is lost; the log says how many as soon as it can be written
//! again, and `/stats` and `/health` say it as well.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use corecast_dataplane::sandbox::{self, Part};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::settings::{LogFormat, SandboxSetting};

/// Lines that wait to be written.
const MAX_LINES: usize = 1_024;
/// Longest line. A longer one is cut.
const MAX_LINE_BYTES: usize = 8 * 1024;
/// Time for the last lines before a process ends. Less than the supervisor waits after last words.
const FLUSH_LIMIT: Duration = Duration::from_millis(200);
const FLUSH_RETRY: Duration = Duration::from_millis(1);

static LOG: OnceLock<Outlet> = OnceLock::new();
static OUTPUT: OnceLock<Outlet> = OnceLock::new();

/// Opens the log of this process: once, before anything is logged.
///
/// # Errors
/// The system gives no thread or no file descriptor.
pub(crate) fn open() -> io::Result<()> {
    let outlet = Outlet::open("log", io::stderr().as_fd())?;
    LOG.set(outlet).map_err(|_| io::Error::other("the log is open already"))
}

/// What is not traced unless the operator's filter names it: the library of data channels writes out every packet at
/// the level "info", with what people say in it; and spans are for traces.
const QUIET: &str = "dcsctp=off,spans=off";

/// What takes spans beside the log.
pub(crate) type Spans = Box<dyn Layer<Registry> + Send + Sync>;

/// What replaces the filter of a log that has been started.
type SetFilter = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

fn env_filter(filter: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(format!("{QUIET},{filter}")).map_err(|error| error.to_string())
}

/// Passes what the program traces to the log, and its spans to what takes them, if there is something. The filter has
/// been checked with the settings.
pub(crate) fn start(filter: &str, format: LogFormat, spans: Option<Spans>) {
    let Some(log) = LOG.get() else { return };
    let _ = FORMAT.set(format);
    let (filter, handle) = reload::Layer::new(env_filter(filter).unwrap_or_default());
    let lines = fmt::layer()
        .with_writer(move || log)
        .with_ansi(format == LogFormat::Text && io::stderr().is_terminal())
        .with_target(false)
        // By default an event that cannot be written is told on standard error, by a macro that panics.
        .log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    tracing_subscriber::registry().with(spans).with(lines).init();
    let _ = SET_FILTER.set(Box::new(move |filter| handle.reload(filter).is_ok()));
}

/// Another filter holds from now on, in this process.
///
/// # Errors
/// It cannot be read, and the one before holds.
pub(crate) fn set_filter(filter: &str) -> Result<(), String> {
    let filter = env_filter(filter)?;
    match SET_FILTER.get() {
        Some(set) if set(filter) => Ok(()),
        _ => Err("this process has no log whose filter could be set".into()),
    }
}

/// A line of this program's own making, in the form of the others.
fn line(level: &str, sentence: &str) -> String {
    let mut time = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    match FORMAT.get() {
        Some(LogFormat::Json) => json!({ "timestamp": time, "level": level, "message": sentence }).to_string() + "\n",
        _ => format!("{time} {level:>5} {sentence}\n"),
    }
}

/// A sentence for the operator, whatever the filter: why the program ends.
pub(crate) fn say(sentence: &str) {
    if let Some(log) = LOG.get() {
        let said = match FORMAT.get() {
            Some(LogFormat::Json) => line("ERROR", sentence),
            _ => format!("corecast: {sentence}\n"),
        };
        log.put(said.as_bytes());
    }
}

/// Writes lines to standard output. Only the supervisor may: the standard output of the others is their report.
pub(crate) fn print(text: &str) {
    if OUTPUT.get().is_none() {
        match Outlet::open("output", io::stdout().as_fd()) {
            Ok(outlet) => drop(OUTPUT.set(outlet)),
            Err(error) => tracing::warn!("standard output cannot be used: {error}"),
        }
    }
    if let Some(output) = OUTPUT.get() {
        output.put(format!("{text}\n").as_bytes());
    }
}

/// Waits until everything has been written, for a moment at most: to be called before the process ends.
pub(crate) fn flush() {
    let until = Instant::now() + FLUSH_LIMIT;
    for outlet in [LOG.get(), OUTPUT.get()].into_iter().flatten() {
        outlet.flush(until);
    }
}

/// The threads that write lines give up what they do not need.
pub(crate) fn confine(how: SandboxSetting) {
    for outlet in [LOG.get(), OUTPUT.get()].into_iter().flatten() {
        // One that is full at the start of a process is one that nobody reads.
        let _ = outlet.queue.try_send(Item::Confine(how));
    }
}

/// The same of the calling thread, which reads lines. What the kernel cannot do of it, others have said.
pub(crate) fn confine_reader(how: SandboxSetting) {
    drop(sandbox::confine(Part::Aside, how.0));
}

/// Lines of this process's log that could not be written so far.
pub(crate) fn lost_lines() -> u64 {
    LOG.get().map_or(0, |log| log.lost.load(Ordering::Relaxed))
}

enum Item {
    Line(Vec<u8>),
    /// What the thread gives up from now on.
    Confine(SandboxSetting),
    /// Everything before it has been written.
    Flush(SyncSender<()>),
}

/// A stream of lines, written by a thread of its own.
struct Outlet {
    queue: SyncSender<Item>,
    lost: Arc<AtomicU64>,
}

impl Outlet {
    fn open(name: &str, to: BorrowedFd<'_>) -> io::Result<Self> {
        let to = File::from(to.try_clone_to_owned()?);
        let (queue, queued) = sync_channel(MAX_LINES);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || write_lines(&to, &queued, &counted))?;
        Ok(Self { queue, lost })
    }

    /// Takes a line, or counts it as lost. Never waits.
    fn put(&self, line: &[u8]) {
        let mut bytes = line.get(..MAX_LINE_BYTES).unwrap_or(line).to_vec();
        if bytes.len() < line.len() {
            bytes.push(b'\n');
        }
        if self.queue.try_send(Item::Line(bytes)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self, until: Instant) {
        let left = || until.saturating_duration_since(Instant::now());
        let (done, written) = sync_channel(1);
        let mut item = Item::Flush(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(item) {
            if left().is_zero() {
                return;
            }
            item = back;
            std::thread::sleep(FLUSH_RETRY);
        }
        let _ = written.recv_timeout(left());
    }
}

/// One event of `tracing-subscriber`, which writes it in one piece.
impl Write for &Outlet {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_lines(to: &File, queued: &Receiver<Item>, lost: &AtomicU64) {
    let mut told = 0;
    for item in queued {
        let line = match item {
            Item::Line(line) => line,
            Item::Flush(done) => {
                let _ = done.try_send(());
                continue;
            }
            Item::Confine(how) => {
                confine_reader(how);
                continue;
            }
        };
        let missing = lost.load(Ordering::Relaxed);
        if missing > told && write_all(to, notice(missing - told).as_bytes()).is_ok() {
            told = missing;
        }
        if write_all(to, &line).is_err() {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn notice(lines: u64) -> String {
    line("WARN", &format!("{lines} lines of this log could not be written and are lost"))
}

/// A write that may take for ever, also where somebody has made the stream non-blocking.
fn write_all(mut to: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(to.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE).map(drop)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn lost(outlet: &Outlet) -> u64 {
        outlet.lost.load(Ordering::Relaxed)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn a_full_disk_loses_lines_and_nothing_else() {
        let full = File::options().write(true).open("/dev/full").expect("Linux has it");
        let outlet = Outlet::open("test", full.as_fd()).expect("opens");
        for _ in 0..10 {
            outlet.put(b"a line\n");
        }
        outlet.flush(soon());
        assert_eq!(lost(&outlet), 10);
    }

    #[test]
    fn a_reader_that_has_gone_loses_lines_and_nothing_else() {
        let (ours, theirs) = UnixStream::pair().expect("socket pair");
        let outlet = Outlet::open("test", ours.as_fd()).expect("opens");
        drop(theirs);
        outlet.put(b"a line\n");
        outlet.flush(soon());
        assert_eq!(lost(&outlet), 1);
    }

    #[test]
    fn a_reader_that_sleeps_blocks_nobody_and_is_told_what_it_missed() {
        let (reading, writing) = nix::unistd::pipe().expect("pipe");
        let outlet = Outlet::open("test", writing.as_fd()).expect("opens");
        drop(writing);
        let line = [b"x".repeat(99), b"\n".to_vec()].concat();
        for _ in 0..10_000 {
            outlet.put(&line);
        }
        let missed = lost(&outlet);
        assert!(missed > 0, "a megabyte fits into no pipe");
        let mut text = String::new();
        // Ends with the outlet's thread, that with the outlet.
        let read = std::thread::spawn(move || File::from(reading).read_to_string(&mut text).map(|_| text));
        outlet.flush(soon());
        outlet.put(b"the last line\n");
        drop(outlet);
        let text = read.join().expect("runs").expect("reads");
        assert!(text.ends_with("the last line\n"));
        let notices = || text.lines().filter_map(|line| line.split_once(" WARN ")?.1.split_once(" lines of this log"));
        let told: u64 = notices().map(|(lines, _)| lines.parse::<u64>().expect("a number")).sum();
        assert_eq!(told, missed);
        assert_eq!(text.lines().count() as u64, 10_000 - missed + 1 + notices().count() as u64);
    }

    #[test]
    fn a_stream_that_was_made_non_blocking_is_waited_for() {
        let (ours, mut theirs) = UnixStream::pair().expect("socket pair");
        ours.set_nonblocking(true).expect("set");
        let outlet = Outlet::open("test", ours.as_fd()).expect("opens");
        drop(ours);
        let line = [b"x".repeat(MAX_LINE_BYTES - 1), b"\n".to_vec()].concat();
        for _ in 0..100 {
            outlet.put(&line);
        }
        drop(outlet);
        let mut text = Vec::new();
        theirs.read_to_end(&mut text).expect("reads");
        assert_eq!(text.len(), 100 * MAX_LINE_BYTES);
    }

    #[test]
    fn a_long_line_is_cut() {
        let (ours, mut theirs) = UnixStream::pair().expect("socket pair");
        let outlet = Outlet::open("test", ours.as_fd()).expect("opens");
        drop(ours);
        outlet.put(&b"x".repeat(MAX_LINE_BYTES + 100));
        drop(outlet);
        let mut text = Vec::new();
        theirs.read_to_end(&mut text).expect("reads");
        assert_eq!((text.len(), text.last()), (MAX_LINE_BYTES + 1, Some(&b'\n')));
    }
}
