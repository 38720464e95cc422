//! What every operation may take: a file that is kept with the sources.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use shoal_bench::operations::Operation;
use toml::{Table, Value};

const HEAD: &str = "\
# How many instructions each operation takes (bench/src/operations/). Counted by valgrind; written by
# scripts/instructions.sh --write, which also checks it: more than 3% above a figure fails the tests.
";

/// The stored counts.
#[derive(Default)]
pub(super) struct Budget {
    /// What it was counted with.
    pub(super) toolchain: String,
    counts: BTreeMap<String, f64>,
}

/// What came of a comparison, with the difference in percent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Verdict {
    Within(f64),
    Dearer(f64),
    Cheaper(f64),
    /// The budget does not know the operation.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Within(percent) => write!(f, "{percent:+.2}%"),
            Self::Dearer(percent) => write!(f, "{percent:+.2}% TOO MUCH"),
            Self::Cheaper(percent) => write!(f, "{percent:+.2}% cheaper"),
            Self::Unknown => f.write_str("NOT IN THE BUDGET"),
        }
    }
}

impl Budget {
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let name = file.display();
        let text =
            fs::read_to_string(file).map_err(|error| format!("cannot read {name}: {error}"))?;
        Self::parse(&text).map_err(|error| format!("{name}: {error}"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let table: Table = text.parse().map_err(|error| format!("{error}"))?;
        let toolchain = table.get("toolchain").and_then(Value::as_str);
        let counts = table.get("instructions").and_then(Value::as_table);
        let (Some(toolchain), Some(counts)) = (toolchain, counts) else {
            return Err(String::from("toolchain or [instructions] is missing"));
        };
        let number = |(name, count): (&String, &Value)| {
            let count = count.as_float().filter(|count| *count > 0.0);
            let count = count.ok_or_else(|| format!("{name} is not a number above 0.0"))?;
            Ok((name.clone(), count))
        };
        Ok(Self {
            toolchain: toolchain.to_owned(),
            counts: counts.iter().map(number).collect::<Result<_, String>>()?,
        })
    }

    pub(super) fn of(&self, name: &str) -> Option<f64> {
        self.counts.get(name).copied()
    }

    pub(super) fn set(&mut self, name: &str, counted: f64) {
        self.counts.insert(name.to_owned(), counted);
    }

    pub(super) fn judge(&self, name: &str, counted: f64, slack: f64) -> Verdict {
        let Some(allowed) = self.of(name) else {
            return Verdict::Unknown;
        };
        let change = counted / allowed - 1.0;
        let percent = change * 100.0;
        if change > slack {
            Verdict::Dearer(percent)
        } else if change < -slack {
            Verdict::Cheaper(percent)
        } else {
            Verdict::Within(percent)
        }
    }

    /// An error when an operation has gone whose budget is still there.
    pub(super) fn knows_no_others(&self, operations: &[&Operation]) -> Result<(), String> {
        let is_there = |name: &str| operations.iter().any(|operation| operation.name == name);
        match self.counts.keys().find(|name| !is_there(name)) {
            None => Ok(()),
            Some(name) => Err(format!(
                "the budget has an operation that is no more: {name}"
            )),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{HEAD}toolchain = {:?}\n\n[instructions]\n", self.toolchain);
        for (name, count) in &self.counts {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{name} = {count:.1}");
        }
        text
    }

    pub(super) fn write(&self, file: &Path) -> Result<(), String> {
        fs::write(file, self.text())
            .map_err(|error| format!("cannot write {}: {error}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        Budget {
            toolchain: String::from("rustc 9 \"beta\""),
            counts: [("a".to_owned(), 100.0), ("b-c".to_owned(), 12.5)].into(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let read = Budget::parse(&budget().text()).unwrap();
        assert_eq!(read.toolchain, budget().toolchain);
        assert_eq!(read.counts, budget().counts);
    }

    #[test]
    fn three_percent_are_allowed_in_both_directions() {
        for (counted, verdict) in [
            (102.9, Verdict::Within(2.9)),
            (105.0, Verdict::Dearer(5.0)),
            (97.1, Verdict::Within(-2.9)),
            (96.0, Verdict::Cheaper(-4.0)),
        ] {
            let judged = budget().judge("a", counted, 0.03);
            assert_eq!(format!("{judged}"), format!("{verdict}"));
        }
        assert_eq!(budget().judge("z", 1.0, 0.03), Verdict::Unknown);
    }

    #[test]
    fn a_budget_with_a_mistake_is_refused() {
        for (text, what) in [
            ("", "toolchain or [instructions] is missing"),
            (
                "toolchain = 'x'\n[instructions]\na = 'b'",
                "a is not a number",
            ),
            (
                "toolchain = 'x'\n[instructions]\na = 0.0",
                "a is not a number",
            ),
            ("toolchain", "expected"),
        ] {
            let error = Budget::parse(text).err().unwrap();
            assert!(error.contains(what), "{text:?}: {error}");
        }
    }

    #[test]
    fn an_operation_that_has_gone_is_named() {
        let error = budget().knows_no_others(&[]).unwrap_err();
        assert!(error.ends_with("no more: a"), "{error}");
    }
}
