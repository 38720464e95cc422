#!/usr/bin/env bash
set -euo pipefail
caller=$PWD
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ "${1:-}" = --help ]; then
    cat <<'HELP'
usage: scripts/instructions.sh [--write] [--only NAMES] [--budget FILE]

Counts under valgrind how many instructions each operation of bench/src/operations/ takes, and compares
that with bench/instructions.toml: above +3% it fails, below -3% it asks for a tighter budget. --write
stores what was counted. --only counts some operations, with commas between their names. On a Debian
host it installs valgrind when it is missing.

Two counts differ only if the instructions do, so the program is built alike everywhere: a release for
the baseline of x86_64, whatever RUSTFLAGS and cargo's configuration say. Another compiler or C library
chooses other instructions; if the budget was counted with others, 25% are allowed, and a line says so.
HELP
    exit
fi
if [ "$(uname -m)" != x86_64 ]; then
    echo "${0##*/}: the budget is of x86_64" >&2
    exit 1
fi

budget=$root/bench/instructions.toml
options=()
while [ $# -gt 0 ]; do
    case $1 in
        --budget)
            case ${2:?--budget needs a value} in
                /*) budget=$2 ;;
                *) budget=$caller/$2 ;;
            esac
            shift
            ;;
        *) options+=("$1") ;;
    esac
    shift
done

# shellcheck source=scripts/lib/need.sh
. "$root/scripts/lib/need.sh"
need_rust
need "gcc libc6-dev" links_programs
need git command -v git # a library calls it while it is built
need valgrind command -v valgrind
install_missing

cd "$root"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}"
export CARGO_BUILD_JOBS="${CARGO_BUILD_JOBS:-2}"
# Empty flags are taken instead of those of a configuration.
env -u CARGO_ENCODED_RUSTFLAGS RUSTFLAGS= \
    cargo build --quiet --locked --release -p shoal-bench --bin shoal-bench

processor=x86_64
grep -qw avx2 /proc/cpuinfo && processor="x86_64 with AVX2"
toolchain="$(rustc --version), $(getconf GNU_LIBC_VERSION), $(valgrind --version), $processor"
exec "$CARGO_TARGET_DIR/release/shoal-bench" instructions \
    --budget "$budget" --toolchain "$toolchain" "${options[@]}"
