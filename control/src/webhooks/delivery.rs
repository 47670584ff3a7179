//! One request of a webhook and its answer, over HTTP/1.1, with TLS by the system's roots (rustls).

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use tokio_rustls::rustls;

use super::signature::Signer;
use crate::lifecycle::Event;
use crate::outbound::{self, AGENT, sentence};
use crate::spans;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// From the request to the head of its answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// For the rest of an answer, which nobody reads: taken, the connection can be used again.
const REST_LIMIT: Duration = Duration::from_secs(1);
const REST_BYTES: usize = 64 << 10;

const CONTENT: &str = "application/webhook+json";

/// Why an event was not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// It may be, later.
    #[error("{0}")]
    Later(String),
    /// It never will be.
    #[error("it answers {0}")]
    Refused(StatusCode),
}

/// Sends requests. Its copies share their connections.
#[derive(Clone)]
pub(super) struct Client(outbound::Client);

impl Client {
    /// Where TLS is wanted, the system's certificates are read; without any, no URL with `https` is reached.
    pub(super) fn new(wants_tls: bool) -> Result<Self, rustls::Error> {
        outbound::client(wants_tls, CONNECT_LIMIT).map(Self)
    }

    /// Sends an event once.
    pub(super) async fn post(&self, url: &Uri, signer: &Signer, event: &Event) -> Result<(), Failure> {
        let later = |error: &dyn Error| Failure::Later(sentence(error));
        let token = signer.sign(event.body.as_bytes()).map_err(Failure::Later)?;
        let mut request = Request::post(url)
            .header(CONTENT_TYPE, CONTENT)
            .header(AUTHORIZATION, token)
            .header(USER_AGENT, AGENT)
            .body(Full::new(Bytes::from(event.body.clone())))
            .map_err(|error| later(&error))?;
        spans::pass_on(request.headers_mut());
        let answer = tokio::time::timeout(ANSWER_LIMIT, self.0.request(request)).await;
        let answer = answer.map_err(|_| Failure::Later(format!("no answer within {} s", ANSWER_LIMIT.as_secs())))?;
        let answer = answer.map_err(|error| later(&error))?;
        let status = answer.status();
        let rest = Limited::new(answer.into_body(), REST_BYTES).collect();
        let _ = tokio::time::timeout(REST_LIMIT, rest).await;
        judge(status)
    }
}

/// What a status says about the event. Redirections are not followed: who signs knows whom for.
fn judge(status: StatusCode) -> Result<(), Failure> {
    let may_pass =
        [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    match status.as_u16() {
        200..300 => Ok(()),
        400..500 if !may_pass => Err(Failure::Refused(status)),
        _ => Err(Failure::Later(format!("it answers {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again() {
        let status = |code| StatusCode::from_u16(code).expect("a status");
        for code in [200, 204, 299] {
            assert_eq!(judge(status(code)), Ok(()));
        }
        for code in [301, 408, 425, 429, 500, 503] {
            assert!(matches!(judge(status(code)), Err(Failure::Later(_))), "{code}");
        }
        for code in [400, 401, 404, 410] {
            assert_eq!(judge(status(code)), Err(Failure::Refused(status(code))));
        }
    }
}
