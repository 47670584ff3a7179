//! A request for a consumer, read where it lies: it is the longest of a viewer's, and little of it is needed before its
//! parameters are asked for again.

use corecast_dataplane::Machine;
use corecast_mediasoup_worker::fbs::message::{self, MessageRef};
use corecast_mediasoup_worker::fbs::request::{BodyRef, RequestRef};
use corecast_mediasoup_worker::fbs::rtp_parameters::{
    RtpCodecParametersRef, RtpEncodingParameters, RtpEncodingParametersRef, RtpParameters, RtpParametersRef, Type,
    ValueRef,
};
use corecast_mediasoup_worker::fbs::transport::{ConsumeRequestRef, ConsumeResponse};
use corecast_wire::{
    BEST_SCORE, Command, ConsumeOptions, ConsumerExtension, ConsumerId, PayloadTypeMapping, ProducerId, RtxOptions,
    Scores, TransportId,
};
use planus::ReadAsRoot;

use super::objects::{Consumer, Named, SentStream};
use super::rates::Rate;
use super::{Answer, Answered, Door, media, other_body, rtp, secrets};
use crate::refusal::{Outcome, Refusal};

/// What a consumer's codecs say.
#[derive(Default)]
struct Codecs {
    /// Those that are no RTX, and those that are media by themselves.
    payload_types: Vec<PayloadTypeMapping>,
    media: Vec<u8>,
    /// The payload type of what it repeats, and its own.
    rtx_types: Vec<(u8, u8)>,
    /// The name of the first that is no RTX.
    mime_type: String,
    nack: bool,
    ccfb: bool,
}

impl Door {
    /// `message` is what `request` lies in.
    pub(super) fn consume(&mut self, machine: &mut dyn Machine, request: RequestRef<'_>, message: &[u8]) -> Answered {
        let asked = consume_request(request)?;
        let (type_, paused) = (asked.type_()?, asked.paused()?);
        let (mut options, codecs, streams) = read(asked.rtp_parameters()?, type_ == Type::Pipe)?;
        let consumable = asked.consumable_rtp_encodings()?;
        let type_ = match consumable.len() {
            _ if type_ == Type::Pipe => Type::Pipe,
            2.. => Type::Simulcast,
            1 if layers(consumable.iter().next())? != (1, 1) => Type::Svc,
            _ => Type::Simple,
        };
        if type_ == Type::Pipe && options.len() != consumable.len() {
            return Err(Refusal::wrong("number of rtpParameters.encodings and consumableRtpEncodings do not match"));
        }
        let of_several = options.len() > 1;
        // A pipe passes on all that there is.
        let is_opus = |mime_type: &str| mime_type.to_ascii_lowercase().ends_with("opus");
        let ignore_dtx = asked.ignore_dtx()? && type_ != Type::Pipe && is_opus(&codecs.mime_type);
        for (options, encoding) in options.iter_mut().zip(0..) {
            (options.paused, options.ignore_dtx) = (paused, ignore_dtx);
            options.encoding = of_several.then_some(encoding);
        }
        let name = asked.consumer_id()?;
        let transport = self.objects.transport_number(request.handler_id()?)?;
        self.objects.check_free("Consumer", name)?;
        let producer = self.objects.producer_number(asked.producer_id()?)?;
        let kind = asked.kind()?;
        let preferred = asked.preferred_layers()?.map(TryInto::try_into).transpose()?;
        let highest = layers(asked.rtp_parameters()?.encodings()?.iter().next())?;
        let parts = self.consume_parts(machine, (transport, producer), options)?;
        let Some(id) = parts.first().copied() else { return Err(Refusal::wrong("empty rtpParameters.encodings")) };
        let consumer = Consumer {
            name: name.to_owned(),
            transport,
            producer,
            kind,
            type_,
            asked: message.into(),
            mime_type: codecs.mime_type,
            streams,
            named_layers: highest,
            is_paused: paused,
            traces: Vec::new(),
            priority: 1,
            preferred: None,
            current: None,
            temporal: None,
            score: BEST_SCORE,
            looks: Scores::default(),
            rates: vec![Rate::new(); parts.len()],
            parts,
        };
        self.objects.add(name, Named::Consumer(id));
        self.objects.transport(transport)?.consumers.insert(id);
        self.objects.producer(producer)?.consumers.insert(id);
        self.objects.add_consumer(id, consumer);
        let preferred = self.prefer(machine, id, preferred.as_ref())?;
        let source = self.objects.producer(producer)?;
        let (producer_paused, scores) = (source.is_paused, source.scores.clone());
        let score = media::score(self.objects.consumer(id)?, scores);
        Ok(Some(Answer::TransportConsumeResponse(Box::new(ConsumeResponse {
            paused,
            producer_paused,
            score: Box::new(score),
            preferred_layers: preferred.map(Box::new),
        }))))
    }

