//! What the operator may set, and from where: a flag wins over an environment variable, that over the file, that over
//! the default. Owns the names; starts nothing.

mod access;
mod cascade;
mod ends;
mod http;
mod renew;
mod role;
mod telling;
mod url;
mod webhooks;
mod webrtc;
mod words;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser};
use corecast_wire::Io;
use serde::{Deserialize, Serialize};

use crate::settings::{
    CoalesceSetting, ExecutorSetting, HugePagesSetting, IceServer, IoSetting, Isolation, ListenIp, Network, Placement,
    PortRange, Redundancy, SandboxSetting, SoundWait, Span, Workers, in_words, wanted,
};

use access::{Access, Admin, Jwt};
pub(crate) use cascade::Cascade;
pub(crate) use ends::{Drain, Failover, Restart};
pub(crate) use http::Http;
pub(crate) use role::{Api, Ctl, Media, Role, Top, Wish};
pub(crate) use telling::Telemetry;
use telling::{Log, UsageLog};
pub(crate) use webhooks::Webhooks;
pub(crate) use webrtc::{Dtls, Limits, Sctp};

/// Most that a worker can weigh.
const MAX_WEIGHT: u32 = 100;
/// Files that are read when `--config` names none; the first that exists.
const DEFAULT_FILES: [&str; 2] = ["corecast.toml", "/etc/corecast.toml"];

/// The effective settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) workers: Workers,
    pub(crate) isolation: Isolation,
    pub(crate) io: IoSetting,
    pub(crate) executor: ExecutorSetting,
    pub(crate) coalesce: CoalesceSetting,
    pub(crate) sound_wait: SoundWait,
    pub(crate) gro: Gro,
    pub(crate) huge_pages: HugePagesSetting,
    pub(crate) sandbox: SandboxSetting,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) test_hooks: bool,
    pub(crate) http: Http,
    pub(crate) admin: Admin,
    pub(crate) api: Access,
    pub(crate) jwt: Jwt,
    pub(crate) rtc: Rtc,
    pub(crate) dtls: Dtls,
    pub(crate) sctp: Sctp,
    pub(crate) whip: Access,
    pub(crate) whep: Access,
    pub(crate) webhooks: Webhooks,
    pub(crate) cascade: Cascade,
    pub(crate) limits: Limits,
    pub(crate) rooms: Rooms,
    pub(crate) worker: WorkerWatch,
    pub(crate) usage: UsageLog,
    pub(crate) failover: Failover,
    pub(crate) restart: Restart,
    pub(crate) drain: Drain,
    pub(crate) log: Log,
    pub(crate) telemetry: Telemetry,
}

/// Receive with `UDP_GRO`; on unless turned off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Gro(pub(crate) bool);

impl Default for Gro {
    fn default() -> Self {
        Self(true)
    }
}

/// Media sockets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rtc {
    /// A plain transport listens on the first of these unless its creation names another, WebRTC on all. Empty: on
    /// 127.0.0.1, WebRTC also on the machine's first other address (Firefox does not connect to loopback).
    pub(crate) listen_ips: Vec<ListenIp>,
    /// WebRTC's port of the first worker, UDP and TCP; the next worker has the next port. 0 for no WebRTC.
    pub(crate) webrtc_port: u16,
    /// Take WebRTC over TCP as well.
    pub(crate) tcp: bool,
    /// A WebRTC session whose client has not been heard of for this long is ended.
    pub(crate) consent_timeout: Span,
    /// A WebRTC session that is not connected after this long is ended.
    pub(crate) connect_timeout: Span,
    /// STUN and TURN servers that clients are told of.
    pub(crate) ice_servers: Vec<IceServer>,
    /// Most that a publisher is asked to send, in bits per second. 0 for no limit.
    pub(crate) max_incoming_bitrate: u64,
    /// What a viewer's path is taken to carry before it has said anything, in bits per second.
    pub(crate) initial_outgoing_bitrate: u64,
    /// Most that a viewer is sent, in bits per second. 0 for no limit.
    pub(crate) max_outgoing_bitrate: u64,
    /// Networks that plain transports may send to. Empty: everywhere but to addresses that are no other host's.
    pub(crate) plain_networks: Vec<Network>,
    /// Sliced among the workers.
    pub(crate) port_range: PortRange,
    pub(crate) recv_buffer_bytes: u32,
    pub(crate) send_buffer_bytes: u32,
}

