//! The effective configuration as a file that a person can keep, change and give back.

use super::Config;
use super::key::Key;
use super::schema::{SECTIONS, Section, Shape};

const HEAD: &str = "\
Configuration of Shoal, as printed by `shoal config print`.

Every key is shown with the value that rules; a line that begins with # and no blank is a key
that is not given. An environment variable such as SHOAL_ANNOUNCE__INTERVAL=900 wins over this
file, and --set announce.interval=900 on the command line over both.";

impl Config {
    /// The configuration as commented TOML. Reading it gives an equal configuration, but for
    /// [`required`](super::UdpListener::required), which is true for every listener of a file.
    pub fn print(&self) -> String {
        let defaults = Self::default();
        let mut page = comment(HEAD);
        for section in SECTIONS {
            page.push('\n');
            page.push_str(&comment(section.doc));
            let rows = match &section.shape {
                Shape::Table => 1,
                Shape::Tables(rows) => (rows.count)(self),
            };
            for row in 0..rows {
                page.push_str(&section.header());
                page.push('\n');
                for key in section.keys {
                    if row == 0 {
                        page.push_str(&comment(key.doc));
                        page.push_str(&comment(&range(section, key, &defaults)));
                    }
                    let absent = if key.is_present(self) { "" } else { "#" };
                    let value = key.print(self, row);
                    page.extend([absent, key.name, " = ", &value, "\n"]);
                }
            }
        }
        page
    }
}

/// What `key` allows and has by default, as a sentence.
fn range(section: &Section, key: &Key, defaults: &Config) -> String {
    let allowed = key.allowed();
    let (first, rest) = allowed.split_at(1);
    let default = match section.shape {
        // How many rows there are by default is told by the section.
        Shape::Tables(_) => String::new(),
        Shape::Table if key.is_present(defaults) => {
            format!("; default {}", key.print(defaults, 0))
        }
        Shape::Table => "; by default not given".into(),
    };
    format!("{}{rest}{default}.", first.to_uppercase())
}

fn comment(text: &str) -> String {
    text.lines()
        .map(|line| format!("# {line}").trim_end().to_owned() + "\n")
        .collect()
}
