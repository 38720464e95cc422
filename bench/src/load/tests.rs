//! The whole generator against a tracker whose faults are known.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Parser;
use serde_json::Value;
use shoal::wire::InfoHash;
use shoal::wire::udp::{
    ConnectionId, Request, ScrapeRow, TransactionId, parse, write_announce_head, write_connect,
    write_error, write_scrape_head, write_scrape_row,
};

use super::{Options, Report, measured};

const ID: ConnectionId = ConnectionId(42);

/// What the fake tracker does to the n-th announce or scrape with a good id.
type Mischief = fn(u64) -> Deed;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    Answer,
    Drop,
    Double,
    /// The reply has a byte too many.
    Lengthen,
    /// The reply answers a transaction that nobody began.
    Misname,
    Refuse,
    /// The reply has more peers than were asked for.
    Overfill,
    /// The reply comes this much later than it could, and so do all behind it.
    Delay(Duration),
}

/// What the fake tracker saw.
#[derive(Default)]
struct Seen {
    /// Announces and scrapes with a good id.
    asked: u64,
    /// Torrents of the first announces.
    torrents: Vec<InfoHash>,
}

const TORRENTS_KEPT: usize = 200;

/// A tracker that knows one peer of every torrent. It stops when dropped.
struct Fake {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Seen>>,
}

impl Fake {
    fn start(mischief: Mischief) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::spawn(move || serve(&socket, mischief, &flag));
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }

    fn seen(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn serve(socket: &UdpSocket, mischief: Mischief, stop: &AtomicBool) -> Seen {
    let mut request = [0; 2048];
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let Ok((len, from)) = socket.recv_from(&mut request) else {
            continue;
        };
        let mut out = [0; 2048];
        match parse(&request[..len]).expect("the generator writes good requests") {
            Request::Connect(transaction) => {
                let len = write_connect(&mut out, transaction, ID);
                socket.send_to(&out[..len], from).unwrap();
            }
            Request::Announce(ID, announce) => {
                seen.asked += 1;
                if seen.torrents.len() < TORRENTS_KEPT {
                    seen.torrents.push(announce.info_hash);
                }
                let transaction = announce.transaction_id;
                let len = write_announce_head(&mut out, transaction, 1800, 1, 0);
                reply(
                    socket,
                    from,
                    &mut out,
                    len,
                    transaction,
                    mischief(seen.asked),
                );
            }
            Request::Scrape(ID, transaction, hashes) => {
                seen.asked += 1;
                let mut len = write_scrape_head(&mut out, transaction);
                for position in 0..hashes.len() {
                    let row = ScrapeRow {
                        leechers: 1,
                        ..ScrapeRow::default()
                    };
                    len += write_scrape_row(&mut out, position, row);
                }
                reply(
                    socket,
                    from,
                    &mut out,
                    len,
                    transaction,
                    mischief(seen.asked),
                );
            }
            // Ids that were never given out: half of them meet an error, half of them silence.
            Request::Announce(forged, announce) => {
                if forged.0 % 2 == 0 {
                    let len = write_error(&mut out, announce.transaction_id, "no");
                    socket.send_to(&out[..len], from).unwrap();
                }
            }
            Request::Scrape(..) => {}
        }
    }
    seen
}

fn reply(
    socket: &UdpSocket,
    to: SocketAddr,
    out: &mut [u8],
    len: usize,
    transaction: TransactionId,
    deed: Deed,
) {
    let send = |bytes: &[u8]| {
        socket.send_to(bytes, to).unwrap();
    };
    match deed {
        Deed::Answer => send(&out[..len]),
        Deed::Drop => {}
        Deed::Double => {
            send(&out[..len]);
            send(&out[..len]);
        }
        Deed::Lengthen => send(&out[..=len]),
        Deed::Misname => {
            out[4..8].copy_from_slice(&(!transaction.0).to_be_bytes());
            send(&out[..len]);
        }
        Deed::Refuse => {
            let len = write_error(out, transaction, "no");
            send(&out[..len]);
        }
        Deed::Overfill => {
            // As many leechers as peers, so that nothing but their number is wrong.
            out[12..16].copy_from_slice(&60_u32.to_be_bytes());
            send(&out[..len + 60 * 6]);
        }
        Deed::Delay(time) => {
            std::thread::sleep(time);
            send(&out[..len]);
        }
    }
}

#[derive(Parser)]
#[command(args_override_self = true)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
}

