//! The clients: how each words an announce.

/// One kind of software.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Client {
    pub(super) name: &'static str,
    /// Versions, newest first: user agent and the start of the peer id.
    pub(super) versions: &'static [(&'static str, &'static str)],
    /// None: the parameter is left out.
    pub(super) num_want: Option<u32>,
    /// What is not escaped, besides letters and digits.
    pub(super) literal: &'static [u8],
    pub(super) upper_case: bool,
    pub(super) key: Key,
    pub(super) fields: &'static [Field],
    /// The header fields, with HOST and AGENT to be filled in.
    pub(super) head: &'static str,
}

/// How the `key` is written.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Key {
    UpperHex,
    LowerHex,
    /// The last eight bytes of the peer id.
    PeerId,
}

/// One parameter of an announce, in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    InfoHash,
    PeerId,
    Port,
    Uploaded,
    Downloaded,
    Left,
    Corrupt,
    Key,
    Event,
    NumWant,
    Compact,
    NoPeerId,
    SupportCrypto,
    Redundant,
}

use Field as F;

/// libtorrent's order, which qBittorrent and Deluge share.
const LIBTORRENT: &[Field] = &[
    F::InfoHash,
    F::PeerId,
    F::Port,
    F::Uploaded,
    F::Downloaded,
    F::Left,
    F::Corrupt,
    F::Key,
    F::Event,
    F::NumWant,
    F::Compact,
    F::NoPeerId,
    F::SupportCrypto,
    F::Redundant,
];

const CLOSING: &str =
    "Host: HOST\r\nUser-Agent: AGENT\r\nAccept-Encoding: gzip\r\nConnection: close\r\n";

/// All clients. The first is what is taken when none is named: it says honestly who asks.
pub(super) const CLIENTS: [Client; 8] = [
    Client {
        name: "shoal",
        versions: &[(concat!("Shoal/", env!("CARGO_PKG_VERSION")), "-SH0100-")],
        num_want: Some(50),
        literal: b"-_.~",
        upper_case: true,
        key: Key::UpperHex,
        fields: &[
            F::InfoHash,
            F::PeerId,
            F::Port,
            F::Uploaded,
            F::Downloaded,
            F::Left,
            F::Event,
            F::Key,
            F::NumWant,
            F::Compact,
        ],
        head: CLOSING,
    },
    Client {
        name: "libtorrent",
        versions: &[
            ("libtorrent/2.0.11.0", "-LT20B0-"),
            ("libtorrent/2.0.9.0", "-LT2090-"),
            ("libtorrent/1.2.19.0", "-LT12J0-"),
        ],
        num_want: Some(200),
        literal: b"-_!.~*()",
        upper_case: false,
        key: Key::UpperHex,
        fields: LIBTORRENT,
        head: CLOSING,
    },
    Client {
        name: "qbittorrent",
        versions: &[
            ("qBittorrent/5.1.4", "-qB5140-"),
            ("qBittorrent/5.1.2", "-qB5120-"),
            ("qBittorrent/5.0.5", "-qB5050-"),
            ("qBittorrent/4.6.7", "-qB4670-"),
            ("qBittorrent/4.5.5", "-qB4550-"),
            ("qBittorrent/4.4.5", "-qB4450-"),
            ("qBittorrent/4.3.9", "-qB4390-"),
            ("qBittorrent/4.2.5", "-qB4250-"),
            ("qBittorrent/4.1.9.1", "-qB4191-"),
        ],
        num_want: Some(200),
        literal: b"-_!.~*()",
        upper_case: false,
        key: Key::UpperHex,
        fields: LIBTORRENT,
        head: CLOSING,
    },
    Client {
        name: "transmission",
        versions: &[
            ("Transmission/4.0.6", "-TR4060-"),
            ("Transmission/3.00", "-TR3000-"),
        ],
        num_want: Some(80),
        literal: b"-_.~",
        upper_case: false,
        key: Key::UpperHex,
        fields: &[
            F::InfoHash,
            F::PeerId,
            F::Port,
            F::Uploaded,
            F::Downloaded,
            F::Left,
            F::NumWant,
            F::Key,
            F::Compact,
            F::SupportCrypto,
            F::Event,
        ],
        head: "Host: HOST\r\nUser-Agent: AGENT\r\nAccept: */*\r\n\
               Accept-Encoding: deflate, gzip, zstd\r\n",
    },
    Client {
        name: "aria2",
        versions: &[
            ("aria2/1.37.0", "A2-1-37-0-"),
            ("aria2/1.36.0", "A2-1-36-0-"),
        ],
        num_want: Some(50),
        literal: b"-_.~",
        upper_case: true,
        key: Key::PeerId,
        fields: &[
            F::InfoHash,
            F::PeerId,
            F::Uploaded,
            F::Downloaded,
            F::Left,
            F::Compact,
            F::Key,
            F::NumWant,
            F::NoPeerId,
            F::Port,
            F::Event,
            F::SupportCrypto,
        ],
        head: "User-Agent: AGENT\r\nAccept: */*\r\nAccept-Encoding: deflate, gzip\r\nHost: HOST\r\n\
               Pragma: no-cache\r\nCache-Control: no-cache\r\nConnection: close\r\n",
    },
    Client {
        name: "rtorrent",
        versions: &[
            ("rtorrent/0.9.8/0.13.8", "-lt0D80-"),
            ("rtorrent/0.9.6/0.13.6", "-lt0D60-"),
        ],
        num_want: None,
        literal: b"-",
        upper_case: true,
        key: Key::LowerHex,
        fields: &[
            F::InfoHash,
            F::PeerId,
            F::Key,
            F::Compact,
            F::NumWant,
            F::Port,
            F::Uploaded,
            F::Downloaded,
            F::Left,
            F::Event,
        ],
        head: "Host: HOST\r\nUser-Agent: AGENT\r\nAccept: */*\r\nAccept-Encoding: deflate, gzip\r\n",
    },
    Client {
        name: "utorrent",
        versions: &[("uTorrent/354(111784784)(45291)", "-UT354S-")],
        num_want: Some(200),
        literal: b"-",
        upper_case: false,
        key: Key::UpperHex,
        fields: &[
            F::InfoHash,
            F::PeerId,
            F::Port,
            F::Uploaded,
            F::Downloaded,
            F::Left,
            F::Corrupt,
            F::Key,
            F::Event,
            F::NumWant,
            F::Compact,
            F::NoPeerId,
        ],
        head: "Host: HOST\r\nUser-Agent: AGENT\r\nAccept-Encoding: gzip\r\nConnection: Close\r\n",
    },
    Client {
        name: "deluge",
        versions: &[("Deluge/2.1.1 libtorrent/2.0.11.0", "-DE211s-")],
        num_want: Some(200),
        literal: b"-_!.~*()",
        upper_case: false,
        key: Key::UpperHex,
        fields: LIBTORRENT,
        head: CLOSING,
    },
];
