//! What the operator may set about WebRTC: DTLS, data channels, and limits of what comes in by the WHIP and WHEP
//! endpoints.

use std::ops::RangeInclusive;
use std::time::Duration;

use clap::Parser;
use corecast_wire::{DataLimits, MAX_MESSAGE_BYTES};
use serde::{Deserialize, Serialize};

use super::{Config, ConfigError, set, set_list};
use crate::settings::{DtlsSetting, IceServer, Span};

/// At most what the parser takes.
const SDP_BYTES: RangeInclusive<usize> = 1_024..=crate::sdp::MAX_BYTES;
const CONNECTIONS: RangeInclusive<usize> = 16..=1 << 20;
/// A round of a busy worker takes some milliseconds.
const MEDIA_AGE_MS: RangeInclusive<u128> = 50..=10_000;
/// A call's sound and picture.
const LEAST_PACKETS_PER_SECOND: u32 = 100;
/// A message is taken while another one waits; 5 MiB is what browsers announce.
const RECV_WINDOW_BYTES: RangeInclusive<u64> = 2 * MAX_MESSAGE_BYTES as u64..=16 << 20;
const SEND_BUFFER_BYTES: RangeInclusive<u64> = MAX_MESSAGE_BYTES as u64..=64 << 20;
const MAX_WORKER_BYTES: u64 = 64 << 30;
const CONSENT_SECS: RangeInclusive<u64> = 10..=60;

/// DTLS of WebRTC transports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Dtls {
    pub(crate) versions: DtlsSetting,
}

/// What data channels may hold of messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sctp {
    /// Window that each client is announced, in bytes.
    pub(crate) recv_window_bytes: u32,
    /// What may wait for one client, in bytes.
    pub(crate) send_buffer_bytes: u32,
    /// What may wait for all clients of a worker together, in bytes.
    pub(crate) worker_bytes: u64,
}

impl Default for Sctp {
    fn default() -> Self {
        let DataLimits { recv_window_bytes, send_buffer_bytes, worker_bytes } = DataLimits::DEFAULT;
        Self { recv_window_bytes, send_buffer_bytes, worker_bytes }
    }
}

impl Sctp {
    /// What a worker is told.
    pub(crate) const fn limits(&self) -> DataLimits {
        let Self { recv_window_bytes, send_buffer_bytes, worker_bytes } = *self;
        DataLimits { recv_window_bytes, send_buffer_bytes, worker_bytes }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let within = |name: &str, bytes: u64, range: &RangeInclusive<u64>| match range.contains(&bytes) {
            true => Ok(()),
            false => Err(ConfigError(format!("sctp.{name} must be {} to {}", range.start(), range.end()))),
        };
        within("recv_window_bytes", self.recv_window_bytes.into(), &RECV_WINDOW_BYTES)?;
        within("send_buffer_bytes", self.send_buffer_bytes.into(), &SEND_BUFFER_BYTES)?;
        within("worker_bytes", self.worker_bytes, &(self.send_buffer_bytes.into()..=MAX_WORKER_BYTES))
    }
}

/// Most that clients may ask of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// New sessions per second, of all clients together. 0 for no limit.
    pub(crate) sessions_per_second: u32,
    /// New sessions per second of one IP address (IPv6: of one /64) that are not connected. 0 for no limit.
    pub(crate) sessions_per_second_per_ip: u32,
    /// Sessions of one IP address (IPv6: of one /64) at a time. 0 for no limit.
    pub(crate) sessions_per_ip: usize,
    /// No new rooms while every worker uses more of its core than this, in percent. 0 for no limit.
    pub(crate) cpu_percent: u8,
    /// No new rooms while more of the memory is in use than this, of the machine's or of what a control group may have,
    /// in percent. 0 for no limit.
    pub(crate) memory_percent: u8,
    /// By so much more either may be passed for rooms of high priority, in percent.
    pub(crate) reserved_percent: u8,
    /// Longest session description, in bytes.
    pub(crate) sdp_bytes: usize,
    /// HTTP connections at a time.
    pub(crate) connections: usize,
    /// HTTP connections of one IP address (IPv6: of one /64) at a time. 0 for no limit.
    pub(crate) connections_per_ip: usize,
    /// RTP packets that are taken in of one transport per second.
    pub(crate) packets_per_second: u32,
    /// Media that is older than this when its turn comes is not forwarded.
    pub(crate) media_age: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_per_second: 200,
            sessions_per_second_per_ip: 50,
            sessions_per_ip: 2_000,
            cpu_percent: 90,
            memory_percent: 95,
            reserved_percent: 5,
            sdp_bytes: 64 << 10,
            connections: 4_096,
            connections_per_ip: 1_024,
            packets_per_second: 20_000,
            media_age: Span(Duration::from_millis(200)),
        }
    }
}

