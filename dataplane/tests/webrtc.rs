//! WebRTC transports over real sockets, on both drivers: one port for all of them, UDP and TCP.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Control, WORKERS, config};
use corecast_wire::{
    Command, Discard, DtlsVersions, Event, Executor, Frame, IceParameters, IceProtocol, IceState, IceTuple, Io,
    ListenInfo, OutgoingBitrates, Reply, RouterId, SocketSettings, TransportId, Usage, WebRtcConfig, WebRtcServerId,
    WebRtcTransportOptions, WorkerConfig,
};
use stun::attributes::{ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME};
use stun::fingerprint::FINGERPRINT;
use stun::integrity::MessageIntegrity;
use stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Getter, Message, Setter};
use stun::xoraddr::XorMappedAddress;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const PASSWORD: &str = "0123456789abcdefghijklmn";
const PATIENCE: Duration = Duration::from_secs(10);

/// On both addresses of loopback. Each test has a port of its own.
fn webrtc(worker: (Io, Executor), port: u16, tcp: bool) -> WorkerConfig {
    let webrtc = WebRtcConfig {
        listen: [V4, V6].map(|ip| SocketAddr::new(ip, port)).into(),
        tcp,
        certificate: Vec::new(),
        private_key: Vec::new(),
        dtls_versions: DtlsVersions::V12,
        consent_timeout_ms: 30_000,
    };
    WorkerConfig { webrtc: Some(webrtc), ..config(worker) }
}

/// A worker with a transport named `one`.
fn start(worker: (Io, Executor), port: u16, tcp: bool) -> Control {
    start_with(webrtc(worker, port, tcp))
}

fn start_with(config: WorkerConfig) -> Control {
    let mut control = Control::start(config);
    control.started();
    assert_eq!(control.ask(Command::CreateRouter { router: RouterId(1) }), Ok(Reply::Done));
    let ice = IceParameters { username_fragment: "one1".into(), password: PASSWORD.into() };
    let options = WebRtcTransportOptions {
        ice,
        rtcp_ssrc: 1,
        max_incoming_bitrate_bps: 0,
        outgoing: OutgoingBitrates::default(),
        consent_timeout_ms: None,
        sctp: None,
    };
    let create = Command::CreateWebRtcTransport { router: RouterId(1), transport: TransportId(1), options };
    assert!(control.ask(create).is_ok());
    control
}

/// A nominating check for transport `one`, as the independent STUN library writes it.
fn check() -> Message {
    let mut message = Message::new();
    message.typ = BINDING_REQUEST;
    message.new_transaction_id().expect("random");
    message.write_header();
    message.add(ATTR_USERNAME, b"one1:peer");
    message.add(ATTR_PRIORITY, &[0x6e, 0, 0x1e, 0xff]);
    message.add(ATTR_ICE_CONTROLLING, &[9; 8]);
    message.add(ATTR_USE_CANDIDATE, &[]);
    MessageIntegrity::new_short_term_integrity(PASSWORD.into()).add_to(&mut message).expect("room");
    FINGERPRINT.add_to(&mut message).expect("room");
    message
}

/// Whether `bytes` are the authentic answer, with what we are seen as.
fn answers(request: &Message, bytes: &[u8], us: SocketAddr) -> bool {
    let mut answer = Message::new();
    answer.unmarshal_binary(bytes).expect("STUN");
    let integrity = MessageIntegrity::new_short_term_integrity(PASSWORD.into());
    integrity.check(&mut answer).expect("authentic");
    FINGERPRINT.check(&answer).expect("whole");
    let mut mapped = XorMappedAddress::default();
    mapped.get_from(&answer).expect("an address");
    assert_eq!((answer.typ, SocketAddr::new(mapped.ip, mapped.port)), (BINDING_SUCCESS, us));
    answer.transaction_id == request.transaction_id
}

fn udp_to(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((address.ip(), 0)).expect("a socket");
    socket.connect(address).expect("loopback");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

fn tcp_to(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

fn framed(packet: &[u8]) -> Vec<u8> {
    [&u16::try_from(packet.len()).expect("short").to_be_bytes(), packet].concat()
}

fn read_packet(mut stream: &TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("a length");
    let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut packet).expect("a packet");
    packet
}

fn has_ended(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(0) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
        Ok(_) => false,
    }
}

fn check_by_udp(socket: &UdpSocket) {
    let request = check();
    let mut room = [0; 500];
    socket.send(&request.raw).expect("loopback");
    let len = socket.recv(&mut room).expect("an answer");
    assert!(answers(&request, &room[..len], socket.local_addr().expect("bound")));
}

