//! Numbering against a plain log of every packet: seeded random streams with losses, reordering, late packets,
//! repeats, restarts, switches of stream and filter, pauses, and filters that come in the middle.

use std::collections::BTreeMap;

use super::*;
use crate::codec::{PictureIds, frame};
use crate::limits::MAX_FILTERS;

const WINDOW: u64 = 64;

/// xorshift64: the same numbers each time for a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, below: u64) -> u64 {
        self.next() % below
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A packet of VP8 of a temporal layer, or of another payload type.
fn packet(sequence: u64, picture: u32, temporal: u8, payload_type: u8) -> PacketMeta {
    let frame = frame(corecast_wire::Codec::Vp8, &[0x90, 0x20, temporal << 6, 1], None);
    PacketMeta { sequence, timestamp: picture, payload_type, frame, ..PacketMeta::default() }
}

/// A stream as its history has it.
struct Source {
    key: StreamKey,
    withheld: Withheld,
    ring: Vec<Option<PacketMeta>>,
    /// Sequence number and picture of the next packet that its sender makes.
    next: u64,
    picture: u32,
    highest: Option<u64>,
    /// Packets that are on their way, to come later than those after them.
    delayed: Vec<PacketMeta>,
    /// What came, in the order in which it did.
    log: Vec<PacketMeta>,
}

impl Source {
    fn new(index: u32, first: u64) -> Self {
        Self {
            key: StreamKey::for_tests(index),
            withheld: Withheld::new(WINDOW),
            ring: vec![None; WINDOW as usize],
            next: first,
            picture: 0,
            highest: None,
            delayed: Vec::new(),
            log: Vec::new(),
        }
    }

    fn held(&self, sequence: u64) -> Option<PacketMeta> {
        self.ring[(sequence % WINDOW) as usize].filter(|packet| packet.sequence == sequence)
    }

    /// Takes a packet in as a stream does: once, and not older than history.
    fn arrive(&mut self, packet: PacketMeta) -> bool {
        let is_old = self.highest.is_some_and(|highest| packet.sequence + WINDOW <= highest);
        if is_old || self.held(packet.sequence).is_some() {
            return false;
        }
        self.withheld.record(&packet);
        self.highest = self.highest.max(Some(packet.sequence));
        self.ring[(packet.sequence % WINDOW) as usize] = Some(packet);
        self.log.push(packet);
        true
    }

    fn column(&mut self, filter: &Filter) -> Column {
        let ring = &self.ring;
        let held = |sequence: u64| ring[(sequence % WINDOW) as usize].filter(|one| one.sequence == sequence);
        self.withheld.column(filter, self.highest.unwrap_or_default(), held)
    }

    /// Whether a packet came when all that had come was older.
    fn came_in_order(&self, at: usize) -> bool {
        self.log[..at].iter().all(|before| before.sequence < self.log[at].sequence)
    }
}

/// What a consumer gave a packet, in the segment of that number.
#[derive(Clone, Copy, Debug)]
struct Sent {
    segment: usize,
    stream: usize,
    packet: PacketMeta,
    numbered: Numbered,
}

/// A consumer, with the naive record of everything that it sent.
struct Receiver {
    numbering: Numbering,
    filter: Filter,
    stream: usize,
    waiting: bool,
    segment: usize,
    /// By number, and by stream and sequence number.
    sent: BTreeMap<u64, Sent>,
    numbers: BTreeMap<(usize, u64), Numbered>,
    /// By segment: its filter.
    filters: Vec<Filter>,
}

impl Receiver {
    fn new(filter: Filter, stream: usize, source: &Source, first_out: u64) -> Self {
        Self {
            numbering: Numbering::new(source.key, first_out),
            filter,
            stream,
            waiting: true,
            segment: 0,
            sent: BTreeMap::new(),
            numbers: BTreeMap::new(),
            filters: Vec::new(),
        }
    }

    /// A packet of its stream, as [`super::super::Consumer`] takes it.
    fn take(&mut self, source: &mut Source, packet: &PacketMeta) {
        let switches = self.numbering.stream() != source.key && self.numbering.has_begun();
        if self.waiting || switches {
            let newest = self.numbering.newest_in(source.key, &source.withheld);
            if self.filter.withholds(packet).is_some() || newest.is_some_and(|newest| packet.sequence <= newest) {
                return;
            }
            let column = source.column(&self.filter);
            let count = source.withheld.pass(column, &self.filter, packet).expect("it passes, and has just come");
            let offsets = switches.then_some((packet.timestamp, Change::NONE));
            let before = self.numbering.next_out.get();
            self.numbering.begin((source.key, 0), (column, (u8::MAX, u8::MAX)), (packet.sequence, count), offsets);
            assert_eq!(self.numbering.segment.first_out, before, "the next number");
            self.begun();
        }
        let goes_on = self.numbering.go_on(packet);
        let numbered = self.numbering.number(&mut source.withheld, &self.filter, packet);
        assert!(goes_on.is_none_or(|goes_on| numbered == Ok(goes_on)), "{goes_on:?} of {packet:?}: {numbered:?}");
        if let Ok(numbered) = numbered {
            self.record(source, packet, numbered);
        }
        assert!(numbered != Err(Discard::LeftHistory), "{packet:?} has just come");
    }

