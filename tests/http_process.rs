//! HTTP in a process of its own: how it starts, within which limits, what it says, how it ends, and
//! what people see who ask by hand.

mod http;
mod in_process;
mod support;

use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use http::{Browser, announce};
use nix::sys::signal::Signal;
use support::{TrackerProcess, forbid_io_uring, run_to_end, shoal};

const HASH: &str = "processprocessproces";

/// HTTP alone, on any port, with one core and one thread.
const LITTLE: [&str; 6] = [
    "store.path=",
    "udp.listen=",
    "http.listen=127.0.0.1:0",
    "workers.count=1",
    "workers.http_threads=1",
    "workers.receive_buffer=0",
];

/// `shoal run` with [`LITTLE`] and these overrides.
fn little(overrides: &[&str]) -> Command {
    let mut command = shoal();
    command.arg("run");
    for text in LITTLE.iter().chain(overrides) {
        command.args(["--set", text]);
    }
    command
}

/// The same behind a shell that first sets a limit.
fn limited(limit: &str, overrides: &[&str]) -> Command {
    let inner = little(overrides);
    let mut command = Command::new("/bin/sh");
    command.env_clear().current_dir("/");
    command.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")]);
    command.arg(inner.get_program()).args(inner.get_args());
    command
}

fn expect_service(tracker: &mut TrackerProcess) {
    let mut browser = Browser::of(tracker.http_address());
    for port in [6881, 6882] {
        let reply = browser.get(&announce(HASH, port, 10, "started"));
        assert_eq!(reply.status, 200);
        assert!(reply.text().contains("8:interval"), "{}", reply.text());
    }
}

#[test]
fn without_a_configuration_http_is_served_beside_udp_on_port_6969() {
    // In a network of its own, where that port is free.
    let unshare = ["--net", "--map-root-user"];
    let may = Command::new("unshare").args(unshare).arg("true").status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("this host gives nobody a network of its own");
        return;
    }
    let inner = shoal();
    let mut command = Command::new("unshare");
    command.env_remove("SHOAL_CONFIG").args(unshare);
    command.args(["sh", "-c", "ip link set lo up && exec \"$0\" run"]);
    command.arg(inner.get_program());
    for (name, _) in inner.get_envs() {
        command.env_remove(name);
    }
    let mut tracker = TrackerProcess::start_http(command);
    let said = tracker.stderr_so_far();
    for scheme in ["udp", "http"] {
        let line = format!("listening on {scheme}://0.0.0.0:6969");
        assert_eq!(said.matches(&line).count(), 1, "{said}");
    }
    if TcpListener::bind("[::1]:0").is_ok() {
        for scheme in ["udp", "http"] {
            let line = format!("listening on {scheme}://[::]:6969");
            assert_eq!(said.matches(&line).count(), 1, "{said}");
        }
    }
    let pid = tracker.id().to_string();
    let inside = ["--net", "--user", "--preserve-credentials", "--target"];
    let asked = Command::new("nsenter")
        .args(inside)
        .args([&pid, "curl", "-s", "http://127.0.0.1:6969/health_check"])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&asked.stdout),
        "{\"status\":\"Ok\"}"
    );
}

#[test]
fn a_port_that_another_process_holds_is_one_sentence_with_its_owner() {
    let mut first = TrackerProcess::start_http(little(&[]));
    let listen = format!("http.listen={}", first.http_address());
    let (code, said) = run_to_end(little(&[&listen]));
    assert_eq!(code, 1, "{said}");
    assert_eq!(said.lines().count(), 1, "one sentence: {said}");
    let owner = format!("shoal (pid {})", first.id());
    assert!(said.contains(&owner), "{said}");
    expect_service(&mut first);

    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let (code, said) = run_to_end(little(&[&format!("http.listen={address}")]));
    assert_eq!(code, 1, "{said}");
    assert_eq!(said.lines().count(), 1, "one sentence: {said}");
    for part in [
        format!("(pid {})", std::process::id()),
        format!("tcp://{address}"),
    ] {
        assert!(said.contains(&part), "{part:?} is missing in: {said}");
    }
}

