//! Taking the place of a worker that has died. What that one was told and has learnt is told again, record by record
//! ([`corecast_wire::Records`]); the numbers that its packets had reached are in the words that it left ([`Words`]).
//!
//! WebRTC transports go on with their keys, without a handshake: there is nothing of their DTLS association left, so
//! data channels do not go on. Consumers begin again at a key frame, with the next number, so that no (key, SSRC,
//! index) is ever used twice. All that came in counts as seen.

use std::net::SocketAddr;

use corecast_wire::{
    Command, CommandError, DtlsState, FormerSsrc, IceTuple, PlainTransportOptions, Record, Reply, SrtpParameters,
    TransportId, WebRtcTransportOptions,
};

use super::refused::{Applied, invalid};
use super::{Owner, Worker};
use crate::io::{Endpoint, EndpointId, EndpointOp, Outbox, Path, Timer};
use crate::key::TransportKey;
use crate::media::Before;
use crate::memory::{Name, What, Word, Words};
use crate::srtp::{Opener, Sealer};
use crate::time::Instant;
use crate::transport::{Flow, Security, Transport};

/// The word of when a worker's clock began, and the worker before, if one has left its own.
pub(super) fn begin(words: &mut Words, unix_time_ns: u64) -> (Word, Option<Before>) {
    let name = Name::new(What::Started, 0, 0);
    let before = words.left(name);
    let mut started = Word::default();
    words.keep(&mut started, name);
    started.set(unix_time_ns);
    (started, before.map(|before| Before { started_ns_ago: unix_time_ns.saturating_sub(before) }))
}

impl Worker {
    /// Something that it has learnt and that a worker which takes its place is to be told, beside the commands that
    /// were applied. To be kept before the command that was applied last, and before what the outbox holds leaves.
    pub fn poll_record(&mut self) -> Option<Record> {
        self.records.pop_front()
    }

    pub(crate) fn push_record(&mut self, record: Record) {
        if self.words.are_kept() {
            self.records.push_back(record);
        }
    }

    /// Applies a record of the worker whose place this one takes: in their order, before anything else, to a worker
    /// that was made with the words of that one. `opened` are the endpoints that the shell has opened for it.
    ///
    /// # Errors
    /// As for [`Worker::handle_command`]; what cannot be applied is left out, and what depends on it.
    pub fn restore(
        &mut self,
        now: Instant,
        record: &Record,
        opened: &[Endpoint],
        outbox: &mut Outbox,
    ) -> Result<Reply, CommandError> {
        if self.blame.refuses(record) {
            return Err(invalid("transportId", "two workers died of what came of it"));
        }
        match record {
            Record::Command(Command::CreateWebRtcTransport { router, transport, options }) => {
                let options = WebRtcTransportOptions { sctp: None, ..options.clone() };
                self.create_webrtc_transport(*router, *transport, &options)?;
            }
            Record::Command(Command::CreatePlainTransport { router, transport, options }) => {
                let options = PlainTransportOptions { sctp: None, ..options.clone() };
                return self.create_plain_transport(now, *router, *transport, &options, opened);
            }
            Record::Command(command) => return self.handle_command(now, command, opened, outbox),
            Record::Keys { transport, sending, receiving } => {
                self.restore_keys(now, *transport, (sending, receiving))?;
            }
            Record::Path { transport, tuple: Some(tuple) } => self.restore_path(now, *transport, *tuple, outbox)?,
            // They only take others back.
            Record::Path { tuple: None, .. } | Record::Closed { .. } | Record::IceRestarted { .. } => {}
            Record::Ssrc { transport, ssrc, was } => {
                let key = self.transport_key(*transport)?;
                if let Some(transport) = self.transports.get_mut(key) {
                    restore_ssrc(transport, *ssrc, *was);
                }
                self.push_ssrcs(*transport, vec![*ssrc], *was);
            }
            Record::Remote { transport, remote, rtcp } => self.restore_remote(*transport, *remote, *rtcp)?,
        }
        Ok(Reply::Done)
    }

    /// Every record has been applied.
    pub fn restored(&mut self) {
        self.words.forget_left();
        self.before = None;
    }

    /// What sends under a key goes on only if its numbers are known: none is ever used twice.
    pub(super) fn check_number(&self, name: Name) -> Applied {
        let is_known = self.before.is_none() || self.words.left(name).is_some();
        if is_known { Ok(()) } else { Err(invalid("numbers", "are not known of what the worker before has sent")) }
    }

