//! What happens when a server ends, or one of its workers.

use clap::Parser;
use serde::{Deserialize, Serialize};

use super::{Config, set};
use crate::settings::{Calls, Grace, Span};

/// What happens when a worker dies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Failover {
    /// Wait before the restart: for a core dump, or for a load balancer to notice.
    pub(crate) grace: Grace,
    /// Whether calls go on after the restart.
    pub(crate) calls: Calls,
    /// For so long nobody new is let in from an address of whose packets two workers in a row have died.
    pub(crate) shut_out: Span,
}

impl Default for Failover {
    fn default() -> Self {
        Self { grace: Grace::default(), calls: Calls::default(), shut_out: Span::from_secs(60) }
    }
}

/// How often the supervisor tries again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Restart {
    /// Deaths within `window` that are followed by a restart at once.
    pub(crate) free: u32,
    pub(crate) window: Span,
    /// First delay after those; it doubles with each further death.
    pub(crate) backoff_min: Span,
    pub(crate) backoff_max: Span,
    /// Starts in a row that never come up before the supervisor gives up.
    pub(crate) attempts: u32,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            free: 3,
            window: Span::from_secs(60),
            backoff_min: Span::from_secs(1),
            backoff_max: Span::from_secs(30),
            attempts: 5,
        }
    }
}

/// What happens at SIGTERM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Drain {
    /// For so long those who are in rooms may stay.
    pub(crate) deadline: Span,
}

impl Default for Drain {
    fn default() -> Self {
        Self { deadline: Span::from_secs(5) }
    }
}

/// Flags of these settings.
#[derive(Clone, Debug, Parser)]
pub(super) struct EndArgs {
    /// Wait before the restart that follows a death [default: none]
    #[arg(long, env = "CORECAST_FAILOVER_GRACE", value_name = "TIME")]
    failover_grace: Option<Grace>,
    /// Whether calls go on after that restart: keep or drop [default: keep]
    #[arg(long, env = "CORECAST_FAILOVER_CALLS", value_name = "WHAT")]
    failover_calls: Option<Calls>,
    /// Let nobody new in from an address that two workers have died of, for this long; 0 for never [default: 60s]
    #[arg(long, env = "CORECAST_FAILOVER_SHUT_OUT", value_name = "TIME")]
    failover_shut_out: Option<Span>,
    /// At SIGTERM, let those who are in rooms stay for at most this long [default: 5s]
    #[arg(long, env = "CORECAST_DRAIN_DEADLINE", value_name = "TIME")]
    drain_deadline: Option<Span>,
}

impl EndArgs {
    pub(super) fn overlay(&self, config: &mut Config) {
        set(&mut config.failover.grace, &self.failover_grace);
        set(&mut config.failover.calls, &self.failover_calls);
        set(&mut config.failover.shut_out, &self.failover_shut_out);
        set(&mut config.drain.deadline, &self.drain_deadline);
    }
}
