//! Trackers that are killed while they are looked after: whatever the API had acknowledged is there after
//! each start, and of what it had not, all or nothing.

mod api;
mod http;
mod in_process;
mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use api::{TOKEN, ask, json, with_token};
use fastrand::Rng;
use http::Browser;
use in_process::{Announce, Client, error_text};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::{TrackerProcess, shoal};
use tempfile::TempDir;

const KILLS: u32 = 24;
const PATIENCE: Duration = Duration::from_secs(30);

/// Those who change things at the same time, each what is its own, so that each knows what comes of it.
const OPERATORS: usize = 3;

/// What is kept, by what it is called here: a table and a name in it.
type Kept = BTreeMap<String, String>;

/// A request, and what comes of it.
struct Change {
    method: &'static str,
    target: String,
    body: Value,
    /// What it puts, and what it takes away.
    rows: Vec<(String, Option<String>)>,
    /// How many entries it has in the journal.
    entries: u64,
}

impl Change {
    fn apply(&self, kept: &mut Kept) {
        for (name, value) in &self.rows {
            match value {
                Some(value) => drop(kept.insert(name.clone(), value.clone())),
                None => drop(kept.remove(name)),
            }
        }
    }
}

/// Somebody who looks after the tracker.
struct Operator {
    number: usize,
    rng: Rng,
    /// What the tracker has acknowledged.
    kept: Kept,
    /// What it was asked last, and did not acknowledge.
    unsure: Option<Change>,
    acknowledged: u64,
    entries: u64,
}

impl Operator {
    fn new(number: usize, rng: Rng) -> Self {
        Self {
            number,
            rng,
            kept: Kept::new(),
            unsure: None,
            acknowledged: 0,
            entries: 0,
        }
    }

    /// Text whose first digit says whose it is.
    fn own(&mut self, len: usize) -> String {
        let digits = (1..len).map(|_| self.rng.digit(16));
        format!("{}{}", self.number, digits.collect::<String>())
    }

    /// Up to `most` names of a table.
    fn some_of(&mut self, table: &str, most: usize) -> Vec<String> {
        let names = self.kept.keys().filter_map(|name| name.strip_prefix(table));
        let names: Vec<String> = names.map(str::to_owned).collect();
        self.rng.choose_multiple(names, most)
    }

    fn change(&mut self) -> Change {
        let text = format!("why {}", self.rng.u32(..));
        let put = |table: &str, names: &[String], text: &str| {
            let row = |name: &String| (format!("{table}{name}"), Some(text.to_owned()));
            names.iter().map(row).collect::<Vec<_>>()
        };
        let take = |table: &str, names: &[String]| {
            let row = |name: &String| (format!("{table}{name}"), None);
            names.iter().map(row).collect::<Vec<_>>()
        };
        let change = |method, target: &str, body, rows: Vec<_>, entries| Change {
            method,
            target: target.to_owned(),
            body,
            rows,
            entries,
        };
        match self.rng.u8(..9) {
            0 | 1 => {
                let len = self.rng.usize(1..20);
                let hashes: Vec<String> = (0..len).map(|_| self.own(40)).collect();
                let body = json!({"info_hashes": hashes, "reason": text});
                let rows = put("blocked ", &hashes, &text);
                change("POST", "/api/v1/blocklist", body, rows, len as u64)
            }
            2 => {
                let hashes = self.some_of("blocked ", 5);
                let body = json!({ "info_hashes": hashes });
                let len = hashes.len() as u64;
                let rows = take("blocked ", &hashes);
                change("DELETE", "/api/v1/blocklist", body, rows, len)
            }
            3 => {
                let hash = self.own(40);
                let rows = put("allowed ", std::slice::from_ref(&hash), "");
                let target = format!("/api/v1/whitelist/{hash}");
                change("POST", &target, Value::Null, rows, 1)
            }
            4 => {
                let key = self.own(32);
                let rows = put("key ", std::slice::from_ref(&key), "");
                let body = json!({"key": key, "seconds_valid": null});
                change("POST", "/api/v1/keys", body, rows, 1)
            }
            5 => match self.some_of("key ", 1).pop() {
                None => self.change(),
                Some(key) => {
                    let target = format!("/api/v1/key/{key}");
                    change("DELETE", &target, Value::Null, take("key ", &[key]), 1)
                }
            },
            6 => {
                let hash = self.own(40);
                let target = format!("/api/v1/torrent/{hash}/metadata");
                let rows = put("known ", &[hash], &text);
                change("PUT", &target, json!({ "name": text }), rows, 1)
            }
            7 => match self.some_of("known ", 1).pop() {
                None => self.change(),
                Some(hash) => {
                    let target = format!("/api/v1/torrent/{hash}/metadata");
                    change("DELETE", &target, Value::Null, take("known ", &[hash]), 1)
                }
            },
            _ => {
                let [b, c, d] = [(); 3].map(|()| self.rng.u8(..));
                let network = format!(
                    "2001:db8:{}:{b:x}{c:02x}::{:x}/128",
                    self.number + 1,
                    u16::from(d) + 1
                );
                let network: ipnet::IpNet = network.parse().unwrap();
                let network = network.to_string();
                let body = json!({"networks": [network], "reason": text});
                let rows = put("network ", &[network], &text);
                change("POST", "/api/v1/ip_blocklist", body, rows, 1)
            }
        }
    }

