//! Torrents are found by what is known of them.

use std::collections::BTreeMap;

use super::*;

fn named(name: &str) -> Metadata {
    Metadata {
        name: name.to_owned(),
        ..Metadata::default()
    }
}

#[test]
fn what_is_wanted_is_found_page_by_page_however_few_are_looked_at() {
    let folder = quick_folder();
    let records = opened(folder.path());
    let mut rng = rng();
    let words = ["Debian", "UBUNTU", "\u{c9}tude", "<b>", "x", ""];
    let all: BTreeMap<InfoHash, Metadata> = (0..300)
        .map(|number| {
            let name = format!(
                "{} {}",
                rng.choice(words).unwrap(),
                rng.choice(words).unwrap()
            );
            (hash(number), named(&name))
        })
        .collect();
    let rows: Vec<_> = all.clone().into_iter().collect();
    records.put_all_metadata(&rows).unwrap();
    for part in ["Debian", "BUN", "\u{c9}", "x", "", "nowhere"] {
        let first = rng.u8(..);
        let is_wanted = |hash: &InfoHash, metadata: &Metadata| {
            hash.0[0] == first || metadata.name.contains(part)
        };
        let expected = rows.iter().filter(|row| is_wanted(&row.0, &row.1));
        let expected: Vec<_> = expected.cloned().collect();
        for _ in 0..20 {
            let (limit, looks) = (rng.usize(1..100), rng.usize(1..100));
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let found = records.find_metadata(after.as_ref(), limit, looks, is_wanted);
                let found = found.unwrap();
                assert!(found.rows.len() <= limit.min(looks));
                seen.extend(found.rows);
                after = found.more_after;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, expected);
        }
    }
}
