//! Who is answered, and what.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::PEER_EXPIRE_FACTOR_DEFAULT;
use crate::config::address::{is_reachable, parse_networks};
use crate::config::key::Key;
use crate::config::value::is_path;
use crate::gate::access::{Deny, Mode};
use crate::limits::{REPLY_PEERS_V4_MAX, SCRAPE_HASHES_MAX};

/// Fewest and most seconds after which a silent peer may be forgotten; a week is longer than any
/// client stays away and comes back.
pub(in crate::config) const PEER_TIMEOUT_S: (u64, u64) = (2, 604_800);

/// Most bytes of the tracker id, which every client sends back with every announce.
const TRACKER_ID_LEN_MAX: usize = 64;

/// Most bytes of the warning, which goes out with every HTTP reply.
const WARNING_LEN_MAX: usize = 200;

pub(super) const ANNOUNCE: &[Key] = &[
    Key::whole(
        "interval",
        "Seconds until a client should announce again. Twice the interval is half the traffic,\n\
         and peers that have left are handed out for longer.",
        (1, 86_400),
        |config| config.announce.interval.into(),
        |config, seconds| config.announce.interval = seconds as u32,
    ),
    Key::whole(
        "min_interval",
        "Seconds that a client must leave between two announces, told over HTTP only; at most\n\
         interval, and some clients announce at this one. 0 = not told. When it is not given it\n\
         is 1500, or interval where that is less.",
        (0, 86_400),
        |config| config.announce.min_interval_s().into(),
        |config, seconds| config.announce.min_interval = Some(seconds as u32),
    )
    .present_when(|config, _| config.announce.min_interval.is_some()),
    Key::whole(
        "numwant",
        "Peers in a reply when the client names no number; at most numwant_max.",
        (0, REPLY_PEERS_V4_MAX as u64),
        |config| config.announce.numwant.into(),
        |config, peers| config.announce.numwant = peers as u32,
    ),
    Key::whole(
        "numwant_max",
        "Most peers in a reply, whatever the client asks for. A UDP reply that crosses the\n\
         internet in one packet holds 200 IPv4 or 66 IPv6 peers; HTTP has no packet limit.",
        (1, REPLY_PEERS_V4_MAX as u64),
        |config| config.announce.numwant_max.into(),
        |config, peers| config.announce.numwant_max = peers as u32,
    ),
    Key::whole(
        "peer_timeout",
        "Seconds after which a silent peer is forgotten; at least the interval. Give this or\n\
         peer_expire_factor.",
        PEER_TIMEOUT_S,
        |config| config.announce.peer_timeout_s().into(),
        |config, seconds| config.announce.peer_timeout = Some(seconds as u32),
    )
    .present_when(|config, _| config.announce.peer_timeout.is_some()),
    Key::fraction(
        "peer_expire_factor",
        "The same as a multiple of the interval.",
        (1.0, 100.0),
        |config| {
            let factor = config.announce.peer_expire_factor;
            factor.unwrap_or(PEER_EXPIRE_FACTOR_DEFAULT)
        },
        |config, factor| config.announce.peer_expire_factor = Some(factor),
    )
    .present_when(|config, _| config.announce.peer_expire_factor.is_some()),
    Key::list(
        "external_ip",
        "Addresses handed out in place of those of peers on loopback or on this host, which\n\
         mean nothing elsewhere.",
        "at most one IPv4 and one IPv6 address, such as [\"203.0.113.7\", \"2001:db8::7\"]",
        |config, _| {
            config
                .announce
                .external_ip
                .iter()
                .map(IpAddr::to_string)
                .collect()
        },
        |config, _, texts| {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for &text in texts {
                match text.parse().ok().filter(|&address| is_reachable(address)) {
                    Some(address)
                        if addresses
                            .iter()
                            .all(|other| other.is_ipv4() != address.is_ipv4()) =>
                    {
                        addresses.push(address);
                    }
                    _ => return Err(text),
                }
            }
            config.announce.external_ip = addresses;
            Ok(())
        },
    ),
    Key::switch(
        "allow_private_peers",
        "Keep peers whose addresses do not exist on the internet (private, link-local and\n\
         such), as a tracker in a LAN must.",
        |config, _| config.announce.allow_private_peers,
        |config, _, allow| config.announce.allow_private_peers = allow,
    ),
    Key::list(
        "ignore_ip",
        "Sources whose announces are refused.",
        "a list of addresses and networks, such as [\"192.0.2.1\", \"2001:db8::/32\"]",
        |config, _| {
            config
                .announce
                .ignore_ip
                .iter()
                .map(IpNet::to_string)
                .collect()
        },
        |config, _, texts| {
            config.announce.ignore_ip = parse_networks(texts)?;
            Ok(())
        },
    ),
    Key::text(
        "tracker_id",
        "Sent to HTTP clients as \"tracker id\", which they send back; empty = left out.",
        "at most 64 printable ASCII characters",
        |config, _| config.announce.tracker_id.clone(),
        |config, _, id| {
            let fits = id.len() <= TRACKER_ID_LEN_MAX;
            let is_printable = id.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            (fits && is_printable).then(|| config.announce.tracker_id = id.into())
        },
    ),
    Key::text(
        "warning",
        "Sent with every HTTP reply as \"warning message\", which clients show to their users;\n\
         empty = left out.",
        "a text of at most 200 bytes without control characters",
        |config, _| config.announce.warning.clone(),
        |config, _, text| {
            (text.len() <= WARNING_LEN_MAX && !text.contains(char::is_control))
                .then(|| config.announce.warning = text.into())
        },
    ),
    Key::switch(
        "tell_external_ip",
        "Tell HTTP clients the address that they come from (BEP 24).",
        |config, _| config.announce.tell_external_ip,
        |config, _, tell| config.announce.tell_external_ip = tell,
    ),
    Key::switch(
        "v4_mapped",
        "Give IPv6 clients the IPv4 peers too, as ::ffff:a.b.c.d, over UDP and HTTP.",
        |config, _| config.announce.v4_mapped,
        |config, _, v4_mapped| config.announce.v4_mapped = v4_mapped,
    ),
];

