//! How many sessions clients may make and hold. Limits count people: a session that connects has done no harm, and of
//! thirty people behind one address each makes thirty when they meet. A client that makes sessions and never connects
//! them is stopped soon, and none takes all that there is (RFC 9725 section 5).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::http::StatusCode;

use super::counts::SessionCounts;
use super::error::HttpError;
use super::rates::{Rates, within};
use crate::config::Limits;
use crate::shares::{Share, Shares};

const WHAT: &str = "new sessions";

/// The limits, and what is counted towards them.
#[derive(Debug)]
pub(crate) struct Admission {
    /// New sessions. One address has at most half of what all have together.
    all: Rates,
    /// New sessions of each address that are not connected.
    unconnected: Arc<Rates>,
    /// Sessions that are there, of each address.
    open: Arc<Shares>,
    counts: Arc<SessionCounts>,
}

/// The right to a session, for as long as it is there.
#[derive(Debug)]
pub(crate) struct Admitted {
    unconnected: Arc<Rates>,
    client: IpAddr,
    counts: Arc<SessionCounts>,
    /// What it is of, and since when it has been there; none before it is.
    begun: Option<(&'static str, Instant)>,
    is_connected: bool,
    _share: Share,
}

impl Admission {
    pub(super) fn new(limits: &Limits) -> Self {
        let unlimited = || Rates::new(0, 0);
        let (all, unconnected, open) = (unlimited(), Arc::new(unlimited()), Shares::new(usize::MAX, usize::MAX));
        let admission = Self { all, unconnected, open, counts: Arc::default() };
        admission.set(limits);
        admission
    }

    /// These limits hold from now on. Sessions that are there stay.
    pub(super) fn set(&self, limits: &Limits) {
        let each = limits.sessions_per_second_per_ip;
        let half = if each == 0 { 0 } else { limits.sessions_per_second.div_ceil(2) };
        self.all.set(limits.sessions_per_second, half);
        self.unconnected.set(0, each);
        self.open.set_each(if limits.sessions_per_ip == 0 { usize::MAX } else { limits.sessions_per_ip });
    }

    /// Counts a new session, or refuses it.
    pub(super) fn admit(&self, client: IpAddr) -> Result<Admitted, HttpError> {
        within(&self.unconnected, client, WHAT)?;
        let refused = |error| {
            self.unconnected.give_back(client);
            error
        };
        let full = |_| {
            let sentence = "your address has too many sessions already (limits.sessions_per_ip)";
            refused(HttpError::new(StatusCode::TOO_MANY_REQUESTS, sentence))
        };
        let share = self.open.take(client).map_err(full)?;
        within(&self.all, client, WHAT).map_err(refused)?;
        let (unconnected, counts) = (Arc::clone(&self.unconnected), Arc::clone(&self.counts));
        Ok(Admitted { unconnected, client, counts, begun: None, is_connected: false, _share: share })
    }

    /// A session of the server before goes on, whatever the limits are.
    pub(super) fn readmit(&self, client: IpAddr) -> Admitted {
        let (unconnected, counts) = (Arc::clone(&self.unconnected), Arc::clone(&self.counts));
        let share = self.open.take_over(client);
        Admitted { unconnected, client, counts, begun: None, is_connected: true, _share: share }
    }

    /// What became of sessions.
    pub(super) fn counts(&self) -> &SessionCounts {
        &self.counts
    }
}

impl Admitted {
    /// Address of its client.
    pub(crate) fn client(&self) -> IpAddr {
        self.client
    }

    /// The session is there: a "publisher", a "viewer" or a "participant".
    pub(crate) fn begins(&mut self, kind: &'static str) {
        self.begun = Some((kind, Instant::now()));
        self.counts.begins(kind);
    }

    /// The session has ended, by a cause of one word.
    pub(crate) fn ends(self, cause: &'static str) {
        if let Some((kind, _)) = self.begun {
            self.counts.ends(kind, cause);
        }
    }

    /// The session is connected, and counts no longer as one that is not.
    pub(crate) fn connects(&mut self) {
        if !std::mem::replace(&mut self.is_connected, true) {
            self.unconnected.give_back(self.client);
            if let Some((kind, since)) = self.begun {
                self.counts.connects(kind, since.elapsed());
            }
        }
    }
}
