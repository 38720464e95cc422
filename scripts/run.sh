#!/usr/bin/env bash
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ "${1:-}" = --help ]; then
    cat <<'HELP'
usage: scripts/run.sh [OPTION...]

Builds Shoal in its release profile and runs it as `shoal run OPTION...`. On a Debian host that has
Rust it first installs a C linker and git with apt-get, where they are missing.

The options are those of `shoal run`; `target/release/shoal run --help` lists them.
HELP
    exit
fi

# shellcheck source=scripts/lib/need.sh
. "$root/scripts/lib/need.sh"
need_rust
need "gcc libc6-dev" links_programs
need git command -v git # a library calls it while it is built
install_missing

# Not from the root folder: the options may name files beside the caller.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}"
cargo build --release --locked --manifest-path "$root/Cargo.toml"
exec "$CARGO_TARGET_DIR/release/shoal" run "$@"
