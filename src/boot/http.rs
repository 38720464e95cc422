//! The HTTP side of the start: doors, threads, and how many connections there may be.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use arc_swap::ArcSwap;
use crossbeam_channel::{Sender, bounded};
use log::{info, warn};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::Socket;
use tokio::sync::watch;

use super::cores;
use super::listeners;
use super::takeover::{Doors, Estate, Kind};
use crate::clock::Clock;
use crate::config::{Config, HttpAddress, HttpListener, ProxyHeader, TlsFiles};
use crate::control::Event;
use crate::counters::ThreadCounters;
use crate::gate::access::Access;
use crate::http::tls::{Reload, Tls};
use crate::http::{self, Door, FullScrapeRules, FullScrapes, Parts, Pause};
use crate::net::tcp::{self, SocketFile, TcpListener};
use crate::shard::{self, Collector, Counter};
use crate::wire::http::forwarded::ForwardedHeader;

/// Open files of a thread beside its sockets: what it waits at, and what wakes it.
const FILES_A_THREAD: usize = 8;

/// Open files that may come later: the store, certificates that are read again, what reads `/proc`.
const SPARE_FILES: usize = 64;

/// A listener before its threads run.
pub(super) struct Bound {
    address: HttpAddress,
    /// One a thread; a Unix socket has one in all.
    sockets: Vec<Socket>,
    door: Arc<Door>,
}

/// Wakes the HTTP threads; each then takes the lists that are in force, and lets go of others.
pub(super) struct Bells(Vec<Counter>);

impl Bells {
    pub(super) fn ring(&self) {
        for counter in &self.0 {
            counter.desk().ring();
        }
    }
}

/// The HTTP threads of a tracker, and what they share.
#[derive(Default)]
pub(super) struct Http {
    /// Where TCP listeners are bound, in the order of the configuration, with real ports.
    pub(super) addresses: Vec<SocketAddr>,
    /// What each thread counts.
    pub(super) counters: Vec<Arc<ThreadCounters>>,
    files: Vec<SocketFile>,
    /// Those of all listeners, the control server's among them.
    pub(super) certificates: Vec<Arc<Tls>>,
    desks: Vec<Counter>,
    /// What each thread makes grow after its desk was rung.
    beats: Vec<Arc<AtomicU64>>,
    stop: Arc<AtomicBool>,
    pause: Arc<Pause>,
    /// True while the listening sockets may be needed by another process: at the end they are let go of and
    /// not closed.
    pub(super) is_guest: bool,
    threads: Vec<JoinHandle<()>>,
    full_scrapes: Option<(Arc<FullScrapes>, JoinHandle<()>)>,
    /// What each listener is called, with real ports.
    pub(super) urls: Vec<String>,
}

/// What the threads are started with.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) config: &'a Config,
    pub(super) rules: &'a shard::Rules,
    pub(super) access: &'a Arc<ArcSwap<Access>>,
    pub(super) cpus: &'a [usize],
    pub(super) collector: &'a Collector,
    pub(super) clock: &'a Clock,
    pub(super) events: &'a Sender<Event>,
}

/// How many HTTP threads there are beside `cores` cores.
pub(super) fn threads(config: &Config, cores: usize) -> usize {
    match (config.http.is_empty(), config.workers.http_threads) {
        (true, _) => 0,
        (false, 0) => cores,
        (false, threads) => threads,
    }
}

