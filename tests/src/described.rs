//! Whether real requests and answers are as docs/openapi.json and docs/openapi-clients.json describe them. Stricter
//! than a reader of these should be in one point: a member that an answer has and its schema does not name is a fault.
//!
//! `control`'s unit tests have this file, too. It uses nothing of either package.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

const JSON: &str = "application/json";

static CLIENTS: LazyLock<Api> = LazyLock::new(|| Api::of("openapi-clients.json"));
static OPERATORS: LazyLock<Api> = LazyLock::new(|| Api::of("openapi.json"));

/// A request: method, target and body.
pub(crate) type Asked<'a> = (&'a str, &'a str, &'a str);
/// An answer: status, head and body.
pub(crate) type Answered<'a> = (u16, &'a str, &'a str);

/// What is wrong with an answer of the API for clients, or with a request that was done. Nothing about a path that is
/// not described.
pub(crate) fn fault_of_clients(asked: Asked<'_>, answered: Answered<'_>) -> Option<String> {
    CLIENTS.fault(asked, answered).err()
}

/// The same of the API for operators.
pub(crate) fn fault_of_operators(asked: Asked<'_>, answered: Answered<'_>) -> Option<String> {
    OPERATORS.fault(asked, answered).err()
}

/// A description.
struct Api {
    /// As it is, for requests: they may have more members, which are not read.
    open: Value,
    /// With schemas of objects that have no other members.
    closed: Value,
    /// Those that were needed, by what is to be valid and where its schema is.
    validators: Mutex<HashMap<(bool, String), Arc<Validator>>>,
}

impl Api {
    /// Either package's folder is beside that of the documents.
    fn of(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
        Self::read(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    fn read(text: &str) -> Self {
        let open: Value = serde_json::from_str(text).expect("JSON");
        let mut closed = open.clone();
        let schemas = closed["components"]["schemas"].as_object().cloned().unwrap_or_default();
        close(&mut closed, &schemas, false);
        Self { open, closed, validators: Mutex::default() }
    }

    fn fault(&self, (method, target, body): Asked<'_>, (status, head, answer): Answered<'_>) -> Result<(), String> {
        let path = target.split('?').next().unwrap_or_default();
        let method = if method == "HEAD" { "get".into() } else { method.to_ascii_lowercase() };
        let Some(template) = self.find(&method, path) else { return Ok(()) };
        // What every path may answer: another method is wanted, or the request's head is too long.
        if [405, 414, 431].contains(&status) {
            return Ok(());
        }
        let operation = &self.open["paths"][template][&method];
        let described = &operation["responses"][status.to_string()];
        if described.is_null() {
            return Err(format!("{method} {template}: no {status} is described"));
        }
        let at = format!("/paths/{}/{method}", template.replace('~', "~0").replace('/', "~1"));
        let media_type = media_type(head);
        let is_event_stream = media_type == "text/event-stream";
        if !answer.is_empty() && !is_event_stream {
            let content = &described["content"];
            if content[media_type].is_null() {
                return Err(format!("{method} {template}: {status} is not described as {media_type:?}: {content}"));
            }
            if media_type == JSON {
                self.check(true, format!("{at}/responses/{status}/content/application~1json/schema"), answer)?;
            }
        }
        let takes = &operation["requestBody"]["content"][JSON];
        if status < 300 && !takes.is_null() && !body.trim().is_empty() {
            self.check(false, format!("{at}/requestBody/content/application~1json/schema"), body)?;
        }
        Ok(())
    }

    /// The described path that is meant. Parts that are written as they are go before those that stand for any.
    fn find(&self, method: &str, path: &str) -> Option<&str> {
        let is_variable = |part: &str| part.starts_with('{');
        let fits = |template: &str| {
            let (ours, given) = (template.split('/'), path.split('/'));
            ours.clone().count() == given.clone().count()
                && ours.zip(given).all(|(ours, given)| ours == given || (is_variable(ours) && !given.is_empty()))
        };
        let paths = self.open["paths"].as_object()?;
        let found = paths.iter().filter(|(template, methods)| !methods[method].is_null() && fits(template));
        found.map(|(template, _)| template.as_str()).min_by_key(|template| template.matches('{').count())
    }

    /// Whether a text is what the schema at this place says.
    fn check(&self, is_answer: bool, place: String, text: &str) -> Result<(), String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("{place}: {error}: {text}"))?;
        let validator = self.validator(is_answer, place.clone());
        let faults: Vec<_> =
            validator.iter_errors(&value).take(3).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
        if faults.is_empty() { Ok(()) } else { Err(format!("{place}: {}", faults.join("; "))) }
    }

