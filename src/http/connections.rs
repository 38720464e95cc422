//! The open connections of one thread: how many there may be, and how long each may take over what it
//! is doing.
//!
//! A connection is in one [`Phase`] at a time, and each phase has a list in the order in which
//! connections entered it. All of a phase have the same time, so whoever is late stands at the front:
//! neither a timer a connection nor a walk over all of them is needed, and the idle one to close for a
//! newcomer is found at once.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::clock::Clock;

/// What a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Its TLS handshake, or the PROXY protocol's header.
    Opening,
    /// Sending a request head.
    Head,
    /// Nothing: its last request was answered.
    Idle,
    /// Waiting for the core that owns its torrent.
    Asking,
    /// Taking a reply.
    Reply,
    /// Told to go; what it still sends is thrown away so that it can read why.
    Parting,
}

const PHASES: usize = 6;

/// In which order phases give up a connection for a newcomer. A question that is under way is not
/// given up.
const EVICTABLE: [Phase; 5] = [
    Phase::Idle,
    Phase::Parting,
    Phase::Opening,
    Phase::Head,
    Phase::Reply,
];

/// Seconds for which a connection that was told to go may go on sending.
const PARTING_S: u32 = 2;

/// Why a connection must end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Doom {
    /// It took too long.
    TimedOut(Phase),
    /// A newer one needs its place.
    Evicted,
    /// The tracker stops.
    Stopping,
}

/// Limits of the connections of one thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Most at one time; at least 1.
    pub(super) max: usize,
    /// Seconds that an idle one is kept.
    pub(super) idle_s: u32,
    /// Seconds for every other phase.
    pub(super) request_s: u32,
}

/// All connections of a thread.
pub(super) struct Connections {
    limits: Limits,
    clock: Clock,
    table: RefCell<Table>,
}

impl Connections {
    pub(super) fn new(limits: Limits, clock: Clock) -> Rc<Self> {
        Rc::new(Self {
            limits,
            clock,
            table: RefCell::default(),
        })
    }

    /// A place for a new connection, and whether another had to go for it. `None` when all others are
    /// busy.
    pub(super) fn enter(self: &Rc<Self>) -> Option<(Place, bool)> {
        let mut table = self.table.borrow_mut();
        let mut evicted = false;
        if table.open >= self.limits.max {
            if !table.evict() {
                return None;
            }
            evicted = true;
        }
        let slot = table.occupy(Phase::Opening, self.clock.now().uptime_s);
        let connections = Rc::clone(self);
        Some((Place { connections, slot }, evicted))
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.table.borrow().open
    }

    /// True when there is none, not even one that is about to end.
    pub(super) fn is_empty(&self) -> bool {
        let table = self.table.borrow();
        table.vacant.len() == table.slots.len()
    }

    /// Ends the one that can best be done without; false when all are busy.
    pub(super) fn evict(&self) -> bool {
        self.table.borrow_mut().evict()
    }

    /// Ends those that have taken too long.
    pub(super) fn expire(&self) {
        let now_s = self.clock.now().uptime_s;
        let mut table = self.table.borrow_mut();
        for phase in EVICTABLE.into_iter().chain([Phase::Asking]) {
            let patience_s = match phase {
                Phase::Idle => self.limits.idle_s,
                Phase::Parting => PARTING_S,
                _ => self.limits.request_s,
            };
            while let Some(slot) = table.lists[phase as usize].first {
                if now_s.saturating_sub(table.slots[slot].since_s) < patience_s {
                    break;
                }
                table.doom(slot, Doom::TimedOut(phase));
            }
        }
    }

    /// Ends those that wait for their client's next request.
    pub(super) fn close_idle(&self) {
        self.close_phases([Phase::Idle, Phase::Parting].into_iter());
    }

    /// Ends all but those that take a reply.
    pub(super) fn close_late(&self) {
        let phases = EVICTABLE.into_iter().chain([Phase::Asking]);
        self.close_phases(phases.filter(|phase| *phase != Phase::Reply));
    }

    fn close_phases(&self, phases: impl Iterator<Item = Phase>) {
        let mut table = self.table.borrow_mut();
        for phase in phases {
            while let Some(slot) = table.lists[phase as usize].first {
                table.doom(slot, Doom::Stopping);
            }
        }
    }

    /// True when nobody is left but those that take a reply.
    pub(super) fn is_silent(&self) -> bool {
        let table = self.table.borrow();
        let ending = table.slots.len() - table.vacant.len() - table.open;
        ending == 0
            && (0..PHASES).all(|at| at == Phase::Reply as usize || table.lists[at].first.is_none())
    }

    /// Ends those that have nothing under way; with `all`, every one.
    pub(super) fn close(&self, all: bool) {
        let busy = |phase: &Phase| matches!(phase, Phase::Asking | Phase::Reply);
        let phases = EVICTABLE.into_iter().chain([Phase::Asking]);
        self.close_phases(phases.filter(|phase| all || !busy(phase)));
    }
}

