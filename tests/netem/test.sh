#!/bin/sh
# Links by `tc netem` for real: in a guest with Debian's stock kernel, since many kernels (those of containers and small
# virtual machines among them) have none. Usage: tests/netem/test.sh RUNNER
set -eu
here=$(cd "$(dirname "$0")" && pwd)
runner=$1
# The guest sees the host's files, read only, and its own /tmp.
RUNNER_NETEM_TIMEOUT=${RUNNER_NETEM_TIMEOUT:-240} exec bash "$here/run.sh" sh -c '
    set -eu
    cd /tmp
    "$0" run "$1/link.yaml" --no-graphs
    status=$(echo results/netem/*/cells/all/run1/status.json)
    grep -q "\"mechanism\": \"netem\"" "$status" || { echo "the link was not made with netem"; cat "$status"; exit 1; }
    median=$(sed -n "s/.*\"rtt_median_ns\": \([0-9]*\).*/\1/p" "$status")
    echo "round trip with netem: $median ns, expected 100 ms"
    [ "$median" -ge 100000000 ] && [ "$median" -le 130000000 ]
    left=$(ls /run/netns)
    [ -z "$left" ] || { echo "left behind: $left"; exit 1; }
    echo "netem works"
' "$runner" "$here"
