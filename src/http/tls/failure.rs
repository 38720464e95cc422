//! Why handshakes fail, as few words as a counter needs.

use std::io;

use rustls::{Error, InvalidMessage};

use crate::gate::flood::Over;

/// Why a handshake came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsFailure {
    /// What came is no TLS: plain HTTP on the port of HTTPS, mostly.
    NotTls,
    /// The client has no version, cipher suite, group or signature in common with us.
    NoCommonVersionOrCipher,
    /// The client offers protocols by ALPN, and HTTP/1.1 is not among them.
    NoCommonProtocol,
    /// The client gave up and said so: it does not trust the certificate, mostly.
    AlertReceived,
    /// TLS, but broken or against its rules.
    BadRecord,
    /// The client went away without a word.
    Closed,
    /// The client took too long. Whoever limits the time says so; the kernel may, too.
    TimedOut,
    /// The client began too many while the thread was busy: it was closed without an answer.
    SourceOverRate,
    /// The same, because of others in its network.
    NetworkOverRate,
    /// None of these: a failure on this side.
    Other,
}

impl TlsFailure {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::NotTls,
        Self::NoCommonVersionOrCipher,
        Self::NoCommonProtocol,
        Self::AlertReceived,
        Self::BadRecord,
        Self::Closed,
        Self::TimedOut,
        Self::SourceOverRate,
        Self::NetworkOverRate,
        Self::Other,
    ];

    /// The word for it in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotTls => "not_tls",
            Self::NoCommonVersionOrCipher => "no_common_version_or_cipher",
            Self::NoCommonProtocol => "no_common_protocol",
            Self::AlertReceived => "alert_received",
            Self::BadRecord => "bad_record",
            Self::Closed => "closed",
            Self::TimedOut => "timed_out",
            Self::SourceOverRate => "source_over_rate",
            Self::NetworkOverRate => "network_over_rate",
            Self::Other => "other",
        }
    }

    /// What the error of a handshake through `tokio_rustls` stands for: one of rustls in an
    /// `io::Error`, or one of the socket's own.
    pub fn of(error: &io::Error) -> Self {
        let of_rustls = error.get_ref().and_then(|inner| inner.downcast_ref());
        match of_rustls {
            Some(error) => Self::of_rustls(error),
            None => Self::of_socket(error.kind()),
        }
    }

    fn of_rustls(error: &Error) -> Self {
        match error {
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls,
            Error::PeerIncompatible(_) => Self::NoCommonVersionOrCipher,
            Error::NoApplicationProtocol => Self::NoCommonProtocol,
            Error::AlertReceived(_) => Self::AlertReceived,
            Error::InvalidMessage(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::PeerMisbehaved(_)
            | Error::PeerSentOversizedRecord
            | Error::DecryptError => Self::BadRecord,
            _ => Self::Other,
        }
    }

    fn of_socket(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::WriteZero => Self::Closed,
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Other,
        }
    }
}

