//! The pages for those who are logged in, over HTTP.

mod api;
mod http;
mod in_process;
mod logged_in;

use api::{Api, HIGHER, LOWER, TOKEN, bytes_of, json};
use http::Response;
use in_process::{Announce, Client, error_text};
use logged_in::{LoggedIn, USER, add_user};
use shoal::config::Config;
use shoal::gate::access::{Deny, Mode};

/// A name that would be more than a name, were it not escaped.
const EVIL: &str = "<script>alert('x')</script>&amp;\"<img src=x onerror=alert(1)>";
const ESCAPED: &str =
    "&lt;script&gt;alert('x')&lt;/script&gt;&amp;amp;&quot;&lt;img src=x onerror=alert(1)&gt;";

struct Admin {
    api: Api,
    user: LoggedIn,
}

impl Admin {
    fn start() -> Self {
        Self::start_with(|_| {})
    }

    fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let api = Api::start_with(|config| {
            add_user(config);
            config.access.deny = Deny::Error;
            change(config);
        });
        let user = LoggedIn::at(api.address());
        Self { api, user }
    }

    /// Registers a torrent with a name, over the API.
    fn name(&self, info_hash: &str, name: &str) {
        let body = serde_json::json!({ "torrents": [{ "info_hash": info_hash, "name": name }] });
        let told = self.api.post_json("/api/v1/torrents", &body.to_string());
        assert_eq!(told.status, 200, "{}", told.text());
    }

    /// The newest entry of the journal.
    fn last_entry(&self) -> (String, String, String, String) {
        let told = json(&self.api.get("/api/v1/journal?limit=1"));
        let text = |name: &str| told["items"][0][name].as_str().unwrap().to_owned();
        (text("action"), text("subject"), text("reason"), text("by"))
    }
}

fn entry(action: &str, subject: &str, reason: &str) -> (String, String, String, String) {
    let owned = |text: &str| text.to_owned();
    (owned(action), owned(subject), owned(reason), owned(USER))
}

/// What the tracker says to an announce when it turns it away; nothing when it serves it.
fn refusal(client: &Client, info_hash: &str, port: u16) -> Option<String> {
    let announce = Announce::leecher(bytes_of(info_hash), port);
    let reply = client.ask(&announce.to_bytes(client.connect()));
    (reply[3] == 3).then(|| error_text(&reply).to_owned())
}

#[test]
fn every_page_needs_a_session_and_may_be_kept_by_nobody() {
    let admin = Admin::start();
    let torrent = format!("/admin/torrents/{LOWER}");
    for path in [
        "/admin",
        "/admin/torrents",
        "/admin/torrents?q=a&after=b",
        &torrent,
        "/admin/lists/allowlist",
        "/admin/lists/blocklist",
        "/admin/keys",
        "/admin/networks",
        "/admin/journal",
    ] {
        let stranger = admin.api.ask("GET", path, "", "");
        assert_eq!(stranger.status, 303, "{path}");
        let location = stranger.header("location").unwrap();
        assert!(location.starts_with("/login?next=%2Fadmin"), "{location}");
        let with_token = admin.api.get(path);
        assert_eq!(with_token.status, 303, "a token opens no page: {path}");
        let page = admin.user.get(path);
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
        let text = page.text();
        assert!(!text.contains("<script"), "{path} needs no script");
        assert!(!text.contains(" style="), "{path} has a style of its own");
        assert_eq!(text.matches("<h1>").count(), 1, "{path}");
    }
}

