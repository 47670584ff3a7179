//! What the outside is told of rooms and peers: the events, and `GET /events`.

use std::collections::BTreeMap;

use super::sessions::{STAYS, offer};
use super::*;

/// A client of a stream of events.
struct Reader {
    stream: TcpStream,
    text: String,
}

/// Fields of one event, by name.
type Fields = BTreeMap<String, String>;

impl Reader {
    async fn open(server: &Server, path: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(server.address).await.expect("connects");
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", server.address);
        stream.write_all(head.as_bytes()).await.expect("is sent");
        let mut reader = Self { stream, text: String::new() };
        let head = reader.until("\r\n\r\n").await;
        assert!(head.contains("200 OK") && head.contains("text/event-stream"), "{head}");
        reader
    }

    /// Takes what is there up to this mark.
    async fn until(&mut self, mark: &str) -> String {
        loop {
            if let Some((before, after)) = self.text.split_once(mark) {
                let (before, after) = (before.to_owned(), after.to_owned());
                self.text = after;
                return before;
            }
            let mut bytes = [0; 4_096];
            let read = self.stream.read(&mut bytes).await.expect("reads");
            assert!(read > 0, "the stream ends: {}", self.text);
            self.text.push_str(std::str::from_utf8(&bytes[..read]).expect("text"));
        }
    }

    async fn next(&mut self) -> Fields {
        loop {
            let block = self.until("\n\n").await;
            // Chunks' lengths stand between; comments begin with a colon.
            let fields: Fields = block
                .lines()
                .filter_map(|line| line.trim_end().split_once(": "))
                .filter(|(name, _)| !name.is_empty())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            if fields.contains_key("event") {
                return fields;
            }
        }
    }

    /// The next events: their names, and whom or what each is about.
    async fn told(&mut self, number: usize) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..number {
            let fields = self.next().await;
            let body: Value = serde_json::from_str(&fields["data"]).expect("JSON");
            assert_eq!(body["event"], fields["event"]);
            assert_eq!(body["number"].to_string(), fields["id"]);
            let whom = body["participant"]["identity"].as_str().unwrap_or_default();
            let track = body["track"]["type"].as_str().unwrap_or_default();
            let room = body["room"]["name"].as_str().expect("a room");
            told.push([&fields["event"], room, whom, track].join(" ").trim_end().to_owned());
        }
        told
    }
}

