//! Against the built server: a viewer asks for key frames all the time. Its publisher, and with it everybody else who
//! watches, pays for few of them.

use std::sync::Arc;
use std::time::Duration;

use corecast_bench::webrtc::sdp::{Kind, Media};
use corecast_bench::webrtc::{Event, Identity, Options, Session, join};
use corecast_core::limits::{KEY_FRAME_RATION, KEY_FRAMES_AT_ONCE};
use corecast_core::rtcp::{self, Packet, Writer};
use corecast_tests::server::Server;
use tokio::time::Instant;

const PICTURES: u32 = 8;
const SPAN: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(20);

async fn enter(server: &Server, path: &str, send: bool) -> Session {
    let media = vec![Media::plain(Kind::Video, send, send.then_some(PICTURES))];
    let mut options = Options::new(&Arc::new(Identity::new().expect("made")), media);
    options.terms.within = PATIENCE;
    let url = format!("http://{}/{path}", server.address);
    join(&reqwest::Client::new(), &url, options).await.expect("joins")
}

/// A publisher that answers each request for a key frame with one.
struct Publisher {
    session: Session,
    sequence: u16,
    requests: usize,
}

impl Publisher {
    /// Sends a picture, and takes what has come for so long.
    async fn send(&mut self, span: Duration, mut key: bool) {
        let until = Instant::now() + span;
        loop {
            self.sequence += 1;
            let head = [0x80, 0x80 | 96];
            let (number, timestamp) = (self.sequence.to_be_bytes(), (u32::from(self.sequence) * 3_000).to_be_bytes());
            let frame: &[u8] = if key { &[0x10, 0x10, 2, 0, 0x9d, 1, 0x2a, 64, 0, 64, 0] } else { &[0x10, 1, 0, 0] };
            let packet = [&head[..], &number, &timestamp, &PICTURES.to_be_bytes(), frame].concat();
            self.session.send_rtp(&packet).expect("sent");
            key = false;
            let Some(event) = self.session.recv(until.saturating_duration_since(Instant::now())).await.expect("open")
            else {
                return;
            };
            let Event::Rtcp(compound) = event else { continue };
            let is_request = |packet: &Packet<'_>| matches!(packet, Packet::Pli { .. } | Packet::Fir { .. });
            let requests = rtcp::parse(&compound).expect("lawful").filter(is_request).count();
            self.requests += requests;
            key = requests > 0;
        }
    }
}

/// Takes what has come, the SSRC of its pictures among it.
async fn drain(viewer: &mut Session, ssrc: &mut Option<u32>) {
    while let Some(event) = viewer.recv(Duration::ZERO).await.expect("open") {
        match event {
            Event::Rtp(packet) => *ssrc = Some(packet.header.ssrc),
            Event::Closed => panic!("the server has closed"),
            _ => {}
        }
    }
}

#[test]
fn who_asks_for_key_frames_all_the_time_gets_few_of_a_real_server() {
    let server = Server::start(&["--workers", "1"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let session = enter(&server, "whip/call?peer=ann", true).await;
        let mut publisher = Publisher { session, sequence: 0, requests: 0 };
        let mut viewer = enter(&server, "whep/call/ann", false).await;
        let (mut ssrc, until) = (None, Instant::now() + PATIENCE);
        while ssrc.is_none() {
            assert!(Instant::now() < until, "no picture comes");
            publisher.send(Duration::from_millis(50), true).await;
            drain(&mut viewer, &mut ssrc).await;
        }
        let (begun, pictures) = (Instant::now(), ssrc.expect("known"));
        publisher.requests = 0;
        while begun.elapsed() < SPAN {
            let mut bytes = [0; 64];
            let mut writer = Writer::new(&mut bytes);
            assert!(writer.push_pli(9, pictures));
            let len = writer.len();
            viewer.send_rtcp(&bytes[..len]).expect("sent");
            publisher.send(Duration::from_millis(50), false).await;
            drain(&mut viewer, &mut ssrc).await;
        }
        // The ration, and one for a packet that a busy machine has lost on the way.
        let allowed = KEY_FRAMES_AT_ONCE + begun.elapsed().div_duration_f64(KEY_FRAME_RATION).ceil() as u32 + 1;
        assert!((1..=allowed as usize).contains(&publisher.requests), "{} of {allowed}", publisher.requests);
    });
}
