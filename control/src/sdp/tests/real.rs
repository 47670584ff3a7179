//! What real clients' offers come to.

use corecast_wire::{Codec, DtlsRole, HeaderExtension as E, MediaKind, PayloadTypeMapping, ProduceOptions};

use super::*;
use crate::ortc::Kind;

fn of_kind(producers: &[Produced], kind: MediaKind) -> &ProduceOptions {
    &producers.iter().find(|one| one.options.kind == kind).expect("has that kind").options
}

fn extensions(options: &ProduceOptions) -> Vec<(E, u8)> {
    options.header_extensions.iter().map(|one| (one.extension, one.id)).collect()
}

#[test]
fn every_offer_is_answered_as_active_or_passive() {
    for (name, _) in OFFERS {
        assert_eq!(offer(name).dtls.role, DtlsRole::Client, "{name}: actpass");
        let answer = answered(name);
        assert!(answer.contains("a=setup:passive\r\n") && !answer.contains("actpass"), "{name}");
    }
    let text = text_of("aiortc-publish").replace("a=setup:actpass", "a=setup:passive");
    let offer = Offer::parse(&text).expect("well-formed");
    let publications = publish(&offer, Redundancy::Asked).expect("publishes");
    let accepted: Vec<_> = publications.into_iter().map(|one| one.answer).collect();
    assert_eq!(offer.dtls.role, DtlsRole::Server);
    assert!(answer(&offer, &local(), &accepted).contains("a=setup:active\r\n"));
}

#[test]
fn chromium_publishes_opus_and_vp8() {
    let producers = produced("chromium-publish");
    let audio = of_kind(&producers, MediaKind::Audio);
    assert_eq!(audio.codecs.iter().map(|codec| codec.payload_type).collect::<Vec<_>>(), [111]);
    assert_eq!(extensions(audio), [(E::AudioLevel, 1), (E::AbsSendTime, 2), (E::TransportCc, 3), (E::Mid, 4)]);
    assert_eq!((audio.mid.as_deref(), audio.nack, audio.transport_cc, audio.remb), (Some("0"), false, true, false));
    let video = of_kind(&producers, MediaKind::Video);
    let codecs: Vec<_> = video.codecs.iter().map(|codec| (codec.payload_type, codec.codec)).collect();
    assert_eq!(codecs, [(96, Codec::Vp8), (97, Codec::Rtx { apt: 96 })]);
    assert!(video.nack && video.pli && video.fir && video.transport_cc && video.remb, "REMB as a limit beside it");
    let [encoding] = video.encodings.as_slice() else { panic!("one stream") };
    assert!(encoding.ssrc.is_some() && encoding.rtx_ssrc.is_some() && encoding.rid.is_none());
}

#[test]
fn simulcast_is_told_apart_by_rids() {
    for (name, codec) in [("chromium-publish-simulcast", 96), ("firefox-publish-simulcast", 120)] {
        let producers = produced(name);
        let video = of_kind(&producers, MediaKind::Video);
        let streams: Vec<_> = video.encodings.iter().map(|one| (one.rid.as_deref(), one.ssrc, one.rtx_ssrc)).collect();
        assert_eq!(streams, ["q", "h", "f"].map(|rid| (Some(rid), None, None)), "{name}: whatever SSRCs stand there");
        let found: Vec<_> = video.header_extensions.iter().map(|one| one.extension).collect();
        assert!([E::Mid, E::Rid, E::RepairedRid].iter().all(|one| found.contains(one)), "{name}");
        assert_eq!(video.codecs[0].payload_type, codec, "{name}");
        assert_eq!(
            producers.iter().find(|one| one.options.kind == MediaKind::Video).map(|one| one.kind_of_streams),
            Some("simulcast")
        );
        let answer = answered(name);
        assert!(
            answer.contains("a=rid:q recv\r\na=rid:h recv\r\na=rid:f recv\r\na=simulcast:recv q;h;f\r\n"),
            "{name}"
        );
    }
}

