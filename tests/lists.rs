//! Which torrents, sources and clients are served: lists from files, read again while the tracker runs.

mod http;
mod in_process;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use http::{Browser, announce, http_config};
use in_process::{Announce, BACKENDS, Client, PATIENCE, Server, error_text};
use shoal::config::Config;
use shoal::counters::{Count, Fault};
use shoal::gate::access::{Deny, Mode};
use shoal::wire::InfoHash;
use tempfile::TempDir;

const LISTED: [u8; 20] = [0x61; 20];
const OTHER: [u8; 20] = [0x62; 20];
const LISTED_TEXT: &str = "aaaaaaaaaaaaaaaaaaaa";
const OTHER_TEXT: &str = "bbbbbbbbbbbbbbbbbbbb";
const NOBODY_THERE: &str =
    "d8:completei0e10:incompletei0e8:intervali86400e12:min intervali86400e5:peers0:e";

/// Files that a test may rewrite.
struct Lists {
    folder: TempDir,
}

impl Lists {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }
}

fn hex(info_hash: [u8; 20]) -> String {
    InfoHash(info_hash).to_string()
}

/// Two cores, so that each list is split.
fn two_cores() -> Config {
    let mut config = http_config(BACKENDS[0]);
    config.workers.count = 2;
    config.access.deny = Deny::Error;
    config
}

fn udp_error(client: &Client, id: [u8; 8], announce: Announce) -> String {
    error_text(&client.ask(&announce.to_bytes(id))).to_owned()
}

#[test]
fn only_listed_torrents_are_served_over_every_protocol() {
    let lists = Lists::new();
    let mut config = two_cores();
    config.access.mode = Mode::Listed;
    config.access.allowlist = lists.write("allow", &format!("# ours\n{} first\n", hex(LISTED)));
    let server = Server::start(&config);
    let client = server.client();
    let id = client.connect();
    assert_eq!(
        client.announce(id, Announce::seeder(LISTED, 6881)).seeders,
        1
    );
    let refused = Announce::seeder(OTHER, 6881).to_bytes(id);
    let mut expected = [0, 0, 0, 3, 0, 0, 0, 7].to_vec();
    expected.extend(b"info_hash not allowed");
    assert_eq!(client.ask(&refused), expected);
    let mut browser = Browser::of(server.http_address());
    let told = browser.get(&announce(LISTED_TEXT, 6882, 9, "started"));
    assert!(told.text().contains("peers6:"), "{}", told.text());
    let refused = browser.get(&announce(OTHER_TEXT, 6882, 9, "started"));
    assert_eq!(
        refused.text(),
        "d14:failure reason21:info_hash not allowede"
    );
    assert_eq!(server.count(Count::Faulted(Fault::InfoHashNotAllowed)), 2);
}

