//! What requests to endpoints and to sessions share: the state of the routes, tokens, the session that a URL names.

use std::sync::Arc;

use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;

use super::sessions::{Endpoint, Entry, Session, Sessions};
use crate::http::{Answer, App, HttpError, RATE_RETRY_SECS, is_preflight};
use crate::ops::access::Wish;

pub(super) const SDP: &str = "application/sdp";
pub(super) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
pub(super) const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
/// URL of a session whose place the new one takes (after RFC 3891, which does the same for SIP).
pub(super) const REPLACES: HeaderName = HeaderName::from_static("replaces");
pub(super) const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// State of the routes of WHIP and WHEP.
#[derive(Clone, Debug)]
pub(super) struct WhipWhep {
    pub(super) app: Arc<App>,
    pub(super) sessions: Arc<Sessions>,
}

/// Text that goes into a header.
pub(super) fn header_value(text: &str) -> Result<HeaderValue, HttpError> {
    let wrong = |_| HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, "an answer has no header");
    HeaderValue::from_str(text).map_err(wrong)
}

/// Whether the token of a request may go on with a session of this endpoint and room. A client that tries one after the
/// other is slowed down.
pub(super) fn authorize_to_go_on(
    app: &App,
    (endpoint, room): (Endpoint, &str),
    (headers, extensions): (&HeaderMap, &Extensions),
    token: Option<&str>,
) -> Result<(), HttpError> {
    Wish::new(endpoint.grant(), Some(room), headers).with_token(token).to_go_on().admit(app, extensions)
}

/// 404: the session has ended, or never was.
pub(super) fn unknown() -> HttpError {
    HttpError::new(StatusCode::NOT_FOUND, "there is no such session")
}

/// The session that a request is about. A client that asks for one that does not exist may be guessing, and is slowed
/// down.
pub(super) fn session(
    at: &WhipWhep,
    endpoint: Endpoint,
    (room, secret): &(String, String),
    (headers, extensions): (&HeaderMap, &Extensions),
    token: Option<&str>,
) -> Result<Arc<Session>, HttpError> {
    authorize_to_go_on(&at.app, (endpoint, room), (headers, extensions), token)?;
    match at.sessions.entry(endpoint, room, secret) {
        Some(Entry::Open(session)) => return Ok(session),
        Some(Entry::Ended { told, .. }) => {
            return Err(HttpError::new(StatusCode::NOT_FOUND, format!("the session has ended: {told}")));
        }
        None => {}
    }
    at.app.admit_guess(extensions, "requests for sessions that do not exist")?;
    Err(unknown())
}

/// Whether a session may be changed, or asked about, once more just now.
pub(super) fn may_ask(session: &Session) -> Result<(), HttpError> {
    if session.may_ask() {
        return Ok(());
    }
    let sentence = "too many requests for this session; slow down";
    Err(HttpError::new(StatusCode::TOO_MANY_REQUESTS, sentence).retry_about(RATE_RETRY_SECS))
}

/// The answer to `OPTIONS`, which asks for no token.
pub(super) fn options(
    app: &App,
    (endpoint, room): (Endpoint, &str),
    headers: &HeaderMap,
    accept: (HeaderName, &'static str),
    allow: &'static str,
) -> Answer {
    let mut response = StatusCode::OK.into_response();
    let ours = response.headers_mut();
    ours.insert(header::ALLOW, HeaderValue::from_static(allow));
    ours.insert(accept.0, HeaderValue::from_static(accept.1));
    // Credentials of ICE servers are for clients that the endpoint lets in, and a preflight is asked by anyone.
    if !is_preflight(headers) && Wish::new(endpoint.grant(), Some(room), headers).check(&app.config()).is_ok() {
        for server in &app.config().rtc.ice_servers {
            ours.append(header::LINK, header_value(&server.link())?);
        }
    }
    Ok(response)
}
