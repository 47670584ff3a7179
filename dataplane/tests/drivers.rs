//! Both drivers over loopback: what is sent arrives byte for byte, and every packet is counted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use corecast_core::{Endpoint, Path};
use corecast_dataplane::driver::{
    Datagram, Driver, DriverOptions, OpenError, Port, SegmentedSend, SocketOptions, Traffic,
};
use corecast_wire::{HugePages, SocketSettings};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn options(gro: bool) -> DriverOptions {
    let sockets = SocketOptions {
        gro,
        recv_buffer_bytes: 4 << 20,
        send_buffer_bytes: 4 << 20,
        reuse_port: false,
        dual_stack: false,
    };
    DriverOptions { sockets, max_sockets: 1_000, huge_pages: HugePages::Auto }
}

fn drivers(gro: bool) -> Vec<(&'static str, Driver)> {
    let syscalls = Driver::syscalls(options(gro)).expect("epoll");
    let ring = Driver::ring(options(gro));
    if let Err(error) = &ring {
        println!("io_uring is not tested: {error}");
    }
    std::iter::once(("syscalls", syscalls)).chain(ring.ok().map(|ring| ("ring", ring))).collect()
}

/// Bytes that say where they belong.
fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ seed.wrapping_mul(7)) as u8).collect()
}

fn send_train(driver: &mut Driver, path: Path, segment_len: u16, bytes: &[u8], piece_len: usize) -> u64 {
    let mut refused = 0;
    let train = SegmentedSend { path, segment_len, len: bytes.len(), pieces: bytes.chunks(piece_len) };
    driver.send([train], |at, packets| {
        assert_eq!(at, path);
        refused += packets;
    });
    refused
}

/// Receives until `packets` datagrams are there, or 5 s have passed.
fn receive(driver: &mut Driver, packets: usize) -> Vec<(Path, Vec<u8>)> {
    let mut got = Vec::new();
    let end = Instant::now() + Duration::from_secs(5);
    while got.len() < packets && Instant::now() < end {
        driver.wait(Duration::from_millis(50), Duration::ZERO).expect("waits");
        driver.collect();
        while let Some(Datagram { path, bytes, .. }) = driver.next_datagram() {
            got.push((path, bytes.to_vec()));
        }
    }
    got
}

fn sorted(mut packets: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    packets.sort();
    packets
}

