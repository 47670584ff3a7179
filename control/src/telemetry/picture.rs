//! What is told: the JSON of `/dashboard/data`, written by the server and read by `corecast top`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::complaints::{Complaint, Reason};

/// Everything at a glance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Picture {
    pub(crate) version: String,
    /// Process of the server. Another one: everything began again.
    pub(crate) pid: u32,
    pub(crate) uptime_ms: u64,
    /// No rooms are made while every core is past this, in percent; 0 for no limit.
    pub(crate) cpu_limit_percent: u8,
    /// In the order of the workers.
    pub(crate) cores: Vec<Core>,
    /// The last look at the viewers; none before the first.
    pub(crate) look: Option<Looking>,
    /// The hottest first.
    pub(crate) rooms: Vec<RoomLoad>,
    /// How many rooms there are.
    pub(crate) rooms_total: usize,
    /// The unhappiest first: those of whom anything is wrong, or all of the room that was asked for.
    pub(crate) viewers: Vec<Viewer>,
    /// How many viewers there are, and how many of them suffer.
    pub(crate) viewers_total: usize,
    pub(crate) unhappy: Unhappy,
    /// All but viewers, of the room that was asked for.
    pub(crate) peers: Vec<Present>,
}

/// A peer of a room that does not only watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Present {
    pub(crate) peer: String,
    pub(crate) display_name: String,
    /// By which signaling it came.
    pub(crate) kind: String,
    /// What it publishes: "audio" or "video" each.
    pub(crate) publishes: Vec<String>,
}

/// A look at the counters of all objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Looking {
    /// How long ago it was.
    pub(crate) ago_ms: u64,
    /// How long it took, most of it waiting for the workers' turns.
    pub(crate) took_ms: u64,
    /// How many objects there were.
    pub(crate) objects: usize,
    /// What rates are over; 0 at the first look.
    pub(crate) over_ms: u64,
}

/// Viewers by what they suffer from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Unhappy {
    /// Those who do not suffer.
    pub(crate) content: usize,
    pub(crate) network: usize,
    pub(crate) publisher: usize,
    pub(crate) server: usize,
}

impl Unhappy {
    /// One more.
    pub(super) fn count(&mut self, reason: Option<Reason>) {
        match reason {
            None => self.content += 1,
            Some(Reason::Network) => self.network += 1,
            Some(Reason::Publisher) => self.publisher += 1,
            Some(Reason::Server) => self.server += 1,
        }
    }

    /// Those who suffer.
    pub(crate) fn total(self) -> usize {
        self.network + self.publisher + self.server
    }
}

/// A worker and its core.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Core {
    pub(crate) worker: u32,
    pub(crate) core: u32,
    pub(crate) transports: u32,
    pub(crate) producers: u32,
    pub(crate) consumers: u32,
    /// How many rooms it has.
    pub(crate) rooms: u32,
    /// Between the last two heartbeats; none before there are two.
    pub(crate) now: Option<Now>,
    /// The history, as far as it was asked for.
    pub(crate) series: Series,
}

/// What a worker did between two heartbeats.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Now {
    /// CPU time of the worker's thread, in percent of its core.
    pub(crate) cpu_percent: f64,
    /// Share of the time that the core was not idle, with what else runs on it.
    pub(crate) busy_percent: f64,
    /// Share of the time that the hypervisor took away.
    pub(crate) steal_percent: f64,
    /// Datagrams received, and sent, per second.
    pub(crate) in_pps: f64,
    pub(crate) out_pps: f64,
    /// UDP payload of them, in bits per second.
    pub(crate) in_bps: f64,
    pub(crate) out_bps: f64,
    /// Packets of a train, on average; 0 if nothing was sent.
    pub(crate) train: f64,
    /// From the receipt of a batch to the completion of a send, in microseconds; none if nothing was sent.
    pub(crate) p50_us: Option<u64>,
    pub(crate) p99_us: Option<u64>,
    pub(crate) max_us: Option<u64>,
    /// Discarded packets per second by reason, the most frequent first.
    pub(crate) discards: Vec<(String, f64)>,
}

impl Now {
    /// Discarded packets per second, all reasons together.
    pub(crate) fn discards_per_s(&self) -> f64 {
        // The sum of nothing is -0.0.
        self.discards.iter().map(|(_, per_s)| per_s).sum::<f64>() + 0.0
    }
}

/// The history of a core, a value of each list for each heartbeat, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Series {
    /// Milliseconds since the server started.
    pub(crate) at_ms: Vec<u64>,
    pub(crate) cpu_percent: Vec<f64>,
    pub(crate) busy_percent: Vec<f64>,
    pub(crate) in_pps: Vec<f64>,
    pub(crate) out_pps: Vec<f64>,
    pub(crate) p50_us: Vec<Option<u64>>,
    pub(crate) p99_us: Vec<Option<u64>>,
    pub(crate) train: Vec<f64>,
    /// Discarded packets per second.
    pub(crate) discards: Vec<f64>,
}

/// How much a room takes of its workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomLoad {
    pub(crate) room: String,
    /// The worker that it was made on.
    pub(crate) worker: u32,
    /// Further workers from which its viewers are sent.
    pub(crate) branches: Vec<u32>,
    /// Its part of the CPU time of these workers by its part of their packets, in percent of a core.
    pub(crate) cpu_percent: f64,
    pub(crate) in_pps: f64,
    pub(crate) out_pps: f64,
    pub(crate) out_bps: f64,
    /// Transports that are sent media.
    pub(crate) viewers: usize,
    /// How many of them suffer.
    pub(crate) unhappy: usize,
    pub(crate) producers: usize,
    pub(crate) consumers: usize,
}

/// A transport that is sent media, and how that goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Viewer {
    pub(crate) room: String,
    /// Name of its peer in the room.
    pub(crate) peer: String,
    /// What people call the peer; empty if it has not said.
    pub(crate) display_name: String,
    pub(crate) transport: String,
    pub(crate) worker: u32,
    /// From 0, nothing is wrong, to 100.
    pub(crate) pain: u8,
    /// What most of it comes from; none for one that does not suffer.
    pub(crate) reason: Option<Reason>,
    /// The gravest first.
    pub(crate) complaints: Vec<Complaint>,
    pub(crate) consumers: usize,
    /// What its path is taken to carry, in bits per second; none if its receiver does not tell.
    pub(crate) available_bps: Option<u64>,
    /// What it would take if all of it were there, in bits per second.
    pub(crate) wanted_bps: u64,
    /// What it is sent, in bits per second.
    pub(crate) sent_bps: f64,
    /// Share of the packets that do not arrive, as its receiver says, in percent.
    pub(crate) loss_percent: f64,
    /// In milliseconds, once it is known.
    pub(crate) round_trip_ms: Option<f64>,
}

/// Whole milliseconds.
pub(super) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// With one digit behind the point: what is told is read by people.
pub(super) fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
