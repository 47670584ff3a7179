//! An endpoint's data channels (RFC 8831): SCTP by the crate `sctp-proto`, which is not the server's, and channels that
//! are opened without signaling (RFC 8832).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier, ReliabilityType, StreamEvent, TransportConfig,
};

/// Port of both sides (`a=sctp-port`).
pub const SCTP_PORT: u16 = 5_000;
/// Longest message that is taken.
pub const MAX_MESSAGE_BYTES: u32 = 262_144;
/// Window that is announced: as Chromium's.
const WINDOW_BYTES: u32 = 5 * 1_024 * 1_024;
/// Payload of a packet: with headers and a record around it, it fits 1,150 bytes.
const MAX_PAYLOAD_BYTES: u32 = 1_084;
/// dcSCTP's, so that a lost packet is sent again as soon as browsers would.
const RTO_MIN_MS: u64 = 400;
/// Type of a message that opens a channel, and of the one that acknowledges it (RFC 8832 section 8.2.1).
const OPEN: u8 = 0x03;
const ACK: u8 = 0x02;
/// Bit of the channel type that says that messages may overtake each other (RFC 8832 section 5.1).
const UNORDERED: u8 = 0x80;

/// An association with a server, and its channels.
pub struct Channels {
    endpoint: Endpoint,
    handle: AssociationHandle,
    association: Association,
    connected: bool,
    acknowledged: Vec<u16>,
}

impl std::fmt::Debug for Channels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channels").field("connected", &self.connected).finish_non_exhaustive()
    }
}

/// The crate wants an address; DTLS knows the real one.
const SOMEWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), SCTP_PORT);

impl Channels {
    /// Begins an association.
    ///
    /// # Errors
    /// The crate refuses.
    pub fn connect() -> anyhow::Result<Self> {
        let mut config = EndpointConfig::new();
        config.max_payload_size(MAX_PAYLOAD_BYTES);
        let mut endpoint = Endpoint::new(Arc::new(config), None);
        let transport = TransportConfig::default()
            .with_max_receive_buffer_size(WINDOW_BYTES)
            .with_max_send_message_size(MAX_MESSAGE_BYTES)
            .with_max_receive_message_size(MAX_MESSAGE_BYTES)
            .with_local_port(SCTP_PORT)
            .with_remote_port(SCTP_PORT)
            .with_rto_min_ms(RTO_MIN_MS);
        let mut config = ClientConfig::new();
        config.transport = Arc::new(transport);
        let (handle, association) = endpoint.connect(config, SOMEWHERE).context("SCTP")?;
        Ok(Self { endpoint, handle, association, connected: false, acknowledged: Vec::new() })
    }

    /// Whether it is established.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether the server has acknowledged a channel.
    #[must_use]
    pub fn is_open(&self, stream: u16) -> bool {
        self.acknowledged.contains(&stream)
    }

    /// Takes in a packet.
    pub fn take(&mut self, now: Instant, packet: Vec<u8>) {
        let event = self.endpoint.handle(now, SOMEWHERE, None, None, Bytes::from(packet));
        if let Some((_, DatagramEvent::AssociationEvent(event))) = event {
            self.association.handle_event(event);
        }
    }

    /// Does what is due.
    pub fn turn(&mut self, now: Instant) {
        if self.association.poll_timeout().is_some_and(|due| due <= now) {
            self.association.handle_timeout(now);
        }
    }

    /// Packets to send.
    pub fn packets(&mut self, now: Instant) -> Vec<Bytes> {
        let mut packets = Vec::new();
        while let Some(transmit) = self.endpoint.poll_transmit().or_else(|| self.association.poll_transmit(now)) {
            if let Payload::RawEncode(mut encoded) = transmit.payload {
                packets.append(&mut encoded);
            }
        }
        packets
    }

    /// Opens a channel on a stream: that of an even number if we were the client of DTLS (RFC 8832 section 6).
    ///
    /// # Errors
    /// The stream is in use.
    pub fn open(&mut self, stream: u16, label: &str, ordered: bool) -> anyhow::Result<()> {
        let kind = if ordered { 0 } else { UNORDERED };
        let len = u16::try_from(label.len())?.to_be_bytes();
        let open = [&[OPEN, kind, 0, 0, 0, 0, 0, 0][..], &len, &[0, 0], label.as_bytes()].concat();
        let mut channel = self.association.open_stream(stream, PayloadProtocolIdentifier::Binary)?;
        // The message that opens it is always in order (RFC 8832 section 6).
        channel.write_with_ppi(&open, PayloadProtocolIdentifier::Dcep)?;
        channel.set_reliability_params(!ordered, ReliabilityType::Reliable, 0)?;
        Ok(())
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// The channel is not open, or the message too long.
    pub fn send(&mut self, stream: u16, payload: &[u8]) -> anyhow::Result<()> {
        self.association.stream(stream)?.write_with_ppi(payload, PayloadProtocolIdentifier::Binary)?;
        Ok(())
    }

    /// Hands out the messages that have come whole.
    ///
    /// # Errors
    /// The association has ended, or `message` says so.
    pub fn messages(&mut self, mut message: impl FnMut(u16, &[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        while let Some(event) = self.association.poll() {
            match event {
                Event::Connected => self.connected = true,
                Event::HandshakeFailed { reason } | Event::AssociationLost { reason } => bail!("SCTP: {reason}"),
                Event::Stream(StreamEvent::Finished { id }) => bail!("the server has closed channel {id}"),
                Event::Stream(StreamEvent::Readable { id }) => self.read(id, &mut message)?,
                _ => {}
            }
        }
        while let Some(event) = self.association.poll_endpoint_event() {
            self.endpoint.handle_event(self.handle, event);
        }
        Ok(())
    }

    fn read(&mut self, id: u16, take: &mut impl FnMut(u16, &[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        while let Some(chunks) = self.association.stream(id)?.read_sctp()? {
            let mut bytes = vec![0; chunks.len()];
            chunks.read(&mut bytes)?;
            match chunks.ppi {
                PayloadProtocolIdentifier::Dcep if bytes == [ACK] => self.acknowledged.push(id),
                _ => take(id, &bytes)?,
            }
        }
        Ok(())
    }
}
