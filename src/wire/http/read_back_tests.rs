//! Random bodies, read back by a decoder that is not ours. The seed is printed.

use std::net::IpAddr;

use bt_bencode::Value;

use super::random_tests::{bytes, rng};
use super::reply::{
    AnnounceReply, PeerList, Retry, ScrapeRow, write_announce, write_failure, write_scrape,
};
use crate::wire::{InfoHash, PeerId};

#[test]
fn every_announce_reply_is_read_back_by_another_decoder() {
    let mut rng = rng();
    for _ in 0..3000 {
        let (count_v4, count_v6) = (rng.usize(..5), rng.usize(..5));
        let (v4, v6) = (
            bytes(&mut rng, count_v4 * 6),
            bytes(&mut rng, count_v6 * 18),
        );
        let ids: Vec<_> = (0..rng.usize(..10))
            .map(|_| {
                rng.bool()
                    .then(|| PeerId(std::array::from_fn(|_| rng.u8(..))))
            })
            .collect();
        let compact = rng.bool();
        let (v4, v6) = (v4.as_slice(), v6.as_slice());
        let reply = AnnounceReply {
            seeders: rng.u32(..),
            leechers: rng.u32(..),
            completed: rng.u32(..2),
            interval_s: rng.u32(..),
            min_interval_s: rng.u32(..2),
            peers: if compact {
                PeerList::Compact { v4, v6 }
            } else {
                PeerList::Dictionaries { v4, v6, ids: &ids }
            },
            external_ip: match rng.u8(..3) {
                0 => None,
                1 => Some(IpAddr::from(rng.u32(..).to_be_bytes())),
                _ => Some(IpAddr::from(rng.u128(..).to_be_bytes())),
            },
            tracker_id: ["", "tracker"][rng.usize(..2)],
            warning: ["", "careful"][rng.usize(..2)],
        };
        let mut out = Vec::new();
        write_announce(&mut out, &reply);
        let value = read_back(&out);
        let number = |key| value.get(key).map(|value| value.as_u64().unwrap());
        let bytes = |key| {
            value
                .get(key)
                .map(|value| value.as_byte_str().unwrap().as_slice())
        };
        let unless_zero = |number: u32| (number > 0).then_some(u64::from(number));
        assert_eq!(number("complete"), Some(u64::from(reply.seeders)));
        assert_eq!(number("incomplete"), Some(u64::from(reply.leechers)));
        assert_eq!(number("downloaded"), unless_zero(reply.completed));
        assert_eq!(number("interval"), Some(u64::from(reply.interval_s)));
        assert_eq!(number("min interval"), unless_zero(reply.min_interval_s));
        let ip = bytes("external ip").map(|ip| match <[u8; 4]>::try_from(ip) {
            Ok(v4) => IpAddr::from(v4),
            Err(_) => IpAddr::from(<[u8; 16]>::try_from(ip).unwrap()),
        });
        assert_eq!(ip, reply.external_ip);
        let text = |key| bytes(key).map_or("", |bytes| str::from_utf8(bytes).unwrap());
        assert_eq!(text("tracker id"), reply.tracker_id);
        assert_eq!(text("warning message"), reply.warning);
        if compact {
            assert_eq!(bytes("peers"), Some(v4));
            assert_eq!(bytes("peers6"), (!v6.is_empty()).then_some(v6));
        } else {
            assert_eq!(listed(&value["peers"]), expected(v4, v6, &ids));
            assert!(value.get("peers6").is_none());
        }
    }
}

/// The value, which another encoder must write in the very same bytes: all keys are ascending, none
/// is there twice, no number has a leading zero and nothing stands behind the end.
fn read_back(encoded: &[u8]) -> Value {
    let value: Value = bt_bencode::from_slice(encoded).unwrap();
    assert_eq!(bt_bencode::to_vec(&value).unwrap(), encoded);
    value
}

