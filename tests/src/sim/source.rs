//! A media stream as a participant sends it: frames, key frames when they are asked for, and answers to NACK.
//! Packets are written by the `rtp` crate, so that the two ends of a run share no protocol code.

use std::collections::VecDeque;

use bytes::Bytes;
use corecast_wire::{Codec, HeaderExtension};
use rtp::header::{EXTENSION_PROFILE_ONE_BYTE, EXTENSION_PROFILE_TWO_BYTE, Extension, Header};
use webrtc_util::marshal::Marshal;

use super::numbers::low16;
use super::random::{Random, fingerprint};
use super::scenario::SourcePlan;
use super::svc::{Layers, Part, Piece, VP9_HEAD_BYTES};

/// Before the stamp in a payload.
const MAGIC: [u8; 4] = *b"CORE";
/// Magic, source, index.
pub const STAMP_BYTES: usize = 16;
/// The stamp begins somewhere below this.
const STAMP_WITHIN: usize = 32;
/// Packets that a sender keeps to send them again.
const KEPT: usize = 400;

/// What was sent as one packet.
#[derive(Clone, Debug)]
pub struct Sent {
    /// RTP timestamp.
    pub timestamp: u32,
    /// Marker.
    pub marker: bool,
    /// First packet of a key frame.
    pub key_start: bool,
    /// Fingerprint of the payload without padding, and without the bytes that a router may change.
    pub payload: u64,
    /// So many bytes at its beginning.
    pub changeable: usize,
    /// Its part in a frame, of a source with layers.
    pub part: Option<Part>,
    /// The router's id and the bytes of each extension that passes a router unchanged.
    pub extensions: Vec<(u8, Bytes)>,
    /// When the machine took it in: the position in the order of all arrivals.
    pub arrived: Option<u64>,
    /// Times that it was asked for again.
    pub asked: u32,
}

impl Sent {
    /// Whether a payload is that of the packet.
    #[must_use]
    pub fn is(&self, payload: &[u8]) -> bool {
        payload.get(self.changeable..).is_some_and(|payload| fingerprint(payload) == self.payload)
    }
}

/// A packet on its way to be sealed.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Position in its stream, from 0.
    pub index: u64,
    /// The whole packet in plain text.
    pub plain: Bytes,
    /// Its dependency descriptor, of a source with layers. It is not in `plain`, whose extensions are short.
    pub descriptor: Option<Bytes>,
}

/// A stream at work.
#[derive(Debug)]
pub struct Source {
    /// What it is.
    pub plan: SourcePlan,
    /// The participant that sends it.
    pub peer: usize,
    /// Its number: of the producer, and in every stamp.
    pub number: u32,
    /// Everything that it has sent.
    pub sent: Vec<Sent>,
    /// The next frame is to be a key frame.
    pub key_wanted: bool,
    /// Its producer exists.
    pub produced: bool,
    /// Its producer is paused.
    pub paused: bool,
    /// Its producer is withheld: others are louder.
    pub withheld: bool,
    /// Its producer has been closed, or its transport.
    pub closed: bool,
    /// When it was last asked for a key frame.
    pub key_asked_ns: Option<u64>,
    /// A key frame has arrived since.
    pub key_arrived: bool,
    /// Newest packet that the machine took in.
    pub newest_arrived: Option<u64>,
    /// What is before this was to come to a worker that has died: the one after it refuses it.
    pub refused_below: u64,
    timestamp: u32,
    kept: VecDeque<(u64, Bytes, Bytes)>,
    rtx_sequence: u16,
    layers: Option<Layers>,
}

/// (source, index) of a payload.
#[must_use]
pub fn stamp(payload: &[u8]) -> Option<(u32, u64)> {
    let head = payload.get(..payload.len().min(STAMP_WITHIN + STAMP_BYTES))?;
    let at = head.windows(STAMP_BYTES).position(|window| window.starts_with(&MAGIC))?;
    let (source, rest) = head.get(at + MAGIC.len()..)?.split_first_chunk::<4>()?;
    let (index, _) = rest.split_first_chunk::<8>()?;
    Some((u32::from_be_bytes(*source), u64::from_be_bytes(*index)))
}

