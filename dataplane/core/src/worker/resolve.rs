//! Whose an RTP packet is: from its SSRC, MID, RID and payload type to a stream of a producer (RFC 8843 section 9.2,
//! RFC 8852 section 3).
//!
//! All of it is read before the packet has been authenticated, and so only read. An SSRC is bound to a stream by its
//! first authentic packet ([`Worker::bind`]) and belongs to it for ever: a MID or RID that names another one later is
//! not looked at. (RFC 8843 would move it. No sender needs that, and what cannot be moved cannot be hijacked.)

use std::collections::BTreeSet;

use corecast_wire::{Codec, CommandError, Discard, ProduceOptions};

use super::Worker;
use crate::key::{OfProducer, OfStream, Table, TransportKey};
use crate::limits::{MAX_NAME_BYTES, MAX_SSRCS_PER_TRANSPORT};
use crate::media::{Producer, Stream};
use crate::rtp::RtpView;
use crate::transport::{Inbound, Transport};

impl Worker {
    /// The stream of a packet whose SSRC is not known.
    #[cold]
    pub(crate) fn resolve(&self, key: TransportKey, view: &RtpView<'_>) -> Result<Inbound, Discard> {
        let transport = self.transports.get(key).ok_or(Discard::NoTransport)?;
        if transport.inbound().len() >= MAX_SSRCS_PER_TRANSPORT {
            return Err(Discard::TooManySsrcs);
        }
        let mut found = Err(Discard::UnknownSsrc);
        // Producers that the packet may belong to as far as its MID and payload type tell.
        let (mut candidates, mut have_mids) = (0, false);
        for producer in transport.producers().iter().filter_map(|key| self.producers.get(*key)) {
            match named_by_mid(producer, view) {
                Some(true) => return stream_of(producer, &self.streams, view),
                Some(false) => continue,
                None if producer.codec(view.payload_type()).is_none() => continue,
                None => {}
            }
            candidates += 1;
            have_mids |= producer.mid().is_some();
            if found.is_err() {
                found = stream_of(producer, &self.streams, view);
            }
        }
        // A payload type that several media sections share tells nothing (RFC 8843 section 9.2); their senders have
        // MIDs to send. Without any, the producers are filled in the order in which they were made.
        if candidates > 1 && have_mids {
            return Err(Discard::UnknownSsrc);
        }
        found
    }

    /// Gives a stream the SSRC of its first authenticated packet.
    pub(crate) fn bind(&mut self, key: TransportKey, inbound: Inbound) {
        if let Some(stream) = self.streams.get_mut(inbound.stream) {
            stream.bind(inbound.ssrc, inbound.rtx);
        }
        if let Some(transport) = self.transports.get_mut(key) {
            transport.add_inbound(inbound);
        }
    }
}

/// Whether a packet's MID is a producer's; `None` if the packet has none, or none that concerns this producer.
fn named_by_mid(producer: &Producer, view: &RtpView<'_>) -> Option<bool> {
    let mid = producer.mid()?;
    Some(view.extension(producer.ids().mid)? == mid.as_bytes())
}

/// The stream of a producer to which a packet with an unknown SSRC belongs: the one that its RID names (its repaired
/// RID if it is a retransmission), the only one if it has no RID. None that has an SSRC already.
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
    let (key, _) = stream.filter(|(_, stream)| !stream.is_bound(rtx)).ok_or(Discard::UnknownSsrc)?;
    Ok(Inbound { ssrc: view.ssrc(), stream: key, rtx })
}

/// Names by which packets would find two streams, or none: what [`Worker::resolve`] takes for granted.
pub(crate) fn check_names(
    transport: &Transport,
    producers: &Table<OfProducer, Box<Producer>>,
    options: &ProduceOptions,
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
    if transport.inbound().len() + announced.count() > MAX_SSRCS_PER_TRANSPORT {
        let max = MAX_SSRCS_PER_TRANSPORT as u64;
        return Err(CommandError::Limit { what: "SSRCs of producers on a transport".into(), max });
    }
    Ok(())
}
