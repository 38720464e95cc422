use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::counters::{Count, Family, Kind, Protocol, Tally};
use crate::store::{Claim, OnDamage};
use crate::wire::PeerId;

/// Announces of both families over UDP.
const IP4: Count = Count::Received(Protocol::Udp, Family::Ip4, Kind::Announce);
const IP6: Count = Count::Received(Protocol::Udp, Family::Ip6, Kind::Announce);

/// A life of a tracker: counters that begin at 0, and a history.
struct Life {
    clock: Clock,
    threads: Vec<Arc<ThreadCounters>>,
    history: History,
}

fn live(clock: &Clock, folder: Option<&Path>) -> Life {
    let records = folder.map(|folder| {
        let claim = Arc::new(Claim::stake(folder).expect("nobody else has it"));
        let opened = Records::open(&claim, OnDamage::Refuse, clock.now().unix_s);
        let Ok(opened) = opened else {
            panic!("the records can be opened")
        };
        Arc::new(opened.store)
    });
    let threads: Vec<Arc<ThreadCounters>> = (0..3).map(|_| Arc::default()).collect();
    let history = History::new(Sources {
        cores: threads[..2].to_vec(),
        http_threads: threads[2..].to_vec(),
        records,
        clock: clock.clone(),
    });
    Life {
        clock: clock.clone(),
        threads,
        history,
    }
}

/// A clock at the beginning of an hour: those of a day's edge are a test's own affair.
fn at_hour(hour: u64) -> Clock {
    let clock = Clock::start();
    let now = clock.now().unix_s;
    let wanted = day_of(now) + DAY_S + hour * HOUR_S;
    clock.advance((wanted - now) as u32);
    clock
}

fn announces(bucket: &Bucket) -> u64 {
    bucket.received(Kind::Announce)
}

#[test]
fn an_hour_holds_what_happened_in_it_and_the_day_all_of_them() {
    let Life {
        clock,
        threads,
        history,
    } = live(&at_hour(1), None);
    threads[0].add(IP4, 3);
    threads[2].add(IP6, 4);
    history.look();
    clock.advance(3600);
    history.look();
    threads[1].add(IP4, 10);
    threads[1].tally(Tally::Completed, 2);
    history.look();
    let hours = history.hours(0);
    assert_eq!(hours.each_ref().map(announces)[..4], [0, 7, 10, 0]);
    assert_eq!(hours[2].get(Figure::Completed), 2);
    let days = history.days(3);
    assert_eq!(
        days.iter()
            .map(|(_, day)| announces(day))
            .collect::<Vec<_>>(),
        [0, 0, 17]
    );
    assert_eq!(days[2].0, day_of(clock.now().unix_s));
    assert_eq!(announces(&history.all_time().1), 17);
}

#[test]
fn what_nobody_looked_at_before_midnight_counts_for_the_day_before() {
    let Life {
        clock,
        threads,
        history,
    } = live(&at_hour(23), None);
    threads[0].add(IP4, 5);
    clock.advance(3600);
    history.look();
    threads[0].add(IP4, 1);
    history.look();
    assert_eq!(announces(&history.hours(1)[23]), 5);
    assert_eq!(announces(&history.hours(0)[0]), 1);
    let days = history.days(2);
    assert_eq!([&days[0].1, &days[1].1].map(announces), [5, 1]);
}

#[test]
fn restarts_and_days_change_no_sum() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = TempDir::new().unwrap();
    let clock = at_hour(random.u64(..24));
    let mut days: BTreeMap<u64, u64> = BTreeMap::new();
    let mut hours: BTreeMap<u64, u64> = BTreeMap::new();
    for _ in 0..8 {
        let Life {
            threads, history, ..
        } = live(&clock, Some(folder.path()));
        for _ in 0..random.usize(1..20) {
            let (count, n) = (random.choice([IP4, IP6]).unwrap(), random.u64(..1000));
            threads[random.usize(..threads.len())].add(count, n);
            let now = clock.now().unix_s;
            *days.entry(day_of(now)).or_default() += n;
            *hours.entry(hour_of(now)).or_default() += n;
            history.look();
            if random.u8(..3) == 0 {
                history.write().unwrap();
            }
            clock.advance(random.choice([0, 10, 1800, 3600, 40_000, 90_000]).unwrap());
            history.look();
        }
        history.write().unwrap();
    }
    let Life { history, .. } = live(&clock, Some(folder.path()));
    for (start, day) in history.days(60) {
        assert_eq!(
            announces(&day),
            days.get(&start).copied().unwrap_or(0),
            "day {start}"
        );
    }
    let today = day_of(clock.now().unix_s);
    for ago in 0..7 {
        for (hour, bucket) in history.hours(ago).iter().enumerate() {
            let start = today - ago * DAY_S + hour as u64 * HOUR_S;
            let wanted = hours.get(&start).copied().unwrap_or(0);
            assert_eq!(announces(bucket), wanted, "hour {hour}, {ago} days ago");
        }
    }
    let (first, all) = history.all_time();
    assert_eq!(announces(&all), days.values().sum::<u64>());
    assert!(first <= *days.keys().next().unwrap());
}

