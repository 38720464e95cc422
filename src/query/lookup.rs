//! The names of peers' addresses.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use crate::query::failure::{Deadline, printable};
use crate::query::outcome::{Answer, Outcome, Peer};

/// Questions to the resolver at one time.
const THREADS_MAX: usize = 16;

/// Names the peers of all outcomes, as far as the resolver answers before the deadline.
pub fn name_peers(outcomes: &mut [Outcome], deadline: Deadline) {
    let addresses: HashSet<IpAddr> = peers(outcomes).filter_map(|peer| peer.ip()).collect();
    let names = names(addresses.into_iter().collect(), deadline);
    for peer in peers(outcomes) {
        peer.name = peer.ip().and_then(|ip| names.get(&ip).cloned());
    }
}

fn peers(outcomes: &mut [Outcome]) -> impl Iterator<Item = &mut Peer> {
    outcomes
        .iter_mut()
        .filter_map(|outcome| match &mut outcome.result {
            Ok(Answer::Announce(answer)) => Some(answer.peers.iter_mut()),
            _ => None,
        })
        .flatten()
}

/// The resolver knows no deadline, so it is asked from threads that are left behind at the deadline.
fn names(addresses: Vec<IpAddr>, deadline: Deadline) -> HashMap<IpAddr, String> {
    let mut names = HashMap::new();
    let mut waiting = addresses.len();
    let threads = waiting.min(THREADS_MAX);
    let addresses = Arc::new(Mutex::new(addresses));
    let (sender, receiver) = mpsc::channel();
    for _ in 0..threads {
        let (addresses, sender) = (Arc::clone(&addresses), sender.clone());
        let started = thread::Builder::new().spawn(move || {
            let next = || {
                addresses
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop()
            };
            while let Some(ip) = next() {
                let name = dns_lookup::lookup_addr(&ip).ok();
                if deadline.left().is_none() || sender.send((ip, name)).is_err() {
                    return;
                }
            }
        });
        if started.is_err() {
            break;
        }
    }
    drop(sender);
    while waiting > 0
        && let Some(left) = deadline.left()
        && let Ok((ip, name)) = receiver.recv_timeout(left)
    {
        waiting -= 1;
        // Without a name the resolver gives the address again.
        if let Some(name) = name.filter(|name| name.parse::<IpAddr>().is_err()) {
            names.insert(ip, printable(name.as_bytes()));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_address_without_a_name_has_none_and_the_deadline_holds() {
        let nobody = "192.0.2.1".parse().unwrap();
        let deadline = Deadline::after(Duration::from_secs(2));
        assert_eq!(names(vec![nobody], deadline).get(&nobody), None);
        assert_eq!(names(Vec::new(), deadline), HashMap::new());
    }
}