impl Http {
    /// Binds every listener, or takes it over from a process before this one, and reads every certificate.
    pub(super) fn bind(
        &mut self,
        config: &Config,
        threads: usize,
        clock: &Clock,
        estate: &mut Estate,
    ) -> Result<Vec<Bound>, String> {
        let mut bound: Vec<Bound> = Vec::new();
        for listener in &config.http {
            let door = self.door(config, listener, clock)?;
            let sockets = match &listener.listen {
                HttpAddress::Unix(path) => {
                    let unix = match estate.take(Kind::Http, &listener.listen).pop() {
                        Some(inherited) => tcp::adopt_unix(inherited.into(), path)?,
                        None => tcp::bind_unix(path)?,
                    };
                    self.files.push(unix.file);
                    vec![unix.socket]
                }
                HttpAddress::Tcp(address) => {
                    listeners::refuse_covered("http", *address, &self.addresses)?;
                    let patience_s = config.connections.request_timeout;
                    match listeners::bind_tcp(Kind::Http, *address, threads, patience_s, estate) {
                        Ok(TcpListener { address, sockets }) => {
                            self.addresses.push(address);
                            sockets
                        }
                        Err(sentence)
                            if !listener.required && listeners::lacks_family(*address) =>
                        {
                            warn!("{sentence}; going on without it");
                            continue;
                        }
                        Err(sentence) => return Err(sentence),
                    }
                }
            };
            for socket in &sockets {
                let name: &dyn std::fmt::Display = match &listener.listen {
                    HttpAddress::Tcp(address) => address,
                    unix @ HttpAddress::Unix(_) => unix,
                };
                estate.keep(Kind::Http, &name, socket);
            }
            let address = match (&listener.listen, self.addresses.last()) {
                (HttpAddress::Tcp(_), Some(real)) => HttpAddress::Tcp(*real),
                (named, _) => named.clone(),
            };
            bound.push(Bound {
                address,
                sockets,
                door,
            });
        }
        Ok(bound)
    }

    /// Reads a certificate, and reads it again from now on when its files change.
    pub(super) fn certificate(
        &mut self,
        files: &TlsFiles,
        clock: &Clock,
    ) -> Result<Arc<Tls>, String> {
        let now_unix_s = clock.now().unix_s;
        let tls = Arc::new(Tls::load(files, now_unix_s)?);
        if let Some(warning) = tls.expiry_warning(now_unix_s) {
            warn!("{warning}");
        }
        self.certificates.push(Arc::clone(&tls));
        Ok(tls)
    }

    fn door(
        &mut self,
        config: &Config,
        listener: &HttpListener,
        clock: &Clock,
    ) -> Result<Arc<Door>, String> {
        let tls = match &listener.tls {
            None => None,
            Some(files) => Some(self.certificate(files, clock)?),
        };
        let header = listener.proxy.as_ref().and_then(|proxy| proxy.header);
        let proxy_header = header.map(|header| match header {
            ProxyHeader::XForwardedFor => ForwardedHeader::XForwardedFor,
            ProxyHeader::XRealIp => ForwardedHeader::XRealIp,
            ProxyHeader::Forwarded => ForwardedHeader::Forwarded,
        });
        Ok(Arc::new(Door {
            tls,
            redirect_to: listener.redirect_to.clone(),
            proxy_header,
            proxy_protocol: listener.proxy_protocol,
            trusted: listener.trusted_proxies(),
            // Behind a proxy the address that was asked is the proxy's affair.
            needs_local: proxy_header.is_none() && !config.announce.external_ip.is_empty(),
        }))
    }

