//! One request to the API for operators, over a Unix socket or TCP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::http::NO_PATH;
use crate::settings::AdminListen;

/// For a whole request and its answer.
const LIMIT: Duration = Duration::from_secs(10);
/// Longest answer.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// Why nothing came of it: a sentence for the operator.
#[derive(Debug)]
pub(super) struct Failure(pub(super) String);

/// Where the server is.
#[derive(Debug)]
enum Place {
    Path(PathBuf),
    Address(SocketAddr),
}

/// Asks one server.
#[derive(Debug)]
pub(super) struct Client {
    place: Place,
    token: Option<String>,
    runtime: Runtime,
}

impl Client {
    pub(super) fn new(at: &AdminListen, token: Option<String>) -> Result<Self, Failure> {
        let place = match at {
            AdminListen::Path(path) => Place::Path(path.clone()),
            AdminListen::Address(address) => Place::Address(address.0),
            AdminListen::Auto => return Err(Failure("--at: give a path or IP:PORT".into())),
            AdminListen::Off => {
                return Err(Failure("admin.listen is \"off\": the server has no API for operators".into()));
            }
        };
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure(format!("nothing can be asked: {error}")))?;
        Ok(Self { place, token, runtime })
    }

    fn place(&self) -> String {
        match &self.place {
            Place::Path(path) => path.display().to_string(),
            Place::Address(address) => address.to_string(),
        }
    }

    /// What the server answers; null if it has nothing to say.
    pub(super) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let asked = async { timeout(LIMIT, self.connect_and_ask(method, path, body)).await };
        match self.runtime.block_on(asked) {
            Ok(answered) => answered,
            Err(_) => Err(Failure(format!("the server at {} does not answer", self.place()))),
        }
    }

    async fn connect_and_ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let failed = |error| Failure(format!("no server answers at {}: {error}", self.place()));
        match &self.place {
            Place::Path(at) => {
                let stream = UnixStream::connect(at).await.map_err(failed)?;
                self.ask_on(stream, "localhost", (method, path, body)).await
            }
            Place::Address(at) => {
                let stream = TcpStream::connect(at).await.map_err(failed)?;
                self.ask_on(stream, &at.to_string(), (method, path, body)).await
            }
        }
    }

    async fn ask_on(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        host: &str,
        (method, path, body): (&str, &str, Option<&Value>),
    ) -> Result<Value, Failure> {
        let failed =
            |error: &dyn std::fmt::Display| Failure(format!("the server at {} hung up: {error}", self.place()));
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        tokio::spawn(connection);
        let method = Method::from_bytes(method.as_bytes()).map_err(|error| failed(&error))?;
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, host);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request =
            request.body(Full::new(bytes)).map_err(|_| Failure("--token: it cannot stand in a header".into()))?;
        let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = answer.status();
        let bytes =
            Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await.map_err(|error| failed(&error))?;
        understood(status, &bytes.to_bytes())
    }
}

fn understood(status: StatusCode, bytes: &[u8]) -> Result<Value, Failure> {
    let text = String::from_utf8_lossy(bytes);
    match (status.is_success(), text.trim()) {
        (true, "") => Ok(Value::Null),
        (true, json) => {
            serde_json::from_str(json).map_err(|error| Failure(format!("the answer is not understood: {error}")))
        }
        (false, "") => Err(Failure(format!("the server answered with status {status}"))),
        (false, sentence) if sentence == NO_PATH => {
            let cure = "--at must name the API for operators, as the line \"admin\" of the server's summary does";
            Err(Failure(format!("{sentence}: {cure}")))
        }
        (false, sentence) if status == StatusCode::UNAUTHORIZED => {
            Err(Failure(format!("{sentence} (--token, or CORECAST_TOKEN)")))
        }
        (false, sentence) => Err(Failure(sentence.to_owned())),
    }
}

/// An answer of this form.
pub(super) fn read<T: DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|error| Failure(format!("the answer is not understood: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_which_flag_cures_it() {
        let sentence = |status, text: &str| understood(status, text.as_bytes()).expect_err(text).0;
        let elsewhere = sentence(StatusCode::NOT_FOUND, "there is nothing at this path\n");
        assert!(elsewhere.contains("--at") && elsewhere.contains("\"admin\""), "{elsewhere}");
        let nameless = sentence(StatusCode::UNAUTHORIZED, "Authorization: give a bearer token\n");
        assert!(nameless.contains("--token"), "{nameless}");
        assert_eq!(sentence(StatusCode::NOT_FOUND, "there is no room \"x\"\n"), "there is no room \"x\"");
    }
}
