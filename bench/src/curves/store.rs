//! What survives a restart: a snapshot, the way back, and what a core does for it.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::time::Instant;

use shoal::clock::{Clock, Now};
use shoal::net::Doorbell;
use shoal::shard::Mesh;
use shoal::store::{Claim, Keeper, OnDamage, SALT_LEN, Settings, Store};
use shoal::swarm::{Swarms, VisitCursor};
use shoal_bench::bare_core::{NOW, PEER_TIMEOUT_S, swarms};

use super::sample::Cost;
use super::{Axis, Bounds, Curve, Series};

const PEERS: u32 = 4;

/// Records and peers that a core tells in one turn.
const SLICE: usize = 512;

const SALT: [u8; SALT_LEN] = [7; SALT_LEN];

/// A folder of this process, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(under: &Path) -> Result<Self, String> {
        let path = under.join(format!("shoal-bench-{}", process::id()));
        fs::create_dir(&path)
            .map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nobody can be told any more.
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn measure(bounds: &Bounds<'_>) -> Result<Vec<Curve>, String> {
    let mut snapshot = Series::new("snapshot");
    let mut restore = Series::new("restore");
    let mut tell = Series::new("telling of them, on the core");
    let mut bytes = Series::new("file");
    for torrents in bounds.sizes(1000, 3_000_000) {
        let Some(swarms) = bounds.filled(torrents, PEERS)? else {
            break;
        };
        let peers = torrents * PEERS;
        tell.add(peers, visit(&swarms));
        let folder = Folder::new(&bounds.temp)?;
        let (write_ns, file_len) = write(&folder.0, swarms)?;
        let read_ns = read(&folder.0, bounds, peers)?;
        snapshot.add(peers, Cost::exactly(write_ns / f64::from(peers)));
        restore.add(peers, Cost::exactly(read_ns / f64::from(peers)));
        bytes.add(peers, Cost::exactly(file_len / f64::from(peers)));
    }
    let x = Axis::log("peers");
    Ok(vec![
        Curve {
            name: "store",
            title: "Snapshot and restore",
            text: format!(
                "Torrents of {PEERS} peers. A snapshot as the end of the tracker writes it, until it is safe on disk \
                 (fsync included, the first into a new file), and a start that reads it back: wall time, one core, \
                 the file in the page cache. Times the peers it is what a stop and a start take. *Telling* is \
                 what a running core does for a snapshot, {SLICE} records and peers a turn, without the \
                 encoding of rows."
            ),
            x,
            y: Axis::log("ns a peer"),
            series: vec![snapshot, restore, tell],
        },
        Curve {
            name: "store-bytes",
            title: "The file of a snapshot",
            text: String::from("A quarter of a torrent's record and the peer itself."),
            x,
            y: Axis::log("bytes a peer"),
            series: vec![bytes],
        },
    ])
}

fn settings() -> Settings {
    Settings {
        snapshot_interval_s: 0,
        keep_peers: true,
        on_damage: OnDamage::Refuse,
        peer_timeout_s: PEER_TIMEOUT_S,
    }
}

fn open(folder: &Path, now: Now) -> Result<Store, String> {
    let failed = |refusal: shoal::store::Refusal| refusal.sentence().to_owned();
    let claim = Arc::new(Claim::stake(folder).map_err(failed)?);
    let opened = Store::open(&claim, settings(), SALT, now.unix_s).map_err(failed)?;
    opened.unmade.map_or(Ok(opened.store), Err)
}

/// Nanoseconds of the last snapshot of a tracker, and the bytes of its file.
fn write(folder: &Path, swarms: Swarms) -> Result<(f64, f64), String> {
    let failed = |error: std::io::Error| format!("cannot start the keeper: {error}");
    let clock = Clock::start();
    // Peers were heard of at this second.
    clock.advance(NOW.uptime_s);
    let store = open(folder, clock.now())?;
    let doorbell = Arc::new(Doorbell::new().map_err(failed)?);
    let (meshes, _) = Mesh::between(&[doorbell], 0);
    let cores = vec![Arc::default()];
    let keeper = Keeper::start(store, meshes[0].collector(), cores, clock).map_err(failed)?;
    let start = Instant::now();
    if !keeper.finish(vec![swarms]) {
        return Err(String::from(
            "the snapshot failed or took longer than a tracker gives it",
        ));
    }
    let ns = start.elapsed().as_nanos() as f64;
    let file = fs::metadata(folder.join("data.mdb"));
    let len = file
        .map_err(|error| format!("where is the snapshot: {error}"))?
        .len();
    Ok((ns, len as f64))
}

/// Nanoseconds until all `peers` are back.
fn read(folder: &Path, bounds: &Bounds<'_>, peers: u32) -> Result<f64, String> {
    let now = Clock::start().now();
    let start = Instant::now();
    let store = open(folder, now)?;
    let mut swarms = swarms(Some(bounds.memory_max));
    let (restored, read) = store.restore(now, |_| true, |_| true, &mut swarms);
    let ns = start.elapsed().as_nanos() as f64;
    read?;
    if restored.peers != peers as usize {
        return Err(format!("{} of {peers} peers came back", restored.peers));
    }
    Ok(ns)
}

/// Nanoseconds a peer of looking at everybody.
fn visit(swarms: &Swarms) -> Cost {
    let mut cursor = VisitCursor::default();
    let mut slices = Vec::new();
    loop {
        let mut peers = 0;
        let start = Instant::now();
        let ended = swarms.visit(
            &mut cursor,
            SLICE,
            NOW.uptime_s,
            |_| true,
            |torrent| {
                torrent.peers_v4().for_each(|known| {
                    black_box(known);
                    peers += 1;
                });
            },
        );
        let ns = start.elapsed().as_nanos() as f64;
        if peers > 0 {
            slices.push(ns / f64::from(peers));
        }
        if ended {
            return Cost::of(slices);
        }
    }
}
