//! Media as it is received: producers, their streams, and the history of packets from which everything is sent.

mod held;
mod history;
mod key_frame;
mod layers;
mod measured;
mod missing;
mod producer;
mod rate;
mod reception;
mod sender_clock;
mod sequence;
mod share;
mod stream;
mod volume;
mod wanted;
mod withheld;

pub(crate) use history::PacketMeta;
pub use history::{History, SlotRef};
pub(crate) use key_frame::KeyFrameRequests;
pub(crate) use layers::{Layers, bit};
pub(crate) use measured::Measured;
pub(crate) use producer::Producer;
pub(crate) use reception::{Arrival, Reception, SenderReport};
pub(crate) use sender_clock::SenderClock;
pub(crate) use sequence::{Extended, FIRST_CYCLE, nearest};
pub(crate) use share::Holder;
pub(crate) use stream::{Before, Stream};
pub(crate) use volume::TEMPORAL_LAYERS;
pub(crate) use wanted::Seen;
pub(crate) use withheld::{Column, Count, Filter, Withheld};
