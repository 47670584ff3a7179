//! Requests about producers and consumers.

use std::collections::BTreeSet;

use corecast_dataplane::Machine;
use corecast_mediasoup_worker::fbs::consumer::{
    BaseConsumerDump, ConsumerDump, ConsumerLayers, ConsumerScore, DumpResponse as ConsumerDumpResponse,
    SetPreferredLayersResponse, SetPriorityResponse,
};
use corecast_mediasoup_worker::fbs::producer::DumpResponse;
use corecast_mediasoup_worker::fbs::rtp_parameters::{RtpMapping, Type};
use corecast_mediasoup_worker::fbs::transport::ProduceResponse;
use corecast_wire::{BEST_SCORE, Command, ConsumerId, ProducerId, Scores, SpatialLayer};

use super::objects::{Consumer, Feedback, Named, Producer};
use super::rates::Rate;
use super::{Answer, Answered, Asked, Door, Tells, other_body, rtp};
use crate::refusal::{Outcome, Refusal};

impl Door {
    pub(super) fn produce(&mut self, machine: &mut dyn Machine, transport: &str, body: Option<Asked>) -> Answered {
        let Some(Asked::TransportProduceRequest(mut request)) = body else {
            return Err(other_body("TRANSPORT_PRODUCE"));
        };
        rtp::normalise(&mut request.rtp_parameters)?;
        let transport = self.objects.transport_number(transport)?;
        self.objects.check_free("Producer", &request.producer_id)?;
        let type_ = rtp::type_of(&request.rtp_parameters)?;
        check_mapping(request.rtp_parameters.mid.as_deref(), &request.rtp_mapping)?;
        if let Some(mid) = request.rtp_parameters.mid.as_deref().filter(|mid| !mid.is_empty()) {
            let others = self.objects.transport(transport)?.producers.clone();
            let mut others = others.iter().filter_map(|id| self.objects.producers.get(id));
            if others.any(|other| other.rtp_parameters.mid.as_deref() == Some(mid)) {
                return Err(Refusal::Error(format!("MID is another producer's on this transport: {mid}")));
            }
        }
        let mut options = rtp::produce(request.kind, &request.rtp_parameters, &request.rtp_mapping, request.paused)?;
        options.key_frame_request_delay_ms = u16::try_from(request.key_frame_request_delay).unwrap_or(u16::MAX);
        let feedback = match (options.transport_cc, options.remb) {
            (true, _) => Some(Feedback::Packets),
            (false, true) => Some(Feedback::Bitrate),
            (false, false) => None,
        };
        if request.enable_mediasoup_packet_id_header_extension && !std::mem::replace(&mut self.said_packet_ids, true) {
            tracing::warn!("enableMediasoupPacketIdHeaderExtension has no meaning here and is ignored");
        }
        let id = ProducerId(self.objects.number());
        machine.execute(&Command::Produce { transport, producer: id, options })?;
        self.objects.add(&request.producer_id, Named::Producer(id));
        let of = self.objects.transport(transport)?;
        of.producers.insert(id);
        of.feedback = of.feedback.or(feedback);
        let encodings = request.rtp_parameters.encodings.len();
        let told = request.rtp_parameters.encodings.iter().map(|encoding| super::stats::told_layers(encoding).count());
        let layer_rates = told.map(|layers| vec![Rate::new(); layers]).collect();
        let producer = Producer {
            name: request.producer_id,
            transport,
            kind: request.kind,
            type_,
            rtp_parameters: *request.rtp_parameters,
            rtp_mapping: *request.rtp_mapping,
            is_paused: request.paused,
            traces: Vec::new(),
            consumers: BTreeSet::new(),
            scores: vec![0; encodings],
            looks: vec![Scores::default(); encodings],
            rates: vec![Rate::new(); encodings],
            layer_rates,
        };
        self.objects.producers.insert(id, producer);
        self.trace_producer(machine, id, Vec::new())?;
        Ok(Some(Answer::TransportProduceResponse(Box::new(ProduceResponse { type_ }))))
    }

    /// The worker's consumers of one of the library's.
    fn parts_of(&mut self, name: &str) -> Outcome<(ConsumerId, Vec<ConsumerId>)> {
        let id = self.objects.consumer_number(name)?;
        Ok((id, self.objects.consumer(id)?.parts.clone()))
    }

