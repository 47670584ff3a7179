//! Webhooks of the built binary: signed, in order, again after a failure, and on over a death of the server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use corecast_tests::broadcaster::{Kind, Room};
use corecast_tests::server::{Server, kill, wait_for};
use serde_json::{Value, json};

use super::receiver::{Request, receive, serve};

const SECRET: &str = "a secret of more than 32 characters";
/// For one event to come.
const LIMIT: Duration = Duration::from_secs(30);

/// What a request tells, if it is signed as LiveKit's receivers want it.
fn verified(request: &Request) -> Value {
    assert_eq!(request.header("content-type"), Some("application/webhook+json"));
    let token = request.header("authorization").expect("a token");
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hmac::verify(&key, signed.as_bytes(), &decode(signature)).expect("is signed with the secret");
    let claims: Value = serde_json::from_slice(&decode(signed.split('.').nth(1).expect("claims"))).expect("JSON");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let (from, to) = (claims["nbf"].as_u64().expect("nbf"), claims["exp"].as_u64().expect("exp"));
    assert!(claims["iss"] == "key" && from <= now && now <= to, "{claims} at {now}");
    let hash = digest::digest(&digest::SHA256, &request.body);
    assert_eq!(claims["sha256"], STANDARD.encode(hash), "the token is of this body");
    serde_json::from_slice(&request.body).expect("JSON")
}

fn next(told: &Receiver<Request>) -> Value {
    verified(&told.recv_timeout(LIMIT).expect("an event comes"))
}

/// The next events, by name, without doubles; each number is one more than that of the event before.
fn named(told: &Receiver<Request>, last: &mut u64, names: &[&str]) -> Vec<Value> {
    let mut events = Vec::new();
    for name in names {
        let event = loop {
            let event = next(told);
            if event["number"].as_u64().expect("a number") > *last {
                break event;
            }
        };
        assert_eq!(event["event"], *name, "{event}");
        let number = event["number"].as_u64().expect("a number");
        assert!(*last == 0 || number == *last + 1, "{number} follows {last}");
        *last = number;
        events.push(event);
    }
    events
}

fn start(url: &str) -> Server {
    let urls = ["--webhooks-urls", url, "--webhooks-key", "key", "--webhooks-secret", SECRET];
    Server::start(&[&["--workers", "1"], &urls[..]].concat())
}

#[test]
fn events_are_signed_and_in_order_and_sent_again_after_a_failure_and_over_a_death() {
    // The second is refused.
    let (address, told) = receive(|number| if number == 2 { "500 Internal Server Error" } else { "200 OK" });
    let mut server = start(&format!("http://{address}/hook?token=s3cret"));
    let mut last = 0;
    let started = named(&told, &mut last, &["server_started"]).remove(0);
    assert_eq!(started["server"]["numRooms"], 0, "{started}");
    let room = Room::open(&server, "r");
    let of = room.join("bot");
    // This one is refused with 500.
    let refused = next(&told);
    let (_, _) = room.produce(&of, Kind::Opus);
    let begun = named(&told, &mut last, &["room_started", "participant_joined", "track_published"]);
    assert_eq!(begun[0], refused, "the same comes again");
    assert_eq!((&begun[0]["room"]["name"], &begun[1]["participant"]["identity"]), (&json!("r"), &json!("bot")));
    assert_eq!((&begun[2]["track"]["type"], &begun[2]["track"]["mimeType"]), (&json!("AUDIO"), &json!("audio/opus")));
    let pid = server.pid();
    let metrics = wait_for("all to be taken", || {
        let page = server.get("/metrics")?.1;
        page.contains(&format!("corecast_webhook_waiting{{url=\"http://{address}/hook\"}} 0")).then_some(page)
    });
    let delivered = format!("corecast_webhook_events_total{{url=\"http://{address}/hook\",result=\"delivered\"}} 4");
    assert!(metrics.contains(&delivered) && !metrics.contains("s3cret"), "{metrics}");

    kill("KILL", pid);
    let again = named(&told, &mut last, &["server_restarted"]).remove(0);
    assert_eq!((&again["server"]["numRooms"], &again["server"]["numParticipants"]), (&json!(1), &json!(1)), "{again}");
    assert_eq!(again["server"]["rooms"][0]["sid"], begun[0]["room"]["sid"], "it is the same room");
    // A stream that was read before goes on, too.
    let after = format!("Last-Event-ID: {}\r\n", last - 2);
    let text = wait_for("the stream", || stream(server.address, &after, "server_restarted"));
    assert!(text.contains("event: track_published") && !text.contains("events_lost"), "{text}");

    server.signal_supervisor("INT");
    let ends = named(&told, &mut last, &["track_unpublished", "participant_left", "room_finished"]);
    assert_eq!(ends[1]["reason"], "its room was closed", "{}", ends[1]);
    assert_eq!(server.exit_code(), Some(0));
    assert_eq!(server.lines(&["WARN", "webhook http://", "500"]).len(), 1, "a failure is logged once");
    assert!(server.lines(&["s3cret"]).is_empty(), "the query of a URL is not logged");
}

/// What a stream of events tells up to this word.
fn stream(address: SocketAddr, headers: &str, word: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "GET /events HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").ok()?;
    let (mut text, mut bytes) = (String::new(), [0; 4_096]);
    while !text.contains(word) {
        let read = stream.read(&mut bytes).ok().filter(|read| *read > 0)?;
        text.push_str(std::str::from_utf8(bytes.get(..read)?).ok()?);
    }
    Some(text)
}

#[test]
fn a_receiver_that_is_not_there_holds_up_nobody_and_gets_what_happened_when_it_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound");
    // It takes connections, and never answers.
    let server = start(&format!("http://{address}/"));
    let room = Room::open(&server, "r");
    let _ = room.join("bot");
    assert_eq!(server.ask("DELETE", "/rooms/r", "").expect("answers").0, 204);
    drop(listener);
    let listener = TcpListener::bind(address).expect("binds again");
    let (tell, told) = channel();
    serve(listener, tell, |_| "204 No Content");
    let names = ["server_started", "room_started", "participant_joined", "participant_left", "room_finished"];
    let _ = named(&told, &mut 0, &names);
}
