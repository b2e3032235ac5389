#!/bin/sh
# Requests per CPU-second of the generator: runner and wrk in turn against the same nginx, one core each.
# Usage: benches/wrk.sh [ROUNDS]   (needs nginx and wrk; builds nothing)
set -eu
rounds=${1:-9}
cd "$(dirname "$0")/.."
runner=${RUNNER:-${CARGO_TARGET_DIR:-target}/release/runner}
command -v wrk >/dev/null || { echo "SKIPPED: wrk is not installed"; exit 0; }
dir=$(mktemp -d)
nginx_pid=
trap 'if [ -n "$nginx_pid" ]; then kill "$nginx_pid"; fi; rm -rf "$dir"' EXIT
sed -e "s|{{ scratch }}|$dir|g" -e 's|{{ port }}|8091|' haproxy/nginx-hello.conf.j2 >"$dir/nginx.conf"
taskset -c 0 "$(command -v nginx || echo /usr/sbin/nginx)" -p "$dir" -e "$dir/error.log" -c "$dir/nginx.conf" &
nginx_pid=$!
sed -e '/^targets:/,/^workloads:/{/^workloads:/!d}' -e 's/8090/8091/' -e 's/^repetitions: .*/repetitions: 1/' experiments/keepalive.yaml >"$dir/keepalive.yaml"
sleep 0.5
for round in $(seq "$rounds"); do
    "$runner" run "$dir/keepalive.yaml" --set requests=150000 --out "$dir/results" --no-graphs --quiet
    "$runner" summarize "$dir/results" --json >"$dir/summary.json"
    ours=$(python3 -c "import json; print(json.load(open('$dir/summary.json'))['cells'][0]['generator']['requests_per_cpu_s']['mean'])")
    # wrk for about as long; its user and system time as the kernel accounts it.
    theirs=$(python3 - <<PYTHON
import re, resource, subprocess
out = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", "-c64", "-d2s", "http://127.0.0.1:8091/hello"], capture_output=True, text=True).stdout
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(int(re.search(r"(\d+) requests in", out).group(1)) / (used.ru_utime + used.ru_stime))
PYTHON
)
    python3 -c "print('round %d: runner %.0f, wrk %.0f requests per CPU-second, ratio %.3f' % ($round, $ours, $theirs, $ours / $theirs))"
    echo "$ours $theirs" >>"$dir/ratios"
done
python3 -c "
import statistics
rows = [list(map(float, line.split())) for line in open('$dir/ratios')]
print('median: runner %.0f, wrk %.0f requests per CPU-second, ratio %.3f' % (
    statistics.median(r[0] for r in rows), statistics.median(r[1] for r in rows), statistics.median(a / b for a, b in rows)))"
