//! The worker state machine of corecast, sans-IO.
//!
//! [`Worker`] is told what arrived and what time it is, and fills an [`Outbox`] with what to send. Around it is a shell
//! that moves bytes and reads the clock; replace the shell by a simulated network and the same machine runs faster than
//! real time, the same way every time.

#![forbid(unsafe_code)]

pub mod codec;
pub mod demux;
mod history;
pub mod limits;
mod outbox;
mod path;
pub mod rtcp;
pub mod rtp;
pub mod srtp;
mod time;
mod worker;

pub use history::{History, SlotRef};
pub use outbox::{Outbox, Piece, Train};
pub use path::{Endpoint, EndpointId, EndpointOp, Path};
pub use time::Instant;
pub use worker::{Config, Forward, Totals, Worker};
