//! Bodies that are worth it, compressed.

use std::cell::RefCell;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use crate::wire::http::head::Encodings;
use crate::wire::http::response::Encoding;

/// Level of zstd: its quickest but one.
const ZSTD_LEVEL: i32 = 1;

/// Head of a gzip member (RFC 1952): deflate, no name, no time, no system.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A thread's compressors, made when the first client asks and used again ever after.
#[derive(Default)]
pub(super) struct Packer {
    deflate: RefCell<Option<Compress>>,
    zstd: RefCell<Option<zstd::bulk::Compressor<'static>>>,
}

impl Packer {
    /// Compresses `body` into `out`, as the client accepts it. `None` when that does not make it
    /// smaller.
    pub(super) fn pack(
        &self,
        accepts: Encodings,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Encoding> {
        out.clear();
        // What is not smaller than the body fits no buffer of this size.
        out.reserve(body.len());
        let encoding = if accepts.zstd {
            self.zstd(body, out).then_some(Encoding::Zstd)
        } else if accepts.gzip {
            self.gzip(body, out).then_some(Encoding::Gzip)
        } else {
            None
        };
        encoding.filter(|_| out.len() < body.len())
    }

    fn gzip(&self, body: &[u8], out: &mut Vec<u8>) -> bool {
        let mut deflate = self.deflate.borrow_mut();
        let deflate = deflate.get_or_insert_with(|| Compress::new(Compression::fast(), false));
        deflate.reset();
        out.extend_from_slice(&GZIP_HEAD);
        let done = deflate.compress_vec(body, out, FlushCompress::Finish);
        if !matches!(done, Ok(Status::StreamEnd)) {
            return false;
        }
        let mut sum = Crc::new();
        sum.update(body);
        out.extend_from_slice(&sum.sum().to_le_bytes());
        out.extend_from_slice(&sum.amount().to_le_bytes());
        true
    }

    fn zstd(&self, body: &[u8], out: &mut Vec<u8>) -> bool {
        let mut zstd = self.zstd.borrow_mut();
        if zstd.is_none() {
            *zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
        }
        let Some(zstd) = &mut *zstd else {
            return false;
        };
        zstd.compress_to_buffer(body, out).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    const GZIP: Encodings = Encodings {
        gzip: true,
        zstd: false,
    };
    const ZSTD: Encodings = Encodings {
        gzip: true,
        zstd: true,
    };

    #[test]
    fn what_is_packed_unpacks_to_the_same_again_and_again() {
        let packer = Packer::default();
        let mut out = Vec::new();
        for times in [100, 1, 3000] {
            let body = b"d8:completei1e10:incompletei0e".repeat(times.max(20));
            assert_eq!(packer.pack(GZIP, &body, &mut out), Some(Encoding::Gzip));
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(&out[..])
                .read_to_end(&mut unpacked)
                .unwrap();
            assert_eq!(unpacked, body);
            assert_eq!(packer.pack(ZSTD, &body, &mut out), Some(Encoding::Zstd));
            assert_eq!(zstd::stream::decode_all(&out[..]).unwrap(), body);
        }
    }

    #[test]
    fn what_does_not_get_smaller_is_left_alone() {
        let packer = Packer::default();
        let mut out = Vec::new();
        for len in [0, 1, 40, 3000] {
            let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
                .take(len)
                .collect();
            assert_eq!(packer.pack(GZIP, &noise, &mut out), None);
            assert_eq!(packer.pack(ZSTD, &noise, &mut out), None);
        }
        assert_eq!(
            packer.pack(Encodings::default(), &[0; 4096], &mut out),
            None
        );
    }
}
