//! Whether a tracker believes a header that names another client. One behind a proxy must, one that
//! anybody can reach must not: else everybody can put strangers into swarms.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{FAREWELL, Manner, ask, stopped};
use crate::query::failure::Deadline;
use crate::query::outcome::{Answer, Believed, Outcome, Peer, Question};
use crate::query::target::{Scheme, Target};
use crate::wire::NumWant;
use crate::wire::udp::ask::Announce;

/// The addresses in the value of a header field such as `X-Forwarded-For: 1.2.3.4`.
pub fn claimed(field: &str) -> Vec<IpAddr> {
    let value = field.split_once(':').map_or("", |(_, value)| value);
    // An address with its port may stand in `Forwarded: for="[2001:db8::1]:4711"`.
    value
        .split([',', ';', '=', '"', '[', ']', ' '])
        .filter_map(|piece| {
            let with_port = || piece.parse::<SocketAddr>().map(|address| address.ip());
            piece.parse().or_else(|_| with_port()).ok()
        })
        .collect()
}

/// Announces with the field and says whether it was believed: by `external ip`, or else by the peers that
/// a second announce is given. It names a neighbour of the first address, since trackers behind a proxy
/// take none without the field. Both peers leave afterwards, unless they are to stay.
pub fn ask_with_claim(
    target: &Target,
    address: SocketAddr,
    announce: &Announce,
    field: &str,
    manner: &Manner,
    deadline: Deadline,
) -> Outcome {
    let mut second_manner = manner.clone();
    second_manner.farewell = false;
    let mut claiming = second_manner.clone();
    claiming.fields.push(field.to_owned());
    let first = Question::Announce(*announce);
    let mut outcome = ask(target, address, &first, &claiming, deadline);
    let unknown = |because: &str| Believed {
        believed: None,
        because: because.to_owned(),
    };
    if target.scheme == Scheme::Udp {
        outcome.proxy = Some(unknown("UDP has no header"));
    }
    let Ok(Answer::Announce(answer)) = &outcome.result else {
        return outcome;
    };
    let claimed = claimed(field);
    let mut others = Vec::new();
    if let Some(ip) = answer.external_ip {
        outcome.proxy = outcome.proxy.or_else(|| {
            Some(Believed {
                believed: Some(claimed.contains(&ip.to_canonical())),
                because: format!("the tracker calls the client {ip}"),
            })
        });
    } else if outcome.proxy.is_none() {
        let second = witness(announce, manner);
        let question = Question::Announce(second);
        second_manner.fields.push(neighbour(field, &claimed));
        let seen = ask(target, address, &question, &second_manner, deadline);
        others.push((second, second_manner));
        let believed = seen_peers(&seen, &claimed, announce.port);
        outcome.exchanges.extend(seen.exchanges);
        let silent = || unknown("the tracker names neither the client nor its peer");
        outcome.proxy = Some(believed.unwrap_or_else(silent));
    }
    if manner.farewell {
        others.push((*announce, claiming));
        for (announce, manner) in others {
            let deadline = deadline.within(FAREWELL);
            let left = ask(target, address, &stopped(&announce), &manner, deadline);
            outcome.exchanges.extend(left.exchanges);
            outcome.farewell = Some(left.result.map(drop));
        }
    }
    outcome
}

/// The same field with the address beside the first of those that it names.
fn neighbour(field: &str, claimed: &[IpAddr]) -> String {
    let Some(ip) = claimed.first() else {
        return field.to_owned();
    };
    let beside: IpAddr = match ip {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() ^ 1).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() ^ 1).into(),
    };
    field.replace(&ip.to_string(), &beside.to_string())
}

/// Another peer, which asks for whoever is there.
fn witness(announce: &Announce, manner: &Manner) -> Announce {
    Announce {
        peer_id: manner.profile.peer_id(),
        key: fastrand::u32(..),
        port: if announce.port == u16::MAX {
            announce.port - 1
        } else {
            announce.port + 1
        },
        // Seeders may be told of leechers only, and leechers of everybody.
        left: announce.left.max(1),
        num_want: NumWant::AtMost(50),
        ..*announce
    }
}

fn seen_peers(outcome: &Outcome, claimed: &[IpAddr], port: u16) -> Option<Believed> {
    let Ok(Answer::Announce(answer)) = &outcome.result else {
        return None;
    };
    let peers = answer.peers.iter().filter(|peer| peer.port == port);
    let peers: Vec<IpAddr> = peers.filter_map(Peer::ip).collect();
    let is_claimed = peers.iter().find(|ip| claimed.contains(ip));
    let shown = is_claimed.or(peers.first())?;
    Some(Believed {
        believed: Some(is_claimed.is_some()),
        because: format!("the tracker names the peer {shown} to others"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_every_kind_of_field() {
        let ips = |field: &str| {
            let ips = claimed(field);
            ips.iter().map(IpAddr::to_string).collect::<Vec<_>>()
        };
        assert_eq!(ips("X-Forwarded-For: 1.2.3.4"), ["1.2.3.4"]);
        assert_eq!(ips("X-Forwarded-For: 1.2.3.4, ::1"), ["1.2.3.4", "::1"]);
        assert_eq!(
            ips("Forwarded: for=\"[2001:db8::1]:4711\""),
            ["2001:db8::1"]
        );
        assert_eq!(ips("Forwarded: for=1.2.3.4:5;proto=http"), ["1.2.3.4"]);
        assert_eq!(ips("X-Real-IP: nobody"), [""; 0]);
    }

    #[test]
    fn the_second_announce_names_a_neighbour() {
        let beside = |field: &str| neighbour(field, &claimed(field));
        assert_eq!(beside("X-Real-IP: 1.2.3.4"), "X-Real-IP: 1.2.3.5");
        assert_eq!(
            beside("Forwarded: for=\"[::1]\""),
            "Forwarded: for=\"[::]\""
        );
        assert_eq!(beside("X-Real-IP: nobody"), "X-Real-IP: nobody");
    }
}
