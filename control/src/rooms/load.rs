//! Whether there is room for one more room: the workers' cores and the memory. Rooms that are there already
//! go on, and clients that come to them are let in.

use super::error::Error;
use super::memory;
use crate::settings::Priority;
use crate::workers::Pool;

/// Past these no new rooms are made, in percent; 0 for no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    /// CPU that a worker uses of its core.
    pub(crate) cpu: u8,
    /// Memory in use, of the machine or of a control group.
    pub(crate) memory: u8,
    /// By so much more either may be passed for rooms of high priority.
    pub(crate) reserved: u8,
}

impl Marks {
    /// The marks for a room of this priority.
    fn of(self, priority: Priority) -> Self {
        let reserved = if priority == Priority::High { self.reserved } else { 0 };
        let with_it = |mark: u8| if mark == 0 { 0 } else { mark.saturating_add(reserved).min(100) };
        Self { cpu: with_it(self.cpu), memory: with_it(self.memory), ..self }
    }

    /// An error while a mark is passed.
    pub(super) fn check(self, pool: &Pool, priority: Priority) -> Result<(), Error> {
        self.of(priority).check_load(pool)
    }

    fn check_load(self, pool: &Pool) -> Result<(), Error> {
        let workers = pool.workers().iter().map(|worker| worker.usage().map(|(_, rates)| rates.cpu_percent));
        if is_past(self.cpu, workers) {
            let sentence = format!("every worker uses more than {} percent of its core (limits.cpu_percent)", self.cpu);
            return Err(Error::unavailable(sentence));
        }
        if is_past(self.memory, [memory::used_percent()]) {
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
    fn rooms_of_high_priority_are_made_up_to_a_second_mark() {
        let marks = |cpu, memory| Marks { cpu, memory, reserved: 5 };
        let of = |marks: Marks, priority| {
            let Marks { cpu, memory, .. } = marks.of(priority);
            (cpu, memory)
        };
        assert_eq!(of(marks(90, 95), Priority::Normal), (90, 95));
        assert_eq!(of(marks(90, 97), Priority::High), (95, 100));
        assert_eq!(of(marks(0, 100), Priority::High), (0, 100), "no limit stays none");
        let busy = [Some(93.0)];
        assert!(is_past(marks(90, 0).of(Priority::Normal).cpu, busy));
        assert!(!is_past(marks(90, 0).of(Priority::High).cpu, busy));
        assert!(is_past(marks(90, 0).of(Priority::High).cpu, [Some(95.5)]));
    }
}