fn check_by_tcp(mut stream: &TcpStream) {
    let request = check();
    stream.write_all(&framed(&request.raw)).expect("room");
    assert!(answers(&request, &read_packet(stream), stream.local_addr().expect("connected")));
}

fn usage(control: &mut Control) -> Usage {
    let Ok(Reply::Usage(usage)) = control.ask(Command::Usage) else { panic!("no usage") };
    *usage
}

/// Asks until something is so.
fn until(control: &mut Control, done: impl Fn(&Usage) -> bool) -> Usage {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let usage = usage(control);
        if done(&usage) {
            return usage;
        }
        assert!(std::time::Instant::now() < end, "{usage:?}");
    }
}

fn next_ice_state(control: &mut Control) -> (IceState, Option<IceTuple>) {
    loop {
        if let Frame::Event(Event::IceStateChanged { state, tuple, .. }) = control.read() {
            return (state, tuple);
        }
    }
}

#[test]
fn a_check_is_answered_over_udp_and_tcp_and_says_where_media_goes() {
    for worker in WORKERS {
        let mut control = start(worker, 31_500, true);
        for ip in [V4, V6] {
            let address = SocketAddr::new(ip, 31_500);
            let udp = udp_to(address);
            check_by_udp(&udp);
            let remote = udp.local_addr().expect("bound");
            let tuple = IceTuple { local: address, remote, protocol: IceProtocol::Udp };
            assert_eq!(next_ice_state(&mut control), (IceState::Completed, Some(tuple)));
            let tcp = tcp_to(address);
            check_by_tcp(&tcp);
            // Nominated with its first check and of equal priority: followed.
            let remote = tcp.local_addr().expect("connected");
            let tuple = IceTuple { local: address, remote, protocol: IceProtocol::Tcp };
            assert_eq!(next_ice_state(&mut control), (IceState::Completed, Some(tuple)));
            check_by_tcp(&tcp);
            drop(tcp);
            // The connection was the selected path: the end of it is known at once.
            assert_eq!(next_ice_state(&mut control), (IceState::Connected, None));
            check_by_udp(&udp);
            assert_eq!(next_ice_state(&mut control).0, IceState::Completed);
        }
        let usage = usage(&mut control);
        assert_eq!((usage.packets_received, usage.packets_sent), (8, 8), "by TCP as well");
        assert_eq!(usage.bytes_received, 8 * check().raw.len() as u64, "without the lengths");
        assert_eq!(usage.discards.total(), 0, "{:?}", usage.discards);
    }
}

#[test]
fn what_is_no_check_is_discarded_and_who_does_not_authenticate_does_not_stay() {
    for worker in WORKERS {
        let mut control = start(worker, 31_501, true);
        let address = SocketAddr::new(V4, 31_501);
        let (udp, tcp) = (udp_to(address), tcp_to(address));
        let mut forged = check().raw;
        let last = forged.len() - 1;
        forged[last] ^= 1;
        for garbage in [vec![5; 30], forged, vec![128; 100], vec![22; 100]] {
            udp.send(&garbage).expect("loopback");
            (&tcp).write_all(&framed(&garbage)).expect("room");
        }
        let usage = until(&mut control, |usage| usage.packets_received == 8);
        for (why, packets) in
            [(Discard::UnknownProtocol, 2), (Discard::MalformedStun, 2), (Discard::UnvalidatedPath, 4)]
        {
            assert_eq!(usage.discards.get(why), packets, "{why:?}");
        }
        assert_eq!(usage.packets_sent, 0, "strangers are not answered");
        // Sixteen more from one address, and the first has to go; one of them authenticates and need not.
        let friend = tcp_to(address);
        check_by_tcp(&friend);
        let strangers: Vec<_> = (0..16).map(|_| tcp_to(address)).collect();
        assert!(has_ended(&tcp));
        check_by_tcp(&friend);
        (&friend).write_all(&[9, 0, 1]).expect("room");
        assert!(has_ended(&friend), "a packet too long ends even that");
        drop(strangers);
    }
}

#[test]
fn without_tcp_nobody_listens_and_without_webrtc_nothing_is_open() {
    for worker in WORKERS {
        let control = start(worker, 31_502, false);
        check_by_udp(&udp_to(SocketAddr::new(V6, 31_502)));
        TcpStream::connect((V4, 31_502)).expect_err("nobody listens");
        drop(control);
    }
}

#[test]
fn a_worker_gets_the_port_of_the_one_before_it() {
    for worker in WORKERS {
        for _ in 0..5 {
            let control = start(worker, 31_503, true);
            let tcp = tcp_to(SocketAddr::new(V4, 31_503));
            check_by_tcp(&tcp);
            // Its link ends, and so does it; what it had open need not have gone yet.
            drop(control.stream);
            assert_eq!(control.worker.join().expect("no panic"), Ok(()));
            assert!(has_ended(&tcp));
        }
    }
}

