//! What a few peers in one torrent learn of each other.

use super::reply::{Row, Said, Served};
use super::scene::{Announce, Http};
use super::{Ruling, differs, fail, pass, skipped};
use crate::query::conformance::{Check, Need, count};

pub(super) const CHECKS: &[Check<Http>] = &[
    Check {
        id: "http.swarm.meet",
        source: "BEP 3",
        title: "A peer is told of the one before it",
        sent: "announces of two peers, on two ports",
        expected: "the second is told of the first",
        why: "that is what a tracker is for",
        needs: Need::Served,
        run: meet,
    },
    Check {
        id: "http.swarm.self",
        source: "BEP 3",
        title: "A peer is not told of itself",
        sent: "an announce of a peer that is known already",
        expected: "others only",
        why: "every client gets a useless entry, and the bytes are the tracker's",
        needs: Need::Meeting,
        run: itself,
    },
    Check {
        id: "http.swarm.again",
        source: "BEP 3",
        title: "An announce sent twice counts once",
        sent: "the same announce two times",
        expected: "the same counts",
        why: "clients send again what was not answered in time",
        needs: Need::Meeting,
        run: again,
    },
    Check {
        id: "http.swarm.counts",
        source: "BEP 3",
        title: "complete are seeders, incomplete are leechers",
        sent: "an announce of a seeder beside two leechers",
        expected: "1 complete, 2 incomplete: whoever announces is counted",
        why: "clients choose torrents by these numbers",
        needs: Need::Alone,
        run: counts,
    },
    Check {
        id: "http.swarm.scrape_row",
        source: "BEP 48",
        title: "A scrape counts the same",
        sent: "a scrape of a torrent with 1 seeder and 2 leechers",
        expected: "1 complete, 2 incomplete, and downloaded",
        why: "libtorrent and Transmission show what a scrape says",
        needs: Need::Alone,
        run: scrape_row,
    },
    Check {
        id: "http.swarm.stopped",
        source: "BEP 3",
        title: "A peer that has stopped is gone",
        sent: "stopped of the seeder, then an announce by a leecher",
        expected: "a regular answer without peers, and nobody is told of it any more",
        why: "whoever is told of it connects to nobody",
        needs: Need::Meeting,
        run: stopped,
    },
    Check {
        id: "http.swarm.completed_once",
        source: "BEP 3, BEP 48",
        title: "A download counts once",
        sent: "completed by a known leecher, twice, with scrapes around",
        expected: "1 more, and no more for the second",
        why: "the number is otherwise whatever somebody wants it to be",
        needs: Need::Meeting,
        run: completed_once,
    },
    Check {
        id: "http.swarm.completed_from_nowhere",
        source: "BEP 3, BEP 48",
        title: "A download by a peer that was never there does not count",
        sent: "completed by an unknown peer, with scrapes around",
        expected: "the same number",
        why: "one request would be enough to make up a download",
        needs: Need::Meeting,
        run: completed_from_nowhere,
    },
];

fn meet(http: &mut Http) -> Ruling {
    let said = Said::read(&http.second_answer);
    if said.has_peer(http.first_port()) {
        pass(said.to_string())
    } else {
        fail(said.to_string())
    }
}

fn itself(http: &mut Http) -> Ruling {
    let second = http.second_again();
    let port = second.port.parse().unwrap_or(0);
    let said = http.said(&second);
    match &said {
        Said::Served(_) if said.has_peer(port) => differs(format!("{said}, itself among them")),
        Said::Served(_) => pass(format!("{said}, all others")),
        _ => fail(said.to_string()),
    }
}

fn again(http: &mut Http) -> Ruling {
    let second = http.second_again();
    let mut seen = Vec::new();
    for _ in 0..2 {
        match http.said(&second) {
            Said::Served(served) => seen.push((served.complete, served.incomplete)),
            said => return fail(said.to_string()),
        }
    }
    let words = |(complete, incomplete): (Option<i64>, Option<i64>)| {
        format!("{} and {}", complete.unwrap_or(0), incomplete.unwrap_or(0))
    };
    let came_back = format!("{}, then {}", words(seen[0]), words(seen[1]));
    if seen[0] == seen[1] {
        pass(came_back)
    } else {
        fail(came_back)
    }
}

