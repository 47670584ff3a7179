//! ICE-TCP on both drivers over loopback: framing, limits, and readers that do not read.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use corecast_core::{Endpoint, EndpointId, Path};
use corecast_dataplane::driver::{
    Change, Datagram, Driver, DriverOptions, OpenError, Port, SegmentedSend, SocketOptions,
};
use corecast_wire::{HugePages, SocketSettings};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn drivers(max_sockets: usize) -> Vec<(&'static str, Driver)> {
    let sockets = SocketOptions {
        gro: true,
        recv_buffer_bytes: 1 << 20,
        send_buffer_bytes: 1 << 20,
        reuse_port: false,
        dual_stack: false,
    };
    let options = DriverOptions { sockets, max_sockets, huge_pages: HugePages::Off };
    let syscalls = Driver::syscalls(options).expect("epoll");
    let ring = Driver::ring(options);
    if let Err(error) = &ring {
        println!("io_uring is not tested: {error}");
    }
    std::iter::once(("syscalls", syscalls)).chain(ring.ok().map(|ring| ("ring", ring))).collect()
}

/// What a driver has said so far.
#[derive(Default)]
struct Heard {
    changes: Vec<Change>,
    packets: Vec<(Path, Vec<u8>)>,
}

impl Heard {
    /// One turn, as the pump does it.
    fn turn(&mut self, driver: &mut Driver) {
        driver.wait(Duration::from_millis(20), Duration::ZERO).expect("waits");
        driver.collect();
        self.changes.extend(std::iter::from_fn(|| driver.next_change()));
        while driver.next_datagram().is_some() {}
        while let Some((path, packet)) = driver.next_packet() {
            self.packets.push((path, packet.to_vec()));
        }
        self.changes.extend(std::iter::from_fn(|| driver.next_change()));
    }

    fn until(&mut self, driver: &mut Driver, done: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !done(self) {
            assert!(Instant::now() < end, "after {:?} and {} packets", self.changes, self.packets.len());
            self.turn(driver);
        }
    }
}

fn accepted(changes: &[Change]) -> Vec<Endpoint> {
    let endpoint = |change: &Change| if let Change::Accepted(endpoint) = change { Some(*endpoint) } else { None };
    changes.iter().filter_map(endpoint).collect()
}

fn gone(changes: &[Change]) -> Vec<EndpointId> {
    changes.iter().filter_map(|change| if let Change::Gone(id) = change { Some(*id) } else { None }).collect()
}

/// A client of `driver`, and its path.
fn join(driver: &mut Driver, to: SocketAddr) -> (TcpStream, Path) {
    let client = TcpStream::connect(to).expect("loopback");
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let mut heard = Heard::default();
    heard.until(driver, |heard| !accepted(&heard.changes).is_empty());
    let endpoint = accepted(&heard.changes)[0];
    assert_eq!(endpoint.local, to);
    let path = Path { local: endpoint.id, remote: client.local_addr().expect("connected") };
    (client, path)
}

fn has_ended(mut client: &TcpStream) -> bool {
    match client.read(&mut [0; 64]) {
        Ok(0) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
        Ok(_) => false,
    }
}

fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ seed.wrapping_mul(7)) as u8).collect()
}

fn framed(packet: &[u8]) -> Vec<u8> {
    let length = u16::try_from(packet.len()).expect("short").to_be_bytes();
    [&length, packet].concat()
}

fn read_packet(mut client: &TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    client.read_exact(&mut length).expect("a length");
    let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
    client.read_exact(&mut packet).expect("a packet");
    packet
}

fn send(driver: &mut Driver, path: Path, segment_len: u16, bytes: &[u8]) -> u64 {
    let mut refused = 0;
    let train = SegmentedSend { path, segment_len, len: bytes.len(), pieces: bytes.chunks(777) };
    driver.send([train], |at, packets| {
        assert_eq!(at, path);
        refused += packets;
    });
    refused
}

