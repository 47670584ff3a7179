//! Congestion on the way to us: what a transport's senders are told about it.

mod arrivals;
mod remb;

pub(crate) use arrivals::Arrivals;
pub(crate) use remb::Remb;
