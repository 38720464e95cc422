//! Requests that make no sense: each is told what is wrong with it, nothing changes, and the tracker lives.

use std::io::Write;

use serde_json::{Value, json};

use super::problem;
use crate::api::*;
use crate::http::{Browser, Response};

/// The routes that take a body, with one that is good.
fn bodies() -> Vec<(&'static str, String, Value)> {
    let one = |route: &str| format!("/api/v1/{route}/{HIGHER}");
    let hashes = json!({"info_hashes": [HIGHER, LOWER], "reason": "why"});
    let networks = json!({"networks": ["192.0.2.0/24", "2001:db8::1"], "reason": "why"});
    let about = json!({"name": "a", "size": 1, "creation_date": null});
    let torrents = json!({"torrents": [{"info_hash": HIGHER, "name": "a", "size": 1}],
        "allow": true, "reason": "why"});
    let import = json!({"torrents": [{"info_hash": HIGHER, "completed": 1,
        "peers": [{"ip": "198.51.100.7", "port": 6881, "left": 1, "age": 1}]}]});
    let bulk =
        |method, route: &str, body: &Value| (method, format!("/api/v1/{route}"), body.clone());
    vec![
        bulk("POST", "whitelist", &hashes),
        bulk("DELETE", "whitelist", &hashes),
        bulk("POST", "blocklist", &hashes),
        bulk("DELETE", "blocklist", &hashes),
        bulk("POST", "ip_blocklist", &networks),
        bulk("DELETE", "ip_blocklist", &networks),
        bulk("POST", "torrents", &torrents),
        bulk("POST", "import", &import),
        bulk("PUT", "mode", &json!({"mode": "listed"})),
        ("PUT", format!("{}/metadata", one("torrent")), about),
        ("POST", one("blocklist"), json!({"reason": "why"})),
    ]
}

impl Api {
    /// Sends any bytes as a body in JSON.
    fn send_bytes(&self, method: &str, target: &str, body: &[u8]) -> Response {
        let mut browser = self.browser();
        let head = format!(
            "{method} {} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            with_token(target),
            body.len()
        );
        browser.send(head.as_bytes());
        // One who is refused early may find the connection closed.
        let _ = browser.stream.write_all(body);
        browser.response()
    }

    #[track_caller]
    fn expect_untouched(&self) {
        for page in ["whitelist", "blocklist", "ip_blocklist", "metadata", "keys"] {
            assert_eq!(self.told(&format!("/api/v1/{page}"))["total"], 0, "{page}");
        }
        assert_eq!(self.told("/api/v1/journal"), json!({"items": []}));
        assert_eq!(self.told("/api/v1/torrents"), json!([]));
        assert_eq!(self.told("/api/v1/mode"), json!({"mode": "public"}));
        self.server.client().connect();
    }
}

#[test]
fn a_body_that_is_no_json_is_refused() {
    let api = Api::start();
    let deep = ["[", "{\"a\":"].map(|open| open.repeat(100_000));
    for (method, target, _) in bodies() {
        for body in [
            &b""[..],
            b"{",
            b"nul",
            b"\0",
            b"{'reason':''}",
            b"{\"reason\":\"\x01\"}",
            b"\xef\xbb\xbf{}",
            deep[0].as_bytes(),
            deep[1].as_bytes(),
        ] {
            let response = api.send_bytes(method, &target, body);
            // Where an object is wanted, a bracket is wrong enough.
            let either = body.len() > 100 && response.status == 422;
            problem(&response, if either { 422 } else { 400 });
        }
    }
    for (body, target) in [
        (
            &b"{\"info_hashes\":[\"\xff\xfe\"]}"[..],
            "/api/v1/blocklist",
        ),
        (b"{\"networks\":[\"\xed\xa0\x80\"]}", "/api/v1/ip_blocklist"),
        (b"{\"torrents\":[]} {}", "/api/v1/import"),
    ] {
        problem(&api.send_bytes("POST", target, body), 400);
    }
    api.expect_untouched();
}

