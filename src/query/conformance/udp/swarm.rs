//! What a few peers in one torrent learn of each other.

use super::reply::{Reply, Row};
use super::scene::{Announce, COMPLETED, NONE, Udp};
use super::{Ruling, differs, fail, pass, skipped};
use crate::query::conformance::{Check, Need, count};

/// An address that is certainly not ours, and that a tracker could believe.
const CLAIMED: [u8; 4] = [8, 8, 8, 8];

pub(super) const CHECKS: &[Check<Udp>] = &[
    Check {
        id: "udp.swarm.meet",
        source: "BEP 15",
        title: "A peer is told of the one before it",
        sent: "announces of two peers, on two ports",
        expected: "the second is told of the first",
        why: "that is what a tracker is for",
        needs: Need::Served,
        run: meet,
    },
    Check {
        id: "udp.swarm.self",
        source: "BEP 15",
        title: "A peer is not told of itself",
        sent: "an announce of a peer that is known already",
        expected: "others only",
        why: "every client gets a useless entry, and the bytes are the tracker's",
        needs: Need::Meeting,
        run: itself,
    },
    Check {
        id: "udp.swarm.claimed_address",
        source: "BEP 15",
        title: "The address field is not believed",
        sent: "an announce with 8.8.8.8 in the address field, then one by another peer",
        expected: "the other is told of the address that the datagram came from",
        why: "whoever believes it lets anybody point a swarm at a victim",
        needs: Need::Meeting,
        run: claimed_address,
    },
    Check {
        id: "udp.swarm.again",
        source: "BEP 15",
        title: "An announce sent twice counts once",
        sent: "the same announce two times",
        expected: "the same counts",
        why: "clients send again what was not answered in time",
        needs: Need::Meeting,
        run: again,
    },
    Check {
        id: "udp.swarm.left_unknown",
        source: "BEP 15, WebTorrent",
        title: "A peer that does not know what is left is a leecher",
        sent: "an announce with left all ones",
        expected: "no seeder more",
        why: "WebTorrent sends this for magnet links",
        needs: Need::Alone,
        run: left_unknown,
    },
    Check {
        id: "udp.swarm.counts",
        source: "BEP 15",
        title: "Leechers come before seeders",
        sent: "an announce of a seeder beside two leechers",
        expected: "2 leechers, 1 seeder: whoever announces is counted",
        why: "scrape replies have the other order, and the two are easily confused",
        needs: Need::Alone,
        run: counts,
    },
    Check {
        id: "udp.swarm.scrape_row",
        source: "BEP 15",
        title: "A scrape says seeders, completed, leechers",
        sent: "a scrape of a torrent with 1 seeder and 2 leechers",
        expected: "1, the downloads, 2",
        why: "the order is another one than in announce replies",
        needs: Need::Alone,
        run: scrape_row,
    },
    Check {
        id: "udp.swarm.stopped",
        source: "BEP 15",
        title: "A peer that has stopped is gone",
        sent: "stopped of the seeder, then an announce by a leecher",
        expected: "nobody is told of it any more",
        why: "whoever is told of it connects to nobody",
        needs: Need::Meeting,
        run: stopped,
    },
    Check {
        id: "udp.swarm.completed_once",
        source: "BEP 15",
        title: "A download counts once",
        sent: "completed by a known leecher, twice, with scrapes around",
        expected: "1 more, and no more for the second",
        why: "the number is otherwise whatever somebody wants it to be",
        needs: Need::Meeting,
        run: completed_once,
    },
    Check {
        id: "udp.swarm.completed_from_nowhere",
        source: "BEP 15",
        title: "A download by a peer that was never there does not count",
        sent: "completed by an unknown peer, with scrapes around",
        expected: "the same number",
        why: "one datagram would be enough to make up a download",
        needs: Need::Meeting,
        run: completed_from_nowhere,
    },
];

fn meet(udp: &mut Udp) -> Ruling {
    let first = udp.first().port;
    let came_back = udp.describe(&udp.second_answer);
    match udp.read(&udp.second_answer) {
        Some(Reply::Announce { peers, .. }) if peers.iter().any(|peer| peer.port() == first) => {
            pass(came_back)
        }
        _ => fail(came_back),
    }
}

fn itself(udp: &mut Udp) -> Ruling {
    let announce = regular(udp.second());
    let Some(Reply::Announce { peers, .. }) = udp.announced(&announce) else {
        return fail("no announce reply");
    };
    let is_told = peers.iter().any(|peer| peer.port() == announce.port);
    let came_back = count(peers.len(), "peer");
    if is_told {
        differs(format!("{came_back}, itself among them"))
    } else {
        pass(format!("{came_back}, all others"))
    }
}

fn claimed_address(udp: &mut Udp) -> Ruling {
    let liar = Announce {
        claimed: CLAIMED,
        ..udp.peer(3)
    };
    let answer = udp.announce(&liar);
    let first = regular(udp.first());
    let seen = udp.announced(&first);
    let refused = udp.describe(&answer);
    udp.stop(&liar);
    let Some(Reply::Announce { peers, .. }) = seen else {
        return fail("no announce reply");
    };
    match peers.iter().find(|peer| peer.port() == liar.port) {
        Some(peer) if peer.ip() == std::net::IpAddr::from(CLAIMED) => fail(peer.to_string()),
        Some(peer) => pass(peer.to_string()),
        None => differs(format!("that peer is not told of; it got {refused}")),
    }
}

