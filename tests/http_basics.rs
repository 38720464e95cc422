//! The ways of HTTP: connections that stay or close, pipelining, paths, HEAD.

mod http;
mod in_process;

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use http::{
    Browser, Response, announce, escaped, http_config, scrape, shapes, wait_until_received,
};
use in_process::{BACKENDS, Server};
use shoal::config::{Proxy, ProxyHeader};
use shoal::counters::{BadRequest, Count, Tally};

const HASH: &str = "aaaaaaaaaaaaaaaaaaaa";

/// What every reply keeps to, whatever it says.
fn check_head(response: &Response) {
    assert!(response.headers.len() <= 8, "{response:?}");
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(
        response.header("content-type").map(|t| t.contains('/')),
        Some(true)
    );
    for unneeded in ["date", "server", "set-cookie"] {
        assert_eq!(response.header(unneeded), None);
    }
}

/// A request on a connection of its own that ends behind it: the length must be that of all that
/// comes.
fn alone(server: &Server, method: &str, target: &str) -> Response {
    let ask = |headers: &str| {
        let mut browser = Browser::of(server.http_address());
        let request = format!("{method} {target} HTTP/1.1\r\nHost: t\r\n{headers}\r\n");
        browser.send(request.as_bytes());
        browser
    };
    let closing = "Connection: close\r\n";
    let raw = ask(closing).rest();
    let body_at = raw.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let response = ask(closing).response();
    check_head(&response);
    assert_eq!(response.header("connection"), Some("close"));
    let len: usize = response.header("content-length").unwrap().parse().unwrap();
    assert_eq!(raw.len() - body_at, len, "{}", raw.escape_ascii());
    response
}

/// How many peers a torrent has, told by a scrape.
fn peers_of(browser: &mut Browser, hash: &str) -> usize {
    let text = browser.get(&scrape([hash])).text();
    let number = |key: &str| -> usize {
        let (_, rest) = text.split_once(key).expect("a scrape");
        rest[..rest.find('e').unwrap()].parse().unwrap()
    };
    number("8:completei") + number("10:incompletei")
}

#[test]
fn a_client_that_announces_sees_who_announced_before_over_one_connection() {
    for config in shapes() {
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        let first = browser.get(&announce(HASH, 6881, 10, "started"));
        assert_eq!(first.status, 200);
        assert_eq!(
            first.text(),
            "d8:completei0e10:incompletei1e8:intervali1800e12:min intervali900e5:peers0:e"
        );
        let second = browser.get(&announce(HASH, 6882, 0, "started"));
        assert!(
            second.body.ends_with(b"5:peers6:\x7f\0\0\x01\x1a\xe1e"),
            "{}",
            second.text()
        );
        assert_eq!(second.header("connection"), None);
        check_head(&second);
    }
}

#[test]
fn a_hundred_requests_in_one_segment_are_answered_in_order() {
    for config in shapes() {
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        let mut all = String::new();
        for at in 0..100 {
            let target = match at % 5 {
                0 => "/robots.txt".to_owned(),
                1 => "/nowhere".to_owned(),
                2 => scrape([HASH]),
                // Torrents of all cores, so that answers come from everywhere.
                _ => announce(&escaped(&[at % 16; 20]), 1000 + u16::from(at), 1, ""),
            };
            let head = format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n");
            all.push_str(&head);
        }
        browser.send(all.as_bytes());
        let mut seen = [0; 16];
        for at in 0..100_u8 {
            let response = browser.response();
            check_head(&response);
            let text = response.text();
            match at % 5 {
                0 => assert_eq!(text, "User-agent: *\nDisallow: /\n"),
                1 => assert_eq!(response.status, 404),
                2 => assert!(text.contains("10:incompletei0e"), "{text}"),
                _ => {
                    let seen = &mut seen[usize::from(at % 16)];
                    *seen += 1;
                    assert!(
                        text.contains(&format!("10:incompletei{seen}e")),
                        "{at}: {text}"
                    );
                }
            }
        }
        browser.expect_open();
    }
}

#[test]
fn a_request_may_arrive_in_any_two_pieces() {
    for config in shapes() {
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        let requests = [
            (announce(HASH, 6881, 10, "started"), "10:incompletei1e"),
            (scrape([HASH]), "10:downloadedi0e"),
            ("/health_check".to_owned(), "Ok"),
        ];
        let mut sent = 0;
        for (target, wanted) in requests {
            let request = format!("GET {target} HTTP/1.1\r\nHost: t\r\nAccept: */*\r\n\r\n");
            for at in 1..request.len() {
                let (first, second) = request.split_at(at);
                browser.send(first.as_bytes());
                wait_until_received(&server, sent + at);
                browser.send(second.as_bytes());
                sent += request.len();
                let response = browser.response();
                assert_eq!(response.status, 200, "split at {at}");
                assert!(response.text().contains(wanted), "split at {at}");
            }
        }
        assert_eq!(server.tally(Tally::HttpBytesReceived), sent as u64);
    }
}

