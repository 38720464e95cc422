//! Who did what and when, and what of it the public sees.

use serde_json::{Value, json};
use shoal::config::Secret;

use super::{column, hashes_body, problem};
use crate::api::*;

/// What is told of an entry beside its number and time.
fn told(entry: &Value) -> [&str; 4] {
    ["action", "subject", "reason", "by"].map(|name| entry[name].as_str().unwrap())
}

#[test]
fn what_is_changed_is_in_the_journal_with_who_and_why_and_the_newest_is_first() {
    let api = Api::start_with(|config| {
        let tokens = &mut config.control.tokens;
        tokens.insert("bot".to_owned(), Secret::new("AnotherToken"));
    });
    let network = json!({"networks": ["192.0.2.7/24"], "reason": "flood"});
    api.send("POST", "/api/v1/whitelist", &hashes_body(&[HIGHER], "ours"));
    api.send("DELETE", "/api/v1/whitelist", &hashes_body(&[HIGHER], ""));
    api.admin("POST", &format!("/api/v1/whitelist/{LOWER}"));
    api.send("POST", "/api/v1/ip_blocklist", &network);
    api.send("DELETE", "/api/v1/ip_blocklist", &network);
    let bearer = "Authorization: Bearer AnotherToken\r\n";
    let blocked = api.ask("POST", &format!("/api/v1/blocklist/{LOWER}"), bearer, "");
    assert_eq!(blocked.status, 200);
    let key = json(&api.admin("POST", "/api/v1/key/60"));
    let key = key["key"].as_str().unwrap();
    api.admin("DELETE", &format!("/api/v1/key/{key}"));
    api.send("PUT", "/api/v1/mode", &json!({"mode": "listed"}));
    api.announce(HIGHER, 7000, 1);
    api.announce(LOWER, 7000, 1);
    api.send("PUT", "/api/v1/mode", &json!({"mode": "public"}));
    api.announce(HIGHER, 7000, 1);
    api.admin("DELETE", &format!("/api/v1/torrent/{HIGHER}"));
    let metadata = format!("/api/v1/torrent/{HIGHER}/metadata");
    api.send("PUT", &metadata, &json!({"name": "a"}));
    api.admin("DELETE", &metadata);
    api.send("POST", "/api/v1/import", &json!({"torrents": []}));
    api.admin("POST", "/api/v1/sweep");
    api.admin("POST", "/api/v1/snapshot");

    let page = api.told("/api/v1/journal");
    let entries: Vec<[&str; 4]> = page["items"].as_array().unwrap().iter().map(told).collect();
    let shown = format!("{}..", &key[..8]);
    let mut expected = [
        ["allow", HIGHER, "ours", "admin"],
        ["disallow", HIGHER, "", "admin"],
        ["allow", LOWER, "", "admin"],
        ["block_network", "192.0.2.0/24", "flood", "admin"],
        ["unblock_network", "192.0.2.0/24", "flood", "admin"],
        ["block", LOWER, "", "bot"],
        ["add_key", &shown, "", "admin"],
        ["remove_key", &shown, "", "admin"],
        ["mode", "listed", "", "admin"],
        ["mode", "public", "", "admin"],
        ["forget", HIGHER, "", "admin"],
        ["metadata", HIGHER, "", "admin"],
        ["metadata", HIGHER, "removed", "admin"],
        ["import", "0 torrents", "", "admin"],
        ["sweep", "swarms", "", "admin"],
        ["snapshot", "swarms", "", "admin"],
    ];
    expected.reverse();
    assert_eq!(entries, expected);
    let now = api.server.clock.now().unix_s;
    for (entry, number) in page["items"].as_array().unwrap().iter().rev().zip(1_u64..) {
        assert_eq!(entry["number"], number);
        assert!((now - 60..=now).contains(&entry["at"].as_u64().unwrap()));
    }
}

