//! What a `.torrent` file says of its torrent: BEP 3, BEP 52, and hybrids of both.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use super::InfoHash;
use super::bencode;

/// Most bytes of a `.torrent` file: the largest in use have some 20 MB.
pub const FILE_LEN_MAX: u64 = 64 << 20;

/// Most bytes that are kept of a name.
pub const NAME_LEN_MAX: usize = 1024;

/// Most bytes that are kept of a comment, or of who made the file.
pub const TEXT_LEN_MAX: usize = 4096;

/// What a tracker wants to know of a torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metainfo {
    /// The info-hash of version 1, the shortened one of version 2, or for a hybrid both in this order.
    pub info_hashes: Vec<InfoHash>,
    /// Its name as text, `name.utf-8` before `name`; at most [`NAME_LEN_MAX`] bytes, empty when it has none.
    /// From a stranger: it may hold control characters and HTML.
    pub name: String,
    /// Bytes of all files together, without padding.
    pub size: u64,
    /// Bytes of a piece; 0 when it is not said.
    pub piece_length: u64,
    /// What its maker remarks; at most [`TEXT_LEN_MAX`] bytes, else like the name.
    pub comment: String,
    /// The program that made it; likewise.
    pub created_by: String,
    /// Seconds since 1970.
    pub creation_date: Option<u64>,
}

impl Metainfo {
    /// Reads a `.torrent` file. The info-hashes are those of the bytes as they are in the file, however they
    /// are sorted. What only adorns (comment, created by, creation date) is passed over when it is of the
    /// wrong type; the error says what else is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let info_bytes = bencode::value_of(bytes, b"info")?.ok_or("it has no \"info\"")?;
        let head: Head = bencode::read(bytes)?;
        // A list of the same values in the right order would be read as well.
        if !info_bytes.starts_with(b"d") {
            return Err("its \"info\" is no dictionary".to_owned());
        }
        let info: Info =
            bencode::read(info_bytes).map_err(|error| format!("its \"info\": {error}"))?;
        let is_v2 = match info.meta_version {
            None | Some(1) => false,
            Some(2) => true,
            Some(other) => return Err(format!("its version is {other}; known are 1 and 2")),
        };
        let is_v1 = info.pieces.is_some();
        if !is_v1 && !is_v2 {
            return Err("its \"info\" has neither \"pieces\" nor \"meta version\"".to_owned());
        }
        let size = match (&info.file_tree, &info.files, info.length) {
            (Some(tree), _, _) if is_v2 => tree.0,
            (_, _, Some(length)) => length,
            (_, Some(files), _) => files.0,
            _ => return Err("its \"info\" names no files".to_owned()),
        };
        let name = info.name_utf8.0.or(info.name.0).unwrap_or_default();
        Ok(Self {
            info_hashes: info_hashes(info_bytes, is_v1, is_v2),
            name: cut(name, NAME_LEN_MAX),
            size,
            piece_length: info.piece_length.unwrap_or(0),
            comment: cut(
                head.comment_utf8.0.or(head.comment.0).unwrap_or_default(),
                TEXT_LEN_MAX,
            ),
            created_by: cut(head.created_by.0.unwrap_or_default(), TEXT_LEN_MAX),
            creation_date: head.creation_date.0,
        })
    }
}

/// The info-hashes of an info dictionary with these bytes, of those versions that it is of.
pub fn info_hashes(info: &[u8], is_v1: bool, is_v2: bool) -> Vec<InfoHash> {
    let v1 = is_v1.then(|| InfoHash(Sha1::digest(info).into()));
    let v2 = is_v2.then(|| shortened(&Sha256::digest(info).into()));
    v1.into_iter().chain(v2).collect()
}

/// A hash of SHA-256 as announces carry it (BEP 52).
pub fn shortened(hash: &[u8; 32]) -> InfoHash {
    let mut first = [0; InfoHash::LEN];
    first.copy_from_slice(&hash[..InfoHash::LEN]);
    InfoHash(first)
}

/// The start of a text, up to a border between characters.
pub fn cut(mut text: String, len_max: usize) -> String {
    let border = (0..=len_max).rfind(|at| text.is_char_boundary(*at));
    if text.len() > len_max {
        text.truncate(border.unwrap_or(0));
    }
    text
}

#[derive(serde::Deserialize)]
struct Head {
    #[serde(default)]
    comment: Loose<String>,
    #[serde(default, rename = "comment.utf-8")]
    comment_utf8: Loose<String>,
    #[serde(default, rename = "created by")]
    created_by: Loose<String>,
    #[serde(default, rename = "creation date")]
    creation_date: Loose<u64>,
    /// Two of them would be two torrents.
    #[serde(rename = "info")]
    _info: Option<IgnoredAny>,
}

