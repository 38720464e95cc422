//! Known requests of HTTP, byte for byte, on every backend: what clients send and what they must get.

mod http;
mod in_process;

use std::net::SocketAddr;

use http::{AWKWARD_HASH, Browser, announce, http_config, shapes, wait_until_received};
use in_process::{Announce, BACKENDS, Client, Server, http_listener};
use shoal::config::Config;

/// The hash of [`AWKWARD_HASH`] once its escapes are undone.
const HASH_A: [u8; 20] = *b"\x00\x01\x7f\x80\xff %&+-.=?A_az~\n\r";
const HASH_B: [u8; 20] = [0xbb; 20];

const QBITTORRENT: &[u8] =
    b"GET /announce?info_hash=%00%01%7f%80%ff%20%25%26%2b-.%3d%3fA_az~%0a%0d\
    &peer_id=-qB5240-abcdefghijkl&port=6881&uploaded=0&downloaded=0&left=1000&corrupt=0\
    &key=DEADBEEF&event=started&numwant=200&compact=1&no_peer_id=1&supportcrypto=1&redundant=0 \
    HTTP/1.1\r\nHost: 127.0.0.1:6969\r\nUser-Agent: qBittorrent/5.2.4\r\n\
    Accept-Encoding: gzip\r\nConnection: close\r\n\r\n";

const TRANSMISSION: &[u8] =
    b"GET /announce?info_hash=%00%01%7f%80%ff%20%25%26%2b-.%3d%3fA_az~%0a%0d\
    &peer_id=-TR4100-0123456789ab&port=51413&uploaded=0&downloaded=0&left=0&numwant=80\
    &key=01020304&compact=1&supportcrypto=1&event=started HTTP/1.1\r\n\
    Host: 127.0.0.1:6969\r\nUser-Agent: Transmission/4.1.0\r\nAccept: */*\r\n\
    Accept-Encoding: deflate, gzip\r\n\r\n";

/// Raw bytes where other clients escape, in both ids, and no header at all.
const RAW: &[u8] = b"GET /announce?info_hash=%00%01%7f\x80\xff%20%25%26+-.=?A_az~%0a%0d\
    &peer_id=-XX0000-a=b+c/d?e:fg&port=6881&uploaded=0&downloaded=0&left=1 HTTP/1.0\r\n\r\n";

const NEWTRACKON: &[u8] = b"GET /announce?info_hash=%00%01%7F%80%FF+%25%26%2B-.%3D%3FA_az~%0A%0D\
    &peer_id=-qB5230-abc_~.DEF012&port=6881&uploaded=0&downloaded=0&left=0&compact=1&ipv6=None\
    &ipv4=203.0.113.9 HTTP/1.1\r\nHost: 127.0.0.1:6969\r\nUser-Agent: qBittorrent/4.3.9\r\n\
    Accept-Encoding: gzip\r\nConnection: close\r\n\r\n";

const PARTIAL_SEED: &[u8] = b"GET /announce?info_hash=aaaaaaaaaaaaaaaaaaaa\
    &peer_id=-qB5240-abcdefghijkl&port=6881&uploaded=0&downloaded=0&left=500&event=paused\
    &compact=1 HTTP/1.1\r\nHost: t\r\n\r\n";

const SCRAPE_B_A: &[u8] = b"GET /scrape?info_hash=%bb%bb%bb%bb%bb%bb%bb%bb%bb%bb%bb%bb%bb%bb%bb%bb\
    %bb%bb%bb%bb&info_hash=%00%01%7f%80%ff%20%25%26%2b-.%3d%3fA_az~%0a%0d HTTP/1.1\r\n\
    Host: t\r\nConnection: close\r\n\r\n";

const SCRAPE_UNKNOWN: &[u8] = b"GET /scrape?info_hash=%cc%cc%cc%cc%cc%cc%cc%cc%cc%cc%cc%cc%cc%cc\
    %cc%cc%cc%cc%cc%cc HTTP/1.1\r\nHost: t\r\n\r\n";

const ONE_LEECHER: &str =
    "d8:completei0e10:incompletei1e8:intervali1800e12:min intervali900e5:peers0:e";

/// The whole reply, once the server has closed behind it.
fn last_reply(server: &Server, request: &[u8]) -> Vec<u8> {
    last_reply_of(server.http_address(), request)
}

fn last_reply_of(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut browser = Browser::of(address);
    browser.send(request);
    browser.rest()
}

