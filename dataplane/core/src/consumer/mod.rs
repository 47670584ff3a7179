//! A consumer: one producer's media sent out on a transport, under its own SSRC and sequence numbers.
//!
//! If a producer has several streams, one is forwarded at a time. A switch begins at a key frame of the other stream,
//! with the next sequence number ([`Numbering`]), and with offsets so that timestamps and numbers of pictures go on.

mod alignment;
mod allowed;
mod costs;
mod extensions;
mod feedback;
mod filtering;
mod numbering;
mod parting;
mod payload_types;
mod redundancy;
mod replay;
mod retransmission;
mod sent;
mod traces;

use corecast_wire::{
    Codec, ConsumeOptions, ConsumerId, ConsumerStats, CurrentLayer, Discard, Discards, HeaderExtension, ProducerId,
    TraceEvents, TransportId,
};

use crate::codec::{PictureIds, Rewrite};
use crate::key::{ProducerKey, StreamKey, TransportKey};
use crate::media::{Filter, History, PacketMeta, Producer, Reception, Stream, bit};
use crate::rtcp::SenderInfo;
use crate::time::Instant;

use alignment::Alignment;
use feedback::Feedback;
use numbering::Numbering;
use payload_types::{NearPayloadTypes, OtherPayloadTypes, unknown};
use redundancy::Redundancy;
use retransmission::Retransmissions;
use sent::{Sent, SentBefore};

pub(crate) use alignment::Ending;
pub(crate) use allowed::Allowed;
pub(crate) use extensions::{ExtensionPlan, Passed, Stamp, abs_send_time};
pub(crate) use numbering::Numbered;
pub(crate) use redundancy::MAX_MADE_BLOCKS;
pub(crate) use replay::GopReplay;

/// What a consumer is sent, as control is told it: of several encodings or spatial layers the one, and the highest
/// temporal layer of that.
pub(crate) type SentLayers = (Option<CurrentLayer>, Option<u8>);

/// A consumer. What every packet needs comes first: with thousands of consumers it is cold memory, two lines of it.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Consumer {
    payload_types: NearPayloadTypes,
    extensions: ExtensionPlan,
    sent: Sent,
    ssrc: u32,
    /// By request, or because its path does not carry it.
    paused: bool,
    next: Next,
    /// Key frames of the producer's media can be told apart.
    has_key_frames: bool,
    replaying: bool,
    /// Its first part is the last that every packet needs.
    numbering: Numbering,
    other_payload_types: OtherPayloadTypes,
    /// What the receiver is not to get.
    filter: Filter,
    retransmissions: Retransmissions,
    redundancy: Redundancy,
    nack: bool,
    traces: TraceEvents,
    /// Packets of its own that wait to be sealed.
    queued: u16,
    /// So many payloads of earlier packets are put into each.
    redundant_blocks: u8,
    /// Times that it was interrupted: what has waited since before that does not leave.
    interruptions: u32,
    clock_rate_hz: u32,
    /// The stream to send: that of the segment, or the one to which to switch at its next key frame.
    target: StreamKey,
    /// Another stream, with whose key frame it may begin if it gets nothing yet.
    beginning: Option<StreamKey>,
    /// The stream has begun again since the segment began.
    restarted: bool,
    /// It waits for a key frame on its receiver's account: see [`Self::is_on_account`].
    on_account: bool,
    rewrite: Rewrite,
    alignment: Alignment,
    /// The segment's offset of timestamps before it was corrected so that time does not go back. The next switch starts
    /// from it, so corrections do not add up.
    exact_offset: u32,
    /// The layer that its receiver would like best, and its stream if that was chosen by name.
    preferred_layer: u8,
    preferred_stream: Option<StreamKey>,
    preferred_temporal: u8,
    /// The higher comes first where the path does not carry all.
    priority: u8,
    /// The highest spatial layer within one encoding that its receiver can decode.
    decodable_spatial: u8,
    /// The spatial layer within one encoding that it is to get; [`u8::MAX`] for all. And whether it has to wait for a
    /// key frame for a lower one as well.
    spatial: u8,
    is_independent: bool,
    /// Its target stays what it is: it sends one encoding alone.
    pinned: bool,
    /// What the path to its receiver allows; everything until that is decided.
    allowed: Option<Allowed>,
    /// It had all that its receiver would have, who would have more now.
    wants_more: bool,
    /// What its receiver's path would carry of it, in bits per second; `None` if that is not known.
    usable_bps: Option<u64>,
    /// It was asked to pause.
    pause_asked: bool,
    /// What control was last told: the layers that it is sent, whether its path limits it, and whether it is suspended.
    reported_layers: SentLayers,
    reported_limited: bool,
    reported_suspended: bool,
    /// Bit n is set if the stream of encoding n lists it.
    subscribed: u8,
    id: ConsumerId,
    transport: TransportKey,
    producer: ProducerKey,
    cname: String,
    sent_before: SentBefore,
    /// What it has still to get of what came before it, while `catching_up`.
    gop_replay: Option<GopReplay>,
    outlives_producer: bool,
    /// What its last stream was at when that stream's producer closed.
    parting: Option<Box<Ending>>,
    feedback: Feedback,
    discards: Discards,
}

