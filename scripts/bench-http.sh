#!/usr/bin/env bash
# Measures Shoal over HTTP beside other trackers and prints one page of tables. See --help.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/bench-http.sh [OPTIONS]

Starts each server in turn on one CPU, loads it from another, and prints medians as Markdown. Needs
two CPUs that are otherwise idle; sends to loopback only. Takes about fifteen minutes; --quick takes
two.

Loads: http-keepalive, http-close (a connection for each announce), https-keepalive, https-full (a
connection and a full handshake for each), https-resumed (the same with resumption), http-idle and
https-idle (memory of connections that do nothing).

Servers: shoal, aquatic (aquatic_http 0.9.0), opentracker (of Debian; http-close only, for it knows
neither keep-alive nor TLS).

What is missing is installed: wrk, opentracker and openssl with apt-get, aquatic_http with cargo
into the folder that SHOAL_BENCH_PEERS names, or shoal-bench/peers in the user's cache folder.

  --rounds N           how often each server is measured, in turn (3)
  --duration S         seconds of each measured load (10)
  --only NAMES         some of shoal,aquatic,opentracker (all)
  --loads NAMES        some of the loads above (all)
  --connections N      connections at the same time with keep-alive or wrk (100)
  --clients N          the same for full and resumed handshakes (48)
  --idle N             idle connections (10000)
  --quick              one round of 2 s
  --server-cpu N       CPU of the servers (0)
  --generator-cpu N    CPU of the generator (1)
  --port N             first of the TCP and UDP ports on 127.0.0.1 (7080)
  --results DIR        keep the result of every run there (a temporary directory)
  --out FILE           also write the page to FILE
  --write              also put the page into bench/README.md
  --help               this text

SHOAL_BENCH_ARGS     more arguments for every "shoal run", split at spaces
TEXT
}

# shellcheck source=scripts/lib/caller.sh
. "$(dirname "$0")/lib/caller.sh"

rounds='' duration='' connections=100 clients=48 idle=10000 torrents=10000 quick=no
servers=shoal,aquatic,opentracker
loads=http-keepalive,http-close,https-keepalive,https-full,https-resumed,http-idle,https-idle
server_cpu=0 generator_cpu=1 port=7080 results='' out='' write=no

while (($# > 0)); do
    case $1 in
        --help) usage; exit 0 ;;
        --quick) quick=yes; shift; continue ;;
        --write) write=yes; shift; continue ;;
        --rounds | --duration | --only | --loads | --connections | --clients | --idle | --server-cpu | --generator-cpu | --port | --results | --out)
            (($# > 1)) || fail "$1 needs a value" 2 ;;
        *) usage >&2; exit 2 ;;
    esac
    case $1 in
        --rounds) rounds=$2 ;;
        --duration) duration=$2 ;;
        --only) servers=$2 ;;
        --loads) loads=$2 ;;
        --connections) connections=$2 ;;
        --clients) clients=$2 ;;
        --idle) idle=$2 ;;
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
fi
: "${rounds:=3}" "${duration:=10}"
IFS=, read -r -a servers <<<"$servers"
IFS=, read -r -a loads <<<"$loads"
for server in "${servers[@]}"; do
    case $server in
        shoal | aquatic | opentracker) ;;
        *) fail "there is no server named $server; see --help" 2 ;;
    esac
done
for load in "${loads[@]}"; do
    case $load in
        http-keepalive | http-close | http-idle | https-keepalive | https-full | https-resumed | https-idle) ;;
        *) fail "there is no load named $load; see --help" 2 ;;
    esac
done
[[ $server_cpu != "$generator_cpu" ]] || fail "the server and the generator need a CPU each" 2

# Both sides of every connection are files.
ulimit -n "$(ulimit -Hn)"
open_files=$(ulimit -n)
if [[ " ${loads[*]} " == *-idle* && $open_files != unlimited ]] && ((open_files < idle + 500)); then
    fail "$idle idle connections need as many open files; this shell may have $open_files (ulimit -Hn)"
fi

# shellcheck source=scripts/lib/servers.sh
. "$root/scripts/lib/servers.sh"

wants() {
    [[ " ${servers[*]} " == *" $1 "* ]]
}

