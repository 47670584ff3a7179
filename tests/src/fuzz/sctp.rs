//! The body of the target `sctp`: what a peer with keys may send to its association.

use std::time::Duration;

use corecast_wire::{Command, DtlsVersions, RouterId, SctpOptions, TransportId};
use fastrand::Rng;

use crate::association::{associate, inject, packet};
use crate::bare::BarePeer;
use crate::chunks::chunks;
use crate::webrtc::Bench;

/// Most packets of one input: longer ones only cost time.
const MAX_PACKETS: usize = 200;
/// Most bytes of chunks in a packet.
const MAX_CHUNK_BYTES: usize = 1_100;
/// The length that says that chunks are built.
const BUILT: u16 = u16::MAX;

/// An established association takes in packets with the right tag and checksum. The input is a list of packets, each a
/// pause before the next one in milliseconds, a length (little-endian) and so many bytes of chunks; behind the length
/// `BUILT` come eight bytes instead, from which chunks are drawn that are nearly right ([`chunks`]). In the end the
/// transport is closed, and nothing of it is left.
pub fn sctp(data: &[u8]) {
    fastrand::seed(1);
    let mut bench = Bench::new(DtlsVersions::V12);
    bench.sctp = Some(SctpOptions::new(5_000, 0));
    let mut peer = BarePeer::join(&mut bench, RouterId(1), 1);
    let (tag, numbers) = associate(&mut bench, &mut peer);
    let mut rest = data;
    for _ in 0..MAX_PACKETS {
        let Some((&[pause, low, high], tail)) = rest.split_first_chunk::<3>() else { break };
        let len = u16::from_le_bytes([low, high]);
        let (chunks, tail) = match tail.split_first_chunk::<8>() {
            Some((seed, tail)) if len == BUILT => {
                (chunks(&mut Rng::with_seed(u64::from_le_bytes(*seed)), numbers), tail)
            }
            _ => {
                let (chunks, tail) = tail.split_at(tail.len().min(usize::from(len) % (MAX_CHUNK_BYTES + 1)));
                (chunks.to_vec(), tail)
            }
        };
        rest = tail;
        inject(&mut bench, &mut peer, &packet(tag, &chunks));
        bench.skip(Duration::from_millis(pause.into()));
        bench.astray.clear();
    }
    bench.must(&Command::CloseTransport { transport: TransportId(1) });
    assert_eq!(bench.worker.totals().transports, 0);
    bench.skip(Duration::from_secs(60));
}
