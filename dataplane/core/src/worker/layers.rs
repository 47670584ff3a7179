//! Which of a producer's spatial layers, lowest quality first, a consumer is sent: of its encodings (simulcast), or, if
//! there is only one, of the layers within that (SVC).
//!
//! A consumer has a preferred layer, and a *target*: the highest active layer up to the preferred one, else the lowest
//! active one above it. Targets are decided on a slow tick, when a layer awakes, and by command; never per packet. The
//! switch itself is made where packets are rewritten ([`crate::consumer`]), at the target's next key frame: until then
//! the layer of before is forwarded, and nothing of it afterwards. Within one encoding a lower layer is entered without
//! a key frame, if the sender makes them so that each needs the one below.
//!
//! Producers with one encoding of one layer have none of this.

use corecast_wire::{ConsumerId, CurrentLayer, Event, Limit, SpatialLayer, VideoLayers};

use super::Worker;
use super::refused::{Applied, invalid, not_found};
use crate::consumer::SentLayers;
use crate::io::{Outbox, Timer};
use crate::key::{ConsumerKey, ProducerKey, StreamKey};
use crate::limits::MAX_LAYER_EVENTS;
use crate::media::{Layers, Measured, bit};
use crate::time::Instant;

/// The tick, on a grid of its own length: the layers of many producers are looked at in one wake-up.
const TICK_NS: u64 = 200_000_000;

impl Worker {
    /// Ranks the layers of a producer by what has been seen of them. Consumers that prefer one by name follow it.
    pub(super) fn rank_layers(&mut self, key: ProducerKey) {
        let Self { producers, streams, consumers, .. } = self;
        let Some(producer) = producers.get_mut(key).filter(|producer| producer.streams().len() > 1) else { return };
        if !producer.rank(|key| streams.get(key).map(|stream| stream.quality()).unwrap_or_default()) {
            return;
        }
        producer.set_layers_dirty();
        for key in producer.consumers() {
            if let Some(consumer) = consumers.get_mut(*key) {
                consumer.follow_rank(producer);
            }
        }
    }

    /// A packet of a stream says what its sender means to send of each encoding: a hint for the next ranking. It counts
    /// encodings in the order of the offer; one whose packet says otherwise means something else.
    pub(super) fn take_hint(&mut self, key: StreamKey, hint: Option<VideoLayers>) {
        let Some(VideoLayers { own, count, targets }) = hint else { return };
        let producer = self.streams.get(key).and_then(|stream| self.producers.get(stream.producer()));
        let Some(producer) = producer else { return };
        if producer.streams().len() != usize::from(count) || producer.encoding_of(key) != Some(own) {
            return;
        }
        for (key, target) in producer.streams().iter().zip(targets) {
            if let Some(stream) = self.streams.get_mut(*key) {
                stream.set_hint(target);
            }
        }
    }

    /// The layers of a producer. With one encoding of one layer, none is known to be active.
    pub(super) fn layers(&self, now: Instant, producer: ProducerKey) -> Layers {
        let Some(producer) = self.producers.get(producer) else { return Layers::default() };
        if let [only] = producer.streams() {
            let measured = self.streams.get(*only).and_then(|stream| stream.measured());
            return measured.map(Measured::layers).unwrap_or_default();
        }
        let (mut layers, pictures) = (Layers::default(), producer.pictures());
        for (key, layer) in producer.by_quality().iter().zip(0_u8..) {
            let activity = self.streams.get(*key).map(|stream| stream.activity()).unwrap_or_default();
            layers.active |= if activity.is_active(now, pictures) { bit(layer) } else { 0 };
            layers.steady |= if activity.is_steady(now, pictures) { bit(layer) } else { 0 };
        }
        layers
    }

    /// The highest layer of a producer that it sends, by the last look at them; the highest that it may send, if it has
    /// sent none yet.
    pub(super) fn highest_layer(&self, producer: ProducerKey) -> u8 {
        let Some(producer) = self.producers.get(producer) else { return 0 };
        match producer.streams() {
            [only] => {
                let measured = self.streams.get(*only).and_then(|stream| stream.measured());
                measured.and_then(|measured| measured.layers().highest_active()).unwrap_or_default()
            }
            _ => producer.highest_active().or_else(|| Some(producer.highest()?.1)).unwrap_or_default(),
        }
    }

    /// Looks at the layers of a producer's only encoding. False if there is but one layer.
    fn look_at_spatial(&mut self, now: Instant, key: ProducerKey) -> bool {
        let only = self.producers.get(key).and_then(|producer| match producer.streams() {
            [only] => Some(*only),
            _ => None,
        });
        let Some(measured) = only.and_then(|only| self.streams.get_mut(only)).and_then(|one| one.measured_mut()) else {
            return false;
        };
        let has_layers = measured.has_layers();
        if has_layers {
            measured.look(now);
        }
        has_layers
    }

