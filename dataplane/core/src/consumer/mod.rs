//! A consumer: one producer's media sent out on a transport, under its own SSRC and sequence numbers.
//!
//! `out = in - offset`. The offset changes only for packets that were withheld on purpose; a loss upstream stays a
//! visible gap, so that the receiver asks for it, and a late packet lands in its own place. Every change of the offset
//! begins a new [`Run`]; the runs together say which packet left under which number, without a note per packet.
//!
//! Of a producer with several streams one is forwarded at a time. A switch is a new run too: it begins at a key frame
//! of the other stream, with the next number, and with offsets so that timestamps and numbers of pictures go on.

mod extensions;
mod feedback;
mod retransmission;

use std::ops::Range;

use corecast_wire::{
    ConsumeOptions, ConsumerId, ConsumerStats, Discard, Discards, PayloadTypeMapping, ProducerId, TransportId,
};

use crate::codec::{Change, PictureIds, Rewrite};
use crate::key::{ProducerKey, StreamKey, TransportKey};
use crate::limits::MAX_CONSUMER_PAYLOAD_TYPES;
use crate::media::{PacketMeta, Producer, Reception, bit};
use crate::rtcp::SenderInfo;
use crate::time::Instant;

use feedback::Feedback;
use retransmission::Retransmissions;

pub(crate) use extensions::{ExtensionPlan, Stamp, abs_send_time};

/// Older runs that are remembered: packets of those before them cannot be retransmitted.
const MAX_OLDER_RUNS: usize = 15;
/// The least time between the last picture of one stream and the first of another: a thousandth of a second.
const LEAST_STEP_PER_S: u32 = 1_000;
/// A stretch of packets of one stream that are forwarded under one offset.
#[derive(Clone, Copy, Debug)]
struct Run {
    first_in: u64,
    first_out: u64,
    stream: StreamKey,
    /// Added to the stream's timestamps; 0 for the stream that came first.
    timestamp_offset: u32,
    /// What is changed in payloads; nothing for the stream that came first.
    change: Change,
}

impl Run {
    /// Before the first packet: no sequence number is so high.
    const fn none(stream: StreamKey) -> Self {
        Self { first_in: u64::MAX, first_out: 0, stream, timestamp_offset: 0, change: Change::NONE }
    }

    const fn is_none(&self) -> bool {
        self.first_in == u64::MAX
    }
}

/// A packet that left, or would have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) stream: StreamKey,
    /// The stream's number for it.
    pub(crate) sequence: u64,
    /// Ours.
    pub(crate) index: u64,
    pub(crate) timestamp_offset: u32,
    pub(crate) change: Change,
}

/// How the timestamps of a stream go on where those of the one before end.
#[derive(Clone, Copy, Debug, Default)]
struct Alignment {
    /// The offset by which the same moment has the same timestamp, if it is known.
    exact: Option<u32>,
    /// The highest timestamp that may have left.
    floor: u32,
    /// The newest picture that may have left, and the one that comes.
    last_picture: PictureIds,
    next_picture: PictureIds,
}

impl Alignment {
    /// The offset for a run that begins with this timestamp. Time does not stand still, nor go back: of two pictures of
    /// one moment the second is later by a millisecond.
    fn offset(self, timestamp: u32, clock_rate_hz: u32) -> u32 {
        let least = self.floor.wrapping_add((clock_rate_hz / LEAST_STEP_PER_S).max(1)).wrapping_sub(timestamp);
        let exact = self.exact.unwrap_or(least);
        if exact.wrapping_sub(least).cast_signed() < 0 { least } else { exact }
    }
}

/// What came before a consumer did and is sent to it all the same.
#[derive(Clone, Debug)]
pub(crate) struct GopReplay {
    pub(crate) stream: StreamKey,
    pub(crate) packets: Range<u64>,
}