/// Flags of these settings.
#[derive(Clone, Debug, Parser)]
pub(crate) struct WebRtcArgs {
    /// Port of WebRTC, UDP and TCP; worker i has the i-th after it; 0 for no WebRTC [default: 3480]
    #[arg(long, env = "CORECAST_RTC_WEBRTC_PORT", value_name = "PORT")]
    rtc_webrtc_port: Option<u16>,
    /// Take WebRTC over TCP where UDP does not pass [default: true]
    #[arg(long, env = "CORECAST_RTC_TCP", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    rtc_tcp: Option<bool>,
    /// End a WebRTC session whose client has not been heard of for this long, 10s to 60s [default: 30s]
    #[arg(long, env = "CORECAST_RTC_CONSENT_TIMEOUT", value_name = "TIME")]
    rtc_consent_timeout: Option<Span>,
    /// STUN and TURN servers that clients are told of, each URL or "URL USERNAME CREDENTIAL"
    #[arg(long, env = "CORECAST_RTC_ICE_SERVERS", value_name = "SERVER", value_delimiter = ',')]
    rtc_ice_servers: Vec<IceServer>,
    /// Most that a publisher is asked to send, in bits per second; 0 for no limit [default: 0]
    #[arg(long, env = "CORECAST_RTC_MAX_INCOMING_BITRATE", value_name = "BPS")]
    rtc_max_incoming_bitrate: Option<u64>,
    /// What a viewer's path is taken to carry at first, in bits per second [default: 1000000]
    #[arg(long, env = "CORECAST_RTC_INITIAL_OUTGOING_BITRATE", value_name = "BPS")]
    rtc_initial_outgoing_bitrate: Option<u64>,
    /// Most that a viewer is sent, in bits per second; 0 for no limit [default: 0]
    #[arg(long, env = "CORECAST_RTC_MAX_OUTGOING_BITRATE", value_name = "BPS")]
    rtc_max_outgoing_bitrate: Option<u64>,
    /// "1.2", "1.3" or "both" [default: 1.2]
    #[arg(long, env = "CORECAST_DTLS_VERSIONS", value_name = "WHICH")]
    dtls_versions: Option<DtlsSetting>,
    /// Window of data channels that each client is announced, in bytes [default: 524288]
    #[arg(long, env = "CORECAST_SCTP_RECV_WINDOW_BYTES", value_name = "BYTES")]
    sctp_recv_window_bytes: Option<u32>,
    /// Messages of data channels that may wait for one client, in bytes [default: 1048576]
    #[arg(long, env = "CORECAST_SCTP_SEND_BUFFER_BYTES", value_name = "BYTES")]
    sctp_send_buffer_bytes: Option<u32>,
    /// The same for all clients of a worker together, in bytes [default: 268435456]
    #[arg(long, env = "CORECAST_SCTP_WORKER_BYTES", value_name = "BYTES")]
    sctp_worker_bytes: Option<u64>,
    /// New WebRTC sessions per second; 0 for no limit [default: 200]
    #[arg(long, env = "CORECAST_LIMITS_SESSIONS_PER_SECOND", value_name = "NUMBER")]
    limits_sessions_per_second: Option<u32>,
    /// New WebRTC sessions per second of one IP address that do not connect; 0 for no limit [default: 50]
    #[arg(long, env = "CORECAST_LIMITS_SESSIONS_PER_SECOND_PER_IP", value_name = "NUMBER")]
    limits_sessions_per_second_per_ip: Option<u32>,
    /// WebRTC sessions of one IP address at a time; 0 for no limit [default: 2000]
    #[arg(long, env = "CORECAST_LIMITS_SESSIONS_PER_IP", value_name = "NUMBER")]
    limits_sessions_per_ip: Option<usize>,
    /// Make no new rooms while every worker uses more of its core, in percent; 0 for no limit [default: 90]
    #[arg(long, env = "CORECAST_LIMITS_CPU_PERCENT", value_name = "PERCENT")]
    limits_cpu_percent: Option<u8>,
    /// Make no new rooms while more of the memory is in use, in percent; 0 for no limit [default: 95]
    #[arg(long, env = "CORECAST_LIMITS_MEMORY_PERCENT", value_name = "PERCENT")]
    limits_memory_percent: Option<u8>,
    /// Make rooms of high priority up to so much past these two, in percent [default: 5]
    #[arg(long, env = "CORECAST_LIMITS_RESERVED_PERCENT", value_name = "PERCENT")]
    limits_reserved_percent: Option<u8>,
    /// Longest session description, in bytes [default: 65536]
    #[arg(long, env = "CORECAST_LIMITS_SDP_BYTES", value_name = "BYTES")]
    limits_sdp_bytes: Option<usize>,
    /// HTTP connections at a time [default: 4096]
    #[arg(long, env = "CORECAST_LIMITS_CONNECTIONS", value_name = "NUMBER")]
    limits_connections: Option<usize>,
    /// HTTP connections of one IP address at a time; 0 for no limit [default: 1024]
    #[arg(long, env = "CORECAST_LIMITS_CONNECTIONS_PER_IP", value_name = "NUMBER")]
    limits_connections_per_ip: Option<usize>,
    /// RTP packets of one transport per second that are taken in [default: 20000]
    #[arg(long, env = "CORECAST_LIMITS_PACKETS_PER_SECOND", value_name = "NUMBER")]
    limits_packets_per_second: Option<u32>,
    /// Do not forward media that is older than this when its turn comes, 50ms to 10s [default: 200ms]
    #[arg(long, env = "CORECAST_LIMITS_MEDIA_AGE", value_name = "TIME")]
    limits_media_age: Option<Span>,
}

