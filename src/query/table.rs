//! Outcomes for people: a paragraph for one, a line each for many.

use std::fmt::Write as _;
use std::time::Duration;

use crate::query::failure::printable;
use crate::query::hex;
use crate::query::outcome::{
    AnnounceAnswer, Answer, Believed, Outcome, PeerForm, Question, RetryIn, ScrapeAnswer,
};
use crate::query::profile::event_name;
use crate::query::run::Statistics;

/// How it is written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Style {
    /// With colours, for a terminal.
    pub colour: bool,
    /// With the peers.
    pub peers: bool,
    /// With what went over the wire.
    pub hex: bool,
}

const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";
const BOLD: &str = "1";
const FAINT: &str = "2";

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A paragraph about one outcome.
pub fn details(outcome: &Outcome, style: Style) -> String {
    let mut text = style.paint(BOLD, &outcome.url);
    text.push('\n');
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(
            text,
            "  {} {value}",
            style.paint(FAINT, &format!("{name:<11}"))
        );
    };
    line("asked", &asked(outcome));
    if !outcome.redirects.is_empty() {
        line("redirected", &outcome.redirects.join(" -> "));
    }
    match &outcome.result {
        Err(failure) => {
            let kind = failure.kind.name().replace('_', " ");
            line(
                "failed",
                &style.paint(RED, &format!("{kind}: {}", failure.text)),
            );
            if let Some(when) = outcome.retry_in {
                line("retry in", &retry_in(when));
            }
            if outcome.address.is_some() {
                line("time", &time(outcome.took));
            }
        }
        Ok(answer) => {
            line("time", &speed(outcome, style));
            match answer {
                Answer::Announce(answer) => announce(&mut line, outcome, answer, style),
                Answer::Scrape(answer) => scrape_head(&mut line, answer),
                Answer::Nothing => {}
            }
        }
    }
    if let Some(believed) = &outcome.proxy {
        line("header", &proxy(believed));
    }
    for note in &outcome.notes {
        line("note", &style.paint(YELLOW, note));
    }
    match &outcome.farewell {
        None => {}
        Some(Ok(())) => line("stopped", "yes: the tracker keeps no peer of this question"),
        Some(Err(failure)) => line("stopped", &style.paint(YELLOW, &format!("no: {failure}"))),
    }
    match &outcome.result {
        Ok(Answer::Announce(answer)) if style.peers => peer_list(&mut text, answer),
        Ok(Answer::Scrape(answer)) => scrape_rows(&mut text, answer),
        _ => {}
    }
    if style.hex {
        text.push_str(&hex::text(&outcome.exchanges));
    }
    text
}

fn asked(outcome: &Outcome) -> String {
    let address = match outcome.address {
        Some(address) => format!("{address}, "),
        None => String::new(),
    };
    let hashes = outcome.question.info_hashes();
    let torrents = match hashes {
        [] => "all torrents".to_owned(),
        [hash] => hash.to_string(),
        [hash, rest @ ..] => format!("{hash} and {} more", rest.len()),
    };
    let what = match &outcome.question {
        Question::Announce(announce) => {
            let event = event_name(announce.event).map(|event| format!(" \"{event}\""));
            format!("announce{} of", event.unwrap_or_default())
        }
        Question::Scrape(_) | Question::FullScrape => "scrape of".to_owned(),
    };
    format!("{address}{what} {torrents} as {}", outcome.client)
}

fn time(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1000.0;
    match ms {
        ..10.0 => format!("{ms:.2} ms"),
        ..1000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1000.0),
    }
}

fn speed(outcome: &Outcome, style: Style) -> String {
    let (class, colour) = match outcome.took_ms() {
        ..150.0 => ("excellent", GREEN),
        ..300.0 => ("good", GREEN),
        ..500.0 => ("fair", YELLOW),
        _ => ("slow", RED),
    };
    style.paint(colour, &format!("{}, {class}", time(outcome.took)))
}

fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn announce(
    line: &mut impl FnMut(&str, &str),
    outcome: &Outcome,
    answer: &AnnounceAnswer,
    style: Style,
) {
    line("seeders", &or_dash(answer.complete));
    line("leechers", &or_dash(answer.incomplete));
    if let Some(downloaded) = answer.downloaded {
        line("downloaded", &downloaded.to_string());
    }
    let interval = match (answer.interval, answer.min_interval) {
        (Some(interval), Some(least)) => format!("{interval} s, not before {least} s"),
        (interval, Some(least)) => format!("{}, not before {least} s", or_dash(interval)),
        (Some(interval), None) => format!("{interval} s"),
        (None, None) => "-".to_owned(),
    };
    line("interval", &interval);
    let wanted = outcome.question.num_want();
    let wanted = wanted.map_or_else(String::new, |wanted| format!(" of {wanted} wanted"));
    let forms = [
        (PeerForm::V4, answer.v4_bytes),
        (PeerForm::V6, answer.v6_bytes),
        (PeerForm::Mapped, 0),
        (PeerForm::Dictionary, 0),
    ];
    let forms: Vec<String> = forms
        .into_iter()
        .filter_map(|(form, bytes)| match (answer.count(form), bytes) {
            (0, _) => None,
            (count, 0) => Some(format!("{count} {}", form.name())),
            (count, bytes) => Some(format!("{count} {} in {bytes} bytes", form.name())),
        })
        .collect();
    let forms = if forms.is_empty() {
        String::new()
    } else {
        format!(": {}", forms.join(", "))
    };
    line("peers", &format!("{}{wanted}{forms}", answer.peers.len()));
    if let Some(ip) = answer.external_ip {
        line("external ip", &ip.to_string());
    }
    if let Some(id) = &answer.tracker_id {
        line("tracker id", id);
    }
    if let Some(warning) = &answer.warning {
        line("warning", &style.paint(YELLOW, warning));
    }
}

