//! A UDP relay between real clients and a server that loses, delays and reorders by a seed: the kernel here has no
//! `netem`. It listens on an address that the server announces as its own, and passes each client on from a socket of
//! the client's own, so that the server sees as many addresses as there are clients. It reads no packet. Which packets
//! are hit is the seed's choice alone; how many come is not, so a run with real clients is alike but not the same
//! twice.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::sim::random::Random;

/// Clients that it passes on; what comes from further addresses is discarded.
pub const MAX_CLIENTS: usize = 64;
/// Datagrams that may wait in a direction; more are discarded.
const MAX_WAITING: usize = 10_000;
/// How long a thread waits for a datagram before it looks whether the relay has ended.
const TICK: Duration = Duration::from_millis(100);
const LARGEST: usize = 65_535;

/// What happens to the datagrams of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// Lost, of a hundred.
    pub loss_percent: u32,
    /// Every datagram is this late.
    pub delay: Duration,
    /// Held back, of a hundred, so that later ones overtake them.
    pub reorder_percent: u32,
    /// How long those are held back on top of `delay`.
    pub reorder_by: Duration,
    /// Bits per second for each client, with headers of UDP and IP; 0 for as many as come.
    pub rate_bps: u64,
    /// Longest wait for that rate. What would wait for longer is lost, as behind a queue that is full.
    pub queue: Duration,
}

/// Headers of UDP and IP.
const HEADER_BYTES: usize = 28;

/// What has gone through one direction so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that came.
    pub received: u64,
    /// Datagrams that were lost on purpose.
    pub lost: u64,
    /// Datagrams for which the queue was full.
    pub overflowed: u64,
    /// Datagrams that were held back on purpose.
    pub held_back: u64,
}

/// Where a datagram goes, and when.
struct Waiting {
    due: Instant,
    order: u64,
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    bytes: Vec<u8>,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        (self.due, self.order) == (other.due, other.order)
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

/// One direction: its chance, its counts, and what waits to be sent.
struct Direction {
    random: Random,
    path: Path,
    counts: Counts,
    waiting: BinaryHeap<Reverse<Waiting>>,
    order: u64,
    /// When the last datagram of each client will have passed the bottleneck.
    busy_until: BTreeMap<SocketAddr, Instant>,
}

impl Direction {
    fn new(random: Random, path: Path) -> Self {
        Self {
            random,
            path,
            counts: Counts::default(),
            waiting: BinaryHeap::new(),
            order: 0,
            busy_until: BTreeMap::new(),
        }
    }

    /// Decides about a datagram: not to be sent, to be sent after so long. Two draws for each, whatever comes of them,
    /// so that one setting does not move the others' choices.
    fn decide(&mut self, now: Instant, client: SocketAddr, length: usize) -> Option<Duration> {
        self.counts.received += 1;
        let lost = self.random.percent(self.path.loss_percent);
        let held_back = self.random.percent(self.path.reorder_percent);
        if lost {
            self.counts.lost += 1;
            return None;
        }
        let Some(queued) = self.queue(now, client, length) else {
            self.counts.overflowed += 1;
            return None;
        };
        if held_back {
            self.counts.held_back += 1;
            return Some(queued + self.path.delay + self.path.reorder_by);
        }
        Some(queued + self.path.delay)
    }

