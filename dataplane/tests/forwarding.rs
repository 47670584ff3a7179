//! The machine behind real sockets, on both drivers: one publisher, many receivers.

mod common;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Control, WORKERS, config};
use corecast_wire::{
    Coalesce, Codec, CodecMapping, Command, CommandError, ConsumeOptions, ConsumerId, EncodingMapping, Frame,
    MediaKind, PayloadTypeMapping, PlainTransportOptions, ProduceOptions, ProducerId, Reply, RouterId, TestHook,
    TransportId, WorkerConfig,
};

const ROUTER: RouterId = RouterId(1);
const SSRC: u32 = 1_111;
const KEY_FRAME: [u8; 4] = [0x10, 0x00, 0x9d, 0x01];

fn options(ip: IpAddr) -> PlainTransportOptions {
    PlainTransportOptions::new(ip, 7)
}

fn create(control: &mut Control, number: u64, options: PlainTransportOptions) -> Result<SocketAddr, CommandError> {
    let transport = TransportId(number);
    match control.ask(Command::CreatePlainTransport { router: ROUTER, transport, options })? {
        Reply::PlainTransport { local, .. } => Ok(local),
        other => panic!("{other:?}"),
    }
}

fn produce(control: &mut Control, transport: u64) {
    let codec = CodecMapping { payload_type: 96, mapped_payload_type: 101, codec: Codec::Vp8, clock_rate_hz: 90_000 };
    let options = ProduceOptions {
        nack: true,
        pli: true,
        ..ProduceOptions::new(MediaKind::Video, vec![codec], vec![EncodingMapping::announced(SSRC)])
    };
    let transport = TransportId(transport);
    let reply = control.ask(Command::Produce { transport, producer: ProducerId(1), options });
    assert_eq!(reply, Ok(Reply::Done));
}

fn receiver(control: &mut Control, number: u64, ip: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    create(control, number, options(ip)).expect("a transport");
    let transport = TransportId(number);
    let remote = Some(socket.local_addr().expect("bound"));
    let connect = Command::ConnectPlainTransport { transport, remote, rtcp_remote: None, srtp: None };
    assert_eq!(control.ask(connect), Ok(Reply::Done));
    let options = ConsumeOptions {
        nack: true,
        first_sequence: 10,
        ..ConsumeOptions::new(u32::try_from(number).expect("small"), vec![PayloadTypeMapping::same(101)], "c".into())
    };
    let consumer = ConsumerId(number);
    let consume = Command::Consume { transport, consumer, producer: ProducerId(1), options };
    assert_eq!(control.ask(consume), Ok(Reply::Done));
    socket
}

fn rtp(sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&3_000_u32.to_be_bytes());
    packet.extend_from_slice(&SSRC.to_be_bytes());
    packet.extend_from_slice(&KEY_FRAME);
    packet.extend_from_slice(payload);
    packet
}

