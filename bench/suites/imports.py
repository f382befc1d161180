# SPDX-License-Identifier: MIT
"""Time to import coapsep, against that for the three packages that it is built on.

A new interpreter each time, its own start included, at least 15 times each in turn. ``all of it``
looks up every name that coapsep exports, which imports what a bare import may put off.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from machine import pin
from programs import environment
from sample import Sample
from servers import Unavailable
from suite import Bench

NAME = "imports"
REPEATS = 15
LISTED = 12  # modules of ours that take longest
SUBJECTS = {
    "coapsep": "import coapsep",
    "coapsep, all of it": "import coapsep; [getattr(coapsep, name) for name in coapsep.__all__]",
    "trio+aiocoap+attrs": "import trio, aiocoap, attrs",
    "python": "pass",
}


def run(bench: Bench) -> Iterator[Sample]:
    """Each once to fill the caches, then in turn."""
    for statement in SUBJECTS.values():
        python(bench, "-c", statement)
    for _ in range(max(REPEATS, bench.repeats)):
        for subject, statement in SUBJECTS.items():
            begun = time.perf_counter()
            python(bench, "-c", statement)
            yield Sample(subject, "ms", (time.perf_counter() - begun) * 1e3)
    listing = python(bench, "-X", "importtime", "-c", SUBJECTS["coapsep, all of it"])
    bench.say("  largest of coapsep's modules, without what they import:")
    for microseconds, module in largest(listing)[:LISTED]:
        bench.say(f"  {microseconds / 1e3:8.1f} ms  {module}")


def python(bench: Bench, *arguments: str) -> str:
    """Run an interpreter on the core that is measured; returns what it writes to stderr."""
    result = subprocess.run(
        [sys.executable, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        preexec_fn=pin(bench.cores.server),
    )
    if result.returncode:
        raise Unavailable(result.stderr.strip().splitlines()[-1])
    return result.stderr


def largest(listing: str) -> list[tuple[int, str]]:
    """Microseconds and names of coapsep's modules from ``-X importtime``, the longest first."""
    found = []
    for line in listing.splitlines():
        own, bar, rest = line.removeprefix("import time:").partition("|")
        name = rest.rpartition("|")[2].strip()
        if bar and own.strip().isdigit() and name.partition(".")[0] == "coapsep":
            found.append((int(own), name))
    return sorted(found, reverse=True)
