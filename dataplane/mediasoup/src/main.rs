//! corecast as mediasoup's worker: a program that mediasoup's Node library starts and commands as it does its own.
//!
//! One process is one worker: the data plane on one thread, and on the same thread a *door* that says to it in commands
//! what the library says in FlatBuffers on descriptors 3 and 4. The door holds no media logic.

mod certificate;
mod channel;
mod cores;
mod descriptors;
mod door;
mod log;
mod options;
mod refusal;
mod start;

use std::process::exit;

fn main() {
    exit(start::run());
}