#[test]
fn packets_come_and_go_whole_however_the_stream_is_cut() {
    for ip in [V4, V6] {
        for (name, mut driver) in drivers(100) {
            let here = driver.listen(SocketAddr::new(ip, 0)).expect("a listener");
            let (mut client, path) = join(&mut driver, here);
            let packets: Vec<_> = [1, 1_200, 20, 2_048, 700].map(|len| pattern(len, len)).into();
            // Together, with empty ones between, which mean nothing; then byte by byte.
            let frames: Vec<_> = packets.iter().flat_map(|packet| [framed(packet), vec![0, 0]].concat()).collect();
            client.write_all(&frames).expect("room");
            let mut heard = Heard::default();
            heard.until(&mut driver, |heard| heard.packets.len() == packets.len());
            client.set_nodelay(true).expect("an option");
            for byte in &frames {
                client.write_all(&[*byte]).expect("room");
                heard.turn(&mut driver);
            }
            heard.until(&mut driver, |heard| heard.packets.len() == 2 * packets.len());
            let expected = packets.iter().chain(&packets).map(|packet| (path, packet.clone()));
            assert!(heard.packets.iter().cloned().eq(expected), "{name} {ip}");
            assert_eq!(heard.changes, [], "{name} {ip}");
            for (segment_len, len) in [(1_200, 12_000), (1_200, 11_000), (1_200, 700), (100, 6_400), (1, 64)] {
                let bytes = pattern(len, len);
                assert_eq!(send(&mut driver, path, segment_len, &bytes), 0, "{name} {ip}");
                for expected in bytes.chunks(usize::from(segment_len)) {
                    assert_eq!(read_packet(&client), expected, "{name} {ip} {segment_len}");
                }
            }
            let traffic = driver.traffic();
            let (received, bytes) = (packets.len() as u64 * 2, packets.iter().map(Vec::len).sum::<usize>() as u64 * 2);
            assert_eq!((traffic.packets_received, traffic.bytes_received), (received, bytes), "{name}");
            assert_eq!((traffic.packets_sent, traffic.bytes_sent, traffic.trains_sent), (149, 30_164, 5), "{name}");
        }
    }
}

#[test]
fn udp_and_tcp_share_an_address() {
    for (name, mut driver) in drivers(100) {
        let shared = driver.open_shared(V4, Port::Given(0), SocketSettings::default()).expect("a socket");
        let here = driver.listen(shared.local).expect("the same port");
        let (mut client, path) = join(&mut driver, here);
        let there = UdpSocket::bind((V4, 0)).expect("a socket");
        let (mut datagrams, mut packets) = (0, 0);
        let end = Instant::now() + Duration::from_secs(10);
        for round in 1..=100 {
            there.send_to(&[7; 100], here).expect("loopback");
            client.write_all(&framed(&[8; 100])).expect("room");
            while (datagrams, packets) != (round, round) {
                assert!(Instant::now() < end, "{name}: {datagrams} and {packets} in round {round}");
                driver.wait(Duration::from_millis(20), Duration::ZERO).expect("waits");
                driver.collect();
                while let Some(Datagram { path: from, bytes, .. }) = driver.next_datagram() {
                    assert_eq!((from.local, bytes), (shared.id, [7; 100].as_slice()), "{name}");
                    datagrams += 1;
                }
                while let Some((from, packet)) = driver.next_packet() {
                    assert_eq!((from, packet), (path, [8; 100].as_slice()), "{name}");
                    packets += 1;
                }
            }
        }
    }
}

#[test]
fn a_peer_that_sends_a_packet_that_is_too_long_is_cut_off() {
    for (name, mut driver) in drivers(100) {
        let here = driver.listen(SocketAddr::new(V4, 0)).expect("a listener");
        let (mut client, path) = join(&mut driver, here);
        client.write_all(&[framed(b"well"), 2_049_u16.to_be_bytes().to_vec()].concat()).expect("room");
        let mut heard = Heard::default();
        heard.until(&mut driver, |heard| !heard.changes.is_empty());
        assert_eq!(heard.changes, [Change::Gone(path.local)], "{name}");
        assert_eq!(heard.packets, [(path, b"well".to_vec())], "{name}: what came before is good");
        assert!(has_ended(&client), "{name}");
    }
}

