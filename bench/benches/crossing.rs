//! What it costs to bring a packet from one worker to another of the same server: the drivers of both, nothing else.
//!
//! `cargo bench -p corecast-bench --bench crossing`. `one-thread` is the CPU time of both sides together, with the lane
//! in the cache of one core; `two-cores` is the time of the slower side, with the lane going from cache to cache.
//! Batches of 1, 8 and 32 packets; "time" is that of a batch, "thrpt" is packets per second.

use std::hint::{black_box, spin_loop};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use corecast_bench::cpu;
use corecast_core::{Endpoint, Path};
use corecast_dataplane::driver::{Driver, DriverOptions, Port, SegmentedSend, SocketOptions};
use corecast_dataplane::{Ends, Mesh};
use corecast_wire::{HugePages, SocketSettings, worker_ip};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const PACKET_BYTES: u16 = 1_200;
const BATCHES: [u16; 3] = [1, 8, 32];
/// Packets that the writer is ahead of the reader at most: less than a lane holds.
const MOST_AHEAD: u64 = 256;

/// A worker's driver, joined to the other's, and its end of a pipe.
fn join(mesh: &Mesh, worker: u32) -> (Driver, Endpoint) {
    let sockets = SocketOptions {
        gro: true,
        recv_buffer_bytes: 1 << 20,
        send_buffer_bytes: 1 << 20,
        reuse_port: false,
        dual_stack: false,
    };
    let options = DriverOptions { sockets, max_sockets: 16, huge_pages: HugePages::Off };
    let mut driver = Driver::syscalls(options).expect("a driver");
    let own = mesh.ends_of(worker).iter().map(|fd| fd.try_clone_to_owned().expect("a descriptor")).collect();
    driver.join(worker, Ends::of(own)).expect("memory");
    let end = driver.open(worker_ip(worker), Port::Given(1), SocketSettings::default()).expect("a port");
    (driver, end)
}

fn path_to(end: &Endpoint, other: u32) -> Path {
    Path { local: end.id, remote: SocketAddr::new(worker_ip(other), 1) }
}

/// Sends a batch, as the machine's outbox hands it over: a train, in a piece for each packet.
fn send(driver: &mut Driver, path: Path, packets: &[u8]) {
    let pieces = packets.chunks(PACKET_BYTES.into());
    let train = SegmentedSend { path, segment_len: PACKET_BYTES, len: packets.len(), pieces };
    driver.send([train], |_, refused| panic!("{refused} packets find no room"));
}

/// Takes what has come: how many packets.
fn receive(driver: &mut Driver) -> u64 {
    if !driver.collect() {
        return 0;
    }
    let mut got = 0;
    while let Some(datagram) = driver.next_datagram() {
        black_box(datagram.bytes);
        got += 1;
    }
    got
}

fn one_thread(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("crossing/one-thread");
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch.into()));
        let mesh = Mesh::new(2).expect("memory");
        let [(mut from, end), (mut to, _)] = [0, 1].map(|worker| join(&mesh, worker));
        let (path, packets) = (path_to(&end, 1), vec![7; usize::from(PACKET_BYTES) * usize::from(batch)]);
        group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
            bencher.iter(|| {
                send(&mut from, path, black_box(&packets));
                assert_eq!(receive(&mut to), u64::from(batch));
            });
        });
    }
}

/// Sends so many batches to a worker on another core, that of the reader. The time until all have been taken.
fn between_cores(reader: u32, batch: u16, batches: u64) -> Duration {
    let mesh = Mesh::new(2).expect("memory");
    let (taken, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (mut from, end) = join(&mesh, 0);
    let (tell, is_ready) = mpsc::channel();
    std::thread::scope(|scope| {
        let (taken, is_over) = (Arc::clone(&taken), Arc::clone(&is_over));
        let (mesh, counted, ended) = (&mesh, Arc::clone(&taken), Arc::clone(&is_over));
        scope.spawn(move || {
            cpu::pin(reader).expect("pinned");
            let (mut to, _) = join(mesh, 1);
            tell.send(()).expect("it is heard");
            while !ended.load(Ordering::Relaxed) {
                match receive(&mut to) {
                    0 => spin_loop(),
                    got => drop(counted.fetch_add(got, Ordering::Release)),
                }
            }
        });
        is_ready.recv().expect("it is there");
        let (path, packets) = (path_to(&end, 1), vec![7; usize::from(PACKET_BYTES) * usize::from(batch)]);
        let mut sent = 0;
        let began = Instant::now();
        for _ in 0..batches {
            while sent - taken.load(Ordering::Acquire) > MOST_AHEAD {
                spin_loop();
            }
            send(&mut from, path, black_box(&packets));
            sent += u64::from(batch);
        }
        while taken.load(Ordering::Acquire) < sent {
            spin_loop();
        }
        let took = began.elapsed();
        is_over.store(true, Ordering::Relaxed);
        took
    })
}

fn two_cores(criterion: &mut Criterion) {
    // Looked up before this thread is pinned: then it, and every thread that it starts, knows its own core alone.
    let reader = cpu::last_core().expect("cores");
    if reader == 0 {
        return;
    }
    cpu::pin(0).expect("pinned");
    let mut group = criterion.benchmark_group("crossing/two-cores");
    group.sample_size(20);
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch.into()));
        group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
            bencher.iter_custom(|batches| between_cores(reader, batch, batches));
        });
    }
}

criterion_group!(benches, one_thread, two_cores);
criterion_main!(benches);
