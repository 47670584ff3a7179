//! The machine as its shell sees it: datagrams in, datagrams out.

mod active_layers;
mod bed;
mod catching_up;
mod clocks;
mod congestion;
mod forwarding;
mod headers;
mod history;
mod key_frames;
mod layers;
mod observers;
mod overload;
mod padding;
mod parting;
mod pictures;
mod queue;
mod ranks;
mod reports;
mod requests;
mod rounds;
mod sound;
mod spatial;
mod ssrc_changes;
mod streams;
mod temporal;
mod together;
