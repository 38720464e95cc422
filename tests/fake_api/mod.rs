//! The API of a tracker as the command line meets it: lists in memory, every request written down.

#![allow(
    dead_code,
    reason = "each test program uses its own part of this module"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use serde_json::{Value, json};

use crate::program::shoal;

/// What the fake knows its clients by.
pub(crate) const TOKEN: &str = "MyAccessToken";

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) fields: String,
    pub(crate) body: Value,
}

/// What goes back.
pub(crate) struct Reply {
    pub(crate) status: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn ok(body: &Value) -> Self {
        Self {
            status: "200 OK",
            kind: "application/json",
            body: body.to_string(),
        }
    }

    pub(crate) fn text(status: &'static str, body: &str) -> Self {
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            body: body.to_owned(),
        }
    }

    pub(crate) fn problem(status: &'static str, detail: &str) -> Self {
        Self {
            status,
            kind: "application/problem+json",
            body: json!({"type": "about:blank", "title": "t", "status": 422, "detail": detail})
                .to_string(),
        }
    }
}

/// What the fake says before it looks at its lists; nothing for most requests.
type Twist = Box<dyn Fn(&Seen) -> Option<Reply> + Send + Sync>;

/// What the fake remembers.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) seen: Vec<Seen>,
    pub(crate) allowed: BTreeSet<String>,
    pub(crate) blocked: BTreeMap<String, String>,
    pub(crate) networks: BTreeMap<String, String>,
    pub(crate) keys: BTreeMap<String, Option<u64>>,
    pub(crate) metadata: BTreeMap<String, Value>,
    /// Completed downloads and peers by info-hash.
    pub(crate) swarms: BTreeMap<String, (u64, Vec<Value>)>,
}

/// A fake that runs until the end of the process.
pub(crate) struct Api {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

impl Api {
    pub(crate) fn start() -> Self {
        Self::with(Box::new(|_| None))
    }

    pub(crate) fn with(twist: Twist) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let twist = Arc::new(twist);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (shared, twist) = (Arc::clone(&shared), Arc::clone(&twist));
                thread::spawn(move || serve(&stream, &shared, &twist));
            }
        });
        Self { url, state }
    }

    /// `shoal` with these arguments, told of this API and its token by the environment.
    pub(crate) fn shoal(&self, arguments: &[&str]) -> Command {
        let mut command = shoal(arguments);
        command
            .env("SHOAL_API", &self.url)
            .env("SHOAL_TOKEN", TOKEN);
        command
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Method and path of every request, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        let state = self.state();
        let line = |seen: &Seen| format!("{} {}", seen.method, seen.path);
        state.seen.iter().map(line).collect()
    }
}

/// Reads a request.
pub(crate) fn read(stream: impl std::io::Read) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut fields, mut len) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().ok()?;
        }
        fields.push_str(&line);
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    Some(Seen {
        method,
        path,
        fields,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    })
}

/// Writes a response.
pub(crate) fn write(mut stream: impl Write, reply: &Reply) {
    let Reply { status, kind, body } = reply;
    let len = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len}\r\n\r\n");
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
    let _ = stream.flush();
}

fn serve(stream: &TcpStream, state: &Mutex<State>, twist: &Twist) {
    let Some(seen) = read(stream) else {
        return;
    };
    let mut state = state.lock().unwrap();
    state.seen.push(seen.clone());
    let authorized = seen
        .fields
        .contains(&format!("Authorization: Bearer {TOKEN}\r\n"));
    let reply = match twist(&seen) {
        Some(reply) => reply,
        None if authorized => state.answer(&seen),
        None if seen.fields.contains("Authorization") => rejection("token not valid"),
        None => rejection("unauthorized"),
    };
    drop(state);
    write(stream, &reply);
}

/// An error as Torrust words it.
pub(crate) fn rejection(reason: &str) -> Reply {
    let text = format!("Unhandled rejection: Err {{ reason: \"{reason}\" }}");
    Reply::text("500 Internal Server Error", &text)
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list");
    let text = |item: &Value| item.as_str().expect("a text").to_owned();
    list.iter().map(text).collect()
}