/// With 2 leechers and 1 seeder no two readings of the answer are the same.
fn counts(http: &mut Http) -> Ruling {
    let seeder = seeder(http);
    let said = http.said(&seeder);
    let Said::Served(Served {
        complete: Some(complete),
        incomplete: Some(incomplete),
        ..
    }) = said
    else {
        return fail(said.to_string());
    };
    let came_back = format!("{complete} complete, {incomplete} incomplete");
    match (complete, incomplete) {
        (1, 2) => pass(came_back),
        (0, 2) => differs(format!("{came_back}: who announces is not counted")),
        (2, 1) => fail(format!("{came_back}: the two are swapped")),
        _ => fail(came_back),
    }
}

fn scrape_row(http: &mut Http) -> Ruling {
    match row(http) {
        Ok(row) => match (row.complete, row.downloaded, row.incomplete) {
            (Some(1), Some(0..), Some(2)) => pass(row.to_string()),
            (Some(1), None, Some(2)) => differs(row.to_string()),
            _ => fail(row.to_string()),
        },
        Err(came_back) => differs(came_back),
    }
}

fn stopped(http: &mut Http) -> Ruling {
    let seeder = seeder(http);
    let port = seeder.port.parse().unwrap_or(0);
    let goodbye = http.stop(&seeder);
    let second = http.second_again();
    let seen = http.said(&second);
    if seen.has_peer(port) {
        return fail("it is still told of");
    }
    match goodbye {
        Said::Served(served) if served.peers.is_empty() => {
            pass("it is gone, and was told of nobody when it went")
        }
        Said::Served(served) => differs(format!(
            "it is gone, but was sent {} when it went",
            count(served.peers.len(), "peer")
        )),
        said => differs(format!("it is gone, but its stopped got {said}")),
    }
}

fn completed_once(http: &mut Http) -> Ruling {
    let leecher = http.peer(4);
    http.said(&leecher);
    let completed = completed(leecher);
    let mut seen = Vec::new();
    for announces in 0..3 {
        if announces > 0 {
            http.said(&completed);
        }
        match row(http).map(|row| row.downloaded) {
            Ok(Some(downloaded)) => seen.push(downloaded),
            Ok(None) => return skipped("no scrape tells it: downloaded is missing"),
            Err(came_back) => return skipped(format!("no scrape tells it: {came_back}")),
        }
    }
    http.stop(&completed);
    let came_back = format!("{}, then {}, then {}", seen[0], seen[1], seen[2]);
    match (seen[1].wrapping_sub(seen[0]), seen[2].wrapping_sub(seen[1])) {
        (1, 0) => pass(came_back),
        _ => differs(came_back),
    }
}

fn completed_from_nowhere(http: &mut Http) -> Ruling {
    let stranger = completed(http.peer(5));
    let before = row(http).ok().and_then(|row| row.downloaded);
    http.said(&stranger);
    let after = row(http).ok().and_then(|row| row.downloaded);
    http.stop(&stranger);
    let (Some(before), Some(after)) = (before, after) else {
        return skipped("no scrape tells it");
    };
    let came_back = format!("{before}, then {after}");
    if before == after {
        pass(came_back)
    } else {
        differs(came_back)
    }
}

fn seeder(http: &Http) -> Announce {
    Announce {
        left: Some("0"),
        ..http.peer(2)
    }
}

fn completed(announce: Announce) -> Announce {
    Announce {
        left: Some("0"),
        event: Some("completed"),
        ..announce
    }
}

fn row(http: &mut Http) -> Result<Row, String> {
    let answer = http.scrape(&[http.info_hash], "");
    match Said::read(&answer) {
        Said::Scraped(rows) if rows.len() == 1 => Ok(rows[0].1),
        said => Err(said.to_string()),
    }
}
