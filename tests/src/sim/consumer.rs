//! What one consumer may send and must send, checked against what its source sent and what of that arrived.
//!
//! The rules: each packet once (again only if asked), with the payload, marker and time that it came with; sequence
//! numbers are those of the source less an offset that changes only where packets were withheld on purpose; video
//! begins with a key frame; nothing is left out from there on.

use std::collections::{BTreeMap, BTreeSet};

use corecast_wire::{ConsumeOptions, ConsumerExtension, HeaderExtension};
use rtp::header::Header;

use super::numbers::{check_step, extend, low16};
use super::random::fingerprint;
use super::sink::Sink;
use super::source::{Source, stamp};
use super::svc::Svc;
use super::svc::checker::{Departed, Figures, Left};

/// A consumer that begins with packets of history is sent them three times as fast as they came, and what comes
/// meanwhile after them: within this time it has caught up.
const CATCH_UP_NS: u64 = 500_000_000;
/// Age of a key frame of history with which a receiver may begin, at most.
const BEGINNING_NS: u64 = 500_000_000;

/// A packet waits from the round that has it on, and is seen to wait when the round is over, so much later at most.
const EARLY_NS: u64 = 100_000_000;

/// A rule that was broken, in a sentence.
pub type Broken = String;

/// Fails with a sentence unless a condition holds.
macro_rules! check {
    ($condition:expr, $($sentence:tt)+) => {
        if !$condition {
            return Err(format!($($sentence)+));
        }
    };
}
pub(crate) use check;

/// A stretch without interruption: from creation, connection or resumption to the next of these.
#[derive(Clone, Copy, Debug, Default)]
struct Era {
    number: u32,
    /// Packets that had arrived when `forward` was last called before it: a round that has begun without it may hold
    /// them.
    forwarded: u64,
    /// The newest packet that had arrived when packets were given up, if it began so: an older one may belong to those.
    newest: Option<u64>,
    /// First packet of it that left: position in the stream, and when it had arrived.
    synced: Option<(u64, u64)>,
}

/// A packet that left.
#[derive(Clone, Copy, Debug)]
struct Out {
    sequence: u64,
    era: u32,
    whole: u64,
    left_ns: u64,
    asked: u32,
    repeats: u32,
}

/// A packet that has left.
#[derive(Clone, Copy, Debug)]
pub struct Departure {
    /// Position in its stream.
    pub index: u64,
    /// When it left for the first time.
    pub left_ns: u64,
    /// Times that the machine was asked for it again.
    pub asked: u32,
    /// Times that it has answered.
    pub answered: u32,
}

/// A packet as it was seen leaving, opened.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Its header.
    pub header: &'a Header,
    /// Its payload without padding.
    pub payload: &'a [u8],
    /// All of it in plain text.
    pub whole: &'a [u8],
    /// When it left.
    pub now_ns: u64,
}

/// What leaving packet it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For the first time.
    Media,
    /// Again, the same.
    Repeated,
    /// Again, on the retransmission stream.
    Retransmission,
    /// Nothing, on the retransmission stream: a probe of the path.
    Padding,
}

/// One consumer, as control made it.
#[derive(Debug)]
pub struct Consumer {
    /// Its identifier.
    pub number: u64,
    /// The participant that it sends to.
    pub peer: usize,
    /// Position of its source.
    pub source: usize,
    /// How it was made.
    pub options: ConsumeOptions,
    /// Paused by a command.
    pub paused: bool,
    /// Not sent, since its path does not carry it: since when.
    pub suspended_ns: Option<u64>,
    /// Its pictures may have to take turns: its receiver may say what has come.
    pub is_paced: bool,
    /// Closed, by itself or with something.
    pub closed: bool,
    /// The receiver behind it.
    pub sink: Sink,
    /// When it, its producer and its transport were last all ready.
    pub ready_since_ns: Option<u64>,
    /// When it began to send, since it was last ready.
    pub synced_ns: Option<u64>,
    /// When it last sent media.
    pub last_sent_ns: Option<u64>,
    /// When it last sent the first packet of a key frame.
    pub last_key_ns: Option<u64>,
    era: Era,
    /// The earliest packet with which it can have begun.
    earliest: Option<u64>,
    /// When its first packet left.
    begun_ns: Option<u64>,
    sent: BTreeMap<u64, Out>,
    left: Departed,
    by_sequence: BTreeMap<u64, u64>,
    /// Numbers that were asked for though nothing had left under them.
    asked_holes: BTreeSet<u64>,
    /// Packets that have still to leave, since when: behind those with which it began.
    waiting: BTreeMap<u64, u64>,
    /// Packets that the machine says it has given up since they waited for too long.
    pub given_up: u64,
    /// Eras in which packets from before may still come, since they were on their way between workers for long.
    blurred: BTreeSet<u32>,
    highest: Option<u64>,
    timestamp_offset: Option<u32>,
    rtx_next: u16,
}

