//! Restarts that come to nothing, or to something else than before: new processes that die on the way, that
//! cannot start, or that are configured otherwise.

mod api;
mod http;
mod in_process;
mod lineage;
mod support;

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use api::{TOKEN, ask, json, with_token};
use http::Browser;
use in_process::{Announce, Client, hex, info_hash};
use lineage::{Lineage, executable_of, send};
use nix::sys::signal::Signal;
use support::store_in;
use tempfile::TempDir;

const ANY_PORT: &str = "udp.listen=127.0.0.1:0";
const SERVES_ON: &str = "this one serves on";
const SERVES: &str = "serves: datagrams waited";

fn token() -> String {
    format!("control.tokens.admin={TOKEN}")
}

/// Two peers in each of 300 torrents, one of which has completed it.
fn fill(client: &Client, id: [u8; 8]) {
    for number in 0..300 {
        for port in [1001, 1002] {
            client.announce(id, Announce::leecher(info_hash(number), port));
        }
        let seeder = Announce::seeder(info_hash(number), 1002);
        let event = Announce::COMPLETED;
        client.announce(id, Announce { event, ..seeder });
    }
}

fn expect_filled(client: &Client, id: [u8; 8]) {
    for number in 0..300 {
        let rows = client.scrape(id, &[info_hash(number)]);
        assert_eq!(rows, [(1, 1, 1)], "{number}");
    }
}

fn allow(control: SocketAddr, number: u32) -> u16 {
    let path = with_token(&format!("/api/v1/whitelist/{}", hex(number)));
    ask(&mut Browser::of(control), "POST", &path, "", "").status
}

fn expect_allowed(control: SocketAddr, numbers: impl Iterator<Item = u32>) {
    for number in numbers {
        let path = with_token(&format!("/api/v1/whitelist/{}", hex(number)));
        let removed = ask(&mut Browser::of(control), "DELETE", &path, "", "");
        assert_eq!(removed.status, 200, "{}", removed.text());
    }
}

#[test]
fn a_new_process_that_is_killed_on_the_way_leaves_the_old_one_as_it_was() {
    for backend in ["io_uring", "mmsg"] {
        let place = TempDir::new().unwrap();
        let mut lineage = Lineage::start(&[
            ANY_PORT,
            "http.listen=127.0.0.1:0",
            "control.listen=127.0.0.1:0",
            "workers.count=2",
            &format!("workers.backend={backend}"),
            &store_in(&place),
            &token(),
        ]);
        let (http, control) = (lineage.http_address(), lineage.control_address());
        let client = Client::of(lineage.address());
        let id = client.connect();
        fill(&client, id);
        let phases = [
            "to take over",
            "is ready for the state",
            "is ready to serve",
        ];
        let mut in_time = 0;
        for round in 0..9 {
            let pid = lineage.begin_restart();
            lineage.wait_for_log(phases[round as usize % 3]);
            send(pid, Signal::SIGKILL);
            let line = lineage.wait_for_either(SERVES_ON, SERVES);
            if line.contains(SERVES) {
                // Too late: it had taken over. Nobody is left, so the test begins anew from here.
                assert_eq!(round % 3, 2, "{line}");
                break;
            }
            in_time += 1;
            // Everything is as it was: UDP, HTTP, the API and what it writes.
            expect_filled(&client, id);
            let reply = Browser::of(http).get(&http::scrape([info_hash(7)]));
            assert_eq!(reply.status, 200);
            assert_eq!(allow(control, 1000 + round), 200);
        }
        assert!(in_time >= 2, "{in_time}");
        if in_time == 9 {
            lineage.restart();
            expect_filled(&client, id);
            expect_allowed(control, 1000..1009);
            assert!(lineage.stop().ends_with("stopped"));
        }
    }
}

