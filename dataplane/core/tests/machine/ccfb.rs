//! A receiver that says by SSRC and sequence number what came (RFC 8888) is estimated as one that says it by
//! transport-wide numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use corecast_core::Instant;
use corecast_core::rtcp::{TransportCcHead, Writer};
use corecast_core::rtp::RtpView;
use corecast_wire::{
    Command, ConsumeOptions, ConsumerExtension, Event, HeaderExtension, Object, ObjectStats, OutgoingCause,
    OutgoingStats, Reply, RtxOptions, TransportId,
};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, path, receiver, remote, rtp};

/// From one end of the path to the other, and how long its queue is.
const DELAY: Duration = Duration::from_millis(20);
const QUEUE: Duration = Duration::from_millis(300);
const NUMBER: u8 = 3;
const OUT: u32 = 21;
const RTX: u32 = 22;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    TransportCc,
    Ccfb,
}

/// A path of so many bits per second, and the receiver at its end.
struct Receiver {
    how: How,
    bps: u64,
    free_at: Instant,
    /// What is under way or has arrived, by stream and number, unwrapped; all is one stream if numbers are
    /// transport-wide.
    arrivals: BTreeMap<(u32, u64), Instant>,
    /// The first number of each stream that it has not told of.
    told: BTreeMap<u32, u64>,
    feedbacks: u8,
    loses_third: bool,
}

impl Receiver {
    fn take(&mut self, now: Instant, datagram: &[u8]) {
        let Ok(view) = RtpView::parse(datagram) else { return };
        let (stream, number) = match (self.how, view.extension(NUMBER)) {
            (How::TransportCc, Some(&[high, low])) => (0, u16::from_be_bytes([high, low])),
            (How::TransportCc, _) => panic!("a packet without a number"),
            (How::Ccfb, number) => {
                assert!(number.is_none(), "a number that was not negotiated");
                (view.ssrc(), view.sequence())
            }
        };
        let last = self.arrivals.range((stream, 0)..=(stream, u64::MAX)).next_back().map(|((_, number), _)| *number);
        let number = match last {
            Some(last) => last.wrapping_add_signed(i64::from(number.wrapping_sub(last as u16).cast_signed())),
            None => (1 << 16) | u64::from(number),
        };
        let start = self.free_at.max(now);
        if start.since(now) > QUEUE || (self.loses_third && number.is_multiple_of(3)) {
            return;
        }
        self.free_at = start + Duration::from_nanos((datagram.len() as u64 + 28) * 8_000_000_000 / self.bps);
        self.arrivals.insert((stream, number), self.free_at + DELAY);
    }

    /// What it says now, if anything has come since the last time.
    fn feedback(&mut self, now: Instant) -> Option<Vec<u8>> {
        let come = |of: u32| {
            let all = self.arrivals.range((of, 0)..=(of, u64::MAX)).filter(|(_, at)| **at <= now);
            all.map(|((_, number), at)| (*number, *at)).collect::<BTreeMap<_, _>>()
        };
        let streams: Vec<(u32, u64, BTreeMap<u64, Instant>)> = [0, OUT, RTX]
            .into_iter()
            .filter_map(|of| {
                let come = come(of);
                let (first, last) = (*come.first_key_value()?.0, *come.last_key_value()?.0);
                let first = self.told.insert(of, last + 1).unwrap_or(first);
                (first <= last).then_some((of, first, come))
            })
            .collect();
        if streams.is_empty() {
            return None;
        }
        self.feedbacks = self.feedbacks.wrapping_add(1);
        Some(match self.how {
            How::TransportCc => transport_cc(&streams[0], self.feedbacks),
            How::Ccfb => ccfb(&streams, now),
        })
    }
}

fn transport_cc((_, first, come): &(u32, u64, BTreeMap<u64, Instant>), feedback_count: u8) -> Vec<u8> {
    let (_, last) = come.last_key_value().map(|(number, at)| (at, *number)).expect("something has come");
    let begin = come.range(first..).next().map_or(0, |(_, at)| at.as_nanos() / 64_000_000);
    let mut before = begin * 256;
    let statuses: Vec<Option<i16>> = (*first..=last)
        .map(|number| {
            let at = come.get(&number)?.as_nanos() / 250_000;
            let delta = at as i64 - before as i64;
            before = at;
            Some(i16::try_from(delta).expect("short"))
        })
        .collect();
    let reference_time = i32::try_from(begin).expect("soon");
    let head = TransportCcHead {
        sender_ssrc: 1,
        media_ssrc: OUT,
        base_sequence: *first as u16,
        reference_time,
        feedback_count,
    };
    let mut bytes = [0; 4_096];
    let mut writer = Writer::new(&mut bytes);
    assert!(writer.push_transport_cc(&head, statuses.iter().copied()));
    writer.as_bytes().to_vec()
}

