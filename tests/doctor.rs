//! `shoal doctor` as a program: on whatever host runs the tests, so what it finds there is not judged, only
//! that it finds out; and on trackers, certificates and folders of which it is known how they are.

mod in_process;
mod program;

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use in_process::{Server, config, http_listener};
use program::{Outcome, Scratch, outcome, shoal};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;
use shoal::counters::Tally;
use shoal::gate::access::{Deny, Mode};
use tempfile::TempDir;

const CHECKS: [&str; 20] = [
    "kernel",
    "io_uring",
    "memlock",
    "nofile",
    "landlock",
    "seccomp",
    "rmem",
    "drops",
    "wmem",
    "backlog",
    "conntrack",
    "rx_queues",
    "governor",
    "clock",
    "disk_space",
    "disk_speed",
    "tls",
    "bep34",
    "reach",
    "newtrackon",
];

/// What a run with `--json` says, after a look at the exit code.
fn examined(arguments: &[&str]) -> Value {
    let mut command = shoal(&["doctor", "--json"]);
    let Outcome { code, stdout, .. } = outcome(command.args(arguments));
    let report: Value = serde_json::from_str(&stdout).expect(&stdout);
    let loses = report["verdict"] == "will_lose_packets";
    let unwritten = |file: &Value| file["written"] == false;
    let failed = report["files"].as_array().unwrap().iter().any(unwritten);
    assert_eq!(code, Some(i32::from(loses || failed)), "{stdout}");
    report
}

/// The findings of one check.
fn of<'a>(report: &'a Value, check: &str) -> Vec<&'a Value> {
    let findings = report["findings"].as_array().unwrap();
    let named = findings.iter().filter(|found| found["check"] == check);
    named.collect()
}

fn verdict<'a>(report: &'a Value, check: &str) -> &'a str {
    of(report, check)[0]["verdict"].as_str().unwrap()
}

#[test]
fn every_check_is_named_with_a_verdict_and_a_last_line_counts_them() {
    let said = outcome(&mut shoal(&["doctor"]));
    assert!(matches!(said.code, Some(0 | 1)), "{said:?}");
    assert_eq!(said.stderr, "");
    let verdicts = [
        "good ",
        "not known ",
        "could be better ",
        "will lose packets ",
    ];
    for check in CHECKS {
        let line = said.stdout.lines().find(|line| {
            let rest = verdicts
                .iter()
                .find_map(|verdict| line.strip_prefix(verdict));
            rest.is_some_and(|rest| rest.split_whitespace().next() == Some(check))
        });
        assert!(line.is_some(), "{check}\n{}", said.stdout);
    }
    let last = said.stdout.lines().last().unwrap();
    assert!(last.contains("will lose packets, "), "{last}");
}

#[test]
fn json_has_every_key_of_every_finding() {
    let report = examined(&[]);
    assert_eq!(report["version"], 1);
    assert_eq!(report["configuration"], "built-in defaults");
    assert_eq!(report["files"], Value::Array(Vec::new()));
    for check in CHECKS {
        assert!(!of(&report, check).is_empty(), "{check}");
    }
    for found in report["findings"].as_array().unwrap() {
        let keys: Vec<&String> = found.as_object().unwrap().keys().collect();
        let expected = ["about", "check", "fix", "value", "verdict", "wanted"];
        assert_eq!(keys, expected);
        assert!(
            found["value"]
                .as_str()
                .is_some_and(|value| !value.is_empty())
        );
        let needs_fix = ["could_be_better", "will_lose_packets"];
        if needs_fix.iter().any(|verdict| found["verdict"] == *verdict) {
            assert!(found["fix"].is_string(), "{found}");
        }
    }
    for check in ["bep34", "reach", "newtrackon"] {
        assert_eq!(verdict(&report, check), "not_known");
        let value = of(&report, check)[0]["value"].as_str().unwrap();
        assert!(value.contains("--url"), "{value}");
    }
}

#[test]
fn looking_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let before = fs::metadata(folder.path()).unwrap().permissions();
    let path = folder.path().to_str().unwrap();
    let report = examined(&["--set", &format!("store.path={path}")]);
    assert_ne!(verdict(&report, "disk_speed"), "not_known");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let after = fs::metadata(folder.path()).unwrap().permissions();
    assert_eq!(before, after);
    let missing = folder.path().join("missing");
    let set = format!("store.path={}", missing.display());
    assert_eq!(
        verdict(&examined(&["--set", &set]), "disk_speed"),
        "not_known"
    );
    assert!(!missing.exists());
}

