# shellcheck shell=bash disable=SC2154
# Read by the benches: other trackers, from public registries. They are built for this processor, into a
# folder that stays from run to run. Sets `peers_cache`; expects `fail`, and the `certificate` and `private_key`
# that http.sh makes.

peers_cache=${SHOAL_BENCH_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/shoal-bench/peers}
peers_flags="-C target-cpu=native"

# Words for cargo install, by program.
peer_arguments() {
    case $1 in
        aquatic_udp) echo "--features io-uring aquatic_udp@0.9.0" ;;
        # Its metrics are left out, because the release of their crate that it is locked to does not
        # compile with Rust 1.95. It costs nothing: it is a little less that it does for a request.
        aquatic_http) echo "--locked --no-default-features --features mimalloc aquatic_http@0.9.0" ;;
        # Builds only with the versions that it was released with.
        torrust-tracker) echo "--locked --bin torrust-tracker torrust-tracker@3.0.0" ;;
    esac
}

# Installs a program unless it is there, and writes beside it how it was built.
install_peer() {
    local program=$1
    if [[ -x $peers_cache/bin/$program ]]; then
        return
    fi
    echo "${0##*/}: building $program into $peers_cache; this may take minutes" >&2
    local arguments
    read -r -a arguments <<<"$(peer_arguments "$program")"
    RUSTFLAGS=$peers_flags cargo install --quiet --root "$peers_cache" \
        --target-dir "$peers_cache/build" "${arguments[@]}" ||
        fail "cannot build $program; leave it out with --only, or see what cargo said above"
    # The program is there; what it was made of takes gigabytes.
    rm -rf "$peers_cache/build"
    describe_build "$program" >"$peers_cache/$program.built"
}

describe_build() {
    echo "$(rustc --version | cut -d' ' -f1,2), RUSTFLAGS $peers_flags, cargo install $(peer_arguments "$1")"
}

# Prints the configuration of aquatic_http, which does not look at what a request says of its
# connection. One of its threads talks to the network, another keeps the swarms: it has no fewer.
aquatic_http_config() {
    local load=$1 listen=$2 keep_alive=true tls=false
    [[ $load == *-keepalive || $load == *-idle ]] || keep_alive=false
    [[ $load != https-* ]] || tls=true
    cat <<TOML
socket_workers = 1
swarm_workers = 1
[network]
address = "$listen"
keep_alive = $keep_alive
enable_tls = $tls
tls_certificate_path = "$certificate"
tls_private_key_path = "$private_key"
TOML
}

# The same of aquatic_udp, which hands out 30 peers unless told otherwise. It does not clean up, lest it do
# so while another server is measured: compare.sh cannot pause it.
aquatic_udp_config() {
    local listen=$1 only_ipv6=false
    [[ $listen != \[* ]] || only_ipv6=true
    cat <<TOML
socket_workers = 1
[network]
address = "$listen"
only_ipv6 = $only_ipv6
use_io_uring = true
[protocol]
max_response_peers = 50
[cleaning]
torrent_cleaning_interval = 86400
TOML
}

# The same of Torrust Tracker: open to all, no log, no statistics. A peer on loopback is told to others
# with the address given here. The health check cannot be left out and gets another port.
torrust_config() {
    local load=$1 listen=$2 host=${2%:*} port=${2##*:}
    cat <<TOML
[metadata]
app = "torrust-tracker"
purpose = "configuration"
schema_version = "2.0.0"
[logging]
threshold = "off"
[core]
listed = false
private = false
tracker_usage_statistics = false
[core.net]
external_ip = "$(tr -d '[]' <<<"$host")"
[core.database]
driver = "sqlite3"
path = "./torrust.db"
[health_check_api]
bind_address = "127.0.0.1:$((port + 200))"
TOML
    case $load in
        udp) echo "[[udp_trackers]]" ;;
        *) echo "[[http_trackers]]" ;;
    esac
    echo "bind_address = \"$listen\""
    if [[ $load == https-* ]]; then
        # The table is spelled so.
        cat <<TOML
[http_trackers.tsl_config]
ssl_cert_path = "$certificate"
ssl_key_path = "$private_key"
TOML
    fi
}
