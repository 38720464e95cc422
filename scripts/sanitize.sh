#!/usr/bin/env bash
# Runs tests and a whole tracker under what finds races and bad accesses to memory. See --help.
set -euo pipefail

usage() {
    cat <<'END'
Usage: scripts/sanitize.sh [thread] [address] [memcheck] [miri]

  thread     ThreadSanitizer over the unit tests of net, shard, swarm and prefetch, and over whole trackers
             with several cores and HTTP threads (tests/errands.rs, tests/http_swarms.rs)
  address    AddressSanitizer over the same
  memcheck   valgrind over a tracker with two cores and two HTTP threads on the mmsg backend, which is asked
             over UDP and HTTP at a time: uninitialised bytes, bad accesses, leaks
  miri       Miri over the unit tests of what asks the kernel for little (gate, shard, swarm, wire, counters, the
             boxes of datagrams in net), as far as they take less than a millisecond without it

All of them when none is named; says at the end what was run, what was found and what could not be run. All but
Miri work with a stable compiler; the first two build everything in a folder of their own (target/sanitize/), which
takes as long as it sounds. ThreadSanitizer builds the standard library too, as Arc, Once and locks order their
memory by what it sees only there, and so needs its sources (rustup component add rust-src); C is not
instrumented. Miri is a part of nightly compilers only (rustup toolchain install nightly --component miri,rust-src),
knows few system calls and no C, and is some ten thousand times slower. valgrind knows io_uring too little to
follow it, so that backend is left to the sanitizers. helgrind is of no use: it knows the locks of C only, and
takes all that Rust's locks and atomics order for races.
END
}

cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib/need.sh
. scripts/lib/need.sh
wanted=()
while (($# > 0)); do
    case $1 in
        --help) usage; exit 0 ;;
        thread | address | memcheck | miri) wanted+=("$1") ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