#[test]
fn what_is_offered_as_paused_is_answered_so() {
    let text = text_of("chromium-publish-simulcast").replace("a=simulcast:send q;h;f", "a=simulcast:send ~q;h;~f");
    let offer = Offer::parse(&text).expect("well-formed");
    let publications = publish(&offer, Redundancy::Asked).expect("publishes");
    let video = publications.iter().find(|one| one.kind == Kind::Video).expect("has video");
    let rids: Vec<_> = video.parameters.encodings.iter().map(|one| one.rid.as_deref()).collect();
    assert_eq!(rids, ["q", "h", "f"].map(Some), "a paused encoding may come later");
    let accepted: Vec<_> = publications.into_iter().map(|one| one.answer).collect();
    let answer = answer(&offer, &local(), &accepted);
    assert!(answer.contains("a=rid:f recv\r\na=simulcast:recv ~q;h;~f\r\n"), "{answer}");
}

#[test]
fn limits_of_rids_rank_encodings_of_which_nothing_has_been_seen() {
    let ranked = |limits: [&str; 3]| {
        let mut text = text_of("chromium-publish-simulcast").to_owned();
        for (rid, limits) in ["q", "h", "f"].into_iter().zip(limits) {
            let line = format!("a=rid:{rid} send\r\n");
            assert!(text.contains(&line), "{text}");
            text = text.replace(&line, &format!("a=rid:{rid} send {limits}\r\n"));
        }
        let offer = Offer::parse(&text).expect("well-formed");
        let publications = publish(&offer, Redundancy::Asked).expect("publishes");
        let video = publications.into_iter().find(|one| one.kind == Kind::Video).expect("has video");
        let rids = video.parameters.encodings.iter().filter_map(|one| one.rid.clone());
        let order = rids.collect::<String>();
        let answer = answer(&offer, &local(), &[video.answer]);
        assert!(answer.contains("a=simulcast:recv q;h;f\r\n"), "the answer stays in the offer's order: {answer}");
        order
    };
    let sizes = ["max-width=1280;max-height=720", "max-width=640;max-height=360", "max-width=320;max-height=180"];
    assert_eq!(ranked(sizes), "fhq", "the best last");
    assert_eq!(ranked(["pt=96; max-br=900000", "max-br=300000;max-fps=30", "max-br=100000"]), "fhq");
    let both = [
        "max-br=1;max-width=64;max-height=64",
        "max-br=2;max-width=32;max-height=32",
        "max-br=3;max-width=16;max-height=16",
    ];
    assert_eq!(ranked(both), "fhq", "sizes before bitrates");
    // What is not said of all of them, or is nonsense, decides nothing.
    for odd in
        ["", "max-br=", "max-br=0", "max-br=-1", "max-br=99999999999999999999", "max-width=9;max-br=x", "max-height=9"]
    {
        assert_eq!(ranked(["max-br=900000", "max-br=300000", odd]), "qhf", "{odd}");
    }
    let huge = "max-width=4294967295;max-height=4294967295";
    assert_eq!(ranked([huge, sizes[1], sizes[2]]), "fhq");
    assert_eq!(ranked([&format!("{}max-br=1", "x=1;".repeat(2_000)), "max-br=2", "max-br=3"]), "qhf", "too far behind");
}

