//! WebRTC transports of the real machine against str0m, without sockets: datagrams are carried by hand and the clock is
//! virtual. Every test that plays an attacker puts its own datagrams between them with [`Bench::inject`].

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant as StdInstant};

use corecast_core::{Config, Endpoint, EndpointId, Forward, Instant, Outbox, Path, Worker};
use corecast_wire::{
    Codec, CodecMapping, Command, CommandError, ConsumeOptions, ConsumerId, DtlsParameters, DtlsRole, DtlsState,
    DtlsVersions, EncodingMapping, Event, Fingerprint, FingerprintAlgorithm, IceParameters, IceProtocol, IceState,
    MediaKind, OutgoingBitrates, PayloadTypeMapping, ProduceOptions, ProducerId, Reply, RouterId, SctpOptions,
    TransportId, WebRtcConfig, WebRtcTransportOptions,
};
use str0m::bwe::Bitrate;
use str0m::channel::{ChannelData, ChannelId};
use str0m::config::{DtlsVersion, Fingerprint as TheirFingerprint};
use str0m::media::{MediaKind as TheirKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event as TheirEvent, IceCreds, Input, Output, Rtc, RtcConfig, RtcError};

/// The one endpoint of the machine.
pub const SERVER: EndpointId = EndpointId(0);

/// Within which every handshake that can succeed has: where the machine begins in 1.3 it waits for several checks, of
/// which str0m sends one in some seconds.
pub const SET_UP: Duration = Duration::from_secs(10);

/// An address of the network: the machine's is host 1, peer n's is host n + 10.
#[must_use]
pub fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, host), port))
}

/// A worker's WebRTC with a certificate of its own, and that certificate's SHA-256.
///
/// # Panics
/// If there is no certificate.
#[must_use]
pub fn configure(listen: Vec<SocketAddr>, dtls_versions: DtlsVersions) -> (WebRtcConfig, Vec<u8>) {
    let certificate = rcgen::generate_simple_self_signed(Vec::new()).expect("a certificate");
    let der = certificate.cert.der().to_vec();
    let fingerprint = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der).as_ref().to_vec();
    let config = WebRtcConfig {
        listen,
        tcp: false,
        certificate: der,
        private_key: certificate.signing_key.serialize_der(),
        dtls_versions,
        consent_timeout_ms: 30_000,
    };
    (config, fingerprint)
}

/// What a str0m peer is told of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    /// Its addresses.
    pub addresses: &'a [SocketAddr],
    /// Credentials of the peer's transport.
    pub ice: &'a IceParameters,
    /// SHA-256 of its certificate.
    pub fingerprint: &'a [u8],
}

/// Credentials as str0m has them.
#[must_use]
pub fn credentials(ice: &IceParameters) -> IceCreds {
    IceCreds { ufrag: ice.username_fragment.clone(), pass: ice.password.clone() }
}

/// A str0m peer at `own` that controls ICE and, if `client`, begins DTLS; and its fingerprint.
///
/// # Panics
/// If str0m refuses.
#[must_use]
pub fn dial(config: RtcConfig, at: StdInstant, own: SocketAddr, machine: &Machine<'_>, client: bool) -> (Rtc, Vec<u8>) {
    let candidate = |address| Candidate::host(address, "udp").expect("a candidate");
    let mut rtc = config.set_rtp_mode(true).build(at);
    rtc.add_local_candidate(candidate(own));
    machine.addresses.iter().for_each(|address| rtc.add_remote_candidate(candidate(*address)));
    let mut api = rtc.direct_api();
    api.set_ice_controlling(true);
    api.set_remote_ice_credentials(credentials(machine.ice));
    api.set_remote_fingerprint(TheirFingerprint { hash_func: "sha-256".into(), bytes: machine.fingerprint.to_vec() });
    api.start_dtls(client).expect("begins");
    let theirs = api.local_dtls_fingerprint().bytes.clone();
    (rtc, theirs)
}

/// Takes everything that str0m has to say. Answers when it wants to be called again.
///
/// # Errors
/// If str0m has given up.
pub fn poll(rtc: &mut Rtc, mut take: impl FnMut(Output)) -> Result<StdInstant, RtcError> {
    loop {
        match rtc.poll_output()? {
            Output::Timeout(at) => return Ok(at),
            said => take(said),
        }
    }
}

