//! What is written.

use std::io::Cursor;

use super::*;

/// Lines of a section, or of the session (0).
fn sections(answer: &str) -> Vec<Vec<&str>> {
    let mut sections = vec![Vec::new()];
    for line in answer.lines() {
        if line.starts_with("m=") {
            sections.push(Vec::new());
        }
        sections.last_mut().expect("begins with one").push(line);
    }
    sections
}

fn count(lines: &[&str], start: &str) -> usize {
    lines.iter().filter(|line| line.starts_with(start)).count()
}

#[test]
fn every_answer_has_what_a_client_needs() {
    for (name, text) in OFFERS {
        let answer = answered(name);
        assert!(answer.ends_with("\r\n") && !answer.contains("\r\n\r\n"), "{name}");
        let parts = sections(&answer);
        let (session, parts) = parts.split_first().expect("session");
        for line in ["v=0", "a=ice-lite", "a=ice-options:trickle ice2"] {
            assert_eq!(count(session, line), 1, "{name}: {line}");
        }
        assert_eq!(
            parts.len(),
            text.lines().filter(|line| line.starts_with("m=")).count(),
            "{name}: as many, in order"
        );
        let with_candidates = parts.iter().filter(|part| count(part, "a=candidate:") > 0);
        assert_eq!(with_candidates.count(), 1, "{name}: the first of the group");
        for part in parts.iter().filter(|part| !part[0].contains(" 0 ")) {
            for start in [
                "a=mid:",
                "a=ice-ufrag:corecast",
                "a=ice-pwd:",
                "a=fingerprint:sha-256 AB:AB:",
                "a=setup:",
                "c=IN IP4 192.0.2.1",
            ] {
                assert_eq!(count(part, start), 1, "{name}: {start} in {}", part[0]);
            }
            if part[0].starts_with("m=application ") {
                continue;
            }
            assert_eq!(count(part, "a=rtcp-mux"), 1, "{name}: in {}", part[0]);
            assert!(part[0].contains(" 44300 UDP/TLS/RTP/SAVPF"), "{name}: {}", part[0]);
            let media = part.iter().filter(|line| line.starts_with("a=rtpmap:") && !line.contains(" rtx/")).count();
            assert_eq!(media, 1, "{name}: one media codec in {}", part[0]);
            for line in part.iter().filter(|line| line.starts_with("a=fmtp:") || line.starts_with("a=rtcp-fb:")) {
                let number = line.split([':', ' ']).nth(1).expect("a payload type");
                assert!(part[0].split(' ').skip(3).any(|format| format == number), "{name}: {line}");
            }
        }
    }
}

