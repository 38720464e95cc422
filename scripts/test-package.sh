#!/usr/bin/env bash
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ "${1:-}" = --help ]; then
    cat <<'HELP'
usage: scripts/test-package.sh

Builds the package (scripts/package.sh) twice, under two revisions, and installs, starts, upgrades, removes
and purges it in a small Debian 12 of its own, which debootstrap makes below the target folder. Needs
root, for chroot and a network namespace; touches nothing of the host outside the target folder.

There is no systemd running in that Debian: what is started is the command of the unit, as the unit's
user, in the unit's folder.
HELP
    exit
fi

fail() {
    echo "test-package.sh: $1" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || fail "this needs root, for chroot"

# shellcheck source=scripts/lib/need.sh
. "$root/scripts/lib/need.sh"
need debootstrap command -v debootstrap
need iproute2 command -v ip
install_missing

made="$root/target/package"
base="$made/debian"
"$root/scripts/package.sh" --deb-revision 1 --output "$made/shoal-1.deb"
"$root/scripts/package.sh" --deb-revision 2 --output "$made/shoal-2.deb"

if [ ! -e "$base/made" ]; then
    rm -rf "$base"
    debootstrap --variant=minbase --include=procps,systemd bookworm "$base" >"$made/debootstrap.log" ||
        fail "debootstrap failed; see $made/debootstrap.log"
    touch "$base/made"
fi
host=$(mktemp -d "$made/host.XXXXXX")
trap 'rm -rf "$host"' EXIT
cp -a "$base/." "$host"
cp "$made"/shoal-[12].deb "$host/root/"

inside() {
    env -i PATH=/usr/sbin:/usr/bin DEBIAN_FRONTEND=noninteractive chroot "$host" "$@"
}

# What is there, but for what dpkg and the tools for users write about their work.
files() {
    (cd "$host" && find . -xdev | grep -vE '^\./(root|proc|run|tmp|var/lib/dpkg|var/log/dpkg.log|var/cache)(/|$)|/(passwd|group|shadow|gshadow)-$' | sort)
}

expect() {
    local what=$1
    shift
    "$@" || fail "$what"
    echo "ok: $what"
}

mode_is() {
    [ "$(inside stat -c '%A %U:%G' "$2")" = "$1" ]
}

missing() {
    [ ! -e "$host$1" ]
}

# Runs the command of the unit, in a network of its own, until it was asked and has answered.
starts() {
    local command user folder
    command=$(sed -n 's/^ExecStart=//p' "$host/usr/lib/systemd/system/shoal.service")
    user=$(sed -n 's/^User=//p' "$host/usr/lib/systemd/system/shoal.service")
    folder=$(sed -n 's/^WorkingDirectory=//p' "$host/usr/lib/systemd/system/shoal.service")
    install -d -m 750 "$host$folder"
    inside chown "$user:$user" "$folder"
    cat >"$host/root/start.sh" <<END
ip link set lo up 2>/dev/null
cd $folder
setpriv --reuid=$user --regid=$user --clear-groups --no-new-privs --bounding-set=-all -- $command 2>/root/log &
tracker=\$!
for url in udp://127.0.0.1:6969/announce http://127.0.0.1:6969/announce; do
    /usr/bin/shoal query --until-success --repeat 50 --delay 0.2 --quiet "\$url" || answered=no
done
kill -TERM "\$tracker" && wait "\$tracker" && [ -z "\${answered:-}" ]
END
    # shellcheck disable=SC2016
    unshare --net --pid --fork --mount sh -c '
        ip link set lo up && mount -t proc proc "$0/proc" && exec chroot "$0" /bin/sh /root/start.sh' "$host" ||
        { sed 's/^/    /' "$host/root/log" >&2; return 1; }
}

files >"$made/before"
expect "it installs" inside dpkg -i /root/shoal-1.deb
expect "it tells what it is made of" test -s "$host/usr/share/doc/shoal/shoal.cdx.json.gz"
expect "the program runs" inside shoal --version
expect "the user is there" inside getent passwd shoal
expect "the folder of the configuration is for root and the tracker" mode_is "drwxr-x--- root:shoal" /etc/shoal
expect "so is the configuration" mode_is "-rw-r----- root:shoal" /etc/shoal/config.toml
expect "its configuration is good" inside shoal config check --config /etc/shoal/config.toml
expect "the service is enabled" test -L "$host/etc/systemd/system/multi-user.target.wants/shoal.service"
expect "systemd understands the unit" inside systemd-analyze verify --man=no /usr/lib/systemd/system/shoal.service
expect "it starts, answers and stops" starts
expect "it keeps its state" test -s "$host/var/lib/shoal/shoal-data/data.mdb"

expect "an upgrade asks nothing" inside dpkg -i /root/shoal-2.deb
sed -i 's/^interval = 1800$/interval = 900/' "$host/etc/shoal/config.toml"
expect "a changed configuration stays" inside dpkg -i --force-confdef --force-confold /root/shoal-1.deb
expect "with its change" grep -q '^interval = 900$' "$host/etc/shoal/config.toml"
expect "and its mode" mode_is "-rw-r----- root:shoal" /etc/shoal/config.toml
expect "it starts after an upgrade" starts

expect "it is removed" inside dpkg -r shoal
expect "the program is gone" missing /usr/bin/shoal
expect "the configuration is not" test -e "$host/etc/shoal/config.toml"
expect "nor is the state" test -s "$host/var/lib/shoal/shoal-data/data.mdb"
expect "it is installed again" inside dpkg -i /root/shoal-2.deb
expect "it starts again" starts
expect "it is purged" inside dpkg -P shoal
files >"$made/after"
expect "nothing is left" diff "$made/before" "$made/after"
expect "it is installed after a purge" inside dpkg -i /root/shoal-2.deb
echo "the package is good: $made/shoal-2.deb"
