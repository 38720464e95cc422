//! Outcomes as CSV (RFC 4180): one row for each, and a second block for the peers when they are wanted.

use crate::query::failure::printable;
use crate::query::outcome::{AnnounceAnswer, Answer, Outcome, PeerForm, Question};

const ANNOUNCE: [&str; 18] = [
    "tracker",
    "response_time_ms",
    "interval",
    "min_interval",
    "seeds",
    "leechers",
    "downloaded",
    "ipv4_peers",
    "ipv6_peers",
    "warning_message",
    "failure_reason",
    "external_ip",
    "tracker_id",
    "address",
    "attempt",
    "ok",
    "failure_kind",
    "failure",
];

const PEERS: [&str; 7] = [
    "tracker", "address", "ip", "port", "type", "peer_id", "hostname",
];

const SCRAPE: [&str; 12] = [
    "info_hash",
    "complete",
    "incomplete",
    "downloaded",
    "name",
    "tracker",
    "response_time_ms",
    "address",
    "attempt",
    "ok",
    "failure_kind",
    "failure",
];

/// The whole text. All outcomes are of one kind of question.
pub fn text(outcomes: &[Outcome], with_peers: bool) -> String {
    let mut text = String::new();
    let is_announce = |outcome: &Outcome| matches!(outcome.question, Question::Announce(_));
    if outcomes.iter().all(is_announce) {
        line(&mut text, &ANNOUNCE.map(str::to_owned));
        for outcome in outcomes {
            line(&mut text, &announce(outcome));
        }
        if with_peers {
            text.push_str("\r\n");
            line(&mut text, &PEERS.map(str::to_owned));
            for outcome in outcomes {
                peers(&mut text, outcome);
            }
        }
    } else {
        line(&mut text, &SCRAPE.map(str::to_owned));
        for outcome in outcomes {
            scrape(&mut text, outcome);
        }
    }
    text
}

fn line(text: &mut String, cells: &[String]) {
    for (number, cell) in cells.iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        if cell.contains(['"', ',', '\r', '\n']) {
            text.push('"');
            text.push_str(&cell.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(cell);
        }
    }
    text.push_str("\r\n");
}

/// A number, or nothing.
fn cell<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn time(outcome: &Outcome) -> String {
    cell(outcome.address.map(|_| format!("{:.3}", outcome.took_ms())))
}

/// Kind and text of a failure.
fn failure(outcome: &Outcome) -> [String; 2] {
    match &outcome.result {
        Ok(_) => [String::new(), String::new()],
        Err(failure) => [failure.kind.name().to_owned(), failure.text.clone()],
    }
}

fn announce(outcome: &Outcome) -> [String; 18] {
    let answer = match &outcome.result {
        Ok(Answer::Announce(answer)) => Some(answer),
        _ => None,
    };
    let [kind, failure] = failure(outcome);
    let v6 = |form| answer.map_or(0, |answer| answer.count(form));
    let number = |value: fn(&AnnounceAnswer) -> Option<i64>| cell(answer.and_then(value));
    [
        outcome.url.clone(),
        time(outcome),
        number(|answer| answer.interval),
        number(|answer| answer.min_interval),
        number(|answer| answer.complete),
        number(|answer| answer.incomplete),
        number(|answer| answer.downloaded),
        cell(answer.map(|answer| answer.count(PeerForm::V4))),
        cell(answer.map(|_| v6(PeerForm::V6) + v6(PeerForm::Mapped))),
        cell(answer.and_then(|answer| answer.warning.clone())),
        if kind == "failure_reason" {
            failure.clone()
        } else {
            String::new()
        },
        cell(answer.and_then(|answer| answer.external_ip)),
        cell(answer.and_then(|answer| answer.tracker_id.clone())),
        cell(outcome.address),
        outcome.attempt.to_string(),
        outcome.is_good().to_string(),
        kind,
        failure,
    ]
}

fn peers(text: &mut String, outcome: &Outcome) {
    let Ok(Answer::Announce(answer)) = &outcome.result else {
        return;
    };
    for peer in &answer.peers {
        let cells = [
            outcome.url.clone(),
            cell(outcome.address),
            peer.host.clone(),
            peer.port.to_string(),
            peer.form.name().to_owned(),
            cell(peer.peer_id.as_deref().map(printable)),
            cell(peer.name.clone()),
        ];
        line(text, &cells);
    }
}

fn scrape(text: &mut String, outcome: &Outcome) {
    let [kind, failure] = failure(outcome);
    let end = [
        outcome.url.clone(),
        time(outcome),
        cell(outcome.address),
        outcome.attempt.to_string(),
        outcome.is_good().to_string(),
        kind,
        failure,
    ];
    let mut row = |start: [String; 5]| line(text, &[&start[..], &end[..]].concat());
    if let Ok(Answer::Scrape(answer)) = &outcome.result {
        for totals in &answer.rows {
            row([
                totals.info_hash.clone(),
                cell(totals.complete),
                cell(totals.incomplete),
                cell(totals.downloaded),
                cell(totals.name.clone()),
            ]);
        }
    } else {
        // A failure has a row too, so that nothing is missing.
        let [_, a, b, c, d] = [const { String::new() }; 5];
        let hash = outcome.question.info_hashes().first();
        row([cell(hash), a, b, c, d]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::failure::{Failure, Kind};

    #[test]
    fn what_holds_commas_and_quotes_is_quoted() {
        let failure = Failure::new(Kind::FailureReason, "no, \"never\"");
        let outcome = Outcome::failed("udp://t,1", Question::FullScrape, failure);
        let text = text(&[outcome], false);
        let mut lines = text.split("\r\n");
        assert_eq!(lines.next(), Some(SCRAPE.join(",").as_str()));
        assert_eq!(
            lines.next(),
            Some(",,,,,\"udp://t,1\",,,1,false,failure_reason,\"no, \"\"never\"\"\"")
        );
    }
}
