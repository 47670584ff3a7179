//! When a publisher sends what: frames of video as an encoder and a browser's pacer make them, or single packets.
//!
//! Knows no sockets and no clock; time is nanoseconds since the run began, handed in.

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use crate::packet::{MAX_PAYLOAD, MIN_PAYLOAD, Planned};

const SECOND_NS: u64 = 1_000_000_000;
const FRAMES_PER_SECOND: u64 = 30;
/// libwebrtc's pacer works off its queue at this interval ...
const PACER_TICK_NS: u64 = 5_000_000;
/// ... at this many times the target bit rate.
const PACING_FACTOR: f64 = 2.5;
/// Longest payload of `mix`, and the mean that its frames are sized for: what libwebrtc makes of a 1,200-byte limit.
const MIX_MAX_PAYLOAD: usize = 1_188;
const MIX_MEAN_PAYLOAD: f64 = 1_090.0;
/// Frames of `mix` are between these parts of the mean size.
const MIX_FRAME_SPREAD: std::ops::Range<f64> = 0.6..1.4;

/// How packets are spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Frames, their packets in the bursts that a browser's pacer makes.
    Pacer,
    /// Frames, each with all its packets back to back.
    Frame,
    /// One packet at a time, evenly spaced, as audio is.
    Single,
    /// So many packets back to back, evenly spaced: for the floor's table.
    #[value(skip)]
    Burst(u32),
}

/// How long payloads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Always this many bytes.
    Fixed(usize),
    /// Frames of random size, each split nearly evenly, as libwebrtc does.
    Mix,
}

impl Payload {
    /// Their mean length in bytes.
    #[must_use]
    pub const fn mean(self) -> f64 {
        match self {
            Self::Fixed(bytes) => bytes as f64,
            Self::Mix => MIX_MEAN_PAYLOAD,
        }
    }
}

impl std::str::FromStr for Payload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = MIN_PAYLOAD..=MAX_PAYLOAD;
        match text.parse() {
            _ if text == "mix" => Ok(Self::Mix),
            Ok(bytes) if range.contains(&bytes) => Ok(Self::Fixed(bytes)),
            _ => Err(format!("give a number of bytes from {} to {}, or \"mix\"", range.start(), range.end())),
        }
    }
}

impl std::fmt::Display for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(bytes) => bytes.fmt(f),
            Self::Mix => f.write_str("mix"),
        }
    }
}

/// Which frames are key frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyFrames {
    All,
    OnDemand { wanted: bool },
}

/// One publisher's packets.
#[derive(Debug)]
pub struct Source {
    profile: Profile,
    payload: Payload,
    pps: u32,
    rng: StdRng,
    key_frames: KeyFrames,
    frames: u64,
    first_frame_ns: u64,
    packets_made: u64,
    queue: VecDeque<Planned>,
    next_tick_ns: u64,
    budget_bytes: f64,
}

impl Source {
    /// A publisher that sends `pps` packets a second and whose first frame is due at `start_ns`.
    #[must_use]
    pub fn new(profile: Profile, payload: Payload, pps: u32, start_ns: u64, seed: u64) -> Self {
        Self {
            profile,
            payload,
            pps: pps.max(1),
            rng: StdRng::seed_from_u64(seed),
            key_frames: KeyFrames::All,
            frames: 0,
            first_frame_ns: start_ns,
            packets_made: 0,
            queue: VecDeque::new(),
            next_tick_ns: start_ns,
            budget_bytes: 0.0,
        }
    }

    /// From now on only the next frame is a key frame, and those that are asked for.
    #[must_use]
    pub const fn key_frames_on_demand(mut self) -> Self {
        self.key_frames = KeyFrames::OnDemand { wanted: true };
        self
    }

    /// A receiver needs a key frame.
    pub const fn want_key_frame(&mut self) {
        if let KeyFrames::OnDemand { wanted } = &mut self.key_frames {
            *wanted = true;
        }
    }