    /// Starts the threads; when this returns, they answer.
    pub(super) fn start(
        &mut self,
        bound: Vec<Bound>,
        counters: Vec<Counter>,
        given: &Given<'_>,
    ) -> Result<(), String> {
        let Given {
            config,
            rules,
            access,
            cpus,
            clock,
            events,
            ..
        } = *given;
        if counters.is_empty() {
            return Ok(());
        }
        if config.scrape.full {
            let rules = FullScrapeRules {
                downloaders: config.scrape.downloaders,
                min_request_interval_s: config.scrape.min_request_interval,
            };
            let started = FullScrapes::start(rules, given.collector.clone(), clock.clone());
            let why = |error| format!("cannot start the thread of full scrapes: {error}");
            self.full_scrapes = Some(started.map_err(why)?);
        }
        let rules = Arc::new(http_rules(config, rules));
        let threads = counters.len();
        // Each thread holds its sockets twice, to close them while its executor has them.
        let sockets: usize = bound.iter().map(|bound| bound.sockets.len()).sum();
        let other_files = open_files() + sockets + threads * FILES_A_THREAD + SPARE_FILES;
        let connections_max = connections_max(config, other_files).div_ceil(threads);
        let mut listeners: Vec<Vec<(Socket, Arc<Door>)>> = Vec::new();
        listeners.resize_with(threads, Vec::new);
        for (row, bound) in bound.into_iter().enumerate() {
            let first = if bound.sockets.len() == 1 { row } else { 0 };
            info!("listening on {}", bound.name());
            self.urls.push(bound.name());
            for (at, socket) in bound.sockets.into_iter().enumerate() {
                listeners[(first + at) % threads].push((socket, Arc::clone(&bound.door)));
            }
        }
        self.desks.clone_from(&counters);
        self.counters = (0..threads).map(|_| Arc::default()).collect();
        self.beats = (0..threads).map(|_| Arc::default()).collect();
        let (ready, readiness) = bounded(threads);
        for (number, (counter, listeners)) in counters.into_iter().zip(listeners).enumerate() {
            let parts = Parts {
                listeners,
                rules: Arc::clone(&rules),
                access: Arc::clone(access),
                counter,
                counters: Arc::clone(&self.counters[number]),
                full_scrapes: self.full_scrapes.as_ref().map(|(s, _)| Arc::clone(s)),
                clock: clock.clone(),
                events: events.clone(),
                stop: Arc::clone(&self.stop),
                beats: Arc::clone(&self.beats[number]),
                pause: Arc::clone(&self.pause),
                connections_max,
                idle_timeout_s: config.connections.idle_timeout,
                request_timeout_s: config.connections.request_timeout,
            };
            let cpu = config.workers.pin.then(|| cpus[number % cpus.len()]);
            let (ready, events) = (ready.clone(), events.clone());
            let body = move || run(number, cpu, parts, &ready, &events);
            let thread = thread::Builder::new()
                .name(format!("http-{number}"))
                .spawn(body)
                .map_err(|error| format!("cannot start HTTP thread {number}: {error}"))?;
            self.threads.push(thread);
        }
        drop(ready);
        for _ in 0..threads {
            let unready = |_| Err("an HTTP thread ended while it started".to_owned());
            readiness.recv().unwrap_or_else(unready)?;
        }
        let (wanted, room) = (config.connections.max, connections_max * threads);
        let capped = if room < wanted {
            format!(
                " (connections.max is {wanted}, but this process may open no more files: \
                 LimitNOFILE of systemd, ulimit -n)"
            )
        } else {
            String::new()
        };
        info!(
            "HTTP runs on {threads} thread{}, for up to {room} connections{capped}",
            if threads == 1 { "" } else { "s" },
        );
        Ok(())
    }

    /// True when there is a certificate that may change.
    pub(super) fn has_certificates(&self) -> bool {
        !self.certificates.is_empty()
    }

    /// Warns, once the user has changed, when a renewed certificate could not be read.
    pub(super) fn check_certificates(&self, now_unix_s: u64) {
        for tls in &self.certificates {
            if let Err(sentence) = tls.reload(now_unix_s) {
                warn!("{sentence}; a renewed certificate would take a restart");
            }
        }
    }

    /// Reads the certificates again: all of them, or those whose files have changed. What cannot be
    /// used is logged, and the old one stays.
    pub(super) fn reload_certificates(&self, all: bool, now_unix_s: u64) {
        for tls in &self.certificates {
            if !all && !tls.files_changed() {
                continue;
            }
            match tls.reload(now_unix_s) {
                Ok(Reload::Replaced) => info!("the certificate was replaced"),
                Ok(Reload::Unchanged) => {}
                Err(sentence) => warn!("{sentence}; the old certificate stays in use"),
            }
            if let Some(warning) = tls.expiry_warning(now_unix_s) {
                warn!("{warning}");
            }
        }
    }

