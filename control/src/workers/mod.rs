//! The workers as control sees them: how they come into being, the links to them, and what they use.
//!
//! Knows commands, replies and events of the link, and no room.

#[cfg(test)]
pub(crate) mod fake_worker;
pub(crate) mod link;
pub(crate) mod pool;
pub(crate) mod spawn;
pub(crate) mod usage;
