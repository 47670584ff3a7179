//! Traces of the built binary, taken by a collector that reads what OpenTelemetry's own types say. A binary that was
//! built without traces says so.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use corecast_tests::server::{Server, binary, kill, wait_for};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::receiver::{Request, receive};

/// For spans to come: they wait for a second.
const LIMIT: Duration = Duration::from_secs(30);
/// Somebody else's trace and span.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Whether the binary sends traces. One that does not ends at once, with a sentence. The gate builds one that does.
fn sends_traces() -> bool {
    let endpoint = ["--telemetry-otlp-endpoint", "http://127.0.0.1:1", "--print-config"];
    let output = std::process::Command::new(binary()).args(endpoint).output().expect("runs");
    if output.status.success() {
        return true;
    }
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("telemetry.otlp_endpoint") && said.contains("--features otlp"), "{said}");
    let is_wanted = std::env::var_os("CORECAST_OTLP").is_some() && std::env::var_os("CORECAST_BIN").is_none();
    assert!(!is_wanted, "the gate's binary was built without traces");
    false
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(of: &KeyValue) -> String {
    match of.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn attributes(of: &[KeyValue]) -> HashMap<String, String> {
    of.iter().map(|one| (one.key.clone(), text(one))).collect()
}

/// What a collector has been sent.
struct Collected {
    told: Receiver<Request>,
    spans: Vec<Span>,
    resource: HashMap<String, String>,
}

impl Collected {
    fn new(told: Receiver<Request>) -> Self {
        Self { told, spans: Vec::new(), resource: HashMap::new() }
    }

    /// Takes the next request.
    fn take(&mut self, what: &str) {
        let names = |spans: &[Span]| spans.iter().rev().take(50).map(|span| span.name.clone()).collect::<Vec<_>>();
        let request = self.told.recv_timeout(LIMIT);
        let request = request.unwrap_or_else(|_| panic!("{what} never comes, of {:?}", names(&self.spans)));
        assert!(request.begins("POST /v1/traces "));
        assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
        let request = ExportTraceServiceRequest::decode(&*request.body).expect("is OTLP");
        for one in request.resource_spans {
            self.resource = attributes(&one.resource.expect("a resource").attributes);
            self.spans.extend(one.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }

    /// The span that is so, as soon as it has come.
    fn find(&mut self, what: &str, is: impl Fn(&Span) -> bool) -> Span {
        loop {
            if let Some(span) = self.spans.iter().find(|span| is(span)) {
                return span.clone();
            }
            self.take(what);
        }
    }

    fn named(&mut self, name: &str) -> Span {
        self.find(name, |span| span.name == name)
    }

    /// A span of this name directly below another.
    fn below(&mut self, parent: &Span, name: &str) -> Span {
        self.find(name, |span| span.name == name && span.parent_span_id == parent.span_id)
    }
}

#[test]
fn traces_have_the_parts_of_a_request_a_join_a_webhook_and_a_restart() {
    if !sends_traces() {
        return;
    }
    let (collector, told) = receive(|_| "200 OK");
    let (hook, events) = receive(|_| "200 OK");
    let mut collected = Collected::new(told);
    let endpoint = format!("http://{collector}");
    let url = format!("http://{hook}/hook?token=s3cret");
    let secret = "a secret of more than 32 characters";
    let mut server = Server::start(
        &[
            &["--workers", "1", "--telemetry-otlp-endpoint", &endpoint, "--http-trusted-proxies", "127.0.0.1"][..],
            &["--webhooks-urls", &url, "--webhooks-key", "key", "--webhooks-secret", secret],
        ]
        .concat(),
    );
    let start = collected.named("server start");
    assert_eq!(attributes(&start.attributes)["corecast.workers"], "1");
    assert_eq!(
        (&*collected.resource["service.name"], collected.resource.contains_key("process.pid")),
        ("corecast", true)
    );
    assert!(start.end_time_unix_nano > start.start_time_unix_nano);

    assert!(server.work("r").is_some());
    let request = collected.named("POST /rooms/{room}/broadcasters");
    let of = attributes(&request.attributes);
    assert_eq!((&*of["http.response.status_code"], &*of["client.address"]), ("200", "127.0.0.1"));
    let join = collected.below(&request, "join");
    let of = attributes(&join.attributes);
    let of = ["corecast.room", "corecast.peer", "corecast.kind"].map(|key| &*of[key]);
    assert_eq!((of, &join.trace_id), (["r", "b", "broadcaster"], &request.trace_id));
    let room = collected.below(&request, "worker");
    assert_eq!(attributes(&room.attributes)["corecast.command"], "CreateRouter");

    let headers = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n");
    assert_eq!(server.ask_with("GET", "/rooms?token=s3cret", &headers, "").expect("answers").0, 200);
    let followed = collected.find("the request of a trace", |span| hex(&span.trace_id) == TRACE);
    assert_eq!((followed.name.as_str(), hex(&followed.parent_span_id).as_str()), ("GET /rooms", PARENT));

    let webhook = collected.named("webhook");
    assert_eq!(attributes(&webhook.attributes)["url.full"], format!("http://{hook}/hook"));
    let told = events.recv_timeout(LIMIT).expect("an event");
    let parent = told.header("traceparent").expect("is told").to_owned();
    collected.find("the span of the event", |span| parent.contains(&hex(&span.span_id)));

    kill("KILL", server.pid());
    let restart = collected.named("server restart");
    assert_eq!(attributes(&restart.attributes)["corecast.rooms"], "1");
    collected.below(&restart, "worker");
    server.signal_supervisor("INT");
    assert_eq!(server.exit_code(), Some(0));
    assert!(!format!("{:?}", collected.spans).contains("s3cret"), "no query leaves");
    assert!(server.lines(&["otel.name"]).is_empty() && server.lines(&["sandbox has refused"]).is_empty());
}

#[test]
fn a_collector_that_refuses_or_sleeps_holds_up_nobody() {
    if !sends_traces() {
        return;
    }
    let refuses = Arc::new(AtomicBool::new(true));
    let wanted = Arc::clone(&refuses);
    let (collector, told) = receive(move |_| if wanted.load(Ordering::Relaxed) { "400 Bad Request" } else { "200 OK" });
    let mut collected = Collected::new(told);
    let server = Server::start(&["--workers", "1", "--telemetry-otlp-endpoint", &format!("http://{collector}")]);
    let _ = wait_for("a warning", || server.lines(&["WARN", "traces are lost until", "400"]).pop());
    refuses.store(false, Ordering::Relaxed);
    // Strangers are followed nowhere.
    let headers = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n");
    assert_eq!(server.ask_with("GET", "/rooms", &headers, "").expect("answers").0, 200);
    let asked = collected.named("GET /rooms");
    assert!(hex(&asked.trace_id) != TRACE && asked.parent_span_id.is_empty());
    let _ = wait_for("a line", || server.lines(&["INFO", "traces are taken again"]).pop());
    assert!(counted(&server, "failed") > 0 && counted(&server, "exported") > 0);

    // Takes connections, and never answers.
    let sleeps = TcpListener::bind("127.0.0.1:0").expect("binds");
    let endpoint = format!("http://{}", sleeps.local_addr().expect("bound"));
    let mut server = Server::start(&["--workers", "1", "--telemetry-otlp-endpoint", &endpoint]);
    let asked = (1..=20_000).find(|number| {
        assert_eq!(server.get("/health").map(|(status, _)| status), Some(200));
        number % 500 == 0 && counted(&server, "dropped") > 0
    });
    assert!(asked.is_some_and(|asked| asked > 2_048), "so many wait first: {asked:?}");
    server.signal_supervisor("INT");
    assert_eq!(server.exit_code(), Some(0));
}

/// So many spans, by what became of them.
fn counted(server: &Server, result: &str) -> u64 {
    let (_, page) = server.get("/metrics").expect("answers");
    let sample = format!("corecast_trace_spans_total{{result=\"{result}\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&sample)).expect("is counted");
    line.parse::<f64>().expect("a number") as u64
}

#[test]
fn a_share_of_the_traces_is_recorded() {
    if !sends_traces() {
        return;
    }
    let (collector, told) = receive(|_| "200 OK");
    let endpoint = format!("http://{collector}");
    let flags = ["--workers", "1", "--telemetry-otlp-endpoint", &endpoint, "--telemetry-sample", "0.5"];
    let mut server = Server::start(&flags);
    for _ in 0..200 {
        assert_eq!(server.get("/health").map(|(status, _)| status), Some(200));
    }
    server.signal_supervisor("INT");
    assert_eq!(server.exit_code(), Some(0));
    let mut collected = Collected::new(told);
    while let Ok(request) = collected.told.try_recv() {
        let request = ExportTraceServiceRequest::decode(&*request.body).expect("is OTLP");
        let scopes = request.resource_spans.into_iter().flat_map(|one| one.scope_spans);
        collected.spans.extend(scopes.flat_map(|scope| scope.spans));
    }
    let recorded = collected.spans.iter().filter(|span| span.name == "GET /health").count();
    assert!((50..150).contains(&recorded), "{recorded} of some 200");
}
