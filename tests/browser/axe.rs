//! axe-core, which finds what keeps people from using a page.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::Chromium;

/// scripts/lib/axe.sh fetches the same version.
static AXE: LazyLock<String> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe-core-4.10.3/axe.min.js");
    let read = fs::read_to_string(&path);
    read.unwrap_or_else(|error| {
        panic!(
            "{}: {error}; scripts/test.sh fetches axe-core",
            path.display()
        )
    })
});

/// Everything that WCAG 2.2 asks for up to level AA and a program can see, and what is good practice.
const RUN: &str = "return axe.run(document, {
        resultTypes: ['violations'],
        runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    }).then((found) => ({
        passes: found.passes.length,
        violations: found.violations.flatMap((rule) => rule.nodes.map((node) =>
            `${rule.id}: ${rule.help}: ${node.html.slice(0, 200)}: ${node.failureSummary}`)),
    }));";

impl Chromium {
    /// What is wrong with the page, a sentence each.
    pub(crate) fn barriers(&self) -> Vec<String> {
        self.run(&AXE);
        let mut found = self.run(RUN);
        let passed = found["passes"].as_u64().unwrap_or(0);
        assert!(passed > 5, "axe-core has hardly looked: {found}");
        serde_json::from_value(found["violations"].take()).expect("sentences")
    }

    /// Shows pages as on a screen of this width, in these colours.
    pub(crate) fn look_like(&self, scheme: &str, width: u32, is_phone: bool) {
        let colours = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.tool("Emulation.setEmulatedMedia", &colours);
        let screen =
            json!({ "width": width, "height": 850, "deviceScaleFactor": 1, "mobile": is_phone });
        self.tool("Emulation.setDeviceMetricsOverride", &screen);
    }

    /// The status that the page was answered with.
    pub(crate) fn status(&self) -> u64 {
        let status =
            self.run("return performance.getEntriesByType('navigation')[0].responseStatus");
        status.as_u64().expect("a status")
    }

    /// The path and query of the page.
    pub(crate) fn path(&self) -> String {
        let path = self.run("return location.pathname + location.search");
        path.as_str().expect("a path").to_owned()
    }

    /// Types a text into what has the focus.
    pub(crate) fn write(&self, text: &str) {
        self.tool("Input.insertText", &json!({ "text": text }));
    }

    /// Presses a key: `Tab` or `Enter`.
    pub(crate) fn press(&self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, Value::Null),
            "Enter" => (13, json!("\r")),
            other => panic!("no key is called {other}"),
        };
        let mut event =
            json!({ "type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code });
        if !text.is_null() {
            event["text"] = text;
        }
        self.tool("Input.dispatchKeyEvent", &event);
        event["type"] = json!("keyUp");
        self.tool("Input.dispatchKeyEvent", &event);
    }
}
