//! Messages of data channels: SCTP in, what is said about channels, and messages out to data consumers.
//!
//! What arrives is taken in at once by its association; what comes of it is done when media has had its turn: one
//! transport after the other sends what its association has to send, few packets in a turn, and then one message of it
//! is passed on. So those to whom it goes have their turn before the next one.

use std::collections::{BTreeMap, VecDeque};

use corecast_wire::{
    DataConsumerId, DataProducerId, Discard, Event, SctpState, SctpStreamParameters, StreamClosing, Subchannels,
};

use super::Worker;
use super::round::Forward;
use crate::data::{DataConsumer, DataProducer, subchannels};
use crate::io::{Outbox, Timer};
use crate::key::{DataConsumerKey, DataProducerKey, OfDataConsumer, OfDataProducer, Table, TransportKey};
use crate::limits::{DATA_TURN_PACKETS, MAX_ASSOCIATIONS, MAX_CHANNELS_PER_TRANSPORT};
use crate::sctp::{Association, MessageKind, SendError, dcep};
use crate::time::Instant;
use crate::transport::{Channels, Opened, Transport};

/// What a worker has for data channels.
#[derive(Debug, Default)]
pub(super) struct Messages {
    pub(super) producers: Table<OfDataProducer, DataProducer>,
    pub(super) consumers: Table<OfDataConsumer, DataConsumer>,
    pub(super) producer_by_id: BTreeMap<DataProducerId, DataProducerKey>,
    pub(super) consumer_by_id: BTreeMap<DataConsumerId, DataConsumerKey>,
    /// Transports whose associations have something to send or to pass on.
    active: VecDeque<TransportKey>,
    associations: usize,
    /// Bytes of messages that no receiver has acknowledged yet.
    pub(super) held_bytes: usize,
}

impl Worker {
    /// Takes in an SCTP packet: one that DTLS has authenticated, or a plain transport's.
    pub(crate) fn receive_sctp(&mut self, now: Instant, key: TransportKey, packet: &[u8]) -> Result<(), Discard> {
        let channels = self.transports.get_mut(key).and_then(Transport::channels_mut);
        let channels = channels.ok_or(Discard::UnexpectedSctp)?;
        if channels.association().is_none() {
            if !channels.may_begin(now) {
                return Err(Discard::UnexpectedSctp);
            }
            self.begin_association(now, key)?;
            self.report_sctp_state(key, SctpState::Connecting, String::new());
        }
        self.with_association(now, key, |association| association.handle_packet(now, packet));
        Ok(())
    }

    /// Makes the association of a transport that has none.
    pub(super) fn begin_association(&mut self, now: Instant, key: TransportKey) -> Result<(), Discard> {
        if self.messages.associations >= MAX_ASSOCIATIONS {
            return Err(Discard::UnexpectedSctp);
        }
        let channels = self.transports.get_mut(key).and_then(Transport::channels_mut);
        let channels = channels.ok_or(Discard::UnexpectedSctp)?;
        channels.begin(self.config.data, now);
        self.messages.associations += 1;
        // What those were told who had another association before.
        for consumer in channels.consumers().collect::<Vec<_>>() {
            let Some(consumer) = self.messages.consumers.get(consumer) else { continue };
            if let Some((bytes, association)) = consumer.low_threshold().zip(channels.association_mut()) {
                association.set_buffered_amount_low_threshold(consumer.stream(), bytes);
            }
        }
        Ok(())
    }

    /// Calls an association, if there is one, and lets what comes of it have its turn.
    pub(super) fn with_association<T>(
        &mut self,
        now: Instant,
        key: TransportKey,
        call: impl FnOnce(&mut Association) -> T,
    ) -> Option<T> {
        let channels = self.transports.get_mut(key).and_then(Transport::channels_mut)?;
        let association = channels.association_mut()?;
        let held = association.held_bytes();
        let result = call(association);
        self.messages.held_bytes = (self.messages.held_bytes + association.held_bytes()).saturating_sub(held);
        if let Some(due) = association.next_timeout() {
            channels.deadline().arm(&mut self.timers, due.max(now), Timer::Sctp(key));
        }
        self.activate(key);
        Some(result)
    }

    pub(crate) fn sctp_timeout(&mut self, now: Instant, at: Instant, key: TransportKey) {
        let channels = self.transports.get_mut(key).and_then(Transport::channels_mut);
        if channels.is_some_and(|channels| channels.deadline().fires(at)) {
            self.with_association(now, key, |association| association.handle_timeout(now));
        }
    }

