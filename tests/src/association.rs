//! Associations of the crate dcsctp with the machine, and packets of SCTP that are built by hand, both in the records
//! of a [`BarePeer`].

use std::time::Duration;

use dcsctp::api::{Options, SocketEvent, SocketState};

use crate::bare::BarePeer;
use crate::chunks::Numbers;
use crate::webrtc::Bench;

/// SCTP port of both sides.
const PORT: u16 = 5_000;
/// Milliseconds in which an association is established.
const ROUNDS: u32 = 10;

/// Establishes an association, of which nothing is left on the peer's side but the verification tag that the machine
/// expects (RFC 9260 section 3.1) and what both sides count from.
///
/// # Panics
/// If it is not established.
pub fn associate(bench: &mut Bench, peer: &mut BarePeer) -> (u32, Numbers) {
    let mut socket = dcsctp::new_socket("", &Options { mtu: 1_100, ..Options::default() });
    socket.connect();
    let (mut tag, mut numbers) = (0, Numbers::default());
    for _ in 0..ROUNDS {
        while let Some(event) = socket.poll_event() {
            if let SocketEvent::SendPacket(packet) = event {
                tag = u32::from_be_bytes(*packet[4..].first_chunk().expect("a header"));
                numbers.learn(&packet);
                inject(bench, peer, &packet);
            }
        }
        bench.skip(Duration::from_millis(1));
        for datagram in peer.arrived(bench) {
            peer.hear(bench, &datagram);
        }
        for packet in peer.take_application_data(bench) {
            numbers.learn(&packet);
            socket.handle_input(&packet);
        }
    }
    assert_eq!(socket.state(), SocketState::Connected);
    (tag, numbers)
}

/// Sends an SCTP packet as it is.
pub fn inject(bench: &mut Bench, peer: &mut BarePeer, packet: &[u8]) {
    for datagram in peer.protect(bench, packet) {
        bench.inject(peer.address, &datagram);
    }
}

/// A packet with these chunks, and the right checksum.
#[must_use]
pub fn packet(tag: u32, chunks: &[u8]) -> Vec<u8> {
    let port = PORT.to_be_bytes();
    let mut packet = [&port[..], &port, &tag.to_be_bytes(), &[0; 4], chunks].concat();
    let checksum = crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&checksum);
    packet
}

/// CRC-32C (RFC 9260 appendix A), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
