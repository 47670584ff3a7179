//! Bodies of the broadcaster API, both forms.

use std::net::IpAddr;

use corecast_wire::SrtpCryptoSuite;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::srtp::{self, SrtpJson};
use crate::http::HttpError;
use crate::ortc::{Kind, RtpCapabilities, RtpParameters};
use crate::rooms::{
    self, NewConsumer, NewDataProducer, NewPeer, NewPlainTransport, NewProducer, PeerKind, PlainRemote,
    check_display_name, check_name,
};
use crate::signaling::webrtc::{DtlsBody, StreamBody};

/// `POST …/broadcasters`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct BroadcasterBody {
    id: Option<String>,
    peer_id: Option<String>,
    display_name: String,
    device: Device,
    rtp_capabilities: Option<RtpCapabilities>,
}

/// What a broadcaster says it is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(in crate::signaling) struct Device {
    #[serde(default)]
    flag: Option<String>,
    name: String,
    /// A string or a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Value>,
}

/// Longest `appData` of a data producer, as text.
const MAX_DATA_BYTES: usize = 4_096;
/// Most bytes of each word about a device: the room keeps them, and the status shows them to any operator.
const MAX_DEVICE_BYTES: usize = 256;

impl Device {
    fn check(&self) -> Result<(), HttpError> {
        let version = match &self.version {
            None | Some(Value::Null) => 0,
            Some(Value::String(text)) => text.len(),
            Some(Value::Number(number)) => number.to_string().len(),
            Some(_) => return Err(HttpError::field("device.version", "must be a string or a number")),
        };
        let flag = self.flag.as_ref().map_or(0, String::len);
        for (field, bytes) in [("device.flag", flag), ("device.name", self.name.len()), ("device.version", version)] {
            if bytes > MAX_DEVICE_BYTES {
                return Err(HttpError::field(field, format!("must be at most {MAX_DEVICE_BYTES} bytes long")));
            }
        }
        Ok(())
    }
}

fn check_capabilities(capabilities: Option<&RtpCapabilities>) -> Result<(), HttpError> {
    Ok(capabilities.map_or(Ok(()), RtpCapabilities::check).map_err(rooms::Error::from)?)
}

impl BroadcasterBody {
    /// The peer, and the field of its name. Nothing is asked of the room: a wrong body makes none.
    pub(super) fn read(self, client: IpAddr) -> Result<(NewPeer, &'static str), HttpError> {
        let (name, kind, field) = match (self.id, self.peer_id) {
            (Some(id), None) => (id, PeerKind::LegacyBroadcaster, "id"),
            (None, Some(id)) => (id, PeerKind::TypedBroadcaster, "peerId"),
            _ => return Err(HttpError::field("id", "give either id or peerId")),
        };
        check_name(field, &name)?;
        check_display_name("displayName", &self.display_name)?;
        self.device.check()?;
        check_capabilities(self.rtp_capabilities.as_ref())?;
        let is_legacy = kind == PeerKind::LegacyBroadcaster;
        let mut device = self.device;
        if is_legacy {
            device.flag = Some("broadcaster".into());
        }
        let peer = NewPeer {
            name,
            kind,
            display_name: self.display_name,
            app_data: json!({ "device": device }),
            rtp_capabilities: self.rtp_capabilities,
            // The newer form joins in a request of its own.
            joined: is_legacy,
            credential: None,
            client,
        };
        Ok((peer, field))
    }
}

/// `POST …/transports`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct TransportBody {
    #[serde(rename = "type")]
    kind: Option<String>,
    direction: Option<String>,
    comedia: Option<bool>,
    rtcp_mux: Option<bool>,
    enable_srtp: Option<bool>,
    srtp_crypto_suite: Option<String>,
    srtp_parameters: Option<SrtpJson>,
    /// Address of its socket, one of `rtc.listen_ips`.
    #[schema(value_type = Option<String>)]
    listen_ip: Option<IpAddr>,
    /// Given at all, it asks for data channels.
    #[schema(value_type = Option<Object>)]
    sctp_capabilities: Option<Value>,
}

impl TransportBody {
    /// Whether it is to be a WebRTC transport, and if so, whether with data channels.
    pub(super) fn webrtc(&self) -> Option<bool> {
        let is_webrtc = self.kind.as_deref() == Some("webrtc");
        is_webrtc.then(|| self.sctp_capabilities.as_ref().is_some_and(|given| !given.is_null()))
    }

    pub(super) fn read(self) -> Result<NewPlainTransport, HttpError> {
        let (comedia, rtcp_mux) = self.shape()?;
        let suite = self.suite()?;
        let remote_srtp = self.srtp_parameters.map(|remote| remote.read(suite)).transpose()?;
        Ok(NewPlainTransport { listen_ip: self.listen_ip, comedia, rtcp_mux, suite, remote_srtp })
    }