    /// How long a datagram waits for its turn and takes to pass; `None` if the queue is full.
    fn queue(&mut self, now: Instant, client: SocketAddr, length: usize) -> Option<Duration> {
        if self.path.rate_bps == 0 {
            return Some(Duration::ZERO);
        }
        let busy_until = self.busy_until.entry(client).or_insert(now);
        let begins = (*busy_until).max(now);
        if begins - now > self.path.queue {
            return None;
        }
        let bits = (length + HEADER_BYTES) as u64 * 8;
        *busy_until = begins + Duration::from_nanos(bits * 1_000_000_000 / self.path.rate_bps);
        Some(*busy_until - now)
    }
}

/// What its threads share.
struct Shared {
    server: SocketAddr,
    ended: AtomicBool,
    /// Addresses that came when there were [`MAX_CLIENTS`] already.
    refused: AtomicU64,
    /// Times that the clients have been given other sockets.
    rebound: AtomicU64,
    to_server: Mutex<Direction>,
    to_clients: Mutex<Direction>,
    /// Told when something waits in a direction: to the server, to clients.
    bells: [Condvar; 2],
}

#[derive(Clone, Copy)]
enum Way {
    ToServer,
    ToClients,
}

impl Shared {
    fn direction(&self, way: Way) -> MutexGuard<'_, Direction> {
        let direction = match way {
            Way::ToServer => &self.to_server,
            Way::ToClients => &self.to_clients,
        };
        direction.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn bell(&self, way: Way) -> &Condvar {
        let [to_server, to_clients] = &self.bells;
        match way {
            Way::ToServer => to_server,
            Way::ToClients => to_clients,
        }
    }

    /// Sends a datagram on, now or later or never.
    fn pass(&self, way: Way, socket: &Arc<UdpSocket>, (client, to): (SocketAddr, SocketAddr), bytes: &[u8]) {
        let mut direction = self.direction(way);
        let Some(delay) = direction.decide(Instant::now(), client, bytes.len()) else { return };
        if delay.is_zero() {
            drop(direction);
            // A client that has gone: its port is closed, and that is told here. So it is on a network.
            let _ = socket.send_to(bytes, to);
        } else if direction.waiting.len() < MAX_WAITING {
            direction.order += 1;
            let (due, order) = (Instant::now() + delay, direction.order);
            direction.waiting.push(Reverse(Waiting {
                due,
                order,
                socket: Arc::clone(socket),
                to,
                bytes: bytes.into(),
            }));
            self.bell(way).notify_one();
        }
    }

