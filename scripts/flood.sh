#!/usr/bin/env bash
# Measures what honest clients notice of a flood of forged connection ids. See --help.
set -euo pipefail

usage() {
    cat <<'END'
Usage: scripts/flood.sh [OPTIONS]

Starts a release of Shoal with one core, and asks it for announces at an even pace: alone at first, then
beside a generator that sends forged connection ids as fast as one CPU can. Prints how many honest
announces were lost and how late answers came, and fails when more than 1% were lost or when the slowest
hundredth took more than five times as long as alone. Limits by source are on, with room for the honest
generator, which is one address, and which sleeps between its announces and goes before all others on its
CPU where it may. Sends to loopback only: honest announces come from 127.0.0.1, the flood
from 127.0.0.2 and the seven addresses behind it. Ends by itself, after two minutes at most when nothing
has to be built.

  --rate N             honest announces a second (5000)
  --duration S         seconds of each measurement, 1 to 40 (10)
  --backend NAME       io_uring or mmsg (io_uring)
  --server-cpu N       CPU of the server (0)
  --flood-cpu N        CPU of the flood (1)
  --honest-cpu N       CPU of the honest generator (2; 1 where there are but two, and then the flood is in
                       its way, which shows in the times and not in the losses)
  --sieve-from N       flood.sieve_from of the server (20000); 0 leaves every forged id to the server
  --port N             UDP port on 127.0.0.1 (7021)
  --results DIR        keep the results there (a temporary directory)
  --only-losses        do not fail for times: they mean little on a machine that has other work
  --no-build           the programs are there
  --help               this text
END
}

# shellcheck source=scripts/lib/caller.sh
. "$(dirname "$0")/lib/caller.sh"

rate=5000 duration=10 backend=io_uring server_cpu=0 flood_cpu=1 honest_cpu='' port=7021 sieve_from=20000 results=''
only_losses=no build=yes
while (($# > 0)); do
    case $1 in
        --help) usage; exit 0 ;;
        --only-losses) only_losses=yes; shift; continue ;;
        --no-build) build=no; shift; continue ;;
        --rate | --duration | --backend | --server-cpu | --flood-cpu | --honest-cpu | --sieve-from | --port | --results)
            (($# > 1)) || fail "$1 needs a value" 2 ;;
        *) usage >&2; exit 2 ;;
    esac
    case $1 in
        --rate) rate=$2 ;;
        --duration) duration=$2 ;;
        --backend) backend=$2 ;;
        --server-cpu) server_cpu=$2 ;;
        --flood-cpu) flood_cpu=$2 ;;
        --honest-cpu) honest_cpu=$2 ;;
        --sieve-from) sieve_from=$2 ;;
        --port) port=$2 ;;
        --results) results=$(from_caller "$2") ;;
    esac
    shift 2
done
if ! [[ $duration =~ ^[0-9]+$ ]] || ((duration < 1 || duration > 40)); then
    fail "--duration is 1 to 40" 2
fi
if [[ -z $honest_cpu ]]; then
    honest_cpu=$(($(nproc) > 2 ? 2 : 1))
fi
[[ $server_cpu != "$flood_cpu" ]] || fail "the server and the flood need a CPU each" 2

# shellcheck source=scripts/lib/servers.sh
. "$root/scripts/lib/servers.sh"

[[ $build == no ]] || cargo build --release --locked -p shoal -p shoal-bench
programs=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd)
bench=$programs/shoal-bench
address=127.0.0.1:$port

# An honest generator is one address for everybody, and may ask as often.
mkdir "$scratch/home"
(cd "$scratch/home" && exec taskset -c "$server_cpu" "$programs/shoal" run --set workers.count=1 \
    --set workers.pin=false --set "workers.backend=$backend" --set "udp.listen=$address" --set http.listen= \
    --set control.listen= --set store.path= --set flood.per_source=$((2 * rate)) --set flood.per_network=0 --set "flood.sieve_from=$sieve_from") \
    >"$scratch/server.log" 2>&1 &
server_pid=$!
"$bench" wait --target "$address" --timeout 20 || {
    sed 's/^/    /' "$scratch/server.log" >&2
    fail "the server did not start"
}

# Priority, where it may have some: it is to measure the server and not the flood's share of a CPU.
first=()
if chrt --fifo 1 true 2>/dev/null; then
    first=(chrt --fifo 1)
elif [[ $(id -u) == 0 ]]; then
    first=(nice -n -20)
fi

# honest NAME OPTION...: announces at an even pace, into a file.
honest() {
    local name=$1
    shift
    if ! "${first[@]}" "$bench" load --target "$address" --cpu "$honest_cpu" --rate "$rate" --mix 0:1:0 --torrents 1000 \
        --peers-per-torrent 8 --sources 4 --no-gso --sleep --warmup 2 --duration "$duration" \
        --json "$results/$name.json" "$@" >"$scratch/$name.log" 2>&1; then
        sed 's/^/    /' "$scratch/$name.log" >&2
        fail "the honest load failed"
    fi
}

echo "calm" >&2
honest calm --fill
echo "beside a flood" >&2
"$bench" load --target "$address" --cpu "$flood_cpu" --stale-share 0.9 --window 4096 --mix 0:1:0 --torrents 1000 \
    --peers-per-torrent 8 --sources 8 --source-addresses 8 --warmup 0 --duration $((duration + 6)) \
    --json "$results/flood.json" >"$scratch/flood.log" 2>&1 &
generator_pid=$!
sleep 1
honest flooded
wait "$generator_pid" || fail "the flood ended too soon: $(tail -1 "$scratch/flood.log")"
generator_pid=''

# number FILE KEY: the first value of a key behind the line of all requests together.
number() {
    awk -v key="\"$2\":" '/"all": \{/ { is_in = 1 } is_in && $1 == key { gsub(/,/, "", $2); print $2; exit }' \
        "$results/$1.json"
}
forged=$(awk '/"forged": \{/ { is_in = 1 } is_in && $1 == "\"sent\":" { gsub(/,/, "", $2); print $2; exit }' \
    "$results/flood.json")

awk -v rate="$rate" -v backend="$backend" -v sieve_from="$sieve_from" -v forged="$forged" -v seconds=$((duration + 6)) \
    -v calm_loss="$(number calm loss_share)" -v loss="$(number flooded loss_share)" \
    -v calm_p50="$(number calm p50)" -v p50="$(number flooded p50)" \
    -v calm_p99="$(number calm p99)" -v p99="$(number flooded p99)" -v only_losses="$only_losses" 'BEGIN {
    printf "%s, %d honest announces a second, %.0f forged ones a second, flood.sieve_from = %d\n\n", backend, rate, forged / seconds, sieve_from
    print "| | lost, % | p50, us | p99, us |"
    print "|---|---|---|---|"
    printf "| calm | %.3f | %.0f | %.0f |\n", 100 * calm_loss, calm_p50, calm_p99
    printf "| beside the flood | %.3f | %.0f | %.0f |\n", 100 * loss, p50, p99
    if (loss >= 0.01) { print "more than 1% of the honest announces were lost"; bad = 1 }
    if (p99 > 5 * calm_p99 && only_losses == "no") { printf "p99 is %.1f times that of a calm server\n", p99 / calm_p99; bad = 1 }
    exit bad
}'
