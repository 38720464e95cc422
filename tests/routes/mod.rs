//! What the tests of the routes share: what they ask, and what a problem looks like.

mod bad_input;
mod journal;
mod lists;
mod operations;
mod small;
mod torrents;
mod transfers;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::api::{Api, json};
use crate::http::Response;

/// A problem: its status, and its sentence, which is returned.
#[track_caller]
pub(crate) fn problem(response: &Response, status: u16) -> String {
    assert_eq!(response.status, status, "{}", response.text());
    let kind = response.header("content-type");
    assert_eq!(kind, Some("application/problem+json"));
    let told: Value = serde_json::from_slice(&response.body).unwrap();
    let members: BTreeSet<&String> = told.as_object().unwrap().keys().collect();
    let known = ["detail", "status", "title", "type"].map(str::to_owned);
    assert_eq!(members, known.iter().collect());
    assert_eq!(told["type"], "about:blank");
    assert_eq!(told["status"], status);
    assert!(
        told["title"]
            .as_str()
            .is_some_and(|title| !title.is_empty())
    );
    let detail = told["detail"].as_str().unwrap();
    assert!(!detail.is_empty() && detail.len() < 4096, "{detail}");
    assert!(!detail.contains(char::is_control), "{detail:?}");
    detail.to_owned()
}

impl Api {
    /// What a good request with the token is told.
    #[track_caller]
    pub(crate) fn told(&self, target: &str) -> Value {
        json(&self.get(target))
    }

    /// Sends a body with the token, and reads the good answer.
    #[track_caller]
    pub(crate) fn send(&self, method: &str, target: &str, body: &Value) -> Value {
        json(&self.send_json(method, target, &body.to_string()))
    }
}

/// A random info-hash, in 40 digits.
pub(crate) fn random_hash(rng: &mut fastrand::Rng) -> String {
    (0..40).map(|_| rng.digit(16)).collect()
}

/// One member of each item of a page.
pub(crate) fn column(page: &Value, name: &str) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| item[name].as_str().unwrap().to_owned())
        .collect()
}

/// All rows of a list, read by pages of this size.
#[track_caller]
pub(crate) fn all_rows(api: &Api, route: &str, limit: usize) -> Vec<Value> {
    let mut rows: Vec<Value> = Vec::new();
    loop {
        let target = format!("{route}?offset={}&limit={limit}", rows.len());
        let page = api.told(&target);
        let items = page["items"].as_array().unwrap();
        if items.is_empty() {
            assert_eq!(page["total"], rows.len(), "{target}");
            return rows;
        }
        assert!(items.len() <= limit);
        rows.extend(items.iter().cloned());
    }
}

/// `{"info_hashes":[..],"reason":".."}`
pub(crate) fn hashes_body<T: AsRef<str>>(hashes: &[T], reason: &str) -> Value {
    let hashes: Vec<&str> = hashes.iter().map(AsRef::as_ref).collect();
    json!({"info_hashes": hashes, "reason": reason})
}

/// Info-hashes that count up from `first`, as the body of a bulk.
pub(crate) fn bulk_body(first: u32, len: u32) -> String {
    let mut body = String::from(r#"{"info_hashes":["#);
    for n in first..first + len {
        let comma = if n == first { "" } else { "," };
        write!(body, "{comma}\"{n:040x}\"").unwrap();
    }
    body.push_str("]}");
    body
}
