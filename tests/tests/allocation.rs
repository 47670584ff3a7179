//! Steady-state forwarding allocates nothing: neither through Rust's allocator nor through C's `malloc` (which the
//! cipher library could call). Both are counted, for every suite, from the datagram to the outbox.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::c_void;
use std::net::SocketAddr;
use std::time::Duration;

use corecast_core::srtp::Sealer;
use corecast_core::{Config, Endpoint, EndpointId, Forward, Instant, Outbox, Path, Worker};
use corecast_wire::{
    Codec, CodecMapping, Command, ConsumeOptions, ConsumerId, EncodingMapping, MediaKind, PayloadTypeMapping,
    PlainTransportOptions, ProduceOptions, ProducerId, RouterId, SrtpCryptoSuite, SrtpParameters, TransportId,
};

thread_local! {
    static RUST: Cell<u64> = const { Cell::new(0) };
    static C: Cell<u64> = const { Cell::new(0) };
}

fn count(counter: &'static std::thread::LocalKey<Cell<u64>>) {
    // A thread that ends may allocate when its locals are gone: not of interest.
    let _ = counter.try_with(|count| count.set(count.get() + 1));
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(&RUST);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(&RUST);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(at, layout, size) }
    }
}

// glibc's own allocator, behind the names that this program takes over below.
unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(items: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(at: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_memalign(alignment: usize, size: usize) -> *mut c_void;
}

// SAFETY: takes the place of C's `malloc` with the same contract; memory is freed by glibc's own `free`.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    count(&C);
    // SAFETY: any size is allowed.
    unsafe { __libc_malloc(size) }
}

// SAFETY: as `malloc`.
#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(items: usize, size: usize) -> *mut c_void {
    count(&C);
    // SAFETY: any size is allowed.
    unsafe { __libc_calloc(items, size) }
}

// SAFETY: as `malloc`; `at` is null or comes from one of these functions, which all give glibc's memory.
#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(at: *mut c_void, size: usize) -> *mut c_void {
    count(&C);
    // SAFETY: the caller keeps the contract of `realloc`.
    unsafe { __libc_realloc(at, size) }
}

// SAFETY: as `malloc`.
#[unsafe(no_mangle)]
unsafe extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    count(&C);
    // SAFETY: the caller gives a power of two.
    unsafe { __libc_memalign(alignment, size) }
}

/// (Rust's, C's) allocations of this thread so far. Rust's own reach the system through C's.
fn allocations() -> (u64, u64) {
    (RUST.get(), C.get())
}

const CONSUMERS: u8 = 20;
const PACKETS_PER_FRAME: u16 = 10;

fn key(suite: SrtpCryptoSuite, fill: u8) -> SrtpParameters {
    SrtpParameters { suite, key_and_salt: vec![fill; suite.key_and_salt_len()] }
}

fn path(transport: u8) -> Path {
    Path { local: EndpointId(u32::from(transport)), remote: SocketAddr::from(([192, 0, 2, transport + 1], 5_000)) }
}

struct Call {
    worker: Worker,
    outbox: Outbox,
    sealer: Option<Sealer>,
    now: Instant,
    sequence: u16,
    packet: Vec<u8>,
    sent: u64,
    timers: u64,
    allocations_of_timers: (u64, u64),
}

impl Call {
    /// One sender, and as many receivers as there are consumers, each on a transport of its own.
    fn new(suite: Option<SrtpCryptoSuite>) -> Self {
        let mut call = Self {
            worker: Worker::new(Config::plain(std::time::Instant::now())),
            outbox: Outbox::new(),
            sealer: suite.map(|suite| Sealer::new(&key(suite, 1)).expect("a key of the right length")),
            now: Instant::from_nanos(1_000_000),
            sequence: 0,
            packet: vec![0; 1_300],
            sent: 0,
            timers: 0,
            allocations_of_timers: (0, 0),
        };
        call.must(&Command::CreateRouter { router: RouterId(1) }, &[]);
        (0..=CONSUMERS).for_each(|number| call.add_transport(number, suite));
        let transport = TransportId(0);
        call.must(&Command::Produce { transport, producer: ProducerId(1), options: produce() }, &[]);
        (1..=CONSUMERS).for_each(|number| call.add_consumer(number));
        call
    }

    fn must(&mut self, command: &Command, opened: &[Endpoint]) {
        self.worker.handle_command(self.now, command, opened, &mut self.outbox).expect("a lawful command");
        self.outbox.clear();
        while self.worker.poll_endpoint_op().is_some() {}
    }

