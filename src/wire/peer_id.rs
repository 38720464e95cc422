//! Which client a peer id names (BEP 20). Nothing makes a client tell the truth.
//!
//! ```text
//!   -qB4670-............    two letters and four digits, as most have it
//!   M7-9-2--............    a letter, and numbers between dashes: the first BitTorrent
//!   T03I-----...........    a letter, and up to five digits before three dashes
//!   A2-1-37-0-..........    and some that are like no other
//! ```

use super::PeerId;

/// What a peer id says of the client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Client {
    /// What people call it.
    pub name: &'static str,
    /// Such as `4.6.7`, where the id tells it in a way that is known.
    pub version: Option<String>,
}

impl PeerId {
    /// The client that this id names, if it is one that is known.
    pub fn client(&self) -> Option<Client> {
        let id = &self.0;
        azureus(id)
            .or_else(|| prefixed(id))
            .or_else(|| mainline(id))
            .or_else(|| shadow(id))
    }
}

/// Two letters of `-XX1234-`, in the order of their bytes.
const AZUREUS: &[([u8; 2], &str)] = &[
    (*b"7T", "aTorrent"),
    (*b"AB", "AnyEvent::BitTorrent"),
    (*b"AG", "Ares"),
    (*b"AR", "Arctic"),
    (*b"AT", "Artemis"),
    (*b"AV", "Avicora"),
    (*b"AX", "BitPump"),
    (*b"AZ", "Vuze"),
    (*b"A~", "Ares"),
    (*b"BB", "BitBuddy"),
    (*b"BC", "BitComet"),
    (*b"BE", "BitTorrent SDK"),
    (*b"BF", "Bitflu"),
    (*b"BG", "BTG"),
    (*b"BI", "BiglyBT"),
    (*b"BL", "BitCometLite"),
    (*b"BP", "BitTorrent Pro"),
    (*b"BR", "BitRocket"),
    (*b"BS", "BTSlave"),
    (*b"BT", "BitTorrent"),
    (*b"BW", "BitTorrent Web"),
    (*b"BX", "BittorrentX"),
    (*b"CD", "Enhanced CTorrent"),
    (*b"CT", "CTorrent"),
    (*b"DE", "Deluge"),
    (*b"DP", "Propagate Data Client"),
    (*b"EB", "EBit"),
    (*b"ES", "Electric Sheep"),
    (*b"FD", "Free Download Manager"),
    (*b"FL", "Folx"),
    (*b"FT", "FoxTorrent"),
    (*b"FW", "FrostWire"),
    (*b"FX", "Freebox"),
    (*b"GS", "GSTorrent"),
    (*b"GT", "Gopeed"),
    (*b"HL", "Halite"),
    (*b"HN", "Hydranode"),
    (*b"IL", "iLivid"),
    (*b"JT", "JavaTorrent"),
    (*b"KG", "KGet"),
    (*b"KT", "KTorrent"),
    (*b"LC", "LeechCraft"),
    (*b"LH", "LH-ABC"),
    (*b"LP", "Lphant"),
    (*b"LT", "libtorrent (Rasterbar)"),
    (*b"LW", "LimeWire"),
    (*b"MK", "Meerkat"),
    (*b"ML", "MLDonkey"),
    (*b"MO", "MonoTorrent"),
    (*b"MP", "MooPolice"),
    (*b"MR", "Miro"),
    (*b"MT", "MoonlightTorrent"),
    (*b"NB", "Net::BitTorrent"),
    (*b"NX", "Net Transport"),
    (*b"OS", "OneSwarm"),
    (*b"OT", "OmegaTorrent"),
    (*b"PD", "Pando"),
    (*b"PI", "PicoTorrent"),
    (*b"QD", "QQDownload"),
    (*b"QT", "Qt 4 Torrent example"),
    (*b"RT", "Retriever"),
    (*b"RZ", "RezTorrent"),
    (*b"SB", "Swiftbit"),
    (*b"SD", "Thunder"),
    (*b"SH", "Shoal"),
    (*b"SM", "SoMud"),
    (*b"SP", "BitSpirit"),
    (*b"SS", "SwarmScope"),
    (*b"ST", "SymTorrent"),
    (*b"SZ", "Shareaza"),
    (*b"S~", "Shareaza"),
    (*b"TB", "Torch"),
    (*b"TL", "Tribler"),
    (*b"TN", "TorrentDotNET"),
    (*b"TR", "Transmission"),
    (*b"TS", "Torrentstorm"),
    (*b"TT", "TuoTu"),
    (*b"TX", "Tixati"),
    (*b"UE", "\u{b5}Torrent Embedded"),
    (*b"UL", "uLeecher!"),
    (*b"UM", "\u{b5}Torrent Mac"),
    (*b"UT", "\u{b5}Torrent"),
    (*b"UW", "\u{b5}Torrent Web"),
    (*b"VG", "Vagaa"),
    (*b"WD", "WebTorrent Desktop"),
    (*b"WT", "BitLet"),
    (*b"WW", "WebTorrent"),
    (*b"WY", "FireTorrent"),
    (*b"XF", "Xfplay"),
    (*b"XL", "Xunlei"),
    (*b"XS", "XSwifter"),
    (*b"XT", "XanTorrent"),
    (*b"XX", "Xtorrent"),
    (*b"ZT", "ZipTorrent"),
    (*b"bk", "BitKitten"),
    (*b"lt", "rTorrent"),
    (*b"qB", "qBittorrent"),
    (*b"st", "SharkTorrent"),
];

