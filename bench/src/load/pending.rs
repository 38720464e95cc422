//! Requests without an answer yet, found again by transaction id.

use std::collections::VecDeque;

use shoal::wire::udp::TransactionId;
use shoal_bench::crowd::Member;

/// Requests that may be on their way at one time. An open loop against a server that is too slow
/// keeps `rate * timeout` of them.
pub(crate) const PENDING_MAX: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 20;

/// What is asked for. The number is the index of its counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Kind {
    #[default]
    Connect = 0,
    Announce = 1,
    Scrape = 2,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Connect, Self::Announce, Self::Scrape];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Announce => "announce",
            Self::Scrape => "scrape",
        }
    }
}

/// One request on its way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) kind: Kind,
    /// When it should have been sent; latency counts from here.
    pub(crate) intended_ns: u64,
    /// When it was; the timeout counts from here.
    pub(crate) sent_ns: u64,
    pub(crate) source: u16,
    /// It carries a made-up connection id, so a refusal or silence is the right answer.
    pub(crate) forged: bool,
    /// Whom an announce is for; the first torrent of a scrape.
    pub(crate) member: Member,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    asked: Asked,
    /// Counts up with every use of the slot, so that a late reply does not fit the next request.
    generation: u32,
    taken: bool,
}

/// The table: a transaction id is the number of a slot, and above it the slot's generation.
/// Free slots are used again last in, first out: few requests then touch little memory.
pub(crate) struct Pending {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// All ids in the order they were sent; answered ones are dropped when they come to the front.
    order: VecDeque<TransactionId>,
    salt: u32,
    timeout_ns: u64,
}

impl Pending {
    pub(crate) fn new(timeout_ns: u64, salt: u32) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            order: VecDeque::new(),
            salt,
            timeout_ns,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many more fit.
    pub(crate) fn room(&self) -> usize {
        PENDING_MAX - self.len()
    }

    /// The caller made sure that there is room.
    pub(crate) fn ask(&mut self, asked: Asked) -> TransactionId {
        let index = self.free.pop().unwrap_or_else(|| {
            assert!(
                self.slots.len() < PENDING_MAX,
                "more requests than have room"
            );
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        slot.asked = asked;
        slot.taken = true;
        slot.generation = slot.generation.wrapping_add(1);
        let id = TransactionId((slot.generation << INDEX_BITS | index) ^ self.salt);
        self.order.push_back(id);
        id
    }

    /// The request that `id` answers, once; `None` for whatever is not asked, or not any more.
    pub(crate) fn answer(&mut self, id: TransactionId) -> Option<Asked> {
        let plain = id.0 ^ self.salt;
        let index = plain & (PENDING_MAX as u32 - 1);
        let slot = self.slots.get_mut(index as usize)?;
        if !slot.taken || slot.generation << INDEX_BITS != plain - index {
            return None;
        }
        slot.taken = false;
        self.free.push(index);
        Some(slot.asked)
    }

    /// The next request that has waited longer than the timeout at `now_ns`.
    pub(crate) fn expire(&mut self, now_ns: u64) -> Option<Asked> {
        while let Some(&id) = self.order.front() {
            match self.look(id) {
                Some(asked) if now_ns < asked.sent_ns + self.timeout_ns => return None,
                Some(_) => {
                    self.order.pop_front();
                    return self.answer(id);
                }
                None => {
                    self.order.pop_front();
                }
            }
        }
        None
    }

    fn look(&self, id: TransactionId) -> Option<&Asked> {
        let plain = id.0 ^ self.salt;
        let slot = self.slots.get(plain as usize & (PENDING_MAX - 1))?;
        let same = slot.generation << INDEX_BITS == plain & !(PENDING_MAX as u32 - 1);
        (slot.taken && same).then_some(&slot.asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sent_ns: u64) -> Asked {
        Asked {
            sent_ns,
            ..Asked::default()
        }
    }

    #[test]
    fn a_request_is_answered_once_and_nobody_elses_id_fits() {
        let mut pending = Pending::new(100, 0xdead_beef);
        let first = pending.ask(at(1));
        assert!(pending.answer(TransactionId(first.0 ^ 1)).is_none());
        assert!(pending.answer(TransactionId(first.0 ^ 1 << 31)).is_none());
        assert_eq!(pending.answer(first).unwrap().sent_ns, 1);
        assert!(pending.answer(first).is_none());
        let second = pending.ask(at(2));
        assert_ne!(first, second);
        assert!(pending.answer(first).is_none());
        assert_eq!(pending.len(), 1);
    }

    #[test]
    fn what_waits_too_long_expires_in_order_and_the_answered_do_not() {
        let mut pending = Pending::new(100, 7);
        let ids = [0, 10, 20].map(|ns| pending.ask(at(ns)));
        pending.answer(ids[0]);
        assert!(pending.expire(109).is_none());
        assert_eq!(pending.expire(115).unwrap().sent_ns, 10);
        assert!(pending.expire(115).is_none());
        assert_eq!(pending.expire(120).unwrap().sent_ns, 20);
        assert_eq!((pending.len(), pending.order.len()), (0, 0));
        assert!(pending.answer(ids[1]).is_none());
    }
}
