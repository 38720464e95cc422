# shellcheck shell=bash
# Read by scripts/test.sh, after need.sh: axe-core, which finds what keeps people from using a page, from
# the npm registry. tests/browser/axe.rs has the same version in the name of its folder.

axe_version=4.10.3
axe_sha512=5e6edba515e70d25f6604d9815f064d859c5d1ea7ab661bbc4f87c88779ef0c21cae0abbeb636471ef39e9d62d2582e4b88a1866f19f4ecfcf6d986275e4dc12

axe_folder() {
    echo "${CARGO_TARGET_DIR:-$root/target}/tmp/axe-core-$axe_version"
}

has_axe() {
    [ -s "$(axe_folder)/axe.min.js" ]
}

# npm is only needed to fetch it.
need_axe() {
    has_axe || need npm command -v npm
}

# Nothing of the package is run but its one script, in a page; what arrives must be what was looked at.
fetch_axe() (
    has_axe && return
    folder=$(axe_folder)
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    cd "$work"
    npm pack --silent "axe-core@$axe_version"
    echo "$axe_sha512  axe-core-$axe_version.tgz" | sha512sum --check --quiet
    tar -xzf "axe-core-$axe_version.tgz" package/axe.min.js package/LICENSE
    mkdir -p "$(dirname "$folder")"
    rm -rf "$folder"
    mv package "$folder"
)
