//! Webhooks: each event is sent to each URL of the settings, in order, and again until it is taken.
//!
//! All of it is done on a thread of its own: a receiver that is slow, or a name that cannot be looked up, holds up
//! nobody. A URL's queue is the journal behind the event that it took last, which the ledger knows as well, so the
//! server that follows a dead one goes on there.

mod delivery;
mod receiver;
mod signature;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config;
use crate::ledger::{About, Ledger, Rows};
use crate::lifecycle::Journal;
use delivery::Client;
use receiver::Receiver;
use signature::Signer;

pub(crate) use receiver::Counts;

/// Threads that look up names.
const MAX_LOOKUPS: usize = 2;

/// All webhooks.
#[derive(Debug)]
pub(crate) struct Webhooks {
    journal: Arc<Journal>,
    key: String,
    secret: String,
    receivers: Vec<Arc<Receiver>>,
    /// Whether everything has been sent.
    is_done: watch::Sender<bool>,
}

impl Webhooks {
    /// Those of the settings, each where the server before left it. Nothing is sent yet.
    pub(crate) fn new(
        config: &config::Webhooks,
        journal: Arc<Journal>,
        (ledger, rows): (&Arc<Ledger>, &Rows),
    ) -> Arc<Self> {
        let taken = rows.of::<u64>(About::Webhook, None);
        let receiver = |url: &String| {
            let before = taken.iter().find(|(key, _)| key.name == *url).map(|(_, number)| *number);
            Arc::new(Receiver::new(url, before.unwrap_or_else(|| journal.origin()), Arc::clone(ledger)))
        };
        let receivers: Vec<_> = config.urls.iter().map(receiver).collect();
        let is_done = watch::Sender::new(receivers.is_empty());
        Arc::new(Self { key: config.key.clone(), secret: config.secret.clone(), receivers, is_done, journal })
    }

    /// What became of the events, for each URL.
    pub(crate) fn counts(&self) -> Vec<Counts> {
        let last = self.journal.last();
        self.receivers.iter().map(|receiver| receiver.counts(last)).collect()
    }

    /// Begins to send, if there is where to.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(self: &Arc<Self>) -> io::Result<()> {
        if self.receivers.is_empty() {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(MAX_LOOKUPS)
            .thread_name("webhook-lookup")
            .build()?;
        let webhooks = Arc::clone(self);
        let send = move || {
            runtime.block_on(webhooks.send_all());
            webhooks.is_done.send_replace(true);
            // A name that is still looked up is not waited for.
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name("webhooks".into()).spawn(send).map(drop)
    }

    async fn send_all(&self) {
        let wants_tls = self.receivers.iter().any(|receiver| receiver.wants_tls());
        let client = match Client::new(wants_tls) {
            Ok(client) => client,
            Err(error) => return tracing::error!("webhooks are not sent: {error}"),
        };
        let mut sending = JoinSet::new();
        for receiver in &self.receivers {
            let signer = Signer::new(&self.key, &self.secret);
            let (receiver, client, journal) = (Arc::clone(receiver), client.clone(), Arc::clone(&self.journal));
            sending.spawn(async move { receiver.run(&client, &signer, &journal).await });
        }
        while sending.join_next().await.is_some() {}
    }

    /// Ends the journal: everything has been told. Waits until it has been sent, for so long at most.
    pub(crate) async fn drain(&self, limit: Duration) {
        self.journal.end();
        let mut done = self.is_done.subscribe();
        if tokio::time::timeout(limit, done.wait_for(|is_done| *is_done)).await.is_err() {
            let left: u64 = self.counts().iter().map(|counts| counts.waiting).sum();
            tracing::warn!("webhooks: {left} events were not sent before the end");
        }
    }
}