impl Consumer {
    /// A consumer that has just been made.
    #[must_use]
    pub fn new(number: u64, peer: usize, source: usize, options: ConsumeOptions, sink: Sink) -> Self {
        let rtx_next = options.rtx.as_ref().map_or(0, |rtx| rtx.first_sequence);
        Self {
            number,
            peer,
            source,
            paused: options.paused,
            suspended_ns: None,
            is_paced: false,
            options,
            closed: false,
            sink,
            ready_since_ns: None,
            synced_ns: None,
            last_sent_ns: None,
            last_key_ns: None,
            era: Era::default(),
            earliest: None,
            begun_ns: None,
            sent: BTreeMap::new(),
            left: Departed::default(),
            by_sequence: BTreeMap::new(),
            asked_holes: BTreeSet::new(),
            waiting: BTreeMap::new(),
            given_up: 0,
            blurred: BTreeSet::new(),
            highest: None,
            timestamp_offset: None,
            rtx_next,
        }
    }

    /// Its receiver has other numbers for header extensions than the router.
    #[must_use]
    pub fn renumbers(&self) -> bool {
        self.options.header_extensions.iter().any(|one| one.router_id != one.receiver_id)
    }

    /// The consumer was interrupted: its stream may begin again with the next packet. So many packets had arrived when
    /// `forward` was last called.
    pub fn begin_era(&mut self, source: &Source, forwarded: u64) {
        self.waiting.clear();
        self.era = Era { number: self.era.number + 1, forwarded, newest: None, synced: None };
        self.synced_ns = None;
        self.earliest.get_or_insert_with(|| source.newest_key().unwrap_or(source.sent.len() as u64));
    }

    /// What was sent before the era that has just begun may come in it: it was on its way between workers for long.
    pub fn blur_era(&mut self) {
        self.blurred.insert(self.era.number);
    }