#[derive(serde::Deserialize)]
struct Info {
    #[serde(default)]
    name: Loose<String>,
    #[serde(default, rename = "name.utf-8")]
    name_utf8: Loose<String>,
    #[serde(rename = "piece length")]
    piece_length: Option<u64>,
    pieces: Option<Bytes>,
    length: Option<u64>,
    files: Option<Files>,
    #[serde(rename = "meta version")]
    meta_version: Option<u64>,
    #[serde(rename = "file tree")]
    file_tree: Option<Tree>,
}

/// What is taken when it is of the right type, and passed over when not.
struct Loose<T>(Option<T>);

impl<T> Default for Loose<T> {
    fn default() -> Self {
        Self(None)
    }
}

/// What can be made of a byte string or a number.
trait Plain: Sized {
    fn of_bytes(_bytes: &[u8]) -> Option<Self> {
        None
    }

    fn of_number(_number: u64) -> Option<Self> {
        None
    }
}

impl Plain for String {
    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self::from_utf8_lossy(bytes).into_owned())
    }
}

impl Plain for u64 {
    fn of_number(number: u64) -> Option<Self> {
        Some(number)
    }
}

impl<'de, T: Plain> Deserialize<'de> for Loose<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor(PhantomData))
    }
}

struct LooseVisitor<T>(PhantomData<T>);

impl<'de, T: Plain> Visitor<'de> for LooseVisitor<T> {
    type Value = Loose<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Loose(T::of_bytes(bytes)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Loose(T::of_number(number)))
    }

    fn visit_i64<E>(self, _number: i64) -> Result<Self::Value, E> {
        Ok(Loose(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Loose(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Loose(None))
    }
}

/// A byte string that nobody looks into.
struct Bytes;

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;

        impl Visitor<'_> for BytesVisitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the hashes of the pieces as a byte string")
            }

            fn visit_bytes<E>(self, _bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes)
            }
        }

        // `deserialize_bytes` would take every type as the bytes that it is written with.
        deserializer.deserialize_any(BytesVisitor)
    }
}

/// The length of all `files` (BEP 3) but those that only pad (BEP 47).
struct Files(u64);

#[derive(serde::Deserialize)]
#[serde(expecting = "a file")]
struct File {
    length: u64,
    #[serde(default)]
    attr: Loose<String>,
}

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FilesVisitor;

        impl<'de> Visitor<'de> for FilesVisitor {
            type Value = Files;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of files")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Files, A::Error> {
                let mut sum = 0;
                while let Some(File { length, attr }) = list.next_element()? {
                    if !attr.0.is_some_and(|attr| attr.contains('p')) {
                        sum = add(sum, length)?;
                    }
                }
                Ok(Files(sum))
            }
        }

        deserializer.deserialize_seq(FilesVisitor)
    }
}

/// The length of all files in a folder of version 2. A file is the value of an empty name.
struct Tree(u64);

#[derive(serde::Deserialize)]
#[serde(expecting = "a file")]
struct Leaf {
    length: u64,
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TreeVisitor;

        impl<'de> Visitor<'de> for TreeVisitor {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("in place of a folder of files")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut folder: A) -> Result<Tree, A::Error> {
                let mut sum = 0;
                while let Some(Loose(name)) = folder.next_key::<Loose<String>>()? {
                    let length = match name.as_deref() {
                        Some("") => folder.next_value::<Leaf>()?.length,
                        _ => folder.next_value::<Tree>()?.0,
                    };
                    sum = add(sum, length)?;
                }
                Ok(Tree(sum))
            }
        }

        deserializer.deserialize_map(TreeVisitor)
    }
}

