//! Announces every peer of every torrent once, and again what got no answer, until all are known or the time
//! is over.

use std::time::Duration;

use shoal::wire::Event;
use shoal_bench::crowd::Member;

use super::generator::{BATCH, Generator};
use super::shape::Shape;

/// A server that answers nothing for so long will not do so any more.
const PATIENCE_NS: u64 = 5_000_000_000;
/// Scrapes that are tried again before a torrent counts as missing.
const SCRAPE_TRIES: u32 = 5;

/// How far the filling is.
pub(crate) struct Fill {
    total: u64,
    next: u64,
    answered: u64,
    again: Vec<Member>,
    repeated: u64,
    progress_ns: u64,
}

/// What the filling came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled {
    /// Peers that the tracker knows, and those that it should.
    pub(crate) peers: u64,
    pub(crate) total: u64,
    pub(crate) repeated: u64,
    pub(crate) seconds: f64,
    /// Torrents scraped afterwards, and those among them whose totals were not what was filled.
    pub(crate) verified: u32,
    pub(crate) wrong: u32,
}

impl Fill {
    fn new(total: u64, now_ns: u64) -> Self {
        Self {
            total,
            next: 0,
            answered: 0,
            again: Vec::new(),
            repeated: 0,
            progress_ns: now_ns,
        }
    }

    pub(super) fn ended(&mut self, member: Member, answered: bool, now_ns: u64) {
        if answered {
            self.answered += 1;
            self.progress_ns = now_ns;
        } else {
            self.again.push(member);
            self.repeated += 1;
        }
    }

    fn draw(&mut self, shape: &Shape) -> Option<Member> {
        self.again.pop().or_else(|| {
            (self.next < self.total).then(|| {
                self.next += 1;
                shape.member(self.next - 1)
            })
        })
    }
}

impl Generator<'_> {
    pub(crate) fn fill(&mut self) -> Result<Filled, String> {
        let options = self.options;
        let began_ns = self.now_ns();
        let limit = Duration::from_secs_f64(options.fill_timeout);
        let give_up_ns = began_ns + limit.as_nanos() as u64;
        let enough = options.fill_limit.map(Duration::from_secs_f64);
        let enough_ns = enough.map(|limit| began_ns + limit.as_nanos() as u64);
        self.numwant = options.fill_numwant;
        self.fill = Some(Fill::new(self.shape.total(), began_ns));
        loop {
            let now_ns = self.begin_turn();
            self.receive(now_ns)?;
            let fill = self.fill.as_ref().expect("set above and taken below");
            let state = format_args!("{} of {} announces answered", fill.answered, fill.total);
            if fill.answered == fill.total || enough_ns.is_some_and(|enough_ns| now_ns > enough_ns)
            {
                break;
            } else if self.stopped() {
                return Err(format!("stopped while filling: {state}"));
            } else if now_ns > give_up_ns {
                return Err(format!("filling took too long: {state}"));
            } else if now_ns > fill.progress_ns + PATIENCE_NS {
                let fault = self.tally.first_fault;
                return Err(format!(
                    "the tracker stopped answering: {state}, first fault {fault:?}"
                ));
            }
            self.send_fill(self.now_ns());
            self.rest()?;
        }
        let seconds = (self.now_ns() - began_ns) as f64 / 1e9;
        self.drain()?;
        let fill = self.fill.take().expect("set above");
        self.numwant = options.numwant;
        // Where peers are missing by intent, there is nothing to find out.
        let complete = fill.answered == fill.total;
        let verified = if complete { options.verify } else { 0 };
        let wrong = self.verify(verified)?;
        Ok(Filled {
            peers: fill.answered,
            total: fill.total,
            repeated: fill.repeated,
            seconds,
            verified,
            wrong,
        })
    }

    fn send_fill(&mut self, now_ns: u64) {
        let free = self.window_room();
        for _ in 0..free {
            let Some(member) = self.fill.as_mut().and_then(|fill| fill.draw(&self.shape)) else {
                break;
            };
            self.stage_announce(member, Event::Started, false, now_ns, now_ns);
        }
        self.flush();
    }

    /// Requests that the window has room for; 0 until enough are free to be worth a send.
    pub(super) fn window_room(&self) -> usize {
        let window = self.options.window as usize;
        let free = window.saturating_sub(self.in_flight).min(BATCH);
        let worth_a_send = (window / 4).clamp(1, BATCH / 4);
        if free < worth_a_send { 0 } else { free }
    }

    /// Scrapes `count` random torrents and returns how many do not have all their peers.
    fn verify(&mut self, count: u32) -> Result<u32, String> {
        let mut wrong = 0;
        let hashes = self.options.scrape_hashes;
        for _ in 0..count.div_ceil(hashes) {
            let torrents: Vec<u32> = (0..hashes)
                .map(|_| self.random.u32(..self.options.torrents))
                .collect();
            let sizes = torrents.iter().map(|&it| u64::from(self.shape.size(it)));
            let expected: u64 = sizes.sum();
            if self.scrape(&torrents)? != Some(expected) {
                wrong += hashes;
            }
        }
        Ok(wrong.min(count))
    }

    /// The peers of all `torrents` together; `None` when no reply comes.
    fn scrape(&mut self, torrents: &[u32]) -> Result<Option<u64>, String> {
        self.scraped = None;
        for _ in 0..SCRAPE_TRIES {
            let now_ns = self.now_ns();
            self.stage_scrape(torrents, false, now_ns, now_ns);
            self.flush();
            while self.in_flight > 0 && !self.stopped() {
                let now_ns = self.begin_turn();
                self.receive(now_ns)?;
                self.rest()?;
            }
            if self.scraped.is_some() {
                break;
            }
        }
        Ok(self.scraped)
    }
}
