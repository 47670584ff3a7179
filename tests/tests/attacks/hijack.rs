//! Taking what is another's: S14. Every payload begins with the number of the transport whose it is, so that one that
//! goes astray is seen.

use std::time::Duration;

use corecast_core::stun::Class;
use corecast_tests::bare::{BarePeer, certificate, fingerprint, header, message};
use corecast_tests::webrtc::Bench;
use corecast_wire::{
    Command, CommandError, Discard, DtlsState, DtlsVersions, EncodingMapping, ExtensionMapping, HeaderExtension,
    ProduceOptions, ProducerId, RouterId, TransportId,
};

use crate::Call;
use crate::pair::{MEDIA, Pair, ROOM, RTX, Viewer, announced, consume, produce};

#[test]
fn s14_a_path_is_not_taken_with_anothers_credentials() {
    let mut call = Call::new();
    let (victim, intruder) = (call.bench.peers[0].address, call.bench.peers[1].address);
    let check = message(Class::Request, "transport2", &Bench::ice_of(2).password, false);
    call.bench.inject(victim, &check);
    assert_eq!(call.discarded(Discard::WrongRemote), 1);
    // The publisher's own packets from the watcher's path are under the wrong key, and the SSRC is not the watcher's.
    let captured = call.captured();
    captured.iter().for_each(|packet| call.bench.inject(intruder, packet));
    assert_eq!(call.discarded(Discard::UnknownSsrc), captured.len() as u64);
    call.media_goes_on();
}

/// One whose transport exists and has begun nothing.
fn newcomer(bench: &mut Bench, number: u8) -> BarePeer {
    let certificate = certificate();
    bench.create_transport(ROOM, number);
    bench.connect(number, true, vec![fingerprint(&certificate)]);
    BarePeer::new(bench, number, true, DtlsVersions::V12, certificate)
}

fn connects(bench: &mut Bench, mut peer: BarePeer) {
    peer.check(bench);
    peer.handshake(bench);
    assert_eq!(bench.state_of(peer.number.into()).1, DtlsState::Connected);
}

/// Checks with credentials of their own and a forged source put an address under another transport. Until that one has
/// keys, whose address it is takes it back, however often it is taken; and then it is taken no more.
#[test]
fn s14_an_address_is_not_taken_from_who_has_yet_to_connect() {
    let mut bench = Bench::new(DtlsVersions::V12);
    let (mut honest, intruder) = (newcomer(&mut bench, 1), newcomer(&mut bench, 3));
    let ice = Bench::ice_of(intruder.number);
    let forged = message(Class::Request, &ice.username_fragment, &ice.password, true);
    for _ in 0..3 {
        bench.inject(honest.address, &forged);
        honest.check(&mut bench);
        bench.inject(honest.address, &forged);
    }
    let address = honest.address;
    connects(&mut bench, honest);
    let refused = |bench: &Bench| bench.worker.totals().discards.get(Discard::WrongRemote);
    let before = refused(&bench);
    bench.inject(address, &forged);
    assert_eq!(refused(&bench) - before, 1);
}

/// Who leaves without a word leaves an address behind, which another client may have soon.
#[test]
fn s14_an_address_that_was_left_is_a_newcomers_after_a_while() {
    let mut bench = Bench::new(DtlsVersions::V12);
    let gone = BarePeer::join(&mut bench, ROOM, 1);
    let mut next = newcomer(&mut bench, 2);
    next.address = gone.address;
    next.check(&mut bench);
    assert_eq!(bench.worker.totals().discards.get(Discard::WrongRemote), 1, "it may come back");
    bench.run(Duration::from_secs(11));
    connects(&mut bench, next);
}

/// Numbers of the extensions that name a stream.
const MID: u8 = 1;
const RID: u8 = 2;
const REPAIRED_RID: u8 = 3;

/// Video told apart by MID and RIDs alone, as simulcast of browsers is.
fn named(mid: &str, rids: &[&str]) -> ProduceOptions {
    let encoding = |rid: &&str| EncodingMapping { rid: Some((*rid).to_owned()), ..EncodingMapping::default() };
    let extension = |extension, id| ExtensionMapping { extension, id, mapped_id: id };
    ProduceOptions {
        header_extensions: vec![
            extension(HeaderExtension::Mid, MID),
            extension(HeaderExtension::Rid, RID),
            extension(HeaderExtension::RepairedRid, REPAIRED_RID),
        ],
        mid: Some(mid.to_owned()),
        ..produce(true, rids.iter().map(encoding).collect())
    }
}

