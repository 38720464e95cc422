//! The page of statistics.

use std::collections::BTreeMap;

use axum::http::header;
use axum::http::{HeaderMap, Uri};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::assets::{ICON, SCRIPT, STYLE};
use super::charts::{self, Bar};
use super::view::{self, BEPS, View, by_family, by_protocol};
use super::{login, may_look, turned_away, wants_html, words};
use crate::control::history::{Bucket, Figure, ThreadLoad};
use crate::control::session;
use crate::control::state::State;
use crate::counters::{Family, Kind, Protocol, Tally};

/// Clients that are shown; the rest is one line.
const SOFTWARE_SHOWN: usize = 10;

/// Seconds after which a page without scripts is loaded again.
const RELOAD_S: u32 = 30;

/// What of the page changes while one looks at it: texts and attributes by the id of their element.
pub(super) struct Moving {
    pub(super) texts: BTreeMap<String, String>,
    pub(super) attributes: Vec<(String, &'static str, String)>,
}

pub(super) async fn page(state: State, uri: Uri, headers: HeaderMap) -> Response {
    let can_log_in = state.sessions.has_users() && wants_html(&headers);
    if can_log_in && !may_look(&state, &uri, &headers) {
        return login::lead_there(&uri);
    }
    if let Some(refused) = turned_away(&state, &uri, &headers) {
        return refused;
    }
    let view = View::of(&state);
    let urls = view::urls(&state, &uri, &headers);
    let page = render(&view, &urls, &way_in(&state, &headers));
    let cache = [
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "Accept, Cookie, Host"),
    ];
    (cache, Html(page.into_string())).into_response()
}

/// The way to the pages of those who are logged in, where anybody can be.
fn way_in(state: &State, headers: &HeaderMap) -> Markup {
    let (path, word) = if session::caller(state, headers).is_some() {
        ("/admin", "Admin")
    } else {
        ("/login", "Log in")
    };
    html! {
        @if state.sessions.has_users() {
            a.button.enter href=(path) { (word) }
        }
    }
}

impl Moving {
    pub(super) fn of(view: &View) -> Self {
        let live = &view.live;
        let [today, _] = view.last_days();
        let curve = charts::line(&live.points);
        let mut texts = BTreeMap::new();
        let mut set = |id: &str, value: String| {
            texts.insert(id.to_owned(), value);
        };
        set("requests", words::rate(live.rate(live.counted.requests())));
        set("answers", words::rate(live.rate(live.counted.answers())));
        set("failures", words::rate(live.rate(live.counted.failures())));
        for (protocol, requests) in by_protocol(&live.counted) {
            let id = format!(
                "requests-{}",
                words::protocol(protocol).to_ascii_lowercase()
            );
            set(&id, words::rate(live.rate(requests)));
        }
        let per_second = |figure| live.rate(live.counted.get(figure)).round() as u64;
        set("bytes-in", words::bytes(per_second(Figure::BytesReceived)));
        set("bytes-out", words::bytes(per_second(Figure::BytesSent)));
        let sum =
            |of: fn(&View, Family) -> u64| Family::ALL.map(|family| of(view, family)).iter().sum();
        let (seeders, leechers): (u64, u64) = (sum(View::seeders), sum(View::leechers));
        set("torrents", words::number(view.gauge(Tally::Torrents)));
        set("peers", words::number(seeders + leechers));
        set("seeders", words::number(seeders));
        set("leechers", words::number(leechers));
        for family in Family::ALL {
            let id = format!("peers-{}", words::family(family).to_ascii_lowercase());
            set(
                &id,
                words::number(view.seeders(family) + view.leechers(family)),
            );
        }
        set("swarm-bytes", words::bytes(view.gauge(Tally::SwarmBytes)));
        set("addresses", words::number(today.get(Figure::Addresses)));
        set("completed", words::number(today.get(Figure::Completed)));
        set(
            "connections",
            words::number(view.gauge(Tally::ConnectionsOpen)),
        );
        set("kernel-drops", words::number(view.kernel_drops));
        set("uptime", words::duration(live.now.uptime_s.into()));
        set("line-top", curve.top);
        let mut attributes = vec![
            ("line-requests".to_owned(), "d", curve.requests),
            ("line-answers".to_owned(), "d", curve.answers),
        ];
        for (kind, loads) in [("core", &live.cores), ("http", &live.http_threads)] {
            for (number, load) in loads.iter().enumerate() {
                set(
                    &format!("{kind}-{number}-requests"),
                    words::rate(load.requests),
                );
                let busy = load.busy.map_or_else(|| "-".to_owned(), words::share);
                set(&format!("{kind}-{number}-busy"), busy);
                let turn = load.turn.map_or_else(
                    || "-".to_owned(),
                    |turn| {
                        turn.p99_ns
                            .map_or_else(|| "long".to_owned(), words::short_time)
                    },
                );
                set(&format!("{kind}-{number}-turn"), turn);
                let width = load.busy.unwrap_or(0.0) * 100.0;
                attributes.push((
                    format!("{kind}-{number}-bar"),
                    "width",
                    format!("{width:.1}"),
                ));
            }
        }
        Self { texts, attributes }
    }

