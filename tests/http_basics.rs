//! The ways of HTTP: connections that stay or close, pipelining, paths, HEAD.

mod http;
mod in_process;

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use http::{Browser, announce, http_config};
use in_process::{BACKENDS, Server};
use shoal::config::{Proxy, ProxyHeader};

#[test]
fn a_client_that_announces_sees_who_announced_before_over_one_connection() {
    for backend in BACKENDS {
        let server = Server::start(&http_config(backend));
        let mut browser = Browser::of(server.http_address());
        let hash = "aaaaaaaaaaaaaaaaaaaa";
        let first = browser.get(&announce(hash, 6881, 10, "started"));
        assert_eq!(first.status, 200);
        assert_eq!(
            first.text(),
            "d8:completei0e10:incompletei1e8:intervali1800e12:min intervali900e5:peers0:e"
        );
        let second = browser.get(&announce(hash, 6882, 0, "started"));
        assert!(
            second.body.ends_with(b"5:peers6:\x7f\0\0\x01\x1a\xe1e"),
            "{}",
            second.text()
        );
        assert_eq!(second.header("connection"), None);
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
