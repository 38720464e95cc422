//! The report for people.

use std::fmt;

use super::count;
use super::report::{Finding, Report, Verdict, to_hex};

/// Bytes of a hex line.
const HEX_LINE_LEN: usize = 32;

impl Report {
    /// Checks under their headings, one block each: the verdict, the id and the title, what was sent and
    /// what came back; where it did not pass, also what was expected and why that matters. `colour` is
    /// for terminals, `hex` adds the bytes.
    pub fn table(&self, colour: bool, hex: bool) -> Table<'_> {
        Table {
            report: self,
            colour,
            hex,
        }
    }
}

/// A report that is about to be written.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    report: &'a Report,
    colour: bool,
    hex: bool,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report;
        write!(f, "{} at {}", report.target, report.address)?;
        if let Some(other) = report.other_address {
            write!(f, " and {other}")?;
        }
        writeln!(f)?;
        let ids = report.findings.iter().map(|finding| finding.id.len());
        let width = ids.max().unwrap_or(0);
        let mut group = "";
        for finding in &report.findings {
            if finding.group != group {
                group = finding.group;
                writeln!(f, "\n{}", self.painted("1", group))?;
            }
            self.write_finding(f, finding, width)?;
        }
        let summary = report.summary();
        writeln!(
            f,
            "\n{} passed, {} differ, {} failed, {} skipped; {} sent in {:.1} s",
            summary.pass,
            summary.differs,
            summary.fail,
            summary.skipped,
            count(report.sent, report.unit()),
            report.took.as_secs_f64(),
        )
    }
}

impl Table<'_> {
    fn write_finding(
        &self,
        f: &mut fmt::Formatter<'_>,
        finding: &Finding,
        width: usize,
    ) -> fmt::Result {
        let (word, colour) = match finding.verdict {
            Verdict::Pass => ("pass   ", "32"),
            Verdict::Differs => ("differs", "33"),
            Verdict::Fail => ("FAIL   ", "31"),
            Verdict::Skipped => ("skipped", "2"),
        };
        let word = self.painted(colour, word);
        writeln!(
            f,
            "  {word}  {:width$}  {} [{}]",
            finding.id, finding.title, finding.source
        )?;
        if finding.verdict == Verdict::Skipped {
            writeln!(f, "           because    {}", finding.came_back)?;
        } else {
            writeln!(f, "           sent       {}", finding.sent)?;
            writeln!(f, "           came back  {}", finding.came_back)?;
        }
        if matches!(finding.verdict, Verdict::Differs | Verdict::Fail) {
            writeln!(f, "           expected   {}", finding.expected)?;
            writeln!(f, "           matters    {}", finding.why)?;
        }
        if self.hex {
            for exchange in &finding.wire {
                write_hex(f, '>', &exchange.sent)?;
                for received in &exchange.received {
                    write_hex(f, '<', received)?;
                }
            }
        }
        Ok(())
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, direction: char, bytes: &[u8]) -> fmt::Result {
    if bytes.is_empty() {
        writeln!(f, "           {direction} 0 bytes")?;
    }
    for (line, piece) in bytes.chunks(HEX_LINE_LEN).enumerate() {
        let at = line * HEX_LINE_LEN;
        writeln!(f, "           {direction} {at:04x}  {}", to_hex(piece))?;
    }
    Ok(())
}
