//! What is counted and timed.

use hdrhistogram::Histogram;

use super::check::Fault;
use super::pending::{Asked, Kind};

/// Latencies are told from 1 us to 100 s, to three digits.
const LATENCY_MAX_NS: u64 = 100_000_000_000;

/// Requests of one kind. Those with a made-up connection id are not among them.
pub(crate) struct KindTally {
    /// Sent while it counted. Every one of them ends as answered, refused, invalid or lost, or is
    /// still `open` when the run was cut short.
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    /// Error packets.
    pub(crate) refused: u64,
    pub(crate) invalid: u64,
    pub(crate) lost: u64,
    /// Good replies that came while it counted, whenever they were asked for: the throughput.
    pub(crate) replies: u64,
    /// Nanoseconds from when a request should have left.
    pub(crate) latency: Histogram<u64>,
}

impl KindTally {
    fn new() -> Self {
        Self {
            sent: 0,
            answered: 0,
            refused: 0,
            invalid: 0,
            lost: 0,
            replies: 0,
            latency: Histogram::new_with_bounds(1000, LATENCY_MAX_NS, 3)
                .expect("1 us to 100 s to three digits is a range that histograms have"),
        }
    }

    pub(crate) fn open(&self) -> u64 {
        (self.sent).saturating_sub(self.answered + self.refused + self.invalid + self.lost)
    }
}

/// What became of the requests with made-up connection ids.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Forged {
    pub(crate) sent: u64,
    pub(crate) silent: u64,
    pub(crate) refused: u64,
    /// Answered as if the id were good: the tracker does not check.
    pub(crate) accepted: u64,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Answered,
    Refused,
    Invalid(Fault),
    Lost,
}

/// Everything that a measured stretch of time counts.
pub(crate) struct Tally {
    from_ns: u64,
    until_ns: u64,
    pub(crate) kinds: [KindTally; 3],
    pub(crate) forged: Forged,
    /// Datagrams that answer nothing: doubled, too late, or never asked for.
    pub(crate) unexpected: u64,
    /// Datagrams too short to say what they answer.
    pub(crate) unreadable: u64,
    /// Requests that the kernel did not take.
    pub(crate) send_errors: u64,
    /// Peers in all good announce replies that came while it counted.
    pub(crate) peers: u64,
    /// The first faulty reply, for whoever has to find the bug.
    pub(crate) first_fault: Option<(Kind, Fault)>,
}

impl Tally {
    /// Counts requests that should leave, and replies that come, from `from_ns` until `until_ns`.
    pub(crate) fn new(from_ns: u64, until_ns: u64) -> Self {
        Self {
            from_ns,
            until_ns,
            kinds: [KindTally::new(), KindTally::new(), KindTally::new()],
            forged: Forged::default(),
            unexpected: 0,
            unreadable: 0,
            send_errors: 0,
            peers: 0,
            first_fault: None,
        }
    }

    fn counts(&self, at_ns: u64) -> bool {
        (self.from_ns..self.until_ns).contains(&at_ns)
    }

    /// The run ends early, at `now_ns`.
    pub(crate) fn cut(&mut self, now_ns: u64) {
        self.until_ns = self.until_ns.min(now_ns);
    }

    pub(crate) fn sent(&mut self, asked: &Asked) {
        if self.counts(asked.intended_ns) {
            if asked.forged {
                self.forged.sent += 1;
            } else {
                self.kinds[asked.kind as usize].sent += 1;
            }
        }
    }

    pub(crate) fn ended(&mut self, asked: &Asked, end: End, now_ns: u64) {
        if let End::Invalid(fault) = end {
            self.first_fault.get_or_insert((asked.kind, fault));
        }
        let asked_in_time = self.counts(asked.intended_ns);
        if asked.forged {
            match end {
                _ if !asked_in_time => {}
                End::Lost => self.forged.silent += 1,
                End::Refused => self.forged.refused += 1,
                End::Answered | End::Invalid(_) => self.forged.accepted += 1,
            }
            return;
        }
        let replied_in_time = self.counts(now_ns);
        let kind = &mut self.kinds[asked.kind as usize];
        if end == End::Answered && replied_in_time {
            kind.replies += 1;
        }
        if asked_in_time {
            match end {
                End::Answered => {
                    kind.answered += 1;
                    let latency = now_ns.saturating_sub(asked.intended_ns);
                    kind.latency.saturating_record(latency);
                }
                End::Refused => kind.refused += 1,
                End::Invalid(_) => kind.invalid += 1,
                End::Lost => kind.lost += 1,
            }
        }
    }

    pub(crate) fn handed_out(&mut self, peers: usize, now_ns: u64) {
        if self.counts(now_ns) {
            self.peers += peers as u64;
        }
    }

    /// Good replies of all kinds.
    pub(crate) fn replies(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.replies).sum()
    }

    pub(crate) fn sum(&self, of: impl Fn(&KindTally) -> u64) -> u64 {
        self.kinds.iter().map(of).sum()
    }

    /// Latencies of all kinds together.
    pub(crate) fn latency(&self) -> Histogram<u64> {
        let mut all = self.kinds[0].latency.clone();
        for kind in &self.kinds[1..] {
            all.add(&kind.latency)
                .expect("all three were made with the same bounds");
        }
        all
    }
}
