#!/usr/bin/env bash
# Takes what keeps threads awake out of the sources, line by line. See --help.
set -euo pipefail

usage() {
    cat <<'END'
Usage: scripts/mutants.sh [WORD]

Changes one line after the other in a copy of the files that models/ includes (only those changes whose
description has WORD in it), and runs the models: each time one of them must fail. Says which did, and ends
with 1 when none did. Takes some minutes; the tests do not run it.
END
}

case ${1:-} in
    --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
esac
word=${1:-}
cd "$(dirname "$0")/.."
root=$PWD
export CARGO_TARGET_DIR="$root/target/mutants" CARGO_BUILD_JOBS="${CARGO_BUILD_JOBS:-2}"
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-2}" RUST_BACKTRACE=0
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
survivors=0

# mutant TESTS DESCRIPTION FILE OLD NEW: the first OLD becomes NEW, both as Perl has them in s///s, and one of
# models/tests/TESTS.rs has to fail.
mutant() {
    local tests=$1 description=$2 file=$3 old=$4 new=$5 said code=0
    [[ $description == *"$word"* ]] || return 0
    rm -rf "${copy:?}"/*
    mkdir "$copy/src"
    cp -r src/net src/shard src/http "$copy/src"
    cp -r models Cargo.lock "$copy"
    { echo '[workspace]'; echo 'members = ["models"]'; echo 'resolver = "3"'
        sed -n '/^\[profile.dev\]/,/^$/p' Cargo.toml; } >"$copy/Cargo.toml"
    perl -0pi -e "s/$old/$new/s or die qq(\$ARGV has no such line\\n)" "$copy/src/$file"
    said=$(cd "$copy" && timeout 600 cargo test --offline --package shoal-models --test "$tests" 2>&1) || code=$?
    local failed
    failed=$(sed -n 's/^test \(.*\) \.\.\. FAILED/\1/p' <<<"$said" | head -1)
    if [[ -n $failed ]]; then
        echo "dies    $description: $failed"
    else
        echo "LIVES   $description (cargo ended with $code)"
        tail -5 <<<"$said"
        survivors=$((survivors + 1))
    fi
}

mutant cores "a ring without its fence" net/doorbell.rs \
    'fence\(Ordering::SeqCst\);' ''
mutant cores "a sleeper without his fence" net/doorbell.rs \
    '(store\(true, Ordering::Relaxed\);\s+)fence\(Ordering::SeqCst\);' '$1'
mutant cores "a ring that sets no event" net/doorbell.rs \
    'self\.event\.set\(\);' ''
mutant cores "a core that looks before it says that it will sleep" shard/mesh.rs \
    'mailbox\.doorbell\.about_to_sleep\(\);\s+!mailbox\.queue\.is_empty\(\)' \
    'let some = !mailbox.queue.is_empty(); mailbox.doorbell.about_to_sleep(); some'
mutant cores "a core that sleeps although handovers wait" shard/turn.rs \
    'handovers_wait \|\| shard' 'shard'
mutant cores "a core that does not look for its stop" shard/turn.rs \
    '\|\| stop\.load\(Ordering::Relaxed\)' ''
mutant cores "a core that does not look for its hold" shard/turn.rs \
    '\|\| !is_settled' ''
mutant cores "a handover that does not ring" shard/mesh.rs \
    'mailbox\.doorbell\.ring\(\);\s+Ok' 'Ok'
mutant cores "a collector that rings before it pushes" shard/mesh.rs \
    '(let pushed = [^;]+;)\s+self\.ring\(core\);' 'self.ring(core); $1'
mutant cores "a scrape that is dropped with its box" shard/mesh.rs \
    'Handover::Scrape\(scrape\) => self\.finish\(scrape\)' 'Handover::Scrape(_) => {}'
mutant cores "a hold that does not ring" shard/hold.rs \
    'self\.doorbell\.ring\(\);' ''
mutant cores "a hold that rings too soon" shard/hold.rs \
    '(self\.wanted\.store[^;]+;)\s+self\.doorbell\.ring\(\);' 'self.doorbell.ring(); $1'
mutant http "a desk whose bell wakes nobody" shard/desk.rs \
    'self\.bell\.wake\(\);' ''
mutant http "a clerk who listens after he has looked" http/asks.rs \
    'desk\.listen\(cx\.waker\(\)\);(.*?while let .*?\n        \})' '$1 desk.listen(cx.waker());'
mutant http "a clerk who does not ring" http/asks.rs \
    'self\.counter\.ring\(owner\);' 'let _ = owner;'
mutant http "a question that does not call the clerk" http/asks.rs \
    'clerk\.wake_by_ref\(\);' 'let _ = clerk;'
mutant http "a ticket that is free before its answer came" http/asks.rs \
    'Waiting::Somebody\(_\) => \*waiting = Waiting::Gone' \
    'Waiting::Somebody(_) => state.tickets.push(self.ticket)'

((survivors == 0))
