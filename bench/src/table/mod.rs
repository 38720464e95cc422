//! Turns the results of many runs into one page of Markdown.
//!
//! The results are files named `SERVER.PHASE.ROUND.json` in one directory, as `load --json` and
//! `watch --json` write them: `echo.saturated.1.json`, `shoal-mmsg.memory-1Mx4.1.json`; or, for the
//! page about HTTP, `cost --json` and `http-idle --json`: `shoal.http-keepalive.1.json`. The page of Shoal
//! beside other trackers takes both, and draws pictures.

mod compare;
mod http;
mod machine;
mod page;
mod readme;

pub(crate) use machine::describe as describe_machine;
pub(crate) use readme::{CURVES, MEMORY, replace as replace_page};

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Print the results of many runs as one page: medians, and ratios to the echo.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// Directory with the results, files named SERVER.PHASE.ROUND.json
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// Date to print
    #[arg(long, value_name = "DATE", default_value = "")]
    date: String,

    /// The page about HTTP
    #[arg(long)]
    http: bool,

    /// The page of Shoal beside other trackers
    #[arg(long, conflicts_with = "http")]
    compare: bool,

    /// What to say of the servers, Markdown, on top of --compare's page
    #[arg(long, value_name = "FILE", requires = "compare")]
    about: Option<PathBuf>,

    /// Draw --compare's pictures into this folder, which lies beside the page's file
    #[arg(long, value_name = "DIR", requires = "compare")]
    plots: Option<PathBuf>,

    /// Also put the page between the marks of this Markdown file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let results = Results::read(&options.dir)?;
    let machine = machine::describe();
    let (page, marks) = if options.compare {
        let about = match &options.about {
            None => String::new(),
            Some(file) => fs::read_to_string(file)
                .map_err(|error| format!("cannot read {}: {error}", file.display()))?,
        };
        let page = compare::page(&results, &machine, &options.date, &about);
        (page, readme::COMPARE)
    } else if options.http {
        let page = http::page(&results, &machine, &options.date);
        (page, readme::HTTP)
    } else {
        let page = page::page(&results, &machine, &options.date);
        (page, readme::UDP)
    };
    if let Some(dir) = &options.plots {
        draw(&results, dir)?;
    }
    print!("{page}");
    match &options.write {
        Some(file) => readme::replace(file, &marks, &page),
        None => Ok(()),
    }
}

/// Draws all pictures anew, empty ones too, lest one of another day stand beside figures of this.
fn draw(results: &Results, dir: &Path) -> Result<(), String> {
    let cannot = |what: &Path, error| format!("cannot write {}: {error}", what.display());
    fs::create_dir_all(dir).map_err(|error| cannot(dir, error))?;
    for picture in compare::draw(results) {
        let file = dir.join(picture.name).with_extension("svg");
        fs::write(&file, compare::svg(&picture)).map_err(|error| cannot(&file, error))?;
    }
    Ok(())
}

/// All results, by server and phase, the rounds in order.
#[derive(Default)]
struct Results {
    runs: BTreeMap<(String, String), Rounds>,
}

/// The results of one server in one phase, by round.
type Rounds = BTreeMap<u32, Value>;

impl Results {
    fn read(dir: &Path) -> Result<Self, String> {
        let cannot = |what: &Path, error| format!("cannot read {}: {error}", what.display());
        let mut results = Self::default();
        for entry in fs::read_dir(dir)
            .map_err(|error| cannot(dir, error.to_string()))?
            .flatten()
        {
            let path = entry.path();
            let name = entry.file_name();
            let parts: Vec<&str> = name.to_str().unwrap_or("").split('.').collect();
            let &[server, phase, round, "json"] = parts.as_slice() else {
                continue;
            };
            let Ok(round) = round.parse() else { continue };
            let text =
                fs::read_to_string(&path).map_err(|error| cannot(&path, error.to_string()))?;
            let result =
                serde_json::from_str(&text).map_err(|error| cannot(&path, error.to_string()))?;
            results.insert(server, phase, round, result);
        }
        if results.runs.is_empty() {
            return Err(format!("no SERVER.PHASE.ROUND.json in {}", dir.display()));
        }
        Ok(results)
    }

    fn insert(&mut self, server: &str, phase: &str, round: u32, result: Value) {
        let runs = self.runs.entry((server.into(), phase.into())).or_default();
        runs.insert(round, result);
    }

    /// The echo first, because all is compared with it, then Shoal; the others by name.
    fn servers(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .runs
            .keys()
            .map(|(server, _)| server.as_str())
            .collect();
        names.dedup();
        names.sort_by_key(|&name| (name != ECHO, name != SHOAL));
        names
    }

    /// Every round's number at `pointer`.
    fn numbers(&self, server: &str, phase: &str, pointer: &str) -> BTreeMap<u32, f64> {
        let runs = self.runs.get(&(server.into(), phase.into()));
        runs.into_iter()
            .flatten()
            .filter_map(|(&round, result)| Some((round, result.pointer(pointer)?.as_f64()?)))
            .collect()
    }

    fn median(&self, server: &str, phase: &str, pointer: &str) -> Option<f64> {
        median(self.numbers(server, phase, pointer).into_values())
    }

    /// The lowest and the highest of all rounds.
    fn extremes(&self, server: &str, phase: &str, pointer: &str) -> Option<(f64, f64)> {
        let numbers = self.numbers(server, phase, pointer);
        let lowest = numbers.values().copied().reduce(f64::min)?;
        let highest = numbers.values().copied().reduce(f64::max)?;
        Some((lowest, highest))
    }

    /// How many times the number of the server `of`, round by round, because what disturbs a machine
    /// disturbs neighbours in time alike; then the median.
    fn times(&self, of: &str, server: &str, phase: &str, pointer: &str) -> Option<f64> {
        let theirs = self.numbers(of, phase, pointer);
        let ours = self.numbers(server, phase, pointer);
        let ratios = ours.iter().filter_map(|(round, number)| {
            let other = theirs.get(round).filter(|&&other| other > 0.0)?;
            Some(number / other)
        });
        median(ratios)
    }
}

/// The servers that all others are compared with.
const ECHO: &str = "echo";
const SHOAL: &str = "shoal";

fn median(numbers: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => None,
        len if len % 2 == 1 => Some(numbers[middle]),
        _ => Some(f64::midpoint(numbers[middle - 1], numbers[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn medians_are_the_middle_or_between_the_two_middles() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([1.0, 2.0, 3.0, 9.0]), Some(2.5));
    }

    #[test]
    fn ratios_compare_runs_of_the_same_round_only() {
        let mut results = Results::default();
        for (server, round, number) in [
            ("echo", 1, 100.0),
            ("echo", 2, 10.0),
            ("other", 1, 200.0),
            ("other", 2, 30.0),
            ("other", 3, 7000.0),
        ] {
            results.insert(server, "saturated", round, json!({"a": {"b": number}}));
        }
        assert_eq!(results.times(ECHO, "other", "saturated", "/a/b"), Some(2.5));
        assert_eq!(results.median("other", "saturated", "/a/b"), Some(200.0));
        assert_eq!(results.times(ECHO, "other", "paced", "/a/b"), None);
        assert_eq!(results.servers(), ["echo", "other"]);
    }
}
