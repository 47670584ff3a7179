//! Thousands who want nothing, too much at once, or never read (attack S16): who is honest is served all the same, the
//! server's memory is bounded, and it lives.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use corecast_bench::webrtc::{Event, Joining, Session, join};
use corecast_tests::server::{Server, binary, kill, limit_files, resident_bytes, wait_for};
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::told::{options, run};

/// What any attack here may make the server grow by.
const GROWTH_BYTES: u64 = 64 << 20;
/// Files that these tests open at once, and some more.
const FILES: u32 = 6_000;
const SLOW: usize = 2_000;
const BODIES: usize = 3_000;
/// Two crowds at a time would have more files than that.
static ALONE: Mutex<()> = Mutex::new(());
/// What a connection may make it grow by that has not asked for anything: [`GROWTH_BYTES`] are for ten thousand.
const CONNECTION_BYTES: u64 = GROWTH_BYTES / 10_000;

/// One of a few addresses of this machine, for the client of this number.
fn source(number: usize, addresses: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 7, u8::try_from(1 + number % addresses).expect("few"))
}

async fn connect(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// The status of an answer; none if the connection ends without one.
async fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.ok()?;
    str::from_utf8(&head).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok()
}

async fn get(from: Ipv4Addr, to: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = connect(from, to).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    status(&mut stream).await
}

/// Says nothing, half a head, a head byte by byte, or a body byte by byte. Returns what it is answered, once the server
/// has closed the connection.
async fn be_slow(number: usize, to: SocketAddr, connected: Arc<AtomicUsize>) -> std::io::Result<Option<u16>> {
    let mut stream = connect(source(number, 40), to).await?;
    connected.fetch_add(1, Ordering::Relaxed);
    let post = "POST /whip/r HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\n";
    let (begin, rest) = match number % 4 {
        0 => (String::new(), ""),
        1 => ("GET /health HTTP/1.1\r\nHost: x\r\n".to_owned(), ""),
        2 => ("GET /health HTTP/1.1\r\nX-Long: ".to_owned(), "a"),
        _ => (format!("{post}Content-Length: 4000\r\n\r\nv=0"), " "),
    };
    stream.write_all(begin.as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        match timeout(Duration::from_millis(500), stream.read_buf(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(_)) => {}
            // It may have been closed since.
            Err(_) => drop(stream.write_all(rest.as_bytes()).await),
        }
    }
    Ok(String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|status| status.parse().ok()))
}

/// Sends so many packets of sound. How many of them come to the viewer.
async fn talk(publisher: &mut Session, viewer: &mut Session, packets: u16) -> usize {
    let mut arrived = 0;
    for number in 0..packets {
        let [s0, s1] = number.to_be_bytes();
        let [t0, t1, t2, t3] = (u32::from(number) * 960).to_be_bytes();
        publisher.send_rtp(&[0x80, 111, s0, s1, t0, t1, t2, t3, 0, 0, 0, 7, 1, 2]).expect("is sent");
        // Answers the server's reports and checks.
        let _ = publisher.recv(Duration::from_millis(1)).await.expect("open");
        arrived += usize::from(matches!(viewer.recv(Duration::from_millis(20)).await, Ok(Some(Event::Rtp(_)))));
    }
    while let Ok(Some(event)) = viewer.recv(Duration::from_millis(200)).await {
        arrived += usize::from(matches!(event, Event::Rtp(_)));
    }
    arrived
}

