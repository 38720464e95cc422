//! Outcomes as JSON: `docs/query-json.md` describes every key. Nothing is left out when nothing came:
//! what is not known is null.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::query::failure::printable;
use crate::query::outcome::{
    AnnounceAnswer, Answer, Believed, Exchange, Outcome, Peer, PeerForm, RetryIn, ScrapeAnswer,
};
use crate::query::run::Statistics;
use crate::query::target::Target;

/// The number of this form. It changes when a key changes its meaning or goes, not when one is added.
const VERSION: u32 = 1;

/// What is shown beside the answers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Show {
    /// The peers.
    pub peers: bool,
    /// The bytes.
    pub hex: bool,
}

/// The whole text, with a line end.
pub fn text(outcomes: &[Outcome], show: Show) -> String {
    let results: Vec<Value> = outcomes.iter().map(|one| outcome(one, show)).collect();
    let whole = json!({
        "version": VERSION,
        "results": results,
        "summary": summary(&Statistics::of(outcomes)),
    });
    format!("{whole:#}\n")
}

fn summary(statistics: &Statistics) -> Value {
    json!({
        "asked": statistics.asked,
        "succeeded": statistics.good,
        "failed": statistics.asked - statistics.good,
        "response_time_ms": statistics.times.map(|times| json!({
            "min": micro(times.min),
            "mean": micro(times.mean),
            "median": micro(times.median),
            "max": micro(times.max),
            "deviation": micro(times.deviation),
        })),
    })
}

/// Milliseconds with three digits behind the point: more are chance.
fn micro(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

fn outcome(outcome: &Outcome, show: Show) -> Value {
    let failure = outcome.result.as_ref().err();
    let hashes = outcome.question.info_hashes();
    let reason = failure.filter(|failure| failure.kind.name() == "failure_reason");
    let mut object = object(json!({
        "tracker": outcome.url,
        "scheme": outcome.target.as_ref().map(|target| target.scheme.name()),
        "address": outcome.address,
        "question": outcome.question.name(),
        "info_hashes": hashes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "client": outcome.client,
        "attempt": outcome.attempt,
        "ok": outcome.is_good(),
        "response_time_ms": outcome.address.map(|_| micro(outcome.took_ms())),
        "failure": failure.map(|failure| json!({
            "kind": failure.kind.name(),
            "text": failure.text,
        })),
        "failure_reason": reason.map(|failure| &failure.text),
        "retry_in": outcome.retry_in.map(retry_in),
        "http_status": outcome.status,
        "redirects": outcome.redirects,
        "notes": outcome.notes,
        "stopped": outcome.farewell.as_ref().map(Result::is_ok),
        "proxy_header": outcome.proxy.as_ref().map(believed),
    }));
    match &outcome.question {
        crate::query::outcome::Question::Announce(_) => {
            let none = AnnounceAnswer::default();
            let (answer, came) = match &outcome.result {
                Ok(Answer::Announce(answer)) => (answer, true),
                _ => (&none, false),
            };
            object.extend(announce(outcome, answer, came, show));
        }
        _ => {
            let none = ScrapeAnswer::default();
            let (answer, came) = match &outcome.result {
                Ok(Answer::Scrape(answer)) => (answer, true),
                _ => (&none, false),
            };
            object.extend(scrape(outcome, answer, came));
        }
    }
    if show.hex {
        let exchanges: Vec<Value> = outcome.exchanges.iter().map(exchange).collect();
        object.insert("exchanges".to_owned(), Value::Array(exchanges));
    }
    Value::Object(object)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn retry_in(when: RetryIn) -> Value {
    match when {
        RetryIn::Never => json!("never"),
        RetryIn::Minutes(minutes) => json!(minutes),
    }
}

fn believed(believed: &Believed) -> Value {
    json!({ "believed": believed.believed, "because": believed.because })
}

/// A number that is there only when an answer came.
fn when<T: Serialize>(came: bool, value: T) -> Value {
    if came { json!(value) } else { Value::Null }
}

fn announce(
    outcome: &Outcome,
    answer: &AnnounceAnswer,
    came: bool,
    show: Show,
) -> Map<String, Value> {
    let v6 = answer.count(PeerForm::V6) + answer.count(PeerForm::Mapped);
    let mut all = object(json!({
        "interval": answer.interval,
        "min_interval": answer.min_interval,
        "seeds": answer.complete,
        "leechers": answer.incomplete,
        "downloaded": answer.downloaded,
        "ipv4_peers": when(came, answer.count(PeerForm::V4)),
        "ipv4_bytes": when(came, answer.v4_bytes),
        "ipv6_peers": when(came, v6),
        "ipv6_bytes": when(came, answer.v6_bytes),
        "ipv4_mapped_peers": when(came, answer.count(PeerForm::Mapped)),
        "dict_peers": when(came, answer.count(PeerForm::Dictionary)),
        "num_want_requested": outcome.question.num_want(),
        "total_peers_returned": when(came, answer.peers.len()),
        "warning_message": answer.warning,
        "external_ip": answer.external_ip,
        "tracker_id": answer.tracker_id,
    }));
    if show.peers {
        let peers: Vec<Value> = answer.peers.iter().map(peer).collect();
        all.insert("peer_list".to_owned(), when(came, peers));
    }
    all
}

fn peer(peer: &Peer) -> Value {
    json!({
        "ip": peer.host,
        "port": peer.port,
        "type": peer.form.name(),
        "peer_id": peer.peer_id.as_deref().map(printable),
        "hostname": peer.name,
    })
}

fn scrape(outcome: &Outcome, answer: &ScrapeAnswer, came: bool) -> Map<String, Value> {
    let url = outcome.target.as_ref().map(Target::scrape);
    let rows = answer.rows.iter().map(|row| {
        json!({
            "info_hash": row.info_hash,
            "complete": row.complete,
            "incomplete": row.incomplete,
            "downloaded": row.downloaded,
            "downloaders": row.downloaders,
            "name": row.name,
        })
    });
    object(json!({
        "scrape_url": url.and_then(Result::ok).map(|url| url.to_string()),
        "min_request_interval": answer.min_request_interval,
        "torrent_count": when(came, answer.rows.len()),
        "torrents": when(came, rows.collect::<Vec<_>>()),
    }))
}

fn exchange(exchange: &Exchange) -> Value {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    json!({
        "what": exchange.what,
        "with": exchange.with,
        "sent": hex(&exchange.sent),
        "received": hex(&exchange.received),
    })
}
