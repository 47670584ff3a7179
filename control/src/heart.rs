//! The thread that shows that the server lives: it carries the links to the workers, with their heartbeats, and beats
//! towards the supervisor.
//!
//! HTTP has another thread. However busy that one is, a worker's answer is read in time and the supervisor hears of the
//! server. Only when HTTP's thread has done nothing at all for [`HTTP_LIMIT`] does the heart stop.

use std::convert::Infallible;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use corecast_wire::StartError;
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use crate::exit;
use crate::supervisor::report::{Died, Report, send};
use crate::workers::{Death, DeathCause, Pool, Spawned, Watch};

/// HTTP's thread hangs if it does nothing for this long.
const HTTP_LIMIT: Duration = Duration::from_secs(10);
/// For the supervisor to end a server that has told of a death.
const END_LIMIT: Duration = Duration::from_secs(10);
/// Longest time between two beats.
const BEAT: Duration = Duration::from_secs(1);

/// The last moment at which HTTP's thread did something.
#[derive(Debug)]
pub(crate) struct Pulse {
    start: Instant,
    last_ms: AtomicU64,
}

impl Pulse {
    fn new() -> Self {
        Self { start: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// To run on HTTP's thread, for ever.
    pub(crate) async fn keep(&self) {
        loop {
            self.last_ms.store(self.now_ms(), Ordering::Relaxed);
            tokio::time::sleep(BEAT).await;
        }
    }

    fn is_there(&self) -> bool {
        let silent_ms = self.now_ms().saturating_sub(self.last_ms.load(Ordering::Relaxed));
        Duration::from_millis(silent_ms) < HTTP_LIMIT
    }
}

/// Links and signs of life, on a thread that lives as long as the process.
#[derive(Debug)]
pub(crate) struct Heart {
    runtime: Handle,
}

impl Heart {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let run = move || runtime.block_on(std::future::pending::<()>());
        std::thread::Builder::new().name("heart".into()).spawn(run)?;
        Ok(Self { runtime: handle })
    }

    /// Opens the links to the workers: [`Pool::open`], here.
    pub(crate) fn open(
        &self,
        spawned: Vec<Spawned>,
        watch: Watch,
    ) -> io::Result<(Pool, UnboundedReceiver<Death>, UnboundedReceiver<u32>)> {
        let _here = self.runtime.enter();
        Pool::open(spawned, watch)
    }

    /// From now on beats, and tells the supervisor of a death. Ends only with an error.
    pub(crate) fn beat(
        &self,
        report: UnixStream,
        deaths: UnboundedReceiver<Death>,
        heartbeat: Duration,
    ) -> (Arc<Pulse>, JoinHandle<io::Result<Infallible>>) {
        let pulse = Arc::new(Pulse::new());
        let beating = beat(report, deaths, Arc::clone(&pulse), heartbeat.min(BEAT));
        (pulse, self.runtime.spawn(beating))
    }
}

async fn beat(
    report: UnixStream,
    mut deaths: UnboundedReceiver<Death>,
    pulse: Arc<Pulse>,
    interval: Duration,
) -> io::Result<Infallible> {
    let mut beats = tokio::time::interval(interval);
    loop {
        tokio::select! {
            _ = beats.tick() => if pulse.is_there() {
                send(&report, &Report::Beat)?;
            },
            Some(death) = deaths.recv() => return report_worker_death(&report, death).await,
        }
    }
}

/// Tells the supervisor of a death and waits to be ended.
pub(crate) async fn report_worker_death(report: &UnixStream, death: Death) -> io::Result<Infallible> {
    let Death { worker, core, pid, cause } = death;
    let died = |cause| {
        let pid = pid.unwrap_or_else(std::process::id);
        Died { worker: Some(worker), core: Some(core), pid, cause, place: None }
    };
    let told = match cause {
        DeathCause::StartFailed(error) => Report::StartFailed {
            exit: match error {
                StartError::IoUringRefused(_) => Some(exit::IO_URING_REFUSED),
                StartError::CannotListen(_) => Some(exit::CANNOT_LISTEN_FOR_MEDIA),
                StartError::Other(_) => None,
            },
            cause: format!("worker {worker} (core {core}) cannot start: {error}"),
        },
        DeathCause::Ended(why) => Report::Died(died(why)),
        DeathCause::Stalled(limit) => {
            Report::Stalled(died(format!("stalled: no answer for {:.1} s", limit.as_secs_f32())))
        }
    };
    send(report, &told)?;
    tokio::time::sleep(END_LIMIT).await;
    Err(io::Error::other("the supervisor did not end this process"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::workers::fake_worker;

    const WATCH: Watch = Watch {
        heartbeat: Duration::from_millis(20),
        timeout: Duration::from_millis(100),
        usage_interval: Duration::from_secs(120),
    };

    #[tokio::test]
    async fn a_busy_http_thread_is_not_taken_for_a_dead_worker_or_server() {
        let heart = Heart::start().expect("a thread");
        let (pool, mut deaths, mut starts) = heart.open(vec![fake_worker::spawn(0)], WATCH).expect("opens");
        starts.recv().await.expect("starts");
        // Work that leaves no time for anything else, much longer than a worker may be silent.
        let busy = Instant::now() + 10 * WATCH.timeout;
        while Instant::now() < busy {
            std::thread::sleep(2 * WATCH.timeout);
            tokio::task::yield_now().await;
        }
        assert!(deaths.try_recv().is_err(), "the worker has answered all the time");
        let (ours, mut theirs) = UnixStream::pair().expect("socket pair");
        let (_pulse, _beating) = heart.beat(ours, deaths, WATCH.heartbeat);
        std::thread::sleep(2 * WATCH.timeout);
        // It waits here, so that only another thread can write.
        let mut beat = [0; 8];
        theirs.read_exact(&mut beat).expect("beats");
        assert_eq!(&beat, b"\"beat\"\n\"");
        drop(pool);
    }

    #[tokio::test]
    async fn a_death_is_told_to_the_supervisor() {
        let heart = Heart::start().expect("a thread");
        let (pool, deaths, _starts) = heart.open(vec![fake_worker::spawn(3)], WATCH).expect("opens");
        let (ours, theirs) = UnixStream::pair().expect("socket pair");
        let (_pulse, _beating) = heart.beat(ours, deaths, WATCH.heartbeat);
        pool.shut_down(HTTP_LIMIT).await;
        let lines = io::BufRead::lines(io::BufReader::new(theirs));
        let told = lines.map_while(Result::ok).find(|line| line.contains("died")).expect("is told");
        assert!(told.contains("\"worker\":3"), "{told}");
    }

    #[test]
    fn the_heart_stops_with_a_thread_that_hangs() {
        let pulse = Pulse::new();
        assert!(pulse.is_there());
        let start = Instant::now().checked_sub(HTTP_LIMIT).expect("the machine runs for longer");
        assert!(!Pulse { start, last_ms: AtomicU64::new(0) }.is_there());
    }
}