/// A key frame (or a retransmission of number `index`) that names what it claims to be.
fn claim(peer: &BarePeer, ssrc: u32, payload_type: u8, index: u64, names: &[(u8, &str)]) -> Vec<u8> {
    let mut elements = Vec::new();
    for (id, name) in names {
        elements.push(id << 4 | u8::try_from(name.len() - 1).expect("short"));
        elements.extend(name.as_bytes());
    }
    elements.resize(elements.len().next_multiple_of(4), 0);
    let words = u16::try_from(elements.len() / 4).expect("short").to_be_bytes();
    let block = [&[0xBE, 0xDE], &words[..], &elements].concat();
    let original = index.to_be_bytes();
    let payload: &[u8] = &[0x10, 0, peer.number, 0, 0, 0];
    let payload = if payload_type == RTX { [&original[6..], payload].concat() } else { payload.to_vec() };
    peer.seal(&header(0x90, ssrc, payload_type, index, &block), index, &payload)
}

/// Everybody whom a viewer has seen, by the numbers in the payloads.
fn seen(viewer: &mut Viewer, bench: &mut Bench) -> Vec<u8> {
    let mut from: Vec<_> = viewer.watch(bench).into_iter().map(|(_, _, payload)| payload[2]).collect();
    from.dedup();
    from
}

/// What the victim is known by: SSRCs, MID, RIDs, repaired RIDs, alone and together.
fn claims(peer: &BarePeer, index: u64) -> Vec<Vec<u8>> {
    let names: [&[(u8, &str)]; 8] = [
        &[],
        &[(MID, "video")],
        &[(RID, "hi")],
        &[(RID, "lo")],
        &[(REPAIRED_RID, "hi")],
        &[(MID, "video"), (RID, "hi")],
        &[(MID, "video"), (REPAIRED_RID, "hi")],
        &[(MID, "theirs"), (RID, "hi")],
    ];
    let ssrcs = [42, 43, 100, 101, 102, 9_999];
    let mut claims = Vec::new();
    for names in names {
        for ssrc in ssrcs {
            for payload_type in [MEDIA, RTX] {
                claims.push(claim(peer, ssrc, payload_type, index, names));
            }
        }
    }
    claims
}

/// 1 publishes 42 and, by names, "video" with "hi" and "lo"; 2 watches both. An intruder with keys, and media of his
/// own that 4 watches, claims all that.
fn hijack(router: RouterId) {
    let mut pair = Pair::new(true);
    if router != ROOM {
        pair.bench.must(&Command::CreateRouter { router });
    }
    pair.produce(1, 2, named("video", &["hi", "lo"]));
    pair.consume(2, 2, 2, consume(5_000, true));
    let intruder = BarePeer::join(&mut pair.bench, router, 3);
    let mut audience = Viewer::new(BarePeer::join(&mut pair.bench, router, 4));
    pair.produce(3, 3, named("theirs", &["own"]));
    pair.consume(4, 3, 3, consume(6_000, true));

    // A name that the intruder's transport does not have names no stream there, not even one of his own.
    for (ssrc, rid) in [(777, "hi"), (778, "own")] {
        for names in [&[(MID, "video")][..], &[(MID, "video"), (RID, rid)]] {
            pair.bench.inject(intruder.address, &claim(&intruder, ssrc, MEDIA, 5, names));
            pair.bench.skip(Duration::ZERO);
        }
    }
    assert_eq!(pair.discarded(Discard::UnknownSsrc), 4);
    assert_eq!(seen(&mut audience, &mut pair.bench), Vec::<u8>::new());
    let mut own = Vec::new();
    for early in [true, false] {
        let index = if early { 10 } else { 20 };
        // First while nothing of the victim's is bound, then when everything is.
        for packet in claims(&intruder, index) {
            pair.bench.inject(intruder.address, &packet);
            pair.bench.skip(Duration::ZERO);
        }
        let misled = seen(&mut pair.viewer, &mut pair.bench);
        assert!(misled.is_empty(), "the intruder's media reached the victim's audience");
        for packet in [
            pair.media(index, &[0x10, 0, 1, 0]),
            claim(&pair.publisher, 100, MEDIA, index, &[(MID, "video"), (RID, "hi")]),
            claim(&pair.publisher, 102, MEDIA, index, &[(MID, "video"), (RID, "lo")]),
            claim(&pair.publisher, 101, RTX, index, &[(MID, "video"), (REPAIRED_RID, "hi")]),
        ] {
            pair.publish(&packet);
        }
        assert_eq!(seen(&mut pair.viewer, &mut pair.bench), [1]);
        own.extend(seen(&mut audience, &mut pair.bench));
    }
    // Without another's MID it was media of his own, under numbers that are his alone.
    own.dedup();
    assert_eq!(own, [3]);
}

#[test]
fn s14_names_of_another_transport_in_the_same_room_are_not_taken() {
    hijack(ROOM);
}

#[test]
fn s14_names_of_another_transport_in_another_room_are_not_taken() {
    hijack(RouterId(2));
}

