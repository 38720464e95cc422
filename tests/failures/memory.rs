//! Less memory than there are peers.

use std::fs;
use std::path::PathBuf;
use std::process;

use super::{ANY_CONTROL, ANY_PORT, control_of, expect_served, info_hash, metric, run_after};
use super::{start, token};
use crate::in_process::{Announce, Client};

/// What the kernel lets the tracker have, and what it gives its swarms of that.
const LIMIT: u64 = 32 << 20;
const BUDGET: &str = "swarm.memory_budget=4 MiB";

/// A group of processes with little memory, in either version of cgroups.
struct Group(PathBuf);

impl Group {
    fn make() -> Result<Self, String> {
        let name = format!("shoal-test-{}", process::id());
        let mut why = String::from("there is no cgroup of memory that we may write to");
        for (root, limit) in [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ] {
            let path = PathBuf::from(root).join(&name);
            if fs::create_dir(&path).is_err() {
                continue;
            }
            let group = Self(path);
            match fs::write(group.0.join(limit), LIMIT.to_string()) {
                Ok(()) => return Ok(group),
                Err(error) => why = format!("{root}: {error}"),
            }
        }
        Err(why)
    }

    fn most_used(&self) -> Option<u64> {
        ["memory.max_usage_in_bytes", "memory.peak"]
            .iter()
            .find_map(|name| fs::read_to_string(self.0.join(name)).ok())
            .and_then(|text| text.trim().parse().ok())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Empty once the tracker has been reaped.
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_tracker_with_a_budget_lives_below_a_limit_of_memory_and_counts_what_it_refuses() {
    let group = match Group::make() {
        Ok(group) => group,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let enter = "echo $$ > \"$1/cgroup.procs\"";
    let settings = [
        ANY_PORT,
        ANY_CONTROL,
        "workers.count=1",
        BUDGET,
        // All of it comes from one source.
        "flood.new_torrents=0",
        &token(),
    ];
    let mut tracker = start(run_after(enter, &["--"], &group.0, &settings));
    let control = control_of(&mut tracker);
    let address = tracker.address();
    expect_served(address);
    let client = Client::of(address);
    let id = client.connect();
    // A torrent takes about a hundred bytes.
    for number in 0..80_000 {
        client.announce(id, Announce::leecher(info_hash(number), 1001));
    }
    let refused = metric(control, "shoal_announces_not_stored_total{");
    println!("{refused} not stored, {:?} bytes used", group.most_used());
    assert!(refused > 1000.0, "{refused}");
    assert!(group.most_used().is_none_or(|used| used <= LIMIT));
    // Who is there already stays, and is found.
    expect_served(address);
    tracker.stop();
}