#[test]
fn two_thousand_slow_connections_keep_nobody_out_and_are_closed() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    limit_files(std::process::id(), FILES);
    let server = Server::start(&["--workers", "1"]);
    let (pid, to) = (server.pid(), server.address);
    let before = resident_bytes(pid);
    run(async {
        let client = reqwest::Client::new();
        let url = |path: &str| format!("http://{to}/{path}");
        let mut ann = join(&client, &url("whip/r?peer=ann"), options(true)).await.expect("joins");
        let connected = Arc::new(AtomicUsize::new(0));
        let mut slow = JoinSet::new();
        (0..SLOW).for_each(|number| drop(slow.spawn(be_slow(number, to, Arc::clone(&connected)))));
        while connected.load(Ordering::Relaxed) < SLOW {
            sleep(Duration::from_millis(5)).await;
        }
        let mut took = Vec::new();
        for number in 0..200 {
            let began = Instant::now();
            assert_eq!(get(source(number, 200), to, "/health").await, Some(200), "client {number}");
            took.push(began.elapsed());
        }
        let mut viewer = join(&client, &url("whep/r/ann"), options(false)).await.expect("joins");
        assert!(talk(&mut ann, &mut viewer, 100).await >= 99, "media goes on");
        took.sort_unstable();
        println!("beside {SLOW} slow connections: p50 {:?}, p99 {:?}", took[100], took[198]);
        // Nobody who is slow stays for long.
        let ended = slow.join_all().await;
        for (status, kinds) in [(None, 3), (Some(408), 1)] {
            let count = ended.iter().filter(|end| end.as_ref().is_ok_and(|end| *end == status)).count();
            assert!(count >= SLOW * kinds / 4, "{count} of {SLOW} are answered with {status:?}");
        }
    });
    let grown = resident_bytes(pid).saturating_sub(before);
    println!("{grown} bytes more");
    assert!(grown < GROWTH_BYTES, "{grown} bytes more");
    assert_eq!(server.pid(), pid, "the server lives");
}

/// So many connect, from as many addresses as keep them from being refused, and say this. What the server has grown by
/// then.
fn grows_by(server: &Server, slow: usize, says: &str) -> u64 {
    // By HTTPS it is not to be had otherwise: the supervisor has one child, which begins with it.
    let supervisor = server.supervisor_pid();
    let children = std::fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children")).expect("runs");
    let pid = children.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a server");
    let mut grown = 0;
    run(async {
        // It is answered, also where HTTPS is spoken. What is allocated once, is.
        let is_served = async || get(source(0, 1), server.address, "/health").await.is_some();
        assert!(is_served().await);
        let before = resident_bytes(pid);
        let mut streams = Vec::new();
        for number in 0..slow {
            let mut stream = connect(source(number, 200), server.address).await.expect("connects");
            // It may have been closed.
            let _ = stream.write_all(says.as_bytes()).await;
            streams.push(stream);
        }
        assert!(is_served().await, "who comes after all of them");
        grown = resident_bytes(pid).saturating_sub(before);
    });
    grown
}

#[test]
fn who_connects_and_asks_for_nothing_takes_next_to_no_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    limit_files(std::process::id(), FILES);
    for (flags, says) in [
        (&["--workers", "1"][..], ""),
        (&["--workers", "1"], "GET /health HTTP/1.1\r\nHost: x\r\n"),
        (&["--workers", "1", "--tls-self-signed", "true"], "\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03"),
    ] {
        let server = Server::start_command(&mut Command::new(binary()), flags);
        wait_for("ready", || server.lines(&["is ready"]).pop());
        let grown = grows_by(&server, SLOW, says);
        println!("{grown} bytes more for {SLOW} who say {says:?}");
        assert!(grown < SLOW as u64 * CONNECTION_BYTES, "{grown} bytes more for {says:?}");
    }
}

/// A request that is begun holds what HTTP needs for it. Of too many the oldest are given up.
#[test]
fn thousands_whose_bodies_do_not_come_take_no_more_than_some_hundred() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    limit_files(std::process::id(), FILES);
    let server = Server::start(&["--workers", "1", "--limits-sessions-per-second", "1000"]);
    let says = "POST /whip/r HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\nContent-Length: 4000\r\n\r\nv=0";
    let grown = grows_by(&server, BODIES, says);
    println!("{grown} bytes more for {BODIES} whose bodies do not come");
    assert!(grown < GROWTH_BYTES, "{grown} bytes more");
}

/// The head of a message of so many bytes, masked, to a WebSocket (RFC 6455 section 5.2).
fn frame(bytes: u64) -> Vec<u8> {
    [&[0x81, 0xFF][..], &bytes.to_be_bytes(), &[0; 4]].concat()
}