    /// The element of a text.
    fn text(&self, id: &str) -> Markup {
        html! { span id=(id) { (self.texts.get(id).map_or("", String::as_str)) } }
    }

    fn attribute(&self, id: &str) -> &str {
        let found = self.attributes.iter().find(|(known, _, _)| known == id);
        found.map_or("", |(_, _, value)| value)
    }
}

/// Parts of the page that are replaced as a whole, by the id of their element.
pub(super) fn parts(view: &View) -> [(&'static str, Markup); 5] {
    [
        ("hours", hours(view)),
        ("days", days(view)),
        ("spans", spans(view)),
        ("shares", shares(view)),
        ("lists", lists(view)),
    ]
}

fn render(view: &View, urls: &[String], way_in: &Markup) -> Markup {
    let moving = Moving::of(view);
    let [hours, days, spans, shares, lists] = parts(view).map(|(_, part)| part);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "Shoal: statistics" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="description" content="Live statistics of this BitTorrent tracker";
                link rel="icon" href=(ICON.path) type="image/svg+xml";
                link rel="stylesheet" href=(STYLE.path);
                // Not deferred: it chooses the colours before anything is shown.
                script src=(SCRIPT.path) {}
                noscript { meta http-equiv="refresh" content=(RELOAD_S); }
            }
            body {
                (header(&moving, way_in))
                main {
                    section.tiles aria-label="Now" { (tiles(&moving)) }
                    section.card.wide aria-labelledby="now" {
                        div.title {
                            h2 #now { "The last five minutes" }
                            p.legend {
                                span.key.requests { "requests/s" }
                                span.key.answers { "answers/s" }
                            }
                        }
                        (charts::line_chart(&charts::line(&view.live.points)))
                        p.axis { span { "5 min ago" } span { "4" } span { "3" } span { "2" } span { "1" } span { "now" } }
                    }
                    (announce(urls))
                    section.card.half #hours { (hours) }
                    section.card.half #days { (days) }
                    section.card.wide #spans { (spans) }
                    section.card.half #shares { (shares) }
                    (threads(view, &moving))
                    div.group #lists { (lists) }
                    (beps())
                }
                footer {
                    p { "Days and hours are those of UTC. " a href="stats.json" { "stats.json" } " has these numbers for programs." }
                }
            }
        }
    }
}

fn header(moving: &Moving, way_in: &Markup) -> Markup {
    html! {
        header {
            h1 { img src=(ICON.path) alt="" width="40" height="40"; "Shoal" }
            p.about {
                span.state #state title="Whether the numbers move" { "" }
                span { "version " (env!("CARGO_PKG_VERSION")) }
                span { "up " (moving.text("uptime")) }
            }
            (way_in)
            button.theme #theme type="button" aria-label="Colours: as the system has them" { span.glyph aria-hidden="true" {} span #theme-word { "auto" } }
        }
    }
}

fn tile(name: &str, value: &Markup, below: &Markup) -> Markup {
    html! {
        div.tile {
            h2 { (name) }
            p.value { (value) }
            p.below { (below) }
        }
    }
}

fn tiles(moving: &Moving) -> Markup {
    let text = |id| moving.text(id);
    html! {
        (tile("Requests/s", &text("requests"), &html! {
            "UDP " (text("requests-udp")) " \u{b7} HTTP " (text("requests-http")) " \u{b7} HTTPS " (text("requests-https"))
        }))
        (tile("Answers/s", &text("answers"), &html! {
            (text("failures")) " not answered as asked \u{b7} " (text("kernel-drops")) " lost in full queues"
        }))
        (tile("Torrents", &text("torrents"), &html! { (text("swarm-bytes")) " of memory" }))
        (tile("Peers", &text("peers"), &html! {
            (text("seeders")) " seeders \u{b7} " (text("leechers")) " leechers"
        }))
        (tile("IPv4 peers", &text("peers-ipv4"), &html! { (text("peers-ipv6")) " over IPv6" }))
        (tile("Addresses today", &text("addresses"), &html! { "an estimate; none is kept" }))
        (tile("Traffic in/s", &text("bytes-in"), &html! { (text("bytes-out")) " out" }))
        (tile("Completed today", &text("completed"), &html! { (text("connections")) " HTTP connections open" }))
    }
}

