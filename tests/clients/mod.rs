//! Real BitTorrent clients on loopback that can find each other through the tracker and in no other
//! way: the torrent is private, and every other way is turned off.

mod client;
mod scrape;
mod torrent;
mod tracker;

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::LOOK_AGAIN;
use client::{Client, Setup};
use torrent::Torrent;

pub(crate) use client::{Begins, Software};
pub(crate) use scrape::Counts;
pub(crate) use tracker::{IPV4, IPV6, Scheme, Tracker};

/// How long clients may take for anything that they are asked for. They need seconds; most wait ten
/// until they let an unknown peer download.
const PATIENCE: Duration = Duration::from_secs(120);

/// Carries a file from one client to another that knows it only from the tracker, and checks what the
/// tracker says of the swarm at every step. Both announce with the same scheme, to the same address.
pub(crate) fn carry_a_file(scheme: Scheme, host: IpAddr, from: Software, to: Software) {
    let tracker = Tracker::on(&[host]);
    let url = tracker.url(scheme, host);
    let mut swarm = Swarm::around(&tracker);
    swarm.carry(&url, host, from, to);
    swarm.disperse();
}

/// The clients of one torrent, in the order in which they came.
pub(crate) struct Swarm<'a> {
    tracker: &'a Tracker,
    torrent: Torrent,
    clients: Vec<Client>,
}

impl<'a> Swarm<'a> {
    /// A new torrent, and nobody who knows it.
    pub(crate) fn around(tracker: &'a Tracker) -> Self {
        Self {
            tracker,
            torrent: Torrent::new(),
            clients: Vec::new(),
        }
    }

    /// Starts one more client, which knows the tracker under `announce` and listens on `hosts`;
    /// returns its place. The tracker knows it when this returns.
    pub(crate) fn join(
        &mut self,
        software: Software,
        announce: &str,
        hosts: &[IpAddr],
        begins: Begins,
    ) -> usize {
        let client = self.start(software, announce, hosts, begins);
        self.clients.push(client);
        let everybody = self.clients.len();
        self.wait_until(&format!("{software:?} at {announce}"), |now| {
            (now.seeders + now.leechers) as usize == everybody
        });
        everybody - 1
    }

    /// Starts a client that the tracker has no place for, and waits until that has told its user why.
    pub(crate) fn turn_away(
        &mut self,
        software: Software,
        announce: &str,
        host: IpAddr,
        words: &[&str],
    ) {
        let client = self.start(software, announce, &[host], Begins::Complete);
        self.clients.push(client);
        if let Some(client) = self.clients.last_mut() {
            client.wait_for_log(words);
        }
    }

    fn start(
        &self,
        software: Software,
        announce: &str,
        hosts: &[IpAddr],
        begins: Begins,
    ) -> Client {
        let setup = Setup {
            torrent: &self.torrent,
            announce,
            hosts,
            root_certificate: &self.tracker.root_certificate(),
            begins,
        };
        Client::start(software, &setup)
    }

    /// Brings two clients together and the file from one to the other; returns their places, the
    /// seeder's first.
    pub(crate) fn carry(
        &mut self,
        announce: &str,
        host: IpAddr,
        from: Software,
        to: Software,
    ) -> [usize; 2] {
        // Who comes second is told about the first and dials. Transmission takes a loopback address
        // for an impossible one and never dials it, so where it takes part it comes first.
        let hosts = &[host];
        let places = if to == Software::Transmission {
            let leecher = self.join(to, announce, hosts, Begins::Empty);
            self.wait_for("the leecher", Counts::of(0, 0, 1));
            [self.join(from, announce, hosts, Begins::Complete), leecher]
        } else {
            let seeder = self.join(from, announce, hosts, Begins::Complete);
            self.wait_for("the seeder", Counts::of(1, 0, 0));
            [seeder, self.join(to, announce, hosts, Begins::Empty)]
        };
        self.wait_for("two seeders", Counts::of(2, 1, 0));
        places
    }

    /// Lets everybody go, the last who came first. Each has the file, and the tracker forgets whoever
    /// says goodbye.
    pub(crate) fn disperse(mut self) {
        let mut silent = 0;
        for left in (0..self.clients.len()).rev() {
            let client = &mut self.clients[left];
            client.leave();
            silent += u32::from(!client.says_goodbye());
            self.torrent.assert_arrived(client.files());
            self.wait_until(&format!("{left} seeders"), |now| {
                now.seeders <= left as u32 + silent && now.leechers == 0
            });
        }
    }

    /// The client that came to this place.
    pub(crate) fn client(&mut self, place: usize) -> &mut Client {
        &mut self.clients[place]
    }

    /// Waits until a scrape returns these counts.
    pub(crate) fn wait_for(&mut self, what: &str, counts: Counts) {
        self.wait_until(what, |now| now == counts);
    }

    /// Waits until what a scrape returns is right.
    fn wait_until(&mut self, what: &str, right: impl Fn(Counts) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let counts = self.tracker.scrape(self.torrent.info_hash);
            if counts.as_ref().is_ok_and(|counts| right(*counts)) {
                return;
            }
            self.clients.iter_mut().for_each(Client::assert_alive);
            assert!(
                Instant::now() < deadline,
                "waited {PATIENCE:?} for {what}, and the tracker still says {counts:?}"
            );
            thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Swarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            for client in &self.clients {
                let (software, log) = (client.software, client.log());
                eprintln!("---- output of {software:?} ----\n{log}");
            }
        }
    }
}
