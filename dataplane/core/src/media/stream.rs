//! One stream that a producer's sender sends: its sequence numbers, its history, what it misses, its reception
//! statistics (RFC 3550 appendix A.3, A.8).

mod idle;
mod kept;
mod quality;

use std::ops::Range;
use std::time::Duration;

use corecast_wire::{Codec, Discard, EncodingMapping, EncodingTarget, MediaKind, StreamStats, TransportId};

use super::held::Held;
use super::history::{History, PacketMeta, SlotRef};
use super::key_frame::{KeyFrame, KeyFrameRequests};
use super::layers::{Activity, SILENT};
use super::measured::Measured;
use super::missing::{MissingList, TooMany};
use super::rate::Rate;
use super::reception::{Arrival, Reception};
use super::sequence::{Extended, FIRST_CYCLE, Sequence, cycle_beyond};
use super::withheld::{Column, Filter, Withheld};
use crate::codec::{self, Frame, PictureIds, Place, Said, Structure};
use crate::io::Deadline;
use crate::key::{ConsumerKey, ProducerKey, TransportKey, take_out};
use crate::limits::{REPLAY_AGE, REPLAY_PACKETS};
use crate::srtp::ReplayWindow;
use crate::time::Instant;

pub(crate) use kept::Before;
use kept::Kept;

/// A stream. Owns its part of history.
#[derive(Debug)]
pub(crate) struct Stream {
    producer: ProducerKey,
    /// The transport of its producer.
    sender: TransportId,
    ssrc: Option<u32>,
    rtx_ssrc: Option<u32>,
    /// Restriction identifier (RFC 8852), if it has one.
    rid: Option<Box<str>>,
    /// Plain RTP only.
    sequence: Sequence,
    /// SRTP only: indexes of the media SSRC, and of the RTX SSRC.
    window: ReplayWindow,
    /// What is added to the index of the media SSRC.
    cycle: u64,
    /// Another SSRC has taken its place, and no packet of that has been taken in yet.
    is_replaced: bool,
    rtx_window: ReplayWindow,
    held: Held,
    /// What consumers withhold of it.
    withheld: Withheld,
    /// Packets that came with the current batch, and those that are being forwarded.
    fresh: Vec<SlotRef>,
    round: Vec<SlotRef>,
    is_shed: bool,
    missing: MissingList,
    nack_deadline: Deadline,
    key_frames: KeyFrameRequests,
    key_frame_deadline: Deadline,
    /// Where the newest key frame begins.
    key_frame: Option<KeyFrame>,
    fir_sequence: u8,
    /// `None` before there was anything to record: an unconnected session may have many streams.
    reception: Option<Box<Reception>>,
    measured: Option<Box<Measured>>,
    /// Consumers that take it, now or from its next key frame on, and their transports: what the fan-out walks. Some
    /// may have left it for another stream of the producer a moment ago; none is listed twice.
    subscribers: Vec<(ConsumerKey, TransportKey)>,
    /// Only of one among several.
    activity: Option<Activity>,
    /// A consumer has switched to it since the last tick.
    switched: bool,
    /// Width and height of its newest key frame, if its codec shows them.
    picture: Option<(u16, u16)>,
    /// What its sender has said that it means to send.
    hint: Option<Box<EncodingTarget>>,
    /// What dependency descriptors refer to, and the packet that attached it.
    structure: Option<Box<(u64, Structure)>>,
    /// Its source has left (BYE) and not come back.
    has_ended: bool,
    /// Its place among its producer's streams, and what is kept of it once it sends.
    place: u8,
    kept: Option<Box<Kept>>,
    /// Highest sequence number taken in.
    highest: Option<u64>,
    /// When its last packet came, and when it counts as idle.
    last_arrival: Instant,
    idle_deadline: Deadline,
}

