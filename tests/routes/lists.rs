//! The lists of torrents and of networks, and the list of keys.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use serde_json::json;
use shoal::config::Secret;
use shoal::gate::access::{Deny, Mode};
use shoal::wire::InfoHash;

use super::{all_rows, bulk_body, column, hashes_body, problem, random_hash};
use crate::api::*;
use crate::http::{Browser, announce as announce_target, escaped, scrape};
use crate::in_process::{Announce, Client, PATIENCE, error_text};

const LISTS: [&str; 2] = ["/api/v1/whitelist", "/api/v1/blocklist"];

#[test]
fn torrents_are_listed_in_bulk_read_by_pages_and_unlisted_in_bulk() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let api = Api::start_with(|config| config.workers.count = 2);
    for route in LISTS {
        let mut hashes: Vec<String> = (0..57).map(|_| random_hash(&mut rng)).collect();
        let add = |hashes: &[String], reason| api.send("POST", route, &hashes_body(hashes, reason));
        assert_eq!(add(&hashes[..40], "first"), json!({"added": 40}));
        assert_eq!(add(&hashes[30..], "second"), json!({"added": 17}));
        assert_eq!(add(&hashes[..1], "third"), json!({"added": 0}));
        let note_of = |hash: &String| api.told(&format!("{route}/{hash}"))["reason"].clone();
        assert_eq!(note_of(&hashes[0]), "third");
        assert_eq!(note_of(&hashes[1]), "first");
        assert_eq!(note_of(&hashes[35]), "second");

        let first = hashes[0].clone();
        let removed = hashes.split_off(50);
        hashes.sort_unstable();
        let remove = hashes_body(&[&removed[..], &removed[..3]].concat(), "enough");
        assert_eq!(api.send("DELETE", route, &remove), json!({"removed": 7}));
        assert_eq!(api.send("DELETE", route, &remove), json!({"removed": 0}));
        let gone = api.get(&format!("{route}/{}", removed[0]));
        assert!(problem(&gone, 404).contains(&removed[0]));

        for limit in [1, 7, 50, 10_000] {
            let rows = all_rows(&api, route, limit);
            let told: Vec<_> = rows.iter().map(|row| row["info_hash"].clone()).collect();
            assert_eq!(json!(told), json!(hashes), "{limit}");
        }
        let page = api.told(route);
        assert_eq!(page["total"], 50);
        let now = api.server.clock.now().unix_s;
        for item in page["items"].as_array().unwrap() {
            let added = item["added"].as_u64().unwrap();
            assert!((now - 60..=now).contains(&added));
            assert_eq!(item["by"], "admin");
            let is_first = item["info_hash"] == json!(first);
            assert_eq!(item["reason"] == "third", is_first);
            // What is in no file has no word about it.
            assert_eq!(item.as_object().unwrap().len(), 4);
        }
    }
}

#[test]
fn a_reason_in_a_body_that_does_not_say_it_is_json_is_refused_and_none_is_lost() {
    let api = Api::start();
    let target = format!("/api/v1/blocklist/{HIGHER}");
    let body = json!({"reason": "court order 7"}).to_string();
    let ask =
        |method, headers: &str, body: &str| api.ask(method, &with_token(&target), headers, body);
    for method in ["POST", "DELETE"] {
        let told = problem(&ask(method, "", &body), 415);
        assert!(told.contains("Content-Type: application/json"), "{told}");
    }
    problem(&api.get(&target), 404);
    assert_eq!(
        api.send("POST", &target, &json!({"reason": "court order 7"})),
        json!({"added": 1})
    );
    assert_eq!(api.told(&target)["reason"], "court order 7");
    // Without any body there is no reason.
    assert_eq!(
        crate::api::json(&ask("DELETE", "", "")),
        json!({"removed": 1})
    );
    assert_eq!(crate::api::json(&ask("POST", "", "")), json!({"added": 1}));
    assert_eq!(api.told(&target)["reason"], "");
}

