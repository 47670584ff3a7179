//! A lane: packets from one worker to another of the same server, through memory that both have mapped. One end writes,
//! the other reads; neither waits for the other. A lane that is full takes nothing until its reader has gone on.
//!
//! The memory is a ring of words, and only ever used as atomic ones: so safe code shares it with another process.
//! Whatever the other side writes there, each end goes by its own place in the ring, checks what it reads of the
//! other's, and copies a packet out before anybody looks at it. Nothing here sleeps or wakes: [`Writer::publish`] says
//! whether the reader has to be woken.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Longest packet, in bytes. The machine discards longer ones of RTP, and no others are as long.
pub(crate) const MAX_PACKET_BYTES: usize = 2_048;
/// Room for packets: 20 ms of them at 400 Mbit/s.
const PACKET_WORDS: usize = 1 << 17;
/// What both ends tell each other, each in a cache line of its own (two, since CPUs fetch them in pairs): how far the
/// writer has written, how far the reader has read, in words since the beginning, and whether the reader sleeps.
const TAIL: usize = 0;
const HEAD: usize = 16;
const SLEEPS: usize = 32;
/// One page.
const CONTROL_WORDS: usize = 512;
/// Memory of a lane, in words.
pub(crate) const LANE_WORDS: usize = CONTROL_WORDS + PACKET_WORDS;
/// Before each packet: its length and its ports, and when it came.
const PREFIX_WORDS: usize = 2;

/// What is said of a packet beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    /// The endpoint that sends it, as its own worker calls it.
    pub(crate) from: u16,
    /// The endpoint that it is for, as the other worker calls it.
    pub(crate) to: u16,
    /// Unix time at which what it was made of came in, in nanoseconds.
    pub(crate) came_ns: u64,
}

/// The memory of a lane, as both ends use it.
#[derive(Clone, Copy, Debug)]
struct Shared {
    tail: &'static AtomicU64,
    head: &'static AtomicU64,
    sleeps: &'static AtomicU64,
    /// As many as a power of two.
    ring: &'static [AtomicU64],
}

impl Shared {
    /// `None` if the memory is too short, or its ring no power of two.
    fn of(memory: &'static [AtomicU64]) -> Option<Self> {
        let (control, ring) = memory.split_at_checked(CONTROL_WORDS)?;
        let (tail, head, sleeps) = (control.get(TAIL)?, control.get(HEAD)?, control.get(SLEEPS)?);
        ring.len().is_power_of_two().then_some(Self { tail, head, sleeps, ring })
    }

    fn len(&self) -> u64 {
        self.ring.len() as u64
    }

    /// The ring from a place on to its end.
    fn from(&self, at: u64) -> &'static [AtomicU64] {
        self.ring.get(usize::try_from(at & (self.len() - 1)).unwrap_or(0)..).unwrap_or_default()
    }

    /// Writes these words at a place and behind it; at its end the ring goes on at its beginning.
    fn copy_in(&self, at: u64, words: &[[u8; 8]]) {
        let to = self.from(at);
        let (before, after) = words.split_at(words.len().min(to.len()));
        for (to, words) in [(to, before), (self.ring, after)] {
            to.iter().zip(words).for_each(|(to, word)| to.store(u64::from_ne_bytes(*word), Ordering::Relaxed));
        }
    }

    /// Reads as many words as there is room for, in the same way.
    fn copy_out(&self, at: u64, room: &mut [[u8; 8]]) {
        let from = self.from(at);
        let (before, after) = room.split_at_mut(room.len().min(from.len()));
        for (from, room) in [(from, before), (self.ring, after)] {
            from.iter().zip(room).for_each(|(from, word)| *word = from.load(Ordering::Relaxed).to_ne_bytes());
        }
    }
}

/// The end of a lane that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Shared,
    tail: u64,
    /// What the reader knows of.
    published: u64,
    /// How far the reader had read when it was asked last.
    head: u64,
}

