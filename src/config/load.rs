//! File, environment and command line become a [`Config`], or a list of everything that is wrong
//! with them.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::Config;
use super::check::check;
use super::key::{Inner, Key, SecretTable};
use super::nearest::{unknown_key, unknown_name, unknown_section};
use super::place::{Given, Lines};
use super::schema::{Bare, Rows, Section, Shape, bare_keys, section};
use super::source::{Environment, FILE_VARIABLE, PREFIX, Source, TEXT_VARIABLE};
use super::value::{Value, shortened, split};

/// A configuration, and where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file, or what stood in for one; for messages.
    pub source: String,
    /// The file, if there is one.
    pub file: Option<PathBuf>,
}

/// Everything that is wrong, a sentence each; never empty.
#[derive(Debug)]
pub struct Mistakes(Vec<String>);

impl Mistakes {
    /// The sentences: those about the file first, in its order.
    pub fn sentences(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Mistakes {}

/// One key with its value from the command line: `announce.interval=900`. Whether there is such a
/// key is said when it is loaded, together with all other mistakes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// `announce.interval`
    path: String,
    /// `900`
    value: String,
}

impl Setting {
    /// Its path, if its value is a secret: one that stands on the command line can be read by everybody on
    /// the host.
    pub fn shown_secret(&self) -> Option<&str> {
        let (bare, _) = find(&self.path, ".", Bare::path)?;
        bare.key.is_secret().then_some(&*self.path)
    }
}

impl FromStr for Setting {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((path, value)) if path.contains('.') => Ok(Self {
                path: path.trim().into(),
                value: value.into(),
            }),
            _ => Err("write SECTION.KEY=VALUE, such as announce.interval=900"),
        }
    }
}

/// Reads the configuration: the defaults, over them the file, over it the `environment`, over that
/// the `settings` of the command line. `file` wins over a file that the environment names; without
/// either there is none.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    settings: &[Setting],
) -> Result<Loaded, Mistakes> {
    load_with(Source::read, file, environment, settings)
}

/// The same for a tracker that runs already and was configured from the same places. It refuses what a file
/// is for a moment while something writes it: empty, which would mean all defaults and open a
/// private tracker to everybody. And it waits for no pipe.
pub fn reload(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    settings: &[Setting],
) -> Result<Loaded, Mistakes> {
    load_with(Source::read_again, file, environment, settings)
}

fn load_with(
    read: fn(&Source) -> Result<Cow<'_, str>, String>,
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    settings: &[Setting],
) -> Result<Loaded, Mistakes> {
    let mut loader = Loader::default();
    let mut environment = Environment::of(environment);
    let source = environment.source(file).unwrap_or_else(|mistake| {
        loader.mistakes.push(mistake);
        Source::None
    });
    match read(&source) {
        Ok(text) => loader.read_text(&source.to_string(), &text),
        Err(mistake) => loader.mistakes.push(mistake),
    }
    for (name, value) in &environment.overrides {
        loader.read_variable(name, value);
    }
    for setting in settings {
        loader.read_setting(setting);
    }
    loader.finish(source)
}

/// What has been read so far.
#[derive(Default)]
struct Loader {
    config: Config,
    given: Given,
    mistakes: Vec<String>,
}

impl Loader {
    fn finish(mut self, source: Source) -> Result<Loaded, Mistakes> {
        self.mistakes.extend(check(&self.config, &self.given));
        if self.mistakes.is_empty() {
            let config = self.config;
            Ok(Loaded {
                config,
                source: source.to_string(),
                file: match source {
                    Source::File(path) => Some(path),
                    Source::None | Source::Text(_) => None,
                },
            })
        } else {
            Err(Mistakes(self.mistakes))
        }
    }

    fn refuse(&mut self, place: &str, sentence: &str) {
        self.mistakes.push(format!("{place}: {sentence}"));
    }

    /// Reads the text of a file that messages call `name`.
    fn read_text(&mut self, name: &str, text: &str) {
        let lines = Lines::of(name, text);
        match DeTable::parse(text) {
            Ok(document) => self.read_document(&lines, document.get_ref()),
            Err(error) => {
                let place = lines.place_with_column(error.span().unwrap_or_default().start);
                let reason = shortened(error.message());
                self.refuse(&place, &format!("this is not TOML: {reason}"));
            }
        }
    }

