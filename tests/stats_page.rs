//! The page of statistics, what it loads, and its numbers for programs, over real sockets.

mod api;
mod http;
mod in_process;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use api::{Api, HIGHER, LOWER, TOKEN, expect_text, json};
use http::{Browser, Response, announce, escaped};
use in_process::PATIENCE;
use nix::sys::signal::Signal;
use serde_json::Value;
use shoal::counters::Tally;
use support::{TrackerProcess, shoal};

/// What keeps a page from doing more than it should.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

fn get(api: &Api, target: &str) -> Response {
    api.browser().get(target)
}

/// Gauges are written once a second.
fn wait_for_peers(api: &Api, peers: u64) {
    api.server.wait_until("all peers", |totals| {
        totals.tally(Tally::SeedersV4) + totals.tally(Tally::LeechersV4) == peers
    });
}

/// A page that is whole: every element that is opened is closed in its turn.
#[track_caller]
fn expect_page(response: &Response) -> String {
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(
        response.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(response.header("content-security-policy"), Some(POLICY));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(response.header("referrer-policy"), Some("same-origin"));
    let page = response.text();
    assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"));
    for forbidden in ["style=", "onclick", "javascript:", "<script>", "<style>"] {
        assert!(
            !page.contains(forbidden),
            "{forbidden} does not fit the policy"
        );
    }
    expect_balanced(&page);
    page
}

fn expect_balanced(page: &str) {
    const VOID: [&str; 4] = ["meta", "link", "img", "!DOCTYPE"];
    let mut open = Vec::new();
    for tag in page.split('<').skip(1) {
        let end = tag.find('>').expect("a tag ends");
        let name = tag[..end].split(' ').next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "near {tag}"),
            None if VOID.contains(&name) => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
}

/// The text of the element with this id.
#[track_caller]
fn text_of<'p>(page: &'p str, id: &str) -> &'p str {
    let start = page
        .find(&format!(" id=\"{id}\""))
        .unwrap_or_else(|| panic!("no {id}"));
    let text = &page[start + page[start..].find('>').unwrap() + 1..];
    &text[..text.find('<').unwrap()]
}

#[test]
fn the_page_shows_what_was_announced_and_loads_what_it_names() {
    let api = Api::start();
    api.announce(LOWER, 1001, 0);
    api.announce(LOWER, 1002, 5);
    api.announce(HIGHER, 1003, 5);
    Browser::of(api.server.http_address()).get(&announce(&escaped(&[7; 20]), 1004, 5, "started"));
    wait_for_peers(&api, 4);
    let page = expect_page(&get(&api, "/"));
    assert_eq!(text_of(&page, "torrents"), "3");
    assert_eq!(text_of(&page, "seeders"), "1");
    assert_eq!(text_of(&page, "leechers"), "3");
    assert_eq!(text_of(&page, "peers-ipv4"), "4");
    assert_eq!(text_of(&page, "addresses"), "1");
    assert!(
        page.contains("<span class=\"name\">Shoal</span>"),
        "what peer ids say"
    );
    let url = format!("udp://{}/announce", api.server.address());
    assert!(page.contains(&format!("<code>{url}</code>")), "{url}");
    assert!(
        !page.contains(&api.address().port().to_string()),
        "its own port is no tracker"
    );

    let mut assets = 0;
    for part in page.split("/assets/").skip(1) {
        let path = format!("/assets/{}", &part[..part.find('"').unwrap()]);
        let asset = get(&api, &path);
        assert_eq!(asset.status, 200, "{path}");
        let tag = asset.header("etag").unwrap().to_owned();
        assert_eq!(
            asset.header("cache-control"),
            Some("public, max-age=31536000, immutable")
        );
        assert_eq!(asset.header("content-security-policy"), Some(POLICY));
        let mut browser = api.browser();
        let again = format!("GET {path} HTTP/1.1\r\nHost: t\r\nIf-None-Match: {tag}\r\n\r\n");
        browser.send(again.as_bytes());
        assert_eq!(browser.head().0, 304, "{path}");
        assets += 1;
    }
    assert!(assets >= 4, "icon, style and script");
    expect_text(
        &get(&api, "/assets/style.css"),
        500,
        "Unhandled rejection: Err { reason: \"unauthorized\" }",
    );
}

