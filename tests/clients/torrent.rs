//! A file of random bytes and the torrent that describes it.

use std::fs;
use std::path::Path;

use sha1::{Digest, Sha1};

/// Bytes of the file: some dozens of pieces, and a last one that is not full.
const FILE_LEN: usize = (3 << 20) + 4321;

/// Bytes of a piece.
const PIECE_LEN: usize = 64 << 10;

/// Name of the file inside the torrent.
const FILE_NAME: &str = "cargo.bin";

/// A file that is worth carrying, and what describes it.
pub(crate) struct Torrent {
    content: Vec<u8>,
    info: Vec<u8>,
    /// What the tracker knows it by.
    pub(crate) info_hash: [u8; 20],
}

impl Torrent {
    /// Makes a new file.
    pub(crate) fn new() -> Self {
        let mut content = vec![0; FILE_LEN];
        fastrand::fill(&mut content);
        let info = info(&content);
        Self {
            content,
            info_hash: Sha1::digest(&info).into(),
            info,
        }
    }

    /// Writes a torrent that names this one tracker.
    pub(crate) fn write(&self, announce: &str, path: &Path) {
        let mut torrent = b"d".to_vec();
        bencode_bytes(&mut torrent, b"announce");
        bencode_bytes(&mut torrent, announce.as_bytes());
        bencode_bytes(&mut torrent, b"info");
        torrent.extend_from_slice(&self.info);
        torrent.push(b'e');
        fs::write(path, torrent).expect("the torrent can be written");
    }

    /// Lays the whole file into a folder, for the client that will hand it out.
    pub(crate) fn lay_file(&self, folder: &Path) {
        fs::write(folder.join(FILE_NAME), &self.content).expect("the file can be written");
    }

    /// Whether the file arrived in this folder, byte for byte.
    pub(crate) fn assert_arrived(&self, folder: &Path) {
        let path = folder.join(FILE_NAME);
        let arrived = fs::read(&path)
            .unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
        assert_eq!(
            arrived.len(),
            self.content.len(),
            "bytes of the file that arrived"
        );
        let differs = arrived
            .iter()
            .zip(&self.content)
            .position(|(got, sent)| got != sent);
        assert_eq!(differs, None, "first byte that differs from what was sent");
    }
}

/// The `info` dictionary. It says `private`, so that no client meets another but through the tracker.
fn info(content: &[u8]) -> Vec<u8> {
    let pieces: Vec<u8> = content.chunks(PIECE_LEN).flat_map(Sha1::digest).collect();
    let mut info = b"d".to_vec();
    bencode_bytes(&mut info, b"length");
    bencode_number(&mut info, content.len());
    bencode_bytes(&mut info, b"name");
    bencode_bytes(&mut info, FILE_NAME.as_bytes());
    bencode_bytes(&mut info, b"piece length");
    bencode_number(&mut info, PIECE_LEN);
    bencode_bytes(&mut info, b"pieces");
    bencode_bytes(&mut info, &pieces);
    bencode_bytes(&mut info, b"private");
    bencode_number(&mut info, 1);
    info.push(b'e');
    info
}

fn bencode_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
}

fn bencode_number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(format!("i{number}e").as_bytes());
}
