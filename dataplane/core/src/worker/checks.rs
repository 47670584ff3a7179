//! What is checked of a command before anything is applied.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use corecast_wire::{Codec, CommandError, ConsumeOptions, Maxima, ProduceOptions, SrtpParameters, TransportId};

use super::refused::{Applied, at_most, invalid, limit};
use crate::limits::{
    MAX_CNAME_BYTES, MAX_CODECS, MAX_CONSUMER_MID_BYTES, MAX_CONSUMER_PAYLOAD_TYPES, MAX_ENCODINGS,
    MAX_HEADER_EXTENSIONS,
};
use crate::memory::Words;
use crate::srtp::Sealer;
use crate::transport::{Security, Transport};

pub(super) fn security(srtp: &SrtpParameters, words: &mut Words, id: TransportId) -> Applied<Security> {
    let mut sealer = Sealer::new(srtp).map_err(|error| invalid("srtpParameters.keyBase64", error.to_string()))?;
    sealer.keep(words, id);
    Ok(Security::new(srtp.suite, sealer, None))
}

/// With comedia the remote side is learnt, otherwise it is told; RTCP has a remote side of its own only without
/// `rtcpMux`.
pub(super) fn check_remotes(
    transport: &Transport,
    remote: Option<SocketAddr>,
    rtcp_remote: Option<SocketAddr>,
) -> Applied {
    let family = |field: &str, address: Option<SocketAddr>| match address {
        Some(address) if address.is_ipv4() != transport.local().local.is_ipv4() => {
            Err(invalid(field, "is of another family than the listen address"))
        }
        Some(address) if address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() => {
            Err(invalid(field, "is not an address that can be sent to"))
        }
        _ => Ok(()),
    };
    family("ip", remote)?;
    family("rtcpPort", rtcp_remote)?;
    match (transport.is_comedia(), remote, rtcp_remote, transport.rtcp_local()) {
        (true, None, None, _) if transport.security().is_some() => Ok(()),
        (true, None, None, _) => Err(invalid("comedia", "there is nothing to connect: the remote side is learnt")),
        (true, ..) => Err(invalid("ip", "must be absent with comedia: the remote side is learnt")),
        (false, None, ..) => Err(invalid("ip", "missing")),
        (false, Some(_), Some(_), None) => Err(invalid("rtcpPort", "must be absent with rtcpMux")),
        (false, Some(_), None, Some(_)) => Err(invalid("rtcpPort", "missing: the transport was made without rtcpMux")),
        (false, Some(_), ..) => Ok(()),
    }
}

pub(super) fn check_produce(transport: &Transport, options: &ProduceOptions) -> Applied {
    let field = "rtpParameters.codecs";
    at_most(options.codecs.len(), MAX_CODECS, "codecs in a producer")?;
    at_most(options.encodings.len(), MAX_ENCODINGS, "encodings in a producer")?;
    at_most(options.header_extensions.len(), MAX_HEADER_EXTENSIONS, "header extensions in a producer")?;
    if options.encodings.is_empty() {
        return Err(invalid("rtpParameters.encodings", "must not be empty"));
    }
    if !options.codecs.iter().any(|codec| !matches!(codec.codec, Codec::Rtx { .. })) {
        return Err(invalid(field, "must name a media codec"));
    }
    let mut payload_types = BTreeSet::new();
    for codec in &options.codecs {
        if codec.payload_type > 127 || codec.mapped_payload_type > 127 || codec.clock_rate_hz == 0 {
            return Err(invalid(field, "payloadType must be 0 to 127 and clockRate above 0"));
        }
        if !payload_types.insert(codec.payload_type) {
            return Err(invalid(field, format!("payloadType {} stands twice", codec.payload_type)));
        }
    }
    if options.header_extensions.iter().any(|extension| extension.id == 0 || !(1..=14).contains(&extension.mapped_id)) {
        return Err(invalid("rtpParameters.headerExtensions", "id must be 1 to 255"));
    }
    let mut ssrcs = BTreeSet::new();
    for ssrc in options.encodings.iter().flat_map(|encoding| [encoding.ssrc, encoding.rtx_ssrc]).flatten() {
        if transport.inbound_of(ssrc).is_some() || !ssrcs.insert(ssrc) {
            return Err(CommandError::SsrcTaken(ssrc));
        }
    }
    Ok(())
}

pub(super) fn check_consume(transport: &Transport, options: &ConsumeOptions, maxima: &Maxima) -> Applied {
    at_most(options.payload_types.len(), MAX_CONSUMER_PAYLOAD_TYPES, "payload types of a consumer")?;
    if options.payload_types.is_empty()
        || options.payload_types.iter().any(|one| one.router > 127 || one.receiver > 127)
    {
        return Err(invalid("payloadTypes", "must be 0 to 127, at least one"));
    }
    if options
        .header_extensions
        .iter()
        .any(|one| ![one.router_id, one.receiver_id].iter().all(|id| (1..=14).contains(id)))
    {
        return Err(invalid("headerExtensions", "ids must be 1 to 14"));
    }
    let ids = options.header_extensions.iter().fold(0_u16, |ids, one| ids | 1 << one.receiver_id);
    if (ids.count_ones() as usize) < options.header_extensions.len() {
        return Err(invalid("headerExtensions", "two have one id"));
    }
    if options.mid.as_ref().is_some_and(|mid| mid.is_empty() || mid.len() > MAX_CONSUMER_MID_BYTES) {
        return Err(invalid("mid", format!("must be 1 to {MAX_CONSUMER_MID_BYTES} bytes")));
    }
    if options.cname.len() > MAX_CNAME_BYTES {
        return Err(invalid("rtcp.cname", format!("must not be longer than {MAX_CNAME_BYTES} bytes")));
    }
    let first_sequences = [Some(options.first_sequence), options.rtx.as_ref().map(|rtx| rtx.first_sequence)];
    if first_sequences.into_iter().flatten().any(|sequence| sequence >= 1 << 15) {
        return Err(invalid("firstSequence", "must be below 32768"));
    }
    if let Some(rtx) = &options.rtx
        && rtx.ssrc == options.ssrc
    {
        return Err(CommandError::SsrcTaken(rtx.ssrc));
    }
    if let Some(security) = transport.security() {
        limit(security.used_ssrcs() + 1, maxima.ssrcs_per_key, "SSRCs under one SRTP key")?;
    }
    for ssrc in std::iter::once(options.ssrc).chain(options.rtx.as_ref().map(|rtx| rtx.ssrc)) {
        if transport.has_sent_as(ssrc) {
            return Err(CommandError::SsrcTaken(ssrc));
        }
    }
    Ok(())
}
