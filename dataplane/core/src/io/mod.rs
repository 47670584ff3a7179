//! What the shell and the machine hand each other: paths, datagrams by kind, packets to send, and when to call again.

pub mod demux;
mod outbox;
mod path;
mod timers;

pub use outbox::{Outbox, OutboxSize, Piece, Train};
pub(crate) use path::Network;
pub use path::{Endpoint, EndpointId, EndpointOp, Path};
pub(crate) use timers::{Deadline, Timer, Timers};
