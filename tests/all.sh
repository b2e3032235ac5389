#!/bin/sh
# What CI does: installs the real programs that tests need, then format, tests, lints, docs, the shipped experiments,
# and the main job, reduced, with real haproxy.
set -eu
cd "$(dirname "$0")/.."
sh tests/needs.sh
cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || rustup component add rustfmt clippy
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}"
# Paths that programs are given must not depend on the folder in which they run.
case $CARGO_TARGET_DIR in /*) ;; *) CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR ;; esac
runner="$CARGO_TARGET_DIR/release/runner"
step() { printf '\n=== %s\n' "$*"; }

# An experiment, once: nothing in it may be skipped or fail. One repetition is too few for an interval, so what it expects
# cannot be told (exit code 5).
quick() {
    code=0
    begun=$(date +%s)
    "$runner" run "$@" --repetitions 1 --out "$out/results" --graphs "$out/graphs" >"$out/said" || code=$?
    cat "$out/said"
    if [ $code != 0 ] && [ $code != 5 ] || grep -Eq '^(SKIPPED|FAILED)' "$out/said"; then
        echo "this went wrong: runner run $*, exit code $code" >&2
        exit 1
    fi
    took=$(($(date +%s) - begun))
    echo "$1: $took s"
}
# Whether the last one was quick enough.
within() {
    if [ "$took" -gt "$1" ]; then
        echo "this took $took s, where $1 s were expected" >&2
        exit 1
    fi
}

step format
cargo fmt --all --check
step build
cargo build --release --workspace --locked
step tests
# One profile for everything: the libraries are built once.
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --release --workspace --locked --no-fail-fast
else
    cargo test --release --workspace --locked --no-fail-fast
fi
step "arithmetic, checked"
# A sum that wraps around is a wrong figure. Only the crates of this workspace are built once more for this: `"*"` are the others.
set -- --release --locked --workspace --lib --no-fail-fast \
    --config 'profile.release.overflow-checks=true' --config 'profile.release.package."*".overflow-checks=false'
# How fast they are does not matter here; compiling them does.
for hot in load analysis record observe vocabulary fixtures tls plot; do
    set -- "$@" --config "profile.release.package.runner-$hot.opt-level=1" --config "profile.release.package.runner-$hot.codegen-units=16"
done
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run "$@"
else
    cargo test "$@"
fi
step "instructions of a request"
python3 benches/instructions.py
step lints
cargo clippy --release --workspace --all-targets --locked -- -D warnings
step "licences, sources and vulnerabilities of libraries"
sh tests/deny.sh
step workflows
if command -v actionlint >/dev/null; then
    actionlint
else
    echo "NOT CHECKED: .github/workflows, since actionlint is not installed" >&2
fi
step "the book, with its links"
sh docs/build.sh
step docs
RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps --locked --quiet
step "shipped experiments"
"$runner" check experiments/*.yaml
step "the main job, reduced, with real haproxy"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$runner" run experiments/blobs-parallel.yaml --set processes=1,2 --set action=baseline,get --repetitions 2 --out "$out/results" --graphs "$out/graphs"
"$runner" run experiments/blobs-proxies.yaml --set action=get --repetitions 1 --out "$out/results" --graphs "$out/graphs"
if PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v haproxy >/dev/null && grep -rq 'haproxy is not installed' "$out"/results/*/*/summary.json; then
    echo "haproxy is installed, and its cells were skipped all the same" >&2
    exit 1
