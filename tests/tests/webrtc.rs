//! WebRTC transports of the real machine against str0m, without sockets: one publishes, one watches, datagrams are
//! carried by hand and the clock is virtual. (Loss, reorder, restarts and churn are the simulation's.)

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant as StdInstant};

use corecast_core::{Config, Endpoint, EndpointId, Forward, Instant, Outbox, Path, Worker};
use corecast_wire::{
    Codec, CodecMapping, Command, ConsumeOptions, ConsumerId, DtlsParameters, DtlsRole, DtlsState, DtlsVersions,
    EncodingMapping, Event, Fingerprint, FingerprintAlgorithm, IceParameters, IceProtocol, IceState, MediaKind,
    PayloadTypeMapping, ProduceOptions, ProducerId, RouterId, TransportId, WebRtcConfig, WebRtcTransportOptions,
};
use str0m::config::{DtlsVersion, Fingerprint as TheirFingerprint};
use str0m::media::{MediaKind as TheirKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event as TheirEvent, IceCreds, Input, Output, Rtc};

const SERVER: EndpointId = EndpointId(0);

fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, host), port))
}

/// A str0m peer, one media section with mid 0.
struct Peer {
    rtc: Rtc,
    address: SocketAddr,
    outgoing: VecDeque<Vec<u8>>,
    received: Vec<Vec<u8>>,
    timeout: StdInstant,
}

impl Peer {
    fn poll(&mut self) {
        loop {
            match self.rtc.poll_output().expect("a live peer") {
                Output::Timeout(at) => {
                    self.timeout = at;
                    return;
                }
                Output::Transmit(transmit) => self.outgoing.push_back(transmit.contents.to_vec()),
                Output::Event(TheirEvent::RtpPacket(packet)) => self.received.push(packet.payload.to_vec()),
                Output::Event(_) => {}
            }
        }
    }
}

struct Bench {
    worker: Worker,
    outbox: Outbox,
    started: StdInstant,
    now: Duration,
    peers: Vec<Peer>,
    fingerprint: Vec<u8>,
    events: Vec<Event>,
}

