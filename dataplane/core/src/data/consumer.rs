//! A data consumer: one data producer's messages, sent out on a stream of a transport.

use std::borrow::Cow;
use std::collections::BTreeSet;

use corecast_wire::{
    ConsumeDataOptions, DataConsumerId, DataConsumerStats, DataProducerId, Discard, Discards, SctpStreamParameters,
    Subchannels, TransportId,
};

use super::subchannels;
use crate::key::{DataProducerKey, TransportKey};

/// A data consumer.
#[derive(Debug)]
pub(crate) struct DataConsumer {
    id: DataConsumerId,
    transport: TransportKey,
    producer: DataProducerKey,
    options: ConsumeDataOptions,
    /// It leaves through a pipe, which carries subchannels on.
    pipe: bool,
    subchannels: BTreeSet<u16>,
    /// Messages were lost because its receiver is slow, and it has been told.
    is_full: bool,
    /// It was asked to be told when no more than this waits, in bytes.
    low_threshold: Option<u32>,
    messages_sent: u64,
    bytes_sent: u64,
    discards: Discards,
}

impl DataConsumer {
    pub(crate) fn new(
        id: DataConsumerId,
        transport: TransportKey,
        producer: DataProducerKey,
        options: ConsumeDataOptions,
    ) -> Self {
        Self {
            id,
            transport,
            producer,
            options,
            pipe: false,
            subchannels: BTreeSet::new(),
            is_full: false,
            low_threshold: None,
            messages_sent: 0,
            bytes_sent: 0,
            discards: Discards::default(),
        }
    }

    /// Whether it leaves through a pipe.
    #[must_use]
    pub(crate) const fn piping(mut self, pipe: bool) -> Self {
        self.pipe = pipe;
        self
    }

    /// The subchannels that it listens to from now on.
    pub(crate) fn set_subchannels(&mut self, subchannels: &[u16]) {
        self.subchannels = subchannels.iter().copied().collect();
    }

    /// A message as it is sent to this consumer; `None` if it is not meant.
    pub(crate) fn address<'a>(&self, to: &Subchannels, payload: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        if !to.is_all() && !subchannels::is_meant(&self.subchannels, self.pipe, to) {
            return None;
        }
        let carried = if self.pipe { subchannels::carry(&self.subchannels, to, payload) } else { None };
        Some(carried.map_or(Cow::Borrowed(payload), Cow::Owned))
    }

    pub(crate) const fn id(&self) -> DataConsumerId {
        self.id
    }

    pub(crate) const fn transport(&self) -> TransportKey {
        self.transport
    }

    pub(crate) const fn producer(&self) -> DataProducerKey {
        self.producer
    }

    /// The stream on which its messages leave.
    pub(crate) const fn stream(&self) -> u16 {
        self.options.stream
    }

    /// How they are delivered.
    pub(crate) const fn parameters(&self) -> SctpStreamParameters {
        self.options.parameters
    }

    pub(crate) const fn is_paused(&self) -> bool {
        self.options.paused
    }

    pub(crate) const fn set_paused(&mut self, paused: bool) {
        self.options.paused = paused;
    }

    /// Control wants to know when no more than this waits, in bytes.
    pub(crate) const fn tell_low(&mut self, bytes: u32) {
        self.low_threshold = Some(bytes);
    }

    /// What control calls little, if it wants to know.
    pub(crate) const fn low_threshold(&self) -> Option<u32> {
        self.low_threshold
    }

    /// Little waits now. True if that is to be told.
    pub(crate) const fn record_low(&mut self) -> bool {
        let tells = self.is_full || self.low_threshold.is_some();
        self.is_full = false;
        tells
    }

    /// Counts a message that was sent.
    pub(crate) const fn count(&mut self, bytes: usize) {
        self.messages_sent += 1;
        self.bytes_sent += bytes as u64;
    }

    /// Counts a message that it was not sent. True if that is to be told: the first since much waits.
    pub(crate) fn discard(&mut self, why: Discard) -> bool {
        self.discards.count(why);
        why == Discard::SendBufferFull && !std::mem::replace(&mut self.is_full, true)
    }

    /// Its counters, for control.
    pub(crate) fn stats(
        &self,
        transport: TransportId,
        producer: DataProducerId,
        buffered_amount: usize,
    ) -> DataConsumerStats {
        DataConsumerStats {
            data_consumer: self.id,
            transport,
            data_producer: producer,
            paused: self.options.paused,
            messages_sent: self.messages_sent,
            bytes_sent: self.bytes_sent,
            buffered_amount: u32::try_from(buffered_amount).unwrap_or(u32::MAX),
            discards: self.discards.clone(),
        }
    }
}
