//! What a misspelt name was meant to be.

use toml::de::DeValue;

use super::key::Key;
use super::schema::{SECTIONS, Section, keys, section};
use super::value::shortened;

/// Names longer than this resemble nothing that we know, and comparing them would cost memory.
const NAME_LEN_MAX: usize = 64;

/// What to say about `name`, which is no section.
pub(super) fn unknown_section(name: &str, value: &DeValue<'_>) -> String {
    let shown = shortened(name);
    let homes = homes(name);
    if !homes.is_empty() && !value.is_table() && !value.is_array() {
        let homes = homes.join(" or ");
        return format!("{shown} stands outside its section; move it below {homes}");
    }
    match nearest(name, SECTIONS.iter().map(|section| section.name)).and_then(section) {
        Some(meant) => {
            format!(
                "[{shown}] is not a known section; did you mean {}?",
                meant.header()
            )
        }
        None => format!(
            "[{shown}] is not a known section; there are {}",
            listed(SECTIONS.iter().map(Section::header))
        ),
    }
}

/// What to say about `name`, which is none of `keys`; `home` stands before the names of those.
pub(super) fn unknown_key(home: &str, keys: &[Key], name: &str) -> String {
    let shown = shortened(name);
    let mut homes = homes(name);
    // Whoever writes into a section means that one, though others have such a key too.
    let here: Vec<String> = homes
        .iter()
        .filter(|known| home.starts_with(header_of(known)))
        .cloned()
        .collect();
    if !here.is_empty() {
        homes = here;
    }
    if !homes.is_empty() {
        let homes = homes.join(" or ");
        return format!("{home}{shown} is not a known key; it belongs below {homes}");
    }
    if let Some(meant) = nearest(name, keys.iter().map(|key| key.name)) {
        return format!("{home}{shown} is not a known key; did you mean \"{meant}\"?");
    }
    let known = listed(keys.iter().map(|key| key.name));
    let verb = if keys.len() == 1 { "is" } else { "are" };
    format!("{home}{shown} is not a known key; there {verb} {known}")
}

/// `[[http]]` of `[[http]] tls`.
fn header_of(home: &str) -> &str {
    home.split(' ').next().unwrap_or(home)
}

/// The tables that have a key called `name`: `[[udp]]`, `[[http]] tls`.
fn homes(name: &str) -> Vec<String> {
    let mut homes = Vec::new();
    for (section, key) in keys() {
        if key.name == name {
            homes.push(section.header());
        }
        let inner = key.as_inner().map_or(&[][..], |inner| inner.keys);
        if inner.iter().any(|key| key.name == name) {
            homes.push(format!("{} {}", section.header(), key.name));
        }
    }
    homes
}

/// What to say of `name`, which is neither `SHOAL_ANNOUNCE__INTERVAL` nor `announce.interval` nor
/// any other name of that kind; `known` are those that there are.
pub(super) fn unknown_name(
    name: &str,
    prefix: &str,
    known: impl IntoIterator<Item = String>,
) -> String {
    // The prefix, which all share, would make them all alike.
    let without = |name: &str| name.strip_prefix(prefix).unwrap_or(name).to_owned();
    let ends = known.into_iter().map(|known| without(&known));
    match nearest(&without(name), ends) {
        Some(end) => format!("this names no key; did you mean {prefix}{end}?"),
        None => "this names no key; remove it, or see `shoal config print` for the keys".into(),
    }
}

/// The name of `known` that `name` most resembles, if any is near: at most a third of the letters
/// wrong, missing, added or swapped.
fn nearest<T: AsRef<str>>(name: &str, known: impl IntoIterator<Item = T>) -> Option<T> {
    if name.len() > NAME_LEN_MAX {
        return None;
    }
    let name = name.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|known| {
            let distance = strsim::damerau_levenshtein(&name, &known.as_ref().to_lowercase());
            (distance, known)
        })
        .filter(|(distance, known)| *distance <= (known.as_ref().len() / 3).max(1))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, known)| known)
}

/// The names of `known` in one phrase: `a, b and c`.
pub(super) fn listed<T: AsRef<str>>(known: impl IntoIterator<Item = T>) -> String {
    let names: Vec<T> = known.into_iter().collect();
    let mut phrase = String::new();
    for (index, name) in names.iter().enumerate() {
        phrase.push_str(match index {
            0 => "",
            index if index + 1 == names.len() => " and ",
            _ => ", ",
        });
        phrase.push_str(name.as_ref());
    }
    phrase
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["interval", "numwant", "numwant_max"];

    #[test]
    fn a_slip_of_the_fingers_is_understood() {
        assert_eq!(nearest("intervall", KNOWN), Some("interval"));
        assert_eq!(nearest("Interval", KNOWN), Some("interval"));
        assert_eq!(nearest("numwnat", KNOWN), Some("numwant"));
        assert_eq!(nearest("numwant-max", KNOWN), Some("numwant_max"));
    }

    #[test]
    fn a_stranger_resembles_nobody() {
        assert_eq!(nearest("tls", KNOWN), None);
        assert_eq!(nearest("", KNOWN), None);
        assert_eq!(nearest(&"interval".repeat(100_000), KNOWN), None);
    }

    #[test]
    fn names_are_listed_as_a_person_would() {
        assert_eq!(listed(KNOWN), "interval, numwant and numwant_max");
        assert_eq!(listed(["listen"]), "listen");
    }
}
