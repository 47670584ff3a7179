//! Wrong offers: each is refused with a fault and a sentence that names what to change.

use super::*;
use crate::sdp::Fault::{self, Malformed, Unacceptable};

/// What is done to Chromium's offer, the fault, and words of the sentence.
type Case = (&'static str, fn(&str) -> String, Fault, &'static [&'static str]);

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

/// Every line that begins like this.
fn without(text: &str, start: &str) -> String {
    assert!(text.contains(start), "{start}");
    text.split_inclusive('\n').filter(|line| !line.starts_with(start)).collect()
}

/// A line behind each line that begins like this.
fn with(text: &str, behind: &str, line: &str) -> String {
    assert!(text.contains(behind), "{behind}");
    let add = |at: &str| if at.starts_with(behind) { format!("{at}{line}\r\n") } else { at.to_owned() };
    text.split_inclusive('\n').map(add).collect()
}

fn many(text: &str, count: usize, line: impl Fn(usize) -> String) -> String {
    let lines: Vec<_> = (0..count).map(line).collect();
    format!("{text}{}\r\n", lines.join("\r\n"))
}

const GRAMMAR: &[Case] = &[
    ("nothing", |_| String::new(), Malformed, &["line 1", "v=0"]),
    ("JSON", |_| r#"{"type":"offer","sdp":"v=0"}"#.into(), Malformed, &["line 1", "JSON"]),
    ("another version", |sdp| replaced(sdp, "v=0\r\n", "v=1\r\n"), Malformed, &["line 1", "version"]),
    ("no sections", |_| "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n".into(), Malformed, &["m= line"]),
    ("a line without =", |sdp| with(sdp, "s=", "hello"), Malformed, &["line 4", "hello", "x=value"]),
    ("NUL", |sdp| with(sdp, "s=", "a=x\0y"), Malformed, &["line 4", "NUL"]),
    ("two o= lines", |sdp| with(sdp, "s=", "o=- 1 1 IN IP4 127.0.0.1"), Malformed, &["line 4", "before"]),
    ("an o= line of two words", |sdp| replaced(sdp, " 2 IN IP4 127.0.0.1", ""), Malformed, &["line 2", "missing"]),
    ("a port of six digits", |sdp| replaced(sdp, "m=video 9 ", "m=video 999999 "), Malformed, &["port"]),
    (
        "an m= line without formats",
        |sdp| replaced(sdp, "m=video 9 UDP/TLS/RTP/SAVPF", "m=video 9 x"),
        Unacceptable,
        &["m= line 2"],
    ),
    ("too long", |sdp| many(sdp, 1, |_| format!("a=x:{}", "x".repeat(256 * 1024))), Malformed, &["262144"]),
    ("too many lines", |sdp| many(sdp, 10_000, |_| "a=x".into()), Malformed, &["8192"]),
    ("too many sections", |sdp| many(sdp, 40, |_| "m=text 9 RTP/AVP 0".into()), Unacceptable, &["32"]),
];

const MD5: &str = "a=fingerprint:md5 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B";
const SHA_1: &str = "a=fingerprint:sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB";

const TRANSPORT: &[Case] = &[
    ("no user name", |sdp| without(sdp, "a=ice-ufrag"), Malformed, &["m= line 1", "ice-ufrag"]),
    ("no password", |sdp| without(sdp, "a=ice-pwd"), Malformed, &["ice-pwd"]),
    ("a short user name", |sdp| with(&without(sdp, "a=ice-ufrag"), "s=", "a=ice-ufrag:abc"), Malformed, &["4 to 256"]),
    ("a short password", |sdp| with(&without(sdp, "a=ice-pwd"), "s=", "a=ice-pwd:secret"), Malformed, &["22 to 256"]),
    ("a lite client", |sdp| with(sdp, "s=", "a=ice-lite"), Unacceptable, &["ICE-lite"]),
    ("no fingerprint", |sdp| without(sdp, "a=fingerprint"), Malformed, &["a=fingerprint is missing", "DTLS"]),
    // S8: what the machine never gets to see.
    (
        "a weak one",
        |sdp| replaced(sdp, "a=fingerprint:sha-256", "a=fingerprint:sha-1"),
        Unacceptable,
        &["sha-1", "use sha-256"],
    ),
    (
        "a weak one in capitals",
        |sdp| replaced(sdp, "a=fingerprint:sha-256", "a=fingerprint:SHA-1"),
        Unacceptable,
        &["SHA-1"],
    ),
    ("MD5", |sdp| replaced(sdp, "a=fingerprint:sha-256", "a=fingerprint:md5"), Unacceptable, &["md5", "use sha-256"]),
    ("MD2", |sdp| replaced(sdp, "a=fingerprint:sha-256", "a=fingerprint:md2"), Unacceptable, &["md2", "use sha-256"]),
    (
        "SHA-224",
        |sdp| replaced(sdp, "a=fingerprint:sha-256", "a=fingerprint:sha-224"),
        Unacceptable,
        &["sha-224", "use sha-256"],
    ),
    ("a true MD5", |sdp| with(&without(sdp, "a=fingerprint"), "s=", MD5), Unacceptable, &["md5", "use sha-256"]),
    (
        "several weak ones",
        |sdp| with(&with(&without(sdp, "a=fingerprint"), "s=", MD5), "s=", SHA_1),
        Unacceptable,
        &["use sha-256"],
    ),
    (
        "a short one",
        |sdp| with(&without(sdp, "a=fingerprint"), "s=", "a=fingerprint:sha-256 AB:CD"),
        Malformed,
        &["32 pairs"],
    ),
    ("one that is no number", |sdp| replaced(sdp, "sha-256 ", "sha-256 +1:"), Malformed, &["hexadecimal"]),
    ("no setup", |sdp| without(sdp, "a=setup"), Malformed, &["a=setup is missing", "actpass"]),
    ("an unknown setup", |sdp| replaced(sdp, "a=setup:actpass", "a=setup:both"), Malformed, &["a=setup:both"]),
    ("holdconn", |sdp| replaced(sdp, "a=setup:actpass", "a=setup:holdconn"), Unacceptable, &["holdconn"]),
    ("no encryption", |sdp| replaced(sdp, "UDP/TLS/RTP/SAVPF", "RTP/AVP"), Unacceptable, &["RTP/AVP", "DTLS-SRTP"]),
    ("no rtcp-mux", |sdp| without(sdp, "a=rtcp-mux"), Unacceptable, &["rtcp-mux"]),
    ("no BUNDLE", |sdp| without(sdp, "a=group:BUNDLE"), Unacceptable, &["BUNDLE", "max-bundle"]),
    (
        "a section outside",
        |sdp| replaced(sdp, "BUNDLE 0 1", "BUNDLE 0"),
        Unacceptable,
        &["m= line 2 (video, mid 1)", "BUNDLE"],
    ),
    ("an unknown MID", |sdp| replaced(sdp, "BUNDLE 0 1", "BUNDLE 0 1 7"), Malformed, &["a=mid:7"]),
    ("a MID twice in it", |sdp| replaced(sdp, "BUNDLE 0 1", "BUNDLE 0 1 1"), Malformed, &["twice"]),
    (
        "two groups",
        |sdp| replaced(sdp, "a=group:BUNDLE 0 1", "a=group:BUNDLE 0\r\na=group:BUNDLE 1"),
        Unacceptable,
        &["more than one"],
    ),
    ("a MID twice", |sdp| replaced(sdp, "a=mid:1", "a=mid:0"), Malformed, &["same a=mid"]),
    ("an empty MID", |sdp| replaced(sdp, "a=mid:1", "a=mid:"), Malformed, &["a=mid", "1 to 255"]),
];

const MEDIA: &[Case] = &[
    (
        "a format that is no number",
        |sdp| replaced(sdp, "SAVPF 111 ", "SAVPF opus "),
        Malformed,
        &["\"opus\"", "0 to 127"],
    ),
    ("a payload type twice", |sdp| replaced(sdp, "SAVPF 111 ", "SAVPF 111 111 "), Malformed, &["111 stands twice"]),
    ("one that looks like RTCP", |sdp| replaced(sdp, "SAVPF 111 ", "SAVPF 72 111 "), Malformed, &["72", "RTCP"]),
    (
        "one of another section",
        |sdp| with(&replaced(sdp, "SAVPF 111 ", "SAVPF 96 111 "), "a=mid:0", "a=rtpmap:96 L16/8000"),
        Malformed,
        &["m= line 2", "payload type 96", "m= line 1"],
    ),
    (
        "a name without a clock",
        |sdp| replaced(sdp, "opus/48000/2", "opus"),
        Malformed,
        &["a=rtpmap:111 opus", "clock rate"],
    ),
    ("a clock of 0", |sdp| replaced(sdp, "opus/48000/2", "opus/0/2"), Malformed, &["a=rtpmap:111"]),
    ("300 channels", |sdp| replaced(sdp, "opus/48000/2", "opus/48000/300"), Malformed, &["channels"]),
    ("a codec twice", |sdp| with(sdp, "a=rtpmap:111", "a=rtpmap:111 opus/48000/2"), Malformed, &["named before"]),
    (
        "fmtp of nothing",
        |sdp| with(sdp, "a=rtpmap:111", "a=fmtp:minptime=10"),
        Malformed,
        &["a=fmtp:minptime", "payload type"],
    ),
    (
        "too many parameters",
        |sdp| {
            with(
                sdp,
                "a=rtpmap:111",
                &format!("a=fmtp:111 {}", (0..40).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join(";")),
            )
        },
        Malformed,
        &["32 parameters"],
    ),
    ("feedback without a word", |sdp| with(sdp, "a=rtpmap:111", "a=rtcp-fb:111"), Malformed, &["a=rtcp-fb:111"]),
    (
        "an extension without a URI",
        |sdp| replaced(sdp, "extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level", "extmap:1"),
        Malformed,
        &["a=extmap:1", "URI"],
    ),
    ("id 0", |sdp| replaced(sdp, "extmap:1 urn", "extmap:0 urn"), Malformed, &["a=extmap:0", "1 to 255"]),
    ("id 300", |sdp| replaced(sdp, "extmap:1 urn", "extmap:300 urn"), Malformed, &["a=extmap:300"]),
    ("an id twice", |sdp| replaced(sdp, "extmap:1 urn", "extmap:2 urn"), Malformed, &["id 2 stands twice"]),
    (
        "an id of another section",
        |sdp| with(sdp, "a=mid:0", "a=extmap:13 urn:example:other"),
        Malformed,
        &["m= line 2", "extmap id 13", "m= line 1"],
    ),
    (
        "an extension that goes up",
        |sdp| replaced(sdp, "extmap:1 urn", "extmap:1/up urn"),
        Malformed,
        &["a=extmap:1/up", "sendrecv"],
    ),
    ("an SSRC above 2^32", |sdp| with(sdp, "a=mid:0", "a=ssrc:4294967296 cname:x"), Malformed, &["a=ssrc:4294967296"]),
    (
        "a group of unknown SSRCs",
        |sdp| with(sdp, "a=mid:0", "a=ssrc-group:FID 1 2"),
        Malformed,
        &["a=ssrc-group", "no a=ssrc"],
    ),
    (
        "two tracks in a section",
        |sdp| with(sdp, "a=mid:0", "a=ssrc:1 cname:x\r\na=ssrc:2 cname:x"),
        Unacceptable,
        &["unified plan"],
    ),
    (
        "an SSRC in two sections",
        |sdp| with(&without(&without(sdp, "a=ssrc:"), "a=ssrc-group:"), "a=mid:", "a=ssrc:9 cname:x"),
        Malformed,
        &["SSRC 9"],
    ),
    ("recvonly", |sdp| replaced(sdp, "a=sendonly", "a=recvonly"), Unacceptable, &["m= line 1", "offer sendonly"]),
    ("inactive", |sdp| replaced(sdp, "a=sendonly", "a=inactive"), Unacceptable, &["a=inactive"]),
    (
        "no codec that we have",
        |sdp| replaced(sdp, "/90000", "/80000"),
        Unacceptable,
        &["m= line 2", "video/VP8", "codecs"],
    ),
    (
        "nothing but data",
        |_| {
            "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=ice-ufrag:abcd\r\n\
        a=ice-pwd:abcdefghijklmnopqrstuv\r\na=setup:actpass\r\na=fingerprint:sha-256 \
        00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n"
                .into()
        },
        Unacceptable,
        &["audio or video"],
    ),
];

const DATA: &[Case] = &[
    ("no port", |sdp| replaced(sdp, "a=sctp-port:5000", "a=sctp-port:0"), Malformed, &["a=sctp-port", "65535"]),
    ("a port that is none", |sdp| replaced(sdp, "a=sctp-port:5000", "a=sctp-port:x"), Malformed, &["a=sctp-port"]),
    (
        "a size that is none",
        |sdp| replaced(sdp, "a=max-message-size:262144", "a=max-message-size:-1"),
        Malformed,
        &["a=max-message-size", "number"],
    ),
];

const SIMULCAST: &[Case] = &[
    (
        "a RID without a line",
        |sdp| replaced(sdp, "a=simulcast:send q;h;f", "a=simulcast:send q;h;x"),
        Malformed,
        &["a=rid:x send"],
    ),
    (
        "a RID twice",
        |sdp| replaced(sdp, "a=simulcast:send q;h;f", "a=simulcast:send q;h;q"),
        Malformed,
        &["\"q\" stands twice"],
    ),
    ("no direction", |sdp| replaced(sdp, "a=simulcast:send q;h;f", "a=simulcast:q;h;f"), Malformed, &["send or recv"]),
    (
        "five",
        |sdp| replaced(sdp, "a=simulcast:send q;h;f", "a=rid:1 send\r\na=rid:2 send\r\na=simulcast:send q;h;f;1;2"),
        Unacceptable,
        &["at most 4"],
    ),
    (
        "a RID of signs",
        |sdp| replaced(sdp, "a=simulcast:send q;h;f", "a=simulcast:send q;h;a.b"),
        Malformed,
        &["letters"],
    ),
];

#[test]
fn each_is_refused_with_a_sentence() {
    let (plain, simulcast) = (text_of("chromium-publish"), text_of("chromium-publish-simulcast"));
    let on_plain = GRAMMAR.iter().chain(TRANSPORT).chain(MEDIA).map(|case| (case, plain));
    let on_others = SIMULCAST.iter().map(|case| (case, simulcast));
    let on_others = on_others.chain(DATA.iter().map(|case| (case, text_of("chromium-both"))));
    for ((name, change, fault, words), text) in on_plain.chain(on_others) {
        let error = Offer::parse(&change(text)).and_then(|offer| publish(&offer, Redundancy::Asked)).expect_err(name);
        assert_eq!(error.fault, *fault, "{name}: {error}");
        for word in *words {
            assert!(error.sentence.contains(word), "{name}: {error} lacks {word:?}");
        }
        assert!(error.sentence.len() < 400 && !error.sentence.contains('\n'), "{name}: {error}");
    }
}

/// Beside a strong one a weak one is left out, in either order: it counts as if it were not there.
#[test]
fn a_weak_fingerprint_beside_a_strong_one_does_not_count() {
    let text = text_of("chromium-publish");
    let expected = Offer::parse(text).expect("well-formed").dtls.fingerprints;
    assert!(!expected.is_empty());
    for both in [with(&with(text, "s=", MD5), "s=", SHA_1), with(text, "a=fingerprint", SHA_1)] {
        assert_eq!(Offer::parse(&both).expect("one is enough").dtls.fingerprints, expected);
    }
}

#[test]
fn a_viewer_that_does_not_watch_is_told() {
    for (from, to) in [("recvonly", "sendonly"), ("recvonly", "inactive")] {
        let text = replaced(text_of("chromium-watch"), &format!("a={from}"), &format!("a={to}"));
        let error = viewing(&Offer::parse(&text).expect("well-formed")).expect_err(to);
        assert_eq!((error.fault, error.sentence.contains("offer recvonly")), (Unacceptable, true), "{error}");
    }
}

#[test]
fn a_password_is_not_repeated() {
    let text = with(&without(text_of("chromium-publish"), "a=ice-pwd"), "s=", "a=ice-pwd:sesame!");
    let error = Offer::parse(&text).expect_err("has a sign that passwords do not have");
    assert!(!error.sentence.contains("sesame"), "{error}");
}

#[test]
fn wrong_fragments() {
    for (text, words) in [
        ("", "neither"),
        ("a=x\r\n", "neither"),
        ("a=ice-ufrag:abcd\r\n", "ice-pwd is missing"),
        ("a=ice-ufrag:ab\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n", "4 to 256"),
        ("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\n", "a=mid"),
        ("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp one 192.0.2.1 5 typ host\r\n", "RFC 8839"),
        ("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 5\r\n", "RFC 8839"),
        ("{}", "line 1 \"{}\""),
        (
            "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n\
             a=ice-ufrag:efgh\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n",
            "share one transport",
        ),
    ] {
        let error = parse_fragment(text).expect_err(text);
        assert_eq!(error.fault, Malformed);
        assert!(error.sentence.contains(words), "{text:?}: {error}");
    }
}
