//! A media flow: frames that follow the estimate, a pacer, and a receiver that tells when packets arrived.
//!
//! The pacer and the limits are those that the server's own will have: 1.5 times the estimate, in trains of at most 5
//! ms, at most 250 ms in the queue. Feedback follows the wire rules of transport-wide congestion control: each 50 to
//! 100 ms, times in ticks of 250 µs.

use std::collections::VecDeque;
use std::time::Duration;

use corecast_core::Instant;
use corecast_core::congestion::send::{ClusterId, Estimator, MINIMUM_BPS, PacketResult, Probe, Settings};

/// Frames per second, and how much their sizes vary.
const FRAME_US: u64 = 33_333;
const FRAME_SPREAD: f64 = 0.2;
/// Longest packet with all headers, and a feedback's bytes: what it always has, and for each packet.
const PACKET_BYTES: u32 = 1_200;
const FEEDBACK_BYTES: u32 = 70;
const FEEDBACK_BYTES_EACH: u32 = 2;
/// The pacer's rate beside the estimate, its train, and its longest queue.
const PACING: f64 = 1.5;
const TRAIN_US: u64 = 5_000;
const LONGEST_QUEUE_S: f64 = 0.25;
/// A probe's packets leave one by one.
const PROBE_STEP_US: u64 = 1_000;
/// First estimate (mediasoup: 600 kbit/s).
const INITIAL_BPS: u64 = 600_000;
/// Ticks of arrival times.
const TICK_US: u64 = 250;

/// What was sent under one number.
#[derive(Clone, Copy, Debug)]
struct Record {
    sent_us: u64,
    bytes: u32,
    cluster: Option<ClusterId>,
}

/// Numbers from `base` on: when each arrived, if it did.
#[derive(Debug)]
pub(super) struct Feedback {
    base: u64,
    arrived_us: Vec<Option<u64>>,
}

impl Feedback {
    /// Bytes on the wire.
    pub(super) fn bytes(&self) -> u32 {
        FEEDBACK_BYTES + FEEDBACK_BYTES_EACH * u32::try_from(self.arrived_us.len()).unwrap_or(u32::MAX / 4)
    }
}

/// Both ends of a flow.
#[derive(Debug)]
pub(super) struct Media {
    pub(super) estimator: Estimator,
    most_bps: f64,
    /// Sizes of packets that wait in the pacer.
    queue: VecDeque<u32>,
    queued_bytes: u64,
    next_send_us: u64,
    probe: Option<(Probe, u32, u32)>,
    log: VecDeque<Record>,
    log_base: u64,
    /// The receiver's next number to tell of, and what came since.
    told: u64,
    came: Vec<Option<u64>>,
}

impl Media {
    pub(super) fn new(most_bps: f64) -> Self {
        let settings = Settings { initial_bps: INITIAL_BPS, minimum_bps: MINIMUM_BPS, maximum_bps: 50_000_000 };
        let mut estimator = Estimator::new(Instant::default(), settings);
        estimator.set_wanted(most_bps as u64);
        Self {
            estimator,
            most_bps,
            queue: VecDeque::new(),
            queued_bytes: 0,
            next_send_us: 0,
            probe: None,
            log: VecDeque::new(),
            log_base: 0,
            told: 0,
            came: Vec::new(),
        }
    }

    /// The source pauses or goes on.
    pub(super) fn set_active(&mut self, is_active: bool) {
        self.estimator.set_wanted(if is_active { self.most_bps as u64 } else { 0 });
    }

    /// A frame is due. Returns when the next one is.
    pub(super) fn frame(&mut self, now_us: u64, random: &mut fastrand::Rng) -> u64 {
        let bps = (self.estimator.bitrate_bps() as f64).min(self.most_bps);
        let spread = 1.0 + FRAME_SPREAD * (2.0 * random.f64() - 1.0);
        let bytes = (bps / 8e6 * FRAME_US as f64 * spread) as u32;
        if (self.queued_bytes as f64) < self.pace_bps() / 8.0 * LONGEST_QUEUE_S {
            let packets = bytes.div_ceil(PACKET_BYTES).max(1);
            for index in 0..packets {
                let size = bytes / packets + u32::from(index < bytes % packets);
                self.queue.push_back(size.max(60));
                self.queued_bytes += u64::from(size.max(60));
            }
        }
        self.ask_for_probe(now_us);
        now_us + FRAME_US
    }

