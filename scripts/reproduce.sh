#!/usr/bin/env bash
# Builds the release twice in different places and compares. See --help.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/reproduce.sh [--keep] [--against FILE]

Builds the release of this tree twice, as scripts/package.sh does, in two folders of different
length, with two cargo homes, time zones and languages, one after the other, and compares the
programs byte by byte. Exit code 1 when they differ; then both are kept, and the sections that
differ are named. Needs the crates in the cargo home (it fetches them otherwise), some 4 GiB below
the folder for temporary files, and twice the time of a release.

  --against FILE   build once and compare with this program, as it is built or as the package has it
  --keep           leave the folders
  --help           this text
TEXT
}

keep=no against=
while (($# > 0)); do
    case $1 in
        --help) usage; exit 0 ;;
        --keep) keep=yes ;;
        --against) against=$(realpath -- "${2:?--against needs a file}"); shift ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done

cd "$(dirname "$0")/.."
root=$PWD
# shellcheck source=scripts/lib/need.sh
. scripts/lib/need.sh
# shellcheck source=scripts/lib/release.sh
. scripts/lib/release.sh
need_rust
need "gcc libc6-dev" links_programs
need binutils command -v strip
need git command -v git
install_missing
cargo fetch --locked --quiet
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
home=${CARGO_HOME:-$HOME/.cargo}
work=$(mktemp -d)
# shellcheck disable=SC2317 # by the trap below
forget() {
    if [[ $keep == yes ]]; then
        echo "kept in $work"
    else
        rm -rf "$work"
    fi
}
trap forget EXIT

# Builds in the folder $1 with the cargo home $2, and leaves the program as $3 and $3.stripped.
build() (
    local folder=$1 out=$3
    mkdir -p "$folder" "$2"
    # What is committed and what is about to be, without what was built.
    git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C "$folder"
    # Links where they can be had: a second copy of the sources is a gigabyte.
    cp -al "$home/registry" "$2/" 2>/dev/null || cp -a "$home/registry" "$2/"
    export CARGO_HOME=$2
    cd "$folder"
    release_environment "$folder" "$folder/target"
    cargo build --release --locked --offline --quiet
    cp target/release/shoal "$out"
    # As the package has it.
    strip --strip-unneeded --remove-section=.comment --remove-section=.note -o "$out.stripped" "$out"
    [[ $keep == yes ]] || rm -rf "$folder" "$2"
)

# Names the sections of two programs that are not the same. Some have no bytes in the file.
sections() {
    local section
    readelf -SW "$1" | sed -n 's/^ *\[ *[0-9]*\] \(\.[^ ]*\).*/\1/p' | while read -r section; do
        rm -f "$work/one" "$work/two"
        objcopy --dump-section "$section=$work/one" "$1" "$work/copy" 2>/dev/null || true
        objcopy --dump-section "$section=$work/two" "$2" "$work/copy" 2>/dev/null || true
        [ -e "$work/one" ] || [ -e "$work/two" ] || continue
        cmp -s "$work/one" "$work/two" || echo "  $section differs"
    done
}

begin=$SECONDS
TZ=UTC LC_ALL=C build "$work/a" "$work/h" "$work/first"
echo "built in $((SECONDS - begin)) s: $(sha256sum <"$work/first" | cut -c-64)"
other=$work/second
if [ -n "$against" ]; then
    other=$against
    ! cmp -s "$work/first.stripped" "$against" || cp "$work/first.stripped" "$work/first"
else
    begin=$SECONDS
    TZ=Asia/Tokyo LC_ALL=C.UTF-8 build "$work/a-folder/of-another/length" "$work/another-home-of-cargo" "$other"
    echo "built in $((SECONDS - begin)) s: $(sha256sum <"$other" | cut -c-64)"
fi
if cmp "$work/first" "$other"; then
    echo "the same bytes: $(stat -c %s "$work/first"), stripped $(stat -c %s "$work/first.stripped")"
    echo "stripped: $(sha256sum <"$work/first.stripped" | cut -c-64)"
    exit 0
fi
keep=yes
sections "$work/first" "$other"
exit 1