/// A str0m peer, one media section with mid 0.
#[derive(Debug)]
pub struct Peer {
    /// str0m.
    pub rtc: Rtc,
    /// Where it is.
    pub address: SocketAddr,
    outgoing: VecDeque<Vec<u8>>,
    /// Every datagram that it has sent, in order.
    pub sent: Vec<Vec<u8>>,
    /// Payloads of the RTP that it has received.
    pub received: Vec<Vec<u8>>,
    /// Sequence numbers of the same.
    pub numbers: Vec<u16>,
    /// Messages of data channels that it has received.
    pub messages: Vec<ChannelData>,
    /// Channels of its own that were acknowledged.
    pub opened: Vec<ChannelId>,
    /// Channels that were closed.
    pub closed: Vec<ChannelId>,
    timeout: StdInstant,
}

impl Peer {
    /// Takes everything that str0m has to say.
    ///
    /// # Panics
    /// If str0m has given up.
    pub fn poll(&mut self) {
        let Self { rtc, sent, outgoing, received, numbers, messages, opened, closed, .. } = self;
        let again = poll(rtc, |said| match said {
            Output::Transmit(transmit) => {
                sent.push(transmit.contents.to_vec());
                outgoing.push_back(transmit.contents.to_vec());
            }
            Output::Event(TheirEvent::RtpPacket(packet)) => {
                received.push(packet.payload.to_vec());
                numbers.push(packet.header.sequence_number);
            }
            Output::Event(TheirEvent::ChannelData(message)) => messages.push(message),
            Output::Event(TheirEvent::ChannelOpen(id, _)) => opened.push(id),
            Output::Event(TheirEvent::ChannelClose(id)) => closed.push(id),
            Output::Event(_) | Output::Timeout(_) => {}
        });
        self.timeout = again.expect("a live peer");
    }
}

/// Whether a datagram is the one of so many of DTLS that is lost.
fn is_lost(datagram: &[u8], lose_each: u64, dtls_datagrams: &mut u64) -> bool {
    let is_dtls = datagram.first().is_some_and(|first| (20..64).contains(first));
    *dtls_datagrams += u64::from(is_dtls);
    is_dtls && lose_each > 0 && dtls_datagrams.is_multiple_of(lose_each)
}

/// The machine with its str0m peers, on a virtual clock.
#[derive(Debug)]
pub struct Bench {
    /// The machine.
    pub worker: Worker,
    outbox: Outbox,
    /// When the clock was at nought.
    pub started: StdInstant,
    /// The clock.
    pub now: Duration,
    /// Peers that have joined, in order.
    pub peers: Vec<Peer>,
    /// SHA-256 of the machine's certificate.
    pub fingerprint: Vec<u8>,
    /// Everything that the machine has told.
    pub events: Vec<Event>,
    /// What the machine has sent to addresses at which no peer is.
    pub astray: Vec<(SocketAddr, Vec<u8>)>,
    /// Datagrams of RTP and RTCP that the machine has sent, by where to.
    pub media_to: BTreeMap<SocketAddr, u64>,
    /// What the data channels of new transports are made with.
    pub sctp: Option<SctpOptions>,
    /// Time after which transports made from now on lose consent, in milliseconds.
    pub consent_timeout_ms: Option<u32>,
    /// One of so many datagrams of DTLS is lost, in either direction, and what peers send comes in another order; 0 for
    /// none.
    pub lose_each: u64,
    /// Datagrams of DTLS to this address are lost.
    pub cut_off: Option<SocketAddr>,
    /// What comes has waited for so long in the kernel's buffers.
    pub lateness: Duration,
    dtls_datagrams: u64,
    /// Datagrams of DTLS that left together, at most.
    pub most_dtls_at_once: usize,
}

impl Bench {
    /// A machine with one router.
    ///
    /// # Panics
    /// If there is no certificate.
    #[must_use]
    pub fn new(versions: DtlsVersions) -> Self {
        Self::with_config(versions, |_| {})
    }

