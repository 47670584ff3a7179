//! What clients may ask by HTTP, as OpenAPI: `corecast openapi --of clients` prints it, and docs/openapi-clients.json
//! is the same. Its calls and statuses are a table; what is in JSON, and behind the `?`, the types say that are written
//! and read. The tests of the API hold every answer against it. What participants say by WebSocket is in
//! docs/protocol.md.

mod broadcasters;
mod calls;

use serde_json::{Map, Value, json};
use utoipa::openapi::path::ParameterIn;
use utoipa::{IntoParams, ToSchema};

const TEXT: &str = "text/plain";
const JSON: &str = "application/json";

/// The schema of a body: adds those that it names to all of them.
#[derive(Clone, Copy, Debug)]
struct Body(fn(&mut Map<String, Value>) -> Value);

impl Body {
    fn of<T: ToSchema>() -> Self {
        Self(|all| {
            let (name, mut named) = (T::name().into_owned(), Vec::new());
            T::schemas(&mut named);
            named.push((name.clone(), T::schema()));
            all.extend(named.into_iter().map(|(name, schema)| (name, json!(schema))));
            json!({ "$ref": format!("#/components/schemas/{name}") })
        })
    }

    fn list_of<T: ToSchema>() -> Self {
        Self(|all| json!({ "type": "array", "items": Self::of::<T>().0(all) }))
    }
}