/// It says of encodings what their limits say, and counts them in the order of the offer.
#[test]
fn what_a_sender_means_to_send_is_taken_of_simulcast_in_the_order_of_its_offer_alone() {
    let taken = |text: &str| {
        let offer = Offer::parse(text).expect("well-formed");
        let publications = publish(&offer, Redundancy::Asked).expect("publishes");
        let accepted: Vec<_> = publications.iter().map(|one| one.answer.clone()).collect();
        let answer = answer(&offer, &local(), &accepted);
        let video = publications.into_iter().find(|one| one.kind == Kind::Video).expect("has video");
        let produced = ortc::produce(Kind::Video, video.parameters, Carrier::WebRtc, false, "c", 1);
        let produced = produced.expect("can be produced");
        let is_known = extensions(&produced.options).contains(&(E::VideoLayersAllocation, 9));
        assert_eq!(answer.contains(ortc::VIDEO_LAYERS_ALLOCATION), is_known, "{answer}");
        let passed_on = produced.consumable.header_extensions;
        assert!(passed_on.iter().all(|one| one.uri != ortc::VIDEO_LAYERS_ALLOCATION), "it is told to no viewer");
        is_known
    };
    let text = text_of("chromium-publish-simulcast");
    assert!(taken(text));
    assert!(!taken(text_of("chromium-publish-svc")) && !taken(text_of("firefox-publish-simulcast")));
    let limited = |[q, h, f]: [u32; 3]| {
        let limit = |text: String, (rid, bps)| {
            text.replace(&format!("a=rid:{rid} send\r\n"), &format!("a=rid:{rid} send max-br={bps}\r\n"))
        };
        [("q", q), ("h", h), ("f", f)].into_iter().fold(text.to_owned(), limit)
    };
    assert!(taken(&limited([1, 2, 3])));
    assert!(!taken(&limited([3, 2, 1])), "limits rank them otherwise");
    let mut known = ortc::router_capabilities().header_extensions.iter();
    assert!(known.all(|one| one.uri != ortc::VIDEO_LAYERS_ALLOCATION), "mediasoup has no such capability");
    let watching = answered("chromium-watch");
    assert!(!watching.contains(ortc::VIDEO_LAYERS_ALLOCATION), "{watching}");
}

#[test]
fn simulcast_without_its_extension_is_one_stream() {
    let text = text_of("firefox-publish-simulcast").replace("sdes:rtp-stream-id", "sdes:something-else");
    let publications = publish(&Offer::parse(&text).expect("well-formed"), Redundancy::Asked).expect("publishes");
    let video = publications.iter().find(|one| one.kind == Kind::Video).expect("has video");
    let ssrcs: Vec<_> = video.parameters.encodings.iter().map(|one| (one.ssrc, one.rid.as_deref())).collect();
    assert_eq!(ssrcs, [(video.parameters.encodings[0].ssrc, None)]);
    assert!(ssrcs[0].0.is_some());
}

#[test]
fn a_session_of_one_sends_ssrcs_and_the_dependency_descriptor() {
    let producers = produced("chromium-publish-svc");
    let video = of_kind(&producers, MediaKind::Video);
    assert_eq!(video.codecs[0].codec, Codec::Av1);
    assert!(extensions(video).contains(&(E::DependencyDescriptor, 12)));
    let consumable = &producers.iter().find(|one| one.options.kind == MediaKind::Video).expect("video").consumable;
    let known = |extension: &ortc::RtpHeaderExtensionParameters| ortc::extension(&extension.uri);
    assert!(consumable.header_extensions.iter().any(|one| known(one) == Some(E::DependencyDescriptor)));
}

#[test]
fn what_a_client_sends_decides_who_gets_it() {
    let gstreamer = produced("gstreamer-publish");
    let video = of_kind(&gstreamer, MediaKind::Video);
    assert_eq!(video.codecs.len(), 1, "no RTX was offered");
    assert!(!video.nack && video.pli && !video.transport_cc, "transport-cc without its extension");
    assert_eq!(video.mid.as_deref(), Some("video0"));
    assert_eq!(of_kind(&gstreamer, MediaKind::Audio).codecs[0].mapped_payload_type, 100, "OPUS is opus");
    let obs = produced("libdatachannel-publish");
    let video = of_kind(&obs, MediaKind::Video);
    assert_eq!((video.codecs[0].codec, video.codecs[0].mapped_payload_type), (Codec::H264, 107));
    assert!(video.nack && video.pli && !video.remb, "REMB without abs-send-time");
    assert_eq!(video.encodings[0].ssrc, Some(0x1122_3345));
    let aiortc = produced("aiortc-publish");
    let video = of_kind(&aiortc, MediaKind::Video);
    assert!(video.remb && !video.transport_cc, "aiortc has abs-send-time and no transport-cc");
}