impl Writer {
    /// The one of a lane that nobody has written to. `None` if the memory is none of a lane.
    pub(crate) fn of(memory: &'static [AtomicU64]) -> Option<Self> {
        Some(Self { shared: Shared::of(memory)?, tail: 0, published: 0, head: 0 })
    }

    /// Writes a packet; the reader sees it after [`Self::publish`]. False if it is too long, or there is no room.
    pub(crate) fn push(&mut self, label: Label, packet: &[u8]) -> bool {
        let words = PREFIX_WORDS + packet.len().div_ceil(8);
        if packet.len() > MAX_PACKET_BYTES || !self.has_room(words) {
            return false;
        }
        let ports = u64::from(label.from) << 16 | u64::from(label.to) << 32;
        let prefix = [packet.len() as u64 | ports, label.came_ns].map(u64::to_ne_bytes);
        let (whole, rest) = packet.as_chunks();
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        let mut at = self.tail;
        let last: &[_] = if rest.is_empty() { &[] } else { &[last] };
        for words in [&prefix, whole, last] {
            self.shared.copy_in(at, words);
            at = at.wrapping_add(words.len() as u64);
        }
        self.tail = at;
        true
    }

    fn has_room(&mut self, words: usize) -> bool {
        if self.room() < words as u64 {
            // Acquire: the reader has read what is overwritten from now on.
            self.head = self.shared.head.load(Ordering::Acquire);
        }
        self.room() >= words as u64
    }

    /// None if the reader has been where nothing was written.
    fn room(&self) -> u64 {
        self.shared.len().saturating_sub(self.tail.wrapping_sub(self.head))
    }

    /// Shows the reader what was written since the last call. True if it sleeps and has to be woken.
    pub(crate) fn publish(&mut self) -> bool {
        if self.published == self.tail {
            return false;
        }
        self.published = self.tail;
        // Release: the packets are whole before the reader sees them.
        self.shared.tail.store(self.tail, Ordering::Release);
        // Either the reader sees them before it sleeps, or it is seen here that it sleeps.
        fence(Ordering::SeqCst);
        self.shared.sleeps.load(Ordering::Relaxed) != 0 && self.shared.sleeps.swap(0, Ordering::Relaxed) != 0
    }
}

/// The end of a lane that reads.
#[derive(Debug)]
pub(crate) struct Reader {
    shared: Shared,
    head: u64,
    /// How far the writer had written when it was looked at last.
    tail: u64,
    /// The writer has written what makes no sense. Nothing of it is read any longer.
    is_broken: bool,
}

impl Reader {
    /// The one of a lane that nobody has read from. `None` if the memory is none of a lane.
    pub(crate) fn of(memory: &'static [AtomicU64]) -> Option<Self> {
        Some(Self { shared: Shared::of(memory)?, head: 0, tail: 0, is_broken: false })
    }

    /// Looks what has been written. True if there are packets to [`Self::pop`].
    pub(crate) fn look(&mut self) -> bool {
        // Acquire: the packets are whole.
        self.tail = self.shared.tail.load(Ordering::Acquire);
        self.has_packets()
    }

    /// There are packets of those that the last look has found.
    pub(crate) const fn has_packets(&self) -> bool {
        self.tail != self.head && !self.is_broken
    }

    /// The writer has written what no writer writes.
    pub(crate) const fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Copies the next packet into `room`, which has [`MAX_PACKET_BYTES`]. Returns its label and its length.
    pub(crate) fn pop(&mut self, room: &mut [u8; MAX_PACKET_BYTES]) -> Option<(Label, usize)> {
        if !self.has_packets() {
            return None;
        }
        let read = self.read(room);
        self.is_broken = read.is_none();
        let (label, length, words) = read?;
        self.head = self.head.wrapping_add(words as u64);
        // Release: it has been read before it is overwritten.
        self.shared.head.store(self.head, Ordering::Release);
        Some((label, length))
    }

