//! A producer: one media source received on a transport, in one or more streams, and the consumers that send it on.

use corecast_wire::{
    Codec, CodecMapping, Discard, HeaderExtension, MediaKind, ProduceOptions, ProducerId, RtpObserverId, TraceEvents,
    VideoLayers,
};

use super::layers::{Layers, Quality, rank};
use super::wanted::Wanted;
use crate::io::Deadline;
use crate::key::{ConsumerKey, StreamKey, TransportKey, take_out};
use crate::limits::{KEY_FRAME_RATION, KEY_FRAMES_AT_ONCE};
use crate::ration::Ration;
use crate::rtp::RtpView;
use crate::time::Instant;

/// A producer.
#[derive(Debug)]
pub(crate) struct Producer {
    id: ProducerId,
    transport: TransportKey,
    kind: MediaKind,
    paused: bool,
    /// It is one of those of which only the loudest are heard, and whether it is not among them.
    is_ranked: bool,
    is_withheld: bool,
    /// Its packets that control is told of.
    traces: TraceEvents,
    /// How its sender holds the camera, if that is told.
    orientation: Option<u8>,
    /// Keys of its streams, one per encoding, in the order in which they were announced.
    streams: Vec<StreamKey>,
    /// The same by quality, lowest first: the place of one is its layer.
    by_quality: Vec<StreamKey>,
    /// Keys of its consumers.
    consumers: Vec<ConsumerKey>,
    /// Observers that listen to it.
    observers: Vec<RtpObserverId>,
    /// Which of its streams were active at the last tick, and when the next one is.
    layers: Layers,
    /// Pictures of all its layers that have come.
    pictures: u64,
    layers_deadline: Deadline,
    /// The next tick has something to do: a stream may list consumers that have left it, or control is to be told.
    layers_dirty: bool,
    codecs: Vec<CodecMapping>,
    /// Position in `codecs` by payload type; [`NO_CODEC`] for none.
    codec_by_payload_type: [u8; 128],
    /// (sender's id, router's id) of the header extensions that are passed on.
    passed_on: Vec<(u8, u8)>,
    ids: Ids,
    /// Media identification (RFC 8843 section 9).
    mid: Option<String>,
    nack: bool,
    pli: bool,
    fir: bool,
    remb: bool,
    demand_bps: Option<u64>,
    wanted: Wanted,
    key_frames: Ration,
    /// Key frames that may be asked for on behalf of receivers that have yet to connect, and may never do so.
    early_key_frames: Ration,
}

/// The sender's ids of the header extensions that are read here; 0 for those that it does not send.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ids {
    pub(crate) mid: u8,
    pub(crate) rid: u8,
    pub(crate) repaired_rid: u8,
    pub(crate) dependency_descriptor: u8,
    pub(crate) audio_level: u8,
    pub(crate) video_orientation: u8,
    /// 0 also if the sender takes no transport-wide feedback.
    pub(crate) transport_cc: u8,
    /// 0 also if there is one encoding.
    pub(crate) video_layers: u8,
}

impl Ids {
    fn of(options: &ProduceOptions) -> Self {
        let id = |wanted| {
            let found = options.header_extensions.iter().find(|one| one.extension == wanted);
            found.map_or(0, |one| one.id)
        };
        Self {
            mid: id(HeaderExtension::Mid),
            rid: id(HeaderExtension::Rid),
            repaired_rid: id(HeaderExtension::RepairedRid),
            dependency_descriptor: id(HeaderExtension::DependencyDescriptor),
            audio_level: id(HeaderExtension::AudioLevel),
            video_orientation: id(HeaderExtension::VideoOrientation),
            transport_cc: if options.transport_cc { id(HeaderExtension::TransportCc) } else { 0 },
            video_layers: if options.encodings.len() > 1 { id(HeaderExtension::VideoLayersAllocation) } else { 0 },
        }
    }
}

const NO_CODEC: u8 = u8::MAX;

fn place_in(streams: &[StreamKey], stream: StreamKey) -> Option<u8> {
    u8::try_from(streams.iter().position(|key| *key == stream)?).ok()
}

