//! What the API for operators is asked and answers, as JSON. `corecast ctl` reads the same.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ops::bodies::RoomShown;
use crate::ops::stats::Lists;
use crate::settings::Priority;

/// Whether the server takes new work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ServerState {
    /// It makes rooms.
    Open,
    /// It makes no new rooms until it is told otherwise; rooms that are there go on and grow.
    Cordoned,
    /// It makes no new rooms, and is about to stop.
    Draining,
}

/// The server.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServerBody {
    /// Version of corecast.
    pub(crate) version: String,
    /// Its process.
    pub(crate) pid: u32,
    /// Milliseconds since it was started.
    pub(crate) uptime_ms: u64,
    pub(crate) state: ServerState,
    /// What a worker is: "thread" or "process".
    pub(crate) isolation: String,
    /// How many rooms there are.
    pub(crate) rooms: usize,
    pub(crate) workers: Vec<WorkerBody>,
}

/// A worker, as its last heartbeat tells.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkerBody {
    pub(crate) index: u32,
    /// CPU that it is pinned to.
    pub(crate) core: u32,
    pub(crate) pid: u32,
    /// CPU time that it uses, in percent of its core.
    pub(crate) cpu_percent: f64,
    pub(crate) rooms: u32,
    pub(crate) transports: u32,
    pub(crate) producers: u32,
    pub(crate) consumers: u32,
}

/// Every room, by name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomList {
    pub(crate) rooms: Vec<RoomBody>,
}

/// A room, and how many are in it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomBody {
    /// Its name.
    pub(crate) id: String,
    /// The worker that it is on.
    pub(crate) worker: u32,
    pub(crate) participants: usize,
    /// So many of those who speak are heard, the loudest; 0 for all.
    pub(crate) loudest: u16,
    pub(crate) priority: Priority,
    /// Publishers by WHIP.
    pub(crate) publishers: usize,
    pub(crate) broadcasters: usize,
    /// Viewers by WHEP.
    pub(crate) viewers: usize,
    pub(crate) consumers: usize,
}

/// Who is in a room, and who is out of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PeerList {
    /// In the order of coming.
    pub(crate) peers: Vec<PeerBody>,
    /// Names of those who were removed and not invited again, the oldest first.
    pub(crate) removed: Vec<String>,
}

/// A peer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PeerBody {
    /// Its name in the room; that of a viewer is drawn for each session.
    pub(crate) id: String,
    /// "participant", "publisher", "viewer", "broadcaster", "remote publisher" or "machine".
    pub(crate) kind: String,
    pub(crate) display_name: String,
    /// Others are told of it.
    pub(crate) joined: bool,
    /// Address of its client.
    pub(crate) address: String,
    /// Milliseconds since it came.
    pub(crate) age_ms: u64,
    pub(crate) muted: MutedBody,
    pub(crate) producers: Vec<ProducerBody>,
    pub(crate) transports: usize,
    pub(crate) consumers: usize,
}

/// What is muted by an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct MutedBody {
    pub(crate) audio: bool,
    pub(crate) video: bool,
}

/// What a peer publishes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProducerBody {
    pub(crate) id: String,
    /// "audio" or "video".
    pub(crate) kind: String,
    /// By its client.
    pub(crate) paused: bool,
}

/// Everything that is in a room, with counters, in the form of `/stats`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Dump {
    pub(crate) room: RoomShown,
    pub(crate) members: PeerList,
    #[serde(flatten)]
    pub(crate) objects: Lists,
}

/// What is to be muted, or not any longer; what is not named stays as it is.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MuteBody {
    pub(crate) audio: Option<bool>,
    pub(crate) video: Option<bool>,
}

/// How many of those who speak are heard.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoudestBody {
    /// So many at most, the loudest; 0 for all.
    pub(crate) speakers: u16,
}

/// How much a room matters beside the others.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PriorityBody {
    pub(crate) priority: Priority,
}

/// What is logged from now on.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogBody {
    /// A filter as `log.filter` has it: `debug`, `corecast=debug,warn`.
    pub(crate) filter: String,
}
