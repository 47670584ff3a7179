//! What a client may want without an answer; the legacy client wants one all the same.

use serde_json::Value;

use super::bodies::{LayersBody, NameBody, OfConsumer, OfProducer, PriorityBody, read};
use super::message::Refusal;
use super::session::Session;
use crate::rooms::check_display_name;

impl Session {
    /// Does what a client wants.
    pub(super) async fn notified(&mut self, method: &str, data: Value) -> Result<(), Refusal> {
        let (room, peer) = (&self.room, &self.peer);
        match method {
            "closeProducer" => room.close_producer(peer, &read::<OfProducer>(data)?.producer_id).await?,
            "pauseProducer" => room.pause_producer(peer, &read::<OfProducer>(data)?.producer_id, true).await?,
            "resumeProducer" => room.pause_producer(peer, &read::<OfProducer>(data)?.producer_id, false).await?,
            "pauseConsumer" => room.pause_consumer(peer, &read::<OfConsumer>(data)?.consumer_id, true).await?,
            "resumeConsumer" => room.pause_consumer(peer, &read::<OfConsumer>(data)?.consumer_id, false).await?,
            "requestConsumerKeyFrame" => room.request_key_frame(peer, &read::<OfConsumer>(data)?.consumer_id).await?,
            "setConsumerPreferredLayers" => {
                let LayersBody { consumer_id, spatial_layer, temporal_layer } = read(data)?;
                room.set_preferred_layers(peer, &consumer_id, (spatial_layer, temporal_layer)).await?;
                if let Some((_, wanted)) = self.temporal.get_mut(&consumer_id) {
                    *wanted = temporal_layer;
                }
            }
            "setConsumerPriority" => {
                let PriorityBody { consumer_id, priority } = read(data)?;
                if priority == 0 {
                    return Err(Refusal::new("priority: must be 1 to 255"));
                }
                room.set_priority(peer, &consumer_id, priority).await?;
            }
            "changeDisplayName" => {
                let NameBody { display_name } = read(data)?;
                check_display_name("displayName", &display_name)?;
                room.rename(peer, display_name).await?;
            }
            _ => return Err(Refusal::new(format!("unknown request.method {method:?}"))),
        }
        Ok(())
    }
}
