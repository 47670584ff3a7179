//! The shell around the worker state machine: sockets, buffers, pinning, link. It moves bytes and reads the clock.

mod address;
pub mod driver;
mod mmsg;
mod outgoing;
mod sockets;

use std::os::unix::net::UnixStream;

/// Runs a worker on the calling thread until its link ends or it is told to shut down.
///
/// The first frame on the link is its [`corecast_wire::WorkerConfig`]. The thread is pinned to the core named there.
///
/// # Errors
/// What kept it from starting; control has been told by [`corecast_wire::Event::StartFailed`].
pub fn run(link: UnixStream) -> Result<(), corecast_wire::StartError> {
    drop(link);
    Err(corecast_wire::StartError::Other("not built yet".into()))
}
