//! The effective configuration as a file that a person can keep, change and give back.

use super::Config;
use super::key::Key;
use super::schema::{SECTIONS, Section, Shape};
use super::value::quoted;

const HEAD: &str = "\
Configuration of Shoal, as printed by `shoal config print`.

Every key is shown with the value that rules; a line that begins with # and no blank is a key
that is not given. An environment variable such as SHOAL_ANNOUNCE__INTERVAL=900 wins over this
file, and --set announce.interval=900 on the command line over both. Secrets are printed too,
because this reads back as the same configuration: show it to nobody else.";

impl Config {
    /// The configuration as commented TOML. Reading it gives an equal configuration, but for
    /// [`UdpListener::required`](super::UdpListener::required),
    /// [`HttpListener::required`](super::HttpListener::required) and
    /// [`Control::required`](super::Control::required), which are true for every listener of a file.
    /// Secrets are in it.
    pub fn print(&self) -> String {
        let defaults = Self::default();
        let mut page = comment(HEAD);
        let (empty, filled): (Vec<_>, Vec<_>) = SECTIONS
            .iter()
            .map(|section| (section, self.rows(section)))
            .partition(|&(_, rows)| rows == 0);
        // Below the first header these would be keys of its section.
        for (section, _) in empty {
            page.push('\n');
            page.push_str(&comment(section.doc));
            page.extend([section.name, " = []\n"]);
        }
        for (section, rows) in filled {
            page.push('\n');
            page.push_str(&comment(section.doc));
            for row in 0..rows {
                page.push_str(&section.header());
                page.push('\n');
                let is_table = |key: &&Key| key.as_secrets().is_some();
                for key in section.keys.iter().filter(|key| !is_table(key)) {
                    self.print_key(&mut page, key, row, &defaults);
                }
                // A header ends the keys of the section.
                for key in section.keys.iter().filter(is_table) {
                    self.print_secrets(&mut page, section, key);
                }
            }
        }
        page
    }

    /// How many rows `section` has; a `[section]` is one.
    fn rows(&self, section: &Section) -> usize {
        match &section.shape {
            Shape::Table => 1,
            Shape::Tables(rows) => (rows.count)(self),
        }
    }

    /// A table of its own, since anybody may add to it.
    fn print_secrets(&self, page: &mut String, section: &Section, key: &Key) {
        let Some(table) = key.as_secrets() else {
            return;
        };
        page.push('\n');
        page.push_str(&comment(&format!(
            "{}\n{}.",
            key.doc,
            capitalised(&key.allowed())
        )));
        page.extend(["[", section.name, ".", key.name, "]\n"]);
        let secrets = (table.get)(self);
        if secrets.is_empty() {
            page.push_str("#admin = \"...\"\n");
        }
        for (name, secret) in secrets {
            page.extend([name, " = ", &quoted(secret.expose()), "\n"]);
        }
    }

    /// The first row explains its keys, and shows those too that are not given.
    fn print_key(&self, page: &mut String, key: &Key, row: usize, defaults: &Self) {
        if row == 0 {
            page.push_str(&comment(&explained(key, defaults)));
        }
        let is_present = key.is_present(self, row);
        if is_present || row == 0 {
            let absent = if is_present { "" } else { "#" };
            let value = key.print(self, row);
            page.extend([absent, key.name, " = ", &value, "\n"]);
        }
    }
}

/// What `key` is for and what it allows, with the keys in it.
fn explained(key: &Key, defaults: &Config) -> String {
    let mut text = format!("{}\n{}\n", key.doc, range(key, defaults));
    let inner = key.as_inner().map_or(&[][..], |inner| inner.keys);
    for key in inner {
        text.extend(["  ", key.name, ":\n"]);
        for line in explained(key, defaults).lines() {
            text.extend(["    ", line, "\n"]);
        }
    }
    text
}

/// What `key` allows and has by default, as a sentence. What a listener has by default is what
/// those have that nobody wrote down.
fn range(key: &Key, defaults: &Config) -> String {
    let allowed = key.allowed();
    let default = if key.is_needed {
        String::new()
    } else if key.is_present(defaults, 0) {
        format!("; default {}", key.print(defaults, 0))
    } else {
        "; by default not given".into()
    };
    format!("{}{default}.", capitalised(&allowed))
}

fn capitalised(phrase: &str) -> String {
    let (first, rest) = phrase.split_at(1);
    format!("{}{rest}", first.to_uppercase())
}

fn comment(text: &str) -> String {
    text.lines()
        .map(|line| format!("# {line}").trim_end().to_owned() + "\n")
        .collect()
}
