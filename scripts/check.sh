#!/usr/bin/env bash
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ "${1:-}" = --help ]; then
    cat <<'HELP'
usage: scripts/check.sh

All that a change must pass: the format, clippy without a warning, every test (scripts/test.sh), the
documentation without a warning, and the dependencies' licences, sources and advisories (cargo-deny,
which is installed below the target folder if the host has none). What cannot be asked without the
network is skipped, and said so.
HELP
    exit
fi

# shellcheck source=scripts/lib/need.sh
. "$root/scripts/lib/need.sh"
need_rust

cd "$root"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}"
export CARGO_BUILD_JOBS="${CARGO_BUILD_JOBS:-2}"
tools="$CARGO_TARGET_DIR/tools"

step() {
    echo "== $*"
    "$@"
}

check_dependencies() {
    PATH="$tools/bin:$PATH"
    if ! cargo deny --version >/dev/null 2>&1; then
        echo "== cargo install cargo-deny, into $tools"
        if ! cargo install --quiet --locked --root "$tools" --target-dir "$tools/build" cargo-deny; then
            echo "skipped: licences, sources, advisories (cargo-deny is missing and cannot be installed)"
            return
        fi
        rm -rf "$tools/build"
    fi
    if timeout 60 cargo deny fetch db >/dev/null 2>&1; then
        step cargo deny --workspace check
    else
        step cargo deny --workspace check licenses bans sources
        echo "skipped: advisories (their database on github.com cannot be fetched)"
    fi
}

step cargo fmt --all --check
step cargo clippy --workspace --all-targets --locked -- -D warnings
step scripts/test.sh
RUSTDOCFLAGS="-D warnings" step cargo doc --workspace --no-deps --locked
check_dependencies
