//! Counting by valgrind.

use std::env;
use std::process::{Child, Command, Output, Stdio};

use shoal_bench::operations::Operation;

/// Least rounds of a count, unless an operation is so large that a cycle is shorter.
const ROUNDS_MIN: u32 = 2048;

/// Instructions of one round of an operation.
pub(super) fn of(operation: &Operation) -> Result<f64, String> {
    let cycles = match operation.cycle {
        // A turn, or a slice of the sweep: few are enough, as each is long.
        16..ROUNDS_MIN => 2,
        cycle => ROUNDS_MIN.div_ceil(cycle),
    };
    let rounds = operation.cycle * cycles;
    // Both at one time: most hosts have two CPUs.
    let once = start(operation, rounds)?;
    let twice = start(operation, 2 * rounds)?;
    let (once, twice) = (finish(once), finish(twice));
    let difference = twice?.saturating_sub(once?);
    Ok(difference as f64 / f64::from(rounds))
}

/// Cachegrind without a cache counts instructions and nothing else.
fn start(operation: &Operation, rounds: u32) -> Result<Child, String> {
    let program = env::current_exe().map_err(|error| format!("where is this program: {error}"))?;
    Command::new("valgrind")
        .args([
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
        ])
        .arg(program)
        .args(["operation", operation.name, &rounds.to_string()])
        // The C library looks into some variables, and the stack begins behind all of them.
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("valgrind: {error}; scripts/instructions.sh installs it"))
}

fn finish(counting: Child) -> Result<u64, String> {
    let output = counting.wait_with_output();
    let Output { status, stderr, .. } = output.map_err(|error| format!("valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&stderr);
    instructions_in(&said)
        .filter(|_| status.success())
        .ok_or_else(|| format!("valgrind has not counted: {status}\n{said}"))
}

/// The number in a line such as `==17== I   refs:      2,345,678`.
fn instructions_in(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| {
        let mut words = line.split_whitespace().skip(1);
        (words.next(), words.next()) == (Some("I"), Some("refs:"))
    })?;
    line.split_whitespace()
        .last()?
        .replace(',', "")
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_what_valgrind_says() {
        let said = "==9== Cachegrind, a cache profiler\n==9== \n==9== I   refs:      2,345,678\n";
        assert_eq!(instructions_in(said), Some(2_345_678));
        let newer = "==9== I refs:        78\n";
        assert_eq!(instructions_in(newer), Some(78));
        assert_eq!(instructions_in("==9== killed\n"), None);
    }
}
