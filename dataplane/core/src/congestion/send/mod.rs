//! Send-side bandwidth estimation: how many bits per second the path to one receiver carries, from what became of the
//! packets that were sent to it. No I/O, no clock, no memory that grows.
//!
//! [`Estimator`] takes results of packets from any feedback (transport-wide congestion control, or RFC 8888). It
//! follows Google congestion control (draft-ietf-rmcat-gcc-02) as libwebrtc has it today, with changes that its parts
//! name: `delay` (does the queue grow, how long is it), `rate` (what follows from that), `loss` (what losses add),
//! `probe` (whether there is more), `window` (what left and what arrived).

mod delay;
mod loss;
mod probe;
mod rate;
mod window;

use std::time::Duration;

use crate::time::Instant;
use delay::Delay;
use loss::Loss;
pub use probe::Probe;
use probe::{Probing, View};
use rate::{Rate, Signal};
use window::ByteWindow;

/// Least that is ever estimated, unless the settings say otherwise (mediasoup, Jitsi: 30 kbit/s).
pub const MINIMUM_BPS: u64 = 30_000;

/// Windows over which rates are measured, in milliseconds: several frames; and, if the queue is not empty, so that what
/// arrives has no gaps, a shorter one. Before a window is full its beginning serves.
const RATE_MS: u64 = 500;
const FULL_RATE_MS: u64 = 200;
/// Less than this share of the estimate is sent: the application limits, not the path. (libwebrtc: 0.65. But without
/// probes the estimate stops at 1.5 times what arrives, and so the share at 0.67.)
const LIMITED_SHARE: f64 = 0.85;
/// A probe raises the rate of a source that follows it by no more than this.
const MOST_STEP: f64 = 1.3;
/// If no feedback comes for this long, and for three responses, after a packet left, the estimate falls to this share;
/// and again after the next packet.
const SILENCE: Duration = Duration::from_secs(1);
const SILENCE_SHARE: f64 = 0.8;
/// Share of the old value in the smoothed response time (RFC 6298: 7/8).
const RESPONSE_SMOOTHING: f64 = 0.875;
/// Response time until one is known.
const FIRST_RESPONSE: Duration = Duration::from_millis(200);
/// Longest response time that is believed.
const LONGEST_RESPONSE: Duration = Duration::from_secs(10);
/// Growth between two loss reports of receivers without transport-wide feedback, per second; losses in 1/256 up to
/// which it grows and from which it falls (gcc-02 section 6: 2 and 10 percent).
const REPORT_GROWTH: f64 = 1.08;
const REPORT_LITTLE: u8 = 5;
const REPORT_MUCH: u8 = 26;

/// A probe's name: packets that were sent together to learn whether the path carries more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterId(u16);

impl ClusterId {
    /// The number, for records of what was sent.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// From the number that a record of what was sent holds.
    #[must_use]
    pub const fn from_u16(id: u16) -> Self {
        Self(id)
    }
}

/// What became of one packet that was sent.
#[derive(Clone, Copy, Debug)]
pub struct PacketResult {
    /// When it left.
    pub sent_at: Instant,
    /// Its bytes, with headers of UDP and IP.
    pub bytes: u32,
    /// When it arrived, by the receiver's clock, whose origin does not matter; `None` if it was lost.
    pub arrived_at: Option<Duration>,
    /// The probe that it was part of.
    pub cluster: Option<ClusterId>,
    /// It arrived marked as having met congestion (RFC 3168).
    pub ecn_ce: bool,
}

/// Bounds of an estimate and its beginning, in bits per second.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The first estimate.
    pub initial_bps: u64,
    /// The estimate is never below this.
    pub minimum_bps: u64,
    /// The estimate is never above this.
    pub maximum_bps: u64,
}

/// What the delay says about the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// The queue neither grows nor shrinks.
    Normal,
    /// The queue grows, or stands at more than 50 ms: more is sent than the path carries.
    Over,
    /// The queue shrinks.
    Under,
}

/// Why the estimate is what it is: what changed it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It is the initial one.
    Start,
    /// Nothing spoke against more.
    Increase,
    /// The queue grew.
    Delay,
    /// Packets arrived marked by a congested router.
    Ecn,
    /// More was lost than the path loses by itself.
    Loss,
    /// A probe arrived.
    Probe,
    /// The receiver said so.
    Remb,
    /// Packets left, and no feedback came.
    Silence,
}

