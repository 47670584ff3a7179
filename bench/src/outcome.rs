//! What a measurement with the floor on both sides of it says, to people, to programs and as a picture.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use corecast_wire::Io;

use crate::crypto::Crypto;
use crate::floor::{Floor, Gather};
use crate::floor_table::MAX_STEAL_PCT;
use crate::generator::{Generator, Load, SOUND_BYTES, SOUND_PPS, Shape, Timing, Window};
use crate::plot::{self, Series};
use crate::progress::Progress;
use crate::report::{Figures, duration, grouped, rounded, table};
use crate::target::{Target, WorkerSetup};

/// The ratio to the floor says something only while trains are equally long within this part.
const MAX_TRAIN_DIFFERENCE: f64 = 0.05;
const FLOOR_SECONDS: Duration = Duration::from_secs(5);
/// The generator's core.
pub const GENERATOR_CORE: u32 = 0;

impl Load {
    /// What was measured, in a few words.
    #[must_use]
    pub fn title(&self, io: Io) -> String {
        let pictures = format!("{} pps each, payload {}, {:?}", self.pps, self.payload, self.profile);
        let sound = format!("a meeting of {}: sound ({SOUND_PPS} pps, payload {SOUND_BYTES})", self.publishers);
        let media = match self.shape {
            Shape::Broadcast if self.publishers == 1 => {
                format!("1 publisher × {} subscribers, {pictures}", self.subscribers)
            }
            Shape::Broadcast => {
                format!("{} publishers × {} subscribers, {pictures}", self.publishers, self.subscribers)
            }
            Shape::Meeting { pictures: true } => format!("{sound} and pictures ({pictures})"),
            Shape::Meeting { pictures: false } => sound,
        };
        format!(
            "{media}, {}, {}, {} UDP_GRO",
            self.crypto.name(),
            crate::args::io_name(io),
            if self.gro { "with" } else { "without" },
        )
        .to_lowercase()
        .replace("udp_gro", "UDP_GRO")
    }
}

/// How something is measured.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// What is sent, and to how many.
    pub load: Load,
    /// How the worker runs, and the floor in its place.
    pub setup: WorkerSetup,
    /// Before what is measured.
    pub warm_up: Duration,
    /// What is measured.
    pub measured: Duration,
    /// Times that a run is repeated from whose time the hypervisor took too much.
    pub retries: u32,
    /// Where to say how it goes.
    pub progress: &'a Progress,
}

impl Run<'_> {
    /// Cores and times of a measurement.
    #[must_use]
    pub const fn timing(&self) -> Timing {
        Timing { warm_up: self.warm_up, measured: self.measured, cores: [GENERATOR_CORE, self.setup.core] }
    }

    /// Measures, and measures again if the hypervisor took too much time away.
    ///
    /// # Errors
    /// What `measure` says.
    pub fn attempt(
        &self,
        what: &str,
        measure: impl FnMut(&mut dyn FnMut(Duration)) -> anyhow::Result<Window>,
    ) -> anyhow::Result<Window> {
        self.progress.step(what);
        self.part(what, measure)
    }

    /// The same as a part of a step.
    ///
    /// # Errors
    /// What `measure` says.
    pub fn part(
        &self,
        what: &str,
        mut measure: impl FnMut(&mut dyn FnMut(Duration)) -> anyhow::Result<Window>,
    ) -> anyhow::Result<Window> {
        let mut repeated = 0;
        loop {
            let mut show = |done| self.progress.within(what, done, self.measured);
            let window = measure(&mut show).with_context(|| what.to_owned())?;
            if window.steal_pct <= MAX_STEAL_PCT || repeated >= self.retries {
                return Ok(window);
            }
            repeated += 1;
            let note = format!("{what}: the hypervisor took {:.1} % of the time; once more", window.steal_pct);
            self.progress.note(&note);
        }
    }

    /// Measures a target that is started again for every attempt.
    ///
    /// # Errors
    /// It cannot be started or measured.
    pub fn target<T: Target>(&self, what: &str, start: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<Window> {
        self.attempt(what, |show| {
            let mut target = start()?;
            Generator::connect(&self.load, &mut target)?.measure(&mut target, self.timing(), show)
        })
    }

    /// Measures the floor.
    ///
    /// # Errors
    /// It cannot be started or measured.
    pub fn floor(&self, what: &str) -> anyhow::Result<Window> {
        // The floor opens nothing, so it gets plain RTP; what leaves is encrypted alike.
        let load = Load { publisher_crypto: Crypto::None, ..self.load };
        let shorter = Self { load, measured: self.measured.min(FLOOR_SECONDS), ..*self };
        shorter.target(what, || Floor::start(self.setup, Gather::Coalesced(self.setup.coalesce)))
    }
}

/// One measurement with the floor on both sides of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was measured.
    pub window: Window,
    /// The floor's, before and after; or none.
    pub floors: Vec<Window>,
    /// The driver.
    pub io: Io,
    /// What the worker says that the operator should change.
    pub warnings: Vec<String>,
}

