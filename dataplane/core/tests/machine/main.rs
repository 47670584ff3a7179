//! The machine as its shell sees it: datagrams in, datagrams out.

mod bed;
mod congestion;
mod forwarding;
mod headers;
mod key_frames;
mod layers;
mod pictures;
mod reports;
mod streams;
