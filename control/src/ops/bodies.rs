//! What `/health`, `/rooms`, `/stats` and a peer's counters say, as JSON.

use std::collections::BTreeMap;

use corecast_wire::{Io, Usage};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::stats::{
    ListedConsumer, ListedDataConsumer, ListedDataProducer, ListedProducer, ListedTransport, Lists, by_reason,
};
use crate::ortc::Kind;
use crate::rooms::{Overview, PeerInfo};
use crate::workers::{Rates, Worker};

/// Whether the server does its work.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HealthStatus {
    Ok,
    /// It makes no new rooms until an operator says so.
    Cordoned,
    /// Not every worker has answered a heartbeat yet.
    Starting,
    /// It makes no new rooms, and is about to stop.
    Draining,
}

/// The answer of `/health`.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Health {
    pub(crate) status: HealthStatus,
    pub(crate) workers: usize,
    /// Workers that have answered a heartbeat.
    pub(crate) answering: usize,
    pub(crate) uptime_ms: u64,
    /// Lines that could not be logged in time.
    pub(crate) lost_log_lines: u64,
}

/// Every room.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Rooms {
    pub(crate) rooms: Vec<RoomShown>,
}

/// What has been counted.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stats {
    /// Version of corecast.
    pub(crate) version: &'static str,
    pub(crate) pid: u32,
    pub(crate) uptime_ms: u64,
    /// What a worker is: "thread" or "process".
    pub(crate) isolation: String,
    /// Lines that could not be logged in time.
    pub(crate) lost_log_lines: u64,
    /// Refused requests, by cause.
    pub(crate) refusals: BTreeMap<&'static str, u64>,
    pub(crate) workers: Vec<WorkerShown>,
    pub(crate) rooms: Vec<RoomShown>,
    /// Every object with its counters. These lists are absent with `objects=false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) transports: Option<Vec<ListedTransport>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) producers: Option<Vec<ListedProducer>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) consumers: Option<Vec<ListedConsumer>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data_producers: Option<Vec<ListedDataProducer>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data_consumers: Option<Vec<ListedDataConsumer>>,
}

impl Stats {
    /// With the counters of every object.
    pub(super) fn with(self, objects: Lists) -> Self {
        Self {
            transports: Some(objects.transports),
            producers: Some(objects.producers),
            consumers: Some(objects.consumers),
            data_producers: Some(objects.data_producers),
            data_consumers: Some(objects.data_consumers),
            ..self
        }
    }
}

/// The counters of everything that a peer has, at most some hundreds.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PeerCounters {
    pub(crate) room_id: String,
    pub(crate) peer_id: String,
    pub(crate) display_name: String,
    /// "participant", "publisher", "viewer", "broadcaster", "remote publisher" or "machine".
    pub(crate) kind: &'static str,
    #[serde(flatten)]
    pub(crate) objects: Lists,
    /// How many objects are not in the lists.
    pub(crate) left_out: usize,
}

/// First and last port.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct PortSpan {
    pub(crate) min: u16,
    pub(crate) max: u16,
}

/// A worker, and since its first heartbeat what it has done.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkerShown {
    pub(crate) index: u32,
    /// CPU that it is pinned to.
    pub(crate) core: u32,
    pub(crate) pid: u32,
    /// Ports of its plain transports.
    pub(crate) port_range: PortSpan,
    /// Its driver: "io_uring" or "system calls".
    pub(crate) io: Option<&'static str>,
    /// Why that one.
    pub(crate) reason: Option<String>,
    /// What an operator should change.
    pub(crate) warnings: Option<Vec<String>>,
    /// Since its start. This and the next are absent before its first heartbeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<UsageShown>,
    /// Between its last two heartbeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rates: Option<Rates>,
}

impl WorkerShown {
    pub(super) fn of(worker: &Worker) -> Self {
        let (started, (min, max)) = (worker.started(), worker.ports());
        let (usage, rates) = worker.usage().unzip();
        Self {
            index: worker.index(),
            core: worker.core(),
            pid: worker.pid().unwrap_or_else(std::process::id),
            port_range: PortSpan { min, max },
            io: started.as_ref().map(|started| io_name(started.io)),
            reason: started.as_ref().map(|started| started.reason.clone()),
            warnings: started.as_ref().map(|started| started.warnings.clone()),
            usage: usage.as_ref().map(UsageShown::of),
            rates,
        }
    }
}

/// For people.
fn io_name(io: Io) -> &'static str {
    match io {
        Io::Auto => "auto",
        Io::Uring => "io_uring",
        Io::Syscalls => "system calls",
    }
}

