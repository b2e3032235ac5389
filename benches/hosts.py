#!/usr/bin/env python3
"""What it costs to execute a repetition over several machines: namespaces of this one, so that the network takes no time.

    benches/hosts.py target/release/runner [REPETITIONS]

Needs root. Prints, with four agents (a server and three clients with 64 connections each):

- the overhead of a repetition: all that is neither steps, start and stop of targets, nor load; and the same on one machine;
- from the decision to start until the last machine's load started, by the clocks as they were compared before and after;
- the processor time of the controller while the load runs, as a share of one core.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

MARGIN_MS = 2.0  # src/executor/together/mod.rs

SCENARIO = """
experiment: cost
hosts: {server: {}, clients: {count: 3}}
repetitions: %d
targets:
  web: {on: server, fixture: null-server, port: 18480}
workloads:
  users:
    on: clients
    url: http://${hosts.server.address}:18480
    load: {closed: {connections: 192}, duration: %s}
    steps: [{get: /}]
"""


def statuses(folder):
    return [json.loads(path.read_text()) for path in sorted(pathlib.Path(folder).glob("cost/*/cells/*/run*/status.json"))]


def run(runner, place, out, repetitions, duration, *words):
    (place / "cost.yaml").write_text(SCENARIO % (repetitions, duration))
    command = [runner, "run", "cost.yaml", "--no-graphs", "--quiet", "--out", out, *words]
    return subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL)


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def told(name, values, unit):
    print(f"{name}: {statistics.median(values):.2f} {unit} (median of {len(values)}, {min(values):.2f} to {max(values):.2f})")


def main():
    runner = str(pathlib.Path(sys.argv[1]).resolve())
    repetitions = int(sys.argv[2]) if len(sys.argv) > 2 else 15
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        overheads = {}
        for out, words in [("alone", []), ("hosts", ["--on", "netns"])]:
            if run(runner, place, out, repetitions, "200ms", *words).wait() != 0:
                sys.exit(f"the run {out} failed")
            found = [status for status in statuses(place / out) if status["verdict"]["is"] != "failed"]
            overheads[out] = [status["timings"]["overhead_ns"] / 1e6 for status in found]
            told(f"overhead of a repetition, {out}", overheads[out], "ms")
            if out == "hosts":
                late = [max(host["start_late_ns"] for host in s["hosts"] if host["role"] == "clients") / 1e6 for s in found]
                way = [2 * max(host["offset_bound_ns"] for host in s["hosts"]) / 1e6 for s in found]
                told("from the decision to the last start", [MARGIN_MS + a + b for a, b in zip(late, way)], "ms")
                told("skew of the start", [s["start"]["skew_ns"] / 1e6 for s in found], "ms")
                told("what of it is not known", [s["start"]["bound_ns"] / 1e6 for s in found], "ms")
        process = run(runner, place, "busy", 1, "10s", "--on", "netns")
        time.sleep(3)
        used, begun = cpu_s(process.pid), time.monotonic()
        time.sleep(6)
        share = (cpu_s(process.pid) - used) / (time.monotonic() - begun)
        process.wait()
        print(f"the controller while the load runs: {share * 100:.2f} % of a core")


if __name__ == "__main__":
    main()
