//! Many questions: each URL's addresses at once, several URLs at once, and again as often as wanted.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::query::ask::{Manner, ask, proxy};
use crate::query::failure::{Deadline, Failure, Kind, printable};
use crate::query::hash;
use crate::query::outcome::{Outcome, Question};
use crate::query::profile::Profile;
use crate::query::target::Target;
use crate::wire::udp::ask::Announce;
use crate::wire::{Event, InfoHash, NumWant};

/// What is asked, before it is known whom and as whom.
#[derive(Clone, Debug)]
pub struct Wish {
    /// An announce or a scrape.
    pub kind: WishKind,
    /// The torrents; if there are none, a random one for each tracker.
    pub info_hashes: Vec<InfoHash>,
    /// A client out of all, drawn anew for each tracker, instead of the one in `manner`.
    pub random_client: bool,
    /// A header field that names another client, to see whether it is believed.
    pub proxy_field: Option<String>,
    /// How it is asked.
    pub manner: Manner,
    /// Seconds that one URL may take, its addresses together.
    pub timeout: Duration,
}

/// What kind of question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WishKind {
    /// An announce of the first torrent.
    Announce(Peer),
    /// A scrape of all torrents that are named.
    Scrape,
    /// A scrape of all that the tracker has.
    FullScrape,
}

/// What an announce says of the one who announces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// What happened.
    pub event: Event,
    /// Bytes fetched.
    pub downloaded: u64,
    /// Bytes given.
    pub uploaded: u64,
    /// Bytes missing.
    pub left: u64,
    /// The port.
    pub port: u16,
    /// How many others are wanted; nothing: as many as the client asks for by itself.
    pub num_want: Option<u32>,
    /// Random if there is none.
    pub key: Option<u32>,
}

impl Wish {
    /// The same for one tracker, with all that is random drawn.
    fn settled(&self) -> (Question, Manner) {
        let mut manner = self.manner.clone();
        if self.random_client {
            manner.profile = Profile::random();
        }
        let hashes = match self.info_hashes.as_slice() {
            [] => vec![hash::random()],
            hashes => hashes.to_vec(),
        };
        let question = match self.kind {
            WishKind::Announce(peer) => Question::Announce(Announce {
                info_hash: hashes[0],
                peer_id: manner.profile.peer_id(),
                downloaded: peer.downloaded,
                left: peer.left,
                uploaded: peer.uploaded,
                event: peer.event,
                key: peer.key.unwrap_or_else(|| fastrand::u32(..)),
                num_want: match (peer.num_want, peer.event) {
                    (Some(number), _) => NumWant::AtMost(number),
                    (None, Event::Stopped) => NumWant::AtMost(0),
                    (None, _) => manner.profile.num_want(),
                },
                port: peer.port,
            }),
            WishKind::Scrape => Question::Scrape(hashes),
            WishKind::FullScrape => Question::FullScrape,
        };
        (question, manner)
    }

    /// Asks every address of one URL at once. There is at least one outcome.
    pub fn ask_url(&self, url: &str) -> Vec<Outcome> {
        let (question, manner) = self.settled();
        let failed = |failure| {
            let shown = printable(url.as_bytes());
            let mut outcome = Outcome::failed(&shown, question.clone(), failure);
            outcome.client = manner.profile.name();
            outcome
        };
        let target: Target = match url.parse() {
            Ok(target) => target,
            Err(mistake) => return vec![failed(Failure::new(Kind::Unaskable, mistake))],
        };
        let deadline = Deadline::after(self.timeout);
        let addresses = match target.resolve(manner.family, deadline) {
            Ok(addresses) => addresses,
            Err(failure) => {
                return vec![Outcome {
                    target: Some(target),
                    ..failed(failure)
                }];
            }
        };
        let ask_one = |address: SocketAddr| {
            let outcome = match (&question, &self.proxy_field) {
                (Question::Announce(announce), Some(field)) => {
                    proxy::ask_with_claim(&target, address, announce, field, &manner, deadline)
                }
                _ => ask(&target, address, &question, &manner, deadline),
            };
            Outcome {
                url: url.to_owned(),
                ..outcome
            }
        };
        if let [address] = *addresses {
            return vec![ask_one(address)];
        }
        thread::scope(|scope| {
            let ask_one = &ask_one;
            let asked: Vec<_> = addresses
                .iter()
                .map(|address| scope.spawn(move || ask_one(*address)))
                .collect();
            let answers = asked.into_iter().filter_map(|asked| asked.join().ok());
            answers.collect()
        })
    }

