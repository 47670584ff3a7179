//! Data channels of the real machine: with str0m as the independent peer (`sctp-proto`), with loss and in another
//! order, and with peers that have keys and no manners.

mod channels;
mod hostile;

use std::time::Duration;

use corecast_tests::webrtc::Bench;
use corecast_wire::{
    Command, ConsumeDataOptions, DataConsumerId, DataProducerId, DtlsVersions, Event, ProduceDataOptions, SctpOptions,
    SctpStreamParameters, TransportId,
};
use str0m::channel::{ChannelConfig, ChannelId};
use str0m::config::DtlsVersion;

/// What both sides of a test announce.
const SCTP: SctpOptions = SctpOptions::new(5_000, 262_144);

/// A channel that a peer has opened and that was accepted.
#[derive(Clone, Debug, PartialEq)]
struct Open {
    transport: TransportId,
    stream: u16,
    label: String,
    parameters: SctpStreamParameters,
    producer: DataProducerId,
}

/// A room as control has it: what comes on a channel goes to all others of the same label.
struct Room {
    bench: Bench,
    open: Vec<Open>,
    /// Events that were followed already.
    followed: usize,
    next_id: u64,
}

impl Room {
    fn new(mut bench: Bench) -> Self {
        bench.sctp = Some(SCTP);
        Self { bench, open: Vec::new(), followed: 0, next_id: 1 }
    }

    /// Two str0m peers, 1 and 2, connected; the first one begins DTLS, with the second one the machine does.
    fn of_two(versions: DtlsVersions, version: DtlsVersion) -> Self {
        let mut room = Self::new(Bench::new(versions));
        room.bench.join(1, true, version);
        room.bench.join(2, false, version);
        room.bench.run(Duration::from_secs(2));
        room.start();
        room
    }

    /// The peers begin their associations.
    fn start(&mut self) {
        for number in 1..=self.bench.peers.len() {
            self.bench.peers[number - 1].rtc.direct_api().start_sctp(true);
            self.bench.prompt(number);
        }
    }

    fn draw_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Does what control would do about what the machine has told.
    fn follow(&mut self) {
        while let Some(event) = self.bench.events.get(self.followed).cloned() {
            self.followed += 1;
            match event {
                Event::DataChannelOpened { transport, stream, label, parameters, .. } => {
                    self.accept(transport, stream, label, parameters);
                }
                Event::DataChannelClosed { transport, stream } => {
                    self.open.retain(|open| (open.transport, open.stream) != (transport, stream));
                }
                _ => {}
            }
        }
    }

    fn accept(&mut self, transport: TransportId, stream: u16, label: String, parameters: SctpStreamParameters) {
        let producer = DataProducerId(self.draw_id());
        let (protocol, paused) = (String::new(), false);
        let options = ProduceDataOptions { stream, label: label.clone(), protocol, paused };
        self.bench.must(&Command::ProduceData { transport, data_producer: producer, options });
        let own = Open { transport, stream, label, parameters, producer };
        let others = self.open.iter().filter(|other| other.label == own.label && other.transport != transport);
        for other in others.cloned().collect::<Vec<_>>() {
            self.consume(&other, own.producer);
            self.consume(&own, other.producer);
        }
        self.open.push(own);
        self.bench.must(&Command::AcceptDataChannel { transport, stream });
    }

    fn consume(&mut self, receiver: &Open, data_producer: DataProducerId) -> DataConsumerId {
        let (data_consumer, parameters) = (DataConsumerId(self.draw_id()), receiver.parameters);
        let options = ConsumeDataOptions { stream: receiver.stream, parameters, paused: false };
        let transport = receiver.transport;
        self.bench.must(&Command::ConsumeData { transport, data_consumer, data_producer, options });
        data_consumer
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.bench.run(Duration::from_millis(1));
            self.follow();
        }
    }

    /// A peer, by its number, opens a channel.
    fn open(&mut self, peer: usize, config: ChannelConfig) -> ChannelId {
        let channel = self.bench.peers[peer - 1].rtc.direct_api().create_data_channel(config);
        self.bench.prompt(peer);
        channel
    }

    fn send(&mut self, number: usize, channel: ChannelId, binary: bool, data: &[u8]) {
        let peer = &mut self.bench.peers[number - 1];
        let taken = peer.rtc.channel(channel).expect("open").write(binary, data).expect("connected");
        assert!(taken, "the sender's own buffer has room");
        self.bench.prompt(number);
    }

    /// What a peer has received since the last time.
    fn received(&mut self, peer: usize) -> Vec<(bool, Vec<u8>)> {
        let messages = std::mem::take(&mut self.bench.peers[peer - 1].messages);
        messages.into_iter().map(|message| (message.binary, message.data)).collect()
    }
}

fn labelled(label: &str) -> ChannelConfig {
    ChannelConfig { label: label.to_owned(), ..ChannelConfig::default() }
}