    /// Makes changes until the tracker is gone.
    fn work(&mut self, control: SocketAddr) {
        let Ok(mut stream) = TcpStream::connect(control) else {
            return;
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        loop {
            let change = self.change();
            let Some(status) = request(&mut stream, &change) else {
                self.unsure = Some(change);
                return;
            };
            assert_eq!(status, 200, "{} {}", change.method, change.target);
            change.apply(&mut self.kept);
            self.acknowledged += 1;
            self.entries += change.entries;
        }
    }

    /// Compares what a start has brought back, and goes on from there.
    fn check(&mut self, found: &Kept) {
        let is_own = |name: &str| {
            let (table, name) = name.split_once(' ').unwrap();
            match table {
                "network" => name.starts_with(&format!("2001:db8:{}:", self.number + 1)),
                _ => name.starts_with(&self.number.to_string()),
            }
        };
        let own = found.iter().filter(|(name, _)| is_own(name));
        let own: Kept = own
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if let Some(change) = self.unsure.take()
            && own != self.kept
        {
            change.apply(&mut self.kept);
        }
        for (name, value) in &self.kept {
            assert_eq!(own.get(name), Some(value), "{name} is lost");
        }
        for name in own.keys() {
            assert!(
                self.kept.contains_key(name),
                "{name} was never there, or is back"
            );
        }
    }
}

/// The status that answers a change; nothing when the tracker is gone.
fn request(stream: &mut TcpStream, change: &Change) -> Option<u16> {
    let body = match &change.body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let head = format!(
        "{} {} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        change.method,
        change.target,
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        let len = stream.read(&mut bytes).ok().filter(|len| *len > 0)?;
        answer.extend_from_slice(&bytes[..len]);
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.unwrap().parse::<usize>().unwrap() {
                return Some(head[9..12].parse().unwrap());
            }
        }
    }
}

/// Peers come and go until the tracker is gone.
fn announce(tracker: SocketAddr, mut rng: Rng) {
    let client = Client::of(tracker);
    let id = client.connect();
    // One who has read a request may be killed before the answer.
    let patience = Some(Duration::from_millis(200));
    client.socket.set_read_timeout(patience).unwrap();
    loop {
        let announce = Announce::leecher([rng.u8(..); 20], rng.u16(1..));
        let sent = client.socket.send(&announce.to_bytes(id));
        if sent.is_err() || client.socket.recv(&mut [0; 2048]).is_err() {
            return;
        }
    }
}

struct Running {
    process: TrackerProcess,
    control: SocketAddr,
}

