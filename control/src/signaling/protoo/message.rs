//! protoo's messages: one JSON object in each WebSocket message, a request, a response to one, or a notification.

use serde_json::{Map, Value, json};

use crate::http::value;

/// What a peer says.
#[derive(Debug)]
pub(super) enum Message {
    Request { id: Value, method: String, data: Value },
    Response { id: u64, result: Result<(), Refusal> },
    Notification { method: String, data: Value },
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) reason: String,
}

impl Refusal {
    /// What a handler refuses has this code in protoo, whatever it is.
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { code: 500, reason: reason.into() }
    }

    /// Not for this client.
    pub(super) fn forbidden(reason: &str) -> Self {
        Self { code: 403, reason: reason.into() }
    }

    /// Too many requests.
    pub(super) fn too_fast() -> Self {
        Self { code: 429, reason: "too many requests; slow down".into() }
    }
}

impl From<crate::rooms::Error> for Refusal {
    fn from(error: crate::rooms::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl Message {
    /// Reads a message. None if it is none of protoo's: such ones are dropped.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Value::Object(mut message) = value(text.as_bytes()).ok()? else { return None };
        let is = |message: &Map<String, Value>, kind: &str| message.get(kind).is_some_and(is_true);
        if is(&message, "response") {
            let id = message.get("id")?.as_u64()?;
            let result = if is(&message, "ok") { Ok(()) } else { Err(refusal(&message)) };
            return Some(Self::Response { id, result });
        }
        let (is_request, is_notification) = (is(&message, "request"), is(&message, "notification"));
        let Value::String(method) = message.remove("method")? else { return None };
        let data = message.remove("data").filter(|data| !data.is_null()).unwrap_or_else(|| json!({}));
        if is_request {
            let id = message.remove("id").filter(Value::is_number)?;
            return Some(Self::Request { id, method, data });
        }
        is_notification.then_some(Self::Notification { method, data })
    }
}

/// What JavaScript takes for true.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(is) => *is,
        Value::Null => false,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

fn refusal(message: &Map<String, Value>) -> Refusal {
    let code = message.get("errorCode").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let reason = message.get("errorReason").and_then(Value::as_str).unwrap_or_default();
    Refusal { code: code.unwrap_or(500), reason: reason.to_owned() }
}

/// The answer to a request.
pub(super) fn response(id: &Value, result: Result<Value, Refusal>) -> String {
    let message = match result {
        Ok(data) => json!({ "response": true, "id": id, "ok": true, "data": data }),
        Err(Refusal { code, reason }) => {
            json!({ "response": true, "id": id, "ok": false, "errorCode": code, "errorReason": reason })
        }
    };
    message.to_string()
}

/// Something that a client must answer.
pub(super) fn request(id: u64, method: &str, data: &Value) -> String {
    json!({ "request": true, "id": id, "method": method, "data": data }).to_string()
}

/// Something that a client is told.
pub(super) fn notification(method: &str, data: &Value) -> String {
    json!({ "notification": true, "method": method, "data": data }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_message_is_dropped() {
        let deep = format!(r#"{{"request":true,"id":1,"method":"x","data":{}{}}}"#, "[".repeat(32), "]".repeat(32));
        for text in [
            "",
            "x",
            &deep,
            r#"{"request":true,"id":1,"method":"x","method":"y"}"#,
            r#"{"notification":true,"method":"x","data":{"a":1,"a":2}}"#,
            "[]",
            "1",
            "{}",
            r#"{"request":true,"id":1}"#,
            r#"{"request":true,"id":1,"method":2}"#,
            r#"{"request":true,"id":"1","method":"join"}"#,
            r#"{"request":true,"method":"join"}"#,
            r#"{"response":true,"ok":true}"#,
            r#"{"response":true,"id":"x","ok":true}"#,
            r#"{"notification":true}"#,
            r#"{"notification":false,"method":"x"}"#,
        ] {
            assert!(Message::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn each_kind_is_read() {
        let text = r#"{"request":true,"id":7,"method":"join"}"#;
        let Some(Message::Request { id, method, data }) = Message::parse(text) else { panic!("no request") };
        assert_eq!((id, method.as_str(), data), (json!(7), "join", json!({})), "no data is empty data");
        let text = r#"{"notification":true,"method":"m","data":{"a":1}}"#;
        let Some(Message::Notification { method, data }) = Message::parse(text) else { panic!("no notification") };
        assert_eq!((method.as_str(), data), ("m", json!({ "a": 1 })));
        let Some(Message::Response { id: 3, result: Ok(()) }) = Message::parse(r#"{"response":true,"id":3,"ok":true}"#)
        else {
            panic!("no response")
        };
        let text = r#"{"response":true,"id":3,"errorCode":403,"errorReason":"no"}"#;
        let Some(Message::Response { result: Err(refusal), .. }) = Message::parse(text) else { panic!("no response") };
        assert_eq!(refusal, Refusal { code: 403, reason: "no".into() });
    }

    #[test]
    fn what_is_written_has_protoos_members() {
        let read = |text: String| serde_json::from_str::<Value>(&text).expect("JSON");
        assert_eq!(
            read(response(&json!(1), Ok(json!({})))),
            json!({ "response": true, "id": 1, "ok": true, "data": {} })
        );
        let refused = read(response(&json!(1), Err(Refusal::new("why"))));
        assert_eq!((&refused["errorCode"], &refused["errorReason"]), (&json!(500), &json!("why")));
        assert_eq!(read(request(2, "m", &json!({})))["request"], json!(true));
        assert_eq!(read(notification("m", &json!({})))["notification"], json!(true));
    }
}