#[test]
fn as_many_as_the_system_lets_wait_are_taken_in_before_the_worker_accepts_them() {
    for (name, mut driver) in drivers(1_000) {
        let here = driver.listen(SocketAddr::new(V4, 0)).expect("a listener");
        // Whom the kernel does not take in hears nothing, and would try again after a second.
        let clients: Result<Vec<_>, _> =
            (0..500).map(|_| TcpStream::connect_timeout(&here, Duration::from_millis(700))).collect();
        assert_eq!(clients.expect(name).len(), 500);
    }
}

#[test]
fn a_connection_that_ends_is_told_of_once_and_its_number_is_reused() {
    for (name, mut driver) in drivers(100) {
        let here = driver.listen(SocketAddr::new(V4, 0)).expect("a listener");
        // By its peer, then by us.
        let (mut client, path) = join(&mut driver, here);
        client.write_all(&[framed(b"last words"), vec![0, 5, 1]].concat()).expect("room");
        drop(client);
        let mut heard = Heard::default();
        heard.until(&mut driver, |heard| !heard.changes.is_empty());
        assert_eq!(heard.changes, [Change::Gone(path.local)], "{name}");
        assert_eq!(heard.packets, [(path, b"last words".to_vec())], "{name}");
        assert_eq!(send(&mut driver, path, 100, &[1; 250]), 3, "{name}: nobody is there");
        let (other, other_path) = join(&mut driver, here);
        assert_eq!(other_path.local, path.local, "{name}: numbers are reused");
        assert_eq!(send(&mut driver, path, 100, &[1; 250]), 3, "{name}: what was meant for another goes nowhere");
        driver.authenticated(other_path.local);
        driver.close(other_path.local);
        assert!(has_ended(&other), "{name}");
        let (_third, third_path) = join(&mut driver, here);
        assert_eq!(third_path.local, path.local, "{name}");
    }
}

#[test]
fn a_reader_that_does_not_read_costs_packets_and_none_of_them_half() {
    for (name, mut driver) in drivers(100) {
        let here = driver.listen(SocketAddr::new(V4, 0)).expect("a listener");
        let (client, path) = join(&mut driver, here);
        driver.authenticated(path.local);
        let mut sent = Vec::new();
        let mut refused = 0;
        // What the kernel holds is some megabytes at most.
        for seed in 0..2_000 {
            let bytes = pattern(seed, 10_500);
            let left_out = send(&mut driver, path, 1_000, &bytes);
            let kept = bytes.chunks(1_000).take(11 - usize::try_from(left_out).expect("few"));
            sent.extend(kept.map(<[u8]>::to_vec));
            refused += left_out;
        }
        assert!(refused > 11 && sent.len() > 250, "{name}: {refused} refused, {} taken", sent.len());
        assert_eq!(driver.traffic().packets_refused, refused, "{name}");
        assert_eq!(driver.traffic().packets_sent, sent.len() as u64, "{name}");
        let reader = std::thread::spawn(move || {
            let same = sent.iter().all(|expected| read_packet(&client) == *expected);
            (client, same)
        });
        let mut heard = Heard::default();
        while !reader.is_finished() {
            heard.turn(&mut driver);
        }
        let (client, same) = reader.join().expect("all of it comes");
        assert!(same, "{name}: what was taken arrives in order and whole");
        assert_eq!(send(&mut driver, path, 100, &[3; 100]), 0, "{name}: and then there is room again");
        assert_eq!(read_packet(&client), [3; 100], "{name}");
        assert_eq!(heard.changes, [], "{name}");
    }
}

