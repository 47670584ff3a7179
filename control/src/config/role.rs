//! What the program is to be: words of the command line beside the settings.

use clap::Parser;

use crate::settings::LogFormat;

/// What this process is; without one it is the supervisor.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Role {
    /// Look at this machine: what keeps a server from being fast, and what to change; 1 if there is anything
    Check,
    /// Show cores, rooms and viewers of a running server, as its dashboard does, until q is pressed
    Top(Top),
    /// Say whether this program can take over from a running one.
    #[command(hide = true)]
    Handover,
    /// Take over from the program that this one replaces: it is on standard input.
    #[command(hide = true)]
    TakeOver,
    /// The server that the supervisor starts.
    #[command(hide = true)]
    Server {
        /// Process that started it.
        #[arg(long)]
        parent: i32,
    },
    /// A worker that the server starts, with `isolation = "process"`.
    #[command(hide = true)]
    Worker {
        /// Process that started it.
        #[arg(long)]
        parent: i32,
        /// Position in the pool.
        #[arg(long)]
        index: u32,
        /// Core that the worker is pinned to.
        #[arg(long)]
        core: u32,
        /// Log filter.
        #[arg(long)]
        filter: String,
        /// How lines are written.
        #[arg(long)]
        format: LogFormat,
    },
}

/// Which server `corecast top` shows, and how.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Top {
    /// The server [default: the one on this machine that these settings are of]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Bearer token of the API [default: with these settings' server, its first one]
    #[arg(long, env = "CORECAST_TOP_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Take any certificate, such as one that the server has made for itself
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Print one picture and end
    #[arg(long)]
    pub(crate) once: bool,
}
