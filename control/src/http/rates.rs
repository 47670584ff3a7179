//! How often something may happen: token buckets, one for all and one per source address.
//!
//! RFC 9725 section 5: without such limits a client that may post can hold many half-open sessions, try many session
//! URLs, or keep a session busy with PATCH.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::ConnectInfo;
use axum::http::{Extensions, StatusCode};

use super::error::HttpError;
use crate::shares::{TooMany, source_of};

/// Source addresses that are known at a time. One that has been quiet for [`BURST`] is forgotten.
const MAX_SOURCES: usize = 16_384;
/// A bucket holds what comes in by itself in this time: joining a room of twenty opens twenty sessions at once.
const BURST: Duration = Duration::from_secs(5);

/// Seconds after which a client that was too fast may try again, at the least.
pub(crate) const RATE_RETRY_SECS: u32 = 1;

/// A token bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// Time at which it will be, or was, full.
    full_at: Instant,
}

impl Bucket {
    pub(crate) fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Whether one may be taken at `per_second`; nothing is taken.
    fn has_one(&self, now: Instant, per_second: u32) -> bool {
        let Some(cost) = Duration::from_secs(1).checked_div(per_second) else { return true };
        self.full_at.saturating_duration_since(now) + cost <= BURST.max(cost)
    }

    fn take(&mut self, now: Instant, per_second: u32) {
        let cost = Duration::from_secs(1).checked_div(per_second).unwrap_or_default();
        self.full_at = self.full_at.max(now) + cost;
    }

    /// Puts one back that was taken.
    fn give_back(&mut self, per_second: u32) {
        let cost = Duration::from_secs(1).checked_div(per_second).unwrap_or_default();
        self.full_at = self.full_at.checked_sub(cost).unwrap_or(self.full_at);
    }

    /// Takes one if there is one. No limit where `per_second` is 0.
    pub(crate) fn try_take(&mut self, now: Instant, per_second: u32) -> bool {
        let has_one = self.has_one(now, per_second);
        if has_one {
            self.take(now, per_second);
        }
        has_one
    }
}

/// One bucket for all, and one for each source.
#[derive(Debug)]
pub(crate) struct Rates {
    per_second: AtomicU32,
    per_second_and_source: AtomicU32,
    buckets: Mutex<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    all: Bucket,
    sources: HashMap<IpAddr, Bucket>,
}

impl Rates {
    /// Rates of all sources together and of each; 0 for no limit.
    pub(crate) fn new(per_second: u32, per_second_and_source: u32) -> Self {
        let buckets = Buckets { all: Bucket::new(Instant::now()), sources: HashMap::new() };
        let (per_second, per_second_and_source) = (AtomicU32::new(per_second), AtomicU32::new(per_second_and_source));
        Self { per_second, per_second_and_source, buckets: Mutex::new(buckets) }
    }

    /// Other rates hold from now on.
    pub(super) fn set(&self, per_second: u32, per_second_and_source: u32) {
        self.per_second.store(per_second, Ordering::Relaxed);
        self.per_second_and_source.store(per_second_and_source, Ordering::Relaxed);
    }

    /// Rates of all sources together and of each.
    fn rates(&self) -> (u32, u32) {
        (self.per_second.load(Ordering::Relaxed), self.per_second_and_source.load(Ordering::Relaxed))
    }

    /// Counts one of this source, unless that would be too many: then nothing is counted.
    fn take(&self, source: IpAddr, now: Instant) -> Result<(), TooMany> {
        let (per_second, per_second_and_source) = self.rates();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let Buckets { all, sources } = &mut *buckets;
        let source = source_of(source);
        let own = sources.get(&source).copied().unwrap_or_else(|| Bucket::new(now));
        if !own.has_one(now, per_second_and_source) {
            return Err(TooMany::OfOne);
        }
        if sources.len() >= MAX_SOURCES {
            sources.retain(|_, bucket| bucket.full_at > now);
        }
        if sources.len() >= MAX_SOURCES || !all.has_one(now, per_second) {
            return Err(TooMany::OfAll);
        }
        all.take(now, per_second);
        if per_second_and_source > 0 {
            sources.entry(source).or_insert(own).take(now, per_second_and_source);
        }
        Ok(())
    }
}

