//! The OpenAPI document, held to the routes: what it promises is served as it says, and nothing else is.

mod api;
mod http;
mod in_process;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::thread;

use api::*;
use http::Response;
use serde_json::{Value, json};
use shoal::control::{Answer, Event, Reloaded};

/// All that are asked with; HEAD goes with GET. In this order what is put is there when it is asked for.
const METHODS: [&str; 6] = ["PUT", "POST", "GET", "DELETE", "PATCH", "OPTIONS"];

/// The document, as everybody gets it.
fn document(api: &Api) -> Value {
    let document = json(&api.ask("GET", "/api/openapi.json", "", ""));
    assert_eq!(document["openapi"], "3.1.0");
    document
}

/// What a reference of the document leads to, or the thing itself.
fn resolved<'a>(document: &'a Value, thing: &'a Value) -> &'a Value {
    let Some(reference) = thing["$ref"].as_str() else {
        return thing;
    };
    let pointer = reference.strip_prefix('#').unwrap();
    let found = document.pointer(pointer);
    found.unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

/// A path with one method.
struct Operation<'a> {
    document: &'a Value,
    method: &'static str,
    path: &'a str,
    described: &'a Value,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().unwrap();
    let mut operations = Vec::new();
    for method in METHODS {
        for (path, described) in paths {
            let described = &described[method.to_lowercase()];
            if !described.is_null() {
                operations.push(Operation {
                    document,
                    method,
                    path,
                    described,
                });
            }
        }
    }
    operations
}

impl Operation<'_> {
    fn is_open(&self) -> bool {
        let security = &self.described["security"];
        *security == json!([]) || security[0] == json!({})
    }

    /// Its good answer never ends.
    fn is_endless(&self) -> bool {
        !self.described["responses"]["200"]["content"]["text/event-stream"].is_null()
    }

    /// The path and query, filled in with the document's own examples.
    fn target(&self) -> String {
        let mut target = self.path.to_owned();
        let mut query = Vec::new();
        for parameter in self.described["parameters"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let parameter = resolved(self.document, parameter);
            let name = parameter["name"].as_str().unwrap();
            let example = &parameter["example"];
            let text = example
                .as_str()
                .map_or_else(|| example.to_string(), str::to_owned);
            match parameter["in"].as_str() {
                Some("path") => {
                    assert_eq!(parameter["required"], true);
                    assert!(target.contains(&format!("{{{name}}}")), "{}", self.path);
                    target = target.replace(&format!("{{{name}}}"), &text);
                }
                _ if example.is_null() => {}
                _ => query.push(format!("{name}={text}")),
            }
        }
        assert!(
            !target.contains('{'),
            "{target} has a part that is not described"
        );
        if query.is_empty() {
            return target;
        }
        format!("{target}?{}", query.join("&"))
    }

    /// Its example of a body; nothing when it takes none.
    fn body(&self) -> Option<&Value> {
        let body = &self.described["requestBody"]["content"]["application/json"];
        let example = body.get("example")?;
        if let Err(why) = valid(self.document, &body["schema"], example) {
            panic!("the example of {} {}: {why}", self.method, self.path);
        }
        Some(example)
    }

    /// Fails unless the document says that this may be answered.
    #[track_caller]
    fn expect_described(&self, response: &Response) {
        let (method, path) = (self.method, self.path);
        let status = response.status.to_string();
        let described = &self.described["responses"][&status];
        assert!(
            !described.is_null(),
            "{method} {path}: {status} {}",
            response.text()
        );
        let kind = response.header("content-type").unwrap_or_default();
        let (kind, _) = kind.split_once(';').unwrap_or((kind, ""));
        let content = &resolved(self.document, described)["content"][kind];
        assert!(!content.is_null(), "{method} {path}: {status} as {kind:?}");
        let told = if kind == "text/plain" {
            json!(response.text())
        } else {
            serde_json::from_slice(&response.body).unwrap()
        };
        if let Err(why) = valid(self.document, &content["schema"], &told) {
            panic!("{method} {path} tells {told}: {why}");
        }
    }
}