    /// What has left for the first time, in the order of the stream.
    pub fn departures(&self) -> impl Iterator<Item = Departure> + '_ {
        let departure = |(index, out): (&u64, &Out)| Departure {
            index: *index,
            left_ns: out.left_ns,
            asked: out.asked,
            answered: out.repeats,
        };
        self.sent.iter().map(departure)
    }

    /// Packets that left for the first time.
    #[must_use]
    pub fn media_packets(&self) -> u64 {
        self.sent.len() as u64
    }

    /// The sequence number under which a packet of its source left.
    #[must_use]
    pub fn sequence_of(&self, index: u64) -> Option<u16> {
        self.sent.get(&index).map(|out| low16(out.sequence))
    }

    /// It has begun to send since it was last interrupted.
    #[must_use]
    pub const fn is_synced(&self) -> bool {
        self.era.synced.is_some()
    }

    /// The receiver has asked for a packet again, and the machine has seen that.
    pub fn asked_for(&mut self, sequence: u16) {
        let Some(highest) = self.highest else { return };
        let sequence = extend(highest, sequence);
        match self.by_sequence.get(&sequence).and_then(|index| self.sent.get_mut(index)) {
            Some(out) => out.asked += 1,
            None => _ = self.asked_holes.insert(sequence),
        }
    }

    /// Checks a packet that leaves under one of this consumer's SSRCs.
    ///
    /// # Errors
    /// Which rule it breaks.
    pub fn saw(&mut self, source: &Source, seen: &Seen<'_>) -> Result<Kind, Broken> {
        check!(!self.closed, "sent after it was closed");
        check!(!self.paused, "sent while it was paused");
        if self.options.rtx.as_ref().is_some_and(|rtx| rtx.ssrc == seen.header.ssrc) {
            return self.saw_retransmission(source, seen);
        }
        let index = self.check_against_source(source, seen.header, seen.payload)?;
        if self.sent.contains_key(&index) {
            return self.saw_again(index, seen);
        }
        self.saw_media(source, index, seen)
    }

    /// Payload, marker, time and type are those of a packet that came from the right source. Answers which.
    fn check_against_source(&self, source: &Source, header: &Header, payload: &[u8]) -> Result<u64, Broken> {
        let Some((number, index)) = stamp(payload) else { return Err("sent what nobody sent to us".to_owned()) };
        check!(number == source.number, "sent media of source {number} instead of {}", source.number);
        let Some(sent) = usize::try_from(index).ok().and_then(|index| source.sent.get(index)) else {
            return Err(format!("sent packet {index} that its source has not sent"));
        };
        check!(sent.arrived.is_some(), "sent packet {index} that has not arrived");
        check!(sent.is(payload), "changed the payload of packet {index}");
        check!(header.marker == sent.marker || sent.part.is_some(), "changed the marker of packet {index}");
        let offset = header.timestamp.wrapping_sub(sent.timestamp);
        check!(
            self.timestamp_offset.is_none_or(|known| known == offset),
            "changed the offset of timestamps at packet {index}"
        );
        check!(header.csrc == source.plan.csrcs, "changed the contributing sources of packet {index}");
        let accepted = &self.options.header_extensions;
        for extension in &header.extensions {
            let known = accepted.iter().any(|one| one.receiver_id == extension.id);
            check!(known, "sent extension {} that was not negotiated", extension.id);
        }
        for (id, value) in &sent.extensions {
            let Some(known) = accepted.iter().find(|one| one.router_id == *id) else { continue };
            let found = header.extensions.iter().find(|extension| extension.id == known.receiver_id);
            check!(
                found.is_some_and(|extension| extension.payload == value),
                "extension {id} of packet {index} is {found:?} instead of {value:?}"
            );
        }
        Ok(index)
    }

    fn saw_media(&mut self, source: &Source, index: u64, seen: &Seen<'_>) -> Result<Kind, Broken> {
        check!(self.suspended_ns.is_none(), "sent while it was suspended");
        let header = seen.header;
        let mapped = source.plan.mapped_payload_type();
        let known = self.options.payload_types.iter().find(|one| one.router == mapped).map(|one| one.receiver);
        check!(Some(header.payload_type) == known, "wrong payload type {}", header.payload_type);
        let sent = &source.sent[usize::try_from(index).expect("it was found")];
        let sequence = match self.highest {
            Some(highest) => extend(highest, header.sequence_number),
            None => u64::from(header.sequence_number),
        };
        let era = match (source.plan.svc, self.late_era(index, sequence, seen.now_ns)) {
            (Some(svc), _) => self.take_layer(svc, source, (index, sequence), seen)?,
            (None, Some(era)) => era,
            (None, None) => self.advance(source, index, sequence)?,
        };
        if source.plan.svc.is_none() {
            self.check_place(index, sequence, era)?;
        }
        let (whole, left_ns) = (fingerprint(seen.whole), seen.now_ns);
        self.begun_ns.get_or_insert(left_ns);
        self.waiting.remove(&index);
        self.sent.insert(index, Out { sequence, era, whole, left_ns, asked: 0, repeats: 0 });
        self.by_sequence.insert(sequence, index);
        self.highest = Some(self.highest.map_or(sequence, |highest| highest.max(sequence)));
        self.timestamp_offset = Some(header.timestamp.wrapping_sub(sent.timestamp));
        Ok(Kind::Media)
    }

    /// A packet of a source with layers leaves: what became of it is looked at in the end. Returns its era.
    fn take_layer(
        &mut self,
        svc: Svc,
        source: &Source,
        (index, sequence): (u64, u64),
        seen: &Seen<'_>,
    ) -> Result<u32, Broken> {
        let sent = &source.sent[usize::try_from(index).expect("it was found")];
        let Some(part) = sent.part else { return Err(format!("packet {index} has no part in a frame")) };
        if let Some(other) = self.by_sequence.get(&sequence).filter(|other| **other != index) {
            return Err(format!("packets {other} and {index} both left as {sequence}"));
        }
        let known = |one: &&ConsumerExtension| one.extension == HeaderExtension::DependencyDescriptor;
        let id = self.options.header_extensions.iter().find(known).map(|one| one.receiver_id);
        let descriptor = id.and_then(|id| seen.header.extensions.iter().find(|extension| extension.id == id));
        check!(id.is_some() == descriptor.is_some(), "packet {index} without its descriptor");
        let payload = (sent.changeable > 0).then_some(seen.payload);
        let era = self.era.number;
        let place = (sequence, era, seen.header.marker);
        let left = Left::read(svc, &part, place, (payload, descriptor.map(|one| &one.payload[..])))?;
        let may_begin = sent.key_start && seen.header.ssrc == self.options.ssrc;
        let next = self.highest.map_or_else(|| u64::from(self.options.first_sequence), |highest| highest + 1);
        self.left.take(index, left, may_begin.then_some(next));
        self.era.synced.get_or_insert_with(|| (index, sent.arrived.unwrap_or_default()));
        Ok(era)
    }

    /// What left of a source with layers.
    ///
    /// # Errors
    /// Which rule it breaks.
    pub fn check_layers(&self, svc: Svc, source: &Source) -> Result<Figures, Broken> {
        self.left.check(svc, source)
    }

    /// The era of a packet that fills a hole which an earlier one left: it was late, or withheld until it was asked
    /// for.
    fn late_era(&self, index: u64, sequence: u64, now_ns: u64) -> Option<u32> {
        let before_this_era = self.era.synced.is_some_and(|(first, _)| index < first);
        let is_beginning = self.options.nack && self.begun_ns.is_some_and(|begun| now_ns <= begun + BEGINNING_NS);
        let asked = is_beginning || self.asked_holes.contains(&sequence);
        let (last, before) = self.sent.range(..index).next_back()?;
        let (_, after) = self.sent.range(index..).next().filter(|_| before_this_era || asked)?;
        // Nothing may have left of an era in between: all of it waited, and was given up.
        let goes_on = sequence.checked_sub(before.sequence) == Some(index - last);
        Some(if goes_on || after.era <= before.era + 1 { before.era } else { before.era + 1 })
    }

    /// A packet that carries the stream on, or begins it again. Returns its era.
    fn advance(&mut self, source: &Source, index: u64, sequence: u64) -> Result<u32, Broken> {
        let sent = &source.sent[usize::try_from(index).expect("it was found")];
        check!(!source.paused, "sent packet {index} while its producer was paused");
        check!(!source.withheld, "sent packet {index} while others were louder");
        match self.era.synced {
            Some((first, _)) => check!(index > first, "sent packet {index} from before {first}, where it began"),
            None => {
                let begins = !source.plan.is_video() || sent.key_start;
                check!(begins, "began with packet {index}, which does not start a key frame");
                self.era.synced = Some((index, sent.arrived.unwrap_or_default()));
            }
        }
        let first = u64::from(self.options.first_sequence);
        let is_first =
            sequence == first || (sequence > first && self.may_have_skipped(source, index, sequence - first));
        check!(self.highest.is_some() || is_first, "first sequence number is {sequence} instead of {first}");
        Ok(self.era.number)
    }

    /// A consumer that begins with packets of history, and is interrupted before the first of them leaves, begins again
    /// behind the numbers that they have.
    fn may_have_skipped(&self, source: &Source, index: u64, numbers: u64) -> bool {
        let most = self.earliest.and_then(|earliest| index.checked_sub(earliest)).unwrap_or(0);
        source.plan.is_video() && self.era.number > 1 && numbers <= most
    }

    /// `out = in - offset`, and the offset changes only between two eras, and then only so that a gap closes.
    fn check_place(&self, index: u64, sequence: u64, era: u32) -> Result<(), Broken> {
        if let Some(other) = self.by_sequence.get(&sequence) {
            return Err(format!("packets {other} and {index} both left as {sequence}"));
        }
        let before = self.sent.range(..index).next_back();
        let after = self.sent.range(index..).next();
        let here = (index, sequence, era);
        // In a blurred era there may be the end of another one, and between the two a gap that was closed.
        let next = |era: u32| if self.blurred.contains(&era) { era + 1 } else { era };
        if let Some((before, out)) = before {
            check_step((*before, out.sequence, out.era), (index, sequence, next(era)))?;
        }
        if let Some((after, out)) = after {
            check_step(here, (*after, out.sequence, next(out.era)))?;
        }
        Ok(())
    }

    /// How often a packet may be repeated without being asked for: once if it is of the beginning, for a receiver that
    /// asks for a key frame soon after.
    fn repeats_of_beginning(&self, index: u64) -> u32 {
        let left = self.sent.get(&index).map(|out| out.left_ns);
        let is_near = left.zip(self.begun_ns).is_some_and(|(left, begun)| left <= begun + BEGINNING_NS);
        u32::from(is_near && self.options.nack)
    }

    fn saw_again(&mut self, index: u64, seen: &Seen<'_>) -> Result<Kind, Broken> {
        let rtx = self.options.rtx.is_some();
        let beginning = self.repeats_of_beginning(index);
        let Some(out) = self.sent.get_mut(&index) else { return Ok(Kind::Repeated) };
        check!(fingerprint(seen.whole) == out.whole, "repeated packet {index} with other bytes");
        check!(out.repeats < out.asked + beginning, "sent packet {index} again, {} times asked for", out.asked);
        check!(!rtx, "repeated packet {index} although there is a retransmission stream");
        out.repeats += 1;
        Ok(Kind::Repeated)
    }

    fn saw_retransmission(&mut self, source: &Source, seen: &Seen<'_>) -> Result<Kind, Broken> {
        let (header, payload) = (seen.header, seen.payload);
        if payload.is_empty() && header.padding {
            return self.saw_padding(header);
        }
        let Some((original, media)) = payload.split_first_chunk::<2>() else {
            return Err("retransmission without a sequence number".to_owned());
        };
        let index = self.check_against_source(source, header, media)?;
        let expected = self.options.rtx.as_ref().and_then(|rtx| {
            let media = source.plan.mapped_payload_type();
            rtx.payload_types.iter().find(|(of, _)| *of == media).map(|(_, rtx)| *rtx)
        });
        check!(Some(header.payload_type) == expected, "retransmission of type {}", header.payload_type);
        self.check_rtx_number(header)?;
        let beginning = self.repeats_of_beginning(index);
        let Some(out) = self.sent.get_mut(&index) else {
            // It was late, or withheld until it was asked for.
            let sequence = extend(self.highest.unwrap_or_default(), u16::from_be_bytes(*original));
            if let Some(svc) = source.plan.svc {
                let is_new = self.by_sequence.get(&sequence).is_none_or(|other| *other == index);
                check!(is_new, "retransmitted packet {index} under the number of another");
                let seen = Seen { payload: media, ..*seen };
                return self.take_layer(svc, source, (index, sequence), &seen).map(|_| Kind::Retransmission);
            }
            let Some(era) = self.late_era(index, sequence, seen.now_ns) else {
                return Err(format!("retransmitted packet {index}, which never left"));
            };
            return self.check_place(index, sequence, era).map(|()| Kind::Retransmission);
        };
        check!(low16(out.sequence) == u16::from_be_bytes(*original), "retransmitted {index} under a wrong number");
        check!(out.repeats < out.asked + beginning, "retransmitted packet {index}, {} times asked for", out.asked);
        out.repeats += 1;
        Ok(Kind::Retransmission)
    }

    /// The path is probed only if the receiver can say what came of it.
    fn saw_padding(&mut self, header: &Header) -> Result<Kind, Broken> {
        self.check_rtx_number(header)?;
        let types = self.options.rtx.iter().flat_map(|rtx| &rtx.payload_types);
        let is_known = types.into_iter().any(|(_, rtx)| *rtx == header.payload_type);
        check!(is_known, "padding of type {}", header.payload_type);
        check!(self.takes_padding(), "padding for a receiver that cannot say what came");
        Ok(Kind::Padding)
    }

    /// Whether its path can be probed.
    pub fn takes_padding(&self) -> bool {
        let mut extensions = self.options.header_extensions.iter();
        self.options.rtx.is_some() && extensions.any(|one| one.extension == HeaderExtension::TransportCc)
    }

    fn check_rtx_number(&mut self, header: &Header) -> Result<(), Broken> {
        let (is, next) = (header.sequence_number, self.rtx_next);
        check!(is == next, "retransmission numbered {is} instead of {next}");
        self.rtx_next = next.wrapping_add(1);
        Ok(())
    }

    /// A packet of its source arrived while it was ready, and forwarding is done.
    ///
    /// # Errors
    /// If the packet should have left and has not.
    pub fn must_have_sent(&mut self, source: &Source, index: u64, order: u64, now_ns: u64) -> Result<(), Broken> {
        // What is withheld of layers is looked at in the end.
        if source.plan.svc.is_some() {
            return Ok(());
        }
        let begins = !source.plan.is_video() || source.sent[usize::try_from(index).expect("an index")].key_start;
        let behind = self.sent.last_key_value().is_some_and(|(last, _)| index <= *last)
            || self.era.newest.is_some_and(|newest| index <= newest);
        match self.era.synced {
            Some((first, synced_order)) if index > first && order > synced_order => {
                let begins = self.synced_ns.is_none_or(|since_ns| now_ns - since_ns <= CATCH_UP_NS);
                if !self.sent.contains_key(&index) {
                    let may_wait = begins || self.is_paced;
                    check!(may_wait && source.plan.is_video(), "did not send packet {index}");
                    self.waiting.insert(index, now_ns);
                }
            }
            None if begins && !behind && order > self.era.forwarded => {
                check!(self.may_be_behind(source, index, now_ns), "did not begin with packet {index}");
                self.waiting.insert(index, now_ns);
            }
            _ => {}
        }
        Ok(())
    }

    /// It may have begun with packets of history, which wait before this one.
    fn may_be_behind(&self, source: &Source, index: u64, now_ns: u64) -> bool {
        let may_have_begun = match self.begun_ns {
            Some(begun_ns) => now_ns - begun_ns <= CATCH_UP_NS,
            None => self.earliest.is_some_and(|earliest| earliest < index),
        };
        source.plan.is_video() && (may_have_begun || self.is_paced || !self.waiting.is_empty())
    }
}

