//! The certificates of HTTPS listeners: whether they can be served, and until when.

use std::fs::File;
use std::io;

use super::report::{Finding, Verdict};
use crate::config::{HttpListener, TlsFiles};
use crate::http::tls::{EXPIRES_SOON_S, Tls};

const CHECK: &str = "tls";
const DAY_S: u64 = 24 * 60 * 60;

/// Every certificate, each once.
pub(super) fn check(listeners: &[HttpListener], now_unix_s: u64) -> Vec<Finding> {
    let mut all: Vec<&TlsFiles> = Vec::new();
    for files in listeners
        .iter()
        .filter_map(|listener| listener.tls.as_ref())
    {
        if !all.contains(&files) {
            all.push(files);
        }
    }
    if all.is_empty() {
        let value = "no HTTPS listener";
        return vec![Finding::new(CHECK, Verdict::Good, value, "nothing")];
    }
    let judged = all.into_iter().map(|files| certificate(files, now_unix_s));
    judged.collect()
}

fn certificate(files: &TlsFiles, now_unix_s: u64) -> Finding {
    let wanted = format!("good for {} days or more", EXPIRES_SOON_S / DAY_S);
    let shown = files.certificate.display().to_string();
    for path in [&files.certificate, &files.private_key] {
        // The tracker's user may, which is not who asks here.
        if File::open(path).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            let why = format!("{} may not be read by this user", path.display());
            return Finding::not_known(CHECK, why, wanted)
                .about(shown)
                .fix("sudo -u shoal shoal doctor");
        }
    }
    let renew = "certbot renew  # or as it was issued; the tracker sees the new files by itself";
    let found = match Tls::load(files, now_unix_s) {
        Err(sentence) => Finding::new(CHECK, Verdict::WillLosePackets, sentence, wanted),
        Ok(tls) => {
            let left_s = tls.expires_unix_s().saturating_sub(now_unix_s);
            let verdict = if left_s < EXPIRES_SOON_S {
                Verdict::CouldBeBetter
            } else {
                Verdict::Good
            };
            let value = match left_s / DAY_S {
                0 => "expires within a day".to_owned(),
                1 => "expires in a day".to_owned(),
                days => format!("expires in {days} days"),
            };
            Finding::new(CHECK, verdict, value, wanted)
        }
    };
    found.about(shown).fix(renew)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use tempfile::TempDir;

    use super::*;
    use crate::config::HttpAddress;

    /// 2030-01-01, and a certificate that ends ten days later.
    const NEW_YEAR: u64 = 1_893_456_000;

    fn listener(folder: &TempDir) -> HttpListener {
        let mut made = CertificateParams::new(["localhost".to_owned()]).unwrap();
        made.not_before = date_time_ymd(2020, 1, 1);
        made.not_after = date_time_ymd(2030, 1, 11);
        let key = KeyPair::generate().unwrap();
        let files = TlsFiles {
            certificate: folder.path().join("certificate.pem"),
            private_key: folder.path().join("key.pem"),
        };
        fs::write(&files.certificate, made.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&files.private_key, key.serialize_pem()).unwrap();
        HttpListener {
            tls: Some(files),
            ..HttpListener::plain(HttpAddress::Tcp("127.0.0.1:0".parse().unwrap()))
        }
    }

    #[test]
    fn a_certificate_is_judged_by_the_days_that_it_has_left() {
        let folder = TempDir::new().unwrap();
        let one = listener(&folder);
        let judged = |day: u64| check(std::slice::from_ref(&one), NEW_YEAR + day * DAY_S).remove(0);
        let soon = judged(0);
        assert_eq!(soon.verdict, Verdict::CouldBeBetter);
        assert_eq!(soon.value, "expires in 10 days");
        assert!(soon.fix.unwrap().contains("renew"));
        assert_eq!(judged(9).value, "expires in a day");
        let late = judged(20);
        assert_eq!(late.verdict, Verdict::WillLosePackets);
        assert!(
            late.value.contains("expired on 2030-01-11"),
            "{}",
            late.value
        );
        let early = check(std::slice::from_ref(&one), NEW_YEAR - 30 * DAY_S).remove(0);
        assert_eq!(early.verdict, Verdict::Good);
    }

    #[test]
    fn a_certificate_that_cannot_be_served_is_told_once() {
        let folder = TempDir::new().unwrap();
        let one = listener(&folder);
        let files = one.tls.clone().unwrap();
        fs::remove_file(files.private_key).unwrap();
        let findings = check(&[one.clone(), one], NEW_YEAR);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].verdict, Verdict::WillLosePackets);
        assert!(findings[0].value.contains("does not exist"), "{findings:?}");
    }

    #[test]
    fn without_https_there_is_nothing_to_want() {
        let plain = HttpListener::plain(HttpAddress::Tcp("127.0.0.1:0".parse().unwrap()));
        assert_eq!(check(&[plain], NEW_YEAR)[0].verdict, Verdict::Good);
    }
}