impl WebRtcArgs {
    pub(super) fn overlay(&self, config: &mut Config) {
        set(&mut config.rtc.webrtc_port, &self.rtc_webrtc_port);
        set(&mut config.rtc.tcp, &self.rtc_tcp);
        set(&mut config.rtc.consent_timeout, &self.rtc_consent_timeout);
        set(&mut config.rtc.max_incoming_bitrate, &self.rtc_max_incoming_bitrate);
        set(&mut config.rtc.initial_outgoing_bitrate, &self.rtc_initial_outgoing_bitrate);
        set(&mut config.rtc.max_outgoing_bitrate, &self.rtc_max_outgoing_bitrate);
        set(&mut config.dtls.versions, &self.dtls_versions);
        set(&mut config.sctp.recv_window_bytes, &self.sctp_recv_window_bytes);
        set(&mut config.sctp.send_buffer_bytes, &self.sctp_send_buffer_bytes);
        set(&mut config.sctp.worker_bytes, &self.sctp_worker_bytes);
        set(&mut config.limits.sessions_per_second, &self.limits_sessions_per_second);
        set(&mut config.limits.sessions_per_second_per_ip, &self.limits_sessions_per_second_per_ip);
        set(&mut config.limits.sessions_per_ip, &self.limits_sessions_per_ip);
        set(&mut config.limits.cpu_percent, &self.limits_cpu_percent);
        set(&mut config.limits.memory_percent, &self.limits_memory_percent);
        set(&mut config.limits.reserved_percent, &self.limits_reserved_percent);
        set(&mut config.limits.sdp_bytes, &self.limits_sdp_bytes);
        set(&mut config.limits.connections, &self.limits_connections);
        set(&mut config.limits.connections_per_ip, &self.limits_connections_per_ip);
        set(&mut config.limits.packets_per_second, &self.limits_packets_per_second);
        set(&mut config.limits.media_age, &self.limits_media_age);
        set_list(&mut config.rtc.ice_servers, &self.rtc_ice_servers);
    }
}

