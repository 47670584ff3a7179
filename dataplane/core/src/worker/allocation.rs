//! What the path to a transport's receivers carries, and what each of its consumers is sent of it.

use std::time::Duration;

use corecast_wire::{ConsumerId, Decided, Decision, Discard, Event, MediaKind, TransportId};

use super::Worker;
use super::refused::Applied;
use crate::congestion::{PathView, Wish};
use crate::consumer::{Allowed, Consumer};
use crate::io::{Outbox, Timer};
use crate::key::{ConsumerKey, StreamKey, TransportKey};
use crate::limits::MAX_ENCODINGS;
use crate::media::{Layers, Producer, TEMPORAL_LAYERS};
use crate::rtcp::{Ccfb, ReportBlock, TransportCc};
use crate::time::Instant;

/// Temporal layers below this one are sent of the lowest spatial layer alone: of a better picture, too few a second.
const LEAST_TEMPORAL: u8 = 1;

/// Between two looks at a path that wants something to be done at once.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// How long a path is not looked at whose receiver has said something before: no longer than the noticed silence.
const SILENCE_LOOK: Duration = Duration::from_millis(900);
/// Such looks at many paths share a wake-up.
const SHARED_NS: u64 = 100_000_000;

/// A consumer's steps: what each allows.
struct Steps {
    consumer: ConsumerKey,
    wish: Wish,
    allows: Vec<Allowed>,
    /// What the producer's sender would send, was it not asked for less.
    demand_bps: u64,
}

/// A spatial layer that a consumer could be sent.
#[derive(Clone, Copy, Debug)]
struct Choice {
    stream: StreamKey,
    layer: u8,
    /// The spatial layer within the stream; all, if the layers are encodings.
    within: u8,
    /// What is allowed with it.
    allowed: u8,
}

/// The active layers of a producer, from the lowest on. An only encoding of one layer is one, whatever it does.
fn choices(producer: &Producer, layers: Layers) -> Vec<Choice> {
    let by_quality = producer.by_quality();
    if let [stream] = *by_quality {
        let within = |layer| Choice { stream, layer, within: layer, allowed: layer };
        let found: Vec<_> = (0..8).filter(|layer| layers.is_active(*layer)).map(within).collect();
        return match found.is_empty() {
            true => vec![Choice { stream, layer: 0, within: u8::MAX, allowed: u8::MAX }],
            false => found,
        };
    }
    let encodings = by_quality.iter().zip(0..).take(MAX_ENCODINGS).filter(|(_, layer)| layers.is_active(*layer));
    encodings.map(|(stream, layer)| Choice { stream: *stream, layer, within: u8::MAX, allowed: layer }).collect()
}

impl Worker {
    /// A receiver says which packets have come, and when.
    pub(super) fn take_transport_cc(
        &mut self,
        now: Instant,
        key: TransportKey,
        feedback: &TransportCc<'_>,
        outbox: &mut Outbox,
    ) {
        // One that was sent nothing with a number has nothing to say.
        let Some(sending) = self.transports.get_mut(key).and_then(|transport| transport.sending()) else { return };
        match sending.take_feedback(now, feedback) {
            Ok(()) => self.follow_estimate(now, key, outbox),
            Err(why) => self.discard(key, why),
        }
    }

    /// The same by SSRC and sequence number.
    pub(super) fn take_ccfb(&mut self, now: Instant, key: TransportKey, feedback: &Ccfb<'_>, outbox: &mut Outbox) {
        let Some(sending) = self.transports.get_mut(key).and_then(|transport| transport.sending()) else { return };
        match sending.take_ccfb(now, feedback) {
            Ok(()) => self.follow_estimate(now, key, outbox),
            Err(why) => self.discard(key, why),
        }
    }

