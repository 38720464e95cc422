# shellcheck shell=bash disable=SC2154
# Read by the benches that ask over HTTP, after servers.sh: wrk and the handshakes, and what both sides
# need for them. Expects `bench`, `root`, `generator_cpu`, `duration`, `connections` (of wrk), `clients`
# (that shake hands), `torrents`, and the `address` and `server_pid` of the moment.

# Makes a certificate for 127.0.0.1: `certificate` and `private_key` name its files.
make_certificate() {
    certificate=$scratch/certificate.pem private_key=$scratch/private_key.pem
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
        -subj /CN=localhost -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" \
        -keyout "$private_key" -out "$certificate" 2>/dev/null
}

# What wrk is asked to send is for these torrents, because opentracker serves only those it is told of.
make_hashes() {
    hashes=$scratch/hashes
    "$bench" hashes --torrents "$torrents" >"$hashes"
}

is_listening() {
    local host=${1%:*} port=${1##*:}
    (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null
}

# generate FILE ARGUMENTS...: runs shoal-bench into a file.
generate() {
    local file=$1
    shift
    "$bench" "$@" >"$file" 2>"$scratch/load.log" &
    generator_pid=$!
    await_generator "$file"
}

cost_of() {
    local file=$1
    shift
    generate "$file" cost --pid "$server_pid" --cpu "$generator_cpu" --json -- "$@"
}

# Every reply is looked at while the server warms up, and none while it is measured: one generator
# CPU cannot do both.
measure_wrk() {
    local file=$1 url=$2
    shift 2
    local wrk=(wrk -t1 "-c$connections" --latency -s "$root/bench/http/announce.lua")
    cost_of "$scratch/warmup.json" "${wrk[@]}" -d1 "$url" -- "hashes=$hashes" "$@" check
    cost_of "$file" "${wrk[@]}" "-d$duration" "$url" -- "hashes=$hashes" "$@"
}

measure_handshakes() {
    local file=$1
    shift
    local https=("$bench" https --target "$address" --certificate "$certificate"
        --connections "$clients" --torrents "$torrents" --json "$@")
    cost_of "$scratch/warmup.json" "${https[@]}" --duration 1
    cost_of "$file" "${https[@]}" --duration "$duration"
}