    /// Makes the worker's consumers: one, and for a pipe one for each encoding.
    fn consume_parts(
        &mut self,
        machine: &mut dyn Machine,
        (transport, producer): (TransportId, ProducerId),
        options: Vec<ConsumeOptions>,
    ) -> Outcome<Vec<ConsumerId>> {
        let mut parts = Vec::with_capacity(options.len());
        for options in options {
            let consumer = ConsumerId(self.objects.number());
            if let Err(error) = machine.execute(&Command::Consume { transport, consumer, producer, options }) {
                for consumer in parts {
                    machine.execute(&Command::CloseConsumer { consumer })?;
                }
                return Err(error.into());
            }
            parts.push(consumer);
        }
        Ok(parts)
    }
}

impl Consumer {
    /// The parameters with which it was asked for, where they lie.
    ///
    /// # Errors
    /// They could be read before, so there are none.
    pub(super) fn parameters(&self) -> Outcome<RtpParametersRef<'_>> {
        Ok(self.request()?.rtp_parameters()?)
    }

    /// The same and the encodings that it could be sent, as dumps have them.
    ///
    /// # Errors
    /// What was not needed before cannot be read.
    pub(super) fn dumped(&self) -> Outcome<(RtpParameters, Vec<RtpEncodingParameters>)> {
        let request = self.request()?;
        let (mut parameters, mut consumable) =
            (RtpParameters::try_from(request.rtp_parameters()?)?, request.consumable_rtp_encodings()?.to_vec_result()?);
        rtp::normalise(&mut parameters)?;
        consumable.iter_mut().for_each(rtp::name_mode);
        Ok((parameters, consumable))
    }

    fn request(&self) -> Outcome<ConsumeRequestRef<'_>> {
        match MessageRef::read_as_root(&self.asked)?.data()? {
            message::BodyRef::Request(request) => consume_request(request),
            _ => Err(other_body("TRANSPORT_CONSUME")),
        }
    }
}