    fn validator(&self, is_answer: bool, place: String) -> Arc<Validator> {
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let made = validators.entry((is_answer, place.clone())).or_insert_with(|| {
            let all = if is_answer { &self.closed } else { &self.open };
            let mut schema = all.pointer(&place).cloned().unwrap_or_default();
            schema["components"] = all["components"].clone();
            Arc::new(jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{place}: {error}")))
        });
        Arc::clone(made)
    }
}

/// Without parameters.
fn media_type(head: &str) -> &str {
    let is_type = |name: &str| name.eq_ignore_ascii_case("content-type");
    let found = head.lines().find_map(|line| line.split_once(':').filter(|(name, _)| is_type(name)));
    found.map_or("", |(_, value)| value.split(';').next().unwrap_or_default().trim())
}

/// Has every schema that names members allow no others. One that is made of several allows those of all; so they are
/// written out where they are named.
fn close(value: &mut Value, schemas: &Map<String, Value>, is_part: bool) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| close(value, schemas, false)),
        Value::Object(words) => {
            for (word, value) in words.iter_mut() {
                match value {
                    Value::Array(parts) if word == "allOf" => parts.iter_mut().for_each(|part| {
                        let name = part["$ref"].as_str().and_then(|place| place.rsplit('/').next());
                        if let Some(named) = name.and_then(|name| schemas.get(name)) {
                            *part = named.clone();
                        }
                        close(part, schemas, true);
                    }),
                    value => close(value, schemas, false),
                }
            }
            let names_members = words.get("properties").is_some_and(Value::is_object) || words.contains_key("allOf");
            if names_members && !is_part && !words.contains_key("additionalProperties") {
                words.insert("unevaluatedProperties".into(), json!(false));
            }
        }
        _ => {}
    }
}

#[test]
fn what_a_schema_does_not_say_is_found() {
    let schema = |of: &str| json!({ "$ref": format!("#/components/schemas/{of}") });
    let json = |schema: Value| json!({ "content": { JSON: { "schema": schema } } });
    let described = json!({
        "paths": { "/rooms/{room}": { "post": {
            "requestBody": json(schema("Name")),
            "responses": { "200": json(schema("Room")), "404": { "content": { "text/plain": {} } } },
        } } },
        "components": { "schemas": {
            "Name": { "type": "object", "required": ["id"], "properties": { "id": { "type": "string" } } },
            "Room": { "allOf": [schema("Name"), { "type": "object", "properties": { "peers": {
                "type": "array", "items": schema("Name"),
            } } }] },
        } },
    });
    let api = Api::read(&described.to_string());
    let ask = |body: &str, status: u16, media_type: &str, answer: &str| {
        api.fault(
            ("POST", "/rooms/r?x=1", body),
            (status, &format!("HTTP/1.1 200\r\nContent-Type: {media_type}"), answer),
        )
    };
    let right = r#"{"id":"r","peers":[{"id":"p"}]}"#;
    assert_eq!(ask(r#"{"id":"r","more":1}"#, 200, JSON, right), Ok(()));
    assert_eq!(ask("nonsense", 404, "text/plain; charset=utf-8", "no such room"), Ok(()));
    assert_eq!(api.fault(("POST", "/other", ""), (200, "", "")), Ok(()));
    for (body, status, media_type, answer, part) in [
        ("{}", 200, JSON, right, "id"),
        ("", 500, "text/plain", "a fault", "500"),
        ("", 404, JSON, "{}", "application/json"),
        ("", 200, JSON, "{}", "id"),
        ("", 200, JSON, r#"{"id":1}"#, "/id"),
        ("", 200, JSON, r#"{"id":"r","name":"r"}"#, "name"),
        ("", 200, JSON, r#"{"id":"r","peers":[{"id":"p","name":"p"}]}"#, "/peers/0"),
    ] {
        let fault = ask(body, status, media_type, answer).expect_err(part);
        assert!(fault.contains(part), "{part}: {fault}");
    }
}
