//! Offers as browsers write them and answers as servers do (RFC 8866, RFC 8829, RFC 8839, RFC 8842), as text: only the
//! lines that an endpoint with one transport needs.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, bail};

use super::channels::{MAX_MESSAGE_BYTES, SCTP_PORT};
use super::feedback::TRANSPORT_CC;
use super::ice::Credentials;

/// The number under which packets are offered to be numbered over their whole transport.
const TRANSPORT_CC_ID: u8 = 3;

/// Sound or pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `m=audio`.
    Audio,
    /// `m=video`.
    Video,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

/// `a=setup` (RFC 8842 section 5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Setup {
    /// Either; the answer chooses.
    #[default]
    ActPass,
    /// Sends the ClientHello.
    Active,
    /// Waits for it.
    Passive,
}

impl Setup {
    const fn name(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }
}

/// One `m=` section of an offer.
#[derive(Clone, Debug)]
pub struct Media {
    /// Sound or pictures.
    pub kind: Kind,
    /// What `a=rtpmap` says behind the payload type: `VP8/90000`.
    pub codec: String,
    /// Payload type.
    pub payload_type: u8,
    /// `a=fmtp` of the codec, if any.
    pub fmtp: Option<String>,
    /// Payload type of its retransmissions (RFC 4588).
    pub rtx: Option<u8>,
    /// SSRC under which we send, and that of retransmissions if they are offered. None: not announced.
    pub ssrc: Option<u32>,
    /// We send; otherwise we receive.
    pub send: bool,
    /// Header extensions: number and URI.
    pub extensions: Vec<(u8, String)>,
    /// Further lines, as they are.
    pub lines: Vec<String>,
}

impl Media {
    /// VP8 at payload type 96, or Opus at 111, with nothing else.
    #[must_use]
    pub fn plain(kind: Kind, send: bool, ssrc: Option<u32>) -> Self {
        let (codec, payload_type, fmtp) = match kind {
            Kind::Audio => ("opus/48000/2", 111, Some("minptime=10;useinbandfec=1".to_owned())),
            Kind::Video => ("VP8/90000", 96, None),
        };
        let ssrc = ssrc.filter(|_| send);
        Self {
            kind,
            codec: codec.into(),
            payload_type,
            fmtp,
            rtx: None,
            ssrc,
            send,
            extensions: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// The same, of one who says what arrives: all packets are numbered, and there are retransmissions, on whose stream
    /// the path is probed.
    #[must_use]
    pub fn with_feedback(mut self) -> Self {
        self.rtx = Some(self.payload_type + 1);
        self.extensions.push((TRANSPORT_CC_ID, TRANSPORT_CC.into()));
        self.lines.push(format!("rtcp-fb:{} transport-cc", self.payload_type));
        self
    }

    fn write(&self, mid: usize, transport: &str, out: &mut String) {
        let payload_type = self.payload_type;
        let mut payload_types = payload_type.to_string();
        let mut lines = vec![format!("rtpmap:{payload_type} {}", self.codec)];
        lines.extend(self.fmtp.iter().map(|fmtp| format!("fmtp:{payload_type} {fmtp}")));
        if self.kind == Kind::Video {
            let feedback = ["nack", "nack pli", "ccm fir"];
            lines.extend(feedback.map(|feedback| format!("rtcp-fb:{payload_type} {feedback}")));
        }
        if let Some(rtx) = self.rtx {
            let _ = write!(payload_types, " {rtx}");
            lines.push(format!("rtpmap:{rtx} rtx/{}", self.codec.split('/').nth(1).unwrap_or("90000")));
            lines.push(format!("fmtp:{rtx} apt={payload_type}"));
        }
        lines.extend(self.extensions.iter().map(|(number, uri)| format!("extmap:{number} {uri}")));
        if let Some(ssrc) = self.ssrc {
            lines.push("msid:bench bench".into());
            if self.rtx.is_some() {
                lines.push(format!("ssrc-group:FID {ssrc} {}", ssrc.wrapping_add(1)));
                lines.push(format!("ssrc:{} cname:bench", ssrc.wrapping_add(1)));
            }
            lines.push(format!("ssrc:{ssrc} cname:bench"));
        }
        lines.extend(self.lines.iter().cloned());
        let _ = write!(out, "m={} 9 UDP/TLS/RTP/SAVPF {payload_types}\r\nc=IN IP4 0.0.0.0\r\n", self.kind.name());
        let direction = if self.send { "sendonly" } else { "recvonly" };
        let _ = write!(out, "{transport}a=mid:{mid}\r\na={direction}\r\na=rtcp-mux\r\na=rtcp-rsize\r\n");
        for line in lines {
            let _ = write!(out, "a={line}\r\n");
        }
    }
}

/// What an offer says of the transport.
#[derive(Clone, Debug)]
pub struct Offer<'a> {
    /// Our ICE credentials.
    pub ice: &'a Credentials,
    /// What `a=fingerprint` says, whether it is true or not.
    pub fingerprint: &'a str,
    /// Who may begin the handshake.
    pub setup: Setup,
    /// The sections, in order; all in one bundle (RFC 9143).
    pub media: &'a [Media],
    /// Behind them one for data channels (RFC 8841).
    pub data: bool,
}

impl Offer<'_> {
    /// The offer as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let session: u32 = rand::random();
        let sections = self.media.len() + usize::from(self.data);
        let mids: Vec<_> = (0..sections).map(|mid| mid.to_string()).collect();
        let mut out = format!(
            "v=0\r\no=- {session} 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
            a=group:BUNDLE {}\r\na=msid-semantic: WMS *\r\n",
            mids.join(" ")
        );
        let (ice, setup) = (self.ice, self.setup.name());
        let transport = format!(
            "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=ice-options:ice2\r\na=fingerprint:{}\r\na=setup:{setup}\r\n",
            ice.ufrag, ice.password, self.fingerprint
        );
        for (mid, media) in self.media.iter().enumerate() {
            media.write(mid, &transport, &mut out);
        }
        if self.data {
            let _ = write!(
                out,
                "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n{transport}a=mid:{}\r\n\
                a=sctp-port:{SCTP_PORT}\r\na=max-message-size:{MAX_MESSAGE_BYTES}\r\n",
                self.media.len()
            );
        }
        out
    }
}

