//! The start, told in order: cores, sockets, privileges, threads; and the end.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Sender, bounded};
use log::{info, warn};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::clock::Clock;
use crate::config::{Backend, Config};
use crate::control::{self, Event};
use crate::counters::{CoreCounters, Totals};
use crate::gate::address_policy::AddressPolicy;
use crate::gate::connection_id::ConnectionIds;
use crate::net::socket::{self, Listener, SocketOptions};
use crate::net::steering::Steering;
use crate::net::{Doorbell, Engine, Net, OpenRing, port_owner};
use crate::privileges;
use crate::shard::{Core, Mesh, Rules, Shard};
use crate::swarm::{self, Swarms};

/// Runs a tracker until a signal ends it. Every failure has been logged when this returns.
pub fn run(config: &Config) -> ExitCode {
    control::exit_on_panic();
    let done = control::Signals::catch()
        .map_err(|error| format!("cannot catch signals: {error}"))
        .and_then(|signals| {
            let tracker = Tracker::start(config, &Clock::start(), &signals.events())?;
            control::run(tracker, &signals, config.log.stats_interval)
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            log::error!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

/// A running tracker. Dropping it stops it.
pub struct Tracker {
    listeners: Vec<SocketAddr>,
    engines: Vec<Engine>,
    inodes: Vec<u64>,
    counters: Vec<Arc<CoreCounters>>,
    doorbells: Vec<Arc<Doorbell>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Tracker {
    /// Binds every listener, then starts one thread a core. When this returns, requests are
    /// answered; when it fails, nothing is left running. The error is one sentence. `events` learns
    /// when a core ends by itself.
    pub fn start(config: &Config, clock: &Clock, events: &Sender<Event>) -> Result<Self, String> {
        let cpus = choose_cpus(config)?;
        let cores = cpus.len();
        let steering = Steering::new(secret()?, cores);
        let bound = bind(config, cores, steering)?;
        privileges::become_user(&config.workers.user)?;

        let doorbells: Vec<Arc<Doorbell>> = (0..cores)
            .map(|_| Doorbell::new().map(Arc::new))
            .collect::<io::Result<_>>()
            .map_err(|error| format!("cannot make an eventfd: {error}"))?;
        let mut tracker = Self {
            listeners: bound.iter().map(|listener| listener.address).collect(),
            engines: Vec::with_capacity(cores),
            inodes: bound
                .iter()
                .flat_map(|l| &l.sockets)
                .filter_map(port_owner::inode_of)
                .collect(),
            counters: (0..cores).map(|_| Arc::default()).collect(),
            doorbells,
            stop: Arc::default(),
            threads: Vec::with_capacity(cores),
        };
        let rules = rules(config, steering)?;
        tracker.start_cores(config, &cpus, bound, &rules, clock, events)?;
        tracker.report_start(config, &cpus);
        Ok(tracker)
    }

    fn start_cores(
        &mut self,
        config: &Config,
        cpus: &[usize],
        bound: Vec<Listener>,
        rules: &Rules,
        clock: &Clock,
        events: &Sender<Event>,
    ) -> Result<(), String> {
        let mut sockets: Vec<_> = bound.into_iter().map(|l| l.sockets.into_iter()).collect();
        let (ready, readiness) = bounded::<Result<Engine, String>>(cpus.len());
        let fell_back = Arc::new(AtomicBool::new(false));
        for (core, mesh) in Mesh::between(&self.doorbells).into_iter().enumerate() {
            let of_core = sockets.iter_mut().filter_map(Iterator::next).collect();
            let swarms = Swarms::new(swarm_settings(config, cpus.len())?);
            let random = fastrand::Rng::with_seed(secret()?);
            let counters = Arc::clone(&self.counters[core]);
            let shard = Shard::new(rules.clone(), swarms, mesh, counters, random);
            let (backend, fell_back) = (config.workers.backend, Arc::clone(&fell_back));
            let (clock, ready) = (clock.clone(), ready.clone());
            let (stop, doorbell) = (Arc::clone(&self.stop), Arc::clone(&self.doorbells[core]));
            let (cpu, events) = (config.workers.pin.then(|| cpus[core]), events.clone());
            let body = move || {
                if let Some(cpu) = cpu {
                    pin(core, cpu);
                }
                match open_net(backend, of_core, doorbell, &fell_back) {
                    Err(why) => {
                        let _ = ready.send(Err(format!("core {core} cannot start: {why}")));
                    }
                    Ok(net) => {
                        let _ = ready.send(Ok(net.engine()));
                        drop(ready);
                        let ended = Core::new(net, shard, clock).run(&stop);
                        // Nobody listens once the tracker is being dropped.
                        let _ =
                            events.send(Event::CoreEnded(core, ended.map_err(|e| e.to_string())));
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
        for _ in cpus {
            let unready = |_| Err("a core ended while it started".to_owned());
            self.engines.push(readiness.recv().unwrap_or_else(unready)?);
        }
        Ok(())
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

    /// Where the tracker listens, in the order of the configuration, with real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.listeners
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

    /// The counters of all cores together.
    pub fn totals(&self) -> Totals {
        self.cores().into_iter().sum()
    }

    /// Datagrams that the kernel dropped because a socket's queue was full.
    pub fn kernel_drops(&self) -> u64 {
        port_owner::kernel_drops(&self.inodes)
    }

    /// Stops every core and waits for its thread.
    pub fn stop(mut self) -> Result<(), String> {
        self.join()
    }

    fn join(&mut self) -> Result<(), String> {
        self.stop.store(true, Ordering::Relaxed);
        for doorbell in &self.doorbells {
            doorbell.ring();
        }
        let ended: Vec<_> = self.threads.drain(..).map(JoinHandle::join).collect();
        if ended.iter().all(Result::is_ok) {
            Ok(())
        } else {
            Err("a core panicked".to_owned())
        }
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        // Whoever wants to know calls `stop`.
        let _ = self.join();
    }
}

/// The CPUs that cores run on: the first `workers.count` of those that this process may use.
fn choose_cpus(config: &Config) -> Result<Vec<usize>, String> {
    let allowed = sched_getaffinity(Pid::from_raw(0))
        .map_err(|error| format!("cannot ask which CPUs this process may use: {error}"))?;
    let allowed: Vec<usize> = (0..CpuSet::count())
        .filter(|&cpu| allowed.is_set(cpu).unwrap_or(false))
        .collect();
    let count = match config.workers.count {
        0 => allowed.len().min(crate::limits::CORES_MAX),
        count => count,
    };
    if count > allowed.len() {
        warn!(
            "workers.count is {count}, but this process may use only {} CPUs: cores will share them",
            allowed.len()
        );
    }
    Ok(allowed.into_iter().cycle().take(count).collect())
}

fn pin(core: usize, cpu: usize) {
    let mut set = CpuSet::new();
    let pinned = set
        .set(cpu)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
    if let Err(error) = pinned {
        warn!("core {core} is not pinned to CPU {cpu}: {error}");
    }
}

/// Opens the way to the kernel, on the thread of a core. With "auto" a core that cannot have a ring does
/// without; the first to do so says it for all. The error is a sentence.
fn open_net(
    backend: Backend,
    sockets: Vec<UdpSocket>,
    doorbell: Arc<Doorbell>,
    fell_back: &AtomicBool,
) -> Result<Net, String> {
    let ring = match backend {
        Backend::Mmsg => None,
        Backend::IoUring | Backend::Auto => match OpenRing::new() {
            Ok(ring) => Some(ring),
            Err(error) if backend == Backend::IoUring => {
                return Err(format!(
                    "workers.backend is \"io_uring\", but this kernel refuses it: {}; \
                     set \"auto\" or \"mmsg\"",
                    why_no_ring(&error)
                ));
            }
            Err(error) => {
                if !fell_back.swap(true, Ordering::Relaxed) {
                    let why = why_no_ring(&error);
                    warn!("io_uring is not available: {why}; falling back to the mmsg backend");
                }
                None
            }
        },
    };
    Net::new(ring, sockets, doorbell).map_err(|error| error.to_string())
}

fn why_no_ring(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOMEM) => format!("{error}, more locked memory (RLIMIT_MEMLOCK) may help"),
        Some(libc::EPERM) => format!("{error}, by seccomp or the sysctl kernel.io_uring_disabled"),
        Some(libc::ENOSYS | libc::EINVAL) => format!("{error}, it takes Linux 6.1"),
        _ => error.to_string(),
    }
}

/// Binds all listeners or none. A default listener whose address family the host lacks is left out.
fn bind(config: &Config, cores: usize, steering: Steering) -> Result<Vec<Listener>, String> {
    let wanted = usize::try_from(config.workers.receive_buffer).unwrap_or(usize::MAX);
    let options = SocketOptions {
        cores,
        receive_buffer: wanted,
        steering: (config.workers.steering && cores > 1).then_some(steering),
    };
    let mut bound: Vec<Listener> = Vec::new();
    for listener in &config.udp {
        match socket::bind(listener.listen, &options) {
            Ok(sockets) => bound.push(sockets),
            Err(sentence) if !listener.required && socket::lacks_family(listener.listen) => {
                warn!("{sentence}; going on without it");
            }
            Err(sentence) => return Err(sentence),
        }
    }
    // The kernel reports twice what it was asked for: its own bookkeeping counts too.
    let granted = bound
        .iter()
        .map(|l| l.receive_buffer / 2)
        .min()
        .ok_or("no listener is left")?;
    if granted < wanted {
        warn!(
            "sockets queue {granted} bytes instead of workers.receive_buffer = {wanted}: \
             raise the sysctl net.core.rmem_max or give the process CAP_NET_ADMIN"
        );
    }
    Ok(bound)
}

fn rules(config: &Config, steering: Steering) -> Result<Rules, String> {
    let mut key = [0; 16];
    fill_with_secret(&mut key)?;
    let external = &config.announce.external_ip;
    Ok(Rules {
        connection_ids: ConnectionIds::new(key, config.access.connection_id_lifetime),
        addresses: AddressPolicy {
            allow_private: config.announce.allow_private_peers,
            ignored: config.announce.ignore_ip.clone(),
            external_v4: external.iter().find_map(|ip| match ip {
                std::net::IpAddr::V4(v4) => Some(*v4),
                std::net::IpAddr::V6(_) => None,
            }),
            external_v6: external.iter().find_map(|ip| match ip {
                std::net::IpAddr::V6(v6) => Some(*v6),
                std::net::IpAddr::V4(_) => None,
            }),
        },
        steering,
        interval_s: config.announce.interval,
        peer_timeout_s: config.announce.peer_timeout_s(),
        numwant: config.announce.numwant,
        numwant_max: config.announce.numwant_max,
        scrape_hashes_max: config.scrape.max_hashes,
        prefetch: config.workers.prefetch,
    })
}

fn swarm_settings(config: &Config, cores: usize) -> Result<swarm::Settings, String> {
    let budget = usize::try_from(config.swarm.memory_budget).unwrap_or(usize::MAX);
    Ok(swarm::Settings {
        seeds: [secret()?, secret()?, secret()?, secret()?],
        peer_timeout_s: config.announce.peer_timeout_s(),
        remove_peerless: config.swarm.remove_peerless,
        memory_budget: (budget > 0).then_some(budget / cores),
    })
}

fn secret() -> Result<u64, String> {
    let mut bytes = [0; 8];
    fill_with_secret(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

fn fill_with_secret(bytes: &mut [u8]) -> Result<(), String> {
    getrandom::fill(bytes).map_err(|error| format!("the kernel gives no random numbers: {error}"))
}
