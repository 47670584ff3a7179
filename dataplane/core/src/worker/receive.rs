//! RTP in: from a datagram to a packet in history.
//!
//! The order is the point. Nothing is learnt from a packet (no address, no SSRC, no index, no slot) before it has been
//! authenticated; what fails is counted under one name and forgotten.

use corecast_wire::{Codec, CodecMapping, Discard, Event, MediaKind, Record};

use super::resolve::Resolved;
use super::{Worker, traces};
use crate::codec::{self, Frame, Place, Structure, red};
use crate::io::demux::{Protocol, protocol_of};
use crate::io::{EndpointOp, Outbox, Path};
use crate::key::{StreamKey, TransportKey};
use crate::limits::{HEADROOM_BYTES, MAX_PAYLOAD_BYTES};
use crate::media::{Arrival, Extended, Holder, PacketMeta, Producer, Stream, nearest};
use crate::rtp::{RtpView, padding_len, write_extension_block};
use crate::srtp::{OpenError, Replay, ReplayWindow};
use crate::time::Instant;
use crate::transport::{Flow, Inbound, Transport};

/// A packet that was opened into the spare slot.
#[derive(Clone, Copy, Debug)]
struct Opened {
    slot: u32,
    /// Place in the stream; of no meaning for RTX.
    sequence: u64,
    /// Payload with its padding, from the first byte after the headroom (RTX: from the headroom on).
    len: usize,
    restart: bool,
}

