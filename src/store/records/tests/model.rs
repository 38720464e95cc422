//! Random changes against a model, and the file opened anew in between.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::*;

fn text(rng: &mut Rng, len_max: usize) -> String {
    let len = rng.usize(..=len_max);
    let mut text = String::new();
    loop {
        let next = if rng.u8(..4) == 0 {
            rng.char(..)
        } else {
            rng.alphanumeric()
        };
        if text.len() + next.len_utf8() > len {
            return text;
        }
        text.push(next);
    }
}

fn network(rng: &mut Rng) -> IpNet {
    let number = rng.u8(..6);
    let text = if rng.bool() {
        format!("192.0.{number}.0/{}", rng.u8(24..=32))
    } else {
        format!("2001:db8:{number}::/{}", rng.u8(48..=128))
    };
    text.parse().unwrap()
}

fn random_note(rng: &mut Rng) -> Note {
    Note {
        at_unix_s: rng.u64(..),
        by: text(rng, 64),
        reason: text(rng, 1000),
    }
}

fn metadata(rng: &mut Rng) -> Metadata {
    Metadata {
        name: text(rng, 1024),
        size: rng.u64(..),
        piece_length: rng.u64(..),
        comment: text(rng, 4096),
        created_by: text(rng, 256),
        creation_date: rng.bool().then(|| rng.u64(..)),
        at_unix_s: rng.u64(..),
    }
}

fn entry(rng: &mut Rng) -> JournalEntry {
    JournalEntry {
        at_unix_s: rng.u64(..),
        by: text(rng, 64),
        action: rng.choice(Action::ALL).unwrap(),
        subject: text(rng, 256),
        reason: text(rng, 100),
    }
}

fn key_row(rng: &mut Rng) -> KeyRow {
    KeyRow {
        id: rng.u32(..),
        expires_unix_s: rng.bool().then(|| rng.u64(..)),
        created_unix_s: rng.u64(..),
    }
}

fn random_credit(rng: &mut Rng, keys: u64, hashes: u64) -> Credit {
    Credit {
        key: key(rng.u64(..keys)),
        info_hash: hash(rng.u64(..hashes)),
        uploaded: rng.u64(..1 << 40),
        downloaded: rng.u64(..1 << 40),
        left: rng.u64(..),
        seed_s: rng.u64(..10_000),
        at_unix_s: rng.u64(..),
    }
}

/// What the records should hold.
#[derive(Default)]
pub(super) struct Model {
    lists: [BTreeMap<InfoHash, Note>; 2],
    networks: BTreeMap<Vec<u8>, (IpNet, Note)>,
    keys: BTreeMap<AnnounceKey, KeyRow>,
    metadata: BTreeMap<InfoHash, Metadata>,
    journal: BTreeMap<u64, JournalEntry>,
    transfers: BTreeMap<(AnnounceKey, InfoHash), Transfer>,
    last_number: u64,
    statistics: [BTreeMap<u64, Vec<u64>>; 2],
}

const SPANS: [Span; 2] = [Span::Hour, Span::Day];

