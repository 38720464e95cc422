//! Whatever a tracker writes about itself, it keeps its secrets, and those of its users.

mod api;
mod http;
mod in_process;
mod logged_in;
mod support;
mod tls;

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use api::{ask, json};
use http::{Browser, announce};
use logged_in::{LoggedIn, PASSWORD, USER, hash, log_in};
use nix::sys::signal::Signal;
use support::{TrackerProcess, shoal};
use tempfile::TempDir;
use tls::{Files, Root};

const PATIENCE: Duration = Duration::from_secs(20);
const TOKEN: &str = "a-token-of-the-admin-0815";
const WRONG_TOKEN: &str = "a-token-of-nobody-4711";
const SWEEP: &str = "a-key-to-sweep-1234";
const WRONG_PASSWORD: &str = "horse-battery-staple";

#[test]
fn no_secret_is_in_a_log_of_all_details() {
    let folder = TempDir::new().unwrap();
    let (root, file) = (Root::new(), folder.path().join("shoal.toml"));
    let issued = root.issue();
    let files = Files::of(&issued);
    let password = hash(PASSWORD, 8);
    let text = format!(
        "udp = [{{ listen = \"127.0.0.1:0\" }}]\n\
         access.mode = \"private\"\nswarm.peer_details = true\nlog.level = \"debug\"\n\
         log.full_addresses = true\nstore.path = \"{}\"\nworkers.count = 1\n\
         [control]\nlisten = \"127.0.0.1:0\"\nrun_gc_key = \"{SWEEP}\"\n\
         tokens.admin = \"{TOKEN}\"\nusers.{USER} = '{}'\n\
         [[http]]\nlisten = \"127.0.0.1:0\"\n{}",
        folder.path().join("data").display(),
        password.expose(),
        files.table(),
    );
    fs::write(&file, text).unwrap();
    let mut command = shoal();
    command.env_remove("SHOAL_CONTROL__LISTEN");
    command.args(["run", "--verbose", "--config"]).arg(&file);
    let mut tracker = TrackerProcess::start_command(command, 1);
    let line = tracker.wait_for_log("(control)", PATIENCE);
    let control = line.split("http://").nth(1).unwrap();
    let control: SocketAddr = control.trim_end_matches(" (control)").parse().unwrap();
    let plain = tracker.http_address();

    // The API, in both ways and wrongly.
    let mut statuses = Vec::new();
    for token in [TOKEN, WRONG_TOKEN] {
        let target = format!("/api/v1/stats?token={token}");
        statuses.push(ask(&mut Browser::of(control), "GET", &target, "", "").status);
        let bearer = format!("Authorization: Bearer {token}\r\n");
        let response = ask(
            &mut Browser::of(control),
            "GET",
            "/api/v1/stats",
            &bearer,
            "",
        );
        statuses.push(response.status);
    }
    assert_eq!(statuses, [200, 200, 500, 500]);
    // The pages.
    assert_ne!(
        log_in(control, USER, WRONG_PASSWORD, "/admin", "").status,
        303
    );
    let user = LoggedIn::at(control);
    let csrf = user.csrf();
    // A key, and who announces with it, over HTTP and HTTPS.
    let made = format!("/api/v1/key/3600?token={TOKEN}");
    let made = json(&ask(&mut Browser::of(control), "POST", &made, "", ""));
    let key = made["key"].as_str().unwrap().to_owned();
    let target = format!(
        "/{key}{}",
        announce("secretsecretsecretse", 7000, 1, "started")
    );
    assert_eq!(Browser::of(plain).get(&target).status, 200);
    let sweep = format!(
        "{}&{SWEEP}=1",
        announce("secretsecretsecretse", 7001, 1, "")
    );
    Browser::of(plain).get(&sweep);
    // A reload, and one with a mistake beside the secrets.
    tracker.signal(Signal::SIGHUP);
    tracker.wait_for_log("SIGHUP: reloaded", PATIENCE);
    let wrong = fs::read_to_string(&file).unwrap().replace(TOKEN, "short");
    let wrong = wrong.replace(&format!("\"{SWEEP}\""), &format!("[\"{SWEEP}\"]"));
    fs::write(&file, wrong).unwrap();
    tracker.signal(Signal::SIGHUP);
    tracker.wait_for_log("the configuration stays as it was", PATIENCE);
    tracker.signal(Signal::SIGUSR1);
    tracker.wait_for_log("total: ", PATIENCE);
    tracker.signal(Signal::SIGTERM);
    assert!(tracker.wait().success());

    let log = tracker.stderr_so_far();
    assert!(log.contains("DEBUG"), "{log}");
    let cookie = user.cookie.split_once('=').unwrap().1;
    let pem = issued.key.serialize_pem();
    let mut secrets = vec![TOKEN, WRONG_TOKEN, SWEEP, PASSWORD, WRONG_PASSWORD];
    secrets.extend([password.expose(), cookie, &csrf, &key]);
    secrets.extend(pem.lines().filter(|line| !line.starts_with("---")));
    // All lines of the private key among them.
    println!("{} secrets, {} lines", secrets.len(), log.lines().count());
    assert!(secrets.len() >= 12, "{}", secrets.len());
    for secret in secrets {
        assert!(
            secret.len() > 5 && !log.contains(secret),
            "{secret} in\n{log}"
        );
    }
}

#[test]
fn a_secret_on_the_command_line_is_worth_a_word_that_does_not_hold_it() {
    let token = format!("control.tokens.admin={TOKEN}");
    let mut tracker = TrackerProcess::start(&["udp.listen=127.0.0.1:0", "store.path=", &token]);
    let line = tracker.wait_for_log("given on the command line", PATIENCE);
    assert!(line.contains("control.tokens.admin is given"), "{line}");
    assert!(!tracker.stderr_so_far().contains(TOKEN));
}
