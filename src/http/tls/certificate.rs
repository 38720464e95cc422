//! A certificate and its key, read from their files, and every reason not to serve with them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, InconsistentKeys};
use x509_cert::der::{DateTime, Decode};

use super::TlsFiles;
use crate::privileges::is_out_of_reach;

/// Most bytes that are read of a file; a chain of a few certificates has less than 10 000.
const FILE_LEN_MAX: u64 = 1024 * 1024;

/// A certificate may begin this much later than now, since clocks differ.
const EARLY_S_MAX: u64 = 24 * 60 * 60;

/// A certificate that passed all checks.
#[derive(Debug)]
pub(super) struct Certificate {
    /// The chain and its key, as handshakes want them.
    pub(super) key: Arc<CertifiedKey>,
    /// Its last second, since 1970.
    pub(super) expires_unix_s: u64,
    expires: DateTime,
}

impl Certificate {
    /// Reads both files. The error is one sentence that names the file at fault and says what to do.
    pub(super) fn read(files: &TlsFiles, now_unix_s: u64) -> Result<Self, String> {
        let certificate = Contents::read(CERTIFICATE, &files.certificate)?;
        let private_key = Contents::read(PRIVATE_KEY, &files.private_key)?;
        if certificate.holds_only_a_key() && private_key.holds_only_certificates() {
            return Err(format!(
                "the certificate file {} holds a private key and the private key file {} a \
                 certificate; swap the two",
                files.certificate.display(),
                files.private_key.display()
            ));
        }
        let chain = certificate.into_chain(&files.certificate)?;
        let private_key = private_key.into_key(&files.private_key)?;
        let validity = Validity::of(&chain, &files.certificate)?;
        let key = matched(chain, private_key, files)?;
        validity.check(&files.certificate, now_unix_s)?;
        Ok(Self {
            key: Arc::new(key),
            expires_unix_s: unix_s(validity.last),
            expires: validity.last,
        })
    }

    /// Says when the certificate expires, or expired.
    pub(super) fn expiry_sentence(&self, files: &TlsFiles, now_unix_s: u64) -> String {
        expiry_sentence(&files.certificate, self.expires, now_unix_s)
    }
}

const CERTIFICATE: &str = "certificate";
const PRIVATE_KEY: &str = "private key";

/// What a file holds. Of several private keys the first counts.
struct Contents {
    certificates: Vec<CertificateDer<'static>>,
    key: Option<PrivateKeyDer<'static>>,
    /// The key is behind a passphrase.
    locked: bool,
}

impl Contents {
    /// `what` the file should hold is only for the sentence.
    fn read(what: &str, path: &Path) -> Result<Self, String> {
        let text = read(path).map_err(|error| unreadable(what, path, &error))?;
        let mut contents = Self {
            certificates: Vec::new(),
            key: None,
            locked: is_locked(&text),
        };
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&text) {
            match section {
                Ok((SectionKind::Certificate, der)) => contents.certificates.push(der.into()),
                Ok((kind, der)) => {
                    contents.key = contents.key.or(PrivateKeyDer::from_pem(kind, der));
                }
                // The older kind of locked key has headers, which are no base64.
                Err(_) if contents.locked => {}
                Err(error) => return Err(damaged(what, path, &error)),
            }
        }
        Ok(contents)
    }

    fn holds_only_a_key(&self) -> bool {
        self.certificates.is_empty() && (self.key.is_some() || self.locked)
    }

    fn holds_only_certificates(&self) -> bool {
        !self.certificates.is_empty() && self.key.is_none() && !self.locked
    }

    /// Never empty.
    fn into_chain(self, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
        if !self.certificates.is_empty() {
            return Ok(self.certificates);
        }
        let path = path.display();
        Err(if self.holds_only_a_key() {
            format!(
                "{path} holds a private key where the certificate should be; name the file with the \
                 certificate and its chain"
            )
        } else {
            format!(
                "{path} holds no certificate; it must be a PEM file with the certificate first and \
                 its chain behind it"
            )
        })
    }

    fn into_key(self, path: &Path) -> Result<Arc<dyn SigningKey>, String> {
        let only_certificates = self.holds_only_certificates();
        let path = path.display();
        match self.key {
            Some(key) => any_supported_type(&key).map_err(|_| {
                format!(
                    "the private key {path} is damaged or of an unknown kind; it must be RSA of at \
                     least 2048 bits, ECDSA on P-256, P-384 or P-521, or Ed25519"
                )
            }),
            None if self.locked => Err(format!(
                "the private key {path} is locked with a passphrase; store it without one (openssl \
                 pkey does that) and let only the tracker read it"
            )),
            None if only_certificates => Err(format!(
                "{path} holds a certificate where the private key should be; name the file with the \
                 key"
            )),
            None => Err(format!(
                "{path} holds no private key; it must be a PEM file with the key of the certificate"
            )),
        }
    }
}

