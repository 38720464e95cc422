#!/usr/bin/env bash
# Gives random bytes to what reads them from strangers. See --help.
set -euo pipefail

usage() {
    cat <<'END'
Usage: scripts/fuzz.sh [--seconds N] [--asan] [--minimise] [TARGET...]

Runs libFuzzer on each target in turn (all of them when none is named), N seconds each (60), from the
corpus in fuzz/corpus/. What is found new is kept in target/fuzz/corpus/, what breaks in
target/fuzz/TARGET-crash-*. Works with a stable compiler; needs g++.

  --seconds N   how long each target runs
  --asan        with AddressSanitizer, for the C of LMDB's callers too; several times slower
  --minimise    puts the fewest files that reach everything found so far into fuzz/corpus/
  --list        names the targets
END
}

cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib/need.sh
. scripts/lib/need.sh
seconds=60 asan=no minimise=no targets=()
while (($# > 0)); do
    case $1 in
        --help) usage; exit 0 ;;
        --list) sed -n 's/^    target("\([a-z_]*\)", \([0-9]*\),.*/\1/p' fuzz/src/lib.rs; exit 0 ;;
        --seconds) seconds=${2:?--seconds needs a number}; shift ;;
        --asan) asan=yes ;;
        --minimise) minimise=yes ;;
        -*) usage >&2; exit 2 ;;
        *) targets+=("$1") ;;
    esac
    shift
done
need_rust
need "g++" command -v g++
install_missing

# What rustc has for LLVM's coverage counters, which libFuzzer reads; nothing of it is unstable.
host=$(rustc -vV | sed -n 's/^host: //p')
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0
    -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1 --cfg fuzzing"
if [ $asan = yes ]; then
    # The sanitizer's switch is not stable, the runtime comes with every compiler.
    export RUSTC_BOOTSTRAP=1
    flags="$flags -Zsanitizer=address"
fi
RUSTFLAGS=$(echo $flags)
export RUSTFLAGS
export CARGO_TARGET_DIR="$PWD/target/fuzz/build-asan-$asan"
export CARGO_BUILD_JOBS="${CARGO_BUILD_JOBS:-2}"
cargo build --locked --package shoal-fuzz --features libfuzzer --target "$host"
program="$CARGO_TARGET_DIR/$host/debug/shoal-fuzz"

((${#targets[@]} > 0)) || mapfile -t targets < <(sed -n 's/^    target("\([a-z_]*\)", \([0-9]*\),.*/\1/p' fuzz/src/lib.rs)
for target in "${targets[@]}"; do
    length=$(sed -n "s/^    target(\"$target\", \([0-9]*\),.*/\1/p" fuzz/src/lib.rs)
    kept="target/fuzz/corpus/$target"
    corpus="fuzz/corpus/$target"
    mkdir -p "$kept" "$corpus"
    export SHOAL_FUZZ_TARGET=$target
    if [ $minimise = yes ]; then
        least=$(mktemp -d)
        "$program" -merge=1 "-max_len=$length" "$least" "$corpus" "$kept" 2>&1 | tail -1
        rm -rf "$corpus" && mv "$least" "$corpus" && chmod 755 "$corpus"
        continue
    fi
    echo "$target, $seconds s"
    "$program" "-max_total_time=$seconds" "-max_len=$length" -timeout=10 -rss_limit_mb=2048 \
        "-artifact_prefix=target/fuzz/$target-" -print_final_stats=1 "$kept" "$corpus" 2>&1 |
        grep -vE "^(INFO|#[0-9]+[[:space:]]+(NEW|REDUCE|pulse|RELOAD))"
done
