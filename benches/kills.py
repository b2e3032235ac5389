#!/usr/bin/python3
"""Measures for a while with `runner measure`, kills it (SIGKILL) at random times and starts it again at once: is a transfer lost?

    benches/kills.py RUNNER [SECONDS [KILLS [SEED]]]        # target/release/runner 3600 20

Two workloads go through the fixture `socks`: 50 KiB each second, 5 MiB each ten seconds; a repetition is 40 s. The proxy writes down what
it passed on, and so knows what must be in the results: each download that it had ended at least a second before a kill. The checked
pass, which only the first repetition has, is in no table: a download that is missing is taken for it only before the first one of its size that
is there. Prints what was found, and the memory and open files of the measuring process; ends with 1 where something is lost,
wrong or there twice. Nothing leaves this machine.
"""
import collections, csv, os, random, signal, subprocess, sys, tempfile, threading, time

runner = os.path.abspath(sys.argv[1])
seconds, kills, seed = (int(sys.argv[n]) if len(sys.argv) > n else default for n, default in ((2, 3600), (3, 20), (4, 1)))
SIZES = {"small": 51200, "large": 5242880}

folder = tempfile.mkdtemp(prefix="runner-kills-")
os.chdir(folder)


class Fixture:
    """One of the servers; its lines are kept, each with when it came."""

    def __init__(self, *args):
        self.lines = []
        self.process = subprocess.Popen([runner, "fixture", *args], stdout=subprocess.PIPE, text=True)
        first = self.process.stdout.readline()
        self.address = first.split()[-1].removeprefix("http://").strip("/")
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append((time.time(), line.split()))


server = Fixture("random-data", "--port", "0")
proxy = Fixture("socks", "--port", "0", "--each-way", "5ms", "--log")
workload = """  {name}:
    url: http://{server}
    socks: {{address: "{proxy}", isolate: pass}}
    stages: true
    load: {{open: {{rate: {rate}, connections: 4}}, duration: 40s, drain: 10s}}
    timeout: 30s
    steps: [{{get: /{size}B, expect: {{length: {size}B}}}}]
"""
with open("kills.yaml", "w") as file:
    file.write("experiment: kills\nrepetitions: 3\nlimits: {silence: 100%, open: 100%, errors: 100%}\nworkloads:\n")
    for name, rate in (("small", "60/min"), ("large", "6/min")):
        file.write(workload.format(name=name, rate=rate, size=SIZES[name], server=server.address, proxy=proxy.address))


def measure():
    log = open("measure.log", "a")
    return subprocess.Popen([runner, "measure", "kills.yaml", "--no-graphs"], stdout=log, stderr=log)


def memory(pid):
    """Resident MB and open files."""
    with open(f"/proc/{pid}/status") as file:
        kilobytes = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
    return kilobytes / 1024, len(os.listdir(f"/proc/{pid}/fd"))


random.seed(seed)
begun = time.time()
# Not in the last seconds: what was under way then is to be seen in the results.
planned = sorted(begun + random.uniform(5, seconds - 5) for _ in range(kills))
process, killed, seen = measure(), [], []
while time.time() < begun + seconds:
    if planned and time.time() >= planned[0]:
        planned.pop(0)
        killed.append(time.time())
        process.kill()
        process.wait()
        process = measure()
    if process.poll() is not None:
        sys.exit(f"runner has ended by itself: see {folder}/measure.log")
    if int(time.time() - begun) // 10 >= len(seen):
        seen.append(memory(process.pid))
    time.sleep(0.05)
ended = time.time()
process.send_signal(signal.SIGINT)
process.wait()

runs = os.listdir("results/kills")
subprocess.run([runner, "export", "csv", *(f"results/kills/{name}" for name in runs), "-o", "csv"], check=True, stdout=subprocess.DEVNULL)
csv.field_size_limit(1 << 30)
with open("csv/transfers.csv", newline="") as file:
    transfers = list(csv.DictReader(file))
users = collections.Counter(row["isolation"] for row in transfers)
twice = [user for user, count in users.items() if count > 1]
wrong = [row for row in transfers if row["outcome"] not in ("ok", "open")]
# What the proxy passed on in whole, by size, in the order in which it was asked.
asked, passed = {}, collections.defaultdict(list)
for at, words in proxy.lines:
    values = dict(word.split("=", 1) for word in words if "=" in word)
    if words[0] == "request":
        asked[words[1]] = values["user"]
    elif words[0] == "end" and words[1] in asked:
        for name, size in SIZES.items():
            if size <= int(values["down"]) < size + 2000:
                passed[name].append((int(words[1]), at, asked[words[1]]))
lost, checked = [], 0
for name, downloads in passed.items():
    downloads.sort()
    for number, (_, at, user) in enumerate(downloads):
        if user in users or any(0 <= kill - at < 1 for kill in [*killed, ended]):
            continue
        if not any(other[2] in users for other in downloads[:number]):
            checked += 1
        else:
            lost.append((name, at - begun, user))
repetitions = len({row["repetition_id"] for row in transfers})
print(f"{len(transfers)} transfers in {repetitions} repetitions, {sum(row['outcome'] == 'ok' for row in transfers)} of them right, {len(wrong)} wrong")
print(f"{len(killed)} kills in {seconds} s; {len(twice)} transfers twice, {len(lost)} lost; {checked} checked passes")
print(f"memory {min(m for m, _ in seen):.0f} to {max(m for m, _ in seen):.0f} MB, open files {min(f for _, f in seen)} to {max(f for _, f in seen)}")
for fixture in (server, proxy):
    fixture.process.terminate()
    fixture.process.wait()
if lost or twice or wrong:
    print(lost[:5], twice[:5], wrong[:2], f"in {folder}", file=sys.stderr)
    sys.exit(1)