impl Bench {
    fn new(versions: DtlsVersions) -> Self {
        let started = StdInstant::now();
        let certificate = rcgen::generate_simple_self_signed(Vec::new()).expect("a certificate");
        let der = certificate.cert.der().to_vec();
        let fingerprint = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der).as_ref().to_vec();
        let webrtc = WebRtcConfig {
            listen: vec![address(1, 4_000)],
            tcp: false,
            certificate: der,
            private_key: certificate.signing_key.serialize_der(),
            dtls_versions: versions,
            consent_timeout_ms: 30_000,
        };
        let mut worker = Worker::new(Config { unix_time_ns: 1_800_000_000_000_000_000, started, webrtc: Some(webrtc) });
        worker.open_webrtc(Endpoint { id: SERVER, local: address(1, 4_000) }, IceProtocol::Udp);
        let mut bench = Self {
            worker,
            outbox: Outbox::new(),
            started,
            now: Duration::ZERO,
            peers: Vec::new(),
            fingerprint,
            events: Vec::new(),
        };
        bench.must(&Command::CreateRouter { router: RouterId(1) });
        bench
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.now.as_nanos()).expect("short"))
    }

    fn must(&mut self, command: &Command) {
        let now = self.now();
        self.worker.handle_command(now, command, &[], &mut self.outbox).expect("a lawful command");
        self.flush();
    }

    fn flush(&mut self) {
        let Self { worker, outbox, peers, started, now, .. } = self;
        let at = *started + *now;
        outbox.for_each_packet(worker.history(), |path, packet| {
            let Some(peer) = peers.iter_mut().find(|peer| peer.address == path.remote) else { return };
            let contents = packet.try_into().expect("what str0m knows");
            let receive =
                Receive { proto: Protocol::Udp, source: address(1, 4_000), destination: peer.address, contents };
            peer.rtc.handle_input(Input::Receive(at, receive)).expect("taken in");
            peer.poll();
        });
        outbox.clear();
        while let Some(event) = self.worker.poll_event() {
            self.events.push(event);
        }
        while self.worker.poll_endpoint_op().is_some() {}
    }

    /// A transport and its str0m peer, which controls ICE and, if `client`, begins DTLS.
    fn join(&mut self, number: u8, client: bool, version: DtlsVersion) {
        let at = self.started + self.now;
        let mut rtc = Rtc::builder().set_rtp_mode(true).set_dtls_version(version).build(at);
        let own = address(number + 10, 5_000);
        rtc.add_local_candidate(Candidate::host(own, "udp").expect("a candidate"));
        rtc.add_remote_candidate(Candidate::host(address(1, 4_000), "udp").expect("a candidate"));
        let ice = IceParameters {
            username_fragment: format!("transport{number}"),
            password: "0123456789abcdefghijklmn".to_owned(),
        };
        let mut api = rtc.direct_api();
        api.set_ice_controlling(true);
        api.set_remote_ice_credentials(IceCreds { ufrag: ice.username_fragment.clone(), pass: ice.password.clone() });
        api.set_remote_fingerprint(TheirFingerprint { hash_func: "sha-256".into(), bytes: self.fingerprint.clone() });
        api.start_dtls(client).expect("begins");
        let theirs = api.local_dtls_fingerprint().bytes.clone();
        api.declare_media(Mid::from("0"), TheirKind::Audio);
        let transport = TransportId(number.into());
        let options = WebRtcTransportOptions { ice, rtcp_ssrc: 1, max_incoming_bitrate_bps: 0 };
        self.must(&Command::CreateWebRtcTransport { router: RouterId(1), transport, options });
        let fingerprint = Fingerprint { algorithm: FingerprintAlgorithm::Sha256, value: theirs };
        let role = if client { DtlsRole::Client } else { DtlsRole::Server };
        let dtls = DtlsParameters { role, fingerprints: vec![fingerprint] };
        self.must(&Command::ConnectWebRtcTransport { transport, dtls });
        let mut peer = Peer { rtc, address: own, outgoing: VecDeque::new(), received: Vec::new(), timeout: at };
        peer.poll();
        self.peers.push(peer);
    }

    /// Lets `span` pass in steps of a millisecond.
    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now += Duration::from_millis(1);
            let at = self.started + self.now;
            for number in 0..self.peers.len() {
                let peer = &mut self.peers[number];
                if peer.timeout <= at {
                    peer.rtc.handle_input(Input::Timeout(at)).expect("goes on");
                    peer.poll();
                }
                let path = Path { local: SERVER, remote: peer.address };
                for datagram in std::mem::take(&mut peer.outgoing) {
                    let now = self.now();
                    self.worker.handle_datagram(now, path, &datagram, &mut self.outbox);
                    self.flush();
                }
            }
            let now = self.now();
            while self.worker.forward(now, &mut self.outbox) == Forward::Full {
                self.flush();
            }
            self.worker.handle_timeout(now, &mut self.outbox);
            self.flush();
        }
    }

    fn state_of(&self, number: u64) -> (IceState, DtlsState, String) {
        let (mut ice, mut dtls) = (IceState::New, (DtlsState::New, String::new()));
        for event in &self.events {
            match event {
                Event::IceStateChanged { transport, state, .. } if transport.0 == number => ice = *state,
                Event::DtlsStateChanged { transport, state, detail } if transport.0 == number => {
                    dtls = (*state, detail.clone());
                }
                _ => {}
            }
        }
        (ice, dtls.0, dtls.1)
    }
}

