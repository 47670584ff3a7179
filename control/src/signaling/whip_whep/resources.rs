//! Sessions as resources: looked at, changed by PATCH, ended by DELETE.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;

use super::request::{
    ACCEPT_PATCH, FRAGMENT, WhipWhep, authorize_to_go_on, header_value, may_ask, options, session, unknown,
};
use super::sessions::{ASKED_FOR, Endpoint, IfMatch, Patched};
use crate::http::{Answer, HttpError, check_type, complete, text};
use crate::sdp::parse_fragment;

const METHODS: &str = "GET, HEAD, PATCH, DELETE, OPTIONS";

macro_rules! of_each_endpoint {
    ($($options:ident, $look:ident, $patch:ident, $end:ident: $endpoint:expr;)*) => {$(
        /// `OPTIONS` of a session, whether or not there is one.
        pub(super) async fn $options(
            State(at): State<WhipWhep>,
            Path((room, _)): Path<(String, String)>,
            headers: HeaderMap,
        ) -> Answer {
            options(&at.app, ($endpoint, &room), &headers, (ACCEPT_PATCH, FRAGMENT), METHODS)
        }
        /// `GET` of a session.
        pub(super) async fn $look(
            State(at): State<WhipWhep>,
            Path(path): Path<(String, String)>,
            request: Request,
        ) -> Answer {
            let asks = (request.headers(), request.extensions());
            session(&at, $endpoint, &path, asks, None).map(|_| StatusCode::NO_CONTENT.into_response())
        }
        /// `PATCH` of a session.
        pub(super) async fn $patch(
            State(at): State<WhipWhep>,
            Path(path): Path<(String, String)>,
            request: Request,
        ) -> Answer {
            patch(at, $endpoint, &path, request).await
        }
        /// `DELETE` of a session.
        pub(super) async fn $end(
            State(at): State<WhipWhep>,
            Path(path): Path<(String, String)>,
            request: Request,
        ) -> Answer {
            end(at, $endpoint, &path, request).await
        }
    )*};
}

of_each_endpoint! {
    whip_options, whip_look, whip_patch, whip_end: Endpoint::Whip;
    whep_options, whep_look, whep_patch, whep_end: Endpoint::Whep;
}

async fn patch(at: WhipWhep, endpoint: Endpoint, path: &(String, String), request: Request) -> Answer {
    let session = session(&at, endpoint, path, (request.headers(), request.extensions()), None)?;
    may_ask(&session)?;
    let (parts, body) = request.into_parts();
    check_type(&parts.headers, FRAGMENT)?;
    let fragment = parse_fragment(&text(at.app.config().limits.sdp_bytes, body).await?)?;
    let if_match = if_match(&parts.headers)?;
    Ok(match complete(async move { session.patch(&if_match, &fragment).await }).await? {
        // Without an ETag: it has not changed (RFC 9725 section 4.3.2).
        Patched::Trickled => StatusCode::NO_CONTENT.into_response(),
        Patched::Restarted { etag, fragment } => {
            let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(FRAGMENT));
            (StatusCode::OK, [content_type, (header::ETAG, header_value(&etag)?)], fragment).into_response()
        }
    })
}

/// Every `If-Match` line (RFC 9110 section 13.1.1).
fn if_match(headers: &HeaderMap) -> Result<IfMatch, HttpError> {
    let mut tags = Vec::new();
    for line in headers.get_all(header::IF_MATCH) {
        let line = line.to_str().map_err(|_| HttpError::field("If-Match", "is not text"))?;
        // Tags of the server have no comma inside, so that a part of another's tag can equal none of them.
        tags.extend(line.split(',').map(|tag| tag.trim().to_owned()));
    }
    Ok(match tags.as_slice() {
        [] => IfMatch::Absent,
        // In the examples of ICE restarts in RFC 9725 and WHEP's draft it stands in quotes, and clients copy them.
        [any] if any == "*" || any == "\"*\"" => IfMatch::Any,
        _ => IfMatch::Tags(tags),
    })
}

/// A client that has closed DTLS first has ended the session by that, and is not told that there is none.
async fn end(at: WhipWhep, endpoint: Endpoint, path: &(String, String), request: Request) -> Answer {
    let asks = (request.headers(), request.extensions());
    authorize_to_go_on(&at.app, (endpoint, &path.0), asks, None)?;
    if at.sessions.take_farewell(endpoint, &path.0, &path.1) {
        return Ok(StatusCode::OK.into_response());
    }
    let session = session(&at, endpoint, path, asks, None)?;
    match complete(async move { Ok(session.end(ASKED_FOR).await?) }).await? {
        true => Ok(StatusCode::OK.into_response()),
        false => Err(unknown()),
    }
}
