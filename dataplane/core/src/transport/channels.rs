//! What a transport has for data channels: its association, the channels that are open on it, and who takes and
//! sends messages there.

use std::collections::{BTreeMap, BTreeSet};

use corecast_wire::{DataLimits, SctpOptions, StreamClosing};

use super::data_queue::DataQueue;
use super::{Flow, Transport};
use crate::dtls::Dtls;
use crate::io::Deadline;
use crate::key::{DataConsumerKey, DataProducerKey};
use crate::limits::ASSOCIATION_INTERVAL;
use crate::sctp::Association;
use crate::sctp::dcep::Open;
use crate::time::Instant;

/// A channel that the remote side has opened by itself (RFC 8832).
#[derive(Debug)]
pub(crate) struct Channel {
    open: Open,
    accepted: bool,
}

/// What became of a message that opens a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// There is a new one, of which control is to be asked.
    New,
    /// It is open already, with the same label and the same rest.
    Again,
    /// Another one is open on its stream, or too many are.
    Refused,
}

/// Data channels of a transport.
#[derive(Debug)]
pub(crate) struct Channels {
    options: SctpOptions,
    /// Made when the remote side sends something, or when control needs one.
    association: Option<Box<Association>>,
    channels: BTreeMap<u16, Channel>,
    producers: BTreeMap<u16, DataProducerKey>,
    /// With the streams on which they leave.
    consumers: Vec<(u16, DataConsumerKey)>,
    /// Streams that control has left, and of which our halves are to be closed.
    left: BTreeSet<u16>,
    /// The stream of a channel of which control has not said yet what becomes of it.
    awaited: Option<u16>,
    /// Packets that wait for their turn.
    queue: DataQueue,
    /// When the association before this one ended.
    ended: Option<Instant>,
    /// It is in the worker's list of those that have something to send or to take in.
    is_active: bool,
    deadline: Deadline,
}

impl Channels {
    pub(crate) fn new(options: SctpOptions) -> Self {
        Self {
            options,
            association: None,
            channels: BTreeMap::new(),
            producers: BTreeMap::new(),
            consumers: Vec::new(),
            left: BTreeSet::new(),
            awaited: None,
            queue: DataQueue::default(),
            ended: None,
            is_active: false,
            deadline: Deadline::new(),
        }
    }

    pub(crate) fn association(&self) -> Option<&Association> {
        self.association.as_deref()
    }

    pub(crate) fn association_mut(&mut self) -> Option<&mut Association> {
        self.association.as_deref_mut()
    }

    /// A new association, in the place of none.
    pub(crate) fn begin(&mut self, limits: DataLimits, now: Instant) {
        self.association = Some(Box::new(Association::new(self.options, limits, now)));
    }

    /// The association is over.
    pub(crate) fn end(&mut self, now: Instant) {
        (self.association, self.awaited, self.ended) = (None, None, Some(now));
        self.queue.clear();
        self.left.clear();
    }

    /// Who closes what is on its streams.
    pub(crate) const fn closing(&self) -> StreamClosing {
        self.options.closing
    }

    /// Control has closed what was on a stream, which is to be closed with the association's next turn.
    pub(crate) fn leave(&mut self, stream: u16) {
        if self.association.is_some() {
            self.left.insert(stream);
        }
    }

    /// The next of those streams.
    pub(crate) fn next_left(&mut self) -> Option<u16> {
        self.left.pop_first()
    }

    /// Whether the remote side may begin another association: not as often as it likes, since control is told of each.
    pub(crate) fn may_begin(&self, now: Instant) -> bool {
        self.ended.is_none_or(|ended| now >= ended + ASSOCIATION_INTERVAL)
    }

    /// Packets that wait for their turn.
    pub(crate) const fn queue(&mut self) -> &mut DataQueue {
        &mut self.queue
    }