pub(super) const SCRAPE: &[Key] = &[
    Key::whole(
        "max_hashes",
        "Most info-hashes answered in one scrape. Over UDP those beyond are left out, and a\n\
         request of 1500 bytes names no more than 74; over HTTP a scrape of more is refused with\n\
         a text.",
        (1, SCRAPE_HASHES_MAX as u64),
        |config| config.scrape.max_hashes as u64,
        |config, hashes| config.scrape.max_hashes = hashes as usize,
    ),
    Key::switch(
        "full",
        "Answer an HTTP scrape that names no info-hash with all torrents.",
        |config, _| config.scrape.full,
        |config, _, full| config.scrape.full = full,
    ),
    Key::whole(
        "min_request_interval",
        "Seconds that a client must leave between two scrapes, told over HTTP only, and the age\n\
         at which a full scrape is made anew. 0 = not told, and made anew after five seconds.",
        (0, 86_400),
        |config| config.scrape.min_request_interval.into(),
        |config, seconds| config.scrape.min_request_interval = seconds as u32,
    ),
    Key::switch(
        "downloaders",
        "Tell over HTTP how many of the incomplete peers still want something; the others are\n\
         partial seeds (BEP 21).",
        |config, _| config.scrape.downloaders,
        |config, _, downloaders| config.scrape.downloaders = downloaders,
    ),
];

