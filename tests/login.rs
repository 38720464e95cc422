//! Logging in to the pages, over real sockets; and those who try it in other ways.

mod api;
mod http;
mod in_process;
mod intruders;
mod logged_in;
mod support;
mod tls;

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use api::*;
use http::{Browser, Response};
use in_process::PATIENCE;
use logged_in::*;
use nix::sys::signal::Signal;
use serde_json::Value;
use shoal::config::Config;
use support::{TrackerProcess, shoal};

const WRONG: &str = "The name or the password is wrong.";

fn start() -> Api {
    Api::start_with(add_user)
}

fn with_user(change: impl FnOnce(&mut Config)) -> Api {
    Api::start_with(|config| {
        add_user(config);
        change(config);
    })
}

/// Logs in from another address of this host.
fn log_in_from(api: &Api, from: [u8; 4], name: &str, password: &str) -> Response {
    let mut browser = Browser::at(IpAddr::from(from), api.address());
    let body = form(&[("name", name), ("password", password)]);
    ask(&mut browser, "POST", "/login", FORM, &body)
}

/// Whether a cookie opens the pages.
fn opens(api: &Api, cookie: &str) -> bool {
    let response = api.ask(
        "GET",
        "/admin/operations",
        &format!("Cookie: {cookie}\r\n"),
        "",
    );
    match response.status {
        200 => true,
        303 => false,
        other => panic!("{other}: {}", response.text()),
    }
}

/// The journal, newest first: who did what to what.
fn journal(api: &Api) -> Vec<(String, String, String)> {
    let told = json(&api.get("/api/v1/journal"));
    let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
    let items = told["items"].as_array().unwrap().iter();
    items
        .map(|item| {
            (
                text(item, "by"),
                text(item, "action"),
                text(item, "subject"),
            )
        })
        .collect()
}

