//! What this process is: the program in one of its roles, or a command for the operator.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::settings::{AdminListen, LogFormat, Priority, SandboxSetting};

/// What this process is; without one it is the supervisor.
#[derive(Clone, Debug, Subcommand)]
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
    /// Ask a running server, or tell it what to do; 1 if it does not do it
    Ctl(Ctl),
    /// Print the description of an API: OpenAPI, as JSON.
    #[command(hide = true)]
    Openapi {
        /// Which
        #[arg(long, value_enum, default_value_t = Api::Operators)]
        of: Api,
    },
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
        /// What its threads give up.
        #[arg(long)]
        sandbox: SandboxSetting,
    },
}

/// An API that has a description.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Api {
    /// What `corecast ctl` uses
    Operators,
    /// WHIP, WHEP, rooms, counters and events
    Clients,
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

/// What an operator wants of a running server.
#[derive(Clone, Debug, Args)]
pub(crate) struct Ctl {
    /// Where the server's API for operators listens: a path or IP:PORT [default: where its settings say]
    #[arg(long, global = true, value_name = "WHERE")]
    pub(crate) at: Option<AdminListen>,
    /// Bearer token, for a server that listens on TCP and has tokens
    #[arg(long, env = "CORECAST_TOKEN", global = true, value_name = "TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Show what the server answers, as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) wish: Wish,
}

/// One thing that an operator wants.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Wish {
    /// Show the server and its workers
    Server,
    /// List the rooms
    Rooms,
    /// List who is in a room, and who was removed from it
    Peers {
        /// The room
        room: String,
    },
    /// Show everything that is in a room, with counters, as JSON
    Dump {
        /// The room
        room: String,
    },
    /// Close a room; or remove a peer from it, who then stays out until it is invited
    Close {
        /// The room
        room: String,
        /// Remove this peer alone
        peer: Option<String>,
        /// Let it come again at once
        #[arg(long, requires = "peer")]
        may_return: bool,
    },
    /// Let a peer come again that was removed
    Invite {
        /// The room
        room: String,
        /// The peer
        peer: String,
    },
    /// Let nobody hear or see a peer
    Mute {
        /// The room
        room: String,
        /// The peer
        peer: String,
        /// Only this
        kind: Option<Media>,
    },
    /// Let a peer be heard and seen again
    Unmute {
        /// The room
        room: String,
        /// The peer
        peer: String,
        /// Only this
        kind: Option<Media>,
    },
    /// Let only the loudest of those who speak in a room be heard
    Loudest {
        /// The room
        room: String,
        /// So many at most; 0 for all
        speakers: u16,
    },
    /// Say how much a room matters beside the others, before it is made, too
    Priority {
        /// The room
        room: String,
        /// How much
        priority: Priority,
    },
    /// Make no new rooms; those that are there go on and grow
    Cordon,
    /// Make new rooms again
    Uncordon,
    /// Stop as SIGTERM does: when nobody is in a room, or drain.deadline is over
    Drain,
    /// Start the server and its workers again; calls go on
    Restart,
    /// Set what is logged, until the next start or SIGHUP
    Log {
        /// As log.filter has it: debug, or corecast=debug,warn
        filter: String,
    },
}

/// A kind of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Media {
    Audio,
    Video,
}