impl Model {
    /// Does something at random to both, and compares what comes of it.
    pub(super) fn step(&mut self, records: &Records, rng: &mut Rng) {
        match rng.u8(..14) {
            0 | 1 => {
                let which = rng.usize(..2);
                let hashes: Vec<_> = (0..rng.usize(..30)).map(|_| hash(rng.u64(..300))).collect();
                let note = random_note(rng);
                let added = records.add(LISTS[which], &hashes, &note).unwrap();
                let list = &mut self.lists[which];
                let new = hashes
                    .iter()
                    .filter(|h| list.insert(**h, note.clone()).is_none());
                assert_eq!(added, new.count());
            }
            2 => {
                let which = rng.usize(..2);
                let hashes: Vec<_> = (0..rng.usize(..30)).map(|_| hash(rng.u64(..300))).collect();
                let removed = records.remove(LISTS[which], &hashes).unwrap();
                let list = &mut self.lists[which];
                let gone = hashes.iter().filter(|hash| list.remove(hash).is_some());
                assert_eq!(removed, gone.count());
            }
            3 => {
                let networks: Vec<_> = (0..rng.usize(..5)).map(|_| network(rng)).collect();
                let note = random_note(rng);
                let added = records.add_networks(&networks, &note).unwrap();
                let new = networks.iter().filter(|network| {
                    let row = (network.trunc(), note.clone());
                    self.networks
                        .insert(schema::network_key(network), row)
                        .is_none()
                });
                assert_eq!(added, new.count());
            }
            4 => {
                let networks: Vec<_> = (0..rng.usize(..5)).map(|_| network(rng)).collect();
                let removed = records.remove_networks(&networks).unwrap();
                let keys = networks.iter().map(schema::network_key);
                let gone = keys.filter(|key| self.networks.remove(key).is_some());
                assert_eq!(removed, gone.count());
            }
            5 => {
                let (key, row) = (key(rng.u64(..20)), key_row(rng));
                let is_new = !self.keys.contains_key(&key);
                assert_eq!(records.add_key(&key, &row).unwrap(), is_new);
                self.keys.entry(key).or_insert(row);
            }
            6 => {
                let key = key(rng.u64(..20));
                let was_there = self.keys.remove(&key).is_some();
                assert_eq!(records.remove_key(&key).unwrap(), was_there);
                self.transfers.retain(|(of, _), _| *of != key);
            }
            7 => {
                let (hash, metadata) = (hash(rng.u64(..40)), metadata(rng));
                records.put_metadata(&hash, &metadata).unwrap();
                self.metadata.insert(hash, metadata);
            }
            8 => {
                let hash = hash(rng.u64(..40));
                let was_there = self.metadata.remove(&hash).is_some();
                assert_eq!(records.remove_metadata(&hash).unwrap(), was_there);
            }
            9 => {
                let entries: Vec<_> = (0..rng.usize(..20)).map(|_| entry(rng)).collect();
                let last = self
                    .journal
                    .last_key_value()
                    .map_or(0, |(number, _)| *number);
                let number = records.write_journal(&entries).unwrap();
                assert_eq!(number, last + entries.len() as u64);
                self.journal.extend((last + 1..).zip(entries));
            }
            10 | 11 => {
                let credits: Vec<_> = (0..rng.usize(..50))
                    .map(|_| random_credit(rng, 20, 30))
                    .collect();
                records.credit(&credits).unwrap();
                for credit in &credits {
                    self.credit(credit);
                }
            }
            12 => {
                let (which, start) = (rng.usize(..2), rng.u64(..50) * 3600);
                let values: Vec<_> = (0..rng.usize(..20)).map(|_| rng.u64(..)).collect();
                records
                    .put_statistics(SPANS[which], start, &values)
                    .unwrap();
                self.statistics[which].insert(start, values);
            }
            _ => {
                let (which, before) = (rng.usize(..2), rng.u64(..10) * 3600);
                let forgotten = records.forget_statistics(SPANS[which], before).unwrap();
                let kept = self.statistics[which].split_off(&before);
                assert_eq!(forgotten, self.statistics[which].len());
                self.statistics[which] = kept;
            }
        }
    }

    fn credit(&mut self, credit: &Credit) {
        if !self.keys.contains_key(&credit.key) {
            return;
        }
        self.last_number += 1;
        let pair = (credit.key, credit.info_hash);
        let sum = self.transfers.entry(pair).or_insert(Transfer {
            key: credit.key,
            info_hash: credit.info_hash,
            uploaded: 0,
            downloaded: 0,
            left: 0,
            seed_s: 0,
            at_unix_s: 0,
            number: 0,
        });
        sum.uploaded += credit.uploaded;
        sum.downloaded += credit.downloaded;
        sum.seed_s += credit.seed_s;
        (sum.left, sum.at_unix_s) = (credit.left, credit.at_unix_s);
        sum.number = self.last_number;
    }

