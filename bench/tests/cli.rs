//! The program as a user meets it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

fn bench(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shoal-bench"));
    command.args(arguments.split_whitespace());
    command
}

fn output(arguments: &str) -> Output {
    bench(arguments).output().unwrap()
}

/// An echo on a free port, killed when dropped.
struct Echo {
    child: Child,
    address: String,
}

impl Echo {
    fn start(listen: &str) -> Self {
        let arguments = format!("echo --listen {listen} --peers 3 --duration 60");
        let mut child = bench(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line
            .trim()
            .strip_prefix("listening on udp://")
            .unwrap()
            .to_owned();
        Self { child, address }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn nothing_but_loopback_is_ever_asked() {
    for command in ["load --target", "wait --target", "echo --listen"] {
        for address in ["192.0.2.1:6969", "[2001:db8::1]:6969", "0.0.0.0:6969"] {
            let output = output(&format!("{command} {address}"));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{command} {address}: {said}");
            assert!(said.contains("is not a loopback address"), "{said}");
        }
    }
}

#[test]
fn the_echo_answers_all_that_the_generator_asks_over_both_families() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        if listen.starts_with('[') && std::net::UdpSocket::bind(listen).is_err() {
            println!("this host has no IPv6");
            continue;
        }
        let echo = Echo::start(listen);
        let address = &echo.address;
        assert!(output(&format!("wait --target {address}")).status.success());
        let pid = echo.child.id();
        let load = output(&format!(
            "load --target {address} --pid {pid} --fill --torrents 1000 --warmup 0.1 --duration 0.3 \
             --window 64 --source-addresses 3 --timeout 5000 --strict --dist zipf --json -"
        ));
        assert!(
            load.status.success(),
            "{}",
            String::from_utf8_lossy(&load.stderr)
        );
        let result: serde_json::Value = serde_json::from_slice(&load.stdout).unwrap();
        assert_eq!(result["fill"]["peers"], 4000, "{result:#}");
        let all = &result["requests"]["all"];
        assert!(all["answered"].as_u64().unwrap() > 100, "{result:#}");
        for none in ["lost", "refused", "invalid", "open"] {
            assert_eq!(all[none], 0, "{result:#}");
        }
        assert_eq!(result["unexpected"], 0);
        assert!(result["server"]["rss_kib"].as_u64().unwrap() > 0);
        assert!(
            result["server"]["cpu_ns_per_response"]["all"]
                .as_f64()
                .unwrap()
                > 0.0
        );
        assert!(result["requests"]["scrape"]["answered"].as_u64().unwrap() > 0);
    }
}

#[test]
fn waiting_for_nobody_fails_in_time_and_says_for_whom() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let output = output(&format!("wait --target {address} --timeout 0.2"));
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains(&format!("{address} does not answer")),
        "{said}"
    );
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for (rest, sentence) in [
        ("--duration 0", "--duration 0 leaves nothing to do"),
        (
            "--source-addresses 9 --sources 3",
            "9 source addresses need as many --sources",
        ),
        ("--verify 5", "--verify needs --fill"),
        (
            "--fill --fill-peers 5000000",
            "--fill-peers needs --fill and --duration 0",
        ),
        (
            "--fill --fill-peers 5 --duration 0",
            "torrents with less than one peer",
        ),
        ("--rate 5 --window 5", "cannot be used with"),
    ] {
        let output = output(&format!("load --target 127.0.0.1:1 {rest}"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains(sentence),
            "{rest}: {said}"
        );
    }
}

#[test]
fn listed_hashes_are_told_apart_and_follow_from_the_seed() {
    let list = |rest| output(&format!("hashes --torrents 3 {rest}")).stdout;
    let text = String::from_utf8(list("")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line.len() == 40), "{text}");
    assert!(lines[0] != lines[1] && list("--seed 2") != text.as_bytes());
}

#[test]
fn results_of_several_trackers_become_a_page_with_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (server, rate) in [("echo", 300_000), ("shoal", 250_000), ("other", 100_000)] {
        let result = serde_json::json!({
            "requests": {"all": {"responses_per_s": rate}},
            "server": {"cpu_ns_per_response": {"user": 200, "system": 3000, "all": 3200}},
            "options": {"torrents": 1000, "peers_per_torrent": 4},
        });
        let file = path(&format!("{server}.udp4-saturated.1.json"));
        std::fs::write(file, result.to_string()).unwrap();
    }
    std::fs::write(path("about.md"), "- **other**: 1.0\n").unwrap();
    let marks = "<!-- compare:begin -->\n<!-- compare:end -->";
    std::fs::write(path("page.md"), format!("before\n{marks}\nafter\n")).unwrap();
    let home = folder.path().display();
    let table = output(&format!(
        "table --compare --dir {home} --about {home}/about.md --write {home}/page.md --plots {home}/plots"
    ));
    let said = String::from_utf8_lossy(&table.stderr).into_owned();
    assert!(table.status.success(), "{said}");

    let text = std::fs::read_to_string(path("page.md")).unwrap();
    assert!(text.starts_with("before\n") && text.ends_with("after\n"));
    assert!(text.contains("- **other**: 1.0\n"), "{text}");
    let row = "| UDP over IPv4 | other | 100 000 | 100 000 to 100 000 | 0.33 | 0.40 |";
    assert!(text.contains(row), "{text}");
    for picture in ["udp-rate", "udp-cpu"] {
        assert!(text.contains(&format!("](plots/{picture}.svg)")), "{text}");
        let drawn = std::fs::read_to_string(path(&format!("plots/{picture}.svg"))).unwrap();
        assert!(
            drawn.starts_with("<svg ") && drawn.contains("other"),
            "{drawn}"
        );
    }
}

#[test]
fn the_curves_are_measured_drawn_and_put_where_readers_look() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("curves.md");
    let marks = ["<!-- curves:begin -->", "<!-- curves:end -->"];
    std::fs::write(
        &page,
        format!("before\n{}\n{}\nafter\n", marks[0], marks[1]),
    )
    .unwrap();
    let temp = folder.path().to_str().unwrap();
    let measured = output(&format!(
        "curves --quick --date 2026-01-02 --temp {temp} --write {}",
        page.display()
    ));
    let said = String::from_utf8_lossy(&measured.stderr).into_owned();
    assert!(measured.status.success(), "{said}");

    let text = std::fs::read_to_string(&page).unwrap();
    assert!(
        text.starts_with("before\n") && text.ends_with("after\n"),
        "{text}"
    );
    assert!(text.contains("2026-01-02. "), "{text}");
    let pictures: Vec<&str> = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(name, _)| name))
        .collect();
    assert_eq!(pictures.len(), 12, "{pictures:?}");
    for picture in pictures {
        let drawn = std::fs::read_to_string(folder.path().join(picture)).unwrap();
        assert!(
            drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n"),
            "{picture}"
        );
        assert!(drawn.contains("<circle "), "{picture} has no points");
        assert!(
            !drawn.contains("NaN") && !drawn.contains("inf"),
            "{picture}: {drawn}"
        );
    }
    // The store was removed again: the page and its pictures are all that is left.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);

    let output = output("curves --only nonsense");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("there is no curve nonsense"), "{said}");
}
