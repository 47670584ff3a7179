//! Records: what a worker that takes the place of a dead one is told, so that calls go on. They are the commands that
//! are still in effect, and what the worker has learnt beyond them: keys that were agreed, paths, remote sides.
//!
//! Numbers that change with every packet are not here (see the core's `Words`). Nor are data channels: the DTLS
//! association through which they go cannot be taken over.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{
    Command, IceTuple, PlainTransportOptions, ProducerId, SrtpParameters, TransportId, WebRtcTransportOptions,
};

/// One thing that a worker is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// Control's command, which was applied.
    Command(Command),
    /// A WebRTC transport has these keys from its handshake.
    Keys {
        /// Which transport.
        transport: TransportId,
        /// With which we send.
        sending: SrtpParameters,
        /// With which the remote side sends.
        receiving: SrtpParameters,
    },
    /// The remote side of a WebRTC transport has closed its association: the keys are of no more use.
    Closed {
        /// Which transport.
        transport: TransportId,
    },
    /// A WebRTC transport's media goes here.
    Path {
        /// Which transport.
        transport: TransportId,
        /// The pair of addresses; `None` if it goes nowhere.
        tuple: Option<IceTuple>,
    },
    /// The remote side of a WebRTC transport uses its newest ICE credentials: those before are no longer good.
    IceRestarted {
        /// Which transport.
        transport: TransportId,
    },
    /// An SSRC of a transport that is in use no longer, and what may not become of it.
    Ssrc {
        /// Which transport.
        transport: TransportId,
        /// The SSRC.
        ssrc: u32,
        /// What it was.
        was: FormerSsrc,
    },
    /// A plain transport with comedia has learnt where its remote side is.
    Remote {
        /// Which transport.
        transport: TransportId,
        /// The address.
        remote: SocketAddr,
        /// True if it is the RTCP address of a transport without `rtcp_mux`.
        rtcp: bool,
    },
}

/// What an SSRC was that is in use no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FormerSsrc {
    /// One of a closed consumer: nothing else is sent under it with the same key.
    Sent,
    /// One of a closed producer: its sender may not have noticed, and takes no other producer's place.
    Left,
    /// One that gave its place to another under SRTP: it does not come back.
    Retired,
}

/// What a record is about, in the order in which a worker is told. A later record of one subject takes the place of an
/// earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    aspect: Aspect,
    id: u64,
    /// The producer to which an observer listens; which SSRC; otherwise 0.
    other: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Aspect {
    Router,
    Transport,
    IceRestart,
    /// What the remote side said of itself; the keys that were agreed then take its place.
    Connection,
    Remote,
    RtcpRemote,
    MaxIncoming,
    Outgoing,
    Path,
    SentSsrc,
    LeftSsrc,
    RetiredSsrc,
    Producer,
    ProducerPaused,
    Consumer,
    ConsumerPaused,
    Layers,
    Priority,
    Observer,
    ObserverPaused,
    Observed,
    Loudest,
}

const OF_TRANSPORT: [Aspect; 8] = [
    Aspect::Transport,
    Aspect::IceRestart,
    Aspect::Connection,
    Aspect::Remote,
    Aspect::RtcpRemote,
    Aspect::MaxIncoming,
    Aspect::Outgoing,
    Aspect::Path,
];
const OF_PRODUCER: [Aspect; 2] = [Aspect::Producer, Aspect::ProducerPaused];
const OF_CONSUMER: [Aspect; 4] = [Aspect::Consumer, Aspect::ConsumerPaused, Aspect::Layers, Aspect::Priority];
const OF_ROUTER: [Aspect; 2] = [Aspect::Router, Aspect::Loudest];
const OF_OBSERVER: [Aspect; 2] = [Aspect::Observer, Aspect::ObserverPaused];

impl Subject {
    const fn new(aspect: Aspect, id: u64) -> Self {
        Self { aspect, id, other: 0 }
    }
}

impl Record {
    /// What it is about; `None` if nothing of it has to be told again.
    #[must_use]
    pub fn subject(&self) -> Option<Subject> {
        let (aspect, id) = match self {
            Self::Keys { transport, .. } => (Aspect::Connection, transport.0),
            Self::Path { transport, tuple: Some(_) } => (Aspect::Path, transport.0),
            Self::Closed { .. } | Self::Path { tuple: None, .. } | Self::IceRestarted { .. } => return None,
            Self::Ssrc { transport, ssrc, was } => {
                let aspect = match was {
                    FormerSsrc::Sent => Aspect::SentSsrc,
                    FormerSsrc::Left => Aspect::LeftSsrc,
                    FormerSsrc::Retired => Aspect::RetiredSsrc,
                };
                return Some(Subject { aspect, id: transport.0, other: u64::from(*ssrc) });
            }
            Self::Remote { transport, rtcp: false, .. } => (Aspect::Remote, transport.0),
            Self::Remote { transport, rtcp: true, .. } => (Aspect::RtcpRemote, transport.0),
            Self::Command(command) => return subject_of(command),
        };
        Some(Subject::new(aspect, id))
    }

