//! S7: thousands who begin a handshake and do not end it, each with credentials that ICE has accepted. How many may at
//! a time, what each costs in memory, and that all of it is given back. The same of sessions that nobody connects. The
//! memory of the whole process is measured, and so one test runs at a time.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use corecast_core::limits::{MAX_HANDSHAKES, MAX_HANDSHAKES_PER_ADDRESS};
use corecast_core::stun::Class;
use corecast_tests::association::associate;
use corecast_tests::bare::{BarePeer, certificate, message};
use corecast_tests::webrtc::Bench;
use corecast_wire::{
    Codec, CodecMapping, Command, Discard, DtlsParameters, DtlsRole, DtlsState, DtlsVersions, EncodingMapping, Event,
    ExtensionMapping, Fingerprint, FingerprintAlgorithm, HeaderExtension, IceParameters, Maxima, MediaKind,
    OutgoingBitrates, ProduceOptions, ProducerId, RouterId, SctpOptions, TransportId, WebRtcTransportOptions,
};
use str0m::config::DtlsVersion;

/// Those who do not mean well. Honest ones have small numbers.
const FIRST: u16 = 1_000;
const COUNT: u16 = 2_000;
/// Sessions that are not connected.
const SESSIONS: u16 = 500;
/// What is allocated is counted for the whole process, so one test at a time.
static ALONE: Mutex<()> = Mutex::new(());
/// Most that one of them may take up.
const MAX_BYTES: usize = 64 * 1_024;
/// Most that a transport keeps of a handshake that has failed.
const MAX_FAILED_BYTES: usize = 256;

