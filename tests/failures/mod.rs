//! A tracker as a process, what it counts, and what a host must allow for a fault to be made.

mod clocks;
mod cpus;
mod descriptors;
mod disks;
mod files;
mod memory;
mod networks;
mod signals;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::api::{TOKEN, ask, with_token};
use crate::http::{Browser, Response};
use crate::in_process::{Announce, Client, hex, info_hash};
use crate::support::{LOOK_AGAIN, TrackerProcess, shoal, store_in, with_overrides};

const PATIENCE: Duration = Duration::from_secs(60);
const ANY_PORT: &str = "udp.listen=127.0.0.1:0";
const ANY_CONTROL: &str = "control.listen=127.0.0.1:0";

fn token() -> String {
    format!("control.tokens.admin={TOKEN}")
}

/// `shoal run` with these settings and, unless they say otherwise, neither HTTP nor a store.
fn run(settings: &[&str]) -> Command {
    with_settings(shoal(), settings)
}

/// The same below a shell, which does something and then becomes the tracker. `$1` is `place`.
fn run_after(before: &str, unshare: &[&str], place: &Path, settings: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(unshare).args(["sh", "-c"]);
    command.arg(format!(
        "{{ {before}; }} && shift && exec \"$0\" \"$@\" || exit 99"
    ));
    command.arg(shoal().get_program()).arg(place);
    for (name, value) in shoal().get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    with_settings(command, settings)
}

fn with_settings(mut command: Command, settings: &[&str]) -> Command {
    with_overrides(&mut command, settings);
    if !settings.iter().any(|text| text.starts_with("store.path=")) {
        command.args(["--set", "store.path="]);
    }
    command
}

fn start(command: Command) -> TrackerProcess {
    TrackerProcess::start_command(command, 1)
}

/// Where the control server of a tracker is.
fn control_of(tracker: &mut TrackerProcess) -> SocketAddr {
    let line = tracker.wait_for_log(" (control)", PATIENCE);
    let address = line.split("http://").nth(1).unwrap();
    address.split(' ').next().unwrap().parse().unwrap()
}

/// Announces to some torrents and is answered each time.
fn expect_served(address: SocketAddr) {
    let client = Client::of(address);
    expect_served_at(&client, client.connect());
}

fn expect_served_at(client: &Client, id: [u8; 8]) {
    for number in 0..50 {
        let reply = client.announce(id, Announce::leecher(info_hash(number), 1001));
        assert!(reply.leechers >= 1, "{reply:?}");
    }
}

/// Puts a torrent on the allowlist of the store.
fn allow(control: SocketAddr, number: u32) -> Response {
    let path = with_token(&format!("/api/v1/whitelist/{}", hex(number)));
    ask(&mut Browser::of(control), "POST", &path, "", "")
}

/// The sum of all numbers of `/metrics` whose names and labels begin like this.
fn metric(control: SocketAddr, start: &str) -> f64 {
    let page = Browser::of(control).get(&with_token("/metrics"));
    assert_eq!(page.status, 200, "{}", page.text());
    let text = page.text();
    let lines = text.lines().filter(|line| line.starts_with(start));
    let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    lines.map(value).sum()
}

/// Waits until something is so.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never {what}");
        thread::sleep(LOOK_AGAIN);
    }
}

/// Whether `script` does what it should on this host. If not, the test says why it ends here.
fn host_allows(what: &str, unshare: &[&str], script: &str) -> bool {
    let mut command = Command::new("unshare");
    command.args(unshare).args(["sh", "-c", script]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            println!("skipped: this host does not let us {what}: {}", said.trim());
            false
        }
        Err(error) => {
            println!("skipped: this host does not let us {what}: unshare: {error}");
            false
        }
    }
}

/// Runs a command to its good end.
fn do_it(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
