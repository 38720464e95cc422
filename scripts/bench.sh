#!/usr/bin/env bash
# Measures Shoal beside the bare echo and prints one page of tables. See --help.
set -euo pipefail

if [[ ${1:-} == compare ]]; then
    shift
    exec "$(dirname "$0")/compare.sh" "$@"
fi

usage() {
    cat <<'END'
Usage: scripts/bench.sh [OPTIONS]
       scripts/bench.sh compare [OPTIONS]      Shoal beside other trackers; see compare --help

Builds the release programs, starts each server in turn on one CPU, loads it from another, and
prints medians and ratios as Markdown. Needs two CPUs that are otherwise idle; sends to loopback
only. Takes about seven minutes; --quick takes one.

  --rounds N           how often each server is measured, in turn (3)
  --duration S         seconds of each measured load (10)
  --rate N             requests per second of the paced load (20000)
  --dist SPREAD        uniform, zipf or zipf:EXPONENT (uniform)
  --only NAMES         some of echo,shoal-io_uring,shoal-mmsg,shoal-no-prefetch
  --with-no-prefetch   also measure shoal-no-prefetch
  --quick              one round of 2 s with 100 000 torrents, no memory shapes
  --server-cpu N       CPU of the servers (0)
  --generator-cpu N    CPU of the generator (1)
  --port N             UDP port on 127.0.0.1 (7001)
  --results DIR        keep the result of every run there (a temporary directory)
  --out FILE           also write the page to FILE
  --write              also put the page into bench/README.md
  --help               this text

SHOAL_BENCH_ARGS     more arguments for every "shoal run", split at spaces
END
}

# shellcheck source=scripts/lib/caller.sh
. "$(dirname "$0")/lib/caller.sh"

rounds='' duration='' warmup=2 rate=20000 dist=uniform torrents=1000000 idle=10
servers=echo,shoal-io_uring,shoal-mmsg
quick=no no_prefetch=no server_cpu=0 generator_cpu=1 port=7001 results='' out='' write=no

while (($# > 0)); do
    case $1 in
        --help) usage; exit 0 ;;
        --with-no-prefetch) no_prefetch=yes; shift; continue ;;
        --quick) quick=yes; shift; continue ;;
        --write) write=yes; shift; continue ;;
        --rounds | --duration | --rate | --dist | --only | --server-cpu | --generator-cpu | --port | --results | --out)
            (($# > 1)) || fail "$1 needs a value" 2 ;;
        *) usage >&2; exit 2 ;;
    esac
    case $1 in
        --rounds) rounds=$2 ;;
        --duration) duration=$2 ;;
        --rate) rate=$2 ;;
        --dist) dist=$2 ;;
        --only) servers=$2 ;;
        --server-cpu) server_cpu=$2 ;;
        --generator-cpu) generator_cpu=$2 ;;
        --port) port=$2 ;;
        --results) results=$(from_caller "$2") ;;
        --out) out=$(from_caller "$2") ;;
    esac
    shift 2
done

if [[ $quick == yes ]]; then
    : "${rounds:=1}" "${duration:=2}"
    warmup=1 torrents=100000 idle=3
fi
: "${rounds:=3}" "${duration:=10}"
if [[ $no_prefetch == yes ]]; then
    servers+=,shoal-no-prefetch
fi
IFS=, read -r -a servers <<<"$servers"
for server in "${servers[@]}"; do
    case $server in
        echo | shoal-io_uring | shoal-mmsg | shoal-no-prefetch) ;;
        *) fail "there is no server named $server; see --help" 2 ;;
    esac
done
[[ $server_cpu != "$generator_cpu" ]] || fail "the server and the generator need a CPU each" 2

# shellcheck source=scripts/lib/servers.sh
. "scripts/lib/servers.sh"

packages=(-p shoal-bench)
[[ "${servers[*]}" == echo ]] || packages+=(-p shoal)
cargo build --release "${packages[@]}"
target=${CARGO_TARGET_DIR:-target}
programs=$(cd "$target/release" && pwd)
bench=$programs/shoal-bench

