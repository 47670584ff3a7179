//! A WebRTC endpoint that shares no protocol code with the server: ICE by the crate `stun`, DTLS by `dtls`, SRTP by
//! `webrtc-srtp`, SCTP by `sctp-proto`, offers as plain text. It publishes over WHIP (RFC 9725) and watches over WHEP.
//!
//! The load generator joins with it, and so do tests: every step can be taken alone ([`Joining`]), and what an
//! endpoint says of itself can be a lie ([`Options`]).
//!
//! It never resists an attack: the crates that it stands on panic on hostile input (`tests/tests/listed_crates*.rs`).

mod capture;
pub mod channels;
pub mod dtls;
pub mod feedback;
pub mod ice;
pub mod identity;
pub mod joining;
pub mod options;
pub mod records;
pub mod sdp;
pub mod session;
pub mod talking;
pub mod upkeep;
pub mod whip;
mod wire;

#[cfg(test)]
mod responder;
#[cfg(test)]
mod tests;

pub use capture::Capture;
pub use identity::Identity;
pub use joining::{Joining, join};
pub use options::{JoinError, Options, Phase, Times};
pub use session::{Event, Session};