impl Default for Rtc {
    fn default() -> Self {
        Self {
            listen_ips: Vec::new(),
            webrtc_port: 3_480,
            tcp: true,
            consent_timeout: Span::from_secs(30),
            connect_timeout: Span::from_secs(30),
            ice_servers: Vec::new(),
            max_incoming_bitrate: 0,
            initial_outgoing_bitrate: 1_000_000,
            max_outgoing_bitrate: 0,
            plain_networks: Vec::new(),
            port_range: PortRange { min: 40_000, max: 49_999 },
            recv_buffer_bytes: 1 << 20,
            send_buffer_bytes: 1 << 20,
        }
    }
}

impl Rtc {
    /// WebRTC's port of a worker; none where there is no WebRTC.
    pub(crate) fn webrtc_port(&self, worker: u32) -> Option<u16> {
        (self.webrtc_port > 0).then(|| self.webrtc_port.checked_add(u16::try_from(worker).ok()?))?
    }
}

/// Life of rooms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rooms {
    /// A room in which nobody has been for this long, listeners included, is closed.
    pub(crate) idle: Span,
    /// A viewer whose publisher has left is ended if there has been nothing to see for this long.
    pub(crate) viewer_grace: Span,
    /// A room in which only broadcasters are, of none of which anything has come for this long, is closed.
    pub(crate) silence: Span,
    /// A participant that has not joined after this long is closed.
    pub(crate) join_timeout: Span,
    /// A participant whose WebSocket is gone keeps its place for this long.
    pub(crate) resume_grace: Span,
    /// On which worker a room is made.
    pub(crate) placement: Placement,
    /// Those who receive are sent from further workers, too, once a room's own uses so much of its core, in percent.
    pub(crate) widen_percent: u8,
    /// Whether publishers are asked for redundant sound.
    pub(crate) red: Redundancy,
    /// A viewer is sent the sound of so many at most, the loudest; 0 for all.
    pub(crate) loudest: u16,
    /// Most rooms at a time.
    pub(crate) max: usize,
    /// Most rooms at a time that one IP address (IPv6: one /64) has made. 0 for no limit.
    pub(crate) max_per_ip: usize,
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            idle: Span::from_secs(60),
            viewer_grace: Span::from_secs(15),
            silence: Span::from_secs(600),
            join_timeout: Span::from_secs(10),
            resume_grace: Span::from_secs(20),
            placement: Placement::default(),
            widen_percent: 60,
            red: Redundancy::default(),
            loudest: 0,
            max: 10_000,
            max_per_ip: 1_000,
        }
    }
}

/// How workers are watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WorkerWatch {
    /// Interval at which each worker is asked for its usage.
    pub(crate) heartbeat: Span,
    /// A worker that has not answered for this long is declared dead.
    pub(crate) timeout: Span,
    /// How much each worker's core can do beside the others, in the order of the workers; 1 for those that are not
    /// there.
    pub(crate) weights: Vec<u32>,
}

impl Default for WorkerWatch {
    fn default() -> Self {
        Self { heartbeat: Span::from_secs(1), timeout: Span::from_secs(3), weights: Vec::new() }
    }
}

const EXIT_CODES: &str = "Exit codes: 0 stopped as asked; 1 anything else; 2 a flag or setting is wrong; \
3 the HTTP address, or that of operators, cannot be bound; 4 --io uring and the host refuses io_uring; \
5 the server never came up; 6 a media address or port cannot be had; 7 an announced name means nothing; \
8 too few files may be opened.";