type Listed = (IpAddr, u64, Option<Vec<u8>>);

fn listed(peers: &Value) -> Vec<Listed> {
    let read = |peer: &Value| {
        let id = peer
            .get("peer id")
            .map(|id| id.as_byte_str().unwrap().to_vec());
        let ip = peer["ip"].as_str().unwrap().parse().unwrap();
        (ip, peer["port"].as_u64().unwrap(), id)
    };
    peers.as_array().unwrap().iter().map(read).collect()
}

fn expected(v4: &[u8], v6: &[u8], ids: &[Option<PeerId>]) -> Vec<Listed> {
    let ids = ids.iter().map(|id| id.map(|id| id.0.to_vec()));
    let entries = v4.chunks(6).chain(v6.chunks(18));
    entries
        .zip(ids.chain(std::iter::repeat(None)))
        .map(|(entry, id)| {
            let (ip, port) = entry.split_at(entry.len() - 2);
            let ip = match <[u8; 4]>::try_from(ip) {
                Ok(v4) => IpAddr::from(v4),
                Err(_) => IpAddr::from(<[u8; 16]>::try_from(ip).unwrap()),
            };
            (ip, u64::from(u16::from_be_bytes([port[0], port[1]])), id)
        })
        .collect()
}

#[test]
fn every_scrape_reply_is_read_back_by_another_decoder() {
    let mut rng = rng();
    for _ in 0..2000 {
        let mut hashes: Vec<_> = (0..rng.usize(..20))
            .map(|_| InfoHash(std::array::from_fn(|_| rng.u8(..))))
            .collect();
        hashes.sort_unstable();
        let rows: Vec<_> = hashes
            .iter()
            .map(|hash| {
                let row = ScrapeRow {
                    seeders: rng.u32(..) >> rng.u32(..32),
                    completed: rng.u32(..) >> rng.u32(..32),
                    leechers: rng.u32(..) >> rng.u32(..32),
                    downloaders: rng.u32(..) >> rng.u32(..32),
                };
                (*hash, row)
            })
            .collect();
        let (downloaders, interval_s) = (rng.bool(), rng.u32(..3));
        let mut out = Vec::new();
        write_scrape(&mut out, rows.iter().copied(), downloaders, interval_s);
        let value = read_back(&out);
        let files = value["files"].as_dict().unwrap();
        assert_eq!(files.len(), rows.len());
        for ((name, read), (hash, row)) in files.iter().zip(&rows) {
            assert_eq!(name.as_slice(), hash.0);
            let number = |key| read.get(key).map(|value| value.as_u64().unwrap());
            assert_eq!(number("complete"), Some(u64::from(row.seeders)));
            assert_eq!(number("downloaded"), Some(u64::from(row.completed)));
            assert_eq!(number("incomplete"), Some(u64::from(row.leechers)));
            let told = downloaders.then_some(u64::from(row.downloaders));
            assert_eq!(number("downloaders"), told);
        }
        let flag = value
            .get("flags")
            .map(|flags| flags["min_request_interval"].as_u64().unwrap());
        assert_eq!(flag, (interval_s > 0).then_some(u64::from(interval_s)));
    }
}

#[test]
fn every_failure_is_read_back_by_another_decoder() {
    let mut rng = rng();
    for _ in 0..1000 {
        let retry = match rng.u8(..3) {
            0 => None,
            1 => Some(Retry::Never),
            _ => Some(Retry::Later {
                minutes: rng.u32(..),
                interval_s: rng.u32(..),
                min_interval_s: rng.u32(..2),
            }),
        };
        let reason: String = (0..rng.usize(..30)).map(|_| rng.char(..)).collect();
        let mut out = Vec::new();
        write_failure(&mut out, &reason, retry);
        let value = read_back(&out);
        assert_eq!(value["failure reason"].as_str(), Some(reason.as_str()));
        assert_eq!(value.get("retry in").is_some(), retry.is_some());
    }
}
