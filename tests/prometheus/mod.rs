//! A real Prometheus that scrapes a tracker, and `promtool`.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses its own part of this"
)]

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::http::{Browser, escaped};

/// How long Prometheus may take to start, or a value to appear.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks at what has no event to wait for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Runs `promtool` with this input; what it says, if it finds fault.
pub fn promtool(arguments: &[&str], input: &str) -> Result<(), String> {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed; scripts/test.sh does it");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() {
        Ok(())
    } else {
        Err(said)
    }
}

/// A server in a folder of its own, which goes with it.
pub struct Prometheus {
    process: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Prometheus {
    /// Scrapes this target every second, and evaluates these rules.
    pub fn scraping(target: SocketAddr, rules: &Path) -> Self {
        let mut folder = TempDir::new().unwrap();
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\n\
             rule_files: [\"{}\"]\n\
             scrape_configs:\n- job_name: shoal\n  static_configs:\n  - targets: [\"{target}\"]\n",
            rules.display()
        );
        fs::write(&config, text).unwrap();
        // Somebody may take the port meanwhile.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
            let address = address.unwrap();
            let log = fs::File::create(folder.path().join("log")).unwrap();
            let process = Command::new("prometheus")
                .arg(format!("--config.file={}", config.display()))
                .arg(format!(
                    "--storage.tsdb.path={}",
                    folder.path().join("data").display()
                ))
                .arg(format!("--web.listen-address={address}"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .expect("prometheus is installed; scripts/test.sh does it");
            let mut server = Self {
                process,
                address,
                folder,
            };
            if server.is_ready() {
                return server;
            }
            folder = std::mem::replace(&mut server.folder, TempDir::new().unwrap());
        }
        panic!("prometheus does not start");
    }

    /// False when it has ended instead.
    fn is_ready(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(self.address).is_ok()
                && self.ask("/-/ready").starts_with("HTTP/1.0 200")
            {
                return true;
            }
            thread::sleep(LOOK_AGAIN);
        }
        panic!("prometheus is never ready: {}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Head and body of a page.
    pub fn ask(&self, target: &str) -> String {
        let mut browser = Browser::of(self.address);
        browser.send(format!("GET {target} HTTP/1.0\r\nHost: t\r\n\r\n").as_bytes());
        String::from_utf8(browser.rest()).unwrap()
    }

    /// What the API answers.
    pub fn api(&self, target: &str) -> Value {
        let page = self.ask(&format!("/api/v1/{target}"));
        let (_, body) = page.split_once("\r\n\r\n").expect("a head and a body");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {page}"))
    }

    /// The values of an expression now.
    pub fn query(&self, expression: &str) -> Result<Vec<f64>, String> {
        let answer = self.api(&format!("query?query={}", escaped(expression.as_bytes())));
        if answer["status"] != "success" {
            return Err(answer.to_string());
        }
        let number = |value: &Value| value[1].as_str().unwrap().parse().unwrap();
        let result = &answer["data"]["result"];
        if answer["data"]["resultType"] == "scalar" {
            return Ok(vec![number(result)]);
        }
        let rows = result.as_array().unwrap();
        Ok(rows.iter().map(|row| number(&row["value"])).collect())
    }

    /// Waits until an expression has values of which this holds.
    pub fn wait_until(&self, expression: &str, holds: impl Fn(&[f64]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let values = self.query(expression).unwrap();
            if holds(&values) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{expression} is {values:?}; targets: {}; log: {}",
                self.api("targets"),
                self.log()
            );
            thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