    /// Sends what waits in a direction when it is due, until the relay ends.
    fn send_what_is_due(&self, way: Way) {
        let mut direction = self.direction(way);
        while !self.ended.load(Ordering::Relaxed) {
            let now = Instant::now();
            let wait = match direction.waiting.peek() {
                Some(Reverse(next)) if next.due <= now => {
                    if let Some(Reverse(next)) = direction.waiting.pop() {
                        let _ = next.socket.send_to(&next.bytes, next.to);
                    }
                    continue;
                }
                Some(Reverse(next)) => TICK.min(next.due - now),
                None => TICK,
            };
            direction = self.bell(way).wait_timeout(direction, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Reads a socket until the relay ends; `each` gets every datagram with its sender.
    fn read(&self, socket: &UdpSocket, mut each: impl FnMut(SocketAddr, &[u8])) {
        let mut buffer = vec![0; LARGEST];
        while !self.ended.load(Ordering::Relaxed) {
            // An error is the end of the wait, or the news that a peer's port is closed.
            if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                each(from, &buffer[..length]);
            }
        }
    }
}

/// A running relay. Ends on drop.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// A socket of the relay, still without a server behind it: the server has to know its address to announce it.
#[derive(Debug)]
pub struct Bound(UdpSocket);

impl Bound {
    /// Takes a free port of this address.
    ///
    /// # Errors
    /// If the address is not this machine's, or no port is free.
    pub fn new(ip: IpAddr) -> io::Result<Self> {
        UdpSocket::bind((ip, 0)).map(Self)
    }

    /// What a server announces.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Begins to pass on between clients and `server`, with chances that follow from `seed`.
    ///
    /// # Errors
    /// If a socket cannot be set up.
    pub fn start(self, server: SocketAddr, seed: u64, to_server: Path, to_clients: Path) -> io::Result<Relay> {
        let address = self.address()?;
        self.0.set_read_timeout(Some(TICK))?;
        let mut random = Random::new(seed);
        let shared = Arc::new(Shared {
            server,
            ended: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            rebound: AtomicU64::new(0),
            to_server: Mutex::new(Direction::new(random.fork(), to_server)),
            to_clients: Mutex::new(Direction::new(random.fork(), to_clients)),
            bells: [Condvar::new(), Condvar::new()],
        });
        let mut threads = Vec::new();
        for way in [Way::ToServer, Way::ToClients] {
            let shared = Arc::clone(&shared);
            threads.push(thread::spawn(move || shared.send_what_is_due(way)));
        }
        let (front, running) = (Arc::new(self.0), Arc::clone(&shared));
        threads.push(thread::spawn(move || serve(&running, &front)));
        Ok(Relay { address, shared, threads })
    }
}

/// Reads what clients send, and gives each a socket and a thread for the way back.
fn serve(shared: &Arc<Shared>, front: &Arc<UdpSocket>) {
    let mut clients: BTreeMap<SocketAddr, (u64, Arc<UdpSocket>)> = BTreeMap::new();
    let mut threads = Vec::new();
    shared.read(front, |client, bytes| {
        let age = shared.rebound.load(Ordering::Relaxed);
        let is_known = clients.contains_key(&client);
        if clients.get(&client).is_none_or(|(made, _)| *made != age) {
            if !is_known && clients.len() >= MAX_CLIENTS {
                shared.refused.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let Ok(own) = own_socket(shared.server) else { return };
            let (running, front, socket) = (Arc::clone(shared), Arc::clone(front), Arc::clone(&own));
            threads.push(thread::spawn(move || {
                running.read(&socket, |from, bytes| {
                    // The way of before is forgotten, as a NAT forgets it.
                    if from == running.server && running.rebound.load(Ordering::Relaxed) == age {
                        running.pass(Way::ToClients, &front, (client, client), bytes);
                    }
                });
            }));
            clients.insert(client, (age, own));
        }
        if let Some((_, own)) = clients.get(&client) {
            shared.pass(Way::ToServer, own, (client, shared.server), bytes);
        }
    });
    for thread in threads {
        let _ = thread.join();
    }
}

/// The socket that stands for a client before the server: of the server's own address, which is this machine's.
fn own_socket(server: SocketAddr) -> io::Result<Arc<UdpSocket>> {
    let socket = UdpSocket::bind((server.ip(), 0))?;
    socket.set_read_timeout(Some(TICK))?;
    Ok(Arc::new(socket))
}

impl Relay {
    /// Where clients send to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, what happens to the datagrams of both directions.
    pub fn set(&self, to_server: Path, to_clients: Path) {
        self.shared.direction(Way::ToServer).path = to_server;
        self.shared.direction(Way::ToClients).path = to_clients;
    }

    /// From now on the server sees each client at another port, as behind a NAT that has forgotten it.
    pub fn rebind(&self) {
        self.shared.rebound.fetch_add(1, Ordering::Relaxed);
    }

    /// What has gone to the server, and to clients.
    #[must_use]
    pub fn counts(&self) -> (Counts, Counts) {
        (self.shared.direction(Way::ToServer).counts, self.shared.direction(Way::ToClients).counts)
    }

    /// Datagrams of clients that were too many.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        for bell in &self.shared.bells {
            bell.notify_all();
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn socket() -> UdpSocket {
        let socket = UdpSocket::bind((HERE, 0)).expect("a port");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket");
        socket
    }

    fn relay(server: &UdpSocket, seed: u64, to_server: Path, to_clients: Path) -> Relay {
        let bound = Bound::new(HERE).expect("a port");
        bound.start(server.local_addr().expect("bound"), seed, to_server, to_clients).expect("starts")
    }

    /// First byte of each of the datagrams that have come, until none comes for a while.
    fn drain(socket: &UdpSocket) -> Vec<u8> {
        socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a socket");
        let mut buffer = [0; 16];
        std::iter::from_fn(|| socket.recv_from(&mut buffer).ok().map(|_| buffer[0])).collect()
    }

    #[test]
    fn each_client_has_a_socket_of_its_own_and_gets_its_own_answers() {
        let (server, clients) = (socket(), [socket(), socket()]);
        let relay = relay(&server, 1, Path::default(), Path::default());
        let mut buffer = [0; 16];
        let mut sources = Vec::new();
        for (number, client) in (0_u8..).zip(&clients) {
            client.send_to(&[number], relay.address()).expect("sent");
            let (length, source) = server.recv_from(&mut buffer).expect("passed on");
            assert_eq!(&buffer[..length], [number]);
            sources.push(source);
        }
        assert_ne!(sources[0], sources[1]);
        for (number, client) in [0_usize, 1].iter().zip(&clients).rev() {
            server.send_to(&[10, u8::try_from(*number).expect("small")], sources[*number]).expect("sent");
            let (length, source) = client.recv_from(&mut buffer).expect("passed on");
            assert_eq!(
                (&buffer[..length], source),
                (&[10, u8::try_from(*number).expect("small")][..], relay.address())
            );
        }
        // Only the server may use a client's socket.
        socket().send_to(&[99], sources[0]).expect("sent");
        assert!(drain(&clients[0]).is_empty());
        assert_eq!(relay.refused(), 0);
    }

    #[test]
    fn the_seed_chooses_what_is_lost() {
        let lossy = Path { loss_percent: 20, ..Path::default() };
        let run = |seed| {
            let (server, client) = (socket(), socket());
            let relay = relay(&server, seed, lossy, Path::default());
            for number in 0..200 {
                client.send_to(&[number], relay.address()).expect("sent");
            }
            let arrived = drain(&server);
            let (to_server, to_clients) = relay.counts();
            assert_eq!(to_server.received, 200);
            assert_eq!(arrived.len() as u64, 200 - to_server.lost);
            assert_eq!(to_clients, Counts::default());
            arrived
        };
        let first = run(7);
        assert!((120..190).contains(&first.len()), "{} of 200 arrived", first.len());
        assert_eq!(run(7), first);
        assert_ne!(run(8), first);
    }

    #[test]
    fn what_is_held_back_is_overtaken_and_nothing_is_lost() {
        let late = Path {
            delay: Duration::from_millis(5),
            reorder_percent: 10,
            reorder_by: Duration::from_millis(100),
            ..Path::default()
        };
        let (server, client) = (socket(), socket());
        let relay = relay(&server, 3, Path::default(), late);
        let mut buffer = [0; 16];
        client.send_to(&[0], relay.address()).expect("sent");
        let (_, source) = server.recv_from(&mut buffer).expect("passed on");
        for number in 0..100 {
            server.send_to(&[number], source).expect("sent");
        }
        let arrived = drain(&client);
        let mut sorted = arrived.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<u8>>());
        assert_ne!(arrived, sorted);
        assert!(relay.counts().1.held_back > 0);
    }

    #[test]
    fn a_narrow_path_delays_and_its_queue_has_an_end() {
        let narrow = Path { rate_bps: 800_000, queue: Duration::from_millis(50), ..Path::default() };
        let (server, client) = (socket(), socket());
        let relay = relay(&server, 1, narrow, Path::default());
        // A hundred bytes with their headers pass in a millisecond.
        let begun = Instant::now();
        for _ in 0..100 {
            client.send_to(&[7; 72], relay.address()).expect("sent");
        }
        let arrived = drain(&server).len() as u64;
        assert!(begun.elapsed() >= Duration::from_millis(50));
        let to_server = relay.counts().0;
        assert_eq!((to_server.received, arrived + to_server.overflowed), (100, 100));
        assert!((50..100).contains(&arrived), "{arrived} of 100");
    }

    #[test]
    fn a_path_can_change_while_it_runs_and_too_many_clients_are_refused() {
        let server = socket();
        let relay = relay(&server, 5, Path { loss_percent: 100, ..Path::default() }, Path::default());
        let clients: Vec<UdpSocket> = (0..=MAX_CLIENTS).map(|_| socket()).collect();
        clients[0].send_to(&[1], relay.address()).expect("sent");
        assert!(drain(&server).is_empty());
        relay.set(Path::default(), Path::default());
        for client in &clients {
            client.send_to(&[2], relay.address()).expect("sent");
        }
        assert_eq!(drain(&server).len(), MAX_CLIENTS);
        assert_eq!(relay.refused(), 1);
    }
}
