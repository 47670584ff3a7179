//! What a WebRTC participant has beyond a plain one, drawn before a run begins.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use corecast_wire::{DtlsVersions, HeaderExtension};
use str0m::config::DtlsVersion;

use crate::sim::numbers::MS;
use crate::sim::random::Random;

/// The server's addresses.
pub const SERVER: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 4_000),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)), 4_000),
];
/// How long the server goes without a check (RFC 7675 section 5.1).
pub const CONSENT_NS: u64 = 30_000 * MS;
/// From one end of the late receiver's links to the other.
pub const LATE_DELAY_US: u64 = 100_000;
/// Payload types of video that every WebRTC participant knows, those of senders and those of the rooms, each with the
/// type of its retransmissions.
pub const VIDEO_TYPES: [(u8, u8); 2] = [(96, 97), (110, 111)];
/// The same for sound.
pub const AUDIO_TYPES: [u8; 2] = [100, 114];

/// How a participant leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Control closes its transport.
    Closed,
    /// It says goodbye, which may be lost.
    Goodbye,
    /// It falls silent.
    Silent,
}

/// What happens to a participant's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Something between changes it (NAT): the participant does not know.
    Rebound,
    /// It leaves its network for another one, and knows.
    Moved,
}

/// What a WebRTC participant has beyond a plain one.
#[derive(Clone, Debug)]
pub struct WebRtcPlan {
    /// It begins the DTLS handshake.
    pub dtls_client: bool,
    /// What it speaks.
    pub version: DtlsVersion,
    /// Header extensions that it knows, and what it calls them.
    pub extensions: Vec<(HeaderExtension, u8)>,
    /// It calls the rooms' payload types as senders do.
    pub renumbers: bool,
    /// How it leaves, if it does.
    pub leave: Leave,
    /// When its address changes, and how.
    pub moves: Vec<(u64, Move)>,
    /// When it has new credentials.
    pub restarts: Vec<u64>,
    /// It is cut off for so long, longer than consent lasts, and comes back.
    pub outage: Option<(u64, u64)>,
}

impl WebRtcPlan {
    /// What it calls an extension.
    #[must_use]
    pub fn extension(&self, wanted: HeaderExtension) -> Option<u8> {
        self.extensions.iter().find(|(known, _)| *known == wanted).map(|(_, id)| *id)
    }

    /// What it calls a payload type of the rooms.
    #[must_use]
    pub fn payload_type(&self, mapped: u8) -> u8 {
        if !self.renumbers {
            return mapped;
        }
        let video = VIDEO_TYPES[1];
        match mapped {
            _ if mapped == video.0 => VIDEO_TYPES[0].0,
            _ if mapped == video.1 => VIDEO_TYPES[0].1,
            _ => AUDIO_TYPES[0],
        }
    }

    pub(super) fn draw(random: &mut Random, versions: DtlsVersions, join_ns: u64, chaos_ns: u64) -> Self {
        let dtls_client = random.percent(60);
        // The machine begins in 1.2, or, if 1.3 alone is allowed, waits for checks that may not come within a run.
        let version = match versions {
            DtlsVersions::V12 => random.pick(&[DtlsVersion::Dtls12, DtlsVersion::Auto]),
            DtlsVersions::V13 => random.pick(&[DtlsVersion::Dtls13, DtlsVersion::Auto]),
            DtlsVersions::Both if !dtls_client => random.pick(&[DtlsVersion::Dtls12, DtlsVersion::Auto]),
            DtlsVersions::Both => random.pick(&[DtlsVersion::Dtls12, DtlsVersion::Dtls13, DtlsVersion::Auto]),
        };
        let known = [
            HeaderExtension::Mid,
            HeaderExtension::AbsSendTime,
            HeaderExtension::TransportCc,
            HeaderExtension::AudioLevel,
        ];
        let first = u8::try_from(random.range(1..=8)).expect("small");
        let numbered = known.into_iter().zip(first..).filter(|_| random.percent(70)).collect();
        let end_ns = chaos_ns.max(join_ns + 2);
        let moves = random.pick(&[0, 0, 0, 1, 1, 2]);
        let mut moves: Vec<_> = (0..moves)
            .map(|_| (random.range(join_ns + 1..=end_ns), random.pick(&[Move::Rebound, Move::Moved])))
            .collect();
        moves.sort_by_key(|(at_ns, _)| *at_ns);
        let restarts = random.pick(&[0, 0, 0, 1, 1, 3]);
        Self {
            dtls_client: dtls_client || versions == DtlsVersions::V13,
            version,
            extensions: numbered,
            renumbers: random.percent(40),
            leave: match random.range(0..=9) {
                0..=4 => Leave::Closed,
                5..=7 => Leave::Goodbye,
                _ => Leave::Silent,
            },
            moves,
            restarts: (0..restarts).map(|_| random.range(join_ns + 1..=end_ns)).collect(),
            outage: None,
        }
    }
}

/// The name of a media section that a participant sends.
#[must_use]
pub fn sent_mid(at: usize) -> String {
    format!("s{at}")
}
