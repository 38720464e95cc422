//! What was counted, by hours and days: read from the counters of all threads, kept in the records.
//!
//! ```text
//!   counters of all threads --- every 10 s, and whenever somebody looks ---> differences
//!                                                                               |
//!        the last five minutes    this hour    this day   <---------------------+
//!               live.rs               |            |
//!                                  every minute, and at the end: Records::put_statistics
//! ```
//!
//! Hours and days are those of UTC. A difference counts for the hour in which it was last looked before,
//! so an hour's edge is sharp to ten seconds. Threads are read and never asked, so this costs
//! them nothing.

mod bucket;
mod live;
mod load;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::warn;

pub use bucket::{Bucket, Figure};
pub use live::{Live, Point, ThreadLoad, TurnTime};
pub use writer::Historian;

use self::live::Recent;
use crate::clock::{Clock, Now, Stopwatch};
use crate::counters::{SoftwareCounts, ThreadCounters, Totals, UniqueSet};
use crate::store::{Records, RecordsError, Span};

const HOUR_S: u64 = 3600;
const DAY_S: u64 = 24 * HOUR_S;

/// Days for which hours are kept. Days are kept for ever, some 130 KB a year.
const HOURS_KEPT_DAYS: u64 = 8;

/// What history is made of.
pub struct Sources {
    /// The counters of each core.
    pub cores: Vec<Arc<ThreadCounters>>,
    /// The counters of each HTTP thread.
    pub http_threads: Vec<Arc<ThreadCounters>>,
    /// Where it is kept; without, it ends with the process.
    pub records: Option<Arc<Records>>,
    /// The time.
    pub clock: Clock,
}

/// The numbers of the past. Any thread may look; a [`Historian`] writes.
pub struct History {
    sources: Sources,
    stopwatch: Stopwatch,
    book: Mutex<Book>,
}

struct Book {
    /// What the counters said when they were looked at last, and when that was.
    seen: Bucket,
    seen_unix_s: u64,
    hours: BTreeMap<u64, Bucket>,
    days: BTreeMap<u64, Bucket>,
    /// The addresses of this day up to this hour.
    addresses_today: UniqueSet,
    /// What is not on disk yet, by its start.
    dirty_hours: BTreeSet<u64>,
    dirty_days: BTreeSet<u64>,
    /// False while what was kept could not be read.
    is_read: bool,
    recent: Recent,
}

fn hour_of(unix_s: u64) -> u64 {
    unix_s - unix_s % HOUR_S
}

fn day_of(unix_s: u64) -> u64 {
    unix_s - unix_s % DAY_S
}

impl History {
    /// A history that goes on where the last one ended. One that cannot be read is tried again later.
    pub fn new(sources: Sources) -> Self {
        let history = Self {
            book: Mutex::new(Book {
                seen: Bucket::default(),
                seen_unix_s: sources.clock.now().unix_s,
                hours: BTreeMap::new(),
                days: BTreeMap::new(),
                addresses_today: UniqueSet::default(),
                dirty_hours: BTreeSet::new(),
                dirty_days: BTreeSet::new(),
                is_read: false,
                recent: Recent::default(),
            }),
            stopwatch: Stopwatch::start(),
            sources,
        };
        if let Err(error) = history.read() {
            warn!("the history of the statistics cannot be read, and will be tried again: {error}");
        }
        history.look();
        history
    }

    /// Looks at the counters, and returns what all of them say.
    pub fn look(&self) -> Totals {
        let threads = self.threads();
        let totals: Totals = threads.clone().map(|counters| counters.read()).sum();
        let now_unix_s = self.sources.clock.now().unix_s;
        let counted = Bucket::of(&totals);

        let mut book = self.book();
        let (hour, day) = (hour_of(book.seen_unix_s), day_of(book.seen_unix_s));
        let mut this_hour = UniqueSet::default();
        for counters in threads.clone() {
            counters.crowd.read_addresses(&mut this_hour);
        }
        book.addresses_today.add(&this_hour);
        let mut news = counted.since(&book.seen);
        book.seen = counted;
        book.credit(hour, day, &mut news, &this_hour);
        if hour_of(now_unix_s) != hour {
            threads.for_each(|counters| counters.crowd.begin_hour());
            if day_of(now_unix_s) != day {
                book.addresses_today.clear();
            }
            book.forget_hours_before(day_of(now_unix_s).saturating_sub(HOURS_KEPT_DAYS * DAY_S));
        }
        book.seen_unix_s = now_unix_s;
        book.recent
            .note(self.stopwatch.elapsed(), &counted, &self.sources);
        totals
    }

    /// The rates of the last seconds, and of the last minutes.
    pub fn live(&self) -> Live {
        let totals = self.look();
        let now = self.sources.clock.now();
        self.book().recent.live(now, totals)
    }

    /// Announces by software since the start.
    pub fn software(&self) -> SoftwareCounts {
        self.threads()
            .map(|counters| counters.crowd.software())
            .sum()
    }

