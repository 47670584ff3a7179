//! A participant driven by str0m: ICE, DTLS, SRTP, NACK, retransmission and reports are its own; what it sends and when
//! it asks for key frames is the run's.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant as StdInstant};

use bytes::Bytes;
use corecast_wire::{HeaderExtension, IceParameters};
use rtp::packet::Packet;
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion,
};
use str0m::crypto::{CryptoError, CryptoProvider, from_feature_flags};
use str0m::format::{Codec, FormatParams};
use str0m::media::{Frequency, KeyframeRequestKind, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, ExtensionSerializer, ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc};

use super::plan::{AUDIO_TYPES, VIDEO_TYPES, WebRtcPlan, sent_mid};
use crate::sim::consumer::Broken;
use crate::webrtc::{Machine, credentials, dial, poll};

/// Longest datagram of a handshake.
const MTU_BYTES: usize = 1_150;
/// The clock's reading at nought, for all runs of a process: str0m measures round trips on it in 1/65,536 s.
static STARTED: LazyLock<StdInstant> = LazyLock::new(StdInstant::now);
static CERTIFICATE: LazyLock<DtlsCert> = LazyLock::new(|| {
    let made = from_feature_flags().dtls_provider.generate_certificate();
    made.expect("a certificate")
});

/// When the clock of every run is at nought.
pub fn started() -> StdInstant {
    *STARTED
}

/// DTLS of the participants, with timers whose jitter is the same in every run.
#[derive(Debug)]
struct Repeatable;

/// One association.
struct Association(dimpl::Dtls);

impl std::fmt::Debug for Association {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Association")
    }
}

impl DtlsProvider for Repeatable {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        None
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: StdInstant,
        version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        static CONFIG: LazyLock<Arc<dimpl::Config>> = LazyLock::new(|| {
            let config = dimpl::Config::builder()
                .use_server_cookie(false)
                .mtu(MTU_BYTES)
                // As browsers: they begin with 50 to 100 ms.
                .flight_start_rto(Duration::from_millis(100))
                .flight_retries(8)
                .dangerously_set_rng_seed(7);
            Arc::new(config.build().expect("a lawful configuration"))
        });
        let (config, certificate) = (Arc::clone(&CONFIG), certificate.clone());
        Ok(Box::new(Association(match version {
            DtlsVersion::Dtls12 => dimpl::Dtls::new_12(config, certificate, now),
            DtlsVersion::Dtls13 => dimpl::Dtls::new_13(config, certificate, now),
            _ => dimpl::Dtls::new_auto(config, certificate, now),
        })))
    }
}

impl DtlsInstance for Association {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buf)
    }

    fn handle_timeout(&mut self, now: StdInstant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}

/// What a participant does.
#[derive(Debug)]
pub enum Said {
    /// Sends.
    Datagram {
        /// From this address of its own.
        from: SocketAddr,
        /// To this one of the server.
        to: SocketAddr,
        /// This.
        bytes: Bytes,
    },
    /// Has opened a packet of media.
    Opened(Box<RtpPacket>),
    /// Was asked for a key frame of a media section.
    KeyFrame(Mid),
}

/// A packet to send: its number, itself, and its dependency descriptor if it has one.
pub type Numbered = (u64, Packet, Option<Bytes>);

/// A str0m participant.
#[derive(Debug)]
pub struct Client {
    rtc: Rtc,
    /// Its address as it knows it.
    pub host: SocketAddr,
    /// When it wants to be called.
    pub wake_ns: u64,
    /// SHA-256 of its certificate.
    pub fingerprint: Vec<u8>,
}

fn at(now_ns: u64) -> StdInstant {
    started() + Duration::from_nanos(now_ns)
}

fn gave_up(error: impl std::fmt::Display) -> Broken {
    format!("str0m gave up: {error}")
}

/// The extension as str0m calls it.
fn extension(known: HeaderExtension) -> Extension {
    match known {
        HeaderExtension::Mid => Extension::RtpMid,
        HeaderExtension::AbsSendTime => Extension::AbsoluteSendTime,
        HeaderExtension::TransportCc => Extension::TransportSequenceNumber,
        HeaderExtension::AudioLevel => Extension::AudioLevel,
        HeaderExtension::DependencyDescriptor => Extension::with_serializer(DESCRIPTOR_URI, Descriptors),
        other => unreachable!("{other:?} is in no plan"),
    }
}