#[test]
fn opus_in_stereo_is_asked_for_where_it_is_announced() {
    let answer = answered("libdatachannel-publish");
    let fmtp = answer.lines().find(|line| line.starts_with("a=fmtp:111")).expect("opus has parameters");
    assert!(fmtp.contains("stereo=1") && !fmtp.contains("sprop") && fmtp.contains("useinbandfec=1"), "{fmtp}");
}

#[test]
fn a_viewer_gets_its_own_numbers() {
    let mut producers = produced("libdatachannel-publish");
    producers.retain(|one| one.options.kind == MediaKind::Video);
    producers.extend(produced("chromium-publish"));
    for (name, h264, rtx, mid) in [("chromium-watch", 108, Some(109), "1"), ("aiortc-watch", 101, Some(102), "1")] {
        let consumed = watch(&offer(name), &producers);
        let video = &consumed.iter().find(|one| one.options.ssrc == 502).expect("video is the second section").options;
        assert_eq!(video.payload_types, [PayloadTypeMapping { router: 107, receiver: h264 }], "{name}");
        assert_eq!(video.rtx.as_ref().map(|of| of.payload_types.clone()), rtx.map(|rtx| vec![(107, rtx)]), "{name}");
        assert_eq!(video.mid.as_deref(), Some(mid));
        assert!(video.nack);
        let audio = &consumed.iter().find(|one| one.options.ssrc == 500).expect("audio is the first").options;
        assert!(!audio.nack && audio.rtx.is_none());
        assert_eq!(audio.payload_types[0].router, 100);
    }
}

#[test]
fn who_cannot_be_repaired_by_rtx_gets_no_times_of_sending() {
    let producers = produced("chromium-publish");
    let whole = watch(&offer("chromium-watch"), &producers);
    let has = |consumed: &[Consumed], extension| {
        let video = consumed.iter().find(|one| one.options.ssrc == 502).expect("video");
        video.options.header_extensions.iter().any(|one| one.extension == extension)
    };
    assert!(has(&whole, E::AbsSendTime) && has(&whole, E::TransportCc) && has(&whole, E::Mid));
    let text: String =
        text_of("chromium-watch").split_inclusive('\n').filter(|line| !line.contains(" rtx/90000")).collect();
    let viewer = Offer::parse(&text).expect("well-formed");
    let bare = watch(&viewer, &producers);
    assert!(!has(&bare, E::AbsSendTime) && !has(&bare, E::TransportCc) && has(&bare, E::Mid));
    let video = bare.iter().find(|one| one.options.ssrc == 502).expect("video");
    assert!(video.options.nack && video.options.rtx.is_none());
    let accepted: Vec<_> = bare.into_iter().map(|one| one.answer).collect();
    let answer = answer(&viewer, &local(), &accepted);
    let (_, section) = answer.split_once("m=video").expect("video");
    assert!(!section.contains("transport-cc") && !section.contains("goog-remb"), "{section}");
}

/// An offer of feedback of RFC 8888 for all payload types, less the lines in which a text stands.
fn with_ccfb(name: &str, without: &str) -> String {
    let text = text_of(name);
    let kept = text.split_inclusive('\n').filter(|line| without.is_empty() || !line.contains(without));
    let feedback = |line: &str| if line.starts_with("a=rtcp-mux") { "a=rtcp-fb:* ack ccfb\r\n" } else { "" };
    kept.map(|line| format!("{line}{}", feedback(line))).collect()
}

