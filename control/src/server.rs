//! The server: workers, rooms and the HTTP API, in the process that the supervisor starts.

pub(crate) mod operators;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use corecast_dataplane::sandbox::{self, Part};
use corecast_dataplane::take_over;
use corecast_wire::Sandbox;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tracing::{Instrument as _, Span};

use crate::addresses::{Addresses, Names, reaching};
use crate::certificate::Certificate;
use crate::config::Config;
use crate::connections;
use crate::heart::{self, Heart};
use crate::http::App;
use crate::inherited::Inherited;
use crate::ledger::{About, Key, Ledger, Rows};
use crate::rooms::{self, Rooms, begin_life};
use crate::settings::{Grant, Isolation, Network};
use crate::supervisor::fatal;
use crate::supervisor::report::{Report, send};
use crate::tls::Identity;
use crate::workers::{Pool, Spawned, Watch, spawn};
use crate::{exit, http, logging, ops, signaling, spans};
use operators::Listener;

/// For the HTTP requests that are being answered, then for the workers.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// The same for a server that leaves its calls to the next one.
const LEAVE_LIMIT: Duration = Duration::from_millis(200);
/// For webhooks to send what is left, while HTTP ends.
const LAST_EVENTS_LIMIT: Duration = Duration::from_secs(1);
/// For the last spans to be sent.
const LAST_SPANS_LIMIT: Duration = Duration::from_millis(500);
/// Threads that read offers.
const MAX_ASIDE: usize = 2;
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// Every route, with what the server before has left.
pub(crate) async fn router(app: &Arc<App>, rows: &Rows) -> Router {
    http::bounded(ops::routes(Arc::clone(app)).merge(signaling::routes(app, rows).await), app)
}

/// What the server before has left, and where this one keeps the same.
struct Left {
    ledger: Arc<Ledger>,
    rows: Rows,
    /// There was a server before.
    again: bool,
}

impl Left {
    /// To be opened when the server before has ended. Numbers of objects go on behind those of all servers before.
    fn open(memory: Option<OwnedFd>, certificate: &Certificate) -> std::io::Result<Self> {
        let Some(memory) = memory else {
            return Ok(Self { ledger: Arc::default(), rows: Rows::default(), again: false });
        };
        let (ledger, rows) = Ledger::open(memory)?;
        let before = rows.of::<u32>(About::Life, None).first().map_or(0, |(_, before)| *before);
        begin_life(before);
        ledger.put(Key::new(About::Life, "", ""), &before.saturating_add(1));
        ledger.put(Key::new(About::Certificate, "", ""), certificate);
        Ok(Self { ledger, rows, again: before > 0 })
    }
}

/// The certificate of the server before, which may live: clients whose handshake is under way know its fingerprint.
fn certificate_in(ledger: Option<&OwnedFd>) -> Result<Certificate, Box<dyn std::error::Error>> {
    let rows = ledger.map(|memory| Ledger::look(memory.as_fd())).transpose()?.unwrap_or_default();
    match rows.of(About::Certificate, None).pop() {
        Some((_, certificate)) => Ok(certificate),
        None => Ok(Certificate::draw()?),
    }
}