#[test]
fn no_change_is_made_without_the_token_of_the_session() {
    let admin = Admin::start();
    let torrent = |what: &str| format!("/admin/torrents/{LOWER}/{what}");
    let (text, key) = (("text", LOWER), ("remove", "a"));
    for (path, field) in [
        ("/admin/mode", ("mode", "private")),
        (&torrent("block"), ("reason", "x")),
        (&torrent("unblock"), ("reason", "x")),
        (&torrent("allow"), ("reason", "x")),
        (&torrent("disallow"), ("reason", "x")),
        (&torrent("forget"), ("sure", "yes")),
        ("/admin/lists/allowlist", text),
        ("/admin/lists/blocklist", text),
        ("/admin/networks", ("text", "192.0.2.0/24")),
        ("/admin/keys", ("key", "")),
        ("/admin/keys/remove", key),
    ] {
        let body = logged_in::form(&[field]);
        assert_eq!(admin.user.send(path, &body, "").status, 403, "{path}");
        let stranger = admin.api.ask("POST", path, logged_in::FORM, &body);
        assert_eq!(stranger.status, 303, "{path}");
    }
    let (action, ..) = admin.last_entry();
    assert_eq!(action, "login", "nothing else is in the journal");
}

#[test]
fn torrents_are_found_by_the_beginning_of_their_info_hash_and_by_name() {
    let admin = Admin::start();
    admin.api.announce(LOWER, 1001, 0);
    admin.api.announce(HIGHER, 1002, 5);
    admin.name(HIGHER, "Debian 13 netinst");
    let only_named = "aa".repeat(20);
    admin.name(&only_named, "Another debian");
    let found = |q: &str| {
        let page = admin.user.page(&format!("/admin/torrents?q={q}"));
        [LOWER, HIGHER, &only_named].map(|hash| page.contains(hash))
    };
    assert_eq!(found(""), [true, true, true]);
    assert_eq!(found(&LOWER[..7]), [true, false, false]);
    assert_eq!(found(&HIGHER[..1].to_uppercase()), [false, true, false]);
    assert_eq!(found("DEBIAN"), [false, true, true]);
    assert_eq!(found("AA"), [false, false, true]);
    assert_eq!(found("nowhere"), [false, false, false]);
    let whole = admin
        .user
        .get(&format!("/admin/torrents?q=+{}+", HIGHER.to_uppercase()));
    assert_eq!(whole.status, 303);
    assert_eq!(
        whole.header("location"),
        Some(&*format!("/admin/torrents/{HIGHER}"))
    );
}

#[test]
fn all_torrents_are_seen_page_by_page_and_each_once() {
    let admin = Admin::start_with(|config| config.workers.count = 2);
    let client = admin.api.server.client();
    let id = client.connect();
    let mut all: Vec<String> = (0..130_u32)
        .map(|number| {
            format!(
                "{:08x}{}",
                number.wrapping_mul(0x9e37_79b9),
                "5a".repeat(16)
            )
        })
        .collect();
    for (number, info_hash) in all.iter().enumerate() {
        // Some are only announced, some only named, some both.
        if number % 3 != 0 {
            api::announce(&client, id, info_hash, 1000, 0);
        }
        if number % 3 != 1 {
            admin.name(info_hash, &format!("torrent {number}"));
        }
    }
    all.sort();
    let (mut seen, mut path) = (Vec::new(), "/admin/torrents".to_owned());
    loop {
        let page = admin.user.page(&path);
        let links = page.split("href=\"/admin/torrents/").skip(1);
        let before = seen.len();
        seen.extend(links.map(|rest| rest[..40].to_owned()));
        assert!(seen.len() - before <= 50);
        let Some((_, next)) = page.split_once("rel=\"next\" href=\"") else {
            break;
        };
        path = next.split('"').next().unwrap().replace("&amp;", "&");
    }
    assert_eq!(seen, all);
}

