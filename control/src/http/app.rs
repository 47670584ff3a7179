//! Everything that a request may need.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use axum::extract::State;
use axum::http::{Extensions, StatusCode};
use axum::response::Response;
use tokio::sync::mpsc;

use super::admission::{Admission, Admitted};
use super::counts::SessionCounts;
use super::error::HttpError;
use super::rates::{Rates, source, within};
use super::refused::{Refusals, Refused};
use super::shut_out::ShutOut;
use crate::addresses::Addresses;
use crate::cascade::Cascade;
use crate::certificate::Certificate;
use crate::config::{Config, Limits};
use crate::connections::Bounds;
use crate::ledger::{Ledger, Rows};
use crate::lifecycle::Journal;
use crate::rooms::{Marks, Rooms, WebRtc};
use crate::shares::{Share, Shares, TooMany};
use crate::telemetry::Telemetry;
use crate::webhooks::Webhooks;
use crate::workers::Pool;

/// Long answers, such as `/stats` with every object, at a time; and those of one address.
const MAX_LONG_ANSWERS: (usize, usize) = (4, 2);

/// Wrong tokens, and URLs of sessions that do not exist, of one address per second.
const GUESSES_PER_SECOND: u32 = 10;

/// State of the routes.
pub(crate) type AppState = State<Arc<App>>;
/// What a route answers.
pub(crate) type Answer = Result<Response, HttpError>;

/// The server as its routes see it.
#[derive(Debug)]
pub(crate) struct App {
    config: RwLock<Arc<Config>>,
    pool: Arc<Pool>,
    rooms: Arc<Rooms>,
    /// Where is kept what outlives the server.
    ledger: Arc<Ledger>,
    /// What has happened.
    journal: Arc<Journal>,
    webhooks: Arc<Webhooks>,
    cascade: Arc<Cascade>,
    /// New sessions.
    admission: Admission,
    /// From where there are none.
    shut_out: ShutOut,
    /// Requests that look like guesses: of session URLs that do not exist, of tokens.
    guess_rates: Rates,
    /// Bounds of HTTP's connections.
    bounds: Bounds,
    /// Streams of events: each keeps a connection open.
    listeners: Arc<Shares>,
    /// Long answers, while they are made and taken.
    long_answers: Arc<Shares>,
    refused_origins: Refused,
    refusals: Refusals,
    /// How cores and viewers do.
    telemetry: Telemetry,
    /// What operators want of the supervisor, and its receiver until somebody takes it.
    orders: mpsc::UnboundedSender<Order>,
    ordered: Mutex<Option<mpsc::UnboundedReceiver<Order>>>,
    started: Instant,
}

/// What an operator wants of the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Drain, and stop.
    Drain,
    /// Start the server again.
    Restart,
}

/// Guesses of one address per second; 0 for no limit.
fn guesses(limits: &Limits) -> u32 {
    limits.sessions_per_second_per_ip.min(GUESSES_PER_SECOND)
}

impl App {
    /// With what another server has told of its rooms, but without these, unless [`Rooms::restore`] is called.
    pub(crate) fn new(
        config: Config,
        pool: Arc<Pool>,
        addresses: Addresses,
        certificate: &Certificate,
        (ledger, rows): (Arc<Ledger>, &Rows),
    ) -> Self {
        let limits = &config.limits;
        let (cpu, memory, reserved) = (limits.cpu_percent, limits.memory_percent, limits.reserved_percent);
        let marks = Marks { cpu, memory, reserved };
        let webrtc = WebRtc::new(&config, &addresses, certificate);
        let bounds = Bounds::new(&config.limits, config.isolation);
        let (listeners, listeners_of_one) = bounds.listeners();
        let (long_answers, long_answers_of_one) = MAX_LONG_ANSWERS;
        let journal = Journal::open(Arc::clone(&ledger), rows);
        let (orders, ordered) = mpsc::unbounded_channel();
        let rooms = Arc::new(Rooms::new(
            Arc::clone(&pool),
            (addresses, webrtc),
            config.rooms.clone(),
            marks,
            (Arc::clone(&ledger), Arc::clone(&journal)),
        ));
        Self {
            cascade: Arc::new(Cascade::new(&config.cascade, Arc::clone(&rooms))),
            rooms,
            webhooks: Webhooks::new(&config.webhooks, Arc::clone(&journal), (&ledger, rows)),
            journal,
            shut_out: ShutOut::new(config.failover.shut_out.0, Arc::clone(&ledger)),
            ledger,
            admission: Admission::new(&config.limits),
            guess_rates: Rates::new(config.limits.sessions_per_second, guesses(&config.limits)),
            bounds,
            listeners: Shares::new(listeners, listeners_of_one),
            long_answers: Shares::new(long_answers, long_answers_of_one),
            refused_origins: Refused::default(),
            refusals: Refusals::default(),
            telemetry: Telemetry::new(),
            orders,
            ordered: Mutex::new(Some(ordered)),
            started: Instant::now(),
            config: RwLock::new(Arc::new(config)),
            pool,
        }
    }

