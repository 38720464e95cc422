# shellcheck shell=bash
# Read first by the benches, as `. "$(dirname "$0")/lib/caller.sh"`: how they give up, and the folders that
# paths are told from. Goes to the folder of the project, which is `root`.

# fail WHY [STATUS]
fail() {
    echo "$(basename "$0"): $1" >&2
    exit "${2:-1}"
}

# Paths on the command line are the caller's.
caller=$PWD
cd "$(dirname "$0")/.." || exit
# shellcheck disable=SC2034 # for who reads this
root=$PWD
from_caller() {
    case $1 in
        /*) echo "$1" ;;
        *) echo "$caller/$1" ;;
    esac
}
