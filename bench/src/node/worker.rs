//! A worker that mediasoup's Node library has started, in a process of its own, as a target.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use corecast_wire::SrtpParameters;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::outcome::GENERATOR_CORE;
use crate::packet::FIRST_SSRC;
use crate::subscribers::Promised;
use crate::target::{Counters, Peer, Plan, Route, Target};

/// What speaks to the library.
const DRIVER: &str = include_str!("driver.mjs");
/// What measures the calls of WebRTC viewers.
const JOINS: &str = include_str!("joins.mjs");

/// How long calls of the library took, in microseconds.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Calls {
    pub(super) create: Vec<f64>,
    pub(super) connect: Vec<f64>,
    pub(super) consume: Vec<f64>,
}

impl Calls {
    /// Takes in how long others took.
    pub(super) fn add(&mut self, others: Self) {
        self.create.extend(others.create);
        self.connect.extend(others.connect);
        self.consume.extend(others.consume);
    }
}

#[derive(Deserialize)]
struct Started {
    pid: u32,
}

#[derive(Deserialize)]
struct Connected {
    publish_to: Vec<u16>,
    subscribed: Vec<Subscribed>,
    took: Calls,
}

#[derive(Deserialize)]
struct Subscribed {
    port: u16,
    /// In base64; none for plain RTP.
    key: Option<String>,
    promised: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    publisher: usize,
    ssrc: u32,
    payload_type: u8,
}

#[derive(Deserialize)]
struct Counted {
    sent: u64,
}

/// The worker, and Node beside it.
#[derive(Debug)]
pub(super) struct NodeWorker {
    node: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    /// Process id of the worker.
    pid: u32,
    /// What it has used to tell what it has done.
    asked: Duration,
    /// How long the calls took that made its transports.
    calls: Calls,
}

impl NodeWorker {
    /// Has Node start this worker, and pins it.
    ///
    /// # Errors
    /// Node, the library or the worker is not there.
    pub(super) fn start(worker: &Path, modules: &Path, core: u32) -> anyhow::Result<Self> {
        let mut node = node(modules, core, DRIVER)?
            .env("MEDIASOUP_WORKER_BIN", found(worker)?)
            .env("CORECAST_WORKER_CORES", core.to_string())
            .spawn()
            .context("taskset, node")?;
        let to = node.stdin.take().context("Node's input")?;
        let from = BufReader::new(node.stdout.take().context("Node's output")?);
        let mut this = Self { node, to, from, pid: 0, asked: Duration::ZERO, calls: Calls::default() };
        let Started { pid } = this.answer()?;
        this.pid = pid;
        // mediasoup does not pin its worker.
        let pinned = Command::new("taskset").args(["-apc", &core.to_string(), &pid.to_string()]).output();
        ensure!(pinned.context("taskset")?.status.success(), "the worker cannot be pinned to core {core}");
        Ok(this)
    }

    /// How long the calls took that made its transports.
    pub(super) const fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Resident memory of the worker.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.pid);
        let text = std::fs::read_to_string(&path).context(path)?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS")?;
        Ok(kib * 1_024)
    }

    /// Time on a core of all its threads, so far.
    fn cpu(&self) -> anyhow::Result<Duration> {
        let path = format!("/proc/{}/task", self.pid);
        let mut ns = 0;
        for thread in std::fs::read_dir(&path).context(path)? {
            let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            ns += text.split_ascii_whitespace().next().and_then(|ns| ns.parse::<u64>().ok()).context("schedstat")?;
        }
        Ok(Duration::from_nanos(ns))
    }

    fn ask<T: for<'a> Deserialize<'a>>(&mut self, request: &Value) -> anyhow::Result<T> {
        writeln!(self.to, "{request}").context("Node has ended")?;
        self.answer()
    }

    fn answer<T: for<'a> Deserialize<'a>>(&mut self) -> anyhow::Result<T> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        ensure!(!line.is_empty(), "Node has ended");
        serde_json::from_str(&line).with_context(|| format!("Node's answer: {line}"))
    }
}

