//! What stands in front of the tracker, and whom it believes: headers and Unix sockets. The proxies
//! here are the test itself; the PROXY protocol has `http_proxy_protocol.rs`, and nginx `http_nginx.rs`.

mod doors;
mod http;
mod in_process;

use std::collections::BTreeSet;
use std::fs;

use doors::{
    behind_header, behind_proxy_protocol, expect_peer, hash, lines, peers, request, start,
};
use http::{Browser, announce, http_config};
use in_process::{BACKENDS, Server, http_listener};
use shoal::config::{HttpAddress, HttpListener, ProxyHeader};
use shoal::counters::{BadRequest, Count, Fault};

const SILENT_PROXY: &str = "the proxy names no client address";
const UNTRUSTED: Count = Count::BadRequest(BadRequest::UntrustedProxy);

#[test]
fn the_right_most_hop_that_is_no_proxy_is_the_peer() {
    use ProxyHeader::{Forwarded, XForwardedFor, XRealIp};
    type Case<'a> = (&'a [&'a str], &'a str);
    let cases: [(ProxyHeader, &[Case<'_>]); 3] = [
        (
            XForwardedFor,
            &[
                (&["203.0.113.7"], "203.0.113.7:6881"),
                (&["198.51.100.1, 203.0.113.7 ,10.0.0.2"], "203.0.113.7:6881"),
                (
                    &["198.51.100.1", "203.0.113.7", "10.0.0.2, 127.0.0.1"],
                    "203.0.113.7:6881",
                ),
                (&["10.0.0.9, 10.0.0.2"], "10.0.0.9:6881"),
                (&["203.0.113.7:4711"], "203.0.113.7:6881"),
                (&["::ffff:203.0.113.7"], "203.0.113.7:6881"),
                (&["203.0.113.7, ::ffff:10.0.0.2"], "203.0.113.7:6881"),
                (&["2001:db8::7"], "[2001:db8::7]:6881"),
                (&["[2001:db8::7]:4711"], "[2001:db8::7]:6881"),
            ],
        ),
        (
            XRealIp,
            &[
                (&["203.0.113.7"], "203.0.113.7:6881"),
                (&["::ffff:203.0.113.7"], "203.0.113.7:6881"),
                (&["2001:db8::7"], "[2001:db8::7]:6881"),
            ],
        ),
        (
            Forwarded,
            &[
                (
                    &["for=198.51.100.1, for=203.0.113.7;proto=http"],
                    "203.0.113.7:6881",
                ),
                (
                    &["for=198.51.100.1", "for=203.0.113.7, by=x;For=10.0.0.2"],
                    "203.0.113.7:6881",
                ),
                (&["for=\"[2001:db8::7]:4711\""], "[2001:db8::7]:6881"),
                (&["for=\"[::ffff:203.0.113.7]\""], "203.0.113.7:6881"),
            ],
        ),
    ];
    for backend in BACKENDS {
        for (header, cases) in cases {
            let server = start(
                backend,
                behind_header(header, &["127.0.0.1/32", "10.0.0.0/8"]),
            );
            // One kept connection for all of them: every request says anew whom it is for.
            let mut proxy = Browser::of(server.http_address());
            for (number, (values, peer)) in cases.iter().enumerate() {
                let hash = hash(number);
                let target = announce(&hash, 6881, 10, "started");
                let reply = proxy.get_with(&target, &lines(header, values));
                assert_eq!(reply.peers(), BTreeSet::new(), "{values:?}");
                expect_peer(&server, &hash, peer);
            }
        }
    }
}

#[test]
fn a_client_cannot_put_words_into_the_mouth_of_its_proxy() {
    // What the client sent comes first, what the proxy added comes last.
    for backend in BACKENDS {
        let door = behind_header(ProxyHeader::XForwardedFor, &["127.0.0.1/32"]);
        let server = start(backend, door);
        let mut proxy = Browser::of(server.http_address());
        let mut not_believed = 0;
        for (number, values) in [
            &["192.0.2.99, 203.0.113.7"][..],
            &["192.0.2.99", "203.0.113.7"],
            &["127.0.0.1, 203.0.113.7, 127.0.0.1"],
            &["garbage, \"x, 203.0.113.7"],
            &["", "x", "203.0.113.7"],
            &["unknown,,,,203.0.113.7"],
        ]
        .iter()
        .enumerate()
        {
            let hash = hash(number);
            let target = announce(&hash, 6881, 10, "started");
            proxy.get_with(&target, &lines(ProxyHeader::XForwardedFor, values));
            expect_peer(&server, &hash, "203.0.113.7:6881");
            not_believed += 1;
        }
        // A header that nobody asked about says nothing.
        let target = announce(&hash(90), 6881, 10, "started");
        let others = "X-Real-IP: 192.0.2.99\r\nForwarded: for=192.0.2.99\r\nX-Forwarded-For: 203.0.113.7\r\n";
        proxy.get_with(&target, others);
        expect_peer(&server, &hash(90), "203.0.113.7:6881");
        // Nor does an address in the query.
        let target = announce(&hash(91), 6881, 10, "started") + "&ip=192.0.2.99&ipv4=192.0.2.99";
        proxy.get_with(&target, "X-Forwarded-For: 203.0.113.7\r\n");
        expect_peer(&server, &hash(91), "203.0.113.7:6881");
        assert_eq!(not_believed + 2, 8);
    }
}

#[test]
fn a_quote_that_a_client_left_open_does_not_swallow_what_its_proxy_says() {
    for backend in BACKENDS {
        let server = start(
            backend,
            behind_header(ProxyHeader::Forwarded, &["127.0.0.1/32"]),
        );
        let mut proxy = Browser::of(server.http_address());
        let values = ["for=\"192.0.2.99", "for=203.0.113.7"];
        let target = announce(&hash(1), 6881, 10, "started");
        proxy.get_with(&target, &lines(ProxyHeader::Forwarded, &values));
        expect_peer(&server, &hash(1), "203.0.113.7:6881");
        // In one line nobody knows who wrote what.
        let values = ["for=\"192.0.2.99, for=203.0.113.7"];
        let target = announce(&hash(2), 6881, 10, "started");
        let reply = proxy.get_with(&target, &lines(ProxyHeader::Forwarded, &values));
        assert!(reply.text().contains(SILENT_PROXY), "{}", reply.text());
    }
}

#[test]
fn a_header_from_somebody_who_is_no_proxy_is_ignored_and_counted() {
    for backend in BACKENDS {
        let door = behind_header(ProxyHeader::XForwardedFor, &["192.0.2.0/24", "::1/128"]);
        let server = start(backend, door);
        let mut client = Browser::of(server.http_address());
        client.get(&announce(&hash(1), 6881, 10, "started"));
        expect_peer(&server, &hash(1), "127.0.0.1:6881");
        assert_eq!(server.count(UNTRUSTED), 0);
        let target = announce(&hash(2), 6881, 10, "started");
        client.get_with(&target, "X-Forwarded-For: 203.0.113.7\r\n");
        expect_peer(&server, &hash(2), "127.0.0.1:6881");
        server.wait_until("counted", |totals| totals.get(UNTRUSTED) == 1);
    }
}

#[test]
fn a_trusted_proxy_that_names_nobody_is_told_so() {
    for backend in BACKENDS {
        let door = behind_header(ProxyHeader::XForwardedFor, &["127.0.0.1/32"]);
        let server = start(backend, door);
        let mut proxy = Browser::of(server.http_address());
        let mut told = 0;
        for headers in [
            "",
            "X-Forwarded-For:\r\n",
            "X-Forwarded-For: unknown\r\n",
            "X-Forwarded-For: 203.0.113.7,\r\n",
            "X-Forwarded-For: 203.0.113.7, x\r\n",
            "X-Forwarded-For: 203.0.113.7.\r\n",
            "X-Forwarded-For: 0.0.0.0\r\n",
            "X-Forwarded-For: 224.0.0.1\r\n",
            "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: \u{e9}\r\n",
            "X-Real-IP: 203.0.113.7\r\n",
        ] {
            let scrape = format!("/scrape?info_hash={}", hash(1));
            for target in [announce(&hash(1), 6881, 10, "started"), scrape] {
                let reply = proxy.get_with(&target, headers);
                assert_eq!(reply.status, 200);
                assert_eq!(
                    reply.text(),
                    format!("d14:failure reason{}:{SILENT_PROXY}e", SILENT_PROXY.len()),
                    "{headers:?}"
                );
                told += 1;
            }
        }
        let fault = Count::Faulted(Fault::NoClientAddress);
        server.wait_until("counted", |totals| totals.get(fault) == told);
        assert_eq!(peers(&server, &hash(1)), BTreeSet::new());
        // What is asked of nobody's torrents needs no name.
        assert_eq!(proxy.get("/health_check").status, 200);
    }
}

#[test]
fn over_a_unix_socket_the_proxy_must_name_the_client() {
    let folder = tempfile::tempdir().unwrap();
    for backend in BACKENDS {
        let path = folder.path().join("http.sock");
        let unix = |door: HttpListener| HttpListener {
            listen: HttpAddress::Unix(path.clone()),
            ..door
        };
        let header = behind_header(ProxyHeader::XForwardedFor, &["127.0.0.1/32"]);
        let server = start(backend, unix(header));
        let mut proxy = Browser::at_path(&path);
        for port in [6881, 6882] {
            let target = announce(&hash(1), port, 10, "started");
            let reply = proxy.get_with(&target, "X-Forwarded-For: 192.0.2.9, 203.0.113.7\r\n");
            assert_eq!(reply.status, 200);
        }
        assert_eq!(peers(&server, &hash(1)).len(), 2);
        let reply = proxy.get(&announce(&hash(1), 6881, 10, ""));
        assert!(reply.text().contains(SILENT_PROXY), "{}", reply.text());
        drop(server);
        assert!(!path.exists(), "the file goes with the tracker");

        let server = start(backend, unix(behind_proxy_protocol()));
        let mut proxy = Browser::at_path(&path);
        let header = b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\r\n";
        proxy.send(&[&header[..], &request(&hash(1))].concat());
        proxy.response();
        expect_peer(&server, &hash(1), "203.0.113.7:6881");
        let mut proxy = Browser::at_path(&path);
        proxy.send(&[b"PROXY UNKNOWN\r\n", &request(&hash(2))[..]].concat());
        let reply = proxy.response();
        assert!(reply.text().contains(SILENT_PROXY), "{}", reply.text());
        drop(server);

        let server = start(backend, unix(http_listener("127.0.0.1:0")));
        let mut client = Browser::at_path(&path);
        let target = announce(&hash(1), 6881, 10, "started");
        let reply = client.get_with(&target, "X-Forwarded-For: 203.0.113.7\r\n");
        assert!(reply.text().contains(SILENT_PROXY), "{}", reply.text());
        assert_eq!(client.get("/health_check").status, 200);
        drop(server);
    }
}

#[test]
fn the_socket_of_a_tracker_that_is_gone_is_replaced_and_that_of_a_living_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("http.sock");
    let mut config = http_config(BACKENDS[0]);
    config.http[0].listen = HttpAddress::Unix(path.clone());
    config.http[0].proxy_protocol = true;
    // As a killed tracker leaves it: bound once, heard no more.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let first = Server::start(&config);
    let refusal = Server::try_start(&config).err().expect("a refusal");
    assert_eq!(
        refusal,
        format!(
            "cannot listen on unix:{}: another process listens there; stop it or choose another path",
            path.display()
        )
    );
    // The refused one has left the socket alone.
    let mut proxy = Browser::at_path(&path);
    proxy.send(b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\r\n");
    assert_eq!(proxy.get("/health_check").status, 200);
    drop(first);
    assert!(!path.exists());

    fs::write(&path, "words").unwrap();
    let refusal = Server::try_start(&config).err().expect("a refusal");
    assert!(refusal.contains("a file that is no socket"), "{refusal}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "words");
}
