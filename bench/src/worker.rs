//! A worker in a process of its own, driven over its link as control drives it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use corecast_dataplane::{Keep, Mesh};
use corecast_wire::{
    Codec, CodecMapping, Command, ConsumeOptions, ConsumerId, DataLimits, EncodingMapping, Event, ExtensionMapping,
    Frame, FrameDecoder, HeaderExtension, HugePages, Io, Maxima, MediaKind, PayloadTypeMapping, PlainTransportOptions,
    ProduceOptions, ProducerId, Reply, RouterId, TransportId, Usage, WorkerConfig, encode,
};

use crate::packet::{FIRST_SSRC, LEVEL_ID, PAYLOAD_TYPE};
use crate::subscribers::Promised;
use crate::target::{Child, Counters, Peer, Plan, Route, Target, WorkerSetup};

/// Its only router.
pub(crate) const ROUTER: RouterId = RouterId(1);
/// Payload type that subscribers see: another one than publishers send, so that it must be rewritten.
pub(crate) const MAPPED_PAYLOAD_TYPE: u8 = 101;
/// SSRCs that subscribers see; the publisher's number is in the low 12 bits.
const FIRST_CONSUMER_SSRC: u32 = 0x2000_0000;
const PORTS: (u16, u16) = (20_000, 31_999);
const SOCKET_BUFFER_BYTES: u32 = 8 * 1_024 * 1_024;

/// A worker over its link.
#[derive(Debug)]
pub struct LinkedWorker {
    child: Child,
    decoder: FrameDecoder,
    requests: u64,
    io: Io,
    warnings: Vec<String>,
}

