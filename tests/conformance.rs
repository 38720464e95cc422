//! `shoal query --conformance`: what it says of Shoal and of other trackers.

mod fakes;
mod in_process;

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fakes::{ask, assert_not_passed, impatient, shoal};
use in_process::{PATIENCE, Server, config, http_listener};
use shoal::counters::Tally;
use shoal::query::conformance::{self, Options, Report, Verdict};
use shoal::query::failure::Deadline;
use shoal::query::hash;
use shoal::query::target::Target;
use shoal::query::wire::http::Connection;

/// Hash A of the test vectors, which holds every byte that could be misread.
const AWKWARD_HASH: &str = "00017f80ff2025262b2d2e3d3f415f617a7e0a0d";

fn options() -> Options {
    Options {
        timeout: PATIENCE,
        head_timeout: PATIENCE,
        ..Options::default()
    }
}

#[track_caller]
fn assert_verdicts(report: &Report, differs: &[&str], fail: &[&str], skipped: &[&str]) {
    let shown = report.table(false, false);
    assert_eq!(report.ids(Verdict::Fail), fail, "{shown}");
    assert_eq!(report.ids(Verdict::Differs), differs, "{shown}");
    assert_eq!(report.ids(Verdict::Skipped), skipped, "{shown}");
}

#[test]
fn shoal_passes_every_check_over_udp_from_either_family() {
    let server = shoal();
    let addresses = server.tracker.addresses().to_vec();
    let report = ask("udp", &addresses, &options());
    assert_verdicts(&report, &[], &[], &["udp.id.stale"]);
    assert!(report.sent <= 200, "{} datagrams", report.sent);
    let reversed: Vec<SocketAddr> = addresses.into_iter().rev().collect();
    let report = ask("udp", &reversed, &options());
    assert_verdicts(&report, &[], &[], &["udp.id.other_address", "udp.id.stale"]);
}

#[test]
fn shoal_passes_every_check_over_http_from_either_family() {
    let server = shoal();
    let mut addresses = server.tracker.http_addresses().to_vec();
    for _ in 0..2 {
        let report = ask("http", &addresses, &options());
        let optional = ["http.body.external_ip", "http.malformed.retry_in"];
        assert_verdicts(&report, &[], &[], &optional);
        assert!(report.sent <= 120, "{} requests", report.sent);
        addresses.reverse();
    }
}

#[test]
fn an_address_that_is_told_is_looked_at() {
    let mut config = config();
    config.http = vec![http_listener("127.0.0.1:0")];
    config.announce.tell_external_ip = true;
    let server = Server::start(&config);
    let report = ask("http", &[server.http_address()], &impatient());
    let found = report.finding("http.body.external_ip").unwrap();
    assert_eq!(
        (found.verdict, found.came_back.as_str()),
        (Verdict::Pass, "127.0.0.1")
    );
}

#[test]
fn an_id_that_is_forgotten_in_time_passes_and_one_that_is_not_differs() {
    for (age_s, verdict) in [(0, Verdict::Differs), (2000, Verdict::Pass)] {
        let server = Server::start(&config());
        let target: Target = format!("udp://{}", server.address()).parse().unwrap();
        let options = Options {
            stale_after: Some(Duration::ZERO),
            ..options()
        };
        let clock = server.clock.clone();
        let report = conformance::run(&target, &[server.address()], &options, &mut |id| {
            if id == "udp.id.stale" {
                clock.advance(age_s);
            }
        });
        let report = report.unwrap();
        assert_eq!(report.finding("udp.id.stale").unwrap().verdict, verdict);
        assert!(report.is_good(), "{}", report.table(false, false));
    }
}

#[test]
fn nobody_is_left_behind_in_the_tracker() {
    let server = shoal();
    for (scheme, addresses) in [
        ("udp", server.tracker.addresses()),
        ("http", server.tracker.http_addresses()),
    ] {
        let report = ask(scheme, addresses, &impatient());
        assert!(report.is_good(), "{}", report.table(false, false));
    }
    server.wait_until("empty", |totals| {
        use Tally::{LeechersV4, LeechersV6, SeedersV4, SeedersV6};
        [LeechersV4, LeechersV6, SeedersV4, SeedersV6]
            .iter()
            .all(|tally| totals.tally(*tally) == 0)
    });
}

