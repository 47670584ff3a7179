//! The calls themselves: each with every status that it is answered with, but for 405 and what a wrong HTTP request
//! gets.

use serde_json::json;

use super::{Call, JSON, TEXT, broadcasters};
use crate::http::ListenQuery;
use crate::ops::{DataQuery, EventsQuery, Health, PeerCounters, Rooms, Stats, StatsQuery, Trace, TraceQuery};
use crate::signaling::broadcasters::Capabilities;
use crate::signaling::whip_whep::{EventNames, LayerBody, Layers, PublishQuery};
use crate::telemetry::Picture;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const EVENTS: &str = "text/event-stream";
const HTML: &str = "text/html";

pub(super) const TAGS: [&str; 7] = ["whip", "whep", "rooms", "broadcasters", "participants", "watch", "pages"];

/// Those of each tag.
pub(super) fn all() -> Vec<Call> {
    let tagged = [whip(), whep(), layers(), rooms(), broadcasters::calls(), participants(), watch(), pages()];
    let tags = [TAGS[0], TAGS[1], TAGS[1], TAGS[2], TAGS[3], TAGS[4], TAGS[5], TAGS[6]];
    tagged
        .into_iter()
        .zip(tags)
        .flat_map(|(calls, tag)| calls.into_iter().map(move |call| Call { tag, ..call }))
        .collect()
}

/// Why there is no new session.
const REFUSES_OFFER: &[u16] = &[400, 401, 403, 408, 409, 413, 415, 422, 429, 500, 501, 503];
/// Why a session stays as it is.
const REFUSES_PATCH: &[u16] = &[400, 401, 403, 404, 408, 412, 413, 415, 422, 428, 429, 500, 503];
const REFUSES_LOOK: &[u16] = &[401, 403, 404, 429];
const REFUSES_END: &[u16] = &[401, 403, 404, 429, 500, 503];

fn offer(call: Call) -> Call {
    call.takes(SDP)
        .gives(201, "The session is there. The body is the answer to the offer.", &[SDP])
        .answers("Location", "the session's URL, which only its client knows")
        .answers("ETag", "of the ICE session, for If-Match of a PATCH")
        .answers("Accept-Patch", "application/trickle-ice-sdpfrag")
        .answers("Link", "where it is watched, or its layers and events; and each of rtc.ice_servers")
        .refuses(REFUSES_OFFER)
}

fn endpoint_looks(path: &'static str, ids: [&'static str; 2]) -> [Call; 2] {
    [
        Call::new("get", path, ids[0], "There is nothing to be seen at an endpoint.")
            .gives(204, "Nothing.", &[])
            .refuses(&[403]),
        Call::new("options", path, ids[1], "What may be asked here. With a right token also the ICE servers.")
            .gives(200, "In the headers.", &[])
            .answers("Accept-Post", "application/sdp")
            .answers("Link", "each of rtc.ice_servers")
            .refuses(&[403]),
    ]
}

fn session(path: &'static str, ids: [&'static str; 4]) -> [Call; 4] {
    [
        Call::new("get", path, ids[0], "Whether the session is there.").gives(204, "It is.", &[]).refuses(REFUSES_LOOK),
        Call::new("options", path, ids[1], "What may be asked of a session.")
            .gives(200, "In the headers.", &[])
            .answers("Accept-Patch", "application/trickle-ice-sdpfrag")
            .refuses(&[403]),
        Call::new("patch", path, ids[2], "Tells candidates, or restarts ICE.")
            .takes(FRAGMENT)
            .header("If-Match", "the session's ETag, or * to restart ICE; not needed by viewers who trickle")
            .gives(200, "ICE begins again. The body has the server's credentials and candidates.", &[FRAGMENT])
            .answers("ETag", "of the new ICE session")
            .gives(204, "The candidates were taken note of.", &[])
            .refuses(REFUSES_PATCH),
        Call::new("delete", path, ids[3], "Ends the session.").gives(200, "It has ended.", &[]).refuses(REFUSES_END),
    ]
}