    /// What has to be there for it.
    fn parents(&self) -> Vec<Subject> {
        let one = |aspect, id| vec![Subject::new(aspect, id)];
        match self {
            Self::Keys { transport, .. }
            | Self::Closed { transport }
            | Self::Path { transport, .. }
            | Self::IceRestarted { transport }
            | Self::Ssrc { transport, .. }
            | Self::Remote { transport, .. } => one(Aspect::Transport, transport.0),
            Self::Command(command) => match command {
                Command::CreatePlainTransport { router, .. }
                | Command::CreateWebRtcTransport { router, .. }
                | Command::CreateDirectTransport { router, .. }
                | Command::CreateRtpObserver { router, .. }
                | Command::SetLoudest { router, .. } => one(Aspect::Router, router.0),
                Command::ConnectPlainTransport { transport, .. }
                | Command::ConnectWebRtcTransport { transport, .. }
                | Command::RestartIce { transport, .. }
                | Command::SetMaxIncomingBitrate { transport, .. }
                | Command::SetOutgoingBitrates { transport, .. }
                | Command::Produce { transport, .. } => one(Aspect::Transport, transport.0),
                Command::PauseProducer { producer, .. } => one(Aspect::Producer, producer.0),
                Command::Consume { transport, producer, .. } => {
                    vec![Subject::new(Aspect::Transport, transport.0), Subject::new(Aspect::Producer, producer.0)]
                }
                Command::PauseConsumer { consumer, .. }
                | Command::SetPreferredLayers { consumer, .. }
                | Command::SetPriority { consumer, .. } => one(Aspect::Consumer, consumer.0),
                Command::PauseRtpObserver { observer, .. } => one(Aspect::Observer, observer.0),
                Command::ObserveProducer { observer, producer, .. } => {
                    vec![Subject::new(Aspect::Observer, observer.0), Subject::new(Aspect::Producer, producer.0)]
                }
                _ => Vec::new(),
            },
        }
    }
}

fn subject_of(command: &Command) -> Option<Subject> {
    let (aspect, id) = match command {
        Command::CreateRouter { router } => (Aspect::Router, router.0),
        Command::CreatePlainTransport { transport, .. }
        | Command::CreateWebRtcTransport { transport, .. }
        | Command::CreateDirectTransport { transport, .. } => (Aspect::Transport, transport.0),
        Command::ConnectPlainTransport { transport, .. } | Command::ConnectWebRtcTransport { transport, .. } => {
            (Aspect::Connection, transport.0)
        }
        Command::RestartIce { transport, .. } => (Aspect::IceRestart, transport.0),
        Command::SetMaxIncomingBitrate { transport, .. } => (Aspect::MaxIncoming, transport.0),
        Command::SetOutgoingBitrates { transport, .. } => (Aspect::Outgoing, transport.0),
        Command::Produce { producer, .. } => (Aspect::Producer, producer.0),
        Command::PauseProducer { producer, .. } => (Aspect::ProducerPaused, producer.0),
        Command::Consume { consumer, .. } => (Aspect::Consumer, consumer.0),
        Command::PauseConsumer { consumer, .. } => (Aspect::ConsumerPaused, consumer.0),
        Command::SetPreferredLayers { consumer, .. } => (Aspect::Layers, consumer.0),
        Command::SetPriority { consumer, .. } => (Aspect::Priority, consumer.0),
        Command::CreateRtpObserver { observer, .. } => (Aspect::Observer, observer.0),
        Command::SetLoudest { router, .. } => (Aspect::Loudest, router.0),
        Command::PauseRtpObserver { observer, .. } => (Aspect::ObserverPaused, observer.0),
        Command::ObserveProducer { observer, producer, .. } => {
            return Some(Subject { aspect: Aspect::Observed, id: observer.0, other: producer.0 });
        }
        _ => return None,
    };
    Some(Subject::new(aspect, id))
}

/// What a record ends: these aspects of this object. What was inside it goes when the records are gone through.
fn ended_by(record: &Record) -> Option<(&'static [Aspect], u64)> {
    let command = match record {
        Record::Closed { transport } => return Some((&[Aspect::Connection, Aspect::Path], transport.0)),
        Record::Path { transport, tuple: None } => return Some((&[Aspect::Path], transport.0)),
        Record::Command(command) => command,
        _ => return None,
    };
    Some(match command {
        Command::CloseRouter { router } => (&OF_ROUTER, router.0),
        Command::CloseTransport { transport } => (&OF_TRANSPORT, transport.0),
        Command::CloseProducer { producer } => (&OF_PRODUCER, producer.0),
        Command::CloseConsumer { consumer } => (&OF_CONSUMER, consumer.0),
        Command::CloseRtpObserver { observer } => (&OF_OBSERVER, observer.0),
        _ => return None,
    })
}

