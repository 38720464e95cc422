//! A network that goes and comes back.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};

use super::{ANY_CONTROL, PATIENCE, do_it, expect_served_at, info_hash, run};
use crate::http::Browser;
use crate::in_process::{Announce, Client, connect_request};
use crate::support::{Process, TrackerProcess, shoal};

const TRACKER: &str = "10.77.0.1";
const CLIENT: &str = "10.77.0.2";

/// Two networks, of the tracker and of this thread, with a cable between them.
struct Cable {
    /// Keeps the network of the tracker.
    _holder: Process,
    id: String,
}

impl Cable {
    /// The calling thread leaves the network of the host. The error is why it cannot.
    fn lay() -> Result<Self, String> {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("unshare: {error}"))?;
        let network = |id: &str| fs::read_link(format!("/proc/{id}/ns/net"));
        let mut holder = Command::new("unshare");
        holder.args(["--net", "--", "sleep", "600"]);
        let holder = Process::spawn("unshare", &mut holder);
        let id = holder.id().to_string();
        let ours = network("thread-self").unwrap();
        super::until("a network of its own", || {
            network(&id).is_ok_and(|its| its != ours)
        });
        let cable = Self {
            _holder: holder,
            id,
        };
        let steps = [
            format!(
                "ip link add near type veth peer name far netns {}",
                cable.id
            ),
            format!("ip addr add {CLIENT}/24 dev near"),
            "ip link set near up".to_owned(),
            "ip link set lo up".to_owned(),
        ];
        for step in &steps {
            let output = Command::new("sh").args(["-c", step]).output().unwrap();
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                return Err(format!("{step}: {}", said.trim()));
            }
        }
        cable.far("ip link set lo up");
        cable.far(&format!("ip addr add {TRACKER}/24 dev far"));
        cable.far("ip link set far up");
        Ok(cable)
    }

    fn inside(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.id, "--"]);
        command
    }

    /// Does something in the network of the tracker.
    fn far(&self, step: &str) {
        let mut command = self.inside();
        do_it(command.args(["sh", "-c", step]));
    }

    fn start(&self, settings: &[&str]) -> TrackerProcess {
        let listeners = settings
            .iter()
            .filter(|s| s.starts_with("udp.listen="))
            .count();
        let plain = run(settings);
        let mut command = self.inside();
        command.arg(plain.get_program()).args(plain.get_args());
        for (name, value) in shoal().get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        TrackerProcess::start_command(command, listeners)
    }
}

/// A client beyond the cable.
fn client(port: u16) -> Client {
    let server = SocketAddr::from((TRACKER.parse::<Ipv4Addr>().unwrap(), port));
    Client::at(CLIENT.parse().unwrap(), server)
}

/// Asks until somebody answers: the first packets may still find no way.
fn wait_for_answer(client: &Client) {
    let patience = client.socket.read_timeout().unwrap();
    let short = Some(Duration::from_millis(100));
    client.socket.set_read_timeout(short).unwrap();
    super::until("answered again", || {
        // Refused with an error while there is no way.
        let sent = client.socket.send(&connect_request(1));
        sent.is_ok() && client.socket.recv(&mut [0; 64]).is_ok()
    });
    while client.socket.recv(&mut [0; 64]).is_ok() {}
    client.socket.set_read_timeout(patience).unwrap();
}

fn expect_nobody(client: &Client) {
    let patience = client.socket.read_timeout().unwrap();
    let short = Some(Duration::from_millis(300));
    client.socket.set_read_timeout(short).unwrap();
    let _ = client.socket.send(&connect_request(1));
    assert!(client.socket.recv(&mut [0; 64]).is_err());
    client.socket.set_read_timeout(patience).unwrap();
}

fn on_a_cable(test: impl FnOnce(&Cable) + Send) {
    // The thread that leaves the network of the host is not used again.
    thread::scope(|scope| {
        let work = move || match Cable::lay() {
            Ok(cable) => test(&cable),
            Err(why) => {
                println!("skipped: this host does not let us lay a cable between networks: {why}");
            }
        };
        scope.spawn(work).join().unwrap();
    });
}

#[test]
fn links_and_addresses_that_go_and_come_back_need_no_restart() {
    on_a_cable(|cable| {
        for backend in ["io_uring", "mmsg"] {
            let specific = format!("udp.listen={TRACKER}:7001");
            let http = format!("http.listen={TRACKER}:7002");
            let backend = format!("workers.backend={backend}");
            // Wildcard sockets answer from the address that was asked.
            let both = format!("{specific},0.0.0.0:7003,[::]:7004");
            let mut tracker =
                cable.start(&[&both, &http, ANY_CONTROL, "workers.count=2", &backend]);
            tracker.wait_for_log("HTTP runs on", PATIENCE);
            let clients = [client(7001), client(7003)];
            let mut ids = Vec::new();
            for client in &clients {
                wait_for_answer(client);
                ids.push(client.connect());
            }
            let web = SocketAddr::from((TRACKER.parse::<Ipv4Addr>().unwrap(), 7002));
            let mut browser = Browser::of(web);
            browser.expect_open();
            for (down, up) in [
                ("ip link set far down", "ip link set far up"),
                (
                    "ip addr del 10.77.0.1/24 dev far",
                    "ip addr add 10.77.0.1/24 dev far",
                ),
                ("ip link set lo down", "ip link set lo up"),
            ] {
                cable.far(down);
                for client in &clients {
                    if down.contains("far") {
                        expect_nobody(client);
                    }
                }
                cable.far(up);
                for (client, id) in clients.iter().zip(&ids) {
                    wait_for_answer(client);
                    expect_served_at(client, *id);
                    let rows = client.scrape(*id, &[info_hash(1)]);
                    assert_eq!(rows, [(0, 0, 1)]);
                }
                assert_eq!(Browser::of(web).get("/health_check").status, 200);
            }
            // The connection of before, over all of it.
            browser.expect_open();
            tracker.stop();
        }
    });
}

#[test]
fn an_answer_that_finds_no_way_is_counted_and_the_next_one_goes() {
    on_a_cable(|cable| {
        let mut tracker = cable.start(&["udp.listen=0.0.0.0:7003", "workers.count=1"]);
        let client = client(7003);
        wait_for_answer(&client);
        let id = client.connect();
        // It hears the client, from wherever it is, and knows no way back.
        for device in ["all", "far"] {
            let filter = format!("/proc/sys/net/ipv4/conf/{device}/rp_filter");
            cable.far(&format!("echo 0 > {filter}"));
        }
        cable.far("ip route add unreachable 10.77.0.2/32");
        let announce = Announce::leecher(info_hash(7), 1001);
        client.send(&announce.to_bytes(id));
        let counted = |tracker: &mut TrackerProcess| {
            let lines = tracker.stderr_so_far().matches("total: ").count();
            tracker.signal(nix::sys::signal::Signal::SIGUSR1);
            super::until("reported", || {
                tracker.stderr_so_far().matches("total: ").count() > lines
            });
            let said = tracker.stderr_so_far();
            let line = said.lines().rfind(|line| line.contains("total: "));
            line.unwrap().contains("send_failed")
        };
        super::until("send_failed", || counted(&mut tracker));
        cable.far("ip route del unreachable 10.77.0.2/32");
        wait_for_answer(&client);
        assert_eq!(client.scrape(id, &[info_hash(7)]), [(0, 0, 1)]);
        tracker.stop();
    });
}