    fn pace_bps(&self) -> f64 {
        self.estimator.bitrate_bps() as f64 * PACING
    }

    fn ask_for_probe(&mut self, now_us: u64) {
        let now = instant(now_us);
        if self.estimator.next_timeout().is_some_and(|at| at <= now) {
            self.estimator.handle_timeout(now);
        }
        if let Some(probe) = self.estimator.poll_probe(now) {
            self.probe = Some((probe, 0, 0));
            self.next_send_us = now_us;
        }
    }

    /// The next packet that leaves now: its number and bytes.
    pub(super) fn poll(&mut self, now_us: u64) -> Option<(u64, u32)> {
        self.next_send_us = self.next_send_us.max(now_us.saturating_sub(TRAIN_US));
        if self.next_send_us > now_us {
            return None;
        }
        let media = self.queue.pop_front();
        let (bytes, bps, cluster) = match (&mut self.probe, media) {
            (Some((probe, packets, bytes)), _) => {
                let size = media.unwrap_or(PACKET_BYTES);
                (*packets, *bytes) = (*packets + 1, *bytes + size);
                (size, probe.bitrate_bps as f64, Some(probe.cluster))
            }
            (None, Some(size)) => (size, self.pace_bps(), None),
            (None, None) => return None,
        };
        self.queued_bytes -= u64::from(media.unwrap_or(0));
        self.probe = self.probe.filter(|(probe, packets, bytes)| *packets < probe.packets || *bytes < probe.bytes);
        self.next_send_us += (f64::from(bytes) * 8e6 / bps.max(1.0)) as u64;
        let number = self.log_base + self.log.len() as u64;
        self.log.push_back(Record { sent_us: now_us, bytes, cluster });
        self.estimator.sent(instant(now_us), 1, bytes, cluster);
        Some((number, bytes))
    }

    /// When to look for packets again.
    pub(super) fn next_poll_us(&self, now_us: u64) -> Option<u64> {
        match self.probe {
            Some(_) => Some(self.next_send_us.max(now_us + PROBE_STEP_US)),
            None if self.queue.is_empty() => None,
            None => Some(self.next_send_us.max(now_us + TRAIN_US)),
        }
    }

    /// A packet arrived at the receiver.
    pub(super) fn arrived(&mut self, now_us: u64, number: u64) {
        let Some(place) = number.checked_sub(self.told).and_then(|place| usize::try_from(place).ok()) else { return };
        if self.came.len() <= place {
            self.came.resize(place + 1, None);
        }
        self.came[place] = Some(now_us / TICK_US * TICK_US);
    }

    /// What the receiver has to tell, if anything.
    pub(super) fn feedback(&mut self) -> Option<Feedback> {
        let arrived_us = std::mem::take(&mut self.came);
        let base = self.told;
        self.told += arrived_us.len() as u64;
        (!arrived_us.is_empty()).then_some(Feedback { base, arrived_us })
    }

    /// A feedback arrived at the sender. What an earlier one that was lost would have told is not known.
    pub(super) fn told(&mut self, now_us: u64, feedback: &Feedback) {
        while self.log_base < feedback.base && self.log.pop_front().is_some() {
            self.log_base += 1;
        }
        let told = self.log.drain(..feedback.arrived_us.len().min(self.log.len())).zip(&feedback.arrived_us);
        let results = told.map(|(record, arrived_us)| PacketResult {
            sent_at: instant(record.sent_us),
            bytes: record.bytes,
            arrived_at: arrived_us.map(Duration::from_micros),
            cluster: record.cluster,
            ecn_ce: false,
        });
        self.estimator.feedback(instant(now_us), results);
        self.log_base += feedback.arrived_us.len() as u64;
        self.ask_for_probe(now_us);
    }
}

/// A time of the simulation, as the estimator is told it.
fn instant(micros: u64) -> Instant {
    Instant::from_nanos(micros * 1_000)
}
