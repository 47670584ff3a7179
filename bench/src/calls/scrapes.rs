//! Scrapes beside the media: what a server answers about itself is asked for again and again, as Prometheus does, and
//! packets are timed with it and without, in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::figures::{Quantiles, added_cpu_ns};
use crate::generator::Window;
use crate::outcome::quantile_us;
use crate::report::{duration, grouped, rounded, table};
use crate::site::Site;

const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// What is asked for each time: what costs the workers nothing, and the counters of every object.
const PATHS: [&str; 2] = ["/metrics", "/stats"];

/// What one path answered.
#[derive(Clone, Debug)]
struct Answers {
    /// From the request to the last byte, in microseconds.
    times_us: Histogram<u64>,
    /// Length of the longest.
    bytes: usize,
}

/// A thread that asks, from the core of the thread that starts it.
#[derive(Debug)]
pub struct Scraper {
    is_over: Arc<AtomicBool>,
    asking: JoinHandle<anyhow::Result<[Answers; 2]>>,
}

impl Scraper {
    /// Asks so often per second from now on.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(site: &Site, token: Option<&str>, per_second: f64) -> anyhow::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (site, token) = (site.clone(), token.map(str::to_owned));
        let over = Arc::clone(&is_over);
        let ask = move || ask(&site, token.as_deref(), Duration::from_secs_f64(1.0 / per_second), &over);
        let asking = std::thread::Builder::new().name("scraper".into()).spawn(ask)?;
        Ok(Self { is_over, asking })
    }

    /// Asks no more.
    fn finish(self) -> anyhow::Result<[Answers; 2]> {
        self.is_over.store(true, Ordering::Relaxed);
        self.asking.join().map_err(|_| anyhow::anyhow!("the scraper has panicked"))?
    }
}

fn ask(site: &Site, token: Option<&str>, interval: Duration, is_over: &AtomicBool) -> anyhow::Result<[Answers; 2]> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = site.client().pool_max_idle_per_host(1).timeout(ANSWER_WITHIN).build()?;
    let none = Answers { times_us: Histogram::new_with_bounds(1, 600_000_000, 3).context("histogram")?, bytes: 0 };
    let mut answers = [none.clone(), none];
    let mut due = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        for (path, answers) in PATHS.iter().zip(&mut answers) {
            let from = Instant::now();
            let request = client.get(format!("{}{path}", site.base()));
            let request = match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            };
            let bytes = runtime.block_on(async {
                let answer = request.send().await?;
                ensure!(answer.status().is_success(), "{path}: {}", answer.status());
                Ok(answer.bytes().await?.len())
            })?;
            answers.times_us.record(from.elapsed().as_micros() as u64)?;
            answers.bytes = answers.bytes.max(bytes);
        }
        due += interval;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(answers)
}

/// How late packets are in one of the measurements. Latency ends when the kernel takes a packet in.
#[derive(Clone, Copy, Debug, Serialize)]
struct Lateness {
    scraped: bool,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    p9999_us: f64,
    max_us: f64,
    lost_server: u64,
}

impl Lateness {
    fn of(window: &Window, scraped: bool) -> Self {
        let [p50_us, p99_us, p999_us, p9999_us, max_us] =
            [0.5, 0.99, 0.999, 0.9999, 1.0].map(|quantile| quantile_us(window, quantile));
        Self { scraped, p50_us, p99_us, p999_us, p9999_us, max_us, lost_server: window.lost_server() }
    }
}

/// What a path answered, and how fast.
#[derive(Clone, Debug, Serialize)]
struct AnswerFigures {
    path: &'static str,
    times: u64,
    bytes: usize,
    #[serde(flatten)]
    answer: Quantiles,
}

/// Scrapes beside the media.
#[derive(Clone, Debug, Serialize)]
pub struct ScrapeFigures {
    answers: Vec<AnswerFigures>,
    /// Without, with, with, without.
    windows: [Lateness; 4],
    /// CPU time of the server's workers for one scrape of both paths, beyond what the media cost without, in
    /// milliseconds.
    worker_cpu_ms: Option<f64>,
}

impl ScrapeFigures {
    /// Has the two windows in the middle measured beside scrapes, the two around them without.
    ///
    /// # Errors
    /// What `measure` says, or the server does not answer.
    pub fn measure(
        start: impl Fn() -> anyhow::Result<Scraper>,
        first: &Window,
        mut measure: impl FnMut(&str) -> anyhow::Result<Window>,
    ) -> anyhow::Result<Self> {
        let scraper = start()?;
        let with = [measure("media beside scrapes")?, measure("once more")?];
        let answers = scraper.finish()?;
        let last = measure("media alone, after")?;
        let [one, other] = &with;
        let scrapes = answers[0].times_us.len().max(1) as f64;
        let added = added_cpu_ns(first, one).zip(added_cpu_ns(&last, other)).map(|(one, other)| one + other);
        let figures = PATHS.iter().zip(&answers).map(|(path, of)| AnswerFigures {
            path,
            times: of.times_us.len(),
            bytes: of.bytes,
            answer: Quantiles::of(&of.times_us),
        });
        Ok(Self {
            answers: figures.collect(),
            windows: [
                Lateness::of(first, false),
                Lateness::of(one, true),
                Lateness::of(other, true),
                Lateness::of(&last, false),
            ],
            worker_cpu_ms: added.map(|ns| rounded(ns / 1e6 / scrapes, 3)),
        })
    }

    /// Prints them.
    pub fn print(&self) {
        for of in &self.answers {
            println!(
                "{}: {} answers of up to {} bytes, p50 {}, p99 {}, longest {}",
                of.path,
                grouped(of.times),
                grouped(of.bytes as u64),
                duration(of.answer.p50_us as f64 * 1e3),
                duration(of.answer.p99_us as f64 * 1e3),
                duration(of.answer.max_us as f64 * 1e3)
            );
        }
        let mut lateness = table(["latency", "p50", "p99", "p99.9", "p99.99", "longest", "lost by the server"]);
        for window in &self.windows {
            let name = if window.scraped { "with scrapes" } else { "without" };
            let times = [window.p50_us, window.p99_us, window.p999_us, window.p9999_us, window.max_us];
            let times = times.map(|us| duration(us * 1e3));
            lateness.add_row([name.to_owned()].into_iter().chain(times).chain([grouped(window.lost_server)]));
        }
        println!("{lateness}");
        if let Some(ms) = self.worker_cpu_ms {
            println!("CPU of the worker for a scrape: {ms:.2} ms");
        }
    }
}