    /// When the association has something to send again.
    pub(crate) const fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }

    /// It has something to do. True if it had nothing before.
    pub(crate) const fn activate(&mut self) -> bool {
        !std::mem::replace(&mut self.is_active, true)
    }

    /// It has nothing more to do.
    pub(crate) const fn rest(&mut self) {
        self.is_active = false;
    }

    /// Whether control has to say what becomes of a channel before more is taken in.
    pub(crate) const fn awaits_control(&self) -> bool {
        self.awaited.is_some()
    }

    /// The remote side opens a channel; so many may be open.
    pub(crate) fn open(&mut self, stream: u16, open: &Open, max: usize) -> Opened {
        match self.channels.get(&stream) {
            Some(channel) if channel.open == *open && channel.accepted => Opened::Again,
            Some(_) => Opened::Refused,
            None if self.channels.len() >= max => Opened::Refused,
            None => {
                self.channels.insert(stream, Channel { open: open.clone(), accepted: false });
                self.awaited = Some(stream);
                Opened::New
            }
        }
    }

    /// Control has taken the channel that it was asked about. False if there is none on that stream.
    pub(crate) fn accept(&mut self, stream: u16) -> bool {
        let Some(channel) = self.channels.get_mut(&stream).filter(|channel| !channel.accepted) else { return false };
        channel.accepted = true;
        self.awaited = self.awaited.filter(|awaited| *awaited != stream);
        true
    }

    /// A channel is closed. False if none was open on that stream.
    pub(crate) fn close(&mut self, stream: u16) -> bool {
        self.awaited = self.awaited.filter(|awaited| *awaited != stream);
        self.channels.remove(&stream).is_some()
    }

    /// Streams that are in use.
    pub(crate) fn streams(&self) -> Vec<u16> {
        let mut streams: Vec<_> = self.channels.keys().chain(self.producers.keys()).copied().collect();
        streams.extend(self.consumers.iter().map(|(stream, _)| *stream));
        streams.sort_unstable();
        streams.dedup();
        streams
    }

    /// Whose messages come on a stream.
    pub(crate) fn producer(&self, stream: u16) -> Option<DataProducerKey> {
        self.producers.get(&stream).copied()
    }

    /// Its data producers.
    pub(crate) fn producers(&self) -> impl Iterator<Item = DataProducerKey> {
        self.producers.values().copied()
    }

    pub(crate) fn producer_count(&self) -> usize {
        self.producers.len()
    }

    pub(crate) fn add_producer(&mut self, stream: u16, key: DataProducerKey) {
        self.producers.insert(stream, key);
    }

    pub(crate) fn remove_producer(&mut self, stream: u16) {
        self.producers.remove(&stream);
    }

    /// Its data consumers.
    pub(crate) fn consumers(&self) -> impl Iterator<Item = DataConsumerKey> {
        self.consumers.iter().map(|(_, key)| *key)
    }

    /// Those that leave on a stream.
    pub(crate) fn consumers_on(&self, stream: u16) -> Vec<DataConsumerKey> {
        self.consumers.iter().filter(|(of, _)| *of == stream).map(|(_, key)| *key).collect()
    }

    pub(crate) fn add_consumer(&mut self, stream: u16, key: DataConsumerKey) {
        self.consumers.push((stream, key));
    }

    pub(crate) fn remove_consumer(&mut self, key: DataConsumerKey) {
        self.consumers.retain(|(_, other)| *other != key);
    }
}

impl Transport {
    /// Whether it joins two routers.
    pub(crate) const fn is_pipe(&self) -> bool {
        self.pipe
    }

    /// It may have an SCTP association, if there are options for one.
    #[must_use]
    pub(crate) fn with_sctp(mut self, options: Option<SctpOptions>) -> Self {
        self.channels = options.map(|options| Box::new(Channels::new(options)));
        self
    }

    /// Whether SCTP packets find a way: through DTLS, or to a remote side that is known.
    pub(crate) fn can_send_sctp(&self) -> bool {
        match self.webrtc() {
            Some(webrtc) => webrtc.dtls().is_some_and(Dtls::can_send_data),
            None => self.path(Flow::Rtp).is_some(),
        }
    }

    /// Its SCTP association and what uses it.
    pub(crate) fn channels(&self) -> Option<&Channels> {
        self.channels.as_deref()
    }

    pub(crate) fn channels_mut(&mut self) -> Option<&mut Channels> {
        self.channels.as_deref_mut()
    }
}