/// corecast, a WebRTC SFU: one pinned worker per core, watched by a supervisor.
#[derive(Clone, Debug, Parser)]
#[command(version = env!("CORECAST_VERSION"), after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Settings file (TOML) [default: corecast.toml, then /etc/corecast.toml, where they exist]
    #[arg(long, env = "CORECAST_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Show the effective settings as TOML and end
    #[arg(long)]
    pub(crate) print_config: bool,
    /// "auto" (one per core), how many, or which cores (0,2-3 or [1])
    #[arg(long, env = "CORECAST_WORKERS", value_name = "WHICH")]
    workers: Option<Workers>,
    /// Whether a worker is a thread or a process [default: thread]
    #[arg(long, env = "CORECAST_ISOLATION")]
    isolation: Option<Isolation>,
    /// How workers talk to the kernel: auto, uring or syscalls [default: auto]
    #[arg(long, env = "CORECAST_IO")]
    io: Option<IoSetting>,
    /// What runs a worker's loop: glommio or thread [default: glommio]
    #[arg(long, env = "CORECAST_EXECUTOR", value_name = "WHICH")]
    executor: Option<ExecutorSetting>,
    /// Wait for more datagrams: auto, off, or microseconds up to 1000 [default: auto]
    #[arg(long, env = "CORECAST_COALESCE", value_name = "HOW")]
    coalesce: Option<CoalesceSetting>,
    /// Most that a packet of sound waits to leave together with others, 0ms to 20ms [default: 5ms]
    #[arg(long, env = "CORECAST_SOUND_WAIT", value_name = "TIME")]
    sound_wait: Option<SoundWait>,
    /// Receive with UDP_GRO [default: true]
    #[arg(long, env = "CORECAST_GRO", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    gro: Option<bool>,
    /// Huge pages for the workers' buffers: auto or off [default: auto]
    #[arg(long, env = "CORECAST_HUGE_PAGES", value_name = "HOW")]
    huge_pages: Option<HugePagesSetting>,
    /// Give up privileges, files and system calls that are not needed: on, log or off [default: on]
    #[arg(long, env = "CORECAST_SANDBOX", value_name = "HOW")]
    sandbox: Option<SandboxSetting>,
    /// Addresses of media sockets, each IP, IP=ANNOUNCED or IP=ANNOUNCED:PORT [default: 127.0.0.1, and for WebRTC the
    /// machine's first other address]
    #[arg(long, env = "CORECAST_RTC_LISTEN_IPS", value_name = "IP", value_delimiter = ',')]
    rtc_listen_ips: Vec<ListenIp>,
    /// Networks that plain transports may send to [default: all but loopback, link-local and the like]
    #[arg(long, env = "CORECAST_RTC_PLAIN_NETWORKS", value_name = "NET", value_delimiter = ',')]
    rtc_plain_networks: Vec<Network>,
    /// Ports of media sockets [default: 40000-49999]
    #[arg(long, env = "CORECAST_RTC_PORT_RANGE", value_name = "MIN-MAX")]
    rtc_port_range: Option<PortRange>,
    /// Receive buffer of each media socket, in bytes [default: 1048576]
    #[arg(long, env = "CORECAST_RTC_RECV_BUFFER_BYTES", value_name = "BYTES")]
    rtc_recv_buffer_bytes: Option<u32>,
    /// Send buffer of each media socket, in bytes [default: 1048576]
    #[arg(long, env = "CORECAST_RTC_SEND_BUFFER_BYTES", value_name = "BYTES")]
    rtc_send_buffer_bytes: Option<u32>,
    /// Close a room in which nobody has been for this long, listeners included [default: 60s]
    #[arg(long, env = "CORECAST_ROOMS_IDLE", value_name = "TIME")]
    rooms_idle: Option<Span>,
    /// End a viewer that has had nothing to see for this long since its publisher left [default: 15s]
    #[arg(long, env = "CORECAST_ROOMS_VIEWER_GRACE", value_name = "TIME")]
    rooms_viewer_grace: Option<Span>,
    /// Close a room in which only broadcasters are, if nothing comes of them for this long [default: 600s]
    #[arg(long, env = "CORECAST_ROOMS_SILENCE", value_name = "TIME")]
    rooms_silence: Option<Span>,
    /// Close a participant (mediasoup's signaling) that has not joined after this long [default: 10s]
    #[arg(long, env = "CORECAST_ROOMS_JOIN_TIMEOUT", value_name = "TIME")]
    rooms_join_timeout: Option<Span>,
    /// Keep the place of a participant whose WebSocket has broken for this long [default: 20s]
    #[arg(long, env = "CORECAST_ROOMS_RESUME_GRACE", value_name = "TIME")]
    rooms_resume_grace: Option<Span>,
    /// Most rooms that one IP address may have made; 0 for no limit [default: 1000]
    #[arg(long, env = "CORECAST_ROOMS_MAX_PER_IP", value_name = "NUMBER")]
    rooms_max_per_ip: Option<usize>,
    /// On which worker a room is made: round-robin, least-loaded or power-of-two [default: round-robin]
    #[arg(long, env = "CORECAST_ROOMS_PLACEMENT", value_name = "HOW")]
    rooms_placement: Option<Placement>,
    /// Send a room's viewers from further workers once its own uses so much of its core; 0 for never [default: 60]
    #[arg(long, env = "CORECAST_ROOMS_WIDEN_PERCENT", value_name = "PERCENT")]
    rooms_widen_percent: Option<u8>,
    /// Interval of the workers' heartbeat [default: 1s]
    #[arg(long, env = "CORECAST_WORKER_HEARTBEAT", value_name = "TIME")]
    worker_heartbeat: Option<Span>,
    /// Declare a worker dead that has not answered for this long [default: 3s]
    #[arg(long, env = "CORECAST_WORKER_TIMEOUT", value_name = "TIME")]
    worker_timeout: Option<Span>,
    #[command(flatten)]
    ends: ends::EndArgs,
    /// Let POST /test-hooks kill workers (for tests of supervision)
    #[arg(long, env = "CORECAST_TEST_HOOKS", hide = true, num_args = 0..=1, default_missing_value = "true")]
    test_hooks: Option<bool>,
    #[command(flatten)]
    http: http::HttpArgs,
    #[command(flatten)]
    webhooks: webhooks::WebhookArgs,
    #[command(flatten)]
    cascade: cascade::CascadeArgs,
    #[command(flatten)]
    webrtc: webrtc::WebRtcArgs,
    #[command(flatten)]
    telling: telling::TellingArgs,
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