fn mean(floors: &[Window], value: impl Fn(&Window) -> Option<f64>) -> Option<f64> {
    let values: Vec<_> = floors.iter().map(value).collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// A quantile of latency, in microseconds.
#[must_use]
pub fn quantile_us(window: &Window, quantile: f64) -> f64 {
    rounded(window.latency.value_at_quantile(quantile) as f64 / 1e3, 1)
}

impl Outcome {
    /// The figures, as JSON has them.
    #[must_use]
    pub fn figures(&self, load: &Load) -> Figures {
        let window = &self.window;
        let floor_ns = mean(&self.floors, Window::cpu_ns_per_packet);
        let (train, floor_train) = (window.train_mean(), mean(&self.floors, Window::train_mean));
        let comparable =
            (train.zip(floor_train)).is_some_and(|(ours, floor)| (ours / floor - 1.0).abs() <= MAX_TRAIN_DIFFERENCE);
        let ratio = window.cpu_ns_per_packet().zip(floor_ns).map(|(ours, floor)| ours / floor).filter(|_| comparable);
        let received = window.arrivals.packets;
        Figures {
            sent: window.sent,
            expected: window.expected,
            received,
            lost: window.lost(),
            lost_server: window.lost_server(),
            lost_receiver: window.lost_receiver,
            loss_pct: rounded(100.0 * window.lost() as f64 / window.expected.max(1) as f64, 4),
            fwd_pps: rounded(received as f64 / window.seconds, 0),
            p50_us: quantile_us(window, 0.5),
            p99_us: quantile_us(window, 0.99),
            p999_us: quantile_us(window, 0.999),
            max_us: rounded(window.latency.max() as f64 / 1e3, 1),
            cpu_ns_per_packet: window.cpu_ns_per_packet().map(|ns| rounded(ns, 1)),
            floor_ns_per_packet: floor_ns.map(|ns| rounded(ns, 1)),
            ratio_to_floor: ratio.map(|ratio| rounded(ratio, 3)),
            train_mean: train.map(|mean| rounded(mean, 3)),
            floor_train_mean: floor_train.map(|mean| rounded(mean, 3)),
            floor_p99_us: mean(&self.floors, |floor| Some(quantile_us(floor, 0.99))).map(|us| rounded(us, 1)),
            steal_pct: rounded(window.steal_pct, 2),
            io: crate::args::io_name(self.io).to_owned(),
            crypto: load.crypto.name().to_owned(),
            subscribers: load.subscribers,
            publishers: load.publishers,
        }
    }

    /// Draws the distribution of latency.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn draw(&self, title: &str, path: &Path) -> anyhow::Result<()> {
        let mut floor: Option<hdrhistogram::Histogram<u64>> = None;
        for window in &self.floors {
            match &mut floor {
                None => floor = Some(window.latency.clone()),
                Some(sum) => sum.add(&window.latency)?,
            }
        }
        let mut series = vec![Series { name: "corecast", latency: &self.window.latency }];
        series.extend(floor.as_ref().map(|latency| Series { name: "floor", latency }));
        plot::draw(path, title, &series).with_context(|| path.display().to_string())
    }

    /// Prints the table.
    pub fn print(&self, title: &str, figures: &Figures) {
        let window = &self.window;
        println!("{title}");
        let mut header = table(["", "corecast", "floor before", "floor after"]);
        let mut row = |name: &str, value: &dyn Fn(&Window) -> String| {
            let floors = self.floors.iter().map(value);
            header.add_row([name.to_owned(), value(window)].into_iter().chain(floors));
        };
        let number =
            |value: Option<f64>, places: usize| value.map_or_else(|| "-".into(), |value| format!("{value:.places$}"));
        row("CPU per packet sent, ns", &|of| number(of.cpu_ns_per_packet(), 0));
        row("packets per train", &|of| number(of.train_mean(), 2));
        row("forwarded per second", &|of| grouped((of.arrivals.packets as f64 / of.seconds) as u64));
        for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("longest", 1.0)] {
            row(&format!("latency {name}"), &|of| duration(of.latency.value_at_quantile(quantile) as f64));
        }
        row("lost by the server", &|of| grouped(of.lost_server()));
        row("lost by subscribers' sockets", &|of| grouped(of.lost_receiver));
        row("compared byte by byte", &|of| grouped(of.arrivals.compared));
        row("generator late by at most", &|of| duration(of.latest_send_ns as f64));
        row("steal, %", &|of| format!("{:.1}", of.steal_pct));
        println!("{header}");
        match (figures.ratio_to_floor, figures.floor_ns_per_packet) {
            (Some(ratio), _) => println!("ratio to floor: {ratio:.2}"),
            (None, Some(_)) => println!("ratio to floor: invalid, the trains differ by more than 5 percent"),
            (None, None) => {}
        }
        if window.arrivals.repeated + window.arrivals.reordered > 0 {
            println!("repeated: {}, reordered: {}", window.arrivals.repeated, window.arrivals.reordered);
        }
        for (name, packets) in &window.counters.discards {
            println!("the server discarded {} packets: {name}", grouped(*packets));
        }
        for warning in &self.warnings {
            println!("the worker warns: {warning}");
        }
    }
}
