//! What an operator has the tracker do.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use shoal::config::Secret;
use shoal::control::Event;
use shoal::counters::Tally;
use shoal::gate::access::Deny;
use tempfile::TempDir;

use super::{column, hashes_body, problem};
use crate::api::*;
use crate::http::{Browser, Response, announce as announce_target, escaped};
use crate::in_process::{Announce, Client, PATIENCE, error_text};
use crate::support::{TrackerProcess, shoal};

/// A tracker in a process of its own, with a configuration that a test may rewrite, and its API.
struct Program {
    folder: TempDir,
    process: TrackerProcess,
    control: SocketAddr,
}

impl Program {
    fn start(more: &str) -> Self {
        let folder = TempDir::new().unwrap();
        Self::configure(&folder, more);
        Self::on(folder)
    }

    fn on(folder: TempDir) -> Self {
        let mut command = shoal();
        command.arg("run").arg("--config").arg(Self::file(&folder));
        let store = format!("store.path={}", folder.path().join("data").display());
        for option in [
            "udp.listen=127.0.0.1:0",
            "http.listen=127.0.0.1:0",
            "control.listen=127.0.0.1:0",
            "workers.count=2",
            "workers.http_threads=1",
            &store,
        ] {
            command.args(["--set", option]);
        }
        let mut process = TrackerProcess::start_command(command, 1);
        let line = process.wait_for_log(" (control)", Duration::from_secs(30));
        let (_, address) = line.split_once("http://").unwrap();
        let control = address.trim_end_matches(" (control)").parse().unwrap();
        Self {
            folder,
            process,
            control,
        }
    }

    fn file(folder: &TempDir) -> PathBuf {
        folder.path().join("shoal.toml")
    }