/// The place of one connection. Dropping it makes room.
pub(super) struct Place {
    connections: Rc<Connections>,
    slot: usize,
}

impl Place {
    /// Says what the connection does now. Going on with the same does not give it new time.
    pub(super) fn set(&self, phase: Phase) {
        let mut table = self.connections.table.borrow_mut();
        let slot = &table.slots[self.slot];
        if slot.doom.is_none() && slot.phase != phase {
            table.unlink(self.slot);
            table.link(self.slot, phase, self.connections.clock.now().uptime_s);
        }
    }

    /// What the connection does, or did when it was doomed.
    pub(super) fn phase(&self) -> Phase {
        self.connections.table.borrow().slots[self.slot].phase
    }

    /// Gives the connection new time for what it does.
    pub(super) fn renew(&self) {
        let mut table = self.connections.table.borrow_mut();
        let Slot { phase, doom, .. } = table.slots[self.slot];
        if doom.is_none() {
            table.unlink(self.slot);
            table.link(self.slot, phase, self.connections.clock.now().uptime_s);
        }
    }

    /// Ready when the connection must end.
    pub(super) fn poll_doom(&self, cx: &mut Context<'_>) -> Poll<Doom> {
        let mut table = self.connections.table.borrow_mut();
        let slot = &mut table.slots[self.slot];
        if let Some(doom) = slot.doom {
            return Poll::Ready(doom);
        }
        match &mut slot.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Waits for `poll`, unless the connection must end before.
    pub(super) async fn unless_doomed<T>(
        &self,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Doom> {
        std::future::poll_fn(|cx| match poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.poll_doom(cx).map(Err),
        })
        .await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.connections.table.borrow_mut();
        table.vacate(self.slot);
    }
}

/// Slots, and a doubly linked list of them for each phase.
#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    vacant: Vec<usize>,
    lists: [List; PHASES],
    /// Those in a list: occupied and not doomed.
    open: usize,
}

struct Slot {
    phase: Phase,
    since_s: u32,
    doom: Option<Doom>,
    waker: Option<Waker>,
    before: Option<usize>,
    after: Option<usize>,
}

#[derive(Clone, Copy, Default)]
struct List {
    first: Option<usize>,
    last: Option<usize>,
}

