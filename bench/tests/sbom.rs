//! The bill of materials names what is linked, with the checksums of the lock file.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn output(command: &mut Command) -> String {
    let output = command.current_dir(ROOT).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} of {value}"))
}

#[test]
fn the_bill_names_every_crate_that_is_linked_and_no_other() {
    let tree = output(Command::new(env!("CARGO")).args([
        "tree",
        "--locked",
        "--package=shoal",
        "--edges=normal",
        "--prefix=none",
        "--format={p}",
    ]));
    let linked: BTreeSet<(&str, &str)> = tree
        .lines()
        .map(|line| {
            let mut words = line.split(' ');
            let name = words.next().unwrap();
            (name, words.next().unwrap().trim_start_matches('v'))
        })
        .collect();
    assert!(linked.len() > 100, "{tree}");

    let script = Path::new(ROOT).join("scripts/sbom.sh");
    let bill = output(&mut Command::new(&script));
    assert_eq!(
        bill,
        output(&mut Command::new(&script)),
        "twice the same bytes"
    );
    let bill: Value = serde_json::from_str(&bill).unwrap();
    assert_eq!(
        (text(&bill, "bomFormat"), text(&bill, "specVersion")),
        ("CycloneDX", "1.5")
    );
    let program = &bill["metadata"]["component"];
    let components = bill["components"].as_array().unwrap();
    let named: BTreeSet<(&str, &str)> = components
        .iter()
        .chain([program])
        .filter(|it| text(it, "type") != "framework")
        .map(|it| (text(it, "name"), text(it, "version")))
        .collect();
    let missing: Vec<_> = linked.difference(&named).collect();
    let too_many: Vec<_> = named.difference(&linked).collect();
    assert!(
        missing.is_empty() && too_many.is_empty(),
        "{missing:?} {too_many:?}"
    );

    let lock = std::fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).unwrap();
    for it in components {
        assert!(
            !text(&it["licenses"][0], "expression").contains('/'),
            "{it}"
        );
        if text(it, "type") != "framework" {
            let checksum = text(&it["hashes"][0], "content");
            let (name, version) = (text(it, "name"), text(it, "version"));
            let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
            let (_, entry) = lock.split_once(&entry).unwrap();
            let (entry, _) = entry.split_once("\n\n").unwrap_or((entry, ""));
            assert!(
                entry.contains(&format!("checksum = \"{checksum}\"")),
                "{it}"
            );
        }
    }
    let refs: HashSet<&str> = components
        .iter()
        .chain([program])
        .map(|it| text(it, "bom-ref"))
        .collect();
    assert_eq!(
        refs.len(),
        components.len() + 1,
        "every one has a name of its own"
    );
    for it in bill["dependencies"].as_array().unwrap() {
        assert!(refs.contains(text(it, "ref")), "{it}");
        for on in it["dependsOn"].as_array().unwrap() {
            assert!(refs.contains(on.as_str().unwrap()), "{it}");
        }
    }
}
