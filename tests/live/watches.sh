#!/usr/bin/env bash
# What real registries list, as the upstreams of watches read it:
#
#   skopeo ──push──▶ docker-registry ◀──┐
#          files ──▶ Python's server ◀──┼── poll_upstream ──events──▶ this script
#   npm ──publish──▶ verdaccio ◀────────┘
#
# Only the example `poll_upstream` is ours.
#
# In:  POLL_UPSTREAM  path of the built example `poll_upstream`
#      LIVE_TOOLS     folder that keeps Verdaccio between runs
#                     (default: target/tmp of this repository)
# Out: one line `ok - …` per assertion and status 0, or `not ok - …`, every log, and status 1.
#
# All traffic of the test stays on 127.0.0.1; only what is missing is fetched from Debian and npm. It
# stops the processes it started, by id, and no others.

set -euo pipefail

# shellcheck source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
# shellcheck source=npm.sh
source "$(dirname "${BASH_SOURCE[0]}")/npm.sh"

poll_program=${POLL_UPSTREAM:?must name the built example poll_upstream}

main() {
    install_debian_packages docker-registry skopeo npm jq curl
    install_verdaccio
    local ports
    ports=$(free_ports 3)
    read -r oci_port helm_port npm_port <<<"$ports"
    watch_tags
    watch_charts
    watch_packages
}

# --- tags of docker-registry -----------------------------------------------------------------

watch_tags() {
    local registry=127.0.0.1:$oci_port digest_a digest_b
    start_docker_registry
    digest_a=$(python3 "$here/make_image.py" "$work/image-a" "hello from A")
    digest_b=$(python3 "$here/make_image.py" "$work/image-b" "hello from B")

    push image-a 1.9
    poll oci "http://$registry" acme/app
    expect "tags: the first poll is the baseline" "listed" "$(told)"

    push image-a 1.10.0
    push image-b 1.9.1
    push image-b 1.9
    poll oci "http://$registry" acme/app
    expect "tags: new ones in the order of versions, and the one that moved" \
        "artifact.updated 1.9 $digest_b $digest_a
artifact.ingested 1.9.1 $digest_b -
artifact.ingested 1.10.0 $digest_a -
listed" "$(told)"
    expect "tags: an event says where it is" "$registry acme/app oci" \
        "$(jq -rs '.[0].artifact | "\(.registry) \(.repository) \(.package_type)"' "$work/events")"

    poll oci "http://$registry" acme/app
    expect "tags: nothing is told twice" "listed" "$(told)"
}

start_docker_registry() {
    cat >"$work/registry.yml" <<YAML
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: $work/registry}
http:
  addr: 127.0.0.1:$oci_port
YAML
    start registry docker-registry serve "$work/registry.yml"
    wait_for registry answers "http://127.0.0.1:$oci_port/v2/"
}

push() { # LAYOUT TAG
    timeout 60 skopeo --insecure-policy copy --preserve-digests --dest-tls-verify=false \
        "oci:$work/$1:latest" "docker://127.0.0.1:$oci_port/acme/app:$2" \
        >>"$work/skopeo.log" 2>&1 </dev/null || fail "skopeo could not push $2"
}

# --- a Helm index served from files ----------------------------------------------------------

watch_charts() {
    local repository=http://127.0.0.1:$helm_port digest
    digest=$(printf a%.0s {1..64})
    mkdir -p "$work/charts"
    index 1.9.0
    start helm python3 -m http.server --bind 127.0.0.1 --directory "$work/charts" "$helm_port"
    wait_for helm answers "$repository/index.yaml"

    poll helm "$repository" app
    expect "charts: the first poll is the baseline" "listed" "$(told)"
    poll helm "$repository" app
    expect "charts: an index that was not modified is not sent" "unchanged" "$(told)"

    index 1.10.0 1.9.1 1.9.0
    # The server tells times in seconds.
    touch --date '+5 seconds' "$work/charts/index.yaml"
    poll helm "$repository" app
    expect "charts: all new versions in their order" \
        "artifact.ingested 1.9.1 sha256:$digest -
artifact.ingested 1.10.0 sha256:$digest -
listed" "$(told)"
    expect "charts: an event says where the chart is" "$repository/app-1.9.1.tgz" \
        "$(jq -rs '.[0].artifact.url' "$work/events")"
}

index() { # VERSION…: those of the chart, beside another one's
    {
        printf 'apiVersion: v1\nentries:\n  other:\n  - {name: other, version: 1.0.0}\n  app:\n'
        local version
        for version in "$@"; do
            printf '  - name: app\n    version: %s\n    digest: %s\n    urls: [app-%s.tgz]\n' \
                "$version" "$digest" "$version"
        done
    } >"$work/charts/index.yaml"
}

# --- packages of Verdaccio -------------------------------------------------------------------

watch_packages() {
    start_verdaccio "$npm_port"
    log_in
    publish 1.0.0
    poll npm "$npm_registry" @acme/widget
    expect "packages: the first poll is the baseline" "listed" "$(told)"
    poll npm "$npm_registry" @acme/widget
    expect "packages: a document that has not changed is not sent" "unchanged" "$(told)"

    publish 1.1.0
    publish 1.2.0-beta.1 --tag beta
    poll npm "$npm_registry" @acme/widget
    expect "packages: both new versions, with the tags that name them" \
        'artifact.ingested @acme widget 1.1.0 latest sha512
artifact.ingested @acme widget 1.2.0-beta.1 beta sha512' \
        "$(jq -r '.kind + " " + (.artifact | [.namespace, .name, .version, .tags[],
            (.digest | split(":")[0])] | join(" "))' "$work/events")"

    npm_quietly dist-tag add @acme/widget@1.0.0 stable
    npm_quietly dist-tag add @acme/widget@1.2.0-beta.1 latest
    poll npm "$npm_registry" @acme/widget
    expect "packages: tags that name another version" \
        'tag.moved 1.2.0-beta.1 latest 1.1.0
tag.created 1.0.0 stable' \
        "$(jq -r '[.kind, .artifact.version, .artifact.tags[], .from.version // empty]
            | join(" ")' "$work/events")"

    npm_quietly unpublish @acme/widget@1.1.0 --force
    poll npm "$npm_registry" @acme/widget
    expect "packages: the version that was unpublished" \
        "artifact.deleted 1.1.0" "$(told | cut -d ' ' -f 1,2 | head -n 1)"
}

# --- words used above ------------------------------------------------------------------------

poll() { # KIND URL PACKAGE: what is told is in $work/events
    timeout 60 "$poll_program" "$@" "$work/known-$1" >"$work/events" 2>"$work/poll.log" ||
        fail "poll_upstream $* failed"
}

told() { # kind, version or tag, digest and old digest of each event; then what the poll says
    jq -r '[.kind, (.artifact | .version // .tags[0], .digest // "-"), .from.digest // "-"]
        | join(" ")' "$work/events"
    cat "$work/poll.log"
}

main
