//! A peer produces and consumes on its transports.

use corecast_wire::{Command, ConsumerId, Object, ObjectStats};
use serde_json::Value;

use super::draw::{draw_cname, draw_first_sequence, draw_ssrc, next_id, object_name};
use super::error::Error;
use super::media::{Consumer, Producer};
use super::peer::PeerHandle;
use super::room::Room;
use crate::ortc::{self, ConsumeRequest, Kind, RtpCapabilities, RtpParameters};

const MID_LIMIT: u32 = 100_000_000;

/// A producer that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewProducer {
    pub(crate) kind: Kind,
    pub(crate) rtp_parameters: RtpParameters,
    pub(crate) paused: bool,
    /// What others are told of it.
    pub(crate) app_data: Option<Value>,
}

/// A consumer that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewConsumer {
    pub(crate) producer: String,
    /// What the receiver can do; by default what its peer can do.
    pub(crate) rtp_capabilities: Option<RtpCapabilities>,
    /// RTX if the receiver has it; by default for video only.
    pub(crate) enable_rtx: Option<bool>,
    pub(crate) paused: bool,
}

/// A consumer that has been made.
#[derive(Clone, Debug)]
pub(crate) struct CreatedConsumer {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) rtp_parameters: RtpParameters,
    /// "simple", "simulcast" or "svc".
    pub(crate) streams: &'static str,
    pub(crate) producer_paused: bool,
}

impl Room {
    /// A new producer: its name.
    pub(crate) async fn produce(&self, peer: &PeerHandle, transport: &str, new: NewProducer) -> Result<String, Error> {
        let mut state = self.state().await;
        state.joined_peer(peer)?;
        let on = state.transport_of(peer, transport)?;
        let mut parameters = new.rtp_parameters;
        // The first producer fixes the name; all of a transport have the same.
        if let Some(cname) = &on.cname {
            parameters.rtcp.cname = Some(cname.clone());
        }
        let mapped_ssrc = draw_ssrc(&on.ssrcs);
        let produced = ortc::produce(new.kind, parameters, on.carrier(), new.paused, &draw_cname(), mapped_ssrc)?;
        let cname = produced.rtp_parameters.rtcp.cname.clone();
        let (mut producer, options) = Producer::new(&peer.shared_name(), transport, new.kind, produced);
        self.worker().apply(Command::Produce { transport: on.id, producer: producer.id, options }).await?;
        on.cname = cname;
        producer.app_data = new.app_data;
        let name = object_name();
        state.producers.insert(name.clone(), producer);
        state.tell_changed(peer.name());
        self.succeed(&mut state).await;
        Ok(name)
    }

    /// A new consumer.
    pub(crate) async fn consume(
        &self,
        peer: &PeerHandle,
        transport: &str,
        new: NewConsumer,
    ) -> Result<CreatedConsumer, Error> {
        new.rtp_capabilities.as_ref().map_or(Ok(()), RtpCapabilities::check)?;
        let mut guard = self.state().await;
        let state = &mut *guard;
        let own = state.joined_peer(peer)?.rtp_capabilities.clone();
        state.transport_of(peer, transport)?;
        let capabilities = new
            .rtp_capabilities
            .as_ref()
            .or(own.as_deref())
            .ok_or_else(|| Error::field("rtpCapabilities", "are missing, here and of the peer"))?;
        let missing = |kind: &str, name: &str| Error::not_found(kind, name);
        let producer = state.producers.get(&new.producer).ok_or_else(|| missing("producer", &new.producer))?;
        let on = state.transports.get_mut(transport).ok_or_else(|| missing("transport", transport))?;
        let ssrc = draw_ssrc(&on.ssrcs);
        let request = ConsumeRequest {
            enable_rtx: new.enable_rtx,
            paused: new.paused,
            ssrc,
            rtx_ssrc: ssrc + 1,
            first_sequence: draw_first_sequence(),
            rtx_first_sequence: draw_first_sequence(),
            mid: on.next_mid,
        };
        let consumed = ortc::consume(producer.kind, &producer.consumable, capabilities, &request)?;
        let id = ConsumerId(next_id());
        let layer = producer.is_layered().then(|| self.worker().events().consumer(id));
        let command =
            Command::Consume { transport: on.id, consumer: id, producer: producer.id, options: consumed.options };
        self.worker().apply(command).await?;
        on.next_mid = (on.next_mid + 1) % MID_LIMIT;
        on.ssrcs.extend([ssrc, ssrc + 1]);
        let created = CreatedConsumer {
            name: object_name(),
            kind: producer.kind,
            rtp_parameters: consumed.rtp_parameters,
            streams: producer.streams,
            producer_paused: producer.paused,
        };
        let consumer = Consumer {
            id,
            transport: transport.to_owned(),
            owner: peer.shared_name(),
            producer: new.producer,
            layer,
            takes: None,
            wishes_less: false,
        };
        state.consumers.insert(created.name.clone(), consumer);
        Ok(created)
    }