    fn read_document(&mut self, lines: &Lines<'_>, document: &DeTable<'_>) {
        for (name, value) in in_order(document) {
            let place = lines.place(&name.span());
            let Some(section) = section(name.get_ref()) else {
                let sentence = unknown_section(name.get_ref(), value.get_ref());
                self.refuse(&place, &sentence);
                continue;
            };
            match (&section.shape, value.get_ref()) {
                (Shape::Table, DeValue::Table(table)) => {
                    self.read_table(lines, &Home::of(section, 0), &place, table);
                }
                (Shape::Tables(rows), DeValue::Array(values)) => {
                    self.clear_rows(section, rows, &place);
                    for (row, value) in values.iter().enumerate() {
                        self.read_row(lines, section, rows, row, value);
                    }
                }
                (_, other) => {
                    let written = match other {
                        DeValue::Table(_) => format!("[{}]", section.name),
                        other => Value::Toml(other).shown(),
                    };
                    self.refuse(&place, &wrong_shape(section, &written));
                }
            }
        }
    }

    /// Forgets the rows of `section`, to make room for those from `place`.
    fn clear_rows(&mut self, section: &'static Section, rows: &Rows, place: &str) {
        (rows.clear)(&mut self.config);
        self.given.forget(section.name);
        // A list without rows has been given somewhere too.
        self.given
            .note((section.name, rows.needs.name, 0), place, true);
    }

    /// Reads one `[[section]]`.
    fn read_row(
        &mut self,
        lines: &Lines<'_>,
        section: &'static Section,
        rows: &Rows,
        row: usize,
        value: &Spanned<DeValue<'_>>,
    ) {
        (rows.push)(&mut self.config);
        let place = lines.place(&value.span());
        // Until it has been read, what the row needs is missing.
        self.given
            .note((section.name, rows.needs.name, row), &place, false);
        let DeValue::Table(table) = value.get_ref() else {
            let shown = Value::Toml(value.get_ref()).shown();
            let written = format!("a list that holds {shown}");
            self.refuse(&place, &wrong_shape(section, &written));
            return;
        };
        self.read_table(lines, &Home::of(section, row), &place, table);
    }

    /// Reads what stands in `table`, which begins at `place`.
    fn read_table(&mut self, lines: &Lines<'_>, home: &Home, place: &str, table: &DeTable<'_>) {
        for (name, value) in in_order(table) {
            let place = lines.place(&name.span());
            let Some(key) = home.keys.iter().find(|key| key.name == name.get_ref()) else {
                let sentence = unknown_key(&home.before_key(), home.keys, name.get_ref());
                self.refuse(&place, &sentence);
                continue;
            };
            match (key.as_inner(), value.get_ref()) {
                (Some(inner), DeValue::Table(table)) => {
                    let mistakes = self.mistakes.len();
                    (inner.open)(&mut self.config, home.row);
                    self.read_table(lines, &home.inner(key, inner), &place, table);
                    let was_read = self.mistakes.len() == mistakes;
                    self.note(home, key, &place, was_read);
                }
                (None, DeValue::Table(table)) if key.as_secrets().is_some() => {
                    for (name, value) in in_order(table) {
                        let place = lines.place(&name.span());
                        let value = Value::Toml(value.get_ref());
                        self.read_secret(home, key, &place, name.get_ref(), value);
                    }
                }
                (_, value) => self.read_key(home, key, &place, Value::Toml(value)),
            }
        }
        for key in home.keys.iter().filter(|key| key.is_needed) {
            if !table.contains_key(key.name) {
                let (name, allowed) = (key.name, key.allowed());
                let sentence = format!("{} has no {name}; give it {allowed}", home.name);
                self.refuse(place, &sentence);
                self.note(home, key, place, false);
            }
        }
    }

    fn read_key(&mut self, home: &Home, key: &'static Key, place: &str, value: Value<'_>) {
        let result = key.read(&mut self.config, home.row, value);
        self.note(home, key, place, result.is_ok());
        if let Err(phrase) = result {
            let sentence = format!("{}{} {phrase}", home.before_key(), key.name);
            self.refuse(place, &sentence);
        }
    }

    fn note(&mut self, home: &Home, key: &'static Key, place: &str, was_read: bool) {
        self.given
            .note((home.section.name, key.name, home.row), place, was_read);
    }

    /// Reads a secret of the table that `key` is.
    fn read_secret(
        &mut self,
        home: &Home,
        key: &'static Key,
        place: &str,
        name: &str,
        value: Value<'_>,
    ) {
        let Some(table) = key.as_secrets() else {
            return;
        };
        if let Err(phrase) = table.read(&mut self.config, name, value) {
            let name = SecretTable::shown_name(name);
            let sentence = format!("{}{}.{name} {phrase}", home.before_key(), key.name);
            self.refuse(place, &sentence);
        }
    }