    /// The next packet's label, its length in bytes, and its words in all. `None` if it makes no sense.
    fn read(&self, room: &mut [u8; MAX_PACKET_BYTES]) -> Option<(Label, usize, usize)> {
        let there = self.tail.wrapping_sub(self.head);
        if there > self.shared.len() || there < PREFIX_WORDS as u64 {
            return None;
        }
        let mut prefix = [[0; 8]; PREFIX_WORDS];
        self.shared.copy_out(self.head, &mut prefix);
        let [first, came_ns] = prefix.map(u64::from_ne_bytes);
        // From here on only these copies count, whatever stands there by now.
        let [length, from, to, _] = [0, 16, 32, 48].map(|shift| (first >> shift & u64::from(u16::MAX)) as u16);
        let length = usize::from(length);
        let words = PREFIX_WORDS + length.div_ceil(8);
        if length > MAX_PACKET_BYTES || words as u64 > there {
            return None;
        }
        let (room, _) = room.as_chunks_mut();
        self.shared.copy_out(self.head.wrapping_add(PREFIX_WORDS as u64), room.get_mut(..words - PREFIX_WORDS)?);
        Some((Label { from, to, came_ns }, length, words))
    }

    /// From the next [`Writer::publish`] on the writer is told to wake the reader, once. The caller has to fence, and
    /// to look again, before it sleeps.
    pub(crate) fn fall_asleep(&self) {
        self.shared.sleeps.store(1, Ordering::Relaxed);
    }

    /// The reader need not be woken.
    pub(crate) fn wake_up(&self) {
        self.shared.sleeps.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lane for so many words of packets.
    fn memory(words: usize) -> &'static [AtomicU64] {
        (0..CONTROL_WORDS + words).map(|_| AtomicU64::new(0)).collect::<Vec<_>>().leak()
    }

    fn ends(memory: &'static [AtomicU64]) -> (Writer, Reader) {
        (Writer::of(memory).expect("a lane"), Reader::of(memory).expect("a lane"))
    }

    const LABEL: Label = Label { from: 7, to: 65_535, came_ns: u64::MAX };

    fn pop(reader: &mut Reader) -> Option<(Label, Vec<u8>)> {
        let mut room = [0xee; MAX_PACKET_BYTES];
        reader.pop(&mut room).map(|(label, length)| (label, room[..length].to_vec()))
    }

    #[test]
    fn packets_of_every_length_come_as_they_were_wherever_the_ring_ends() {
        let (mut writer, mut reader) = ends(memory(512));
        for length in (0..=MAX_PACKET_BYTES).chain([3; 1_000]) {
            let packet: Vec<u8> = (0..length).map(|at| (at * 31 + length) as u8).collect();
            let label = Label { came_ns: length as u64, ..LABEL };
            assert!(writer.push(label, &packet));
            assert!(!reader.look(), "it is not published");
            assert!(!writer.publish() && reader.look());
            assert_eq!(pop(&mut reader), Some((label, packet)));
            assert!(pop(&mut reader).is_none() && !reader.look());
        }
    }

    #[test]
    fn a_full_lane_takes_nothing_until_its_reader_has_gone_on() {
        let (mut writer, mut reader) = ends(memory(64));
        let fitting = (0..).take_while(|number: &u8| writer.push(LABEL, &[*number; 40])).count();
        assert_eq!(fitting, 64 / (PREFIX_WORDS + 5));
        assert!(!writer.push(LABEL, b""), "one word is left");
        writer.publish();
        assert!(!writer.push(LABEL, b"1") && reader.look());
        assert_eq!(pop(&mut reader), Some((LABEL, vec![0; 40])));
        assert!(writer.push(LABEL, &[9; 40]) && !writer.push(LABEL, b"1"));
        assert!(!writer.push(LABEL, &[0; MAX_PACKET_BYTES + 1]), "too long");
    }

