//! The page of metrics, as `promtool` and a real Prometheus read it; and that the dashboard, the alert
//! rules and the documents speak of what there is.

#![allow(
    clippy::float_cmp,
    reason = "counts are whole numbers, which are exact"
)]

mod api;
mod http;
mod in_process;
mod prometheus;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use api::{Api, TOKEN};
use http::{Browser, announce, escaped};
use in_process::{Announce, PATIENCE, connect_request, scrape_request};
use prometheus::{Prometheus, promtool};
use serde_json::Value;
use shoal::config::TlsFiles;
use shoal::control::metrics::{Kind, catalog, table};
use tls::{Files, Root};

const HASH: [u8; 20] = [7; 20];
const DASHBOARD: &str = "deploy/grafana/dashboards/shoal.json";
const ALERTS: &str = "deploy/alerts.yml";
const OPEN_METRICS: &str = "Accept: application/openmetrics-text;version=1.0.0\r\n";

fn in_source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn source(path: &str) -> String {
    fs::read_to_string(in_source(path)).unwrap()
}

/// A page, by name and labels.
struct Page {
    text: String,
    values: BTreeMap<String, f64>,
}

impl Page {
    fn of(api: &Api) -> Self {
        let response = api.browser().get("/metrics");
        assert_eq!(response.status, 200, "{}", response.text());
        Self::read(response.text())
    }

    fn read(text: String) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let values = samples.map(|line| {
            let (sample, value) = line.rsplit_once(' ').expect(line);
            (sample.to_owned(), value.parse().expect(line))
        });
        let values: Vec<(String, f64)> = values.collect();
        let count = values.len();
        let values: BTreeMap<String, f64> = values.into_iter().collect();
        assert_eq!(values.len(), count, "a sample comes twice in\n{text}");
        Self { text, values }
    }

    #[track_caller]
    fn get(&self, sample: &str) -> f64 {
        let value = self.values.get(sample).copied();
        value.unwrap_or_else(|| panic!("no {sample} in\n{}", self.text))
    }

    /// The sum over all labels.
    fn sum(&self, name: &str) -> f64 {
        let named = |sample: &str| sample.split('{').next() == Some(name);
        let values = self.values.iter().filter(|(sample, _)| named(sample));
        values.map(|(_, value)| value).sum()
    }

    fn names(&self) -> BTreeSet<&str> {
        let types = self.text.lines().filter_map(|l| l.strip_prefix("# TYPE "));
        types.filter_map(|l| l.split(' ').next()).collect()
    }
}

/// Waits until the page says so; counters are written a moment after a reply, gauges every second.
fn wait_until(api: &Api, holds: impl Fn(&Page) -> bool) -> Page {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = Page::of(api);
        if holds(&page) {
            return page;
        }
        assert!(Instant::now() < deadline, "never:\n{}", page.text);
        thread::sleep(Duration::from_millis(20));
    }
}

/// A tracker with all there is: two cores, HTTP, HTTPS, a store, a budget, a snapshot.
fn complete() -> (Api, Root, Files) {
    let root = Root::new();
    let files = Files::of(&root.issue());
    let api = Api::start_with(|config| {
        config.workers.count = 2;
        config.workers.http_threads = 2;
        config.http.push(files.listener());
        config.swarm.memory_budget = 1 << 30;
    });
    let control = api.server.tracker.control().unwrap();
    assert_eq!(control.snapshots.as_ref().unwrap().now(), Some(true));
    (api, root, files)
}

// ---- the page ----

#[test]
fn promtool_finds_no_fault_with_the_page() {
    let (api, ..) = complete();
    let page = Page::of(&api);
    assert_eq!(promtool(&["check", "metrics"], &page.text), Ok(()));
    // It does find fault.
    let spoiled = page
        .text
        .replace("_bytes_total counter", "_bytes_total gauge");
    assert!(promtool(&["check", "metrics"], &spoiled).is_err());
}

#[test]
fn the_page_is_open_metrics_for_those_who_ask_for_that() {
    let (api, ..) = complete();
    let open = api.browser().get_with("/metrics", OPEN_METRICS);
    let kind = open.header("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = open.text();
    assert!(text.ends_with("\n# EOF\n"));
    assert!(text.contains("# TYPE shoal_requests counter\nshoal_requests_total{"));
    let plain = api.browser().get("/metrics");
    let kind = plain.header("content-type").unwrap();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    assert!(!plain.text().contains("# EOF"));
    let samples = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| line.rsplit_once(' ').unwrap().0.to_owned();
        lines.map(sample).collect()
    };
    assert_eq!(samples(&text), samples(&plain.text()));
}

