//! `shoal check FILE`: a list of trackers and pages that must be well, and what became of each, in the
//! forms of Torrust's checker.
//!
//! ```json
//! {"udp_trackers": ["127.0.0.1:6969"], "http_trackers": ["http://127.0.0.1:7070"],
//!  "health_checks": ["http://127.0.0.1:1313/health_check"]}
//! ```

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::query::ask::{self, Manner, udp};
use crate::query::failure::{Deadline, Failure, json_text};
use crate::query::hash;
use crate::query::outcome::{Answer, Question};
use crate::query::target::Target;
use crate::wire::udp::ask::Announce;
use crate::wire::{Event, InfoHash, NumWant};

/// What must be well.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// `host:port`, with or without `udp://` and a path.
    #[serde(default)]
    pub udp_trackers: Vec<String>,
    /// URLs; without a path they are announced to at `/announce`.
    #[serde(default)]
    pub http_trackers: Vec<String>,
    /// URLs of pages that answer with a success.
    #[serde(default)]
    pub health_checks: Vec<String>,
}

impl List {
    /// Reads JSON, which begins with `{`, or TOML.
    pub fn parse(text: &str) -> Result<Self, String> {
        let list: Self = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| error.to_string())?
        } else {
            toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?
        };
        let count = list.udp_trackers.len() + list.http_trackers.len() + list.health_checks.len();
        if count == 0 {
            return Err(
                "nothing to check: neither udp_trackers, http_trackers nor health_checks"
                    .to_owned(),
            );
        }
        Ok(list)
    }

    fn entries(&self) -> Vec<Entry> {
        let udp = self.udp_trackers.iter().map(|text| {
            let with_scheme = if text.contains("://") {
                text.clone()
            } else {
                format!("udp://{text}")
            };
            (Sort::Udp, with_scheme)
        });
        let http = self
            .http_trackers
            .iter()
            .map(|text| (Sort::Http, text.clone()));
        let health = self
            .health_checks
            .iter()
            .map(|text| (Sort::Health, text.clone()));
        let all = udp.chain(http).chain(health);
        all.map(|(sort, url)| Entry { sort, url }).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sort {
    Udp,
    Http,
    Health,
}

#[derive(Debug)]
struct Entry {
    sort: Sort,
    url: String,
}

/// One address of one entry: the steps that were taken, and whether all were good.
#[derive(Clone, PartialEq, Debug)]
pub struct Verdict {
    /// Whether all is well.
    pub ok: bool,
    /// An element of the checker's array.
    pub value: Value,
}

/// How the list is checked.
#[derive(Debug)]
pub struct Checker {
    /// How it is asked; with a farewell to announces.
    pub manner: Manner,
    /// The torrent; a random one if there is none.
    pub info_hash: Option<InfoHash>,
    /// How long one entry may take.
    pub timeout: Duration,
    /// Entries at one time.
    pub at_once: usize,
}

/// The result of a step, by name.
type Step = (&'static str, Result<(), Failure>);

impl Checker {
    /// Checks all. The verdicts are in the order of the list.
    pub fn check(&self, list: &List) -> Vec<Verdict> {
        let entries = list.entries();
        let next = AtomicUsize::new(0);
        let all = Mutex::new(vec![Vec::new(); entries.len()]);
        thread::scope(|scope| {
            for _ in 0..self.at_once.min(entries.len()) {
                scope.spawn(|| {
                    while let Some((number, entry)) = {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        entries.get(number).map(|entry| (number, entry))
                    } {
                        let verdicts = self.check_entry(entry);
                        all.lock().unwrap_or_else(PoisonError::into_inner)[number] = verdicts;
                    }
                });
            }
        });
        let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        all.into_iter().flatten().collect()
    }

    fn check_entry(&self, entry: &Entry) -> Vec<Verdict> {
        let deadline = Deadline::after(self.timeout);
        let mut target: Target = match entry.url.parse() {
            Ok(target) => target,
            Err(mistake) => return vec![unasked(entry, &mistake)],
        };
        if entry.sort == Sort::Http && matches!(target.path.as_str(), "" | "/") {
            "/announce".clone_into(&mut target.path);
        }
        match target.resolve(self.manner.family, deadline) {
            Err(failure) => vec![unasked(entry, &failure.text)],
            Ok(addresses) => addresses
                .into_iter()
                .map(|address| self.check_address(entry, &target, address, deadline))
                .collect(),
        }
    }

    fn check_address(
        &self,
        entry: &Entry,
        target: &Target,
        address: SocketAddr,
        deadline: Deadline,
    ) -> Verdict {
        match entry.sort {
            Sort::Udp => {
                let steps = self.udp(target, address, deadline);
                verdict("Udp", "remote_addr", &address.to_string(), &steps)
            }
            Sort::Http => {
                let steps = self.http(target, address, deadline);
                verdict("Http", "url", &entry.url, &steps)
            }
            Sort::Health => {
                let result = ask::health(target, address, &self.manner, deadline);
                let ok = result.is_ok();
                let result = match result {
                    Ok(status) => json!({ "Ok": status }),
                    Err(failure) => json!({ "Err": failure.text }),
                };
                let value = json!({ "url": entry.url, "result": result });
                Verdict {
                    ok,
                    value: json!({ "Health": wrapped(ok, &value) }),
                }
            }
        }
    }

    /// A seeder that is satisfied with one peer.
    fn announce(&self) -> Announce {
        Announce {
            info_hash: self.info_hash.unwrap_or_else(hash::random),
            peer_id: self.manner.profile.peer_id(),
            downloaded: 0,
            left: 0,
            uploaded: 0,
            event: Event::Started,
            key: fastrand::u32(..),
            num_want: NumWant::AtMost(1),
            port: 17_548,
        }
    }

    /// Every step presupposes the one before.
    fn udp(&self, target: &Target, address: SocketAddr, deadline: Deadline) -> Vec<Step> {
        let mut steps: Vec<Step> = vec![("Setup", Ok(()))];
        let mut tracker = udp::Tracker::new(target, address, &self.manner);
        let mut notes = Vec::new();
        let connected = tracker.connection_id(&mut notes, deadline).map(drop);
        let goes_on = connected.is_ok();
        steps.push(("Connect", connected));
        if !goes_on {
            return steps;
        }
        let announce = self.announce();
        let questions = [
            ("Announce", Question::Announce(announce)),
            ("Scrape", Question::Scrape(vec![announce.info_hash])),
        ];
        for (name, question) in questions {
            let result = tracker.ask(&question, &mut notes, deadline);
            steps.push((name, result.map(drop)));
        }
        let stored = matches!(steps.get(2), Some((_, Ok(()))));
        if self.manner.farewell && stored {
            // Whether it is heard says nothing about the tracker's health.
            let _ = tracker.ask(&ask::stopped(&announce), &mut notes, deadline);
        }
        steps
    }

    fn http(&self, target: &Target, address: SocketAddr, deadline: Deadline) -> Vec<Step> {
        let announce = self.announce();
        let announced = Question::Announce(announce);
        let announced = ask::ask(target, address, &announced, &self.manner, deadline).result;
        let scrape = Question::Scrape(vec![announce.info_hash]);
        let scraped = ask::ask(target, address, &scrape, &self.manner, deadline).result;
        let step = |result: Result<Answer, Failure>| result.map(drop);
        vec![("Announce", step(announced)), ("Scrape", step(scraped))]
    }
}

fn wrapped(ok: bool, value: &Value) -> Value {
    if ok {
        json!({ "Ok": value })
    } else {
        json!({ "Err": value })
    }
}

/// An entry of which not even the address is known.
fn unasked(entry: &Entry, sentence: &str) -> Verdict {
    let failed = json!({ "Err": sentence });
    let value = match entry.sort {
        Sort::Udp => json!({ "Udp": { "Err": {
            "remote_addr": entry.url, "results": [["Setup", failed]] } } }),
        Sort::Http => json!({ "Http": { "Err": {
            "url": entry.url, "results": [["Announce", failed]] } } }),
        Sort::Health => json!({ "Health": { "Err": { "url": entry.url, "result": failed } } }),
    };
    Verdict { ok: false, value }
}

fn verdict(sort: &str, key: &str, name: &str, steps: &[Step]) -> Verdict {
    let ok = steps.iter().all(|(_, result)| result.is_ok());
    let results: Vec<Value> = steps
        .iter()
        .map(|(name, result)| match result {
            Ok(()) => json!([name, { "Ok": null }]),
            Err(failure) => json!([name, { "Err": failure.text }]),
        })
        .collect();
    let value = wrapped(ok, &json!({ key: name, "results": results }));
    Verdict {
        ok,
        value: json!({ sort: value }),
    }
}

/// The whole result, pretty, with a line end.
pub fn text(verdicts: &[Verdict]) -> String {
    let values: Vec<&Value> = verdicts.iter().map(|verdict| &verdict.value).collect();
    json_text(&json!(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_in_json_and_in_toml() {
        let json =
            r#"{"udp_trackers": ["t:1"], "http_trackers": [], "health_checks": ["http://t/"]}"#;
        let toml = "udp_trackers = ['t:1']\nhealth_checks = ['http://t/']\n";
        let expected = List {
            udp_trackers: vec!["t:1".to_owned()],
            http_trackers: Vec::new(),
            health_checks: vec!["http://t/".to_owned()],
        };
        assert_eq!(List::parse(json), Ok(expected.clone()));
        assert_eq!(List::parse(toml), Ok(expected));
    }

    #[test]
    fn a_list_with_mistakes_is_refused() {
        for text in ["", "{}", "{", "udp_trackers = 1", "udp_tracker = ['t:1']"] {
            assert!(List::parse(text).is_err(), "{text}");
        }
    }
}