#[test]
fn an_info_hash_of_version_2_is_listed_by_its_first_40_digits() {
    let api = Api::start();
    let long = format!("{HIGHER}{}", "0123456789abcdef01234567");
    let upper = LOWER.to_uppercase();
    for route in LISTS {
        let body = hashes_body(&[&long, &upper, &HIGHER.to_owned()], "");
        assert_eq!(api.send("POST", route, &body), json!({"added": 2}));
        assert_eq!(column(&api.told(route), "info_hash"), [LOWER, HIGHER]);
        let shown = api.told(&format!("{route}/{long}"));
        assert_eq!(shown["info_hash"], HIGHER);
        let body = hashes_body(&[&long, &upper], "");
        assert_eq!(api.send("DELETE", route, &body), json!({"removed": 2}));
    }
    let one = format!("/api/v1/blocklist/{long}");
    assert_eq!(json(&api.admin("POST", &one)), json!({"added": 1}));
    assert_eq!(json(&api.admin("DELETE", &one)), json!({"removed": 1}));
}

#[test]
fn whoever_blocks_one_torrent_may_say_why() {
    let api = Api::start();
    let target = format!("/api/v1/blocklist/{HIGHER}");
    let reason = json!({"reason": "court order 7"});
    assert_eq!(api.send("POST", &target, &reason), json!({"added": 1}));
    let shown = api.told(&target);
    assert_eq!(
        (&shown["by"], &shown["reason"]),
        (&json!("admin"), &json!("court order 7"))
    );
    assert_eq!(api.send("DELETE", &target, &reason), json!({"removed": 1}));
    assert_eq!(json(&api.admin("DELETE", &target)), json!({"removed": 0}));
}

#[test]
fn a_torrent_in_the_operators_file_can_be_taken_from_there_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for name in ["allow", "block"] {
        fs::write(path(name), format!("{HIGHER} ours\n")).unwrap();
    }
    let api = Api::start_with(|config| {
        config.access.allowlist = path("allow");
        config.access.blocklist = path("block");
    });
    for (route, key) in LISTS
        .into_iter()
        .zip(["access.allowlist", "access.blocklist"])
    {
        assert_eq!(
            api.send("POST", route, &hashes_body(&[LOWER], "")),
            json!({"added": 1})
        );
        let both = hashes_body(&[LOWER, HIGHER], "").to_string();
        let refused = problem(&api.send_json("DELETE", route, &both), 409);
        assert!(
            refused.contains(HIGHER) && refused.contains(key),
            "{refused}"
        );
        assert!(refused.contains("reload"), "{refused}");
        // Nothing was taken, and the page has what the store keeps.
        assert_eq!(column(&api.told(route), "info_hash"), [LOWER]);
        let shown = api.told(&format!("{route}/{HIGHER}"));
        assert_eq!(shown, json!({"info_hash": HIGHER, "in_file": true}));
    }
    let one = api.admin("DELETE", &format!("/api/v1/blocklist/{HIGHER}"));
    assert!(problem(&one, 409).contains("access.blocklist"));
    // It may be in both.
    let target = format!("/api/v1/blocklist/{HIGHER}");
    assert_eq!(json(&api.admin("POST", &target)), json!({"added": 1}));
    let shown = api.told(&target);
    assert_eq!(
        (&shown["in_file"], &shown["by"]),
        (&json!(true), &json!("admin"))
    );
    problem(&api.admin("DELETE", &target), 409);
}

#[test]
fn a_blocked_torrent_is_refused_at_once_over_udp_and_http_until_it_is_unblocked() {
    let api = Api::start_with(|config| {
        config.workers.count = 2;
        config.access.deny = Deny::Error;
    });
    let client = api.server.client();
    let id = client.connect();
    let mut browser = Browser::of(api.server.http_address());
    let info_hash = bytes_of(HIGHER);
    let target = announce_target(&escaped(&info_hash), 7001, 9, "started");
    for _ in 0..3 {
        let seen = client.announce(id, Announce::seeder(info_hash, 7000));
        assert_eq!(seen.seeders, 1);
        assert!(browser.get(&target).text().contains("8:intervali"));
        api.send("POST", "/api/v1/blocklist", &hashes_body(&[HIGHER], ""));
        let told = client.ask(&Announce::seeder(info_hash, 7000).to_bytes(id));
        assert_eq!(error_text(&told), "info_hash not allowed");
        let told = browser.get(&target).text();
        assert_eq!(told, "d14:failure reason21:info_hash not allowede");
        assert_eq!(client.scrape(id, &[info_hash]), [(0, 0, 0)]);
        let told = browser.get(&scrape([info_hash])).text();
        assert!(told.contains("8:completei0e"), "{told}");
        api.send("DELETE", "/api/v1/blocklist", &hashes_body(&[HIGHER], ""));
    }
}

