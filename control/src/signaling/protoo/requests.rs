//! What a client may ask, in both dialects: what the typed one sends as notifications is a request of the legacy one.

use serde_json::{Value, json};

use super::bodies::{
    ConnectBody, JoinBody, OfConsumer, OfDataConsumer, OfDataProducer, OfProducer, OfTransport, ProduceBody,
    ProduceDataBody, ResumeBody, TransportBody, read,
};
use super::dialect::Dialect;
use super::members::{peer_members, resumed_members};
use super::message::Refusal;
use super::session::Session;
use crate::ops::get_stats;
use crate::ortc::{router_capabilities, told_capabilities};
use crate::rooms::{NewProducer, Profile, Report, Resumed};
use crate::signaling::webrtc::{ice_parameters, sctp_options, transport};
use crate::spans;

type Answer = Result<Value, Refusal>;

fn done() -> Answer {
    Ok(json!({}))
}

impl Session {
    /// Does what a client asks.
    pub(super) async fn request(&mut self, method: &str, data: Value) -> Answer {
        match method {
            "getRtcStatsUrl" => {
                self.dialect = Dialect::Typed;
                done()
            }
            "getRouterRtpCapabilities" => Ok(capabilities(self.rights.red)),
            "createWebRtcTransport" => self.create_transport(read(data)?).await,
            "connectWebRtcTransport" => {
                let body: ConnectBody = read(data)?;
                let dtls = body.dtls_parameters.read()?;
                self.room.connect_webrtc(&self.peer, &body.transport_id, dtls).await?;
                done()
            }
            "restartIce" => {
                let OfTransport { transport_id } = read(data)?;
                let ice = json!(ice_parameters(&self.room.restart_ice(&self.peer, &transport_id).await?));
                let mut answer = ice.clone();
                answer["iceParameters"] = ice;
                Ok(answer)
            }
            "closeWebRtcTransport" => {
                self.close_transport(&read::<OfTransport>(data)?.transport_id).await?;
                done()
            }
            "join" => self.join(read(data)?).await,
            "resume" => self.resume(read(data)?).await,
            "produce" => self.produce(read(data)?).await,
            "produceData" => {
                if !self.rights.data {
                    return Err(Refusal::forbidden("this token does not let its client send data"));
                }
                let body: ProduceDataBody = read(data)?;
                let transport = body.transport_id.clone();
                let new = body.read(self.peer.name())?;
                let name = self.room.produce_data(&self.peer, &transport, new).await?;
                Ok(json!({ "id": name, "dataProducerId": name }))
            }
            "getTransportStats"
            | "getProducerStats"
            | "getConsumerStats"
            | "getDataProducerStats"
            | "getDataConsumerStats" => {
                let report = self.report(method, data).await?;
                let stats = get_stats(&report);
                Ok(if self.dialect == Dialect::Legacy { stats } else { json!({ "stats": stats }) })
            }
            "applyNetworkThrottle" | "resetNetworkThrottle" | "stopNetworkThrottle" => {
                Err(Refusal::forbidden("this server does not throttle its network"))
            }
            _ => {
                self.notified(method, data).await?;
                done()
            }
        }
    }

    async fn create_transport(&mut self, body: TransportBody) -> Answer {
        if body.direction().is_some() {
            self.dialect = Dialect::Typed;
        } else if body.producing.is_some() || body.consuming.is_some() {
            self.dialect = Dialect::Legacy;
        }
        let made =
            self.room.create_webrtc(&self.peer, body.has_sctp().then(sctp_options), body.receives_only()).await?;
        let [media_on, data_on] = &mut self.receives_on;
        if body.may_receive() {
            *data_on = Some(made.name.clone());
            if !body.carries_data_only() {
                *media_on = Some(made.name.clone());
            }
        }
        let config = self.app.config();
        let sctp = body.has_sctp().then_some(&config.sctp);
        Ok(json!(transport(&made, body.force_tcp.unwrap_or(false), sctp)))
    }

