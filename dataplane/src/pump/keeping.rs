//! What a worker keeps for the one that takes its place, and taking the place of the one before.

use std::time::{Duration, Instant};

use corecast_wire::{Command, CommandError, PlainTransportOptions, Record, Reply};

use super::Pump;

/// How long a port is waited for. A ring lets go of its sockets a moment after the end of its process.
const PORT_TIME: Duration = Duration::from_millis(500);
const PORT_INTERVAL: Duration = Duration::from_millis(5);
/// Batches that a worker takes in at its end, at most.
const MOST_LAST_BATCHES: usize = 64;

impl Pump {
    /// Goes on with the calls of the worker before, as that one's records tell. What cannot be applied is left out.
    pub(crate) fn take_over(&mut self, records: &[Record]) {
        let Some(mut kept) = self.kept.take() else { return };
        let (mut left_out, mut lost) = (0, Vec::new());
        for record in records {
            if let Err(error) = self.restore(record) {
                left_out += 1;
                tracing::debug!(worker = self.config.index, "{record:?} is left out: {error}");
                if let Record::Command(
                    Command::CreatePlainTransport { transport, .. } | Command::CreateWebRtcTransport { transport, .. },
                ) = record
                {
                    tracing::warn!(worker = self.config.index, "transport {transport} is not taken over: {error}");
                    lost.push(*transport);
                }
            }
            self.flush();
            self.apply_endpoint_ops();
        }
        self.worker.restored();
        self.driver.forget_inherited();
        // What it has said that it has learnt is in the records already.
        while self.worker.poll_record().is_some() {}
        if !records.is_empty() {
            let totals = self.worker.totals();
            tracing::info!(
                worker = self.config.index,
                transports = totals.transports,
                consumers = totals.consumers,
                left_out,
                "goes on with the calls of the worker before"
            );
        }
        // Nor does the next worker take it over.
        let closed = |transport| Record::Command(Command::CloseTransport { transport });
        let forgotten = lost.into_iter().try_for_each(|transport| kept.note(&closed(transport)));
        match forgotten.and_then(|()| kept.settle()) {
            Ok(()) => self.kept = Some(kept),
            Err(error) => {
                kept.give_up();
                tracing::error!(worker = self.config.index, "calls will not outlive this worker: {error}");
            }
        }
    }

    /// Forwards what the kernel has handed over by now. What arrives later waits in the sockets for the next worker.
    pub(super) fn take_in_rest(&mut self) {
        if self.kept.is_none() {
            return;
        }
        self.driver.stop();
        let now = self.clock.now();
        for _ in 0..MOST_LAST_BATCHES {
            self.driver.collect();
            self.record_connections();
            self.more_pending = self.take_in(now);
            self.forward(now);
            if !self.more_pending {
                return;
            }
        }
    }

    /// The worker ends because control has gone, or wants it to. If it keeps something, the machine is not taken apart:
    /// what lies in its words is for the next worker.
    pub(crate) fn end(self: Box<Self>) {
        let Self { worker, kept, .. } = *self;
        if kept.is_some() {
            std::mem::forget(worker);
        }
    }

    fn restore(&mut self, record: &Record) -> Result<Reply, CommandError> {
        match record {
            Record::Command(Command::CreatePlainTransport { options, .. }) => self.retry_bind(options, record),
            _ => self.worker.restore(self.clock.now(), record, &[], &mut self.outbox),
        }
    }

    /// The worker before may still hold the port of a transport.
    fn retry_bind(&mut self, options: &PlainTransportOptions, record: &Record) -> Result<Reply, CommandError> {
        let end = Instant::now() + PORT_TIME;
        loop {
            let made = self.create_plain_transport(options, |pump, opened| {
                pump.worker.restore(pump.clock.now(), record, opened, &mut pump.outbox)
            });
            let is_held = matches!(made, Err(CommandError::CannotListen { .. }));
            if !is_held || Instant::now() >= end {
                return made;
            }
            std::thread::sleep(PORT_INTERVAL);
        }
    }

    /// Keeps what the machine has learnt, before what depends on it leaves.
    pub(super) fn keep_learnt(&mut self) {
        while let Some(record) = self.worker.poll_record() {
            self.keep(&record);
        }
    }

    /// Keeps a command that was applied, before what it has caused leaves.
    pub(super) fn keep_applied(&mut self, command: &Command, reply: &Reply) {
        if self.kept.is_none() {
            return;
        }
        self.keep_learnt();
        self.keep(&Record::Command(where_it_listens(command, reply)));
    }

    fn keep(&mut self, record: &Record) {
        let Some(kept) = &mut self.kept else { return };
        if let Err(error) = kept.note(record) {
            kept.give_up();
            self.kept = None;
            tracing::error!(worker = self.config.index, "calls no longer outlive this worker: {error}");
        }
    }
}

/// The command that makes a transport again at the ports that it has been given.
fn where_it_listens(command: &Command, reply: &Reply) -> Command {
    match (command, reply) {
        (Command::CreatePlainTransport { router, transport, options }, Reply::PlainTransport { local, rtcp_local }) => {
            let (port, rtcp_port) = (Some(local.port()), rtcp_local.map(|local| local.port()));
            let options = PlainTransportOptions { port, rtcp_port, ..options.clone() };
            Command::CreatePlainTransport { router: *router, transport: *transport, options }
        }
        _ => command.clone(),
    }
}
