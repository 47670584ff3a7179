//! Viewers who say what arrives: what the server makes of it.

use serde::Serialize;

use crate::generator::{Load, Window};
use crate::http::Path;
use crate::report::{grouped, rounded};

/// Bytes of a packet around its payload: headers of IP, UDP and RTP, the number of the whole transport, and the tag.
const OVERHEAD_BYTES: f64 = 20.0 + 8.0 + 12.0 + 8.0 + 16.0;
/// Pictures leave at so many times what their path is taken to carry.
const PACING: f64 = 1.5;

/// What viewers said, and what was made of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FeedbackFigures {
    /// Feedbacks that were sent while media was measured.
    pub sent: u64,
    /// The same of one viewer in a second.
    pub per_viewer_second: f64,
    /// Packets that forwarding took for each of them.
    pub packets_each: f64,
    /// Packets that only probed a path, which count among those that the server sent.
    pub probes: u64,
    /// What a stream takes, in bits per second of UDP and IP.
    pub stream_bps: u64,
    /// Most that a path may be taken to carry, in bits per second; none if nothing was asked for.
    pub limit_bps: Option<u64>,
    /// What the server takes the paths to carry when the media has ended, in bits per second: the least of all viewers.
    pub estimate_min_bps: u64,
    /// The same, of a viewer in the middle.
    pub estimate_p50_bps: u64,
    /// The same, the most.
    pub estimate_max_bps: u64,
    /// Viewers of whose path the server knows nothing.
    pub unheard: usize,
    /// Consumers that are sent nothing since their path is taken to carry too little.
    pub suspended: usize,
}

/// What one publisher's stream takes, in bits per second of UDP and IP.
fn stream_bps(load: &Load) -> f64 {
    f64::from(load.pps) * (load.payload.mean() + OVERHEAD_BYTES) * 8.0
}

/// Most that a path may be taken to carry so that pictures leave at no more than `times` their stream's rate.
#[must_use]
pub fn limit_bps(load: &Load, times: f64) -> u64 {
    (stream_bps(load) * times / PACING) as u64
}

impl FeedbackFigures {
    /// Figures of what was measured; `paths` are those of all viewers.
    #[must_use]
    pub fn new(load: &Load, limit_bps: Option<u64>, window: &Window, paths: &[Path]) -> Self {
        let mut known: Vec<_> = paths.iter().filter_map(|path| path.available_bps).collect();
        known.sort_unstable();
        let at = |place: usize| known.get(place).copied().unwrap_or(0);
        let sent = window.arrivals.feedbacks;
        let each = |of: f64, count: f64| rounded(if count > 0.0 { of / count } else { 0.0 }, 1);
        Self {
            sent,
            per_viewer_second: each(sent as f64, window.seconds * paths.len() as f64),
            packets_each: each(window.arrivals.packets as f64, sent as f64),
            probes: window.arrivals.probes,
            stream_bps: stream_bps(load) as u64,
            limit_bps,
            estimate_min_bps: at(0),
            estimate_p50_bps: at(known.len() / 2),
            estimate_max_bps: at(known.len().saturating_sub(1)),
            unheard: paths.len() - known.len(),
            suspended: paths.iter().map(|path| path.suspended).sum(),
        }
    }

    /// Prints them.
    pub fn print(&self) {
        println!(
            "feedback: {} of {:.1} packets each, {:.1} per viewer and second; {} packets of probes",
            grouped(self.sent),
            self.packets_each,
            self.per_viewer_second,
            grouped(self.probes)
        );
        let kbps = |bps: u64| grouped(bps / 1_000);
        println!(
            "a stream takes {} kbit/s, its path is taken to carry {} (p50; {} to {})",
            kbps(self.stream_bps),
            kbps(self.estimate_p50_bps),
            kbps(self.estimate_min_bps),
            kbps(self.estimate_max_bps)
        );
        if let Some(bps) = self.limit_bps {
            println!("no path may be taken to carry more than {} kbit/s", kbps(bps));
        }
        if self.unheard + self.suspended > 0 {
            println!("{} viewers were not heard, {} consumers are suspended", self.unheard, self.suspended);
        }
    }
}
