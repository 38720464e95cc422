//! What the tests of conformance share: a real tracker, ways to ask one, and trackers that are wrong on
//! purpose, which are relays in front of the real one with a twist for each fault.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses its own part of this"
)]

pub mod http;
pub mod udp;

use std::net::SocketAddr;
use std::time::Duration;

use shoal::query::conformance::{self, Options, Report, Verdict};
use shoal::query::target::Target;

use crate::in_process::{Server, config, http_listener, listener};

/// Shoal with UDP and HTTP over both families. Malformed and unfinished requests are given up soon.
pub fn shoal() -> Server {
    let mut config = config();
    config.udp = vec![listener("127.0.0.1:0"), listener("[::1]:0")];
    config.http = vec![http_listener("127.0.0.1:0"), http_listener("[::1]:0")];
    config.connections.request_timeout = 1;
    Server::start(&config)
}

/// For fakes, which answer at once or never.
pub fn impatient() -> Options {
    Options {
        timeout: Duration::from_secs(1),
        malformed_timeout: Duration::from_millis(300),
        head_timeout: Duration::from_millis(300),
        ..Options::default()
    }
}

pub fn ask(scheme: &str, addresses: &[SocketAddr], options: &Options) -> Report {
    let target: Target = format!("{scheme}://{}/announce", addresses[0])
        .parse()
        .unwrap();
    conformance::run(&target, addresses, options, &mut |_| {}).unwrap()
}

#[track_caller]
pub fn assert_not_passed(report: &Report, expected: &[(&str, Verdict)]) {
    for (id, verdict) in expected {
        let finding = report
            .finding(id)
            .unwrap_or_else(|| panic!("no check is called {id}"));
        assert_eq!(
            finding.verdict,
            *verdict,
            "{id}: {}\n{}",
            finding.came_back,
            report.table(false, false)
        );
    }
}
