//! Congestion on the way to us: what a transport's senders are told about it. And on the way from us: how much the path
//! to a receiver carries (`send`).

mod arrivals;
mod remb;
pub mod send;

pub(crate) use arrivals::Arrivals;
pub(crate) use remb::Remb;
