//! How many instructions an operation takes. On a machine with neighbours a timing moves by tens of
//! percent from run to run; the number of instructions does not, so a budget can hold it.
//!
//! ```text
//!   instructions                  one operation after the other:
//!     valgrind operation NAME n       counts start, preparation and n rounds
//!     valgrind operation NAME 2n      counts start, preparation and twice as many
//!     difference / n                  is what a round takes
//! ```
//!
//! The program must be built without instructions that only some processors have, which Rust does unless it
//! is told otherwise; what the C library chooses by processor is the same everywhere, because valgrind shows
//! it one and the same processor on every machine that has AVX2.

mod budget;
mod count;

use std::path::PathBuf;

use shoal_bench::operations::{self, Operation};

use budget::{Budget, Verdict};

/// How much more or less than its budget an operation may take.
const SLACK: f64 = 0.03;

/// The same when the budget was counted with another compiler or C library, which choose and order
/// instructions in their own way: only what went wrong as a whole shows.
const SLACK_ELSEWHERE: f64 = 0.25;

/// Count the instructions of every operation under valgrind, and compare them with the budget.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// File with the budget
    #[arg(long, value_name = "FILE")]
    budget: PathBuf,

    /// Write what was counted into the budget
    #[arg(long)]
    write: bool,

    /// Count these operations only
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,

    /// What compiled and what runs this, in a line that is kept with the budget
    #[arg(long, value_name = "TEXT", default_value = "")]
    toolchain: String,
}

/// Do an operation so many times; what valgrind watches
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Rounds {
    /// Name of the operation
    name: String,

    /// How many times
    rounds: u32,
}

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let operations = chosen(&options.only)?;
    let mut budget = match Budget::read(&options.budget) {
        Err(_) if options.write && !options.budget.exists() => Budget::default(),
        read => read?,
    };
    let here = options.toolchain == budget.toolchain;
    let slack = if here { SLACK } else { SLACK_ELSEWHERE };
    println!(
        "{:<28} {:>12} {:>12}",
        "operation", "instructions", "budget"
    );
    let (mut dearer, mut cheaper) = (0, 0);
    for operation in &operations {
        let counted = count::of(operation)?;
        let verdict = budget.judge(operation.name, counted, slack);
        let allowed = budget.of(operation.name);
        let allowed = allowed.map_or_else(|| String::from("-"), |allowed| format!("{allowed:.1}"));
        println!(
            "{:<28} {counted:>12.1} {allowed:>12}  {verdict}",
            operation.name
        );
        match verdict {
            Verdict::Within(_) => {}
            Verdict::Dearer(_) | Verdict::Unknown => dearer += 1,
            Verdict::Cheaper(_) => cheaper += 1,
        }
        if options.write {
            budget.set(operation.name, counted);
        }
    }
    if options.write {
        budget.toolchain.clone_from(&options.toolchain);
        return budget.write(&options.budget);
    }
    if !here {
        println!(
            "the budget was counted elsewhere, so that {:.0}% are allowed: {} there, {} here",
            slack * 100.0,
            budget.toolchain,
            options.toolchain
        );
    }
    if options.only.is_empty() {
        budget.knows_no_others(&operations)?;
    }
    if cheaper > 0 {
        println!(
            "{cheaper} cheaper than their budget: scripts/instructions.sh --write keeps the gain"
        );
    }
    match dearer {
        0 => Ok(()),
        _ => Err(format!(
            "{dearer} above their budget; if that is meant, scripts/instructions.sh --write stores it"
        )),
    }
}

/// Does an operation again and again, and nothing else.
pub(crate) fn rounds(options: &Rounds) -> Result<(), String> {
    let operation = find(&options.name)?;
    let mut work = (operation.prepare)();
    for _ in 0..options.rounds {
        work();
    }
    Ok(())
}

fn chosen(only: &[String]) -> Result<Vec<&'static Operation>, String> {
    if only.is_empty() {
        return Ok(operations::all().collect());
    }
    only.iter().map(|name| find(name)).collect()
}

fn find(name: &str) -> Result<&'static Operation, String> {
    operations::all()
        .find(|operation| operation.name == name)
        .ok_or_else(|| format!("there is no operation {name}"))
}
