//! How a worker is measured, whatever it forwards.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use corecast_wire::{Coalesce, Executor, Io, Sandbox};

use crate::calls::launch::Launched;
use crate::cpu;
use crate::crypto::Crypto;
use crate::generator::{Load, Shape, Window};
use crate::http::Server;
use crate::outcome::{GENERATOR_CORE, Outcome, Run};
use crate::plot;
use crate::progress::Progress;
use crate::schedule::{Payload, Profile};
use crate::site::{Named, Site};
use crate::target::{SOUND_WAIT_US, WorkerSetup};
use crate::worker::LinkedWorker;

/// What each publisher sends; in a meeting, of pictures.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// Packets per second.
    pub pps: u32,
    /// How they are spread over time.
    pub profile: Profile,
    /// How long they are.
    pub payload: Payload,
}

/// How a worker is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Setting {
    /// How packets are encrypted, in both directions
    #[arg(long, value_enum, default_value = "gcm128")]
    crypto: Crypto,
    /// The worker's driver: auto, uring or syscalls
    #[arg(long, default_value = "auto", value_parser = crate::args::io, conflicts_with = "target")]
    io: Io,
    /// What runs the worker's loop: glommio or thread
    #[arg(long, default_value = "glommio", value_parser = crate::args::executor, conflicts_with = "target")]
    executor: Executor,
    /// Whether the worker waits a moment for more datagrams: auto, off or microseconds
    #[arg(long, default_value = "auto", value_parser = crate::args::coalesce, conflicts_with = "target")]
    coalesce: Coalesce,
    /// Most that a packet of sound waits to leave together with others, in microseconds
    #[arg(long, default_value_t = SOUND_WAIT_US, conflicts_with = "target")]
    #[arg(value_parser = clap::value_parser!(u32).range(..=20_000))]
    sound_wait: u32,
    /// Whether the worker gives up what it does not need: on, log or off
    #[arg(long, default_value = "on", value_parser = crate::args::sandbox, conflicts_with = "target")]
    sandbox: Sandbox,
    /// Subscribers receive with UDP_GRO
    #[arg(long)]
    gro: bool,
    /// Seconds that are measured
    #[arg(long, default_value_t = 10.0, value_parser = crate::args::seconds)]
    seconds: f64,
    /// Seconds before, which are not measured
    #[arg(long, default_value_t = 1.0, value_parser = crate::args::seconds)]
    warm_up: f64,
    /// Core of the worker; by default the last one. This program itself runs on core 0
    #[arg(long)]
    worker_core: Option<u32>,
    #[command(flatten)]
    named: Named,
    /// Times that a run is repeated from whose time the hypervisor took more than 2 percent
    #[arg(long, default_value_t = 3)]
    retries: u32,
    /// For the publishers' phases and the sizes of frames
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Draw the distribution of latency into this file (.svg)
    #[arg(long, value_name = "FILE", value_parser = plot::file)]
    pub plot: Option<PathBuf>,
    /// Print one line of JSON
    #[arg(long)]
    pub json: bool,
}

impl Setting {
    /// Whether subscribers receive with `UDP_GRO`.
    #[must_use]
    pub const fn gro(&self) -> bool {
        self.gro
    }

    /// For what measures workers that it starts itself.
    ///
    /// # Errors
    /// A server is named.
    pub fn refuse_target(&self) -> anyhow::Result<()> {
        let why =
            "--target: this measures workers that it starts itself, in ways in which no server runs them: leave it out";
        anyhow::ensure!(!self.named.is_given(), why);
        Ok(())
    }

    /// Starts a server of our own, unless another one is to be measured. Call this before the thread is pinned.
    ///
    /// # Errors
    /// It does not start.
    pub fn launch(&self) -> anyhow::Result<Option<Launched>> {
        if self.named.is_given() {
            return Ok(None);
        }
        let core = self.worker_core.map_or_else(cpu::last_core, Ok)?;
        Launched::start(core, self.io, self.coalesce).map(Some)
    }

    /// The server that is measured.
    ///
    /// # Errors
    /// The file of certificates cannot be used, or there is no server.
    pub fn site(&self, launched: Option<&Launched>) -> anyhow::Result<Site> {
        self.named.site()?.or_else(|| launched.map(|of| of.site().clone())).context("a server")
    }

    /// A load of streams like `stream`, between so many.
    #[must_use]
    pub const fn load(&self, shape: Shape, (publishers, subscribers): (u16, usize), stream: &Stream) -> Load {
        Load {
            shape,
            publishers,
            subscribers,
            pps: stream.pps,
            profile: stream.profile,
            payload: stream.payload,
            loudest: 0,
            crypto: self.crypto,
            publisher_crypto: self.crypto,
            gro: self.gro,
            seed: self.seed,
            ip: Ipv4Addr::LOCALHOST,
        }
    }

    /// Measures a load, with the floor on both sides of it if that is asked for.
    ///
    /// # Errors
    /// Something could not be measured, or a subscriber got what it should not have.
    pub fn measure(&self, load: Load, with_floor: bool) -> anyhow::Result<Outcome> {
        self.prepared(load, if with_floor { 3 } else { 1 }, |run, warnings| {
            let mut floors = Vec::new();
            if with_floor {
                floors.push(run.floor("the floor, before")?);
            }
            let window = self.window(run)?;
            if with_floor {
                floors.push(run.floor("the floor, after")?);
            }
            Ok(Outcome { window, floors, io: run.setup.io, warnings })
        })
    }

    /// Measures things with one load, so many steps of it.
    ///
    /// # Errors
    /// What `measure` says.
    pub fn measure_beside<T>(
        &self,
        load: Load,
        steps: u64,
        measure: impl FnOnce(&Run<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.prepared(load, steps, |run, _| measure(run))
    }

    fn prepared<T>(
        &self,
        load: Load,
        steps: u64,
        measure: impl FnOnce(&Run<'_>, Vec<String>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let core = self.worker_core.map_or_else(cpu::last_core, Ok)?;
        cpu::pin(GENERATOR_CORE)?;
        let progress = Progress::new(steps);
        let setup = WorkerSetup {
            core,
            io: self.io,
            executor: self.executor,
            coalesce: self.coalesce,
            sound_wait_us: self.sound_wait,
            sandbox: self.sandbox,
        };
        let (io, warnings) = self.drivers(setup)?;
        let run = Run {
            load,
            setup: WorkerSetup { io, ..setup },
            warm_up: Duration::from_secs_f64(self.warm_up),
            measured: Duration::from_secs_f64(self.seconds),
            retries: self.retries,
            progress: &progress,
        };
        let measured = measure(&run, warnings)?;
        progress.finish();
        Ok(measured)
    }

    /// Measures a worker of our own, or the server that is named, with the run's load.
    ///
    /// # Errors
    /// It could not be measured, or a subscriber got what it should not have.
    pub fn window(&self, run: &Run<'_>) -> anyhow::Result<Window> {
        match &self.named.site()? {
            Some(site) => run.target(site.base(), || Server::reach(site)),
            None => run.target("the worker", || LinkedWorker::start(run.setup)),
        }
    }

    /// The driver that is going to run, and what is to be said about it. The floor runs on the same one, and a refusal
    /// shows at once.
    fn drivers(&self, setup: WorkerSetup) -> anyhow::Result<(Io, Vec<String>)> {
        if let Some(site) = &self.named.site()? {
            return Ok((Server::reach(site)?.io()?, Vec::new()));
        }
        let probe = LinkedWorker::start(setup)?;
        Ok((probe.io(), probe.warnings().to_vec()))
    }
}
