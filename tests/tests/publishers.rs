//! Publishers that vanish without a word and come again: who is watched meanwhile, who may have their names, and what
//! their viewers see. The built binary, over real sockets, with the load generator's endpoint.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use corecast_bench::webrtc::sdp::{Kind, Media};
use corecast_bench::webrtc::whip::Refused;
use corecast_bench::webrtc::{Event, Identity, JoinError, Joining, Options, Session, join};
use corecast_tests::server::{Server, binary, kill, wait_for};
use corecast_wire::POISON;
use reqwest::StatusCode;
use tokio::time::{Instant, sleep};

/// Less than the 30 s after which a worker gives up who vanished.
const PATIENCE: Duration = Duration::from_secs(20);
/// Silence after which a name is free, and a moment more.
const SILENCE: Duration = Duration::from_secs(4);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(90), test).await.expect("in time") });
}

/// Somebody with a token, and perhaps a session that was lost.
#[derive(Clone, Copy, Default)]
struct Who<'a> {
    token: Option<&'a str>,
    replaces: Option<&'a str>,
}

fn options(send: bool, who: Who<'_>) -> Options {
    let identity = Arc::new(Identity::new().expect("made"));
    let mut options = Options::new(&identity, vec![Media::plain(Kind::Audio, send, send.then_some(7))]);
    options.token = who.token.map(str::to_owned);
    options.replaces = who.replaces.map(str::to_owned);
    options
}

async fn publish(server: &Server, path: &str, who: Who<'_>) -> Result<Session, JoinError> {
    let url = format!("http://{}/whip/{path}", server.address);
    join(&reqwest::Client::new(), &url, options(true, who)).await
}

/// A publisher that is refused: the answer.
async fn refused(server: &Server, path: &str, who: Who<'_>) -> Refused {
    let url = format!("http://{}/whip/{path}", server.address);
    let error = Joining::post(&reqwest::Client::new(), &url, options(true, who)).await.expect_err("refused");
    error.refused().expect("an answer").clone()
}

async fn watch(server: &Server, path: &str) -> Session {
    let url = format!("http://{}/whep/{path}", server.address);
    join(&reqwest::Client::new(), &url, options(false, Who::default())).await.expect("watches")
}

/// A publisher and what it has sent.
struct Sender {
    session: Session,
    sequence: u16,
    payload: u8,
}

impl Sender {
    fn new(session: Session, payload: u8) -> Self {
        Self { session, sequence: 0, payload }
    }

    /// A packet of sound, and what has come meanwhile: whether the server has closed.
    async fn send(&mut self) -> bool {
        self.sequence += 1;
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = (u32::from(self.sequence) * 960).to_be_bytes();
        let packet = [0x80, 111, s0, s1, t0, t1, t2, t3, 0, 0, 0, 7, self.payload, 0];
        self.session.send_rtp(&packet).expect("sent");
        matches!(self.session.recv(Duration::from_millis(20)).await.expect("open"), Some(Event::Closed))
    }
}

/// The first packet that comes to a viewer while somebody sends: its payload.
async fn first(viewer: &mut Session, sender: &mut Sender, within: Duration) -> Option<u8> {
    let until = Instant::now() + within;
    while Instant::now() < until {
        sender.send().await;
        if let Some(Event::Rtp(packet)) = viewer.recv(Duration::from_millis(1)).await.expect("open") {
            return packet.payload.first().copied();
        }
    }
    None
}

#[test]
fn a_room_is_watched_where_media_comes_and_not_where_somebody_vanished() {
    let server = Server::start(&["--workers", "1"]);
    run(async {
        let mut old = Sender::new(publish(&server, "r?peer=old", Who::default()).await.expect("joins"), 1);
        assert_eq!(first(&mut watch(&server, "r").await, &mut old, PATIENCE).await, Some(1));
        drop(old);
        // Who never comes is no better.
        let url = format!("http://{}/whip/r?peer=never", server.address);
        let never = Joining::post(&reqwest::Client::new(), &url, options(true, Who::default())).await.expect("made");
        let mut new = Sender::new(publish(&server, "r?peer=new", Who::default()).await.expect("joins"), 2);
        let until = Instant::now() + PATIENCE;
        let seen = loop {
            let mut viewer = watch(&server, "r").await;
            let seen = first(&mut viewer, &mut new, Duration::from_millis(500)).await;
            viewer.leave().await.expect("leaves");
            if seen.is_some() || Instant::now() > until {
                break seen;
            }
        };
        assert_eq!(seen, Some(2), "the live one");
        drop(never);
    });
}

