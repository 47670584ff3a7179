//! Redundant audio data (RFC 2198) by mediasoup's rules.

use corecast_wire::{Codec, RedundancyOptions};
use serde_json::{Value, json};

use super::super::*;
use super::*;

fn opus() -> Value {
    json!({ "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2 })
}

fn red(format: &str) -> Value {
    json!({ "mimeType": "audio/red", "payloadType": 63, "clockRate": 48000, "channels": 2,
            "parameters": { format: null } })
}

fn produced(codecs: &[Value]) -> Result<Produced, OrtcError> {
    let parameters = serde_json::from_value(json!({ "codecs": codecs })).expect("well-formed");
    produce(Kind::Audio, parameters, Carrier::WebRtc, false, "abcdefgh", 7_000)
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

fn consumed(consumable: &RtpParameters, capabilities: &RtpCapabilities) -> Vec<(String, u8)> {
    let consumed = consume(Kind::Audio, consumable, capabilities, &request()).expect("can be consumed");
    let codecs: Vec<_> =
        consumed.rtp_parameters.codecs.into_iter().map(|one| (one.mime_type, one.payload_type)).collect();
    let told: Vec<_> = consumed.options.payload_types.iter().map(|one| one.router).collect();
    assert_eq!(codecs.iter().map(|(_, payload_type)| *payload_type).collect::<Vec<_>>(), told);
    codecs
}

#[test]
fn a_producer_has_it_in_any_order_and_its_receivers_have_opus_first() {
    for codecs in [[opus(), red("111/111")], [red("111/111"), opus()], [red("111/111/111"), opus()]] {
        let produced = produced(&codecs).expect("supported");
        let red = produced.options.codecs.iter().find(|codec| codec.codec == Codec::Red).expect("mapped");
        assert_eq!(red.payload_type, 63);
        let names: Vec<_> = produced.consumable.codecs.iter().map(|codec| codec.mime_type.as_str()).collect();
        assert_eq!(names, ["audio/opus", "audio/red"]);
        assert!(produced.consumable.codecs[1].carries(produced.consumable.codecs[0].payload_type));
    }
}

#[test]
fn who_lists_it_is_sent_it_and_nobody_else() {
    let consumable = produced(&[red("111/111"), opus()]).expect("supported").consumable;
    let red = consumable.codecs[1].payload_type;
    let opus = ("audio/opus".to_owned(), 100);
    assert_eq!(consumed(&consumable, told_capabilities()), std::slice::from_ref(&opus), "mediasoup-client's");
    assert_eq!(consumed(&consumable, router_capabilities()), [opus, ("audio/red".to_owned(), red)]);
    let mut alone = router_capabilities().clone();
    alone.codecs.retain(CodecLike::is_red);
    assert!(!can_consume(&consumable, &alone), "without the codec of its blocks");
}

#[test]
fn clients_are_told_of_what_mediasoup_has() {
    assert!(told_capabilities().codecs.iter().all(|codec| !codec.is_red()));
    assert_eq!(told_capabilities().codecs.len() + 1, router_capabilities().codecs.len());
}

#[test]
fn what_it_cannot_be_of_is_refused() {
    let pcmu = json!({ "mimeType": "audio/PCMU", "payloadType": 0, "clockRate": 8000 });
    for (codecs, part) in [
        (vec![red("111/111")], "no codec but"),
        (vec![opus(), red("0/111")], "111/111"),
        (vec![opus(), pcmu, red("111/0")], "111/111"),
    ] {
        let error = produced(&codecs).expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn its_list_can_be_told_by_name_and_value() {
    let mut consumable = produced(&[opus()]).expect("supported").consumable;
    allow_redundancy(&mut consumable);
    let opus = consumable.codecs[0].clone();
    name_lists(&mut consumable);
    let red = &consumable.codecs[1];
    assert_eq!(Value::from(red.parameters.clone()), json!({ "": "100/100" }));
    assert!(red.carries(100) && consumable.codecs[0] == opus, "the others stay as they are");
}

#[test]
fn it_may_be_made_of_opus_for_who_has_it_and_of_nothing_else() {
    for codecs in [vec![opus()], vec![opus(), red("111/111")]] {
        let mut consumable = produced(&codecs).expect("supported").consumable;
        allow_redundancy(&mut consumable);
        let names: Vec<_> = consumable.codecs.iter().map(|codec| codec.mime_type.as_str()).collect();
        assert_eq!(names, ["audio/opus", "audio/red"], "once");
        assert_eq!(red_of(&consumable.codecs, 100).map(|red| red.payload_type), Some(127));
        let of = |capabilities| consume(Kind::Audio, &consumable, capabilities, &request()).expect("consumed").options;
        let made = RedundancyOptions { router: 100, receiver: 127 };
        assert_eq!(of(router_capabilities()).redundancy, Some(made));
        assert_eq!(of(told_capabilities()).redundancy, None, "mediasoup-client's");
    }
    let pcmu = json!({ "mimeType": "audio/PCMU", "payloadType": 0, "clockRate": 8000 });
    let mut consumable = produced(&[pcmu]).expect("supported").consumable;
    allow_redundancy(&mut consumable);
    assert_eq!(consumable.codecs.len(), 1);
}
