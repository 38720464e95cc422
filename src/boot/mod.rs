//! The start, told in order: cores, sockets, privileges, threads; and the end.

mod chores;
mod control;
mod cores;
mod http;
mod listeners;
mod rules;
mod store;
mod succession;
mod takeover;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Sender, bounded};
use log::{info, warn};

use crate::clock::Clock;
use crate::config::Config;
use crate::control::history::{Historian, History, Sources};
use crate::control::server::Server;
use crate::control::state::{Given, State};
use crate::control::{Event, exit_on_panic};
use crate::counters::{Tally, ThreadCounters, Totals};
use crate::heap;
use crate::net::socket::{self, Listener};
use crate::net::steering::Steering;
use crate::net::{Doorbell, Engine, Net, port_owner};
use crate::privileges;
use crate::registrar::Registrar;
use crate::shard::{Collector, Core, Errands, Hold, Mesh, Rules, Shard};
use crate::store::{Keeper, Legacy, StoreTotals};
use crate::swarm::{self, Swarms};
use succession::{Spread, Succession};
use takeover::{Estate, Heir, Launcher};
pub(crate) use takeover::{launch_if_asked, shed};

/// Runs a tracker until a signal ends it. Every failure has been logged when this returns. `file` is where the
/// configuration was read; `reload` loads it again, or says a sentence for each mistake.
pub fn run(
    config: &Config,
    file: Option<&Path>,
    reload: &dyn Fn() -> Result<Config, Vec<String>>,
) -> ExitCode {
    exit_on_panic();
    heap::prepare();
    let done = crate::control::Signals::catch()
        .map_err(|error| format!("cannot catch signals: {error}"))
        .and_then(|mut signals| {
            let clock = Clock::start();
            let (mut heir, estate) = Heir::from_environment()?.unzip();
            let estate = estate.unwrap_or_default();
            let events = signals.events();
            let mut notes = privileges::Notes::new();
            let mut restrict = || {
                notes = privileges::restrict(config, file);
                // Its threads would not be restricted if they were there before.
                signals.listen()
            };
            let restrict: Option<Restrict<'_>> = Some(&mut restrict);
            let mut tracker =
                Tracker::start_after(heir.as_mut(), estate, config, &clock, &events, restrict)?;
            privileges::restrict_further(config);
            for (level, sentence) in notes {
                log::log!(level, "{sentence}");
            }
            if let Some(heir) = heir {
                heir.serve();
                tracker.http.is_guest = false;
            }
            crate::control::run(tracker, &signals, config.log.stats_interval, reload)
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            log::error!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

/// What a process of its own does with its rights once they are not needed any more; the error is a sentence.
type Restrict<'a> = &'a mut dyn FnMut() -> Result<(), String>;

/// A running tracker. Dropping it stops it.
pub struct Tracker {
    listeners: Vec<SocketAddr>,
    engines: Vec<Engine>,
    /// The core and the inode of each UDP socket.
    sockets: Vec<(usize, u64)>,
    counters: Vec<Arc<ThreadCounters>>,
    doorbells: Vec<Arc<Doorbell>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Option<Swarms>>>,
    http: http::Http,
    keeper: Option<Keeper>,
    chores: Option<chores::Chores>,
    historian: Option<Historian>,
    control: Option<Server>,
    control_address: Option<SocketAddr>,
    clock: Clock,
    registrar: Arc<Registrar>,
    errands: Errands,
    collector: Collector,
    holds: Vec<Arc<Hold>>,
    succession: Succession,
}

/// Everything that is bound before privileges are given up.
struct Grounds {
    bound: Vec<Listener>,
    http: http::Http,
    http_threads: usize,
    http_bound: Vec<http::Bound>,
    control_bound: Option<control::Bound>,
}

impl Grounds {
    /// Binds it all, and becomes the user who is to serve.
    fn bind(
        config: &Config,
        cores: usize,
        steering: Steering,
        clock: &Clock,
        estate: &mut Estate,
    ) -> Result<Self, String> {
        let bound = listeners::bind(config, cores, steering, estate)?;
        let mut http = http::Http::default();
        let http_threads = http::threads(config, cores);
        let http_bound = http.bind(config, http_threads, clock, estate)?;
        let control_bound = control::bind(config, &mut http, clock, estate)?;
        privileges::become_user(&config.workers.user)?;
        if !config.workers.user.is_empty() {
            http.check_certificates(clock.now().unix_s);
        }
        Ok(Self {
            bound,
            http,
            http_threads,
            http_bound,
            control_bound,
        })
    }
}

impl Tracker {
    /// Binds every listener, then starts one thread a core, and leaves the rights of the process alone. When this returns, requests are
    /// answered; when it fails, nothing is left running. The error is one sentence. `events` learns
    /// when a core ends by itself.
    pub fn start(config: &Config, clock: &Clock, events: &Sender<Event>) -> Result<Self, String> {
        Self::start_after(None, Estate::default(), config, clock, events, None)
    }

    /// The same after another process, if there is an heir: with its sockets, which `estate` has, and its
    /// swarms. Until the heir says that it serves, that process may want all of it back. `restrict`, if the
    /// process is this tracker's alone, is called between what takes rights and the first thread.
    fn start_after(
        mut heir: Option<&mut Heir>,
        mut estate: Estate,
        config: &Config,
        clock: &Clock,
        events: &Sender<Event>,
        restrict: Option<Restrict<'_>>,
    ) -> Result<Self, String> {
        let cpus = cores::choose_cpus(config)?;
        cores::raise_locked_memory();
        let cores = cpus.len();
        let before = heir.as_ref().map(|heir| heir.hello().clone());
        let spread = Spread::choose(config, cores, before.as_ref())?;
        let steering = spread.steering;
        let Grounds {
            bound,
            mut http,
            http_threads,
            http_bound,
            control_bound,
        } = Grounds::bind(config, cores, steering, clock, &mut estate)?;
        http.is_guest = before.is_some();
        let launcher = restrict.map(give_up).transpose()?.flatten();
        if let Some(heir) = &mut heir {
            heir.ask_for_state()?;
        }
        let shelf = store::Shelf::open(config, clock, &mut estate)?;
        let records = shelf.as_ref().and_then(store::Shelf::records);
        let registrar = Registrar::start(config, cores, steering, records, clock)?;
        let doorbells: Vec<Arc<Doorbell>> = (0..cores)
            .map(|_| Doorbell::new().map(Arc::new))
            .collect::<io::Result<_>>()
            .map_err(|error| format!("cannot make an eventfd: {error}"))?;
        let (meshes, counters) = Mesh::between(&doorbells, http_threads);
        // One core at least owns torrents.
        let collector = meshes[0].collector();
        let given_key = before.as_ref().map(|before| before.connection_id_key);
        let key = rules::connection_id_key(config, given_key)?;
        let peer_timeout_s = config.announce.peer_timeout_s();
        let unit_s = Legacy::unit_s(peer_timeout_s);
        let hello = spread.hello(cores, key, unit_s);
        let mut tracker = Self {
            listeners: bound.iter().map(|listener| listener.address).collect(),
            engines: Vec::with_capacity(cores),
            sockets: bound
                .iter()
                .flat_map(|listener| listener.sockets.iter().enumerate())
                .filter_map(|(core, socket)| Some((core, port_owner::inode_of(socket)?)))
                .collect(),
            counters: (0..cores).map(|_| Arc::default()).collect(),
            doorbells,
            stop: Arc::default(),
            threads: Vec::with_capacity(cores),
            http,
            keeper: None,
            chores: None,
            historian: None,
            control: None,
            control_address: control_bound.as_ref().map(|bound| bound.address),
            clock: clock.clone(),
            registrar: Arc::new(registrar),
            errands: Errands::new(collector.clone(), steering),
            collector: collector.clone(),
            holds: Vec::with_capacity(cores),
            succession: Succession::new(hello, estate, launcher, peer_timeout_s),
        };
        let holds = tracker.doorbells.iter().cloned();
        tracker.holds = holds
            .map(|doorbell| Arc::new(Hold::new(doorbell)))
            .collect();
        let rules = rules::rules(config, &tracker.listeners, steering, key, clock.now());
        let access = tracker.registrar.access();
        let origins = store::origins(&mut heir, shelf.as_ref(), (cores, steering), access, clock)?;
        let places = meshes.into_iter().zip(origins).collect();
        let rules_of_cores = (&rules, spread.late());
        let mut got = tracker.start_cores(config, &cpus, bound, places, rules_of_cores, events)?;
        let owed = heir.map(Heir::tell_reading);
        tracker.report_start(config, &cpus);
        if owed.is_some() {
            store::tell_inherited(&got);
            got.clear();
        }
        let store = match shelf {
            Some(shelf) => {
                if owed.is_some() {
                    shelf.sign();
                }
                shelf.close(got, clock)?
            }
            None => None,
        };
        let given = http::Given {
            config,
            rules: &rules,
            access: tracker.registrar.access(),
            cpus: &cpus,
            collector: &collector,
            clock,
            events,
        };
        tracker.http.start(http_bound, counters, &given)?;
        tracker.start_others(config, store, owed)?;
        if let (Some(bound), Some(historian)) = (control_bound, &tracker.historian) {
            let history = Arc::clone(historian.history());
            let given = tracker.shown(config, &bound, collector, steering, history, events);
            tracker.control = Some(bound.start(given)?);
        }
        Ok(tracker)
    }

    /// Starts what keeps, counts and writes. `owed` is what a process before this one, if there was one, was
    /// to credit.
    fn start_others(
        &mut self,
        config: &Config,
        store: Option<crate::store::Store>,
        owed: Option<Vec<takeover::Owed>>,
    ) -> Result<(), String> {
        // Last, as whoever fails before must not write what it has instead of what was.
        if let Some(store) = store {
            let collector = self.collector.clone();
            let keeper = store::keep(store, collector, &self.counters, &self.clock)?;
            if owed.is_some() {
                // What stands there is as old as the last one of the process before.
                keeper.snapshots().soon();
            }
            self.keeper = Some(keeper);
        }
        self.credit_owed(&owed.unwrap_or_default());
        self.chores = Some(chores::Chores::start(
            self.errands.clone(),
            Arc::clone(&self.registrar),
            self.http.bells(),
            self.counters.clone(),
            config.swarm.peer_details && self.registrar.records().is_some(),
        )?);
        let history = Arc::new(History::new(Sources {
            cores: self.counters.clone(),
            http_threads: self.http.counters.clone(),
            records: self.registrar.records().cloned(),
            clock: self.clock.clone(),
        }));
        let failed = |error| format!("cannot start the thread of the history: {error}");
        self.historian = Some(Historian::start(history).map_err(failed)?);
        Ok(())
    }

    /// What the control server sees.
    fn shown(
        &self,
        config: &Config,
        bound: &control::Bound,
        collector: Collector,
        steering: Steering,
        history: Arc<History>,
        events: &Sender<Event>,
    ) -> Given {
        let udp = self
            .listeners
            .iter()
            .map(|listen| format!("udp://{listen}"));
        let http = self.http.urls.iter().cloned();
        Given {
            registrar: Arc::clone(&self.registrar),
            collector,
            errands: self.errands.clone(),
            steering,
            cores: self.counters.clone(),
            http_threads: self.http.counters.clone(),
            history,
            store: self.keeper.as_ref().map(Keeper::counters),
            snapshots: self.keeper.as_ref().map(Keeper::snapshots),
            clock: self.clock.clone(),
            listeners: udp.chain(http).chain([bound.url()]).collect(),
            sockets: self.sockets.clone(),
            certificates: self.http.certificates.clone(),
            backend: self.backend_name(),
            events: events.clone(),
            config: config.clone(),
        }
    }

    fn start_cores(
        &mut self,
        config: &Config,
        cpus: &[usize],
        bound: Vec<Listener>,
        places: Vec<(Mesh, store::Origin)>,
        (rules, steer): (&Rules, Option<Steering>),
        events: &Sender<Event>,
    ) -> Result<Vec<store::Got>, String> {
        let mut sockets: Vec<_> = bound.into_iter().map(|l| l.sockets.into_iter()).collect();
        let (ready, readiness) = bounded::<Result<(Engine, store::Got), String>>(cpus.len());
        let fell_back = Arc::new(AtomicBool::new(false));
        for (core, (mesh, origin)) in places.into_iter().enumerate() {
            let of_core: Vec<_> = sockets.iter_mut().filter_map(Iterator::next).collect();
            let mut swarms = rules::swarms(config, cpus.len())?;
            let random = fastrand::Rng::with_seed(rules::secret()?);
            let counters = Arc::clone(&self.counters[core]);
            let (access, rules) = (Arc::clone(self.registrar.access()), rules.clone());
            let (backend, fell_back) = (config.workers.backend, Arc::clone(&fell_back));
            let (clock, ready) = (self.clock.clone(), ready.clone());
            let (stop, doorbell) = (Arc::clone(&self.stop), Arc::clone(&self.doorbells[core]));
            let hold = Arc::clone(&self.holds[core]);
            // One core does it for all.
            let steer = steer.filter(|_| core == 0);
            let (cpu, events) = (config.workers.pin.then(|| cpus[core]), events.clone());
            let body = move || {
                if let Some(cpu) = cpu {
                    cores::pin(&format!("core {core}"), cpu);
                }
                let begin = || {
                    let ring = cores::open_ring(backend, &fell_back)?;
                    let got = origin.restore(core, rules.steering, &clock, &mut swarms)?;
                    // From here on datagrams are read, and no sooner: they may be another process's.
                    if let Some(steering) = steer {
                        of_core
                            .iter()
                            .try_for_each(|socket| socket::steer(socket, steering))
                            .map_err(|error| error.to_string())?;
                    }
                    let net = Net::new(ring, of_core, doorbell);
                    Ok((net.map_err(|error| error.to_string())?, got))
                };
                match begin() {
                    Err(why) => {
                        let why: String = why;
                        let _ = ready.send(Err(format!("core {core} cannot start: {why}")));
                        None
                    }
                    Ok((net, got)) => {
                        let shard = Shard::new(rules, access, swarms, mesh, counters, random);
                        let _ = ready.send(Ok((net.engine(), got)));
                        drop(ready);
                        let running = Core::new(net, shard, clock).with_hold(hold);
                        let (swarms, ended) = running.run(&stop);
                        // Nobody listens once the tracker is being dropped.
                        let _ =
                            events.send(Event::CoreEnded(core, ended.map_err(|e| e.to_string())));
                        Some(swarms)
                    }
                }
            };
            let thread = thread::Builder::new()
                .name(format!("core-{core}"))
                .spawn(body);
            self.threads
                .push(thread.map_err(|error| format!("cannot start core {core}: {error}"))?);
        }
        // Dropping `self` on an error stops the cores that did start.
        drop(ready);
        let mut all_got = Vec::with_capacity(cpus.len());
        for _ in cpus {
            let unready = |_| Err("a core ended while it started".to_owned());
            let (engine, got) = readiness.recv().unwrap_or_else(unready)?;
            self.engines.push(engine);
            all_got.push(got);
        }
        Ok(all_got)
    }

    fn report_start(&self, config: &Config, cpus: &[usize]) {
        for address in &self.listeners {
            info!("listening on udp://{address}");
        }
        let pinned = if config.workers.pin {
            format!(", pinned to CPU {cpus:?}")
        } else {
            String::new()
        };
        let steered = match (cpus.len(), config.workers.steering) {
            (1, _) => "",
            (_, true) => ", the kernel steers announces by info-hash",
            (_, false) => ", announces are handed over between cores",
        };
        info!(
            "shoal {} runs on {} core{} with the {} backend{pinned}{steered}",
            env!("CARGO_PKG_VERSION"),
            cpus.len(),
            if cpus.len() == 1 { "" } else { "s" },
            self.backend_name(),
        );
        info!(
            "memory: {} bytes a torrent with up to {} IPv4 peers; in larger swarms {} bytes an IPv4 \
             peer, {} an IPv6 peer",
            swarm::TORRENT_BYTES,
            swarm::INLINE_PEERS_V4,
            swarm::PEER_V4_BYTES,
            swarm::PEER_V6_BYTES,
        );
    }

    fn backend_name(&self) -> &'static str {
        match self.engines.as_slice() {
            [first, rest @ ..] if rest.iter().all(|engine| engine == first) => first.name(),
            _ => "io_uring and the mmsg",
        }
    }

    /// Where the tracker listens for UDP, in the order of the configuration, with real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// Where the tracker listens for HTTP and HTTPS over TCP, in the order of the configuration, with
    /// real ports.
    pub fn http_addresses(&self) -> &[SocketAddr] {
        &self.http.addresses
    }

    /// Where the control server listens, with the real port.
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.control_address
    }

    /// What the control server sees of the tracker, if there is one.
    pub fn control(&self) -> Option<&State> {
        self.control.as_ref().map(Server::state)
    }

    /// Reads the lists again, and what else may change while the tracker runs, as `config` says. Every
    /// list that cannot be read stays as it is; the sentences say which, and what takes a restart.
    pub fn reload(&self, config: &Config) -> Vec<String> {
        let sentences = self.registrar.reload(config);
        if let Some(control) = &self.control {
            control.state().reload(config);
        }
        // Everybody takes the new lists now, and lets go of the old.
        self.http.wake();
        for doorbell in &self.doorbells {
            doorbell.ring();
        }
        sentences
    }

    /// Forgets all silent peers soon, instead of one after the other.
    pub fn sweep(&self) {
        if let Some(chores) = &self.chores {
            chores.sweep();
        }
    }

    /// Changes lists, keys and mode.
    pub fn registrar(&self) -> &Arc<Registrar> {
        &self.registrar
    }

    /// A way to ask all cores for their torrents.
    pub fn collector(&self) -> &Collector {
        &self.collector
    }

    /// Reads the certificates again: all of them, or those whose files have changed.
    pub fn reload_certificates(&self, all: bool) {
        let now_unix_s = self.clock.now().unix_s;
        self.http.reload_certificates(all, now_unix_s);
    }

    /// True when there are certificates, whose files may change.
    pub fn has_certificates(&self) -> bool {
        self.http.has_certificates()
    }

    /// The way to look at swarms, to forget them and more, from any thread.
    pub fn errands(&self) -> Errands {
        self.errands.clone()
    }

    /// How datagrams come and go on each core.
    pub fn engines(&self) -> &[Engine] {
        &self.engines
    }

    /// The counters of each core.
    pub fn cores(&self) -> Vec<Totals> {
        self.counters
            .iter()
            .map(|counters| counters.read())
            .collect()
    }

    /// The counters of each HTTP thread.
    pub fn http_threads(&self) -> Vec<Totals> {
        self.http.counters.iter().map(|c| c.read()).collect()
    }

    /// How often each HTTP thread has looked around, as an idle one does only when it is woken: all of
    /// them are woken for the next time that this is asked.
    pub fn http_beats(&self) -> Vec<u64> {
        let beats = self.http.beats();
        self.http.wake();
        beats
    }

    /// The counters of all cores and HTTP threads together.
    pub fn totals(&self) -> Totals {
        self.cores().into_iter().chain(self.http_threads()).sum()
    }

    /// What the store counts; nothing without a store.
    pub fn store(&self) -> Option<StoreTotals> {
        self.keeper.as_ref().map(Keeper::totals)
    }

    /// Datagrams that the kernel dropped because a socket's queue was full. While the kernel sieves, what it
    /// sieved in the last second is among them.
    pub fn kernel_drops(&self) -> u64 {
        let inodes: Vec<u64> = self.sockets.iter().map(|(_, inode)| *inode).collect();
        let cores: Totals = self.cores().into_iter().sum();
        port_owner::kernel_drops(&inodes).saturating_sub(cores.tally(Tally::Sieved))
    }

    /// Stops every core, waits for its thread, and then for the last snapshot.
    pub fn stop(mut self) -> Result<(), String> {
        self.join()
    }

    /// Tells everybody to stop, and does not wait.
    pub fn begin_to_stop(&self) {
        if let Some(control) = &self.control {
            control.begin_to_stop();
        }
        self.http.begin_to_stop();
        if self.http.counters.is_empty() {
            self.stop_cores();
        }
    }

    /// Cores go last: HTTP threads still wait for answers.
    fn stop_cores(&self) {
        self.stop.store(true, Ordering::Relaxed);
        for doorbell in &self.doorbells {
            doorbell.ring();
        }
    }

    fn join(&mut self) -> Result<(), String> {
        self.settle_succession();
        if let Some(keeper) = &self.keeper {
            keeper.stop();
        }
        let control_ended_well = self.control.take().is_none_or(Server::join);
        let http_ended_well = self.http.join();
        self.stop_cores();
        let ended: Vec<_> = self.threads.drain(..).map(JoinHandle::join).collect();
        let cores_ended_well = ended.iter().all(Result::is_ok);
        let mut swarms: Vec<_> = ended.into_iter().filter_map(Result::ok).flatten().collect();
        if let Some(chores) = self.chores.take() {
            chores.finish(&self.registrar, &mut swarms);
        }
        if let Some(historian) = self.historian.take() {
            historian.finish();
        }
        if let Some(keeper) = self.keeper.take() {
            // What went wrong has been logged; it is no reason to call the end a failure.
            keeper.finish(swarms);
        }
        let ended_well = [
            (cores_ended_well, "a core"),
            (http_ended_well, "an HTTP thread"),
            (control_ended_well, "the control server"),
        ];
        match ended_well.iter().find(|(well, _)| !well) {
            None => Ok(()),
            Some((_, who)) => Err(format!("{who} panicked")),
        }
    }
}

/// Gives up the rights of this process, and returns who keeps those to start the one after it.
fn give_up(restrict: Restrict<'_>) -> Result<Option<Arc<Launcher>>, String> {
    let launcher = Launcher::start();
    restrict()?;
    match launcher {
        Ok(launcher) => Ok(Some(Arc::new(launcher))),
        Err(error) => {
            warn!("SIGUSR2 will not restart this tracker: no launcher can be started: {error}");
            Ok(None)
        }
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        // Whoever wants to know calls `stop`.
        let _ = self.join();
    }
}