impl Config {
    /// Checks what these settings must not be together.
    pub(super) fn check_webrtc(&self, workers: usize) -> Result<(), ConfigError> {
        let wrong = |sentence: String| Err(ConfigError(sentence));
        let (base, range) = (self.rtc.webrtc_port, self.rtc.port_range);
        if base > 0 {
            let last = usize::from(base) + workers.saturating_sub(1);
            if last > usize::from(u16::MAX) {
                return wrong(format!("rtc.webrtc_port {base} leaves no port for the last of {workers} workers"));
            }
            if usize::from(base) <= usize::from(range.max) && last >= usize::from(range.min) {
                let cause = format!("{base} to {last}, one per worker, overlap rtc.port_range {range}");
                return wrong(format!("rtc.webrtc_port: {cause}"));
            }
        }
        for port in self.rtc.listen_ips.iter().filter_map(|listen| listen.announced_port) {
            if usize::from(port) + workers > usize::from(u16::MAX) + 1 {
                return wrong(format!("rtc.listen_ips: announced port {port} leaves none for the last worker"));
            }
        }
        let consent = self.rtc.consent_timeout.0;
        if !CONSENT_SECS.contains(&consent.as_secs()) || consent.as_secs_f64() > 60.0 {
            return wrong("rtc.consent_timeout must be 10s to 60s".into());
        }
        if !SDP_BYTES.contains(&self.limits.sdp_bytes) {
            return wrong(format!("limits.sdp_bytes must be {} to {}", SDP_BYTES.start(), SDP_BYTES.end()));
        }
        if !CONNECTIONS.contains(&self.limits.connections) {
            let sentence = format!("limits.connections must be {} to {}", CONNECTIONS.start(), CONNECTIONS.end());
            return wrong(sentence);
        }
        let Limits { cpu_percent, memory_percent, reserved_percent, .. } = self.limits;
        if [cpu_percent, memory_percent, reserved_percent].iter().any(|percent| *percent > 100) {
            let names = "limits.cpu_percent, limits.memory_percent and limits.reserved_percent";
            return wrong(format!("{names} must be 0 to 100"));
        }
        if !MEDIA_AGE_MS.contains(&self.limits.media_age.0.as_millis()) {
            return wrong("limits.media_age must be 50ms to 10s".into());
        }
        if self.limits.packets_per_second < LEAST_PACKETS_PER_SECOND {
            return wrong(format!("limits.packets_per_second must be {LEAST_PACKETS_PER_SECOND} or more"));
        }
        self.sctp.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, workers: usize) -> Result<(), String> {
        Config::parse(text).expect(text).check_webrtc(workers).map_err(|error| error.0)
    }

    #[test]
    fn settings_that_do_not_fit_each_other_are_named() {
        for (text, part) in [
            ("[rtc]\nwebrtc_port = 65535", "rtc.webrtc_port"),
            ("[rtc]\nwebrtc_port = 40000", "rtc.port_range"),
            ("[rtc]\nwebrtc_port = 39999", "rtc.port_range"),
            ("[rtc]\nlisten_ips = [\"127.0.0.1=192.0.2.1:65535\"]", "rtc.listen_ips"),
            ("[rtc]\nconsent_timeout = \"5s\"", "rtc.consent_timeout"),
            ("[rtc]\nconsent_timeout = \"60500ms\"", "rtc.consent_timeout"),
            ("[limits]\nsdp_bytes = 10", "limits.sdp_bytes"),
            ("[limits]\nconnections = 1", "limits.connections"),
            ("[limits]\ncpu_percent = 101", "limits.cpu_percent"),
            ("[limits]\nreserved_percent = 101", "limits.reserved_percent"),
            ("[limits]\nmedia_age = \"20ms\"", "limits.media_age"),
            ("[limits]\nmedia_age = \"11s\"", "limits.media_age"),
            ("[limits]\npackets_per_second = 0", "limits.packets_per_second"),
            ("[sctp]\nrecv_window_bytes = 300000", "sctp.recv_window_bytes"),
            ("[sctp]\nsend_buffer_bytes = 262143", "sctp.send_buffer_bytes"),
            ("[sctp]\nsend_buffer_bytes = 2000000\nworker_bytes = 1999999", "sctp.worker_bytes"),
        ] {
            let error = check(text, 2).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
        for right in ["", "[rtc]\nwebrtc_port = 0", "[rtc]\nwebrtc_port = 39998"] {
            assert_eq!(check(right, 2), Ok(()), "{right}");
        }
    }

    #[test]
    fn flags_lie_over_the_file() {
        let mut config = Config::parse("[limits]\nsdp_bytes = 4096").expect("file");
        let flags = ["corecast", "--dtls-versions", "both", "--rtc-tcp", "false"];
        let sctp = ["--sctp-recv-window-bytes", "1048576", "--sctp-send-buffer-bytes", "300000"];
        let total = ["--sctp-worker-bytes", "8589934592"];
        let ice = ["--rtc-ice-servers", "stun:s.example,turn:t.example user secret"];
        WebRtcArgs::try_parse_from(flags.iter().chain(&sctp).chain(&total).chain(&ice))
            .expect("flags")
            .overlay(&mut config);
        assert_eq!((config.limits.sdp_bytes, config.rtc.tcp), (4_096, false));
        let limits = DataLimits { recv_window_bytes: 1 << 20, send_buffer_bytes: 300_000, worker_bytes: 1 << 33 };
        assert_eq!(config.sctp.limits(), limits);
        assert_eq!(config.dtls.versions.to_string(), "both");
        assert_eq!(config.rtc.ice_servers[1].credential.as_deref(), Some("secret"));
        let written = toml::to_string(&config).expect("writes");
        assert_eq!(Config::parse(&written).expect("reads"), config);
    }
}