impl Worker {
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        key: TransportKey,
        flow: Flow,
        path: Path,
        datagram: &[u8],
        outbox: &mut Outbox,
    ) -> Result<(), Discard> {
        let transport = self.transports.get_mut(key).ok_or(Discard::NoTransport)?;
        transport.count_received(datagram.len());
        transport.check_remote(flow, path.remote)?;
        if transport.learns_remote(flow) && self.shut_out.has(now, path.remote.ip()) {
            return Err(Discard::ShutOut);
        }
        match protocol_of(datagram) {
            Protocol::Rtp if flow == Flow::Rtp => self.receive_rtp(now, key, path, datagram),
            Protocol::Rtcp if flow == transport.rtcp_flow() => self.receive_rtcp(now, key, path, datagram, outbox),
            // The ports of SCTP are those of data channels, whose first byte is 19 (mediasoup's pipes and plain ones).
            Protocol::Zrtp if flow == Flow::Rtp && transport.channels().is_some() => {
                self.receive_plain_sctp(now, key, path, datagram)
            }
            Protocol::Unknown => Err(Discard::UnknownProtocol),
            _ => Err(Discard::UnexpectedProtocol),
        }
    }

    pub(crate) fn receive_rtp(
        &mut self,
        now: Instant,
        key: TransportKey,
        path: Path,
        datagram: &[u8],
    ) -> Result<(), Discard> {
        let view = RtpView::parse(datagram).map_err(|_| Discard::MalformedRtp)?;
        let transport = self.transports.get(key).ok_or(Discard::NoTransport)?;
        let known = transport.inbound_of(view.ssrc()).copied();
        let Some(inbound) = known else { return self.receive_first(now, key, path, &view, datagram.len()) };
        let learns = transport.learns_remote(Flow::Rtp);
        let opened = self.open(key, inbound, &view)?;
        if learns {
            self.learn_remote(now, key, Flow::Rtp, path);
        }
        self.record_arrival(now, key, inbound, &view, datagram.len())?;
        self.take_in(key, inbound, &view, opened)
    }

    /// Takes in an SCTP packet that nothing protects. Where RTP is protected it does not tell the remote side.
    fn receive_plain_sctp(
        &mut self,
        now: Instant,
        key: TransportKey,
        path: Path,
        datagram: &[u8],
    ) -> Result<(), Discard> {
        let transport = self.transports.get(key).ok_or(Discard::NoTransport)?;
        if transport.learns_remote(Flow::Rtp) {
            if transport.security().is_some() {
                return Err(Discard::WrongRemote);
            }
            // The other side has begun. If we began as well, one of the two would have to be given up.
            self.record_remote(key, Flow::Rtp, path);
        }
        self.receive_sctp(now, key, datagram)
    }

    /// Takes in a packet of an SSRC that is not known.
    #[cold]
    fn receive_first(
        &mut self,
        now: Instant,
        key: TransportKey,
        path: Path,
        view: &RtpView<'_>,
        len: usize,
    ) -> Result<(), Discard> {
        let resolved = match self.resolve(now, key, view) {
            Ok(resolved) => resolved,
            Err(why) => {
                self.learn_from_unknown(now, key, path, view)?;
                return Err(why);
            }
        };
        let (opened, window) = self.open_first(key, resolved, view)?;
        self.learn_remote(now, key, Flow::Rtp, path);
        self.bind(key, resolved, window);
        self.record_arrival(now, key, resolved.inbound, view, len)?;
        self.take_in(key, resolved.inbound, view, opened)
    }

    /// Opens a packet of an SSRC that is not known into the spare slot. Nothing of the stream changes.
    fn open_first(
        &mut self,
        key: TransportKey,
        Resolved { inbound, replaces }: Resolved,
        view: &RtpView<'_>,
    ) -> Result<(Opened, ReplayWindow), Discard> {
        let slot = self.spare.or_else(|| self.history.allocate()).ok_or(Discard::NoHistory)?;
        self.spare = Some(slot);
        let transport = self.transports.get(key).ok_or(Discard::NoTransport)?;
        let stream = self.streams.get(inbound.stream).ok_or(Discard::UnknownSsrc)?;
        let cycle = if replaces { stream.next_cycle() } else { stream.cycle() };
        let mut window = ReplayWindow::default();
        let index = window.guess(view.sequence());
        let from = if inbound.rtx { 0 } else { HEADROOM_BYTES };
        let room = self.history.bytes_mut(slot).get_mut(from..HEADROOM_BYTES + MAX_PAYLOAD_BYTES).unwrap_or_default();
        let body = view.body();
        let len = match transport.opener()? {
            Some(opener) => {
                let len =
                    opener.open_rtp(inbound.ssrc, index, view.header(), body, room).map_err(OpenError::discard)?;
                window.accept(index);
                len
            }
            None => {
                room.get_mut(..body.len()).ok_or(Discard::TooLong)?.copy_from_slice(body);
                body.len()
            }
        };
        Ok((Opened { slot, sequence: index + cycle, len, restart: replaces }, window))
    }

    /// A packet of no stream of ours still tells where its sender is, if it is authentic (a receiver behind comedia
    /// sends such packets to open its path).
    fn learn_from_unknown(
        &mut self,
        now: Instant,
        key: TransportKey,
        path: Path,
        view: &RtpView<'_>,
    ) -> Result<(), Discard> {
        let transport = self.transports.get(key).ok_or(Discard::NoTransport)?;
        if !transport.learns_remote(Flow::Rtp) {
            return Ok(());
        }
        if let Some(opener) = transport.opener()? {
            let index = ReplayWindow::default().guess(view.sequence());
            let slot = self.spare.or_else(|| self.history.allocate()).ok_or(Discard::NoHistory)?;
            self.spare = Some(slot);
            let out = self.history.bytes_mut(slot);
            opener.open_rtp(view.ssrc(), index, view.header(), view.body(), out).map_err(OpenError::discard)?;
        }
        self.learn_remote(now, key, Flow::Rtp, path);
        Ok(())
    }

    /// Checks a packet for replay and opens it into the spare slot.
    fn open(&mut self, key: TransportKey, inbound: Inbound, view: &RtpView<'_>) -> Result<Opened, Discard> {
        let slot = self.spare.or_else(|| self.history.allocate()).ok_or(Discard::NoHistory)?;
        self.spare = Some(slot);
        let transport = self.transports.get(key).ok_or(Discard::NoTransport)?;
        let stream = self.streams.get_mut(inbound.stream).ok_or(Discard::UnknownSsrc)?;
        let from = if inbound.rtx { 0 } else { HEADROOM_BYTES };
        let room = self.history.bytes_mut(slot).get_mut(from..HEADROOM_BYTES + MAX_PAYLOAD_BYTES).unwrap_or_default();
        if let Some(opener) = transport.opener()? {
            let window = stream.window(inbound.rtx);
            let index = window.guess(view.sequence());
            window.check(index).map_err(Replay::discard)?;
            let len =
                opener.open_rtp(inbound.ssrc, index, view.header(), view.body(), room).map_err(OpenError::discard)?;
            window.accept(index);
            return Ok(Opened { slot, sequence: index + stream.cycle(), len, restart: stream.is_replaced() });
        }
        let (sequence, restart) = if inbound.rtx {
            (0, false)
        } else {
            match stream.extend(view.sequence()) {
                Extended::Usual(sequence) => (sequence, false),
                Extended::Restart(sequence) => (sequence, true),
                Extended::Jump => return Err(Discard::SequenceJump),
            }
        };
        let body = view.body();
        room.get_mut(..body.len()).ok_or(Discard::TooLong)?.copy_from_slice(body);
        Ok(Opened { slot, sequence, len: body.len(), restart: restart || stream.is_replaced() })
    }

    /// Learns the remote side of a comedia transport, from a packet that has been authenticated.
    pub(crate) fn learn_remote(&mut self, now: Instant, key: TransportKey, flow: Flow, path: Path) {
        let learns = self.transports.get(key).is_some_and(|transport| transport.learns_remote(flow));
        if !learns {
            return;
        }
        self.record_remote(key, flow, path);
        if flow == Flow::Rtp {
            self.connect_association(now, key);
        }
    }

    fn record_remote(&mut self, key: TransportKey, flow: Flow, path: Path) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        transport.set_remote(flow, path.remote);
        let (transport, remote, rtcp) = (transport.id(), path.remote, flow == Flow::Rtcp);
        self.push_event(Event::RemoteLearnt { transport, remote, rtcp });
        self.push_record(Record::Remote { transport, remote, rtcp });
        self.endpoint_ops.push_back(EndpointOp::Connect(path.local, path.remote));
    }

    /// Makes an opened packet part of its stream.
    fn take_in(
        &mut self,
        key: TransportKey,
        inbound: Inbound,
        view: &RtpView<'_>,
        opened: Opened,
    ) -> Result<(), Discard> {
        let stream = self.streams.get_mut(inbound.stream).ok_or(Discard::UnknownSsrc)?;
        let producer = self.producers.get(stream.producer()).ok_or(Discard::UnknownSsrc)?;
        let bytes = self.history.bytes(opened.slot);
        let from = if inbound.rtx { 0 } else { HEADROOM_BYTES };
        let whole = bytes.get(from..from + opened.len).ok_or(Discard::TooLong)?;
        let padding = if view.has_padding() { padding_len(whole).map_err(|_| Discard::MalformedRtp)? } else { 0 };
        let unpadded = whole.get(..opened.len - padding).ok_or(Discard::MalformedRtp)?;
        let sent_as = producer.codec(view.payload_type()).ok_or(Discard::UnknownPayloadType)?;
        let (sequence, codec, payload) = if inbound.rtx {
            // A packet of padding only is a probe of the path (RFC 4588 has none; libwebrtc sends them).
            if unpadded.is_empty() {
                return Ok(());
            }
            original_of(stream, producer, sent_as, unpadded).ok_or(Discard::MalformedRtx)?
        } else if matches!(sent_as.codec, Codec::Rtx { .. }) {
            return Err(Discard::UnknownPayloadType);
        } else {
            (opened.sequence, sent_as, unpadded)
        };
        stream.admit(&self.history, sequence).map_err(|why| match why {
            // The RTX stream's own index was new: nobody has replayed anything.
            Discard::Replayed if inbound.rtx => Discard::AlreadyReceived,
            why => why,
        })?;
        let descriptor = view.extension(producer.ids().dependency_descriptor);
        let ((frame, place), redundancy) = match codec.codec {
            Codec::Red => read_redundant(producer, stream, sequence, payload)?,
            codec => (stream.read(sequence, codec, payload, descriptor), None),
        };
        let payload_len = u16::try_from(payload.len()).map_err(|_| Discard::TooLong)?;
        let (level, hint) = (level_of(producer, view).map(|level| (stream.producer(), level)), producer.hint(view));
        let room = self.history.extra_mut(opened.slot);
        let described = descriptor.map(|_| place.zip(stream.structure()));
        let extra = write_extra(producer, view, described, room);
        let meta = PacketMeta {
            sequence,
            timestamp: view.timestamp(),
            arrived: self.arrived,
            payload_len,
            settled: 0,
            payload_type: codec.mapped_payload_type,
            marker: view.marker(),
            frame,
            blocks: redundancy.map_or(0, |(blocks, _)| blocks),
            csrc_count: extra.csrc_count,
            extension_len: extra.extension_len,
            extension_ids: extra.extension_ids,
        };
        let traced = traces::of(producer, view, &meta, inbound);
        let arrival = Arrival {
            rtx: inbound.rtx,
            restart: opened.restart,
            clock_rate_hz: codec.clock_rate_hz,
            sound: producer.kind() == MediaKind::Audio,
            // Without the original sequence number, which a retransmission brings along.
            rtp_len: u16::try_from(view.header().len() + opened.len + from - HEADROOM_BYTES).unwrap_or(u16::MAX),
        };
        self.rename_blocks(opened.slot, redundancy);
        self.hear_level(meta.arrived, level);
        self.take_hint(inbound.stream, hint);
        self.tell_received(traced);
        self.place(key, inbound.stream, opened.slot, &meta, arrival)
    }

    /// Gives the blocks of redundant sound, so many, the payload type that the router calls them by.
    fn rename_blocks(&mut self, slot: u32, redundancy: Option<(u8, u8)>) {
        if let Some((blocks, router)) = redundancy {
            let room = self.history.bytes_mut(slot).get_mut(HEADROOM_BYTES..).unwrap_or_default();
            red::rename(room, blocks, router);
        }
    }

    /// Puts the packet into history. What it displaces there, or the stream's oldest packet, leaves the next spare
    /// slot.
    fn place(
        &mut self,
        key: TransportKey,
        of: StreamKey,
        slot: u32,
        meta: &PacketMeta,
        arrival: Arrival,
    ) -> Result<(), Discard> {
        let stream = self.streams.get_mut(of).ok_or(Discard::UnknownSsrc)?;
        if !stream.has_history() {
            let router = self.transports.get(key).ok_or(Discard::NoTransport)?.router();
            stream.open_history(&mut self.history, Holder { transport: key, router })?;
            if let Some(producer) = self.producers.get(stream.producer()) {
                stream.keep_newest(&mut self.words, producer.id());
            }
        }
        let last = arrival.restart.then(|| stream.reception());
        self.spare = stream.take_in(&mut self.history, slot, meta, arrival);
        if stream.idle_deadline().at().is_none() {
            stream.arm_idle(&mut self.timers, of);
        }
        if !meta.frame.is_empty() {
            let begins = stream.has_begun_batch();
            if !arrival.sound {
                self.gather.record_pictures(meta.arrived);
            }
            // What comes through a pipe has waited before.
            let may_wait = arrival.sound && !self.transports.get(key).is_some_and(Transport::is_pipe);
            let waits = may_wait && self.gather.record_sound(meta.arrived, of, begins);
            if begins && !waits {
                self.fresh.push(of);
            }
        }
        if meta.frame.is_empty() {
            for (subscriber, _) in stream.subscribers() {
                let subscriber = self.consumers.get_mut(*subscriber);
                if let Some(subscriber) = subscriber.filter(|subscriber| subscriber.current() == Some(of)) {
                    subscriber.count_empty();
                }
            }
        }
        if let Some(last) = last {
            for (subscriber, _) in stream.subscribers() {
                let subscriber = self.consumers.get_mut(*subscriber);
                if let Some(subscriber) = subscriber.filter(|subscriber| subscriber.current() == Some(of)) {
                    subscriber.follow_restart(last, stream);
                }
            }
        }
        if meta.frame.is_empty() {
            self.discard(key, Discard::PaddingOnly);
        }
        Ok(())
    }

    /// A stream that no longer sends gives its history back.
    pub(super) fn idle_timeout(&mut self, now: Instant, at: Instant, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if !stream.idle_deadline().fires(at) {
            return;
        }
        if stream.idle_at() <= now {
            stream.close_history(&mut self.history);
            self.fresh.retain(|fresh| *fresh != key);
            self.gather.forget(key);
        } else {
            stream.arm_idle(&mut self.timers, key);
        }
    }
}

