//! What participants say to each other, on its way to a branch of the room: a second pipe with an SCTP association, made
//! when somebody there is to hear something. Nothing of it is kept: associations do not outlive the server.

use std::collections::BTreeMap;

use corecast_wire::{
    Command, ConsumeDataOptions, DataConsumerId, DataProducerId, MAX_MESSAGE_BYTES, ProduceDataOptions, SctpOptions,
};

use super::branch::Ends;
use super::draw::next_id;
use super::error::{Code, Error};
use super::media::DataProducer;
use super::room::Room;
use super::site::Site;
use super::state::State;
use crate::workers::RequestError;

/// SCTP port of both ends.
const PORT: u16 = 5_000;
/// Streams of the association that are used, one for each data producer.
const STREAMS: u16 = 4_096;

/// A pipe for messages.
#[derive(Debug)]
pub(super) struct MessagePipe {
    pub(super) ends: Ends,
    /// What crosses, by the name of its data producer.
    pub(super) crossing: BTreeMap<String, Said>,
}

/// A data producer that crosses.
#[derive(Debug)]
pub(super) struct Said {
    /// At home.
    consumer: DataConsumerId,
    /// On the branch.
    producer: DataProducerId,
    stream: u16,
}

impl Said {
    /// What ends it on the branch. At home it ends with its data producer.
    pub(super) fn close_far(&self) -> Command {
        Command::CloseDataProducer { data_producer: self.producer }
    }
}

impl MessagePipe {
    /// Something that is about to cross, what makes its end on the branch, and what makes the one at home.
    fn cross(&self, producer: &DataProducer) -> Result<(Said, [Command; 2]), Error> {
        let is_free = |stream: &u16| !self.crossing.values().any(|said| said.stream == *stream);
        let full = || Error::new(Code::TooMany, format!("{STREAMS} data producers are said to one branch already"));
        let stream = (0..STREAMS).find(is_free).ok_or_else(full)?;
        let said = Said { consumer: DataConsumerId(next_id()), producer: DataProducerId(next_id()), stream };
        let options = ProduceDataOptions {
            stream,
            label: producer.label.clone(),
            protocol: producer.protocol.clone(),
            paused: false,
        };
        let produce = Command::ProduceData { transport: self.ends.far, data_producer: said.producer, options };
        let options = ConsumeDataOptions { stream, parameters: producer.parameters, paused: false };
        let (transport, data_consumer, data_producer) = (self.ends.near, said.consumer, producer.id);
        Ok((said, [produce, Command::ConsumeData { transport, data_consumer, data_producer, options }]))
    }
}

impl Room {
    /// This data producer can be consumed there from now on: what it is called there. An error if it has closed.
    pub(super) async fn reach_data(&self, state: &mut State, site: &Site, name: &str) -> Result<DataProducerId, Error> {
        let State { branches, data_producers, .. } = state;
        let producer = data_producers.get(name).ok_or_else(|| Error::not_found("data producer", name))?;
        let index = site.worker().index().to_string();
        // Associations are not kept, so nothing that is kept changes.
        let found = branches.iter_mut().find(|(name, branch)| **name == index && branch.site == *site);
        let Some((_, branch)) = found else { return Ok(producer.id) };
        let pipe = match &mut branch.messages {
            Some(pipe) => pipe,
            none => {
                let max_message_bytes = u32::try_from(MAX_MESSAGE_BYTES).unwrap_or(u32::MAX);
                let ends = self.open_pipe(site, Some(SctpOptions { port: PORT, max_message_bytes })).await?;
                none.insert(MessagePipe { ends, crossing: BTreeMap::new() })
            }
        };
        if let Some(said) = pipe.crossing.get(name) {
            return Ok(said.producer);
        }
        let (said, [produce, consume]) = pipe.cross(producer)?;
        site.worker().apply(produce).await?;
        if let Err(refused) = self.worker().apply(consume).await {
            site.worker().close(vec![said.close_far()]).await?;
            return Err(refused.into());
        }
        let at = said.producer;
        pipe.crossing.insert(name.to_owned(), said);
        Ok(at)
    }

    /// What is no longer said at home ends on the branches.
    pub(super) async fn prune_data(&self, state: &mut State) -> Result<(), RequestError> {
        let State { branches, data_producers, .. } = state;
        for (_, branch) in branches.iter_mut() {
            let Some(pipe) = &mut branch.messages else { continue };
            let mut closings = Vec::new();
            pipe.crossing.retain(|name, said| {
                let stays = data_producers.contains_key(name);
                closings.extend((!stays).then(|| said.close_far()));
                stays
            });
            branch.site.worker().close(closings).await?;
        }
        Ok(())
    }
}
