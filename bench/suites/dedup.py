# SPDX-License-Identifier: MIT
"""Bytes for each message ID that is remembered, with its reply, by the core without a socket.

With 10,000 peers, each entry carries a tenth of what is remembered of its peer. One peer has fewer
requests than it has message IDs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from programs import python_program, run_program
from sample import Sample
from suite import Bench

NAME = "dedup"
REQUESTS = {1: 60_000, 10_000: 100_000}  # by the number of peers
METRICS = {"traced": "B/entry", "resident": "B/entry, resident"}
SECONDS = 60


def run(bench: Bench) -> Iterator[Sample]:
    """Each number of peers, in both ways."""
    yield from bench.interleave({"coapsep": partial(measure, bench)})


def measure(bench: Bench) -> Iterator[Sample]:
    """A process for each, since what one leaves behind the next would use."""
    for peers, requests in REQUESTS.items():
        for how, metric in METRICS.items():
            command = python_program("coapsep_dedup.py", requests, peers, how)
            found = run_program(command, bench.cores.server, SECONDS)
            bench.notes["coapsep"] = found["note"]
            yield Sample("coapsep", metric, found["bytes"], {"peers": peers})
