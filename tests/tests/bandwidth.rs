//! The estimator beside str0m's, which follows libwebrtc: one str0m sends to another over a simulated bottleneck, and
//! our estimator is told of the same packets, when each left and when each arrived. Both are printed for each phase of
//! the capacity; `docs/bandwidth.md` explains where they part.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant as StdInstant};

use corecast_core::Instant;
use corecast_core::congestion::send::{Estimator, MINIMUM_BPS, PacketResult, Settings};
use corecast_tests::webrtc::{address, poll};
use str0m::bwe::{Bitrate, BweKind};
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc};

/// Capacity in bits per second of each phase of 20 s: those of RFC 8867 section 5.1.
const PHASES_BPS: [f64; 4] = [1.0e6, 2.5e6, 0.6e6, 1.0e6];
const PHASE_US: u64 = 20_000_000;
const DELAY_US: u64 = 25_000;
const QUEUE_US: f64 = 300_000.0;
/// What the source sends at most, and the first estimate of both.
const MOST_BPS: u64 = 5_000_000;
const INITIAL_BPS: u64 = 600_000;
/// Ours hears of what arrived each 100 ms, as late as it would over the way back.
const FEEDBACK_US: u64 = 100_000;
const STEP_US: u64 = 1_000;
const PAYLOAD_BYTES: usize = 1_100;
/// Headers of UDP and IP.
const OVERHEAD_BYTES: u32 = 28;

/// One of the two str0m peers, and the datagrams on their way to it.
struct End {
    rtc: Rtc,
    own: SocketAddr,
    other: SocketAddr,
    timeout: StdInstant,
    incoming: VecDeque<(u64, Vec<u8>)>,
}

/// The path from one to the other, and what both estimators say.
struct Path {
    start: StdInstant,
    now_us: u64,
    ends: [End; 2],
    free_at_us: f64,
    shadow: Estimator,
    results: VecDeque<PacketResult>,
    theirs_bps: u64,
}

/// A phase: means of what str0m and ours estimated in its last five seconds.
#[derive(Debug)]
struct Row {
    capacity_bps: f64,
    theirs_bps: f64,
    ours_bps: f64,
    /// Seconds into the phase until each came to 85 percent of the capacity and no more than 115.
    theirs_s: Option<f64>,
    ours_s: Option<f64>,
}

impl Path {
    fn new() -> (Self, Mid) {
        let start = StdInstant::now();
        let (own, other) = (address(10, 5_000), address(11, 5_000));
        let mut sender = Rtc::builder().set_rtp_mode(true).enable_bwe(Some(Bitrate::bps(INITIAL_BPS))).build(start);
        let mut receiver = Rtc::builder().set_rtp_mode(true).build(start);
        sender.add_local_candidate(Candidate::host(own, "udp").expect("a candidate"));
        receiver.add_local_candidate(Candidate::host(other, "udp").expect("a candidate"));
        let mut change = sender.sdp_api();
        let mid = change.add_media(MediaKind::Video, Direction::SendOnly, None, None, None);
        let (offer, pending) = change.apply().expect("an offer");
        let answer = receiver.sdp_api().accept_offer(offer).expect("an answer");
        sender.sdp_api().accept_answer(pending, answer).expect("agreed");
        sender.bwe().set_bitrate(Bitrate::ZERO, Bitrate::bps(MOST_BPS));
        let settings = Settings { initial_bps: INITIAL_BPS, minimum_bps: MINIMUM_BPS, maximum_bps: 50_000_000 };
        let mut shadow = Estimator::new(Instant::default(), settings);
        shadow.set_wanted(MOST_BPS);
        let end = |rtc, own, other| End { rtc, own, other, timeout: start, incoming: VecDeque::new() };
        let ends = [end(sender, own, other), end(receiver, other, own)];
        let (free_at_us, results) = (0.0, VecDeque::new());
        (Self { start, now_us: 0, ends, free_at_us, shadow, results, theirs_bps: INITIAL_BPS }, mid)
    }