#[test]
fn messages_of_64_mib_are_refused_unread() {
    const LONG: u64 = 64 << 20;
    let server = Server::start(&["--workers", "1"]);
    let (pid, to) = (server.pid(), server.address);
    let before = resident_bytes(pid);
    let post = |path: &str, kind: &str| format!("POST {path} HTTP/1.1\r\nHost: {to}\r\nContent-Type: {kind}\r\n");
    let length = format!("Content-Length: {LONG}\r\n\r\n");
    let upgrade = format!(
        "GET /protoo?roomId=r&peerId=PEER HTTP/1.1\r\nHost: {to}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: protoo\r\n\r\n"
    );
    let kinds = [
        (post("/rooms/r/broadcasters", "application/json") + &length, Some(413), Vec::new()),
        (post("/whip/r", "application/sdp") + &length, Some(413), Vec::new()),
        (
            post("/whip/r", "application/sdp") + "Transfer-Encoding: chunked\r\n\r\n",
            Some(413),
            format!("{LONG:x}\r\n").into_bytes(),
        ),
        (upgrade, Some(101), frame(LONG)),
    ];
    run(async {
        let mut attackers = JoinSet::new();
        for number in 0..40 {
            let (head, wanted, begin) = kinds[number % kinds.len()].clone();
            attackers.spawn(async move {
                let mut stream = connect(source(number, 4), to).await.expect("connects");
                let head = head.replace("PEER", &number.to_string());
                stream.write_all(head.as_bytes()).await.expect("writes");
                let is_socket = wanted == Some(101);
                let mut answered = if is_socket { status(&mut stream).await } else { None };
                let mut sent = stream.write_all(&begin).await;
                for _ in 0..LONG / (64 << 10) {
                    sent = match sent {
                        Ok(()) => stream.write_all(&[b'a'; 64 << 10]).await,
                        Err(_) => break,
                    };
                }
                if !is_socket {
                    answered = status(&mut stream).await;
                }
                // One that is refused unread may find the connection gone.
                assert!(answered == wanted || (!is_socket && answered.is_none()), "{answered:?} for {head}");
                assert!(sent.is_err() || answered == Some(413), "it was not read: {head}");
            });
        }
        attackers.join_all().await;
    });
    let grown = resident_bytes(pid).saturating_sub(before);
    assert!(grown < GROWTH_BYTES, "{grown} bytes more");
    wait_for("nobody to be left", || server.json("GET", "/rooms", "")?["rooms"].as_array()?.is_empty().then_some(()));
    assert_eq!(server.pid(), pid, "the server lives");
}

