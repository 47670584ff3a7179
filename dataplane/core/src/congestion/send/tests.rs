//! The estimator over a path with a queue, and fed with lies.

use super::*;

const SETTINGS: Settings = Settings { initial_bps: 600_000, minimum_bps: MINIMUM_BPS, maximum_bps: 20_000_000 };
const PACKET_BYTES: u32 = 1_250;

/// A sender that sends at the estimate, or at most at a rate, in equal packets, and a path with a queue of 300 ms.
struct Call {
    estimator: Estimator,
    now_us: u64,
    most_bps: f64,
    /// It sends at most that, whatever is estimated.
    is_deaf: bool,
    capacity_bps: f64,
    /// One-way delay, and what others add to the queue at a time in microseconds.
    delay_us: u64,
    others_us: fn(u64) -> u64,
    /// Every other packet is lost on the way.
    is_lossy: bool,
    free_at_us: f64,
    next_at_us: f64,
    probe: Option<(Probe, u32, u32)>,
    results: Vec<PacketResult>,
    probes: u32,
    longest_queue_ms: f64,
}

impl Call {
    fn new(capacity_bps: f64, most_bps: f64) -> Self {
        let mut estimator = Estimator::new(at(0), SETTINGS);
        estimator.set_wanted(20_000_000);
        Self {
            estimator,
            now_us: 0,
            most_bps,
            is_deaf: false,
            capacity_bps,
            delay_us: 25_000,
            others_us: |_| 0,
            is_lossy: false,
            free_at_us: 0.0,
            next_at_us: 0.0,
            probe: None,
            results: Vec::new(),
            probes: 0,
            longest_queue_ms: 0.0,
        }
    }

    /// Runs for so many milliseconds. Feedback leaves each 50 ms and takes 25 ms, as the packets do.
    fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            self.now_us += 1_000;
            if let Some(probe) = self.estimator.poll_probe(self.now()) {
                (self.probe, self.probes) = (Some((probe, 0, 0)), self.probes + 1);
                self.next_at_us = self.now_us as f64;
            }
            while self.next_at_us <= self.now_us as f64 {
                self.send();
            }
            if self.now_us.is_multiple_of(50_000) {
                let (now, arrived_by) = (self.now(), Duration::from_micros(self.now_us - 25_000));
                let told = self.results.iter().take_while(|result| result.arrived_at.is_none_or(|at| at <= arrived_by));
                let told: Vec<_> = self.results.drain(..told.count()).collect();
                self.estimator.feedback(now, told);
            }
            if self.estimator.next_timeout().is_some_and(|at| at <= self.now()) {
                self.estimator.handle_timeout(self.now());
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.now_us * 1_000)
    }

    fn send(&mut self) {
        let estimate_bps = self.estimator.bitrate_bps() as f64;
        let mut bps = if self.is_deaf { self.most_bps } else { estimate_bps.min(self.most_bps) };
        let mut cluster = None;
        if let Some((probe, packets, bytes)) = &mut self.probe {
            (cluster, bps) = (Some(probe.cluster), probe.bitrate_bps as f64);
            (*packets, *bytes) = (*packets + 1, *bytes + PACKET_BYTES);
            self.probe = self.probe.filter(|(probe, packets, bytes)| *packets < probe.packets || *bytes < probe.bytes);
        }
        let bits = f64::from(PACKET_BYTES) * 8.0;
        let at_us = self.now_us as f64;
        self.next_at_us = self.next_at_us.max(at_us - 5_000.0) + bits * 1e6 / bps;
        let queue_ms = (self.free_at_us - at_us).max(0.0) / 1e3;
        let others_us = (self.others_us)(self.now_us);
        let is_lost = self.is_lossy && (self.now_us / 1_000).is_multiple_of(2);
        let fits = queue_ms + others_us as f64 / 1e3 < 300.0 && !is_lost;
        if fits {
            self.free_at_us = self.free_at_us.max(at_us) + bits * 1e6 / self.capacity_bps;
            self.longest_queue_ms = self.longest_queue_ms.max(queue_ms);
        }
        self.estimator.sent(self.now(), 1, PACKET_BYTES, cluster);
        self.results.push(PacketResult {
            sent_at: self.now(),
            bytes: PACKET_BYTES,
            arrived_at: fits.then(|| Duration::from_micros(self.free_at_us as u64 + self.delay_us + others_us)),
            cluster,
            ecn_ce: false,
        });
    }

    fn estimate(&self) -> f64 {
        self.estimator.bitrate_bps() as f64
    }
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

