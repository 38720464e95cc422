//! The cores, what is on its way to them, and the steps of a schedule.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use fastrand::Rng;
use shoal::clock::Now;
use shoal::net::steering::Steering;
use shoal::net::{Datagram, Origin};
use shoal::shard::{Ask, Collector, Counter, Errands, Matter, NO_DETAILS};
use shoal::swarm::{PeerAnnounce, Settings, Swarms};
use shoal::wire::InfoHash;
use shoal_bench::bare_core::{BareCore, NOW, PEER_TIMEOUT_S, Seat, TURN_MAX, steering};

use crate::check::Replies;
use crate::control::{Exporting, Going};
use crate::model::{Bounds, Swarm};
use crate::requests::{self, Request};

/// What a schedule came to.
#[derive(Clone, Copy, Default, Debug)]
pub struct Summary {
    /// Turns of cores.
    pub turns: u64,
    /// Datagrams that arrived, copies among them.
    pub datagrams: u64,
    /// Replies over UDP.
    pub replies: u64,
    /// Questions of HTTP threads that were answered.
    pub answers: u64,
    /// Handovers that found a full queue.
    pub drops: u64,
    /// Errands and exports that were done.
    pub errands: u64,
}

/// A core and what lies in its sockets.
pub(crate) struct Place {
    pub(crate) core: BareCore,
    pub(crate) asleep: bool,
    socket: VecDeque<usize>,
    /// The second of its last turn: an idle core turns once a second.
    second: u32,
}

/// A question of an HTTP thread.
pub(crate) enum Question {
    Announce(PeerAnnounce),
    Scrape(Vec<InfoHash>),
}

/// An HTTP thread.
pub(crate) struct HttpThread {
    pub(crate) counter: Counter,
    rung: Arc<Rung>,
    /// Questions by ticket, and the turn in which they were asked.
    pub(crate) open: BTreeMap<usize, (Question, u64)>,
    /// Answers that have been looked at and not been taken yet.
    #[expect(clippy::vec_box, reason = "they go to the cores and back as they are")]
    pub(crate) desk: Vec<Box<Ask>>,
    unrung: Vec<usize>,
    tickets: usize,
}

/// Whether a thread was woken.
#[derive(Default)]
struct Rung(AtomicBool);

