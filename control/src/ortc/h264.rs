//! H.264 `profile-level-id` (RFC 6184 section 8.1): which profile, which level, and what an answer says.

/// Profiles among which endpoints choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
    PredictiveHigh444,
}

impl Profile {
    /// Whether a decoder of this profile decodes pictures of another one: those of a subset (Rec. ITU-T H.264 sections
    /// A.2.1 to A.2.8). Constrained baseline is in all of them. Baseline has tools that no other has.
    pub(super) fn decodes(self, sent: Self) -> bool {
        let others: &[Self] = match self {
            Self::ConstrainedBaseline => &[],
            Self::Baseline | Self::Main | Self::ConstrainedHigh => &[Self::ConstrainedBaseline],
            Self::High => &[Self::ConstrainedBaseline, Self::Main, Self::ConstrainedHigh],
            Self::PredictiveHigh444 => &[Self::ConstrainedBaseline, Self::Main, Self::ConstrainedHigh, Self::High],
        };
        self == sent || others.contains(&sent)
    }

    /// How few viewers decode it: browsers have constrained baseline, and some have nothing else.
    pub(super) fn rarity(self) -> u8 {
        match self {
            Self::ConstrainedBaseline => 0,
            Self::Baseline => 1,
            Self::Main => 2,
            Self::High => 3,
            Self::ConstrainedHigh => 4,
            Self::PredictiveHigh444 => 5,
        }
    }
}

/// A profile with a level; the level in tenths, 1b as 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProfileLevel {
    pub(super) profile: Profile,
    pub(super) level: u8,
}

/// Profile and level if none is given: constrained baseline, level 3.1, as browsers take it.
pub(super) const DEFAULT: ProfileLevel = ProfileLevel { profile: Profile::ConstrainedBaseline, level: 31 };

const LEVEL_1B: u8 = 9;
const LEVELS: [u8; 16] = [10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52];
const CONSTRAINT_SET3: u8 = 0x10;

/// Patterns of RFC 6184 table 5: profile_idc, mask of profile_iop, value under the mask, profile.
const PATTERNS: [(u8, u8, u8, Profile); 9] = [
    (0x42, 0x4F, 0x40, Profile::ConstrainedBaseline),
    (0x4D, 0x8F, 0x80, Profile::ConstrainedBaseline),
    (0x58, 0xCF, 0xC0, Profile::ConstrainedBaseline),
    (0x42, 0x4F, 0x00, Profile::Baseline),
    (0x58, 0xCF, 0x80, Profile::Baseline),
    (0x4D, 0xAF, 0x00, Profile::Main),
    (0x64, 0xFF, 0x00, Profile::High),
    (0x64, 0xFF, 0x0C, Profile::ConstrainedHigh),
    (0xF4, 0xFF, 0x00, Profile::PredictiveHigh444),
];

impl ProfileLevel {
    /// Reads six hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() != 6 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let [_, idc, iop, level_idc] = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
        let level = match level_idc {
            11 if iop & CONSTRAINT_SET3 != 0 => LEVEL_1B,
            level if LEVELS.contains(&level) => level,
            _ => return None,
        };
        let (_, _, _, profile) = PATTERNS.iter().find(|(of, mask, value, _)| *of == idc && iop & mask == *value)?;
        Some(Self { profile: *profile, level })
    }

    /// Writes it as six hexadecimal digits.
    pub(super) fn write(self) -> String {
        let (idc, iop) = match self.profile {
            Profile::ConstrainedBaseline => (0x42, 0xE0),
            Profile::Baseline => (0x42, 0x00),
            Profile::Main => (0x4D, 0x00),
            Profile::ConstrainedHigh => (0x64, 0x0C),
            Profile::High => (0x64, 0x00),
            Profile::PredictiveHigh444 => (0xF4, 0x00),
        };
        let (iop, level) = if self.level == LEVEL_1B { (iop | CONSTRAINT_SET3, 11) } else { (iop, self.level) };
        format!("{idc:02x}{iop:02x}{level:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_of_real_senders() {
        for (text, profile, level) in [
            ("42e01f", Profile::ConstrainedBaseline, 31),
            ("42C015", Profile::ConstrainedBaseline, 21),
            ("42001f", Profile::Baseline, 31),
            ("4d0032", Profile::Main, 50),
            ("4d401f", Profile::Main, 31),
            ("640c1f", Profile::ConstrainedHigh, 31),
            ("64001f", Profile::High, 31),
            ("42f00b", Profile::ConstrainedBaseline, LEVEL_1B),
        ] {
            assert_eq!(ProfileLevel::parse(text), Some(ProfileLevel { profile, level }), "{text}");
        }
        for wrong in ["", "42e0", "42e01g", "00001f", "42e000", "+2e01f"] {
            assert_eq!(ProfileLevel::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_decoder_takes_subsets() {
        use Profile as P;
        let all = [P::ConstrainedBaseline, P::Baseline, P::Main, P::ConstrainedHigh, P::High, P::PredictiveHigh444];
        let taken = all.map(|decoder| all.iter().filter(|sent| decoder.decodes(**sent)).count());
        assert_eq!(taken, [1, 2, 2, 2, 4, 5]);
        assert!(all.iter().all(|decoder| decoder.decodes(P::ConstrainedBaseline)));
        assert!(!P::Main.decodes(P::Baseline) && !P::ConstrainedHigh.decodes(P::Main));
    }

    #[test]
    fn what_is_written_means_the_same() {
        for text in ["42e01f", "42001f", "4d0032", "640c1f", "64001f", "f4001f", "42f00b"] {
            let parsed = ProfileLevel::parse(text).expect(text);
            assert_eq!(ProfileLevel::parse(&parsed.write()), Some(parsed));
        }
    }
}