pub(super) const ACCESS: &[Key] = &[
    Key::text(
        "mode",
        "Which torrents are served, and to whom: \"public\" = all that are not on the blocklist,\n\
         \"listed\" = only those on the allowlist, \"private\" and \"private_listed\" = the same, to those\n\
         who have a key in their announce URL (BEP 27). This and all lists are read again on SIGHUP.",
        "\"public\", \"listed\", \"private\" or \"private_listed\"",
        |config, _| config.access.mode.name().into(),
        |config, _, name| {
            config.access.mode = Mode::parse(name)?;
            Some(())
        },
    ),
    Key::text(
        "key_parameter",
        "Parameter of an announce URL's query that may hold the key, beside /KEY/announce and\n\
         /announce/KEY; empty = none. \"key\" will not do with most clients, which send one of their\n\
         own making.",
        "at most 32 letters, digits, dots, dashes and underscores of ASCII",
        |config, _| config.access.key_parameter.clone(),
        |config, _, name| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            (name.len() <= 32 && name.bytes().all(plain))
                .then(|| config.access.key_parameter = name.into())
        },
    ),
    Key::text(
        "allowlist",
        "File of the torrents that are served in the listed modes, beside those that the store\n\
         keeps: an info-hash a line, 40 hexadecimal digits, or the 64 of version 2; what follows\n\
         behind a blank is a remark, as is a line that begins with #. At most 1 GiB.",
        FILE,
        |config, _| config.access.allowlist.clone(),
        |config, _, path| is_path(path).then(|| config.access.allowlist = path.into()),
    ),
    Key::text(
        "blocklist",
        "File of the torrents that are not served, in the same form.",
        FILE,
        |config, _| config.access.blocklist.clone(),
        |config, _, path| is_path(path).then(|| config.access.blocklist = path.into()),
    ),
    Key::text(
        "ip_blocklist",
        "File of the sources that are turned away: an address or a network a line.",
        FILE,
        |config, _| config.access.ip_blocklist.clone(),
        |config, _, path| is_path(path).then(|| config.access.ip_blocklist = path.into()),
    ),
    Key::list(
        "client_blocklist",
        "What the peer ids of clients begin with that are turned away. A client can lie.",
        "a list of texts of 1 to 20 ASCII characters, such as [\"-XL\"]",
        |config, _| config.access.client_blocklist.clone(),
        |config, _, texts| {
            let odd = |text: &&&str| !(1..=20).contains(&text.len()) || !text.is_ascii();
            if let Some(odd) = texts.iter().find(odd) {
                return Err(odd);
            }
            let texts = texts.iter().map(|&text| text.to_owned());
            config.access.client_blocklist = texts.collect();
            Ok(())
        },
    ),
    Key::text(
        "deny",
        "What those are told whom a list turns away: \"soft\" = success without peers, to be asked\n\
         again in a day, \"error\" = the reason. Clients retry an error sooner.",
        "\"soft\" or \"error\"",
        |config, _| {
            let name = match config.access.deny {
                Deny::Soft => "soft",
                Deny::Error => "error",
            };
            name.into()
        },
        |config, _, name| {
            config.access.deny = match name {
                "soft" => Deny::Soft,
                "error" => Deny::Error,
                _ => return None,
            };
            Some(())
        },
    ),
    Key::switch(
        "publish_blocklist",
        "Show everybody at [control] /api/blocklist.json which torrents the API has blocked, since\n\
         when and why.",
        |config, _| config.access.publish_blocklist,
        |config, _, publish| config.access.publish_blocklist = publish,
    ),
    Key::whole(
        "connection_id_lifetime",
        "Seconds for which a connection id is accepted, and up to a minute more. BEP 15 asks\n\
         for two minutes, but most clients keep theirs for longer; a short life only makes them\n\
         ask twice.",
        (60, 7200),
        |config| config.access.connection_id_lifetime.into(),
        |config, seconds| config.access.connection_id_lifetime = seconds as u32,
    ),
];

pub(super) const FLOOD: &[Key] = &[
    Key::whole(
        "per_source",
        "Announces and scrapes a second of one source; 0 = any number.",
        (0, 1_000_000),
        |config| config.flood.per_source.into(),
        |config, rate| config.flood.per_source = rate as u32,
    ),
    Key::whole(
        "per_network",
        "The same of the network around it: 24 bits of IPv4, 56 of IPv6.",
        (0, 1_000_000),
        |config| config.flood.per_network.into(),
        |config, rate| config.flood.per_network = rate as u32,
    ),
    Key::whole(
        "burst",
        "Seconds of these rates that may be spent at once.",
        (1, 60),
        |config| config.flood.burst_s.into(),
        |config, seconds| config.flood.burst_s = seconds as u32,
    ),
    Key::whole(
        "new_torrents",
        "Torrents that nobody else has and that one source may bring within a minute, or half of it\n\
         in every minute. Beyond, it is answered and its new torrents are not kept; 0 = any number.",
        (0, 60_000),
        |config| config.flood.new_torrents.into(),
        |config, torrents| config.flood.new_torrents = torrents as u32,
    ),
    Key::whole(
        "busy_from",
        "Requests a second of one core from which on it looks at the rates of those who ask it, and\n\
         an HTTP thread from a tenth of it; who is calm serves everybody. 0 = always.",
        (0, 10_000_000),
        |config| config.flood.busy_from.into(),
        |config, requests| config.flood.busy_from = requests as u32,
    ),
    Key::whole(
        "sieve_from",
        "Forged connection ids a second of one core from which on the kernel drops them before they\n\
         take room in its queue; 0 = never.",
        (0, 10_000_000),
        |config| config.flood.sieve_from.into(),
        |config, forged| config.flood.sieve_from = forged as u32,
    ),
];

const FILE: &str = "a path of at most 4096 bytes without NUL, or nothing";
