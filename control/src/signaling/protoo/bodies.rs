//! What stands in the `data` of requests and notifications, and what answers have.

use corecast_wire::{
    DtlsParameters, DtlsRole, Fingerprint, FingerprintAlgorithm, IceParameters, IceProtocol, MAX_MESSAGE_BYTES,
    SctpStreamParameters,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::message::Refusal;
use crate::config::Sctp;
use crate::ortc::{Kind, RtpCapabilities, RtpParameters};
use crate::rooms::{CreatedWebRtc, LocalParameters, NewDataProducer, check_display_name};

/// SCTP's port on both sides (mediasoup's).
pub(super) const SCTP_PORT: u16 = 5_000;
/// Streams of an association that clients are told of: what their channels may be numbered up to.
const SCTP_STREAMS: u16 = 1_024;
/// Longest `appData`, and longest `device`, as text.
const MAX_DATA_BYTES: usize = 4_096;
/// Fingerprints that a client may give.
const MAX_FINGERPRINTS: usize = 8;
/// First value of an IPv4 candidate's local preference, and how much each further one has less (mediasoup's).
const LOCAL_PREFERENCE: u32 = 10_000;
const PREFERENCE_STEP: u32 = 100;

/// Reads data; an error names the member.
pub(super) fn read<T: DeserializeOwned>(data: Value) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(data).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        if path == "." { Refusal::new(cause.to_string()) } else { Refusal::new(format!("{path}: {cause}")) }
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
    /// `appData.direction`, which the newer form has.
    pub(super) fn direction(&self) -> Option<&str> {
        self.app_data.as_ref()?.get("direction")?.as_str()
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
    dtls_parameters: DtlsBody,
}

#[derive(Debug, Deserialize)]
struct DtlsBody {
    #[serde(default)]
    role: Option<String>,
    fingerprints: Vec<FingerprintBody>,
}

#[derive(Debug, Deserialize)]
struct FingerprintBody {
    algorithm: String,
    value: String,
}

impl ConnectBody {
    /// What the client says of itself. Weak hashes are left out; who says `auto` is the server, as in mediasoup.
    pub(super) fn dtls(&self) -> Result<DtlsParameters, Refusal> {
        let DtlsBody { role, fingerprints: given } = &self.dtls_parameters;
        let role = match role.as_deref() {
            Some("client") => DtlsRole::Client,
            Some("server" | "auto") | None => DtlsRole::Server,
            Some(other) => return Err(Refusal::new(format!("dtlsParameters.role: {other:?} is unknown"))),
        };
        let mut fingerprints = Vec::new();
        for FingerprintBody { algorithm, value } in given.iter().take(MAX_FINGERPRINTS) {
            let (algorithm, bytes) = match algorithm.to_ascii_lowercase().as_str() {
                "sha-256" => (FingerprintAlgorithm::Sha256, 32),
                "sha-384" => (FingerprintAlgorithm::Sha384, 48),
                "sha-512" => (FingerprintAlgorithm::Sha512, 64),
                _ => continue,
            };
            let hex = value.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<Vec<u8>, _>>();
            let value = hex.ok().filter(|value| value.len() == bytes);
            let wrong = || Refusal::new(format!("dtlsParameters.fingerprints: a value must be {bytes} bytes in hex"));
            fingerprints.push(Fingerprint { algorithm, value: value.ok_or_else(wrong)? });
        }
        if fingerprints.is_empty() {
            return Err(Refusal::new("dtlsParameters.fingerprints: one by sha-256, sha-384 or sha-512 is needed"));
        }
        Ok(DtlsParameters { role, fingerprints })
    }
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

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StreamBody {
    stream_id: u16,
    #[serde(default)]
    ordered: Option<bool>,
    #[serde(default)]
    max_packet_life_time: Option<u16>,
    #[serde(default)]
    max_retransmits: Option<u16>,
}

impl ProduceDataBody {
    pub(super) fn read(self, peer: &str) -> Result<NewDataProducer, Refusal> {
        let StreamBody { stream_id, ordered, max_packet_life_time, max_retransmits } = self.sctp_stream_parameters;
        let is_limited = max_packet_life_time.is_some() || max_retransmits.is_some();
        if max_packet_life_time.is_some() && max_retransmits.is_some() {
            return Err(Refusal::new("cannot provide both maxPacketLifeTime and maxRetransmits"));
        }
        if ordered == Some(true) && is_limited {
            return Err(Refusal::new("cannot be ordered with maxPacketLifeTime or maxRetransmits"));
        }
        let ordered = ordered.unwrap_or(!is_limited);
        let parameters = SctpStreamParameters { ordered, max_packet_life_time, max_retransmits };
        let app_data = owned(self.app_data, peer)?;
        Ok(NewDataProducer { stream: stream_id, parameters, label: self.label, protocol: self.protocol, app_data })
    }
}

/// Delivery of a stream, as mediasoup writes it.
pub(super) fn stream_parameters(stream: u16, parameters: SctpStreamParameters) -> Value {
    let mut value = json!({ "streamId": stream, "ordered": parameters.ordered });
    if let Some(ms) = parameters.max_packet_life_time {
        value["maxPacketLifeTime"] = json!(ms);
    }
    if let Some(times) = parameters.max_retransmits {
        value["maxRetransmits"] = json!(times);
    }
    value
}

/// ICE credentials of the server's side.
pub(super) fn ice_parameters(ice: &IceParameters) -> Value {
    json!({ "usernameFragment": ice.username_fragment, "password": ice.password, "iceLite": true })
}

/// Candidates: mediasoup's foundations and priorities.
fn candidates(local: &LocalParameters, force_tcp: bool) -> Vec<Value> {
    let wanted = local.candidates.iter().filter(|candidate| !force_tcp || candidate.protocol == IceProtocol::Tcp);
    let candidate = |(at, candidate): (u32, &crate::sdp::Candidate)| {
        let preference = LOCAL_PREFERENCE.saturating_sub(at * PREFERENCE_STEP);
        let address = candidate.address.ip().to_string();
        let mut value = json!({
            "foundation": if candidate.protocol == IceProtocol::Udp { "udpcandidate" } else { "tcpcandidate" },
            "priority": (64_u32 << 24) + (preference << 8) + 255,
            "ip": address,
            "address": address,
            "protocol": if candidate.protocol == IceProtocol::Udp { "udp" } else { "tcp" },
            "port": candidate.address.port(),
            "type": "host",
        });
        if candidate.protocol == IceProtocol::Tcp {
            value["tcpType"] = json!("passive");
        }
        value
    };
    (0..).zip(wanted).map(candidate).collect()
}

fn fingerprint(of: &Fingerprint) -> Value {
    let algorithm = match of.algorithm {
        FingerprintAlgorithm::Sha256 => "sha-256",
        FingerprintAlgorithm::Sha384 => "sha-384",
        FingerprintAlgorithm::Sha512 => "sha-512",
    };
    let value: Vec<_> = of.value.iter().map(|byte| format!("{byte:02X}")).collect();
    json!({ "algorithm": algorithm, "value": value.join(":") })
}

/// What a client is told of its new transport.
pub(super) fn transport(made: &CreatedWebRtc, body: &TransportBody, sctp: &Sctp) -> Value {
    let mut value = json!({
        "id": made.name,
        "transportId": made.name,
        "iceParameters": ice_parameters(&made.local.ice),
        "iceCandidates": candidates(&made.local, body.force_tcp.unwrap_or(false)),
        "dtlsParameters": { "role": "auto", "fingerprints": [fingerprint(&made.local.fingerprint)] },
    });
    if body.has_sctp() {
        // The members of older and newer clients.
        value["sctpParameters"] = json!({
            "port": SCTP_PORT,
            "OS": SCTP_STREAMS,
            "MIS": SCTP_STREAMS,
            "maxMessageSize": MAX_MESSAGE_BYTES,
            "maxSendMessageSize": MAX_MESSAGE_BYTES,
            "maxReceiveMessageSize": MAX_MESSAGE_BYTES,
            "sendBufferSize": sctp.send_buffer_bytes,
            "perStreamSendQueueLimit": sctp.send_buffer_bytes,
            "maxReceiverWindowBufferSize": sctp.recv_window_bytes,
            "isDataChannel": true,
        });
    }
    value
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
