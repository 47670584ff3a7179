//! Spans: what the control plane does for a request, a join, a start or a webhook, and how long each part of it takes.
//!
//! They are spans of `tracing` with a target of their own, which the log leaves out: where nobody takes them, one costs
//! a look at a number. With the feature `otlp` and `telemetry.otlp_endpoint` they leave as OpenTelemetry traces.
//!
//! Nothing secret is in them: of a path the route, for a session's URL is its key; of a URL no query; of a command its
//! name.

#[cfg(feature = "otlp")]
mod otlp;
#[cfg(not(feature = "otlp"))]
mod without;

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use corecast_wire::Command;
use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span};

#[cfg(feature = "otlp")]
pub(crate) use otlp::{begin, counts, flush, follow, pass_on};
#[cfg(not(feature = "otlp"))]
pub(crate) use without::{begin, counts, flush, follow, pass_on};

/// Target of all spans.
pub(crate) const TARGET: &str = "spans";
/// Longest name that clients give.
const MAX_NAME_BYTES: usize = 128;
/// Commands of a batch whose names are told.
const MAX_COMMANDS: usize = 8;

/// What became of the spans that were recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// The collector has them.
    pub(crate) exported: u64,
    /// The collector did not take them.
    pub(crate) failed: u64,
    /// Too many waited already.
    pub(crate) dropped: u64,
}

/// Text of a client's, cut to a length that is good for a name.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_NAME_BYTES)).unwrap_or_default()
}

/// A request by HTTP, under its route.
pub(crate) fn request(method: &str, route: Option<&str>, client: IpAddr) -> Span {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let method = known.into_iter().find(|known| *known == method).unwrap_or("_OTHER");
    let span = tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = Empty,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        client.address = %client,
    );
    span.record("otel.name", display(format_args!("{method} {}", route.unwrap_or("-"))));
    span
}

/// The request has been answered with this status.
pub(crate) fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "error");
    }
}

/// What a participant asks by its WebSocket.
pub(crate) fn message(method: &str, room: &str, peer: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "protoo",
        otel.kind = "server",
        otel.status_code = Empty,
        otel.status_description = Empty,
        rpc.system = "protoo",
        rpc.method = cut(method),
        corecast.room = cut(room),
        corecast.peer = cut(peer),
    )
}

/// Somebody joins a room: `kind` is as in `corecast ctl peers`.
pub(crate) fn join(room: &str, peer: &str, kind: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "join",
        otel.status_code = Empty,
        otel.status_description = Empty,
        corecast.room = cut(room),
        corecast.peer = cut(peer),
        corecast.kind = kind,
    )
}

/// A round trip to a worker: these commands leave together. What belongs to nothing, such as a heartbeat, has no span.
pub(crate) fn batch(worker: u32, commands: &[Command]) -> Span {
    if Span::current().is_none() {
        return Span::none();
    }
    tracing::info_span!(
        target: TARGET,
        "worker",
        otel.kind = "client",
        otel.status_code = Empty,
        otel.status_description = Empty,
        corecast.worker = worker,
        corecast.commands = commands.len(),
        corecast.command = %Names(commands),
    )
}

/// The server starts: until it is ready.
pub(crate) fn start() -> Span {
    tracing::info_span!(
        target: TARGET,
        "server start",
        otel.name = Empty,
        corecast.workers = Empty,
        corecast.rooms = Empty,
    )
}

/// There was a server before, whose rooms this one has. A span that has been entered keeps its name.
pub(crate) fn restarts(span: &Span) {
    span.record("otel.name", "server restart");
}

/// The server is ready.
pub(crate) fn started(span: &Span, workers: usize, rooms: usize) {
    span.record("corecast.workers", workers);
    span.record("corecast.rooms", rooms);
}

/// An event is sent to a webhook, once. `url` is without its query.
pub(crate) fn webhook(url: &str, event: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "webhook",
        otel.kind = "client",
        otel.status_code = Empty,
        otel.status_description = Empty,
        url.full = url,
        corecast.event = event,
    )
}

/// Does what a span is about, which tells why it was not done if it was not.
pub(crate) async fn within<T, E: fmt::Display>(span: Span, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let result = work.instrument(span.clone()).await;
    if let Err(why) = &result {
        failed(&span, why);
    }
    result
}

/// What a span is about was not done.
pub(crate) fn failed(span: &Span, why: &dyn fmt::Display) {
    if !span.is_disabled() {
        span.record("otel.status_code", "error");
        span.record("otel.status_description", cut(&why.to_string()));
    }
}

/// Names of commands, without what is in them.
struct Names<'a>(&'a [Command]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, command) in self.0.iter().take(MAX_COMMANDS).enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            // Ends with an error where the name does.
            let _ = write!(FirstWord(f), "{command:?}");
        }
        Ok(())
    }
}

/// Takes text up to the first character that is no letter.
struct FirstWord<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for FirstWord<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
        self.0.write_str(text.get(..end).unwrap_or_default())?;
        if end < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use corecast_wire::RouterId;

    use super::*;

    #[test]
    fn commands_are_told_by_their_names_alone() {
        let commands = [Command::Usage, Command::CreateRouter { router: RouterId(7) }];
        assert_eq!(Names(&commands).to_string(), "Usage,CreateRouter");
        let many = vec![Command::Usage; 20];
        assert_eq!(Names(&many).to_string().matches("Usage").count(), MAX_COMMANDS);
    }

    #[test]
    fn names_of_clients_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"ü".repeat(100)).len(), MAX_NAME_BYTES);
        assert_eq!(cut(&format!("a{}", "ü".repeat(100))).len(), MAX_NAME_BYTES - 1);
    }

    #[test]
    fn a_round_trip_that_belongs_to_nothing_has_no_span() {
        assert!(batch(0, &[Command::Usage]).is_none());
    }
}