#[test]
fn everything_of_the_catalog_is_on_the_page_and_nothing_else() {
    let (api, ..) = complete();
    let page = Page::of(&api);
    let known: BTreeSet<&str> = catalog().map(|metric| metric.name).collect();
    let found = page.names();
    let unknown: Vec<_> = found.difference(&known).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    // What the kernel of this host may not tell; and nobody asks too often here.
    let may_lack = [
        "shoal_kernel_",
        "shoal_nic_",
        "shoal_thread_",
        "shoal_offender_",
    ];
    let missing: Vec<_> = known
        .difference(&found)
        .filter(|name| !may_lack.iter().any(|start| name.starts_with(start)))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_table_of_fixed_size_says_how_often_it_had_no_room() {
    let (api, ..) = complete();
    let page = Page::of(&api);
    for table in [
        "errands",
        "credit_sessions",
        "credit_sums",
        "http_questions",
        "similar_older",
        "similar_newer",
        "login_sessions",
        "login_names",
        "login_networks",
    ] {
        let sample = format!("shoal_table_full_total{{table=\"{table}\"}}");
        assert!(page.get(&sample) < 1.0, "{sample}");
    }
}

#[test]
fn what_was_sent_is_what_is_counted() {
    let (api, root, _files) = complete();
    let client = api.server.client();
    let id = client.connect();
    for port in 1..=5 {
        client.announce(id, Announce::leecher(HASH, port));
    }
    client.announce(id, Announce::seeder(HASH, 9));
    client.scrape(id, &[HASH]);
    client.ask(&Announce::leecher(HASH, 0).to_bytes(id));
    client.send(&[1; 3]);
    client.send(&scrape_request([9; 8], &[HASH]));
    let mut browser = Browser::of(api.server.http_address());
    for port in 11..=13 {
        browser.get(&announce(&escaped(&HASH), port, 0, "started"));
    }
    browser.get("/nowhere");
    let mut secured = Browser::secured(
        api.server.tracker.http_addresses()[1],
        &Arc::new(root.client()),
    );
    secured.get(&announce(&escaped(&HASH), 21, 5, "started"));
    let of = |protocol, kind| format!("{{protocol=\"{protocol}\",family=\"ip4\",kind=\"{kind}\"}}");
    let page = wait_until(&api, |page| {
        let dropped = page.sum("shoal_datagrams_dropped_total");
        dropped >= 2.0 && page.sum("shoal_peers") >= 10.0
    });
    for (name, labels, expected) in [
        ("shoal_requests_total", of("udp", "connect"), 1.0),
        ("shoal_answers_total", of("udp", "announce"), 6.0),
        ("shoal_answers_total", of("udp", "scrape"), 1.0),
        ("shoal_answers_total", of("http", "announce"), 3.0),
        ("shoal_answers_total", of("https", "announce"), 1.0),
        ("shoal_requests_total", of("http", "connect"), 1.0),
        (
            "shoal_errors_total",
            "{reason=\"invalid_port\"}".into(),
            1.0,
        ),
        (
            "shoal_datagrams_dropped_total",
            "{reason=\"runt\"}".into(),
            1.0,
        ),
        (
            "shoal_connection_ids_rejected_total",
            "{reason=\"forged\"}".into(),
            1.0,
        ),
        (
            "shoal_connection_ids_rejected_total",
            "{reason=\"expired\"}".into(),
            0.0,
        ),
        (
            "shoal_http_bad_requests_total",
            "{reason=\"not_found\"}".into(),
            1.0,
        ),
        ("shoal_tls_handshakes_total", String::new(), 1.0),
        ("shoal_snapshots_total", "{result=\"written\"}".into(), 1.0),
        ("shoal_control_auth_failures_total", String::new(), 0.0),
        ("shoal_access_mode_info", "{mode=\"public\"}".into(), 1.0),
        (
            "shoal_process_threads",
            String::new(),
            page.get("shoal_process_threads"),
        ),
    ] {
        assert_eq!(
            page.get(&format!("{name}{labels}")),
            expected,
            "{name}{labels}"
        );
    }
    assert_eq!(page.sum("shoal_torrents"), 1.0);
    assert_eq!(page.sum("shoal_peers"), 10.0);
    assert_eq!(page.sum("shoal_http_connections_open"), 2.0);
    // All from one address; one announce, with port 0, was not admitted.
    assert_eq!(page.get("shoal_unique_addresses"), 1.0);
    assert_eq!(page.sum("shoal_client_announces_total"), 10.0);
    // Each core has its row.
    for core in ["0", "1"] {
        let turns = page.get(&format!("shoal_turns_total{{core=\"{core}\"}}"));
        let counted = page.get(&format!("shoal_turn_seconds_count{{core=\"{core}\"}}"));
        assert!(turns >= 1.0 && (turns - counted).abs() <= 2.0);
    }
    // connect, 6 + 1 announces, a scrape, a runt, a forgery
    assert_eq!(page.sum("shoal_turn_datagrams_sum"), 11.0);
    assert!(page.sum("shoal_turn_seconds_sum") > 0.0);
    let structures = page.sum("shoal_swarm_memory_bytes");
    let whole = api.server.tally(shoal::counters::Tally::SwarmBytes) as f64;
    assert_eq!(structures, whole);
    // The process's own numbers are of the right size.
    assert!(page.get("shoal_process_resident_memory_bytes") > 1e6);
    assert!(page.get("shoal_process_open_files") > 10.0);
    assert!(page.sum("shoal_process_cpu_seconds_total") > 0.0);
}

#[test]
fn a_path_that_would_end_a_line_does_not() {
    let root = Root::new();
    let files = Files::of(&root.issue());
    let folder = files.folder.path().join("a\"} 1\nshoal_up{x=\"\\");
    fs::create_dir(&folder).unwrap();
    let moved = |name: &str| {
        let path = folder.join(name);
        fs::rename(files.folder.path().join(name), &path).unwrap();
        path
    };
    let names = TlsFiles {
        certificate: moved("fullchain.pem"),
        private_key: moved("privkey.pem"),
    };
    let api = Api::start_with(|config| {
        let mut listener = files.listener();
        listener.tls = Some(names);
        config.http.push(listener);
    });
    let page = Page::of(&api);
    assert_eq!(promtool(&["check", "metrics"], &page.text), Ok(()));
    assert!(!page.text.contains("\nshoal_up"));
    assert!(
        page.text
            .contains("a\\\"} 1\\nshoal_up{x=\\\"\\\\/fullchain.pem\"}")
    );
}

// ---- who may see it ----

#[test]
fn the_page_is_public_as_far_as_the_statistics_are() {
    let open = Api::start();
    assert_eq!(open.ask("GET", "/metrics", "", "").status, 200);
    assert_eq!(open.ask("POST", "/metrics", "", "").status, 405);
    let closed = Api::start_with(|config| config.control.public_stats = false);
    assert_eq!(closed.ask("GET", "/metrics", "", "").status, 500);
    assert_eq!(
        closed.ask("GET", "/metrics?token=wrong", "", "").status,
        500
    );
    assert_eq!(closed.get("/metrics").status, 200);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let page = closed.ask("GET", "/metrics", &bearer, "");
    assert_eq!(page.status, 200);
    let page = Page::read(page.text());
    assert_eq!(page.get("shoal_control_auth_failures_total"), 2.0);
}

#[test]
fn many_who_ask_at_once_are_all_answered() {
    let api = Api::start();
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut browser = api.browser();
                for _ in 0..4 {
                    assert_eq!(browser.get("/metrics").status, 200);
                }
            });
        }
    });
}

