//! corecast's load generator: video-like RTP in, hundreds of receivers out, and the floor beside it.

pub mod clock;
pub mod crypto;
pub mod packet;
pub mod publishers;
pub mod ring;
pub mod schedule;
pub mod sockets;
pub mod subscribers;
