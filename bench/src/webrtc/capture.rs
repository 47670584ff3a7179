//! What a receiver was sent, as it came: whether a number was used twice under one key.

use std::collections::HashSet;

/// Behind an SRTCP packet that is protected by AES-GCM (RFC 7714): whether it is encrypted, and its index.
const SRTCP_TRAILER_BYTES: usize = 4;

/// The numbers of all protected packets that have come. A session has one key from its beginning to its end.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// (SSRC, index), of RTP.
    rtp: HashSet<(u32, u64)>,
    /// The same of RTCP.
    rtcp: HashSet<(u32, u64)>,
    /// The highest index of each SSRC of RTP.
    highest: Vec<(u32, u64)>,
    /// How many came whose number had come before, under the same SSRC.
    pub twice: u64,
    /// How many came.
    pub packets: u64,
}

impl Capture {
    /// Notes what has come in the place of RTP or RTCP.
    pub(super) fn note(&mut self, datagram: &[u8], is_rtcp: bool) {
        let number = |at: usize| Some(u32::from_be_bytes(*datagram.get(at..)?.first_chunk()?));
        let is_new = if is_rtcp {
            let index = datagram.len().checked_sub(SRTCP_TRAILER_BYTES).and_then(number);
            let (Some(ssrc), Some(index)) = (number(4), index) else { return };
            self.rtcp.insert((ssrc, u64::from(index)))
        } else {
            let (Some(first), Some(ssrc)) = (number(0), number(8)) else { return };
            let index = self.index(ssrc, u64::from(first & 0xffff));
            self.rtp.insert((ssrc, index))
        };
        self.packets += 1;
        self.twice += u64::from(!is_new);
    }

    /// The index of RFC 3711 section 3.3.1, up to a multiple of 65,536.
    fn index(&mut self, ssrc: u32, sequence: u64) -> u64 {
        let known = self.highest.iter_mut().find(|(of, _)| *of == ssrc);
        let Some((_, highest)) = known else {
            // Room for what comes late.
            let first = (1 << 16) + sequence;
            self.highest.push((ssrc, first));
            return first;
        };
        let base = *highest & !0xffff;
        let candidates = [base.wrapping_sub(1 << 16), base, base + (1 << 16)].map(|base| base.wrapping_add(sequence));
        let index = candidates.into_iter().min_by_key(|index| index.abs_diff(*highest)).unwrap_or(base);
        *highest = index.max(*highest);
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtp(sequence: u16) -> Vec<u8> {
        [&[0x80, 111][..], &sequence.to_be_bytes(), &[0; 4], &7_u32.to_be_bytes(), &[1; 20]].concat()
    }

    #[test]
    fn a_number_that_comes_again_is_seen_and_one_that_has_gone_round_is_another() {
        let mut capture = Capture::default();
        for number in 65_000..200_000_u32 {
            capture.note(&rtp(number as u16), false);
            if number % 10 == 3 {
                // Late, and for the first time.
                capture.note(&rtp((number + 5) as u16), false);
            }
        }
        assert_eq!(capture.twice, 13_500, "each that was sent early came once more");
        let before = capture.twice;
        let rtcp = |index: u32| [&[0x80, 200, 0, 1][..], &9_u32.to_be_bytes(), &[0; 16], &index.to_be_bytes()].concat();
        for (index, twice) in [(1 << 31, 0), (1 << 31 | 1, 0), (1 << 31, 1)] {
            capture.note(&rtcp(index), true);
            assert_eq!(capture.twice - before, twice);
        }
    }
}
