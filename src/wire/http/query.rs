//! The query of a request: bytes, never text. `+` stands for itself and `;` separates nothing.

use super::{position, split_once};

/// Why a query is refused. The text goes to the client as its `failure reason`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueryFault {
    /// An announce without `info_hash`.
    MissingInfoHash,
    /// An `info_hash` that is not 20 bytes or is badly escaped, or two of them in one announce.
    InvalidInfoHash,
    /// An announce without `peer_id`.
    MissingPeerId,
    /// A `peer_id` that is not 20 bytes or is badly escaped.
    InvalidPeerId,
    /// No `port`, or none of 1 to 65535.
    InvalidPort,
    /// A scrape of more torrents than one request may name.
    TooManyInfoHashes,
}

impl QueryFault {
    /// Every fault, in the order of the counters.
    pub const ALL: [Self; 6] = [
        Self::MissingInfoHash,
        Self::InvalidInfoHash,
        Self::MissingPeerId,
        Self::InvalidPeerId,
        Self::InvalidPort,
        Self::TooManyInfoHashes,
    ];

    /// The sentence for the client. Whoever knows the limit says more than `too many info_hashes`.
    pub fn text(self) -> &'static str {
        match self {
            Self::MissingInfoHash => "missing info_hash",
            Self::InvalidInfoHash => "invalid info_hash",
            Self::MissingPeerId => "missing peer_id",
            Self::InvalidPeerId => "invalid peer_id",
            Self::InvalidPort => "invalid port",
            Self::TooManyInfoHashes => "too many info_hashes",
        }
    }

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingInfoHash => "missing_info_hash",
            Self::InvalidInfoHash => "invalid_info_hash",
            Self::MissingPeerId => "missing_peer_id",
            Self::InvalidPeerId => "invalid_peer_id",
            Self::InvalidPort => "invalid_port",
            Self::TooManyInfoHashes => "too_many_info_hashes",
        }
    }
}

/// The keys and values of a query in its order, still escaped. A piece is split at its first `=`;
/// a key without one has an empty value, and empty pieces are left out.
pub fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = query;
    std::iter::from_fn(move || {
        while let [b'&', after @ ..] = rest {
            rest = after;
        }
        if rest.is_empty() {
            return None;
        }
        let end = position(rest, |byte| byte == b'&').unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(split_once(piece, b'=').unwrap_or((piece, b"")))
    })
}

/// A value of exactly `N` bytes once its escapes (`%` and two hexadecimal digits of either case)
/// are undone; every other byte stands for itself. None when it is shorter, longer, or a `%` is not
/// followed by two digits.
pub fn decode<const N: usize>(mut raw: &[u8]) -> Option<[u8; N]> {
    let mut decoded = [0; N];
    for byte in &mut decoded {
        (*byte, raw) = match *raw {
            [b'%', high, low, ref rest @ ..] => (digit(high)? << 4 | digit(low)?, rest),
            [b'%', ..] | [] => return None,
            [literal, ref rest @ ..] => (literal, rest),
        };
    }
    raw.is_empty().then_some(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// A decimal number; one beyond `u64` is its largest. None when there is anything but digits, or
/// nothing.
pub fn number(raw: &[u8]) -> Option<u64> {
    if raw.is_empty() {
        return None;
    }
    raw.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        Some(sum.saturating_mul(10).saturating_add(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(query: &str) -> Vec<(&str, &str)> {
        let text = |bytes| str::from_utf8(bytes).unwrap();
        pairs(query.as_bytes())
            .map(|(key, value)| (text(key), text(value)))
            .collect()
    }

    #[test]
    fn pieces_are_split_at_the_first_equals_sign_and_empty_ones_are_left_out() {
        assert_eq!(split(""), []);
        assert_eq!(split("&&"), []);
        assert_eq!(
            split("&a=1&&b=x=y&c&=d&e=&f=?/:+;,@&"),
            [
                ("a", "1"),
                ("b", "x=y"),
                ("c", ""),
                ("", "d"),
                ("e", ""),
                ("f", "?/:+;,@")
            ]
        );
    }

    #[test]
    fn every_style_of_escaping_gives_the_same_bytes() {
        let hash = b"\x00\x01\x7f\x80\xff %&+-.=?A_az~\n\r";
        let styles: [&[u8]; 5] = [
            b"%00%01%7f%80%ff%20%25%26%2b-.%3d%3fA_az~%0a%0d",
            b"%00%01%7f%80%ff%20%25%26%2b-%2e%3d%3fA%5faz%7e%0a%0d",
            b"%00%01%7F%80%FF%20%25%26%2B-%2E%3D%3FA%5Faz%7E%0A%0D",
            b"%00%01%7f\x80\xff%20%25%26+-.=?A_az~%0a%0d",
            b"%00%01%7F%80%fF%20%25%26%2B-.%3D%3FA_az~%0A%0D",
        ];
        for style in styles {
            assert_eq!(decode::<20>(style).as_ref(), Some(hash), "{style:?}");
        }
    }

    #[test]
    fn a_plus_is_a_plus() {
        let decoded = decode::<20>(b"%00%01%7F%80%FF+%25%26%2B-.%3D%3FA_az~%0A%0D").unwrap();
        assert_eq!(decoded[5], b'+');
    }

    #[test]
    fn what_is_short_long_or_badly_escaped_is_nothing() {
        let bad: [&[u8]; 9] = [
            b"", b"ab", b"abcd", b"ab%", b"ab%6", b"ab%6g", b"ab%G6", b"ab%%6", b"abc%",
        ];
        for raw in bad {
            assert_eq!(decode::<3>(raw), None, "{raw:?}");
        }
        assert_eq!(decode::<3>(b"ab%63"), Some(*b"abc"));
    }

    #[test]
    fn numbers_are_digits_and_saturate() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"007"), Some(7));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(number(b"18446744073709551616"), Some(u64::MAX));
        assert_eq!(number(&[b'9'; 500]), Some(u64::MAX));
        for text in ["", "-1", "+1", " 1", "1 ", "0x1", "1e3", "abc", "1."] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn every_fault_has_a_name_of_its_own() {
        for fault in QueryFault::ALL {
            assert_eq!(fault.name(), fault.text().replace(' ', "_"));
        }
    }
}
