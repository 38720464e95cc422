//! The PROXY protocol, versions 1 and 2: before HTTP, before TLS, cut anywhere, and missing.

mod doors;
mod http;
mod in_process;
mod tls;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use doors::{behind_proxy_protocol, expect_peer, hash, networks, peers, request, start};
use http::{Browser, announce, http_config};
use in_process::{BACKENDS, Server, http_listener};
use shoal::config::{HttpListener, Proxy, ProxyHeader};
use shoal::counters::{BadRequest, Count, Tally};
use tls::{Files, Root, secure_behind};

const UNTRUSTED: Count = Count::BadRequest(BadRequest::UntrustedProxy);
const NO_HEADER: Count = Count::BadRequest(BadRequest::BadProxyHeader);

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2.
fn version_2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u16).to_be_bytes();
    [SIGNATURE, &[command, family], &len, body].concat()
}

/// Headers of both versions, and under which address their connections must appear.
fn proxy_protocol_headers() -> Vec<(Vec<u8>, &'static str)> {
    let (v4, mapped) = ("203.0.113.7:6881", "::ffff:203.0.113.7");
    let v6 = "[2001:db8::7]:6881";
    let text = |line: &str| format!("PROXY {line}\r\n").into_bytes();
    let v4_body = [203, 0, 113, 7, 127, 0, 0, 1, 0x12, 0x67, 0, 80];
    let v6_body = |ip: &str| {
        let ip: std::net::Ipv6Addr = ip.parse().unwrap();
        [&ip.octets()[..], &[0; 15], &[1, 0x12, 0x67, 0, 80]].concat()
    };
    let with_fields = [&v4_body[..], &[0x20, 0, 2, 0, 0], &[4, 0, 3, 0, 0, 0]].concat();
    vec![
        (text("TCP4 203.0.113.7 127.0.0.1 4711 80"), v4),
        (text("TCP6 2001:db8::7 ::1 4711 80"), v6),
        (text(&format!("TCP6 {mapped} ::1 4711 80")), v4),
        (version_2(0x21, 0x11, &v4_body), v4),
        (version_2(0x21, 0x11, &with_fields), v4),
        (version_2(0x21, 0x21, &v6_body("2001:db8::7")), v6),
        (version_2(0x21, 0x21, &v6_body(mapped)), v4),
        // The proxy speaks for itself.
        (text("UNKNOWN"), "127.0.0.1:6881"),
        (text("UNKNOWN ffff::1 ffff::2 1 2"), "127.0.0.1:6881"),
        (version_2(0x20, 0, b""), "127.0.0.1:6881"),
        (version_2(0x20, 0x11, &v4_body), "127.0.0.1:6881"),
    ]
}

#[test]
fn the_proxy_protocol_names_the_peer_however_it_is_cut() {
    for backend in BACKENDS {
        let server = start(backend, behind_proxy_protocol());
        for (number, (header, peer)) in proxy_protocol_headers().iter().enumerate() {
            // With the first request in the same segment.
            let (one, two) = (hash(2 * number), hash(2 * number + 1));
            let mut proxy = Browser::of(server.http_address());
            proxy.send(&[&header[..], &request(&one)].concat());
            assert_eq!(proxy.response().status, 200);
            expect_peer(&server, &one, peer);
            // The header holds for the whole connection.
            proxy.get(&announce(&one, 6882, 10, "started"));
            assert_eq!(peers(&server, &one).len(), 2);

            let mut proxy = Browser::of(server.http_address());
            for byte in [&header[..], &request(&two)].concat() {
                proxy.send(&[byte]);
            }
            assert_eq!(proxy.response().status, 200);
            expect_peer(&server, &two, peer);
        }
        assert_eq!(server.count(NO_HEADER), 0);
    }
}

#[test]
fn the_proxy_protocol_stands_before_tls() {
    let root = Root::new();
    let client = Arc::new(root.client());
    for backend in BACKENDS {
        let files = Files::of(&root.issue());
        let door = HttpListener {
            proxy_protocol: true,
            ..files.listener()
        };
        let server = start(backend, door);
        for (number, (header, peer)) in proxy_protocol_headers().iter().enumerate() {
            for cut in [0, header.len() / 2, header.len()] {
                let hash = hash(1000 * number + cut);
                let mut tcp = Browser::of(server.http_address()).stream;
                tcp.write_all(&header[..cut]).unwrap();
                let secured = secure_behind(&header[cut..], tcp, &client).unwrap();
                let mut proxy = Browser::over(secured);
                proxy.get(&announce(&hash, 6881, 10, "started"));
                expect_peer(&server, &hash, peer);
            }
        }
    }
}

