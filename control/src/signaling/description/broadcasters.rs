//! The calls of broadcasters. `B` in docs/protocol.md is the path of a broadcaster.

use super::{Call, JSON, TEXT};
use crate::ops::Entry;
use crate::signaling::broadcasters::{
    BroadcasterBody, ConnectBody, ConsumeBody, ConsumeDataBody, ConsumeQuery, ConsumerMade, DataConsumerMade,
    DataProducerMade, Others, PeerProducersInfos, PreferredLayersBody, ProduceBody, ProduceDataBody, ProducerMade,
    ResumeBody, TransportBody, TransportMade,
};

/// Why nothing was made.
const REFUSES: &[u16] = &[400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 501, 503];
/// Why something stays as it was.
const REFUSES_ACT: &[u16] = &[400, 401, 403, 404, 408, 409, 413, 429, 500, 503];

macro_rules! of_broadcaster {
    ($rest:literal) => {
        concat!("/rooms/{room}/broadcasters/{broadcaster}", $rest)
    };
}

fn act(path: &'static str, id: &'static str, summary: &'static str) -> Call {
    Call::new("post", path, id, summary).gives(200, "It is done. The body is a sentence.", &[TEXT]).refuses(REFUSES_ACT)
}

fn close(path: &'static str, id: &'static str, summary: &'static str) -> Call {
    Call::new("delete", path, id, summary).gives(204, "It is closed.", &[]).refuses(REFUSES_ACT)
}

fn stats(path: &'static str, id: &'static str) -> Call {
    let summary = "Counters, as mediasoup's getStats() has them.";
    Call::new("get", path, id, summary).gives(200, "The entries.", &[JSON]).says_list_of::<Entry>().refuses(REFUSES_ACT)
}

fn make(path: &'static str, id: &'static str, summary: &'static str) -> Call {
    Call::new("post", path, id, summary)
        .gives(200, "It is there: the older form.", &[JSON])
        .gives(201, "It is there: the newer form.", &[JSON])
        .refuses(REFUSES)
}

fn on_transports() -> Vec<Call> {
    vec![
        make(of_broadcaster!("/transports"), "makeTransport", "Makes a transport, plain or for WebRTC.")
            .reads::<TransportBody>()
            .says::<TransportMade>(),
        act(of_broadcaster!("/transports/{transport}/connect"), "connectTransport", "Tells the other side. Once.")
            .reads::<ConnectBody>(),
        close(of_broadcaster!("/transports/{transport}"), "closeTransport", "Closes a transport with all on it."),
        stats(of_broadcaster!("/transports/{transport}/stats"), "transportStats"),
        make(of_broadcaster!("/transports/{transport}/producers"), "produceOn", "Publishes on a transport.")
            .reads::<ProduceBody>()
            .says::<ProducerMade>(),
        make(of_broadcaster!("/transports/{transport}/consume"), "consumeOn", "Is sent what somebody publishes.")
            .asks::<ConsumeQuery>()
            .reads::<ConsumeBody>()
            .says::<ConsumerMade>(),
        act(of_broadcaster!("/transports/{transport}/resume"), "resumeOn", "Resumes a consumer.").reads::<ResumeBody>(),
        Call::new("post", of_broadcaster!("/transports/{transport}/produce/data"), "produceData", "Opens a channel.")
            .reads::<ProduceDataBody>()
            .gives(200, "It is there.", &[JSON])
            .says::<DataProducerMade>()
            .refuses(REFUSES),
        Call::new("post", of_broadcaster!("/transports/{transport}/consume/data"), "consumeData", "Hears a channel.")
            .reads::<ConsumeDataBody>()
            .gives(200, "It is there.", &[JSON])
            .says::<DataConsumerMade>()
            .refuses(REFUSES),
    ]
}

fn on_media() -> Vec<Call> {
    vec![
        make(of_broadcaster!("/producers"), "produce", "Publishes; the body names the transport.")
            .reads::<ProduceBody>()
            .says::<ProducerMade>(),
        close(of_broadcaster!("/producers/{producer}"), "closeProducer", "Closes a producer and its consumers."),
        act(of_broadcaster!("/producers/{producer}/pause"), "pauseProducer", "Pauses a producer."),
        act(of_broadcaster!("/producers/{producer}/resume"), "resumeProducer", "Resumes a producer."),
        stats(of_broadcaster!("/producers/{producer}/stats"), "producerStats"),
        make(
            of_broadcaster!("/consumers"),
            "consume",
            "Is sent what somebody publishes; the body names the transport.",
        )
        .reads::<ConsumeBody>()
        .says::<ConsumerMade>(),
        close(of_broadcaster!("/consumers/{consumer}"), "closeConsumer", "Closes a consumer."),
        act(of_broadcaster!("/consumers/{consumer}/pause"), "pauseConsumer", "Pauses a consumer."),
        act(of_broadcaster!("/consumers/{consumer}/resume"), "resumeConsumer", "Resumes a consumer."),
        act(of_broadcaster!("/consumers/{consumer}/requestKeyFrame"), "requestKeyFrame", "Asks for a key frame."),
        act(of_broadcaster!("/consumers/{consumer}/setPreferredLayers"), "setPreferredLayers", "Chooses layers.")
            .reads::<PreferredLayersBody>(),
        stats(of_broadcaster!("/consumers/{consumer}/stats"), "consumerStats"),
    ]
}

/// All of them.
pub(super) fn calls() -> Vec<Call> {
    let summary = "Makes a broadcaster, and the room if there is none: older form with id, newer with peerId.";
    let mut calls = vec![
        Call::new("post", "/rooms/{room}/broadcasters", "makeBroadcaster", summary)
            .reads::<BroadcasterBody>()
            .gives(200, "It is there, and may consume this: the older form.", &[JSON])
            .says::<Others>()
            .gives(201, "It is there: the newer form.", &[TEXT])
            .refuses(REFUSES),
        Call::new("delete", of_broadcaster!(""), "removeBroadcaster", "Removes a broadcaster with all that it made.")
            .gives(200, "It is gone: the older form.", &[TEXT])
            .gives(204, "It is gone: the newer form.", &[])
            .refuses(REFUSES_ACT),
        act(of_broadcaster!("/join"), "joinBroadcaster", "Joins: the newer form may produce and consume from then on."),
        Call::new("get", of_broadcaster!("/peerProducersInfos"), "listProducers", "What everybody else publishes.")
            .gives(200, "The producers.", &[JSON])
            .says::<PeerProducersInfos>()
            .refuses(REFUSES_ACT),
    ];
    calls.extend(on_transports());
    calls.extend(on_media());
    calls
}
