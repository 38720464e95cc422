//! What a key of the schema can hold, and the ways between that and a text.

use super::Config;
use super::nearest::listed;
use super::secret::{MASK, NAME_LEN_MAX, SECRETS_MAX, Secret, Secrets, is_name};
use super::value::{Value, print_size, quoted, shortened, shown};

/// A key of a section.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// What it does, in which unit, and why one would change it; printed above it.
    pub(super) doc: &'static str,
    /// Whether its table makes no sense without it.
    pub(super) is_needed: bool,
    /// Whether messages keep its value to themselves.
    is_secret: bool,
    kind: Kind,
    /// Whether the configuration names it, for a key that may be absent. What `get` returns for an
    /// absent key is the value that rules instead, or an example where none does.
    present: fn(&Config, usize) -> bool,
}

/// What a key holds, and where. Closures over what a `[[section]]` can hold take the row of it; it
/// is 0 in a `[section]`.
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
        get: fn(&Config, usize) -> bool,
        set: fn(&mut Config, usize, bool),
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
        get: fn(&Config, usize) -> Vec<String>,
        set: for<'a> fn(&mut Config, usize, &[&'a str]) -> Result<(), &'a str>,
    },
    /// Keys of its own.
    Inner(Inner),
    /// Secrets under names of somebody's choice.
    Secrets(SecretTable),
}

/// A table in a section: `name = { key = value }`, or `[section.name]`.
#[derive(Clone, Copy)]
pub(super) struct Inner {
    pub(super) keys: &'static [Key],
    /// Makes the table, with what rules where it leaves a key out.
    pub(super) open: fn(&mut Config, usize),
}

/// A table in a `[section]` whose names somebody chooses: `[section.name]`.
#[derive(Clone, Copy)]
pub(super) struct SecretTable {
    /// What a secret must be, as a phrase that follows "must be".
    allowed: &'static str,
    is_allowed: fn(&str) -> bool,
    pub(super) get: fn(&Config) -> &Secrets,
    get_mut: fn(&mut Config) -> &mut Secrets,
}

impl SecretTable {
    /// Writes the secret `name` into `config`, or says in a phrase that follows the name what is wrong.
    pub(super) fn read(
        &self,
        config: &mut Config,
        name: &str,
        value: Value<'_>,
    ) -> Result<(), String> {
        if !is_name(name) {
            return Err(format!(
                "has a name that is not 1 to {NAME_LEN_MAX} of A-Z, a-z, 0-9, _ and -"
            ));
        }
        let secrets = (self.get_mut)(config);
        if let Value::Text(text) = value
            && text.trim().is_empty()
        {
            secrets.remove(name);
            return Ok(());
        }
        let secret = value.text().filter(|text| (self.is_allowed)(text));
        // What it is instead is nobody's business: it may be the secret but for a slip.
        let secret = secret.ok_or_else(|| format!("must be {}", self.allowed))?;
        if secrets.len() >= SECRETS_MAX && !secrets.contains_key(name) {
            return Err(format!("is one too many; there may be {SECRETS_MAX}"));
        }
        secrets.insert(name.to_owned(), Secret::new(secret));
        Ok(())
    }

    /// The secret `name` as messages call it, for a name that may be anything.
    pub(super) fn shown_name(name: &str) -> String {
        if is_name(name) {
            name.to_owned()
        } else {
            format!("\"{}\"", shortened(name))
        }
    }
}