/// The role of the server: standard input is the HTTP listener, standard output leads to the supervisor.
pub(crate) fn run_server(parent: i32) -> ExitCode {
    let run = || -> Result<(), Box<dyn std::error::Error>> {
        spawn::die_with(parent)?;
        fatal::install(libc::STDOUT_FILENO)?;
        let report = UnixStream::from(std::io::stdout().as_fd().try_clone_to_owned()?);
        let inherited = Inherited::of(take_over(&report)?);
        let admin = take_over(&report)?.into_iter().flatten().next().map(Listener::of).transpose()?;
        let mut told = BufReader::new(report.try_clone()?).lines();
        let mut line = move || told.next().unwrap_or_else(|| Err(ErrorKind::UnexpectedEof.into()));
        let config: Config = serde_json::from_str(&line()?)?;
        let identity: Option<Identity> = serde_json::from_str(&line()?)?;
        let known: Names = serde_json::from_str(&line()?)?;
        let blamed: Option<u32> = serde_json::from_str(&line()?)?;
        let tls = identity.map(|identity| identity.acceptor()).transpose()?;
        let (takes_spans, exporter) = spans::begin(&config.telemetry)?;
        logging::start(&config.log.filter, config.log.format, takes_spans);
        let start = spans::start();
        let listener = TcpListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        listener.set_nonblocking(true)?;
        let mut inherited = inherited.blaming(blamed);
        let ledger = inherited.take_ledger();
        let certificate = certificate_in(ledger.as_ref())?;
        let addresses = match Addresses::find_again(&config.rtc.listen_ips, &known) {
            Ok(addresses) => addresses.sending_to(&config.rtc.plain_networks),
            Err(error) => {
                let exit = match error.kind() {
                    ErrorKind::NotFound => exit::NAME_UNKNOWN,
                    _ => exit::CANNOT_LISTEN_FOR_MEDIA,
                };
                send(&report, &Report::StartFailed { exit: Some(exit), cause: error.to_string() })?;
                // The supervisor has said it.
                return Ok(());
            }
        };
        let spawned = spawn::all(&config, &addresses, &certificate, (&report, &mut inherited))?;
        drop(inherited);
        // Workers that are threads have been started and confine themselves; what starts from now on has no more than
        // this thread.
        logging::confine(config.sandbox);
        let connects = config.connects();
        let missing = sandbox::confine(Part::Server { connects }, config.sandbox.0);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(MAX_ASIDE)
            .thread_keep_alive(FOR_EVER)
            .build()?;
        let told = renewals(line);
        exporter.start()?;
        runtime.block_on(serve(
            config,
            addresses,
            &certificate,
            (listener, tls, admin),
            (&report, told),
            (spawned, ledger, missing),
            start,
        ))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// What the supervisor says to a running server: settings and certificate, as they are after a SIGHUP.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Renewal {
    pub(crate) config: Config,
    pub(crate) identity: Option<Identity>,
}

/// Takes over what is renewed, until the supervisor says nothing more.
async fn take_renewals(
    app: Arc<App>,
    mut told: mpsc::UnboundedReceiver<Renewal>,
    tls: tokio::sync::watch::Sender<Option<TlsAcceptor>>,
) {
    while let Some(Renewal { config, identity }) = told.recv().await {
        match identity.map(|identity| identity.acceptor()).transpose() {
            Ok(acceptor) => drop(tls.send_replace(acceptor)),
            Err(sentence) => tracing::error!("the certificate stays as it was: {sentence}"),
        }
        if let Err(sentence) = ops::set_log_filter(&app, &config.log.filter) {
            tracing::error!("log.filter: {sentence}");
        }
        app.set_config(config);
        tracing::info!("settings were read again");
    }
}

/// Lines from the supervisor, as they come, on a thread that waits for them.
fn renewals(mut line: impl FnMut() -> std::io::Result<String> + Send + 'static) -> mpsc::UnboundedReceiver<Renewal> {
    let (tell, told) = mpsc::unbounded_channel();
    let read = move || {
        while let Ok(text) = line() {
            match serde_json::from_str(&text) {
                Ok(renewal) => drop(tell.send(renewal)),
                Err(error) => tracing::error!("the supervisor says what is not understood: {error}"),
            }
        }
    };
    // Without a thread there are no renewals.
    let _ = std::thread::Builder::new().name("renewals".into()).spawn(read);
    told
}

/// Goes on with the rooms and sessions of the server before: every route, with these. With that the start is over.
async fn go_on(app: &Arc<App>, rows: Rows, (again, start): (bool, Span)) -> Result<Router, rooms::Error> {
    if again {
        spans::restarts(&start);
    }
    let restored = async {
        app.shut_out().begin(app.pool(), &rows).await?;
        app.rooms().restore(&rows).await?;
        Ok::<_, rooms::Error>(router(app, &rows).await)
    };
    let routes = restored.instrument(start.clone()).await?;
    spans::started(&start, app.pool().workers().len(), app.rooms().all().await.len());
    app.rooms().tell_begun(again).await;
    if let Err(error) = app.webhooks().start() {
        tracing::error!("webhooks are not sent: the system gives no thread: {error}");
    }
    Ok(routes)
}

/// Closes what nobody uses, and looks how all do.
fn keep_watch(app: &Arc<App>, heartbeat: Duration) {
    tokio::spawn(Rooms::close_idle(Arc::clone(app.rooms())));
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(heartbeat);
        loop {
            ticks.tick().await;
            sandbox::tell_refused();
        }
    });
    if app.config().cascade.is_on() {
        tokio::spawn(Arc::clone(app.cascade()).keep());
    }
    let app = Arc::clone(app);
    tokio::spawn(async move { app.telemetry().watch(app.pool(), app.rooms(), heartbeat).await });
}

