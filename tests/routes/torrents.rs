//! What is known of torrents, and torrents that are registered, forgotten and brought over.

use serde_json::{Value, json};
use shoal::config::Config;
use shoal::wire::InfoHash;

use super::{all_rows, problem, random_hash};
use crate::api::*;
use crate::http::{Browser, announce as announce_target, escaped};
use crate::in_process::{Announce, Server};

fn metadata_of(info_hash: &str) -> String {
    format!("/api/v1/torrent/{info_hash}/metadata")
}

#[test]
fn what_is_known_of_a_torrent_is_kept_told_replaced_and_forgotten() {
    let api = Api::start();
    let target = metadata_of(HIGHER);
    assert!(problem(&api.get(&target), 404).contains(HIGHER));
    let about = json!({
        "name": "Big Buck Bunny", "size": u64::MAX, "piece_length": 262_144, "comment": "a film",
        "created_by": "mktorrent 1.1", "creation_date": 1_700_000_000_u64
    });
    let kept = api.send("PUT", &target, &about);
    let updated = kept["updated"].as_u64().unwrap();
    let now = api.server.clock.now().unix_s;
    assert!((now - 60..=now).contains(&updated));
    let mut expected = about.clone();
    expected["info_hash"] = json!(HIGHER);
    expected["updated"] = json!(updated);
    assert_eq!(kept, expected);
    assert_eq!(api.told(&target), expected);
    // By the long name of version 2 too.
    let long = format!("{HIGHER}{}", "ab".repeat(12));
    assert_eq!(api.told(&metadata_of(&long)), expected);

    let less = api.send("PUT", &target, &json!({"name": "other"}));
    assert_eq!((&less["name"], &less["size"]), (&json!("other"), &json!(0)));
    assert_eq!(
        (&less["comment"], &less["creation_date"]),
        (&json!(""), &Value::Null)
    );
    assert_eq!(
        json(&api.admin("DELETE", &target)),
        json!({"removed": true})
    );
    assert_eq!(
        json(&api.admin("DELETE", &target)),
        json!({"removed": false})
    );
    problem(&api.get(&target), 404);
}

#[test]
fn texts_that_are_too_long_are_cut_between_characters() {
    let api = Api::start();
    let target = metadata_of(HIGHER);
    // Two bytes each, after one, so that the limit is within a character.
    let long = format!("x{}", "\u{e9}".repeat(5000));
    let kept = api.send(
        "PUT",
        &target,
        &json!({"name": long, "comment": long, "created_by": long}),
    );
    for (member, len) in [("name", 1023), ("comment", 4095), ("created_by", 255)] {
        let text = kept[member].as_str().unwrap();
        assert_eq!(text.len(), len, "{member}");
        assert!(long.starts_with(text));
    }
    assert_eq!(api.told(&target), kept);
    let reason = super::hashes_body(&[HIGHER], &long);
    api.send("POST", "/api/v1/blocklist", &reason);
    let row = api.told(&format!("/api/v1/blocklist/{HIGHER}"));
    assert_eq!(row["reason"].as_str().unwrap().len(), 999);
}

#[test]
fn markup_and_control_characters_in_a_name_are_just_text() {
    let api = Api::start();
    let target = metadata_of(HIGHER);
    for name in [
        "<script>alert(1)</script>&amp;\"'",
        "\u{0}\u{1b}[31m\r\n\u{7f}",
        "\u{202e}gpj.exe \u{1f427}",
    ] {
        let kept = api.send("PUT", &target, &json!({"name": name}));
        assert_eq!(kept["name"], name);
        assert_eq!(api.told(&target)["name"], name);
        let body = super::hashes_body(&[HIGHER], name);
        api.send("POST", "/api/v1/blocklist", &body);
        let row = api.told(&format!("/api/v1/blocklist/{HIGHER}"));
        assert_eq!(row["reason"], name);
        assert_eq!(
            api.told("/api/v1/journal?limit=1")["items"][0]["reason"],
            name
        );
    }
}