fn options(fake: &Fake, rest: &str) -> Options {
    let line = format!(
        "load --target {} --sources 2 --window 16 --warmup 0 --timeout 1000 --torrents 100 \
         --peers-per-torrent 1 --duration 0.5 {rest}",
        fake.address
    );
    CommandLine::parse_from(line.split_whitespace()).options
}

fn load(fake: &Fake, rest: &str) -> Report {
    measured(&options(fake, rest), &AtomicBool::new(false)).unwrap()
}

fn number(result: &Value, pointer: &str) -> u64 {
    let number = result.pointer(pointer).and_then(Value::as_u64);
    number.unwrap_or_else(|| panic!("no number {pointer} in {result:#}"))
}

/// Announces only, so that the fake's n-th is the generator's.
const ANNOUNCES: &str = "--mix 0:1:0";

#[test]
fn a_good_tracker_is_told_so() {
    let fake = Fake::start(|_| Deed::Answer);
    let result = load(&fake, "--mix 20:80:1 --strict").json();
    assert!(
        number(&result, "/requests/announce/answered") > 100,
        "{result:#}"
    );
    assert!(
        number(&result, "/requests/connect/answered") > 10,
        "{result:#}"
    );
    for none in ["lost", "refused", "invalid", "open"] {
        assert_eq!(
            number(&result, &format!("/requests/all/{none}")),
            0,
            "{result:#}"
        );
    }
    assert_eq!(number(&result, "/unexpected"), 0);
    let sent = number(&result, "/requests/all/sent");
    assert_eq!(sent, number(&result, "/requests/all/answered"));
}

#[test]
fn every_fault_is_counted_under_its_own_name() {
    let fake = Fake::start(|n| match n % 100 {
        10 => Deed::Drop,
        20 | 21 => Deed::Double,
        30 => Deed::Lengthen,
        40 => Deed::Misname,
        50..=52 => Deed::Refuse,
        60 => Deed::Overfill,
        _ => Deed::Answer,
    });
    let result = load(&fake, ANNOUNCES).json();
    let asked = fake.seen().asked;
    let hundreds = asked / 100;
    assert!(hundreds > 2, "only {asked} announces");
    let about = |pointer: &str, share: u64| {
        let seen = number(&result, pointer);
        // The last hundred is not a whole one.
        let most = share * (hundreds + 1);
        assert!(
            (share * hundreds..=most).contains(&seen),
            "{pointer}: {seen} of {asked}"
        );
        seen
    };
    // A reply that answers nobody leaves a request without one.
    let lost = about("/requests/announce/lost", 2);
    let invalid = about("/requests/announce/invalid", 2);
    let refused = about("/requests/announce/refused", 3);
    about("/unexpected", 3);
    let answered = number(&result, "/requests/announce/answered");
    assert_eq!(answered + lost + invalid + refused, asked);
    assert_eq!(number(&result, "/requests/announce/sent"), asked);
}

#[test]
fn latency_counts_from_when_a_request_should_have_left() {
    // One reply in the middle of the run holds up everything for 100 ms. With a request due every
    // millisecond a hundred of them wait 50 ms on average; a generator that waited with the server
    // would have seen one.
    let fake = Fake::start(|n| match n {
        200 => Deed::Delay(Duration::from_millis(100)),
        _ => Deed::Answer,
    });
    let mut options = options(&fake, &format!("{ANNOUNCES} --timeout 5000"));
    options.rate = Some(1000);
    options.duration = 1.0;
    let result = measured(&options, &AtomicBool::new(false)).unwrap().json();
    // On a busy machine the last may come due while the generator does not run.
    let sent = number(&result, "/requests/announce/sent");
    assert_eq!(sent + number(&result, "/unsent"), 1000);
    assert_eq!(number(&result, "/requests/announce/answered"), sent);
    let p99_us = result
        .pointer("/requests/announce/latency_us/p99")
        .unwrap()
        .as_f64()
        .unwrap();
    assert!(p99_us > 60_000.0, "p99 is {p99_us} us");
    let max_us = result
        .pointer("/requests/announce/latency_us/max")
        .unwrap()
        .as_f64()
        .unwrap();
    assert!(max_us >= 100_000.0, "the longest is {max_us} us");
}

