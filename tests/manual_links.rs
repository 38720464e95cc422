//! The manual holds together: links lead somewhere, and what it calls a key, a metric or a command is one.

mod manual;
mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use manual::{anchor, prose};
use program::{accepted, shoal};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document, by its path from the root of the project.
fn documents() -> BTreeMap<PathBuf, String> {
    let mut paths: Vec<PathBuf> = [
        "README.md",
        "ARCHITECTURE.md",
        "SECURITY.md",
        "bench/README.md",
    ]
    .map(PathBuf::from)
    .into();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name();
        if Path::new(&name).extension().is_some_and(|ext| ext == "md") {
            paths.push(Path::new("docs").join(name));
        }
    }
    let read = |path: PathBuf| {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// What one can link to within a document; a heading that comes again has a number.
fn anchors(document: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(document) {
        let text = line.trim_start_matches('#');
        if text.len() == line.len() || !text.starts_with(' ') {
            continue;
        }
        let name = anchor(text.trim());
        let times = seen.entry(name.clone()).or_default();
        anchors.insert(match *times {
            0 => name,
            n => format!("{name}-{n}"),
        });
        *times += 1;
    }
    anchors
}

/// Where the links of a line lead.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let (target, _) = rest.split_once(')')?;
        Some(target)
    })
}

/// A path without `..`, as far as that can be seen from its text.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

