//! What no good client sends: refused, counted under its name, and never the end of the tracker.

mod http;
mod in_process;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use http::{Browser, announce, http_config, scrape, shapes, wait_until_received};
use in_process::{BACKENDS, PATIENCE, Server};
use shoal::counters::{BadRequest, Count, Fault, Tally};

const HASH: &str = "aaaaaaaaaaaaaaaaaaaa";

/// The least that an announce must say, and one part of it put differently.
fn announce_but(part: &str, other: &str) -> String {
    let least = "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-SH0100-abcdefghijkl&port=6881";
    assert!(least.contains(part));
    least.replace(part, other)
}

#[test]
fn a_bad_announce_is_told_what_is_wrong_and_counted_under_that_name() {
    let hash = "info_hash=aaaaaaaaaaaaaaaaaaaa";
    let id = "peer_id=-SH0100-abcdefghijkl";
    let long = "a".repeat(4000);
    let cases = [
        (hash, "x=y", Fault::MissingInfoHash),
        (hash, "info_hash", Fault::InvalidInfoHash),
        (hash, "info_hash=", Fault::InvalidInfoHash),
        (
            hash,
            "info_hash=aaaaaaaaaaaaaaaaaaa",
            Fault::InvalidInfoHash,
        ),
        (
            hash,
            "info_hash=aaaaaaaaaaaaaaaaaaaaa",
            Fault::InvalidInfoHash,
        ),
        (hash, &format!("info_hash={long}"), Fault::InvalidInfoHash),
        (
            hash,
            "info_hash=aaaaaaaaaaaaaaaaaaaa%",
            Fault::InvalidInfoHash,
        ),
        (
            hash,
            "info_hash=aaaaaaaaaaaaaaaaaaa%",
            Fault::InvalidInfoHash,
        ),
        (
            hash,
            "info_hash=aaaaaaaaaaaaaaaaaaa%0",
            Fault::InvalidInfoHash,
        ),
        (
            hash,
            "info_hash=aaaaaaaaaaaaaaaaaaa%0g",
            Fault::InvalidInfoHash,
        ),
        (
            hash,
            "info_hash=aaaaaaaaaaaaaaaaaaa%-1",
            Fault::InvalidInfoHash,
        ),
        (hash, &format!("{hash}&{hash}"), Fault::InvalidInfoHash),
        (hash, &format!("info_hash&{hash}"), Fault::InvalidInfoHash),
        (id, "", Fault::MissingPeerId),
        (id, "peer_id=", Fault::InvalidPeerId),
        (id, "peer_id=-SH0100-abcdefghijk", Fault::InvalidPeerId),
        (id, "peer_id=-SH0100-abcdefghijk%zz", Fault::InvalidPeerId),
        ("port=6881", "", Fault::InvalidPort),
        ("port=6881", "port=0", Fault::InvalidPort),
        ("port=6881", "port=000", Fault::InvalidPort),
        ("port=6881", "port=65536", Fault::InvalidPort),
        ("port=6881", "port=-6881", Fault::InvalidPort),
        ("port=6881", "port=http", Fault::InvalidPort),
        ("port=6881", "port=6881.0", Fault::InvalidPort),
        ("port=6881", "port=18446744073709558497", Fault::InvalidPort),
    ];
    for config in shapes() {
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        let mut expected = Vec::new();
        for (part, other, fault) in &cases {
            let target = announce_but(part, other);
            let text = fault.text();
            let refusal = format!("d14:failure reason{}:{text}e", text.len());
            assert_eq!(browser.get(&target).text(), refusal, "{target}");
            expected.push(*fault);
            let count = expected.iter().filter(|seen| *seen == fault).count() as u64;
            assert_eq!(server.count(Count::Faulted(*fault)), count, "{target}");
        }
        browser.expect_open();
        assert_eq!(server.tally(Tally::Torrents), 0);
    }
}

#[test]
fn absurd_numbers_are_read_as_well_as_they_can_be() {
    for config in shapes() {
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        let huge = "9".repeat(300);
        for key in [
            "left",
            "uploaded",
            "downloaded",
            "numwant",
            "compact",
            "key",
            "corrupt",
        ] {
            for value in [
                "-1",
                "-0",
                huge.as_str(),
                "18446744073709551616",
                "0x10",
                "",
                "%00",
                "1e9",
            ] {
                let target = announce_but("port=6881", &format!("port=6881&{key}={value}"));
                let text = browser.get(&target).text();
                assert!(text.contains("10:incompletei1e"), "{target}: {text}");
            }
        }
    }
}

