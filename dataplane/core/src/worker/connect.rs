//! WebRTC transports: ICE, DTLS and SRTP on the endpoints that all of them share (mediasoup's WebRtcTransport on a
//! WebRtcServer).
//!
//! The order is the point. The username fragment of a first check says whose it is; a check that its transport's
//! password verifies makes the path known; DTLS, RTP and RTCP are taken from known paths alone; media leaves on the
//! nominated path alone, once it is proven ([`Ice::destination`]), and only under keys of a verified handshake. Nothing
//! else is learnt from anything.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use corecast_wire::{
    CommandError, Discard, DtlsFailure, DtlsParameters, DtlsState, Event, IceProtocol, IceTuple, Record, TransportId,
    WebRtcConfig,
};

use super::handshakes::Handshakes;
use super::refused::{Applied, invalid};
use super::{Owner, Worker};
use crate::config::Config;
use crate::dtls::{Dtls, Identity, Keys, Outcome};
use crate::ice::Checked;
#[cfg(doc)]
use crate::ice::Ice;
use crate::io::demux::{Protocol, protocol_of};
use crate::io::{Endpoint, EndpointId, EndpointOp, Network, Outbox, Path, Timer};
use crate::key::TransportKey;
use crate::limits::MAX_STUN_ANSWER_BYTES;
use crate::srtp::{Opener, Sealer};
use crate::stun;
use crate::time::Instant;
use crate::transport::{Flow, Security, Traffic, Transport, WebRtc};

/// What the WebRTC transports of a worker share.
#[derive(Debug)]
pub(crate) struct WebRtcServer {
    identity: Identity,
    consent_timeout: Duration,
    /// Transport by the username fragments that its checks may name.
    fragments: BTreeMap<String, TransportKey>,
    /// Transport by the paths that its checks have validated.
    paths: BTreeMap<Path, TransportKey>,
    /// Handshakes under way.
    handshakes: Handshakes,
}

impl WebRtcServer {
    pub(crate) fn new(webrtc: &WebRtcConfig, config: &Config) -> Option<Self> {
        Some(Self {
            identity: Identity::new(webrtc, config.started, config.handshake_seed, config.max_data_records_per_key)?,
            consent_timeout: Duration::from_millis(webrtc.consent_timeout_ms.into()),
            fragments: BTreeMap::new(),
            paths: BTreeMap::new(),
            handshakes: Handshakes::default(),
        })
    }

    /// Time without a sign of life after which there is no consent, of transports that were given none; zero for ever.
    pub(super) const fn consent_timeout(&self) -> Duration {
        self.consent_timeout
    }

    /// Transports by the username fragments that their checks may name.
    pub(super) const fn fragments_mut(&mut self) -> &mut BTreeMap<String, TransportKey> {
        &mut self.fragments
    }

    /// A path is a transport's, also if it was another's.
    pub(super) fn add_path(&mut self, path: Path, key: TransportKey) {
        self.paths.insert(path, key);
    }
}

/// The address by which a transport is named before anything is nominated.
pub(super) const NOWHERE: Endpoint =
    Endpoint { id: EndpointId(u32::MAX), local: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0) };

impl Worker {
    pub(crate) fn connect_webrtc_transport(
        &mut self,
        now: Instant,
        id: TransportId,
        dtls: &DtlsParameters,
        outbox: &mut Outbox,
    ) -> Applied {
        let key = self.transport_key(id)?;
        if dtls.fingerprints.is_empty() {
            return Err(invalid("dtlsParameters.fingerprints", "must not be empty"));
        }
        let identity = self.webrtc.as_ref().map(|server| &server.identity);
        let transport = self.transports.get_mut(key);
        // The keys may be of a handshake with a worker before this one.
        let has_keys = transport.as_ref().is_some_and(|transport| transport.security().is_some());
        let (Some(identity), Some(webrtc)) = (identity, transport.and_then(Transport::webrtc_mut)) else {
            return Err(invalid("transportId", "is not a WebRTC transport"));
        };
        if webrtc.dtls().is_some() || has_keys {
            return Err(CommandError::AlreadyConnected);
        }
        webrtc.set_dtls(Dtls::new(identity, dtls, now));
        self.start_dtls(now, key, outbox);
        Ok(())
    }