#[test]
fn a_request_may_arrive_byte_by_byte_with_the_beginning_of_the_next_behind_it() {
    for backend in BACKENDS {
        let server = Server::start(&http_config(backend));
        let mut browser = Browser::of(server.http_address());
        let target = announce(HASH, 6881, 10, "");
        let request = format!("\r\n\nGET {target} HTTP/1.0\nConnection: Keep-Alive\n\n").repeat(2);
        for at in 0..request.len() {
            browser.send(&request.as_bytes()[at..=at]);
            wait_until_received(&server, at + 1);
        }
        for _ in 0..2 {
            let response = browser.response();
            assert!(response.text().contains("10:incompletei1e"));
            assert_eq!(response.header("connection"), Some("keep-alive"));
        }
        browser.expect_open();
    }
}

#[test]
fn http_1_0_is_closed_unless_the_client_asks_for_more() {
    for config in shapes() {
        let server = Server::start(&config);
        for (version, header, stays, said) in [
            ("1.0", "", false, Some("close")),
            (
                "1.0",
                "Connection: keep-alive\r\n",
                true,
                Some("keep-alive"),
            ),
            (
                "1.0",
                "Connection: keep-alive, close\r\n",
                false,
                Some("close"),
            ),
            ("1.1", "", true, None),
            ("1.1", "Connection: keep-alive\r\n", true, None),
            ("1.1", "connection: Close\r\n", false, Some("close")),
        ] {
            for target in [announce(HASH, 1, 0, ""), scrape([HASH]), "/x".to_owned()] {
                let mut browser = Browser::of(server.http_address());
                browser.send(format!("GET {target} HTTP/{version}\r\n{header}\r\n").as_bytes());
                let response = browser.response();
                check_head(&response);
                assert_eq!(response.header("connection"), said, "{version} {header}");
                if stays {
                    browser.expect_open();
                } else {
                    browser.expect_close();
                }
            }
        }
    }
}