#[test]
fn a_name_stays_while_its_peer_lives_and_is_taken_over_with_the_same_token_when_it_is_silent() {
    let server = Server::start(&["--workers", "1", "--whip-tokens", "one,two"]);
    let (one, two) = (Who { token: Some("one"), ..Who::default() }, Who { token: Some("two"), ..Who::default() });
    run(async {
        let mut old = Sender::new(publish(&server, "r?peer=ann", one).await.expect("joins"), 1);
        old.send().await;
        let answer = refused(&server, "r?peer=ann", one).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.body);
        assert_eq!(answer.headers["retry-after"], "3");
        drop(old);
        sleep(SILENCE).await;
        assert_eq!(refused(&server, "r?peer=ann", two).await.status, StatusCode::CONFLICT, "another's token");
        let mut new = Sender::new(publish(&server, "r?peer=ann", one).await.expect("takes the place"), 2);
        assert_eq!(first(&mut watch(&server, "r/ann").await, &mut new, PATIENCE).await, Some(2));
    });
}

#[test]
fn a_publisher_that_never_connected_does_not_keep_its_name() {
    let server = Server::start(&["--workers", "1"]);
    run(async {
        let url = format!("http://{}/whip/r?peer=ann", server.address);
        let never = Joining::post(&reqwest::Client::new(), &url, options(true, Who::default())).await.expect("made");
        assert_eq!(refused(&server, "r?peer=ann", Who::default()).await.status, StatusCode::CONFLICT, "just made");
        sleep(SILENCE).await;
        publish(&server, "r?peer=ann", Who::default()).await.expect("takes the place");
        drop(never);
    });
}

