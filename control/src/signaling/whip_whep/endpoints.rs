//! The endpoints: requests for a new session.
//!
//! Nothing is made before a request has been read and checked. Order of the checks: token, rate, media type, length,
//! description, then the room.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Path, Query, RawPathParams, Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use tokio::sync::oneshot;
use tracing::Instrument as _;
use utoipa::IntoParams;

use super::join::{Publishing, Viewing};
use super::layers;
use super::request::{ACCEPT_PATCH, ACCEPT_POST, FRAGMENT, REPLACES, SDP, WhipWhep, header_value, options};
use super::sessions::{CAME_AGAIN, CreatedSession, Endpoint, HUNG_UP, Session};
use super::wanted;
use crate::http::{Admitted, Answer, App, HttpError, aside, check_type, path_segment, source, text};
use crate::ops::access::{self, Wish};
use crate::rooms::{Credential, Error, check_name};
use crate::sdp::Offer;
use crate::settings::Grant;
use crate::spans;

#[derive(Debug, Deserialize, IntoParams)]
pub(in crate::signaling) struct PublishQuery {
    /// What others call the publisher; without it the server draws a name.
    #[param(nullable = false)]
    peer: Option<String>,
    /// What people call the publisher.
    #[param(nullable = false)]
    name: Option<String>,
}

/// A description that asks for a session, when all checks that need no room have passed.
struct Request {
    offer: String,
    admitted: Admitted,
    /// Its client may send messages on data channels.
    has_data: bool,
    /// What its client has shown.
    credential: Option<Credential>,
    client: IpAddr,
}

impl Request {
    async fn read(app: &App, endpoint: Endpoint, room: &str, request: HttpRequest) -> Result<Self, HttpError> {
        let (parts, body) = request.into_parts();
        let wish = |grant| Wish::new(grant, Some(room), &parts.headers);
        // First, so that strangers take nothing of what clients with a token may ask for: they are counted apart.
        wish(endpoint.grant()).admit(app, &parts.extensions)?;
        let admitted = app.admit_session(&parts.extensions)?;
        check_name("roomId", room)?;
        check_type(&parts.headers, SDP)?;
        let config = app.config();
        Ok(Self {
            offer: text(config.limits.sdp_bytes, body).await?,
            admitted,
            has_data: wish(Grant::Data).check(&config).is_ok(),
            credential: access::credential(&config, &parts.headers, None),
            client: source(&parts.extensions),
        })
    }

    /// What is offered, as far as its client may.
    fn parse(&self) -> Result<Offer, HttpError> {
        let offer = Offer::parse(&self.offer)?;
        Ok(if self.has_data { offer } else { offer.without_data()? })
    }
}

/// Runs to its end even if the client hangs up; but what has been made then does not stay.
async fn open(
    work: impl Future<Output = Result<CreatedSession, HttpError>> + Send + 'static,
) -> Result<CreatedSession, HttpError> {
    let (tell, told) = oneshot::channel();
    let work = async move {
        if let Err(Ok(opened)) = tell.send(work.await)
            && let Err(error) = opened.session.end(HUNG_UP).await
        {
            tracing::warn!("{error}");
        }
    };
    tokio::spawn(work.in_current_span());
    told.await.unwrap_or_else(|_| Err(HttpError::lost()))
}

/// 201 with everything that a client needs (RFC 9725 section 4.2).
fn created(app: &App, opened: CreatedSession, links: &[String]) -> Answer {
    let mut response = (StatusCode::CREATED, opened.answer).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.insert(header::LOCATION, header_value(&opened.location)?);
    headers.insert(header::ETAG, header_value(&opened.etag)?);
    headers.insert(ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT));
    let servers: Vec<_> = app.config().rtc.ice_servers.iter().map(crate::settings::IceServer::link).collect();
    for link in links.iter().chain(&servers) {
        headers.append(header::LINK, header_value(link)?);
    }
    Ok(response)
}

/// The session whose place a client wants, which only a client of that session can name. One that has ended has left
/// its place.
fn replaced(at: &WhipWhep, room: &str, headers: &HeaderMap) -> Option<Arc<Session>> {
    let url = headers.get(REPLACES)?.to_str().ok()?;
    let (_, secret) = url.trim().rsplit_once('/')?;
    at.sessions.get(Endpoint::Whip, room, secret)
}

