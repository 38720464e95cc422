//! Torrents are found by a part of their name.

use std::collections::BTreeMap;

use super::*;

fn named(name: &str) -> Metadata {
    Metadata {
        name: name.to_owned(),
        ..Metadata::default()
    }
}

#[test]
fn a_part_of_a_name_is_found_in_letters_of_either_case_page_by_page() {
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
    for part in ["debian", "ubu", "\u{e9}TUDE", "<B>", "X", "", "nowhere"] {
        let is_in =
            |metadata: &Metadata| metadata.name.to_lowercase().contains(&part.to_lowercase());
        let expected: Vec<_> = rows.iter().filter(|row| is_in(&row.1)).cloned().collect();
        for _ in 0..20 {
            let (limit, looks) = (rng.usize(1..100), rng.usize(1..100));
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let found = records.metadata_named(part, after.as_ref(), limit, looks);
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
