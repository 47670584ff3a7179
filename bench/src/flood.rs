//! Floods of what an attacker can send: checks with a wrong integrity, hellos from addresses that no check has
//! validated, and forged SRTP on an address that one has. For measuring one's own server: a target must be an address
//! of this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rand::Rng as _;
use serde::Serialize;
use stun::attributes::{ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE};

use crate::clock::Clock;
use crate::generator::{Beside, Ends};
use crate::packet::PAYLOAD_TYPE;
use crate::progress::Progress;
use crate::report::{grouped, rounded};
use crate::sockets;
use crate::webrtc::Identity;
use crate::webrtc::dtls::{Terms, client_hello};
use crate::webrtc::ice::{Credentials, binding_request};

/// Sockets that send, where the attacker's address does not matter.
const BARRELS: usize = 32;
/// Different packets; they are sent again and again.
const PACKETS: usize = 1_024;
/// Most that leaves at once, so that what goes on beside is not held up.
const AT_ONCE: u64 = 64;
const FORGED_PAYLOAD_BYTES: usize = 1_000;
const SOCKET_BUFFER_BYTES: i32 = 4 * 1_024 * 1_024;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FloodKind {
    /// Binding requests with a wrong integrity, half of them with a user name that exists.
    Stun,
    /// ClientHellos, good ones, with NULL ciphers and with a bad version.
    Dtls,
    /// SRTP with a wrong tag, half of it of an SSRC that exists.
    Srtp,
}

/// What a flood has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct FloodCounts {
    /// Packets that the kernel took.
    pub sent: u64,
    /// Packets that the kernel refused.
    pub refused: u64,
    /// Datagrams that were sent back.
    pub replies: u64,
    /// Their bytes.
    pub reply_bytes: u64,
}

/// A flood.
#[derive(Debug)]
pub struct Flood {
    barrels: Vec<Arc<UdpSocket>>,
    /// Whether what arrives at the barrels is for us to count.
    ours: bool,
    packets: Vec<Vec<u8>>,
    pps: u32,
    began_ns: Option<u64>,
    due_before: u64,
    next: usize,
    counts: FloodCounts,
}

/// Refuses addresses that are not this machine's: a socket can be bound to those that are.
fn check_own(ip: IpAddr) -> anyhow::Result<()> {
    ensure!(
        UdpSocket::bind((ip, 0)).is_ok() && !ip.is_unspecified() && !ip.is_multicast(),
        "{ip} is not an address of this machine: floods are for measuring a server of one's own"
    );
    Ok(())
}

fn barrels(target: SocketAddr) -> anyhow::Result<Vec<Arc<UdpSocket>>> {
    check_own(target.ip())?;
    let barrel = |number: usize| {
        // All of 127.0.0.0/8 is ours: as many attackers as there are sockets.
        let from = match target.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => Ipv4Addr::new(127, 0, 1, number as u8 + 1).into(),
            ip => ip,
        };
        let socket = UdpSocket::bind((from, 0)).context("socket of the flood")?;
        socket.connect(target).with_context(|| target.to_string())?;
        socket.set_nonblocking(true)?;
        sockets::set_buffers(&socket, SOCKET_BUFFER_BYTES)?;
        Ok(Arc::new(socket))
    };
    (0..BARRELS).map(barrel).collect()
}

/// Wrong checks; every second one is for `ufrag`, if one is known.
fn forged_checks(ufrag: Option<&str>) -> anyhow::Result<Vec<Vec<u8>>> {
    let check = |number: usize| {
        let mut credentials = Credentials::random();
        if let Some(known) = ufrag.filter(|_| number.is_multiple_of(2)) {
            known.clone_into(&mut credentials.ufrag);
        }
        let username = format!("{}:{}", credentials.ufrag, Credentials::random().ufrag);
        let (priority, tie_breaker) = (1_u32.to_be_bytes(), rand::random::<[u8; 8]>());
        let attributes: [(_, &[u8]); 3] =
            [(ATTR_PRIORITY, &priority), (ATTR_ICE_CONTROLLING, &tie_breaker), (ATTR_USE_CANDIDATE, &[])];
        Ok(binding_request(&username, &credentials.password, &attributes)?.raw)
    };
    (0..PACKETS).map(check).collect()
}

/// Variants of a ClientHello (RFC 6347 section 4.2), each with a random of its own.
fn hellos(hello: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    /// Behind the headers of record and handshake: version, random, session id, cookie, cipher suites.
    const VERSION_AT: usize = 13 + 12;
    const RANDOM_AT: usize = VERSION_AT + 2;
    const SUITES_AT: usize = RANDOM_AT + 32 + 1 + 1;
    let suites_len = hello.get(SUITES_AT..SUITES_AT + 2).context("ClientHello")?;
    let suites_len = usize::from(u16::from_be_bytes([suites_len[0], suites_len[1]]));
    let suites = SUITES_AT + 2..SUITES_AT + 2 + suites_len;
    ensure!(suites_len > 0 && suites.end <= hello.len(), "ClientHello");
    let variant = |number: usize| {
        let mut hello = hello.to_vec();
        rand::rng().fill_bytes(&mut hello[RANDOM_AT..RANDOM_AT + 32]);
        match number % 3 {
            0 => {}
            1 => hello[suites.clone()].fill(0),
            _ => hello[VERSION_AT..RANDOM_AT].copy_from_slice(&[1, 0]),
        }
        hello
    };
    Ok((0..PACKETS).map(variant).collect())
}