    /// It sends one packet at a time, as sound is.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        matches!(self.profile, Profile::Single)
    }

    /// From now on so many packets a second.
    pub fn set_pps(&mut self, pps: u32) {
        self.pps = pps.max(1);
    }

    fn frames_per_second(&self) -> u64 {
        match self.profile {
            Profile::Single => u64::from(self.pps),
            Profile::Burst(packets) => u64::from(self.pps / packets.max(1)).max(1),
            Profile::Pacer | Profile::Frame => FRAMES_PER_SECOND.min(u64::from(self.pps)),
        }
    }

    fn next_frame_ns(&self) -> u64 {
        self.first_frame_ns + self.frames * SECOND_NS / self.frames_per_second()
    }

    /// When [`Self::take_due`] next has something, in nanoseconds.
    #[must_use]
    pub fn next_ns(&self) -> u64 {
        if self.queue.is_empty() { self.next_frame_ns() } else { self.next_frame_ns().min(self.next_tick_ns) }
    }

    /// Moves what is due at `now_ns` to `out`.
    pub fn take_due(&mut self, now_ns: u64, out: &mut Vec<Planned>) {
        while self.next_frame_ns() <= now_ns {
            self.make_frame();
        }
        match self.profile {
            Profile::Frame | Profile::Single | Profile::Burst(_) => out.extend(self.queue.drain(..)),
            Profile::Pacer => self.pace(now_ns, out),
        }
    }

    /// Starts over at `start_ns`, with nothing queued.
    pub fn restart(&mut self, start_ns: u64) {
        self.queue.clear();
        (self.frames, self.packets_made, self.budget_bytes) = (0, 0, 0.0);
        (self.first_frame_ns, self.next_tick_ns) = (start_ns, start_ns);
    }

    fn make_frame(&mut self) {
        let frame_ns = self.next_frame_ns();
        if self.queue.is_empty() {
            // An idle pacer gathers no budget: it takes the frame up at its next tick.
            let ticks = frame_ns.saturating_sub(self.first_frame_ns).div_ceil(PACER_TICK_NS);
            self.next_tick_ns = self.first_frame_ns + ticks * PACER_TICK_NS;
            self.budget_bytes = self.budget_bytes.min(0.0);
        }
        self.frames += 1;
        let due = self.frames * u64::from(self.pps) / self.frames_per_second();
        let count = (due - self.packets_made).max(1);
        self.packets_made += count;
        let lengths = match self.payload {
            Payload::Fixed(bytes) => vec![bytes; count as usize],
            Payload::Mix => {
                let size = count as f64 * MIX_MEAN_PAYLOAD * self.rng.random_range(MIX_FRAME_SPREAD);
                split_nearly_evenly(size as usize)
            }
        };
        let key = match &mut self.key_frames {
            KeyFrames::All => true,
            KeyFrames::OnDemand { wanted } => std::mem::take(wanted),
        };
        let last = lengths.len() - 1;
        self.queue.extend(lengths.into_iter().enumerate().map(|(index, payload_len)| Planned {
            payload_len,
            first: index == 0,
            last: index == last,
            key,
            frame_ns,
        }));
    }

    /// libwebrtc's interval budget: every tick brings bytes; packets leave while it is not used up, and the last may
    /// overdraw it. What an idle pacer did not use is lost.
    fn pace(&mut self, now_ns: u64, out: &mut Vec<Planned>) {
        let per_tick =
            self.payload.mean() * f64::from(self.pps) * PACING_FACTOR * PACER_TICK_NS as f64 / SECOND_NS as f64;
        while self.next_tick_ns <= now_ns {
            self.next_tick_ns += PACER_TICK_NS;
            self.budget_bytes = (self.budget_bytes + per_tick).min(per_tick);
            while self.budget_bytes > 0.0
                && let Some(packet) = self.queue.pop_front()
            {
                self.budget_bytes -= packet.payload_len as f64;
                out.push(packet);
            }
        }
    }
}