impl Key {
    const fn new(name: &'static str, doc: &'static str, kind: Kind) -> Self {
        Self {
            name,
            doc,
            is_needed: false,
            is_secret: false,
            kind,
            present: |_, _| true,
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
        get: fn(&Config, usize) -> bool,
        set: fn(&mut Config, usize, bool),
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
        get: fn(&Config, usize) -> Vec<String>,
        set: for<'a> fn(&mut Config, usize, &[&'a str]) -> Result<(), &'a str>,
    ) -> Self {
        Self::new(name, doc, Kind::List { allowed, get, set })
    }

    /// A table that is absent unless `present`.
    pub(super) const fn inner(
        name: &'static str,
        doc: &'static str,
        keys: &'static [Key],
        open: fn(&mut Config, usize),
        present: fn(&Config, usize) -> bool,
    ) -> Self {
        Self::new(name, doc, Kind::Inner(Inner { keys, open })).present_when(present)
    }

    /// A table of secrets that each pass `is_allowed`.
    pub(super) const fn secrets(
        name: &'static str,
        doc: &'static str,
        allowed: &'static str,
        is_allowed: fn(&str) -> bool,
        get: fn(&Config) -> &Secrets,
        get_mut: fn(&mut Config) -> &mut Secrets,
    ) -> Self {
        let table = SecretTable {
            allowed,
            is_allowed,
            get,
            get_mut,
        };
        Self::new(name, doc, Kind::Secrets(table)).secret()
    }

    pub(super) const fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    pub(super) const fn needed(mut self) -> Self {
        self.is_needed = true;
        self
    }

    pub(super) const fn present_when(mut self, present: fn(&Config, usize) -> bool) -> Self {
        self.present = present;
        self
    }

    /// Whether messages keep its value to themselves.
    pub(super) fn is_secret(&self) -> bool {
        self.is_secret
    }

    /// The table that it is, if it is one.
    pub(super) fn as_inner(&self) -> Option<Inner> {
        match self.kind {
            Kind::Inner(inner) => Some(inner),
            _ => None,
        }
    }

    /// The table of secrets that it is, if it is one.
    pub(super) fn as_secrets(&self) -> Option<SecretTable> {
        match self.kind {
            Kind::Secrets(table) => Some(table),
            _ => None,
        }
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
            Kind::Inner(Inner { keys, .. }) => {
                format!("a table of {}", listed(keys.iter().map(|key| key.name)))
            }
            Kind::Secrets(SecretTable { allowed, .. }) => {
                format!("a table of names, each with {allowed}")
            }
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
            Kind::Switch { set, .. } => value.switch().map(|switch| set(config, row, switch)),
            Kind::Size { most, set, .. } => value
                .size()
                .filter(|&bytes| bytes <= most)
                .map(|bytes| set(config, bytes)),
            Kind::Text { set, .. } => value.text().and_then(|text| set(config, row, text)),
            Kind::List { set, .. } => match value.list().map(|list| set(config, row, &list)) {
                Some(Ok(())) => Some(()),
                Some(Err(item)) => return Err(self.refusal(&shown(item))),
                None => None,
            },
            // A table is read key by key; this is none.
            Kind::Inner(_) | Kind::Secrets(_) => None,
        };
        done.ok_or_else(|| {
            if self.is_secret {
                self.refusal(&shown(MASK))
            } else {
                self.refusal(&value.shown())
            }
        })
    }

    fn refusal(&self, given: &str) -> String {
        format!("must be {}, not {given}", self.allowed())
    }

    /// Whether `row` of `config` names it; else [`Key::print`] gives what rules instead, or an
    /// example.
    pub(super) fn is_present(&self, config: &Config, row: usize) -> bool {
        (self.present)(config, row)
    }

    /// Its value in `row` of `config`, in TOML.
    pub(super) fn print(&self, config: &Config, row: usize) -> String {
        match self.kind {
            Kind::Whole { get, .. } => get(config).to_string(),
            // {:?} keeps the ".0" that makes it a float, and every digit that matters.
            Kind::Fraction { get, .. } => format!("{:?}", get(config)),
            Kind::Switch { get, .. } => get(config, row).to_string(),
            Kind::Size { get, .. } => quoted(&print_size(get(config))),
            Kind::Text { get, .. } => quoted(&get(config, row)),
            Kind::List { get, .. } => {
                let items: Vec<String> = get(config, row).iter().map(|item| quoted(item)).collect();
                format!("[{}]", items.join(", "))
            }
            Kind::Inner(Inner { keys, .. }) => {
                // As an example it shows all that it could hold.
                let is_example = !self.is_present(config, row);
                let items: Vec<String> = keys
                    .iter()
                    .filter(|key| is_example || key.is_present(config, row))
                    .map(|key| format!("{} = {}", key.name, key.print(config, row)))
                    .collect();
                format!("{{ {} }}", items.join(", "))
            }
            Kind::Secrets(SecretTable { get, .. }) => {
                let secrets = get(config).iter();
                let items: Vec<String> = secrets
                    .map(|(name, secret)| format!("{name} = {}", quoted(secret.expose())))
                    .collect();
                format!("{{ {} }}", items.join(", "))
            }
        }
    }
}