/// What peer 1 sends reaches peer 2, over the versions and roles given; `detail` is what the two agreed on.
fn publishes_and_watches(versions: DtlsVersions, client: bool, theirs: DtlsVersion, detail: &str) {
    let mut bench = Bench::new(versions);
    bench.join(1, client, theirs);
    bench.join(2, client, theirs);
    let codec = |payload_type, mapped_payload_type| CodecMapping {
        payload_type,
        mapped_payload_type,
        codec: Codec::Other,
        clock_rate_hz: 48_000,
    };
    let options = ProduceOptions {
        kind: MediaKind::Audio,
        codecs: vec![codec(111, 100)],
        header_extensions: Vec::new(),
        encodings: vec![EncodingMapping { ssrc: Some(42), ..EncodingMapping::default() }],
        mid: None,
        nack: false,
        pli: false,
        fir: false,
        transport_cc: false,
        remb: false,
        paused: false,
    };
    let (from, to) = (TransportId(1), TransportId(2));
    bench.must(&Command::Produce { transport: from, producer: ProducerId(1), options });
    let options = ConsumeOptions {
        ssrc: 4_242,
        rtx: None,
        payload_types: vec![PayloadTypeMapping { router: 100, receiver: 111 }],
        header_extensions: Vec::new(),
        mid: None,
        nack: false,
        first_sequence: 7,
        cname: "one".to_owned(),
        paused: false,
    };
    bench.must(&Command::Consume { transport: to, consumer: ConsumerId(1), producer: ProducerId(1), options });
    bench.peers[0].rtc.direct_api().declare_stream_tx(42.into(), None, Mid::from("0"), None);
    bench.peers[1].rtc.direct_api().expect_stream_rx(4_242.into(), None, Mid::from("0"), None);
    bench.run(Duration::from_secs(2));
    for number in [1, 2] {
        let (ice, dtls, found) = bench.state_of(number);
        assert_eq!((ice, dtls, found.as_str()), (IceState::Completed, DtlsState::Connected, detail), "{number}");
    }
    for number in 0..50_u8 {
        let at = bench.started + bench.now;
        let mut api = bench.peers[0].rtc.direct_api();
        let stream = api.stream_tx(&42.into()).expect("declared");
        let time = u32::from(number) * 960;
        stream.write_rtp(RtpWrite::new(111.into(), u64::from(number).into(), time, at, [number; 20].as_slice()));
        bench.peers[0].rtc.handle_input(Input::Timeout(at)).expect("goes on");
        bench.peers[0].poll();
        bench.run(Duration::from_millis(20));
    }
    let expected: Vec<_> = (0..50_u8).map(|number| vec![number; 20]).collect();
    assert_eq!(bench.peers[1].received, expected);
    assert_eq!(bench.peers[0].received, Vec::<Vec<u8>>::new(), "nobody sends to the publisher");
}

#[test]
fn dtls_1_2_as_server_agrees_on_gcm_256() {
    publishes_and_watches(DtlsVersions::V12, true, DtlsVersion::Dtls12, "DTLS 1.2, AEAD_AES_256_GCM");
}

#[test]
fn dtls_1_3_as_server() {
    publishes_and_watches(DtlsVersions::V13, true, DtlsVersion::Dtls13, "DTLS 1.3, AEAD_AES_256_GCM");
}

#[test]
fn both_versions_as_server_to_a_client_of_either() {
    publishes_and_watches(DtlsVersions::Both, true, DtlsVersion::Dtls12, "DTLS 1.2, AEAD_AES_256_GCM");
    publishes_and_watches(DtlsVersions::Both, true, DtlsVersion::Auto, "DTLS 1.3, AEAD_AES_256_GCM");
}

#[test]
fn both_roles() {
    publishes_and_watches(DtlsVersions::V12, false, DtlsVersion::Dtls12, "DTLS 1.2, AEAD_AES_256_GCM");
    publishes_and_watches(DtlsVersions::Both, false, DtlsVersion::Auto, "DTLS 1.3, AEAD_AES_256_GCM");
}
