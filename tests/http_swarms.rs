//! What clients of HTTP learn of torrents and of each other, and of those who come over UDP.

mod http;
mod in_process;

use std::io::Read;
use std::net::SocketAddr;

use http::{Browser, Response, announce, dictionary, escaped, scrape, shapes};
use in_process::{Announce, BACKENDS, Client, Server, config, http_listener, listener};
use shoal::config::Config;
use shoal::counters::{Count, Family, Fault, Kind, Protocol, Tally};

const HASH: &str = "aaaaaaaaaaaaaaaaaaaa";
const SAME_HASH: [u8; 20] = [b'a'; 20];

/// Clients that ask one server over either family.
struct Both {
    server: Server,
    v4: Browser,
    v6: Browser,
}

impl Both {
    fn of(mut config: Config) -> Self {
        config.udp.push(listener("[::1]:0"));
        config.http.push(http_listener("[::1]:0"));
        let server = Server::start(&config);
        let [v4, v6]: [SocketAddr; 2] = server.tracker.http_addresses().try_into().unwrap();
        Self {
            server,
            v4: Browser::of(v4),
            v6: Browser::of(v6),
        }
    }
}

/// Ports in a string of packed peers, sorted; every address must be loopback's.
fn ports(response: &Response, key: &str, peer_len: usize) -> Vec<u16> {
    let body = dictionary(&response.body);
    let Some(packed) = body.get(key) else {
        return Vec::new();
    };
    let packed = packed.as_byte_str().expect("packed peers");
    assert_eq!(packed.len() % peer_len, 0);
    let mut ports: Vec<u16> = packed
        .chunks(peer_len)
        .map(|peer| u16::from_be_bytes(*peer.last_chunk().unwrap()))
        .collect();
    ports.sort_unstable();
    ports
}

fn v4_ports(response: &Response) -> Vec<u16> {
    ports(response, "peers", 6)
}

fn v6_ports(response: &Response) -> Vec<u16> {
    ports(response, "peers6", 18)
}

fn number(response: &Response, key: &str) -> Option<u64> {
    dictionary(&response.body).get(key)?.as_u64()
}

/// Seeders, completions and leechers of the one torrent of a scrape.
fn totals(browser: &mut Browser, hash: &str) -> [u64; 3] {
    let body = dictionary(&browser.get(&scrape([hash])).body);
    let row = body["files"]
        .as_dict()
        .unwrap()
        .values()
        .next()
        .unwrap()
        .as_dict()
        .unwrap();
    ["complete", "downloaded", "incomplete"].map(|key| row[key.as_bytes()].as_u64().unwrap())
}

#[test]
fn clients_of_udp_and_of_http_meet_in_one_swarm() {
    for config in shapes() {
        let server = Server::start(&config);
        let (client, mut browser) = (server.client(), Browser::of(server.http_address()));
        let id = client.connect();
        client.announce(id, Announce::leecher(SAME_HASH, 1));
        assert_eq!(
            v4_ports(&browser.get(&announce(HASH, 2, 5, "started"))),
            [1]
        );
        let reply = client.announce(id, Announce::seeder(SAME_HASH, 3));
        assert_eq!(
            (reply.ports(), reply.seeders, reply.leechers),
            (vec![1, 2], 1, 2)
        );
        assert_eq!(client.scrape(id, &[SAME_HASH]), [(1, 0, 2)]);
        assert_eq!(totals(&mut browser, HASH), [1, 0, 2]);
        // One that came over HTTP may leave over UDP.
        client.announce(id, Announce::leecher(SAME_HASH, 2).stopped());
        assert_eq!(totals(&mut browser, HASH), [1, 0, 1]);
        let http = |kind| Count::Answered(Protocol::Http, Family::Ip4, kind);
        assert_eq!(server.count(http(Kind::Announce)), 1);
        assert_eq!(server.count(http(Kind::Scrape)), 2);
    }
}

