//! The buckets of the [`Index`](super::index::Index), a cache line each, and where they stand.

/// Entries of a bucket.
pub(super) const SLOTS: usize = 12;

/// Buckets of a chunk: 16 KiB.
const CHUNK: usize = 256;

/// Twelve entries; contiguous from the front, a tag of 0 ends them.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Bucket {
    pub(super) tags: [u8; SLOTS],
    /// The next bucket of the chain, or 0.
    pub(super) overflow: u32,
    pub(super) positions: [u32; SLOTS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    pub(super) const EMPTY: Self = Self {
        tags: [0; SLOTS],
        overflow: 0,
        positions: [0; SLOTS],
    };

    /// The first slot with that tag for whose position `accept` is true.
    #[inline]
    pub(super) fn find(&self, tag: u8, mut accept: impl FnMut(u32) -> bool) -> Option<usize> {
        let (mut front, mut back) = ([0; 8], [0; 8]);
        front.copy_from_slice(&self.tags[..8]);
        back[..4].copy_from_slice(&self.tags[8..]);
        for (bytes, base) in [(front, 0), (back, 8)] {
            let word = u64::from_le_bytes(bytes);
            let mut matches = equal_bytes(word, tag);
            while matches != 0 {
                let slot = base + matches.trailing_zeros() as usize / 8;
                if accept(self.positions[slot]) {
                    return Some(slot);
                }
                matches &= matches - 1;
            }
        }
        None
    }

    /// Entries.
    pub(super) fn len(&self) -> usize {
        self.tags.iter().take_while(|tag| **tag != 0).count()
    }
}

/// The high bit of every byte of `word` that equals `byte`. Exact, unlike the shorter formula with
/// a borrow: an empty slot must not match, its position means nothing.
#[inline]
fn equal_bytes(word: u64, byte: u8) -> u64 {
    const LOW: u64 = u64::MAX / 255 * 127;
    let other = word ^ (u64::MAX / 255 * u64::from(byte));
    !(((other & LOW) + LOW) | other | LOW)
}

/// Buckets in chunks: growing copies none, shrinking gives chunks back.
#[derive(Default)]
pub(super) struct Buckets {
    chunks: Vec<Box<[Bucket; CHUNK]>>,
    len: usize,
}

impl Buckets {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> &Bucket {
        &self.chunks[at / CHUNK][at % CHUNK]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, at: usize) -> &mut Bucket {
        &mut self.chunks[at / CHUNK][at % CHUNK]
    }

    pub(super) fn push(&mut self) -> usize {
        let at = self.len;
        if at == self.chunks.len() * CHUNK {
            self.chunks.push(Box::new([Bucket::EMPTY; CHUNK]));
        }
        *self.get_mut(at) = Bucket::EMPTY;
        self.len += 1;
        at
    }

    pub(super) fn pop(&mut self) {
        self.len -= 1;
        self.chunks.truncate(self.len.div_ceil(CHUNK) + 1);
    }

    pub(super) fn bytes(&self) -> usize {
        self.chunks.len() * size_of::<[Bucket; CHUNK]>()
            + self.chunks.capacity() * size_of::<Box<[Bucket; CHUNK]>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_are_found_exactly() {
        let word = u64::from_le_bytes([0, 1, 2, 1, 0, 255, 128, 1]);
        for byte in 0..=255 {
            let expected: Vec<_> = word.to_le_bytes().map(|b| u8::from(b == byte) * 128).into();
            assert_eq!(equal_bytes(word, byte).to_le_bytes().to_vec(), expected);
        }
    }
}
