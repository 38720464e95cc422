//! The pages for those who are logged in, in a real browser. Pictures of them are left in `target/tmp`.

mod api;
mod browser;
mod http;
mod in_process;
mod logged_in;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use api::{Api, bytes_of};
use browser::{Chromium, SCREENS};
use in_process::{Announce, AnnounceReply, Client, error_text};
use logged_in::{PASSWORD, USER, add_user};
use serde_json::{Value, json};
use shoal::gate::access::Deny;

/// A browser on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// The torrent that is looked at.
const TORRENT: &str = "9e0217d0fa71c87332cd8bf9dbeabcb2c2cf3c4d";

/// A name and a client that would be more than text, were they not escaped.
const NAME: &str = "Night & Fog <script>alert('name')</script><img src=x onerror=alert(1)>";
const PEER_ID: &[u8; 20] = b"-TR4060-<b id=own>x\"";

const NAMES: [&str; 12] = [
    "debian-13.2.0-amd64-netinst.iso",
    "debian-13.2.0-arm64-DVD-1.iso",
    "ubuntu-26.04-desktop-amd64.iso",
    "archlinux-2026.11.01-x86_64.iso",
    "Sintel (2010) 4K",
    "Big Buck Bunny",
    "Tears of Steel 1080p",
    "Cosmos Laundromat",
    "LibreOffice_26.8_Linux_x86-64_deb.tar.gz",
    "kiwix-wikipedia_en_all_maxi_2026-10.zim",
    "OpenStreetMap planet-261116.osm.pbf",
    "A lecture with a very long name that says all that there is to say about it, and then some more - part 01 of 48",
];

#[test]
fn a_torrent_is_found_blocked_and_unblocked_in_a_browser() {
    let api = Api::start_with(|config| {
        add_user(config);
        config.access.deny = Deny::Error;
        config.swarm.peer_details = true;
        config.udp = vec![in_process::listener("0.0.0.0:0")];
        config.workers.count = 2;
        config.announce.ignore_ip = vec!["192.0.2.0/24".parse().unwrap()];
    });
    fill(&api);
    let browser = Chromium::start();
    log_in(&browser, &api);
    find(&browser);
    block(&browser, &api);
    assert_eq!(
        browser.console(),
        Vec::<Value>::new(),
        "nothing on the console"
    );
    more_changes(&api);
    look(&browser, &api);
    mistake(&browser, &api);
}

fn udp(api: &Api) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], api.server.address().port()))
}

/// Torrents with names and peers.
fn fill(api: &Api) {
    let torrents = NAMES.iter().enumerate().map(|(at, name)| {
        json!({ "info_hash": format!("{:02x}", 17 * at + 5).repeat(20), "name": name, "size": 700_000_000 * (at + 1) })
    });
    let named = json!({
        "info_hash": TORRENT, "name": NAME, "size": 4_700_000_000_u64, "piece_length": 4_194_304,
        "comment": "Two films, <b>not</b> bold.", "created_by": "mktorrent 1.1", "creation_date": 1_790_000_000,
    });
    let torrents: Vec<Value> = torrents.chain([named]).collect();
    let body = json!({ "torrents": torrents, "reason": "our own" }).to_string();
    assert_eq!(api.post_json("/api/v1/torrents", &body).status, 200);
    let ids: [&[u8; 8]; 5] = [
        b"-qB5000-",
        b"-TR4060-",
        b"-lt0D80-",
        b"A2-1-37-",
        b"-zz0001-",
    ];
    for host in 1..=24_u8 {
        let client = Client::at(IpAddr::from([127, 0, 3, host]), udp(api));
        let id = client.connect();
        for at in 0..NAMES.len() + 6 {
            let mut hash = [(17 * at + 5) as u8; 20];
            if at >= NAMES.len() {
                hash[19] = at as u8;
            }
            if at % usize::from(host) < 2 {
                client.ask(&Announce::seeder(hash, 6881).to_bytes(id));
            }
        }
        let port = 6881 + u16::from(host);
        let mut announce = if host % 3 == 0 {
            Announce::leecher(bytes_of(TORRENT), port).to_bytes(id)
        } else {
            Announce::seeder(bytes_of(TORRENT), port).to_bytes(id)
        };
        announce[36..44].copy_from_slice(ids[usize::from(host) % 5]);
        announce[56..64].copy_from_slice(&(u64::from(host) * 9_876_543).to_be_bytes());
        if host == 1 {
            announce[36..56].copy_from_slice(PEER_ID);
        }
        client.ask(&announce);
    }
}