/// One `m=` section of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnsweredMedia {
    /// `audio`, `video` or something else.
    pub kind: String,
    /// Port 0: refused.
    pub refused: bool,
    /// `sendonly`, `recvonly`, `sendrecv` or `inactive`.
    pub direction: String,
    /// `a=mid`.
    pub mid: String,
    /// Payload types with what `a=rtpmap` says of them.
    pub codecs: Vec<(u8, String)>,
    /// SSRCs of `a=ssrc` lines, in order, each once.
    pub ssrcs: Vec<u32>,
    /// Header extensions: number and URI.
    pub extensions: Vec<(u8, String)>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its ICE credentials.
    pub ice: Credentials,
    /// Its fingerprints.
    pub fingerprints: Vec<String>,
    /// Who begins the handshake, as it sees it.
    pub setup: Setup,
    /// `a=ice-lite`.
    pub ice_lite: bool,
    /// Its candidates on UDP, the most preferred first.
    pub udp: Vec<SocketAddr>,
    /// Its passive candidates on TCP, the most preferred first.
    pub tcp: Vec<SocketAddr>,
    /// Its sections.
    pub media: Vec<AnsweredMedia>,
}

/// First value of an attribute.
fn value<'a>(lines: &[&'a str], name: &str) -> Option<&'a str> {
    lines.iter().find_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// ICE credentials in an answer or a fragment (RFC 8840).