impl Rates {
    /// One of this source does not count any longer towards what the source may have.
    pub(super) fn give_back(&self, source: IpAddr) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = buckets.sources.get_mut(&source_of(source)) {
            own.give_back(self.rates().1);
        }
    }
}

/// Address of the client. A request that came without an address shares one bucket with all others of that sort.
pub(crate) fn source(extensions: &Extensions) -> IpAddr {
    extensions.get::<ConnectInfo<SocketAddr>>().map_or_else(|| Ipv4Addr::UNSPECIFIED.into(), |info| info.0.ip())
}

/// Counts one of these requests, or refuses it.
pub(super) fn within(rates: &Rates, source: IpAddr, what: &str) -> Result<(), HttpError> {
    let error = match rates.take(source, Instant::now()) {
        Ok(()) => return Ok(()),
        Err(TooMany::OfOne) => {
            let sentence = format!("too many {what} from your address; slow down");
            HttpError::new(StatusCode::TOO_MANY_REQUESTS, sentence).because("too_fast_of_address")
        }
        Err(TooMany::OfAll) => {
            let sentence = format!("too many {what} just now; try again");
            HttpError::new(StatusCode::SERVICE_UNAVAILABLE, sentence).because("too_fast")
        }
    };
    Err(error.retry_about(RATE_RETRY_SECS))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn taken(rates: &Rates, source: IpAddr, now: Instant) -> usize {
        (0..1_000).take_while(|_| rates.take(source, now).is_ok()).count()
    }

    #[test]
    fn a_burst_then_the_rate() {
        let (rates, start) = (Rates::new(0, 10), Instant::now());
        assert_eq!(taken(&rates, ONE, start), 50);
        assert_eq!(rates.take(ONE, start), Err(TooMany::OfOne));
        assert_eq!(taken(&rates, ONE, start + Duration::from_millis(1_000)), 10);
        assert_eq!(taken(&rates, ONE, start + Duration::from_secs(60)), 50);
        let other = "2001:db8::1".parse().expect("address");
        assert_eq!(taken(&rates, other, start), 50, "each has its own");
        let neighbour = "2001:db8::ffff:1".parse().expect("address");
        assert_eq!(taken(&rates, neighbour, start), 0, "of the same /64");
        let mapped = "::ffff:192.0.2.9".parse().expect("address");
        assert_eq!(taken(&rates, mapped, start), 50, "IPv4 by another name");
        assert_eq!(taken(&rates, "192.0.2.9".parse().expect("address"), start), 0);
    }

    #[test]
    fn all_together_have_a_limit() {
        let (rates, now) = (Rates::new(2, 0), Instant::now());
        assert_eq!(taken(&rates, ONE, now), 10);
        assert_eq!(rates.take("192.0.2.2".parse().expect("address"), now), Err(TooMany::OfAll));
        assert_eq!(taken(&Rates::new(0, 0), ONE, now), 1_000, "no limit");
    }

    #[test]
    fn sources_are_forgotten_when_they_are_quiet() {
        let (rates, start) = (Rates::new(0, 10), Instant::now());
        let source = |number: usize| IpAddr::from(u32::try_from(number).expect("small").to_be_bytes());
        for number in 0..MAX_SOURCES {
            assert_eq!(rates.take(source(number), start), Ok(()));
        }
        assert_eq!(rates.take(source(MAX_SOURCES), start), Err(TooMany::OfAll));
        assert_eq!(rates.take(source(MAX_SOURCES), start + Duration::from_secs(1)), Ok(()));
    }
}
