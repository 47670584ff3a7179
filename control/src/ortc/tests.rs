//! Worked examples of the mapping rules.

use corecast_wire::HeaderExtension;
use serde_json::{Value, json};

use super::*;
use crate::ortc::capabilities::router_capabilities;
use crate::ortc::produce::Produced;
use crate::ortc::{Carrier, produce};

fn parameters(value: Value) -> RtpParameters {
    serde_json::from_value(value).expect("well-formed")
}

fn made(kind: Kind, value: Value) -> Produced {
    produce(kind, parameters(value), Carrier::Plain, false, "abcdefgh", 7_000).expect("supported")
}

fn request() -> ConsumeRequest {
    ConsumeRequest {
        enable_rtx: None,
        paused: false,
        ssrc: 500,
        rtx_ssrc: 501,
        first_sequence: 1,
        rtx_first_sequence: 2,
        mid: 0,
    }
}

fn vp8() -> Value {
    json!({
        "mid": "1",
        "codecs": [
            { "mimeType": "video/vp8", "payloadType": 96, "clockRate": 90000, "parameters": { "x": 1 },
              "rtcpFeedback": [{ "type": "nack" }, { "type": "nack", "parameter": "pli" }] },
            { "mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": { "apt": 96 } },
        ],
        "headerExtensions": [
            { "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 9 },
            { "uri": "urn:3gpp:video-orientation", "id": 13 },
            { "uri": "urn:example:nobody-knows", "id": 12 },
        ],
        "encodings": [{ "ssrc": 22, "rtx": { "ssrc": 23 }, "maxBitrate": 100 }],
        "rtcp": { "cname": "me" },
    })
}

#[test]
fn the_scripts_producers_map_to_themselves() {
    let audio = made(
        Kind::Audio,
        json!({ "codecs": [{ "mimeType": "audio/opus", "payloadType": 100, "clockRate": 48000, "channels": 2,
                             "parameters": { "sprop-stereo": 1 } }],
                "encodings": [{ "ssrc": 1111 }] }),
    );
    let mapping = audio.options.codecs[0];
    assert_eq!(
        (mapping.payload_type, mapping.mapped_payload_type, mapping.codec),
        (100, 100, corecast_wire::Codec::Other)
    );
    assert_eq!(audio.options.encodings[0].ssrc, Some(1111));
    assert_eq!(audio.consumable.rtcp.cname.as_deref(), Some("abcdefgh"));
    assert_eq!(audio.consumable.codecs[0].parameters["sprop-stereo"], 1);
    assert!(!audio.options.nack && !audio.options.pli);
}

#[test]
fn numbers_become_the_routers() {
    let video = made(Kind::Video, vp8());
    let types: Vec<_> = video.options.codecs.iter().map(|c| (c.payload_type, c.mapped_payload_type, c.codec)).collect();
    use corecast_wire::Codec;
    assert_eq!(types, [(96, 101, Codec::Vp8), (97, 102, Codec::Rtx { apt: 96 })]);
    let extensions: Vec<_> = video.options.header_extensions.iter().map(|e| (e.id, e.mapped_id)).collect();
    assert_eq!(extensions, [(13, 8)], "the mid is of one hop");
    assert!(video.options.nack && video.options.pli && !video.options.fir);
    assert_eq!(video.consumable.encodings[0].ssrc, Some(7_000));
    assert_eq!(video.consumable.encodings[0].rtx, None);
    let codecs: Vec<_> = video.consumable.codecs.iter().map(|codec| codec.payload_type).collect();
    assert_eq!(codecs, [101, 102]);
    assert!(video.consumable.header_extensions.iter().all(|e| ![2, 3, 10].contains(&e.id)), "recvonly stays here");
}

#[test]
fn rtx_is_offered_to_consumers_of_a_producer_without_it() {
    let mut value = vp8();
    value["codecs"].as_array_mut().expect("list").truncate(1);
    let consumed = consume(Kind::Video, &made(Kind::Video, value).consumable, router_capabilities(), &request());
    let consumed = consumed.expect("can be consumed");
    assert_eq!(consumed.options.rtx.expect("has RTX").payload_types, [(101, 102)]);
    assert_eq!(consumed.rtp_parameters.encodings[0].rtx, Some(Rtx { ssrc: 501 }));
    assert_eq!(consumed.options.payload_types, [PayloadTypeMapping::same(101)]);
    assert_eq!(consumed.rtp_parameters.mid.as_deref(), Some("0"));
    assert_eq!(consumed.rtp_parameters.encodings[0].max_bitrate, Some(100));
    assert_eq!(consumed.options.cname, "me");
}

#[test]
fn a_receiver_gets_only_what_it_knows() {
    let consumable = made(Kind::Video, vp8()).consumable;
    let capabilities: RtpCapabilities = serde_json::from_value(json!({
        "codecs": [{ "mimeType": "video/VP8", "preferredPayloadType": 101, "clockRate": 90000,
                     "rtcpFeedback": [{ "type": "nack" }, { "type": "transport-cc" }, { "type": "goog-remb" }] }],
        "headerExtensions": [
            { "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "preferredId": 1 },
            { "uri": "urn:3gpp:video-orientation", "preferredId": 4 },
        ],
    }))
    .expect("well-formed");
    let consumed = consume(Kind::Video, &consumable, &capabilities, &request()).expect("can be consumed");
    let ids: Vec<_> = consumed.options.header_extensions.iter().map(|one| one.router_id).collect();
    assert_eq!(ids, [1], "same URI, other id: unknown");
    assert_eq!(consumed.options.rtx, None);
    assert!(consumed.options.nack);
    let feedback: Vec<_> = consumed.rtp_parameters.codecs[0].rtcp_feedback.iter().map(|f| f.kind.as_str()).collect();
    assert_eq!(feedback, ["nack"], "neither congestion extension: neither feedback");
}

#[test]
fn transport_cc_wins_over_remb() {
    let consumable = made(Kind::Video, vp8()).consumable;
    let consumed = consume(Kind::Video, &consumable, router_capabilities(), &request()).expect("can be consumed");
    let kinds: Vec<_> = consumed.rtp_parameters.codecs[0].rtcp_feedback.iter().map(|f| f.kind.as_str()).collect();
    assert_eq!(kinds, ["nack", "nack", "ccm", "transport-cc"]);
}

#[test]
fn who_has_no_transport_wide_numbers_may_say_by_rfc_8888_what_came() {
    let consumable = made(Kind::Video, vp8()).consumable;
    let consumed = |extensions: Value| {
        let kinds = [("ack", "ccfb"), ("transport-cc", ""), ("goog-remb", "")];
        let feedback = kinds.map(|(kind, parameter)| json!({ "type": kind, "parameter": parameter }));
        let capabilities: RtpCapabilities = serde_json::from_value(json!({
            "codecs": [{ "mimeType": "video/VP8", "preferredPayloadType": 101, "clockRate": 90000,
                         "rtcpFeedback": feedback }],
            "headerExtensions": extensions,
        }))
        .expect("well-formed");
        let consumed = consume(Kind::Video, &consumable, &capabilities, &request()).expect("can be consumed");
        let codec = &consumed.rtp_parameters.codecs[0];
        let kinds: Vec<_> = codec.rtcp_feedback.iter().map(|one| one.kind.clone()).collect();
        (kinds, consumed.options.ccfb)
    };
    let known = |uri| router_capabilities().header_extensions.iter().find(|one| one.uri == uri).expect("known");
    let list = |uri| json!({ "uri": uri, "preferredId": known(uri).preferred_id });
    let (times, numbers) = (list(ABS_SEND_TIME), list(TRANSPORT_CC));
    assert_eq!(consumed(json!([times])), (vec!["ack".to_owned()], true));
    assert_eq!(consumed(json!([times, numbers])), (vec!["transport-cc".to_owned()], false), "one of them");
    let others = json!([times, { "uri": TRANSPORT_CC, "preferredId": 14 }]);
    assert_eq!(consumed(others), (vec!["goog-remb".to_owned()], false), "of other producers it says so by numbers");
}

#[test]
fn audio_has_nack_only_when_asked_for() {
    let opus =
        json!({ "codecs": [{ "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2 }] });
    let consumable = made(Kind::Audio, opus).consumable;
    let nack = |enable_rtx| {
        let request = ConsumeRequest { enable_rtx, ..request() };
        consume(Kind::Audio, &consumable, router_capabilities(), &request).expect("can be consumed").options.nack
    };
    assert!(!nack(None));
    assert!(nack(Some(true)));
}

#[test]
fn who_lacks_the_codec_cannot_consume() {
    let consumable = made(Kind::Video, vp8()).consumable;
    let mut capabilities = router_capabilities().clone();
    capabilities.codecs.retain(|codec| codec.mime_type != "video/VP8");
    assert!(!can_consume(&consumable, &capabilities));
    assert!(can_consume(&consumable, router_capabilities()));
    let error = consume(Kind::Video, &consumable, &capabilities, &request()).expect_err("no codec");
    assert!(error.to_string().contains("rtpCapabilities"));
}

#[test]
fn h264_profiles_are_told_apart() {
    let mapped = |mode: u8, profile: &str| {
        let value = json!({ "codecs": [{ "mimeType": "video/H264", "payloadType": 96, "clockRate": 90000,
            "parameters": { "packetization-mode": mode, "profile-level-id": profile } }] });
        made(Kind::Video, value).options.codecs[0].mapped_payload_type
    };
    assert_eq!(mapped(1, "4d0032"), 105);
    assert_eq!(mapped(1, "42e01f"), 107);
    assert_eq!(
        (mapped(0, "42e01f"), mapped(0, "42001f")),
        (121, 125),
        "packetization mode 0 for both kinds of baseline"
    );
    assert_ne!(mapped(1, "64001f"), 107);
}

#[test]
fn without_level_asymmetry_the_lower_level_holds() {
    let value = json!({ "codecs": [{ "mimeType": "video/H264", "payloadType": 96, "clockRate": 90000,
        "parameters": { "packetization-mode": 1, "profile-level-id": "42e034" } }] });
    assert_eq!(made(Kind::Video, value).consumable.codecs[0].parameters["profile-level-id"], "42e01f");
}

#[test]
fn a_receivers_capabilities_say_which_extensions_are_written_for_it() {
    let consumable = made(Kind::Video, vp8()).consumable;
    let stamps = [HeaderExtension::AbsSendTime, HeaderExtension::TransportCc];
    let written = |capabilities: &RtpCapabilities| {
        let consumed = consume(Kind::Video, &consumable, capabilities, &request()).expect("consumes");
        let known = |which| consumed.options.header_extensions.iter().any(|one| one.extension == which);
        stamps.map(known)
    };
    let mut capabilities = router_capabilities().clone();
    assert_eq!(written(&capabilities), [true, true]);
    capabilities.header_extensions.clear();
    assert_eq!(written(&capabilities), [false, false]);
}

#[test]
fn capabilities_are_bounded_and_those_of_the_router_are_within() {
    assert_eq!(router_capabilities().check(), Ok(()));
    let long = "x".repeat(257);
    let codec = |change: &dyn Fn(&mut Value)| {
        let mut codec = json!({ "mimeType": "video/VP8", "clockRate": 90000, "parameters": {}, "rtcpFeedback": [] });
        change(&mut codec);
        json!({ "codecs": [codec] })
    };
    let many: serde_json::Map<String, Value> = (0..33).map(|number| (number.to_string(), json!(1))).collect();
    for (capabilities, part) in [
        (json!({ "codecs": vec![json!({ "mimeType": "video/VP8", "clockRate": 90000 }); 129] }), "codecs: at most 128"),
        (json!({ "headerExtensions": vec![json!({ "uri": "urn:x", "preferredId": 1 }); 65] }), "headerExtensions"),
        (json!({ "headerExtensions": [{ "uri": long, "preferredId": 1 }] }), "headerExtensions[0].uri"),
        (codec(&|of| of["mimeType"] = json!(long)), "codecs[0].mimeType"),
        (codec(&|of| of["parameters"] = json!(many)), "codecs[0].parameters"),
        (codec(&|of| of["parameters"] = json!({ "x": [[long]] })), "codecs[0].parameters"),
        (codec(&|of| of["rtcpFeedback"] = json!([{ "type": long }])), "codecs[0].rtcpFeedback"),
        (codec(&|of| of["rtcpFeedback"] = json!(vec![json!({ "type": "nack" }); 33])), "codecs[0].rtcpFeedback"),
    ] {
        let capabilities: RtpCapabilities = serde_json::from_value(capabilities).expect("well-formed");
        let error = capabilities.check().expect_err(part).to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn scalability_makes_svc() {
    for (mode, expected) in [("L1T1", "simple"), ("L3T3_KEY", "svc"), ("L1T3", "svc"), ("nonsense", "simple")] {
        let mut value = vp8();
        value["encodings"][0]["scalabilityMode"] = json!(mode);
        assert_eq!(made(Kind::Video, value).kind_of_streams, expected, "{mode}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let change = |pointer: &str, to: Value| {
        let mut value = vp8();
        *value.pointer_mut(pointer).expect(pointer) = to;
        produce(Kind::Video, parameters(value), Carrier::Plain, false, "c", 1).expect_err(pointer).to_string()
    };
    for (pointer, to, part) in [
        ("/codecs/0/payloadType", json!(128), "codecs[0].payloadType"),
        ("/codecs/1/payloadType", json!(96), "codecs[1].payloadType"),
        ("/codecs/0/clockRate", json!(0), "codecs[0].clockRate"),
        ("/codecs/0/mimeType", json!("audio/opus"), "codecs[0].mimeType"),
        ("/codecs/0/mimeType", json!("video/theora"), "theora"),
        ("/codecs/0/parameters/x", json!({}), "parameters.x"),
        ("/codecs/1/parameters/apt", json!(95), "codecs[1].parameters.apt"),
        ("/codecs", json!([]), "rtpParameters.codecs"),
        ("/headerExtensions/0/id", json!(0), "headerExtensions[0].id"),
        ("/headerExtensions/1/id", json!(9), "headerExtensions[1].id"),
        ("/encodings/0/rtx/ssrc", json!(22), "rtx.ssrc"),
        ("/encodings", json!([{ "ssrc": 1 }, { "ssrc": 2 }]), "simulcast"),
        ("/rtcp/cname", json!("x".repeat(256)), "rtcp.cname"),
        ("/mid", json!(""), "mid"),
    ] {
        let error = change(pointer, to);
        assert!(error.contains(part), "{pointer}: {error}");
    }
}