#[tokio::test]
async fn a_room_is_told_from_its_beginning_to_its_end() {
    let server = Server::start().await;
    let mut reader = Reader::open(&server, "/events", "").await;
    let (of, on) = legacy(&server, "r", None).await;
    server.made(&format!("{on}/producers"), opus()).await;
    assert_eq!(server.sdp("/whip/r?peer=ann&name=Ann", &offer("sendonly", STAYS)).await.status, StatusCode::CREATED);
    assert_eq!(
        reader.told(6).await,
        [
            "room_started r",
            "participant_joined r b",
            "track_published r b AUDIO",
            "participant_joined r ann",
            "track_published r ann AUDIO",
            "track_published r ann VIDEO",
        ]
    );
    assert_eq!(server.send("DELETE", &of, "", "").await.status, StatusCode::OK);
    assert_eq!(server.send("DELETE", "/rooms/r", "", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(reader.told(2).await, ["track_unpublished r b AUDIO", "participant_left r b"]);
    assert_eq!(reader.told(2).await, ["track_unpublished r ann AUDIO", "track_unpublished r ann VIDEO"]);
    let left = reader.next().await;
    let left: Value = serde_json::from_str(&left["data"]).expect("JSON");
    assert_eq!((&left["event"], &left["reason"]), (&json!("participant_left"), &json!("its room was closed")));
    assert_eq!((&left["participant"]["name"], &left["participant"]["kind"]), (&json!("Ann"), &json!("INGRESS")));
    assert_eq!(reader.told(1).await, ["room_finished r"]);
}

#[tokio::test]
async fn a_viewer_is_told_and_one_that_got_nothing_is_not() {
    let server = Server::start().await;
    assert_eq!(server.sdp("/whep/r", &offer("recvonly", STAYS)).await.status, StatusCode::CONFLICT);
    let mut reader = Reader::open(&server, "/events", "Last-Event-ID: 0\r\n").await;
    let ann = server.sdp("/whip/r?peer=ann", &offer("sendonly", STAYS)).await.location.expect("a URL");
    assert_eq!(reader.next().await["event"], "events_lost", "numbers begin with another one than 1");
    assert_eq!(reader.told(4).await.last().map(String::as_str), Some("track_published r ann VIDEO"));
    assert_eq!(server.sdp("/whep/r", &offer("recvonly", STAYS)).await.status, StatusCode::CREATED);
    let viewer: Value = serde_json::from_str(&reader.next().await["data"]).expect("JSON");
    assert_eq!(viewer["participant"]["attributes"], json!({ "kind": "viewer" }), "{viewer}");
    assert_eq!(server.send("DELETE", &ann, "", "").await.status, StatusCode::OK);
    assert_eq!(reader.told(3).await.last().map(String::as_str), Some("participant_left r ann"));
}

#[tokio::test]
async fn who_comes_again_misses_nothing_and_hears_of_one_room_if_it_wants() {
    let server = Server::start().await;
    let mut reader = Reader::open(&server, "/events", "").await;
    for room in ["a", "b"] {
        legacy(&server, room, None).await;
    }
    let first = reader.next().await;
    assert_eq!(first["event"], "room_started");
    drop(reader);
    let again = format!("Last-Event-ID: {}\r\n", first["id"]);
    let mut reader = Reader::open(&server, "/events", &again).await;
    let expected = ["participant_joined a b", "room_started b", "participant_joined b b"];
    assert_eq!(reader.told(3).await, expected);
    let mut of_b = Reader::open(&server, "/events?room=b", &again).await;
    assert_eq!(of_b.told(2).await, expected[1..]);
    // A number that is not given yet is another server's.
    let mut stranger = Reader::open(&server, "/events", &format!("Last-Event-ID: {}\r\n", u64::MAX)).await;
    assert_eq!(stranger.told(1).await, ["room_started a"]);
    let wrong = server.send("GET", "/events", "Last-Event-ID: x\r\n", "").await;
    assert!(wrong.status == StatusCode::BAD_REQUEST && wrong.text.contains("Last-Event-ID"), "{}", wrong.text);
}

#[tokio::test]
async fn events_are_for_those_who_may_operate() {
    let mut config = Config::default();
    config.api.tokens = vec!["operate".into()];
    let server = Server::start_with(config).await;
    assert_eq!(server.get("/events").await.status, StatusCode::UNAUTHORIZED);
    let _ = Reader::open(&server, "/events", "Authorization: Bearer operate\r\n").await;
}

#[tokio::test]
async fn a_participant_s_tracks_come_and_go() {
    let server = Server::start().await;
    let mut reader = Reader::open(&server, "/events", "").await;
    let body = json!({ "peerId": "p", "displayName": "P", "device": { "name": "g", "flag": "gstreamer" } });
    assert_eq!(server.post("/rooms/r/broadcasters", body).await.status, StatusCode::CREATED);
    let of = "/rooms/r/broadcasters/p";
    let body = json!({ "direction": "producer", "comedia": true, "rtcpMux": false });
    let made = server.made(&format!("{of}/transports"), body).await;
    let on = format!("{of}/transports/{}", made["transportId"].as_str().expect("id"));
    assert_eq!(server.post(&format!("{of}/join"), json!({})).await.status, StatusCode::OK);
    let mut producer = vp8();
    producer["appData"] = json!({ "source": "screensharing" });
    let made = server.made(&format!("{on}/producers"), producer).await;
    assert_eq!(
        reader.told(2).await,
        ["room_started r", "participant_joined r p"],
        "before it has joined it is not told"
    );
    let told: Value = serde_json::from_str(&reader.next().await["data"]).expect("JSON");
    let track = json!({ "sid": made["producerId"], "type": "VIDEO", "source": "SCREEN_SHARE", "mimeType": "video/VP8",
                        "simulcast": false, "muted": false });
    assert_eq!((&told["event"], &told["track"]), (&json!("track_published"), &track));
    assert_eq!(server.send("DELETE", &on, "", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(reader.told(1).await, ["track_unpublished r p VIDEO"]);
}
