//! Where somebody wrote what, so that a mistake can be found.

use std::collections::BTreeMap;
use std::ops::Range;

/// Where each key was given, and whether it could be read. What is not in it has its default.
#[derive(Default)]
pub(super) struct Given {
    places: BTreeMap<(&'static str, &'static str, usize), Place>,
}

struct Place {
    /// `shoal.toml:7` or `SHOAL_ANNOUNCE__INTERVAL`
    name: String,
    was_read: bool,
}

impl Given {
    /// Notes that `key` in `row` of `section` was given at `place`.
    pub(super) fn note(
        &mut self,
        (section, key, row): (&'static str, &'static str, usize),
        place: &str,
        was_read: bool,
    ) {
        let name = place.to_owned();
        self.places
            .insert((section, key, row), Place { name, was_read });
    }

    /// Forgets all rows of `section`.
    pub(super) fn forget(&mut self, section: &str) {
        self.places.retain(|&(name, ..), _| name != section);
    }

    /// Whether `key` in `row` of `section` has a value that can be trusted.
    pub(super) fn was_read(&self, section: &'static str, key: &'static str, row: usize) -> bool {
        let place = self.places.get(&(section, key, row));
        place.is_none_or(|place| place.was_read)
    }

    /// Whether all `keys` of the table `section` have.
    pub(super) fn all_read(&self, section: &'static str, keys: &[&'static str]) -> bool {
        keys.iter().all(|key| self.was_read(section, key, 0))
    }

    /// Where the first of those `keys` stands that somebody gave at all.
    pub(super) fn place(&self, section: &'static str, keys: &[&'static str]) -> &str {
        keys.iter()
            .find_map(|key| self.places.get(&(section, *key, 0)))
            .map_or("built-in defaults", |place| &place.name)
    }

    /// Where `key` in `row` of `section` was given.
    pub(super) fn row_place(&self, section: &'static str, key: &'static str, row: usize) -> &str {
        let place = self.places.get(&(section, key, row));
        place.map_or("built-in defaults", |place| &place.name)
    }
}

/// Where the lines of a text begin.
pub(super) struct Lines<'a> {
    name: &'a str,
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn of(name: &'a str, text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        let starts = std::iter::once(0)
            .chain(ends.map(|(end, _)| end + 1))
            .collect();
        Self { name, text, starts }
    }

    /// How many lines begin at or before `offset`.
    fn number(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset)
    }

    /// `shoal.toml:7`
    pub(super) fn place(&self, span: &Range<usize>) -> String {
        format!("{}:{}", self.name, self.number(span.start))
    }

    /// `shoal.toml:7:12`, the column counted in characters.
    pub(super) fn place_with_column(&self, offset: usize) -> String {
        let line = self.number(offset);
        let before = self.text.get(self.starts[line - 1]..offset).unwrap_or("");
        format!("{}:{line}:{}", self.name, before.chars().count() + 1)
    }
}
