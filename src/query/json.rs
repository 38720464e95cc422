//! Outcomes as JSON: `docs/query-json.md` describes every key. Nothing is left out when nothing came:
//! what is not known is null.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::query::failure::{json_text, printable};
use crate::query::outcome::{
    AnnounceAnswer, Answer, Believed, Exchange, Outcome, Peer, PeerForm, Question, RetryIn,
    ScrapeAnswer, ScrapeRow,
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
    json_text(&whole)
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
    let answer = outcome.result.as_ref().ok();
    if let Question::Announce(_) = outcome.question {
        let answer = answer.and_then(|answer| match answer {
            Answer::Announce(answer) => Some(answer),
            _ => None,
        });
        object.extend(announce(outcome, answer, show));
    } else {
        let answer = answer.and_then(|answer| match answer {
            Answer::Scrape(answer) => Some(answer),
            _ => None,
        });
        object.extend(scrape(outcome, answer));
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

fn announce(outcome: &Outcome, answer: Option<&AnnounceAnswer>, show: Show) -> Map<String, Value> {
    let count = |form| answer.map(|answer| answer.count(form));
    let v6 = count(PeerForm::V6).zip(count(PeerForm::Mapped));
    let mut all = object(json!({
        "interval": answer.map(|answer| answer.interval),
        "min_interval": answer.map(|answer| answer.min_interval),
        "seeds": answer.map(|answer| answer.complete),
        "leechers": answer.map(|answer| answer.incomplete),
        "downloaded": answer.map(|answer| answer.downloaded),
        "ipv4_peers": count(PeerForm::V4),
        "ipv4_bytes": answer.map(|answer| answer.v4_bytes),
        "ipv6_peers": v6.map(|(v6, mapped)| v6 + mapped),
        "ipv6_bytes": answer.map(|answer| answer.v6_bytes),
        "ipv4_mapped_peers": count(PeerForm::Mapped),
        "dict_peers": count(PeerForm::Dictionary),
        "num_want_requested": outcome.question.num_want(),
        "total_peers_returned": answer.map(|answer| answer.peers.len()),
        "warning_message": answer.map(|answer| &answer.warning),
        "external_ip": answer.map(|answer| answer.external_ip),
        "tracker_id": answer.map(|answer| &answer.tracker_id),
    }));
    if show.peers {
        let peers = answer.map(|answer| answer.peers.iter().map(peer).collect::<Vec<_>>());
        all.insert("peer_list".to_owned(), json!(peers));
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

fn scrape(outcome: &Outcome, answer: Option<&ScrapeAnswer>) -> Map<String, Value> {
    let url = outcome.target.as_ref().map(Target::scrape);
    let row = |row: &ScrapeRow| {
        json!({
            "info_hash": row.info_hash,
            "complete": row.complete,
            "incomplete": row.incomplete,
            "downloaded": row.downloaded,
            "downloaders": row.downloaders,
            "name": row.name,
        })
    };
    object(json!({
        "scrape_url": url.and_then(Result::ok).map(|url| url.to_string()),
        "min_request_interval": answer.map(|answer| answer.min_request_interval),
        "torrent_count": answer.map(|answer| answer.rows.len()),
        "torrents": answer.map(|answer| answer.rows.iter().map(row).collect::<Vec<_>>()),
    }))
}

fn exchange(exchange: &Exchange) -> Value {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    json!({
        "what": exchange.what,
        "with": exchange.with,
        "sent": hex(&exchange.sent),
        "received": hex(&exchange.received),
    })
}
