//! Programs that people use, meeting through Shoal: a file goes from one to the other, byte for byte.
//!
//! Certificates are checked by the clients as they would be in earnest, against a root of the test's
//! own. `scripts/test.sh` installs the clients; without them these tests fail.

mod clients;
mod support;

use clients::{Begins, Counts, IPV4, IPV6, Scheme, Software, Swarm, Tracker, carry_a_file};

#[test]
fn a_file_travels_from_aria2_to_transmission_over_udp() {
    carry_a_file(Scheme::Udp, IPV4, Software::Aria2, Software::Transmission);
}

#[test]
fn a_file_travels_from_transmission_to_libtorrent_over_udp() {
    carry_a_file(
        Scheme::Udp,
        IPV4,
        Software::Transmission,
        Software::Libtorrent,
    );
}

#[test]
fn a_file_travels_from_libtorrent_to_aria2_over_udp() {
    carry_a_file(Scheme::Udp, IPV4, Software::Libtorrent, Software::Aria2);
}

#[test]
fn a_file_travels_between_two_libtorrents_over_udp_and_ipv6() {
    carry_a_file(
        Scheme::Udp,
        IPV6,
        Software::Libtorrent,
        Software::Libtorrent,
    );
}

#[test]
fn a_file_travels_from_aria2_to_transmission_over_http() {
    carry_a_file(Scheme::Http, IPV4, Software::Aria2, Software::Transmission);
}

#[test]
fn a_file_travels_from_transmission_to_libtorrent_over_https_and_nobody_is_warned() {
    let mut tracker = Tracker::on(&[IPV4]);
    let url = tracker.url(Scheme::Https, IPV4);
    let mut swarm = Swarm::around(&tracker);
    swarm.carry(&url, IPV4, Software::Transmission, Software::Libtorrent);
    swarm.disperse();
    // libtorrent sends the address as a server name, which TLS has for names alone.
    let log = tracker.log();
    assert!(!log.contains("SNI"), "{log}");
}

#[test]
fn a_file_travels_from_aria2_to_transmission_over_https_and_ipv6() {
    carry_a_file(Scheme::Https, IPV6, Software::Aria2, Software::Transmission);
}

#[test]
fn clients_of_udp_http_and_https_meet_in_one_swarm() {
    let tracker = Tracker::on(&[IPV4]);
    let mut swarm = Swarm::around(&tracker);
    let mut join = |software, scheme, begins| {
        swarm.join(software, &tracker.url(scheme, IPV4), &[IPV4], begins)
    };
    // Transmission never dials a loopback address, so it comes first and is dialled.
    join(Software::Transmission, Scheme::Https, Begins::Empty);
    join(Software::Aria2, Scheme::Http, Begins::Empty);
    let seeder = join(Software::Libtorrent, Scheme::Udp, Begins::Complete);
    swarm
        .client(seeder)
        .wait_for_log(&["tracker_reply", "received peers: 2"]);
    swarm.wait_for("three seeders", Counts::of(3, 2, 0));
    swarm.disperse();
}

#[test]
fn a_client_learns_of_ipv6_peers_from_a_tracker_that_it_asks_over_ipv4() {
    let tracker = Tracker::on(&[IPV4, IPV6]);
    let mut swarm = Swarm::around(&tracker);
    let [url_v4, url_v6] = [IPV4, IPV6].map(|host| tracker.url(Scheme::Http, host));
    swarm.join(Software::Libtorrent, &url_v6, &[IPV6], Begins::Complete);
    let hosts = [IPV4, IPV6];
    let leecher = swarm.join(Software::Libtorrent, &url_v4, &hosts, Begins::Empty);
    let leecher = swarm.client(leecher);
    leecher.wait_for_log(&["tracker_reply", &url_v4, "received peers: 1"]);
    leecher.wait_for_log(&["peer_connect", "[::1]", "outgoing"]);
    swarm.wait_for("two seeders", Counts::of(2, 1, 0));
    swarm.disperse();
}

#[test]
fn a_url_with_a_key_in_its_path_announces_and_scrapes_right_over_http_and_ipv6() {
    let tracker = Tracker::on(&[IPV6]);
    let mut swarm = Swarm::around(&tracker);
    let url = tracker.url_of(
        Scheme::Http,
        IPV6,
        "/0123456789abcdef0123456789abcdef/announce",
    );
    let [seeder, _] = swarm.carry(&url, IPV6, Software::Libtorrent, Software::Aria2);
    // Made by the client from its announce URL.
    let seeder = swarm.client(seeder);
    seeder.scrape();
    let said = seeder.wait_for_log(&["scraped:"]);
    assert_eq!(said, "scraped: 2 complete, 0 incomplete, 1 downloaded");
    swarm.disperse();
}

#[test]
fn clients_with_a_key_meet_in_a_private_tracker_over_udp_http_and_https() {
    let tracker = Tracker::private_on(&[IPV4]);
    let path = format!("/{}/announce", tracker.key());
    let mut swarm = Swarm::around(&tracker);
    for scheme in Scheme::ALL {
        let begins = if scheme == Scheme::Udp {
            Begins::Complete
        } else {
            Begins::Empty
        };
        let url = tracker.url_of(scheme, IPV4, &path);
        swarm.join(Software::Libtorrent, &url, &[IPV4], begins);
    }
    swarm.wait_for("three seeders", Counts::of(3, 2, 0));
    swarm.disperse();
}

#[test]
fn a_client_without_a_good_key_is_told_so_by_a_private_tracker_over_udp_http_and_https() {
    let tracker = Tracker::private_on(&[IPV4]);
    let mut swarm = Swarm::around(&tracker);
    for scheme in Scheme::ALL {
        for (path, why) in [
            ("/announce", "the announce URL has no key"),
            ("/0123456789abcdef0123456789abcdef/announce", "unknown key"),
        ] {
            let url = tracker.url_of(scheme, IPV4, path);
            // Of a failure over UDP libtorrent 2.0 repeats the packet from its first byte, which is 0.
            let why = if scheme == Scheme::Udp { "" } else { why };
            let words = ["tracker_error", &url, "sent a failure message", why];
            swarm.turn_away(Software::Libtorrent, &url, IPV4, &words);
        }
    }
    swarm.wait_for("nobody", Counts::of(0, 0, 0));
}
