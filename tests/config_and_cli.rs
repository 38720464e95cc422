//! The program as a person meets it: what it prints, where, and with which exit code.

mod program;

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Stdio;

use program::{Scratch, accepted, has_line, mistakes_in, outcome, refused, shoal};

#[test]
fn the_example_file_is_exactly_what_the_defaults_print() {
    let page = accepted(&mut shoal(&["config", "print"]));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml.example");
    let example = fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == example,
        "config.toml.example is not what the defaults print; make it anew with\n    \
         cargo run -- config print > config.toml.example"
    );
}

#[test]
fn the_example_file_has_no_mistakes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml.example");
    let path = path.to_str().expect("a plain name");
    let printed = accepted(&mut shoal(&["config", "check", "--config", path]));
    assert_eq!(printed, format!("{path}: no mistakes\n"));
}

#[test]
fn check_says_what_it_has_checked() {
    assert_eq!(
        accepted(&mut shoal(&["config", "check"])),
        "built-in defaults: no mistakes\n"
    );
    assert_eq!(
        accepted(shoal(&["config", "check"]).env("SHOAL_CONFIG_TOML", "[announce]")),
        "SHOAL_CONFIG_TOML: no mistakes\n"
    );
}

#[test]
fn an_empty_file_is_the_defaults() {
    let file = Scratch::with("");
    assert_eq!(
        accepted(&mut shoal(&["config", "print", "--config", file.path()])),
        accepted(&mut shoal(&["config", "print"]))
    );
}

