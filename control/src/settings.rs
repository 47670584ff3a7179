//! Single settings: each is read from text, from a number where that is natural, and written as text.

mod address;
mod admin;
mod grant;
mod priority;
mod redundancy;
mod sandbox;
mod wanted;

use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use corecast_wire::{Coalesce, DtlsVersions, Executor, HugePages, Io};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

pub(crate) use address::{BasePath, IceServer, Listen, ListenIp, Network};
pub(crate) use admin::AdminListen;
pub(crate) use grant::Grant;
pub(crate) use priority::Priority;
pub(crate) use redundancy::Redundancy;
pub(crate) use sandbox::SandboxSetting;
pub(crate) use wanted::{in_words, wanted};

/// Reading and writing a setting as text: TOML may hold a string, a number, or a list of them.
struct AsText;

impl<'de> Visitor<'de> for AsText {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or a number")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<String, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<u32>()? {
            items.push(item.to_string());
        }
        Ok(format!("[{}]", items.join(",")))
    }
}

macro_rules! by_text {
    ($($name:ty),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_any(AsText)?.parse().map_err(de::Error::custom)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
    )*};
}

by_text!(
    AdminListen,
    Calls,
    Workers,
    Isolation,
    Placement,
    Redundancy,
    IoSetting,
    ExecutorSetting,
    CoalesceSetting,
    HugePagesSetting,
    PortRange,
    SandboxSetting,
    SoundWait,
    Span,
    Grace,
    DtlsSetting,
    Listen,
    BasePath,
    Network,
    LogFormat
);

/// How many workers, or where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Workers {
    /// One per core that this process may use.
    #[default]
    Auto,
    /// This many, on the first cores.
    Count(u32),
    /// One on each of these cores.
    Cores(Vec<u32>),
}

impl FromStr for Workers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("workers {text:?} must be \"auto\", a number from 1, or cores such as 0,2-3 or [1]");
        let text = text.trim();
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let list = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let (None, Ok(count)) = (list, text.parse::<u32>()) {
            return if count == 0 { Err(wrong()) } else { Ok(Self::Count(count)) };
        }
        let mut cores = Vec::new();
        for part in list.unwrap_or(text).split(',').map(str::trim) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first = first.trim().parse::<u32>().map_err(|_| wrong())?;
            let last =
                last.trim().parse::<u32>().ok().filter(|last| (first..first.saturating_add(4_096)).contains(last));
            cores.extend(first..=last.ok_or_else(wrong)?);
        }
        let mut seen = cores.clone();
        seen.sort_unstable();
        seen.dedup();
        if seen.len() == cores.len() {
            Ok(Self::Cores(cores))
        } else {
            Err(format!("workers {text:?} names a core twice"))
        }
    }
}

impl Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Count(count) => count.fmt(f),
            Self::Cores(cores) => {
                write!(f, "[{}]", cores.iter().map(u32::to_string).collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// On which worker a new room is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Placement {
    /// On one after the other.
    #[default]
    RoundRobin,
    /// On the one that uses the least of its core.
    LeastLoaded,
    /// On the less busy of two that are drawn.
    PowerOfTwo,
}

impl FromStr for Placement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "round-robin" => Ok(Self::RoundRobin),
            "least-loaded" => Ok(Self::LeastLoaded),
            "power-of-two" => Ok(Self::PowerOfTwo),
            _ => Err(format!("placement {text:?} must be \"round-robin\", \"least-loaded\" or \"power-of-two\"")),
        }
    }
}

impl Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RoundRobin => "round-robin",
            Self::LeastLoaded => "least-loaded",
            Self::PowerOfTwo => "power-of-two",
        })
    }
}

/// Whether a worker is a thread or a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// A thread of the server.
    #[default]
    Thread,
    /// A child process of the server.
    Process,
}

impl FromStr for Isolation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "thread" => Ok(Self::Thread),
            "process" => Ok(Self::Process),
            _ => Err(format!("isolation {text:?} must be \"thread\" or \"process\"")),
        }
    }
}

impl Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Thread => "thread",
            Self::Process => "process",
        })
    }
}

/// What becomes of calls when the server dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Calls {
    /// They go on in the next server.
    #[default]
    Keep,
    /// They end.
    Drop,
}

impl FromStr for Calls {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "keep" => Ok(Self::Keep),
            "drop" => Ok(Self::Drop),
            _ => Err(format!("failover.calls {text:?} must be \"keep\" or \"drop\"")),
        }
    }
}

impl Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "keep",
            Self::Drop => "drop",
        })
    }
}

/// The driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IoSetting(pub(crate) Io);

impl Default for IoSetting {
    fn default() -> Self {
        Self(Io::Auto)
    }
}

impl FromStr for IoSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self(Io::Auto)),
            "uring" => Ok(Self(Io::Uring)),
            "syscalls" => Ok(Self(Io::Syscalls)),
            _ => Err(format!("io {text:?} must be \"auto\", \"uring\" or \"syscalls\"")),
        }
    }
}

impl Display for IoSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Io::Auto => "auto",
            Io::Uring => "uring",
            Io::Syscalls => "syscalls",
        })
    }
}

/// The executor of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExecutorSetting(pub(crate) Executor);

impl Default for ExecutorSetting {
    fn default() -> Self {
        Self(Executor::Glommio)
    }
}

impl FromStr for ExecutorSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "glommio" => Ok(Self(Executor::Glommio)),
            "thread" => Ok(Self(Executor::Thread)),
            _ => Err(format!("executor {text:?} must be \"glommio\" or \"thread\"")),
        }
    }
}

impl Display for ExecutorSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Executor::Glommio => "glommio",
            Executor::Thread => "thread",
        })
    }
}

/// Interrupt moderation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CoalesceSetting(pub(crate) Coalesce);

