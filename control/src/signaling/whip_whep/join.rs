//! From an offer to a peer in a room to an answer.

use std::collections::HashSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::http::HttpError;
use crate::ortc::{Carrier, Kind, Produced, produce};
use crate::rooms::{
    self, Code, Credential, Error, Given, Joined, LocalParameters, NewPeer, PeerKind, ProducerInfo, RemoteParameters,
    Room, Wanted, draw_cname, draw_first_sequence, draw_ssrc,
};
use crate::sdp::{self, AnsweredSection, Bundle, Local, Offer, RemoteIce};
use crate::settings::Redundancy;
use crate::workers::ChannelEvents;

/// Characters of a name that the server draws.
const DRAWN_NAME_CHARS: usize = 12;

/// A peer that has joined by an offer, and what its client is answered.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) joined: Joined,
    /// What becomes of its data channels, if it has asked for any.
    pub(super) channels: Option<ChannelEvents>,
    /// Who publishes, or is watched.
    pub(super) peer: String,
    pub(super) answer: String,
    pub(super) local: Local,
    pub(super) remote: RemoteIce,
    pub(super) bundle: Bundle,
    /// What is sent in several encodings.
    pub(super) layered: Vec<LayeredSection>,
}

/// A section of pictures: a viewer's, or a publisher's that has several encodings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LayeredSection {
    /// Index of its `m=` line.
    pub(super) index: usize,
    /// Name of its consumer, or of a publisher's producer.
    #[serde(rename = "consumer")]
    pub(super) of: String,
}

/// A publisher's request, checked as far as it can be without the room: a wrong one makes no room.
#[derive(Debug)]
pub(super) struct Publishing {
    peer: String,
    display_name: String,
    offer: Offer,
    parts: Vec<(Kind, Produced)>,
    /// Indices of their `m=` lines.
    sections: Vec<usize>,
    answers: Vec<AnsweredSection>,
}

impl Publishing {
    /// Looks at an offer. Without a name of the peer one is drawn.
    pub(super) fn read(
        peer: Option<String>,
        name: Option<String>,
        (offer, redundancy): (Offer, Redundancy),
    ) -> Result<Self, HttpError> {
        let drawn = || Uuid::new_v4().simple().to_string().chars().take(DRAWN_NAME_CHARS).collect();
        let peer = peer.unwrap_or_else(drawn);
        rooms::check_name("peer", &peer)?;
        let display_name = name.unwrap_or_else(|| peer.clone());
        rooms::check_display_name("name", &display_name)?;
        if display_name.chars().any(char::is_control) {
            return Err(HttpError::field("name", "must not have control characters"));
        }
        let publications = sdp::publish(&offer, redundancy)?;
        let named = publications.iter().find_map(|publication| publication.parameters.rtcp.cname.clone());
        let cname = named.unwrap_or_else(draw_cname);
        let (mut parts, mut sections, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for publication in publications {
            let mut parameters = publication.parameters;
            // All of a transport have one: by it receivers know what belongs together (RFC 3550 section 6.5.1).
            parameters.rtcp.cname = Some(cname.clone());
            let ssrc = draw_ssrc(&HashSet::new());
            let produced = produce(publication.kind, parameters, Carrier::WebRtc, false, &cname, ssrc)
                .map_err(|error| Error::new(Code::Unacceptable, error.to_string()))?;
            parts.push((publication.kind, produced));
            sections.push(publication.section);
            answers.push(publication.answer);
        }
        Ok(Self { peer, display_name, offer, parts, sections, answers })
    }

    /// What others will call the publisher.
    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    /// The publisher joins a room.
    pub(super) async fn join(
        self,
        room: &Room,
        (credential, client): (Option<Credential>, IpAddr),
    ) -> Result<Answered, HttpError> {
        let Self { peer, display_name, offer, parts, sections, answers } = self;
        let have_several: Vec<_> = parts.iter().map(|(_, part)| part.options.encodings.len() > 1).collect();
        let new = NewPeer {
            name: peer.clone(),
            kind: PeerKind::Whip,
            display_name,
            app_data: json!({ "device": { "name": "WHIP" } }),
            rtp_capabilities: None,
            joined: false,
            credential,
            client,
        };
        let (joined, channels, names) =
            room.publish(new, parts, remote(&offer)).await.map_err(|error| match error.code() {
                Code::NameTaken => HttpError::from(Error::new(Code::NameTaken, format!("peer: {error}"))),
                _ => error.into(),
            })?;
        let sections = sections.into_iter().zip(names).zip(have_several).filter(|(_, several)| *several);
        let layered = sections.map(|((index, of), _)| LayeredSection { index, of }).collect();
        Ok(Answered::new((joined, channels), peer, offer, &answers, layered))
    }
}

/// A viewer's offer, checked as far as it can be without the room.
#[derive(Debug)]
pub(super) struct Viewing {
    offer: Offer,
}

impl Viewing {
    /// Looks at an offer.
    pub(super) fn read(offer: Offer) -> Result<Self, HttpError> {
        sdp::viewing(&offer)?;
        Ok(Self { offer })
    }

