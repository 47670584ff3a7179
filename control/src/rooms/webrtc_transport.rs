//! WebRTC transports of a peer: made with what is inside, or empty and connected later; and their ICE restarted.

use std::collections::HashSet;
use std::sync::Arc;

use corecast_wire::{
    Command, DtlsParameters, DtlsState, IceParameters, IceState, SctpOptions, TransportId, WebRtcTransportOptions,
};

use super::draw::{draw_ice, draw_ssrc, next_id, object_name};
use super::ear::{Ear, PeerEvent};
use super::error::{Code, Error};
use super::peer::PeerHandle;
use super::room::Room;
use super::site::Site;
use super::state::close_transport;
use super::transport::{OwnWebRtc, Transport, TransportKind};
use super::webrtc::{LocalParameters, RemoteParameters};
use crate::workers::{TransportState, TransportStates};

/// A transport that is connected by itself is over when its client has not been heard of for this long
/// (mediasoup-demo's).
const CONSENT_TIMEOUT_MS: u32 = 20_000;
/// WebRTC transports of a peer that are connected by themselves: one to send, one to receive, and those that it makes
/// in their place.
const MAX_TRANSPORTS: usize = 8;

/// Why a participant's transport has ended whose client has not been heard of.
pub(crate) const SILENT: &str = "nothing was heard of the client";
/// Why one has ended whose handshake came to nothing.
pub(crate) const HANDSHAKE_FAILED: &str = "the DTLS handshake failed";
const CLOSED_BY_CLIENT: &str = "its client closed DTLS";

/// A participant's WebRTC transport that has been made.
#[derive(Clone, Debug)]
pub(crate) struct CreatedWebRtc {
    pub(crate) name: String,
    pub(crate) local: LocalParameters,
}

/// Why a transport has ended; none if it has not.
pub(super) fn end_of(state: &TransportState) -> Option<&'static str> {
    match (state.ice, state.dtls) {
        (IceState::Disconnected, _) => Some(SILENT),
        (_, DtlsState::Failed) => Some(HANDSHAKE_FAILED),
        (_, DtlsState::Closed) => Some(CLOSED_BY_CLIENT),
        _ => None,
    }
}

/// Tells a participant what becomes of its transport.
pub(super) fn follow(ear: Ear) -> impl Fn(&TransportState) + Send + Sync {
    move |state: &TransportState| match (end_of(state), state.dtls) {
        (Some(why), _) => ear.tell(PeerEvent::Disconnected(why)),
        (None, DtlsState::Connected) => ear.tell(PeerEvent::Connected),
        _ => {}
    }
}

impl Room {
    /// Makes a transport, what is inside it, and connects it, in one round trip: all of it or nothing. Waits without
    /// the room's lock: the caller looks again whether what it was made for is still there.
    pub(super) async fn make_webrtc(
        &self,
        site: &Site,
        (transport, rtcp_ssrc): (TransportId, u32),
        inside: Vec<Command>,
        remote: RemoteParameters,
    ) -> Result<(LocalParameters, TransportStates), Error> {
        let local = self.webrtc().local(site.worker().index())?;
        let options = WebRtcTransportOptions {
            ice: local.ice.clone(),
            rtcp_ssrc,
            max_incoming_bitrate_bps: self.webrtc().max_incoming_bitrate_bps(),
            outgoing: self.webrtc().outgoing(),
            consent_timeout_ms: None,
            sctp: remote.sctp,
        };
        let states = site.worker().events().transport(transport);
        let mut commands = vec![Command::CreateWebRtcTransport { router: site.router(), transport, options }];
        commands.extend(inside);
        // Connected last: media that arrives finds its producers, and the first key frame its consumers.
        commands.push(Command::ConnectWebRtcTransport { transport, dtls: remote.dtls });
        site.worker().apply_all(commands, close_transport(transport)).await?;
        Ok((local, states))
    }

