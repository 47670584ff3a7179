//! A consumer: one producer's media sent out on a transport, under its own SSRC and sequence numbers.
//!
//! `out = in - offset`. The offset changes only for packets that were withheld on purpose; a loss upstream stays a
//! visible gap, so that the receiver asks for it, and a late packet lands in its own place. Every change of the offset
//! begins a new [`Run`]; the runs together say which packet left under which number, without a note per packet.

use std::ops::Range;
use std::time::Duration;

use corecast_wire::{ConsumeOptions, ConsumerId, Discard, Discards, PayloadTypeMapping};

use crate::extensions::ExtensionPlan;
use crate::history::PacketMeta;
use crate::limits::{MAX_CONSUMER_PAYLOAD_TYPES, MAX_RETRANSMITS, RETRANSMIT_MEMORY};
use crate::time::Instant;

/// Round trip assumed until a receiver report tells.
const DEFAULT_ROUND_TRIP: Duration = Duration::from_millis(40);
/// Older runs that are remembered: packets of those before them cannot be retransmitted.
const MAX_OLDER_RUNS: usize = 15;
/// Retransmitted bytes may be a quarter of what is sent, after this much to begin with.
const RETRANSMIT_ALLOWANCE_BYTES: u64 = 256 * 1024;

/// A stretch of packets that are forwarded under one offset.
#[derive(Clone, Copy, Debug)]
struct Run {
    first_in: u64,
    first_out: u64,
}

impl Run {
    /// Before the first packet: no sequence number is so high.
    const NONE: Self = Self { first_in: u64::MAX, first_out: 0 };
}

/// Retransmission stream of a consumer (RFC 4588).
#[derive(Clone, Debug)]
pub(crate) struct Rtx {
    pub(crate) ssrc: u32,
    payload_types: Vec<(u8, u8)>,
    next_out: u64,
}

impl Rtx {
    fn payload_type(&self, media: u8) -> Option<u8> {
        self.payload_types.iter().find(|(from, _)| *from == media).map(|(_, to)| *to)
    }

    /// SSRC, payload type and index of the next retransmission of a packet, if its payload type has any.
    pub(crate) fn next(&mut self, media: u8) -> Option<(u32, u8, u64)> {
        let payload_type = self.payload_type(media)?;
        let index = self.next_out;
        self.next_out += 1;
        Some((self.ssrc, payload_type, index))
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Retransmitted {
    out: u64,
    at: Instant,
    times: u8,
}

/// A consumer. What every packet needs comes first: with thousands of consumers it is cold memory, two lines of it.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Consumer {
    /// The receiver's payload type by the router's; unused places repeat the first.
    payload_types: [PayloadTypeMapping; MAX_CONSUMER_PAYLOAD_TYPES],
    pub(crate) extensions: ExtensionPlan,
    pub(crate) stream: usize,
    next_out: u64,
    /// The run that packets join now; before the first one, none does.
    run: Run,
    pub(crate) sent: Sent,
    retransmit_allowance_bytes: u64,
    pub(crate) ssrc: u32,
    pub(crate) paused: bool,
    /// The next packet begins a new run, at a key frame if there are any.
    waiting: bool,
    /// Key frames of the producer's media can be told apart.
    pub(crate) has_key_frames: bool,
    pub(crate) catching_up: bool,
    // Here ends what every packet needs.
    pub(crate) nack: bool,
    pub(crate) clock_rate_hz: u32,
    pub(crate) id: ConsumerId,
    pub(crate) transport: usize,
    pub(crate) producer: usize,
    pub(crate) rtx: Option<Rtx>,
    pub(crate) cname: String,
    /// What it has still to get of what came before it, while `catching_up`.
    catch_up: Range<u64>,
    /// The runs before, oldest first.
    older_runs: Vec<Run>,
    retransmitted: Option<Box<[Retransmitted; RETRANSMIT_MEMORY]>>,
    pub(crate) feedback: Feedback,
    pub(crate) discards: Discards,
}

const _: () = assert!(std::mem::offset_of!(Consumer, catching_up) < 128, "what every packet needs is on two lines");

/// What a consumer has sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) retransmitted: u64,
}

/// What a consumer's receiver has said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Feedback {
    pub(crate) nacks: u64,
    pub(crate) nacked_packets: u64,
    pub(crate) plis: u64,
    pub(crate) firs: u64,
    pub(crate) packets_lost: i32,
    pub(crate) fraction_lost: u8,
    pub(crate) jitter: u32,
    pub(crate) round_trip: Option<Duration>,
}

