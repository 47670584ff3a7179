//! The shell around the worker state machine: sockets, buffers, pinning, link. It moves bytes and reads the clock.
//!
//! From the outside in: [`run`] starts a worker (`start`), an `executor` drives its `pump`, and the pump turns round
//! and round: it sleeps in the [`driver`], hands the machine the datagrams that arrived, and sends what the machine
//! puts into the outbox. `coalesce` decides whether to wait a moment for more datagrams; `control` is the face of the
//! one that commands the worker, and `link` that of the control plane;
//! `usage` measures the thread; `keep` is what outlives it, `keeper` the one that holds its sockets open meanwhile, and
//! `handing` how descriptors get from one process to another. `mesh` joins the workers of a server to each other, by
//! the memory of a `lane` in either direction between any two. [`sandbox`] is what all parts give up.
//!
//! Never here: anything about RTP. Unsafe code is in the driver, in `ring`, `mmsg` and `arena`, and in `sandbox`.

#![deny(unsafe_code)]

pub mod coalesce;
mod control;
pub mod driver;
mod executor;
mod handing;
mod keep;
mod keeper;
mod lane;
mod link;
mod memory;
mod mesh;
mod pump;
pub mod sandbox;
mod servers;
mod start;
mod trespass;
mod usage;

use std::os::unix::net::UnixStream;

pub use control::{Control, Machine, Served};
pub use handing::{hand_over, take_over};
pub use keep::{Keep, WaitForKeep};
pub use keeper::{HeldSockets, Keeper};
pub use mesh::{Ends, Mesh};

/// Runs a worker on the calling thread until its link ends or it is told to shut down.
///
/// The first frame on the link is its [`corecast_wire::WorkerConfig`]. The thread is pinned to the core named there.
///
/// # Errors
/// The reason why the worker could not start; control has been told by [`corecast_wire::Event::StartFailed`].
pub fn run(link: UnixStream) -> Result<(), corecast_wire::StartError> {
    start::run(link, None, None)
}

/// The same, of a worker that keeps what outlives it. If the worker before left something there, this one goes on with
/// the calls of that one: with the keys, the numbers and the paths that they had. It waits for what is kept when
/// everything else is prepared, so that the worker before may live until then.
///
/// # Errors
/// As of [`run`]; or what is kept does not come.
pub fn run_keeping(link: UnixStream, keep: WaitForKeep) -> Result<(), corecast_wire::StartError> {
    start::run(link, Some(keep), None)
}

/// The same, of a worker that is joined to others; it may keep something or not.
///
/// # Errors
/// As of [`run_keeping`].
pub fn run_among(link: UnixStream, ends: Ends, keep: Option<WaitForKeep>) -> Result<(), corecast_wire::StartError> {
    start::run(link, keep, Some(ends))
}

/// Runs a worker on the calling thread, commanded from the same thread, until [`Control::serve`] ends it.
///
/// # Errors
/// The reason why the worker could not start; `control` has been told by [`corecast_wire::Event::StartFailed`].
pub fn run_with(
    config: corecast_wire::WorkerConfig,
    control: Box<dyn Control>,
) -> Result<(), corecast_wire::StartError> {
    start::run_with(config, control, None, None)
}

#[cfg(test)]
mod tests {
    /// A configuration for tests.
    pub(crate) fn config() -> corecast_wire::WorkerConfig {
        corecast_wire::WorkerConfig {
            index: 0,
            core: 0,
            io: corecast_wire::Io::Auto,
            executor: corecast_wire::Executor::Glommio,
            coalesce: corecast_wire::Coalesce::Off,
            gro: true,
            huge_pages: corecast_wire::HugePages::Auto,
            sandbox: corecast_wire::Sandbox::Off,
            port_range: (42_000, 42_010),
            recv_buffer_bytes: 1 << 20,
            send_buffer_bytes: 1 << 20,
            max_sound_wait_us: 0,
            max_media_age_ms: 200,
            max_packets_per_s: 20_000,
            data: corecast_wire::DataLimits::DEFAULT,
            maxima: corecast_wire::Maxima::DEFAULT,
            webrtc: None,
            is_blamed: false,
            test_hooks: false,
        }
    }
}