    /// The 24 hours of today, or of the day that was so many days ago.
    pub fn hours(&self, days_ago: u64) -> [Bucket; 24] {
        let book = self.book();
        let day = day_of(book.seen_unix_s).saturating_sub(days_ago * DAY_S);
        std::array::from_fn(|hour| {
            let start = day + hour as u64 * HOUR_S;
            book.hours.get(&start).copied().unwrap_or_default()
        })
    }

    /// The last `count` days, today as the last: when each began, in Unix seconds, and its numbers.
    pub fn days(&self, count: u64) -> Vec<(u64, Bucket)> {
        let book = self.book();
        let today = day_of(book.seen_unix_s);
        let starts = (0..count)
            .rev()
            .map(|ago| today.saturating_sub(ago * DAY_S));
        starts
            .map(|start| (start, book.days.get(&start).copied().unwrap_or_default()))
            .collect()
    }

    /// Everything since the first day, and when that began, in Unix seconds.
    pub fn all_time(&self) -> (u64, Bucket) {
        let book = self.book();
        let mut sum = Bucket::default();
        book.days.values().for_each(|day| sum.add(day));
        let first = book.days.keys().next().copied();
        (first.unwrap_or(day_of(book.seen_unix_s)), sum)
    }

    /// The time.
    pub fn now(&self) -> Now {
        self.sources.clock.now()
    }

    /// Writes what is not on disk. On an error it stays for the next time, as it does while another process
    /// has the records.
    pub fn write(&self) -> Result<(), RecordsError> {
        let Some(records) = &self.sources.records else {
            return Ok(());
        };
        if records.is_lent() {
            return Ok(());
        }
        self.read()?;
        let (hours, days) = {
            let mut book = self.book();
            let hours = std::mem::take(&mut book.dirty_hours);
            let days = std::mem::take(&mut book.dirty_days);
            (rows(&hours, &book.hours), rows(&days, &book.days))
        };
        let kept_from = day_of(self.now().unix_s).saturating_sub(HOURS_KEPT_DAYS * DAY_S);
        let put = |span, rows: &[(u64, Bucket)]| {
            rows.iter().try_for_each(|(start, bucket)| {
                records.put_statistics(span, *start, bucket.values())
            })
        };
        let written = put(Span::Hour, &hours)
            .and_then(|()| put(Span::Day, &days))
            .and_then(|()| match hours.as_slice() {
                [] => Ok(()),
                _ => records.forget_statistics(Span::Hour, kept_from).map(drop),
            });
        if written.is_err() {
            let mut book = self.book();
            book.dirty_hours
                .extend(hours.iter().map(|(start, _)| start));
            book.dirty_days.extend(days.iter().map(|(start, _)| start));
        }
        written
    }

    /// Adds what was kept, once.
    fn read(&self) -> Result<(), RecordsError> {
        let Some(records) = &self.sources.records else {
            return Ok(());
        };
        if self.book().is_read {
            return Ok(());
        }
        let from = day_of(self.now().unix_s).saturating_sub(HOURS_KEPT_DAYS * DAY_S);
        let hours = records.statistics(Span::Hour, from, u64::MAX)?;
        let days = records.statistics(Span::Day, 0, u64::MAX)?;
        let mut book = self.book();
        for (start, values) in hours {
            book.hours
                .entry(start)
                .or_default()
                .add(&Bucket::from_values(&values));
        }
        for (start, values) in days {
            book.days
                .entry(start)
                .or_default()
                .add(&Bucket::from_values(&values));
        }
        book.is_read = true;
        Ok(())
    }

    fn threads(&self) -> impl Iterator<Item = &Arc<ThreadCounters>> + Clone {
        self.sources.cores.iter().chain(&self.sources.http_threads)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing is left half done by a panic that would make the numbers useless.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Adds what happened to an hour and its day.
    fn credit(&mut self, hour: u64, day: u64, news: &mut Bucket, this_hour: &UniqueSet) {
        let addresses_today = self.addresses_today.estimate();
        for (start, addresses, buckets, dirty) in [
            (
                hour,
                this_hour.estimate(),
                &mut self.hours,
                &mut self.dirty_hours,
            ),
            (day, addresses_today, &mut self.days, &mut self.dirty_days),
        ] {
            let bucket = buckets.entry(start).or_default();
            let before = *bucket;
            news.set_addresses(addresses);
            bucket.add(news);
            if *bucket != before {
                dirty.insert(start);
            }
        }
    }

    fn forget_hours_before(&mut self, before: u64) {
        self.hours = self.hours.split_off(&before);
        self.dirty_hours = self.dirty_hours.split_off(&before);
    }
}

fn rows(starts: &BTreeSet<u64>, of: &BTreeMap<u64, Bucket>) -> Vec<(u64, Bucket)> {
    starts
        .iter()
        .filter_map(|start| Some((*start, *of.get(start)?)))
        .collect()
}