/// Whether a value is as a schema says: that part of JSON Schema which the document uses.
fn valid(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = resolved(document, schema);
    for keyword in schema.as_object().unwrap().keys() {
        const KNOWN: [&str; 15] = [
            "additionalProperties",
            "const",
            "default",
            "description",
            "enum",
            "explode",
            "items",
            "maximum",
            "minimum",
            "oneOf",
            "pattern",
            "properties",
            "required",
            "title",
            "type",
        ];
        assert!(
            KNOWN.contains(&keyword.as_str()),
            "{keyword} is not understood"
        );
    }
    let is_type = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    };
    let right = match &schema["type"] {
        Value::Null => true,
        Value::Array(names) => names.iter().any(is_type),
        name => is_type(name),
    };
    let same = schema.get("const").is_none_or(|constant| constant == value);
    let listed = schema["enum"]
        .as_array()
        .is_none_or(|all| all.contains(value));
    if !(right && same && listed) {
        return Err(format!("{value} is not {schema}"));
    }
    if let Some(schemas) = schema["oneOf"].as_array() {
        let fitting = schemas
            .iter()
            .filter(|schema| valid(document, schema, value).is_ok());
        if fitting.count() != 1 {
            return Err(format!("{value} is not one of {schemas:?}"));
        }
    }
    if let Some(number) = value.as_f64() {
        let least = schema["minimum"].as_f64().unwrap_or(f64::MIN);
        let most = schema["maximum"].as_f64().unwrap_or(f64::MAX);
        if !(least..=most).contains(&number) {
            return Err(format!("{value} is too small or too great"));
        }
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str()) {
        fits(pattern, text)?;
    }
    for item in value.as_array().into_iter().flatten() {
        if let Some(items) = schema.get("items") {
            valid(document, items, item)?;
        }
    }
    let Some(members) = value.as_object() else {
        return Ok(());
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !members.contains_key(name.as_str().unwrap()) {
            return Err(format!("{name} is missing"));
        }
    }
    for (name, member) in members {
        match (
            schema["properties"].get(name),
            &schema["additionalProperties"],
        ) {
            (None, Value::Null | Value::Bool(true)) => Ok(()),
            (None, Value::Bool(false)) => Err(format!("nobody knows of {name}")),
            (Some(schema), _) | (None, schema) => valid(document, schema, member),
        }
        .map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

/// The patterns of the document, by what they mean.
fn fits(pattern: &str, text: &str) -> Result<(), String> {
    let all = |is: fn(&u8) -> bool| text.as_bytes().iter().all(is);
    let right = match pattern {
        "^[0-9a-f]{40}$" => {
            text.len() == 40 && all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(c))
        }
        "^[0-9A-Fa-f]{40}([0-9A-Fa-f]{24})?$" => {
            [40, 64].contains(&text.len()) && all(u8::is_ascii_hexdigit)
        }
        "^[0-9A-Za-z]{32}$" => text.len() == 32 && all(u8::is_ascii_alphanumeric),
        other => panic!("{other} is not understood"),
    };
    right
        .then_some(())
        .ok_or_else(|| format!("{text:?} is not {pattern}"))
}

/// A tracker of which everything can be asked, and some of which is there.
fn api() -> Api {
    let api = Api::start_with(|config| {
        config.access.publish_blocklist = true;
        config.swarm.peer_details = true;
        config.swarm.similarity_threshold = 0.9;
    });
    for hash in [
        "1".repeat(40),
        format!("{}2{}", "1".repeat(20), "1".repeat(19)),
    ] {
        api.announce(&hash, 7000, 0);
        api.announce(&hash, 7001, 9);
    }
    // No main thread is there to reload.
    let events = api.server.events.clone();
    thread::spawn(move || {
        for event in events {
            if let Event::ReloadFor(Answer(answer)) = event {
                let sentences = vec!["this takes a restart".to_owned()];
                let done = true;
                let _ = answer.send(Reloaded { done, sentences });
            }
        }
    });
    api
}

fn call(api: &Api, operation: &Operation<'_>) -> Response {
    let target = operation.target();
    let target = if operation.is_open() {
        target
    } else {
        with_token(&target)
    };
    match operation.body() {
        None => api.ask(operation.method, &target, "", ""),
        Some(body) => {
            let json = "Content-Type: application/json\r\n";
            api.ask(operation.method, &target, json, &body.to_string())
        }
    }
}

