//! The control server against clients that mean it no good, and at its start and end.

mod api;
mod http;
mod in_process;
mod support;
mod tls;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use api::*;
use http::Browser;
use in_process::PATIENCE;
use nix::sys::signal::Signal;
use support::{TrackerProcess, run_to_end, shoal};

/// Waits until the server closes, and tells how long that took.
fn time_to_close(mut stream: TcpStream) -> Duration {
    stream.set_read_timeout(Some(PATIENCE * 2)).unwrap();
    let started = Instant::now();
    let mut said = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut said);
    started.elapsed()
}

#[test]
fn a_head_that_does_not_end_and_a_client_that_says_nothing_are_parted_with() {
    let api = Api::start();
    let mut slow = TcpStream::connect(api.address()).unwrap();
    slow.write_all(b"GET /api/health_check HTTP/1.1\r\nX: ")
        .unwrap();
    let idle = {
        let mut browser = api.browser();
        browser.get("/api/health_check");
        browser.stream
    };
    for stream in [slow, idle] {
        assert!(time_to_close(stream) < Duration::from_secs(9));
    }
}

#[test]
fn what_waits_for_a_disk_that_hangs_goes_with_those_who_asked_for_it() {
    let api = Api::start();
    let state = api.server.tracker.control().unwrap().clone();
    let disk = Arc::new(RwLock::new(()));
    let begun = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let hangs = disk.write().unwrap();
    runtime.block_on(async {
        for _ in 0..100 {
            let (disk, begun) = (Arc::clone(&disk), Arc::clone(&begun));
            let work = state.on_disk(move |_| {
                begun.fetch_add(1, Ordering::Relaxed);
                drop(disk.read());
            });
            let given_up = tokio::time::timeout(Duration::from_millis(2), work).await;
            assert!(given_up.is_err());
        }
    });
    drop(hangs);
    runtime.block_on(state.on_disk(|_| ()));
    drop(runtime);
    let begun = begun.load(Ordering::Relaxed);
    assert!((1..=4).contains(&begun), "{begun}");
}

#[test]
fn heads_that_are_too_large_or_no_http_are_refused() {
    let api = Api::start();
    let large = format!(
        "GET /api/health_check HTTP/1.1\r\nX: {}\r\n\r\n",
        "x".repeat(300_000)
    );
    let many = format!(
        "GET /api/health_check HTTP/1.1\r\n{}\r\n",
        "X: y\r\n".repeat(500)
    );
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(300_000));
    for bad in [
        large.as_bytes(),
        many.as_bytes(),
        long.as_bytes(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(api.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // It may close before everything is written.
        let _ = stream.write_all(bad);
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    assert_eq!(api.ask("GET", "/api/health_check", "", "").status, 200);
}

#[test]
fn a_body_that_is_too_large_is_refused_whether_it_says_so_or_not() {
    let api = Api::start();
    let target = with_token("/api/v1/keys");
    let mut browser = api.browser();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        (16 << 20) + 1
    );
    browser.send(head.as_bytes());
    assert_eq!(browser.response().status, 413);

    let mut browser = api.browser();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    browser.send(head.as_bytes());
    let piece = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
    for _ in 0..17 {
        // It may answer and close before everything is written.
        if browser.stream.write_all(piece.as_bytes()).is_err() {
            break;
        }
    }
    assert_eq!(browser.response().status, 413);

    // One that is as large as it may be is read, and is no JSON.
    let largest = " ".repeat(16 << 20);
    assert_eq!(api.post_json("/api/v1/keys", &largest).status, 400);
}

#[test]
fn a_stranger_is_turned_away_before_his_body_is_read() {
    let api = Api::start();
    let mut browser = api.browser();
    browser.send(b"POST /api/v1/keys HTTP/1.1\r\nHost: t\r\nContent-Length: 16000000\r\n\r\n");
    assert_eq!(browser.response().status, 500);
}

#[test]
fn the_connection_that_idles_makes_room_for_one_that_asks() {
    let api = Api::start();
    let mut first = api.browser();
    first.get("/api/health_check");
    // All are busy with heads that do not end, or idle: whoever has been so for longest goes.
    let crowd: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(api.address()).unwrap();
            stream.write_all(b"GET ").unwrap();
            stream
        })
        .collect();
    assert_eq!(api.ask("GET", "/api/health_check", "", "").status, 200);
    let counters = || api.server.tracker.control().unwrap().counters.read();
    assert!(counters().evicted >= 40, "{:?}", counters());
    drop(crowd);
}

#[test]
fn many_requests_on_one_connection_are_answered_in_their_order() {
    let api = Api::start();
    let mut browser = api.browser();
    let one = |n: usize| {
        format!("GET /api/health_check HTTP/1.1\r\nHost: t\r\nX-Request-Id: n{n}\r\n\r\n")
    };
    let all: String = (0..100).map(one).collect();
    browser.send(all.as_bytes());
    for n in 0..100 {
        let name = format!("n{n}");
        assert_eq!(
            browser.response().header("x-request-id"),
            Some(name.as_str())
        );
    }
}

#[test]
fn requests_are_counted_by_how_they_are_answered() {
    let api = Api::start();
    api.get("/api/v1/stats");
    api.get("/api/v1/nothing");
    api.ask("GET", "/api/v1/stats", "", "");
    let counters = api.server.tracker.control().unwrap().counters.read();
    assert_eq!(counters.answered, [0, 1, 0, 1, 1]);
    assert_eq!(counters.auth_failures, 1);
}

