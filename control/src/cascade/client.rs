//! Requests to another machine, and its answers.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use hyper::{Request, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::messages::{End, Found, Open, Opened, Renew, Renewed, Wanted};
use crate::outbound::{self, AGENT, sentence};

/// From the first byte of a request to the last of its answer. The answer to a renewal may be held back for less.
const ANSWER_LIMIT: Duration = Duration::from_secs(4);
/// Longest answer.
const ANSWER_BYTES: usize = 4 << 20;

/// Most that is told of the sentence of a refusal.
const SAID_CHARS: usize = 200;

/// Why something was not answered as asked: a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failure(String);

/// Asks one machine.
pub(super) struct Client {
    client: outbound::Client,
    /// What its URLs begin with.
    base: String,
    token: String,
}

impl std::fmt::Debug for Client {
    /// Tokens are not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(client: outbound::Client, url: &str, token: &str) -> Self {
        Self { client, base: url.trim_end_matches('/').to_owned(), token: token.to_owned() }
    }

    /// Its address, for people.
    pub(super) fn machine(&self) -> &str {
        &self.base
    }

    /// Whether this is published there.
    pub(super) async fn look(&self, wanted: &Wanted) -> Result<bool, Failure> {
        self.ask("look", wanted).await.map(|Found { found }| found)
    }

    pub(super) async fn open(&self, open: &Open) -> Result<Opened, Failure> {
        self.ask("open", open).await
    }

    pub(super) async fn renew(&self, renew: &Renew) -> Result<Renewed, Failure> {
        self.ask("renew", renew).await
    }

    pub(super) async fn end(&self, pipe: &str) -> Result<(), Failure> {
        let end = End { pipe: pipe.to_owned() };
        self.ask::<serde_json::Value>("end", &end).await.map(drop)
    }

    async fn ask<T: DeserializeOwned>(&self, what: &str, body: &impl Serialize) -> Result<T, Failure> {
        let answer = tokio::time::timeout(ANSWER_LIMIT, self.post(what, body)).await;
        let late = |_| Failure(format!("no answer within {} s", ANSWER_LIMIT.as_secs()));
        let (status, answer) = answer.map_err(late)??;
        if !status.is_success() {
            let said = String::from_utf8_lossy(&answer);
            let said: String = said.trim().chars().take(SAID_CHARS).collect();
            return Err(Failure(format!("it answers {status}: {said:?}")));
        }
        serde_json::from_slice(&answer).map_err(|error| Failure(format!("its answer is not understood: {error}")))
    }

    async fn post(&self, what: &str, body: &impl Serialize) -> Result<(StatusCode, Bytes), Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure(error.to_string()))?;
        let request = Request::post(format!("{}/cascade/{what}", self.base))
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(USER_AGENT, AGENT)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failure(error.to_string()))?;
        let answer = self.client.request(request).await.map_err(|error| Failure(sentence(&error)))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        Ok((status, body.map_err(|error| Failure(error.to_string()))?.to_bytes()))
    }
}