#[test]
fn filling_repeats_what_is_lost_until_every_peer_is_known() {
    let fake = Fake::start(|n| match n % 10 {
        3 => Deed::Drop,
        4 => Deed::Refuse,
        _ => Deed::Answer,
    });
    let rest =
        "--fill --duration 0 --window 200 --torrents 500 --verify 20 --strict --scrape-hashes 4";
    let result = load(&fake, rest).json();
    assert_eq!(number(&result, "/fill/peers"), 500);
    assert!(number(&result, "/fill/repeated") >= 100, "{result:#}");
    assert_eq!(number(&result, "/fill/verified"), 20);
    // A scrape that is refused three times in a row is given up, so a few may be missing.
    assert!(number(&result, "/fill/wrong") < 20, "{result:#}");
    assert!(fake.seen().asked >= 600);
}

#[test]
fn filling_ends_with_what_is_there_when_the_time_is_over() {
    let fake = Fake::start(|n| if n < 100 { Deed::Answer } else { Deed::Drop });
    let rest = "--fill --duration 0 --fill-limit 0.5 --window 200 --torrents 500 --verify 20";
    let result = load(&fake, rest).json();
    let peers = number(&result, "/fill/peers");
    assert!((90..=100).contains(&peers), "{result:#}");
    assert_eq!(number(&result, "/fill/total"), 500);
    assert_eq!(number(&result, "/fill/verified"), 0);
}

#[test]
fn filling_by_zipf_announces_everybody_once() {
    let fake = Fake::start(|_| Deed::Answer);
    let rest = "--fill --fill-peers 2000 --dist zipf --duration 0 --window 200 --torrents 500";
    let result = load(&fake, rest).json();
    assert_eq!(number(&result, "/fill/peers"), 2000);
    assert_eq!(fake.seen().asked, 2000);
}

#[test]
fn a_generator_that_may_sleep_is_on_time_and_leaves_the_processor_to_others() {
    let fake = Fake::start(|_| Deed::Answer);
    let mut options = options(&fake, &format!("{ANNOUNCES} --sleep"));
    options.rate = Some(1000);
    options.duration = 1.0;
    let result = measured(&options, &AtomicBool::new(false)).unwrap().json();
    let sent = number(&result, "/requests/announce/sent");
    assert_eq!(number(&result, "/requests/announce/answered"), sent);
    let sleeps = result.pointer("/generator/sleeps_per_s");
    let sleeps = sleeps.and_then(Value::as_f64).unwrap();
    assert!(sleeps >= 500.0, "{result:#}");
}

#[test]
fn made_up_ids_are_counted_apart_and_hold_nothing_up() {
    let fake = Fake::start(|_| Deed::Answer);
    let result = load(&fake, &format!("{ANNOUNCES} --stale-share 0.5")).json();
    let sent = number(&result, "/forged/sent");
    let silent = number(&result, "/forged/silent");
    let refused = number(&result, "/forged/refused");
    assert!(silent > 0 && refused > 0, "{result:#}");
    assert_eq!(silent + refused, sent);
    assert_eq!(number(&result, "/forged/accepted"), 0);
    assert_eq!(number(&result, "/requests/all/lost"), 0);
    assert_eq!(number(&result, "/requests/all/refused"), 0);
}

#[test]
fn a_target_where_nobody_listens_is_named() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let line = format!("load --target {address} --duration 0.1");
    let options = CommandLine::parse_from(line.split_whitespace()).options;
    let Err(error) = measured(&options, &AtomicBool::new(false)) else {
        panic!("nobody answered");
    };
    assert!(
        error.starts_with(&format!("{address} does not answer")),
        "{error}"
    );
}

#[test]
fn a_run_that_is_cut_short_still_has_a_result() {
    let fake = Fake::start(|_| Deed::Answer);
    let options = options(&fake, "--duration 60");
    let stop = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            stop.store(true, Ordering::Relaxed);
        });
        measured(&options, &stop).unwrap()
    });
    let result = report.json();
    assert!(number(&result, "/requests/all/answered") > 0, "{result:#}");
    assert!(result["seconds"].as_f64().unwrap() < 30.0);
    assert!(report.table().contains("responses/s"));
}

#[test]
fn the_same_seed_asks_for_the_same_torrents_in_the_same_order() {
    let first_torrents = |seed: u64| {
        let fake = Fake::start(|_| Deed::Answer);
        load(&fake, &format!("{ANNOUNCES} --duration 0.2 --seed {seed}"));
        fake.seen().torrents
    };
    let torrents = first_torrents(7);
    assert_eq!(torrents.len(), TORRENTS_KEPT);
    assert_eq!(torrents, first_torrents(7));
    assert_ne!(torrents, first_torrents(8));
}
