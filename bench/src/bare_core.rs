//! A core without sockets: datagrams are put before it, and its replies go nowhere. All that is left
//! is what a tracker does itself, from the bytes of a request to the bytes of its reply.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use shoal::clock::Now;
use shoal::counters::{ThreadCounters, Totals};
use shoal::gate::access::{Access, HashAccess};
use shoal::gate::address_policy::AddressPolicy;
use shoal::gate::connection_id::ConnectionIds;
use shoal::limits::HANDOVER_QUEUE_LEN;
use shoal::net::steering::Steering;
use shoal::net::{Datagram, Doorbell, Net, Origin};
use shoal::request_log::RequestLog;
use shoal::shard::{Collector, Counter, Mesh, Rules, Shard};
use shoal::swarm::{self, Swarms};
use shoal::wire::udp::{ANNOUNCE_LEN, TransactionId, ask};
use shoal::wire::{Event, NumWant};

use crate::crowd::{Crowd, Member};

/// When everything happens, unless somebody lets time pass.
pub const NOW: Now = Now {
    uptime_s: 100_000,
    unix_s: 1_800_000_000,
};

/// Seconds after which a silent peer is forgotten.
pub const PEER_TIMEOUT_S: u32 = 3600;

/// Most datagrams of one turn: as many replies as an outbox has room for.
pub const TURN_MAX: usize = shoal::limits::SEND_SLOTS;

/// Chosen once, so that every run hashes alike.
const SEEDS: [u64; 4] = [1, 2, 3, 4];
const CONNECTION_KEY: [u8; 16] = *b"sixteen bytes...";
const STEERING_SECRET: u64 = 0x1234_5678_9abc_def0;

/// Swarms with keys that never change, without a limit of memory unless one is given.
pub fn swarms(memory_budget: Option<usize>) -> Swarms {
    Swarms::new(swarm::Settings {
        seeds: SEEDS,
        peer_timeout_s: PEER_TIMEOUT_S,
        remove_peerless: true,
        memory_budget,
        peer_details: false,
    })
}

/// Issues the connection ids that every [`BareCore`] accepts.
pub fn connection_ids() -> ConnectionIds {
    ConnectionIds::new(CONNECTION_KEY, 900)
}

/// Which of so many cores owns a torrent.
pub fn steering(cores: usize) -> Steering {
    Steering::new(STEERING_SECRET, cores)
}

/// An announce on its way, and where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Letter {
    bytes: [u8; ANNOUNCE_LEN],
    origin: Origin,
}

impl Letter {
    /// The announce of a member who wants so many peers and has a connection id of [`NOW`].
    pub fn announce(crowd: &Crowd, member: Member, wanted: u32) -> Self {
        let peer = SocketAddr::V4(crowd.address(member));
        let id = connection_ids().issue(peer.ip(), NOW.unix_s);
        let said = crowd.announce(member, Event::None, NumWant::AtMost(wanted));
        let mut bytes = [0; ANNOUNCE_LEN];
        ask::write_announce(&mut bytes, id, TransactionId(member.peer), &said);
        let origin = Origin {
            listener: 0,
            peer,
            local: None,
        };
        Self { bytes, origin }
    }

    /// The datagram.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn datagram(&self) -> Datagram<'_> {
        Datagram {
            bytes: &self.bytes,
            origin: self.origin,
            truncated: false,
        }
    }
}

/// A place among so many cores, from which they hand over to each other. Can be sent to the thread on which
/// the core will be.
pub struct Seat {
    mesh: Mesh,
    doorbell: Arc<Doorbell>,
    cores: usize,
}

impl Seat {
    /// Places for so many cores, each of which owns the torrents that [`steering`] gives it.
    pub fn among(cores: usize) -> io::Result<Vec<Self>> {
        Ok(Self::beside(cores, 0, HANDOVER_QUEUE_LEN)?.0)
    }

