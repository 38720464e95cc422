//! One question to one address: [`ask`] gives an [`Outcome`] whatever happens.

mod http;
pub mod proxy;
pub mod udp;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::query::decode::{Decoded, Refused};
use crate::query::failure::{Deadline, Failure, Kind};
use crate::query::outcome::{Answer, Exchange, Outcome, PeerForm, Question};
use crate::query::profile::Profile;
use crate::query::target::{Family, Scheme, Target};
use crate::query::wire::tls::Trust;
use crate::wire::udp::ask::Announce;
use crate::wire::{Event, NumWant};

/// How long a `stopped` may take, as long as libtorrent waits for one.
const FAREWELL: Duration = Duration::from_secs(5);

/// How questions are put.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Which client asks.
    pub profile: Profile,
    /// Whether compact peers are wanted rather than dictionaries; over HTTP only.
    pub compact: bool,
    /// Header fields for HTTP, without line ends.
    pub fields: Vec<String>,
    /// Whom TLS trusts.
    pub trust: Arc<Trust>,
    /// Which addresses redirects may lead to.
    pub family: Family,
    /// How long an unanswered datagram waits until it is sent again, the first time; then twice as
    /// long, and so on. BEP 15 has 15 s.
    pub first_wait: Duration,
    /// Whether a peer that was left behind is taken back with a `stopped`.
    pub farewell: bool,
    /// Whether outcomes keep what went over the wire.
    pub record: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            compact: true,
            fields: Vec::new(),
            trust: Arc::default(),
            family: Family::Any,
            first_wait: Duration::from_secs(15),
            farewell: true,
            record: false,
        }
    }
}

/// Asks `address`, which is one of those of `target`, and comes back before the deadline.
pub fn ask(
    target: &Target,
    address: SocketAddr,
    question: &Question,
    manner: &Manner,
    deadline: Deadline,
) -> Outcome {
    let mut outcome = Outcome {
        target: Some(target.clone()),
        address: Some(address),
        client: manner.profile.name(),
        ..Outcome::new(&target.to_string(), question.clone())
    };
    if target.scheme == Scheme::Https {
        // Reading the authorities takes longer than many a tracker. What is wrong with them shows below.
        let _ = manner.trust.tls();
    }
    let start = Instant::now();
    match target.scheme {
        Scheme::Udp => {
            let mut tracker = udp::Tracker::new(target, address, manner);
            let result = tracker.ask(question, &mut outcome.notes, deadline);
            outcome.took = start.elapsed();
            settle(&mut outcome, result.map_err(Refused::from));
            if let Some(stopped) = farewell(&outcome, manner) {
                let deadline = deadline.within(FAREWELL);
                let left = tracker.ask(&stopped, &mut Vec::new(), deadline);
                outcome.farewell = Some(left.map(drop));
            }
            outcome.exchanges = tracker.exchanges;
        }
        Scheme::Http | Scheme::Https => {
            let mut tracker = http::Tracker::new(target, address, manner);
            let result = tracker.ask(question, deadline);
            outcome.took = start.elapsed();
            outcome.status = tracker.status;
            outcome.redirects = tracker.redirects.clone();
            settle(&mut outcome, result);
            if let Some(stopped) = farewell(&outcome, manner) {
                let deadline = deadline.within(FAREWELL);
                let left = tracker.ask(&stopped, deadline);
                outcome.farewell = Some(left.map(drop).map_err(|refused| refused.failure));
            }
            outcome.exchanges = tracker.exchanges;
        }
    }
    outcome
}

/// Whether a page is there: its status, such as "200 OK", or why not.
pub fn health(
    target: &Target,
    address: SocketAddr,
    manner: &Manner,
    deadline: Deadline,
) -> Result<String, Failure> {
    match target.scheme {
        Scheme::Http | Scheme::Https => {
            http::Tracker::new(target, address, manner).health(deadline)
        }
        Scheme::Udp => Err(Failure::new(
            Kind::Unaskable,
            "a health check is made over HTTP",
        )),
    }
}

/// Writes the result into the outcome, with what is odd about it.
fn settle(outcome: &mut Outcome, result: Result<Decoded<Answer>, Refused>) {
    match result {
        Ok(Decoded { answer, notes }) => {
            outcome.notes.extend(notes);
            note_peers(outcome, &answer);
            outcome.result = Ok(answer);
        }
        Err(Refused { failure, retry_in }) => {
            outcome.retry_in = retry_in;
            outcome.result = Err(failure);
        }
    }
}

/// What only the question and the address show to be odd.
fn note_peers(outcome: &mut Outcome, answer: &Answer) {
    let Answer::Announce(answer) = answer else {
        return;
    };
    let given = answer.peers.len();
    if let Some(wanted) = outcome.question.num_want()
        && given > wanted as usize
    {
        let note = format!("{given} peers, although at most {wanted} were wanted");
        outcome.notes.push(note);
    }
    let is_v6 = outcome.address.is_some_and(|address| address.is_ipv6());
    let v4 = answer.count(PeerForm::V4);
    if is_v6 && v4 > 0 && v4 == given {
        let note = "only IPv4 peers, although it was asked over IPv6";
        outcome.notes.push(note.to_owned());
    }
}

/// The announce that takes back what this one has left behind, if it is to be taken back.
fn farewell(outcome: &Outcome, manner: &Manner) -> Option<Question> {
    let wanted = manner.farewell && outcome.is_good() && outcome.question.leaves_a_peer();
    match &outcome.question {
        Question::Announce(announce) if wanted => Some(stopped(announce)),
        _ => None,
    }
}

/// The same peer leaves.
pub(super) fn stopped(announce: &Announce) -> Question {
    Question::Announce(Announce {
        event: Event::Stopped,
        num_want: NumWant::AtMost(0),
        ..*announce
    })
}

/// Keeps what went over the wire, if it is to be kept.
fn record(exchanges: &mut Vec<Exchange>, manner: &Manner, exchange: impl FnOnce() -> Exchange) {
    if manner.record {
        exchanges.push(exchange());
    }
}

/// What an exchange is for.
fn purpose(question: &Question) -> &'static str {
    match question {
        Question::Announce(announce) if announce.event == Event::Stopped => "stopped",
        Question::Announce(_) => "announce",
        Question::Scrape(_) | Question::FullScrape => "scrape",
    }
}

/// Nothing more is worth sending.
fn out_of_time(what: &str, deadline: Deadline) -> Result<(), Failure> {
    match deadline.left() {
        Some(_) => Ok(()),
        None => Err(Failure::timed_out(what)),
    }
}