/// What a codec's payload begins with.
fn head(codec: Codec, key: bool, first: bool) -> &'static [u8] {
    match (codec, key, first) {
        (Codec::Vp8, true, true) => &[0x10, 0x00, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00], // RFC 7741 4.2
        (Codec::Vp8, false, true) => &[0x10, 0x01, 0x02, 0x00],
        (Codec::Vp8, _, false) => &[0x00],
        // A STAP-A of SPS, PPS and a first IDR slice (RFC 6184 section 5.7.1), the slice's length to be filled in.
        (Codec::H264, true, true) => {
            &[0x18, 0x00, 0x04, 0x67, 0x42, 0xe0, 0x1f, 0x00, 0x04, 0x68, 0xce, 0x3c, 0x80, 0x00, 0x00, 0x65, 0x88]
        }
        (Codec::H264, false, true) => &[0x41, 0x9a],
        (Codec::H264, true, false) => &[0x7c, 0x05], // a middle fragment of an IDR slice
        (Codec::H264, false, false) => &[0x7c, 0x01],
        (Codec::Vp9, true, true) => &[0x08, 0x82, 0x49, 0x83, 0x42], // RFC 9628 section 4.2: B, not P
        (Codec::Vp9, false, true) => &[0x48, 0x86],
        (Codec::Vp9, true, false) => &[0x00],
        (Codec::Vp9, false, false) => &[0x40],
        _ => &[0xfc],
    }
}

impl Source {
    /// A stream that has sent nothing yet.
    #[must_use]
    pub fn new(plan: SourcePlan, peer: usize, number: u32, random: &mut Random) -> Self {
        let layers = plan.svc.map(|svc| Layers::new(svc, plan.codec, random));
        Self {
            layers,
            plan,
            peer,
            number,
            sent: Vec::new(),
            key_wanted: true,
            produced: false,
            paused: false,
            withheld: false,
            closed: false,
            key_asked_ns: None,
            key_arrived: false,
            newest_arrived: None,
            refused_below: 0,
            timestamp: random.next_u32(),
            kept: VecDeque::new(),
            rtx_sequence: u16::try_from(random.range(0..=20_000)).expect("small"),
        }
    }

