#!/usr/bin/env bash
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ "${1:-}" = --help ]; then
    cat <<'HELP'
usage: scripts/package.sh [OPTION...]

Builds Shoal in its release profile and makes a package for Debian of it with cargo-deb, which gets the
options and is installed below the target folder if the host has none. The last line is the path of the
package. What it installs stands in Cargo.toml; a bill of materials (scripts/sbom.sh) and the licences of
all that is linked are with it. The program is the same bytes wherever the tree lies (docs/building.md).
HELP
    exit
fi

# shellcheck source=scripts/lib/need.sh
. "$root/scripts/lib/need.sh"
# shellcheck source=scripts/lib/release.sh
. "$root/scripts/lib/release.sh"
need_rust
need "gcc libc6-dev" links_programs
need git command -v git # a library calls it while it is built
need dpkg-dev command -v dpkg-shlibdeps
need jq command -v jq # for the bill of materials
install_missing

cd "$root"
# The paths in Cargo.toml begin here.
export CARGO_TARGET_DIR="$root/target"
tools="$CARGO_TARGET_DIR/tools"
PATH="$tools/bin:$PATH"
if ! cargo deb --version >/dev/null 2>&1; then
    cargo install --locked --root "$tools" --target-dir "$tools/build" cargo-deb
    rm -rf "$tools/build"
fi

# The notices that the licences of the libraries ask for, LMDB's among them.
notices() {
    local registry="${CARGO_HOME:-$HOME/.cargo}/registry/src" name version source file
    cargo tree --locked --edges normal --prefix none --format '{p}' | sort -u |
        while read -r name version _; do
            for source in "$registry"/*/"$name-${version#v}"; do
                [ -d "$source" ] || continue
                find "$source" -type f \
                    \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'copyright*' -o -iname 'notice*' \) |
                    sort | while read -r file; do
                    printf '==== %s %s: %s\n\n' "$name" "$version" "${file#"$source/"}"
                    cat "$file"
                    printf '\n\n'
                done
            done
        done
}

release_environment "$root" "$CARGO_TARGET_DIR"
cargo build --release --locked
made="$CARGO_TARGET_DIR/package"
mkdir -p "$made"
shoal="$CARGO_TARGET_DIR/release/shoal"
"$shoal" man >"$made/shoal.1"
for shell in bash zsh fish; do
    "$shoal" completions "$shell" >"$made/shoal.$shell"
done
notices | gzip -9n >"$made/third-party-licences.gz"
"$root/scripts/sbom.sh" "$made/shoal.cdx.json"
gzip -9nf "$made/shoal.cdx.json"
cargo deb --no-build --locked --strip "$@"
