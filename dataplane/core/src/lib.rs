//! The worker state machine of corecast, sans-IO.
//!
//! [`Worker`] is told what arrived and what time it is, and fills an [`Outbox`] with what to send. Around it is a shell
//! that moves bytes and reads the clock; replace the shell by a simulated network and the same machine runs faster than
//! real time, the same way every time.

#![forbid(unsafe_code)]

mod arrivals;
pub mod codec;
mod commands;
mod consumer;
pub mod demux;
mod dtls;
mod extensions;
mod feedback;
mod forward;
mod history;
mod ice;
mod key_frame;
pub mod limits;
mod missing;
mod outbox;
mod path;
mod producer;
mod receive;
mod remb;
mod reports;
mod resolve;
mod retransmit;
mod round_trip;
pub mod rtcp;
pub mod rtp;
mod seal;
mod sequence;
pub mod srtp;
mod stats;
mod stream;
pub mod stun;
mod time;
mod timers;
mod transport;
mod webrtc;
mod worker;

pub use history::{History, SlotRef};
pub use outbox::{Outbox, Piece, Train};
pub use path::{Endpoint, EndpointId, EndpointOp, Path};
pub use time::{Instant, SystemInstant};
pub use worker::{Config, Forward, Totals, Worker};