fn azureus(id: &[u8; PeerId::LEN]) -> Option<Client> {
    // Some end their version with another sign; then it means something else.
    let [b'-', first, second, version @ .., end] = id.first_chunk::<8>()? else {
        return None;
    };
    let at = AZUREUS
        .binary_search_by_key(&[*first, *second], |(letters, _)| *letters)
        .ok()?;
    let version = match (first, second) {
        // What they put behind three digits is a word about the build.
        (b'U', _) | (b'B', b'T' | b'W') => numbers(&version[..3]),
        // Until 3.00 it had two.
        (b'T', b'R') if version[0] < b'4' => numbers(&version[..1])
            .filter(|_| version[1..3].iter().all(u8::is_ascii_digit))
            .map(|major| {
                format!(
                    "{major}.{}{}",
                    char::from(version[1]),
                    char::from(version[2])
                )
            }),
        _ => numbers(version),
    };
    Some(Client {
        name: AZUREUS[at].1,
        version: version.filter(|_| *end == b'-'),
    })
}

/// Four digits of base 36 as numbers between dots; the last only when it is a number and not 0.
fn numbers(digits: &[u8]) -> Option<String> {
    let digits = match digits {
        // A small letter says which kind of build it is.
        [start @ .., b'0' | b'-' | b'a'..=b'z'] if start.len() == 3 => start,
        all => all,
    };
    let number = |&digit: &u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'Z' => Some(digit - b'A' + 10),
        _ => None,
    };
    let numbers: Option<Vec<String>> = digits
        .iter()
        .map(|digit| number(digit).map(|number| number.to_string()))
        .collect();
    numbers.map(|numbers| numbers.join("."))
}

/// How the ids of others begin; what follows up to the end of digits and dashes is the version.
const PREFIXES: &[(&[u8], &str)] = &[
    (b"A2-", "aria2"),
    (b"-aria2-", "aria2"),
    (b"TIX", "Tixati"),
    (b"exbc", "BitComet"),
    (b"FUTB", "BitComet"),
    (b"XBT", "XBT Client"),
    (b"OP", "Opera"),
    (b"-BOW", "Bits on Wheels"),
    (b"-FG", "FlashGet"),
    (b"-G3", "G3 Torrent"),
    (b"btpd/", "BT Protocol Daemon"),
    (b"Mbrst", "burst!"),
    (b"DNA", "BitTorrent DNA"),
    (b"turbobt", "TurboBT"),
    (b"346-", "TorrentTopia"),
    (b"Plus", "Plus!"),
    (b"-SDLIB", "libtorrent (Thunder)"),
];

fn prefixed(id: &[u8; PeerId::LEN]) -> Option<Client> {
    let (prefix, name) = PREFIXES.iter().find(|(prefix, _)| id.starts_with(prefix))?;
    let version = (*name == "aria2").then(|| dashed(&id[prefix.len()..]));
    let version = version.flatten();
    Some(Client { name, version })
}

/// `7-9-2--`: up to four numbers, each with a dash behind it.
fn dashed(text: &[u8]) -> Option<String> {
    let mut numbers = Vec::new();
    for part in text.split(|&byte| byte == b'-').take(4) {
        if part.is_empty() || part.len() > 3 || !part.iter().all(u8::is_ascii_digit) {
            break;
        }
        numbers.push(String::from_utf8_lossy(part).into_owned());
    }
    (numbers.len() >= 2).then(|| numbers.join("."))
}