    /// `comedia` and `rtcpMux`. Defaults differ: the legacy demo's own, and those of mediasoup, which the typed one
    /// passes on to.
    fn shape(&self) -> Result<(bool, bool), HttpError> {
        match (self.kind.as_deref(), self.direction.as_deref()) {
            (Some("plain"), _) => Ok((self.comedia.unwrap_or(true), self.rtcp_mux.unwrap_or(false))),
            (Some(other), _) => Err(HttpError::field("type", format!("{other:?} must be \"plain\" or \"webrtc\""))),
            (None, Some("producer" | "consumer")) => Ok((self.comedia.unwrap_or(false), self.rtcp_mux.unwrap_or(true))),
            (None, Some(other)) => {
                Err(HttpError::field("direction", format!("{other:?} must be \"producer\" or \"consumer\"")))
            }
            (None, None) => Err(HttpError::field("type", "give type (\"plain\") or direction")),
        }
    }

    /// The suite, if SRTP is on: by `enableSrtp`, or because something about it is given and `enableSrtp` is absent.
    fn suite(&self) -> Result<Option<SrtpCryptoSuite>, HttpError> {
        let named = self.srtp_crypto_suite.as_deref().map(|name| srtp::suite(Some(name))).transpose()?;
        match (self.enable_srtp, named, &self.srtp_parameters) {
            (Some(false), _, Some(_)) => Err(HttpError::field("enableSrtp", "is false, but srtpParameters are given")),
            (Some(false), _, None) | (None, None, None) => Ok(None),
            (_, Some(suite), _) => Ok(Some(suite)),
            (_, None, Some(remote)) => Ok(Some(remote.read(None)?.suite)),
            (Some(true), None, None) => srtp::suite(None).map(Some),
        }
    }
}

/// `POST …/transports/:id/connect`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct ConnectBody {
    #[schema(value_type = Option<String>)]
    ip: Option<IpAddr>,
    port: Option<u16>,
    rtcp_port: Option<u16>,
    srtp_parameters: Option<SrtpJson>,
    pub(super) dtls_parameters: Option<DtlsBody>,
}

impl ConnectBody {
    /// The remote side of a plain transport.
    pub(super) fn read(self) -> Result<PlainRemote, HttpError> {
        let srtp = self.srtp_parameters.map(|given| given.read(None)).transpose()?;
        Ok(PlainRemote { ip: self.ip, port: self.port, rtcp_port: self.rtcp_port, srtp })
    }
}

/// `POST …/producers`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct ProduceBody {
    pub(super) transport_id: Option<String>,
    kind: Kind,
    rtp_parameters: RtpParameters,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    app_data: Option<Value>,
}

impl From<ProduceBody> for NewProducer {
    fn from(body: ProduceBody) -> Self {
        let ProduceBody { kind, rtp_parameters, paused, app_data, .. } = body;
        Self { kind, rtp_parameters, paused, app_data }
    }
}

/// `POST …/produce/data`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct ProduceDataBody {
    #[serde(default)]
    label: String,
    #[serde(default)]
    protocol: String,
    sctp_stream_parameters: StreamBody,
    #[serde(default)]
    app_data: Option<Value>,
}

impl ProduceDataBody {
    pub(super) fn read(self) -> Result<NewDataProducer, HttpError> {
        let Self { label, protocol, sctp_stream_parameters, app_data } = self;
        let (stream, parameters) = sctp_stream_parameters.read()?;
        let app_data = app_data.filter(Value::is_object).unwrap_or_else(|| json!({}));
        if app_data.to_string().len() > MAX_DATA_BYTES {
            return Err(HttpError::field("appData", format!("must be at most {MAX_DATA_BYTES} bytes long")));
        }
        Ok(NewDataProducer { stream, parameters, label, protocol, app_data })
    }
}

/// `POST …/consume/data`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct ConsumeDataBody {
    pub(super) data_producer_id: String,
}

/// `POST …/consumers` and `…/consume`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct ConsumeBody {
    pub(super) transport_id: Option<String>,
    pub(super) producer_id: Option<String>,
    #[serde(default)]
    paused: bool,
    enable_rtx: Option<bool>,
    rtp_capabilities: Option<RtpCapabilities>,
}

impl ConsumeBody {
    pub(super) fn of(self, producer: String) -> NewConsumer {
        let Self { paused, enable_rtx, rtp_capabilities, .. } = self;
        NewConsumer { producer, rtp_capabilities, enable_rtx, paused }
    }
}

/// `POST …/resume` of a transport.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct ResumeBody {
    pub(super) consumer_id: String,
}

/// `POST …/setPreferredLayers`, mediasoup's fields; temporal layers are not chosen.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct PreferredLayersBody {
    pub(super) spatial_layer: u8,
    pub(super) temporal_layer: Option<u8>,
}