impl Consumer {
    pub(crate) fn new(
        id: ConsumerId,
        transport: usize,
        (producer, stream): (usize, usize),
        (has_key_frames, clock_rate_hz): (bool, u32),
        options: &ConsumeOptions,
    ) -> Self {
        Self {
            id,
            transport,
            producer,
            stream,
            ssrc: options.ssrc,
            rtx: options.rtx.as_ref().map(|rtx| Rtx {
                ssrc: rtx.ssrc,
                payload_types: rtx.payload_types.clone(),
                next_out: u64::from(rtx.first_sequence),
            }),
            nack: options.nack,
            paused: options.paused,
            extensions: ExtensionPlan::new(options),
            payload_types: payload_types(options),
            cname: options.cname.clone(),
            has_key_frames,
            clock_rate_hz,
            waiting: true,
            catching_up: false,
            catch_up: 0..0,
            next_out: u64::from(options.first_sequence),
            run: Run::NONE,
            older_runs: Vec::new(),
            retransmitted: None,
            retransmit_allowance_bytes: RETRANSMIT_ALLOWANCE_BYTES,
            sent: Sent::default(),
            feedback: Feedback::default(),
            discards: Discards::default(),
        }
    }

    /// Waits for a key frame.
    pub(crate) const fn wants_key_frame(&self) -> bool {
        self.waiting && self.has_key_frames && !self.paused
    }

    /// It has sent a packet.
    pub(crate) const fn has_begun(&self) -> bool {
        self.run.first_in != u64::MAX
    }

    /// Begins with these packets, before those of the next round.
    pub(crate) const fn start_with(&mut self, packets: Range<u64>) {
        (self.catching_up, self.catch_up) = (true, packets);
    }

    /// The next packet of those that it begins with.
    pub(crate) const fn next_to_catch_up(&mut self) -> Option<u64> {
        self.catching_up = self.catch_up.start < self.catch_up.end;
        if self.catching_up { Some(self.catch_up.start) } else { None }
    }

    /// That packet has been seen to.
    pub(crate) const fn caught_up(&mut self) {
        self.catch_up.start += 1;
    }

    /// Packets are withheld from now on, or the stream starts anew: the next one that leaves begins a new run.
    pub(crate) const fn resynchronise(&mut self) {
        self.waiting = true;
    }

    /// What the receiver gets of a packet: the sequence number under which it leaves, or nothing, and why.
    pub(crate) fn rewrite(&mut self, packet: &PacketMeta) -> Result<u64, Discard> {
        if !self.accepts(packet.payload_type) {
            self.skip(packet.sequence);
            return Err(Discard::PayloadTypeNotNegotiated);
        }
        if self.waiting {
            if self.newest_in().is_some_and(|newest| packet.sequence <= newest) {
                return Err(Discard::BeforeSync);
            }
            if self.has_key_frames && !packet.key_frame {
                return Err(Discard::WaitingForKeyFrame);
            }
            self.push_run(Run { first_in: packet.sequence, first_out: self.next_out });
            self.waiting = false;
        }
        let out = self.out_of(packet.sequence).ok_or(Discard::BeforeSync)?;
        self.next_out = self.next_out.max(out + 1);
        Ok(out)
    }

    /// The newest packet that has a number. One that was late when the consumer was interrupted must not begin a run:
    /// it would be numbered behind what followed it.
    fn newest_in(&self) -> Option<u64> {
        let sent = self.next_out.saturating_sub(self.run.first_out);
        (self.run.first_in != u64::MAX).then(|| (self.run.first_in + sent).saturating_sub(1))
    }

    /// Whether the receiver negotiated a payload type (the router's number).
    pub(crate) fn accepts(&self, payload_type: u8) -> bool {
        self.payload_type(payload_type).is_some()
    }

    /// What the receiver calls a payload type of the router's.
    pub(crate) fn payload_type(&self, router: u8) -> Option<u8> {
        self.payload_types.iter().find(|one| one.router == router).map(|one| one.receiver)
    }

    /// Number of a packet in the run that it belongs to; `None` if it was withheld, or precedes every run.
    fn out_of(&self, sequence: u64) -> Option<u64> {
        if let Some(distance) = sequence.checked_sub(self.run.first_in) {
            return Some(self.run.first_out + distance);
        }
        let mut end = self.run.first_out;
        for run in self.older_runs.iter().rev() {
            if let Some(distance) = sequence.checked_sub(run.first_in) {
                return Some(run.first_out + distance).filter(|out| *out < end);
            }
            end = run.first_out;
        }
        None
    }

