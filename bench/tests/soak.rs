//! A soak of half a minute with small numbers: that it runs, that a tracker passes it, and that one that is
//! not well does not.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The tracker beside this program, built when it is not there: `cargo test --workspace` has built it, a test of
/// this package alone has not.
fn shoal() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_shoal-bench")).with_file_name("shoal");
    if !beside.exists() {
        let cargo = std::env::var_os("CARGO").expect("cargo runs tests and says where it is");
        let mut build = Command::new(cargo);
        build.args(["build", "--package", "shoal", "--bin", "shoal"]);
        build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        assert!(build.status().unwrap().success());
    }
    beside
}

fn soak(out: &Path, more: &[&str]) -> Output {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (out.join("certificate.pem"), out.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_shoal-bench"));
    command.arg("soak").arg("--shoal").arg(shoal());
    command.arg("--certificate").arg(certificate);
    command.arg("--private-key").arg(key);
    command.arg("--out").arg(out);
    command.args("--rate 400 --torrents 300 --interval 2 --sample-every 1".split(' '));
    command.args("--snapshot-every 2 --reload-every 3 --latency-slack 2000".split(' '));
    command.args(more).output().unwrap()
}

#[test]
fn a_tracker_that_is_well_passes_across_a_restart_and_all_that_was_seen_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let more = ["--minutes", "0.4", "--restart-every", "0.2"];
    let ended = soak(folder.path(), &more);
    let told = String::from_utf8_lossy(&ended.stdout).into_owned();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{told}\n{said}");
    assert!(!told.contains("- BAD"), "{told}");
    assert!(told.contains(" 1 restarts"), "{told}");

    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(told.ends_with(&read("soak.md")), "{told}");
    let samples = read("soak.csv");
    assert!(samples.lines().count() > 15, "{samples}");
    let columns = |line: &str| line.split(',').count();
    let head = columns(samples.lines().next().unwrap());
    assert!(
        samples.lines().all(|line| columns(line) == head),
        "{samples}"
    );
    for picture in ["soak-memory", "soak-latency", "soak-peers"] {
        let drawn = read(&format!("{picture}.svg"));
        assert!(
            drawn.starts_with("<svg ") && drawn.contains("<circle "),
            "{picture}"
        );
    }
    // A second run does not take the first one's place.
    assert!(!soak(folder.path(), &["--minutes", "0.4"]).status.success());
}

#[test]
fn a_tracker_that_refuses_those_who_are_honest_does_not_pass() {
    let folder = tempfile::tempdir().unwrap();
    let more = ["--minutes", "0.3", "--set", "access.mode=listed"];
    let ended = soak(folder.path(), &more);
    let told = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("- BAD: torrents and peers"), "{told}");
    assert!(told.contains("- good: SIGTERM ended it"), "{told}");
}