    /// When [`Worker::forward`] is to be called for messages: at once, or not at all.
    pub(super) fn messages_due(&self) -> Option<Instant> {
        (!self.messages.active.is_empty()).then(Instant::default)
    }

    /// Sends what associations have to send and passes messages on, until nothing is left, or the outbox is full, or so
    /// much has left that media may have come meanwhile.
    pub(super) fn forward_messages(&mut self, now: Instant, outbox: &mut Outbox) -> Forward {
        let mut packets = DATA_TURN_PACKETS;
        while let Some(key) = self.messages.active.front().copied() {
            if !self.send_packets(now, key, &mut packets, outbox) {
                return Forward::Full;
            }
            self.messages.active.pop_front();
            if let Some(channels) = self.transports.get_mut(key).and_then(Transport::channels_mut) {
                channels.rest();
            }
            let Some((stream, kind, payload)) = self.next_message(key) else { continue };
            if let Err(why) = self.take_message(now, key, stream, kind, &payload) {
                self.discard(key, why);
            }
            // There may be more: behind those to whom this one goes.
            self.activate(key);
        }
        Forward::Done
    }

    /// A message that has come whole, unless control has to say something first.
    fn next_message(&mut self, key: TransportKey) -> Option<(u16, Option<MessageKind>, Vec<u8>)> {
        let channels = self.transports.get_mut(key)?.channels_mut().filter(|channels| !channels.awaits_control())?;
        channels.association_mut()?.take_message()
    }

    /// A transport's association is to have its turn.
    fn activate(&mut self, key: TransportKey) {
        let channels = self.transports.get_mut(key).and_then(Transport::channels_mut);
        if channels.is_some_and(Channels::activate) {
            self.messages.active.push_back(key);
        }
    }

    /// DTLS is connected, or the remote side of a plain transport is known: an association that control has asked for
    /// may begin. One of which nobody needs anything does not, since the other side may have no SCTP.
    pub(super) fn connect_association(&mut self, now: Instant, key: TransportKey) {
        if self.with_association(now, key, |association| association.connect(now)) == Some(true) {
            self.report_sctp_state(key, SctpState::Connecting, String::new());
        }
    }

    /// An association is over: its channels are closed.
    pub(super) fn end_association(&mut self, now: Instant, key: TransportKey, cause: String) {
        let Some(channels) = self.transports.get_mut(key).and_then(Transport::channels_mut) else { return };
        let Some(association) = channels.association() else { return };
        self.messages.held_bytes = self.messages.held_bytes.saturating_sub(association.held_bytes());
        self.messages.associations = self.messages.associations.saturating_sub(1);
        channels.end(now);
        channels.deadline().set(&mut self.timers, None, Timer::Sctp(key));
        let closing = channels.closing();
        for stream in channels.streams() {
            match closing {
                StreamClosing::WithStream => self.stream_closed(key, stream),
                StreamClosing::ByControl => self.forget_channel(key, stream),
            }
        }
        self.report_sctp_state(key, SctpState::Closed, cause);
    }

    pub(super) fn report_sctp_state(&mut self, key: TransportKey, state: SctpState, detail: String) {
        if let Some(transport) = self.transports.get(key) {
            let association = transport.channels().and_then(Channels::association);
            let streams = association.filter(|_| state == SctpState::Connected).and_then(Association::streams);
            let transport = transport.id();
            self.push_event(Event::SctpStateChanged { transport, state, detail, streams });
        }
    }

    /// The remote side has closed streams (RFC 8831 section 6.7): our halves of them are closed as well.
    pub(super) fn streams_reset(&mut self, now: Instant, key: TransportKey, streams: Vec<u16>) {
        let Some(channels) = self.transports.get(key).and_then(Transport::channels) else { return };
        let (known, closing) = (channels.streams(), channels.closing());
        let streams = if streams.is_empty() { known.clone() } else { streams };
        for stream in streams.into_iter().filter(|stream| known.contains(stream)) {
            match closing {
                StreamClosing::WithStream => {
                    self.with_association(now, key, |association| association.reset(now, stream));
                    self.stream_closed(key, stream);
                }
                StreamClosing::ByControl if self.has_data_channels(key) => self.stream_left(key, stream),
                StreamClosing::ByControl => {}
            }
        }
    }