fn with_head(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{head}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

const CLOSED: &str = "Connection: close\r\n";

/// The body of a reply behind which the connection stays open.
fn body(browser: &mut Browser, request: &[u8]) -> Vec<u8> {
    browser.send(request);
    let response = browser.response();
    assert_eq!(response.status, 200);
    assert_eq!(response.header("connection"), None);
    browser.expect_open();
    response.body
}

fn replaced(request: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = request
        .windows(from.len())
        .position(|part| part == from.as_bytes());
    let at = at.expect("the request has it");
    [&request[..at], to.as_bytes(), &request[at + from.len()..]].concat()
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[track_caller]
fn expect(got: &[u8], wanted: &[u8]) {
    assert_eq!(text(got), text(wanted));
}

#[test]
fn h1_and_h2_a_leecher_is_given_to_the_seeder_that_comes_next() {
    for config in shapes() {
        let server = Server::start(&config);
        let first = last_reply(&server, QBITTORRENT);
        expect(&first, &with_head(CLOSED, ONE_LEECHER.as_bytes()));
        let mut browser = Browser::of(server.http_address());
        expect(
            &body(&mut browser, TRANSMISSION),
            b"d8:completei1e10:incompletei1e8:intervali1800e12:min intervali900e\
              5:peers6:\x7f\x00\x00\x01\x1a\xe1e",
        );
    }
}

#[test]
fn h3_peers_are_dictionaries_for_who_declines_packed_ones() {
    for mut config in shapes() {
        config.swarm.peer_details = true;
        let server = Server::start(&config);
        last_reply(&server, QBITTORRENT);
        let mut browser = Browser::of(server.http_address());
        expect(
            &body(
                &mut browser,
                &replaced(TRANSMISSION, "compact=1", "compact=0"),
            ),
            b"d8:completei1e10:incompletei1e8:intervali1800e12:min intervali900e5:peersl\
              d2:ip9:127.0.0.17:peer id20:-qB5240-abcdefghijkl4:porti6881eeee",
        );
        expect(
            &body(
                &mut browser,
                &replaced(TRANSMISSION, "compact=1", "compact=0&no_peer_id=1"),
            ),
            b"d8:completei1e10:incompletei1e8:intervali1800e12:min intervali900e5:peersl\
              d2:ip9:127.0.0.14:porti6881eeee",
        );
    }
}

#[test]
fn h4_a_client_is_told_its_own_address_in_either_family() {
    for mut config in shapes() {
        config.announce.tell_external_ip = true;
        config.http.push(http_listener("[::1]:0"));
        let server = Server::start(&config);
        last_reply(&server, QBITTORRENT);
        let mut browser = Browser::of(server.http_address());
        expect(
            &body(&mut browser, TRANSMISSION),
            b"d8:completei1e11:external ip4:\x7f\x00\x00\x0110:incompletei1e8:intervali1800e\
              12:min intervali900e5:peers6:\x7f\x00\x00\x01\x1a\xe1e",
        );
        // Over IPv6 the swarm is another one: on another tracker.
        let server = Server::start(&config);
        let address = server.tracker.http_addresses()[1];
        last_reply_of(address, QBITTORRENT);
        expect(
            &body(&mut Browser::of(address), TRANSMISSION),
            b"d8:completei1e11:external ip16:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0110:incompletei1e\
              8:intervali1800e12:min intervali900e5:peers0:\
              6:peers618:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1e",
        );
    }
}

#[test]
fn h5_raw_bytes_and_http_1_0_are_understood() {
    for config in shapes() {
        let server = Server::start(&config);
        let reply = last_reply(&server, RAW);
        expect(&reply, &with_head(CLOSED, ONE_LEECHER.as_bytes()));
        // It was the same hash as the escaped one.
        let mut browser = Browser::of(server.http_address());
        assert!(body(&mut browser, TRANSMISSION).ends_with(b"5:peers6:\x7f\x00\x00\x01\x1a\xe1e"));
    }
}

#[test]
fn h6_a_plus_is_a_plus_and_foreign_addresses_are_ignored() {
    for config in shapes() {
        let server = Server::start(&config);
        let seeder =
            b"d8:completei1e10:incompletei0e8:intervali1800e12:min intervali900e5:peers0:e";
        expect(&last_reply(&server, NEWTRACKON), &with_head(CLOSED, seeder));
        // The torrent with a space in that place is another one.
        expect(
            &last_reply(&server, QBITTORRENT),
            &with_head(CLOSED, ONE_LEECHER.as_bytes()),
        );
        let client = server.client();
        let mut plus = HASH_A;
        plus[5] = b'+';
        let reply = client.announce(client.connect(), Announce::leecher(plus, 1));
        assert_eq!(reply.peers, [b"\x7f\x00\x00\x01\x1a\xe1"]);
    }
}

#[test]
fn h7_a_partial_seed_counts_as_incomplete() {
    for config in shapes() {
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        expect(&body(&mut browser, PARTIAL_SEED), ONE_LEECHER.as_bytes());
    }
}

/// One seeder in torrent A; two seeders, seven completions and three leechers in B.
fn fill(client: &Client) {
    let id = client.connect();
    client.announce(id, Announce::seeder(HASH_A, 1));
    for port in 1..=7 {
        let peer = Announce::leecher(HASH_B, port);
        client.announce(id, peer);
        client.announce(
            id,
            Announce {
                event: Announce::COMPLETED,
                left: 0,
                ..peer
            },
        );
        if port > 2 {
            client.announce(id, peer.stopped());
        }
        if port > 4 {
            client.announce(id, Announce::leecher(HASH_B, port + 100));
        }
    }
}

#[test]
fn h8_and_h9_a_scrape_lists_torrents_in_order_and_unknown_ones_with_zeros() {
    for config in shapes() {
        let server = Server::start(&config);
        fill(&server.client());
        let wanted = b"d5:filesd\
            20:\x00\x01\x7f\x80\xff %&+-.=?A_az~\n\r\
            d8:completei1e10:downloadedi0e10:incompletei0ee\
            20:\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\
            d8:completei2e10:downloadedi7e10:incompletei3eeee";
        expect(&last_reply(&server, SCRAPE_B_A), &with_head(CLOSED, wanted));
        let mut browser = Browser::of(server.http_address());
        expect(
            &body(&mut browser, SCRAPE_UNKNOWN),
            b"d5:filesd\
              20:\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\
              d8:completei0e10:downloadedi0e10:incompletei0eeee",
        );
    }
}

#[test]
fn h8_downloaders_and_the_least_interval_are_told_where_the_operator_wants_it() {
    for mut config in shapes() {
        config.scrape.downloaders = true;
        config.scrape.min_request_interval = 900;
        let server = Server::start(&config);
        fill(&server.client());
        let mut browser = Browser::of(server.http_address());
        expect(
            &browser
                .get(&format!("/scrape?info_hash={AWKWARD_HASH}"))
                .body,
            b"d5:filesd20:\x00\x01\x7f\x80\xff %&+-.=?A_az~\n\r\
              d8:completei1e10:downloadedi0e11:downloadersi0e10:incompletei0eee\
              5:flagsd20:min_request_intervali900eee",
        );
    }
}

#[test]
fn h10_a_warning_comes_with_every_success() {
    for mut config in shapes() {
        config.announce.warning = "client too old".to_owned();
        let server = Server::start(&config);
        let wanted = b"d8:completei0e10:incompletei1e8:intervali1800e12:min intervali900e5:peers0:\
                       15:warning message14:client too olde";
        expect(
            &last_reply(&server, QBITTORRENT),
            &with_head(CLOSED, wanted),
        );
    }
}

/// What is refused with a sentence; the connection stays.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "N1",
        "/announce?info_hash=%01%02%03aaaaaaaaaaaaaaaa&peer_id=-qB5240-abcdefghijkl&port=6881\
         &uploaded=0&downloaded=0&left=0",
        "invalid info_hash",
    ),
    (
        "N2",
        "/announce?info_hash=%G1aaaaaaaaaaaaaaaaaaa&peer_id=-qB5240-abcdefghijkl&port=6881&left=0",
        "invalid info_hash",
    ),
    (
        "N3",
        "/announce?peer_id=-qB5240-abcdefghijkl&port=6881&left=0&info_hash=aaaaaaaaaaaaaaaaaaa%4",
        "invalid info_hash",
    ),
    (
        "N4",
        "/announce?info_hash=3b245504cf5f11bbdbe1201cea6a6bf45aee1bc0\
         &peer_id=-qB5240-abcdefghijkl&port=6881&left=0",
        "invalid info_hash",
    ),
    (
        "N5",
        "/announce?peer_id=-qB5240-abcdefghijkl&port=6881&left=0",
        "missing info_hash",
    ),
    (
        "N6",
        "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&info_hash=bbbbbbbbbbbbbbbbbbbb\
         &peer_id=-qB5240-abcdefghijkl&port=6881&left=0",
        "invalid info_hash",
    ),
    (
        "N7",
        "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&port=6881&left=0",
        "missing peer_id",
    ),
    (
        "N8",
        "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=short&port=6881&left=0",
        "invalid peer_id",
    ),
    (
        "N9",
        "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-qB5240-abcdefghijkl&port=0&left=0",
        "invalid port",
    ),
    (
        "N9, 65536",
        "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-qB5240-abcdefghijkl&port=65536&left=0",
        "invalid port",
    ),
    (
        "N9, -1",
        "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-qB5240-abcdefghijkl&port=-1&left=0",
        "invalid port",
    ),
    (
        "N9, empty",
        "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-qB5240-abcdefghijkl&port=&left=0",
        "invalid port",
    ),
    (
        "N9, missing",
        "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-qB5240-abcdefghijkl&left=0",
        "invalid port",
    ),
    ("N11", "/announce", "missing info_hash"),
    ("N12", "/scrape", "full scrape disabled"),
];