#[test]
fn a_broken_configuration_is_told_and_the_old_process_serves_on() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("shoal.toml");
    let data = folder.path().join("data");
    let good = format!("workers.count = 2\nstore.path = \"{}\"\n", data.display());
    fs::write(&file, &good).unwrap();
    let mut lineage = Lineage::start_with(&[ANY_PORT], |command| {
        command.arg("--config").arg(&file);
    });
    let client = Client::of(lineage.address());
    let id = client.connect();
    fill(&client, id);
    let broken = [
        "nonsense",
        "access.allowlist = \"/no/such/file\"\n",
        "workers.user = \"nobody-has-this-name\"\n",
    ];
    for text in broken {
        fs::write(&file, format!("{good}{text}")).unwrap();
        lineage.begin_restart();
        let line = lineage.wait_for_log(SERVES_ON);
        assert!(line.contains("exit status: 1"), "{line}");
        expect_filled(&client, id);
    }
    fs::write(&file, &good).unwrap();
    lineage.restart();
    expect_filled(&client, id);
    assert!(lineage.stop().ends_with("stopped"));
}

#[test]
fn without_a_store_everything_is_handed_over_all_the_same() {
    let mut lineage = Lineage::start(&[ANY_PORT, "workers.count=2", "store.path="]);
    let client = Client::of(lineage.address());
    let id = client.connect();
    fill(&client, id);
    for _ in 0..2 {
        let old = lineage.pid();
        lineage.restart();
        assert_ne!(lineage.pid(), old);
        expect_filled(&client, id);
    }
    assert!(lineage.stop().ends_with("stopped"));
}

#[test]
fn a_program_that_was_replaced_is_the_one_that_takes_over() {
    let folder = TempDir::new().unwrap();
    let program = folder.path().join("shoal");
    let built = Path::new(env!("CARGO_BIN_EXE_shoal"));
    fs::copy(built, &program).unwrap();
    let mut lineage = Lineage::start_program(&program, &[ANY_PORT, "workers.count=1"]);
    let client = Client::of(lineage.address());
    let id = client.connect();
    client.announce(id, Announce::leecher(info_hash(1), 1001));
    let newer = folder.path().join("newer");
    fs::copy(built, &newer).unwrap();
    fs::rename(&newer, &program).unwrap();
    let deleted = executable_of(lineage.pid());
    assert!(
        deleted.to_string_lossy().ends_with(" (deleted)"),
        "{deleted:?}"
    );
    lineage.restart();
    assert_eq!(executable_of(lineage.pid()), program);
    assert_eq!(client.scrape(id, &[info_hash(1)]), [(0, 0, 1)]);
}

#[test]
fn cores_may_become_more_and_fewer() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("shoal.toml");
    let store = folder.path().join("data").display().to_string();
    let write = |workers: &str| {
        fs::write(
            &file,
            format!("store.path = \"{store}\"\nworkers = {{ {workers} }}\n"),
        )
        .unwrap();
    };
    write("count = 2");
    let options = [ANY_PORT, "http.listen=127.0.0.1:0"];
    let mut lineage = Lineage::start_with(&options, |command| {
        command.arg("--config").arg(&file);
    });
    let client = Client::of(lineage.address());
    let id = client.connect();
    fill(&client, id);
    let http = lineage.http_address();
    for workers in [
        "count = 3",
        "count = 1",
        "count = 3, steering = false",
        "count = 3",
        "count = 2",
    ] {
        write(workers);
        lineage.restart();
        expect_filled(&client, id);
        for number in 0..300 {
            client.announce(id, Announce::leecher(info_hash(number), 1001));
        }
        for _ in 0..20 {
            let reply = Browser::of(http).get(&http::scrape([info_hash(7)]));
            assert_eq!(reply.status, 200);
        }
    }
    // The kernel still gives each announce to the core that owns it.
    for number in 0..300 {
        client.announce(id, Announce::leecher(info_hash(number), 1001));
    }
    lineage.signal(Signal::SIGUSR1);
    let total = lineage.wait_for_log("total: ");
    assert!(total.contains("answered_udp_announce_ip4 "), "{total}");
    let handed_over = total.split("handed_over ").nth(1);
    let handed_over = handed_over.and_then(|rest| rest.split(',').next());
    assert!(handed_over.is_none_or(|count| count == "0"), "{total}");
    assert!(lineage.stop().ends_with("stopped"));
}

