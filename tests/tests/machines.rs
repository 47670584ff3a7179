//! Rooms wider than a machine: viewers come to another machine than their room's. The built binary twice, each in a
//! network namespace of its own, joined by a pair of virtual interfaces; publishers and viewers are endpoints of the
//! load generator.
//!
//! Where no namespaces can be made, both servers are on this machine's own address, and nothing is lost or captured.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use corecast_bench::webrtc::sdp::{Kind, Media};
use corecast_bench::webrtc::{Event, Identity, JoinError, Options, Session, join};
use corecast_tests::bed::{Bed, Entered, enter};
use corecast_tests::broadcaster::{self, Room};
use corecast_tests::script::Script;
use corecast_tests::server::{Server, binary, kill, wait_for};
use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};
use tokio::time::Instant;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const VIEWERS_TOKEN: &str = "viewers";
/// Addresses for documentation (RFC 5737).
const HOME: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
const LIMIT: Duration = Duration::from_secs(20);
/// In every packet, so that it is seen where it travels in clear text.
const MARK: &[u8] = b"seen by nobody between the machines";
/// What goes before a server on the other machine, until its interface has come.
const OTHER_MACHINE: &str = "set -e
until ip link show m1 2>/dev/null >/dev/null; do sleep 0.01; done
ip link set lo up
ip addr add 203.0.113.2/24 dev m1
ip link set m1 up
exec \"$@\"";

fn sh(script: &str) {
    let status = Command::new("sh").args(["-ec", script]).status().expect("sh runs");
    assert!(status.success(), "{script}");
}

