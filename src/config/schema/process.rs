//! What the process takes of its host, and what it leaves there.

use crate::config::key::Key;
use crate::config::value::is_path;
use crate::config::{Backend, Levels, LogFormat, OnDamage};
use crate::limits::CORES_MAX;

pub(super) const WORKERS: &[Key] = &[
    Key::whole(
        "count",
        "Threads that own swarms and UDP sockets; 0 = one for every CPU that this process may use.",
        (0, CORES_MAX as u64),
        |config| config.workers.count as u64,
        |config, count| config.workers.count = count as usize,
    ),
    Key::switch(
        "pin",
        "Bind each of them to a CPU, so that its swarms stay in that CPU's caches. Turn it off\n\
         where other programs compete for the same CPUs.",
        |config, _| config.workers.pin,
        |config, _, pin| config.workers.pin = pin,
    ),
    Key::text(
        "backend",
        "How datagrams come and go. \"auto\" takes io_uring where the kernel allows it, else\n\
         mmsg (poll, recvmmsg, sendmmsg).",
        "\"auto\", \"io_uring\" or \"mmsg\"",
        |config, _| {
            let name = match config.workers.backend {
                Backend::Auto => "auto",
                Backend::IoUring => "io_uring",
                Backend::Mmsg => "mmsg",
            };
            name.into()
        },
        |config, _, name| {
            config.workers.backend = match name {
                "auto" => Backend::Auto,
                "io_uring" => Backend::IoUring,
                "mmsg" => Backend::Mmsg,
                _ => return None,
            };
            Some(())
        },
    ),
    Key::switch(
        "steering",
        "Let the kernel send an announce to the thread that owns its info-hash. Without it the\n\
         threads hand announces over to each other.",
        |config, _| config.workers.steering,
        |config, _, steering| config.workers.steering = steering,
    ),
    Key::switch(
        "prefetch",
        "Fetch the swarms of a whole batch of announces into the cache before answering it. Off\n\
         only to measure what that gains.",
        |config, _| config.workers.prefetch,
        |config, _, prefetch| config.workers.prefetch = prefetch,
    ),
    Key::whole(
        "http_threads",
        "Threads that serve [[http]]; 0 = as many as own swarms.",
        (0, CORES_MAX as u64),
        |config| config.workers.http_threads as u64,
        |config, threads| config.workers.http_threads = threads as usize,
    ),
    Key::size(
        "receive_buffer",
        "Bytes that the kernel may queue for each UDP socket; 0 = what it gives unasked. A burst\n\
         that is longer is lost. The kernel grants no more than its net.core.rmem_max.",
        1 << 30,
        |config| config.workers.receive_buffer,
        |config, bytes| config.workers.receive_buffer = bytes,
    ),
    Key::text(
        "user",
        "User to become once the ports are bound, when started as root; empty = stay who we are.",
        "a user name without blanks, colons or slashes",
        |config, _| config.workers.user.clone(),
        |config, _, name| {
            let odd = |letter: char| {
                letter.is_whitespace() || letter.is_control() || ":/".contains(letter)
            };
            (name.len() <= 255 && !name.contains(odd)).then(|| config.workers.user = name.into())
        },
    ),
];

pub(super) const SWARM: &[Key] = &[
    Key::size(
        "memory_budget",
        "Bytes that all swarms together may take, the same for each core; 0 = no cap. Near it\n\
         newcomers are answered but not stored: first those of large swarms, then those of sources\n\
         with many new torrents, then those of all new torrents. docs/memory.md has the marks, and\n\
         what the process takes beside.",
        1 << 50,
        |config| config.swarm.memory_budget,
        |config, bytes| config.swarm.memory_budget = bytes,
    ),
    Key::switch(
        "remove_peerless",
        "Forget torrents without peers, and how often they were completed with them.",
        |config, _| config.swarm.remove_peerless,
        |config, _, remove| config.swarm.remove_peerless = remove,
    ),
    Key::switch(
        "peer_details",
        "Keep peer id, uploaded, downloaded, left and event of every peer, for HTTP replies with\n\
         peer ids and for the API, and in private modes what is credited to each key. Costs about\n\
         150 bytes a peer, and as much again where there are keys.",
        |config, _| config.swarm.peer_details,
        |config, _, keep| config.swarm.peer_details = keep,
    ),
    Key::fraction(
        "similarity_threshold",
        "Share of equal hexadecimal digits from which info-hashes are similar, if their first 10\n\
         and last 5 digits agree: 0.95 = 38 of 40. The API reports similar ones together. At most\n\
         0.375 = those 15 digits suffice; 1.0 = off.",
        (0.0, 1.0),
        |config| config.swarm.similarity_threshold,
        |config, share| config.swarm.similarity_threshold = share,
    ),
    Key::switch(
        "merge_similar",
        "Answer announces and scrapes of a torrent from the swarm of an older one that is similar.\n\
         Off, because an info-hash is all that tells torrents apart: 15 digits are 60 bits, so that\n\
         somebody can grind a torrent whose peers get mixed into the swarm of another. A higher\n\
         threshold makes that harder; see docs/similar-hashes.md.",
        |config, _| config.swarm.merge_similar,
        |config, _, merge| config.swarm.merge_similar = merge,
    ),
];

