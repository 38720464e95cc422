use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use fastrand::Rng;

use super::*;
use crate::clock::Stopwatch;

const LIMITS: Limits = Limits {
    busy_from: 0,
    per_source: 10,
    per_network: 25,
    burst_s: 3,
    new_torrents: 0,
    sieve_from: 0,
};

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// How many of so many requests in one second are admitted.
fn admitted(guard: &mut Guard, source: IpAddr, requests: u32, now_s: u32) -> u32 {
    let mut count = 0;
    for _ in 0..requests {
        count += u32::from(guard.admit(source, now_s).is_ok());
    }
    count
}

/// What buckets must do, without a table: tokens that were spent, and since when.
#[derive(Default)]
struct Model(HashMap<Prefix, (u32, u32)>);

impl Model {
    fn take(&mut self, prefix: Prefix, rate: u32, burst: u32, now_s: u32) -> bool {
        let (spent, at_s) = self.0.entry(prefix).or_default();
        *spent = spent.saturating_sub((now_s - *at_s).saturating_mul(rate));
        *at_s = now_s;
        let has_one = *spent < burst;
        *spent += u32::from(has_one);
        has_one
    }
}

#[test]
fn a_source_may_spend_a_burst_and_then_its_rate() {
    let mut guard = Guard::new(Limits {
        per_network: 0,
        ..LIMITS
    });
    let source = address("192.0.2.1");
    for (now_s, may) in [(7, 30), (8, 10), (9, 10), (11, 20), (100, 30), (100, 0)] {
        assert_eq!(admitted(&mut guard, source, 1000, now_s), may, "{now_s}");
    }
}

#[test]
fn one_that_is_over_its_rate_takes_nothing_from_its_neighbours() {
    let mut guard = Guard::new(LIMITS);
    let [loud, quiet, far] = ["192.0.2.1", "192.0.2.2", "192.0.3.1"].map(address);
    assert_eq!(admitted(&mut guard, loud, 1000, 7), 30);
    assert_eq!(guard.admit(loud, 7), Err(Over::Source));
    // 30 of the network's 75 are gone.
    assert_eq!(admitted(&mut guard, quiet, 1000, 7), 30);
    assert_eq!(admitted(&mut guard, address("192.0.2.3"), 1000, 7), 15);
    assert_eq!(guard.admit(address("192.0.2.4"), 7), Err(Over::Network));
    assert_eq!(guard.admit(far, 7), Ok(()));
}

#[test]
fn of_ipv6_64_bits_are_a_source_and_56_a_network() {
    let mut guard = Guard::new(LIMITS);
    assert_eq!(admitted(&mut guard, address("2001:db8::1"), 20, 7), 20);
    assert_eq!(admitted(&mut guard, address("2001:db8::2"), 20, 7), 10);
    assert_eq!(admitted(&mut guard, address("2001:db8:0:1::1"), 50, 7), 30);
    assert_eq!(admitted(&mut guard, address("2001:db8:0:ff::1"), 50, 7), 15);
    assert_eq!(
        admitted(&mut guard, address("2001:db8:0:100::1"), 50, 7),
        30
    );
}

#[test]
fn a_prefix_is_told_as_a_network_and_masked() {
    for (text, source, network, masked) in [
        (
            "203.0.113.7",
            "203.0.113.7/32",
            "203.0.113.0/24",
            "203.0.113.0/24",
        ),
        (
            "2001:db8:7:1234::9",
            "2001:db8:7:1234::/64",
            "2001:db8:7:1200::/56",
            "2001:db8:7::/48",
        ),
    ] {
        let prefixes = [
            Prefix::source(address(text)),
            Prefix::network(address(text)),
        ];
        assert_eq!(prefixes.map(|p| p.to_string()), [source, network]);
        assert_eq!(prefixes.map(Prefix::is_network), [false, true]);
        for prefix in prefixes {
            assert_eq!(prefix.masked().to_string(), masked);
            assert_eq!(Prefix::from_words(prefix.to_words()), prefix);
        }
    }
}

#[test]
fn a_limit_of_0_is_none() {
    let mut guard = Guard::new(Limits {
        per_source: 0,
        per_network: 0,
        ..LIMITS
    });
    assert!(!guard.is_busy(1 << 20, 7));
    assert_eq!(
        admitted(&mut guard, address("192.0.2.1"), 100_000, 7),
        100_000
    );
}

