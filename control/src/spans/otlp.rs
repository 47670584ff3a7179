//! Spans leave as OpenTelemetry traces, by OTLP over HTTP.
//!
//! Nobody who records one waits: spans that have ended go into a bounded queue, and a thread of its own sends them.
//! Where the queue is full, since the collector is slow or away, they are lost and counted.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{HeaderMap, Request, Response};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HeaderInjector, HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{
    Sampler, SdkTracerProvider, Span as SdkSpan, SpanData, SpanExporter as _, SpanProcessor,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::Span;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;

use super::{Counts, TARGET};
use crate::config::Telemetry;
use crate::logging::Spans;
use crate::outbound::{self, sentence};

/// Spans that wait to be sent.
const MAX_WAITING: usize = 2_048;
/// Spans of one request to the collector.
const MAX_BATCH: usize = 512;
/// A span waits so long for others to go with.
const DELAY: Duration = Duration::from_secs(1);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// For a batch to be taken, further tries included.
const EXPORT_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_BYTES: usize = 64 << 10;

static QUEUE: OnceLock<Queue> = OnceLock::new();

enum Item {
    Ended(Box<SpanData>),
    /// Everything before it has been sent, or is lost.
    Flush(oneshot::Sender<()>),
}

/// Where spans wait, and what became of them.
#[derive(Debug)]
struct Queue {
    items: mpsc::Sender<Item>,
    exported: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Item")
    }
}

/// What sends spans, once it is started.
pub(crate) struct Exporter(Option<Sending>);

struct Sending {
    items: mpsc::Receiver<Item>,
    to: SpanExporter,
    endpoint: String,
    cause: Cause,
    /// The collector does not take spans, and the log has it.
    is_told: bool,
}

/// Where traces go, if the settings say so.
///
/// # Errors
/// The sentence for the operator: variables of the environment or the endpoint cannot be used.
pub(crate) fn begin(config: &Telemetry) -> Result<(Option<Spans>, Exporter), String> {
    if config.otlp_endpoint.is_empty() {
        return Ok((None, Exporter(None)));
    }
    let endpoint = format!("{}/v1/traces", config.otlp_endpoint.trim_end_matches('/'));
    let wants_tls = endpoint.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    let client = outbound::client(wants_tls, CONNECT_LIMIT).map_err(|error| format!("traces: {error}"))?;
    let cause = Cause::default();
    let mut to = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(Client { client, cause: Arc::clone(&cause) })
        .with_endpoint(&endpoint)
        .with_timeout(EXPORT_LIMIT)
        .build()
        .map_err(|error| format!("traces cannot be sent to {endpoint}: {error}"))?;
    let resource = resource();
    to.set_resource(&resource);
    let (items, waiting) = mpsc::channel(MAX_WAITING);
    let none = AtomicU64::default;
    let queue = Queue { items, exported: none(), failed: none(), dropped: none() };
    QUEUE.set(queue).map_err(|_| "traces are sent already".to_owned())?;
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample))))
        .with_resource(resource)
        .with_span_processor(Processor)
        .build();
    let layer = OpenTelemetryLayer::new(provider.tracer("corecast"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_target(TARGET, LevelFilter::TRACE));
    let sending = Sending { items: waiting, to, endpoint, cause, is_told: false };
    Ok((Some(Box::new(layer)), Exporter(Some(sending))))
}

/// Who sends the traces. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` win.
fn resource() -> Resource {
    let name = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
    let host = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok()).unwrap_or_default();
    let pid = std::process::id();
    let builder = Resource::builder_empty().with_attributes([
        KeyValue::new("service.name", "corecast"),
        KeyValue::new("service.version", env!("CORECAST_VERSION")),
        KeyValue::new("service.instance.id", format!("{host}:{pid}")),
        KeyValue::new("host.name", host),
        KeyValue::new("process.pid", i64::from(pid)),
    ]);
    let builder = builder.with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())]);
    match name {
        Some(name) => builder.with_service_name(name),
        None => builder,
    }
    .build()
}

/// Puts spans that have ended into the queue.
#[derive(Debug)]
struct Processor;