/// Waits until something is so, as it is not at once when a key leads to another page.
fn wait_for(browser: &Chromium, condition: &str) {
    let deadline = Instant::now() + PATIENCE;
    while browser.run(&format!("return !!({condition})")) != true {
        assert!(Instant::now() < deadline, "never {condition}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn title(browser: &Chromium) -> Value {
    browser.run("return document.querySelector('h1').textContent")
}

fn text(browser: &Chromium, selector: &str) -> String {
    let text = browser.run(&format!(
        "return document.querySelector('{selector}').textContent"
    ));
    text.as_str().expect("a text").to_owned()
}

/// Whoever is not logged in is led to the form, and from there to where he wanted to go.
fn log_in(browser: &Chromium, api: &Api) {
    browser.go(&format!("http://{}/admin/torrents", api.address()));
    assert_eq!(title(browser), "Log in");
    browser.keys("[name=name]", USER);
    browser.keys("[name=password]", PASSWORD);
    browser.click("main button");
    assert_eq!(title(browser), "Torrents");
}

/// By a part of its name, with the keyboard alone.
fn find(browser: &Chromium) {
    browser.keys("#q", "night & fog\u{e007}");
    wait_for(browser, "document.querySelectorAll('tbody tr').length == 1");
    assert_eq!(text(browser, "a.torrent .name"), NAME);
    browser.keys("a.torrent", "\u{e007}");
    wait_for(browser, "document.querySelector('.hash code')");
    assert_eq!(text(browser, ".hash code"), TORRENT);
    assert_eq!(text(browser, "h2"), NAME);
    let swarm = text(browser, "table.peers");
    assert!(
        swarm.contains("127.0.3.1:6882") && swarm.contains("Transmission 4.0.6"),
        "{swarm}"
    );
    assert!(swarm.contains("-TR4060-<b\\x20id=own>x\""), "{swarm}");
    let more = "main script, main img, main b, #own";
    let found = browser.run(&format!(
        "return document.querySelectorAll('{more}').length"
    ));
    assert_eq!(found, 0, "names and ids are text");
}

/// What is blocked is refused over UDP at once, and served at once when it is not.
fn block(browser: &Chromium, api: &Api) {
    let client = Client::of(udp(api));
    let id = client.connect();
    let announce = || client.ask(&Announce::leecher(bytes_of(TORRENT), 5000).to_bytes(id));
    let peers = |reply: &[u8]| AnnounceReply::read(reply, 6).peers.len();
    assert_eq!(peers(&announce()), 24);
    browser.keys("#reason-block", "Asked for by its <i>author</i>");
    browser.click("[action$='/block'] button");
    assert_eq!(text(browser, ".notice"), "The torrent is blocked.");
    assert_eq!(
        text(browser, "blockquote"),
        "Asked for by its <i>author</i>"
    );
    assert_eq!(error_text(&announce()), "info_hash not allowed");
    browser.keys("#reason-unblock", "He changed his mind\u{e007}");
    wait_for(browser, "document.getElementById('reason-block')");
    assert_eq!(
        text(browser, ".notice"),
        "The torrent is no longer blocked."
    );
    assert!(peers(&announce()) >= 24);
    let base = format!("http://{}/admin/journal", api.address());
    browser.go(&base);
    let rows = text(browser, "tbody");
    assert!(
        rows.contains("He changed his mind") && rows.contains(USER),
        "{rows}"
    );
}

/// Something to be seen on every page.
fn more_changes(api: &Api) {
    let user = logged_in::LoggedIn::at(api.address());
    let hash = |at: usize| format!("{:02x}", 17 * at + 5).repeat(20);
    let blocked = format!("{}\n{}\n{TORRENT}", hash(4), "0b".repeat(20));
    let reason = "Takedown 2026-114 of the regional court, to be looked at again in spring";
    let fields = [("text", &*blocked), ("reason", reason)];
    user.change("/admin/lists/blocklist", &fields);
    let allowed = [hash(0), hash(1), hash(2)].join("\n");
    let fields = [("text", &*allowed), ("reason", "ours")];
    user.change("/admin/lists/allowlist", &fields);
    for (lifetime, unit) in [("2", "weeks"), ("", "days"), ("12", "hours")] {
        let fields = [("key", ""), ("lifetime", lifetime), ("unit", unit)];
        user.change("/admin/keys", &fields);
    }
    let networks = "198.51.100.0/24\n2001:db8:bad::/48\n203.0.113.9";
    let fields = [("text", networks), ("reason", "Floods")];
    user.change("/admin/networks", &fields);
}

/// A picture of every page on every screen.
fn look(browser: &Chromium, api: &Api) {
    let torrent = format!("/admin/torrents/{TORRENT}");
    for screen in &SCREENS {
        browser.show_on(screen);
        for (page, path) in [
            ("overview", "/admin"),
            ("torrents", "/admin/torrents"),
            ("torrent", &torrent),
            ("allowlist", "/admin/lists/allowlist"),
            ("blocklist", "/admin/lists/blocklist"),
            ("keys", "/admin/keys"),
            ("networks", "/admin/networks"),
            ("journal", "/admin/journal"),
        ] {
            browser.go(&format!("http://{}{path}", api.address()));
            take(browser, &format!("{page}-{}", screen.name));
        }
    }
    assert_eq!(
        browser.console(),
        Vec::<Value>::new(),
        "nothing on the console"
    );
}

fn take(browser: &Chromium, name: &str) {
    browser.expect_readable(name);
    let picture = format!("{}/admin-{name}.png", env!("CARGO_TARGET_TMPDIR"));
    fs::write(&picture, browser.screenshot()).unwrap();
    println!("{picture}");
}

/// A form with a mistake comes back with what was entered, and says what is wrong at the field.
fn mistake(browser: &Chromium, api: &Api) {
    browser.show_on(&SCREENS[0]);
    browser.go(&format!("http://{}/admin/keys", api.address()));
    browser.keys("#key", "too short");
    browser.click("[action='/admin/keys'] button.main");
    let told = browser.run(
        "const key = document.getElementById('key');
         const about = key.getAttribute('aria-describedby').split(' ');
         return [key.value, key.getAttribute('aria-invalid'), document.getElementById(about[0]).textContent];",
    );
    assert_eq!(
        told,
        json!(["too short", "true", "A key has 32 letters and digits."])
    );
    take(browser, "mistake-light");
}