#[test]
fn a_torrent_is_blocked_with_a_reason_and_unblocked_again() {
    let admin = Admin::start();
    let client = admin.api.server.client();
    assert_eq!(refusal(&client, LOWER, 1001), None);
    let path = format!("/admin/torrents/{LOWER}");
    assert!(admin.user.page(&path).contains("127.0.0.1:1001"));
    let page = admin
        .user
        .change(&format!("{path}/block"), &[("reason", "a court")]);
    assert!(page.contains("The torrent is blocked."), "{page}");
    assert!(page.contains("<blockquote>a court</blockquote>"), "{page}");
    assert!(refusal(&client, LOWER, 1001).is_some());
    assert_eq!(admin.last_entry(), entry("block", LOWER, "a court"));
    let again = admin.user.page(&path);
    assert!(
        !again.contains("The torrent is blocked."),
        "it is said once"
    );
    let page = admin
        .user
        .change(&format!("{path}/unblock"), &[("reason", "an appeal")]);
    assert!(page.contains("no longer blocked"), "{page}");
    assert_eq!(refusal(&client, LOWER, 1001), None);
    assert_eq!(admin.last_entry(), entry("unblock", LOWER, "an appeal"));
}

#[test]
fn a_torrent_is_allowed_and_not_any_more() {
    let admin = Admin::start_with(|config| config.access.mode = Mode::Listed);
    let client = admin.api.server.client();
    assert!(refusal(&client, LOWER, 1001).is_some());
    let path = format!("/admin/torrents/{LOWER}");
    let page = admin
        .user
        .change(&format!("{path}/allow"), &[("reason", "ours")]);
    assert!(page.contains("The torrent is allowed."), "{page}");
    assert_eq!(refusal(&client, LOWER, 1001), None);
    let page = admin
        .user
        .change(&format!("{path}/disallow"), &[("reason", "")]);
    assert!(page.contains("no longer on the allowlist"), "{page}");
    assert!(refusal(&client, LOWER, 1001).is_some());
    assert_eq!(admin.last_entry(), entry("disallow", LOWER, ""));
}

#[test]
fn a_torrent_is_forgotten_when_it_is_meant() {
    let admin = Admin::start();
    admin.api.announce(LOWER, 1001, 0);
    let path = format!("/admin/torrents/{LOWER}");
    let forget = format!("{path}/forget");
    let unsure = admin.user.post(&forget, &[]);
    assert_eq!(unsure.status, 400, "{}", unsure.text());
    assert!(admin.user.page(&path).contains("127.0.0.1:1001"));
    let page = admin.user.change(&forget, &[("sure", "yes")]);
    assert!(page.contains("The torrent is forgotten."), "{page}");
    assert!(page.contains("nobody has announced it"), "{page}");
    assert_eq!(admin.last_entry(), entry("forget", LOWER, ""));
    let page = admin.user.change(&forget, &[("sure", "yes")]);
    assert!(page.contains("The torrent was not known."), "{page}");
}

#[test]
fn names_reasons_and_client_ids_are_text_wherever_they_are_shown() {
    let admin = Admin::start_with(|config| config.swarm.peer_details = true);
    admin.name(LOWER, EVIL);
    let client = admin.api.server.client();
    let mut announce = Announce::leecher(bytes_of(LOWER), 1001).to_bytes(client.connect());
    announce[36..56].copy_from_slice(b"-qB<b onclick=x>\"&\0\xff");
    client.ask(&announce);
    let torrent = format!("/admin/torrents/{LOWER}");
    let block = format!("{torrent}/block");
    admin.user.change(&block, &[("reason", EVIL)]);
    let query = logged_in::form(&[("q", EVIL)]);
    for path in [
        "/admin",
        "/admin/torrents",
        "/admin/lists/blocklist",
        "/admin/journal",
        &format!("/admin/torrents?{query}"),
        &torrent,
    ] {
        let page = admin.user.page(path);
        for bad in ["<script", "<img src=x", "<b onclick"] {
            assert!(!page.contains(bad), "{path} has {bad}: {page}");
        }
        assert!(page.contains(ESCAPED), "{path}: {page}");
    }
    let page = admin.user.page(&torrent);
    assert!(
        page.contains("-qB&lt;b\\x20onclick=x&gt;&quot;&amp;\\x00\\xff"),
        "{page}"
    );
}

