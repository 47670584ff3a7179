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

/// Two neighbours in a stream: (position, sequence number, era), the earlier one first.
///
/// # Errors
/// How their numbers are wrong.
pub fn check_step(before: (u64, u64, u32), after: (u64, u64, u32)) -> Result<(), String> {
    let ((index, sequence, era), (next_index, next_sequence, next_era)) = (before, after);
    let apart = next_index - index;
    match next_sequence.checked_sub(sequence) {
        None | Some(0) => Err(format!("packet {next_index} left as {next_sequence}, {index} before it as {sequence}")),
        Some(step) if era == next_era && step != apart => {
            Err(format!("packets {index} and {next_index} left {step} apart, as {sequence} and {next_sequence}"))
        }
        Some(step) if step > apart => Err(format!("between packets {index} and {next_index} a gap of {step} was made")),
        Some(_) => Ok(()),
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

    #[test]
    fn steps_keep_the_gap_within_an_era_and_may_close_it_between_two() {
        assert!(check_step((5, 100, 1), (8, 103, 1)).is_ok());
        assert!(check_step((5, 100, 1), (8, 101, 1)).is_err());
        assert!(check_step((5, 100, 1), (8, 101, 2)).is_ok());
        assert!(check_step((5, 100, 1), (8, 104, 2)).is_err());
        assert!(check_step((5, 100, 1), (8, 100, 2)).is_err());
    }
}