fn peer_list(text: &mut String, answer: &AnnounceAnswer) {
    for peer in &answer.peers {
        let address = if peer.host.contains(':') {
            format!("[{}]:{}", peer.host, peer.port)
        } else {
            format!("{}:{}", peer.host, peer.port)
        };
        let id = peer.peer_id.as_deref().map(printable);
        let more = [peer.name.clone(), id].into_iter().flatten();
        let more: Vec<String> = more.collect();
        let (form, more) = (peer.form.name(), more.join("  "));
        let line = format!("    {address:<28} {form:<11}  {more}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

fn scrape_head(line: &mut impl FnMut(&str, &str), answer: &ScrapeAnswer) {
    line("torrents", &answer.rows.len().to_string());
    if let Some(interval) = answer.min_request_interval {
        line("scrape again", &format!("not before {interval} s"));
    }
}

fn scrape_rows(text: &mut String, answer: &ScrapeAnswer) {
    if answer.rows.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "    {:<40}   seeders  leechers  downloaded",
        "info-hash"
    );
    for row in &answer.rows {
        let name = row.name.as_ref().map(|name| format!("  {name}"));
        let _ = writeln!(
            text,
            "    {:<40}  {:>8}  {:>8}  {:>10}{}",
            row.info_hash,
            or_dash(row.complete),
            or_dash(row.incomplete),
            or_dash(row.downloaded),
            name.unwrap_or_default()
        );
    }
}

fn retry_in(when: RetryIn) -> String {
    match when {
        RetryIn::Never => "never".to_owned(),
        RetryIn::Minutes(minutes) => format!("{minutes} min"),
    }
}

fn proxy(believed: &Believed) -> String {
    let verdict = match believed.believed {
        Some(true) => "believed",
        Some(false) => "not believed",
        None => "it cannot be told whether it is believed",
    };
    format!("{verdict}: {}", believed.because)
}

/// A line for each outcome, below a headline if there is to be one.
pub fn lines(outcomes: &[Outcome], with_headline: bool, style: Style) -> String {
    let width = |len: fn(&Outcome) -> usize, least: usize| {
        outcomes.iter().map(len).max().unwrap_or(0).max(least)
    };
    let url = width(|outcome| outcome.url.chars().count(), 7);
    let result = width(|outcome| result(outcome).len(), 6);
    let head = format!(
        "{:<result$}  {:>8}  {:>7}  {:>8}  {:>5}  {:>8}  {:<url$}  ADDRESS",
        "RESULT", "TIME", "SEEDERS", "LEECHERS", "PEERS", "INTERVAL", "TRACKER"
    );
    let mut text = String::new();
    if with_headline {
        text = style.paint(BOLD, &head);
        text.push('\n');
    }
    for outcome in outcomes {
        let [seeders, leechers, peers, interval] = columns(outcome);
        let code = if outcome.is_good() { GREEN } else { RED };
        let verdict = style.paint(code, &format!("{:<result$}", self::result(outcome)));
        let took = match outcome.address {
            Some(_) => time(outcome.took),
            None => "-".to_owned(),
        };
        let address = or_dash(outcome.address);
        let why = why(outcome);
        let _ = writeln!(
            text,
            "{verdict}  {took:>8}  {seeders:>7}  {leechers:>8}  {peers:>5}  {interval:>8}  {:<url$}  \
             {address}{why}",
            outcome.url
        );
        match &outcome.result {
            Ok(Answer::Announce(answer)) if style.peers => peer_list(&mut text, answer),
            // The line has their sums.
            Ok(Answer::Scrape(answer)) if answer.rows.len() > 1 => scrape_rows(&mut text, answer),
            _ => {}
        }
        if style.hex {
            text.push_str(&hex::text(&outcome.exchanges));
        }
    }
    text
}

/// What is said at the end of a line: why it failed, or what is odd.
fn why(outcome: &Outcome) -> String {
    let mut remarks = outcome.notes.clone();
    if let Some(believed) = &outcome.proxy {
        remarks.push(format!("header {}", proxy(believed)));
    }
    if let Some(Err(failure)) = &outcome.farewell {
        remarks.push(format!("not stopped: {failure}"));
    }
    if let Err(failure) = &outcome.result {
        remarks.insert(0, failure.to_string());
    }
    if remarks.is_empty() {
        return String::new();
    }
    format!(": {}", remarks.join("; "))
}

fn result(outcome: &Outcome) -> &'static str {
    match &outcome.result {
        Ok(_) => "ok",
        Err(failure) => failure.kind.name(),
    }
}

/// Seeders, leechers, peers and interval, as far as there are any. A scrape's are summed up.
fn columns(outcome: &Outcome) -> [String; 4] {
    match &outcome.result {
        Ok(Answer::Announce(answer)) => [
            or_dash(answer.complete),
            or_dash(answer.incomplete),
            answer.peers.len().to_string(),
            or_dash(answer.interval),
        ],
        Ok(Answer::Scrape(answer)) => {
            let sum = |of: fn(&crate::query::outcome::ScrapeRow) -> Option<i64>| {
                let numbers = answer.rows.iter().filter_map(of);
                numbers.fold(0_i64, i64::saturating_add).to_string()
            };
            [
                sum(|row| row.complete),
                sum(|row| row.incomplete),
                "-".to_owned(),
                or_dash(answer.min_request_interval),
            ]
        }
        _ => ["-"; 4].map(str::to_owned),
    }
}

/// One sentence about all of them.
pub fn summary(statistics: &Statistics) -> String {
    let Statistics { asked, good, times } = statistics;
    let failed = asked - good;
    let times = times.map_or_else(String::new, |times| {
        format!(
            "; fastest {:.2} ms, median {:.2}, mean {:.2} +- {:.2}, slowest {:.2}",
            times.min, times.median, times.mean, times.deviation, times.max
        )
    });
    format!("{asked} asked, {good} good, {failed} failed{times}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::failure::{Failure, Kind};

    #[test]
    fn a_line_says_what_is_odd_and_colours_are_for_terminals_only() {
        let mut outcome = Outcome::new("udp://t:1", Question::FullScrape);
        outcome.result = Err(Failure::new(Kind::Refused, "nobody"));
        outcome.notes.push("odd".to_owned());
        let text = lines(&[outcome.clone()], true, Style::default());
        let (head, line) = text.split_once('\n').expect("two lines");
        assert!(head.starts_with("RESULT   ") && head.ends_with("  ADDRESS"));
        assert!(line.starts_with("refused  ") && line.ends_with("udp://t:1  -: nobody; odd\n"));
        let colour = Style {
            colour: true,
            ..Style::default()
        };
        let line = lines(&[outcome], false, colour);
        assert!(line.starts_with("\x1b[31mrefused\x1b[0m"), "{line}");
    }
}
