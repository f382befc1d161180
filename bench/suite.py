# SPDX-License-Identifier: MIT
"""What a suite is handed: how much to measure, where, and the means to do it.

A suite is a module ``suites/NAME.py``. The first line of its docstring says what it measures, and
``run(bench)`` yields samples as it measures them, its repeats interleaved (A, B, C, A, B, C).
Which of their metrics are goals, and by what name, is in ``goals.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import servers
from load import run_load
from machine import Cores
from sample import Sample
from servers import KINDS, Prepared, Running, Unavailable


@dataclass(frozen=True)
class Bench:
    """The means of one suite. What it notes on the way is told in the report."""

    repeats: int
    seconds: float  # of one measurement that has no size of its own
    full: bool  # the full sizes: 100,000 and a million pending; else small ones
    cores: Cores
    build: Path  # a scratch directory; what is compiled is there
    generator: Path  # coapload, compiled
    cache: Path  # peers that were installed by --install-peers
    only: Sequence[str] | None = None  # the subjects to measure; None: all
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)  # by subject: versions, gc
    left_out: dict[str, str] = field(default_factory=dict)  # by subject: why

    def say(self, text: str) -> None:
        """Progress goes to stderr, so that the tables can be redirected."""
        print(text, file=sys.stderr, flush=True)

    def leave_out(self, subject: str, reason: str) -> None:
        """Measure no more of a subject, and tell why."""
        self.left_out[subject] = reason
        self.say(f"{subject} is left out: {reason}")

    def wanted(self, subject: str) -> bool:
        """Whether it is to be measured: it was asked for, and has not been left out."""
        return subject not in self.left_out and (self.only is None or subject in self.only)

    def prepare(self, names: Iterable[str]) -> dict[str, Prepared]:
        """Make servers of ``KINDS`` ready; those that cannot be are left out."""
        prepared = {}
        for name in filter(self.wanted, names):
            try:
                prepared[name] = KINDS[name](self.build, self.cache)
            except Unavailable as exc:
                self.leave_out(name, str(exc))
        return prepared

    @contextmanager
    def running(
        self, subject: str, prepared: Prepared, *, expect: bytes | None = None
    ) -> Iterator[Running]:
        """A server of its own on the server's core, which has answered once; stopped in any case.

        ``expect``: the payload that GET /hello must bring, piggybacked; None: any answer will do.
        Raises ``Unavailable`` if it does not start or answers otherwise.
        """
        log = self.build / f"{subject}.log"
        server: Running | None = None
        try:
            with servers.running(prepared, self.cores.server, log, expect) as server:
                yield server
        finally:
            if server is not None:
                versions = {**prepared.versions, **server.note.get("versions", {})}
                self.notes[subject] = {**server.note, "versions": versions}

    def load(
        self, server: Running, path: str, *arguments: str | float, seconds: float
    ) -> dict[str, Any]:
        """Run coapload on the load's core with these arguments; returns the JSON it reports.

        It is ended after ``seconds`` and some more. Raises ``Unavailable`` if it fails or the
        server dies; requests that were not answered are for the caller to see in the report.
        """
        return run_load(self.generator, server, path, arguments, seconds, self.cores.load)

    def interleave(
        self, measures: Mapping[str, Callable[[], Iterable[Sample]]]
    ) -> Iterator[Sample]:
        """Measure each subject once, then each again: what drifts then meets all alike.

        A subject whose measure raises ``Unavailable`` is left out from then on, and none of its
        samples of this call is yielded: a median of fewer repeats would mislead.
        """
        found: dict[str, list[Sample]] = {subject: [] for subject in measures}
        for repeat in range(1, self.repeats + 1):
            for subject, measure in measures.items():
                if not self.wanted(subject):
                    continue
                self.say(f"  {repeat}/{self.repeats} {subject}")
                try:
                    found[subject] += measure()
                except Unavailable as exc:
                    self.leave_out(subject, str(exc))
        for subject, samples in found.items():
            if self.wanted(subject):
                yield from samples
