//! What was seen of a run, in bins of a tenth of a second.

use super::cases::Case;
use super::packet::{Body, Packet};

/// Length of a bin.
pub(super) const BIN_US: u64 = 100_000;
/// Waits in the queue are counted by milliseconds, up to this many.
const WAITS: usize = 2_000;

/// One flow in one bin.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    pub(super) is_active: bool,
    pub(super) estimate_bps: f64,
    /// Bytes that have passed the bottleneck.
    pub(super) bytes: u64,
}

/// One bin.
#[derive(Clone, Debug)]
pub(super) struct Bin {
    pub(super) capacity_bps: [f64; 2],
    /// Bytes that have passed each link, and the longest wait before each, in milliseconds.
    pub(super) bytes: [u64; 2],
    pub(super) wait_ms: [f64; 2],
    pub(super) flows: Vec<Share>,
    /// Packets of media that passed and that were discarded.
    pub(super) passed: u64,
    pub(super) lost: u64,
}

/// A run.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) bins: Vec<Bin>,
    waits: Vec<u64>,
    flows: usize,
}

impl Trace {
    pub(super) fn new(case: &Case) -> Self {
        Self { bins: Vec::new(), waits: vec![0; WAITS + 1], flows: case.flows.len() }
    }

    /// A bin begins. Returns when the next one does.
    pub(super) fn begin_bin(&mut self, now_us: u64, capacity_bps: &[f64; 2]) -> u64 {
        self.bins.push(Bin {
            capacity_bps: *capacity_bps,
            bytes: [0; 2],
            wait_ms: [0.0; 2],
            flows: vec![Share::default(); self.flows],
            passed: 0,
            lost: 0,
        });
        now_us + BIN_US
    }

    pub(super) fn flow(&mut self, index: usize, is_active: bool, estimate_bps: f64) {
        if let Some(bin) = self.bins.last_mut() {
            bin.flows[index] = Share { is_active, estimate_bps, bytes: 0 };
        }
    }

    /// A link has sent a packet, which had waited before.
    pub(super) fn sent(&mut self, now_us: u64, direction: usize, packet: &Packet, waited_us: u64) {
        let Some(bin) = self.bins.get_mut((now_us / BIN_US) as usize) else { return };
        bin.bytes[direction] += u64::from(packet.bytes);
        let wait_ms = waited_us as f64 / 1e3;
        bin.wait_ms[direction] = bin.wait_ms[direction].max(wait_ms);
        match packet.body {
            Body::Media(_) => {
                bin.flows[packet.flow].bytes += u64::from(packet.bytes);
                bin.passed += 1;
                self.waits[(wait_ms as usize).min(WAITS)] += 1;
            }
            Body::Segment(_) => bin.flows[packet.flow].bytes += u64::from(packet.bytes),
            Body::Feedback(_) | Body::Ack(_) => {}
        }
    }

    /// A packet found the queue full.
    pub(super) fn lost(&mut self, now_us: u64, packet: &Packet) {
        if let (Some(bin), Body::Media(_)) = (self.bins.get_mut((now_us / BIN_US) as usize), &packet.body) {
            bin.lost += 1;
        }
    }

    /// Milliseconds that so large a share of the packets of media waited at most.
    pub(super) fn wait_ms(&self, share: f64) -> f64 {
        let total: u64 = self.waits.iter().sum();
        let mut left = total as f64 * share;
        let place = self.waits.iter().position(|count| {
            left -= *count as f64;
            left <= 0.0
        });
        place.unwrap_or(WAITS) as f64
    }
}
