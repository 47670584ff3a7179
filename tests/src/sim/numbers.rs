//! Numbers that every part of a run counts with: time, and sequence numbers of 16 bits in 64.

/// Nanoseconds in a millisecond.
pub const MS: u64 = 1_000_000;

/// The low 16 bits: a sequence number as it is sent.
#[must_use]
pub fn low16(extended: u64) -> u16 {
    u16::try_from(extended & 0xFFFF).expect("16 bits")
}

/// The 64-bit number nearest to `near` that ends in `low`.
#[must_use]
pub fn extend(near: u64, low: u16) -> u64 {
    let ahead = low.wrapping_sub(low16(near));
    if ahead < 0x8000 {
        near + u64::from(ahead)
    } else {
        (near + u64::from(ahead)).checked_sub(0x1_0000).unwrap_or_else(|| u64::from(low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_extended_to_the_nearest() {
        assert_eq!(extend(65_535, 0), 65_536);
        assert_eq!(extend(65_536, 65_535), 65_535);
        assert_eq!(extend(5, 65_535), 65_535);
        assert_eq!(extend(70_000, 4_464), 70_000);
    }
}
