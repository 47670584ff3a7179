//! Events as receivers see them: LiveKit's `WebhookEvent`, written as JSON. As there, 64-bit numbers are text; what is
//! not LiveKit's (`number`, `reason`, `server`) is passed over by its libraries.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

/// An event. It is kept, and told again, as it was written at first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// Its place in the order of all.
    pub(crate) number: u64,
    /// What has happened, such as `room_started`.
    pub(crate) name: String,
    /// Name of the room that it is about; none if it is about the server.
    pub(crate) room: Option<String>,
    /// When, in seconds since 1970.
    pub(crate) created_at: u64,
    /// All that receivers are told, as JSON.
    pub(crate) body: String,
}

/// A room, as distinct from others that had or will have its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomId {
    pub(crate) name: String,
    /// Number of the router of its home.
    pub(crate) number: u64,
}

/// A peer that others may know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Participant {
    /// What others call it in its room.
    pub(crate) identity: String,
    pub(crate) display_name: String,
    /// The order of coming.
    pub(crate) number: u64,
    /// "broadcaster", "publisher", "viewer" or "participant".
    pub(crate) kind: &'static str,
}

/// What a peer publishes: one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Track {
    /// Name of the producer.
    pub(crate) name: String,
    /// It is pictures, and not sound.
    pub(crate) is_video: bool,
    /// What the client calls its source, if it says so.
    pub(crate) source: Option<String>,
    pub(crate) mime_type: Option<String>,
    /// It comes in several encodings.
    pub(crate) is_simulcast: bool,
    pub(crate) is_paused: bool,
}

/// What happens to a room or in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    RoomStarted,
    RoomFinished,
    Joined(Participant),
    /// And why.
    Left(Participant, &'static str),
    Published(Participant, Track),
    Unpublished(Participant, Track),
}

/// A server has begun. It has these rooms of the one before, with so many peers each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    /// It has taken the place of another, which has died or has left its calls to it.
    pub(crate) again: bool,
    pub(crate) rooms: Vec<(RoomId, usize)>,
}

/// Rooms that a server's event lists; further ones are counted only.
const MAX_LISTED: usize = 1_000;

impl Participant {
    /// LiveKit knows who feeds media in by another protocol than its own.
    fn livekit_kind(&self) -> &'static str {
        if matches!(self.kind, "publisher" | "broadcaster" | "remote publisher") { "INGRESS" } else { "STANDARD" }
    }

    fn json(&self, origin: u64, state: &str) -> Value {
        json!({
            "sid": format!("PA_{origin:x}_{}", self.number),
            "identity": self.identity,
            "name": self.display_name,
            "state": state,
            "kind": self.livekit_kind(),
            "attributes": { "kind": self.kind },
        })
    }
}

impl Track {
    /// By the words that mediasoup-demo's and other clients use; LiveKit's `UNKNOWN` for others.
    fn livekit_source(&self) -> &'static str {
        match (self.source.as_deref(), self.is_video) {
            (Some("screen" | "screensharing" | "screen_share" | "share"), true) => "SCREEN_SHARE",
            (Some("screen" | "screensharing" | "screen_share" | "share"), false) => "SCREEN_SHARE_AUDIO",
            (Some("audio" | "mic" | "microphone"), false) => "MICROPHONE",
            (Some("video" | "webcam" | "camera"), true) => "CAMERA",
            _ => "UNKNOWN",
        }
    }

    fn json(&self) -> Value {
        json!({
            "sid": self.name,
            "type": if self.is_video { "VIDEO" } else { "AUDIO" },
            "source": self.livekit_source(),
            "mimeType": self.mime_type,
            "simulcast": self.is_simulcast,
            "muted": self.is_paused,
        })
    }
}

impl RoomId {
    fn json(&self, origin: u64) -> Value {
        json!({ "sid": format!("RM_{origin:x}_{}", self.number), "name": self.name })
    }
}

impl Happened {
    fn name(&self) -> &'static str {
        match self {
            Self::RoomStarted => "room_started",
            Self::RoomFinished => "room_finished",
            Self::Joined(_) => "participant_joined",
            Self::Left(..) => "participant_left",
            Self::Published(..) => "track_published",
            Self::Unpublished(..) => "track_unpublished",
        }
    }

    /// Adds what this event has beside the room.
    fn fill(&self, body: &mut Value, origin: u64) {
        match self {
            Self::RoomStarted | Self::RoomFinished => {}
            Self::Joined(of) => body["participant"] = of.json(origin, "ACTIVE"),
            Self::Left(of, why) => {
                body["participant"] = of.json(origin, "DISCONNECTED");
                body["reason"] = json!(why);
            }
            Self::Published(of, track) | Self::Unpublished(of, track) => {
                body["participant"] = of.json(origin, "ACTIVE");
                body["track"] = track.json();
            }
        }
    }
}

