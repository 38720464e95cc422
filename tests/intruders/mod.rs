//! Those who want to get in by other ways than with their password.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::*;

#[test]
fn a_cookie_that_was_not_given_opens_nothing() {
    let api = start();
    let admin = LoggedIn::at(api.address());
    assert!(opens(&api, &admin.cookie));
    assert!(opens(&api, &format!("a=b; {}; c=d", admin.cookie)));
    let (name, value) = admin.cookie.split_once('=').unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let mut forged: Vec<String> = (0..20)
        .map(|_| (0..64).map(|_| random.digit(16)).collect())
        .collect();
    let flipped = if value.starts_with('0') { "1" } else { "0" };
    forged.extend([
        String::new(),
        value[1..].to_owned(),
        format!("{value}0"),
        format!("{flipped}{}", &value[1..]),
        format!("\"{value}\""),
        format!("{value}, {value}"),
        "root".to_owned(),
        "x".repeat(20_000),
        "%00".to_owned(),
        "../../etc/passwd".to_owned(),
    ]);
    for forged in forged {
        assert!(!opens(&api, &format!("{name}={forged}")), "{forged}");
        let headers = format!("Cookie: {name}={forged}\r\n");
        assert_eq!(api.ask("GET", "/api/v1/stats", &headers, "").status, 500);
    }
    // One that somebody else has put beside it makes both worth nothing.
    assert!(!opens(&api, &format!("{name}=0; {}", admin.cookie)));
    assert!(!opens(&api, &format!("__Host-{}", admin.cookie)));
    // A session of another tracker is none here.
    let other = start();
    assert!(!opens(&other, &admin.cookie));
}

#[test]
fn a_log_in_gives_a_cookie_of_its_own_and_ends_the_session_before() {
    let api = start();
    let planted = format!("shoal_session={}", "ab".repeat(32));
    let headers = format!("Cookie: {planted}\r\n");
    let first = log_in(api.address(), USER, PASSWORD, "", &headers);
    assert_eq!(first.status, 303);
    let first = cookie_of(&first);
    assert_ne!(first, planted);
    assert!(!opens(&api, &planted) && opens(&api, &first));
    let headers = format!("Cookie: {first}\r\n");
    let second = cookie_of(&log_in(api.address(), USER, PASSWORD, "", &headers));
    assert!(!opens(&api, &first) && opens(&api, &second));
    // A wrong password ends nothing.
    let headers = format!("Cookie: {second}\r\n");
    assert_eq!(
        log_in(api.address(), USER, "wrong", "", &headers).status,
        403
    );
    assert!(opens(&api, &second));
}

#[test]
fn a_form_without_the_token_of_its_session_changes_nothing() {
    let api = start();
    let [admin, other] = [(); 2].map(|()| LoggedIn::at(api.address()));
    let token = admin.csrf();
    assert_ne!(token, other.csrf());
    let path = "/admin/operations/snapshot";
    for body in [
        String::new(),
        "csrf=".to_owned(),
        "csrf".to_owned(),
        format!("csrf={}", other.csrf()),
        format!("csrf={}", &token[1..]),
        format!("csrf={token}&csrf={token}"),
        format!("CSRF={token}"),
        "csrf[]=x".to_owned(),
    ] {
        let refused = admin.send(path, &body, "");
        assert_eq!(refused.status, 403, "{body}");
        assert!(refused.text().contains("Nothing was changed."));
    }
    // Nor in the query.
    assert_eq!(
        admin.send(&format!("{path}?csrf={token}"), "", "").status,
        403
    );
    assert_eq!(admin.send("/logout", "", "").status, 403);
    assert!(opens(&api, &admin.cookie));
    assert!(journal(&api).iter().all(|(_, action, _)| action == "login"));
    let refused = counted(&api, "shoal_control_changes_refused_total");
    assert_eq!(refused["forged"], 10, "{refused:?}");
    assert_eq!(admin.send(path, &format!("csrf={token}"), "").status, 303);
}

