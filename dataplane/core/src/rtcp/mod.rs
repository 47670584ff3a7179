//! RTCP (RFC 3550 section 6, RFC 4585, RFC 5104, RFC 3611, RFC 8888, REMB and transport-wide feedback), read where it
//! lies.
//!
//! [`parse`] verifies a whole compound before it hands out anything: one bad packet and nothing of the datagram counts
//! (RFC 3550 appendix A.2). After that, walking the packets and what is in them cannot fail. Compounds that do not
//! begin with a report are taken (RFC 5506). [`Writer`] makes compounds. Owns nothing, allocates nothing.

mod ccfb;
mod feedback;
mod report;
mod transport_cc;
mod writer;
mod xr;

pub use ccfb::{Ccfb, CcfbStream, Fate};
pub use feedback::{FirEntries, Nack, Ssrcs};
pub use report::{ReportBlock, ReportBlocks, Sdes, SdesChunk, SdesItem, SdesItems};
pub use transport_cc::{PacketStatus, PacketStatuses, TransportCc};
pub use writer::{SenderInfo, TransportCcHead, Writer};
pub use xr::{DlrrBlock, DlrrBlocks, Xr, XrBlock, XrBlocks};

/// Packet types (RFC 3550 section 12.1, RFC 4585 section 9, RFC 3611 section 6.1).
mod packet_type {
    pub(super) const SENDER_REPORT: u8 = 200;
    pub(super) const RECEIVER_REPORT: u8 = 201;
    pub(super) const SDES: u8 = 202;
    pub(super) const BYE: u8 = 203;
    pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(super) const PAYLOAD_FEEDBACK: u8 = 206;
    pub(super) const XR: u8 = 207;
}

/// Feedback message types: what the count field is in packets of types 205 and 206.
mod feedback_format {
    /// Packets that are missing: transport feedback (RFC 4585 section 6.2.1).
    pub(super) const NACK: u8 = 1;
    /// Arrivals by SSRC and sequence number: transport feedback (RFC 8888 section 3.1).
    pub(super) const CCFB: u8 = 11;
    /// Arrivals: transport feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).
    pub(super) const TRANSPORT_CC: u8 = 15;
    /// Picture loss: payload feedback (RFC 4585 section 6.3.1).
    pub(super) const PLI: u8 = 1;
    /// Full intra request: payload feedback (RFC 5104 section 4.3.1).
    pub(super) const FIR: u8 = 4;
    /// Payload feedback of the application layer (RFC 4585 section 6.4); REMB is one.
    pub(super) const APPLICATION: u8 = 15;
}

/// Bytes of the header that all packets begin with.
const HEADER_BYTES: usize = 4;

/// Why bytes are not an RTCP compound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedRtcp {
    /// No packet at all, or the last one's header is cut off.
    #[error("shorter than an RTCP header")]
    TooShort,
    /// A packet's version is not 2.
    #[error("RTCP version is not 2")]
    Version,
    /// A packet's length reaches beyond the datagram.
    #[error("RTCP length runs past the datagram")]
    Length,
    /// Padding by whole words on a packet that is not the last, or padding of a length that cannot be.
    #[error("RTCP padding where none may be, or of impossible length")]
    Padding,
    /// What a packet counts or announces is not in it.
    #[error("RTCP body does not hold what its header says")]
    Body,
}

