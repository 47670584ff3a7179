//! A sender that goes on under another SSRC: MID and RID say whose it is, and a silent one gives way.

use std::time::Duration;

use corecast_core::rtcp::Writer;
use corecast_core::rtp::RtpView;
use corecast_core::srtp::Sealer;
use corecast_wire::{Command, EncodingMapping, ExtensionMapping, HeaderExtension, ProduceOptions, ProducerId};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, packet, path, receiver, remote, srtp, video};

const MID: u8 = 3;
const RID: u8 = 4;
/// Every frame is later by this.
const FRAME: Duration = Duration::from_millis(100);
const FRAME_TICKS: u32 = 9_000;

/// A sender with or without SRTP, and a receiver.
struct Sender {
    bed: Bed,
    sealer: Option<Sealer>,
    /// RTP clock of what is sent.
    timestamp: u32,
}

fn named(mid: Option<&str>, rids: &[Option<&str>], ssrc: Option<u32>) -> ProduceOptions {
    let extension = |extension, id| ExtensionMapping { extension, id, mapped_id: id };
    let encoding =
        |rid: &Option<&str>| EncodingMapping { ssrc, rid: rid.map(Into::into), ..EncodingMapping::default() };
    ProduceOptions {
        header_extensions: vec![extension(HeaderExtension::Mid, MID), extension(HeaderExtension::Rid, RID)],
        encodings: rids.iter().map(encoding).collect(),
        mid: mid.map(Into::into),
        ..video()
    }
}

impl Sender {
    fn new(encrypted: bool, options: ProduceOptions) -> Self {
        let mut bed = Bed::new();
        bed.transport(0, false, encrypted);
        bed.transport(1, false, false);
        bed.produce_as(0, 1, options).expect("new");
        bed.consume_as(1, 1, receiver(21)).expect("new");
        bed.sent();
        let sealer = encrypted.then(|| Sealer::new(&srtp(100)).expect("a lawful key"));
        Self { bed, sealer, timestamp: 1_000 }
    }

