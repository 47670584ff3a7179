//! Proxies in front: who the client is, by which scheme and host it called, and below which path.
//!
//! What a request says of it is believed only if it comes from one of `http.trusted_proxies`: the addresses of
//! `Forwarded` (RFC 7239) or `X-Forwarded-For` are read from the nearest on, and the first that is no trusted proxy is
//! the client. From elsewhere such headers mean nothing. Everything behind this file sees the client.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::app::App;
use crate::connections::Scheme;
use crate::settings::{BasePath, Network};

/// Addresses of `Forwarded` and `X-Forwarded-For` that are read at most.
const MAX_HOPS: usize = 16;

/// One hop, as the proxy that took the request from it tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Hop {
    /// None for an unknown or a hidden one (RFC 7239 section 6).
    from: Option<IpAddr>,
    proto: Option<String>,
    host: Option<String>,
}

/// What is known of a client that came through trusted proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    client: Option<IpAddr>,
    scheme: Option<Scheme>,
    host: Option<HeaderValue>,
    prefix: BasePath,
}

/// Every line of a list, in the order in which the proxies appended to it.
fn list(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|part| part.trim().to_owned()).collect()
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`, each perhaps in quotes.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(IpAddr::to_canonical(&ip))
}

/// One element of `Forwarded`.
fn forwarded(element: &str) -> Hop {
    let mut hop = Hop::default();
    for pair in element.split(';') {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "for" => hop.from = address(value),
            "proto" => hop.proto = Some(value.to_ascii_lowercase()),
            "host" => hop.host = Some(value.to_owned()),
            _ => {}
        }
    }
    hop
}

/// The hops, the farthest first.
fn hops(headers: &HeaderMap) -> Vec<Hop> {
    let named = |name: &'static str| list(headers, &HeaderName::from_static(name));
    if headers.contains_key(header::FORWARDED) {
        return list(headers, &header::FORWARDED).iter().map(|element| forwarded(element)).collect();
    }
    let (from, protos, hosts) = (named("x-forwarded-for"), named("x-forwarded-proto"), named("x-forwarded-host"));
    // Some proxies append to every list, most set one value that holds for the whole way.
    let of = |values: &[String], index: usize| match values {
        _ if values.len() == from.len() => values.get(index).cloned(),
        _ => values.last().cloned(),
    };
    let hop = |(index, from): (usize, &String)| Hop {
        from: address(from),
        proto: of(&protos, index).map(|proto| proto.to_ascii_lowercase()),
        host: of(&hosts, index),
    };
    from.iter().enumerate().map(hop).collect()
}

/// What headers say of the client, where the connection is a trusted proxy's.
fn told(proxies: &[Network], headers: &HeaderMap) -> Told {
    let hops = hops(headers);
    let mut found = Hop::default();
    for hop in hops.into_iter().rev().take(MAX_HOPS) {
        // Who hides itself is behind the last one that is known.
        let Some(from) = hop.from else { break };
        found = hop;
        if !Network::is_any(proxies, from) {
            break;
        }
    }
    let scheme = found.proto.as_deref().and_then(|proto| match proto {
        "https" => Some(Scheme::Https),
        "http" => Some(Scheme::Http),
        _ => None,
    });
    let prefix = headers.get("x-forwarded-prefix").and_then(|prefix| prefix.to_str().ok());
    Told {
        client: found.from,
        scheme,
        host: found.host.and_then(|host| HeaderValue::from_str(&host).ok()),
        prefix: prefix.and_then(|prefix| prefix.parse().ok()).unwrap_or_default(),
    }
}

/// Tells the routes who the client is, takes the base path off, and puts it before what the client is told to call.
pub(super) async fn resolve(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let config = app.config();
    let http = &config.http;
    let mut base = http.base_path.clone();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    if peer.is_some_and(|peer| Network::is_any(&http.trusted_proxies, peer)) {
        let Told { client, scheme, host, prefix } = told(&http.trusted_proxies, request.headers());
        if let Some(client) = client {
            request.extensions_mut().insert(ConnectInfo(SocketAddr::new(client, 0)));
        }
        if let Some(scheme) = scheme {
            request.extensions_mut().insert(scheme);
        }
        if let Some(host) = host {
            request.headers_mut().insert(header::HOST, host);
        }
        if !prefix.is_empty() {
            base = prefix;
        }
    } else {
        // Who may say what belongs to which trace may have everything recorded.
        request.headers_mut().remove("traceparent");
    }
    if request.uri().path() == base.as_str() && !base.is_empty() {
        // Without the slash the page would look for its files beside the path.
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let location = [(header::LOCATION, format!("{}/{query}", base.as_str()))];
        return (StatusCode::PERMANENT_REDIRECT, location).into_response();
    }
    if let Some(uri) = below(request.uri(), &base) {
        *request.uri_mut() = uri;
    }
    let mut response = next.run(request).await;
    if !base.is_empty() {
        extend(response.headers_mut(), &base);
    }
    response
}

/// The URI without the base path, if it has it. A proxy may have taken it off by itself.
fn below(uri: &Uri, base: &BasePath) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(base.as_str()).filter(|rest| rest.starts_with('/'))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(rest.parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

/// Paths of the server in `Location` and `Link` begin with the base path.
fn extend(headers: &mut HeaderMap, base: &BasePath) {
    for (name, open) in [(header::LOCATION, ""), (header::LINK, "<")] {
        let header::Entry::Occupied(mut values) = headers.entry(name) else { continue };
        for value in values.iter_mut() {
            let path =
                value.to_str().ok().and_then(|text| text.strip_prefix(open)).filter(|path| path.starts_with('/'));
            let longer = path.and_then(|path| HeaderValue::from_str(&format!("{open}{}{path}", base.as_str())).ok());
            if let Some(longer) = longer {
                *value = longer;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: [&str; 2] = ["forwarded", "x-forwarded-for"];

    fn read(lines: &[(&'static str, &str)]) -> Told {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).expect("text"));
        }
        let proxies = ["10.0.0.0/8", "2001:db8:a::/48"].map(|net| net.parse().expect("a network"));
        told(&proxies, &headers)
    }

    fn client(lines: &[(&'static str, &str)]) -> Option<String> {
        read(lines).client.map(|ip| ip.to_string())
    }

    #[test]
    fn the_nearest_address_that_is_no_trusted_proxy_is_the_client() {
        let [forwarded, list] = HEADERS;
        for (lines, expected) in [
            (vec![(list, "192.0.2.7")], Some("192.0.2.7")),
            // What the client says of itself stands farther away than what the proxies say of it.
            (vec![(list, "198.51.100.1, 192.0.2.7, 10.0.0.2")], Some("192.0.2.7")),
            (vec![(list, "198.51.100.1"), (list, "192.0.2.7,10.0.0.2")], Some("192.0.2.7")),
            (vec![(list, "10.0.0.3, 10.0.0.2")], Some("10.0.0.3")),
            (vec![(list, "2001:db8::7, ::ffff:10.0.0.2")], Some("2001:db8::7")),
            (vec![(list, "192.0.2.7:1234")], Some("192.0.2.7")),
            (vec![(list, "192.0.2.7, unknown, 10.0.0.2")], Some("10.0.0.2")),
            (vec![(list, "nonsense")], None),
            (vec![(list, "")], None),
            (vec![], None),
            (vec![(forwarded, "for=192.0.2.7;proto=https")], Some("192.0.2.7")),
            (vec![(forwarded, "For=\"[2001:db8::7]:4711\", for=10.0.0.2")], Some("2001:db8::7")),
            (vec![(forwarded, "for=198.51.100.1, for=_hidden, for=10.0.0.2")], Some("10.0.0.2")),
            // The standard's header counts where both are there.
            (vec![(forwarded, "for=192.0.2.7"), (list, "198.51.100.1")], Some("192.0.2.7")),
        ] {
            assert_eq!(client(&lines).as_deref(), expected, "{lines:?}");
        }
        let many = vec!["10.0.0.1"; 10_000].join(",");
        assert_eq!(client(&[(list, &format!("192.0.2.7,{many}"))]).as_deref(), Some("10.0.0.1"), "it is bounded");
    }

    #[test]
    fn scheme_host_and_prefix_are_those_of_the_clients_hop() {
        let [forwarded, list] = HEADERS;
        let told = read(&[
            (list, "192.0.2.7, 10.0.0.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "calls.example"),
            ("x-forwarded-prefix", "/sfu/"),
        ]);
        assert_eq!((told.scheme, told.host), (Some(Scheme::Https), Some(HeaderValue::from_static("calls.example"))));
        assert_eq!(told.prefix.as_str(), "/sfu");
        let each = read(&[(list, "192.0.2.7, 10.0.0.2"), ("x-forwarded-proto", "https, http")]);
        assert_eq!(each.scheme, Some(Scheme::Https));
        let standard =
            read(&[(forwarded, "for=192.0.2.7;proto=HTTPS;host=\"calls.example:8443\", for=10.0.0.2;proto=http")]);
        assert_eq!(standard.scheme, Some(Scheme::Https));
        assert_eq!(standard.host, Some(HeaderValue::from_static("calls.example:8443")));
        for wrong in ["sfu", "//elsewhere.example", "/a b", "/a>b", "/a/../b"] {
            assert!(read(&[(list, "192.0.2.7"), ("x-forwarded-prefix", wrong)]).prefix.is_empty(), "{wrong}");
        }
    }
}
