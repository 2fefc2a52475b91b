# What the live tests have in common: the programs that take part, and the words in which the tests
# are written. Sourced, not run.
#
#   … ──notification──▶ bridge ──signed webhook──▶ webhook
#                                                     │
#    received.jsonl ◀──verdict── check_signature.py ◀──raw body
#
# Only the bridge is ours.
#
# In:  DISTRIBUTION_BRIDGE  path of the built example `distribution_bridge`
#      LIVE_TOOLS           folder that keeps what PyPI and npm have between runs
#                           (default: target/tmp of this repository)

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${LIVE_TOOLS:-$here/../../target/tmp}
standardwebhooks=standardwebhooks==1.1.0

work=$(mktemp -d)
received=$work/received.jsonl
: >"$received"
declare -A pids=()

# --- what has to be on the machine -----------------------------------------------------------

install_debian_packages() { # PACKAGE…: each is named after the program that it is here for
    local missing=() package
    for package in "$@"; do
        command -v "$package" >/dev/null || missing+=("$package")
    done
    ((${#missing[@]} > 0)) || return 0

    say "installing ${missing[*]}"
    forbid_service_starts
    # A machine that has never fetched the package lists, or has old ones, needs them first.
    apt_get install "${missing[@]}" ||
        { apt_get update && apt_get install "${missing[@]}"; } ||
        fail "could not install ${missing[*]}"
    allow_service_starts
}

apt_get() {
    local command=$1
    shift
    local options=(-o DPkg::Lock::Timeout=120)
    [[ $command != install ]] || options+=(-y --no-install-recommends)
    as_root timeout 300 env DEBIAN_FRONTEND=noninteractive \
        apt-get "$command" "${options[@]}" "$@" >>"$work/apt.log" 2>&1 </dev/null
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi
}

# Debian starts a service as soon as its package is installed, unless this file says 101. Some
# machines (containers) have one that says so already; it is left alone.
policy=/usr/sbin/policy-rc.d
policy_is_ours=no

forbid_service_starts() {
    if [[ -e $policy ]]; then
        local answer=0
        as_root "$policy" docker-registry start || answer=$?
        ((answer != 101)) || return 0
        as_root mv "$policy" "$policy.before-live-test"
    fi
    policy_is_ours=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}

allow_service_starts() {
    [[ $policy_is_ours == yes ]] || return 0
    policy_is_ours=no
    as_root rm -f "$policy"
    [[ ! -e $policy.before-live-test ]] || as_root mv "$policy.before-live-test" "$policy"
}

install_signature_library() {
    local venv=$tools/${standardwebhooks/==/-}
    python=$venv/bin/python
    # The import is the proof: an installation that was cut short is made anew.
    "$python" -c 'import standardwebhooks' 2>/dev/null && return 0

    say "installing $standardwebhooks"
    mkdir -p "$tools"
    { python3 -m venv --clear "$venv" &&
        timeout 300 "$python" -m pip install --quiet --disable-pip-version-check \
            "$standardwebhooks"; } >"$work/pip.log" 2>&1 ||
        fail "could not install $standardwebhooks"
}

# --- the servers that always take part --------------------------------------------------------

free_ports() {
    # All are held open until the last one is known, so that they differ.
    python3 - "$1" <<'PYTHON'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(listener.getsockname()[1] for listener in held))
PYTHON
}

random_base64() {
    head -c 32 /dev/urandom | base64 --wrap=0
}

start_receiver() {
    # Without `include-command-output-in-response` the server answers 200 before the command
    # has run; with it a refused signature is answered with 500.
    jq -n --arg python "$python" --arg script "$here/check_signature.py" '[{
        id: "artifact",
        "http-methods": ["POST"],
        "execute-command": $python,
        "pass-arguments-to-command": [{source: "string", name: $script}],
        "pass-file-to-command": [{source: "raw-request-body", envname: "RAW_BODY_FILE"}],
        "pass-environment-to-command": [
            {source: "header", name: "webhook-id", envname: "WEBHOOK_ID"},
            {source: "header", name: "webhook-timestamp", envname: "WEBHOOK_TIMESTAMP"},
            {source: "header", name: "webhook-signature", envname: "WEBHOOK_SIGNATURE"}
        ],
        "include-command-output-in-response": true
    }]' >"$work/hooks.json"

    start receiver env WEBHOOK_SECRET="$secret" RECEIVED_LOG="$received" \
        webhook -verbose -ip 127.0.0.1 -port "$receiver_port" -hooks "$work/hooks.json"
    wait_for receiver answers "http://127.0.0.1:$receiver_port/"
}

