//! Every torrent at once, for those who may ask for it: collected from the cores a slice at a time by a
//! thread of low priority, shared by all who ask within a while, and streamed.
//!
//! Rows are kept as numbers and written as text piece by piece while they are sent, so that an exact
//! length can be told in advance and a slow client holds no more than a piece. Compressed forms are
//! made whole, once, when the first client accepts them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use log::warn;

use super::reply::row;
use crate::clock::Clock;
use crate::net::low_priority;
use crate::seldom::{HeldBack, Seldom};
use crate::shard::{Chunk, Collector, Export, Row};
use crate::wire::http::head::Encodings;
use crate::wire::http::reply::{
    SCRAPE_HEAD, scrape_frame_len, scrape_row_len, write_scrape_row, write_scrape_tail,
};
use crate::wire::http::response::Encoding;

/// Rows of a buffer, and buffers that a core may have filled before the first was read.
const CHUNK_ROWS: usize = 8192;
const CHUNKS: usize = 4;

/// Seconds for which a snapshot is good at least: whoever waited for it gets it.
const FRESH_S_MIN: u32 = 5;

/// Snapshots that may be sent at one time. Whoever still reads an older one is given up: each holds
/// every torrent there is, and its clients may take as long over it as they like.
const SNAPSHOTS_MAX: usize = 4;

/// Clients that may wait for one snapshot.
const WAITING_MAX: usize = 1024;

/// How long a core may take over a chunk before the collection is given up.
const CHUNK_PATIENCE: Duration = Duration::from_secs(30);

/// How long the thread rests when the cores did not tell their torrents.
const PAUSE: Duration = Duration::from_secs(1);

/// How often the thread looks whether the last snapshot has grown old, while there is one.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// In which form a full scrape is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// As it is.
    Plain,
    /// Compressed.
    Packed(Encoding),
}

impl Form {
    /// The shortest that the client accepts.
    pub(super) fn of(accepts: Encodings) -> Self {
        match accepts {
            Encodings { zstd: true, .. } => Self::Packed(Encoding::Zstd),
            Encodings { gzip: true, .. } => Self::Packed(Encoding::Gzip),
            _ => Self::Plain,
        }
    }

    pub(super) fn encoding(self) -> Option<Encoding> {
        match self {
            Self::Plain => None,
            Self::Packed(encoding) => Some(encoding),
        }
    }
}

/// All torrents at one time, sorted.
pub(super) struct Snapshot {
    made_s: u32,
    rows: Vec<Row>,
    downloaders: bool,
    min_request_interval_s: u32,
    plain_len: u64,
    gzip: OnceLock<Vec<u8>>,
    zstd: OnceLock<Vec<u8>>,
    given_up: AtomicBool,
}

impl Snapshot {
    fn new(made_s: u32, mut rows: Vec<Row>, rules: FullScrapeRules) -> Self {
        rows.sort_unstable_by_key(|(info_hash, _)| *info_hash);
        // One that moved while its core was asked came twice.
        rows.dedup_by_key(|(info_hash, _)| *info_hash);
        let len_of = |(_, totals): &Row| scrape_row_len(&row(totals), rules.downloaders) as u64;
        let all_rows: u64 = rows.iter().map(len_of).sum();
        Self {
            made_s,
            plain_len: all_rows + scrape_frame_len(rules.min_request_interval_s) as u64,
            rows,
            downloaders: rules.downloaders,
            min_request_interval_s: rules.min_request_interval_s,
            gzip: OnceLock::new(),
            zstd: OnceLock::new(),
            given_up: AtomicBool::new(false),
        }
    }

    /// True when newer ones need its memory: nothing more of it is to be sent.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Bytes in this form.
    pub(super) fn len(&self, form: Form) -> u64 {
        match form {
            Form::Plain => self.plain_len,
            Form::Packed(encoding) => self.packed(encoding).len() as u64,
        }
    }