    /// Sets the time of a producer's next tick, if it has layers and somebody watches.
    pub(crate) fn arm_layers(&mut self, now: Instant, key: ProducerKey) {
        let Some(producer) = self.producers.get_mut(key) else { return };
        let measured = || match producer.streams() {
            [only] => self.streams.get(*only).and_then(|stream| stream.measured()),
            _ => None,
        };
        let has_layers = producer.streams().len() > 1 || measured().is_some_and(Measured::has_several);
        if !has_layers || producer.consumers().is_empty() && !producer.wanted().has_idle() {
            return;
        }
        let at = Instant::from_nanos((now.as_nanos() / TICK_NS + 1) * TICK_NS);
        producer.layers_deadline().arm(&mut self.timers, at, Timer::Layers(key));
    }

    /// A new consumer takes the best layer that there is.
    pub(crate) fn take_layer(&mut self, now: Instant, key: ConsumerKey) {
        let Some(producer) = self.consumers.get(key).map(|consumer| consumer.producer()) else { return };
        self.look_at_spatial(now, producer);
        let layers = self.layers(now, producer);
        self.set_target(key, layers);
        self.want_again(now, key);
        self.arm_layers(now, producer);
    }

    pub(crate) fn layers_timeout(&mut self, now: Instant, at: Instant, key: ProducerKey, outbox: &mut Outbox) {
        if !self.producers.get_mut(key).is_some_and(|producer| producer.layers_deadline().fires(at)) {
            return;
        }
        self.rank_layers(key);
        self.look_at_spatial(now, key);
        let layers = self.layers(now, key);
        let Some(producer) = self.producers.get_mut(key) else { return };
        let mut dirty = producer.update_layers(layers);
        for stream in producer.streams() {
            let Some(stream) = self.streams.get_mut(*stream) else { continue };
            dirty |= stream.take_switched();
            dirty |= stream.measured_mut().is_some_and(Measured::take_risen);
        }
        if dirty {
            self.set_targets(key, layers);
            self.update_subscribers(key);
            self.report_layers(key, layers);
            self.report_limits(key);
            self.want_awaited(now, key, outbox);
        }
        self.look_at_wanted(now, key);
        self.arm_layers(now, key);
    }

    /// A stream has packets in the round that begins. If it is one of several, it may be active again, and who gets
    /// nothing yet may begin with it.
    pub(super) fn record_activity(&mut self, now: Instant, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let of = stream.producer();
        if !stream.is_layer() {
            if stream.measured_mut().is_some_and(Measured::has_new_layers) {
                self.arm_layers(now, of);
            }
            return;
        }
        let Some(producer) = self.producers.get_mut(of) else { return };
        let awakes = stream.record_activity(now, producer.pictures_mut());
        let has_key_frame = stream.has_key_frame_in_round(&self.history);
        if awakes {
            self.layer_awakes(now, of);
        }
        if has_key_frame {
            self.offer_key_frame(of, key);
        }
    }

    /// A layer has a key frame. Consumers that get nothing and wait for that of a better layer begin with this one, and
    /// go on to the better one at its key frame.
    fn offer_key_frame(&mut self, of: ProducerKey, stream: StreamKey) {
        let Some(producer) = self.producers.get(of).filter(|producer| !producer.is_paused()) else { return };
        let Some(layer) = producer.layer_of(stream) else { return };
        let waits = |key: &ConsumerKey| {
            let consumer = self.consumers.get(*key);
            let takes = consumer.is_some_and(|one| one.may_begin_with(stream) && layer <= one.highest_layer());
            takes && !self.starting.contains(key)
        };
        let waiting: Vec<_> = producer.consumers().iter().copied().filter(waits).collect();
        for key in waiting {
            if let Some(consumer) = self.consumers.get_mut(key) {
                consumer.begin_with(stream);
            }
            self.subscribe(key, stream);
            if let Some(producer) = self.producers.get_mut(of) {
                producer.set_layers_dirty();
            }
        }
    }

    /// A layer became active again: retargets the consumers that prefer it. No key frame is asked for here: a packet
    /// that finds a consumer waiting asks for one, and this packet may be a key frame.
    pub(crate) fn layer_awakes(&mut self, now: Instant, key: ProducerKey) {
        self.rank_layers(key);
        let layers = self.layers(now, key);
        self.set_targets(key, layers);
        self.look_at_wanted(now, key);
        self.arm_layers(now, key);
    }