/// Written by hand, as section 3.1 of the RFC has it.
fn ccfb(streams: &[(u32, u64, BTreeMap<u64, Instant>)], now: Instant) -> Vec<u8> {
    let mut body = 1_u32.to_be_bytes().to_vec();
    for (ssrc, first, come) in streams {
        let last = come.last_key_value().map_or(0, |(number, _)| *number);
        body.extend(ssrc.to_be_bytes());
        body.extend((*first as u16).to_be_bytes());
        body.extend(((last + 1 - first) as u16).to_be_bytes());
        for number in *first..=last {
            let report = come.get(&number).map_or(0, |at| {
                let before = now.since(*at).as_nanos() as u64 * 1_024 / 1_000_000_000;
                0x8000 | (before as u16).min(0x1ffe)
            });
            body.extend(report.to_be_bytes());
        }
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let timestamp = (u128::from(now.as_nanos()) << 16) / 1_000_000_000;
    body.extend((timestamp as u32).to_be_bytes());
    let words = u16::try_from(body.len() / 4).expect("short");
    [&[0x8b, 205][..], &words.to_be_bytes(), &body].concat()
}

struct Call {
    bed: Bed,
    receiver: Receiver,
    sequence: u16,
    /// When what reaches us is due.
    back: Vec<(Instant, Vec<u8>)>,
    millis: u64,
    /// The receiver says nothing.
    is_silent: bool,
}

impl Call {
    fn new(how: How, bps: u64) -> Self {
        let mut bed = Bed::new();
        bed.transport(0, true, false);
        bed.transport(1, false, false);
        bed.produce(0);
        let number = ConsumerExtension::same(HeaderExtension::TransportCc, NUMBER);
        let options = ConsumeOptions {
            rtx: Some(RtxOptions { ssrc: RTX, payload_types: vec![(101, 102)], first_sequence: 9 }),
            header_extensions: if how == How::TransportCc { vec![number] } else { vec![] },
            ccfb: how == How::Ccfb,
            ..receiver(OUT)
        };
        bed.consume_as(1, 1, options).expect("new");
        let free_at = bed.now;
        let (arrivals, told) = (BTreeMap::new(), BTreeMap::new());
        let receiver = Receiver { how, bps, free_at, arrivals, told, feedbacks: 0, loses_third: false };
        Self { bed, receiver, sequence: 0, back: Vec::new(), millis: 0, is_silent: false }
    }

    /// Pictures of 800 kbit/s, 25 a second, and feedback each 50 ms.
    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds * 1_000 {
            self.millis += 1;
            self.bed.now = self.bed.now + Duration::from_millis(1);
            let now = self.bed.now;
            if self.millis.is_multiple_of(40) {
                let head =
                    if self.millis.is_multiple_of(2_000) || self.sequence == 0 { KEY_FRAME } else { DELTA_FRAME };
                for part in 0..4 {
                    self.sequence = self.sequence.wrapping_add(1);
                    // The first byte says whether a picture begins here.
                    let head = if part == 0 { head } else { [0; 4] };
                    self.bed.arrive(path(0), &rtp(self.sequence, &[&head[..], &[0; 996]].concat()));
                }
            }
            if self.millis.is_multiple_of(50)
                && !self.is_silent
                && let Some(feedback) = self.receiver.feedback(now)
            {
                self.back.push((now + DELAY, feedback));
            }
            while self.back.first().is_some_and(|(at, _)| *at <= now) {
                let (_, feedback) = self.back.remove(0);
                self.bed.arrive(path(1), &feedback);
            }
            self.bed.worker.handle_timeout(now, &mut self.bed.outbox);
            for (_, bytes) in self.bed.sent().iter().filter(|(to, _)| *to == remote(1)) {
                if bytes[1] & 0x7f < 72 || bytes[1] & 0x7f > 76 {
                    self.receiver.take(now, bytes);
                }
            }
        }
    }

    fn stats(&mut self) -> OutgoingStats {
        let reply = self.bed.command(&Command::ObjectStats { object: Object::Transport(TransportId(1)) });
        let Ok(Reply::ObjectStats(stats)) = reply else { panic!("{reply:?}") };
        let ObjectStats::Transport(stats) = *stats else { panic!("of another object") };
        stats.outgoing.expect("it is estimated")
    }

    fn estimate(&mut self) -> u64 {
        self.stats().available_bps.expect("it says what came")
    }
}