fn forwards(worker: WorkerConfig, ip: IpAddr) {
    const RECEIVERS: u64 = 40;
    const PACKETS: u16 = 300;
    let mut control = Control::start(worker);
    control.started();
    assert_eq!(control.ask(Command::CreateRouter { router: ROUTER }), Ok(Reply::Done));
    let ingress = create(&mut control, 1, PlainTransportOptions { comedia: true, ..options(ip) }).expect("a transport");
    produce(&mut control, 1);
    let receivers: Vec<_> = (0..RECEIVERS).map(|index| receiver(&mut control, 100 + index, ip)).collect();
    let publisher = UdpSocket::bind((ip, 0)).expect("a socket");
    let mut total = 0;
    for first in (0..PACKETS).step_by(10) {
        // A frame: ten packets, of two lengths.
        for sequence in first..first + 10 {
            let payload = vec![sequence as u8; if sequence % 10 < 7 { 1_100 } else { 900 + usize::from(sequence) }];
            publisher.send_to(&rtp(sequence, &payload), ingress).expect("loopback");
            total += 1;
        }
        for (index, receiver) in receivers.iter().enumerate() {
            for sequence in first..first + 10 {
                let mut room = [0; 2_048];
                let len = next_rtp(receiver, &mut room);
                let (header, body) = room[..len].split_at(12);
                assert_eq!(header[1] & 0x7f, 101);
                assert_eq!(header[8..12], (100 + u32::try_from(index).expect("small")).to_be_bytes());
                assert_eq!(u16::from_be_bytes([header[2], header[3]]), 10 + sequence);
                // Padding (RFC 3550 section 5.1) may have evened out the train.
                let padding = if header[0] & 0x20 == 0 { 0 } else { usize::from(body[body.len() - 1]) };
                let body = &body[..body.len() - padding];
                assert_eq!(body[..4], KEY_FRAME);
                assert!(body[4..].iter().all(|byte| *byte == sequence as u8), "packet {sequence} as it was sent");
            }
        }
    }
    let Ok(Reply::Usage(usage)) = control.ask(Command::Usage) else { panic!("no usage") };
    assert_eq!((usage.transports, usage.producers, usage.consumers), (41, 1, 40));
    assert!(usage.packets_received >= total && usage.packets_sent >= total * RECEIVERS, "{usage:?}");
    assert!(usage.trains_sent < usage.packets_sent, "trains of more than one packet");
    assert_eq!(usage.discards.get(corecast_wire::Discard::SendRefused), 0);
    assert_eq!(control.ask(Command::CloseRouter { router: ROUTER }), Ok(Reply::Done));
    assert_eq!(control.ask(Command::Shutdown), Ok(Reply::Done));
    assert_eq!(control.worker.join().expect("no panic"), Ok(()));
}

/// RTCP comes on the same socket (RFC 5761): passed over.
fn next_rtp(receiver: &UdpSocket, room: &mut [u8]) -> usize {
    loop {
        let len = receiver.recv(room).expect("a packet");
        if !(192..=223).contains(&room[1]) {
            return len;
        }
    }
}

