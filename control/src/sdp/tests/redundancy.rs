//! Redundant audio data (RFC 2198) in offers and answers.

use corecast_wire::{Codec, MediaKind, PayloadTypeMapping, RedundancyOptions};

use super::*;

/// An offer of Chromium's in which redundancy comes before Opus.
fn redundancy_first(name: &str) -> Offer {
    let text = text_of(name);
    let line = text.lines().find(|line| line.starts_with("m=audio")).expect("sound");
    let (before, after) = line.split_once(" 111 63").expect("Opus, then redundancy");
    Offer::parse(&text.replace(line, &format!("{before} 63 111{after}"))).expect("well-formed")
}

fn sound(offer: &Offer, redundancy: Redundancy) -> (Produced, String) {
    let publications = publish(offer, redundancy).expect("publishes");
    let accepted: Vec<_> = publications.iter().map(|one| one.answer.clone()).collect();
    let answer = answer(offer, &local(), &accepted);
    let one = publications.into_iter().find(|one| one.kind == ortc::Kind::Audio).expect("sound");
    (ortc::produce(one.kind, one.parameters, Carrier::WebRtc, false, "abcdefgh", 7_000).expect("produces"), answer)
}

fn codecs(produced: &Produced) -> Vec<(u8, Codec)> {
    produced.options.codecs.iter().map(|codec| (codec.payload_type, codec.codec)).collect()
}

#[test]
fn it_is_answered_first_if_it_is_wanted() {
    let (as_it_is, first) = (offer("chromium-publish"), redundancy_first("chromium-publish"));
    let with = [(63, Codec::Red), (111, Codec::Other)];
    for (offer, redundancy, is_taken) in [
        (&as_it_is, Redundancy::Off, false),
        (&as_it_is, Redundancy::Asked, false),
        (&as_it_is, Redundancy::Always, true),
        (&first, Redundancy::Off, false),
        (&first, Redundancy::Asked, true),
        (&first, Redundancy::Always, true),
    ] {
        let (produced, answer) = sound(offer, redundancy);
        assert_eq!(codecs(&produced), if is_taken { &with[..] } else { &with[1..] }, "{redundancy}");
        assert_eq!(answer.contains("SAVPF 63 111\r\n"), is_taken, "{redundancy}: {answer}");
        assert_eq!(answer.contains("a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n"), is_taken, "{redundancy}");
        assert!(produced.options.transport_cc, "the feedback is that of Opus");
        // What every receiver needs comes first.
        assert_eq!(produced.consumable.codecs[0].mime_type, "audio/opus");
    }
}

#[test]
fn it_is_not_taken_if_it_is_of_something_else() {
    for (from, to) in
        [("a=fmtp:63 111/111", "a=fmtp:63 0/111"), ("a=fmtp:63 111/111\r\n", ""), ("red/48000", "red/8000")]
    {
        let text = text_of("chromium-publish");
        assert!(text.contains(from), "{from}");
        let offer = Offer::parse(&text.replace(from, to)).expect("well-formed");
        assert_eq!(codecs(&sound(&offer, Redundancy::Always).0), [(111, Codec::Other)], "{to}");
    }
}

#[test]
fn a_viewer_that_offers_it_is_sent_it_and_one_that_does_not_is_sent_opus() {
    let (with, _) = sound(&offer("chromium-publish"), Redundancy::Always);
    let (without, _) = sound(&offer("chromium-publish"), Redundancy::Off);
    let router: Vec<_> = with.options.codecs.iter().map(|codec| codec.mapped_payload_type).collect();
    let [red, opus] = router[..] else { panic!("two codecs") };
    let watched = |name: &str, produced: &Produced| {
        let consumed = watch(&offer(name), std::slice::from_ref(produced)).remove(0);
        let answered: Vec<_> = consumed.answer.codecs.iter().map(|codec| codec.payload_type).collect();
        (consumed.options.payload_types, answered)
    };
    let opus_as = |receiver| PayloadTypeMapping { router: opus, receiver };
    let red_as = |receiver| PayloadTypeMapping { router: red, receiver };
    assert_eq!(watched("chromium-watch", &with), (vec![opus_as(111), red_as(63)], vec![111, 63]));
    assert_eq!(watched("chromium-watch", &without), (vec![opus_as(111)], vec![111]));
    let (firefox, _) = watched("firefox-watch", &with);
    assert_eq!(firefox.len(), 1, "{firefox:?}");
    assert_eq!((firefox[0].router, with.options.kind), (opus, MediaKind::Audio));
}

#[test]
fn it_may_be_made_for_a_viewer_that_asks_for_it() {
    let (mut produced, _) = sound(&offer("chromium-publish"), Redundancy::Off);
    let made =
        |offer: &Offer, produced: &Produced| watch(offer, std::slice::from_ref(produced)).remove(0).options.redundancy;
    let (as_it_is, first) = (offer("chromium-watch"), redundancy_first("chromium-watch"));
    assert_eq!(made(&first, &produced), None, "nothing is made where the room forbids it");
    ortc::allow_redundancy(&mut produced.consumable);
    assert_eq!(made(&as_it_is, &produced), None, "offered by a browser that was not asked");
    assert_eq!(made(&first, &produced), Some(RedundancyOptions { router: 100, receiver: 63 }));
    assert_eq!(made(&offer("firefox-watch"), &produced), None);
}