#[test]
fn the_page_has_three_names_and_one_of_them_is_shared_with_scripts() {
    let api = Api::start();
    api.announce(LOWER, 1001, 0);
    for target in ["/", "/stat", "/stats"] {
        expect_page(&get(&api, target));
    }
    let browser = "Accept: text/html,*/*;q=0.8\r\n";
    expect_page(&api.ask("GET", "/stats?token=MyAccessToken", browser, ""));
    assert!(json(&api.get("/stats"))[LOWER]["stats"]["complete"] == 1);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\nAccept: application/json\r\n");
    assert!(json(&api.ask("GET", "/stats", &bearer, ""))[LOWER].is_object());
    let unauthorized = "Unhandled rejection: Err { reason: \"unauthorized\" }";
    expect_text(&get(&api, "/stats?format=json"), 500, unauthorized);
    let not_valid = "Unhandled rejection: Err { reason: \"token not valid\" }";
    expect_text(&get(&api, "/stats?token=wrong"), 500, not_valid);
    let head = {
        let mut browser = api.browser();
        browser.send(b"HEAD / HTTP/1.1\r\nHost: t\r\n\r\n");
        browser.head()
    };
    assert_eq!(head.0, 200);
}

#[test]
fn statistics_that_are_not_public_take_a_token() {
    let api = Api::start_with(|config| config.control.public_stats = false);
    for target in ["/", "/stat", "/stats", "/stats.json", "/events"] {
        for token in ["", "?token=wrong"] {
            // With a token, wrong or not, /stats is for scripts.
            if (target, token) == ("/stats", "?token=wrong") {
                continue;
            }
            let response = get(&api, &format!("{target}{token}"));
            assert_eq!(response.status, 401, "{target}{token}");
            assert_eq!(response.header("www-authenticate"), Some("Bearer"));
            assert!(response.text().contains("are not public"));
            assert!(!response.text().contains("html"), "{target}");
        }
    }
    let page = expect_page(&api.get("/"));
    let asset = page.split("/assets/stats.").nth(1).unwrap();
    let path = format!("/assets/stats.{}", &asset[..asset.find('"').unwrap()]);
    assert_eq!(get(&api, &path).status, 200, "scripts hold no secrets");
    assert!(json(&api.get("/stats.json"))["version"].is_string());
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(api.ask("GET", "/", &bearer, "").status, 200);
}

#[test]
fn a_host_that_is_none_does_not_come_into_the_page() {
    let api = Api::start_with(|config| {
        config.udp = vec![in_process::listener("0.0.0.0:0")];
    });
    let page_for = |host: &str| {
        let mut browser = api.browser();
        browser.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        browser.response()
    };
    let port = api.server.address().port();
    let page = expect_page(&page_for("tracker.example.org:1212"));
    assert!(page.contains(&format!(
        "<code>udp://tracker.example.org:{port}/announce</code>"
    )));
    for host in [
        "\"><img src=x>",
        "a'b",
        "<b>",
        "x/../y",
        "a%00b",
        "[::1",
        "a&b",
    ] {
        let response = page_for(host);
        if response.status == 400 {
            continue; // the HTTP library knew
        }
        let page = expect_page(&response);
        assert!(!page.contains(host), "{host}");
        assert!(!page.contains(&format!(":{port}/announce")), "{host}");
    }
    let absolute = {
        let mut browser = api.browser();
        browser.send(b"GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n");
        browser.response()
    };
    assert!(expect_page(&absolute).contains("udp://a.example:"));
}

#[test]
fn what_clients_call_themselves_is_escaped() {
    let api = Api::start();
    for id in [
        "-<b>000-abcdefghijkl",
        "<script>alert(1)</sc",
        "-zz0100-abcdefghijkl",
    ] {
        let announce = announce(&escaped(&[7; 20]), 1004, 5, "started");
        let target = announce
            .split('&')
            .map(|part| match part.split_once("peer_id=") {
                Some((before, _)) => format!("{before}peer_id={}", escaped(id.as_bytes())),
                None => part.to_owned(),
            });
        let target = target.collect::<Vec<_>>().join("&");
        Browser::of(api.server.http_address()).get(&target);
    }
    let page = expect_page(&get(&api, "/"));
    assert!(!page.contains("alert(1)") && !page.contains("<b>"));
    assert!(page.contains("<span class=\"name\">-zz</span>"));
    assert!(page.contains("<span class=\"name\">other</span>"));
}