#[test]
fn a_torrent_that_is_blocked_while_it_is_served_is_gone_from_announces_and_scrapes_at_once() {
    let lists = Lists::new();
    let mut config = two_cores();
    config.access.blocklist = lists.write("block", "");
    let server = Server::start(&config);
    let client = server.client();
    let id = client.connect();
    client.announce(id, Announce::seeder(LISTED, 6881));
    client.announce(id, Announce::seeder(OTHER, 6881));
    lists.write("block", &format!("{},takedown of today\n", hex(LISTED)));
    assert_eq!(server.tracker.reload(&config), [""; 0]);
    assert_eq!(
        udp_error(&client, id, Announce::seeder(LISTED, 6882)),
        "info_hash not allowed"
    );
    assert_eq!(client.scrape(id, &[LISTED, OTHER]), [(0, 0, 0), (1, 0, 0)]);
    let mut browser = Browser::of(server.http_address());
    let scraped = browser.get(&format!("/scrape?info_hash={LISTED_TEXT}"));
    assert!(
        scraped.text().contains("8:completei0e"),
        "{}",
        scraped.text()
    );
    lists.write("block", "");
    assert_eq!(server.tracker.reload(&config), [""; 0]);
    assert_eq!(
        client.announce(id, Announce::leecher(LISTED, 6883)).seeders,
        1
    );
    let deadline = Instant::now() + PATIENCE;
    while server.tracker.registrar().free_retired() {
        assert!(Instant::now() < deadline, "somebody holds on to old lists");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn those_who_are_turned_away_softly_are_told_that_nobody_is_there() {
    for backend in BACKENDS {
        let lists = Lists::new();
        let mut config = two_cores();
        config.workers.backend = backend;
        config.access.deny = Deny::Soft;
        config.access.blocklist = lists.write("block", &hex(LISTED));
        config.access.client_blocklist = vec!["-SH0100-abcdefghijkl".to_owned()];
        let server = Server::start(&config);
        let client = server.client();
        let id = client.connect();
        let told = client.announce(id, Announce::seeder(LISTED, 6881));
        assert_eq!((told.interval, told.seeders, told.leechers), (86_400, 0, 0));
        assert!(told.peers.is_empty());
        let mut browser = Browser::of(server.http_address());
        let told = browser.get(&announce(LISTED_TEXT, 6881, 0, "started"));
        assert_eq!(told.text(), NOBODY_THERE);
        // The client of both protocols is unwelcome, whatever the torrent.
        let told = browser.get(&announce(OTHER_TEXT, 6881, 0, "started"));
        assert_eq!(told.text(), NOBODY_THERE);
        let told = client.announce(id, Announce::seeder(OTHER, 6881));
        assert_eq!((told.interval, told.seeders), (86_400, 0));
        assert_eq!(client.scrape(id, &[LISTED, OTHER]), [(0, 0, 0); 2]);
        assert_eq!(server.count(Count::Faulted(Fault::ClientNotAllowed)), 4);
    }
}

#[test]
fn a_source_on_the_blocklist_is_turned_away_and_its_neighbour_is_not() {
    let lists = Lists::new();
    let mut config = two_cores();
    config.udp = vec![in_process::listener("0.0.0.0:0")];
    config.access.ip_blocklist = lists.write("sources", "127.0.0.2\n127.0.1.0/24 spammers\n");
    let server = Server::start(&config);
    let address = format!("127.0.0.1:{}", server.address().port())
        .parse()
        .unwrap();
    for (source, served) in [
        ("127.0.0.2", false),
        ("127.0.0.3", true),
        ("127.0.1.9", false),
    ] {
        let client = Client::at(source.parse().unwrap(), address);
        let id = client.connect();
        let reply = client.ask(&Announce::seeder(OTHER, 6881).to_bytes(id));
        if served {
            assert_eq!(reply[..4], [0, 0, 0, 1]);
        } else {
            assert_eq!(error_text(&reply), "address blocked");
        }
    }
}

#[test]
fn a_bad_line_is_named_and_the_old_list_stays() {
    let lists = Lists::new();
    let mut config = two_cores();
    config.access.mode = Mode::Listed;
    config.access.allowlist = lists.write("allow", &hex(LISTED));
    let server = Server::start(&config);
    lists.write("allow", &format!("{}\nnonsense\n", hex(OTHER)));
    let said = server.tracker.reload(&config);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("allow, line 2 is not an info-hash"),
        "{}",
        said[0]
    );
    let client = server.client();
    let id = client.connect();
    assert_eq!(
        client.announce(id, Announce::seeder(LISTED, 6881)).seeders,
        1
    );
    assert_eq!(
        udp_error(&client, id, Announce::seeder(OTHER, 6881)),
        "info_hash not allowed"
    );
}

#[test]
fn at_the_start_a_list_that_cannot_be_read_is_one_sentence() {
    let lists = Lists::new();
    for (text, said) in [(None, "cannot be read"), (Some("x"), "line 1 is not")] {
        let mut config = two_cores();
        config.access.blocklist = lists.path("missing").to_str().unwrap().to_owned();
        if let Some(text) = text {
            config.access.blocklist = lists.write("broken", text);
        }
        let refusal = Server::try_start(&config).err().expect("it must not start");
        assert!(refusal.starts_with("access.blocklist: "), "{refusal}");
        assert!(refusal.contains(said), "{refusal}");
        assert_eq!(refusal.lines().count(), 1, "{refusal}");
    }
}

#[test]
fn the_mode_changes_while_the_tracker_runs_and_what_takes_a_restart_is_said() {
    let lists = Lists::new();
    let mut config = two_cores();
    let server = Server::start(&config);
    let client = server.client();
    let id = client.connect();
    assert_eq!(
        client.announce(id, Announce::seeder(OTHER, 6881)).seeders,
        1
    );
    config.access.mode = Mode::Listed;
    config.access.allowlist = lists.write("allow", &hex(LISTED));
    assert_eq!(server.tracker.reload(&config), [""; 0]);
    assert_eq!(
        udp_error(&client, id, Announce::seeder(OTHER, 6881)),
        "info_hash not allowed"
    );
    config.access.mode = Mode::Public;
    config.announce.interval = 999;
    let said = server.tracker.reload(&config);
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("take a restart"), "{}", said[0]);
    let told = client.announce(id, Announce::seeder(OTHER, 6881));
    assert_eq!((told.seeders, told.interval), (1, 1800));
}

#[test]
fn a_long_list_is_split_over_the_cores_and_every_entry_counts() {
    let lists = Lists::new();
    let mut config = two_cores();
    config.workers.count = 3;
    config.access.mode = Mode::Listed;
    let nth = |n: u32| {
        let mut info_hash = [7; 20];
        info_hash[..4].copy_from_slice(&n.wrapping_mul(0x9e37_79b9).to_be_bytes());
        info_hash
    };
    let text: String = (0..100_000).map(|n| hex(nth(n)) + "\n").collect();
    config.access.allowlist = lists.write("allow", &text);
    let server = Server::start(&config);
    let client = server.client();
    let id = client.connect();
    for n in (0..100_000).step_by(997) {
        assert_eq!(
            client.announce(id, Announce::seeder(nth(n), 6881)).seeders,
            1
        );
    }
    for n in 100_000..100_050 {
        let refused = udp_error(&client, id, Announce::seeder(nth(n), 6881));
        assert_eq!(refused, "info_hash not allowed");
    }
}