# shellcheck source=scripts/lib/need.sh
. "$root/scripts/lib/need.sh"
need_rust
need wrk command -v wrk
need openssl command -v openssl
need util-linux command -v taskset
! wants opentracker || need opentracker command -v opentracker
install_missing

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}"
packages=(-p shoal-bench)
if wants shoal; then
    packages+=(-p shoal)
fi
cargo build --release --locked "${packages[@]}"
programs=$(cd "$CARGO_TARGET_DIR/release" && pwd)
bench=$programs/shoal-bench

# shellcheck source=scripts/lib/peers.sh
. "$root/scripts/lib/peers.sh"
! wants aquatic || install_peer aquatic_http

host=127.0.0.1
first_port=$port starts=0
# shellcheck source=scripts/lib/http.sh
. "$root/scripts/lib/http.sh"
make_certificate
make_hashes

start_server() {
    local server=$1 load=$2 command
    # A port of its own for every start: the connections of a server that closes first linger for a
    # minute and keep others from its port.
    port=$((first_port + starts % 100))
    starts=$((starts + 1))
    address=$host:$port
    # A state of its own for every start, so that no server finds the peers of the last.
    rm -rf "${scratch:?}/home"
    mkdir "$scratch/home"
    local shoal=("$programs/shoal" run --set workers.count=1 --set workers.http_threads=1
        --set "udp.listen=$address" --set control.listen= "${no_limits[@]}")
    if [[ $load == https-* ]]; then
        shoal=(env "SHOAL_CONFIG_TOML=[[http]]
listen = \"$address\"
tls = { certificate = \"$certificate\", private_key = \"$private_key\" }" "${shoal[@]}")
    else
        shoal+=(--set "http.listen=$address")
    fi
    # Split on purpose: the variable is a list of words.
    # shellcheck disable=SC2206
    shoal+=(${SHOAL_BENCH_ARGS:-})
    case $server in
        shoal) command=("${shoal[@]}" --set workers.backend=io_uring) ;;
        aquatic)
            aquatic_http_config "$load" "$address" >"$scratch/home/aquatic.toml"
            command=("$peers_cache/bin/aquatic_http" -c aquatic.toml)
            ;;
        opentracker)
            # Started as root it locks itself into its folder and becomes nobody.
            cp "$hashes" "$scratch/home/hashes"
            chmod 755 "$scratch/home"
            command=(opentracker -i "$host" -p "$port" -d "$scratch/home" -u nobody -w hashes)
            ;;
    esac
    if is_listening "$address"; then
        fail "something already answers on $address; choose another --port"
    fi
    (cd "$scratch/home" && exec taskset -c "$server_cpu" "${command[@]}") >"$server_log" 2>&1 &
    server_pid=$!
    for ((tenth = 0; tenth < 100; tenth++)); do
        if is_listening "$address"; then
            return
        fi
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.1
    done
    sed 's/^/    /' "$server_log" >&2
    fail "$server did not start; what it said stands above"
}

measure() {
    local server=$1 load=$2 file=$results/$1.$2.$3.json
    local waiting=(http-idle --target "$address" --connections "$idle" --pid "$server_pid" --json)
    case $load in
        http-keepalive) measure_wrk "$file" "http://$address/" ;;
        http-close) measure_wrk "$file" "http://$address/" close ;;
        https-keepalive) measure_wrk "$file" "https://$address/" ;;
        https-full) measure_handshakes "$file" --no-resume ;;
        https-resumed) measure_handshakes "$file" --resume ;;
        http-idle) generate "$file" "${waiting[@]}" ;;
        https-idle) generate "$file" "${waiting[@]}" --certificate "$certificate" ;;
    esac
}

for ((round = 1; round <= rounds; round++)); do
    for load in "${loads[@]}"; do
        for server in "${servers[@]}"; do
            if [[ $server == opentracker && $load != http-close ]]; then
                continue
            fi
            echo "round $round of $rounds: $load: $server" >&2
            start_server "$server" "$load"
            measure "$server" "$load" "$round"
            stop_server
        done
    done
done

table=("$bench" table --http --dir "$results" --date "$(date -u +%F)")
[[ $write == no ]] || table+=(--write bench/README.md)
if [[ -n $out ]]; then
    "${table[@]}" | tee "$out"
else
    "${table[@]}"
fi