/// The estimator of the path to one receiver.
#[derive(Debug)]
pub struct Estimator {
    minimum_bps: f64,
    maximum_bps: f64,
    wanted_bps: f64,
    /// The estimate, and what changed it last.
    bps: f64,
    cause: Cause,
    /// What a probe has shown since the estimate fell last.
    proven_bps: f64,
    delay: Delay,
    rate: Rate,
    loss: Loss,
    probing: Probing,
    sent: ByteWindow,
    arrived: ByteWindow,
    response: Option<Duration>,
    /// The last feedback, or the last fall for want of it.
    heard_at: Option<Instant>,
    /// The first packet that left after that.
    unheard_since: Option<Instant>,
    remb_bps: Option<f64>,
    reported_at: Option<Instant>,
}

impl Estimator {
    /// An estimator that knows nothing yet. Settings that contradict each other are put right: the maximum is at least
    /// the minimum, and the initial estimate lies between them.
    #[must_use]
    pub fn new(_now: Instant, settings: Settings) -> Self {
        let minimum_bps = settings.minimum_bps.max(1) as f64;
        let maximum_bps = (settings.maximum_bps as f64).max(minimum_bps);
        let initial_bps = (settings.initial_bps as f64).clamp(minimum_bps, maximum_bps);
        Self {
            minimum_bps,
            maximum_bps,
            wanted_bps: 0.0,
            bps: initial_bps,
            cause: Cause::Start,
            proven_bps: 0.0,
            delay: Delay::new(),
            rate: Rate::new(initial_bps),
            loss: Loss::new(),
            probing: Probing::new(),
            sent: ByteWindow::new(),
            arrived: ByteWindow::new(),
            response: None,
            heard_at: None,
            unheard_since: None,
            remb_bps: None,
            reported_at: None,
        }
    }

    /// Other bounds from now on: the estimate is brought within them. What the settings say of the beginning is passed
    /// over.
    pub fn set_bounds(&mut self, settings: Settings) {
        self.minimum_bps = settings.minimum_bps.max(1) as f64;
        self.maximum_bps = (settings.maximum_bps as f64).max(self.minimum_bps);
        self.bps = self.bps.clamp(self.minimum_bps, self.maximum_bps);
    }

    /// A train of packets left, all equally long, with headers of UDP and IP; of a probe, if `cluster` says so. All
    /// that is sent to the receiver counts.
    pub fn sent(&mut self, now: Instant, packets: u32, bytes_each: u32, cluster: Option<ClusterId>) {
        let bytes = u64::from(packets) * u64::from(bytes_each);
        self.sent.record(now.as_nanos() / 1_000, bytes);
        self.probing.sent(bytes, cluster.is_some(), self.bps);
        self.unheard_since.get_or_insert(now);
    }

    /// One feedback: what became of packets, in the order in which they were sent. A packet that was reported as lost
    /// may be reported again when it has arrived.
    pub fn feedback(&mut self, now: Instant, results: impl IntoIterator<Item = PacketResult>) {
        let (mut newest_sent, mut is_observed) = (None, false);
        let (mut is_marked, mut has_loss) = (false, false);
        let mut is_told = false;
        for result in results {
            is_told = true;
            is_observed |= self.loss.record(result.sent_at, result.bytes, result.arrived_at.is_none());
            self.probing.record(&result);
            has_loss |= result.arrived_at.is_none();
            let Some(arrived_at) = result.arrived_at else { continue };
            is_marked |= result.ecn_ce;
            if self.delay.record(result.sent_at, arrived_at) {
                self.arrived.clear();
            }
            self.arrived.record(micros(arrived_at), u64::from(result.bytes));
            newest_sent = newest_sent.max(Some(result.sent_at));
        }
        if !is_told {
            return;
        }
        (self.heard_at, self.unheard_since) = (Some(now), None);
        let before_bps = self.bps;
        if let Some(newest_sent) = newest_sent {
            self.delay.end_feedback();
            self.learn_response(now.since(newest_sent));
            self.adjust(now, is_marked, has_loss);
        }
        self.after_feedback(now, is_observed);
        if self.bps < before_bps {
            self.proven_bps = 0.0;
        }
    }

    fn learn_response(&mut self, seen: Duration) {
        let seen = seen.min(LONGEST_RESPONSE);
        let known = self.response.unwrap_or(seen);
        self.response = Some(known.mul_f64(RESPONSE_SMOOTHING) + seen.mul_f64(1.0 - RESPONSE_SMOOTHING));
    }