#[test]
fn any_bytes_at_all_are_answered_or_not_but_never_a_reason_to_end() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let api = Api::start();
    let whole = format!(
        "POST {} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer x\r\nContent-Type: application/json\r\n\
         Content-Length: 33\r\n\r\n{{\"key\":null,\"seconds_valid\":60}}\r\n\r\n",
        with_token("/api/v1/keys?offset=1&info_hash=%ff")
    );
    for _ in 0..300 {
        let mut bytes = whole.clone().into_bytes();
        for _ in 0..rng.usize(1..8) {
            let at = rng.usize(..bytes.len());
            match rng.u8(..3) {
                0 => bytes[at] = rng.u8(..),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"%&=?/ \r\n\0{}\"[,:"[rng.usize(..15)]),
            }
        }
        let mut stream = TcpStream::connect(api.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
    }
    assert_eq!(api.get("/api/v1/stats").status, 200);
}

#[test]
fn with_a_certificate_it_speaks_https_and_nothing_else() {
    let root = tls::Root::new();
    let files = tls::Files::of(&root.issue());
    let api = Api::start_with(|config| config.control.tls = Some(files.names.clone()));
    let client = Arc::new(root.client());
    let mut browser = Browser::secured(api.address(), &client);
    let response = ask(&mut browser, "GET", &with_token("/api/v1/stats"), "", "");
    assert_eq!(response.status, 200);
    let mut plain = TcpStream::connect(api.address()).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    let said = tls::exchange(&mut plain, b"GET / HTTP/1.1\r\n\r\n");
    assert!(!said.starts_with(b"HTTP"));
    // One that is renewed is shown to whoever comes next.
    let renewed = root.issue();
    files.renew(&renewed);
    api.server.tracker.reload_certificates(false);
    let browser = Browser::secured(api.address(), &Arc::new(root.client()));
    assert_eq!(browser.presented(), renewed.certificate.der().to_vec());
}

// ---- as a program ----

const QUIET: [&str; 6] = [
    "--set",
    "udp.listen=127.0.0.1:0",
    "--set",
    "http.listen=",
    "--set",
    "store.path=",
];

/// Where the log says that the control server listens.
fn control_address(tracker: &mut TrackerProcess) -> SocketAddr {
    let line = tracker.wait_for_log("(control)", PATIENCE);
    let (_, rest) = line.split_once("listening on http://").unwrap();
    rest.trim_end_matches(" (control)").parse().unwrap()
}

fn program(settings: &[&str]) -> TrackerProcess {
    let mut command = shoal();
    command.arg("run").args(QUIET);
    for setting in settings {
        command.args(["--set", setting]);
    }
    TrackerProcess::start_command(command, 1)
}

#[test]
fn it_ends_within_a_moment_though_somebody_is_connected() {
    let mut tracker = program(&["control.listen=127.0.0.1:0"]);
    let address = control_address(&mut tracker);
    let mut idle = Browser::of(address);
    idle.get("/api/health_check");
    let _silent = TcpStream::connect(address).unwrap();
    let started = Instant::now();
    tracker.signal(Signal::SIGTERM);
    assert!(tracker.wait().success());
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
    idle.expect_close();
}

#[test]
fn a_port_that_is_taken_is_an_error_only_when_it_was_written_down() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let setting = format!("control.listen={}", taken.local_addr().unwrap());
    let mut command = shoal();
    command.arg("run").args(QUIET).args(["--set", &setting]);
    let (code, said) = run_to_end(command);
    assert_eq!(code, 1);
    assert!(said.contains("cannot listen on tcp://127.0.0.1:"), "{said}");
}

#[test]
fn tokens_are_read_again_and_never_logged() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("shoal.toml");
    let write = |token: &str| {
        std::fs::write(&file, format!("[control.tokens]\nadmin = \"{token}\"\n")).unwrap();
    };
    write("the-first-secret");
    let mut command = shoal();
    command.arg("run").arg("--config").arg(&file).args(QUIET);
    command.args([
        "--set",
        "control.listen=127.0.0.1:0",
        "--set",
        "log.level=trace",
    ]);
    let mut tracker = TrackerProcess::start_command(command, 1);
    let address = control_address(&mut tracker);
    let status = |token: &str| {
        let target = format!("/api/v1/stats?token={token}");
        Browser::of(address).get(&target).status
    };
    assert_eq!(
        (status("the-first-secret"), status("the-second-secret")),
        (200, 500)
    );
    write("the-second-secret");
    tracker.signal(Signal::SIGHUP);
    tracker.wait_for_log("SIGHUP: reloaded", PATIENCE);
    assert_eq!(
        (status("the-first-secret"), status("the-second-secret")),
        (500, 200)
    );
    tracker.signal(Signal::SIGTERM);
    assert!(tracker.wait().success());
    let said = tracker.stderr_so_far();
    assert!(!said.contains("-secret"), "{said}");
}

#[test]
fn a_server_for_other_hosts_without_tls_or_token_is_warned_about() {
    let mut tracker = program(&["control.listen=0.0.0.0:0"]);
    tracker.wait_for_log("without [control] tls", PATIENCE);
    tracker.wait_for_log("no token and no user", PATIENCE);
}