/// A tracker of others that is killed, by its own handle, when its owner goes.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Other {
    /// Starts the command and waits until it listens.
    fn start(command: &mut Command, address: SocketAddr) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("{command:?} cannot be started ({error}); scripts/test.sh installs what the tests need")
        });
        let other = Self(child);
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "{command:?} never listens");
            thread::sleep(Duration::from_millis(20));
        }
        other
    }
}

/// A port that nobody has, over UDP and TCP.
fn free_address() -> SocketAddr {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    tcp.local_addr().unwrap()
}

/// Debian's opentracker, which serves the torrents of a list: hash A.
fn opentracker(folder: &Path) -> (Other, SocketAddr) {
    let address = free_address();
    // Started as root it locks itself into its folder and becomes nobody.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.join("hashes"), format!("{AWKWARD_HASH}\n")).unwrap();
    let port = address.port().to_string();
    let mut command = Command::new("opentracker");
    command
        .current_dir(folder)
        .args([
            "-i",
            "127.0.0.1",
            "-p",
            &port,
            "-P",
            &port,
            "-u",
            "nobody",
            "-w",
            "hashes",
            "-d",
        ])
        .arg(folder);
    let running = Other::start(&mut command, address);
    // It listens before it has read the list.
    let target: Target = format!("http://{address}/announce").parse().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !serves_awkward_hash(&target, address) {
        assert!(
            Instant::now() < deadline,
            "opentracker never serves the torrent"
        );
        thread::sleep(Duration::from_millis(20));
    }
    (running, address)
}

/// Whether an announce gets no failure. Whoever announces leaves at once: only a goodbye would be
/// taken whether the torrent is served or not.
fn serves_awkward_hash(target: &Target, address: SocketAddr) -> bool {
    let announce = |event: &str| {
        let deadline = Deadline::after(PATIENCE);
        let mut connection = Connection::open(address, None, deadline).unwrap();
        let query = format!(
            "info_hash=%00%01%7f%80%ff%20%25%26%2b-.%3d%3fA_az~%0a%0d&peer_id=-SH0100-abcdefghijkl\
             &port=6881&uploaded=0&downloaded=0&left=0&event={event}&compact=1"
        );
        let goal = target.path_and_query_with(&query);
        let request = format!("GET {goal} HTTP/1.1\r\nHost: t\r\n\r\n");
        connection.send(request.as_bytes(), deadline).unwrap();
        let response = connection.response(deadline).unwrap();
        response.status == 200 && !response.body.starts_with(b"d14:failure reason")
    };
    announce("started") && announce("stopped")
}

#[test]
fn opentracker_shows_its_differences_over_udp() {
    let folder = tempfile::tempdir().unwrap();
    let (_running, address) = opentracker(folder.path());
    let options = Options {
        info_hash: hash::read(AWKWARD_HASH).unwrap().pop(),
        ..options()
    };
    let report = ask("udp", &[address], &options);
    assert_verdicts(
        &report,
        &[
            "udp.swarm.self",
            "udp.swarm.completed_from_nowhere",
            "udp.scrape.none",
            "udp.scrape.cap",
            "udp.error.text",
        ],
        &[
            "udp.id.other_address",
            "udp.id.forged",
            "udp.id.forged_scrape",
            "udp.id.magic",
            "udp.port.zero",
            "udp.scrape.tail",
            "udp.newtrackon.up",
        ],
        &[
            "udp.id.stale",
            "udp.newtrackon.sane",
            "udp.families.id",
            "udp.families.stride",
        ],
    );
    let came_back = |id| &report.finding(id).unwrap().came_back;
    assert_eq!(came_back("udp.scrape.cap"), "75 rows");
    assert!(
        came_back("udp.error.text").ends_with("\\u{0}\""),
        "{}",
        came_back("udp.error.text")
    );
}

