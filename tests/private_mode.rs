//! Who may announce to a private tracker: keys in the path and in the query, over every protocol and in
//! every mode.

mod http;
mod in_process;
mod tls;

use std::sync::Arc;

use http::{Browser, http_config};
use in_process::{Announce, BACKENDS, Client, Server, error_text};
use shoal::config::Config;
use shoal::counters::{Count, Fault};
use shoal::gate::access::{Deny, Mode};
use shoal::gate::keys::AnnounceKey;
use shoal::wire::InfoHash;
use tempfile::TempDir;
use tls::{Files, Root};

const LISTED: [u8; 20] = [b'a'; 20];
const OTHER: [u8; 20] = [b'b'; 20];
const STRANGER: &str = "0123456789abcdef0123456789abcdef";

const MISSING: &str = "Authentication error: the announce URL has no key";
const MALFORMED: &str = "Authentication error: the key is malformed";
const UNKNOWN: &str = "Authentication error: unknown key";
const EXPIRED: &str = "Authentication error: the key has expired";
const NOT_LISTED: &str = "info_hash not allowed";

/// A tracker of two cores with a store, serving UDP, HTTP and HTTPS, and two keys.
struct Private {
    server: Server,
    root: Root,
    config: Config,
    good: AnnounceKey,
    expired: AnnounceKey,
    _files: Files,
    _folder: TempDir,
}

impl Private {
    fn start(mode: Mode, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new();
        let files = Files::of(&root.issue());
        let mut config = http_config(BACKENDS[0]);
        config.workers.count = 2;
        config.http.push(files.listener());
        folder
            .path()
            .to_str()
            .unwrap()
            .clone_into(&mut config.store.path);
        config.access.mode = mode;
        config.access.deny = Deny::Error;
        change(&mut config);
        let server = Server::start(&config);
        let registrar = server.tracker.registrar();
        let (good, _) = registrar.add_key(None, None, "the test").unwrap();
        let (expired, _) = registrar.add_key(None, Some(60), "the test").unwrap();
        registrar
            .allow(&[InfoHash(LISTED)], "the test", "")
            .unwrap();
        server.clock.advance(62);
        Self {
            server,
            root,
            config,
            good,
            expired,
            _files: files,
            _folder: folder,
        }
    }

    /// What an announce to this path and query is told, over UDP, HTTP and HTTPS: nothing when it is
    /// answered as it should be.
    fn told(&self, target: &str, info_hash: [u8; 20]) -> [Option<String>; 3] {
        let client = self.server.client();
        let udp = udp_told(&client, &options(target, 255), info_hash);
        let plain = Browser::of(self.server.http_address()).get(&query(target, info_hash));
        let address = self.server.tracker.http_addresses()[1];
        let trusting = Arc::new(self.root.client());
        let secured = Browser::secured(address, &trusting).get(&query(target, info_hash));
        let [plain, secured] = [plain.text(), secured.text()].map(|body| failure(&body));
        [udp, plain, secured]
    }
}

fn udp_told(client: &Client, options: &[u8], info_hash: [u8; 20]) -> Option<String> {
    let id = client.connect();
    let mut datagram = Announce::leecher(info_hash, 6881).to_bytes(id);
    datagram.extend(options);
    let reply = client.ask(&datagram);
    (reply[3] == 3).then(|| error_text(&reply).to_owned())
}

/// The BEP 41 options for a path and query, in pieces of this many bytes.
fn options(target: &str, piece_len: usize) -> Vec<u8> {
    let mut options = Vec::new();
    for piece in target.as_bytes().chunks(piece_len) {
        options.extend([2, piece.len() as u8]);
        options.extend(piece);
    }
    options
}

fn query(target: &str, info_hash: [u8; 20]) -> String {
    let sign = if target.contains('?') { '&' } else { '?' };
    let info_hash = String::from_utf8(info_hash.to_vec()).unwrap();
    format!(
        "{target}{sign}info_hash={info_hash}&peer_id=-SH0100-abcdefghijkl&port=6881&left=1&compact=1"
    )
}

