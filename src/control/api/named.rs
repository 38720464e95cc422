//! What requests name: info-hashes, networks, pages of a list.

use ipnet::IpNet;
use serde::Deserialize;

use crate::control::problem::Problem;
use crate::gate::{hash_list, networks};
use crate::wire::InfoHash;

/// Rows of a page when the client names no number, and the most that it gets.
const PAGE_DEFAULT: usize = 1000;
const PAGE_MAX: usize = 10_000;

/// Which rows of a list.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Page {
    pub(super) offset: u64,
    limit: Option<usize>,
}

impl Page {
    pub(super) fn limit(&self) -> usize {
        limit(self.limit)
    }
}

/// How many rows a client gets that wants so many.
pub(super) fn limit(wanted: Option<usize>) -> usize {
    wanted.unwrap_or(PAGE_DEFAULT).min(PAGE_MAX)
}

/// An info-hash of version 1 or 2.
pub(super) fn info_hash(text: &str) -> Result<InfoHash, Problem> {
    hash_list::parse(text.as_bytes()).ok_or_else(|| {
        Problem::bad_request(format_args!(
            "{} is no info-hash: 40 hexadecimal digits are, or the 64 of version 2",
            shown(text)
        ))
    })
}

/// Info-hashes, of which the first that is none is named.
pub(super) fn info_hashes(texts: &[String]) -> Result<Vec<InfoHash>, Problem> {
    texts.iter().map(|text| info_hash(text)).collect()
}

/// Networks, and addresses, which are networks of themselves; the first that is none is named.
pub(super) fn networks(texts: &[String]) -> Result<Vec<IpNet>, Problem> {
    let network = |text: &String| {
        networks::parse(text.as_bytes()).ok_or_else(|| {
            Problem::bad_request(format_args!(
                "{} is neither an address nor a network such as 192.0.2.0/24",
                shown(text)
            ))
        })
    };
    texts.iter().map(network).collect()
}

/// A text of a client as an error repeats it: in quotes, on one line, and short.
fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    let short: String = text.chars().take(SHOWN_MAX).collect();
    format!("{short:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_info_hash_and_no_network_is_named() {
        let good = "aa".repeat(20);
        let bad = info_hashes(&[good.clone(), "x\n".into()]).unwrap_err();
        assert!(format!("{bad:?}").contains("x\\\\n"), "{bad:?}");
        assert_eq!(info_hashes(&[good]).unwrap(), [InfoHash([0xaa; 20])]);
        let good = ["192.0.2.1", "192.0.2.0/24", "2001:db8::/32"].map(str::to_owned);
        assert_eq!(networks(&good).unwrap().len(), 3);
        for bad in ["", "192.0.2.0/33", "::ffff:192.0.2.1", "host"] {
            assert!(networks(&[bad.to_owned()]).is_err(), "{bad}");
        }
        let long = info_hash(&"\u{1b}".repeat(1000)).unwrap_err();
        assert!(format!("{long:?}").len() < 1200);
    }

    #[test]
    fn a_page_has_an_end() {
        assert_eq!(limit(None), PAGE_DEFAULT);
        assert_eq!(limit(Some(7)), 7);
        assert_eq!(limit(Some(usize::MAX)), PAGE_MAX);
    }
}
