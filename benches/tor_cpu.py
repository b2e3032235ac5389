#!/usr/bin/python3
"""What does `runner` cost beside Tor, when 5 MiB go through a private network?

    benches/tor_cpu.py RUNNER [TRANSFERS]        # target/release/runner 20

Runs `experiments/torperf-streams.yaml` (isolated) with 5 MiB in place of 50 KiB. The processor time of the whole process `runner` – generator, observer, tap and
recording – and of each tor is read from /proc five times a second; what is printed is what each used from the start of the first transfer to the end
of the last. The wires in front of the relays are told apart.
"""
import csv, glob, json, os, shutil, subprocess, sys, tempfile, time

runner = os.path.abspath(sys.argv[1])
transfers = int(sys.argv[2]) if len(sys.argv) > 2 else 20
experiments = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "experiments")
folder = tempfile.mkdtemp(prefix="runner-tor-cpu-")
os.chdir(folder)
shutil.copytree(os.path.join(experiments, "tor"), "tor")
with open(os.path.join(experiments, "torperf-streams.yaml")) as file:
    scenario = file.read()
for old, new in (("get: /50KiB, expect: {length: 50KiB}", "get: /5MiB, expect: {length: 5MiB}"), ("amount: 30", f"amount: {transfers}")):
    assert old in scenario, old
    scenario = scenario.replace(old, new)
with open("cpu.yaml", "w") as file:
    file.write(scenario)
TICK = 1 / os.sysconf("SC_CLK_TCK")


def cpu(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK


def is_ours(pid):
    """Whether it is the process that measures, or one that it started, however far down."""
    while pid not in (0, 1, process.pid):
        with open(f"/proc/{pid}/stat") as file:
            pid = int(file.read().rsplit(")", 1)[1].split()[1])
    return pid == process.pid


def name(pid):
    """Which of ours it is, if any."""
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            words = file.read().split("\0")
        if not is_ours(int(pid)):
            return None
    except OSError:
        return None
    if int(pid) == process.pid:
        return "runner"
    if words[0] == "tor" and "--DataDirectory" in words:
        return "tor " + os.path.basename(words[words.index("--DataDirectory") + 1])
    return "wires" if "proxy" in words and "--each-way" in words else None


log = open("run.log", "w")
command = [runner, "run", "cpu.yaml", "--set", "circuits=isolated", "--repetitions", "1", "--no-graphs"]
process = subprocess.Popen(command, stdout=log, stderr=log)
samples = []
while process.poll() is None:
    used = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        of = name(pid)
        try:
            if of:
                used[of] = used.get(of, 0) + cpu(pid)
        except OSError:
            pass
    samples.append((time.time(), used))
    time.sleep(0.2)
run = os.path.join("results/torperf-streams", os.listdir("results/torperf-streams")[0])
subprocess.run([runner, "export", "csv", run, "-o", "csv"], check=True, stdout=subprocess.DEVNULL)
csv.field_size_limit(1 << 30)
with open("csv/transfers.csv", newline="") as file:
    rows = [row for row in csv.DictReader(file) if row["outcome"] == "ok"]
begun = min(int(row["unix_ns"]) for row in rows) / 1e9
ended = max(int(row["unix_ns"]) + int(row["end_ns"]) - int(row["start_ns"]) for row in rows) / 1e9
before = max((sample for sample in samples if sample[0] <= begun), key=lambda sample: sample[0])[1]
# Soon after it Tor is ended.
after = min((sample for sample in samples if "tor client" in sample[1]), key=lambda sample: abs(sample[0] - ended))[1]
used = {of: after[of] - before.get(of, 0) for of in after}
print(f"{len(rows)} transfers of 5 MiB in {ended - begun:.1f} s; processor time in seconds:")
for of in sorted(used):
    print(f"  {of:16} {used[of]:6.2f}")
tors = sum(value for of, value in used.items() if of.startswith("tor "))
print(f"runner: {used['runner'] / tors:.3f} of all nodes of the network, {used['runner'] / used['tor client']:.3f} of the client alone")
with open(glob.glob(os.path.join(run, "cells", "**", "status.json"), recursive=True)[0]) as file:
    generator = json.load(file)["generator"]["cpu_ns"] / 1e9
print(f"of it the threads that make the transfers: {generator:.2f} s, {generator / tors:.3f} of all nodes, {generator / used['tor client']:.3f} of the client")
shutil.rmtree(folder)