#[test]
fn both_families_meet_and_each_client_is_given_both() {
    for config in shapes() {
        let Both {
            server,
            mut v4,
            mut v6,
        } = Both::of(config);
        v4.get(&announce(HASH, 1, 5, "started"));
        v6.get(&announce(HASH, 2, 5, "started"));
        let client = Client::of(server.tracker.addresses()[1]);
        client.announce(client.connect(), Announce::leecher(SAME_HASH, 3));
        for (browser, me) in [(&mut v4, 4), (&mut v6, 5)] {
            let reply = browser.get(&announce(HASH, me, 5, "started"));
            let mut others = vec![1];
            others.extend((me == 5).then_some(4));
            assert_eq!((v4_ports(&reply), v6_ports(&reply)), (others, vec![2, 3]));
            assert_eq!(number(&reply, "incomplete"), Some(u64::from(me)));
        }
        let dictionaries = v6.get(&announce(HASH, 5, 5, "").replace("compact=1", "compact=0"));
        let text = dictionaries.text();
        assert_eq!(text.matches("2:ip9:127.0.0.1").count(), 2, "{text}");
        assert_eq!(text.matches("2:ip3:::1").count(), 2, "{text}");
        // Neither family may make the reply longer than was asked.
        for browser in [&mut v4, &mut v6] {
            for wanted in 0..6_usize {
                let target = announce(HASH, 9, 5, "") + &format!("&numwant={wanted}");
                let reply = browser.get(&target);
                let got = v4_ports(&reply).len() + v6_ports(&reply).len();
                assert_eq!(got, wanted.min(5));
                browser.get(&announce(HASH, 9, 5, "stopped"));
            }
        }
    }
}

#[test]
fn an_ipv6_client_is_given_ipv4_peers_in_its_own_form_where_the_operator_wants_it() {
    for mut config in shapes() {
        config.announce.v4_mapped = true;
        let Both {
            server: _server,
            mut v4,
            mut v6,
        } = Both::of(config);
        v4.get(&announce(HASH, 1, 5, "started"));
        v6.get(&announce(HASH, 2, 5, "started"));
        let reply = v6.get(&announce(HASH, 3, 5, "started"));
        assert_eq!((v4_ports(&reply), v6_ports(&reply)), (vec![], vec![1, 2]));
        let mapped = b"\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\x01\0\x01";
        assert!(reply.body.windows(18).any(|peer| peer == mapped));
        // An IPv4 client can do nothing with it.
        let reply = v4.get(&announce(HASH, 4, 5, "started"));
        assert_eq!((v4_ports(&reply), v6_ports(&reply)), (vec![1], vec![2, 3]));
    }
}

#[test]
fn a_scrape_over_several_cores_is_sorted_and_names_each_torrent_once() {
    for config in shapes() {
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        let hashes: Vec<[u8; 20]> = (0..70_u8).map(|n| [n.wrapping_mul(37); 20]).collect();
        for (hash, port) in hashes.iter().zip(1..) {
            browser.get(&announce(&escaped(hash), port, port.into(), ""));
        }
        // Four of them again: 74 names.
        let asked = hashes.iter().chain(&hashes[..4]);
        let body = browser.get(&scrape(asked)).body;
        let mut sorted = hashes.clone();
        sorted.sort_unstable();
        let mut wanted = b"d5:filesd".to_vec();
        for hash in sorted {
            wanted.extend_from_slice(b"20:");
            wanted.extend_from_slice(&hash);
            wanted.extend_from_slice(b"d8:completei0e10:downloadedi0e10:incompletei1ee");
        }
        wanted.extend_from_slice(b"ee");
        assert_eq!(body, wanted);
        let handed_over = server.tally(Tally::HandedOver) > 0;
        assert_eq!(handed_over, config.workers.count > 1);
    }
}

