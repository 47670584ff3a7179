//! A packet on the way from one end of a flow to the other.

use super::media::Feedback;

/// What is on the way.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) flow: usize,
    pub(super) bytes: u32,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Media(u64),
    Feedback(Feedback),
    Segment(u64),
    Ack(u64),
}
