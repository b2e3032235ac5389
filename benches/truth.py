#!/usr/bin/env python3
"""Compares what runner measures with what is known: experiments/truth-stall.yaml and experiments/truth-queue.yaml.

    python3 benches/truth.py [--quick] [--runner PATH] [--json FILE]

With --json it writes the figures to FILE too: docs/validation.json, from which docs/validation.md is made (`make validate`).

Prints measured / formula / theory / difference from theory / limit / ok for each cell and figure; exit code 1 when
something is outside. All of it takes 20 minutes, --quick 3. Run it on an idle machine: what others take from it is
measured too.

stall: the formula is R = S - (1 - q) P, or 0 where that is negative; limit 1 % of S, at least 1 ms.
  It says that all who waited are answered at the stall's end. They are answered one after another: with enough
  connections as fast as the server can send, with few of them as fast as those that wait in the generator can be sent
  and answered, while others still arrive at the rate r. Who came u after the start of a stall has u r before it, and is
  answered u r/d after the end where d is the rate of that, so that R = S - (1 - q) P (1 - r/d). A client would really see
  this delay. Theory is the formula with it; d is measured beforehand, by a closed loop on as many connections. Nobody is
  before the first request in a stall, so that the maximum is S, whatever the connections.

  An excess of late requests, a fraction e of all, raises every percentile by e P: 0.1 % of them that the machine kept
  waiting are 2 to 5 ms. This is most visible at q = 1 - S/P, where the formula says that nobody waits.
  A note says so when one of the generator's timers went off later than the limit: then the machine stood still for so
  long, and it was seen.

queue: mean 1/(mu - lambda); limit 5 %.
  The standard error is c/sqrt(n) of the mean (see the experiment). Where it is more than a quarter of the limit, which
  happens with --quick only, the limit is four standard errors, and the table says so.

lag: at half of the generator's ceiling as `runner doctor` finds it, arrivals are at most 50 us late at p50, 1 ms at p99.
"""

import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
NS_PER_MS = 1e6
# Experiments and levels. The runs of a queue are as long as the standard error at their load asks for.
STALL = ["--set", "stall=2sx200ms,2sx1s,5sx200ms,5sx1s", "--set", "rate=200.05,1000.05", "--set", "connections=1000,100,4"]
QUEUE = [(["30", "50"], "40s", "3"), (["70"], "120s", "3")]
QUICK_QUEUE = [(["30", "50", "70"], "20s", "1")]
# Standard error of the mean response time, times the root of the number of requests, over the mean.
CORRELATED = {"30": 1.9, "50": 3.0, "70": 5.6}
SERVICE_PER_S = 200.0

outside = 0
rows = []


def run(runner, experiment, choice, out):
    """The cells of a run, of which all repetitions must be valid. Adds how late the generator's timers went off at most."""
    command = [runner, "run", str(ROOT / "experiments" / experiment), "--out", out, "--no-graphs", "--json", *choice]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=out)
    last = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    if done.returncode not in (0, 4) or "summary" not in last:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}")
    directory = pathlib.Path(out, last["summary"]).parent
    cells = json.loads(pathlib.Path(directory, "summary.json").read_text())["cells"]
    statuses = [json.loads(path.read_text()) for path in directory.glob("cells/**/status.json")]
    for cell in cells:
        late = [s["generator"]["timer_late_max_ns"] or 0 for s in statuses if s["cell"] == cell["cell"]]
        cell["late_ms"] = max(late, default=0) / NS_PER_MS
        for repetition, reason in cell["repetitions"]["reasons"]:
            wrong(cell["cell"], f"repetition {repetition}: {reason}")
    return cells


def drain_per_s(runner, connections):
    """How many requests per second that wait can be sent and answered on so many connections."""
    server = subprocess.Popen([runner, "fixture", "stall", "--port", "0", "--period", "1000s", "--stall", "1ns"],
                              stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().split()[-1]
        command = [runner, "load", f"http://{address}/", "-c", str(connections), "-d", "2s", "--warm-up", "200ms", "--json"]
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)["throughput_per_s"]
    finally:
        server.terminate()
        server.wait()


def line(cell, what, measured, formula, theory, limit, ok, note=""):
    global outside
    outside += not ok
    rows.append({"cell": cell, "figure": what, "measured_ms": round(measured, 3), "theory_ms": round(theory, 3),
                 "limit_ms": round(limit, 3), "ok": bool(ok)})
    values = [f"{measured:9.2f}", f"{formula:8.2f}", f"{theory:8.2f}", f"{measured - theory:+8.2f}", f"{limit:6.2f}"]
    print(f"{cell:<46} {what:<5}", *values, f" {'ok' if ok else 'OUTSIDE'}{note}", flush=True)


def wrong(cell, words):
    global outside
    outside += 1
    print(f"{cell:<46} OUTSIDE: {words}", flush=True)


def head(what):
    print(f"\n{what}\n{'cell':<46}       measured  formula   theory  differs  limit  (ms)")


def seconds(text):
    return float(text[:-2]) / 1000 if text.endswith("ms") else float(text[:-1])