#[test]
fn what_the_path_carries_is_found_at_once_and_kept_without_a_long_queue() {
    let mut call = Call::new(3e6, f64::MAX);
    call.run(2_000);
    assert!((2.3e6..3.4e6).contains(&call.estimate()), "after 2 s {}", call.estimate());
    call.run(8_000);
    call.longest_queue_ms = 0.0;
    let mut least = f64::MAX;
    for _ in 0..200 {
        call.run(100);
        least = least.min(call.estimate());
    }
    assert!(least > 2.0e6, "{least}");
    assert!(call.longest_queue_ms < 120.0, "{} ms", call.longest_queue_ms);
}

#[test]
fn each_capacity_from_150_kbit_to_15_mbit_is_found_within_ten_seconds() {
    for capacity_bps in [0.15e6, 0.3e6, 0.5e6, 1e6, 5e6, 15e6] {
        let mut call = Call::new(capacity_bps, f64::MAX);
        call.run(10_000);
        let mut sum = 0.0;
        for _ in 0..50 {
            call.run(100);
            sum += call.estimate() / capacity_bps / 50.0;
        }
        assert!((0.7..1.05).contains(&sum), "{sum} of {capacity_bps}");
    }
}

#[test]
fn a_fall_of_the_capacity_is_followed_and_so_is_its_return() {
    let mut call = Call::new(3e6, f64::MAX);
    call.run(10_000);
    call.capacity_bps = 0.5e6;
    call.run(3_000);
    assert!(call.estimate() < 0.55e6, "{}", call.estimate());
    assert!(matches!(call.estimator.cause(), Cause::Delay | Cause::Loss | Cause::Increase));
    call.run(7_000);
    call.capacity_bps = 3e6;
    call.run(5_000);
    assert!(call.estimate() > 0.85 * 3e6, "{} by {:?}", call.estimate(), call.estimator.cause());
}

#[test]
fn a_sender_that_sends_little_learns_by_probes_what_it_wants_to_know_and_nothing_more() {
    let mut call = Call::new(5e6, 0.3e6);
    call.run(5_000);
    assert!(call.estimate() > 3e6, "{}", call.estimate());
    assert!(call.estimator.is_application_limited());
    let mut modest = Call::new(5e6, 0.3e6);
    modest.estimator.set_wanted(500_000);
    modest.run(20_000);
    assert_eq!((modest.probes, modest.estimate()), (0, 0.6e6));
}

#[test]
fn a_sender_of_a_fixed_rate_finds_out_that_there_is_more_again() {
    let mut call = Call::new(0.35e6, 0.3e6);
    call.run(10_000);
    assert!(call.estimate() < 0.5e6, "{}", call.estimate());
    call.capacity_bps = 5e6;
    call.run(10_000);
    assert!(call.estimate() > 1.5e6, "{}: sent is more than 65 percent of what can be estimated", call.estimate());
}

#[test]
fn a_receiver_whose_media_are_all_paused_learns_that_its_capacity_has_come_back() {
    let mut call = Call::new(3e6, f64::MAX);
    call.run(5_000);
    call.capacity_bps = 0.05e6;
    call.run(15_000);
    assert!(call.estimate() < 0.1e6, "{}", call.estimate());
    // Not even the lowest layer fits: nothing is sent for two minutes, more than the first budget of probes lasts.
    call.most_bps = 0.001;
    call.run(120_000);
    call.capacity_bps = 3e6;
    call.run(5_000);
    assert!(call.estimate() > 0.2e6, "{} by {:?}", call.estimate(), call.estimator.cause());
}

