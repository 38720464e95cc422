//! `shoal query` and `shoal check` as programs, against real trackers: Shoal inside this process, and
//! Debian's opentracker where it is installed.

mod in_process;
mod program;

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use in_process::{PATIENCE, Server, config, http_listener, listener};
use program::{Scratch, outcome, shoal};
use serde_json::Value;
use shoal::config::{Config, HttpAddress, HttpListener, Proxy, ProxyHeader, TlsFiles};
use tempfile::TempDir;

const HASH: &str = "00017f80ff2025262b2d2e3d3f415f617a7e0a0d";

/// A tracker over UDP, HTTP and HTTPS, with a certificate of its own.
struct Trackers {
    server: Server,
    folder: TempDir,
}

impl Trackers {
    fn start() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = TempDir::new().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let certificate = folder.path().join("certificate.pem");
        let private_key = folder.path().join("key.pem");
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&private_key, made.signing_key.serialize_pem()).unwrap();
        let mut config = config();
        let address = HttpAddress::Tcp("127.0.0.1:0".parse().unwrap());
        config.http = vec![
            http_listener("127.0.0.1:0"),
            HttpListener {
                tls: Some(TlsFiles {
                    certificate,
                    private_key,
                }),
                ..HttpListener::plain(address)
            },
        ];
        change(&mut config);
        let server = Server::start(&config);
        Self { server, folder }
    }

    fn udp(&self) -> String {
        format!("udp://{}/announce", self.server.address())
    }

    fn http(&self) -> String {
        format!("http://{}/announce", self.server.http_address())
    }

    fn https(&self) -> String {
        let address = self.server.tracker.http_addresses()[1];
        format!("https://{address}/announce")
    }

    fn all(&self) -> [String; 3] {
        [self.udp(), self.http(), self.https()]
    }

    fn certificate(&self) -> String {
        let file = self.folder.path().join("certificate.pem");
        file.to_str().unwrap().to_owned()
    }
}

/// Exit code and the JSON of a query.
fn ask(arguments: &[&str]) -> (i32, Value) {
    let all = [&["query", "--json", "--timeout", "10"], arguments].concat();
    let outcome = outcome(&mut shoal(&all));
    assert_eq!(outcome.stderr, "", "{outcome:?}");
    let json = serde_json::from_str(&outcome.stdout).expect(&outcome.stdout);
    (outcome.code.unwrap(), json)
}

/// The one result of a query that succeeds.
fn good(arguments: &[&str]) -> Value {
    let (code, mut json) = ask(arguments);
    assert_eq!(code, 0, "{json:#}");
    assert_eq!(json["results"].as_array().unwrap().len(), 1);
    json["results"][0].take()
}

/// Exit code, standard output and standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let outcome = outcome(&mut shoal(arguments));
    (outcome.code.unwrap(), outcome.stdout, outcome.stderr)
}

