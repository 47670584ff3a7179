//! The worker state machine of corecast, sans-IO.
//!
//! [`Worker`] is told what arrived and what time it is, and fills an [`Outbox`] with what to send. Around it is a shell
//! that moves bytes and reads the clock; replace the shell by a simulated network and the same machine runs faster than
//! real time, the same way every time.
//!
//! The folders, from the bottom up; none imports from one further down this list:
//!
//! - `rtp`, `rtcp`, `stun`, `codec`: formats. They parse and write, and keep no state.
//! - `srtp`, `dtls`, `ice`, `sctp`: engines, each the security, connectivity or messages of one transport.
//! - `media`, `io`, `data`, `consumer`, `congestion`, `transport`: the state of a worker's objects.
//! - `worker`: what is done to them, in files in the order in which a packet meets them.

#![forbid(unsafe_code)]

pub mod codec;
mod config;
pub mod congestion;
mod consumer;
mod data;
mod dtls;
mod ice;
mod io;
mod key;
pub mod limits;
mod media;
mod memory;
mod observers;
mod ration;
pub mod rtcp;
pub mod rtp;
mod sctp;
pub mod srtp;
pub mod stun;
mod time;
mod transport;
mod worker;

pub use config::Config;
pub use dtls::gather_randomness;
pub use io::{Endpoint, EndpointId, EndpointOp, Outbox, OutboxSize, Path, Piece, Train, demux};
pub use media::{History, SlotRef};
pub use memory::{Memory, MemorySource, PLACES, Words};
pub use time::{Instant, SystemInstant};
pub use worker::{Forward, Totals, Worker};