    /// Decides the targets of all consumers of a producer.
    fn set_targets(&mut self, key: ProducerKey, layers: Layers) {
        let Some(producer) = self.producers.get(key) else { return };
        for position in 0..producer.consumers().len() {
            let consumer = self.producers.get(key).and_then(|producer| producer.consumers().get(position)).copied();
            if let Some(consumer) = consumer {
                self.set_target(consumer, layers);
            }
        }
    }

    /// Decides a consumer's target. Its stream lists it from now on. The stream that it leaves lists it until the next
    /// tick, and passes it over.
    pub(super) fn set_target(&mut self, key: ConsumerKey, layers: Layers) {
        let Some(consumer) = self.consumers.get(key).filter(|consumer| !consumer.is_pinned()) else { return };
        let Some(producer) = self.producers.get_mut(consumer.producer()) else { return };
        if let [only] = producer.streams() {
            let measured = self.streams.get(*only).and_then(|stream| stream.measured());
            let is_independent = measured.is_some_and(Measured::is_independent);
            let highest = consumer.highest_layer().min(consumer.decodable_spatial());
            let current = consumer.current_layer().and_then(|(_, spatial)| layers.lower_of(spatial));
            let spatial = layers.spatial_target(highest, current, is_independent);
            if let Some(consumer) = self.consumers.get_mut(key) {
                consumer.set_spatial(spatial, is_independent);
            }
            return;
        }
        let current = consumer.current().and_then(|stream| producer.layer_of(stream));
        let highest = consumer.highest_layer();
        let fallback = || current.is_none().then_some(highest);
        let Some(target) = layers.target(highest, current).or_else(fallback) else { return };
        let Some(stream) = producer.stream_of(target) else { return };
        if stream == consumer.target() {
            return;
        }
        producer.set_layers_dirty();
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        consumer.set_target(stream);
        self.subscribe(key, stream);
    }

    /// Lets a stream list a consumer, if it does not yet.
    pub(crate) fn subscribe(&mut self, key: ConsumerKey, stream: StreamKey) {
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        let encoding = self.producers.get(consumer.producer()).and_then(|one| one.encoding_of(stream));
        let (Some(encoding), Some(stream)) = (encoding, self.streams.get_mut(stream)) else { return };
        if consumer.set_subscribed(encoding, true) {
            stream.add_subscriber(key, consumer.transport());
        }
    }

    /// Updates the subscribers of all streams of a producer.
    fn update_subscribers(&mut self, key: ProducerKey) {
        let Some(producer) = self.producers.get(key) else { return };
        for (stream, encoding) in producer.streams().iter().zip(0_u8..) {
            let Some(taken) = self.streams.get_mut(*stream) else { continue };
            taken.clear_subscribers();
            for key in producer.consumers() {
                let Some(consumer) = self.consumers.get_mut(*key) else { continue };
                let takes = consumer.takes(*stream);
                consumer.set_subscribed(encoding, takes);
                if takes {
                    taken.add_subscriber(*key, consumer.transport());
                }
            }
        }
    }

    /// Reports which layer each consumer is sent, if that has changed: some now, the rest with the next tick.
    fn report_layers(&mut self, key: ProducerKey, layers: Layers) {
        let Self { producers, streams, consumers, .. } = self;
        let Some(producer) = producers.get_mut(key) else { return };
        let mut news: Vec<(ConsumerId, SentLayers)> = Vec::new();
        let mut is_left = false;
        for key in producer.consumers() {
            let Some(consumer) = consumers.get_mut(*key) else { continue };
            let current = consumer.current().filter(|_| !consumer.is_paused() && !producer.is_paused());
            let is_alone = producer.streams().len() == 1;
            let layer = current.and_then(|stream| {
                let within = || consumer.current_layer().and_then(|(_, spatial)| layers.lower_of(spatial));
                let spatial = if is_alone { within() } else { producer.layer_of(stream) };
                let (encoding, spatial) = (producer.encoding_of(stream)?, spatial?);
                layers.is_active(spatial).then_some(CurrentLayer { encoding, spatial })
            });
            let temporal = current.and_then(|stream| {
                let measured = streams.get(stream)?.measured()?;
                Some(measured.highest_temporal().min(consumer.current_temporal()))
            });
            let has_temporal_alone = is_alone && layers == Layers::default();
            let told = (layer, temporal.filter(|_| layer.is_some() || has_temporal_alone));
            if consumer.reported_layers() == told {
                continue;
            }
            if news.len() == MAX_LAYER_EVENTS {
                is_left = true;
                break;
            }
            consumer.set_reported_layers(told);
            news.push((consumer.id(), told));
        }
        if is_left {
            producer.set_layers_dirty();
        }
        for (consumer, (current, temporal)) in news {
            self.push_event(Event::ConsumerLayersChanged { consumer, current, temporal });
        }
    }

