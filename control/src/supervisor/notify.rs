//! What systemd is told (`Type=notify`, `WatchdogSec=`). Without systemd nothing happens.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

const IDLE: Duration = Duration::from_secs(1);

/// The watchdog's clock.
#[derive(Debug)]
pub(super) struct Notify {
    watchdog: Option<Duration>,
    told: Instant,
    ready: bool,
}

impl Notify {
    pub(super) fn new() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled(), told: Instant::now(), ready: false }
    }

    /// At most this long between two calls of [`Notify::keep_alive`].
    pub(super) fn interval(&self) -> Duration {
        self.watchdog.map_or(IDLE, |watchdog| (watchdog / 4).min(IDLE))
    }

    /// The supervisor lives. A server that hangs is its own affair: it restarts it.
    pub(super) fn keep_alive(&mut self) {
        if self.watchdog.is_some_and(|watchdog| self.told.elapsed() >= watchdog / 4) {
            self.told = Instant::now();
            tell(&[NotifyState::Watchdog]);
        }
    }

    /// The server accepts work. True for the first time.
    pub(super) fn ready(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.ready, true);
        if first {
            tell(&[NotifyState::Ready]);
        }
        self.status("ready");
        first
    }

    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    pub(super) fn status(&self, status: &str) {
        tell(&[NotifyState::Status(status)]);
    }
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::debug!("systemd cannot be told: {error}");
    }
}
