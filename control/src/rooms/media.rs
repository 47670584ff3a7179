//! Producers and consumers of a room.

use corecast_wire::{Command, ConsumerId, Object, ObjectStats, ProduceOptions, ProducerId};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::room::{Consumer, Producer, gone_is_closed};
use super::transports::draw_ssrc;
use super::{ApiError, Room, next_id};
use crate::ortc::{Carrier, ConsumeRequest, Kind, RtpCapabilities, RtpParameters, consume, produce};

/// First sequence numbers stay below, so that receivers guess the SRTP rollover counter right (RFC 3711 3.3.1).
const FIRST_SEQUENCE_LIMIT: u16 = 1 << 15;
const MID_LIMIT: u32 = 100_000_000;
const CNAME_CHARS: usize = 8;

/// `POST …/producers`, both forms.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProduceBody {
    pub(crate) transport_id: Option<String>,
    kind: Kind,
    rtp_parameters: RtpParameters,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    app_data: Option<Value>,
}

/// `POST …/consumers` and `…/consume`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConsumeBody {
    pub(crate) transport_id: Option<String>,
    pub(crate) producer_id: Option<String>,
    #[serde(default)]
    paused: bool,
    enable_rtx: Option<bool>,
    rtp_capabilities: Option<RtpCapabilities>,
}

/// `POST …/setPreferredLayers`, mediasoup's fields; temporal layers are not chosen.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PreferredLayersBody {
    spatial_layer: u8,
}

/// What is consumed where.
#[derive(Clone, Debug)]
pub(crate) struct ConsumeTarget {
    pub(crate) transport: String,
    pub(crate) producer: String,
}

pub(super) fn random_cname() -> String {
    let random = Uuid::new_v4().simple().to_string();
    random.chars().take(CNAME_CHARS).collect()
}

pub(super) fn first_sequence() -> u16 {
    rand::random::<u16>() % FIRST_SEQUENCE_LIMIT
}

/// What clients call the encodings of a producer.
pub(super) fn encoding_names(options: &ProduceOptions) -> Vec<String> {
    let names = options.encodings.iter().enumerate();
    names.map(|(index, encoding)| encoding.rid.clone().unwrap_or_else(|| index.to_string())).collect()
}

impl Room {
    /// A new producer: its name.
    pub(crate) async fn produce(
        &self,
        broadcaster: &str,
        transport: &str,
        body: ProduceBody,
    ) -> Result<String, ApiError> {
        let mut state = self.state_of(broadcaster).await?;
        state.must_have_joined(broadcaster)?;
        let of = state.transport_of(broadcaster, transport)?;
        let mut parameters = body.rtp_parameters;
        // The first producer fixes the name; all of a transport have the same.
        if let Some(cname) = &of.cname {
            parameters.rtcp.cname = Some(cname.clone());
        }
        let mapped_ssrc = draw_ssrc(&of.ssrcs);
        let produced = produce(body.kind, parameters, Carrier::Plain, body.paused, &random_cname(), mapped_ssrc)?;
        let id = ProducerId(next_id());
        let options = produced.options;
        let encodings = encoding_names(&options);
        self.worker.link.apply(Command::Produce { transport: of.id, producer: id, options }).await?;
        of.cname.clone_from(&produced.rtp_parameters.rtcp.cname);
        let name = Uuid::new_v4().to_string();
        let producer = Producer {
            id,
            transport: transport.to_owned(),
            owner: broadcaster.to_owned(),
            kind: body.kind,
            kind_of_streams: produced.kind_of_streams,
            encodings,
            sample: None,
            consumable: produced.consumable,
            source: body.app_data.as_ref().and_then(|data| data.get("source")).cloned(),
            paused: body.paused,
        };
        state.producers.insert(name.clone(), producer);
        state.tell_of("changed", broadcaster);
        Ok(name)
    }

    /// A new consumer: its name and what both forms answer.
    pub(crate) async fn consume(
        &self,
        broadcaster: &str,
        target: &ConsumeTarget,
        body: ConsumeBody,
    ) -> Result<(String, Value), ApiError> {
        let mut guard = self.state_of(broadcaster).await?;
        let state = &mut *guard;
        state.must_have_joined(broadcaster)?;
        state.transport_of(broadcaster, &target.transport)?;
        let own = state.broadcasters.get(broadcaster).and_then(|of| of.rtp_capabilities.as_ref());
        let capabilities =
            body.rtp_capabilities.as_ref().or(own).ok_or_else(|| {
                ApiError::field("rtpCapabilities", "are missing, here and in the broadcaster's creation")
            })?;
        let found = state.producers.get(&target.producer);
        let producer = found.ok_or_else(|| ApiError::not_found("producer", &target.producer))?;
        let missing = || ApiError::not_found("transport", &target.transport);
        let transport = state.transports.get_mut(&target.transport).ok_or_else(missing)?;
        let ssrc = draw_ssrc(&transport.ssrcs);
        let request = ConsumeRequest {
            enable_rtx: body.enable_rtx,
            paused: body.paused,
            ssrc,
            rtx_ssrc: ssrc + 1,
            first_sequence: first_sequence(),
            rtx_first_sequence: first_sequence(),
            mid: transport.next_mid,
        };
        let consumed = consume(producer.kind, &producer.consumable, capabilities, &request)?;
        let id = ConsumerId(next_id());
        let options = consumed.options;
        let (of, from) = (transport.id, producer.id);
        let command = Command::Consume { transport: of, consumer: id, producer: from, options };
        self.worker.link.apply(command).await?;
        transport.next_mid = (transport.next_mid + 1) % MID_LIMIT;
        transport.ssrcs.extend([ssrc, ssrc + 1]);
        let name = Uuid::new_v4().to_string();
        let answer = json!({
            "id": name,
            "consumerId": name,
            "producerId": target.producer,
            "kind": producer.kind,
            "rtpParameters": consumed.rtp_parameters,
            "type": producer.kind_of_streams,
            "paused": body.paused,
            "producerPaused": producer.paused,
        });
        let consumer = Consumer {
            id,
            transport: target.transport.clone(),
            broadcaster: Some(broadcaster.to_owned()),
            producer: target.producer.clone(),
            paused: body.paused,
            section: None,
            layer: (producer.encodings.len() > 1).then(|| self.worker.watch_layer(id)),
        };
        state.consumers.insert(name.clone(), consumer);
        Ok((name, answer))
    }