fn mainline(id: &[u8; PeerId::LEN]) -> Option<Client> {
    let name = match id[0] {
        b'M' => "BitTorrent",
        b'Q' => "Queen Bee",
        _ => return None,
    };
    // Three numbers in seven bytes, and a dash at least behind them.
    let version = (id[7] == b'-').then(|| dashed(&id[1..8])).flatten()?;
    Some(Client {
        name,
        version: Some(version),
    })
}

fn shadow(id: &[u8; PeerId::LEN]) -> Option<Client> {
    let name = match id[0] {
        b'A' => "ABC",
        b'O' => "Osprey Permaseed",
        b'Q' => "BTQueue",
        b'R' => "Tribler",
        b'S' => "Shad0w",
        b'T' => "BitTornado",
        b'U' => "UPnP NAT Bit Torrent",
        _ => return None,
    };
    let version = &id[1..6];
    let len = version.iter().position(|&byte| byte == b'-').unwrap_or(5);
    let (digits, rest) = version.split_at(len);
    if id[6..9] != *b"---" || len == 0 || rest.iter().any(|&byte| byte != b'-') {
        return None;
    }
    let version = Some(numbers_of_any_length(digits)?);
    Some(Client { name, version })
}

fn numbers_of_any_length(digits: &[u8]) -> Option<String> {
    let each: Option<Vec<String>> = digits
        .iter()
        .map(|digit| numbers(std::slice::from_ref(digit)))
        .collect();
    each.map(|numbers| numbers.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(start: &str) -> Option<(&'static str, String)> {
        let mut id = [b'x'; PeerId::LEN];
        id[..start.len()].copy_from_slice(start.as_bytes());
        let client = PeerId(id).client()?;
        Some((client.name, client.version.unwrap_or_default()))
    }

    #[test]
    fn the_letters_stand_in_the_order_in_which_they_are_looked_up() {
        assert!(AZUREUS.is_sorted_by(|(one, _), (next, _)| one < next));
    }

    #[test]
    fn common_clients_are_known_with_their_versions() {
        for (start, name, version) in [
            ("-qB4670-", "qBittorrent", "4.6.7"),
            ("-qB4191-", "qBittorrent", "4.1.9.1"),
            ("-qB0000000000000000", "qBittorrent", ""),
            ("-LT20B0-", "libtorrent (Rasterbar)", "2.0.11"),
            ("-lt0D80-", "rTorrent", "0.13.8"),
            ("-TR2940-", "Transmission", "2.94"),
            ("-TR3000-", "Transmission", "3.00"),
            ("-TR4060-", "Transmission", "4.0.6"),
            ("-UT354S-", "\u{b5}Torrent", "3.5.4"),
            ("-DE211s-", "Deluge", "2.1.1"),
            ("-BC0171-", "BitComet", "0.1.7.1"),
            ("-WW0208-", "WebTorrent", "0.2.0.8"),
            ("-SH0100-", "Shoal", "0.1.0"),
            ("A2-1-37-0-", "aria2", "1.37.0"),
            ("M7-9-2--", "BitTorrent", "7.9.2"),
            ("M4-20-8-", "BitTorrent", "4.20.8"),
            ("T03I-----", "BitTornado", "0.3.18"),
            ("TIX0296-", "Tixati", ""),
            ("exbc", "BitComet", ""),
        ] {
            assert_eq!(client(start), Some((name, version.to_owned())), "{start}");
        }
    }

    #[test]
    fn what_names_no_client_is_not_guessed_at() {
        for start in [
            "",
            "-??0000-",
            "qB4670--",
            "M7-9",
            "Mxxxxxxx",
            "T-------",
            "Z03I-----",
        ] {
            assert_eq!(client(start), None, "{start}");
        }
    }

    #[test]
    fn any_bytes_at_all_are_looked_at_without_harm() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..100_000 {
            let mut id = [0; PeerId::LEN];
            let letters = b"-qBTRUTM0179AZaz\0\xff";
            id.fill_with(|| letters[rng.usize(..letters.len())]);
            if let Some(Client {
                version: Some(version),
                ..
            }) = PeerId(id).client()
            {
                assert!(version.len() < 20 && version.is_ascii(), "{version}");
            }
        }
    }
}