#[test]
fn n1_to_n12_a_bad_query_gets_a_sentence_and_the_connection_stays() {
    for config in shapes() {
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        for (title, target, reason) in REFUSED {
            let request = format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n");
            browser.send(request.as_bytes());
            let response = browser.response();
            let wanted = format!("d14:failure reason{}:{reason}e", reason.len());
            assert_eq!((response.status, response.text()), (200, wanted), "{title}");
        }
        browser.expect_open();
    }
}

#[test]
fn n10_junk_in_optional_keys_is_as_good_as_nothing() {
    for config in shapes() {
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        let junk = b"GET /announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-qB5240-abcdefghijkl\
                     &port=6881&left=-5&numwant=abc&event=foo&compact=&key=&ipv6=%5B%5D HTTP/1.1\r\n\
                     Host: t\r\n\r\n";
        expect(&body(&mut browser, junk), ONE_LEECHER.as_bytes());
    }
}

#[test]
fn n13_an_unknown_path_is_not_found_and_the_connection_stays() {
    for config in shapes() {
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        browser.send(b"GET /favicon.ico HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(browser.response().status, 404);
        browser.expect_open();
    }
}

/// The status of what the server answers before it closes.
fn last_status(server: &Server, request: &[u8]) -> String {
    let reply = text(&last_reply(server, request));
    assert!(reply.contains("\\r\\nConnection: close\\r\\n"), "{reply}");
    reply["HTTP/1.1 ".len()..][..3].to_owned()
}

#[test]
fn n14_to_n17_what_is_no_get_and_what_is_no_http_is_answered_and_closed() {
    for config in shapes() {
        let server = Server::start(&config);
        let post = b"POST /announce HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(last_status(&server, post), "405");
        let others: [&[u8]; 3] = [
            b"d1:ad2:id20:",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x05",
        ];
        for other in others {
            assert_eq!(last_status(&server, other), "400");
        }
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(16 << 10));
        assert_eq!(last_status(&server, long.as_bytes()), "431");
    }
}

#[test]
fn n16_an_unfinished_head_is_closed_at_its_deadline() {
    for backend in BACKENDS {
        let config: Config = http_config(backend);
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        let half = b"GET /announce?info_hash=aaaaaaaaaa";
        browser.send(half);
        wait_until_received(&server, half.len());
        server.clock.advance(config.connections.request_timeout);
        browser.expect_close();
    }
}

#[test]
fn n18_two_requests_in_one_segment_are_answered_in_order() {
    for config in shapes() {
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        let second = replaced(TRANSMISSION, "port=51413", "port=51414");
        browser.send(&[TRANSMISSION, &second].concat());
        for seeders in 1..=2 {
            let wanted = format!(
                "d8:completei{seeders}e10:incompletei0e8:intervali1800e12:min intervali900e\
                 5:peers0:e"
            );
            assert_eq!(browser.response().text(), wanted);
        }
        browser.expect_open();
        // Whoever asks as before is answered as before.
        assert!(
            browser
                .get(&announce(AWKWARD_HASH, 1, 1, ""))
                .text()
                .contains("completei2e")
        );
    }
}
