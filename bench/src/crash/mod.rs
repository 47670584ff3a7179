//! `corecast-bench crash`: calls that are under way while a worker dies, or the server, or all of it, each a publisher
//! by WHIP and somebody who watches it by WHEP. How many are lost, and for how long nothing comes in the others.

mod calls;
mod everything;
mod kills;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use corecast_wire::{Coalesce, Io};
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::calls::launch::Launched;
use crate::cpu;
use crate::http::Server;
use crate::outcome::GENERATOR_CORE;
use crate::progress::Progress;
use crate::report::{grouped, table};
use crate::webrtc::{Event, Identity, Session};
pub use calls::Isolation;
use calls::{Call, INTERVAL, PAYLOAD_BYTES, Pids, header};

/// Calls that are set up at a time.
const JOINING: usize = 16;
/// Before the death, and after the server has come again.
const SETTLED: Duration = Duration::from_secs(3);
/// For the server to come again.
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// A call in which nothing has come for so long when it is over is lost.
const LOST: Duration = Duration::from_secs(2);

/// How a worker dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Death {
    /// It panics.
    Panic,
    /// SIGKILL, as by the kernel when memory is short.
    Sigkill,
    /// SIGSEGV.
    Sigsegv,
    /// SIGABRT.
    Sigabrt,
    /// Nobody dies: the program is started again in place of the one that runs (SIGUSR2).
    Upgrade,
    /// It does nothing any longer: it is dead once it has not answered for `worker.timeout` (3 s).
    Stall,
    /// Not a worker but the server that has it, by SIGKILL.
    Server,
    /// All of it, by SIGKILL of the supervisor; then it is started again, as systemd would, and everybody joins again.
    Supervisor,
}

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct CrashArgs {
    /// How many publish, each watched by one
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    calls: u32,
    /// The calls are in so many rooms, in turn
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rooms: u32,
    /// So many deaths of each kind in a row, some 7 seconds apart, beside the same calls
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    times: u32,
    /// One kind of death alone; by default one after the other
    #[arg(long, value_enum)]
    death: Option<Death>,
    /// One isolation alone; by default one after the other
    #[arg(long, value_enum)]
    isolation: Option<Isolation>,
    /// Instead: kill the server so many times at random moments, and capture what viewers are sent. With a few calls: a
    /// kill takes some 4 seconds
    #[arg(long, conflicts_with = "death")]
    kills: Option<u32>,
    /// Driver of the server: auto, uring or syscalls
    #[arg(long, default_value = "auto", value_parser = crate::args::io)]
    io: Io,
    /// Core of its worker; by default the last one. This program itself runs on core 0
    #[arg(long)]
    worker_core: Option<u32>,
    /// Print one line of JSON for each death
    #[arg(long)]
    json: bool,
}

/// What became of the calls.
#[derive(Clone, Debug, Serialize)]
struct Figures {
    death: Death,
    isolation: Isolation,
    times: u32,
    rooms: u32,
    calls: usize,
    lost: usize,
    gap_p50_ms: f64,
    gap_p99_ms: f64,
    gap_max_ms: f64,
}

/// Runs the subcommand.
///
/// # Errors
/// The server does not start or does not come again, a call cannot be set up, or somebody got what does not open.
pub fn run(args: &CrashArgs) -> anyhow::Result<()> {
    let core = args.worker_core.map_or_else(cpu::last_core, Ok)?;
    if let Some(kills) = args.kills {
        return kill_again_and_again(args, core, kills);
    }
    let deaths = args.death.map_or_else(|| Death::value_variants().to_vec(), |death| vec![death]);
    let isolations = args.isolation.map_or_else(|| Isolation::value_variants().to_vec(), |one| vec![one]);
    let progress = Progress::new((deaths.len() * isolations.len()) as u64);
    let mut all = Vec::new();
    for isolation in isolations {
        for death in &deaths {
            progress.step(&format!("{} calls, {isolation:?}, {death:?}", args.calls));
            let figures = measure(args, core, isolation, *death)?;
            if args.json {
                progress.aside(|| println!("{}", json!(figures)));
            }
            all.push(figures);
        }
    }
    progress.finish();
    if !args.json {
        print(&all);
    }
    Ok(())
}

/// In each isolation, so many times.
fn kill_again_and_again(args: &CrashArgs, core: u32, kills: u32) -> anyhow::Result<()> {
    let isolations = args.isolation.map_or_else(|| Isolation::value_variants().to_vec(), |one| vec![one]);
    for isolation in isolations {
        let progress = Progress::new(kills.into());
        let (launched, _settings) = launch(args.io, core, isolation)?;
        let room = Server::reach(launched.site())?.room().to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let figures = runtime.block_on(kills::run(&launched, (isolation, &room), (args.calls, kills), &progress))?;
        progress.finish();
        figures.print(args.json);
        figures.check()?;
    }
    Ok(())
}

