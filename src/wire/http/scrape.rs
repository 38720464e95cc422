//! Which torrents a scrape names in its query (BEP 48).

use super::query::{QueryFault, decode, pairs};
use crate::wire::InfoHash;

/// Puts the torrents that the query names into `out`, sorted by their bytes and each once, as the
/// reply must list them, and tells how many they are. None at all is a scrape of everything.
///
/// A query that names more than `out` holds, repetitions included, is refused.
pub fn parse(query: Option<&[u8]>, out: &mut [InfoHash]) -> Result<usize, QueryFault> {
    let mut count = 0;
    for (key, value) in pairs(query.unwrap_or_default()) {
        if key == b"info_hash" {
            let info_hash = decode(value).ok_or(QueryFault::InvalidInfoHash)?;
            let place = out.get_mut(count).ok_or(QueryFault::TooManyInfoHashes)?;
            *place = InfoHash(info_hash);
            count += 1;
        }
    }
    let found = &mut out[..count];
    found.sort_unstable();
    Ok(keep_each_once(found))
}

/// Moves the first of every run of equals to the front and tells how many there are.
fn keep_each_once(sorted: &mut [InfoHash]) -> usize {
    let mut kept = 0;
    for at in 0..sorted.len() {
        if kept == 0 || sorted[kept - 1] != sorted[at] {
            sorted[kept] = sorted[at];
            kept += 1;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(query: &str, max: usize) -> Result<Vec<u8>, QueryFault> {
        let mut out = vec![InfoHash([0xee; 20]); max];
        let count = parse(Some(query.as_bytes()), &mut out)?;
        Ok(out[..count].iter().map(|hash| hash.0[19]).collect())
    }

    fn query(letters: &str) -> String {
        let pair = |letter| format!("info_hash=aaaaaaaaaaaaaaaaaaa{letter}");
        letters.chars().map(pair).collect::<Vec<_>>().join("&")
    }

    #[test]
    fn torrents_are_sorted_and_each_is_named_once() {
        assert_eq!(hashes(&query("a"), 5).unwrap(), b"a");
        assert_eq!(hashes(&query("cab"), 5).unwrap(), b"abc");
        assert_eq!(hashes(&query("bbabb"), 5).unwrap(), b"ab");
        assert_eq!(hashes(&format!("x=y&{}&z", query("ba")), 5).unwrap(), b"ab");
    }

    #[test]
    fn bytes_are_compared_as_unsigned_numbers() {
        let query = "info_hash=aaaaaaaaaaaaaaaaaaa%ff&info_hash=aaaaaaaaaaaaaaaaaaa%00";
        assert_eq!(hashes(query, 2).unwrap(), [0, 0xff]);
    }

    #[test]
    fn repetitions_count_against_the_limit() {
        assert_eq!(hashes(&query("abc"), 3).unwrap(), b"abc");
        assert_eq!(
            hashes(&query("abca"), 3),
            Err(QueryFault::TooManyInfoHashes)
        );
        assert_eq!(hashes(&query("a"), 0), Err(QueryFault::TooManyInfoHashes));
    }

    #[test]
    fn no_torrent_is_all_of_them_and_a_bad_one_is_a_fault() {
        assert_eq!(parse(None, &mut []), Ok(0));
        assert_eq!(hashes("", 1), Ok(vec![]));
        assert_eq!(hashes("passkey=x&info_has=a", 1), Ok(vec![]));
        assert_eq!(hashes("info_hash=", 1), Err(QueryFault::InvalidInfoHash));
        assert_eq!(hashes("info_hash", 1), Err(QueryFault::InvalidInfoHash));
        let bad = format!("{}&info_hash=%zz", query("a"));
        assert_eq!(hashes(&bad, 2), Err(QueryFault::InvalidInfoHash));
    }
}