    #[test]
    fn a_reader_that_sleeps_is_woken_once_and_one_that_is_awake_never() {
        let (mut writer, reader) = ends(memory(512));
        let mut write = || writer.push(LABEL, b"packet") && writer.publish();
        assert!(!write());
        reader.fall_asleep();
        assert!(write() && !write());
        reader.fall_asleep();
        reader.wake_up();
        assert!(!write());
        reader.fall_asleep();
        assert!(!writer.publish(), "there is nothing new");
    }

    #[test]
    fn a_million_packets_cross_from_thread_to_thread_in_order() {
        let (mut writer, mut reader) = ends(memory(4_096));
        let packet = |number: u64| {
            let length = 8 + (number * 7_919 % 400) as usize;
            (number.to_le_bytes().into_iter().cycle().take(length)).collect::<Vec<u8>>()
        };
        let writing = std::thread::spawn(move || {
            for number in 0..1_000_000 {
                let (label, packet) = (Label { came_ns: number, ..LABEL }, packet(number));
                while !writer.push(label, &packet) {
                    writer.publish();
                    std::thread::yield_now();
                }
                if number % 10 == 9 {
                    writer.publish();
                }
            }
        });
        let (mut next, mut room) = (0, [0; MAX_PACKET_BYTES]);
        while next < 1_000_000 {
            while let Some((label, length)) = reader.pop(&mut room) {
                assert_eq!((label.came_ns, &room[..length]), (next, &packet(next)[..]));
                next += 1;
            }
            if !reader.look() {
                std::thread::yield_now();
            }
        }
        writing.join().expect("it has written");
    }

    #[test]
    fn whatever_the_other_side_writes_nothing_else_is_read_and_nothing_fails() {
        let (head, tail, prefix, tail_word) = (HEAD, TAIL, CONTROL_WORDS, 7);
        for (place, word) in [
            (tail, u64::MAX),
            (tail, 513),
            (tail, 1),
            (prefix, 2_049),
            (prefix, u64::MAX),
            // Longer than what is there.
            (prefix, 64),
        ] {
            let memory = memory(512);
            let (mut writer, mut reader) = ends(memory);
            writer.push(LABEL, &[1; 40]);
            writer.publish();
            assert_eq!(memory[TAIL].load(Ordering::Relaxed), tail_word);
            memory[place].store(word, Ordering::Relaxed);
            assert!(reader.look());
            assert!(pop(&mut reader).is_none() && reader.is_broken(), "{place}: {word}");
            memory[TAIL].store(tail_word + 7, Ordering::Relaxed);
            assert!(!reader.look(), "nothing is read any longer");
        }
        for word in [1, 512, u64::MAX, 1 << 63] {
            let memory = memory(512);
            let (mut writer, _) = ends(memory);
            while writer.push(LABEL, &[1; 40]) {}
            memory[head].store(word, Ordering::Relaxed);
            for _ in 0..1_000 {
                // Its own packets are the reader's loss; a place that cannot be makes the lane full.
                writer.push(LABEL, &[1; 40]);
            }
            assert!(writer.tail <= 512 + 512 && writer.shared.tail.load(Ordering::Relaxed) == 0);
        }
    }

    #[test]
    fn random_words_are_no_danger() {
        let memory = memory(512);
        let mut random = 1_u64;
        for _ in 0..2_000 {
            let (mut writer, mut reader) = ends(memory);
            for word in memory {
                // Knuth's, of MMIX.
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                word.store(random >> (random % 64), Ordering::Relaxed);
            }
            memory[TAIL].store(random >> 32 & 511, Ordering::Relaxed);
            reader.look();
            while let Some((_, packet)) = pop(&mut reader) {
                assert!(packet.len() <= MAX_PACKET_BYTES);
            }
            while writer.push(LABEL, &[1; 100]) {}
        }
    }

    #[test]
    fn memory_that_is_none_of_a_lane_is_refused() {
        assert!(Writer::of(memory(0)).is_none() && Reader::of(memory(500)).is_none());
        assert!(Reader::of(memory(512).split_at(100).0).is_none());
    }
}
