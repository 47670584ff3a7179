//! Replay and rollover: S12 and S13.

use std::collections::BTreeSet;

use corecast_core::srtp::ReplayWindow;
use corecast_wire::Discard;

use crate::pair::{Pair, assert_once};
use crate::{Call, Random};

#[test]
fn s12_what_was_captured_is_accepted_once() {
    let mut call = Call::new();
    let (from, mut captured) = (call.bench.peers[0].address, call.captured());
    captured.iter().for_each(|packet| call.bench.inject(from, packet));
    Random(12).shuffle(&mut captured);
    captured.iter().for_each(|packet| call.bench.inject(from, packet));
    assert_eq!(call.discarded(Discard::Replayed), 2 * captured.len() as u64);
    call.media_goes_on();
}

/// SRTP of an hour ago, of a stream that has gone on and of one that has not.
#[test]
fn s12_srtp_of_an_hour_ago_is_refused() {
    for goes_on in [false, true] {
        let mut pair = Pair::new(true);
        let mut captured: Vec<_> = (0..400).map(|index| pair.media(index, &[0x10, 0, 1])).collect();
        captured.iter().for_each(|packet| pair.publish(packet));
        assert_eq!(pair.watched().len(), 400);
        pair.an_hour();
        if goes_on {
            for index in 400..3_000 {
                pair.publish(&pair.media(index, &[0x10, 0, 1]));
            }
            assert_eq!(pair.watched().len(), 2_600);
        }
        for _ in 0..2 {
            captured.iter().for_each(|packet| pair.publish(packet));
            Random(13).shuffle(&mut captured);
        }
        assert!(pair.watched().is_empty());
        let why = if goes_on { Discard::TooOld } else { Discard::Replayed };
        assert_eq!(pair.discarded(why), 800, "goes on: {goes_on}");
    }
}

/// What is late by less than history is long (512 packets of video, 64 of sound) arrives, once, in whatever order; all
/// the packets of a window of 1,024 are authenticated, and noted, once.
#[test]
fn s12_what_is_late_and_new_is_accepted_once() {
    for (video, history) in [(true, 512), (false, 64)] {
        let mut pair = Pair::new(video);
        let mut random = Random(14);
        let (mut sent, mut window, mut seen) = (0_u64, ReplayWindow::default(), BTreeSet::new());
        // The first packet begins the consumer's stream; none before it is forwarded.
        pair.publish(&pair.media(0, &[0x10, 0, 1]));
        for _ in 0..8 {
            let mut block: Vec<_> = (sent + 1..=sent + history).collect();
            sent += history;
            random.shuffle(&mut block);
            for _ in 0..3 {
                for index in &block {
                    pair.publish(&pair.media(*index, &[0x10, 0, 1]));
                }
            }
            for (_, sequence, _) in pair.watched() {
                assert_once(&mut window, &mut seen, sequence);
            }
        }
        assert_eq!(seen.len() as u64, 1 + 8 * history, "video: {video}");
        assert_eq!(pair.discarded(Discard::Replayed), 16 * history);

        // A packet far ahead; then those before it, from the newest to the oldest, each twice.
        let (newest, before) = (sent + 2_000, pair.bench.worker.totals().discards);
        pair.publish(&pair.media(newest, &[0x10, 0, 1]));
        for late in 1..1_024 {
            let packet = pair.media(newest - late, &[0x10, 0, 1]);
            pair.publish(&packet);
            pair.publish(&packet);
        }
        assert_eq!(pair.discarded(Discard::Replayed) - before.get(Discard::Replayed), 1_023, "all are noted");
        let late = pair.discarded(Discard::TooOld) - before.get(Discard::TooOld);
        assert_eq!(late, 1_024 - history, "of which history has no place");
        assert_eq!(pair.watched().len() as u64, history);
    }
}