impl Stream {
    /// The stream of an encoding, which has this place among its producer's, and comes by this transport.
    pub(crate) fn new(
        (producer, sender): (ProducerKey, TransportId),
        kind: MediaKind,
        (place, encoding): (u8, &EncodingMapping),
    ) -> Self {
        let held = Held::new(kind);
        Self {
            producer,
            sender,
            ssrc: encoding.ssrc,
            rtx_ssrc: encoding.rtx_ssrc,
            rid: encoding.rid.as_deref().map(Box::from),
            sequence: Sequence::default(),
            window: ReplayWindow::default(),
            cycle: FIRST_CYCLE,
            is_replaced: false,
            rtx_window: ReplayWindow::default(),
            withheld: Withheld::new(held.packets()),
            held,
            fresh: Vec::new(),
            round: Vec::new(),
            is_shed: false,
            missing: MissingList::default(),
            nack_deadline: Deadline::default(),
            key_frames: KeyFrameRequests::default(),
            key_frame_deadline: Deadline::default(),
            key_frame: None,
            fir_sequence: 0,
            reception: None,
            measured: None,
            subscribers: Vec::new(),
            activity: None,
            switched: false,
            picture: None,
            hint: None,
            structure: None,
            has_ended: false,
            place,
            kept: None,
            highest: None,
            last_arrival: Instant::default(),
            idle_deadline: Deadline::default(),
        }
    }

    /// The transport by which it comes.
    pub(crate) const fn sender(&self) -> TransportId {
        self.sender
    }

    /// It is one of several encodings: when it sends decides who takes it.
    #[must_use]
    pub(crate) fn among_others(mut self) -> Self {
        self.activity = Some(Activity::default());
        self
    }

    /// The producer whose media it is.
    pub(crate) const fn producer(&self) -> ProducerKey {
        self.producer
    }

    /// Its place among its producer's streams.
    pub(crate) const fn place(&self) -> u8 {
        self.place
    }

    /// SSRC of its media, once that is known.
    pub(crate) const fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// Restriction identifier (RFC 8852), if it has one.
    pub(crate) fn rid(&self) -> Option<&str> {
        self.rid.as_deref()
    }

    /// The SSRC of its media, or of its retransmissions, is known.
    pub(crate) const fn is_bound(&self, rtx: bool) -> bool {
        if rtx { self.rtx_ssrc.is_some() } else { self.ssrc.is_some() }
    }

    /// Its media, or its retransmissions, come under this SSRC.
    pub(crate) const fn bind(&mut self, ssrc: u32, rtx: bool) {
        *if rtx { &mut self.rtx_ssrc } else { &mut self.ssrc } = Some(ssrc);
    }

    /// Another SSRC takes the place of the one under which its media came. Its retransmissions come under another one
    /// as well. `window` has the indexes of the new one.
    pub(crate) fn replace(&mut self, ssrc: u32, window: ReplayWindow) {
        self.cycle = self.next_cycle();
        self.sequence = Sequence::starting_in(self.cycle);
        (self.ssrc, self.window) = (Some(ssrc), window);
        (self.rtx_ssrc, self.rtx_window) = (None, ReplayWindow::default());
        self.is_replaced = true;
    }

    /// Another SSRC has taken its place, and its next packet begins again.
    pub(crate) const fn is_replaced(&self) -> bool {
        self.is_replaced
    }

    /// What is added to a sequence number or index of another SSRC that takes its place.
    pub(crate) fn next_cycle(&self) -> u64 {
        self.highest.map_or(FIRST_CYCLE, cycle_beyond)
    }

    /// What is added to the SRTP index of its media.
    pub(crate) const fn cycle(&self) -> u64 {
        self.cycle
    }

    /// Nothing of its media has come for so long, or its source has said that it leaves.
    pub(crate) fn is_silent(&self, now: Instant, time: Duration) -> bool {
        self.has_ended || self.highest.is_none() || now.since(self.last_arrival) >= time
    }

    /// SRTP indexes of its media, or of its retransmissions.
    pub(crate) const fn window(&mut self, rtx: bool) -> &mut ReplayWindow {
        if rtx { &mut self.rtx_window } else { &mut self.window }
    }

    /// What a sequence number of plain RTP means.
    #[inline]
    pub(crate) fn extend(&mut self, sequence: u16) -> Extended {
        self.sequence.extend(sequence, self.history_packets())
    }

    /// What was received of it, for consumers that go on with another sender's stream. That one's reports are of
    /// another clock.
    pub(crate) fn last_reception(&self, history: &History) -> Reception {
        let mut reception = self.reception().without_report();
        if let Some(picture) = self.newest_picture(history) {
            reception.set_picture_ids(picture);
        }
        reception
    }

    /// The numbers of the newest packet's picture, while history has it.
    fn newest_picture(&self, history: &History) -> Option<PictureIds> {
        let index = self.slot(history, self.highest?)?;
        Some(history.meta(index).frame.picture_ids(history.sealable(index, false)))
    }

    /// What was received of it.
    pub(crate) fn reception(&self) -> Reception {
        self.reception.as_deref().copied().unwrap_or_default()
    }