    /// Writes a piece of about `len` bytes from `place` on, and says where the next begins. Nothing is
    /// written behind the end.
    pub(super) fn write_piece(
        &self,
        form: Form,
        place: usize,
        len: usize,
        out: &mut Vec<u8>,
    ) -> usize {
        if let Form::Packed(encoding) = form {
            let left = &self.packed(encoding)[place..];
            let piece = &left[..left.len().min(len)];
            out.extend_from_slice(piece);
            return place + piece.len();
        }
        // Place 0 is before the head, n + 1 behind n rows, and the last behind the tail.
        let mut place = place;
        if place == 0 {
            out.extend_from_slice(SCRAPE_HEAD);
            place = 1;
        }
        let rows = self.rows.get(place - 1..).unwrap_or_default();
        for (info_hash, totals) in rows {
            if out.len() >= len {
                return place;
            }
            write_scrape_row(out, info_hash, &row(totals), self.downloaders);
            place += 1;
        }
        if place == self.rows.len() + 1 {
            write_scrape_tail(out, self.min_request_interval_s);
            place += 1;
        }
        place
    }

    fn packed(&self, encoding: Encoding) -> &[u8] {
        let packed = match encoding {
            Encoding::Gzip => &self.gzip,
            Encoding::Zstd => &self.zstd,
        };
        packed.get().map_or(&[], Vec::as_slice)
    }

    fn has(&self, form: Form) -> bool {
        form == Form::Plain || form.encoding().is_some_and(|e| !self.packed(e).is_empty())
    }

    /// Makes a compressed form, unless it is there. An error when `given_up` says so meanwhile.
    fn pack(&self, encoding: Encoding, given_up: impl Fn() -> bool) -> std::io::Result<()> {
        let form = Form::Packed(encoding);
        if self.has(form) {
            return Ok(());
        }
        let (packed, place) = match encoding {
            Encoding::Gzip => {
                let level = flate2::Compression::fast();
                let mut packer = flate2::write::GzEncoder::new(Vec::new(), level);
                self.write_all(&mut packer, given_up)?;
                (packer.finish()?, &self.gzip)
            }
            Encoding::Zstd => {
                let mut packer = zstd::Encoder::new(Vec::new(), 1)?;
                self.write_all(&mut packer, given_up)?;
                (packer.finish()?, &self.zstd)
            }
        };
        // Only one thread makes them.
        drop(place.set(packed));
        Ok(())
    }

    fn write_all(
        &self,
        out: &mut impl std::io::Write,
        given_up: impl Fn() -> bool,
    ) -> std::io::Result<()> {
        let mut piece = Vec::new();
        let mut place = 0;
        loop {
            if given_up() {
                return Err(std::io::Error::other("nobody wants it any more"));
            }
            piece.clear();
            place = self.write_piece(Form::Plain, place, 64 << 10, &mut piece);
            if piece.is_empty() {
                return Ok(());
            }
            out.write_all(&piece)?;
        }
    }
}

/// How full scrapes are made.
#[derive(Clone, Copy, Debug)]
pub struct FullScrapeRules {
    /// Tell how many of the incomplete peers still want something (BEP 21).
    pub downloaders: bool,
    /// Least seconds between two scrapes, and so the age up to which a snapshot is good.
    pub min_request_interval_s: u32,
}

/// Makes snapshots for whoever asks.
pub struct FullScrapes {
    rules: FullScrapeRules,
    state: Mutex<State>,
    wanted: Condvar,
}

#[derive(Default)]
struct State {
    latest: Option<Arc<Snapshot>>,
    /// The forms that somebody waits for.
    wanted: Vec<Form>,
    waiting: Vec<Waker>,
    stopped: bool,
}

impl FullScrapes {
    /// Starts the thread that makes them; `collector` is its way to the cores.
    pub fn start(
        rules: FullScrapeRules,
        collector: Collector,
        clock: Clock,
    ) -> std::io::Result<(Arc<Self>, thread::JoinHandle<()>)> {
        let scrapes = Arc::new(Self {
            rules,
            state: Mutex::default(),
            wanted: Condvar::new(),
        });
        let maker = Arc::clone(&scrapes);
        let thread = thread::Builder::new()
            .name("full-scrape".to_owned())
            .spawn(move || {
                low_priority();
                maker.make(&collector, &clock);
            })?;
        Ok((scrapes, thread))
    }