    /// Writes its configuration.
    fn configure(folder: &TempDir, more: &str) {
        let text = format!("{more}\n[control.tokens]\nadmin = \"{TOKEN}\"\n");
        fs::write(Self::file(folder), text).unwrap();
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn admin(&self, method: &str, target: &str) -> Response {
        let mut browser = Browser::of(self.control);
        ask(&mut browser, method, &with_token(target), "", "")
    }

    /// Waits for its good end, and starts another on the same folder.
    fn restart(mut self) -> Self {
        assert!(self.process.wait().success());
        let said = self.process.stderr_so_far();
        assert!(said.ends_with("stopped"), "{said}");
        Self::on(self.folder)
    }

    fn client(&self) -> Client {
        Client::of(self.process.address())
    }
}

#[test]
fn the_mode_is_told_and_changed_until_the_configuration_decides_again() {
    let api = Api::start_with(|config| config.access.deny = Deny::Error);
    let client = api.server.client();
    let id = client.connect();
    assert_eq!(api.told("/api/v1/mode"), json!({"mode": "public"}));
    for (mode, refusal) in [
        ("listed", Some("info_hash not allowed")),
        (
            "private",
            Some("Authentication error: the announce URL has no key"),
        ),
        (
            "private_listed",
            Some("Authentication error: the announce URL has no key"),
        ),
        ("public", None),
    ] {
        let wanted = json!({ "mode": mode });
        assert_eq!(api.send("PUT", "/api/v1/mode", &wanted), wanted);
        assert_eq!(api.told("/api/v1/mode"), wanted);
        let reply = client.ask(&Announce::seeder(bytes_of(HIGHER), 7000).to_bytes(id));
        match refusal {
            None => assert_eq!(reply[3], 1),
            Some(refusal) => assert_eq!(error_text(&reply), refusal),
        }
    }
    for bad in ["", "Public", "secret", "public "] {
        let body = json!({ "mode": bad }).to_string();
        let refused = problem(&api.send_json("PUT", "/api/v1/mode", &body), 400);
        assert!(refused.contains("private_listed"), "{refused}");
    }
    assert_eq!(api.told("/api/v1/mode"), json!({"mode": "public"}));
}

#[test]
fn the_configuration_is_read_again_and_what_takes_a_restart_is_named() {
    let listed = format!(
        "[access]\ndeny = \"error\"\nblocklist = \"{}\"\n",
        "BLOCKED"
    );
    let program = Program::start("");
    let file = program.write("block", "");
    let config = listed.replace("BLOCKED", &file);
    Program::configure(&program.folder, &config);
    assert_eq!(
        json(&program.admin("POST", "/api/v1/reload")),
        json!({"status": "ok"})
    );
    let client = program.client();
    let id = client.connect();
    let announce = Announce::seeder(bytes_of(HIGHER), 7000).to_bytes(id);
    assert_eq!(client.ask(&announce)[3], 1);

    program.write("block", &format!("{HIGHER}\n"));
    assert_eq!(
        json(&program.admin("POST", "/api/v1/reload")),
        json!({"status": "ok"})
    );
    assert_eq!(error_text(&client.ask(&announce)), "info_hash not allowed");

    // A list that is no list stays as it was; an interval takes a restart.
    program.write("block", "no hash\n");
    let more = format!("{config}[announce]\ninterval = 77\n");
    Program::configure(&program.folder, &more);
    let told = json(&program.admin("POST", "/api/v1/reload"));
    assert_eq!(told["status"], "ok");
    let warnings = told["warnings"].as_array().unwrap();
    let has = |words: &str| {
        let mut warnings = warnings.iter().map(|warning| warning.as_str().unwrap());
        warnings.any(|warning| warning.contains(words))
    };
    assert!(
        has("access.blocklist") && has("line 1") && has("restart"),
        "{told}"
    );
    assert_eq!(error_text(&client.ask(&announce)), "info_hash not allowed");
    let journal = json(&program.admin("GET", "/api/v1/journal"));
    assert_eq!(column(&journal, "action"), ["reload", "reload", "reload"]);
    assert_eq!(column(&journal, "subject"), ["configuration"; 3]);
}

#[test]
fn a_configuration_with_a_mistake_is_refused_and_nothing_changes() {
    let program = Program::start("[access]\ndeny = \"error\"\n");
    Program::configure(
        &program.folder,
        "[access]\nmode = \"listed\"\ndeny = \"errors\"\n[announce]\nintervall = 7\n",
    );
    let refused = problem(&program.admin("POST", "/api/v1/reload"), 409);
    for word in ["access", "deny", "intervall"] {
        assert!(refused.contains(word), "{refused}");
    }
    let mode = json(&program.admin("GET", "/api/v1/mode"));
    assert_eq!(mode, json!({"mode": "public"}));
    let client = program.client();
    let announce = Announce::seeder(bytes_of(HIGHER), 7000);
    client.announce(client.connect(), announce);
    let journal = json(&program.admin("GET", "/api/v1/journal"));
    let entry = &journal["items"][0];
    assert_eq!(
        (&entry["action"], &entry["reason"]),
        (&json!("reload"), &json!("failed"))
    );
}

#[test]
fn a_reload_changes_tokens_and_what_is_published() {
    let program = Program::start("[access]\npublish_blocklist = true\n");
    let published = || {
        let mut browser = Browser::of(program.control);
        ask(&mut browser, "GET", "/api/blocklist.json", "", "").status
    };
    assert_eq!(published(), 200);
    let other = "[control.tokens]\nadmin = \"AnotherToken\"\n";
    fs::write(Program::file(&program.folder), other).unwrap();
    let told = json(&program.admin("POST", "/api/v1/reload"));
    assert_eq!(told, json!({"status": "ok"}));
    assert_eq!(program.admin("GET", "/api/v1/mode").status, 500);
    let bearer = "Authorization: Bearer AnotherToken\r\n";
    let mut browser = Browser::of(program.control);
    let mode = ask(&mut browser, "GET", "/api/v1/mode", bearer, "");
    assert_eq!(json(&mode), json!({"mode": "public"}));
    assert_eq!(published(), 404);
}

#[test]
fn what_was_in_a_snapshot_outlives_a_kill() {
    let program = Program::start("[store]\nsnapshot_interval = 3600\n");
    let client = program.client();
    let id = client.connect();
    for n in 0..100 {
        announce(&client, id, &format!("{n:040x}"), 7000, 0);
    }
    let told = json(&program.admin("POST", "/api/v1/snapshot"));
    assert_eq!(told, json!({"status": "ok"}));
    let mut process = program.process;
    process.signal(Signal::SIGKILL);
    process.wait();
    let mut program = Program::on(program.folder);
    program
        .process
        .wait_for_log("restored 100 torrents with 100 peers", PATIENCE);
    let list = json(&program.admin("GET", "/api/v1/torrents"));
    assert_eq!(list.as_array().unwrap().len(), 100);
    let journal = json(&program.admin("GET", "/api/v1/journal"));
    assert_eq!(column(&journal, "action"), ["snapshot"]);
}

#[test]
fn the_tracker_stops_in_good_order_when_it_is_told_to() {
    let mut program = Program::start("");
    for (route, told) in [
        ("/api/v1/shutdown", json!({"status": "ok"})),
        ("/shutdown", json!({"message": "Server is shutting down"})),
    ] {
        // Not by somebody without a token.
        let mut browser = Browser::of(program.control);
        assert_eq!(ask(&mut browser, "POST", route, "", "").status, 500);
        assert_eq!(json(&program.admin("POST", route)), told);
        program = program.restart();
        let journal = json(&program.admin("GET", "/api/v1/journal"));
        let newest = &journal["items"][0];
        assert_eq!(
            (&newest["action"], &newest["by"]),
            (&json!("shutdown"), &json!("admin"))
        );
    }
}

/// An API whose tracker knows of many peers that have been silent for too long, most of which it has not
/// looked at yet.
fn silent() -> Api {
    const PEERS: u16 = 1200;
    let mut timeout_s = 0;
    let api = Api::start_with(|config| {
        config.control.run_gc_key = Secret::new("sweep-them-all");
        timeout_s = config.announce.peer_timeout_s();
    });
    let client = api.server.client();
    let id = client.connect();
    for port in 1..=PEERS {
        client.announce(id, Announce::seeder(bytes_of(HIGHER), port));
    }
    // All are looked at before anybody is late, and some after that.
    api.server.clock.advance(timeout_s - 10);
    client.connect();
    api.server.clock.advance(25);
    client.connect();
    let seeders = api.server.tally(Tally::SeedersV4);
    assert!(seeders > u64::from(PEERS) / 4, "{seeders} left");
    api
}

#[test]
fn all_silent_peers_are_forgotten_at_once_when_that_is_wanted() {
    let api = silent();
    assert_eq!(
        json(&api.admin("POST", "/api/v1/sweep")),
        json!({"status": "ok"})
    );
    api.server
        .wait_until("forgotten", |totals| totals.tally(Tally::SeedersV4) == 0);
}

#[test]
fn a_secret_in_an_announce_sweeps_and_another_word_does_not() {
    let api = silent();
    let mut browser = Browser::of(api.server.http_address());
    let hash = escaped(&bytes_of(LOWER));
    let announce = announce_target(&hash, 7001, 9, "started");
    for other in [
        "sweep-them",
        "sweep-them-all2",
        "SWEEP-THEM-ALL",
        "x=sweep-them-all",
    ] {
        let reply = browser.get(&format!("{announce}&{other}"));
        assert!(reply.text().contains("8:intervali"), "{}", reply.text());
        let refused = browser.get(&format!("/announce?{other}"));
        assert!(
            refused.text().contains("14:failure reason"),
            "{}",
            refused.text()
        );
    }
    assert!(api.server.events.is_empty());
    for target in [
        "/announce?sweep-them-all",
        &format!("{announce}&sweep-them-all=1"),
    ] {
        let reply = browser.get(target);
        assert_eq!((reply.status, reply.text().as_str()), (200, "OK"));
        let event = api.server.events.recv_timeout(PATIENCE);
        assert_eq!(event, Ok(Event::Sweep));
    }
    api.server.tracker.sweep();
    api.server
        .wait_until("forgotten", |totals| totals.tally(Tally::SeedersV4) == 0);
}

#[test]
fn the_main_thread_sweeps_when_an_announce_has_the_secret() {
    let mut program = Program::start("[control]\nrun_gc_key = \"sweep-them-all\"\n");
    let client = program.client();
    announce(&client, client.connect(), HIGHER, 7000, 0);
    let mut browser = Browser::of(program.process.http_address());
    for _ in 0..100 {
        assert_eq!(browser.get("/announce?sweep-them-all").text(), "OK");
    }
    // Nobody is forgotten who is not silent.
    let list = json(&program.admin("GET", "/api/v1/torrents"));
    let expected: Value =
        json!([{"info_hash": HIGHER, "seeders": 1, "completed": 0, "leechers": 0}]);
    assert_eq!(list, expected);
}

#[test]
fn nothing_changes_without_a_good_token() {
    let api = Api::start();
    let body = hashes_body(&[HIGHER], "").to_string();
    let json_type = "Content-Type: application/json\r\n";
    for (method, target) in [
        ("POST", "/api/v1/whitelist"),
        ("POST", "/api/v1/blocklist"),
        ("DELETE", "/api/v1/blocklist"),
        ("POST", "/api/v1/ip_blocklist"),
        ("POST", "/api/v1/torrents"),
        ("PUT", "/api/v1/mode"),
        ("POST", "/api/v1/import"),
        ("POST", "/api/v1/reload"),
        ("POST", "/api/v1/snapshot"),
        ("POST", "/api/v1/sweep"),
        ("POST", "/api/v1/shutdown"),
        ("POST", "/shutdown"),
        ("POST", "/save_state"),
        ("POST", "/add_torrent_info"),
        ("GET", "/api/v1/keys"),
        ("GET", "/api/v1/journal"),
        ("GET", "/api/v1/transfers"),
    ] {
        let ask = |query: &str, header: &str| {
            let headers = format!("{json_type}{header}");
            api.ask(method, &format!("{target}{query}"), &headers, &body)
        };
        let unauthorized = "Unhandled rejection: Err { reason: \"unauthorized\" }";
        let not_valid = "Unhandled rejection: Err { reason: \"token not valid\" }";
        expect_text(&ask("", ""), 500, unauthorized);
        expect_text(&ask("?token=MyAccessToke", ""), 500, not_valid);
        expect_text(&ask("", "Authorization: Bearer wrong\r\n"), 500, not_valid);
        expect_text(
            &ask("", "Authorization: Basic MyAccessToken\r\n"),
            500,
            unauthorized,
        );
    }
    assert!(api.server.events.is_empty());
    assert_eq!(api.told("/api/v1/journal"), json!({"items": []}));
    assert_eq!(api.told("/api/v1/blocklist")["total"], 0);
    // With one, in either place, it does.
    let bearer = format!("{json_type}Authorization: Bearer {TOKEN}\r\n");
    let added = api.ask("POST", "/api/v1/blocklist", &bearer, &body);
    assert_eq!(json(&added), json!({"added": 1}));
    let removed = api.send_json("DELETE", "/api/v1/blocklist", &body);
    assert_eq!(json(&removed), json!({"removed": 1}));
}
