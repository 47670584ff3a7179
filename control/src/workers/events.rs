//! What a worker tells without being asked, sent to those who asked for it by the id of the object.
//!
//! A subscription begins before its object is made, so that no event is missed, and ends when it is dropped. The latest
//! event counts: a slow subscriber finds the newest state and not those before.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use corecast_wire::{
    ConsumerId, CurrentLayer, DataConsumerId, DtlsState, Event, IceState, ProducerId, RtpObserverId,
    SctpStreamParameters, TransportId, Volume,
};
use tokio::sync::{mpsc, watch};

/// The state of a WebRTC transport, as its worker last told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransportState {
    pub(crate) ice: IceState,
    pub(crate) dtls: DtlsState,
    /// What the handshake has stumbled over, or why it has failed, in words; none if it has not.
    pub(crate) trouble: Option<Arc<str>>,
}

impl Default for TransportState {
    fn default() -> Self {
        Self { ice: IceState::New, dtls: DtlsState::New, trouble: None }
    }
}

impl TransportState {
    /// `detail` says why, if it has failed.
    fn follow_dtls(&mut self, state: DtlsState, detail: &str) {
        self.dtls = state;
        match state {
            DtlsState::Failed => self.trouble = Some(detail.into()),
            DtlsState::New | DtlsState::Connecting => {}
            DtlsState::Connected | DtlsState::Closed => self.trouble = None,
        }
    }

    /// How far a client has come that has never been connected, in the words of `/stats`; none if it has been.
    pub(crate) fn shortfall(&self) -> Option<String> {
        let dtls = match self.dtls {
            DtlsState::New => "new",
            DtlsState::Connecting => "connecting",
            DtlsState::Failed => "failed",
            DtlsState::Connected | DtlsState::Closed => return None,
        };
        let ice = match self.ice {
            IceState::New => "new",
            IceState::Connected => "connected",
            IceState::Completed => "completed",
            IceState::Disconnected => "disconnected",
        };
        let trouble = self.trouble.as_ref().map(|trouble| format!(": {trouble}")).unwrap_or_default();
        Some(format!("ICE {ice}, DTLS {dtls}{trouble}"))
    }
}

/// What a consumer is sent, as its worker last told it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConsumerState {
    /// The layer that it is sent, of a producer with several.
    pub(crate) current: Option<CurrentLayer>,
    /// Its path keeps it from being sent all the layers that it prefers.
    pub(crate) limited: bool,
    /// Its path does not carry the least that there is of it, so nothing is sent.
    pub(crate) suspended: bool,
}

/// What a client has done with a data channel of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChannelEvent {
    /// It has opened one (RFC 8832). The worker takes in nothing more of that transport until it is answered.
    Opened { stream: u16, label: String, protocol: String, parameters: SctpStreamParameters },
    /// It has closed one, or its association is over.
    Closed { stream: u16 },
}

/// What an observer of sound hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sound {
    /// The loudest producers, loudest first; none when all are silent.
    Levels(Vec<Volume>),
    /// Who dominates.
    Speaker(ProducerId),
}

/// What comes of an object goes to a channel, until this is dropped.
#[derive(Debug)]
pub(crate) struct Route<K: Eq + Hash, T> {
    table: Table<K, mpsc::Sender<(K, T)>>,
    key: K,
}

impl<K: Copy + Eq + Hash, T> Route<K, T> {
    fn new(table: &Table<K, mpsc::Sender<(K, T)>>, key: K, to: mpsc::Sender<(K, T)>) -> Self {
        table.lock().unwrap_or_else(PoisonError::into_inner).insert(key, to);
        Self { table: Arc::clone(table), key }
    }

    /// The object.
    pub(crate) fn key(&self) -> K {
        self.key
    }
}

