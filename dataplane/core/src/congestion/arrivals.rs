//! Transport-wide congestion control feedback to senders (draft-holmer-rmcat-transport-wide-cc-extensions-01): which
//! packets of a transport came, and when. The sender estimates; we only say what we saw.
//!
//! Only authentic packets are noted. A window of the last numbers is kept, so that one that comes late can still be
//! told of: feedback then begins with it, and repeats what came after (as libwebrtc's receiver does; its sender takes
//! no harm).

use super::lost::LostShare;
use crate::io::Deadline;
use crate::limits::TRANSPORT_CC_WINDOW;
use crate::media::{FIRST_CYCLE, nearest};
use crate::rtcp::TransportCcHead;
use crate::time::Instant;

/// Half of the interval of feedback (mediasoup: 100 ms), and the grid on which it leaves: what many transports have to
/// say leaves in one wake-up.
const HALF_INTERVAL_NS: u64 = 50_000_000;
/// A delta's unit (section 3.1.5 of the draft).
const TICK_NS: u64 = 250_000;
/// Ticks in the unit of the reference time, 64 ms.
const REFERENCE_TICKS: u64 = 256;
/// Packets that came, in one message. With two bytes for each and the chunks of a whole window it fits any path.
const MAX_DELTAS: usize = 400;

/// When a packet came, in ticks.
#[derive(Clone, Copy, Debug, Default)]
struct Arrival {
    sequence: u64,
    ticks: u64,
}

/// The arrivals of a transport.
#[derive(Debug)]
pub(crate) struct Arrivals {
    window: Box<[Arrival; TRANSPORT_CC_WINDOW]>,
    highest: u64,
    /// The first number that feedback has still to tell of.
    next: u64,
    media_ssrc: u32,
    feedback_count: u8,
    /// Share of packets that feedback has told not to have come.
    lost_share: LostShare,
    deadline: Deadline,
}

impl Arrivals {
    /// Those of a transport whose first packet is this one.
    pub(crate) fn new(sequence: u16) -> Self {
        let sequence = FIRST_CYCLE + u64::from(sequence);
        Self {
            window: Box::new([Arrival::default(); TRANSPORT_CC_WINDOW]),
            highest: sequence,
            next: sequence,
            media_ssrc: 0,
            feedback_count: 0,
            lost_share: LostShare::default(),
            deadline: Deadline::default(),
        }
    }

    /// Records a packet. The first of two with one number counts.
    pub(crate) fn record(&mut self, now: Instant, sequence: u16, ssrc: u32) {
        let sequence = nearest(self.highest, sequence);
        if sequence + TRANSPORT_CC_WINDOW as u64 <= self.highest {
            return;
        }
        let Some(held) = self.window.get_mut(place(sequence)) else { return };
        if held.sequence == sequence {
            return;
        }
        *held = Arrival { sequence, ticks: now.as_nanos() / TICK_NS };
        self.highest = self.highest.max(sequence);
        self.next = self.next.min(sequence);
        self.media_ssrc = ssrc;
    }

    /// So many numbers wait to be told of that some may leave the window before the interval is over.
    const fn is_pressing(&self) -> bool {
        self.highest >= self.next + TRANSPORT_CC_WINDOW as u64 / 2
    }

    /// When feedback is due.
    pub(crate) const fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }

    /// When feedback about what has come should leave, if it should leave earlier than it does.
    pub(crate) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        match self.deadline.at() {
            Some(due) if due <= now || !self.is_pressing() => None,
            _ if self.is_pressing() => Some(now),
            _ => Some(next_feedback(now)),
        }
    }

    /// A message of the packets before `end` has left.
    pub(crate) fn sent(&mut self, head: &TransportCcHead, end: u64) {
        let (mut told, mut lost) = (0, 0);
        for status in self.statuses(head, end) {
            told += 1;
            lost += u32::from(status.is_none());
        }
        self.lost_share.note(lost, told);
        self.feedback_count = self.feedback_count.wrapping_add(1);
        self.next = end;
    }

    /// Share of packets that feedback has told not to have come, in 1/65,536.
    pub(crate) const fn lost_share(&self) -> u16 {
        self.lost_share.get()
    }

    fn ticks(&self, sequence: u64) -> Option<u64> {
        self.window.get(place(sequence)).filter(|held| held.sequence == sequence).map(|held| held.ticks)
    }

    /// The next message, and the number that follows it; `None` if there is nothing to tell.
    pub(crate) fn message(&self, sender_ssrc: u32) -> Option<(TransportCcHead, u64)> {
        let oldest = (self.highest + 1).saturating_sub(TRANSPORT_CC_WINDOW as u64);
        let base = self.next.max(oldest);
        let mut came = (base..=self.highest).filter_map(|sequence| Some((sequence, self.ticks(sequence)?)));
        let (first, ticks) = came.next()?;
        let reference = ticks / REFERENCE_TICKS;
        // A delta of two bytes reaches over 8 s; what is further apart begins a message of its own.
        let joins = came.take(MAX_DELTAS - 1).scan(ticks, |before, (sequence, ticks)| {
            i16::try_from(ticks.cast_signed() - before.cast_signed()).ok()?;
            *before = ticks;
            Some(sequence)
        });
        let end = joins.last().unwrap_or(first) + 1;
        #[expect(clippy::cast_possible_truncation, reason = "the message carries the lower 16 and 24 bits")]
        let head = TransportCcHead {
            sender_ssrc,
            media_ssrc: self.media_ssrc,
            base_sequence: base as u16,
            reference_time: (reference & 0xff_ffff) as i32,
            feedback_count: self.feedback_count,
        };
        Some((head, end))
    }

    /// What became of the packets of a message that ends before `end`.
    pub(crate) fn statuses(&self, head: &TransportCcHead, end: u64) -> impl Iterator<Item = Option<i16>> + Clone {
        let base = nearest(end, head.base_sequence);
        let first = (base..end).find_map(|sequence| self.ticks(sequence)).unwrap_or(0);
        (base..end).scan(first / REFERENCE_TICKS * REFERENCE_TICKS, |before, sequence| {
            Some(self.ticks(sequence).map(|ticks| {
                let delta = ticks.cast_signed() - std::mem::replace(before, ticks).cast_signed();
                i16::try_from(delta).unwrap_or(i16::MAX)
            }))
        })
    }
}