#[test]
fn fix_shows_and_writes_both_files() {
    let root = TempDir::new().unwrap();
    let path = root.path().to_str().unwrap();
    let listen = "udp.listen=0.0.0.0:6969,[::]:7000,127.0.0.1:0";
    let arguments = ["doctor", "--fix", "--root", path, "--set", listen];
    let said = outcome(&mut shoal(&arguments));
    assert!(matches!(said.code, Some(0 | 1)), "{said:?}");
    assert_eq!(said.stderr, "");

    let sysctl = fs::read_to_string(root.path().join("etc/sysctl.d/60-shoal.conf")).unwrap();
    let nft_path = root.path().join("etc/nftables.d/60-shoal.nft");
    let nft = fs::read_to_string(&nft_path).unwrap();
    let shown = said.stdout.find(&sysctl).expect("the settings are shown");
    let rules_shown = said.stdout.find(&nft).expect("the rules are shown");
    let told = said
        .stdout
        .find("wrote ")
        .expect("what was written is told");
    assert!(shown < told && rules_shown < told);

    // As sysctl reads it: remarks, empty lines, and settings of numbers. No value is less than the package's.
    let settings = |text: &str| -> Vec<(String, u64)> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let pair = |line: &str| {
            let (key, value) = line.split_once(" = ").expect(line);
            (key.to_owned(), value.parse().expect(line))
        };
        lines.map(pair).collect()
    };
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/shoal-sysctl.conf");
    let package = settings(&fs::read_to_string(package).unwrap());
    let written = settings(&sysctl);
    assert_eq!(written.len(), package.len());
    for ((key, value), (wanted_key, wanted)) in written.iter().zip(&package) {
        assert_eq!(key, wanted_key);
        assert!(value >= wanted, "{key} = {value}");
    }

    assert!(nft.contains("udp dport { 6969, 7000 } notrack;"), "{nft}");
    // Only root may ask, and not every host has the program.
    if let Ok(checked) = Command::new("nft")
        .arg("-c")
        .arg("-f")
        .arg(&nft_path)
        .output()
    {
        let complaint = String::from_utf8_lossy(&checked.stderr);
        assert!(
            checked.status.success() || complaint.contains("not permitted"),
            "{complaint}"
        );
    }

    let report = examined(&["--fix", "--root", path, "--set", listen]);
    let files = report["files"].as_array().unwrap();
    assert_eq!(files.len(), 2);
    assert_eq!(files[0]["content"], sysctl);
    assert_eq!(files[1]["content"], nft);
    assert_eq!(files[1]["error"], Value::Null);
    assert_eq!(files[1]["path"], nft_path.to_str().unwrap());
}

#[test]
fn fix_without_the_right_names_the_file_and_shows_what_belongs_there() {
    let root = TempDir::new().unwrap();
    // Not even root may make a folder where a file is.
    fs::write(root.path().join("etc"), "").unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let path = root.path().to_str().unwrap();
    let said = outcome(&mut shoal(&["doctor", "--fix", "--root", path]));
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(said.stderr.lines().count(), 2, "{said:?}");
    for file in ["etc/sysctl.d/60-shoal.conf", "etc/nftables.d/60-shoal.nft"] {
        let sentence = format!("cannot write {path}/{file}: ");
        assert!(said.stderr.contains(&sentence), "{}", said.stderr);
    }
    assert!(said.stdout.contains("net.core.rmem_max = "));
    assert!(said.stdout.contains("udp dport { 6969 } notrack;"));
    assert!(!said.stdout.contains("wrote "));
    let report = examined(&["--fix", "--root", path]);
    assert_eq!(report["files"][0]["written"], false);
    assert!(report["files"][0]["error"].is_string());
}

