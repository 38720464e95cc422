//! What the store counts. Written by its thread and at the start, read by whoever reports.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::swarm::Restored;

/// The counters themselves.
#[derive(Default, Debug)]
pub struct StoreCounters {
    written: AtomicU64,
    failed: AtomicU64,
    bytes_written: AtomicU64,
    file_bytes: AtomicU64,
    last_unix_s: AtomicU64,
    last_ms: AtomicU64,
    last_torrents: AtomicU64,
    last_peers: AtomicU64,
    restored_torrents: AtomicU64,
    restored_peers: AtomicU64,
    expired_peers: AtomicU64,
    refused_peers: AtomicU64,
    unwelcome_peers: AtomicU64,
}

/// A reading of the counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreTotals {
    /// Snapshots that were written to their end.
    pub written: u64,
    /// Snapshots that were not, for lack of space or another error.
    pub failed: u64,
    /// Bytes of blocks that were written, over all snapshots.
    pub bytes_written: u64,
    /// Bytes of the file after the last snapshot.
    pub file_bytes: u64,
    /// When the last snapshot was begun, in Unix seconds; 0 for none.
    pub last_unix_s: u64,
    /// How long it took, in milliseconds.
    pub last_ms: u64,
    /// Torrents in it.
    pub last_torrents: u64,
    /// Peers in it.
    pub last_peers: u64,
    /// Torrents that came back at the start.
    pub restored_torrents: u64,
    /// Peers that came back at the start.
    pub restored_peers: u64,
    /// Peers that had been silent for too long by then.
    pub expired_peers: u64,
    /// Peers for whom the memory budget left no room.
    pub refused_peers: u64,
    /// Peers whose addresses the operator's rules do not admit any more.
    pub unwelcome_peers: u64,
}

/// A snapshot that was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Written {
    pub(super) unix_s: u64,
    pub(super) torrents: u64,
    pub(super) peers: u64,
    pub(super) bytes: u64,
}

impl StoreCounters {
    pub(super) fn count_written(&self, written: &Written, ms: u64, file_bytes: u64) {
        self.written.fetch_add(1, Ordering::Relaxed);
        self.bytes_written
            .fetch_add(written.bytes, Ordering::Relaxed);
        self.file_bytes.store(file_bytes, Ordering::Relaxed);
        self.last_unix_s.store(written.unix_s, Ordering::Relaxed);
        self.last_ms.store(ms, Ordering::Relaxed);
        self.last_torrents
            .store(written.torrents, Ordering::Relaxed);
        self.last_peers.store(written.peers, Ordering::Relaxed);
    }

    pub(super) fn count_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_restored(&self, restored: &Restored) {
        for (counter, n) in [
            (&self.restored_torrents, restored.torrents),
            (&self.restored_peers, restored.peers),
            (&self.expired_peers, restored.expired),
            (&self.refused_peers, restored.refused),
            (&self.unwelcome_peers, restored.unwelcome),
        ] {
            counter.fetch_add(n as u64, Ordering::Relaxed);
        }
    }

    /// What these counters say now.
    pub fn read(&self) -> StoreTotals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreTotals {
            written: get(&self.written),
            failed: get(&self.failed),
            bytes_written: get(&self.bytes_written),
            file_bytes: get(&self.file_bytes),
            last_unix_s: get(&self.last_unix_s),
            last_ms: get(&self.last_ms),
            last_torrents: get(&self.last_torrents),
            last_peers: get(&self.last_peers),
            restored_torrents: get(&self.restored_torrents),
            restored_peers: get(&self.restored_peers),
            expired_peers: get(&self.expired_peers),
            refused_peers: get(&self.refused_peers),
            unwelcome_peers: get(&self.unwelcome_peers),
        }
    }
}

impl StoreTotals {
    /// The reading as `name value` words.
    pub fn describe(&self) -> String {
        let words = [
            ("snapshots_written", self.written),
            ("snapshots_failed", self.failed),
            ("snapshot_bytes", self.bytes_written),
            ("file_bytes", self.file_bytes),
            ("last_snapshot_ms", self.last_ms),
            ("last_snapshot_torrents", self.last_torrents),
            ("last_snapshot_peers", self.last_peers),
            ("restored_torrents", self.restored_torrents),
            ("restored_peers", self.restored_peers),
            ("expired_at_start", self.expired_peers),
            ("refused_at_start", self.refused_peers),
            ("not_admitted_at_start", self.unwelcome_peers),
        ];
        words.map(|(name, n)| format!("{name} {n}")).join(", ")
    }
}