    /// Closes the gap that a withheld packet would leave, if it is the newest.
    fn skip(&mut self, sequence: u64) {
        let Some(distance) = sequence.checked_sub(self.run.first_in).filter(|_| !self.waiting) else { return };
        let out = self.run.first_out + distance;
        if out < self.next_out {
            return;
        }
        self.next_out = out;
        let next = Run { first_in: sequence + 1, first_out: out };
        if distance == 0 {
            self.run = next;
        } else {
            self.push_run(next);
        }
    }

    fn push_run(&mut self, run: Run) {
        let ended = std::mem::replace(&mut self.run, run);
        if ended.first_in == u64::MAX {
            return;
        }
        if self.older_runs.len() == MAX_OLDER_RUNS {
            self.older_runs.remove(0);
        }
        self.older_runs.push(ended);
    }

    /// Notes a media packet that was put into the outbox.
    pub(crate) const fn count_sent(&mut self, payload_bytes: u64) {
        self.sent.packets += 1;
        self.sent.bytes += payload_bytes;
        let allowance = self.retransmit_allowance_bytes + payload_bytes / 4;
        self.retransmit_allowance_bytes =
            if allowance > RETRANSMIT_ALLOWANCE_BYTES { RETRANSMIT_ALLOWANCE_BYTES } else { allowance };
    }

    /// The producer's sequence number of what left, or would have left, as `out`; with `out` extended.
    pub(crate) fn source_of(&self, out: u16) -> Option<(u64, u64)> {
        let newest = self.next_out.checked_sub(1)?;
        let out = crate::sequence::nearest(newest, out);
        if out > newest {
            return None;
        }
        let mut runs = std::iter::once(&self.run).chain(self.older_runs.iter().rev());
        let run = runs.find(|run| run.first_in != u64::MAX && run.first_out <= out)?;
        Some((run.first_in + (out - run.first_out), out))
    }

    /// Whether `out` may be repeated now: once per round trip, ten times in all, within the allowance of bytes.
    pub(crate) fn may_retransmit(&mut self, now: Instant, out: u64, bytes: u64) -> bool {
        let round_trip = self.feedback.round_trip.unwrap_or(DEFAULT_ROUND_TRIP);
        let memory = self.retransmitted.get_or_insert_with(|| Box::new([Retransmitted::default(); RETRANSMIT_MEMORY]));
        let position = (out % RETRANSMIT_MEMORY as u64) as usize;
        let Some(entry) = memory.get_mut(position) else { return false };
        if entry.times == 0 || entry.out != out {
            *entry = Retransmitted { out, at: now, times: 0 };
        } else if entry.times >= MAX_RETRANSMITS || now.since(entry.at) < round_trip {
            return false;
        }
        let Some(allowance) = self.retransmit_allowance_bytes.checked_sub(bytes) else { return false };
        self.retransmit_allowance_bytes = allowance;
        entry.at = now;
        entry.times += 1;
        true
    }
}