    /// Asks all URLs, `at_once` of them at one time, and tells after each how many are done. What comes
    /// back has the order of the URLs.
    pub fn ask_all(
        &self,
        urls: &[String],
        at_once: usize,
        mut done: impl FnMut(usize),
    ) -> Vec<Vec<Outcome>> {
        let next = AtomicUsize::new(0);
        let mut all = vec![Vec::new(); urls.len()];
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..at_once.min(urls.len()) {
                let (next, sender) = (&next, sender.clone());
                scope.spawn(move || {
                    while let Some((number, url)) = {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        urls.get(number).map(|url| (number, url))
                    } {
                        if sender.send((number, self.ask_url(url))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            for (count, (number, outcomes)) in receiver.iter().enumerate() {
                all[number] = outcomes;
                done(count + 1);
            }
        });
        all
    }
}

/// Whether the tracker behind one URL did all that was asked. An address of a family to which this host
/// has no way does not count when another one answers.
pub fn is_good(outcomes: &[Outcome]) -> bool {
    let no_route = |outcome: &Outcome| match &outcome.result {
        Ok(_) => false,
        Err(failure) => failure.kind == Kind::NoRoute,
    };
    outcomes.iter().any(Outcome::is_good)
        && outcomes
            .iter()
            .all(|outcome| outcome.is_good() || no_route(outcome))
}

/// Sorts for reading: what is good first, the fastest first.
pub fn sort(outcomes: &mut [Outcome]) {
    outcomes.sort_by_key(|outcome| (!outcome.is_good(), outcome.took));
}

/// How a number of questions went.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Statistics {
    /// Questions.
    pub asked: usize,
    /// Those that were answered with what they asked for.
    pub good: usize,
    /// The times of these in milliseconds; nothing without any.
    pub times: Option<Times>,
}

/// Times in milliseconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Times {
    /// The shortest.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// The one in the middle.
    pub median: f64,
    /// The longest.
    pub max: f64,
    /// How far they are from the mean: the standard deviation.
    pub deviation: f64,
}

impl Statistics {
    /// Of these outcomes.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let good = outcomes.iter().filter(|outcome| outcome.is_good());
        let times: Vec<f64> = good.map(Outcome::took_ms).collect();
        Self {
            asked: outcomes.len(),
            good: times.len(),
            times: Times::of(times),
        }
    }
}

impl Times {
    fn of(mut times: Vec<f64>) -> Option<Self> {
        times.sort_by(f64::total_cmp);
        let (min, max) = (*times.first()?, *times.last()?);
        let count = times.len() as f64;
        let mean = times.iter().sum::<f64>() / count;
        let square = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>();
        let middle = times.len() / 2;
        let median = if times.len() % 2 == 1 {
            times[middle]
        } else {
            f64::midpoint(times[middle - 1], times[middle])
        };
        Some(Self {
            min,
            mean,
            median,
            max,
            deviation: (square / count).sqrt(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_summed_up() {
        assert_eq!(Times::of(Vec::new()), None);
        let times = Times::of(vec![4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((times.min, times.max), (1.0, 4.0));
        assert_eq!((times.mean, times.median), (2.5, 2.5));
        assert!((times.deviation - 1.118).abs() < 0.001);
    }

    #[test]
    fn an_address_without_a_way_to_it_spoils_nothing_when_another_answers() {
        let outcome = |failure: Option<Kind>| {
            let mut outcome = Outcome::new("udp://t", Question::FullScrape);
            if let Some(kind) = failure {
                outcome.result = Err(Failure::new(kind, ""));
            }
            outcome
        };
        let (fine, no_route) = (outcome(None), outcome(Some(Kind::NoRoute)));
        let refused = outcome(Some(Kind::Refused));
        assert!(is_good(&[fine.clone(), no_route.clone()]));
        assert!(!is_good(&[no_route]));
        assert!(!is_good(&[fine, refused]));
        assert!(!is_good(&[]));
    }
}