async fn serve(
    config: Config,
    addresses: Addresses,
    certificate: &Certificate,
    (listener, tls, admin): (TcpListener, Option<TlsAcceptor>, Option<Listener>),
    (report, told): (&UnixStream, mpsc::UnboundedReceiver<Renewal>),
    (spawned, ledger, missing): (Vec<Spawned>, Option<OwnedFd>, Vec<String>),
    start: Span,
) -> Result<(), Box<dyn std::error::Error>> {
    let watch = Watch {
        heartbeat: config.worker.heartbeat.0,
        timeout: config.worker.timeout.0,
        usage_interval: config.usage.interval.0,
    };
    // Once there is a thread for work aside, it does not matter whether the system has more to give.
    tokio::task::spawn_blocking(|| ()).await?;
    let heart = Heart::start()?;
    let (pool, mut deaths, mut starts) = heart.open(spawned, watch)?;
    for _ in pool.workers() {
        tokio::select! {
            // What a worker said before its death comes first.
            biased;
            Some(death) = deaths.recv() => match heart::report_worker_death(report, death).await? {},
            started = starts.recv() => { started.ok_or("the workers have gone")?; }
        }
    }
    // A worker that has started has waited for the end of those before, if any had to be waited for.
    let left = Left::open(ledger, certificate)?;
    let (placement, weights) = (config.rooms.placement, config.worker.weights.clone());
    let pool = Arc::new(pool.placing(placement, weights, config.rooms.widen_percent));
    let summary = summary(&config, (listener.local_addr()?, admin.as_ref()), (&pool, missing), &addresses);
    let ready = Report::Ready { summary, names: addresses.names().clone() };
    let (heartbeat, deadline) = (config.worker.heartbeat.0, config.drain.deadline.0);
    let app = Arc::new(App::new(config, Arc::clone(&pool), addresses, certificate, (left.ledger, &left.rows)));
    let rooms = Arc::clone(app.rooms());
    let routes = go_on(&app, left.rows, (left.again, start)).await?;
    keep_watch(&app, heartbeat);

    let wishes = Wishes::listen()?;
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (renew, tls) = tokio::sync::watch::channel(tls);
    let serving = {
        let (bounds, app) = (app.bounds(), Arc::clone(&app));
        let is_proxy = move |ip| Network::is_any(&app.config().http.trusted_proxies, ip);
        tokio::spawn(connections::serve(listener, tls, routes, bounds, is_proxy, stopping))
    };
    tokio::spawn(take_renewals(Arc::clone(&app), told, renew));
    operators::begin(&app, admin, report.try_clone()?, stop.subscribe());
    send(report, &ready)?;

    let (pulse, beating) = heart.beat(report.try_clone()?, deaths, heartbeat);
    tokio::spawn(async move { pulse.keep().await });
    tokio::select! {
        asked = wishes.heard(&rooms, deadline) => if asked == Asked::ToLeave {
            pool.shut_down(LEAVE_LIMIT).await;
            logging::flush();
            // It waits for this end; to give memory back in good order would take as long again.
            std::process::exit(0);
        },
        ended = beating => match ended?? {},
    }
    stop.send_replace(true);
    // Streams of events end with their rooms, or with the journal; nothing else would end them.
    let _ = tokio::time::timeout(STOP_LIMIT, rooms.close_all()).await;
    let _ = tokio::join!(tokio::time::timeout(STOP_LIMIT, serving), app.webhooks().drain(LAST_EVENTS_LIMIT));
    pool.shut_down(STOP_LIMIT).await;
    spans::flush(LAST_SPANS_LIMIT).await;
    Ok(())
}

/// How the supervisor wants the server to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// For good.
    ToStop,
    /// So that the next server goes on with everything as it is.
    ToLeave,
}

/// The signals by which the supervisor says so.
struct Wishes {
    drain: Signal,
    stop: Signal,
    leave: Signal,
}

