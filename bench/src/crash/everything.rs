//! The death of everything: with the supervisor the server ends, and with it all calls. It is started again, as systemd
//! would, and everybody joins again.

use anyhow::{Context as _, ensure};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::calls::{INTERVAL, Isolation, Pids, signal};
use super::{BACK_WITHIN, CrashArgs, Phase, SETTLED, Watched, begin, launch, pinned, rooms};
use crate::calls::launch::Launched;

/// As often as is asked for. Who joins again hears nothing from the death on until the last of all is in.
pub(super) fn dies(args: &CrashArgs, core: u32, isolation: Isolation) -> anyhow::Result<Watched> {
    let mut all: Watched = vec![Some(Vec::new()); args.calls as usize];
    let mut died: Option<Instant> = None;
    for _ in 0..=args.times {
        let (launched, _settings) = launch(args.io, core, isolation)?;
        let life = pinned(|| live(args, &launched))?;
        for (gaps, hears) in all.iter_mut().zip(life.hears) {
            *gaps = gaps.take().filter(|_| hears);
            if let (Some(gaps), Some(died)) = (gaps, died) {
                gaps.push(life.joined - died);
            }
        }
        died = Some(life.died);
    }
    Ok(all)
}

/// One life of everything.
struct Life {
    /// When the last call was in.
    joined: Instant,
    /// When the supervisor was killed.
    died: Instant,
    /// Whether each call heard something to the end.
    hears: Vec<bool>,
}

/// Everybody joins and stays for a while; then the supervisor is killed, and nothing of the server may be left.
fn live(args: &CrashArgs, launched: &Launched) -> anyhow::Result<Life> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (tell, phase) = watch::channel(Phase::Before);
    let urls = rooms(launched, args.rooms)?;
    runtime.block_on(async {
        let calls = begin(launched, args.calls, &urls, &phase).await?;
        let joined = Instant::now();
        sleep(SETTLED).await;
        let pids = Pids::of(launched.site()).await?;
        let died = Instant::now();
        signal("KILL", launched.supervisor_pid().into())?;
        let is_left = |pid: u64| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty());
        let has_ended = async {
            while is_left(pids.server) || pids.worker.is_some_and(is_left) {
                sleep(INTERVAL).await;
            }
        };
        timeout(BACK_WITHIN, has_ended).await.context("the server outlives its supervisor")?;
        tell.send_replace(Phase::Over);
        ensure!(Pids::of(launched.site()).await.is_err(), "somebody answers who should have ended");
        let outcomes = calls.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Life { joined, died, hears: outcomes.into_iter().flatten().map(|gaps| gaps.is_some()).collect() })
    })
}
