//! What loopback hides: an MTU, and a send buffer that fills. Both drivers over a veth pair in network namespaces of
//! our own. Needs root, `ip` and `tc`; says so and passes where they are missing.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use corecast_core::Path;
use corecast_dataplane::driver::{Driver, DriverOptions, Port, SegmentedSend, SocketOptions};
use corecast_wire::{HugePages, SocketSettings};
use nix::sched::{CloneFlags, unshare};

const SENDERS: [&str; 2] = ["10.99.0.1", "fd99::1"];
const RECEIVERS: [&str; 2] = ["10.99.0.2", "fd99::2"];

/// Runs a program in the namespace of the calling thread.
fn run(line: &str) -> Result<(), String> {
    let mut words = line.split_ascii_whitespace();
    let program = words.next().unwrap_or_default();
    let output = Command::new(program).args(words).output().map_err(|error| format!("{program}: {error}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{line}: {complaint}")) }
}

/// Sockets in a namespace of their own, one for IPv4 and one for IPv6, at the far end of a veth pair whose near end is
/// in the calling thread's namespace.
fn far_end(mtu: u32) -> Result<[UdpSocket; 2], String> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("network namespaces: {error}"))?;
    let (thread_is, thread) = mpsc::channel();
    let (linked, is_linked) = mpsc::channel();
    let far = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("network namespaces: {error}"))?;
        thread_is.send(nix::unistd::gettid()).map_err(|error| error.to_string())?;
        is_linked.recv().map_err(|_| "the near end failed".to_owned())?;
        run(&format!("ip link set far mtu {mtu} up"))?;
        run("ip addr add 10.99.0.2/24 dev far")?;
        run("ip addr add fd99::2/64 dev far nodad")?;
        let sockets = RECEIVERS.map(|ip| {
            let ip: IpAddr = ip.parse().expect("an address");
            let socket = UdpSocket::bind((ip, 5_004)).expect("a socket");
            socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
            socket
        });
        Ok(sockets)
    });
    let near = || {
        let thread = thread.recv().map_err(|_| "the far end failed".to_owned())?;
        run(&format!("ip link add near type veth peer name far netns {thread}"))?;
        run(&format!("ip link set near mtu {mtu} up"))?;
        run("ip addr add 10.99.0.1/24 dev near")?;
        run("ip addr add fd99::1/64 dev near nodad")
    };
    let done = near();
    if done.is_ok() {
        let _ = linked.send(());
    }
    drop(linked);
    let sockets = far.join().map_err(|_| "the far end panicked".to_owned())?;
    done?;
    sockets
}

/// Runs a test in a thread with such a veth pair, for each driver and IP version.
fn on_veth(mtu: u32, send_buffer_bytes: usize, test: fn(&str, &mut Driver, Path, &UdpSocket)) {
    let tested = std::thread::spawn(move || {
        let sockets = far_end(mtu)?;
        let socket = SocketOptions {
            gro: true,
            recv_buffer_bytes: 1 << 20,
            send_buffer_bytes,
            reuse_port: false,
            dual_stack: false,
        };
        let options = DriverOptions { sockets: socket, max_sockets: 100, huge_pages: HugePages::Off };
        let syscalls = Driver::syscalls(options).map_err(|error| error.to_string())?;
        let drivers = [("syscalls", Ok(syscalls)), ("ring", Driver::ring(options))];
        for (name, driver) in drivers {
            let Ok(mut driver) = driver else {
                println!("io_uring is refused here: not tested");
                continue;
            };
            for (from, socket) in SENDERS.iter().zip(&sockets) {
                let here = driver
                    .open(from.parse().expect("an address"), Port::Given(0), SocketSettings::default())
                    .expect("a socket");
                let remote: SocketAddr = socket.local_addr().expect("bound");
                let name = format!("{name} from {from}, MTU {mtu}");
                test(&name, &mut driver, Path { local: here.id, remote }, socket);
            }
        }
        Ok::<(), String>(())
    });
    if let Err(why) = tested.join().expect("the test passes") {
        println!("not tested: {why}");
    }
}

fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ seed.wrapping_mul(7)) as u8).collect()
}

fn send(driver: &mut Driver, path: Path, segment_len: u16, bytes: &[u8]) -> u64 {
    let mut refused = 0;
    let train = SegmentedSend { path, segment_len, len: bytes.len(), pieces: bytes.chunks(777) };
    driver.send([train], |_, packets| refused += packets);
    refused
}