impl Args {
    /// The command line. Help has a group of flags for each table of the settings file, which has the keys that the
    /// flags have behind the table's name.
    pub(crate) fn read() -> Self {
        let command = Self::described();
        let words = words::without_swallowing(&command, std::env::args_os());
        Self::from_arg_matches(&command.get_matches_from(words)).unwrap_or_else(|error| error.exit())
    }

    /// What the command line may say.
    pub(crate) fn described() -> clap::Command {
        Self::command().mut_args(|arg| match words::group(arg.get_id().as_str()) {
            Some(group) => arg.help_heading(group),
            None => arg,
        })
    }
}

/// A setting that cannot be used: a sentence that names it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConfigError(String);

fn set<T: Clone>(to: &mut T, from: &Option<T>) {
    if let Some(from) = from {
        *to = from.clone();
    }
}

fn set_list<T: Clone>(to: &mut Vec<T>, from: &[T]) {
    if !from.is_empty() {
        *to = from.to_vec();
    }
}

/// What is wrong in a file, in one line as everything in the log: where, of which key, and what. What stands there is
/// not told: it may be a token.
fn told(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().trim().replace('\n', "; ");
    let message = match message.strip_prefix("invalid type: ").and_then(|rest| rest.rsplit_once(", expected ")) {
        None => in_words(&message),
        Some((_, by_serde)) => format!("must be {}", wanted(by_serde)),
    };
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return message };
    let above = before.matches('\n').count();
    let left = text.lines().nth(above).and_then(|line| line.split_once('=')).map_or("", |(left, _)| left.trim());
    // Not what stands within a list.
    let is_key = !left.is_empty() && left.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    let key = if is_key { format!(" ({left})") } else { String::new() };
    format!("line {}{key}: {message}", above + 1)
}

impl Config {
    /// Settings of the file, overlaid by environment and flags.
    pub(crate) fn load(args: &Args) -> Result<Self, ConfigError> {
        let mut config = Self::of_file(args)?;
        config.overlay(args);
        config.load_keys()?;
        config.check()?;
        Ok(config)
    }

    /// The settings that say where a server listens, of which nothing is checked: for those who ask it.
    pub(crate) fn to_ask(args: &Args) -> Result<Self, ConfigError> {
        let mut config = Self::of_file(args)?;
        config.overlay(args);
        Ok(config)
    }

