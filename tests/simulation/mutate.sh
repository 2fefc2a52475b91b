#!/bin/sh
# Shows that the simulation notices what it is there to notice: breaks the crate in one way after
# another, as mutations/*.patch say, and expects some seed to break an invariant.
#
#   tests/simulation/mutate.sh [NAME...]      all of them, or those of these names
#
# It works on a copy of the tree in a temporary folder, and builds in a folder of its own below the
# target folder, so that no build of the tree is ever that of a mutation. SIMULATION_SEEDS says how many
# seeds a mutation may survive, 2000 unless it is set. A mutation whose patch does not apply any more has
# to be made anew: change the copy as its name says, and keep what `git diff` tells.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}/mutations"
export SIMULATION_SEEDS="${SIMULATION_SEEDS:-2000}" RUST_BACKTRACE=0
# Always the same, so that the target folder keeps one build of it.
copy=${TMPDIR:-/tmp}/artifact-triggers-mutations
rm -rf "$copy" && mkdir -p "$copy"
trap 'rm -rf "$copy"' EXIT
[ $# -gt 0 ] || set -- $(ls tests/simulation/mutations | sed 's/\.patch$//')
# Of now, or a build of a mutation that was cut off would count as fresh.
tar cf - --exclude=./target --exclude=./.git . | tar xmf - -C "$copy"
cd "$copy"
survived=0
for name; do
    patch -s -p1 < "$root/tests/simulation/mutations/$name.patch"
    cargo test -q --test simulation --no-run 2> "$copy/build" || { cat "$copy/build"; exit 1; }
    if cargo test -q --test simulation -- --exact some_seeds_hold_every_invariant > "$copy/told" 2>&1
    then
        survived=1
        echo "$name: SURVIVED $SIMULATION_SEEDS seeds"
    else
        seed=$(sed -n 's/^seed \([0-9]*\):.*/\1/p' "$copy/told" | head -1)
        rule=$(sed -n 's/^ *breaks invariant \([0-9]*\):.*/\1/p' "$copy/told" | head -1)
        echo "$name: invariant ${rule:-none}, seed ${seed:-none}"
        [ -n "$rule" ] || { survived=1; tail -20 "$copy/told"; }
    fi
    patch -s -R -p1 < "$root/tests/simulation/mutations/$name.patch"
done
exit $survived
