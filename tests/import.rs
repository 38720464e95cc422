//! What other trackers leave behind, taken over by `shoal import`.

mod fake_api;
mod program;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use fake_api::Api;
use program::{Scratch, accepted, outcome, shoal};
use rusqlite::Connection;
use serde_json::Value;
use shoal::import::sqlite;
use shoal::import::state::Times;
use tempfile::TempDir;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const C: &str = "cccccccccccccccccccccccccccccccccccccccc";

fn now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.unwrap().as_secs()
}

fn times() -> Times {
    Times {
        now_unix_s: now(),
        peer_timeout_s: 3600,
    }
}

/// A folder with one database in it.
struct Database {
    folder: TempDir,
    path: PathBuf,
}

impl Database {
    fn of(sql: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Characters that mean something in the URL of a file.
        let path = folder.path().join("old data?mode=rw#1%20.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        Self { folder, path }
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// Nothing of it, and nothing beside it, was written.
    fn assert_untouched(&self, before: &[u8]) {
        assert_eq!(fs::read(&self.path).unwrap(), before);
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 1);
    }
}

/// A database as Torrust 3.0 makes it; before, `valid_until` could not be null.
fn torrust(valid_until: &str, rows: &str) -> Database {
    Database::of(&format!(
        "CREATE TABLE whitelist (id INTEGER PRIMARY KEY AUTOINCREMENT, info_hash TEXT NOT NULL UNIQUE);
         CREATE TABLE torrents (id INTEGER PRIMARY KEY AUTOINCREMENT, info_hash TEXT NOT NULL UNIQUE,
                                completed INTEGER DEFAULT 0 NOT NULL);
         CREATE TABLE keys (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE,
                            valid_until INTEGER {valid_until});
         {rows}"
    ))
}

#[test]
fn a_database_of_torrust_is_taken_over_once_however_often_it_is_imported() {
    let (forever, later, past) = ("1".repeat(32), "2".repeat(32), "3".repeat(32));
    let later_unix_s = now() + 5000;
    let database = torrust(
        "",
        &format!(
            "INSERT INTO whitelist(info_hash) VALUES ('{A}'), ('{}');
             INSERT INTO torrents(info_hash, completed) VALUES ('{A}', 7), ('{C}', 0);
             INSERT INTO keys(key, valid_until) VALUES
                 ('{forever}', NULL), ('{later}', {later_unix_s}), ('{past}', 1600000000);",
            B.to_uppercase()
        ),
    );
    let before = fs::read(&database.path).unwrap();
    let api = Api::start();
    let mut import = api.shoal(&["import", database.path()]);
    let text = accepted(&mut import);
    assert!(
        text.contains("keys left out because they have ended: 1"),
        "{text}"
    );
    let sums =
        "on the allowlist: 2 (2 new), keys: 3 (2 new), torrents: 1 (1 taken), peers: 0 (0 taken)\n";
    assert!(text.ends_with(sums), "{text}");
    {
        let state = api.state();
        assert_eq!(state.allowed.iter().collect::<Vec<_>>(), [A, B]);
        assert_eq!(state.swarms[A].0, 7);
        assert!(!state.swarms.contains_key(C), "nothing is known of it");
        assert_eq!(state.keys[&forever], None);
        let valid_s = state.keys[&later].unwrap() - 1_700_000_000;
        assert!((4900..=5000).contains(&valid_s), "{valid_s}");
        assert!(!state.keys.contains_key(&past));
    }
    let again = accepted(&mut import);
    assert!(
        again.contains("on the allowlist: 2 (0 new), keys: 3 (0 new)"),
        "{again}"
    );
    assert_eq!(api.state().keys.len(), 2);
    database.assert_untouched(&before);
}

#[test]
fn a_database_from_before_3_0_is_read_too() {
    let key = "k".repeat(32);
    let database = torrust(
        "NOT NULL",
        &format!(
            "INSERT INTO keys(key, valid_until) VALUES ('{key}', {});",
            now() + 60
        ),
    );
    let api = Api::start();
    accepted(&mut api.shoal(&["import", "--kind", "torrust", database.path()]));
    assert!(api.state().keys[&key].is_some());
}

#[test]
fn rows_of_the_wrong_type_are_named_and_the_others_go_on() {
    let good = "k".repeat(32);
    let database = Database::of(&format!(
        "CREATE TABLE whitelist (info_hash); CREATE TABLE torrents (info_hash, completed);
         CREATE TABLE keys (key, valid_until);
         INSERT INTO whitelist VALUES ('{A}'), (NULL), (5), ('zz'), (x'{B}'), (1.5), ('{A}00');
         INSERT INTO torrents VALUES ('{A}', -1), ('{A}', 'many'), ('{A}', 4294967296), ('{A}', 3);
         INSERT INTO keys VALUES ('short', 1), (x'00', 1), ('{good}', 'soon'), ('{good}', -5), ('{good}', NULL);"
    ));
    let api = Api::start();
    let done = outcome(&mut api.shoal(&["import", "--json", database.path()]));
    assert_eq!(done.code, Some(1), "{done:?}");
    for part in [
        "row 2 of whitelist: \"info_hash\" is null, not text",
        "row 3 of whitelist: \"info_hash\" is integer, not text",
        "row 4 of whitelist: info-hash \"zz\" is not of 20 bytes",
        "row 6 of whitelist: \"info_hash\" is real, not text",
        "row 7 of whitelist: info-hash",
        "row 1 of torrents: \"completed\" is no number of downloads",
        "row 2 of torrents: \"completed\" is text, not a number",
        "row 3 of torrents: \"completed\" is no number of downloads",
        "row 1 of keys: \"key\" is not of 32 characters",
        "row 2 of keys: \"key\" is blob, not text",
        "row 3 of keys: \"valid_until\" is text, not a number",
        "row 4 of keys: \"valid_until\" is before 1970",
    ] {
        assert!(done.stderr.contains(part), "{part} in {}", done.stderr);
    }
    assert_eq!(done.stderr.lines().count(), 12, "{}", done.stderr);
    assert!(!done.stderr.contains(&good), "keys are not shown");
    let said: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(said["files"][0]["mistakes"].as_array().unwrap().len(), 12);
    let state = api.state();
    assert_eq!(state.allowed.iter().collect::<Vec<_>>(), [A, B]);
    assert_eq!(state.swarms[A].0, 3);
    assert_eq!(state.keys.len(), 1);
}

#[test]
fn a_database_of_retracker_gives_peers_and_blocklists_with_their_reasons() {
    let now = now();
    let database = Database::of(&format!(
        "CREATE TABLE tracker (info_hash TEXT, ip TEXT, port INTEGER, \"left\" INTEGER, update_time INTEGER);
         CREATE TABLE blocklist (id INTEGER PRIMARY KEY, ip TEXT, info_hash TEXT, reason TEXT, created_at);
         CREATE TABLE cache (name, expire, value);
         INSERT INTO tracker VALUES
             ('{A}', 'c0000201', 6881, 0, {now}), ('{A}', 'c0000202', 6882, 5, {now}.5),
             ('{B}', 'c0000203', 1, 0, 1600000000), ('{B}', 'c0000204', 0, 0, {now}), ('{B}', 'zz', 1, 0, {now});
         INSERT INTO blocklist(ip, info_hash, reason) VALUES
             ('192.0.2.9', NULL, 'spam'), ('', '{C}', 'takedown'), ('198.51.100.0/24', '{B}', 'spam'),
             (NULL, NULL, 'nothing'), ('nobody', NULL, NULL);"
    ));
    let api = Api::start();
    let done = outcome(&mut api.shoal(&["import", "--kind", "ini", database.path()]));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.stderr.lines().count(), 4, "{}", done.stderr);
    for part in [
        "row 4 of tracker: 192.0.2.4 port 0 is no address of a peer",
        "row 5 of tracker: \"zz\" is no address",
        "row 4 of blocklist: it has neither",
        "row 5 of blocklist: \"nobody\" is no address and no network",
    ] {
        assert!(done.stderr.contains(part), "{part} in {}", done.stderr);
    }
    let state = api.state();
    let peers: Vec<_> = state.swarms[A].1.iter().map(|peer| &peer["ip"]).collect();
    assert_eq!(peers, ["192.0.2.1", "192.0.2.2"]);
    assert!(!state.swarms.contains_key(B), "silent for years");
    assert_eq!(state.blocked[C], "takedown");
    assert_eq!(state.blocked[B], "spam");
    assert_eq!(state.networks["192.0.2.9/32"], "spam");
    assert_eq!(state.networks["198.51.100.0/24"], "spam");
}