#[test]
fn torrents_are_registered_in_bulk_and_allowed_if_that_is_wanted() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let api = Api::start_with(|config| config.workers.count = 2);
    let registrar = api.server.tracker.registrar();
    let mut hashes: Vec<String> = (0..30).map(|_| random_hash(&mut rng)).collect();
    let body = |hashes: &[String], allow: bool| {
        let torrents = hashes.iter().zip(0..).map(
            |(hash, size)| json!({"info_hash": hash, "name": format!("file {hash}"), "size": size}),
        );
        json!({"torrents": torrents.collect::<Vec<_>>(), "allow": allow, "reason": "catalogue"})
    };
    let route = "/api/v1/torrents";
    assert_eq!(
        api.send("POST", route, &body(&hashes[..10], false)),
        json!({"registered": 10, "added": 0})
    );
    assert!(!registrar.is_allowed(&InfoHash(bytes_of(&hashes[0]))));
    assert_eq!(
        api.send("POST", route, &body(&hashes, true)),
        json!({"registered": 30, "added": 30})
    );
    for hash in &hashes {
        assert!(registrar.is_allowed(&InfoHash(bytes_of(hash))));
    }
    let again = api.send("POST", route, &body(&hashes, true));
    assert_eq!(again, json!({"registered": 30, "added": 0}));
    let row = api.told(&format!("/api/v1/whitelist/{}", hashes[3]));
    assert_eq!(row["reason"], "catalogue");
    assert_eq!(api.told(&metadata_of(&hashes[3]))["size"], 3);

    hashes.sort_unstable();
    for limit in [1, 9, 1000] {
        let rows = all_rows(&api, "/api/v1/metadata", limit);
        let told: Vec<_> = rows.iter().map(|row| row["info_hash"].clone()).collect();
        assert_eq!(json!(told), json!(hashes));
        for row in rows {
            assert_eq!(
                row["name"],
                format!("file {}", row["info_hash"].as_str().unwrap())
            );
        }
    }
}

#[test]
fn one_bad_torrent_keeps_all_of_a_bulk_out() {
    let api = Api::start();
    let body = json!({"allow": true, "torrents": [
        {"info_hash": HIGHER, "name": "good"}, {"info_hash": "nothing", "name": "bad"}
    ]});
    let refused = api.send_json("POST", "/api/v1/torrents", &body.to_string());
    assert!(problem(&refused, 400).contains("\"nothing\""));
    assert_eq!(api.told("/api/v1/metadata")["total"], 0);
    assert_eq!(api.told("/api/v1/whitelist")["total"], 0);
}

#[test]
fn a_torrent_is_forgotten_with_its_peers_and_its_count() {
    let api = Api::start_with(|config| config.workers.count = 2);
    let client = api.server.client();
    let id = client.connect();
    let info_hash = bytes_of(HIGHER);
    client.announce(id, Announce::leecher(info_hash, 7000));
    let done = Announce {
        event: Announce::COMPLETED,
        ..Announce::seeder(info_hash, 7000)
    };
    client.announce(id, done);
    assert_eq!(client.scrape(id, &[info_hash]), [(1, 1, 0)]);
    api.send("PUT", &metadata_of(HIGHER), &json!({"name": "kept"}));
    let target = format!("/api/v1/torrent/{HIGHER}");
    assert_eq!(
        json(&api.admin("DELETE", &target)),
        json!({"forgotten": true})
    );
    assert_eq!(client.scrape(id, &[info_hash]), [(0, 0, 0)]);
    assert_eq!(
        json(&api.admin("DELETE", &target)),
        json!({"forgotten": false})
    );
    assert_eq!(api.told("/api/v1/torrents"), json!([]));
    // That is known all the same.
    assert_eq!(api.told(&metadata_of(HIGHER))["name"], "kept");
    let reply = client.announce(id, Announce::leecher(info_hash, 7001));
    assert_eq!((reply.seeders, reply.leechers), (0, 1));
}

