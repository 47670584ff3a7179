//! ICE credentials of WebRTC transports: they are made with some, and are given others to restart.

use std::time::Duration;

use corecast_wire::{IceParameters, Record, RouterId, TransportId, WebRtcTransportOptions};

use super::Worker;
use super::connect::{NOWHERE, WebRtcServer};
use super::refused::{Applied, exists, invalid, limit, not_found};
use crate::transport::{Transport, WebRtc};

impl Worker {
    pub(crate) fn create_webrtc_transport(
        &mut self,
        router: RouterId,
        id: TransportId,
        options: &WebRtcTransportOptions,
    ) -> Applied {
        limit(self.transports.len(), self.config.maxima.transports, "transports on a worker")?;
        if self.transport_by_id.contains_key(&id) {
            return Err(exists("transport", id.0));
        }
        let server = self.webrtc.as_mut().ok_or_else(|| invalid("webRtc", "is not configured on this worker"))?;
        let siblings = self.routers.get_mut(&router).ok_or_else(|| not_found("router", router.0))?;
        check_credentials(server, &options.ice)?;
        let asked = options.consent_timeout_ms.map(|ms| Duration::from_millis(ms.into()));
        let consent_timeout =
            Some(asked.unwrap_or_else(|| server.consent_timeout())).filter(|timeout| !timeout.is_zero());
        let webrtc = WebRtc::new(&options.ice, consent_timeout);
        let mut transport = Transport::new(id, router, options.rtcp_ssrc, NOWHERE)
            .webrtc_with(webrtc, options.max_incoming_bitrate_bps)
            .with_sctp(options.sctp)
            .with_outgoing(&options.outgoing);
        transport.keep(&mut self.words);
        let key = self.transports.insert(transport);
        siblings.push(key);
        self.transport_by_id.insert(id, key);
        server.fragments_mut().insert(options.ice.username_fragment.clone(), key);
        Ok(())
    }

    pub(crate) fn restart_ice(&mut self, id: TransportId, ice: &IceParameters) -> Applied {
        let key = self.transport_key(id)?;
        let webrtc = self.transports.get_mut(key).and_then(Transport::webrtc_mut);
        let (Some(server), Some(webrtc)) = (self.webrtc.as_mut(), webrtc) else {
            return Err(invalid("transportId", "is not a WebRTC transport"));
        };
        check_credentials(server, ice)?;
        let current = webrtc.ice().fragments().next().map(str::to_owned);
        let forgotten = webrtc.ice_mut().restart(ice);
        if let Some(forgotten) = &forgotten {
            server.fragments_mut().remove(forgotten);
        }
        server.fragments_mut().insert(ice.username_fragment.clone(), key);
        if forgotten.is_some() && forgotten != current {
            self.push_record(Record::IceRestarted { transport: id });
        }
        Ok(())
    }
}

/// RFC 8839 section 5.4: 4 to 256 ice-chars of user fragment (here at most 32), 22 to 256 of password.
fn check_credentials(server: &mut WebRtcServer, ice: &IceParameters) -> Applied {
    let is_ice_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let is_lawful =
        |text: &str, lens: std::ops::RangeInclusive<usize>| lens.contains(&text.len()) && text.bytes().all(is_ice_char);
    if !is_lawful(&ice.username_fragment, 4..=32) {
        return Err(invalid("iceParameters.usernameFragment", "must be 4 to 32 ice-chars"));
    }
    if !is_lawful(&ice.password, 22..=256) {
        return Err(invalid("iceParameters.password", "must be 22 to 256 ice-chars"));
    }
    if server.fragments_mut().contains_key(&ice.username_fragment) {
        return Err(invalid("iceParameters.usernameFragment", "is another transport's"));
    }
    Ok(())
}