#[test]
fn json_that_is_deep_or_ambiguous_is_refused_with_a_sentence() {
    let server = Server::start(&["--workers", "1"]);
    let path = "/rooms/r/broadcasters";
    let deep = format!("{}{}", "[".repeat(60_000), "]".repeat(60_000));
    let member = format!(r#"{{"id":"b","displayName":"b","device":{{"name":"d"}},"x":{}}}"#, "[".repeat(32));
    let twice = r#"{"id":"b","displayName":"b","device":{"name":"d"},"id":"c"}"#;
    for (body, part) in
        [(deep.as_str(), "deeper than 32"), (&member, "deeper than 32"), (twice, "duplicate field `id`")]
    {
        let (status, sentence) = server.ask("POST", path, body).expect("answers");
        assert!(status == 400 && sentence.contains(part) && sentence.lines().count() == 1, "{status} {sentence}");
    }
    assert_eq!(server.json("GET", "/rooms", "").expect("answers")["rooms"], serde_json::json!([]));
}

/// A thousand offers as fast as they can be made, of forty addresses, none of which is ever connected.
#[test]
fn a_thousand_joins_at_once_are_answered_and_somebody_honest_joins_beside_them() {
    limit_files(std::process::id(), FILES);
    let server = Server::start(&["--workers", "1", "--limits-sessions-per-second", "50"]);
    let (pid, to) = (server.pid(), server.address);
    run(async {
        let url = format!("http://{to}/whip/r");
        let client = |number| reqwest::Client::builder().local_address(IpAddr::from(source(number, 40))).build();
        let clients: Vec<_> = (0..40).map(|number| client(number).expect("a client")).collect();
        let mut asks = JoinSet::new();
        for number in 0..1_000 {
            let (client, url) = (clients[number % clients.len()].clone(), url.clone());
            asks.spawn(async move {
                match Joining::post(&client, &url, options(true)).await {
                    Ok(_) => Some(StatusCode::CREATED),
                    Err(error) => error.refused().map(|refused| refused.status),
                }
            });
        }
        let mut tries = 0;
        let honest = loop {
            tries += 1;
            match join(&reqwest::Client::new(), &format!("http://{to}/whip/other"), options(true)).await {
                Ok(session) => break session,
                Err(error) => {
                    let refused = error.refused().unwrap_or_else(|| panic!("{error}"));
                    assert!([503, 429].contains(&refused.status.as_u16()), "{}", refused.body);
                    assert!(refused.headers.contains_key("retry-after"), "{}", refused.body);
                    sleep(Duration::from_millis(500)).await;
                }
            }
        };
        let answers = asks.join_all().await;
        let count = |status: u16| answers.iter().filter(|of| of.is_some_and(|of| of.as_u16() == status)).count();
        println!("{} made, {} and {} refused; honest: {tries}", count(201), count(429), count(503));
        assert_eq!(count(201) + count(429) + count(503), 1_000, "each is answered: {answers:?}");
        assert!(count(429) + count(503) >= 200, "not all of them are let in");
        drop(honest);
    });
    assert_eq!(server.pid(), pid, "the server lives");
    assert!(server.lines(&["died"]).is_empty());
}

#[test]
fn a_thousand_who_connect_at_once_while_the_server_is_busy_are_all_served() {
    limit_files(std::process::id(), FILES);
    // It would be declared dead otherwise.
    let server = Server::start(&["--workers", "1", "--worker-timeout", "20s"]);
    let (pid, to) = (server.pid(), server.address);
    run(async {
        kill("STOP", pid);
        let mut clients = JoinSet::new();
        for number in 0..1_000 {
            // What finds no place in the queue is dropped by the kernel, and tried again a second later.
            let connects = async move { timeout(Duration::from_secs(8), connect(source(number, 4), to)).await };
            clients.spawn(connects);
        }
        let connected: Vec<_> = clients.join_all().await.into_iter().filter_map(|it| it.ok()?.ok()).collect();
        kill("CONT", pid);
        assert_eq!(connected.len(), 1_000, "all are in the queue");
        for mut stream in connected {
            let request = format!("GET /health HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("writes");
            assert_eq!(status(&mut stream).await, Some(200));
        }
    });
    assert_eq!(server.pid(), pid, "the server lives");
}

#[test]
fn a_server_that_can_open_nothing_more_goes_on_and_takes_connections_again() {
    let server = Server::start(&["--workers", "1"]);
    let pid = server.pid();
    // Fewer than it has open: each accept fails with EMFILE.
    limit_files(pid, 8);
    wait_for("the trouble in the log", || {
        let _ = server.get("/health");
        server.lines(&["no HTTP connection can be taken", "Too many open files"]).pop()
    });
    limit_files(pid, 1_000);
    wait_for("an answer", || server.get("/health").filter(|(status, _)| *status == 200));
    assert!(server.work("after").is_some());
    assert_eq!(server.pid(), pid, "the server lives");
    assert!(server.lines(&["died"]).is_empty());
}

#[test]
fn who_listens_to_events_and_reads_none_holds_no_memory() {
    const LISTENERS: usize = 150;
    const CHANGES: usize = 1_500;
    let server = Server::start(&["--workers", "1"]);
    let (pid, to) = (server.pid(), server.address);
    // Somebody stays, so that the room does.
    let name = "n".repeat(250);
    let change = |id: &str| {
        let body = serde_json::json!({"id": id, "displayName": name, "device": {"name": "test"}});
        assert!(server.json("POST", "/rooms/r/broadcasters", &body.to_string()).is_some());
    };
    change("stays");
    let mut listeners = Vec::new();
    run(async {
        for number in 0..LISTENERS {
            let mut stream = connect(source(number, 4), to).await.expect("connects");
            let request = format!("GET /rooms/r/events HTTP/1.1\r\nHost: {to}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("writes");
            assert_eq!(status(&mut stream).await, Some(200), "listener {number}");
            listeners.push(stream.into_std().expect("a socket"));
        }
    });
    let before = resident_bytes(pid);
    for number in 0..CHANGES {
        let id = format!("b{number}");
        change(&id);
        let gone = server.ask("DELETE", &format!("/rooms/r/broadcasters/{id}"), "").expect("answers");
        assert!((200..300).contains(&gone.0), "{gone:?}");
    }
    let grown = resident_bytes(pid).saturating_sub(before);
    println!("{grown} bytes more for {LISTENERS} who do not read {} events", 2 * CHANGES);
    assert!(grown < GROWTH_BYTES, "{grown} bytes more");
    drop(listeners);
    assert_eq!(server.pid(), pid, "the server lives");
}
