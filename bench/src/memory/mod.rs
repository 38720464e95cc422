//! What swarms take while they grow, when they stand and after they are forgotten, with one allocator or
//! another. Each figure is of a process of its own, so that none finds what another has left.

mod life;

use std::env;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::table::{MEMORY, describe_machine, replace_page};
pub(crate) use life::{Options as LifeOptions, live};

/// Measure how much memory swarms take as they grow and what comes back, and print tables.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// Shapes: torrents x peers of each
    #[arg(long, value_name = "SHAPES", value_delimiter = ',', value_parser = shape,
          default_value = "1000000x4,10000x400,2000000x1,1x1000000,200000x20")]
    shapes: Vec<(u32, u32)>,

    /// Allocators: shoal (glibc as the tracker sets it up), glibc (as it is), huge (glibc with huge pages),
    /// jemalloc, mimalloc (Debian's libraries, put before glibc's)
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "shoal,glibc,huge,jemalloc,mimalloc"
    )]
    allocators: Vec<String>,

    /// Lives that each process has had, the last of which counts
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    lives: u32,

    /// Repeat so often; of memory the middle figure counts, of times the lowest
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Date to print
    #[arg(long, value_name = "DATE", default_value = "")]
    date: String,

    /// Put the table between the marks of this Markdown file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

fn shape(text: &str) -> Result<(u32, u32), String> {
    let parsed = text
        .split_once('x')
        .and_then(|(torrents, peers)| Some((torrents.parse().ok()?, peers.parse().ok()?)));
    parsed
        .filter(|(torrents, peers)| *torrents > 0 && *peers > 0)
        .ok_or_else(|| format!("{text:?} is not TORRENTSxPEERS, such as 10000x400"))
}

/// An allocator: its name here, what is put before the C library, and variables for it.
struct Allocator {
    name: &'static str,
    library: &'static str,
    variable: Option<(&'static str, &'static str)>,
}

const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

const ALLOCATORS: [Allocator; 6] = [
    Allocator {
        name: "shoal",
        library: "",
        variable: None,
    },
    Allocator {
        name: "glibc",
        library: "",
        variable: None,
    },
    Allocator {
        name: "huge",
        library: "",
        variable: Some(("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")),
    },
    Allocator {
        name: "jemalloc",
        library: "libjemalloc.so.2",
        variable: None,
    },
    Allocator {
        name: "jemalloc-huge",
        library: "libjemalloc.so.2",
        variable: Some(("MALLOC_CONF", "thp:always,metadata_thp:always")),
    },
    Allocator {
        name: "mimalloc",
        library: "libmimalloc.so.2",
        variable: None,
    },
];

/// A column: its name, the report's figure, and what a unit of it is.
const COLUMNS: [(&str, &str, f64); 7] = [
    ("counted MiB", "counted_kib", 1024.0),
    ("resident MiB", "steady_kib", 1024.0),
    ("peak MiB", "peak_kib", 1024.0),
    ("ns an announce", "announce_ns", 1.0),
    ("forgotten, MiB", "expired_kib", 1024.0),
    ("trimmed, MiB", "trimmed_kib", 1024.0),
    ("trim ms", "trim_ms", 1.0),
];

pub(crate) fn run(options: &Options, stop: &AtomicBool) -> Result<(), String> {
    let allocators = options.allocators.iter().map(|name| {
        let found = ALLOCATORS.iter().find(|allocator| allocator.name == name);
        found.ok_or_else(|| format!("there is no allocator {name}; see --help"))
    });
    let allocators = allocators.collect::<Result<Vec<_>, _>>()?;
    let mut page = match options.date.as_str() {
        "" => format!("{}.\n\n", describe_machine()),
        date => format!("{date}. {}.\n\n", describe_machine()),
    };
    page.push_str("| torrents x peers | allocator |");
    for (name, ..) in COLUMNS {
        let _ = write!(page, " {name} |");
    }
    let _ = writeln!(page, "\n|---|---|{}", "---|".repeat(COLUMNS.len()));
    for shape in &options.shapes {
        for allocator in &allocators {
            let mut reports = Vec::new();
            for _ in 0..options.rounds {
                if stop.load(Ordering::Relaxed) {
                    return Err(String::from("stopped"));
                }
                reports.extend(life_of(allocator, *shape, options.lives)?);
            }
            let row = row(allocator, *shape, &reports);
            eprint!("{row}");
            page.push_str(&row);
        }
    }
    print!("{page}");
    match &options.write {
        Some(file) => replace_page(file, &MEMORY, &page),
        None => Ok(()),
    }
}

fn row(allocator: &Allocator, (torrents, peers): (u32, u32), reports: &[Value]) -> String {
    let mut row = format!("| {torrents} x {peers} | {} |", allocator.name);
    for (_, figure, unit) in COLUMNS {
        let mut figures: Vec<f64> = reports.iter().filter_map(|r| r[figure].as_f64()).collect();
        figures.sort_unstable_by(f64::total_cmp);
        // Neighbours make things slower, never quicker.
        let at = if figure.ends_with("kib") {
            figures.len() / 2
        } else {
            0
        };
        match figures.get(at) {
            Some(figure) => {
                let _ = write!(row, " {:.1} |", figure / unit);
            }
            None => row.push_str(" - |"),
        }
    }
    row.push('\n');
    row
}

/// Lives once in a process of its own; nothing when the allocator is not installed.
fn life_of(
    allocator: &Allocator,
    (torrents, peers): (u32, u32),
    lives: u32,
) -> Result<Option<Value>, String> {
    let program = env::current_exe().map_err(|error| format!("where is this program: {error}"))?;
    let mut command = Command::new(program);
    command.args(["life", &torrents.to_string(), &peers.to_string()]);
    command.args(["--lives", &lives.to_string()]);
    if allocator.name != "shoal" {
        command.arg("--bare");
    }
    if !allocator.library.is_empty() {
        let library = Path::new(LIBRARIES).join(allocator.library);
        if !library.exists() {
            return Ok(None);
        }
        command.env("LD_PRELOAD", library);
    }
    command.envs(allocator.variable);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start this program again: {error}"))?;
    let report = serde_json::from_slice(&output.stdout);
    report.map(Some).map_err(|_| {
        format!(
            "{} with {torrents} x {peers}: {}",
            allocator.name, output.status
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_two_numbers_that_are_not_0() {
        assert_eq!(shape("10x4"), Ok((10, 4)));
        for text in ["", "10", "0x4", "4x0", "4x-1", "axb"] {
            assert!(shape(text).is_err(), "{text}");
        }
    }
}
