//! Writes RTCP compounds. Each `push` appends whole packets or nothing.

use super::report::ReportBlock;
use super::xr::{self, DlrrBlock};
use super::{HEADER_BYTES, SdesItem, feedback_format, packet_type, transport_cc};

/// The most that the five bits of a header count.
const MAX_COUNT: usize = 31;

/// What a sender says about itself in an SR (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// Who reports.
    pub ssrc: u32,
    /// Wall clock: NTP seconds in the upper, fraction in the lower 32 bits.
    pub ntp: u64,
    /// The same moment in units of the media clock.
    pub rtp_timestamp: u32,
    /// Packets sent since the start, modulo 2^32.
    pub packet_count: u32,
    /// Payload bytes sent since the start, modulo 2^32.
    pub octet_count: u32,
}

/// What transport-wide feedback says before its statuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransportCcHead {
    /// Who received.
    pub sender_ssrc: u32,
    /// Who sent; any of its SSRCs.
    pub media_ssrc: u32,
    /// Transport-wide sequence number of the first status.
    pub base_sequence: u16,
    /// What the first delta adds to, in 64 ms; the low 24 bits are written.
    pub reference_time: i32,
    /// Counts feedback packets, modulo 256.
    pub feedback_count: u8,
}

/// Builds a compound in a buffer of the caller, who has left room for the SRTCP trailer.
///
/// Every `push` says whether there was room. If not, [`Self::len`] is as before and so are the bytes before it; what
/// lies behind may have been overwritten.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// An empty compound in `out`.
    #[must_use]
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// Bytes written: a multiple of four.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The compound so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.out.get(..self.len).unwrap_or_default()
    }

    /// A sender report. What exceeds 31 reports follows in receiver reports (RFC 3550 section 6.1).
    pub fn push_sender_report(&mut self, info: &SenderInfo, reports: impl IntoIterator<Item = ReportBlock>) -> bool {
        let mut reports = reports.into_iter().peekable();
        self.all_or_nothing(|writer| {
            writer.packet(packet_type::SENDER_REPORT, |body| {
                body.put_u32(info.ssrc)?;
                body.put(&info.ntp.to_be_bytes())?;
                for word in [info.rtp_timestamp, info.packet_count, info.octet_count] {
                    body.put_u32(word)?;
                }
                body.put_reports(&mut reports)
            })?;
            if reports.peek().is_some() { writer.receiver_reports(info.ssrc, &mut reports) } else { Some(()) }
        })
    }

    /// A receiver report, or several if there are more than 31 reports; an empty one if there are none.
    pub fn push_receiver_report(&mut self, ssrc: u32, reports: impl IntoIterator<Item = ReportBlock>) -> bool {
        let mut reports = reports.into_iter().peekable();
        self.all_or_nothing(|writer| writer.receiver_reports(ssrc, &mut reports))
    }

    /// A source description with one canonical name, of at most 255 bytes (longer: nothing written).
    pub fn push_sdes_cname(&mut self, ssrc: u32, cname: &str) -> bool {
        self.push(packet_type::SDES, |body| {
            body.put_u32(ssrc)?;
            body.put(&[SdesItem::CNAME, u8::try_from(cname.len()).ok()?])?;
            body.put(cname.as_bytes())?;
            // At least one zero byte ends the items.
            body.put(&[0])?;
            body.pad_to_word()?;
            Some(1)
        })
    }

    /// Sources that leave, with no reason given. None leaving: nothing written.
    pub fn push_bye(&mut self, ssrcs: impl IntoIterator<Item = u32>) -> bool {
        let mut ssrcs = ssrcs.into_iter().peekable();
        self.all_or_nothing(|writer| {
            while ssrcs.peek().is_some() {
                writer
                    .packet(packet_type::BYE, |body| body.put_counted(&mut ssrcs, |body, ssrc| body.put_u32(ssrc)))?;
            }
            Some(())
        })
    }

    /// A generic NACK for `sequences`, best in ascending order: what is up to 16 after an entry's first joins the entry
    /// (RFC 4585 section 6.2.1). None: nothing written.
    pub fn push_nack(&mut self, sender_ssrc: u32, media_ssrc: u32, sequences: impl IntoIterator<Item = u16>) -> bool {
        let mut sequences = sequences.into_iter();
        let Some(mut first) = sequences.next() else { return true };
        self.push(packet_type::TRANSPORT_FEEDBACK, |body| {
            body.put_u32(sender_ssrc)?;
            body.put_u32(media_ssrc)?;
            let mut following = 0u16;
            for sequence in sequences {
                match sequence.wrapping_sub(first) {
                    0 => {}
                    ahead @ 1..=16 => following |= 1 << (ahead - 1),
                    _ => {
                        body.put_u32(u32::from(first) << 16 | u32::from(following))?;
                        (first, following) = (sequence, 0);
                    }
                }
            }
            body.put_u32(u32::from(first) << 16 | u32::from(following))?;
            Some(feedback_format::NACK)
        })
    }

    /// Asks for a key frame (RFC 4585 section 6.3.1).
    pub fn push_pli(&mut self, sender_ssrc: u32, media_ssrc: u32) -> bool {
        self.push(packet_type::PAYLOAD_FEEDBACK, |body| {
            body.put_u32(sender_ssrc)?;
            body.put_u32(media_ssrc)?;
            Some(feedback_format::PLI)
        })
    }

    /// Commands a key frame; `number` is one more for each new command (RFC 5104 section 4.3.1).
    pub fn push_fir(&mut self, sender_ssrc: u32, media_ssrc: u32, number: u8) -> bool {
        self.push(packet_type::PAYLOAD_FEEDBACK, |body| {
            // The header's media source is not used and shall be 0 (RFC 5104 section 4.3.1.2).
            for word in [sender_ssrc, 0, media_ssrc, u32::from(number) << 24] {
                body.put_u32(word)?;
            }
            Some(feedback_format::FIR)
        })
    }

    /// The bitrate that `ssrcs` (at most 255, more: nothing written) may have together. Rounded down to 18 bits.
    pub fn push_remb(&mut self, sender_ssrc: u32, bitrate_bps: u64, ssrcs: impl IntoIterator<Item = u32>) -> bool {
        self.push(packet_type::PAYLOAD_FEEDBACK, |body| {
            body.put_u32(sender_ssrc)?;
            body.put_u32(0)?;
            body.put(b"REMB")?;
            let count_at = body.len;
            body.put_u32(0)?;
            let mut count = 0u8;
            for ssrc in ssrcs {
                body.put_u32(ssrc)?;
                count = count.checked_add(1)?;
            }
            let exponent = (u64::BITS - 18).saturating_sub(bitrate_bps.leading_zeros());
            let mantissa = (bitrate_bps >> exponent) as u32;
            body.put_at(count_at, &(u32::from(count) << 24 | exponent << 18 | mantissa).to_be_bytes())?;
            Some(feedback_format::APPLICATION)
        })
    }

    /// Transport-wide feedback: one status per sequence number from `head.base_sequence` on, `None` for what has not
    /// come, else its delta in 250 µs. At most 65,535 (more: nothing written). None: nothing written.
    pub fn push_transport_cc(
        &mut self,
        head: &TransportCcHead,
        statuses: impl Iterator<Item = Option<i16>> + Clone,
    ) -> bool {
        if statuses.clone().next().is_none() {
            return true;
        }
        self.push(packet_type::TRANSPORT_FEEDBACK, |body| {
            body.put_u32(head.sender_ssrc)?;
            body.put_u32(head.media_ssrc)?;
            body.put(&head.base_sequence.to_be_bytes())?;
            let count_at = body.len;
            body.put(&[0; 2])?;
            body.put_u32((head.reference_time as u32) << 8 | u32::from(head.feedback_count))?;
            let count = transport_cc::write_chunks(statuses.clone(), |chunk| body.put(&chunk.to_be_bytes()))?;
            body.put_at(count_at, &count.to_be_bytes())?;
            for delta in statuses.flatten() {
                match u8::try_from(delta) {
                    Ok(small) => body.put(&[small])?,
                    Err(_) => body.put(&delta.to_be_bytes())?,
                }
            }
            body.pad_to_word()?;
            Some(feedback_format::TRANSPORT_CC)
        })
    }

    /// An extended report with the reporter's clock (RFC 3611 section 4.4); `ntp` as in [`SenderInfo::ntp`].
    pub fn push_rrtr(&mut self, ssrc: u32, ntp: u64) -> bool {
        self.push(packet_type::XR, |body| {
            body.put_u32(ssrc)?;
            body.put(&[xr::RECEIVER_REFERENCE_TIME, 0, 0, 2])?;
            body.put(&ntp.to_be_bytes())?;
            Some(0)
        })
    }

    /// An extended report that answers reference times (RFC 3611 section 4.5). No answers: nothing written.
    pub fn push_dlrr(&mut self, ssrc: u32, answers: impl IntoIterator<Item = DlrrBlock>) -> bool {
        let mut answers = answers.into_iter().peekable();
        if answers.peek().is_none() {
            return true;
        }
        self.push(packet_type::XR, |body| {
            body.put_u32(ssrc)?;
            body.put(&[xr::DLRR, 0])?;
            let length_at = body.len;
            body.put(&[0; 2])?;
            let mut words = 0u16;
            for answer in answers {
                for word in [answer.ssrc, answer.last_rr, answer.delay_since_last_rr] {
                    body.put_u32(word)?;
                }
                words = words.checked_add(3)?;
            }
            body.put_at(length_at, &words.to_be_bytes())?;
            Some(0)
        })
    }

    fn receiver_reports(
        &mut self,
        ssrc: u32,
        reports: &mut std::iter::Peekable<impl Iterator<Item = ReportBlock>>,
    ) -> Option<()> {
        loop {
            self.packet(packet_type::RECEIVER_REPORT, |body| {
                body.put_u32(ssrc)?;
                body.put_reports(reports)
            })?;
            if reports.peek().is_none() {
                return Some(());
            }
        }
    }

    /// Appends one packet.
    fn push(&mut self, packet_type: u8, fill: impl FnOnce(&mut Body<'_>) -> Option<u8>) -> bool {
        self.all_or_nothing(|writer| writer.packet(packet_type, fill))
    }

    fn all_or_nothing(&mut self, write: impl FnOnce(&mut Self) -> Option<()>) -> bool {
        let before = self.len;
        let written = write(self).is_some();
        if !written {
            self.len = before;
        }
        written
    }

    /// Appends one packet: `fill` writes the body, a multiple of four bytes, and gives the header's count.
    fn packet(&mut self, packet_type: u8, fill: impl FnOnce(&mut Body<'_>) -> Option<u8>) -> Option<()> {
        let room = self.out.get_mut(self.len..)?;
        let (header, rest) = room.split_first_chunk_mut::<HEADER_BYTES>()?;
        let mut body = Body { out: rest, len: 0 };
        let count = fill(&mut body)?;
        let [high, low] = u16::try_from(body.len / 4).ok()?.to_be_bytes();
        let body_len = body.len;
        *header = [0x80 | count, packet_type, high, low];
        self.len += HEADER_BYTES + body_len;
        Some(())
    }
}

/// The body of a packet in the making. Every method is `None` when there is no room.
struct Body<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Body<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.put_at(self.len, bytes)?;
        self.len += bytes.len();
        Some(())
    }

    fn put_u32(&mut self, word: u32) -> Option<()> {
        self.put(&word.to_be_bytes())
    }

    fn put_at(&mut self, at: usize, bytes: &[u8]) -> Option<()> {
        self.out.get_mut(at..)?.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(())
    }

    fn pad_to_word(&mut self) -> Option<()> {
        let padding = self.len.next_multiple_of(4) - self.len;
        self.put([0; 3].get(..padding)?)
    }

    fn put_reports(&mut self, reports: &mut impl Iterator<Item = ReportBlock>) -> Option<u8> {
        self.put_counted(reports, |body, report| body.put(report.to_bytes().as_flattened()))
    }

    /// Writes at most 31 of `items` and says how many.
    fn put_counted<T>(
        &mut self,
        items: &mut impl Iterator<Item = T>,
        put: impl Fn(&mut Self, T) -> Option<()>,
    ) -> Option<u8> {
        let mut count = 0;
        for item in items.take(MAX_COUNT) {
            put(self, item)?;
            count += 1;
        }
        Some(count)
    }
}