fn payload_types(options: &ConsumeOptions) -> [PayloadTypeMapping; MAX_CONSUMER_PAYLOAD_TYPES] {
    let first = options.payload_types.first().copied().unwrap_or(PayloadTypeMapping { router: 0, receiver: 0 });
    let mut all = [first; MAX_CONSUMER_PAYLOAD_TYPES];
    for (place, one) in all.iter_mut().zip(&options.payload_types) {
        *place = *one;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(has_key_frames: bool) -> Consumer {
        let options = ConsumeOptions {
            ssrc: 1,
            rtx: None,
            payload_types: vec![PayloadTypeMapping { router: 100, receiver: 100 }],
            header_extensions: vec![],
            mid: None,
            nack: true,
            first_sequence: 500,
            cname: String::new(),
            paused: false,
        };
        Consumer::new(ConsumerId(1), 0, (0, 0), (has_key_frames, 90_000), &options)
    }

    fn packet(sequence: u64) -> PacketMeta {
        PacketMeta { sequence, payload_type: 100, ..PacketMeta::default() }
    }

    fn key_frame(sequence: u64) -> PacketMeta {
        PacketMeta { key_frame: true, ..packet(sequence) }
    }

    #[test]
    fn a_loss_upstream_stays_a_gap_and_a_late_packet_fills_it() {
        let mut consumer = consumer(false);
        assert_eq!(consumer.rewrite(&packet(70_000)), Ok(500));
        assert_eq!(consumer.rewrite(&packet(70_003)), Ok(503));
        assert_eq!(consumer.rewrite(&packet(70_001)), Ok(501));
        assert_eq!(consumer.rewrite(&packet(69_999)), Err(Discard::BeforeSync));
    }

    #[test]
    fn video_begins_and_resumes_at_a_key_frame_without_a_gap() {
        let mut consumer = consumer(true);
        assert_eq!(consumer.rewrite(&packet(70_000)), Err(Discard::WaitingForKeyFrame));
        assert_eq!(consumer.rewrite(&key_frame(70_001)), Ok(500));
        assert_eq!(consumer.rewrite(&packet(70_002)), Ok(501));
        consumer.resynchronise();
        assert_eq!(consumer.rewrite(&packet(70_010)), Err(Discard::WaitingForKeyFrame));
        assert_eq!(consumer.rewrite(&key_frame(70_020)), Ok(502));
        assert_eq!(consumer.rewrite(&packet(70_019)), Err(Discard::BeforeSync), "its number is another packet's");
    }

    #[test]
    fn a_late_packet_does_not_begin_a_run() {
        let mut consumer = consumer(false);
        assert_eq!(consumer.rewrite(&packet(70_000)), Ok(500));
        assert_eq!(consumer.rewrite(&packet(70_002)), Ok(502));
        consumer.resynchronise();
        assert_eq!(consumer.rewrite(&packet(70_001)), Err(Discard::BeforeSync), "it would follow what came after it");
        assert_eq!(consumer.rewrite(&packet(70_005)), Ok(503));
    }

    #[test]
    fn a_withheld_payload_type_leaves_no_gap() {
        let mut consumer = consumer(false);
        let noise = |sequence| PacketMeta { payload_type: 13, ..packet(sequence) };
        assert_eq!(consumer.rewrite(&packet(70_000)), Ok(500));
        assert_eq!(consumer.rewrite(&noise(70_001)), Err(Discard::PayloadTypeNotNegotiated));
        assert_eq!(consumer.rewrite(&noise(70_002)), Err(Discard::PayloadTypeNotNegotiated));
        assert_eq!(consumer.rewrite(&packet(70_003)), Ok(501));
        assert_eq!(consumer.rewrite(&packet(70_005)), Ok(503));
        assert_eq!(consumer.rewrite(&noise(70_006)), Err(Discard::PayloadTypeNotNegotiated));
        assert_eq!(consumer.rewrite(&packet(70_007)), Ok(504));
        assert_eq!(consumer.rewrite(&packet(70_004)), Ok(502), "late, of the run before");
    }

    #[test]
    fn what_left_is_found_again_across_runs() {
        let mut consumer = consumer(true);
        assert_eq!(consumer.rewrite(&key_frame(70_000)), Ok(500));
        assert_eq!(consumer.rewrite(&packet(70_001)), Ok(501));
        consumer.resynchronise();
        assert_eq!(consumer.rewrite(&key_frame(80_000)), Ok(502));
        assert_eq!(consumer.source_of(501), Some((70_001, 501)));
        assert_eq!(consumer.source_of(502), Some((80_000, 502)));
        assert_eq!(consumer.source_of(503), None, "not sent yet");
        assert_eq!(consumer.source_of(499), None, "before the first");
    }

    #[test]
    fn a_packet_is_repeated_once_per_round_trip_ten_times_in_all() {
        let mut consumer = consumer(false);
        assert_eq!(consumer.rewrite(&packet(70_000)), Ok(500));
        let repeated =
            (0..10_000).filter(|millis| consumer.may_retransmit(Instant::from_nanos(millis * 1_000_000), 500, 1_000));
        assert_eq!(repeated.count(), usize::from(MAX_RETRANSMITS));
    }

    #[test]
    fn retransmissions_are_bounded_by_what_is_sent() {
        let mut consumer = consumer(false);
        let mut bytes = 0;
        for out in 0..10_000 {
            if consumer.may_retransmit(Instant::default(), out, 1_000) {
                bytes += 1_000;
            }
        }
        assert!(bytes <= RETRANSMIT_ALLOWANCE_BYTES);
    }
}
