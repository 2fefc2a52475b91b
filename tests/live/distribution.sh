#!/usr/bin/env bash
# A real registry's push reaches a real webhook receiver, through the bridge example:
#
#   skopeo ──push──▶ docker-registry ──notification──▶ bridge ──signed webhook──▶ webhook
#                                                                                    │
#                       received.jsonl ◀──verdict── check_signature.py ◀──raw body───┘
#
# Only the bridge is ours. The registry, the client, the receiver and the library that checks
# the signature are other people's, so agreement between them is agreement on the wire.
#
# In:  DISTRIBUTION_BRIDGE  path of the built example `distribution_bridge`
#      LIVE_TOOLS           folder that keeps the Python library between runs
#                           (default: target/tmp of this repository)
# Out: one line `ok - …` per assertion and status 0, or `not ok - …`, every log, and status 1.
#
# All traffic of the test stays on 127.0.0.1; only what is missing is fetched from Debian and
# PyPI. It stops the processes it started, by id, and no others.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bridge_program=${DISTRIBUTION_BRIDGE:?must name the built example distribution_bridge}
tools=${LIVE_TOOLS:-$here/../../target/tmp}
standardwebhooks=standardwebhooks==1.1.0

work=$(mktemp -d)
received=$work/received.jsonl
: >"$received"
declare -A pids=()

main() {
    install_debian_packages
    install_signature_library
    start_everything
    push_move_and_delete
    assert_what_was_delivered
    assert_wrong_authorization_is_refused
    assert_tampered_body_is_refused
    assert_bridge_stops_by_itself
}

# --- what has to be on the machine -----------------------------------------------------------