fn whip() -> Vec<Call> {
    let publish = offer(Call::new("post", "/whip/{room}", "publish", "Publishes by WHIP (RFC 9725)."))
        .asks::<PublishQuery>()
        .header("Replaces", "URL of an older session of the same client, which ends");
    let ids = ["lookAtPublication", "publicationOptions", "patchPublication", "endPublication"];
    let events = "/whip/{room}/{secret}/events";
    let events = [
        Call::new("get", events, "listenToPublication", "Which encodings nobody takes, and the session's end.")
            .asks::<ListenQuery>()
            .gives(200, "Events, until the session ends.", &[EVENTS])
            .refuses(&[400, 401, 403, 404, 422, 429, 500, 503]),
        Call::new("options", events, "publicationEventsOptions", "What may be asked here.")
            .gives(200, "In the headers.", &[])
            .refuses(&[403]),
    ];
    [publish]
        .into_iter()
        .chain(events)
        .chain(endpoint_looks("/whip/{room}", ["lookAtWhip", "whipOptions"]))
        .chain(session("/whip/{room}/{secret}", ids))
        .collect()
}

fn whep() -> Vec<Call> {
    let longest = "Watches the publisher that has been there longest, by WHEP (draft-ietf-wish-whep-03).";
    let ids = ["lookAtView", "viewOptions", "patchView", "endView"];
    [
        offer(Call::new("post", "/whep/{room}", "watchRoom", longest)),
        offer(Call::new("post", "/whep/{room}/{peer}", "watchPeer", "Watches one publisher of a room.")),
    ]
    .into_iter()
    .chain(endpoint_looks("/whep/{room}", ["lookAtWhep", "whepOptions"]))
    .chain(endpoint_looks("/whep/{room}/{peer}", ["lookAtWhepOfPeer", "whepOfPeerOptions"]))
    .chain(session("/whep/{room}/s/{secret}", ids))
    .collect()
}

fn layers() -> Vec<Call> {
    let (layer, events) = ("/whep/{room}/s/{secret}/layer", "/whep/{room}/s/{secret}/events");
    vec![
        Call::new("get", layer, "showLayers", "What layers there are and which is sent.")
            .gives(200, "As in a `layers` event.", &[JSON])
            .says::<Layers>()
            .refuses(&[401, 403, 404, 429, 500, 503]),
        Call::new("post", layer, "chooseLayer", "Chooses the layer that is wanted at most.")
            .reads::<LayerBody>()
            .gives(200, "It is preferred from now on.", &[])
            .refuses(&[400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503]),
        Call::new("delete", layer, "chooseNoLayer", "Has no preference for any section.")
            .gives(200, "The best is preferred.", &[])
            .refuses(&[401, 403, 404, 429, 500, 503]),
        Call::new("options", layer, "layerOptions", "What may be asked here.")
            .gives(200, "In the headers.", &[])
            .refuses(&[403]),
        Call::new("post", events, "chooseEvents", "Says where the events of a list are to be had.")
            .reads::<EventNames>()
            .gives(201, "At its Location.", &[])
            .answers("Location", "where they are to be had")
            .refuses(&[400, 401, 403, 404, 408, 413, 415, 422, 429]),
        Call::new("get", events, "listenToView", "What happens to the layers, and the session's end.")
            .asks::<ListenQuery>()
            .gives(200, "Events, until the session ends.", &[EVENTS])
            .refuses(&[400, 401, 403, 404, 422, 429, 500, 503]),
        Call::new("options", events, "eventsOptions", "What may be asked here.")
            .gives(200, "In the headers.", &[])
            .refuses(&[403]),
    ]
}

