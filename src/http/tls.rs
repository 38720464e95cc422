//! TLS for the HTTPS listeners: one configuration for all threads, and a certificate that can be
//! replaced while they serve.
//!
//! ```text
//! files     certificate.rs   read and checked: one sentence says what is wrong and what to do
//!   |
//! Tls       this file        a swap, when the files have changed and are good
//!   |
//! handshake rustls           takes the certificate of the moment; connections keep what they have
//!   |
//! TlsFailure failure.rs      why a handshake came to nothing, for the counters
//! ```
//!
//! A tracker's clients announce every half hour, mostly on a connection of their own: handshakes,
//! not bytes, are what HTTPS costs here. A connection that waits holds about 7.5 KiB: the state, and a
//! read buffer of 4 KiB that is larger only while a larger record arrives.

mod certificate;
mod failure;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, Ticketer, kx_group};
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;

use crate::config::TlsFiles;
use certificate::Certificate;
pub use failure::TlsFailure;

/// A certificate that runs out within these seconds is worth a warning: 14 days. Whoever renews
/// automatically does so about 30 days before the end, so this much is left only when that fails.
pub const EXPIRES_SOON_S: u64 = 14 * 24 * 60 * 60;

/// Sessions kept for clients that know no tickets, some 300 bytes each; the oldest goes first.
const SESSIONS_MAX: usize = 1024;

/// Tickets after a handshake of TLS 1.3. The next connection uses one up and brings another, and a
/// client of a tracker seldom has two connections at once.
const TICKETS: usize = 1;

/// The TLS of one certificate: all threads share it.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    presented: Arc<Presented>,
    config: Arc<ServerConfig>,
    /// The files as they were when they were last tried, with or without success. Locked during a
    /// whole reload, so that two at once come one after the other.
    tried: Mutex<Marks>,
}

/// What a reload has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reload {
    /// The files hold the certificates that are in use.
    Unchanged,
    /// New connections get new certificates.
    Replaced,
}

impl Tls {
    /// Reads and checks the files. The error is one sentence that names the file at fault and says
    /// what to do.
    pub fn load(files: &TlsFiles, now_unix_s: u64) -> Result<Self, String> {
        // Before the reading: what changes meanwhile counts as a change.
        let tried = Mutex::new(Marks::of(files));
        let certificate = Certificate::read(files, now_unix_s)?;
        let presented = Arc::new(Presented(ArcSwap::from_pointee(certificate)));
        let config = server_config(Arc::clone(&presented))
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        Ok(Self {
            files: files.clone(),
            presented,
            config: Arc::new(config),
            tried,
        })
    }

    /// What connections are accepted with; it stays the same through all reloads.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Reads the files anew. New connections get the new certificate, those that exist do not notice,
    /// and sessions are resumed across the change (in TLS 1.2 unless the kind of key has changed
    /// too; then there is a full handshake). After an error, a sentence as from [`Tls::load`], the
    /// old certificate stays.
    pub fn reload(&self, now_unix_s: u64) -> Result<Reload, String> {
        let mut tried = self.tried();
        *tried = Marks::of(&self.files);
        let certificate = Certificate::read(&self.files, now_unix_s)?;
        // The keys need no comparing: one that belongs to the same certificate is the same key.
        if certificate.key.cert == self.presented.0.load().key.cert {
            return Ok(Reload::Unchanged);
        }
        self.presented.0.store(Arc::new(certificate));
        Ok(Reload::Replaced)
    }

    /// Whether one of the files is another than when they were last read or tried. Costs two `stat`,
    /// so a timer may ask every few seconds and reload when this says so. Since a failed reload
    /// counts as tried, a pair of files that do not fit is complained about once, and tried again
    /// when one of the two changes again.
    pub fn files_changed(&self) -> bool {
        *self.tried() != Marks::of(&self.files)
    }

    /// The files that it is read from.
    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// When the certificate in use runs out, in seconds since 1970.
    pub fn expires_unix_s(&self) -> u64 {
        self.presented.0.load().expires_unix_s
    }

    /// A sentence to log when the certificate in use has run out, or will within
    /// [`EXPIRES_SOON_S`].
    pub fn expiry_warning(&self, now_unix_s: u64) -> Option<String> {
        let certificate = self.presented.0.load();
        (certificate.expires_unix_s < now_unix_s.saturating_add(EXPIRES_SOON_S))
            .then(|| certificate.expiry_sentence(&self.files, now_unix_s))
    }

    fn tried(&self) -> MutexGuard<'_, Marks> {
        // Marks are replaced whole, so they are sound whatever became of the last holder.
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every choice about the protocol.
fn server_config(presented: Arc<Presented>) -> Result<ServerConfig, rustls::Error> {
    let mut provider = CryptoProvider {
        // No post-quantum group (X25519MLKEM768): rustls takes the first group of the client's list
        // that is in ours, browsers and newer OpenSSL name that one first, and it makes each
        // handshake a quarter dearer and 2 KiB longer, to hide from a later eavesdropper what a
        // tracker tells everybody today. Clients that name it send a share for X25519 beside it, so leaving it
        // out costs no round trip.
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..aws_lc_rs::default_provider()
    };
    // A handshake hashes some dozens of times, and most processors have instructions for SHA-256 and none for
    // SHA-384, which clients name first, with AES-256, by habit. Those that offer only that get it.
    provider.cipher_suites.sort_by_key(|suite| {
        let name = suite.suite().as_str();
        name.is_some_and(|name| name.ends_with("SHA384"))
    });
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()? // TLS 1.2 and 1.3
        .with_no_client_auth()
        .with_cert_resolver(presented);
    // A client that offers only other protocols (h2) is turned away with the alert of RFC 7301,
    // no_application_protocol, rather than left to talk HTTP/2 to us. One that offers nothing is
    // welcome, as are those that talk HTTP/1.0 under this name.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // TLS 1.3 and most clients of TLS 1.2 keep their session themselves, as a ticket sealed with keys
    // that live in this process and change every 6 hours; the rest get a place in the memory.
    config.ticketer = Ticketer::new()?;
    config.send_tls13_tickets = TICKETS;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    config.ignore_client_order = true;
    // As rustls has them: no early data (it can be replayed, and an announce changes a swarm), no
    // data before the client is done (it speaks first anyway), and records of any size: only
    // what is sent could be cut smaller, and replies are small.
    Ok(config)
}

/// The certificate of the moment, for every client alike: whoever asks by address names no host.
#[derive(Debug)]
struct Presented(ArcSwap<Certificate>);

impl ResolvesServerCert for Presented {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().key))
    }
}

/// What both files look like from outside; `None` where there is no telling.
#[derive(PartialEq, Eq, Debug)]
struct Marks([Option<Mark>; 2]);

/// Different when a file has been written, replaced, or its link turned elsewhere. The time of the
/// change of the inode is in it because a right that is granted leaves everything else as it was.
/// Times are seconds and nanoseconds.
#[derive(PartialEq, Eq, Debug)]
struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Marks {
    fn of(files: &TlsFiles) -> Self {
        Self([&files.certificate, &files.private_key].map(|path| Mark::of(path).ok()))
    }
}

impl Mark {
    /// Follows links, since certificates are often switched by turning one.
    fn of(path: &Path) -> io::Result<Self> {
        let file = fs::metadata(path)?;
        Ok(Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests;