    /// The viewer joins a room: it watches this peer, or the one that has been publishing longest.
    pub(super) async fn join(
        self,
        room: &Room,
        peer: Option<&str>,
        (credential, client): (Option<Credential>, IpAddr),
    ) -> Result<Answered, HttpError> {
        let Self { offer } = self;
        let (watched, producers) = room.streams(peer).await?;
        let Negotiated { wanted, answers, sections } = negotiate(&offer, &watched, producers)?;
        let (joined, channels, given) = room.view(peer, &watched, wanted, (remote(&offer), credential, client)).await?;
        let layered =
            given.into_iter().filter(|one| one.is_layered).filter_map(|Given { consumer, producer, .. }| {
                let (index, _) = sections.iter().find(|(_, of)| *of == producer)?;
                Some(LayeredSection { index: *index, of: consumer })
            });
        let layered = layered.collect();
        Ok(Answered::new((joined, channels), watched, offer, &answers, layered))
    }
}

impl Answered {
    fn new(
        (joined, channels): (Joined, Option<ChannelEvents>),
        peer: String,
        offer: Offer,
        answers: &[AnsweredSection],
        layered: Vec<LayeredSection>,
    ) -> Self {
        let local = local(&joined.local);
        Self {
            answer: sdp::answer(&offer, &local, answers),
            bundle: Bundle::of(&offer, answers),
            remote: offer.ice,
            joined,
            channels,
            peer,
            local,
            layered,
        }
    }
}

fn remote(offer: &Offer) -> RemoteParameters {
    RemoteParameters { dtls: offer.dtls.clone(), sctp: offer.sctp() }
}

fn local(parameters: &LocalParameters) -> Local {
    Local {
        session_id: rand::random::<u64>() >> 1,
        ice: parameters.ice.clone(),
        fingerprints: vec![parameters.fingerprint.clone()],
        candidates: parameters.candidates.clone(),
    }
}

/// What a viewer's offer has room for.
struct Negotiated {
    wanted: Vec<Wanted>,
    answers: Vec<AnsweredSection>,
    /// Index of an `m=` line, and the name of the producer that it takes.
    sections: Vec<(usize, String)>,
}

/// Producers of a peer for the sections of an offer, in the order of both; no producer twice.
fn negotiate(offer: &Offer, watched: &str, mut producers: Vec<ProducerInfo>) -> Result<Negotiated, HttpError> {
    // A name of a peer may have characters that a description cannot hold, so its first producer's number stands for
    // it.
    let stream = producers.first().map_or_else(String::new, |first| format!("peer-{}", first.number));
    let mut ssrcs = HashSet::new();
    let mut negotiated = Negotiated { wanted: Vec::new(), answers: Vec::new(), sections: Vec::new() };
    for section in sdp::viewing(offer)? {
        let fits = producers.iter().position(|producer| sdp::can_consume(section, &producer.consumable));
        let Some(producer) = fits.map(|index| producers.remove(index)) else { continue };
        let ssrc = draw_ssrc(&ssrcs);
        ssrcs.extend([ssrc, ssrc + 1]);
        let request = sdp::ConsumeRequest {
            ssrc,
            rtx_ssrc: ssrc + 1,
            first_sequence: draw_first_sequence(),
            rtx_first_sequence: draw_first_sequence(),
            paused: false,
            stream: stream.clone(),
            track: producer.name.clone(),
        };
        let consumed = sdp::consume(section, &producer.consumable, &request).map_err(Error::from)?;
        negotiated.wanted.push(Wanted { producer: producer.name.clone(), options: consumed.options });
        negotiated.answers.push(consumed.answer);
        negotiated.sections.push((section.index, producer.name));
    }
    if negotiated.wanted.is_empty() {
        let sentence = format!("the offer has no codec in common with what {watched:?} publishes");
        return Err(Error::new(Code::Unacceptable, sentence).into());
    }
    Ok(negotiated)
}
