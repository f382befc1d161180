# SPDX-License-Identifier: MIT
"""Bytes for each request that is pending, and the seconds it takes to free them all.

Bytes are those by which the resident memory grows, divided by N; what is remembered of the message
IDs is among them. Freeing is ``free_async`` for each, until the last of their tasks has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import scale
from ask import post
from sample import Sample
from servers import Prepared
from suite import Bench

NAME = "memory"
N = 10_000
FULL_N = 100_000
LONG = 3600  # seconds: none of them falls due
SLOWEST = 700  # registrations a second, aiocoap's with some reserve


def run(bench: Bench) -> Iterator[Sample]:
    """The same number for all, and many more for coapsep if there is time."""
    prepared = scale.prepare(bench, scale.ALL)
    for n in (N, FULL_N) if bench.full else (N,):
        yield from bench.interleave(
            {
                name: partial(measure, bench, name, which, n)
                for name, which in prepared.items()
                if name in scale.OURS or n == N
            }
        )


def measure(bench: Bench, name: str, prepared: Prepared, n: int) -> Iterator[Sample]:
    """Register them, let the load go, and free them."""
    seconds = n / (5_000 if name in scale.OURS else SLOWEST) + 3
    with bench.running(name, prepared) as server:
        report = scale.load_pending(bench, name, server, n=n, delay=LONG, seconds=seconds)
        yield Sample(name, "B/pending", report["rss_bytes_each"], {"N": n})
        if name in scale.OURS:
            calls, all_over = map(float, post(server.port, "/free", 60).split())
            yield Sample(name, "free s", all_over, {"N": n})
            yield Sample(name, "free us each", calls / n * 1e6, {"N": n})