/// Nothing is sent, so that only probes tell that the losses are over.
#[test]
fn losses_of_before_limit_nothing_that_a_probe_has_shown_to_arrive() {
    let mut call = Call::new(5e6, f64::MAX);
    call.run(5_000);
    call.is_lossy = true;
    call.run(20_000);
    assert_eq!(call.estimator.cause(), Cause::Loss);
    assert!(call.estimate() < 0.2e6, "{}", call.estimate());
    (call.is_lossy, call.most_bps) = (false, 0.001);
    call.estimator.set_wanted(1_000_000);
    call.run(8_000);
    assert!(call.estimate() > 0.5e6, "{} by {:?}", call.estimate(), call.estimator.cause());
    assert!(call.estimator.proven_bps() > 500_000);
    (call.is_lossy, call.most_bps, call.next_at_us) = (true, f64::MAX, call.now_us as f64);
    call.run(3_000);
    assert_eq!(call.estimator.proven_bps(), 0, "the estimate has fallen");
}

#[test]
fn a_path_that_becomes_longer_is_no_queue_for_long() {
    let mut call = Call::new(2e6, f64::MAX);
    call.run(10_000);
    call.delay_us += 100_000;
    call.run(10_000);
    assert!(call.estimate() > 1.6e6, "{}", call.estimate());
    call.longest_queue_ms = 0.0;
    call.run(10_000);
    assert!(call.longest_queue_ms < 120.0, "the delay counts again: {} ms", call.longest_queue_ms);
}

#[test]
fn a_flow_beside_one_that_fills_the_queue_does_not_starve() {
    // As TCP alone would: the queue grows from 100 ms by 20 ms a second, and halves when it is full.
    let mut call = Call::new(20e6, f64::MAX);
    call.estimator.set_wanted(0);
    call.others_us = |now_us| 100_000 + now_us % 10_050_000 / 50;
    call.run(60_000);
    assert!(call.estimate() > 0.4e6, "{} by {:?}", call.estimate(), call.estimator.cause());
}

#[test]
fn what_gets_through_is_estimated_even_if_the_sender_sends_more() {
    let mut call = Call::new(2.5e6, 2e6);
    call.is_deaf = true;
    call.run(10_000);
    call.capacity_bps = 0.6e6;
    for second in 1..=10 {
        call.run(1_000);
        assert!(call.estimate() > 0.3e6, "after {second} s {} by {:?}", call.estimate(), call.estimator.cause());
    }
}

#[test]
fn without_feedback_the_estimate_falls_while_packets_leave() {
    let mut estimator = Estimator::new(at(0), SETTINGS);
    estimator.sent(at(0), 1, 1_000, None);
    assert_eq!(estimator.next_timeout(), None, "a receiver that never gave feedback is not missed");
    estimator.feedback(at(50), [arrived(at(0), Duration::from_secs(7))]);
    assert_eq!(estimator.next_timeout(), None, "nothing has left since");
    estimator.sent(at(100), 1, 1_000, None);
    for fall in 1..=30 {
        let due = estimator.next_timeout().expect("due");
        estimator.handle_timeout(due);
        assert_eq!(estimator.next_timeout(), None, "nothing has left since");
        estimator.sent(due, 1, 1_000, None);
        assert_eq!(estimator.cause(), Cause::Silence);
        let expected = (600_000.0 * 0.8_f64.powi(fall)).max(30_000.0);
        assert!((estimator.bitrate_bps() as f64 - expected).abs() < 2.0);
    }
}

#[test]
fn receivers_without_transport_wide_feedback_are_served_by_remb_and_by_their_losses() {
    let mut estimator = Estimator::new(at(0), SETTINGS);
    estimator.remb(at(0), 2_000_000);
    assert_eq!((estimator.bitrate_bps(), estimator.cause()), (2_000_000, Cause::Remb));
    estimator.loss_report(at(1_000), 128, None);
    assert_eq!((estimator.bitrate_bps(), estimator.cause()), (1_500_000, Cause::Loss));
    estimator.loss_report(at(1_100), 128, None);
    assert_eq!(estimator.bitrate_bps(), 1_500_000, "once per round trip");
    estimator.loss_report(at(2_000), 12, None);
    assert_eq!(estimator.bitrate_bps(), 1_500_000, "between 2 and 10 percent nothing changes");
    for second in 3..10 {
        estimator.loss_report(at(second * 1_000), 0, Some(Duration::from_millis(80)));
    }
    assert_eq!((estimator.bitrate_bps(), estimator.cause()), (2_000_000, Cause::Increase), "up to what REMB says");
    estimator.feedback(at(10_000), [arrived(at(9_900), Duration::from_secs(1))]);
    estimator.remb(at(10_100), 50_000);
    assert!(estimator.bitrate_bps() > 1_000_000, "transport-wide feedback tells more");
}