#[test]
fn none_of_many_hostile_names_makes_an_element_or_an_attribute() {
    let admin = Admin::start();
    let path = format!("/admin/torrents/{LOWER}");
    let mut shown = 0;
    for name in [
        "<script>SEED()</script>",
        "</title><script>SEED()</script>",
        "</h1><img src=x onerror=SEED()>",
        "\"><svg onload=SEED()>",
        "' onmouseover='SEED()",
        "\" onfocus=\"SEED()\" autofocus=\"",
        "<!--<SEED-->",
        "]]><SEED>",
        "<a href=\"javascript:SEED()\">x</a>",
        "<SEED\u{2028}x",
        "\u{ff1c}SEED\u{ff1e}<SEED>",
        "&lt;SEED&gt;<SEED",
    ] {
        admin.name(LOWER, name);
        let searched = format!("/admin/torrents?{}", logged_in::form(&[("q", name)]));
        for page in [&path, "/admin/torrents", &searched] {
            let text = admin.user.page(page);
            for (at, _) in text.match_indices("SEED") {
                // What could end the text or the attribute that it stands in is not there raw.
                let before = &text[..at];
                let element = before.rfind('<').unwrap();
                let inside = before.rfind('>').is_none_or(|end| end < element);
                let quoted = before[element..].matches('"').count() % 2 == 1;
                assert!(!inside || quoted, "{page}: {name}: {text}");
                assert!(!before.ends_with('<'), "{page}: {name}");
                shown += 1;
            }
        }
    }
    println!("{shown} places");
    assert!(shown >= 12 * 3, "{shown}");
}

#[test]
fn paths_that_name_nothing_are_told_apart_from_torrents() {
    let admin = Admin::start();
    for path in [
        "x",
        "..%2F..%2Fetc%2Fpasswd",
        "%3Cb%3E",
        &"a".repeat(41),
        "%ff",
    ] {
        let page = admin.user.get(&format!("/admin/torrents/{path}"));
        assert!((400..500).contains(&page.status), "{path}: {}", page.status);
        assert!(!page.text().contains("<b>"), "{path}");
        let change = admin
            .user
            .post(&format!("/admin/torrents/{path}/block"), &[("reason", "")]);
        assert!(
            (400..500).contains(&change.status),
            "{path}: {}",
            change.status
        );
    }
    assert_ne!(admin.user.get("/admin/lists/nothing").status, 200);
    let (action, ..) = admin.last_entry();
    assert_eq!(action, "login");
}

#[test]
fn many_torrents_come_onto_a_list_and_go_at_once() {
    let admin = Admin::start();
    for (path, action, word) in [
        ("/admin/lists/allowlist", "allow", "disallow"),
        ("/admin/lists/blocklist", "block", "unblock"),
    ] {
        let both = format!("# of today\r\n{LOWER}\r\n\r\n  {HIGHER} and why\r\n");
        let page = admin
            .user
            .change(path, &[("text", &both), ("reason", "a list")]);
        assert!(page.contains("2 torrents added."), "{page}");
        assert!(page.contains(LOWER) && page.contains(HIGHER) && page.contains("a list"));
        assert_eq!(admin.last_entry(), entry(action, HIGHER, "a list"));
        let page = admin.user.change(path, &[("remove", LOWER)]);
        assert!(page.contains("1 torrent removed."), "{page}");
        assert!(!page.contains(LOWER) && page.contains(HIGHER), "{page}");
        let page = admin.user.change(
            path,
            &[("text", &both), ("take", "yes"), ("reason", "late")],
        );
        assert!(page.contains("1 torrent removed."), "{page}");
        assert!(!page.contains(HIGHER), "{page}");
        assert_eq!(admin.last_entry(), entry(word, HIGHER, "late"));
    }
}

