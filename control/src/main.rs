//! corecast: signaling, placement, usage and supervision around the workers of the data plane.
//!
//! One program in three roles: the supervisor (no role given), the server that it starts, and with
//! `isolation = "process"` one process per worker that the server starts.

#![deny(unsafe_code)]
// A stream that cannot be written makes these macros panic, and one that nobody reads makes them wait: see `logging`.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod addresses;
mod admin_socket;
mod cascade;
mod certificate;
mod check;
mod config;
mod connections;
mod ctl;
mod exit;
mod heart;
mod http;
mod inherited;
mod jwt;
mod ledger;
mod lifecycle;
mod logging;
mod ops;
mod ortc;
mod outbound;
mod rooms;
mod sdp;
mod server;
mod settings;
mod shares;
mod signaling;
mod spans;
mod supervisor;
mod telemetry;
#[cfg(test)]
mod tests;
mod tls;
mod top;
mod webhooks;
mod workers;

use std::io::Write;
use std::process::ExitCode;

use config::{Api, Args, Config, Role};

fn main() -> ExitCode {
    let args = Args::read();
    if let Err(error) = logging::open() {
        let _ = writeln!(std::io::stderr(), "corecast: cannot log: {error}");
        return ExitCode::from(exit::FAILED);
    }
    let code = run(&args);
    logging::flush();
    code
}

/// Writes a text to standard output, and ends with that.
fn print(text: &str) -> ExitCode {
    let printed = std::io::stdout().write_all(text.as_bytes());
    printed.map_or_else(|_| ExitCode::from(exit::FAILED), |()| ExitCode::SUCCESS)
}

fn run(args: &Args) -> ExitCode {
    match args.role {
        Some(Role::Server { parent }) => return server::run_server(parent),
        Some(Role::Worker { parent, index, core, ref filter, format, sandbox }) => {
            logging::start(filter, format, None);
            return workers::spawn::run_worker(parent, index, core, sandbox);
        }
        Some(Role::Top(ref asked)) => return top::run(args, asked),
        Some(Role::Ctl(ref wanted)) => return ctl::run(args, wanted),
        Some(Role::Openapi { of: Api::Operators }) => return print(&ops::admin::description()),
        Some(Role::Openapi { of: Api::Clients }) => return print(&signaling::description::description()),
        Some(Role::Check | Role::Handover | Role::TakeOver) | None => {}
    }
    let config = match Config::load(args) {
        Ok(config) => config,
        Err(error) => {
            logging::say(&error.to_string());
            return ExitCode::from(exit::WRONG_SETTING);
        }
    };
    if matches!(args.role, Some(Role::Handover)) {
        return supervisor::upgrade::say_format();
    }
    if matches!(args.role, Some(Role::Check)) {
        let findings = check::look_at_all(&config);
        let is_good = !findings.iter().any(check::Finding::is_bad);
        let printed = std::io::stdout().write_all(check::page(&findings).as_bytes()).is_ok();
        return if printed && is_good { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) };
    }
    let read = || {
        let config = Config::load(args).map_err(|error| error.to_string())?;
        let identity = tls::Identity::of(&config)?;
        Ok((config, identity))
    };
    if args.print_config {
        let text = toml::to_string_pretty(&config.without_secrets()).unwrap_or_default();
        return print(&text);
    }
    let identity = match tls::Identity::of(&config) {
        Ok(identity) => identity,
        Err(sentence) => {
            logging::say(&sentence);
            return ExitCode::from(exit::WRONG_SETTING);
        }
    };
    logging::start(&config.log.filter, config.log.format, None);
    let settings = supervisor::Settings::new(config, identity, &read);
    match args.role {
        Some(Role::TakeOver) => supervisor::take_over(settings),
        _ => supervisor::supervise(settings),
    }
}
