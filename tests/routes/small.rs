//! The paths of the small Flask tracker.

use serde_json::json;

use crate::api::*;
use crate::http::Response;

const UNAUTHORIZED: &str = "Unhandled rejection: Err { reason: \"unauthorized\" }";

/// An error in the way of that tracker.
#[track_caller]
fn failure(response: &Response, status: u16) -> String {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/json"));
    let told: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(told.as_object().unwrap().len(), 1);
    told["error"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_known_of_a_torrent_is_added_and_told_in_the_statistics() {
    let api = Api::start();
    let info = json!({
        "info_hash": HIGHER, "name": "Big Buck Bunny", "size": 1000, "piece_length": 16_384,
        "comment": "", "created_by": "make_torrent.py", "creation_date": 1_700_000_000_u64,
        "num_pieces": 1, "files": [{"path": ["a"], "length": 1000}]
    });
    let added = api.send("POST", "/add_torrent_info", &info);
    assert_eq!(added, json!({"message": "Torrent info added"}));
    assert_eq!(api.told("/stats"), json!({}));
    api.announce(HIGHER, 7000, 0);
    api.announce(HIGHER, 7001, 5);
    api.announce(LOWER, 7000, 5);
    assert_eq!(
        api.told("/stats"),
        json!({
            HIGHER: {
                "name": "Big Buck Bunny", "size": 1000, "creation_date": 1_700_000_000_u64,
                "stats": {"complete": 1, "incomplete": 1, "downloaded": 0, "peers": 2}
            },
            LOWER: {
                "name": null, "size": null, "creation_date": null,
                "stats": {"complete": 0, "incomplete": 1, "downloaded": 0, "peers": 1}
            }
        })
    );
    let second = api.told("/stats?offset=1&limit=1");
    let second: Vec<&String> = second.as_object().unwrap().keys().collect();
    assert_eq!(second, [HIGHER]);
    assert_eq!(api.told("/stats?offset=18446744073709551615"), json!({}));
    let told = api.told(&format!("/api/v1/torrent/{HIGHER}/metadata"));
    assert_eq!(told["created_by"], "make_torrent.py");
}

#[test]
fn errors_are_told_as_there() {
    let api = Api::start();
    let add = |body: &str| api.post_json("/add_torrent_info", body);
    assert!(failure(&add("{}"), 422).contains("info_hash"));
    failure(&add("{"), 400);
    failure(&add("[]"), 422);
    assert!(failure(&add(r#"{"info_hash":"xyz"}"#), 400).contains("\"xyz\""));
    let text = api.ask("POST", &with_token("/add_torrent_info"), "", "{}");
    failure(&text, 415);
    failure(&api.get("/stats?limit=many"), 400);
    let forgetful = Api::start_with(|config| config.store.path = String::new());
    let info = format!(r#"{{"info_hash":"{HIGHER}"}}"#);
    for refused in [
        forgetful.post_json("/add_torrent_info", &info),
        forgetful.admin("POST", "/save_state"),
    ] {
        assert!(failure(&refused, 409).contains("store.path"));
    }
    assert_eq!(forgetful.told("/stats"), json!({}));
}

#[test]
fn a_state_is_saved() {
    let api = Api::start();
    api.announce(HIGHER, 7000, 0);
    let saved = json(&api.admin("POST", "/save_state"));
    assert_eq!(saved, json!({"message": "State saved"}));
    let written = api.server.tracker.store().unwrap();
    assert!(
        written.describe().contains("snapshots_written 1"),
        "{}",
        written.describe()
    );
    let entry = api.told("/api/v1/journal?limit=1");
    assert_eq!(entry["items"][0]["action"], "snapshot");
}

#[test]
fn nothing_happens_by_a_get_or_without_a_token() {
    let api = Api::start();
    let info = format!(r#"{{"info_hash":"{HIGHER}"}}"#);
    for route in ["/add_torrent_info", "/save_state", "/shutdown"] {
        let refused = api.get(route);
        expect_empty(&refused, 405);
        assert_eq!(refused.header("allow"), Some("POST"));
        let json = "Content-Type: application/json\r\n";
        expect_text(&api.ask("POST", route, json, &info), 500, UNAUTHORIZED);
        expect_text(&api.ask("GET", route, "", ""), 500, UNAUTHORIZED);
    }
    // Without this a page for people is there.
    let accept = "Accept: application/json\r\n";
    expect_text(&api.ask("GET", "/stats", accept, ""), 500, UNAUTHORIZED);
    assert_eq!(api.told("/api/v1/metadata")["total"], 0);
    assert_eq!(api.told("/api/v1/journal"), json!({"items": []}));
}