/// SRTCP of both sides again, in order, shuffled and after an hour: no packet is sent again, no key frame asked for.
#[test]
fn s12_srtcp_is_accepted_once() {
    let mut pair = Pair::new(true);
    for index in 0..50 {
        pair.publish(&pair.media(index, &[0x10, 0, 1]));
    }
    assert_eq!(pair.watched().len(), 50);
    let report = [&[0x80, 200, 0, 6, 0, 0, 0, 42][..], &[1; 20]].concat();
    let nack = |sequence: u8| [0x81, 205, 0, 3, 0, 0, 0, 9, 0, 0, 0x10, 0x92, 0, sequence, 0, 0];
    let pli = [0x81, 206, 0, 2, 0, 0, 0, 9, 0, 0, 0x10, 0x92];
    let mut of_publisher: Vec<_> = (0..20).map(|_| pair.publisher.rtcp(&report)).collect();
    let mut of_viewer: Vec<_> = (10..30).map(|at| pair.viewer.peer.rtcp(&nack(at))).collect();
    of_viewer.push(pair.viewer.peer.rtcp(&pli));
    let (publisher, viewer) = (pair.publisher.address, pair.viewer.peer.address);
    let play = |pair: &mut Pair, of_publisher: &[Vec<u8>], of_viewer: &[Vec<u8>]| {
        of_publisher.iter().for_each(|packet| pair.bench.inject(publisher, packet));
        of_viewer.iter().for_each(|packet| pair.bench.inject(viewer, packet));
    };
    play(&mut pair, &of_publisher, &of_viewer);
    assert_eq!(pair.watched().len(), 20, "each NACK was answered");
    let sent = pair.bench.media_to.clone();

    let each = (of_publisher.len() + of_viewer.len()) as u64;
    let mut random = Random(15);
    for round in 1..=3 {
        play(&mut pair, &of_publisher, &of_viewer);
        assert_eq!(pair.discarded(Discard::Replayed), round * each);
        random.shuffle(&mut of_publisher);
        random.shuffle(&mut of_viewer);
    }
    assert_eq!(pair.bench.media_to, sent, "nothing was sent for it");
    pair.an_hour();
    let sent = pair.bench.media_to.clone();
    play(&mut pair, &of_publisher, &of_viewer);
    assert_eq!(pair.discarded(Discard::Replayed), 4 * each);
    assert_eq!(pair.bench.media_to, sent);
    // Indexes that are new and come late are taken, once.
    let mut late: Vec<_> = (0..1_024).map(|_| pair.viewer.peer.rtcp(&pli)).collect();
    random.shuffle(&mut late);
    for _ in 0..2 {
        play(&mut pair, &[], &late);
    }
    assert_eq!(pair.discarded(Discard::Replayed), 4 * each + 1_024);
}

/// Sequence numbers run out again and again, with bursts of loss of up to 2^15 - 2 packets (the next one is then 2^15 -
/// 1 ahead: of half of all numbers nobody can tell which way they lie, RFC 3711 appendix A), and with packets in
/// another order around 65,535. Everything that arrives is opened by the machine and by its viewer: who would guess
/// another rollover counter could not.
#[test]
fn s13_wraps_with_bursts_of_loss_and_reordering_stay_in_step() {
    let mut pair = Pair::new(true);
    let mut random = Random(16);
    let mut newest = random.below(1 << 15) as u64;
    // As a key frame of VP8, since the viewer waits for one.
    let payload = |index: u64| [&[0x10, 0][..], &index.to_be_bytes()].concat();
    pair.publish(&pair.media(newest, &payload(newest)));
    let mut arrived = vec![newest];
    while newest >> 16 < 300 {
        // A burst of loss, then a few packets that are not in order; every other time right at the wrap.
        let to_the_wrap = 65_536 - newest % 65_536;
        newest += if (9..1 << 15).contains(&to_the_wrap) && random.below(2) == 0 {
            to_the_wrap - 1 - random.below(8) as u64
        } else {
            1 + random.below((1 << 15) - 1) as u64
        };
        let mut few: Vec<_> = (newest..newest + 10).collect();
        newest += 9;
        // The first one stays in front: it alone may be so far ahead.
        random.shuffle(&mut few[1..]);
        for index in few {
            pair.publish(&pair.media(index, &payload(index)));
            arrived.push(index);
        }
    }
    let watched: Vec<_> = pair.watched().into_iter().map(|(_, _, payload)| payload).collect();
    let expected: Vec<_> = arrived.iter().map(|index| payload(*index)).collect();
    let discards = pair.bench.worker.totals().discards;
    assert!(watched == expected, "{} of {} arrived in order: {discards:?}", watched.len(), expected.len());
    assert_eq!(discards.total(), 0);
}

/// SRTCP ends at index 2^31 - 1, and a packet with a number that begins again is refused (RFC 3711 section 9.2).
/// For SRTP, and for what the machine sends, counters must be set: `worker/tests.rs` of the core.
#[test]
fn s13_nothing_is_taken_beyond_the_last_index() {
    let mut pair = Pair::new(true);
    let pli = [0x81, 206, 0, 2, 0, 0, 0, 9, 0, 0, 0x10, 0x92];
    let viewer = pair.viewer.peer.address;
    let early = pair.viewer.peer.rtcp(&pli);
    pair.viewer.peer.sealer().skip_to_rtcp_index((1 << 31) - 1);
    let last = pair.viewer.peer.rtcp(&pli);
    pair.bench.inject(viewer, &last);
    assert_eq!(pair.bench.worker.totals().discards.total(), 0);
    pair.bench.inject(viewer, &early);
    assert_eq!(pair.discarded(Discard::TooOld), 1);
    let room = &mut [0; 64];
    room[..pli.len()].copy_from_slice(&pli);
    assert!(pair.viewer.peer.sealer().seal_rtcp(room, pli.len()).is_err());
}
