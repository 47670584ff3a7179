//! Which encoding of a producer a consumer is sent, and which it wants.
//!
//! What the worker counts is asked for at most once a second for each producer, however many want to know.

use std::time::{Duration, Instant};

use corecast_wire::{Command, Object, ObjectStats, SpatialLayer};
use tokio::sync::watch;

use super::error::{Code, Error};
use super::peer::PeerHandle;
use super::room::Room;
use super::sample::{EncodingState, Sample};

/// What is younger is not asked for again.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// The encodings that a consumer may be sent, in the order in which they were announced.
#[derive(Clone, Debug)]
pub(crate) struct LayerReport {
    /// Names of the encodings.
    pub(crate) names: Vec<String>,
    pub(crate) encodings: Vec<EncodingState>,
    /// Index of the one that the consumer is sent.
    pub(crate) current: Option<u8>,
}

impl Room {
    /// A consumer wants the encoding of this rank by quality, or none above it. A rank above the highest means the
    /// highest.
    pub(crate) async fn set_preferred_layer(
        &self,
        peer: &PeerHandle,
        consumer: &str,
        spatial: u8,
    ) -> Result<(), Error> {
        let state = self.state().await;
        let consumer = state.consumer_of(peer, consumer)?;
        let highest = state.producer(&consumer.producer)?.encodings.len().saturating_sub(1);
        let spatial = SpatialLayer::Quality(spatial.min(u8::try_from(highest).unwrap_or(0)));
        Ok(self.worker().apply(Command::SetPreferredLayers { consumer: consumer.id, spatial, temporal: None }).await?)
    }

    /// A consumer wants the encoding of this name; without a name the best.
    pub(crate) async fn set_preferred_encoding(
        &self,
        peer: &PeerHandle,
        consumer: &str,
        name: Option<&str>,
    ) -> Result<(), Error> {
        let state = self.state().await;
        let consumer = state.consumer_of(peer, consumer)?;
        let encodings = &state.producer(&consumer.producer)?.encodings;
        let index = |index: Option<usize>| u8::try_from(index?).ok();
        let wanted = match name {
            None => index(encodings.len().checked_sub(1)).map(SpatialLayer::Quality),
            Some(name) => index(encodings.iter().position(|own| own == name)).map(SpatialLayer::Encoding),
        };
        let spatial = wanted.ok_or_else(|| {
            let (there, name) = (encodings.join(", "), name.unwrap_or_default());
            let reason = format!("encodingId: there is no encoding {name:?}; there are {there}");
            Error::new(Code::Unacceptable, reason)
        })?;
        Ok(self.worker().apply(Command::SetPreferredLayers { consumer: consumer.id, spatial, temporal: None }).await?)
    }

    /// The encodings that a consumer may be sent.
    pub(crate) async fn layers(&self, peer: &PeerHandle, consumer: &str) -> Result<LayerReport, Error> {
        let mut state = self.state().await;
        let consumer = state.consumer_of(peer, consumer)?;
        let current = consumer.layer.as_ref().and_then(|layer| *layer.receiver().borrow());
        let name = consumer.producer.clone();
        let missing = || Error::not_found("producer", &name);
        let producer = state.producers.get_mut(&name).ok_or_else(missing)?;
        let now = Instant::now();
        if producer.sample.as_ref().is_none_or(|sample| now.duration_since(sample.at) >= SAMPLE_INTERVAL) {
            let stats = self.worker().stats_of(Object::Producer(producer.id)).await?;
            let Some(ObjectStats::Producer(stats)) = stats else { return Err(missing()) };
            producer.sample = Some(Sample::new(&stats, producer.sample.as_ref(), now));
        }
        let sample = producer.sample.as_ref().ok_or_else(missing)?;
        Ok(LayerReport { names: producer.encodings.clone(), encodings: sample.encodings.clone(), current })
    }

    /// Tells when a consumer is sent another encoding.
    pub(crate) async fn watch_layer(
        &self,
        peer: &PeerHandle,
        consumer: &str,
    ) -> Result<watch::Receiver<Option<u8>>, Error> {
        let state = self.state().await;
        let found = state.consumer_of(peer, consumer)?;
        let layer = found.layer.as_ref().ok_or_else(|| Error::not_found("layered consumer", consumer))?;
        Ok(layer.receiver())
    }
}