fi
step "load tools as external programs, reduced"
"$runner" run experiments/peers.yaml --set tool=runner,floor,wrk,ab,hey,h2load --set server=null-server --repetitions 1 --out "$out/results" --graphs "$out/graphs"
"$runner" run experiments/peers-protocols.yaml --set tool=runner,h2load --set protocol=https,h2 --repetitions 1 --out "$out/results" --graphs "$out/graphs"
"$runner" run experiments/httperf-classic.yaml --repetitions 1 --out "$out/results" --graphs "$out/graphs"
step "the study of Comet, reduced, builtin and real"
"$runner" run experiments/comet-throughput.yaml --set connections=16 --repetitions 1 --out "$out/results" --graphs "$out/graphs" | tee "$out/comet"
if /usr/bin/python3 -c "import ensurepip" 2>/dev/null; then
    grep -q '"system": "comet"' "$out"/results/comet-throughput/*/summary.json && ! grep -Eq '^(SKIPPED|FAILED)' "$out/comet" || exit 1
fi
step "CPU pools, reduced, against the real servers"
quick experiments/cpu-fixed-load.yaml --set fib=25
quick experiments/cpu-baseline.yaml --set seconds=1
quick experiments/cpu-easy-under-load.yaml --set seconds=1
quick experiments/cpu-responsiveness.yaml --set fib=26
quick experiments/cpu-pool-parameters.yaml --set least=1 --set most=2
quick experiments/cpu-decrypt.yaml --set size=10KiB
step "the Twisted server's own tests"
twisted=$(ls -d "${RUNNER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/runner/steps}"/twisted-*/bin/python | tail -n 1)
"$twisted" -m unittest discover -s fixtures/python
step "typing over a websocket, reduced, builtin and real"
quick experiments/typing-echo.yaml --set rate=10 --set revision=0,2,3
quick experiments/typing-rate.yaml --set server=rust --set revision=3 --set sorted=false
step "the Channels server's own tests"
channels=$(ls -d "${RUNNER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/runner/steps}"/channels-*/bin/python | tail -n 1)
"$channels" -m unittest discover -s fixtures/python/typing
step "downloads through Tor, reduced, builtin and over a private network"
quick experiments/torperf.yaml
within 90
"$runner" export torperf "$out/results/torperf" -o "$out/torperf"
ls "$out"/torperf/*private*-5242880-*.tpf
quick experiments/torperf-upload.yaml
quick experiments/torperf-streams.yaml
# `torperf-onion` takes 80 s for each of its levels, `torperf-guards` 40 s and more, and `torperf-optimistic` starts a network for each repetition: too long to be done each time.
quick experiments/torperf-optimistic.yaml --set network=builtin
step "documents, reduced, against a real server that speaks CouchDB's HTTP"
quick experiments/couchdb-docs.yaml --set backend=pouchdb
step "users who log in, reduced"
quick experiments/shop-log-in.yaml
quick experiments/replay.yaml --set speed=4
step "servers that die behind a real haproxy, reduced"
if "$runner" check experiments/failover.yaml | grep -q "cannot be limited here"; then
    echo "NOT EXECUTED: failover.yaml, since nothing can be limited here" >&2
else
    quick experiments/failover.yaml --set servers=2 --set check=200ms
fi
quick experiments/shop.yaml --set replicas=2 --set buyers=30
step "several machines, as network namespaces"
if [ "$(id -u)" = 0 ]; then
    quick experiments/blobs-hosts.yaml --on netns --set processes=1,2
else
    echo "NOT EXECUTED: network namespaces are made by root only" >&2
fi
step "links by the kernel's own emulation, in a guest"
guest=0
sh tests/netem/test.sh "$runner" || guest=$?
case $guest in
    0) ;;
    125) echo "NOT TESTED: netem, since no guest could be started here" >&2 ;;
    *) exit "$guest" ;;
esac
step "equal things are not called different, and 5 % slower not equal"
"$runner" repeat -n 20 experiments/calibration.yaml --quiet --junit "$out/calibration.xml" --out "$out/results" --graphs "$out/graphs"
"$runner" compare "$out/results/calibration" --by variant --baseline as-is --metric throughput | tee "$out/compared"
# On a machine that is taken away now and then the answer may be "too few repetitions", but never a wrong one.
grep -q '^same ' "$out/compared" && grep -q '^slowed ' "$out/compared"
if grep -Eq '^same .* (faster|slower)°?$|^slowed .* (faster°?|no difference)$' "$out/compared"; then
    echo "what is equal was called different, or the other way round" >&2
    exit 1
fi
step "the same input gives the same pictures"
"$runner" graph "$out/results" --out "$out/again" >/dev/null
# `runner graph` draws, and writes no report.
diff -r -x report.html "$out/graphs" "$out/again"
echo "the same input gives the same pictures"
step "all of it passed"
