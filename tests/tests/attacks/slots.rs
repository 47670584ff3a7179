//! Against the built server: somebody fills its history and says nothing more. Nobody else may notice, neither who was
//! there before nor who comes after that.

use std::sync::Arc;
use std::time::Duration;

use corecast_bench::webrtc::sdp::{Kind, Media};
use corecast_bench::webrtc::{Event, Identity, Options, Session, join};
use corecast_core::limits::{MAX_SLOTS, VIDEO_HISTORY_PACKETS};
use corecast_tests::server::Server;

/// One worker, which joins do not have to wait for, and which a busy machine may keep from its work for a while.
const FLAGS: [&str; 10] = [
    "--workers",
    "1",
    "--limits-sessions-per-second",
    "0",
    "--limits-sessions-per-second-per-ip",
    "0",
    "--limits-cpu-percent",
    "0",
    "--limits-media-age",
    "10s",
];
const SOUND: (u8, u32) = (111, 7);
const PICTURES: (u8, u32) = (96, 8);
/// Video streams of one attacker: a transport takes no more that stand in sections of their own.
const STREAMS: u32 = 16;
/// SSRC of an attacker's first.
const FIRST: u32 = 1_000;
/// All their streams together could hold a sixteenth more than all of the worker's history.
const ATTACKERS: usize = MAX_SLOTS / (STREAMS as usize * VIDEO_HISTORY_PACKETS) * 17 / 16;
/// Packets of each stream between two looks at the honest: fewer than a socket holds.
const BURST: u16 = 32;
const PATIENCE: Duration = Duration::from_secs(20);

fn options(media: Vec<Media>) -> Options {
    let mut options = Options::new(&Arc::new(Identity::new().expect("made")), media);
    options.terms.within = PATIENCE;
    options
}

/// What an attacker sends.
fn sections() -> Vec<Media> {
    (FIRST..FIRST + STREAMS).map(|ssrc| Media::plain(Kind::Video, true, Some(ssrc))).collect()
}

async fn enter(server: &Server, path: &str, media: Vec<Media>) -> Session {
    let url = format!("http://{}/{path}", server.address);
    join(&reqwest::Client::new(), &url, options(media)).await.expect("joins")
}

/// A packet whose payload begins as a key frame of VP8 does and ends with its number.
fn packet((payload_type, ssrc): (u8, u32), sequence: u16) -> Vec<u8> {
    let header = [0x80, 0x80 | payload_type];
    let timestamp = u32::from(sequence) * 960;
    let key_frame = [0x10, 0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 64, 0, 64, 0];
    let number = sequence.to_be_bytes();
    [&header[..], &number, &timestamp.to_be_bytes(), &ssrc.to_be_bytes(), &key_frame, &number].concat()
}

/// One who publishes sound and pictures, and one who watches.
struct Pair {
    publisher: Session,
    viewer: Session,
    sequence: u16,
}

impl Pair {
    async fn join(server: &Server, room: &str) -> Self {
        let both = |send: bool| {
            let media = [(Kind::Audio, SOUND.1), (Kind::Video, PICTURES.1)];
            media.map(|(kind, ssrc)| Media::plain(kind, send, send.then_some(ssrc))).to_vec()
        };
        let publisher = enter(server, &format!("whip/{room}?peer=ann"), both(true)).await;
        let viewer = enter(server, &format!("whep/{room}/ann"), both(false)).await;
        let mut pair = Self { publisher, viewer, sequence: 0 };
        // What is sent before the viewer's path is known does not come.
        let until = tokio::time::Instant::now() + PATIENCE;
        while !pair.passes(Duration::from_millis(500)).await {
            assert!(tokio::time::Instant::now() < until, "{room}: nothing comes");
        }
        pair
    }

    /// Sends a packet of each kind. Whether both come within that time.
    async fn passes(&mut self, within: Duration) -> bool {
        self.sequence += 1;
        for kind in [SOUND, PICTURES] {
            self.publisher.send_rtp(&packet(kind, self.sequence)).expect("sent");
        }
        let mut missing = vec![SOUND.0, PICTURES.0];
        let until = tokio::time::Instant::now() + within;
        while !missing.is_empty() {
            let rest = until.saturating_duration_since(tokio::time::Instant::now());
            match self.viewer.recv(rest).await.expect("open") {
                Some(Event::Rtp(packet)) if packet.payload.ends_with(&self.sequence.to_be_bytes()) => {
                    missing.retain(|payload_type| *payload_type != packet.header.payload_type);
                }
                Some(Event::Closed) | None => return false,
                Some(_) => {}
            }
        }
        true
    }

    async fn pass(&mut self, rounds: usize, when: &str) {
        for round in 0..rounds {
            assert!(self.passes(PATIENCE).await, "{when}: packet {round} of sound or of pictures does not come");
        }
    }
}

#[test]
fn who_fills_history_and_falls_silent_stops_no_packet_of_others() {
    let server = Server::start(&FLAGS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut early = Pair::join(&server, "early").await;
        let mut silent = Vec::new();
        for number in 0..ATTACKERS {
            // One room may have half of what everybody shares.
            let path = format!("whip/attack{}?peer=x{number}", number % 2);
            let mut attacker = enter(&server, &path, sections()).await;
            let packets = u16::try_from(VIDEO_HISTORY_PACKETS).expect("fewer");
            for first in (0..packets).step_by(BURST.into()) {
                for stream in FIRST..FIRST + STREAMS {
                    for sequence in first..first + BURST {
                        attacker.send_rtp(&packet((PICTURES.0, stream), sequence)).expect("sent");
                    }
                }
                early.pass(1, "meanwhile").await;
            }
            silent.push(attacker);
        }
        early.pass(200, "afterwards").await;
        Pair::join(&server, "late").await.pass(200, "to who comes later").await;
        early.pass(1, "at last").await;
        drop(silent);
    });
}
