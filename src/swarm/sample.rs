//! Which peers a reply carries.
//!
//! Every other peer of the range must be as likely as any other, none may come twice, the
//! announcer may not come at all, and it may not cost more than the peers that are sent. So the
//! range, with the announcer taken out, is times as a circle of `n` peers; windows lie on it at
//! fixed distances, and one random number, the turn, turns the whole arrangement:
//!
//! ```text
//!        first           first + stride     first + 2 stride    first + 3 stride
//!          |                |                   |                   |
//!   .......[=====]..........[=====].............[=====].............[=====]......
//! ```
//!
//! As `first` runs through all `n` places, each peer lies in exactly as many arrangements as there
//! are places in the windows: `wanted` of `n`. Windows do not overlap because none is longer than
//! the stride. Several windows instead of one only make it rarer that two replies tell of the same
//! neighbours; each is one or two copies.
//!
//! The turn is drawn by the caller and not here, so that the windows can be asked for ahead of
//! time: in a large swarm they are most of what an announce waits for.

use super::family::Family;
use crate::prefetch::prefetch_read;

/// Windows of a sample: enough to mix, few enough that the copies stay long.
const WINDOWS: usize = 4;

/// Writes up to `wanted` of the entries into `out`, never the one at `me`; returns the bytes.
#[inline(always)]
#[allow(clippy::inline_always)] // part of every announce, whoever else may call it
pub(super) fn sample<F: Family>(
    entries: &[F::Entry],
    me: Option<usize>,
    wanted: usize,
    turn: u64,
    out: &mut [u8],
) -> usize {
    let others = entries.len() - usize::from(me.is_some());
    let wanted = wanted.min(out.len() / F::WIRE_LEN).min(others);
    let mut circle = Circle::<F> {
        entries,
        me: me.unwrap_or(entries.len()),
        others,
        out,
        written: 0,
    };
    if wanted == others {
        circle.copy_straight(0, others);
    } else if wanted > 0 {
        circle.copy_windows(wanted, first(turn, others));
    }
    circle.written
}

/// Asks for the lines that [`sample`] will read, give or take an entry: who announces and whether
/// he is known is not looked up yet.
#[inline]
pub(super) fn prefetch<F: Family>(entries: &[F::Entry], wanted: usize, turn: u64) {
    let others = entries.len();
    if wanted == 0 || others == 0 {
        return;
    }
    let wanted = wanted.min(others);
    let windows = windows(wanted, others);
    let mut start = first(turn, others);
    for _ in 0..windows {
        let (before, after) = entries.split_at(start);
        let len = wanted.div_ceil(windows);
        prefetch_lines(&after[..len.min(after.len())]);
        prefetch_lines(&before[..len.saturating_sub(after.len())]);
        start += others / windows;
        if start >= others {
            start -= others;
        }
    }
}

fn prefetch_lines<E>(entries: &[E]) {
    for line in entries.chunks(64 / size_of::<E>()) {
        prefetch_read(&line[0]);
    }
    // The last entry may begin a line of its own, since lists begin anywhere within one.
    if let Some(last) = entries.last() {
        prefetch_read(last);
    }
}

/// How many windows, so that none is longer than the stride.
#[inline]
fn windows(wanted: usize, others: usize) -> usize {
    if wanted.div_ceil(WINDOWS) <= others / WINDOWS {
        WINDOWS
    } else {
        1
    }
}

/// The place to which a turn leads: a number below `others`, all equally likely but for one part
/// in 2^64.
#[inline]
fn first(turn: u64, others: usize) -> usize {
    ((u128::from(turn) * others as u128) >> 64) as usize
}

/// The entries without the announcer, numbered from 0 to `others`, and where they are written.
struct Circle<'a, F: Family> {
    entries: &'a [F::Entry],
    me: usize,
    others: usize,
    out: &'a mut [u8],
    written: usize,
}

