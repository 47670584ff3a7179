//! Everything that happens between the ends of a case, event by event, on a clock of its own. The same seed gives the
//! same run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::cases::{Case, FlowKind};
use super::link::Link;
use super::media::Media;
use super::packet::{Body, Packet};
use super::tcp::{SEGMENT_BYTES, Tcp};
use super::trace::Trace;

/// Jitter: what lies above zero of a Gaussian of this deviation, cut off at three times it (RFC 8868 section 4.5.2, for
/// the 30 ms at most that RFC 8867 names). Packets of a flow keep their order.
const JITTER_US: f64 = 10_000.0;
const JITTER_CUT: f64 = 3.0;
/// Receivers give feedback each 50 to 100 ms.
const FEEDBACK_US: std::ops::RangeInclusive<u64> = 50_000..=100_000;
/// TCP's timer is looked at this often.
const TIMER_US: u64 = 100_000;
/// Bytes of an acknowledgement.
const ACK_BYTES: u32 = 60;
/// Short transfers of TCP: bytes, and the mean pause between two in microseconds (RFC 8867 section 5.7).
const SHORT_BYTES: std::ops::RangeInclusive<u64> = 100_000..=1_000_000;
const SHORT_PAUSE_US: f64 = 10e6;

#[derive(Debug)]
enum Event {
    Switch(usize, bool),
    Frame(usize),
    Poll(usize),
    Sent(usize),
    Deliver(Packet),
    Feedback(usize),
    Timer(usize),
    Sample,
}

/// An event and its time; of two at one time the one that was made first comes first.
#[derive(Debug)]
struct Due {
    at_us: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at_us, self.order) == (other.at_us, other.order)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_us, self.order).cmp(&(other.at_us, other.order))
    }
}

#[derive(Debug)]
enum End {
    Media(Box<Media>),
    Tcp(Tcp),
}

#[derive(Debug)]
struct Flow {
    end: End,
    kind: FlowKind,
    /// The link that its packets take; feedback takes the other one.
    direction: usize,
    delay_us: u64,
    is_active: bool,
    /// A poll is due then.
    poll_us: Option<u64>,
    /// The last arrival over each link: order is kept.
    arrived_us: [u64; 2],
}

/// A case that runs.
#[derive(Debug)]
pub(super) struct World {
    now_us: u64,
    order: u64,
    due: BinaryHeap<Reverse<Due>>,
    links: [Link; 2],
    flows: Vec<Flow>,
    random: fastrand::Rng,
    has_jitter: bool,
    trace: Trace,
}

impl World {
    /// Runs a case to its end.
    pub(super) fn run(case: &Case, seed: u64) -> Trace {
        let mut world = Self {
            now_us: 0,
            order: 0,
            due: BinaryHeap::new(),
            links: case.links(),
            flows: Vec::new(),
            random: fastrand::Rng::with_seed(seed),
            has_jitter: case.has_jitter,
            trace: Trace::new(case),
        };
        world.begin(case);
        while let Some(Reverse(Due { at_us, event, .. })) = world.due.pop() {
            if at_us > case.length_us() {
                break;
            }
            world.now_us = at_us;
            world.handle(event);
        }
        world.trace
    }

    fn begin(&mut self, case: &Case) {
        for (index, flow) in case.flows.iter().enumerate() {
            let end = match flow.kind {
                FlowKind::Media { most_bps } => End::Media(Box::new(Media::new(most_bps))),
                FlowKind::LongTcp | FlowKind::ShortTcp => End::Tcp(Tcp::new(None)),
            };
            self.flows.push(Flow {
                end,
                kind: flow.kind,
                direction: flow.direction,
                delay_us: flow.delay_ms * 1_000,
                is_active: false,
                poll_us: None,
                arrived_us: [0; 2],
            });
            for (from_s, to_s) in &flow.active_s {
                // No two flows begin their frames or their feedback together.
                let offset_us = self.random.u64(0..40_000);
                self.at((from_s * 1e6) as u64 + offset_us, Event::Switch(index, true));
                self.at((to_s * 1e6) as u64, Event::Switch(index, false));
            }
        }
        self.at(0, Event::Sample);
    }

