//! WHIP and WHEP as a client (RFC 9725 and the draft that follows it): the offer is posted, what comes back names a
//! session that can be changed and deleted.

use anyhow::{Context as _, ensure};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderMap, IF_MATCH, LINK, LOCATION};
use reqwest::{Method, StatusCode, Url};

use super::ice::Credentials;
use super::options::{JoinError, Options};
use super::sdp;
use crate::site::explained;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// A session at the server.
#[derive(Clone, Debug)]
pub struct Resource {
    /// None: the session was made by another signaling, and ends by it.
    client: Option<reqwest::Client>,
    token: Option<String>,
    /// Where it is.
    pub url: Url,
    /// Its entity tag, if it has one.
    pub etag: Option<String>,
    /// `Link` lines of the answer.
    pub links: Vec<String>,
}

/// What an HTTP request was answered, when it was not what was hoped for.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{status}: {body}")]
pub struct Refused {
    /// Status.
    pub status: StatusCode,
    /// Body: a sentence.
    pub body: String,
    /// Header.
    pub headers: HeaderMap,
}

impl JoinError {
    /// What the server said, if it has refused.
    #[must_use]
    pub fn refused(&self) -> Option<&Refused> {
        self.reason.downcast_ref()
    }
}

fn text(headers: &HeaderMap, name: &reqwest::header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Posts an offer; the session and the answer.
///
/// # Errors
/// Nobody answers; [`Refused`] for another status than 201.
pub async fn post(
    client: &reqwest::Client,
    url: &str,
    options: &Options,
    offer: String,
) -> anyhow::Result<(Resource, String)> {
    let mut request = client.post(url).header(CONTENT_TYPE, SDP).body(offer);
    if let Some(token) = &options.token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    if let Some(url) = &options.replaces {
        request = request.header("Replaces", url);
    }
    let response = request.send().await.map_err(explained).context("offer")?;
    let (status, headers, base) = (response.status(), response.headers().clone(), response.url().clone());
    let body = response.text().await.context("answer")?;
    if status != StatusCode::CREATED {
        return Err(Refused { status, body, headers }.into());
    }
    let location = text(&headers, &LOCATION).context("the answer has no Location")?;
    ensure!(text(&headers, &CONTENT_TYPE).as_deref() == Some(SDP), "the answer is not of type {SDP}");
    let resource = Resource {
        client: Some(client.clone()),
        token: options.token.clone(),
        url: base.join(&location).with_context(|| format!("Location: {location}"))?,
        etag: text(&headers, &ETAG),
        links: headers.get_all(LINK).iter().filter_map(|link| Some(link.to_str().ok()?.to_owned())).collect(),
    };
    Ok((resource, body))
}

impl Resource {
    /// A session that another signaling has made.
    pub(super) const fn elsewhere(url: Url) -> Self {
        Self { client: None, token: None, url, etag: None, links: Vec::new() }
    }

    fn request(&self, method: Method) -> anyhow::Result<reqwest::RequestBuilder> {
        let client = self.client.as_ref().context("this session was not made by WHIP or WHEP")?;
        let request = client.request(method, self.url.clone());
        Ok(match &self.token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        })
    }

    /// Deletes the session, if it is one of WHIP or WHEP.
    ///
    /// # Errors
    /// [`Refused`], or nobody answers.
    pub async fn delete(&self) -> anyhow::Result<()> {
        if self.client.is_none() {
            return Ok(());
        }
        let response = self.request(Method::DELETE)?.send().await.context("DELETE")?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.text().await.unwrap_or_default();
        if status.is_success() { Ok(()) } else { Err(Refused { status, body, headers }.into()) }
    }

    /// Changes it by a fragment of SDP (RFC 8840); the answer's body, empty for 204.
    ///
    /// # Errors
    /// [`Refused`], or nobody answers.
    pub async fn patch(&mut self, if_match: Option<&str>, fragment: String) -> anyhow::Result<String> {
        let mut request = self.request(Method::PATCH)?.header(CONTENT_TYPE, FRAGMENT).body(fragment);
        if let Some(tag) = if_match {
            request = request.header(IF_MATCH, tag);
        }
        let response = request.send().await.context("PATCH")?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.text().await.context("PATCH")?;
        if !status.is_success() {
            return Err(Refused { status, body, headers }.into());
        }
        self.etag = text(&headers, &ETAG).or_else(|| self.etag.take());
        Ok(body)
    }

    /// Asks for an ICE restart (RFC 9725 section 4.3.3); the server's new credentials.
    ///
    /// # Errors
    /// It refuses, or answers without credentials.
    pub async fn restart_ice(&mut self, ours: &Credentials) -> anyhow::Result<Credentials> {
        let Credentials { ufrag, password } = ours;
        let fragment = format!(
            "a=ice-options:ice2\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
             a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n"
        );
        let body = self.patch(Some("*"), fragment).await?;
        sdp::credentials(&body).context("the answer to the restart")
    }
}
