//! What URLs in settings have to be. The URL itself may be a secret, so no fault tells it.

use hyper::Uri;

/// Longest URL, key or secret in settings, in bytes.
pub(super) const MAX_BYTES: usize = 1_024;

/// What is wrong with a URL, if anything is; `user` says why it must have no user and password.
pub(super) fn fault(url: &str, user: &'static str) -> Option<&'static str> {
    parse(url, user).err()
}

/// The same of a URL to which paths are added, so that it has no query.
pub(super) fn fault_of_base(url: &str, user: &'static str) -> Option<&'static str> {
    match parse(url, user) {
        Ok(uri) => uri.query().map(|_| "must not have a query"),
        Err(fault) => Some(fault),
    }
}

fn parse(url: &str, user: &'static str) -> Result<Uri, &'static str> {
    if url.len() > MAX_BYTES {
        return Err("is longer than 1024 characters");
    }
    let uri = url.parse::<Uri>().map_err(|_| "is no URL")?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(at)) if at.as_str().contains('@') => Err(user),
        (Some("http" | "https"), Some(at)) if !at.host().is_empty() => Ok(uri),
        _ => Err("must begin with http:// or https:// and a host"),
    }
}