#[test]
fn both_kinds_of_feedback_come_to_the_same_estimate() {
    let mut seen = Vec::new();
    for how in [How::TransportCc, How::Ccfb] {
        let mut call = Call::new(how, 1_000_000);
        let phases = [1_000_000, 700_000, 5_000_000].map(|bps| {
            call.receiver.bps = bps;
            call.run(20);
            call.estimate()
        });
        seen.push(phases);
        assert_eq!(call.bed.discarded().iter().filter(|(why, _)| *why == "unknown_feedback").count(), 0, "{how:?}");
    }
    println!("by transport-wide numbers {:?}, by names {:?}", seen[0], seen[1]);
    for [wide, narrow, again] in &seen {
        assert!(*wide > 900_000 && *again > 900_000, "800 kbit/s fit: {seen:?}");
        assert!((500_000..800_000).contains(narrow), "of 700 kbit/s: {seen:?}");
    }
    for (by_number, by_name) in seen[0].iter().zip(seen[1]) {
        assert!(by_number.abs_diff(by_name) <= by_number / 8, "{seen:?}");
    }
}

#[test]
fn what_is_lost_counts_and_a_lie_is_refused() {
    let mut call = Call::new(How::Ccfb, 20_000_000);
    call.run(10);
    let before = call.estimate();
    let unknown = |call: &Call| {
        let all = call.bed.discarded();
        all.iter().find(|(why, _)| *why == "unknown_feedback").map_or(0, |(_, count)| *count)
    };
    // Streams that there are not, packets that were not sent, and long ago.
    let now = call.bed.now;
    let come = |first: u64, count: u64| (first..first + count).map(|number| (number, now)).collect::<BTreeMap<_, _>>();
    for (ssrc, first) in [(OUT + 5, 100), (OUT, 30_000), (OUT, 12)] {
        call.bed.arrive(path(1), &ccfb(&[(ssrc, first, come(first, 300))], now));
    }
    assert_eq!(unknown(&call), 3);
    assert_eq!(call.estimate(), before);
    // One in three of what leaves from now on is lost.
    call.receiver.loses_third = true;
    call.run(20);
    let stats = call.stats();
    assert!(stats.available_bps.is_some_and(|bps| bps < before / 2), "{stats:?}, {before} before");
}

/// Also where no probe would look at the path, since all that is wanted fits.
#[test]
fn a_path_of_which_nothing_is_heard_is_taken_to_carry_less() {
    for how in [How::TransportCc, How::Ccfb] {
        let mut call = Call::new(how, 20_000_000);
        call.run(10);
        let before = call.stats();
        assert!(before.available_bps > Some(before.wanted_bps), "{before:?}");
        call.is_silent = true;
        call.run(5);
        let after = call.stats();
        assert!(after.cause == OutgoingCause::Silence && after.available_bps < before.available_bps, "{after:?}");
    }
}

/// Probes are padding on the retransmission stream, which has names as well.
#[test]
fn what_was_suspended_comes_back_when_a_probe_finds_that_it_fits() {
    let mut call = Call::new(How::Ccfb, 300_000);
    call.run(20);
    let media = |call: &Call| call.receiver.arrivals.range((OUT, 0)..=(OUT, u64::MAX)).count();
    let (before, narrow) = (media(&call), call.estimate());
    call.run(2);
    assert_eq!(media(&call), before, "pictures of 800 kbit/s do not fit 300");
    assert!((100_000..400_000).contains(&narrow), "{narrow} of 300 kbit/s");
    call.receiver.bps = 5_000_000;
    let padding = |call: &Call| call.receiver.arrivals.range((RTX, 0)..=(RTX, u64::MAX)).count();
    let told = |call: &mut Call| {
        let events = std::iter::from_fn(|| call.bed.worker.poll_event());
        let packets = |event| if let Event::Probed { packets, .. } = event { packets } else { 0 };
        events.map(packets).sum::<u32>()
    };
    let (early, transport) = (padding(&call), TransportId(1));
    assert_eq!(told(&mut call), 0, "nobody has asked");
    call.bed.command(&Command::TraceProbes { transport, traced: true }).expect("there");
    call.run(20);
    let probes = padding(&call);
    assert!(probes > 20, "{probes} packets of padding");
    let told = told(&mut call) as usize;
    assert!(told >= probes - early && told < 2 * (probes - early), "{told} told, {probes} in all, {early} before");
    assert!(call.estimate() > 900_000 && media(&call) > before + 1_000, "{} packets", media(&call) - before);
}
