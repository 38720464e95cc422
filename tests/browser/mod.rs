//! A real Chromium without a screen, driven over the `WebDriver` protocol by its own driver. Both end with
//! their owner.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses its own part of this"
)]

mod axe;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A browser on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sees whether all texts can be read: the least contrast, and whose it is.
const LEAST_CONTRAST: &str = r"
    const rgba = (text) => { const n = text.match(/[\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
    const light = ([r, g, b]) => { const f = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
        return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
    let least = [99, ''];
    for (const element of document.querySelectorAll('body *')) {
        const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
        if (!own || element.closest('svg') || !element.getClientRects().length) continue;
        let behind = element;
        while (behind.parentElement && rgba(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
        const pair = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map((c) => light(rgba(c)));
        const contrast = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        if (contrast < least[0]) least = [contrast, element.outerHTML.slice(0, 200)];
    }
    return least;";

/// What a page is looked at on.
pub(crate) struct Screen {
    pub(crate) name: &'static str,
    scheme: &'static str,
    width: u32,
    is_phone: bool,
}

/// A desktop and a phone, in both colours.
pub(crate) const SCREENS: [Screen; 4] = {
    const DESK: Screen = Screen {
        name: "light",
        scheme: "light",
        width: 1280,
        is_phone: false,
    };
    const PHONE: Screen = Screen {
        name: "phone-light",
        width: 390,
        is_phone: true,
        ..DESK
    };
    let (name, scheme) = ("dark", "dark");
    let dark = Screen {
        name,
        scheme,
        ..DESK
    };
    let name = "phone-dark";
    let phone_dark = Screen {
        name,
        scheme,
        ..PHONE
    };
    [DESK, dark, PHONE, phone_dark]
};

pub(crate) struct Chromium {
    driver: Child,
    address: SocketAddr,
    session: String,
}

impl Chromium {
    /// Starts a browser.
    pub(crate) fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("scripts/test.sh installs chromium-driver");
        let stdout = driver.stdout.take().unwrap();
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        let port: u16 = port.expect("chromedriver says its port");
        // What it says later is read too, so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        let mut browser = Self {
            driver,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            session: String::new(),
        };
        let mut arguments = vec![
            "--headless=new",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1280,900",
        ];
        if nix::unistd::geteuid().is_root() {
            // Its sandbox refuses to run as root; the pages are our own.
            arguments.push("--no-sandbox");
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let session = browser.ask("/session", &wanted);
        session["sessionId"]
            .as_str()
            .expect("a session")
            .clone_into(&mut browser.session);
        browser
    }

    fn ask(&self, path: &str, body: &Value) -> Value {
        let said = self.speak("POST", path, &body.to_string());
        let mut said = said.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(said["value"]["error"].is_null(), "{path}: {said}");
        said["value"].take()
    }

    fn speak(&self, method: &str, path: &str, body: &str) -> io::Result<Value> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (host, len) = (self.address, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Content-Length: {len}\r\n\r\n{body}"
        );
        stream.write_all(head.as_bytes())?;
        let mut reader = BufReader::new(stream);
        let mut len = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
                break;
            }
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    len = value.trim().parse().map_err(io::Error::other)?;
                }
                _ => {}
            }
        }
        let mut said = vec![0; len];
        reader.read_exact(&mut said)?;
        Ok(serde_json::from_slice(&said)?)
    }

    fn command(&self, name: &str, body: &Value) -> Value {
        self.ask(&format!("/session/{}/{name}", self.session), body)
    }

    /// Goes to a page and waits until it is loaded.
    pub(crate) fn go(&self, url: &str) {
        self.command("url", &json!({ "url": url }));
    }

    /// What a script within the page returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.command("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The text of an element.
    pub(crate) fn text(&self, id: &str) -> String {
        let text = self.run(&format!(
            "return document.getElementById('{id}').textContent"
        ));
        text.as_str().expect("a text").to_owned()
    }

    /// A command of the protocol that the browser's own tools use.
    pub(crate) fn tool(&self, name: &str, parameters: &Value) -> Value {
        self.command(
            "goog/cdp/execute",
            &json!({ "cmd": name, "params": parameters }),
        )
    }

    /// The element that a selector of CSS finds first.
    fn element(&self, selector: &str) -> String {
        let wanted = json!({ "using": "css selector", "value": selector });
        let found = self.command("element", &wanted);
        let mut ids = found.as_object().expect("an element").values();
        let id = ids.next().and_then(Value::as_str);
        id.expect("an element has an id").to_owned()
    }

    /// Clicks on what leads to another page and waits until that is loaded: a click may end before the browser
    /// has left.
    pub(crate) fn click(&self, selector: &str) {
        self.run("window.isOld = true");
        let id = self.element(selector);
        self.command(&format!("element/{id}/click"), &json!({}));
        let path = format!("/session/{}/execute/sync", self.session);
        let is_there = "return !window.isOld && document.readyState === 'complete'";
        let body = json!({ "script": is_there, "args": [] }).to_string();
        let since = Instant::now();
        // A script that runs while the page goes is an error.
        while self.speak("POST", &path, &body).unwrap()["value"] != Value::Bool(true) {
            assert!(since.elapsed() < PATIENCE, "{selector} leads nowhere");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses the keys of a text while an element has the focus.
    pub(crate) fn keys(&self, selector: &str, text: &str) {
        let id = self.element(selector);
        self.command(&format!("element/{id}/value"), &json!({ "text": text }));
    }

    /// Shows pages on such a screen from now on.
    pub(crate) fn show_on(&self, screen: &Screen) {
        self.look_like(screen.scheme, screen.width, screen.is_phone);
    }

    /// The page is no wider than the screen, and all its texts stand out enough.
    pub(crate) fn expect_readable(&self, name: &str) {
        let too_wide = self.run("return document.documentElement.scrollWidth > innerWidth");
        assert_eq!(too_wide, Value::Bool(false), "{name} scrolls sideways");
        let least = self.run(LEAST_CONTRAST);
        assert!(least[0].as_f64().unwrap() >= 4.5, "{name}: {least}");
    }

    /// What the page and the browser wrote to the console since the last time.
    pub(crate) fn console(&self) -> Vec<Value> {
        let log = self.command("se/log", &json!({ "type": "browser" }));
        log.as_array().expect("a list").clone()
    }

    /// The whole page as a PNG.
    pub(crate) fn screenshot(&self) -> Vec<u8> {
        let parameters = json!({ "format": "png", "captureBeyondViewport": true });
        let shot = self.tool("Page.captureScreenshot", &parameters);
        from_base64(shot["data"].as_str().expect("a picture"))
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // The browser ends with its session.
            let _ = self.speak("DELETE", &format!("/session/{}", self.session), "");
        }
        // SIGTERM lets the driver end its browser; a kill would leave it behind.
        let id = i32::try_from(self.driver.id()).expect("process ids are small");
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(id),
            nix::sys::signal::Signal::SIGTERM,
        );
        let _ = self.driver.wait();
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("{byte} is no digit of base 64"),
    };
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| *byte != b'=')
        .map(digit)
        .collect();
    digits
        .chunks(4)
        .flat_map(|digits| {
            let word = digits
                .iter()
                .fold(0_u32, |word, digit| word << 6 | u32::from(*digit));
            let bytes = (word << (6 * (4 - digits.len()))).to_be_bytes();
            bytes[1..digits.len()].to_vec()
        })
        .collect()
}
