//! What happens in the room, as a client is told of it: with the members of both dialects, where they can be merged.

use std::time::Instant;

use serde_json::json;

use super::dialect::Dialect;
use super::members::{muted_members, peer_members, score_members, stream_score_members, unplayable_members};
use super::session::Session;
use crate::rooms::PeerEvent;

impl Session {
    /// Tells the client of an event.
    pub(super) fn told(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Joined(peer) => {
                let mut data = peer_members(&peer);
                data["peer"] = data.clone();
                self.tell("newPeer", &data);
            }
            PeerEvent::Left(peer) => self.tell("peerClosed", &json!({ "peerId": peer })),
            PeerEvent::Renamed { peer, display_name, old } => {
                let data = json!({ "peerId": peer, "displayName": display_name, "oldDisplayName": old });
                self.tell("peerDisplayNameChanged", &data);
            }
            PeerEvent::Produced { producer } => self.wish_media(producer),
            PeerEvent::ProducedData { data_producer } => self.wish_data(data_producer),
            PeerEvent::ConsumerClosed(consumer) => {
                self.temporal.remove(&consumer);
                self.tell("consumerClosed", &json!({ "consumerId": consumer }));
            }
            PeerEvent::ProducerPaused { consumer, paused } => {
                let method = if paused { "consumerPaused" } else { "consumerResumed" };
                self.tell(method, &json!({ "consumerId": consumer }));
            }
            PeerEvent::Unplayable(of) => self.tell("unplayable", &unplayable_members(&of, self.dialect)),
            PeerEvent::UnplayableClosed(producer) => {
                self.tell("unplayableClosed", &json!({ "producerId": producer }));
            }
            PeerEvent::LayersChanged { consumer, layers } => {
                let spatial = layers.map(|layers| layers.spatial);
                self.tell_layers(&consumer, spatial);
            }
            PeerEvent::ConsumerScored { consumer, score } => {
                self.tell("consumerScore", &json!({ "consumerId": consumer, "score": score_members(&score) }));
            }
            PeerEvent::ProducerScored { producer, scores } => {
                let scores: Vec<_> = scores.iter().map(stream_score_members).collect();
                self.tell("producerScore", &json!({ "producerId": producer, "score": scores }));
            }
            PeerEvent::Unwanted { producer, encodings } => {
                self.tell("producerLayersUnwanted", &json!({ "producerId": producer, "layers": encodings }));
            }
            PeerEvent::DataConsumerClosed(data_consumer) => {
                self.tell("dataConsumerClosed", &json!({ "dataConsumerId": data_consumer }));
            }
            PeerEvent::Volumes(volumes) => self.tell_volumes(&volumes),
            PeerEvent::Speaker(speaker) if self.dialect != Dialect::Legacy => {
                let data = speaker.map_or_else(|| json!({}), |peer| json!({ "peerId": peer }));
                self.tell("activeSpeaker", &data);
            }
            PeerEvent::Closing(at) => {
                let left = at.saturating_duration_since(Instant::now());
                self.tell("closing", &json!({ "seconds": left.as_secs_f64().round() }));
            }
            PeerEvent::Muted(muted) => self.tell("muted", &muted_members(muted)),
            // The legacy client is told of the loudest.
            PeerEvent::Speaker(_) => {}
            // The session looks at these itself.
            PeerEvent::Connected | PeerEvent::Disconnected(_) => {}
        }
    }

    /// The temporal layer is the highest that the client wants and the consumer has.
    fn tell_layers(&mut self, consumer: &str, spatial: Option<u8>) {
        let Some(spatial) = spatial else {
            let none = json!({ "consumerId": consumer, "spatialLayer": null, "temporalLayer": null });
            return self.tell("consumerLayersChanged", &none);
        };
        let (highest, wanted) = self.temporal.get(consumer).copied().unwrap_or_default();
        let temporal = [highest, wanted].into_iter().flatten().min();
        let mut layers = json!({ "spatialLayer": spatial });
        if let Some(temporal) = temporal {
            layers["temporalLayer"] = json!(temporal);
        }
        let data =
            json!({ "consumerId": consumer, "spatialLayer": spatial, "temporalLayer": temporal, "layers": layers });
        self.tell("consumerLayersChanged", &data);
    }

    fn tell_volumes(&mut self, volumes: &[(String, i8)]) {
        if self.dialect == Dialect::Legacy {
            let loudest = match volumes.first() {
                Some((peer, volume)) => json!({ "peerId": peer, "volume": volume }),
                None => json!({ "peerId": null }),
            };
            return self.tell("activeSpeaker", &loudest);
        }
        let volumes: Vec<_> =
            volumes.iter().map(|(peer, volume)| json!({ "peerId": peer, "volume": volume })).collect();
        self.tell("speakingPeers", &json!({ "peerVolumes": volumes }));
    }
}
