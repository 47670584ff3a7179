//! corecast's load generator: video-like RTP in, hundreds of receivers out, and the floor beside it.

pub mod args;
pub mod calls;
pub mod clock;
pub mod cpu;
pub mod crypto;
pub mod fanout;
pub mod flood;
pub mod floor;
pub mod floor_loop;
pub mod floor_table;
pub mod generator;
pub mod http;
pub mod outcome;
pub mod packet;
pub mod plot;
pub mod progress;
pub mod publishers;
pub mod report;
pub mod ring;
pub mod rtp;
pub mod schedule;
pub mod sockets;
pub mod subscribers;
pub mod target;
pub mod webrtc;
pub mod worker;
