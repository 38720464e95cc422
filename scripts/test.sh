#!/usr/bin/env bash
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ "${1:-}" = --help ]; then
    cat <<'HELP'
usage: scripts/test.sh [OPTION...]

Runs every test of Shoal as `cargo test --workspace --locked OPTION...`. On a Debian host that has
Rust it first installs, with apt-get, whichever it lacks of: a C linker, git, iproute2, the BitTorrent
clients that meet through the tracker in tests/real_clients.rs (aria2, Transmission, libtorrent for
Debian's Python), what stands around HTTP in tests/http*.rs (curl, openssl, nginx with its stream
module, HAProxy, Caddy), the tracker that tests/conformance.rs tells apart (opentracker), what reads the metrics in
tests/metrics.rs (Prometheus with promtool), the browser that looks at the pages (Chromium with its
driver), what counts the instructions of bench/tests/instructions.rs (valgrind), and what writes the bill of
materials (jq). axe-core, which
looks for what keeps people from using the pages, comes with npm from its registry.

Builds and tests use two cores, unless CARGO_BUILD_JOBS and RUST_TEST_THREADS say otherwise.
HELP
    exit
fi

# shellcheck source=scripts/lib/need.sh
. "$root/scripts/lib/need.sh"
# shellcheck source=scripts/lib/axe.sh
. "$root/scripts/lib/axe.sh"
need_rust
need "gcc libc6-dev" links_programs
need git command -v git # a library calls it while it is built
need iproute2 command -v ip
need aria2 command -v aria2c
need transmission-daemon command -v transmission-daemon
need transmission-cli command -v transmission-cli
need opentracker command -v opentracker
need "python3 python3-libtorrent" /usr/bin/python3 -c 'import libtorrent'
need prometheus command -v promtool
need curl command -v curl
need openssl command -v openssl
need chromium command -v chromium
need chromium-driver command -v chromedriver
need "nginx libnginx-mod-stream" passes_connections
need haproxy in_path haproxy
need caddy in_path caddy
need valgrind command -v valgrind
need jq command -v jq
need libfaketime has_faketime
need_axe
install_missing
fetch_axe

cd "$root"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}"
export CARGO_BUILD_JOBS="${CARGO_BUILD_JOBS:-2}"
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-2}"
exec cargo test --workspace --locked "$@"