impl Consumer {
    /// What had to wait has left in time, `late_ns` later at most. What its path has not taken by then must have been
    /// given up ([`Self::gave_up`]).
    ///
    /// # Errors
    /// If it has not.
    pub fn must_have_caught_up(&self, now_ns: u64, late_ns: u64) -> Result<(), Broken> {
        let late = self.waiting.iter().find(|(_, since_ns)| now_ns - **since_ns > CATCH_UP_NS + late_ns);
        late.map_or(Ok(()), |(index, _)| Err(format!("did not send packet {index}, which waited")))
    }

    /// What had to wait may never have reached the worker that sends to it.
    pub fn need_not_catch_up(&mut self) {
        self.waiting.clear();
    }

    /// The machine says that so many packets have waited for too long by now. Then it begins again at a key frame, and
    /// nothing that waited leaves.
    ///
    /// # Errors
    /// If none has waited for so long, and none of history can have.
    pub fn gave_up(&mut self, source: &Source, packets: u64, forwarded: u64, now_ns: u64) -> Result<(), Broken> {
        if packets == std::mem::replace(&mut self.given_up, packets) {
            return Ok(());
        }
        check!(self.is_paced && source.plan.is_video(), "gave up packets that need not wait");
        let is_late = self.waiting.values().any(|since_ns| now_ns - since_ns + EARLY_NS >= CATCH_UP_NS);
        let begins = self.begun_ns.is_none_or(|begun_ns| now_ns - begun_ns <= CATCH_UP_NS);
        // What came after it had begun again and before the first of that left is not known to wait.
        let age_ns = |since_ns: Option<u64>| since_ns.map(|since_ns| now_ns - since_ns);
        let is_again = age_ns(self.ready_since_ns).is_some_and(|age_ns| age_ns + EARLY_NS >= CATCH_UP_NS)
            && age_ns(self.synced_ns).is_none_or(|age_ns| age_ns <= CATCH_UP_NS);
        let is_unknown = source.plan.svc.is_some();
        let longest_ms = self.waiting.values().min().map(|since_ns| (now_ns - since_ns) / 1_000_000);
        check!(
            is_late || begins || is_again || is_unknown,
            "gave up packets of which the first waited for {longest_ms:?} ms"
        );
        self.begin_era(source, forwarded);
        self.era.newest = source.newest_arrived;
        self.ready_since_ns = self.ready_since_ns.map(|_| now_ns);
        Ok(())
    }
}
