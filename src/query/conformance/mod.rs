//! `shoal query --conformance URL`: does a tracker do what the BEPs say and what real clients need?
//!
//! ```text
//!   Check      a question: what is sent, what should come back, why that matters     udp/*.rs, http/*.rs
//!     | run    against a scene, which holds the sockets, the peers and the facts      udp/scene.rs, http/scene.rs
//!   Ruling     pass, differs, fail or skipped, and what came back
//!     |        with the bytes that went over the wire meanwhile
//!   Finding    one line of the report                                                report.rs, table.rs
//! ```
//!
//! A check that needs what the tracker does not give (it refuses the torrent, its peers do not meet) is
//! skipped with the reason. The peers that are announced live on made-up ports of this host in one torrent
//! that nobody has, and `stopped` is sent for every one of them at the end.

mod bencode;
mod http;
mod report;
mod table;
mod udp;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use report::{Exchange, Finding, Report, Summary, Verdict};

use crate::query::failure::{Failure, Kind};
use crate::query::target::{Scheme, Target};
use crate::query::wire::tls::Trust;
use crate::wire::InfoHash;

/// How a tracker is asked.
#[derive(Clone, Debug)]
pub struct Options {
    /// A torrent that the tracker serves, for one that refuses those nobody told it of.
    pub info_hash: Option<InfoHash>,
    /// Whom HTTPS trusts.
    pub trust: Arc<Trust>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How long a malformed HTTP request may go without an answer before it counts as ignored.
    pub malformed_timeout: Duration,
    /// How long the tracker may wait for the rest of an HTTP request that never comes.
    pub head_timeout: Duration,
    /// After how long an old connection id is tried; without it that is not checked, since it takes minutes.
    pub stale_after: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            info_hash: None,
            trust: Arc::default(),
            timeout: Duration::from_secs(5),
            malformed_timeout: Duration::from_secs(2),
            head_timeout: Duration::from_secs(35),
            stale_after: None,
        }
    }
}

/// Asks the tracker at `addresses`, which are those of `target`, every question there is for its protocol.
/// The first address is asked everything; the first one of the other family, if any, whether the two
/// families go together. `progress` hears the id of each check before it runs. `Err` says that there was no
/// address or no socket to ask with.
pub fn run(
    target: &Target,
    addresses: &[SocketAddr],
    options: &Options,
    progress: &mut dyn FnMut(&str),
) -> Result<Report, Failure> {
    let began = Instant::now();
    let Some(&address) = addresses.first() else {
        return Err(Failure::new(Kind::Unresolved, "there is no address to ask"));
    };
    let mut others = addresses.iter().copied();
    let other = others.find(|other| other.is_ipv4() != address.is_ipv4());
    let (findings, sent) = match target.scheme {
        Scheme::Udp => udp::run(target, address, other, options, progress)?,
        Scheme::Http | Scheme::Https => http::run(target, address, other, options, progress),
    };
    Ok(Report {
        target: target.to_string(),
        address,
        other_address: other,
        sent,
        took: began.elapsed(),
        findings,
    })
}

/// Asks the tracker at `address` only what newTrackon asks, and judges the answers as it does. For a tracker
/// that answers at all: nothing is skipped for want of answers. `Err` is a host that has no socket for it.
pub fn newtrackon(
    target: &Target,
    address: SocketAddr,
    options: &Options,
) -> Result<Vec<Finding>, Failure> {
    match target.scheme {
        Scheme::Udp => udp::newtrackon(target, address, options),
        Scheme::Http | Scheme::Https => Ok(http::newtrackon(target, address, options)),
    }
}

/// Peers, leechers and seeders of a random torrent that newTrackon takes for an accident.
const NEWTRACKON_PEERS_MAX: u64 = 10;

/// One question. Its texts are data so that a report can say them whatever the answer was.
struct Check<S> {
    /// Stable: scripts may rely on it.
    id: &'static str,
    /// Where the rule stands: a BEP, or whose behaviour it protects.
    source: &'static str,
    title: &'static str,
    sent: &'static str,
    expected: &'static str,
    why: &'static str,
    needs: Need,
    run: fn(&mut S) -> Ruling,
}

/// Checks under one heading.
struct Group<S: 'static> {
    title: &'static str,
    checks: &'static [Check<S>],
}

/// What a check cannot do without, each including those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Need {
    /// Nothing: it is run in any case.
    Nothing,
    /// The tracker answers at all.
    Answers,
    /// It serves our torrent.
    Served,
    /// Our peers are told of each other.
    Meeting,
    /// Nobody else is in our torrent, so that its counts are known.
    Alone,
}

/// What a check found.
struct Ruling {
    verdict: Verdict,
    came_back: String,
}

fn pass(came_back: impl Into<String>) -> Ruling {
    ruling(Verdict::Pass, came_back)
}

fn differs(came_back: impl Into<String>) -> Ruling {
    ruling(Verdict::Differs, came_back)
}

fn fail(came_back: impl Into<String>) -> Ruling {
    ruling(Verdict::Fail, came_back)
}

fn skipped(reason: impl Into<String>) -> Ruling {
    ruling(Verdict::Skipped, reason)
}

fn ruling(verdict: Verdict, came_back: impl Into<String>) -> Ruling {
    Ruling {
        verdict,
        came_back: came_back.into(),
    }
}

/// What checks are run against.
trait Scene {
    /// Why a check with these needs cannot be run, if it cannot.
    fn lacks(&self, needs: Need) -> Option<String>;
    /// What went over the wire since this was last asked.
    fn take_wire(&mut self) -> Vec<Exchange>;
}

fn run_checks<S: Scene>(
    scene: &mut S,
    groups: &[Group<S>],
    progress: &mut dyn FnMut(&str),
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for group in groups {
        for check in group.checks {
            progress(check.id);
            let ruling = match scene.lacks(check.needs) {
                Some(reason) => skipped(reason),
                None => (check.run)(scene),
            };
            findings.push(finding(scene, group.title, check, ruling));
        }
    }
    findings
}

/// A group whose checks ask for everything that they need.
fn run_group<S: Scene>(scene: &mut S, group: &Group<S>) -> Vec<Finding> {
    let run = |check: &Check<S>| {
        let ruling = (check.run)(scene);
        finding(scene, group.title, check, ruling)
    };
    group.checks.iter().map(run).collect()
}

fn finding<S: Scene>(
    scene: &mut S,
    group: &'static str,
    check: &Check<S>,
    ruling: Ruling,
) -> Finding {
    Finding {
        id: check.id,
        group,
        source: check.source,
        title: check.title,
        verdict: ruling.verdict,
        sent: check.sent,
        expected: check.expected,
        came_back: ruling.came_back,
        why: check.why,
        wire: scene.take_wire(),
    }
}

/// An info-hash that nobody has and that holds every byte which a careless tracker misreads: NUL, line ends,
/// the blank, `%`, `&`, `+`, `=`, `?`, and bytes past ASCII.
fn awkward_hash() -> InfoHash {
    let mut hash = *b"\x00\x01\x7f\x80\xff %&+-.=?_~\n\r\0\0\0";
    hash[16..].copy_from_slice(&fastrand::u32(..).to_be_bytes());
    InfoHash(hash)
}

/// The number with the thing that it counts, in the plural where it is one.
fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// A port for the first of a few peers: not one that means something, nor one that others follow badly.
fn first_port() -> u16 {
    fastrand::u16(20_000..60_000)
}