#[test]
fn what_another_site_has_sent_is_refused() {
    let api = start();
    let admin = LoggedIn::at(api.address());
    let good = format!("csrf={}", admin.csrf());
    let path = "/admin/operations/snapshot";
    // The host that the tests ask for is called t.
    for headers in [
        "Origin: https://evil.example\r\n",
        "Origin: http://t:81\r\n",
        "Origin: http://t.evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: http://t\r\nSec-Fetch-Site: cross-site\r\n",
    ] {
        assert_eq!(admin.send(path, &good, headers).status, 403, "{headers}");
        let refused = log_in(api.address(), USER, PASSWORD, "", headers);
        assert_eq!(
            (refused.status, refused.header("set-cookie")),
            (403, None),
            "{headers}"
        );
    }
    assert_eq!(
        counted(&api, "shoal_control_changes_refused_total")["cross_site"],
        7
    );
    assert_eq!(counted(&api, "shoal_control_logins_total")["refused"], 7);
    for headers in [
        "Origin: http://t\r\n",
        "Origin: https://T\r\n",
        "Sec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: none\r\n",
    ] {
        assert_eq!(admin.send(path, &good, headers).status, 303, "{headers}");
    }
}

#[test]
fn a_form_that_is_huge_or_no_form_is_refused() {
    let api = start();
    let admin = LoggedIn::at(api.address());
    let token = admin.csrf();
    let path = "/admin/operations/snapshot";
    let huge = format!("csrf={token}&x={}", "x".repeat(64 << 10));
    for (target, cookie) in [(path, &*admin.cookie), ("/login", "a=b")] {
        // Before a byte of it is sent.
        let mut browser = api.browser();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: t\r\nCookie: {cookie}\r\n{FORM}Content-Length: {}\r\n\r\n",
            huge.len()
        );
        browser.send(head.as_bytes());
        assert_eq!(browser.response().status, 413);
        // Or when there is too much of it.
        let mut browser = api.browser();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: t\r\nCookie: {cookie}\r\n{FORM}Transfer-Encoding: chunked\r\n\r\n"
        );
        browser.send(head.as_bytes());
        let chunk = format!("{:x}\r\n{huge}\r\n", huge.len());
        // It may answer before everything is written.
        let _ = browser.stream.write_all(chunk.as_bytes());
        assert_eq!(browser.response().status, 413);
        for kind in [
            "",
            "Content-Type: application/json\r\n",
            "Content-Type: text/plain\r\n",
            "Content-Type: multipart/form-data; boundary=x\r\n",
            "Content-Type: application/x-www-form-urlencodedx\r\n",
        ] {
            let headers = format!("Cookie: {cookie}\r\n{kind}");
            let body = format!("csrf={token}&name=root&password=x");
            let refused = api.ask("POST", target, &headers, &body);
            assert_eq!(refused.status, 415, "{kind}");
        }
    }
    // As large as it may be, and nobody minds a field that he does not know.
    let most = &huge[..64 << 10];
    assert_eq!(admin.send(path, most, "").status, 303);
    let charset = format!(
        "Cookie: {}\r\nContent-Type: Application/X-WWW-Form-Urlencoded; charset=utf-8\r\n",
        admin.cookie
    );
    let sent = api.ask("POST", path, &charset, &format!("csrf={token}"));
    assert_eq!(sent.status, 303);
    let refused = counted(&api, "shoal_control_changes_refused_total");
    assert_eq!((refused["too_large"], refused["wrong_type"]), (2, 5));
}

#[test]
fn a_form_with_a_field_missing_is_told_which() {
    let api = start();
    for (body, field) in [
        ("name=root", "password"),
        ("password=x", "name"),
        ("", "name"),
    ] {
        let refused = api.ask("POST", "/login", FORM, body);
        assert_eq!(refused.status, 400);
        assert!(
            refused.text().contains(&format!("missing field `{field}`")),
            "{body}"
        );
    }
    let twice = api.ask("POST", "/login", FORM, "name=a&name=b&password=x");
    assert_eq!(twice.status, 400);
    let broken = api.ask("POST", "/login", FORM, "name=%ff%fe&password=%zz&&=&next");
    assert!(matches!(broken.status, 400 | 403), "{}", broken.status);
}