#[test]
fn members_of_another_type_or_none_are_refused() {
    let api = Api::start();
    let wrong = [
        json!({"a": []}),
        json!(true),
        json!(-1),
        json!(1.5),
        json!([[7]]),
    ];
    for (method, target, good) in bodies() {
        for wrong in [json!("text"), json!(7), json!(null), json!(true)] {
            problem(&api.send_json(method, &target, &wrong.to_string()), 422);
        }
        for member in good.as_object().unwrap().keys() {
            for wrong in &wrong {
                if member == "allow" && wrong.is_boolean() {
                    continue;
                }
                let mut bad = good.clone();
                bad[member] = wrong.clone();
                problem(&api.send_json(method, &target, &bad.to_string()), 422);
            }
            let needed = ["info_hashes", "networks", "torrents", "mode"];
            if needed.contains(&member.as_str()) {
                let mut bad = good.clone();
                bad.as_object_mut().unwrap().remove(member);
                let told = problem(&api.send_json(method, &target, &bad.to_string()), 422);
                assert!(told.contains(member), "{told}");
            }
        }
    }
    let metadata = format!("/api/v1/torrent/{HIGHER}/metadata");
    for body in [
        r#"{"size":18446744073709551616}"#,
        r#"{"size":-1}"#,
        r#"{"piece_length":1e3}"#,
        r#"{"creation_date":"today"}"#,
        r#"{"name":"a","name":"b"}"#,
    ] {
        problem(&api.send_json("PUT", &metadata, body), 422);
        let torrent = body.replacen('{', &format!(r#"{{"info_hash":"{HIGHER}","#), 1);
        let body = format!(r#"{{"torrents":[{torrent}]}}"#);
        problem(&api.post_json("/api/v1/torrents", &body), 422);
    }
    for body in [r#"{"size":1e999}"#, r#"{"size":01}"#, r#"{"size":+1}"#] {
        problem(&api.send_json("PUT", &metadata, body), 400);
    }
    for completed in ["-1", "4294967296", "1.0", "\"1\""] {
        let torrent = format!(r#"{{"info_hash":"{HIGHER}","completed":{completed}}}"#);
        let body = format!(r#"{{"torrents":[{torrent}]}}"#);
        problem(&api.post_json("/api/v1/import", &body), 422);
    }
    api.expect_untouched();
}

#[test]
fn a_body_must_say_that_it_is_json() {
    let api = Api::start();
    for (method, target, good) in bodies() {
        let target = with_token(&target);
        for kind in [
            "Content-Type: text/plain\r\n",
            "Content-Type: application/x-www-form-urlencoded\r\n",
            "Content-Type: \r\n",
        ] {
            let response = api.ask(method, &target, kind, &good.to_string());
            problem(&response, 415);
        }
        problem(&api.ask(method, &target, "", &good.to_string()), 415);
    }
    api.expect_untouched();
}

#[test]
fn a_body_of_17_mib_is_refused_and_one_that_repeats_itself_is_not_repeated() {
    let api = Api::start();
    let long = "x".repeat(17 << 20);
    let fits = &long[..15 << 20];
    for (method, target, _) in bodies() {
        let told = problem(&api.send_bytes(method, &target, long.as_bytes()), 413);
        assert!(!told.contains("xxx"), "{told}");
    }
    // A long text in the wrong place is told in brief.
    let body = format!(r#"{{"info_hashes":"{fits}"}}"#);
    problem(
        &api.send_bytes("POST", "/api/v1/blocklist", body.as_bytes()),
        422,
    );
    let body = format!(r#"{{"info_hashes":["{fits}"]}}"#);
    problem(
        &api.send_bytes("POST", "/api/v1/blocklist", body.as_bytes()),
        400,
    );
    let body = format!(r#"{{"networks":["{fits}"]}}"#);
    problem(
        &api.send_bytes("POST", "/api/v1/ip_blocklist", body.as_bytes()),
        400,
    );
    let body = format!(r#"{{"mode":"{fits}"}}"#);
    problem(&api.send_bytes("PUT", "/api/v1/mode", body.as_bytes()), 400);
    api.expect_untouched();
    // One text of 15 MiB is kept as far as there is room for it.
    let body = format!(r#"{{"name":"{fits}"}}"#);
    let metadata = format!("/api/v1/torrent/{HIGHER}/metadata");
    let kept = json(&api.send_bytes("PUT", &metadata, body.as_bytes()));
    assert_eq!(kept["name"], "x".repeat(1024));
}

#[test]
fn a_word_that_is_no_info_hash_is_named_wherever_it_stands() {
    let api = Api::start();
    let short = &HIGHER[1..];
    let long = HIGHER.repeat(2);
    let one_more = format!("{HIGHER}0");
    let other = format!("g{short}");
    for bad in [
        "",
        "0",
        short,
        &one_more,
        &long,
        &long[..63],
        &other,
        "\u{0}",
        "\u{e9}\n<b>",
    ] {
        for route in ["whitelist", "blocklist"] {
            for method in ["POST", "DELETE"] {
                let body = json!({"info_hashes": [HIGHER, bad]}).to_string();
                let target = format!("/api/v1/{route}");
                let told = problem(&api.send_json(method, &target, &body), 400);
                let shown = format!("{bad:?}");
                assert!(told.starts_with(&shown), "{told}");
            }
        }
    }
    for bad in [
        short, &one_more, &long, "x", "%00", "%ff", "%0d%0a", "..%2f..", "%22",
    ] {
        for (method, target) in [
            ("GET", format!("/api/v1/whitelist/{bad}")),
            ("GET", format!("/api/v1/blocklist/{bad}")),
            ("POST", format!("/api/v1/blocklist/{bad}")),
            ("DELETE", format!("/api/v1/blocklist/{bad}")),
            ("GET", format!("/api/v1/torrent/{bad}/metadata")),
            ("DELETE", format!("/api/v1/torrent/{bad}/metadata")),
            ("DELETE", format!("/api/v1/torrent/{bad}")),
        ] {
            problem(&api.admin(method, &target), 400);
        }
    }
    for bad in [
        "",
        "host",
        "192.0.2.0/33",
        "192.0.2",
        "::ffff:192.0.2.1",
        "192.0.2.1/",
        "\u{0}",
    ] {
        let body = json!({"networks": ["192.0.2.1", bad]}).to_string();
        for method in ["POST", "DELETE"] {
            let told = problem(&api.send_json(method, "/api/v1/ip_blocklist", &body), 400);
            assert!(told.starts_with(&format!("{bad:?}")), "{told}");
        }
    }
    api.expect_untouched();
}

#[test]
fn numbers_of_a_query_that_are_none_or_too_great_are_refused() {
    let api = Api::start_with(|config| config.access.publish_blocklist = true);
    for (route, names) in [
        ("/api/v1/whitelist", ["offset", "limit"]),
        ("/api/v1/blocklist", ["offset", "limit"]),
        ("/api/v1/ip_blocklist", ["offset", "limit"]),
        ("/api/v1/keys", ["offset", "limit"]),
        ("/api/v1/metadata", ["offset", "limit"]),
        ("/api/blocklist.json", ["offset", "limit"]),
        ("/api/v1/takedowns", ["before", "limit"]),
        ("/api/v1/journal", ["before", "limit"]),
        ("/api/v1/transfers", ["since", "limit"]),
    ] {
        for name in names {
            for bad in [
                "",
                "-1",
                "1.5",
                "x",
                "%00",
                "18446744073709551616",
                "1%2c000",
            ] {
                problem(&api.get(&format!("{route}?{name}={bad}")), 400);
            }
            problem(&api.get(&format!("{route}?{name}=1&{name}=1")), 400);
            for good in ["0", "1", "007", "18446744073709551615"] {
                json(&api.get(&format!("{route}?{name}={good}")));
            }
        }
        let far = format!("{route}?{}={}&limit=1&other=x", names[0], u64::MAX);
        json(&api.get(&far));
    }
    api.expect_untouched();
}

#[test]
fn bodies_that_chance_has_changed_are_answered_one_way_or_the_other() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let api = Api::start();
    let bodies = bodies();
    let mut browser = api.browser();
    let mut statuses = [0; 600];
    for _ in 0..4000 {
        let (method, target, good) = rng.choice(&bodies).unwrap();
        let mut body = good.to_string().into_bytes();
        for _ in 0..rng.usize(1..4) {
            if body.is_empty() {
                break;
            }
            let at = rng.usize(..body.len());
            match rng.u8(..4) {
                0 => body[at] = rng.u8(..),
                1 => drop(body.remove(at)),
                2 => body.insert(at, *rng.choice(b"{}[]\",:0-9e\\u").unwrap()),
                _ => body.truncate(at),
            }
        }
        let head = format!(
            "{method} {} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            with_token(target),
            body.len()
        );
        browser.send(&[head.as_bytes(), &body].concat());
        let response = browser.response();
        let status = response.status;
        statuses[usize::from(status)] += 1;
        if status != 200 {
            let known = [400, 422].contains(&status);
            assert!(known, "{status}: {}", String::from_utf8_lossy(&body));
            problem(&response, status);
        }
    }
    assert!(statuses[200] > 10 && statuses[400] > 100 && statuses[422] > 10);
    Browser::of(api.server.http_address()).expect_open();
    api.server.client().connect();
}