#[test]
fn an_http_listener_that_another_one_covers_is_named_and_not_our_own_pid() {
    let port = {
        let free = TcpListener::bind("0.0.0.0:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let listen = format!("http.listen=0.0.0.0:{port},127.0.0.1:{port}");
    let (code, said) = run_to_end(little(&[&listen]));
    assert_eq!(code, 1);
    assert_eq!(said.lines().count(), 1, "one sentence: {said}");
    let sentence = format!(
        "cannot listen on http://127.0.0.1:{port}: the [[http]] listener on 0.0.0.0:{port} already \
         covers it; remove one"
    );
    assert!(said.contains(&sentence), "{said}");
}

#[test]
fn nothing_to_listen_on_is_refused() {
    let (code, said) = run_to_end(little(&["http.listen="]));
    assert_eq!(code, 1);
    assert!(said.contains("there is nothing to listen on"), "{said}");
    assert_eq!(said.lines().count(), 1, "one sentence: {said}");
}

#[test]
fn http_works_without_udp_and_beside_both_backends() {
    for backend in ["io_uring", "mmsg"] {
        let backend = format!("workers.backend={backend}");
        let mut tracker = TrackerProcess::start_http(little(&[&backend]));
        expect_service(&mut tracker);
        let said = tracker.stderr_so_far();
        assert!(said.contains("HTTP runs on 1 thread, for up to "), "{said}");
        assert!(!said.contains("udp://"), "{said}");
    }
}

#[test]
fn where_io_uring_is_forbidden_http_does_not_notice() {
    let mut command = little(&["workers.count=2", "workers.http_threads=3"]);
    forbid_io_uring(&mut command);
    let mut tracker = TrackerProcess::start_http(command);
    expect_service(&mut tracker);
    let said = tracker.stderr_so_far();
    assert!(
        said.contains("HTTP runs on 3 threads, for up to "),
        "{said}"
    );
    assert_eq!(said.matches("falling back").count(), 1, "{said}");
}

#[test]
fn where_io_uring_is_forbidden_asking_for_it_ends_http_with_one_sentence() {
    let mut command = little(&["workers.backend=io_uring"]);
    forbid_io_uring(&mut command);
    let (code, said) = run_to_end(command);
    assert_eq!(code, 1);
    assert_eq!(said.lines().count(), 1, "one sentence: {said}");
}

#[test]
fn http_needs_no_locked_memory() {
    // The limit does not count for root.
    let user = if nix::unistd::Uid::effective().is_root() {
        "workers.user=nobody"
    } else {
        "workers.user="
    };
    let threads = ["workers.backend=mmsg", "workers.http_threads=2", user];
    let mut tracker = TrackerProcess::start_http(limited("-l 0", &threads));
    expect_service(&mut tracker);
}

/// How many connections the start promises.
fn room(tracker: &mut TrackerProcess) -> usize {
    let line = tracker.wait_for_log("HTTP runs on", Duration::ZERO);
    let (_, room) = line.split_once("for up to ").unwrap();
    room.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn few_open_files_mean_fewer_connections_and_the_start_says_so() {
    for backend in ["workers.backend=io_uring", "workers.backend=mmsg"] {
        let mut tracker = TrackerProcess::start_http(limited("-n 256", &[backend]));
        let line = tracker.wait_for_log("HTTP runs on", Duration::ZERO);
        assert!(line.contains("connections.max is 65536"), "{line}");
        assert!(line.contains("ulimit -n"), "{line}");
        let room = room(&mut tracker);
        assert!((64..256).contains(&room), "{line}");
        // More than there is room for: whoever has been idle for longest goes.
        let address = tracker.http_address();
        let mut browsers = Vec::new();
        for port in 1..300 {
            let mut browser = Browser::of(address);
            let reply = browser.get(&announce(HASH, port, 10, "started"));
            assert_eq!(reply.status, 200);
            browsers.push(browser);
        }
        browsers[0].expect_close();
        let last = browsers.last_mut().unwrap();
        assert_eq!(last.get("/health_check").status, 200);
        tracker.signal(Signal::SIGUSR1);
        let report = tracker.wait_for_log("total: ", Duration::from_secs(10));
        assert!(!report.contains("accept_failed"), "{report}");
        assert!(report.contains("connections_evicted"), "{report}");
    }
}

#[test]
fn the_files_of_many_threads_are_not_promised_to_connections() {
    for backend in ["workers.backend=io_uring", "workers.backend=mmsg"] {
        let many = [
            backend,
            "workers.count=16",
            "workers.http_threads=16",
            "workers.pin=false",
            "udp.listen=127.0.0.1:0,127.0.0.1:0",
            "http.listen=127.0.0.1:0,127.0.0.1:0",
        ];
        let mut tracker = TrackerProcess::start_http(limited("-n 512", &many));
        let room = room(&mut tracker);
        let files = format!("/proc/{}/fd", tracker.id());
        let open = std::fs::read_dir(files).unwrap().count();
        assert!(room + open <= 512, "{room} connections beside {open} files");
        assert!(room >= 128, "{room}");
    }
}

#[test]
fn a_stop_does_not_wait_for_connections_that_are_kept() {
    for backend in ["workers.backend=io_uring", "workers.backend=mmsg"] {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let mut tracker = TrackerProcess::start_http(little(&[backend]));
            let address = tracker.http_address();
            let mut browsers: Vec<Browser> = (0..50).map(|_| Browser::of(address)).collect();
            for browser in &mut browsers[..40] {
                browser.get(&announce(HASH, 6881, 10, "started"));
            }
            for browser in &mut browsers[40..45] {
                browser.send(b"GET /announce?info_hash=");
            }
            let asked = Instant::now();
            tracker.signal(signal);
            assert!(tracker.wait().success());
            assert!(
                asked.elapsed() < Duration::from_secs(2),
                "{:?}",
                asked.elapsed()
            );
            // The other five said nothing, so that the kernel kept them to itself.
            for browser in &mut browsers[..45] {
                browser.expect_close();
            }
            assert!(tracker.stderr_so_far().ends_with("stopped"));
        }
    }
}

#[test]
fn http_is_served_again_on_its_port_the_moment_it_was_stopped_or_killed() {
    for backend in ["workers.backend=io_uring", "workers.backend=mmsg"] {
        let mut tracker = TrackerProcess::start_http(little(&[backend]));
        let listen = format!("http.listen={}", tracker.http_address());
        for signal in [Signal::SIGTERM, Signal::SIGKILL].repeat(2) {
            let mut browser = Browser::of(tracker.http_address());
            browser.get(&announce(HASH, 6881, 10, "started"));
            tracker.signal(signal);
            tracker.wait();
            tracker = TrackerProcess::start_http(little(&[backend, &listen]));
        }
    }
}

/// What curl prints of the body and of everything else.
fn curl(arguments: &[&str]) -> (Vec<u8>, String) {
    let asked = Command::new("curl").args(arguments).output();
    let Output {
        status,
        stdout,
        stderr,
    } = asked.unwrap_or_else(|error| panic!("curl: {error}; scripts/test.sh installs it"));
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    assert!(status.success(), "curl {arguments:?}: {status}\n{stderr}");
    (stdout, stderr)
}

#[test]
fn curl_sees_what_a_client_sees() {
    for backend in ["workers.backend=io_uring", "workers.backend=mmsg"] {
        let mut tracker = TrackerProcess::start_http(little(&[backend]));
        let base = format!("http://{}", tracker.http_address());
        let url = |target: &str| format!("{base}{target}");
        let target = announce(HASH, 6881, 0, "started");

        let (body, said) = curl(&["-sv", &url(&target), &url("/health_check")]);
        let body = String::from_utf8(body).unwrap();
        assert!(body.starts_with("d8:completei1e"), "{body}");
        assert!(body.ends_with("e{\"status\":\"Ok\"}"), "{body}");
        assert!(said.contains("< HTTP/1.1 200 OK"), "{said}");
        assert!(said.contains("Re-using existing connection"), "{said}");

        let (body, said) = curl(&["-sv", "--http1.0", &url(&target)]);
        assert!(body.starts_with(b"d8:completei1e"));
        assert!(said.contains("< Connection: close"), "{said}");

        let hashes: Vec<String> = (0..74)
            .map(|number| format!("info_hash={number:020}"))
            .collect();
        let target = format!("/scrape?{}", hashes.join("&"));
        let (plain, said) = curl(&["-sv", &url(&target)]);
        assert!(!said.contains("Content-Encoding"), "{said}");
        let (unpacked, said) = curl(&["-sv", "--compressed", &url(&target)]);
        assert!(said.contains("< Content-Encoding: "), "{said}");
        assert_eq!(unpacked, plain);
        assert!(plain.starts_with(b"d5:filesd20:"));

        for (target, len) in [("/health_check", Some(15)), ("/announce?info_hash=x", None)] {
            let (head, _) = curl(&["-s", "-I", &url(target)]);
            let head = String::from_utf8(head).unwrap();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            let line = len.map(|len| format!("Content-Length: {len}\r\n"));
            assert!(line.is_none_or(|line| head.contains(&line)), "{head}");
        }
        let (body, _) = curl(&["-s", "-w", " %{http_code}", &url("/nowhere")]);
        assert_eq!(String::from_utf8(body).unwrap(), "Not Found\n 404");
        let posted = ["-s", "-w", " %{http_code}", "-d", "x=y"];
        let (body, _) = curl(&[&posted[..], &[&url("/announce")]].concat());
        assert_eq!(String::from_utf8(body).unwrap(), "only GET and HEAD\n 405");
    }
}
