//! One turn of a core: the way of a datagram, from the first step to the last.
//!
//! ```text
//! wait      sleep until datagrams, handovers or the next second come; what the last turn
//!           answered leaves with the same system call
//! receive   up to TURN_DATAGRAMS_MAX datagrams lie in the inbox
//! admit     parse each -> check its connection id -> find the core that owns its torrent;
//!           connects and refusals are answered here, announces of other cores go to the mesh
//! take      what other cores and HTTP threads ask joins the announces of this turn
//! guard     while the core is busy, drop what comes from sources that ask too often
//! prefetch  ask memory for every swarm that the turn will touch, all at once
//! answer    one peer in, a few peers out, straight into the outbox or onto an HTTP thread's desk
//! send      the replies may go
//! sieve     have the kernel drop forged connection ids before this, while they come in numbers
//! sweep     forget the peers that went silent, a bounded number of them
//! errand    do a bounded part of what the control side wants done
//! export    tell of a bounded number of torrents, when somebody wants to know them all
//! succeed   tell a successor what this turn has changed, while there is one
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::answer::Shard;
use super::hold::Hold;
use crate::clock::Clock;
use crate::counters::Tally;
use crate::net::Net;
use crate::swarm::Swarms;
use crate::sync::{AtomicBool, Ordering};

/// How long an idle core sleeps: it looks at the clock once a second, to sweep.
const PATIENCE: Duration = Duration::from_secs(1);

/// A pinned thread's whole world.
pub struct Core {
    net: Net,
    shard: Shard,
    clock: Clock,
    hold: Option<Arc<Hold>>,
}

impl Core {
    /// A core that answers at the sockets of `net` from the swarms of `shard`.
    pub fn new(net: Net, shard: Shard, clock: Clock) -> Self {
        Self {
            net,
            shard,
            clock,
            hold: None,
        }
    }

    /// The same core, which leaves its sockets alone while `hold` says so.
    #[must_use]
    pub fn with_hold(self, hold: Arc<Hold>) -> Self {
        Self {
            hold: Some(hold),
            ..self
        }
    }

    /// Turns until `stop` is set; whoever sets it must ring the core's doorbell. Then its swarms are
    /// handed back. An error means that the kernel refused what it allowed at the start, and ends the
    /// tracker.
    pub fn run(mut self, stop: &AtomicBool) -> (Swarms, io::Result<()>) {
        let ended = self.turns(stop);
        (self.shard.into_swarms(), ended)
    }

    fn turns(&mut self, stop: &AtomicBool) -> io::Result<()> {
        while !stop.load(Ordering::Relaxed) {
            self.turn(stop)?;
        }
        self.net.wait(Duration::ZERO) // the last replies leave
    }

    fn turn(&mut self, stop: &AtomicBool) -> io::Result<()> {
        let Self {
            net,
            shard,
            clock,
            hold,
        } = self;
        let held = || hold.as_ref().is_some_and(|hold| hold.is_wanted());
        if held() != net.is_held() || (held() && !net.is_quiet()) {
            net.hold(held())?;
        }

        // Everything that a doorbell announces is looked at after the core has said that it will
        // sleep; a ring before that would not wake it.
        let handovers_wait = shard.about_to_sleep();
        let is_settled = held() == net.is_held()
            && hold
                .as_ref()
                .is_none_or(|hold| !hold.is_wanted() || hold.is_quiet());
        if handovers_wait || shard.has_more_to_do() || !is_settled || stop.load(Ordering::Relaxed) {
            shard.awake();
            net.wait(Duration::ZERO)?;
        } else {
            net.wait(PATIENCE)?;
            shard.awake();
        }
        let (now, stopwatch) = clock.now_and_stopwatch();
        shard.begin_turn();

        net.receive()?;
        let (inbox, outbox) = net.boxes();
        let mut datagrams = 0;
        for datagram in inbox.iter() {
            datagrams += 1;
            shard.admit(&datagram, now, outbox);
        }
        shard.take_handovers(outbox);
        shard.turn_away_floods(datagrams, now);
        shard.prefetch();
        shard.answer_announces(now, outbox);
        net.send()?;

        shard.sieve_forgeries(net, now);
        shard.sweep(now);
        shard.run_errand(now);
        shard.export();
        shard.tell_successor();
        if let Some(hold) = hold
            .as_ref()
            .filter(|hold| hold.is_wanted() && net.is_quiet())
        {
            hold.tell_quiet();
        }
        shard
            .counters()
            .tally(Tally::SendFailed, net.take_send_failures());
        shard.counters().tally(Tally::Turns, 1);
        let turns = shard.counters().turns();
        turns.record(stopwatch.elapsed(), datagrams);
        Ok(())
    }
}