    fn begun(&mut self) {
        self.waiting = false;
        self.segment = self.filters.len();
        self.filters.push(self.filter);
    }

    fn record(&mut self, source: &mut Source, packet: &PacketMeta, numbered: Numbered) {
        let late = self.sent.range(numbered.index..).next().is_some();
        let segment = if late {
            self.sent.range(..numbered.index).next_back().map_or(0, |(_, one)| one.segment)
        } else {
            self.segment
        };
        let sent = Sent { segment, stream: self.stream, packet: *packet, numbered };
        let taken = self.sent.insert(numbered.index, sent);
        assert!(taken.is_none(), "{} is given to {packet:?}, and was to {taken:?}", numbered.index);
        let again = self.numbers.insert((self.stream, packet.sequence), numbered);
        assert_eq!(again, None, "{packet:?} came twice");
        assert_eq!(self.numbering.number(&mut source.withheld, &self.filter, packet), Ok(numbered), "asked again");
    }

    /// The filter changes at a packet that passes the new one.
    fn change_filter(&mut self, source: &mut Source, filter: Filter, packet: &PacketMeta) {
        if self.waiting || source.highest != Some(packet.sequence) || filter.withholds(packet).is_some() {
            return;
        }
        if self.numbering.stream() != source.key {
            return;
        }
        let column = source.column(&filter);
        let count = source.withheld.pass(column, &filter, packet).expect("it passes, and has just come");
        self.filter = filter;
        self.numbering.begin_filter(&source.withheld, (column, (u8::MAX, u8::MAX)), (packet.sequence, count));
        self.begun();
    }
}

fn filters() -> [Filter; 5] {
    let of = |temporal, payload_types| Filter { temporal, payload_types, ..Filter::NONE };
    [Filter::NONE, of(0, 0), of(1, 0), of(2, 1 << 13), of(0, 1 << 13)]
}