impl Producer {
    pub(crate) fn new(id: ProducerId, transport: TransportKey, options: &ProduceOptions) -> Self {
        let mut codec_by_payload_type = [NO_CODEC; 128];
        for (position, codec) in options.codecs.iter().enumerate() {
            if let Some(entry) = codec_by_payload_type.get_mut(usize::from(codec.payload_type)) {
                *entry = u8::try_from(position).unwrap_or(NO_CODEC);
            }
        }
        let passed_on = options.header_extensions.iter().filter(|one| !one.extension.is_hop_local());
        Self {
            id,
            transport,
            kind: options.kind,
            paused: options.paused,
            is_ranked: false,
            is_withheld: false,
            traces: TraceEvents::default(),
            orientation: None,
            streams: Vec::new(),
            by_quality: Vec::new(),
            consumers: Vec::new(),
            observers: Vec::new(),
            layers: Layers::default(),
            pictures: 0,
            layers_deadline: Deadline::default(),
            layers_dirty: false,
            codecs: options.codecs.clone(),
            codec_by_payload_type,
            passed_on: passed_on.map(|one| (one.id, one.mapped_id)).collect(),
            ids: Ids::of(options),
            mid: options.mid.clone(),
            nack: options.nack,
            pli: options.pli,
            fir: options.fir,
            remb: options.remb,
            demand_bps: None,
            wanted: Wanted::default(),
            key_frames: Ration::default(),
            early_key_frames: Ration::default(),
        }
    }

    /// Identifier, as control knows it.
    pub(crate) const fn id(&self) -> ProducerId {
        self.id
    }

    /// Observers that listen to it.
    pub(crate) fn observers(&self) -> &[RtpObserverId] {
        &self.observers
    }

    /// The same, to change which they are.
    pub(crate) const fn observers_mut(&mut self) -> &mut Vec<RtpObserverId> {
        &mut self.observers
    }

    /// The transport on which it is received.
    pub(crate) const fn transport(&self) -> TransportKey {
        self.transport
    }

    pub(crate) const fn kind(&self) -> MediaKind {
        self.kind
    }

    /// Media identification (RFC 8843 section 9).
    pub(crate) fn mid(&self) -> Option<&str> {
        self.mid.as_deref()
    }

    /// The sender's ids of the header extensions that are read here.
    pub(crate) const fn ids(&self) -> Ids {
        self.ids
    }

    /// Its sender takes NACKs.
    pub(crate) const fn takes_nacks(&self) -> bool {
        self.nack
    }

    /// Key frames that those of its receivers may still cause that ask often.
    pub(crate) const fn key_frames_mut(&mut self) -> &mut Ration {
        &mut self.key_frames
    }

    /// Whether a key frame may be asked for on behalf of a receiver that has yet to connect. Counts it if so.
    pub(crate) fn may_ask_early(&mut self, now: Instant) -> bool {
        let may = self.early_key_frames.is_left(now, KEY_FRAME_RATION, KEY_FRAMES_AT_ONCE);
        if may {
            self.early_key_frames.take(now, KEY_FRAME_RATION);
        }
        may
    }