/// What is allocated, by Rust and by C.
fn allocated() -> usize {
    // SAFETY: only reads the allocator's counters.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

/// As many of one address as it may have handshakes; then the next address.
fn address_of(number: u16) -> SocketAddr {
    let at = (number - FIRST) / MAX_HANDSHAKES_PER_ADDRESS as u16;
    let [high, low] = at.to_be_bytes();
    SocketAddr::from(([10, 9, high, low], 1 + number))
}

fn ice_of(number: u16) -> IceParameters {
    IceParameters { username_fragment: format!("half{number}"), password: "0123456789abcdefghijklmn".to_owned() }
}

/// Transports with a valid path each.
fn crowd(bench: &mut Bench) {
    for number in FIRST..FIRST + COUNT {
        let transport = TransportId(number.into());
        let options = WebRtcTransportOptions {
            ice: ice_of(number),
            rtcp_ssrc: 1,
            max_incoming_bitrate_bps: 0,
            outgoing: OutgoingBitrates::default(),
            consent_timeout_ms: None,
            sctp: None,
        };
        bench.must(&Command::CreateWebRtcTransport { router: RouterId(1), transport, options });
    }
    check(bench);
}

fn check(bench: &mut Bench) {
    for number in FIRST..FIRST + COUNT {
        let ice = ice_of(number);
        let check = message(Class::Request, &ice.username_fragment, &ice.password, true);
        bench.inject(address_of(number), &check);
    }
    tidy(bench);
}

/// Tells all of them whom to expect.
fn connect(bench: &mut Bench, role: DtlsRole) {
    let fingerprint = Fingerprint { algorithm: FingerprintAlgorithm::Sha256, value: vec![1; 32] };
    for number in FIRST..FIRST + COUNT {
        let dtls = DtlsParameters { role, fingerprints: vec![fingerprint.clone()] };
        bench.must(&Command::ConnectWebRtcTransport { transport: TransportId(number.into()), dtls });
    }
    tidy(bench);
}

/// What the bench has kept is not the machine's.
fn tidy(bench: &mut Bench) {
    bench.astray = Vec::new();
    bench.events = Vec::new();
}

fn refused(bench: &Bench) -> u64 {
    bench.worker.totals().discards.get(Discard::TooManyHandshakes)
}

fn record(kind: u8, epoch: u8, sequence: u16, body: &[u8]) -> Vec<u8> {
    let [s0, s1] = sequence.to_be_bytes();
    let [l0, l1] = (body.len() as u16).to_be_bytes();
    [&[kind, 0xFE, 0xFD, 0, epoch, 0, 0, 0, 0, s0, s1, l0, l1], body].concat()
}

/// A fragment of a message of 60,000 bytes.
fn fragment(message: u8, at: u16, body: &[u8]) -> Vec<u8> {
    let ([a0, a1], [l0, l1], [f0, f1]) =
        (at.to_be_bytes(), 60_000_u16.to_be_bytes(), (body.len() as u16).to_be_bytes());
    [&[11, 0, l0, l1, 0, message, 0, a0, a1, 0, f0, f1], body].concat()
}

/// What is kept until something else has come, if it is kept: records of the next epoch, fragments of no byte and of
/// one (CVE-2022-29190, -29189), messages ahead; as small and as large, and as many in one datagram, as can be.
/// Those of one kind follow one another, and then come all kinds in turn.
fn flood() -> Vec<Vec<u8>> {
    let mut number = 0;
    let mut handshake = |body: &[u8]| {
        number += 1;
        record(22, 0, number, body)
    };
    let (mut kinds, mut at) = (vec![Vec::new(); 13], 0);
    for round in 0..40 {
        let message = 1 + round as u8 % 15;
        let many: Vec<_> = (0..100).flat_map(|step| fragment(message, 100 + at + step, &[1])).collect();
        let some: Vec<_> = (0..8).flat_map(|step| fragment(message, 20_000 + at + step, &[1])).collect();
        let datagrams = [
            record(23, 1, at, &[7; 1_400]),
            record(22, 1, 10_000 + at, &[7; 1_400]),
            record(23, 1, 20_000 + at, &[7; 60_000]),
            record(20, 0, 30_000 + at, &[1]),
            handshake(&[]),
            handshake(&fragment(message, at, &[])),
            handshake(&fragment(message, at, &[1])),
            handshake(&fragment(message, at, &[1; 1_400])),
            handshake(&fragment(message, at, &[1; 50_000])),
            handshake(&many),
            (0..8).flat_map(|step| handshake(&fragment(message, 10_000 + 8 * at + step, &[1]))).collect(),
            (0..8).flat_map(|_| handshake(&some)).collect(),
            handshake(&fragment(message, 30_000 + at, &[1; 170]).repeat(8)),
        ];
        for (kind, datagram) in kinds.iter_mut().zip(datagrams) {
            kind.push(datagram);
        }
        at += 16;
    }
    let in_turn: Vec<_> = (0..40).flat_map(|round| kinds.iter().map(move |kind| kind[round].clone())).collect();
    kinds.into_iter().flatten().chain(in_turn).collect()
}

/// An honest client of this number connects within `within`, among all those.
fn joins(bench: &mut Bench, number: u8, theirs: DtlsVersion, within: Duration) {
    bench.join(number, true, theirs);
    bench.run(within);
    let (_, state, cause) = bench.state_of(number.into());
    assert_eq!(state, DtlsState::Connected, "an honest one does not come in: {cause}");
}

/// Each begins with a whole hello, or with the beginning of one.
fn half_open(versions: DtlsVersions, theirs: DtlsVersion, whole: bool) {
    let mut bench = Bench::new(versions);
    let own = certificate();
    let mut hello = BarePeer::new(&bench, 1, true, versions, own.clone()).speak(&bench).remove(0);
    if !whole {
        let begun = [&hello[13..22], &[0, 0, 50], &hello[25..75]].concat();
        hello = record(22, 0, 0, &begun);
    }
    let flood = flood();
    crowd(&mut bench);
    connect(&mut bench, DtlsRole::Client);
    let before = allocated();

    // From one address no more than its share, though there is room.
    let second = SocketAddr::new(address_of(FIRST).ip(), 60_000);
    for number in FIRST..FIRST + MAX_HANDSHAKES_PER_ADDRESS as u16 {
        bench.inject(address_of(number), &hello);
    }
    let one_more = ice_of(FIRST + COUNT - 1);
    bench.inject(second, &message(Class::Request, &one_more.username_fragment, &one_more.password, true));
    bench.inject(second, &hello);
    assert_eq!(refused(&bench), 1, "of one address");
    joins(&mut bench, 1, theirs, Duration::from_secs(1));

    // From all of them no more than there is room for: they take each other's places.
    for number in FIRST..FIRST + COUNT {
        bench.inject(address_of(number), &hello);
    }
    assert_eq!(refused(&bench), 1, "of all addresses");
    let costs = Costs::of(&mut bench, before, &flood);
    println!("server, {versions:?}, whole hello: {whole}: {costs:?} bytes for a handshake");
    costs.assert_bounded();

    // One who comes meanwhile does not wait until their time has run out.
    joins(&mut bench, 2, theirs, Duration::from_secs(1));
    bench.run(Duration::from_secs(11));
    joins(&mut bench, 3, theirs, Duration::from_secs(1));
    for _ in 0..15 {
        check(&mut bench);
        bench.run(Duration::from_secs(1));
    }
    tidy(&mut bench);
    // What str0m has kept is not the machine's either.
    bench.peers.clear();
    let left = allocated().saturating_sub(before);
    println!("{versions:?}: {left} bytes are left, with three who are connected");
    assert!(left < usize::from(COUNT) * MAX_FAILED_BYTES, "{left} bytes are left of {MAX_HANDSHAKES} handshakes");
    // All of them have had their time.
    let unexpected = |bench: &Bench| bench.worker.totals().discards.get(Discard::UnexpectedDtls);
    let so_far = unexpected(&bench);
    for number in FIRST..FIRST + COUNT {
        bench.inject(address_of(number), &hello);
    }
    assert_eq!((refused(&bench), unexpected(&bench) - so_far), (1, COUNT.into()));
    for number in FIRST..FIRST + COUNT {
        bench.must(&Command::CloseTransport { transport: TransportId(number.into()) });
    }
    tidy(&mut bench);
    let left = allocated().saturating_sub(before);
    assert!(left <= MAX_BYTES, "{left} bytes are left when all have been closed");
}

/// Bytes for one handshake of the first ones.
#[derive(Debug)]
struct Costs {
    half_open: usize,
    flooded: usize,
}

impl Costs {
    fn of(bench: &mut Bench, before: usize, flood: &[Vec<u8>]) -> Self {
        let each = |bench: &mut Bench| {
            tidy(bench);
            allocated().saturating_sub(before) / MAX_HANDSHAKES
        };
        let (half_open, mut flooded) = (each(bench), 0);
        for datagram in flood {
            for number in FIRST..FIRST + COUNT {
                bench.inject(address_of(number), datagram);
            }
            flooded = flooded.max(each(bench));
        }
        Self { half_open, flooded }
    }

    fn assert_bounded(&self) {
        assert!(self.half_open > 2_000, "{self:?}: no handshakes have begun");
        assert!(self.half_open.max(self.flooded) <= MAX_BYTES, "{self:?} bytes for a handshake");
    }
}

/// The same if the machine begins, to peers that do not answer.
fn half_open_as_client(versions: DtlsVersions, theirs: DtlsVersion) {
    let mut bench = Bench::new(versions);
    let flood = flood();
    crowd(&mut bench);
    // A hello of 1.3 waits until several have come.
    (0..4).for_each(|_| check(&mut bench));
    let unconnected = allocated();
    connect(&mut bench, DtlsRole::Server);
    // Those for whom there is no room wait, with an association that has not begun.
    let idle = allocated().saturating_sub(unconnected) / usize::from(COUNT);
    let costs = Costs::of(&mut bench, unconnected + idle * (usize::from(COUNT) - MAX_HANDSHAKES), &flood);
    println!("client, {versions:?}: {costs:?} bytes for a handshake");
    assert!(costs.flooded <= MAX_BYTES, "{costs:?} bytes for a handshake");
    joins(&mut bench, 1, theirs, Duration::from_secs(1));
    bench.run(Duration::from_secs(11));
    let failed = |event: &Event| matches!(event, Event::DtlsStateChanged { state: DtlsState::Failed, .. });
    // The flood may have ended those that were under way.
    let over = bench.events.iter().filter(|event| failed(event)).count();
    assert!((usize::from(COUNT) - MAX_HANDSHAKES..=usize::from(COUNT)).contains(&over), "{over} have failed");
}

/// A session as a hostile client may ask for it: all sections, with all encodings, many codecs and extensions each.
fn session(bench: &mut Bench, number: u16) {
    let transport = TransportId(number.into());
    let options = WebRtcTransportOptions {
        ice: ice_of(number),
        rtcp_ssrc: 1,
        max_incoming_bitrate_bps: 0,
        outgoing: OutgoingBitrates::default(),
        consent_timeout_ms: None,
        sctp: None,
    };
    bench.must(&Command::CreateWebRtcTransport { router: RouterId(1), transport, options });
    let fingerprint = Fingerprint { algorithm: FingerprintAlgorithm::Sha256, value: vec![1; 32] };
    let dtls = DtlsParameters { role: DtlsRole::Client, fingerprints: vec![fingerprint] };
    bench.must(&Command::ConnectWebRtcTransport { transport, dtls });
    let codec = |payload_type| CodecMapping {
        payload_type,
        mapped_payload_type: payload_type,
        codec: if payload_type % 2 == 0 { Codec::H264 } else { Codec::Rtx { apt: payload_type - 1 } },
        clock_rate_hz: 90_000,
    };
    let kinds =
        [HeaderExtension::Mid, HeaderExtension::Rid, HeaderExtension::RepairedRid, HeaderExtension::TransportCc];
    for section in 0..Maxima::DEFAULT.producers_per_transport as u64 {
        let encoding = |rid: &str| EncodingMapping { rid: Some(rid.to_owned()), ..EncodingMapping::default() };
        let encodings = ["q", "h", "f", "g"].map(encoding).to_vec();
        let mut options = ProduceOptions::new(MediaKind::Video, (96..116).map(codec).collect(), encodings);
        options.header_extensions = kinds
            .into_iter()
            .zip(1..)
            .map(|(extension, id)| ExtensionMapping { extension, id, mapped_id: id })
            .collect();
        options.mid = Some(section.to_string());
        let producer = ProducerId(u64::from(number) * 100 + section);
        bench.must(&Command::Produce { transport, producer, options });
    }
}

/// One session of 64 streams took 0.81 MB before any packet, and kept it.
#[test]
fn sessions_that_nobody_connects_take_little_memory_and_leave_none() {
    let _alone = ALONE.lock().expect("no test has failed");
    let mut bench = Bench::new(DtlsVersions::Both);
    session(&mut bench, FIRST - 1);
    tidy(&mut bench);
    let before = allocated();
    (FIRST..FIRST + SESSIONS).for_each(|number| session(&mut bench, number));
    tidy(&mut bench);
    let each = allocated().saturating_sub(before) / usize::from(SESSIONS);
    for number in FIRST..FIRST + SESSIONS {
        bench.must(&Command::CloseTransport { transport: TransportId(number.into()) });
    }
    tidy(&mut bench);
    let left = allocated().saturating_sub(before) / usize::from(SESSIONS);
    println!("{each} bytes for an unconnected session of 64 streams, {left} when it has ended");
    assert!(each <= MAX_BYTES, "{each} bytes for a session");
    assert!(left <= MAX_BYTES / 16, "{left} bytes for a session that has ended");
}

/// What a transport's data channels take up while nothing is said on them.
#[test]
fn an_idle_association_takes_little_memory() {
    const PEERS: u8 = 60;
    const MAX_IDLE_BYTES: usize = 8 * 1_024;
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut bench = Bench::new(DtlsVersions::V12);
    bench.sctp = Some(SctpOptions::new(5_000, 0));
    let mut peers: Vec<_> = (1..=PEERS).map(|number| BarePeer::join(&mut bench, RouterId(1), number)).collect();
    // Whatever is made once in a process is made now.
    let _ = associate(&mut bench, &mut peers[0]);
    peers.iter_mut().for_each(BarePeer::forget_what_was_sent);
    tidy(&mut bench);
    let before = allocated();
    for peer in &mut peers[1..] {
        let _ = associate(&mut bench, peer);
    }
    peers.iter_mut().for_each(BarePeer::forget_what_was_sent);
    tidy(&mut bench);
    let each = allocated().saturating_sub(before) / usize::from(PEERS - 1);
    println!("{each} bytes for an idle association");
    assert!(each <= MAX_IDLE_BYTES, "{each} bytes for an idle association");
    assert!(each > 1_000, "{each} bytes: something else was measured");
}

#[test]
fn s7_half_open_handshakes_are_bounded_and_freed() {
    let _alone = ALONE.lock().expect("no test has failed");
    // Whatever is made once in a process is made now.
    crowd(&mut Bench::new(DtlsVersions::V12));
    half_open(DtlsVersions::V12, DtlsVersion::Dtls12, true);
    half_open(DtlsVersions::V13, DtlsVersion::Dtls13, true);
    half_open(DtlsVersions::V12, DtlsVersion::Dtls12, false);
    half_open(DtlsVersions::Both, DtlsVersion::Auto, false);
    half_open_as_client(DtlsVersions::V12, DtlsVersion::Dtls12);
    half_open_as_client(DtlsVersions::V13, DtlsVersion::Dtls13);
    half_open_as_client(DtlsVersions::Both, DtlsVersion::Auto);
}

/// A dozen addresses, and as many hosts with addresses of their own in one /64 each, fill all places: an honest client
/// connects with its first flights. It took 3.6 s, until others' time had run out.
#[test]
fn s7_who_holds_no_place_gets_one_at_once() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for is_ipv6 in [false, true] {
        let mut bench = Bench::new(DtlsVersions::V12);
        let hello = BarePeer::new(&bench, 1, true, DtlsVersions::V12, certificate()).speak(&bench).remove(0);
        crowd(&mut bench);
        connect(&mut bench, DtlsRole::Client);
        let from = |number: u16| {
            let ([_, host], port) = ((number % 12).to_be_bytes(), number);
            match is_ipv6 {
                false => SocketAddr::from(([10, 1, 1, host], port)),
                true => SocketAddr::from(([0x2001, 0xDB8, 0, host.into(), 0, 0, 1, number], port)),
            }
        };
        for _ in 0..3 {
            for number in FIRST..FIRST + 2 * MAX_HANDSHAKES as u16 {
                let ice = ice_of(number);
                bench.inject(from(number), &message(Class::Request, &ice.username_fragment, &ice.password, true));
                bench.inject(from(number), &hello);
            }
            tidy(&mut bench);
        }
        // It is connected when its flights have been carried, and no time has passed.
        let honest = BarePeer::join(&mut bench, RouterId(1), 1);
        assert!(honest.keys.is_some() && bench.now == Duration::ZERO);
    }
}
