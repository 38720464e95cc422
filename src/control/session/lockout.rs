//! Who has to wait before he may try another password. It counts by name, whether there is a user of
//! that name or not, and by address; both in tables that do not grow.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

/// Failures from which on one has to wait.
const PATIENT: u32 = 5;

/// Failures that are counted: those that make one wait for [`WAIT_S_MAX`].
const COUNTED_MAX: u32 = PATIENT + 6;

/// Most seconds to wait.
const WAIT_S_MAX: u32 = 60;

/// Seconds after which a failure is forgotten, and the time to wait is half of what it was.
const FORGET_EVERY_S: u32 = 600;

/// Names, and networks, that are remembered; the one that has not failed for longest goes first.
const ENTRIES_MAX: usize = 4096;

/// Characters of a name that are remembered, as many as the name of a user may have.
const NAME_LEN_MAX: usize = 64;

/// Who has failed how often. Times are seconds of the tracker's clock.
#[derive(Default)]
pub(super) struct Lockout {
    names: Failures<String>,
    networks: Failures<IpAddr>,
}

/// An attempt that counts as a failure until it is known to be none.
pub(super) struct Attempt {
    name: String,
    network: IpAddr,
}

impl Lockout {
    /// Lets somebody try, or tells how many seconds he has to wait. It counts as a failure at once, so
    /// that a hundred attempts at the same time are a hundred attempts.
    pub(super) fn begin(&mut self, name: &str, from: IpAddr, now_s: u32) -> Result<Attempt, u32> {
        let name: String = name.chars().take(NAME_LEN_MAX).collect();
        let network = network(from);
        let wait_s = self.names.wait_s(&name, now_s);
        let wait_s = wait_s.max(self.networks.wait_s(&network, now_s));
        if wait_s > 0 {
            return Err(wait_s);
        }
        self.names.count(&name, now_s);
        self.networks.count(&network, now_s);
        Ok(Attempt { name, network })
    }

    /// The password was right: the name begins anew. What else its network has failed at stays, or
    /// whoever has one password could try others without end.
    pub(super) fn succeeded(&mut self, attempt: &Attempt) {
        self.names.tallies.remove(&attempt.name);
        self.networks.take_back(&attempt.network);
    }

    /// How many names and networks were forgotten to make room for others.
    pub(super) fn let_go(&self) -> (u64, u64) {
        (self.names.let_go, self.networks.let_go)
    }

    /// The password was never looked at.
    pub(super) fn take_back(&mut self, attempt: &Attempt) {
        self.names.take_back(&attempt.name);
        self.networks.take_back(&attempt.network);
    }
}

/// What belongs to one customer of a provider: an IPv4 address, or the /56 of an IPv6 address.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (!0 << 72))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The failures of each.
struct Failures<K> {
    tallies: HashMap<K, Tally>,
    /// Those that went to make room.
    let_go: u64,
}

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self {
            tallies: HashMap::new(),
            let_go: 0,
        }
    }
}

#[derive(Clone, Copy)]
struct Tally {
    failures: u32,
    last_s: u32,
}

impl Tally {
    /// The failures that are not forgotten yet.
    fn failures(self, now_s: u32) -> u32 {
        let forgotten = now_s.saturating_sub(self.last_s) / FORGET_EVERY_S;
        self.failures.saturating_sub(forgotten)
    }

    fn wait_s(self, now_s: u32) -> u32 {
        let Some(more) = self.failures(now_s).checked_sub(PATIENT) else {
            return 0;
        };
        let wait_s = WAIT_S_MAX.min(1 << more.min(31));
        (self.last_s + wait_s).saturating_sub(now_s)
    }
}

impl<K: Hash + Eq + Clone> Failures<K> {
    fn wait_s(&self, key: &K, now_s: u32) -> u32 {
        self.tallies.get(key).map_or(0, |tally| tally.wait_s(now_s))
    }