// ---- Prometheus ----

/// Says so when it is dropped.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_real_prometheus_scrapes_the_tracker_under_load() {
    let (api, ..) = complete();
    let server = Prometheus::scraping(api.address(), &in_source(ALERTS));
    let stop = AtomicBool::new(false);
    let announced = thread::scope(|scope| {
        let load = scope.spawn(|| {
            let client = api.server.client();
            let id = client.connect();
            let mut announced = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let torrent = [announced as u8; 20];
                let port = 1 + (announced % 1000) as u16;
                client.announce(id, Announce::leecher(torrent, port));
                announced += 1;
            }
            client.ask(&connect_request(1));
            announced
        });
        // However this ends, so does the load.
        let ending = Ending(&stop);
        server.wait_until("up{job=\"shoal\"}", |values| values == [1.0]);
        let rate = "sum(rate(shoal_answers_total{protocol=\"udp\",kind=\"announce\"}[30s]))";
        server.wait_until(rate, |values| values.iter().any(|rate| *rate > 0.0));
        let turn = "histogram_quantile(0.99, sum by (le) (rate(shoal_turn_seconds_bucket[30s])))";
        server.wait_until(turn, |values| values.iter().any(|took| *took > 0.0));
        drop(ending);
        load.join().unwrap()
    });
    assert!(announced > 0);
    let answered = "sum(shoal_answers_total{protocol=\"udp\",kind=\"announce\"})";
    server.wait_until(answered, |values| values == [announced as f64]);
    server.wait_until("sum(shoal_peers)", |values| {
        values.iter().any(|peers| *peers > 0.0)
    });

    for expression in dashboard_expressions() {
        let expression = expression
            .replace("$__rate_interval", "30s")
            .replace("$job", ".*")
            .replace("$instance", ".*");
        if let Err(why) = server.query(&expression) {
            panic!("{expression}: {why}");
        }
    }

    // Every rule has been evaluated, and none fires over a tracker that is well.
    let rules = server.api("rules");
    let groups = rules["data"]["groups"].as_array().unwrap();
    let rules: Vec<&Value> = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    assert!(rules.len() > 20, "{}", rules.len());
    for rule in rules {
        assert_ne!(rule["health"], "err", "{rule}");
        assert_ne!(rule["state"], "firing", "{rule}");
    }
}