    fn at(&mut self, at_us: u64, event: Event) {
        self.order += 1;
        self.due.push(Reverse(Due { at_us: at_us.max(self.now_us), order: self.order, event }));
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Switch(flow, is_active) => self.switch(flow, is_active),
            Event::Frame(flow) => self.frame(flow),
            Event::Poll(flow) => {
                self.flows[flow].poll_us = None;
                self.poll(flow);
            }
            Event::Sent(direction) => self.sent(direction),
            Event::Deliver(packet) => self.deliver(packet),
            Event::Feedback(flow) => self.feedback(flow),
            Event::Timer(flow) => self.timer(flow),
            Event::Sample => self.sample(),
        }
    }

    fn switch(&mut self, flow: usize, is_active: bool) {
        let was_active = std::mem::replace(&mut self.flows[flow].is_active, is_active);
        let kind = self.flows[flow].kind;
        match &mut self.flows[flow].end {
            End::Media(media) => {
                media.set_active(is_active);
                if is_active && !was_active {
                    self.at(self.now_us, Event::Frame(flow));
                    self.at(self.now_us, Event::Feedback(flow));
                }
            }
            End::Tcp(tcp) if is_active => {
                *tcp = Tcp::new((kind == FlowKind::ShortTcp).then(|| self.random.u64(SHORT_BYTES)));
                self.at(self.now_us, Event::Timer(flow));
                self.poll(flow);
            }
            End::Tcp(_) => {}
        }
    }

    fn frame(&mut self, flow: usize) {
        let Flow { end: End::Media(media), is_active: true, .. } = &mut self.flows[flow] else { return };
        let next_us = media.frame(self.now_us, &mut self.random);
        self.at(next_us, Event::Frame(flow));
        self.poll(flow);
    }

    /// Sends what may leave, and comes back for the rest.
    fn poll(&mut self, flow: usize) {
        if !self.flows[flow].is_active {
            return;
        }
        loop {
            let packet = match &mut self.flows[flow].end {
                End::Media(media) => {
                    media.poll(self.now_us).map(|(number, bytes)| Packet { flow, bytes, body: Body::Media(number) })
                }
                End::Tcp(tcp) => tcp.poll(self.now_us).map(|sequence| Packet {
                    flow,
                    bytes: SEGMENT_BYTES,
                    body: Body::Segment(sequence),
                }),
            };
            let Some(packet) = packet else { break };
            self.enter(self.flows[flow].direction, packet);
        }
        let Flow { end: End::Media(media), poll_us, .. } = &mut self.flows[flow] else { return };
        if let Some(next_us) = media.next_poll_us(self.now_us)
            && poll_us.is_none_or(|due| next_us < due)
        {
            *poll_us = Some(next_us);
            self.at(next_us, Event::Poll(flow));
        }
    }

    /// A packet comes to a link.
    fn enter(&mut self, direction: usize, packet: Packet) {
        match self.links[direction].push(self.now_us, packet) {
            Ok(Some(done_us)) => self.at(done_us, Event::Sent(direction)),
            Ok(None) => {}
            Err(packet) => self.trace.lost(self.now_us, &packet),
        }
    }

    /// A link has sent a packet.
    fn sent(&mut self, direction: usize) {
        let Some((packet, waited_us, next_us)) = self.links[direction].pop(self.now_us) else { return };
        if let Some(next_us) = next_us {
            self.at(next_us, Event::Sent(direction));
        }
        self.trace.sent(self.now_us, direction, &packet, waited_us);
        let jitter_us = self.jitter_us();
        let flow = &mut self.flows[packet.flow];
        let arrives_us = (self.now_us + flow.delay_us + jitter_us).max(flow.arrived_us[direction]);
        flow.arrived_us[direction] = arrives_us;
        self.at(arrives_us, Event::Deliver(packet));
    }

    fn jitter_us(&mut self) -> u64 {
        if !self.has_jitter {
            return 0;
        }
        // Box and Muller.
        let radius = (-2.0 * (1.0 - self.random.f64()).ln()).sqrt();
        let gaussian = radius * (std::f64::consts::TAU * self.random.f64()).cos();
        (gaussian.abs().min(JITTER_CUT) * JITTER_US) as u64
    }

    fn deliver(&mut self, packet: Packet) {
        let back = 1 - self.flows[packet.flow].direction;
        match (packet.body, &mut self.flows[packet.flow].end) {
            (Body::Media(number), End::Media(media)) => media.arrived(self.now_us, number),
            (Body::Feedback(feedback), End::Media(media)) => {
                media.told(self.now_us, &feedback);
                self.poll(packet.flow);
            }
            (Body::Segment(sequence), End::Tcp(_)) => {
                self.enter(back, Packet { flow: packet.flow, bytes: ACK_BYTES, body: Body::Ack(sequence) });
            }
            (Body::Ack(sequence), End::Tcp(tcp)) => {
                tcp.acknowledged(self.now_us, sequence);
                self.poll(packet.flow);
            }
            _ => {}
        }
    }

    fn feedback(&mut self, flow: usize) {
        let back = 1 - self.flows[flow].direction;
        let is_active = self.flows[flow].is_active;
        let End::Media(media) = &mut self.flows[flow].end else { return };
        if let Some(feedback) = media.feedback() {
            self.enter(back, Packet { flow, bytes: feedback.bytes(), body: Body::Feedback(feedback) });
        }
        if is_active {
            let next_us = self.now_us + self.random.u64(FEEDBACK_US);
            self.at(next_us, Event::Feedback(flow));
        }
    }

    fn timer(&mut self, flow: usize) {
        let Flow { end: End::Tcp(tcp), is_active: true, kind, .. } = &mut self.flows[flow] else { return };
        tcp.check(self.now_us);
        if *kind == FlowKind::ShortTcp && tcp.is_done() {
            let pause_us = -(1.0 - self.random.f64()).ln() * SHORT_PAUSE_US;
            self.flows[flow].is_active = false;
            self.at(self.now_us + pause_us as u64, Event::Switch(flow, true));
            return;
        }
        self.at(self.now_us + TIMER_US, Event::Timer(flow));
        self.poll(flow);
    }

    fn sample(&mut self) {
        let next_us = self.trace.begin_bin(self.now_us, &self.links.each_ref().map(|l| l.capacity_bps(self.now_us)));
        for (index, flow) in self.flows.iter().enumerate() {
            let estimate_bps = match &flow.end {
                End::Media(media) => media.estimator.bitrate_bps(),
                End::Tcp(_) => 0,
            };
            self.trace.flow(index, flow.is_active, estimate_bps as f64);
        }
        self.at(next_us, Event::Sample);
    }
}