fn consume_request(request: RequestRef<'_>) -> Outcome<ConsumeRequestRef<'_>> {
    match request.body()? {
        Some(BodyRef::TransportConsumeRequest(request)) => Ok(request),
        _ => Err(other_body("TRANSPORT_CONSUME")),
    }
}

/// A consumer's parameters, as its client will see them: the worker's options for the first encoding, or for `all`, and
/// the stream of each. What a router calls a payload type and an extension, its receivers call the same, but for
/// extensions of pipes.
fn read(parameters: RtpParametersRef<'_>, all: bool) -> Outcome<(Vec<ConsumeOptions>, Codecs, Vec<SentStream>)> {
    let mut codecs = Codecs::default();
    for codec in parameters.codecs()? {
        codecs.add(codec?)?;
    }
    let first = codecs.media.first().copied().ok_or_else(|| Refusal::wrong("no media codecs found"))?;
    let asked = parameters.header_extensions()?;
    let mut header_extensions = Vec::with_capacity(asked.len());
    for one in asked {
        let one = one?;
        if let Some((extension, router_id)) = rtp::extension(one.uri()?) {
            header_extensions.push(ConsumerExtension { extension, router_id, receiver_id: one.id()? });
        }
    }
    let encodings = parameters.encodings()?;
    if encodings.is_empty() {
        return Err(Refusal::wrong("empty rtpParameters.encodings"));
    }
    let mut streams = Vec::with_capacity(encodings.len());
    for encoding in encodings {
        let encoding = encoding?;
        if !codecs.media.contains(&encoding.codec_payload_type()?.unwrap_or(first)) {
            return Err(Refusal::wrong("unknown codecPayloadType"));
        }
        let ssrc = encoding.ssrc()?.filter(|ssrc| *ssrc != 0);
        let ssrc = ssrc.ok_or_else(|| Refusal::wrong("invalid encoding in rtpParameters (missing ssrc)"))?;
        let rtx_ssrc = encoding.rtx()?.map(|rtx| rtx.ssrc()).transpose()?;
        streams.push(SentStream { ssrc, rtx_ssrc });
    }
    let shared = ConsumeOptions {
        header_extensions,
        mid: parameters.mid()?.filter(|mid| !mid.is_empty()).map(str::to_owned),
        nack: codecs.nack,
        ccfb: codecs.ccfb,
        ..ConsumeOptions::new(0, std::mem::take(&mut codecs.payload_types), cname(parameters)?)
    };
    let mut options: Vec<_> = std::iter::repeat_n(shared, if all { streams.len() } else { 1 }).collect();
    for (options, stream) in options.iter_mut().zip(&streams) {
        (options.ssrc, options.first_sequence) = (stream.ssrc, secrets::first_sequence()?);
        if let Some(ssrc) = stream.rtx_ssrc.filter(|_| !codecs.rtx_types.is_empty()) {
            let (payload_types, first_sequence) = (codecs.rtx_types.clone(), secrets::first_sequence()?);
            options.rtx = Some(RtxOptions { ssrc, payload_types, first_sequence });
        }
    }
    Ok((options, codecs, streams))
}

fn cname(parameters: RtpParametersRef<'_>) -> Outcome<String> {
    Ok(parameters.rtcp()?.cname()?.unwrap_or_default().to_owned())
}

impl Codecs {
    fn add(&mut self, codec: RtpCodecParametersRef<'_>) -> Outcome<()> {
        let (mime_type, payload_type) = (rtp::written(codec.mime_type()?)?, codec.payload_type()?);
        let is_media = rtp::is_media(&mime_type);
        if is_media {
            self.media.push(payload_type);
        }
        if rtp::is_rtx(&mime_type) {
            self.rtx_types.push((apt(codec)?, payload_type));
        } else {
            if self.payload_types.is_empty() {
                self.mime_type = mime_type.into_owned();
            }
            self.payload_types.push(PayloadTypeMapping::same(payload_type));
        }
        for feedback in codec.rtcp_feedback()?.into_iter().flatten() {
            let feedback = feedback?;
            let named = (feedback.type_()?, feedback.parameter()?.unwrap_or_default());
            self.nack |= named == ("nack", "");
            self.ccfb |= named == ("ack", "ccfb");
        }
        Ok(())
    }
}

/// What an RTX codec repeats.
fn apt(codec: RtpCodecParametersRef<'_>) -> Outcome<u8> {
    for parameter in codec.parameters()?.into_iter().flatten() {
        let parameter = parameter?;
        if parameter.name()? == "apt"
            && let ValueRef::Integer32(number) = parameter.value()?
            && let Ok(payload_type) = u8::try_from(number.value()?)
        {
            return Ok(payload_type);
        }
    }
    Err(rtp::no_apt())
}

/// Spatial and temporal layers of an encoding; one of each if there is none.
fn layers(encoding: Option<planus::Result<RtpEncodingParametersRef<'_>>>) -> Outcome<(u8, u8)> {
    let mode = match encoding {
        Some(encoding) => encoding?.scalability_mode()?,
        None => None,
    };
    Ok(rtp::layers_of(mode))
}
