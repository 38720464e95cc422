//! The architecture, read from the sources: who may know whom, and where `unsafe` may be.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has sources");
    found
}

#[test]
fn swarms_and_wire_know_nothing_of_sockets_shards_or_control() {
    for path in sources("src/swarm").into_iter().chain(sources("src/wire")) {
        for line in fs::read_to_string(&path).unwrap().lines() {
            for forbidden in ["net", "shard", "http", "control", "boot", "clock", "config"] {
                assert!(
                    !line.contains(&format!("crate::{forbidden}"))
                        && !line.contains("std::net::Udp"),
                    "{}: {line}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn queries_know_the_wire_and_nothing_else_of_the_tracker() {
    let (own, shared) = (["crate::query", "crate::wire"], "crate::limits");
    for path in sources("src/query") {
        for line in fs::read_to_string(&path).unwrap().lines() {
            let known = own.iter().any(|own| line.contains(own)) || line.contains(shared);
            assert!(
                !line.contains("crate::") || known,
                "{}: {line}",
                path.display()
            );
        }
    }
}

#[test]
fn only_the_clock_asks_for_the_time() {
    // Control waits with deadlines and queries measure how long trackers take; both are on nobody's
    // way. Nor are tests.
    let may = |path: &Path| {
        path.ends_with("src/clock.rs")
            || path.ends_with("src/control/mod.rs")
            || path.to_string_lossy().contains("src/query/")
            || path.to_string_lossy().ends_with("tests.rs")
    };
    for path in sources("src").into_iter().filter(|path| !may(path)) {
        let text = fs::read_to_string(&path).unwrap();
        let asks = text.contains("Instant::now") || text.contains("SystemTime::now");
        assert!(!asks, "{} asks for the time", path.display());
    }
}

#[test]
fn unsafe_is_in_net_and_where_memory_or_rights_are_given_back() {
    for path in sources("src") {
        let is_net = path.to_string_lossy().contains("src/net/");
        let text = fs::read_to_string(&path).unwrap();
        let count = text.matches("unsafe {").count() + text.matches("unsafe fn").count();
        let allowed = if is_net {
            usize::MAX
        } else if path.ends_with("src/prefetch.rs") {
            1
        } else if [
            "src/store/disk.rs",
            "src/heap.rs",
            "src/privileges/capabilities.rs",
        ]
        .iter()
        .any(|file| path.ends_with(file))
        {
            2
        } else {
            0
        };
        assert!(
            count <= allowed,
            "{} has {count} unsafe blocks",
            path.display()
        );
    }
}

#[test]
fn sources_are_ascii_and_no_file_is_longer_than_one_sitting() {
    for path in sources("src").into_iter().chain(sources("tests")) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.is_ascii(), "{} is not ASCII", path.display());
        let lines = text.lines().count();
        assert!(lines <= 700, "{} has {lines} lines", path.display());
    }
}