    /// It is being forwarded.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.produced && !self.paused && !self.withheld && !self.closed
    }

    /// The machine must still have a packet: what came behind it in the same batch has not pushed it out.
    #[must_use]
    pub fn is_remembered(&self, index: u64) -> bool {
        let history = if self.plan.is_video() { 400 } else { 48 };
        index >= self.refused_below && self.newest_arrived.is_none_or(|newest| newest < index + history)
    }

    /// Position in the stream of the newest key frame that the machine took in.
    #[must_use]
    pub fn newest_key(&self) -> Option<u64> {
        let newest = self.sent.iter().rposition(|sent| sent.key_start && sent.arrived.is_some());
        newest.map(|index| index as u64)
    }

    /// Position in the stream of a sequence number near the newest; `None` for one that was never sent.
    #[must_use]
    pub fn index_of(&self, sequence: u16) -> Option<u64> {
        let newest = (self.sent.len() as u64).checked_sub(1)?;
        let newest_sequence = low16(u64::from(self.plan.first_sequence) + newest);
        newest.checked_sub(u64::from(newest_sequence.wrapping_sub(sequence)))
    }

    /// The packets of the next frame.
    pub fn frame(&mut self, random: &mut Random) -> Vec<Packet> {
        let key = self.plan.is_video() && std::mem::take(&mut self.key_wanted);
        if self.layers.is_some() {
            return self.picture(key, random);
        }
        let base = random.range(1..=self.plan.max_packets);
        let count = if key { (base * 2).min(12) } else { base };
        let step = u64::from(self.plan.clock_rate_hz()) / self.plan.frames_per_s;
        self.timestamp = self.timestamp.wrapping_add(u32::try_from(step).expect("below the clock rate"));
        let most = self.plan.max_payload;
        let even = random.percent(50); // as libwebrtc splits a frame: nearly evenly
        let evenly = random.range(64..=most.max(64));
        (0..count)
            .map(|at| {
                let len = if even { evenly - (at & 1) } else { random.range(50..=most.max(50)) };
                let marker = !self.plan.is_video() || at + 1 == count;
                let len = usize::try_from(len).expect("small");
                let head = head(self.plan.codec, key, at == 0).to_vec();
                self.packet((key, at == 0, marker), len, (head, None, None), random)
            })
            .collect()
    }

    /// The packets of the next picture, of a source with layers.
    fn picture(&mut self, key: bool, random: &mut Random) -> Vec<Packet> {
        let pieces = self.layers.as_mut().map(|layers| layers.picture(key, random)).unwrap_or_default();
        let step = u64::from(self.plan.clock_rate_hz()) / self.plan.frames_per_s;
        self.timestamp = self.timestamp.wrapping_add(u32::try_from(step).expect("below the clock rate"));
        let (most, count) = (self.plan.max_payload, pieces.len());
        let packet = |(at, Piece { head, descriptor, part }): (usize, Piece)| {
            let len = usize::try_from(random.range(50..=most)).expect("small");
            let starts = (part.frame.key, part.first && part.frame.spatial == 0, at + 1 == count);
            self.packet(starts, len, (head, descriptor, Some(part)), random)
        };
        pieces.into_iter().enumerate().map(packet).collect()
    }

    fn packet(
        &mut self,
        (key, first, marker): (bool, bool, bool),
        len: usize,
        (head, descriptor, part): (Vec<u8>, Option<Bytes>, Option<Part>),
        random: &mut Random,
    ) -> Packet {
        let index = self.sent.len() as u64;
        let payload = self.payload((key, first), head, index, len, random);
        let extensions = self.extensions(index, random);
        let pad = self.plan.pad_every != 0 && index.is_multiple_of(self.plan.pad_every);
        let header = self.header(index, marker, pad, &extensions);
        let changeable = if part.is_some() && self.plan.codec == Codec::Vp9 { VP9_HEAD_BYTES } else { 0 };
        let passed = extensions.iter().filter(|(extension, _)| passes_unchanged(*extension));
        let mapped = |extension| self.plan.extensions.iter().find(|known| known.extension == extension);
        self.sent.push(Sent {
            timestamp: self.timestamp,
            marker,
            key_start: key && first,
            payload: fingerprint(&payload[changeable..]),
            changeable,
            part,
            extensions: passed.filter_map(|(at, bytes)| Some((mapped(*at)?.mapped_id, bytes.clone()))).collect(),
            arrived: None,
            asked: 0,
        });
        let plain = rtp::packet::Packet { header, payload }.marshal().expect("a packet that fits");
        Packet { index, plain, descriptor }
    }

    fn payload(
        &self,
        (key, first): (bool, bool),
        mut payload: Vec<u8>,
        index: u64,
        len: usize,
        random: &mut Random,
    ) -> Bytes {
        let head_len = payload.len();
        payload.extend_from_slice(&MAGIC);
        payload.extend_from_slice(&self.number.to_be_bytes());
        payload.extend_from_slice(&index.to_be_bytes());
        let stamped = payload.len();
        payload.resize(len.max(stamped), 0);
        random.fill(&mut payload[stamped..]);
        if self.plan.codec == Codec::H264 && key && first {
            let slice = u16::try_from(payload.len() - (head_len - 2)).expect("small");
            payload[head_len - 4..head_len - 2].copy_from_slice(&slice.to_be_bytes());
        }
        payload.into()
    }

    fn extensions(&self, index: u64, random: &mut Random) -> Vec<(HeaderExtension, Bytes)> {
        let number = index.to_be_bytes();
        let mut value = |extension| match extension {
            HeaderExtension::Mid => self.plan.options.mid.clone().unwrap_or_else(|| "7".to_owned()).into(),
            HeaderExtension::TransportCc => Bytes::copy_from_slice(&number[6..]),
            HeaderExtension::AudioLevel | HeaderExtension::VideoOrientation => {
                Bytes::copy_from_slice(&random.next_u32().to_be_bytes()[..1])
            }
            _ => Bytes::copy_from_slice(&random.next_u32().to_be_bytes()[..3]),
        };
        let others = self.plan.extensions.iter().filter(|one| one.extension != HeaderExtension::DependencyDescriptor);
        others.map(|known| (known.extension, value(known.extension))).collect()
    }

    fn header(&self, index: u64, marker: bool, padding: bool, extensions: &[(HeaderExtension, Bytes)]) -> Header {
        let id = |extension| self.plan.extensions.iter().find(|known| known.extension == extension).map_or(1, |e| e.id);
        Header {
            version: 2,
            padding,
            extension: !extensions.is_empty(),
            marker,
            payload_type: self.plan.payload_type(),
            sequence_number: low16(u64::from(self.plan.first_sequence) + index),
            timestamp: self.timestamp,
            ssrc: self.plan.ssrc,
            csrc: self.plan.csrcs.clone(),
            extension_profile: if self.plan.two_byte { EXTENSION_PROFILE_TWO_BYTE } else { EXTENSION_PROFILE_ONE_BYTE },
            extensions: extensions
                .iter()
                .map(|(extension, payload)| Extension { id: id(*extension), payload: payload.clone() })
                .collect(),
            extensions_padding: 0,
        }
    }

    /// Remembers what went out, to send it again when it is asked for.
    pub fn keep(&mut self, packet: &Packet, sealed: Bytes) {
        self.kept.push_back((packet.index, packet.plain.clone(), sealed));
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }

    /// The packet again, byte for byte as it went out.
    #[must_use]
    pub fn again(&self, index: u64) -> Option<Bytes> {
        self.kept(index).map(|(_, _, sealed)| sealed.clone())
    }

    /// The packet in a retransmission (RFC 4588 section 4), in plain text.
    pub fn retransmission(&mut self, index: u64) -> Option<Bytes> {
        let (ssrc, payload_type) = self.plan.rtx?;
        let (_, plain, _) = self.kept(index)?;
        let mut bytes = plain.to_vec();
        let header_len = bytes.len() - self.body_len(plain);
        let original = [bytes[2], bytes[3]];
        bytes[1] = bytes[1] & 0x80 | payload_type;
        bytes[2..4].copy_from_slice(&self.rtx_sequence.to_be_bytes());
        bytes[8..12].copy_from_slice(&ssrc.to_be_bytes());
        bytes.splice(header_len..header_len, original);
        self.rtx_sequence = self.rtx_sequence.wrapping_add(1);
        Some(bytes.into())
    }

    fn kept(&self, index: u64) -> Option<&(u64, Bytes, Bytes)> {
        let first = self.kept.front()?.0;
        self.kept.get(usize::try_from(index.checked_sub(first)?).ok()?)
    }

    /// Payload and padding of one of our packets, in bytes.
    fn body_len(&self, plain: &Bytes) -> usize {
        let fixed = 12 + self.plan.csrcs.len() * 4;
        let extension = if plain[0] & 0x10 == 0 {
            0
        } else {
            4 + 4 * usize::from(u16::from_be_bytes([plain[fixed + 2], plain[fixed + 3]]))
        };
        plain.len() - fixed - extension
    }
}