#[test]
fn a_scrape_of_too_many_torrents_is_told_how_many_there_may_be() {
    for mut config in shapes() {
        for max in [74, 2] {
            config.scrape.max_hashes = max;
            let server = Server::start(&config);
            let mut browser = Browser::of(server.http_address());
            let named = |count| scrape((0..count as u8).map(|n| [n; 20]));
            assert!(browser.get(&named(max)).text().starts_with("d5:files"));
            let text = format!("too many info_hashes, max is {max}");
            let refusal = format!("d14:failure reason{}:{text}e", text.len());
            assert_eq!(browser.get(&named(max + 1)).text(), refusal);
            assert_eq!(server.count(Count::Faulted(Fault::TooManyInfoHashes)), 1);
        }
    }
}

#[test]
fn a_completion_is_counted_once_and_told_from_then_on() {
    for config in shapes() {
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        let started = browser.get(&announce(HASH, 1, 5, "started"));
        assert_eq!(number(&started, "downloaded"), None);
        for _ in 0..2 {
            let completed = browser.get(&announce(HASH, 1, 0, "completed"));
            assert_eq!(number(&completed, "downloaded"), Some(1));
            assert_eq!(number(&completed, "complete"), Some(1));
        }
        assert_eq!(totals(&mut browser, HASH), [1, 1, 0]);
        // Whoever was never seen to miss anything has completed nothing.
        browser.get(&announce(HASH, 2, 0, "completed"));
        assert_eq!(totals(&mut browser, HASH), [2, 1, 0]);
    }
}

#[test]
fn who_stops_is_gone_and_is_given_nobody() {
    for config in shapes() {
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        browser.get(&announce(HASH, 1, 5, "started"));
        browser.get(&announce(HASH, 2, 5, "started"));
        let stopped = browser.get(&announce(HASH, 1, 5, "stopped"));
        assert_eq!(
            stopped.text(),
            "d8:completei0e10:incompletei1e8:intervali1800e12:min intervali900e5:peers0:e"
        );
        assert_eq!(
            v4_ports(&browser.get(&announce(HASH, 3, 5, "started"))),
            [2]
        );
        // Whom nobody knew may stop too.
        assert_eq!(browser.get(&announce(HASH, 9, 5, "stopped")).status, 200);
        assert_eq!(totals(&mut browser, HASH), [0, 0, 2]);
    }
}

#[test]
fn a_partial_seed_is_incomplete_but_wants_nothing() {
    for mut config in shapes() {
        config.scrape.downloaders = true;
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        let downloaders = |browser: &mut Browser| {
            let text = browser.get(&scrape([HASH])).text();
            let (_, rest) = text.split_once("11:downloadersi").unwrap();
            rest.split_once("ee").unwrap().0.to_owned()
        };
        browser.get(&announce(HASH, 1, 5, "started"));
        browser.get(&announce(HASH, 2, 5, "paused"));
        assert_eq!(downloaders(&mut browser), "1e10:incompletei2");
        browser.get(&announce(HASH, 2, 5, ""));
        assert_eq!(downloaders(&mut browser), "2e10:incompletei2");
    }
}

#[test]
fn a_client_gets_as_many_peers_as_it_wants_and_the_operator_allows() {
    for mut config in shapes() {
        config.announce.numwant = 30;
        config.announce.numwant_max = 60;
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        for port in 1..=100 {
            browser.get(&announce(HASH, port, 5, "started"));
        }
        for (wanted, given) in [
            ("", 30),
            ("&numwant=0", 0),
            ("&numwant=1", 1),
            ("&numwant=60", 60),
            ("&numwant=200", 60),
            ("&numwant=99999999999999999999", 60),
            ("&numwant=-1", 30),
            ("&numwant=-99999999999999999999", 30),
            ("&numwant=abc", 30),
            ("&numwant=", 30),
        ] {
            let mut ports = v4_ports(&browser.get(&(announce(HASH, 101, 5, "") + wanted)));
            assert_eq!(ports.len(), given, "{wanted}");
            ports.dedup();
            assert_eq!(ports.len(), given, "nobody comes twice");
            assert!(!ports.contains(&101), "nobody is given itself");
        }
    }
}