    /// Whether its streams are data channels, and not those of a pipe or a plain transport.
    pub(super) fn has_data_channels(&self, key: TransportKey) -> bool {
        self.transports.get(key).is_some_and(|transport| transport.webrtc().is_some())
    }

    /// The remote side has closed a data channel whose data producer control closes: that stays.
    fn stream_left(&mut self, key: TransportKey, stream: u16) {
        self.forget_channel(key, stream);
        self.leave_stream(key, stream);
        let Some(transport) = self.transports.get(key) else { return };
        let (id, consumers) = (transport.id(), transport.channels().map(|channels| channels.consumers_on(stream)));
        consumers.into_iter().flatten().for_each(|consumer| self.close_data_consumer(consumer));
        self.push_event(Event::DataChannelClosed { transport: id, stream });
    }

    /// A channel that the remote side had opened by itself is closed, and what is on its stream stays.
    fn forget_channel(&mut self, key: TransportKey, stream: u16) {
        if let Some(channels) = self.transports.get_mut(key).and_then(Transport::channels_mut) {
            channels.close(stream);
        }
    }

    /// Control has closed what was on a stream: our half of that closes with the association's next turn, where control
    /// says when.
    pub(super) fn leave_stream(&mut self, key: TransportKey, stream: u16) {
        let Some(channels) = self.transports.get_mut(key).and_then(Transport::channels_mut) else { return };
        if channels.closing() == StreamClosing::ByControl {
            channels.leave(stream);
            self.activate(key);
        }
    }

    /// A stream that was in use is closed, and control has not asked for it.
    fn stream_closed(&mut self, key: TransportKey, stream: u16) {
        self.close_channel(key, stream);
        if let Some(transport) = self.transports.get(key) {
            let transport = transport.id();
            self.push_event(Event::DataChannelClosed { transport, stream });
        }
    }

    /// A message has come on a stream: about a channel, or for those who consume it.
    fn take_message(
        &mut self,
        now: Instant,
        key: TransportKey,
        stream: u16,
        kind: Option<MessageKind>,
        payload: &[u8],
    ) -> Result<(), Discard> {
        let kind = kind.ok_or(Discard::MalformedMessage)?;
        if kind == MessageKind::Dcep {
            return self.take_dcep(now, key, stream, payload);
        }
        let channels = self.transports.get(key).and_then(Transport::channels).ok_or(Discard::UnexpectedSctp)?;
        let producer = channels.producer(stream).ok_or(Discard::UnknownDataStream)?;
        let is_pipe = self.transports.get(key).is_some_and(Transport::is_pipe);
        let whole = || Some((Subchannels::default(), payload));
        let brought = if is_pipe { subchannels::decode(payload) } else { whole() };
        let (to, payload) = brought.ok_or(Discard::MalformedMessage)?;
        self.pass_on(now, producer, kind, payload, &to)
    }

    /// A message of a data producer goes to those who consume it.
    pub(super) fn pass_on(
        &mut self,
        now: Instant,
        producer: DataProducerKey,
        kind: MessageKind,
        payload: &[u8],
        to: &Subchannels,
    ) -> Result<(), Discard> {
        let producer = self.messages.producers.get_mut(producer).ok_or(Discard::UnknownDataStream)?;
        producer.count(payload.len());
        if producer.is_paused() {
            return Err(Discard::DataProducerPaused);
        }
        for consumer in producer.consumers().to_vec() {
            let addressed = self.messages.consumers.get(consumer).and_then(|consumer| consumer.address(to, payload));
            let Some(payload) = addressed else { continue };
            if let Err(why) = self.send_message(now, consumer, kind, &payload) {
                self.discards.count(why);
                let Some(consumer) = self.messages.consumers.get_mut(consumer) else { continue };
                if consumer.discard(why) {
                    let data_consumer = consumer.id();
                    self.push_event(Event::DataConsumerSendBufferFull { data_consumer });
                }
            }
        }
        Ok(())
    }

