//! `/whip/…` and `/whep/…`: publishing by WHIP (RFC 9725), watching by WHEP (draft-ietf-wish-whep).
//!
//! Nothing is made before a request has been read and checked. Order of the checks: rate, token, media type, length,
//! description, then the room.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::oneshot;

use super::layers;
use crate::ops::access as tokens;
use crate::rooms::{ApiError, Publishing, Viewing, check_name, no_stream, path_segment};
use crate::sdp::parse_fragment;
use crate::server::App;
use crate::signaling::complete;
use crate::signaling::http::origins;
use crate::signaling::http::rates::{Rates, TooMany};
use crate::signaling::whip_whep::sessions::{Door, IfMatch, Opened, Patched, Session};

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// After too many new sessions, or guesses.
const RATE_RETRY_SECS: u32 = 1;
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
pub(crate) const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

pub(crate) type AppState = State<Arc<App>>;
pub(crate) type Answer = Result<Response, ApiError>;

#[derive(Debug, Deserialize)]
pub(crate) struct PublishQuery {
    /// What others call the publisher.
    peer: Option<String>,
    /// What people call it.
    name: Option<String>,
}

/// Who asks. A request that came without an address shares one bucket with all others of that sort.
pub(crate) fn source(extensions: &Extensions) -> IpAddr {
    extensions.get::<ConnectInfo<SocketAddr>>().map_or_else(|| Ipv4Addr::UNSPECIFIED.into(), |info| info.0.ip())
}

pub(crate) fn within(rates: &Rates, source: IpAddr, what: &str) -> Result<(), ApiError> {
    let (status, sentence) = match rates.take(source, Instant::now()) {
        Ok(()) => return Ok(()),
        Err(TooMany::OfOne) => (StatusCode::TOO_MANY_REQUESTS, format!("too many {what} from your address; slow down")),
        Err(TooMany::OfAll) => (StatusCode::SERVICE_UNAVAILABLE, format!("too many {what} just now; try again")),
    };
    Err(ApiError::new(status, sentence).retry_after(RATE_RETRY_SECS))
}

/// Whether the token of a request opens this door. Who tries one after the other is slowed down.
fn authorize(
    app: &App,
    door: Door,
    (headers, extensions): (&HeaderMap, &Extensions),
    token: Option<&str>,
) -> Result<(), ApiError> {
    tokens::check(&app.config, door, headers, token).or_else(|refused| {
        within(&app.guess_rates, source(extensions), "requests without a right token")?;
        Err(refused)
    })
}

/// The media type, without parameters (RFC 9110 section 8.3.1).
pub(crate) fn check_type(headers: &HeaderMap, wanted: &str) -> Result<(), ApiError> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("Content-Type: must be {wanted}")))
}

/// The body as text.
pub(crate) async fn text(app: &App, body: Body) -> Result<String, ApiError> {
    let max = app.config.limits.sdp_bytes;
    let too_long = |_| ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("body: at most {max} bytes"));
    let bytes = axum::body::to_bytes(body, max).await.map_err(too_long)?;
    String::from_utf8(bytes.into()).map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "body: is not UTF-8 text"))
}

fn header(text: &str) -> Result<HeaderValue, ApiError> {
    let wrong = |_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "an answer has no header");
    HeaderValue::from_str(text).map_err(wrong)
}

/// A description that asks for a session, when all checks that need no room have passed.
async fn offer(app: &App, door: Door, request: Request) -> Result<String, ApiError> {
    let (parts, body) = request.into_parts();
    within(&app.session_rates, source(&parts.extensions), "new sessions")?;
    authorize(app, door, (&parts.headers, &parts.extensions), None)?;
    check_type(&parts.headers, SDP)?;
    text(app, body).await
}

/// Does it to its end even if whoever asked hangs up; but what it has made then does not stay.
async fn open(work: impl Future<Output = Result<Opened, ApiError>> + Send + 'static) -> Result<Opened, ApiError> {
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        if let Err(Ok(opened)) = tell.send(work.await)
            && let Err(error) = opened.session.end("its client hung up").await
        {
            tracing::warn!("{error}");
        }
    });
    told.await.unwrap_or_else(|_| Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "the request was lost")))
}

