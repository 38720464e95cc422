//! Behaviours that clients of Torrust's API rely on, asked for over real sockets.

mod api;
mod http;
mod in_process;

use api::*;
use serde_json::json;
use shoal::counters::{Count, Family, Kind, Protocol};

const UNAUTHORIZED: &str = "Unhandled rejection: Err { reason: \"unauthorized\" }";
const NOT_VALID: &str = "Unhandled rejection: Err { reason: \"token not valid\" }";

/// Info-hashes that are none, as they stand in a path and as they are told.
const BAD_HASHES: [(&str, &str); 6] = [
    ("0", "0"),
    ("-1", "-1"),
    ("1.1", "1.1"),
    ("INVALID%20INFOHASH", "INVALID INFOHASH"),
    (
        "9c38422213e30bff212b30c360d26f9a0213642",
        "9c38422213e30bff212b30c360d26f9a0213642",
    ),
    (
        "9c38422213e30bff212b30c360d26f9a0213642%26",
        "9c38422213e30bff212b30c360d26f9a0213642&",
    ),
];

/// One route of each group, with the status of its good answer.
const ROUTES: [(&str, &str); 8] = [
    ("GET", "/api/v1/stats"),
    ("GET", "/api/v1/torrents"),
    (
        "GET",
        "/api/v1/torrent/9e0217d0fa71c87332cd8bf9dbeabcb2c2cf3c4d",
    ),
    (
        "POST",
        "/api/v1/whitelist/9e0217d0fa71c87332cd8bf9dbeabcb2c2cf3c4d",
    ),
    (
        "DELETE",
        "/api/v1/whitelist/9e0217d0fa71c87332cd8bf9dbeabcb2c2cf3c4d",
    ),
    ("GET", "/api/v1/whitelist/reload"),
    ("POST", "/api/v1/key/60"),
    ("GET", "/api/v1/keys/reload"),
];

fn bad_hash(shown: &str) -> String {
    format!(
        "Invalid URL: invalid infohash param: string \"{shown}\", expected a 40 character long string"
    )
}

// ---- who may ask ----

#[test]
fn every_route_wants_a_token_that_is_good() {
    let api = Api::start();
    for (method, route) in ROUTES {
        let ask = |query: &str| api.ask(method, &format!("{route}{query}"), "", "");
        assert_eq!(ask("?token=MyAccessToken").status, 200, "{route}");
        expect_text(&ask(""), 500, UNAUTHORIZED);
        expect_text(&ask("?token="), 500, NOT_VALID);
        expect_text(&ask("?token=INVALID%20TOKEN"), 500, NOT_VALID);
        expect_text(&ask("?token=MyAccessTokenn"), 500, NOT_VALID);
    }
    let failures = api.server.tracker.control().unwrap().counters.read();
    assert_eq!(failures.auth_failures, 4 * ROUTES.len() as u64);
}

#[test]
fn the_token_may_stand_anywhere_in_the_query() {
    let api = Api::start();
    for query in ["token=MyAccessToken&limit=1", "limit=1&token=MyAccessToken"] {
        let response = api.ask("GET", &format!("/api/v1/torrents?{query}"), "", "");
        assert_eq!(response.status, 200);
    }
    let twice = "/api/v1/stats?token=MyAccessToken&token=MyAccessToken";
    expect_text_from(
        &api.ask("GET", twice, "", ""),
        400,
        "Failed to deserialize query string: ",
    );
}

#[test]
fn the_token_may_stand_in_a_header_too() {
    let api = Api::start();
    let ask = |header: &str| api.ask("GET", "/api/v1/stats", header, "");
    assert_eq!(ask("Authorization: Bearer MyAccessToken\r\n").status, 200);
    expect_text(&ask("Authorization: Bearer wrong\r\n"), 500, NOT_VALID);
    expect_text(
        &ask("Authorization: Basic TXlBY2Nlc3M=\r\n"),
        500,
        UNAUTHORIZED,
    );
}

