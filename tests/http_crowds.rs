//! Very many connections, and very long requests: the tracker is as small behind them as before. It is
//! a process of its own here, so that its memory and its files can be told from ours.

mod http;
mod in_process;
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use http::{Browser, announce};
use in_process::PATIENCE;
use nix::sys::signal::Signal;
use socket2::SockRef;
use support::{LOOK_AGAIN, TrackerProcess};

const HASH: &str = "aaaaaaaaaaaaaaaaaaaa";

/// Kilobytes of memory that a process has, and its open files.
fn size(pid: u32) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let words = line.expect("a running process has memory");
    let kilobytes = words.split_whitespace().nth(1).unwrap().parse().unwrap();
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    (kilobytes, files)
}

/// A tracker in a process of its own, so that its memory and its files can be told from ours. Its
/// port is below those that the kernel hands out.
fn process(backend: &str, number: u16) -> (TrackerProcess, SocketAddr) {
    let port = 10_000 + (std::process::id() % 1_000) as u16 * 10 + number;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let backend = format!("workers.backend={backend}");
    let http = format!("http.listen={address}");
    let overrides = ["udp.listen=127.0.0.1:0", &http, &backend, "workers.count=2"];
    (TrackerProcess::start(&overrides), address)
}

/// Lets every thread serve some connections, so that it has opened all that it opens; says how many
/// files that are, without the connections.
fn warm_up(pid: u32, address: SocketAddr) -> usize {
    let mut browsers = [(); 64].map(|()| Browser::of(address));
    browsers.iter_mut().for_each(Browser::expect_open);
    let (_, files) = size(pid);
    files - browsers.len()
}

/// The memory that a process has once it has no more than so many files open.
fn settled(pid: u32, files: usize) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (kilobytes, open) = size(pid);
        if open <= files {
            return kilobytes;
        }
        assert!(
            Instant::now() < deadline,
            "{open} files are open, {files} were"
        );
        std::thread::sleep(LOOK_AGAIN);
    }
}

#[test]
fn a_head_of_a_megabyte_is_refused_and_not_kept() {
    for backend in ["io_uring", "mmsg"] {
        let (tracker, address) = process(backend, 1);
        let files = warm_up(tracker.id(), address);
        let before = settled(tracker.id(), files);
        let start = b"GET /announce?info_hash=";
        let megabyte = vec![b'a'; 1 << 20];
        for _ in 0..50 {
            let mut browser = Browser::of(address);
            browser.send(start);
            // The tracker need not read all of it.
            let _ = browser.stream.write_all(&megabyte);
            let _ = browser.stream.shutdown(Shutdown::Write);
            assert_eq!(browser.response().status, 431);
            browser.expect_close();
        }
        let after = settled(tracker.id(), files);
        println!("{backend}: {before} kB became {after} kB");
        assert!(after < before + 4096, "{before} kB became {after} kB");
    }
}

/// What one of very many clients does before it goes.
fn pass_by(address: SocketAddr, manner: usize) {
    let mut stream = TcpStream::connect(address).unwrap();
    if manner % 2 == 1 {
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
    let announce = announce(HASH, 1, 0, "");
    let whole = format!("GET {announce} HTTP/1.1\r\nHost: t\r\n\r\n");
    // Whoever is gone already cannot be written to, which is no wonder.
    let _ = match manner / 2 {
        0 => Ok(()),
        1 => stream.write_all(whole.as_bytes()),
        2 => stream.write_all(&whole.as_bytes()[..40]),
        3 => stream.write_all(b"\x16\x03\x01"),
        _ => {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(whole.as_bytes()).unwrap();
            stream.read(&mut [0; 1024]).map(|len| assert!(len > 0))
        }
    };
}

#[test]
fn a_hundred_thousand_connections_leave_nothing_behind() {
    const EACH: usize = 50_000;
    for backend in ["io_uring", "mmsg"] {
        let (mut tracker, address) = process(backend, 2);
        let visit = |connections: usize| {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..connections / 4).for_each(|n| pass_by(address, n % 10)));
                }
            });
        };
        // Whatever a warm tracker keeps, it has now.
        let files = warm_up(tracker.id(), address);
        visit(2000);
        let before = settled(tracker.id(), files);
        visit(EACH);
        let after = settled(tracker.id(), files);
        assert!(after < before + 8192, "{before} kB became {after} kB");
        Browser::of(address).expect_open();
        tracker.signal(Signal::SIGUSR1);
        let said = tracker.wait_for_log("total: ", PATIENCE);
        assert!(said.contains("received_http_connect_ip4"), "{said}");
        assert!(!said.contains("connections_refused"), "{said}");
        assert!(!said.contains("accept_failed"), "{said}");
    }
}