#[test]
fn every_operation_answers_its_own_example_as_it_is_described() {
    let api = api();
    let document = document(&api);
    let operations = operations(&document);
    assert!(operations.len() >= 49, "{}", operations.len());
    let mut ids = BTreeSet::new();
    for operation in &operations {
        if operation.is_endless() {
            let mut browser = api.browser();
            let target = operation.target();
            browser.send(format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes());
            let (status, headers) = browser.head();
            let kind = ("content-type".to_owned(), "text/event-stream".to_owned());
            assert!(status == 200 && headers.contains(&kind), "{headers:?}");
            continue;
        }
        let id = operation.described["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} twice");
        assert!(operation.described["summary"].is_string(), "{id}");
        let response = call(&api, operation);
        operation.expect_described(&response);
        // There is no key that is called as its example says, nor a row that was just deleted.
        let expected = if id == "removeKey" { 400 } else { 200 };
        assert_eq!(response.status, expected, "{id}: {}", response.text());
    }
}

#[test]
fn what_is_told_of_things_that_are_there_is_as_it_is_described() {
    let api = api();
    let document = document(&api);
    let of = |method: &str, path: &str| {
        let mut all = operations(&document).into_iter();
        all.find(|operation| operation.method == method && operation.path == path)
            .unwrap()
    };
    let key = json(&api.admin("POST", "/api/v1/key/60"));
    let key = key["key"].as_str().unwrap().to_owned();
    let hash = "1".repeat(40);
    for (path, target) in [
        ("/api/v1/torrents", "/api/v1/torrents".to_owned()),
        (
            "/api/v1/torrent/{info_hash}",
            format!("/api/v1/torrent/{hash}"),
        ),
        ("/api/v1/keys", "/api/v1/keys".to_owned()),
        ("/api/v1/similar", "/api/v1/similar".to_owned()),
        ("/stats", "/stats".to_owned()),
    ] {
        let response = api.get(&target);
        assert_eq!(response.status, 200);
        assert!(response.body.len() > 80, "{path}: {}", response.text());
        of("GET", path).expect_described(&response);
    }
    let removed = api.admin("DELETE", &format!("/api/v1/key/{key}"));
    assert_eq!(removed.status, 200);
    of("DELETE", "/api/v1/key/{seconds_or_key}").expect_described(&removed);
}

#[test]
fn every_error_is_described_too() {
    let api = api();
    let forgetful = Api::start_with(|config| {
        config.store.path = String::new();
        config.access.publish_blocklist = true;
    });
    let document = document(&api);
    let json_type = "Content-Type: application/json\r\n";
    for operation in operations(&document) {
        let method = operation.method;
        let target = operation.target();
        let (path, _) = target.split_once('?').unwrap_or((&target, ""));
        if !operation.is_open() {
            for wrong in [path.to_owned(), format!("{path}?token=wrong")] {
                // Else it would be taken for a browser, and shown a page.
                let accept = "Accept: application/json\r\n";
                let refused = api.ask(method, &wrong, accept, "");
                assert_eq!(refused.status, 500, "{method} {path}");
                operation.expect_described(&refused);
            }
            let twice = format!("{path}?token={TOKEN}&token={TOKEN}");
            operation.expect_described(&api.ask(method, &twice, "", ""));
            let long = format!("{json_type}Expect: 100-continue\r\n");
            let mut browser = api.browser();
            let target = with_token(path);
            let head = format!(
                "{method} {target} HTTP/1.1\r\nHost: t\r\n{long}Content-Length: 17825792\r\n\r\n"
            );
            browser.send(head.as_bytes());
            let refused = browser.response();
            assert_eq!(refused.status, 413, "{method} {path}");
            operation.expect_described(&refused);
            if !path.contains("shutdown") && !path.contains("reload") {
                operation.expect_described(&call(&forgetful, &operation));
            }
        }
        if operation.body().is_some() {
            for body in [
                "",
                "{",
                "7",
                "[[]]",
                r#"{"info_hashes":["x"],"networks":["x"],"mode":"x"}"#,
            ] {
                let refused = api.ask(method, &with_token(path), json_type, body);
                operation.expect_described(&refused);
            }
            let text = "Content-Type: text/plain\r\n";
            let refused = api.ask(method, &with_token(path), text, "{}");
            assert_eq!(refused.status, 415);
            operation.expect_described(&refused);
        }
        for parameter in operation.described["parameters"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let parameter = resolved(&document, parameter);
            let name = parameter["name"].as_str().unwrap();
            let bad = if parameter["in"] == "path" {
                operation.path.replace(&format!("{{{name}}}"), "x")
            } else {
                format!("{path}?{name}=x")
            };
            let body = operation.body().map_or_else(String::new, Value::to_string);
            let headers = if body.is_empty() { "" } else { json_type };
            let refused = api.ask(method, &with_token(&bad), headers, &body);
            assert_eq!(refused.status, 400, "{method} {bad}");
            operation.expect_described(&refused);
        }
    }
}

