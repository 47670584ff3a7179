//! Congestion on the way to us: what a transport's senders are told about it. And on the way from us: what was sent to
//! a receiver, how much the path to it carries (`send`), and what that is spent on.

mod allocation;
mod arrivals;
mod decisions;
mod lost;
mod names;
mod remb;
pub mod send;
mod sending;
mod trains;

pub(crate) use allocation::{Path as PathView, Wish};
pub(crate) use arrivals::Arrivals;
pub(crate) use remb::Remb;
pub(crate) use sending::Sending;
