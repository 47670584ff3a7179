//! Offers of real clients, wrong offers, and offers made to break something.

mod answers;
mod hostile;
mod real;
mod redundancy;
mod wrong;

use corecast_wire::{Fingerprint, FingerprintAlgorithm, IceParameters, IceProtocol, SctpOptions};

use super::consume::Consumed;
use super::publish::Publication;
use super::section::Section;
use super::*;
use crate::ortc::{self, Carrier, Produced};
use crate::settings::Redundancy;

/// (name, text) of what real clients offered: Chromium 156, Firefox 153, GStreamer 1.22 (webrtcbin), aiortc 1.16,
/// libdatachannel 0.24 with the calls that OBS makes.
macro_rules! offers {
    ($($name:literal),* $(,)?) => {
        pub(super) const OFFERS: &[(&str, &str)] = &[$(($name, include_str!(concat!("../offers/", $name, ".sdp")))),*];
    };
}

offers!(
    "aiortc-both",
    "aiortc-publish",
    "aiortc-watch",
    "chromium-both",
    "chromium-publish",
    "chromium-publish-balanced",
    "chromium-publish-h264",
    "chromium-publish-simulcast",
    "chromium-publish-svc",
    "chromium-watch",
    "firefox-both",
    "firefox-publish",
    "firefox-publish-balanced",
    "firefox-publish-simulcast",
    "firefox-watch",
    "gstreamer-publish",
    "gstreamer-publish-h264",
    "gstreamer-watch",
    "libdatachannel-publish",
    "libdatachannel-publish-av1",
    "libdatachannel-watch",
);

pub(super) fn text_of(name: &str) -> &'static str {
    OFFERS.iter().find(|(of, _)| *of == name).map(|(_, text)| *text).expect(name)
}

pub(super) fn offer(name: &str) -> Offer {
    Offer::parse(text_of(name)).expect(name)
}

/// Credentials, a certificate, and candidates over IPv4, IPv6 and TCP.
pub(super) fn local() -> Local {
    let candidate = |address: &str, protocol| Candidate { address: address.parse().expect(address), protocol };
    Local {
        session_id: 4_711,
        ice: IceParameters { username_fragment: "corecast".into(), password: "0123456789abcdefghijklmn".into() },
        fingerprints: vec![Fingerprint { algorithm: FingerprintAlgorithm::Sha256, value: vec![0xAB; 32] }],
        candidates: vec![
            candidate("192.0.2.1:44300", IceProtocol::Udp),
            candidate("[2001:db8::1]:44300", IceProtocol::Udp),
            candidate("192.0.2.1:44300", IceProtocol::Tcp),
        ],
    }
}

/// The producers of an offer.
pub(super) fn produced(name: &str) -> Vec<Produced> {
    let publications = publish(&offer(name), Redundancy::Asked).expect(name);
    let produce = |one: Publication| ortc::produce(one.kind, one.parameters, Carrier::WebRtc, false, "abcdefgh", 7_000);
    publications.into_iter().map(|one| produce(one).expect(name)).collect()
}

pub(super) fn request(ssrc: u32) -> ConsumeRequest {
    ConsumeRequest {
        ssrc,
        rtx_ssrc: ssrc + 1,
        first_sequence: 1,
        rtx_first_sequence: 2,
        paused: false,
        stream: "anna".into(),
        track: format!("track-{ssrc}"),
    }
}

/// A viewer's offer that takes the producers of another one's: each section the first that it can.
pub(super) fn watch(viewer: &Offer, producers: &[Produced]) -> Vec<Consumed> {
    let sections = viewing(viewer).expect("watches");
    let take = |(section, ssrc): (&&Section, u32)| {
        let producer = producers.iter().find(|one| can_consume(section, &one.consumable))?;
        Some(consume(section, &producer.consumable, &request(ssrc)).expect("can be consumed"))
    };
    sections.iter().zip((500..).step_by(2)).filter_map(take).collect()
}

/// Publishes an offer that sends, or lets one that does not watch Chromium: the answer.
pub(super) fn answered(name: &str) -> String {
    let offer = offer(name);
    let accepted: Vec<_> = if let Ok(publications) = publish(&offer, Redundancy::Asked) {
        publications.into_iter().map(|one| one.answer).collect()
    } else {
        let mut producers = produced("chromium-publish");
        producers.extend(produced("chromium-publish-h264"));
        watch(&offer, &producers).into_iter().map(|one| one.answer).collect()
    };
    assert!(!accepted.is_empty(), "{name}");
    answer(&offer, &local(), &accepted)
}
