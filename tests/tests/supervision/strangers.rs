//! One client that asks for too much: the others are served all the same, and the server lives.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use corecast_tests::server::{Server, binary, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A connection from an address of this machine.
async fn connect(from: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.parse::<IpAddr>().expect("address"), 0))?;
    socket.connect(to).await
}

/// Asks and waits for the beginning of the answer.
async fn ask(from: &str, to: SocketAddr, request: &str) -> std::io::Result<(TcpStream, String)> {
    let mut stream = connect(from, to).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    Ok((stream, String::from_utf8_lossy(&head).into_owned()))
}

#[test]
fn one_address_leaves_connections_for_others_and_files_for_the_server() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 300 && exec \"$0\" \"$@\""]).arg(binary());
    let server = Server::start_command(&mut command, &[]);
    wait_for("ready", || server.get("/health").filter(|(status, _)| *status == 200));
    let pid = server.pid();
    let listen = format!("GET /rooms/r/events HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    let health = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    runtime().block_on(async {
        // All that it may have, and as many again as the server may open.
        let mut held = Vec::new();
        for _ in 0..400 {
            held.extend(ask("127.0.0.1", server.address, &listen).await);
        }
        let listening = held.iter().filter(|(_, head)| head == "HTTP/1.1 200").count();
        assert!((1..100).contains(&listening), "{listening} of one address");
        let (_, answer) = ask("127.0.0.2", server.address, &health).await.expect("another address is served");
        assert_eq!(answer, "HTTP/1.1 200");
        let (_, answer) = ask("127.0.0.2", server.address, &listen).await.expect("another address is served");
        assert_eq!(answer, "HTTP/1.1 200", "it may listen as well");
    });
    wait_for("its own again", || server.get("/health").filter(|(status, _)| *status == 200));
    assert_eq!(server.pid(), pid, "the server lives");
    assert!(server.lines(&["died"]).is_empty());
    assert_eq!(server.lines(&["limits.connections_per_ip"]).len(), 1, "told once");
}

/// An offer of nearly so many bytes whose lines cost as much as they can. A server that compares each entry of feedback
/// with those that a codec has makes 31 comparisons a line for each of 96 codecs.
fn expensive_offer(bytes: usize) -> String {
    let types: Vec<_> = (0..64).chain(96..128).map(|number: u8| number.to_string()).collect();
    let mut offer = format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF {}\r\nc=IN IP4 0.0.0.0\r\n\
         a=mid:0\r\na=rtcp-mux\r\na=sendonly\r\n",
        types.join(" ")
    );
    for number in types {
        offer += &format!("a=rtpmap:{number} X/90000\r\n");
    }
    let line = |number: usize| format!("a=rtcp-fb:* nack aaaaaaaaa{number:02}\r\n");
    let lines = bytes.saturating_sub(offer.len()) / line(0).len();
    // More than 8,192 lines are refused unread.
    for number in 0..lines.min(8_000) {
        offer += &line(number.min(30));
    }
    offer
}

#[test]
fn expensive_offers_starve_nobody() {
    let server = Server::start(&[]);
    let pid = server.pid();
    // As many from each address as it may send at once; from four of them they are longer than the server reads.
    let floods = (1..=8).map(|last| (format!("127.0.1.{last}"), if last <= 4 { 256 << 10 } else { 64 << 10 }));
    runtime().block_on(async {
        let mut asks = Vec::new();
        for (from, bytes) in floods {
            let offer = expensive_offer(bytes);
            let request = format!(
                "POST /whip/r HTTP/1.1\r\nHost: {}\r\nContent-Type: application/sdp\r\n\
                 Content-Length: {}\r\n\r\n{offer}",
                server.address,
                offer.len()
            );
            asks.extend((0..50).map(|_| {
                let (from, request, to) = (from.clone(), request.clone(), server.address);
                (bytes, tokio::spawn(async move { ask(&from, to, &request).await.map(|(_, head)| head) }))
            }));
        }
        for (bytes, ask) in asks {
            match ask.await.expect("runs") {
                Ok(head) => assert!(head.starts_with("HTTP/1.1 4"), "{head}"),
                // One whose offer is refused unread may find the connection gone.
                Err(error) => assert!(bytes > 64 << 10, "{error}"),
            }
        }
    });
    assert!(server.work("after").is_some());
    assert_eq!(server.pid(), pid, "the server lives");
    assert!(server.lines(&["died"]).is_empty(), "and no sign of its life was missed");
}
