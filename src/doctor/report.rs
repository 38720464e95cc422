//! What was found, for people and for programs. `docs/doctor.md` describes both.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::fix::Written;
use crate::query::failure::json_text;

/// The number of the JSON's form. It changes when a key changes its meaning or goes, not when one is added.
const VERSION: u32 = 1;

/// What a finding means for the tracker, from harmless to harmful.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It could not be looked at, or was not to be.
    NotKnown,
    /// It works, and would work better otherwise.
    CouldBeBetter,
    /// Requests are lost, or will be under load.
    WillLosePackets,
}

impl Verdict {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::NotKnown => "not known",
            Self::CouldBeBetter => "could be better",
            Self::WillLosePackets => "will lose packets",
        }
    }

    /// For programs, which rely on it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::NotKnown => "not_known",
            Self::CouldBeBetter => "could_be_better",
            Self::WillLosePackets => "will_lose_packets",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Stable name of the check, such as `conntrack`.
    pub check: &'static str,
    /// What of many was looked at: a setting, a network card, a file, a URL.
    pub about: Option<String>,
    /// What it means.
    pub verdict: Verdict,
    /// What is so.
    pub value: String,
    /// What should be so.
    pub wanted: String,
    /// The line that makes it so: a command, or a line of a file that is named in it.
    pub fix: Option<String>,
}

impl Finding {
    /// A finding that needs no fix yet.
    pub fn new(
        check: &'static str,
        verdict: Verdict,
        value: impl Into<String>,
        wanted: impl Into<String>,
    ) -> Self {
        Self {
            check,
            about: None,
            verdict,
            value: value.into(),
            wanted: wanted.into(),
            fix: None,
        }
    }

    /// What could not be looked at, and why.
    pub fn not_known(
        check: &'static str,
        why: impl Into<String>,
        wanted: impl Into<String>,
    ) -> Self {
        Self::new(check, Verdict::NotKnown, why, wanted)
    }

    /// The same about one of many.
    #[must_use]
    pub fn about(mut self, what: impl Into<String>) -> Self {
        self.about = Some(what.into());
        self
    }

    /// The same with the line that mends it. What is good needs none.
    #[must_use]
    pub fn fix(mut self, line: impl Into<String>) -> Self {
        if self.verdict != Verdict::Good {
            self.fix = Some(line.into());
        }
        self
    }

    fn title(&self) -> String {
        match &self.about {
            Some(about) => format!("{} {about}", self.check),
            None => self.check.to_owned(),
        }
    }
}

/// The worst of all.
pub fn worst(findings: &[Finding]) -> Verdict {
    let verdicts = findings.iter().map(|finding| finding.verdict);
    verdicts.max().unwrap_or(Verdict::Good)
}

/// A paragraph for each finding and a last line that counts them.
pub fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.title().len()).max();
    // A URL may be long; the others should not suffer for it.
    let width = width.unwrap_or(0).min(40);
    let verdict_width = Verdict::WillLosePackets.words().len();
    let indent = verdict_width + 2 + width + 2;
    let mut text = String::new();
    for finding in findings {
        let verdict = finding.verdict.words();
        let title = finding.title();
        let (value, wanted) = (&finding.value, &finding.wanted);
        let _ = write!(text, "{verdict:<verdict_width$}  {title:<width$}  {value}");
        // What is good is read over, so it takes one line.
        let _ = match finding.verdict {
            Verdict::Good => writeln!(text, " (wanted: {wanted})"),
            _ => writeln!(text, "\n{:indent$}wanted: {wanted}", ""),
        };
        if let Some(fix) = &finding.fix {
            let _ = writeln!(text, "{:indent$}fix:    {fix}", "");
        }
    }
    let of = |verdict| {
        let ones = findings.iter().filter(|one| one.verdict == verdict);
        ones.count()
    };
    let _ = writeln!(
        text,
        "\n{} will lose packets, {} could be better, {} good, {} not known",
        of(Verdict::WillLosePackets),
        of(Verdict::CouldBeBetter),
        of(Verdict::Good),
        of(Verdict::NotKnown),
    );
    text
}

/// The whole as JSON, with a line end. `source` says where the configuration came from.
pub fn json(source: &str, findings: &[Finding], written: &[Written]) -> String {
    let listed: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "check": finding.check,
                "about": finding.about,
                "verdict": finding.verdict.name(),
                "value": finding.value,
                "wanted": finding.wanted,
                "fix": finding.fix,
            })
        })
        .collect();
    let files: Vec<Value> = written
        .iter()
        .map(|written| {
            json!({
                "path": written.path,
                "content": written.file.content,
                "next": written.file.next,
                "written": written.result.is_ok(),
                "error": written.result.as_ref().err(),
            })
        })
        .collect();
    let whole = json!({
        "version": VERSION,
        "configuration": source,
        "verdict": worst(findings).name(),
        "findings": listed,
        "files": files,
    });
    json_text(&whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> [Finding; 2] {
        [
            Finding::new("kernel", Verdict::Good, "6.12", "6.1 or newer").fix("none"),
            Finding::new("rmem", Verdict::WillLosePackets, "212992", "8388608")
                .about("net.core.rmem_max")
                .fix("sysctl -w net.core.rmem_max=16777216"),
        ]
    }

    #[test]
    fn the_worst_verdict_rules() {
        assert_eq!(worst(&[]), Verdict::Good);
        assert_eq!(worst(&findings()), Verdict::WillLosePackets);
        assert!(Verdict::NotKnown < Verdict::CouldBeBetter);
    }

    #[test]
    fn what_is_good_takes_one_line_and_what_is_not_says_what_mends_it() {
        let text = text(&findings());
        assert_eq!(
            text,
            "good               kernel                  6.12 (wanted: 6.1 or newer)\n\
             will lose packets  rmem net.core.rmem_max  212992\n\
             \x20                                          wanted: 8388608\n\
             \x20                                          fix:    sysctl -w net.core.rmem_max=16777216\n\
             \n1 will lose packets, 0 could be better, 1 good, 0 not known\n"
        );
    }

    #[test]
    fn json_says_everything() {
        let text = json("built-in defaults", &findings(), &[]);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["version"], 1);
        assert_eq!(value["verdict"], "will_lose_packets");
        assert_eq!(value["findings"][0]["fix"], Value::Null);
        assert_eq!(value["findings"][1]["about"], "net.core.rmem_max");
        assert_eq!(value["files"], json!([]));
    }
}
