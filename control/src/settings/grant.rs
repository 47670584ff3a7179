//! What a client may do.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

/// Something that a token may allow, in a room or in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grant {
    /// Send media: WHIP, and producers of participants.
    Publish,
    /// Be in a room and receive media: WHEP, participants, events.
    Subscribe,
    /// Send messages on data channels.
    Data,
    /// Use the API of broadcasters, which has the server send media to addresses that its client names.
    Plain,
    /// See and change what belongs to others: rooms as a whole, counters, the server.
    Admin,
}

impl Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Data => "data",
            Self::Plain => "plain",
            Self::Admin => "admin",
        })
    }
}
