#!/usr/bin/env bash
# Loads a tracker for a long time and looks whether anything drifts. See --help.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/soak.sh [--minutes N] [--out DIR] [OPTION...]

Builds the tracker and the generator in the release profile, makes a certificate, starts a tracker on
free ports of loopback and loads it for N minutes (60) with all that a tracker meets: announces over
UDP, HTTP and HTTPS, over IPv4 and IPv6, by peers that come, complete, stop and fall silent; requests
with connection ids that are made up or out of date, garbage, slow clients, SIGHUPs with other lists,
calls of the API, scrapes of /metrics, a browser on the page of statistics, snapshots. Every ten seconds
it looks at memory, open files, threads, latency and losses, and compares the torrents and peers that
the tracker tells of with those that should be known. At the end it prints a table by quarters and a
verdict with its reasons. Exit code 1 when anything drifts. It ends by itself, ends what it has
started, and takes about one CPU; it can run beside other work.

  --minutes N        how long the load lasts (60)
  --out DIR          where the result goes: soak.md, soak.csv, pictures, and the tracker's configuration,
                     log and store (target/soak/ and the time)
  --shoal FILE       soak this program and do not build one
  --help             this text

All others go to `shoal-bench soak`, which has them in its --help: --rate 5000, --torrents 20000,
--interval 15, --latency-slack MS (5), --restart-every MINUTES (by SIGUSR2; never), --set KEY=VALUE of the
configuration.
TEXT
}

# shellcheck source=scripts/lib/caller.sh
. "$(dirname "$0")/lib/caller.sh"
minutes=60 out=target/soak/$(date -u +%Y%m%dT%H%M%SZ) shoal='' more=()
while (($# > 0)); do
    case $1 in
        --help) usage; exit 0 ;;
        --minutes) minutes=${2:?--minutes needs a number}; shift ;;
        --out) out=$(from_caller "${2:?--out needs a folder}"); shift ;;
        --shoal) shoal=$(from_caller "${2:?--shoal needs a file}"); shift ;;
        *) more+=("$1") ;;
    esac
    shift
done

# shellcheck source=scripts/lib/need.sh
. scripts/lib/need.sh
need_rust
need "gcc libc6-dev" links_programs
need openssl command -v openssl
install_missing
target=${CARGO_TARGET_DIR:-target}
cargo build --release --locked --package shoal-bench
if [ -z "$shoal" ]; then
    cargo build --release --locked --package shoal
    shoal=$target/release/shoal
fi

mkdir -p "$out"
scratch=$(mktemp -d)
# shellcheck source=scripts/lib/http.sh
. scripts/lib/http.sh
make_certificate
soak=''
# shellcheck disable=SC2317 # by the trap below
end() {
    # The generator ends its tracker on SIGTERM.
    [ -z "$soak" ] || { kill "$soak" 2>/dev/null && wait "$soak"; } || true
    rm -rf "$scratch"
}
trap end EXIT
trap 'exit 1' INT TERM
# In the background and waited for, so that a signal to the script is obeyed at once.
# shellcheck disable=SC2154
"$target/release/shoal-bench" soak --shoal "$shoal" --certificate "$certificate" --private-key "$private_key" \
    --minutes "$minutes" --out "$out" "${more[@]}" &
soak=$!
status=0
wait "$soak" || status=$?
soak=''
exit $status