/// Settings of a server that are there for as long as it is: an upgrade reads them again.
struct Settings(PathBuf);

impl Drop for Settings {
    fn drop(&mut self) {
        // Fails only if somebody else has removed it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A server with test hooks that starts again at once, however often it dies.
fn launch(io: Io, core: u32, isolation: Isolation) -> anyhow::Result<(Launched, Settings)> {
    let settings = Settings(std::env::temp_dir().join(format!("corecast-bench-{}.toml", std::process::id())));
    let settings_name = settings.0.to_str().context("the name of the folder for temporary files")?;
    std::fs::write(&settings.0, "[restart]\nfree = 1000000\n")?;
    let more = [("--isolation", isolation.name()), ("--config", settings_name), ("--test-hooks", "true")];
    let launched = Launched::start_with(core, io, Coalesce::Auto, &more)?;
    Ok((launched, settings))
}

fn print(all: &[Figures]) {
    let heads = ["workers are, death", "times", "rooms", "calls", "lost", "nothing came for: p50, ms", "p99", "most"];
    let mut rows = table(heads);
    for Figures { death, isolation, times, rooms, calls, lost, gap_p50_ms, gap_p99_ms, gap_max_ms } in all {
        let [p50, p99, most] = [gap_p50_ms, gap_p99_ms, gap_max_ms].map(|ms| format!("{ms:.0}"));
        let what = format!("{isolation:?}, {death:?}");
        let [times, rooms] = [times, rooms].map(|number| grouped(u64::from(*number)));
        rows.add_row([what, times, rooms, grouped(*calls as u64), grouped(*lost as u64), p50, p99, most]);
    }
    println!("{rows}");
}

fn measure(args: &CrashArgs, core: u32, isolation: Isolation, death: Death) -> anyhow::Result<Figures> {
    let watched = if death == Death::Supervisor {
        everything::dies(args, core, isolation)?
    } else {
        let (launched, _settings) = launch(args.io, core, isolation)?;
        pinned(|| load(args, &launched, isolation, death))?
    };
    Ok(figures(args, isolation, death, watched))
}

/// On a thread that is pinned: the next server may run where this one may.
fn pinned<T: Send>(run: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    let run = || {
        cpu::pin(GENERATOR_CORE)?;
        run()
    };
    std::thread::scope(|scope| scope.spawn(run).join()).map_err(|_| anyhow::anyhow!("the load panicked"))?
}

/// For how long nothing came of each who watches, at each death; none of one to whom nothing comes any longer.
type Watched = Vec<Option<Vec<Duration>>>;

fn load(args: &CrashArgs, launched: &Launched, isolation: Isolation, death: Death) -> anyhow::Result<Watched> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (tell, phase) = watch::channel(Phase::Before);
    let urls = rooms(launched, args.rooms)?;
    let calls = runtime.block_on(begin(launched, args.calls, &urls, &phase))?;
    runtime.block_on(async {
        for number in 1..=args.times {
            sleep(SETTLED).await;
            let old = Pids::of(launched.site()).await?;
            tell.send_replace(Phase::Death(number));
            kill(launched, isolation, death, old).await?;
            let is_back = async {
                while Pids::of(launched.site()).await.map_or(true, |pids| pids.server == old.server) {
                    sleep(INTERVAL).await;
                }
            };
            timeout(BACK_WITHIN, is_back).await.context("the server does not come again")?;
            sleep(SETTLED).await;
        }
        tell.send_replace(Phase::Over);
        let outcomes = calls.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        // Those who send have no gap.
        Ok(outcomes.into_iter().flatten().collect())
    })
}

/// URLs of so many rooms, each with `{}` in the place of `whip` and `whep`.
fn rooms(launched: &Launched, rooms: u32) -> anyhow::Result<Vec<String>> {
    let server = Server::reach(launched.site())?;
    Ok((0..rooms).map(|number| format!("{}/{{}}/{}-{number}", launched.site().base(), server.room())).collect())
}

fn figures(args: &CrashArgs, isolation: Isolation, death: Death, watched: Watched) -> Figures {
    let calls = watched.len();
    let lost = watched.iter().filter(|gaps| gaps.is_none()).count();
    let mut gaps: Vec<_> = watched.into_iter().flatten().flatten().map(|gap| gap.as_secs_f64() * 1e3).collect();
    gaps.sort_unstable_by(f64::total_cmp);
    let at = |percent: usize| gaps.get((gaps.len() * percent / 100).min(gaps.len().max(1) - 1)).copied();
    Figures {
        death,
        isolation,
        times: args.times,
        rooms: args.rooms,
        calls,
        lost,
        gap_p50_ms: at(50).unwrap_or(f64::NAN),
        gap_p99_ms: at(99).unwrap_or(f64::NAN),
        gap_max_ms: gaps.last().copied().unwrap_or(f64::NAN),
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Before,
    /// The death of this number has begun, and the next one has not.
    Death(u32),
    Over,
}

/// Nothing of one who sends; of one who watches the longest time without a packet at each death, or none if nothing
/// comes any longer.
type Outcome = anyhow::Result<Option<Option<Vec<Duration>>>>;

/// Sets up all calls, some at a time.
async fn begin(
    launched: &Launched,
    calls: u32,
    rooms: &[String],
    phase: &watch::Receiver<Phase>,
) -> anyhow::Result<JoinSet<Outcome>> {
    let client = launched.site().client().build()?;
    let identity = Arc::new(Identity::new()?);
    let (mut running, mut joining) = (JoinSet::new(), JoinSet::new());
    let mut numbers = (0..calls).zip(rooms.iter().cycle());
    loop {
        while joining.len() < JOINING
            && let Some((number, url)) = numbers.next()
        {
            joining.spawn(Call::join(client.clone(), Arc::clone(&identity), url.clone(), number));
        }
        let Some(joined) = joining.join_next().await else { return Ok(running) };
        let Call { sender, viewer, ssrc } = joined??;
        running.spawn(send(sender, ssrc, phase.clone()));
        running.spawn(watch(viewer, phase.clone()));
    }
}

async fn send(mut session: Session, ssrc: u32, phase: watch::Receiver<Phase>) -> Outcome {
    let mut next = Instant::now();
    for number in 0.. {
        if *phase.borrow() == Phase::Over {
            break;
        }
        let mut packet = header(ssrc, number);
        packet.resize(12 + PAYLOAD_BYTES, 7);
        // Nobody listens for a moment, perhaps.
        let _ = session.send_rtp(&packet);
        next += INTERVAL;
        while Instant::now() < next {
            match session.recv(next - Instant::now()).await {
                Ok(Some(Event::Closed)) => return Ok(None),
                Ok(_) => {}
                Err(_) => sleep_until(next).await,
            }
        }
    }
    Ok(None)
}

async fn watch(mut session: Session, phase: watch::Receiver<Phase>) -> Outcome {
    let (mut last, mut gaps) = (Instant::now(), Vec::new());
    loop {
        match *phase.borrow() {
            Phase::Before => {}
            Phase::Death(number) => gaps.resize(number as usize, Duration::ZERO),
            Phase::Over => return Ok(Some(Some(gaps).filter(|_| last.elapsed() < LOST))),
        }
        match session.recv(Duration::from_millis(100)).await {
            Ok(Some(Event::Rtp(_))) => {
                let now = Instant::now();
                if let Some(longest) = gaps.last_mut() {
                    *longest = now.duration_since(last).max(*longest);
                }
                last = now;
            }
            Ok(Some(Event::Unopened(_, why))) => anyhow::bail!("what came does not open: {why}"),
            Ok(Some(Event::Closed)) => return Ok(Some(None)),
            Ok(Some(Event::Rtcp(_)) | None) => {}
            // Nobody listens for a moment, perhaps.
            Err(_) => sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn kill(launched: &Launched, isolation: Isolation, death: Death, pids: Pids) -> anyhow::Result<()> {
    let hook = match death {
        Death::Panic => "panic",
        Death::Stall => "stall",
        Death::Upgrade => return calls::signal("USR2", launched.supervisor_pid().into()),
        Death::Server => return calls::signal("KILL", pids.server),
        Death::Supervisor => return calls::signal("KILL", launched.supervisor_pid().into()),
        Death::Sigkill | Death::Sigsegv | Death::Sigabrt => {
            let signal = if death == Death::Sigkill {
                "KILL"
            } else if death == Death::Sigsegv {
                "SEGV"
            } else {
                "ABRT"
            };
            let pid = match isolation {
                Isolation::Thread => pids.server,
                Isolation::Process => pids.worker.context("the worker has no process of its own")?,
            };
            return calls::signal(signal, pid);
        }
    };
    let (client, url) = (launched.site().client().build()?, launched.site().base());
    let asked = client.post(format!("{url}/test-hooks/worker/0")).json(&json!({ "hook": hook })).send().await?;
    ensure!(asked.status().is_success(), "the worker cannot be made to die: {}", asked.status());
    Ok(())
}
