//! What a room's bot does: it tells every participant what one has said to it.

use std::collections::HashMap;

use corecast_wire::{
    Command, ConsumeDataOptions, DataConsumerId, DataProducerId, ProduceDataOptions, SctpStreamParameters, Subchannels,
    TransportId,
};
use serde_json::json;
use tokio::sync::mpsc;

use super::bot::Bot;
use super::draw::{next_id, object_name};
use super::media::{BOT, DataProducer};
use super::peer::PeerHandle;
use super::room::Room;
use super::state::State;
use crate::workers::{Message, MessageRoute};

/// What a message of text is (RFC 8831 section 8).
const TEXT: u32 = 51;
/// Longest message that the bot repeats (mediasoup-demo's), in bytes.
const MAX_BYTES: usize = 512;

impl Room {
    /// The bot is there from now on, and hears by this channel what is said to it.
    pub(super) async fn wake_bot(&self, state: &mut State, heard: mpsc::Sender<(DataConsumerId, Message)>) {
        let (transport, data_producer) = (TransportId(next_id()), DataProducerId(next_id()));
        let options = ProduceDataOptions { stream: 0, label: BOT.into(), protocol: String::new(), paused: false };
        let commands = vec![
            Command::CreateDirectTransport { router: self.home().router(), transport },
            Command::ProduceData { transport, data_producer, options },
        ];
        if let Err(error) = self.worker().apply_all(commands, Command::CloseTransport { transport }).await {
            tracing::warn!("room {:?} has no bot: {error}", self.id());
            return;
        }
        let producer = DataProducer {
            id: data_producer,
            on: None,
            owner: None,
            label: BOT.into(),
            protocol: String::new(),
            parameters: SctpStreamParameters::RELIABLE,
            app_data: json!({ "channel": BOT }),
            to_bot: None,
        };
        state.data_producers.insert(object_name(), producer);
        state.bot = Some(Bot { transport, data_producer, speakers: HashMap::new(), heard });
    }

    /// What comes of a participant's data producer is heard by the bot.
    pub(super) async fn speak_to_bot(
        &self,
        state: &mut State,
        peer: &PeerHandle,
        data_producer: DataProducerId,
    ) -> Option<MessageRoute> {
        let State { bot, data_producers, .. } = state;
        let bot = bot.as_mut()?;
        let spoken = |id: &DataConsumerId| {
            let mut routes = data_producers.values().filter_map(|one| one.to_bot.as_ref());
            routes.any(|route| route.key() == *id)
        };
        bot.speakers.retain(|id, _| spoken(id));
        let id = DataConsumerId(next_id());
        let route = self.worker().events().messages(id, bot.heard.clone());
        let options = ConsumeDataOptions { stream: 0, parameters: SctpStreamParameters::RELIABLE, paused: false };
        let command = Command::ConsumeData { transport: bot.transport, data_consumer: id, data_producer, options };
        if let Err(error) = self.worker().apply(command).await {
            tracing::debug!("the bot of room {:?} does not hear {:?}: {error}", self.id(), peer.name());
            return None;
        }
        bot.speakers.insert(id, peer.shared_name());
        Some(route)
    }

    /// The bot tells everybody what it was told.
    pub(super) async fn answer(&self, from: DataConsumerId, (ppid, payload): &Message) {
        let Some(text) = std::str::from_utf8(payload).ok().filter(|_| *ppid == TEXT && payload.len() <= MAX_BYTES)
        else {
            return;
        };
        let state = self.state().await;
        let Some(bot) = &state.bot else { return };
        let Some(speaker) = bot.speakers.get(&from).and_then(|name| state.peers.get(&**name)) else { return };
        let payload = format!("{} said me: \"{text}\"", speaker.display_name).into_bytes();
        let command =
            Command::SendData { data_producer: bot.data_producer, ppid: TEXT, payload, to: Subchannels::default() };
        if let Err(error) = self.worker().apply(command).await {
            tracing::debug!("the bot of room {:?} is not heard: {error}", self.id());
        }
    }
}