impl Wake for Rung {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A torrent in the model, and what its totals were, by the turn from which on.
pub(crate) struct Torrent {
    pub(crate) swarm: Swarm,
    pub(crate) past: Vec<(u64, Bounds)>,
}

impl Default for Torrent {
    fn default() -> Self {
        let swarm = Swarm::default();
        let past = vec![(0, swarm.bounds())];
        Self { swarm, past }
    }
}

pub(crate) struct World {
    pub(crate) random: Rng,
    pub(crate) now: Now,
    pub(crate) steering: Steering,
    /// Whether the network brings datagrams to the core that owns their torrent.
    steered: bool,
    pub(crate) cores: Vec<Place>,
    pub(crate) threads: Vec<HttpThread>,
    pub(crate) torrents: BTreeMap<[u8; 20], Torrent>,
    pub(crate) hashes: Vec<InfoHash>,
    pub(crate) requests: Vec<Request>,
    /// Datagrams that have not arrived.
    network: Vec<usize>,
    pub(crate) collector: Collector,
    pub(crate) errands: Errands,
    pub(crate) going: Vec<Going>,
    pub(crate) exports: Vec<Exporting>,
    pub(crate) turn: u64,
    pub(crate) summary: Summary,
    /// Whether an hour has passed at once since all was quiet. The sweep must come by every two hours, as it does
    /// where time passes by the second.
    pub(crate) has_jumped: bool,
    /// Drops that cost an HTTP thread its answer.
    pub(crate) unanswered: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let count = random.usize(1..=8);
        let queue_len = if random.bool() {
            random.usize(1..12)
        } else {
            random.usize(12..400)
        };
        let http_threads = random.usize(..3);
        let (seats, counters) =
            Seat::beside(count, http_threads, queue_len).expect("event descriptors");
        let collector = seats[0].collector();
        let details = random.bool();
        let prefetch = random.bool();
        let cores = seats.into_iter().map(|seat| {
            let swarms = Swarms::new(Settings {
                seeds: [0; 4].map(|_: u64| random.u64(..)),
                peer_timeout_s: PEER_TIMEOUT_S,
                remove_peerless: true,
                memory_budget: None,
                peer_details: details,
            });
            let core = BareCore::at(seat, swarms, prefetch).expect("memory for a core");
            Place {
                core,
                asleep: false,
                socket: VecDeque::new(),
                second: NOW.uptime_s,
            }
        });
        let cores: Vec<Place> = cores.collect();
        let threads = counters.into_iter().map(|counter| HttpThread {
            counter,
            rung: Arc::default(),
            open: BTreeMap::new(),
            desk: Vec::new(),
            unrung: Vec::new(),
            tickets: 0,
        });
        let threads = threads.collect();
        let torrents = random.usize(1..24);
        let mut hash = || InfoHash([0; 20].map(|_: u8| random.u8(..)));
        let hashes: Vec<InfoHash> = (0..torrents).map(|_| hash()).collect();
        Self {
            now: NOW,
            steering: steering(count),
            steered: random.bool(),
            cores,
            threads,
            torrents: hashes
                .iter()
                .map(|hash| (hash.0, Torrent::default()))
                .collect(),
            hashes,
            requests: Vec::new(),
            network: Vec::new(),
            errands: Errands::new(collector.clone(), steering(count)),
            collector,
            going: Vec::new(),
            exports: Vec::new(),
            turn: 0,
            summary: Summary::default(),
            has_jumped: false,
            unanswered: 0,
            random,
        }
    }

    pub(crate) fn run(mut self) -> Summary {
        for _ in 0..3 {
            for _ in 0..self.random.usize(20..200) {
                self.step();
            }
            self.be_quiet();
        }
        self.count_up();
        self.summary
    }

    fn step(&mut self) {
        match self.random.u32(..100) {
            0..30 => self.send(),
            30..52 => self.deliver(),
            52..56 => self.burst(),
            56..80 => {
                let core = self.random.usize(..self.cores.len());
                self.step_core(core);
            }
            80..88 => self.ask(),
            88..92 => {
                if !self.threads.is_empty() {
                    let thread = self.random.usize(..self.threads.len());
                    self.work(thread);
                }
            }
            92..96 => self.begin_errand(),
            _ => {
                let seconds = match self.random.u32(..30) {
                    0 if !self.has_jumped => 3700,
                    1..4 => self.random.u32(..300),
                    _ => self.random.u32(..3),
                };
                self.has_jumped |= seconds == 3700;
                self.now.uptime_s += seconds;
                self.now.unix_s += u64::from(seconds);
            }
        }
    }

    fn send(&mut self) {
        let number = self.requests.len();
        let request = Request::new(&mut self.random, number, &self.hashes, self.now);
        self.requests.push(request);
        self.network.push(number);
    }

    /// Many at a time, as much as a full queue takes.
    fn burst(&mut self) {
        for _ in 0..self.random.usize(..60) {
            self.send();
            self.deliver();
        }
    }

