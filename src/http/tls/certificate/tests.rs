//! Every way in which two files can be no certificate and its key, and the sentence for it.

use rcgen::{BasicConstraints, IsCa, KeyPair, date_time_ymd};
use x509_cert::der::asn1::OctetStringRef;
use x509_cert::der::{Reader, SliceReader};
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::*;
use crate::http::tls::Tls;
use crate::http::tls::tests::{Folder, NOW, issue, issue_ecdsa, issue_with};

const DAY_S: u64 = 24 * 60 * 60;

/// That this is one sentence with all these parts.
fn says(sentence: &str, parts: &[&str]) {
    for part in parts {
        assert!(sentence.contains(part), "{part:?} is not in {sentence:?}");
    }
    assert!(!sentence.contains('\n'), "{sentence}");
    assert!(!sentence.ends_with('.'), "{sentence}");
}

/// What is wrong with this pair of texts.
fn complaint(certificate: &str, private_key: &str) -> String {
    let folder = Folder::empty();
    folder.write(certificate, private_key);
    folder.complaint()
}

fn pem(label: &str, der: &[u8]) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for three in der.chunks(3) {
        let number = (0..3).fold(0, |n, i| n << 8 | usize::from(*three.get(i).unwrap_or(&0)));
        for i in 0..4 {
            let digit = char::from(digits[number >> (18 - 6 * i) & 63]);
            text.push(if i <= three.len() { digit } else { '=' });
        }
    }
    format!("{text}\n-----END {label}-----\n")
}

/// The key of one kind alone, which PKCS#8 wraps.
fn unwrapped(key: &KeyPair) -> Vec<u8> {
    let pkcs8 = key.serialize_der();
    let inner = SliceReader::new(&pkcs8)
        .unwrap()
        .sequence(|reader| -> x509_cert::der::Result<_> {
            u8::decode(reader)?;
            AlgorithmIdentifierOwned::decode(reader)?;
            let inner = <&OctetStringRef>::decode(reader)?;
            // Whatever else is there: the public key, perhaps.
            reader.read_slice(reader.remaining_len())?;
            Ok(inner)
        });
    inner.unwrap().as_bytes().to_vec()
}

#[test]
fn keys_may_be_written_the_old_ways() {
    let (ecdsa, rsa) = (issue_ecdsa(), issue(&rcgen::PKCS_RSA_SHA256));
    let sec1 = pem("EC PRIVATE KEY", &unwrapped(&ecdsa.key));
    let curve = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let pkcs1 = pem("RSA PRIVATE KEY", &unwrapped(&rsa.key));
    let folder = Folder::empty();
    for (issued, key) in [
        (&ecdsa, sec1.clone()),
        (&ecdsa, curve.to_owned() + &sec1),
        (&rsa, pkcs1.clone()),
        (&rsa, pkcs1.replace('\n', "\r\n")),
    ] {
        folder.write(&issued.certificate.pem(), &key);
        folder.load();
    }
}

#[test]
fn one_file_may_hold_both() {
    let issued = issue_ecdsa();
    let folder = Folder::empty();
    let both = issued.key.serialize_pem() + &issued.certificate.pem();
    folder.write(&both, &both);
    folder.load();
}

#[test]
fn files_that_are_missing_are_named() {
    let issued = issue_ecdsa();
    let folder = Folder::empty();
    let sentence = folder.complaint();
    says(
        &sentence,
        &["certificate", "fullchain.pem does not exist", "path"],
    );
    fs::write(&folder.files.certificate, issued.certificate.pem()).unwrap();
    let sentence = folder.complaint();
    says(&sentence, &["private key", "privkey.pem does not exist"]);
}

#[test]
fn files_that_may_not_be_read_are_named() {
    // Who runs tests as root may read everything.
    let error = io::Error::from_raw_os_error(libc::EACCES);
    let sentence = unreadable(PRIVATE_KEY, Path::new("/etc/key.pem"), &error);
    says(
        &sentence,
        &["/etc/key.pem", "permission denied", "let the user"],
    );
}

#[test]
fn folders_pipes_and_huge_files_are_no_certificates() {
    let folder = Folder::empty();
    let path = &folder.files.certificate;
    fs::create_dir(path).unwrap();
    says(&folder.complaint(), &["fullchain.pem", "no regular file"]);
    fs::remove_dir(path).unwrap();
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    says(&folder.complaint(), &["fullchain.pem", "no regular file"]);
    fs::remove_file(path).unwrap();
    let huge = File::create(path).unwrap();
    huge.set_len(FILE_LEN_MAX + 1).unwrap();
    says(&folder.complaint(), &["fullchain.pem", "larger than 1 MiB"]);
}

#[test]
fn files_that_are_swapped_are_told_apart() {
    let issued = issue_ecdsa();
    let (certificate, key) = (issued.certificate.pem(), issued.key.serialize_pem());
    says(
        &complaint(&key, &certificate),
        &["fullchain.pem", "privkey.pem", "swap the two"],
    );
    says(
        &complaint(&key, &key),
        &["fullchain.pem holds a private key where the certificate should be"],
    );
    says(
        &complaint(&certificate, &certificate),
        &["privkey.pem holds a certificate where the private key should be"],
    );
}