impl SpanProcessor for Processor {
    fn on_start(&self, _: &mut SdkSpan, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if let Some(queue) = QUEUE.get()
            && queue.items.try_send(Item::Ended(Box::new(span))).is_err()
        {
            queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Exporter {
    /// Begins to send, on a thread of its own.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(self) -> io::Result<()> {
        let Self(Some(sending)) = self else { return Ok(()) };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .thread_name("traces-lookup")
            .build()?;
        std::thread::Builder::new().name("traces".into()).spawn(move || runtime.block_on(sending.run())).map(drop)
    }
}

impl Sending {
    /// Sends what has ended, in batches.
    async fn run(mut self) {
        loop {
            let (mut batch, mut flush) = (Vec::new(), None);
            let mut until = None;
            while batch.len() < MAX_BATCH && flush.is_none() {
                let item = match until {
                    None => self.items.recv().await,
                    Some(until) => timeout_at(until, self.items.recv()).await.unwrap_or_default(),
                };
                match item {
                    Some(Item::Ended(span)) => batch.push(*span),
                    Some(Item::Flush(done)) => flush = Some(done),
                    None => break,
                }
                until.get_or_insert_with(|| Instant::now() + DELAY);
            }
            if !batch.is_empty() {
                self.send(batch).await;
            }
            // Who waited may have gone.
            let _ = flush.map(|done| done.send(()));
        }
    }

    fn take_cause(&self) -> Option<String> {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn send(&mut self, batch: Vec<SpanData>) {
        let Some(queue) = QUEUE.get() else { return };
        let number = batch.len() as u64;
        let sent = match timeout(EXPORT_LIMIT, self.to.export(batch)).await {
            Ok(sent) => sent.map_err(|error| self.take_cause().unwrap_or_else(|| error.to_string())),
            Err(_) => Err(format!("no answer within {} s", EXPORT_LIMIT.as_secs())),
        };
        match sent {
            Ok(()) => {
                queue.exported.fetch_add(number, Ordering::Relaxed);
                if std::mem::take(&mut self.is_told) {
                    let Counts { failed, dropped, .. } = counts().unwrap_or_default();
                    tracing::info!("traces are taken again; {} spans were lost so far", failed + dropped);
                }
            }
            Err(cause) => {
                queue.failed.fetch_add(number, Ordering::Relaxed);
                if !std::mem::replace(&mut self.is_told, true) {
                    tracing::warn!("traces are lost until {} takes them: {cause}", self.endpoint);
                }
            }
        }
    }
}

/// The crates' way to our client.
#[derive(Debug)]
struct Client {
    client: outbound::Client,
    /// Why the last request had no answer, which the crates do not tell.
    cause: Cause,
}

type Cause = Arc<Mutex<Option<String>>>;

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.client.request(request.map(Full::new)).await.inspect_err(|error| {
            *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = Some(sentence(error));
        });
        let (head, body) = answer?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    }
}

/// What became of the spans so far; none where they are not sent.
pub(crate) fn counts() -> Option<Counts> {
    let queue = QUEUE.get()?;
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Some(Counts { exported: read(&queue.exported), failed: read(&queue.failed), dropped: read(&queue.dropped) })
}

/// Has everything sent that waits, for so long at most.
pub(crate) async fn flush(limit: Duration) {
    let Some(queue) = QUEUE.get() else { return };
    let all = async {
        let (done, sent) = oneshot::channel();
        if queue.items.send(Item::Flush(done)).await.is_ok() {
            let _ = sent.await;
        }
    };
    let _ = timeout(limit, all).await;
}

/// The span is part of the trace that a request's headers name (W3C Trace Context), if they do. Before it is entered.
pub(crate) fn follow(span: &Span, headers: &HeaderMap) {
    if headers.contains_key("traceparent") {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        // It has just been made.
        let _ = span.set_parent(parent);
    }
}

/// Tells the receiver of a request which span it belongs to, if it does to one.
pub(crate) fn pass_on(headers: &mut HeaderMap) {
    if QUEUE.get().is_some() {
        TraceContextPropagator::new().inject_context(&Span::current().context(), &mut HeaderInjector(headers));
    }
}