    /// Follows delay and probes.
    fn adjust(&mut self, now: Instant, is_marked: bool, has_loss: bool) {
        let found = self.probing.found(now);
        if let Some(found) = found.filter(|found| found.is_lossless) {
            self.loss.prove(found.bps);
            self.proven_bps = self.proven_bps.max(found.bps);
        }
        if let Some(found) = found.filter(|found| found.bps > self.rate.bps()) {
            // A source that follows at once would overrun the path if jitter has falsified what was found.
            let is_followed = !self.rate.is_starting() && !self.is_application_limited() && !found.is_idle;
            let most_bps = if is_followed { self.rate.bps() * MOST_STEP } else { f64::INFINITY };
            self.rate.set(found.bps.min(most_bps));
            self.cause = Cause::Probe;
            return;
        }
        let signal = Signal {
            usage: if is_marked { Usage::Over } else { self.delay.usage() },
            queue_ms: self.delay.queue_ms(),
            is_empty: self.delay.is_empty(),
            has_loss,
            acknowledged_bps: self.acknowledged(),
            arriving_bps: self.arrived.rate_bps(FULL_RATE_MS),
            response: self.response.unwrap_or(FIRST_RESPONSE),
        };
        let before_bps = self.bps;
        let (cause, is_foreign) = self.rate.update(now, &signal);
        if is_foreign {
            self.delay.forget_base();
        }
        match cause {
            Some(Cause::Delay) => {
                self.probing.fell(now, before_bps);
                self.cause = if is_marked { Cause::Ecn } else { Cause::Delay };
            }
            Some(cause) => self.cause = cause,
            None => {}
        }
    }

    /// Follows losses, and puts the estimate together.
    fn after_feedback(&mut self, now: Instant, is_observed: bool) {
        if is_observed {
            let acknowledged_bps = self.acknowledged();
            self.loss.update(self.rate.bps(), acknowledged_bps);
        }
        let allowed_bps = self.rate.bps().clamp(self.minimum_bps, self.maximum_bps);
        self.rate.set(allowed_bps);
        let before_bps = self.bps;
        self.bps = self.loss.limit_bps().map_or(allowed_bps, |limit| limit.clamp(self.minimum_bps, allowed_bps));
        if self.bps < allowed_bps {
            self.cause = Cause::Loss;
            if self.bps < before_bps {
                self.probing.fell(now, before_bps);
            }
        }
    }

    /// What arrives, as far back as is known.
    fn acknowledged(&self) -> Option<f64> {
        self.arrived.rate_bps(RATE_MS).or_else(|| self.arrived.rate_bps(FULL_RATE_MS))
    }

    /// The receiver estimates so many bits per second (draft-alvestrand-rmcat-remb-03). Followed only until there is
    /// transport-wide feedback, which tells more.
    pub fn remb(&mut self, _now: Instant, bitrate_bps: u64) {
        self.remb_bps = Some(bitrate_bps as f64);
        if self.heard_at.is_none() {
            self.set(bitrate_bps as f64, Cause::Remb);
        }
    }

    /// A receiver report: the fraction that was lost, in 1/256 (RFC 3550 section 6.4.1). Followed only if there is no
    /// transport-wide feedback, by the loss controller of draft-ietf-rmcat-gcc-02 section 6, once per round trip.
    pub fn loss_report(&mut self, now: Instant, fraction_lost: u8, round_trip: Option<Duration>) {
        let apart = round_trip.unwrap_or(FIRST_RESPONSE).clamp(FIRST_RESPONSE, LONGEST_RESPONSE);
        let elapsed = self.reported_at.map(|at| now.since(at));
        if self.heard_at.is_some() || elapsed.is_some_and(|elapsed| elapsed < apart) {
            return;
        }
        self.reported_at = Some(now);
        let ceiling = self.remb_bps.unwrap_or(self.maximum_bps);
        if fraction_lost >= REPORT_MUCH {
            self.set(self.bps * (1.0 - 0.5 * f64::from(fraction_lost) / 256.0), Cause::Loss);
        } else if fraction_lost <= REPORT_LITTLE && self.bps < ceiling {
            let seconds = elapsed.unwrap_or_default().as_secs_f64().min(1.0);
            self.set((self.bps * REPORT_GROWTH.powf(seconds)).min(ceiling), Cause::Increase);
        }
    }

