# shellcheck shell=bash
# Read by the other scripts: what a host must have, and how Debian's packages bring it.

# need PACKAGES COMMAND...: remembers the packages (one word, split at blanks) when the command fails.
missing=()
need() {
    local packages=$1
    shift
    if ! "$@" >/dev/null 2>&1; then
        read -r -a packages <<<"$packages"
        missing+=("${packages[@]}")
    fi
}

# A compiler without the C library's start files is not enough for Rust to link a program.
links_programs() {
    cc -x c -o /dev/null - <<<'int main(void) { return 0; }'
}

# A program that may be where only root looks for it.
in_path() {
    local PATH=$PATH:/usr/sbin
    command -v "$1"
}

# nginx with its stream module, which Debian has in a package of its own and others build in.
passes_connections() {
    local PATH=$PATH:/usr/sbin
    command -v nginx && { [ -e /usr/lib/nginx/modules/ngx_stream_module.so ] ||
        nginx -V 2>&1 | grep -q -- "--with-stream\( \|$\)"; }
}

# A library that no command belongs to.
has_faketime() {
    compgen -G "/usr/lib/*/faketime/libfaketimeMT.so.1"
}

# Rust itself comes from its own installer: Debian 12 has one that is too old.
need_rust() {
    if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
        PATH="$HOME/.cargo/bin:$PATH"
    fi
    if ! command -v cargo >/dev/null; then
        echo "${0##*/}: cargo is missing; install Rust 1.89 or newer (https://rustup.rs) and try again" >&2
        exit 1
    fi
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# Installs what `need` found missing, and nothing when all is there.
install_missing() {
    if [ "${#missing[@]}" -eq 0 ]; then
        return
    fi
    if ! command -v apt-get >/dev/null; then
        echo "${0##*/}: install what provides these Debian packages, then try again: ${missing[*]}" >&2
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        echo "${0##*/}: run this as root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    echo "${0##*/}: installing with apt-get: ${missing[*]}"
    as_root apt-get update -q
    install_without_starting "${missing[@]}"
    missing=()
}

# Debian starts a daemon as soon as it is installed, unless this file forbids it. The tests start
# clients of their own and want nobody else's; the file goes when the subshell does.
install_without_starting() (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'as_root rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
)