impl Event {
    /// Something has happened in a room. `origin` tells this server, over its deaths, from others.
    pub(super) fn of_room((number, origin, at): (u64, u64, u64), room: &RoomId, what: &Happened) -> Self {
        let mut body = begin(what.name(), number, at);
        body["room"] = room.json(origin);
        what.fill(&mut body, origin);
        let (name, room) = (what.name().to_owned(), Some(room.name.clone()));
        Self { number, name, room, created_at: at, body: body.to_string() }
    }

    /// A server has begun.
    pub(super) fn of_server((number, origin, at): (u64, u64, u64), begun: &Begun) -> Self {
        let name = if begun.again { "server_restarted" } else { "server_started" };
        let mut body = begin(name, number, at);
        let listed = begun.rooms.iter().take(MAX_LISTED).map(|(room, participants)| {
            let mut room = room.json(origin);
            room["numParticipants"] = json!(participants);
            room
        });
        body["server"] = json!({
            "version": env!("CORECAST_VERSION"),
            "numRooms": begun.rooms.len(),
            "numParticipants": begun.rooms.iter().map(|(_, participants)| participants).sum::<usize>(),
            "rooms": listed.collect::<Vec<_>>(),
        });
        Self { number, name: name.to_owned(), room: None, created_at: at, body: body.to_string() }
    }
}

fn begin(name: &str, number: u64, at: u64) -> Value {
    let id = format!("EV_{}", Uuid::new_v4().simple());
    json!({ "event": name, "id": id, "number": number, "createdAt": at.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: (u64, u64, u64) = (18, 16, 1_700_000_000);

    fn body(event: &Event) -> Value {
        serde_json::from_str(&event.body).expect("JSON")
    }

    fn room() -> RoomId {
        RoomId { name: "r".into(), number: 5 }
    }

    #[test]
    fn a_track_is_told_as_livekit_tells_it() {
        let ann = Participant { identity: "ann".into(), display_name: "Ann".into(), number: 7, kind: "participant" };
        let track = Track {
            name: "t".into(),
            is_video: true,
            source: Some("screensharing".into()),
            mime_type: Some("video/VP8".into()),
            is_simulcast: true,
            is_paused: false,
        };
        let event = Event::of_room(MARKS, &room(), &Happened::Published(ann, track));
        let mut told = body(&event);
        let id = told["id"].take();
        assert!(id.as_str().is_some_and(|id| id.starts_with("EV_") && id.len() == 35), "{id}");
        let expected = json!({
            "event": "track_published", "id": null, "number": 18, "createdAt": "1700000000",
            "room": { "sid": "RM_10_5", "name": "r" },
            "participant": { "sid": "PA_10_7", "identity": "ann", "name": "Ann", "state": "ACTIVE",
                             "kind": "STANDARD", "attributes": { "kind": "participant" } },
            "track": { "sid": "t", "type": "VIDEO", "source": "SCREEN_SHARE", "mimeType": "video/VP8",
                       "simulcast": true, "muted": false },
        });
        assert_eq!((told, event.room.as_deref()), (expected, Some("r")));
    }

    #[test]
    fn who_leaves_does_so_for_a_reason_and_what_begins_again_says_what_goes_on() {
        let obs = Participant { identity: "obs".into(), display_name: "OBS".into(), number: 7, kind: "publisher" };
        let told = body(&Event::of_room(MARKS, &room(), &Happened::Left(obs, "its client asked for it")));
        assert_eq!((&told["event"], &told["reason"]), (&json!("participant_left"), &json!("its client asked for it")));
        let participant = &told["participant"];
        assert_eq!((&participant["state"], &participant["kind"]), (&json!("DISCONNECTED"), &json!("INGRESS")));
        let rooms = vec![(room(), 2); MAX_LISTED + 1];
        let event = Event::of_server(MARKS, &Begun { again: true, rooms });
        let server = &body(&event)["server"];
        assert_eq!((event.name.as_str(), event.room.as_deref()), ("server_restarted", None));
        assert_eq!((&server["numRooms"], &server["numParticipants"]), (&json!(1_001), &json!(2_002)));
        assert_eq!(server["rooms"].as_array().map(Vec::len), Some(MAX_LISTED));
        assert_eq!(server["rooms"][0], json!({ "sid": "RM_10_5", "name": "r", "numParticipants": 2 }));
        assert_eq!(Event::of_server(MARKS, &Begun { again: false, rooms: Vec::new() }).name, "server_started");
    }
}
