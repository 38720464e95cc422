#!/usr/bin/env bash
# Lists what the program is made of. See --help.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/sbom.sh [FILE]

Writes a software bill of materials of the program, CycloneDX 1.5 as JSON, to FILE or to standard
output: every crate that `cargo tree --edges normal` names for this host, with version, checksum of
Cargo.lock, licence, source and what it depends on, and the standard library. What is only needed to
build or to test is not in it. The same tree gives the same bytes. Needs jq; works without a network
when the crates are in the cargo home.
TEXT
}

case ${1:-} in
    --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
    '') file='' ;;
    *) file=$(realpath -m -- "$1") ;;
esac
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib/need.sh
. scripts/lib/need.sh
need_rust
need jq command -v jq
install_missing

host=$(rustc -vV | sed -n 's/^host: //p')
rust=$(rustc -vV | sed -n 's/^release: //p')
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
# The lock file names all that is in the bill, so its digest names the bill.
digest=$(sha256sum <Cargo.lock)
serial=urn:uuid:${digest:0:8}-${digest:8:4}-5${digest:13:3}-8${digest:17:3}-${digest:20:12}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cargo tree --locked --package shoal --target "$host" --edges normal --prefix none --format '{p}' |
    awk '{ sub(/^v/, "", $2); print $1 "@" $2 }' | sort -u >"$work/crates"
awk -F'"' '/^name = /{name = $2} /^version = /{version = $2} /^checksum = /{print name "@" version " " $2}' \
    Cargo.lock >"$work/checksums"
cargo metadata --locked --format-version 1 --filter-platform "$host" >"$work/metadata"

jq --rawfile crates "$work/crates" --rawfile checksums "$work/checksums" --arg rust "$rust" \
    --arg serial "$serial" --arg time "$(date -u -d "@$epoch" +%FT%TZ)" '
    ($crates | split("\n") | map(select(. != "") | {key: ., value: true}) | from_entries) as $linked
    | ($checksums | split("\n") | map(select(. != "") | split(" ") | {key: .[0], value: .[1]})
        | from_entries) as $checksums
    | def ref: "\(.name)@\(.version)";
    def component: {
        type: "library",
        "bom-ref": ref,
        name,
        version,
        description,
        # Older crates write a slash where the list of licences now has a word.
        licenses: (if .license then [{expression: (.license | gsub(" */ *"; " OR "))}] else null end),
        hashes: (if $checksums[ref] then [{alg: "SHA-256", content: $checksums[ref]}] else null end),
        purl: "pkg:cargo/\(.name)@\(.version | gsub("\\+"; "%2B"))",
        externalReferences: (if .repository then [{type: "vcs", url: .repository}] else null end)
    } | with_entries(select(.value != null));
    (.packages | map({key: .id, value: .}) | from_entries) as $by_id
    | (.packages | map(select($linked[ref])) | sort_by(.name, .version)) as $packages
    | ($packages[] | select(.source == null and .name == "shoal")) as $shoal
    | {type: "framework", "bom-ref": "rust-std@\($rust)", name: "rust-std", version: $rust,
        description: "The standard library of Rust",
        licenses: [{expression: "MIT OR Apache-2.0"}],
        externalReferences: [{type: "vcs", url: "https://github.com/rust-lang/rust"}]} as $std
    | {
        bomFormat: "CycloneDX",
        specVersion: "1.5",
        serialNumber: $serial,
        version: 1,
        metadata: {timestamp: $time, component: ($shoal | component | .type = "application")},
        components: ([$packages[] | select(.id != $shoal.id) | component] + [$std]),
        dependencies: ([
            .resolve.nodes[] | . as $node | $by_id[.id] | select($linked[ref]) | {
                ref: ref,
                dependsOn: ([$node.deps[] | select(any(.dep_kinds[]; .kind == null)) | $by_id[.pkg]
                    | select($linked[ref]) | ref]
                    + (if .id == $shoal.id then [$std."bom-ref"] else [] end) | unique)
            }
        ] | sort_by(.ref))
    }' "$work/metadata" >"$work/bill"
if [ -n "$file" ]; then
    cp "$work/bill" "$file"
else
    cat "$work/bill"
fi