    /// One of those on their way arrives, is lost, or arrives and stays on its way as well.
    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let at = self.random.usize(..self.network.len());
        let number = self.network[at];
        let fate = self.random.u32(..10);
        if fate != 0 {
            self.network.swap_remove(at);
        }
        if fate != 1 {
            let core = match &self.requests[number].matter {
                requests::Matter::Announce(announce) if self.steered => {
                    self.steering.core_of(&announce.info_hash)
                }
                _ => self.random.usize(..self.cores.len()),
            };
            self.cores[core].socket.push_back(number);
        }
    }

    /// All that are still on their way arrive.
    pub(crate) fn deliver_all(&mut self) {
        while !self.network.is_empty() {
            self.deliver();
        }
    }

    /// A core goes on: falls asleep, wakes up, or makes a turn. False when it sleeps on.
    pub(crate) fn step_core(&mut self, core: usize) -> bool {
        let place = &mut self.cores[core];
        if place.asleep {
            let is_patient = place.second == self.now.uptime_s;
            if is_patient && place.socket.is_empty() && !place.core.is_called() {
                return false;
            }
            place.asleep = false;
            place.core.wake_up();
        } else {
            place.asleep = place.core.falls_asleep();
            if place.asleep {
                return true;
            }
        }
        place.second = self.now.uptime_s;
        let len = place.socket.len().min(self.random.usize(1..=TURN_MAX / 2));
        let numbers: Vec<usize> = place.socket.drain(..len).collect();
        for number in &numbers {
            self.requests[*number].arrive(self.now, self.turn);
        }
        let requests = &self.requests;
        let datagrams = numbers.iter().map(|number| Datagram {
            bytes: &requests[*number].bytes,
            origin: Origin {
                listener: 0,
                peer: requests[*number].source,
                local: None,
            },
            truncated: false,
        });
        let mut replies = Replies::new();
        place.core.whole_turn(self.now, datagrams, |to, bytes| {
            replies.push((to, bytes.to_vec()));
        });
        self.turn += 1;
        self.summary.turns += 1;
        self.summary.datagrams += numbers.len() as u64;
        self.check_turn(core, &replies);
        true
    }

    /// A connection asks something.
    fn ask(&mut self) {
        if self.threads.is_empty() {
            return;
        }
        let at = self.random.usize(..self.threads.len());
        let random = &mut self.random;
        let source = requests::client(random, at as u8 + 1);
        let thread = &mut self.threads[at];
        let mut ask = Box::new(Ask::blank(at));
        let torrent = self.hashes[random.usize(..self.hashes.len())];
        let question = if random.bool() {
            let (peer, _) = requests::announce(random, source, torrent);
            ask.begin(Matter::Announce {
                peer,
                details: NO_DETAILS,
                ids: random.bool(),
            });
            Question::Announce(peer)
        } else {
            let rows: Vec<InfoHash> = (0..random.usize(1..=6))
                .map(|_| self.hashes[random.usize(..self.hashes.len())])
                .collect();
            ask.begin(Matter::Scrape);
            ask.sheet_mut().begin(|places| {
                places[..rows.len()].copy_from_slice(&rows);
                rows.len()
            });
            Question::Scrape(rows)
        };
        ask.ticket = thread.tickets;
        let owner = self
            .steering
            .core_of(ask.next().expect("it asks for something"));
        if thread.counter.post(owner, ask).is_ok() {
            thread.open.insert(thread.tickets, (question, self.turn));
            thread.tickets += 1;
            thread.unrung.push(owner);
        }
        if self.random.u32(..3) == 0 {
            self.work(at);
        }
    }

    /// What the clerk of a thread does, if it was woken or has cores to ring. False when it sleeps on.
    pub(crate) fn work(&mut self, thread: usize) -> bool {
        let thread = &mut self.threads[thread];
        let rung = thread.rung.0.swap(false, Ordering::Relaxed);
        if !rung && thread.unrung.is_empty() {
            return false;
        }
        let waker = Waker::from(Arc::clone(&thread.rung));
        thread.counter.desk().listen(&waker);
        for owner in thread.unrung.drain(..) {
            thread.counter.ring(owner);
        }
        for ask in thread.desk.drain(..) {
            let closed = thread.open.remove(&ask.ticket);
            assert!(closed.is_some(), "an answer that nobody waits for");
        }
        true
    }

    /// True when nothing lies in front of a core.
    pub(crate) fn has_read_all(&self) -> bool {
        self.cores.iter().all(|place| place.socket.is_empty())
    }
}
