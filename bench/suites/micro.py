# SPDX-License-Identifier: MIT
"""CPU time of single parts: codec, core, registry, one block of a body.

All in one process, without a socket, in turn; each figure is a median of several rounds.
"""

from __future__ import annotations

from collections.abc import Iterator

from programs import python_program, run_program
from sample import Sample
from suite import Bench

NAME = "micro"
SECONDS = 60


def run(bench: Bench) -> Iterator[Sample]:
    """A process for each repeat."""
    for repeat in range(1, bench.repeats + 1):
        bench.say(f"  {repeat}/{bench.repeats}")
        found = run_program(python_program("coapsep_micro.py"), bench.cores.server, SECONDS)
        bench.notes["coapsep"] = found["note"]
        for name, value in found["ns"].items():
            subject, _, metric = name.partition(": ")
            yield Sample(subject, metric, value)