#[test]
fn trains_arrive_byte_for_byte_at_a_plain_socket() {
    for ip in [V4, V6] {
        for (name, mut driver) in drivers(true) {
            let there = UdpSocket::bind((ip, 0)).expect("a socket");
            there.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
            let here = driver.open(ip, Port::Given(0), SocketSettings::default()).expect("a socket");
            let path = Path { local: here.id, remote: there.local_addr().expect("bound") };
            for connected in [false, true] {
                if connected {
                    driver.connect(here.id, path.remote).expect("loopback");
                }
                // Equal, a shorter last, one alone, the most segments; pieces that end anywhere.
                for (segment_len, len) in [(1_200, 12_000), (1_200, 11_000), (1_200, 700), (100, 6_400), (1, 64)] {
                    for piece_len in [usize::MAX, 600, 457, 101] {
                        let bytes = pattern(len, len);
                        let piece_len = piece_len.max(len / 150 + 1);
                        assert_eq!(send_train(&mut driver, path, segment_len, &bytes, piece_len), 0, "{name}");
                        let mut room = [0; 2_048];
                        for expected in bytes.chunks(usize::from(segment_len)) {
                            let (count, from) = there.recv_from(&mut room).expect("a packet");
                            assert_eq!(&room[..count], expected, "{name} {ip} {segment_len} {piece_len}");
                            assert_eq!(from, here.local);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn what_arrives_is_handed_out_datagram_by_datagram() {
    for (gro, ip) in [(true, V4), (true, V6), (false, V4), (false, V6)] {
        for (name, mut driver) in drivers(gro) {
            let a = driver.open(ip, Port::Given(0), SocketSettings::default()).expect("a socket");
            let b = driver.open(ip, Port::Given(0), SocketSettings::default()).expect("a socket");
            let to = |from: Endpoint, to: Endpoint| Path { local: from.id, remote: to.local };
            let trains = [(1_200, 12_000), (900, 8_500), (300, 300), (50, 3_200)];
            let mut sent = Vec::new();
            for (index, (segment_len, len)) in trains.into_iter().enumerate() {
                let bytes = pattern(index, len);
                assert_eq!(send_train(&mut driver, to(a, b), segment_len, &bytes, 1_000), 0);
                sent.extend(bytes.chunks(usize::from(segment_len)).map(<[u8]>::to_vec));
            }
            let got = receive(&mut driver, sent.len());
            assert!(got.iter().all(|(path, _)| *path == to(b, a)), "{name}");
            let got: Vec<_> = got.into_iter().map(|(_, bytes)| bytes).collect();
            assert_eq!(got, sent, "{name} gro {gro} {ip}");
            let traffic = driver.traffic();
            let bytes: usize = sent.iter().map(Vec::len).sum();
            assert_eq!((traffic.packets_sent, traffic.packets_received), (sent.len() as u64, sent.len() as u64));
            assert_eq!((traffic.bytes_sent, traffic.bytes_received), (bytes as u64, bytes as u64));
            assert_eq!((traffic.trains_sent, traffic.packets_refused, traffic.truncated), (4, 0, 0));
        }
    }
}

#[test]
fn many_sockets_share_the_buffers_and_nothing_is_lost() {
    for gro in [true, false] {
        for (name, mut driver) in drivers(gro) {
            let target = driver.open(V4, Port::Given(0), SocketSettings::default()).expect("a socket");
            let sources: Vec<_> = (0..200)
                .map(|_| driver.open(V4, Port::Given(0), SocketSettings::default()).expect("a socket"))
                .collect();
            let bytes: Vec<_> = (0..sources.len()).map(|index| pattern(index, 500)).collect();
            // There and back: 200 sockets to one, and one to 200.
            let there = sources.iter().map(|source| Path { local: source.id, remote: target.local });
            let back = sources.iter().map(|source| Path { local: target.id, remote: source.local });
            for paths in [there.collect::<Vec<_>>(), back.collect()] {
                let trains = paths.iter().zip(&bytes).map(|(path, bytes)| SegmentedSend {
                    path: *path,
                    segment_len: 100,
                    len: bytes.len(),
                    pieces: bytes.chunks(100),
                });
                driver.send(trains, |_, _| panic!("refused"));
                let got: Vec<_> = receive(&mut driver, 1_000).into_iter().map(|(_, bytes)| bytes).collect();
                let sent = bytes.iter().flat_map(|bytes| bytes.chunks(100).map(<[u8]>::to_vec)).collect();
                assert_eq!(sorted(got), sorted(sent), "{name} gro {gro}");
            }
            // More messages than buffers: the ring's receives ended and were armed again.
            assert_eq!(driver.traffic().rearmed > 0, name == "ring", "{name} gro {gro}");
        }
    }
}

#[test]
fn a_truncated_datagram_is_counted_and_not_handed_out() {
    for (name, mut driver) in drivers(false) {
        let there = UdpSocket::bind((V4, 0)).expect("a socket");
        let here = driver.open(V4, Port::Given(0), SocketSettings::default()).expect("a socket");
        there.send_to(&[7; 9_000], here.local).expect("loopback");
        there.send_to(&[8; 100], here.local).expect("loopback");
        let got = receive(&mut driver, 1);
        assert_eq!(got.len(), 1, "{name}");
        assert_eq!(got[0].1, [8; 100], "{name}");
        assert_eq!(driver.traffic().truncated, 1, "{name}");
    }
}

#[test]
fn a_peer_that_has_gone_costs_no_packet_of_the_next() {
    for (name, mut driver) in drivers(true) {
        let there = UdpSocket::bind((V4, 0)).expect("a socket");
        let remote = there.local_addr().expect("bound");
        drop(there);
        let here = driver.open(V4, Port::Given(0), SocketSettings::default()).expect("a socket");
        driver.connect(here.id, remote).expect("loopback");
        let path = Path { local: here.id, remote };
        for _ in 0..50 {
            // Each brings an ICMP answer, which the kernel reports in place of the next send.
            assert_eq!(send_train(&mut driver, path, 100, &[1; 100], 100), 0, "{name}");
        }
        let there = UdpSocket::bind(remote).expect("the port is free");
        there.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        there.send_to(&[9; 10], here.local).expect("loopback");
        assert_eq!(send_train(&mut driver, path, 100, &pattern(1, 250), 100), 0, "{name}");
        let mut room = [0; 500];
        let total: usize = (0..3).map(|_| there.recv(&mut room).expect("a packet")).sum();
        assert_eq!(total, 250, "{name}");
        assert_eq!(receive(&mut driver, 1).len(), 1, "{name}: still receives");
    }
}

#[test]
fn a_connected_endpoint_hears_its_remote_side_only() {
    for (name, mut driver) in drivers(true) {
        let friend = UdpSocket::bind((V4, 0)).expect("a socket");
        let stranger = UdpSocket::bind((V4, 0)).expect("a socket");
        let here = driver.open(V4, Port::Given(0), SocketSettings::default()).expect("a socket");
        driver.connect(here.id, friend.local_addr().expect("bound")).expect("loopback");
        stranger.send_to(b"no", here.local).expect("loopback");
        friend.send_to(b"yes", here.local).expect("loopback");
        let got = receive(&mut driver, 1);
        assert_eq!(got.len(), 1, "{name}");
        assert_eq!(got[0].1, b"yes", "{name}");
    }
}

#[test]
fn a_closed_endpoint_frees_its_port_and_its_number_and_others_go_on() {
    for (name, mut driver) in drivers(true) {
        let keep = driver.open(V4, Port::Given(0), SocketSettings::default()).expect("a socket");
        let there = UdpSocket::bind((V4, 0)).expect("a socket");
        for round in 0..200_u32 {
            let one = driver.open(V4, Port::Given(0), SocketSettings::default()).expect("a socket");
            assert!(one.id.0 <= 3, "{name}: numbers are reused ({:?} in round {round})", one.id);
            there.send_to(&round.to_be_bytes(), one.local).expect("loopback");
            let got = receive(&mut driver, 1);
            assert_eq!(got[0].1, round.to_be_bytes(), "{name}");
            driver.close(one.id);
            driver.wait(Duration::ZERO, Duration::ZERO).expect("waits");
            driver.collect();
            assert!(UdpSocket::bind(one.local).is_ok(), "{name}: the port is free after the next turn");
        }
        there.send_to(b"still", keep.local).expect("loopback");
        assert_eq!(receive(&mut driver, 1)[0].1, b"still", "{name}");
    }
}

#[test]
fn a_taken_port_is_refused_and_an_endpoint_that_is_gone_counts_its_packets() {
    for (name, mut driver) in drivers(true) {
        let taken = UdpSocket::bind((V4, 0)).expect("a socket");
        let address = taken.local_addr().expect("bound");
        let refused = driver.open(V4, Port::Given(address.port()), SocketSettings::default()).expect_err("taken");
        assert!(matches!(refused, OpenError::Refused { address: at, .. } if at == address), "{name}");
        let gone = driver.open(V4, Port::Given(0), SocketSettings::default()).expect("a socket");
        driver.close(gone.id);
        let remote: SocketAddr = address;
        let path = Path { local: gone.id, remote };
        assert_eq!(send_train(&mut driver, path, 100, &[0; 250], 250), 3, "{name}");
        assert_eq!(driver.traffic(), Traffic { packets_refused: 3, ..driver.traffic() });
    }
}

#[test]
fn what_a_full_receive_queue_drops_is_counted() {
    for small in [Driver::syscalls, Driver::ring] {
        let sockets = SocketOptions {
            gro: false,
            recv_buffer_bytes: 16 * 1024,
            send_buffer_bytes: 1 << 20,
            reuse_port: false,
            dual_stack: false,
        };
        let options = DriverOptions { sockets, max_sockets: 10, huge_pages: HugePages::Off };
        let Ok(mut driver) = small(options) else { continue };
        let here = driver.open(V4, Port::Given(0), SocketSettings::default()).expect("a socket");
        let there = UdpSocket::bind((V4, 0)).expect("a socket");
        for _ in 0..200 {
            there.send_to(&[1; 1_000], here.local).expect("loopback");
        }
        let held = receive_until_silent(&mut driver);
        assert!(held > 0 && held < 200, "{held} of 200");
        // The count comes with a datagram that was queued after the loss.
        there.send_to(&[2; 1_000], here.local).expect("loopback");
        assert_eq!(receive(&mut driver, 1).len(), 1);
        assert_eq!(driver.traffic().receive_overflows, 200 - held);
    }
}

fn receive_until_silent(driver: &mut Driver) -> u64 {
    while driver.wait(Duration::from_millis(200), Duration::ZERO).expect("waits").datagrams {
        driver.collect();
        while driver.next_datagram().is_some() {}
    }
    driver.traffic().packets_received
}

/// Each datagram says when the kernel took it in, though it was read later.
#[test]
fn datagrams_say_when_the_kernel_took_them_in() {
    for (name, mut driver) in drivers(true) {
        let here = driver.open(V4, Port::Given(0), SocketSettings::default()).expect("a port").local;
        let sender = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let unix_now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        let before = unix_now();
        sender.send_to(b"first", here).expect("loopback");
        let between = unix_now();
        std::thread::sleep(Duration::from_millis(30));
        sender.send_to(b"second", here).expect("loopback");
        let mut times = Vec::new();
        while times.len() < 2 {
            driver.wait(Duration::from_millis(50), Duration::ZERO).expect("waits");
            driver.collect();
            while let Some(datagram) = driver.next_datagram() {
                times.push(Duration::from_nanos(datagram.taken_in_ns.expect("a time")));
            }
        }
        assert!(before <= times[0] && times[0] <= between, "{name}: {times:?}");
        assert!(times[1] >= between + Duration::from_millis(30), "{name}: {times:?}");
    }
}
