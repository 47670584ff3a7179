//! mediasoup-demo's bot, as a room keeps it: a data producer of the room itself on a direct transport of its router,
//! and data consumers there of what participants say to it.

use std::collections::HashMap;
use std::sync::Arc;

use corecast_wire::{Command, DataConsumerId, DataProducerId, TransportId};
use tokio::sync::mpsc;

use crate::workers::Message;

/// The bot of a room.
#[derive(Debug)]
pub(super) struct Bot {
    pub(super) transport: TransportId,
    pub(super) data_producer: DataProducerId,
    /// Who speaks on each of its data consumers. One that has closed says nothing.
    pub(super) speakers: HashMap<DataConsumerId, Arc<str>>,
    pub(super) heard: mpsc::Sender<(DataConsumerId, Message)>,
}

impl Bot {
    /// The command that ends it.
    pub(super) fn close(&self) -> Command {
        Command::CloseTransport { transport: self.transport }
    }
}
