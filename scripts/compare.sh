#!/usr/bin/env bash
# Measures Shoal beside other trackers and prints one page of tables. See --help.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/bench.sh compare [OPTIONS]

Installs other trackers from public registries, starts each on one CPU (all of its threads), loads
them from another CPU with the same generator, in turn, again and again, and prints medians and ratios
to Shoal and to the bare echo as Markdown. Needs two CPUs that are otherwise idle and some 5 GiB of
memory; sends to loopback only. Takes about 25 minutes once everything is built; --quick takes three.

Servers: echo (replies made beforehand), shoal (io_uring), aquatic (aquatic_udp and aquatic_http 0.9.0),
opentracker (of Debian), torrust (Torrust Tracker 3.0.0). Each is measured in what it can do:
Debian's opentracker knows neither IPv6, nor keep-alive, nor TLS.

Rows: udp4, udp6 (saturated, and latency by the clock), memory (three shapes of peers, and many peers by
Zipf's law), http-keepalive, http-close (a connection for each announce), https-full (a connection and
a full handshake for each), https-resumed (the same with resumption).

  --rounds N           how often each server is measured, in turn (3)
  --duration S         seconds of each measured load (5)
  --rate N             requests per second of the load by the clock (20000)
  --only NAMES         some of echo,shoal,aquatic,opentracker,torrust (all)
  --rows NAMES         some of the rows above (all)
  --fill-limit S       most seconds that a server is filled with peers (60; by Zipf's law twice that)
  --zipf N             peers that lie by Zipf's law over a quarter as many torrents (10000000)
  --quick              one round of 1 s, and a twentieth of the torrents and peers
  --peers DIR          the trackers are installed there; also SHOAL_BENCH_PEERS (shoal-bench/peers in
                       the user's cache folder)
  --install            install what is missing and end
  --server-cpu N       CPU of the servers (0)
  --generator-cpu N    CPU of the generator (1)
  --port N             first of the ports on loopback, a few hundred (7100)
  --results DIR        keep the result of every run there (a temporary directory)
  --out FILE           also write the page to FILE
  --write              also put the page into bench/README.md, and pictures into bench/plots
  --help               this text

SHOAL_BENCH_ARGS     more arguments for every "shoal run", split at spaces
TEXT
}

# shellcheck source=scripts/lib/caller.sh
. "$(dirname "$0")/lib/caller.sh"

rounds='' duration='' rate=20000 fill_limit='' zipf=10000000 quick=no scale=1 install_only=no
connections=100 clients=48 torrents=10000
all_servers=(echo shoal aquatic opentracker torrust)
servers=("${all_servers[@]}")
all_rows=(udp4 udp6 memory http-keepalive http-close https-full https-resumed)
rows=("${all_rows[@]}")
server_cpu=0 generator_cpu=1 first_port=7100 results='' out='' write=no

while (($# > 0)); do
    case $1 in
        --help) usage; exit 0 ;;
        --quick) quick=yes; shift; continue ;;
        --install) install_only=yes; shift; continue ;;
        --write) write=yes; shift; continue ;;
        --rounds | --duration | --rate | --only | --rows | --fill-limit | --zipf | --peers | --server-cpu | --generator-cpu | --port | --results | --out)
            (($# > 1)) || fail "$1 needs a value" 2 ;;
        *) usage >&2; exit 2 ;;
    esac
    case $1 in
        --rounds) rounds=$2 ;;
        --duration) duration=$2 ;;
        --rate) rate=$2 ;;
        --only) IFS=, read -r -a servers <<<"$2" ;;
        --rows) IFS=, read -r -a rows <<<"$2" ;;
        --fill-limit) fill_limit=$2 ;;
        --zipf) zipf=$2 ;;
        --peers) SHOAL_BENCH_PEERS=$(from_caller "$2") ;;
        --server-cpu) server_cpu=$2 ;;
        --generator-cpu) generator_cpu=$2 ;;
        --port) first_port=$2 ;;
        --results) results=$(from_caller "$2") ;;
        --out) out=$(from_caller "$2") ;;
    esac
    shift 2
done

if [[ $quick == yes ]]; then
    : "${rounds:=1}" "${duration:=1}" "${fill_limit:=10}"
    scale=20
fi
: "${rounds:=3}" "${duration:=5}" "${fill_limit:=60}"
has() {
    local name=$1 each
    shift
    for each; do
        [[ $each != "$name" ]] || return 0
    done
    return 1
}
for server in "${servers[@]}"; do
    has "$server" "${all_servers[@]}" || fail "there is no server named $server; see --help" 2