    /// Takes in a datagram of an endpoint that WebRTC transports share.
    pub(crate) fn receive_webrtc(
        &mut self,
        now: Instant,
        path: Path,
        (protocol, local): (IceProtocol, SocketAddr),
        datagram: &[u8],
        outbox: &mut Outbox,
    ) {
        let key = self.webrtc.as_ref().and_then(|server| server.paths.get(&path)).copied();
        let transport = key.and_then(|key| self.transports.get_mut(key));
        self.blame.serve(transport.as_deref());
        let has_keys = transport.as_ref().is_some_and(|transport| transport.security().is_some());
        if let Some(transport) = transport {
            transport.count_received(datagram.len());
        }
        let result = match (protocol_of(datagram), key) {
            (Protocol::Stun, _) => self.receive_check(now, path, (protocol, local), datagram, outbox),
            (Protocol::Unknown, _) => Err(Discard::UnknownProtocol),
            (Protocol::Zrtp | Protocol::TurnChannel, _) => Err(Discard::UnexpectedProtocol),
            (_, None) => Err(Discard::UnvalidatedPath),
            (Protocol::Dtls, Some(key)) => self.receive_dtls(now, key, path, datagram, outbox),
            (_, Some(_)) if !has_keys => Err(Discard::NoKey),
            (Protocol::Rtp, Some(key)) => {
                let result = self.receive_rtp(now, key, path, datagram);
                result.inspect(|()| self.record_life(now, key, path, outbox))
            }
            (Protocol::Rtcp, Some(key)) => {
                let result = self.receive_rtcp(now, key, path, datagram, outbox);
                result.inspect(|()| self.record_life(now, key, path, outbox))
            }
        };
        match (result, key) {
            (Err(why), Some(key)) => self.discard(key, why),
            (Err(why), None) => self.discards.count(why),
            (Ok(()), _) => {}
        }
    }

    /// An authenticated packet of a transport has come along this path.
    fn record_life(&mut self, now: Instant, key: TransportKey, path: Path, outbox: &mut Outbox) {
        let webrtc = self.transports.get_mut(key).and_then(Transport::webrtc_mut);
        let moved = webrtc.map(|webrtc| webrtc.ice_mut().record_packet(now, path)).unwrap_or_default();
        if moved.destination_changed {
            self.follow_destination(now, key, outbox);
        }
        if moved.selected_changed {
            self.report_ice_state(key);
        }
    }

