//! No descriptors are left.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{
    ANY_CONTROL, ANY_PORT, allow, control_of, expect_served, hex, metric, run_after, start,
    store_in, token,
};
use crate::http::Browser;
use crate::support::TrackerProcess;

/// Descriptors that the tracker may have: it starts with a few dozen.
const FILES: usize = 120;

fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// A connection that has begun to ask: one that says nothing may not be looked at.
fn begin(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let _ = stream.write_all(b"GET /");
    stream
}

/// Lets connections begin until nearly all descriptors are taken, as somebody is let go for each that finds
/// none, and some more at each listener.
fn fill(crowd: &mut Vec<TcpStream>, pid: u32, listeners: &[SocketAddr]) {
    super::until("nearly all descriptors are taken", || {
        for _ in 0..10 {
            crowd.extend(listeners.iter().map(|listener| begin(*listener)));
        }
        open_files(pid) >= FILES - 4
    });
}

#[test]
fn without_descriptors_udp_goes_on_lists_stay_and_it_is_over_when_there_are_some() {
    for backend in ["io_uring", "mmsg"] {
        let folder = TempDir::new().unwrap();
        let list = folder.path().join("allowed");
        let listed: String = (0..100).map(|n| hex(n) + "\n").collect();
        fs::write(&list, listed).unwrap();
        let command = run_after(
            &format!("ulimit -n {FILES}"),
            &["--"],
            folder.path(),
            &[
                ANY_PORT,
                ANY_CONTROL,
                "http.listen=127.0.0.1:0",
                "workers.count=1",
                &format!("workers.backend={backend}"),
                "connections.max=1000",
                "access.mode=listed",
                &format!("access.allowlist={}", list.display()),
                &store_in(folder.path()),
                &token(),
            ],
        );
        let mut tracker = start(command);
        let control = control_of(&mut tracker);
        let (address, http) = (tracker.address(), tracker.http_address());
        assert_eq!(allow(control, 5000).status, 200);

        let mut crowd = Vec::new();
        // Who has not finished a head is let go after some seconds, so others must come.
        super::until("a connection that cannot be accepted", || {
            fill(&mut crowd, tracker.id(), &[control, http]);
            let said = tracker.stderr_so_far();
            said.contains("the control server cannot accept a connection")
        });
        expect_served(address);
        super::until("a list that cannot be opened", || {
            let reloads = |tracker: &mut TrackerProcess| {
                tracker.stderr_so_far().matches("SIGHUP: reloaded").count()
            };
            let before = reloads(&mut tracker);
            fill(&mut crowd, tracker.id(), &[control, http]);
            tracker.signal(Signal::SIGHUP);
            super::until("reloaded", || reloads(&mut tracker) > before);
            tracker.stderr_so_far().contains("access.allowlist: ")
        });
        expect_served(address);

        drop(crowd);
        super::until("room again", || open_files(tracker.id()) < FILES / 2);
        let unaccepted = "shoal_control_connections_lost_total{reason=\"accept_failed\"}";
        assert!(metric(control, unaccepted) > 0.0);
        assert_eq!(Browser::of(http).get("/health_check").status, 200);
        assert_eq!(allow(control, 5001).status, 200);
        tracker.signal(Signal::SIGHUP);
        expect_served(address);
        tracker.stop();
    }
}
