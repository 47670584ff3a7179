//! When two codecs are the same codec.

use serde_json::Value;

use super::h264::{self, Profile, ProfileLevel};
use super::parameters::CodecLike;

/// What a match found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Match {
    /// The profile that an answer to the first codec names (H.264).
    pub(crate) profile_level_id: Option<String>,
}

/// Whether mime type, clock and channels are the same, and the profile if the codec has several.
pub(super) fn strict(a: &impl CodecLike, b: &impl CodecLike) -> Option<Match> {
    compare(a, b, |mine, theirs| mode(mine.0) == mode(theirs.0) && mine.1 == theirs.1)
}

/// Whether a receiver of the first codec can do with the second: that of H.264 decodes also profiles that are subsets
/// of its own, and one of packetization mode 1 takes what mode 0 sends (RFC 6184 section 5.4).
pub(super) fn receives(a: &impl CodecLike, b: &impl CodecLike) -> Option<Match> {
    compare(a, b, |mine, theirs| mode(mine.0) >= mode(theirs.0) && mine.1.decodes(theirs.1))
}

/// How few receivers there are for a codec among others of its name (H.264): those of rare profiles, and of
/// packetization mode 0, which splits no part of a picture into several packets.
pub(super) fn rarity(codec: &impl CodecLike) -> (u8, bool) {
    (profile_level(codec).map_or(u8::MAX, |of| of.profile.rarity()), mode(codec) == 0)
}

fn mode(codec: &impl CodecLike) -> i64 {
    codec.number("packetization-mode").unwrap_or(0)
}

/// The same with this rule for H.264.
fn compare<A: CodecLike, B: CodecLike>(
    a: &A,
    b: &B,
    fits: impl Fn((&A, Profile), (&B, Profile)) -> bool,
) -> Option<Match> {
    if !a.mime_type().eq_ignore_ascii_case(b.mime_type()) || a.clock_rate() != b.clock_rate() {
        return None;
    }
    let audio = a.mime_type().get(..6).is_some_and(|kind| kind.eq_ignore_ascii_case("audio/"));
    if audio && a.channels().unwrap_or(1) != b.channels().unwrap_or(1) {
        return None;
    }
    let same = |name, default| a.number(name).unwrap_or(default) == b.number(name).unwrap_or(default);
    let (_, codec) = a.mime_type().split_once('/')?;
    let equal = match codec.to_ascii_lowercase().as_str() {
        "h264" => return h264(a, b, fits),
        "multiopus" => same("num_streams", -1) && same("coupled_streams", -1),
        "vp9" => same("profile-id", 0),
        "av1" => same("profile", 0),
        "h265" => same("profile-id", 1) && same("tier-flag", 0),
        _ => true,
    };
    equal.then(Match::default)
}

fn h264<A: CodecLike, B: CodecLike>(
    a: &A,
    b: &B,
    fits: impl Fn((&A, Profile), (&B, Profile)) -> bool,
) -> Option<Match> {
    let (mine, theirs) = (profile_level(a)?, profile_level(b)?);
    if !fits((a, mine.profile), (b, theirs.profile)) {
        return None;
    }
    // RFC 6184 section 8.2.2: with asymmetry each side keeps its own level, otherwise the lower one holds for both.
    let asymmetric = [a.number("level-asymmetry-allowed"), b.number("level-asymmetry-allowed")] == [Some(1), Some(1)];
    let level = if asymmetric { mine.level } else { mine.level.min(theirs.level) };
    Some(Match { profile_level_id: Some(ProfileLevel { profile: mine.profile, level }.write()) })
}

fn profile_level(codec: &impl CodecLike) -> Option<ProfileLevel> {
    match codec.parameters().get("profile-level-id") {
        None | Some(Value::Null) => Some(h264::DEFAULT),
        Some(Value::String(text)) => ProfileLevel::parse(text),
        // A number of six decimal digits: a shell that builds JSON leaves the quotes out.
        Some(Value::Number(number)) => ProfileLevel::parse(&number.to_string()),
        Some(_) => None,
    }
}
