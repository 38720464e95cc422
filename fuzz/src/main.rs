//! One program for all targets: `SHOAL_FUZZ_TARGET` names the one that libFuzzer feeds.

#![no_main]
#![allow(unsafe_code, missing_docs)] // libFuzzer calls C names, which its macro exports

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use shoal_fuzz::{TARGETS, Target, find};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("SHOAL_FUZZ_TARGET").unwrap_or_default();
    find(&name).unwrap_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("SHOAL_FUZZ_TARGET must be one of {}", names.join(", "));
        std::process::exit(2);
    })
});

fuzz_target!(|data: &[u8]| (TARGET.run)(data));
