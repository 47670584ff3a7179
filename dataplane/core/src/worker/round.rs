//! Where a round of forwarding stands.

/// Whether [`super::Worker::forward`] has more to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// The outbox is full, or messages have had their turn: send it, clear it, take in what has arrived and call again.
    Full,
    /// Everything that arrived has been forwarded.
    Done,
}

/// Where a round of forwarding stands, when the outbox was full in the middle of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    pub(crate) transport: usize,
    pub(crate) pending: usize,
    pub(crate) packet: usize,
}
