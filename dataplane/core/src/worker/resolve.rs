//! Whose an RTP packet is: from its SSRC, MID, RID and payload type to a stream of a producer (RFC 8843 section 9.2,
//! RFC 8852 section 3).
//!
//! All of it is read before the packet has been authenticated, and so only read. An SSRC is bound to a stream by its
//! first authentic packet ([`Worker::bind`]) and belongs to it: a MID or RID that names another one later is not looked
//! at. (RFC 8843 would move it. No sender needs that, and what cannot be moved cannot be hijacked.)
//!
//! A sender that begins again (a pipeline that was restarted, an encoder that was replaced) does so under another SSRC,
//! which takes the place of the stream's former one once that is silent. Under SRTP the former one is not taken again.

use std::collections::BTreeSet;
use std::time::Duration;

use corecast_wire::{Codec, CommandError, Discard, FormerSsrc, Maxima, ProduceOptions};

use super::Worker;
use crate::key::{OfProducer, OfStream, Table, TransportKey};
use crate::limits::MAX_NAME_BYTES;
use crate::media::{Producer, Stream};
use crate::rtp::RtpView;
use crate::srtp::ReplayWindow;
use crate::time::Instant;
use crate::transport::{Inbound, Transport};

/// Silence of a stream after which another SSRC takes its place, if MID or RID name the stream, and if only the payload
/// type does.
const SILENT_IF_NAMED: Duration = Duration::from_millis(500);
const SILENT_IF_NOT: Duration = Duration::from_secs(2);

/// Where a packet with an unknown SSRC belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolved {
    pub(crate) inbound: Inbound,
    /// Its SSRC takes the place of the one that the stream has had.
    pub(crate) replaces: bool,
}

impl Worker {
    /// The stream of a packet whose SSRC is not known.
    #[cold]
    pub(crate) fn resolve(&self, now: Instant, key: TransportKey, view: &RtpView<'_>) -> Result<Resolved, Discard> {
        let transport = self.transports.get(key).ok_or(Discard::NoTransport)?;
        if transport.inbound_count() >= transport.maxima(&self.config.maxima).1 {
            return Err(Discard::TooManySsrcs);
        }
        if transport.has_retired(view.ssrc()) {
            return Err(Discard::UnknownSsrc);
        }
        let mut found = Err(Discard::UnknownSsrc);
        // Streams that are silent, whose place it could take.
        let mut silent = Vec::new();
        // Producers that the packet may belong to as far as its MID and payload type tell.
        let (mut candidates, mut have_mids) = (0, false);
        for producer in transport.producers().iter().filter_map(|key| self.producers.get(*key)) {
            match named_by_mid(producer, view) {
                Some(true) => return free_or_silent(producer, &self.streams, view, (now, SILENT_IF_NAMED)),
                Some(false) => continue,
                None if producer.codec(view.payload_type()).is_none() => continue,
                None => {}
            }
            candidates += 1;
            have_mids |= producer.mid().is_some();
            let is_named = view.extension(producer.ids().rid).is_some() && producer.streams().len() > 1;
            let silence = if is_named { SILENT_IF_NAMED } else { SILENT_IF_NOT };
            match free_or_silent(producer, &self.streams, view, (now, silence)) {
                Ok(resolved) if resolved.replaces && transport.has_left(view.ssrc()) => {}
                Ok(resolved) if resolved.replaces => silent.push(resolved),
                other if found.is_err() => found = other,
                _ => {}
            }
        }
        // A payload type that several media sections share tells nothing (RFC 8843 section 9.2); their senders have
        // MIDs to send. Without any, the producers are filled in the order in which they were made.
        if candidates > 1 && have_mids {
            return Err(Discard::UnknownSsrc);
        }
        match (found, silent.as_slice()) {
            (Err(_), [one]) => Ok(*one),
            (found, _) => found,
        }
    }

    /// Gives a stream the SSRC of its first authenticated packet, or of the first of the SSRC that takes its place.
    /// `window` has the indexes of that one.
    pub(crate) fn bind(&mut self, key: TransportKey, resolved: Resolved, window: ReplayWindow) {
        let Resolved { inbound, replaces } = resolved;
        let (Some(stream), Some(transport)) = (self.streams.get_mut(inbound.stream), self.transports.get_mut(key))
        else {
            return;
        };
        let mut retired = Vec::new();
        if replaces {
            stream.replace(inbound.ssrc, window);
            retired = transport.retire_inbound(inbound.stream);
        } else {
            stream.bind(inbound.ssrc, inbound.rtx);
            *stream.window(inbound.rtx) = window;
        }
        if let Some(producer) = self.producers.get(stream.producer()) {
            stream.keep(&mut self.words, producer.id(), self.arrived);
        }
        transport.add_inbound(inbound);
        let id = transport.id();
        self.push_ssrcs(id, retired, FormerSsrc::Retired);
    }
}

