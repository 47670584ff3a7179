//! A worker in a process of its own is killed while it forwards, and another one takes its place: sender and receiver
//! notice a gap, and nothing else. On both drivers, with real sockets, plain and with SRTP.

#[expect(dead_code, reason = "workers here have processes of their own")]
mod common;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command as Program, ExitCode, Stdio};
use std::time::{Duration, Instant};

use common::{Control, WORKERS, config};
use corecast_core::srtp::{Opener, Sealer};
use corecast_dataplane::Keep;
use corecast_wire::{
    Codec, CodecMapping, Command, ConsumeOptions, ConsumerId, EncodingMapping, MediaKind, PayloadTypeMapping,
    PlainTransportOptions, ProduceOptions, ProducerId, Reply, RouterId, SrtpCryptoSuite, SrtpParameters, TransportId,
};
use libtest_mimic::{Arguments, Trial};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ROUTER: RouterId = RouterId(1);
const SSRC: u32 = 1_111;
/// Names the file that the child keeps things in.
const MEMORY: &str = "CORECAST_TEST_MEMORY";
const SUITE: SrtpCryptoSuite = SrtpCryptoSuite::AeadAes128Gcm;

fn key(fill: u8) -> SrtpParameters {
    SrtpParameters { suite: SUITE, key_and_salt: vec![fill; SUITE.key_and_salt_len()] }
}

/// The worker's process: this program again. Its link is standard input.
fn child(memory: &std::ffi::OsStr) {
    let memory = std::fs::File::options().read(true).write(true).open(memory).expect("the parent's file");
    let link = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().expect("a link"));
    corecast_dataplane::run_keeping(link, Box::new(|| Ok(Keep::of_memory(memory.into())))).expect("a worker");
}