#[test]
fn torrents_of_another_tracker_are_taken_over_with_peers_and_counts() {
    let api = Api::start_with(|config| {
        config.workers.count = 2;
        config.udp.push(crate::in_process::listener("[::1]:0"));
    });
    let body = json!({"torrents": [
        {"info_hash": HIGHER, "completed": 7, "peers": [
            {"ip": "198.51.100.7", "port": 6881, "left": 0, "age": 5},
            {"ip": "198.51.100.8", "port": 6882, "left": 9},
            {"ip": "::ffff:198.51.100.9", "port": 6883},
            {"ip": "2001:db8::1", "port": 6884, "left": 1},
            {"ip": "198.51.100.10", "port": 6885, "age": 4_000_000_000_u64},
            {"ip": "198.51.100.11", "port": 6886, "age": u64::MAX},
        ]},
        {"info_hash": LOWER, "completed": 4_294_967_295_u32},
        {"info_hash": "ab".repeat(20)},
    ]});
    assert_eq!(
        api.send("POST", "/api/v1/import", &body),
        json!({"torrents": 2, "peers": 4, "refused_peers": 0})
    );
    let hashes = [bytes_of(HIGHER), bytes_of(LOWER)];
    let client = api.server.client();
    let id = client.connect();
    assert_eq!(client.scrape(id, &hashes), [(2, 7, 2), (0, u32::MAX, 0)]);
    // Again is harmless.
    assert_eq!(
        api.send("POST", "/api/v1/import", &body),
        json!({"torrents": 0, "peers": 0, "refused_peers": 0})
    );
    assert_eq!(client.scrape(id, &hashes), [(2, 7, 2), (0, u32::MAX, 0)]);

    let reply = client.announce(id, Announce::leecher(hashes[0], 7000));
    assert_eq!(reply.ports(), [6881, 6882, 6883]);
    let mut browser = Browser::of(api.server.http_address());
    let target = announce_target(&escaped(&hashes[0]), 7000, 1, "started");
    let peers = browser.get(&target).peers();
    for peer in [
        "198.51.100.7:6881",
        "198.51.100.9:6883",
        "[2001:db8::1]:6884",
    ] {
        assert!(peers.contains(&peer.parse().unwrap()), "{peers:?}");
    }
    // A lower count takes nothing back.
    let less = json!({"torrents": [{"info_hash": HIGHER, "completed": 3}]});
    api.send("POST", "/api/v1/import", &less);
    assert_eq!(client.scrape(id, &hashes[..1]), [(2, 7, 3)]);
}

#[test]
fn what_was_taken_over_survives_a_restart() {
    let mut kept = None;
    let Api { server, folder } = Api::start_with(|config| kept = Some(config.clone()));
    let api = Api { server, folder };
    let peers: Vec<Value> = (1..=200)
        .map(|n| json!({"ip": format!("198.51.100.{n}"), "port": 1000 + n, "left": n % 2}))
        .collect();
    let torrents: Vec<Value> = (0..50)
        .map(|n| json!({"info_hash": format!("{n:040x}"), "completed": n, "peers": peers}))
        .collect();
    let body = json!({ "torrents": torrents });
    assert_eq!(
        api.send("POST", "/api/v1/import", &body),
        json!({"torrents": 50, "peers": 10_000, "refused_peers": 0})
    );
    let Api { server, folder } = api;
    server.tracker.stop().unwrap();
    let server = Server::start(&kept.unwrap());
    let api = Api { server, folder };
    let list = api.told("/api/v1/torrents");
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 50);
    for (torrent, n) in list.iter().zip(0..) {
        let counts = ["seeders", "completed", "leechers"].map(|name| &torrent[name]);
        assert_eq!(counts, [&json!(100), &json!(n), &json!(100)]);
    }
}

#[test]
fn peers_that_could_not_announce_themselves_are_neither_taken_over_nor_restored() {
    let mut kept = None;
    let api = Api::start_with(|config| {
        config.announce.allow_private_peers = false;
        config.announce.ignore_ip = vec!["8.8.8.0/24".parse().unwrap()];
        kept = Some(config.clone());
    });
    let peers = [
        "10.0.0.1",
        "192.168.7.7",
        "127.0.0.1",
        "::1",
        "fd00::1",
        "fe80::1",
        "8.8.8.8",
        "1.1.1.1",
        "2a00::1",
    ]
    .map(|ip| json!({"ip": ip, "port": 6881, "left": 1}));
    let body = json!({"torrents": [{"info_hash": HIGHER, "completed": 5, "peers": peers}]});
    let import = |api: &Api| api.send("POST", "/api/v1/import", &body);
    let told = json!({"torrents": 1, "peers": 2, "refused_peers": 7});
    assert_eq!(import(&api), told);
    let leechers = |api: &Api| api.told(&format!("/api/v1/torrent/{HIGHER}"))["leechers"].clone();
    assert_eq!(leechers(&api), 2);

    let mut config = kept.unwrap();
    let restart = |api: Api, config: &Config| {
        let Api { server, folder } = api;
        server.tracker.stop().unwrap();
        let server = Server::start(config);
        Api { server, folder }
    };
    config.announce.allow_private_peers = true;
    config.announce.ignore_ip.clear();
    let api = restart(api, &config);
    let told = json!({"torrents": 0, "peers": 7, "refused_peers": 0});
    assert_eq!(import(&api), told, "where they may announce");
    config.announce.allow_private_peers = false;
    let blocked = json!({"networks": ["1.1.1.0/24"], "reason": "why"});
    api.send("POST", "/api/v1/ip_blocklist", &blocked);
    let api = restart(api, &config);
    assert_eq!(leechers(&api), 2, "8.8.8.8 and 2a00::1");
    let store = api.server.tracker.store().unwrap();
    assert_eq!((store.restored_peers, store.unwelcome_peers), (2, 7));
    let completed = api.told(&format!("/api/v1/torrent/{HIGHER}"))["completed"].clone();
    assert_eq!(completed, 5);
}