/// One packet after the other for a while, with everything that a network and a receiver may do.
struct World {
    random: Random,
    sources: Vec<Source>,
    receivers: Vec<Receiver>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        // Streams begin anywhere, also where their numbers wrap within 16 bits, and one behind the other.
        let sources: Vec<_> = (0..3).map(|index| Source::new(index, (1 << 16) + random.below(1 << 17))).collect();
        let receivers = (0..8)
            .map(|at| {
                let stream = random.below(3) as usize;
                let filter = filters()[at % 5];
                Receiver::new(filter, stream, &sources[stream], random.below(1 << 15))
            })
            .collect();
        Self { random, sources, receivers }
    }

    /// What the network delivers next of a stream.
    fn arrivals(&mut self, stream: usize) -> Vec<PacketMeta> {
        let (random, source) = (&mut self.random, &mut self.sources[stream]);
        if random.one_in(2_000) {
            source.next += random.below(300);
        }
        let temporal = [0, 2, 1, 2][(source.picture % 4) as usize];
        let payload_type = if random.one_in(12) { 13 } else { 100 };
        let made = packet(source.next, source.picture, temporal, payload_type);
        source.next += 1;
        source.picture += u32::from(random.one_in(3));
        let mut arrivals = Vec::new();
        match random.below(20) {
            // Lost for good; late; repeated.
            0 => {}
            1 | 2 => source.delayed.push(made),
            3 => arrivals.extend([made, made]),
            _ => arrivals.push(made),
        }
        if random.one_in(4) && !source.delayed.is_empty() {
            let at = random.below(source.delayed.len() as u64) as usize;
            arrivals.push(source.delayed.swap_remove(at));
        }
        arrivals
    }

    fn step(&mut self) {
        let stream = self.random.below(3) as usize;
        for packet in self.arrivals(stream) {
            if !self.sources[stream].arrive(packet) {
                continue;
            }
            for at in 0..self.receivers.len() {
                let chosen = filters()[self.random.below(5) as usize];
                let (changes, pauses) = (self.random.one_in(150), self.random.one_in(200));
                let receiver = &mut self.receivers[at];
                if receiver.stream != stream {
                    continue;
                }
                if changes {
                    receiver.change_filter(&mut self.sources[stream], chosen, &packet);
                }
                if pauses {
                    (receiver.waiting, receiver.filter) = (true, chosen);
                }
                receiver.take(&mut self.sources[stream], &packet);
                if self.random.one_in(300) {
                    self.receivers[at].stream = self.random.below(3) as usize;
                }
            }
        }
    }

    /// Every packet that is still in history, of a segment that is remembered, is found under its number, and would
    /// leave as it did before.
    fn check_reverse(&mut self) {
        for receiver in &self.receivers {
            let oldest = receiver.filters.len().saturating_sub(MAX_OLDER_SEGMENTS + 1);
            for (index, sent) in receiver.sent.range(receiver.numbering.next_out.get().saturating_sub(200)..) {
                let source = &mut self.sources[sent.stream];
                let sequence = sent.packet.sequence;
                let left = source.highest.is_some_and(|highest| sequence + WINDOW <= highest);
                if left || source.held(sequence).is_none() || sent.segment < oldest {
                    continue;
                }
                let located = receiver.numbering.locate(*index as u16).expect("a number that was given");
                assert_eq!((located.index, located.stream()), (*index, source.key));
                assert_eq!(located.sequence(&source.withheld), Some(sequence), "{sent:?}");
                let again = located.numbered(&mut source.withheld, &receiver.filters[sent.segment], &sent.packet);
                assert_eq!(again, Some(sent.numbered), "{sent:?}");
            }
        }
    }

    /// Numbers of a segment rise with the sequence numbers, and their gaps are what was lost, or came late and was
    /// withheld.
    fn check_order(&self, receiver: &Receiver) {
        let mut by_segment: BTreeMap<(usize, usize), Vec<Sent>> = BTreeMap::new();
        for sent in receiver.sent.values() {
            by_segment.entry((sent.segment, sent.stream)).or_default().push(*sent);
        }
        for ((segment, stream), sent) in by_segment {
            let (source, filter) = (&self.sources[stream], receiver.filters[segment]);
            let place: BTreeMap<u64, usize> =
                source.log.iter().enumerate().map(|(at, one)| (one.sequence, at)).collect();
            for pair in sent.windows(2) {
                let [before, after] = pair else { continue };
                let (from, to) = (before.packet.sequence, after.packet.sequence);
                assert!(from < to, "{before:?} {after:?}");
                let step = after.numbered.index - before.numbered.index;
                let withheld: Vec<usize> = (from + 1..to)
                    .filter_map(|sequence| place.get(&sequence).copied())
                    .filter(|at| filter.withholds(&source.log[*at]).is_some())
                    .collect();
                let in_order = withheld.iter().filter(|at| source.came_in_order(**at)).count() as u64;
                let most = to - from - in_order;
                let least = to - from - withheld.len() as u64;
                assert!((least..=most).contains(&step), "{least}..={most}: {before:?} {after:?}");
            }
        }
    }
}

#[test]
fn every_number_is_one_packets_and_is_found_again() {
    for seed in 1..=60 {
        let mut world = World::new(seed);
        for step in 0..3_000 {
            world.step();
            if step % 97 == 0 {
                world.check_reverse();
            }
        }
        world.check_reverse();
        for receiver in &world.receivers {
            assert!(receiver.sent.len() > 100, "seed {seed}: {} packets", receiver.sent.len());
            if seed % 10 == 0 {
                world.check_order(receiver);
            }
        }
    }
}

/// Six hours of a stream at 60 pictures a second, of which three in four are withheld, and one packet in a thousand is
/// lost.
#[test]
fn hours_of_withheld_packets_leave_no_gap_but_those_of_losses() {
    let mut random = Random(7);
    let mut source = Source::new(1, 1 << 16);
    let filter = Filter { temporal: 0, ..Filter::NONE };
    let mut receiver = Receiver::new(filter, 0, &source, 100);
    let (mut lost, mut pictures_lost, mut count) = (0, 0, 0);
    for picture in 0..6 * 3_600 * 60_u32 {
        let temporal = [0, 2, 1, 2][(picture % 4) as usize];
        let packet = packet((1 << 16) + u64::from(picture), picture, temporal, 100);
        // What is lost is a gap, whatever it was.
        if picture > 0 && random.one_in(1_000) {
            lost += 1;
            pictures_lost += 1;
            continue;
        }
        source.arrive(packet);
        receiver.take(&mut source, &packet);
        if temporal == 0 {
            let numbered = receiver.numbers.remove(&(0, packet.sequence)).expect("it is forwarded");
            assert_eq!(numbered.index, 100 + count + lost);
            let ids = numbered.change.applied_to(PictureIds { picture: Some(picture as u16), tl0: Some(9) });
            assert_eq!(ids, PictureIds { picture: Some((count + pictures_lost) as u16), tl0: Some(9) });
            count += 1;
        }
        source.log.clear();
        receiver.sent.clear();
    }
    assert!(count > 300_000 && receiver.numbering.older.is_empty());
}

