//! `corecast-bench soak`: a server under load for hours, on which viewers and rooms come and go. What it holds, memory,
//! descriptors, threads, objects and timers, must stay what it was.

mod picture;
mod samples;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use corecast_wire::{Coalesce, Io};
use serde::Serialize;

use self::samples::{Growth, Sample, growth};
use crate::calls::joins::{Joiner, Joins, Stay};
use crate::calls::launch::Launched;
use crate::clock::Clock;
use crate::crypto::Crypto;
use crate::generator::{Ends, Generator};
use crate::http::Server;
use crate::outcome::GENERATOR_CORE;
use crate::publishers::Publisher;
use crate::schedule::{Payload, Profile, Source};
use crate::subscribers::Subscribers;
use crate::webrtc::sdp::Kind;
use crate::{cpu, plot};

/// Packets per second of each publisher.
const PPS: u32 = 100;
const PAYLOAD_BYTES: usize = 1_000;
/// Viewers that come to stay, per second.
const JOINS_PER_SECOND: f64 = 10.0;

/// What is tried, and for how long.
#[derive(Clone, Debug, clap::Args)]
pub struct SoakArgs {
    /// Hours that it goes on
    #[arg(long, default_value_t = 24.0, value_parser = hours)]
    hours: f64,
    /// How many publish all the time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    publishers: u16,
    /// How many watch each of them all the time
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    subscribers: u32,
    /// Viewers that come and leave again in each interval
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    guests: u32,
    /// Rooms that are made and closed again in each interval, with a transport each
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(..=1_000))]
    rooms: u32,
    /// Seconds from one look at the server to the next
    #[arg(long, default_value_t = 10.0, value_parser = crate::args::seconds)]
    interval: f64,
    /// Driver of the server: auto, uring or syscalls
    #[arg(long, default_value = "auto", value_parser = crate::args::io)]
    io: Io,
    /// Draw what it held into this file (.svg)
    #[arg(long, value_name = "FILE", value_parser = plot::file)]
    plot: Option<PathBuf>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

fn hours(text: &str) -> Result<f64, String> {
    let hours = text.parse().ok().filter(|hours| (0.01..=1_000.0).contains(hours));
    hours.ok_or_else(|| "give hours, from 0.01 to 1000".into())
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Figures<'a> {
    hours: f64,
    guests: u64,
    failed: u64,
    growth: &'a [Growth],
    samples: &'a [Sample],
}

/// Runs the subcommand.
///
/// # Errors
/// The server dies, refuses somebody, or holds more and more.
pub fn run(args: &SoakArgs) -> anyhow::Result<()> {
    let launched = Launched::start_with(cpu::last_core()?, args.io, Coalesce::Auto, &[("--rooms-idle", "5s")])?;
    cpu::pin(GENERATOR_CORE)?;
    let server = Server::reach(launched.site())?;
    let suite = Crypto::Gcm128.suite().context("a suite")?;
    let joiner = Joiner::new(launched.site(), server.room(), None, suite, Kind::Video)?;
    let mut soak = Soak::begin(args, &launched, &server, &joiner)?;
    soak.go_on()?;
    let Soak { samples, guests, failed, mut generator, .. } = soak;
    let unknown = joiner.leave(generator.dissolve());
    let growth = growth(&samples);
    if let Some(path) = &args.plot {
        picture::draw(path, &format!("{} guests in {:.2} h", guests, args.hours), &samples)?;
    }
    if args.json {
        let figures = Figures { hours: args.hours, guests, failed, growth: &growth, samples: &samples };
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        println!("{guests} guests and {} looks in {:.2} h; {failed} guests could not join", samples.len(), args.hours);
        growth.iter().for_each(|growth| println!("{growth}"));
    }
    ensure!(unknown == 0, "{unknown} who had watched all the time were unknown to the server at the end");
    // A busy machine lets some come too late; more than that is the server.
    ensure!(failed * 100 <= guests, "{failed} of {guests} guests could not join");
    let grown: Vec<_> = growth.iter().filter(|growth| growth.is_too_much()).map(ToString::to_string).collect();
    ensure!(grown.is_empty(), "it holds more and more: {}", grown.join("; "));
    Ok(())
}

struct Soak<'a> {
    args: &'a SoakArgs,
    launched: &'a Launched,
    server: &'a Server,
    joiner: &'a Joiner,
    generator: Generator,
    samples: Vec<Sample>,
    guests: u64,
    failed: u64,
}

impl<'a> Soak<'a> {
    /// Has publishers and those join who stay.
    fn begin(
        args: &'a SoakArgs,
        launched: &'a Launched,
        server: &'a Server,
        joiner: &'a Joiner,
    ) -> anyhow::Result<Self> {
        let (clock, mut publishers) = (Clock::default(), Vec::new());
        for number in 0..args.publishers {
            let session = joiner.publish(number).with_context(|| format!("publisher {number} cannot join"))?;
            let payload = Payload::Fixed(PAYLOAD_BYTES);
            let source = Source::new(Profile::Pacer, payload, PPS, 0, number.into()).key_frames_on_demand();
            let publisher = Publisher::joined(number, source, session.into_parts(), clock.now_ns())?;
            publishers.push(publisher.with_payload_type(joiner.payload_type()));
        }
        let subscribers = Subscribers::new(Vec::new(), false, std::net::Ipv4Addr::LOCALHOST)?;
        let mut generator = Generator::between(Ends::new(clock, publishers, subscribers), 1);
        let total = u64::from(args.subscribers) * u64::from(args.publishers);
        let mut joins = Joins::new(joiner, args.publishers.into(), total, JOINS_PER_SECOND, Stay::ForGood)?;
        generator.run(&mut joins)?;
        let setups = joins.into_setups();
        ensure!(setups.joined == total, "not all who are to stay can join: {:?}", setups.failures);
        // On a busy machine media becomes too old to be sent.
        generator.expect_gaps_closed();
        Ok(Self { args, launched, server, joiner, generator, samples: Vec::new(), guests: 0, failed: 0 })
    }

    /// Interval by interval: guests come and leave beside the media, rooms are made and closed, and the server is
    /// looked at.
    fn go_on(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let until = Duration::from_secs_f64(self.args.hours * 3_600.0);
        let per_second = f64::from(self.args.guests) / self.args.interval;
        while began.elapsed() < until {
            let publishers = self.args.publishers.into();
            let mut joins = Joins::new(self.joiner, publishers, self.args.guests.into(), per_second, Stay::Not)?;
            self.generator.run(&mut joins)?;
            let setups = joins.into_setups();
            self.guests += setups.joined + setups.failed();
            self.failed += setups.failed();
            for _ in 0..self.args.rooms {
                Server::reach(self.launched.site())?.visit()?;
            }
            let sample = Sample::take(self.launched, self.server, began.elapsed())?;
            eprintln!("{sample}");
            self.samples.push(sample);
        }
        Ok(())
    }
}