impl Drop for NodeWorker {
    fn drop(&mut self) {
        // Both fail only if it has ended already. The worker ends with its channel.
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

/// Node with this program, in the folder whose `node_modules` has the library. It is written to and read.
fn node(modules: &Path, core: u32, program: &str) -> anyhow::Result<Command> {
    let library = modules.join("node_modules/mediasoup");
    ensure!(library.exists(), "{} is not there: npm i mediasoup --ignore-scripts, or --modules", library.display());
    // Not on the generator's core alone, which is what it would inherit.
    let cores = format!("{GENERATOR_CORE},{core}");
    let mut node = Command::new("taskset");
    node.args(["-c", &cores, "node", "--input-type=module", "--eval", program]).current_dir(modules);
    node.stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(node)
}

/// The path of a worker from any folder.
fn found(worker: &Path) -> anyhow::Result<PathBuf> {
    worker.canonicalize().with_context(|| worker.display().to_string())
}

/// Has Node make WebRTC transports for so many viewers with each of these workers in turn, beginning with the `first`:
/// how long the calls took with each. The workers are on this core if they are to be pinned, and else, as Node is, on
/// it or on the generator's.
///
/// # Errors
/// Node, the library or a worker is not there, or a worker refuses.
pub(super) fn join(
    workers: &[&Path],
    modules: &Path,
    (core, pinned): (u32, bool),
    (viewers, first): (u32, u32),
) -> anyhow::Result<Vec<Calls>> {
    let workers = workers.iter().map(|path| found(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut node = node(modules, core, JOINS)?;
    let core = pinned.then(|| core.to_string());
    if let Some(core) = &core {
        node.env("CORECAST_WORKER_CORES", core);
    }
    let mut node = node.spawn().context("taskset, node")?;
    let request = json!({ "workers": workers, "viewers": viewers, "first": first, "core": core });
    write!(node.stdin.take().context("Node's input")?, "{request}").context("Node has ended")?;
    let output = node.wait_with_output()?;
    ensure!(output.status.success(), "Node: {}", output.status);
    serde_json::from_slice(&output.stdout).context("Node's answer")
}

fn peer(peer: &Peer) -> Value {
    let suite = peer.key.as_ref().map(|key| key.suite.name());
    let key = peer.key.as_ref().map(|key| BASE64_STANDARD.encode(&key.key_and_salt));
    json!({ "ip": peer.address.ip(), "port": peer.address.port(), "suite": suite, "key": key })
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

impl Target for NodeWorker {
    fn connect(&mut self, plan: &Plan) -> anyhow::Result<Route> {
        let publishers = (FIRST_SSRC..).zip(&plan.publishers);
        let publishers = publishers
            .map(|(ssrc, of)| json!({ "peer": peer(&of.peer), "video": of.video, "ssrc": ssrc }))
            .collect::<Vec<_>>();
        let subscribers = plan.subscribers.iter().enumerate().map(|(index, of)| {
            let streams: Vec<_> = plan.streams_of(index).map(|(publisher, _)| publisher).collect();
            json!({ "peer": peer(of), "streams": streams })
        });
        let subscribers: Vec<_> = subscribers.collect();
        let request = json!({ "connect": { "publishers": publishers, "subscribers": subscribers } });
        let Connected { publish_to, subscribed, took } = self.ask(&request)?;
        self.calls = took;
        let mut route = Route { publish_to: publish_to.into_iter().map(local).collect(), ..Route::default() };
        for Subscribed { port, key, promised } in subscribed {
            route.send_from.push(local(port));
            let promised = promised.into_iter().map(|Stream { publisher, ssrc, payload_type }| Promised {
                publisher,
                ssrc,
                payload_type,
            });
            route.promised.push(promised.collect());
            let key = key.zip(plan.crypto.suite()).map(|(key, suite)| {
                let key_and_salt = BASE64_STANDARD.decode(key).context("a key in base64")?;
                anyhow::Ok(SrtpParameters { suite, key_and_salt })
            });
            route.keys.push(key.transpose()?);
        }
        Ok(route)
    }

    fn counters(&mut self) -> anyhow::Result<Counters> {
        // Asking costs the worker time, which is not that of forwarding.
        let before = self.cpu()?;
        let Counted { sent } = self.ask(&json!({}))?;
        let cpu = before - self.asked;
        self.asked += self.cpu()? - before;
        Ok(Counters { cpu: Some(cpu), packets_sent: sent, ..Counters::default() })
    }
}
