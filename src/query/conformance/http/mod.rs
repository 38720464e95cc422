//! The checks for a tracker that speaks BEP 3 over HTTP.

mod announce;
mod body;
mod connection;
mod families;
mod malformed;
mod newtrackon;
mod query;
mod reply;
mod scene;
mod scrape;
mod swarm;

use std::net::SocketAddr;

use super::{Finding, Group, Options, Ruling, differs, fail, pass, run_checks, run_group, skipped};
use crate::query::target::Target;
use reply::Said;
use scene::{Answer, Http};

/// Every check, in the order in which they are run. What becomes of the unfinished request is asked for
/// last, since it has been waiting since the start.
const GROUPS: &[Group<Http>] = &[
    Group {
        title: "Announce",
        checks: announce::CHECKS,
    },
    Group {
        title: "Body",
        checks: body::CHECKS,
    },
    Group {
        title: "Query",
        checks: query::CHECKS,
    },
    Group {
        title: "Swarm",
        checks: swarm::CHECKS,
    },
    Group {
        title: "Scrape",
        checks: scrape::CHECKS,
    },
    Group {
        title: "Malformed announces",
        checks: malformed::CHECKS,
    },
    NEWTRACKON,
    Group {
        title: "IPv4 and IPv6",
        checks: families::CHECKS,
    },
    Group {
        title: "Connection",
        checks: connection::CHECKS,
    },
];

const NEWTRACKON: Group<Http> = Group {
    title: "newTrackon",
    checks: newtrackon::CHECKS,
};

/// Runs every check; also says how many requests that took.
pub(super) fn run(
    target: &Target,
    address: SocketAddr,
    other: Option<SocketAddr>,
    options: &Options,
    progress: &mut dyn FnMut(&str),
) -> (Vec<Finding>, usize) {
    let mut http = Http::open(target, address, other, options);
    let findings = run_checks(&mut http, GROUPS, progress);
    http.stop_all();
    (findings, http.sent)
}

/// Asks only what newTrackon asks.
pub(super) fn newtrackon(target: &Target, address: SocketAddr, options: &Options) -> Vec<Finding> {
    let mut http = Http::of(target, address, None, options);
    run_group(&mut http, &NEWTRACKON)
}

/// A ruling on an announce that should have been served.
fn served(answer: &Answer, otherwise: fn(String) -> Ruling) -> Ruling {
    let said = Said::read(answer);
    match said {
        Said::Served(_) => pass(said.to_string()),
        _ => otherwise(said.to_string()),
    }
}

/// A ruling on an announce by the second peer that should have reached the torrent of the first.
fn same_torrent(http: &Http, said: &Said, otherwise: fn(String) -> Ruling) -> Ruling {
    match said {
        Said::Served(_) if said.has_peer(http.first_port()) => pass(said.to_string()),
        Said::Served(_) => otherwise(format!(
            "{said}: another torrent, the first peer is not there"
        )),
        _ => otherwise(said.to_string()),
    }
}