#[test]
fn a_successor_of_a_tracker_that_sieves_is_sent_everything() {
    for backend in ["io_uring", "mmsg"] {
        let mut lineage = Lineage::start(&[
            ANY_PORT,
            "workers.count=1",
            "flood.sieve_from=100",
            "http.listen=",
            &format!("workers.backend={backend}"),
        ]);
        let client = Client::of(lineage.address());
        let id = client.connect();
        let mut forged = id;
        forged[1] ^= 1;
        let forge = |times| {
            for _ in 0..times {
                client.send(&Announce::leecher(info_hash(1), 1).to_bytes(forged));
            }
            // Whatever waits in the queue came before this.
            client.announce(id, Announce::leecher(info_hash(1), 1));
        };
        forge(300);
        lineage.wait_for_log("the kernel drops them until they are fewer");
        lineage.restart();
        forge(50);
        lineage.signal(Signal::SIGUSR1);
        lineage.wait_for_log("discarded_forged_connection_id 50");
        assert!(lineage.stop().ends_with("stopped"));
    }
}

#[test]
fn listeners_come_and_go_with_the_configuration() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("shoal.toml");
    let socket = folder.path().join("http.sock");
    let (first, second, third) = (free_port(), free_port(), free_port());
    let write = |udp: &[SocketAddr], unix: bool| {
        let udp = udp
            .iter()
            .map(|listen| format!("{{ listen = \"{listen}\" }}"));
        let udp = udp.collect::<Vec<_>>().join(", ");
        let unix = if unix {
            format!(", {{ listen = \"unix:{}\" }}", socket.display())
        } else {
            String::new()
        };
        let text = format!(
            "udp = [{udp}]\nhttp = [{{ listen = \"{third}\" }}{unix}]\n\
             store.path = \"\"\nworkers.count = 2\n"
        );
        fs::write(&file, text).unwrap();
    };
    write(&[first], true);
    let mut lineage = Lineage::start_configured(&file);
    let client = Client::of(first);
    let id = client.connect();
    fill(&client, id);
    write(&[first, second], true);
    lineage.restart();
    expect_filled(&client, id);
    expect_filled(&Client::of(second), id);
    let alive = Browser::at_path(&socket).get("/health_check");
    assert_eq!(alive.status, 200);
    write(&[second], false);
    lineage.restart();
    expect_filled(&Client::of(second), id);
    let alive = Browser::of(third).get("/health_check");
    assert_eq!(alive.status, 200);
    // Nobody has the first one any more.
    UdpSocket::bind(first).unwrap();
    assert!(lineage.stop().ends_with("stopped"));
}

fn free_port() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

#[test]
fn a_unix_socket_stays_where_it_is_until_the_last_of_them_ends() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("http.sock");
    let unix = format!("http.listen=unix:{}", socket.display());
    for backend in ["io_uring", "mmsg"] {
        let backend = format!("workers.backend={backend}");
        let mut lineage =
            Lineage::start(&[ANY_PORT, &unix, "workers.count=2", "store.path=", &backend]);
        for _ in 0..2 {
            lineage.restart();
            let alive = Browser::at_path(&socket).get("/health_check");
            assert_eq!(alive.status, 200);
        }
        assert!(lineage.stop().ends_with("stopped"));
        assert!(!socket.exists());
    }
}

#[test]
fn what_the_api_has_acknowledged_is_there_after_restarts() {
    let place = TempDir::new().unwrap();
    let mut lineage = Lineage::start(&[
        ANY_PORT,
        "control.listen=127.0.0.1:0",
        "workers.count=1",
        &store_in(&place),
        &token(),
    ]);
    let control = lineage.control_address();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let operator = scope.spawn(|| {
            let (mut number, mut later) = (0, 0);
            while !is_over.load(Ordering::Relaxed) {
                let path = with_token(&format!("/api/v1/whitelist/{}", hex(number)));
                let reply = ask(&mut Browser::of(control), "POST", &path, "", "");
                match reply.status {
                    200 => number += 1,
                    503 => {
                        assert_eq!(reply.header("retry-after"), Some("2"));
                        later += 1;
                        thread::sleep(Duration::from_millis(20));
                    }
                    status => panic!("{status}: {}", reply.text()),
                }
            }
            (number, later)
        });
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(300));
            lineage.restart();
        }
        is_over.store(true, Ordering::Relaxed);
        let (number, later) = operator.join().unwrap();
        println!("{number} changes, {later} were to be made later");
        assert!(number > 10, "{number}");
        expect_allowed(control, 0..number);
    });
    assert!(lineage.stop().ends_with("stopped"));
}