/// An HTTPS listener whose certificate lasts for so long from now; without, it has expired.
fn with_certificate(lasts: Option<Duration>) -> (TempDir, Scratch) {
    let folder = TempDir::new().unwrap();
    let since_1970 = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let mut made = CertificateParams::new(["localhost".to_owned()]).unwrap();
    made.not_before = date_time_ymd(2000, 1, 1);
    made.not_after = match lasts {
        Some(lasts) => date_time_ymd(1970, 1, 1) + (since_1970 + lasts),
        None => date_time_ymd(2020, 1, 2),
    };
    let key = KeyPair::generate().unwrap();
    let certificate = folder.path().join("certificate.pem");
    let private_key = folder.path().join("key.pem");
    fs::write(&certificate, made.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(&private_key, key.serialize_pem()).unwrap();
    let (certificate, private_key) = (certificate.display(), private_key.display());
    let text = format!(
        "[[http]]\nlisten = \"127.0.0.1:0\"\n\
         tls = {{ certificate = \"{certificate}\", private_key = \"{private_key}\" }}\n\
         [store]\npath = \"\"\n"
    );
    (folder, Scratch::with(text))
}

#[test]
fn a_certificate_that_runs_out_is_told_before_and_after() {
    let day = Duration::from_secs(24 * 60 * 60);
    for (lasts, expected, words) in [
        (Some(60 * day), "good", "expires in "),
        (
            Some(5 * day + day / 2),
            "could_be_better",
            "expires in 5 days",
        ),
        (None, "will_lose_packets", "expired on 2020-01-02"),
    ] {
        let (_folder, file) = with_certificate(lasts);
        let report = examined(&["--config", file.path()]);
        assert_eq!(report["configuration"], file.path());
        assert_eq!(verdict(&report, "tls"), expected);
        let value = of(&report, "tls")[0]["value"].as_str().unwrap();
        assert!(value.contains(words), "{value}");
    }
}

#[test]
fn a_tracker_that_answers_is_good_and_leaves_no_peer_behind() {
    let mut config = config();
    config.http = vec![http_listener("127.0.0.1:0")];
    let server = Server::start(&config);
    let udp = format!("udp://{}", server.address());
    let http = format!("http://{}/announce", server.http_address());
    let report = examined(&["--url", &udp, "--url", &http]);
    let reached = of(&report, "reach");
    assert_eq!(reached.len(), 2);
    for found in reached {
        assert_eq!(found["verdict"], "good", "{found}");
        assert_eq!(found["fix"], Value::Null);
    }
    // Nobody on the internet would get there.
    for found in of(&report, "newtrackon") {
        assert_eq!(found["verdict"], "could_be_better", "{found}");
        let value = found["value"].as_str().unwrap();
        assert!(value.contains("would do"), "{value}");
    }
    for found in of(&report, "bep34") {
        assert_eq!(found["verdict"], "not_known", "{found}");
    }
    server.wait_until("rid of the peers that asked", |totals| {
        totals.tally(Tally::SeedersV4) == 0 && totals.tally(Tally::LeechersV4) == 0
    });
}

#[test]
fn redirects_are_followed_as_newtrackon_follows_them() {
    let mut goal = config();
    goal.http = vec![http_listener("127.0.0.1:0")];
    let goal = Server::start(&goal);
    let mut door = config();
    door.http = vec![http_listener("127.0.0.1:0")];
    door.http[0].redirect_to = Some(format!("http://{}", goal.http_address()));
    let door = Server::start(&door);
    let http = format!("http://{}/announce", door.http_address());
    let report = examined(&["--url", &http]);
    assert_eq!(verdict(&report, "reach"), "good");
    let value = of(&report, "newtrackon")[0]["value"].as_str().unwrap();
    assert!(value.contains("would do"), "{value}");
}

#[test]
fn a_url_that_newtrackon_would_not_ask_is_only_reached() {
    let mut config = config();
    config.http = vec![http_listener("127.0.0.1:0")];
    let server = Server::start(&config);
    let udp = format!("udp://{}/KEY/announce", server.address());
    let report = examined(&["--url", &udp]);
    assert_eq!(verdict(&report, "reach"), "good");
    assert_eq!(verdict(&report, "newtrackon"), "not_known");
}

#[test]
fn a_tracker_that_refuses_strangers_torrents_is_there_and_not_for_newtrackon() {
    let mut config = config();
    config.http = vec![http_listener("127.0.0.1:0")];
    config.access.mode = Mode::Listed;
    config.access.deny = Deny::Error;
    let server = Server::start(&config);
    let http = format!("http://{}/announce", server.http_address());
    let report = examined(&["--url", &http]);
    assert_eq!(verdict(&report, "reach"), "could_be_better");
    assert_eq!(verdict(&report, "newtrackon"), "could_be_better");
    let value = of(&report, "newtrackon")[0]["value"].as_str().unwrap();
    assert!(value.contains("down"), "{value}");
    let fix = of(&report, "reach")[0]["fix"].as_str().unwrap();
    assert!(fix.starts_with("deny = \"soft\""), "{fix}");
}

#[test]
fn a_tracker_that_is_not_there_loses_packets() {
    let gone = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for url in [
        format!("udp://{gone}/announce"),
        format!("http://{gone}/announce"),
    ] {
        let report = examined(&["--url", &url]);
        assert_eq!(report["verdict"], "will_lose_packets");
        let found = of(&report, "reach")[0];
        assert_eq!(found["verdict"], "will_lose_packets", "{found}");
        assert_eq!(found["about"], url.as_str());
        assert!(
            found["value"].as_str().unwrap().contains("refused"),
            "{found}"
        );
    }
}

#[test]
fn what_is_asked_wrongly_is_code_2() {
    for arguments in [
        &["--url", "tracker.example.org"][..],
        &["--root", "/tmp"],
        &["--set", "announce.interval=0"],
        &["--loud"],
    ] {
        let said = outcome(shoal(&["doctor"]).args(arguments));
        assert_eq!(said.code, Some(2), "{said:?}");
        assert_eq!(said.stdout, "");
        assert!(!said.stderr.is_empty());
    }
}
