#!/usr/bin/python3
"""What does a live page cost the run that it follows?

    benches/live.py RUNNER [PAIRS] [SECONDS]        # target/release/runner 10 20

The same run in pairs, in turn and in changing order: by itself, and with `--serve` and a client that follows `live/events` all the
time. A server that was started beforehand answers 200 requests per second, so that what is counted is `runner` alone: the process,
its guard and the process that serves, with all of their children (rusage of wait4). Printed are the processor time of each, per second
of the run, the median of the differences, and an exact interval of it (of ranks: Hahn and Meeker 1991, 5.2).
"""
import math, os, statistics, subprocess, sys, tempfile, threading, time, urllib.error, urllib.request

runner = os.path.abspath(sys.argv[1])
pairs = int(sys.argv[2]) if len(sys.argv) > 2 else 10
seconds = int(sys.argv[3]) if len(sys.argv) > 3 else 20
PORT = 18473
folder = tempfile.mkdtemp(prefix="runner-live-")
os.chdir(folder)
with open("followed.yaml", "w") as file:
    file.write(f"""experiment: followed
repetitions: 1
targets:
  server: {{address: http://127.0.0.1:{PORT}}}
workloads:
  clients:
    url: http://127.0.0.1:{PORT}
    load: {{open: {{rate: 200/s, connections: 16}}, duration: {seconds}s}}
    steps: [{{get: /}}]
""")


def follow(process, got):
    """Reads the events of a run from when it says where they are until it ends."""
    for line in process.stderr:
        if "serving" not in line or "http://" not in line:
            continue
        address = "http://" + line.split("http://", 1)[1].split()[0]
        # The experiment is there as soon as its first run is.
        for _ in range(50):
            try:
                with urllib.request.urlopen(address + "experiments/followed/live/events", timeout=seconds + 30) as events:
                    got.extend(events)
            except urllib.error.HTTPError:
                time.sleep(0.1)
                continue
            except OSError:
                pass  # The server ends with the run.
            return


def run(is_followed):
    command = [runner, "run", "followed.yaml", "--no-graphs"] + (["--serve", "127.0.0.1:0"] if is_followed else [])
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    got = []
    reader = threading.Thread(target=follow, args=(process, got)) if is_followed else threading.Thread(target=process.stderr.read)
    reader.start()
    _, status, usage = os.wait4(process.pid, 0)
    reader.join(30)
    assert status == 0, f"runner ended with {status}"
    news = sum(1 for event in got if event.startswith(b"data:") and b'"repetition":{' in event)
    assert not is_followed or news >= seconds / 2, f"{news} events in {seconds} s: nothing was followed"
    return (usage.ru_utime + usage.ru_stime) / seconds


def interval(values):
    """The order statistics between which the median is with at least 95 %."""
    values, n = sorted(values), len(values)
    for k in range(n // 2, 0, -1):
        if 1 - 2 * sum(math.comb(n, i) for i in range(k)) / 2**n >= 0.95:
            return values[k - 1], values[n - k]
    return values[0], values[-1]


fixtures = os.path.join(os.path.dirname(runner), "runner-fixtures")
server = subprocess.Popen([fixtures, "null-server", "--port", str(PORT)])
try:
    time.sleep(1)
    run(False)
    alone, followed = [], []
    for turn in range(pairs):
        for is_followed in ((False, True) if turn % 2 == 0 else (True, False)):
            (followed if is_followed else alone).append(run(is_followed))
        print(f"{turn + 1:3}  alone {alone[-1] * 100:6.2f} %  followed {followed[-1] * 100:6.2f} %  of a core", flush=True)
finally:
    server.kill()
    server.wait()
differences = [b - a for a, b in zip(alone, followed)]
low, high = interval(differences)
print(f"alone {statistics.median(alone) * 100:.2f} %, followed {statistics.median(followed) * 100:.2f} % of a core; "
      f"difference {statistics.median(differences) * 100:.2f} % ({low * 100:.2f} to {high * 100:.2f}), {pairs} pairs of {seconds} s")