fn main() -> ExitCode {
    if let Some(memory) = std::env::var_os(MEMORY) {
        child(&memory);
        return ExitCode::SUCCESS;
    }
    let test = || {
        a_worker_that_is_killed_is_followed_by_one_that_goes_on();
        Ok(())
    };
    let tests = vec![Trial::test("a_worker_that_is_killed_is_followed_by_one_that_goes_on", test)];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn spawn(keep: &Keep, worker: (corecast_wire::Io, corecast_wire::Executor)) -> (Child, Control) {
    let (stream, theirs) = UnixStream::pair().expect("a socket pair");
    let memory = format!("/proc/{}/fd/{}", std::process::id(), keep.memory().as_raw_fd());
    let child = Program::new(std::env::current_exe().expect("this program"))
        .env(MEMORY, memory)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    let mut control = Control::over(stream, config(worker));
    control.started();
    (child, control)
}

fn create(control: &mut Control, number: u64, srtp: bool) -> SocketAddr {
    let options = PlainTransportOptions { srtp: srtp.then(|| key(2)), ..PlainTransportOptions::new(LOOPBACK, 7) };
    let transport = TransportId(number);
    match control.ask(Command::CreatePlainTransport { router: ROUTER, transport, options }) {
        Ok(Reply::PlainTransport { local, .. }) => local,
        other => panic!("{other:?}"),
    }
}

fn connect(control: &mut Control, number: u64, remote: SocketAddr, srtp: bool) {
    let (transport, remote, srtp) = (TransportId(number), Some(remote), srtp.then(|| key(1)));
    let connect = Command::ConnectPlainTransport { transport, remote, rtcp_remote: None, srtp };
    assert_eq!(control.ask(connect), Ok(Reply::Done));
}

/// Somebody who sends, and somebody who receives.
struct Call {
    sender: UdpSocket,
    receiver: UdpSocket,
    server: SocketAddr,
    sealer: Option<Sealer>,
    opener: Option<Opener>,
    next: u64,
    /// (sequence number, first byte of the payload) of what was received.
    received: Vec<(u16, u8)>,
}

impl Call {
    fn begin(control: &mut Control, srtp: bool) -> Self {
        let socket = || {
            let socket = UdpSocket::bind((LOOPBACK, 0)).expect("a socket");
            socket.set_nonblocking(true).expect("a socket");
            socket
        };
        let (sender, receiver) = (socket(), socket());
        assert_eq!(control.ask(Command::CreateRouter { router: ROUTER }), Ok(Reply::Done));
        let server = create(control, 1, srtp);
        connect(control, 1, sender.local_addr().expect("bound"), srtp);
        create(control, 2, srtp);
        connect(control, 2, receiver.local_addr().expect("bound"), srtp);
        let codec =
            CodecMapping { payload_type: 96, mapped_payload_type: 96, codec: Codec::Other, clock_rate_hz: 48_000 };
        let options = ProduceOptions::new(MediaKind::Audio, vec![codec], vec![EncodingMapping::announced(SSRC)]);
        let (transport, producer) = (TransportId(1), ProducerId(1));
        assert_eq!(control.ask(Command::Produce { transport, producer, options }), Ok(Reply::Done));
        let options = ConsumeOptions {
            first_sequence: 20_000,
            ..ConsumeOptions::new(5, vec![PayloadTypeMapping::same(96)], "c".into())
        };
        let (transport, consumer) = (TransportId(2), ConsumerId(9));
        assert_eq!(control.ask(Command::Consume { transport, consumer, producer, options }), Ok(Reply::Done));
        let keys = |fill| srtp.then(|| key(fill));
        Self {
            sender,
            receiver,
            server,
            sealer: keys(1).map(|key| Sealer::new(&key).expect("a key")),
            opener: keys(2).map(|key| Opener::new(&key).expect("a key")),
            next: 0,
            received: Vec::new(),
        }
    }

    /// Sends a packet every millisecond, for so long or until so many more have been received.
    fn talk(&mut self, time: Duration, packets: usize) {
        let (end, wanted) = (Instant::now() + time, self.received.len() + packets);
        while Instant::now() < end && self.received.len() < wanted {
            self.send();
            std::thread::sleep(Duration::from_millis(1));
            self.receive();
        }
    }

    fn send(&mut self) {
        let index = self.next;
        self.next += 1;
        let [.., high, low] = index.to_be_bytes();
        let stamp = u32::try_from(index * 48).expect("short");
        let header = [&[0x80, 96, high, low][..], &stamp.to_be_bytes(), &SSRC.to_be_bytes()].concat();
        let payload = [low; 40];
        let mut packet = [&header[..], &payload].concat();
        if let Some(sealer) = &self.sealer {
            packet.resize(packet.len() + sealer.rtp_overhead(), 0);
            sealer.seal_rtp(SSRC, index, &mut packet, header.len(), &payload).expect("room");
        }
        // While nobody listens the kernel says so.
        let _ = self.sender.send_to(&packet, self.server);
    }

    fn receive(&mut self) {
        let mut room = [0; 2_048];
        while let Ok(len) = self.receiver.recv(&mut room) {
            let packet = &room[..len];
            if (192..=223).contains(&packet[1]) {
                continue;
            }
            let sequence = u16::from_be_bytes([packet[2], packet[3]]);
            let mut payload = packet[12..].to_vec();
            if let Some(opener) = &self.opener {
                let opened = opener.open_rtp(5, sequence.into(), &packet[..12], &packet[12..], &mut payload);
                assert_eq!(opened, Ok(40), "packet {sequence} can be opened");
            }
            self.received.push((sequence, payload[0]));
        }
    }
}

fn a_worker_that_is_killed_is_followed_by_one_that_goes_on() {
    for worker in WORKERS {
        for srtp in [false, true] {
            let keep = Keep::new().expect("a file in memory");
            let (mut child, mut control) = spawn(&keep, worker);
            let mut call = Call::begin(&mut control, srtp);
            call.talk(Duration::from_secs(10), 60);
            for _ in 0..2 {
                child.kill().expect("it lives");
                child.wait().expect("it ends");
                call.talk(Duration::from_millis(30), 1_000);
                let before = call.received.len();
                (child, control) = spawn(&keep, worker);
                call.talk(Duration::from_secs(10), 60);
                assert!(call.received.len() >= before + 60, "nothing comes after the death ({worker:?}, {srtp})");
            }
            let Ok(Reply::Usage(usage)) = control.ask(Command::Usage) else { panic!("no usage") };
            assert_eq!((usage.transports, usage.producers, usage.consumers), (2, 1, 1));
            // A number is used once, and none is left out but for what was lost in the hands of the dead.
            let numbers: Vec<u16> = call.received.iter().map(|(sequence, _)| *sequence).collect();
            assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len(), "{numbers:?}");
            let steps: Vec<u16> = numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
            assert!(steps.iter().all(|step| *step < 100), "{numbers:?}");
            assert_eq!(control.ask(Command::CloseRouter { router: ROUTER }), Ok(Reply::Done));
            drop(control);
            child.wait().expect("it ends");
            let (mut child, mut control) = spawn(&keep, worker);
            let Ok(Reply::Usage(usage)) = control.ask(Command::Usage) else { panic!("no usage") };
            assert_eq!((usage.routers, usage.transports), (0, 0), "what was closed does not come back");
            child.kill().expect("it lives");
            child.wait().expect("it ends");
        }
    }
}
