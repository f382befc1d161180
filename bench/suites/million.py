# SPDX-License-Identifier: MIT
"""A million pending requests in one process, due over 200 seconds (only with --full).

5,000 a second come for 200 seconds and are due 220 seconds later, so that all are pending at once
and fall due as slowly as they came. It takes seven minutes and some 6 GB, once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import scale
from sample import Sample
from servers import Prepared, Unavailable
from suite import Bench

from suites.pending import figures

NAME = "million"
N = 1_000_000
RATE = 5_000
DELAY = N // RATE + 20
WINDOW = 1024  # a pause of the server must not keep the load from going on
MEMORY = 10e9  # bytes that should be free: the load needs some, too
SUBJECT = "coapsep-frozen"


def run(bench: Bench) -> Iterator[Sample]:
    """Once: it is long, and its length makes it steady."""
    if not bench.full:
        bench.say("  left out: it takes --full")
        return
    if os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") < MEMORY:
        raise Unavailable(f"less than {MEMORY / 1e9:g} GB of memory are free")
    for prepared in scale.prepare(bench, [SUBJECT]).values():
        yield from measure(bench, prepared)


def measure(bench: Bench, prepared: Prepared, n: int = N, delay: int = DELAY) -> Iterator[Sample]:
    """All of them, and what the process has needed at most."""
    seconds = n / RATE + delay + 60
    with bench.running(SUBJECT, prepared) as server:
        report = scale.load_pending(
            bench, SUBJECT, server, n=n, delay=delay, rate=RATE, window=WINDOW, seconds=seconds
        )
        peak = _peak_rss(server.process.pid)
    found = {
        **figures(report, lateness=True, paced=True),
        "not answered once": n - report["completed"] + report["duplicates"],
        "B/pending": report["rss_bytes_each"],
        "peak RSS MB": peak / 1e6,
    }
    for metric, value in found.items():
        yield Sample(SUBJECT, metric, value, {"N": n, "rate": RATE})


def _peak_rss(pid: int) -> int:
    """The most memory a process has had, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise Unavailable("the system does not tell the peak of the memory")