impl Table {
    fn occupy(&mut self, phase: Phase, now_s: u32) -> usize {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                phase,
                since_s: now_s,
                doom: None,
                waker: None,
                before: None,
                after: None,
            });
            self.slots.len() - 1
        });
        self.slots[slot].doom = None;
        self.open += 1;
        self.link(slot, phase, now_s);
        slot
    }

    fn vacate(&mut self, slot: usize) {
        if self.slots[slot].doom.is_none() {
            self.unlink(slot);
            self.open -= 1;
        }
        self.slots[slot].waker = None;
        self.vacant.push(slot);
    }

    fn doom(&mut self, slot: usize, doom: Doom) {
        self.unlink(slot);
        self.open -= 1;
        self.slots[slot].doom = Some(doom);
        if let Some(waker) = self.slots[slot].waker.take() {
            waker.wake();
        }
    }

    fn evict(&mut self) -> bool {
        let oldest = EVICTABLE
            .into_iter()
            .find_map(|phase| self.lists[phase as usize].first);
        if let Some(oldest) = oldest {
            self.doom(oldest, Doom::Evicted);
        }
        oldest.is_some()
    }

    /// Puts a slot at the end of the list of `phase`.
    fn link(&mut self, slot: usize, phase: Phase, now_s: u32) {
        let list = &mut self.lists[phase as usize];
        let before = list.last.replace(slot);
        match before {
            Some(before) => self.slots[before].after = Some(slot),
            None => list.first = Some(slot),
        }
        let entry = &mut self.slots[slot];
        entry.phase = phase;
        entry.since_s = now_s;
        entry.before = before;
        entry.after = None;
    }

    fn unlink(&mut self, slot: usize) {
        let Slot {
            phase,
            before,
            after,
            ..
        } = self.slots[slot];
        let list = &mut self.lists[phase as usize];
        match before {
            Some(before) => self.slots[before].after = after,
            None => list.first = after,
        }
        let list = &mut self.lists[phase as usize];
        match after {
            Some(after) => self.slots[after].before = before,
            None => list.last = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        max: 3,
        idle_s: 30,
        request_s: 10,
    };

    fn connections() -> (Rc<Connections>, Clock) {
        let clock = Clock::start();
        (Connections::new(LIMITS, clock.clone()), clock)
    }

    fn enter(connections: &Rc<Connections>) -> Place {
        connections.enter().expect("there is room").0
    }

    fn doom(place: &Place) -> Option<Doom> {
        match place.poll_doom(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(doom) => Some(doom),
            Poll::Pending => None,
        }
    }

    #[test]
    fn the_connection_that_idles_longest_makes_room() {
        let (connections, _) = connections();
        let [busy, second, first] = [(); 3].map(|()| enter(&connections));
        busy.set(Phase::Head);
        first.set(Phase::Idle);
        second.set(Phase::Idle);
        let (newcomer, evicted) = connections.enter().unwrap();
        assert!(evicted);
        assert_eq!(doom(&first), Some(Doom::Evicted));
        for place in [&busy, &second, &newcomer] {
            assert_eq!(doom(place), None);
        }
        assert_eq!(connections.open(), 3);
    }

    #[test]
    fn nobody_who_waits_for_an_answer_makes_room() {
        let (connections, _) = connections();
        let places = [(); 3].map(|()| enter(&connections));
        for place in &places {
            place.set(Phase::Asking);
        }
        assert!(connections.enter().is_none());
        drop(places);
        assert_eq!(connections.open(), 0);
        let _newcomer = enter(&connections);
    }

    #[test]
    fn a_head_that_trickles_in_gets_no_more_time_than_one_that_does_not_come() {
        let (connections, clock) = connections();
        let place = enter(&connections);
        place.set(Phase::Head);
        for _ in 0..10 {
            connections.expire();
            assert_eq!(doom(&place), None);
            clock.advance(1);
            place.set(Phase::Head);
        }
        connections.expire();
        assert_eq!(doom(&place), Some(Doom::TimedOut(Phase::Head)));
    }

    #[test]
    fn an_idle_connection_is_kept_for_its_time_and_a_request_gives_it_new_time() {
        let (connections, clock) = connections();
        let place = enter(&connections);
        for _ in 0..3 {
            place.set(Phase::Idle);
            clock.advance(29);
            connections.expire();
            assert_eq!(doom(&place), None);
            place.set(Phase::Head);
        }
        place.set(Phase::Idle);
        clock.advance(30);
        connections.expire();
        assert_eq!(doom(&place), Some(Doom::TimedOut(Phase::Idle)));
    }

    #[test]
    fn a_stop_waits_for_those_who_are_being_answered() {
        let (connections, _) = connections();
        let [idle, asking] = [(); 2].map(|()| enter(&connections));
        idle.set(Phase::Idle);
        asking.set(Phase::Asking);
        connections.close(false);
        assert_eq!(doom(&idle), Some(Doom::Stopping));
        assert_eq!(doom(&asking), None);
        connections.close(true);
        assert_eq!(doom(&asking), Some(Doom::Stopping));
    }

    #[test]
    fn a_pause_is_over_for_those_who_take_a_reply_and_nobody_else() {
        let (connections, _) = connections();
        let [head, reply, idle] = [(); 3].map(|()| enter(&connections));
        head.set(Phase::Head);
        reply.set(Phase::Reply);
        idle.set(Phase::Idle);
        connections.close_idle();
        assert_eq!((doom(&idle), doom(&head)), (Some(Doom::Stopping), None));
        drop(idle);
        assert!(!connections.is_silent());
        connections.close_late();
        assert_eq!((doom(&head), doom(&reply)), (Some(Doom::Stopping), None));
        assert!(!connections.is_silent(), "it still has to end");
        drop(head);
        assert!(connections.is_silent() && !connections.is_empty());
    }

    #[test]
    fn the_lists_hold_exactly_the_open_connections_whatever_happens() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let limits = Limits { max: 20, ..LIMITS };
        let clock = Clock::start();
        let connections = Connections::new(limits, clock.clone());
        let mut places: Vec<Place> = Vec::new();
        for _ in 0..20_000 {
            match rng.u8(..6) {
                0 | 1 => places.extend(connections.enter().map(|(place, _)| place)),
                2 if !places.is_empty() => {
                    places.swap_remove(rng.usize(..places.len()));
                }
                3 => {
                    clock.advance(rng.u32(..4));
                    connections.expire();
                }
                4 => places.retain(|place| doom(place).is_none()),
                _ if !places.is_empty() => {
                    let phases = [Phase::Head, Phase::Idle, Phase::Asking, Phase::Reply];
                    places[rng.usize(..places.len())].set(phases[rng.usize(..4)]);
                }
                _ => {}
            }
            let alive = places.iter().filter(|place| doom(place).is_none()).count();
            assert_eq!(connections.open(), alive);
            assert!(alive <= 20);
            let table = connections.table.borrow();
            let mut listed = 0;
            for list in table.lists {
                let mut at = list.first;
                let mut since_s = 0;
                while let Some(slot) = at {
                    listed += 1;
                    assert!(table.slots[slot].since_s >= since_s);
                    since_s = table.slots[slot].since_s;
                    at = table.slots[slot].after;
                }
            }
            assert_eq!(listed, alive);
        }
    }
}