    /// Looks whether media has left since the last time, and how long the other side has said nothing to it.
    pub(super) fn follow_media(&mut self, now: Instant, key: TransportKey, outbox: &mut Outbox) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let sent = transport.consumers().iter().filter_map(|key| Some(self.consumers.get(*key)?.packets_sent()));
        let sent = sent.sum();
        let webrtc = transport.webrtc_mut();
        if webrtc.is_some_and(|webrtc| webrtc.has_sent_more(sent) && webrtc.ice_mut().record_media(now)) {
            self.follow_destination(now, key, outbox);
        }
    }

    fn receive_check(
        &mut self,
        now: Instant,
        path: Path,
        (protocol, local): (IceProtocol, SocketAddr),
        datagram: &[u8],
        outbox: &mut Outbox,
    ) -> Result<(), Discard> {
        let message = stun::parse(datagram).map_err(|_| Discard::MalformedStun)?;
        let (fragment, _) = message.fragments().ok_or(Discard::MalformedStun)?;
        let server = self.webrtc.as_mut().ok_or(Discard::UnexpectedProtocol)?;
        let key = server.fragments.get(fragment).copied().ok_or(Discard::UnknownUsername)?;
        // A path belongs to one transport. Once that transport has keys, and unless it has been silent for long, checks
        // for another transport cannot take the path over. Before, they can, so that forged checks cannot keep a path
        // from the one to whom it belongs.
        let holder = server.paths.get(&path).filter(|holder| **holder != key);
        let is_held = |holder: &Transport| {
            let is_abandoned = holder.webrtc().is_none_or(|webrtc| webrtc.ice().has_abandoned(now, path));
            holder.security().is_some() && !is_abandoned
        };
        if holder.and_then(|key| self.transports.get(*key)).is_some_and(is_held) {
            return Err(Discard::WrongRemote);
        }
        let transport = self.transports.get_mut(key).ok_or(Discard::UnknownUsername)?;
        let webrtc = transport.webrtc_mut().ok_or(Discard::UnknownUsername)?;
        // Who is connected already may come along another path.
        if webrtc.ice().last_sign_of_life().is_none() && self.shut_out.has(now, path.remote.ip()) {
            return Err(Discard::ShutOut);
        }
        let answer = outbox.reserve(MAX_STUN_ANSWER_BYTES).ok_or(Discard::OutboxFull)?;
        let checked = webrtc.ice_mut().handle_check(now, path, protocol, &message, answer)?;
        webrtc.ice_mut().count_received(path, datagram.len(), checked.answer_len);
        transport.push_to(path, outbox, checked.answer_len);
        self.after_check(now, key, path, (protocol, local), checked, outbox);
        Ok(())
    }

    fn after_check(
        &mut self,
        now: Instant,
        key: TransportKey,
        path: Path,
        (protocol, local): (IceProtocol, SocketAddr),
        checked: Checked,
        outbox: &mut Outbox,
    ) {
        let Some(server) = self.webrtc.as_mut() else { return };
        // Also if the path was valid before: another transport without keys may have taken it since.
        server.add_path(path, key);
        if checked.added && protocol == IceProtocol::Tcp {
            self.endpoint_ops.push_back(EndpointOp::Authenticated(path.local));
        }
        if let Some(forgotten) = checked.forgotten {
            server.fragments.remove(&forgotten);
            if let Some(transport) = self.transports.get(key).map(Transport::id) {
                self.push_record(Record::IceRestarted { transport });
            }
        }
        if let Some(evicted) = checked.evicted {
            self.forget_path(key, evicted);
        }
        if checked.destination_changed {
            self.follow_destination(now, key, outbox);
        }
        if checked.selected_changed || checked.state_changed {
            self.report_ice_state(key);
        }
        let Some(transport) = self.transports.get_mut(key) else { return };
        if transport.local() == NOWHERE {
            transport.set_local(Endpoint { id: path.local, local });
        }
        if let Some(webrtc) = transport.webrtc_mut()
            && let Some(consent_timeout) = webrtc.consent_timeout()
            && webrtc.consent_deadline().at().is_none()
            && webrtc.ice().last_sign_of_life().is_some()
        {
            webrtc.consent_deadline().arm(&mut self.timers, now + consent_timeout, Timer::Consent(key));
        }
        self.start_dtls(now, key, outbox);
    }

    /// Removes a path from the map, unless it belongs to another transport by now.
    fn forget_path(&mut self, key: TransportKey, path: Path) {
        let Some(server) = self.webrtc.as_mut().filter(|server| server.paths.get(&path) == Some(&key)) else { return };
        server.paths.remove(&path);
        let owner = self.endpoints.get(path.local.0 as usize).copied().flatten();
        if let Some(Owner::WebRtc(IceProtocol::Tcp, _)) = owner {
            self.own(path.local, None);
            self.endpoint_ops.push_back(EndpointOp::Close(path.local));
        }
    }

    /// Media goes where ICE says from now on, if there are keys.
    pub(super) fn follow_destination(&mut self, now: Instant, key: TransportKey, outbox: &mut Outbox) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let destination = transport.webrtc().and_then(|webrtc| webrtc.ice().destination());
        let had = transport.remote(Flow::Rtp).is_some();
        let Some(path) = destination.filter(|_| transport.security().is_some()) else {
            self.fall_silent(key);
            return;
        };
        let owner = self.endpoints.get(path.local.0 as usize).copied().flatten();
        if let Some(Owner::WebRtc(_, local)) = owner {
            transport.set_local(Endpoint { id: path.local, local });
        }
        transport.set_remote(Flow::Rtp, path.remote);
        let consumers = if had { Vec::new() } else { transport.consumers().to_vec() };
        self.push_path(key, Some(path));
        consumers.into_iter().for_each(|key| self.want_key_frame_for(now, key, outbox));
    }

    /// Stops sending until there is a path again. Consumers resynchronise then: after a gap the receiver would ask for
    /// what is missing, see no key frame, and after 2^15 packets guess the wrong rollover counter.
    fn fall_silent(&mut self, key: TransportKey) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        transport.clear_remote();
        for consumer in transport.consumers() {
            if let Some(consumer) = self.consumers.get_mut(*consumer) {
                consumer.interrupt();
            }
        }
        self.push_path(key, None);
    }

    pub(super) fn report_ice_state(&mut self, key: TransportKey) {
        let Some(transport) = self.transports.get(key) else { return };
        let Some(webrtc) = transport.webrtc() else { return };
        let tuple = webrtc.ice().selected().and_then(|(path, protocol)| {
            let Some(Owner::WebRtc(_, local)) = self.endpoints.get(path.local.0 as usize).copied().flatten() else {
                return None;
            };
            Some(IceTuple { local, remote: path.remote, protocol })
        });
        let event = Event::IceStateChanged { transport: transport.id(), state: webrtc.ice().state(), tuple };
        self.push_event(event);
    }

    /// The other side has shown no sign of life for too long: sending stops (RFC 7675 section 5.1; as a lite agent we
    /// send no checks of our own).
    pub(crate) fn consent_timeout(&mut self, now: Instant, at: Instant, key: TransportKey) {
        let webrtc = self.transports.get_mut(key).and_then(Transport::webrtc_mut);
        let Some(webrtc) = webrtc else { return };
        if !webrtc.consent_deadline().fires(at) {
            return;
        }
        let Some(alive) = webrtc.ice().last_sign_of_life() else { return };
        let Some(due) = webrtc.consent_timeout().map(|timeout| alive + timeout) else { return };
        if due > now {
            webrtc.consent_deadline().arm(&mut self.timers, due, Timer::Consent(key));
            return;
        }
        self.lose_consent(key);
    }

    fn lose_consent(&mut self, key: TransportKey) {
        self.fall_silent(key);
        let Some(transport) = self.transports.get_mut(key) else { return };
        let Some(webrtc) = transport.webrtc_mut() else { return };
        let paths: Vec<_> = webrtc.ice().paths().collect();
        webrtc.ice_mut().expire();
        paths.into_iter().for_each(|path| self.forget_path(key, path));
        self.report_ice_state(key);
    }

    /// An ICE-TCP connection has gone.
    pub(crate) fn webrtc_endpoint_closed(&mut self, endpoint: EndpointId) {
        let Some(server) = self.webrtc.as_mut() else { return };
        // Those of one endpoint lie together. Strangers come and go as they like, so this must not visit all of them.
        let first = Path { local: endpoint, remote: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0) };
        let of_endpoint = server.paths.range(first..).take_while(|(path, _)| path.local == endpoint);
        let gone: Vec<_> = of_endpoint.map(|(path, key)| (*path, *key)).collect();
        for (path, key) in gone {
            if let Some(server) = self.webrtc.as_mut() {
                server.paths.remove(&path);
            }
            let Some(transport) = self.transports.get_mut(key) else { continue };
            let Some(webrtc) = transport.webrtc_mut() else { continue };
            let gone = webrtc.ice_mut().forget_endpoint(endpoint);
            if gone.destination_gone {
                self.fall_silent(key);
            }
            if gone.selected_changed || gone.state_changed {
                self.report_ice_state(key);
            }
        }
    }

    /// As the DTLS client we say hello as soon as a path is valid, and enough has come from there.
    fn start_dtls(&mut self, now: Instant, key: TransportKey, outbox: &mut Outbox) {
        let Some(hello_bytes) = self.webrtc.as_ref().map(|server| server.identity.hello_bytes()) else { return };
        let Some(webrtc) = self.transports.get(key).and_then(Transport::webrtc) else { return };
        let waits = webrtc.dtls().is_some_and(|dtls| dtls.is_client() && dtls.is_idle());
        let Some(path) = webrtc.path_of_dtls().filter(|_| waits) else { return };
        if !webrtc.ice().may_send(path, hello_bytes) {
            return;
        }
        if self.begin_handshake(key, path).is_err() {
            return;
        }
        self.with_dtls(now, key, path, outbox, Dtls::start);
    }

    /// Counts a handshake that begins.
    fn begin_handshake(&mut self, key: TransportKey, path: Path) -> Result<(), Discard> {
        let server = self.webrtc.as_mut().ok_or(Discard::UnexpectedDtls)?;
        let network = Network::of(path.remote.ip());
        if let Some(displaced) = server.handshakes.admit(network, key)?
            && let Some(webrtc) = self.transports.get_mut(displaced).and_then(Transport::webrtc_mut)
        {
            webrtc.put_off_handshake();
        }
        let Some(transport) = self.transports.get_mut(key) else { return Ok(()) };
        let id = transport.id();
        if let Some(webrtc) = transport.webrtc_mut() {
            webrtc.begin_handshake(network);
        }
        let (state, detail, certificate) = (DtlsState::Connecting, String::new(), Vec::new());
        self.push_event(Event::DtlsStateChanged { transport: id, state, failure: None, detail, certificate });
        Ok(())
    }

    fn receive_dtls(
        &mut self,
        now: Instant,
        key: TransportKey,
        path: Path,
        datagram: &[u8],
        outbox: &mut Outbox,
    ) -> Result<(), Discard> {
        let transport = self.transports.get_mut(key).ok_or(Discard::NoTransport)?;
        let webrtc = transport.webrtc_mut().ok_or(Discard::UnexpectedDtls)?;
        let is_expected = |dtls: &&Dtls| if dtls.is_idle() { dtls.may_begin_with(datagram) } else { !dtls.is_over() };
        let begins = webrtc.dtls().filter(is_expected).ok_or(Discard::UnexpectedDtls)?.is_idle();
        webrtc.set_dtls_path(path);
        webrtc.ice_mut().count_received(path, datagram.len(), 0);
        let to = webrtc.path_of_dtls().unwrap_or(path);
        if begins {
            self.begin_handshake(key, to)?;
        }
        self.with_dtls(now, key, to, outbox, |dtls, identity, now, send| {
            dtls.handle_datagram(identity, now, datagram, send)
        });
        let dtls =
            self.transports.get_mut(key).and_then(Transport::webrtc_mut).and_then(|webrtc| webrtc.dtls_and_ice().0);
        if dtls.is_some_and(Dtls::take_authentic) {
            self.record_life(now, key, path, outbox);
        }
        let mut result = Ok(());
        while let Some(packet) = self.take_application_data(key) {
            let taken = self.receive_sctp(now, key, &packet);
            result = result.and(taken);
        }
        result
    }

    fn take_application_data(&mut self, key: TransportKey) -> Option<Vec<u8>> {
        self.transports.get_mut(key)?.webrtc_mut()?.dtls_and_ice().0?.take_data()
    }

    pub(crate) fn dtls_timeout(&mut self, now: Instant, at: Instant, key: TransportKey, outbox: &mut Outbox) {
        let webrtc = self.transports.get_mut(key).and_then(Transport::webrtc_mut);
        let Some(webrtc) = webrtc else { return };
        if !webrtc.dtls_deadline().fires(at) {
            return;
        }
        let Some(path) = webrtc.path_of_dtls() else { return };
        self.with_dtls(now, key, path, outbox, Dtls::handle_timeout);
    }

    /// Calls the association, sends what it says, and follows what it has come to.
    pub(super) fn with_dtls(
        &mut self,
        now: Instant,
        key: TransportKey,
        path: Path,
        outbox: &mut Outbox,
        call: impl FnOnce(&mut Dtls, &Identity, Instant, &mut dyn FnMut(&[u8])) -> Option<Outcome>,
    ) {
        let Some(server) = self.webrtc.as_ref() else { return };
        let Some(transport) = self.transports.get_mut(key) else { return };
        let Some((webrtc, sent)) = transport.webrtc_and_sent() else { return };
        let (Some(dtls), ice) = webrtc.dtls_and_ice() else { return };
        // What may not leave is lost, as on the way, and sent again.
        let outcome = call(dtls, &server.identity, now, &mut |packet| {
            if ice.spend(path, packet.len()) {
                send(outbox, sent, path, packet);
            }
        });
        let trouble = dtls.take_trouble();
        let due = dtls.next_timeout().filter(|_| !dtls.is_over());
        webrtc.dtls_deadline().set(&mut self.timers, due, Timer::Dtls(key));
        if let Some(network) = webrtc.ended_handshake()
            && let Some(server) = self.webrtc.as_mut()
        {
            server.handshakes.release(network, key);
        }
        if let Some(trouble) = trouble
            && let Some(transport) = self.transports.get(key).map(Transport::id)
        {
            self.push_event(Event::HandshakeTroubled { transport, trouble });
        }
        match outcome {
            Some(Outcome::Connected(keys)) => {
                let webrtc = self.transports.get_mut(key).and_then(Transport::webrtc_mut);
                // Their last flight, which answers ours, came from where ours went.
                if let Some(webrtc) = webrtc.filter(|webrtc| webrtc.is_dtls_path(path)) {
                    webrtc.ice_mut().record_handshake(now, path);
                }
                self.take_keys(now, key, *keys, outbox);
            }
            Some(Outcome::Failed(failure, cause)) => self.report_dtls_failure(key, failure, cause),
            Some(Outcome::Closed) => {
                // The other side has withdrawn its consent (RFC 7675 section 5.2).
                self.fall_silent(key);
                if let Some(transport) = self.transports.get(key).map(Transport::id) {
                    self.push_record(Record::Closed { transport });
                }
                self.report_dtls(key, (DtlsState::Closed, None), String::new(), Vec::new());
            }
            None => {}
        }
    }

    fn take_keys(&mut self, now: Instant, key: TransportKey, keys: Keys, outbox: &mut Outbox) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let (local, remote, detail, certificate) = keys.into_parts();
        let (Ok(mut sealer), Ok(opener)) = (Sealer::new(&local), Opener::new(&remote)) else {
            self.report_dtls_failure(key, DtlsFailure::Protocol, "the keys cannot be used".to_owned());
            return;
        };
        let id = transport.id();
        sealer.keep(&mut self.words, id);
        transport.set_security(Security::new(local.suite, sealer, Some(opener)));
        self.push_keys(id, &local, &remote);
        self.report_dtls(key, (DtlsState::Connected, None), detail, certificate);
        self.follow_destination(now, key, outbox);
        self.arm_reports(now, key);
        self.connect_association(now, key);
    }

    fn report_dtls_failure(&mut self, key: TransportKey, failure: DtlsFailure, cause: String) {
        self.report_dtls(key, (DtlsState::Failed, Some(failure)), cause, Vec::new());
    }

    fn report_dtls(
        &mut self,
        key: TransportKey,
        (state, failure): (DtlsState, Option<DtlsFailure>),
        detail: String,
        certificate: Vec<u8>,
    ) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let id = transport.id();
        if let Some(webrtc) = transport.webrtc_mut() {
            webrtc.set_dtls_state(state);
        }
        self.push_event(Event::DtlsStateChanged { transport: id, state, failure, detail, certificate });
    }

    /// Says goodbye to the other side of a transport that is about to be closed.
    pub(crate) fn say_goodbye(&mut self, now: Instant, key: TransportKey, outbox: &mut Outbox) {
        let is_plain = self.transports.get(key).is_some_and(|transport| transport.webrtc().is_none());
        if is_plain {
            self.abort_plain_association(now, key, outbox);
        }
        let webrtc = self.transports.get(key).and_then(Transport::webrtc);
        let Some(path) = webrtc.and_then(WebRtc::path_of_dtls) else { return };
        self.with_dtls(now, key, path, outbox, |dtls, identity, now, send| {
            dtls.close(identity, now, send);
            None
        });
    }

    /// Undoes what a WebRTC transport has entered into the worker's tables.
    pub(crate) fn close_webrtc(&mut self, key: TransportKey, webrtc: &WebRtc) {
        let paths: Vec<_> = webrtc.ice().paths().collect();
        paths.into_iter().for_each(|path| self.forget_path(key, path));
        let Some(server) = self.webrtc.as_mut() else { return };
        for fragment in webrtc.ice().fragments() {
            server.fragments.remove(fragment);
        }
        if let Some(network) = webrtc.handshake_with() {
            server.handshakes.release(network, key);
        }
    }

    /// The transport that a path belongs to.
    pub(crate) fn owner_of(&self, path: Path) -> Option<TransportKey> {
        match self.endpoints.get(path.local.0 as usize).copied().flatten()? {
            Owner::Plain(key, _) => Some(key),
            Owner::WebRtc(..) => self.webrtc.as_ref()?.paths.get(&path).copied(),
        }
    }
}

fn send(outbox: &mut Outbox, sent: &mut Traffic, path: Path, packet: &[u8]) {
    // Without room it is lost, as on the way, and sent again.
    if let Some(room) = outbox.reserve(packet.len()) {
        room.copy_from_slice(packet);
        sent.count(packet.len());
        outbox.push(path, packet.len(), None);
    }
}
