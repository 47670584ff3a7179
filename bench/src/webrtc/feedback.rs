//! What a receiver says of the packets that came: transport-wide feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01), as often as libwebrtc says it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use anyhow::Context as _;
use rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, RecvDelta, RunLengthChunk, StatusChunkTypeTcc, SymbolTypeTcc, TransportLayerCc,
};
use webrtc_util::marshal::Unmarshal as _;

/// URI of the header extension that numbers all packets of a transport.
pub const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// A delta's unit (section 3.1.5 of the draft): 250 µs; and how many of them are the reference time's, 64 ms.
const TICK_NS: u64 = 250_000;
const TICK_US: i64 = 250;
const REFERENCE_TICKS: u64 = 256;
/// Between two feedbacks.
const INTERVAL_NS: RangeInclusive<u64> = 50_000_000..=100_000_000;
/// The longest run that a chunk tells, and the most packets that one feedback says have come.
const MAX_RUN: usize = 0x1fff;
const MAX_CAME: usize = 400;

/// The packets of one transport that came, until they are told of.
#[derive(Debug)]
pub struct Arrivals {
    /// Number of the header extension.
    extension: u8,
    /// By transport-wide number, unwrapped: when it came, in ticks.
    came: BTreeMap<u64, u64>,
    /// The first number that is not told of yet.
    next: Option<u64>,
    count: u8,
    due_ns: u64,
}

impl Arrivals {
    /// None yet; packets carry their number in this header extension.
    #[must_use]
    pub fn new(extension: u8, now_ns: u64) -> Self {
        // Many join together; their feedback is spread from the start.
        let due_ns = now_ns + rand::random_range(0..=*INTERVAL_NS.end());
        Self { extension, came: BTreeMap::new(), next: None, count: 0, due_ns }
    }

    /// Takes note of an RTP packet that came, by its clear header. What comes after it was told of as lost stays lost.
    ///
    /// # Errors
    /// It has no number, or is no RTP.
    pub fn note(&mut self, packet: &[u8], arrived_ns: u64) -> anyhow::Result<()> {
        let header = rtp::header::Header::unmarshal(&mut &*packet).context("an RTP header")?;
        let number = header.get_extension(self.extension);
        let number = number.as_deref().and_then(<[u8]>::first_chunk).context("a packet without its number")?;
        let number = u16::from_be_bytes(*number);
        let newest = self.came.last_key_value().map(|(newest, _)| *newest).or(self.next);
        // It begins one cycle up, so that there is a number before each.
        let newest = newest.unwrap_or_else(|| (1 << 16) + u64::from(number));
        let number = newest.wrapping_add_signed(number.wrapping_sub(newest as u16).cast_signed().into());
        if number >= *self.next.get_or_insert(number) {
            self.came.entry(number).or_insert(arrived_ns / TICK_NS);
        }
        Ok(())
    }

    /// Whether all that came has been told of.
    #[must_use]
    pub fn are_told(&self) -> bool {
        self.came.is_empty()
    }

    /// Whether it is time to say what came.
    #[must_use]
    pub const fn is_due(&self, now_ns: u64) -> bool {
        now_ns >= self.due_ns
    }

    /// What is to be said now; nothing if nothing came.
    pub fn take(&mut self, now_ns: u64, sender_ssrc: u32, media_ssrc: u32) -> Vec<TransportLayerCc> {
        self.due_ns = now_ns + rand::random_range(INTERVAL_NS);
        std::iter::from_fn(|| self.message(sender_ssrc, media_ssrc)).collect()
    }