#[test]
fn an_announce_shows_the_same_over_udp_http_and_https() {
    let trackers = Trackers::start();
    let ca = trackers.certificate();
    let common = ["--ca", &ca, "-H", HASH];
    good(
        &[
            &[&*trackers.udp(), "--port", "7001", "-L", "0"],
            &common[..],
        ]
        .concat(),
    );
    for (url, number) in trackers.all().iter().zip(7002..) {
        let port = number.to_string();
        let seen = good(&[&[&**url, "-p", "--port", &port], &common[..]].concat());
        assert_eq!(seen["ok"], true);
        assert_eq!(seen["seeds"], 1, "{seen:#}");
        assert_eq!(seen["leechers"], number - 7001);
        assert_eq!(seen["interval"], 1800);
        assert_eq!(seen["num_want_requested"], 50);
        assert_eq!(seen["info_hashes"][0], HASH);
        assert_eq!(seen["failure"], Value::Null);
        let peers = seen["peer_list"].as_array().unwrap();
        assert_eq!(peers.len() as u64, seen["ipv4_peers"].as_u64().unwrap());
        let seeder = peers.iter().find(|peer| peer["port"] == 7001).unwrap();
        assert_eq!(seeder["ip"], "127.0.0.1");
        assert_eq!(seeder["type"], "ipv4");
        assert!(seen["response_time_ms"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn every_client_is_understood_over_every_protocol() {
    let trackers = Trackers::start();
    let ca = trackers.certificate();
    for client in [
        "shoal",
        "libtorrent",
        "qbittorrent",
        "transmission",
        "aria2",
        "rtorrent",
        "utorrent",
        "deluge",
    ] {
        for url in trackers.all() {
            let seen = good(&[&url, "--ca", &ca, "--client", client]);
            assert_eq!(seen["leechers"], 1, "{seen:#}");
            assert_eq!(seen["client"], client);
            assert_eq!(seen["stopped"], true, "{seen:#}");
        }
    }
    let (code, json) = ask(&[&trackers.http(), "--random-client"]);
    assert_eq!(code, 0);
    assert_ne!(json["results"][0]["client"], "shoal");
}

#[test]
fn a_random_torrent_has_no_peer_afterwards_unless_it_is_to_keep_it() {
    let trackers = Trackers::start();
    let ca = trackers.certificate();
    for url in trackers.all() {
        for (keep, left) in [(&[][..], 0), (&["--keep"][..], 1)] {
            let seen = good(&[&[&*url, "--ca", &ca], keep].concat());
            let hash = seen["info_hashes"][0].as_str().unwrap();
            let scraped = good(&[&url, "--ca", &ca, "-s", "-H", hash]);
            assert_eq!(scraped["torrents"][0]["incomplete"], left, "{scraped:#}");
        }
    }
}

#[test]
fn a_scrape_shows_every_torrent_that_was_asked_for() {
    let trackers = Trackers::start();
    let other = "bb".repeat(20);
    for url in [trackers.udp(), trackers.http()] {
        good(&[&url, "-H", HASH, "-e", "completed"]);
        let seen = good(&[&url, "-s", "-H", HASH, "-H", &other]);
        let mut rows = seen["torrents"].as_array().unwrap().clone();
        rows.sort_by_key(|row| row["info_hash"].as_str().unwrap().to_owned());
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0]["info_hash"], HASH);
        assert_eq!(rows[0]["complete"], 1);
        assert_eq!(rows[1]["complete"], 0);
    }
    let url = trackers.http();
    let (_, table, _) = run(&["query", &url, "-s", "-H", HASH]);
    assert!(table.contains(HASH), "{table}");
    let (code, csv, _) = run(&["query", &url, "-s", "-H", HASH, "--csv"]);
    assert_eq!(code, 0);
    assert!(csv.starts_with("info_hash,complete,"), "{csv}");
    assert!(csv.contains(&format!("\r\n{HASH},1,0,")), "{csv}");
}

#[test]
fn a_full_scrape_is_refused_allowed_or_impossible() {
    let closed = Trackers::start();
    let (code, json) = ask(&[&closed.http(), "--full-scrape"]);
    assert_eq!(code, 1);
    assert_eq!(json["results"][0]["failure"]["kind"], "failure_reason");
    let (code, json) = ask(&[&closed.udp(), "--full-scrape"]);
    assert_eq!(code, 1);
    assert_eq!(json["results"][0]["failure"]["kind"], "unaskable");
}

#[test]
fn peers_in_dictionaries_have_their_ids() {
    let trackers = Trackers::with(|config| config.swarm.peer_details = true);
    let url = trackers.http();
    good(&[&url, "-H", HASH, "--client", "aria2", "--port", "7001"]);
    let seen = good(&[&url, "-H", HASH, "-p", "--no-compact", "--port", "7002"]);
    assert_eq!(seen["dict_peers"], 1, "{seen:#}");
    let id = seen["peer_list"][0]["peer_id"].as_str().unwrap();
    assert!(id.starts_with("A2-1-37-0-"), "{id}");
}

#[test]
fn a_tracker_says_whether_it_believes_a_header() {
    let url = |server: &Trackers| server.http();
    let field = "X-Forwarded-For: 203.0.113.7";
    let open = Trackers::start();
    let seen = good(&[&url(&open), "--proxy-header", field]);
    assert_eq!(seen["proxy_header"]["believed"], false, "{seen:#}");
    let behind = Trackers::with(|config| {
        config.http[0].proxy = Some(Proxy {
            header: Some(ProxyHeader::XForwardedFor),
            trusted: vec!["127.0.0.1/32".parse().unwrap()],
        });
    });
    let seen = good(&[&url(&behind), "--proxy-header", field]);
    assert_eq!(seen["proxy_header"]["believed"], true, "{seen:#}");
    let hash = seen["info_hashes"][0].as_str().unwrap();
    let scraped = good(&[&open.udp(), "-s", "-H", hash]);
    assert_eq!(scraped["torrents"][0]["incomplete"], 0);
    let seen = good(&[&open.udp(), "--proxy-header", field]);
    assert_eq!(seen["proxy_header"]["believed"], Value::Null);
}

#[test]
fn both_families_are_asked_and_one_can_be_chosen() {
    let mut config = config();
    config.udp = vec![listener("[::1]:0")];
    let server = Server::start(&config);
    let url = format!("udp://{}/announce", server.address());
    let seen = good(&[&url, "-6"]);
    assert_eq!(seen["address"], server.address().to_string());
    let (code, json) = ask(&[&url, "-4"]);
    assert_eq!(code, 1);
    assert_eq!(json["results"][0]["failure"]["kind"], "unresolved");
}

#[test]
fn a_batch_is_sorted_and_fails_when_one_fails() {
    let trackers = Trackers::start();
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let [udp, http, _] = trackers.all();
    let list = format!("# a list\nhttp://{gone}/announce\n{udp}\n\nno url\n{http}\n");
    let file = Scratch::with(list);
    let (code, json) = ask(&["--batch", file.path(), "-L", "0", "--client", "aria2"]);
    assert_eq!(code, 1);
    let results = json["results"].as_array().unwrap();
    let kinds: Vec<_> = results
        .iter()
        .map(|one| one["failure"]["kind"].as_str())
        .collect();
    assert_eq!(kinds[..2], [None, None]);
    assert!(kinds.contains(&Some("refused")) && kinds.contains(&Some("unaskable")));
    // All options hold for all: these were seeders, and clients of one kind.
    for one in &results[..2] {
        assert_eq!(one["seeds"], 1, "{one:#}");
        assert_eq!(one["client"], "aria2");
    }
    assert_eq!(json["summary"]["asked"], 4);
    assert_eq!(json["summary"]["failed"], 2);
    let (_, table, stderr) = run(&["query", "-b", file.path()]);
    assert_eq!(stderr, "");
    assert_eq!(table.lines().count(), 6, "{table}");
    assert!(table.ends_with("slowest\n") || table.contains("4 asked, 2 good, 2 failed"));
    let good_only = Scratch::with(format!("{udp}\n{http}\n"));
    assert_eq!(run(&["query", "-qb", good_only.path()]).0, 0);
}

#[test]
fn a_torrent_file_is_a_list_of_trackers_and_a_torrent() {
    let trackers = Trackers::start();
    let [udp, http, _] = trackers.all();
    let tier = |url: &str| format!("l{}:{url}e", url.len());
    let torrent = format!(
        "d13:announce-listl{}{}e4:infod4:name1:x6:pieces0:ee",
        tier(&udp),
        tier(&http)
    );
    let file = Scratch::with(torrent);
    let (code, json) = ask(&["--batch", file.path()]);
    assert_eq!(code, 0, "{json:#}");
    let results = json["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    assert_eq!(results[0]["info_hashes"], results[1]["info_hashes"]);
    let hash = good(&[&udp, "-H", file.path()])["info_hashes"][0].clone();
    assert_eq!(hash, results[0]["info_hashes"][0]);
}

#[test]
fn questions_can_be_repeated_and_are_summed_up() {
    let trackers = Trackers::start();
    let (code, json) = ask(&[&trackers.udp(), "--repeat", "3", "--delay", "0"]);
    assert_eq!(code, 0);
    let attempts: Vec<_> = json["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["attempt"].as_u64().unwrap())
        .collect();
    assert_eq!(attempts, [1, 2, 3]);
    let times = &json["summary"]["response_time_ms"];
    assert!(times["min"].as_f64() <= times["median"].as_f64());
    assert!(times["median"].as_f64() <= times["max"].as_f64());
}

#[test]
fn the_wire_is_shown_byte_for_byte() {
    let trackers = Trackers::start();
    let seen = good(&[&trackers.udp(), "--hex"]);
    let exchanges = seen["exchanges"].as_array().unwrap();
    let what: Vec<_> = exchanges
        .iter()
        .map(|one| one["what"].as_str().unwrap())
        .collect();
    assert_eq!(what, ["connect", "announce", "stopped"]);
    let connect = exchanges[0]["sent"].as_str().unwrap();
    assert!(connect.starts_with("000004172710198000000000"), "{connect}");
    // BEP 41: path and query behind the announce.
    let announce = exchanges[1]["sent"].as_str().unwrap();
    assert!(announce.ends_with("02092f616e6e6f756e6365"), "{announce}");
    let (_, table, _) = run(&["query", &trackers.http(), "--hex"]);
    assert!(table.contains("|GET /announce?in|"), "{table}");
}

#[test]
fn a_query_that_a_url_has_stays_in_front() {
    let trackers = Trackers::start();
    let url = format!("{}?passkey=abc", trackers.http());
    let (code, table, _) = run(&["query", &url, "--hex", "--no-color"]);
    assert_eq!(code, 0);
    let head: String = table
        .lines()
        .filter_map(|line| line.split('|').nth(1))
        .collect();
    assert!(
        head.contains("GET /announce?passkey=abc&info_hash="),
        "{head}"
    );
}

#[test]
fn csv_has_a_row_for_everything_and_a_block_of_peers() {
    let trackers = Trackers::start();
    let url = trackers.http();
    good(&[&url, "-H", HASH, "--port", "7001"]);
    let (code, csv, _) = run(&["query", &url, "-H", HASH, "--csv", "-p", "foo,\"bar"]);
    assert_eq!(code, 1);
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert!(lines[0].starts_with("tracker,response_time_ms,interval,min_interval,seeds"));
    assert!(lines[1].starts_with(&format!("{url},")), "{csv}");
    assert!(lines[2].starts_with("\"foo,\"\"bar\","), "{csv}");
    assert!(csv.contains(",127.0.0.1,7001,ipv4,,\r\n"), "{csv}");
}

#[test]
fn names_of_peers_are_looked_up_without_delay() {
    let trackers = Trackers::start();
    let url = trackers.http();
    good(&[&url, "-H", HASH, "--port", "7001"]);
    let seen = good(&[&url, "-H", HASH, "-pl"]);
    let name = &seen["peer_list"][0]["hostname"];
    assert!(name.is_null() || name.as_str().is_some_and(|name| !name.is_empty()));
}

#[test]
fn wrong_usage_is_told_apart_from_a_tracker_that_fails() {
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{gone}/announce");
    for wrong in [
        &["query"][..],
        &["query", &url, "--timeout", "soon"],
        &["query", &url, "-H", "xyz"],
        &["query", &url, "-l"],
        &["query", &url, "--client", "nobody"],
        &["query", &url, "--json", "--csv"],
        &["query", &url, "-H", HASH, "-H", HASH],
        &["query", &url, "--proxy-header", "A: b\r\nC: d"],
        &["query", "--batch", "/nowhere/at/all"],
        &["query", &url, "-4", "-6"],
        &["check", "/nowhere/at/all"],
    ] {
        let (code, stdout, stderr) = run(wrong);
        assert_eq!(code, 2, "{wrong:?}: {stderr}");
        assert_eq!(stdout, "");
        assert_ne!(stderr, "");
    }
    assert_eq!(
        run(&["query", &url, "-q"]),
        (1, String::new(), String::new())
    );
}

#[test]
fn a_list_of_trackers_and_pages_is_checked() {
    let trackers = Trackers::start();
    let [udp, http, https] = trackers.all();
    let udp = udp
        .trim_start_matches("udp://")
        .trim_end_matches("/announce");
    let http = http.trim_end_matches("/announce");
    let ca = trackers.certificate();
    let json = format!(
        r#"{{"udp_trackers": ["{udp}"], "http_trackers": ["{http}", "{https}"],
            "health_checks": ["{http}/health_check"]}}"#
    );
    let file = Scratch::with(json);
    let (code, stdout, stderr) = run(&["check", file.path(), "--ca", &ca]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    let seen: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(seen[0]["Udp"]["Ok"]["remote_addr"], udp);
    assert_eq!(
        seen[0]["Udp"]["Ok"]["results"].to_string(),
        r#"[["Setup",{"Ok":null}],["Connect",{"Ok":null}],["Announce",{"Ok":null}],["Scrape",{"Ok":null}]]"#
    );
    assert_eq!(
        seen[1]["Http"]["Ok"]["results"].to_string(),
        r#"[["Announce",{"Ok":null}],["Scrape",{"Ok":null}]]"#
    );
    assert_eq!(seen[1]["Http"]["Ok"]["url"], http);
    assert_eq!(seen[3]["Health"]["Ok"]["result"]["Ok"], "200 OK");

    let toml = format!("udp_trackers = ['{udp}']\nhealth_checks = ['{http}/nothing']\n");
    let file = Scratch::with(toml);
    let (code, stdout, _) = run(&["check", file.path()]);
    assert_eq!(code, 1);
    let seen: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(seen[0]["Udp"]["Err"], Value::Null);
    assert_eq!(
        seen[1]["Health"]["Err"]["result"]["Err"],
        "status 404 Not Found"
    );
}

/// Debian's opentracker, which serves the torrents of a list only. Killed when it is dropped.
struct Opentracker {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Opentracker {
    /// Nothing where it is not installed.
    fn start() -> Option<Self> {
        // Started as root it becomes nobody, who must be able to read its folder.
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.path().join("hashes"), format!("{HASH}\n")).unwrap();
        // The port is free a moment before; UDP and TCP ask for the same number.
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        drop(taken);
        let number = port.to_string();
        let started = Command::new("opentracker")
            .args(["-i", "127.0.0.1", "-p", &number, "-P", &number, "-d"])
            .arg(folder.path())
            .args(["-u", "nobody", "-w", "hashes"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            println!("skipped: opentracker is not installed");
            return None;
        };
        let tracker = Self {
            child,
            port,
            _folder: folder,
        };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < deadline, "opentracker never listens");
            std::thread::yield_now();
        }
        Some(tracker)
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}/announce", self.port)
    }
}

impl Drop for Opentracker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn opentracker_answers_for_the_torrents_of_its_list() {
    let Some(tracker) = Opentracker::start() else {
        return;
    };
    for (scheme, port) in [("udp", "7001"), ("http", "7002")] {
        // It opens TCP first, so UDP may not be there yet.
        let until = ["--until-success", "--repeat", "100", "--delay", "0.05"];
        let url = tracker.url(scheme);
        let (code, json) = ask(&[&[&*url, "-H", HASH, "--port", port], &until[..]].concat());
        assert_eq!(code, 0, "{json:#}");
        let seen = good(&[&url, "-H", HASH, "--port", port, "-p"]);
        assert!(seen["interval"].as_u64().unwrap() > 0, "{seen:#}");
        let scraped = good(&[&tracker.url(scheme), "-H", HASH, "-s"]);
        assert!(scraped["torrents"][0]["incomplete"].as_u64().unwrap() > 0);
    }
    // Over HTTP it says that it does not know a torrent.
    let (code, json) = ask(&[&tracker.url("http")]);
    assert_eq!(code, 1, "{json:#}");
    assert_eq!(json["results"][0]["failure"]["kind"], "failure_reason");
}

#[test]
fn a_free_port_is_refused_over_udp_too() {
    let gone = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let (code, json) = ask(&[&format!("udp://{gone}/announce")]);
    assert_eq!(code, 1);
    assert_eq!(json["results"][0]["failure"]["kind"], "refused");
}