fn announce(urls: &[String]) -> Markup {
    html! {
        section.card.wide aria-labelledby="announce" {
            h2 #announce { "Announce URLs" }
            @if urls.is_empty() {
                p.quiet { "None that this page can name: it was asked for by an address of another kind." }
            }
            ul.urls {
                @for url in urls {
                    li {
                        code { (url) }
                        button.copy type="button" data-copy=(url) aria-label={ "Copy " (url) } { "Copy" }
                    }
                }
            }
        }
    }
}

fn hours(view: &View) -> Markup {
    let now = usize::try_from(view.live.now.unix_s / 3600 % 24).unwrap_or(0);
    let each = view.today.iter().zip(&view.yesterday).enumerate();
    let bars = each.map(|(hour, (today, yesterday))| {
        let (today, yesterday) = (today.requests(), yesterday.requests());
        let (today_text, yesterday_text) = (words::number(today), words::number(yesterday));
        Bar {
            title: format!(
                "{hour:02}:00, requests: {today_text} today, {yesterday_text} yesterday"
            ),
            value: today,
            before: Some(yesterday),
            is_open: hour == now,
        }
    });
    html! {
        div.title {
            h2 { "Requests by the hour" }
            p.legend { span.key.today { "today" } span.key.before { "yesterday" } }
        }
        (charts::bars("Requests in each hour of today and of yesterday, UTC", &bars.collect::<Vec<_>>()))
        p.axis { @for hour in ["00", "06", "12", "18", "24"] { span { (hour) } } }
    }
}

fn days(view: &View) -> Markup {
    let last = view.days.len().saturating_sub(1);
    let bars = view.days.iter().enumerate().map(|(at, (start, day))| {
        let (requests, addresses) = (day.requests(), day.get(Figure::Addresses));
        Bar {
            title: format!(
                "{}: {} requests from about {} addresses",
                words::date(*start),
                words::number(requests),
                words::number(addresses)
            ),
            value: requests,
            before: None,
            is_open: at == last,
        }
    });
    html! {
        div.title { h2 { "Requests by the day" } p.legend { span { "30 days" } } }
        (charts::bars("Requests on each of the last 30 days, UTC", &bars.collect::<Vec<_>>()))
        p.axis {
            span { (view.days.first().map(|(start, _)| words::date(*start)).unwrap_or_default()) }
            span { "today" }
        }
    }
}

fn spans(view: &View) -> Markup {
    let [today, yesterday] = view.last_days();
    let (since, all) = view.all_time;
    let spans = [today, yesterday, all];
    let row = |name: &str, of: &dyn Fn(&Bucket) -> String| {
        html! { tr { th scope="row" { (name) } @for span in &spans { td { (of(span)) } } } }
    };
    let count = |figure: Figure| move |span: &Bucket| words::number(span.get(figure));
    let size = |figure: Figure| move |span: &Bucket| words::bytes(span.get(figure));
    html! {
        h2 #spans-title { "Today, yesterday, always" }
        div.scroll tabindex="0" role="region" aria-labelledby="spans-title" {
            table.spans {
                thead { tr {
                    td {}
                    th scope="col" { "Today" }
                    th scope="col" { "Yesterday" }
                    th scope="col" { "Since " span.whole { (words::date(since)) } }
                } }
                tbody {
                    (row("Announces", &|span| words::number(span.received(Kind::Announce))))
                    (row("Scrapes", &|span| words::number(span.received(Kind::Scrape))))
                    (row("Connects", &|span| words::number(span.received(Kind::Connect))))
                    (row("Answered", &|span| words::number(span.answers())))
                    (row("Dropped", &count(Figure::Discarded)))
                    (row("Refused with an error", &count(Figure::Faulted)))
                    (row("No request at all", &count(Figure::Bad)))
                    (row("Downloads completed", &count(Figure::Completed)))
                    (row("Addresses (at most on a day)", &count(Figure::Addresses)))
                    (row("Bytes in", &size(Figure::BytesReceived)))
                    (row("Bytes out", &size(Figure::BytesSent)))
                    (row("Saved by compression", &size(Figure::BytesSaved)))
                }
            }
        }
    }
}

fn protocol_class(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Udp => "one",
        Protocol::Http => "two",
        Protocol::Https => "three",
    }
}

fn family_class(family: Family) -> &'static str {
    match family {
        Family::Ip4 => "one",
        Family::Ip6 => "two",
    }
}