#[test]
fn what_print_writes_can_be_given_back() {
    let settings = [
        "config",
        "print",
        "--set=announce.peer_timeout=5000",
        "--set=announce.ignore_ip=192.0.2.1,2001:db8::/32",
        "--set=udp.listen=127.0.0.1:0,[::1]:7000",
        "--set=http.listen=[::1]:7000,unix:/run/shoal/http.sock",
        "--set=swarm.memory_budget=3 GiB",
    ];
    let page = accepted(&mut shoal(&settings));
    assert!(has_line(&page, "peer_timeout = 5000"));
    assert!(has_line(&page, "#peer_expire_factor = 2.0"));
    assert!(has_line(
        &page,
        r#"ignore_ip = ["192.0.2.1/32", "2001:db8::/32"]"#
    ));
    assert!(has_line(&page, r#"memory_budget = "3 GiB""#));
    assert!(has_line(&page, r#"listen = "unix:/run/shoal/http.sock""#));
    let file = Scratch::with(&page);
    let again = accepted(&mut shoal(&["config", "print", "--config", file.path()]));
    assert_eq!(page, again);
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    assert_eq!(
        mistakes_in(
            "[anounce]\n\
             interval = 5\n\
             [log]\n\
             level = \"loud\"\n\
             [announce]\n\
             intervall = 900\n\
             numwant = 201\n\
             [[udp]]\n\
             listen = \"localhost:6969\"\n\
             [http]\n\
             [web]\n"
        ),
        [
            "1: [anounce] is not a known section; did you mean [announce]?",
            "4: [log] level must be \"off\", \"error\", \"warn\", \"info\", \"debug\" or \
             \"trace\", and levels of modules, not \"loud\"",
            "6: [announce] intervall is not a known key; did you mean \"interval\"?",
            "7: [announce] numwant must be a whole number from 0 to 200, not 201",
            "9: [[udp]] listen must be an IP address with a port, such as \"0.0.0.0:6969\" or \
             \"[::]:6969\", not \"localhost:6969\"",
            "10: http must be written as [[http]], not as [http]",
            "11: [web] is not a known section; there are [workers], [[udp]], [[http]], \
             [connections], [announce], [scrape], [swarm], [access], [flood], [control], [store], [log] \
             and [sandbox]",
        ]
    );
}

#[test]
fn mistakes_of_file_environment_and_command_line_are_told_together() {
    let file = Scratch::with("[announce]\ninterval = 0\n");
    let mut command = shoal(&["config", "check", "--set", "log.level=loud", "--config"]);
    command
        .arg(file.path())
        .env("SHOAL_WORKERS__PIN", "perhaps");
    let lines = refused(&mut command);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains(":2: [announce] interval must be"));
    assert_eq!(
        lines[1],
        "SHOAL_WORKERS__PIN: [workers] pin must be true or false, not \"perhaps\""
    );
    assert!(lines[2].starts_with("--set log.level: [log] level must be"));
}

#[test]
fn a_syntax_error_is_one_sentence_with_line_and_column() {
    for (content, start) in [
        ("[announce]\ninterval = = 5\n", "2:12: this is not TOML: "),
        ("[announce\n", "1:10: this is not TOML: "),
        ("[log]\nlevel = \"info\n", "2:14: this is not TOML: "),
        ("[log]\n[log]\n", "2:2: this is not TOML: "),
        ("a = 1\nb = \u{1}", "2:5: this is not TOML: "),
    ] {
        let sentences = mistakes_in(content);
        assert_eq!(sentences.len(), 1, "{sentences:?}");
        assert!(sentences[0].starts_with(start), "{sentences:?}");
        assert!(sentences[0].len() > start.len(), "{sentences:?}");
    }
}

#[test]
fn deep_nesting_is_a_mistake_and_not_a_crash() {
    let file = Scratch::with(format!("a = {}", "[".repeat(200_000)));
    refused(&mut shoal(&["config", "check", "--config", file.path()]));
    let file = Scratch::with(format!("[{}]", "a.".repeat(200_000) + "a"));
    refused(&mut shoal(&["config", "check", "--config", file.path()]));
}

#[test]
fn hostile_numbers_are_refused_with_what_is_allowed() {
    for value in [
        "0",
        "-1",
        "-0",
        "86401",
        "1.0",
        "nan",
        "inf",
        "99999999999999999999999999999999999999999999",
        "-9223372036854775808",
        "18446744073709551617",
        "0xffff_ffff_ffff",
        "\"900\"",
        "true",
        "[]",
        "{}",
        "1979-05-27",
    ] {
        let sentences = mistakes_in(&format!("[announce]\ninterval = {value}\n"));
        assert_eq!(sentences.len(), 1, "{value}: {sentences:?}");
        assert!(
            sentences[0]
                .starts_with("2: [announce] interval must be a whole number from 1 to 86400, not "),
            "{value}: {sentences:?}"
        );
    }
}

#[test]
fn a_factor_is_a_number_within_its_range() {
    for value in [
        "nan", "-nan", "inf", "-inf", "0.99", "-2.0", "1e300", "\"2\"", "true",
    ] {
        let sentences = mistakes_in(&format!("[announce]\npeer_expire_factor = {value}\n"));
        assert_eq!(sentences.len(), 1, "{value}: {sentences:?}");
        assert!(
            sentences[0].starts_with(
                "2: [announce] peer_expire_factor must be a number from 1.0 to 100.0, not "
            ),
            "{value}: {sentences:?}"
        );
    }
    for value in ["2", "2.5", "1e1"] {
        let file = Scratch::with(format!("[announce]\npeer_expire_factor = {value}\n"));
        accepted(&mut shoal(&["config", "check", "--config", file.path()]));
    }
}

#[test]
fn a_value_of_the_wrong_type_is_refused_for_every_key() {
    let page = accepted(&mut shoal(&["config", "print"]));
    let mut section = "";
    let mut keys = 0;
    for line in page.lines() {
        if line.starts_with('[') {
            section = line;
        } else if let Some((key, _)) = line.trim_start_matches('#').split_once(" = ")
            && !key.starts_with(' ')
        {
            // A row without an address would be a second mistake.
            let address = match (section, key) {
                (_, "listen") => "",
                ("[[udp]]" | "[[http]]", _) => "listen = \"[::1]:1\"\n",
                _ => "",
            };
            for value in ["{ a = 1 }", "1979-05-27T07:32:00Z", "[[1]]", "-5"] {
                if value.starts_with('{') && ["tls", "proxy"].contains(&key) {
                    continue;
                }
                let sentences = mistakes_in(&format!("{section}\n{key} = {value}\n{address}"));
                assert_eq!(sentences.len(), 1, "{section} {key} {value}: {sentences:?}");
                // Secrets stand in a table of their own, but belong to the section.
                let name = match section.trim_matches(['[', ']']).split_once('.') {
                    None => format!("{section} {key}"),
                    Some((home, table)) => format!("[{home}] {table}.{key}"),
                };
                let start = format!("2: {name} must be ");
                assert!(sentences[0].starts_with(&start), "{sentences:?}");
            }
            keys += 1;
        }
    }
    assert!(keys >= 40, "{keys} keys found");
}

#[test]
fn the_command_line_wins_over_the_environment_that_over_the_file_that_over_the_defaults() {
    let file = Scratch::with("[announce]\ninterval = 600\n");
    let print = |environment: Option<&str>, argument: Option<&str>| {
        let mut command = shoal(&["config", "print", "--config", file.path()]);
        if let Some(value) = environment {
            command.env("SHOAL_ANNOUNCE__INTERVAL", value);
        }
        if let Some(value) = argument {
            command.arg(format!("--set=announce.interval={value}"));
        }
        accepted(&mut command)
    };
    let defaults = accepted(&mut shoal(&["config", "print"]));
    assert!(has_line(&defaults, "interval = 1800"));
    assert!(has_line(&print(None, None), "interval = 600"));
    assert!(has_line(&print(Some("700"), None), "interval = 700"));
    assert!(has_line(&print(Some("700"), Some("800")), "interval = 800"));
    assert!(has_line(&print(None, Some("800")), "interval = 800"));
}

#[test]
fn the_last_of_two_settings_wins() {
    let page = accepted(&mut shoal(&[
        "config",
        "print",
        "--set=announce.interval=600",
        "--set=announce.interval=700",
    ]));
    assert!(has_line(&page, "interval = 700"));
}

#[test]
fn the_environment_can_name_a_file_or_be_one() {
    let file = Scratch::with("[announce]\ninterval = 600\n");
    let mut named = shoal(&["config", "print"]);
    named.env("SHOAL_CONFIG", file.path());
    assert!(has_line(&accepted(&mut named), "interval = 600"));

    let mut whole = shoal(&["config", "print"]);
    whole.env("SHOAL_CONFIG_TOML", "[announce]\ninterval = 700\n");
    assert!(has_line(&accepted(&mut whole), "interval = 700"));

    whole.args(["--config", file.path()]);
    assert!(has_line(&accepted(&mut whole), "interval = 600"));

    let mut both = shoal(&["config", "print"]);
    both.env("SHOAL_CONFIG", file.path())
        .env("SHOAL_CONFIG_TOML", "");
    assert!(has_line(&accepted(&mut both), "interval = 600"));
    both.env("SHOAL_CONFIG_TOML", "[log]");
    assert_eq!(
        refused(&mut both),
        ["SHOAL_CONFIG and SHOAL_CONFIG_TOML are both set; unset one of them"]
    );
}

#[test]
fn a_mistake_in_the_text_of_the_environment_is_found_by_its_line() {
    let mut command = shoal(&["config", "check"]);
    command.env("SHOAL_CONFIG_TOML", "[log]\nlevl = \"info\"\n");
    assert_eq!(
        refused(&mut command),
        ["SHOAL_CONFIG_TOML:2: [log] levl is not a known key; did you mean \"level\"?"]
    );
}

#[test]
fn variables_need_no_quotes_and_lists_have_commas() {
    let page = accepted(
        shoal(&["config", "print"])
            .env("SHOAL_WORKERS__BACKEND", "mmsg")
            .env("SHOAL_WORKERS__RECEIVE_BUFFER", "64KiB")
            .env("SHOAL_WORKERS__USER", "")
            .env("SHOAL_ANNOUNCE__EXTERNAL_IP", "203.0.113.7, 2001:db8::7")
            .env("SHOAL_ANNOUNCE__IGNORE_IP", "")
            .env("SHOAL_LOG__LEVEL", "\"warn\"")
            .env("SHOAL_UDP__LISTEN", "127.0.0.1:7000,[::1]:7000")
            .env("SHOAL_HTTP__LISTEN", "127.0.0.1:80,unix:/run/a.sock"),
    );
    for line in [
        r#"backend = "mmsg""#,
        r#"receive_buffer = "64 KiB""#,
        r#"user = """#,
        r#"external_ip = ["203.0.113.7", "2001:db8::7"]"#,
        "ignore_ip = []",
        r#"level = "warn""#,
        r#"listen = "127.0.0.1:7000""#,
        r#"listen = "[::1]:7000""#,
        r#"listen = "127.0.0.1:80""#,
        r#"listen = "unix:/run/a.sock""#,
    ] {
        assert!(has_line(&page, line), "{line}\n{page}");
    }
    assert!(!page.contains("\nlisten = \"0.0.0.0:6969\""));
}

#[test]
fn a_listener_of_the_environment_replaces_those_of_the_file() {
    let file = Scratch::with("[[udp]]\nlisten = \"127.0.0.1:1\"\n");
    let mut command = shoal(&["config", "print", "--config", file.path()]);
    command.env("SHOAL_HTTP__LISTEN", "");
    command.env("SHOAL_CONTROL__LISTEN", "");
    command.env("SHOAL_UDP__LISTEN", "127.0.0.1:2");
    let page = accepted(&mut command);
    assert_eq!(page.matches("\nlisten = \"1").count(), 1);
    assert!(has_line(&page, r#"listen = "127.0.0.1:2""#));
    command.env("SHOAL_UDP__LISTEN", "127.0.0.1:2,127.0.0.1:2");
    assert_eq!(
        refused(&mut command),
        [
            "SHOAL_UDP__LISTEN: [[udp]] listen 127.0.0.1:2 is given already (SHOAL_UDP__LISTEN); \
          remove one of them"
        ]
    );
}

#[test]
fn an_empty_list_of_listeners_is_none_of_that_kind_and_is_printed_so() {
    let mut command = shoal(&["config", "print", "--set", "udp.listen="]);
    let page = accepted(&mut command);
    assert!(has_line(&page, "udp = []") && has_line(&page, "[[http]]"));
    assert!(!has_line(&page, "[[udp]]"));
    let file = Scratch::with(&page);
    let again = accepted(&mut shoal(&["config", "print", "--config", file.path()]));
    assert_eq!(page, again);
    command.env("SHOAL_HTTP__LISTEN", "");
    assert_eq!(
        refused(&mut command),
        [
            "--set udp.listen: there is nothing to listen on, because [[http]] is empty too \
          (SHOAL_HTTP__LISTEN); give one of [[udp]] and [[http]] a listener"
        ]
    );
}

#[test]
fn an_http_listener_is_printed_with_its_tables_on_one_line_each() {
    let file = Scratch::with(
        "[[http]]\n\
         listen = \"0.0.0.0:443\"\n\
         redirect_to = \"https://tracker.example.org/\"\n\
         [http.tls]\n\
         certificate = \"fullchain.pem\"\n\
         private_key = \"key.pem\"\n\
         [[http]]\n\
         listen = \"unix:/run/shoal/http.sock\"\n\
         proxy_protocol = true\n\
         proxy = { trusted = [\"192.0.2.1\"] }\n",
    );
    let page = accepted(&mut shoal(&["config", "print", "--config", file.path()]));
    for line in [
        r#"listen = "0.0.0.0:443""#,
        r#"redirect_to = "https://tracker.example.org""#,
        r#"tls = { certificate = "fullchain.pem", private_key = "key.pem" }"#,
        r#"#proxy = { header = "X-Forwarded-For", trusted = ["127.0.0.0/8", "::1/128"] }"#,
        r#"listen = "unix:/run/shoal/http.sock""#,
        "proxy_protocol = true",
        r#"proxy = { trusted = ["192.0.2.1/32"] }"#,
    ] {
        assert!(has_line(&page, line), "{line}\n{page}");
    }
    assert_eq!(page.matches("\n[[http]]\n").count(), 2, "{page}");
}

#[test]
fn what_goes_out_as_it_stands_is_given_by_the_environment_too() {
    let page = accepted(
        shoal(&["config", "print", "--set=connections.max=100"])
            .env("SHOAL_ANNOUNCE__TRACKER_ID", "shoal 1")
            .env("SHOAL_ANNOUNCE__WARNING", "we move, soon")
            .env("SHOAL_ANNOUNCE__MIN_INTERVAL", "0")
            .env("SHOAL_SCRAPE__FULL", "true")
            .env("SHOAL_WORKERS__HTTP_THREADS", "2"),
    );
    for line in [
        "max = 100",
        r#"tracker_id = "shoal 1""#,
        r#"warning = "we move, soon""#,
        "min_interval = 0",
        "full = true",
        "http_threads = 2",
    ] {
        assert!(has_line(&page, line), "{line}\n{page}");
    }
}

#[test]
fn what_survives_a_restart_is_given_by_the_environment_too() {
    let page = accepted(
        shoal(&["config", "print", "--set=store.on_damage=refuse"])
            .env("SHOAL_STORE__SNAPSHOT_INTERVAL", "0")
            .env("SHOAL_STORE__KEEP_PEERS", "false"),
    );
    for line in [
        "snapshot_interval = 0",
        "keep_peers = false",
        r#"on_damage = "refuse""#,
    ] {
        assert!(has_line(&page, line), "{line}\n{page}");
    }
    assert_eq!(
        mistakes_in("[store]\non_damage = \"ignore\"\nsnapshot_interval = 86401\n"),
        [
            "2: [store] on_damage must be \"set_aside\" or \"refuse\", not \"ignore\"",
            "3: [store] snapshot_interval must be a whole number from 0 to 86400, not 86401",
        ]
    );
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest_known_one() {
    for (name, meant) in [
        (
            "SHOAL_ANNOUNCE__INTERVALL",
            "did you mean SHOAL_ANNOUNCE__INTERVAL?",
        ),
        (
            "SHOAL_ANOUNCE__INTERVAL",
            "did you mean SHOAL_ANNOUNCE__INTERVAL?",
        ),
        (
            "SHOAL_announce__interval",
            "did you mean SHOAL_ANNOUNCE__INTERVAL?",
        ),
        ("SHOAL_CONFIG__TOML", "did you mean SHOAL_CONFIG_TOML?"),
        (
            "SHOAL_X__Y",
            "remove it, or see `shoal config print` for the keys",
        ),
        (
            "SHOAL__",
            "remove it, or see `shoal config print` for the keys",
        ),
    ] {
        assert_eq!(
            refused(shoal(&["config", "check"]).env(name, "900")),
            [format!("{name}: this names no key; {meant}")]
        );
    }
}

#[test]
fn variables_that_are_not_ours_are_left_alone() {
    accepted(
        shoal(&["config", "check"])
            .env("SHOAL_SERVICE_HOST", "10.0.0.1")
            .env("SHOAL_PORT", "udp://10.0.0.1:6969")
            .env("SHOALS__INTERVAL", "1")
            .env("RUST_LOG", "nonsense=="),
    );
}

#[test]
fn bytes_that_are_no_text_are_a_mistake_and_not_a_panic() {
    let junk = OsStr::from_bytes(b"\xff\xfe9");
    let lines = refused(shoal(&["config", "check"]).env("SHOAL_ANNOUNCE__INTERVAL", junk));
    assert_eq!(
        lines,
        [
            "SHOAL_ANNOUNCE__INTERVAL: [announce] interval must be a whole number from 1 to 86400, \
          in UTF-8"
        ]
    );
    let lines = refused(shoal(&["config", "check"]).env("SHOAL_CONFIG_TOML", junk));
    assert_eq!(
        lines,
        ["SHOAL_CONFIG_TOML is not UTF-8; write the configuration as UTF-8 text"]
    );
    let name = OsStr::from_bytes(b"SHOAL_LOG__\xff");
    assert_eq!(refused(shoal(&["config", "check"]).env(name, "1")).len(), 1);
    let lines = refused(shoal(&["config", "check"]).env("SHOAL_CONFIG", junk));
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("cannot read "), "{lines:?}");
    let mut command = shoal(&["config", "check", "--set"]);
    assert_eq!(outcome(command.arg(junk)).code, Some(2));
}

#[test]
fn a_file_that_cannot_be_read_is_one_sentence_whatever_was_asked_for() {
    let missing = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no such file.toml");
    let missing = missing.to_str().expect("a plain name");
    let sentence = format!("cannot read {missing}: No such file or directory (os error 2)");
    for command in [
        &["config", "check"][..],
        &["config", "print"],
        &["run"],
        &[],
    ] {
        let mut arguments = command.to_vec();
        arguments.extend(["--config", missing]);
        assert_eq!(refused(&mut shoal(&arguments)), [sentence.as_str()]);
    }
}

#[test]
fn a_wrong_file_keeps_the_tracker_from_running() {
    let file = Scratch::with("[announce]\nintervall = 5\n");
    for command in [&["run", "--config"][..], &["--config"]] {
        let lines = refused(shoal(command).arg(file.path()));
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
}

#[test]
fn a_directory_is_no_file() {
    let directory = env!("CARGO_TARGET_TMPDIR");
    assert_eq!(
        refused(&mut shoal(&["config", "check", "--config", directory])),
        [format!(
            "{directory} is a directory; name the configuration file in it"
        )]
    );
}

#[test]
fn a_binary_file_is_one_sentence() {
    let file = Scratch::with(b"[log]\n\x7fELF\x02\x01\x00\xff\xfe\x00");
    assert_eq!(
        refused(&mut shoal(&["config", "check", "--config", file.path()])),
        [format!(
            "{}:2: this is not UTF-8; name a TOML file, or save it as UTF-8",
            file.path()
        )]
    );
    let file = Scratch::with(b"\x00\x01\x02\x1b[2J\x00");
    let lines = refused(&mut shoal(&["config", "check", "--config", file.path()]));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(":1:5: this is not TOML: "), "{lines:?}");
}

#[test]
fn a_file_without_an_end_is_refused() {
    let longest = Scratch::with(vec![b'\n'; 1 << 20]);
    accepted(&mut shoal(&["config", "check", "--config", longest.path()]));
    let longer = Scratch::with(vec![b'\n'; (1 << 20) + 1]);
    for path in [longer.path(), "/dev/zero"] {
        assert_eq!(
            refused(&mut shoal(&["config", "check", "--config", path])),
            [format!(
                "{path} is longer than 1 MiB, so it cannot be a configuration; name another file"
            )]
        );
    }
}

#[test]
fn a_file_may_come_through_a_pipe() {
    let mut child = shoal(&["config", "print", "--config", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    stdin
        .write_all(b"[announce]\ninterval = 600\n")
        .expect("the program reads");
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    let page = String::from_utf8(output.stdout).expect("text");
    assert!(has_line(&page, "interval = 600"), "{page}");
}

#[test]
fn lines_that_end_as_on_windows_and_a_byte_order_mark_do_no_harm() {
    let file = Scratch::with("\u{feff}[announce]\r\ninterval = 600\r\n");
    let page = accepted(&mut shoal(&["config", "print", "--config", file.path()]));
    assert!(has_line(&page, "interval = 600"));
}

#[test]
fn a_setting_that_names_no_key_is_refused_with_the_nearest() {
    assert_eq!(
        refused(&mut shoal(&[
            "config",
            "check",
            "--set",
            "announce.intervall=5"
        ])),
        ["--set announce.intervall: this names no key; did you mean announce.interval?"]
    );
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &["swim"][..],
        &["--nonsense"],
        &["config"],
        &["config", "chek"],
        &["config", "print", "extra"],
        &["run", "--config"],
        &["run", "--set", "interval=5"],
        &["run", "--set", "announce.interval"],
        &["--config", "a", "--config", "b"],
        &["--config", "a", "config", "check"],
    ] {
        let outcome = outcome(&mut shoal(arguments));
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {outcome:?}");
        assert_eq!(outcome.stdout, "", "{arguments:?}");
        assert_ne!(outcome.stderr, "", "{arguments:?}");
    }
}

#[test]
fn every_command_explains_itself() {
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["config", "--help"],
        &["config", "print", "--help"],
        &["config", "check", "--help"],
    ] {
        let page = accepted(&mut shoal(arguments));
        assert!(page.contains("Usage: shoal"), "{page}");
    }
    let version = accepted(&mut shoal(&["--version"]));
    assert_eq!(version, format!("shoal {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_that_leaves_early_is_no_failure_and_a_full_disk_is_one() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = shoal(&["config", "print"]);
    let result = outcome(command.stdout(writer));
    assert_eq!((result.code, result.stderr.as_str()), (Some(0), ""));

    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    let lines = refused(shoal(&["config", "print"]).stdout(full));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("cannot write to standard output: "));
}

#[test]
fn mistakes_do_not_panic_when_nobody_can_read_them() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = shoal(&["config", "check", "--set", "log.level=loud"]);
    assert_eq!(outcome(command.stderr(writer)).code, Some(1));
}