    async fn join(&mut self, mut body: JoinBody) -> Answer {
        let display_name = body.display_name(self.peer.name())?;
        let app_data = json!({ "device": body.device()? });
        let takes_media = body.rtp_capabilities.is_some();
        let has_sctp = body.sctp_capabilities.is_some_and(|given| !given.is_null());
        let profile = Profile { display_name, app_data, rtp_capabilities: body.rtp_capabilities };
        let span = spans::join(self.room.id(), self.peer.name(), "participant");
        let there = spans::within(span, self.room.join_as(&self.peer, profile)).await?;
        let secret = match body.resume {
            true => Some(self.room.let_resume(&self.peer).await?),
            false => None,
        };
        self.has_joined = true;
        self.keeps_place = body.resume;
        self.takes_media = takes_media;
        // The legacy client says whether it takes data, the typed one refuses what it does not take.
        self.takes_data = has_sctp || self.dialect != Dialect::Legacy;
        there.producers.into_iter().for_each(|producer| self.wish_media(producer));
        there.data_producers.into_iter().for_each(|data_producer| self.wish_data(data_producer));
        let mut answer = json!({ "peers": there.peers.iter().map(peer_members).collect::<Vec<_>>() });
        if let Some(secret) = secret {
            answer["resume"] = json!(secret);
        }
        Ok(answer)
    }

    /// The client goes on as the peer that it was. What happened before this is in the answer, and told no more.
    async fn resume(&mut self, body: ResumeBody) -> Answer {
        if !std::mem::replace(&mut self.may_resume, false) {
            return Err(Refusal::new("there is nothing to resume: the URL has no resume, or it has resumed already"));
        }
        let held = body.held();
        let caught_up = self.room.catch_up(&self.peer, &held, &self.events.absence()).await;
        let (events, resumed) = caught_up.inspect_err(|_| self.may_resume = true)?;
        let answer = resumed_members(&resumed);
        let Resumed { transports, missing, missing_data, takes_media, .. } = resumed;
        let [media_on, data_on] = held.receives_on;
        // Data channels do not outlive the server.
        let carries = |on: &String| transports.iter().any(|(name, has_sctp)| name == on && *has_sctp);
        self.receives_on = [media_on, data_on.filter(carries)];
        (self.has_joined, self.takes_media, self.takes_data) = (true, takes_media, true);
        self.goes_on_with(events);
        missing.into_iter().for_each(|producer| self.wish_media_once(producer));
        missing_data.into_iter().for_each(|data_producer| self.wish_data(data_producer));
        Ok(answer)
    }

    async fn close_transport(&mut self, name: &str) -> Result<(), Refusal> {
        self.room.close_webrtc(&self.peer, name).await?;
        let closed = |on: &Option<String>| on.as_deref() == Some(name);
        self.receives_on.iter_mut().filter(|on| closed(on)).for_each(|on| *on = None);
        Ok(())
    }

    async fn produce(&self, mut body: ProduceBody) -> Answer {
        if !self.rights.publish {
            return Err(Refusal::forbidden("this token is for watching alone"));
        }
        let app_data = Some(body.app_data(self.peer.name())?);
        let ProduceBody { transport_id, kind, rtp_parameters, paused, .. } = body;
        let new = NewProducer { kind, rtp_parameters, paused, app_data };
        let name = self.room.produce(&self.peer, &transport_id, new).await?;
        Ok(json!({ "id": name, "producerId": name }))
    }

    async fn report(&self, method: &str, data: Value) -> Result<Report, Refusal> {
        let (room, peer) = (&self.room, &self.peer);
        Ok(match method {
            "getTransportStats" => room.transport_report(peer, &read::<OfTransport>(data)?.transport_id).await?,
            "getProducerStats" => room.producer_report(peer, &read::<OfProducer>(data)?.producer_id).await?,
            "getConsumerStats" => room.consumer_report(peer, &read::<OfConsumer>(data)?.consumer_id).await?,
            "getDataProducerStats" => {
                room.data_producer_report(peer, &read::<OfDataProducer>(data)?.data_producer_id).await?
            }
            _ => room.data_consumer_report(peer, &read::<OfDataConsumer>(data)?.data_consumer_id).await?,
        })
    }
}

/// Bare for the legacy client, wrapped for the typed one. Redundant sound, which mediasoup's routers do not have, is
/// named to those alone who may be sent it.
fn capabilities(red: bool) -> Value {
    let capabilities = if red { router_capabilities() } else { told_capabilities() };
    json!({
        "routerRtpCapabilities": capabilities,
        "codecs": capabilities.codecs,
        "headerExtensions": capabilities.header_extensions,
    })
}
