//! WebRTC transports and data channels in mediasoup's JSON, for every signaling that speaks it.

use corecast_wire::{
    DtlsParameters, DtlsRole, Fingerprint, FingerprintAlgorithm, IceParameters, IceProtocol, MAX_MESSAGE_BYTES,
    SctpOptions, SctpStreamParameters,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::Sctp;
use crate::rooms::{CreatedWebRtc, Error, LocalParameters};

/// SCTP's port on both sides (mediasoup's).
const SCTP_PORT: u16 = 5_000;
/// Streams of an association that clients are told of: what their channels may be numbered up to.
const SCTP_STREAMS: u16 = 1_024;
/// Fingerprints that a client may give.
const MAX_FINGERPRINTS: usize = 8;
/// First value of an IPv4 candidate's local preference, and how much each further one has less (mediasoup's).
const LOCAL_PREFERENCE: u32 = 10_000;
const PREFERENCE_STEP: u32 = 100;

/// `dtlsParameters`.
#[derive(Debug, Deserialize)]
pub(super) struct DtlsBody {
    #[serde(default)]
    role: Option<String>,
    fingerprints: Vec<FingerprintBody>,
}

#[derive(Debug, Deserialize)]
struct FingerprintBody {
    algorithm: String,
    value: String,
}

impl DtlsBody {
    /// What the client says of itself. Weak hashes are left out; who says `auto` is the server, as in mediasoup.
    pub(super) fn read(&self) -> Result<DtlsParameters, Error> {
        let role = match self.role.as_deref() {
            Some("client") => DtlsRole::Client,
            Some("server" | "auto") | None => DtlsRole::Server,
            Some(other) => return Err(Error::field("dtlsParameters.role", format!("{other:?} is unknown"))),
        };
        let wrong = |cause: String| Error::field("dtlsParameters.fingerprints", cause);
        let mut fingerprints = Vec::new();
        for FingerprintBody { algorithm, value } in self.fingerprints.iter().take(MAX_FINGERPRINTS) {
            let (algorithm, bytes) = match algorithm.to_ascii_lowercase().as_str() {
                "sha-256" => (FingerprintAlgorithm::Sha256, 32),
                "sha-384" => (FingerprintAlgorithm::Sha384, 48),
                "sha-512" => (FingerprintAlgorithm::Sha512, 64),
                _ => continue,
            };
            let hex = value.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<Vec<u8>, _>>();
            let value = hex.ok().filter(|value| value.len() == bytes);
            let value = value.ok_or_else(|| wrong(format!("a value must be {bytes} bytes in hex")))?;
            fingerprints.push(Fingerprint { algorithm, value });
        }
        if fingerprints.is_empty() {
            return Err(wrong("one by sha-256, sha-384 or sha-512 is needed".into()));
        }
        Ok(DtlsParameters { role, fingerprints })
    }
}

/// `sctpStreamParameters`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StreamBody {
    stream_id: u16,
    #[serde(default)]
    ordered: Option<bool>,
    #[serde(default)]
    max_packet_life_time: Option<u16>,
    #[serde(default)]
    max_retransmits: Option<u16>,
}

impl StreamBody {
    /// The stream and its delivery. With a limit and no word on order it is unordered.
    pub(super) fn read(self) -> Result<(u16, SctpStreamParameters), Error> {
        let Self { stream_id, ordered, max_packet_life_time, max_retransmits } = self;
        let wrong = |cause: &str| Err(Error::field("sctpStreamParameters", cause));
        let is_limited = max_packet_life_time.is_some() || max_retransmits.is_some();
        if max_packet_life_time.is_some() && max_retransmits.is_some() {
            return wrong("cannot have both maxPacketLifeTime and maxRetransmits");
        }
        if ordered == Some(true) && is_limited {
            return wrong("cannot be ordered with maxPacketLifeTime or maxRetransmits");
        }
        let ordered = ordered.unwrap_or(!is_limited);
        Ok((stream_id, SctpStreamParameters { ordered, max_packet_life_time, max_retransmits }))
    }
}

/// What data channels are made with: the client takes messages as long as browsers do.
pub(super) fn sctp_options() -> SctpOptions {
    let max_message_bytes = u32::try_from(MAX_MESSAGE_BYTES).unwrap_or(u32::MAX);
    SctpOptions::new(SCTP_PORT, max_message_bytes)
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

/// What a client is told of its new transport, with data channels if it has any; over TCP alone if it wants that.
pub(super) fn transport(made: &CreatedWebRtc, force_tcp: bool, sctp: Option<&Sctp>) -> Value {
    let mut value = json!({
        "id": made.name,
        "transportId": made.name,
        "iceParameters": ice_parameters(&made.local.ice),
        "iceCandidates": candidates(&made.local, force_tcp),
        "dtlsParameters": { "role": "auto", "fingerprints": [fingerprint(&made.local.fingerprint)] },
    });
    if let Some(sctp) = sctp {
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