#[test]
fn a_filter_too_many_withholds_all_the_same_but_leaves_gaps() {
    let mut source = Source::new(1, 1 << 16);
    let of = |payload_type: u8| Filter { payload_types: 1 << payload_type, ..Filter::NONE };
    let mut receivers: Vec<_> = (0..=16).map(|at| Receiver::new(of(at), 0, &source, 100)).collect();
    for sequence in 0..100 {
        // Every other packet has the payload type that the last of them withholds.
        let packet = packet((1 << 16) + sequence, 0, 0, if sequence % 2 == 0 { 100 } else { 16 });
        source.arrive(packet);
        receivers.iter_mut().for_each(|receiver| receiver.take(&mut source, &packet));
    }
    let indexes = |at: usize| receivers[at].sent.keys().copied().collect::<Vec<_>>();
    assert_eq!(indexes(15), (100..200).collect::<Vec<_>>());
    assert_eq!(indexes(16), (100..200).step_by(2).collect::<Vec<_>>());
}

#[test]
fn a_filter_that_comes_late_counts_what_history_holds() {
    let mut source = Source::new(1, 1 << 16);
    let packets: Vec<_> = (0..40).map(|at| packet((1 << 16) + at, 0, (at % 2) as u8, 100)).collect();
    packets.iter().for_each(|packet| assert!(source.arrive(*packet)));
    let filter = Filter { temporal: 0, ..Filter::NONE };
    let mut receiver = Receiver::new(filter, 0, &source, 7);
    packets[10..].iter().for_each(|packet| receiver.take(&mut source, packet));
    assert_eq!(receiver.sent.keys().copied().collect::<Vec<_>>(), (7..22).collect::<Vec<_>>());
}

#[test]
fn a_filter_that_no_consumer_uses_is_forgotten() {
    let mut source = Source::new(1, 1 << 16);
    let filter = Filter { temporal: 0, ..Filter::NONE };
    let mut receiver = Receiver::new(filter, 0, &source, 7);
    let first = packet(1 << 16, 0, 0, 100);
    source.arrive(first);
    receiver.take(&mut source, &first);
    let column = receiver.numbering.column();
    for sequence in 1..2_000 {
        assert_eq!(source.withheld.has(column), sequence <= 8 * WINDOW + 1, "{sequence}");
        source.arrive(packet((1 << 16) + sequence, 0, 0, 100));
    }
    let last = packet((1 << 16) + 2_000, 0, 0, 100);
    source.arrive(last);
    assert_eq!(receiver.numbering.number(&mut source.withheld, &filter, &last), Err(Discard::LeftHistory));
    assert_ne!(source.column(&filter), column, "nothing of before is found again");
}

/// Who changes its mind often leaves filters behind, and counts with them.
#[test]
fn a_filter_too_many_takes_the_place_of_the_one_that_nobody_has_used_for_the_longest() {
    let mut source = Source::new(1, 1 << 16);
    let filter = |temporal: usize| Filter { temporal: 0, payload_types: 1 << temporal, ..Filter::NONE };
    let mut next = 1 << 16;
    let mut come = |source: &mut Source, count: u64| {
        (next..next + count).for_each(|sequence| assert!(source.arrive(packet(sequence, 0, 0, 100))));
        next += count;
    };
    come(&mut source, 1);
    let columns: Vec<_> = (0..MAX_FILTERS).map(|at| source.column(&filter(at))).collect();
    come(&mut source, 1);
    assert_eq!(source.column(&filter(3)), columns[3]);
    come(&mut source, WINDOW - 2);
    assert_eq!(source.column(&filter(MAX_FILTERS)), Column::UNCOUNTED, "all have been asked for");
    assert!(columns.iter().all(|column| source.withheld.has(*column)));
    come(&mut source, 1);
    let others: Vec<_> = (0..2).map(|at| source.column(&filter(MAX_FILTERS + at))).collect();
    assert!(others.iter().all(|column| *column != Column::UNCOUNTED && source.withheld.has(*column)));
    let left = columns.iter().filter(|column| source.withheld.has(**column)).count();
    assert_eq!((left, source.withheld.has(columns[3])), (MAX_FILTERS - 2, true));
}