#[test]
fn one_publisher_reaches_every_receiver_whatever_the_driver_and_however_it_waits() {
    for worker in WORKERS {
        forwards(config(worker), IpAddr::V4(Ipv4Addr::LOCALHOST));
        forwards(config(worker), IpAddr::V6(Ipv6Addr::LOCALHOST));
        for coalesce in [Coalesce::Off, Coalesce::Fixed(300)] {
            forwards(WorkerConfig { coalesce, gro: false, ..config(worker) }, IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
    }
}

/// What waited in the kernel while the worker was held up is too old when its turn comes; what comes later is not, and
/// goes on with the next number.
#[test]
fn media_that_waited_in_the_kernel_for_too_long_is_stale() {
    const STALL: u64 = 1_000_000;
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    for worker in WORKERS {
        let mut control = Control::start(WorkerConfig { test_hooks: true, ..config(worker) });
        control.started();
        assert_eq!(control.ask(Command::CreateRouter { router: ROUTER }), Ok(Reply::Done));
        let ingress =
            create(&mut control, 1, PlainTransportOptions { comedia: true, ..options(ip) }).expect("a transport");
        produce(&mut control, 1);
        let receiver = receiver(&mut control, 100, ip);
        let publisher = UdpSocket::bind((ip, 0)).expect("a socket");
        let send = |sequence: u16| publisher.send_to(&rtp(sequence, &[sequence as u8; 20]), ingress).expect("loopback");
        let next = || {
            let mut room = [0; 2_048];
            next_rtp(&receiver, &mut room);
            (u16::from_be_bytes([room[2], room[3]]), room[16])
        };
        send(0);
        assert_eq!(next(), (10, 0));
        control.write(&[Frame::Request { id: STALL, command: Command::TestHook(TestHook::Stall(2_000)) }]);
        std::thread::sleep(Duration::from_millis(500));
        for sequence in 1..=5 {
            send(sequence);
        }
        while !matches!(control.read(), Frame::Reply { id: STALL, .. }) {}
        // All are key frames, so that any of them may begin.
        for sequence in 6..10 {
            std::thread::sleep(Duration::from_millis(50));
            send(sequence);
        }
        let (number, sequence) = next();
        assert_eq!(number, 11, "without a gap");
        assert!((6..10).contains(&sequence), "{sequence} came in time");
        let Ok(Reply::Usage(usage)) = control.ask(Command::Usage) else { panic!("no usage") };
        assert_eq!(usage.discards.get(corecast_wire::Discard::Stale), u64::from(sequence) - 1);
    }
}

#[test]
fn ports_come_from_the_range_and_go_back_to_it() {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    // Each has its own range: a worker over io_uring releases its ports some time after it has ended.
    for (worker, min) in WORKERS.into_iter().zip([31_400, 31_404, 31_408]) {
        let max = min + 3;
        let mut control = Control::start(WorkerConfig { port_range: (min, max), ..config(worker) });
        control.started();
        assert_eq!(control.ask(Command::CreateRouter { router: ROUTER }), Ok(Reply::Done));
        let two = PlainTransportOptions { rtcp_mux: false, ..options(ip) };
        create(&mut control, 1, two.clone()).expect("two ports");
        let third = create(&mut control, 2, options(ip)).expect("one port");
        assert!((min..=max).contains(&third.port()));
        // One is left, and two are needed: neither is kept.
        let exhausted = CommandError::PortRangeExhausted { ip, min, max };
        for _ in 0..3 {
            assert_eq!(create(&mut control, 3, two.clone()), Err(exhausted.clone()));
        }
        let given = PlainTransportOptions { port: Some(third.port()), ..options(ip) };
        let taken = create(&mut control, 3, given).expect_err("taken");
        assert!(matches!(taken, CommandError::CannotListen { address, .. } if address == third), "{taken:?}");
        // A command that the machine refuses leaves no socket behind.
        for _ in 0..10 {
            let twice = create(&mut control, 2, options(ip));
            assert!(matches!(twice, Err(CommandError::Exists { .. })), "{twice:?}");
        }
        assert_eq!(control.ask(Command::CloseTransport { transport: TransportId(1) }), Ok(Reply::Done));
        create(&mut control, 3, two).expect("two ports again");
    }
}

#[test]
fn a_worker_that_is_flooded_still_executes_commands() {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    for worker in WORKERS {
        let mut control = Control::start(config(worker));
        control.started();
        assert_eq!(control.ask(Command::CreateRouter { router: ROUTER }), Ok(Reply::Done));
        let ingress = create(&mut control, 1, PlainTransportOptions { comedia: true, ..options(ip) }).expect("created");
        produce(&mut control, 1);
        let receivers: Vec<_> = (0..30).map(|index| receiver(&mut control, 100 + index, ip)).collect();
        let stop = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let publisher = UdpSocket::bind((ip, 0)).expect("a socket");
                let mut sequence = 0_u16;
                while !stop.load(Ordering::Relaxed) {
                    publisher.send_to(&rtp(sequence, &[0; 500]), ingress).expect("loopback");
                    sequence = sequence.wrapping_add(1);
                }
            });
            let mut received = 0;
            for _ in 0..100 {
                let Ok(Reply::Usage(usage)) = control.ask(Command::Usage) else { panic!("no usage") };
                received = usage.packets_received;
            }
            for number in (0..receivers.len()).map(|index| TransportId(100 + index as u64)) {
                assert_eq!(control.ask(Command::CloseTransport { transport: number }), Ok(Reply::Done));
            }
            while received == 0 {
                let Ok(Reply::Usage(usage)) = control.ask(Command::Usage) else { panic!("no usage") };
                received = usage.packets_received;
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(control.ask(Command::Shutdown), Ok(Reply::Done));
        assert_eq!(control.worker.join().expect("no panic"), Ok(()));
    }
}
