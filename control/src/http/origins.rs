//! Web pages of other origins: which may use the API, and what their browsers must be told (CORS, the Fetch standard).

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::error::HttpError;
use crate::config::Config;
use crate::connections::Scheme;
use crate::settings::Grant;

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
const REQUEST_HEADERS: &str = "Authorization, Content-Type, If-Match, Replaces";
const RESPONSE_HEADERS: &str = "Location, Link, ETag, Accept-Patch, Accept-Post, WWW-Authenticate, Retry-After";
/// How long a browser need not ask again.
const MAX_AGE_SECS: u32 = 7_200;

/// What a page of another origin may do.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Access {
    /// The request comes from a page of the server, or from no page at all.
    Own,
    /// The page's origin is configured.
    Named(HeaderValue),
    /// Any page may: a token says which client may.
    Anyone,
    /// Nothing.
    None(String),
    /// Nothing: the page came by this host name, which may be a foreign one that was made to point here.
    NoneBy(String),
}

/// A web page of another origin may not use the API, unless it is named. Programs send no Origin and are not asked for
/// one.
pub(super) async fn check(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let scheme = request.extensions().get().copied().unwrap_or(Scheme::Http);
    let access = access(&app.config(), request.headers(), scheme, (request.method(), request.uri().path()));
    if let Access::None(origin) = access {
        if app.refused_origins().is_new(&origin) {
            let cure = "if people call this server by that, or the page is yours, add it to http.origins";
            tracing::warn!("requests by pages of {origin:?} are refused: {cure}");
        }
        let sentence = format!("Origin: {origin:?} may not use this API (http.origins)");
        return HttpError::new(StatusCode::FORBIDDEN, sentence).because("origin").into_response();
    }
    if let Access::NoneBy(host) = access {
        if app.refused_origins().is_new(&host) {
            let cure = "if people call this server by that, add http://HOST to http.origins, or use https or a token";
            tracing::warn!("reads by the host name {host:?} are refused: {cure}");
        }
        let sentence = format!("Host: {host:?} is not known to be this server's (http.origins)");
        return HttpError::new(StatusCode::FORBIDDEN, sentence).because("host").into_response();
    }
    let asks = request.method() == Method::OPTIONS && is_preflight(request.headers());
    let mut response = next.run(request).await;
    let allowed = match access {
        Access::Named(origin) => {
            response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
            origin
        }
        Access::Anyone => HeaderValue::from_static("*"),
        Access::Own | Access::None(_) | Access::NoneBy(_) => return response,
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(RESPONSE_HEADERS));
    if asks {
        let text = |name: HeaderName, text: &'static str| (name, HeaderValue::from_static(text));
        headers.extend([
            text(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            text(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(MAX_AGE_SECS)),
        ]);
        // A path that knows no OPTIONS is preflighted all the same; a browser wants a status that is ok.
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            *response.status_mut() = StatusCode::NO_CONTENT;
            *response.body_mut() = axum::body::Body::empty();
        }
    }
    response
}

/// Whether a request is for a WebSocket (RFC 6455 section 4.1).
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    let upgrades = headers.get_all(header::UPGRADE).iter().filter_map(|line| line.to_str().ok());
    upgrades.flat_map(|line| line.split(',')).any(|name| name.trim().eq_ignore_ascii_case("websocket"))
}

/// The pages and their files, which anybody may have. Browsers name an origin when they load modules.
fn is_page(method: &Method, path: &str) -> bool {
    let is_file = ["/assets/", "/dashboard/assets/"].iter().any(|folder| path.starts_with(folder));
    matches!(*method, Method::GET | Method::HEAD) && (is_file || ["/", "/dashboard", "/status"].contains(&path))
}

/// Whether a browser asks before the real request; it sends no credentials with this one.
pub(crate) fn is_preflight(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn access(config: &Config, headers: &HeaderMap, scheme: Scheme, (method, path): (&Method, &str)) -> Access {
    let is_socket = is_upgrade(headers);
    if is_page(method, path) && !is_socket {
        return Access::Own;
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        let host = host(headers);
        let is_read = matches!(*method, Method::GET | Method::HEAD) && path != "/health";
        let is_known = scheme == Scheme::Https || is_literal(host) || is_named(config, host);
        return match is_read && !is_known && !is_guarded(config, path) {
            true => Access::NoneBy(host.to_owned()),
            false => Access::Own,
        };
    };
    let text = origin.to_str().unwrap_or("(unreadable)");
    if is_ours(text, headers, scheme) || (is_socket && is_on_our_host(text, headers, scheme)) {
        return Access::Own;
    }
    if config.http.origins.iter().any(|named| named.trim_end_matches('/') == text) {
        return Access::Named(origin.clone());
    }
    if is_guarded(config, path) { Access::Anyone } else { Access::None(text.to_owned()) }
}

/// Whether the path asks for a token. Without one the network keeps strangers out, and a page that somebody inside
/// opens would let them in.
fn is_guarded(config: &Config, path: &str) -> bool {
    let grant = match path.split('/').nth(1) {
        // A WebSocket: without a token to publish by one may watch.
        Some("" | "protoo" | "whep") => Grant::Subscribe,
        Some("whip") => Grant::Publish,
        Some("rooms") if path.ends_with("/events") => Grant::Subscribe,
        Some("dashboard") if path.ends_with("/data") => Grant::Admin,
        Some("rooms" | "stats" | "metrics" | "events" | "log-filter" | "v1") => Grant::Admin,
        _ => return false,
    };
    !config.is_open(grant)
}

fn host(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

/// A host without its port.
fn without_port(host: &str) -> &str {
    host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name)
}

/// Whether an origin is one of this host, on whatever port: mediasoup-demo serves its application on one port and its
/// WebSocket on another. The same care is taken of names as below.
fn is_on_our_host(origin: &str, headers: &HeaderMap, scheme: Scheme) -> bool {
    let host = without_port(host(headers));
    let Some((of, named)) = origin.split_once("://") else { return false };
    let is_safe = is_literal(host) || (scheme == Scheme::Https && of == "https");
    !host.is_empty() && is_safe && without_port(named) == host
}

/// Whether a host, perhaps with a port, is one that no foreign page can have for its name: an IP address or localhost.
/// (Without any it is no browser that asks.)
fn is_literal(host: &str) -> bool {
    let name = without_port(host);
    let literal = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    literal || name == "localhost" || host.is_empty()
}

/// Whether a host is that of an origin in the settings.
fn is_named(config: &Config, host: &str) -> bool {
    let of = |origin: &String| origin.trim_end_matches('/').rsplit_once("://").is_some_and(|(_, named)| named == host);
    config.http.origins.iter().any(of)
}

/// Whether an origin is the server's own: it is the address that was called, and one that no foreign page can have for
/// a name, an IP address or localhost. (Another name may have been made to point here: DNS rebinding.) By https every
/// name that was called is the server's own: the browser has found it in the certificate.
fn is_ours(origin: &str, headers: &HeaderMap, scheme: Scheme) -> bool {
    let host = host(headers);
    if scheme == Scheme::Https {
        return origin.strip_prefix("https://") == Some(host);
    }
    is_literal(host) && origin.strip_prefix("http://") == Some(host)
}
