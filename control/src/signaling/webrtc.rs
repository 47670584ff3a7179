//! WebRTC transports and data channels in mediasoup's JSON, for every signaling that speaks it.

use corecast_wire::{
    DtlsParameters, DtlsRole, Fingerprint, FingerprintAlgorithm, IceParameters, IceProtocol, MAX_MESSAGE_BYTES,
    SctpOptions, SctpStreamParameters,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

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

/// `dtlsParameters` of a client.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct DtlsBody {
    /// "client", "server" or "auto".
    #[serde(default)]
    role: Option<String>,
    fingerprints: Vec<FingerprintBody>,
}

/// Fingerprint of a certificate.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct FingerprintBody {
    /// "sha-256", "sha-384" or "sha-512"; others are not looked at.
    algorithm: String,
    /// In hex, a colon between bytes.
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
#[derive(Debug, Deserialize, ToSchema)]
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
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct IceParametersBody {
    username_fragment: String,
    password: String,
    ice_lite: bool,
}

/// A candidate, with mediasoup's foundation and priority.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CandidateBody {
    foundation: &'static str,
    priority: u32,
    ip: String,
    /// The same as `ip`.
    address: String,
    /// "udp" or "tcp".
    protocol: &'static str,
    port: u16,
    /// "host".
    r#type: &'static str,
    /// "passive", of TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_type: Option<&'static str>,
}

/// `dtlsParameters` of the server.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ServerDtls {
    /// "auto".
    role: &'static str,
    fingerprints: [FingerprintBody; 1],
}

/// `sctpParameters`, with the members of older and newer clients.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SctpBody {
    port: u16,
    /// Streams that the server sends, and receives.
    #[serde(rename = "OS")]
    streams_out: u16,
    #[serde(rename = "MIS")]
    streams_in: u16,
    /// In bytes, as all below.
    max_message_size: usize,
    max_send_message_size: usize,
    max_receive_message_size: usize,
    send_buffer_size: u32,
    per_stream_send_queue_limit: u32,
    max_receiver_window_buffer_size: u32,
    is_data_channel: bool,
}

/// A WebRTC transport that was made.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreatedTransport {
    id: String,
    /// The same as `id`.
    transport_id: String,
    ice_parameters: IceParametersBody,
    ice_candidates: Vec<CandidateBody>,
    dtls_parameters: ServerDtls,
    /// Absent without data channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    sctp_parameters: Option<SctpBody>,
}

/// ICE credentials of the server's side.
pub(super) fn ice_parameters(ice: &IceParameters) -> IceParametersBody {
    let (username_fragment, password) = (ice.username_fragment.clone(), ice.password.clone());
    IceParametersBody { username_fragment, password, ice_lite: true }
}

/// Candidates: mediasoup's foundations and priorities.
fn candidates(local: &LocalParameters, force_tcp: bool) -> Vec<CandidateBody> {
    let wanted = local.candidates.iter().filter(|candidate| !force_tcp || candidate.protocol == IceProtocol::Tcp);
    let candidate = |(at, candidate): (u32, &crate::sdp::Candidate)| {
        let preference = LOCAL_PREFERENCE.saturating_sub(at * PREFERENCE_STEP);
        let address = candidate.address.ip().to_string();
        let (foundation, protocol, tcp_type) = match candidate.protocol {
            IceProtocol::Udp => ("udpcandidate", "udp", None),
            IceProtocol::Tcp => ("tcpcandidate", "tcp", Some("passive")),
        };
        CandidateBody {
            foundation,
            priority: (64_u32 << 24) + (preference << 8) + 255,
            ip: address.clone(),
            address,
            protocol,
            port: candidate.address.port(),
            r#type: "host",
            tcp_type,
        }
    };
    (0..).zip(wanted).map(candidate).collect()
}

fn fingerprint(of: &Fingerprint) -> FingerprintBody {
    let algorithm = match of.algorithm {
        FingerprintAlgorithm::Sha256 => "sha-256",
        FingerprintAlgorithm::Sha384 => "sha-384",
        FingerprintAlgorithm::Sha512 => "sha-512",
    };
    let value: Vec<_> = of.value.iter().map(|byte| format!("{byte:02X}")).collect();
    FingerprintBody { algorithm: algorithm.into(), value: value.join(":") }
}

/// What a client is told of its new transport, with data channels if it has any; over TCP alone if it wants that.
pub(super) fn transport(made: &CreatedWebRtc, force_tcp: bool, sctp: Option<&Sctp>) -> CreatedTransport {
    CreatedTransport {
        id: made.name.clone(),
        transport_id: made.name.clone(),
        ice_parameters: ice_parameters(&made.local.ice),
        ice_candidates: candidates(&made.local, force_tcp),
        dtls_parameters: ServerDtls { role: "auto", fingerprints: [fingerprint(&made.local.fingerprint)] },
        sctp_parameters: sctp.map(|sctp| SctpBody {
            port: SCTP_PORT,
            streams_out: SCTP_STREAMS,
            streams_in: SCTP_STREAMS,
            max_message_size: MAX_MESSAGE_BYTES,
            max_send_message_size: MAX_MESSAGE_BYTES,
            max_receive_message_size: MAX_MESSAGE_BYTES,
            send_buffer_size: sctp.send_buffer_bytes,
            per_stream_send_queue_limit: sctp.send_buffer_bytes,
            max_receiver_window_buffer_size: sctp.recv_window_bytes,
            is_data_channel: true,
        }),
    }
}
