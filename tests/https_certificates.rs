//! The files of HTTPS: what a bad one leads to at the start, and how good ones are replaced while
//! clients announce.

mod http;
mod in_process;
mod support;
mod tls;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use http::{Browser, announce, http_config};
use in_process::{BACKENDS, PATIENCE, Server};
use nix::sys::signal::Signal;
use rustls::ClientConfig;
use rustls::client::Resumption;
use support::{LOOK_AGAIN, TrackerProcess, run_to_end, shoal_configured};
use tls::{Files, Issued, Root};

const HASH: &str = "certscertscertscerts";

/// Long enough for the look at the files every five seconds on a loaded machine.
const UNTIL_SEEN: Duration = Duration::from_secs(30);

/// Tells the clients to stop, also when the test has failed.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does `work` while clients announce without a pause: over connections that they keep, over new ones
/// that resume, and over new ones that do not. None of them may see an error. `work` is given something that
/// waits until each of them has announced again from beginning to end.
fn under_load(server: SocketAddr, root: &Root, work: impl FnOnce(&dyn Fn())) {
    let resuming = Arc::new(root.client());
    let mut forgetful = root.client();
    forgetful.resumption = Resumption::disabled();
    let forgetful = Arc::new(forgetful);
    let stop = AtomicBool::new(false);
    let rounds = [const { AtomicUsize::new(0) }; 4];
    let rounds_of = |number: usize, port: u16| {
        rounds[number].fetch_add(1, Ordering::Relaxed);
        announce(HASH, port, 10, "")
    };
    thread::scope(|scope| {
        let stop_them = Stop(&stop);
        for number in [0, 1] {
            let (stop, rounds_of, client) = (&stop, &rounds_of, &resuming);
            scope.spawn(move || {
                let mut browser = Browser::secured(server, client);
                let shown = browser.presented();
                while !stop.load(Ordering::Relaxed) {
                    let target = rounds_of(number, 7000 + number as u16);
                    assert_eq!(browser.get(&target).status, 200);
                }
                assert_eq!(browser.presented(), shown);
            });
        }
        for (number, client) in [(2, &resuming), (3, &forgetful)] {
            let (stop, rounds_of) = (&stop, &rounds_of);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let target = rounds_of(number, 7000 + number as u16);
                    assert_eq!(Browser::secured(server, client).get(&target).status, 200);
                }
            });
        }
        work(&|| {
            let before = rounds.each_ref().map(|count| count.load(Ordering::Relaxed));
            let deadline = Instant::now() + PATIENCE;
            // Two more were begun, so one of them was begun now and is done.
            while !(rounds.iter().zip(before))
                .all(|(now, then)| now.load(Ordering::Relaxed) >= then + 2)
            {
                assert!(Instant::now() < deadline, "a client does not get on");
                thread::sleep(LOOK_AGAIN);
            }
        });
        drop(stop_them);
    });
}

/// The certificate that a client sees which has never been here.
fn presented(server: SocketAddr, client: ClientConfig) -> Vec<u8> {
    Browser::secured(server, &Arc::new(client)).presented()
}

fn is_presented(server: SocketAddr, root: &Root, issued: &Issued) -> bool {
    presented(server, root.client()) == issued.certificate.der().as_ref()
}

#[test]
fn no_client_notices_that_certificates_are_replaced_again_and_again() {
    for backend in BACKENDS {
        let root = Root::new();
        let issued: [Issued; 6] = std::array::from_fn(|_| root.issue());
        let files = Files::of(&issued[0]);
        let mut config = http_config(backend);
        config.http = vec![files.listener()];
        config.workers.http_threads = 2;
        let server = Server::start(&config);
        let address = server.http_address();
        under_load(address, &root, |everybody_announces| {
            for pair in issued.windows(2) {
                let [old, new] = pair else { unreachable!() };
                everybody_announces();
                files.rename_over(&files.names.certificate, &new.certificate.pem());
                // The worst moment to look: the key is still the old one.
                server.tracker.reload_certificates(false);
                assert!(is_presented(address, &root, old));
                everybody_announces();
                files.rename_over(&files.names.private_key, &new.key.serialize_pem());
                server.tracker.reload_certificates(false);
                assert!(is_presented(address, &root, new));
                everybody_announces();
            }
        });
    }
}

/// Only HTTPS, on any port.
fn configured(files: &Files) -> String {
    // Four clients of one address announce as fast as they can.
    format!(
        "udp = []\n[workers]\ncount = 1\nhttp_threads = 2\n[flood]\nper_source = 0\nper_network = 0\n{}",
        files.table()
    )
}