/// A consumer. What every packet needs comes first: with thousands of consumers it is cold memory, two lines of it.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Consumer {
    /// The receiver's payload type by the router's; unused places repeat the first.
    payload_types: [PayloadTypeMapping; MAX_CONSUMER_PAYLOAD_TYPES],
    extensions: ExtensionPlan,
    /// The run that packets join now; before the first one, none does.
    run: Run,
    next_out: u64,
    sent: Sent,
    ssrc: u32,
    paused: bool,
    /// The next packet begins a new run, at a key frame if there are any.
    waiting: bool,
    /// Key frames of the producer's media can be told apart.
    has_key_frames: bool,
    replaying: bool,
    /// Its first field, the allowance, is the last that every packet needs.
    retransmissions: Retransmissions,
    nack: bool,
    clock_rate_hz: u32,
    /// The stream to send: that of the run, or the one to which to switch at its next key frame.
    target: StreamKey,
    rewrite: Rewrite,
    alignment: Alignment,
    /// The run's offset of timestamps, were it not for the picture that came before: what the next one is reckoned
    /// from, so that small steps do not add up.
    exact_offset: u32,
    preferred_layer: u8,
    /// The layer that control was last told of.
    reported_layer: Option<u8>,
    /// Bit n is set if the stream of layer n lists it.
    subscribed: u8,
    id: ConsumerId,
    transport: TransportKey,
    producer: ProducerKey,
    cname: String,
    /// What it has still to get of what came before it, while `catching_up`.
    gop_replay: Option<GopReplay>,
    /// The runs before, oldest first.
    older_runs: Vec<Run>,
    feedback: Feedback,
    discards: Discards,
}

const _: () =
    assert!(std::mem::offset_of!(Consumer, retransmissions) + 8 <= 128, "what every packet needs is on two lines");

/// What a consumer has sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

impl Consumer {
    pub(crate) fn new(
        id: ConsumerId,
        transport: TransportKey,
        (producer, target, preferred_layer): (ProducerKey, StreamKey, u8),
        source: &Producer,
        options: &ConsumeOptions,
    ) -> Self {
        Self {
            rewrite: Rewrite::of(source.media_codecs().map(|mapping| mapping.codec)),
            id,
            transport,
            producer,
            target,
            alignment: Alignment::default(),
            exact_offset: 0,
            preferred_layer,
            reported_layer: None,
            subscribed: 0,
            ssrc: options.ssrc,
            nack: options.nack,
            paused: options.paused,
            extensions: ExtensionPlan::new(options),
            payload_types: payload_types(options),
            cname: options.cname.clone(),
            has_key_frames: source.has_key_frames(),
            clock_rate_hz: source.clock_rate_hz(),
            waiting: true,
            replaying: false,
            gop_replay: None,
            next_out: u64::from(options.first_sequence),
            run: Run::none(target),
            older_runs: Vec::new(),
            retransmissions: Retransmissions::new(options.rtx.as_ref()),
            sent: Sent::default(),
            feedback: Feedback::default(),
            discards: Discards::default(),
        }
    }

    /// Whether packet `out` may be repeated now; see [`Retransmissions::admit`].
    pub(crate) fn may_retransmit(&mut self, now: Instant, out: u64, bytes: u64) -> bool {
        self.retransmissions.admit(now, self.feedback.round_trip(), out, bytes)
    }

    /// SSRC, payload type and index of the next packet of the retransmission stream, if `media` has one.
    pub(crate) fn next_rtx(&mut self, media: u8) -> Option<(u32, u8, u64)> {
        self.retransmissions.next_rtx(media)
    }

    /// Counts a packet that was repeated.
    pub(crate) const fn count_retransmitted(&mut self) {
        self.retransmissions.count();
    }

    /// Identifier, as control knows it.
    pub(crate) const fn id(&self) -> ConsumerId {
        self.id
    }

    /// The transport on which it sends.
    pub(crate) const fn transport(&self) -> TransportKey {
        self.transport
    }

    /// The producer whose media it sends.
    pub(crate) const fn producer(&self) -> ProducerKey {
        self.producer
    }

    /// SSRC of its media.
    pub(crate) const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Canonical name of its source (RFC 3550 section 6.5.1).
    pub(crate) fn cname(&self) -> &str {
        &self.cname
    }

    /// Its receiver asks for lost packets.
    pub(crate) const fn takes_nacks(&self) -> bool {
        self.nack
    }

    /// Key frames of the producer's media can be told apart.
    pub(crate) const fn has_key_frames(&self) -> bool {
        self.has_key_frames
    }

    /// The extensions that its packets carry.
    pub(crate) const fn extensions(&self) -> &ExtensionPlan {
        &self.extensions
    }

    /// What it has sent.
    pub(crate) const fn sent(&self) -> Sent {
        self.sent
    }

