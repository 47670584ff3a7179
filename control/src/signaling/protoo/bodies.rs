//! What stands in the `data` of requests and notifications, and what answers have.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::message::Refusal;
use crate::ortc::{Kind, RtpCapabilities, RtpParameters};
use crate::rooms::{Held, NewDataProducer, check_display_name};
use crate::settings::in_words;
use crate::signaling::webrtc::{DtlsBody, StreamBody};

/// Longest `appData`, and longest `device`, as text.
const MAX_DATA_BYTES: usize = 4_096;

/// Reads data; an error names the member.
pub(super) fn read<T: DeserializeOwned>(data: Value) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(data).map_err(|error| {
        let path = error.path().to_string();
        let cause = in_words(&error.into_inner().to_string());
        if path == "." { Refusal::new(cause) } else { Refusal::new(format!("{path}: {cause}")) }
    })
}

/// Data that others are told as it is.
fn bounded(field: &str, data: Value) -> Result<Value, Refusal> {
    let is_right = data.is_object() && data.to_string().len() <= MAX_DATA_BYTES;
    is_right
        .then_some(data)
        .ok_or_else(|| Refusal::new(format!("{field}: must be an object of at most {MAX_DATA_BYTES} bytes")))
}

/// `createWebRtcTransport`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TransportBody {
    #[serde(default)]
    pub(super) force_tcp: Option<bool>,
    #[serde(default)]
    pub(super) producing: Option<bool>,
    #[serde(default)]
    pub(super) consuming: Option<bool>,
    #[serde(default)]
    pub(super) sctp_capabilities: Option<Value>,
    #[serde(default)]
    app_data: Option<Value>,
}

impl TransportBody {
    /// Whether it is for data channels alone (`appData.carries`), which mediasoup-demo does not have.
    pub(super) fn carries_data_only(&self) -> bool {
        self.app_data.as_ref().and_then(|data| data.get("carries")?.as_str()) == Some("data")
    }

    /// `appData.direction`, which the newer form has.
    pub(super) fn direction(&self) -> Option<&str> {
        self.app_data.as_ref()?.get("direction")?.as_str()
    }

    /// Whether it is said to be for receiving, and for nothing else.
    pub(super) fn receives_only(&self) -> bool {
        match self.direction() {
            Some(direction) => direction == "consumer",
            None => self.consuming == Some(true) && self.producing == Some(false),
        }
    }

    /// Whether it is for receiving, or may be for all that is said.
    pub(super) fn may_receive(&self) -> bool {
        match (self.direction(), self.consuming, self.producing) {
            (Some(direction), ..) => direction == "consumer",
            (None, Some(consuming), _) => consuming,
            (None, None, producing) => !producing.unwrap_or(false),
        }
    }

    /// Whether it is to have data channels: the older form says so, the newer always has them.
    pub(super) fn has_sctp(&self) -> bool {
        self.direction().is_some() || self.sctp_capabilities.as_ref().is_some_and(|given| !given.is_null())
    }
}

/// `connectWebRtcTransport`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConnectBody {
    pub(super) transport_id: String,
    pub(super) dtls_parameters: DtlsBody,
}

/// `join`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JoinBody {
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    device: Option<Value>,
    #[serde(default)]
    pub(super) rtp_capabilities: Option<RtpCapabilities>,
    #[serde(default)]
    pub(super) sctp_capabilities: Option<Value>,
    /// Whether it wants to go on as this peer after its WebSocket has broken.
    #[serde(default)]
    pub(super) resume: bool,
}

impl JoinBody {
    /// What people call the peer: the peer's id if nothing is given.
    pub(super) fn display_name(&self, peer: &str) -> Result<String, Refusal> {
        let name = self.display_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(peer);
        check_display_name("displayName", name)?;
        Ok(name.to_owned())
    }

    /// What others are told of the client.
    pub(super) fn device(&mut self) -> Result<Value, Refusal> {
        let given = self.device.take().filter(|device| !device.is_null());
        given.map_or_else(|| Ok(json!({ "flag": "unknown", "name": "unknown" })), |device| bounded("device", device))
    }
}

/// `resume`: what the client has.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResumeBody {
    /// On which it is sent media.
    #[serde(default)]
    consumer_transport_id: Option<String>,
    /// On which it is sent data; the same if it does not say.
    #[serde(default)]
    data_consumer_transport_id: Option<String>,
    #[serde(default)]
    consumers: Vec<HeldBody>,
    #[serde(default)]
    data_consumers: Vec<OfDataConsumer>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeldBody {
    consumer_id: String,
    #[serde(default)]
    paused: bool,
}

impl ResumeBody {
    pub(super) fn held(self) -> Held {
        let data_on = self.data_consumer_transport_id.or_else(|| self.consumer_transport_id.clone());
        Held {
            receives_on: [self.consumer_transport_id, data_on],
            consumers: self.consumers.into_iter().map(|one| (one.consumer_id, one.paused)).collect(),
            data_consumers: self.data_consumers.into_iter().map(|one| one.data_consumer_id).collect(),
        }
    }
}

/// `produce`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProduceBody {
    pub(super) transport_id: String,
    pub(super) kind: Kind,
    pub(super) rtp_parameters: RtpParameters,
    #[serde(default)]
    pub(super) paused: bool,
    #[serde(default)]
    app_data: Option<Value>,
}

/// What others are told of a producer: what its client says of it, and whose it is.
fn owned(app_data: Option<Value>, peer: &str) -> Result<Value, Refusal> {
    let given = app_data.filter(|data| !data.is_null()).unwrap_or_else(|| json!({}));
    let mut data = bounded("appData", given)?;
    data["peerId"] = json!(peer);
    Ok(data)
}

impl ProduceBody {
    pub(super) fn app_data(&mut self, peer: &str) -> Result<Value, Refusal> {
        owned(self.app_data.take(), peer)
    }
}

/// `produceData`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProduceDataBody {
    pub(super) transport_id: String,
    sctp_stream_parameters: StreamBody,
    #[serde(default)]
    label: String,
    #[serde(default)]
    protocol: String,
    #[serde(default)]
    app_data: Option<Value>,
}

impl ProduceDataBody {
    pub(super) fn read(self, peer: &str) -> Result<NewDataProducer, Refusal> {
        let (stream, parameters) = self.sctp_stream_parameters.read()?;
        let app_data = owned(self.app_data, peer)?;
        Ok(NewDataProducer { stream, parameters, label: self.label, protocol: self.protocol, app_data })
    }
}

macro_rules! named {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub(super) struct $name {
            $(pub(super) $field: $type),*
        }
    )*};
}

named! {
    /// Requests about a transport.
    OfTransport { transport_id: String }
    /// Requests about a producer.
    OfProducer { producer_id: String }
    /// Requests about a consumer.
    OfConsumer { consumer_id: String }
    /// Requests about a data producer.
    OfDataProducer { data_producer_id: String }
    /// Requests about a data consumer.
    OfDataConsumer { data_consumer_id: String }
    /// `setConsumerPreferredLayers`.
    LayersBody { consumer_id: String, spatial_layer: u8, temporal_layer: Option<u8> }
    /// `setConsumerPriority`.
    PriorityBody { consumer_id: String, priority: u8 }
    /// `changeDisplayName`.
    NameBody { display_name: String }
}
