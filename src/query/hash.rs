//! Which torrent is meant: by its info-hash in hexadecimal or base32, by a magnet link, or by its
//! `.torrent` file.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read as _;

use crate::query::failure::printable;
use crate::wire::InfoHash;
use crate::wire::bencode::{self, Value};
use crate::wire::metainfo::{info_hashes, shortened};

/// Most bytes of a `.torrent` file: the largest in use have some 20 MB.
const TORRENT_LEN_MAX: u64 = 64 << 20;

/// An info-hash that nobody has: 20 random bytes.
pub fn random() -> InfoHash {
    let mut bytes = [0; InfoHash::LEN];
    fastrand::fill(&mut bytes);
    InfoHash(bytes)
}

/// The info-hashes that `text` names, which is one of the above. Hybrid torrents have two: SHA-1, and
/// the first 20 bytes of SHA-256 (BEP 52).
pub fn read(text: &str) -> Result<Vec<InfoHash>, String> {
    if let Some(rest) = strip_prefix_ignoring_case(text, "magnet:") {
        return magnet(rest);
    }
    if let Some(hash) = plain(text) {
        return Ok(vec![hash]);
    }
    match File::open(text) {
        Ok(file) => Ok(Torrent::read(text, file)?.info_hashes),
        Err(_) => Err(format!(
            "{} is no info-hash (40 or 64 hexadecimal digits, or 32 of base32), no magnet link and \
             no file that can be read",
            printable(text.as_bytes())
        )),
    }
}

/// What is asked of a `.torrent` file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Torrent {
    /// One, or two for a hybrid.
    pub info_hashes: Vec<InfoHash>,
    /// The announce URLs of all tiers, each once.
    pub trackers: Vec<String>,
}

impl Torrent {
    fn read(name: &str, file: File) -> Result<Self, String> {
        let mut bytes = Vec::new();
        file.take(TORRENT_LEN_MAX)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("{name} cannot be read: {error}"))?;
        Self::parse(&bytes).map_err(|mistake| format!("{name} is no .torrent file: {mistake}"))
    }

    /// Reads a `.torrent` file; the info-hash is that of the bytes as they are in the file, however they
    /// are sorted.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let torrent = bencode::parse(bytes)?;
        let info_bytes = bencode::value_of(bytes, b"info")?.ok_or("it has no \"info\"")?;
        let info = torrent.get("info").filter(|info| info.is_dict());
        let info = info.ok_or("its \"info\" is no dictionary")?;
        let is_v2 = info.get("meta version").and_then(Value::as_u64) == Some(2);
        let is_v1 = !is_v2 || info.get("pieces").is_some();
        let (mut trackers, mut seen) = (Vec::new(), HashSet::new());
        let tiers = torrent.get("announce-list").and_then(Value::as_list);
        let listed = tiers.into_iter().flatten().filter_map(Value::as_list);
        for url in listed.flatten().chain(torrent.get("announce")) {
            // A file may hold millions of them.
            if let Some(url) = url.as_str()
                && seen.insert(url)
            {
                trackers.push(url.to_owned());
            }
        }
        Ok(Self {
            info_hashes: info_hashes(info_bytes, is_v1, is_v2),
            trackers,
        })
    }
}

/// `xt=urn:btih:` with SHA-1 and `xt=urn:btmh:1220` with SHA-256, in any order (BEP 9, BEP 53).
fn magnet(link: &str) -> Result<Vec<InfoHash>, String> {
    let mut found = Vec::new();
    let query = link.trim_start_matches('?');
    for topic in query.split('&').filter_map(|piece| {
        let (name, value) = piece.split_once('=')?;
        // Several topics may be numbered.
        let is_topic =
            name.eq_ignore_ascii_case("xt") || strip_prefix_ignoring_case(name, "xt.").is_some();
        is_topic.then(|| value.replace("%3A", ":").replace("%3a", ":"))
    }) {
        let hash = if let Some(hash) = strip_prefix_ignoring_case(&topic, "urn:btih:") {
            plain(hash).filter(|_| hash.len() < 64)
        } else if let Some(hash) = strip_prefix_ignoring_case(&topic, "urn:btmh:1220") {
            plain(hash).filter(|_| hash.len() == 64)
        } else {
            continue;
        };
        let topic = printable(topic.as_bytes());
        found.push(hash.ok_or_else(|| format!("{topic} holds no info-hash"))?);
    }
    if found.is_empty() {
        return Err("the magnet link has no xt=urn:btih: or xt=urn:btmh:1220".to_owned());
    }
    Ok(found)
}