#[test]
fn files_that_hold_something_else_are_named() {
    let issued = issue_ecdsa();
    let (certificate, key) = (issued.certificate.pem(), issued.key.serialize_pem());
    for nothing in ["", "no certificate", &issued.key.public_key_pem()] {
        says(
            &complaint(nothing, &key),
            &["fullchain.pem holds no certificate", "PEM"],
        );
        says(
            &complaint(&certificate, nothing),
            &["privkey.pem holds no private key", "PEM"],
        );
    }
}

#[test]
fn damaged_files_are_named() {
    let issued = issue_ecdsa();
    let (certificate, key) = (issued.certificate.pem(), issued.key.serialize_pem());
    let half = |text: &str| text[..text.len() / 2].to_owned();
    says(
        &complaint(&half(&certificate), &key),
        &["the certificate", "fullchain.pem is damaged", "ends before"],
    );
    says(
        &complaint(&certificate, &half(&key)),
        &["the private key", "privkey.pem is damaged"],
    );
    says(
        &complaint(&certificate.replace("CATE-----", "CATE---"), &key),
        &["fullchain.pem is damaged", "BEGIN line"],
    );
    says(
        &complaint(&certificate, &key.replacen("\nM", "\n*", 1)),
        &["privkey.pem is damaged", "base64"],
    );
    says(
        &complaint(&pem("CERTIFICATE", b"not DER"), &key),
        &["fullchain.pem is damaged", "anew"],
    );
    says(
        &complaint(&certificate, &pem("PRIVATE KEY", b"not DER")),
        &["privkey.pem is damaged or of an unknown kind", "P-256"],
    );
}

#[test]
fn a_key_behind_a_passphrase_is_named() {
    let certificate = issue_ecdsa().certificate.pem();
    let new = pem("ENCRYPTED PRIVATE KEY", b"anything");
    let old = pem("RSA PRIVATE KEY", b"anything").replacen(
        "-----\n",
        "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n",
        1,
    );
    for locked in [new, old] {
        let sentence = complaint(&certificate, &locked);
        says(
            &sentence,
            &["privkey.pem is locked", "passphrase", "openssl"],
        );
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    for other in [issue_ecdsa(), issue(&rcgen::PKCS_RSA_SHA256)] {
        let sentence = complaint(&issue_ecdsa().certificate.pem(), &other.key.serialize_pem());
        says(
            &sentence,
            &["privkey.pem does not belong to", "fullchain.pem"],
        );
    }
}

#[test]
fn a_chain_in_the_wrong_order_is_told_apart() {
    let (leaf, root) = (issue_ecdsa(), issue_ecdsa());
    let upside_down = root.certificate.pem() + &leaf.certificate.pem();
    let sentence = complaint(&upside_down, &leaf.key.serialize_pem());
    says(
        &sentence,
        &["later certificate in", "own certificate first"],
    );
    let folder = Folder::empty();
    let chain = leaf.certificate.pem() + &root.certificate.pem();
    folder.write(&chain, &leaf.key.serialize_pem());
    folder.load();
}

#[test]
fn a_root_for_oneself_is_good_enough() {
    let issued = issue_with(KeyPair::generate().unwrap(), |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    Folder::with(&issued).load();
}

#[test]
fn a_certificate_counts_until_its_last_second() {
    let issued = issue_with(KeyPair::generate().unwrap(), |params| {
        params.not_after = date_time_ymd(2024, 5, 1);
    });
    let folder = Folder::with(&issued);
    let tls = folder.load();
    let last = tls.expires_unix_s();
    assert_eq!(last, 1_714_521_600);
    assert!(Tls::load(&folder.files, last).is_ok());
    let sentence = Tls::load(&folder.files, last + 1).unwrap_err();
    says(
        &sentence,
        &["fullchain.pem expired on 2024-05-01", "renew it"],
    );
    assert_eq!(tls.reload(last + 1), Err(sentence));
}

#[test]
fn a_certificate_that_runs_out_soon_is_worth_a_warning() {
    let issued = issue_with(KeyPair::generate().unwrap(), |params| {
        params.not_after = date_time_ymd(2024, 5, 1);
    });
    let tls = Folder::with(&issued).load();
    let last = tls.expires_unix_s();
    assert_eq!(tls.expiry_warning(last - 14 * DAY_S), None);
    let warning = tls.expiry_warning(last - 13 * DAY_S).unwrap();
    says(
        &warning,
        &["fullchain.pem expires on 2024-05-01", "renew it"],
    );
    let warning = tls.expiry_warning(last + 1).unwrap();
    says(&warning, &["fullchain.pem expired on 2024-05-01"]);
}

#[test]
fn a_certificate_of_tomorrow_is_accepted_and_a_later_one_is_not() {
    let issued = issue_with(KeyPair::generate().unwrap(), |params| {
        params.not_before = date_time_ymd(2031, 5, 1);
        params.not_after = date_time_ymd(2031, 7, 1);
    });
    let folder = Folder::with(&issued);
    let first = 1_935_360_000;
    assert!(Tls::load(&folder.files, first - DAY_S).is_ok());
    for now in [first - DAY_S - 1, NOW] {
        let sentence = Tls::load(&folder.files, now).unwrap_err();
        says(
            &sentence,
            &["fullchain.pem is not valid before 2031-05-01", "clock"],
        );
    }
}

#[test]
fn a_certificate_for_ever_is_accepted() {
    let issued = issue_with(KeyPair::generate().unwrap(), |params| {
        params.not_after = date_time_ymd(9999, 12, 31);
    });
    let tls = Folder::with(&issued).load();
    assert_eq!(tls.expires_unix_s(), 253_402_214_400);
}
