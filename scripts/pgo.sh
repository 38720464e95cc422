#!/usr/bin/env bash
# Builds the tracker with a profile of itself at work. See --help.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/pgo.sh [--native] [--profile FILE]

Builds a release that counts which ways it takes, has it answer a minute of load over UDP, HTTP and HTTPS on
loopback, and builds the release once more with what was counted (profile-guided optimisation). The program is
target/pgo/shoal, the profile target/pgo/shoal.profdata. Takes three times as long as a release. What it
gains stands in docs/building.md; packages are built without it.

  --native         for the processor of this host (-C target-cpu=native)
  --profile FILE   build with this profile, of the same tree and compiler, and count nothing
  --help           this text
TEXT
}

# shellcheck source=scripts/lib/caller.sh
. "$(dirname "$0")/lib/caller.sh"
profile='' flags=() results=''
while (($# > 0)); do
    case $1 in
        --help) usage; exit 0 ;;
        --native) flags+=(-Ctarget-cpu=native) ;;
        --profile)
            (($# > 1)) || fail "$1 needs a value" 2
            profile=$(from_caller "$2")
            [[ -r $profile ]] || fail "there is no profile $profile" 2
            shift ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
# shellcheck source=scripts/lib/servers.sh
. scripts/lib/servers.sh
# shellcheck source=scripts/lib/http.sh
. scripts/lib/http.sh
# shellcheck source=scripts/lib/need.sh
. scripts/lib/need.sh
need_rust
need "gcc libc6-dev" links_programs
need openssl command -v openssl
need wrk command -v wrk
install_missing
host=$(rustc -vV | sed -n 's/^host: //p')
work=$root/target/pgo
mkdir -p "$work"

# build NAME FLAG...: a release in a folder of its own. With a target named, what runs while it is built (build
# scripts, macros) goes without the flags.
build() {
    local name=$1
    shift
    RUSTFLAGS="${flags[*]} $*" cargo build --release --locked --package shoal --target "$host" --target-dir "$work/$name"
}

# Has the counting release work, by helpers that expect these names.
count() {
    # shellcheck disable=SC2034 # for the helpers
    local generator_cpu=1 duration=8 connections=50 clients=16 torrents=10000 address
    local udp=127.0.0.1:7031 udp6='[::1]:7031' http=127.0.0.1:7032 secure=127.0.0.1:7033
    make_certificate
    make_hashes
    # What was counted is written when it ends, which the sandbox would not allow.
    (cd "$scratch" && exec env LLVM_PROFILE_FILE="$work/counted/%p.profraw" SHOAL_CONFIG_TOML="[[udp]]
listen = \"$udp\"
[[udp]]
listen = \"$udp6\"
[[http]]
listen = \"$http\"
[[http]]
listen = \"$secure\"
tls = { certificate = \"$certificate\", private_key = \"$private_key\" }" \
        "$work/counting/$host/release/shoal" run --set workers.count=1 --set workers.http_threads=1 --set control.listen= \
        --set sandbox.files=false --set sandbox.system_calls=false "${no_limits[@]}") >"$server_log" 2>&1 &
    server_pid=$!
    if ! "$bench" wait --target "$udp" --timeout 20; then
        sed 's/^/    /' "$server_log" >&2
        fail "the tracker did not start; what it said stands above"
    fi
    local crowd=(--dist zipf --torrents 200000 --peers-per-torrent 4 --stale-share 0.05)
    for address in "$udp" "$udp6"; do
        generate "$scratch/udp.out" load --target "$address" "${crowd[@]}" --fill --duration "$duration"
    done
    address=$http
    measure_wrk "$scratch/kept.json" "http://$address/"
    measure_wrk "$scratch/closed.json" "http://$address/" close
    address=$secure
    measure_handshakes "$scratch/full.json" --no-resume
    measure_handshakes "$scratch/resumed.json" --resume
    stop_server
}

if [[ -z $profile ]]; then
    # Only the compiler's own LLVM reads what its programs have counted.
    merge=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
    [[ -x $merge ]] || rustup component add llvm-tools ||
        fail "llvm-profdata is missing, which rustup brings with its component llvm-tools"
    cargo build --release --locked --package shoal-bench
    bench=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd)/shoal-bench
    build counting -Cprofile-generate
    rm -rf "$work/counted"
    count
    profile=$work/shoal.profdata
    "$merge" merge --output "$profile" "$work"/counted/*.profraw
fi
build optimised "-Cprofile-use=$profile"
cp "$work/optimised/$host/release/shoal" "$work/shoal"
echo "$work/shoal"
