//! Direct transports: messages from control to data consumers, and from data producers to control.

use corecast_core::{EndpointId, EndpointOp};
use corecast_wire::{
    Command, CommandError, ConsumeDataOptions, ConsumerId, DataConsumerId, DataProducerId, Event, ProduceDataOptions,
    Reply, RouterId, SctpStreamParameters, Subchannels, TransportId,
};

use crate::bed::{Bed, receiver, rtp, video};

const PRODUCER: DataProducerId = DataProducerId(1);
const CONSUMER: DataConsumerId = DataConsumerId(2);
/// A key frame of VP8.
const KEY: [u8; 11] = [0x10, 0, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0];

fn produce(transport: u64, data_producer: DataProducerId) -> Command {
    let options = ProduceDataOptions { stream: 0, label: "bot".into(), protocol: String::new(), paused: false };
    Command::ProduceData { transport: TransportId(transport), data_producer, options }
}

fn consume(transport: u64, data_consumer: DataConsumerId, data_producer: DataProducerId) -> Command {
    let options = ConsumeDataOptions { stream: 0, parameters: SctpStreamParameters::RELIABLE, paused: false };
    Command::ConsumeData { transport: TransportId(transport), data_consumer, data_producer, options }
}

fn say(ppid: u32, text: &[u8]) -> Command {
    Command::SendData { data_producer: PRODUCER, ppid, payload: text.to_vec(), to: Subchannels::default() }
}

/// A router with two direct transports, a data producer on one and its consumer on the other.
fn room() -> Bed {
    let mut bed = Bed::new();
    for transport in [8, 9].map(TransportId) {
        bed.command(&Command::CreateDirectTransport { router: RouterId(1), transport }).expect("new");
    }
    bed.command(&produce(8, PRODUCER)).expect("new");
    bed.command(&consume(9, CONSUMER, PRODUCER)).expect("new");
    bed
}

fn told(bed: &mut Bed) -> Vec<(u32, Vec<u8>)> {
    let events = std::iter::from_fn(|| bed.worker.poll_event());
    let message = |event| match event {
        Event::DataMessage { data_consumer: CONSUMER, ppid, payload } => (ppid, payload),
        other => panic!("{other:?}"),
    };
    events.map(message).collect()
}

#[test]
fn what_control_sends_is_told_to_those_who_consume_it() {
    let mut bed = room();
    bed.command(&say(51, b"hello")).expect("there");
    bed.command(&Command::SendDataTo { data_consumer: CONSUMER, ppid: 53, payload: vec![1, 2] }).expect("there");
    assert_eq!(told(&mut bed), [(51, b"hello".to_vec()), (53, vec![1, 2])]);
    bed.command(&Command::PauseDataConsumer { data_consumer: CONSUMER, paused: true }).expect("there");
    bed.command(&say(51, b"to nobody")).expect("there");
    bed.command(&Command::PauseDataConsumer { data_consumer: CONSUMER, paused: false }).expect("there");
    bed.command(&Command::PauseDataProducer { data_producer: PRODUCER, paused: true }).expect("there");
    bed.command(&say(51, b"to nobody")).expect("there");
    assert_eq!(told(&mut bed), []);
    assert_eq!(bed.discarded(), [("data_producer_paused", 1), ("data_consumer_paused", 1)]);
}

#[test]
fn a_direct_transport_closes_with_what_is_in_it() {
    let mut bed = room();
    let refused = |result: Result<Reply, CommandError>| matches!(result, Err(CommandError::Invalid { .. }));
    bed.transport(0, false, false);
    let packet = Command::SendPacket { transport: TransportId(0), packet: rtp(1, b"x") };
    assert!(refused(bed.command(&packet)), "has a remote side of its own");
    assert!(refused(bed.command(&say(50, b"x"))), "not the protocol of channels");
    assert!(refused(bed.command(&say(51, b""))), "an empty message has a byte");
    assert!(refused(bed.command(&produce(0, DataProducerId(5)))), "no data channels");
    bed.command(&Command::CloseTransport { transport: TransportId(8) }).expect("there");
    assert!(bed.command(&say(51, b"x")).is_err() && bed.command(&consume(9, DataConsumerId(3), PRODUCER)).is_err());
    let gone = Command::CloseDataConsumer { data_consumer: CONSUMER };
    assert!(bed.command(&gone).is_err(), "it has closed with its producer");
    bed.command(&Command::CloseRouter { router: RouterId(1) }).expect("there");
    let closed = std::iter::from_fn(|| bed.worker.poll_endpoint_op()).filter(|op| matches!(op, EndpointOp::Close(_)));
    assert_eq!(closed.collect::<Vec<_>>(), [EndpointOp::Close(EndpointId(0))], "that of the plain transport alone");
}

#[test]
fn packets_of_a_direct_transport_come_from_control_and_go_to_it() {
    let mut bed = room();
    bed.transport(0, false, false);
    bed.produce_as(8, 1, video()).expect("new");
    bed.consume_as(9, 1, receiver(21)).expect("new");
    bed.consume_as(0, 1, receiver(22)).expect("new");
    assert!(bed.worker.next_timeout().is_none_or(|due| due > bed.now), "nothing is due");
    for sequence in 1..=3 {
        bed.command(&Command::SendPacket { transport: TransportId(8), packet: rtp(sequence, &KEY) }).expect("there");
    }
    assert!(bed.worker.next_timeout().is_some_and(|due| due <= bed.now), "they are to be forwarded at once");
    assert_eq!(bed.sent().len(), 3, "those to the plain transport alone leave");
    let mut packets = 0;
    for event in std::iter::from_fn(|| bed.worker.poll_event()) {
        let Event::DirectPacket { transport: TransportId(9), consumer, packet } = event else { continue };
        assert_eq!(consumer, Some(ConsumerId(21)));
        assert_eq!(packet[8..12], 21_u32.to_be_bytes());
        packets += 1;
    }
    assert_eq!(packets, 3);
    let long = Command::SendPacket { transport: TransportId(8), packet: vec![0x80; 4_000] };
    assert!(bed.command(&long).is_err(), "no packet is so long");
}