    /// Tells every thread to stop, and does not wait.
    pub(super) fn begin_to_stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Lets every thread look around.
    pub(super) fn wake(&self) {
        self.bells().ring();
    }

    /// How often each thread has looked around. One that goes on has done it again soon after
    /// [`Self::wake`].
    pub(super) fn beats(&self) -> Vec<u64> {
        let read = |beats: &Arc<AtomicU64>| beats.load(Ordering::Relaxed);
        self.beats.iter().map(read).collect()
    }

    /// What wakes every thread.
    pub(super) fn bells(&self) -> Bells {
        Bells(self.desks.clone())
    }

    /// What lets somebody in, the control server's listener beside it.
    pub(super) fn doors(&self, control: Option<watch::Sender<bool>>) -> Doors {
        Doors {
            pause: Arc::clone(&self.pause),
            bells: self.bells(),
            http_threads: self.threads.len(),
            control,
        }
    }

    /// Waits for the threads. False when one panicked.
    pub(super) fn join(&mut self) -> bool {
        if self.is_guest {
            self.pause.set(true);
            self.files.drain(..).for_each(SocketFile::leave);
        }
        self.begin_to_stop();
        let mut ended: Vec<_> = self.threads.drain(..).map(JoinHandle::join).collect();
        if let Some((full_scrapes, thread)) = self.full_scrapes.take() {
            full_scrapes.stop();
            ended.push(thread.join());
        }
        self.files.clear();
        ended.iter().all(Result::is_ok)
    }
}

impl Bound {
    fn name(&self) -> String {
        match (&self.address, &self.door.tls) {
            (HttpAddress::Unix(_), _) => self.address.to_string(),
            (HttpAddress::Tcp(_), None) => format!("http://{}", self.address),
            (HttpAddress::Tcp(_), Some(_)) => format!("https://{}", self.address),
        }
    }
}

type Readiness = Result<(), String>;

/// The body of one thread.
fn run(
    number: usize,
    cpu: Option<usize>,
    parts: Parts,
    ready: &Sender<Readiness>,
    events: &Sender<Event>,
) {
    if let Some(cpu) = cpu {
        cores::pin(&format!("HTTP thread {number}"), cpu);
    }
    match http::runtime() {
        Err(why) => {
            let _ = ready.send(Err(format!("HTTP thread {number} cannot start: {why}")));
        }
        Ok(runtime) => {
            let _ = ready.send(Ok(()));
            let ended = http::run(&runtime, parts).map_err(|error| error.to_string());
            // Nobody listens once the tracker is being dropped.
            let _ = events.send(Event::HttpEnded(number, ended));
        }
    }
}

fn http_rules(config: &Config, rules: &shard::Rules) -> http::Rules {
    http::Rules {
        shard: rules.clone(),
        min_interval_s: config.announce.min_interval_s(),
        tracker_id: config.announce.tracker_id.clone(),
        warning: config.announce.warning.clone(),
        tell_external_ip: config.announce.tell_external_ip,
        downloaders: config.scrape.downloaders,
        min_request_interval_s: config.scrape.min_request_interval,
        run_gc_key: config.control.run_gc_key.clone(),
    }
}

/// How many files are open now.
fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// How many connections the limit of open files leaves room for beside `other_files`; it is raised as
/// far as it may be.
fn connections_max(config: &Config, other_files: usize) -> usize {
    let wanted = config.connections.max;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return wanted;
    };
    let needed = (wanted + other_files) as u64;
    let raised = needed.min(hard).max(soft);
    let files = match setrlimit(Resource::RLIMIT_NOFILE, raised, hard) {
        Ok(()) => raised,
        Err(_) => soft,
    };
    let room = usize::try_from(files)
        .unwrap_or(usize::MAX)
        .saturating_sub(other_files)
        .max(1);
    wanted.min(room)
}