start_bridge() { # VARIABLE=VALUE…: what it is told beside what it always is
    start bridge env "$@" BRIDGE_LISTEN="127.0.0.1:$bridge_port" \
        BRIDGE_AUTHORIZATION="$authorization" \
        BRIDGE_DATABASE="$work/bridge.db" \
        WEBHOOK_URL="$hook" \
        WEBHOOK_SECRET="$secret" \
        "${DISTRIBUTION_BRIDGE:?must name the built example distribution_bridge}"
    wait_for bridge grep -qs listening "$work/bridge.log"
}

start() { # NAME COMMAND…
    local name=$1
    shift
    "$@" >"$work/$name.log" 2>&1 </dev/null &
    pids[$name]=$!
}

wait_for() { # NAME COMMAND…: the server NAME is ready when COMMAND succeeds
    local name=$1
    shift
    within 30 ready_or_gone "$name" "$@" || fail "$name was not ready within 30 s"
    "$@" || fail "$name stopped before it was ready"
}

ready_or_gone() { # NAME COMMAND…: no reason to wait any longer
    local name=$1
    shift
    "$@" || ! kill -0 "${pids[$name]}" 2>/dev/null
}

answers() { # URL
    [[ $(http_status "$1") == 200 ]]
}

# --- what was delivered -----------------------------------------------------------------------

wait_for_deliveries() { # COUNT
    within 30 at_least_delivered "$1" || fail "delivery $1 did not arrive within 30 s"
}

at_least_delivered() { # COUNT
    (($(wc -l <"$received") >= $1))
}

deliveries() { # TYPE FILTER: the filter's result for each delivery of that type, one a line
    jq -c --arg type "$1" "select(.type == \$type) | $2" "$received"
}

assert_bridge_stops_by_itself() {
    local status=0
    kill -TERM "${pids[bridge]}"
    within 10 gone bridge || fail "the bridge still runs 10 s after SIGTERM"
    wait "${pids[bridge]}" || status=$?
    unset "pids[bridge]"
    expect "the bridge stops on SIGTERM with status 0" 0 "$status"
}

# --- words used above ------------------------------------------------------------------------

expect() { # ASSERTION WANTED FOUND
    if [[ $3 != "$2" ]]; then
        fail "$1"$'\n'"    wanted: $2"$'\n'"    found:  ${3:-nothing}"
    fi
    echo "ok - $1"
}

fail() { # WHAT
    echo "not ok - $1"
    exit 1
}

say() {
    echo "# $*"
}

within() { # SECONDS COMMAND…: succeeds as soon as COMMAND does, fails when the time is over
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

gone() { # NAME
    ! kill -0 "${pids[$1]}" 2>/dev/null
}

http_status() { # URL CURL-OPTIONS…: prints 000 when nobody answers
    curl --silent --noproxy '*' --max-time 10 --output /dev/null --write-out '%{http_code}' "$@" ||
        true
}

# --- the end, however it comes ---------------------------------------------------------------

clean_up() {
    local status=$? name
    trap - EXIT
    for name in "${!pids[@]}"; do
        kill -TERM "${pids[$name]}" 2>/dev/null || true
    done
    for name in "${!pids[@]}"; do
        within 5 gone "$name" || kill -KILL "${pids[$name]}" 2>/dev/null || true
    done
    allow_service_starts
    ((status == 0)) || print_logs
    rm -rf "$work"
    exit "$status"
}

print_logs() {
    local log
    for log in "$work"/*.log "$received"; do
        [[ -s $log ]] || continue
        echo "--- ${log##*/}"
        tail -n 100 "$log"
    done
}

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
