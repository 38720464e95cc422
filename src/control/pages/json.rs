//! The statistics for programs. `docs/stats.md` says what they may rely on.

use axum::Json;
use axum::http::header;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::turned_away;
use super::view::{self, BEPS, Failure, View, by_family, by_protocol};
use super::words;
use crate::control::history::{Bucket, Figure, Live, ThreadLoad};
use crate::control::state::State;
use crate::counters::{Family, Kind, Tally};

pub(super) async fn stats(state: State, uri: Uri, headers: HeaderMap) -> Response {
    if let Some(refused) = turned_away(&state, &uri, &headers) {
        return refused;
    }
    let urls = view::urls(&state, &uri, &headers);
    let told = tell(&View::of(&state), &urls);
    ([(header::CACHE_CONTROL, "no-cache")], Json(told)).into_response()
}

fn tell(view: &View, urls: &[String]) -> Value {
    let [today, yesterday] = view.last_days();
    let (since_unix_s, all) = view.all_time;
    let mut all_time = bucket(&all);
    all_time["since_unix_s"] = since_unix_s.into();
    let days = view.days.iter().map(|(start, day)| {
        let mut told = bucket(day);
        told["start_unix_s"] = (*start).into();
        told
    });
    let software = view.software.iter();
    let software =
        software.map(|(name, announces)| json!({ "name": name, "announces": announces }));
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "now_unix_s": view.live.now.unix_s,
        "uptime_s": view.live.now.uptime_s,
        "torrents": view.gauge(Tally::Torrents),
        "seeders": families(|family| view.seeders(family)),
        "leechers": families(|family| view.leechers(family)),
        "swarm_bytes": view.gauge(Tally::SwarmBytes),
        "connections_open": view.gauge(Tally::ConnectionsOpen),
        "live": live(&view.live),
        "today": bucket(&today),
        "yesterday": bucket(&yesterday),
        "all_time": all_time,
        "hours_today": view.today.iter().map(bucket).collect::<Value>(),
        "hours_yesterday": view.yesterday.iter().map(bucket).collect::<Value>(),
        "days": days.collect::<Value>(),
        "software": software.collect::<Value>(),
        "dropped": failures(view, Failure::Dropped),
        "refused": failures(view, Failure::Refused),
        "bad_requests": failures(view, Failure::Bad),
        "kernel_drops": view.kernel_drops,
        "announce_urls": urls,
        "beps": BEPS.iter().map(|(number, _)| *number).collect::<Value>(),
    })
}

fn families(of: impl Fn(Family) -> u64) -> Value {
    json!({ "ip4": of(Family::Ip4), "ip6": of(Family::Ip6) })
}

fn live(live: &Live) -> Value {
    let rate = |count| rounded(live.rate(count));
    let by_protocol = by_protocol(&live.counted)
        .map(|(protocol, n)| (words::protocol(protocol).to_ascii_lowercase(), rate(n)));
    let threads = |loads: &[ThreadLoad]| {
        let load = |load: &ThreadLoad| {
            json!({
                "requests_per_s": rounded(load.requests),
                "busy": load.busy.map(rounded),
                "turn_mean_ns": load.turn.map(|turn| turn.mean_ns),
                "turn_p99_ns": load.turn.and_then(|turn| turn.p99_ns),
            })
        };
        loads.iter().map(load).collect::<Value>()
    };
    json!({
        "seconds": rounded(live.seconds),
        "requests_per_s": rate(live.counted.requests()),
        "answers_per_s": rate(live.counted.answers()),
        "failures_per_s": rate(live.counted.failures()),
        "bytes_received_per_s": rate(live.counted.get(Figure::BytesReceived)),
        "bytes_sent_per_s": rate(live.counted.get(Figure::BytesSent)),
        "requests_per_s_by_protocol": Map::from_iter(by_protocol),
        "cores": threads(&live.cores),
        "http_threads": threads(&live.http_threads),
    })
}

fn rounded(value: f64) -> Value {
    ((value * 1000.0).round() / 1000.0).into()
}

fn bucket(bucket: &Bucket) -> Value {
    let by_protocol = by_protocol(bucket).map(|(protocol, n)| {
        (
            words::protocol(protocol).to_ascii_lowercase(),
            Value::from(n),
        )
    });
    let [(_, ip4), (_, ip6)] = by_family(bucket);
    json!({
        "requests": bucket.requests(),
        "requests_by_protocol": Map::from_iter(by_protocol),
        "requests_by_family": { "ip4": ip4, "ip6": ip6 },
        "announces": bucket.received(Kind::Announce),
        "scrapes": bucket.received(Kind::Scrape),
        "connects": bucket.received(Kind::Connect),
        "answers": bucket.answers(),
        "dropped": bucket.get(Figure::Discarded),
        "refused": bucket.get(Figure::Faulted),
        "bad_requests": bucket.get(Figure::Bad),
        "completed": bucket.get(Figure::Completed),
        "addresses": bucket.get(Figure::Addresses),
        "bytes_received": bucket.get(Figure::BytesReceived),
        "bytes_sent": bucket.get(Figure::BytesSent),
        "bytes_saved": bucket.get(Figure::BytesSaved),
    })
}

fn failures(view: &View, kind: Failure) -> Value {
    let failures = view.failures();
    let of_kind = failures.into_iter().filter(|(of, _, _)| *of == kind);
    let told: Map<String, Value> = of_kind
        .map(|(_, reason, n)| (reason.to_owned(), n.into()))
        .collect();
    told.into()
}