impl Wishes {
    /// Hears them from now on.
    fn listen() -> std::io::Result<Self> {
        let (drain, stop) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { drain, stop, leave: signal(SignalKind::user_defined2())? })
    }

    /// Returns when the server is to end: when nobody is in a room any longer, if it is to drain first.
    async fn heard(mut self, rooms: &Rooms, deadline: Duration) -> Asked {
        tokio::select! {
            _ = self.leave.recv() => return Asked::ToLeave,
            _ = self.stop.recv() => return Asked::ToStop,
            _ = self.drain.recv() => {}
        }
        tokio::select! {
            _ = self.stop.recv() => {}
            () = rooms.drain(deadline) => {}
        }
        Asked::ToStop
    }
}

/// What the summary says of the sandbox.
const fn given_up(sandbox: Sandbox) -> &'static str {
    match sandbox {
        Sandbox::On => "on: no capabilities, and files and system calls as far as they are needed",
        Sandbox::Log => "log: nothing is refused, and the kernel logs which system calls would be",
        Sandbox::Off => "off",
    }
}

fn summary(
    config: &Config,
    (listen, admin): (SocketAddr, Option<&Listener>),
    (pool, mut warnings): (&Pool, Vec<String>),
    addresses: &Addresses,
) -> String {
    let mut text = format!("corecast {} is ready\n", env!("CORECAST_VERSION"));
    let scheme = if config.http.is_https() { "https" } else { "http" };
    let urls =
        reaching(listen.ip()).into_iter().map(|ip| format!("{scheme}://{}/", SocketAddr::new(ip, listen.port())));
    let urls: Vec<_> = urls.collect();
    let _ = writeln!(text, "  page     {}  (video call; /dashboard, /status, /stats, /health, /rooms)", urls.join(" "));
    let admin = admin.map(Listener::address);
    if let Some((address, _)) = &admin {
        let _ = writeln!(text, "  admin    {address}  (corecast ctl)");
    }
    let _ = writeln!(text, "  media    {addresses}, UDP ports {}", config.rtc.port_range);
    if let Some(port) = config.rtc.webrtc_port(0) {
        let listen: Vec<_> = addresses.webrtc_ips().iter().map(ToString::to_string).collect();
        let protocol = if config.rtc.tcp { "UDP and TCP" } else { "UDP" };
        let _ = writeln!(text, "  WebRTC   {}, {protocol} port {port} and one more per worker", listen.join(", "));
        let told = addresses.told();
        let told = told.iter().map(|at| SocketAddr::new(at.announced, at.announced_port.unwrap_or(port)).to_string());
        let told: Vec<_> = told.collect();
        let _ = writeln!(text, "  clients  are told {}, and the next port for each further worker", told.join(", "));
    }
    let cores: Vec<_> = pool.workers().iter().map(|worker| worker.core().to_string()).collect();
    let plural = |one: &str, many: &str| if cores.len() == 1 { one.to_owned() } else { many.to_owned() };
    let what = match config.isolation {
        Isolation::Thread => plural("thread", "threads"),
        Isolation::Process => plural("process", "processes"),
    };
    let _ = writeln!(text, "  workers  {} {what} on {} {}", cores.len(), plural("core", "cores"), cores.join(", "));
    let mut drivers: Vec<String> = Vec::new();
    for started in pool.workers().iter().filter_map(|worker| worker.started()) {
        let driver = started.reason;
        if !drivers.contains(&driver) {
            drivers.push(driver);
        }
        for warning in started.warnings {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    for driver in drivers {
        let _ = writeln!(text, "  driver   {driver}");
    }
    let _ = writeln!(text, "  sandbox  {}", given_up(config.sandbox.0));
    let is_open = config.is_open(Grant::Plain);
    if !listen.ip().is_loopback() && is_open {
        warnings.push(format!("http.listen = {listen}: a client that reaches the API can aim media anywhere"));
    }
    if let Some((address, true)) = &admin {
        let open = if is_open { "who reaches it may do everything, and " } else { "" };
        warnings.push(format!("admin.listen = {address}: {open}tokens go there in clear text"));
    }
    warnings.extend(config.cascade.warning().map(str::to_owned));
    if addresses.only_loopback() {
        warnings.push("plain media listens on loopback only: set rtc.listen_ips to be reached from elsewhere".into());
    }
    if config.test_hooks {
        warnings.push("test hooks are on: the API can kill workers".into());
    }
    for warning in warnings {
        let _ = writeln!(text, "  warning  {warning}");
    }
    text
}