#[test]
fn a_tracker_that_refuses_our_torrent_is_asked_only_what_needs_none() {
    let folder = tempfile::tempdir().unwrap();
    let (_running, address) = opentracker(folder.path());
    let report = ask("udp", &[address], &options());
    let meeting = report.finding("udp.swarm.meet").unwrap();
    assert_eq!(meeting.verdict, Verdict::Skipped);
    assert_eq!(
        meeting.came_back,
        "our torrent is not served (8 bytes with action 1); name one that is with --hash"
    );
    assert_eq!(
        report.finding("udp.connect.length").unwrap().verdict,
        Verdict::Pass
    );
    let report = ask("http", &[address], &impatient());
    assert_eq!(
        report.finding("http.announce.answers").unwrap().verdict,
        Verdict::Differs
    );
    assert_eq!(
        report.finding("http.swarm.meet").unwrap().verdict,
        Verdict::Skipped
    );
    assert_eq!(
        report.finding("http.path.unknown").unwrap().verdict,
        Verdict::Pass
    );
}

/// Opentracker knows neither keep-alive nor dictionaries, and says 400 to what it cannot read.
#[test]
fn opentracker_shows_its_differences_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let (_running, address) = opentracker(folder.path());
    let options = Options {
        info_hash: hash::read(AWKWARD_HASH).unwrap().pop(),
        timeout: PATIENCE,
        ..impatient()
    };
    let report = ask("http", &[address], &options);
    assert_not_passed(
        &report,
        &[
            ("http.compact.zero", Verdict::Differs),
            ("http.swarm.self", Verdict::Differs),
            ("http.swarm.completed_from_nowhere", Verdict::Differs),
            ("http.scrape.unknown", Verdict::Differs),
            ("http.scrape.sorted", Verdict::Fail),
            ("http.scrape.full", Verdict::Differs),
            ("http.malformed.hash_short", Verdict::Differs),
            ("http.malformed.port_zero", Verdict::Fail),
            ("http.connection.keep_alive", Verdict::Differs),
            ("http.connection.pipelining", Verdict::Differs),
            ("http.method.head", Verdict::Differs),
            ("http.hostile.garbage", Verdict::Differs),
        ],
    );
    for passed in [
        "http.encoding.plus",
        "http.numwant.zero",
        "http.connection.close",
        "http.body.sorted",
    ] {
        assert_eq!(
            report.finding(passed).unwrap().verdict,
            Verdict::Pass,
            "{passed}"
        );
    }
}

/// A program that scripts/bench-http.sh builds, or that is installed.
fn found(name: &str) -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([built]);
    folders
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

#[test]
fn aquatic_shows_its_differences_over_http() {
    let Some(program) = found("aquatic_http") else {
        println!("skipped: there is no aquatic_http");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let file = folder.path().join("aquatic.toml");
    fs::write(&file, format!("[network]\naddress = \"{address}\"\n")).unwrap();
    let _running = Other::start(Command::new(program).arg("-c").arg(&file), address);
    let report = ask("http", &[address], &impatient());
    assert_not_passed(
        &report,
        &[
            ("http.event.paused", Verdict::Fail),
            ("http.event.blank", Verdict::Fail),
            ("http.compact.zero", Verdict::Fail),
            ("http.left.missing", Verdict::Differs),
            ("http.numwant.zero", Verdict::Differs),
            ("http.body.trailing", Verdict::Fail),
            ("http.query.no_value", Verdict::Differs),
            ("http.swarm.counts", Verdict::Differs),
            ("http.swarm.completed_once", Verdict::Differs),
            ("http.malformed.port_zero", Verdict::Fail),
            ("http.malformed.hash_short", Verdict::Differs),
        ],
    );
}

#[test]
fn aquatic_shows_its_differences_over_udp() {
    let Some(program) = found("aquatic_udp") else {
        println!("skipped: there is no aquatic_udp");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let file = folder.path().join("aquatic.toml");
    let text = format!("[network]\naddress_ipv4 = \"{address}\"\nuse_ipv6 = false\n");
    fs::write(&file, text).unwrap();
    let child = Command::new(program).arg("-c").arg(&file).spawn().unwrap();
    let _running = Other(child);
    let report = ask("udp", &[address], &options());
    assert_not_passed(
        &report,
        &[
            ("udp.numwant.zero", Verdict::Differs),
            ("udp.swarm.counts", Verdict::Differs),
            ("udp.scrape.cap", Verdict::Differs),
        ],
    );
    assert_eq!(
        report.finding("udp.id.forged").unwrap().verdict,
        Verdict::Pass
    );
}