impl Default for CoalesceSetting {
    fn default() -> Self {
        Self(Coalesce::Auto)
    }
}

impl FromStr for CoalesceSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self(Coalesce::Auto)),
            "off" | "0" => Ok(Self(Coalesce::Off)),
            _ => match text.parse() {
                Ok(us @ 1..=1_000) => Ok(Self(Coalesce::Fixed(us))),
                _ => Err(format!("coalesce {text:?} must be \"auto\", \"off\", or microseconds from 1 to 1000")),
            },
        }
    }
}

impl Display for CoalesceSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Coalesce::Auto => f.write_str("auto"),
            Coalesce::Off => f.write_str("off"),
            Coalesce::Fixed(us) => us.fmt(f),
        }
    }
}

/// Pages of the workers' buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HugePagesSetting(pub(crate) HugePages);

impl Default for HugePagesSetting {
    fn default() -> Self {
        Self(HugePages::Auto)
    }
}

impl FromStr for HugePagesSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self(HugePages::Auto)),
            "off" => Ok(Self(HugePages::Off)),
            _ => Err(format!("huge_pages {text:?} must be \"auto\" or \"off\"")),
        }
    }
}

impl Display for HugePagesSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            HugePages::Auto => "auto",
            HugePages::Off => "off",
        })
    }
}

/// First and last port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortRange {
    pub(crate) min: u16,
    pub(crate) max: u16,
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = text
            .split_once('-')
            .and_then(|(min, max)| Some(Self { min: min.trim().parse().ok()?, max: max.trim().parse().ok()? }));
        range
            .filter(|range| range.min > 0 && range.min < range.max)
            .ok_or_else(|| format!("port range {text:?} must be MIN-MAX, such as 40000-49999"))
    }
}

impl Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.min, self.max)
    }
}

/// A time: `120s`, `500ms`, `2m`, `1h`; a bare number is seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    pub(crate) const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (number, unit_s) = match text {
            _ if text.ends_with("ms") => (text.strip_suffix("ms"), 0.001),
            _ if text.ends_with('s') => (text.strip_suffix('s'), 1.0),
            _ if text.ends_with('m') => (text.strip_suffix('m'), 60.0),
            _ if text.ends_with('h') => (text.strip_suffix('h'), 3_600.0),
            _ => (Some(text), 1.0),
        };
        let seconds = number.and_then(|number| number.trim().parse::<f64>().ok()).map(|number| number * unit_s);
        seconds
            .filter(|seconds| (0.0..=86_400.0).contains(seconds))
            .map(|seconds| Self(Duration::from_millis((seconds * 1_000.0).round() as u64)))
            .ok_or_else(|| format!("time {text:?} must be such as 500ms, 3s, 2m or 1h, at most a day"))
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        if ms.is_multiple_of(1_000) { write!(f, "{}s", ms / 1_000) } else { write!(f, "{ms}ms") }
    }
}

/// Longest wait that an operator may choose: the time of one packet of Opus.
const MAX_SOUND_WAIT: Duration = Duration::from_millis(20);

/// Most that a packet of sound waits to leave together with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SoundWait(pub(crate) Duration);

impl Default for SoundWait {
    fn default() -> Self {
        Self(Duration::from_millis(5))
    }
}

impl FromStr for SoundWait {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Span(wait) = text.parse()?;
        let wait = Some(wait).filter(|wait| *wait <= MAX_SOUND_WAIT);
        wait.map(Self).ok_or_else(|| format!("sound_wait {text:?} must be 0ms to 20ms"))
    }
}

impl Display for SoundWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Span(self.0).fmt(f)
    }
}

/// A wait, or no wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grace(pub(crate) Option<Duration>);

impl FromStr for Grace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" { Ok(Self(None)) } else { text.parse().map(|span: Span| Self(Some(span.0))) }
    }
}

impl Display for Grace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("none"),
            Some(grace) => Span(grace).fmt(f),
        }
    }
}

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("log.format {text:?} must be \"text\" or \"json\"")),
        }
    }
}

impl Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Versions of DTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DtlsSetting(pub(crate) DtlsVersions);

impl Default for DtlsSetting {
    fn default() -> Self {
        Self(DtlsVersions::V12)
    }
}

impl FromStr for DtlsSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1.2" => Ok(Self(DtlsVersions::V12)),
            "1.3" => Ok(Self(DtlsVersions::V13)),
            "both" => Ok(Self(DtlsVersions::Both)),
            _ => Err(format!("dtls.versions {text:?} must be \"1.2\", \"1.3\" or \"both\"")),
        }
    }
}

impl Display for DtlsSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            DtlsVersions::V12 => "1.2",
            DtlsVersions::V13 => "1.3",
            DtlsVersions::Both => "both",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_read_in_each_form() {
        assert_eq!("auto".parse(), Ok(Workers::Auto));
        assert_eq!("2".parse(), Ok(Workers::Count(2)));
        assert_eq!("0,2-3".parse(), Ok(Workers::Cores(vec![0, 2, 3])));
        assert_eq!("[1]".parse(), Ok(Workers::Cores(vec![1])));
        for wrong in ["0", "", "3-1", "0,0", "x", "1-", "0-4294967295"] {
            assert!(wrong.parse::<Workers>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_keep_their_value_when_written() {
        for (text, ms, written) in
            [("3s", 3_000, "3s"), ("0.5", 500, "500ms"), ("2m", 120_000, "120s"), ("1h", 3_600_000, "3600s")]
        {
            let span: Span = text.parse().expect(text);
            assert_eq!((span.0.as_millis(), span.to_string().as_str()), (ms, written));
        }
        for wrong in ["-1s", "s", "h", "25h", "NaN", "1e9"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }
}
