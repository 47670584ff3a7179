//! Bodies of requests: how long they may be and take, and how they are read.

use std::error::Error;
use std::fmt::{self, Formatter};
use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::{StreamExt, stream};
use http_body_util::LengthLimitError;
use serde::Deserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as DeserializeError, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use super::error::HttpError;
use crate::settings::in_words;

/// Longest body, above the 100 kB of mediasoup-demo's server.
pub(super) const MAX_BODY_BYTES: usize = 128 << 10;
/// How deep arrays and objects may stand in each other. What clients send stands six deep.
const MAX_DEPTH: u8 = 32;
/// Time for a body to arrive in.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// A client that sends a body one byte at a time holds nothing for long.
pub(super) async fn bound_body(request: Request) -> Request {
    bound(request, BODY_LIMIT)
}

fn bound(request: Request, limit: Duration) -> Request {
    let until = Instant::now() + limit;
    request.map(|body| {
        let parts = stream::unfold(Some(body.into_data_stream()), move |parts| async move {
            let mut parts = parts?;
            match timeout_at(until, parts.next()).await {
                Ok(part) => part.map(|part| (part, Some(parts))),
                Err(late) => Some((Err(axum::Error::new(late)), None)),
            }
        });
        Body::from_stream(parts)
    })
}

/// A JSON body; an empty one is `{}`. The error names the field.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, HttpError> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    // Not read at once: each type would be compiled for text, and once more for values, of which participants speak.
    let value = value(body).map_err(|error| HttpError::field("body", error))?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        HttpError::field(if path == "." { "body" } else { &path }, in_words(&error.into_inner().to_string()))
    })
}

/// Any JSON of a client in which no object has a member twice (of two, a proxy may have looked at the other one), and
/// which is not nested deeper than 32.
pub(crate) fn value(json: &[u8]) -> serde_json::Result<Value> {
    let mut json = serde_json::Deserializer::from_slice(json);
    let value = Whole { depth: 0 }.deserialize(&mut json)?;
    json.end()?;
    Ok(value)
}

/// Reads what stands inside so many arrays and objects.
#[derive(Clone, Copy)]
struct Whole {
    depth: u8,
}

impl Whole {
    /// Reads what stands inside one more.
    fn inside<E: DeserializeError>(self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > MAX_DEPTH {
            return Err(E::custom(format!("is nested deeper than {MAX_DEPTH}")));
        }
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Whole {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Whole {
    type Value = Value;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let (mut array, inside) = (Vec::new(), self.inside()?);
        while let Some(value) = values.next_element_seed(inside)? {
            array.push(value);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let (mut object, inside) = (Map::new(), self.inside()?);
        while let Some((name, value)) = members.next_entry_seed(PhantomData::<String>, inside)? {
            if object.contains_key(&name) {
                return Err(<A::Error as DeserializeError>::custom(format!("duplicate field `{name}`")));
            }
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

/// The media type, without parameters (RFC 9110 section 8.3.1).
pub(crate) fn check_type(headers: &HeaderMap, wanted: &str) -> Result<(), HttpError> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("Content-Type: must be {wanted}")))
}

/// The body as text.
pub(crate) async fn text(max_bytes: usize, body: Body) -> Result<String, HttpError> {
    utf8(whole(max_bytes, body).await?)
}

/// A whole body of any kind, of [`MAX_BODY_BYTES`] at most. What handlers take instead of axum's `Bytes` and `String`,
/// which answer otherwise if it is late or too long.
#[derive(Debug)]
pub(crate) struct WholeBody(Bytes);

impl WholeBody {
    /// As text.
    pub(crate) fn text(self) -> Result<String, HttpError> {
        utf8(self.0)
    }
}

impl Deref for WholeBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<S: Send + Sync> FromRequest<S> for WholeBody {
    type Rejection = HttpError;

    async fn from_request(request: Request, _: &S) -> Result<Self, HttpError> {
        whole(MAX_BODY_BYTES, request.into_body()).await.map(Self)
    }
}

async fn whole(max_bytes: usize, body: Body) -> Result<Bytes, HttpError> {
    axum::body::to_bytes(body, max_bytes).await.map_err(|error| {
        if is_caused_by::<Elapsed>(&error) {
            HttpError::new(StatusCode::REQUEST_TIMEOUT, "body: did not come in time")
        } else if is_caused_by::<LengthLimitError>(&error) {
            HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("body: at most {max_bytes} bytes"))
        } else {
            HttpError::field("body", "cannot be read")
        }
    })
}

fn utf8(bytes: Bytes) -> Result<String, HttpError> {
    String::from_utf8(bytes.into()).map_err(|_| HttpError::field("body", "is not UTF-8 text"))
}

/// Whether a body did not come for this reason.
fn is_caused_by<T: Error + 'static>(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(of) = cause {
        if of.is::<T>() {
            return true;
        }
        cause = of.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[tokio::test]
    async fn a_body_that_does_not_come_is_late_and_one_without_end_too_long() {
        let read = async |body: Body, limit: Duration| {
            let request = bound(Request::new(body), limit);
            text(8, request.into_body()).await.map_err(|error| error.status().as_u16())
        };
        let part = |text: &'static str| stream::iter([Ok::<_, Infallible>(text)]);
        assert_eq!(read(Body::from_stream(part("short")), BODY_LIMIT).await, Ok("short".into()));
        assert_eq!(read(Body::from_stream(part("much too long")), BODY_LIMIT).await, Err(413));
        let endless = Body::from_stream(part("never").chain(stream::pending()));
        assert_eq!(read(endless, Duration::from_millis(1)).await, Err(408));
        let broken = stream::iter([Ok("be"), Err(std::io::Error::other("gone"))]);
        assert_eq!(read(Body::from_stream(broken), BODY_LIMIT).await, Err(400));
    }

    #[test]
    fn a_refusal_names_no_type_of_the_program() {
        #[derive(Debug, serde::Deserialize)]
        struct Inner {
            port: u16,
        }
        #[derive(Debug, serde::Deserialize)]
        struct Outer {
            inner: Inner,
        }
        let said = |json: &str| {
            let read = parse::<Outer>(json.as_bytes()).map(|outer| outer.inner.port);
            read.expect_err(json).to_string()
        };
        let port = said(r#"{"inner":{"port":70000}}"#);
        assert_eq!(port, "inner.port: invalid value: integer `70000`, expected a whole number up to 65535");
        assert_eq!(said(r#"{"inner":5}"#), "inner: invalid type: integer `5`, expected an object");
        assert_eq!(said("[]"), "body: invalid length 0, expected an object");
    }

    #[test]
    fn json_is_whole_unambiguous_and_not_deep() {
        let nested = |depth: usize| [&b"[".repeat(depth)[..], &b"]".repeat(depth)].concat();
        let objects = |depth: usize| [&b"{\"a\":".repeat(depth)[..], b"1", &b"}".repeat(depth)].concat();
        assert!(value(&nested(32)).is_ok() && value(&objects(32)).is_ok());
        let said = |json: &[u8]| parse::<Value>(json).expect_err("is refused").to_string();
        for json in [nested(33), objects(33), nested(60_000), objects(20_000), b"[".repeat(100_000)] {
            assert!(said(&json).contains("nested deeper than 32"), "{}", said(&json));
        }
        assert!(said(b"{\"a\":[{\"b\":1,\"b\":1}]}").contains("duplicate field `b`"));
        assert!(said(b"{} {}").contains("trailing"));
    }
}