impl State {
    fn answer(&mut self, seen: &Seen) -> Reply {
        let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
        let path = path.strip_prefix("/api/v1/").expect("a path of version 1");
        let body = &seen.body;
        let has_reason = |body: &Value| body["reason"].as_str().expect("a reason").to_owned();
        match (seen.method.as_str(), path) {
            ("POST", "whitelist") => {
                let _ = has_reason(body);
                let hashes = texts(&body["info_hashes"]);
                let new = hashes
                    .into_iter()
                    .filter(|hash| self.allowed.insert(hash.clone()));
                Reply::ok(&json!({"added": new.count()}))
            }
            ("DELETE", "whitelist") => {
                let hashes = texts(&body["info_hashes"]);
                let gone = hashes.iter().filter(|hash| self.allowed.remove(*hash));
                Reply::ok(&json!({"removed": gone.count()}))
            }
            ("POST", "blocklist" | "ip_blocklist") => {
                let (list, key) = self.blocks(path);
                let reason = has_reason(body);
                let new = texts(&body[key]).into_iter();
                let new = new.filter(|what| list.insert(what.clone(), reason.clone()).is_none());
                Reply::ok(&json!({"added": new.count()}))
            }
            ("DELETE", "blocklist" | "ip_blocklist") => {
                let (list, key) = self.blocks(path);
                let gone = texts(&body[key]).into_iter();
                let gone = gone.filter(|what| list.remove(what).is_some());
                Reply::ok(&json!({"removed": gone.count()}))
            }
            ("GET", "blocklist" | "ip_blocklist") => {
                let (list, key) = self.blocks(path);
                let one = if key == "networks" {
                    "network"
                } else {
                    "info_hash"
                };
                let items = list.iter().map(|(what, reason)| {
                    json!({one: what, "added": 1_700_000_000, "by": "admin", "reason": reason})
                });
                page(&items.collect::<Vec<_>>(), query)
            }
            ("GET", "keys") => {
                let keys = self.keys.iter();
                let items = keys.map(|(key, until)| json!({"key": key, "valid_until": until}));
                page(&items.collect::<Vec<_>>(), query)
            }
            ("POST", "keys") => self.add_key(body),
            ("DELETE", path) if path.starts_with("key/") => {
                match self.keys.remove(&path["key/".len()..]) {
                    Some(_) => Reply::ok(&json!({"status": "ok"})),
                    None => rejection("failed to delete key: there is no such key"),
                }
            }
            ("POST", "torrents") => self.register(body),
            ("POST", "import") => self.import(body),
            ("GET", "torrents") => {
                let items = self.swarms.keys().map(|hash| self.swarm(hash, false));
                let items: Vec<_> = items.collect();
                let [offset, limit] = ["offset", "limit"].map(|name| parameter(query, name));
                Reply::ok(&items.into_iter().skip(offset).take(limit).collect())
            }
            (method, path) => match path.strip_prefix("torrent/") {
                Some(rest) => self.torrent(method, rest),
                None => Reply::text("404 Not Found", ""),
            },
        }
    }

    fn blocks(&mut self, path: &str) -> (&mut BTreeMap<String, String>, &'static str) {
        if path == "blocklist" {
            (&mut self.blocked, "info_hashes")
        } else {
            (&mut self.networks, "networks")
        }
    }

    fn add_key(&mut self, body: &Value) -> Reply {
        let object = body.as_object().expect("an object");
        assert_eq!(object.len(), 2, "both members, each of which may be null");
        let key = body["key"]
            .as_str()
            .unwrap_or("Xc1L4PbQJSFGlrgSRZl8wxSFAuMa21z5");
        let until = body["seconds_valid"].as_u64().map(|n| 1_700_000_000 + n);
        if key.len() != 32 {
            let text =
                format!("Invalid URL: invalid auth key: string \"{key}\", Invalid key length.");
            return Reply::text("400 Bad Request", &text);
        }
        if self.keys.contains_key(key) {
            return rejection("failed to generate key: it exists");
        }
        self.keys.insert(key.to_owned(), until);
        Reply::ok(&json!({"key": key, "valid_until": until, "expiry_time": null}))
    }