/// Both ways of OpenSSL to say that a key is behind a passphrase.
fn is_locked(text: &[u8]) -> bool {
    text.split(|byte| matches!(byte, b'\n' | b'\r'))
        .any(|line| {
            line.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
                || line.starts_with(b"Proc-Type: 4,ENCRYPTED")
        })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Before opening: a pipe would keep us waiting.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = Vec::new();
    File::open(path)?
        .take(FILE_LEN_MAX + 1)
        .read_to_end(&mut text)?;
    if text.len() as u64 > FILE_LEN_MAX {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

fn unreadable(what: &str, path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("the {what} {shown} does not exist; create it or correct the path")
        }
        io::ErrorKind::PermissionDenied if is_out_of_reach(path) => format!(
            "the {what} {shown} is outside of what this process may touch since its start; restart the \
             tracker"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "the {what} {shown} may not be read (permission denied); let the user that the tracker \
             runs as read it and enter its folders"
        ),
        _ => format!("the {what} {shown} cannot be read: {error}; correct the path or the file"),
    }
}

fn damaged(what: &str, path: &Path, error: &pem::Error) -> String {
    let reason = match error {
        // Their own words print these lines as numbers.
        pem::Error::MissingSectionEnd { .. } => "it ends before the END line".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is broken".to_owned(),
        error => error.to_string(),
    };
    let path = path.display();
    format!("the {what} {path} is damaged: {reason}; write the file anew")
}

/// The key and its certificate, if the two belong together.
fn matched(
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
    files: &TlsFiles,
) -> Result<CertifiedKey, String> {
    let certificate = files.certificate.display();
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // Unknown is what a key says that cannot tell its public half; all of ours can.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(Error::InconsistentKeys(_)) if fits_a_later_one(&certified) => Err(format!(
            "the private key belongs to a later certificate in {certificate}; put the tracker's own \
             certificate first and its chain behind it"
        )),
        Err(Error::InconsistentKeys(_)) => Err(format!(
            "the private key {} does not belong to the certificate {certificate}; name the key that \
             the certificate was issued for",
            files.private_key.display()
        )),
        Err(error) => Err(format!(
            "the certificate {certificate} cannot be served: {error}; get it issued anew, as X.509 \
             version 3"
        )),
    }
}

fn fits_a_later_one(certified: &CertifiedKey) -> bool {
    certified.cert.iter().skip(1).any(|certificate| {
        CertifiedKey::new(vec![certificate.clone()], Arc::clone(&certified.key))
            .keys_match()
            .is_ok()
    })
}

/// The span of time in which a certificate counts.
struct Validity {
    first: DateTime,
    last: DateTime,
}

impl Validity {
    /// That of the first of the chain: it is renewed most often and runs out first.
    fn of(chain: &[CertificateDer<'_>], path: &Path) -> Result<Self, String> {
        let first = chain.first().map_or(&[][..], |certificate| certificate);
        let parsed = x509_cert::Certificate::from_der(first).map_err(|error| {
            let path = path.display();
            format!("the certificate {path} is damaged: {error}; write the file anew")
        })?;
        let validity = parsed.tbs_certificate().validity();
        Ok(Self {
            first: validity.not_before.to_date_time(),
            last: validity.not_after.to_date_time(),
        })
    }

    fn check(&self, path: &Path, now_unix_s: u64) -> Result<(), String> {
        if unix_s(self.last) < now_unix_s {
            return Err(expiry_sentence(path, self.last, now_unix_s));
        }
        if unix_s(self.first) > now_unix_s.saturating_add(EARLY_S_MAX) {
            let (path, first) = (path.display(), day(self.first));
            return Err(format!(
                "the certificate {path} is not valid before {first}; use one that is valid today, \
                 or correct the clock of this host"
            ));
        }
        Ok(())
    }
}

fn expiry_sentence(path: &Path, last: DateTime, now_unix_s: u64) -> String {
    let (path, day) = (path.display(), day(last));
    if unix_s(last) < now_unix_s {
        format!("the certificate {path} expired on {day}; renew it")
    } else {
        format!("the certificate {path} expires on {day}; renew it")
    }
}

fn unix_s(time: DateTime) -> u64 {
    time.unix_duration().as_secs()
}

/// Such as 2031-05-01, in UTC.
fn day(time: DateTime) -> String {
    format!("{:04}-{:02}-{:02}", time.year(), time.month(), time.day())
}

#[cfg(test)]
mod tests;
