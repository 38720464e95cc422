//! HTTPS as clients see it: versions, kept connections, resumption, mistaken ports, redirects.

mod http;
mod in_process;
mod tls;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use http::{Browser, announce, http_config};
use in_process::{BACKENDS, PATIENCE, Server, http_listener};
use rustls::{ClientConfig, HandshakeKind};
use shoal::config::{Backend, Config, Flood, HttpListener, Proxy, ProxyHeader};
use shoal::counters::{BadRequest, Count, Family, Kind, Protocol, Tally};
use shoal::http::tls::TlsFailure;
use tls::{Files, Root, VERSIONS, exchange, secure};

const HASH: &str = "httpshttpshttpshttps";

/// A tracker with one door to HTTPS, and what its clients trust.
struct Secure {
    server: Server,
    root: Root,
    files: Files,
}

impl Secure {
    fn start(backend: Backend) -> Self {
        Self::start_with(backend, |_| {})
    }

    fn start_with(backend: Backend, change: impl FnOnce(&mut Config)) -> Self {
        let root = Root::new();
        let files = Files::of(&root.issue());
        let mut config = http_config(backend);
        config.http = vec![files.listener()];
        change(&mut config);
        let server = Server::start(&config);
        Self {
            server,
            root,
            files,
        }
    }

    /// What a program is given as its root.
    fn root_file(&self) -> String {
        let path = self.files.folder.path().join("root.pem");
        std::fs::write(&path, self.root.pem()).unwrap();
        path.display().to_string()
    }
}

#[test]
fn a_client_announces_over_either_version_and_keeps_its_connection() {
    for backend in BACKENDS {
        let secure = Secure::start(backend);
        let server = &secure.server;
        for (round, version) in VERSIONS.into_iter().enumerate() {
            let client = Arc::new(secure.root.client_of(&[version]));
            let mut browser = Browser::secured(server.http_address(), &client);
            let agreed = browser.stream.conn.protocol_version();
            assert_eq!(agreed, Some(version.version));
            let port = 7000 + 100 * round as u16;
            for port in port..port + 5 {
                let reply = browser.get(&announce(HASH, port, 10, "started"));
                assert_eq!(reply.status, 200);
                assert_eq!(reply.header("connection"), None);
            }
            // Several requests in one record, answered in their order.
            let mut requests = Vec::new();
            for port in port + 5..port + 15 {
                let target = announce(HASH, port, 10, "started");
                requests.push(format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n"));
            }
            browser.send(requests.concat().as_bytes());
            let counts = (0..10).map(|_| browser.response().peers().len());
            let known = 15 * round + 5;
            assert_eq!(
                counts.collect::<Vec<_>>(),
                (known..known + 10).collect::<Vec<_>>()
            );
            // The end is said, so that nobody takes a cut connection for one.
            let target = announce(HASH, port, 10, "");
            let reply = browser.get_with(&target, "Connection: close\r\n");
            assert_eq!(reply.header("connection"), Some("close"));
            browser.expect_close();
        }
        server.wait_until("counted", |totals| {
            let received = |kind| totals.get(Count::Received(Protocol::Https, Family::Ip4, kind));
            received(Kind::Connect) == 2
                && received(Kind::Announce) == 32
                && totals.tally(Tally::TlsHandshakes) == 2
                && totals.tally(Tally::TlsResumed) == 0
        });
    }
}

#[test]
fn a_client_that_comes_back_resumes_its_session_and_is_counted() {
    for backend in BACKENDS {
        let secure = Secure::start(backend);
        let mut resumed = 0;
        for version in VERSIONS {
            let client = Arc::new(secure.root.client_of(&[version]));
            for visit in 0..4 {
                let mut browser = Browser::secured(secure.server.http_address(), &client);
                browser.get(&announce(HASH, 6881, 10, "started"));
                let kind = browser.stream.conn.handshake_kind();
                let expected = if visit == 0 {
                    HandshakeKind::Full
                } else {
                    resumed += 1;
                    HandshakeKind::Resumed
                };
                assert_eq!(kind, Some(expected), "{version:?}");
                let counted =
                    |totals: &shoal::counters::Totals| totals.tally(Tally::TlsResumed) == resumed;
                secure.server.wait_until("counted", counted);
            }
        }
    }
}

/// The first bytes of a client that knows no version above this one, as RFC 5246 has them.
fn hello_of(version: [u8; 2]) -> Vec<u8> {
    let suites = [0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x09, 0xc0, 0x13, 0x00, 0x2f];
    let extensions: [&[u8]; 4] = [
        // Signatures: ECDSA and RSA with SHA-256. Groups: X25519 and P-256. Points: as they are.
        &[0, 13, 0, 6, 0, 4, 4, 3, 8, 4],
        &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23],
        &[0, 11, 0, 2, 1, 0],
        // The extended master secret (RFC 7627).
        &[0, 23, 0, 0],
    ];
    let extensions = extensions.concat();
    let mut hello = version.to_vec();
    hello.extend([7; 32]);
    hello.extend([0, 0, suites.len() as u8]);
    hello.extend(suites);
    // No compression.
    hello.extend([1, 0, 0, extensions.len() as u8]);
    hello.extend(extensions);
    let len = hello.len() as u8;
    [&[0x16, 3, 1, 0, len + 4, 1, 0, 0, len], &hello[..]].concat()
}