    fn set(&mut self, bps: f64, cause: Cause) {
        if bps < self.bps {
            self.proven_bps = 0.0;
        }
        self.bps = bps.clamp(self.minimum_bps, self.maximum_bps);
        self.rate.set(self.bps);
        self.cause = cause;
    }

    /// What the allocator would send if it could, in bits per second; 0 if it wants nothing more. Nothing is probed
    /// beyond 1.2 times that.
    pub fn set_wanted(&mut self, bitrate_bps: u64) {
        let wanted_bps = bitrate_bps as f64;
        if wanted_bps > self.wanted_bps {
            self.probing.wish_rose();
        }
        self.wanted_bps = wanted_bps;
    }

    /// The estimate, in bits per second of UDP and IP.
    #[must_use]
    pub const fn bitrate_bps(&self) -> u64 {
        self.bps as u64
    }

    /// What probes have shown the path to carry since the estimate fell last, in bits per second, and no more than the
    /// estimate. 0 if there was none.
    #[must_use]
    pub const fn proven_bps(&self) -> u64 {
        self.proven_bps.min(self.bps) as u64
    }

    /// What changed the estimate last.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// How long packets wait in the queue before the bottleneck, above the least that was seen within a minute.
    #[must_use]
    pub fn queueing_delay(&self) -> Duration {
        Duration::from_secs_f64((self.delay.queue_ms() / 1e3).clamp(0.0, LONGEST_RESPONSE.as_secs_f64()))
    }

    /// What the delay says about the path.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.delay.usage()
    }

    /// Bits per second that arrived in the last half second that feedback told of; `None` until enough is known.
    #[must_use]
    pub fn acknowledged_bps(&self) -> Option<u64> {
        self.acknowledged().map(|bps| bps as u64)
    }

    /// Less than 85 percent of the estimate were sent in the last half second, so that the estimate is not put to the
    /// proof.
    #[must_use]
    pub fn is_application_limited(&self) -> bool {
        self.sent.rate_bps(RATE_MS).is_some_and(|bps| bps < self.bps * LIMITED_SHARE)
    }

    /// A probe to send now, if one is due. Its packets are to be reported to [`Self::sent`] and in results with its
    /// cluster. A probe of which nothing is heard within a second counts as failed.
    pub fn poll_probe(&mut self, now: Instant) -> Option<Probe> {
        // Nothing has left yet, or nothing can be learned of what leaves.
        if self.unheard_since.is_none() && self.heard_at.is_none() {
            return None;
        }
        self.sent.advance(now.as_nanos() / 1_000);
        // If nothing has left for a while, what was seen last no longer counts: the queue has emptied.
        let is_idle = self.unheard_since.is_none() && self.heard_at.is_some_and(|at| now.since(at) >= SILENCE);
        let view = View {
            estimate_bps: self.bps,
            wanted_bps: self.wanted_bps,
            maximum_bps: self.maximum_bps,
            usage: if is_idle { Usage::Normal } else { self.delay.usage() },
            is_empty: is_idle || self.delay.is_empty(),
            is_lossy: !is_idle && self.loss.is_much(),
            is_draining: !is_idle && self.rate.is_draining(),
            is_starting: self.rate.is_starting(),
            is_idle,
            is_limited: is_idle || self.is_application_limited(),
            jitter_ms: self.delay.jitter_ms(),
        };
        self.probing.poll(now, &view)
    }

    /// When [`Self::handle_timeout`] and [`Self::poll_probe`] are to be called next, if nothing else happens.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let is_wished = self.wanted_bps > self.bps && self.bps < self.maximum_bps;
        let probe = self.probing.next_timeout().filter(|_| is_wished);
        [self.silent_at(), probe].into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.sent.advance(now.as_nanos() / 1_000);
        if self.silent_at().is_some_and(|at| at <= now) {
            self.unheard_since = None;
            self.probing.fell(now, self.bps);
            self.set(self.bps * SILENCE_SHARE, Cause::Silence);
        }
    }

    /// When the estimate falls because no feedback comes. Only a receiver that has given feedback is missed.
    fn silent_at(&self) -> Option<Instant> {
        self.heard_at?;
        let response = self.response.unwrap_or(FIRST_RESPONSE);
        Some(self.unheard_since? + SILENCE.max(response * 3))
    }
}

/// Microseconds of a duration.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
