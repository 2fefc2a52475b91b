# A real Verdaccio and a real npm, for the tests that publish to them. Sourced behind stage.sh.
#
# In:  $tools, $work, and $verdaccio_notify, lines for its configuration or nothing.

# Those from 6.9 on need Node.js 22; those before 6.6 do not tell of what is unpublished.
verdaccio=6.8.0
# One of its dependencies asks for `node-fetch@cjs`, a tag that mirrors of npm may not have.
node_fetch=2.7.0

install_verdaccio() {
    local folder=$tools/verdaccio-$verdaccio
    verdaccio_program=$folder/node_modules/verdaccio/bin/verdaccio
    # That it runs is the proof: an installation that was cut short is made anew.
    node "$verdaccio_program" --version >/dev/null 2>&1 && return 0

    say "installing verdaccio $verdaccio"
    rm -rf "$folder"
    mkdir -p "$folder"
    jq -n --arg verdaccio "$verdaccio" --arg node_fetch "$node_fetch" '{
        private: true, dependencies: {$verdaccio}, overrides: {"node-fetch": $node_fetch}
    }' >"$folder/package.json"
    timeout 500 npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund \
        --loglevel=error >"$work/npm-install.log" 2>&1 </dev/null ||
        fail "could not install verdaccio $verdaccio"
}

start_verdaccio() { # PORT: its address is $npm_registry then
    npm_registry=http://127.0.0.1:$1
    cat >"$work/verdaccio.yml" <<YAML
storage: $work/packages
auth:
  htpasswd: {file: $work/htpasswd}
packages:
  '**': {access: \$all, publish: \$authenticated, unpublish: \$authenticated}
log: {type: stdout, format: pretty, level: http}
${verdaccio_notify:-}
YAML
    start verdaccio node "$verdaccio_program" --config "$work/verdaccio.yml" \
        --listen "127.0.0.1:$1"
    wait_for verdaccio answers "$npm_registry/-/ping"
}

log_in() {
    local answer
    answer=$(curl --silent --fail --noproxy '*' --request PUT \
        --header 'Content-Type: application/json' \
        --data '{"name": "alice", "password": "correct-horse"}' \
        "$npm_registry/-/user/org.couchdb.user:alice") || fail "alice could not be registered"
    printf 'registry=%s/\n//%s/:_authToken=%s\nupdate-notifier=false\ncache=%s\n' \
        "$npm_registry" "${npm_registry#http://}" "$(jq -r .token <<<"$answer")" "$work/npm-cache" \
        >"$work/npmrc"
}

publish() { # VERSION NPM-OPTIONS…
    local version=$1
    shift
    mkdir -p "$work/widget"
    jq -n --arg version "$version" '{name: "@acme/widget", version: $version, license: "MIT"}' \
        >"$work/widget/package.json"
    npm_quietly publish "$work/widget" "$@"
}

npm_quietly() {
    timeout 60 env NPM_CONFIG_USERCONFIG="$work/npmrc" no_proxy='*' \
        npm "$@" >>"$work/npm.log" 2>&1 </dev/null || fail "npm $1 failed"
}
