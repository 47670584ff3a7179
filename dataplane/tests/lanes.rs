//! Drivers of two workers that are joined: what one sends the other gets, through no socket, and a sleeper is woken.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use corecast_core::{Endpoint, Path};
use corecast_dataplane::driver::{Datagram, Driver, DriverOptions, OpenError, Port, SegmentedSend, SocketOptions};
use corecast_dataplane::{Ends, Mesh};
use corecast_wire::{HugePages, SocketSettings, worker_ip};

/// Longer than any test takes.
const PATIENCE: Duration = Duration::from_secs(20);

type Make = fn(DriverOptions) -> std::io::Result<Driver>;

/// Both drivers, as far as the host lets us.
fn makers() -> Vec<Make> {
    let ring: Make = Driver::ring;
    let ring = ring(options()).is_ok().then_some(ring);
    std::iter::once(Driver::syscalls as Make).chain(ring).collect()
}

fn options() -> DriverOptions {
    let sockets = SocketOptions {
        gro: true,
        recv_buffer_bytes: 1 << 20,
        send_buffer_bytes: 1 << 20,
        reuse_port: false,
        dual_stack: false,
    };
    DriverOptions { sockets, max_sockets: 100, huge_pages: HugePages::Off }
}

fn join(make: Make, mesh: &Mesh, worker: u32) -> Driver {
    let mut driver = make(options()).expect("a driver");
    let own = mesh.ends_of(worker).iter().map(|fd| fd.try_clone_to_owned().expect("a descriptor")).collect();
    driver.join(worker, Ends::of(own)).expect("memory");
    driver
}

fn open(driver: &mut Driver, worker: u32, port: Port) -> Result<Endpoint, OpenError> {
    driver.open(worker_ip(worker), port, SocketSettings::default())
}

/// Sends in segments of this length, in pieces that end anywhere. Returns how many packets found no room.
fn send(driver: &mut Driver, path: Path, segment_len: u16, bytes: &[u8]) -> u64 {
    let mut refused = 0;
    let train = SegmentedSend { path, segment_len, len: bytes.len(), pieces: bytes.chunks(457) };
    driver.send([train], |at, packets| {
        assert_eq!(at, path);
        refused += packets;
    });
    refused
}

/// What is there by now.
fn receive(driver: &mut Driver) -> Vec<(Path, Vec<u8>)> {
    driver.wait(Duration::ZERO, Duration::ZERO).expect("waits");
    driver.collect();
    let mut got = Vec::new();
    while let Some(Datagram { path, bytes, taken_in_ns }) = driver.next_datagram() {
        assert_eq!(taken_in_ns, Some(77));
        got.push((path, bytes.to_vec()));
    }
    got
}

#[test]
fn trains_come_packet_by_packet_in_order_at_the_endpoint_that_they_are_for() {
    for make in makers() {
        let mesh = Mesh::new(3).expect("memory");
        let [mut zero, mut one, mut two] = [0, 1, 2].map(|worker| join(make, &mesh, worker));
        let from = open(&mut zero, 0, Port::Range(40_000, 40_100)).expect("a port");
        let to = open(&mut two, 2, Port::Given(9)).expect("a port");
        assert_eq!((from.local.ip(), to.local.to_string()), (worker_ip(0), "[100::2]:9".into()));
        let (there, back) = (Path { local: from.id, remote: to.local }, Path { local: to.id, remote: from.local });
        zero.set_time(Duration::from_nanos(77));
        let mut sent = Vec::new();
        for (segment_len, len) in [(1_200_u16, 12_000), (900, 8_500), (300, 300), (50, 3_200), (2_048, 2_050)] {
            let bytes: Vec<u8> = (0..len).map(|at: usize| ((at * 31) ^ (at >> 8)) as u8).collect();
            assert_eq!(send(&mut zero, there, segment_len, &bytes), 0);
            sent.extend(bytes.chunks(segment_len.into()).map(|packet| (back, packet.to_vec())));
        }
        assert_eq!(send(&mut zero, there, 2_049, &[0; 2_049]), 1, "too long");
        assert_eq!(receive(&mut two), sent);
        assert!(receive(&mut one).is_empty() && receive(&mut two).is_empty());
        let traffic = (zero.traffic(), two.traffic());
        assert_eq!((traffic.0.packets_sent, traffic.0.packets_refused), (sent.len() as u64, 1));
        assert_eq!((traffic.1.packets_received, traffic.1.bytes_received), (sent.len() as u64, traffic.0.bytes_sent));
    }
}