fn again(udp: &mut Udp) -> Ruling {
    let announce = udp.second();
    let total = |reply| match reply {
        Some(Reply::Announce {
            leechers, seeders, ..
        }) => Some((leechers, seeders)),
        _ => None,
    };
    let once = total(udp.announced(&announce));
    let twice = total(udp.announced(&announce));
    let (Some(once), Some(twice)) = (once, twice) else {
        return fail("no announce reply");
    };
    let came_back = format!(
        "{} leechers and {} seeders, then {} and {}",
        once.0, once.1, twice.0, twice.1
    );
    if once == twice {
        pass(came_back)
    } else {
        fail(came_back)
    }
}

fn left_unknown(udp: &mut Udp) -> Ruling {
    let mut announce = regular(udp.second());
    announce.left = u64::MAX;
    let Some(Reply::Announce {
        leechers, seeders, ..
    }) = udp.announced(&announce)
    else {
        return fail("no announce reply");
    };
    let came_back = format!("{leechers} leechers, {seeders} seeders");
    if seeders == 0 {
        pass(came_back)
    } else {
        fail(came_back)
    }
}

/// With 2 leechers and 1 seeder no two readings of the reply are the same.
fn counts(udp: &mut Udp) -> Ruling {
    seed(udp, |leechers, seeders, came_back| {
        match (leechers, seeders) {
            (2, 1) => pass(came_back),
            (2, 0) => differs(format!("{came_back}: who announces is not counted")),
            (1, 2) => fail(format!("{came_back}: the two are swapped")),
            _ => fail(came_back),
        }
    })
}

fn seed(udp: &mut Udp, judge: fn(u32, u32, String) -> Ruling) -> Ruling {
    let seeder = Announce {
        left: 0,
        ..udp.peer(2)
    };
    match udp.announced(&seeder) {
        Some(Reply::Announce {
            leechers, seeders, ..
        }) => {
            let came_back = format!("{leechers} leechers, {seeders} seeders");
            judge(leechers, seeders, came_back)
        }
        Some(other) => fail(other.to_string()),
        None => fail("nothing"),
    }
}

fn scrape_row(udp: &mut Udp) -> Ruling {
    match row(udp) {
        Ok(row) => {
            let came_back = format!("{}, {}, {}", row.seeders, row.completed, row.leechers);
            match (row.seeders, row.leechers) {
                (1, 2) => pass(came_back),
                _ => fail(came_back),
            }
        }
        Err(came_back) => fail(came_back),
    }
}

fn stopped(udp: &mut Udp) -> Ruling {
    let seeder = Announce {
        left: 0,
        ..udp.peer(2)
    };
    let answer = udp.stop(&seeder);
    let goodbye = match udp.read(&answer) {
        Some(Reply::Announce { peers, .. }) => Ok(peers.len()),
        _ => Err(udp.describe(&answer)),
    };
    let second = regular(udp.second());
    let Some(Reply::Announce { peers, .. }) = udp.announced(&second) else {
        return fail("no announce reply");
    };
    if peers.iter().any(|peer| peer.port() == seeder.port) {
        return fail("it is still told of");
    }
    match goodbye {
        Ok(0) => pass("it is gone, and was told of nobody when it went"),
        Ok(peers) => differs(format!(
            "it is gone, but was sent {} when it went",
            count(peers, "peer")
        )),
        Err(came_back) => differs(format!("it is gone, but its stopped got {came_back}")),
    }
}

fn completed_once(udp: &mut Udp) -> Ruling {
    let leecher = udp.peer(4);
    udp.announce(&leecher);
    let completed = Announce {
        left: 0,
        event: COMPLETED,
        ..leecher
    };
    let mut seen = Vec::new();
    for announces in 0..3 {
        if announces > 0 {
            udp.announce(&completed);
        }
        match row(udp) {
            Ok(row) => seen.push(row.completed),
            Err(came_back) => return skipped(format!("no scrape tells it: {came_back}")),
        }
    }
    udp.stop(&completed);
    let came_back = format!("{}, then {}, then {}", seen[0], seen[1], seen[2]);
    match (seen[1].wrapping_sub(seen[0]), seen[2].wrapping_sub(seen[1])) {
        (1, 0) => pass(came_back),
        _ => differs(came_back),
    }
}

fn completed_from_nowhere(udp: &mut Udp) -> Ruling {
    let stranger = Announce {
        left: 0,
        event: COMPLETED,
        ..udp.peer(5)
    };
    let before = row(udp);
    udp.announce(&stranger);
    let after = row(udp);
    udp.stop(&stranger);
    let (Ok(before), Ok(after)) = (before, after) else {
        return skipped("no scrape tells it");
    };
    let came_back = format!("{}, then {}", before.completed, after.completed);
    if before.completed == after.completed {
        pass(came_back)
    } else {
        differs(came_back)
    }
}

fn row(udp: &mut Udp) -> Result<Row, String> {
    match udp.scraped(&[udp.info_hash]) {
        Some(Reply::Scrape { rows, .. }) if rows.len() == 1 => Ok(rows[0]),
        Some(other) => Err(other.to_string()),
        None => Err("nothing".to_owned()),
    }
}

fn regular(announce: Announce) -> Announce {
    Announce {
        event: NONE,
        ..announce
    }
}
