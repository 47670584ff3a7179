//! Branches of a room, and the pipes that join them to its home: what crosses, and the commands that make it. Asks no
//! worker.

use std::collections::{BTreeMap, HashSet};

use corecast_wire::{
    Command, ConsumeDataOptions, ConsumerId, DataConsumerId, DataProducerId, ProduceDataOptions, ProduceOptions,
    ProducerId, TransportId,
};
use serde::{Deserialize, Serialize};

use super::draw::{draw_first_sequence, draw_ssrc, next_id};
use super::error::{Code, Error};
use super::media::{DataProducer, Producer};
use super::site::Site;
use crate::ortc;

/// Streams of a pipe's association that are used, one for each data producer.
const STREAMS: u16 = 4_096;

/// The room on one further worker.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) site: Site,
    pub(super) pipe: Pipe,
    /// What crosses, by the name of its producer.
    pub(super) crossing: BTreeMap<String, Crossing>,
    /// A second pipe, if somebody there is to hear messages.
    pub(super) messages: Option<MessagePipe>,
    /// Looks at which nobody was on it, in a row.
    pub(super) empty: u8,
}

/// Two transports that are each other's remote side.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Ends {
    /// At home.
    pub(super) near: TransportId,
    /// On the branch.
    pub(super) far: TransportId,
}

/// A pipe for media.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pipe {
    pub(super) ends: Ends,
    /// Every SSRC that was ever used on it.
    pub(super) ssrcs: HashSet<u32>,
}

/// A producer that crosses a pipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Crossing {
    /// At home, one for each encoding.
    pub(super) consumers: Vec<ConsumerId>,
    /// On the branch.
    pub(super) producer: ProducerId,
    /// Looks at which nobody there watched it, in a row.
    #[serde(skip)]
    pub(super) unwatched: u8,
}

impl Branch {
    pub(super) fn new(site: Site, pipe: Pipe, crossing: BTreeMap<String, Crossing>) -> Self {
        Self { site, pipe, crossing, messages: None, empty: 0 }
    }
}

impl Crossing {
    /// Something that is about to cross, what makes its end on the branch, and what makes those at home.
    pub(super) fn new(producer: &Producer, pipe: &mut Pipe) -> (Self, Command, Vec<Command>) {
        let streams: Vec<_> = producer.encodings.iter().map(|_| (pipe.draw_ssrc(), draw_first_sequence())).collect();
        let ortc::Piped { consume, produce } = ortc::pipe(producer.kind, &producer.consumable, &streams);
        let options = ProduceOptions { paused: producer.paused, ..produce };
        let consumers: Vec<_> = consume.iter().map(|_| ConsumerId(next_id())).collect();
        let (transport, near) = (pipe.ends.far, pipe.ends.near);
        let new = Self { consumers: consumers.clone(), producer: ProducerId(next_id()), unwatched: 0 };
        let produce = Command::Produce { transport, producer: new.producer, options };
        let consume = consumers.into_iter().zip(consume).map(|(consumer, options)| Command::Consume {
            transport: near,
            consumer,
            producer: producer.id,
            options,
        });
        (new, produce, consume.collect())
    }

    /// What ends it at home.
    pub(super) fn close_near(&self) -> impl Iterator<Item = Command> {
        self.consumers.iter().map(|consumer| Command::CloseConsumer { consumer: *consumer })
    }

    /// What ends it on the branch.
    pub(super) fn close_far(&self) -> Command {
        Command::CloseProducer { producer: self.producer }
    }
}

impl Pipe {
    fn draw_ssrc(&mut self) -> u32 {
        let ssrc = draw_ssrc(&self.ssrcs);
        self.ssrcs.insert(ssrc);
        ssrc
    }
}

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
    pub(super) consumer: DataConsumerId,
    /// On the branch.
    pub(super) producer: DataProducerId,
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
    pub(super) fn cross(&self, producer: &DataProducer) -> Result<(Said, [Command; 2]), Error> {
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
