//! What the holders of keys are credited with.

use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use shoal::config::Config;
use shoal::gate::access::Mode;
use tempfile::TempDir;

use super::problem;
use crate::api::*;
use crate::http::{Browser, escaped};
use crate::in_process::{Announce, Client, PATIENCE, Server, listener};

/// How long credits may take to the disk: they are collected every ten seconds.
const CREDITED: u32 = 3;

/// A private tracker that is started again and again on the same folder.
struct Private {
    config: Config,
    api: Option<Api>,
    folder: Option<TempDir>,
}

impl Private {
    fn start(details: bool) -> Self {
        let mut kept = None;
        let api = Api::start_with(|config| {
            config.workers.count = 2;
            config.udp.push(listener("[::1]:0"));
            config.access.mode = Mode::Private;
            config.swarm.peer_details = details;
            kept = Some(config.clone());
        });
        Self {
            config: kept.unwrap(),
            api: Some(api),
            folder: None,
        }
    }

    fn api(&self) -> &Api {
        self.api.as_ref().unwrap()
    }

    /// Ends it in good order, as on SIGTERM, and starts it again.
    fn restart(&mut self) {
        let Api { server, folder } = self.api.take().unwrap();
        self.folder = Some(folder);
        server.tracker.stop().unwrap();
        let server = Server::start(&self.config);
        let folder = self.folder.take().unwrap();
        self.api = Some(Api { server, folder });
    }

    fn key(&self) -> String {
        let made = json(&self.api().admin("POST", "/api/v1/key/3600"));
        made["key"].as_str().unwrap().to_owned()
    }

    /// Announces over UDP in both families.
    fn announce(&self, key: &str, info_hash: &str, event: u32, said: Said) {
        for address in self.api().server.tracker.addresses() {
            let client = Client::of(*address);
            let id = client.connect();
            let announce = Announce {
                event,
                left: said.left,
                ..Announce::leecher(bytes_of(info_hash), 7000)
            };
            let mut datagram = announce.to_bytes(id);
            datagram[56..64].copy_from_slice(&said.downloaded.to_be_bytes());
            datagram[72..80].copy_from_slice(&said.uploaded.to_be_bytes());
            let path = format!("/{key}/announce");
            datagram.extend([2, path.len() as u8]);
            datagram.extend(path.as_bytes());
            assert_eq!(client.ask(&datagram)[3], 1);
        }
    }

    fn feed(&self, since: u64) -> Value {
        self.api().told(&format!("/api/v1/transfers?since={since}"))
    }

    /// Waits until the feed has something new.
    fn wait_for_feed(&self, since: u64) -> Value {
        let deadline = Instant::now() + CREDITED * PATIENCE;
        loop {
            let feed = self.feed(since);
            if feed["items"] != json!([]) {
                return feed;
            }
            assert!(Instant::now() < deadline, "nobody was credited");
            thread::sleep(PATIENCE / 100);
        }
    }
}

/// What a client says of itself.
#[derive(Clone, Copy)]
struct Said {
    uploaded: u64,
    downloaded: u64,
    left: u64,
}

fn said(uploaded: u64, downloaded: u64, left: u64) -> Said {
    Said {
        uploaded,
        downloaded,
        left,
    }
}

#[test]
fn a_client_of_both_families_is_credited_once_and_a_restart_loses_nothing() {
    let mut private = Private::start(true);
    let key = private.key();
    assert_eq!(private.feed(0), json!({"next": 0, "items": []}));
    private.announce(&key, HIGHER, Announce::STARTED, said(0, 0, 1000));
    private.api().server.clock.advance(60);
    private.announce(&key, HIGHER, Announce::REGULAR, said(500, 300, 700));

    let feed = private.wait_for_feed(0);
    let [item] = &feed["items"].as_array().unwrap()[..] else {
        panic!("one pair of key and torrent, not {feed}");
    };
    let now = private.api().server.clock.now().unix_s;
    let updated = item["updated"].as_u64().unwrap();
    assert!((now - 60..=now).contains(&updated), "{updated} at {now}");
    let number = feed["next"].as_u64().unwrap();
    assert_eq!(
        *item,
        json!({
            "key": key, "info_hash": HIGHER, "uploaded": 500, "downloaded": 300, "left": 700,
            "seed_seconds": 0, "updated": updated, "number": number
        })
    );
    assert_eq!(private.feed(number), json!({"next": number, "items": []}));

    // The end comes before the next collection.
    private.api().server.clock.advance(60);
    private.announce(&key, HIGHER, Announce::COMPLETED, said(900, 1000, 0));
    private.restart();
    let feed = private.feed(number);
    let item = &feed["items"][0];
    let sums = ["uploaded", "downloaded", "left", "seed_seconds"].map(|name| &item[name]);
    assert_eq!(sums, [900, 1000, 0, 0], "{feed}");
    assert!(feed["next"].as_u64().unwrap() > number);
    assert_eq!(item["number"], feed["next"]);

    // What the client says first after a restart is where its credits go on from.
    private.announce(&key, HIGHER, Announce::REGULAR, said(5000, 1000, 0));
    private.api().server.clock.advance(60);
    private.announce(&key, HIGHER, Announce::REGULAR, said(5100, 1000, 0));
    private.restart();
    let feed = private.feed(0);
    let item = &feed["items"][0];
    let sums = ["uploaded", "downloaded", "left"].map(|name| &item[name]);
    assert_eq!(sums, [1000, 1000, 0], "{feed}");
    let seeded = item["seed_seconds"].as_u64().unwrap();
    assert!((60..=62).contains(&seeded), "{seeded}");
}

