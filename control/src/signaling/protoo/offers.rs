//! Consumers and data consumers that a client is asked to take: `newConsumer` and `newDataConsumer`. A consumer is
//! paused until its client has answered, so that nothing is lost; one that is refused, or not answered in time, is
//! closed.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::bodies::stream_parameters;
use super::message::{Refusal, request};
use super::session::{Dialect, Session};
use super::told::score_members;
use crate::ortc::RtpParameters;
use crate::rooms::{CreatedConsumer, CreatedDataConsumer, NewConsumer};

/// Offers that a client may not have answered at a time; further ones wait.
const MAX_OFFERS: usize = 64;
/// Things that a client is to be offered; a client that has no transport to receive on is offered the newest of them
/// when it has one.
const MAX_WISHES: usize = 16_384;
/// Requests' ids are below this (protoo's).
const IDS: u64 = 10_000_000;

/// What a client is to be offered.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    /// A producer's media.
    Media(String),
    /// A data producer's messages.
    Data(String),
}

/// What a client has been offered.
#[derive(Clone, Debug)]
enum Offered {
    Media(String),
    Data(String),
}

/// An offer that is not answered yet.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    what: Offered,
    pub(super) until: Instant,
}

/// How long an answer may take, the longer the more are asked for (protoo-server's).
fn patience(pending: usize) -> Duration {
    Duration::from_millis(2_000 * 15 + 200 * u64::try_from(pending).unwrap_or(u64::MAX))
}

/// The highest temporal layer of `L3T3_KEY` and the like.
fn highest_temporal(parameters: &RtpParameters) -> Option<u8> {
    let mode = parameters.encodings.first()?.scalability_mode.as_deref()?;
    let (_, temporal) = mode.split_once('T')?;
    temporal.trim_end_matches("_KEY").parse::<u8>().ok()?.checked_sub(1)
}

impl Session {
    /// The client is to be sent a producer's media, as often as the room's settings say.
    pub(super) fn wish_media(&mut self, producer: String) {
        if self.takes_media {
            let times = 1 + self.room.consumer_replicas();
            self.wishes.extend(std::iter::repeat_n(Wish::Media(producer), times));
            self.wishes.drain(..self.wishes.len().saturating_sub(MAX_WISHES));
        }
    }

    /// The client is to be sent a data producer's messages.
    pub(super) fn wish_data(&mut self, data_producer: String) {
        if self.takes_data {
            self.wishes.push_back(Wish::Data(data_producer));
            self.wishes.drain(..self.wishes.len().saturating_sub(MAX_WISHES));
        }
    }

    /// Offers what can be offered now, all media of it in one batch.
    pub(super) async fn offer(&mut self) {
        let Some(transport) = self.receives_on.clone() else { return };
        while !self.wishes.is_empty() && self.offers.len() < MAX_OFFERS {
            let room_for = MAX_OFFERS - self.offers.len();
            let mut media = Vec::new();
            while let Some(Wish::Media(producer)) = self.wishes.front().filter(|_| media.len() < room_for) {
                media.push(NewConsumer {
                    producer: producer.clone(),
                    rtp_capabilities: None,
                    enable_rtx: Some(true),
                    paused: true,
                });
                self.wishes.pop_front();
            }
            if !media.is_empty() {
                self.offer_media(&transport, media).await;
            } else if let Some(Wish::Data(data_producer)) = self.wishes.pop_front() {
                self.offer_data(&transport, &data_producer).await;
            }
        }
    }

    async fn offer_media(&mut self, transport: &str, media: Vec<NewConsumer>) {
        let made = match self.room.consume_all(&self.peer, transport, media).await {
            Ok(made) => made,
            Err(error) => return self.log(&error),
        };
        for consumer in made {
            match consumer {
                Ok(consumer) => {
                    let highest = highest_temporal(&consumer.rtp_parameters);
                    self.temporal.insert(consumer.name.clone(), (highest, None));
                    let data = consumer_members(&consumer, transport, self.dialect);
                    self.ask("newConsumer", &data, Offered::Media(consumer.name));
                }
                // It has closed meanwhile, or the client has no codec for it.
                Err(error) => self.log(&error),
            }
        }
    }

    async fn offer_data(&mut self, transport: &str, data_producer: &str) {
        match self.room.consume_data(&self.peer, transport, data_producer).await {
            Ok(made) => {
                let data = data_consumer_members(&made, transport, self.dialect);
                self.ask("newDataConsumer", &data, Offered::Data(made.name));
            }
            Err(error) => self.log(&error),
        }
    }

