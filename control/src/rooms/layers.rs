//! Layer selection of WHEP sessions (the extension "layer" of draft-murillo-whep and draft-ietf-wish-whep up to 02):
//! which encodings there are, which one a viewer is sent, and which it wants.
//!
//! A layer is an encoding of simulcast, known by its RID. What the worker counts is asked for at most once a second for
//! each producer, however many want to know.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use corecast_wire::{Command, ConsumerId, Object, ObjectStats, ProducerId, ProducerStats};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::room::{Consumer, Producer, State};
use super::{ApiError, Room};

/// What is younger is not asked for again.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// `POST` of a session's layer resource.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LayerBody {
    media_id: Option<String>,
    encoding_id: Option<String>,
    spatial_layer_id: Option<u64>,
    temporal_layer_id: Option<u64>,
    /// Of an encoding, which has no more than one: any is well.
    #[serde(rename = "maxSpatialLayerId")]
    _max_spatial_layer_id: Option<u64>,
    max_temporal_layer_id: Option<u64>,
}

fn unprocessable(field: &str, cause: impl std::fmt::Display) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{field}: {cause}"))
}

impl LayerBody {
    /// What is well-formed and not done here.
    fn check(&self) -> Result<(), ApiError> {
        if self.temporal_layer_id.is_some() || self.max_temporal_layer_id.is_some() {
            let field = if self.temporal_layer_id.is_some() { "temporalLayerId" } else { "maxTemporalLayerId" };
            return Err(unprocessable(field, "temporal layers cannot be chosen here"));
        }
        if self.spatial_layer_id.is_some_and(|id| id > 0) {
            return Err(unprocessable("spatialLayerId", "an encoding has no spatial layers here; give encodingId"));
        }
        Ok(())
    }
}

/// What was last seen of a producer's encodings.
#[derive(Debug)]
pub(crate) struct Sample {
    at: Instant,
    encodings: Vec<Encoding>,
}

#[derive(Clone, Copy, Debug)]
struct Encoding {
    active: bool,
    bytes: u64,
    bitrate_bps: Option<u64>,
    picture: Option<(u16, u16)>,
}

impl Sample {
    /// `before` is the one before: bitrates are those since.
    fn new(stats: &ProducerStats, before: Option<&Self>, at: Instant) -> Self {
        let encodings = stats.streams.iter().enumerate().map(|(index, stream)| {
            let since = before.and_then(|before| {
                let bytes = stream.byte_count.checked_sub(before.encodings.get(index)?.bytes)?;
                let elapsed_ms = u64::try_from(at.duration_since(before.at).as_millis()).ok()?;
                bytes.saturating_mul(8_000).checked_div(elapsed_ms)
            });
            Encoding { active: stream.active, bytes: stream.byte_count, bitrate_bps: since, picture: stream.picture }
        });
        Self { at, encodings: encodings.collect() }
    }

    /// The layers, as the "layers" event lists them: best first.
    fn describe(&self, names: &[String], current: Option<u8>) -> Value {
        let (mut active, mut inactive, mut layers) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (name, encoding)) in names.iter().zip(&self.encodings).enumerate().rev() {
            let mut layer = Map::new();
            layer.insert("simulcastIdx".into(), json!(index));
            if let Some(bitrate) = encoding.bitrate_bps.filter(|_| encoding.active) {
                layer.insert("bitrate".into(), json!(bitrate));
            }
            if let Some((width, height)) = encoding.picture {
                layer.insert("width".into(), json!(width));
                layer.insert("height".into(), json!(height));
            }
            let with = |field: &str| {
                let mut layer = layer.clone();
                layer.insert(field.into(), json!(name));
                Value::Object(layer)
            };
            if encoding.active {
                active.push(with("id"));
                layers.push(with("encodingId"));
            } else {
                inactive.push(with("id"));
            }
        }
        let current = current.and_then(|index| names.get(usize::from(index)));
        json!({ "active": active, "inactive": inactive, "layers": layers, "current": current })
    }
}

