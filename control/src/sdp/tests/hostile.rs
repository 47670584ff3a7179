//! Offers that were damaged, at random but always the same: no panic, no answer that another parser refuses.

use std::io::Cursor;

use super::*;

/// xorshift64*: enough to damage text, and the same text every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap_or(0) % limit.max(1)
    }
}

/// Pieces that mean something somewhere.
const PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    ":",
    ";",
    "=",
    "/",
    "~",
    ",",
    "-1",
    "0",
    "65536",
    "4294967296",
    "99999999999999999999",
    "m=",
    "a=",
    "a=mid:",
    "a=group:BUNDLE ",
    "a=rid:",
    "a=simulcast:send ",
    "a=extmap:1 ",
    "a=ssrc-group:FID ",
    "*",
    "\u{e9}",
    "a=rtpmap:96 H264/90000",
    "a=fmtp:96 apt=96",
    "a=bundle-only",
    "a=sendrecv",
    "a=recvonly",
];

fn damaged(random: &mut Random, text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len());
        let to = (at + random.below(60)).min(bytes.len());
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..to)),
            2 => {
                let copy = bytes.get(at..to).unwrap_or_default().to_vec();
                let elsewhere = random.below(bytes.len());
                bytes.splice(elsewhere..elsewhere, copy);
            }
            3 => {
                let piece = PIECES[random.below(PIECES.len())];
                bytes.splice(at..at, piece.bytes());
            }
            4 => {
                let byte = u8::try_from(random.below(256)).unwrap_or_default();
                if let Some(old) = bytes.get_mut(at) {
                    *old = byte;
                }
            }
            5 => {
                let mut lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
                let (a, b) = (random.below(lines.len()), random.below(lines.len()));
                lines.swap(a, b);
                bytes = lines.concat();
            }
            _ => {
                let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
                let gone = random.below(lines.len());
                bytes =
                    lines.into_iter().enumerate().filter(|(at, _)| *at != gone).flat_map(|(_, line)| line).collect();
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Everything that is done with an offer. True if it was accepted.
fn run(text: &str, producers: &[Produced]) -> bool {
    let _ = parse_fragment(text);
    let Ok(offer) = Offer::parse(text) else { return false };
    let mut accepted = Vec::new();
    match publish(&offer, Redundancy::Asked) {
        Ok(publications) => {
            for one in publications {
                let produced = ortc::produce(one.kind, one.parameters, Carrier::WebRtc, false, "abcdefgh", 7_000);
                produced.unwrap_or_else(|error| panic!("{error}: what is published can be produced\n{text}"));
                accepted.push(one.answer);
            }
        }
        Err(_) if viewing(&offer).is_ok() => {
            for consumed in watch(&offer, producers) {
                let ids = consumed.options.header_extensions.iter().map(|one| one.receiver_id);
                assert!(ids.clone().all(|id| (1..=14).contains(&id)));
                accepted.push(consumed.answer);
            }
        }
        Err(_) => return false,
    }
    if accepted.is_empty() {
        return false;
    }
    let answer = answer(&offer, &local(), &accepted);
    // That parser knows five kinds of media; what is rejected may be of any.
    let known: String = answer
        .split_inclusive('\n')
        .map(|line| {
            if line.starts_with("m=") && line.contains(" 0 ") {
                "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"
            } else {
                line
            }
        })
        .collect();
    sdp::SessionDescription::unmarshal(&mut Cursor::new(known.as_bytes()))
        .unwrap_or_else(|error| panic!("{error}\n{answer}\nto\n{text}"));
    let lines = |text: &str| text.lines().filter(|line| line.starts_with("m=")).count();
    assert_eq!(lines(&answer), offer.sections.len());
    true
}

#[test]
fn damage_is_refused_or_answered() {
    let producers: Vec<_> = ["chromium-publish", "chromium-publish-h264", "libdatachannel-publish-av1"]
        .into_iter()
        .flat_map(produced)
        .collect();
    let (mut random, mut accepted, mut refused) = (Random(0x5D9), 0, 0);
    for _ in 0..300 {
        for (_, text) in OFFERS {
            if run(&damaged(&mut random, text), &producers) { accepted += 1 } else { refused += 1 }
        }
    }
    assert!(accepted > 500 && refused > 500, "{accepted} accepted, {refused} refused: the damage tells nothing");
}

#[test]
fn every_beginning_is_refused_or_answered() {
    for name in ["firefox-publish-simulcast", "gstreamer-watch"] {
        let text = text_of(name);
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            run(&text[..end], &[]);
        }
    }
}

#[test]
fn the_largest_that_is_taken_is_taken_in_linear_time() {
    // As many payload types, lines and sections as there may be; each of the checks that compare sections runs in full.
    let head =
        text_of("chromium-publish").lines().take_while(|line| !line.starts_with("m=")).collect::<Vec<_>>().join("\r\n");
    let mut text = head.replace("BUNDLE 0 1", "BUNDLE");
    for section in 0..32 {
        let types: Vec<_> = (0..64).chain(96..128).map(|number| number.to_string()).collect();
        text += &format!("\r\nm=video 9 UDP/TLS/RTP/SAVPF {}\r\na=mid:{section}\r\na=rtcp-mux", types.join(" "));
        for number in types {
            text += &format!("\r\na=rtpmap:{number} X/1\r\na=rtcp-fb:{number} nack");
        }
        text += &"\r\na=ssrc:1 cname:x".repeat(50);
    }
    text += "\r\n";
    assert!(text.len() < 256 * 1024 && text.lines().count() < 8_192, "{}", text.len());
    let error = Offer::parse(&text).expect_err("not in the group");
    assert!(error.sentence.contains("BUNDLE"), "{error}");
}

#[test]
fn lines_about_feedback_are_deduplicated_and_bounded() {
    let text = text_of("chromium-publish");
    let with_lines = |lines: &mut dyn Iterator<Item = String>| {
        let lines: String = lines.map(|line| format!("a=rtcp-fb:{line}\r\n")).collect();
        Offer::parse(&format!("{text}{lines}"))
    };
    let once = with_lines(&mut std::iter::once("* nack sli".to_owned())).expect("is taken");
    let often = with_lines(&mut std::iter::repeat_n("* nack sli".to_owned(), 5_000)).expect("is taken");
    assert_eq!(often, once);
    let error = with_lines(&mut (0..600).map(|line| format!("* nack {line}"))).expect_err("too many");
    assert!(error.sentence.contains("at most 512"), "{error}");
}