#[test]
fn programs_get_every_number_that_is_described() {
    let api = Api::start();
    api.announce(LOWER, 1001, 0);
    api.announce(HIGHER, 1002, 9);
    let client = api.server.client();
    client.scrape(client.connect(), &[[7; 20]]);
    client.send(&[0; 3]);
    api.server.wait_until("discarded", |totals| {
        totals.describe().contains("discarded_runt")
    });
    wait_for_peers(&api, 2);
    let stats = json(&get(&api, "/stats.json"));
    assert_eq!(stats["torrents"], 2);
    assert_eq!(stats["seeders"]["ip4"], 1);
    assert_eq!(stats["leechers"]["ip6"], 0);
    let today = &stats["today"];
    assert_eq!(
        (&today["announces"], &today["scrapes"], &today["connects"]),
        (&2.into(), &1.into(), &3.into())
    );
    assert_eq!(
        (&today["requests"], &today["answers"]),
        (&6.into(), &6.into())
    );
    assert_eq!(today["requests_by_protocol"]["udp"], 6);
    assert_eq!(today["requests_by_family"]["ip4"], 6);
    assert_eq!(
        (&today["dropped"], &stats["dropped"]["runt"]),
        (&1.into(), &1.into())
    );
    assert_eq!(today["addresses"], 1);
    assert!(today["bytes_received"].as_u64() > Some(200));
    assert_eq!(stats["software"][0]["name"], "Shoal");
    assert_eq!(stats["software"][0]["announces"], 2);
    assert_eq!(stats["all_time"]["announces"], 2);
    assert_eq!(stats["yesterday"]["announces"], 0);
    for (name, len) in [("hours_today", 24), ("hours_yesterday", 24), ("days", 30)] {
        assert_eq!(stats[name].as_array().unwrap().len(), len, "{name}");
    }
    let hours = stats["hours_today"].as_array().unwrap();
    let sum: u64 = hours
        .iter()
        .map(|hour| hour["announces"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, 2);
    assert_eq!(stats["live"]["cores"].as_array().unwrap().len(), 1);
    expect_described(&stats);
}

/// `docs/stats.md` names every field, and none that there is not.
fn expect_described(stats: &Value) {
    let document = include_str!("../docs/stats.md");
    let mut described: Vec<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    described.sort_unstable();
    let mut fields: Vec<String> = Vec::new();
    for (name, value) in stats.as_object().unwrap() {
        fields.push(name.clone());
        let inner = match name.as_str() {
            "live" | "today" => value.as_object().unwrap(),
            _ => continue,
        };
        fields.extend(inner.keys().map(|inner| format!("{name}.{inner}")));
    }
    fields.sort_unstable();
    assert_eq!(fields, described);
}

/// A connection that listens to events.
struct Listener(BufReader<TcpStream>);

impl Listener {
    fn of(server: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
            .write_all(b"GET /events HTTP/1.1\r\nHost: t\r\n\r\n")
            .unwrap();
        Self(BufReader::new(stream))
    }

    fn status(&mut self) -> u16 {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line[9..12].parse().unwrap()
    }

    /// The next event, or nothing when the server has ended the connection.
    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }
}

#[test]
fn events_come_at_once_and_tell_what_has_changed_since() {
    let api = Api::start();
    let mut listener = Listener::of(api.address());
    assert_eq!(listener.status(), 200);
    let first = listener.next().unwrap();
    assert_eq!(first["text"]["torrents"], "0");
    api.announce(LOWER, 1001, 0);
    let began = Instant::now();
    while listener.next().unwrap()["text"]["torrents"] != "1" {}
    assert!(began.elapsed() < PATIENCE);
    let parts = loop {
        let event = listener.next().unwrap();
        if event["html"].is_object() {
            break event;
        }
    };
    let page = get(&api, "/").text();
    for (id, part) in parts["html"].as_object().unwrap() {
        assert!(
            page.contains(&format!(" id=\"{id}\"")),
            "{id} is in the page"
        );
        expect_balanced(part.as_str().unwrap());
    }
    for kind in ["text", "attr"] {
        for id in parts[kind].as_object().unwrap().keys() {
            assert!(
                page.contains(&format!(" id=\"{id}\"")),
                "{id} is in the page"
            );
        }
    }
}