#[test]
fn only_what_has_changed_is_in_the_journal_and_each_thing_once() {
    let api = Api::start();
    let twice = hashes_body(&[LOWER, LOWER], "");
    api.send("POST", "/api/v1/blocklist", &twice);
    // One of them is not there.
    let both = hashes_body(&[HIGHER, LOWER, HIGHER], "");
    assert_eq!(
        api.send("DELETE", "/api/v1/blocklist", &both),
        json!({"removed": 1})
    );
    assert_eq!(
        api.send("DELETE", "/api/v1/blocklist", &both),
        json!({"removed": 0})
    );
    let networks = json!({"networks": ["192.0.2.0/24", "192.0.2.9/24"]});
    assert_eq!(
        api.send("POST", "/api/v1/ip_blocklist", &networks),
        json!({"added": 1})
    );
    let networks = json!({"networks": ["192.0.2.0/24", "198.51.100.0/24"]});
    api.send("DELETE", "/api/v1/ip_blocklist", &networks);
    api.send("DELETE", "/api/v1/ip_blocklist", &networks);
    api.admin("DELETE", &format!("/api/v1/torrent/{HIGHER}"));
    api.admin("DELETE", &format!("/api/v1/torrent/{HIGHER}/metadata"));
    problem(
        &api.send_json("PUT", "/api/v1/mode", r#"{"mode":"secret"}"#),
        400,
    );
    let page = api.told("/api/v1/journal");
    let items = page["items"].as_array().unwrap().iter();
    let entries: Vec<_> = items
        .map(|entry| (told(entry)[0], told(entry)[1]))
        .collect();
    let expected = [
        ("unblock_network", "192.0.2.0/24"),
        ("block_network", "192.0.2.0/24"),
        ("unblock", LOWER),
        ("block", LOWER),
    ];
    assert_eq!(entries, expected);
}

#[test]
fn takedowns_are_read_by_pages_backwards_without_anything_else() {
    let api = Api::start();
    let hash = |n: u32| format!("{n:040x}");
    for n in 0..20 {
        api.send(
            "POST",
            "/api/v1/blocklist",
            &hashes_body(&[hash(n)], &format!("order {n}")),
        );
        api.send("POST", "/api/v1/whitelist", &hashes_body(&[hash(n)], ""));
    }
    api.send(
        "DELETE",
        "/api/v1/blocklist",
        &hashes_body(&[hash(3)], "appeal"),
    );
    let mut before = u64::MAX;
    let mut entries = Vec::new();
    loop {
        let page = api.told(&format!("/api/v1/takedowns?limit=7&before={before}"));
        let items = page["items"].as_array().unwrap();
        let Some(last) = items.last() else {
            break;
        };
        assert!(items.len() <= 7);
        before = last["number"].as_u64().unwrap();
        entries.extend(items.iter().cloned());
    }
    assert_eq!(entries.len(), 21);
    assert_eq!(told(&entries[0]), ["unblock", &hash(3), "appeal", "admin"]);
    for (entry, n) in entries[1..].iter().zip((0..20).rev()) {
        assert_eq!(
            told(entry),
            ["block", &hash(n), &format!("order {n}"), "admin"]
        );
    }
    let numbers = entries
        .iter()
        .map(|entry| entry["number"].as_u64().unwrap());
    assert!(numbers.is_sorted_by(|a, b| a > b));
    assert_eq!(api.told("/api/v1/takedowns?before=0"), json!({"items": []}));
    assert_eq!(api.told("/api/v1/takedowns?limit=0"), json!({"items": []}));
    assert_eq!(
        api.told("/api/v1/journal")["items"]
            .as_array()
            .unwrap()
            .len(),
        41
    );
}

#[test]
fn a_bulk_of_takedowns_names_each_torrent_and_a_bulk_of_others_their_number() {
    let api = Api::start();
    let body = super::bulk_body(0, 1500);
    api.post_json("/api/v1/blocklist", &body);
    api.post_json("/api/v1/whitelist", &body);
    let page = api.told("/api/v1/journal?limit=10000");
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), 1501);
    assert_eq!(told(&items[0])[..2], ["allow", "1500 info-hashes"]);
    assert_eq!(told(&items[1])[..2], ["block", &format!("{:040x}", 1499)]);
}

#[test]
fn the_blocklist_is_public_where_the_operator_wants_it_and_tells_no_names() {
    let private = Api::start();
    private.send(
        "POST",
        "/api/v1/blocklist",
        &hashes_body(&[HIGHER], "order 7"),
    );
    let refused = private.ask("GET", "/api/blocklist.json", "", "");
    problem(&refused, 404);

    let api = Api::start_with(|config| config.access.publish_blocklist = true);
    let both = hashes_body(&[HIGHER, LOWER], "order 7");
    api.send("POST", "/api/v1/blocklist", &both);
    let ask = |target: &str| json(&api.ask("GET", target, "", ""));
    let page = ask("/api/blocklist.json");
    assert_eq!(page["total"], 2);
    assert_eq!(column(&page, "info_hash"), [LOWER, HIGHER]);
    for item in page["items"].as_array().unwrap() {
        assert_eq!(item["reason"], "order 7");
        let mut members: Vec<&String> = item.as_object().unwrap().keys().collect();
        members.sort_unstable();
        assert_eq!(members, ["info_hash", "reason", "since"]);
    }
    let part = ask("/api/blocklist.json?offset=1&limit=1");
    assert_eq!(column(&part, "info_hash"), [HIGHER]);
    assert!(!page.to_string().contains("admin"));
}