#[test]
fn a_bad_scrape_is_told_what_is_wrong() {
    for config in shapes() {
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        for (query, reason) in [
            ("", "full scrape disabled"),
            ("?", "full scrape disabled"),
            ("?info_has=aaaaaaaaaaaaaaaaaaaa", "full scrape disabled"),
            ("?info_hash=short", "invalid info_hash"),
            (
                "?info_hash=aaaaaaaaaaaaaaaaaaaa&info_hash=%zz",
                "invalid info_hash",
            ),
            ("?info_hash", "invalid info_hash"),
        ] {
            let refusal = format!("d14:failure reason{}:{reason}e", reason.len());
            assert_eq!(browser.get(&format!("/scrape{query}")).text(), refusal);
        }
        assert_eq!(server.count(Count::Faulted(Fault::FullScrapeDisabled)), 3);
        assert_eq!(server.count(Count::Faulted(Fault::InvalidInfoHash)), 3);
    }
}

/// Sends what is no request and shows that it is answered with this status and a close, and counted.
fn expect_refusal(server: &Server, bytes: &[u8], status: u16, reason: BadRequest) {
    let before = server.count(Count::BadRequest(reason));
    let mut browser = Browser::of(server.http_address());
    browser.send(bytes);
    let response = browser.response();
    let shown = bytes[..bytes.len().min(60)].escape_ascii();
    assert_eq!(response.status, status, "{shown}");
    assert_eq!(response.header("connection"), Some("close"), "{shown}");
    assert!(response.text().ends_with('\n'), "a sentence for people");
    browser.expect_close();
    drop(browser);
    server.wait_until(&format!("{} for {shown}", reason.name()), |totals| {
        totals.get(Count::BadRequest(reason)) == before + 1
    });
}

#[test]
fn what_is_no_http_is_refused_at_its_first_wrong_byte() {
    for config in shapes() {
        let server = Server::start(&config);
        let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        expect_refusal(&server, hello, 400, BadRequest::TlsHello);
        expect_refusal(&server, &hello[..1], 400, BadRequest::TlsHello);
        let others: [&[u8]; 8] = [
            b"d1:ad2:id20:",
            b"\x13BitTorrent protocol",
            b"\x00\x00\x04\x17\x27\x10\x19\x80\0\0\0\0\0\0\0\0",
            b"SSH-2.0-OpenSSH_9.9\r\n",
            b"EHLO example\r\n",
            b"get / HTTP/1.1\r\n\r\n",
            b"\xff",
            b" ",
        ];
        for other in others {
            let reason = match other {
                b"EHLO example\r\n" => BadRequest::BadHead,
                _ => BadRequest::NotHttp,
            };
            expect_refusal(&server, other, 400, reason);
        }
        let heads: [&[u8]; 10] = [
            b"GET /announce\r\n\r\n",
            b"GET / HTTP/2.0\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET /a b HTTP/1.1\r\n\r\n",
            b"GET /announce?info_hash=\x00\x01 HTTP/1.1\r\n\r\n",
            b"GET /announce?info_hash=a\ra HTTP/1.1\r\n\r\n",
            b"GET /announce?info_hash=a\na HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: \x00\r\n\r\n",
        ];
        for head in heads {
            expect_refusal(&server, head, 400, BadRequest::BadHead);
        }
        let fields = "X: y\r\n".repeat(65);
        let many = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        expect_refusal(&server, many.as_bytes(), 431, BadRequest::TooManyHeaders);
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(8192));
        expect_refusal(&server, long.as_bytes(), 431, BadRequest::HeadTooLong);
        let long = format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "a".repeat(8192));
        expect_refusal(&server, long.as_bytes(), 431, BadRequest::HeadTooLong);
        Browser::of(server.http_address()).expect_open();
    }
}

#[test]
fn the_longest_head_that_is_allowed_is_served() {
    for config in shapes() {
        let server = Server::start(&config);
        let start = "GET /health_check HTTP/1.1\r\nCookie: ";
        let padded = |len: usize| format!("{start}{}\r\n\r\n", "a".repeat(len - start.len() - 4));
        let mut browser = Browser::of(server.http_address());
        browser.send(padded(8192).as_bytes());
        assert_eq!(browser.response().status, 200);
        // In two pieces, so that it is not parsed where it was read.
        let longest = padded(8192);
        let received = longest.len() + 5000;
        browser.send(&longest.as_bytes()[..5000]);
        wait_until_received(&server, received);
        browser.send(&longest.as_bytes()[5000..]);
        assert_eq!(browser.response().status, 200);
        browser.expect_open();
        expect_refusal(
            &server,
            padded(8193).as_bytes(),
            431,
            BadRequest::HeadTooLong,
        );
    }
}

#[test]
fn a_body_behind_a_get_ends_the_connection_but_not_the_answer() {
    for config in shapes() {
        let server = Server::start(&config);
        for (header, body) in [
            ("Content-Length: 5", "hello"),
            ("Content-Length: 100000", "hello"),
            ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
            ("Content-Length: x", "GET /robots.txt HTTP/1.1\r\n\r\n"),
        ] {
            let mut browser = Browser::of(server.http_address());
            let target = announce(HASH, 1, 0, "");
            browser.send(format!("GET {target} HTTP/1.1\r\n{header}\r\n\r\n{body}").as_bytes());
            let response = browser.response();
            assert!(response.text().starts_with("d8:completei1e"), "{header}");
            assert_eq!(response.header("connection"), Some("close"));
            browser.expect_close();
        }
        let mut browser = Browser::of(server.http_address());
        browser.get_with(&announce(HASH, 1, 0, ""), "Content-Length: 0\r\n");
        browser.expect_open();
    }
}