done
for row in "${rows[@]}"; do
    has "$row" "${all_rows[@]}" || fail "there is no row named $row; see --help" 2
done
[[ $server_cpu != "$generator_cpu" ]] || fail "the server and the generator need a CPU each" 2
ulimit -n "$(ulimit -Hn)"

wants() {
    has "$1" "${servers[@]}"
}

# Any of the rows that begin with this.
wants_rows() {
    [[ " ${rows[*]}" == *" $1"* ]]
}

# shellcheck source=scripts/lib/servers.sh
. "$root/scripts/lib/servers.sh"
# shellcheck source=scripts/lib/need.sh
. "$root/scripts/lib/need.sh"
# shellcheck source=scripts/lib/peers.sh
. "$root/scripts/lib/peers.sh"
# shellcheck source=scripts/lib/http.sh
. "$root/scripts/lib/http.sh"

need_rust
need util-linux command -v taskset
! wants_rows http || need wrk command -v wrk
! wants_rows https || need openssl command -v openssl
! wants opentracker || need opentracker command -v opentracker
if wants aquatic || wants torrust; then
    need build-essential links_programs
fi
! wants torrust || need "pkg-config libssl-dev" pkg-config --exists openssl
install_missing
if wants aquatic; then
    if wants_rows udp || wants_rows memory; then
        install_peer aquatic_udp
    fi
    ! wants_rows http || install_peer aquatic_http
fi
! wants torrust || install_peer torrust-tracker
[[ $install_only == no ]] || exit 0

cargo build --release --locked -p shoal-bench -p shoal
programs=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd)
bench=$programs/shoal-bench
certificate='' private_key=''
! wants_rows https || make_certificate

# What is asked of whom.
can() {
    local server=$1 row=$2
    case $server:$row in
        echo:udp* | shoal:* | aquatic:* | torrust:* | opentracker:udp4 | opentracker:memory | opentracker:http-close) true ;;
        *) false ;;
    esac
}

# Requests in flight while a server is saturated, and while it is filled; more than it takes would only
# be lost, and hold up the generator. Torrust Tracker works on 50 at a time and drops the oldest for the
# next; opentracker leaves its socket the buffer that the kernel gives, 208 KiB by default, and a request
# takes a kilobyte of it.
window() {
    case $1 in
        opentracker) echo 128 ;;
        torrust) echo 48 ;;
        *) echo 1024 ;;
    esac
}

# The command that starts a server: sets `command`, and writes what it needs into the folder `home`. The
# third word is the number of listed torrents, or peers in a reply of the echo.
command_of() {
    local server=$1 row=$2 detail=$3 kind=$2
    [[ $row == http* ]] || kind=udp
    case $server in
        echo) command=("$bench" echo --listen "$address" --peers "$detail" --duration 86400) ;;
        shoal)
            command=("$programs/shoal" run --set workers.count=1 --set workers.http_threads=1
                --set workers.backend=io_uring --set control.listen= "${no_limits[@]}")
            case $kind in
                udp) command+=(--set "udp.listen=$address" --set http.listen=) ;;
                https-*)
                    command=(env "SHOAL_CONFIG_TOML=[[http]]
listen = \"$address\"
tls = { certificate = \"$certificate\", private_key = \"$private_key\" }" "${command[@]}"
                        --set "udp.listen=$address") ;;
                *) command+=(--set "udp.listen=$address" --set "http.listen=$address") ;;
            esac
            # Split on purpose: the variable is a list of words.
            # shellcheck disable=SC2206
            command+=(${SHOAL_BENCH_ARGS:-}) ;;
        aquatic)
            if [[ $kind == udp ]]; then
                aquatic_udp_config "$address" >"$home/aquatic.toml"
                command=("$peers_cache/bin/aquatic_udp" -c aquatic.toml)
            else
                aquatic_http_config "$kind" "$address" >"$home/aquatic.toml"
                command=("$peers_cache/bin/aquatic_http" -c aquatic.toml)
            fi ;;
        opentracker)
            # Started as root it locks itself into its folder and becomes nobody.
            "$bench" hashes --torrents "$detail" >"$home/hashes"
            chmod 755 "$home"
            command=(opentracker -i "${address%:*}" -p "${address##*:}" -P "${address##*:}" -d "$home" -u nobody -w hashes) ;;
        torrust)
            torrust_config "$kind" "$address" >"$home/torrust.toml"
            # One thread for one CPU, which it would find out by itself.
            command=(env TORRUST_TRACKER_CONFIG_TOML_PATH=torrust.toml TOKIO_WORKER_THREADS=1
                "$peers_cache/bin/torrust-tracker") ;;
    esac
}

