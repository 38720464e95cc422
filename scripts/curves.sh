#!/usr/bin/env bash
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ "${1:-}" = --help ]; then
    cat <<'HELP'
usage: scripts/curves.sh [OPTION...]

Builds the release of shoal-bench and measures how costs grow: `shoal-bench curves OPTION...`, with
today's date. Wants two CPUs that are otherwise idle, 8 GiB of memory and some ten minutes.

  --write bench/curves.md   put tables there, and pictures into bench/curves
  --only NAMES              torrents, peers, arrival, numwant, batch, sweep, store, cores
                            or overload
  --quick                   a look, not a measurement

`target/release/shoal-bench curves --help` has the others.
HELP
    exit
fi

# shellcheck source=scripts/lib/need.sh
. "$root/scripts/lib/need.sh"
need_rust
cargo build --release --manifest-path "$root/Cargo.toml" -p shoal-bench
exec "${CARGO_TARGET_DIR:-$root/target}/release/shoal-bench" curves --date "$(date -u +%F)" "$@"