impl<K: Eq + Hash, T> Drop for Route<K, T> {
    fn drop(&mut self) {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// Where each transport's channel events go.
type Channels = Arc<Mutex<HashMap<TransportId, mpsc::UnboundedSender<ChannelEvent>>>>;

/// What becomes of a transport's data channels, until this is dropped. None of it is missed. What waits is bounded by
/// the worker: a client opens the next channel when the last one has been answered, and has few.
#[derive(Debug)]
pub(crate) struct ChannelEvents {
    table: Channels,
    transport: TransportId,
    receiver: mpsc::UnboundedReceiver<ChannelEvent>,
}

impl ChannelEvents {
    /// The next one. Waits for ever once there can be none.
    pub(crate) async fn next(&mut self) -> ChannelEvent {
        match self.receiver.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

impl Drop for ChannelEvents {
    fn drop(&mut self) {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.transport);
    }
}

/// What there is for one kind of objects. There are as many entries as there are objects.
type Table<K, T> = Arc<Mutex<HashMap<K, T>>>;

/// Called with the newest state of an object, on the task that reads the worker's link: it must not wait.
pub(crate) type Hook<T> = Box<dyn Fn(&T) + Send + Sync>;

/// One who wants to know the state of an object.
struct Subscriber<T> {
    newest: watch::Sender<T>,
    hook: Option<Hook<T>>,
}

impl<T: std::fmt::Debug> std::fmt::Debug for Subscriber<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.newest.fmt(f)
    }
}

/// A message, and what it is (RFC 8831 section 8).
pub(crate) type Message = (u32, Vec<u8>);
/// Where an observer's sounds go.
pub(crate) type SoundRoute = Route<RtpObserverId, Sound>;
/// Where a data consumer's messages go.
pub(crate) type MessageRoute = Route<DataConsumerId, Message>;

/// Where a worker's events go.
#[derive(Debug, Default)]
pub(crate) struct EventRouter {
    transports: Table<TransportId, Subscriber<TransportState>>,
    consumers: Table<ConsumerId, Subscriber<ConsumerState>>,
    producers: Table<ProducerId, Subscriber<Vec<u8>>>,
    channels: Channels,
    observers: Table<RtpObserverId, mpsc::Sender<(RtpObserverId, Sound)>>,
    messages: Table<DataConsumerId, mpsc::Sender<(DataConsumerId, Message)>>,
}

/// What becomes of one object, until this is dropped.
#[derive(Debug)]
pub(crate) struct Subscription<K: Eq + Hash, T> {
    table: Table<K, Subscriber<T>>,
    key: K,
    receiver: watch::Receiver<T>,
}

/// The states of a WebRTC transport.
pub(crate) type TransportStates = Subscription<TransportId, TransportState>;
/// Encodings of a producer that nobody takes, by their places.
pub(crate) type ProducerStates = Subscription<ProducerId, Vec<u8>>;
/// What a consumer is sent.
pub(crate) type ConsumerStates = Subscription<ConsumerId, ConsumerState>;

impl<K: Copy + Eq + Hash, T: Default> Subscription<K, T> {
    fn new(table: &Table<K, Subscriber<T>>, key: K, hook: Option<Hook<T>>) -> Self {
        let (newest, receiver) = watch::channel(T::default());
        table.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Subscriber { newest, hook });
        Self { table: Arc::clone(table), key, receiver }
    }
}

impl<K: Eq + Hash, T> Subscription<K, T> {
    /// One more receiver. It sees the channel end when the subscription is dropped.
    pub(crate) fn receiver(&self) -> watch::Receiver<T> {
        self.receiver.clone()
    }
}

impl<K: Eq + Hash, T> Drop for Subscription<K, T> {
    fn drop(&mut self) {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

fn update<K: Eq + Hash, T: Clone + PartialEq>(table: &Table<K, Subscriber<T>>, key: &K, change: impl FnOnce(&mut T)) {
    if let Some(Subscriber { newest, hook }) = table.lock().unwrap_or_else(PoisonError::into_inner).get(key) {
        let has_changed = newest.send_if_modified(|told| {
            let before = told.clone();
            change(told);
            *told != before
        });
        if let Some(hook) = hook.as_ref().filter(|_| has_changed) {
            hook(&newest.borrow());
        }
    }
}

/// Passes something on, unless nobody wants it or too much waits already.
fn pass<K: Copy + Eq + Hash, T>(table: &Table<K, mpsc::Sender<(K, T)>>, key: K, what: T) {
    if let Some(inbox) = table.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
        let _ = inbox.try_send((key, what));
    }
}

impl EventRouter {
    /// The states of a WebRTC transport that is about to be made.
    pub(crate) fn transport(&self, transport: TransportId) -> TransportStates {
        Subscription::new(&self.transports, transport, None)
    }

    /// The same, and each new state is told to `hook`.
    pub(crate) fn transport_with(&self, transport: TransportId, hook: Hook<TransportState>) -> TransportStates {
        Subscription::new(&self.transports, transport, Some(hook))
    }