#[test]
fn a_mistake_in_a_form_is_told_at_its_field_and_nothing_is_lost() {
    let admin = Admin::start();
    let told = |response: &Response, mistake: &str, kept: &str| {
        let page = response.text();
        assert_eq!(response.status, 422, "{page}");
        assert!(page.contains(mistake), "{page}");
        assert!(page.contains("aria-invalid=\"true\""), "{page}");
        assert!(page.contains(kept), "{page}");
    };
    let text = format!("{LOWER}\nnonsense<\n");
    let wrong = [("text", &*text), ("reason", "why<")];
    let response = admin.user.post("/admin/lists/blocklist", &wrong);
    told(
        &response,
        "Line 2 is not an info-hash",
        "nonsense&lt;\n</textarea>",
    );
    assert!(response.text().contains("value=\"why&lt;\""));
    let response = admin
        .user
        .post("/admin/lists/allowlist", &[("text", " # \n")]);
    told(&response, "There is nothing in it.", "");
    let response = admin.user.post("/admin/networks", &[("text", "300.1.2.3")]);
    told(
        &response,
        "Line 1 is not an address or a network",
        "300.1.2.3</textarea>",
    );
    let response = admin
        .user
        .post("/admin/keys", &[("key", "short"), ("lifetime", "-1")]);
    told(
        &response,
        "A key has 32 letters and digits.",
        "value=\"short\"",
    );
    assert!(response.text().contains("The lifetime is a whole number"));
    let (action, ..) = admin.last_entry();
    assert_eq!(action, "login", "nothing was changed");
}

#[test]
fn what_a_file_lists_is_shown_and_cannot_be_removed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("blocked");
    std::fs::write(&file, LOWER).unwrap();
    let admin = Admin::start_with(|config| {
        config.access.blocklist = file.display().to_string();
    });
    let page = admin.user.page("/admin/lists/blocklist");
    assert!(
        page.contains("access.blocklist") && page.contains("1 torrent more"),
        "{page}"
    );
    let page = admin.user.page(&format!("/admin/torrents/{LOWER}"));
    assert!(page.contains("by the file of"), "{page}");
    let unblock = format!("/admin/torrents/{LOWER}/unblock");
    let response = admin.user.post(&unblock, &[("reason", "")]);
    assert_eq!(response.status, 409, "{}", response.text());
    assert!(refusal(&admin.api.server.client(), LOWER, 1001).is_some());
}

#[test]
fn keys_are_made_for_a_while_for_ever_or_chosen_and_removed() {
    let admin = Admin::start();
    let made = |fields: &[(&str, &str)]| {
        let page = admin.user.change("/admin/keys", fields);
        let (_, rest) = page.split_once("The key ").expect("the key is told");
        rest[..32].to_owned()
    };
    let short = made(&[("key", ""), ("lifetime", "2"), ("unit", "hours")]);
    let endless = made(&[("key", ""), ("lifetime", ""), ("unit", "days")]);
    let chosen = "abcdefghijklmnopqrstuvwxyz012345";
    assert_eq!(
        made(&[("key", chosen), ("lifetime", ""), ("unit", "days")]),
        chosen
    );
    let rows = json(&admin.api.get("/api/v1/keys"));
    let until = |key: &str| {
        let rows = rows["items"].as_array().unwrap();
        let row = rows.iter().find(|row| row["key"] == key).unwrap();
        row["valid_until"].as_u64().zip(row["created"].as_u64())
    };
    let (expires, created) = until(&short).unwrap();
    assert_eq!(expires - created, 7200);
    assert_eq!((until(&endless), until(chosen)), (None, None));
    let twice = admin.user.post("/admin/keys", &[("key", chosen)]);
    assert_eq!(twice.status, 422);
    assert!(twice.text().contains("exists already"), "{}", twice.text());
    let page = admin.user.page("/admin/keys");
    assert!(page.contains(&short) && page.contains("for ever"), "{page}");
    let page = admin
        .user
        .change("/admin/keys/remove", &[("remove", chosen)]);
    assert!(page.contains("is good no more"), "{page}");
    assert_eq!(admin.last_entry(), entry("remove_key", "abcdefgh..", ""));
    let none = admin.user.post("/admin/keys/remove", &[("remove", "<b>")]);
    assert_eq!(none.status, 400);
}