/// One method of one path.
#[derive(Debug)]
struct Call {
    method: &'static str,
    path: &'static str,
    /// Its name in programs that are made of the description.
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    /// Parameters behind the `?`, as OpenAPI has them.
    query: Vec<Value>,
    /// Headers that it reads, and what they say.
    headers: Vec<(&'static str, &'static str)>,
    /// Media type of the body.
    takes: Option<&'static str>,
    /// What is in it, if it is JSON.
    reads: Option<Body>,
    /// Status, what it means, media types of the body.
    gives: Vec<(u16, &'static str, &'static [&'static str])>,
    /// What is in bodies of these that are JSON.
    says: Option<Body>,
    /// Headers of the first of these.
    answers: Vec<(&'static str, &'static str)>,
    refuses: &'static [u16],
}

impl Call {
    fn new(method: &'static str, path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path,
            id,
            tag: "",
            summary,
            query: Vec::new(),
            headers: Vec::new(),
            takes: None,
            reads: None,
            gives: Vec::new(),
            says: None,
            answers: Vec::new(),
            refuses: &[],
        }
    }

    /// A parameter behind the `?` that no type reads.
    fn query(mut self, (name, required): (&'static str, bool), schema: &Value, says: &'static str) -> Self {
        self.query.push(query(name, required, schema, says));
        self
    }

    /// What this type reads behind the `?`.
    fn asks<T: IntoParams>(mut self) -> Self {
        self.query.extend(T::into_params(|| Some(ParameterIn::Query)).iter().map(|parameter| json!(parameter)));
        self
    }

    fn header(mut self, name: &'static str, says: &'static str) -> Self {
        self.headers.push((name, says));
        self
    }

    fn takes(self, media_type: &'static str) -> Self {
        Self { takes: Some(media_type), ..self }
    }

    /// The body is JSON, which this type reads.
    fn reads<T: ToSchema>(self) -> Self {
        Self { takes: Some(JSON), reads: Some(Body::of::<T>()), ..self }
    }

    fn gives(mut self, status: u16, means: &'static str, media_types: &'static [&'static str]) -> Self {
        self.gives.push((status, means, media_types));
        self
    }

    /// JSON of the answer is what this type writes.
    fn says<T: ToSchema>(self) -> Self {
        Self { says: Some(Body::of::<T>()), ..self }
    }

    /// JSON of the answer is an array of what this type writes.
    fn says_list_of<T: ToSchema>(self) -> Self {
        Self { says: Some(Body::list_of::<T>()), ..self }
    }

    fn answers(mut self, name: &'static str, says: &'static str) -> Self {
        self.answers.push((name, says));
        self
    }

    fn refuses(self, refuses: &'static [u16]) -> Self {
        Self { refuses, ..self }
    }

    fn parameters(&self) -> Vec<Value> {
        let text = json!({ "type": "string" });
        let of_path = self.path.split(['{', '}']).skip(1).step_by(2).map(|name| (name, "path", parameter(name)));
        let of_headers = self.headers.iter().map(|(name, says)| (*name, "header", *says));
        let written = of_path.chain(of_headers).map(|(name, place, says)| {
            json!({ "name": name, "in": place, "required": place == "path", "description": says, "schema": text })
        });
        written.chain(self.query.iter().cloned()).collect()
    }

    /// The answers. Schemas that they name are added to all of them.
    fn responses(&self, schemas: &mut Map<String, Value>) -> Map<String, Value> {
        let text = json!({ "type": "string" });
        let mut responses = Map::new();
        for (at, (status, means, media_types)) in self.gives.iter().enumerate() {
            let mut response = json!({ "description": means });
            if !media_types.is_empty() {
                let contents = media_types.iter().map(|name| ((*name).to_owned(), content(name, self.says, schemas)));
                response["content"] = contents.collect();
            }
            if at == 0 && !self.answers.is_empty() {
                let headers = self.answers.iter();
                let header = |says: &str| json!({ "description": says, "schema": text });
                response["headers"] = headers.map(|(name, says)| ((*name).to_owned(), header(says))).collect();
            }
            responses.insert(status.to_string(), response);
        }
        for status in self.refuses {
            let mut response =
                json!({ "description": refusal(*status), "content": { TEXT: content(TEXT, None, schemas) } });
            if [429, 503].contains(status) {
                let says = json!({ "description": "seconds after which to try again", "schema": text });
                response["headers"] = json!({ "Retry-After": says });
            }
            responses.entry(status.to_string()).or_insert(response);
        }
        responses
    }

    /// As OpenAPI has it. Schemas that it names are added to all of them.
    fn describe(&self, schemas: &mut Map<String, Value>) -> Value {
        let mut operation = json!({
            "operationId": self.id, "tags": [self.tag], "summary": self.summary, "responses": self.responses(schemas),
        });
        let parameters = self.parameters();
        if !parameters.is_empty() {
            operation["parameters"] = json!(parameters);
        }
        if let Some(media_type) = self.takes {
            operation["requestBody"] = json!({ "content": { media_type: content(media_type, self.reads, schemas) } });
        }
        operation
    }
}

/// A parameter behind the `?`.
fn query(name: &str, required: bool, schema: &Value, says: &str) -> Value {
    json!({ "name": name, "in": "query", "required": required, "description": says, "schema": schema })
}

/// A body of this media type, which is this if it is JSON.
fn content(media_type: &str, body: Option<Body>, schemas: &mut Map<String, Value>) -> Value {
    match body.filter(|_| media_type == JSON) {
        Some(Body(schema)) => json!({ "schema": schema(schemas) }),
        None => json!({ "schema": { "type": "string" } }),
    }
}

/// What a part of a path is.
fn parameter(name: &str) -> &'static str {
    match name {
        "room" => "the room's name: 1 to 128 bytes without control characters",
        "peer" => "the name of somebody in the room",
        "broadcaster" => "the name that it was made with",
        "transport" | "producer" | "consumer" => "its id, as it was answered and as /stats has it",
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
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for call in calls::all() {
        paths.entry(call.path).or_insert_with(|| json!({}))[call.method] = call.describe(&mut schemas);
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
        "components": { "schemas": schemas, "securitySchemes": { "token": bearer } },
        "security": [{}, { "token": [] }],
        "tags": calls::TAGS.map(|name| json!({ "name": name })),
    });
    serde_json::to_string_pretty(&description).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_a_schema_everywhere() {
        for call in calls::all() {
            let (method, path) = (call.method, call.path);
            assert_eq!(call.takes == Some(JSON), call.reads.is_some(), "{method} {path}");
            let gives = call.gives.iter().any(|(_, _, media_types)| media_types.contains(&JSON));
            assert_eq!(gives, call.says.is_some(), "{method} {path}");
        }
    }

    #[test]
    fn the_description_that_is_checked_in_is_what_the_program_makes() {
        let checked_in = include_str!("../../../../docs/openapi-clients.json");
        let made = description();
        assert!(made.contains("\"/whep/{room}/s/{secret}/layer\""), "{made}");
        assert!(checked_in == made, "write it again: corecast openapi --of clients > docs/openapi-clients.json");
    }
}
