-- Random announces for wrk, worded as libtorrent words them.
--
--   wrk -t1 -c100 -d10 --latency -s bench/http/announce.lua http://127.0.0.1:7080/ -- [OPTIONS]
--
--   torrents=N    info-hashes to draw from, evenly (10000)
--   hashes=FILE   draw from these instead, 40 hex digits a line
--   requests=N    different announces, made beforehand and sent in turn (40000)
--   seed=N        same seed, same announces (1)
--   close         ask the server to close after each reply
--   check         look at every reply; costs the generator too much to measure at the same time
--
-- The last line of output is the result as JSON. wrk fails when a reply was not 200, when a
-- connection failed, or when the check found a reply that is not a list of peers. With `close`, the
-- end of a connection is no failure, though wrk calls it one where the server did not announce it.

local options = { torrents = 10000, requests = 40000, seed = 1 }
local threads = {}

-- Whatever `done` asks a thread for must be global.
wrong, example, closing = 0, "", false

function setup(thread)
    table.insert(threads, thread)
end

local function fail(why)
    io.stderr:write("announce.lua: " .. why .. "\n")
    os.exit(1)
end

local function read_options(args)
    for _, word in ipairs(args) do
        local name, value = word:match("^(%w+)=(.+)$")
        if word == "close" or word == "check" then
            options[word] = true
        elseif name == "hashes" then
            options.hashes = value
        elseif options[name] and tonumber(value) then
            options[name] = tonumber(value)
        else
            fail("there is no option " .. word)
        end
    end
end

local function random_bytes(count)
    local bytes = {}
    for i = 1, count do
        bytes[i] = string.char(math.random(0, 255))
    end
    return table.concat(bytes)
end

local function read_hashes(file)
    local hashes = {}
    for line in io.lines(file) do
        if not line:match("^%x+$") or #line ~= 40 then
            fail(file .. " has a line that is no info-hash: " .. line)
        end
        hashes[#hashes + 1] = line:gsub("%x%x", function(hex)
            return string.char(tonumber(hex, 16))
        end)
    end
    return hashes
end

-- Leaves what libtorrent leaves, and writes hex digits in its case.
local function escaped(bytes)
    return (bytes:gsub("[^%w%-_!.~*()]", function(char)
        return string.format("%%%02x", char:byte())
    end))
end

local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

local function random_peer_id()
    local id = { "-LT20B0-" }
    for i = 2, 13 do
        local at = math.random(1, #letters)
        id[i] = letters:sub(at, at)
    end
    return table.concat(id)
end

-- Most announces are the regular ones, which name no event.
local function random_event(left)
    local dice = math.random(100)
    if dice <= 4 then return "&event=started" end
    if dice <= 6 then return "&event=stopped" end
    if dice == 7 and left == 0 then return "&event=completed" end
    return ""
end

local function announce(hash)
    local left = math.random(2) == 1 and 0 or math.random(1, 2 ^ 30)
    local lines = {
        string.format(
            "GET /announce?info_hash=%s&peer_id=%s&port=%d&uploaded=%d&downloaded=%d&left=%d"
                .. "&corrupt=0&key=%04X%04X%s&numwant=50&compact=1&no_peer_id=1&supportcrypto=1"
                .. "&redundant=0 HTTP/1.1",
            escaped(hash), random_peer_id(), math.random(1024, 65535), math.random(0, 2 ^ 30),
            math.random(0, 2 ^ 30), left, math.random(0, 65535), math.random(0, 65535),
            random_event(left)
        ),
        "Host: " .. wrk.headers["Host"],
        "User-Agent: libtorrent/2.0.11.0",
    }
    -- The check reads the replies, so it does not invite compressed ones.
    if not options.check then
        lines[#lines + 1] = "Accept-Encoding: gzip"
    end
    lines[#lines + 1] = options.close and "Connection: close" or "Connection: keep-alive"
    return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

local function check(status, _, body)
    if status ~= 200 or not body:match("^d.*e%s*$") or not body:find("5:peers", 1, true)
        or body:find("14:failure reason", 1, true) then
        wrong = wrong + 1
        if example == "" then
            example = status .. " " .. body:sub(1, 200)
        end
    end
end

function init(args)
    read_options(args)
    closing = options.close or false
    math.randomseed(options.seed)
    local hashes = {}
    if options.hashes then
        hashes = read_hashes(options.hashes)
    else
        for i = 1, options.torrents do
            hashes[i] = random_bytes(20)
        end
    end
    local requests, count = {}, options.requests
    for i = 1, count do
        requests[i] = announce(hashes[math.random(#hashes)])
    end
    local at = 0
    function request()
        at = at % count + 1
        return requests[at]
    end
    -- wrk hands replies over, at a price, only where this function exists.
    if options.check then
        response = check
    end
end

function done(summary, latency)
    local errors = summary.errors
    local result = '{"report": "wrk", "requests": %d, "seconds": %.6f, "latency_us": {"p50": %d,'
        .. ' "p90": %d, "p99": %d, "p99.9": %d, "max": %d}, "errors": {"connect": %d, "read": %d,'
        .. ' "write": %d, "timeout": %d, "status": %d}}\n'
    io.write(result:format(
        summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(90),
        latency:percentile(99), latency:percentile(99.9), latency.max, errors.connect, errors.read,
        errors.write, errors.timeout, errors.status
    ))
    io.flush()
    local ends = 0
    for _, thread in ipairs(threads) do
        if thread:get("wrong") > 0 then
            fail(thread:get("wrong") .. " wrong replies, the first: " .. thread:get("example"))
        end
        if thread:get("closing") then
            ends = summary.requests
        end
    end
    if summary.requests == 0 then
        fail("no reply at all")
    end
    for name, count in pairs(errors) do
        if count > (name == "read" and ends or 0) then
            fail(count .. " errors of kind " .. name)
        end
    end
end
