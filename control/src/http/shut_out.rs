//! Addresses that are shut out for a while: two workers in a row have died of packets that came from there.
//!
//! An address, and not an address with a port: who wants the next death only has to open another socket. But many
//! people may be behind one address (a household, a company, a relay). So the time is short, and it is newcomers alone
//! who wait: calls that are there go on, come along other paths, and come again after a broken WebSocket.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use corecast_wire::{Command, Poisoner, Reply};

use super::error::HttpError;
use crate::ledger::{About, Key, Ledger, Rows};
use crate::shares::source_of;
use crate::workers::{Pool, RequestError};

/// The addresses, each (of IPv6: each /64) with the moment at which it is let in again.
#[derive(Debug)]
pub(crate) struct ShutOut {
    time: Duration,
    until: Mutex<BTreeMap<IpAddr, SystemTime>>,
    /// Where is kept what outlives the server.
    ledger: Arc<Ledger>,
}

impl ShutOut {
    /// Each for so long; not at all if there is no time.
    pub(super) fn new(time: Duration, ledger: Arc<Ledger>) -> Self {
        Self { time, until: Mutex::default(), ledger }
    }

    fn until(&self) -> MutexGuard<'_, BTreeMap<IpAddr, SystemTime>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with what the server before has shut out, asks the workers what those before them have died of, and
    /// tells each of them whom to leave out. To be called before anybody is let in.
    pub(crate) async fn begin(&self, pool: &Pool, rows: &Rows) -> Result<(), RequestError> {
        let now = SystemTime::now();
        self.restore(rows, now);
        for worker in pool.workers() {
            if let Reply::Poisoner(Some(poisoner)) = worker.request(Command::Poisoner).await? {
                self.put(&poisoner, now);
            }
        }
        let left: Vec<_> = self.until().iter().map(|(address, until)| (*address, left(*until, now))).collect();
        for worker in pool.workers() {
            for (address, time) in &left {
                let ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
                worker.apply(Command::ShutOut { address: *address, ms }).await?;
            }
        }
        Ok(())
    }

    fn restore(&self, rows: &Rows, now: SystemTime) {
        for (key, until) in rows.of::<SystemTime>(About::ShutOut, None) {
            match key.name.parse() {
                // A clock that was set back shuts nobody out for longer.
                Ok(address) if until > now => drop(self.until().insert(address, until.min(now + self.time))),
                _ => self.ledger.remove(key),
            }
        }
    }

    fn put(&self, Poisoner { transport, address }: &Poisoner, now: SystemTime) {
        let Some(address) = address.map(source_of).filter(|_| !self.time.is_zero()) else { return };
        let (until, seconds) = (now + self.time, self.time.as_secs_f32());
        self.until().insert(address, until);
        self.ledger.put(Key::new(About::ShutOut, "", &address.to_string()), &until);
        let network = if address.is_ipv6() { "/64" } else { "" };
        tracing::warn!(
            "nobody new is let in from {address}{network} for {seconds} s: two workers died of what came from there by \
             transport {transport} (failover.shut_out)"
        );
    }

    /// An error if nobody new is let in from there just now.
    pub(super) fn check(&self, client: IpAddr, now: SystemTime) -> Result<(), HttpError> {
        let mut known = self.until();
        known.retain(|address, until| {
            let stays = *until > now;
            if !stays {
                self.ledger.remove(Key::new(About::ShutOut, "", &address.to_string()));
            }
            stays
        });
        let Some(until) = known.get(&source_of(client)) else { return Ok(()) };
        let seconds = u32::try_from(left(*until, now).as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        let sentence = format!(
            "nobody new is let in from your address for {seconds} s: the server has died of what came from there"
        );
        Err(HttpError::new(StatusCode::TOO_MANY_REQUESTS, sentence).because("shut_out").retry_after(seconds))
    }
}

/// How long it is until then.
fn left(until: SystemTime, now: SystemTime) -> Duration {
    until.duration_since(now).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use corecast_wire::TransportId;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn poisoner(text: &str) -> Poisoner {
        Poisoner { transport: TransportId(7), address: Some(address(text)) }
    }

    #[test]
    fn newcomers_wait_until_the_time_is_over_also_if_the_server_has_died_meanwhile() {
        let memory = Ledger::memory().expect("is made");
        let (ledger, _) = Ledger::open(memory.try_clone().expect("is cloned")).expect("opens");
        let (shut_out, now) = (ShutOut::new(Duration::from_secs(60), ledger), SystemTime::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        shut_out.put(&poisoner("192.0.2.7"), now);
        shut_out.put(&poisoner("2001:db8:1:2::7"), now);
        shut_out.put(&Poisoner { transport: TransportId(7), address: None }, now);
        let is_out = |shut_out: &ShutOut, from, at| {
            let refused = shut_out.check(address(from), at).err();
            assert!(refused.as_ref().is_none_or(|refused| refused.status() == StatusCode::TOO_MANY_REQUESTS));
            refused.is_some()
        };
        assert!(is_out(&shut_out, "192.0.2.7", later(59)) && is_out(&shut_out, "::ffff:192.0.2.7", later(59)));
        assert!(is_out(&shut_out, "2001:db8:1:2:3::9", later(1)) && !is_out(&shut_out, "192.0.2.8", later(1)));
        let (ledger, rows) = Ledger::open(memory.try_clone().expect("is cloned")).expect("opens");
        let next = ShutOut::new(Duration::from_secs(60), ledger);
        next.restore(&rows, later(20));
        assert!(is_out(&next, "192.0.2.7", later(59)) && !is_out(&next, "192.0.2.7", later(60)));
        let (_, rows) = Ledger::open(memory).expect("opens");
        assert!(rows.of::<SystemTime>(About::ShutOut, None).is_empty(), "what is over is kept no longer");
    }

    #[test]
    fn without_a_time_nobody_is_shut_out() {
        let shut_out = ShutOut::new(Duration::ZERO, Arc::default());
        shut_out.put(&poisoner("192.0.2.7"), SystemTime::now());
        assert_eq!(shut_out.check(address("192.0.2.7"), SystemTime::now()), Ok(()));
    }
}
