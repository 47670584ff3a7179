//! What happens to rooms and peers, told to those outside: each thing once, by an event with a number that only goes
//! up, also over the death of a server.
//!
//! Events have LiveKit's names and shape (`event`), so that what receives LiveKit's webhooks takes them. The `journal`
//! numbers them and keeps the last ones, from where webhooks and streams read, each at its own pace: nobody who tells
//! waits for anybody who reads.

mod event;
mod journal;

pub(crate) use event::{Begun, Event, Happened, Participant, RoomId, Track};
pub(crate) use journal::Journal;