fn all_arrive(name: &str, driver: &mut Driver, path: Path, there: &UdpSocket, lengths: &[u16]) {
    let mut room = [0; 4_096];
    let mut sends = Vec::new();
    for (seed, segment_len) in lengths.iter().enumerate() {
        let bytes = pattern(seed, usize::from(*segment_len) * 9 + 500);
        let before = driver.traffic();
        assert_eq!(send(driver, path, *segment_len, &bytes), 0, "{name} {segment_len}");
        let after = driver.traffic();
        assert_eq!(after.packets_sent - before.packets_sent, 10, "{name} {segment_len}");
        assert_eq!(after.bytes_sent - before.bytes_sent, bytes.len() as u64, "{name} {segment_len}");
        sends.push(after.trains_sent - before.trains_sent);
        for expected in bytes.chunks(usize::from(*segment_len)) {
            let len = there.recv(&mut room).expect("a packet");
            assert_eq!(&room[..len], expected, "{name} {segment_len}");
        }
    }
    assert_eq!((sends.first(), sends.last()), (Some(&1), Some(&1)), "{name}: what fits leaves in one send, always");
    assert!(sends.contains(&10), "{name}: what does not fit leaves packet by packet");
}

#[test]
fn a_train_above_the_mtu_leaves_packet_by_packet_and_is_delivered_whole() {
    on_veth(1_500, 1 << 20, |name, driver, path, there| {
        all_arrive(name, driver, path, there, &[1_200, 1_452, 1_473, 1_473, 1_600, 1_452, 1_200]);
    });
    on_veth(1_280, 1 << 20, |name, driver, path, there| {
        all_arrive(name, driver, path, there, &[1_200, 1_232, 1_253, 1_400, 1_400, 1_232, 1_000]);
    });
}

/// An address behind the far end, over a path with a lower MTU.
fn narrow_path(v6: bool) -> SocketAddr {
    let (far, prefix) = [("10.99.0.3", 32), ("fd99::3", 128)][usize::from(v6)];
    let gateway = RECEIVERS[usize::from(v6)];
    run(&format!("ip route replace {far}/{prefix} via {gateway} dev near mtu 1280")).expect("a route");
    SocketAddr::new(far.parse().expect("an address"), 5_004)
}

#[test]
fn a_narrow_path_costs_the_others_of_a_shared_socket_nothing() {
    on_veth(1_500, 1 << 20, |name, driver, path, there| {
        let v6 = path.remote.is_ipv6();
        let from: IpAddr = SENDERS[usize::from(v6)].parse().expect("an address");
        let shared = driver.open_shared(from, Port::Given(0), SocketSettings::default()).expect("a socket");
        driver.connect(shared.id, path.remote).expect_err("it has many remote sides");
        let wide = Path { local: shared.id, ..path };
        let narrow = Path { remote: narrow_path(v6), ..wide };
        let mut sends = |path, segment_len: u16| {
            let (bytes, before) = (pattern(9, usize::from(segment_len) * 10), driver.traffic());
            assert_eq!(send(driver, path, segment_len, &bytes), 0, "{name} to {}", path.remote);
            if path == wide {
                let mut room = [0; 4_096];
                for expected in bytes.chunks(usize::from(segment_len)) {
                    let len = there.recv(&mut room).expect("a packet");
                    assert_eq!(&room[..len], expected, "{name}");
                }
            }
            driver.traffic().trains_sent - before.trains_sent
        };
        for _ in 0..3 {
            assert_eq!((sends(narrow, 1_300), sends(wide, 1_300)), (10, 1), "{name}: packet by packet to the one only");
        }
        assert_eq!((sends(narrow, 1_200), sends(wide, 1_400)), (1, 1), "{name}: what fits is a train");
    });
}

#[test]
fn a_full_send_buffer_refuses_and_every_packet_is_counted_once() {
    on_veth(1_500, 64 * 1024, |name, driver, path, there| {
        // A megabyte a second; the queue is longer than the socket's buffer, so that the buffer fills.
        run("tc qdisc replace dev near root tbf rate 8mbit burst 4000 limit 10000000").expect("tc works");
        let bytes = pattern(1, 12_000);
        let before = driver.traffic();
        let refused: u64 = (0..60).map(|_| send(driver, path, 1_200, &bytes)).sum();
        let traffic = driver.traffic();
        run("tc qdisc del dev near root").expect("tc works");
        assert!(refused > 0 && refused < 600, "{name}: {refused} of 600");
        assert_eq!(traffic.packets_refused - before.packets_refused, refused, "{name}");
        assert_eq!(refused % 10, 0, "{name}: a train is taken whole or not at all");
        // Taking the queue away drops what it held; what arrives is intact, and sending works again.
        let mut room = [0; 4_096];
        there.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        let mut arrived = 0;
        while let Ok(len) = there.recv(&mut room) {
            assert_eq!(room[..len], bytes[arrived % 10 * 1_200..][..1_200], "{name}");
            arrived += 1;
        }
        assert!(arrived <= 600 - usize::try_from(refused).expect("few"), "{name}: nothing refused arrives");
        there.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        assert_eq!(send(driver, path, 1_200, &bytes), 0, "{name}: and then there is room again");
        for expected in bytes.chunks(1_200) {
            let len = there.recv(&mut room).expect("a packet");
            assert_eq!(&room[..len], expected, "{name}");
        }
        let counted = driver.traffic();
        assert_eq!(counted.packets_sent - before.packets_sent, 600 - refused + 10, "{name}");
        assert_eq!(counted.packets_sent, counted.trains_sent * 10, "{name}");
    });
}
