# shellcheck shell=bash
# Read by the benches: the servers and the generator of the moment, which end with the script, and the
# folder of the results. Expects `results` (a folder or nothing) and `fail`.

server_pid='' generator_pid=''
# Those that stay while others are measured: names and process ids.
declare -A running=()

# Ends a server that this script started, and only that one; the hard way if it will not listen. One
# that is paused hears nothing.
end_process() {
    local pid=$1
    kill "$pid" 2>/dev/null || true
    kill -CONT "$pid" 2>/dev/null || true
    for ((tenth = 0; tenth < 100; tenth++)); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

stop_server() {
    if [[ -n $server_pid ]]; then
        end_process "$server_pid"
        server_pid=''
    fi
}

stop_running() {
    local name
    for name in "${!running[@]}"; do
        end_process "${running[$name]}"
    done
    running=() server_pid=''
}

clean_up() {
    [[ -z $generator_pid ]] || kill "$generator_pid" 2>/dev/null || true
    stop_server
    stop_running
    rm -rf "$scratch"
}

scratch=$(mktemp -d)
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