///
/// # Errors
/// There are none.
pub fn credentials(text: &str) -> anyhow::Result<Credentials> {
    let lines: Vec<_> = text.lines().collect();
    let get = |name| value(&lines, name).map(str::to_owned).with_context(|| format!("no a={name}"));
    Ok(Credentials { ufrag: get("ice-ufrag")?, password: get("ice-pwd")? })
}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    /// It lacks what no transport can do without.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let lines: Vec<_> = text.lines().collect();
        if lines.first() != Some(&"v=0") {
            bail!("the answer is no SDP: {text:?}");
        }
        let setup = match value(&lines, "setup") {
            Some("active") => Setup::Active,
            Some("passive") => Setup::Passive,
            other => bail!("the answer chooses no role: {other:?}"),
        };
        let attribute = |name: &'static str| lines.iter().filter_map(move |line| line.strip_prefix(name));
        let mut candidates: Vec<_> = attribute("a=candidate:").filter_map(candidate).collect();
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.1));
        let mut seen = Vec::new();
        candidates.retain(|candidate| {
            !seen.contains(candidate) && {
                seen.push(*candidate);
                true
            }
        });
        let over = |udp: bool| candidates.iter().filter(move |candidate| candidate.0 == udp).map(|found| found.2);
        let first_media = lines.iter().position(|line| line.starts_with("m=")).unwrap_or(lines.len());
        let mut media = Vec::new();
        for line in &lines[first_media..] {
            match line.strip_prefix("m=") {
                Some(rest) => media.push(section(rest)),
                None => media.last_mut().into_iter().for_each(|media| note(media, line)),
            }
        }
        Ok(Self {
            ice: credentials(text).context("the answer")?,
            fingerprints: attribute("a=fingerprint:").map(|text| text.trim().to_owned()).collect(),
            setup,
            ice_lite: lines.contains(&"a=ice-lite"),
            udp: over(true).collect(),
            tcp: over(false).collect(),
            media,
        })
    }

    /// The number of the header extension by which packets are numbered over the whole transport, if they are.
    #[must_use]
    pub fn transport_cc(&self) -> Option<u8> {
        let mut extensions = self.media.iter().flat_map(|media| &media.extensions);
        extensions.find(|(_, uri)| uri == TRANSPORT_CC).map(|(number, _)| *number)
    }

    /// The payload type of retransmissions, if there are any.
    #[must_use]
    pub fn rtx(&self) -> Option<u8> {
        let mut codecs = self.media.iter().flat_map(|media| &media.codecs);
        codecs.find(|(_, codec)| codec.starts_with("rtx/")).map(|(payload_type, _)| *payload_type)
    }

    /// The section of a kind that was not refused.
    #[must_use]
    pub fn media(&self, kind: Kind) -> Option<&AnsweredMedia> {
        self.media.iter().find(|media| media.kind == kind.name() && !media.refused)
    }
}

/// Whether it is UDP, its priority and its address; none for what is neither UDP nor passive TCP, or is a name.
fn candidate(text: &str) -> Option<(bool, u32, SocketAddr)> {
    let fields: Vec<_> = text.split_ascii_whitespace().collect();
    let [_, "1", protocol, priority, ip, port, "typ", _, rest @ ..] = &fields[..] else { return None };
    let address = SocketAddr::new(ip.parse::<IpAddr>().ok()?, port.parse().ok()?);
    let udp = protocol.eq_ignore_ascii_case("udp");
    let passive = rest.windows(2).any(|pair| pair == ["tcptype", "passive"]);
    (udp || passive).then_some((udp, priority.parse().ok()?, address))
}

fn section(line: &str) -> AnsweredMedia {
    let mut fields = line.split_ascii_whitespace();
    let kind = fields.next().unwrap_or_default().to_owned();
    let refused = fields.next() == Some("0");
    AnsweredMedia { kind, refused, direction: "sendrecv".into(), ..AnsweredMedia::default() }
}