/// 201 with everything that a client needs (RFC 9725 section 4.2).
fn created(app: &App, opened: Opened, links: &[String]) -> Answer {
    let mut response = (StatusCode::CREATED, opened.answer).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.insert(header::LOCATION, header(&opened.location)?);
    headers.insert(header::ETAG, header(&opened.etag)?);
    headers.insert(ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT));
    let servers: Vec<_> = app.config.rtc.ice_servers.iter().map(crate::settings::IceServer::link).collect();
    for link in links.iter().chain(&servers) {
        headers.append(header::LINK, header(link)?);
    }
    Ok(response)
}

/// `POST /whip/{room}`.
pub(crate) async fn publish(
    State(app): AppState,
    Path(room): Path<String>,
    Query(query): Query<PublishQuery>,
    request: Request,
) -> Answer {
    let offer = offer(&app, Door::Whip, request).await?;
    check_name("roomId", &room)?;
    let publishing = Publishing::read(query.peer, query.name, &offer)?;
    let working = Arc::clone(&app);
    let opened = open(async move {
        let room = working.rooms.get_or_create(&room).await?;
        let made = room.publish(publishing).await?;
        Ok(working.sessions.open(Door::Whip, room, made))
    });
    let opened = opened.await?;
    let room = path_segment(opened.session.room_id());
    let watch = format!("</whep/{room}/{}>; rel=\"alternate\"", path_segment(&opened.peer));
    created(&app, opened, &[watch])
}

async fn view(app: Arc<App>, room: String, peer: Option<String>, request: Request) -> Answer {
    let offer = offer(&app, Door::Whep, request).await?;
    check_name("roomId", &room)?;
    peer.as_deref().map_or(Ok(()), |peer| check_name("peer", peer))?;
    let viewing = Viewing::read(&offer)?;
    let working = Arc::clone(&app);
    let opened = open(async move {
        // A room that is not there is one where nobody publishes yet; asking does not make it.
        let found = working.rooms.get(&room).await.map_err(|_| no_stream(&room, peer.as_deref()))?;
        let made = found.view(peer.as_deref(), viewing).await?;
        Ok(working.sessions.open(Door::Whep, found, made))
    });
    let opened = opened.await?;
    let links = if opened.has_layers { layers::links(&opened.location).to_vec() } else { Vec::new() };
    created(&app, opened, &links)
}

/// `POST /whep/{room}`: whoever has been publishing longest.
pub(crate) async fn view_room(State(app): AppState, Path(room): Path<String>, request: Request) -> Answer {
    view(app, room, None, request).await
}

/// `POST /whep/{room}/{peer}`.
pub(crate) async fn view_peer(
    State(app): AppState,
    Path((room, peer)): Path<(String, String)>,
    request: Request,
) -> Answer {
    view(app, room, Some(peer), request).await
}

/// There is nothing to be seen at a door or a session (RFC 9725 section 4.1: success without content).
pub(crate) async fn nothing() -> StatusCode {
    StatusCode::NO_CONTENT
}

