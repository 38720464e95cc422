//! The log: what stands in it, where, and how much of it there is.

mod http;
mod in_process;
mod support;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use http::Browser;
use in_process::{Announce, Client, scrape_request};
use nix::sys::signal::Signal;
use support::{LOOK_AGAIN, Process, TrackerProcess, run_to_end, shoal};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);
const HASH: [u8; 20] = *b"abcdefghijklmnopqrst";

/// `shoal run` on any port of UDP and HTTP, with these overrides.
fn run(overrides: &[&str]) -> Command {
    let mut command = shoal();
    command.arg("run");
    let common = [
        "store.path=",
        "udp.listen=127.0.0.1:0",
        "http.listen=127.0.0.1:0",
        "workers.receive_buffer=0",
        "workers.count=2",
    ];
    for text in common.iter().chain(overrides) {
        command.args(["--set", text]);
    }
    command
}

fn verbose(overrides: &[&str]) -> Command {
    let mut command = run(overrides);
    command.arg("-v");
    command
}

fn start(command: Command) -> TrackerProcess {
    let mut tracker = TrackerProcess::start_command(command, 1);
    tracker.wait_for_log("HTTP runs on", PATIENCE);
    tracker
}

/// A tracker whose log is a file in a folder of its own.
struct Logged {
    process: Process,
    folder: TempDir,
}

