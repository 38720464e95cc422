//! `shoal query --conformance` against trackers that are wrong on purpose: every check is seen to fail
//! somewhere, so none is there that cannot.

mod fakes;
mod in_process;

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;

use fakes::{ask, assert_not_passed, http as fake_http, impatient, shoal, udp as fake_udp};
use shoal::query::conformance::{self, Report, Verdict};
use shoal::query::target::Target;

use Verdict::{Differs, Fail};

type Expected = &'static [(&'static str, Verdict)];

const UDP_FAKES: &[(fake_udp::Twist, Expected)] = &[
    (fake_udp::mute, &[("udp.connect.answers", Fail)]),
    (
        fake_udp::open_door,
        &[
            ("udp.connect.id", Fail),
            ("udp.id.other_address", Fail),
            ("udp.id.forged", Fail),
            ("udp.id.forged_scrape", Fail),
            ("udp.id.magic", Fail),
        ],
    ),
    (
        fake_udp::padder,
        &[
            ("udp.connect.length", Fail),
            ("udp.connect.transaction_zero", Fail),
            ("udp.connect.surplus", Differs),
            ("udp.announce.length", Fail),
            ("udp.scrape.unknown", Fail),
            ("udp.reply.amplification", Fail),
        ],
    ),
    (
        fake_udp::chatterbox,
        &[
            ("udp.id.forged", Fail),
            ("udp.announce.short", Differs),
            ("udp.hostile.wrong_magic", Fail),
            ("udp.hostile.short", Fail),
            ("udp.hostile.empty", Fail),
            ("udp.hostile.garbage", Fail),
            ("udp.hostile.unproven_action", Fail),
            ("udp.hostile.connect_reply", Fail),
            ("udp.hostile.error", Fail),
            ("udp.hostile.action_4", Differs),
            ("udp.hostile.unknown_action", Differs),
            ("udp.reply.transaction", Fail),
            ("udp.reply.amplification", Fail),
            ("udp.error.text", Differs),
        ],
    ),
    (
        fake_udp::careless,
        &[
            ("udp.announce.short", Fail),
            ("udp.scrape.tail", Fail),
            ("udp.scrape.none", Fail),
        ],
    ),
    (fake_udp::elsewhere, &[("udp.reply.source", Fail)]),
    (
        fake_udp::strict,
        &[
            ("udp.connect.transaction_zero", Fail),
            ("udp.connect.surplus", Differs),
            ("udp.announce.aria2", Fail),
            ("udp.options.url_data", Fail),
            ("udp.options.unknown", Fail),
            ("udp.options.cut", Differs),
            ("udp.event.paused", Fail),
            ("udp.event.unknown", Differs),
        ],
    ),
    (
        fake_udp::numwant,
        &[
            ("udp.numwant.default", Fail),
            ("udp.numwant.zero", Differs),
            ("udp.numwant.one", Differs),
            ("udp.numwant.huge", Fail),
        ],
    ),
    (
        fake_udp::believer,
        &[
            ("udp.port.zero", Fail),
            ("udp.swarm.claimed_address", Fail),
            ("udp.swarm.left_unknown", Fail),
        ],
    ),
    (
        fake_udp::muddler,
        &[
            ("udp.swarm.counts", Fail),
            ("udp.swarm.scrape_row", Fail),
            ("udp.scrape.duplicates", Fail),
        ],
    ),
    (
        fake_udp::hoarder,
        &[
            ("udp.swarm.self", Differs),
            ("udp.swarm.again", Fail),
            ("udp.swarm.stopped", Fail),
            ("udp.swarm.completed_once", Differs),
            ("udp.swarm.completed_from_nowhere", Differs),
        ],
    ),
    (
        fake_udp::miser,
        &[("udp.scrape.unknown", Fail), ("udp.scrape.order", Fail)],
    ),
    (fake_udp::seventy, &[("udp.scrape.cap", Differs)]),
    (
        fake_udp::bouncer,
        &[
            ("udp.announce.answers", Differs),
            ("udp.newtrackon.up", Differs),
        ],
    ),
    (
        fake_udp::inventor,
        &[
            ("udp.announce.interval", Differs),
            ("udp.newtrackon.sane", Fail),
            ("udp.reply.size", Fail),
        ],
    ),
    (fake_udp::hermit, &[("udp.swarm.meet", Fail)]),
    (
        fake_udp::binder,
        &[("udp.id.reuse", Fail), ("udp.id.other_port", Fail)],
    ),
];

