#!/usr/bin/env python3
"""What a scrape costs: the processor time of runner with and without one page, in pairs, in turn.

    cargo build --release && python3 benches/scrape.py

The page has 200 counters in Prometheus's text format, all of them kept and one metric made of them. It is fetched twenty times a
second, so that the difference is more than noise; the cost at one scrape a second follows from it.
"""

import http.server
import os
import statistics
import subprocess
import sys
import tempfile
import threading

SERIES, EVERY_MS, SECONDS, PAIRS = 200, 50, 20, 5
LOAD = """
experiment: cost
repetitions: 1
targets: {web: {fixture: null-server, port: PORT}}
workloads:
  clients: {url: "http://127.0.0.1:PORT", load: {open: {rate: 20}, duration: SECONDSs}, steps: [{get: /}]}
graphs: []
"""
SCRAPE = """
scrape: {app: {url: "http://127.0.0.1:PAGE/metrics", every: EVERYms, metrics: {all: {rate: '{__name__=~"m.*"}'}}}}
"""


class Page(http.server.BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self):
        Page.asked += 1
        line = '# TYPE m{0}_total counter\nm{0}_total{{code="200",path="/a/{0}"}} {1}\n'
        body = "".join(line.format(i, Page.asked * 7) for i in range(SERIES)).encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def used_s(runner, folder, name):
    """The processor time of one run, without its targets."""
    process = subprocess.Popen([runner, "run", f"{name}.yaml", "--quiet", "--out", name], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"runner failed: {status}")
    return usage.ru_utime + usage.ru_stime


def main():
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    runner = os.path.abspath(os.path.join(target, "release", "runner"))
    page = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        load = LOAD.replace("PORT", "18498").replace("SECONDS", str(SECONDS))
        scrape = SCRAPE.replace("PAGE", str(page.server_address[1])).replace("EVERY", str(EVERY_MS))
        for name, text in [("with", load + scrape), ("without", load)]:
            with open(os.path.join(folder, f"{name}.yaml"), "w") as file:
                file.write(text)
        costs = []
        for pair in range(PAIRS):
            before = Page.asked
            order = ["with", "without"] if pair % 2 == 0 else ["without", "with"]
            used = {name: used_s(runner, folder, name) for name in order}
            costs.append((used["with"] - used["without"]) / (Page.asked - before))
            print(f"pair {pair + 1}: {used['with']:.3f} s with, {used['without']:.3f} s without, {costs[-1] * 1e3:.2f} ms per scrape")
        median = statistics.median(costs)
        print(f"median {median * 1e3:.2f} ms per scrape of {SERIES} series: {median * 100:.2f} % of a processor at one a second")


main()
