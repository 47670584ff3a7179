//! What a receiver of a source with layers may be sent: whole frames of which each has what it needs, under numbers
//! whose only gaps are those of the network, with markers where its pictures end, and with descriptors that name what
//! it can decode.
//!
//! Looked at when a run is over, packet by packet in the order of the source. What came late, or never, excuses what is
//! missing of it; what the machine had in time does not. Two things more are excused, each for its own packets alone:
//!
//! - When a consumer is interrupted, what waits for its turn has numbers already and does not leave. Its receiver may
//!   ask for it, and is sent as much of it as it asks for: that is of no era, and what is beside it may be missing.
//! - What a descriptor says of active targets is written by what the sender had told when the packet came, and stays
//!   so: a packet that is repeated is the same to the byte. Where what tells of other targets came behind it, the
//!   packet may name those of before.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Part, Svc, descriptor, ids_of};
use crate::sim::source::Source;

/// A rule that was broken, in a sentence.
type Broken = String;

/// Fails with a sentence unless a condition holds.
macro_rules! check {
    ($condition:expr, $($sentence:tt)+) => {
        if !$condition {
            return Err(format!($($sentence)+));
        }
    };
}

/// A packet that left, as its receiver got it.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    /// Sequence number, extended.
    pub sequence: u64,
    /// Stretch without interruption.
    pub era: u32,
    /// Marker.
    pub marker: bool,
    /// Picture ID and TL0PICIDX, of VP9.
    pub ids: Option<(u16, u8)>,
    /// Decode targets that its descriptor calls active, and whether it attaches a structure; `None` without one.
    pub said: Option<(Option<u32>, bool)>,
}

impl Left {
    /// Reads what is new in a packet of a source with layers; `descriptor` is what it carries.
    ///
    /// # Errors
    /// If its descriptor is another one than the source's.
    pub fn read(
        svc: Svc,
        part: &Part,
        (sequence, era, marker): (u64, u32, bool),
        (payload, descriptor): (Option<&[u8]>, Option<&[u8]>),
    ) -> Result<Self, Broken> {
        let said = descriptor.map(|descriptor| descriptor::read(svc, part, descriptor)).transpose()?;
        Ok(Self { sequence, era, marker, ids: payload.and_then(ids_of), said })
    }
}

/// What was seen of receivers of layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Pictures of which a receiver got all that it takes to be there.
    pub pictures: u64,
    /// Those of which it got fewer layers than were sent.
    pub limited: u64,
    /// Those of which it was told so.
    pub told: u64,
}

impl Figures {
    /// Adds those of another receiver, or of another run.
    pub const fn add(&mut self, other: Self) {
        self.pictures += other.pictures;
        self.limited += other.limited;
        self.told += other.told;
    }
}

/// All that left for one receiver, by position in the stream.
#[derive(Debug, Default)]
pub struct Departed {
    left: BTreeMap<u64, Left>,
    /// Numbers of packets that waited when it was interrupted, and have not left unless they were asked for.
    dropped: Vec<Range<u64>>,
    /// The newest era of which a packet has left under a number behind all of before.
    begun: Option<u32>,
}

impl Departed {
    /// A packet has left. If an era may begin with it, `next` is the number behind all that had left.
    pub fn take(&mut self, index: u64, left: Left, next: Option<u64>) {
        if let Some(next) = next.filter(|next| *next <= left.sequence && self.begun != Some(left.era)) {
            self.begun = Some(left.era);
            self.dropped.push(next..left.sequence);
        }
        self.left.insert(index, left);
    }

    /// Checks all of it.
    ///
    /// # Errors
    /// Which rule was broken.
    pub fn check(&self, svc: Svc, source: &Source) -> Result<Figures, Broken> {
        let all = Received { svc, source, left: &self.left, dropped: &self.dropped, in_time: in_time(source) };
        all.check_numbers()?;
        all.check_pictures()
    }
}

/// Which packets of a source came before all that it sent after them.
fn in_time(source: &Source) -> Vec<bool> {
    let mut earliest = u64::MAX;
    let mut in_time: Vec<bool> = source
        .sent
        .iter()
        .rev()
        .map(|sent| {
            let arrived = sent.arrived.unwrap_or(u64::MAX);
            let came = arrived < earliest;
            earliest = earliest.min(arrived);
            came
        })
        .collect();
    in_time.reverse();
    in_time
}

struct Received<'a> {
    svc: Svc,
    source: &'a Source,
    left: &'a BTreeMap<u64, Left>,
    dropped: &'a [Range<u64>],
    in_time: Vec<bool>,
}