    /// What a consumer, which is about to be made, is sent.
    pub(crate) fn consumer(&self, consumer: ConsumerId) -> ConsumerStates {
        Subscription::new(&self.consumers, consumer, None)
    }

    /// The same, and each new state is told to `hook`.
    pub(crate) fn consumer_with(&self, consumer: ConsumerId, hook: Hook<ConsumerState>) -> ConsumerStates {
        Subscription::new(&self.consumers, consumer, Some(hook))
    }

    /// Which encodings nobody takes of a producer that is about to be made.
    pub(crate) fn producer(&self, producer: ProducerId) -> ProducerStates {
        Subscription::new(&self.producers, producer, None)
    }

    /// The same, and each change is told to `hook`.
    pub(crate) fn producer_with(&self, producer: ProducerId, hook: Hook<Vec<u8>>) -> ProducerStates {
        Subscription::new(&self.producers, producer, Some(hook))
    }

    /// The same of a producer as it was found.
    pub(crate) fn found_producer(&self, producer: ProducerId, unwanted: Vec<u8>) {
        update(&self.producers, &producer, |told| *told = unwanted);
    }

    /// The state of a transport as it was found, of which nothing was told.
    pub(crate) fn found_transport(&self, transport: TransportId, state: TransportState) {
        update(&self.transports, &transport, |told| *told = state);
    }

    /// The same for what a consumer is sent.
    pub(crate) fn found_consumer(&self, consumer: ConsumerId, state: ConsumerState) {
        update(&self.consumers, &consumer, |told| *told = state);
    }

    /// What an observer hears that is about to be made. What finds no room in the channel is lost.
    pub(crate) fn sounds(&self, observer: RtpObserverId, to: mpsc::Sender<(RtpObserverId, Sound)>) -> SoundRoute {
        Route::new(&self.observers, observer, to)
    }

    /// Messages of a data consumer that is about to be made on a direct transport. What finds no room is lost.
    pub(crate) fn messages(
        &self,
        data_consumer: DataConsumerId,
        to: mpsc::Sender<(DataConsumerId, Message)>,
    ) -> MessageRoute {
        Route::new(&self.messages, data_consumer, to)
    }

    /// What becomes of the data channels of a transport that is about to be made.
    pub(crate) fn channels(&self, transport: TransportId) -> ChannelEvents {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).insert(transport, sender);
        ChannelEvents { table: Arc::clone(&self.channels), transport, receiver }
    }

    fn route_channel(&self, transport: TransportId, event: ChannelEvent) {
        if let Some(subscriber) = self.channels.lock().unwrap_or_else(PoisonError::into_inner).get(&transport) {
            // Fails if the subscription is about to be dropped.
            let _ = subscriber.send(event);
        }
    }

