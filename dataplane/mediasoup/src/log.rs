//! The log: lines go to the library on the channel, each behind a letter for its level, if the library's settings want
//! them. Warnings and what is for debugging have the tag `info`.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Lines that wait to be sent. The oldest go.
const MAX_LINES: usize = 1_024;
/// Tag of everything that is said here.
const TAG: &str = "info";
const TAGS: [&str; 13] =
    ["info", "ice", "dtls", "rtp", "srtp", "rtcp", "rtx", "bwe", "score", "simulcast", "svc", "sctp", "message"];

/// What is told at most (`logLevel`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Nothing.
    None,
    /// What should not happen.
    Error,
    /// What the operator should know.
    Warn,
    /// All.
    Debug,
}

impl std::str::FromStr for Level {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.to_ascii_lowercase().as_str() {
            "debug" => Ok(Self::Debug),
            "warn" => Ok(Self::Warn),
            "error" => Ok(Self::Error),
            "none" => Ok(Self::None),
            _ => Err(format!("invalid value '{name}' for logLevel")),
        }
    }
}

/// What is told of below an error (`logTags`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tags(BTreeSet<&'static str>);

impl Tags {
    /// Names that are not known are passed over, as mediasoup does.
    pub(crate) fn of(names: &[String]) -> Self {
        Self(TAGS.into_iter().filter(|tag| names.iter().any(|name| name == tag)).collect())
    }

    /// Whether this one is wanted.
    pub(crate) fn has(&self, tag: &str) -> bool {
        self.0.contains(tag)
    }
}

/// Lines on their way to the library.
pub(crate) struct Log(Mutex<State>);

struct State {
    level: Level,
    tags: Tags,
    lines: VecDeque<String>,
}

impl Log {
    pub(crate) fn new(level: Level, tags: &Tags) -> Self {
        Self(Mutex::new(State { level, tags: tags.clone(), lines: VecDeque::new() }))
    }

    /// Changes what is told.
    pub(crate) fn set(&self, level: Option<Level>, tags: Option<Tags>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.level = level.unwrap_or(state.level);
        if let Some(tags) = tags {
            state.tags = tags;
        }
    }

    /// The oldest line that has not been sent.
    pub(crate) fn next(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lines.pop_front()
    }

    fn put(&self, level: Level, line: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if level > state.level || (level > Level::Error && !state.tags.has(TAG)) {
            return;
        }
        if state.lines.len() == MAX_LINES {
            state.lines.pop_front();
        }
        let letter = match level {
            Level::Debug => 'D',
            Level::Warn => 'W',
            Level::Error | Level::None => 'E',
        };
        state.lines.push_back(format!("{letter}{line}"));
    }
}

/// From now on what this process traces goes to `log`.
pub(crate) fn start(log: &Arc<Log>) {
    let subscriber = tracing_subscriber::registry().with(Lines(Arc::clone(log)));
    // Another one cannot be there: this is called once, before anything is traced.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

struct Lines(Arc<Log>);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            _ => Level::Debug,
        };
        let mut line = Line(format!("{} |", event.metadata().target()));
        event.record(&mut line);
        self.0.put(level, &line.0);
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to memory does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_is_told() {
        let log = Log::new(Level::Error, &Tags::default());
        log.put(Level::Warn, "unwanted");
        log.put(Level::Error, "bad");
        assert_eq!((log.next().as_deref(), log.next()), (Some("Ebad"), None));
        log.set(Some(Level::Debug), None);
        log.put(Level::Debug, "without its tag");
        log.set(None, Some(Tags::of(&["info".into(), "unknown".into()])));
        log.put(Level::Debug, "small");
        assert_eq!((log.next().as_deref(), log.next()), (Some("Dsmall"), None));
    }

    #[test]
    fn of_too_many_lines_the_oldest_go() {
        let log = Log::new(Level::Error, &Tags::default());
        (0..=MAX_LINES).for_each(|number| log.put(Level::Error, &number.to_string()));
        assert_eq!(log.next().as_deref(), Some("E1"));
    }
}
