//! The stretch that counts.

use std::time::Duration;

use super::generator::{BATCH, Generator};
use super::tally::Tally;
use crate::process::{Look, Usage};

/// What a run found out.
pub(crate) struct Measured {
    pub(crate) tally: Tally,
    pub(crate) seconds: f64,
    /// Requests of an open loop whose time came but which the generator was too slow to send.
    pub(crate) unsent: u64,
    /// Share of the time in which the generator had something to do. Near 1 it is the generator
    /// that was measured.
    pub(crate) busy_share: f64,
    pub(crate) generator: Usage,
    pub(crate) server: Option<(Look, Usage)>,
}

/// Both processes at one moment.
#[derive(Clone, Copy)]
struct Looks {
    generator: Look,
    server: Option<Look>,
}

impl Looks {
    fn take(pid: Option<u32>) -> Result<Self, String> {
        Ok(Self {
            generator: Look::at(0)?,
            server: pid.map(Look::at).transpose()?,
        })
    }
}

impl Generator<'_> {
    /// Warms up, measures, and waits for the last replies. Cut short by the stop flag, it still
    /// returns what there is.
    pub(crate) fn measure(&mut self) -> Result<Measured, String> {
        let options = self.options;
        let start_ns = self.now_ns();
        let from_ns = start_ns + nanoseconds(options.warmup);
        let until_ns = from_ns + nanoseconds(options.duration);
        // Nothing is left over from before: late replies of the fill are not this stretch's.
        self.tally = Tally::new(from_ns, until_ns);
        let mut before = None;
        let mut due_sent = 0;
        let ended_ns = loop {
            let now_ns = self.begin_turn();
            if options.duration == 0.0 || now_ns >= until_ns || self.stopped() {
                break now_ns.min(until_ns);
            }
            if before.is_none() && now_ns >= from_ns {
                before = Some(Looks::take(options.pid)?);
                self.busy_ns = 0;
            }
            self.receive(now_ns)?;
            let now_ns = self.now_ns();
            match options.rate {
                Some(rate) => self.send_due(rate, start_ns, &mut due_sent, now_ns),
                None => self.send_window(now_ns),
            }
            self.rest()?;
        };
        self.tally.cut(ended_ns);
        let busy_ns = self.busy_ns;
        let after = Looks::take(options.pid)?;
        self.drain()?;

        let last_ns = ended_ns.saturating_sub(start_ns + 1);
        let unsent = options
            .rate
            .filter(|_| options.duration > 0.0)
            .map_or(0, |rate| due(rate, last_ns).saturating_sub(due_sent));
        let measured_ns = ended_ns.saturating_sub(from_ns);
        let before = before.unwrap_or(after);
        let server = before.server.zip(after.server);
        Ok(Measured {
            tally: std::mem::replace(&mut self.tally, Tally::new(0, 0)),
            seconds: measured_ns as f64 / 1e9,
            unsent,
            busy_share: busy_ns as f64 / (measured_ns as f64).max(1.0),
            generator: Usage::between(&before.generator, &after.generator),
            server: server.map(|(before, after)| (after, Usage::between(&before, &after))),
        })
    }

    /// Open loop: everything whose time has come, each with the time at which it should have left.
    fn send_due(&mut self, rate: u64, start_ns: u64, due_sent: &mut u64, now_ns: u64) {
        let due = due(rate, now_ns - start_ns);
        // What does not fit stays due: it leaves later, and its latency says so.
        let room = self.pending.room().saturating_sub(BATCH).min(BATCH) as u64;
        for _ in 0..(due - *due_sent).min(room) {
            let offset_ns = u128::from(*due_sent) * 1_000_000_000 / u128::from(rate);
            self.stage_mixed(start_ns + offset_ns as u64, now_ns);
            *due_sent += 1;
        }
        self.flush();
    }

    /// Closed loop: as many as are missing in the window.
    fn send_window(&mut self, now_ns: u64) {
        let room = self
            .window_room()
            .min(self.pending.room().saturating_sub(BATCH));
        for _ in 0..room {
            self.stage_mixed(now_ns, now_ns);
        }
        self.flush();
    }

    /// Waits until every request is answered or lost, unless somebody is in a hurry.
    pub(super) fn drain(&mut self) -> Result<(), String> {
        while self.pending.len() > 0 && !self.stopped() {
            let now_ns = self.begin_turn();
            self.receive(now_ns)?;
            self.rest()?;
        }
        Ok(())
    }
}

/// Requests that should have left `elapsed_ns` after the start: the first leaves at once.
fn due(rate: u64, elapsed_ns: u64) -> u64 {
    (u128::from(elapsed_ns) * u128::from(rate) / 1_000_000_000) as u64 + 1
}

fn nanoseconds(seconds: f64) -> u64 {
    Duration::from_secs_f64(seconds).as_nanos() as u64
}