/// A section of pictures in these codecs: payload type, name, H.264's mode and profile.
fn pictures(direction: &str, codecs: &[(u8, &str, &str)]) -> Offer {
    let whole = text_of("chromium-publish");
    let session = &whole[..whole.find("m=").expect("sections")];
    let session: String =
        session.lines().filter(|line| !line.starts_with("a=group")).map(|l| format!("{l}\r\n")).collect();
    let credentials: Vec<_> = whole
        .lines()
        .filter(|line| {
            ["a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "a=setup"].iter().any(|name| line.starts_with(name))
        })
        .take(4)
        .map(|line| format!("{line}\r\n"))
        .collect();
    let numbers: Vec<_> = codecs.iter().map(|(number, ..)| number.to_string()).collect();
    let mut text = format!(
        "{session}a=group:BUNDLE 0\r\nm=video 9 UDP/TLS/RTP/SAVPF {}\r\nc=IN IP4 0.0.0.0\r\n{}a=mid:0\r\n\
         a={direction}\r\na=rtcp-mux\r\n",
        numbers.join(" "),
        credentials.concat()
    );
    for (number, name, format) in codecs {
        text += &format!("a=rtpmap:{number} {name}/90000\r\n");
        if !format.is_empty() {
            text += &format!("a=fmtp:{number} level-asymmetry-allowed=1;{format}\r\n");
        }
    }
    Offer::parse(&text).expect("an offer")
}

fn taken(offer: &Offer) -> Produced {
    let one = publish(offer, Redundancy::Asked).expect("taken").remove(0);
    ortc::produce(one.kind, one.parameters, Carrier::WebRtc, false, "abcdefgh", 7_000).expect("produces")
}

#[test]
fn of_several_profiles_of_h264_the_one_that_most_viewers_decode_is_taken() {
    let (mode_0, mode_1) = ("packetization-mode=0;profile-level-id=", "packetization-mode=1;profile-level-id=");
    let h264 = |number, mode: &str, profile: &str| (number, "H264", format!("{mode}{profile}"));
    // As Safari has them.
    let safari = [h264(96, mode_1, "640c1f"), h264(98, mode_0, "42e01f"), h264(100, mode_1, "42e01f")];
    let safari: Vec<_> = safari.iter().map(|(number, name, format)| (*number, *name, format.as_str())).collect();
    let chosen = |codecs: &[(u8, &str, &str)]| taken(&pictures("sendonly", codecs)).options.codecs[0].payload_type;
    assert_eq!(chosen(&safari), 100);
    assert_eq!(chosen(&[&safari[..], &[(102, "VP8", "")]].concat()), 100);
    assert_eq!(chosen(&[&[(102, "VP8", "")], &safari[..]].concat()), 102, "what the publisher prefers stays first");
    assert_eq!(chosen(&safari[..1]), 96, "there is no other");
}

#[test]
fn a_decoder_of_h264_takes_profiles_that_are_subsets_of_its_own() {
    let format = |mode: u8, profile: &str| format!("packetization-mode={mode};profile-level-id={profile}");
    let publisher = |mode: u8, profile: &str| taken(&pictures("sendonly", &[(96, "H264", &format(mode, profile))]));
    let watched = |sent: &Produced, mode: u8, profile: &str| {
        let viewer = pictures("recvonly", &[(120, "H264", &format(mode, profile))]);
        let consumed = watch(&viewer, std::slice::from_ref(sent)).pop()?;
        let codec = consumed.answer.codecs.first()?.parameters["profile-level-id"].as_str()?.to_owned();
        Some(codec)
    };
    // Chromium on Linux decodes High under the name of High 4:4:4 Predictive.
    for high in ["64001f", "640028"] {
        assert_eq!(watched(&publisher(1, high), 1, "f4001f").as_deref(), Some("f4001f"), "{high}");
    }
    assert_eq!(watched(&publisher(1, "42e01f"), 1, "64001f").as_deref(), Some("64001f"));
    assert_eq!(
        watched(&publisher(0, "42001f"), 1, "42001f").as_deref(),
        Some("42001f"),
        "mode 1 takes what mode 0 sends"
    );
    assert_eq!(watched(&publisher(1, "64001f"), 1, "42e01f"), None);
    assert_eq!(watched(&publisher(1, "42e01f"), 0, "42e01f"), None);
}

#[test]
fn another_parser_reads_the_same() {
    for (name, _) in OFFERS {
        let answer = answered(name);
        let parsed = sdp::SessionDescription::unmarshal(&mut Cursor::new(answer.as_bytes())).expect(name);
        let ours = sections(&answer);
        assert_eq!(parsed.media_descriptions.len() + 1, ours.len(), "{name}");
        for (media, lines) in parsed.media_descriptions.iter().zip(&ours[1..]) {
            assert_eq!(media.attributes.len(), count(lines, "a="), "{name}");
            assert_eq!(
                media.attribute("mid").flatten().map(|mid| format!("a=mid:{mid}")).as_deref(),
                lines.iter().copied().find(|line| line.starts_with("a=mid:"))
            );
            let formats = media.media_name.formats.join(" ");
            assert!(lines[0].ends_with(&format!(" {formats}")), "{name}");
        }
        // And our own, as if it were an offer: nothing of it is malformed. An offer does not come from a lite side.
        let back = answer.replace("a=ice-lite\r\n", "");
        let back = Offer::parse(&back).expect(name);
        assert_eq!((back.ice.ufrag.as_str(), back.dtls.fingerprints.len()), ("corecast", 1), "{name}");
    }
}

#[test]
fn candidates_are_ranked() {
    let answer = answered("chromium-publish");
    let candidates: Vec<_> = answer.lines().filter(|line| line.starts_with("a=candidate:")).collect();
    assert_eq!(
        candidates,
        [
            "a=candidate:1 1 udp 2130706431 192.0.2.1 44300 typ host",
            "a=candidate:2 1 udp 2130706175 2001:db8::1 44300 typ host",
            "a=candidate:3 1 tcp 1520434687 192.0.2.1 44300 typ host tcptype passive",
        ]
    );
    let last = answer.lines().position(|line| line == "a=end-of-candidates");
    let before = answer.lines().position(|line| line == candidates[2]);
    assert_eq!(last, before.map(|line| line + 1));
}

#[test]
fn data_channels_are_taken_in_the_bundle() {
    for name in ["chromium-both", "firefox-both", "aiortc-both"] {
        let answer = answered(name);
        let parts = sections(&answer);
        let last = parts.last().expect("sections");
        assert_eq!(last[0], "m=application 44300 UDP/DTLS/SCTP webrtc-datachannel", "{name}");
        for line in ["a=mid:2", "a=sctp-port:5000", "a=max-message-size:262144", "a=setup:passive"] {
            assert_eq!(count(last, line), 1, "{name}: {line}");
        }
        assert!(answer.contains("a=group:BUNDLE 0 1 2\r\n"), "{name}");
        assert_eq!(answer.matches("a=recvonly\r\n").count(), 2, "{name}: sendrecv publishes");
        assert_eq!(answer.matches("a=candidate:").count(), 3, "{name}: once, with the first section");
    }
    let announced = [("chromium-both", 262_144), ("firefox-both", 1_073_741_823), ("aiortc-both", 262_144)];
    for (name, max_message_bytes) in announced {
        assert_eq!(offer(name).sctp(), Some(SctpOptions::new(5_000, max_message_bytes)), "{name}");
    }
    assert_eq!(offer("chromium-publish").sctp(), None);
}

#[test]
fn a_second_section_of_data_channels_and_one_outside_of_the_bundle_are_rejected() {
    let text = text_of("chromium-both");
    let at = text.rfind("m=application").expect("data");
    let second = text[at..].replace("a=mid:2", "a=mid:3");
    let twice = format!("{text}{second}").replace("BUNDLE 0 1 2", "BUNDLE 0 1 2 3");
    let outside = text.replace("BUNDLE 0 1 2", "BUNDLE 0 1");
    for (text, rejected, taken) in [(twice, "a=mid:3", true), (outside, "a=mid:2", false)] {
        let offer = Offer::parse(&text).expect("well-formed");
        assert_eq!(offer.sctp().is_some(), taken, "{text}");
        let accepted: Vec<_> =
            publish(&offer, Redundancy::Asked).expect("publishes").into_iter().map(|one| one.answer).collect();
        let answer = answer(&offer, &local(), &accepted);
        let last = sections(&answer).pop().expect("sections");
        assert!(last[0].starts_with("m=application 0 ") && last.contains(&rejected), "{last:?}");
    }
}

#[test]
fn what_nobody_sends_is_inactive_and_keeps_the_transport() {
    let viewer = offer("chromium-watch");
    let mut producers = produced("chromium-publish");
    producers.retain(|one| one.options.kind == corecast_wire::MediaKind::Video);
    let accepted: Vec<_> = watch(&viewer, &producers).into_iter().map(|one| one.answer).collect();
    assert_eq!(accepted.len(), 1, "nobody sends sound");
    let answer = answer(&viewer, &local(), &accepted);
    let parts = sections(&answer);
    assert!(parts[1][0].starts_with("m=audio 44300 ") && parts[1].contains(&"a=inactive"), "{answer}");
    assert!(count(&parts[1], "a=candidate:") == 3 && parts[0].contains(&"a=group:BUNDLE 0 1"));
    assert_eq!(count(&parts[1], "a=ssrc") + count(&parts[1], "a=msid") + count(&parts[1], "a=rtcp-fb"), 0);
    let bundle = Bundle::of(&viewer, &accepted);
    assert!(fragment(&local(), &bundle).contains("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"));
}

#[test]
fn tracks_of_a_peer_are_one_stream() {
    let answer = answered("chromium-watch");
    let msids: Vec<_> = answer.lines().filter(|line| line.starts_with("a=msid:")).collect();
    assert_eq!(msids, ["a=msid:anna track-500", "a=msid:anna track-502"]);
    assert!(answer.contains("a=ssrc-group:FID 502 503\r\n"));
    assert!(answer.contains("a=ssrc:502 cname:") && answer.contains("a=ssrc:503 msid:anna track-502\r\n"));
    assert_eq!(answer.matches("a=sendonly\r\n").count(), 2);
    assert!(answer.contains("a=rtcp-xr:rcvr-rtt=all\r\n"));
}

#[test]
fn no_name_breaks_out_of_its_line() {
    let viewer = offer("chromium-watch");
    let mut producers = produced("chromium-publish");
    for one in &mut producers {
        one.consumable.rtcp.cname = Some("x\r\na=ice-pwd:stolen".into());
        for codec in &mut one.consumable.codecs {
            codec.parameters.insert("sprop-stereo".into(), serde_json::json!("1\r\na=y"));
        }
    }
    let hostile = ConsumeRequest { stream: "st\r\nm=x".into(), track: "tr ack\0".into(), ..request(500) };
    let consumed = consume(&viewer.sections[0], &producers[0].consumable, &hostile).expect("opus");
    let text = answer(&viewer, &local(), &[consumed.answer]);
    assert!(!text.contains("stolen\r\n") || text.contains("x__a_ice-pwd_stolen"), "{text}");
    assert!(text.contains("a=msid:st__m_x tr_ack_\r\n"), "{text}");
    assert!(text.lines().all(|line| line.as_bytes()[1] == b'='), "{text}");
    assert_eq!(sections(&text).len(), 3);
}

#[test]
fn extensions_keep_ids_and_turn_directions() {
    let answer = answered("firefox-publish-simulcast");
    for line in [
        "a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=extmap:8/recvonly https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
        "a=extmap-allow-mixed",
    ] {
        assert!(answer.lines().any(|other| other == line), "{line}\n{answer}");
    }
    assert!(!answer.contains("csrc-audio-level") && !answer.contains("playout-delay"), "Firefox does not send these");
    let answer = answered("firefox-watch");
    assert!(answer.contains("/sendonly http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"), "{answer}");
}

/// Ids above 14 take the form of two bytes (RFC 8285 section 4.3).
#[test]
fn extensions_with_ids_above_14_are_answered() {
    let feedback = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
    for id in [15, 200, 255] {
        let line = format!("a=extmap:{id} {feedback}");
        let offer = text_of("chromium-publish-balanced").replace(&format!("a=extmap:3 {feedback}"), &line);
        let offer = Offer::parse(&offer).expect("well-formed");
        let accepted: Vec<_> =
            publish(&offer, Redundancy::Asked).expect("publishes").into_iter().map(|one| one.answer).collect();
        let answer = answer(&offer, &local(), &accepted);
        assert_eq!(answer.lines().filter(|other| *other == line).count(), 2, "{answer}");
    }
}

#[test]
fn one_section_needs_no_group() {
    let offer = text_of("gstreamer-publish-h264").replace("a=group:BUNDLE video0\r\n", "");
    let offer = Offer::parse(&offer).expect("well-formed");
    let accepted: Vec<_> =
        publish(&offer, Redundancy::Asked).expect("publishes").into_iter().map(|one| one.answer).collect();
    assert!(!answer(&offer, &local(), &accepted).contains("a=group"));
}

#[test]
fn fragments_go_both_ways() {
    let viewer = offer("chromium-watch");
    let consumed = watch(&viewer, &produced("chromium-publish"));
    let accepted: Vec<_> = consumed.into_iter().map(|one| one.answer).collect();
    let text = fragment(&local(), &Bundle::of(&viewer, &accepted));
    let parsed = parse_fragment(&text).expect("our own");
    assert_eq!(parsed.ice.map(|ice| ice.ufrag).as_deref(), Some("corecast"));
    assert_eq!((text.matches("a=candidate:").count(), text.matches("a=end-of-candidates").count()), (3, 1));
    assert!(text.contains("a=mid:0\r\n") && !text.contains("a=mid:1"), "{text}");
    assert!(text.contains("a=group:BUNDLE 0 1\r\n") && text.starts_with("a=ice-lite\r\n"));
    let trickled = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
        m=audio 9 RTP/AVP 0\r\na=mid:0\r\n\
        a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n\
        a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r\na=end-of-candidates\r\n";
    let parsed = parse_fragment(trickled).expect("of RFC 8840");
    assert_eq!(parsed.ice.map(|ice| ice.ufrag).as_deref(), Some("EsAw"));
}