const DESCRIPTOR_URI: &str = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/// A dependency descriptor, as it is.
struct Descriptor(Bytes);

/// Passes them through str0m, which does not know them.
#[derive(Debug)]
struct Descriptors;

impl ExtensionSerializer for Descriptors {
    fn write_to(&self, room: &mut [u8], values: &ExtensionValues) -> usize {
        let Some(Descriptor(bytes)) = values.user_values.get() else { return 0 };
        room.get_mut(..bytes.len()).map_or(0, |room| {
            room.copy_from_slice(bytes);
            bytes.len()
        })
    }

    fn parse_value(&self, bytes: &[u8], values: &mut ExtensionValues) -> bool {
        values.user_values.set(Descriptor(Bytes::copy_from_slice(bytes)));
        true
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }

    fn requires_two_byte_form(&self, values: &ExtensionValues) -> bool {
        values.user_values.get::<Descriptor>().is_some_and(|Descriptor(bytes)| bytes.len() > 16)
    }
}

impl Client {
    /// Knows the machine, and has not said anything yet.
    pub fn new(now_ns: u64, host: SocketAddr, plan: &WebRtcPlan, machine: &Machine<'_>) -> Self {
        static CRYPTO: LazyLock<Arc<CryptoProvider>> =
            LazyLock::new(|| Arc::new(CryptoProvider { dtls_provider: &Repeatable, ..from_feature_flags() }));
        let mut config = Rtc::builder()
            .set_crypto_provider(Arc::clone(&CRYPTO))
            .set_dtls_cert(CERTIFICATE.clone())
            .set_dtls_version(plan.version)
            .clear_codecs()
            .clear_extension_map();
        for (known, id) in &plan.extensions {
            config = config.set_extension(*id, extension(*known));
        }
        let codecs = config.codec_config();
        for (media, rtx) in VIDEO_TYPES {
            let format = FormatParams::default();
            codecs.add_config(media.into(), Some(rtx.into()), Codec::Vp8, Frequency::NINETY_KHZ, None, format);
        }
        for media in AUDIO_TYPES {
            let format = FormatParams::default();
            codecs.add_config(media.into(), None, Codec::Opus, Frequency::FORTY_EIGHT_KHZ, Some(2), format);
        }
        let (mut rtc, fingerprint) = dial(config, at(now_ns), host, machine, plan.dtls_client);
        if plan.extensions.iter().any(|(known, _)| *known == HeaderExtension::TransportCc) {
            rtc.direct_api().enable_twcc_feedback();
        }
        Self { rtc, host, wake_ns: now_ns, fingerprint }
    }

    /// Announces a stream that it will send.
    pub fn will_send(&mut self, at: usize, video: bool, ssrc: u32, rtx: Option<u32>) {
        let mid = Mid::from(sent_mid(at).as_str());
        let mut api = self.rtc.direct_api();
        api.declare_media(mid, if video { MediaKind::Video } else { MediaKind::Audio });
        let stream = api.declare_stream_tx(ssrc.into(), rtx.map(Into::into), mid, None);
        stream.set_rtx_cache(400, Duration::from_secs(3), None);
    }

    /// Awaits a stream.
    pub fn will_receive(&mut self, mid: &str, video: bool, ssrc: u32, rtx: Option<u32>) {
        let mid = Mid::from(mid);
        let mut api = self.rtc.direct_api();
        api.declare_media(mid, if video { MediaKind::Video } else { MediaKind::Audio });
        api.expect_stream_rx(ssrc.into(), rtx.map(Into::into), mid, None);
    }

    /// Time passes.
    ///
    /// # Errors
    /// If str0m has given up.
    pub fn wake(&mut self, now_ns: u64) -> Result<Vec<Said>, Broken> {
        self.rtc.handle_input(Input::Timeout(at(now_ns))).map_err(gave_up)?;
        self.poll()
    }