fn add<E: de::Error>(sum: u64, length: u64) -> Result<u64, E> {
    sum.checked_add(length)
        .ok_or_else(|| E::custom("its files are longer than 2^64 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file with this info dictionary.
    fn file(info: &[u8]) -> Vec<u8> {
        [b"d4:info", info, b"e"].concat()
    }

    fn mistake(bytes: &[u8]) -> String {
        Metainfo::parse(bytes).expect_err("a mistake")
    }

    #[test]
    fn a_torrent_of_one_file_is_read() {
        let info =
            b"d6:lengthi7e4:name5:a.iso12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
        let head = b"d7:comment2:hi10:created by4:mk 113:creation datei1700000000e4:info";
        let read = Metainfo::parse(&[head, &info[..], b"e"].concat()).unwrap();
        let expected = Metainfo {
            info_hashes: vec![InfoHash(Sha1::digest(info).into())],
            name: "a.iso".to_owned(),
            size: 7,
            piece_length: 16384,
            comment: "hi".to_owned(),
            created_by: "mk 1".to_owned(),
            creation_date: Some(1_700_000_000),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn a_name_in_utf8_comes_before_one_in_another_encoding() {
        let read = |info: &[u8]| Metainfo::parse(&file(info)).unwrap().name;
        let both = b"d6:lengthi1e4:name2:\xe4x10:name.utf-83:\xc3\xa4x6:pieces0:e";
        assert_eq!(read(both), "\u{e4}x");
        assert_eq!(read(b"d6:lengthi1e4:name2:\xe4x6:pieces0:e"), "\u{fffd}x");
        assert_eq!(read(b"d6:lengthi1e4:namele6:pieces0:e"), "");
    }

    #[test]
    fn padding_and_folders_are_summed_up_as_they_should() {
        let size = |info: &[u8]| Metainfo::parse(&file(info)).unwrap().size;
        let padded = b"d5:filesld6:lengthi5eed4:attr1:p6:lengthi100eed6:lengthi7eee6:pieces0:e";
        assert_eq!(size(padded), 12);
        let tree = b"d9:file treed1:ad1:bd0:d6:lengthi5eee1:cd0:d6:lengthi2eeee1:dd0:d6:lengthi1eeee12:meta versioni2ee";
        assert_eq!(size(tree), 8);
    }

    #[test]
    fn what_only_adorns_may_be_of_any_type() {
        let read = Metainfo::parse(
            b"d7:commentli1ee10:created byi5e13:creation date3:now4:infod6:lengthi1e6:pieces0:ee",
        );
        let read = read.unwrap();
        assert_eq!(read.comment, "");
        assert_eq!(read.creation_date, None);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("\u{e4}\u{e4}".to_owned(), 3), "\u{e4}");
        assert_eq!(cut("abc".to_owned(), 3), "abc");
        assert_eq!(cut(String::new(), 3), "");
    }

    #[test]
    fn what_is_no_torrent_is_said() {
        assert!(mistake(b"").contains("no dictionary"));
        assert!(mistake(b"de").contains("no \"info\""));
        assert!(mistake(b"le").contains("no dictionary"));
        assert!(mistake(b"d4:info1:xe").contains("no dictionary"));
        assert!(mistake(b"d4:infod6:lengthi1e6:pieces0:e4:infodee").contains("duplicate"));
        for (info, said) in [
            (&b"de"[..], "neither \"pieces\" nor"),
            (b"d6:pieces0:e", "names no files"),
            (b"d6:lengthi-1e6:pieces0:e", "invalid value"),
            (
                b"d6:length1:x6:pieces0:e",
                "found byte array in place of a number",
            ),
            (
                b"d6:lengthi1e6:piecesi1ee",
                "in place of the hashes of the pieces",
            ),
            (
                b"d5:filesd1:ai1ee6:pieces0:e",
                "in place of a list of files",
            ),
            (b"d6:lengthi1e12:meta versioni3ee", "version is 3"),
            (
                b"d9:file treele12:meta versioni2ee",
                "in place of a folder of files",
            ),
            (
                b"d9:file treed0:i1ee12:meta versioni2ee",
                "in place of a file",
            ),
            (
                b"d5:filesld6:lengthi18446744073709551615eed6:lengthi1eee6:pieces0:e",
                "longer than 2^64",
            ),
        ] {
            let mistake = mistake(&file(info));
            assert!(
                mistake.contains(said),
                "{mistake} for {}",
                info.escape_ascii()
            );
        }
        let bomb = [b"d9:file tree".to_vec(), b"d1:a".repeat(100_000)].concat();
        assert!(mistake(&file(&bomb)).contains("nested"));
    }

    #[test]
    fn random_and_mutated_files_never_panic() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let good = b"d7:comment2:hi4:infod9:file treed1:ad0:d6:lengthi5eeee5:filesld6:lengthi5eee4:name1:x6:pieces0:ee";
        for _ in 0..50_000 {
            let mut bytes = good.to_vec();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..bytes.len());
                match random.u8(..3) {
                    0 => bytes[at] = random.u8(..),
                    1 => bytes[at] = *random.choice(b"dlei0123456789:").unwrap(),
                    _ => bytes.truncate(at + 1),
                }
            }
            let _ = Metainfo::parse(&bytes);
        }
    }
}