/// A cable, one end of which is plugged in at home. It goes with the other machine, and the address stays.
fn lay_cable() {
    sh("ip link del m0 2>/dev/null || true
ip link add m0 type veth peer name m1
ip addr replace 203.0.113.1/32 dev lo
ip addr add 203.0.113.1/24 dev m0
ip link set m0 up");
}

/// A server at home, in this test's own network.
fn at_home(bed: Bed, flags: &[&str]) -> Server {
    let ip = if bed.isolated { HOME } else { bed.address };
    let listen = ip.to_string();
    let own = ["--workers", "1", "--rtc-listen-ips", &listen, "--cascade-token", TOKEN, "--rooms-viewer-grace", "3s"];
    let (out, err) = (Stdio::piped(), Stdio::piped());
    ready(Server::start_at(ip, &mut Command::new(binary()), &[&own, flags].concat(), (out, err)))
}

/// A server on the other machine, which knows the one at home.
fn elsewhere(bed: Bed, home: &Server) -> Server {
    let url = format!("http://{}", home.address);
    let flags = ["--cascade-machines", &url, "--whep-tokens", VIEWERS_TOKEN];
    if !bed.isolated {
        return at_home(bed, &flags);
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", OTHER_MACHINE, "sh"]).arg(binary());
    let listen = OTHER.to_string();
    let own = ["--workers", "1", "--rtc-listen-ips", &listen, "--cascade-token", TOKEN, "--rooms-viewer-grace", "3s"];
    let pipes = (Stdio::piped(), Stdio::piped());
    let server = Server::start_at(OTHER, &mut command, &[&own[..], &flags].concat(), pipes);
    let pid = server.supervisor_pid();
    wait_for("a namespace", || {
        let of = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net")).ok();
        (of(&pid.to_string())? != of("self")?).then_some(())
    });
    sh(&format!("ip link set m1 netns {pid}"));
    ready(server)
}

fn ready(server: Server) -> Server {
    wait_for("ready", || server.get("/health").filter(|(status, _)| *status == 200));
    server
}

fn options(send: bool) -> Options {
    let identity = Arc::new(Identity::new().expect("made"));
    let mut options = Options::new(&identity, vec![Media::plain(Kind::Video, send, send.then_some(7))]);
    options.token = (!send).then(|| VIEWERS_TOKEN.to_owned());
    options
}

/// Somebody who publishes and can answer.
async fn publish(server: &Server, path: &str) -> Publisher {
    let url = format!("http://{}/whip/{path}", server.address);
    let session = join(&reqwest::Client::new(), &url, options(true)).await.expect("publishes");
    Publisher { by: By::Session(Box::new(session)), number: 0, wants_key_frame: true }
}

async fn watch(server: &Server, path: &str) -> Result<Viewer, JoinError> {
    let url = format!("http://{}/whep/{path}", server.address);
    let session = join(&reqwest::Client::new(), &url, options(false)).await?;
    Ok(Viewer { session, seen: BTreeSet::new(), is_over: false })
}

/// Sends pictures of one packet each, and a key frame whenever it is asked for one. Each has its number.
struct Publisher {
    by: By,
    number: u16,
    wants_key_frame: bool,
}

enum By {
    Session(Box<Session>),
    /// Plain RTP. It hears nothing, and sends key frames by itself.
    Plain(UdpSocket),
}

/// VP8: the first packet of a key frame, and of another one (RFC 7741 section 4.2).
const KEY_FRAME: &[u8] = &[0x10, 0x00, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00];
const FRAME: &[u8] = &[0x10, 0x01, 0x02, 0x00];

impl Publisher {
    /// A broadcaster's, who sends to this port.
    fn plain(server: &Server, port: &str) -> Self {
        let socket = UdpSocket::bind((server.address.ip(), 0)).expect("a port");
        socket.connect((server.address.ip(), port.parse().expect("a port"))).expect("connects");
        Self { by: By::Plain(socket), number: 0, wants_key_frame: true }
    }

    async fn send(&mut self) {
        self.number += 1;
        let [n0, n1] = self.number.to_be_bytes();
        let [t0, t1, t2, t3] = (u32::from(self.number) * 3_000).to_be_bytes();
        let mut packet = vec![0x80, 0x80, n0, n1, t0, t1, t2, t3];
        packet.extend(if std::mem::take(&mut self.wants_key_frame) { KEY_FRAME } else { FRAME });
        packet.extend(MARK);
        packet.extend([n0, n1]);
        let mut numbered = |payload_type: u8, ssrc: u32| {
            packet[1] |= payload_type;
            packet.splice(8..8, ssrc.to_be_bytes());
        };
        match &mut self.by {
            By::Session(session) => {
                numbered(96, 7);
                session.send_rtp(&packet).expect("sent");
                while let Some(event) = session.recv(Duration::from_millis(1)).await.expect("open") {
                    if let Event::Rtcp(packets) = event {
                        self.wants_key_frame |= has_picture_loss(&packets);
                    }
                }
            }
            By::Plain(socket) => {
                numbered(101, 2_222);
                socket.send(&packet).expect("sent");
                self.wants_key_frame = self.number.is_multiple_of(10);
            }
        }
    }

    async fn leave(self) {
        if let By::Session(session) = self.by {
            session.leave().await.expect("leaves");
        }
    }
}

/// Whether there is payload-specific feedback that a picture was lost (RFC 4585 section 6.3.1).
fn has_picture_loss(mut packets: &[u8]) -> bool {
    while let [first, kind, l0, l1, ..] = *packets {
        if kind == 206 && first & 31 == 1 {
            return true;
        }
        let length = (usize::from(u16::from_be_bytes([l0, l1])) + 1) * 4;
        packets = packets.get(length..).unwrap_or_default();
    }
    false
}

/// Somebody who watches, and the numbers of the pictures that came.
struct Viewer {
    session: Session,
    seen: BTreeSet<u16>,
    is_over: bool,
}

impl Viewer {
    async fn look(&mut self) {
        while let Some(event) = self.session.recv(Duration::from_millis(1)).await.expect("open") {
            match event {
                // Beside pictures there are packets without payload, which try out what a path carries.
                Event::Rtp(packet) if packet.payload.len() > MARK.len() => {
                    let [.., n0, n1] = packet.payload[..] else { continue };
                    self.seen.insert(u16::from_be_bytes([n0, n1]));
                }
                Event::Closed => self.is_over = true,
                _ => {}
            }
        }
    }

    /// Numbers between the first and the last that did not come.
    fn gaps(&self) -> usize {
        let (Some(first), Some(last)) = (self.seen.first(), self.seen.last()) else { return 0 };
        usize::from(last - first) + 1 - self.seen.len()
    }
}

/// Sends until each viewer has seen so many pictures more, without gaps.
async fn goes_on(publisher: &mut Publisher, viewers: &mut [&mut Viewer], pictures: usize) {
    let wanted: Vec<_> = viewers.iter().map(|viewer| viewer.seen.len() + pictures).collect();
    let until = Instant::now() + LIMIT;
    loop {
        publisher.send().await;
        let mut is_done = true;
        for (viewer, wanted) in viewers.iter_mut().zip(&wanted) {
            viewer.look().await;
            is_done &= viewer.seen.len() >= *wanted && viewer.gaps() == 0;
        }
        if is_done {
            return;
        }
        let seen: Vec<_> = viewers.iter().map(|viewer| (viewer.seen.len(), viewer.gaps())).collect();
        assert!(Instant::now() < until, "of {wanted:?} pictures came, and between them are missing: {seen:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How much of this is in a room.
fn counted(server: &Server, room: &str, what: &str) -> Option<u64> {
    let token = format!("Authorization: Bearer {VIEWERS_TOKEN}\r\n");
    let (_, body) = server.ask_with("GET", "/rooms", &token, "").filter(|(status, _)| *status == 200)?;
    let rooms: Value = serde_json::from_str(&body).ok()?;
    let room = rooms["rooms"].as_array()?.iter().find(|of| of["id"] == room)?.clone();
    room[what].as_u64()
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(90), test).await.expect("in time") });
}

/// What is asked without the machines' token, or wrongly, is refused.
fn refuses(bed: Bed) {
    let home = at_home(bed, &["--whep-tokens", VIEWERS_TOKEN]);
    let status = |what: &str, token: Option<&str>, body: &Value| {
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        home.ask_with("POST", &format!("/cascade/{what}"), &token, &body.to_string()).expect("an answer")
    };
    let wanted = json!({"room": "r", "peer": null});
    for token in [None, Some(VIEWERS_TOKEN), Some("x"), Some(&TOKEN[1..])] {
        assert_eq!(status("look", token, &wanted).0, 401, "{token:?}");
        assert_eq!(status("open", token, &json!({})).0, 401, "{token:?}");
    }
    assert_eq!(status("look", Some(TOKEN), &wanted), (200, r#"{"found":false}"#.to_owned()));
    assert_eq!(status("look", Some(TOKEN), &json!({"room": ""})).0, 400);
    assert_eq!(status("look", Some(TOKEN), &json!({"room": "r", "other": 1})).0, 400);
    let unknown = json!({"pipes": {"nothing": {}}});
    assert_eq!(status("renew", Some(TOKEN), &unknown), (200, r#"{"pipes":{}}"#.to_owned()));
    assert_eq!(status("end", Some(TOKEN), &json!({"pipe": "nothing"})).0, 200);
    let end = |ip: &str, port: u16, bytes: usize| {
        let srtp = json!({"suite": "AeadAes256Gcm", "key_and_salt": vec![7; bytes]});
        json!({"wanted": wanted, "end": {"ip": ip, "port": port, "srtp": srtp}})
    };
    assert_eq!(status("open", Some(TOKEN), &end("203.0.113.2", 9, 44)).0, 409, "nobody publishes");
    run(async {
        let publisher = publish(&home, "r?peer=p").await;
        for (body, part) in [
            (end("127.0.0.1", 9, 44), "rtc.plain_networks"),
            (end("2001:db8::1", 9, 44), "IPv6"),
            (end("203.0.113.2", 0, 44), "port"),
            (end("203.0.113.2", 9, 28), "srtp"),
        ] {
            let (status, said) = status("open", Some(TOKEN), &body);
            assert!((400..500).contains(&status) && said.contains(part), "{status}, {part}: {said}");
        }
        assert_eq!(counted(&home, "r", "transports"), Some(1), "nothing stays of what was refused");
        let (opens, opened) = status("open", Some(TOKEN), &end("203.0.113.2", 9, 44));
        assert!(opens == 200 && opened.contains("AeadAes256Gcm"), "{opens}: {opened}");
        assert_eq!(counted(&home, "r", "transports"), Some(2));
        let pipe = serde_json::from_str::<Value>(&opened).expect("JSON")["pipe"].clone();
        assert_eq!(status("end", Some(TOKEN), &json!({"pipe": pipe})).0, 200);
        assert_eq!(counted(&home, "r", "transports"), Some(1));
        drop(publisher);
    });
    let bare = Server::start(&["--workers", "1"]);
    let (status, _) = bare.ask("POST", "/cascade/look", &wanted.to_string()).expect("an answer");
    assert_eq!(status, 404, "off by default");
}

/// Pictures come to the other machine, all of them, encrypted, also when some are lost between the machines; and when
/// the publisher leaves and comes again.
fn crosses(bed: Bed) {
    let home = at_home(bed, &["--whep-tokens", VIEWERS_TOKEN]);
    let other = elsewhere(bed, &home);
    run(async {
        has_no_stream(&other, "r").await;
        let mut publisher = publish(&home, "r?peer=p").await;
        let capture = bed.isolated.then(|| {
            let (first, last) = home.ports;
            sh(&format!(
                "nft 'add table inet lossy; add chain inet lossy out {{ type filter hook output priority 0; }}; \
                 add rule inet lossy out oifname m0 udp sport {first}-{last} numgen inc mod 9 == 0 drop'"
            ));
            let arguments = ["m0".to_owned(), first.to_string(), last.to_string(), "200".to_owned()];
            let capture = Script::python("media/capture.py", &arguments);
            assert_eq!(capture.line(), "captures", "{}", capture.errors());
            capture
        });
        // Each needs a key frame, which only the publisher can send.
        let (one, two) = tokio::join!(watch(&other, "r"), watch(&other, "r/p"));
        let (mut one, mut two) = (one.expect("watches"), two.expect("watches"));
        let mut near = watch(&home, "r").await.expect("watches");
        goes_on(&mut publisher, &mut [&mut one, &mut two, &mut near], 300).await;
        assert_eq!(counted(&home, "r", "transports"), Some(3), "one pipe for both");
        assert_eq!(counted(&other, "r", "viewers"), Some(2));
        if let Some(capture) = capture {
            for _ in 0..200 {
                let line = capture.line();
                assert!(!line.contains(&hex(MARK)), "in clear text: {line}");
            }
            sh("nft delete table inet lossy");
        }
        // A third machine is not sent what has come from another.
        let url = format!("http://{}", other.address);
        let third = at_home(bed, &["--cascade-machines", &url, "--whep-tokens", VIEWERS_TOKEN]);
        has_no_stream(&third, "r/p").await;
        drop(third);
        publisher.leave().await;
        let mut publisher = publish(&home, "r?peer=p").await;
        for viewer in [&mut one, &mut two, &mut near] {
            viewer.seen.clear();
        }
        goes_on(&mut publisher, &mut [&mut one, &mut two, &mut near], 50).await;
        assert!(!one.is_over && !two.is_over);
        for viewer in [one, two] {
            viewer.session.leave().await.expect("leaves");
        }
        wait_for("the pipe to close", || counted(&home, "r", "transports").filter(|count| *count == 2));
        // A room in which somebody publishes is at home.
        let own = publish(&other, "r?peer=own").await;
        has_no_stream(&other, "r/p").await;
        drop(own);
    });
}

async fn has_no_stream(server: &Server, path: &str) {
    let error = watch(server, path).await.err().expect("nobody publishes");
    assert_eq!(error.refused().map(|answer| answer.status.as_u16()), Some(409), "{error}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Process of the server below its supervisor.
fn child(server: &Server) -> u32 {
    let supervisor = server.supervisor_pid();
    wait_for("a server", || {
        let children = std::fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    })
}

/// A producer that is paused at home is paused at the other machine, and flows again when it is resumed. When the
/// server of either dies, the viewers get their pictures back; when all of it has gone at home, they end.
fn goes_through_ends(bed: Bed) {
    let home = at_home(bed, &[]);
    let other = elsewhere(bed, &home);
    let room = Room::open(&home, "r");
    let transports = room.join("b");
    let (producer, [port, _]) = room.produce(&transports, broadcaster::Kind::Vp8);
    run(async {
        let mut publisher = Publisher::plain(&home, &port);
        publisher.send().await;
        let mut viewer = watch(&other, "r").await.expect("watches");
        goes_on(&mut publisher, &mut [&mut viewer], 20).await;
        let tracks = |count| counted(&other, "r", "producers").filter(|tracks| *tracks == count);
        let (second, _) = Room::open(&home, "r").produce(&transports, broadcaster::Kind::Opus);
        wait_for("what is published later", || tracks(2));
        let closed = home.ask("DELETE", &format!("/rooms/r/broadcasters/b/producers/{second}"), "");
        assert!(closed.is_some_and(|(status, _)| status < 300));
        wait_for("the end of one track", || tracks(1));
        let producer = format!("/rooms/r/broadcasters/b/producers/{producer}");
        let is_paused = || {
            let token = format!("Authorization: Bearer {VIEWERS_TOKEN}\r\n");
            let (_, stats) = other.ask_with("GET", "/stats", &token, "")?;
            let stats: Value = serde_json::from_str(&stats).ok()?;
            let producers = stats["producers"].as_array()?;
            producers.iter().find(|of| of["peerId"] == "b")?["paused"].as_bool()
        };
        assert_eq!(is_paused(), Some(false));
        let _ = home.post(&format!("{producer}/pause"), &json!({}));
        wait_for("the pause", || is_paused().filter(|paused| *paused));
        let _ = home.post(&format!("{producer}/resume"), &json!({}));
        wait_for("the end of the pause", || is_paused().filter(|paused| !*paused));
        viewer.seen.clear();
        goes_on(&mut publisher, &mut [&mut viewer], 20).await;

        for server in [&home, &other] {
            let died = child(server);
            kill("KILL", died);
            wait_for("another server", || (child(server) != died && server.get("/health")?.0 == 200).then_some(()));
            // Pictures of before may come late.
            publisher.number += 100;
            let resumed = publisher.number;
            let until = Instant::now() + LIMIT;
            while viewer.seen.last().is_none_or(|last| *last <= resumed) {
                assert!(Instant::now() < until, "no picture after the death of a server");
                publisher.send().await;
                viewer.look().await;
            }
            assert!(!viewer.is_over);
        }

        // A connection that has been taken over is not told by DTLS.
        drop(home);
        wait_for("the end of the viewer", || counted(&other, "r", "viewers").filter(|viewers| *viewers == 0));
        assert_eq!(counted(&other, "r", "transports"), Some(0));
    });
}

/// The machine with the viewers vanishes.
fn is_forgotten(bed: Bed) {
    let home = at_home(bed, &["--whep-tokens", VIEWERS_TOKEN]);
    let other = elsewhere(bed, &home);
    run(async {
        let mut publisher = publish(&home, "r?peer=p").await;
        let mut viewer = watch(&other, "r").await.expect("watches");
        goes_on(&mut publisher, &mut [&mut viewer], 20).await;
        assert_eq!(counted(&home, "r", "transports"), Some(2));
        drop(other);
        wait_for("the pipe to close", || counted(&home, "r", "transports").filter(|count| *count == 1));
        wait_for("the log to say why", || home.lines(&["session ends: machine", "is silent"]).into_iter().next());
    });
}

/// A test by its name.
type Test = (&'static str, fn(Bed));

fn main() -> ExitCode {
    let bed = match enter() {
        Entered::Inside(bed) => bed,
        Entered::Ran(code) => return code,
    };
    let mut arguments = Arguments::from_args();
    // One pair of interfaces at a time.
    arguments.test_threads = Some(1);
    let tests: [Test; 4] = [
        ("what_is_asked_without_the_token_or_wrongly_is_refused", refuses),
        ("a_room_is_watched_on_another_machine", crosses),
        ("pauses_and_ends_cross", goes_through_ends),
        ("a_machine_that_vanishes_is_forgotten", is_forgotten),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        Trial::test(name, move || {
            if bed.isolated {
                lay_cable();
            }
            test(bed);
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