    /// The same beside so many HTTP threads, with room for `queue_len` requests in front of each core.
    pub fn beside(
        cores: usize,
        http_threads: usize,
        queue_len: usize,
    ) -> io::Result<(Vec<Self>, Vec<Counter>)> {
        let doorbells: Vec<Arc<Doorbell>> = (0..cores)
            .map(|_| Doorbell::new().map(Arc::new))
            .collect::<io::Result<_>>()?;
        let (meshes, counters) = Mesh::with_room(queue_len, &doorbells, http_threads);
        let seat = |(mesh, doorbell)| Self {
            mesh,
            doorbell,
            cores,
        };
        let seats = meshes.into_iter().zip(doorbells).map(seat).collect();
        Ok((seats, counters))
    }

    /// How others ask all cores for their torrents, and send them on errands.
    pub fn collector(&self) -> Collector {
        self.mesh.collector()
    }
}

/// See the module.
pub struct BareCore {
    shard: Shard,
    net: Net,
    mesh: Mesh,
    doorbell: Arc<Doorbell>,
}

impl BareCore {
    /// A core that owns every torrent. `prefetch` is the tracker's `workers.prefetch`.
    pub fn alone(swarms: Swarms, prefetch: bool) -> io::Result<Self> {
        let mut seats = Seat::among(1)?;
        Self::at(seats.remove(0), swarms, prefetch)
    }

    /// A core at a place among others.
    pub fn at(seat: Seat, swarms: Swarms, prefetch: bool) -> io::Result<Self> {
        let Seat {
            mesh,
            doorbell,
            cores,
        } = seat;
        let rules = Rules {
            connection_ids: connection_ids(),
            started_unix_s: NOW.unix_s - u64::from(NOW.uptime_s),
            listeners: vec![SocketAddr::from(([127, 0, 0, 1], 6969))],
            steering: steering(cores),
            interval_s: 1800,
            peer_timeout_s: PEER_TIMEOUT_S,
            numwant: 50,
            numwant_max: 200,
            v4_mapped: false,
            scrape_hashes_max: 74,
            prefetch,
            request_log: RequestLog::Off,
        };
        let access = Access {
            addresses: AddressPolicy {
                allow_private: true,
                ..AddressPolicy::default()
            },
            hashes: vec![HashAccess::default(); cores],
            ..Access::default()
        };
        let access = Arc::new(ArcSwap::from_pointee(access));
        let random = fastrand::Rng::with_seed(mesh.me() as u64);
        let counters: Arc<ThreadCounters> = Arc::default();
        Ok(Self {
            mesh: mesh.clone(),
            shard: Shard::new(rules, access, swarms, mesh, counters, random),
            // Without a socket, what is sent is forgotten.
            net: Net::new(None, Vec::new(), Arc::clone(&doorbell))?,
            doorbell,
        })
    }

    /// One turn as `shoal::shard::Core` makes it, but for the system calls and the sweep: `letters`, at most
    /// [`TURN_MAX`], are read, and answered together with what other cores handed over.
    pub fn turn(&mut self, letters: &[Letter]) {
        self.turn_at(NOW, letters.iter().map(Letter::datagram));
    }