#[test]
fn a_worker_that_cannot_have_its_port_says_what_to_change() {
    // At once, since each tries for a while; so each has a port of its own.
    let workers = WORKERS.into_iter().zip([31_510, 31_512, 31_514]).flat_map(|(worker, port)| {
        let taken_udp = UdpSocket::bind((V6, port)).expect("a socket");
        let taken_tcp = TcpListener::bind((V4, port + 1)).expect("a listener");
        let udp = (port, format!("WebRTC over UDP: cannot listen on [::1]:{port}"), OwnedFd::from(taken_udp));
        let tcp = (port + 1, format!("WebRTC over TCP: cannot listen on 127.0.0.1:{}", port + 1), taken_tcp.into());
        [udp, tcp].map(|(port, said, taken)| (Control::start(webrtc(worker, port, true)), said, taken))
    });
    for (mut control, said, _taken) in workers.collect::<Vec<_>>() {
        let Frame::Event(Event::StartFailed(error)) = control.read() else { panic!("it started") };
        assert!(error.to_string().contains(&said) && error.to_string().contains("rtc.webrtc_port"), "{error}");
        assert_eq!(control.worker.join().expect("no panic"), Err(error));
    }
}

#[test]
fn a_flood_over_one_does_not_silence_the_other() {
    for worker in WORKERS {
        let mut control = start(worker, 31_506, true);
        let address = SocketAddr::new(V4, 31_506);
        let (udp, tcp) = (udp_to(address), tcp_to(address));
        check_by_tcp(&tcp);
        udp.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        let stop = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let flood = udp_to(address);
                while !stop.load(Ordering::Relaxed) {
                    flood.send(&[5; 100]).expect("loopback");
                }
            });
            threads.spawn(|| {
                let mut flood = tcp_to(address);
                check_by_tcp(&flood);
                let packets = framed(&[5]).repeat(5_000);
                while !stop.load(Ordering::Relaxed) {
                    flood.write_all(&packets).expect("it stays");
                }
            });
            // On a busy machine the flood may take a while to come.
            let has_come = |control: &mut Control| usage(control).discards.get(Discard::UnknownProtocol) > 1_000;
            for round in 1.. {
                check_by_tcp(&tcp);
                // A datagram may be lost in a flood; one of some is not.
                let answered = (0..50).any(|_| {
                    udp.send(&check().raw).expect("loopback");
                    udp.recv(&mut [0; 500]).is_ok()
                });
                assert!(answered, "over UDP");
                assert!(round < 100_000, "there is no flood");
                if round >= 30 && has_come(&mut control) {
                    break;
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}

/// A server that is opened while the worker runs is a door to the transports that are there, over UDP and TCP; when it
/// is closed its ports are free again. Only a worker that began without any may listen on TCP later.
#[test]
fn a_server_is_opened_and_closed_while_the_worker_runs() {
    for (worker, port) in WORKERS.into_iter().zip(31_950..) {
        let mut config = webrtc(worker, port, false);
        config.webrtc.as_mut().expect("it has").listen.clear();
        let mut control = start_with(config);
        let (server, ports) = (WebRtcServerId(5), (31_960, 31_969));
        let listen = |protocol| ListenInfo { protocol, ip: V4, ports, socket: SocketSettings::default() };
        let open =
            Command::OpenWebRtcServer { server, listen: [IceProtocol::Udp, IceProtocol::Tcp].map(listen).into() };
        let Ok(Reply::Listening(locals)) = control.ask(open.clone()) else { panic!("not opened") };
        assert_eq!(locals.len(), 2);
        check_by_udp(&udp_to(locals[0]));
        let stream = tcp_to(locals[1]);
        check_by_tcp(&stream);
        assert!(control.ask(open).is_err(), "the number is taken");
        let two = [
            listen(IceProtocol::Udp),
            ListenInfo { ports: (locals[0].port(), locals[0].port()), ..listen(IceProtocol::Udp) },
        ];
        let refused = control.ask(Command::OpenWebRtcServer { server: WebRtcServerId(6), listen: two.into() });
        assert!(refused.is_err(), "one of its addresses is taken");
        assert_eq!(control.ask(Command::CloseWebRtcServer { server }), Ok(Reply::Done));
        assert!(control.ask(Command::CloseWebRtcServer { server }).is_err(), "it has gone");
        TcpListener::bind(locals[1]).expect("nobody listens");
        let _ = until(&mut control, |_| UdpSocket::bind(locals[0]).is_ok());
    }
}
