//! WebRTC transports of a peer: made with what is inside, and their ICE restarted.

use corecast_wire::{Command, IceParameters, TransportId, WebRtcTransportOptions};

use super::draw::draw_ice;
use super::error::Error;
use super::peer::PeerHandle;
use super::room::Room;
use super::state::close_transport;
use super::webrtc::{LocalParameters, RemoteParameters};
use crate::workers::TransportStates;

impl Room {
    /// Makes a transport, what is inside it, and connects it, in one round trip: all of it or nothing. Waits without
    /// the room's lock: the caller looks again whether what it was made for is still there.
    pub(super) async fn make_webrtc(
        &self,
        transport: TransportId,
        rtcp_ssrc: u32,
        inside: Vec<Command>,
        remote: RemoteParameters,
    ) -> Result<(LocalParameters, TransportStates), Error> {
        let local = self.webrtc().local(self.worker().index())?;
        let options = WebRtcTransportOptions {
            ice: local.ice.clone(),
            rtcp_ssrc,
            max_incoming_bitrate_bps: self.webrtc().max_incoming_bitrate_bps(),
            outgoing: self.webrtc().outgoing(),
            consent_timeout_ms: None,
            sctp: remote.sctp,
        };
        let states = self.worker().events().transport(transport);
        let mut commands = vec![Command::CreateWebRtcTransport { router: self.router(), transport, options }];
        commands.extend(inside);
        // Connected last: media that arrives finds its producers, and the first key frame its consumers.
        commands.push(Command::ConnectWebRtcTransport { transport, dtls: remote.dtls });
        self.worker().apply_all(commands, close_transport(transport)).await?;
        Ok((local, states))
    }

    /// New credentials of the server's side hold from now on; the old pair stays in use until the client has nominated
    /// another.
    pub(crate) async fn restart_ice(&self, peer: &PeerHandle, transport: &str) -> Result<IceParameters, Error> {
        let mut state = self.state().await;
        let transport = state.transport_of(peer, transport)?.id;
        let ice = draw_ice();
        self.worker().apply(Command::RestartIce { transport, ice: ice.clone() }).await?;
        Ok(ice)
    }
}