    fn register(&mut self, body: &Value) -> Reply {
        let _ = body["reason"].as_str().expect("a reason");
        let allow = body["allow"].as_bool().expect("whether to allow");
        let torrents = body["torrents"].as_array().expect("torrents");
        let is_refused = |torrent: &Value| {
            let name = torrent["name"].as_str();
            name.is_some_and(|name| name.contains("refused"))
        };
        if torrents.iter().any(is_refused) {
            return Reply::problem("422 Unprocessable Entity", "this name is refused");
        }
        let mut added = 0;
        for torrent in torrents {
            let hash = torrent["info_hash"]
                .as_str()
                .expect("an info-hash")
                .to_owned();
            assert_eq!(hash.len(), 40);
            added += u64::from(allow && self.allowed.insert(hash.clone()));
            self.metadata.insert(hash, torrent.clone());
        }
        Reply::ok(&json!({"registered": torrents.len(), "added": added}))
    }

    fn import(&mut self, body: &Value) -> Reply {
        let (mut torrents, mut peers) = (0, 0);
        for torrent in body["torrents"].as_array().expect("torrents") {
            let hash = torrent["info_hash"].as_str().expect("an info-hash");
            let swarm = self.swarms.entry(hash.to_owned()).or_default();
            swarm.0 = swarm.0.max(torrent["completed"].as_u64().expect("a count"));
            torrents += 1;
            for peer in torrent["peers"].as_array().expect("peers") {
                let [port, left, age] = ["port", "left", "age"].map(|key| peer[key].as_u64());
                assert!(port.is_some() && left.is_some() && age.is_some(), "{peer}");
                let same =
                    |known: &&mut Value| known["ip"] == peer["ip"] && known["port"] == peer["port"];
                match swarm.1.iter_mut().find(same) {
                    Some(known) => *known = peer.clone(),
                    None => swarm.1.push(peer.clone()),
                }
                peers += 1;
            }
        }
        Reply::ok(&json!({"torrents": torrents, "peers": peers, "refused_peers": 0}))
    }

    fn swarm(&self, hash: &str, with_peers: bool) -> Value {
        let (completed, peers) = &self.swarms[hash];
        let seeders = peers.iter().filter(|peer| peer["left"] == 0).count();
        let mut swarm = json!({
            "info_hash": hash, "seeders": seeders, "completed": completed,
            "leechers": peers.len() - seeders,
        });
        if with_peers {
            let shown = |peer: &Value| {
                json!({
                    "peer_id": {"id": "0x2d", "client": null}, "left": peer["left"], "event": "Started",
                    "peer_addr": format!("{}:{}", peer["ip"].as_str().unwrap(), peer["port"]),
                })
            };
            swarm["peers"] = peers.iter().map(shown).collect();
        }
        swarm
    }

    fn torrent(&mut self, method: &str, rest: &str) -> Reply {
        let (hash, of_metadata) = match rest.strip_suffix("/metadata") {
            Some(hash) => (hash, true),
            None => (rest, false),
        };
        let unknown = || Reply::problem("404 Not Found", "nothing is known of it");
        match (method, of_metadata) {
            ("GET", true) => self.metadata.get(hash).map_or_else(unknown, Reply::ok),
            ("DELETE", true) => {
                let removed = self.metadata.remove(hash).is_some();
                Reply::ok(&json!({"removed": removed}))
            }
            ("GET", false) if self.swarms.contains_key(hash) => Reply::ok(&self.swarm(hash, true)),
            ("GET", false) => Reply::ok(&json!("torrent not known")),
            ("DELETE", false) => {
                let forgotten = self.swarms.remove(hash).is_some();
                Reply::ok(&json!({"forgotten": forgotten}))
            }
            _ => Reply::text("405 Method Not Allowed", ""),
        }
    }
}

fn parameter(query: &str, name: &str) -> usize {
    let value = query
        .split('&')
        .find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    value.expect(name).parse().expect(name)
}

/// Two at a time, so that every list of three needs a second page.
fn page(items: &[Value], query: &str) -> Reply {
    let offset = parameter(query, "offset");
    assert!(parameter(query, "limit") > 2);
    let some: Vec<_> = items.iter().skip(offset).take(2).collect();
    Reply::ok(&json!({"total": items.len(), "items": some}))
}
