//! The workers as control sees them: how they come into being, the links to them, commands in batches, events by
//! object, and what they use.
//!
//! Knows commands, replies and events of the link, and no room.

mod commands;
mod events;
#[cfg(test)]
mod fake_sound_and_data;
#[cfg(test)]
pub(crate) mod fake_worker;
mod link;
mod placement;
mod pool;
pub(crate) mod spawn;
mod usage;

pub(crate) use events::{
    ChannelEvent, ChannelEvents, ConsumerState, ConsumerStates, Message, MessageRoute, ProducerStates, Sound,
    TransportState, TransportStates,
};
pub(crate) use link::RequestError;
pub(crate) use pool::{Death, DeathCause, Pool, Spawned, Watch, Worker};
pub(crate) use usage::{LATENCY_BOUNDS_US, Rates, latency_buckets};
