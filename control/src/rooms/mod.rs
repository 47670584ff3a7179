//! Rooms and what is in them: peers with any number of transports of any kind, producers and consumers, presence. A
//! room is one router on one worker (a `site`) and, if many watch it, further ones on others (`branch`).
//!
//! Owns the names that clients use and their translation to the ids of the link. Knows no HTTP and no other signaling:
//! what is done and what is refused, with a code and a reason, is said in the domain's terms, and `signaling`
//! translates it. Nothing changes here before the worker has agreed.
//!
//! From the outside in: `registry` (all rooms; `waiting` for one), `room` (the lock, the end), `peers`, then `join` (a
//! peer with a WebRTC transport and everything inside at once) or `plain` and `produce_consume` (step by step),
//! `silence` (publishers that have vanished), `succession` (what their viewers see next), `layers`, `wanted` (which of
//! them somebody takes), `channels` (data),
//! `listener`, `load` (whether there is room for more), `overview` and `roster` (what operators see). Participants, who
//! hear what happens: `participants`, `resume` (whose client was away, and shows its `secret`), `data`, `report`
//! (counters), and `attendant`, the room's own task, with `observers`, `scores`, `bot` and its `conversation`. What
//! operators do to peers: `moderation`, `muted`, `removed`, and to rooms: `priorities`. What outlives the server is
//! `saved`, and `restore` goes on with it. The tables (`table`) are in `state`, their rows in `peer`, `transport` and
//! `media`; what participants are told is in `ear`, and the outside in `lifecycle`.

mod attendant;
mod bot;
mod branch;
mod channels;
mod conversation;
mod data;
mod draw;
mod ear;
mod error;
mod events;
mod incoming;
mod join;
mod layers;
mod lifecycle;
mod listener;
mod load;
mod loudest;
mod machines;
mod media;
mod memory;
mod message_pipe;
mod moderation;
mod muted;
mod names;
mod observers;
mod outgoing;
mod overview;
mod participants;
mod peer;
mod peers;
mod pipe;
mod plain;
mod priorities;
mod produce_consume;
mod rate;
mod registry;
mod removed;
mod report;
mod restore;
mod resume;
mod room;
mod roster;
mod sample;
mod saved;
mod scores;
mod secret;
mod silence;
mod site;
mod state;
mod succession;
mod table;
mod transport;
mod unplayable;
mod waiting;
mod wanted;
mod webrtc;
mod webrtc_transport;

pub(crate) use data::{CreatedDataConsumer, NewDataProducer};
pub(crate) use draw::{begin_life, draw_cname, draw_first_sequence, draw_ssrc};
pub(crate) use ear::{Absence, ConsumerScore, PeerEvent, PeerEvents, PeerView, StreamScore, Unplayable};
pub(crate) use error::{Code, Error};
pub(crate) use events::{Presence, RoomEvent};
pub(crate) use incoming::Incoming;
pub(crate) use join::{Given, Joined, Wanted};
pub(crate) use layers::{LayerReport, LayerWish};
pub(crate) use listener::Listener;
pub(crate) use load::Marks;
pub(crate) use machines::{Crossed, Crosser, PipeEnd};
pub(crate) use moderation::{Member, MemberProducer, REMOVED};
pub(crate) use muted::Muted;
pub(crate) use names::{check_display_name, check_name};
pub(crate) use outgoing::Outgoing;
pub(crate) use overview::{Named, Overview, Size};
pub(crate) use participants::{CAME_AGAIN, Entered, Profile};
pub(crate) use peer::{Credential, Left, NewPeer, PeerHandle, PeerKind, ROOM_CLOSED};
pub(crate) use peers::{PeerInfo, ProducerInfo};
pub(crate) use plain::{CreatedPlain, NewPlainTransport, PlainRemote};
pub(crate) use produce_consume::{CreatedConsumer, NewConsumer, NewProducer};
pub(crate) use registry::Rooms;
pub(crate) use report::{ConsumerReport, ProducerReport, Report, TransportReport};
pub(crate) use resume::{Held, Resumed};
pub(crate) use room::Room;
pub(crate) use roster::{Occupant, Roster};
pub(crate) use silence::FELL_SILENT;
pub(crate) use succession::NOTHING_TO_SEE;
pub(crate) use wanted::EncodingsWanted;
pub(crate) use webrtc::{LocalParameters, RemoteParameters, WebRtc};
pub(crate) use webrtc_transport::{CreatedWebRtc, HANDSHAKE_FAILED, SILENT};