const _: () = assert!(
    std::mem::offset_of!(Consumer, numbering) + Numbering::HOT_BYTES <= 128,
    "what every packet needs is on two lines"
);

/// Priority of a consumer, unless it was given another one (mediasoup).
const PRIORITY: u8 = 1;

/// What begins with the next packet that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Nothing.
    Packet,
    /// Numbers that count what has no payload.
    Count,
    /// Numbers through another filter, as soon as a frame lets the receiver change its layers.
    Filter,
    /// A segment, at a key frame if there are any.
    Segment,
}

impl Consumer {
    pub(crate) fn new(
        id: ConsumerId,
        transport: TransportKey,
        (producer, target, preferred_layer): (ProducerKey, StreamKey, u8),
        source: &Producer,
        options: &ConsumeOptions,
    ) -> Self {
        let is_known = |router| options.payload_types.iter().any(|one| one.router == router);
        Self {
            filter: Filter { payload_types: unknown(source, is_known), silence: options.ignore_dtx, ..Filter::NONE },
            rewrite: Rewrite::of(source.media_codecs().map(|mapping| mapping.codec)),
            id,
            transport,
            producer,
            target,
            beginning: None,
            restarted: false,
            on_account: false,
            alignment: Alignment::default(),
            exact_offset: 0,
            preferred_layer,
            preferred_stream: None,
            reported_layers: (None, None),
            reported_limited: false,
            reported_suspended: false,
            subscribed: 0,
            ssrc: options.ssrc,
            nack: options.nack,
            paused: options.paused,
            extensions: ExtensionPlan::new(options),
            payload_types: NearPayloadTypes::new(&options.payload_types),
            other_payload_types: OtherPayloadTypes::new(&options.payload_types),
            cname: options.cname.clone(),
            has_key_frames: source.has_key_frames(),
            clock_rate_hz: source.clock_rate_hz(),
            next: Next::Segment,
            preferred_temporal: u8::MAX,
            priority: PRIORITY,
            decodable_spatial: decodable_spatial(source, options),
            spatial: u8::MAX,
            is_independent: false,
            pinned: options.encoding.is_some(),
            allowed: None,
            wants_more: false,
            usable_bps: None,
            pause_asked: options.paused,
            replaying: false,
            redundant_blocks: 0,
            redundancy: Redundancy::new(options.redundancy),
            traces: TraceEvents::default(),
            queued: 0,
            interruptions: 0,
            gop_replay: None,
            outlives_producer: options.outlives_producer,
            parting: None,
            numbering: Numbering::new(target, u64::from(options.first_sequence)),
            retransmissions: Retransmissions::new(options.rtx.as_ref()),
            sent: Sent::default(),
            sent_before: SentBefore::default(),
            feedback: Feedback::default(),
            discards: Discards::default(),
        }
    }

    /// Whether packet `out` may be repeated now; see [`Retransmissions::admit`].
    pub(crate) fn may_retransmit(&mut self, now: Instant, out: u64, bytes: u64) -> bool {
        self.retransmissions.admit(now, self.feedback.round_trip(), self.payload_sent(), (out, bytes))
    }

    /// SSRC, payload type and index of the next packet of the retransmission stream, if `media` has one.
    pub(crate) fn next_rtx(&self, media: u8) -> Option<(u32, u8, u64)> {
        self.retransmissions.next_rtx(media)
    }