#[test]
fn a_connection_without_its_proxy_header_is_closed_and_counted() {
    for backend in BACKENDS {
        let server = start(backend, behind_proxy_protocol());
        let bad = [
            request(&hash(1)),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            b"PROXY TCP4 203.0.113.7\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\n".to_vec(),
            b"PROXY UDP4 203.0.113.7 127.0.0.1 4711 80\r\n".to_vec(),
            format!("PROXY UNKNOWN {}", "x".repeat(200)).into_bytes(),
            version_2(0x31, 0x11, &[1; 12]),
            version_2(0x21, 0x11, &[1; 11]),
            b"\r\n\r\n\0\r\nQUIX\n".to_vec(),
        ];
        for (number, bytes) in bad.iter().enumerate() {
            let mut client = Browser::of(server.http_address());
            client.send(bytes);
            client.expect_close();
            let counted = number as u64 + 1;
            server.wait_until("counted", |totals| totals.get(NO_HEADER) == counted);
        }
        assert_eq!(peers(&server, &hash(1)), BTreeSet::new());
    }
}

#[test]
fn a_proxy_header_from_somebody_who_is_no_proxy_ends_the_connection() {
    for backend in BACKENDS {
        let door = HttpListener {
            proxy: Some(Proxy {
                header: None,
                trusted: networks(&["192.0.2.1/32"]),
            }),
            ..behind_proxy_protocol()
        };
        let server = start(backend, door);
        let mut client = Browser::of(server.http_address());
        let header = b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\r\n";
        client.send(&[&header[..], &request(&hash(1))].concat());
        client.expect_close();
        server.wait_until("counted", |totals| totals.get(NO_HEADER) == 1);
        assert_eq!(peers(&server, &hash(1)), BTreeSet::new());
    }
}

#[test]
fn half_a_proxy_header_is_waited_for_as_long_as_for_a_request() {
    for backend in BACKENDS {
        let server = start(backend, behind_proxy_protocol());
        let mut client = Browser::of(server.http_address());
        client.send(b"PROXY TCP4 203.0");
        server.wait_until("open", |totals| totals.tally(Tally::ConnectionsOpen) == 1);
        server.clock.advance(10);
        client.expect_close();
        server.wait_until("counted", |totals| totals.get(NO_HEADER) == 1);
    }
}

#[test]
fn a_connection_that_never_says_a_byte_is_closed() {
    // In real time, for the kernel keeps it back as long as it may.
    let servers = BACKENDS.map(|backend| {
        let mut config = http_config(backend);
        config.http = vec![behind_proxy_protocol(), http_listener("127.0.0.1:0")];
        config.connections.request_timeout = 1;
        Server::start(&config)
    });
    let doors = servers
        .each_ref()
        .map(|server| server.tracker.http_addresses());
    let mut silent: Vec<Browser> = doors
        .iter()
        .flat_map(|doors| doors.iter())
        .map(|door| Browser::of(*door))
        .collect();
    for client in &mut silent {
        client.drain();
    }
    for server in &servers {
        server.wait_until("counted", |totals| totals.get(NO_HEADER) == 1);
    }
}

#[test]
fn behind_the_proxy_protocol_only_proxies_are_believed_about_headers() {
    for backend in BACKENDS {
        let door = HttpListener {
            proxy: Some(Proxy {
                header: Some(ProxyHeader::XForwardedFor),
                trusted: networks(&["127.0.0.1/32", "10.0.0.0/8"]),
            }),
            ..behind_proxy_protocol()
        };
        let server = start(backend, door);
        for (number, source, peer) in [
            (1, "10.0.0.2", "203.0.113.7:6881"),
            (2, "198.51.100.1", "198.51.100.1:6881"),
        ] {
            let mut proxy = Browser::of(server.http_address());
            proxy.send(format!("PROXY TCP4 {source} 127.0.0.1 4711 80\r\n").as_bytes());
            let target = announce(&hash(number), 6881, 10, "started");
            proxy.get_with(&target, "X-Forwarded-For: 203.0.113.7\r\n");
            expect_peer(&server, &hash(number), peer);
        }
        assert_eq!(server.count(UNTRUSTED), 1);
    }
}