#[test]
fn every_token_opens_every_door_and_none_is_good_that_nobody_was_given() {
    let api = Api::start_with(|config| {
        let tokens = &mut config.control.tokens;
        tokens.insert("bot".to_owned(), shoal::config::Secret::new("AnotherToken"));
    });
    for token in [TOKEN, "AnotherToken"] {
        let target = format!("/api/v1/stats?token={token}");
        assert_eq!(api.ask("GET", &target, "", "").status, 200);
    }
    let closed = Api::start_with(|config| config.control.tokens.clear());
    expect_text(&closed.get("/api/v1/stats"), 500, NOT_VALID);
}

#[test]
fn what_does_not_exist_is_told_only_to_those_who_may_ask() {
    let api = Api::start();
    for target in [
        "/nowhere",
        "/api",
        "/api/v1",
        "/api/v1/unknown",
        "/api/v2/stats",
    ] {
        expect_text(&api.ask("GET", target, "", ""), 500, UNAUTHORIZED);
        expect_empty(&api.get(target), 404);
    }
    expect_text(&api.ask("POST", "/api/v1/stats", "", ""), 500, UNAUTHORIZED);
    let wrong_method = api.admin("POST", "/api/v1/stats");
    expect_empty(&wrong_method, 405);
    assert_eq!(wrong_method.header("allow"), Some("GET,HEAD"));
}