#[test]
fn an_allowed_torrent_is_served_in_a_listed_mode_and_survives_a_restart() {
    let mut kept = None;
    let api = Api::start_with(|config| {
        config.access.mode = Mode::Listed;
        kept = Some(config.clone());
    });
    api.send("POST", "/api/v1/whitelist", &hashes_body(&[HIGHER], "ours"));
    let Api { server, folder } = api;
    server.tracker.stop().unwrap();
    let server = crate::in_process::Server::start(&kept.unwrap());
    let api = Api { server, folder };
    assert_eq!(api.told("/api/v1/whitelist")["items"][0]["reason"], "ours");
    let client = api.server.client();
    let id = client.connect();
    client.announce(id, Announce::seeder(bytes_of(HIGHER), 7000));
    client.announce(id, Announce::seeder(bytes_of(LOWER), 7000));
    let seen = client.scrape(id, &[bytes_of(HIGHER), bytes_of(LOWER)]);
    assert_eq!(seen, [(1, 0, 0), (0, 0, 0)]);
}

#[test]
fn three_hundred_thousand_torrents_are_blocked_by_one_request() {
    const LEN: u32 = 300_000;
    let api = Api::start();
    let body = bulk_body(0, LEN);
    let added = json(&api.post_json("/api/v1/blocklist", &body));
    assert_eq!(added, json!({"added": LEN}));
    let registrar = api.server.tracker.registrar();
    for n in [0, 1, LEN / 2, LEN - 1] {
        let hash = format!("{n:040x}");
        assert!(registrar.is_blocked(&InfoHash(bytes_of(&hash))), "{n}");
    }
    let last = api.told(&format!("/api/v1/blocklist?offset={}", LEN - 2));
    assert_eq!(last["total"], LEN);
    let wanted = [LEN - 2, LEN - 1].map(|n| format!("{n:040x}"));
    assert_eq!(column(&last, "info_hash"), wanted);
    let page = api.told("/api/v1/blocklist?limit=999999999");
    assert_eq!(page["items"].as_array().unwrap().len(), 10_000);
    let removed = json(&api.send_json("DELETE", "/api/v1/blocklist", &body));
    assert_eq!(removed, json!({"removed": LEN}));
    assert!(!registrar.is_blocked(&InfoHash([0; 20])));
}

#[test]
fn lists_that_were_replaced_are_freed_although_nothing_else_changes() {
    let api = Api::start_with(|config| config.workers.count = 2);
    let access = api.server.tracker.registrar().access();
    let old = Arc::downgrade(&access.load_full());
    json(&api.get("/api/v1/whitelist/reload"));
    let deadline = Instant::now() + 3 * PATIENCE;
    while old.strong_count() > 0 {
        assert!(Instant::now() < deadline, "somebody holds on to old lists");
        thread::sleep(PATIENCE / 100);
    }
}