    /// A datagram of the server has come.
    ///
    /// # Errors
    /// If str0m has given up.
    pub fn receive(&mut self, now_ns: u64, from: SocketAddr, bytes: &[u8]) -> Result<Vec<Said>, Broken> {
        let contents = bytes.try_into().map_err(|_| "sent what str0m does not know".to_owned())?;
        let receive = Receive { proto: Protocol::Udp, source: from, destination: self.host, contents };
        self.rtc.handle_input(Input::Receive(at(now_ns), receive)).map_err(gave_up)?;
        self.poll()
    }

    /// Sends packets of one stream that are numbered from `index` on.
    ///
    /// # Errors
    /// If str0m has given up.
    pub fn send(&mut self, now_ns: u64, packets: &[Numbered], plan: &WebRtcPlan) -> Result<Vec<Said>, Broken> {
        let wallclock = at(now_ns);
        for (number, Packet { header, payload }, descriptor) in packets {
            let level = plan.extension(HeaderExtension::AudioLevel).and_then(|id| header.get_extension(id));
            let mut ext_vals = ExtensionValues::default();
            descriptor.iter().for_each(|bytes| ext_vals.user_values.set(Descriptor(bytes.clone())));
            if let Some(level) = level.as_ref().and_then(|level| level.first()) {
                ext_vals.voice_activity = Some(level & 0x80 != 0);
                ext_vals.audio_level = Some(-i8::try_from(level & 0x7F).expect("7 bits"));
            }
            let write = RtpWrite::new(
                header.payload_type.into(),
                (*number).into(),
                header.timestamp,
                wallclock,
                payload.to_vec(),
            );
            let write = write.marker(header.marker).nackable(true).csrc(&header.csrc).ext_vals(ext_vals);
            let mut api = self.rtc.direct_api();
            let Some(stream) = api.stream_tx(&header.ssrc.into()) else {
                return Err("str0m has forgotten a stream".to_owned());
            };
            stream.write_rtp(write);
        }
        self.wake(now_ns)
    }

    /// Asks for a key frame.
    ///
    /// # Errors
    /// If str0m has given up.
    pub fn want_key_frame(&mut self, now_ns: u64, ssrc: u32, fir: bool) -> Result<Vec<Said>, Broken> {
        let kind = if fir { KeyframeRequestKind::Fir } else { KeyframeRequestKind::Pli };
        if let Some(stream) = self.rtc.direct_api().stream_rx(&ssrc.into()) {
            stream.request_keyframe(kind);
        }
        self.wake(now_ns)
    }

    /// The transport has new credentials, and so has it.
    pub fn restart(&mut self, ice: &IceParameters) {
        let mut api = self.rtc.direct_api();
        api.set_local_ice_credentials(str0m::IceCreds::new());
        api.set_remote_ice_credentials(credentials(ice));
    }

    /// It leaves its address for another one.
    pub fn go_to(&mut self, host: SocketAddr) {
        let candidate = |address| Candidate::host(address, "udp").expect("a candidate");
        self.rtc.add_local_candidate(candidate(host));
        self.rtc.direct_api().invalidate_candidate(&candidate(self.host));
        self.host = host;
    }

    /// Says goodbye.
    ///
    /// # Errors
    /// If str0m has given up.
    pub fn close(&mut self, now_ns: u64) -> Result<Vec<Said>, Broken> {
        self.rtc.close().map_err(gave_up)?;
        self.wake(now_ns)
    }

    /// Whether it can send media.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.rtc.is_connected()
    }

    /// Whether it has not been closed, by itself or by the server.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.rtc.is_alive()
    }

    fn poll(&mut self) -> Result<Vec<Said>, Broken> {
        let mut all = Vec::new();
        let again = poll(&mut self.rtc, |said| match said {
            Output::Transmit(transmit) => all.push(Said::Datagram {
                from: transmit.source,
                to: transmit.destination,
                bytes: Bytes::copy_from_slice(&transmit.contents),
            }),
            Output::Event(Event::RtpPacket(packet)) => all.push(Said::Opened(Box::new(packet))),
            Output::Event(Event::KeyframeRequest(request)) => all.push(Said::KeyFrame(request.mid)),
            Output::Event(_) | Output::Timeout(_) => {}
        });
        let again = again.map_err(gave_up)?.saturating_duration_since(started());
        self.wake_ns = u64::try_from(again.as_nanos()).unwrap_or(u64::MAX);
        Ok(all)
    }
}