    fn add_transport(&mut self, number: u8, suite: Option<SrtpCryptoSuite>) {
        let transport = TransportId(u64::from(number));
        let options = PlainTransportOptions {
            srtp: suite.map(|suite| key(suite, 2 + number)),
            ..PlainTransportOptions::new([127, 0, 0, 1].into(), 7)
        };
        let local = SocketAddr::from(([127, 0, 0, 1], 10_000 + u16::from(number)));
        let opened = [Endpoint { id: path(number).local, local }];
        self.must(&Command::CreatePlainTransport { router: RouterId(1), transport, options }, &opened);
        let (remote, srtp) = (Some(path(number).remote), suite.map(|suite| key(suite, 1)));
        self.must(&Command::ConnectPlainTransport { transport, remote, rtcp_remote: None, srtp }, &[]);
    }

    fn add_consumer(&mut self, number: u8) {
        let options = ConsumeOptions {
            nack: true,
            first_sequence: 1,
            ..ConsumeOptions::new(100 + u32::from(number), vec![PayloadTypeMapping::same(110)], "c".to_owned())
        };
        let (transport, consumer) = (TransportId(u64::from(number)), ConsumerId(u64::from(number)));
        self.must(&Command::Consume { transport, consumer, producer: ProducerId(1), options }, &[]);
    }

    /// One frame: in, and out to every consumer.
    fn frame(&mut self, len: usize) {
        for _ in 0..PACKETS_PER_FRAME {
            let [high, low] = self.sequence.to_be_bytes();
            let header = [0x80, 96, high, low, 0, 0, 0, 1, 0, 0, 0, 9];
            let payload = &[0x10; 1_200][..len];
            let total = header.len() + len + self.sealer.as_ref().map_or(0, Sealer::rtp_overhead);
            let packet = &mut self.packet[..total];
            packet[..header.len()].copy_from_slice(&header);
            match &self.sealer {
                Some(sealer) => {
                    let index = u64::from(self.sequence);
                    sealer.seal_rtp(9, index, packet, header.len(), payload).expect("lengths that add up");
                }
                None => packet[header.len()..].copy_from_slice(payload),
            }
            self.worker.handle_datagram(self.now, self.now, path(0), packet, &mut self.outbox);
            self.sequence += 1;
        }
        loop {
            let forward = self.worker.forward(self.now, &mut self.outbox);
            self.sent += self.outbox.packets() as u64;
            self.outbox.clear();
            if forward == Forward::Done {
                break;
            }
        }
        self.now = self.now + Duration::from_millis(20);
        let before = allocations();
        if self.worker.next_timeout().is_some_and(|at| at <= self.now) {
            self.worker.handle_timeout(self.now, &mut self.outbox);
            self.outbox.clear();
            self.timers += 1;
        }
        let (rust, c) = allocations();
        self.allocations_of_timers.0 += rust - before.0;
        self.allocations_of_timers.1 += c - before.1;
    }

    /// Allocations so far that were made for packets, not for timers.
    fn allocations_for_packets(&self) -> (u64, u64) {
        let ((rust, c), timers) = (allocations(), self.allocations_of_timers);
        (rust - timers.0, c - timers.1)
    }
}

fn produce() -> ProduceOptions {
    ProduceOptions {
        nack: true,
        pli: true,
        ..ProduceOptions::new(
            MediaKind::Video,
            vec![CodecMapping { payload_type: 96, mapped_payload_type: 110, codec: Codec::Vp8, clock_rate_hz: 90_000 }],
            vec![EncodingMapping::announced(9)],
        )
    }
}

fn forwards_without_allocating(suite: Option<SrtpCryptoSuite>) {
    let mut call = Call::new(suite);
    // Until every ring and every vector has the size that it keeps.
    (0..100).for_each(|at| call.frame(400 + at));
    let (before, sent_before) = (call.allocations_for_packets(), call.sent);
    (0..1_000).for_each(|at| call.frame(400 + at % 800));
    let (after, sent) = (call.allocations_for_packets(), call.sent - sent_before);
    assert_eq!(sent, 1_000 * u64::from(PACKETS_PER_FRAME) * u64::from(CONSUMERS), "everything was forwarded");
    assert_eq!(after, before, "allocations by Rust and by C while {sent} packets were forwarded ({suite:?})");
    // Reports leave every second or so, for 21 transports; each may gather in a list whom it is about.
    let (rust, _) = call.allocations_of_timers;
    assert!(rust < 2 * u64::from(CONSUMERS + 1) * 22, "{rust} allocations for {} timers", call.timers);
}

#[test]
fn counters_count() {
    let before = allocations();
    let boxed = std::hint::black_box(Box::new(5_u64));
    let after = allocations();
    assert_eq!((after.0 - before.0, after.1 - before.1), (1, 1), "a box is one allocation of each kind");
    drop(boxed);
}

#[test]
fn plain() {
    forwards_without_allocating(None);
}

#[test]
fn gcm_128() {
    forwards_without_allocating(Some(SrtpCryptoSuite::AeadAes128Gcm));
}

#[test]
fn gcm_256() {
    forwards_without_allocating(Some(SrtpCryptoSuite::AeadAes256Gcm));
}

#[test]
fn cm() {
    forwards_without_allocating(Some(SrtpCryptoSuite::AesCm128HmacSha1_80));
}
