//! The checks for a tracker that speaks BEP 15.

mod announce;
mod connect;
mod families;
mod hostile;
mod newtrackon;
mod replies;
mod reply;
mod scene;
mod scrape;
mod swarm;

use std::net::SocketAddr;

use super::{Finding, Group, Options, Ruling, differs, fail, pass, run_checks, run_group, skipped};
use crate::query::failure::Failure;
use crate::query::target::Target;
use crate::wire::udp::ask::write_url_data;
use reply::Reply;
use scene::{Answer, Udp};

/// Every check, in the order in which they are run. What is judged over all datagrams comes last.
const GROUPS: &[Group<Udp>] = &[
    Group {
        title: "Connect",
        checks: connect::CHECKS,
    },
    Group {
        title: "Announce",
        checks: announce::CHECKS,
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
        title: "What deserves silence",
        checks: hostile::CHECKS,
    },
    NEWTRACKON,
    Group {
        title: "IPv4 and IPv6",
        checks: families::CHECKS,
    },
    Group {
        title: "All replies",
        checks: replies::CHECKS,
    },
];

const NEWTRACKON: Group<Udp> = Group {
    title: "newTrackon",
    checks: newtrackon::CHECKS,
};

/// Runs every check; also says how many datagrams that took. `Err` is a host that has no socket for it.
pub(super) fn run(
    target: &Target,
    address: SocketAddr,
    other: Option<SocketAddr>,
    options: &Options,
    progress: &mut dyn FnMut(&str),
) -> Result<(Vec<Finding>, usize), Failure> {
    let mut udp = Udp::open(address, other, &url_data(target), options)?;
    let findings = run_checks(&mut udp, GROUPS, progress);
    udp.stop_all();
    Ok((findings, udp.sent))
}

/// Asks only what newTrackon asks, and one connect more, to know how long an answer takes.
pub(super) fn newtrackon(
    target: &Target,
    address: SocketAddr,
    options: &Options,
) -> Result<Vec<Finding>, Failure> {
    let mut udp = Udp::connect_to(address, None, &url_data(target), options)?;
    Ok(run_group(&mut udp, &NEWTRACKON))
}

/// What an announce carries of the URL (BEP 41): nothing of one that every tracker has.
fn url_data(target: &Target) -> Vec<u8> {
    let url = target.path_and_query();
    if url == "/" || url == "/announce" {
        return Vec::new();
    }
    // Two bytes in front of each piece of 255.
    let mut option = vec![0; url.len() + 2 * url.len().div_ceil(255)];
    write_url_data(&mut option, url.as_bytes());
    option
}

/// A ruling on what should have got silence: `heard` says what an answer means.
fn silence(udp: &Udp, answer: &Answer, heard: fn(String) -> Ruling) -> Ruling {
    match answer {
        Answer::Silence => pass("nothing"),
        Answer::Lost => skipped("the connect behind it was not answered either"),
        Answer::Datagram(_) => heard(udp.describe(answer)),
    }
}

/// A ruling on an announce that should have been served, where an error is lawful or not.
fn served(udp: &Udp, answer: &Answer, refused: fn(String) -> Ruling) -> Ruling {
    match udp.read(answer) {
        Some(Reply::Announce { .. }) => pass(udp.describe(answer)),
        _ => refused(udp.describe(answer)),
    }
}