#[test]
fn every_core_gives_its_share_and_at_least_something() {
    let share = LIMITS.share(4);
    assert_eq!((share.per_source, share.per_network), (3, 7));
    assert_eq!(LIMITS.share(1000).per_source, 1);
    assert_eq!(Limits::default().share(8), Limits::default());
}

#[test]
fn a_core_is_busy_until_a_second_has_ended_that_was_calm() {
    let mut guard = Guard::new(Limits {
        busy_from: 100,
        ..LIMITS
    });
    for (now_s, arrived, is_busy) in [
        (7, 60, false),
        (7, 39, false),
        (7, 1, true),
        (8, 0, true),
        (8, 99, true),
        (9, 0, false),
        (9, 100, true),
        // Nothing came for a second.
        (11, 1, false),
    ] {
        assert_eq!(guard.is_busy(arrived, now_s), is_busy, "{now_s} {arrived}");
        assert_eq!(guard.was_busy(), is_busy);
    }
}

#[test]
fn buckets_do_what_a_model_without_a_table_does() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    for _ in 0..20 {
        let limits = Limits {
            per_source: rng.u32(0..20),
            per_network: rng.u32(0..60),
            burst_s: rng.u32(1..8),
            ..LIMITS
        };
        let mut guard = Guard::new(limits);
        let mut model = Model::default();
        // Late enough for the count of tokens to begin anew on the way.
        let mut now_s = if rng.bool() { 0 } else { u32::MAX / 25 };
        for _ in 0..20_000 {
            now_s += u32::from(rng.u8(..8) == 0) * rng.u32(0..3);
            let host = rng.u32(..40);
            let source = if rng.bool() {
                IpAddr::V4(Ipv4Addr::from_bits(0xc000_0200 + host * 64))
            } else {
                let bits = 0x2001_0db8 << 96 | u128::from(host) << 68 | rng.u128(..4);
                IpAddr::V6(Ipv6Addr::from_bits(bits))
            };
            let mut take =
                |prefix, rate| rate == 0 || model.take(prefix, rate, rate * limits.burst_s, now_s);
            let expected = if !take(Prefix::source(source), limits.per_source) {
                Err(Over::Source)
            } else if !take(Prefix::network(source), limits.per_network) {
                Err(Over::Network)
            } else {
                Ok(())
            };
            assert_eq!(guard.admit(source, now_s), expected, "{source} at {now_s}");
        }
    }
}

#[test]
fn a_million_sources_never_have_a_quiet_one_turned_away_and_leave_a_loud_one_no_way_out() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let mut guard = Guard::new(Limits {
        per_network: 0,
        per_source: 100,
        burst_s: 5,
        ..LIMITS
    });
    let loud = address("192.0.2.1");
    let mut served = 0;
    for number in 0..1_000_000_u32 {
        // Somebody new with every request, and one in eight from the loud one: 12 500 a second.
        let now_s = 7 + number / 100_000;
        if number % 8 == 0 {
            served += u32::from(guard.admit(loud, now_s).is_ok());
        } else {
            let source = Ipv4Addr::from_bits(rng.u32(0x0100_0000..0x7f00_0000));
            assert_eq!(guard.admit(source.into(), now_s), Ok(()));
        }
    }
    // A burst and nine seconds of its rate, of 125 000.
    println!("the loud one was served {served} times");
    assert!((1400..3000).contains(&served), "{served}");
}

/// Run with `--nocapture`, and in release to see what it costs; here it only must not be absurd.
#[test]
fn a_look_at_a_busy_source_costs_some_nanoseconds() {
    let mut guard = Guard::new(Limits {
        per_source: 1000,
        per_network: 4000,
        burst_s: 20,
        ..LIMITS
    });
    let rounds = 1_000_000_u32;
    let stopwatch = Stopwatch::start();
    for n in 0..rounds {
        let source = IpAddr::from(n.wrapping_mul(0x9e37_79b9).to_be_bytes());
        let _ = std::hint::black_box(guard.admit(std::hint::black_box(source), 7 + n / 100_000));
    }
    let each = stopwatch.elapsed() / rounds;
    println!("{each:?} each");
    assert!(each.as_micros() < 5, "{each:?}");
}
