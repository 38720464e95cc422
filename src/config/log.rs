//! What of the log is written: a level, and others for modules that are named.

use std::fmt;

use log::LevelFilter;

/// Levels in the way of `env_logger`: one for everything, and behind commas those of modules, such as
/// `info,shoal::http=debug`. The longest name that fits a module rules. What no name fits and no level
/// of its own rules is written from `info` on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Levels {
    /// The level of everything that is not named.
    pub others: LevelFilter,
    /// Modules, in the order in which they were named, each with its level.
    pub modules: Vec<(String, LevelFilter)>,
}

impl Default for Levels {
    fn default() -> Self {
        Self {
            others: LevelFilter::Info,
            modules: Vec::new(),
        }
    }
}

impl Levels {
    /// Reads the text of a configuration; `None` for an unknown level, an odd name, or two levels for
    /// everything. A lone word is a level and never a module, so that a misspelt level is found out.
    pub fn parse(text: &str) -> Option<Self> {
        let mut others = None;
        let mut modules = Vec::new();
        for item in text.split(',').map(str::trim) {
            match item.split_once('=') {
                None if others.is_some() => return None,
                None => others = Some(item.parse().ok()?),
                Some((module, level)) => {
                    let odd =
                        |letter: char| !(letter.is_ascii_alphanumeric() || "_:".contains(letter));
                    let (module, level) = (module.trim(), level.trim());
                    if module.is_empty() || module.contains(odd) {
                        return None;
                    }
                    modules.push((module.to_owned(), level.parse().ok()?));
                }
            }
        }
        let others = others.unwrap_or(LevelFilter::Info);
        Some(Self { others, modules })
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", name(self.others))?;
        let mut modules = self.modules.iter();
        modules.try_for_each(|(module, level)| write!(f, ",{module}={}", name(*level)))
    }
}

fn name(level: LevelFilter) -> String {
    level.as_str().to_lowercase()
}

/// How a line of the log looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people: time, level, sentence.
    #[default]
    Text,
    /// For programs: an object of time, level, target and message on each line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_and_printed_as_they_were_meant() {
        for (text, printed) in [
            ("info", "info"),
            ("WARN", "warn"),
            ("off", "off"),
            (" debug , shoal::http = trace ", "debug,shoal::http=trace"),
            ("shoal::store=debug", "info,shoal::store=debug"),
            ("shoal=warn,error,rustls=off", "error,shoal=warn,rustls=off"),
        ] {
            let levels = Levels::parse(text).expect(text);
            assert_eq!(levels.to_string(), printed);
            assert_eq!(Levels::parse(printed), Some(levels));
        }
    }

    #[test]
    fn a_misspelt_level_is_no_module() {
        for text in [
            "",
            "loud",
            "info,warn",
            "shoal=",
            "=info",
            "shoal=loud",
            "info,",
            "a b=info",
            "shoal/x",
        ] {
            assert_eq!(Levels::parse(text), None, "{text:?}");
        }
    }
}
