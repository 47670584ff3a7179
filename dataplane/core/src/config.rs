//! What a worker is told when it is made.

use std::time::Duration;

use corecast_wire::{DataLimits, Maxima, WebRtcConfig};

use crate::limits::{MAX_DATA_RECORDS_12, MAX_SLOTS};
use crate::time::SystemInstant;

/// What a worker is told when it is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// Unix time at [`Instant`](crate::time::Instant) zero, in nanoseconds; for the NTP timestamps of sender reports.
    pub unix_time_ns: u64,
    /// The clock's reading at [`Instant`](crate::time::Instant) zero; the DTLS library counts from it.
    pub started: SystemInstant,
    /// WebRTC transports; without it there are none.
    pub webrtc: Option<WebRtcConfig>,
    /// Packets of history that all streams may hold together.
    pub history_slots: usize,
    /// Media that is older than this when its turn comes is not forwarded. What matters less goes sooner, if the worker
    /// stays behind.
    pub max_media_age: Duration,
    /// Most that a packet of sound waits for others to leave with, if others are likely to come; zero for never.
    pub max_sound_wait: Duration,
    /// RTP packets that are taken in of one transport, per second on average over a second.
    pub max_packets_per_s: u32,
    /// What data channels may hold.
    pub data: DataLimits,
    /// Objects that the worker holds at most.
    pub maxima: Maxima,
    /// Records of application data that one key of DTLS 1.2 protects; then the transport's data channels are closed.
    pub max_data_records_per_key: u32,
    /// Makes what the DTLS library draws for its timers and hellos the same in every run. For simulation alone: keys
    /// are never drawn from it, but nonces are.
    pub handshake_seed: Option<u64>,
    /// The worker whose place it takes died of something that it did itself, and not of what was done to it.
    pub is_blamed: bool,
}

impl Config {
    /// Without WebRTC transports and without limits, at the beginning of Unix time.
    #[must_use]
    pub const fn plain(started: SystemInstant) -> Self {
        Self {
            unix_time_ns: 0,
            started,
            webrtc: None,
            history_slots: MAX_SLOTS,
            max_media_age: Duration::MAX,
            max_sound_wait: Duration::ZERO,
            max_packets_per_s: u32::MAX,
            data: DataLimits::DEFAULT,
            maxima: Maxima::DEFAULT,
            max_data_records_per_key: MAX_DATA_RECORDS_12,
            handshake_seed: None,
            is_blamed: false,
        }
    }
}
