//! The operations whose price is watched: timed by `benches/micro.rs`, counted in instructions by
//! `shoal-bench instructions`. One list for both, so that a figure of one explains a figure of the other.
//!
//! Each can be done again and again with the same effect: after a *cycle* of rounds everything is as it
//! was before, so that any number of cycles costs that many times one. Nothing depends on chance, on the
//! time or on addresses in memory, but for two hash sets that the operator's lists live in.

mod gate;
mod swarm;
mod wire;

use std::hint::black_box;

use crate::bare_core::{self, BareCore, Letter, NOW};
use crate::crowd::{Crowd, Member};

/// Does one round; kept beside all that it needs.
pub type Work = Box<dyn FnMut()>;

/// See the module.
pub struct Operation {
    /// Its name in tables and in the budget.
    pub name: &'static str,
    /// After so many rounds everything is as it was.
    pub cycle: u32,
    /// Makes ready what is not part of the operation.
    pub prepare: fn() -> Work,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Members that are played one after the other by the operations that need many.
const MEMBERS: u32 = 4096;

/// Datagrams of a turn, as many as the kernel hands over at most.
const TURN: usize = shoal::limits::TURN_DATAGRAMS_MAX;

/// All operations, in the order of a request's way.
pub fn all() -> impl Iterator<Item = &'static Operation> {
    [wire::OPERATIONS, gate::OPERATIONS, swarm::OPERATIONS, TURNS]
        .into_iter()
        .flatten()
}

const TURNS: &[Operation] = &[Operation {
    name: "turn-of-128-announces",
    cycle: MEMBERS / TURN as u32,
    prepare: turn_of_announces,
}];

/// The crowd of all operations.
fn crowd() -> Crowd {
    Crowd::new(7, 0.5)
}

/// Members of `torrents` with so many `peers` each, drawn alike in every run.
fn members(torrents: u32, peers: u32) -> impl Iterator<Item = Member> {
    let mut random = fastrand::Rng::with_seed(11);
    (0..MEMBERS).map(move |_| Member {
        torrent: random.u32(..torrents),
        peer: random.u32(..peers),
    })
}

/// Work on one of `inputs` after the other, for ever.
fn in_turn<T: 'static>(inputs: Vec<T>, mut work: impl FnMut(&T) + 'static) -> Work {
    let mut at = 0;
    Box::new(move || {
        work(black_box(&inputs[at]));
        at += 1;
        if at == inputs.len() {
            at = 0;
        }
    })
}

/// Everything that a core does with a full turn, 4096 torrents of 4 peers: parse, check, prefetch,
/// swarm, reply.
fn turn_of_announces() -> Work {
    let crowd = crowd();
    let mut swarms = bare_core::swarms(None);
    crowd.fill(&mut swarms, 0..MEMBERS, 4, NOW.uptime_s);
    let mut core = BareCore::alone(swarms, true).expect("a core without sockets needs one eventfd");
    let letters: Vec<Letter> = members(MEMBERS, 4)
        .map(|member| Letter::announce(&crowd, member, 50))
        .collect();
    let turns: Vec<Vec<Letter>> = letters.chunks(TURN).map(<[Letter]>::to_vec).collect();
    in_turn(turns, move |letters| core.turn(letters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_operation_has_a_name_of_its_own_and_can_be_done_for_two_cycles() {
        let mut names = HashSet::new();
        for operation in all() {
            assert!(names.insert(operation.name), "{operation} twice");
            let mut work = (operation.prepare)();
            for _ in 0..2 * operation.cycle {
                work();
            }
        }
    }
}
