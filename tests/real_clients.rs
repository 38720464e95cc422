//! Programs that people use, meeting through Shoal: a file goes from one to the other, byte for byte.
//!
//! `scripts/test.sh` installs the clients; without them these tests fail.

mod clients;
mod support;

use clients::{Software, carry_a_file};

#[test]
fn a_file_travels_from_aria2_to_transmission() {
    carry_a_file("127.0.0.1:0", Software::Aria2, Software::Transmission);
}

#[test]
fn a_file_travels_from_transmission_to_libtorrent() {
    carry_a_file("127.0.0.1:0", Software::Transmission, Software::Libtorrent);
}

#[test]
fn a_file_travels_from_libtorrent_to_aria2() {
    carry_a_file("127.0.0.1:0", Software::Libtorrent, Software::Aria2);
}

#[test]
fn a_file_travels_between_two_libtorrents_over_ipv6() {
    carry_a_file("[::1]:0", Software::Libtorrent, Software::Libtorrent);
}
