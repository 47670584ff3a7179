//! The life of the process: what is checked before the worker runs, and the exit codes.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use corecast_wire::{
    Coalesce, DataLimits, DtlsVersions, Executor, HugePages, Io, Maxima, Sandbox, WebRtcConfig, WorkerConfig,
};
use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGUSR1, SIGUSR2};

use crate::certificate::Certificate;
use crate::channel::Channel;
use crate::door::Door;
use crate::log::Log;
use crate::options::{self, Options, SANDBOX_VARIABLE};
use crate::{cores, descriptors, log};

/// The library says which version it is. Its schemas change from one to the next, so others are refused.
const VERSION_VARIABLE: &str = "MEDIASOUP_VERSION";
/// Versions of the library whose schemas are these.
const VERSIONS: &str = "3.27.";

/// Exit codes: those of mediasoup's worker, and one that says that the library is another version.
const CLOSED: i32 = 0;
const FAILED: i32 = 40;
const NO_VERSION: i32 = 41;
const WRONG_SETTINGS: i32 = 42;
const OTHER_VERSION: i32 = 43;

/// Most that a packet of sound waits for others, and oldest media that is forwarded: corecast's own defaults.
const MAX_SOUND_WAIT_US: u32 = 5_000;
const MAX_MEDIA_AGE_MS: u32 = 200;
const MAX_PACKETS_PER_S: u32 = 20_000;
const BUFFER_BYTES: u32 = 1 << 20;
/// Most of messages that one association holds, whatever the application gives it; all together hold 256 MiB.
const MAX_SEND_BUFFER_BYTES: u32 = 8 << 20;
/// mediasoup's default of `iceConsentTimeout`.
const CONSENT_TIMEOUT_MS: u32 = 30_000;

/// Runs the worker until the library closes it, and returns the exit code.
pub(crate) fn run() -> i32 {
    let Ok(version) = std::env::var(VERSION_VARIABLE) else {
        eprintln!("{VERSION_VARIABLE} is missing: this program is started by mediasoup's Node library");
        return NO_VERSION;
    };
    if !version.starts_with(VERSIONS) {
        eprintln!("mediasoup {version} speaks to another worker than this one: install {VERSIONS}x of the npm package");
        return OTHER_VERSION;
    }
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("settings error: {error}");
            return WRONG_SETTINGS;
        }
    };
    let sandbox = match options::sandbox(std::env::var(SANDBOX_VARIABLE).ok().as_deref()) {
        Ok(sandbox) => sandbox,
        Err(error) => {
            eprintln!("settings error: {error}");
            return WRONG_SETTINGS;
        }
    };
    let certificate = match Certificate::of(&options) {
        Ok(certificate) => certificate,
        Err(error) => {
            eprintln!("settings error: {error}");
            return WRONG_SETTINGS;
        }
    };
    match serve(&options, certificate, sandbox) {
        Ok(()) => CLOSED,
        Err(error) => {
            eprintln!("failure exit: {error}");
            FAILED
        }
    }
}

fn serve(options: &Options, certificate: Certificate, sandbox: Sandbox) -> Result<(), String> {
    let closing = follow_signals().map_err(|error| format!("signals: {error}"))?;
    let (reads, writes) = descriptors::channel()?;
    let channel = Channel::new(reads, writes);
    let (core, seat) = cores::take()?;
    let log = Arc::new(Log::new(options.log_level, &options.log_tags));
    log::start(&log);
    tracing::debug!("starting corecast as mediasoup's worker on core {core}");
    options.ignored.iter().for_each(|ignored| tracing::warn!("{ignored} has no meaning here and is ignored"));
    if certificate.is_drawn && options.private_key_file.is_some() {
        tracing::warn!(
            "dtlsPrivateKeyFile is no key on P-256, which DTLS needs here: a new certificate is used instead"
        );
    }
    let config = WorkerConfig {
        index: 0,
        core,
        io: Io::Auto,
        executor: Executor::Thread,
        coalesce: Coalesce::Auto,
        gro: true,
        huge_pages: HugePages::Auto,
        sandbox,
        port_range: options.ports,
        recv_buffer_bytes: BUFFER_BYTES,
        send_buffer_bytes: BUFFER_BYTES,
        max_sound_wait_us: MAX_SOUND_WAIT_US,
        max_media_age_ms: MAX_MEDIA_AGE_MS,
        max_packets_per_s: MAX_PACKETS_PER_S,
        data: DataLimits { send_buffer_bytes: MAX_SEND_BUFFER_BYTES, ..DataLimits::DEFAULT },
        maxima: Maxima::WIDE,
        webrtc: Some(WebRtcConfig {
            listen: Vec::new(),
            tcp: false,
            certificate: certificate.der.clone(),
            private_key: certificate.private_key.clone(),
            dtls_versions: DtlsVersions::Both,
            consent_timeout_ms: CONSENT_TIMEOUT_MS,
        }),
        is_blamed: false,
        test_hooks: false,
    };
    let door = Door::new(channel, log, closing, &certificate, options.ports);
    let result = corecast_dataplane::run_with(config, Box::new(door));
    drop(seat);
    result.map_err(|error| error.to_string())
}

/// SIGINT and SIGTERM close the worker, as they do mediasoup's. Those that would end the process by default do nothing.
fn follow_signals() -> std::io::Result<Arc<AtomicBool>> {
    let closing = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&closing))?;
    }
    let ignored = Arc::new(AtomicBool::new(false));
    for signal in [SIGPIPE, SIGHUP, SIGALRM, SIGUSR1, SIGUSR2] {
        signal_hook::flag::register(signal, Arc::clone(&ignored))?;
    }
    Ok(closing)
}