#[test]
fn what_the_operator_wants_clients_to_know_is_in_every_announce() {
    for mut config in shapes() {
        config.announce.interval = 2000;
        config.announce.min_interval = Some(1000);
        config.announce.tracker_id = "reef-1".to_owned();
        config.announce.warning = "moving soon".to_owned();
        config.announce.tell_external_ip = true;
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        assert_eq!(
            browser.get(&announce(HASH, 1, 5, "started")).body,
            b"d8:completei0e11:external ip4:\x7f\0\0\x0110:incompletei1e8:intervali2000e\
              12:min intervali1000e5:peers0:10:tracker id6:reef-115:warning message11:moving soone"
        );
        config.announce.min_interval = Some(0);
        config.announce.tracker_id.clear();
        config.announce.warning.clear();
        config.announce.tell_external_ip = false;
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        assert_eq!(
            browser.get(&announce(HASH, 1, 5, "started")).text(),
            "d8:completei0e10:incompletei1e8:intervali2000e5:peers0:e"
        );
    }
}

#[test]
fn peers_of_this_host_are_handed_out_with_the_address_that_others_reach() {
    for mut config in shapes() {
        config.announce.external_ip = vec!["203.0.113.7".parse().unwrap()];
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        browser.get(&announce(HASH, 6881, 5, "started"));
        let reply = browser.get(&announce(HASH, 2, 5, "started"));
        let text = reply.body.escape_ascii().to_string();
        assert!(
            reply.body.ends_with(b"5:peers6:\xcb\0\x71\x07\x1a\xe1e"),
            "{text}"
        );
    }
}

fn unpacked(response: &Response) -> Vec<u8> {
    let mut out = Vec::new();
    match response.header("content-encoding") {
        None => out.clone_from(&response.body),
        Some("gzip") => {
            let mut gzip = flate2::read::GzDecoder::new(&response.body[..]);
            gzip.read_to_end(&mut out).unwrap();
        }
        Some("zstd") => out = zstd::stream::decode_all(&response.body[..]).unwrap(),
        Some(other) => panic!("{other} was not asked for"),
    }
    out
}

#[test]
fn a_large_scrape_is_packed_as_the_client_accepts_it() {
    for config in shapes() {
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        let large = scrape((0..74_u8).map(|n| [n; 20]));
        let plain = browser.get(&large);
        assert_eq!(plain.header("content-encoding"), None);
        let mut saved = 0;
        for (accepts, encoding) in [
            ("gzip", "gzip"),
            ("gzip, deflate, br", "gzip"),
            ("gzip, deflate, br, zstd", "zstd"),
            ("zstd;q=0.1", "zstd"),
            ("zstd;q=0, gzip", "gzip"),
        ] {
            let packed = browser.get_with(&large, &format!("Accept-Encoding: {accepts}\r\n"));
            assert_eq!(
                packed.header("content-encoding"),
                Some(encoding),
                "{accepts}"
            );
            assert_eq!(packed.header("vary"), Some("Accept-Encoding"));
            assert!(packed.body.len() < plain.body.len() / 2);
            assert!(packed.headers.len() <= 8);
            assert_eq!(unpacked(&packed), plain.body);
            saved += (plain.body.len() - packed.body.len()) as u64;
        }
        assert_eq!(server.tally(Tally::HttpBytesSaved), saved);
        for accepts in ["br, deflate", "identity", "gzip;q=0", "*"] {
            let response = browser.get_with(&large, &format!("Accept-Encoding: {accepts}\r\n"));
            assert_eq!(
                (response.header("content-encoding"), &response.body),
                (None, &plain.body)
            );
        }
        let small = browser.get_with(&scrape([HASH]), "Accept-Encoding: gzip, zstd\r\n");
        assert_eq!(small.header("content-encoding"), None);
        let head = format!("HEAD {large} HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n");
        browser.send(head.as_bytes());
        assert_eq!(browser.head().0, 200);
        browser.expect_open();
    }
}