    fn of_file(args: &Args) -> Result<Self, ConfigError> {
        let file = args.config.clone().or_else(|| DEFAULT_FILES.map(PathBuf::from).into_iter().find(|p| p.exists()));
        file.as_deref().map_or_else(|| Ok(Self::default()), Self::read)
    }

    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError(format!("cannot read {}: {error}", path.display())))?;
        Self::parse(&text).map_err(|error| ConfigError(format!("{}: {}", path.display(), error.0)))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError(told(text, &error)))
    }

    fn overlay(&mut self, args: &Args) {
        set(&mut self.workers, &args.workers);
        set(&mut self.isolation, &args.isolation);
        set(&mut self.io, &args.io);
        set(&mut self.executor, &args.executor);
        set(&mut self.coalesce, &args.coalesce);
        set(&mut self.sound_wait, &args.sound_wait);
        set(&mut self.gro, &args.gro.map(Gro));
        set(&mut self.huge_pages, &args.huge_pages);
        set(&mut self.sandbox, &args.sandbox);
        set(&mut self.rtc.port_range, &args.rtc_port_range);
        set(&mut self.rtc.recv_buffer_bytes, &args.rtc_recv_buffer_bytes);
        set(&mut self.rtc.send_buffer_bytes, &args.rtc_send_buffer_bytes);
        set(&mut self.rooms.idle, &args.rooms_idle);
        set(&mut self.rooms.viewer_grace, &args.rooms_viewer_grace);
        set(&mut self.rooms.silence, &args.rooms_silence);
        set(&mut self.rooms.join_timeout, &args.rooms_join_timeout);
        set(&mut self.rooms.resume_grace, &args.rooms_resume_grace);
        set(&mut self.rooms.max_per_ip, &args.rooms_max_per_ip);
        set(&mut self.rooms.placement, &args.rooms_placement);
        set(&mut self.rooms.widen_percent, &args.rooms_widen_percent);
        set(&mut self.worker.heartbeat, &args.worker_heartbeat);
        set(&mut self.worker.timeout, &args.worker_timeout);
        set(&mut self.test_hooks, &args.test_hooks);
        set_list(&mut self.rtc.plain_networks, &args.rtc_plain_networks);
        set_list(&mut self.rtc.listen_ips, &args.rtc_listen_ips);
        args.ends.overlay(self);
        args.http.overlay(self);
        args.webhooks.overlay(self);
        args.cascade.overlay(self);
        args.webrtc.overlay(self);
        args.telling.overlay(self);
    }

    /// Checks what settings must not be together.
    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |sentence: &str| Err(ConfigError(sentence.to_owned()));
        if self.worker.weights.iter().any(|weight| !(1..=MAX_WEIGHT).contains(weight)) {
            return wrong("worker.weights must be 1 to 100 each");
        }
        if self.worker.heartbeat.0.is_zero() || self.usage.interval.0.is_zero() {
            return wrong("worker.heartbeat and usage.interval must be longer than nothing");
        }
        if self.worker.timeout.0 < Duration::from_millis(100) {
            return wrong("worker.timeout must be at least 100ms: shorter, and a busy core looks dead");
        }
        if self.rooms.widen_percent > 100 {
            return wrong("rooms.widen_percent must be 0 to 100");
        }
        if self.restart.attempts == 0 {
            return wrong("restart.attempts must be at least 1");
        }
        let cores = self.cores()?;
        self.check_tokens().and_then(|()| self.http.check())?;
        self.webhooks.check().and_then(|()| self.check_cascade())?;
        self.log.check().and_then(|()| self.telemetry.check())?;
        self.check_webrtc(cores.len())?;
        self.port_slices(cores.len()).map(drop)
    }

    /// The core of each worker.
    pub(crate) fn cores(&self) -> Result<Vec<u32>, ConfigError> {
        let here: Vec<u32> = core_affinity::get_core_ids()
            .unwrap_or_default()
            .into_iter()
            .filter_map(|core| u32::try_from(core.id).ok())
            .collect();
        let usable = || here.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        match &self.workers {
            Workers::Auto => Ok(here),
            Workers::Count(count) if *count as usize > here.len() => {
                Err(ConfigError(format!("workers = {count}, but there are {} usable cores ({})", here.len(), usable())))
            }
            Workers::Count(count) => Ok(here.into_iter().take(*count as usize).collect()),
            Workers::Cores(cores) => match cores.iter().find(|core| !here.contains(core)) {
                Some(core) => {
                    Err(ConfigError(format!("workers names core {core}, but the usable cores are {}", usable())))
                }
                None => Ok(cores.clone()),
            },
        }
    }

    /// The ports of each worker: disjoint, equally long.
    pub(crate) fn port_slices(&self, workers: usize) -> Result<Vec<(u16, u16)>, ConfigError> {
        let PortRange { min, max } = self.rtc.port_range;
        let ports = u32::from(max - min) + 1;
        let share = ports / u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
        if share < 2 {
            return Err(ConfigError(format!(
                "rtc.port_range {min}-{max} has {ports} ports for {workers} workers: each needs at least 2"
            )));
        }
        let port = |offset: u32| u16::try_from(u32::from(min) + offset).unwrap_or(max);
        Ok((0..workers as u32).map(|index| (port(index * share), port((index + 1) * share - 1))).collect())
    }

    /// Whether the server connects to other hosts.
    pub(crate) fn connects(&self) -> bool {
        !self.webhooks.urls.is_empty() || self.cascade.is_on() || !self.telemetry.otlp_endpoint.is_empty()
    }

    /// The driver, as the data plane calls it.
    pub(crate) fn io(&self) -> Io {
        self.io.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(flags: &[&str]) -> Args {
        Args::try_parse_from(std::iter::once(&"corecast").chain(flags)).expect("flags are right")
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let mut config = Config::parse("workers = 1\n[worker]\ntimeout = \"2s\"\n[usage]\ninterval = 5").expect("file");
        config.overlay(&args(&["--worker-timeout", "700ms"]));
        assert_eq!(config.workers, Workers::Count(1));
        assert_eq!(config.worker.timeout.0, Duration::from_millis(700));
        assert_eq!(config.usage.interval.0, Duration::from_secs(5));
        assert_eq!(config.worker.heartbeat.0, Duration::from_secs(1));
    }

    #[test]
    fn an_unknown_key_is_named() {
        for (text, key) in [("wrokers = 2", "wrokers"), ("[rtc]\nport_rage = \"1-2\"", "port_rage")] {
            assert!(Config::parse(text).expect_err("unknown").0.contains(key));
        }
    }

    #[test]
    fn what_is_wrong_in_a_file_is_one_line_that_says_where() {
        for (text, parts) in [
            ("[rooms]\nmax = \"many\"", ["line 2 (max)", "must be a whole number"]),
            ("[api]\ntokens = \"s3cret\"", ["line 2 (tokens)", "must be a list"]),
            ("[rtc]\nice_servers = [{ url = \"turn:a\", user = \"s3cret\" }]", ["line 2", "username, credential"]),
            ("workers = 1\nwrokers = 2", ["line 2 (wrokers)", "unknown field"]),
            ("x = = 3", ["line 1 (x)", "extra"]),
            ("[http]\norigins = [\n  3,\n]", ["line 3: ", "must be a string"]),
            ("[rooms]\nplacement = \"best\"", ["line 2 (placement)", "round-robin"]),
            ("[api]\ntokens = [\n  \"s3cret=\", 3,\n]", ["line 3: ", "must be a string"]),
        ] {
            let error = Config::parse(text).expect_err(text).0;
            assert!(!error.contains('\n') && !error.contains("s3cret"), "{text}: {error}");
            assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_printed_can_be_read_back() {
        let config = Config::parse("workers = [0]\nio = \"syscalls\"\ncoalesce = 300\n[failover]\ngrace = \"1500ms\"")
            .expect("file");
        let printed = toml::to_string_pretty(&config).expect("prints");
        assert_eq!(Config::parse(&printed).expect("reads"), config);
    }

    #[test]
    fn json_carries_the_settings_to_the_server() {
        let config = Config::parse("gro = false\n[rtc]\nlisten_ips = [\"10.0.0.1=203.0.113.7\", { ip = \"::1\" }]")
            .expect("file");
        let text = serde_json::to_string(&config).expect("writes");
        assert_eq!(serde_json::from_str::<Config>(&text).expect("reads"), config);
    }

    #[test]
    fn port_slices_are_disjoint_and_within_the_range() {
        let config = Config::parse("[rtc]\nport_range = \"40000-40010\"").expect("file");
        assert_eq!(config.port_slices(3).expect("enough"), [(40_000, 40_002), (40_003, 40_005), (40_006, 40_008)]);
        assert!(config.port_slices(6).expect_err("one port each").0.contains("rtc.port_range"));
    }

    #[test]
    fn wrong_settings_are_named() {
        for (text, part) in [
            ("[rtc]\nport_range = \"5-4\"", "port"),
            ("coalesce = 2000", "1000"),
            ("sound_wait = \"30ms\"", "20ms"),
            ("executor = \"tokio\"", "glommio"),
            ("huge_pages = \"on\"", "off"),
            ("sandbox = \"maybe\"", "log"),
            ("workers = 0", "workers"),
            ("[worker]\ntimeout = \"soon\"", "time"),
            ("[rtc]\nlisten_ips = [\"nowhere\"]", "nowhere"),
            ("isolation = \"vm\"", "thread"),
        ] {
            let error = Config::parse(text).expect_err(text).0;
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