    /// Ends the thread.
    pub fn stop(&self) {
        self.state().stopped = true;
        self.wanted.notify_all();
    }

    /// The snapshot in this form, when there is one that is good; whoever gets none is woken when it has
    /// been made. `None` when too many wait.
    pub(super) fn poll(
        &self,
        form: Form,
        now_s: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Arc<Snapshot>>> {
        let mut state = self.state();
        let is_good = |latest: &&Arc<Snapshot>| latest.has(form) && self.is_fresh(latest, now_s);
        if let Some(latest) = state.latest.as_ref().filter(is_good) {
            return Poll::Ready(Some(Arc::clone(latest)));
        }
        if state.waiting.len() >= WAITING_MAX {
            return Poll::Ready(None);
        }
        if !state.wanted.contains(&form) {
            state.wanted.push(form);
        }
        state.waiting.push(cx.waker().clone());
        drop(state);
        self.wanted.notify_all();
        Poll::Pending
    }

    fn is_fresh(&self, snapshot: &Snapshot, now_s: u32) -> bool {
        let fresh_s = self.rules.min_request_interval_s.max(FRESH_S_MIN);
        now_s.saturating_sub(snapshot.made_s) < fresh_s
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked while it held the state has ended the process.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    fn make(&self, collector: &Collector, clock: &Clock) {
        let mut made = Made::default();
        let (mut late, mut unpacked) = (Seldom::default(), Seldom::default());
        let mut state = self.state();
        loop {
            if state.stopped {
                return;
            }
            if state.wanted.is_empty() {
                state = self.wait(state, clock);
                continue;
            }
            let asked = std::mem::take(&mut *state);
            let now_s = clock.now().uptime_s;
            let latest_was = asked.latest;
            let latest = latest_was
                .clone()
                .filter(|latest| self.is_fresh(latest, now_s));
            state.latest.clone_from(&latest);
            drop(state);
            let snapshot = latest.or_else(|| {
                let rows = self.collect(collector, || late.pass(now_s))?;
                let snapshot = Arc::new(Snapshot::new(now_s, rows, self.rules));
                made.note(&snapshot);
                Some(snapshot)
            });
            if let Some(snapshot) = &snapshot {
                for encoding in asked.wanted.iter().filter_map(|form| form.encoding()) {
                    match snapshot.pack(encoding, || self.is_stopped()) {
                        Err(error) if !self.is_stopped() => {
                            if let Some(more) = unpacked.pass(now_s) {
                                warn!("a full scrape cannot be compressed: {error}{more}");
                            }
                        }
                        _ => {}
                    }
                }
            }
            let failed = snapshot.is_none();
            state = self.state();
            let old = std::mem::replace(&mut state.latest, snapshot);
            for waker in asked.waiting {
                waker.wake();
            }
            if failed {
                // They will ask again at once; the cores have enough to do as it is.
                (state, _) = self
                    .wanted
                    .wait_timeout_while(state, PAUSE, |state| !state.stopped)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            // Freeing many rows is nothing to do while others wait for the state.
            drop((old, latest_was));
            state = self.state();
        }
    }

    /// Sleeps until somebody asks; forgets a snapshot that has grown old meanwhile.
    fn wait<'a>(&'a self, state: MutexGuard<'a, State>, clock: &Clock) -> MutexGuard<'a, State> {
        if state.latest.is_none() {
            return self
                .wanted
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let (mut state, _) = self
            .wanted
            .wait_timeout(state, LOOK_AGAIN)
            .unwrap_or_else(PoisonError::into_inner);
        let now_s = clock.now().uptime_s;
        if state
            .latest
            .as_ref()
            .is_some_and(|latest| !self.is_fresh(latest, now_s))
        {
            state.latest = None;
        }
        state
    }

    /// The rows of all cores, one core after the other. `may_warn` is asked when a core is late.
    fn collect(
        &self,
        collector: &Collector,
        mut may_warn: impl FnMut() -> Option<HeldBack>,
    ) -> Option<Vec<Row>> {
        let mut rows = Vec::new();
        for core in 0..collector.cores() {
            let (full_sender, full) = bounded::<Chunk>(CHUNKS);
            let (spare, spare_receiver) = bounded(CHUNKS);
            for _ in 0..CHUNKS {
                // There is room for all of them.
                spare.send(Vec::with_capacity(CHUNK_ROWS)).ok()?;
            }
            collector
                .export(core, Export::totals(full_sender, spare_receiver))
                .ok()?;
            loop {
                let Ok(mut chunk) = full.recv_timeout(CHUNK_PATIENCE) else {
                    if !self.is_stopped()
                        && let Some(more) = may_warn()
                    {
                        warn!(
                            "core {core} does not tell its torrents; the full scrape is given \
                             up{more}"
                        );
                    }
                    return None;
                };
                if self.is_stopped() {
                    return None;
                }
                rows.append(&mut chunk.rows);
                if chunk.last {
                    break;
                }
                // A core that is done already wants no buffer; its last chunk is on the way.
                drop(spare.send(chunk.rows));
                collector.ring(core);
            }
        }
        Some(rows)
    }
}

/// The snapshots that somebody still holds, the oldest first.
#[derive(Default)]
struct Made(Vec<Weak<Snapshot>>);

impl Made {
    /// One more; gives up the oldest when there are too many.
    fn note(&mut self, snapshot: &Arc<Snapshot>) {
        self.0.retain(|held| held.strong_count() > 0);
        self.0.push(Arc::downgrade(snapshot));
        let too_many = self.0.len().saturating_sub(SNAPSHOTS_MAX);
        for held in self.0.drain(..too_many).filter_map(|held| held.upgrade()) {
            held.given_up.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::Totals;
    use crate::wire::InfoHash;

    const RULES: FullScrapeRules = FullScrapeRules {
        downloaders: true,
        min_request_interval_s: 0,
    };

    #[test]
    fn clients_that_hardly_read_do_not_keep_every_snapshot_in_memory() {
        let mut made = Made::default();
        let mut held: Vec<Arc<Snapshot>> = Vec::new();
        for _ in 0..SNAPSHOTS_MAX + 2 {
            let snapshot = Arc::new(Snapshot::new(0, Vec::new(), RULES));
            made.note(&snapshot);
            held.push(snapshot);
        }
        let given_up = |held: &[Arc<Snapshot>]| held.iter().filter(|s| s.is_given_up()).count();
        assert_eq!(given_up(&held), 2);
        assert!(held[1].is_given_up() && !held[2].is_given_up());
        // Those that nobody holds any more are no reason to give up others.
        held.drain(..4);
        let snapshot = Arc::new(Snapshot::new(0, Vec::new(), RULES));
        made.note(&snapshot);
        assert_eq!(given_up(&held), 0);
    }

    #[test]
    fn a_tracker_that_stops_does_not_go_on_compressing_millions_of_torrents() {
        let rows = (0..100_000_u32).map(|number| {
            let mut info_hash = InfoHash([0; InfoHash::LEN]);
            info_hash.0[..4].copy_from_slice(&number.to_be_bytes());
            (info_hash, Totals::default())
        });
        let snapshot = Snapshot::new(0, rows.collect(), RULES);
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            let asked = std::cell::Cell::new(0);
            let given_up = || asked.replace(asked.get() + 1) == 3;
            assert!(snapshot.pack(encoding, given_up).is_err());
            assert_eq!(asked.get(), 4);
            assert!(!snapshot.has(Form::Packed(encoding)));
            snapshot.pack(encoding, || false).unwrap();
            assert!(snapshot.has(Form::Packed(encoding)));
        }
    }
}
