//! A data producer: messages that come on one stream of a transport.

use corecast_wire::{DataProducerId, DataProducerStats, ProduceDataOptions, TransportId};

use crate::key::{DataConsumerKey, TransportKey};

/// A data producer.
#[derive(Debug)]
pub(crate) struct DataProducer {
    id: DataProducerId,
    transport: TransportKey,
    options: ProduceDataOptions,
    consumers: Vec<DataConsumerKey>,
    messages_received: u64,
    bytes_received: u64,
}

impl DataProducer {
    pub(crate) fn new(id: DataProducerId, transport: TransportKey, options: &ProduceDataOptions) -> Self {
        let options = options.clone();
        Self { id, transport, options, consumers: Vec::new(), messages_received: 0, bytes_received: 0 }
    }

    pub(crate) const fn id(&self) -> DataProducerId {
        self.id
    }

    pub(crate) const fn transport(&self) -> TransportKey {
        self.transport
    }

    /// The stream on which its messages come.
    pub(crate) const fn stream(&self) -> u16 {
        self.options.stream
    }

    pub(crate) const fn is_paused(&self) -> bool {
        self.options.paused
    }

    pub(crate) const fn set_paused(&mut self, paused: bool) {
        self.options.paused = paused;
    }

    /// Who is sent its messages.
    pub(crate) fn consumers(&self) -> &[DataConsumerKey] {
        &self.consumers
    }

    pub(crate) fn add_consumer(&mut self, key: DataConsumerKey) {
        self.consumers.push(key);
    }

    pub(crate) fn remove_consumer(&mut self, key: DataConsumerKey) {
        self.consumers.retain(|other| *other != key);
    }

    /// Counts a message that has come.
    pub(crate) const fn count(&mut self, bytes: usize) {
        self.messages_received += 1;
        self.bytes_received += bytes as u64;
    }

    /// Its counters, for control.
    pub(crate) fn stats(&self, transport: TransportId) -> DataProducerStats {
        DataProducerStats {
            data_producer: self.id,
            transport,
            label: self.options.label.clone(),
            protocol: self.options.protocol.clone(),
            paused: self.options.paused,
            messages_received: self.messages_received,
            bytes_received: self.bytes_received,
        }
    }
}
