//! A producer: one media source received on a transport, in one or more streams, and the consumers that send it on.

use corecast_wire::{Codec, CodecMapping, HeaderExtension, MediaKind, ProduceOptions, ProducerId};

use super::layers::Layers;
use crate::key::{ConsumerKey, StreamKey, TransportKey};
use crate::time::Instant;

/// A producer.
#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) id: ProducerId,
    pub(crate) transport: TransportKey,
    pub(crate) kind: MediaKind,
    pub(crate) paused: bool,
    /// Keys of its streams, one per encoding, lowest quality first.
    pub(crate) streams: Vec<StreamKey>,
    /// Keys of its consumers.
    pub(crate) consumers: Vec<ConsumerKey>,
    /// Which of its streams were active at the last tick, and when the next one is.
    pub(crate) layers: Layers,
    pub(crate) layers_due: Option<Instant>,
    /// The next tick has something to do: a stream may list consumers that have left it, or control is to be told.
    pub(crate) layers_dirty: bool,
    codecs: Vec<CodecMapping>,
    /// Position in `codecs` by payload type; [`NO_CODEC`] for none.
    codec_by_payload_type: [u8; 128],
    /// (sender's id, router's id) of the header extensions that are passed on.
    passed_on: Vec<(u8, u8)>,
    pub(crate) ids: Ids,
    /// Media identification (RFC 8843 section 9).
    pub(crate) mid: Option<String>,
    pub(crate) nack: bool,
    pub(crate) pli: bool,
    pub(crate) fir: bool,
    pub(crate) remb: bool,
}

/// The sender's ids of the header extensions that are read here; 0 for those that it does not send.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ids {
    pub(crate) mid: u8,
    pub(crate) rid: u8,
    pub(crate) repaired_rid: u8,
    pub(crate) dependency_descriptor: u8,
    /// 0 also if the sender takes no transport-wide feedback.
    pub(crate) transport_cc: u8,
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
            transport_cc: if options.transport_cc { id(HeaderExtension::TransportCc) } else { 0 },
        }
    }
}

const NO_CODEC: u8 = u8::MAX;

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
            streams: Vec::new(),
            consumers: Vec::new(),
            layers: Layers::default(),
            layers_due: None,
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
        }
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

    /// The router's id of a sender's header extension, if it is passed on.
    pub(crate) fn mapped_extension(&self, id: u8) -> Option<u8> {
        self.passed_on.iter().find(|(sender, _)| *sender == id).map(|(_, router)| *router)
    }

    /// What its sender may send, retransmissions left out.
    pub(crate) fn media_codecs(&self) -> impl Iterator<Item = &CodecMapping> {
        self.codecs.iter().filter(|codec| !matches!(codec.codec, Codec::Rtx { .. }))
    }

    /// RTP clock of its media, in Hz.
    pub(crate) fn clock_rate_hz(&self) -> u32 {
        self.media_codecs().next().map_or(90_000, |codec| codec.clock_rate_hz)
    }

    /// Whether key frames of its media can be told apart.
    pub(crate) fn has_key_frames(&self) -> bool {
        self.media_codecs().any(|codec| codec.codec != Codec::Other)
    }
}