fn forged_srtp(ssrc: Option<u32>) -> Vec<Vec<u8>> {
    let packet = |number: usize| {
        let mut packet = vec![0x80, PAYLOAD_TYPE];
        packet.resize(12 + FORGED_PAYLOAD_BYTES, 0);
        rand::rng().fill_bytes(&mut packet[2..]);
        if let Some(ssrc) = ssrc.filter(|_| number.is_multiple_of(2)) {
            packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
        }
        packet
    };
    (0..PACKETS).map(packet).collect()
}

impl Flood {
    fn new(barrels: Vec<Arc<UdpSocket>>, ours: bool, packets: Vec<Vec<u8>>, pps: u32) -> Self {
        let (began_ns, due_before, next) = (None, 0, 0);
        Self { barrels, ours, packets, pps, began_ns, due_before, next, counts: FloodCounts::default() }
    }

    /// From strangers; `ufrag` is one that the server knows, `ssrc` a stream that it receives.
    ///
    /// # Errors
    /// The target is not on this machine, or sockets are not to be had.
    pub fn from_strangers(
        kind: FloodKind,
        target: SocketAddr,
        pps: u32,
        ufrag: Option<&str>,
        ssrc: Option<u32>,
    ) -> anyhow::Result<Self> {
        let barrels = barrels(target)?;
        let packets = match kind {
            FloodKind::Stun => forged_checks(ufrag)?,
            FloodKind::Dtls => hellos(&client_hello(&Identity::new()?, &Terms::default())?)?,
            FloodKind::Srtp => forged_srtp(ssrc),
        };
        Ok(Self::new(barrels, true, packets, pps))
    }

    /// Forged SRTP from the sockets of endpoints that have joined.
    ///
    /// # Errors
    /// A socket's server is not on this machine.
    pub fn from_within(barrels: Vec<Arc<UdpSocket>>, pps: u32, ssrc: u32) -> anyhow::Result<Self> {
        for barrel in &barrels {
            check_own(barrel.peer_addr()?.ip())?;
        }
        Ok(Self::new(barrels, false, forged_srtp(Some(ssrc)), pps))
    }

    /// What it has done so far.
    #[must_use]
    pub const fn counts(&self) -> FloodCounts {
        self.counts
    }

    /// Sends what is due.
    ///
    /// # Errors
    /// A socket fails.
    pub fn fire(&mut self, now_ns: u64) -> anyhow::Result<()> {
        let began_ns = *self.began_ns.get_or_insert(now_ns);
        let due = (now_ns - began_ns) * u64::from(self.pps) / 1_000_000_000;
        let count = due.saturating_sub(self.due_before).min(AT_ONCE);
        if count == 0 {
            return Ok(());
        }
        // What it cannot keep up with is not made up for later: a flood is even.
        self.due_before = due;
        let first = self.next % (self.packets.len() - count as usize).max(1);
        let packets = &self.packets[first..first + count as usize];
        let slices: Vec<_> = packets.iter().map(|packet| std::io::IoSlice::new(packet)).collect();
        let barrel = &self.barrels[self.next % self.barrels.len()];
        // Coprime to the number of packets, so that all have their turn on every socket.
        self.next += 67;
        let sent = sockets::send_burst(barrel, &slices).context("socket of the flood")? as u64;
        self.counts.sent += sent;
        self.counts.refused += count - sent;
        if self.ours {
            self.listen();
        }
        Ok(())
    }

    /// Counts what comes back to one of the sockets.
    fn listen(&mut self) {
        let mut buffer = [0; 2_048];
        let barrel = &self.barrels[self.next % self.barrels.len()];
        while let Ok(len) = barrel.recv(&mut buffer) {
            self.counts.replies += 1;
            self.counts.reply_bytes += len as u64;
        }
    }
}

impl Beside for Flood {
    fn turn(&mut self, now_ns: u64, _: &mut Ends) -> anyhow::Result<()> {
        self.fire(now_ns)
    }

    fn is_busy(&self) -> bool {
        false
    }
}

