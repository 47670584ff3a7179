//! What kind of datagram travels, how long it is for the network, and in which order the network takes it.

use crate::sim::wire::is_rtcp;

/// What a link takes a datagram of a handshake for: its own length is random.
const HANDSHAKE_BYTES: usize = 600;

/// What a datagram is, by its first byte (RFC 7983).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DatagramKind {
    Stun,
    Dtls,
    Media,
}

/// The kind of a datagram; none if it is none of them.
pub(super) fn kind_of(datagram: &[u8]) -> Option<DatagramKind> {
    match datagram.first()? {
        0..=3 => Some(DatagramKind::Stun),
        20..=63 => Some(DatagramKind::Dtls),
        128..=191 => Some(DatagramKind::Media),
        _ => None,
    }
}

/// The datagram belongs to a handshake.
pub(super) fn is_handshake(datagram: &[u8]) -> bool {
    kind_of(datagram) == Some(DatagramKind::Dtls)
}

/// How long a datagram is for links and for the trace.
pub(in crate::sim) fn wire_len(datagram: &[u8]) -> usize {
    if is_handshake(datagram) { HANDSHAKE_BYTES } else { datagram.len() }
}

/// In which order the network takes what leaves at one moment: by participant and SSRC. str0m asks for packets of
/// several streams in the order of a hash map, and so the answers leave in another order in every run.
pub(in crate::sim) fn order(peer: usize, datagram: &[u8]) -> (usize, u32) {
    let ssrc = datagram.get(8..12).and_then(|ssrc| ssrc.try_into().ok()).map_or(0, u32::from_be_bytes);
    let is_media = kind_of(datagram) == Some(DatagramKind::Media) && !is_rtcp(datagram);
    (peer + 1, if is_media { ssrc } else { 0 })
}
