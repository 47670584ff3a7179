//! Round trips by extended reports (RFC 3611), and sources that leave.

use std::time::Duration;

use corecast_core::rtcp::{self, DlrrBlock, Packet, Writer, XrBlock};
use corecast_wire::{Command, EncodingMapping, ObjectStats, Reply};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, packet, path, remote, rtp, video};

fn bed() -> Bed {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.transport(1, false, false);
    bed.produce(0);
    bed.consume(1, 21).expect("first");
    bed.arrive(path(0), &rtp(1, &KEY_FRAME));
    bed.sent();
    bed
}

fn arrive(bed: &mut Bed, from: u32, write: impl FnOnce(&mut Writer<'_>)) {
    let mut bytes = [0; 256];
    let mut writer = Writer::new(&mut bytes);
    write(&mut writer);
    let len = writer.len();
    bed.arrive(path(from), &bytes[..len]);
}

/// Lets two seconds pass; what goes to each of the two, a name for every packet, and the bytes.
fn wait(bed: &mut Bed) -> [Vec<Vec<u8>>; 2] {
    let mut sent = [Vec::new(), Vec::new()];
    let until = bed.now + Duration::from_secs(2);
    while let Some(at) = bed.worker.next_timeout().filter(|at| *at <= until) {
        bed.now = at.max(bed.now);
        bed.worker.handle_timeout(bed.now, &mut bed.outbox);
        for (to, bytes) in bed.sent() {
            sent[usize::from(to == remote(1))].push(bytes);
        }
    }
    bed.now = until;
    sent
}

fn blocks(sent: &[Vec<u8>]) -> Vec<XrBlock<'_>> {
    let packets = sent.iter().flat_map(|bytes| rtcp::parse(bytes).expect("lawful"));
    packets.flat_map(|packet| if let Packet::Xr(xr) = packet { xr.blocks().collect() } else { vec![] }).collect()
}

fn has_receiver_report(sent: &[Vec<u8>]) -> bool {
    let mut packets = sent.iter().flat_map(|bytes| rtcp::parse(bytes).expect("lawful"));
    packets.any(|packet| matches!(packet, Packet::ReceiverReport { .. }))
}

fn round_trips_us(bed: &mut Bed) -> Vec<Option<u32>> {
    let Ok(Reply::Stats(page)) = bed.command(&Command::Stats { from: None }) else { panic!("another reply") };
    let streams = page.objects.into_iter().filter_map(|object| match object {
        ObjectStats::Producer(producer) => Some(producer.streams),
        _ => None,
    });
    streams.flatten().map(|stream| stream.round_trip_us).collect()
}

fn round_trip_us(bed: &mut Bed) -> Option<u32> {
    round_trips_us(bed).first().copied().flatten()
}

/// The middle of our last reference time, after two seconds.
fn last_reference_time(bed: &mut Bed) -> u32 {
    let [sent, _] = wait(bed);
    let times: Vec<_> = blocks(&sent)
        .iter()
        .filter_map(|block| if let XrBlock::ReceiverReferenceTime { ntp } = block { Some(*ntp) } else { None })
        .collect();
    (times.last().expect("a reference time with every receiver report") >> 16) as u32
}

#[test]
fn a_receivers_reference_time_is_answered_once_with_how_long_it_lay_here() {
    let mut bed = bed();
    arrive(&mut bed, 1, |writer| {
        writer.push_receiver_report(9, []);
        writer.push_rrtr(9, 0x1111_2222_3333_4444);
    });
    let at = bed.now;
    let [_, sent] = wait(&mut bed);
    let answers: Vec<_> = blocks(&sent)
        .into_iter()
        .filter_map(|block| if let XrBlock::Dlrr(answers) = block { Some(answers.collect::<Vec<_>>()) } else { None })
        .collect();
    let [answers] = answers.as_slice() else { panic!("{answers:?}") };
    let [DlrrBlock { ssrc: 9, last_rr: 0x2222_3333, delay_since_last_rr }] = answers.as_slice() else {
        panic!("{answers:?}")
    };
    let most = bed.now.since(at).as_nanos() * 65_536 / 1_000_000_000;
    assert!(*delay_since_last_rr > 0 && u128::from(*delay_since_last_rr) <= most);
}

