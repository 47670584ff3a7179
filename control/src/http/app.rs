//! Everything that a request may need.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{Extensions, StatusCode};
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::HttpError;
use super::rates::{Rates, source, within};
use crate::addresses::Addresses;
use crate::certificate::Certificate;
use crate::config::Config;
use crate::rooms::{Rooms, WebRtc};
use crate::workers::Pool;

/// Listeners of events over all rooms: each keeps a connection open.
const MAX_LISTENERS: usize = 5_000;

/// State of the routes.
pub(crate) type AppState = State<Arc<App>>;
/// What a route answers.
pub(crate) type Answer = Result<Response, HttpError>;

/// The server as its routes see it.
#[derive(Debug)]
pub(crate) struct App {
    config: Config,
    pool: Arc<Pool>,
    rooms: Arc<Rooms>,
    /// New sessions.
    session_rates: Rates,
    /// Requests that look like guesses: of session URLs that do not exist, of tokens.
    guess_rates: Rates,
    /// Places for listeners of events.
    listeners: Arc<Semaphore>,
    started: Instant,
}

impl App {
    pub(crate) fn new(config: Config, pool: Arc<Pool>, addresses: Addresses, certificate: &Certificate) -> Self {
        let webrtc = WebRtc::new(&config, &addresses, certificate);
        let (all, each) = (config.limits.sessions_per_second, config.limits.sessions_per_second_per_ip);
        Self {
            rooms: Arc::new(Rooms::new(Arc::clone(&pool), addresses, webrtc, config.rooms.clone())),
            session_rates: Rates::new(all, each),
            guess_rates: Rates::new(all, each),
            listeners: Arc::new(Semaphore::new(MAX_LISTENERS)),
            started: Instant::now(),
            config,
            pool,
        }
    }

    /// The settings.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn rooms(&self) -> &Arc<Rooms> {
        &self.rooms
    }

    /// Counts a new session, or refuses it.
    pub(crate) fn admit_session(&self, extensions: &Extensions) -> Result<(), HttpError> {
        within(&self.session_rates, source(extensions), "new sessions")
    }

    /// Counts a request that looks like a guess, or refuses it.
    pub(crate) fn admit_guess(&self, extensions: &Extensions, what: &str) -> Result<(), HttpError> {
        within(&self.guess_rates, source(extensions), what)
    }

    /// A place among those who listen to events.
    pub(crate) fn listener_place(&self) -> Result<OwnedSemaphorePermit, HttpError> {
        let full = |_| HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "too many listen already");
        Arc::clone(&self.listeners).try_acquire_owned().map_err(full)
    }

    /// Time since the server started.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