    /// How its sender takes requests for key frames: `Some(true)` for full intra requests (RFC 5104), `Some(false)` for
    /// picture loss indications (RFC 4585), `None` if not at all.
    pub(crate) const fn takes_fir(&self) -> Option<bool> {
        match (self.pli, self.fir) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            (false, false) => None,
        }
    }

    /// Its sender takes REMB.
    pub(crate) const fn takes_remb(&self) -> bool {
        self.remb
    }

    pub(crate) const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Pauses or resumes. False if nothing changes.
    pub(crate) const fn set_paused(&mut self, paused: bool) -> bool {
        let changes = self.paused != paused;
        self.paused = paused;
        changes
    }

    /// Why nobody is sent its packets, if nobody is.
    pub(crate) const fn withheld(&self) -> Option<Discard> {
        match (self.paused, self.is_withheld) {
            (true, _) => Some(Discard::ProducerPaused),
            (false, true) => Some(Discard::NotAmongLoudest),
            (false, false) => None,
        }
    }

    /// Whether others are louder, and only so many are to be heard.
    pub(crate) const fn is_withheld(&self) -> bool {
        self.is_withheld
    }

    /// Withholds it from all, or no longer. False if nothing changes.
    pub(crate) const fn set_withheld(&mut self, is_withheld: bool) -> bool {
        let changes = self.is_withheld != is_withheld;
        self.is_withheld = is_withheld;
        changes
    }

    /// Whether it is one of those of which only the loudest are heard.
    pub(crate) const fn is_ranked(&self) -> bool {
        self.is_ranked
    }

    pub(crate) const fn set_ranked(&mut self, is_ranked: bool) {
        self.is_ranked = is_ranked;
    }

    /// The kinds of its packets that control is told of.
    pub(crate) const fn traces(&self) -> TraceEvents {
        self.traces
    }

    /// Changes them.
    pub(crate) const fn set_traces(&mut self, traces: TraceEvents) {
        self.traces = traces;
    }

    /// Its sender holds the camera like this. False if it did before.
    pub(crate) fn update_orientation(&mut self, orientation: u8) -> bool {
        self.orientation.replace(orientation) != Some(orientation)
    }

    /// What it sent when that was found to be more than any of its viewers could take, in bits per second: its sender
    /// is asked for less until so much fits again.
    pub(crate) const fn demand_bps(&self) -> Option<u64> {
        self.demand_bps
    }

    pub(crate) const fn set_demand_bps(&mut self, demand_bps: Option<u64>) {
        self.demand_bps = demand_bps;
    }

    /// Which of its encodings somebody takes.
    pub(crate) const fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    pub(crate) const fn wanted_mut(&mut self) -> &mut Wanted {
        &mut self.wanted
    }

    /// Its streams, one per encoding, in the order in which they were announced.
    pub(crate) fn streams(&self) -> &[StreamKey] {
        &self.streams
    }

    /// Adds a stream that is thought to be better than those before it, until more is seen of them.
    pub(crate) fn add_stream(&mut self, key: StreamKey) {
        self.streams.push(key);
        self.by_quality.push(key);
    }

    /// Its streams by quality, lowest first.
    pub(crate) fn by_quality(&self) -> &[StreamKey] {
        &self.by_quality
    }

    /// Ranks its streams by what is known of each. True if a layer is another stream now.
    pub(crate) fn rank(&mut self, quality: impl Fn(StreamKey) -> Quality) -> bool {
        let mut ranked: Vec<_> = self.by_quality.iter().map(|key| (*key, quality(*key))).collect();
        rank(&mut ranked);
        let mut changed = false;
        for (place, (key, _)) in self.by_quality.iter_mut().zip(ranked) {
            changed |= *place != key;
            *place = key;
        }
        changed
    }

    /// Its stream of the highest quality, and which layer that is; of an only encoding, the best layer within it.
    pub(crate) fn best(&self) -> Option<(StreamKey, u8)> {
        let is_alone = self.by_quality.len() == 1;
        self.highest().map(|(stream, layer)| (stream, if is_alone { u8::MAX } else { layer }))
    }

    /// Whether it has one encoding, of a codec that can have spatial layers within it.
    pub(crate) fn may_have_spatial_layers(&self) -> bool {
        let is_scalable = |codec| matches!(codec, Codec::Vp9 | Codec::Av1);
        self.streams.len() == 1 && self.media_codecs().any(|mapping| is_scalable(mapping.codec))
    }

    /// Its stream of the highest quality, and which layer that is.
    pub(crate) fn highest(&self) -> Option<(StreamKey, u8)> {
        let layer = u8::try_from(self.by_quality.len().saturating_sub(1)).unwrap_or(u8::MAX);
        self.by_quality.last().map(|stream| (*stream, layer))
    }

    /// The stream of an encoding, and its layer.
    pub(crate) fn encoding(&self, encoding: u8) -> Option<(StreamKey, u8)> {
        let stream = *self.streams.get(usize::from(encoding))?;
        Some((stream, self.layer_of(stream)?))
    }

    /// The layer of a stream: its rank by quality.
    pub(crate) fn layer_of(&self, stream: StreamKey) -> Option<u8> {
        place_in(&self.by_quality, stream)
    }

    /// The encoding that a stream is: its place among those that were announced.
    pub(crate) fn encoding_of(&self, stream: StreamKey) -> Option<u8> {
        place_in(&self.streams, stream)
    }

    /// The stream of a layer.
    pub(crate) fn stream_of(&self, layer: u8) -> Option<StreamKey> {
        self.by_quality.get(usize::from(layer)).copied()
    }

    /// Its consumers.
    pub(crate) fn consumers(&self) -> &[ConsumerKey] {
        &self.consumers
    }

    pub(crate) fn add_consumer(&mut self, key: ConsumerKey) {
        self.consumers.push(key);
    }

    /// Forgets a consumer.
    pub(crate) fn remove_consumer(&mut self, key: ConsumerKey) {
        take_out(&mut self.consumers, |consumer| *consumer == key);
    }

    /// Takes all consumers out, to close them.
    pub(crate) fn take_consumers(&mut self) -> Vec<ConsumerKey> {
        std::mem::take(&mut self.consumers)
    }

    /// Pictures of all its layers that have come, if it has several.
    pub(crate) const fn pictures(&self) -> u64 {
        self.pictures
    }

    pub(crate) const fn pictures_mut(&mut self) -> &mut u64 {
        &mut self.pictures
    }

    /// When its layers are looked at next.
    pub(crate) const fn layers_deadline(&mut self) -> &mut Deadline {
        &mut self.layers_deadline
    }

    /// The next look at its layers has something to do: a stream may list consumers that have left it, or control is to
    /// be told.
    pub(crate) const fn set_layers_dirty(&mut self) {
        self.layers_dirty = true;
    }

    /// These are its layers now. True if they have changed, or if the look has something to do for another reason.
    pub(crate) fn update_layers(&mut self, layers: Layers) -> bool {
        let changed = std::mem::replace(&mut self.layers, layers) != layers;
        std::mem::take(&mut self.layers_dirty) || changed
    }

    /// The highest layer that was active at the last look.
    pub(crate) fn highest_active(&self) -> Option<u8> {
        self.layers.highest_active()
    }

    /// What the sender means by a payload type.
    pub(crate) fn codec(&self, payload_type: u8) -> Option<&CodecMapping> {
        let position = *self.codec_by_payload_type.get(usize::from(payload_type))?;
        self.codecs.get(usize::from(position))
    }

    /// The codec of the media that an RTX payload type retransmits.
    pub(crate) fn retransmitted_codec(&self, codec: &CodecMapping) -> Option<&CodecMapping> {
        match codec.codec {
            Codec::Rtx { apt } => self.codec(apt).filter(|media| !matches!(media.codec, Codec::Rtx { .. })),
            _ => None,
        }
    }

    /// What a packet says of what is to be sent of each of its encodings.
    pub(crate) fn hint(&self, packet: &RtpView<'_>) -> Option<VideoLayers> {
        VideoLayers::parse(packet.extension(self.ids.video_layers)?)
    }

    /// The router's id of a sender's header extension, if it is passed on.
    pub(crate) fn mapped_extension(&self, id: u8) -> Option<u8> {
        self.passed_on.iter().find(|(sender, _)| *sender == id).map(|(_, router)| *router)
    }

    /// What its sender may send, retransmissions left out.
    pub(crate) fn media_codecs(&self) -> impl Iterator<Item = &CodecMapping> {
        self.codecs.iter().filter(|codec| !matches!(codec.codec, Codec::Rtx { .. }))
    }

    /// The codec of what is in its redundant audio data (RFC 2198).
    pub(crate) fn carried_codec(&self) -> Option<&CodecMapping> {
        self.media_codecs().find(|codec| codec.codec != Codec::Red)
    }

    /// RTP clock of its media, in Hz.
    pub(crate) fn clock_rate_hz(&self) -> u32 {
        self.media_codecs().next().map_or(90_000, |codec| codec.clock_rate_hz)
    }

    /// Whether key frames of its media can be told apart.
    pub(crate) fn has_key_frames(&self) -> bool {
        self.media_codecs().any(|codec| !matches!(codec.codec, Codec::Other | Codec::Red))
    }
}