fn why(path: &Path) -> String {
    sqlite::read(path, times()).unwrap_err()
}

#[test]
fn a_hostile_database_is_a_sentence() {
    // A view could compute for ever, a virtual table run code.
    let view = Database::of(
        "CREATE TABLE other (x);
         CREATE VIEW whitelist AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
         SELECT i AS info_hash FROM n;",
    );
    assert!(
        why(&view.path).contains("its tables are: other"),
        "{}",
        why(&view.path)
    );
    let columns = Database::of("CREATE TABLE whitelist (other);");
    assert!(why(&columns.path).contains("no such column: info_hash"));
    let large = Database::of(
        "CREATE TABLE whitelist (info_hash); INSERT INTO whitelist VALUES (zeroblob(5000000));",
    );
    assert!(why(&large.path).contains("too big"), "{}", why(&large.path));
    let whole = fs::read(&torrust("", &lots()).path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.db");
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    assert!(
        why(&cut).starts_with("no database that can be read"),
        "{}",
        why(&cut)
    );
    fs::write(&cut, b"SQLite format 3\0and nothing else").unwrap();
    assert!(why(&cut).contains("not a database"), "{}", why(&cut));
}

/// Enough rows for a tree of pages.
fn lots() -> String {
    "INSERT INTO whitelist(info_hash)
     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
     SELECT printf('%040x', i) FROM n;"
        .to_owned()
}

#[test]
fn a_database_with_changes_beside_it_is_not_read_by_halves() {
    let database = torrust("", "");
    for ending in ["-wal", "-journal"] {
        let beside = format!("{}{ending}", database.path());
        fs::write(&beside, "").unwrap();
        assert!(sqlite::read(&database.path, times()).is_ok());
        fs::write(&beside, "changes").unwrap();
        assert!(why(&database.path).contains("stop the tracker that writes it"));
        fs::remove_file(beside).unwrap();
    }
}

#[test]
fn databases_with_random_damage_are_read_or_refused_but_never_for_ever() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let whole = fs::read(&torrust("", &lots()).path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.db");
    let mut refused = 0;
    for _ in 0..200 {
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..20) {
            let at = random.usize(..bytes.len());
            match random.u8(..3) {
                0 => bytes[at] = random.u8(..),
                1 => {
                    let page = 4096 * random.usize(1..bytes.len() / 4096);
                    let other = 4096 * random.usize(1..bytes.len() / 4096);
                    bytes.copy_within(other..other + 4096, page);
                }
                // The number of a page: often one that is in use.
                _ => bytes[at & !3..][..4].copy_from_slice(&random.u32(..40).to_be_bytes()),
            }
        }
        fs::write(&path, bytes).unwrap();
        refused += u32::from(sqlite::read(&path, times()).is_err());
    }
    assert!(refused > 20, "{refused} of 200 refused");
}

