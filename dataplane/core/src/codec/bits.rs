//! Reads bits, the most significant first, as specifications of codecs write them down. Every method is `None` beyond
//! the end.

/// Bits of some bytes.
#[derive(Clone, Debug)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: u32,
}

/// Longest prefix of an Exp-Golomb number that is read: its value has no more than 32 bits.
const MAX_PREFIX: u32 = 31;

impl<'a> Bits<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bits that have been read.
    pub(super) const fn position(&self) -> u32 {
        self.at
    }

    /// Bits that have not been read.
    pub(super) fn left(&self) -> u32 {
        u32::try_from(8 * self.bytes.len()).unwrap_or(u32::MAX).saturating_sub(self.at)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get((self.at / 8) as usize)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    pub(super) fn flags<const N: usize>(&mut self) -> Option<[bool; N]> {
        let mut flags = [false; N];
        for flag in &mut flags {
            *flag = self.flag()?;
        }
        Some(flags)
    }

    /// f(n), u(n): of at most 32 bits.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |number, _| Some(number << 1 | u32::from(self.flag()?)))
    }

    pub(super) fn skip(&mut self, count: u32) -> Option<()> {
        self.at = self.at.checked_add(count).filter(|at| *at as usize <= 8 * self.bytes.len())?;
        Some(())
    }

    /// ns(n): one of `below` values, in as few bits as that takes or one more (AV1 section 4.10.7).
    pub(super) fn take_non_symmetric(&mut self, below: u32) -> Option<u32> {
        let width = u32::BITS - below.leading_zeros();
        let short = (1 << width) - below;
        let value = self.take(width.checked_sub(1)?)?;
        if value < short {
            return Some(value);
        }
        Some((value << 1) - short + u32::from(self.flag()?))
    }

    /// ue(v), uvlc(): as many zeros as there are bits behind the one that follows them (ITU-T H.264 section 9.1, AV1
    /// section 4.10.3).
    pub(super) fn take_exp_golomb(&mut self) -> Option<u32> {
        let mut prefix = 0;
        while !self.flag()? {
            prefix += 1;
        }
        (prefix <= MAX_PREFIX).then_some(())?;
        let rest = self.take(prefix)?;
        Some(((1_u32 << prefix) - 1).wrapping_add(rest))
    }
}

/// Writes bits, the most significant first, into bytes that are zero before. Every method is `None` beyond the end.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    bytes: &'a mut [u8],
    at: u32,
}

impl<'a> Writer<'a> {
    pub(super) const fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn put_flag(&mut self, flag: bool) -> Option<()> {
        let byte = self.bytes.get_mut((self.at / 8) as usize)?;
        *byte |= u8::from(flag) << (7 - self.at % 8);
        self.at += 1;
        Some(())
    }

    /// f(n): the lowest `count` bits of a value, at most 32.
    pub(super) fn put(&mut self, value: u32, count: u32) -> Option<()> {
        (0..count).rev().try_for_each(|bit| self.put_flag(value.checked_shr(bit).unwrap_or(0) & 1 == 1))
    }

    /// So many bits that come next of others.
    pub(super) fn copy(&mut self, from: &mut Bits<'_>, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.put_flag(from.flag()?))
    }

    /// Bytes that have been begun.
    pub(super) const fn len(&self) -> usize {
        self.at.div_ceil(8) as usize
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Bits, Writer};

    /// Bits as they are written down in a specification: (value, width).
    pub(in crate::codec) fn written(fields: &[(u32, u32)]) -> Vec<u8> {
        let mut bits: Vec<bool> = fields
            .iter()
            .flat_map(|&(value, width)| (0..width).rev().map(move |bit| value.checked_shr(bit).unwrap_or(0) & 1 == 1))
            .collect();
        bits.resize(bits.len().next_multiple_of(8), false);
        bits.chunks(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect()
    }

    /// An Exp-Golomb number as (value, width).
    pub(in crate::codec) const fn golomb(value: u32) -> (u32, u32) {
        let bits = u32::BITS - (value + 1).leading_zeros();
        (value + 1, 2 * bits - 1)
    }

    #[test]
    fn numbers_of_uneven_width() {
        // ns(5): 0 to 2 in two bits, 3 and 4 in three.
        let read = |bits, width| Bits::new(&written(&[(bits, width)])).take_non_symmetric(5);
        assert_eq!(
            [read(0b00, 2), read(0b10, 2), read(0b110, 3), read(0b111, 3)],
            [Some(0), Some(2), Some(3), Some(4)]
        );
        assert_eq!(Bits::new(&[]).take_non_symmetric(1), Some(0), "no bits for one value");
    }

    #[test]
    fn exp_golomb_numbers() {
        let all = [0, 1, 2, 7, 8, 119, 65_534];
        let bytes = written(&all.map(golomb));
        let mut bits = Bits::new(&bytes);
        assert_eq!(all.map(|_| bits.take_exp_golomb()), all.map(Some));
        assert_eq!(Bits::new(&[0; 9]).take_exp_golomb(), None, "zeros without an end");
        assert_eq!(Bits::new(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff]).take_exp_golomb(), None, "of 33 bits");
        assert_eq!(Bits::new(&[0x01]).take_exp_golomb(), None, "is cut off");
    }

    #[test]
    fn what_is_written_is_read_and_nothing_beyond_the_end() {
        let mut bytes = [0; 4];
        let mut writer = Writer::new(&mut bytes);
        let mut from = Bits::new(&[0b1011_0000, 0xff]);
        let written_all = [writer.put(0b101, 3), writer.copy(&mut from, 9), writer.put(0x1234, 16)];
        assert_eq!(written_all, [Some(()); 3]);
        assert_eq!((writer.len(), writer.put(0, 5), from.left()), (4, None, 7));
        assert_eq!(bytes, written(&[(0b101, 3), (0b1_0110_0001, 9), (0x1234, 16), (0, 4)])[..]);
        assert_eq!(Writer::new(&mut []).put(1, 1), None);
        assert_eq!(Writer::new(&mut [0; 9]).copy(&mut Bits::new(&[1]), 9), None, "there are no more");
    }
}
