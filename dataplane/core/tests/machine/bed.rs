//! A worker with a clock that the test sets, transports whose number is also their endpoint's, and what leaves them.

use std::net::SocketAddr;
use std::time::Duration;

use corecast_core::limits::MAX_SLOTS;
use corecast_core::rtp::{Header, write_extension_block, write_header};
use corecast_core::{Config, Endpoint, EndpointId, Forward, Instant, Outbox, Path, Worker};
use corecast_wire::{
    Codec, CodecMapping, Command, CommandError, ConsumeOptions, ConsumerId, EncodingMapping, MediaKind,
    PayloadTypeMapping, PlainTransportOptions, ProduceOptions, ProducerId, Reply, RouterId, SrtpCryptoSuite,
    SrtpParameters, TransportId,
};

pub(crate) const KEY_FRAME: [u8; 4] = [0x10, 0x00, 0x9d, 0x01];
pub(crate) const DELTA_FRAME: [u8; 4] = [0x10, 0x01, 0x00, 0x00];

pub(crate) struct Bed {
    pub(crate) worker: Worker,
    pub(crate) outbox: Outbox,
    pub(crate) now: Instant,
}

pub(crate) fn local(endpoint: u32) -> SocketAddr {
    format!("127.0.0.1:{}", 40_000 + endpoint).parse().expect("an address")
}

pub(crate) fn remote(endpoint: u32) -> SocketAddr {
    format!("127.0.0.1:{}", 50_000 + endpoint).parse().expect("an address")
}

pub(crate) fn path(endpoint: u32) -> Path {
    Path { local: EndpointId(endpoint), remote: remote(endpoint) }
}

pub(crate) fn srtp(seed: u8) -> SrtpParameters {
    SrtpParameters { suite: SrtpCryptoSuite::AeadAes128Gcm, key_and_salt: vec![seed; 28] }
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::with_history(MAX_SLOTS)
    }

    /// A worker with room for so many packets.
    pub(crate) fn with_history(history_slots: usize) -> Self {
        Self::with_config(|config| config.history_slots = history_slots)
    }

    /// A worker that is told something else than usual.
    #[expect(clippy::disallowed_methods, reason = "a shell reads the clock")]
    pub(crate) fn with_config(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::plain(corecast_core::SystemInstant::now());
        change(&mut config);
        let worker = Worker::new(config);
        let mut bed = Self { worker, outbox: Outbox::new(), now: Instant::from_nanos(1_000_000_000) };
        bed.command(&Command::CreateRouter { router: RouterId(1) }).expect("first router");
        bed
    }

    pub(crate) fn command(&mut self, command: &Command) -> Result<Reply, CommandError> {
        self.worker.handle_command(self.now, command, &[], &mut self.outbox)
    }

    /// A transport whose number is also its endpoint's. The remote side sends with key `number + 100`.
    pub(crate) fn transport(&mut self, number: u32, comedia: bool, encrypted: bool) {
        let transport = TransportId(number.into());
        let seed = u8::try_from(number).expect("few transports");
        let options = PlainTransportOptions {
            comedia,
            srtp: encrypted.then(|| srtp(seed)),
            ..PlainTransportOptions::new(local(number).ip(), 7)
        };
        let create = Command::CreatePlainTransport { router: RouterId(1), transport, options };
        let opened = [Endpoint { id: EndpointId(number), local: local(number) }];
        self.worker.handle_command(self.now, &create, &opened, &mut self.outbox).expect("a new transport");
        if !comedia || encrypted {
            let remote = (!comedia).then(|| remote(number));
            let srtp = encrypted.then(|| srtp(seed + 100));
            self.command(&Command::ConnectPlainTransport { transport, remote, rtcp_remote: None, srtp })
                .expect("not connected yet");
        }
    }

    pub(crate) fn produce(&mut self, transport: u32) {
        self.produce_as(transport, 1, video()).expect("a new producer");
    }

    pub(crate) fn produce_as(
        &mut self,
        transport: u32,
        number: u64,
        options: ProduceOptions,
    ) -> Result<Reply, CommandError> {
        let transport = TransportId(transport.into());
        self.command(&Command::Produce { transport, producer: ProducerId(number), options })
    }

    pub(crate) fn consume(&mut self, transport: u32, ssrc: u32) -> Result<Reply, CommandError> {
        self.consume_as(transport, 1, receiver(ssrc))
    }

    /// A consumer whose number is also its SSRC.
    pub(crate) fn consume_as(
        &mut self,
        transport: u32,
        producer: u64,
        options: ConsumeOptions,
    ) -> Result<Reply, CommandError> {
        let (consumer, transport) = (ConsumerId(options.ssrc.into()), TransportId(transport.into()));
        self.command(&Command::Consume { transport, consumer, producer: ProducerId(producer), options })
    }

    pub(crate) fn arrive(&mut self, path: Path, datagram: &[u8]) {
        self.worker.handle_datagram(self.now, self.now, path, datagram, &mut self.outbox);
    }

    /// The same of one that came a while ago and has waited since.
    pub(crate) fn arrive_late(&mut self, age: Duration, path: Path, datagram: &[u8]) {
        self.worker.handle_datagram(self.now, self.now - age, path, datagram, &mut self.outbox);
    }

    /// Everything that is to be sent: destination and bytes.
    pub(crate) fn sent(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = Vec::new();
        loop {
            let forward = self.worker.forward(self.now, &mut self.outbox);
            self.outbox.for_each_packet(self.worker.history(), |path, bytes| sent.push((path.remote, bytes.to_vec())));
            self.outbox.clear();
            if forward == Forward::Done {
                return sent;
            }
        }
    }

    pub(crate) fn discarded(&self) -> Vec<(&'static str, u64)> {
        self.worker.totals().discards.iter().collect()
    }
}

/// VP8 as 96 with its retransmissions as 97, which the router calls 101 and 102.
pub(crate) fn video() -> ProduceOptions {
    let codec = |payload_type, codec| CodecMapping {
        payload_type,
        mapped_payload_type: payload_type + 5,
        codec,
        clock_rate_hz: 90_000,
    };
    ProduceOptions {
        nack: true,
        pli: true,
        ..ProduceOptions::new(
            MediaKind::Video,
            vec![codec(96, Codec::Vp8), codec(97, Codec::Rtx { apt: 96 })],
            vec![EncodingMapping { ssrc: Some(1_111), rtx_ssrc: Some(1_112), rid: None }],
        )
    }
}

/// Takes the router's 101 and knows no extensions.
pub(crate) fn receiver(ssrc: u32) -> ConsumeOptions {
    ConsumeOptions {
        nack: true,
        first_sequence: 10,
        ..ConsumeOptions::new(ssrc, vec![PayloadTypeMapping::same(101)], "c".into())
    }
}

pub(crate) fn rtp(sequence: u16, payload: &[u8]) -> Vec<u8> {
    packet(1_111, 96, sequence, &[], payload)
}

/// A packet with header extensions, in the one-byte form where that can carry them.
pub(crate) fn packet(
    ssrc: u32,
    payload_type: u8,
    sequence: u16,
    extensions: &[(u8, &[u8])],
    payload: &[u8],
) -> Vec<u8> {
    let mut block = [0; 512];
    let block_len = write_extension_block(&mut block, extensions.iter().copied());
    let header = Header { payload_type, sequence, timestamp: 3_000, ssrc, ..Header::default() };
    let mut packet = vec![0; 12 + block_len + payload.len()];
    let header_len = write_header(&mut packet, &header, &[], &block[..block_len]).expect("room");
    packet[header_len..].copy_from_slice(payload);
    packet
}