#[test]
fn every_link_of_the_manual_leads_to_a_file_and_to_a_heading_that_are_there() {
    let documents = documents();
    let mut broken = Vec::new();
    let mut followed = 0;
    for (path, text) in &documents {
        for (number, line) in prose(text) {
            for target in links(line) {
                if target.contains("://") {
                    continue;
                }
                followed += 1;
                let (file, heading) = target.split_once('#').unwrap_or((target, ""));
                let file = if file.is_empty() {
                    path.clone()
                } else {
                    plain(&path.parent().unwrap_or(Path::new("")).join(file))
                };
                let is_there = if heading.is_empty() {
                    root().join(&file).exists()
                } else {
                    let document = documents.get(&file);
                    document.is_some_and(|text| anchors(text).contains(heading))
                };
                if !is_there {
                    broken.push(format!("{}:{number}: {target}", path.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "these lead nowhere: {broken:#?}");
    assert!(followed > 40, "{followed} links");
}

#[test]
fn every_document_is_in_the_index_and_the_index_in_the_readme() {
    let documents = documents();
    let index = &documents[Path::new("docs/README.md")];
    let readme = &documents[Path::new("README.md")];
    assert!(readme.contains("](docs/README.md)"));
    for path in documents.keys() {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.starts_with("docs") && name != "README.md" {
            assert!(index.contains(&format!("]({name})")), "{name}");
        }
    }
}

/// The keys of the configuration by section, from what the program prints.
fn keys() -> BTreeMap<String, BTreeSet<String>> {
    let printed = accepted(&mut shoal(&["config", "print"]));
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in printed.lines() {
        if line.starts_with('[') {
            line.trim_matches(['[', ']']).clone_into(&mut section);
            keys.entry(section.clone()).or_default();
            continue;
        }
        // A key that is not given stands behind a # without a blank.
        let line = line.strip_prefix('#').unwrap_or(line);
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        if let Some((name, _)) = line.split_once(" = ")
            && is_name(name)
        {
            keys.entry(section.clone())
                .or_default()
                .insert(name.to_owned());
        }
    }
    keys
}

/// What stands in backticks on a line.
fn code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// What the names of files end in.
const FILES: [&str; 6] = ["rs", "md", "toml", "mdb", "json", "lock"];

/// What of a line may name keys of ours: the first column of a table of migration names those of others.
fn of_ours<'a>(path: &Path, line: &'a str) -> &'a str {
    match line.strip_prefix("| ") {
        Some(row) if path.ends_with("migrating.md") => {
            row.split_once(" | ").map_or("", |(_, ours)| ours)
        }
        _ => line,
    }
}

#[test]
fn every_key_that_the_manual_names_with_its_section_is_a_key() {
    let keys = keys();
    assert!(keys["announce"].contains("interval") && keys["udp"].contains("listen"));
    let mut unknown = Vec::new();
    let mut named = 0;
    for (path, text) in documents() {
        for (number, line) in prose(&text) {
            for words in code(of_ours(&path, line)) {
                let word = words.split([' ', '=']).next().unwrap_or_default();
                let Some((section, key)) = word.split_once('.') else {
                    continue;
                };
                let Some(of_section) = keys.get(section) else {
                    continue;
                };
                // `store.lock` is a file, `udp.connect.length` a check.
                let is_other = key.contains('.') || FILES.contains(&key);
                let is_open = section == "control" && ["users", "tokens"].contains(&key);
                if is_other || is_open {
                    continue;
                }
                named += 1;
                if !of_section.contains(key) {
                    unknown.push(format!("{}:{number}: {word}", path.display()));
                }
            }
        }
    }
    assert!(unknown.is_empty(), "there are no such keys: {unknown:#?}");
    assert!(named > 60, "{named} keys");
}

#[test]
fn every_command_that_the_manual_names_is_one() {
    let help = accepted(&mut shoal(&["--help"]));
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands = commands.split("\n\n").next().unwrap_or_default();
    let mut known: BTreeSet<&str> = commands
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    // For packages only, and not in the help.
    known.extend(["man", "completions"]);
    let mut named = 0;
    for (path, text) in documents() {
        for (line, number) in text.lines().zip(1..) {
            let in_prose = code(line).filter_map(|words| words.strip_prefix("shoal "));
            let prompt = line.strip_prefix("$ ").unwrap_or(line);
            for words in prompt.strip_prefix("shoal ").into_iter().chain(in_prose) {
                let word = words.split(' ').next().unwrap_or_default();
                if !word.chars().all(|c| c.is_ascii_lowercase()) {
                    continue;
                }
                named += 1;
                assert!(
                    known.contains(word),
                    "{}:{number}: there is no shoal {word}",
                    path.display()
                );
            }
        }
    }
    assert!(named > 60, "{named} commands");
}

#[test]
fn every_configuration_of_the_manual_is_one_that_the_program_takes() {
    let mut checked = 0;
    for (path, text) in documents() {
        for block in manual::blocks(&text) {
            // Dots stand for what everybody has another of.
            if block.language != "toml" || block.text.contains("...") {
                continue;
            }
            let mut command = shoal(&["config", "check"]);
            command.env("SHOAL_CONFIG_TOML", block.text);
            let outcome = program::outcome(&mut command);
            assert_eq!(
                outcome.code,
                Some(0),
                "{}: {}\n{}",
                path.display(),
                block.text,
                outcome.stderr
            );
            checked += 1;
        }
    }
    assert!(checked > 10, "{checked} configurations");
}

#[test]
fn every_metric_that_the_manual_names_is_in_the_table_of_metrics() {
    let documents = documents();
    let table = &documents[Path::new("docs/metrics.md")];
    let known: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `shoal_"))
        .filter_map(|rest| rest.split('`').next())
        .collect();
    for (path, text) in &documents {
        for (number, line) in prose(text) {
            for word in line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
                let Some(name) = word.strip_prefix("shoal_") else {
                    continue;
                };
                let name = name.strip_suffix("_bucket").unwrap_or(name);
                // A name that ends so stands for all that begin with it; crates and files have others.
                if name.ends_with('_') || !name.contains('_') || !is_metric(word) {
                    continue;
                }
                assert!(
                    known.contains(name),
                    "{}:{number}: {word} is no metric",
                    path.display()
                );
            }
        }
    }
}

/// Whether a name could be one of a metric, and not of a package.
fn is_metric(name: &str) -> bool {
    !name.starts_with("shoal_0") && !name.starts_with("shoal_bench")
}

/// What stands between single backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_stands_beside_a_threat_is_there() {
    let security = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let (mut named, mut missing) = (0, Vec::new());
    for row in security.lines().filter(|line| line.starts_with("| ")) {
        let mut source = String::new();
        for word in quoted(row) {
            let is_test = word.len() > 20
                && word.contains('_')
                && word
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            if word.contains('/') {
                let path = root().join(word);
                if !path.exists() {
                    missing.push(word);
                }
                source = fs::read_to_string(path).unwrap_or_default();
            } else if is_test {
                named += 1;
                if !source.contains(&format!("fn {word}(")) {
                    missing.push(word);
                }
            }
        }
    }
    assert!(
        missing.is_empty(),
        "SECURITY.md names what is not there: {missing:#?}"
    );
    assert!(named > 30, "{named}");
}

#[test]
fn no_threat_and_no_fault_has_an_empty_cell() {
    let (mut rows, mut wanting) = (0, Vec::new());
    for path in ["SECURITY.md", "docs/faults.md"] {
        let text = fs::read_to_string(root().join(path)).unwrap();
        for (number, line) in prose(&text) {
            if !line.starts_with("| ") {
                continue;
            }
            let cells = line.trim().trim_matches('|').split('|').map(str::trim);
            let cells: Vec<&str> = cells.collect();
            // Says what the rows below it are about.
            let is_title = cells[0].starts_with("**") && cells[1..].iter().all(|c| c.is_empty());
            if !is_title {
                rows += 1;
                if cells.iter().any(|cell| ["", "-", "?"].contains(cell)) {
                    wanting.push(format!("{path}:{number}: {}", cells[0]));
                }
            }
        }
    }
    assert!(
        wanting.is_empty(),
        "cells without anything in them: {wanting:#?}"
    );
    assert!(rows > 70, "{rows} rows");
}

#[test]
fn the_faults_and_their_tests_are_as_many_as_security_says() {
    let faults = fs::read_to_string(root().join("docs/faults.md")).unwrap();
    let (faults, _) = faults.split_once("## Tests that are elsewhere").unwrap();
    let is_fault = |line: &&str| line.starts_with("| ") && !line.starts_with("| fault |");
    let faults = faults.lines().filter(is_fault).count();
    let tests: usize = fs::read_dir(root().join("tests/failures"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .map(|source| source.matches("#[test]").count())
        .sum();
    let security = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let figure = format!("| {tests} tests of {faults} faults |");
    assert!(security.contains(&figure), "{figure}");
}
