# SPDX-License-Identifier: MIT
"""Many requests that are answered later: how fast they register, how late they are answered.

All N come as fast as 64 at a time go (``rate=max``), or so many a second, and all are pending
before the first one is due. With ``rate=max`` they fall due as fast as they came, and a server that
registers faster than it responds has them wait: compare lateness at a rate. It counts from the
acknowledgement. Of aiocoap, which acknowledges 0.1 s after it has begun to wait, there is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import scale
from sample import Sample
from servers import Prepared
from suite import Bench

NAME = "pending"
TELLING = 5_000  # with less, the CPU time is a few of the system's ticks


@dataclass(frozen=True)
class Case:
    """So many, due so many seconds after each has come; whose lists are long enough for it."""

    n: int
    delay: int  # longer than it takes the slowest to register all
    subjects: tuple[str, ...]
    rate: int = 0  # new ones a second; 0: as fast as they go

    @property
    def setting(self) -> dict[str, float | str]:
        """The conditions of its samples."""
        return {"N": self.n, "rate": self.rate or "max"}


SMALL = (
    Case(1_000, 2, scale.ALL),
    Case(5_000, 7, scale.ALL),
    Case(20_000, 9, (*scale.OURS, "libcoap")),
)
FULL = (
    Case(20_000, 15, (*scale.OURS, "libcoap"), rate=2_000),
    Case(50_000, 45, (*scale.OURS, "libcoap")),
    Case(100_000, 25, scale.OURS),
    Case(100_000, 22, scale.OURS, rate=5_000),
)


def run(bench: Bench) -> Iterator[Sample]:
    """Each size, with each server that can hold it."""
    prepared = scale.prepare(bench, scale.ALL)
    for case in (*SMALL, *FULL) if bench.full else SMALL:
        yield from bench.interleave(
            {
                name: partial(measure, bench, name, prepared[name], case)
                for name in case.subjects
                if name in prepared
            }
        )


def measure(bench: Bench, name: str, prepared: Prepared, case: Case) -> Iterator[Sample]:
    """One server, started afresh."""
    n, delay, rate = case.n, case.delay, case.rate
    seconds = 2 * delay + n / 1000 + 10
    with bench.running(name, prepared) as server:
        report = scale.load_pending(
            bench, name, server, n=n, delay=delay, rate=rate, seconds=seconds
        )
    if report["reg_s"] > case.delay and not case.rate:
        bench.say(f"  note: {name} had answered the first before it had registered all")
    found = figures(report, lateness=name != "aiocoap", paced=bool(case.rate))
    for metric, value in found.items():
        if n >= TELLING or not metric.startswith("CPU"):
            yield Sample(name, metric, value, case.setting)


def figures(report: dict[str, Any], *, lateness: bool, paced: bool) -> dict[str, float]:
    """What such a load tells of a server. How fast it is, only if it could be faster."""
    found: dict[str, float] = {}
    if not paced:
        tenths = report["reg_rate_by_tenth"]
        found["registered/s"] = report["reg_rate"]
        found["last/first tenth"] = tenths[-1] / tenths[0]
    if lateness:
        late = report["late_vs_ack_ms"]
        found.update({f"late {which} ms": late[which] for which in ("p50", "p99", "max")})
    return {
        **found,
        "CPU us/registration": report["reg_cpu_us_each"],
        "CPU us/req": report["cpu_us_per_req"],
        "lost": report["lost"] + report["unfinished"],
        "sent twice": report["duplicates"],
        "resent": report["retransmits"],
    }
