//! How the server does, for operators: each core's last minutes, the hottest rooms, and the viewers who suffer, with
//! the reason. One source for the dashboard, `corecast top` and `/metrics`.
//!
//! Heartbeats, which come anyway, make the history of the cores. For the viewers, one task looks at the counters of all
//! objects at every second heartbeat, a page at a time, and compares them with those of the look before; packets know
//! nothing of it. `picture` is what is told, `cores` the history, `counted` what a look keeps, `look` the comparison,
//! `complaints` the judgement, `distributions` what adds up for `/metrics`.

mod complaints;
mod cores;
mod counted;
mod distributions;
mod look;
mod picture;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[cfg(test)]
pub(crate) use complaints::Complaint;
pub(crate) use complaints::Reason;
use cores::Cores;
pub(crate) use distributions::{AVAILABLE_BOUNDS_BPS, Buckets, Distributions, LOSS_BOUNDS};
use look::{Looked, Looks};
pub(crate) use picture::{Core, Picture, Present, Series, Unhappy, Viewer};
#[cfg(test)]
pub(crate) use picture::{Now, RoomLoad};

use crate::rooms::Rooms;
use crate::workers::Pool;

/// Heartbeats between two looks at the counters of all objects.
const LOOK_EVERY: u32 = 2;
/// A look takes at most one part of this many of the time: with very many objects looks become rarer.
const LOOK_SHARE: u32 = 10;
/// Rooms and viewers that are told of.
const MAX_ROWS: usize = 20;
/// Viewers of one room that are told of, if it is asked for.
const MAX_OF_ROOM: usize = 200;

/// What has been seen so far.
#[derive(Debug)]
pub(crate) struct Telemetry {
    started: Instant,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    cores: Cores,
    looked: Option<Looked>,
    distributions: Distributions,
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// Points of the history behind this time, in milliseconds since the server started.
    pub(crate) since_ms: u64,
    /// Viewers of this room alone, and more of them.
    pub(crate) room: Option<String>,
}

impl Telemetry {
    /// Nothing has been seen yet.
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes each heartbeat, and looks at all objects once in a while. Does not return.
    pub(crate) async fn watch(&self, pool: &Pool, rooms: &Rooms, heartbeat: Duration) {
        let mut looks = Looks::default();
        let mut next_look = Instant::now();
        loop {
            self.seen().cores.note(pool, self.started.elapsed());
            if Instant::now() >= next_look {
                let began = Instant::now();
                self.look(&mut looks, pool, rooms).await;
                next_look = began + (heartbeat * LOOK_EVERY).max(began.elapsed() * LOOK_SHARE);
            }
            tokio::time::sleep(heartbeat).await;
        }
    }

    async fn look(&self, looks: &mut Looks, pool: &Pool, rooms: &Rooms) {
        match looks.look(pool, rooms).await {
            Ok((looked, observed)) => {
                let mut seen = self.seen();
                seen.distributions.add(&observed);
                seen.looked = Some(looked);
            }
            // Its death is told elsewhere.
            Err(error) => tracing::debug!("the viewers cannot be looked at: {error}"),
        }
    }

    /// What `/metrics` tells of viewers: distributions since the server started, and how many there are by what they
    /// suffer from.
    pub(crate) fn distributions(&self) -> (Distributions, Unhappy) {
        let seen = self.seen();
        (seen.distributions.clone(), seen.looked.as_ref().map(|looked| looked.unhappy).unwrap_or_default())
    }

    /// What has been seen, as far as it is asked for. `cpu_limit` is the share of a core past which no rooms are made,
    /// in percent.
    pub(crate) fn picture(&self, pool: &Pool, cpu_limit: u8, wish: &Wish) -> Picture {
        let seen = self.seen();
        let mut picture = Picture {
            version: env!("CORECAST_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_ms: picture::ms(self.started.elapsed()),
            cpu_limit_percent: cpu_limit,
            cores: seen.cores.told(pool, wish.since_ms),
            ..Picture::default()
        };
        if let Some(looked) = &seen.looked {
            looked.tell(&mut picture, wish.room.as_deref());
        }
        picture
    }
}
