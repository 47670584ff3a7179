//! The receiver behind one consumer: it notes what arrives, asks for what is missing, and for a key frame when it has
//! none. Written against the RFCs, not against the server.

use std::collections::BTreeMap;

use super::numbers::{MS, extend, low16};

/// Between noticing a gap and asking.
const PATIENCE_NS: u64 = 15 * MS;
/// Between two questions for the same packet.
const AGAIN_NS: u64 = 90 * MS;
const MAX_TRIES: u32 = 8;
/// A gap longer than this is an interruption, not a loss.
const MAX_GAP: u64 = 200;
const KEY_FRAME_EVERY_NS: u64 = 400 * MS;
/// Packets asked for at a time.
const MAX_ASKED: usize = 17;

#[derive(Clone, Copy, Debug)]
struct Missing {
    ask_at_ns: u64,
    tries: u32,
}

/// One received stream.
#[derive(Clone, Debug, Default)]
pub struct Sink {
    /// Pictures, so that a key frame is needed.
    pub video: bool,
    /// Packets received, each counted once.
    pub received: u64,
    /// Packets that were missing and came after being asked for.
    pub repaired: u64,
    /// When it last received something.
    pub last_ns: Option<u64>,
    highest: Option<u64>,
    first: Option<u64>,
    missing: BTreeMap<u64, Missing>,
    has_key: bool,
    ask_key_at_ns: u64,
}

impl Sink {
    /// A receiver that has nothing yet.
    #[must_use]
    pub fn new(video: bool, now_ns: u64) -> Self {
        Self { video, ask_key_at_ns: now_ns + KEY_FRAME_EVERY_NS, ..Self::default() }
    }

    /// Takes in a packet, by its sequence number.
    pub fn receive(&mut self, now_ns: u64, sequence: u16, key_start: bool) {
        self.has_key |= key_start;
        self.last_ns = Some(now_ns);
        let Some(highest) = self.highest else {
            (self.highest, self.first) = (Some(u64::from(sequence)), Some(u64::from(sequence)));
            self.received = 1;
            return;
        };
        let extended = extend(highest, sequence);
        if extended > highest {
            if extended - highest <= MAX_GAP {
                let missing = Missing { ask_at_ns: now_ns + PATIENCE_NS, tries: 0 };
                self.missing.extend((highest + 1..extended).map(|lost| (lost, missing)));
            }
            self.highest = Some(extended);
            self.received += 1;
        } else if let Some(missing) = self.missing.remove(&extended) {
            self.received += 1;
            self.repaired += u64::from(missing.tries > 0);
        }
    }

    /// The sequence numbers to ask for now.
    pub fn wanted(&mut self, now_ns: u64) -> Vec<u16> {
        let mut wanted = Vec::new();
        for (sequence, missing) in &mut self.missing {
            if missing.ask_at_ns <= now_ns && wanted.len() < MAX_ASKED {
                missing.ask_at_ns = now_ns + AGAIN_NS;
                missing.tries += 1;
                wanted.push(low16(*sequence));
            }
        }
        self.missing.retain(|_, missing| missing.tries < MAX_TRIES);
        wanted
    }

    /// A stranger has asked for a packet in the receiver's name.
    pub fn has_asked(&mut self, sequence: u16) {
        let missing = self.highest.and_then(|highest| self.missing.get_mut(&extend(highest, sequence)));
        if let Some(missing) = missing {
            missing.tries += 1;
        }
    }

    /// Whether to ask for a key frame now.
    pub const fn wants_key(&mut self, now_ns: u64) -> bool {
        let due = self.video && !self.has_key && now_ns >= self.ask_key_at_ns;
        if due {
            self.ask_key_at_ns = now_ns + KEY_FRAME_EVERY_NS;
        }
        due
    }

    /// It was interrupted and needs a key frame again.
    pub const fn interrupted(&mut self, now_ns: u64) {
        self.has_key = false;
        self.ask_key_at_ns = now_ns + KEY_FRAME_EVERY_NS;
    }

    /// Highest sequence number and cumulative loss, for a receiver report (RFC 3550 section 6.4.1).
    #[must_use]
    pub fn report(&self) -> Option<(u32, u32)> {
        let (highest, first) = (self.highest?, self.first?);
        let lost = (highest + 1 - first.min(highest)).saturating_sub(self.received);
        Some((u32::try_from(highest & 0xFFFF_FFFF).ok()?, u32::try_from(lost).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_what_is_missing_until_it_comes() {
        let mut sink = Sink::new(false, 0);
        for sequence in [65_534, 65_535, 2] {
            sink.receive(0, sequence, false);
        }
        assert!(sink.wanted(0).is_empty());
        assert_eq!(sink.wanted(PATIENCE_NS), [0, 1]);
        sink.receive(PATIENCE_NS, 0, false);
        assert_eq!(sink.wanted(PATIENCE_NS + AGAIN_NS), [1]);
        assert_eq!((sink.repaired, sink.received), (1, 4));
        assert_eq!(sink.report(), Some((65_538, 1)));
        for n in 0..20 {
            sink.wanted(n * 2 * AGAIN_NS);
        }
        assert!(sink.wanted(u64::MAX / 2).is_empty(), "gives up");
    }
}
