//! `[[udp]]` and `[[http]]`: lists of tables, and tables in those.

use super::*;

#[test]
fn a_listener_of_a_file_is_required_and_replaces_the_defaults() {
    let config = load_text("[[udp]]\nlisten = \"127.0.0.1:0\"\n").expect("no mistakes");
    assert_eq!(
        config.udp,
        [UdpListener {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            required: true,
        }]
    );
}

#[test]
fn there_is_at_least_one_listener_and_not_more_than_the_limit() {
    assert_eq!(
        mistakes_in("\nhttp = []\nudp = []"),
        [
            "3: there is nothing to listen on, because [[http]] is empty too (SHOAL_CONFIG_TOML:2); \
          give one of [[udp]] and [[http]] a listener"
        ]
    );
    for section in ["udp", "http"] {
        let listener = format!("[[{section}]]\nlisten = \"[::1]:0\"\n");
        assert!(load_text(&listener.repeat(LISTENERS_MAX)).is_ok());
        assert_eq!(
            mistakes_in(&listener.repeat(LISTENERS_MAX + 1)),
            [format!(
                "130: [[{section}]] must be given at most 64 times, not 65"
            )]
        );
    }
}

#[test]
fn either_protocol_can_be_left_out() {
    let config = load_text("udp = []").expect("HTTP remains");
    assert_eq!((config.udp.len(), config.http.len()), (0, 2));
    let config = load_variables(&[("SHOAL_HTTP__LISTEN", "")]).expect("UDP remains");
    assert_eq!((config.udp.len(), config.http.len()), (2, 0));
    let setting: Setting = "udp.listen=".parse().expect("well formed");
    let loaded = load(None, [], &[setting]).expect("HTTP remains");
    assert_eq!(loaded.config.udp, []);
}

/// The one `[[http]]` of this text, which stands below a `listen`.
fn http(text: &str) -> HttpListener {
    let text = format!("[[http]]\nlisten = \"[::]:443\"\n{text}\n");
    let mut config = load_text(&text).expect(&text);
    config.http.remove(0)
}

/// The sentences about a row of `[[http]]`; the first line of `text` is line 3.
fn http_mistakes(text: &str) -> Vec<String> {
    mistakes_in(&format!("[[http]]\nlisten = \"[::]:443\"\n{text}\n"))
}

#[test]
fn a_table_in_a_table_can_be_written_in_every_way_of_toml() {
    let wanted = Some(TlsFiles {
        certificate: "a.pem".into(),
        private_key: "b.pem".into(),
    });
    for text in [
        "tls = { certificate = \"a.pem\", private_key = \"b.pem\" }",
        "tls.certificate = \"a.pem\"\ntls.private_key = \"b.pem\"",
        "[http.tls]\nprivate_key = \"b.pem\"\ncertificate = \"a.pem\"",
    ] {
        assert_eq!(http(text).tls, wanted, "{text}");
    }
}

#[test]
fn a_proxy_is_on_this_host_unless_it_is_said_where() {
    let proxy = http("proxy = { header = \"x-real-ip\" }").proxy;
    let local = Proxy {
        header: Some(ProxyHeader::XRealIp),
        ..Proxy::default()
    };
    assert_eq!(proxy, Some(local));
    let elsewhere = http("proxy_protocol = true\nproxy = { trusted = [\"192.0.2.9/24\"] }");
    assert_eq!(
        elsewhere.trusted_proxies(),
        ["192.0.2.0/24".parse().expect("a network")]
    );
    assert_eq!(http("proxy_protocol = true").proxy, None);
    assert_eq!(
        http_mistakes("proxy = {}"),
        [
            "3: [[http]] proxy has no header, and proxy_protocol is not true, so that nothing would \
          name the clients; give it one of them"
        ]
    );
}

#[test]
fn a_redirect_is_kept_without_the_slash_that_a_path_begins_with() {
    let listener = http("redirect_to = \"https://tracker.example.org/\"");
    let redirect = listener.redirect_to.as_deref();
    assert_eq!(redirect, Some("https://tracker.example.org"));
}

#[test]
fn a_mistake_in_a_table_in_a_table_is_told_with_both_names() {
    assert_eq!(
        http_mistakes("[http.tls]\ncertificat = \"a.pem\"\nprivate_key = 5"),
        [
            "4: [[http]] tls.certificat is not a known key; did you mean \"certificate\"?",
            "5: [[http]] tls.private_key must be a path of 1 to 4096 bytes without NUL, not 5",
            "3: [[http]] tls has no certificate; give it a path of 1 to 4096 bytes without NUL",
        ]
    );
    assert_eq!(
        http_mistakes("tls = \"a.pem\"\nredirect_to = \"\"\nproxy = []"),
        [
            "3: [[http]] tls must be a table of certificate and private_key, not \"a.pem\"",
            "4: [[http]] redirect_to must be an http or https URL without a path, such as \"https://tracker.example.org\", not \"\"",
            "5: [[http]] proxy must be a table of header and trusted, not a list",
        ]
    );
    assert_eq!(
        http_mistakes(
            "certificate = \"a.pem\"\nproxy = { header = \"Via\", trusted = [\"::/0\", \"x\"], a = 1 }"
        ),
        [
            "3: [[http]] certificate is not a known key; it belongs below [[http]] tls",
            "4: [[http]] proxy.header must be \"X-Forwarded-For\", \"X-Real-IP\" or \"Forwarded\", \
             not \"Via\"",
            "4: [[http]] proxy.trusted must be a list of addresses and networks, not \"x\"",
            "4: [[http]] proxy.a is not a known key; there are header and trusted",
        ]
    );
    assert_eq!(
        mistakes_in("listen = \"[::]:1\""),
        [
            "1: listen stands outside its section; move it below [[udp]] or [[http]] or \
         [control]"
        ]
    );
}

#[test]
fn the_same_address_may_serve_each_protocol_once() {
    assert!(load_text("udp = [{ listen = \"[::]:1\" }]\nhttp = [{ listen = \"[::]:1\" }]").is_ok());
    let http = |listen: &str| format!("[[http]]\nlisten = \"{listen}\"\n").repeat(2);
    assert_eq!(load_text(&http("[::]:0")).expect("any port").http.len(), 2);
    for listen in ["[::]:1", "unix:/a"] {
        assert_eq!(
            mistakes_in(&http(listen)),
            [format!(
                "4: [[http]] listen {listen} is given already (SHOAL_CONFIG_TOML:2); remove one of \
                 them"
            )]
        );
    }
}