/// When to tell of what comes first after the last feedback: half an interval from now or more, a whole one at most.
const fn next_feedback(now: Instant) -> Instant {
    Instant::from_nanos((now.as_nanos() / HALF_INTERVAL_NS + 2) * HALF_INTERVAL_NS)
}

/// Place of a number in the window.
const fn place(sequence: u64) -> usize {
    (sequence % TRANSPORT_CC_WINDOW as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{self, Packet, PacketStatus, Writer};

    fn at(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1_000)
    }

    /// A message's first number, and for each packet its number and when it came, in ticks.
    type Told = (u16, Vec<(u16, Option<i64>)>);

    /// Writes what there is to tell, and reads it.
    fn told(arrivals: &mut Arrivals) -> Vec<Told> {
        let mut messages = Vec::new();
        while let Some((head, end)) = arrivals.message(1) {
            let mut bytes = [0; 1_400];
            let mut writer = Writer::new(&mut bytes);
            assert!(writer.push_transport_cc(&head, arrivals.statuses(&head, end)), "fits");
            let compound = rtcp::parse(writer.as_bytes()).expect("lawful").next();
            let Some(Packet::TransportCc(feedback)) = compound else { panic!("another packet") };
            let mut ticks = i64::from(feedback.reference_time) * 256;
            let read = |PacketStatus { sequence, delta }| {
                let came = delta.map(|delta| {
                    ticks += i64::from(delta);
                    ticks
                });
                (sequence, came)
            };
            messages.push((feedback.base_sequence, feedback.statuses().map(read).collect()));
            arrivals.next = end;
        }
        messages
    }

    #[test]
    fn tells_what_came_when_and_what_did_not() {
        let mut arrivals = Arrivals::new(65_534);
        for (sequence, micros) in [(65_534, 1_000_000), (65_535, 1_000_500), (2, 1_001_000), (1, 1_070_000)] {
            arrivals.record(at(micros), sequence, 9);
        }
        arrivals.record(at(9_000_000), 2, 9);
        let expected = [(65_534, Some(4_000)), (65_535, Some(4_002)), (0, None), (1, Some(4_280)), (2, Some(4_004))];
        assert_eq!(told(&mut arrivals), [(65_534, expected.to_vec())]);
        assert_eq!(told(&mut arrivals), [], "once");
        arrivals.record(at(1_200_000), 4, 9);
        assert_eq!(told(&mut arrivals), [(3, vec![(3, None), (4, Some(4_800))])]);
        arrivals.record(at(1_300_000), 0, 9);
        let again = told(&mut arrivals);
        assert_eq!((again[0].0, again[0].1[0], again[0].1.len()), (0, (0, Some(5_200)), 5), "from the late one on");
    }

    #[test]
    fn what_is_far_apart_in_time_begins_a_new_message() {
        let mut arrivals = Arrivals::new(5);
        arrivals.record(at(0), 5, 9);
        arrivals.record(at(8_000_000), 6, 9);
        arrivals.record(at(16_250_000), 8, 9);
        let messages = told(&mut arrivals);
        assert_eq!(messages[0], (5, vec![(5, Some(0)), (6, Some(32_000))]));
        assert_eq!(messages[1], (7, vec![(7, None), (8, Some(65_000))]));
    }

    #[test]
    fn a_window_is_told_whatever_came_before() {
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let mut arrivals = Arrivals::new(0);
        let mut now = 0;
        for round in 0..2_000 {
            for _ in 0..random(600) {
                now += random(3_000);
                let step = if random(50) == 0 { 40_000 } else { 3 };
                let sequence = (arrivals.highest + random(step)).saturating_sub(random(step));
                arrivals.record(at(now), sequence as u16, 9);
            }
            let messages = told(&mut arrivals);
            let statuses: usize = messages.iter().map(|(_, statuses)| statuses.len()).sum();
            assert!(statuses <= TRANSPORT_CC_WINDOW, "round {round}: {statuses}");
            for (_, statuses) in &messages {
                assert!(statuses.last().is_some_and(|(_, came)| came.is_some()), "ends with what came");
            }
        }
    }
}