    pub(crate) fn reception_mut(&mut self) -> &mut Reception {
        self.reception.get_or_insert_default()
    }

    /// Consumers that take it, now or from its next key frame on, with their transports. Some may have left it for
    /// another stream of the producer a moment ago.
    pub(crate) fn subscribers(&self) -> &[(ConsumerKey, TransportKey)] {
        &self.subscribers
    }

    /// A consumer takes it from now on. It must not be listed yet.
    pub(crate) fn add_subscriber(&mut self, consumer: ConsumerKey, transport: TransportKey) {
        self.subscribers.push((consumer, transport));
    }

    /// A consumer takes it no longer.
    pub(crate) fn remove_subscriber(&mut self, consumer: ConsumerKey) {
        take_out(&mut self.subscribers, |(subscriber, _)| *subscriber == consumer);
    }

    pub(crate) fn clear_subscribers(&mut self) {
        self.subscribers.clear();
    }

    /// It is one of several encodings.
    pub(crate) const fn is_layer(&self) -> bool {
        self.activity.is_some()
    }

    /// Packets have come of one among several, whose pictures are counted. True if they are its first, or its first
    /// after a pause.
    pub(crate) fn record_activity(&mut self, now: Instant, pictures: &mut u64) -> bool {
        let newest = self.reception.as_deref().and_then(Reception::highest_timestamp);
        self.activity.as_mut().is_some_and(|activity| activity.record(now, newest, pictures))
    }

    /// A key frame begins in its part of the round.
    pub(crate) fn has_key_frame_in_round(&self, history: &History) -> bool {
        self.round.iter().filter_map(|slot| history.current(*slot)).any(|packet| packet.frame.is_key())
    }

    /// How much it sends, measured now; `None` before it has sent anything.
    pub(crate) fn rate(&mut self, now: Instant) -> Option<&Rate> {
        self.measured.as_mut().map(|measured| measured.rate(now))
    }

    /// What is measured of it; `None` before it has sent anything.
    pub(crate) fn measured(&self) -> Option<&Measured> {
        self.measured.as_deref()
    }

    pub(crate) fn measured_mut(&mut self) -> Option<&mut Measured> {
        self.measured.as_deref_mut()
    }

    /// When it has been sending, if it is one among several.
    pub(crate) fn activity(&self) -> Activity {
        self.activity.unwrap_or_default()
    }

    /// A consumer has switched to it.
    pub(crate) const fn set_switched(&mut self) {
        self.switched = true;
    }

    /// Whether a consumer has switched to it since this was asked last.
    pub(crate) const fn take_switched(&mut self) -> bool {
        std::mem::replace(&mut self.switched, false)
    }

    /// What a packet's payload and dependency descriptor say about its frame, and where the descriptor says which
    /// targets of [`Self::structure`] are active. A structure that it attaches counts if it is not older than the one
    /// that is known, and what it says of targets if it is of the newest packet.
    pub(crate) fn read(
        &mut self,
        sequence: u64,
        codec: Codec,
        payload: &[u8],
        descriptor: Option<&[u8]>,
    ) -> (Frame, Option<Place>) {
        let known = self.structure.as_deref().map(|(_, structure)| structure);
        let Said { frame, picture, structure, mut place } = codec::read(codec, payload, descriptor, known);
        self.picture = picture.or(self.picture);
        let is_late = self.highest.is_some_and(|highest| sequence < highest);
        match (structure, &mut self.structure) {
            (Some(_), Some(known)) if known.0 > sequence => place = None,
            (Some(attached), structure) => *structure = Some(Box::new((sequence, *attached))),
            (None, Some(known)) if !is_late => {
                place.and_then(Place::said).into_iter().for_each(|said| known.1.active_mut().say(sequence, said));
            }
            (None, _) => {}
        }
        let active = self.structure().map(|structure| structure.active().at(sequence));
        (frame, place.zip(active).map(|(place, active)| place.or(active)))
    }

    /// What its dependency descriptors refer to.
    pub(crate) fn structure(&self) -> Option<&Structure> {
        self.structure.as_deref().map(|(_, structure)| structure)
    }

    /// Its source has left (BYE) and not come back.
    pub(crate) const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Its source has left (BYE): nothing is asked for that it still misses.
    pub(crate) fn end(&mut self) {
        self.has_ended = true;
        self.missing.clear();
    }