#[test]
fn a_publisher_is_not_promised_feedback_of_rfc_8888() {
    for without in ["", "transport-wide-cc"] {
        let offer = Offer::parse(&with_ccfb("chromium-publish", without)).expect("well-formed");
        let accepted: Vec<_> =
            publish(&offer, Redundancy::Asked).expect("publishes").into_iter().map(|one| one.answer).collect();
        let answer = answer(&offer, &local(), &accepted);
        assert!(answer.contains(" rtx/90000") && !answer.contains("ccfb"), "{answer}");
    }
}

#[test]
fn feedback_of_rfc_8888_is_taken_where_there_are_no_transport_wide_numbers() {
    let producers = produced("chromium-publish");
    let watched = |without: &str| {
        let text = with_ccfb("chromium-watch", without);
        let viewer = Offer::parse(&text).expect("well-formed");
        let consumed = watch(&viewer, &producers);
        let taken: Vec<_> = consumed.iter().map(|one| one.options.ccfb).collect();
        let accepted: Vec<_> = consumed.into_iter().map(|one| one.answer).collect();
        (taken, answer(&viewer, &local(), &accepted))
    };
    let (taken, answer) = watched("transport-wide-cc");
    assert_eq!(taken, [true, true]);
    assert_eq!(answer.matches("a=rtcp-fb:* ack ccfb\r\n").count(), 2, "{answer}");
    assert!(!answer.contains("goog-remb") && !answer.contains("transport-cc"), "{answer}");
    let (taken, answer) = watched("");
    assert_eq!(taken, [false, false], "one kind for the whole transport");
    assert!(answer.contains("transport-cc") && !answer.contains("ccfb"), "{answer}");
}

#[test]
fn an_extension_is_written_only_to_who_takes_it() {
    // Firefox sends the dependency descriptor and does not take it.
    let consumed = watch(&offer("firefox-watch"), &produced("chromium-publish"));
    let video = &consumed.iter().find(|one| one.options.ssrc == 502).expect("video").options;
    assert!(video.header_extensions.iter().all(|one| one.extension != E::DependencyDescriptor));
    assert!(video.header_extensions.iter().any(|one| one.extension == E::PlayoutDelay));
    for one in &video.header_extensions {
        assert!((1..=14).contains(&one.receiver_id) && (1..=14).contains(&one.router_id));
    }
}

#[test]
fn who_lacks_the_codec_is_told() {
    let viewer = offer("gstreamer-watch");
    let producers = produced("libdatachannel-publish");
    let video = producers.iter().find(|one| one.options.kind == MediaKind::Video).expect("video");
    let section = &viewer.sections[1];
    assert!(!can_consume(section, &video.consumable));
    let error = consume(section, &video.consumable, &request(1)).expect_err("VP8 only");
    assert!(error.to_string().contains("m= line 2 (video, mid video1): the producer sends video/H264"), "{error}");
    assert!(!can_consume(&viewer.sections[0], &video.consumable), "pictures in a section of sound");
}

#[test]
fn what_ffmpeg_announces_by_a_group_alone_is_known() {
    let text = text_of("chromium-publish");
    let group = text.lines().find_map(|line| line.strip_prefix("a=ssrc-group:FID ")).expect("RTX is announced");
    let (media, rtx) = group.split_once(' ').expect("a pair");
    let ours: String = text.split_inclusive('\n').filter(|line| !line.starts_with(&format!("a=ssrc:{rtx} "))).collect();
    assert!(ours.len() < text.len() && ours.contains(&format!("a=ssrc:{media} ")));
    let video = |text: &str| Offer::parse(text).expect("well-formed").sections[1].ssrcs.clone();
    assert_eq!(video(&ours), [(media.parse().expect("an SSRC"), rtx.parse().ok())]);
    assert_eq!(video(&ours), video(text));
}