/// The reason in a bencoded failure.
fn failure(body: &str) -> Option<String> {
    let reason = body.strip_prefix("d14:failure reason")?;
    let (_, reason) = reason.split_once(':').unwrap();
    Some(reason.trim_end_matches('e').to_owned())
}

#[test]
fn every_mode_lets_in_whom_it_should_over_udp_http_and_https() {
    for mode in Mode::ALL {
        let private = Private::start(mode, |_| ());
        let (good, expired) = (private.good, private.expired);
        for (target, fault) in [
            ("/announce".to_owned(), Some(MISSING)),
            ("/short/announce".to_owned(), Some(MALFORMED)),
            ("/announce?passkey=%00".to_owned(), Some(MALFORMED)),
            (format!("/{STRANGER}/announce"), Some(UNKNOWN)),
            (format!("/announce?passkey={STRANGER}"), Some(UNKNOWN)),
            (format!("/{expired}/announce"), Some(EXPIRED)),
            (format!("/announce/{good}"), None),
            (format!("/{good}/announce"), None),
            (format!("/announce?passkey={good}"), None),
        ] {
            for (info_hash, is_listed) in [(LISTED, true), (OTHER, false)] {
                let expected = match fault {
                    Some(fault) if mode.is_private() => Some(fault),
                    _ if mode.is_listed() && !is_listed => Some(NOT_LISTED),
                    _ => None,
                };
                let expected = [(); 3].map(|()| expected.map(str::to_owned));
                let told = private.told(&target, info_hash);
                assert_eq!(told, expected, "{mode:?} {target} listed {is_listed}");
            }
        }
        if mode.is_private() {
            for fault in [
                Fault::MissingKey,
                Fault::MalformedKey,
                Fault::UnknownKey,
                Fault::ExpiredKey,
            ] {
                assert!(
                    private.server.count(Count::Faulted(fault)) >= 6,
                    "{fault:?}"
                );
            }
        }
    }
}

#[test]
fn a_key_arrives_over_udp_in_pieces_and_among_other_options() {
    let private = Private::start(Mode::Private, |_| ());
    let client = private.server.client();
    let path = format!("/{}/announce", private.good);
    assert_eq!(udp_told(&client, &options(&path, 1), LISTED), None);
    let mut among = vec![1, 0x7f, 3, b'x', b'y', b'z'];
    among.extend(options(&path, 20));
    among.extend([0, 0xff, 0xff]);
    assert_eq!(udp_told(&client, &among, LISTED), None);
    // A length past the end ends the options, and with them the key.
    let mut cut = options(&path, 255);
    cut.truncate(30);
    assert_eq!(udp_told(&client, &cut, LISTED).as_deref(), Some(MISSING));
}

#[test]
fn a_scrape_without_a_good_key_learns_nothing() {
    let private = Private::start(Mode::Private, |config| config.scrape.full = true);
    let told = private.told(&format!("/{}/announce", private.good), LISTED);
    assert_eq!(told, [None, None, None]);
    let mut browser = Browser::of(private.server.http_address());
    let mut scrape = |path: &str| browser.get(path).text();
    let nothing =
        "d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei0e10:downloadedi0e10:incompletei0eeee";
    let one = nothing.replace("incompletei0e", "incompletei1e");
    let hash = "info_hash=aaaaaaaaaaaaaaaaaaaa";
    for path in [
        format!("/scrape?{hash}"),
        format!("/{STRANGER}/scrape?{hash}"),
        format!("/scrape?passkey={}&{hash}", private.expired),
    ] {
        assert_eq!(scrape(&path), nothing, "{path}");
    }
    for path in [
        format!("/{}/scrape?{hash}", private.good),
        format!("/scrape?passkey={}&{hash}", private.good),
        format!("/{}/scrape", private.good),
    ] {
        assert_eq!(scrape(&path), one, "{path}");
    }
    assert!(scrape(&format!("/short/scrape?{hash}")).contains(MALFORMED));
    assert!(scrape("/scrape").contains("full scrape disabled"));
    // Over UDP there is no place for a key.
    let client = private.server.client();
    let id = client.connect();
    assert_eq!(client.scrape(id, &[LISTED, OTHER]), [(0, 0, 0), (0, 0, 0)]);
    private
        .server
        .tracker
        .registrar()
        .set_mode(Mode::Public, "");
    assert_eq!(client.scrape(id, &[LISTED, OTHER]), [(0, 0, 1), (0, 0, 0)]);
}

