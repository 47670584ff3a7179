//! Which encodings of what a peer publishes its viewers take: a sender may leave out those that nobody does.

use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::ear::{Ear, PeerEvent};
use super::error::Error;
use super::media::Producer;
use super::peer::PeerHandle;
use super::room::Room;
use crate::workers::Worker;

impl Producer {
    /// Follows which of its encodings nobody takes. It is about to be made, or to be found. A participant is told.
    pub(super) fn follow_wanted(&mut self, worker: &Arc<Worker>, name: &str, ear: Option<Ear>) {
        if self.encodings.len() < 2 {
            return;
        }
        let events = worker.events();
        self.unwanted = Some(match ear {
            Some(ear) => events.producer_with(self.id, Box::new(unwanted_told(ear, name, self.encodings.clone()))),
            None => events.producer(self.id),
        });
    }

    /// Names of its encodings that nobody takes.
    pub(super) fn unwanted(&self) -> Vec<String> {
        let unwanted = self.unwanted.as_ref().map(|states| states.receiver().borrow().clone());
        names(&self.encodings, &unwanted.unwrap_or_default())
    }
}

fn names(encodings: &[String], unwanted: &[u8]) -> Vec<String> {
    unwanted.iter().filter_map(|encoding| encodings.get(usize::from(*encoding)).cloned()).collect()
}

fn unwanted_told(ear: Ear, producer: &str, encodings: Vec<String>) -> impl Fn(&Vec<u8>) + Send + Sync + use<> {
    let (told, producer) = (Mutex::new(Vec::new()), producer.to_owned());
    move |unwanted| {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != *unwanted {
            told.clone_from(unwanted);
            let encodings = names(&encodings, unwanted);
            ear.tell(PeerEvent::Unwanted { producer: producer.clone(), encodings });
        }
    }
}

/// The encodings of a producer, and which of them nobody takes.
#[derive(Clone, Debug)]
pub(crate) struct EncodingsWanted {
    /// Names of all, in the order in which they were announced.
    pub(crate) names: Vec<String>,
    /// Those that nobody takes, by their places.
    pub(crate) unwanted: watch::Receiver<Vec<u8>>,
}

impl Room {
    /// Tells which encodings of a peer's producer nobody takes; `None` if it has one alone.
    pub(crate) async fn watch_wanted(
        &self,
        peer: &PeerHandle,
        producer: &str,
    ) -> Result<Option<EncodingsWanted>, Error> {
        let mut state = self.state().await;
        let producer = state.producer_of(peer, producer)?;
        let names = producer.encodings.clone();
        Ok(producer.unwanted.as_ref().map(|states| EncodingsWanted { names, unwanted: states.receiver() }))
    }
}