    /// A machine that is told something else than usual.
    ///
    /// # Panics
    /// If there is no certificate.
    #[must_use]
    pub fn with_config(versions: DtlsVersions, change: impl FnOnce(&mut Config)) -> Self {
        let started = StdInstant::now();
        let (webrtc, fingerprint) = configure(vec![address(1, 4_000)], versions);
        let unix_time_ns = 1_800_000_000_000_000_000;
        let mut config = Config { unix_time_ns, webrtc: Some(webrtc), ..Config::plain(started) };
        change(&mut config);
        let mut worker = Worker::new(config);
        worker.open_webrtc(Endpoint { id: SERVER, local: address(1, 4_000) }, IceProtocol::Udp);
        let mut bench = Self {
            worker,
            outbox: Outbox::new(),
            started,
            now: Duration::ZERO,
            peers: Vec::new(),
            fingerprint,
            events: Vec::new(),
            astray: Vec::new(),
            media_to: BTreeMap::new(),
            sctp: None,
            consent_timeout_ms: None,
            lose_each: 0,
            cut_off: None,
            lateness: Duration::ZERO,
            dtls_datagrams: 0,
            most_dtls_at_once: 0,
        };
        bench.must(&Command::CreateRouter { router: RouterId(1) });
        bench
    }

    /// The machine's time.
    ///
    /// # Panics
    /// After five centuries.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.now.as_nanos()).expect("short"))
    }

    /// The peers' clock.
    #[must_use]
    pub fn clock(&self) -> StdInstant {
        self.started + self.now
    }

    /// # Panics
    /// If the machine refuses.
    pub fn must(&mut self, command: &Command) {
        let now = self.now();
        self.worker.handle_command(now, command, &[], &mut self.outbox).expect("a lawful command");
        self.flush();
    }

    /// What the machine answers to a command that may be refused.
    ///
    /// # Errors
    /// The refusal.
    pub fn ask(&mut self, command: &Command) -> Result<Reply, CommandError> {
        let now = self.now();
        let reply = self.worker.handle_command(now, command, &[], &mut self.outbox);
        self.flush();
        reply
    }

    fn flush(&mut self) {
        let Self { worker, outbox, peers, started, now, astray, media_to, lose_each, cut_off, dtls_datagrams, .. } =
            self;
        let at = *started + *now;
        let mut dtls = 0;
        outbox.for_each_packet(worker.history(), |path, packet| {
            dtls += usize::from(matches!(packet[0], 20..=63));
            if packet[0] >= 128 {
                *media_to.entry(path.remote).or_default() += 1;
            }
            let lose_each = if *cut_off == Some(path.remote) { 1 } else { *lose_each };
            if is_lost(packet, lose_each, dtls_datagrams) {
                return;
            }
            let Some(peer) = peers.iter_mut().find(|peer| peer.address == path.remote) else {
                astray.push((path.remote, packet.to_vec()));
                return;
            };
            let contents = packet.try_into().expect("what str0m knows");
            let receive =
                Receive { proto: Protocol::Udp, source: address(1, 4_000), destination: peer.address, contents };
            peer.rtc.handle_input(Input::Receive(at, receive)).expect("taken in");
            peer.poll();
        });
        outbox.clear();
        self.most_dtls_at_once = self.most_dtls_at_once.max(dtls);
        while let Some(event) = self.worker.poll_event() {
            self.events.push(event);
        }
        while self.worker.poll_endpoint_op().is_some() {}
    }

    /// Forgets what the machine has told and sent astray, for tests that go on for long.
    pub fn forget(&mut self) {
        self.events.clear();
        self.astray.clear();
    }

    /// A datagram from anywhere.
    pub fn inject(&mut self, from: SocketAddr, datagram: &[u8]) {
        let now = self.now();
        let path = Path { local: SERVER, remote: from };
        self.worker.handle_datagram(now, now - self.lateness, path, datagram, &mut self.outbox);
        self.flush();
    }

    /// Credentials of a transport.
    #[must_use]
    pub fn ice_of(number: u8) -> IceParameters {
        IceParameters {
            username_fragment: format!("transport{number}"),
            password: "0123456789abcdefghijklmn".to_owned(),
        }
    }

    /// A transport and its str0m peer, which controls ICE and, if `client`, begins DTLS.
    ///
    /// # Panics
    /// If either refuses.
    pub fn join(&mut self, number: u8, client: bool, version: DtlsVersion) {
        let theirs = self.join_unconnected(number, client, version);
        self.connect(number, client, vec![Fingerprint { algorithm: FingerprintAlgorithm::Sha256, value: theirs }]);
    }

    /// Tells the machine whom to expect.
    ///
    /// # Panics
    /// If it refuses.
    pub fn connect(&mut self, number: u8, client: bool, fingerprints: Vec<Fingerprint>) {
        let role = if client { DtlsRole::Client } else { DtlsRole::Server };
        let dtls = DtlsParameters { role, fingerprints };
        self.must(&Command::ConnectWebRtcTransport { transport: TransportId(number.into()), dtls });
    }

    /// A transport that no peer has come to yet.
    ///
    /// # Panics
    /// If the machine refuses.
    pub fn create_transport(&mut self, router: RouterId, number: u8) {
        let options = WebRtcTransportOptions {
            ice: Self::ice_of(number),
            rtcp_ssrc: 1,
            max_incoming_bitrate_bps: 0,
            outgoing: OutgoingBitrates::default(),
            consent_timeout_ms: self.consent_timeout_ms,
            sctp: self.sctp,
        };
        self.must(&Command::CreateWebRtcTransport { router, transport: TransportId(number.into()), options });
    }

    /// As [`Self::join`], but the machine does not know the peer's fingerprint yet, which is returned.
    ///
    /// # Panics
    /// If either refuses.
    pub fn join_unconnected(&mut self, number: u8, client: bool, version: DtlsVersion) -> Vec<u8> {
        let at = self.clock();
        let own = address(number + 10, 5_000);
        let ice = Self::ice_of(number);
        let machine = Machine { addresses: &[address(1, 4_000)], ice: &ice, fingerprint: &self.fingerprint };
        let (mut rtc, theirs) = dial(Rtc::builder().set_dtls_version(version), at, own, &machine, client);
        rtc.direct_api().declare_media(Mid::from("0"), TheirKind::Audio);
        self.create_transport(RouterId(1), number);
        let (sent, received, numbers) = (Vec::new(), Vec::new(), Vec::new());
        let (messages, opened, closed) = (Vec::new(), Vec::new(), Vec::new());
        let outgoing = VecDeque::new();
        let mut peer =
            Peer { rtc, address: own, outgoing, sent, received, numbers, messages, opened, closed, timeout: at };
        // Without a first look at the clock str0m, as the DTLS server, has nothing to wait for and never begins ICE.
        peer.rtc.handle_input(Input::Timeout(at)).expect("goes on");
        peer.poll();
        self.peers.push(peer);
        theirs
    }

    /// Has a peer do what its API was told, from the first one on with number 1.
    ///
    /// # Panics
    /// If str0m gives up.
    pub fn prompt(&mut self, number: usize) {
        let at = self.clock();
        let peer = &mut self.peers[number - 1];
        peer.rtc.handle_input(Input::Timeout(at)).expect("goes on");
        peer.poll();
    }

    /// Lets `span` pass in steps of a millisecond.
    ///
    /// # Panics
    /// If str0m gives up.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now += Duration::from_millis(1);
            let at = self.clock();
            for number in 0..self.peers.len() {
                let peer = &mut self.peers[number];
                if peer.timeout <= at {
                    peer.rtc.handle_input(Input::Timeout(at)).expect("goes on");
                    peer.poll();
                }
                let path = Path { local: SERVER, remote: peer.address };
                let mut outgoing = std::mem::take(&mut peer.outgoing);
                if self.lose_each > 0 && self.now.as_millis().is_multiple_of(3) {
                    outgoing.make_contiguous().reverse();
                }
                for datagram in outgoing {
                    if is_lost(&datagram, self.lose_each, &mut self.dtls_datagrams) {
                        continue;
                    }
                    let now = self.now();
                    self.worker.handle_datagram(now, now - self.lateness, path, &datagram, &mut self.outbox);
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

    /// Lets `span` pass at once, for those who have no clock to keep. What is due is served, and what has come is
    /// forwarded.
    pub fn skip(&mut self, span: Duration) {
        self.now += span;
        let now = self.now();
        while self.worker.forward(now, &mut self.outbox) == Forward::Full {
            self.flush();
        }
        self.worker.handle_timeout(now, &mut self.outbox);
        self.flush();
    }

    /// What the events say of a transport, and the detail of its DTLS.
    #[must_use]
    pub fn state_of(&self, number: u64) -> (IceState, DtlsState, String) {
        let (mut ice, mut dtls) = (IceState::New, (DtlsState::New, String::new()));
        for event in &self.events {
            match event {
                Event::IceStateChanged { transport, state, .. } if transport.0 == number => ice = *state,
                Event::DtlsStateChanged { transport, state, detail, .. } if transport.0 == number => {
                    dtls = (*state, detail.clone());
                }
                _ => {}
            }
        }
        (ice, dtls.0, dtls.1)
    }

    /// Peer 1 publishes sound with SSRC 42, peer 2 watches it as 4242.
    ///
    /// # Panics
    /// If the machine refuses.
    pub fn publish_and_watch(&mut self) {
        self.publish();
        self.watch(2);
        self.peers[1].rtc.direct_api().expect_stream_rx(4_242.into(), None, Mid::from("0"), None);
    }

    /// Peer 1 publishes sound with SSRC 42.
    ///
    /// # Panics
    /// If the machine refuses.
    pub fn publish(&mut self) {
        let codec = |payload_type, mapped_payload_type| CodecMapping {
            payload_type,
            mapped_payload_type,
            codec: Codec::Other,
            clock_rate_hz: 48_000,
        };
        let options =
            ProduceOptions::new(MediaKind::Audio, vec![codec(111, 100)], vec![EncodingMapping::announced(42)]);
        self.must(&Command::Produce { transport: TransportId(1), producer: ProducerId(1), options });
        self.peers[0].rtc.direct_api().declare_stream_tx(42.into(), None, Mid::from("0"), None);
    }

    /// Peer 1 publishes pictures with SSRC 43, of which no packet comes, and peer 2 watches them as 4343.
    ///
    /// # Panics
    /// If the machine refuses.
    pub fn publish_video_and_watch(&mut self) {
        let codec =
            CodecMapping { payload_type: 96, mapped_payload_type: 101, codec: Codec::Vp8, clock_rate_hz: 90_000 };
        let options = ProduceOptions::new(MediaKind::Video, vec![codec], vec![EncodingMapping::announced(43)]);
        let producer = ProducerId(1);
        self.must(&Command::Produce { transport: TransportId(1), producer, options });
        let options =
            ConsumeOptions::new(4_343, vec![PayloadTypeMapping { router: 101, receiver: 96 }], "one".to_owned());
        let (transport, consumer) = (TransportId(2), ConsumerId(2));
        self.must(&Command::Consume { transport, consumer, producer, options });
        self.peers[1].rtc.direct_api().expect_stream_rx(4_343.into(), None, Mid::from("0"), None);
    }

    /// A peer that watches those pictures says what its path carries (REMB).
    ///
    /// # Panics
    /// If it does not watch them.
    pub fn tell_remb(&mut self, number: usize, bitrate_bps: u64) {
        let mut api = self.peers[number - 1].rtc.direct_api();
        api.stream_rx(&4_343.into()).expect("it watches").request_remb(Bitrate::bps(bitrate_bps));
        self.prompt(number);
    }

    /// A transport watches what peer 1 publishes, as 4242.
    ///
    /// # Panics
    /// If the machine refuses.
    pub fn watch(&mut self, number: u8) {
        let options = ConsumeOptions {
            first_sequence: 7,
            ..ConsumeOptions::new(4_242, vec![PayloadTypeMapping { router: 100, receiver: 111 }], "one".to_owned())
        };
        let (transport, consumer) = (TransportId(number.into()), ConsumerId(number.into()));
        self.must(&Command::Consume { transport, consumer, producer: ProducerId(1), options });
    }

    /// Peer 1 sends one packet of SSRC 42; what comes of it takes 20 ms.
    ///
    /// # Panics
    /// If it does not publish.
    pub fn send_media(&mut self, sequence: u64, payload: &[u8]) {
        let at = self.clock();
        let mut api = self.peers[0].rtc.direct_api();
        let stream = api.stream_tx(&42.into()).expect("declared");
        let time = u32::try_from(sequence * 960 % (1 << 32)).expect("below");
        stream.write_rtp(RtpWrite::new(111.into(), sequence.into(), time, at, payload));
        self.peers[0].rtc.handle_input(Input::Timeout(at)).expect("goes on");
        self.peers[0].poll();
        self.run(Duration::from_millis(20));
    }
}
