//! The verbs of the command line and the tracker that they are for.

mod in_process;
mod program;

use std::fs;
use std::process::Command;

use in_process::{Announce, Server, config};
use program::{accepted, outcome, shoal};
use rusqlite::Connection;
use serde_json::Value;
use shoal::gate::access::Mode;
use shoal::wire::InfoHash;
use tempfile::TempDir;

const TOKEN: &str = "a-token-of-this-test";

/// Two torrents, as bytes and as digits.
const HASH: [u8; 20] = [0xaa; 20];
const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// A tracker with a store, and its API.
struct Tracker {
    server: Server,
    folder: TempDir,
}

impl Tracker {
    fn start() -> Self {
        Self::of(Mode::Public)
    }

    fn of(mode: Mode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config();
        config.access.mode = mode;
        config.store.path = folder.path().join("data").display().to_string();
        config.control.listen = Some("127.0.0.1:0".parse().unwrap());
        config.control.required = true;
        let token = ("SHOAL_CONTROL__TOKENS__ADMIN".into(), TOKEN.into());
        let with_token = shoal::config::load(None, [token], &[]).unwrap();
        config.control.tokens = with_token.config.control.tokens;
        Self {
            server: Server::start(&config),
            folder,
        }
    }

    fn shoal(&self, arguments: &[&str]) -> Command {
        let address = self.server.tracker.control_address().unwrap();
        let mut command = shoal(arguments);
        command.env("SHOAL_API", format!("http://{address}"));
        command.env("SHOAL_TOKEN", TOKEN);
        command
    }

    /// Does it, and gives what it printed as JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        let printed = accepted(self.shoal(arguments).arg("--json"));
        serde_json::from_str(&printed).expect(&printed)
    }

    /// Lays a file beside the store.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Seeders and leechers of a torrent after a seeder has come.
    fn announced(&self, hash: [u8; 20]) -> (u32, u32) {
        let client = self.server.client();
        let id = client.connect();
        let answer = client.announce(id, Announce::seeder(hash, 6881));
        (answer.seeders, answer.leechers)
    }
}

#[test]
fn a_key_is_made_refused_twice_and_taken_away_once() {
    let tracker = Tracker::start();
    let own = "k".repeat(32);
    let add = ["key", "add", "--key", &own, "--permanent"];
    let text = accepted(&mut tracker.shoal(&add));
    assert_eq!(text, format!("{own}  good until it is taken away\n"));
    let again = outcome(&mut tracker.shoal(&add));
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(
        again.stderr.contains("failed to generate key"),
        "{}",
        again.stderr
    );
    let made = tracker.json(&["key", "add", "--seconds", "60"]);
    let key = made["key"].as_str().unwrap();
    assert!(
        made["valid_until"].as_u64().is_some() && key.len() == 32,
        "{made}"
    );
    let list = tracker.json(&["key", "list"]);
    assert_eq!(list["keys"].as_array().unwrap().len(), 2);
    let removed = accepted(&mut tracker.shoal(&["key", "remove", &own, key]));
    assert_eq!(removed, format!("{own}  removed\n{key}  removed\n"));
    let gone = outcome(&mut tracker.shoal(&["key", "remove", &own]));
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(
        gone.stderr.contains("failed to delete key"),
        "{}",
        gone.stderr
    );
    let bad = outcome(&mut tracker.shoal(&["key", "add", "--key", "short", "--permanent"]));
    assert!(bad.stderr.contains("Invalid key length"), "{}", bad.stderr);
}

#[test]
fn a_torrent_that_is_added_may_announce_until_it_is_removed() {
    let tracker = Tracker::of(Mode::Listed);
    let info = b"d6:lengthi1536e4:name4:<b>x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
    let file = tracker.file("x.torrent", [b"d4:info", &info[..], b"e"].concat());
    let hash: [u8; 20] = <sha1::Sha1 as sha1::Digest>::digest(info).into();
    assert_eq!(tracker.announced(hash), (0, 0), "not on the list");
    let added = tracker.json(&["torrent", "add", &file]);
    assert_eq!(added["added"], 1);
    assert_eq!(tracker.json(&["torrent", "add", &file])["added"], 0);
    assert_eq!(tracker.announced(hash), (1, 0));
    let list = accepted(&mut tracker.shoal(&["torrent", "list"]));
    let digits = InfoHash(hash).to_string();
    let row = format!("{digits}        1         0          0");
    assert!(program::has_line(&list, &row), "{list}");
    let shown = accepted(&mut tracker.shoal(&["torrent", "show", &file]));
    for line in [
        "name          <b>x",
        "size          1.5 KiB",
        "seeders       1",
    ] {
        assert!(program::has_line(&shown, line), "{line} in {shown}");
    }
    let removed = tracker.json(&["torrent", "remove", &digits]);
    assert_eq!(removed["removed"], 1);
    assert_eq!(removed["torrents"][0]["had_metadata"], true);
    assert_eq!(removed["torrents"][0]["had_peers"], true);
    let removed = tracker.json(&["torrent", "remove", &digits]);
    assert_eq!(removed["torrents"][0]["had_metadata"], false);
    assert_eq!(tracker.announced(hash), (0, 0));
    let unknown = outcome(&mut tracker.shoal(&["torrent", "show", &digits]));
    assert_eq!(
        unknown.stderr,
        format!("the tracker does not know {digits}\n")
    );
}