answers() {
    if [[ $1 == http* ]]; then
        is_listening "$address"
    else
        "$bench" wait --target "$address" --timeout 0.2 2>/dev/null
    fi
}

# Every start has a port of its own: connections that a server closed linger for a minute.
starts=0
declare -A addresses=()
start_server() {
    local server=$1 row=$2 detail=$3 command host=127.0.0.1
    [[ $row != udp6 ]] || host='[::1]'
    address=$host:$((first_port + starts))
    starts=$((starts + 1))
    home=$scratch/home.$server
    server_log=$scratch/$server.log
    rm -rf "${home:?}"
    mkdir "$home"
    command_of "$server" "$row" "$detail"
    ! answers "$row" || fail "something already answers on $address; choose another --port"
    (cd "$home" && exec taskset -c "$server_cpu" "${command[@]}") >"$server_log" 2>&1 &
    server_pid=$!
    running[$server]=$server_pid addresses[$server]=$address
    for ((tenth = 0; tenth < 200; tenth++)); do
        if answers "$row"; then
            return
        fi
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.1
    done
    sed 's/^/    /' "$server_log" >&2
    fail "$server did not start; what it said stands above"
}

# Those who wait for their turn do nothing at all meanwhile. Only aquatic_udp would end of it: its worker
# takes an interrupted call for a failure. Idle, it takes next to nothing from the others.
pause() {
    local server=$1 row=$2
    if [[ $server != aquatic || $row == http* ]]; then
        kill -STOP "${running[$server]}"
    fi
}

resume() {
    local server=$1
    server_pid=${running[$server]} address=${addresses[$server]} server_log=$scratch/$server.log
    kill -CONT "$server_pid"
}

load() {
    local server=$1 file=$2
    shift 2
    generate "$scratch/load.out" load --target "$address" --cpu "$generator_cpu" --pid "$server_pid" \
        --strict --json "$file" "$@"
}

# Fills a fresh server with peers. They want a single peer, because 0 means "as many as you like" to some;
# to Torrust Tracker every number means that, so it is not told one.
fill() {
    local server=$1 file=$2 limit=$3 wanted=1
    shift 3
    [[ $server != torrust ]] || wanted=-1
    load "$server" "$file" --fill --fill-numwant "$wanted" --fill-limit "$limit" --duration 0 --verify 1000 \
        --window "$(window "$server")" "$@"
}

say() {
    echo "compare.sh: $(date +%T) $*" >&2
}

compare_udp() {
    local row=$1 server round
    local crowd=(--torrents $((1000000 / scale)) --peers-per-torrent 4)
    for server in "${servers[@]}"; do
        can "$server" "$row" || continue
        say "$row: $server starts"
        if [[ $server == echo ]]; then
            start_server echo "$row" 3
        else
            start_server "$server" "$row" $((1000000 / scale))
            local filled=$results/$server.memory-1Mx4.1.json
            [[ $row == udp4 ]] || filled=$results/$server.fill-$row.1.json
            fill "$server" "$filled" "$fill_limit" "${crowd[@]}"
        fi
        pause "$server" "$row"
    done
    for ((round = 1; round <= rounds; round++)); do
        for server in "${servers[@]}"; do
            can "$server" "$row" || continue
            say "$row, round $round of $rounds: $server"
            resume "$server"
            load "$server" "$results/$server.$row-saturated.$round.json" "${crowd[@]}" --warmup 1 \
                --duration "$duration" --window "$(window "$server")"
            load "$server" "$results/$server.$row-paced.$round.json" "${crowd[@]}" --warmup 1 \
                --duration "$duration" --rate "$rate"
            pause "$server" "$row"
        done
    done
    stop_running
}

# compare_memory NAME LIMIT TORRENTS ARGUMENTS...
compare_memory() {
    local name=$1 limit=$2 count=$3 server
    shift 3
    for server in "${servers[@]}"; do
        if [[ $server == echo ]] || ! can "$server" memory; then
            continue
        fi
        say "memory: $name: $server"
        start_server "$server" memory "$count"
        fill "$server" "$results/$server.memory-$name.1.json" "$limit" --torrents "$count" "$@"
        stop_running
    done
}