fn rooms() -> Vec<Call> {
    let text = json!({ "type": "string" });
    vec![
        Call::new("get", "/rooms", "listRooms", "Every room, with who is there.")
            .gives(200, "The rooms.", &[JSON])
            .says::<Rooms>()
            .refuses(&[401, 403, 429, 503]),
        Call::new("get", "/rooms/{room}", "showCapabilities", "What may be sent in a room. Makes none.")
            .gives(200, "RTP capabilities, the same for every room.", &[JSON])
            .says::<Capabilities>()
            .refuses(&[400, 401, 403, 429]),
        Call::new("delete", "/rooms/{room}", "closeRoom", "Closes a room with all that is in it.")
            .gives(204, "It is closed.", &[])
            .refuses(&[401, 403, 404, 429, 500, 503]),
        Call::new("get", "/rooms/{room}/events", "listenToRoom", "Who is in a room, and who comes and goes.")
            .query(("token", false), &text, "bearer token: a browser's EventSource sends no headers")
            .gives(200, "Events, until the room closes.", &[EVENTS])
            .refuses(&[400, 401, 403, 429, 503]),
        Call::new("get", "/rooms/{room}/peers/{peer}", "showPeer", "The counters of everything that one peer has.")
            .gives(200, "The counters.", &[JSON])
            .says::<PeerCounters>()
            .refuses(&[401, 403, 404, 429, 500, 503]),
        Call::new(
            "get",
            "/rooms/{room}/transports/{transport}/trace",
            "showDecisions",
            "What was seen of the path to a viewer, and decided for it.",
        )
        .asks::<TraceQuery>()
        .gives(200, "The decisions.", &[JSON, "image/svg+xml"])
        .says::<Trace>()
        .refuses(&[400, 401, 403, 404, 422, 429, 500, 503]),
    ]
}

fn participants() -> Vec<Call> {
    let (text, truth) = (json!({ "type": "string" }), json!({ "type": "boolean" }));
    let replicas = json!({ "type": "integer", "minimum": 0, "maximum": 16 });
    let call = Call::new("get", "/protoo", "takePart", "Takes part by WebSocket, as mediasoup-demo's clients do.")
        .query(("roomId", true), &text, "the room")
        .query(("peerId", true), &text, "what others call the client")
        .query(("token", false), &text, "bearer token")
        .query(("resume", false), &text, "the secret by which a peer goes on after its WebSocket has broken")
        .query(("consumerReplicas", false), &replicas, "so many further consumers of each producer")
        .query(("red", false), &truth, "the client can do with redundant sound")
        .header("Sec-WebSocket-Protocol", "protoo")
        .gives(101, "What follows is the protocol protoo.", &[])
        .refuses(&[400, 401, 403, 404, 409, 426, 429, 500, 503]);
    vec![call]
}

fn watch() -> Vec<Call> {
    vec![
        Call::new("get", "/health", "showHealth", "Whether the server does its work.")
            .gives(200, "`ok`, or `cordoned` while an operator wants no new rooms.", &[JSON])
            .gives(503, "`starting` or `draining`.", &[JSON])
            .says::<Health>()
            .refuses(&[403]),
        Call::new("get", "/stats", "showStats", "Workers, rooms, refused requests, and the counters of every object.")
            .asks::<StatsQuery>()
            .gives(200, "The counters.", &[JSON])
            .says::<Stats>()
            .refuses(&[400, 401, 403, 429, 500, 503]),
        Call::new("get", "/metrics", "showMetrics", "Metrics for Prometheus.")
            .gives(200, "OpenMetrics.", &["application/openmetrics-text"])
            .refuses(&[401, 403, 429, 500]),
        Call::new("get", "/events", "listenToServer", "What happens to rooms and peers.")
            .asks::<EventsQuery>()
            .header("Last-Event-ID", "the number of the last event that the client has")
            .gives(200, "Events, until the server stops.", &[EVENTS])
            .refuses(&[400, 401, 403, 429, 503]),
        Call::new("get", "/dashboard/data", "showPicture", "What the dashboard and `corecast top` show.")
            .asks::<DataQuery>()
            .gives(200, "Cores, the hottest rooms, the unhappiest viewers.", &[JSON])
            .says::<Picture>()
            .refuses(&[400, 401, 403, 429]),
        Call::new("put", "/log-filter", "setLogFilter", "Sets what is logged until the next start.")
            .takes(TEXT)
            .gives(204, "It is so.", &[])
            .refuses(&[400, 401, 403, 413, 429]),
    ]
}

fn pages() -> Vec<Call> {
    vec![
        Call::new("get", "/status", "statusPage", "The status page.").gives(200, "A page.", &[HTML]),
        Call::new("get", "/dashboard", "dashboardPage", "The dashboard.").gives(200, "A page.", &[HTML]).gives(
            304,
            "The one that the browser has.",
            &[],
        ),
    ]
}