/// What a packet of a retransmission stream repeats (RFC 4588 section 4): number, codec and payload.
fn original_of<'a, 'p>(
    stream: &Stream,
    producer: &'a Producer,
    sent_as: &CodecMapping,
    payload: &'p [u8],
) -> Option<(u64, &'a CodecMapping, &'p [u8])> {
    let (original, payload) = payload.split_first_chunk::<2>()?;
    let highest = stream.highest()?;
    let codec = producer.retransmitted_codec(sent_as)?;
    // Only what has been passed can be sent again: an invented number must not carry the stream away.
    let sequence = nearest(highest, u16::from_be_bytes(*original));
    (sequence <= highest).then_some((sequence, codec, payload))
}

/// What a packet says of its frame, as [`Stream::read`].
type Said = (Frame, Option<Place>);

/// What the primary block of redundant audio data says about its frame, as [`Stream::read`]; how many blocks there are,
/// and what the router calls their payload type.
#[cold]
fn read_redundant(
    producer: &Producer,
    stream: &mut Stream,
    sequence: u64,
    payload: &[u8],
) -> Result<(Said, Option<(u8, u8)>), Discard> {
    if payload.is_empty() {
        return Ok(((Frame::EMPTY, None), None));
    }
    let carried = producer.carried_codec().ok_or(Discard::MalformedRed)?;
    let blocks = red::read(payload, carried.payload_type).ok_or(Discard::MalformedRed)?;
    let primary = payload.get(blocks.primary_at..).unwrap_or_default();
    let said = stream.read(sequence, carried.codec, primary, None);
    Ok((said, Some((blocks.count, carried.mapped_payload_type))))
}

