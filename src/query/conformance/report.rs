//! What a tracker did, check by check, and what that comes to.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

/// How a tracker did in one check.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Lawful, but not what we hold to be best.
    Differs,
    /// Against a BEP, harmful to real clients, or a security hole.
    Fail,
    /// Not looked at; what came back says why.
    Skipped,
}

impl Verdict {
    /// The word of tables and of JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Differs => "differs",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
        }
    }
}

/// What was sent in one piece, and what came back for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exchange {
    /// The bytes of the request.
    pub sent: Vec<u8>,
    /// The bytes of each datagram that came, or of one whole HTTP reply.
    pub received: Vec<Vec<u8>>,
}

/// One line of a report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Stable name, such as `udp.connect.length`.
    pub id: &'static str,
    /// The heading it stands under.
    pub group: &'static str,
    /// Where the rule stands.
    pub source: &'static str,
    /// What should be so, in a few words.
    pub title: &'static str,
    /// How the tracker did.
    pub verdict: Verdict,
    /// What was sent, in words.
    pub sent: &'static str,
    /// What should come back.
    pub expected: &'static str,
    /// What came back; the reason when it was skipped.
    pub came_back: String,
    /// Why it matters.
    pub why: &'static str,
    /// The bytes.
    pub wire: Vec<Exchange>,
}

/// How many checks ended how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Summary {
    /// [`Verdict::Pass`].
    pub pass: usize,
    /// [`Verdict::Differs`].
    pub differs: usize,
    /// [`Verdict::Fail`].
    pub fail: usize,
    /// [`Verdict::Skipped`].
    pub skipped: usize,
}

/// What one tracker did in all checks for its protocol.
#[derive(Clone, Debug)]
pub struct Report {
    /// The URL.
    pub target: String,
    /// The address that was asked.
    pub address: SocketAddr,
    /// The address of the other family, for the checks that want both.
    pub other_address: Option<SocketAddr>,
    /// Datagrams or HTTP requests that the tracker was sent.
    pub sent: usize,
    /// How long all of it took.
    pub took: Duration,
    /// In the order of the checks.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many checks ended how.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for finding in &self.findings {
            *match finding.verdict {
                Verdict::Pass => &mut summary.pass,
                Verdict::Differs => &mut summary.differs,
                Verdict::Fail => &mut summary.fail,
                Verdict::Skipped => &mut summary.skipped,
            } += 1;
        }
        summary
    }

    /// Whether no check failed: exit code 0.
    pub fn is_good(&self) -> bool {
        self.summary().fail == 0
    }

    /// What [`Report::sent`] counts.
    pub(super) fn unit(&self) -> &'static str {
        if self.target.starts_with("udp:") {
            "datagram"
        } else {
            "request"
        }
    }

    /// The check of that id.
    pub fn finding(&self, id: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.id == id)
    }

    /// The ids of all checks with that verdict.
    pub fn ids(&self, verdict: Verdict) -> Vec<&'static str> {
        let of_verdict = self
            .findings
            .iter()
            .filter(|found| found.verdict == verdict);
        of_verdict.map(|finding| finding.id).collect()
    }

    /// One JSON object. `hex` adds `wire` to every check: a list of `sent` and `received`, both in hex.
    pub fn to_json(&self, hex: bool) -> Value {
        let checks: Vec<Value> = self
            .findings
            .iter()
            .map(|finding| finding.to_json(hex))
            .collect();
        json!({
            "target": self.target,
            "address": self.address.to_string(),
            "other_address": self.other_address.map(|address| address.to_string()),
            "sent": self.sent,
            "took_ms": self.took.as_millis() as u64,
            "summary": self.summary(),
            "checks": checks,
        })
    }
}

impl Finding {
    fn to_json(&self, hex: bool) -> Value {
        let mut object = json!({
            "id": self.id,
            "group": self.group,
            "source": self.source,
            "title": self.title,
            "verdict": self.verdict,
            "sent": self.sent,
            "expected": self.expected,
            "came_back": self.came_back,
            "why": self.why,
        });
        if hex {
            let wire = self.wire.iter().map(|exchange| {
                let received: Vec<String> = exchange
                    .received
                    .iter()
                    .map(|bytes| to_hex(bytes))
                    .collect();
                json!({ "sent": to_hex(&exchange.sent), "received": received })
            });
            object["wire"] = wire.collect();
        }
        object
    }
}

/// Two lower-case digits a byte.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
