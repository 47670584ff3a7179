//! The same against the built server, in small form: who begins handshakes and does not end them, and who has traffic
//! sent to others. And honest participants whose addresses change on the way.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use corecast_bench::webrtc::dtls::{Terms, client_hello};
use corecast_bench::webrtc::ice::{CheckEvent, Checks, Credentials};
use corecast_bench::webrtc::sdp::{Answer, Kind, Media};
use corecast_bench::webrtc::{Event, Identity, Joining, Options, Session, join};
use corecast_core::limits::{MAX_HANDSHAKES, MAX_HANDSHAKES_PER_ADDRESS};
use corecast_tests::relay::{Bound, Path};
use corecast_tests::server::{Server, wait_for};
use serde_json::Value;

/// Strangers are more than HTTP lets in at once.
const FLAGS: [&str; 6] =
    ["--workers", "1", "--limits-sessions-per-second", "0", "--limits-sessions-per-second-per-ip", "0"];
/// SSRC of sound that is published.
const SOUND: u32 = 7;
/// Time that an honest handshake may take: less than those of strangers are kept.
const HONEST: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(20);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(90), test).await.expect("in time") });
}

fn sound(send: bool) -> Vec<Media> {
    vec![Media::plain(Kind::Audio, send, send.then_some(SOUND))]
}

fn options(media: Vec<Media>) -> Options {
    let mut options = Options::new(&Arc::new(Identity::new().expect("made")), media);
    options.terms.within = HONEST;
    options
}

fn url(server: &Server, path: &str) -> String {
    format!("http://{}/{path}", server.address)
}

/// One who publishes sound, and one who listens.
struct Call {
    publisher: Session,
    viewer: Session,
    sequence: u16,
}

impl Call {
    async fn begin(server: &Server) -> Self {
        let client = reqwest::Client::new();
        let publisher = join(&client, &url(server, "whip/call?peer=ann"), options(sound(true))).await;
        let publisher = publisher.expect("an honest publisher joins");
        let viewer = join(&client, &url(server, "whep/call/ann"), options(sound(false))).await;
        Self { publisher, viewer: viewer.expect("an honest viewer joins"), sequence: 0 }
    }

    /// Sends packets, one by one, until so many have come. The numbers of those that came.
    async fn talk(&mut self, packets: usize, payload_bytes: usize) -> Vec<u16> {
        let until = tokio::time::Instant::now() + PATIENCE;
        let mut came = Vec::new();
        while came.len() < packets && tokio::time::Instant::now() < until {
            self.send(payload_bytes);
            came.extend(self.heard(Duration::from_millis(20)).await);
        }
        came
    }

    fn send(&mut self, payload_bytes: usize) {
        self.sequence += 1;
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = (u32::from(self.sequence) * 960).to_be_bytes();
        let header = [0x80, 111, s0, s1, t0, t1, t2, t3, 0, 0, 0, SOUND as u8];
        let packet = [&header[..], &self.sequence.to_be_bytes(), &vec![0; payload_bytes]].concat();
        self.publisher.send_rtp(&packet).expect("sent");
    }

    /// The packet of sound that comes to the viewer within that time: its number.
    async fn heard(&mut self, within: Duration) -> Option<u16> {
        let until = tokio::time::Instant::now() + within;
        loop {
            let rest = until.saturating_duration_since(tokio::time::Instant::now());
            match self.viewer.recv(rest).await.expect("open")? {
                Event::Rtp(packet) => {
                    return Some(u16::from_be_bytes(*packet.payload.first_chunk().expect("a number")));
                }
                Event::Closed => panic!("the server has closed"),
                _ => {}
            }
        }
    }

    /// A receiver report, without blocks (RFC 3550 section 6.4.2).
    fn report(&mut self) {
        self.viewer.send_rtcp(&[0x80, 201, 0, 1, 0, 0, 0, 9]).expect("sent");
    }
}

/// How many packets the server has discarded for a reason, as its heartbeat told last.
fn discarded(server: &Server, why: &str) -> u64 {
    server.stats()["workers"][0]["usage"]["discards"][why].as_u64().unwrap_or_default()
}

/// A socket of one who has a session's credentials, and what has gone and come there.
struct Stranger {
    socket: UdpSocket,
    checks: Checks,
    sent: usize,
    got: usize,
}

impl Stranger {
    fn new(ip: Ipv4Addr, answer: &Answer) -> Self {
        let socket = UdpSocket::bind((ip, 0)).expect("an address of loopback");
        socket.connect(answer.udp[0]).expect("the server's");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("set");
        Self { socket, checks: Checks::new(Credentials::random(), answer.ice.clone()), sent: 0, got: 0 }
    }

    fn send(&mut self, datagram: &[u8]) {
        self.sent += datagram.len();
        self.socket.send(datagram).expect("sent");
    }

    fn check(&mut self) {
        let check = self.checks.request().expect("made");
        self.send(&check);
    }

    /// Takes what comes for so long. Answers to checks do not count: they are no longer than those.
    fn listen(&mut self, span: Duration) {
        let (until, mut room) = (std::time::Instant::now() + span, [0; 2_048]);
        while std::time::Instant::now() < until {
            let Ok(len) = self.socket.recv(&mut room) else { continue };
            if room[0] >= 4 {
                self.got += len;
            }
        }
    }

