//! The page of statistics in a real browser. Pictures of it are left in `target/tmp`.

mod api;
mod browser;
mod http;
mod in_process;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use api::Api;
use browser::{Chromium, SCREENS};
use in_process::{Announce, Client};
use serde_json::{Value, json};
use shoal::store::{Claim, OnDamage, Records, Span};
use tempfile::TempDir;

/// A browser on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// How far things moved that nobody touched.
const LAYOUT_SHIFT: &str = "
    let sum = 0;
    const seen = new PerformanceObserver(() => {});
    seen.observe({ type: 'layout-shift', buffered: true });
    for (const entry of seen.takeRecords()) sum += entry.value;
    return sum;";

/// Two months that were busier in the evening and on some days.
fn write_past(folder: &Path) {
    let claim =
        Arc::new(Claim::stake(folder).unwrap_or_else(|refusal| panic!("{}", refusal.sentence())));
    let opened = Records::open(&claim, OnDamage::Refuse, 0);
    let records = opened
        .unwrap_or_else(|refusal| panic!("{}", refusal.sentence()))
        .store;
    let now_s = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let (today, hour) = (now_s - now_s % 86_400, now_s - now_s % 3600);
    let row = |scale: f64| {
        let mut values = vec![0_u64; 44];
        let parts = [
            (0, 21.0),
            (1, 60.0),
            (2, 2.0),
            (3, 6.0),
            (4, 16.0),
            (6, 8.0),
            (7, 11.0),
            (10, 4.0),
            (12, 9.0),
            (13, 22.0),
            (16, 7.0),
            (36, 1.3),
            (37, 2.4),
            (38, 0.7),
            (39, 9000.0),
            (40, 31_000.0),
            (41, 4100.0),
            (42, 3.1),
            (43, 0.9),
        ];
        for (at, part) in parts {
            values[at] = (part * scale) as u64;
            if at < 18 {
                values[at + 18] = (part * scale * 0.98) as u64;
            }
        }
        values
    };
    for ago in 1..=45_u32 {
        let scale = 250_000.0 * (1.0 + 0.3 * f64::from(ago).sin() + 0.1 * f64::from(ago * 7).cos());
        let start = today - u64::from(ago) * 86_400;
        records
            .put_statistics(Span::Day, start, &row(scale))
            .unwrap();
    }
    for ago in 1..48_u32 {
        let of_day = (hour - u64::from(ago) * 3600) / 3600 % 24;
        let scale = 9000.0
            * (1.6
                + (of_day as f64 / 24.0 * std::f64::consts::TAU - 2.4).sin()
                + 0.1 * f64::from(ago).sin());
        records
            .put_statistics(Span::Hour, hour - u64::from(ago) * 3600, &row(scale))
            .unwrap();
    }
    let passed = (hour - today) as f64 / 86_400.0;
    records
        .put_statistics(Span::Day, today, &row(250_000.0 * passed))
        .unwrap();
}

/// Announces until it is told to stop, from many addresses and with many kinds of client.
fn announce_all_the_time(server: SocketAddr, stop: &AtomicBool) {
    let clients: Vec<_> = (1..40_u8)
        .map(|n| Client::at(IpAddr::from([127, 0, 1, n]), server))
        .map(|client| (client.connect(), client))
        .collect();
    let names: [&[u8; 8]; 7] = [
        b"-qB4670-",
        b"-qB5000-",
        b"-TR4060-",
        b"-UT354S-",
        b"-lt0D80-",
        b"A2-1-37-",
        b"-zz0001-",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let mut torrent = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        for (id, client) in &clients {
            torrent += 1;
            let mut info_hash = [0; 20];
            info_hash[..4].copy_from_slice(&(torrent % 5000).to_be_bytes());
            let mut announce = Announce::leecher(info_hash, random.u16(1..)).to_bytes(*id);
            let name = names[random.usize(..names.len()).min(random.usize(..names.len()))];
            announce[36..44].copy_from_slice(name);
            if random.u8(..3) > 0 {
                announce[64..72].fill(0);
            }
            client.ask(&announce);
        }
        client_errors(&clients[0].1);
        thread::sleep(Duration::from_millis(random.u64(5..40)));
    }
}

/// Some of what a tracker has to put up with.
fn client_errors(client: &Client) {
    client.send(&[0; 3]);
    client.send(&[9; 120]);
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn numbers_move_in_a_browser_in_every_colour_and_on_a_phone() {
    let past = TempDir::new().unwrap();
    let store = past.path().join("data");
    fs::create_dir(&store).unwrap();
    write_past(&store);
    let api = Api::start_with(|config| {
        config.store.path = store.display().to_string();
        config.udp = vec![in_process::listener("0.0.0.0:0")];
        config.workers.count = 2;
    });
    let udp = SocketAddr::from(([127, 0, 0, 1], api.server.address().port()));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| announce_all_the_time(udp, &stop));
        // Whatever becomes of the test, the load ends.
        let _ended = Ended(&stop);
        look_at(&api);
    });
}

struct Ended<'s>(&'s AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn look_at(api: &Api) {
    let browser = Chromium::start();
    let page = format!("http://{}/", api.address());
    browser.go(&page);
    wait_until("live", || browser.text("state") == "live");
    let torrents = browser.text("torrents");
    wait_until("more torrents", || browser.text("torrents") != torrents);
    wait_until("requests", || browser.text("requests") != "0");
    wait_until("a line", || {
        let line = browser.run("return document.getElementById('line-requests').getAttribute('d')");
        line.as_str()
            .is_some_and(|line| line.matches('L').count() > 4)
    });
    // Parts come every ten seconds; by then clients have names.
    wait_until("clients", || {
        let names = browser.run(
            "return [...document.querySelectorAll('.software .name')].map((n) => n.textContent)",
        );
        names
            .as_array()
            .is_some_and(|names| names.contains(&"qBittorrent".into()))
    });
    let shift = browser.run(LAYOUT_SHIFT).as_f64().unwrap();
    assert!(shift < 0.02, "the page moved by {shift}");

    // The switch goes through the colours, and the choice outlives the page.
    let ground =
        || browser.run("return getComputedStyle(document.documentElement).backgroundColor");
    let click = || browser.run("document.getElementById('theme').click()");
    click();
    assert_eq!(
        (browser.text("theme-word"), ground()),
        ("light".to_owned(), json!("rgb(238, 243, 246)"))
    );
    click();
    browser.go(&page);
    assert_eq!(
        (browser.text("theme-word"), ground()),
        ("dark".to_owned(), json!("rgb(10, 18, 23)"))
    );
    click();
    assert_eq!(browser.text("theme-word"), "auto");

    browser.run("document.querySelector('[data-copy]').click()");
    wait_until("copied", || {
        browser.run("return document.querySelector('[data-copy]').textContent") == "Copied"
    });

    for screen in &SCREENS {
        let name = screen.name;
        browser.show_on(screen);
        browser.go(&page);
        wait_until("live", || browser.text("state") == "live");
        browser.expect_readable(name);
        let picture = format!("{}/stats-{name}.png", env!("CARGO_TARGET_TMPDIR"));
        fs::write(&picture, browser.screenshot()).unwrap();
        println!("{picture}");
    }
    assert_eq!(
        browser.console(),
        Vec::<Value>::new(),
        "nothing on the console"
    );
}
