//! Once warm, a datagram costs no allocation, whatever it asks for and whoever answers it; nor does a
//! request of HTTP over a connection that stays.

mod http;
mod in_process;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use http::{Browser, announce, escaped, http_config, scrape};
use in_process::{Announce, BACKENDS, Server, config, connect_request, listener, scrape_request};

/// Counts the allocations of the tracker's threads; those of the test's own are not of interest.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
#[allow(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, len) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static IS_TEST: bool = std::thread::current()
        .name()
        .is_none_or(|name| !name.starts_with("core-") && !name.starts_with("http-"));
}

fn count() {
    // Asking for the thread's name may allocate itself: only the first time, before it is warm.
    if IS_TEST.try_with(|is_test| !is_test).unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

/// One tracker at a time, since all count together.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_warm_tracker_allocates_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for backend in BACKENDS {
        for (count, steering) in [(1, true), (2, true), (2, false)] {
            let mut config = config();
            config.udp = vec![listener("127.0.0.1:0"), listener("[::1]:0")];
            config.workers.backend = backend;
            config.workers.count = count;
            config.workers.steering = steering;
            let server = Server::start(&config);
            let clients: Vec<_> = server
                .tracker
                .addresses()
                .iter()
                .map(|address| in_process::Client::of(*address))
                .map(|client| (client.connect(), client))
                .collect();
            let hashes: Vec<[u8; 20]> = (0..74).map(|n| [n * 3; 20]).collect();
            let everything = |datagrams: &mut u32| {
                for (id, client) in &clients {
                    for torrent in &hashes {
                        for port in 1..=6 {
                            client.announce(*id, Announce::leecher(*torrent, port));
                            client.announce(*id, Announce::seeder(*torrent, port + 3));
                        }
                        client.announce(*id, Announce::leecher(*torrent, 9).stopped());
                        client.announce(*id, Announce::leecher(*torrent, 0x1ae1).stopped());
                        *datagrams += 14;
                    }
                    client.ask(&scrape_request(*id, &hashes));
                    client.ask(&connect_request(5));
                    client.ask(&Announce::leecher([1; 20], 0).to_bytes(*id));
                    client.send(&[1; 99]);
                    client.send(&[0; 3]);
                    *datagrams += 5;
                }
            };
            let mut datagrams = 0;
            everything(&mut datagrams);
            everything(&mut datagrams);
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            datagrams = 0;
            for _ in 0..5 {
                everything(&mut datagrams);
            }
            let allocated = ALLOCATIONS.load(Ordering::Relaxed) - before;
            assert_eq!(
                allocated, 0,
                "allocations for {datagrams} datagrams with {config:?}"
            );
            assert!(before > 0, "the allocations of the start were counted");
        }
    }
}

#[test]
fn a_warm_connection_allocates_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for backend in BACKENDS {
        for (count, details) in [(1, false), (2, true)] {
            let mut config = http_config(backend);
            config.workers.count = count;
            config.swarm.peer_details = details;
            let server = Server::start(&config);
            let mut browsers = [(); 4].map(|()| Browser::of(server.http_address()));
            let hashes: Vec<[u8; 20]> = (0..74).map(|n| [n * 3; 20]).collect();
            let all = scrape(&hashes);
            let mut everything = || {
                let mut requests = 0;
                for browser in &mut browsers {
                    for torrent in &hashes[..24] {
                        let hash = escaped(torrent);
                        for port in 1..=6 {
                            browser.get(&announce(&hash, port, 5, "started"));
                            let seeder = announce(&hash, port + 3, 0, "");
                            browser.get(&seeder.replace("compact=1", "compact=0"));
                        }
                        browser.get(&announce(&hash, 9, 5, "stopped"));
                        requests += 13;
                    }
                    browser.get(&all);
                    browser.get_with(&all, "Accept-Encoding: gzip\r\n");
                    browser.get_with(&all, "Accept-Encoding: zstd\r\n");
                    browser.get(&scrape(&hashes[..1]));
                    browser.get(&announce("short", 1, 0, ""));
                    browser.get("/health_check");
                    browser.get("/nowhere");
                    requests += 7;
                }
                requests
            };
            everything();
            everything();
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            let requests: u64 = (0..5).map(|_| everything()).sum();
            let allocated = ALLOCATIONS.load(Ordering::Relaxed) - before;
            assert_eq!(
                allocated, 0,
                "allocations for {requests} requests with {config:?}"
            );
            assert!(before > 0, "the allocations of the start were counted");
        }
    }
}