    /// Checks until that is answered.
    fn is_let_in(&mut self) {
        let remote: SocketAddr = self.socket.peer_addr().expect("connected");
        for _ in 0..20 {
            self.check();
            let mut room = [0; 2_048];
            let Ok(len) = self.socket.recv(&mut room) else { continue };
            if matches!(self.checks.take(&room[..len], remote), CheckEvent::Answered(_)) {
                return;
            }
        }
        panic!("checks are not answered");
    }
}

/// More strangers than there is room for begin a handshake each, from a dozen addresses, and say nothing more.
#[test]
fn half_open_handshakes_keep_nobody_out_of_a_real_server() {
    let server = Server::start(&FLAGS);
    let hello = client_hello(&Identity::new().expect("made"), &Terms::default()).expect("made");
    run(async {
        let client = reqwest::Client::new();
        let mut strangers = Vec::new();
        for number in 0..MAX_HANDSHAKES + MAX_HANDSHAKES_PER_ADDRESS {
            let url = url(&server, &format!("whip/strangers?peer=x{number}"));
            let joining = Joining::post(&client, &url, options(sound(true))).await.expect("made");
            let host = 10 + (number / MAX_HANDSHAKES_PER_ADDRESS) as u8;
            let mut stranger = Stranger::new(Ipv4Addr::new(127, 0, 0, host), joining.answer());
            stranger.is_let_in();
            strangers.push((stranger, joining));
        }
        for (stranger, _) in &mut strangers {
            stranger.send(&hello);
        }
        let connecting = |stats: &Value| {
            let transports = stats["transports"].as_array().expect("a list");
            transports.iter().filter(|one| one["dtlsState"] == "connecting").count()
        };
        let stats = server.stats();
        assert!(connecting(&stats) >= MAX_HANDSHAKES, "{} of them have begun", connecting(&stats));
        let came = Call::begin(&server).await.talk(20, 40).await;
        assert_eq!(came.len(), 20);
    });
}

/// Checks with good credentials from an address where nobody answers bring neither a handshake nor media there.
#[test]
fn a_real_server_sends_no_more_than_three_times_what_came_to_where_nobody_answers() {
    let server = Server::start(&FLAGS);
    let hello = client_hello(&Identity::new().expect("made"), &Terms::default()).expect("made");
    run(async {
        let url = url(&server, "whip/hello?peer=x");
        let joining = Joining::post(&reqwest::Client::new(), &url, options(sound(true))).await.expect("made");
        let mut victim = Stranger::new(Ipv4Addr::new(127, 0, 0, 9), joining.answer());
        victim.is_let_in();
        victim.send(&hello);
        // The flight is repeated after 100, 200, 400, 800 and 1,600 ms.
        victim.listen(Duration::from_secs(4));
        assert!(victim.got > 0, "it answers");
        assert!(victim.got <= 3 * victim.sent, "{} bytes for {}", victim.got, victim.sent);

        let mut call = Call::begin(&server).await;
        assert_eq!(call.talk(10, 1_000).await.len(), 10);
        let mut victim = Stranger::new(Ipv4Addr::new(127, 0, 0, 9), call.viewer.answer());
        for _ in 0..3 {
            victim.is_let_in();
            assert_eq!(call.talk(50, 1_000).await.len(), 50, "the viewer keeps its media");
            victim.listen(Duration::from_millis(10));
        }
        assert!(victim.got <= 3 * victim.sent, "{} bytes for {}", victim.got, victim.sent);
    });
}

/// A NAT gives both sides other ports in the middle of a call. Media goes on by the new ways: the publisher's once they
/// are checked, the viewer's once they are proven.
#[test]
fn a_call_goes_on_when_a_nat_gives_it_other_ports() {
    let bound = Bound::new(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a free port");
    let announced = format!("127.0.0.1={}", bound.address().expect("bound"));
    let server = Server::start(&[&FLAGS[..], &["--rtc-listen-ips", &announced]].concat());
    let leads_to = SocketAddr::from((Ipv4Addr::LOCALHOST, server.webrtc_port));
    let relay = bound.start(leads_to, 1, Path::default(), Path::default()).expect("starts");
    run(async {
        let mut call = Call::begin(&server).await;
        assert_eq!(call.talk(20, 40).await.len(), 20);
        relay.rebind();
        let before = discarded(&server, "unvalidated_path");
        for _ in 0..10 {
            call.send(40);
        }
        assert_eq!(call.heard(Duration::from_millis(500)).await, None, "the ways of before are gone");
        wait_for("packets by ways that were not checked", || {
            (discarded(&server, "unvalidated_path") >= before + 10).then_some(())
        });

        call.publisher.check().expect("sent");
        call.viewer.check().expect("sent");
        // The answer comes.
        let _ = call.publisher.recv(Duration::from_millis(200)).await.expect("open");
        let _ = call.heard(Duration::from_millis(200)).await;
        for _ in 0..10 {
            call.send(40);
        }
        assert_eq!(call.heard(Duration::from_millis(500)).await, None, "a check alone proves no address");
        call.report();
        let came = call.talk(50, 40).await;
        assert_eq!(came.len(), 50);
        assert!(came.windows(2).all(|pair| pair[0] < pair[1]), "in order: {came:?}");
        let stats = server.stats();
        let transports = stats["transports"].as_array().expect("a list");
        assert_eq!(transports.len(), 2, "nobody has joined again");
    });
}