    /// The settings.
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// These settings hold from now on, as far as they can change.
    pub(crate) fn set_config(&self, config: Config) {
        self.admission.set(&config.limits);
        self.guess_rates.set(config.limits.sessions_per_second, guesses(&config.limits));
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// Origins that were refused.
    pub(super) fn refused_origins(&self) -> &Refused {
        &self.refused_origins
    }

    /// Requests that were refused.
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn rooms(&self) -> &Arc<Rooms> {
        &self.rooms
    }

    /// How cores and viewers do.
    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Tells the supervisor what an operator wants.
    pub(crate) fn order(&self, order: Order) {
        // Without a supervisor nobody takes it.
        let _ = self.orders.send(order);
    }

    /// What operators want of the supervisor. Once.
    pub(crate) fn take_orders(&self) -> Option<mpsc::UnboundedReceiver<Order>> {
        self.ordered.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Counts a new session, or refuses it.
    pub(crate) fn admit_session(&self, extensions: &Extensions) -> Result<Admitted, HttpError> {
        let client = source(extensions);
        self.shut_out.check(client, SystemTime::now())?;
        self.admission.admit(client)
    }

    /// Addresses from which nobody new is let in.
    pub(crate) fn shut_out(&self) -> &ShutOut {
        &self.shut_out
    }

    /// The right to a session that the server before had let in.
    pub(crate) fn readmit_session(&self, client: IpAddr) -> Admitted {
        self.admission.readmit(client)
    }

    /// Where is kept what outlives the server.
    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// What has happened to rooms and peers.
    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    pub(crate) fn webhooks(&self) -> &Arc<Webhooks> {
        &self.webhooks
    }

    /// What crosses to other machines, and from them.
    pub(crate) fn cascade(&self) -> &Arc<Cascade> {
        &self.cascade
    }

    /// What became of sessions.
    pub(crate) fn session_counts(&self) -> &SessionCounts {
        self.admission.counts()
    }

    /// Counts a request that looks like a guess, or refuses it.
    pub(crate) fn admit_guess(&self, extensions: &Extensions, what: &str) -> Result<(), HttpError> {
        within(&self.guess_rates, source(extensions), what)
    }

    /// Bounds of HTTP's connections.
    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// A place among those who listen to events.
    pub(crate) fn listener_place(&self, extensions: &Extensions) -> Result<Share, HttpError> {
        self.listeners.take(source(extensions)).map_err(|full| match full {
            TooMany::OfOne => {
                HttpError::new(StatusCode::TOO_MANY_REQUESTS, "too many listen from your address already")
            }
            TooMany::OfAll => HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "too many listen already"),
        })
    }

    /// The right to a long answer.
    pub(crate) fn long_answer(&self, extensions: &Extensions) -> Result<Share, HttpError> {
        let sentence = "other long answers are being taken; try again";
        let full = |_| HttpError::new(StatusCode::SERVICE_UNAVAILABLE, sentence);
        self.long_answers.take(source(extensions)).map_err(full)
    }

    /// Time since the server started.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
