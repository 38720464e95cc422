//! What the two processes say to each other.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::net::passage::{Passage, Passed, WORD_LEN_MAX};
use crate::store;
use crate::swarm::Credited;
use crate::wire::InfoHash;

/// The version of all this.
const VERSION: u32 = 1;

/// The first byte of a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Word {
    Hello = 1,
    Socket = 2,
    Go = 3,
    State = 4,
    Told = 5,
    Credit = 6,
    End = 7,
    Farewell = 8,
    ReadyForState = 9,
    ReadyToServe = 10,
    Reading = 11,
    Serving = 12,
}

impl Word {
    const ALL: [Self; 12] = [
        Self::Hello,
        Self::Socket,
        Self::Go,
        Self::State,
        Self::Told,
        Self::Credit,
        Self::End,
        Self::Farewell,
        Self::ReadyForState,
        Self::ReadyToServe,
        Self::Reading,
        Self::Serving,
    ];
}

/// What the new process is told first.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::boot) struct Hello {
    /// Of these words.
    version: u32,
    /// Of the program.
    program: String,
    pub(in crate::boot) pid: u32,
    pub(in crate::boot) cores: usize,
    /// The secret by which info-hashes are spread over the cores.
    pub(in crate::boot) steering: u64,
    /// Whether the kernel knows it.
    pub(in crate::boot) is_steered: bool,
    pub(in crate::boot) connection_id_key: [u8; store::KEY_LEN],
    /// Seconds of a unit of age.
    pub(in crate::boot) unit_s: u32,
    /// How many sockets follow.
    pub(in crate::boot) sockets: usize,
}

impl Hello {
    /// A greeting of this process, to which the number of sockets is still to be added.
    pub(in crate::boot) fn new(
        cores: usize,
        steering: u64,
        is_steered: bool,
        connection_id_key: [u8; store::KEY_LEN],
        unit_s: u32,
    ) -> Self {
        Self {
            version: VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            cores,
            steering,
            is_steered,
            connection_id_key,
            unit_s,
            sockets: 0,
        }
    }

    /// An error, as a sentence, when the other one speaks otherwise.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.version == VERSION && self.unit_s > 0 {
            return Ok(());
        }
        Err(format!(
            "shoal {} hands over in another way than this shoal {} takes over; restart it as usual",
            self.program,
            env!("CARGO_PKG_VERSION")
        ))
    }
}

/// What a descriptor is.
#[derive(Serialize, Deserialize)]
pub(super) struct Label {
    pub(super) kind: Kind,
    pub(super) name: String,
}

/// What the holder of a key is to be credited with, and how many seconds ago a client announced last.
pub(in crate::boot) type Owed = (Credited, u32);

/// The same as it is said.
#[derive(Serialize, Deserialize)]
pub(super) struct CreditWord {
    key: u32,
    info_hash: [u8; 20],
    uploaded: u64,
    downloaded: u64,
    left: u64,
    seed_s: u32,
    ago_s: u32,
}

impl CreditWord {
    pub(super) fn of(sum: &Credited, now_s: u32) -> Self {
        Self {
            key: sum.key,
            info_hash: sum.info_hash.0,
            uploaded: sum.uploaded,
            downloaded: sum.downloaded,
            left: sum.left,
            seed_s: sum.seed_s,
            ago_s: now_s.saturating_sub(sum.heard_s),
        }
    }

    pub(super) fn owed(&self) -> Owed {
        let credited = Credited {
            key: self.key,
            info_hash: InfoHash(self.info_hash),
            uploaded: self.uploaded,
            downloaded: self.downloaded,
            left: self.left,
            seed_s: self.seed_s,
            heard_s: 0,
        };
        (credited, self.ago_s)
    }
}

/// One end of the passage, and what was heard last.
pub(super) struct Talk {
    passage: Passage,
    heard: Box<[u8; WORD_LEN_MAX]>,
}

/// A word with what belongs to it.
pub(super) type Heard<'a> = (Word, &'a [u8], Option<OwnedFd>);

/// What the other end did.
pub(super) enum Reply<'a> {
    Word(Heard<'a>),
    Nothing,
    Gone,
}

impl Talk {
    /// A talk in which a word may take `hearing` to come and `saying` to be taken.
    pub(super) fn new(passage: Passage, hearing: Duration, saying: Duration) -> io::Result<Self> {
        passage.set_patience(hearing, saying)?;
        Ok(Self {
            passage,
            heard: vec![0; WORD_LEN_MAX]
                .try_into()
                .map_err(|_| io::ErrorKind::OutOfMemory)?,
        })
    }

    pub(super) fn say(&self, word: Word, body: &[u8]) -> io::Result<()> {
        self.passage.send(&[&[word as u8], body], None)
    }

    pub(super) fn say_in_json(
        &self,
        word: Word,
        body: &impl Serialize,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let body = serde_json::to_vec(body)?;
        self.passage.send(&[&[word as u8], &body], descriptor)
    }

    /// Waits for a word.
    pub(super) fn hear(&mut self) -> io::Result<Reply<'_>> {
        let passed = self.passage.receive(&mut self.heard)?;
        self.read(passed)
    }

    /// A word that is there already.
    pub(super) fn overhear(&mut self) -> io::Result<Reply<'_>> {
        let passed = self.passage.look(&mut self.heard)?;
        self.read(passed)
    }

    fn read(&self, passed: Passed) -> io::Result<Reply<'_>> {
        Ok(match passed {
            Passed::Gone => Reply::Gone,
            Passed::Nothing => Reply::Nothing,
            Passed::Word(len, descriptor) => {
                let (kind, body) = self.heard[..len]
                    .split_first()
                    .ok_or(io::ErrorKind::InvalidData)?;
                let word = Word::ALL.into_iter().find(|word| *word as u8 == *kind);
                Reply::Word((word.ok_or(io::ErrorKind::InvalidData)?, body, descriptor))
            }
        })
    }
}