fn options(app: &App, door: Door, headers: &HeaderMap, accept: (HeaderName, &'static str), allow: &str) -> Answer {
    let mut response = StatusCode::OK.into_response();
    let ours = response.headers_mut();
    ours.insert(header::ALLOW, header(allow)?);
    ours.insert(accept.0, HeaderValue::from_static(accept.1));
    // Credentials of ICE servers are for those whom the door lets in, and a preflight is asked by anyone.
    if !origins::is_preflight(headers) && tokens::check(&app.config, door, headers, None).is_ok() {
        for server in &app.config.rtc.ice_servers {
            ours.append(header::LINK, header(&server.link())?);
        }
    }
    Ok(response)
}

const DOOR_METHODS: &str = "GET, HEAD, POST, OPTIONS";
const SESSION_METHODS: &str = "GET, HEAD, PATCH, DELETE, OPTIONS";

macro_rules! of_each_door {
    ($($options:ident, $session_options:ident, $look:ident, $patch:ident, $end:ident: $door:expr;)*) => {$(
        /// `OPTIONS` of the door. Asks for no token.
        pub(crate) async fn $options(State(app): AppState, headers: HeaderMap) -> Answer {
            options(&app, $door, &headers, (ACCEPT_POST, SDP), DOOR_METHODS)
        }
        /// `OPTIONS` of a session, whether or not there is one. Asks for no token.
        pub(crate) async fn $session_options(State(app): AppState, headers: HeaderMap) -> Answer {
            options(&app, $door, &headers, (ACCEPT_PATCH, FRAGMENT), SESSION_METHODS)
        }
        /// `GET` of a session.
        pub(crate) async fn $look(
            State(app): AppState,
            Path(path): Path<(String, String)>,
            request: Request,
        ) -> Answer {
            let asks = (request.headers(), request.extensions());
            session(&app, $door, &path, asks, None).map(|_| StatusCode::NO_CONTENT.into_response())
        }
        /// `PATCH` of a session.
        pub(crate) async fn $patch(
            State(app): AppState,
            Path(path): Path<(String, String)>,
            request: Request,
        ) -> Answer {
            patch(app, $door, &path, request).await
        }
        /// `DELETE` of a session.
        pub(crate) async fn $end(State(app): AppState, Path(path): Path<(String, String)>, request: Request) -> Answer {
            let asks = (request.headers(), request.extensions());
            let session = session(&app, $door, &path, asks, None)?;
            end(session).await
        }
    )*};
}

of_each_door! {
    whip_options, whip_session_options, whip_look, whip_patch, whip_end: Door::Whip;
    whep_options, whep_session_options, whep_look, whep_patch, whep_end: Door::Whep;
}

fn unknown() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "there is no such session (any more)")
}

/// The session that a request is about. Who asks for one that does not exist may be guessing, and is slowed down.
pub(crate) fn session(
    app: &App,
    door: Door,
    (room, secret): &(String, String),
    (headers, extensions): (&HeaderMap, &Extensions),
    token: Option<&str>,
) -> Result<Arc<Session>, ApiError> {
    authorize(app, door, (headers, extensions), token)?;
    if let Some(session) = app.sessions.get(door, room, secret) {
        return Ok(session);
    }
    within(&app.guess_rates, source(extensions), "requests for sessions that do not exist")?;
    Err(unknown())
}

/// Whether a session may be changed, or asked about, once more just now.
pub(crate) fn may_ask(session: &Session) -> Result<(), ApiError> {
    if session.may_ask() {
        return Ok(());
    }
    let sentence = "too many requests for this session; slow down";
    Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, sentence).retry_after(RATE_RETRY_SECS))
}

async fn patch(app: Arc<App>, door: Door, path: &(String, String), request: Request) -> Answer {
    let session = session(&app, door, path, (request.headers(), request.extensions()), None)?;
    may_ask(&session)?;
    let (parts, body) = request.into_parts();
    check_type(&parts.headers, FRAGMENT)?;
    let fragment = parse_fragment(&text(&app, body).await?)?;
    let if_match = if_match(&parts.headers)?;
    Ok(match complete(async move { session.patch(&if_match, &fragment).await }).await? {
        // Without an ETag: it has not changed (RFC 9725 section 4.3.2).
        Patched::Trickled => StatusCode::NO_CONTENT.into_response(),
        Patched::Restarted { etag, fragment } => {
            let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(FRAGMENT)), (header::ETAG, header(&etag)?)];
            (StatusCode::OK, headers, fragment).into_response()
        }
    })
}

/// Every `If-Match` line (RFC 9110 section 13.1.1).
fn if_match(headers: &HeaderMap) -> Result<IfMatch, ApiError> {
    let mut tags = Vec::new();
    for line in headers.get_all(header::IF_MATCH) {
        let line = line.to_str().map_err(|_| ApiError::field("If-Match", "is not text"))?;
        // Ours have no comma inside, so that a part of another's tag can equal none of ours.
        tags.extend(line.split(',').map(|tag| tag.trim().to_owned()));
    }
    Ok(match tags.as_slice() {
        [] => IfMatch::Absent,
        [any] if any == "*" => IfMatch::Any,
        _ => IfMatch::Tags(tags),
    })
}

async fn end(session: Arc<Session>) -> Answer {
    match complete(async move { session.end("its client asked for it").await }).await? {
        true => Ok(StatusCode::OK.into_response()),
        false => Err(unknown()),
    }
}
