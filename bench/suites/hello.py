# SPDX-License-Identifier: MIT
"""GET /hello in a closed loop, one request at a time and 64: requests per second and CPU time.

Ten bytes, piggybacked. Every request has a token of its own and a message ID that is new, so that
a server must treat it as new.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from load import GRACE, WARM_UP, closed_loop
from sample import Sample
from servers import KINDS, Prepared, Unavailable
from suite import Bench

NAME = "hello"
WINDOWS = (1, 64)
PAYLOAD = b"hello, 123"


def run(bench: Bench) -> Iterator[Sample]:
    """All servers that can be had, each at each window."""
    prepared = bench.prepare(KINDS)
    measures = {name: partial(measure, bench, name, which) for name, which in prepared.items()}
    yield from bench.interleave(measures)


def measure(bench: Bench, name: str, prepared: Prepared) -> Iterator[Sample]:
    """One server, started afresh for each window, so that it keeps nothing of the load before."""
    for window in WINDOWS:
        with bench.running(name, prepared, expect=PAYLOAD) as server:
            loop = closed_loop(window, bench.seconds)
            seconds = WARM_UP + bench.seconds + GRACE
            report = bench.load(server, "/hello", *loop, seconds=seconds)
        require(report, "piggybacked")
        yield from figures(name, report, {"W": window})


def require(report: dict[str, Any], way: str, at_least: float = 1) -> None:
    """The figures are of something else if the answers are not what was to be measured.

    ``at_least``: the share of the answers that must have come this way.
    """
    completed = report["completed"]
    if not completed:
        raise Unavailable("answered nothing under load")
    if report["class2"] != completed or report[way] < at_least * completed:
        raise Unavailable(
            f"of {completed} answers {report['class2']} were 2.xx and {report[way]} {way}"
        )


def figures(name: str, report: dict[str, Any], setting: dict[str, float | str]) -> Iterator[Sample]:
    """What a closed loop tells of a server."""
    values = {
        "req/s": report["rps"],
        "CPU us/req": report["cpu_us_per_req"],
        "p50 us": report["lat_us"]["p50"],
        "p99 us": report["lat_us"]["p99"],
        "RSS MB": report["rss_kb_after"] * 1024 / 1e6,
        "core used %": report["cpu_share"] * 100,
        "lost": report["lost"] + report["unfinished"],
        "resent": report["retransmits"],
    }
    for metric, value in values.items():
        yield Sample(name, metric, value, setting)
