//! What clients may ask by HTTP, as OpenAPI: `corecast openapi --of clients` prints it, and docs/openapi-clients.json
//! is the same. The tests of the API hold every answer against it. Broadcasters' calls and what participants say by
//! WebSocket are in docs/protocol.md.

mod calls;

use serde_json::{Map, Value, json};

const TEXT: &str = "text/plain";

/// One method of one path.
#[derive(Debug)]
struct Call {
    method: &'static str,
    path: &'static str,
    /// Its name in programs that are made of the description.
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    /// Parameters behind the `?`, none of them needed, and what they say.
    query: Vec<(&'static str, &'static str)>,
    /// Headers that it reads, and what they say.
    headers: Vec<(&'static str, &'static str)>,
    /// Media type of the body.
    takes: Option<&'static str>,
    /// Status, what it means, media types of the body.
    gives: Vec<(u16, &'static str, &'static [&'static str])>,
    /// Headers of the first of these.
    answers: Vec<(&'static str, &'static str)>,
    refuses: &'static [u16],
}

impl Call {
    fn new(method: &'static str, path: &'static str, id: &'static str, summary: &'static str) -> Self {
        let (tag, query, headers, gives, answers) = ("", Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { method, path, id, tag, summary, query, headers, takes: None, gives, answers, refuses: &[] }
    }

    fn query(mut self, name: &'static str, says: &'static str) -> Self {
        self.query.push((name, says));
        self
    }

    fn header(mut self, name: &'static str, says: &'static str) -> Self {
        self.headers.push((name, says));
        self
    }

    fn takes(self, media_type: &'static str) -> Self {
        Self { takes: Some(media_type), ..self }
    }

    fn gives(mut self, status: u16, means: &'static str, media_types: &'static [&'static str]) -> Self {
        self.gives.push((status, means, media_types));
        self
    }

    fn answers(mut self, name: &'static str, says: &'static str) -> Self {
        self.answers.push((name, says));
        self
    }

    fn refuses(self, refuses: &'static [u16]) -> Self {
        Self { refuses, ..self }
    }

    /// As OpenAPI has it.
    fn describe(&self) -> Value {
        let text = json!({ "type": "string" });
        let of_path = self.path.split(['{', '}']).skip(1).step_by(2).map(|name| (name, "path", parameter(name)));
        let of_query = self.query.iter().map(|(name, says)| (*name, "query", *says));
        let of_headers = self.headers.iter().map(|(name, says)| (*name, "header", *says));
        let parameters: Vec<_> = of_path
            .chain(of_query)
            .chain(of_headers)
            .map(|(name, place, says)| {
                json!({ "name": name, "in": place, "required": place == "path", "description": says, "schema": text })
            })
            .collect();
        let mut responses = Map::new();
        for (at, (status, means, media_types)) in self.gives.iter().enumerate() {
            let mut response = json!({ "description": means });
            if !media_types.is_empty() {
                response["content"] = media_types.iter().map(|name| ((*name).to_owned(), content(name))).collect();
            }
            if at == 0 && !self.answers.is_empty() {
                let headers = self.answers.iter();
                let header = |says: &str| json!({ "description": says, "schema": text });
                response["headers"] = headers.map(|(name, says)| ((*name).to_owned(), header(says))).collect();
            }
            responses.insert(status.to_string(), response);
        }
        for status in self.refuses {
            let mut response = json!({ "description": refusal(*status), "content": { TEXT: content(TEXT) } });
            if [429, 503].contains(status) {
                let says = json!({ "description": "seconds after which to try again", "schema": text });
                response["headers"] = json!({ "Retry-After": says });
            }
            responses.insert(status.to_string(), response);
        }
        let mut operation = json!({
            "operationId": self.id, "tags": [self.tag], "summary": self.summary, "responses": responses,
        });
        if !parameters.is_empty() {
            operation["parameters"] = json!(parameters);
        }
        if let Some(media_type) = self.takes {
            operation["requestBody"] = json!({ "content": { media_type: content(media_type) } });
        }
        operation
    }
}

/// A body of this type. What is in it stands in docs/protocol.md.
fn content(media_type: &str) -> Value {
    let is_json = media_type == "application/json";
    if is_json { json!({ "schema": {} }) } else { json!({ "schema": { "type": "string" } }) }
}

/// What a part of a path is.
fn parameter(name: &str) -> &'static str {
    match name {
        "room" => "the room's name: 1 to 128 bytes without control characters",
        "peer" => "the name of somebody in the room",
        "transport" => "the transport's id, as /stats has it",
        _ => "as the answer to the session's offer has it in its Location",
    }
}

/// Why something is not done. Nothing has changed then. The body is one sentence.
fn refusal(status: u16) -> &'static str {
    match status {
        400 => "A name, a parameter or the body is wrong in itself; the sentence names it.",
        401 => "There is no token, or it is not known, not valid yet, or has expired. `WWW-Authenticate` says so.",
        403 => {
            "The token is for something else or another room; a web page of another origin; or an operator has \
             removed the peer."
        }
        404 => "There is no such room, peer, transport or session, or it has ended.",
        409 => "The peer's name is taken, or nobody publishes there yet.",
        408 => "The body did not come in time.",
        412 => "`If-Match` is not the ETag of the current ICE session.",
        413 => "The body is too long.",
        415 => "Another `Content-Type` is wanted.",
        422 => "Well-formed, and not something that is done here.",
        426 => "This is for WebSocket.",
        428 => "`If-Match` is missing.",
        429 => "Your address asks too often, or has too much already.",
        500 => "A fault of the server's.",
        501 => "WebRTC is turned off.",
        _ => "Not now: a limit of the server is reached, or it starts or stops.",
    }
}

/// The description: OpenAPI, as JSON with an end of line.
pub(crate) fn description() -> String {
    let mut paths = Map::new();
    for call in calls::all() {
        paths.entry(call.path).or_insert_with(|| json!({}))[call.method] = call.describe();
    }
    let bearer = json!({ "type": "http", "scheme": "bearer" });
    let description = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "corecast's API for clients and for those who watch the server",
            "description": "On the listener that `http.listen` names. Where the server has tokens, a bearer token is \
                wanted but for health and the pages. Every path may be asked by HEAD where it has GET; other methods \
                get 405. A web page of an origin that is not allowed gets 403.",
            "version": "1",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": { "securitySchemes": { "token": bearer } },
        "security": [{}, { "token": [] }],
        "tags": calls::TAGS.map(|name| json!({ "name": name })),
    });
    serde_json::to_string_pretty(&description).unwrap_or_default() + "\n"
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Whether the description has this answer; none if it has not the call.
    pub(crate) fn has(method: &str, path: &str, status: u16) -> Option<bool> {
        let path = path.split('?').next().unwrap_or_default();
        let is_path = |call: &Call| {
            let (ours, given) = (call.path.split('/'), path.split('/'));
            let is_variable = |part: &str| part.starts_with('{');
            ours.clone().count() == given.clone().count()
                && ours.zip(given).all(|(ours, given)| ours == given || (is_variable(ours) && !given.is_empty()))
        };
        let method = if method == "HEAD" { "GET" } else { method };
        let calls = calls::all();
        // "/whep/{room}/s/…" is no "/whip/…", but "/whip/{room}/{secret}" may look like others: literal parts win.
        let mut found: Vec<_> =
            calls.iter().filter(|call| call.method.eq_ignore_ascii_case(method) && is_path(call)).collect();
        found.sort_by_key(|call| call.path.matches('{').count());
        let call = found.first()?;
        // Too long for HTTP itself.
        if [414, 431].contains(&status) {
            return None;
        }
        Some(call.gives.iter().any(|(given, _, _)| *given == status) || call.refuses.contains(&status))
    }

    #[test]
    fn the_description_that_is_checked_in_is_what_the_program_makes() {
        let checked_in = include_str!("../../../../docs/openapi-clients.json");
        let made = description();
        assert!(made.contains("\"/whep/{room}/s/{secret}/layer\""), "{made}");
        assert!(checked_in == made, "write it again: corecast openapi --of clients > docs/openapi-clients.json");
    }
}