impl Logged {
    fn start(mut command: Command) -> Self {
        let folder = TempDir::new().unwrap();
        command.args(["--set", "log.file=shoal.log"]);
        command.current_dir(folder.path()).stdin(Stdio::null());
        let process = Process::spawn("shoal", &mut command);
        let logged = Self { process, folder };
        logged.wait_for("shoal.log", "HTTP runs on");
        logged
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn wait_for(&self, name: &str, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.read(name).contains(text) {
            let said = self.read(name);
            assert!(
                Instant::now() < deadline,
                "never {text:?} in {name}: {said}"
            );
            thread::sleep(LOOK_AGAIN);
        }
    }

    fn client(&self) -> Client {
        let said = self.read("shoal.log");
        let (_, rest) = said.split_once("listening on udp://").unwrap();
        let address: SocketAddr = rest
            .lines()
            .next()
            .unwrap()
            .trim_end_matches("\"}")
            .parse()
            .unwrap();
        Client::of(address)
    }
}

#[test]
fn a_request_writes_nothing_at_the_default_level() {
    let mut tracker = start(run(&[]));
    // The last that a start has to say.
    tracker.wait_for_log("system calls are left", PATIENCE);
    let before = tracker.stderr_so_far().lines().count();
    let client = Client::of(tracker.address());
    let id = client.connect();
    let mut browser = Browser::of(tracker.http_address());
    for port in 1..=50 {
        client.announce(id, Announce::leecher(HASH, port));
        client.send(&[7; 98]);
        browser.get(&http::announce("abcdefghijklmnopqrst", port, 5, "started"));
        browser.get("/nowhere");
    }
    tracker.signal(Signal::SIGUSR1);
    tracker.wait_for_log("total: ", PATIENCE);
    let said = tracker.stderr_so_far();
    // Two cores, two threads of HTTP, and their sum.
    assert_eq!(said.lines().count(), before + 5, "{said}");
}

/// The lines about requests, without time and level.
fn requests(tracker: &mut TrackerProcess) -> Vec<String> {
    let said = tracker.stderr_so_far();
    let told = said.lines().filter_map(|line| line.split_once(" DEBUG] "));
    told.map(|(_, told)| told.to_owned()).collect()
}

#[test]
fn verbose_tells_of_each_request_with_a_shortened_address() {
    // Without steering a core has to hand over what another owns.
    let mut tracker = start(verbose(&["workers.steering=false"]));
    let client = Client::of(tracker.address());
    let id = client.connect();
    client.announce(id, Announce::seeder(HASH, 1));
    client.announce(id, Announce::leecher(HASH, 2));
    client.announce(id, Announce::leecher(HASH, 2).stopped());
    client.ask(&Announce::leecher(HASH, 0).to_bytes(id));
    client.scrape(id, &[HASH]);
    client.scrape(id, &[[1; 20], [2; 20], [3; 20], [4; 20], [5; 20], [6; 20]]);
    client.ask(&scrape_request(id, &[]));
    client.send(&[0x77; 16]);
    client.send(&[0; 3]);
    let mut browser = Browser::of(tracker.http_address());
    browser.get(&http::announce("abcdefghijklmnopqrst", 3, 5, ""));
    browser.get(&http::announce("abcdefghijklmnopqrst", 0, 5, ""));
    browser.get(&http::announce("short", 3, 5, ""));
    browser.get(&http::scrape([HASH]));
    browser.get("/scrape");
    browser.get("/health_check");
    browser.get("/no%where?and=more");
    browser.send(b"nonsense\r\n\r\n");
    tracker.wait_for_log("no request", PATIENCE);
    tracker.wait_for_log("runt", PATIENCE);
    let mut told = requests(&mut tracker);
    told.sort();
    let by = |client| format!("client \"{client}\") from 127.0.0.x");
    let ours = by("-SH0100-");
    let mut expected = vec![
        "udp connect from 127.0.0.x: answered".to_owned(),
        format!(
            "udp announce of 61626364 (started, 0 left, {ours}: 0 peers of 1 seeder and 0 leechers"
        ),
        format!(
            "udp announce of 61626364 (started, 1000 left, {ours}: 1 peer of 1 seeder and 1 leecher"
        ),
        format!(
            "udp announce of 61626364 (stopped, 1000 left, {ours}: 0 peers of 1 seeder and 0 leechers"
        ),
        format!("udp announce of 61626364 (started, 1000 left, {ours}: refused, invalid_port"),
        "udp scrape of 61626364 from 127.0.0.x: answered".to_owned(),
        "udp scrape of 6 torrents, the first 01010101 from 127.0.0.x: answered".to_owned(),
        "udp scrape of nothing from 127.0.0.x: refused, no_info_hash".to_owned(),
        "udp datagram of 16 bytes from 127.0.0.x: dropped, unknown_action".to_owned(),
        "udp datagram of 3 bytes from 127.0.0.x: dropped, runt".to_owned(),
        format!(
            "http announce of 61626364 (regular, 5 left, {ours}: 1 peer of 1 seeder and 1 leecher"
        ),
        "http announce from 127.0.0.x: refused, invalid_port".to_owned(),
        "http announce from 127.0.0.x: refused, invalid_info_hash".to_owned(),
        "http scrape of 61626364 from 127.0.0.x: answered".to_owned(),
        "http scrape from 127.0.0.x: refused, full_scrape_disabled".to_owned(),
        "http request \"/health_check\" from 127.0.0.x: 200".to_owned(),
        "http request \"/no%where\" from 127.0.0.x: 404".to_owned(),
        "http 12 bytes from 127.0.0.x: no request, not_http".to_owned(),
    ];
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
fn whole_addresses_are_told_when_they_are_wanted() {
    // Asked for by the level, which is another way to the same lines.
    let overrides = [
        "log.full_addresses=true",
        "log.level=info,shoal::requests=debug",
    ];
    let mut tracker = start(run(&overrides));
    Client::of(tracker.address()).connect();
    let line = tracker.wait_for_log("udp connect", PATIENCE);
    assert!(
        line.contains("udp connect from 127.0.0.1: answered"),
        "{line}"
    );
}

#[test]
fn of_ipv6_48_bits_are_told() {
    let mut tracker = start(verbose(&["udp.listen=[::1]:0"]));
    Client::of(tracker.address()).connect();
    let line = tracker.wait_for_log("udp connect", PATIENCE);
    assert!(
        line.contains("udp connect from 0:0:0:x: answered"),
        "{line}"
    );
}

#[test]
fn a_hostile_peer_id_or_path_cannot_break_a_line() {
    for format in ["log.format=text", "log.format=json"] {
        let logged = Logged::start(verbose(&[format]));
        let client = logged.client();
        let id = client.connect();
        let mut announce = Announce::leecher(HASH, 1).to_bytes(id);
        announce[36..56].copy_from_slice(b"\n[20\x1b]0;\"\r\n\0 INFO] x");
        client.ask(&announce);
        logged.wait_for("shoal.log", "leecher");
        let said = logged.read("shoal.log");
        let line = said.lines().last().unwrap();
        let shown = r#"client "\n[20\x1b]0;""#;
        if format.ends_with("json") {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(line["message"].as_str().unwrap().contains(shown), "{line}");
        } else {
            assert!(line.contains(shown), "{line}");
        }
        let (_, http) = said.split_once("listening on http://").unwrap();
        let http = http.lines().next().unwrap().trim_end_matches("\"}");
        let mut browser = Browser::of(http.parse().unwrap());
        // Control characters are no path of HTTP; these are the worst that are.
        browser.get("/\"}{[\\n%0a%1b\u{e4}<");
        browser.send(b"GET /\x1b]0;\n HTTP/1.1\r\n\r\n");
        logged.wait_for("shoal.log", "no request");
        let said = logged.read("shoal.log");
        let is_tame = |byte: u8| byte == b'\n' || (b' '..=b'~').contains(&byte);
        assert!(said.bytes().all(is_tame), "{said:?}");
        let begins = |line: &str| line.starts_with("[20") || line.starts_with("{\"time\":\"20");
        assert!(said.lines().all(begins), "{said}");
    }
}

#[test]
fn lines_of_json_are_objects_with_time_level_target_and_message() {
    let mut command = verbose(&["log.format=json"]);
    command.args(["--set", "log.level=debug"]);
    let logged = Logged::start(command);
    logged.client().connect();
    logged.wait_for("shoal.log", "connect");
    let said = logged.read("shoal.log");
    for line in said.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect(line);
        let text = |key: &str| line[key].as_str().expect(key);
        assert!(text("time").ends_with('Z') && text("time").contains('T'));
        assert!(["DEBUG", "INFO", "WARN"].contains(&text("level")), "{line}");
        assert!(!text("target").is_empty() && !text("message").is_empty());
    }
    assert!(said.contains("\"target\":\"shoal::requests\""), "{said}");
}

#[test]
fn a_file_stays_below_its_size_and_keeps_as_many_others_as_it_may() {
    let limits = ["log.max_bytes=2000", "log.backup_count=2"];
    let logged = Logged::start(verbose(&limits));
    let client = logged.client();
    let id = client.connect();
    for port in 1..=100 {
        client.announce(id, Announce::leecher(HASH, port));
    }
    logged.wait_for("shoal.log", "100 leechers");
    let mut count = 0;
    for (name, exists) in [
        ("shoal.log", true),
        ("shoal.log.1", true),
        ("shoal.log.2", true),
        ("shoal.log.3", false),
    ] {
        assert_eq!(logged.path(name).exists(), exists, "{name}");
        let said = logged.read(name);
        assert!(said.len() <= 2000, "{name} has {} bytes", said.len());
        assert!(said.is_empty() || said.ends_with('\n'));
        assert!(said.lines().all(|line| line.starts_with("[20")), "{said}");
        count += said.lines().count();
    }
    assert!(count > 20, "the files were used: {count} lines");
}

#[test]
fn a_file_that_is_there_is_gone_on_with() {
    let mut logged = Logged::start(run(&[]));
    logged.process.signal(Signal::SIGTERM);
    logged.process.wait(PATIENCE);
    let first = logged.read("shoal.log");
    assert!(first.ends_with("stopped\n"));
    let mut command = run(&["log.file=shoal.log"]);
    command.current_dir(logged.folder.path());
    logged.process = Process::spawn("shoal", &mut command);
    let deadline = Instant::now() + PATIENCE;
    while logged.read("shoal.log").matches("HTTP runs on").count() < 2 {
        assert!(Instant::now() < deadline);
        thread::sleep(LOOK_AGAIN);
    }
    assert!(logged.read("shoal.log").starts_with(&first));
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew_on_sighup() {
    let logged = Logged::start(run(&["log.max_bytes=0"]));
    fs::rename(logged.path("shoal.log"), logged.path("old.log")).unwrap();
    logged.process.signal(Signal::SIGHUP);
    logged.wait_for("shoal.log", "SIGHUP: reloaded");
    assert!(!logged.read("old.log").contains("SIGHUP"));
    logged.process.signal(Signal::SIGUSR1);
    logged.wait_for("shoal.log", "total: ");
    assert!(!logged.read("old.log").contains("total: "));
}

#[test]
fn a_file_that_cannot_be_opened_anew_stays_in_use() {
    let logged = Logged::start(run(&[]));
    fs::rename(logged.path("shoal.log"), logged.path("old.log")).unwrap();
    fs::create_dir(logged.path("shoal.log")).unwrap();
    logged.process.signal(Signal::SIGHUP);
    logged.wait_for("old.log", "SIGHUP: reloaded");
    assert!(logged.read("old.log").contains("cannot be opened anew"));
}

#[test]
fn a_log_on_a_full_disk_is_told_once_and_the_tracker_goes_on() {
    let folder = TempDir::new().unwrap();
    symlink("/dev/full", folder.path().join("shoal.log")).unwrap();
    let probe = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = probe.local_addr().unwrap();
    drop(probe);
    let (listen, file) = (
        format!("udp.listen={address}"),
        format!("log.file={}", folder.path().join("shoal.log").display()),
    );
    // So small a file would be turned over all the time.
    let mut command = verbose(&[&file, "log.max_bytes=100"]);
    command.args(["--set", &listen]);
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let connect = in_process::connect_request(1);
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(LOOK_AGAIN)).unwrap();
    let mut answered = 0;
    while answered < 200 {
        assert!(Instant::now() < deadline, "{answered} answers");
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        client.send_to(&connect, address).unwrap();
        answered += u32::from(client.recv(&mut [0; 64]).is_ok());
    }
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, Signal::SIGHUP).unwrap();
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(
        said.contains("is not written: No space left on device"),
        "{said}"
    );
    assert!(said.lines().count() <= 2, "{said}");
}

#[test]
fn a_file_that_cannot_be_opened_is_one_sentence_and_exit_code_1() {
    let (code, said) = run_to_end(run(&["log.file=/proc/no-such-folder/shoal.log"]));
    assert_eq!(code, 1);
    assert!(
        said.starts_with("cannot write to log.file = \"/proc/no-such"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "one sentence: {said}");
}

#[test]
fn a_file_is_given_to_the_user_that_root_becomes() {
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let logged = Logged::start(run(&["workers.user=nobody"]));
    assert_eq!(fs::metadata(logged.path("shoal.log")).unwrap().uid(), 65534);
}