/// A hash alone, in the form that its length says.
fn plain(text: &str) -> Option<InfoHash> {
    match text.len() {
        40 => hex::<20>(text).map(InfoHash),
        64 => hex::<32>(text).map(|hash| shortened(&hash)),
        32 => base32(text).map(InfoHash),
        _ => None,
    }
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let digit = |byte: u8| char::from(byte).to_digit(16);
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(bytes)
}

/// RFC 4648, as magnet links of old have it: five bits a character.
fn base32(text: &str) -> Option<[u8; InfoHash::LEN]> {
    let mut bytes = Vec::with_capacity(InfoHash::LEN);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in text.bytes() {
        let value = match byte.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            digit @ b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    bytes.try_into().ok()
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let start = text.get(..prefix.len())?;
    start
        .eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}

#[cfg(test)]
mod tests {
    use sha1::{Digest as _, Sha1};

    use super::*;

    const HEX: &str = "00017f80ff2025262b2d2e3d3f415f617a7e0a0d";
    /// The same, as Python's `base64.b32encode` writes it.
    const BASE32: &str = "AAAX7AH7EASSMKZNFY6T6QK7MF5H4CQN";

    fn shown(text: &str) -> Vec<String> {
        let hashes = read(text).expect(text);
        hashes.iter().map(InfoHash::to_string).collect()
    }

    #[test]
    fn a_hash_is_read_in_every_form() {
        let long = format!("{HEX}{}", "00".repeat(12));
        assert_eq!(shown(HEX), [HEX]);
        assert_eq!(shown(&HEX.to_uppercase()), [HEX]);
        assert_eq!(shown(BASE32), [HEX]);
        assert_eq!(shown(&BASE32.to_lowercase()), [HEX]);
        assert_eq!(shown(&long), [HEX]);
        assert_eq!(shown(&format!("magnet:?xt=urn:btih:{HEX}&dn=x")), [HEX]);
        assert_eq!(
            shown(&format!("magnet:?dn=x&xt=urn%3Abtih%3A{BASE32}")),
            [HEX]
        );
        let hybrid = format!("magnet:?xt=urn:btih:{HEX}&xt=urn:btmh:1220{long}");
        assert_eq!(shown(&hybrid), [HEX, HEX]);
    }

    #[test]
    fn what_is_no_hash_is_said() {
        for text in ["", "00", "magnet:?dn=x", "magnet:?xt=urn:btih:00", "\u{fc}"] {
            assert!(read(text).is_err(), "{text}");
        }
        let odd = HEX.replace('f', "g");
        assert!(read(&odd).unwrap_err().contains("no info-hash"));
    }

    #[test]
    fn a_torrent_is_known_by_the_bytes_of_its_info_as_they_are() {
        // Unsorted on purpose: writing the dictionary again would change the hash.
        let info = b"d4:name1:x6:lengthi1e6:pieces0:e";
        let urls = b"d8:announce9:udp://t:113:announce-listll9:udp://t:2el9:udp://t:1ee";
        let mut file = urls.to_vec();
        file.extend(b"4:info");
        file.extend(info);
        file.push(b'e');
        let torrent = Torrent::parse(&file).unwrap();
        let expected: [u8; 20] = Sha1::digest(info).into();
        assert_eq!(torrent.info_hashes, [InfoHash(expected)]);
        assert_eq!(torrent.trackers, ["udp://t:2", "udp://t:1"]);
    }

    #[test]
    fn a_hybrid_has_two_hashes_and_version_2_alone_has_one() {
        let both = b"d4:infod12:meta versioni2e6:pieces0:ee";
        assert_eq!(Torrent::parse(both).unwrap().info_hashes.len(), 2);
        let second = b"d4:infod12:meta versioni2eee";
        assert_eq!(Torrent::parse(second).unwrap().info_hashes.len(), 1);
        for broken in [&b""[..], b"de", b"d4:info1:xe", b"i5e", b"d4:infod"] {
            assert!(Torrent::parse(broken).is_err());
        }
    }

    #[test]
    fn a_torrent_with_ever_so_many_trackers_is_read_at_once() {
        let mut file = b"d13:announce-listl".to_vec();
        for number in 0..100_000 {
            file.extend(format!("l15:udp://h:{number:07}e").bytes());
        }
        file.extend(b"e4:infod6:pieces0:ee");
        let begun = std::time::Instant::now();
        assert_eq!(Torrent::parse(&file).unwrap().trackers.len(), 100_000);
        assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    }
}
