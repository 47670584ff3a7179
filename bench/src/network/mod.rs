//! `corecast-bench network`: the estimator of the path to a receiver (`corecast_core::congestion::send`) in a simulated
//! network, in the cases of RFC 8867.

mod cases;
mod link;
mod media;
mod packet;
mod picture;
mod tcp;
mod trace;
mod verdict;
mod world;

use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;

use crate::progress::Progress;
use crate::report::{rounded, table};
use cases::Case;
use verdict::Measures;
use world::World;

/// What is simulated.
#[derive(Clone, Debug, clap::Args)]
pub struct NetworkArgs {
    /// Only this case: 5.1 to 5.8, 6.1, or shallow
    #[arg(long)]
    case: Option<String>,
    /// Runs of each case, each with another seed
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// Print one line of JSON for each case
    #[arg(long)]
    json: bool,
    /// A folder in which the first run of each case is drawn
    #[arg(long)]
    plots: Option<PathBuf>,
}

/// The line that `--json` prints: means over the runs. What a case does not have is null.
#[derive(Debug, Serialize)]
struct Line {
    case: &'static str,
    seeds: u64,
    /// Part of the bottleneck that was used in steady state.
    #[serde(rename = "use")]
    use_of: f64,
    /// 95th percentile of the time in the queue.
    delay_p95_ms: f64,
    /// Packets lost outside of changes, in percent.
    loss_pct: f64,
    /// What the flow that got least got of its fair share.
    share_min: Option<f64>,
    /// Longest time until a capacity that had risen was used.
    recovery_s: Option<f64>,
    /// Runs in which every line held.
    met: u64,
    /// Lines that did not hold in some run.
    missed: Vec<&'static str>,
}

/// Runs the subcommand.
///
/// # Errors
/// There is no such case, or a picture cannot be drawn.
pub fn run(args: &NetworkArgs) -> anyhow::Result<()> {
    let is_asked_for = |case: &Case| args.case.as_ref().is_none_or(|name| *name == case.name);
    let cases: Vec<Case> = cases::all().into_iter().filter(is_asked_for).collect();
    anyhow::ensure!(!cases.is_empty(), "no such case: give 5.1 to 5.8, 6.1 or shallow");
    let progress = Progress::new(cases.len() as u64 * args.seeds);
    let mut lines = Vec::new();
    for case in &cases {
        let mut runs = Vec::new();
        for seed in 0..args.seeds {
            progress.step(&format!("{} {}", case.name, case.title));
            let trace = World::run(case, seed);
            runs.push(Measures::of(case, &trace));
            if let Some(folder) = args.plots.as_ref().filter(|_| seed == 0) {
                let path = folder.join(format!("network-{}.svg", case.name));
                picture::draw(&path, case, &trace).with_context(|| path.display().to_string())?;
            }
        }
        lines.push(line(case, &runs));
    }
    progress.finish();
    if args.json {
        for line in &lines {
            println!("{}", serde_json::to_string(line)?);
        }
    } else {
        print(&cases, &lines);
    }
    Ok(())
}

fn line(case: &Case, runs: &[Measures]) -> Line {
    let mean = |of: fn(&Measures) -> f64, places| {
        let sum: f64 = runs.iter().map(of).sum();
        rounded(sum / runs.len() as f64, places)
    };
    let missed = runs.iter().flat_map(|run| run.missed(case));
    let missed = missed.fold(Vec::new(), |mut all, line| {
        if !all.contains(&line) {
            all.push(line);
        }
        all
    });
    Line {
        case: case.name,
        seeds: runs.len() as u64,
        use_of: mean(|run| run.use_of, 3),
        delay_p95_ms: mean(|run| run.delay_p95_ms, 1),
        loss_pct: mean(|run| run.loss_pct, 3),
        share_min: Some(mean(|run| run.share_min, 3)).filter(|share| !share.is_nan()),
        recovery_s: Some(mean(|run| run.recovery_s, 2)).filter(|seconds| !seconds.is_nan()),
        met: runs.iter().filter(|run| run.missed(case).is_empty()).count() as u64,
        missed,
    }
}

fn print(cases: &[Case], lines: &[Line]) {
    let mut table =
        table(["case", "use", "delay p95", "loss", "least share", "recovery", "runs that hold", "lines missed"]);
    let given = |value: Option<f64>, unit: &str| value.map_or_else(|| "-".into(), |value| format!("{value}{unit}"));
    for (case, line) in cases.iter().zip(lines) {
        table.add_row([
            format!("{} {}", line.case, case.title),
            format!("{:.1} %", line.use_of * 100.0),
            format!("{} ms", line.delay_p95_ms),
            format!("{} %", line.loss_pct),
            given(line.share_min, ""),
            given(line.recovery_s, " s"),
            format!("{} of {}", line.met, line.seeds),
            line.missed.join(", "),
        ]);
    }
    println!("{table}");
}

#[cfg(test)]
mod tests;
