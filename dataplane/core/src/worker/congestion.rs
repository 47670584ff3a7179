//! Congestion feedback to senders: transport-wide, and REMB.

use corecast_wire::{Discard, MediaKind, OutgoingBitrates, TransportId};

use super::Worker;
use super::refused::{Applied, invalid};
use crate::congestion::{Arrivals, Remb};
use crate::consumer::Consumer;
use crate::io::{Outbox, Timer};
use crate::key::{ProducerKey, TransportKey};
use crate::rtp::RtpView;
use crate::time::Instant;
use crate::transport::{Inbound, Transport};

/// Senders are not asked for less than this: a picture of less is none.
const LEAST_ASKED_BPS: u64 = 60_000;

impl Worker {
    /// What the senders of a transport are told to send at most, from the next REMB on.
    pub(crate) fn set_max_incoming_bitrate(&mut self, id: TransportId, bps: u64) -> Applied {
        self.need_webrtc(id)?.set_max_incoming_bitrate_bps(bps);
        Ok(())
    }

    /// Bounds of what the path to a transport's receivers is taken to carry, from the next estimate on.
    pub(crate) fn set_outgoing_bitrates(
        &mut self,
        now: Instant,
        id: TransportId,
        outgoing: &OutgoingBitrates,
    ) -> Applied {
        self.need_webrtc(id)?.set_outgoing(now, outgoing);
        Ok(())
    }

    fn need_webrtc(&mut self, id: TransportId) -> Applied<&mut Transport> {
        let key = self.transport_key(id)?;
        let transport = self.transports.get_mut(key).filter(|transport| transport.webrtc().is_some());
        transport.ok_or_else(|| invalid("transportId", "is not a WebRTC transport"))
    }

    /// Notes an authentic RTP packet of `len` bytes for feedback about congestion.
    ///
    /// # Errors
    /// [`Discard::OverRate`] if the transport has sent more than it may: it is noted all the same.
    pub(crate) fn record_arrival(
        &mut self,
        now: Instant,
        key: TransportKey,
        inbound: Inbound,
        view: &RtpView<'_>,
        len: usize,
    ) -> Result<(), Discard> {
        let producer = self.streams.get(inbound.stream).and_then(|stream| self.producers.get(stream.producer()));
        let (Some(producer), Some(transport)) = (producer, self.transports.get_mut(key)) else { return Ok(()) };
        transport.count_rtp(len, inbound.rtx);
        // What comes through a pipe was within its sender's limit before.
        let may_be_taken_in = transport.is_pipe() || transport.take_in_packet(now, self.overload.packet_interval());
        if let Some(&[high, low]) = view.extension(producer.ids().transport_cc) {
            let sequence = u16::from_be_bytes([high, low]);
            let arrivals = transport.arrivals().get_or_insert_with(|| Box::new(Arrivals::new(sequence)));
            arrivals.record(now, sequence, inbound.ssrc);
            if let Some(at) = arrivals.next_deadline(now) {
                arrivals.deadline().set(&mut self.timers, Some(at), Timer::TransportCc(key));
            }
        }
        let is_capped = transport.remb().as_ref().is_some_and(|remb| remb.is_capping());
        if producer.takes_remb() || is_capped {
            self.record_for_remb(now, key, len);
        }
        if may_be_taken_in { Ok(()) } else { Err(Discard::OverRate) }
    }