#[test]
fn no_path_takes_a_method_that_is_not_described() {
    let api = api();
    let document = document(&api);
    let mut described: BTreeMap<&str, Vec<Operation<'_>>> = BTreeMap::new();
    for operation in operations(&document) {
        described.entry(operation.path).or_default().push(operation);
    }
    assert_eq!(
        described.len(),
        document["paths"].as_object().unwrap().len()
    );
    for (path, operations) in described {
        let target = operations[0].target();
        let target = with_token(target.split('?').next().unwrap());
        let mut allowed: BTreeSet<&str> = operations
            .iter()
            .map(|operation| operation.method)
            .collect();
        for method in METHODS {
            if !allowed.contains(method) {
                let refused = api.ask(method, &target, "", "");
                expect_empty(&refused, 405);
            }
        }
        if allowed.contains("GET") {
            allowed.insert("HEAD");
        }
        let refused = api.ask("PATCH", &target, "", "");
        let told: BTreeSet<&str> = refused.header("allow").unwrap().split(',').collect();
        assert_eq!(told, allowed, "{path}");
    }
}

/// Pages for people, and what belongs to them, are no part of the document.
const PAGES: [&str; 4] = ["/", "/stat", "/login", "/logout"];

/// Pages for those who are logged in begin like this.
const ADMIN: &str = "/admin";

/// The paths of all routes in the files of a folder.
fn routes_in(folder: &Path, routes: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            routes_in(&path, routes);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("pages/assets.rs")
        {
            let text = fs::read_to_string(&path).unwrap();
            for rest in text.split(".route(").skip(1) {
                let Some(literal) = rest.trim_start().strip_prefix('"') else {
                    panic!("{} has a path that is no literal", path.display());
                };
                routes.insert(literal.split('"').next().unwrap().to_owned());
            }
        }
    }
}

#[test]
fn every_route_of_the_sources_is_in_the_document_and_no_other() {
    let api = api();
    let document = document(&api);
    let mut routes = BTreeSet::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/control");
    routes_in(&sources, &mut routes);
    for page in PAGES {
        assert!(routes.remove(page), "{page}");
    }
    routes.retain(|route| !route.starts_with(ADMIN));
    let described: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(routes, described);
}

#[test]
fn everything_in_the_document_is_used() {
    let api = api();
    let document = document(&api);
    let text = document.to_string();
    for kind in ["schemas", "responses", "parameters"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            let reference = format!("\"#/components/{kind}/{name}\"");
            assert!(text.contains(&reference), "{reference} is not used");
        }
    }
    for part in text.split("\"$ref\":\"").skip(1) {
        let reference = part.split('"').next().unwrap();
        resolved(&document, &json!({ "$ref": reference }));
    }
    let schemes: Vec<&String> = document["components"]["securitySchemes"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    let used = document["security"].as_array().unwrap().iter();
    let mut used: Vec<&String> = used
        .flat_map(|one| one.as_object().unwrap().keys())
        .collect();
    used.sort_unstable();
    assert_eq!(used.len(), 2);
    assert!(used.iter().all(|name| schemes.contains(name)));
}