    /// A receiver says what its path carries.
    pub(super) fn take_remb(&mut self, now: Instant, key: TransportKey, bitrate_bps: u64, outbox: &mut Outbox) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        if transport.consumers().is_empty() {
            self.discard(key, Discard::UnknownFeedback);
            return;
        }
        match transport.sending_or_new(now).take_remb(now, bitrate_bps) {
            Ok(()) => self.follow_estimate(now, key, outbox),
            Err(why) => self.discard(key, why),
        }
    }

    /// What a receiver report says of a path.
    pub(super) fn take_loss(&mut self, now: Instant, key: TransportKey, report: &ReportBlock) {
        let consumer = self.transports.get(key).and_then(|transport| transport.consumer_of(report.ssrc));
        let consumer = consumer.and_then(|key| self.consumers.get_mut(key));
        let round_trip = consumer.and_then(|consumer| consumer.feedback_mut().round_trip());
        if let Some(sending) = self.transports.get_mut(key).and_then(|transport| transport.sending()) {
            sending.take_loss(now, report.fraction_lost, round_trip);
        }
    }

    pub(super) fn sending_timeout(&mut self, now: Instant, at: Instant, key: TransportKey, outbox: &mut Outbox) {
        let Some(sending) = self.transports.get_mut(key).and_then(|transport| transport.sending()) else { return };
        if sending.deadline().fires(at) {
            sending.estimator_mut().handle_timeout(now);
            self.follow_estimate(now, key, outbox);
        }
    }

    /// The estimate may have changed: sees to what is sent.
    fn follow_estimate(&mut self, now: Instant, key: TransportKey, outbox: &mut Outbox) {
        let Some(sending) = self.transports.get_mut(key).and_then(|transport| transport.sending()) else { return };
        if sending.is_look_due(now) {
            self.allocate(now, key, outbox);
        }
        self.probe(now, key, outbox);
        self.pace(now, key);
        let Some(sending) = self.transports.get_mut(key).and_then(|transport| transport.sending()) else { return };
        let due = sending.next_timeout().map(|at| at.max(now + LEAST_WAIT));
        // Packets may leave any moment of which then nothing is heard.
        let look = (now + SILENCE_LOOK).as_nanos().next_multiple_of(SHARED_NS);
        let look = sending.is_heard().then(|| Instant::from_nanos(look));
        // Each feedback puts that off: a timer that is set stays, and comes too early now and then.
        if let Some(at) = due.into_iter().chain(look).min() {
            sending.deadline().arm(&mut self.timers, at, Timer::Sending(key));
        }
    }

    /// Pictures leave no faster than the path carries them, and a little: a frame is short, and its queue is soon gone.
    fn pace(&mut self, now: Instant, key: TransportKey) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let paced = transport.sending().filter(|sending| sending.is_heard()).and_then(|one| one.available_bps(now));
        if let Some(available_bps) = paced {
            transport.pace(now, available_bps / 2 * 3);
            transport.note_estimate(available_bps);
        }
    }

    /// A consumer's receiver may tell what became of its packets.
    pub(super) fn expect_feedback(&mut self, now: Instant, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get(key).filter(|one| one.extensions().is_reported()) else { return };
        if let Some(transport) = self.transports.get_mut(consumer.transport()) {
            transport.sending_or_new(now);
        }
    }

    /// What a consumer wants has changed: what its transport's receivers are sent is looked at again.
    pub(super) fn reallocate_of(&mut self, now: Instant, key: ConsumerKey, outbox: &mut Outbox) {
        let Some(key) = self.consumers.get(key).map(|consumer| consumer.transport()) else { return };
        let Some(transport) = self.transports.get_mut(key) else { return };
        let consumers = transport.consumers().len();
        if let Some(sending) = transport.sending() {
            sending.look_soon(now, consumers);
            self.follow_estimate(now, key, outbox);
        }
    }

    /// Decides what each of a transport's consumers is sent.
    fn allocate(&mut self, now: Instant, key: TransportKey, outbox: &mut Outbox) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let consumers = transport.consumers().to_vec();
        if transport.sending().is_some_and(|sending| sending.take_share_out()) {
            for consumer in &consumers {
                if let Some(consumer) = self.consumers.get_mut(*consumer) {
                    consumer.forget_allowed();
                }
            }
        }
        let hears_numbers = transport.sending().is_some_and(|sending| sending.hears_numbers());
        let sound_bps = consumers.iter().filter_map(|key| self.sound_bps(now, *key, hears_numbers)).sum();
        let mut steps: Vec<Steps> = consumers.iter().filter_map(|key| self.steps_of(now, *key)).collect();
        let can_probe = self.carrier_of(key).is_some();
        let Some(sending) = self.transports.get_mut(key).and_then(|transport| transport.sending()) else { return };
        let (queue, is_heard) = (sending.estimator().queueing_delay(), sending.is_heard());
        let proven_bps = sending.estimator().proven_bps();
        let available_bps = sending.available_bps(now);
        let mut wishes: Vec<Wish> = steps.iter().map(|steps| steps.wish).collect();
        let demand = |(steps, wish): (&Steps, &Wish)| wish.wanted().max(steps.demand_bps);
        let wanted_bps: u64 = steps.iter().zip(&wishes).map(demand).sum();
        sending.set_wanted(sound_bps + wanted_bps, can_probe);
        match available_bps {
            Some(available_bps) => {
                let path = PathView { available_bps, sound_bps, queue, is_heard, proven_bps, can_probe };
                sending.allocation_mut().decide(now, path, &mut wishes);
            }
            // Nothing is known of the path.
            None => wishes.iter_mut().for_each(|wish| wish.step = wish.count().checked_sub(1)),
        }
        let given_bps: u64 = wishes.iter().map(Wish::cost).sum();
        sending.note_given(now, sound_bps + given_bps);
        sending.set_unmet(given_bps < wanted_bps);
        let left_bps = available_bps.map(|available_bps| available_bps.saturating_sub(sound_bps + given_bps));
        let suspended = wishes.iter().filter(|wish| wish.step.is_none()).count() as u64;
        // The steps are in the order of the consumers.
        let mut with_steps = steps.iter().map(|steps| steps.consumer).peekable();
        for consumer in consumers {
            if with_steps.next_if_eq(&consumer).is_none() {
                self.end_suspension(now, consumer, outbox);
            }
        }
        for (steps, wish) in steps.iter_mut().zip(wishes) {
            let usable_bps = left_bps.map(|left_bps| match wish.step {
                Some(_) => left_bps + wish.cost(),
                None => left_bps / suspended.max(1),
            });
            if let Some(consumer) = self.consumers.get_mut(steps.consumer) {
                consumer.set_usable_bps(usable_bps);
            }
            let allowed = wish.step.and_then(|step| steps.allows.get(usize::from(step))).copied();
            self.allow(now, steps.consumer, allowed.unwrap_or(Allowed { suspended: true, ..Allowed::ALL }), outbox);
        }
    }

    /// There is nothing to send to a consumer, and so nothing to suspend: when there is again, it begins with the least
    /// of it. If it stayed suspended meanwhile, then nothing would say when to look at it again.
    fn end_suspension(&mut self, now: Instant, key: ConsumerKey, outbox: &mut Outbox) {
        if self.consumers.get(key).is_some_and(|consumer| consumer.is_suspended()) {
            self.allow(now, key, Allowed { spatial: 0, temporal: 0, suspended: false }, outbox);
        }
    }

    /// What a consumer of sound takes of what is estimated: nothing, if its packets do not count there.
    fn sound_bps(&mut self, now: Instant, key: ConsumerKey, hears_numbers: bool) -> Option<u64> {
        let consumer = self.consumers.get(key).filter(|consumer| !consumer.is_pause_asked())?;
        if hears_numbers && !consumer.extensions().is_reported() {
            return None;
        }
        let producer = self.producers.get(consumer.producer()).filter(|producer| !producer.is_paused())?;
        if producer.kind() != MediaKind::Audio {
            return None;
        }
        self.streams.get_mut(consumer.target())?.rate(now)?.needed_bps()
    }

    /// What a consumer of pictures could be sent. `None` if it is sent nothing anyway, or nothing is known yet.
    fn steps_of(&mut self, now: Instant, key: ConsumerKey) -> Option<Steps> {
        let consumer = self.consumers.get_mut(key).filter(|consumer| !consumer.is_pause_asked())?;
        let is_new = consumer.take_wants_more() || consumer.allowed().is_none();
        let (of, allowed) = (consumer.producer(), consumer.allowed());
        let (preferred, preferred_temporal) = (consumer.preferred_layer(), consumer.preferred_temporal());
        let (decodable, priority) = (consumer.decodable_spatial(), consumer.priority());
        let layers = self.layers(now, of);
        let producer = self.producers.get(of).filter(|producer| !producer.is_paused())?;
        if producer.kind() != MediaKind::Video {
            return None;
        }
        let preferred = preferred.min(if producer.streams().len() == 1 { decodable } else { u8::MAX });
        // A path that has room for what its sender has left out is to be found out.
        let left_out_bps = producer.left_out(preferred, layers).map(|missing| missing.needed_bps).max();
        let demand_bps = producer.demand_bps().max(left_out_bps).unwrap_or(0);
        let mut steps = Steps { consumer: key, wish: Wish::new(priority), allows: Vec::new(), demand_bps };
        let mut step = None;
        for choice in choices(producer, layers).into_iter().filter(|choice| choice.layer <= preferred) {
            let Some(rate) = self.streams.get_mut(choice.stream).and_then(|stream| stream.rate(now)) else { continue };
            let (spatial, is_lowest) = (choice.allowed, steps.allows.is_empty());
            for temporal in 0..TEMPORAL_LAYERS as u8 {
                // Above the highest there is no more to pay, and so no step.
                let is_last = temporal >= preferred_temporal;
                if let Some(bps) = rate.needed_up_to_bps(choice.within, temporal)
                    && (is_lowest || temporal >= LEAST_TEMPORAL)
                    && steps.wish.add_step(bps)
                {
                    steps.allows.push(Allowed { spatial, temporal, suspended: false });
                }
                if is_last {
                    break;
                }
            }
            // One that takes no more than what is below it is to be had instead of that.
            if let (Some(last), Some(bps)) = (steps.allows.last_mut(), rate.needed_bps())
                && last.spatial != spatial
            {
                *last = Allowed { spatial, temporal: u8::MAX, suspended: false };
                steps.wish.raise_last(bps);
            }
            // The last of a layer is all of it.
            if let Some(last) = steps.allows.last_mut().filter(|last| last.spatial == spatial) {
                last.temporal = u8::MAX;
            }
        }
        for (at, allows) in (0..).zip(&steps.allows) {
            let is_had = |allowed: Allowed| {
                !allowed.suspended && (allows.spatial, allows.temporal) <= (allowed.spatial, allowed.temporal)
            };
            step = if allowed.is_some_and(is_had) { Some(at) } else { step };
        }
        // The layers that it had have gone, or have not come yet: what there is instead is tried.
        if step.is_none() && allowed.is_some_and(|allowed| !allowed.suspended) {
            step = Some(0);
        }
        (steps.wish.step, steps.wish.is_new) = (step, is_new);
        (steps.wish.count() > 0).then_some(steps)
    }

    /// A consumer comes before others, or after them, where their receiver's path does not carry all.
    pub(super) fn set_priority(&mut self, now: Instant, id: ConsumerId, priority: u8, outbox: &mut Outbox) -> Applied {
        let key = self.consumer_key(id)?;
        let Some(consumer) = self.consumers.get_mut(key) else { return Ok(()) };
        consumer.set_priority(priority);
        if let Some(sending) = self.transports.get_mut(consumer.transport()).and_then(|transport| transport.sending()) {
            sending.share_out_again();
        }
        self.reallocate_of(now, key, outbox);
        Ok(())
    }

    /// What was seen of the path to a transport's receivers, and decided for them.
    pub(super) fn trace(&mut self, now: Instant, transport: TransportId) -> Applied<Vec<Decision>> {
        let key = self.transport_key(transport)?;
        let sending = self.transports.get_mut(key).and_then(|transport| transport.sending());
        Ok(sending.map(|sending| sending.decisions().told(now)).unwrap_or_default())
    }

    /// Control is told whether a consumer's path limits it, if that has changed.
    pub(super) fn report_limited(&mut self, key: ConsumerKey) {
        let Some(of) = self.consumers.get(key).map(|consumer| consumer.producer()) else { return };
        let highest = self.highest_layer(of);
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        let id = consumer.id();
        if let Some(limited) = consumer.report_limited(highest) {
            self.push_event(Event::ConsumerLimited { consumer: id, limited });
        }
    }

    /// A consumer may be sent this from now on.
    fn allow(&mut self, now: Instant, key: ConsumerKey, allowed: Allowed, outbox: &mut Outbox) {
        let Some(consumer) = self.consumers.get_mut(key).filter(|consumer| consumer.allowed() != Some(allowed)) else {
            return;
        };
        let (of, before) = (consumer.producer(), consumer.target());
        let (id, transport) = (consumer.id(), consumer.transport());
        let pauses = consumer.set_allowed(allowed);
        if let Some(sending) = self.transports.get_mut(transport).and_then(|transport| transport.sending()) {
            let Allowed { spatial, temporal, suspended } = allowed;
            let decided = Decided::Layers { consumer: id, spatial, temporal, suspended };
            sending.decisions_mut().push(now, decided);
        }
        self.report_limited(key);
        let layers = self.layers(now, of);
        self.set_target(key, layers);
        if let Some(suspended) = self.consumers.get_mut(key).and_then(Consumer::report_suspended) {
            self.push_event(Event::ConsumerSuspended { consumer: id, suspended });
        }
        if pauses {
            if let Some(producer) = self.producers.get_mut(of) {
                producer.set_layers_dirty();
            }
            self.want_key_frame_for(now, key, outbox);
        } else if let Some(consumer) = self.consumers.get(key)
            && (consumer.target() != before || consumer.awaits_layer())
            && consumer.awaits_key_frame_of(consumer.target())
            && self.is_connected(consumer)
        {
            self.want_key_frame(now, consumer.target(), outbox);
        }
    }
}