    /// Packets that came since the last round began.
    pub(crate) fn fresh(&self) -> &[SlotRef] {
        &self.fresh
    }

    /// The packets that came with the last batch become its part of the round.
    pub(crate) fn begin_round(&mut self) {
        std::mem::swap(&mut self.fresh, &mut self.round);
    }

    /// Packets that are being forwarded.
    pub(crate) fn round(&self) -> &[SlotRef] {
        &self.round
    }

    pub(crate) fn end_round(&mut self) {
        self.round.clear();
    }

    /// The worker is too late for it: its packets are shed until the worker has caught up.
    pub(crate) const fn is_shed(&self) -> bool {
        self.is_shed
    }

    pub(crate) const fn set_shed(&mut self, is_shed: bool) {
        self.is_shed = is_shed;
    }

    /// Its part of the round is not forwarded: nobody may begin with what came so far, and what is missing of it is
    /// not asked for.
    pub(crate) fn shed_round(&mut self) {
        self.round.clear();
        self.forget_key_frame();
        self.missing.clear();
    }

    /// Packets that it still misses.
    pub(crate) const fn missing(&mut self) -> &mut MissingList {
        &mut self.missing
    }

    /// When its sender is asked again for what is missing.
    pub(crate) const fn nack_deadline(&mut self) -> &mut Deadline {
        &mut self.nack_deadline
    }

    /// Sequence numbers to ask for now, into `due`. Counts them.
    pub(crate) fn nack(&mut self, now: Instant, highest: u64, due: &mut Vec<u16>) {
        let round_trip = self.reception().round_trip();
        self.missing.due(now, round_trip, highest, due);
        if !due.is_empty() {
            self.reception_mut().count_nack(due.len());
        }
    }

    /// When its sender is asked for a key frame.
    pub(crate) const fn key_frames(&mut self) -> &mut KeyFrameRequests {
        &mut self.key_frames
    }

    /// When the next request for a key frame leaves.
    pub(crate) const fn key_frame_deadline(&mut self) -> &mut Deadline {
        &mut self.key_frame_deadline
    }

    /// Number of the next full intra request (RFC 5104 section 4.3.1.1).
    pub(crate) const fn next_fir(&self) -> u8 {
        self.fir_sequence.wrapping_add(1)
    }

    /// A request for a key frame has left.
    pub(crate) fn count_key_frame_request(&mut self, fir: bool) {
        self.reception_mut().count_key_frame_request(fir);
        if fir {
            self.fir_sequence = self.next_fir();
        }
    }

    /// Its counters, for control, where the layers of its producer have sent so many pictures.
    pub(crate) fn stats(&self, now: Instant, pictures: u64) -> StreamStats {
        let was_heard = || self.reception().newest().is_some_and(|(_, at)| now.since(at) <= SILENT);
        StreamStats {
            rid: self.rid.as_deref().map(str::to_owned),
            active: self.activity.map_or_else(was_heard, |activity| activity.is_active(now, pictures)),
            picture: self.picture,
            layer_bytes: self.measured().map(Measured::layer_bytes).unwrap_or_default(),
            spatial_layers: self.measured().and_then(|one| one.layers().highest_active()).map_or(0, |layer| layer + 1),
            ssrc: self.ssrc,
            rtx_ssrc: self.rtx_ssrc,
            ..self.reception().stats(self.highest)
        }
    }

    /// Packets by which one may be behind the newest and still be taken in.
    pub(crate) const fn history_packets(&self) -> u64 {
        self.held.packets()
    }

    pub(crate) const fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// The slot that holds packet `sequence`.
    pub(crate) fn slot(&self, history: &History, sequence: u64) -> Option<u32> {
        self.held.slot(history, sequence)
    }

    /// What consumers withhold of it.
    pub(crate) const fn withheld(&self) -> &Withheld {
        &self.withheld
    }

    /// The same, to ask for a packet's count.
    pub(crate) const fn withheld_mut(&mut self) -> &mut Withheld {
        &mut self.withheld
    }

    /// The counts of what a filter withholds, from now on kept for every packet.
    pub(crate) fn column(&mut self, history: &History, filter: &Filter) -> Column {
        let held = |sequence: u64| self.held.slot(history, sequence).map(|index| history.meta(index));
        self.withheld.column(filter, self.highest.unwrap_or_default(), held)
    }