#[test]
fn sighup_replaces_certificates_and_no_client_notices() {
    let root = Root::new();
    let issued: [Issued; 5] = std::array::from_fn(|_| root.issue());
    let files = Files::of(&issued[0]);
    let mut tracker = TrackerProcess::start_http(shoal_configured(&configured(&files)));
    let address = tracker.http_address();
    under_load(address, &root, |everybody_announces| {
        for issued in &issued[1..] {
            everybody_announces();
            files.renew(issued);
            tracker.signal(Signal::SIGHUP);
            let deadline = Instant::now() + PATIENCE;
            while !is_presented(address, &root, issued) {
                assert!(Instant::now() < deadline, "the certificate is not replaced");
                thread::sleep(LOOK_AGAIN);
            }
        }
        everybody_announces();
    });
    tracker.signal(Signal::SIGTERM);
    assert!(tracker.wait().success());
    let said = tracker.stderr_so_far();
    assert_eq!(
        said.matches("the certificate was replaced").count(),
        4,
        "{said}"
    );
}

#[test]
fn renewed_files_are_found_without_a_signal_and_broken_ones_change_nothing() {
    let root = Root::new();
    let [old, new] = [root.issue(), root.issue()];
    let files = Files::of(&old);
    let mut tracker = TrackerProcess::start_http(shoal_configured(&configured(&files)));
    let address = tracker.http_address();
    under_load(address, &root, |everybody_announces| {
        files.rename_over(
            &files.names.certificate,
            "-----BEGIN CERTIFICATE-----\nMIIB",
        );
        let complaint = tracker.wait_for_log("the old certificate stays in use", UNTIL_SEEN);
        let name = files.names.certificate.display().to_string();
        assert!(complaint.contains(&name), "{complaint}");
        assert!(is_presented(address, &root, &old));
        everybody_announces();
        files.renew(&new);
        tracker.wait_for_log("the certificate was replaced", UNTIL_SEEN);
        assert!(is_presented(address, &root, &new));
        everybody_announces();
    });
    let said = tracker.stderr_so_far();
    // Between the two renames somebody may have looked, and complained of the pair.
    let complaints = said.matches(" is damaged: ").count();
    assert_eq!(complaints, 1, "{said}");
}

/// What somebody has done to the files.
type Break<'a> = &'a dyn Fn(&Files);

#[test]
fn a_broken_file_at_the_start_is_one_sentence_that_names_it_and_exit_code_1() {
    let root = Root::new();
    let (issued, other) = (root.issue(), root.issue());
    let expired = root.issue_with(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 2));
    let cases: [(Break<'_>, bool, &str); 8] = [
        (
            &|files| fs::remove_file(&files.names.certificate).unwrap(),
            true,
            "does not exist",
        ),
        (
            &|files| fs::remove_file(&files.names.private_key).unwrap(),
            false,
            "does not exist",
        ),
        (
            &|files| fs::write(&files.names.certificate, b"\x30\x82\x01\x02").unwrap(),
            true,
            "holds no certificate",
        ),
        (
            &|files| fs::write(&files.names.private_key, "words").unwrap(),
            false,
            "holds no private key",
        ),
        (
            &|files| {
                let pem = issued.certificate.pem();
                fs::write(&files.names.certificate, &pem[..pem.len() / 2]).unwrap();
            },
            true,
            "it ends before the END line",
        ),
        (
            &|files| files.renew(&expired),
            true,
            "expired on 2020-01-02",
        ),
        (
            &|files| fs::write(&files.names.private_key, other.key.serialize_pem()).unwrap(),
            false,
            "does not belong to the certificate",
        ),
        (
            &|files| {
                fs::remove_file(&files.names.private_key).unwrap();
                fs::create_dir(&files.names.private_key).unwrap();
            },
            false,
            "it is no regular file",
        ),
    ];
    for (break_them, is_certificate, words) in cases {
        let files = Files::of(&issued);
        break_them(&files);
        let (code, said) = run_to_end(shoal_configured(&configured(&files)));
        assert_eq!(code, 1, "{said}");
        assert_eq!(said.lines().count(), 1, "one sentence: {said}");
        assert!(said.contains(words), "{words:?} is missing in: {said}");
        let file = if is_certificate {
            &files.names.certificate
        } else {
            &files.names.private_key
        };
        assert!(said.contains(&file.display().to_string()), "{said}");
    }
}

#[test]
fn a_certificate_that_only_root_can_read_is_served_by_another_user_with_a_warning() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("not root, so there is no user to become");
        return;
    }
    let root = Root::new();
    let issued = root.issue();
    let files = Files::of(&issued);
    fs::set_permissions(&files.names.private_key, fs::Permissions::from_mode(0o600)).unwrap();
    let served_by_nobody = || {
        let mut command = shoal_configured(&configured(&files));
        command.args(["--set", "workers.user=nobody"]);
        let mut tracker = TrackerProcess::start_http(command);
        assert!(is_presented(tracker.http_address(), &root, &issued));
        tracker.stderr_so_far()
    };
    for mode in [0o700, 0o755] {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(files.folder.path(), mode).unwrap();
        let said = served_by_nobody();
        let warning = "a renewed certificate would take a restart";
        assert_eq!(said.matches(warning).count(), 1, "{said}");
        assert!(said.contains("permission denied"), "{said}");
    }
    // Readable by all: nothing to warn of.
    let mode = fs::Permissions::from_mode(0o644);
    fs::set_permissions(&files.names.private_key, mode).unwrap();
    let said = served_by_nobody();
    assert!(!said.contains("WARN"), "{said}");
}
