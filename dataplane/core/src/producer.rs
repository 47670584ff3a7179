//! A producer: one media source received on a transport, in one or more streams, and the consumers that send it on.

use corecast_wire::{Codec, CodecMapping, ExtensionMapping, MediaKind, ProduceOptions, ProducerId};

/// A producer.
#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) id: ProducerId,
    pub(crate) transport: usize,
    pub(crate) kind: MediaKind,
    pub(crate) paused: bool,
    /// Keys of its streams, one per encoding.
    pub(crate) streams: Vec<usize>,
    /// Keys of its consumers, and of their transports (so that the fan-out touches a consumer once).
    pub(crate) consumers: Vec<(usize, usize)>,
    codecs: Vec<CodecMapping>,
    /// Position in `codecs` by payload type; [`NO_CODEC`] for none.
    codec_by_payload_type: [u8; 128],
    header_extensions: Vec<ExtensionMapping>,
    pub(crate) nack: bool,
    pub(crate) pli: bool,
    pub(crate) fir: bool,
}

const NO_CODEC: u8 = u8::MAX;

impl Producer {
    pub(crate) fn new(id: ProducerId, transport: usize, options: &ProduceOptions) -> Self {
        let mut codec_by_payload_type = [NO_CODEC; 128];
        for (position, codec) in options.codecs.iter().enumerate() {
            if let Some(entry) = codec_by_payload_type.get_mut(usize::from(codec.payload_type)) {
                *entry = u8::try_from(position).unwrap_or(NO_CODEC);
            }
        }
        Self {
            id,
            transport,
            kind: options.kind,
            paused: options.paused,
            streams: Vec::new(),
            consumers: Vec::new(),
            codecs: options.codecs.clone(),
            codec_by_payload_type,
            header_extensions: options.header_extensions.clone(),
            nack: options.nack,
            pli: options.pli,
            fir: options.fir,
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
        self.header_extensions.iter().find(|extension| extension.id == id).map(|extension| extension.mapped_id)
    }

    /// RTP clock of its media, in Hz.
    pub(crate) fn clock_rate_hz(&self) -> u32 {
        let media = self.codecs.iter().find(|codec| !matches!(codec.codec, Codec::Rtx { .. }));
        media.map_or(90_000, |codec| codec.clock_rate_hz)
    }

    /// Whether key frames of its media can be told apart.
    pub(crate) fn has_key_frames(&self) -> bool {
        self.codecs.iter().any(|codec| !matches!(codec.codec, Codec::Other | Codec::Rtx { .. }))
    }
}