/// The stream of a producer to which a packet with an unknown SSRC belongs: one that has no SSRC yet, or has been
/// silent for so long.
fn free_or_silent(
    producer: &Producer,
    streams: &Table<OfStream, Box<Stream>>,
    view: &RtpView<'_>,
    (now, silence): (Instant, Duration),
) -> Result<Resolved, Discard> {
    let inbound = stream_of(producer, streams, view)?;
    let stream = streams.get(inbound.stream).ok_or(Discard::UnknownSsrc)?;
    if !stream.is_bound(inbound.rtx) {
        return Ok(Resolved { inbound, replaces: false });
    }
    // What was announced and has never come gives way to a packet that names the stream, not to a stray one.
    let has_come = stream.highest().is_some() || silence == SILENT_IF_NAMED;
    let gives_way = !inbound.rtx && has_come && stream.is_silent(now, silence);
    if gives_way { Ok(Resolved { inbound, replaces: true }) } else { Err(Discard::UnknownSsrc) }
}

/// Whether a packet's MID is a producer's; `None` if the packet has none, or none that concerns this producer.
fn named_by_mid(producer: &Producer, view: &RtpView<'_>) -> Option<bool> {
    let mid = producer.mid()?;
    Some(view.extension(producer.ids().mid)? == mid.as_bytes())
}

/// The stream of a producer that a packet means: the one that its RID names (its repaired RID if it is a
/// retransmission), the only one if it has no RID.
fn stream_of(
    producer: &Producer,
    streams: &Table<OfStream, Box<Stream>>,
    view: &RtpView<'_>,
) -> Result<Inbound, Discard> {
    let codec = producer.codec(view.payload_type()).ok_or(Discard::UnknownPayloadType)?;
    let rtx = matches!(codec.codec, Codec::Rtx { .. });
    let rid = view.extension(producer.ids().rid);
    let rid = if rtx { view.extension(producer.ids().repaired_rid).or(rid) } else { rid };
    let mut own = producer.streams().iter().filter_map(|key| Some((*key, streams.get(*key)?)));
    let has_rids = own.clone().any(|(_, stream)| stream.rid().is_some());
    let stream = match (rid.filter(|_| has_rids), producer.streams().len()) {
        (Some(rid), _) => own.find(|(_, stream)| stream.rid().is_some_and(|own| own.as_bytes() == rid)),
        (None, 1) => own.next(),
        (None, _) => None,
    };
    let (key, _) = stream.ok_or(Discard::UnknownSsrc)?;
    Ok(Inbound { ssrc: view.ssrc(), stream: key, rtx })
}

/// Names by which packets would find two streams, or none: what [`Worker::resolve`] takes for granted.
pub(crate) fn check_names(
    transport: &Transport,
    producers: &Table<OfProducer, Box<Producer>>,
    options: &ProduceOptions,
    maxima: &Maxima,
) -> Result<(), CommandError> {
    let invalid = |field: &str, cause: String| Err(CommandError::Invalid { field: field.into(), cause });
    let is_lawful = |name: &str| (1..=MAX_NAME_BYTES).contains(&name.len());
    if let Some(mid) = &options.mid {
        if !is_lawful(mid) {
            return invalid("rtpParameters.mid", format!("must be 1 to {MAX_NAME_BYTES} bytes"));
        }
        let mut siblings = transport.producers().iter().filter_map(|key| producers.get(*key));
        if siblings.any(|sibling| sibling.mid() == Some(mid.as_str())) {
            return invalid("rtpParameters.mid", format!("{mid} is another producer's on this transport"));
        }
    }
    let mut rids = BTreeSet::new();
    for rid in options.encodings.iter().filter_map(|encoding| encoding.rid.as_ref()) {
        if !is_lawful(rid) {
            return invalid("rtpParameters.encodings.rid", format!("must be 1 to {MAX_NAME_BYTES} bytes"));
        }
        if !rids.insert(rid) {
            return invalid("rtpParameters.encodings.rid", format!("{rid} stands twice"));
        }
    }
    let announced = options.encodings.iter().flat_map(|encoding| [encoding.ssrc, encoding.rtx_ssrc]).flatten();
    let (_, max) = transport.maxima(maxima);
    if transport.inbound_count() + announced.count() > max {
        return Err(CommandError::Limit { what: "SSRCs of producers on a transport".into(), max: max as u64 });
    }
    Ok(())
}