    pub(crate) async fn pause_producer(&self, peer: &PeerHandle, name: &str, paused: bool) -> Result<(), Error> {
        let mut state = self.state().await;
        let producer = state.producer_of(peer, name)?;
        self.worker().apply(Command::PauseProducer { producer: producer.id, paused }).await?;
        producer.paused = paused;
        Ok(())
    }

    pub(crate) async fn close_producer(&self, peer: &PeerHandle, name: &str) -> Result<(), Error> {
        let mut state = self.state().await;
        let producer = state.producer_of(peer, name)?.id;
        self.worker().close(vec![Command::CloseProducer { producer }]).await?;
        state.remove_producer(name);
        state.tell_changed(peer.name());
        self.settle(&mut state).await
    }

    pub(crate) async fn pause_consumer(&self, peer: &PeerHandle, name: &str, paused: bool) -> Result<(), Error> {
        let state = self.state().await;
        let consumer = state.consumer_of(peer, name)?.id;
        Ok(self.worker().apply(Command::PauseConsumer { consumer, paused }).await?)
    }

    pub(crate) async fn close_consumer(&self, peer: &PeerHandle, name: &str) -> Result<(), Error> {
        let mut state = self.state().await;
        let consumer = state.consumer_of(peer, name)?.id;
        self.worker().close(vec![Command::CloseConsumer { consumer }]).await?;
        state.consumers.remove(name);
        Ok(())
    }

    pub(crate) async fn request_key_frame(&self, peer: &PeerHandle, consumer: &str) -> Result<(), Error> {
        let state = self.state().await;
        let consumer = state.consumer_of(peer, consumer)?.id;
        Ok(self.worker().apply(Command::RequestKeyFrame { consumer }).await?)
    }

    /// Counters of a transport of a peer.
    pub(crate) async fn transport_stats(&self, peer: &PeerHandle, name: &str) -> Result<ObjectStats, Error> {
        let id = self.state().await.transport_of(peer, name)?.id;
        self.stats_of(Object::Transport(id), "transport", name).await
    }

    /// Counters of a producer of a peer.
    pub(crate) async fn producer_stats(&self, peer: &PeerHandle, name: &str) -> Result<ObjectStats, Error> {
        let id = self.state().await.producer_of(peer, name)?.id;
        self.stats_of(Object::Producer(id), "producer", name).await
    }

    /// Counters of a consumer of a peer.
    pub(crate) async fn consumer_stats(&self, peer: &PeerHandle, name: &str) -> Result<ObjectStats, Error> {
        let id = self.state().await.consumer_of(peer, name)?.id;
        self.stats_of(Object::Consumer(id), "consumer", name).await
    }

    async fn stats_of(&self, object: Object, kind: &str, name: &str) -> Result<ObjectStats, Error> {
        self.worker().stats_of(object).await?.ok_or_else(|| Error::not_found(kind, name))
    }
}