#[test]
fn what_is_blocked_is_not_served_until_it_is_no_longer() {
    let tracker = Tracker::start();
    let block = ["block", "add", A, "192.0.2.9/24", "--reason", "court order"];
    let text = accepted(&mut tracker.shoal(&block));
    assert!(
        text.ends_with("1 torrent and 1 source blocked, 2 of them new\n"),
        "{text}"
    );
    assert_eq!(tracker.announced(HASH), (0, 0));
    let list = tracker.json(&["block", "list"]);
    assert_eq!(list["torrents"][0]["info_hash"], A);
    assert_eq!(list["sources"][0]["network"], "192.0.2.0/24");
    assert_eq!(list["sources"][0]["reason"], "court order");
    let table = accepted(&mut tracker.shoal(&["block", "list"]));
    assert!(table.contains("  admin  court order\n"), "{table}");
    let removed = tracker.json(&["block", "remove", A, "192.0.2.0/24", "::1"]);
    assert_eq!(removed["removed"], 2);
    assert_eq!(tracker.announced(HASH), (1, 0));
}

#[test]
fn what_other_trackers_leave_behind_arrives() {
    let tracker = Tracker::start();
    let key = "k".repeat(32);
    let database = tracker.file("old.db", "");
    let sql = format!(
        "CREATE TABLE whitelist (info_hash); INSERT INTO whitelist VALUES ('{A}');
         CREATE TABLE torrents (info_hash, completed); INSERT INTO torrents VALUES ('{A}', 7);
         CREATE TABLE keys (key, valid_until); INSERT INTO keys VALUES ('{key}', NULL);"
    );
    Connection::open(&database)
        .unwrap()
        .execute_batch(&sql)
        .unwrap();
    let state = format!(
        r#"{{"torrents": {{"{A}": {{"info": {{"name": "x", "size": 1}}, "peers_info": [
            {{"ip": "127.0.0.9", "port": 7, "last_seen": 9999999999, "left": 0}},
            {{"ip": "127.0.0.8", "port": 7, "last_seen": 9999999999, "left": 5}},
            {{"ip": "0.0.0.0", "port": 7, "last_seen": 9999999999, "left": 5}}]}}}}}}"#
    );
    let state = tracker.file("tracker_state.json", state);
    let list = tracker.file("blacklist", format!("{B}\n192.0.2.0/24\n"));
    for new in [1, 0] {
        let found = tracker.json(&["import", &database]);
        let taken = &found["files"][0]["taken"];
        assert_eq!([&taken["allowed"], &taken["keys"]], [new, new], "{found}");
        // The one peer that can be none is named.
        let done = outcome(&mut tracker.shoal(&["import", &state]));
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(
            done.stderr
                .contains("0.0.0.0 port 7 is no address of a peer"),
            "{done:?}"
        );
        let found = tracker.json(&["import", "--block", &list]);
        assert_eq!(found["files"][0]["taken"]["blocked"], new);
        assert_eq!(found["files"][0]["taken"]["networks"], new);
        let torrents = tracker.json(&["torrent", "list"]);
        let torrent = &torrents["torrents"][0];
        assert_eq!(torrent["info_hash"], A);
        assert_eq!(torrent["completed"], 7, "{torrent}");
        assert_eq!([&torrent["seeders"], &torrent["leechers"]], [1, 1]);
    }
    let shown = tracker.json(&["torrent", "show", A]);
    assert_eq!(shown["torrents"][0]["metadata"]["name"], "x");
}

#[test]
fn who_has_no_token_or_a_wrong_one_is_told_so() {
    let tracker = Tracker::start();
    let list = ["torrent", "list"];
    let without = outcome(tracker.shoal(&list).env_remove("SHOAL_TOKEN"));
    assert!(
        without.stderr.contains("wants a token"),
        "{}",
        without.stderr
    );
    let wrong = outcome(tracker.shoal(&list).env("SHOAL_TOKEN", "guessed!"));
    assert!(
        wrong.stderr.contains("does not know this token"),
        "{}",
        wrong.stderr
    );
}
