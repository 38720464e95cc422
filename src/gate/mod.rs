//! Who may speak: connection ids prove an address, the address policy says which addresses are
//! served and stored, the operator's lists turn away torrents, clients and sources, the keys of a
//! private tracker let in those who have one, and buckets stop those who ask too often.

pub mod access;
pub mod address_policy;
pub mod connection_id;
pub mod flood;
pub mod hash_list;
pub mod keys;
pub mod layered;
pub mod networks;

use std::fmt;

/// A line of a list that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadLine {
    /// Its number, from 1 on.
    pub number: usize,
    /// What it should have been.
    pub wanted: &'static str,
    /// The word in its place, shortened and escaped.
    pub word: String,
}

impl BadLine {
    fn new(at: usize, wanted: &'static str, word: &[u8]) -> Self {
        const SHOWN_LEN_MAX: usize = 64;
        let shown = String::from_utf8_lossy(&word[..word.len().min(SHOWN_LEN_MAX)]);
        Self {
            number: at + 1,
            wanted,
            word: shown.escape_debug().to_string(),
        }
    }
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            wanted,
            word,
        } = self;
        write!(f, "line {number} is not {wanted}: \"{word}\"")
    }
}

/// The first word of every line that has one and is no remark, with the number of lines before it. What
/// follows behind a blank or a comma is a remark, as is a line that begins with `#`.
fn first_words(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    lines.enumerate().filter_map(|(at, line)| {
        let ends = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
        let word = line.split(ends).next()?;
        (!line.is_empty() && line[0] != b'#').then_some((at, word))
    })
}
