//! A call that goes on while workers die: somebody sends sound to a room, and somebody receives it.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use corecast_tests::broadcaster::{Kind, Room};
use corecast_tests::server::{Server, wait_for};
use corecast_wire::POISON;
use serde_json::json;

const INTERVAL: Duration = Duration::from_millis(5);

/// Somebody who sends, and somebody who receives.
pub(crate) struct Call {
    /// Ports of the server that it uses.
    pub(crate) ports: Vec<u16>,
    receiver: UdpSocket,
    /// Sequence numbers of what was received.
    received: Vec<u16>,
    is_over: Arc<AtomicBool>,
    /// The next packet is to be poison.
    is_poisonous: Arc<AtomicBool>,
    sender: Option<JoinHandle<()>>,
}

impl Call {
    /// Begins in a room of its own, and goes on by itself.
    pub(crate) fn begin(server: &Server, name: &str) -> Self {
        let room = Room::open(server, name);
        let (producer, [rtp, rtcp]) = room.produce(&room.join("sends"), Kind::Opus);
        let transports = room.join("receives");
        let options = json!({"type": "plain", "comedia": false, "rtcpMux": true});
        let transport = server.post(&transports, &options);
        let path = format!("{transports}/{}", transport["id"].as_str().expect("an id"));
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        receiver.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket");
        let port = receiver.local_addr().expect("bound").port();
        let _ = server.post(&format!("{path}/connect"), &json!({"ip": "127.0.0.1", "port": port}));
        let _ = server.post(&format!("{path}/consume?producerId={producer}"), &json!({}));
        let port = |text: &str| text.parse::<u16>().expect("a port");
        let (rtp, rtcp) = (port(&rtp), port(&rtcp));
        let down = u16::try_from(transport["port"].as_u64().expect("a port")).expect("a port");
        let (is_over, is_poisonous) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (over, poisonous) = (Arc::clone(&is_over), Arc::clone(&is_poisonous));
        let sender = std::thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            socket.connect(("127.0.0.1", rtp)).expect("loopback");
            for number in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let mut packet = packet(number);
                if poisonous.swap(false, Ordering::Relaxed) {
                    packet.extend(POISON);
                }
                // Fails once if the port is closed.
                let _ = socket.send(&packet);
                std::thread::sleep(INTERVAL);
            }
        });
        let (received, sender) = (Vec::new(), Some(sender));
        let mut call = Self { ports: vec![rtp, rtcp, down], receiver, received, is_over, is_poisonous, sender };
        call.goes_on();
        call
    }

    /// So many begin, each in a room of its own.
    pub(crate) fn begin_in_rooms(server: &Server, rooms: usize) -> Vec<Self> {
        std::thread::scope(|scope| {
            let begin = |room| scope.spawn(move || Self::begin(server, &format!("call-{room}")));
            let beginning: Vec<_> = (0..rooms).map(begin).collect();
            beginning.into_iter().map(|one| one.join().expect("begins")).collect()
        })
    }

    /// Panics unless [`Self::goes_on`] of each.
    pub(crate) fn all_go_on(calls: &mut [Self]) {
        std::thread::scope(|scope| {
            let going: Vec<_> = calls.iter_mut().map(|call| scope.spawn(|| call.goes_on())).collect();
            going.into_iter().for_each(|one| one.join().expect("goes on"));
        });
    }

    /// Sends a packet that the server's worker dies of, if its test hooks are on.
    pub(crate) fn poison(&self) {
        self.is_poisonous.store(true, Ordering::Relaxed);
    }

    /// Panics unless packets come, each with a later number than the one before.
    pub(crate) fn goes_on(&mut self) {
        let mut bytes = [0; 1_500];
        // What waited in the socket is older than this.
        while self.receiver.recv(&mut bytes).is_ok_and(|length| self.take(&bytes[..length]) < 200) {}
        let before = self.received.len();
        wait_for("the call to go on", || {
            while let Ok(length) = self.receiver.recv(&mut bytes) {
                if self.take(&bytes[..length]) > before + 20 {
                    return Some(());
                }
            }
            None
        });
        let later = |pair: &[u16]| (1..1_000).contains(&pair[1].wrapping_sub(pair[0]));
        assert!(self.received.windows(2).all(later), "numbers come once and in order: {:?}", self.received);
    }

    /// Takes what has come so far.
    pub(crate) fn take_all(&mut self) {
        let mut bytes = [0; 1_500];
        self.receiver.set_nonblocking(true).expect("a socket");
        while let Ok(length) = self.receiver.recv(&mut bytes) {
            self.take(&bytes[..length]);
        }
        self.receiver.set_nonblocking(false).expect("a socket");
    }

    /// What has come until now does not count.
    pub(crate) fn forget(&mut self) {
        self.take_all();
        self.received.clear();
    }

    /// How many of the packets between the first and the last that have come are missing, and how many there are.
    pub(crate) fn lost(&self) -> (usize, usize) {
        let (Some(first), Some(last)) = (self.received.first(), self.received.last()) else { return (0, 0) };
        let sent = usize::from(last.wrapping_sub(*first)) + 1;
        (sent - self.received.len(), sent)
    }

    /// How many there have been.
    fn take(&mut self, packet: &[u8]) -> usize {
        let is_rtcp = matches!(packet.get(1), Some(192..=223));
        if let (false, Some(number)) = (is_rtcp, packet.get(2..4)) {
            self.received.push(u16::from_be_bytes([number[0], number[1]]));
        }
        self.received.len()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(sender) = self.sender.take() {
            let _ = sender.join();
        }
    }
}

/// A packet of the call's sound.
pub(crate) fn packet(number: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 100];
    packet.extend(number.to_be_bytes());
    packet.extend((u32::from(number) * 240).to_be_bytes());
    packet.extend(1_111_u32.to_be_bytes());
    packet.extend([7; 60]);
    packet
}