/// One kind of counter on the page of metrics, by its label.
fn counted(api: &Api, name: &str) -> BTreeMap<String, u64> {
    let text = api.get("/metrics").text();
    let lines = text.lines().filter(|line| line.starts_with(name));
    let pairs = lines.map(|line| {
        let (name, n) = line.rsplit_once(' ').unwrap();
        let label = name.split('"').nth(1).unwrap_or("").to_owned();
        (label, n.parse().unwrap())
    });
    pairs.collect()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE * 2;
    while !holds() {
        assert!(Instant::now() < deadline, "never {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_user_logs_in_sees_the_pages_and_logs_out() {
    let api = start();
    let admin = LoggedIn::at(api.address());
    let page = admin.page("/admin/operations");
    assert!(page.contains("<strong>root</strong>") && page.contains("Write a snapshot"));
    let page = admin.change("/admin/operations/snapshot", &[]);
    assert!(page.contains("The snapshot was written."), "{page}");
    let page = admin.page("/admin/operations");
    assert!(!page.contains("The snapshot was written."), "only once");
    assert_eq!(admin.get("/login").header("location"), Some("/admin"));

    assert_eq!(admin.get("/logout").status, 405);
    let left = admin.post("/logout", &[]);
    assert_eq!(left.status, 303);
    assert_eq!(left.header("location"), Some("/login?left=1"));
    let cookie = left.header("set-cookie").unwrap();
    assert!(cookie.starts_with("shoal_session=; ") && cookie.ends_with("; Max-Age=0"));
    assert!(
        !opens(&api, &admin.cookie),
        "the old cookie is worth nothing"
    );
    let response = admin.get("/admin/operations?a=b");
    let wanted = "/login?next=%2Fadmin%2Foperations%3Fa%3Db";
    assert_eq!(response.header("location"), Some(wanted));
    assert!(
        api.ask("GET", "/login?left=1", "", "")
            .text()
            .contains("You have logged out.")
    );

    let at = "127.0.0.1".to_owned();
    let root = "root".to_owned();
    let entries = [
        (root.clone(), "snapshot".to_owned(), "swarms".to_owned()),
        (root, "login".to_owned(), at),
    ];
    assert_eq!(journal(&api), entries);
    assert_eq!(counted(&api, "shoal_control_logins_total")["ok"], 1);
    assert_eq!(counted(&api, "shoal_control_logouts_total")[""], 1);
    assert_eq!(counted(&api, "shoal_control_sessions")[""], 0);
}

#[test]
fn pages_are_kept_by_no_browser_and_say_what_it_may_do_with_them() {
    let api = start();
    let admin = LoggedIn::at(api.address());
    for response in [
        admin.get("/admin/operations"),
        api.ask("GET", "/login", "", ""),
        api.ask("GET", "/admin/operations", "", ""),
        log_in(api.address(), USER, "wrong", "", ""),
        admin.post("/admin/operations/nothing", &[]),
    ] {
        assert_eq!(response.header("cache-control"), Some("no-store"));
        let policy = response.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"));
        assert!(policy.contains("form-action 'self'; frame-ancestors 'none'"));
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert!(!response.text().contains("<script"));
    }
}

#[test]
fn a_wrong_name_and_a_wrong_password_look_alike() {
    let api = start();
    let told = |name: &str, password: &str| {
        let response = log_in(api.address(), name, password, "/admin", "");
        assert_eq!(response.status, 403, "{name}");
        assert_eq!(response.header("set-cookie"), None);
        response.text()
    };
    let page = told(USER, "Correct horse");
    assert!(page.contains(WRONG) && !page.contains("Correct horse"));
    assert!(page.contains(r#"role="alert""#) && page.contains(r#"aria-describedby="said""#));
    assert_eq!(told("toor", "Correct horse"), page.replace("root", "toor"));
    let long = "x".repeat(1025);
    assert_eq!(told(USER, &long), page);

    let empty = log_in_from(&api, [127, 0, 0, 9], USER, "");
    assert_eq!((empty.status, empty.text().contains(WRONG)), (403, true));
    let strange = log_in_from(&api, [127, 0, 0, 9], "<b>\0\u{202e}", "x");
    assert!(strange.text().contains("&lt;b&gt;") && !strange.text().contains("<b>"));
    assert_eq!(counted(&api, "shoal_control_logins_total")["wrong"], 5);

    // Who is no user stands nowhere: it may have been a password.
    wait_until("all failures of the user in the journal", || {
        journal(&api).len() == 3
    });
    let failed = (USER.to_owned(), "login_failed".to_owned());
    assert!(
        journal(&api)
            .into_iter()
            .all(|(by, action, _)| (by, action) == failed)
    );
}

#[test]
fn a_name_that_nobody_has_costs_as_much_as_one_that_somebody_has() {
    let api = Api::start_with(|config| {
        let users = &mut config.control.users;
        users.insert(USER.to_owned(), hash(PASSWORD, 16 << 10));
        users.insert("guest".to_owned(), hash("another", 16 << 10));
    });
    let time = |name: &str, from: [u8; 4]| {
        let started = Instant::now();
        assert_eq!(log_in_from(&api, from, name, "wrong").status, 403);
        let time = started.elapsed();
        // So that nobody need wait.
        api.server.clock.advance(3 * 3600);
        time
    };
    let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
    for n in 1..12 {
        known = known.min(time(USER, [127, 0, 1, n]));
        unknown = unknown.min(time(&format!("nobody{n}"), [127, 0, 2, n]));
    }
    // Without a hash to work through it would take a hundredth.
    println!("known {known:?}, unknown {unknown:?}");
    assert!(
        unknown > known / 4 && known > unknown / 4,
        "{known:?} and {unknown:?}"
    );
    // The password of another user opens nothing, whoever's hash stands in.
    for n in 0..8 {
        let refused = log_in_from(&api, [127, 0, 3, n], &format!("nobody{n}"), PASSWORD);
        assert_eq!(refused.status, 403);
    }
}

#[test]
fn who_fails_too_often_has_to_wait_even_with_the_right_password() {
    let api = start();
    for n in 0..5 {
        let refused = log_in_from(&api, [127, 0, 1, n], USER, "wrong");
        assert_eq!(refused.status, 403);
    }
    let delayed = log_in_from(&api, [127, 0, 1, 9], USER, PASSWORD);
    assert_eq!(delayed.status, 429);
    assert_eq!(delayed.header("retry-after"), Some("1"));
    assert!(
        delayed.text().contains("Try again in 1 second."),
        "{}",
        delayed.text()
    );
    // The same for a name that nobody has.
    for n in 0..5 {
        log_in_from(&api, [127, 0, 2, n], "nobody", "wrong");
    }
    let nobody = log_in_from(&api, [127, 0, 2, 9], "nobody", PASSWORD);
    assert_eq!(nobody.status, 429);
    assert_eq!(nobody.text(), delayed.text().replace("root", "nobody"));
    // And for an address, whatever name it tries.
    for n in 0..5 {
        log_in_from(&api, [127, 0, 3, 1], &format!("name{n}"), "wrong");
    }
    assert_eq!(log_in_from(&api, [127, 0, 3, 1], "guest", "x").status, 429);
    assert_eq!(counted(&api, "shoal_control_logins_total")["delayed"], 3);

    api.server.clock.advance(1);
    assert_eq!(log_in_from(&api, [127, 0, 1, 9], USER, "wrong").status, 403);
    let delayed = log_in_from(&api, [127, 0, 1, 8], USER, PASSWORD);
    assert_eq!(delayed.header("retry-after"), Some("2"));
    api.server.clock.advance(2);
    let entered = log_in_from(&api, [127, 0, 1, 8], USER, PASSWORD);
    assert_eq!(entered.status, 303);
    // The name begins anew.
    assert_eq!(log_in_from(&api, [127, 0, 1, 9], USER, "wrong").status, 403);
    assert_eq!(
        log_in_from(&api, [127, 0, 1, 9], USER, PASSWORD).status,
        303
    );
}

#[test]
fn an_hour_leaves_69_guesses_at_the_password_of_a_name_from_however_many_addresses() {
    let api = start();
    let (mut guesses, mut hour_s) = (0, 3600);
    for n in 0..1000_u32 {
        let [.., high, low] = n.to_be_bytes();
        let refused = log_in_from(&api, [127, 1, high, low], USER, "wrong");
        match refused.status {
            403 => guesses += 1,
            429 => {
                let wait_s: u32 = refused.header("retry-after").unwrap().parse().unwrap();
                if wait_s > hour_s {
                    break;
                }
                hour_s -= wait_s;
                api.server.clock.advance(wait_s);
            }
            other => panic!("{other}: {}", refused.text()),
        }
    }
    assert_eq!(guesses, 69);
}

#[test]
fn a_session_ends_when_nobody_uses_it_and_after_half_a_day() {
    let api = start();
    let admin = LoggedIn::at(api.address());
    for _ in 0..12 {
        assert!(opens(&api, &admin.cookie));
        api.server.clock.advance(3590);
    }
    assert!(opens(&api, &admin.cookie));
    api.server.clock.advance(130);
    assert!(!opens(&api, &admin.cookie), "twelve hours");
    let admin = LoggedIn::at(api.address());
    api.server.clock.advance(3600);
    assert!(!opens(&api, &admin.cookie), "an hour");
    let late = admin.send("/admin/operations/snapshot", "csrf=x", "");
    assert_eq!(late.header("location"), Some("/login?unsent=1"));
    let page = api.ask("GET", "/login?unsent=1", "", "").text();
    assert!(page.contains("nothing was changed"), "{page}");
    assert_eq!(
        counted(&api, "shoal_control_changes_refused_total")["no_session"],
        1
    );
}

#[test]
fn a_session_opens_what_can_be_looked_at_and_changes_nothing_of_the_api() {
    let api = with_user(|config| config.control.public_stats = false);
    let admin = LoggedIn::at(api.address());
    for target in [
        "/",
        "/stat",
        "/stats.json",
        "/metrics",
        "/api/v1/stats",
        "/api/v1/journal",
    ] {
        assert_eq!(admin.get(target).status, 200, "{target}");
        let refused = api.ask("GET", target, "", "");
        assert!(matches!(refused.status, 401 | 500), "{target}");
    }
    let cookie = format!("Cookie: {}\r\n", admin.cookie);
    for (method, target) in [
        ("POST", format!("/api/v1/whitelist/{LOWER}")),
        ("POST", "/api/v1/key/60".to_owned()),
        ("POST", "/api/v1/shutdown".to_owned()),
        ("POST", "/save_state".to_owned()),
        ("PUT", "/api/v1/mode".to_owned()),
        ("DELETE", format!("/api/v1/whitelist/{LOWER}")),
        ("GET", "/api/v1/whitelist/reload".to_owned()),
        ("GET", "/api/v1/keys/reload".to_owned()),
    ] {
        let refused = api.ask(method, &target, &cookie, "");
        assert_eq!(refused.status, 500, "{method} {target}");
    }
    // A wrong token is not made good by a cookie.
    assert_eq!(
        api.ask("GET", "/api/v1/stats?token=x", &cookie, "").status,
        500
    );
    // A browser is led to the log-in page.
    let led = api.ask("GET", "/?x=y", "Accept: text/html\r\n", "");
    assert_eq!(
        (led.status, led.header("location")),
        (303, Some("/login?next=%2F%3Fx%3Dy"))
    );
    assert!(admin.page("/").contains(r#"href="/admin""#));
}

#[test]
fn without_a_user_nobody_can_log_in_and_the_page_says_how_to_make_one() {
    let api = Api::start();
    let page = api.ask("GET", "/login", "", "").text();
    assert!(page.contains("shoal user hash") && !page.contains("<form"));
    let refused = log_in(api.address(), "admin", "admin", "", "");
    assert_eq!((refused.status, refused.header("set-cookie")), (403, None));
    let home = api.ask("GET", "/", "", "").text();
    assert!(!home.contains("/login"));
    assert!(
        start()
            .ask("GET", "/", "", "")
            .text()
            .contains(r#"href="/login""#)
    );
}

#[test]
fn over_tls_the_cookie_never_leaves_it() {
    let root = tls::Root::new();
    let files = tls::Files::of(&root.issue());
    let api = with_user(|config| config.control.tls = Some(files.names.clone()));
    let client = Arc::new(root.client());
    let secured = || Browser::secured(api.address(), &client);
    let body = form(&[("name", USER), ("password", PASSWORD)]);
    let entered = ask(&mut secured(), "POST", "/login", FORM, &body);
    let field = entered.header("set-cookie").unwrap();
    assert!(field.starts_with("__Host-shoal_session=") && field.contains("; Secure"));
    let status = |cookie: &str| {
        let headers = format!("Cookie: {cookie}\r\n");
        ask(&mut secured(), "GET", "/admin/operations", &headers, "").status
    };
    let cookie = cookie_of(&entered);
    assert_eq!(status(&cookie), 200);
    assert_eq!(status(cookie.trim_start_matches("__Host-")), 303);
}

/// Where a process serves the pages.
fn control_address(tracker: &mut TrackerProcess) -> SocketAddr {
    let line = tracker.wait_for_log("(control)", PATIENCE * 2);
    let (_, rest) = line.split_once("http://").unwrap();
    rest.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_user_who_is_removed_or_has_another_password_is_logged_out_by_sighup() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("shoal.toml");
    let write = |users: &[(&str, &str)]| {
        let lines = users.iter().map(|(name, password)| {
            let hash = hash(password, 8);
            format!("{name} = \"{}\"\n", hash.expose())
        });
        let users: String = lines.collect();
        fs::write(&file, format!("[control.users]\n{users}")).unwrap();
    };
    write(&[("root", "correct horse"), ("guest", "battery staple")]);
    let mut command = shoal();
    command.arg("run").arg("--config").arg(&file);
    for setting in [
        "udp.listen=127.0.0.1:0",
        "http.listen=",
        "control.listen=127.0.0.1:0",
        "log.level=trace",
    ] {
        command.args(["--set", setting]);
    }
    let mut tracker = TrackerProcess::start_command(command, 1);
    let server = control_address(&mut tracker);
    let enter = |name: &str, password: &str| log_in(server, name, password, "", "");
    let cookies = [("root", "correct horse"), ("guest", "battery staple")]
        .map(|(name, password)| cookie_of(&enter(name, password)));
    let token = LoggedIn {
        server,
        cookie: cookies[0].clone(),
    }
    .csrf();
    let opened = || {
        cookies.each_ref().map(|cookie| {
            let headers = format!("Cookie: {cookie}\r\n");
            Browser::of(server)
                .get_with("/admin/operations", &headers)
                .status
        })
    };
    assert_eq!(opened(), [200, 200]);
    write(&[("root", "correct horse, again"), ("new", "battery staple")]);
    tracker.signal(Signal::SIGHUP);
    tracker.wait_for_log("SIGHUP: reloaded", PATIENCE);
    assert_eq!(opened(), [303, 303]);
    assert_eq!(enter("root", "correct horse").status, 403);
    assert_eq!(enter("guest", "battery staple").status, 403);
    assert_eq!(enter("root", "correct horse, again").status, 303);
    assert_eq!(enter("new", "battery staple").status, 303);

    tracker.signal(Signal::SIGTERM);
    assert!(tracker.wait().success());
    let said = tracker.stderr_so_far();
    assert!(
        said.contains("root has logged in") && !said.contains("take a restart"),
        "{said}"
    );
    for secret in [
        "horse",
        "staple",
        "$argon2",
        &token,
        &cookies[0][20..],
        &cookies[1][20..],
    ] {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
}