/// How loud a packet says that it is, in -dBov (RFC 6464 section 3), if anybody listens to its producer.
fn level_of(producer: &Producer, view: &RtpView<'_>) -> Option<u8> {
    if producer.observers().is_empty() && !producer.is_ranked() {
        return None;
    }
    view.extension(producer.ids().audio_level)?.first().map(|level| level & 0x7f)
}

/// What is in the extra bytes of a slot; see [`PacketMeta`].
#[derive(Clone, Copy, Debug, Default)]
struct Extra {
    csrc_count: u8,
    extension_len: u8,
    extension_ids: u16,
}

/// Writes contributing sources and the extensions that are passed on, with the router's ids, into a slot's extra bytes,
/// and behind them what is noted of a dependency descriptor.
#[inline]
fn write_extra(
    producer: &Producer,
    view: &RtpView<'_>,
    described: Option<Option<(Place, &Structure)>>,
    room: &mut [u8],
) -> Extra {
    let csrcs = view.csrcs();
    if csrcs.is_empty() && view.extension_block().is_empty() {
        return Extra::default();
    }
    let Some((sources, block)) = room.split_at_mut_checked(csrcs.len()) else {
        return Extra::default();
    };
    sources.copy_from_slice(csrcs);
    let mapped = view.extensions().filter_map(|(id, data)| Some((producer.mapped_extension(id)?, data)));
    let extension_ids = mapped.clone().fold(0, |ids, (id, _)| ids | 1_u16.checked_shl(u32::from(id)).unwrap_or(0));
    let extension_len = u8::try_from(write_extension_block(block, mapped)).unwrap_or(0);
    if let (Some(described), Some(room)) = (described, block.get_mut(usize::from(extension_len)..)) {
        let (place, targets) = described.map(|(place, structure)| (place, structure.reach())).unwrap_or_default();
        codec::write_note(targets, place, room);
    }
    Extra { csrc_count: u8::try_from(csrcs.len() / 4).unwrap_or(0), extension_len, extension_ids }
}
