//! One URL that is sent every event: where it is in the journal, what is tried again and when, and what is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::Uri;
use rand::RngExt as _;

use super::delivery::{Client, Failure};
use super::signature::Signer;
use crate::ledger::{About, Key, Ledger};
use crate::lifecycle::{Event, Journal};
use crate::spans;

/// The wait after the first failure in a row; it doubles with each further one, up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// An event that is older than this when it fails is given up.
const GIVE_UP: Duration = Duration::from_secs(300);

/// What became of the events for one URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// The URL without its query, which may hold a secret.
    pub(crate) url: String,
    pub(crate) delivered: u64,
    /// Refused by the receiver, or given up.
    pub(crate) failed: u64,
    /// The receiver was so far behind that they are kept no longer.
    pub(crate) dropped: u64,
    /// To be sent yet.
    pub(crate) waiting: u64,
}

/// A URL.
#[derive(Debug)]
pub(super) struct Receiver {
    url: String,
    ledger: Arc<Ledger>,
    /// Number of the event that it took last, or that was given up last.
    position: AtomicU64,
    delivered: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// What is wrong just now: told when it begins, and when it is over.
#[derive(Debug, Default)]
struct Trouble {
    /// Failures in a row.
    failures: u32,
    is_told: bool,
}

impl Receiver {
    pub(super) fn new(url: &str, position: u64, ledger: Arc<Ledger>) -> Self {
        let zero = AtomicU64::default;
        let (position, delivered, failed, dropped) = (AtomicU64::new(position), zero(), zero(), zero());
        Self { url: url.to_owned(), ledger, position, delivered, failed, dropped }
    }

    pub(super) fn wants_tls(&self) -> bool {
        self.url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    }

    /// For people.
    fn shown(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }

    /// `last` is the number of the newest event.
    pub(super) fn counts(&self, last: u64) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            url: self.shown().to_owned(),
            delivered: read(&self.delivered),
            failed: read(&self.failed),
            dropped: read(&self.dropped),
            waiting: last.saturating_sub(read(&self.position)),
        }
    }

    /// Sends every event, in order, until the journal has ended.
    pub(super) async fn run(&self, client: &Client, signer: &Signer, journal: &Journal) {
        let Ok(url) = self.url.parse::<Uri>() else { return };
        let (mut trouble, mut is_loss_told) = (Trouble::default(), false);
        while let Some((lost, event)) = journal.next(self.position.load(Ordering::Relaxed)).await {
            if lost > 0 {
                self.dropped.fetch_add(lost, Ordering::Relaxed);
                if !std::mem::replace(&mut is_loss_told, true) {
                    tracing::warn!("webhook {}: it is too far behind, and events are lost", self.shown());
                }
            }
            self.send(client, &url, signer, &event, &mut trouble).await;
            self.position.store(event.number, Ordering::Relaxed);
            // Who has caught up and falls behind again is told of again.
            is_loss_told &= journal.last() > event.number;
            self.ledger.put(Key::new(About::Webhook, "", &self.url), &event.number);
        }
    }

    /// Sends an event until it is taken, refused or too old.
    async fn send(&self, client: &Client, url: &Uri, signer: &Signer, event: &Event, trouble: &mut Trouble) {
        loop {
            let span = spans::webhook(self.shown(), &event.name);
            match spans::within(span, client.post(url, signer, event)).await {
                Ok(()) => {
                    self.delivered.fetch_add(1, Ordering::Relaxed);
                    if std::mem::take(trouble).is_told {
                        let Counts { failed, dropped, .. } = self.counts(event.number);
                        let of = "since the start of the server";
                        tracing::info!(
                            "webhook {}: events are taken again; {failed} have failed and {dropped} were lost {of}",
                            self.shown()
                        );
                    }
                    return;
                }
                Err(Failure::Refused(status)) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    self.complain(trouble, &format!("refuses {} with {status}", event.name));
                    trouble.failures = 0;
                    return;
                }
                Err(Failure::Later(cause)) => {
                    trouble.failures += 1;
                    self.complain(trouble, &format!("does not take events, and is tried again: {cause}"));
                    let drawn = rand::rng().random();
                    tokio::time::sleep(wait(trouble.failures, drawn)).await;
                    if is_old(event) {
                        self.failed.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                }
            }
        }
    }

    fn complain(&self, trouble: &mut Trouble, what: &str) {
        if std::mem::replace(&mut trouble.is_told, true) {
            tracing::debug!("webhook {}: {what}", self.shown());
        } else {
            tracing::warn!("webhook {}: it {what}", self.shown());
        }
    }
}

/// How long to wait after so many failures in a row: half of it is drawn, so that servers that failed together do not
/// come again together. `drawn` is 0 to 1.
fn wait(failures: u32, drawn: f64) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LONGEST_WAIT).mul_f64(0.5 + drawn / 2.0)
}

fn is_old(event: &Event) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    now.saturating_sub(event.created_at) >= GIVE_UP.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest() {
        assert_eq!(wait(1, 1.0), FIRST_WAIT);
        assert_eq!(wait(1, 0.0), FIRST_WAIT / 2);
        assert_eq!(wait(3, 1.0), FIRST_WAIT * 4);
        for failures in [10, 32, 33, u32::MAX] {
            assert_eq!(wait(failures, 1.0), LONGEST_WAIT);
        }
    }

    #[test]
    fn a_secret_in_the_query_is_not_shown() {
        let receiver = Receiver::new("https://a.example/hook?token=s3cret", 5, Arc::default());
        let counts = receiver.counts(8);
        assert_eq!((counts.url.as_str(), counts.waiting), ("https://a.example/hook", 3));
    }
}