#[test]
fn sources_are_turned_away_by_network_at_once_over_udp_and_http() {
    let route = "/api/v1/ip_blocklist";
    let api = Api::start_with(|config| config.access.deny = Deny::Error);
    let stranger: IpAddr = "127.0.0.2".parse().unwrap();
    let client = Client::at(stranger, api.server.address());
    let id = client.connect();
    let info_hash = bytes_of(HIGHER);
    let announced = || client.ask(&Announce::seeder(info_hash, 7000).to_bytes(id));
    let target = announce_target(&escaped(&info_hash), 7001, 9, "started");
    let mut browser = Browser::at(stranger, api.server.http_address());
    assert_eq!(announced()[3], 1);

    let networks = json!({"networks": ["127.0.0.2", "192.0.2.77/24", "2001:db8::/32", "127.0.0.2/32"],
        "reason": "flood"});
    assert_eq!(api.send("POST", route, &networks), json!({"added": 3}));
    assert_eq!(error_text(&announced()), "address blocked");
    let told = browser.get(&target).text();
    assert_eq!(told, "d14:failure reason15:address blockede");
    api.announce(HIGHER, 7002, 0);

    let page = api.told(route);
    assert_eq!(page["total"], 3);
    assert_eq!(
        column(&page, "network"),
        ["127.0.0.2/32", "192.0.2.0/24", "2001:db8::/32"]
    );
    assert_eq!(page["items"][0]["reason"], "flood");
    assert_eq!(page["items"][0]["by"], "admin");
    let part = api.told(&format!("{route}?offset=1&limit=1"));
    assert_eq!(part["total"], 3);
    assert_eq!(column(&part, "network"), ["192.0.2.0/24"]);

    let less = json!({"networks": ["127.0.0.2", "198.51.100.0/24"]});
    assert_eq!(api.send("DELETE", route, &less), json!({"removed": 1}));
    assert_eq!(announced()[3], 1);
    assert!(browser.get(&target).text().contains("8:intervali"));
    assert_eq!(api.told(route)["total"], 2);
}

#[test]
fn keys_are_read_by_pages_with_when_they_were_made_and_how_long_they_are_good() {
    let api = Api::start_with(|config| {
        let tokens = &mut config.control.tokens;
        tokens.insert("bot".to_owned(), Secret::new("AnotherToken"));
    });
    let mut made: Vec<_> = (0..12)
        .map(|n| {
            let seconds = (n % 2 == 0).then_some(3600 + n);
            let body = json!({"key": null, "seconds_valid": seconds});
            api.send("POST", "/api/v1/keys", &body)
        })
        .collect();
    made.sort_by_key(|key| key["key"].as_str().unwrap().to_owned());
    for limit in [1, 5, 100] {
        let mut rows = all_rows(&api, "/api/v1/keys", limit);
        let now = api.server.clock.now().unix_s;
        for row in &mut rows {
            let created = row.as_object_mut().unwrap().remove("created").unwrap();
            assert!((now - 60..=now).contains(&created.as_u64().unwrap()));
        }
        assert_eq!(rows, made);
    }
    let key = made[0]["key"].as_str().unwrap();
    api.admin("DELETE", &format!("/api/v1/key/{key}"));
    assert_eq!(api.told("/api/v1/keys")["total"], 11);
}

#[test]
fn without_a_store_lists_cannot_be_read_nor_changed_and_the_reason_is_told() {
    let api = Api::start_with(|config| config.store.path = String::new());
    let refused = |method: &str, target: &str, body: &str| {
        let sentence = problem(&api.send_json(method, target, body), 409);
        assert!(sentence.contains("store.path"), "{target}: {sentence}");
    };
    let hashes = hashes_body(&[HIGHER], "").to_string();
    for route in LISTS {
        refused("GET", route, "");
        refused("POST", route, &hashes);
        refused("DELETE", route, &hashes);
        problem(&api.get(&format!("{route}/{HIGHER}")), 404);
    }
    let networks = r#"{"networks":["192.0.2.0/24"]}"#;
    refused("GET", "/api/v1/ip_blocklist", "");
    refused("POST", "/api/v1/ip_blocklist", networks);
    refused("DELETE", "/api/v1/ip_blocklist", networks);
    for route in ["keys", "journal", "takedowns", "metadata", "transfers"] {
        refused("GET", &format!("/api/v1/{route}"), "");
    }
    let metadata = format!("/api/v1/torrent/{HIGHER}/metadata");
    refused("GET", &metadata, "");
    refused("PUT", &metadata, "{}");
    refused("DELETE", &metadata, "");
    refused("POST", "/api/v1/snapshot", "");
    let register = format!(r#"{{"torrents":[{{"info_hash":"{HIGHER}"}}]}}"#);
    refused("POST", "/api/v1/torrents", &register);
}
