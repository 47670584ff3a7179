//! Files of pages, embedded into the program, and how they are sent. Nothing is loaded from elsewhere, and the policy
//! that goes with them (Content Security Policy Level 3) lets nothing else be loaded. Files are named by each other
//! without a version, so a browser asks each time whether its copy still is the one (RFC 9110 section 13.1.2).

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Own files only, no inline code, and no page may frame it. Media elements play streams, which are no sources.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of a page.
#[derive(Debug)]
pub(crate) struct File {
    name: &'static str,
    bytes: &'static [u8],
    /// What its page may do in a browser (Permissions Policy).
    permissions: &'static str,
    tag: String,
}

impl File {
    /// A file by its name, whose ending says what it is.
    pub(crate) fn new(name: &'static str, bytes: &'static [u8], permissions: &'static str) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Self { name, bytes, permissions, tag: format!("\"{:016x}\"", hasher.finish()) }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    fn content_type(&self) -> &'static str {
        match self.name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "application/octet-stream",
        }
    }

    /// The file, or that the browser's copy still is the one.
    pub(crate) fn answer(&self, asked: &HeaderMap) -> Response {
        let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
        let is_known =
            known.flat_map(|tags| tags.split(',')).any(|tag| tag.trim().trim_start_matches("W/") == self.tag);
        let mut response = match is_known {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => ([(header::CONTENT_TYPE, self.content_type())], self.bytes).into_response(),
        };
        let fixed: [(HeaderName, &'static str); 6] = [
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (HeaderName::from_static("permissions-policy"), self.permissions),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            // The name of a room is in the address.
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        for (name, value) in fixed {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        if let Ok(tag) = HeaderValue::from_str(&self.tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}