impl<F: Family> Circle<'_, F> {
    /// Copies fewer than all, the first window beginning at `first`.
    #[inline(always)]
    #[allow(clippy::inline_always)] // like `sample`
    fn copy_windows(&mut self, wanted: usize, first: usize) {
        let windows = windows(wanted, self.others);
        let stride = self.others / windows;
        let mut start = first;
        for window in 0..windows {
            let len = wanted / windows + usize::from(window < wanted % windows);
            self.copy_round(start, len);
            start += stride;
            if start >= self.others {
                start -= self.others;
            }
        }
    }

    fn copy_round(&mut self, start: usize, len: usize) {
        let end = start + len;
        self.copy_straight(start, end.min(self.others));
        self.copy_straight(0, end.saturating_sub(self.others));
    }

    fn copy_straight(&mut self, start: usize, end: usize) {
        self.copy_entries(start, end.min(self.me));
        self.copy_entries(start.max(self.me) + 1, end + 1);
    }

    fn copy_entries(&mut self, start: usize, end: usize) {
        if start < end {
            let len = (end - start) * F::WIRE_LEN;
            let out = &mut self.out[self.written..self.written + len];
            F::copy(&self.entries[start..end], out);
            self.written += len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::expiry::Tick;
    use super::super::family::{EntryV4, Meta, V4};
    use super::*;

    fn entries(count: u32) -> Vec<EntryV4> {
        let meta = Meta::new(Tick::from_bits(0), false);
        let wire = |n: u32| {
            let [a, b, c, d] = n.to_be_bytes();
            [a, b, c, d, 1, 1]
        };
        (0..count).map(|n| V4::entry(&wire(n), meta)).collect()
    }

    /// Draws one sample and says which entries it holds; fails when one comes twice.
    fn draw(entries: &[EntryV4], me: Option<usize>, wanted: usize, turn: u64, times: &mut [u32]) {
        let mut out = [0; 6 * 64];
        let written = sample::<V4>(entries, me, wanted, turn, &mut out);
        let others = entries.len() - usize::from(me.is_some());
        assert_eq!(written, 6 * wanted.min(others));
        let mut drawn = Vec::new();
        for wire in out[..written].as_chunks::<6>().0 {
            let at = u32::from_be_bytes([wire[0], wire[1], wire[2], wire[3]]) as usize;
            assert!(me != Some(at), "the announcer is in its own reply");
            assert!(!drawn.contains(&at), "{at} came twice");
            drawn.push(at);
            times[at] += 1;
        }
    }

    #[test]
    fn every_other_peer_is_drawn_equally_often_at_every_edge_of_the_windows() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for wanted in [1, 2, 3, 4, 5, 7, 8, 9, 16, 31] {
            for count in [wanted, wanted + 1, wanted + 2, wanted + 3, 4 * wanted, 61] {
                let entries = entries(count as u32);
                for me in [None, Some(0), Some(count / 2), Some(count - 1)] {
                    let draws = 2000;
                    let mut times = vec![0; count];
                    for _ in 0..draws {
                        draw(&entries, me, wanted, rng.u64(..), &mut times);
                    }
                    let others = count - usize::from(me.is_some());
                    let share = wanted.min(others) as f64 / others.max(1) as f64;
                    let expected = f64::from(draws) * share;
                    // The peers of a window come together, so the statistic spreads wider than
                    // for independent draws, by the length of a window at most.
                    let chi_square: f64 = (0..count)
                        .filter(|at| me != Some(*at))
                        .map(|at| (f64::from(times[at]) - expected).powi(2) / expected)
                        .sum();
                    let mean = others as f64 * (1.0 - share);
                    let limit = mean + 8.0 * (2.0 * (mean + 1.0) * wanted as f64).sqrt();
                    assert!(
                        chi_square <= limit,
                        "{wanted} of {count} {me:?}: {chi_square}"
                    );
                    if share >= 1.0 {
                        assert!(chi_square.abs() < 1e-9);
                    }
                }
            }
        }
    }

    #[test]
    fn all_turns_of_the_circle_together_hold_every_other_peer_exactly_wanted_times() {
        for count in 2..40_u32 {
            let entries = entries(count);
            for me in (0..=entries.len()).step_by(3) {
                let others = entries.len() - usize::from(me < entries.len());
                for wanted in 1..others {
                    let mut times = vec![0; entries.len()];
                    for first in 0..others {
                        let mut out = [0; 6 * 40];
                        let mut circle = Circle::<V4> {
                            entries: &entries,
                            me,
                            others,
                            out: &mut out,
                            written: 0,
                        };
                        circle.copy_windows(wanted, first);
                        assert_eq!(circle.written, 6 * wanted);
                        for wire in out[..6 * wanted].as_chunks::<6>().0 {
                            times[usize::from(wire[3])] += 1;
                        }
                    }
                    for (at, drawn) in times.into_iter().enumerate() {
                        assert_eq!(drawn, if at == me { 0 } else { wanted });
                    }
                }
            }
        }
    }

    #[test]
    fn a_short_buffer_bounds_the_reply() {
        let entries = entries(50);
        let mut out = [0; 6 * 9 + 5];
        assert_eq!(sample::<V4>(&entries, Some(3), 40, 1, &mut out), 54);
        assert_eq!(sample::<V4>(&entries, Some(3), 40, 1, &mut []), 0);
        assert_eq!(sample::<V4>(&entries, Some(3), 0, 1, &mut out), 0);
        assert_eq!(sample::<V4>(&[], None, 40, 1, &mut out), 0);
    }
}