    pub(crate) const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Pauses or resumes. The next packet that leaves begins a new run. False if nothing changes.
    pub(crate) const fn set_paused(&mut self, paused: bool) -> bool {
        let changes = self.paused != paused;
        if changes {
            self.paused = paused;
            self.resynchronise();
        }
        changes
    }

    /// The layer that its receiver would like best.
    pub(crate) const fn preferred_layer(&self) -> u8 {
        self.preferred_layer
    }

    /// False if nothing changes.
    pub(crate) const fn set_preferred_layer(&mut self, layer: u8) -> bool {
        let changes = self.preferred_layer != layer;
        self.preferred_layer = layer;
        changes
    }

    /// The layer that control was last told of.
    pub(crate) const fn reported_layer(&self) -> Option<u8> {
        self.reported_layer
    }

    /// Control is told of this layer.
    pub(crate) const fn set_reported_layer(&mut self, layer: Option<u8>) {
        self.reported_layer = layer;
    }

    /// Records whether the stream of a layer lists it. False if nothing changes.
    pub(crate) const fn set_subscribed(&mut self, layer: u8, subscribed: bool) -> bool {
        let was = self.subscribed & bit(layer) != 0;
        self.subscribed = if subscribed { self.subscribed | bit(layer) } else { self.subscribed & !bit(layer) };
        was != subscribed
    }

    /// Packets older than itself wait to be sent first.
    pub(crate) const fn is_replaying(&self) -> bool {
        self.replaying
    }

    /// Counts a packet that it was not sent, or that its receiver asked for in vain.
    pub(crate) fn discard(&mut self, why: Discard) {
        self.discards.count(why);
    }

    /// What its receiver has said.
    pub(crate) const fn feedback_mut(&mut self) -> &mut Feedback {
        &mut self.feedback
    }

    /// Its sender report, which says that `rtp_timestamp` of the stream's own time is `ntp` (RFC 3550 section 6.4.1).
    #[expect(clippy::cast_possible_truncation, reason = "RTCP counters wrap")]
    pub(crate) const fn sender_info(&self, ntp: u64, rtp_timestamp: u32) -> SenderInfo {
        SenderInfo {
            ssrc: self.ssrc,
            ntp,
            rtp_timestamp: rtp_timestamp.wrapping_add(self.run.timestamp_offset),
            packet_count: self.sent.packets as u32,
            octet_count: self.sent.bytes as u32,
        }
    }

    /// RTP clock of its media, in Hz.
    pub(crate) const fn clock_rate_hz(&self) -> u32 {
        self.clock_rate_hz
    }

    /// Its counters, for control.
    pub(crate) fn stats(&self, transport: TransportId, producer: ProducerId) -> ConsumerStats {
        ConsumerStats {
            consumer: self.id,
            transport,
            producer,
            ssrc: self.ssrc,
            paused: self.paused,
            preferred_spatial: self.preferred_layer,
            current_spatial: self.reported_layer,
            packet_count: self.sent.packets,
            byte_count: self.sent.bytes,
            packets_retransmitted: self.retransmissions.packets(),
            nack_count: self.feedback.nacks,
            nack_packet_count: self.feedback.nacked_packets,
            pli_count: self.feedback.plis,
            fir_count: self.feedback.firs,
            packets_lost: i64::from(self.feedback.packets_lost),
            fraction_lost: self.feedback.fraction_lost,
            jitter: self.feedback.jitter,
            round_trip_us: self.feedback.round_trip.map(|time| u32::try_from(time.as_micros()).unwrap_or(u32::MAX)),
            discards: self.discards.clone(),
        }
    }

    /// The stream that is forwarded, or will be from its next key frame on.
    pub(crate) const fn target(&self) -> StreamKey {
        self.target
    }

    /// The stream that is being forwarded, if one is.
    pub(crate) fn current(&self) -> Option<StreamKey> {
        (!self.waiting).then_some(self.run.stream)
    }

    /// The stream whose key frame helps the receiver soonest.
    pub(crate) fn decoded_stream(&self) -> StreamKey {
        self.current().unwrap_or(self.target)
    }

    /// Whether packets of a stream concern it: of the one that is forwarded, or of the one to come.
    pub(crate) fn takes(&self, stream: StreamKey) -> bool {
        (self.run.stream == stream && !self.waiting) || self.target == stream
    }

