#!/usr/bin/env bash
# The walk through the example registry that the README tells, by curl:
#
#   curl ──push──▶ registry ──scan──▶ pipeline · quarantine · chat · retention
#
# In:  REGISTRY  path of the built example `registry`
# Out: one line `ok - …` per assertion and status 0, or `not ok - …`, the registry's log, and status 1.
#
# All traffic stays on 127.0.0.1. It stops the registry it started, by id.

set -euo pipefail

program=${REGISTRY:?must name the built example registry}
work=$(mktemp -d)
log=$work/registry.log
pid=

main() {
    start
    ok "a version is taken" is_answer 201 push app 1.0.0 "the first version"
    ok "what passes the scan starts a pipeline" logged "gitlab: pipeline 1 of 1 for pkg:generic/app@1.0.0"
    ok "its run is kept with the delivery" activity_shows scan.completed '"id":"1"'
    ok "a version with the mark is taken" is_answer 201 push evil 1.0.0 "a THIS-IS-A-TEST-VIRUS b"
    ok "and is locked away" eventually is_answer 403 pull evil 1.0.0
    ok "the chat hears of it" logged "chat: .*quarantined"
    ok "a version that is fine is given out" is_answer 200 pull app 1.0.0
    for minor in 1 2 3; do push app "1.$minor.0" "version $minor" >/dev/null; done
    ok "what was pulled is kept, and the last three" same "$(would_delete)" ""
    push other 1.0.0 one >/dev/null
    for minor in 1 2 3; do push other "1.$minor.0" "version $minor" >/dev/null; done
    ok "a dry run tells what would go, and why" same "$(would_delete)" "other 1.0.0"
    ok "retention is made due every second" is_answer 201 schedule_retention
    ok "and the version goes" eventually is_gone other 1.0.0
    ok "the others stay" is_answer 200 pull other 1.1.0
    ok "a trigger that cannot be is refused by name" refused_trigger
    restart --gate
    ok "with a gate, what has the mark is not taken" is_answer 403 push bad 1.0.0 "THIS-IS-A-TEST-VIRUS"
    ok "and is not there" is_answer 404 pull bad 1.0.0
    ok "what is fine is taken" is_answer 201 push good 1.0.0 "fine"
}

start() { # OPTION…
    local port
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    url=http://127.0.0.1:$port
    REGISTRY_ADDRESS=127.0.0.1:$port "$program" "$work/data" "$@" >>"$log" 2>&1 &
    pid=$!
    ok "the registry listens${1:+ with $1}" eventually curl -sf -o "$work/out" "$url/packages"
}

restart() {
    kill -INT "$pid"
    wait "$pid" || true
    start "$@"
}

push() { # PACKAGE VERSION CONTENT: prints the status
    curl -s -o "$work/out" -w '%{http_code}' -T - "$url/packages/$1/$2" <<<"$3"
}

pull() {
    curl -s -o "$work/out" -w '%{http_code}' "$url/packages/$1/$2"
}

is_gone() { # PACKAGE VERSION: without pulling it, since what is pulled is kept
    curl -s "$url/packages" >"$work/out"
    jq -e --arg package "$1" --arg version "$2" \
        'all(.package != $package or .version != $version)' "$work/out" >/dev/null
}

schedule_retention() {
    local run='{"policy": {"keep_last": 3, "keep_downloaded_within": "30d"}}'
    curl -s -o "$work/out" -w '%{http_code}' "$url/triggers" -d '{
        "name": "often", "scope": "demo", "kinds": ["schedule.fired"],
        "schedule": {"every": "1s", "from": "2026-01-01T00:00:00Z"},
        "target": {"action": {"name": "retention", "config": '"$run"'}}
    }'
}

refused_trigger() {
    curl -s "$url/triggers" -d '{"name": "x", "scope": "demo", "kinds": [], "target": {}}' >"$work/out"
    grep -q 'kinds: expected' "$work/out" && grep -q 'target: expected' "$work/out"
}

would_delete() {
    curl -s "$url/retention" |
        jq -r '.[] | select(.is_deleted) | "\(.artifact.name) \(.artifact.version)"'
}

activity_shows() { # KIND TEXT
    local id
    id=$(curl -s "$url/events" | jq -r --arg kind "$1" '[.[] | select(.kind == $kind)][-1].id')
    eventually shows "$url/events/$id" "$2"
}

shows() { # URL TEXT
    curl -s "$1" | jq -c . >"$work/out"
    grep -qF "$2" "$work/out"
}

logged() { # PATTERN
    eventually grep -q "$1" "$log"
}

is_answer() { # STATUS COMMAND…
    local status=$1
    shift
    same "$("$@")" "$status"
}

same() {
    [[ $1 == "$2" ]] || { echo "expected '$2', found '$1'" >>"$work/out"; return 1; }
}

eventually() { # COMMAND…: within 20 seconds
    for _ in $(seq 200); do
        ! "$@" || return 0
        sleep 0.1
    done
    return 1
}

ok() { # WHAT COMMAND…
    local what=$1
    shift
    if "$@"; then
        echo "ok - $what"
    else
        echo "not ok - $what"
        tail -n 20 "$work/out" || true
        cat "$log"
        exit 1
    fi
}

stop() {
    [[ -z $pid ]] || kill "$pid" 2>/dev/null || true
    rm -rf "$work"
}
trap stop EXIT

main
