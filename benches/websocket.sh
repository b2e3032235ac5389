#!/bin/sh
# What the websocket driver costs and how far it goes: messages per CPU-second beside locust (PyPI) and artillery (npm) in turn, 10 000 connections that
# type a key per second each, and memory per idle connection. All against `runner-fixtures websocket-echo`, the server on one core, the client on another.
# Usage: benches/websocket.sh [ROUNDS] [SECONDS]
# Needs taskset; python3 with venv for locust, npm for artillery: whichever is missing is skipped. Builds nothing; RUNNER and FIXTURES say where the
# executables are, PEERS which tools are asked ("locust artillery"), and KEEP a folder in which these stay installed.
set -eu
export ROUNDS="${1:-5}" SECONDS_EACH="${2:-10}"
cd "$(dirname "$0")/.."
RUNNER=${RUNNER:-${CARGO_TARGET_DIR:-target}/release/runner}
FIXTURES=${FIXTURES:-$(dirname "$RUNNER")/runner-fixtures}
export RUNNER FIXTURES
dir=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill "$server"; fi; rm -rf "$dir"' EXIT
tools=${KEEP:-$dir/tools}
mkdir -p "$tools"
export DIR="$dir" PORT=8094 LOCUST="$tools/venv/bin/locust" ARTILLERY="$tools/npm/node_modules/.bin/artillery"
# The server and the client have a file for each of 10 000 connections.
ulimit -n "$(ulimit -H -n)"

for peer in ${PEERS-locust artillery}; do
    case $peer in
        locust)
            [ -x "$LOCUST" ] || { python3 -m venv "$tools/venv" &&
                "$tools/venv/bin/pip" install --quiet --disable-pip-version-check locust==2.47.0 websocket-client==1.9.0; } ||
                { echo "SKIPPED: locust cannot be installed"; LOCUST=; } ;;
        artillery)
            [ -x "$ARTILLERY" ] || npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$tools/npm" artillery@2.0.34 ||
                { echo "SKIPPED: artillery cannot be installed"; ARTILLERY=; } ;;
        *) echo "error: PEERS has \"$peer\": expected locust or artillery" >&2; exit 2 ;;
    esac
done
case " ${PEERS-locust artillery} " in *" locust "*) ;; *) LOCUST= ;; esac
case " ${PEERS-locust artillery} " in *" artillery "*) ;; *) ARTILLERY= ;; esac

taskset -c 0 "$FIXTURES" websocket-echo --port "$PORT" >"$dir/server.log" 2>&1 &
server=$!

# Ten connections; the next message when the echo of the one before is there, looked at and counted. Nobody pauses.
cat >"$dir/locustfile.py" <<'LOCUST'
import json, os, time
import websocket
from locust import User, constant, events, task

MESSAGE = '{"id": 17, "key": "a"}'
counted = [0]
start_up_s = [0.0]


class Typist(User):
    wait_time = constant(0)

    def on_start(self):
        self.socket = websocket.create_connection(f"ws://127.0.0.1:{os.environ['PORT']}/")

    @task
    def key(self):
        start = time.perf_counter()
        self.socket.send(MESSAGE)
        answer = self.socket.recv()
        error = None if answer == MESSAGE else ValueError(answer)
        self.environment.events.request.fire(
            request_type="WS", name="key", response_time=(time.perf_counter() - start) * 1000, response_length=len(answer), exception=error, context={}
        )
        counted[0] += error is None


@events.test_start.add_listener
def begin(**_):
    # What it took to load Python and the tool is not the messages' time.
    start_up_s[0] = time.process_time()


@events.quitting.add_listener
def end(**_):
    with open(os.environ["COUNTED"], "w") as file:
        json.dump({"messages": counted[0], "start_up_s": start_up_s[0]}, file)
LOCUST
# The same, a fixed number of times: how often is put in below.
cat >"$dir/artillery.yaml" <<ARTILLERY
config: {target: "ws://127.0.0.1:$PORT/", phases: [{duration: 1, arrivalCount: 10}]}
scenarios:
  - engine: ws
    flow:
      - loop: [{send: {payload: '{"id": 17, "key": "a"}', capture: {json: "\$.key", as: key}}}]
        count: COUNT
ARTILLERY

python3 - <<'PYTHON'
import json, os, statistics, subprocess, sys, time

DIR, PORT, RUNNER, LOCUST, ARTILLERY = (os.environ[name] for name in ("DIR", "PORT", "RUNNER", "LOCUST", "ARTILLERY"))
ROUNDS, SECONDS = int(os.environ["ROUNDS"]), int(os.environ["SECONDS_EACH"])


def client(command, **environment):
    """Executes it on its core: processor time and largest resident memory, with all of its own children."""
    with open(f"{DIR}/said", "w") as said:
        process = subprocess.Popen(["taskset", "-c", "1", *command], stdout=said, stderr=subprocess.STDOUT, env={**os.environ, **environment})
        _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"this went wrong: {' '.join(command)}\n{open(f'{DIR}/said').read()}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss


def runner(load, match=""):
    """Messages that were answered as expected, processor time, memory in KiB, the summary of the only step."""
    with open(f"{DIR}/scenario.yaml", "w") as scenario:
        scenario.write(f"""
experiment: websocket
repetitions: 1
limits: {{generator-cpu: 100%, errors: 100%, silence: 100%, open: 100%}}
workloads:
  typists:
    websocket: {{url: "ws://127.0.0.1:{PORT}/"{match}}}
    load: {load}
    steps: [{{send: {{text: '{{"id": ${{pass}}, "key": "a"}}'}}, expect: {{contains: '"key": "a"'}}}}]
""")
    out = f"{DIR}/results-{time.monotonic_ns()}"
    # An intruder on the machine is no reason to end with an error here: what counts is counted below.
    cpu_s, memory = client([RUNNER, "run", f"{DIR}/scenario.yaml", "--out", out, "--no-graphs", "--quiet"])
    summary = json.loads(subprocess.run([RUNNER, "summarize", out, "--json"], capture_output=True, text=True, check=True).stdout)
    step = next(step for step in summary["cells"][0]["steps"] if step["step"] == "(pass)" and step["phase"] == "during")
    return step["ok"], cpu_s, memory, step


def closed():
    ok, cpu_s, *_ = runner(f"{{closed: {{connections: 10}}, duration: {SECONDS}s}}")
    return ok / cpu_s


def paced(stagger):
    load = f"{{open: {{per: connection, rate: 1000/s, connections: 10{stagger}}}, duration: {SECONDS}s}}"
    ok, cpu_s, *_ = runner(load, ", match: {json: /id}")
    return ok / cpu_s


def locust():
    counted = f"{DIR}/counted.json"
    command = [LOCUST, "-f", f"{DIR}/locustfile.py", "--headless", "-u", "10", "-r", "10", "-t", f"{SECONDS}s", "--only-summary"]
    cpu_s, _ = client(command, COUNTED=counted)
    with open(counted) as file:
        told = json.load(file)
    return told["messages"] / (cpu_s - told["start_up_s"])


def artillery():
    def so_often(count):
        with open(f"{DIR}/artillery.yaml") as template, open(f"{DIR}/artillery-now.yaml", "w") as scenario:
            scenario.write(template.read().replace("COUNT", str(count)))
        report = f"{DIR}/artillery.json"
        cpu_s, _ = client([ARTILLERY, "run", "--quiet", "--output", report, f"{DIR}/artillery-now.yaml"], ARTILLERY_DISABLE_TELEMETRY="true")
        with open(report) as file:
            return json.load(file)["aggregate"]["counters"]["websocket.messages_received"], cpu_s

    # What it took to load Node and the tool is not the messages' time.
    few, start_up_s = so_often(1)
    many, cpu_s = so_often(1000 * SECONDS)
    return (many - few) / (cpu_s - start_up_s)


tools = {"runner": closed, "runner, 1000/s on each connection": lambda: paced(""), "runner, likewise, all at once": lambda: paced(", stagger: 0s")}
tools |= ({"locust": locust} if LOCUST else {}) | ({"artillery": artillery} if ARTILLERY else {})
figures = {tool: [] for tool in tools}
for number in range(1, ROUNDS + 1):
    for tool in list(tools) if number % 2 else reversed(tools):
        figures[tool].append(tools[tool]())
    print(f"round {number}: messages per CPU-second: " + ", ".join(f"{tool} {figures[tool][-1]:.0f}" for tool in tools), flush=True)
for tool, values in figures.items():
    ratio = statistics.median(ours / theirs for ours, theirs in zip(figures["runner"], values))
    print(f"{tool}: median {statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f}); runner in a closed loop to it, within a round: {ratio:.2f}")

# As many messages in both, so that what is recorded of them takes as much.
# They connect in the warm-up, which does not count.
AFTER = f"warm-up: {{duration: 2s}}, duration: {SECONDS}s, drain: 3s"
for number in range(1, ROUNDS + 1):
    few = runner(f"{{open: {{per: connection, rate: 1000/s, connections: 10}}, {AFTER}}}", ", match: {json: /id}")
    many = runner(f"{{open: {{per: connection, rate: 1/s, connections: 10000}}, {AFTER}}}", ", match: {json: /id}")
    ok, _, memory, step = many
    lag = {name: step["lag_ns"][name] / 1e6 for name in ("p50", "p99", "max")}
    print(
        f"round {number}: 10000 connections at 1/s: {ok} of {step['offered']} answered, lag p50 {lag['p50']:.2f} ms, p99 {lag['p99']:.2f} ms, "
        f"longest {lag['max']:.0f} ms; {(memory - few[2]) / 9990:.1f} KiB per connection",
        flush=True,
    )
PYTHON