    pub(super) fn send_message(
        &mut self,
        now: Instant,
        key: DataConsumerKey,
        kind: MessageKind,
        payload: &[u8],
    ) -> Result<(), Discard> {
        let consumer = self.messages.consumers.get(key).ok_or(Discard::MessageRefused)?;
        if consumer.is_paused() {
            return Err(Discard::DataConsumerPaused);
        }
        if self.deliver(key, kind, payload) {
            return Ok(());
        }
        let consumer = self.messages.consumers.get(key).ok_or(Discard::MessageRefused)?;
        if (self.messages.held_bytes + payload.len()) as u64 > self.config.data.worker_bytes {
            return Err(Discard::SendBufferFull);
        }
        let (transport, stream, parameters) = (consumer.transport(), consumer.stream(), consumer.parameters());
        let send = |association: &mut Association| association.send(now, stream, kind, payload, parameters);
        let sent = self.with_association(now, transport, send).ok_or(Discard::MessageRefused)?;
        sent.map_err(|error| match error {
            SendError::BufferFull => Discard::SendBufferFull,
            SendError::Refused => Discard::MessageRefused,
        })?;
        if let Some(consumer) = self.messages.consumers.get_mut(key) {
            consumer.count(payload.len());
        }
        Ok(())
    }

    /// A message of the Data Channel Establishment Protocol (RFC 8832).
    fn take_dcep(&mut self, now: Instant, key: TransportKey, stream: u16, payload: &[u8]) -> Result<(), Discard> {
        let open = match dcep::parse(payload).ok_or(Discard::MalformedMessage)? {
            dcep::Message::Open(open) => open,
            dcep::Message::Ack => return Ok(()),
        };
        let transport = self.transports.get_mut(key).ok_or(Discard::NoTransport)?;
        let id = transport.id();
        let channels = transport.channels_mut().ok_or(Discard::UnexpectedSctp)?;
        match channels.open(stream, &open, MAX_CHANNELS_PER_TRANSPORT) {
            Opened::New => {
                let dcep::Open { label, protocol, parameters } = open;
                self.push_event(Event::DataChannelOpened { transport: id, stream, label, protocol, parameters });
            }
            Opened::Again => self.acknowledge(now, key, stream),
            Opened::Refused => {
                let is_open = channels.streams().contains(&stream);
                self.with_association(now, key, |association| association.reset(now, stream));
                if is_open {
                    self.stream_closed(key, stream);
                }
            }
        }
        Ok(())
    }

    /// Tells the remote side that its channel is open.
    pub(super) fn acknowledge(&mut self, now: Instant, key: TransportKey, stream: u16) {
        self.with_association(now, key, |association| {
            let (kind, reliable) = (MessageKind::Dcep, SctpStreamParameters::RELIABLE);
            // Fails only behind a full buffer, and then the remote side has other worries.
            let _ = association.send(now, stream, kind, &dcep::ACKNOWLEDGEMENT, reliable);
        });
    }

    /// What waits on a stream has become little.
    pub(super) fn buffered_amount_low(&mut self, key: TransportKey, stream: u16) {
        let Some(channels) = self.transports.get(key).and_then(Transport::channels) else { return };
        let amount = channels.association().map_or(0, |association| association.buffered_amount(stream));
        let buffered_amount = u32::try_from(amount).unwrap_or(u32::MAX);
        for consumer in channels.consumers_on(stream) {
            let Some(consumer) = self.messages.consumers.get_mut(consumer) else { continue };
            if consumer.record_low() {
                let data_consumer = consumer.id();
                self.push_event(Event::DataConsumerBufferedAmountLow { data_consumer, buffered_amount });
            }
        }
    }

    /// Ends the association of a transport that is about to be closed, and what it has for data.
    pub(super) fn close_channels(&mut self, key: TransportKey) {
        if let Some(direct) = self.transports.get(key).and_then(Transport::direct_ref) {
            let (producers, consumers) = (direct.producers().to_vec(), direct.consumers().to_vec());
            producers.into_iter().for_each(|key| self.close_data_producer(key));
            consumers.into_iter().for_each(|key| self.close_data_consumer(key));
            return;
        }
        let Some(channels) = self.transports.get_mut(key).and_then(Transport::channels_mut) else { return };
        let producers: Vec<_> = channels.producers().collect();
        let consumers: Vec<_> = channels.consumers().collect();
        if let Some(association) = channels.association() {
            self.messages.held_bytes = self.messages.held_bytes.saturating_sub(association.held_bytes());
            self.messages.associations = self.messages.associations.saturating_sub(1);
        }
        producers.into_iter().for_each(|key| self.close_data_producer(key));
        consumers.into_iter().for_each(|key| self.close_data_consumer(key));
    }
}