#[test]
fn what_clients_send_is_credited_but_for_one_announce_at_each_restart() {
    const STEP: u64 = 1000;
    let place = TempDir::new().unwrap();
    let mut lineage = Lineage::start(&[
        ANY_PORT,
        "control.listen=127.0.0.1:0",
        "workers.count=2",
        "access.mode=private",
        "swarm.peer_details=true",
        &store_in(&place),
        &token(),
    ]);
    let (udp, control) = (lineage.address(), lineage.control_address());
    let made = ask(
        &mut Browser::of(control),
        "POST",
        &with_token("/api/v1/key/3600"),
        "",
        "",
    );
    let key = json(&made)["key"].as_str().unwrap().to_owned();
    let is_over = AtomicBool::new(false);
    let announced = thread::scope(|scope| {
        let client = scope.spawn(|| {
            let client = Client::of(udp);
            let id = client.connect();
            let path = format!("/{key}/announce");
            let mut announces = 0;
            while !is_over.load(Ordering::Relaxed) {
                let announce = Announce {
                    event: Announce::REGULAR,
                    ..Announce::leecher(info_hash(1), 7000)
                };
                let mut datagram = announce.to_bytes(id);
                datagram[72..80].copy_from_slice(&(announces * STEP).to_be_bytes());
                datagram.extend([2, path.len() as u8]);
                datagram.extend(path.as_bytes());
                assert_eq!(client.ask(&datagram)[3], 1);
                announces += 1;
                // Less than the worth of an announce at 10 Gbit/s.
                thread::sleep(Duration::from_millis(1));
            }
            announces
        });
        for _ in 0..2 {
            thread::sleep(Duration::from_millis(500));
            lineage.restart();
        }
        thread::sleep(Duration::from_millis(500));
        is_over.store(true, Ordering::Relaxed);
        client.join().unwrap()
    });
    // The first one of each process says only where its client stands.
    let expected = (announced - 3) * STEP;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let feed = ask(
            &mut Browser::of(control),
            "GET",
            &with_token("/api/v1/transfers?since=0"),
            "",
            "",
        );
        let feed = json(&feed);
        let credited = feed["items"][0]["uploaded"].as_u64().unwrap_or(0);
        if credited == expected {
            break;
        }
        assert!(credited < expected, "{credited} of {expected}");
        assert!(
            Instant::now() < deadline,
            "{credited} of {expected}: {feed}"
        );
        thread::sleep(Duration::from_millis(200));
    }
    assert!(lineage.stop().ends_with("stopped"));
}

#[test]
fn a_second_restart_meanwhile_is_told_and_an_end_ends_both() {
    let mut lineage = Lineage::start(&[ANY_PORT, "workers.count=1", "store.path="]);
    let pid = lineage.begin_restart();
    // It gets no further.
    send(pid, Signal::SIGSTOP);
    lineage.signal(Signal::SIGUSR2);
    lineage.wait_for_log("a new process is taking over already");
    let began = Instant::now();
    let last = lineage.stop();
    assert!(last.ends_with("stopped"), "{last}");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(
        !Path::new(&format!("/proc/{pid}/exe")).exists(),
        "{pid} is left"
    );
}

#[test]
fn systemd_is_told_who_the_tracker_is_now() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let hear = || loop {
        let mut heard = [0; 4096];
        let len = manager.recv(&mut heard).unwrap();
        let heard = String::from_utf8(heard[..len].to_vec()).unwrap();
        if heard != "WATCHDOG=1\n" {
            return heard;
        }
    };
    let mut lineage = Lineage::start_with(&[ANY_PORT, "workers.count=1", "store.path="], |run| {
        run.env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "4000000");
        // As systemd does it.
        run.env("WATCHDOG_PID", "1");
    });
    assert_eq!(hear(), "READY=1\n");
    for _ in 0..2 {
        lineage.restart();
        assert_eq!(hear(), format!("MAINPID={}\n", lineage.pid()));
        assert_eq!(hear(), "READY=1\n");
        let mut heard = [0; 64];
        let len = manager.recv(&mut heard).unwrap();
        assert_eq!(
            heard[..len],
            *b"WATCHDOG=1\n",
            "the new one gives signs of life"
        );
    }
    lineage.signal(Signal::SIGTERM);
    assert_eq!(hear(), "STOPPING=1\n");
}
