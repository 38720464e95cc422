//! The API, for somebody who has a token: from the bytes of a request to those of its answer.

use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use crossbeam_channel::unbounded;
use shoal::boot::Tracker;
use shoal::clock::Clock;
use shoal::config::{Config, Secret};
use shoal::control::rehearsal::Rehearsal;
use shoal::control::{Answer, Event, Reloaded};
use tempfile::TempDir;

use crate::files::scratch_in_memory;

const TOKEN: &str = "MyAccessToken";

/// Streams of events never end.
const PATIENCE: Duration = Duration::from_secs(1);

/// `METHOD target type of body`, a line feed, and the body.
pub(crate) fn request(data: &[u8]) {
    let mut parts = data.splitn(2, |&byte| byte == b'\n');
    let (line, body) = (parts.next(), parts.next().unwrap_or_default());
    let mut words = line
        .unwrap_or_default()
        .split(|byte| !byte.is_ascii_graphic());
    let mut word = || words.next().unwrap_or_default();
    let (method, target, kind) = (word(), word(), word());
    let mut request = [method, b" ", target].concat();
    let head = format!(
        " HTTP/1.1\r\nHost: t\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Length: {}\r\nContent-Type: ",
        body.len()
    );
    request.extend(head.bytes());
    request.extend(if kind.is_empty() {
        b"application/json"
    } else {
        kind
    });
    request.extend(b"\r\n\r\n");
    request.extend(body);
    let answer = TRACKER.with(|tracker| tracker.rehearsal.converse(&request, PATIENCE));
    check(&answer);
}

/// An answer is HTTP, no failure of ours, and JSON where it says so.
fn check(answer: &[u8]) {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(answer)));
    let (head, body) = (String::from_utf8_lossy(&answer[..end]), &answer[end + 4..]);
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    let status: u16 = status
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| panic!("no status: {head}"));
    assert_ne!(status, 500, "{head}");
    let head = head.to_ascii_lowercase();
    let is_json = ["application/json", "application/problem+json"]
        .iter()
        .any(|kind| head.contains(&format!("content-type: {kind}")));
    if is_json && !body.is_empty() && !head.contains("transfer-encoding") {
        let read: Result<serde_json::Value, _> = serde_json::from_slice(body);
        assert!(read.is_ok(), "{}", String::from_utf8_lossy(body));
    }
}

/// A tracker whose store is in memory; it lasts as long as the thread.
struct Rehearsed {
    rehearsal: Rehearsal,
    _tracker: Tracker,
    _folder: &'static TempDir,
}

static FOLDER: LazyLock<TempDir> = LazyLock::new(scratch_in_memory);

thread_local! {
    static TRACKER: Rehearsed = start();
}

fn start() -> Rehearsed {
    let mut config = Config {
        http: Vec::new(),
        ..Config::default()
    };
    config.udp.truncate(1);
    config.udp[0].listen = "127.0.0.1:0".parse().expect("an address");
    config.workers.count = 1;
    config.workers.pin = false;
    config.swarm.peer_details = true;
    config.store.path = FOLDER
        .path()
        .join(format!("{:?}", thread::current().id()))
        .display()
        .to_string();
    config.control.listen = "127.0.0.1:0".parse().ok();
    config
        .control
        .tokens
        .insert("admin".to_owned(), Secret::new(TOKEN));
    let (events, asked) = unbounded();
    let tracker = Tracker::start(&config, &Clock::start(), &events)
        .unwrap_or_else(|sentence| panic!("{sentence}"));
    // In place of the main thread of a process.
    thread::spawn(move || {
        for event in asked {
            if let Event::ReloadFor(Answer(answer)) = event {
                let _ = answer.try_send(Reloaded {
                    done: true,
                    sentences: Vec::new(),
                });
            }
        }
    });
    let state = tracker.control().expect("there is a control server");
    Rehearsed {
        rehearsal: Rehearsal::new(state.clone()).expect("a runtime can be made"),
        _tracker: tracker,
        _folder: &FOLDER,
    }
}