impl LinkedWorker {
    /// Starts a worker and waits until it runs.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn start(setup: WorkerSetup) -> anyhow::Result<Self> {
        Self::start_among(setup, 0, &Mesh::new(1)?)
    }

    /// The same, of one that keeps there what outlives it.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn start_keeping(setup: WorkerSetup, keep: &Keep) -> anyhow::Result<Self> {
        Self::start_as(setup, 0, &Mesh::new(1)?, Some(keep))
    }

    /// The same, as one of several that are joined.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn start_among(setup: WorkerSetup, index: u32, mesh: &Mesh) -> anyhow::Result<Self> {
        Self::start_as(setup, index, mesh, None)
    }

    fn start_as(setup: WorkerSetup, index: u32, mesh: &Mesh, keep: Option<&Keep>) -> anyhow::Result<Self> {
        let config = WorkerConfig {
            index,
            core: setup.core,
            io: setup.io,
            executor: setup.executor,
            coalesce: setup.coalesce,
            gro: true,
            huge_pages: HugePages::Auto,
            sandbox: setup.sandbox,
            port_range: PORTS,
            recv_buffer_bytes: SOCKET_BUFFER_BYTES,
            send_buffer_bytes: SOCKET_BUFFER_BYTES,
            max_sound_wait_us: setup.sound_wait_us,
            max_media_age_ms: 200,
            max_packets_per_s: u32::MAX,
            data: DataLimits::DEFAULT,
            maxima: Maxima::DEFAULT,
            webrtc: None,
            is_blamed: false,
            test_hooks: false,
        };
        let child = Child::start("__worker")?;
        let groups = [mesh.ends_of(index), keep.map(Keep::memory).into_iter().collect()];
        child.hand_over(&groups)?;
        let decoder = FrameDecoder::default();
        let mut this = Self { child, decoder, requests: 0, io: setup.io, warnings: Vec::new() };
        this.send(&Frame::Config(config))?;
        match this.next_frame()? {
            Frame::Event(Event::Started { io, warnings, .. }) => {
                this.io = io;
                this.warnings = warnings;
                Ok(this)
            }
            Frame::Event(Event::StartFailed(error)) => Err(error).context("the worker"),
            other => bail!("the worker begins with {other:?}"),
        }
    }

    /// The driver that it runs on.
    #[must_use]
    pub const fn io(&self) -> Io {
        self.io
    }

    /// What it says that the operator should change.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn send(&mut self, frame: &Frame) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        encode(frame, &mut bytes)?;
        self.child.send(&bytes)
    }

    fn next_frame(&mut self) -> anyhow::Result<Frame> {
        let mut buffer = [0; 16 * 1_024];
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(frame);
            }
            let count = self.child.receive(&mut buffer)?;
            self.decoder.push(&buffer[..count]);
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) fn request(&mut self, command: Command) -> anyhow::Result<Reply> {
        self.requests += 1;
        let id = self.requests;
        self.send(&Frame::Request { id, command })?;
        loop {
            match self.next_frame()? {
                Frame::Reply { id: of, result } if of == id => return result.context("the worker refuses"),
                Frame::Event(_) => {}
                other => bail!("the worker answers {other:?}"),
            }
        }
    }

    /// A transport connected to `peer`; where it listens.
    fn transport(&mut self, number: u64, peer: &Peer) -> anyhow::Result<std::net::SocketAddr> {
        let transport = TransportId(number);
        let options = PlainTransportOptions {
            // One key both ways would do harm only if both sides sent under one SSRC; subscribers send nothing, and
            // publishers get RTCP only, which has session keys of its own.
            srtp: peer.key.clone(),
            ..PlainTransportOptions::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1 + number as u32)
        };
        let reply = self.request(Command::CreatePlainTransport { router: ROUTER, transport, options })?;
        let Reply::PlainTransport { local, .. } = reply else { bail!("the worker answers {reply:?}") };
        let (remote, srtp) = (Some(peer.address), peer.key.clone());
        self.request(Command::ConnectPlainTransport { transport, remote, rtcp_remote: None, srtp })?;
        Ok(local)
    }

    fn produce(&mut self, number: u32, video: bool, has_levels: bool) -> anyhow::Result<()> {
        let (kind, codec, clock_rate_hz) = match video {
            true => (MediaKind::Video, Codec::Vp8, 90_000),
            false => (MediaKind::Audio, Codec::Other, 48_000),
        };
        let mapping =
            CodecMapping { payload_type: PAYLOAD_TYPE, mapped_payload_type: MAPPED_PAYLOAD_TYPE, codec, clock_rate_hz };
        let level = ExtensionMapping { extension: HeaderExtension::AudioLevel, id: LEVEL_ID, mapped_id: LEVEL_ID };
        let options = ProduceOptions {
            nack: video,
            pli: video,
            header_extensions: if has_levels && !video { vec![level] } else { Vec::new() },
            ..ProduceOptions::new(kind, vec![mapping], vec![EncodingMapping::announced(FIRST_SSRC + number)])
        };
        let (transport, producer) = (TransportId(number.into()), ProducerId(number.into()));
        self.request(Command::Produce { transport, producer, options }).map(drop)
    }

    fn consume(&mut self, transport: u64, producer: u32, video: bool) -> anyhow::Result<Promised> {
        let ssrc = FIRST_CONSUMER_SSRC | (transport as u32) << 12 | producer;
        let options = ConsumeOptions {
            nack: video,
            first_sequence: (transport as u16).wrapping_mul(37) % 0x4000,
            ..ConsumeOptions::new(ssrc, vec![PayloadTypeMapping::same(MAPPED_PAYLOAD_TYPE)], "bench".into())
        };
        let (consumer, publisher) = (ConsumerId(ssrc.into()), producer as usize);
        let (transport, producer) = (TransportId(transport), ProducerId(producer.into()));
        self.request(Command::Consume { transport, consumer, producer, options })?;
        Ok(Promised { publisher, ssrc, payload_type: MAPPED_PAYLOAD_TYPE })
    }

    /// Takes in the publishers: where each sends.
    pub(crate) fn publish(&mut self, plan: &Plan) -> anyhow::Result<Vec<std::net::SocketAddr>> {
        let mut publish_to = Vec::with_capacity(plan.publishers.len());
        for (number, published) in (0..).zip(&plan.publishers) {
            publish_to.push(self.transport(number, &published.peer)?);
            self.produce(number as u32, published.video, plan.loudest > 0)?;
        }
        Ok(publish_to)
    }

    /// Takes in a subscriber: where its packets come from, and what it gets.
    pub(crate) fn subscribe(
        &mut self,
        plan: &Plan,
        index: usize,
        peer: &Peer,
    ) -> anyhow::Result<(std::net::SocketAddr, Vec<Promised>)> {
        let number = (plan.publishers.len() + index) as u64;
        let address = self.transport(number, peer)?;
        let consumed = plan.streams_of(index).map(|(producer, of)| self.consume(number, producer as u32, of.video));
        Ok((address, consumed.collect::<Result<_, _>>()?))
    }

    /// Everything that it has used and done.
    ///
    /// # Errors
    /// It does not answer.
    pub fn usage(&mut self) -> anyhow::Result<Usage> {
        match self.request(Command::Usage)? {
            Reply::Usage(usage) => Ok(*usage),
            other => bail!("the worker answers {other:?}"),
        }
    }
}

impl Target for LinkedWorker {
    fn connect(&mut self, plan: &Plan) -> anyhow::Result<Route> {
        self.request(Command::CreateRouter { router: ROUTER })?;
        if plan.loudest > 0 {
            self.request(Command::SetLoudest { router: ROUTER, speakers: plan.loudest })?;
        }
        let publish_to = self.publish(plan)?;
        let (mut send_from, mut promised) = (Vec::new(), Vec::new());
        for (index, peer) in plan.subscribers.iter().enumerate() {
            let (address, streams) = self.subscribe(plan, index, peer)?;
            send_from.push(address);
            promised.push(streams);
        }
        Ok(Route { publish_to, send_from, promised, keys: Vec::new() })
    }

    fn counters(&mut self) -> anyhow::Result<Counters> {
        let usage = self.usage()?;
        let mut discards: Vec<_> = usage.discards.iter().map(|(name, packets)| (name.to_owned(), packets)).collect();
        discards.push(("receive_overflows".to_owned(), usage.receive_overflows));
        Ok(Counters {
            cpu: Some(Duration::from_nanos(usage.user_ns + usage.system_ns)),
            packets_sent: usage.packets_sent,
            trains_sent: usage.trains_sent,
            packets_received: usage.packets_received,
            discards,
        })
    }
}