fn note(media: &mut AnsweredMedia, line: &str) {
    let Some(line) = line.strip_prefix("a=") else { return };
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    let numbered = || value.split_once(' ').and_then(|(number, text)| Some((number.parse().ok()?, text.to_owned())));
    match name {
        "sendonly" | "recvonly" | "sendrecv" | "inactive" => media.direction = name.into(),
        "mid" => media.mid = value.into(),
        "rtpmap" => media.codecs.extend(numbered()),
        "extmap" => media.extensions.extend(numbered()),
        "ssrc" => {
            let ssrc = value.split_once(' ').and_then(|(ssrc, _)| ssrc.parse().ok());
            media.ssrcs.extend(ssrc.filter(|ssrc| !media.ssrcs.contains(ssrc)));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_says_what_it_is_given() {
        let ice = Credentials { ufrag: "abcd".into(), password: "p".repeat(22) };
        let mut video = Media::plain(Kind::Video, true, Some(7));
        video.rtx = Some(97);
        video.extensions.push((3, "urn:ietf:params:rtp-hdrext:sdes:mid".into()));
        let media = [Media::plain(Kind::Audio, false, Some(5)), video];
        let offer = Offer { ice: &ice, fingerprint: "sha-256 AA", setup: Setup::Passive, media: &media, data: true };
        let text = offer.to_text();
        assert!(text.contains("a=group:BUNDLE 0 1 2\r\n") && text.ends_with("\r\n") && !text.contains("\r\n\r\n"));
        assert!(text.contains("m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n") && text.contains("a=fmtp:97 apt=96\r\n"));
        assert!(text.contains("a=ssrc-group:FID 7 8\r\n") && !text.contains("ssrc:5"), "who receives has no SSRC");
        assert!(text.contains("a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"));
        assert_eq!(text.matches("a=setup:passive\r\n").count(), 3);
        assert!(text.ends_with("a=mid:2\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n"));
    }

    #[test]
    fn an_answer_is_read() {
        let text = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-lite\r\na=fingerprint:sha-256 AB:CD\r\n\
            m=audio 0 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=inactive\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=ice-ufrag:uu\r\na=ice-pwd:pp\r\na=setup:passive\r\na=mid:1\r\n\
            a=candidate:1 1 udp 10 10.0.0.1 5000 typ host\r\na=candidate:2 1 UDP 20 ::1 5001 typ host\r\n\
            a=candidate:3 1 tcp 5 10.0.0.1 5000 typ host tcptype passive\r\n\
            a=candidate:4 1 udp 1 x.local 1 typ host\r\n\
            a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\n\
            a=ssrc:11 cname:x\r\na=ssrc:11 msid:a b\r\na=ssrc:12 cname:x\r\n\
            a=extmap:4 urn:x\r\na=sendonly\r\n";
        let answer = Answer::parse(text).expect("an answer");
        assert_eq!(answer.ice, Credentials { ufrag: "uu".into(), password: "pp".into() });
        assert!(answer.ice_lite && answer.setup == Setup::Passive && answer.fingerprints == ["sha-256 AB:CD"]);
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        assert_eq!(answer.udp, [address("[::1]:5001"), address("10.0.0.1:5000")]);
        assert_eq!(answer.tcp, [address("10.0.0.1:5000")]);
        assert!(answer.media(Kind::Audio).is_none());
        let video = answer.media(Kind::Video).expect("video");
        assert_eq!(video.codecs, [(96, "VP8/90000".to_owned()), (97, "rtx/90000".to_owned())]);
        assert_eq!((&video.ssrcs[..], video.direction.as_str(), video.mid.as_str()), (&[11, 12][..], "sendonly", "1"));
        assert_eq!(video.extensions, [(4, "urn:x".to_owned())]);
        assert_eq!((answer.rtx(), answer.transport_cc()), (Some(97), None));
    }

    #[test]
    fn who_says_what_arrives_offers_numbers_and_retransmissions() {
        let mut text = String::new();
        Media::plain(Kind::Video, false, None).with_feedback().write(0, "", &mut text);
        assert!(
            text.contains("m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n") && text.contains("a=rtcp-fb:96 transport-cc\r\n")
        );
        let media = text.lines().fold(AnsweredMedia::default(), |mut media, line| {
            note(&mut media, line);
            media
        });
        let ice = Credentials { ufrag: "u".into(), password: "p".into() };
        let setup = Setup::Passive;
        let (fingerprints, udp, tcp) = (Vec::new(), Vec::new(), Vec::new());
        let answer = Answer { ice, fingerprints, setup, ice_lite: true, udp, tcp, media: vec![media] };
        assert_eq!((answer.rtx(), answer.transport_cc()), (Some(97), Some(TRANSPORT_CC_ID)));
    }

    #[test]
    fn an_answer_without_a_transport_is_none() {
        assert!(Answer::parse("hello").is_err());
        assert!(Answer::parse("v=0\r\na=setup:passive\r\n").is_err(), "no credentials");
        assert!(Answer::parse("v=0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=setup:actpass\r\n").is_err(), "no role");
    }
}
