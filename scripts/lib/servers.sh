# shellcheck shell=bash
# Read by the benches: the servers and the generator of the moment, which end with the script, and the
# folder of the results. Expects `results` (a folder or nothing) and `fail` of caller.sh.

# A load generator is a flood from one address: what a source may ask for is not what is measured.
# shellcheck disable=SC2034
no_limits=(--set flood.per_source=0 --set flood.per_network=0 --set flood.new_torrents=0)

server_pid='' generator_pid=''
# Those that stay while others are measured: names and process ids.
declare -A running=()

# Ends the server that this script started, and only that one; the hard way if it will not listen.
stop_server() {
    if [[ -n $server_pid ]]; then
        kill "$server_pid" 2>/dev/null || true
        for ((tenth = 0; tenth < 100; tenth++)); do
            kill -0 "$server_pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$server_pid" 2>/dev/null || true
        wait "$server_pid" 2>/dev/null || true
        server_pid=''
    fi
}

# What they know is thrown away, so they are not asked to put it in order first.
stop_running() {
    local name
    for name in "${!running[@]}"; do
        kill -KILL "${running[$name]}" 2>/dev/null || true
        wait "${running[$name]}" 2>/dev/null || true
    done
    running=() server_pid=''
}

# await_generator RESULT: waits for the generator in the background, so that a signal to the script is obeyed
# at once; one that fails ends the script with what it and the server have said.
await_generator() {
    if ! wait "$generator_pid"; then
        generator_pid=''
        sed 's/^/    /' "$scratch/load.log" "$server_log" >&2
        fail "the load $(basename "$1" .json) failed"
    fi
    generator_pid=''
}

clean_up() {
    [[ -z $generator_pid ]] || kill "$generator_pid" 2>/dev/null || true
    # One of those that stay is also the server of the moment.
    [[ ${#running[@]} == 0 ]] || stop_running
    stop_server
    rm -rf "$scratch"
}

scratch=$(mktemp -d)
# What the server of the moment says.
server_log=$scratch/server.log
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [[ -n $results ]]; then
    mkdir -p "$results"
    results=$(cd "$results" && pwd)
    # Results of another day would be averaged with those of this.
    [[ -z $(ls -A "$results") ]] || fail "$results is not empty" 2
else
    results=$scratch/results
    mkdir "$results"
fi
