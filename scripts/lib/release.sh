# shellcheck shell=bash
# Read by the scripts that build what is passed on: the same bytes, wherever the tree lies.

# Where this tree, the crates and the standard library are said to lie: in panics, in the table of
# lines and in what C's assertions say. Nothing else of the folders gets into the program.
release_environment() {
    local root=$1 target=$2 home=${CARGO_HOME:-$HOME/.cargo} sysroot commit path flags=()
    sysroot=$(rustc --print sysroot)
    commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
    local maps=("$target=/shoal/target" "$root=/shoal" "$home/registry/src=/crates"
        "$sysroot/lib/rustlib/src/rust=/rustc/$commit")
    if [[ $root$target$home$sysroot == *[[:space:]]* ]]; then
        # C's flags are split at blanks.
        echo "${0##*/}: a release cannot be built where a path has a blank" >&2
        return 1
    fi
    CFLAGS=
    for path in "${maps[@]}"; do
        flags+=("--remap-path-prefix=$path")
        CFLAGS+=" -ffile-prefix-map=$path"
    done
    # With this separator cargo takes no other flags, neither from RUSTFLAGS nor from a configuration.
    CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${flags[*]}")
    CXXFLAGS=$CFLAGS
    # What asks for the time is given that of the last change.
    : "${SOURCE_DATE_EPOCH:=$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)}"
    export CARGO_ENCODED_RUSTFLAGS CFLAGS CXXFLAGS SOURCE_DATE_EPOCH
    export CARGO_TARGET_DIR=$target CARGO_INCREMENTAL=0
}
