//! What happens when a server ends, or one of its workers.

use serde::{Deserialize, Serialize};

use crate::settings::{Calls, Grace, Span};

/// What happens when a worker dies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Failover {
    /// Wait before the restart: for a core dump, or for a load balancer to notice.
    pub(crate) grace: Grace,
    /// Whether calls go on after the restart.
    pub(crate) calls: Calls,
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