    /// The newest timestamp that it has sent; `stream` is the one that is forwarded.
    pub(crate) fn newest_timestamp(&self, stream: Option<&Stream>) -> u32 {
        let newest = stream.and_then(|stream| stream.reception().highest_timestamp());
        newest.unwrap_or_default().wrapping_add(self.numbering.timestamp_offset())
    }

    /// Counts a packet that was repeated, on the retransmission stream if `rtx`.
    pub(crate) fn count_retransmitted(&mut self, rtx: bool) {
        self.retransmissions.count(rtx);
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

    /// All under which it sends: of its media and of its retransmissions.
    pub(crate) fn ssrcs(&self) -> impl Iterator<Item = u32> + use<> {
        std::iter::once(self.ssrc).chain(self.retransmissions.ssrc())
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

    pub(crate) const fn is_paused(&self) -> bool {
        self.paused
    }

    /// The next packet begins a segment, at a key frame if there are any.
    const fn is_waiting(&self) -> bool {
        matches!(self.next, Next::Segment)
    }

    /// The spatial layer and the temporal one that control was last told of.
    pub(crate) const fn reported_layers(&self) -> SentLayers {
        self.reported_layers
    }

    /// Control is told of these.
    pub(crate) const fn set_reported_layers(&mut self, layers: SentLayers) {
        self.reported_layers = layers;
    }

    /// Records whether the stream of an encoding lists it. False if nothing changes.
    pub(crate) const fn set_subscribed(&mut self, encoding: u8, subscribed: bool) -> bool {
        let was = self.subscribed & bit(encoding) != 0;
        self.subscribed = if subscribed { self.subscribed | bit(encoding) } else { self.subscribed & !bit(encoding) };
        was != subscribed
    }

    /// Whether its next packet has to wait: it is behind others, or among those that are older than the consumer.
    pub(crate) const fn must_wait(&self) -> bool {
        self.queued > 0 || self.replaying
    }

    /// Times that it was interrupted. A packet that has waited since before the last time does not leave.
    pub(crate) const fn interruptions(&self) -> u32 {
        self.interruptions
    }

    /// A packet of its own waits to be sealed.
    pub(crate) const fn queued(&mut self) {
        self.queued += 1;
    }

    /// So many packets of its own wait no longer.
    pub(crate) fn dequeued(&mut self, packets: usize) {
        self.queued = self.queued.saturating_sub(u16::try_from(packets).unwrap_or(u16::MAX));
    }

    /// Packets older than itself wait to be sent first.
    pub(crate) const fn is_replaying(&self) -> bool {
        self.replaying
    }

    /// Counts packets that it was not sent, or that its receiver asked for in vain.
    pub(crate) fn discard(&mut self, why: Discard, packets: u64) {
        self.discards.add(why, packets);
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
            rtp_timestamp: rtp_timestamp.wrapping_add(self.numbering.timestamp_offset()),
            packet_count: self.packets_sent() as u32,
            octet_count: self.payload_sent() as u32,
        }
    }

    /// RTP clock of its media, in Hz.
    pub(crate) const fn clock_rate_hz(&self) -> u32 {
        self.clock_rate_hz
    }

    /// Its counters, for control; `highest_layer` is the producer's.
    pub(crate) fn stats(&self, transport: TransportId, (producer, highest_layer): (ProducerId, u8)) -> ConsumerStats {
        ConsumerStats {
            consumer: self.id,
            transport,
            producer,
            ssrc: self.ssrc,
            paused: self.pause_asked,
            suspended: self.is_suspended(),
            preferred_spatial: self.preferred_layer.min(highest_layer),
            current_spatial: self.reported_layers.0.map(|current| current.spatial),
            limited_by: self.has_key_frames.then(|| self.limited_by(highest_layer)),
            packet_count: self.packets_sent(),
            byte_count: self.payload_sent(),
            rtp_byte_count: self.payload_sent() + self.other_sent(),
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
        (!self.is_waiting()).then_some(self.numbering.stream())
    }

    /// The stream that is being forwarded, if one is, and the number with which that began, or began to be less or more
    /// of it. All of it is on the lines that every packet needs.
    pub(crate) fn segment(&self) -> (Option<StreamKey>, u64) {
        (self.current(), self.numbering.first_out())
    }

    /// The stream that is being forwarded, if one is, and up to which spatial layer within it.
    pub(crate) fn current_layer(&self) -> Option<(StreamKey, u8)> {
        self.current().map(|stream| (stream, self.filter.spatial))
    }

    /// Up to which temporal layer it is sent what it is.
    pub(crate) const fn current_temporal(&self) -> u8 {
        self.filter.temporal
    }

    /// The stream whose key frame helps the receiver soonest.
    pub(crate) fn decoded_stream(&self) -> StreamKey {
        self.current().unwrap_or(self.target)
    }

    /// Whether packets of a stream concern it: of the one that is forwarded, or of the one to come.
    pub(crate) fn takes(&self, stream: StreamKey) -> bool {
        let goes_on = self.numbering.stream() == stream && !self.is_waiting();
        goes_on || self.target == stream || (self.is_waiting() && self.beginning == Some(stream))
    }

    /// Whether it gets nothing yet, and could have a key frame of this stream instead of waiting for its target's.
    pub(crate) fn may_begin_with(&self, stream: StreamKey) -> bool {
        let awaits = self.is_waiting() && self.awaits_key_frame_of(self.target) && !self.pinned;
        awaits && self.target != stream && !self.replaying
    }

    /// It sends one encoding alone.
    pub(crate) const fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// It may begin with the next key frame of this stream. The target stays what it is.
    pub(crate) const fn begin_with(&mut self, stream: StreamKey) {
        self.beginning = Some(stream);
    }

    /// Waits for a key frame of a stream, to begin or to switch.
    pub(crate) fn awaits_key_frame_of(&self, stream: StreamKey) -> bool {
        let begins = self.is_waiting() || self.numbering.stream() != stream || self.awaits_layer();
        self.target == stream && begins && self.has_key_frames && !self.paused
    }

    /// From the target's next key frame on, that is what is sent.
    pub(crate) const fn set_target(&mut self, target: StreamKey) {
        (self.target, self.on_account) = (target, false);
        self.numbering.name_stream(target);
    }

    /// It has sent a packet.
    pub(crate) const fn has_begun(&self) -> bool {
        self.numbering.has_begun()
    }

    /// Packets are withheld from now on, or the stream starts again: the next one that leaves begins a segment. What is
    /// older is not sent then.
    pub(crate) const fn resynchronise(&mut self) {
        (self.replaying, self.gop_replay, self.on_account) = (false, None, false);
        self.next = Next::Segment;
        self.interruptions = self.interruptions.wrapping_add(1);
    }

    /// Whether a segment of `stream` would follow one with other timestamps.
    pub(crate) fn needs_alignment(&self, stream: StreamKey) -> bool {
        self.restarted || self.leaves_for(stream).is_some()
    }

    /// The stream that a segment of `stream` would follow, if it is another.
    pub(crate) fn leaves_for(&self, stream: StreamKey) -> Option<StreamKey> {
        (self.numbering.stream() != stream && self.numbering.has_begun()).then_some(self.numbering.stream())
    }

    /// The stream that is forwarded begins again: the next packet that leaves begins a segment, whose timestamps go on
    /// where those of `last` were.
    pub(crate) fn follow_restart(&mut self, last: Reception, stream: &Stream) {
        let change = self.numbering.newest_change(stream.withheld());
        let picture = change.applied_to(last.picture_ids());
        self.align(&Ending { reception: last, picture }, &stream.reception());
        self.resynchronise();
        self.restarted = true;
    }

    /// What a switch needs of the stream that it leaves.
    pub(crate) fn ending(&self, last: &Stream) -> Ending {
        let (reception, change) = (last.reception(), self.numbering.newest_change(last.withheld()));
        Ending { reception, picture: change.applied_to(reception.picture_ids()) }
    }

    /// Prepares a switch: how the timestamps of `next` go on where those of the segment's stream, `last`, are.
    pub(crate) fn align(&mut self, last: &Ending, next: &Reception) {
        let (behind, newest) = (last.reception.ahead_of(next, self.clock_rate_hz), last.reception.highest_timestamp());
        self.alignment = Alignment {
            exact: behind.map(|ticks| self.exact_offset.wrapping_add(ticks)),
            floor: newest.unwrap_or_default().wrapping_add(self.numbering.timestamp_offset()),
            last_picture: last.picture,
            next_picture: PictureIds::default(),
        };
    }

    /// The numbers of the next packet's picture, before a switch.
    pub(crate) const fn record_picture(&mut self, ids: PictureIds) {
        self.alignment.next_picture = ids;
    }

    /// What the receiver gets of a packet that only goes on with the current segment, with nothing to decide: `None` if
    /// [`Self::rewrite`] has to say.
    #[inline]
    pub(crate) fn go_on(&mut self, stream: StreamKey, packet: &PacketMeta) -> Option<Numbered> {
        let goes_on = self.next == Next::Packet && self.numbering.stream() == stream;
        if !goes_on || self.paused || self.must_wait() {
            return None;
        }
        self.numbering.go_on(packet)
    }

    /// What the receiver gets of a packet of a stream that it takes: the sequence number under which it leaves and what
    /// else is different, or nothing, and why.
    pub(crate) fn rewrite(
        &mut self,
        (key, stream): (StreamKey, &mut Stream),
        history: &History,
        packet: &PacketMeta,
    ) -> Result<Numbered, Discard> {
        if self.is_waiting() || self.numbering.stream() != key {
            self.begin((key, &mut *stream), history, packet)?;
        } else if self.next == Next::Filter {
            self.change_filter((key, &mut *stream), history, packet);
        } else if self.next == Next::Count {
            self.begin_counting(&mut *stream, history, packet);
        }
        let numbered = self.numbering.number(stream.withheld_mut(), &self.filter, packet);
        if numbered == Err(Discard::LeftHistory) && !stream.withheld().has(self.numbering.column()) {
            self.next = Next::Segment;
        }
        numbered
    }

    /// A packet begins a segment if it may.
    fn begin(
        &mut self,
        (key, stream): (StreamKey, &mut Stream),
        history: &History,
        packet: &PacketMeta,
    ) -> Result<(), Discard> {
        let filter = Filter { spatial: self.spatial, temporal: self.wanted_temporal(), ..self.filter };
        if let Some(why) = filter.withholds(packet) {
            return Err(why);
        }
        if self.numbering.newest_in(key, stream.withheld()).is_some_and(|newest| packet.sequence <= newest) {
            return Err(Discard::BeforeSync);
        }
        if self.has_key_frames && !packet.frame.is_key() {
            // A key frame of another stream than the target is of use if it is there: none is asked for.
            return Err(if self.target == key { Discard::WaitingForKeyFrame } else { Discard::BeforeSync });
        }
        let column = stream.column(history, &filter);
        let count = stream.withheld_mut().pass(column, &filter, packet)?;
        let offsets = self.needs_alignment(key).then(|| {
            let change = self.rewrite.behind(self.alignment.last_picture, self.alignment.next_picture);
            (self.alignment.offset(packet.timestamp, self.clock_rate_hz), change)
        });
        if let Some((timestamp_offset, _)) = offsets {
            self.exact_offset = self.alignment.exact.unwrap_or(timestamp_offset);
        }
        let from = (key, stream.place());
        self.numbering.begin(from, (column, filter.layers()), (packet.sequence, count), offsets);
        (self.filter, self.next, self.beginning, self.restarted) = (filter, Next::Packet, None, false);
        self.on_account = false;
        Ok(())
    }

    /// The stream of what was forwarded last.
    pub(crate) const fn last_stream(&self) -> StreamKey {
        self.numbering.stream()
    }
}

/// The highest spatial layer within one encoding that a receiver can decode. What a frame of AV1 needs is told by its
/// dependency descriptor alone: without it libwebrtc takes each frame to need the one before, and shows nothing.
fn decodable_spatial(source: &Producer, options: &ConsumeOptions) -> u8 {
    let is_described =
        options.header_extensions.iter().any(|one| one.extension == HeaderExtension::DependencyDescriptor);
    let is_av1 = source.media_codecs().any(|mapping| mapping.codec == Codec::Av1);
    if is_av1 && !is_described { 0 } else { u8::MAX }
}

#[cfg(test)]
mod tests;