def stalls(runner, choice, out):
    cells = run(runner, "truth-stall.yaml", choice, out)
    drains = {}
    head("truth-stall")
    for cell in cells:
        levels = cell["levels"]
        period, stall = (seconds(part) for part in levels["stall"].split("x"))
        rate, connections = float(levels["rate"]), int(levels["connections"])
        if connections not in drains:
            drains[connections] = drain_per_s(runner, connections)
        drain = drains[connections]
        limit = max(0.01 * stall, 0.001) * 1000
        note = f"   d = {drain:.0f}/s"
        note += f"   a timer was {cell['late_ms']:.1f} ms late" if cell["late_ms"] > limit else ""
        whole = next((s for s in cell["steps"] if s["step"] == "(pass)" and s["phase"] == "during"), None)
        if whole is None or whole["response_ns"] is None:
            wrong(cell["cell"], "nothing was measured")
            continue
        # Nothing double, nothing lost, nothing unsent: 20 s of the rate.
        counted = (whole["requests"], whole["ok"], whole["offered"], whole["unsent"])
        expected = round(rate * 20)
        if counted != (expected, expected, expected, 0):
            wrong(cell["cell"], f"requests, right, offered, unsent are {counted}, and {expected} were to be sent")
        for name, quantile in [("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)]:
            formula = max(0.0, stall - (1 - quantile) * period) * 1000
            theory = max(0.0, stall - (1 - quantile) * period * (1 - rate / drain)) * 1000
            measured = whole["response_ns"][name] / NS_PER_MS
            line(cell["cell"], name, measured, formula, theory, limit, abs(measured - theory) <= limit, note)


def queues(runner, runs, out):
    head("truth-queue")
    for loads, duration, repetitions in runs:
        choice = ["--set", f"load={','.join(loads)}", "--set", f"duration={duration}", "--repetitions", repetitions]
        for cell in run(runner, "truth-queue.yaml", choice, out):
            load = cell["levels"]["load"]
            whole = [s for s in cell["steps"] if s["step"] == "(pass)" and s["phase"] == "during" and s["response_ns"]]
            requests = sum(s["ok"] for s in whole)
            if requests == 0 or any(s["requests"] != s["ok"] or s["unsent"] for s in whole):
                wrong(cell["cell"], f"{requests} right answers, and others")
                continue
            theory = 1000 / (SERVICE_PER_S * (1 - int(load) / 100))
            measured = sum(s["response_ns"]["mean"] * s["ok"] for s in whole) / requests / NS_PER_MS
            error = CORRELATED[load] / math.sqrt(requests)
            limit = max(0.05, 4 * error)
            note = f"   {requests} requests, standard error {error:.1%}, {measured / theory - 1:+.1%} of {limit:.1%}"
            note += f", a timer was {cell['late_ms']:.0f} ms late" if cell["late_ms"] > limit * theory else ""
            ok = abs(measured / theory - 1) <= limit
            line(cell["cell"], "mean", measured, theory, theory, limit * theory, ok, note)


def lag(runner):
    head("lag at half of the ceiling")
    found = json.loads(subprocess.run([runner, "doctor", "--json"], stdout=subprocess.PIPE, check=True).stdout)["ceiling"]
    for name, limit in [("p50", 0.05), ("p99", 1.0)]:
        measured = found[f"lag_{name}_ns"] / NS_PER_MS
        line(f"Poisson arrivals, {found['offered_per_s']:.0f}/s", name, measured, 0.0, 0.0, limit, measured <= limit)


def same_and_slowed(runner, out):
    """Whether equal things are called equal and 5 % slower ones slower: the verdicts of `compare` on 20 rounds."""
    subprocess.run([runner, "repeat", "-n", "20", str(ROOT / "experiments/calibration.yaml"), "--out", out, "--no-graphs", "--quiet"],
                   cwd=out, stdout=subprocess.DEVNULL)
    command = [runner, "compare", f"{out}/calibration", "--by", "variant", "--baseline", "as-is", "--metric", "throughput", "--format", "json"]
    pairs = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=out).stdout)
    print("\ncalibration")
    verdicts = []
    for row in pairs["rows"]:
        low, high = row["ratio_interval"] or (None, None)
        verdicts.append({"level": row["side"], "ratio": row["ratio"], "low": low, "high": high, "verdict": row["verdict"]})
        print(verdicts[-1])
    return verdicts


def machine():
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} processors, {model}, Linux {platform.release()}"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="few levels and short runs")
    arguments.add_argument("--runner", default="runner", metavar="PATH", help="the executable (default: runner)")
    arguments.add_argument("--json", metavar="FILE", help="write the figures there, too")
    arguments.add_argument("--only", choices=["stall", "queue", "lag"], help="one of them")
    args = arguments.parse_args()
    with open("/proc/loadavg") as load:
        print(f"load average {load.read().strip()}")
    with tempfile.TemporaryDirectory(prefix="truth-") as out:
        if args.only in (None, "stall"):
            stalls(args.runner, [] if args.quick else STALL, out)
        if args.only in (None, "queue"):
            queues(args.runner, QUICK_QUEUE if args.quick else QUEUE, out)
        if args.only in (None, "lag"):
            lag(args.runner)
        verdicts = same_and_slowed(args.runner, out) if args.json else []
    with open("/proc/loadavg") as load:
        print(f"\nload average {load.read().strip()}")
    if args.json:
        command = "python3 benches/truth.py" + (" --quick" if args.quick else "") + " --json docs/validation.json"
        version = subprocess.run([args.runner, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        record = {"command": command, "date": datetime.date.today().isoformat(), "machine": machine(), "version": version,
                  "rows": rows, "verdicts": verdicts}
        pathlib.Path(args.json).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    print("all is as it should be" if outside == 0 else f"{outside} OUTSIDE")
    sys.exit(1 if outside else 0)


if __name__ == "__main__":
    main()