#[test]
fn an_endpoint_that_has_been_closed_hears_nothing_and_its_port_rests() {
    for make in makers() {
        let mesh = Mesh::new(2).expect("memory");
        let [mut zero, mut one] = [0, 1].map(|worker| join(make, &mesh, worker));
        let from = open(&mut zero, 0, Port::Given(5)).expect("a port");
        let taken = open(&mut zero, 0, Port::Given(5)).expect_err("it is taken");
        assert!(matches!(taken, OpenError::Refused { .. }), "{taken}");
        zero.open(worker_ip(1), Port::Given(0), SocketSettings::default()).expect_err("it is another's address");
        let to = open(&mut one, 1, Port::Range(1, 2)).expect("a port");
        send(&mut zero, Path { local: from.id, remote: to.local }, 100, &[1; 100]);
        one.close(to.id);
        let next = open(&mut one, 1, Port::Range(1, 2)).expect("a port");
        assert_eq!(next.id, to.id, "a number is used again at once");
        assert_ne!(next.local, to.local);
        assert!(receive(&mut one).is_empty());
        // Nobody is there, and the worker that this is for does not exist.
        for remote in [next.local, "[100::7]:1".parse().expect("an address"), "127.0.0.1:9".parse().expect("one")] {
            let refused = send(&mut zero, Path { local: from.id, remote }, 100, &[1; 100]);
            assert_eq!(refused, u64::from(remote != next.local));
        }
    }
}

#[test]
fn a_full_lane_is_a_loss_that_is_counted_and_what_comes_later_arrives() {
    for make in makers() {
        let mesh = Mesh::new(2).expect("memory");
        let [mut zero, mut one] = [0, 1].map(|worker| join(make, &mesh, worker));
        let from = open(&mut zero, 0, Port::Given(1)).expect("a port");
        let to = open(&mut one, 1, Port::Given(1)).expect("a port");
        let path = Path { local: from.id, remote: to.local };
        zero.set_time(Duration::from_nanos(77));
        let sent = 2_000;
        let refused: u64 = (0..sent).map(|_| send(&mut zero, path, 1_200, &[3; 1_200])).sum();
        assert!((500..1_500).contains(&refused), "{refused} of {sent}");
        assert_eq!(zero.traffic().packets_refused, refused);
        assert_eq!(receive(&mut one).len() as u64, sent - refused);
        assert_eq!(send(&mut zero, path, 1_200, b"again"), 0);
        let [(_, got)] = &receive(&mut one)[..] else { panic!("one packet") };
        assert_eq!(got, b"again");
    }
}

#[test]
fn a_worker_that_sleeps_is_woken() {
    for make in makers() {
        let mesh = Mesh::new(2).expect("memory");
        let mut zero = join(make, &mesh, 0);
        let from = open(&mut zero, 0, Port::Given(1)).expect("a port");
        let (tell, heard) = mpsc::channel();
        let ends: Vec<_> = mesh.ends_of(1).iter().map(|fd| fd.try_clone_to_owned().expect("a descriptor")).collect();
        let sleeper = std::thread::spawn(move || {
            // A ring is its thread's alone.
            let mut one = make(options()).expect("a driver");
            one.join(1, Ends::of(ends)).expect("memory");
            let opened = open(&mut one, 1, Port::Given(1)).expect("a port");
            tell.send(opened.local).expect("it is heard");
            for number in 0..100_u8 {
                let since = Instant::now();
                while !one.collect() {
                    one.wait(PATIENCE, Duration::ZERO).expect("waits");
                    assert!(since.elapsed() < PATIENCE / 2, "it slept on");
                }
                let mut got = Vec::new();
                while let Some(datagram) = one.next_datagram() {
                    got.push(datagram.bytes.to_vec());
                }
                assert_eq!(got, [[number; 10]]);
                tell.send(opened.local).expect("it is heard");
            }
        });
        for number in 0..100 {
            let remote = heard.recv_timeout(PATIENCE).expect("it is awake");
            send(&mut zero, Path { local: from.id, remote }, 10, &[number; 10]);
        }
        heard.recv_timeout(PATIENCE).expect("the last one has come");
        sleeper.join().expect("it has ended");
    }
}