/// What only a second address shows: this twist is on IPv6, with the tracker itself on IPv4.
const UDP_FAMILY_FAKES: &[(fake_udp::Twist, Expected)] = &[
    (fake_udp::open_door, &[("udp.families.id", Fail)]),
    (fake_udp::short_strided, &[("udp.families.stride", Fail)]),
];

const HTTP_FAKES: &[(fake_http::Twist, Expected)] = &[
    (fake_http::mute, &[("http.announce.answers", Fail)]),
    (
        fake_http::pedant,
        &[
            ("http.event.paused", Fail),
            ("http.event.blank", Fail),
            ("http.event.empty", Fail),
            ("http.event.unknown", Differs),
            ("http.compact.missing", Fail),
            ("http.compact.zero", Differs),
            ("http.left.missing", Differs),
            ("http.left.huge", Fail),
            ("http.totals.missing", Differs),
            ("http.numwant.negative", Differs),
            ("http.numwant.huge", Differs),
            ("http.encoding.raw", Differs),
            ("http.query.order", Fail),
            ("http.query.unknown", Fail),
            ("http.query.key", Fail),
            ("http.query.no_value", Differs),
            ("http.query.equals", Differs),
            ("http.query.duplicate", Differs),
            ("http.query.absolute", Differs),
            ("http.ip.malformed", Fail),
            ("http.malformed.optional", Differs),
            ("http.newtrackon.up", Fail),
        ],
    ),
    (
        fake_http::misreader,
        &[
            ("http.encoding.libtorrent", Fail),
            ("http.encoding.transmission", Fail),
            ("http.encoding.utorrent", Fail),
            ("http.encoding.rtorrent", Fail),
            ("http.encoding.all", Fail),
            ("http.encoding.plus", Differs),
        ],
    ),
    (
        fake_http::generous,
        &[
            ("http.compact.missing", Differs),
            ("http.compact.no_peer_id", Differs),
            ("http.numwant.zero", Differs),
            ("http.numwant.one", Differs),
        ],
    ),
    (
        fake_http::packer,
        &[
            ("http.gzip.unasked", Fail),
            ("http.gzip.small", Differs),
            ("http.framing.length", Fail),
            ("http.framing.chunked", Fail),
            ("http.framing.fields", Differs),
        ],
    ),
    (
        fake_http::endless,
        &[
            ("http.framing.length", Differs),
            ("http.scrape.gzip", Differs),
        ],
    ),
    (
        fake_http::spoiler,
        &[
            ("http.body.trailing", Fail),
            ("http.body.sorted", Fail),
            ("http.body.interval", Fail),
            ("http.body.min_interval", Differs),
            ("http.body.counts", Fail),
            ("http.body.text", Fail),
            ("http.body.external_ip", Fail),
            ("http.scrape.sorted", Fail),
            ("http.malformed.retry_in", Fail),
            ("http.newtrackon.up", Fail),
        ],
    ),
    (
        fake_http::hermit,
        &[("http.swarm.meet", Fail), ("http.body.peers", Fail)],
    ),
    (
        fake_http::hoarder,
        &[
            ("http.swarm.self", Differs),
            ("http.swarm.again", Fail),
            ("http.swarm.stopped", Fail),
            ("http.swarm.completed_once", Differs),
            ("http.swarm.completed_from_nowhere", Differs),
        ],
    ),
    (
        fake_http::believer,
        &[
            ("http.ip.claimed", Fail),
            ("http.malformed.port_zero", Fail),
        ],
    ),
    (
        fake_http::muddler,
        &[("http.swarm.counts", Fail), ("http.swarm.scrape_row", Fail)],
    ),
    (
        fake_http::miser,
        &[
            ("http.scrape.unknown", Differs),
            ("http.scrape.sorted", Fail),
            ("http.scrape.many", Differs),
            ("http.scrape.full", Differs),
            ("http.scrape.malformed", Fail),
        ],
    ),
    (
        fake_http::yes,
        &[
            ("http.malformed.no_query", Fail),
            ("http.malformed.hash_missing", Fail),
            ("http.malformed.hash_short", Fail),
            ("http.malformed.hash_escape", Fail),
            ("http.malformed.hash_cut", Fail),
            ("http.malformed.hash_hex", Differs),
            ("http.malformed.hash_twice", Differs),
            ("http.malformed.peer_id_missing", Differs),
            ("http.malformed.peer_id_short", Differs),
            ("http.malformed.port_missing", Differs),
            ("http.malformed.port_large", Differs),
            ("http.method.head", Fail),
            ("http.method.post", Differs),
            ("http.path.unknown", Differs),
        ],
    ),
    (fake_http::inventor, &[("http.newtrackon.sane", Fail)]),
    (
        fake_http::clinger,
        &[
            ("http.connection.close", Differs),
            ("http.connection.http_1_0", Fail),
            ("http.hostile.garbage", Differs),
            ("http.hostile.oversized", Differs),
            ("http.hostile.unfinished", Differs),
        ],
    ),
    (
        fake_http::slammer,
        &[
            ("http.connection.keep_alive", Differs),
            ("http.connection.http_1_0_keep_alive", Differs),
            ("http.connection.pipelining", Differs),
        ],
    ),
];