    /// One feedback, as long as one can be.
    fn message(&mut self, sender_ssrc: u32, media_ssrc: u32) -> Option<TransportLayerCc> {
        let (base, first_ticks) = (self.next?, *self.came.first_key_value()?.1);
        let reference = first_ticks / REFERENCE_TICKS;
        let (mut next, mut before) = (base, reference * REFERENCE_TICKS);
        let (mut symbols, mut recv_deltas) = (Vec::new(), Vec::new());
        for (number, ticks) in self.came.iter().take(MAX_CAME) {
            let delta = ticks.cast_signed() - before.cast_signed();
            // What is further apart begins a feedback of its own.
            let Ok(delta) = i16::try_from(delta) else { break };
            let symbol = match delta {
                0..=255 => SymbolTypeTcc::PacketReceivedSmallDelta,
                _ => SymbolTypeTcc::PacketReceivedLargeDelta,
            };
            symbols.extend((next..*number).map(|_| SymbolTypeTcc::PacketNotReceived).chain([symbol]));
            recv_deltas.push(RecvDelta { type_tcc_packet: symbol, delta: i64::from(delta) * TICK_US });
            (next, before) = (number + 1, *ticks);
        }
        let runs = symbols.chunk_by(|one, other| one == other).flat_map(|run| run.chunks(MAX_RUN));
        let chunk = |run: &[SymbolTypeTcc]| {
            PacketStatusChunk::RunLengthChunk(RunLengthChunk {
                type_tcc: StatusChunkTypeTcc::RunLengthChunk,
                packet_status_symbol: run[0],
                run_length: run.len() as u16,
            })
        };
        let message = TransportLayerCc {
            sender_ssrc,
            media_ssrc,
            base_sequence_number: base as u16,
            packet_status_count: symbols.len() as u16,
            reference_time: (reference & 0xff_ffff) as u32,
            fb_pkt_count: self.count,
            packet_chunks: runs.map(chunk).collect(),
            recv_deltas,
        };
        self.came = self.came.split_off(&next);
        (self.next, self.count) = (Some(next), self.count.wrapping_add(1));
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use corecast_core::rtcp::{self, Packet};
    use webrtc_util::marshal::Marshal as _;

    use super::*;

    const EXTENSION: u8 = 3;

    /// The clear header of a packet with this number, between two other extensions.
    fn packet(number: u16) -> Vec<u8> {
        let [high, low] = number.to_be_bytes();
        let extensions = [0xbe, 0xde, 0, 2, 0x10, 9, EXTENSION << 4 | 1, high, low, 0x50, 7, 0];
        [&[0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 7][..], &extensions, &[0; 20]].concat()
    }

    /// What the server's own reader makes of what is said: numbers, and when each came in ticks.
    fn told(arrivals: &mut Arrivals) -> Vec<Vec<(u16, Option<i64>)>> {
        let messages = arrivals.take(0, 1, 2).into_iter().map(|message| message.marshal().expect("written"));
        let read = messages.map(|bytes| {
            let Some(Packet::TransportCc(feedback)) = rtcp::parse(&bytes).expect("lawful").next() else {
                panic!("another packet")
            };
            let mut ticks = i64::from(feedback.reference_time) * REFERENCE_TICKS.cast_signed();
            let status = |status: rtcp::PacketStatus| {
                ticks += i64::from(status.delta.unwrap_or(0));
                (status.sequence, status.delta.map(|_| ticks))
            };
            feedback.statuses().map(status).collect()
        });
        read.collect()
    }

    #[test]
    fn it_says_what_came_when_and_what_did_not() {
        let mut arrivals = Arrivals::new(EXTENSION, 0);
        let all = [(65_534, 1_000), (65_535, 1_001), (2, 1_070), (1, 1_072), (2, 1_100)];
        for (number, millis) in all {
            arrivals.note(&packet(number), millis * 1_000_000).expect("numbered");
        }
        let expected = [(65_534, Some(4_000)), (65_535, Some(4_004)), (0, None), (1, Some(4_288)), (2, Some(4_280))];
        assert_eq!(told(&mut arrivals), [expected.to_vec()]);
        assert_eq!(told(&mut arrivals), [] as [Vec<_>; 0], "once");
        arrivals.note(&packet(0), 1_200_000_000).expect("too late");
        arrivals.note(&packet(4), 1_200_000_000).expect("numbered");
        assert_eq!(told(&mut arrivals), [vec![(3, None), (4, Some(4_800))]]);
        assert!(arrivals.note(&packet(0)[..12], 0).is_err() || arrivals.note(&[0x80; 12], 0).is_err());
    }

    #[test]
    fn much_is_told_in_parts_and_so_is_what_lies_far_apart() {
        let mut arrivals = Arrivals::new(EXTENSION, 0);
        (0..1_000).for_each(|number| arrivals.note(&packet(number), 5_000_000).expect("numbered"));
        arrivals.note(&packet(20_000), 60_000_000_000).expect("numbered");
        let parts = told(&mut arrivals);
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [400, 400, 200, 19_001]);
        assert!(parts[..3].concat().iter().all(|(_, came)| *came == Some(20)));
        assert_eq!(parts[3].iter().filter(|(_, came)| came.is_some()).collect::<Vec<_>>(), [&(20_000, Some(240_000))]);
    }
}