#[test]
fn what_is_sent_behind_the_last_request_does_not_take_its_answer_back() {
    for config in shapes() {
        let server = Server::start(&config);
        let mut stream = TcpStream::connect(server.http_address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut bytes = b"GET /health_check HTTP/1.1\r\nConnection: close\r\n\r\n".to_vec();
        bytes.resize(100_000, b'x');
        stream.write_all(&bytes).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.ends_with("{\"status\":\"Ok\"}"), "{said}");
        for _ in 0..10 {
            stream.write_all(&[b'x'; 1000]).expect("no reset");
        }
    }
}

#[test]
fn a_head_that_does_not_come_or_trickles_is_waited_for_no_longer_than_its_time() {
    for backend in BACKENDS {
        let config = http_config(backend);
        let server = Server::start(&config);
        let [mut silent, mut trickling] = [(); 2].map(|()| Browser::of(server.http_address()));
        let late = Count::BadRequest(BadRequest::HeadTimedOut);
        silent.send(b"GET /announce?info_hash=");
        let mut received = 24;
        for second in 0..config.connections.request_timeout {
            trickling.send(&b"GET /aaaaaaaaaaaaa"[second as usize..][..1]);
            received += 1;
            wait_until_received(&server, received);
            server.clock.advance(1);
        }
        let asked = Instant::now();
        silent.expect_close();
        trickling.expect_close();
        // It took the next look at the clock, and not the time that a new beginning would have got.
        assert!(asked.elapsed() < Duration::from_secs(8));
        server.wait_until("two heads late", |totals| totals.get(late) == 2);
    }
}

/// A request, whole or with a few bytes changed, or nothing but noise.
fn some_bytes(rng: &mut fastrand::Rng) -> Vec<u8> {
    let target = match rng.u8(..4) {
        0 => scrape((0..rng.u8(1..5)).map(|n| [n; 20])),
        1 => "/health_check".to_owned(),
        _ => announce(HASH, rng.u16(..), rng.u64(..3), "started"),
    };
    let fields = [
        "",
        "Connection: close\r\n",
        "Accept-Encoding: gzip\r\n",
        "Content-Length: 3\r\n",
    ];
    let field = fields[rng.usize(..fields.len())];
    let mut bytes = format!("GET {target} HTTP/1.1\r\nHost: t\r\n{field}\r\n").into_bytes();
    match rng.u8(..8) {
        0 => {
            bytes = vec![0; rng.usize(1..600)];
            rng.fill(&mut bytes);
        }
        1 => bytes.truncate(rng.usize(1..bytes.len())),
        2 => {
            let at = rng.usize(..bytes.len());
            let part = bytes[..at].to_vec();
            bytes.splice(at..at, part);
        }
        3 => bytes = bytes.repeat(rng.usize(1..40)),
        4..=6 => {
            for _ in 0..rng.usize(1..6) {
                let at = rng.usize(..bytes.len());
                let odd = b"\0\t\r\n %&=?/:#\x7f\x80\xff";
                match rng.u8(..3) {
                    0 => bytes[at] = rng.u8(..),
                    1 => bytes[at] = odd[rng.usize(..odd.len())],
                    _ => drop(bytes.remove(at)),
                }
            }
        }
        _ => {}
    }
    bytes
}

#[test]
fn no_bytes_keep_the_tracker_from_answering_the_next_client() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    for config in shapes() {
        let server = Server::start(&config);
        let mut rng = fastrand::Rng::with_seed(seed);
        for round in 0..1500 {
            let mut stream = TcpStream::connect(server.http_address()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            for _ in 0..rng.usize(1..4) {
                let bytes = some_bytes(&mut rng);
                for piece in bytes.chunks(rng.usize(1..=bytes.len().max(2))) {
                    let _ = stream.write_all(piece);
                }
            }
            match rng.u8(..3) {
                // All answers, which end because nothing more can come.
                0 => {
                    stream.shutdown(Shutdown::Write).ok();
                    let _ = stream.read_to_end(&mut Vec::new());
                }
                1 => {
                    stream.set_nonblocking(true).unwrap();
                    let _ = stream.read(&mut [0; 256]);
                }
                _ => {}
            }
            if round % 100 == 0 {
                Browser::of(server.http_address()).expect_open();
            }
        }
        let mut browser = Browser::of(server.http_address());
        assert!(
            browser
                .get(&scrape([[b'z'; 20]]))
                .text()
                .contains("10:incompletei0e")
        );
        drop(browser);
        server.wait_until("all closed", |t| t.tally(Tally::ConnectionsOpen) == 0);
        assert!(server.count(Count::BadRequest(BadRequest::BadHead)) > 0);
        assert!(server.count(Count::BadRequest(BadRequest::NotHttp)) > 0);
    }
}
