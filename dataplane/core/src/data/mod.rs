//! Data producers and data consumers: messages of data channels, from one remote side to others (mediasoup's
//! DataProducer and DataConsumer).

mod consumer;
mod producer;
pub(crate) mod subchannels;

pub(crate) use consumer::DataConsumer;
pub(crate) use producer::DataProducer;
