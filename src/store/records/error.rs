//! Why a call could not be done.

use std::fmt;
use std::path::Path;

use crate::store::claim::Refusal;
use crate::store::disk;

/// What comes of a call.
pub(super) type Result<T> = std::result::Result<T, RecordsError>;

/// Why a call could not be done, as one sentence. Nothing of it was, and the next one tries anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordsError {
    sentence: String,
    is_full_disk: bool,
    is_lent: bool,
}

impl RecordsError {
    /// True when there was no room on the disk, or none that is left to this user.
    pub fn is_full_disk(&self) -> bool {
        self.is_full_disk
    }

    /// True when another process has the file, for a moment.
    pub fn is_lent(&self) -> bool {
        self.is_lent
    }

    pub(super) fn new(path: &Path, error: &heed::Error) -> Self {
        let shown = path.display();
        match error {
            heed::Error::Io(error) if disk::is_full(error) => Self {
                sentence: format!(
                    "the disk is full, so the store {shown} cannot be written: {error}"
                ),
                is_full_disk: true,
                is_lent: false,
            },
            heed::Error::Decoding(why) => Self {
                sentence: disk::damage(path, &why.to_string()),
                is_full_disk: false,
                is_lent: false,
            },
            error => Self {
                sentence: format!("the store {shown} cannot be used: {error}"),
                is_full_disk: false,
                is_lent: false,
            },
        }
    }
}

impl From<Refusal> for RecordsError {
    fn from(refusal: Refusal) -> Self {
        Self {
            sentence: refusal.sentence().to_owned(),
            is_full_disk: matches!(refusal, Refusal::Unmade { is_full_disk, .. } if is_full_disk),
            is_lent: matches!(refusal, Refusal::Busy(_)),
        }
    }
}

impl fmt::Display for RecordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for RecordsError {}
