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

# shellcheck source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

main() {
    install_debian_packages docker-registry skopeo webhook jq curl
    install_signature_library
    start_everything
    push_move_and_delete
    assert_what_was_delivered
    assert_wrong_authorization_is_refused
    assert_tampered_body_is_refused
    assert_bridge_stops_by_itself
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

main