    fn restore_keys(
        &mut self,
        now: Instant,
        id: TransportId,
        (sending, receiving): (&SrtpParameters, &SrtpParameters),
    ) -> Applied {
        let key = self.transport_key(id)?;
        self.check_number(Name::new(What::NextRtcpOut, id.0, 0))?;
        let unusable = |error: crate::srtp::KeyError| invalid("keys", error.to_string());
        let (mut sealer, mut opener) =
            (Sealer::new(sending).map_err(unusable)?, Opener::new(receiving).map_err(unusable)?);
        sealer.keep(&mut self.words, id);
        opener.follow(&mut self.words, id);
        let transport = self.transports.get_mut(key).filter(|transport| transport.webrtc().is_some());
        let transport = transport.ok_or_else(|| invalid("transportId", "is not a WebRTC transport"))?;
        if let Some(webrtc) = transport.webrtc_mut() {
            webrtc.set_dtls_state(DtlsState::Connected);
        }
        transport.set_security(Security::new(sending.suite, sealer, Some(opener)));
        self.push_keys(id, sending, receiving);
        self.arm_reports(now, key);
        Ok(())
    }

    /// The next worker is to know the keys of a transport.
    pub(super) fn push_keys(&mut self, transport: TransportId, sending: &SrtpParameters, receiving: &SrtpParameters) {
        self.push_record(Record::Keys { transport, sending: sending.clone(), receiving: receiving.clone() });
    }

    /// The next worker is to know what must not become of SSRCs that are in use no longer.
    pub(super) fn push_ssrcs(&mut self, transport: TransportId, ssrcs: Vec<u32>, was: FormerSsrc) {
        ssrcs.into_iter().for_each(|ssrc| self.push_record(Record::Ssrc { transport, ssrc, was }));
    }

    fn restore_path(&mut self, now: Instant, id: TransportId, tuple: IceTuple, outbox: &mut Outbox) -> Applied {
        let key = self.transport_key(id)?;
        let is_its = |owner: &Option<Owner>| match owner {
            Some(Owner::WebRtc(protocol, local)) => (*protocol, *local) == (tuple.protocol, tuple.local),
            _ => false,
        };
        let endpoint = self.endpoints.iter().position(is_its).and_then(|at| u32::try_from(at).ok());
        // A connection of TCP has gone: its client makes another one.
        let endpoint = endpoint.ok_or_else(|| invalid("local", "is no longer listened on"))?;
        let path = Path { local: EndpointId(endpoint), remote: tuple.remote };
        let webrtc = self.transports.get_mut(key).and_then(Transport::webrtc_mut);
        let (Some(server), Some(webrtc)) = (self.webrtc.as_mut(), webrtc) else {
            return Err(invalid("transportId", "is not a WebRTC transport"));
        };
        webrtc.ice_mut().restore(now, path, tuple.protocol);
        server.add_path(path, key);
        if let Some(timeout) = webrtc.consent_timeout() {
            webrtc.consent_deadline().arm(&mut self.timers, now + timeout, Timer::Consent(key));
        }
        self.follow_destination(now, key, outbox);
        self.report_ice_state(key);
        Ok(())
    }

    /// The next worker is to know where the media of a transport goes.
    pub(super) fn push_path(&mut self, key: TransportKey, path: Option<Path>) {
        let tuple = path.and_then(|path| {
            let owner = self.endpoints.get(path.local.0 as usize).copied().flatten();
            let Some(Owner::WebRtc(protocol, local)) = owner else { return None };
            Some(IceTuple { local, remote: path.remote, protocol })
        });
        if let Some(transport) = self.transports.get(key).map(Transport::id) {
            self.push_record(Record::Path { transport, tuple });
        }
    }

    fn restore_remote(&mut self, id: TransportId, remote: SocketAddr, rtcp: bool) -> Applied {
        let key = self.transport_key(id)?;
        let transport = self.transports.get_mut(key).ok_or_else(|| invalid("transportId", "is gone"))?;
        let (flow, endpoint) = match transport.rtcp_local() {
            Some(endpoint) if rtcp => (Flow::Rtcp, endpoint),
            _ => (Flow::Rtp, transport.local()),
        };
        if !transport.learns_remote(flow) {
            return Err(invalid("remote", "is not learnt"));
        }
        transport.set_remote(flow, remote);
        self.push_record(Record::Remote { transport: id, remote, rtcp });
        self.endpoint_ops.push_back(EndpointOp::Connect(endpoint.id, remote));
        Ok(())
    }
}

fn restore_ssrc(transport: &mut Transport, ssrc: u32, was: FormerSsrc) {
    match (was, transport.security_mut()) {
        (FormerSsrc::Sent, Some(security)) => security.use_ssrc(ssrc),
        (FormerSsrc::Sent, None) => {}
        (FormerSsrc::Left, _) => transport.leave(ssrc),
        (FormerSsrc::Retired, _) => transport.retire(ssrc),
    }
}