/// What a worker has used and done since its start.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UsageShown {
    /// When this was read, in nanoseconds since the worker's start.
    pub(crate) at_ns: u64,
    /// CPU time of its thread, in nanoseconds.
    pub(crate) user_ns: u64,
    pub(crate) system_ns: u64,
    pub(crate) voluntary_switches: u64,
    pub(crate) involuntary_switches: u64,
    /// Datagrams, and their UDP payload in bytes.
    pub(crate) packets_received: u64,
    pub(crate) bytes_received: u64,
    pub(crate) packets_sent: u64,
    pub(crate) bytes_sent: u64,
    /// Segmented sends.
    pub(crate) trains_sent: u64,
    /// What was lost in the queues of its sockets.
    pub(crate) receive_overflows: u64,
    pub(crate) wakeups: u64,
    /// Packets that were not forwarded, by reason.
    pub(crate) discards: BTreeMap<&'static str, u64>,
    pub(crate) routers: u32,
    pub(crate) transports: u32,
    pub(crate) producers: u32,
    pub(crate) consumers: u32,
    pub(crate) timers: u32,
}

impl UsageShown {
    fn of(usage: &Usage) -> Self {
        Self {
            at_ns: usage.at_ns,
            user_ns: usage.user_ns,
            system_ns: usage.system_ns,
            voluntary_switches: usage.voluntary_switches,
            involuntary_switches: usage.involuntary_switches,
            packets_received: usage.packets_received,
            bytes_received: usage.bytes_received,
            packets_sent: usage.packets_sent,
            bytes_sent: usage.bytes_sent,
            trains_sent: usage.trains_sent,
            receive_overflows: usage.receive_overflows,
            wakeups: usage.wakeups,
            discards: by_reason(&usage.discards),
            routers: usage.routers,
            transports: usage.transports,
            producers: usage.producers,
            consumers: usage.consumers,
            timers: usage.timers,
        }
    }
}

/// A room.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomShown {
    /// Its name.
    pub(crate) id: String,
    /// Index of the worker that it is on.
    pub(crate) worker: u32,
    /// So many of those who speak are heard, the loudest; 0 for all.
    pub(crate) loudest: u16,
    /// Further workers from which its viewers are sent.
    pub(crate) branches: Vec<u32>,
    pub(crate) broadcasters: Vec<BroadcasterShown>,
    /// All others but viewers.
    pub(crate) peers: Vec<PeerShown>,
    /// Viewers by WHEP.
    pub(crate) viewers: usize,
    pub(crate) transports: usize,
    pub(crate) producers: usize,
    pub(crate) consumers: usize,
}

/// A broadcaster in a room.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BroadcasterShown {
    pub(crate) id: String,
    pub(crate) display_name: String,
    /// What it says it is: `flag`, `name` and `version`.
    #[schema(value_type = Object)]
    pub(crate) device: Value,
    pub(crate) joined: bool,
}

/// Somebody else in a room who does not only watch.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PeerShown {
    pub(crate) id: String,
    pub(crate) display_name: String,
    pub(crate) connected: bool,
    /// What it publishes.
    pub(crate) tracks: Vec<Kind>,
    /// How many watch it by WHEP.
    pub(crate) viewers: usize,
}

impl RoomShown {
    pub(super) fn of(room: &Overview) -> Self {
        let (broadcasters, peers): (Vec<_>, Vec<_>) = room.peers.iter().partition(|peer| peer.kind.is_broadcaster());
        let broadcaster = |peer: &PeerInfo| BroadcasterShown {
            id: peer.name.clone(),
            display_name: peer.display_name.clone(),
            device: peer.app_data["device"].clone(),
            joined: peer.joined,
        };
        let peer = |peer: &PeerInfo| PeerShown {
            id: peer.name.clone(),
            display_name: peer.display_name.clone(),
            connected: peer.joined,
            tracks: peer.producers.iter().map(|producer| producer.kind).collect(),
            viewers: room.viewers_of.get(&peer.name).copied().unwrap_or_default(),
        };
        Self {
            id: room.id.clone(),
            worker: room.worker,
            loudest: room.loudest,
            branches: room.branches.clone(),
            broadcasters: broadcasters.into_iter().map(broadcaster).collect(),
            peers: peers.into_iter().map(peer).collect(),
            viewers: room.viewers,
            transports: room.transports,
            producers: room.producers,
            consumers: room.consumers,
        }
    }
}
