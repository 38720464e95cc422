//! What every operation costs in instructions, held against `bench/instructions.toml`. The release that is
//! counted is built by `scripts/instructions.sh`: some minutes of two CPUs the first time.
#![cfg(target_arch = "x86_64")]

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn instructions(arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/instructions.sh");
    let mut command = Command::new(script);
    // What cargo tells a test would make the cargo of the script build things anew.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let is_told = text.starts_with("CARGO_") || text == "LD_LIBRARY_PATH";
        if is_told && !["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_BUILD_JOBS"].contains(&&*text) {
            command.env_remove(&name);
        }
    }
    command.args(arguments).output().unwrap()
}

fn all_that_it_said(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    format!("{out}{errors}")
}

#[test]
fn no_operation_takes_more_than_three_percent_above_its_budget() {
    let output = instructions(&[]);
    assert!(output.status.success(), "{}", all_that_it_said(&output));
}

/// A budget with one figure divided by `divisor`.
fn doctored(budget: &str, name: &str, divisor: f64) -> String {
    let line = |line: &str| match line.split_once(" = ") {
        Some((key, count)) if key == name => {
            format!("{name} = {:.1}\n", count.parse::<f64>().unwrap() / divisor)
        }
        _ => format!("{line}\n"),
    };
    budget.lines().map(line).collect()
}

#[test]
fn five_percent_more_fail_and_are_named_and_five_percent_less_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("budget.toml");
    let only = [
        "--only",
        "id-check,id-issue",
        "--budget",
        file.to_str().unwrap(),
    ];
    let stored = instructions(&[&only[..], &["--write"]].concat());
    assert!(stored.status.success(), "{}", all_that_it_said(&stored));
    let budget = fs::read_to_string(&file).unwrap();

    for (divisor, said, succeeds) in [(1.05, "TOO MUCH", false), (0.95, "cheaper", true)] {
        fs::write(&file, doctored(&budget, "id-check", divisor)).unwrap();
        let output = instructions(&only);
        let all = all_that_it_said(&output);
        assert_eq!(output.status.success(), succeeds, "{all}");
        let line = |name: &str| {
            all.lines()
                .find(|line| line.starts_with(name))
                .unwrap_or("")
        };
        assert!(line("id-check ").ends_with(said), "{all}");
        assert!(line("id-issue ").ends_with("+0.00%"), "{all}");
    }
}