#[test]
fn who_sends_a_form_slowly_is_parted_with_and_holds_nobody_up() {
    let api = start();
    let admin = LoggedIn::at(api.address());
    let mut slow: Vec<Browser> = (0..32)
        .map(|_| {
            let mut browser = api.browser();
            let head =
                format!("POST /login HTTP/1.1\r\nHost: t\r\n{FORM}Content-Length: 30\r\n\r\nname");
            browser.send(head.as_bytes());
            browser
        })
        .collect();
    let started = Instant::now();
    wait_until("turned away at once", || {
        log_in(api.address(), "nobody", "x", "", "").status == 503
    });
    // Whoever is logged in, or has a token, does not notice.
    assert!(opens(&api, &admin.cookie));
    assert_eq!(api.get("/api/v1/stats").status, 200);
    for browser in &mut slow {
        assert_eq!(browser.response().status, 408);
    }
    let took = started.elapsed();
    assert!(
        took > Duration::from_secs(3) && took < Duration::from_secs(15),
        "{took:?}"
    );
    LoggedIn::at(api.address());
}

#[test]
fn the_way_on_after_a_log_in_leads_nowhere_else() {
    let api = start();
    let server = api.address();
    let to = |next: &str| {
        let response = log_in(server, USER, PASSWORD, next, "");
        response.header("location").unwrap().to_owned()
    };
    assert_eq!(
        to("/admin/torrents?q=ab&page=2"),
        "/admin/torrents?q=ab&page=2"
    );
    for elsewhere in [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "/\r\nSet-Cookie: a=b",
        "/\t/evil.example",
        "admin",
        "",
    ] {
        assert_eq!(to(elsewhere), "/admin", "{elsewhere:?}");
    }
    // Nor does the page itself say so, whether one is logged in or not.
    let page = api.ask("GET", "/login?next=//evil.example", "", "").text();
    assert!(!page.contains("evil"), "{page}");
    let page = api
        .ask("GET", "/login?next=%2F%22%3E%3Cb%3E", "", "")
        .text();
    assert!(!page.contains("<b>"), "{page}");
    let admin = LoggedIn::at(server);
    assert_eq!(
        admin.get("/login?next=//evil.example").header("location"),
        Some("/admin")
    );
    assert_eq!(
        admin.get("/login?next=/admin/keys").header("location"),
        Some("/admin/keys")
    );
}

#[test]
fn a_crowd_that_logs_in_together_is_served_two_at_a_time_and_the_rest_is_turned_away() {
    let api = Api::start_with(|config| {
        let users = &mut config.control.users;
        users.insert(USER.to_owned(), hash(PASSWORD, 64 << 10));
    });
    let body = form(&[("name", "NAME"), ("password", "wrong")]);
    let mut browsers: Vec<Browser> = (1..=40)
        .map(|n| Browser::at(IpAddr::from([127, 0, 1, n]), api.address()))
        .collect();
    for (n, browser) in browsers.iter_mut().enumerate() {
        let body = body.replace("NAME", &format!("n{n:03}"));
        let len = body.len();
        let head =
            format!("POST /login HTTP/1.1\r\nHost: t\r\n{FORM}Content-Length: {len}\r\n\r\n");
        browser.send(format!("{head}{body}").as_bytes());
    }
    // Everything else goes on meanwhile.
    assert_eq!(api.get("/api/v1/stats").status, 200);
    let statuses: Vec<u16> = browsers
        .iter_mut()
        .map(|browser| browser.response().status)
        .collect();
    let of = |status| statuses.iter().filter(|known| **known == status).count();
    assert_eq!(of(403) + of(503), 40, "{statuses:?}");
    assert!(of(403) >= 18 && of(503) > 0, "{statuses:?}");
    assert_eq!(
        counted(&api, "shoal_control_logins_total")["busy"],
        of(503) as u64
    );
    // Who was turned away has not failed.
    assert_eq!(log_in(api.address(), USER, PASSWORD, "", "").status, 303);
}
