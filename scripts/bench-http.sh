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

Servers: shoal (io_uring), shoal-epoll (the same where io_uring is forbidden), aquatic (aquatic_http
0.9.0), opentracker (of Debian; http-close only, for it knows neither keep-alive nor TLS).

What is missing is installed: wrk, opentracker and openssl with apt-get, aquatic_http with cargo
below the target folder.

  --rounds N           how often each server is measured, in turn (3)
  --duration S         seconds of each measured load (10)
  --only NAMES         some of shoal,shoal-epoll,aquatic,opentracker (all)
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

fail() {
    echo "bench-http.sh: $1" >&2
    exit "${2:-1}"
}

# Paths on the command line are the caller's.
caller=$PWD
cd "$(dirname "$0")/.."
root=$PWD
from_caller() {
    case $1 in
        /*) echo "$1" ;;
        *) echo "$caller/$1" ;;
    esac
}

rounds='' duration='' connections=100 clients=48 idle=10000 torrents=10000 quick=no
servers=shoal,shoal-epoll,aquatic,opentracker
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
        shoal | shoal-epoll | aquatic | opentracker) ;;
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
if wants shoal || wants shoal-epoll; then
    packages+=(-p shoal)
fi
cargo build --release --locked "${packages[@]}"
programs=$(cd "$CARGO_TARGET_DIR/release" && pwd)
bench=$programs/shoal-bench

# Its metrics are left out, because the release of their crate that it is locked to does not compile
# with Rust 1.95. It costs nothing: it is a little less that aquatic_http does for a request.
aquatic=$CARGO_TARGET_DIR/tools/bin/aquatic_http
if wants aquatic && [[ ! -x $aquatic ]]; then
    tools=$CARGO_TARGET_DIR/tools
    cargo install --quiet --locked --root "$tools" --target-dir "$tools/build" \
        --no-default-features --features mimalloc aquatic_http@0.9.0
    rm -rf "$tools/build"
fi

host=127.0.0.1
first_port=$port starts=0
certificate=$scratch/certificate.pem private_key=$scratch/private_key.pem
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
    -subj /CN=localhost -addext "subjectAltName=DNS:localhost,IP:$host" \
    -keyout "$private_key" -out "$certificate" 2>/dev/null

# Debian's opentracker serves torrents that it was told of only, so all servers are asked for these.
hashes=$scratch/hashes
head -c $((20 * torrents)) /dev/urandom | od -An -v -tx1 -w20 | tr -d ' ' >"$hashes"

# Prints the configuration of aquatic_http, which does not look at what a request says of its
# connection.
aquatic_config() {
    local load=$1 keep_alive=true tls=false
    [[ $load == *-keepalive || $load == *-idle ]] || keep_alive=false
    [[ $load != https-* ]] || tls=true
    cat <<TOML
socket_workers = 1
swarm_workers = 1
[network]
address = "$address"
keep_alive = $keep_alive
enable_tls = $tls
tls_certificate_path = "$certificate"
tls_private_key_path = "$private_key"
TOML
}

is_listening() {
    (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null
}

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
        --set "udp.listen=$address" --set control.listen=)
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
        shoal-epoll) command=("${shoal[@]}" --set workers.backend=mmsg) ;;
        aquatic)
            aquatic_config "$load" >"$scratch/home/aquatic.toml"
            command=("$aquatic" -c aquatic.toml)
            ;;
        opentracker)
            # Started as root it locks itself into its folder and becomes nobody.
            cp "$hashes" "$scratch/home/hashes"
            chmod 755 "$scratch/home"
            command=(opentracker -i "$host" -p "$port" -d "$scratch/home" -u nobody -w hashes)
            ;;
    esac
    if is_listening; then
        fail "something already answers on $address; choose another --port"
    fi
    (cd "$scratch/home" && exec taskset -c "$server_cpu" "${command[@]}") >"$scratch/server.log" 2>&1 &
    server_pid=$!
    for ((tenth = 0; tenth < 100; tenth++)); do
        if is_listening; then
            return
        fi
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.1
    done
    sed 's/^/    /' "$scratch/server.log" >&2
    fail "$server did not start; what it said stands above"
}

# In the background and waited for, so that a signal to this script is obeyed at once.
generate() {
    local file=$1
    shift
    "$bench" "$@" >"$file" 2>"$scratch/load.log" &
    generator_pid=$!
    if ! wait "$generator_pid"; then
        generator_pid=''
        sed 's/^/    /' "$scratch/load.log" "$scratch/server.log" >&2
        fail "the load $(basename "$file" .json) failed"
    fi
    generator_pid=''
}

cost_of() {
    local file=$1
    shift
    generate "$file" cost --pid "$server_pid" --cpu "$generator_cpu" --json -- "$@"
}

# Every reply is looked at while the server warms up, and none while it is measured: one generator
# CPU cannot do both.
measure_wrk() {
    local file=$1 url=$2
    shift 2
    local wrk=(wrk -t1 "-c$connections" --latency -s "$root/bench/http/announce.lua")
    cost_of "$scratch/warmup.json" "${wrk[@]}" -d1 "$url" -- "hashes=$hashes" "$@" check
    cost_of "$file" "${wrk[@]}" "-d$duration" "$url" -- "hashes=$hashes" "$@"
}

measure_handshakes() {
    local file=$1
    shift
    local https=("$bench" https --target "$address" --certificate "$certificate"
        --connections "$clients" --torrents "$torrents" --json "$@")
    cost_of "$scratch/warmup.json" "${https[@]}" --duration 1
    cost_of "$file" "${https[@]}" --duration "$duration"
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