/// A consumer of a session that can be sent one of several encodings.
struct Layered {
    section: usize,
    consumer: ConsumerId,
    producer_name: String,
    producer: ProducerId,
    current: watch::Receiver<Option<u8>>,
}

impl State {
    /// Those of a session, in the order of its sections. 404 without any.
    fn layered(&self, session: &str) -> Result<Vec<Layered>, ApiError> {
        let of = |consumer: &Consumer| {
            let watching = consumer.layer.as_ref()?;
            let producer = self.producers.get(&consumer.producer)?;
            Some(Layered {
                section: consumer.section?,
                consumer: consumer.id,
                producer_name: consumer.producer.clone(),
                producer: producer.id,
                current: watching.receiver(),
            })
        };
        let own = self.consumers.values().filter(|consumer| consumer.transport == session);
        let mut layered: Vec<_> = own.filter_map(of).collect();
        layered.sort_by_key(|one| one.section);
        if layered.is_empty() {
            let sentence = "this session watches nothing that is sent in several encodings";
            return Err(ApiError::new(StatusCode::NOT_FOUND, sentence));
        }
        Ok(layered)
    }
}

impl Producer {
    /// Index of an encoding; the highest without a name.
    fn layer(&self, name: Option<&str>) -> Result<u8, ApiError> {
        let index = match name {
            None => self.encodings.len().checked_sub(1),
            Some(name) => self.encodings.iter().position(|own| own == name),
        };
        index.and_then(|index| u8::try_from(index).ok()).ok_or_else(|| {
            let there = self.encodings.join(", ");
            unprocessable(
                "encodingId",
                format!("there is no encoding {:?}; there are {there}", name.unwrap_or_default()),
            )
        })
    }
}

impl Room {
    /// A viewer chooses; with an empty body it leaves the choice to the server again, which is the best.
    pub(crate) async fn select_layer(&self, session: &str, body: LayerBody) -> Result<(), ApiError> {
        body.check()?;
        let state = self.state().await;
        let layered = state.layered(session)?;
        let wanted = body.media_id.as_deref();
        let found = layered.iter().find(|one| wanted.is_none_or(|wanted| wanted == one.section.to_string()));
        let one = found.ok_or_else(|| {
            let there: Vec<_> = layered.iter().map(|one| one.section.to_string()).collect();
            let there = there.join(", ");
            unprocessable("mediaId", format!("is the index of no m= line with several encodings; there are {there}"))
        })?;
        let producer = state.producers.get(&one.producer_name);
        let producer = producer.ok_or_else(|| ApiError::not_found("producer", &one.producer_name))?;
        let spatial = producer.layer(body.encoding_id.as_deref())?;
        Ok(self.worker.link.apply(Command::SetPreferredLayers { consumer: one.consumer, spatial }).await?)
    }

    /// What a session may choose from: the data of a "layers" event.
    pub(crate) async fn layers(&self, session: &str) -> Result<Value, ApiError> {
        let mut state = self.state().await;
        let mut described = Map::new();
        for one in state.layered(session)? {
            let missing = || ApiError::not_found("producer", &one.producer_name);
            let producer = state.producers.get_mut(&one.producer_name).ok_or_else(missing)?;
            let now = Instant::now();
            if producer.sample.as_ref().is_none_or(|sample| now.duration_since(sample.at) >= SAMPLE_INTERVAL) {
                let stats = self.worker.stats_of(Object::Producer(one.producer)).await?;
                let Some(ObjectStats::Producer(stats)) = stats else { return Err(missing()) };
                producer.sample = Some(Sample::new(&stats, producer.sample.as_ref(), now));
            }
            let current = *one.current.borrow();
            let sample = producer.sample.as_ref().ok_or_else(missing)?;
            described.insert(one.section.to_string(), sample.describe(&producer.encodings, current));
        }
        Ok(Value::Object(described))
    }

    /// Tells when a session is sent another layer.
    pub(crate) async fn watch_layers(&self, session: &str) -> Result<Vec<watch::Receiver<Option<u8>>>, ApiError> {
        Ok(self.state().await.layered(session)?.into_iter().map(|one| one.current).collect())
    }
}