#[test]
fn who_names_the_old_sessions_url_takes_its_place_at_once() {
    let server = Server::start(&["--workers", "1"]);
    run(async {
        let mut old = Sender::new(publish(&server, "r?peer=ann", Who::default()).await.expect("joins"), 1);
        old.send().await;
        let url = old.session.url().to_owned();
        let guess = Who { replaces: Some("/whip/r/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), ..Who::default() };
        assert_eq!(refused(&server, "r?peer=ann", guess).await.status, StatusCode::CONFLICT, "that is no proof");
        let elsewhere = Who { replaces: Some(&url), ..Who::default() };
        publish(&server, "another?peer=ann", elsewhere).await.expect("another room");
        assert!(!old.send().await, "the session of this room goes on");

        let proof = Who { replaces: Some(&url), ..Who::default() };
        let new = publish(&server, "r", proof).await.expect("takes the place, and the name with it");
        let until = Instant::now() + PATIENCE;
        while !matches!(old.session.recv(PATIENCE).await.expect("open"), Some(Event::Closed)) {
            assert!(Instant::now() < until, "the old session is not closed");
        }
        while reqwest::get(&url).await.expect("an answer").status() != StatusCode::NOT_FOUND {
            assert!(Instant::now() < until, "the old session's URL stays");
        }
        let mut new = Sender::new(new, 2);
        assert_eq!(first(&mut watch(&server, "r/ann").await, &mut new, PATIENCE).await, Some(2));
    });
}

/// Packets that a viewer has got: sequence number and timestamp of each.
async fn packets(viewer: &mut Session, sender: &mut Sender, count: usize) -> Vec<(u32, u16, u32, u8)> {
    let (until, mut got) = (Instant::now() + PATIENCE, Vec::new());
    while got.len() < count && Instant::now() < until {
        sender.send().await;
        while let Some(event) = viewer.recv(Duration::from_millis(1)).await.expect("open") {
            assert!(!matches!(event, Event::Closed), "the viewer's session stays");
            if let Event::Rtp(packet) = event {
                let header = packet.header;
                got.push((header.ssrc, header.sequence_number, header.timestamp, packet.payload[0]));
            }
        }
    }
    got
}

/// The packets of the sender with this payload follow what the viewer had before.
fn goes_on(packets: &[(u32, u16, u32, u8)], payload: u8) {
    let first = packets.iter().position(|packet| packet.3 == payload).expect("some of it");
    let (last, first) = (packets[first - 1], packets[first]);
    assert_eq!((first.0, first.1), (last.0, last.1.wrapping_add(1)), "SSRC and numbers go on: {packets:?}");
    assert!((1..1 << 31).contains(&first.2.wrapping_sub(last.2)), "and so does time: {packets:?}");
}

#[test]
fn viewers_go_on_in_their_sessions_when_their_publisher_comes_again() {
    let server = Server::start(&["--workers", "1"]);
    run(async {
        let mut old = Sender::new(publish(&server, "r?peer=ann", Who::default()).await.expect("joins"), 1);
        let (mut of_room, mut of_peer) = (watch(&server, "r").await, watch(&server, "r/ann").await);
        let (before, of_ann) = (packets(&mut of_room, &mut old, 5).await, packets(&mut of_peer, &mut old, 5).await);
        old.session.leave().await.expect("leaves");

        let mut other = Sender::new(publish(&server, "r?peer=bob", Who::default()).await.expect("joins"), 2);
        let after = packets(&mut of_room, &mut other, 5).await;
        goes_on(&[before, after.clone()].concat(), 2);
        other.session.leave().await.expect("leaves");

        let mut again = Sender::new(publish(&server, "r?peer=ann", Who::default()).await.expect("comes again"), 3);
        for (viewer, before) in [(&mut of_room, after), (&mut of_peer, of_ann)] {
            let after = packets(viewer, &mut again, 5).await;
            goes_on(&[before, after].concat(), 3);
            assert_eq!(viewer_status(viewer).await, StatusCode::NO_CONTENT);
        }
    });
}

async fn viewer_status(viewer: &Session) -> StatusCode {
    reqwest::get(viewer.url()).await.expect("an answer").status()
}

#[test]
fn a_viewer_without_anything_to_see_is_ended_after_the_grace() {
    let server = Server::start(&["--workers", "1", "--rooms-viewer-grace", "1s"]);
    run(async {
        let mut old = Sender::new(publish(&server, "r?peer=ann", Who::default()).await.expect("joins"), 1);
        let mut viewer = watch(&server, "r/ann").await;
        assert_eq!(first(&mut viewer, &mut old, PATIENCE).await, Some(1));
        old.session.leave().await.expect("leaves");
        // Somebody else does not help who asked for her.
        let _other = publish(&server, "r?peer=bob", Who::default()).await.expect("joins");
        let until = Instant::now() + PATIENCE;
        while !matches!(viewer.recv(PATIENCE).await.expect("open"), Some(Event::Closed)) {
            assert!(Instant::now() < until, "the viewer's session is not closed");
        }
        while viewer_status(&viewer).await != StatusCode::NOT_FOUND {
            assert!(Instant::now() < until, "the session's URL stays");
        }
        let why = reqwest::get(viewer.url()).await.expect("an answer").text().await.expect("text");
        assert!(why.contains("its publisher left"), "{why}");
    });
}

/// Until packets have come to a viewer with what is sent now; their numbers.
async fn go_on(viewer: &mut Session, sender: &mut Sender, numbers: &mut Vec<u16>) {
    let until = Instant::now() + PATIENCE;
    loop {
        sender.send().await;
        match viewer.recv(Duration::from_millis(1)).await.expect("open") {
            Some(Event::Rtp(packet)) => {
                numbers.push(packet.header.sequence_number);
                if packet.payload.first() == Some(&sender.payload) && numbers.len().is_multiple_of(50) {
                    return;
                }
            }
            // Neither is anything sealed twice under one number, nor with another key.
            Some(Event::Unopened(_, why)) => panic!("what came does not open: {why}"),
            Some(Event::Closed) => panic!("the session was closed"),
            Some(Event::Rtcp(_)) | None => {}
        }
        assert!(Instant::now() < until, "nothing comes of {}", sender.payload);
    }
}

#[test]
fn a_call_outlives_the_server_with_its_keys_its_numbers_and_its_urls() {
    for isolation in ["thread", "process"] {
        let server = Server::start(&["--workers", "1", "--isolation", isolation]);
        run(async {
            let mut sender = Sender::new(publish(&server, "r?peer=ann", Who::default()).await.expect("joins"), 1);
            let mut viewer = watch(&server, "r").await;
            assert_eq!(first(&mut viewer, &mut sender, PATIENCE).await, Some(1));
            let mut numbers = Vec::new();
            for payload in 2..4 {
                let old = server.pid();
                kill("KILL", old);
                sender.payload = payload;
                go_on(&mut viewer, &mut sender, &mut numbers).await;
                assert_ne!(server.pid(), old);
            }
            let later = |pair: &[u16]| (1..1_000).contains(&pair[1].wrapping_sub(pair[0]));
            assert!(numbers.windows(2).all(later), "{numbers:?}");
            assert!(server.lines(&["session begins: "]).len() == 2, "nobody has joined again");
            // Sessions are where they were.
            viewer.leave().await.expect("ends");
            sender.session.leave().await.expect("ends");
        });
    }
}

/// What comes to two viewers while somebody sends: until both have got this payload. None of them gets what does not
/// open, and none is closed.
async fn both(viewers: &mut [Session; 2], sender: &mut Sender) {
    let (mut seen, until) = ([false; 2], Instant::now() + PATIENCE);
    while seen != [true; 2] {
        assert!(Instant::now() < until, "{} did not come to both: {seen:?}", sender.payload);
        sender.send().await;
        for (viewer, seen) in viewers.iter_mut().zip(&mut seen) {
            match viewer.recv(Duration::from_millis(1)).await.expect("open") {
                Some(Event::Rtp(packet)) => *seen |= packet.payload.first() == Some(&sender.payload),
                Some(Event::Unopened(_, why)) => panic!("what came does not open: {why}"),
                Some(Event::Closed) => panic!("the session was closed"),
                Some(Event::Rtcp(_)) | None => {}
            }
        }
    }
}

/// The room's viewers are sent from two workers: those of either see the publisher, and the one that comes after it,
/// and go on when the server dies, and when it is upgraded.
#[test]
fn a_room_that_is_wider_than_a_core_is_one_room() {
    for isolation in ["thread", "process"] {
        // What has been placed counts until the next heartbeat: of some viewers one goes to the other worker.
        let wide = ["--rooms-widen-percent", "1", "--worker-heartbeat", "60s"];
        let server = Server::start(&[&["--workers", "2", "--isolation", isolation], &wide[..]].concat());
        run(async {
            let mut sender = Sender::new(publish(&server, "r?peer=ann", Who::default()).await.expect("joins"), 1);
            let port = |session: &Session| session.socket().peer_addr().expect("connected").port();
            let (mut home, mut branch) = (None, None);
            while home.is_none() || branch.is_none() {
                let viewer = watch(&server, "r/ann").await;
                let is_home = port(&viewer) == port(&sender.session);
                *(if is_home { &mut home } else { &mut branch }) = Some(viewer);
            }
            let mut viewers = [home, branch].map(|viewer| viewer.expect("there"));
            both(&mut viewers, &mut sender).await;
            let (_, stats) = server.get("/stats").expect("answers");
            assert!(stats.contains("\"[100::1]:"), "what crosses does not go through sockets: {stats}");

            sender.session.leave().await.expect("leaves");
            sender = Sender::new(publish(&server, "r?peer=ann", Who::default()).await.expect("joins"), 2);
            both(&mut viewers, &mut sender).await;

            let old = server.pid();
            kill("KILL", old);
            sender.payload = 3;
            both(&mut viewers, &mut sender).await;
            assert_ne!(server.pid(), old);

            let old = server.pid();
            server.signal_supervisor("USR2");
            while server.pid() == old {
                sender.send().await;
            }
            sender.payload = 4;
            both(&mut viewers, &mut sender).await;
            for viewer in viewers {
                viewer.leave().await.expect("ends");
            }
        });
    }
}

/// The program on the disk is replaced while a call goes on, twice, and then by one that does not run.
#[test]
fn a_call_outlives_upgrades_and_what_is_no_program_is_refused() {
    for isolation in ["thread", "process"] {
        let folder = std::env::temp_dir().join(format!("corecast-upgrade-{}-{isolation}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let (program, new) = (folder.join("corecast"), folder.join("new"));
        std::fs::copy(binary(), &program).expect("copied");
        let server = Server::start_command(&mut Command::new(&program), &["--workers", "1", "--isolation", isolation]);
        wait_for("ready", || server.get("/health").filter(|(status, _)| *status == 200));
        run(async {
            let mut sender = Sender::new(publish(&server, "r?peer=ann", Who::default()).await.expect("joins"), 1);
            let (mut viewer, mut numbers) = (watch(&server, "r").await, Vec::new());
            go_on(&mut viewer, &mut sender, &mut numbers).await;
            for payload in 2..4 {
                let old = server.pid();
                std::fs::copy(binary(), &new).expect("copied");
                std::fs::rename(&new, &program).expect("replaced");
                server.signal_supervisor("USR2");
                while server.pid() == old {
                    sender.send().await;
                }
                sender.payload = payload;
                go_on(&mut viewer, &mut sender, &mut numbers).await;
                let runs = std::fs::read_link(format!("/proc/{}/exe", server.supervisor_pid())).expect("it lives");
                assert_eq!(runs, program, "the supervisor is the new program, too");
            }
            let later = |pair: &[u16]| (1..1_000).contains(&pair[1].wrapping_sub(pair[0]));
            assert!(numbers.windows(2).all(later), "{numbers:?}");

            let old = server.pid();
            std::fs::write(&new, "#!/bin/sh\nexit 3\n").expect("written");
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).expect("ours");
            std::fs::rename(&new, &program).expect("replaced");
            server.signal_supervisor("USR2");
            wait_for("a refusal", || (!server.lines(&["no upgrade: "]).is_empty()).then_some(()));
            sender.payload = 4;
            go_on(&mut viewer, &mut sender, &mut numbers).await;
            assert_eq!(server.pid(), old);
            viewer.leave().await.expect("ends");
            sender.session.leave().await.expect("ends");
        });
        drop(server);
        std::fs::remove_dir_all(&folder).expect("ours");
    }
}

/// Two workers in a row die of one publisher's packets: its call ends, and nobody new comes from its address for a
/// while. Those who are there, at the same address, stay.
#[test]
fn from_where_workers_were_killed_nobody_new_comes_for_a_while() {
    let flags = ["--workers", "1", "--isolation", "process", "--test-hooks", "--rtc-listen-ips", "127.0.0.1"];
    let server = Server::start(&flags);
    run(async {
        let mut good = Sender::new(publish(&server, "r?peer=good", Who::default()).await.expect("joins"), 1);
        let (mut viewer, mut numbers) = (watch(&server, "r").await, Vec::new());
        go_on(&mut viewer, &mut good, &mut numbers).await;
        let bad = publish(&server, "s?peer=bad", Who::default()).await.expect("joins");
        for payload in 2..4 {
            let old = server.pid();
            bad.send_raw(&[&[0x80, 111], POISON].concat()).expect("sent");
            while server.pid() == old {
                good.send().await;
            }
            good.payload = payload;
            go_on(&mut viewer, &mut good, &mut numbers).await;
        }
        let told = ["nobody new is let in from 127.0.0.1 for 60 s", "(failover.shut_out)"];
        assert_eq!(server.lines(&told).len(), 1);
        let answer = refused(&server, "r?peer=new", Who::default()).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(server.stats()["refusals"]["shut_out"], 1);

        let ended = ["session ends: publisher \"bad\"", "its connection was lost when the server restarted"];
        assert_eq!(server.lines(&ended).len(), 1);

        // Nor does the next server let anybody in.
        let old = server.pid();
        server.signal_supervisor("USR2");
        while server.pid() == old {
            good.send().await;
        }
        good.payload = 4;
        go_on(&mut viewer, &mut good, &mut numbers).await;
        assert_eq!(refused(&server, "r?peer=new", Who::default()).await.status, StatusCode::TOO_MANY_REQUESTS);
    });
}