#[test]
fn a_senders_answer_tells_the_round_trip() {
    let mut bed = bed();
    assert_eq!(round_trip_us(&mut bed), None);
    let sent_at = last_reference_time(&mut bed);
    // Up to two seconds ago; it says that it waited for all but 100 ms of the time since.
    let now = (u64::from(sent_at) + 2 * 65_536) as u32;
    let answer = |ssrc, delay| DlrrBlock { ssrc, last_rr: sent_at, delay_since_last_rr: delay };
    arrive(&mut bed, 0, |writer| {
        writer.push_dlrr(1_111, [answer(8, 0)]);
    });
    assert_eq!(round_trip_us(&mut bed), None, "an answer to somebody else");
    let elapsed = now.wrapping_sub(sent_at);
    arrive(&mut bed, 0, |writer| {
        writer.push_dlrr(1_111, [answer(7, 0), answer(7, elapsed * 2)]);
    });
    let round_trip = round_trip_us(&mut bed).expect("answered");
    assert!((500_000..2_100_000).contains(&round_trip), "{round_trip}: what is impossible does not count");
}

/// str0m answers once, under whichever of its SSRCs comes first; the others' streams would be asked for what they miss
/// as if their sender were 100 ms away. Found by the simulation.
#[test]
fn a_senders_answer_counts_for_all_that_it_sends() {
    let mut bed = bed();
    let mut other = video();
    other.encodings[0] = EncodingMapping::announced(2_221);
    other.codecs.truncate(1);
    bed.produce_as(0, 2, other).expect("a second one");
    bed.arrive(path(0), &packet(2_221, 96, 1, &[], &KEY_FRAME));
    let sent_at = last_reference_time(&mut bed);
    arrive(&mut bed, 0, |writer| {
        writer.push_dlrr(1_111, [DlrrBlock { ssrc: 7, last_rr: sent_at, delay_since_last_rr: 0 }]);
    });
    let round_trips = round_trips_us(&mut bed);
    assert!(round_trips.len() == 2 && round_trips[0].is_some() && round_trips[0] == round_trips[1], "{round_trips:?}");
}

#[test]
fn who_has_left_is_not_reported_on_until_it_comes_back() {
    let mut bed = bed();
    bed.arrive(path(0), &rtp(3, &DELTA_FRAME));
    bed.sent();
    arrive(&mut bed, 0, |writer| {
        writer.push_bye([1_111, 5]);
    });
    let [sent, _] = wait(&mut bed);
    assert_eq!(sent, Vec::<Vec<u8>>::new(), "no report, and no NACK for packet 2");
    bed.arrive(path(0), &rtp(4, &DELTA_FRAME));
    bed.sent();
    let [sent, _] = wait(&mut bed);
    assert!(has_receiver_report(&sent));
}

#[test]
fn what_a_receiver_estimates_is_taken_without_harm() {
    let mut bed = bed();
    for number in 0..1_000 {
        arrive(&mut bed, 1, |writer| {
            writer.push_remb(1, u64::MAX >> (number % 64), [21]);
        });
        // Ten chunks that tell of 65,535 packets which have not come.
        let mut feedback = vec![0x8f, 205, 0, 9, 0, 0, 0, 1, 0, 0, 0, 21, 0, 0, 0xff, 0xff, 0, 0, 0, number as u8];
        feedback.extend([0x1f, 0xff].repeat(10));
        bed.arrive(path(1), &feedback);
    }
    assert_eq!(bed.sent(), vec![]);
    let counted: u64 = bed.discarded().iter().map(|(_, packets)| packets).sum();
    assert!(counted > 1_900, "what comes too often, or is about nothing, is passed over: {:?}", bed.discarded());
}