#[test]
fn another_parameter_or_none_may_hold_the_key() {
    let private = Private::start(Mode::Private, |config| {
        config.access.key_parameter = "auth".to_owned();
    });
    let good = private.good;
    let let_in = [None, None, None];
    let turned_away = [(); 3].map(|()| Some(MISSING.to_owned()));
    let told = private.told(&format!("/announce?auth={good}"), LISTED);
    assert_eq!(told, let_in);
    let told = private.told(&format!("/announce?passkey={good}"), LISTED);
    assert_eq!(told, turned_away);
    let mut config = private.config.clone();
    config.access.key_parameter = String::new();
    assert_eq!(private.server.tracker.reload(&config), [""; 0]);
    let told = private.told(&format!("/announce?auth={good}&=x"), LISTED);
    assert_eq!(told, turned_away);
    assert_eq!(private.told(&format!("/{good}/announce"), LISTED), let_in);
}

#[test]
fn a_key_that_is_removed_and_a_mode_that_changes_count_at_once() {
    let private = Private::start(Mode::Private, |_| ());
    let path = format!("/{}/announce", private.good);
    let registrar = private.server.tracker.registrar();
    assert_eq!(private.told(&path, OTHER), [None, None, None]);
    assert!(registrar.remove_key(&private.good, "the test").unwrap());
    let unknown = [(); 3].map(|()| Some(UNKNOWN.to_owned()));
    assert_eq!(private.told(&path, OTHER), unknown);
    registrar.set_mode(Mode::Public, "the test");
    assert_eq!(private.told(&path, OTHER), [None, None, None]);
    registrar.set_mode(Mode::Listed, "the test");
    let not_listed = [(); 3].map(|()| Some(NOT_LISTED.to_owned()));
    assert_eq!(private.told(&path, OTHER), not_listed);
    // The configuration decides when it is read again.
    assert_eq!(private.server.tracker.reload(&private.config), [""; 0]);
    assert_eq!(private.told(&path, OTHER), unknown);
}

#[test]
fn keys_and_lists_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = http_config(BACKENDS[0]);
    folder
        .path()
        .to_str()
        .unwrap()
        .clone_into(&mut config.store.path);
    config.access.mode = Mode::PrivateListed;
    config.access.deny = Deny::Error;
    let keys = {
        let server = Server::start(&config);
        let registrar = server.tracker.registrar();
        registrar
            .allow(&[InfoHash(LISTED)], "the test", "")
            .unwrap();
        let network = "198.51.100.0/24".parse().unwrap();
        registrar
            .block_networks(&[network], "the test", "")
            .unwrap();
        [None, Some(3600)].map(|valid| registrar.add_key(None, valid, "the test").unwrap().0)
    };
    let server = Server::start(&config);
    for key in keys {
        let mut browser = Browser::of(server.http_address());
        let path = format!("/{key}/announce");
        assert_eq!(failure(&browser.get(&query(&path, LISTED)).text()), None);
        let told = failure(&browser.get(&query(&path, OTHER)).text());
        assert_eq!(told.as_deref(), Some(NOT_LISTED));
    }
    let access = server.tracker.registrar().access().load();
    assert!(access.blocks_source("198.51.100.7".parse().unwrap()));
}
