#!/usr/bin/env python3
"""What happened to the events between two Comets, as one JSON object on one line.

The event databases of a broker and its subscriber are joined by SHA-1: events and their rate at each, what is missing, and
how long they took from one to the other. `runner-fixtures vtp-receipts` prints the same for the fixtures' `receipts.csv`.

Comet keeps one dbm file per resource, named after the path of its ivoid with `_` for `/`: `ivo://lab.test/bench#1` is in
`_bench`, with whatever suffix its kind of dbm gives. A key is the SHA-1 of an event, the value the instant of its receipt in
Unix seconds. It must be read with a Python that has the kind of dbm that Comet's Python had: usually the system's own.

Quantiles are values that were observed: inverses of the empirical distribution function (Hyndman & Fan 1996, type 1).
"""

import argparse
import dbm
import json
import os
import re
import sys
import time

# What the kinds of dbm add to a name.
SUFFIXES = (".db", ".dat", ".dir", ".bak", ".pag")

# A file that is being written may be read incompletely: then it is read again.
ATTEMPTS = 50
PAUSE_S = 0.1

NS_PER_S = 10**9


class Unreadable(Exception):
    """A database cannot be read; the message is the reason."""


def parse_seconds(text):
    """Decimal seconds in nanoseconds, without the detour of a floating point number. Digits after the ninth are dropped."""
    match = re.fullmatch(r"([0-9]+)(?:\.([0-9]+))?", text)
    if not match:
        raise ValueError(f"`{text}` is not a time; expected unix seconds such as `1795294893.36`")
    whole, fraction = match.groups()
    return int(whole) * NS_PER_S + int((fraction or "0").ljust(9, "0")[:9])


def names(directory, resources):
    """The databases in `directory`, without their suffixes: all, or those of the named resources."""
    try:
        entries = os.listdir(directory)
    except OSError as error:
        raise Unreadable(f"cannot read {directory}: {error.strerror}") from error
    present = set()
    for entry in entries:
        stem, suffix = os.path.splitext(entry)
        # A path starts with `/`, so other files there are not Comet's.
        if entry.startswith("_"):
            present.add(stem if suffix in SUFFIXES else entry)
    if not resources:
        return sorted(present)
    wanted = {"_" + resource.strip("/").replace("/", "_") for resource in resources}
    for name in sorted(wanted - present):
        # A subscriber that has received nothing has none: that is a result, not a mistake.
        print(f"{directory} has no data base {name}", file=sys.stderr)
    return sorted(wanted & present)


def signature(path):
    """Sizes and times of the files of a database: while they stay the same, nothing was written."""
    found = []
    for name in (path, *(path + suffix for suffix in SUFFIXES)):
        try:
            status = os.stat(name)
            found.append((name, status.st_size, status.st_mtime_ns))
        except FileNotFoundError:
            pass
    return found


def read_once(path):
    """One database: times of receipt in nanoseconds by SHA-1."""
    kind = dbm.whichdb(path)
    if not kind:
        raise Unreadable(f"cannot read {path}: this Python has no module for its kind of dbm, or it is none")
    receipts = {}
    with dbm.open(path, "r") as database:
        for key in database.keys():
            sha1 = key.decode("ascii")
            if not re.fullmatch("[0-9a-f]{40}", sha1):
                raise ValueError(f"`{sha1}` is not a SHA-1")
            receipts[sha1] = parse_seconds(database[key].decode("ascii"))
    return receipts


def read_database(path):
    """One database, read again while it changes or makes no sense."""
    receipts = failure = None
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE_S)
        before = signature(path)
        try:
            receipts = read_once(path)
        # For a moment, a writer leaves files that none of the kinds of dbm can read, each in its own way.
        except (*dbm.error, KeyError, ValueError, SyntaxError, ImportError, EOFError, Unreadable) as error:
            failure = error
            continue
        if signature(path) == before:
            return receipts
    if receipts is None:
        raise Unreadable(str(failure) if isinstance(failure, Unreadable) else f"cannot read {path}: {failure}")
    print(f"{path} was being written all the time: some of its last events may be missing", file=sys.stderr)
    return receipts


def read(directory, resources):
    """The events of all chosen databases of a Comet."""
    receipts = {}
    for name in names(directory, resources):
        receipts.update(read_database(os.path.join(directory, name)))
    return receipts


def seconds(ns):
    return None if ns is None else float(ns) / 1e9


def quantile(times_ns, percent):
    """The smallest of the ascending `times_ns` that `percent` of them do not exceed."""
    return times_ns[max(-(-len(times_ns) * percent // 100), 1) - 1] if times_ns else None


def side(receipts, begin_ns):
    """One end of the path."""
    first_ns = min(receipts.values(), default=None)
    last_ns = max(receipts.values(), default=None)
    origin_ns = begin_ns or 0
    start_ns = first_ns if begin_ns is None else begin_ns
    duration_ns = None if last_ns is None else last_ns - start_ns
    return {
        "events": len(receipts),
        "first_s": None if first_ns is None else seconds(first_ns - origin_ns),
        "last_s": None if last_ns is None else seconds(last_ns - origin_ns),
        "duration_s": seconds(duration_ns),
        # A single event, or one before the start, has no rate.
        "rate_per_s": len(receipts) / seconds(duration_ns) if duration_ns is not None and duration_ns > 0 else None,
    }


def summarize(broker, subscriber, begin_ns, expected):
    transit_ns = sorted(subscriber[sha1] - sent_ns for sha1, sent_ns in broker.items() if sha1 in subscriber)
    return {
        "broker": side(broker, begin_ns),
        "subscriber": side(subscriber, begin_ns),
        "missing_at_broker": None if expected is None else max(expected - len(broker), 0),
        "missing_at_subscriber": len(broker) - len(transit_ns),
        # A dbm contains each key once; Comet does not record a second receipt.
        "duplicates_at_subscriber": 0,
        "transit_s": {
            "min": seconds(transit_ns[0]) if transit_ns else None,
            "median": seconds(quantile(transit_ns, 50)),
            "mean": float(sum(transit_ns)) / len(transit_ns) / 1e9 if transit_ns else None,
            "p95": seconds(quantile(transit_ns, 95)),
            "max": seconds(transit_ns[-1]) if transit_ns else None,
        },
    }


def main():
    description = "What happened to the events between two Comets, as one JSON object."
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--broker", required=True, metavar="DIR", help="the broker's --eventdb")
    parser.add_argument("--subscriber", required=True, metavar="DIR", help="the subscriber's --eventdb")
    parser.add_argument("--begin", type=parse_seconds, metavar="UNIX_SECONDS", help="instant from which times are counted")
    parser.add_argument("--expected", type=int, metavar="N", help="events that the broker should have")
    help_resource = "only events of this resource, like `bench`; may be repeated"
    parser.add_argument("--resource", action="append", default=[], metavar="NAME", help=help_resource)
    arguments = parser.parse_args()
    try:
        broker = read(arguments.broker, arguments.resource)
        subscriber = read(arguments.subscriber, arguments.resource)
    except Unreadable as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(summarize(broker, subscriber, arguments.begin, arguments.expected)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