impl From<Over> for TlsFailure {
    fn from(over: Over) -> Self {
        match over {
            Over::Source => Self::SourceOverRate,
            Over::Network => Self::NetworkOverRate,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use rustls::version::{TLS12, TLS13};
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::super::tests::{Folder, accept, client, connect, issue, issue_ecdsa};
    use super::*;

    /// A client that sends these bytes and then closes, or fails.
    struct Sends(&'static [u8], Option<io::ErrorKind>);

    impl AsyncRead for Sends {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let ([], Some(kind)) = (self.0, self.1) {
                return Poll::Ready(Err(kind.into()));
            }
            let (now, later) = self.0.split_at(self.0.len().min(into.remaining()));
            into.put_slice(now);
            self.0 = later;
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Sends {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn failure_after(bytes: &'static [u8], end: Option<io::ErrorKind>) -> TlsFailure {
        let tls = Folder::with(&issue_ecdsa()).load();
        match accept(&tls, Sends(bytes, end)) {
            Ok(_) => panic!("no handshake"),
            Err(error) => TlsFailure::of(&error),
        }
    }

    #[test]
    fn what_is_no_tls_is_told_apart() {
        for bytes in [
            &b"GET /announce?info_hash=x HTTP/1.1\r\nHost: tracker.test\r\n\r\n"[..],
            b"\x13BitTorrent protocol",
            b"d1:ad2:id20:",
            b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", // a hello of SSL 2
        ] {
            assert_eq!(failure_after(bytes, None), TlsFailure::NotTls, "{bytes:?}");
        }
    }

    #[test]
    fn a_broken_record_is_told_apart() {
        // A handshake record with a hello that is cut short, one that ends in rubbish, and one of
        // application data before any handshake.
        for bytes in [
            &b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03"[..],
            b"\x16\x03\x01\x00\x04\x63\x00\x00\x00",
            b"\x17\x03\x03\x00\x04\x01\x02\x03\x04",
        ] {
            let failure = failure_after(bytes, None);
            assert_eq!(failure, TlsFailure::BadRecord, "{bytes:?}");
        }
    }

    #[test]
    fn a_client_that_leaves_has_closed() {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        for bytes in [&b""[..], b"\x16\x03\x01", b"\x16\x03\x01\x01\x00\x01\x00"] {
            for end in [None, Some(ConnectionReset), Some(BrokenPipe)] {
                assert_eq!(failure_after(bytes, end), TlsFailure::Closed, "{bytes:?}");
            }
        }
    }

    #[test]
    fn a_client_that_says_goodbye_before_its_hello_is_not_waited_for() {
        // The alert close_notify, which nothing protects yet: once, and as often as nobody means it.
        let once = b"\x15\x03\x01\x00\x02\x01\x00";
        assert_eq!(failure_after(once, None), TlsFailure::Closed);
        let again = once.repeat(9).leak();
        assert_eq!(failure_after(again, None), TlsFailure::BadRecord);
    }

    #[test]
    fn a_client_that_the_kernel_gives_up_has_timed_out() {
        let failure = failure_after(b"", Some(io::ErrorKind::TimedOut));
        assert_eq!(failure, TlsFailure::TimedOut);
    }

    #[test]
    fn a_client_that_does_not_trust_us_says_so() {
        let tls = Folder::with(&issue_ecdsa()).load();
        for version in [&TLS12, &TLS13] {
            let error = connect(&tls, &client(&[&issue_ecdsa()], version))
                .err()
                .unwrap();
            assert_eq!(TlsFailure::of(&error), TlsFailure::AlertReceived, "{error}");
        }
    }

    #[test]
    fn a_client_of_http_2_alone_is_turned_away() {
        let issued = issue_ecdsa();
        let tls = Folder::with(&issued).load();
        for version in [&TLS12, &TLS13] {
            let mut client = client(&[&issued], version);
            client.alpn_protocols = vec![b"h2".to_vec()];
            let error = connect(&tls, &client).err().unwrap();
            assert_eq!(
                TlsFailure::of(&error),
                TlsFailure::NoCommonProtocol,
                "{error}"
            );
        }
    }

    #[test]
    fn a_client_with_nothing_in_common_is_told_apart() {
        // TLS 1.1 with one suite: version 3.2 in the hello.
        let old = b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x02\
            01234567890123456789012345678901\x00\x00\x02\xc0\x13\x01\x00";
        assert_eq!(
            failure_after(old, None),
            TlsFailure::NoCommonVersionOrCipher
        );

        // A suite for RSA alone, and a certificate with another key.
        let issued = issue(&rcgen::PKCS_ED25519);
        let tls = Folder::with(&issued).load();
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites =
            vec![rustls::crypto::aws_lc_rs::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256];
        let client = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let error = connect(&tls, &client).err().unwrap();
        assert_eq!(
            TlsFailure::of(&error),
            TlsFailure::NoCommonVersionOrCipher,
            "{error}"
        );
    }

    #[test]
    fn a_failure_of_ours_is_none_of_theirs() {
        for error in [
            io::Error::other(Error::FailedToGetRandomBytes),
            io::Error::other("no such error"),
            io::Error::from(io::ErrorKind::OutOfMemory),
        ] {
            assert_eq!(TlsFailure::of(&error), TlsFailure::Other);
        }
    }

    #[test]
    fn every_failure_has_a_place_and_a_name_of_its_own() {
        let names: BTreeSet<_> = TlsFailure::ALL.map(TlsFailure::name).into();
        assert_eq!(names.len(), TlsFailure::ALL.len());
        for (place, failure) in TlsFailure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, place);
        }
    }
}