compare_http() {
    local row=$1 server round
    for server in "${servers[@]}"; do
        can "$server" "$row" || continue
        start_server "$server" "$row" "$torrents"
        pause "$server" "$row"
    done
    for ((round = 1; round <= rounds; round++)); do
        for server in "${servers[@]}"; do
            can "$server" "$row" || continue
            say "$row, round $round of $rounds: $server"
            resume "$server"
            local file=$results/$server.$row.$round.json
            case $row in
                http-keepalive) measure_wrk "$file" "http://$address/" ;;
                http-close) measure_wrk "$file" "http://$address/" close ;;
                https-full) measure_handshakes "$file" --no-resume ;;
                https-resumed) measure_handshakes "$file" --resume ;;
            esac
            pause "$server" "$row"
        done
    done
    stop_running
}

built() {
    cat "$peers_cache/$1.built" 2>/dev/null || echo "built elsewhere"
}

# What stands above the tables: who was measured, how it was made and told to run.
about() {
    local rust
    rust=$(rustc --version | cut -d' ' -f1,2)
    if [[ $scale != 1 ]]; then
        echo "A quick look, no measurement: all shapes are a twentieth of what the tables call them."
        echo
    fi
    for server in "${servers[@]}"; do
        case $server in
            echo) echo "- **echo**: replies of the right size, made beforehand, one thread, recvmmsg and sendmmsg: the floor." ;;
            shoal)
                local flags="no RUSTFLAGS"
                [[ -z ${RUSTFLAGS:-} ]] || flags="RUSTFLAGS $RUSTFLAGS"
                echo "- **shoal**: $("$programs/shoal" --version) of $(git log -1 --format='%h, %cs' 2>/dev/null || echo 'an archive'), release profile ($rust, $flags). io_uring, one worker, one HTTP thread${SHOAL_BENCH_ARGS:+, $SHOAL_BENCH_ARGS}." ;;
            aquatic)
                echo "- **aquatic**: aquatic_udp 0.9.0 ($(built aquatic_udp)), io_uring, one socket worker, up to 50 peers, no cleaning up while it is measured. aquatic_http 0.9.0 ($(built aquatic_http)), io_uring, one socket and one swarm worker: it has no fewer. Both come with mimalloc." ;;
            opentracker)
                local version
                version=$(dpkg-query -W -f '${Version}' opentracker 2>/dev/null || echo "of an unknown version")
                echo "- **opentracker**: Debian's package $version, which serves listed torrents only and was given the list (20 bytes of memory a torrent). One thread. It knows neither IPv6, nor keep-alive, nor TLS. Its socket has the buffer that the kernel gives, so $(window opentracker) requests are in flight where others have $(window others)." ;;
            torrust)
                echo "- **torrust**: Torrust Tracker 3.0.0 ($(built torrust-tracker)), one thread of tokio, open to all, no log, no statistics. It works on 50 UDP requests at a time and drops the oldest for the next, so $(window torrust) are in flight; it hands out up to 74 peers whatever is wanted; by the clock it gets the same load as all." ;;
        esac
    done
    echo
    echo "All threads of a server on one CPU, the generator on another; memory allocators as each brings them, nothing of them tuned by environment. Loads: $duration s after a warm-up of 1 s; servers wait for their turn paused, only aquatic_udp idle."
}

began=$SECONDS
for row in "${rows[@]}"; do
    case $row in
        udp4 | udp6) compare_udp "$row" ;;
        memory)
            # The first shape is what the servers of udp4 are filled with.
            if ! has udp4 "${rows[@]}"; then
                compare_memory 1Mx4 "$fill_limit" $((1000000 / scale)) --peers-per-torrent 4
            fi
            compare_memory 10kx400 "$fill_limit" $((10000 / scale)) --peers-per-torrent 400
            compare_memory 2Mx1 "$fill_limit" $((2000000 / scale)) --peers-per-torrent 1
            compare_memory zipf $((fill_limit * 2)) $((zipf / 4 / scale)) --dist zipf \
                --fill-peers $((zipf / scale)) ;;
        http*)
            [[ -n ${hashes:-} ]] || make_hashes
            compare_http "$row" ;;
    esac
done
say "measured for $((SECONDS - began)) s"

about >"$scratch/about.md"
cp "$scratch/about.md" "$results/about.md"
table=("$bench" table --compare --dir "$results" --date "$(date -u +%F)" --about "$scratch/about.md")
[[ $write == no ]] || table+=(--write bench/README.md --plots bench/plots)
if [[ -n $out ]]; then
    "${table[@]}" | tee "$out"
else
    "${table[@]}"
fi
