//! corecast's load generator: video-like RTP in, hundreds of receivers out, and the floor beside it.

pub mod sockets;