/// `POST /whip/{room}`.
pub(super) async fn publish(
    State(at): State<WhipWhep>,
    Path(room): Path<String>,
    Query(query): Query<PublishQuery>,
    request: HttpRequest,
) -> Answer {
    let replaced = replaced(&at, &room, request.headers());
    let request = Request::read(&at.app, Endpoint::Whip, &room, request).await?;
    let redundancy = at.app.config().rooms.red;
    let peer = query.peer.or_else(|| replaced.as_ref().map(|session| session.peer_name().to_owned()));
    let (publishing, Request { admitted, credential, client, .. }) =
        aside(move || Ok((Publishing::read(peer, query.name, (request.parse()?, redundancy))?, request))).await?;
    let app = Arc::clone(&at.app);
    let opened = open(async move {
        let room = at.app.rooms().get_or_create(&room, client).await?;
        if let Some(session) = replaced {
            session.end(CAME_AGAIN).await?;
        }
        let span = spans::join(room.id(), publishing.peer(), "publisher");
        let joined = spans::within(span, publishing.join(&room, (credential, client))).await?;
        Ok(at.sessions.open(Endpoint::Whip, room, joined, admitted))
    });
    let opened = opened.await?;
    let room = path_segment(opened.session.room_id());
    let watch = format!("</whep/{room}/{}>; rel=\"alternate\"", path_segment(&opened.peer));
    let events = opened.has_layers.then(|| wanted::link(&opened.location));
    let links: Vec<_> = [watch].into_iter().chain(events).collect();
    created(&app, opened, &links)
}

async fn view(at: WhipWhep, room: String, peer: Option<String>, request: HttpRequest) -> Answer {
    let request = Request::read(&at.app, Endpoint::Whep, &room, request).await?;
    peer.as_deref().map_or(Ok(()), |peer| check_name("peer", peer))?;
    let (viewing, Request { admitted, credential, client, .. }) =
        aside(move || Ok((Viewing::read(request.parse()?)?, request))).await?;
    let app = Arc::clone(&at.app);
    let opened = open(async move {
        at.app.cascade().bring(&room, peer.as_deref(), client).await?;
        // A room that is not there is one where nobody publishes yet; asking does not make it.
        let found = at.app.rooms().get(&room).await.map_err(|_| Error::no_stream(&room, peer.as_deref()))?;
        let span = spans::join(found.id(), peer.as_deref().unwrap_or_default(), "viewer");
        let joined = spans::within(span, viewing.join(&found, peer.as_deref(), (credential, client))).await?;
        Ok(at.sessions.open(Endpoint::Whep, found, joined, admitted))
    });
    let opened = opened.await?;
    let links = layers::links(&opened.location, opened.has_layers);
    created(&app, opened, &links)
}

/// `POST /whep/{room}`: the peer that has been publishing longest.
pub(super) async fn view_room(State(at): State<WhipWhep>, Path(room): Path<String>, request: HttpRequest) -> Answer {
    view(at, room, None, request).await
}

/// `POST /whep/{room}/{peer}`.
pub(super) async fn view_peer(
    State(at): State<WhipWhep>,
    Path((room, peer)): Path<(String, String)>,
    request: HttpRequest,
) -> Answer {
    view(at, room, Some(peer), request).await
}

/// There is nothing to be seen at an endpoint (RFC 9725 section 4.1: success without content).
pub(super) async fn nothing() -> StatusCode {
    StatusCode::NO_CONTENT
}

const METHODS: &str = "GET, HEAD, POST, OPTIONS";

/// `OPTIONS /whip/{room}`.
pub(super) async fn whip_options(State(at): State<WhipWhep>, Path(room): Path<String>, headers: HeaderMap) -> Answer {
    options(&at.app, (Endpoint::Whip, &room), &headers, (ACCEPT_POST, SDP), METHODS)
}

/// `OPTIONS /whep/…`.
pub(super) async fn whep_options(State(at): State<WhipWhep>, path: RawPathParams, headers: HeaderMap) -> Answer {
    let room = path.iter().find(|(name, _)| *name == "room").map_or("", |(_, room)| room);
    options(&at.app, (Endpoint::Whep, room), &headers, (ACCEPT_POST, SDP), METHODS)
}