#[test]
fn health_is_told_to_everybody() {
    let api = Api::start();
    let response = api.ask("GET", "/api/health_check", "", "");
    assert_eq!(response.text(), r#"{"status":"Ok"}"#);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.status, 200);
}

#[test]
fn a_request_gets_its_name_back_or_a_new_one() {
    let api = Api::start();
    let named = |name: &str| {
        let header = format!("X-Request-Id: {name}\r\n");
        let response = api.ask("GET", "/api/health_check", &header, "");
        response.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(named("my-request.1"), "my-request.1");
    for bad in ["", "two words", &"x".repeat(129)] {
        assert_eq!(named(bad).len(), 36, "{bad}");
    }
    assert_ne!(named(""), named(""));
}

// ---- stats ----

#[test]
fn stats_are_sixteen_numbers() {
    let api = Api::start();
    api.announce(HIGHER, 8080, 0);
    let response = api.get("/api/v1/stats");
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(
        json(&response),
        json!({
            "torrents": 1, "seeders": 1, "completed": 0, "leechers": 0,
            "tcp4_connections_handled": 0, "tcp4_announces_handled": 0, "tcp4_scrapes_handled": 0,
            "tcp6_connections_handled": 0, "tcp6_announces_handled": 0, "tcp6_scrapes_handled": 0,
            "udp4_connections_handled": 1, "udp4_announces_handled": 1, "udp4_scrapes_handled": 0,
            "udp6_connections_handled": 0, "udp6_announces_handled": 0, "udp6_scrapes_handled": 0
        })
    );
}

#[test]
fn requests_over_http_are_counted_as_connections_too() {
    let api = Api::start();
    let mut browser = http::Browser::of(api.server.http_address());
    let hash = http::escaped(&bytes_of(LOWER));
    browser.get(&http::announce(&hash, 7000, 1, "started"));
    browser.get(&http::scrape([bytes_of(LOWER)]));
    let scrapes = Count::Answered(Protocol::Http, Family::Ip4, Kind::Scrape);
    api.server
        .wait_until("scrape counted", |totals| totals.get(scrapes) == 1);
    let stats = json(&api.get("/api/v1/stats"));
    assert_eq!(stats["tcp4_connections_handled"], 2);
    assert_eq!(stats["tcp4_announces_handled"], 1);
    assert_eq!(stats["tcp4_scrapes_handled"], 1);
    assert_eq!(stats["leechers"], 1);
    assert_eq!(stats["tcp6_connections_handled"], 0);
}

#[test]
fn a_download_that_ends_is_counted() {
    let api = Api::start();
    let client = api.server.client();
    let id = client.connect();
    announce(&client, id, LOWER, 7000, 1);
    let done = in_process::Announce {
        event: in_process::Announce::COMPLETED,
        ..in_process::Announce::seeder(bytes_of(LOWER), 7000)
    };
    client.announce(id, done);
    let stats = json(&api.get("/api/v1/stats"));
    assert_eq!(
        (&stats["completed"], &stats["seeders"]),
        (&json!(1), &json!(1))
    );
    let list = json(&api.get("/api/v1/torrents"));
    assert_eq!(list[0]["completed"], 1);
}

// ---- the list of torrents ----

#[test]
fn a_torrent_is_listed_with_its_counts() {
    let api = Api::start();
    assert_eq!(json(&api.get("/api/v1/torrents")), json!([]));
    api.announce(HIGHER, 8080, 0);
    let response = api.get("/api/v1/torrents");
    assert_eq!(
        json(&response),
        json!([{"info_hash": HIGHER, "seeders": 1, "completed": 0, "leechers": 0}])
    );
    assert_eq!(response.header("content-type"), Some("application/json"));
}

fn hashes(list: &serde_json::Value) -> Vec<&str> {
    let items = list.as_array().unwrap().iter();
    items
        .map(|item| item["info_hash"].as_str().unwrap())
        .collect()
}

#[test]
fn pages_follow_the_order_of_info_hashes() {
    let api = Api::start_with(|config| config.workers.count = 2);
    let client = api.server.client();
    let id = client.connect();
    for hash in [HIGHER, LOWER] {
        announce(&client, id, hash, 8080, 0);
    }
    for (query, wanted) in [
        ("", &[LOWER, HIGHER][..]),
        ("?limit=1", &[LOWER]),
        ("?offset=1", &[HIGHER]),
        ("?offset=1&limit=1", &[HIGHER]),
        ("?offset=2", &[]),
        ("?limit=0", &[]),
        ("?offset=&limit=", &[LOWER, HIGHER]),
        ("?offset=4294967295&limit=4294967295", &[]),
    ] {
        let list = json(&api.get(&format!("/api/v1/torrents{query}")));
        assert_eq!(hashes(&list), wanted, "{query}");
    }
}

#[test]
fn many_torrents_come_in_order_and_each_once() {
    let api = Api::start_with(|config| config.workers.count = 2);
    let client = api.server.client();
    let id = client.connect();
    let mut all: Vec<String> = (0..5000_u32)
        .map(|n| format!("{:08x}{n:032x}", n.wrapping_mul(2_654_435_761)))
        .collect();
    for hash in &all {
        announce(&client, id, hash, 8080, 1);
    }
    all.sort_unstable();
    let list = json(&api.get("/api/v1/torrents?offset=100&limit=300"));
    assert_eq!(hashes(&list), all[100..400]);
    assert_eq!(hashes(&json(&api.get("/api/v1/torrents"))), all[..4000]);
    // More than is made at once: in pieces, which HTTP/1.0 does not mark.
    let mut browser = api.browser();
    let target = with_token("/api/v1/torrents?limit=9000");
    browser.send(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes());
    let rest = String::from_utf8(browser.rest()).unwrap();
    let (_, body) = rest.split_once("\r\n\r\n").unwrap();
    let list: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(hashes(&list), all);
}

#[test]
fn torrents_can_be_named_in_any_order_and_number() {
    let api = Api::start_with(|config| config.workers.count = 2);
    let client = api.server.client();
    let id = client.connect();
    for hash in [LOWER, HIGHER] {
        announce(&client, id, hash, 8080, 0);
    }
    let unknown = "ff".repeat(20);
    let target = format!(
        "/api/v1/torrents?limit=1&info_hash={HIGHER}&info_hash={unknown}&info_hash={}&info_hash={HIGHER}",
        LOWER.to_uppercase()
    );
    let list = json(&api.get(&target));
    assert_eq!(hashes(&list), [HIGHER, LOWER, HIGHER]);
    assert_eq!(list[1]["seeders"], 1);
}

#[test]
fn a_list_is_refused_that_is_asked_for_badly() {
    let api = Api::start();
    for bad in ["%20", "-1", "1.1", "INVALID%20OFFSET"] {
        for name in ["offset", "limit"] {
            expect_text(
                &api.get(&format!("/api/v1/torrents?{name}={bad}")),
                400,
                "Failed to deserialize query string: invalid digit found in string",
            );
        }
    }
    for (bad, shown) in BAD_HASHES {
        let target = format!("/api/v1/torrents?info_hash={HIGHER}&info_hash={bad}");
        expect_text(&api.get(&target), 400, &bad_hash(shown));
    }
}

// ---- one torrent ----

#[test]
fn a_torrent_is_told_with_its_peers() {
    let api = Api::start_with(|config| config.swarm.peer_details = true);
    let before = api.server.clock.now().unix_s;
    api.announce(HIGHER, 8080, 0);
    let response = api.get(&format!("/api/v1/torrent/{}", HIGHER.to_uppercase()));
    assert_eq!(response.header("content-type"), Some("application/json"));
    let mut torrent = json(&response);
    let updated = torrent["peers"][0]["updated"].take();
    assert_eq!(
        torrent["peers"][0]["updated_milliseconds_ago"].take(),
        updated
    );
    let updated = updated.as_u64().unwrap();
    assert!((before * 1000..before * 1000 + 10_000).contains(&updated));
    assert_eq!(
        torrent,
        json!({
            "info_hash": HIGHER, "seeders": 1, "completed": 0, "leechers": 0,
            "peers": [{
                "peer_id": {
                    "id": "0x2d5348303130302d6162636465666768696a6b6c",
                    "client": "Shoal"
                },
                "peer_addr": "127.0.0.1:8080",
                "updated": null, "updated_milliseconds_ago": null,
                "uploaded": 0, "downloaded": 0, "left": 0, "event": "Started"
            }]
        })
    );
}

#[test]
fn without_details_peers_have_addresses() {
    let api = Api::start_with(|config| config.workers.count = 2);
    let client = api.server.client();
    let id = client.connect();
    for port in [9000, 7000, 8000] {
        announce(&client, id, LOWER, port, 1);
    }
    let torrent = json(&api.get(&format!("/api/v1/torrent/{LOWER}")));
    assert_eq!(
        (&torrent["leechers"], &torrent["seeders"]),
        (&json!(3), &json!(0))
    );
    let peers = torrent["peers"].as_array().unwrap().iter();
    let addresses: Vec<_> = peers
        .map(|peer| peer["peer_addr"].as_str().unwrap())
        .collect();
    assert_eq!(
        addresses,
        ["127.0.0.1:7000", "127.0.0.1:8000", "127.0.0.1:9000"]
    );
}

#[test]
fn a_torrent_that_nobody_knows_is_told_as_such() {
    let api = Api::start();
    let response = api.get(&format!("/api/v1/torrent/{HIGHER}"));
    assert_eq!(response.status, 200);
    assert_eq!(response.text(), "\"torrent not known\"");
    assert_eq!(response.header("content-type"), Some("application/json"));
}

// ---- the whitelist ----

#[test]
fn a_torrent_can_be_listed_and_unlisted_as_often_as_one_likes() {
    let api = Api::start();
    let hash = shoal::wire::InfoHash(bytes_of(HIGHER));
    let registrar = api.server.tracker.registrar();
    let target = format!("/api/v1/whitelist/{HIGHER}");
    for (method, listed) in [
        ("POST", true),
        ("POST", true),
        ("DELETE", false),
        ("DELETE", false),
    ] {
        let response = api.admin(method, &target);
        assert_eq!((response.status, response.text().as_str()), (200, DONE));
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_eq!(registrar.is_allowed(&hash), listed);
    }
    api.admin("POST", &target);
    let response = api.get("/api/v1/whitelist/reload");
    assert_eq!((response.status, response.text().as_str()), (200, DONE));
    assert!(registrar.is_allowed(&hash));
}

#[test]
fn who_listed_a_torrent_is_noted() {
    let api = Api::start();
    api.admin("POST", &format!("/api/v1/whitelist/{HIGHER}"));
    let records = api.server.tracker.registrar().records().unwrap();
    let hash = shoal::wire::InfoHash(bytes_of(HIGHER));
    let note = records.note(shoal::store::List::Allowed, &hash);
    assert_eq!(note.unwrap().unwrap().by, "admin");
}

#[test]
fn a_listed_torrent_is_served_at_once() {
    let api = Api::start_with(|config| config.access.mode = shoal::gate::access::Mode::Listed);
    let client = api.server.client();
    let id = client.connect();
    let announce = in_process::Announce::seeder(bytes_of(HIGHER), 8080);
    client.announce(id, announce);
    assert_eq!(client.scrape(id, &[bytes_of(HIGHER)]), [(0, 0, 0)]);
    api.admin("POST", &format!("/api/v1/whitelist/{HIGHER}"));
    client.announce(id, announce);
    assert_eq!(client.scrape(id, &[bytes_of(HIGHER)]), [(1, 0, 0)]);
    api.admin("DELETE", &format!("/api/v1/whitelist/{HIGHER}"));
    assert_eq!(client.scrape(id, &[bytes_of(HIGHER)]), [(0, 0, 0)]);
}

#[test]
fn a_path_without_a_good_info_hash_is_refused() {
    let api = Api::start();
    for (method, route) in [
        ("GET", "torrent"),
        ("POST", "whitelist"),
        ("DELETE", "whitelist"),
    ] {
        for (bad, shown) in BAD_HASHES {
            let response = api.admin(method, &format!("/api/v1/{route}/{bad}"));
            expect_text(&response, 400, &bad_hash(shown));
        }
        for blank in ["", "%20"] {
            expect_empty(&api.admin(method, &format!("/api/v1/{route}/{blank}")), 404);
        }
    }
}

#[test]
fn without_a_store_a_change_fails_and_says_why() {
    let api = Api::start_with(|config| config.store.path = String::new());
    let failed = |method: &str, target: &str, what: &str| {
        let start = format!("Unhandled rejection: Err {{ reason: \"{what}: ");
        expect_text_from(&api.admin(method, target), 500, &start);
    };
    let entry = format!("/api/v1/whitelist/{HIGHER}");
    failed("POST", &entry, "failed to whitelist torrent");
    failed("DELETE", &entry, "failed to remove torrent from whitelist");
    failed(
        "GET",
        "/api/v1/whitelist/reload",
        "failed to reload whitelist",
    );
    failed("POST", "/api/v1/key/60", "failed to generate key");
    let key = format!("/api/v1/key/{}", "k".repeat(32));
    failed("DELETE", &key, "failed to delete key");
    failed("GET", "/api/v1/keys/reload", "failed to reload keys");
    expect_text_from(
        &api.post_json("/api/v1/keys", r#"{"key":null,"seconds_valid":null}"#),
        500,
        "Unhandled rejection: Err { reason: \"failed to generate key: ",
    );
}

// ---- keys ----

fn has_key(api: &Api, key: &str) -> bool {
    let registrar = api.server.tracker.registrar();
    registrar.has_key(&key.parse().unwrap())
}

#[test]
fn a_random_key_is_good_for_as_long_as_is_asked() {
    let api = Api::start();
    let response = api.post_json("/api/v1/keys", r#"{"key":null,"seconds_valid":60}"#);
    assert_eq!(
        response.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    let key = json(&response);
    let text = key["key"].as_str().unwrap();
    assert!(text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert!(has_key(&api, text));
    let now = api.server.clock.now().unix_s;
    let until = key["valid_until"].as_u64().unwrap();
    assert!((now + 55..=now + 60).contains(&until));
    let expiry = key["expiry_time"].as_str().unwrap();
    assert!(
        expiry.starts_with("20") && expiry.ends_with(" UTC"),
        "{expiry}"
    );
}

#[test]
fn a_key_can_be_brought_and_be_good_for_ever_but_only_once() {
    let api = Api::start();
    let key = "Xc1L4PbQJSFGlrgSRZl8wxSFAuMa21z5";
    let body = format!(r#"{{"key":"{key}","seconds_valid":null}}"#);
    let made = json(&api.post_json("/api/v1/keys", &body));
    assert_eq!(
        made,
        json!({"key": key, "valid_until": null, "expiry_time": null})
    );
    assert!(has_key(&api, key));
    expect_text_from(
        &api.post_json("/api/v1/keys", &body),
        500,
        "Unhandled rejection: Err { reason: \"failed to generate key: ",
    );
    let made = json(&api.post_json("/api/v1/keys", r#"{"key":null,"seconds_valid":null}"#));
    assert_eq!(made["valid_until"], json!(null));
    let made = json(&api.post_json("/api/v1/keys", r#"{"key":null,"seconds_valid":0}"#));
    assert!(made["valid_until"].is_u64());
}

#[test]
fn keys_that_are_none_are_refused() {
    let api = Api::start();
    for bad in [
        "-1",
        "invalid",
        "Xc1L4PbQJSFGlrgSRZl8wxSFAuMa21z",
        "%Xc1L4PbQJSFGlrgSRZl8wxSFAuMa21z",
    ] {
        let body = format!(r#"{{"key":"{bad}","seconds_valid":60}}"#);
        let start = format!("Invalid URL: invalid auth key: string \"{bad}\", ");
        expect_text_from(&api.post_json("/api/v1/keys", &body), 400, &start);
    }
    for seconds in ["\"-1\"", "\"text\"", "-1", "1.5", "{}"] {
        let body = format!(r#"{{"key":null,"seconds_valid":{seconds}}}"#);
        expect_text_from(
            &api.post_json("/api/v1/keys", &body),
            422,
            "Failed to deserialize the JSON body into the target type: seconds_valid: invalid ",
        );
    }
    for body in ["{}", r#"{"key":null}"#, r#"{"seconds_valid":60}"#] {
        expect_text_from(
            &api.post_json("/api/v1/keys", body),
            422,
            "Failed to deserialize the JSON body into the target type: missing field",
        );
    }
    let overflow = format!(
        r#"{{"key":"{}","seconds_valid":{}}}"#,
        "k".repeat(32),
        u64::MAX
    );
    expect_text(
        &api.post_json("/api/v1/keys", &overflow),
        400,
        "Invalid URL: invalid auth key duration: \"18446744073709551615\"",
    );
}

#[test]
fn a_body_must_be_json_and_say_so() {
    let api = Api::start();
    for body in ["", "{", "nul", "\u{0}", "{\"key\":nul}"] {
        expect_text_from(
            &api.post_json("/api/v1/keys", body),
            400,
            "Failed to parse the request body as JSON: ",
        );
    }
    let body = r#"{"key":null,"seconds_valid":60}"#;
    let target = with_token("/api/v1/keys");
    for kind in ["", "Content-Type: text/plain\r\n"] {
        expect_text(
            &api.ask("POST", &target, kind, body),
            415,
            "Expected request with `Content-Type: application/json`",
        );
    }
    let deep = format!("{{\"x\":{}", "[".repeat(100_000));
    assert_eq!(api.post_json("/api/v1/keys", &deep).status, 400);
}

#[test]
fn keys_are_made_by_the_old_route_too() {
    let api = Api::start();
    let response = api.admin("POST", "/api/v1/key/60");
    assert_eq!(
        response.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    assert!(has_key(&api, json(&response)["key"].as_str().unwrap()));
    for (bad, shown) in [
        ("-1", "-1"),
        ("text", "text"),
        ("1.1", "1.1"),
        ("%22", "\\\""),
    ] {
        expect_text(
            &api.admin("POST", &format!("/api/v1/key/{bad}")),
            400,
            &format!("Invalid URL: Cannot parse `\"{shown}\"` to a `u64`"),
        );
    }
    expect_empty(&api.admin("POST", "/api/v1/key/"), 404);
}

#[test]
fn a_key_can_be_deleted_once() {
    let api = Api::start();
    let made = json(&api.admin("POST", "/api/v1/key/60"));
    let key = made["key"].as_str().unwrap();
    let target = format!("/api/v1/key/{key}");
    let response = api.admin("DELETE", &target);
    assert_eq!((response.status, response.text().as_str()), (200, DONE));
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert!(!has_key(&api, key));
    expect_text_from(
        &api.admin("DELETE", &target),
        500,
        "Unhandled rejection: Err { reason: \"failed to delete key: ",
    );
    for (bad, shown) in [
        ("0", "0"),
        ("-1", "-1"),
        ("INVALID%20KEY", "INVALID KEY"),
        (&key[1..], &key[1..]),
        (&format!("{key}x"), &format!("{key}x")),
    ] {
        expect_text(
            &api.admin("DELETE", &format!("/api/v1/key/{bad}")),
            400,
            &format!("Invalid auth key id param \"{shown}\""),
        );
    }
}

#[test]
fn keys_can_be_read_again() {
    let api = Api::start();
    let made = json(&api.admin("POST", "/api/v1/key/60"));
    let response = api.get("/api/v1/keys/reload");
    assert_eq!((response.status, response.text().as_str()), (200, DONE));
    assert!(has_key(&api, made["key"].as_str().unwrap()));
}