    fn std_now(&self) -> StdInstant {
        self.start + Duration::from_micros(self.now_us)
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.now_us * 1_000)
    }

    fn capacity_bps(&self) -> f64 {
        PHASES_BPS[(self.now_us / PHASE_US) as usize % PHASES_BPS.len()]
    }

    /// Gives one end what has arrived and takes what it sends.
    fn turn(&mut self, index: usize) {
        let at = self.std_now();
        while let Some((_, bytes)) = self.ends[index].incoming.pop_front_if(|(due_us, _)| *due_us <= self.now_us) {
            let End { rtc, own, other, .. } = &mut self.ends[index];
            let contents = bytes.as_slice().try_into().expect("what str0m knows");
            let receive = Receive { proto: Protocol::Udp, source: *other, destination: *own, contents };
            rtc.handle_input(Input::Receive(at, receive)).expect("goes on");
            self.take(index);
        }
        if self.ends[index].timeout <= at {
            self.ends[index].rtc.handle_input(Input::Timeout(at)).expect("goes on");
        }
        self.take(index);
    }

    fn take(&mut self, index: usize) {
        let mut sent: Vec<Vec<u8>> = Vec::new();
        let (end, theirs_bps) = (&mut self.ends[index], &mut self.theirs_bps);
        end.timeout = poll(&mut end.rtc, |said| match said {
            Output::Transmit(transmit) => sent.push(transmit.contents.to_vec()),
            Output::Event(Event::EgressBitrateEstimate(BweKind::Twcc { estimate, .. })) => {
                *theirs_bps = estimate.as_u64();
            }
            Output::Event(_) | Output::Timeout(_) => {}
        })
        .expect("a live peer");
        for bytes in sent {
            self.send(index, bytes);
        }
    }

    /// A datagram leaves. Only the way forward has a bottleneck.
    fn send(&mut self, index: usize, bytes: Vec<u8>) {
        let is_rtp = matches!(bytes[..], [128..=191, second, ..] if !(192..=223).contains(&second));
        let now_us = self.now_us as f64;
        let mut arrives_us = Some(self.now_us + DELAY_US);
        if index == 0 {
            let fits = self.free_at_us - now_us < QUEUE_US;
            if fits {
                let bits = f64::from(bytes.len() as u32 + OVERHEAD_BYTES) * 8.0;
                self.free_at_us = self.free_at_us.max(now_us) + bits * 1e6 / self.capacity_bps();
            }
            arrives_us = fits.then_some(self.free_at_us as u64 + DELAY_US);
        }
        if index == 0 && is_rtp {
            let bytes = bytes.len() as u32 + OVERHEAD_BYTES;
            self.shadow.sent(self.now(), 1, bytes, None);
            let arrived_at = arrives_us.map(|us| Duration::from_micros(us / 250 * 250));
            self.results.push_back(PacketResult {
                sent_at: self.now(),
                bytes,
                arrived_at,
                cluster: None,
                ecn_ce: false,
            });
        }
        if let Some(arrives_us) = arrives_us {
            self.ends[1 - index].incoming.push_back((arrives_us, bytes));
        }
    }

    /// Tells our estimator what had arrived when a feedback that comes now left.
    fn feedback(&mut self) {
        let left = Duration::from_micros(self.now_us.saturating_sub(DELAY_US));
        let has_come = |result: &PacketResult| result.arrived_at.is_none_or(|at| at <= left);
        let count = self.results.iter().take_while(|result| has_come(result)).count();
        let now = self.now();
        self.shadow.feedback(now, self.results.drain(..count));
        if self.shadow.next_timeout().is_some_and(|at| at <= now) {
            self.shadow.handle_timeout(now);
        }
    }
}

/// Runs all phases; media follows str0m's estimate.
fn run() -> Vec<Row> {
    let (mut path, mid) = Path::new();
    let (mut sequence, mut owed_bits) = (0_u64, 0.0);
    let mut samples: Vec<(f64, f64)> = Vec::new();
    while path.now_us < PHASE_US * PHASES_BPS.len() as u64 {
        path.now_us += STEP_US;
        owed_bits += path.theirs_bps.min(MOST_BPS) as f64 * STEP_US as f64 / 1e6;
        let packet_bits = (PAYLOAD_BYTES as f64 + 70.0) * 8.0;
        while owed_bits >= packet_bits {
            owed_bits -= packet_bits;
            let at = path.std_now();
            let Some(pt) = path.ends[0].rtc.media(mid).and_then(|media| media.remote_pts().first().copied()) else {
                continue;
            };
            let mut api = path.ends[0].rtc.direct_api();
            let Some(stream) = api.stream_tx_by_mid(mid, None) else { continue };
            let time = (path.now_us / 100 * 9) as u32;
            stream.write_rtp(RtpWrite::new(pt, sequence.into(), time, at, vec![7; PAYLOAD_BYTES]).nackable(false));
            sequence += 1;
            path.ends[0].rtc.handle_input(Input::Timeout(at)).expect("goes on");
            path.take(0);
        }
        path.turn(0);
        path.turn(1);
        if path.now_us.is_multiple_of(FEEDBACK_US) {
            path.feedback();
            samples.push((path.theirs_bps as f64, path.shadow.bitrate_bps() as f64));
        }
    }
    samples.chunks((PHASE_US / FEEDBACK_US) as usize).zip(PHASES_BPS).map(|(phase, bps)| row(phase, bps)).collect()
}

fn row(phase: &[(f64, f64)], capacity_bps: f64) -> Row {
    let last = &phase[phase.len() - 50..];
    let mean = |of: fn(&(f64, f64)) -> f64| last.iter().map(of).sum::<f64>() / last.len() as f64;
    let found = |of: fn(&(f64, f64)) -> f64| {
        let at = phase.iter().position(|sample| (0.85..=1.15).contains(&(of(sample) / capacity_bps)))?;
        Some((at + 1) as f64 * FEEDBACK_US as f64 / 1e6)
    };
    Row {
        capacity_bps,
        theirs_bps: mean(|sample| sample.0),
        ours_bps: mean(|sample| sample.1),
        theirs_s: found(|sample| sample.0),
        ours_s: found(|sample| sample.1),
    }
}

#[test]
fn both_estimators_find_the_capacity_of_the_same_trace() {
    let rows = run();
    println!("capacity | str0m | ours, kbit/s | found by str0m | by ours, s");
    for row in &rows {
        let Row { capacity_bps, theirs_bps, ours_bps, theirs_s, ours_s } = row;
        let [capacity, theirs, ours] = [capacity_bps, theirs_bps, ours_bps].map(|bps| (bps / 1e3).round());
        println!("{capacity} | {theirs} | {ours} | {theirs_s:?} | {ours_s:?}");
    }
    for row in &rows {
        for (name, bps) in [("str0m", row.theirs_bps), ("ours", row.ours_bps)] {
            let share = bps / row.capacity_bps;
            assert!((0.6..=1.25).contains(&share), "{name}: {bps} of {}", row.capacity_bps);
        }
    }
}
