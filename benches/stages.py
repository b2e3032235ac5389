#!/usr/bin/python3
"""How far are the stamps of stages and tenths from what they should be?

    benches/stages.py RUNNER        # target/release/runner

A SOCKS proxy waits 10 ms before it chooses a method, 20 ms before it replies and 40 ms before it passes on the first byte; a server sends 1 MiB at
1 MiB/s. Prints by how much the medians over transfers are off: of each stage in milliseconds, of each tenth in percent of the time that it should take.
The proxy and the server are woken by timers, which is in these figures too: on a busy machine they say more of it than of the stamps. Nothing leaves this
machine.
"""
import csv, os, shutil, statistics, subprocess, sys, tempfile

runner = os.path.abspath(sys.argv[1])
folder = tempfile.mkdtemp(prefix="runner-stages-")
os.chdir(folder)
with open("stages.yaml", "w") as file:
    file.write(
        """experiment: stages
repetitions: 1
limits: {silence: 100%, errors: 0%}
factors:
  what: [stages, tenths]
let:
  amount: {stages: 100, tenths: 10}
  size: {stages: 50KiB, tenths: 1MiB}
  delays: {stages: [--delay-method, 10ms, --delay-reply, 20ms, --delay-data, 40ms], tenths: [--log]}
  rate: {stages: [--rate, 1GiB], tenths: [--rate, 1MiB]}
targets:
  server: {fixture: random-data, port: 18761, args: "${rate[what]}"}
  proxy: {fixture: socks, port: 18762, args: "${delays[what]}"}
workloads:
  downloads:
    url: http://127.0.0.1:18761
    socks: {address: "127.0.0.1:18762", isolate: pass}
    stages: true
    load: {closed: {connections: 1}, amount: "${amount[what]}"}
    steps: [{get: "/${size[what]}", expect: {length: "${size[what]}"}}]
"""
    )
output = subprocess.run([runner, "run", "stages.yaml", "--no-graphs"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
runs = os.listdir("results/stages") if os.path.isdir("results/stages") else sys.exit(output.stdout)
subprocess.run([runner, "export", "csv", os.path.join("results/stages", runs[0]), "-o", "csv"], check=True, stdout=subprocess.DEVNULL)
csv.field_size_limit(1 << 30)


def table(name):
    with open(f"csv/{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


cells = {row["cell_id"]: row["cell"] for row in table("cells")}
repetitions = {row["repetition_id"]: cells[row["cell_id"]] for row in table("repetitions")}
rows = {"stages": [], "tenths": []}
for row in table("transfers"):
    rows[repetitions[row["repetition_id"]].removeprefix("what=")].append(row)


def between(what, start, end):
    """Milliseconds from one stamp to another, the median over transfers."""
    return statistics.median((int(row[end]) - int(row[start])) / 1e6 for row in rows[what])


print(f"{len(rows['stages'])} transfers with stages, {len(rows['tenths'])} with tenths")
for start, end, expected in (("connect_ns", "negotiate_ns", 10), ("request_ns", "response_ns", 20), ("data_request_ns", "data_response_ns", 40)):
    print(f"{end.removesuffix('_ns'):14} {between('stages', start, end) - expected:+.3f} ms of {expected}")
for percent in range(10, 101, 10):
    expected = 10.0 * percent
    print(f"perc{percent:<10} {(between('tenths', 'perc0_ns', f'perc{percent}_ns') - expected) / expected:+.3%}")
shutil.rmtree(folder)
