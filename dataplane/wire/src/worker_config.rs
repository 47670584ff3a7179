//! What a worker is told before it starts: the first frame on its link.

use serde::{Deserialize, Serialize};

use crate::{DataLimits, Maxima, WebRtcConfig};

/// How a worker talks to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Io {
    /// io_uring where the host allows it, system calls otherwise.
    Auto,
    /// io_uring, or fail.
    Uring,
    /// `recvmmsg` and `sendmmsg`.
    Syscalls,
}

/// Whether a worker waits a moment for more datagrams before it works, as a network card moderates its interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Coalesce {
    /// Never.
    Off,
    /// From the load, at most 1 ms.
    Auto,
    /// Always this many microseconds, at most 1,000.
    Fixed(u32),
}

/// What runs a worker's main loop on its pinned thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Executor {
    /// A glommio executor with one queue for media and one for housekeeping. It needs io_uring: a worker on system
    /// calls runs its loop plainly.
    Glommio,
    /// The thread itself.
    Thread,
}

/// Whether a worker asks for huge pages for its buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HugePages {
    /// Yes; the kernel gives small pages where it has no huge ones.
    Auto,
    /// No.
    Off,
}

/// Whether a part of the server gives up what it does not need, once it has what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sandbox {
    /// Yes, as far as the kernel can.
    On,
    /// No, but the kernel's log says which system calls would be refused.
    Log,
    /// No.
    Off,
}

/// First frame on a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerConfig {
    /// Position in the pool, from 0.
    pub index: u32,
    /// CPU to pin to.
    pub core: u32,
    /// Driver.
    pub io: Io,
    /// Executor.
    pub executor: Executor,
    /// Interrupt moderation.
    pub coalesce: Coalesce,
    /// Receive with `UDP_GRO`.
    pub gro: bool,
    /// Pages of the buffers.
    pub huge_pages: HugePages,
    /// What it gives up once its sockets are open.
    pub sandbox: Sandbox,
    /// Ports from which transports are given theirs: first and last, this worker's alone.
    pub port_range: (u16, u16),
    /// Wanted `SO_RCVBUF` of each media socket, in bytes.
    pub recv_buffer_bytes: u32,
    /// Wanted `SO_SNDBUF` of each media socket, in bytes.
    pub send_buffer_bytes: u32,
    /// Most that a packet of sound waits for others to leave with, in microseconds; 0 for never.
    pub max_sound_wait_us: u32,
    /// Media that is older than this when its turn comes is not forwarded, in milliseconds. What matters less goes
    /// sooner, if the worker stays behind.
    pub max_media_age_ms: u32,
    /// RTP packets that are taken in of one transport, per second on average over a second.
    pub max_packets_per_s: u32,
    /// What data channels may hold.
    pub data: DataLimits,
    /// Objects that it holds at most.
    pub maxima: Maxima,
    /// WebRTC transports; without it the worker has none.
    pub webrtc: Option<WebRtcConfig>,
    /// The worker whose place it takes died of something that it did itself: what came of the transport that two such
    /// workers in a row were at is not taken over.
    pub is_blamed: bool,
    /// Answer [`crate::Command::TestHook`], and die of a datagram that ends with [`POISON`].
    pub test_hooks: bool,
}

/// What a datagram ends with of which a worker dies that has [`WorkerConfig::test_hooks`].
pub const POISON: &[u8] = b"corecast: poison";
