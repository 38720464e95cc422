//! What a turn has brought forth, against the model.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use shoal::shard::{Ask, Matter};
use shoal::swarm::PeerAnnounce;
use shoal::wire::InfoHash;
use shoal::wire::udp::ConnectionId;
use shoal_bench::bare_core::connection_ids;

use crate::model::{Told, explain};
use crate::requests::{self, read_peers, word};
use crate::world::{Question, World};

/// What was sent, in order, and to whom.
pub(crate) type Replies = Vec<(SocketAddr, Vec<u8>)>;

/// Announces that were answered, in the order in which one source was answered: the source is UDP, or one of
/// the HTTP threads.
type Answered = BTreeMap<[u8; 20], Vec<Vec<(PeerAnnounce, Told)>>>;

impl World {
    /// Everything that a turn of `core` has brought forth. The turn reads totals first, then it tells swarms of
    /// announces, then it sweeps, and then it goes on with what the control side wants.
    pub(crate) fn check_turn(&mut self, core: usize, replies: &Replies) {
        let mut answered = Answered::new();
        for (to, reply) in replies {
            self.check_reply(core, *to, reply, &mut answered);
        }
        for thread in 0..self.threads.len() {
            while let Some(ask) = self.threads[thread].counter.desk().take() {
                self.check_answer(core, thread, &ask, &mut answered);
                self.threads[thread].desk.push(ask);
            }
        }
        for (info_hash, sources) in answered {
            let owner = self.steering.core_of(&InfoHash(info_hash));
            assert_eq!(owner, core, "another core's torrent");
            let mut sources: Vec<&[_]> = sources.iter().map(Vec::as_slice).collect();
            let torrent = self
                .torrents
                .get_mut(&info_hash)
                .expect("a torrent of ours");
            match explain(&torrent.swarm, &mut sources, self.now.uptime_s) {
                Ok(after) => torrent.swarm = after,
                Err(why) => panic!("no order explains the answers: {why}"),
            }
        }
        for (info_hash, torrent) in &mut self.torrents {
            if self.steering.core_of(&InfoHash(*info_hash)) == core {
                torrent.swarm.sweep(self.now.uptime_s);
            }
        }
        self.look_at_errands(core);
        self.remember();
    }

    /// Notes the totals of all torrents that have other ones now.
    fn remember(&mut self) {
        for torrent in self.torrents.values_mut() {
            let bounds = torrent.swarm.bounds();
            if torrent.past.last().is_none_or(|(_, last)| *last != bounds) {
                torrent.past.push((self.turn, bounds));
            }
        }
    }

    fn check_reply(&mut self, core: usize, to: SocketAddr, reply: &[u8], answered: &mut Answered) {
        self.summary.replies += 1;
        let number = word(reply, 4) as usize;
        let request = self.requests.get_mut(number);
        let request = request.expect("a reply to nothing that was ever asked");
        assert_eq!(to, request.source, "a reply to somebody else");
        let action = word(reply, 0);
        let owed = if action == 3 {
            &mut request.errors_owed
        } else {
            &mut request.owed
        };
        assert!(*owed > 0, "answered more often than it arrived");
        *owed -= 1;
        let first_turn = request.first_turn.expect("it has arrived");
        match &request.matter {
            _ if action == 3 => {}
            requests::Matter::Connect => {
                let id = reply.get(8..).and_then(|id| id.first_chunk());
                let id = u64::from_be_bytes(*id.expect("a connection id"));
                let issued = connection_ids().issue(to.ip(), self.now.unix_s);
                assert_eq!((action, ConnectionId(id)), (0, issued));
            }
            requests::Matter::Announce(announce) => {
                assert_eq!(action, 1, "an announce reply");
                let told = Told {
                    counts: (word(reply, 16), word(reply, 12)),
                    own: read_peers(&reply[20..], to.is_ipv4()),
                    other: None,
                };
                let sources = self.threads.len() + 1;
                let sources = note(answered, announce, sources);
                sources[0].push((*announce, told));
            }
            requests::Matter::Scrape(hashes) => {
                assert_eq!((action, reply.len()), (2, 8 + 12 * hashes.len()));
                let rows = reply[8..].as_chunks::<12>().0;
                let rows: Vec<_> = rows
                    .iter()
                    .map(|row| (word(row, 0), word(row, 4), word(row, 8)))
                    .collect();
                let hashes = hashes.clone();
                self.check_rows(core, &hashes, &rows, first_turn);
            }
            requests::Matter::Noise => panic!("noise was answered with {reply:02x?}"),
        }
    }

    /// Rows are totals of one moment since the request came: for torrents of the core that answers, of this one.
    fn check_rows(
        &self,
        core: usize,
        hashes: &[InfoHash],
        rows: &[(u32, u32, u32)],
        since_turn: u64,
    ) {
        for (info_hash, row) in hashes.iter().zip(rows) {
            let torrent = &self.torrents[&info_hash.0];
            let from = if self.steering.core_of(info_hash) == core {
                torrent.past.len().saturating_sub(1)
            } else {
                // The totals that were in force then, and all later ones.
                let later = torrent
                    .past
                    .partition_point(|(turn, _)| *turn <= since_turn);
                later.saturating_sub(1)
            };
            let moments = &torrent.past[from..];
            assert!(
                moments.iter().any(|(_, bounds)| bounds.explain(*row)),
                "{row:?} for {info_hash:?}, but {moments:?}"
            );
        }
    }

    fn check_answer(&mut self, core: usize, thread: usize, ask: &Ask, answered: &mut Answered) {
        let of_thread = &self.threads[thread];
        let twice = of_thread
            .desk
            .iter()
            .any(|other| other.ticket == ask.ticket);
        assert!(!twice, "a question was answered twice");
        let (question, turn) = of_thread.open.get(&ask.ticket).expect("it was asked");
        if !ask.is_answered() {
            self.unanswered += 1;
            return;
        }
        self.summary.answers += 1;
        match (question, ask.matter()) {
            (Question::Announce(announce), Matter::Announce { .. }) => {
                let (v4, v6) = ask.peers();
                let (v4, v6) = (read_peers(v4, true), read_peers(v6, false));
                let is_v4 = matches!(announce.peer, shoal::swarm::PeerAddr::V4(_));
                let (own, other) = if is_v4 { (v4, v6) } else { (v6, v4) };
                let totals = ask.announced.totals;
                let told = Told {
                    counts: (totals.seeders, totals.leechers),
                    own,
                    other: Some(other),
                };
                let announce = *announce;
                let sources = note(answered, &announce, self.threads.len() + 1);
                sources[thread + 1].push((announce, told));
            }
            (Question::Scrape(hashes), Matter::Scrape) => {
                let rows: Vec<_> = ask
                    .rows()
                    .map(|(_, row)| (row.seeders, row.completed, row.leechers))
                    .collect();
                assert_eq!(rows.len(), hashes.len());
                self.check_rows(core, hashes, &rows, *turn);
            }
            _ => panic!("the answer to another question"),
        }
    }
}

fn note<'a>(
    answered: &'a mut Answered,
    announce: &PeerAnnounce,
    sources: usize,
) -> &'a mut Vec<Vec<(PeerAnnounce, Told)>> {
    let none = || vec![Vec::new(); sources];
    answered.entry(announce.info_hash.0).or_insert_with(none)
}
