//! CPU time of the machine's cores, from `/proc/stat`.

use anyhow::Context as _;

/// Ticks of some cores since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreTicks {
    /// Taken away by the hypervisor.
    pub steal: u64,
    /// In all states.
    pub total: u64,
}

impl CoreTicks {
    /// Sums the ticks of these cores.
    ///
    /// # Errors
    /// `/proc/stat` cannot be read.
    pub fn read(cores: &[u32]) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string("/proc/stat").context("/proc/stat")?;
        Ok(Self::parse(&text, cores))
    }

    fn parse(text: &str, cores: &[u32]) -> Self {
        const STEAL: usize = 7;
        /// Guest time, which follows, is in user time already.
        const STATES: usize = 8;
        let mut sum = Self::default();
        for line in text.lines() {
            let mut fields = line.split_ascii_whitespace();
            let core = fields.next().and_then(|name| name.strip_prefix("cpu")?.parse::<u32>().ok());
            if core.is_some_and(|core| cores.contains(&core)) {
                let ticks: Vec<u64> = fields.take(STATES).filter_map(|field| field.parse().ok()).collect();
                sum.steal += ticks.get(STEAL).copied().unwrap_or(0);
                sum.total += ticks.iter().sum::<u64>();
            }
        }
        sum
    }

    /// Percent of the time since `earlier` that was stolen.
    #[must_use]
    pub fn steal_pct_since(self, earlier: Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total).max(1);
        100.0 * self.steal.saturating_sub(earlier.steal) as f64 / total as f64
    }
}

/// The highest-numbered core of this process.
///
/// # Errors
/// The cores cannot be listed.
pub fn last_core() -> anyhow::Result<u32> {
    let cores = core_affinity::get_core_ids().context("the cores of this machine")?;
    let last = cores.iter().map(|core| core.id).max().context("a machine without cores")?;
    Ok(u32::try_from(last)?)
}

/// Pins the calling thread.
///
/// # Errors
/// There is no such core for this process.
pub fn pin(core: u32) -> anyhow::Result<()> {
    let pinned = core_affinity::set_for_current(core_affinity::CoreId { id: core as usize });
    anyhow::ensure!(pinned, "cannot pin to core {core}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_read_for_the_cores_asked_for() {
        let then = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 0 0 0 0 0 0 1 0 0\ncpu1 0 0 0 100 0 0 0 0 0 0\nintr 5\n";
        let now = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 9 0 0 0 0 0 0 3 5 5\ncpu1 0 0 0 190 0 0 0 0 0 0\nintr 9\n";
        let (then, now) = (CoreTicks::parse(then, &[0, 1]), CoreTicks::parse(now, &[0, 1]));
        assert_eq!(then, CoreTicks { steal: 1, total: 102 });
        assert!((now.steal_pct_since(then) - 2.0).abs() < 1e-9);
    }
}