/// A router leaves the value as it is.
const fn passes_unchanged(extension: HeaderExtension) -> bool {
    matches!(extension, HeaderExtension::AudioLevel | HeaderExtension::VideoOrientation | HeaderExtension::PlayoutDelay)
}

#[cfg(test)]
mod tests {
    use webrtc_util::marshal::Unmarshal;

    use super::*;
    use crate::sim::scenario::Plan;

    fn source(seed: u64) -> (Source, Random) {
        let mut random = Random::new(seed);
        let plan = Plan::plain(&mut random).peers[0].sources[0].clone();
        (Source::new(plan, 0, 9, &mut random), random)
    }

    #[test]
    fn packets_carry_their_stamp_and_can_be_found_again() {
        for seed in 0..50 {
            let (mut source, mut random) = source(seed);
            let packets: Vec<_> = (0..20).flat_map(|_| source.frame(&mut random)).collect();
            for packet in &packets {
                let parsed = rtp::packet::Packet::unmarshal(&mut &packet.plain[..]).expect("well-formed");
                assert_eq!(stamp(&parsed.payload), Some((9, packet.index)));
                assert_eq!(fingerprint(&parsed.payload), source.sent[packet.index as usize].payload);
                assert_eq!(source.index_of(parsed.header.sequence_number), Some(packet.index));
            }
            assert!(source.sent[0].key_start && !source.sent[1].key_start);
        }
    }

    #[test]
    fn a_retransmission_holds_the_original_number() {
        for seed in 0..50 {
            let (mut source, mut random) = source(seed);
            for packet in source.frame(&mut random) {
                source.keep(&packet, packet.plain.clone());
            }
            let Some(again) = source.retransmission(0) else { continue };
            let parsed = rtp::packet::Packet::unmarshal(&mut &again[..]).expect("well-formed");
            assert_eq!(parsed.payload[..2], source.plan.first_sequence.to_be_bytes());
            assert_eq!(fingerprint(&parsed.payload[2..]), source.sent[0].payload);
        }
    }
}