install_debian_packages() {
    # Each of these packages is named after the program that it is here for.
    local missing=() package
    for package in docker-registry skopeo webhook jq curl; do
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

# --- the three servers -----------------------------------------------------------------------

start_everything() {
    local ports
    ports=$(free_ports 3)
    read -r receiver_port bridge_port registry_port <<<"$ports"
    registry=127.0.0.1:$registry_port
    hook=http://127.0.0.1:$receiver_port/hooks/artifact
    notifications=http://127.0.0.1:$bridge_port/notifications
    authorization="Bearer $(random_base64)"
    secret="whsec_$(random_base64)"

    # In the order of need: whoever is called starts before its caller.
    start_receiver
    start_bridge
    start_registry
}

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

start_bridge() {
    start bridge env BRIDGE_LISTEN="127.0.0.1:$bridge_port" \
        BRIDGE_AUTHORIZATION="$authorization" \
        BRIDGE_DATABASE="$work/bridge.db" \
        WEBHOOK_URL="$hook" \
        WEBHOOK_SECRET="$secret" \
        "$bridge_program"
    wait_for bridge grep -qs listening "$work/bridge.log"
}

start_registry() {
    cat >"$work/registry.yml" <<YAML
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: $work/registry}
  delete: {enabled: true}
http:
  addr: $registry
  secret: $(random_base64)
notifications:
  endpoints:
    - name: bridge
      url: $notifications
      headers: {Authorization: ["$authorization"]}
      timeout: 2s
      threshold: 5
      backoff: 200ms
YAML
    start registry docker-registry serve "$work/registry.yml"
    wait_for registry answers "http://$registry/v2/"
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

# --- what a user does to the registry --------------------------------------------------------

push_move_and_delete() {
    digest_a=$(python3 "$here/make_image.py" "$work/image-a" "hello from A")
    digest_b=$(python3 "$here/make_image.py" "$work/image-b" "hello from B")

    push image-a
    wait_for_deliveries 1
    push image-b
    wait_for_deliveries 2
    skopeo_quietly delete --tls-verify=false "docker://$registry/app:latest"
    wait_for_deliveries 3
}

push() { # LAYOUT
    skopeo_quietly copy --preserve-digests --dest-tls-verify=false \
        "oci:$work/$1:latest" "docker://$registry/app:latest"
}

skopeo_quietly() {
    # Which signatures this machine demands of images is not what is tested here.
    timeout 60 skopeo --insecure-policy "$@" >>"$work/skopeo.log" 2>&1 </dev/null ||
        fail "skopeo $1 failed"
}

wait_for_deliveries() { # COUNT
    within 30 at_least_delivered "$1" || fail "delivery $1 did not arrive within 30 s"
}

at_least_delivered() { # COUNT
    (($(wc -l <"$received") >= $1))
}

# --- what must hold --------------------------------------------------------------------------

assert_what_was_delivered() {
    # The registry has also told of blobs, pulls and the tag that went with the manifest. This
    # is the time in which a delivery made of those, or a duplicate, would arrive.
    sleep 3

    local artifact='.body.data.artifact | .registry, .repository, .digest'
    expect "exactly one artifact.ingested: digest A, tagged latest" \
        "$(jq -nc '$ARGS.positional' --args "$registry" app "$digest_a" latest)" \
        "$(deliveries artifact.ingested "[($artifact, .tags[])]")"
    expect "exactly one artifact.updated: digest B from digest A, tagged latest" \
        "$(jq -nc '$ARGS.positional' --args "$registry" app "$digest_b" latest "$digest_a")" \
        "$(deliveries artifact.updated "[($artifact, .tags[]), .body.data.from.digest]")"
    expect "exactly one artifact.deleted: digest B" \
        "$(jq -nc '$ARGS.positional' --args "$registry" app "$digest_b")" \
        "$(deliveries artifact.deleted "[$artifact]")"
    expect "nothing else was delivered" 3 "$(wc -l <"$received")"
    expect "PyPI's standardwebhooks verified every signature" '[true,true,true]' \
        "$(jq -sc 'map(.verified)' "$received")"
    expect "the three webhook-ids differ" 3 \
        "$(jq -s 'map(.webhook_id | select(. != "")) | unique | length' "$received")"
}

deliveries() { # TYPE FILTER: the filter's result for each delivery of that type, one a line
    jq -c --arg type "$1" "select(.type == \$type) | $2" "$received"
}

assert_wrong_authorization_is_refused() {
    local before
    before=$(wc -l <"$received")
    notification of-a-stranger >"$work/stranger.json"
    notification of-a-friend >"$work/friend.json"

    expect "a notification without Authorization is answered with 401" 401 \
        "$(notify "$work/stranger.json")"
    expect "a notification with a wrong Authorization is answered with 401" 401 \
        "$(notify "$work/stranger.json" --header "Authorization: Bearer wrong")"

    # Only the header differs in this one. Sent last, its delivery also tells when a delivery
    # of the refused ones would have arrived.
    expect "the same notification with the right Authorization is accepted" 2 \
        "$(notify "$work/friend.json" --header "Authorization: $authorization" | cut -c 1)"
    wait_for_deliveries $((before + 1))
    expect "only the accepted notification was delivered" of-a-friend \
        "$(tail -n "+$((before + 1))" "$received" | jq -r .body.data.artifact.repository)"
}

notification() { # REPOSITORY: a push as this registry would tell of it
    jq -n --arg repository "$1" --arg registry "$registry" --arg digest "$digest_a" '
        "application/vnd.oci.image.manifest.v1+json" as $manifest
        | {events: [{
            id: "made-by-the-live-test-\($repository)",
            timestamp: (now | todate),
            action: "push",
            target: {
                mediaType: $manifest, digest: $digest, size: 2, length: 2, tag: "latest",
                repository: $repository,
                url: "http://\($registry)/v2/\($repository)/manifests/\($digest)"
            },
            request: {id: "by-hand", addr: "127.0.0.1", host: $registry, method: "PUT"},
            actor: {},
            source: {addr: $registry, instanceID: "by-hand"}
        }]}'
}

notify() { # FILE CURL-OPTIONS…: posts a notification to the bridge, prints the status
    local file=$1
    shift
    http_status "$notifications" --data-binary "@$file" \
        --header 'Content-Type: application/vnd.docker.distribution.events.v1+json' "$@"
}

assert_tampered_body_is_refused() {
    head -n 1 "$received" >"$work/first.json"
    jq -j .raw "$work/first.json" >"$work/unchanged.json"
    sed 's/artifact\.ingested/artifact.deleted/' "$work/unchanged.json" >"$work/tampered.json"
    ! cmp -s "$work/unchanged.json" "$work/tampered.json" || fail "nothing was tampered with"

    # The unchanged copy shows that nothing but the tampering is what gets the other refused.
    expect "a body sent again unchanged still verifies" "200 true" "$(send_again unchanged)"
    expect "the same body tampered with is refused" "500 false" "$(send_again tampered)"
}

send_again() { # NAME: posts NAME.json under the first delivery's headers
    local status
    status=$(http_status "$hook" --data-binary "@$work/$1.json" \
        --header 'Content-Type: application/json' \
        --header "webhook-id: $(jq -r '.headers["webhook-id"]' "$work/first.json")" \
        --header "webhook-timestamp: $(jq -r '.headers["webhook-timestamp"]' "$work/first.json")" \
        --header "webhook-signature: $(jq -r '.headers["webhook-signature"]' "$work/first.json")")
    echo "$status $(tail -n 1 "$received" | jq .verified)"
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

main
