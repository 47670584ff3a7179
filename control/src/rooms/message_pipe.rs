//! What participants say to each other, on its way to a branch of the room: a second pipe with an SCTP association,
//! made when somebody there is to hear something. Nothing of it is kept: associations do not outlive the server.

use std::collections::BTreeMap;

use corecast_wire::{DataProducerId, MAX_MESSAGE_BYTES, SctpOptions};

use super::error::Error;
use super::pipe::MessagePipe;
use super::room::Room;
use super::site::Site;
use super::state::State;
use crate::workers::RequestError;

/// SCTP port of both ends.
const PORT: u16 = 5_000;

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
                let ends = self.open_pipe(site, Some(SctpOptions::new(PORT, max_message_bytes))).await?;
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
