//! Progress on standard error; standard output is for results.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that says what is going on. Drawn only when told to: nothing may disturb a measurement.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar of so many steps.
    #[must_use]
    pub fn new(steps: u64) -> Self {
        let bar = ProgressBar::new(steps);
        if let Ok(style) = ProgressStyle::with_template("{bar:24.cyan} {pos:>2}/{len} {elapsed:>4}  {msg}") {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// The next step begins.
    pub fn step(&self, what: &str) {
        self.bar.inc(1);
        self.bar.set_message(what.to_owned());
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
        self.bar.set_message(format!("{what} ({:.0} of {:.0} s)", done.as_secs_f64(), of.as_secs_f64()));
    }

    /// Leaves nothing behind.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
