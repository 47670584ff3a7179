//! F5: bugs that others have had, each as one case with a name, played through the whole receive path of the machine,
//! under valid keys where it stands behind authentication. After each, honest media still arrives.
//!
//! Not applicable, and so not here: SCTP and data channels (CVE-2019-20503, str0m's stream-id walk, libpeer's SCTP
//! before DTLS: there are none), TURN relaying (CVE-2020-26262: none), XML and XMPP (Jitsi), data races and double
//! frees of the kind that safe Rust on one thread cannot have (Janus, mediasoup; the machine forbids unsafe code),
//! QUIC and HTTP/2 (RUSTSEC of quinn and h2: not in the data plane). JSON with duplicate keys, JWT and limits of names
//! and bodies are `control`'s and tested there. Cases that are a whole test of their own already are listed in
//! docs/testing.md.

mod codecs;
mod dtls;
mod rtcp;
mod rtp;

use std::time::Duration;

use corecast_tests::bare::header;
use corecast_wire::{Codec, CodecMapping, Discard, ExtensionMapping, HeaderExtension, ProduceOptions};

use crate::pair::{MEDIA, Pair, RTX, announced, consume};

/// What becomes of a case's packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expect {
    /// Discarded, once, as this, and nothing leaves.
    Refused(Discard),
    /// Taken in, and so many packets of RTP reach the viewer.
    Taken(usize),
    /// Taken in; but it starts no key frame, so the viewer who waits for one gets nothing.
    NoKeyFrame,
}

/// What is sent.
pub(super) enum Packet {
    /// As it is, by the publisher.
    Raw(Vec<u8>),
    /// First byte, SSRC, payload type, rest of the header, payload: sealed by the publisher.
    Rtp(u8, u32, u8, Vec<u8>, Vec<u8>),
    /// Sealed by the viewer.
    Rtcp(Vec<u8>),
}

/// One known bug.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Advisory, issue or changelog that it comes from.
    pub(super) from: &'static str,
    pub(super) packet: Packet,
    pub(super) expect: Expect,
}

pub(super) const fn case(name: &'static str, from: &'static str, packet: Packet, expect: Expect) -> Case {
    Case { name, from, packet, expect }
}

/// A call of which everything is known: 42 (VP8) with its retransmissions on 43, and one producer for each codec.
pub(super) struct Known {
    pair: Pair,
    index: u64,
}

/// SSRC of the producer of a codec.
pub(super) const fn ssrc_of(codec: Codec) -> u32 {
    match codec {
        Codec::Vp8 => 1_000,
        Codec::Vp9 => 1_010,
        Codec::H264 => 1_020,
        Codec::H265 => 1_030,
        Codec::Av1 => 1_040,
        _ => 1_050,
    }
}

/// Number of the dependency descriptor.
pub(super) const DESCRIPTOR: u8 = 5;

fn of_codec(codec: Codec) -> ProduceOptions {
    let is_video = codec != Codec::Other;
    let mut options = announced(is_video, ssrc_of(codec));
    options.codecs = vec![CodecMapping { payload_type: MEDIA, mapped_payload_type: 100, codec, clock_rate_hz: 90_000 }];
    let extension = HeaderExtension::DependencyDescriptor;
    options.header_extensions = vec![ExtensionMapping { extension, id: DESCRIPTOR, mapped_id: DESCRIPTOR }];
    options
}

impl Known {
    pub(super) fn new() -> Self {
        let mut pair = Pair::new(true);
        let codecs = [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::H265, Codec::Av1, Codec::Other];
        for (number, codec) in (10..).zip(codecs) {
            pair.produce(1, number, of_codec(codec));
            pair.consume(2, number, number, consume(6_000 + 10 * number as u32, false));
        }
        let mut known = Self { pair, index: 0 };
        for _ in 0..20 {
            known.honest("before the first case");
        }
        known
    }

    /// A packet of an honest sender arrives.
    fn honest(&mut self, name: &str) {
        self.index += 1;
        self.pair.publish(&self.pair.media(self.index, &[0x10, 0, 0x77]));
        let watched = self.pair.watched();
        assert_eq!(watched.len(), 1, "{name}: honest media does not arrive");
        assert_eq!((watched[0].0, watched[0].2.as_slice()), (4_242, &[0x10, 0, 0x77][..]), "{name}");
    }

    fn play(&mut self, case: &Case) {
        let name = format!("{} ({})", case.name, case.from);
        let before = self.pair.bench.worker.totals().discards;
        self.index += 1;
        match &case.packet {
            Packet::Raw(datagram) => self.pair.publish(datagram),
            Packet::Rtp(first, ssrc, payload_type, rest, payload) => {
                let header = header(*first, *ssrc, *payload_type, self.index, rest);
                let sealed = self.pair.publisher.seal(&header, self.index, payload);
                self.pair.publish(&sealed);
            }
            Packet::Rtcp(compound) => {
                let (sealed, from) = (self.pair.viewer.peer.rtcp(compound), self.pair.viewer.peer.address);
                self.pair.bench.inject(from, &sealed);
                self.pair.bench.skip(Duration::ZERO);
            }
        }
        let after = self.pair.bench.worker.totals().discards;
        let seen = self.pair.watched().len();
        let counted = |why| after.get(why) - before.get(why);
        let found = (after.total() - before.total(), seen);
        match case.expect {
            Expect::Refused(why) => assert_eq!((found, counted(why)), ((1, 0), 1), "{name}: {after:?}"),
            Expect::Taken(watched) => assert_eq!(found, (0, watched), "{name}: {after:?}"),
            Expect::NoKeyFrame => {
                assert_eq!((found, counted(Discard::WaitingForKeyFrame)), ((1, 0), 1), "{name}: {after:?}");
            }
        }
        self.honest(&name);
    }
}

/// Plays them all, and sees that no name comes twice.
pub(super) fn play(cases: &[Case]) {
    let mut known = Known::new();
    let mut names: Vec<_> = cases.iter().map(|case| case.name).collect();
    cases.iter().for_each(|case| known.play(case));
    assert!(names.iter().all(|name| name.starts_with("f5_")));
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "a name comes twice");
}

#[test]
fn f5_has_at_least_60_cases() {
    let tables = [rtp::cases().len(), rtcp::cases().len(), codecs::cases().len(), dtls::CASES];
    assert!(tables.iter().sum::<usize>() >= 60, "{tables:?}");
}

/// Sealed media of 42.
pub(super) fn media(first: u8, rest: &[u8], payload: &[u8]) -> Packet {
    Packet::Rtp(first, 42, MEDIA, rest.to_vec(), payload.to_vec())
}

/// A sealed retransmission of 42.
pub(super) fn rtx(payload: &[u8]) -> Packet {
    Packet::Rtp(0x80, 43, RTX, Vec::new(), payload.to_vec())
}