    /// Sets what a consumer prefers, the best if nothing is named; what is too high becomes the highest that there is.
    pub(super) fn prefer(
        &mut self,
        machine: &mut dyn Machine,
        id: ConsumerId,
        wanted: Option<&ConsumerLayers>,
    ) -> Outcome<Option<ConsumerLayers>> {
        let consumer = self.objects.consumer(id)?;
        if matches!(consumer.type_, Type::Simple | Type::Pipe) {
            return Ok(None);
        }
        let (spatial_layers, temporal_layers) = consumer.named_layers;
        let (top_spatial, top_temporal) = (spatial_layers - 1, temporal_layers - 1);
        let spatial_layer = wanted.map_or(top_spatial, |layers| layers.spatial_layer.min(top_spatial));
        let temporal_layer = wanted.and_then(|layers| layers.temporal_layer);
        let temporal_layer = temporal_layer.map_or(top_temporal, |layer| layer.min(top_temporal));
        let spatial = match consumer.type_ {
            Type::Simulcast => SpatialLayer::Encoding(spatial_layer),
            _ => SpatialLayer::Quality(spatial_layer),
        };
        let temporal = (temporal_layer < top_temporal).then_some(temporal_layer);
        let preferred = ConsumerLayers { spatial_layer, temporal_layer: Some(temporal_layer) };
        machine.execute(&Command::SetPreferredLayers { consumer: id, spatial, temporal })?;
        self.objects.consumer(id)?.preferred = Some(preferred.clone());
        Ok(Some(preferred))
    }

    pub(super) fn close_producer(&mut self, machine: &mut dyn Machine, body: Option<Asked>) -> Answered {
        let Some(Asked::TransportCloseProducerRequest(request)) = body else {
            return Err(other_body("TRANSPORT_CLOSE_PRODUCER"));
        };
        let id = self.objects.producer_number(&request.producer_id)?;
        machine.execute(&Command::CloseProducer { producer: id })?;
        self.forget_producer(id);
        Ok(None)
    }

    pub(super) fn close_consumer(&mut self, machine: &mut dyn Machine, body: Option<Asked>) -> Answered {
        let Some(Asked::TransportCloseConsumerRequest(request)) = body else {
            return Err(other_body("TRANSPORT_CLOSE_CONSUMER"));
        };
        let (id, parts) = self.parts_of(&request.consumer_id)?;
        for consumer in parts {
            machine.execute(&Command::CloseConsumer { consumer })?;
        }
        self.forget_consumer(id);
        Ok(None)
    }

    pub(super) fn pause_producer(&mut self, machine: &mut dyn Machine, name: &str, paused: bool) -> Answered {
        let id = self.objects.producer_number(name)?;
        machine.execute(&Command::PauseProducer { producer: id, paused })?;
        let producer = self.objects.producer(id)?;
        if std::mem::replace(&mut producer.is_paused, paused) == paused {
            return Ok(None);
        }
        let event = if paused { Tells::ConsumerProducerPause } else { Tells::ConsumerProducerResume };
        for consumer in producer.consumers.clone() {
            let name = self.objects.consumer(consumer)?.name.clone();
            self.notify(&name, event, None);
        }
        Ok(None)
    }

    pub(super) fn pause_consumer(&mut self, machine: &mut dyn Machine, name: &str, paused: bool) -> Answered {
        let (id, parts) = self.parts_of(name)?;
        for consumer in parts {
            machine.execute(&Command::PauseConsumer { consumer, paused })?;
        }
        self.objects.consumer(id)?.is_paused = paused;
        Ok(None)
    }

    pub(super) fn request_key_frame(&mut self, machine: &mut dyn Machine, name: &str) -> Answered {
        for consumer in self.parts_of(name)?.1 {
            machine.execute(&Command::RequestKeyFrame { consumer })?;
        }
        Ok(None)
    }

    pub(super) fn set_preferred_layers(
        &mut self,
        machine: &mut dyn Machine,
        name: &str,
        body: Option<Asked>,
    ) -> Answered {
        let Some(Asked::ConsumerSetPreferredLayersRequest(request)) = body else {
            return Err(other_body("CONSUMER_SET_PREFERRED_LAYERS"));
        };
        let id = self.objects.consumer_number(name)?;
        let preferred_layers = self.prefer(machine, id, Some(&request.preferred_layers))?.map(Box::new);
        let response = SetPreferredLayersResponse { preferred_layers };
        Ok(Some(Answer::ConsumerSetPreferredLayersResponse(Box::new(response))))
    }

    pub(super) fn set_priority(&mut self, machine: &mut dyn Machine, name: &str, body: Option<Asked>) -> Answered {
        let Some(Asked::ConsumerSetPriorityRequest(request)) = body else {
            return Err(other_body("CONSUMER_SET_PRIORITY"));
        };
        let (id, parts) = self.parts_of(name)?;
        let priority = request.priority;
        if priority < 1 {
            return Err(Refusal::wrong("wrong priority (must be higher than 0)"));
        }
        for consumer in parts {
            machine.execute(&Command::SetPriority { consumer, priority })?;
        }
        self.objects.consumer(id)?.priority = request.priority;
        let response = SetPriorityResponse { priority: request.priority };
        Ok(Some(Answer::ConsumerSetPriorityResponse(Box::new(response))))
    }