/// As few packets as can hold `size` bytes, whose lengths differ by a byte at most; the longer ones last, as libwebrtc
/// orders them.
fn split_nearly_evenly(size: usize) -> Vec<usize> {
    let size = size.max(MIN_PAYLOAD);
    let count = size.div_ceil(MIX_MAX_PAYLOAD);
    let longer = size % count;
    (0..count).map(|index| size / count + usize::from(index >= count - longer)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bursts(profile: Profile, payload: Payload, pps: u32) -> Vec<(u64, Vec<Planned>)> {
        let mut source = Source::new(profile, payload, pps, 0, 1);
        let mut bursts = Vec::new();
        while source.next_ns() < SECOND_NS {
            let (now, mut out) = (source.next_ns(), Vec::new());
            source.take_due(now, &mut out);
            if !out.is_empty() {
                bursts.push((now, out));
            }
        }
        bursts
    }

    #[test]
    fn frames_leave_whole() {
        let bursts = bursts(Profile::Frame, Payload::Fixed(1_200), 300);
        assert_eq!(bursts.len(), 30);
        for (_, burst) in &bursts {
            assert_eq!(burst.len(), 10);
            assert!(burst.iter().all(|packet| packet.payload_len == 1_200));
            assert!(burst.iter().enumerate().all(|(at, packet)| packet.last == (at == 9) && packet.first == (at == 0)));
        }
    }

    #[test]
    fn key_frames_come_when_asked_for() {
        let mut source = Source::new(Profile::Frame, Payload::Fixed(1_200), 300, 0, 1).key_frames_on_demand();
        let mut keys = Vec::new();
        for frame in 0..6 {
            if frame == 3 {
                source.want_key_frame();
            }
            let mut out = Vec::new();
            source.take_due(source.next_ns(), &mut out);
            assert!(out.iter().all(|packet| packet.key == out[0].key));
            keys.push(out[0].key);
        }
        assert_eq!(keys, [true, false, false, true, false, false]);
    }

    #[test]
    fn single_packets_are_evenly_spaced() {
        let bursts = bursts(Profile::Single, Payload::Fixed(120), 50);
        let times: Vec<_> = bursts.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, (0..50).map(|index| index * 20_000_000).collect::<Vec<_>>());
        assert!(bursts.iter().all(|(_, burst)| burst.len() == 1));
    }

    #[test]
    fn the_pacer_spreads_a_frame_over_ticks_without_losing_any() {
        let bursts = bursts(Profile::Pacer, Payload::Fixed(1_200), 300);
        let sent: usize = bursts.iter().map(|(_, burst)| burst.len()).sum();
        assert!((290..=300).contains(&sent), "{sent} of 300 in the first second");
        assert!(
            bursts.iter().all(|(_, burst)| (1..=4).contains(&burst.len())),
            "3.75 packets per tick at 2.5 times 300"
        );
        assert!(bursts.windows(2).all(|pair| pair[1].0 - pair[0].0 >= PACER_TICK_NS));
    }

    #[test]
    fn mixed_frames_differ_in_size_and_their_packets_by_a_byte() {
        let bursts = bursts(Profile::Frame, Payload::Mix, 300);
        let sizes: std::collections::BTreeSet<_> = bursts.iter().map(|(_, burst)| burst[0].payload_len).collect();
        assert!(sizes.len() > 10, "{sizes:?}");
        for (_, burst) in &bursts {
            let (shortest, longest) = (burst[0].payload_len, burst[burst.len() - 1].payload_len);
            assert!(longest - shortest <= 1 && longest <= MIX_MAX_PAYLOAD);
        }
        let sent: usize = bursts.iter().map(|(_, burst)| burst.len()).sum();
        assert!((270..=330).contains(&sent), "{sent} packets");
    }
}