#[test]
fn packed_peers_are_never_compressed_and_dictionaries_where_that_is_shorter() {
    for mut config in shapes() {
        config.swarm.peer_details = true;
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        for port in 1..=200 {
            browser.get(&announce(HASH, port, 5, "started"));
        }
        let target = announce(HASH, 201, 5, "") + "&numwant=200";
        for accepts in ["gzip", "zstd"] {
            let header = format!("Accept-Encoding: {accepts}\r\n");
            let packed = browser.get_with(&target, &header);
            assert!(packed.body.len() > 1200, "long enough to be tempting");
            assert_eq!(
                (packed.header("content-encoding"), packed.header("vary")),
                (None, None)
            );
            let declined = target.replace("compact=1", "compact=0");
            let dictionaries = browser.get_with(&declined, &header);
            assert_eq!(dictionaries.header("content-encoding"), Some(accepts));
            assert_eq!(dictionaries.header("vary"), Some("Accept-Encoding"));
            let text = String::from_utf8(unpacked(&dictionaries)).unwrap();
            assert_eq!(
                text.matches("7:peer id20:-SH0100-abcdefghijkl").count(),
                200
            );
        }
    }
}

#[test]
fn an_address_that_is_not_served_is_told_so_for_ever() {
    for mut config in shapes() {
        config.announce.ignore_ip = vec!["127.0.0.0/8".parse().unwrap()];
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        assert_eq!(
            browser.get(&announce(HASH, 1, 5, "started")).text(),
            "d14:failure reason19:address not allowed8:retry in5:nevere"
        );
        assert_eq!(server.count(Count::Faulted(Fault::IgnoredAddress)), 1);

        config.announce.ignore_ip.clear();
        config.announce.allow_private_peers = false;
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        assert_eq!(
            browser.get(&announce(HASH, 1, 5, "started")).text(),
            "d14:failure reason27:private address not allowed8:retry in5:nevere"
        );
        assert_eq!(server.count(Count::Faulted(Fault::PrivateAddress)), 1);
        // It may look all the same.
        assert_eq!(totals(&mut browser, HASH), [0, 0, 0]);
    }
}

#[test]
fn past_the_memory_budget_a_newcomer_is_answered_and_warned() {
    for mut config in shapes() {
        config.swarm.memory_budget = 1 << 20;
        config.announce.warning = "moving soon".to_owned();
        let server = Server::start(&config);
        let (client, mut browser) = (server.client(), Browser::of(server.http_address()));
        let full = "15:warning message52:the tracker is full: other peers are not told of youe";
        browser.get(&announce(HASH, 1, 5, "started"));
        let id = client.connect();
        let (mut port, mut torrents) = (1, 0_u32..100_000);
        let turned_away = loop {
            for torrent in torrents.by_ref().take(500) {
                let mut hash = [7; 20];
                hash[..4].copy_from_slice(&torrent.to_be_bytes());
                client.announce(id, Announce::leecher(hash, 1));
            }
            assert!(!torrents.is_empty(), "the budget is never used up");
            port += 1;
            let reply = browser.get(&announce(HASH, port, 5, "started"));
            if reply.text().ends_with(full) {
                break reply;
            }
        };
        assert!(server.tally(Tally::NotStoredFull) > 0);
        assert!(v4_ports(&turned_away).len() <= 50);
        assert_eq!(number(&turned_away, "interval"), Some(1800));
        // Who is known stays, and who leaves is not warned.
        let known = browser.get(&announce(HASH, 1, 5, ""));
        assert!(known.text().ends_with("15:warning message11:moving soone"));
        let stopped = browser.get(&announce(HASH, port, 5, "stopped"));
        assert!(
            stopped
                .text()
                .ends_with("15:warning message11:moving soone")
        );
    }
}

#[test]
fn without_http_listeners_there_is_no_http() {
    for backend in BACKENDS {
        let mut config = config();
        config.workers.backend = backend;
        assert_eq!(Server::start(&config).tracker.http_addresses(), []);
    }
}