    /// A packet as it is on the way.
    fn packet(&self, ssrc: u32, sequence: u16, extensions: &[(u8, &[u8])], payload: &[u8]) -> Vec<u8> {
        let mut plain = packet(ssrc, 96, sequence, extensions, payload);
        plain[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        let Some(sealer) = &self.sealer else { return plain };
        let view = RtpView::parse(&plain).expect("lawful");
        let (header_len, body) = (view.header().len(), view.body().to_vec());
        plain.resize(plain.len() + sealer.rtp_overhead(), 0);
        sealer.seal_rtp(ssrc, sequence.into(), &mut plain, header_len, &body).expect("fits");
        plain
    }

    fn arrive(&mut self, packet: &[u8]) -> Vec<(u16, u32)> {
        self.bed.arrive(path(0), packet);
        let sent = self.bed.sent();
        let media = sent.iter().filter(|(to, bytes)| *to == remote(1) && bytes[1] & 0x7f == 101);
        media
            .map(|(_, bytes)| RtpView::parse(bytes).expect("lawful"))
            .map(|view| (view.sequence(), view.timestamp()))
            .collect()
    }

    /// Some frames, of which the first is a key frame; numbers and timestamps under which they reach the receiver.
    fn frames(&mut self, ssrc: u32, from: u16, count: u16, extensions: &[(u8, &[u8])]) -> Vec<(u16, u32)> {
        let mut got = Vec::new();
        for sequence in from..from + count {
            let payload = if sequence == from { KEY_FRAME } else { DELTA_FRAME };
            let packet = self.packet(ssrc, sequence, extensions, &payload);
            got.extend(self.arrive(&packet));
            self.bed.now = self.bed.now + FRAME;
            self.timestamp = self.timestamp.wrapping_add(FRAME_TICKS);
        }
        got
    }

    fn pause(&mut self, millis: u64) {
        self.bed.now = self.bed.now + Duration::from_millis(millis);
    }
}

#[test]
fn a_new_ssrc_with_the_same_mid_takes_the_place_of_a_silent_one() {
    for encrypted in [true, false] {
        let mid: &[(u8, &[u8])] = &[(MID, b"a")];
        let mut sender = Sender::new(encrypted, named(Some("a"), &[None], None));
        let before = sender.frames(11, 40_000, 5, mid);
        assert_eq!(before.len(), 5);
        sender.pause(500);
        // Another encoder: other numbers, lower ones, and another clock.
        sender.timestamp = 3_000_000_000;
        let after = sender.frames(22, 7, 5, mid);
        let (numbers, _): (Vec<_>, Vec<_>) = before.iter().chain(&after).copied().unzip();
        assert_eq!(numbers, (10..20).collect::<Vec<u16>>(), "without a gap");
        let step = after[0].1.wrapping_sub(before[4].1);
        assert_eq!(step, 6 * FRAME_TICKS, "the receiver's clock goes on: half a second and a frame");
        assert_eq!(after[4].1.wrapping_sub(after[0].1), 4 * FRAME_TICKS);
    }
}

#[test]
fn two_that_send_under_one_mid_do_not_take_turns() {
    let mut sender = Sender::new(false, named(Some("a"), &[None], None));
    sender.frames(11, 1, 1, &[(MID, b"a")]);
    for sequence in 2..30 {
        assert_eq!(sender.frames(11, sequence, 1, &[(MID, b"a")]).len(), 1);
        assert_eq!(sender.frames(22, sequence, 1, &[(MID, b"a")]), []);
    }
}

#[test]
fn who_says_goodbye_gives_way_at_once() {
    let mut sender = Sender::new(false, named(Some("a"), &[None], None));
    sender.frames(11, 1, 3, &[(MID, b"a")]);
    let mut bytes = [0; 16];
    let mut writer = Writer::new(&mut bytes);
    writer.push_bye([11]);
    let len = writer.len();
    sender.bed.arrive(path(0), &bytes[..len]);
    assert_eq!(sender.frames(22, 1, 3, &[(MID, b"a")]).len(), 3);
}

#[test]
fn a_replaced_ssrc_does_not_come_back_under_srtp() {
    let mid: &[(u8, &[u8])] = &[(MID, b"a")];
    let mut sender = Sender::new(true, named(Some("a"), &[None], None));
    let recorded: Vec<_> = (1..4).map(|sequence| sender.packet(11, sequence, mid, &KEY_FRAME)).collect();
    assert_eq!(recorded.iter().flat_map(|packet| sender.arrive(packet)).count(), 3);
    sender.pause(600);
    assert_eq!(sender.frames(22, 1, 3, mid).len(), 3);
    sender.pause(60_000);
    assert_eq!(recorded.iter().flat_map(|packet| sender.arrive(packet)).count(), 0, "replayed");
    assert_eq!(sender.bed.discarded(), [("unknown_ssrc", 3)]);
    assert_eq!(sender.frames(22, 4, 3, mid).len(), 3);
}

#[test]
fn what_is_not_authentic_replaces_nothing() {
    let mid: &[(u8, &[u8])] = &[(MID, b"a")];
    let mut sender = Sender::new(true, named(Some("a"), &[None], None));
    sender.frames(11, 1, 3, mid);
    sender.pause(600);
    let mut forged = sender.packet(22, 9, mid, &KEY_FRAME);
    *forged.last_mut().expect("not empty") ^= 1;
    assert_eq!(sender.arrive(&forged), []);
    assert_eq!(sender.bed.discarded(), [("authentication_failed", 1)]);
    assert_eq!(sender.frames(11, 4, 3, mid).len(), 3, "the other goes on");
}

#[test]
fn an_announced_ssrc_that_never_comes_gives_way_to_who_names_the_stream() {
    let mut sender = Sender::new(true, named(Some("a"), &[None], Some(333)));
    assert_eq!(sender.frames(44, 1, 3, &[]), [], "names nothing");
    assert_eq!(sender.frames(44, 4, 3, &[(MID, b"a")]).len(), 3);
}

#[test]
fn the_rid_says_which_encoding_goes_on() {
    let mut sender = Sender::new(false, named(Some("a"), &[Some("q"), Some("f")], None));
    let rid = |rid: &'static [u8]| [(MID, &b"a"[..]), (RID, rid)];
    assert_eq!(sender.frames(11, 1, 2, &rid(b"q")).len(), 2);
    sender.pause(600);
    assert_eq!(sender.frames(22, 1, 2, &rid(b"q")).len(), 2, "of the same encoding");
    assert_eq!(sender.frames(33, 1, 2, &rid(b"f")), [], "of the other one, which is not watched yet");
    assert_eq!(sender.bed.discarded(), []);
}

#[test]
fn a_restarted_ffmpeg_on_a_plain_transport_is_taken_again() {
    let mut sender = Sender::new(false, named(None, &[None], None));
    assert_eq!(sender.frames(11, 500, 5, &[]).len(), 5);
    sender.pause(1_000);
    assert_eq!(sender.frames(22, 60_000, 5, &[]), [], "the first may still come back");
    sender.pause(1_000);
    assert_eq!(sender.frames(22, 60_005, 5, &[]).len(), 5);
    for restart in 0..200 {
        sender.pause(2_000);
        assert_eq!(sender.frames(1_000 + restart, 1, 2, &[]).len(), 2, "as often as it likes");
    }
}

#[test]
fn where_two_are_silent_a_payload_type_tells_nothing() {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.transport(1, false, false);
    for producer in [1, 2] {
        bed.produce_as(0, producer, named(None, &[None], None)).expect("new");
        bed.consume_as(1, producer, receiver(20 + producer as u32)).expect("new");
    }
    let mut forwarded = |ssrc, sequence, seconds| {
        bed.arrive(path(0), &packet(ssrc, 96, sequence, &[], &KEY_FRAME));
        bed.now = bed.now + Duration::from_secs(seconds);
        bed.sent().iter().filter(|(to, bytes)| *to == remote(1) && bytes[1] & 0x7f == 101).count()
    };
    assert_eq!([forwarded(11, 1, 2), forwarded(22, 1, 1)], [1, 1]);
    assert_eq!(forwarded(33, 1, 1), 1, "one is silent");
    assert_eq!([forwarded(22, 2, 1), forwarded(33, 2, 3)], [1, 1]);
    assert_eq!(forwarded(55, 1, 0), 0, "both are");
}

/// What still comes of a producer that was closed is nobody else's, however silent the others are.
#[test]
fn packets_of_a_closed_producer_do_not_take_anothers_place() {
    let mut sender = Sender::new(false, named(None, &[None], None));
    let other = ProduceOptions { encodings: vec![EncodingMapping::announced(7_000)], ..named(None, &[None], None) };
    sender.bed.produce_as(0, 2, other).expect("new");
    assert_eq!(sender.frames(500, 1, 3, &[]).len(), 3);
    assert_eq!(sender.frames(7_000, 1, 3, &[]), []);
    sender.bed.command(&Command::CloseProducer { producer: ProducerId(2) }).expect("a producer");
    sender.pause(10_000);
    assert_eq!(sender.frames(7_000, 4, 3, &[]), []);
    assert_eq!(sender.frames(500, 4, 3, &[]).len(), 3, "its own place");
    sender.pause(10_000);
    assert_eq!(sender.frames(8_000, 1, 3, &[]).len(), 3, "a sender that began again");
}