((${#wanted[@]} > 0)) || wanted=(thread address memcheck miri)
need_rust
need valgrind command -v valgrind
need curl command -v curl
install_missing
export CARGO_BUILD_JOBS="${CARGO_BUILD_JOBS:-2}" RUST_TEST_THREADS="${RUST_TEST_THREADS:-2}"
host=$(rustc -vV | sed -n 's/^host: //p')
said=() failed=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# report NAME CODE LOG
report() {
    if (($2 == 0)); then
        said+=("$1: nothing found, $((SECONDS - begun)) s")
    else
        said+=("$1: FOUND SOMETHING, or could not run; see $3")
        failed=1
    fi
}

# not_run NAME WHY
not_run() {
    said+=("$1: NOT RUN, as $2")
    failed=1
}

# sanitize NAME: both kinds of tests with the sanitizer of that name, which is not stable but comes with every
# compiler.
sanitize() {
    local name=$1 code=0 log=target/sanitize/$1.log begun=$SECONDS std=()
    mkdir -p target/sanitize
    if [ "$name" = thread ]; then
        if [ ! -d "$(rustc --print sysroot)/lib/rustlib/src/rust/library" ]; then
            not_run thread "the sources of the standard library are missing: rustup component add rust-src"
            return
        fi
        std=(-Zbuild-std)
    fi
    (
        export RUSTC_BOOTSTRAP=1
        export RUSTFLAGS="-Zsanitizer=$name -Cunsafe-allow-abi-mismatch=sanitizer"
        export CARGO_TARGET_DIR="$PWD/target/sanitize/$name"
        export TSAN_OPTIONS="exitcode=66"
        # What is kept until the process ends is no leak.
        export ASAN_OPTIONS="detect_leaks=0"
        cargo test --locked "${std[@]}" --target "$host" --lib -- net:: shard:: swarm:: prefetch \
            --skip a_clock_that_wraps --skip hot_swarms --skip many_small_swarms
        cargo test --locked "${std[@]}" --target "$host" --test errands --test http_swarms
    ) >"$log" 2>&1 || code=$?
    report "$name" "$code" "$log"
}

# memcheck: the tracker that valgrind watches has two cores, two HTTP threads, no ring and no store.
memcheck() {
    local log=$PWD/target/sanitize/memcheck.log code=0 begun=$SECONDS
    mkdir -p target/sanitize
    cargo build --locked --package shoal --bin shoal --package shoal-bench --bin shoal-bench
    local target=${CARGO_TARGET_DIR:-target}/debug
    cat >"$scratch/config.toml" <<'TOML'
[[udp]]
listen = "127.0.0.1:16969"
[[http]]
listen = "127.0.0.1:16980"
[workers]
count = 2
http_threads = 2
pin = false
backend = "mmsg"
[store]
path = ""
[control]
listen = ""
TOML
    valgrind --error-exitcode=66 --leak-check=full --errors-for-leak-kinds=definite --fair-sched=yes \
        --suppressions=scripts/lib/valgrind.supp --log-file="$log" \
        "$target/shoal" run --config "$scratch/config.toml" >"$scratch/tracker.log" 2>&1 &
    local pid=$! tries
    for ((tries = 0; tries < 300; tries++)); do
        curl -s -o "$scratch/reply" "http://127.0.0.1:16980/health" && break
        sleep 0.5
    done
    local clients=() number request
    for number in 1 2 3; do
        for ((request = 0; request < 60; request++)); do
            printf 'url = "http://127.0.0.1:16980/announce?info_hash=%%%02x%s&peer_id=-SH0100-abcdefghijkl&port=%d&left=0&uploaded=0&downloaded=0"\n' \
                "$request" aaaaaaaaaaaaaaaaaaa "$((6000 + number))"
        done | curl -s --config - >"$scratch/replies-$number" &
        clients+=($!)
    done
    "$target/shoal-bench" load --target 127.0.0.1:16969 --duration 10 --window 64 --torrents 2000 >"$scratch/load" 2>&1 &
    clients+=($!)
    wait "${clients[@]}" || true
    kill -TERM "$pid"
    wait "$pid" || code=$?
    # What was not asked was not watched.
    local replies
    replies=$(cat "$scratch"/replies-* | grep -ao "8:completei[0-9]*e" | wc -l)
    { echo "$replies replies over HTTP; over UDP:"; cat "$scratch/load"; } >>"$log"
    ((replies == 180)) || code=1
    report memcheck "$code" "$log"
}

# miri: what is quick without it, as far as no test asks the kernel for what Miri does not know.
miri() {
    local log=$PWD/target/sanitize/miri.log code=0 begun=$SECONDS program tests
    mkdir -p target/sanitize
    if ! cargo +nightly miri --version >/dev/null 2>&1; then
        not_run miri "there is none: rustup toolchain install nightly --component miri,rust-src"
        return
    fi
    # How long each takes is told by the program itself, if it is let to.
    program=$(cargo test --locked --lib --no-run 2>&1 | sed -n 's/^ *Executable .*(\(.*\))$/\1/p')
    mapfile -t tests < <(
        RUSTC_BOOTSTRAP=1 "$program" -Zunstable-options --report-time --test-threads 1 \
            gate:: shard:: swarm:: wire:: counters:: net::addr:: net::batch:: similar:: --skip query:: --skip control:: \
            --skip counters::unique |
            sed -n 's/^test \(.*\) \.\.\. ok <0\.000s>$/\1/p'
    )
    # The clock is the system's, and the hash keys come from its random numbers. Tests leak what is to be 'static.
    MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-ignore-leaks" CARGO_TARGET_DIR="$PWD/target/sanitize/miri" \
        cargo +nightly miri test --locked --lib -- --exact "${tests[@]}" >"$log" 2>&1 || code=$?
    ((${#tests[@]} > 100)) || code=1
    report "miri (${#tests[@]} tests)" "$code" "$log"
}

for name in "${wanted[@]}"; do
    case $name in
        memcheck) memcheck ;;
        miri) miri ;;
        *) sanitize "$name" ;;
    esac
done
printf '%s\n' "${said[@]}" "not run: MemorySanitizer, helgrind"
exit "$failed"