#[test]
fn unauthenticated_connections_of_one_address_are_few_and_the_oldest_makes_room() {
    for (name, mut driver) in drivers(1_000) {
        let here = driver.listen(SocketAddr::new(V4, 0)).expect("a listener");
        let (friend, friend_path) = join(&mut driver, here);
        driver.authenticated(friend_path.local);
        let strangers: Vec<_> = (0..16).map(|_| join(&mut driver, here)).collect();
        let mut heard = Heard::default();
        let seventeenth = TcpStream::connect(here).expect("loopback");
        heard.until(&mut driver, |heard| heard.changes.len() == 2);
        assert_eq!(gone(&heard.changes), [strangers[0].1.local], "{name}: of whom that is true");
        assert!(has_ended(&strangers[0].0), "{name}");
        assert_eq!(send(&mut driver, friend_path, 100, &[1; 100]), 0, "{name}");
        assert_eq!(read_packet(&friend), [1; 100], "{name}: the friend stays");
        drop(seventeenth);
    }
}

/// A client at an address of its own choosing.
fn connect_from(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket: OwnedFd =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(from, 0))).expect("an address of loopback");
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to)).expect("loopback");
    TcpStream::from(socket)
}

#[test]
fn unauthenticated_connections_are_few_in_all_and_none_stays_long() {
    for (name, mut driver) in drivers(4_000) {
        let here = driver.listen(SocketAddr::new(V4, 0)).expect("a listener");
        let mut heard = Heard::default();
        driver.tick(corecast_core::Instant::from_nanos(0));
        let mut clients = Vec::new();
        for host in 1..=20 {
            for _ in 0..15 {
                clients.push(connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 1, host)), here));
            }
            heard.until(&mut driver, |heard| accepted(&heard.changes).len() == clients.len());
        }
        let ids: Vec<_> = accepted(&heard.changes).iter().map(|endpoint| endpoint.id).collect();
        assert_eq!(gone(&heard.changes), ids[..300 - 256], "{name}: the oldest had to go");
        let friend = ids[299];
        driver.authenticated(friend);
        heard.changes.clear();
        driver.tick(corecast_core::Instant::from_nanos(9_999_999_999));
        heard.turn(&mut driver);
        assert_eq!(heard.changes, [], "{name}");
        driver.tick(corecast_core::Instant::from_nanos(10_000_000_000));
        heard.turn(&mut driver);
        assert_eq!(gone(&heard.changes), ids[300 - 256..299], "{name}: all but the one that has authenticated");
        assert!(clients[..299].iter().all(has_ended), "{name}");
        let path = Path { local: friend, remote: clients[299].local_addr().expect("connected") };
        assert_eq!(send(&mut driver, path, 100, &[1; 100]), 0, "{name}");
        assert_eq!(read_packet(&clients[299]), [1; 100], "{name}");
    }
}

#[test]
fn there_is_a_most_and_room_for_sockets_beside_it() {
    for (name, mut driver) in drivers(40) {
        let here = driver.listen(SocketAddr::new(V4, 0)).expect("a listener");
        let friends: Vec<_> = (0..10)
            .map(|_| {
                let (client, path) = join(&mut driver, here);
                driver.authenticated(path.local);
                client
            })
            .collect();
        let refused = TcpStream::connect(here).expect("loopback");
        let mut heard = Heard::default();
        while !refused.set_nonblocking(true).is_ok_and(|()| has_ended(&refused)) {
            heard.turn(&mut driver);
        }
        assert_eq!(heard.changes, [], "{name}: a quarter of forty sockets");
        drop(friends);
        heard.until(&mut driver, |heard| gone(&heard.changes).len() == 10);
        join(&mut driver, here);
        for _ in 0..39 {
            driver.open_shared(V4, Port::Given(0), SocketSettings::default()).expect("a socket");
        }
        driver.open_shared(V4, Port::Given(0), SocketSettings::default()).expect_err("forty endpoints");
    }
}

#[test]
fn a_port_that_is_taken_is_refused() {
    for (name, mut driver) in drivers(40) {
        let here = driver.listen(SocketAddr::new(V4, 0)).expect("a listener");
        let taken = driver.listen(here).expect_err("taken");
        assert!(matches!(taken, OpenError::Refused { address, .. } if address == here), "{name}");
        join(&mut driver, here);
    }
}
