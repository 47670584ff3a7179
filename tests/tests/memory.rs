//! What objects cost in memory. `cargo test -p corecast-tests --test memory -- --nocapture` prints the figures that
//! docs/performance.md quotes; the bounds here are twice as wide.

use std::fs;

use corecast_core::{Config, Endpoint, EndpointId, Instant, Outbox, Path, Worker};
use corecast_wire::{
    Codec, CodecMapping, Command, ConsumeOptions, ConsumerId, EncodingMapping, MediaKind, PayloadTypeMapping,
    PlainTransportOptions, ProduceOptions, ProducerId, RouterId, SrtpCryptoSuite, SrtpParameters, TransportId,
};

const TRANSPORTS: u32 = 2_000;
const CONSUMERS: u32 = 20_000;
const PACKETS: u16 = 2_000;

fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a figure");
    line.split_whitespace().nth(1).expect("a number").parse::<usize>().expect("kB") * 1_024
}

struct Machine {
    worker: Worker,
    outbox: Outbox,
}

impl Machine {
    fn must(&mut self, command: &Command, opened: &[Endpoint]) {
        self.worker.handle_command(Instant::default(), command, opened, &mut self.outbox).expect("lawful");
        self.outbox.clear();
    }

    fn transport(&mut self, number: u32) {
        let suite = SrtpCryptoSuite::AeadAes128Gcm;
        let srtp = SrtpParameters { suite, key_and_salt: vec![7; suite.key_and_salt_len()] };
        let local = Endpoint { id: EndpointId(number), local: ([127, 0, 0, 1], 4_000).into() };
        let options = PlainTransportOptions {
            comedia: true,
            srtp: (number > 0).then_some(srtp),
            ..PlainTransportOptions::new(local.local.ip(), 1)
        };
        let transport = TransportId(number.into());
        self.must(&Command::CreatePlainTransport { router: RouterId(1), transport, options }, &[local]);
    }

    fn consume(&mut self, number: u32) {
        let options = ConsumeOptions {
            nack: true,
            ..ConsumeOptions::new(number + 1, vec![PayloadTypeMapping::same(101)], "abcdefgh".into())
        };
        let transport = TransportId(u64::from(1 + number % (TRANSPORTS - 1)));
        let consumer = ConsumerId(number.into());
        self.must(&Command::Consume { transport, consumer, producer: ProducerId(1), options }, &[]);
    }
}

fn produce() -> ProduceOptions {
    let codec = CodecMapping { payload_type: 96, mapped_payload_type: 101, codec: Codec::Vp8, clock_rate_hz: 90_000 };
    ProduceOptions::new(MediaKind::Video, vec![codec], vec![EncodingMapping::announced(1_111)])
}

#[test]
fn objects_cost_what_the_documentation_says() {
    let mut machine = Machine { worker: Worker::new(Config::plain(std::time::Instant::now())), outbox: Outbox::new() };
    machine.must(&Command::CreateRouter { router: RouterId(1) }, &[]);
    machine.transport(0);
    let producer = ProducerId(1);
    machine.must(&Command::Produce { transport: TransportId(0), producer, options: produce() }, &[]);

    let path = Path { local: EndpointId(0), remote: ([192, 0, 2, 1], 5_000).into() };
    for sequence in 0..PACKETS {
        let mut packet = vec![0x80, 96];
        packet.extend(sequence.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(1_111_u32.to_be_bytes());
        packet.resize(1_200, 7);
        machine.worker.handle_datagram(Instant::default(), Instant::default(), path, &packet, &mut machine.outbox);
        machine.worker.forward(Instant::default(), &mut machine.outbox);
        machine.outbox.clear();
    }
    let stream = machine.worker.history().memory_bytes();

    let before = resident_bytes();
    (1..TRANSPORTS).for_each(|number| machine.transport(number));
    let transport = (resident_bytes() - before) / (TRANSPORTS - 1) as usize;
    let before = resident_bytes();
    (0..CONSUMERS).for_each(|number| machine.consume(number));
    let consumer = (resident_bytes() - before) / CONSUMERS as usize;

    println!("bytes: idle consumer {consumer}, SRTP transport {transport}, history of a video stream {stream}");
    assert!(consumer <= 2 * 1_024, "{consumer} bytes for an idle consumer");
    assert!(transport <= 8 * 1_024, "{transport} bytes for an SRTP transport in the machine");
    assert!(stream <= 2 * 1_024 * 1_024, "{stream} bytes of history for a video stream");
}