impl Running {
    fn start(folder: &TempDir) -> Self {
        let mut command = shoal();
        command
            .env("SHOAL_CONTROL__TOKENS__ADMIN", TOKEN)
            .arg("run");
        let store = format!("store.path={}", folder.path().join("data").display());
        for option in [
            "udp.listen=127.0.0.1:0",
            "http.listen=",
            "control.listen=127.0.0.1:0",
            "workers.count=2",
            "access.deny=error",
            "store.snapshot_interval=1",
            // Damage would else be put aside, and all of it be lost without a word.
            "store.on_damage=refuse",
            &store,
        ] {
            command.args(["--set", option]);
        }
        let mut process = TrackerProcess::start_command(command, 1);
        let line = process.wait_for_log(" (control)", PATIENCE);
        let (_, address) = line.split_once("http://").unwrap();
        let control = address.trim_end_matches(" (control)").parse().unwrap();
        Self { process, control }
    }

    fn told(&self, target: &str) -> Value {
        let mut browser = Browser::of(self.control);
        json(&ask(&mut browser, "GET", &with_token(target), "", ""))
    }

    /// All that it keeps.
    fn kept(&self) -> Kept {
        let mut kept = Kept::new();
        for (table, route, name, value) in [
            ("blocked", "blocklist", "info_hash", "reason"),
            ("allowed", "whitelist", "info_hash", "reason"),
            ("key", "keys", "key", ""),
            ("known", "metadata", "info_hash", "name"),
            ("network", "ip_blocklist", "network", "reason"),
        ] {
            let mut rows = 0;
            loop {
                let page = self.told(&format!("/api/v1/{route}?offset={rows}&limit=1000"));
                let items = page["items"].as_array().unwrap();
                for item in items {
                    let text = |member: &str| item[member].as_str().unwrap_or_default().to_owned();
                    kept.insert(format!("{table} {}", text(name)), text(value));
                }
                rows += items.len();
                if items.is_empty() {
                    assert_eq!(page["total"], rows);
                    break;
                }
            }
        }
        kept
    }

    /// What is kept is in force too.
    fn expect_in_force(&self, kept: &Kept) {
        let client = Client::of(self.process.address());
        let id = client.connect();
        let blocked = kept.keys().filter_map(|name| name.strip_prefix("blocked "));
        for hash in blocked.take(50) {
            let announce = Announce::leecher(api::bytes_of(hash), 7000);
            let told = client.ask(&announce.to_bytes(id));
            assert_eq!(error_text(&told), "info_hash not allowed", "{hash}");
        }
    }
}

#[test]
fn two_dozen_kills_under_load_lose_nothing_that_was_acknowledged() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let folder = TempDir::new().unwrap();
    let mut operators: Vec<Operator> = (0..OPERATORS)
        .map(|number| Operator::new(number, rng.fork()))
        .collect();
    let mut last_entry = 0;
    for round in 0..=KILLS {
        let Running {
            mut process,
            control,
        } = {
            let running = Running::start(&folder);
            let unsure = operators
                .iter()
                .filter_map(|operator| operator.unsure.as_ref());
            let unsure: u64 = unsure.map(|change| change.entries).sum();
            let found = running.kept();
            for operator in &mut operators {
                operator.check(&found);
            }
            running.expect_in_force(&found);
            // A change is written into the journal before it is acknowledged.
            let acknowledged: u64 = operators
                .iter_mut()
                .map(|operator| std::mem::take(&mut operator.entries))
                .sum();
            let journal = running.told("/api/v1/journal?limit=1");
            let newest = journal["items"][0]["number"].as_u64().unwrap_or(0);
            let entries = newest - last_entry;
            let right = acknowledged..=acknowledged + unsure;
            assert!(
                right.contains(&entries),
                "{entries} entries, not {right:?}, in round {round}"
            );
            last_entry = newest;
            running
        };
        if round == KILLS {
            break;
        }
        // The first moments are as good as any.
        let moment = Duration::from_millis(rng.u64(..600));
        thread::scope(|scope| {
            for operator in &mut operators {
                scope.spawn(|| operator.work(control));
            }
            let (tracker, rng) = (process.address(), rng.fork());
            scope.spawn(move || announce(tracker, rng));
            thread::sleep(moment);
            process.signal(Signal::SIGKILL);
        });
        process.wait();
    }
    let acknowledged: u64 = operators.iter().map(|operator| operator.acknowledged).sum();
    println!("{acknowledged} changes outlived {KILLS} kills");
    assert!(acknowledged > 100, "{acknowledged}");
}