    /// Waits for a key frame of a stream, to begin or to switch.
    pub(crate) fn awaits_key_frame_of(&self, stream: StreamKey) -> bool {
        let awaits = self.target == stream && (self.waiting || self.run.stream != stream);
        awaits && self.has_key_frames && !self.paused
    }

    /// From the target's next key frame on, that is what is sent.
    pub(crate) const fn set_target(&mut self, target: StreamKey) {
        self.target = target;
        if self.run.is_none() {
            self.run = Run::none(target);
        }
    }

    /// It has sent a packet.
    pub(crate) const fn has_begun(&self) -> bool {
        !self.run.is_none()
    }

    /// Begins with these packets, before those of the next round.
    pub(crate) fn start_replay(&mut self, packets: GopReplay) {
        (self.replaying, self.gop_replay) = (true, Some(packets));
    }

    /// The next packet of a stream that it begins with. Once there is none, there never is.
    pub(crate) fn next_to_replay(&mut self, stream: StreamKey) -> Option<u64> {
        let replay = self.gop_replay.as_ref().filter(|replay| replay.stream == stream && !replay.packets.is_empty());
        let next = replay.map(|replay| replay.packets.start);
        if next.is_none() {
            (self.replaying, self.gop_replay) = (false, None);
        }
        next
    }

    /// That packet has been seen to.
    pub(crate) fn replayed(&mut self) {
        if let Some(gop_replay) = &mut self.gop_replay {
            gop_replay.packets.start += 1;
        }
    }

    /// Packets are withheld from now on, or the stream starts anew: the next one that leaves begins a new run.
    pub(crate) const fn resynchronise(&mut self) {
        self.waiting = true;
    }

    /// The stream that a run of `stream` would follow, if it is another.
    pub(crate) fn leaves_for(&self, stream: StreamKey) -> Option<StreamKey> {
        (self.run.stream != stream && !self.run.is_none()).then_some(self.run.stream)
    }

    /// Prepares a switch: how the timestamps of `next` go on where those of the run's stream, `last`, are.
    pub(crate) fn align(&mut self, last: &Reception, next: &Reception) {
        let behind = last.ahead_of(next, self.clock_rate_hz);
        self.alignment = Alignment {
            exact: behind.map(|ticks| self.exact_offset.wrapping_add(ticks)),
            floor: last.highest_timestamp().unwrap_or_default().wrapping_add(self.run.timestamp_offset),
            last_picture: self.run.change.applied_to(last.picture_ids()),
            next_picture: PictureIds::default(),
        };
    }

    /// The numbers of the next packet's picture, before a switch.
    pub(crate) const fn record_picture(&mut self, ids: PictureIds) {
        self.alignment.next_picture = ids;
    }

    /// What the receiver gets of a packet of a stream that it takes: the sequence number under which it leaves, or
    /// nothing, and why.
    pub(crate) fn rewrite(&mut self, stream: StreamKey, packet: &PacketMeta) -> Result<u64, Discard> {
        let is_current = self.run.stream == stream;
        if !self.accepts(packet.payload_type) {
            if is_current {
                self.skip(packet.sequence);
            }
            return Err(Discard::PayloadTypeNotNegotiated);
        }
        if self.waiting || !is_current {
            self.begin_run(stream, packet)?;
        }
        let out = self.out_of(packet.sequence).ok_or(Discard::BeforeSync)?;
        self.next_out = self.next_out.max(out + 1);
        Ok(out)
    }

    /// A packet begins a run if it may.
    fn begin_run(&mut self, stream: StreamKey, packet: &PacketMeta) -> Result<(), Discard> {
        if self.newest_in(stream).is_some_and(|newest| packet.sequence <= newest) {
            return Err(Discard::BeforeSync);
        }
        if self.has_key_frames && !packet.frame.is_key() {
            return Err(Discard::WaitingForKeyFrame);
        }
        let Run { mut timestamp_offset, mut change, .. } = self.run;
        if self.leaves_for(stream).is_some() {
            change = self.rewrite.behind(self.alignment.last_picture, self.alignment.next_picture);
            timestamp_offset = self.alignment.offset(packet.timestamp, self.clock_rate_hz);
            self.exact_offset = self.alignment.exact.unwrap_or(timestamp_offset);
        }
        let (first_in, first_out) = (packet.sequence, self.next_out);
        self.push_run(Run { first_in, first_out, stream, timestamp_offset, change });
        self.waiting = false;
        Ok(())
    }