#[test]
fn sixty_four_listen_and_a_place_is_free_when_one_leaves() {
    let api = Api::start();
    let mut listeners: Vec<Listener> = (0..64).map(|_| Listener::of(api.address())).collect();
    for listener in &mut listeners {
        assert_eq!(listener.status(), 200);
    }
    let refused = get(&api, "/events");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("30"));
    expect_page(&get(&api, "/"));
    drop(listeners.pop());
    let deadline = Instant::now() + PATIENCE;
    while Listener::of(api.address()).status() != 200 {
        assert!(Instant::now() < deadline, "the place stays taken");
        thread::sleep(Duration::from_millis(100));
    }
    // One that takes nothing keeps nobody from the news.
    for _ in 0..3 {
        assert!(listeners[0].next().is_some());
    }
}

#[test]
fn whoever_listens_does_not_keep_the_tracker_from_ending() {
    let mut tracker = start(&[]);
    let mut listener = Listener::of(control_address(&mut tracker));
    assert_eq!(listener.status(), 200);
    assert!(listener.next().is_some());
    let began = Instant::now();
    tracker.signal(Signal::SIGTERM);
    assert!(tracker.wait().success());
    assert!(began.elapsed() < PATIENCE);
    let mut rest = Vec::new();
    let _ = listener.0.read_to_end(&mut rest);
}

fn start(more: &[&str]) -> TrackerProcess {
    let mut command = shoal();
    command.args([
        "run",
        "--set",
        "udp.listen=127.0.0.1:0",
        "--set",
        "http.listen=",
    ]);
    command.args([
        "--set",
        "control.listen=127.0.0.1:0",
        "--set",
        "workers.count=1",
    ]);
    for more in more {
        command.args(["--set", more]);
    }
    TrackerProcess::start_command(command, 1)
}

fn control_address(tracker: &mut TrackerProcess) -> SocketAddr {
    let line = tracker.wait_for_log("(control)", PATIENCE);
    let (_, address) = line.split_once("http://").unwrap();
    address.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn what_the_kernel_drops_while_a_core_stands_still_is_on_the_page_and_among_the_numbers() {
    let mut tracker = start(&["store.path=", "workers.receive_buffer=16 KiB"]);
    let control = control_address(&mut tracker);
    let stats = || json(&Browser::of(control).get("/stats.json"));
    assert_eq!(stats()["kernel_drops"], 0);
    tracker.signal(Signal::SIGSTOP);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..2000 {
        socket.send_to(&[0; 3], tracker.address()).unwrap();
    }
    tracker.signal(Signal::SIGCONT);
    let began = Instant::now();
    let dropped = loop {
        let stats = stats();
        let dropped = stats["kernel_drops"].as_u64().unwrap();
        let taken = stats["dropped"]["runt"].as_u64().unwrap_or(0);
        if dropped > 0 && dropped + taken == 2000 {
            break dropped;
        }
        assert!(began.elapsed() < PATIENCE, "{stats}");
        thread::sleep(Duration::from_millis(100));
    };
    let page = Browser::of(control).get("/").text();
    let shown = text_of(&page, "kernel-drops").replace(',', "");
    assert_eq!(shown, dropped.to_string());
}

#[test]
fn history_survives_an_ordinary_end() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = format!("store.path={}", folder.path().join("data").display());
    let mut announces = 0;
    for life in 1..=3 {
        let mut tracker = start(&[&store]);
        let control = control_address(&mut tracker);
        let client = in_process::Client::of(tracker.address());
        let id = client.connect();
        for port in 0..life {
            client.announce(
                id,
                in_process::Announce::leecher([life as u8; 20], 2000 + port),
            );
            announces += 1;
        }
        let stats = json(&Browser::of(control).get("/stats.json"));
        assert_eq!(stats["all_time"]["announces"], announces, "life {life}");
        assert_eq!(stats["all_time"]["addresses"], 1);
        // Counters of the moment begin anew.
        assert_eq!(stats["software"][0]["announces"], life);
        tracker.signal(Signal::SIGTERM);
        assert!(tracker.wait().success());
    }
}