    /// Whether a packet may join history. What is refused here once is refused for ever.
    pub(crate) fn admit(&mut self, history: &History, sequence: u64) -> Result<(), Discard> {
        let admitted = self.held.admit(history, self.highest, sequence);
        if admitted == Err(Discard::Replayed) {
            self.reception_mut().count_repeated();
        }
        admitted
    }

    /// Takes a packet in: slot `index`, written and admitted. Says which slot is for the next packet that comes to the
    /// worker.
    pub(crate) fn take_in(
        &mut self,
        history: &mut History,
        index: u32,
        meta: &PacketMeta,
        arrival: Arrival,
    ) -> Option<u32> {
        if arrival.restart {
            self.restart(history, meta.sequence);
        }
        self.has_ended = false;
        self.last_arrival = meta.arrived;
        if !arrival.rtx {
            self.sequence.accept(meta.sequence);
        }
        if let Some(activity) = &mut self.activity {
            activity.count(meta.payload_len);
        }
        let (repaired, too_many_missing, spare) = self.insert(history, index, meta);
        if self.activity.is_some() && self.highest == Some(meta.sequence) && !meta.frame.is_empty() {
            self.reception_mut().set_picture_ids(meta.frame.picture_ids(history.sealable(index, false)));
        }
        self.record_newest(history, index, meta);
        self.measured.get_or_insert_default().count(meta, arrival.rtp_len);
        let reception = self.reception_mut();
        reception.packet(meta, arrival.clock_rate_hz, arrival.rtx);
        reception.count_repaired(repaired);
        if meta.frame.is_key() {
            self.reception_mut().count_key_frame();
            self.key_frames.received();
            self.key_frame = Some(KeyFrame::begun(self.key_frame, meta));
        }
        if too_many_missing && !self.subscribers.is_empty() {
            self.key_frames.want();
        }
        spare
    }

    /// The packet that was taken in last is the first of its batch.
    pub(crate) const fn has_begun_batch(&self) -> bool {
        self.fresh.len() == 1
    }

    /// Whether the packet had been asked for, whether the gap before it is too wide to ask for, and the next spare
    /// slot.
    fn insert(&mut self, history: &mut History, index: u32, meta: &PacketMeta) -> (bool, bool, Option<u32>) {
        let sequence = meta.sequence;
        if let Some(held) = history.meta_mut(index) {
            *held = *meta;
        }
        self.withheld.record(meta);
        let (mut repaired, mut too_many_missing) = (false, false);
        match self.highest {
            Some(highest) if sequence > highest => {
                too_many_missing = self.missing.skipped(highest + 1, sequence) == Err(TooMany);
            }
            Some(_) => repaired = self.missing.found(sequence),
            None => {}
        }
        // What has no payload only closes a gap: no receiver gets it.
        if !meta.frame.is_empty() {
            self.fresh.push(history.reference(index));
        }
        let spare = self.held.insert(history, index, (self.highest, sequence), meta.arrived);
        self.highest = Some(self.highest.map_or(sequence, |highest| highest.max(sequence)));
        (repaired, too_many_missing, spare)
    }

    /// No consumer may begin with what came so far.
    pub(crate) const fn forget_key_frame(&mut self) {
        self.key_frame = None;
    }

    /// The packets since the newest key frame, if it came so lately that a receiver may begin with it instead of
    /// waiting for the next one.
    pub(crate) fn since_key_frame(&self, now: Instant, history: &History) -> Option<Range<u64>> {
        let (sequence, arrived) = self.key_frame?.first();
        let end = self.highest? + 1;
        let is_held = self.slot(history, sequence).is_some_and(|index| history.meta(index).is_settled());
        let is_near = now.since(arrived) <= REPLAY_AGE && end.saturating_sub(sequence) <= REPLAY_PACKETS;
        (is_held && is_near).then_some(sequence..end)
    }

    /// Packet `sequence`, if its round is over: no round will send it.
    pub(crate) fn past(&self, history: &History, sequence: u64) -> Option<SlotRef> {
        let index = self.slot(history, sequence).filter(|index| history.meta(*index).is_settled())?;
        Some(history.reference(index)).filter(|slot| !self.round.contains(slot))
    }

    /// The sender has started again: what came before is not missing.
    fn restart(&mut self, history: &mut History, sequence: u64) {
        self.is_replaced = false;
        self.missing.clear();
        self.forget_key_frame();
        self.held.clear(history, sequence);
        self.highest = Some(sequence.saturating_sub(1));
        self.reception_mut().restart();
    }
}