#[test]
fn networks_are_turned_away_and_let_in_again() {
    let admin = Admin::start_with(|config| {
        config.announce.ignore_ip = vec!["192.0.2.0/24".parse().unwrap()];
    });
    let client = admin.api.server.client();
    assert_eq!(refusal(&client, LOWER, 1001), None);
    let text = "127.0.0.0/8 these\n2001:db8::1";
    let page = admin
        .user
        .change("/admin/networks", &[("text", text), ("reason", "noise")]);
    assert!(page.contains("2 networks added."), "{page}");
    assert!(
        page.contains("127.0.0.0/8") && page.contains("2001:db8::1/128"),
        "{page}"
    );
    assert!(
        page.contains("announce.ignore_ip") && page.contains("1 range"),
        "{page}"
    );
    assert!(refusal(&client, LOWER, 1001).is_some());
    let page = admin
        .user
        .change("/admin/networks", &[("remove", "127.0.0.0/8")]);
    assert!(page.contains("1 network removed."), "{page}");
    assert_eq!(refusal(&client, LOWER, 1001), None);
    assert_eq!(
        admin.last_entry(),
        entry("unblock_network", "127.0.0.0/8", "")
    );
}

#[test]
fn the_mode_is_changed_by_whoever_is_logged_in() {
    let admin = Admin::start();
    let client = admin.api.server.client();
    assert_eq!(refusal(&client, LOWER, 1001), None);
    let page = admin.user.change("/admin/mode", &[("mode", "listed")]);
    assert!(page.contains("The mode is listed now."), "{page}");
    assert!(refusal(&client, LOWER, 1001).is_some());
    assert_eq!(admin.last_entry(), entry("mode", "listed", ""));
    let none = admin.user.post("/admin/mode", &[("mode", "<b>")]);
    assert_eq!(none.status, 400);
    assert!(
        none.text().contains("There is no such mode"),
        "{}",
        none.text()
    );
}

#[test]
fn the_journal_tells_who_did_what_page_by_page() {
    let admin = Admin::start();
    for number in 0..60 {
        let target = format!("/api/v1/blocklist/{number:040x}?token={TOKEN}");
        assert_eq!(admin.api.ask("POST", &target, "", "").status, 200);
    }
    let newest = admin.user.page("/admin/journal");
    assert_eq!(newest.matches(">block</td>").count(), 50, "{newest}");
    assert!(newest.contains(&format!("{:040x}", 59)));
    let (_, older) = newest.split_once("rel=\"next\" href=\"").unwrap();
    let older = admin.user.page(older.split('"').next().unwrap());
    assert_eq!(older.matches(">block</td>").count(), 10, "{older}");
    assert!(
        older.contains(">login</td>") && older.contains(USER),
        "{older}"
    );
    assert!(
        !older.contains("Older") && older.contains("Newest"),
        "{older}"
    );
    let overview = admin.user.page("/admin");
    assert_eq!(overview.matches(">block</td>").count(), 10, "{overview}");
}

#[test]
fn without_a_store_the_pages_say_that_nothing_is_kept() {
    let admin = Admin::start_with(|config| config.store.path = String::new());
    admin.api.announce(LOWER, 1001, 0);
    for path in [
        "/admin",
        "/admin/lists/blocklist",
        "/admin/networks",
        "/admin/keys",
        "/admin/journal",
    ] {
        let page = admin.user.page(path);
        assert!(
            page.contains("This tracker keeps nothing"),
            "{path}: {page}"
        );
    }
    assert!(admin.user.page("/admin/torrents").contains(LOWER));
    let block = format!("/admin/torrents/{LOWER}/block");
    let response = admin.user.post(&block, &[("reason", "")]);
    assert_eq!(response.status, 409, "{}", response.text());
    assert!(
        response.text().contains("store.path"),
        "{}",
        response.text()
    );
}
