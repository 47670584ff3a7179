//! What it costs a worker to keep what outlives it (`failover.calls`): one that does beside one that does not, in turn,
//! so that whatever else the machine does meets both.

use corecast_dataplane::Keep;
use serde::Serialize;

use crate::generator::{Load, Window};
use crate::outcome::Run;
use crate::report::{rounded, table};
use crate::setting::Setting;
use crate::worker::LinkedWorker;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// CPU time per forwarded packet, in nanoseconds, of each run of a worker that keeps what outlives it.
    kept_ns: Vec<f64>,
    /// The same of one that keeps nothing.
    dropped_ns: Vec<f64>,
    /// Packets per send, of all runs of each.
    kept_train_mean: f64,
    dropped_train_mean: f64,
    /// The former through the latter of each pair of runs: the least, the median and the greatest.
    ratio_min: f64,
    ratio_p50: f64,
    ratio_max: f64,
    /// Packets that did not arrive, of all runs.
    lost: u64,
    /// The most of all runs, in percent.
    steal_pct: f64,
}

/// Measures so many pairs.
///
/// # Errors
/// As of [`Setting::measure`]; or there is no CPU time.
pub fn measure(setting: &Setting, load: Load, pairs: u16) -> anyhow::Result<Figures> {
    let windows = setting.measure_beside(load, 2 * u64::from(pairs), |run| {
        // Which comes first in one pair comes second in the next.
        let pair = |number: u16| match number.is_multiple_of(2) {
            true => Ok((kept(run)?, dropped(run)?)),
            false => dropped(run).and_then(|dropped| Ok((kept(run)?, dropped))),
        };
        (0..pairs).map(pair).collect::<anyhow::Result<Vec<_>>>()
    })?;
    figures(&windows)
}

fn kept(run: &Run<'_>) -> anyhow::Result<Window> {
    run.target("kept", || LinkedWorker::start_keeping(run.setup, &Keep::new()?))
}

fn dropped(run: &Run<'_>) -> anyhow::Result<Window> {
    run.target("not kept", || LinkedWorker::start(run.setup))
}

fn figures(windows: &[(Window, Window)]) -> anyhow::Result<Figures> {
    let (kept, dropped): (Vec<_>, Vec<_>) = windows.iter().map(|(kept, dropped)| (kept, dropped)).unzip();
    let ns = |windows: &[&Window]| {
        let each = windows.iter().map(|window| window.cpu_ns_per_packet());
        each.collect::<Option<Vec<_>>>().ok_or_else(|| anyhow::anyhow!("nothing was forwarded"))
    };
    let (kept_ns, dropped_ns) = (ns(&kept)?, ns(&dropped)?);
    let mut ratios: Vec<_> = kept_ns.iter().zip(&dropped_ns).map(|(kept, dropped)| kept / dropped).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let at = |index: usize| rounded(ratios.get(index).copied().unwrap_or(f64::NAN), 4);
    let all = kept.iter().chain(&dropped);
    Ok(Figures {
        kept_train_mean: train_mean(&kept),
        dropped_train_mean: train_mean(&dropped),
        ratio_min: at(0),
        ratio_p50: at(ratios.len() / 2),
        ratio_max: at(ratios.len().saturating_sub(1)),
        lost: all.clone().map(|window| window.lost()).sum(),
        steal_pct: rounded(all.map(|window| window.steal_pct).fold(0.0, f64::max), 2),
        kept_ns: kept_ns.into_iter().map(|ns| rounded(ns, 1)).collect(),
        dropped_ns: dropped_ns.into_iter().map(|ns| rounded(ns, 1)).collect(),
    })
}

fn train_mean(windows: &[&Window]) -> f64 {
    let sum = |of: fn(&Window) -> u64| windows.iter().map(|window| of(window)).sum::<u64>() as f64;
    rounded(sum(|window| window.counters.packets_sent) / sum(|window| window.counters.trains_sent).max(1.0), 2)
}

impl Figures {
    /// Prints them, for people or as a line of JSON.
    ///
    /// # Errors
    /// They are no JSON.
    pub fn print(&self, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            println!("{}", serde_json::to_string(self)?);
            return Ok(());
        }
        let mut rows = table(["pair", "kept, ns per packet", "not kept", "ratio"]);
        for (number, (kept, dropped)) in (1..).zip(self.kept_ns.iter().zip(&self.dropped_ns)) {
            let number: u32 = number;
            rows.add_row([number.to_string(), kept.to_string(), dropped.to_string(), format!("{:.3}", kept / dropped)]);
        }
        println!("{rows}");
        println!("ratio: {} ({} to {})", self.ratio_p50, self.ratio_min, self.ratio_max);
        println!("packets per send: {} kept, {} not kept", self.kept_train_mean, self.dropped_train_mean);
        println!("lost: {}, taken by the hypervisor: {} % at most", self.lost, self.steal_pct);
        Ok(())
    }
}
