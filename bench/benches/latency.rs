//! Latency through real sockets: a packet (or a frame of ten) goes in, and the clock stops when the last subscriber has
//! all of it. A worker on each driver, the floor, and a naive loop that makes one send per packet; then the wake-up
//! alone: a worker under glommio, a worker on a plain thread, and the floor's bare ring.

use std::io::IoSlice;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use corecast_bench::cpu;
use corecast_bench::crypto::{Crypto, Sealer, endpoint};
use corecast_bench::floor::{Floor, Gather};
use corecast_bench::packet::{self, FIRST_SSRC, HEADER_BYTES, Header, PAYLOAD_TYPE, Planned, Stamp};
use corecast_bench::sockets::{RecvBatch, send_burst};
use corecast_bench::target::{Peer, Plan, Published, Route, Target, WorkerSetup, set_program};
use corecast_bench::worker::LinkedWorker;
use corecast_wire::{Coalesce, Executor, Io, Sandbox};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const PAYLOAD_BYTES: usize = 1_200;
const GIVE_UP: Duration = Duration::from_secs(2);

/// One send per packet and subscriber, each wake-up for one datagram: what a first attempt looks like.
struct Naive {
    core: u32,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Naive {
    fn start(&mut self, plan: &Plan) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("timeout");
        let local = socket.local_addr().expect("bound");
        let subscribers: Vec<_> = (plan.subscribers.iter())
            .map(|peer| (peer.address, peer.key.as_ref().map(|key| Sealer::new(key).expect("key"))))
            .collect();
        let (core, stop) = (self.core, self.stop.clone());
        self.thread = Some(std::thread::spawn(move || {
            cpu::pin(core).expect("pinned");
            let (mut packet, mut sealed) = ([0; 2_048], [0; 2_048]);
            while !stop.load(Ordering::Relaxed) {
                let Ok(len) = socket.recv(&mut packet) else { continue };
                for (address, sealer) in &subscribers {
                    let bytes = match sealer {
                        None => &packet[..len],
                        Some(sealer) => {
                            let out = &mut sealed[..len + sealer.overhead()];
                            sealer.seal(&packet[..len], 0, out).expect("seals");
                            out
                        }
                    };
                    socket.send_to(bytes, address).expect("sends");
                }
            }
        }));
        local
    }
}

impl Drop for Naive {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("ends");
        }
    }
}

/// A publisher and some subscribers, driven one frame at a time.
struct Bed {
    publisher: UdpSocket,
    subscribers: Vec<UdpSocket>,
    srtp: Option<webrtc_srtp::context::Context>,
    batch: RecvBatch,
    index: u64,
    /// Kept alive for as long as it is measured.
    _target: Box<dyn std::any::Any>,
}

impl Bed {
    fn new(
        subscribers: usize,
        crypto: Crypto,
        start: impl FnOnce(&Plan) -> (SocketAddr, Box<dyn std::any::Any>),
    ) -> Self {
        let socket = || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
            corecast_bench::sockets::set_buffers(&socket, 4 << 20).expect("buffers");
            socket
        };
        let peer = |socket: &UdpSocket| Peer { address: socket.local_addr().expect("bound"), key: crypto.new_key() };
        let (publisher, subscribers): (_, Vec<_>) = (socket(), (0..subscribers).map(|_| socket()).collect());
        let published = Published { peer: Peer { key: None, ..peer(&publisher) }, video: true, own_of: None };
        let publishers = vec![published];
        let plan = Plan { publishers, subscribers: subscribers.iter().map(peer).collect(), crypto, loudest: 0 };
        let (publish_to, target) = start(&plan);
        publisher.connect(publish_to).expect("connect");
        let key = plan.publishers[0].peer.key.as_ref();
        let srtp = key.map(|key| endpoint(key).expect("key"));
        Self { publisher, subscribers, srtp, batch: RecvBatch::new(64, 2_048), index: 0, _target: target }
    }

    /// Sends a frame of so many packets and waits, without sleeping, until every subscriber has it.
    fn frame(&mut self, packets: usize) -> Duration {
        let mut frame = Vec::with_capacity(packets);
        for at in 0..packets {
            let (mut bytes, (sequence, timestamp)) = (Vec::new(), (self.index as u16, self.index as u32));
            let header = Header { ssrc: FIRST_SSRC, payload_type: PAYLOAD_TYPE, sequence, timestamp, level: None };
            let planned =
                Planned { payload_len: PAYLOAD_BYTES, first: at == 0, last: at + 1 == packets, key: true, frame_ns: 0 };
            packet::write(header, Stamp { publisher: 0, index: self.index, sent_ns: 0 }, planned, &mut bytes);
            self.index += 1;
            frame.push(match &mut self.srtp {
                None => bytes,
                Some(srtp) => srtp.encrypt_rtp(&bytes).expect("seals").to_vec(),
            });
        }
        let slices: Vec<_> = frame.iter().map(|packet| IoSlice::new(packet)).collect();
        let begun = Instant::now();
        send_burst(&self.publisher, &slices).expect("sends");
        for socket in &self.subscribers {
            let mut missing = packets;
            while missing > 0 {
                let got = self.batch.receive(socket, 0).expect("receives");
                let media = (0..got).filter(|index| self.batch.datagram(*index).bytes.len() > PAYLOAD_BYTES);
                missing = missing.saturating_sub(media.count());
                assert!(begun.elapsed() < GIVE_UP, "a packet was lost");
            }
        }
        begun.elapsed()
    }
}