fn shares(view: &View) -> Markup {
    let [today, _] = view.last_days();
    let share = |label: &str, parts: &[(&'static str, &'static str, u64)]| {
        let all = parts.iter().map(|(_, _, n)| n).sum();
        let drawn: Vec<_> = parts.iter().map(|(class, _, n)| (*class, *n)).collect();
        html! {
            h3 { (label) }
            (charts::stack(label, &drawn))
            ul.legend {
                @for (class, name, n) in parts {
                    li { span.key.(class) { (name) } " " strong { (words::percent(*n, all)) } }
                }
            }
        }
    };
    let protocols = by_protocol(&today)
        .map(|(protocol, n)| (protocol_class(protocol), words::protocol(protocol), n));
    let families =
        by_family(&today).map(|(family, n)| (family_class(family), words::family(family), n));
    let peers = Family::ALL.map(|family| {
        let peers = view.seeders(family) + view.leechers(family);
        (family_class(family), words::family(family), peers)
    });
    html! {
        h2 { "Shares" }
        (share("Requests of today by protocol", &protocols))
        (share("Requests of today by address", &families))
        (share("Peers now", &peers))
    }
}

fn threads(view: &View, moving: &Moving) -> Markup {
    let rows = |name: &str, kind: &str, loads: &[ThreadLoad]| {
        html! {
            @for number in 0..loads.len() {
                @let id = |what: &str| format!("{kind}-{number}-{what}");
                tr {
                    th scope="row" { (name) " " (number) }
                    td { (moving.text(&id("requests"))) "/s" }
                    td.meter {
                        svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
                            rect.empty x="0" y="0" width="100" height="6" {}
                            rect.one id=(id("bar")) x="0" y="0" width=(moving.attribute(&id("bar"))) height="6" {}
                        }
                    }
                    td { (moving.text(&id("busy"))) }
                    td { (moving.text(&id("turn"))) }
                }
            }
        }
    };
    html! {
        section.card.half aria-labelledby="threads" {
            h2 #threads { "Cores and their load" }
            div.scroll.tall tabindex="0" role="group" aria-labelledby="threads" {
                table.threads {
                    thead { tr {
                        th scope="col" { "Thread" }
                        th scope="col" { "Requests" }
                        th scope="col" colspan="2" { "Busy" }
                        th scope="col" title="99 of 100 turns of its loop take no longer" { "Turn" }
                    } }
                    tbody {
                        (rows("Core", "core", &view.live.cores))
                        (rows("HTTP", "http", &view.live.http_threads))
                    }
                }
            }
        }
    }
}

fn lists(view: &View) -> Markup {
    let all: u64 = view.software.iter().map(|(_, n)| n).sum();
    let (shown, rest) = view
        .software
        .split_at(view.software.len().min(SOFTWARE_SHOWN));
    let others: u64 = rest.iter().map(|(_, n)| n).sum();
    let others = (others > 0).then(|| ("all others".to_owned(), others));
    let most = view.software.first().map_or(1, |(_, n)| *n);
    html! {
        section.card.half aria-labelledby="software" {
            h2 #software { "Client software" }
            @if all == 0 { p.quiet { "Nobody has announced since the start." } }
            ol.software {
                @for (name, n) in shown.iter().chain(&others) {
                    li {
                        span.name { (name) }
                        svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
                            rect.empty x="0" y="0" width="100" height="6" {}
                            @let width = (*n as f64 / most as f64 * 100.0).min(100.0);
                            rect.one x="0" y="0" width=(format!("{width:.1}")) height="6" {}
                        }
                        span.share { (words::percent(*n, all)) }
                    }
                }
            }
            p.quiet { "By announces since the start, as peer ids say." }
        }
        section.card.half aria-labelledby="failing" {
            h2 #failing { "Not answered as asked" }
            @let failures = view.failures();
            @if failures.is_empty() { p.quiet { "Nothing since the start." } }
            @else {
                div.scroll.tall tabindex="0" role="group" aria-labelledby="failing" {
                    table.failures {
                        thead { tr { th scope="col" { "Reason" } th scope="col" { "What was done" } th scope="col" { "Times" } } }
                        tbody {
                            @for (kind, reason, n) in failures {
                                tr {
                                    th scope="row" { (reason.replace('_', " ")) }
                                    td { (kind.word()) }
                                    td { (words::number(n)) }
                                }
                            }
                        }
                    }
                }
            }
            p.quiet { "Since the start." }
        }
    }
}

fn beps() -> Markup {
    html! {
        section.card.wide aria-labelledby="beps" {
            h2 #beps { "What it speaks" }
            ul.beps {
                @for (number, name) in BEPS {
                    li {
                        a href=(format!("https://www.bittorrent.org/beps/bep_{number:04}.html")) rel="noreferrer" {
                            strong { "BEP " (number) } " " (name)
                        }
                    }
                }
            }
        }
    }
}