#[test]
fn packets_marked_by_a_congested_router_lower_the_estimate() {
    let mut call = Call::new(20e6, 0.6e6);
    call.estimator.set_wanted(0);
    call.run(2_000);
    let marked = (0..10).map(|index| PacketResult { ecn_ce: true, ..arrived(call.now(), call.arrival(index)) });
    call.estimator.feedback(call.now(), marked.collect::<Vec<_>>());
    assert_eq!(call.estimator.cause(), Cause::Ecn);
    assert!(call.estimate() < 0.56e6, "{}", call.estimate());
}

impl Call {
    fn arrival(&self, index: u64) -> Duration {
        Duration::from_micros(self.now_us + 25_000 + index * 500)
    }
}

fn arrived(sent_at: Instant, arrived_at: Duration) -> PacketResult {
    PacketResult { sent_at, bytes: 1_000, arrived_at: Some(arrived_at), cluster: None, ecn_ce: false }
}

#[test]
fn feedback_that_lies_keeps_the_estimate_within_its_bounds() {
    for seed in 0..200_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below.max(1)
        };
        let mut estimator = Estimator::new(at(0), SETTINGS);
        let mut now = at(random(1_000));
        let mut cluster = None;
        estimator.set_wanted(u64::MAX);
        for _ in 0..400 {
            let gap_us = if random(50) == 0 { 10_000_000_000 } else { 100_000 };
            now = now + Duration::from_micros(random(gap_us));
            estimator.sent(now, random(64) as u32, random(2_000) as u32, cluster);
            cluster = estimator.poll_probe(now).map(|probe| probe.cluster).or(cluster);
            let results = (0..random(100)).map(|index| {
                let nanos = match random(8) {
                    0 => random(u64::MAX),
                    1 => now.as_nanos().saturating_sub(random(1 << 40)),
                    _ => now.as_nanos().saturating_sub(index * 1_000_000),
                };
                let clock = match random(8) {
                    0 => Duration::new(random(u64::MAX), random(1_000_000_000) as u32),
                    1 => Duration::from_nanos(random(now.as_nanos())),
                    2 => Duration::MAX,
                    _ => Duration::from_nanos(now.as_nanos().wrapping_add(index)),
                };
                PacketResult {
                    sent_at: Instant::from_nanos(nanos),
                    bytes: if random(9) == 0 { u32::MAX } else { random(3_000) as u32 },
                    arrived_at: (random(4) != 0 && seed % 5 != 1).then_some(clock),
                    cluster: cluster.filter(|_| random(3) == 0),
                    ecn_ce: random(20) == 0,
                }
            });
            let results: Vec<_> = results.collect();
            estimator.feedback(now, results);
            match random(10) {
                0 => estimator.handle_timeout(now),
                1 => estimator.remb(now, random(u64::MAX)),
                2 => estimator.loss_report(now, random(256) as u8, Some(Duration::from_nanos(random(u64::MAX)))),
                3 => estimator.set_wanted(random(u64::MAX)),
                _ => {}
            }
            let bps = estimator.bitrate_bps();
            assert!((30_000..=20_000_000).contains(&bps), "seed {seed}: {bps}");
            assert!(estimator.queueing_delay() <= Duration::from_secs(10));
            assert!(estimator.next_timeout().is_none_or(|due| due > Instant::default()));
        }
    }
}

#[test]
fn settings_that_contradict_each_other_are_put_right() {
    let settings = Settings { initial_bps: u64::MAX, minimum_bps: 50_000, maximum_bps: 10 };
    assert_eq!(Estimator::new(at(0), settings).bitrate_bps(), 50_000);
}

#[test]
fn the_estimate_is_brought_within_new_bounds() {
    let mut estimator = Estimator::new(at(0), SETTINGS);
    estimator.set_bounds(Settings { maximum_bps: 200_000, ..SETTINGS });
    assert_eq!(estimator.bitrate_bps(), 200_000);
    estimator.set_bounds(Settings { minimum_bps: 300_000, ..SETTINGS });
    assert_eq!(estimator.bitrate_bps(), 300_000);
}
