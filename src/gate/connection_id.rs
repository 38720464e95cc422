//! Connection ids: a proof, kept by the client, that it receives what is sent to its address.
//!
//! ```text
//!  63      56 55     44 43                                           0
//! +----------+---------+----------------------------------------------+
//! | slot mod |   tag   | low 44 bits of SipHash-2-4(key,              |
//! |   256    |         |                            address || slot)  |
//! +----------+---------+----------------------------------------------+
//! ```
//!
//! A slot is a minute of Unix time; the address is the 16 bytes of IPv6, IPv4 in its mapped form.
//! Nothing is stored: the id carries its own date, and one hash checks it. The source *port* is left
//! out, because NATs change it and BEP 15 does not promise that it stays. The tag is for the kernel, which
//! drops datagrams with a wrong one while forged ids come in numbers: see [`Sieve`].
//!
//! **What an attacker must do** to announce in the name of an address he does not receive at: guess
//! 56 bits, or 44 if he has found out the numbers behind the tags. A million of the latter guesses a second
//! for a year hit twice, nobody tells him when, and each hit opens one address until the lifetime ends. Who
//! once held an address may use its id until then; that is all the lifetime bounds, which is why it can be
//! long enough for clients that keep ids for minutes.
//!
//! One key serves every core and every socket, since libtorrent keeps ids by tracker address alone,
//! without the port.

use std::net::IpAddr;

use siphasher::sip::SipHasher24;

use crate::net::sieve::{Sieve, TAG_BITS};
use crate::wire::udp::{ConnectionId, PROTOCOL_ID};

/// Seconds of one slot.
const SLOT_S: u64 = 60;

/// Below the slot: tag and hash.
const PROOF_BITS: u32 = 56;
const PROOF_MASK: u64 = (1 << PROOF_BITS) - 1;
/// The lowest bits: the hash.
const HASH_BITS: u32 = PROOF_BITS - TAG_BITS;
const HASH_MASK: u64 = (1 << HASH_BITS) - 1;

/// Issues and checks connection ids. Cheap to copy: every core has its own.
#[derive(Clone, Copy)]
pub struct ConnectionIds {
    hasher: SipHasher24,
    sieve: Sieve,
    slots_max: u64,
}

/// What a presented connection id turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Issued to this address, not too long ago.
    Valid,
    /// Issued to this address, too long ago. The source is proven, so it may be told.
    Expired,
    /// Never issued to this address.
    Forged,
}

impl ConnectionIds {
    /// `lifetime_s` (60 to 7200): an id is accepted for at least so many seconds, and for less than
    /// a slot of 60 seconds more.
    pub fn new(key: [u8; 16], lifetime_s: u32) -> Self {
        let hasher = SipHasher24::new_with_key(&key);
        Self {
            // Of slots that never come, so these are no hashes of an id.
            sieve: Sieve::new([0, 1, 2, 3].map(|number| hash(&hasher, 0, u64::MAX - number))),
            hasher,
            slots_max: u64::from(lifetime_s).div_ceil(SLOT_S),
        }
    }

    /// What has the kernel drop most of the ids that this would call [`Verdict::Forged`], and no other.
    pub fn sieve(&self) -> &Sieve {
        &self.sieve
    }

    /// The id for `address` at `unix_s` seconds of Unix time. Never 0, which Transmission reads as
    /// "not connected", and never the protocol's own number, which some clients take for none.
    pub fn issue(&self, address: IpAddr, unix_s: u64) -> ConnectionId {
        let (address, slot) = (bits(address), unix_s / SLOT_S);
        ConnectionId(self.id(address, slot, self.tag(address, slot)))
    }

    /// Whether `id` was issued to `address`, and how long ago.
    pub fn check(&self, id: ConnectionId, address: IpAddr, unix_s: u64) -> Verdict {
        let slot = unix_s / SLOT_S;
        // The latest slot with the id's low byte that is not in the future. One slot ahead is no
        // future: the core that issued the id may have read the clock just after this one did.
        let newest = slot + 1;
        let age = newest.wrapping_sub(id.0 >> PROOF_BITS) & 0xff;
        let Some(issued) = newest.checked_sub(age) else {
            return Verdict::Forged;
        };
        let address = bits(address);
        // Most forged ids end here, and cost no hash.
        let tag = self.tag(address, issued);
        if (id.0 & PROOF_MASK) >> HASH_BITS != tag {
            return Verdict::Forged;
        }
        // One 64-bit comparison tells a forger nothing by its duration.
        if self.id(address, issued, tag) != id.0 {
            return Verdict::Forged;
        }
        if age <= self.slots_max + 1 {
            Verdict::Valid
        } else {
            Verdict::Expired
        }
    }