    /// Reads `SHOAL_SECTION__KEY`.
    fn read_variable(&mut self, name: &str, value: &OsStr) {
        let Some((bare, rest)) = find(name, "__", Bare::variable) else {
            let files = [FILE_VARIABLE, TEXT_VARIABLE].map(str::to_owned);
            let known = bare_keys().map(|bare| example(&bare, "__", Bare::variable));
            let sentence = unknown_name(name, PREFIX, known.chain(files));
            self.refuse(&shortened(name), &sentence);
            return;
        };
        if let Some(text) = value.to_str() {
            // Names of variables are in capitals by custom, those of secrets are not.
            self.read_bare(bare, &rest.to_lowercase(), &shortened(name), text);
            return;
        }
        let Bare { section, key, .. } = bare;
        self.given.note((section.name, key.name, 0), name, false);
        let (header, allowed) = (section.header(), key.allowed());
        let sentence = format!("{header} {} must be {allowed}, in UTF-8", key.name);
        self.refuse(name, &sentence);
    }

    /// Reads `--set section.key=value`.
    fn read_setting(&mut self, setting: &Setting) {
        let place = format!("--set {}", shortened(&setting.path));
        if let Some((bare, rest)) = find(&setting.path, ".", Bare::path) {
            self.read_bare(bare, rest, &place, &setting.value);
        } else {
            let known = bare_keys().map(|bare| example(&bare, ".", Bare::path));
            self.refuse(&place, &unknown_name(&setting.path, "", known));
        }
    }

    /// Reads `text` as the value of a key, of the secret `rest` in it, or as the list of all rows of a
    /// `[[section]]`.
    fn read_bare(&mut self, bare: Bare, rest: &str, place: &str, text: &str) {
        let Bare {
            section,
            table,
            key,
        } = bare;
        let home = Home::of(section, 0);
        match &section.shape {
            Shape::Table if key.as_secrets().is_some() => {
                self.read_secret(&home, key, place, rest, Value::Text(text));
            }
            Shape::Table => {
                let inner = table.and_then(|table| Some((table, table.as_inner()?)));
                let home = match inner {
                    None => home,
                    Some((table, inner)) => {
                        if !table.is_present(&self.config, 0) {
                            (inner.open)(&mut self.config, 0);
                        }
                        home.inner(table, inner)
                    }
                };
                self.read_key(&home, key, place, Value::Text(text));
            }
            Shape::Tables(rows) => {
                self.clear_rows(section, rows, place);
                for (row, item) in split(text).into_iter().enumerate() {
                    (rows.push)(&mut self.config);
                    self.read_key(&Home::of(section, row), key, place, Value::Text(item));
                }
            }
        }
    }
}

/// The key that `name` means, and what follows in the name where that is a table of secrets.
fn find<'n>(name: &'n str, link: &str, spell: fn(&Bare) -> String) -> Option<(Bare, &'n str)> {
    bare_keys().find_map(|bare| {
        let rest = name.strip_prefix(&spell(&bare))?;
        let rest = match bare.key.as_secrets() {
            None => rest.is_empty().then_some(""),
            Some(_) => rest.strip_prefix(link),
        };
        Some((bare, rest?))
    })
}

/// How a key is named, for a suggestion.
fn example(bare: &Bare, link: &str, spell: fn(&Bare) -> String) -> String {
    let name = if bare.key.as_secrets().is_some() {
        format!("{link}NAME")
    } else {
        String::new()
    };
    spell(bare) + &name
}

/// A table whose keys are being read.
struct Home {
    section: &'static Section,
    row: usize,
    keys: &'static [Key],
    /// What messages call it: `[announce]`, `[[http]]` or `[[http]] tls`.
    name: String,
    is_inner: bool,
}

impl Home {
    /// One row of `section`; a `[section]` has only row 0.
    fn of(section: &'static Section, row: usize) -> Self {
        Self {
            section,
            row,
            keys: section.keys,
            name: section.header(),
            is_inner: false,
        }
    }

    /// The table `inner` that `key` is in this one.
    fn inner(&self, key: &Key, inner: Inner) -> Self {
        Self {
            section: self.section,
            row: self.row,
            keys: inner.keys,
            name: format!("{}{}", self.before_key(), key.name),
            is_inner: true,
        }
    }

    /// What stands before the name of a key of it in a message.
    fn before_key(&self) -> String {
        let link = if self.is_inner { '.' } else { ' ' };
        format!("{}{link}", self.name)
    }
}

/// The entries of `table` in the order in which somebody wrote them.
fn in_order<'a, 'text>(
    table: &'a DeTable<'text>,
) -> Vec<(&'a Spanned<DeString<'text>>, &'a Spanned<DeValue<'text>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

fn wrong_shape(section: &Section, written: &str) -> String {
    let header = section.header();
    format!(
        "{} must be written as {header}, not as {written}",
        section.name
    )
}
