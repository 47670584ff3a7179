//! Progress on standard error; standard output is for results.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Parts of a step that the bar tells apart.
const PARTS: u64 = 1_000;

/// A bar that says what is going on, and is full when everything is done. Drawn only when told to: nothing may disturb
/// a measurement.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    steps: u64,
    /// Steps that have begun.
    begun: AtomicU64,
}

impl Progress {
    /// A bar of so many steps.
    #[must_use]
    pub fn new(steps: u64) -> Self {
        let bar = ProgressBar::new(steps * PARTS);
        if let Ok(style) = ProgressStyle::with_template("{bar:24.cyan} {elapsed:>4}  {msg}") {
            bar.set_style(style);
        }
        Self { bar, steps, begun: AtomicU64::new(0) }
    }

    /// The next step begins: those before it are done.
    pub fn step(&self, what: &str) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.show(what, 0.0);
        self.bar.tick();
    }

    /// Something to keep on the screen.
    pub fn note(&self, what: &str) {
        self.bar.suspend(|| eprintln!("{what}"));
    }

    /// Something to keep on standard output.
    pub fn aside(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    /// How far the step has come.
    pub fn within(&self, what: &str, done: Duration, of: Duration) {
        let what = format!("{what} ({:.0} of {:.0} s)", done.as_secs_f64(), of.as_secs_f64());
        self.show(&what, (done.as_secs_f64() / of.as_secs_f64()).min(1.0));
    }

    fn show(&self, what: &str, part: f64) {
        let begun = self.begun.load(Ordering::Relaxed);
        self.bar.set_position(begun.saturating_sub(1) * PARTS + (part * PARTS as f64) as u64);
        self.bar.set_message(format!("{begun} of {}: {what}", self.steps));
    }

    /// The last step is done. Leaves nothing behind.
    ///
    /// # Panics
    /// In a debug build, if there were more steps than were announced, or fewer.
    pub fn finish(&self) {
        debug_assert_eq!(self.begun.load(Ordering::Relaxed), self.steps, "another number of steps was announced");
        self.bar.set_position(self.steps * PARTS);
        self.bar.finish_and_clear();
    }
}