    pub(crate) fn transport_cc_timeout(&mut self, at: Instant, key: TransportKey, outbox: &mut Outbox) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        // Taken out while it is read, so that the transport can send.
        let Some(mut arrivals) = transport.arrivals().take_if(|arrivals| arrivals.deadline().fires(at)) else { return };
        let mut result = Ok(());
        while let (Ok(()), Some((head, end))) = (result, arrivals.message(transport.rtcp_ssrc())) {
            result = transport.send_rtcp(outbox, |writer| {
                writer.push_transport_cc(&head, arrivals.statuses(&head, end));
            });
            arrivals.sent(&head, end);
        }
        *transport.arrivals() = Some(arrivals);
        if let Err(why) = result {
            self.discard(key, why);
        }
    }

    /// Records an authentic RTP packet of `len` bytes of a sender that takes REMB, or was capped by one.
    pub(crate) fn record_for_remb(&mut self, now: Instant, key: TransportKey, len: usize) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let remb = transport.remb().get_or_insert_with(|| Box::new(Remb::new(now)));
        let at = remb.record(now, len);
        remb.deadline().arm(&mut self.timers, at, Timer::Remb(key));
    }

    /// What a transport's senders are asked for at most since none of their viewers could take more; `None` where one
    /// can, or where nothing is known of that.
    fn usable_bps(&mut self, now: Instant, key: TransportKey) -> Option<u64> {
        let producers = self.transports.get(key).map(|transport| transport.producers().to_vec())?;
        let mut all_bps = 0;
        let mut is_capped = false;
        for key in producers {
            let producer = self.producers.get(key).filter(|producer| producer.takes_remb());
            let Some(producer) = producer else { continue };
            if producer.kind() == MediaKind::Audio {
                let stream = producer.streams().first().and_then(|stream| self.streams.get_mut(*stream));
                all_bps += stream.and_then(|stream| stream.rate(now)?.needed_bps()).unwrap_or(0);
            } else {
                all_bps += self.usable_of(now, key)?;
                is_capped = true;
            }
        }
        is_capped.then_some(all_bps)
    }

    /// The same of one producer of pictures. One that sends several encodings leaves it to its viewers' paths which of
    /// them they get.
    fn usable_of(&mut self, now: Instant, key: ProducerKey) -> Option<u64> {
        let producer = self.producers.get(key).filter(|producer| producer.streams().len() == 1)?;
        let viewers = || producer.consumers().iter().filter_map(|key| self.consumers.get(*key));
        let viewers = || viewers().filter(|consumer| !consumer.is_pause_asked());
        let all_suspended = viewers().next().is_some() && viewers().all(Consumer::is_suspended);
        let usable = viewers().try_fold(0, |most: u64, consumer| Some(most.max(consumer.usable_bps()?)));
        let stream = producer.streams().first().copied();
        let mut demand_bps = producer.demand_bps();
        if demand_bps.is_none() && all_suspended {
            let stream = stream.and_then(|stream| self.streams.get_mut(stream));
            demand_bps = stream.and_then(|stream| stream.rate(now)?.needed_bps());
        }
        // So much that what it sent before fits again, and a little.
        let usable = usable.filter(|usable| demand_bps.is_some_and(|demand_bps| *usable < demand_bps / 20 * 23));
        let producer = self.producers.get_mut(key)?;
        producer.set_demand_bps(demand_bps.filter(|_| usable.is_some()));
        // Some of the path is left for what is repeated, and for the estimate to be sure.
        usable.map(|usable| (usable / 5 * 4).max(LEAST_ASKED_BPS))
    }

    pub(crate) fn remb_timeout(&mut self, now: Instant, at: Instant, key: TransportKey, outbox: &mut Outbox) {
        let usable = self.usable_bps(now, key);
        let Some(transport) = self.transports.get_mut(key) else { return };
        // Taken out while it is changed, so that the transport can send.
        let Some(mut remb) = transport.remb().take_if(|remb| remb.deadline().fires(at)) else { return };
        let producers: Vec<_> = transport.producers().iter().filter_map(|key| self.producers.get(*key)).collect();
        let takes_any = producers.iter().any(|producer| producer.takes_remb());
        // A cap holds for all that its sender sends, so it is lifted for all.
        let told = producers.into_iter().filter(|producer| producer.takes_remb() || !takes_any);
        let told: Vec<_> = told.collect();
        let streams = told.iter().flat_map(|producer| producer.streams()).filter_map(|key| self.streams.get(*key));
        let counts = streams.clone().map(|stream| stream.reception().counts(stream.highest()));
        let (expected, received) =
            counts.fold((0, 0), |(expected, received), one| (expected + one.0, received + one.1));
        remb.estimate(now, expected, received);
        // A sender that takes transport-wide feedback estimates for itself: it is told the limit alone.
        let is_estimated = takes_any && told.iter().any(|producer| producer.ids().transport_cc == 0);
        let limit = transport.max_incoming_bitrate_bps().into_iter().chain(usable).min().filter(|_| takes_any);
        let estimate = Some(remb.estimate_bps()).filter(|_| is_estimated);
        let mut result = Ok(());
        if let Some(bps) = limit.into_iter().chain(estimate).min().or_else(|| remb.lifted())
            && remb.is_news(now, bps)
        {
            let (from, ssrcs) = (transport.rtcp_ssrc(), streams.filter_map(|stream| stream.ssrc()));
            result = transport.send_rtcp(outbox, |writer| {
                writer.push_remb(from, bps, ssrcs);
            });
            if result.is_ok() {
                remb.announced(now, bps);
            }
        }
        *transport.remb() = Some(remb);
        if let Err(why) = result {
            self.discard(key, why);
        }
    }
}
