//! Files that an operator, another tracker or a disk hands over.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use shoal::config;
use shoal::gate::hash_list::{self, HashList};
use shoal::gate::keys::{AnnounceKey, KeyRow};
use shoal::gate::networks;
use shoal::import::lists::Purpose;
use shoal::import::{self, sqlite, state};
use shoal::store::{
    Claim, Credit, List, Metadata, Note, OnDamage, Records, RecordsError, Span, count_block,
};
use shoal::wire::InfoHash;
use tempfile::TempDir;

const NOW_UNIX_S: u64 = 1_800_000_000;

fn load(text: &str) -> Option<config::Config> {
    let variables = [(OsString::from("SHOAL_CONFIG_TOML"), OsString::from(text))];
    config::load(None, variables, &[])
        .ok()
        .map(|loaded| loaded.config)
}

pub(crate) fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // Variables have none.
    if text.contains('\0') {
        return;
    }
    if let Some(config) = load(text) {
        let printed = config.print();
        let again = load(&printed).expect("what is printed can be read");
        assert_eq!(printed, again.print());
    }
}

pub(crate) fn lists(data: &[u8]) {
    let hashes = hash_list::read(data, 2, |hash| usize::from(hash.0[0] & 1));
    if let Ok(hashes) = hashes {
        assert!(hashes.iter().map(HashList::len).sum::<usize>() <= data.len() / 40);
    }
    let _ = networks::read(data);
}

pub(crate) fn import(data: &[u8]) {
    let times = state::Times {
        now_unix_s: NOW_UNIX_S,
        peer_timeout_s: 3600,
    };
    match import::kind_of(data) {
        import::Kind::State => drop(state::read(data, times)),
        import::Kind::Ini => {
            if let Ok(records) = import::ini::read(data) {
                // It may ask for what does not go together, but it is TOML.
                let text = records.settings.unwrap_or_default();
                assert!(is_toml(&text), "{text}");
            }
        }
        import::Kind::Lists => {
            let _ = import::lists::read(data, Purpose::Allow);
            let _ = import::lists::read(data, Purpose::Block);
        }
        import::Kind::Sqlite => SCRATCH.with_borrow(|scratch| {
            let file = scratch.path().join("import.db");
            fs::write(&file, data).expect("a file can be written");
            let _ = sqlite::read(&file, times);
        }),
    }
}

fn is_toml(text: &str) -> bool {
    let variables = [(OsString::from("SHOAL_CONFIG_TOML"), OsString::from(text))];
    match config::load(None, variables, &[]) {
        Ok(_) => true,
        Err(mistakes) => !mistakes
            .sentences()
            .iter()
            .any(|said| said.contains("TOML")),
    }
}

pub(crate) fn block(data: &[u8]) {
    if let Some((torrents, peers)) = count_block(data) {
        assert!(torrents * InfoHash::LEN + peers * 8 <= data.len());
    }
}

/// A folder in memory, if there is such a file system.
pub(crate) fn scratch_in_memory() -> TempDir {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    };
    tempfile::tempdir_in(folder).expect("a folder can be made")
}

thread_local! {
    /// Where files are written.
    static SCRATCH: RefCell<TempDir> = RefCell::new(scratch_in_memory());
    /// A good file, to be spoilt.
    static GOOD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// A file of records with some bytes changed: three bytes say where, one what.
pub(crate) fn records(data: &[u8]) {
    SCRATCH.with_borrow(|scratch| {
        let folder = scratch.path().join("records");
        let claim = Arc::new(Claim::stake(&folder).expect("the folder is ours"));
        let file = folder.join("records.mdb");
        let mut bytes = GOOD.with_borrow_mut(|good| {
            good.get_or_insert_with(|| {
                fill(&claim);
                fs::read(&file).expect("the file was made")
            })
            .clone()
        });
        for change in data.chunks_exact(4) {
            let place = u32::from_be_bytes([0, change[0], change[1], change[2]]) as usize;
            let len = bytes.len();
            bytes[place % len] = change[3];
        }
        fs::write(&file, &bytes).expect("the file can be written");
        let Ok(opened) = Records::open(&claim, OnDamage::Refuse, NOW_UNIX_S) else {
            return;
        };
        let records = opened.store;
        let _ = records.page(List::Blocked, 0, 100);
        let _ = records.networks();
        let _ = records.keys();
        let _ = records.journal(None, 100, None);
        let _ = records.metadata_page(0, 100);
        let _ = records.transfers(0, 100);
        let _ = records.statistics(Span::Hour, 0, u64::MAX);
        let _ = records.add(List::Allowed, &[InfoHash([200; 20])], &note());
        let _ = records.remove(List::Blocked, &[InfoHash([1; 20])]);
    });
}

fn note() -> Note {
    Note {
        at_unix_s: NOW_UNIX_S,
        by: "somebody".to_owned(),
        reason: "a reason".to_owned(),
    }
}

/// A row at least in every database of the file.
fn fill(claim: &Arc<Claim>) {
    let records = Records::open(claim, OnDamage::Refuse, NOW_UNIX_S)
        .unwrap_or_else(|refusal| panic!("{}", refusal.sentence()))
        .store;
    let done = || -> Result<(), RecordsError> {
        let hashes: Vec<InfoHash> = (0..200).map(|n| InfoHash([n; 20])).collect();
        records.add(List::Allowed, &hashes, &note())?;
        records.add(List::Blocked, &hashes[..3], &note())?;
        let networks = ["192.0.2.0/24", "2001:db8::/32"];
        let networks: Vec<_> = networks
            .iter()
            .filter_map(|text| networks::parse(text.as_bytes()))
            .collect();
        records.add_networks(&networks, &note())?;
        for n in 1..4_u32 {
            let key = AnnounceKey::try_from(&[b'a' + n as u8; AnnounceKey::LEN][..]);
            let key = key.expect("letters make a key");
            let row = KeyRow {
                id: n,
                expires_unix_s: (n > 1).then_some(NOW_UNIX_S),
                created_unix_s: NOW_UNIX_S,
            };
            records.add_key(&key, &row)?;
            records.credit(&[Credit {
                key,
                info_hash: hashes[0],
                uploaded: 1,
                downloaded: 2,
                left: 3,
                seed_s: 4,
                at_unix_s: NOW_UNIX_S,
            }])?;
        }
        let metadata = Metadata {
            name: "a name".to_owned(),
            size: 1,
            piece_length: 2,
            comment: "a comment".to_owned(),
            created_by: "a program".to_owned(),
            creation_date: Some(3),
            at_unix_s: NOW_UNIX_S,
        };
        records.put_metadata(&hashes[0], &metadata)?;
        records.put_statistics(Span::Hour, NOW_UNIX_S, &[1, 2, 3])
    };
    done().unwrap_or_else(|error| panic!("{error}"));
}