#[test]
fn a_state_file_gives_peers_and_what_is_known_of_torrents() {
    let now = now();
    let file = Scratch::with(format!(
        r#"{{"torrents": {{
            "{A}": {{"info": {{"info_hash": "{A}", "name": "a <b>", "size": 7, "piece_length": 16384,
                "creation_date": 1600000000.5, "comment": "c", "created_by": "me"}},
              "peers_info": [
                {{"peer_id": "x", "ip": "192.0.2.1", "port": 6881, "last_seen": {now}.25, "left": 0, "is_seeder": true}},
                {{"peer_id": "y", "ip": "2001:db8::1", "port": 6882, "last_seen": {now}.25, "left": 9, "is_seeder": false}},
                {{"peer_id": "z", "ip": "192.0.2.3", "port": 1, "last_seen": {}, "left": 9}}],
              "stats": {{"complete": 1, "incomplete": 1, "downloaded": 123456, "uploaded": 0, "peers": 3}}}},
            "%BB%bb%BB%BB%BB%BB%BB%BB%BB%BB%BB%BB%BB%BB%BB%BB%BB%BB%BB%BB": {{
              "info": {{"name": "b", "size": 1, "piece_length": 2}}, "peers_info": [], "stats": {{}}}},
            "{}%0A": {{"peers_info": [{{"ip": "192.0.2.4", "port": 4, "last_seen": {now}}}]}},
            "damaged \ufffd": {{}}}}}}"#,
        now - 4000,
        "c".repeat(19),
    ));
    let api = Api::start();
    let mut import = api.shoal(&["import", "--allow", file.path()]);
    let done = outcome(&mut import);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        done.stderr.contains("its info-hash has lost bytes"),
        "{}",
        done.stderr
    );
    assert!(
        done.stdout
            .contains("silent for more than 3600 s (--peer-timeout): 1"),
        "{}",
        done.stdout
    );
    let mixed = format!("{}0a", "63".repeat(19));
    {
        let state = api.state();
        assert_eq!(state.allowed.iter().collect::<Vec<_>>(), [&mixed, A, B]);
        assert_eq!(state.metadata[A]["name"], "a <b>");
        assert_eq!(state.metadata[A]["creation_date"], 1_600_000_000);
        assert_eq!(state.metadata[B]["piece_length"], 2);
        let (completed, peers) = &state.swarms[A];
        assert_eq!((*completed, peers.len()), (0, 2));
        let seeder = peers.iter().find(|peer| peer["ip"] == "192.0.2.1").unwrap();
        assert_eq!(seeder["left"], 0);
        assert!(seeder["age"].as_u64().unwrap() < 100);
        assert_eq!(state.swarms[&mixed].1[0]["ip"], "192.0.2.4");
    }
    outcome(&mut import);
    let state = api.state();
    assert_eq!(state.swarms[A].1.len(), 2);
    assert_eq!(state.allowed.len(), 3);
}

