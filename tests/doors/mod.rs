//! A tracker behind something that names its clients, and a plain door to see whom it took them for.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses its own part of this"
)]

use std::collections::BTreeSet;
use std::net::SocketAddr;

use shoal::config::{Backend, HttpListener, Proxy, ProxyHeader};

use crate::http::{Browser, announce, http_config};
use crate::in_process::{Server, http_listener};

/// A tracker with two doors: the one under test, and a plain one to look at swarms through.
pub fn start(backend: Backend, door: HttpListener) -> Server {
    let mut config = http_config(backend);
    config.http = vec![door, http_listener("127.0.0.1:0")];
    Server::start(&config)
}

pub fn networks(texts: &[&str]) -> Vec<ipnet::IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

pub fn behind_header(header: ProxyHeader, trusted: &[&str]) -> HttpListener {
    HttpListener {
        proxy: Some(Proxy {
            header: Some(header),
            trusted: networks(trusted),
        }),
        ..http_listener("127.0.0.1:0")
    }
}

pub fn behind_proxy_protocol() -> HttpListener {
    HttpListener {
        proxy_protocol: true,
        ..http_listener("127.0.0.1:0")
    }
}

/// Who is in a swarm, seen through the plain door.
pub fn peers(server: &Server, hash: &str) -> BTreeSet<SocketAddr> {
    let plain = *server.tracker.http_addresses().last().unwrap();
    let reply = Browser::of(plain).get(&announce(hash, 9, 1, "started"));
    let looker = SocketAddr::from(([127, 0, 0, 1], 9));
    let mut peers = reply.peers();
    peers.remove(&looker);
    peers
}

pub fn expect_peer(server: &Server, hash: &str, peer: &str) {
    let expected = BTreeSet::from([peer.parse().unwrap()]);
    assert_eq!(peers(server, hash), expected, "{hash}");
}

/// Another info-hash for every number.
pub fn hash(number: usize) -> String {
    format!("{number:020}")
}

/// A whole request, port 6881.
pub fn request(hash: &str) -> Vec<u8> {
    let target = announce(hash, 6881, 10, "started");
    format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n").into_bytes()
}

/// Header lines, ready to be sent.
pub fn lines(header: ProxyHeader, values: &[&str]) -> String {
    let line = |value: &&str| format!("{header}: {value}\r\n");
    values.iter().map(line).collect()
}