#[test]
fn opus_is_known_without_its_channels_and_a_mid_may_be_a_uuid() {
    let mid = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed";
    let text = text_of("chromium-publish").replace("opus/48000/2", "opus/48000");
    let text = text.replace("a=mid:0", &format!("a=mid:{mid}")).replace("BUNDLE 0", &format!("BUNDLE {mid}"));
    let offer = Offer::parse(&text).expect("well-formed");
    let publications = publish(&offer, Redundancy::Asked).expect("publishes");
    let accepted: Vec<_> = publications.into_iter().map(|one| one.answer).collect();
    let answer = answer(&offer, &local(), &accepted);
    assert!(
        answer.contains("a=rtpmap:111 opus/48000/2\r\n") && answer.contains(&format!("a=mid:{mid}\r\n")),
        "{answer}"
    );
}

#[test]
fn reduced_size_is_answered_only_where_it_is_offered() {
    let text = text_of("chromium-publish").replacen("a=rtcp-rsize\r\n", "", 1);
    let offer = Offer::parse(&text).expect("well-formed");
    let accepted: Vec<_> =
        publish(&offer, Redundancy::Asked).expect("publishes").into_iter().map(|one| one.answer).collect();
    let answer = answer(&offer, &local(), &accepted);
    let sections: Vec<_> = answer.split("m=").skip(1).map(|section| section.contains("a=rtcp-rsize")).collect();
    assert_eq!(sections, [false, true]);
}

/// Chromium with max-bundle and alwaysNegotiateDataChannels offers the transport with the data section alone.
#[test]
fn data_channels_may_come_first() {
    let text = text_of("chromium-publish");
    let media = text.find("m=").expect("sections");
    let of_media =
        |line: &&str| ["a=ice-", "a=fingerprint", "a=setup", "a=candidate"].iter().any(|of| line.starts_with(of));
    let mut transport: Vec<_> = text[media..].lines().filter(of_media).collect();
    transport.dedup();
    let data = format!(
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:d\r\na=sctp-port:5000\r\n{}\r\n",
        transport.join("\r\n")
    );
    let rest: String = text[media..].split_inclusive("\r\n").filter(|line| !line.starts_with("a=candidate")).collect();
    let offer = Offer::parse(&format!("{}{data}{rest}", &text[..media]).replace("BUNDLE 0", "BUNDLE d 0"));
    let offer = offer.expect("data channels are taken");
    let accepted: Vec<_> =
        publish(&offer, Redundancy::Asked).expect("publishes").into_iter().map(|one| one.answer).collect();
    let answer = answer(&offer, &local(), &accepted);
    let first = answer.split("m=").nth(1).expect("sections");
    assert!(first.starts_with("application 44300 ") && first.contains("a=candidate:1 "), "{answer}");
    assert!(answer.contains("a=group:BUNDLE d 0 1\r\n"));
}

#[test]
fn who_offers_what_is_not_taken_first_and_all_else_on_its_transport_is_told_what_to_change() {
    let data_first = |name: &str| {
        let text = text_of(name);
        let media = text.find("m=").expect("sections");
        let data = "m=application 9 UDP/BFCP *\r\nc=IN IP4 0.0.0.0\r\na=mid:d\r\n";
        format!("{}{data}{}", &text[..media], &text[media..]).replace("BUNDLE 0", "BUNDLE d 0")
    };
    let balanced = data_first("chromium-publish-balanced");
    Offer::parse(&balanced).expect("a transport is offered with the others too");
    let lines = balanced.lines().filter(|line| !line.starts_with("a=candidate:"));
    let not_gathered: String = lines.flat_map(|line| [line, "\r\n"]).collect();
    Offer::parse(&not_gathered).expect("candidates are to come");
    // Chromium with max-bundle gives candidates to the first section alone, and says a=bundle-only of none.
    let bundled = balanced.replace("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=bundle-only\r\n");
    for offer in [data_first("chromium-publish"), bundled] {
        let refused = Offer::parse(&offer).expect_err("a transport is offered with the first section alone");
        assert_eq!(refused.fault, Fault::Unacceptable);
        let sentence = refused.sentence;
        assert!(sentence.contains("m= line 1 (application") && sentence.contains("cannot be taken"), "{sentence}");
    }
}