    pub(super) fn dump_producer(&mut self, machine: &mut dyn Machine, name: &str) -> Answered {
        let id = self.objects.producer_number(name)?;
        let rtp_streams = self.producer_streams(machine, id)?;
        let mut producer = self.objects.producer(id)?.clone();
        for encoding in &mut producer.rtp_mapping.encodings {
            // As mediasoup tells it.
            encoding.rid.get_or_insert_default();
        }
        Ok(Some(Answer::ProducerDumpResponse(Box::new(DumpResponse {
            id: producer.name,
            kind: producer.kind,
            type_: producer.type_,
            rtp_parameters: Box::new(producer.rtp_parameters),
            rtp_mapping: Box::new(producer.rtp_mapping),
            rtp_streams,
            trace_event_types: producer.traces,
            paused: producer.is_paused,
        }))))
    }

    pub(super) fn dump_consumer(&mut self, name: &str) -> Answered {
        let id = self.objects.consumer_number(name)?;
        let consumer = self.objects.consumer(id)?.clone();
        let producer = self.objects.producer(consumer.producer)?;
        let (producer_id, producer_paused) = (producer.name.clone(), producer.is_paused);
        let (rtp_parameters, consumable_rtp_encodings) = consumer.dumped()?;
        let media = rtp_parameters.codecs.iter().filter(|codec| rtp::is_media(&codec.mime_type));
        let payload_types: BTreeSet<u8> = media.map(|codec| codec.payload_type).collect();
        let preferred = consumer.preferred.as_ref();
        let layer = |layer: Option<u8>| Some(layer.map_or(-1, i16::from));
        let has_layers = matches!(consumer.type_, Type::Simulcast | Type::Svc);
        let (spatial, temporal) = consumer.layers().filter(|_| has_layers).unzip();
        let data = ConsumerDump {
            preferred_spatial_layer: layer(preferred.map(|layers| layers.spatial_layer)),
            target_spatial_layer: layer(spatial),
            current_spatial_layer: layer(spatial),
            preferred_temporal_layer: layer(preferred.and_then(|layers| layers.temporal_layer)),
            target_temporal_layer: layer(temporal),
            current_temporal_layer: layer(temporal),
            rtp_streams: super::stats::sent_streams(&rtp_parameters, consumer.score),
            base: Box::new(BaseConsumerDump {
                id: consumer.name,
                type_: consumer.type_,
                producer_id,
                kind: consumer.kind,
                rtp_parameters: Box::new(rtp_parameters),
                consumable_rtp_encodings,
                supported_codec_payload_types: payload_types.into_iter().collect(),
                trace_event_types: consumer.traces,
                paused: consumer.is_paused,
                producer_paused,
                priority: consumer.priority,
            }),
        };
        Ok(Some(Answer::ConsumerDumpResponse(Box::new(ConsumerDumpResponse { data: Box::new(data) }))))
    }
}

/// mediasoup's rules about what tells a producer's packets.
fn check_mapping(mid: Option<&str>, mapping: &RtpMapping) -> Outcome<()> {
    let is_named = |encoding: &corecast_mediasoup_worker::fbs::rtp_parameters::EncodingMapping| {
        encoding.ssrc.is_some() || encoding.rid.as_deref().is_some_and(|rid| !rid.is_empty())
    };
    let needs_names = mapping.encodings.len() > 1 || mid.is_none_or(str::is_empty);
    if needs_names && !mapping.encodings.iter().all(is_named) {
        return Err(Refusal::wrong("wrong entry in rtpMapping.encodings (missing ssrc or rid, or rtpParameters.mid)"));
    }
    if mapping.encodings.iter().any(|encoding| encoding.mapped_ssrc == 0) {
        return Err(Refusal::wrong("wrong entry in rtpMapping.encodings (missing mappedSsrc)"));
    }
    Ok(())
}

/// A consumer's score beside those of its producer: of the encoding that is sent, and of all. A pipe's is always the
/// best, as mediasoup's.
pub(super) fn score(consumer: &Consumer, producer_scores: Vec<u8>) -> ConsumerScore {
    let sent = match (consumer.type_, consumer.current) {
        (Type::Simulcast, current) => current.map(|current| usize::from(current.encoding)),
        _ => Some(0),
    };
    let producer_score = match consumer.type_ {
        Type::Pipe => BEST_SCORE,
        _ => sent.and_then(|sent| producer_scores.get(sent)).copied().unwrap_or(0),
    };
    ConsumerScore { score: consumer.score, producer_score, producer_scores }
}
