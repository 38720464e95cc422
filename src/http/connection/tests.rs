//! Connections of a thread whose core does not answer: what becomes of those who wait for a form.

use std::io::Write as _;
use std::os::unix::net::UnixStream as Peer;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam_channel::unbounded;
use tokio::net::UnixStream;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::super::thread::{Parts, runtime};
use super::*;
use crate::clock::Clock;
use crate::config::Secret;
use crate::counters::{Family, Kind, Tally, ThreadCounters};
use crate::gate::access::Access;
use crate::gate::connection_id::ConnectionIds;
use crate::gate::flood::Limits;
use crate::http::Rules;
use crate::net::Doorbell;
use crate::net::steering::Steering;
use crate::request_log::RequestLog;
use crate::shard::{self, Mesh};

const REQUEST_S: u32 = 10;

/// A thread without a free form, its clock and its core. One announce a second is what a source may.
struct Scene {
    thread: Rc<Thread>,
    clock: Clock,
    core: Mesh,
    #[expect(clippy::vec_box, reason = "a form is a box everywhere")]
    forms: Vec<Box<Ask>>,
}

impl Scene {
    fn new() -> Self {
        let doorbells = [Arc::new(Doorbell::new().unwrap())];
        let (mut cores, mut counters) = Mesh::between(&doorbells, 1);
        let clock = Clock::start();
        let flood = Limits {
            per_source: 1,
            burst_s: 1,
            ..Limits::default()
        };
        let access = Access {
            flood,
            ..Access::default()
        };
        let (thread, _) = Thread::new(Parts {
            listeners: Vec::new(),
            rules: Arc::new(rules()),
            access: Arc::new(ArcSwap::from_pointee(access)),
            counter: counters.remove(0),
            counters: Arc::new(ThreadCounters::default()),
            full_scrapes: None,
            clock: clock.clone(),
            events: unbounded().0,
            stop: Arc::default(),
            beats: Arc::default(),
            pause: Arc::default(),
            connections_max: 10,
            idle_timeout_s: 30,
            request_timeout_s: REQUEST_S,
        });
        let forms = std::iter::from_fn(|| thread.asks.blank()).collect();
        Self {
            thread,
            clock,
            core: cores.remove(0),
            forms,
        }
    }

    /// A client whose announce has come, and for which there is no form.
    async fn waiting_client(&self) -> Peer {
        let (mut peer, stream) = Peer::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        let connection = Connection::new(
            Rc::clone(&self.thread),
            Arc::new(door()),
            self.thread.connections.enter().unwrap().0,
            Client {
                peer: Some([11, 0, 0, 7].into()),
                local: None,
            },
            Protocol::Http,
            UnixStream::from_std(stream).unwrap(),
        );
        spawn_local(connection.serve());
        let announce =
            "/announce?info_hash=01234567890123456789&peer_id=-SH0100-abcdefghijkl&port=1";
        write!(peer, "GET {announce} HTTP/1.1\r\n\r\n").unwrap();
        let count = Count::Received(Protocol::Http, Family::Ip4, Kind::Announce);
        self.until(|scene| scene.count(count) > 0).await;
        peer
    }

    /// Lets all tasks go on until something is so.
    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !holds(self) {
            assert!(Instant::now() < deadline, "it never happens");
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn count(&self, count: Count) -> u64 {
        self.thread.counters.read().get(count)
    }
}

fn rules() -> Rules {
    Rules {
        shard: shard::Rules {
            connection_ids: ConnectionIds::new([0; 16], 120),
            started_unix_s: 0,
            listeners: Vec::new(),
            steering: Steering::new(7, 1),
            interval_s: 1800,
            peer_timeout_s: 3600,
            numwant: 50,
            numwant_max: 200,
            v4_mapped: false,
            scrape_hashes_max: 74,
            prefetch: true,
            request_log: RequestLog::Off,
        },
        min_interval_s: 0,
        tracker_id: String::new(),
        warning: String::new(),
        tell_external_ip: false,
        downloaders: false,
        min_request_interval_s: 0,
        run_gc_key: Secret::default(),
    }
}

fn door() -> Door {
    Door {
        tls: None,
        redirect_to: None,
        proxy_header: None,
        proxy_protocol: false,
        trusted: Vec::new(),
        needs_local: false,
    }
}

#[test]
fn a_client_that_had_to_wait_for_a_form_is_counted_once_and_pays_once() {
    runtime().unwrap().block_on(async {
        let mut scene = Scene::new();
        let _client = scene.waiting_client().await;
        scene.thread.asks.give_back(scene.forms.pop().unwrap());
        // Announces of others would be refused now, as the only one of this second was let in.
        scene.until(|scene| scene.core.take().is_some()).await;
        let received = Count::Received(Protocol::Http, Family::Ip4, Kind::Announce);
        assert_eq!(scene.count(received), 1);
        assert_eq!(scene.count(Count::Faulted(Fault::SourceOverRate)), 0);
        assert_eq!(scene.count(Count::Plain(Tally::QuestionsPutOff)), 1);
    });
}

#[test]
fn who_waits_too_long_for_a_form_is_not_blamed_for_it() {
    runtime().unwrap().block_on(async {
        let scene = Scene::new();
        let _client = scene.waiting_client().await;
        scene.clock.advance(REQUEST_S);
        scene.thread.connections.expire();
        scene
            .until(|scene| scene.thread.connections.is_empty())
            .await;
        let [ours, theirs] = [BadRequest::ReplyTimedOut, BadRequest::HeadTimedOut]
            .map(|reason| scene.count(Count::BadRequest(reason)));
        assert_eq!((ours, theirs), (1, 0));
    });
}