    /// The newest packet of a stream that has a number. One that was late when the consumer was interrupted must not
    /// begin a run: it would be numbered behind what followed it.
    fn newest_in(&self, stream: StreamKey) -> Option<u64> {
        let mut end = self.next_out;
        for run in self.runs() {
            if run.stream == stream {
                return Some((run.first_in + end.saturating_sub(run.first_out)).saturating_sub(1));
            }
            end = run.first_out;
        }
        None
    }

    /// The runs that there have been, newest first.
    fn runs(&self) -> impl Iterator<Item = &Run> {
        std::iter::once(&self.run).filter(|run| !run.is_none()).chain(self.older_runs.iter().rev())
    }

    /// What is added to the timestamps of what is forwarded now.
    pub(crate) const fn timestamp_offset(&self) -> u32 {
        self.run.timestamp_offset
    }

    /// What is changed in the payloads of what is forwarded now.
    pub(crate) const fn change(&self) -> Change {
        self.run.change
    }

    /// The stream of what was forwarded last.
    pub(crate) const fn last_stream(&self) -> StreamKey {
        self.run.stream
    }

    /// Whether the receiver negotiated a payload type (the router's number).
    pub(crate) fn accepts(&self, payload_type: u8) -> bool {
        self.payload_type(payload_type).is_some()
    }

    /// What the receiver calls a payload type of the router's.
    pub(crate) fn payload_type(&self, router: u8) -> Option<u8> {
        self.payload_types.iter().find(|one| one.router == router).map(|one| one.receiver)
    }

    /// Number of a packet of the run's stream, in the run that it belongs to; `None` if it was withheld, or precedes
    /// every run.
    fn out_of(&self, sequence: u64) -> Option<u64> {
        if let Some(distance) = sequence.checked_sub(self.run.first_in) {
            return Some(self.run.first_out + distance);
        }
        let mut end = self.run.first_out;
        for run in self.older_runs.iter().rev() {
            if run.stream == self.run.stream
                && let Some(distance) = sequence.checked_sub(run.first_in)
            {
                return Some(run.first_out + distance).filter(|out| *out < end);
            }
            end = run.first_out;
        }
        None
    }

    /// Closes the gap that a withheld packet would leave, if it is the newest.
    fn skip(&mut self, sequence: u64) {
        let Some(distance) = sequence.checked_sub(self.run.first_in).filter(|_| !self.waiting) else { return };
        let out = self.run.first_out + distance;
        if out < self.next_out {
            return;
        }
        self.next_out = out;
        let next = Run { first_in: sequence + 1, first_out: out, ..self.run };
        if distance == 0 {
            self.run = next;
        } else {
            self.push_run(next);
        }
    }

    fn push_run(&mut self, run: Run) {
        let ended = std::mem::replace(&mut self.run, run);
        if ended.is_none() {
            return;
        }
        if self.older_runs.len() == MAX_OLDER_RUNS {
            self.older_runs.remove(0);
        }
        self.older_runs.push(ended);
    }

    /// Counts a media packet that was put into the outbox.
    pub(crate) const fn count_sent(&mut self, payload_bytes: u64) {
        self.sent.packets += 1;
        self.sent.bytes += payload_bytes;
        self.retransmissions.allow(payload_bytes);
    }

    /// What left, or would have left, as `out`.
    pub(crate) fn source_of(&self, out: u16) -> Option<Source> {
        let newest = self.next_out.checked_sub(1)?;
        let index = crate::media::nearest(newest, out);
        if index > newest {
            return None;
        }
        let run = self.runs().find(|run| run.first_out <= index)?;
        let sequence = run.first_in + (index - run.first_out);
        let Run { stream, timestamp_offset, change, .. } = *run;
        Some(Source { stream, sequence, index, timestamp_offset, change })
    }
}

fn payload_types(options: &ConsumeOptions) -> [PayloadTypeMapping; MAX_CONSUMER_PAYLOAD_TYPES] {
    let first = options.payload_types.first().copied().unwrap_or(PayloadTypeMapping { router: 0, receiver: 0 });
    let mut all = [first; MAX_CONSUMER_PAYLOAD_TYPES];
    for (place, one) in all.iter_mut().zip(&options.payload_types) {
        *place = *one;
    }
    all
}

#[cfg(test)]
mod tests;