    fn log(&self, error: &crate::rooms::Error) {
        tracing::debug!("{:?} in room {:?} is not sent something: {error}", self.peer.name(), self.room.id());
    }

    fn ask(&mut self, method: &str, data: &Value, what: Offered) {
        let id = loop {
            let id = rand::random::<u64>() % IDS;
            if !self.offers.contains_key(&id) {
                break id;
            }
        };
        let until = Instant::now() + patience(self.offers.len());
        self.offers.insert(id, Offer { what, until });
        self.say(request(id, method, data));
    }

    /// The client has answered an offer.
    pub(super) async fn answered(&mut self, id: u64, result: Result<(), Refusal>) {
        // An answer that nobody waits for comes late.
        let Some(Offer { what, .. }) = self.offers.remove(&id) else { return };
        let name = match (what, result) {
            (Offered::Media(consumer), Ok(())) => {
                match self.room.pause_consumer(&self.peer, &consumer, false).await {
                    Ok(()) => self.tell_score(&consumer).await,
                    // It has closed meanwhile.
                    Err(error) => self.log(&error),
                }
                return;
            }
            (Offered::Data(_), Ok(())) => return,
            (what, Err(refusal)) => {
                let Refusal { code, reason } = refusal;
                tracing::debug!(
                    "{:?} in room {:?} takes no {what:?}: {code} {reason}",
                    self.peer.name(),
                    self.room.id()
                );
                what
            }
        };
        self.withdraw(name).await;
    }

    /// The score of a consumer that the client has taken: the legacy client is not told it with the offer.
    async fn tell_score(&mut self, consumer: &str) {
        if let Ok(score) = self.room.consumer_score(&self.peer, consumer).await {
            self.tell("consumerScore", &json!({ "consumerId": consumer, "score": score_members(&score) }));
        }
    }

    /// What is not answered in time is withdrawn.
    pub(super) async fn expire(&mut self) {
        let now = Instant::now();
        let overdue = self.offers.iter().filter(|(_, offer)| offer.until <= now).map(|(id, _)| *id);
        for id in overdue.collect::<Vec<_>>() {
            if let Some(Offer { what, .. }) = self.offers.remove(&id) {
                self.withdraw(what).await;
            }
        }
    }

    async fn withdraw(&mut self, what: Offered) {
        let closed = match &what {
            Offered::Media(consumer) => {
                self.temporal.remove(consumer);
                self.room.close_consumer(&self.peer, consumer).await
            }
            Offered::Data(data_consumer) => self.room.close_data_consumer(&self.peer, data_consumer).await,
        };
        if let Err(error) = closed {
            self.log(&error);
        }
    }
}

/// `newConsumer`.
fn consumer_members(of: &CreatedConsumer, transport: &str, dialect: Dialect) -> Value {
    let mut app_data = of.app_data.clone().unwrap_or_else(|| json!({}));
    app_data["peerId"] = json!(of.peer);
    // Those that came by another signaling say nothing of it.
    if dialect != Dialect::Legacy && app_data.get("source").is_none() {
        app_data["source"] = json!(of.kind);
    }
    json!({
        "peerId": of.peer,
        "transportId": transport,
        "id": of.name,
        "consumerId": of.name,
        "producerId": of.producer,
        "kind": of.kind,
        "rtpParameters": of.rtp_parameters,
        "type": of.streams,
        "producerPaused": of.producer_paused,
        "consumerScore": score_members(&of.score),
        "appData": app_data,
    })
}

/// `newDataConsumer`.
fn data_consumer_members(of: &CreatedDataConsumer, transport: &str, dialect: Dialect) -> Value {
    let mut app_data = of.app_data.clone();
    // The typed client looks for the channel there, which is the label's.
    if dialect != Dialect::Legacy && app_data.get("channel").is_none() {
        app_data["channel"] = json!(of.label);
    }
    let mut data = json!({
        "transportId": transport,
        "id": of.name,
        "dataConsumerId": of.name,
        "dataProducerId": of.data_producer,
        "sctpStreamParameters": stream_parameters(of.stream, of.parameters),
        "label": of.label,
        "protocol": of.protocol,
        "appData": app_data,
    });
    match (&of.peer, dialect) {
        (Some(peer), _) => data["peerId"] = json!(peer),
        (None, Dialect::Legacy) => data["peerId"] = Value::Null,
        (None, _) => {}
    }
    data
}
