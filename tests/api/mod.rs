//! A tracker with a control server on any port of 127.0.0.1, and a client of its API.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses its own part of this"
)]

use std::io::{Read, Write};
use std::net::SocketAddr;

use serde_json::Value;
use shoal::config::{Config, Secret};
use tempfile::TempDir;

use crate::http::{Browser, Response};
use crate::in_process::{Announce, Client, Server, config, http_listener};

/// The secret of the token called admin, as in Torrust's own tests.
pub const TOKEN: &str = "MyAccessToken";

/// What a change that was made is answered.
pub const DONE: &str = r#"{"status":"ok"}"#;

/// Two info-hashes; the first is the smaller one.
pub const LOWER: &str = "0b3aea4adc213ce32295be85d3883a63bca25446";
pub const HIGHER: &str = "9e0217d0fa71c87332cd8bf9dbeabcb2c2cf3c4d";

/// A tracker, with a folder of its own, and its API.
pub struct Api {
    pub server: Server,
    pub folder: TempDir,
}

impl Api {
    /// UDP, HTTP, a store and a token.
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// The same with something changed.
    pub fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = TempDir::new().unwrap();
        let mut config = config();
        config.http = vec![http_listener("127.0.0.1:0")];
        config.store.path = folder.path().join("data").display().to_string();
        config.control.listen = Some("127.0.0.1:0".parse().unwrap());
        config.control.required = true;
        config
            .control
            .tokens
            .insert("admin".to_owned(), Secret::new(TOKEN));
        change(&mut config);
        Self {
            server: Server::start(&config),
            folder,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.tracker.control_address().unwrap()
    }

    pub fn browser(&self) -> Browser {
        Browser::of(self.address())
    }

    /// A request on a connection of its own, exactly as it is given.
    pub fn ask(&self, method: &str, target: &str, headers: &str, body: &str) -> Response {
        ask(&mut self.browser(), method, target, headers, body)
    }

    /// A request with the token in its query.
    pub fn admin(&self, method: &str, target: &str) -> Response {
        self.ask(method, &with_token(target), "", "")
    }

    pub fn get(&self, target: &str) -> Response {
        self.admin("GET", target)
    }

    /// A body in JSON, with the token in the query.
    pub fn post_json(&self, target: &str, body: &str) -> Response {
        self.send_json("POST", target, body)
    }

    pub fn send_json(&self, method: &str, target: &str, body: &str) -> Response {
        let json = "Content-Type: application/json\r\n";
        self.ask(method, &with_token(target), json, body)
    }

    /// Lets a peer announce over UDP, at this port.
    pub fn announce(&self, info_hash: &str, port: u16, left: u64) {
        let client = self.server.client();
        let id = client.connect();
        announce(&client, id, info_hash, port, left);
    }
}

/// One announce over UDP.
pub fn announce(client: &Client, id: [u8; 8], info_hash: &str, port: u16, left: u64) {
    let announce = Announce {
        left,
        ..Announce::leecher(bytes_of(info_hash), port)
    };
    client.announce(id, announce);
}

/// A request on a connection that stays.
pub fn ask<S: Read + Write>(
    browser: &mut Browser<S>,
    method: &str,
    target: &str,
    headers: &str,
    body: &str,
) -> Response {
    let length = match (method, body) {
        ("GET", "") => String::new(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    let head = format!("{method} {target} HTTP/1.1\r\nHost: t\r\n{length}{headers}\r\n{body}");
    browser.send(head.as_bytes());
    browser.response()
}

pub fn with_token(target: &str) -> String {
    let link = if target.contains('?') { '&' } else { '?' };
    format!("{target}{link}token={TOKEN}")
}

/// The 20 bytes that 40 digits mean.
pub fn bytes_of(info_hash: &str) -> [u8; 20] {
    let byte = |at| u8::from_str_radix(&info_hash[2 * at..2 * at + 2], 16).unwrap();
    std::array::from_fn(byte)
}

/// A body in JSON, of an answer that must be good.
pub fn json(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{}", response.text());
    let kind = response.header("content-type").unwrap();
    assert!(kind.starts_with("application/json"), "{kind}");
    serde_json::from_slice(&response.body).unwrap()
}

/// An error in plain text.
#[track_caller]
pub fn expect_text(response: &Response, status: u16, text: &str) {
    assert_eq!(response.text(), text);
    assert_eq!(response.status, status);
    let kind = response.header("content-type");
    assert_eq!(kind, Some("text/plain; charset=utf-8"));
}

/// An error in plain text that begins like this.
#[track_caller]
pub fn expect_text_from(response: &Response, status: u16, start: &str) {
    let text = response.text();
    assert!(text.starts_with(start), "{text}");
    assert_eq!(response.status, status, "{text}");
    let kind = response.header("content-type");
    assert_eq!(kind, Some("text/plain; charset=utf-8"));
}

/// An answer without a body.
#[track_caller]
pub fn expect_empty(response: &Response, status: u16) {
    assert_eq!((response.status, response.text()), (status, String::new()));
}