    pub(crate) async fn pause_producer(&self, broadcaster: &str, name: &str, paused: bool) -> Result<(), ApiError> {
        let mut state = self.state_of(broadcaster).await?;
        let producer = state.producer_of(broadcaster, name)?;
        self.worker.link.apply(Command::PauseProducer { producer: producer.id, paused }).await?;
        producer.paused = paused;
        Ok(())
    }

    pub(crate) async fn close_producer(&self, broadcaster: &str, name: &str) -> Result<(), ApiError> {
        let mut state = self.state_of(broadcaster).await?;
        let producer = state.producer_of(broadcaster, name)?.id;
        gone_is_closed(self.worker.link.apply(Command::CloseProducer { producer }).await)?;
        state.forget_producer(name);
        state.tell_of("changed", broadcaster);
        self.end_stranded(&mut state).await
    }

    pub(crate) async fn pause_consumer(&self, broadcaster: &str, name: &str, paused: bool) -> Result<(), ApiError> {
        let mut state = self.state_of(broadcaster).await?;
        let consumer = state.consumer_of(broadcaster, name)?;
        self.worker.link.apply(Command::PauseConsumer { consumer: consumer.id, paused }).await?;
        consumer.paused = paused;
        Ok(())
    }

    pub(crate) async fn close_consumer(&self, broadcaster: &str, name: &str) -> Result<(), ApiError> {
        let mut state = self.state_of(broadcaster).await?;
        let consumer = state.consumer_of(broadcaster, name)?.id;
        gone_is_closed(self.worker.link.apply(Command::CloseConsumer { consumer }).await)?;
        state.consumers.remove(name);
        Ok(())
    }

    pub(crate) async fn request_key_frame(&self, broadcaster: &str, consumer: &str) -> Result<(), ApiError> {
        let mut state = self.state_of(broadcaster).await?;
        let consumer = state.consumer_of(broadcaster, consumer)?.id;
        Ok(self.worker.link.apply(Command::RequestKeyFrame { consumer }).await?)
    }

    /// Layers above the highest are the highest (mediasoup). Of one encoding there is nothing to choose.
    pub(crate) async fn set_preferred_layers(
        &self,
        broadcaster: &str,
        consumer: &str,
        body: PreferredLayersBody,
    ) -> Result<(), ApiError> {
        let mut state = self.state_of(broadcaster).await?;
        let consumer = state.consumer_of(broadcaster, consumer)?;
        let (id, name) = (consumer.id, consumer.producer.clone());
        let highest = state.producers.get(&name).map_or(0, |producer| producer.encodings.len().saturating_sub(1));
        let spatial = body.spatial_layer.min(u8::try_from(highest).unwrap_or(0));
        Ok(self.worker.link.apply(Command::SetPreferredLayers { consumer: id, spatial }).await?)
    }

    pub(crate) async fn transport_stats(&self, broadcaster: &str, name: &str) -> Result<ObjectStats, ApiError> {
        let id = self.state_of(broadcaster).await?.transport_of(broadcaster, name)?.id;
        self.stats_of(Object::Transport(id), "transport", name).await
    }

    pub(crate) async fn producer_stats(&self, broadcaster: &str, name: &str) -> Result<ObjectStats, ApiError> {
        let id = self.state_of(broadcaster).await?.producer_of(broadcaster, name)?.id;
        self.stats_of(Object::Producer(id), "producer", name).await
    }

    pub(crate) async fn consumer_stats(&self, broadcaster: &str, name: &str) -> Result<ObjectStats, ApiError> {
        let id = self.state_of(broadcaster).await?.consumer_of(broadcaster, name)?.id;
        self.stats_of(Object::Consumer(id), "consumer", name).await
    }

    async fn stats_of(&self, object: Object, kind: &str, name: &str) -> Result<ObjectStats, ApiError> {
        self.worker.stats_of(object).await?.ok_or_else(|| ApiError::not_found(kind, name))
    }
}
