//! A direct transport: no sockets, its messages come from control and go to it (mediasoup's DirectTransport).

use crate::key::{DataConsumerKey, DataProducerKey};

/// What a direct transport has.
#[derive(Debug, Default)]
pub(crate) struct Direct {
    producers: Vec<DataProducerKey>,
    consumers: Vec<DataConsumerKey>,
}

impl Direct {
    /// Its data producers.
    pub(crate) fn producers(&self) -> &[DataProducerKey] {
        &self.producers
    }

    /// Its data consumers.
    pub(crate) fn consumers(&self) -> &[DataConsumerKey] {
        &self.consumers
    }

    pub(crate) fn add_producer(&mut self, key: DataProducerKey) {
        self.producers.push(key);
    }

    pub(crate) fn add_consumer(&mut self, key: DataConsumerKey) {
        self.consumers.push(key);
    }

    pub(crate) fn remove_producer(&mut self, key: DataProducerKey) {
        self.producers.retain(|producer| *producer != key);
    }

    pub(crate) fn remove_consumer(&mut self, key: DataConsumerKey) {
        self.consumers.retain(|consumer| *consumer != key);
    }
}