    fn count(&mut self, key: &K, now_s: u32) {
        let before = self
            .tallies
            .get(key)
            .map_or(0, |tally| tally.failures(now_s));
        if self.tallies.len() >= ENTRIES_MAX && !self.tallies.contains_key(key) {
            let oldest = self.tallies.iter().min_by_key(|(_, tally)| tally.last_s);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.tallies.remove(&oldest);
                self.let_go += 1;
            }
        }
        let tally = Tally {
            failures: COUNTED_MAX.min(before + 1),
            last_s: now_s,
        };
        self.tallies.insert(key.clone(), tally);
    }

    fn take_back(&mut self, key: &K) {
        if let Some(tally) = self.tallies.get_mut(key) {
            tally.failures = tally.failures.saturating_sub(1);
            if tally.failures == 0 {
                self.tallies.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    /// Another address for each number.
    fn at(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    /// Fails as soon as it may, and tells how long it waited each time.
    fn waits(lockout: &mut Lockout, now_s: &mut u32, times: u32) -> Vec<u32> {
        let wait = |_| {
            let wait_s = lockout.begin("root", HOME, *now_s).err().unwrap_or(0);
            *now_s += wait_s;
            if wait_s > 0 {
                assert!(lockout.begin("root", HOME, *now_s).is_ok());
            }
            wait_s
        };
        (0..times).map(wait).collect()
    }

    #[test]
    fn after_five_failures_each_wait_is_twice_the_last_up_to_a_minute() {
        let (mut lockout, mut now_s) = (Lockout::default(), 100);
        let waited = waits(&mut lockout, &mut now_s, 14);
        assert_eq!(waited, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn the_wait_is_half_as_long_every_ten_minutes() {
        let (mut lockout, mut now_s) = (Lockout::default(), 0);
        waits(&mut lockout, &mut now_s, 14);
        for (minutes, wanted) in [(10, 60), (10, 60), (20, 32), (60, 1), (120, 0)] {
            now_s += minutes * 60;
            // The next failure counts on top of what is left.
            assert!(lockout.begin("root", HOME, now_s).is_ok());
            let wait_s = lockout.begin("root", HOME, now_s).err().unwrap_or(0);
            assert_eq!(wait_s, wanted, "after {minutes} minutes");
            now_s += wait_s;
        }
    }

    #[test]
    fn a_name_has_to_wait_wherever_it_comes_from_and_an_address_whatever_its_name() {
        let mut lockout = Lockout::default();
        for n in 0..5 {
            assert!(lockout.begin("root", at(n), 0).is_ok());
        }
        assert_eq!(lockout.begin("root", at(9), 0).err(), Some(1));
        assert!(lockout.begin("other", at(9), 0).is_ok());
        for n in 0..5 {
            assert!(lockout.begin(&format!("name{n}"), HOME, 0).is_ok());
        }
        assert_eq!(lockout.begin("fresh", HOME, 0).err(), Some(1));
    }

    #[test]
    fn neighbours_in_a_network_of_ipv6_wait_together() {
        let mut lockout = Lockout::default();
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        for n in 0..5 {
            let from = at(&format!("2001:db8:0:{n}::{n}"));
            assert!(lockout.begin(&format!("name{n}"), from, 0).is_ok());
        }
        assert!(lockout.begin("x", at("2001:db8:0:ff::1"), 0).is_err());
        assert!(lockout.begin("x", at("2001:db8:0:100::1"), 0).is_ok());
        assert_eq!(network(at("::ffff:192.0.2.1")), HOME);
    }

    #[test]
    fn a_right_password_clears_the_name_and_what_was_never_tried_does_not_count() {
        let mut lockout = Lockout::default();
        for n in 0..20 {
            let attempt = lockout.begin("root", HOME, n).expect("no wait");
            lockout.succeeded(&attempt);
            let attempt = lockout.begin("root", HOME, n).expect("no wait");
            lockout.take_back(&attempt);
        }
        assert!(lockout.names.tallies.is_empty() && lockout.networks.tallies.is_empty());
        for n in 0..4 {
            assert!(lockout.begin(&format!("name{n}"), HOME, 0).is_ok());
        }
        let attempt = lockout.begin("root", HOME, 0).expect("the fifth");
        lockout.succeeded(&attempt);
        assert!(lockout.begin("name", HOME, 0).is_ok());
        assert!(lockout.begin("name", HOME, 0).is_err());
    }

    #[test]
    fn what_is_remembered_does_not_grow() {
        let mut lockout = Lockout::default();
        for n in 0..ENTRIES_MAX as u32 + 100 {
            assert!(lockout.begin(&"x".repeat(n as usize), at(n), n).is_ok() || n >= 64);
            assert!(lockout.begin(&n.to_string(), at(n), n).is_ok());
        }
        assert_eq!(lockout.names.tallies.len(), ENTRIES_MAX);
        assert_eq!(lockout.networks.tallies.len(), ENTRIES_MAX);
        assert_eq!(lockout.let_go(), (100 + 65, 100));
        assert!(lockout.names.tallies.keys().all(|name| name.len() <= 64));
        assert!(
            !lockout.networks.tallies.contains_key(&at(0)),
            "the oldest went"
        );
    }
}