    /// The same with any datagrams, at any time.
    pub fn turn_at<'a>(&mut self, now: Now, datagrams: impl Iterator<Item = Datagram<'a>>) {
        self.answer(now, datagrams, |_, _| ());
    }

    /// A whole turn, which ends with the sweep, errands and exports; `replied` learns what would be sent, and to
    /// whom.
    pub fn whole_turn<'a>(
        &mut self,
        now: Now,
        datagrams: impl Iterator<Item = Datagram<'a>>,
        replied: impl FnMut(SocketAddr, &[u8]),
    ) {
        self.answer(now, datagrams, replied);
        self.shard.sweep(now);
        self.shard.run_errand(now);
        self.shard.export();
    }

    /// True when the core may sleep until [`Self::is_called`]: it has nothing more to do, and will be woken.
    pub fn falls_asleep(&self) -> bool {
        let handovers_wait = self.shard.about_to_sleep();
        let sleeps = !handovers_wait && !self.shard.has_more_to_do();
        if !sleeps {
            self.shard.awake();
        }
        sleeps
    }

    /// True when somebody has rung since it fell asleep.
    pub fn is_called(&self) -> bool {
        !self.doorbell.is_unrung()
    }

    /// Ends its sleep.
    pub fn wake_up(&self) {
        self.shard.awake();
    }

    /// How many scrapes over several cores could begin now.
    pub fn idle_scrapes(&self) -> usize {
        self.mesh.idle_scrapes()
    }

    fn answer<'a>(
        &mut self,
        now: Now,
        datagrams: impl Iterator<Item = Datagram<'a>>,
        mut replied: impl FnMut(SocketAddr, &[u8]),
    ) {
        let Self { shard, net, .. } = self;
        let (_, outbox) = net.boxes();
        shard.begin_turn();
        let mut count = 0;
        for datagram in datagrams {
            count += 1;
            shard.admit(&datagram, now, outbox);
        }
        shard.take_handovers(outbox);
        shard.turn_away_floods(count, now);
        shard.prefetch();
        shard.answer_announces(now, outbox);
        outbox.iter().for_each(|(to, bytes)| replied(to, bytes));
        // The kernel is not asked, so it cannot refuse.
        let _ = net.send();
    }

    /// Forgets silent peers of some torrents, as the end of a turn does.
    pub fn sweep(&mut self, now: Now) {
        self.shard.sweep(now);
    }

    /// What this core has counted so far.
    pub fn totals(&self) -> Totals {
        self.shard.counters().read()
    }

    /// The swarms, when no more answers are needed.
    pub fn into_swarms(self) -> Swarms {
        self.shard.into_swarms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal::counters::{Count, Family, Kind, Protocol, Tally};

    const ANSWERED: Count = Count::Answered(Protocol::Udp, Family::Ip4, Kind::Announce);

    #[test]
    fn a_core_without_sockets_answers_all_that_it_is_asked() {
        let crowd = Crowd::new(1, 0.5);
        let mut swarms = swarms(None);
        let filled = crowd.fill(&mut swarms, 0..100, 4, NOW.uptime_s);
        assert_eq!((filled.torrents, filled.peers), (100, 400));
        let mut core = BareCore::alone(swarms, true).unwrap();
        let letters: Vec<Letter> = (0..128)
            .map(|n| {
                Letter::announce(
                    &crowd,
                    Member {
                        torrent: n % 100,
                        peer: n / 100,
                    },
                    50,
                )
            })
            .collect();
        for _ in 0..5 {
            core.turn(&letters);
        }
        assert_eq!(
            core.totals().get(ANSWERED),
            5 * 128,
            "{}",
            core.totals().describe()
        );
        // All were known already.
        assert_eq!(core.into_swarms().gauges().v4.peers(), 400);
    }

    #[test]
    fn of_two_cores_the_owner_answers() {
        let crowd = Crowd::new(1, 0.5);
        let seats = Seat::among(2).unwrap().into_iter();
        let mut cores = seats.map(|seat| BareCore::at(seat, swarms(None), true).unwrap());
        let (mut first, mut second) = (cores.next().unwrap(), cores.next().unwrap());
        let letters: Vec<Letter> = (0..100)
            .map(|torrent| Letter::announce(&crowd, Member { torrent, peer: 0 }, 50))
            .collect();
        let seconds = (0..100)
            .filter(|&torrent| steering(2).core_of(&crowd.info_hash(torrent)) == 1)
            .count() as u64;
        first.turn(&letters);
        second.turn(&[]);
        assert_eq!(first.totals().tally(Tally::HandedOver), seconds);
        assert_eq!(second.totals().get(ANSWERED), seconds);
        assert_eq!(first.totals().get(ANSWERED), 100 - seconds);
    }
}