fn kept<T: Target + 'static>(mut target: T, plan: &Plan) -> (SocketAddr, Box<dyn std::any::Any>) {
    let Route { publish_to, .. } = target.connect(plan).expect("connects");
    (publish_to[0], Box::new(target))
}

fn forwarding(criterion: &mut Criterion) {
    let core = cpu::last_core().expect("cores");
    cpu::pin(0).expect("pinned");
    set_program(env!("CARGO_BIN_EXE_corecast-bench"));
    let setup = |io| WorkerSetup {
        core,
        io,
        executor: Executor::Glommio,
        coalesce: Coalesce::Off,
        sound_wait_us: 0,
        sandbox: Sandbox::On,
    };
    for (subscribers, packets) in [(1, 1), (10, 1), (100, 10)] {
        let mut group = criterion.benchmark_group(format!("forward/{packets} packets to {subscribers}"));
        group.throughput(Throughput::Elements((subscribers * packets) as u64));
        for name in ["uring", "syscalls", "floor", "naive"] {
            let mut bed = Bed::new(subscribers, Crypto::Gcm128, |plan| match name {
                "uring" => kept(LinkedWorker::start(setup(Io::Uring)).expect("starts"), plan),
                "syscalls" => kept(LinkedWorker::start(setup(Io::Syscalls)).expect("starts"), plan),
                "floor" => {
                    let gather = Gather::Coalesced(Coalesce::Off);
                    kept(Floor::start(setup(Io::Uring), gather).expect("starts"), plan)
                }
                _ => {
                    let mut naive = Naive { core, stop: Arc::default(), thread: None };
                    (naive.start(plan), Box::new(naive))
                }
            });
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter_custom(|times| (0..times).map(|_| bed.frame(packets)).sum());
            });
        }
        group.finish();
    }
}

/// One datagram there and back through one ring, so that there is little but the wake-up: the worker's ring, inside a
/// task of glommio's executor and on a plain thread, and the floor's, with no worker around it.
fn wake_up(criterion: &mut Criterion) {
    let core = cpu::last_core().expect("cores");
    let setup = |executor| WorkerSetup {
        core,
        io: Io::Uring,
        executor,
        coalesce: Coalesce::Off,
        sound_wait_us: 0,
        sandbox: Sandbox::On,
    };
    let mut group = criterion.benchmark_group("wake-up");
    for (name, executor) in [("worker under glommio", Executor::Glommio), ("worker on a thread", Executor::Thread)] {
        let worker = LinkedWorker::start(setup(executor)).expect("starts");
        let mut bed = Bed::new(1, Crypto::None, |plan| kept(worker, plan));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| bed.frame(1)).sum());
        });
    }
    let plain = Floor::start(setup(Executor::Thread), Gather::Coalesced(Coalesce::Off)).expect("starts");
    let mut bed = Bed::new(1, Crypto::None, |plan| kept(plain, plan));
    group.bench_function("bare ring", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| bed.frame(1)).sum());
    });
    group.finish();
}

const _: () = assert!(PAYLOAD_BYTES > HEADER_BYTES, "RTCP is told from media by its length");

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    targets = forwarding, wake_up
}
criterion_main!(benches);
