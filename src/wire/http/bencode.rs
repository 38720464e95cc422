//! Bencoding (BEP 3), written only: a tracker reads none.

/// Appends a byte string: its length, a colon, its bytes.
#[inline]
pub fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(itoa::Buffer::new().format(bytes.len()).as_bytes());
    out.push(b':');
    out.extend_from_slice(bytes);
}

/// Appends an integer: `i`, its decimal digits, `e`.
#[inline]
pub fn write_integer(out: &mut Vec<u8>, number: u32) {
    out.push(b'i');
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.push(b'e');
}

/// A dictionary on its way into a buffer. Keys must be strictly ascending by their bytes, which
/// builds with debug assertions check.
#[must_use = "a dictionary must be closed"]
pub struct Dictionary<'a> {
    out: &'a mut Vec<u8>,
    last: &'static str,
}

impl<'a> Dictionary<'a> {
    /// Begins a dictionary at the end of `out`.
    pub fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'd');
        Self { out, last: "" }
    }

    /// Appends a key; whatever is appended to the buffer that is given back is its value.
    #[inline]
    pub fn key(&mut self, key: &'static str) -> &mut Vec<u8> {
        debug_assert!(self.last < key, "{key} stands behind {}", self.last);
        self.last = key;
        write_bytes(self.out, key.as_bytes());
        self.out
    }

    /// Appends a key and a byte string.
    #[inline]
    pub fn bytes(&mut self, key: &'static str, value: &[u8]) {
        write_bytes(self.key(key), value);
    }

    /// Appends a key and an integer.
    #[inline]
    pub fn integer(&mut self, key: &'static str, value: u32) {
        write_integer(self.key(key), value);
    }

    /// Ends the dictionary.
    pub fn close(self) {
        self.out.push(b'e');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_integers_have_no_leading_zeros() {
        let mut out = Vec::new();
        write_bytes(&mut out, b"");
        write_bytes(&mut out, &[0xff; 10]);
        write_integer(&mut out, 0);
        write_integer(&mut out, u32::MAX);
        assert_eq!(
            out,
            b"0:10:\xff\xff\xff\xff\xff\xff\xff\xff\xff\xffi0ei4294967295e"
        );
    }

    #[test]
    fn a_dictionary_is_appended_to_what_is_there() {
        let mut out = b"l".to_vec();
        let mut dictionary = Dictionary::open(&mut out);
        dictionary.bytes("a", b"x");
        Dictionary::open(dictionary.key("b")).close();
        dictionary.integer("ba", 7);
        dictionary.close();
        out.push(b'e');
        assert_eq!(out, b"ld1:a1:x1:bde2:bai7eee");
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "peers stands behind peers6")]
    fn keys_out_of_order_are_a_mistake_that_tests_find() {
        let mut out = Vec::new();
        let mut dictionary = Dictionary::open(&mut out);
        dictionary.bytes("peers6", b"");
        dictionary.bytes("peers", b"");
        dictionary.close();
    }
}