/// Nor can they be taken by asking for them; on another transport the same names are others.
#[test]
fn s14_an_ssrc_and_a_mid_are_produced_once() {
    let mut pair = Pair::new(true);
    pair.produce(1, 2, named("video", &["hi", "lo"]));
    let ask = |pair: &mut Pair, transport, options| {
        let command = Command::Produce { transport: TransportId(transport), producer: ProducerId(9), options };
        pair.bench.ask(&command)
    };
    for ssrc in [41, 42, 43] {
        let reply = ask(&mut pair, 1, announced(true, ssrc));
        assert!(matches!(reply, Err(CommandError::SsrcTaken(42 | 43))), "{ssrc}: {reply:?}");
    }
    let reply = ask(&mut pair, 1, named("video", &["x"]));
    assert!(matches!(&reply, Err(CommandError::Invalid { field, .. }) if field == "rtpParameters.mid"), "{reply:?}");
    let reply = ask(&mut pair, 1, named("more", &["x", "x"]));
    assert!(matches!(reply, Err(CommandError::Invalid { .. })), "{reply:?}");

    let twin = BarePeer::join(&mut pair.bench, ROOM, 3);
    pair.produce(3, 3, announced(true, 42));
    let mut audience = Viewer::new(BarePeer::join(&mut pair.bench, ROOM, 4));
    pair.consume(4, 3, 3, consume(6_000, true));
    for index in 0..20 {
        pair.publish(&pair.media(index, &[0x10, 0, 1, 0]));
        pair.bench.inject(twin.address, &twin.rtp(42, MEDIA, index, &[0x10, 0, 3, 0]));
        pair.bench.skip(Duration::ZERO);
    }
    assert_eq!(seen(&mut pair.viewer, &mut pair.bench), [1]);
    assert_eq!(seen(&mut audience, &mut pair.bench), [3]);
}

/// An SSRC stays where its first packet put it, whatever MID or RID comes with it later.
#[test]
fn s14_a_bound_ssrc_does_not_move() {
    let mut pair = Pair::new(true);
    pair.produce(1, 2, named("video", &["hi", "lo"]));
    pair.produce(1, 3, named("other", &["hi", "lo"]));
    let mut audience = Viewer::new(BarePeer::join(&mut pair.bench, ROOM, 4));
    pair.consume(4, 3, 3, consume(6_000, true));
    pair.publish(&claim(&pair.publisher, 100, MEDIA, 1, &[(MID, "video"), (RID, "hi")]));
    for (index, names) in (2..).zip([("other", "hi"), ("other", "lo"), ("video", "lo")]) {
        pair.publish(&claim(&pair.publisher, 100, MEDIA, index, &[(MID, names.0), (RID, names.1)]));
        pair.publish(&claim(&pair.publisher, 42, MEDIA, index, &[(MID, names.0), (RID, names.1)]));
    }
    assert!(audience.watch(&mut pair.bench).is_empty(), "an SSRC was moved to another producer");
    // A second SSRC does not take the place of a stream that has one.
    let before = pair.discarded(Discard::UnknownSsrc);
    pair.publish(&claim(&pair.publisher, 555, MEDIA, 9, &[(MID, "video"), (RID, "hi")]));
    assert_eq!(pair.discarded(Discard::UnknownSsrc), before + 1);
    // The other producer's streams are still free.
    pair.publish(&claim(&pair.publisher, 300, MEDIA, 1, &[(MID, "other"), (RID, "hi")]));
    assert_eq!(audience.watch(&mut pair.bench).len(), 1);
}

/// Feedback about another's streams: no key frame is asked for, nothing is sent again, no stream ends.
#[test]
fn s14_feedback_about_anothers_streams_is_refused() {
    let mut pair = Pair::new(true);
    let mut intruder = BarePeer::join(&mut pair.bench, ROOM, 3);
    for index in 0..20 {
        pair.publish(&pair.media(index, &[0x10, 0, 1, 0]));
    }
    assert_eq!(pair.watched().len(), 20);
    let about = |kind: u8, format: u8, ssrc: u32, rest: &[u8]| {
        let words = u16::try_from(2 + rest.len() / 4).expect("short").to_be_bytes();
        [&[0x80 | format, kind], &words[..], &[0, 0, 0, 9], &ssrc.to_be_bytes(), rest].concat()
    };
    let sent = pair.bench.media_to.clone();
    for ssrc in [4_242_u32, 4_243, 42, 43] {
        for compound in [
            about(205, 1, ssrc, &[0, 7, 0xFF, 0xFF]),
            about(206, 1, ssrc, &[]),
            about(206, 4, 0, &[&ssrc.to_be_bytes(), &[1, 0, 0, 0][..]].concat()),
        ] {
            let packet = intruder.rtcp(&compound);
            pair.bench.inject(intruder.address, &packet);
        }
        let bye = intruder.rtcp(&[&[0x81, 203, 0, 1][..], &ssrc.to_be_bytes()].concat());
        pair.bench.inject(intruder.address, &bye);
    }
    assert_eq!(pair.discarded(Discard::UnknownFeedback), 12);
    assert_eq!(pair.bench.media_to, sent, "nothing was sent for it");
    pair.publish(&pair.media(20, &[0x10, 0, 1, 0]));
    assert_eq!(pair.watched().len(), 1);
}
