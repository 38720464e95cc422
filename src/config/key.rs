//! What a key of the schema can hold, and the ways between that and a text.

use super::Config;
use super::value::{Value, print_size, quoted, shown};

/// A key of a section.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// What it does, in which unit, and why one would change it; printed above it.
    pub(super) doc: &'static str,
    kind: Kind,
    /// Whether the configuration names it, for a key that may be absent. What `get` returns for an
    /// absent key is the value that rules instead.
    present: fn(&Config) -> bool,
}

/// What a key holds, and where. Closures over texts take the row of a `[[section]]`; it is 0 in a
/// `[section]`.
enum Kind {
    /// A whole number.
    Whole {
        least: u64,
        most: u64,
        get: fn(&Config) -> u64,
        set: fn(&mut Config, u64),
    },
    /// A number with a fraction.
    Fraction {
        least: f64,
        most: f64,
        get: fn(&Config) -> f64,
        set: fn(&mut Config, f64),
    },
    /// True or false.
    Switch {
        get: fn(&Config) -> bool,
        set: fn(&mut Config, bool),
    },
    /// Bytes.
    Size {
        most: u64,
        get: fn(&Config) -> u64,
        set: fn(&mut Config, u64),
    },
    /// A text that `set` understands, or returns `None`.
    Text {
        allowed: &'static str,
        get: fn(&Config, usize) -> String,
        set: fn(&mut Config, usize, &str) -> Option<()>,
    },
    /// A list of texts; `set` returns the first that it does not understand.
    List {
        allowed: &'static str,
        get: fn(&Config) -> Vec<String>,
        set: for<'a> fn(&mut Config, &[&'a str]) -> Result<(), &'a str>,
    },
}

impl Key {
    const fn new(name: &'static str, doc: &'static str, kind: Kind) -> Self {
        Self {
            name,
            doc,
            kind,
            present: |_| true,
        }
    }

    pub(super) const fn whole(
        name: &'static str,
        doc: &'static str,
        (least, most): (u64, u64),
        get: fn(&Config) -> u64,
        set: fn(&mut Config, u64),
    ) -> Self {
        let kind = Kind::Whole {
            least,
            most,
            get,
            set,
        };
        Self::new(name, doc, kind)
    }

    pub(super) const fn fraction(
        name: &'static str,
        doc: &'static str,
        (least, most): (f64, f64),
        get: fn(&Config) -> f64,
        set: fn(&mut Config, f64),
    ) -> Self {
        let kind = Kind::Fraction {
            least,
            most,
            get,
            set,
        };
        Self::new(name, doc, kind)
    }

    pub(super) const fn switch(
        name: &'static str,
        doc: &'static str,
        get: fn(&Config) -> bool,
        set: fn(&mut Config, bool),
    ) -> Self {
        Self::new(name, doc, Kind::Switch { get, set })
    }

    pub(super) const fn size(
        name: &'static str,
        doc: &'static str,
        most: u64,
        get: fn(&Config) -> u64,
        set: fn(&mut Config, u64),
    ) -> Self {
        Self::new(name, doc, Kind::Size { most, get, set })
    }

    pub(super) const fn text(
        name: &'static str,
        doc: &'static str,
        allowed: &'static str,
        get: fn(&Config, usize) -> String,
        set: fn(&mut Config, usize, &str) -> Option<()>,
    ) -> Self {
        Self::new(name, doc, Kind::Text { allowed, get, set })
    }

    pub(super) const fn list(
        name: &'static str,
        doc: &'static str,
        allowed: &'static str,
        get: fn(&Config) -> Vec<String>,
        set: for<'a> fn(&mut Config, &[&'a str]) -> Result<(), &'a str>,
    ) -> Self {
        Self::new(name, doc, Kind::List { allowed, get, set })
    }

    pub(super) const fn present_when(mut self, present: fn(&Config) -> bool) -> Self {
        self.present = present;
        self
    }

    /// What it allows, as a phrase that follows "must be".
    pub(super) fn allowed(&self) -> String {
        match self.kind {
            Kind::Whole { least, most, .. } => format!("a whole number from {least} to {most}"),
            Kind::Fraction { least, most, .. } => format!("a number from {least:?} to {most:?}"),
            Kind::Switch { .. } => "true or false".into(),
            Kind::Size { most, .. } => {
                format!(
                    "a size of at most {}, such as \"64 MiB\" or 0",
                    print_size(most)
                )
            }
            Kind::Text { allowed, .. } | Kind::List { allowed, .. } => allowed.into(),
        }
    }

    /// Writes `value` into `row` of `config`, or says in a phrase that follows the name of the key
    /// what is wrong with it.
    pub(super) fn read(
        &self,
        config: &mut Config,
        row: usize,
        value: Value<'_>,
    ) -> Result<(), String> {
        let done = match self.kind {
            Kind::Whole {
                least, most, set, ..
            } => value
                .whole()
                .filter(|whole| (least..=most).contains(whole))
                .map(|whole| set(config, whole)),
            Kind::Fraction {
                least, most, set, ..
            } => value
                .fraction()
                // NaN is in no range.
                .filter(|fraction| (least..=most).contains(fraction))
                .map(|fraction| set(config, fraction)),
            Kind::Switch { set, .. } => value.switch().map(|switch| set(config, switch)),
            Kind::Size { most, set, .. } => value
                .size()
                .filter(|&bytes| bytes <= most)
                .map(|bytes| set(config, bytes)),
            Kind::Text { set, .. } => value.text().and_then(|text| set(config, row, text)),
            Kind::List { set, .. } => match value.list().map(|list| set(config, &list)) {
                Some(Ok(())) => Some(()),
                Some(Err(item)) => return Err(self.refusal(&shown(item))),
                None => None,
            },
        };
        done.ok_or_else(|| self.refusal(&value.shown()))
    }

    fn refusal(&self, given: &str) -> String {
        format!("must be {}, not {given}", self.allowed())
    }

    /// Whether `config` names it; else [`Key::print`] gives what rules instead.
    pub(super) fn is_present(&self, config: &Config) -> bool {
        (self.present)(config)
    }

    /// Its value in `row` of `config`, in TOML.
    pub(super) fn print(&self, config: &Config, row: usize) -> String {
        match self.kind {
            Kind::Whole { get, .. } => get(config).to_string(),
            // {:?} keeps the ".0" that makes it a float, and every digit that matters.
            Kind::Fraction { get, .. } => format!("{:?}", get(config)),
            Kind::Switch { get, .. } => get(config).to_string(),
            Kind::Size { get, .. } => quoted(&print_size(get(config))),
            Kind::Text { get, .. } => quoted(&get(config, row)),
            Kind::List { get, .. } => {
                let items: Vec<String> = get(config).iter().map(|item| quoted(item)).collect();
                format!("[{}]", items.join(", "))
            }
        }
    }
}