/// A change of the records: the encoded record of a subject, or that there is none left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What it is about.
    pub subject: Subject,
    /// The record as postcard writes it; `None` if it is gone.
    pub record: Option<Vec<u8>>,
}

/// All that a worker would be told, by subject.
#[derive(Clone, Debug, Default)]
pub struct Records(BTreeMap<Subject, Vec<u8>>);

impl Records {
    /// Takes in what was applied or learnt. Returns what changes by it, in the order in which it is to be kept.
    pub fn note(&mut self, record: &Record) -> Vec<Change> {
        if let Record::Command(Command::MoveConsumer { consumer, producer }) = record {
            return self.move_consumer(consumer.0, *producer);
        }
        if let Record::Command(Command::RekeyPlainTransport { transport, srtp }) = record {
            return self.rekey(transport.0, srtp);
        }
        if let Record::IceRestarted { transport } = record {
            return self.settle_restart(transport.0);
        }
        if let Some((aspects, id)) = ended_by(record) {
            let subjects = aspects.iter().map(|aspect| Subject::new(*aspect, id));
            let gone = subjects.filter(|subject| self.0.remove(subject).is_some());
            return gone.map(|subject| Change { subject, record: None }).collect();
        }
        record.subject().and_then(|subject| self.put(subject, record)).into_iter().collect()
    }

    fn put(&mut self, subject: Subject, record: &Record) -> Option<Change> {
        let bytes = postcard::to_stdvec(record).ok()?;
        self.0.insert(subject, bytes.clone());
        Some(Change { subject, record: Some(bytes) })
    }

    /// A consumer has another producer, and prefers its highest layer.
    fn move_consumer(&mut self, id: u64, to: ProducerId) -> Vec<Change> {
        let (subject, layers) = (Subject::new(Aspect::Consumer, id), Subject::new(Aspect::Layers, id));
        let Some(Record::Command(Command::Consume { transport, consumer, options, .. })) = self.get(&subject) else {
            return Vec::new();
        };
        let moved = Record::Command(Command::Consume { transport, consumer, producer: to, options });
        let forgotten = self.0.remove(&layers).map(|_| Change { subject: layers, record: None });
        forgotten.into_iter().chain(self.put(subject, &moved)).collect()
    }

    fn get(&self, subject: &Subject) -> Option<Record> {
        postcard::from_bytes(self.0.get(subject)?).ok()
    }

    /// A plain transport is made with its newest key.
    fn rekey(&mut self, id: u64, srtp: &SrtpParameters) -> Vec<Change> {
        let subject = Subject::new(Aspect::Transport, id);
        let Some(Record::Command(Command::CreatePlainTransport { router, transport, options })) = self.get(&subject)
        else {
            return Vec::new();
        };
        let options = PlainTransportOptions { srtp: Some(srtp.clone()), ..options };
        let rekeyed = Record::Command(Command::CreatePlainTransport { router, transport, options });
        self.put(subject, &rekeyed).into_iter().collect()
    }

    /// A transport is made with its newest ICE credentials.
    fn settle_restart(&mut self, id: u64) -> Vec<Change> {
        let (made, restart) = (Subject::new(Aspect::Transport, id), Subject::new(Aspect::IceRestart, id));
        let (Some(Record::Command(Command::CreateWebRtcTransport { router, transport, options })), Some(newest)) =
            (self.get(&made), self.get(&restart))
        else {
            return Vec::new();
        };
        let Record::Command(Command::RestartIce { ice, .. }) = newest else { return Vec::new() };
        let options = WebRtcTransportOptions { ice, ..options };
        let settled = Record::Command(Command::CreateWebRtcTransport { router, transport, options });
        self.0.remove(&restart);
        self.put(made, &settled).into_iter().chain([Change { subject: restart, record: None }]).collect()
    }

    /// Takes over a change that was kept.
    pub fn take_over(&mut self, Change { subject, record }: Change) {
        match record {
            Some(bytes) => drop(self.0.insert(subject, bytes)),
            None => drop(self.0.remove(&subject)),
        }
    }

    /// Forgets what was inside of something that is gone, and returns the rest, in the order in which a worker is told.
    pub fn sweep(&mut self) -> Vec<Record> {
        let (mut there, mut rest) = (BTreeSet::new(), Vec::new());
        self.0.retain(|subject, bytes| {
            let record: Option<Record> = postcard::from_bytes(bytes).ok();
            let record = record.filter(|record| record.parents().iter().all(|parent| there.contains(parent)));
            let stays = record.is_some();
            there.extend(stays.then_some(*subject));
            rest.extend(record);
            stays
        });
        rest
    }

