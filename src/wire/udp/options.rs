//! BEP 41: options behind an announce, of which only URLData matters to a tracker.
//!
//! ```text
//! 0x00            end of options
//! 0x01            nothing, one byte of padding
//! 0x02 len data   URLData: path and query of the announce URL, in pieces of up to 255 bytes
//! else len data   unknown, skipped
//! ```

use crate::limits::URL_DATA_LEN_MAX;

const END_OF_OPTIONS: u8 = 0;
const NOP: u8 = 1;
const URL_DATA: u8 = 2;

/// Path and query of the URL that a client announces to, such as `/KEY/announce?x=y`.
/// Hostile binary of at most [`URL_DATA_LEN_MAX`] bytes; empty when the client sent none.
#[derive(Clone)]
pub struct UrlData {
    bytes: [u8; URL_DATA_LEN_MAX],
    len: usize,
}

impl UrlData {
    /// Joins the URLData pieces of `options`. A length that runs past the end ends the reading, as
    /// does a piece that would make the whole longer than it may be.
    pub(super) fn collect(mut options: &[u8]) -> Self {
        let mut url = Self {
            bytes: [0; URL_DATA_LEN_MAX],
            len: 0,
        };
        loop {
            match *options {
                [] | [END_OF_OPTIONS, ..] => return url,
                [NOP, ref rest @ ..] => options = rest,
                [kind, len, ref rest @ ..] if usize::from(len) <= rest.len() => {
                    let (data, rest) = rest.split_at(usize::from(len));
                    options = rest;
                    if kind == URL_DATA && !url.append(data) {
                        return url;
                    }
                }
                _ => return url,
            }
        }
    }

    fn append(&mut self, data: &[u8]) -> bool {
        match self.bytes.get_mut(self.len..self.len + data.len()) {
            Some(free) => {
                free.copy_from_slice(data);
                self.len += data.len();
                true
            }
            None => false,
        }
    }

    /// The bytes, as sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(options: &[u8]) -> Vec<u8> {
        UrlData::collect(options).as_bytes().to_vec()
    }

    #[test]
    fn pieces_are_joined_and_everything_else_is_skipped_by_its_length() {
        let mut options = vec![URL_DATA, 3];
        options.extend(b"/ke");
        options.extend([NOP, 0x7f, 3, b'x', b'y', b'z', URL_DATA, 2]);
        options.extend(b"y/");
        options.extend([END_OF_OPTIONS, 0xff, 0xff]);
        assert_eq!(collected(&options), b"/key/");
    }

    #[test]
    fn a_length_past_the_end_ends_the_options() {
        assert_eq!(collected(&[URL_DATA, 0xff, b'/', b'a']), b"");
        assert_eq!(collected(&[URL_DATA]), b"");
        assert_eq!(collected(&[URL_DATA, 1, b'/', URL_DATA, 2, b'a']), b"/");
    }

    #[test]
    fn aria2s_two_zero_bytes_are_no_url() {
        assert_eq!(collected(&[0, 0]), b"");
    }

    #[test]
    fn a_url_never_grows_past_its_limit() {
        let piece: Vec<u8> = [URL_DATA, 255].into_iter().chain([b'a'; 255]).collect();
        assert_eq!(collected(&piece.repeat(9)).len(), 4 * 255);
    }
}
