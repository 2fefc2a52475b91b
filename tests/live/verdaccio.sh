#!/usr/bin/env bash
# A real `npm publish` fires a trigger, through npm's Verdaccio and the bridge example:
#
#   npm ──publish──▶ verdaccio ──notify──▶ bridge ──signed webhook──▶ webhook
#                                                                        │
#           received.jsonl ◀──verdict── check_signature.py ◀──raw body───┘
#
# Only the bridge is ours.
#
# In:  DISTRIBUTION_BRIDGE  path of the built example `distribution_bridge`
#      LIVE_TOOLS           folder that keeps Verdaccio and the Python library between runs
#                           (default: target/tmp of this repository)
# Out: one line `ok - …` per assertion and status 0, or `not ok - …`, every log, and status 1.
#
# All traffic of the test stays on 127.0.0.1; only what is missing is fetched from Debian, npm and
# PyPI. It stops the processes it started, by id, and no others.

set -euo pipefail

# shellcheck source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

# shellcheck source=npm.sh
source "$(dirname "${BASH_SOURCE[0]}")/npm.sh"

main() {
    install_debian_packages npm webhook jq curl
    install_signature_library
    install_verdaccio
    start_everything
    publish_and_unpublish
    assert_what_was_delivered
    assert_wrong_authorization_is_refused
    assert_bridge_stops_by_itself
}

start_everything() {
    local ports
    ports=$(free_ports 3)
    read -r receiver_port bridge_port registry_port <<<"$ports"
    hook=http://127.0.0.1:$receiver_port/hooks/artifact
    notifications=http://127.0.0.1:$bridge_port/notifications
    authorization="Bearer $(random_base64)"
    secret="whsec_$(random_base64)"

    # In the order of need: whoever is called starts before its caller.
    start_receiver
    start_bridge BRIDGE_PROVIDER=verdaccio
    start_registry
}

start_registry() {
    # As on the manual's page on receivers.
    verdaccio_notify=$(
        cat <<YAML
notify:
  method: POST
  headers: [{Content-Type: application/json}, {Authorization: "$authorization"}]
  endpoint: $notifications
  content: '{"publishedPackage": "{{publishedPackage}}", "type": "{{publishType}}", "publisher": "{{publisher.name}}"}'
YAML
    )
    start_verdaccio "$registry_port"
}

# --- what a user does to the registry --------------------------------------------------------

publish_and_unpublish() {
    log_in
    publish 1.0.0
    wait_for_deliveries 1
    publish 1.1.0-beta.1 --tag beta
    wait_for_deliveries 2
    npm_quietly unpublish @acme/widget@1.0.0 --force
    wait_for_deliveries 3
}

# --- what must hold --------------------------------------------------------------------------

assert_what_was_delivered() {
    # The time in which a duplicate would arrive.
    sleep 2

    local artifact='.body.data | [.artifact.namespace, .artifact.name, .artifact.version, .actor.name]'
    expect "exactly two artifact.ingested: one for each version" \
        '["@acme","widget","1.0.0","alice"] ["@acme","widget","1.1.0-beta.1","alice"]' \
        "$(deliveries artifact.ingested "$artifact" | paste -sd ' ')"
    expect "exactly one artifact.deleted: the version that was unpublished" \
        '["@acme","widget","1.0.0","alice"]' "$(deliveries artifact.deleted "$artifact")"
    expect "nothing else was delivered" 3 "$(wc -l <"$received")"
    expect "PyPI's standardwebhooks verified every signature" '[true,true,true]' \
        "$(jq -sc 'map(.verified)' "$received")"
    expect "the source is named" '["verdaccio"]' \
        "$(jq -sc 'map(.body.data.source.name) | unique' "$received")"
}

assert_wrong_authorization_is_refused() {
    local body='{"publishedPackage": "stranger@1.0.0", "type": "publish", "publisher": "mallory"}'
    expect "a notification with a wrong Authorization is answered with 401" 401 \
        "$(http_status "$notifications" --data-binary "$body" \
            --header 'Content-Type: application/json' --header 'Authorization: Bearer wrong')"
    expect "what was refused was not delivered" 3 "$(wc -l <"$received")"
}

main
