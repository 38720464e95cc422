use serde_json::{Value, json};

use super::super::Results;
use super::{draw, page, svg};

fn udp(rate: f64, cpu: f64, loss: f64) -> Value {
    json!({
        "options": {
            "torrents": 1_000_000, "peers_per_torrent": 4, "dist": "uniform", "mix": [20, 80, 1],
            "numwant": 50, "rate": 20_000,
        },
        "requests": {"all": {
            "responses_per_s": rate, "loss_share": loss,
            "latency_us": {"p50": 30.0, "p99": cpu / 100.0, "p99.9": 900.0},
        }},
        "server": {
            "cpu_ns_per_response": {"user": 200.0, "system": cpu - 200.0, "all": cpu},
            "cpus": 1.0,
        },
        "peers_per_announce": 2.2,
    })
}

fn filled(kib: u32, peers: u32) -> Value {
    json!({
        "server": {"rss_kib": kib},
        "fill": {"peers": peers, "total": 1000},
        "options": {"torrents": 250},
    })
}

fn http(rate: f64, cpu: f64) -> Value {
    json!({
        "requests_per_s": rate,
        "load": {"requests": 1000, "latency_us": {"p50": 900, "p99": 2000, "p99.9": 3000}},
        "server": {"cpu_us_per_request": {"user": 5.0, "system": cpu - 5.0, "all": cpu}, "cpus": 1.0},
        "generator": {"busy_share": 0.5},
    })
}

fn results() -> Results {
    let mut results = Results::default();
    for (server, rate, cpu, loss) in [
        ("echo", 200_000.0, 4000.0, 0.0),
        ("shoal", 180_000.0, 4400.0, 0.0),
        ("other", 90_000.0, 8800.0, 0.0005),
    ] {
        for round in 1..=3 {
            results.insert(server, "udp4-saturated", round, udp(rate, cpu, loss));
        }
    }
    results.insert("shoal", "udp4-paced", 1, udp(20_000.0, 10_000.0, 0.0));
    results.insert("other", "udp4-paced", 1, udp(20_000.0, 8_000.0, 0.0));
    results.insert("shoal", "memory-1Mx4", 1, filled(102_400, 1000));
    results.insert("other", "memory-1Mx4", 1, filled(204_800, 1000));
    results.insert("shoal", "memory-zipf", 1, filled(102_400, 1000));
    results.insert("other", "memory-zipf", 1, filled(51_200, 250));
    results.insert("shoal", "http-close", 1, http(20_000.0, 25.0));
    results.insert("other", "http-close", 1, http(10_000.0, 50.0));
    results
}

#[test]
fn every_server_has_a_row_with_ratios_to_the_echo_and_to_shoal() {
    let page = page(&results(), "A machine", "2000-01-01", "- other 1.0\n");
    let start = "2000-01-01. A machine. Medians of 3 rounds, taken in turn.\n\n- other 1.0\n\nSaturated, 1 000 000 torrents";
    assert!(page.starts_with(start), "{page}");
    for row in [
        "| UDP over IPv4 | echo | 200 000 | 200 000 to 200 000 | 1.00 | 1.11 | 200 | 3 800 | 4 000 | 1.00 | 0.91 | 0.00% | 2.2 |",
        "| UDP over IPv4 | other | 90 000 | 90 000 to 90 000 | 0.45 | 0.50 | 200 | 8 600 | 8 800 | 2.20 | 2.00 | 0.05% | 2.2 |",
        "| UDP over IPv4 | other | 30 | 80 | 900 | 0.80 | 200 | 7 800 | 8 000 | - | 0.80 | 0.00% |",
        "| shoal | 100.0 | - | - | 100.0 |",
        "| other | 200.0 (2.00) | - | - | 50.0 (25% of the peers) |",
        "| HTTP, a connection each | other | 10 000 | 10 000 to 10 000 | 0.50 | 5.0 | 45.0 | 50.0 | 2.00 | 900 | 2 000 | 3 000 |",
    ] {
        assert!(page.contains(&format!("{row}\n")), "{row}\n{page}");
    }
    assert!(!page.contains("IPv6"), "{page}");
}

#[test]
fn where_another_comes_first_the_page_says_so() {
    let page = page(&results(), "", "", "");
    let expected = "In 7 of 9 comparisons Shoal comes first. Another comes first in:\n\n\
                    - UDP over IPv4, p99: other, 0.80 x shoal\n\
                    - UDP over IPv4, CPU by the clock: other, 0.80 x shoal\n\n";
    assert!(page.contains(expected), "{page}");
}

#[test]
fn a_tracker_that_loses_requests_wins_no_prize_for_speed() {
    let mut results = Results::default();
    results.insert("shoal", "udp4-paced", 1, udp(20_000.0, 10_000.0, 0.0));
    results.insert("other", "udp4-paced", 1, udp(6_000.0, 8_000.0, 0.7));
    let page = page(&results, "", "", "");
    assert!(
        !page.contains("comes first") && page.contains("70%"),
        "{page}"
    );
}

#[test]
fn a_tracker_that_did_not_take_all_peers_wins_no_prize_for_memory() {
    let mut results = Results::default();
    results.insert("shoal", "memory-zipf", 1, filled(1000, 1000));
    results.insert("other", "memory-zipf", 1, filled(10, 10));
    let page = page(&results, "", "", "");
    assert!(!page.contains("comes first"), "{page}");
}

#[test]
fn targets_are_told_with_what_was_measured() {
    let page = page(&results(), "", "", "");
    for row in [
        "| user ns a response | <= 300 | 200.0 | yes |",
        "| CPU a response, times the echo's | <= 1.15 | 1.10 | yes |",
        "| MiB, 1M x 4 | <= 120 | 100.0 | yes |",
    ] {
        assert!(page.contains(row), "{row}\n{page}");
    }
    assert!(!page.contains("aquatic"), "{page}");
}

#[test]
fn pictures_have_a_bar_for_every_server_that_was_measured() {
    let pictures = draw(&results());
    let names: Vec<&str> = pictures.iter().map(|picture| picture.name).collect();
    let all = [
        "udp-rate",
        "udp-cpu",
        "udp-latency",
        "memory",
        "http-rate",
        "http-cpu",
    ];
    assert_eq!(names, all);
    let drawn: Vec<String> = pictures.iter().map(svg).collect();
    assert!(drawn[0].contains(">90 000<") && drawn[0].contains(">echo<"));
    assert!(drawn[1].contains(">200 + 8 600<"), "{}", drawn[1]);
    // Of the memory with a part of the peers there is no bar.
    assert!(drawn[3].contains(">200<") && !drawn[3].contains(">50.0<"));
}