    /// Reports which consumers their paths limit, where that has changed.
    fn report_limits(&mut self, key: ProducerKey) {
        for position in 0.. {
            let consumers = self.producers.get(key).map(|producer| producer.consumers());
            let Some(consumer) = consumers.and_then(|consumers| consumers.get(position)).copied() else { return };
            self.report_limited(consumer);
        }
    }

    /// Asks those of a producer's streams for a key frame at which somebody waits for one. Who has used up what may be
    /// asked for on its account waits for the next look.
    pub(crate) fn want_awaited(&mut self, now: Instant, key: ProducerKey, outbox: &mut Outbox) {
        let Some(producer) = self.producers.get(key) else { return };
        let target = |key: &ConsumerKey| {
            let consumer = self.consumers.get(*key)?;
            let awaits = consumer.awaits_key_frame_of(consumer.target()) && self.is_connected(consumer);
            awaits.then_some((*key, consumer.target()))
        };
        let waiting: Vec<_> = producer.consumers().iter().filter_map(target).collect();
        for (consumer, stream) in waiting {
            if self.may_cost_key_frame(now, consumer, stream) {
                self.want_key_frame(now, stream, outbox);
            } else if let Some(producer) = self.producers.get_mut(key) {
                producer.set_layers_dirty();
            }
        }
    }

    pub(crate) fn set_preferred_layers(
        &mut self,
        now: Instant,
        id: ConsumerId,
        (spatial, temporal): (SpatialLayer, Option<u8>),
        outbox: &mut Outbox,
    ) -> Applied {
        let key = self.consumer_key(id)?;
        let of = self.consumers.get(key).map(|consumer| consumer.producer());
        let highest = of.map(|of| self.highest_layer(of)).unwrap_or_default();
        let Some(consumer) = self.consumers.get_mut(key) else { return Err(not_found("consumer", id.0)) };
        if consumer.is_pinned() {
            return Err(invalid("spatialLayer", "the consumer is of one encoding alone"));
        }
        let Some(producer) = self.producers.get(consumer.producer()) else { return Err(not_found("consumer", id.0)) };
        let chosen = match spatial {
            // The layers within an only encoding: as many as it will turn out to have.
            SpatialLayer::Quality(layer) if producer.may_have_spatial_layers() => Some((layer, None)),
            SpatialLayer::Encoding(0) if producer.streams().len() == 1 => Some((u8::MAX, None)),
            SpatialLayer::Quality(layer) => producer.stream_of(layer).map(|_| (layer, None)),
            SpatialLayer::Encoding(encoding) => {
                let stream = producer.streams().get(usize::from(encoding)).copied();
                stream.and_then(|stream| Some((producer.layer_of(stream)?, Some(stream))))
            }
        };
        let Some((layer, stream)) = chosen else {
            let count = producer.streams().len();
            return Err(invalid("spatialLayer", format!("must be below {count}, the number of encodings")));
        };
        let temporal = temporal.unwrap_or(u8::MAX);
        let is_more = layer > consumer.preferred_layer() || temporal > consumer.preferred_temporal();
        if is_more && consumer.limited_by(highest) != Limit::Path {
            consumer.want_more();
        }
        consumer.set_preferred_temporal(temporal);
        let changes = consumer.set_preferred_layer(layer, stream);
        self.report_limited(key);
        self.want_again(now, key);
        if !changes {
            self.reallocate_of(now, key, outbox);
            return Ok(());
        }
        let Some(consumer) = self.consumers.get(key) else { return Ok(()) };
        let (producer, before) = (consumer.producer(), consumer.target());
        let layers = self.layers(now, producer);
        self.set_target(key, layers);
        let Some(consumer) = self.consumers.get_mut(key) else { return Ok(()) };
        let target = consumer.target();
        let changes = target != before || consumer.awaits_layer();
        if changes && consumer.awaits_key_frame_of(target) {
            consumer.put_on_account();
        }
        let Some(consumer) = self.consumers.get(key) else { return Ok(()) };
        let wants = changes && consumer.awaits_key_frame_of(target) && self.is_connected(consumer);
        if wants && self.may_cost_key_frame(now, key, target) {
            self.want_key_frame(now, target, outbox);
        } else if wants && let Some(producer) = self.producers.get_mut(producer) {
            producer.set_layers_dirty();
        }
        self.reallocate_of(now, key, outbox);
        Ok(())
    }
}
