//! corecast: signaling, placement, usage and supervision around the workers of the data plane.
//!
//! One program in three roles: the supervisor (no role given), the server that it starts, and with
//! `isolation = "process"` one process per worker that the server starts.

#![deny(unsafe_code)]

mod config;
mod ortc;
mod settings;

fn main() {}
