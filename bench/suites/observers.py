# SPDX-License-Identifier: MIT
"""One change of a resource, and the seconds until all its observers have been notified.

Each observer has a port of its own. Every notification is a CON, which the load acknowledges at
once. The time begins when the POST that makes the change is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import scale
from programs import c_program, load_program, run_program
from sample import Sample
from servers import Prepared, Unavailable
from suite import Bench

NAME = "observers"
SIZES = (100, 1_000, 10_000)
TELLING = 1_000  # from this number on a change takes some of the system's ticks
CHANGES = 3
LIMIT = 30  # seconds for the registration, and for each change
SUBJECTS = ("coapsep", "aiocoap", "libcoap")


def run(bench: Bench) -> Iterator[Sample]:
    """Each number of observers."""
    prepared = scale.prepare(bench, SUBJECTS)
    for n in SIZES:
        yield from bench.interleave(
            {name: partial(measure, bench, name, which, n) for name, which in prepared.items()}
        )


def measure(bench: Bench, name: str, prepared: Prepared, n: int) -> Iterator[Sample]:
    """A few changes, one after the other, each of which is a sample."""
    program = c_program("coapobserve.c", bench.build)
    with bench.running(name, prepared) as server:
        options = {"-n": n, "-c": CHANGES, "-x": LIMIT}
        command = load_program(program, options, server, "/state")
        found = run_program(command, bench.cores.load, LIMIT * (CHANGES + 1))
    if found["refused"] or found["registered"] < n:
        raise Unavailable(f"has {found['registered'] - found['refused']} observers of {n}")
    yield Sample(name, "registered/s", n / found["register_s"], {"N": n})
    yield Sample(name, "B/observer", found["rss_bytes_each"], {"N": n})
    for change in found["changes"]:
        seconds = change["last_s"] if change["told"] == n else LIMIT
        yield Sample(name, "notified s", seconds, {"N": n})
        yield Sample(name, "first s", change["first_s"], {"N": n})
        if n >= TELLING:
            yield Sample(name, "CPU us/notification", change["cpu_s"] / n * 1e6, {"N": n})
        yield Sample(name, "sent twice", change["repeated"], {"N": n})
        yield Sample(name, "lost", n - change["told"], {"N": n})
