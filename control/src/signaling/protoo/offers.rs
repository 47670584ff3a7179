//! Consumers and data consumers that a client is asked to take: `newConsumer` and `newDataConsumer`. A consumer is
//! paused until its client has answered, so that nothing is lost; one that is refused, or not answered in time, is
//! closed. A data consumer is closed if it is refused.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::members::{consumer_members, data_consumer_members, score_members};
use super::message::{Refusal, request};
use super::pending::{IDS, MAX_OFFERS, MAX_WISHES, Offer, Offered, patience};
use super::session::Session;
use crate::ortc::{RtpParameters, name_lists};
use crate::rooms::NewConsumer;

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
            (0..times).for_each(|_| self.wish_media_once(producer.clone()));
        }
    }

    /// The same, once.
    pub(super) fn wish_media_once(&mut self, producer: String) {
        self.wishes.push_back(producer);
        self.wishes.drain(..self.wishes.len().saturating_sub(MAX_WISHES));
    }

    /// The client is to be sent a data producer's messages.
    pub(super) fn wish_data(&mut self, data_producer: String) {
        if self.takes_data {
            self.data_wishes.push_back(data_producer);
            self.data_wishes.drain(..self.data_wishes.len().saturating_sub(MAX_WISHES));
        }
    }

    /// Offers what can be offered now, all media of it in one batch.
    pub(super) async fn offer(&mut self) {
        let [media_on, data_on] = self.receives_on.clone();
        while let Some(transport) = media_on.as_ref().filter(|_| !self.wishes.is_empty()) {
            let room_for = MAX_OFFERS.saturating_sub(self.offers.len()).min(self.wishes.len());
            if room_for == 0 {
                break;
            }
            let new = |producer| NewConsumer { producer, rtp_capabilities: None, enable_rtx: Some(true), paused: true };
            let media = self.wishes.drain(..room_for).map(new).collect();
            self.offer_media(transport, media).await;
        }
        while let Some(transport) = data_on.as_ref().filter(|_| self.offers.len() < MAX_OFFERS) {
            let Some(data_producer) = self.data_wishes.pop_front() else { break };
            self.offer_data(transport, &data_producer).await;
        }
    }

    async fn offer_media(&mut self, transport: &str, media: Vec<NewConsumer>) {
        let made = match self.room.consume_all(&self.peer, transport, media).await {
            Ok(made) => made,
            Err(error) => return self.log(&error),
        };
        for consumer in made {
            match consumer {
                Ok(mut consumer) => {
                    if self.rights.red {
                        name_lists(&mut consumer.rtp_parameters);
                    }
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

    /// A consumer that is not answered in time is withdrawn: it would be paused for ever. A data consumer stays, as
    /// with the demo's server: it is sent messages already, and some clients answer under another id (pymediasoup's
    /// example).
    pub(super) async fn expire(&mut self) {
        let now = Instant::now();
        let overdue = self.offers.iter().filter(|(_, offer)| offer.until <= now).map(|(id, _)| *id);
        for id in overdue.collect::<Vec<_>>() {
            if let Some(Offer { what: what @ Offered::Media(_), .. }) = self.offers.remove(&id) {
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
