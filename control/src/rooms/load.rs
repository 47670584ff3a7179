//! Whether there is room for one more room: the workers' cores and the machine's memory. Rooms that are there already
//! go on, and clients that come to them are let in.

use super::error::Error;
use crate::workers::Pool;

/// Past these no new rooms are made, in percent; 0 for no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    /// CPU that a worker uses of its core.
    pub(crate) cpu: u8,
    /// Memory of the machine that is in use.
    pub(crate) memory: u8,
}

impl Marks {
    /// An error while a mark is passed.
    pub(super) fn check(self, pool: &Pool) -> Result<(), Error> {
        let workers = pool.workers().iter().map(|worker| worker.usage().map(|(_, rates)| rates.cpu_percent));
        if is_past(self.cpu, workers) {
            let sentence = format!("every worker uses more than {} percent of its core (limits.cpu_percent)", self.cpu);
            return Err(Error::unavailable(sentence));
        }
        let memory = std::fs::read_to_string("/proc/meminfo").ok().and_then(|table| used_percent(&table));
        if is_past(self.memory, [memory]) {
            let sentence = format!("more than {} percent of the memory is in use (limits.memory_percent)", self.memory);
            return Err(Error::unavailable(sentence));
        }
        Ok(())
    }
}

/// Whether all of these are known and past the mark.
fn is_past(mark: u8, percents: impl IntoIterator<Item = Option<f64>>) -> bool {
    mark > 0 && percents.into_iter().all(|percent| percent.is_some_and(|percent| percent > f64::from(mark)))
}

/// From `/proc/meminfo`.
fn used_percent(table: &str) -> Option<f64> {
    let kib = |name: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let total = kib("MemTotal").filter(|total| *total > 0.0)?;
    Some(100.0 - 100.0 * kib("MemAvailable")? / total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_passed_when_all_are_past_it_and_known() {
        assert!(is_past(90, [Some(95.0), Some(90.5)]));
        assert!(!is_past(90, [Some(95.0), Some(10.0)]), "one has room");
        assert!(!is_past(90, [Some(95.0), None]), "one has not told yet");
        assert!(!is_past(0, [Some(100.0)]), "no limit");
    }

    #[test]
    fn memory_in_use_is_what_is_not_available() {
        let table = "MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     250 kB\n";
        assert_eq!(used_percent(table), Some(75.0));
        assert_eq!(used_percent("MemTotal: 0 kB\nMemAvailable: 0 kB"), None);
        assert_eq!(used_percent("nonsense"), None);
    }
}