    /// Tells the subscribers of the object that an event is about. Events of the worker itself are not for them.
    pub(super) fn route(&self, event: &Event) {
        match event {
            Event::DataChannelOpened { transport, stream, label, protocol, parameters } => {
                let (label, protocol) = (label.clone(), protocol.clone());
                let opened = ChannelEvent::Opened { stream: *stream, label, protocol, parameters: *parameters };
                self.route_channel(*transport, opened);
                return;
            }
            Event::DataChannelClosed { transport, stream } => {
                self.route_channel(*transport, ChannelEvent::Closed { stream: *stream });
                return;
            }
            Event::AudioLevels { observer, volumes } => {
                pass(&self.observers, *observer, Sound::Levels(volumes.clone()));
                return;
            }
            Event::DominantSpeaker { observer, producer } => {
                pass(&self.observers, *observer, Sound::Speaker(*producer));
                return;
            }
            Event::ProducerLayersUnwanted { producer, encodings } => {
                update(&self.producers, producer, |told| told.clone_from(encodings));
                return;
            }
            Event::HandshakeTroubled { transport, trouble } => {
                update(&self.transports, transport, |told| told.trouble = Some(trouble.as_str().into()));
                return;
            }
            Event::DtlsStateChanged { transport, state, detail, .. } => {
                update(&self.transports, transport, |told| told.follow_dtls(*state, detail));
                return;
            }
            Event::DataMessage { data_consumer, ppid, payload } => {
                pass(&self.messages, *data_consumer, (*ppid, payload.clone()));
                return;
            }
            _ => {}
        }
        match *event {
            Event::IceStateChanged { transport, state, .. } => {
                update(&self.transports, &transport, |told| told.ice = state);
            }
            Event::ConsumerLayersChanged { consumer, current, .. } => {
                update(&self.consumers, &consumer, |told| told.current = current);
            }
            Event::ConsumerLimited { consumer, limited } => {
                update(&self.consumers, &consumer, |told| told.limited = limited);
            }
            Event::ConsumerSuspended { consumer, suspended } => {
                update(&self.consumers, &consumer, |told| told.suspended = suspended);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_reach_the_subscriber_of_their_object_and_no_other() {
        let router = EventRouter::default();
        let (one, other) = (router.transport(TransportId(1)), router.transport(TransportId(2)));
        let layers = router.consumer(ConsumerId(1));
        let failed = Event::DtlsStateChanged {
            transport: TransportId(1),
            state: DtlsState::Failed,
            failure: None,
            detail: "why".into(),
            certificate: Vec::new(),
        };
        router.route(&failed);
        let current = Some(CurrentLayer { encoding: 2, spatial: 0 });
        router.route(&Event::ConsumerLayersChanged { consumer: ConsumerId(1), current, temporal: None });
        assert_eq!(one.receiver().borrow().dtls, DtlsState::Failed);
        assert_eq!(*other.receiver().borrow(), TransportState::default());
        assert_eq!(one.receiver().borrow().shortfall().as_deref(), Some("ICE new, DTLS failed: why"));
        router.route(&Event::ConsumerSuspended { consumer: ConsumerId(1), suspended: true });
        assert_eq!(*layers.receiver().borrow(), ConsumerState { current, limited: false, suspended: true });
    }

    #[test]
    fn a_handshake_that_has_stumbled_and_still_comes_to_a_good_end_falls_short_of_nothing() {
        let router = EventRouter::default();
        let transport = TransportId(1);
        let states = router.transport(transport);
        let shortfall = || states.receiver().borrow().shortfall();
        assert_eq!(shortfall().as_deref(), Some("ICE new, DTLS new"));
        let dtls = |state| Event::DtlsStateChanged {
            transport,
            state,
            failure: None,
            detail: "DTLS 1.2".into(),
            certificate: Vec::new(),
        };
        router.route(&Event::IceStateChanged { transport, state: IceState::Completed, tuple: None });
        router.route(&dtls(DtlsState::Connecting));
        assert_eq!(shortfall().as_deref(), Some("ICE completed, DTLS connecting"));
        router.route(&Event::HandshakeTroubled { transport, trouble: "it gave up".into() });
        assert_eq!(shortfall().as_deref(), Some("ICE completed, DTLS connecting: it gave up"));
        router.route(&dtls(DtlsState::Connected));
        assert_eq!(shortfall(), None);
        router.route(&dtls(DtlsState::Closed));
        assert_eq!(shortfall(), None);
    }

    #[tokio::test]
    async fn hooks_are_told_and_routes_end_with_what_holds_them() {
        let router = EventRouter::default();
        let (told, mut states) = mpsc::unbounded_channel();
        let hook = Box::new(move |state: &TransportState| {
            let _ = told.send(state.ice);
        });
        let _subscription = router.transport_with(TransportId(1), hook);
        let ice = |transport, state| Event::IceStateChanged { transport, state, tuple: None };
        router.route(&ice(TransportId(2), IceState::Connected));
        router.route(&ice(TransportId(1), IceState::Completed));
        assert_eq!(states.try_recv(), Ok(IceState::Completed));
        assert!(states.try_recv().is_err());

        let (to, mut heard) = mpsc::channel(1);
        let route = router.messages(DataConsumerId(3), to);
        let message = |payload: &[u8]| Event::DataMessage {
            data_consumer: DataConsumerId(3),
            ppid: 51,
            payload: payload.to_vec(),
        };
        router.route(&message(b"a"));
        router.route(&message(b"finds no room"));
        assert_eq!(heard.recv().await, Some((DataConsumerId(3), (51, b"a".to_vec()))));
        drop(route);
        router.route(&message(b"b"));
        assert_eq!(heard.recv().await, None);
    }

    #[tokio::test]
    async fn a_subscription_that_is_dropped_ends_its_receivers_and_keeps_nothing() {
        let router = EventRouter::default();
        let subscription = router.transport(TransportId(1));
        let mut receiver = subscription.receiver();
        drop(subscription);
        assert!(receiver.changed().await.is_err());
        assert!(router.transports.lock().expect("not poisoned").is_empty());
    }
}