const HTTP_FAMILY_FAKES: &[(fake_http::Twist, Expected)] = &[(
    fake_http::hermit,
    &[
        ("http.families.answers", Fail),
        ("http.families.meet", Differs),
    ],
)];

/// Checks that no fake is seen to fail; each says why.
const NOT_FAKED: &[&str] = &[
    // Shoal itself differs, with an id that is young: see above.
    "udp.id.stale",
];

/// Runs every fake in a thread of its own, for they mostly wait, and gives the ids that did not pass in one.
fn caught<T: Copy + Send + Sync + 'static>(
    fakes: &'static [(T, Expected)],
    ask: impl Fn(T) -> Report + Sync,
) -> BTreeSet<&'static str> {
    thread::scope(|scope| {
        let running: Vec<_> = fakes
            .iter()
            .map(|(twist, expected)| {
                let ask = &ask;
                scope.spawn(move || assert_not_passed(&ask(*twist), expected))
            })
            .collect();
        for thread in running {
            thread.join().expect("a fake was not caught");
        }
    });
    fakes
        .iter()
        .flat_map(|(_, expected)| expected.iter())
        .map(|(id, _)| *id)
        .collect()
}

#[test]
fn every_udp_check_fails_where_it_should() {
    let server = shoal();
    let [v4, v6] = server.tracker.addresses()[..] else {
        panic!("two addresses");
    };
    let mut ids = caught(UDP_FAKES, |twist| {
        let fake = fake_udp::Fake::start(v4, twist);
        ask("udp", &[fake.address], &impatient())
    });
    ids.extend(caught(UDP_FAMILY_FAKES, |twist| {
        let fake = fake_udp::Fake::start(v6, twist);
        ask("udp", &[v4, fake.address], &impatient())
    }));
    assert_all_faked(&ask("udp", &[v4], &impatient()), &ids);
}