#[test]
fn the_feed_is_read_by_pages_and_goes_with_the_key() {
    let mut private = Private::start(true);
    let keys = [private.key(), private.key()];
    let hash = |n: u64| format!("{n:040x}");
    for (key, uploaded) in keys.iter().zip([10, 20]) {
        for n in 0..5 {
            private.announce(key, &hash(n), Announce::STARTED, said(0, 0, 1));
        }
        private.api().server.clock.advance(60);
        for n in 0..5 {
            private.announce(key, &hash(n), Announce::REGULAR, said(uploaded + n, 0, 1));
        }
    }
    private.restart();
    let mut since = 0;
    let mut seen = Vec::new();
    loop {
        let feed = private
            .api()
            .told(&format!("/api/v1/transfers?since={since}&limit=3"));
        let items = feed["items"].as_array().unwrap();
        let next = feed["next"].as_u64().unwrap();
        if items.is_empty() {
            assert_eq!(next, since);
            break;
        }
        assert!(items.len() <= 3);
        assert_eq!(items.last().unwrap()["number"], next);
        seen.extend(items.iter().cloned());
        since = next;
    }
    assert_eq!(seen.len(), 10);
    let numbers = seen.iter().map(|item| item["number"].as_u64().unwrap());
    assert!(numbers.is_sorted_by(|a, b| a < b));
    for (key, uploaded) in keys.iter().zip([10, 20]) {
        for n in 0..5 {
            let of_pair = |item: &&Value| item["key"] == **key && item["info_hash"] == hash(n);
            let mut found = seen.iter().filter(of_pair);
            assert_eq!(found.next().unwrap()["uploaded"], uploaded + n);
            assert_eq!(found.next(), None);
        }
    }
    let far = private.feed(u64::MAX);
    assert_eq!(far, json!({"next": u64::MAX, "items": []}));
    let removed = private
        .api()
        .admin("DELETE", &format!("/api/v1/key/{}", keys[0]));
    assert_eq!(removed.status, 200);
    let left = private.feed(0);
    let left = left["items"].as_array().unwrap();
    assert_eq!(left.len(), 5);
    assert!(left.iter().all(|item| item["key"] == *keys[1]));
}

#[test]
fn announces_over_http_count_and_without_details_nothing_does() {
    for details in [true, false] {
        let mut private = Private::start(details);
        let key = private.key();
        let mut browser = Browser::of(private.api().server.http_address());
        let hash = escaped(&bytes_of(HIGHER));
        for uploaded in [0, 70] {
            let target = format!(
                "/{key}/announce?info_hash={hash}&peer_id=-SH0100-abcdefghijkl&port=7000&left=1\
                 &downloaded=0&uploaded={uploaded}"
            );
            assert!(browser.get(&target).text().contains("8:intervali"));
            private.api().server.clock.advance(60);
            // A thread of HTTP keeps no connection open for so long.
            browser = Browser::of(private.api().server.http_address());
        }
        private.restart();
        let feed = private.feed(0);
        let expected = if details { json!(70) } else { Value::Null };
        assert_eq!(feed["items"][0]["uploaded"], expected, "{feed}");
    }
}

#[test]
fn a_feed_is_refused_that_is_asked_for_badly() {
    let api = Api::start();
    for query in [
        "since=-1",
        "since=x",
        "since=",
        "limit=1.5",
        "since=1&since=2",
    ] {
        problem(&api.get(&format!("/api/v1/transfers?{query}")), 400);
    }
}