#[test]
fn hours_are_forgotten_after_eight_days_and_days_are_not() {
    let folder = TempDir::new().unwrap();
    let clock = at_hour(0);
    {
        let Life {
            threads, history, ..
        } = live(&clock, Some(folder.path()));
        for _ in 0..20 {
            threads[0].add(IP4, 1);
            history.look();
            history.write().unwrap();
            clock.advance(DAY_S as u32);
            history.look();
        }
        history.write().unwrap();
        assert!(history.book().hours.len() <= 10);
    }
    let Life { history, .. } = live(&clock, Some(folder.path()));
    assert!(history.book().hours.len() <= 10);
    assert_eq!(announces(&history.all_time().1), 20);
    let records = history.sources.records.as_ref().unwrap();
    assert!(records.statistics(Span::Hour, 0, u64::MAX).unwrap().len() <= 10);
}

#[test]
fn addresses_are_counted_by_the_hour_and_once_a_day() {
    let folder = TempDir::new().unwrap();
    let clock = at_hour(5);
    let note = |threads: &[Arc<ThreadCounters>], from: u32, to: u32| {
        for n in from..to {
            for thread in threads {
                thread
                    .crowd
                    .note(n.to_be_bytes().into(), &PeerId([b'x'; 20]));
            }
        }
    };
    let near = |n: u64, wanted: u64| n.abs_diff(wanted) * 10 <= wanted;
    let addresses = |bucket: &Bucket| bucket.get(Figure::Addresses);
    {
        let Life {
            threads, history, ..
        } = live(&clock, Some(folder.path()));
        note(&threads, 0, 1000);
        history.look();
        clock.advance(3600);
        history.look();
        // Half of them are known.
        note(&threads, 500, 1500);
        history.look();
        let hours = history.hours(0);
        assert!(near(addresses(&hours[5]), 1000), "{}", addresses(&hours[5]));
        assert!(near(addresses(&hours[6]), 1000), "{}", addresses(&hours[6]));
        let today = addresses(&history.days(1)[0].1);
        assert!(near(today, 1500), "{today}");
        history.write().unwrap();
    }
    // After a restart the same addresses look like others, so the greater number counts.
    let Life {
        threads, history, ..
    } = live(&clock, Some(folder.path()));
    note(&threads, 0, 100);
    history.look();
    let today = addresses(&history.days(1)[0].1);
    assert!(near(today, 1500), "{today}");
    clock.advance(DAY_S as u32);
    history.look();
    assert_eq!(addresses(&history.days(1)[0].1), 0, "a new day");
    note(&threads, 0, 300);
    history.look();
    let today = addresses(&history.days(1)[0].1);
    assert!(near(today, 300), "{today}");
    assert!(near(addresses(&history.all_time().1), 1500));
}

#[test]
fn rates_are_those_of_the_last_seconds() {
    let Life {
        threads, history, ..
    } = live(&Clock::start(), None);
    let first = history.live();
    assert_eq!((first.seconds, first.points.len()), (0.0, 0));
    assert!((first.rate(5) - 0.0).abs() < f64::EPSILON);
    threads[0].add(IP4, 50);
    threads[2].add(IP6, 50);
    let waited = Stopwatch::start();
    let live = loop {
        let live = history.live();
        if !live.points.is_empty() {
            break live;
        }
        std::thread::yield_now();
    };
    assert!(live.seconds > 0.8 && live.seconds <= waited.elapsed().as_secs_f64() + 1.0);
    assert_eq!(live.counted.requests(), 100);
    let rate = live.rate(live.counted.requests());
    assert!((live.points[0].requests - rate).abs() < 0.1);
    assert!((live.cores[0].requests - rate / 2.0).abs() < 0.1);
    assert!(live.cores[1].requests.abs() < 0.1);
    assert_eq!((live.cores.len(), live.http_threads.len()), (2, 1));
}