#[test]
fn head_tells_a_head_alone_and_changes_nothing() {
    for config in shapes() {
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        for (target, status) in [
            (announce(HASH, 6881, 0, "started"), 200),
            (scrape([HASH]), 200),
            ("/announce".to_owned(), 200),
            ("/scrape".to_owned(), 200),
            ("/robots.txt".to_owned(), 200),
            ("/health_check".to_owned(), 200),
            ("/nowhere".to_owned(), 404),
        ] {
            browser.send(format!("HEAD {target} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes());
            let (got, headers) = browser.head();
            assert_eq!(got, status, "{target}");
            let length = headers.iter().find(|(name, _)| name == "content-length");
            if let Some((_, length)) = length {
                let body = browser.get(&target).body;
                assert_eq!(*length, body.len().to_string(), "{target}");
            }
            // A body would be taken for the next head.
            browser.expect_open();
        }
        assert_eq!(peers_of(&mut browser, HASH), 0);
        let answered = server.totals();
        assert_eq!(answered.tally(Tally::Torrents), 0);
    }
}

#[test]
fn announces_and_scrapes_are_served_under_all_their_paths() {
    for config in shapes() {
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        let (_, announce_query) = announce(HASH, 6881, 0, "")
            .split_once('?')
            .map(own)
            .unwrap();
        let (_, scrape_query) = scrape([HASH]).split_once('?').map(own).unwrap();
        for path in [
            "/announce",
            "/a",
            "/KEY/announce",
            "/announce/KEY",
            "/KEY/a",
            "/x/y/announce",
            "/x/y/a",
            "/announce/",
            "/a/",
            "/KEY/announce/",
            "/announce/KEY/",
            "/",
            "http://tracker.example/a",
            "http://tracker.example:6969/announce",
            "https://t/KEY/announce/",
            "HTTP://t",
        ] {
            let response = browser.get(&format!("{path}?{announce_query}"));
            assert_eq!(response.status, 200, "{path}");
            assert!(
                response.text().starts_with("d8:completei1e"),
                "{path}: {}",
                response.text()
            );
            check_head(&response);
        }
        for path in [
            "/scrape",
            "/s",
            "/KEY/scrape",
            "/scrape/KEY",
            "/KEY/s",
            "/x/y/scrape",
            "/x/y/s",
            "/scrape/",
            "/s/",
            "/KEY/scrape/",
            "/scrape/KEY/",
            "http://tracker.example/s",
        ] {
            let response = browser.get(&format!("{path}?{scrape_query}"));
            assert!(
                response.text().starts_with("d5:files"),
                "{path}: {}",
                response.text()
            );
            check_head(&response);
        }
    }
}

fn own((left, right): (&str, &str)) -> (String, String) {
    (left.to_owned(), right.to_owned())
}

#[test]
fn everything_else_has_one_path_or_none() {
    for config in shapes() {
        let server = Server::start(&config);
        let robots = alone(&server, "GET", "/robots.txt");
        assert_eq!(robots.text(), "User-agent: *\nDisallow: /\n");
        let health = alone(&server, "GET", "/health_check");
        assert_eq!(health.text(), "{\"status\":\"Ok\"}");
        assert_eq!(health.header("content-type"), Some("application/json"));
        let unknown = [
            "/",
            "/?",
            "/favicon.ico",
            "/announce.php?x=y",
            "/Announce",
            "*",
            "//",
            "x",
        ];
        for target in unknown {
            let response = alone(&server, "GET", target);
            assert_eq!(
                (response.status, response.text().as_str()),
                (404, "Not Found\n")
            );
        }
        let asked = 2 * unknown.len() as u64;
        assert_eq!(server.count(Count::BadRequest(BadRequest::NotFound)), asked);
    }
}

#[test]
fn every_length_is_exact_whatever_is_answered() {
    for config in shapes() {
        let server = Server::start(&config);
        for target in [
            &announce(HASH, 6881, 0, "started"),
            &announce(HASH, 6882, 5, "started").replace("compact=1", "compact=0"),
            &announce(HASH, 0, 0, ""),
            &scrape([HASH]),
            &scrape((0..74).map(|n| [n; 20])),
            "/scrape",
        ] {
            assert_eq!(alone(&server, "GET", target).status, 200, "{target}");
        }
        assert_eq!(alone(&server, "PUT", "/announce").status, 405);
    }
}

#[test]
fn other_methods_are_told_which_there_are_and_closed() {
    for config in shapes() {
        let server = Server::start(&config);
        let methods = [
            "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "BREW",
        ];
        for method in methods {
            for body in ["", "info_hash=aaaaaaaaaaaaaaaaaaaa"] {
                let mut browser = Browser::of(server.http_address());
                let len = body.len();
                let request = format!(
                    "{method} /announce HTTP/1.1\r\nHost: t\r\nContent-Length: {len}\r\n\r\n{body}"
                );
                browser.send(request.as_bytes());
                let response = browser.response();
                check_head(&response);
                assert_eq!(response.status, 405);
                assert_eq!(response.header("allow"), Some("GET, HEAD"));
                assert_eq!(response.header("connection"), Some("close"));
                assert_eq!(response.header("content-type"), Some("text/plain"));
                assert_eq!(response.text(), "only GET and HEAD\n");
                browser.expect_close();
            }
        }
        let refused = Count::BadRequest(BadRequest::MethodNotAllowed);
        assert_eq!(server.count(refused), 2 * methods.len() as u64);
    }
}

#[test]
fn connections_are_counted_as_they_come_and_go() {
    for config in shapes() {
        let server = Server::start(&config);
        let mut browsers: Vec<Browser> = (0..20)
            .map(|_| Browser::of(server.http_address()))
            .collect();
        browsers.iter_mut().for_each(Browser::expect_open);
        server.wait_until("20 open", |t| t.tally(Tally::ConnectionsOpen) == 20);
        browsers.truncate(5);
        server.wait_until("5 open", |t| t.tally(Tally::ConnectionsOpen) == 5);
        drop(browsers);
        server.wait_until("none open", |t| t.tally(Tally::ConnectionsOpen) == 0);
    }
}

#[test]
fn a_redirect_never_leaves_its_host() {
    let mut config = http_config(BACKENDS[0]);
    config.http[0].redirect_to = Some("https://tracker.example".to_owned());
    let server = Server::start(&config);
    for (target, location) in [
        ("/a?b=c", "https://tracker.example/a?b=c"),
        ("@evil.example/", "https://tracker.example/@evil.example/"),
        (".evil.example/", "https://tracker.example/.evil.example/"),
        ("//evil.example/", "https://tracker.example//evil.example/"),
    ] {
        let reply = Browser::of(server.http_address()).get(target);
        assert_eq!(reply.header("location"), Some(location), "{target}");
    }
}

#[test]
fn a_client_that_resets_its_connection_at_once_is_not_taken_for_a_proxy() {
    for backend in BACKENDS {
        let mut config = http_config(backend);
        config.http[0].proxy = Some(Proxy {
            header: Some(ProxyHeader::XForwardedFor),
            trusted: vec!["10.0.0.0/8".parse().unwrap()],
        });
        let server = Server::start(&config);
        let target = announce("aaaaaaaaaaaaaaaaaaaa", 6881, 10, "started");
        let forged =
            format!("GET {target} HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 8.8.8.8\r\n\r\n");
        for _ in 0..50 {
            let mut client = TcpStream::connect(server.http_address()).unwrap();
            client.write_all(forged.as_bytes()).unwrap();
            let socket = socket2::SockRef::from(&client);
            socket.set_linger(Some(Duration::ZERO)).unwrap();
        }
        let mut browser = Browser::of(server.http_address());
        let told = browser.get(&announce("aaaaaaaaaaaaaaaaaaaa", 6882, 10, "started"));
        let victim = b"\x08\x08\x08\x08\x1a\xe1";
        let is_told = told.body.windows(6).any(|peer| peer == victim);
        assert!(!is_told, "{}", told.text());
    }
}