#[test]
fn a_list_says_what_it_is_for_and_goes_in_batches() {
    let mut text = String::from("# opentracker\n");
    for number in 0..25_000 {
        let _ = writeln!(text, "{number:040x} remark");
    }
    text.push_str("192.0.2.9\nnonsense\n");
    let file = Scratch::with(&text);
    let api = Api::start();
    let done = outcome(&mut api.shoal(&["import", file.path()]));
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(
        done.stderr
            .contains("--allow or --block says what it is for"),
        "{}",
        done.stderr
    );
    assert!(api.asked().is_empty());
    let done =
        outcome(&mut api.shoal(&["import", "--kind", "opentracker", "--block", file.path()]));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        done.stderr.contains("line 25003 is not an info-hash"),
        "{}",
        done.stderr
    );
    assert_eq!(done.stderr.lines().count(), 1);
    assert!(
        done.stdout
            .contains("on the blocklist: 25000 (25000 new), networks blocked: 1 (1 new)")
    );
    let posts = ["POST /api/v1/blocklist"; 3].into_iter();
    assert_eq!(
        api.asked(),
        posts
            .chain(["POST /api/v1/ip_blocklist"])
            .collect::<Vec<_>>()
    );
    let state = api.state();
    assert_eq!(state.blocked.len(), 25_000);
    let reason = format!("imported from {}", file.path());
    assert!(state.blocked.values().all(|given| *given == reason));
    drop(state);
    let allow = ["import", "--allow", "--reason", "ours", file.path()];
    assert_eq!(
        outcome(&mut api.shoal(&allow)).code,
        Some(1),
        "an address is allowed nothing"
    );
    assert_eq!(api.state().allowed.len(), 25_000);
}

#[test]
fn settings_of_retracker_become_a_configuration_that_shoal_takes() {
    let file = Scratch::with(
        "[FLASK]\nsecret_key = hush\n[LOGGING]\nlevel = INFO\n[TRACKER]\nhost = 0.0.0.0\nport = 8080\n\
         announce_interval = 1800\npeer_expire_factor = 2\n\
         ignore_ip = 192.168.0.0/8 127.0.0.1 172.16.0.0/8\nnumwant = 50\nrun_gc_key = gc\n\
         [STATS]\naccess_username = admin\naccess_password = hush\n",
    );
    // No tracker is needed for it.
    let printed = accepted(&mut shoal(&["import", file.path()]));
    assert!(
        printed.contains("192.168.0.0/8 is all of 192.0.0.0/8"),
        "{printed}"
    );
    assert!(!printed.contains("hush"), "{printed}");
    let config = Scratch::with(&printed);
    accepted(&mut shoal(&["config", "check", "--config", config.path()]));
    let effective = accepted(&mut shoal(&["config", "print", "--config", config.path()]));
    assert!(program::has_line(&effective, "listen = \"0.0.0.0:8080\""));
    let line = r#"ignore_ip = ["192.168.0.0/16", "127.0.0.1/32", "172.16.0.0/12"]"#;
    assert!(program::has_line(&effective, line), "{effective}");
    let json = accepted(&mut shoal(&["import", "--json", file.path()]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(
        json["files"][0]["settings"]
            .as_str()
            .unwrap()
            .contains("[announce]")
    );
}

#[test]
fn one_bad_file_does_not_stop_the_others() {
    let state = Scratch::with("{\"torrents\": 5}");
    let list = Scratch::with(format!("{A}\n"));
    let api = Api::start();
    let done =
        outcome(&mut api.shoal(&["import", "--allow", "/nowhere", state.path(), list.path()]));
    assert_eq!(done.code, Some(1), "{done:?}");
    let mut mistakes = done.stderr.lines();
    assert!(
        mistakes
            .next()
            .unwrap()
            .starts_with("/nowhere: cannot be read")
    );
    assert!(mistakes.next().unwrap().contains("no state of a tracker"));
    assert_eq!(mistakes.next(), None);
    assert_eq!(api.state().allowed.len(), 1);
}
