//! A program that was built without the feature `otlp`: nobody takes spans.

use std::io;
use std::time::Duration;

use hyper::HeaderMap;
use tracing::Span;

use super::Counts;
use crate::config::Telemetry;
use crate::logging::Spans;

/// What would send spans.
pub(crate) struct Exporter;

/// Nothing takes spans. Settings that want them sent have been refused.
pub(crate) fn begin(_: &Telemetry) -> Result<(Option<Spans>, Exporter), String> {
    Ok((None, Exporter))
}

impl Exporter {
    /// Nothing.
    pub(crate) fn start(self) -> io::Result<()> {
        Ok(())
    }
}

/// There are none.
pub(crate) fn counts() -> Option<Counts> {
    None
}

/// Nothing waits.
pub(crate) async fn flush(_: Duration) {}

/// Nothing is followed.
pub(crate) fn follow(_: &Span, _: &HeaderMap) {}

/// Nothing is passed on.
pub(crate) fn pass_on(_: &mut HeaderMap) {}