address=127.0.0.1:$port
peers=4

start_server() {
    local server=$1 shape_peers=$2 command
    local shoal=("$programs/shoal" run --set workers.count=1 --set "udp.listen=$address" --set http.listen= --set control.listen=
        "${no_limits[@]}")
    # Split on purpose: the variable is a list of words.
    # shellcheck disable=SC2206
    shoal+=(${SHOAL_BENCH_ARGS:-})
    case $server in
        # Its replies carry as many peers as a swarm can give to one of its members.
        echo) command=("$bench" echo --listen "$address" --peers "$((shape_peers - 1))" --duration 86400) ;;
        shoal-io_uring) command=("${shoal[@]}" --set workers.backend=io_uring) ;;
        shoal-mmsg) command=("${shoal[@]}" --set workers.backend=mmsg) ;;
        shoal-no-prefetch)
            command=("${shoal[@]}" --set workers.backend=io_uring --set workers.prefetch=false) ;;
    esac
    if "$bench" wait --target "$address" --timeout 0.1 2>/dev/null; then
        fail "something already answers on $address; choose another --port"
    fi
    # A state of its own for every start, so that no server finds the peers of the last.
    rm -rf "${scratch:?}/home"
    mkdir "$scratch/home"
    (cd "$scratch/home" && exec taskset -c "$server_cpu" "${command[@]}") >"$server_log" 2>&1 &
    server_pid=$!
    for ((second = 0; second < 20; second++)); do
        if "$bench" wait --target "$address" --timeout 1 2>/dev/null; then
            return
        fi
        kill -0 "$server_pid" 2>/dev/null || break
    done
    sed 's/^/    /' "$server_log" >&2
    fail "$server did not start; what it said stands above"
}

# In the background and waited for, so that a signal to this script is obeyed at once.
generate() {
    local file=$1
    shift
    "$bench" load --target "$address" --cpu "$generator_cpu" --pid "$server_pid" --strict \
        --dist "$dist" --json "$file" "$@" >"$scratch/load.log" 2>&1 &
    generator_pid=$!
    await_generator "$file"
}

# Fills a fresh server with a shape and notes what it takes.
fill() {
    local file=$1 shape_torrents=$2 shape_peers=$3
    generate "$file" --fill --duration 0 --verify 1000 \
        --torrents "$shape_torrents" --peers-per-torrent "$shape_peers"
}

measure() {
    local server=$1 round=$2
    local crowd=(--torrents "$torrents" --peers-per-torrent "$peers" --warmup "$warmup" --duration "$duration")
    start_server "$server" "$peers"
    if [[ $server != echo ]]; then
        local filled=$results/$server.memory-1Mx4.$round.json
        # Another shape, so not under the name of this one; what went wrong is still told.
        [[ $quick == no ]] || filled=$results/$server.fill.$round.json
        fill "$filled" "$torrents" "$peers"
    fi
    generate "$results/$server.saturated.$round.json" "${crowd[@]}"
    generate "$results/$server.paced.$round.json" "${crowd[@]}" --rate "$rate"
    "$bench" watch --pid "$server_pid" --duration "$idle" --json >"$results/$server.idle.$round.json"
    stop_server
}

measure_memory() {
    local server=$1
    start_server "$server" 400
    fill "$results/$server.memory-10kx400.1.json" 10000 400
    stop_server
    start_server "$server" 1
    fill "$results/$server.memory-2Mx1.1.json" 2000000 1
    stop_server
}

for ((round = 1; round <= rounds; round++)); do
    for server in "${servers[@]}"; do
        echo "round $round of $rounds: $server" >&2
        measure "$server" "$round"
    done
done
if [[ $quick == no ]]; then
    for server in "${servers[@]}"; do
        [[ $server != echo ]] || continue
        echo "memory: $server" >&2
        measure_memory "$server"
    done
fi

table=("$bench" table --dir "$results" --date "$(date -u +%F)")
[[ $write == no ]] || table+=(--write bench/README.md)
if [[ -n $out ]]; then
    "${table[@]}" | tee "$out"
else
    "${table[@]}"
fi