    fn tag(&self, address: u128, slot: u64) -> u64 {
        self.sieve.tag(address, slot as u8)
    }

    fn id(&self, address: u128, slot: u64, tag: u64) -> u64 {
        let hash = hash(&self.hasher, address, slot) & HASH_MASK;
        let id = (slot << PROOF_BITS) | (tag << HASH_BITS) | hash;
        if id == 0 || id == PROTOCOL_ID {
            id ^ 1
        } else {
            id
        }
    }
}

/// In one place, so that the compiler lays out the rounds for messages of this length.
fn hash(hasher: &SipHasher24, address: u128, slot: u64) -> u64 {
    let mut message = [0; 24];
    message[..16].copy_from_slice(&address.to_be_bytes());
    message[16..].copy_from_slice(&slot.to_be_bytes());
    hasher.hash(&message)
}

/// The bits of IPv6, IPv4 in its mapped form. A number and no bytes: the compiler would carry those about one
/// by one.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => 0xffff_0000_0000 | u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCALHOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    fn ids(lifetime_s: u32) -> ConnectionIds {
        ConnectionIds::new(KEY, lifetime_s)
    }

    #[test]
    fn slots_and_hashes_are_those_of_the_published_vectors() {
        const TAG: u64 = 0x00ff_f000_0000_0000;
        let v6 = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);
        for (address, unix_s, id) in [
            (LOCALHOST, 60_000, 0xe85f_6216_a151_b0b9),
            (LOCALHOST, 60_060, 0xe97d_bc88_285a_67d8),
            (v6, 60_000, 0xe879_a3ef_6e79_93cd),
        ] {
            assert_eq!(ids(900).issue(address, unix_s).0 | TAG, id | TAG);
        }
    }

    #[test]
    fn an_id_lives_for_its_lifetime_and_less_than_a_slot_more_then_it_is_expired() {
        let ids = ids(900);
        for issued_at in 1_000_000..1_000_060 {
            let id = ids.issue(LOCALHOST, issued_at);
            for age in 0..=900 {
                assert_eq!(
                    ids.check(id, LOCALHOST, issued_at + age),
                    Verdict::Valid,
                    "{age}"
                );
            }
            assert_eq!(ids.check(id, LOCALHOST, issued_at + 960), Verdict::Expired);
            assert_eq!(
                ids.check(id, LOCALHOST, issued_at + 254 * 60),
                Verdict::Expired
            );
            assert_eq!(
                ids.check(id, LOCALHOST, issued_at + 256 * 60),
                Verdict::Forged
            );
        }
    }

    #[test]
    fn an_id_from_a_core_whose_clock_is_a_moment_ahead_is_valid() {
        let id = ids(60).issue(LOCALHOST, 60_060);
        assert_eq!(ids(60).check(id, LOCALHOST, 60_059), Verdict::Valid);
    }

    #[test]
    fn an_id_is_worth_nothing_at_another_address_with_another_key_or_with_any_bit_flipped() {
        let id = ids(900).issue(LOCALHOST, 60_000);
        let elsewhere = "127.0.0.2".parse().unwrap();
        assert_eq!(ids(900).check(id, elsewhere, 60_000), Verdict::Forged);
        let other = ConnectionIds::new([9; 16], 900);
        assert_eq!(other.check(id, LOCALHOST, 60_000), Verdict::Forged);
        for bit in 0..64 {
            let flipped = ConnectionId(id.0 ^ (1 << bit));
            assert_eq!(
                ids(900).check(flipped, LOCALHOST, 60_000),
                Verdict::Forged,
                "bit {bit}"
            );
        }
        assert_eq!(
            ids(900).check(ConnectionId(0), LOCALHOST, 60_000),
            Verdict::Forged
        );
        assert_eq!(
            ids(900).check(ConnectionId(PROTOCOL_ID), LOCALHOST, 60_000),
            Verdict::Forged
        );
    }

    #[test]
    fn a_clock_at_the_epoch_checks_without_overflow() {
        let id = ids(900).issue(LOCALHOST, 0);
        assert_eq!(ids(900).check(id, LOCALHOST, 0), Verdict::Valid);
        assert_eq!(
            ids(900).check(ConnectionId(u64::MAX), LOCALHOST, 0),
            Verdict::Forged
        );
    }
}
