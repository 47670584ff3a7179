//! Which layer of a producer a consumer is sent, which it wants, and what keeps it from more.
//!
//! What the worker counts is asked for at most once a second for each producer, however many want to know.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use corecast_wire::{Command, ConsumerId, Decision, Object, ObjectStats, SpatialLayer};
use tokio::sync::watch;

use super::error::{Code, Error};
use super::peer::PeerHandle;
use super::room::Room;
use super::sample::{EncodingState, Sample};
use crate::workers::ConsumerState;

/// What is younger is not asked for again.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// The encodings that a consumer may be sent, in the order in which they were announced.
#[derive(Clone, Debug)]
pub(crate) struct LayerReport {
    /// Names of the encodings.
    pub(crate) names: Vec<String>,
    pub(crate) encodings: Vec<EncodingState>,
    /// What the consumer is sent.
    pub(crate) state: ConsumerState,
    /// It does not want the best that there is.
    pub(crate) wishes_less: bool,
}

/// What a consumer wants of a producer's layers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LayerWish<'a> {
    /// Name of an encoding; without it the best.
    pub(crate) encoding: Option<&'a str>,
    /// Highest spatial layer within an only encoding, the lowest is 0; without it all.
    pub(crate) spatial: Option<u8>,
    /// Highest temporal layer, the lowest is 0; without it all.
    pub(crate) temporal: Option<u8>,
}

impl Room {
    /// A consumer wants spatial layers up to this one (encodings by their rank by quality, or layers within an only
    /// one), and temporal layers up to `temporal`. One above the highest means the highest.
    pub(crate) async fn set_preferred_layers(
        &self,
        peer: &PeerHandle,
        consumer: &str,
        (spatial, temporal): (u8, Option<u8>),
    ) -> Result<(), Error> {
        let state = self.state().await;
        let consumer = state.consumer_of(peer, consumer)?;
        let spatial = state.producer(&consumer.producer)?.spatial_layer(spatial);
        let command = Command::SetPreferredLayers { consumer: consumer.id, spatial, temporal };
        Ok(consumer.site.worker().apply(command).await?)
    }

    /// A consumer wants these layers.
    pub(crate) async fn wish_layers(&self, peer: &PeerHandle, name_of: &str, wish: LayerWish<'_>) -> Result<(), Error> {
        let mut state = self.state().await;
        let consumer = state.consumer_of(peer, name_of)?;
        let producer = state.producer(&consumer.producer)?;
        let (encodings, name) = (&producer.encodings, wish.encoding);
        let index = |index: Option<usize>| u8::try_from(index?).ok();
        let wanted = match name {
            _ if wish.spatial.is_some_and(|spatial| spatial > 0) && !producer.may_have_spatial_layers() => {
                let reason = "spatialLayerId: an encoding has no spatial layers here; give encodingId".to_owned();
                return Err(Error::new(Code::Unacceptable, reason));
            }
            None => Some(producer.spatial_layer(wish.spatial.unwrap_or(u8::MAX))),
            Some(name) if producer.may_have_spatial_layers() && encodings.iter().any(|own| own == name) => {
                Some(producer.spatial_layer(wish.spatial.unwrap_or(u8::MAX)))
            }
            Some(name) => index(encodings.iter().position(|own| own == name)).map(SpatialLayer::Encoding),
        };
        let spatial = wanted.ok_or_else(|| {
            let (there, name) = (encodings.join(", "), name.unwrap_or_default());
            let reason = format!("encodingId: there is no encoding {name:?}; there are {there}");
            Error::new(Code::Unacceptable, reason)
        })?;
        let command = Command::SetPreferredLayers { consumer: consumer.id, spatial, temporal: wish.temporal };
        consumer.site.worker().apply(command).await?;
        let wishes_less = wish.encoding.is_some() || wish.spatial.is_some() || wish.temporal.is_some();
        state.consumer_of_mut(peer, name_of)?.wishes_less = wishes_less;
        Ok(())
    }

    /// The encodings that a consumer may be sent.
    pub(crate) async fn layers(&self, peer: &PeerHandle, consumer: &str) -> Result<LayerReport, Error> {
        let mut state = self.state().await;
        let consumer = state.consumer_of(peer, consumer)?;
        let layer = consumer.layer.as_ref().map(|layer| *layer.receiver().borrow()).unwrap_or_default();
        let (wishes_less, name) = (consumer.wishes_less, consumer.producer.clone());
        let missing = || Error::not_found("producer", &name);
        let producer = state.producers.get_mut(&name).ok_or_else(missing)?;
        let now = Instant::now();
        if producer.sample.as_ref().is_none_or(|sample| now.duration_since(sample.at) >= SAMPLE_INTERVAL) {
            let stats = self.worker().stats_of(Object::Producer(producer.id)).await?;
            let Some(ObjectStats::Producer(stats)) = stats else { return Err(missing()) };
            producer.sample = Some(Sample::new(&stats, producer.sample.as_ref(), now));
        }
        let sample = producer.sample.as_ref().ok_or_else(missing)?;
        let (names, encodings) = (producer.encodings.clone(), sample.encodings.clone());
        Ok(LayerReport { names, encodings, state: layer, wishes_less })
    }

    /// What was seen of the path to the peer of a transport and decided for it, oldest first, and what consumers are
    /// called.
    pub(crate) async fn trace(&self, transport: &str) -> Result<(Vec<Decision>, HashMap<ConsumerId, String>), Error> {
        let state = self.state().await;
        let found = state.transports.get(transport).ok_or_else(|| Error::not_found("transport", transport))?;
        let names = state.consumers.iter().map(|(name, consumer)| (consumer.id, name.clone())).collect();
        Ok((found.site.worker().trace(found.id).await?, names))
    }

    /// Tells when a consumer is sent another layer, or nothing.
    pub(crate) async fn watch_layer(
        &self,
        peer: &PeerHandle,
        consumer: &str,
    ) -> Result<watch::Receiver<ConsumerState>, Error> {
        let state = self.state().await;
        let found = state.consumer_of(peer, consumer)?;
        let layer = found.layer.as_ref().ok_or_else(|| Error::not_found("layered consumer", consumer))?;
        Ok(layer.receiver())
    }
}
