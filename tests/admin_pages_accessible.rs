//! Whether everybody can use the pages: axe-core looks at each of them in a real browser, in both colours
//! and on a phone, and the way in needs no mouse. Pictures are left in `target/tmp`.

mod api;
mod browser;
mod http;
mod in_process;
mod logged_in;

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use api::*;
use browser::Chromium;
use logged_in::*;
use serde_json::{Value, json};

/// A browser on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Most pages that are looked at; those of one kind are one page.
const PAGES_MAX: usize = 60;

/// Where the pages lead: paths of our own that are not the same page with another query.
const LINKS: &str = "return [...document.querySelectorAll('a[href]')]
    .map((link) => new URL(link.href)).filter((url) => url.origin === location.origin)
    .map((url) => url.pathname);";

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A tracker where every page has something to show.
fn busy_tracker() -> Api {
    let api = Api::start_with(|config| {
        add_user(config);
        config.swarm.peer_details = true;
    });
    for n in 0..70 {
        let info_hash = format!("{n:040x}");
        api.announce(&info_hash, 1000 + n, u64::from(n % 2));
    }
    let change = |target: &str, body: Value| {
        let response = api.post_json(target, &body.to_string());
        assert_eq!(response.status, 200, "{target}: {}", response.text());
    };
    let named = json!({"info_hash": format!("{:040x}", 1), "name": "<b>A & \"B\"</b>", "size": 7});
    change("/add_torrent_info", named);
    let hashes: Vec<String> = (2..64).map(|n| format!("{n:040x}")).collect();
    let reason = "asked for by <i>somebody</i>";
    change(
        "/api/v1/whitelist",
        json!({"info_hashes": hashes, "reason": reason}),
    );
    change(
        "/api/v1/blocklist",
        json!({"info_hashes": [HIGHER], "reason": reason}),
    );
    change(
        "/api/v1/ip_blocklist",
        json!({"networks": ["192.0.2.0/24"], "reason": reason}),
    );
    change("/api/v1/keys", json!({"key": null, "seconds_valid": 3600}));
    change("/api/v1/keys", json!({"key": null, "seconds_valid": null}));
    api
}

/// Looks at the page that is open, in both colours and on a phone, and says what is wrong with it.
fn look_at(browser: &Chromium, barriers: &mut Vec<String>) {
    let path = browser.path();
    for (name, scheme, width, is_phone) in [
        ("light", "light", 1280, false),
        ("dark", "dark", 1280, false),
        ("phone", "light", 390, true),
    ] {
        browser.look_like(scheme, width, is_phone);
        let found = browser.barriers().into_iter();
        barriers.extend(found.map(|barrier| format!("{path} ({name}): {barrier}")));
        let too_wide = browser.run("return document.documentElement.scrollWidth - innerWidth");
        if too_wide.as_f64().unwrap() > 0.0 {
            barriers.push(format!("{path} ({name}): scrolls sideways"));
        }
        let file = path.split('?').next().unwrap().replace('/', "-");
        let picture = format!("{}/page{file}-{name}.png", env!("CARGO_TARGET_TMPDIR"));
        fs::write(picture, browser.screenshot()).unwrap();
    }
    browser.look_like("light", 1280, false);
}

/// Pages of one kind have one name: digits of an info-hash, a key or an address make no other page.
fn kind(path: &str) -> String {
    let is_name = |part: &&str| !part.bytes().any(|byte| byte.is_ascii_digit());
    let parts = path.split('/').map(|part| Some(part).filter(is_name));
    let parts: Vec<&str> = parts.map(|part| part.unwrap_or("*")).collect();
    parts.join("/")
}

#[test]
fn every_page_can_be_used_by_everybody() {
    let api = busy_tracker();
    let at = |path: &str| format!("http://{}{path}", api.address());
    let browser = Chromium::start();
    let mut barriers = Vec::new();

    // What strangers see.
    browser.go(&at("/"));
    wait_until("live", || browser.text("state") == "live");
    look_at(&browser, &mut barriers);
    browser.go(&at("/login?left=1"));
    look_at(&browser, &mut barriers);

    enter_without_a_mouse(&browser, &at("/admin/operations"), &mut barriers);
    assert_eq!(browser.path(), "/admin/operations");

    // All that can be reached from there, in whatever order.
    let mut seen = BTreeSet::from(["/".to_owned(), "/login".to_owned()]);
    let mut waiting = vec!["/admin/operations".to_owned()];
    let mut looked_at = Vec::new();
    while let Some(path) = waiting.pop() {
        if !seen.insert(kind(&path)) {
            continue;
        }
        assert!(seen.len() < PAGES_MAX, "{seen:?}");
        browser.go(&at(&path));
        if !browser.path().starts_with("/admin") {
            continue;
        }
        let status = browser.status();
        if status != 200 {
            barriers.push(format!("{path} is answered {status}"));
            continue;
        }
        look_at(&browser, &mut barriers);
        let links: Vec<String> = serde_json::from_value(browser.run(LINKS)).unwrap();
        waiting.extend(links);
        looked_at.push(path);
    }
    println!("{looked_at:?}");
    // What is shown after a form.
    browser.go(&at("/admin/operations/snapshot"));
    browser.run("document.querySelector('main form button').click()");
    wait_until("done", || {
        browser.run("return document.querySelector('.notice.done') !== null") == true
    });
    look_at(&browser, &mut barriers);

    assert!(barriers.is_empty(), "{}", barriers.join("\n"));
    assert_eq!(
        browser.console(),
        Vec::<Value>::new(),
        "nothing on the console"
    );
    for page in ["/admin", "/admin/torrents", "/admin/operations/stop"] {
        assert!(
            looked_at.iter().any(|path| path == page),
            "{page} was not reached"
        );
    }
}

/// Logs in with keys alone, at the second attempt.
fn enter_without_a_mouse(browser: &Chromium, wanted: &str, barriers: &mut Vec<String>) {
    let focus = || {
        let id =
            browser.run("return document.activeElement.id || document.activeElement.className");
        id.as_str().unwrap_or("").to_owned()
    };
    let has_ring = || {
        let ring = "const style = getComputedStyle(document.activeElement);
             return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;";
        browser.run(ring) == true
    };
    browser.go(wanted);
    browser.press("Tab");
    assert_eq!((focus().as_str(), has_ring()), ("skip", true));
    for wanted in ["brand", "name"] {
        browser.press("Tab");
        assert_eq!((focus().as_str(), has_ring()), (wanted, true));
    }
    browser.write(USER);
    browser.press("Tab");
    assert_eq!(focus(), "password");
    browser.write("wrong");
    browser.press("Enter");
    wait_until("told that it is wrong", || {
        browser.run("return document.querySelector('.notice.failed') !== null") == true
    });
    assert_eq!(browser.status(), 403);
    look_at(browser, barriers);
    // The browser says of itself that a page was answered 403.
    browser.console();
    browser.run("document.getElementById('password').focus()");
    browser.write(PASSWORD);
    browser.press("Enter");
    wait_until("logged in", || browser.path().starts_with("/admin"));
}