#[test]
fn versions_before_tls_1_2_are_refused() {
    const HANDSHAKE: u8 = 0x16;
    const ALERT: u8 = 0x15;
    for backend in BACKENDS {
        let secure = Secure::start(backend);
        let told = [[3, 0], [3, 1], [3, 2], [3, 3]].map(|version| {
            let mut stream = TcpStream::connect(secure.server.http_address()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(&hello_of(version)).unwrap();
            let mut record = [0; 5];
            stream.read_exact(&mut record).unwrap();
            let mut body = vec![0; usize::from(record[4])];
            stream.read_exact(&mut body).unwrap();
            (record[0], body)
        });
        // The same words are understood as TLS 1.2, so it is the version that is refused.
        assert_eq!(told[3].0, HANDSHAKE);
        for (kind, body) in &told[..3] {
            assert_eq!((*kind, &body[..]), (ALERT, &[2, 70][..]));
        }
    }
}

#[test]
fn http_1_1_is_agreed_upon_by_alpn() {
    for backend in BACKENDS {
        let secure = Secure::start(backend);
        let mut client = secure.root.client();
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut browser = Browser::secured(secure.server.http_address(), &Arc::new(client));
        assert_eq!(browser.stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(browser.get("/health_check").status, 200);
    }
}

#[test]
fn a_client_of_http_2_alone_reads_why_it_is_turned_away() {
    for backend in BACKENDS {
        let secure = Secure::start(backend);
        let server = &secure.server;
        for (turned_away, version) in (1..).zip(VERSIONS) {
            let mut client = secure.root.client_of(&[version]);
            client.alpn_protocols = vec![b"h2".to_vec()];
            let tcp = Browser::of(server.http_address()).stream;
            // Not a reset, nor an end without a word.
            let error = tls::secure(tcp, &Arc::new(client)).unwrap_err();
            let why = error.to_string();
            assert!(why.contains("NoApplicationProtocol"), "{why}");
            let count = Count::TlsFailed(TlsFailure::NoCommonProtocol);
            server.wait_until("counted", |totals| totals.get(count) == turned_away);
        }
    }
}

#[test]
fn plain_http_on_the_port_of_https_is_closed_and_counted() {
    for backend in BACKENDS {
        let secure = Secure::start(backend);
        for bytes in [
            &b"GET /announce HTTP/1.1\r\nHost: t\r\n\r\n"[..],
            b"\x13BitTorrent protocol",
        ] {
            let mut browser = Browser::of(secure.server.http_address());
            browser.send(bytes);
            browser.drain();
        }
        let count = Count::TlsFailed(TlsFailure::NotTls);
        let server = &secure.server;
        server.wait_until("counted", |totals| totals.get(count) == 2);
        assert_eq!(server.tally(Tally::TlsHandshakes), 0);
    }
}

#[test]
fn tls_on_the_port_of_http_is_told_so_closed_and_counted() {
    let client = Arc::new(Root::new().client());
    for backend in BACKENDS {
        let server = Server::start(&http_config(backend));
        let tcp = Browser::of(server.http_address()).stream;
        assert!(secure(tcp, &client).is_err());
        let mut browser = Browser::of(server.http_address());
        browser.send(b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03");
        let reply = browser.response();
        assert_eq!(reply.status, 400);
        assert_eq!(reply.text(), "this port speaks plain HTTP\n");
        browser.expect_close();
        let count = Count::BadRequest(BadRequest::TlsHello);
        drop(browser);
        server.wait_until("counted", |totals| totals.get(count) == 2);
    }
}

#[test]
fn a_handshake_that_does_not_end_is_closed_and_counted() {
    for backend in BACKENDS {
        let secure = Secure::start(backend);
        let server = &secure.server;
        let mut halves: Vec<Browser> = [1, 5, 11]
            .iter()
            .map(|&len| {
                let mut browser = Browser::of(server.http_address());
                browser.send(&b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03"[..len]);
                browser
            })
            .collect();
        server.wait_until("open", |totals| totals.tally(Tally::ConnectionsOpen) == 3);
        server.clock.advance(10);
        for browser in &mut halves {
            browser.expect_close();
        }
        let count = Count::TlsFailed(TlsFailure::TimedOut);
        server.wait_until("counted", |totals| totals.get(count) == 3);
        server.wait_until("closed", |totals| totals.tally(Tally::ConnectionsOpen) == 0);
    }
}

/// Lets time pass again and again: a connection is idle a moment after its client has the reply.
fn wait_until_idled_out(server: &Server) {
    let deadline = Instant::now() + PATIENCE;
    while server.tally(Tally::ConnectionsIdledOut) == 0 {
        assert!(Instant::now() < deadline, "it is kept");
        server.clock.advance(30);
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_idle_connection_is_closed_and_counted() {
    for backend in BACKENDS {
        let secure = Secure::start(backend);
        let server = &secure.server;
        let client = Arc::new(secure.root.client());
        let mut browser = Browser::secured(server.http_address(), &client);
        browser.get(&announce(HASH, 6881, 10, "started"));
        wait_until_idled_out(server);
        browser.drain();
    }
}

#[test]
fn who_idles_for_too_long_is_told_that_nothing_more_comes() {
    for version in VERSIONS {
        let secure = Secure::start(Backend::Mmsg);
        let server = &secure.server;
        let client = Arc::new(secure.root.client_of(&[version]));
        let mut browser = Browser::secured(server.http_address(), &client);
        browser.get(&announce(HASH, 6881, 10, "started"));
        wait_until_idled_out(server);
        // An end of TLS without a word would be an error.
        let mut more = Vec::new();
        browser.stream.read_to_end(&mut more).expect("a goodbye");
        assert!(more.is_empty());
    }
}

/// What a program said, once it has ended well.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> (Vec<u8>, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; scripts/test.sh installs it"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    assert!(
        status.success(),
        "{program}: {status}\n{}{stderr}",
        String::from_utf8_lossy(&stdout)
    );
    (stdout, stderr)
}

#[test]
fn curl_trusts_the_root_and_keeps_its_connection() {
    for backend in BACKENDS {
        let secure = Secure::start(backend);
        let root = secure.root_file();
        let url = |port| {
            let target = announce(HASH, port, 0, "started");
            format!("https://{}{target}", secure.server.http_address())
        };
        for version in [["--tls-max", "1.2"], ["--tlsv1.3", "-s"]] {
            let always = ["-sv", "--cacert", &root];
            let urls = [&*url(1), &*url(2), &*url(3)];
            let (stdout, stderr) = run("curl", &[&always[..], &version, &urls].concat(), b"");
            assert!(stdout.ends_with(b"e"), "{stderr}");
            assert_eq!(stderr.matches("Re-using existing connection").count(), 2);
            assert!(stderr.contains("http/1.1"), "{stderr}");
            assert!(!stderr.contains("HTTP/2"), "{stderr}");
        }
        secure
            .server
            .wait_until("counted", |totals| totals.tally(Tally::TlsHandshakes) == 2);
    }
}

#[test]
fn openssl_shakes_hands_in_both_versions_and_resumes() {
    for backend in BACKENDS {
        let secure = Secure::start(backend);
        let (root, address) = (secure.root_file(), secure.server.http_address().to_string());
        let always = [
            "s_client",
            "-connect",
            &address,
            "-CAfile",
            &root,
            "-verify_return_error",
            "-alpn",
            "http/1.1",
        ];
        let target = announce(HASH, 6881, 0, "started");
        let request = format!("GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let arguments = [&always[..], &[version, "-ign_eof"]].concat();
            let (stdout, _) = run("openssl", &arguments, request.as_bytes());
            let said = String::from_utf8_lossy(&stdout).into_owned();
            assert!(said.contains(&format!("New, {name}")), "{said}");
            assert!(said.contains("ALPN protocol: http/1.1"), "{said}");
            assert!(said.contains("8:completei1e"), "{said}");
        }
        let arguments = [&always[..], &["-tls1_2", "-reconnect"]].concat();
        let (stdout, _) = run("openssl", &arguments, b"");
        let said = String::from_utf8_lossy(&stdout).into_owned();
        assert_eq!(said.matches("Reused, TLSv1.2").count(), 5, "{said}");
        secure
            .server
            .wait_until("counted", |totals| totals.tally(Tally::TlsResumed) == 5);
    }
}

/// Sends everybody on.
fn redirecting(door: HttpListener) -> HttpListener {
    HttpListener {
        redirect_to: Some("https://tracker.example.org".to_owned()),
        ..door
    }
}

#[test]
fn a_redirect_leads_to_the_same_path_and_query() {
    let root = Root::new();
    let client = Arc::new(root.client());
    for backend in BACKENDS {
        let files = Files::of(&root.issue());
        let mut config = http_config(backend);
        config.http = vec![
            redirecting(http_listener("127.0.0.1:0")),
            redirecting(files.listener()),
        ];
        let server = Server::start(&config);
        let &[http, https] = server.tracker.http_addresses() else {
            panic!("two listeners")
        };
        let mut plain = Browser::of(http);
        let mut secured = Browser::secured(https, &client);
        for (target, location) in [
            ("/", "/"),
            ("/announce", "/announce"),
            ("/announce?", "/announce?"),
            (
                "/KEY/announce?info_hash=%00%ff%20&left=0&x=?&y=/",
                "/KEY/announce?info_hash=%00%ff%20&left=0&x=?&y=/",
            ),
            ("/a%0d%0aSet-Cookie:%20x=1", "/a%0d%0aSet-Cookie:%20x=1"),
            ("/a?b=%0D%0A%0D%0Aboo", "/a?b=%0D%0A%0D%0Aboo"),
            ("//evil.example/", "//evil.example/"),
            ("/@evil.example", "/@evil.example"),
            ("http://evil.example/scrape?x=1", "/scrape?x=1"),
            ("/\u{e9}", "/%C3%A9"),
        ] {
            let location = format!("https://tracker.example.org{location}");
            for reply in [plain.get(target), secured.get(target)] {
                assert_eq!(reply.status, 301, "{target}");
                assert_eq!(reply.header("location"), Some(&*location));
                assert_eq!(reply.header("set-cookie"), None);
                assert_eq!(reply.text(), "");
            }
        }
    }
}

#[test]
fn no_client_can_write_header_lines_of_a_redirect() {
    for backend in BACKENDS {
        let mut config = http_config(backend);
        config.http = vec![redirecting(http_listener("127.0.0.1:0"))];
        let server = Server::start(&config);
        for target in [
            "/a\rSet-Cookie:x",
            "/a\nSet-Cookie:x",
            "/a\r\nSet-Cookie:x",
            "/a?b\rSet-Cookie:x",
            "/a\0Set-Cookie:x",
            "/a\u{b}Set-Cookie:x",
            "/a\u{7f}Set-Cookie:x",
        ] {
            let mut browser = Browser::of(server.http_address());
            let request = format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n");
            let said = exchange(&mut browser.stream, request.as_bytes());
            let said = String::from_utf8(said).unwrap();
            assert!(said.starts_with("HTTP/1.1 400 "), "{target:?}: {said}");
            assert!(!said.contains("Cookie"), "{target:?}: {said}");
        }
        let count = Count::BadRequest(BadRequest::BadHead);
        server.wait_until("counted", |totals| totals.get(count) == 7);
    }
}

/// Two handshakes a second and a burst of twenty, of whoever begins them.
const STRICT: Flood = Flood {
    busy_from: 0,
    per_source: 8,
    per_network: 0,
    burst_s: 10,
    new_torrents: 0,
    sieve_from: 0,
};
const LOUD: [u8; 4] = [127, 0, 0, 2];
const QUIET: [u8; 4] = [127, 0, 0, 3];

/// Tells whether this address may shake hands.
fn shakes(secure: &Secure, address: [u8; 4], client: &Arc<ClientConfig>) -> bool {
    let tcp = Browser::at(address.into(), secure.server.http_address()).stream;
    tls::secure(tcp, client).is_ok()
}

#[test]
fn whoever_begins_too_many_handshakes_is_closed_without_one_and_others_are_served() {
    for backend in BACKENDS {
        let secure = Secure::start_with(backend, |config| config.flood = STRICT);
        let server = &secure.server;
        let client = Arc::new(secure.root.client());
        let shaken = (0..100).filter(|_| shakes(&secure, LOUD, &client)).count();
        assert!((20..80).contains(&shaken), "{shaken}");
        let refused = Count::TlsFailed(TlsFailure::SourceOverRate);
        assert_eq!(server.count(refused), 100 - shaken as u64);
        // A client is done before the server has read its last word.
        server.wait_until("shaken", |totals| {
            totals.tally(Tally::TlsHandshakes) == shaken as u64
        });
        assert!(shakes(&secure, QUIET, &client));
        server.clock.advance(10);
        assert!(shakes(&secure, LOUD, &client));
    }
}

#[test]
fn a_proxy_that_names_its_clients_may_shake_hands_for_all_of_them() {
    let secure = Secure::start_with(BACKENDS[0], |config| {
        config.flood = STRICT;
        config.http[0].proxy = Some(Proxy {
            header: Some(ProxyHeader::XForwardedFor),
            trusted: vec!["127.0.0.2/32".parse().unwrap()],
        });
    });
    let client = Arc::new(secure.root.client());
    assert!((0..100).all(|_| shakes(&secure, LOUD, &client)));
    assert!(!(0..100).all(|_| shakes(&secure, QUIET, &client)));
}
