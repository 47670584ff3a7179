//! What a packet of SCTP costs: two associations of the crate `dcsctp`, each the other's peer, without DTLS.
//!
//! `cargo bench -p corecast-bench --bench sctp`. The time is that of one packet with data and its share of the
//! acknowledgements: made by the one side, taken in by the other. The throughput is that of payload.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dcsctp::api::{DcSctpSocket, Message, Options, PpId, SendOptions, SocketEvent, SocketTime, StreamId};

/// What fits one packet of the machine's.
const MESSAGE_BYTES: usize = 1_000;

struct Pair {
    sides: [Box<dyn DcSctpSocket>; 2],
    now: Duration,
}

impl Pair {
    fn new() -> Self {
        let sides = ["one", "two"].map(|name| dcsctp::new_socket(name, &Options::default()));
        let mut pair = Self { sides, now: Duration::ZERO };
        pair.sides[0].connect();
        pair.exchange();
        pair
    }

    /// Carries packets until neither side has any. Acknowledgements that would be delayed come at once.
    fn exchange(&mut self) {
        loop {
            let mut quiet = true;
            for from in [0, 1] {
                while let Some(event) = self.sides[from].poll_event() {
                    if let SocketEvent::SendPacket(packet) = event {
                        quiet = false;
                        self.sides[1 - from].handle_input(&packet);
                    }
                }
                while self.sides[from].get_next_message().is_some() {}
            }
            if quiet {
                return;
            }
        }
    }

    fn send(&mut self) {
        let message = Message::new(StreamId(1), PpId(53), vec![7; MESSAGE_BYTES]);
        self.sides[0].send(message, &SendOptions::default()).expect("there is room");
        self.exchange();
        self.now += Duration::from_micros(100);
        self.sides.iter_mut().for_each(|side| side.advance_time(SocketTime::zero() + self.now));
        self.exchange();
    }
}

fn packet(c: &mut Criterion) {
    let mut group = c.benchmark_group("sctp");
    let mut pair = Pair::new();
    group.throughput(Throughput::Elements(1));
    group.bench_function("packet", |b| b.iter(|| pair.send()));
    group.finish();
}

criterion_group!(benches, packet);
criterion_main!(benches);