    /// A new transport of a peer, with data channels if it wants them, from wherever the room has room if it receives
    /// only. It is connected later. A participant is told what becomes of it.
    pub(crate) async fn create_webrtc(
        self: &Arc<Self>,
        peer: &PeerHandle,
        sctp: Option<SctpOptions>,
        receives_only: bool,
    ) -> Result<CreatedWebRtc, Error> {
        let (ear, site) = {
            let mut state = self.state().await;
            let own = state.transports.values().filter(|one| one.is_own() && *one.owner == *peer.name()).count();
            if own >= MAX_TRANSPORTS {
                return Err(Error::new(Code::TooMany, format!("the peer has {MAX_TRANSPORTS} transports already")));
            }
            let ear = state.peer(peer)?.ear.clone();
            (ear, if receives_only { self.place_viewer(&mut state).await } else { self.home().clone() })
        };
        let local = self.webrtc().local(site.worker().index())?;
        let (id, name, rtcp_ssrc) = (TransportId(next_id()), object_name(), draw_ssrc(&HashSet::new()));
        let options = WebRtcTransportOptions {
            ice: local.ice.clone(),
            rtcp_ssrc,
            max_incoming_bitrate_bps: self.webrtc().max_incoming_bitrate_bps(),
            outgoing: self.webrtc().outgoing(),
            consent_timeout_ms: Some(CONSENT_TIMEOUT_MS),
            sctp,
        };
        let events = site.worker().events();
        let states = match ear {
            Some(ear) => events.transport_with(id, Box::new(follow(ear))),
            None => events.transport(id),
        };
        let channels = sctp.map(|_| events.channels(id));
        let command = Command::CreateWebRtcTransport { router: site.router(), transport: id, options };
        site.worker().apply(command).await?;
        let mut state = self.state().await;
        // The peer may have left meanwhile.
        match state.peer_mut(peer) {
            Ok(peer) => peer.follow(states.receiver()),
            Err(gone) => {
                site.worker().close(vec![close_transport(id)]).await?;
                return Err(gone);
            }
        }
        if let Some(channels) = channels {
            self.follow_streams(&name, (id, site.clone()), channels, states.receiver());
        }
        let own = Some(Box::new(OwnWebRtc { has_sctp: sctp.is_some(), ..OwnWebRtc::default() }));
        let kind = TransportKind::WebRtc { states, own };
        let transport = Transport::new(id, site, peer.shared_name(), kind, HashSet::from([rtcp_ssrc]));
        state.transports.insert(name.clone(), transport);
        Ok(CreatedWebRtc { name, local })
    }

    /// Names the client's side of a participant's transport. A transport is connected once.
    pub(crate) async fn connect_webrtc(
        &self,
        peer: &PeerHandle,
        transport: &str,
        dtls: DtlsParameters,
    ) -> Result<(), Error> {
        let mut state = self.state().await;
        let transport = state.transport_of(peer, transport)?;
        let (id, site) = (transport.id, transport.site.clone());
        let TransportKind::WebRtc { own: Some(own), .. } = &mut transport.kind else {
            return Err(Error::wrong_state("the transport is no WebRTC transport that is to be connected"));
        };
        if own.connected {
            return Err(Error::wrong_state("the transport is connected already"));
        }
        site.worker().apply(Command::ConnectWebRtcTransport { transport: id, dtls }).await?;
        own.connected = true;
        Ok(())
    }

    /// Closes a transport that its client wants no longer, with what is inside it. Nobody is told that it has ended.
    pub(crate) async fn close_webrtc(&self, peer: &PeerHandle, name: &str) -> Result<(), Error> {
        let mut state = self.state().await;
        let Transport { id, site, .. } = state.transport_of(peer, name)?;
        site.worker().close(vec![close_transport(*id)]).await?;
        state.remove_transport(name);
        state.tell_changed(peer.name());
        self.settle(&mut state).await
    }

    /// New credentials of the server's side hold from now on; the old pair stays in use until the client has nominated
    /// another.
    pub(crate) async fn restart_ice(&self, peer: &PeerHandle, transport: &str) -> Result<IceParameters, Error> {
        let mut state = self.state().await;
        let Transport { id, site, .. } = state.transport_of(peer, transport)?;
        let ice = draw_ice();
        site.worker().apply(Command::RestartIce { transport: *id, ice: ice.clone() }).await?;
        Ok(ice)
    }
}