pub(super) const STORE: &[Key] = &[
    Key::text(
        "path",
        "Folder, made when it is missing; a relative one begins at the current folder. Empty =\n\
         keep nothing.",
        "a path of at most 4096 bytes without NUL",
        |config, _| config.store.path.clone(),
        |config, _, path| is_path(path).then(|| config.store.path = path.into()),
    ),
    Key::whole(
        "snapshot_interval",
        "Seconds between two snapshots: what a crash may cost. 0 = only at the end, on SIGTERM.",
        (0, 86_400),
        |config| config.store.snapshot_interval.into(),
        |config, seconds| config.store.snapshot_interval = seconds as u32,
    ),
    Key::switch(
        "keep_peers",
        "Keep the peers of all torrents. Without, only how often torrents were completed is kept.",
        |config, _| config.store.keep_peers,
        |config, _, keep| config.store.keep_peers = keep,
    ),
    Key::text(
        "on_damage",
        "What to do with a store that cannot be read: keep it under another name and start with\n\
         nothing, or refuse to start.",
        "\"set_aside\" or \"refuse\"",
        |config, _| {
            let name = match config.store.on_damage {
                OnDamage::SetAside => "set_aside",
                OnDamage::Refuse => "refuse",
            };
            name.into()
        },
        |config, _, name| {
            config.store.on_damage = match name {
                "set_aside" => OnDamage::SetAside,
                "refuse" => OnDamage::Refuse,
                _ => return None,
            };
            Some(())
        },
    ),
];

pub(super) const LOG: &[Key] = &[
    Key::text(
        "level",
        "Least important level that is written, and others for modules: with\n\
         \"info,shoal::http=debug\" more of HTTP is. \"shoal::requests=debug\" is a line for each\n\
         request, as --verbose.",
        "\"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\", and levels of modules",
        |config, _| config.log.level.to_string(),
        |config, _, text| {
            config.log.level = Levels::parse(text)?;
            Some(())
        },
    ),
    Key::text(
        "format",
        "\"text\" for people, \"json\" for programs: one object a line.",
        "\"text\" or \"json\"",
        |config, _| {
            let name = match config.log.format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            };
            name.into()
        },
        |config, _, name| {
            config.log.format = match name {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return None,
            };
            Some(())
        },
    ),
    Key::text(
        "file",
        "File to write to, opened anew on SIGHUP; a relative path begins at the current folder.\n\
         Empty = standard error, which under systemd is the journal.",
        "a path of at most 4096 bytes without NUL, or nothing",
        |config, _| config.log.file.clone(),
        |config, _, path| is_path(path).then(|| config.log.file = path.into()),
    ),
    Key::size(
        "max_bytes",
        "Size past which the file does not grow: it becomes FILE.1, that FILE.2 and so on. 0 =\n\
         any size, as where another program sees to it.",
        1 << 40,
        |config| config.log.max_bytes,
        |config, bytes| config.log.max_bytes = bytes,
    ),
    Key::whole(
        "backup_count",
        "How many of those are kept.",
        (1, 1000),
        |config| config.log.backup_count as u64,
        |config, count| config.log.backup_count = count as usize,
    ),
    Key::switch(
        "full_addresses",
        "Write addresses of clients in full, where requests are logged. Otherwise 203.0.113.7 is\n\
         203.0.113.x, and of IPv6 48 bits are told.",
        |config, _| config.log.full_addresses,
        |config, _, full| config.log.full_addresses = full,
    ),
    Key::whole(
        "stats_interval",
        "Seconds between two reports of the counters; 0 = only on SIGUSR1.",
        (0, 86_400),
        |config| config.log.stats_interval.into(),
        |config, seconds| config.log.stats_interval = seconds as u32,
    ),
];

pub(super) const SANDBOX: &[Key] = &[
    Key::switch(
        "system_calls",
        "Leave only the system calls that a tracker makes (seccomp). Off where a library, perhaps one\n\
         that was put before others with LD_PRELOAD, needs more.",
        |config, _| config.sandbox.system_calls,
        |config, _, restrict| config.sandbox.system_calls = restrict,
    ),
    Key::switch(
        "files",
        "Leave only the folders of the files that are named here, to read or to write, and nothing that\n\
         could be run (Landlock). Off where lists or certificates move to other folders and a restart\n\
         is too much.",
        |config, _| config.sandbox.files,
        |config, _, restrict| config.sandbox.files = restrict,
    ),
    Key::switch(
        "core_dumps",
        "Let a crash leave the process's memory behind, with tokens and keys in it, and let other\n\
         processes of its user look into it. On only to find a fault.",
        |config, _| config.sandbox.core_dumps,
        |config, _, allow| config.sandbox.core_dumps = allow,
    ),
];