#[test]
fn a_peer_without_a_possible_address_keeps_all_of_an_import_out_and_is_named() {
    let api = Api::start();
    for (ip, port) in [
        ("0.0.0.0", 6881),
        ("198.51.100.7", 0),
        ("224.0.0.1", 6881),
        ("255.255.255.255", 6881),
        ("ff02::1", 6881),
        ("::", 6881),
        ("::ffff:224.0.0.1", 6881),
    ] {
        let body = json!({"torrents": [{"info_hash": HIGHER, "peers": [
            {"ip": "198.51.100.1", "port": 6881}, {"ip": ip, "port": port}
        ]}]});
        let refused = api.send_json("POST", "/api/v1/import", &body.to_string());
        let sentence = problem(&refused, 400);
        assert!(sentence.contains(ip), "{sentence}");
    }
    for (ip, port) in [
        (json!("host"), json!(6881)),
        (json!("1.2.3"), json!(6881)),
        (json!(7), json!(6881)),
        (json!("198.51.100.7"), json!(65_536)),
        (json!("198.51.100.7"), json!(-1)),
        (json!("198.51.100.7"), Value::Null),
    ] {
        let body = json!({"torrents": [{"info_hash": HIGHER, "peers": [
            {"ip": "198.51.100.1", "port": 6881}, {"ip": ip, "port": port}
        ]}]});
        let refused = api.send_json("POST", "/api/v1/import", &body.to_string());
        let sentence = problem(&refused, 422);
        assert!(sentence.contains("torrents[0].peers[1]."), "{sentence}");
    }
    assert_eq!(api.told("/api/v1/torrents"), json!([]));
}

#[test]
fn torrents_with_nearly_the_same_info_hash_are_reported_together() {
    let off = Api::start();
    off.announce(HIGHER, 7000, 0);
    let nothing = json!({"threshold": 1.0, "groups": []});
    assert_eq!(off.told("/api/v1/similar"), nothing);

    let api = Api::start_with(|config| {
        config.workers.count = 2;
        config.swarm.similarity_threshold = 0.95;
    });
    // Digits in the middle differ.
    let other = |hash: &str, digits: &str| format!("{}{digits}{}", &hash[..18], &hash[20..]);
    for hash in [HIGHER, LOWER] {
        api.announce(hash, 7000, 0);
        api.announce(hash, 7001, 5);
        api.announce(&other(hash, "00"), 7002, 5);
    }
    api.announce(&"5".repeat(40), 7000, 0);
    let member = |hash: String, seeders: u32| json!({"info_hash": hash, "seeders": seeders, "completed": 0, "leechers": 1});
    let group = |hash: &str| {
        let mut group = [member(hash.to_owned(), 1), member(other(hash, "00"), 0)];
        group.sort_by_key(|member| member["info_hash"].to_string());
        json!(group)
    };
    let groups = [group(LOWER), group(HIGHER)];
    let told = api.told("/api/v1/similar");
    assert_eq!(told, json!({"threshold": 0.95, "groups": groups}));
    let one = api.told("/api/v1/similar?limit=1");
    assert_eq!(one["groups"].as_array().unwrap().len(), 1);
    problem(&api.get("/api/v1/similar?limit=all"), 400);
}