#[test]
fn every_http_check_fails_where_it_should() {
    let server = shoal();
    let [v4, v6] = server.tracker.http_addresses()[..] else {
        panic!("two addresses");
    };
    let mut ids = caught(HTTP_FAKES, |twist| {
        let fake = fake_http::Fake::start(v4, twist);
        ask("http", &[fake.address], &impatient())
    });
    ids.extend(caught(HTTP_FAMILY_FAKES, |twist| {
        let fake = fake_http::Fake::start(v6, twist);
        ask("http", &[v4, fake.address], &impatient())
    }));
    assert_all_faked(&ask("http", &[v4], &impatient()), &ids);
}

fn assert_all_faked(report: &Report, ids: &BTreeSet<&'static str>) {
    let all = report.findings.iter().map(|finding| finding.id);
    let missing: Vec<_> = all
        .filter(|id| !ids.contains(id) && !NOT_FAKED.contains(id))
        .collect();
    assert_eq!(missing, [""; 0], "no fake fails these");
}

#[test]
fn a_report_is_a_table_for_people_and_json_for_programs() {
    let server = shoal();
    let fake = fake_udp::Fake::start(server.address(), fake_udp::miser);
    let report = ask("udp", &[fake.address], &impatient());
    let table = report.table(false, true).to_string();
    assert!(
        table.contains("\nConnect\n  pass     udp.connect.answers "),
        "{table}"
    );
    assert!(table.contains("  FAIL     udp.scrape.unknown "), "{table}");
    assert!(
        table.contains("> 0000  000004172710198000000000"),
        "{table}"
    );
    assert!(
        table.lines().last().unwrap().contains(" failed, "),
        "{table}"
    );
    assert!(!report.is_good());
    let json = report.to_json(false);
    assert_eq!(json["summary"]["fail"], report.summary().fail);
    let checks = json["checks"].as_array().unwrap();
    assert_eq!(checks.len(), report.findings.len());
    let unknown = checks
        .iter()
        .find(|check| check["id"] == "udp.scrape.unknown")
        .unwrap();
    assert_eq!(unknown["verdict"], "fail");
    assert_eq!(unknown["came_back"], "scrape reply: 0 rows");
    assert!(unknown.get("wire").is_none());
    let with_hex = report.to_json(true);
    let sent = &with_hex["checks"][3]["wire"][0]["sent"];
    assert_eq!(sent, "00000417271019800000000000000000");
}

#[test]
fn a_tracker_that_wants_a_key_in_its_url_gets_it_over_udp() {
    let server = shoal();
    let fake = fake_udp::Fake::start(server.address(), fake_udp::private);
    let target: Target = format!("udp://{}/KEY/announce", fake.address)
        .parse()
        .unwrap();
    let report = conformance::run(&target, &[fake.address], &impatient(), &mut |_| {}).unwrap();
    // newTrackon knows no keys, and the relay no addresses.
    assert_eq!(
        report.ids(Verdict::Fail),
        ["udp.id.other_address"],
        "{}",
        report.table(false, false)
    );
    assert_eq!(report.ids(Verdict::Differs), ["udp.newtrackon.up"]);
}

#[test]
fn the_command_line_prints_reports_and_fails_when_a_check_does() {
    let server = shoal();
    let fake = fake_udp::Fake::start(server.address(), fake_udp::miser);
    let run = |address, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        command.args([
            "query",
            "--conformance",
            &format!("udp://{address}/announce"),
        ]);
        command.args(more).output().unwrap()
    };
    let good = run(server.address(), &["--json"]);
    assert!(good.status.success());
    let json: serde_json::Value = serde_json::from_slice(&good.stdout).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["reports"][0]["summary"]["fail"], 0);
    let bad = run(fake.address, &[]);
    assert_eq!(bad.status.code(), Some(1));
    let table = String::from_utf8(bad.stdout).unwrap();
    assert!(
        table.contains("\n  FAIL     udp.scrape.unknown "),
        "{table}"
    );
    assert_eq!(run(fake.address, &["--scrape"]).status.code(), Some(2));
}