impl Received<'_> {
    fn part(&self, index: u64) -> Result<Part, Broken> {
        let sent = usize::try_from(index).ok().and_then(|index| self.source.sent.get(index));
        sent.and_then(|sent| sent.part).ok_or_else(|| format!("packet {index} has no part in a frame"))
    }

    fn came_in_time(&self, index: u64) -> bool {
        usize::try_from(index).ok().and_then(|index| self.in_time.get(index)).copied().unwrap_or(false)
    }

    /// Whether a packet was dropped when its consumer was interrupted, and left since it was asked for.
    fn was_dropped(&self, left: &Left) -> bool {
        self.dropped.iter().any(|numbers| numbers.contains(&left.sequence))
    }

    /// Two packets are of one stretch without interruption.
    fn goes_on(&self, one: &Left, other: &Left) -> bool {
        one.era == other.era && !self.was_dropped(one) && !self.was_dropped(other)
    }

    /// Whether the sender had told which targets are active with a packet when that came: in the newest packet up to it
    /// that tells, of those that had come.
    fn knew_active(&self, index: u64, part: &Part) -> bool {
        let sent = usize::try_from(index).ok().and_then(|index| self.source.sent.get(..=index)).unwrap_or_default();
        let came = sent.last().and_then(|sent| sent.arrived);
        let told = sent.iter().rev().filter(|sent| sent.arrived.is_some() && sent.arrived <= came);
        let told = told.filter_map(|sent| sent.part).find(|part| descriptor::tells_active(self.svc, part));
        told.is_some_and(|told| told.active == part.active)
    }

    /// Whether a packet came before that with which the era of another began: the start of a key frame that was late.
    /// It is sent when it is asked for.
    fn came_before_era(&self, index: u64, later: u64) -> bool {
        let era = self.left.get(&later).map(|left| left.era);
        let begun = self.left.iter().find(|(_, left)| Some(left.era) == era).map(|(first, _)| *first);
        let arrived = |index: u64| self.source.sent.get(usize::try_from(index).ok()?)?.arrived;
        begun.is_some_and(|begun| begun < index && arrived(index) < arrived(begun))
    }

    /// Whether a packet came before the start of the key frame that it follows, which was late. It may have been
    /// withheld by then, and is sent when it is asked for.
    fn came_before_key_frame(&self, index: u64) -> bool {
        let sent = usize::try_from(index).ok().and_then(|index| self.source.sent.get(..=index)).unwrap_or_default();
        let starts = |part: &Part| part.frame.key && part.frame.spatial == 0 && part.first;
        let start = sent.iter().rfind(|sent| sent.part.as_ref().is_some_and(starts));
        start.zip(sent.last()).is_some_and(|(start, own)| own.arrived < start.arrived)
    }

    /// Numbers go up with the stream, and leave out no more than the network did; numbers of pictures are the source's
    /// but for what changed at a key frame.
    fn check_numbers(&self) -> Result<(), Broken> {
        let pairs = self.left.iter().zip(self.left.iter().skip(1));
        for ((index, one), (next_index, next)) in pairs {
            let step = next.sequence.checked_sub(one.sequence).filter(|step| *step > 0);
            let Some(step) = step else {
                return Err(format!(
                    "packet {next_index} left as {}, {index} before it as {}",
                    next.sequence, one.sequence
                ));
            };
            let late = (index + 1..*next_index).filter(|between| !self.came_in_time(*between)).count() as u64;
            let goes_on = self.goes_on(one, next) && self.came_in_time(*index) && self.came_in_time(*next_index);
            check!(
                !goes_on || step <= 1 + late,
                "{step} numbers from packet {index} to {next_index}, {late} were lost"
            );
            let (part, next_part) = (self.part(*index)?, self.part(*next_index)?);
            let offset = |left: &Left, part: &Part| {
                let (picture, tl0) = left.ids?;
                Some((picture.wrapping_sub(part.ids.0) & 0x7fff, tl0.wrapping_sub(part.ids.1)))
            };
            let is_same = offset(one, &part) == offset(next, &next_part);
            let begins = next_part.frame.key && next_part.frame.spatial == 0 && next_part.first;
            check!(is_same || begins, "other numbers of pictures at packet {next_index}: {next:?} after {one:?}");
        }
        Ok(())
    }

    /// Every frame has what it needs, and every picture is what its receiver takes it to be.
    fn check_pictures(&self) -> Result<Figures, Broken> {
        let mut figures = Figures::default();
        let mut active: Option<u32> = None;
        let mut pictures: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (index, sent) in (0..).zip(&self.source.sent) {
            let Some(part) = sent.part else { continue };
            pictures.entry(part.frame.picture).or_default().push(index);
        }
        for (picture, packets) in &pictures {
            let got: Vec<(u64, Left)> =
                packets.iter().filter_map(|index| Some((*index, *self.left.get(index)?))).collect();
            let came = |index: &u64| self.came_in_time(*index) && !self.came_before_key_frame(*index);
            let mut whole = packets.iter().all(came);
            let mut named = 0;
            for (index, left) in &got {
                let part = self.part(*index)?;
                if !self.was_dropped(left) {
                    self.check_needs(*index, &part, &pictures)?;
                }
                if let Some((said, _)) = left.said {
                    active = said.or(active);
                    let Some(active) = active else {
                        return Err(format!("packet {index} refers to a structure that its receiver never had"));
                    };
                    named |= active;
                    let is_of = |(at, target): (u32, _)| active >> at & 1 == 1 && self.svc.is_of(&part.frame, target);
                    let is_named = (0..).zip(self.svc.targets()).any(is_of);
                    let near = || self.left.range(index.saturating_sub(9)..index + 2).collect::<Vec<_>>();
                    let is_named = is_named || !self.knew_active(*index, &part);
                    check!(is_named, "packet {index} is of no active target of {active:b}: {part:?}, {:?}", near());
                }
            }
            // What was interrupted in the middle of a picture, or ends there, says nothing.
            let Some((index, first)) = got.first() else { continue };
            let begins = self.left.range(..index).next_back().is_none_or(|(_, before)| !self.goes_on(before, first));
            let goes_on = self.left.range(packets.last().map_or(0, |last| last + 1)..).next();
            whole &= goes_on.is_some_and(|(_, next)| self.goes_on(first, next)) && !begins;
            whole &= got.iter().all(|(_, left)| self.goes_on(first, left));
            if whole {
                self.check_whole(*picture, packets, &got, (active, named))?;
                figures.pictures += 1;
                figures.limited += u64::from(got.len() < packets.len());
                figures.told += u64::from(got.len() < packets.len() && first.said.is_some());
            }
        }
        Ok(figures)
    }

    /// What a frame needs has left before it, as far as it came in time.
    fn check_needs(&self, index: u64, part: &Part, pictures: &BTreeMap<u64, Vec<u64>>) -> Result<(), Broken> {
        let frame = part.frame;
        let below = frame.spatial.checked_sub(1).filter(|_| frame.key || !self.svc.keyed);
        let before = (!frame.key).then_some((frame.needs, frame.spatial));
        for (picture, spatial) in below.map(|below| (frame.picture, below)).into_iter().chain(before) {
            for needed in pictures.get(&picture).into_iter().flatten() {
                let is_of = self.part(*needed)?.frame.spatial == spatial;
                let is_late = !self.came_in_time(*needed) || self.came_before_key_frame(*needed);
                let is_excused = is_late || self.came_before_era(*needed, index);
                let has = !is_of || self.left.contains_key(needed) || is_excused;
                let near = || self.left.range(needed.saturating_sub(3)..index + 3).collect::<Vec<_>>();
                check!(has, "packet {index} ({part:?}) left without {needed} of layer {spatial}: {:?}", near());
            }
        }
        Ok(())
    }

    /// A picture of which everything came in time, between others: it ends with the marker, and is what its receiver
    /// takes to be active.
    fn check_whole(
        &self,
        picture: u64,
        packets: &[u64],
        got: &[(u64, Left)],
        (active, named): (Option<u32>, u32),
    ) -> Result<(), Broken> {
        for (at, (index, left)) in got.iter().enumerate() {
            let is_last = at + 1 == got.len();
            check!(left.marker == is_last, "marker of packet {index} of picture {picture}, of which {got:?} left");
        }
        let Some(active) = active.filter(|_| got.iter().all(|(_, left)| left.said.is_some())) else { return Ok(()) };
        for (at, target) in (0..).zip(self.svc.targets()).filter(|(at, _)| active >> at & 1 == 1) {
            for index in packets {
                let is_of = self.svc.is_of(&self.part(*index)?.frame, target);
                let has = !is_of || self.left.contains_key(index);
                check!(has, "target {at} of {active:b} ({named:b}) is active, and packet {index} has not left");
            }
        }
        Ok(())
    }
}