    pub(super) fn compare(&self, records: &Records, rng: &mut Rng) {
        for (list, rows) in LISTS.into_iter().zip(&self.lists) {
            assert!(records.hashes(list).unwrap().iter().eq(rows.keys()));
            let probe = hash(rng.u64(..300));
            assert_eq!(
                records.note(list, &probe).unwrap().as_ref(),
                rows.get(&probe)
            );
            for _ in 0..4 {
                let (offset, limit) = (rng.u64(..310), rng.usize(..100));
                let (total, page) = records.page(list, offset, limit).unwrap();
                assert_eq!((total, page), cut(rows, offset, limit));
            }
        }
        let networks: Vec<_> = self.networks.values().cloned().collect();
        assert_eq!(records.networks().unwrap(), networks);
        let (offset, limit) = (rng.u64(..20), rng.usize(..20));
        assert_eq!(
            records.keys_page(offset, limit).unwrap(),
            cut(&self.keys, offset, limit)
        );
        assert_eq!(records.keys().unwrap(), cut(&self.keys, 0, 100).1);
        let probe = hash(rng.u64(..40));
        assert_eq!(
            records.metadata(&probe).unwrap().as_ref(),
            self.metadata.get(&probe)
        );
        let page = records.metadata_page(offset, limit).unwrap();
        assert_eq!(page, cut(&self.metadata, offset, limit));

        let before = rng
            .bool()
            .then(|| rng.u64(..=self.journal.len() as u64 + 2));
        let only = [rng.choice(Action::ALL).unwrap(), Action::Block];
        for only in [None, Some(&only[..])] {
            let entries = self.journal.range(..before.unwrap_or(u64::MAX)).rev();
            let entries = entries.filter(|(_, e)| only.is_none_or(|only| only.contains(&e.action)));
            let entries: Vec<_> = entries.take(limit).map(|(n, e)| (*n, e.clone())).collect();
            assert_eq!(records.journal(before, limit, only).unwrap(), entries);
        }

        let since = rng.u64(..=self.last_number + 1);
        let mut transfers: Vec<_> = self.transfers.values().copied().collect();
        transfers.sort_unstable_by_key(|transfer| transfer.number);
        transfers.retain(|transfer| transfer.number > since);
        transfers.truncate(limit);
        let next = transfers.last().map_or(since, |last| last.number);
        assert_eq!(records.transfers(since, limit).unwrap(), (next, transfers));

        for (span, rows) in SPANS.into_iter().zip(&self.statistics) {
            let (from, to) = (rng.u64(..200_000), rng.u64(..200_000));
            let wanted = |(start, _): &(&u64, _)| (from..to).contains(*start);
            let rows: Vec<_> = rows
                .iter()
                .filter(wanted)
                .map(|(s, v)| (*s, v.clone()))
                .collect();
            assert_eq!(records.statistics(span, from, to).unwrap(), rows);
        }
    }
}

fn cut<K: Clone, V: Clone>(rows: &BTreeMap<K, V>, offset: u64, limit: usize) -> (u64, Vec<(K, V)>) {
    let page = rows.iter().skip(offset as usize).take(limit);
    let page = page.map(|(key, value)| (key.clone(), value.clone()));
    (rows.len() as u64, page.collect())
}

#[test]
fn whatever_is_done_the_records_hold_what_a_model_holds_and_hold_it_when_opened_again() {
    let mut rng = rng();
    let folder = quick_folder();
    let mut model = Model::default();
    for _ in 0..8 {
        let records = opened(folder.path());
        model.compare(&records, &mut rng);
        for _ in 0..rng.usize(..80) {
            model.step(&records, &mut rng);
            model.compare(&records, &mut rng);
        }
    }
}
