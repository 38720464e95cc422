//! Where the tracker is looked after.

use std::net::SocketAddr;

use super::listeners::FILE;
use crate::config::address::is_canonical;
use crate::config::http::{TlsFiles, parse_file};
use crate::config::key::Key;
use crate::config::secret::{Secret, is_argon2, is_name, is_token};

pub(super) const CONTROL: &[Key] = &[
    Key::text(
        "listen",
        "Address and port; empty = nowhere. Beyond this host it should have tls. When it is not given\n\
         and the port is taken, that is a warning.",
        "an IP address with a port, such as \"[::1]:1212\", or empty",
        |config, _| {
            let listen = config.control.listen;
            listen.map_or_else(String::new, |listen| listen.to_string())
        },
        |config, _, text| {
            let listen = match text {
                "" => None,
                address => Some(address.parse().ok().filter(|listen: &SocketAddr| {
                    // Our IPv6 sockets never take IPv4, so nothing would arrive there.
                    is_canonical(listen.ip())
                })?),
            };
            (config.control.listen, config.control.required) = (listen, true);
            Some(())
        },
    ),
    Key::inner(
        "tls",
        "Serve HTTPS with this certificate; without it HTTP.",
        TLS,
        |config, _| config.control.tls = Some(TlsFiles::default()),
        |config, _| config.control.tls.is_some(),
    ),
    Key::switch(
        "public_stats",
        "Show the page of statistics and /metrics to everybody; what changes anything needs a token or a\n\
         login.",
        |config, _| config.control.public_stats,
        |config, _, public| config.control.public_stats = public,
    ),
    Key::text(
        "run_gc_key",
        "An announce over HTTP with ?KEY in its query has all peers looked at that are silent;\n\
         empty = none does.",
        "empty, or 8 to 64 of A-Z, a-z, 0-9, _ and -",
        |config, _| config.control.run_gc_key.expose().to_owned(),
        |config, _, key| {
            let fits = key.is_empty() || key.len() >= 8 && is_name(key);
            fits.then(|| config.control.run_gc_key = Secret::new(key))
        },
    )
    .secret(),
    Key::secrets(
        "tokens",
        "Who may use /api/v1, by ?token=SECRET or the header \"Authorization: Bearer SECRET\": a name for\n\
         the log, and the secret. Without any, nobody may.\n\
         SHOAL_CONTROL__TOKENS__ADMIN=SECRET gives the one called admin, and an empty one takes it\n\
         away.",
        "8 to 256 visible ASCII characters",
        is_token,
        |config| &config.control.tokens,
        |config| &mut config.control.tokens,
    ),
    Key::secrets(
        "users",
        "Who may log in to the pages: a name, and the Argon2 hash of the password, which\n\
         `shoal user hash` makes.",
        "a hash that begins with \"$argon2id$v=19$m=\"",
        is_argon2,
        |config| &config.control.users,
        |config| &mut config.control.users,
    ),
];

const TLS: &[Key] = &[
    Key::text(
        "certificate",
        "PEM file as for [[http]].",
        FILE,
        |config, _| match &config.control.tls {
            Some(tls) => tls.certificate.display().to_string(),
            None => "fullchain.pem".into(),
        },
        |config, _, path| {
            let path = parse_file(path)?.into();
            config.control.tls.as_mut()?.certificate = path;
            Some(())
        },
    )
    .needed(),
    Key::text(
        "private_key",
        "PEM file of the key of that certificate.",
        FILE,
        |config, _| match &config.control.tls {
            Some(tls) => tls.private_key.display().to_string(),
            None => "key.pem".into(),
        },
        |config, _, path| {
            let path = parse_file(path)?.into();
            config.control.tls.as_mut()?.private_key = path;
            Some(())
        },
    )
    .needed(),
];
