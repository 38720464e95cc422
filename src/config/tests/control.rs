//! `[control]`, whose tables have names of somebody's choice.

use super::*;

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub";

fn tokens(config: &Config) -> Vec<(&str, &str)> {
    let tokens = config.control.tokens.iter();
    tokens
        .map(|(name, secret)| (name.as_str(), secret.expose()))
        .collect()
}

#[test]
fn the_control_listener_of_a_file_is_required_and_can_be_none() {
    let config = load_text("[control]\nlisten = \"[::1]:1212\"").expect("no mistakes");
    assert_eq!(config.control.listen, "[::1]:1212".parse().ok());
    assert!(config.control.required && !Config::default().control.required);
    let config = load_variables(&[("SHOAL_CONTROL__LISTEN", "")]).expect("no mistakes");
    assert_eq!(config.control.listen, None);
}

#[test]
fn tokens_come_from_the_file_the_environment_and_the_command_line() {
    let text = "[control]\ntokens = { admin = \"from the file\" }";
    assert_eq!(mistakes_in(text).len(), 1, "no blanks");
    let text = "[control.tokens]\nadmin = \"from-the-file\"\nBot-1 = \"from-the-file\"";
    let settings = ["control.tokens.cli=from-the-line", "control.tokens.Bot-1="]
        .map(|text| text.parse::<Setting>().expect("well formed"));
    let environment = [
        ("SHOAL_CONFIG_TOML", text),
        ("SHOAL_CONTROL__TOKENS__ADMIN", "from-the-environment"),
        ("SHOAL_CONTROL__TOKENS__NEW_ONE", "from-the-environment"),
    ];
    let environment = environment.map(|(name, value)| (name.into(), value.into()));
    let config = load(None, environment, &settings)
        .expect("no mistakes")
        .config;
    assert_eq!(
        tokens(&config),
        [
            ("admin", "from-the-environment"),
            ("cli", "from-the-line"),
            ("new_one", "from-the-environment")
        ]
    );
}

#[test]
fn users_have_a_hash_and_no_password() {
    let text = format!("[control.users]\nroot = \"{HASH}\"\nfool = \"correct-horse\"");
    assert_eq!(
        mistakes_in(&text),
        ["3: [control] users.fool must be a hash that begins with \"$argon2id$v=19$m=\""]
    );
}

#[test]
fn a_mistake_in_a_secret_does_not_repeat_it() {
    let long = "x".repeat(257);
    let text =
        format!("[control]\nrun_gc_key = \"a b c d e\"\n[control.tokens]\nadmin = \"{long}\"");
    assert_eq!(
        mistakes_in(&text),
        [
            "2: [control] run_gc_key must be empty, or 8 to 64 of A-Z, a-z, 0-9, _ and -, not \"***\"",
            "4: [control] tokens.admin must be 8 to 256 visible ASCII characters",
        ]
    );
    assert_eq!(
        mistakes_in("[control]\ntokens = \"MyAccessToken\"\n"),
        [
            "2: [control] tokens must be a table of names, each with 8 to 256 visible ASCII \
             characters, not \"***\""
        ]
    );
    let config = load_text("[control.tokens]\nadmin = \"MyAccessToken\"").expect("it is allowed");
    assert!(!format!("{config:?}").contains("MyAccess"));
    assert!(config.print().contains("\nadmin = \"MyAccessToken\"\n"));
}

#[test]
fn a_name_is_as_one_can_write_it_everywhere() {
    let long = "x".repeat(65);
    for name in ["\"\"", "\"a b\"", "\"a.b\"", "\"\u{e9}\"", &long] {
        let text = format!("[control.tokens]\n{name} = \"long-enough\"");
        let mistakes = mistakes_in(&text);
        assert!(
            mistakes[0].ends_with("has a name that is not 1 to 64 of A-Z, a-z, 0-9, _ and -"),
            "{mistakes:?}"
        );
    }
    let many: Vec<String> = (0..65).map(|n| format!("t{n} = \"long-enough\"")).collect();
    assert_eq!(
        mistakes_in(&format!("[control.tokens]\n{}", many.join("\n"))),
        ["66: [control] tokens.t64 is one too many; there may be 64"]
    );
}

#[test]
fn a_certificate_can_be_given_by_variables_but_not_by_half() {
    let both = [
        ("SHOAL_CONTROL__TLS__CERTIFICATE", "a.pem"),
        ("SHOAL_CONTROL__TLS__PRIVATE_KEY", "b.pem"),
    ];
    let tls = load_variables(&both).expect("no mistakes").control.tls;
    let wanted = TlsFiles {
        certificate: "a.pem".into(),
        private_key: "b.pem".into(),
    };
    assert_eq!(tls, Some(wanted));
    let mistakes = load_variables(&both[1..]).expect_err("half a pair");
    assert_eq!(
        mistakes.sentences(),
        [
            "SHOAL_CONTROL__TLS__PRIVATE_KEY: [control] tls has private_key but no certificate; \
             give it both or none"
        ]
    );
    assert_eq!(
        mistakes_in("[control]\ntls = { certificate = \"a.pem\" }"),
        ["2: [control] tls has no private_key; give it a path of 1 to 4096 bytes without NUL"]
    );
}

#[test]
fn a_misspelt_name_of_a_secret_is_understood() {
    let mistakes = load_variables(&[("SHOAL_CONTROL__TOKEN__NAME", "x")]).expect_err("unknown");
    assert_eq!(
        mistakes.sentences(),
        [
            "SHOAL_CONTROL__TOKEN__NAME: this names no key; did you mean \
             SHOAL_CONTROL__TOKENS__NAME?"
        ]
    );
}