#[test]
fn alerts_fire_when_they_should() {
    let rules = in_source(ALERTS);
    assert_eq!(
        promtool(&["check", "rules", rules.to_str().unwrap()], ""),
        Ok(())
    );
    let folder = tempfile::tempdir().unwrap();
    let trial = folder.path().join("trial.yml");
    let text = source("tests/prometheus/alerts.yml").replace("ALERTS", rules.to_str().unwrap());
    fs::write(&trial, text).unwrap();
    let judged = promtool(&["test", "rules", trial.to_str().unwrap()], "");
    assert_eq!(judged, Ok(()));
}

// ---- dashboard, rules, documents ----

fn dashboard_expressions() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(entries) => {
                for (key, value) in entries {
                    match value.as_str() {
                        Some(text) if key == "expr" => found.push(text.to_owned()),
                        _ => collect(value, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            _ => {}
        }
    }
    let dashboard: Value = serde_json::from_str(&source(DASHBOARD)).unwrap();
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    assert!(found.len() > 50, "{}", found.len());
    found
}

/// The metrics that a text speaks of.
fn named(text: &str) -> BTreeSet<&str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter| !is_part(letter));
    let words = words.filter(|word| word.starts_with("shoal_"));
    let is_histogram = |name: &&str| {
        catalog().any(|metric| metric.name == *name && metric.kind == Kind::Histogram)
    };
    words
        .map(|word| {
            let cut = |part| word.strip_suffix(part).filter(is_histogram);
            let cut = ["_bucket", "_sum", "_count"].into_iter().find_map(cut);
            cut.unwrap_or(word)
        })
        .collect()
}

#[test]
fn the_dashboard_and_the_rules_name_only_what_there_is() {
    let known: BTreeSet<&str> = catalog().map(|metric| metric.name).collect();
    let dashboard = dashboard_expressions().join(" ");
    let rules = source(ALERTS);
    for text in [&dashboard, &rules] {
        let names = named(text);
        let unknown: Vec<_> = names.difference(&known).collect();
        assert!(unknown.is_empty() && names.len() > 20, "{unknown:?}");
    }
    // The dashboard shows everything but what never changes.
    let names = named(&dashboard);
    let hidden: Vec<_> = known.difference(&names).collect();
    let constants = [
        &"shoal_access_mode_info",
        &"shoal_announce_interval_seconds",
    ];
    assert_eq!(hidden, constants);
}

#[test]
fn panels_have_numbers_of_their_own_and_do_not_overlap() {
    let dashboard: Value = serde_json::from_str(&source(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|p| p["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        for x in at("x")..at("x") + at("w") {
            assert!(x < 24, "{panel}");
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{panel}");
            }
        }
    }
}

#[test]
fn the_documents_have_the_table_of_all_metrics() {
    let page = source("docs/metrics.md");
    if !page.contains(&table()) {
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("metrics-table.md");
        fs::write(&made, table()).unwrap();
        panic!("docs/metrics.md has another table than {}", made.display());
    }
}