/// A flood with nothing beside it.
#[derive(Clone, Debug, clap::Args)]
pub struct FloodArgs {
    /// What is sent
    #[arg(long, value_enum)]
    kind: FloodKind,
    /// Where to: a WebRTC port of a server on this machine
    #[arg(long, value_name = "IP:PORT")]
    target: SocketAddr,
    /// Packets per second
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pps: u32,
    /// Seconds to send for
    #[arg(long, default_value_t = 10.0, value_parser = crate::args::seconds)]
    seconds: f64,
    /// An ICE user name that the server knows, for half of the checks
    #[arg(long)]
    ufrag: Option<String>,
    /// An SSRC that the server knows, for half of the SRTP
    #[arg(long)]
    ssrc: Option<u32>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct FloodTotals {
    kind: FloodKind,
    sent: u64,
    refused: u64,
    pps: f64,
    replies: u64,
    reply_bytes: u64,
}

/// Runs the subcommand.
///
/// # Errors
/// The target is not on this machine, or cannot be sent to.
pub fn run(args: &FloodArgs) -> anyhow::Result<()> {
    let mut flood = Flood::from_strangers(args.kind, args.target, args.pps, args.ufrag.as_deref(), args.ssrc)?;
    let (clock, progress) = (Clock::default(), Progress::new(1));
    progress.step(&args.target.to_string());
    let end = Duration::from_secs_f64(args.seconds);
    let (end_ns, mut next_progress_ns) = (end.as_nanos() as u64, 0);
    sockets::precise_timers();
    let seconds = loop {
        let now_ns = clock.now_ns();
        if now_ns >= end_ns {
            break now_ns as f64 / 1e9;
        }
        if now_ns >= next_progress_ns {
            progress.within(&args.target.to_string(), Duration::from_nanos(now_ns), end);
            next_progress_ns = now_ns + 250_000_000;
        }
        flood.fire(now_ns)?;
        std::thread::sleep(Duration::from_micros(50));
    };
    for _ in 0..BARRELS {
        flood.next += 1;
        flood.listen();
    }
    progress.finish();
    let FloodCounts { sent, refused, replies, reply_bytes } = flood.counts;
    if args.json {
        let pps = rounded(sent as f64 / seconds, 1);
        println!(
            "{}",
            serde_json::to_string(&FloodTotals { kind: args.kind, sent, refused, pps, replies, reply_bytes })?
        );
        return Ok(());
    }
    println!("sent {} packets to {} in {seconds:.1} s", grouped(sent), args.target);
    println!("{} datagrams came back, {} bytes", grouped(replies), grouped(reply_bytes));
    if sent == 0 {
        bail!("the system refused everything: nobody listens there");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webrtc::ice::{CheckEvent, Checks};

    #[test]
    fn only_this_machine_is_a_target() {
        for (target, own) in [("127.0.0.1:9", true), ("192.0.2.1:9", false), ("0.0.0.0:9", false), ("[::1]:9", true)] {
            let target: SocketAddr = target.parse().expect("an address");
            if target.is_ipv4() || UdpSocket::bind("[::1]:0").is_ok() {
                assert_eq!(check_own(target.ip()).is_ok(), own, "{target}");
            }
        }
    }

    #[test]
    fn forged_checks_are_well_formed_and_wrong() {
        let (ours, theirs) = (Credentials::random(), Credentials::random());
        let mut checks = Checks::new(ours.clone(), theirs);
        let from: SocketAddr = "127.0.0.1:5".parse().expect("an address");
        let forged = forged_checks(Some(&ours.ufrag)).expect("made");
        let named = |packet: &&Vec<u8>| packet.windows(ours.ufrag.len()).any(|part| part == ours.ufrag.as_bytes());
        assert_eq!(forged.iter().filter(named).count(), PACKETS / 2);
        assert!(forged.iter().all(|packet| checks.take(packet, from) == CheckEvent::Ignored));
    }

    #[test]
    fn hellos_come_in_three_kinds() {
        let hello = client_hello(&Identity::new().expect("made"), &Terms::default()).expect("made");
        assert_eq!((hello[0], hello[13]), (22, 1), "a handshake record that holds a ClientHello");
        let hellos = hellos(&hello).expect("variants");
        assert!(hellos.iter().all(|variant| variant.len() == hello.len()));
        assert!(hellos[0][27..59] != hellos[3][27..59] && hellos[1][63..65] == [0, 0] && hellos[2][25..27] == [1, 0]);
    }

    #[test]
    fn a_flood_keeps_its_rate_and_counts_replies() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let target = server.local_addr().expect("bound");
        let mut flood = Flood::from_strangers(FloodKind::Srtp, target, 1_000, None, Some(7)).expect("made");
        for ms in 0..=100 {
            flood.fire(ms * 1_000_000).expect("sent");
        }
        assert_eq!((flood.counts.sent + flood.counts.refused, flood.counts.refused), (100, 0));
        let mut buffer = [0; 2_048];
        let (_, from) = server.recv_from(&mut buffer).expect("arrives");
        server.send_to(b"reply", from).expect("sent");
        (0..BARRELS).for_each(|next| {
            flood.next = next;
            flood.listen();
        });
        assert_eq!((flood.counts.replies, flood.counts.reply_bytes), (1, 5));
    }
}