    /// Every record, as changes that make the same records.
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        self.0.iter().map(|(subject, bytes)| Change { subject: *subject, record: Some(bytes.clone()) })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConsumeOptions, ConsumerId, MediaKind, ProduceOptions, ProducerId, RouterId, SpatialLayer};

    const ROUTER: RouterId = RouterId(1);

    fn transport(id: u64) -> Command {
        Command::CreateDirectTransport { router: ROUTER, transport: TransportId(id) }
    }

    fn produce(id: u64) -> Command {
        let options = ProduceOptions::new(MediaKind::Audio, Vec::new(), Vec::new());
        Command::Produce { transport: TransportId(1), producer: ProducerId(id), options }
    }

    fn consume(id: u64, producer: u64) -> Command {
        let options = ConsumeOptions::new(5, Vec::new(), "cname".to_owned());
        let (transport, consumer) = (TransportId(2), ConsumerId(id));
        Command::Consume { transport, consumer, producer: ProducerId(producer), options }
    }

    fn pause(id: u64, paused: bool) -> Command {
        Command::PauseConsumer { consumer: ConsumerId(id), paused }
    }

    fn told(commands: impl IntoIterator<Item = Command>) -> Vec<Command> {
        let (mut records, mut kept) = (Records::default(), Records::default());
        for command in commands {
            records.note(&Record::Command(command)).into_iter().for_each(|change| kept.take_over(change));
        }
        let told = records.sweep();
        assert_eq!(told, kept.sweep(), "what is kept says the same");
        assert_eq!(kept.len(), told.len());
        let command = |record| match record {
            Record::Command(command) => command,
            other => panic!("{other:?}"),
        };
        told.into_iter().map(command).collect()
    }

    #[test]
    fn what_is_in_effect_is_told_in_an_order_that_can_be_applied() {
        let (router, usage) = (Command::CreateRouter { router: ROUTER }, Command::Usage);
        let commands = [router.clone(), transport(2), transport(1), produce(3), consume(4, 3), usage, pause(4, true)];
        let expected = [router, transport(1), transport(2), produce(3), consume(4, 3), pause(4, true)];
        assert_eq!(told(commands.clone()), expected);
        // The last word counts.
        let resumed = told(commands.into_iter().chain([pause(4, false)]));
        assert_eq!(resumed.last(), Some(&pause(4, false)));
    }

    #[test]
    fn what_is_closed_is_not_told_and_nothing_inside_it() {
        let all = || [Command::CreateRouter { router: ROUTER }, transport(1), transport(2), produce(3), consume(4, 3)];
        let after = |command| told(all().into_iter().chain([pause(4, true), command]));
        assert_eq!(after(Command::CloseRouter { router: ROUTER }), []);
        assert_eq!(after(Command::CloseTransport { transport: TransportId(1) }), [all()[0].clone(), transport(2)]);
        assert_eq!(after(Command::CloseProducer { producer: ProducerId(3) }), all()[..3]);
        assert_eq!(after(Command::CloseConsumer { consumer: ConsumerId(4) }), all()[..4]);
    }

    #[test]
    fn a_consumer_that_was_moved_is_made_of_its_new_producer() {
        let layers =
            Command::SetPreferredLayers { consumer: ConsumerId(4), spatial: SpatialLayer::Quality(0), temporal: None };
        let (close, moved) = (
            Command::CloseProducer { producer: ProducerId(3) },
            Command::MoveConsumer { consumer: ConsumerId(4), producer: ProducerId(5) },
        );
        let router = Command::CreateRouter { router: ROUTER };
        let commands =
            [router.clone(), transport(1), transport(2), produce(3), consume(4, 3), layers, close, produce(5), moved];
        assert_eq!(told(commands), [router, transport(1), transport(2), produce(5), consume(4, 5)]);
    }

    #[test]
    fn keys_take_the_place_of_what_the_remote_side_said() {
        let connect =
            Command::ConnectPlainTransport { transport: TransportId(1), remote: None, rtcp_remote: None, srtp: None };
        let keys = SrtpParameters { suite: crate::SrtpCryptoSuite::AeadAes128Gcm, key_and_salt: vec![1; 28] };
        let agreed = Record::Keys { transport: TransportId(1), sending: keys.clone(), receiving: keys };
        let mut records = Records::default();
        for record in [Command::CreateRouter { router: ROUTER }, transport(1), connect].map(Record::Command) {
            records.note(&record);
        }
        records.note(&agreed);
        assert_eq!(records.sweep().last(), Some(&agreed));
        assert_eq!(records.len(), 3);
    }
}
