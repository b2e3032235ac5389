#!/usr/bin/env python3
"""Instructions of the generator thread per request, exactly: from an event of its socket to the next request, by valgrind.

Usage: benches/instructions.py [--write]     (needs valgrind; builds `benches/engine`)

Two loads of different length are counted, and their difference is divided by the requests that it has: what happens once is in
neither. Waiting is not counted, because it depends on the machine. Compared with `instructions.json`, within 2 %, where that was
counted with the same compiler and C library; `--write` writes it anew.
"""

import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
KNOWN = HERE / "instructions.json"
# Requests of the shorter load and of the longer one, and steps of a pass.
SHORT, LONG = 2_000, 12_000
CASES = {"a pass of one step": 1, "a pass of two steps": 2}
BOUND = 0.02
COUNTED = "*Clients*go_on*"


def build():
    """Builds the engine and the server, and returns their paths."""
    command = ["cargo", "build", "--release", "--workspace", "--locked", "--bench", "engine", "--bin", "runner-fixtures"]
    command.append("--message-format=json-render-diagnostics")
    built = subprocess.run(command, cwd=HERE.parent, stdout=subprocess.PIPE, check=True, text=True).stdout
    found = {}
    for line in built.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            found[message["target"]["name"]] = message["executable"]
    return found["engine"], found["runner-fixtures"]


def environment():
    """What the count depends on besides the source."""
    rustc = subprocess.run(["rustc", "--version"], cwd=HERE.parent, stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
    # The C library copies and compares in other ways on other processors.
    with open("/proc/cpuinfo") as cpuinfo:
        flags = re.search(r"^flags\s*:(.*)", cpuinfo.read(), re.MULTILINE)
    known = [flag for flag in ("avx2", "bmi2", "erms", "movbe", "fsrm") if flags and flag in flags[1].split()]
    machine = " ".join([platform.machine(), *known])
    return {"rustc": rustc, "libc": " ".join(platform.libc_ver()), "machine": machine}


def instructions(engine, url, requests, steps, directory):
    """The instructions of one load that are counted."""
    out = os.path.join(directory, f"{requests}-{steps}")
    command = ["valgrind", "--tool=callgrind", f"--toggle-collect={COUNTED}", f"--callgrind-out-file={out}"]
    ended = subprocess.run(command + [engine, url, "64", str(requests), str(steps)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if ended.returncode != 0 or json.loads(ended.stdout)["requests"] != requests:
        sys.exit(f"the load failed under valgrind: {ended.stdout}{ended.stderr}")
    with open(out) as counts:
        total = re.search(r"^(?:totals|summary): (\d+)", counts.read(), re.MULTILINE)
    if not total or int(total[1]) == 0:
        sys.exit(f"valgrind counted nothing in `{COUNTED}`: has it another name?")
    return int(total[1])


def main():
    if not shutil.which("valgrind"):
        print("NOT COUNTED: valgrind is not installed", file=sys.stderr)
        return
    engine, fixtures = build()
    server = subprocess.Popen([fixtures, "null-server", "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().split()[-1]
        url = f"http://{address}/"
        with tempfile.TemporaryDirectory() as directory:
            counts = {
                case: (instructions(engine, url, LONG, steps, directory) - instructions(engine, url, SHORT, steps, directory)) / (LONG - SHORT)
                for case, steps in CASES.items()
            }
    finally:
        server.kill()
        server.wait()
    if "--write" in sys.argv[1:]:
        written = {"environment": environment(), "instructions_per_request": {case: round(count) for case, count in counts.items()}}
        KNOWN.write_text(json.dumps(written, indent=2) + "\n")
    known = json.loads(KNOWN.read_text())
    is_same = known["environment"] == environment()
    wrong = False
    for case, count in counts.items():
        before = known["instructions_per_request"][case]
        change = count / before - 1
        print(f"{case}: {count:.0f} instructions per request, {before} known ({100 * change:+.1f} %)")
        wrong |= abs(change) > BOUND
    if not is_same:
        print(f"NOT COMPARED: counted with {known['environment']}, and here is {environment()}", file=sys.stderr)
    elif wrong:
        sys.exit(f"more than {100 * BOUND:.0f} % apart: if that is meant, write it with `python3 benches/instructions.py --write`")


main()