/// One RTCP packet of a verified compound. Addresses are SSRCs.
#[derive(Clone, Debug)]
pub enum Packet<'a> {
    /// SR (RFC 3550 section 6.4.1).
    SenderReport {
        /// Who reports.
        ssrc: u32,
        /// Wall clock: NTP seconds in the upper, fraction in the lower 32 bits.
        ntp: u64,
        /// The same moment in units of the media clock.
        rtp_timestamp: u32,
        /// Packets sent since the start, modulo 2^32.
        packet_count: u32,
        /// Payload bytes sent since the start, modulo 2^32.
        octet_count: u32,
        /// What the sender receives.
        reports: ReportBlocks<'a>,
    },
    /// RR (RFC 3550 section 6.4.2).
    ReceiverReport {
        /// Who reports.
        ssrc: u32,
        /// What it receives.
        reports: ReportBlocks<'a>,
    },
    /// Source description (RFC 3550 section 6.5).
    Sdes(Sdes<'a>),
    /// Sources that leave (RFC 3550 section 6.6).
    Bye {
        /// Who leaves.
        ssrcs: Ssrcs<'a>,
        /// Why, as UTF-8 that nobody has checked; empty if not said.
        reason: &'a [u8],
    },
    /// Packets that are missing (RFC 4585 section 6.2.1).
    Nack(Nack<'a>),
    /// A key frame is asked for (RFC 4585 section 6.3.1).
    Pli {
        /// Who asks.
        sender_ssrc: u32,
        /// SSRC of the media the request is about.
        media_ssrc: u32,
    },
    /// A key frame is asked for by command (RFC 5104 section 4.3.1).
    Fir {
        /// Who asks.
        sender_ssrc: u32,
        /// SSRCs of the media the request is about, each with the number of the command.
        entries: FirEntries<'a>,
    },
    /// What a receiver thinks it can take (draft-alvestrand-rmcat-remb-03).
    Remb {
        /// Who says so.
        sender_ssrc: u32,
        /// Total bitrate; what exceeds 64 bits is `u64::MAX`.
        bitrate_bps: u64,
        /// The streams that share it.
        ssrcs: Ssrcs<'a>,
    },
    /// Arrival times of every packet of a transport.
    TransportCc(TransportCc<'a>),
    /// Arrival times of packets of some streams (RFC 8888).
    Ccfb(Ccfb<'a>),
    /// Extended reports (RFC 3611).
    Xr(Xr<'a>),
    /// Anything else: well-formed as far as its length goes.
    Other {
        /// As in the header.
        packet_type: u8,
    },
}

impl<'a> Packet<'a> {
    /// Reads and verifies one packet; `count` is the five bits that count or tell formats apart, `body` has no padding.
    fn read(packet_type: u8, count: u8, body: &'a [u8]) -> Option<Self> {
        match packet_type {
            packet_type::SENDER_REPORT => report::read_sender_report(count, body),
            packet_type::RECEIVER_REPORT => report::read_receiver_report(count, body),
            packet_type::SDES => Sdes::read(count, body).map(Self::Sdes),
            packet_type::BYE => report::read_bye(count, body),
            packet_type::TRANSPORT_FEEDBACK => feedback::read_transport_feedback(count, body),
            packet_type::PAYLOAD_FEEDBACK => feedback::read_payload_feedback(count, body),
            packet_type::XR => Xr::read(body).map(Self::Xr),
            _ => Some(Self::Other { packet_type }),
        }
    }
}

/// Verifies a whole compound, decrypted and without SRTCP trailer, and gives its packets.
///
/// # Errors
/// If any packet of it is malformed: version, lengths that do not add up to the datagram, padding by whole words
/// elsewhere than on the last packet, or a body that does not hold what it announces.
pub fn parse(compound: &[u8]) -> Result<Packets<'_>, MalformedRtcp> {
    let mut packets = Packets { rest: compound };
    if compound.is_empty() {
        return Err(MalformedRtcp::TooShort);
    }
    while packets.step()?.is_some() {}
    Ok(Packets { rest: compound })
}

/// The packets of a verified compound, in order.
#[derive(Clone, Copy, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Packets<'a> {
    fn step(&mut self) -> Result<Option<Packet<'a>>, MalformedRtcp> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (&[flags, packet_type, high, low], _) =
            self.rest.split_first_chunk::<HEADER_BYTES>().ok_or(MalformedRtcp::TooShort)?;
        if flags >> 6 != 2 {
            return Err(MalformedRtcp::Version);
        }
        let len = HEADER_BYTES + 4 * usize::from(u16::from_be_bytes([high, low]));
        let (packet, rest) = self.rest.split_at_checked(len).ok_or(MalformedRtcp::Length)?;
        let mut body = packet.get(HEADER_BYTES..).unwrap_or_default();
        if flags & 0x20 != 0 {
            let padding = body.last().copied().map_or(0, usize::from);
            // A multiple of four, on the last packet only (RFC 3550 section 6.4.1). But libwebrtc (so every Chrome)
            // pads transport-wide feedback to the word by 1 to 3 bytes, as Pion and webrtc-rs do all packets, and may
            // send several in one compound.
            let is_lawful = padding < 4 || padding.is_multiple_of(4) && rest.is_empty();
            if padding == 0 || !is_lawful {
                return Err(MalformedRtcp::Padding);
            }
            body = body.len().checked_sub(padding).and_then(|len| body.get(..len)).ok_or(MalformedRtcp::Padding)?;
        }
        self.rest = rest;
        Packet::read(packet_type, flags & 0x1f, body).map(Some).ok_or(MalformedRtcp::Body)
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        // `parse` took these steps before: none of them fails.
        self.step().unwrap_or_default()
    }
}

/// Takes a big-endian 32-bit word off the front.
fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    bytes.split_first_chunk().map(|(word, rest)| (u32::from_be_bytes(*word), rest))
}

/// Takes a big-endian 64-bit word off the front.
fn take_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    bytes.split_first_chunk().map(|(word, rest)| (u64::from_be_bytes(*word), rest))
}

/// The whole of `bytes` as entries of `N` bytes; none if the last one is cut off.
fn entries<const N: usize>(bytes: &[u8]) -> Option<&[[u8; N]]> {
    let (entries, rest) = bytes.as_chunks::<N>();
    rest.is_empty().then_some(entries)
}

#[cfg(test)]
mod tests;
