# SPDX-License-Identifier: MIT
"""Run the load generator against one server and read what it measured."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import pin
from servers import HOST, Running, Unavailable

WARM_UP = 0.3  # seconds, not counted
GRACE = 3.0  # seconds to wait at the end for answers under way: more than one retransmission


@dataclass(frozen=True)
class Workload:
    """What is asked of a server: a path, and how the load generator is to ask for it.

    The time is bounded by the arguments; ``seconds`` only says how long they can take.
    """

    about: str
    path: str
    arguments: Sequence[str]
    seconds: float


@dataclass(frozen=True)
class Measurement:
    """One server, one repeat, one window."""

    server: str
    repeat: int
    window: int
    rps: float
    cpu_us: float
    p50_us: float
    p99_us: float
    rss_mb: float
    busy: float
    lost: int
    resent: int
    raw: dict[str, Any]


def closed_loop(window: int, seconds: float) -> Workload:
    """GET /hello with always ``window`` requests under way."""
    arguments = ["-m", "closed", "-W", str(window), "-d", str(seconds)]
    arguments += ["-w", str(WARM_UP), "-g", str(GRACE)]
    return Workload("GET /hello, closed loop", "/hello", arguments, WARM_UP + seconds + GRACE)


def run_load(
    program: Path, server: Running, workload: Workload, core: int | None
) -> dict[str, Any]:
    """Run the generator once and return its report."""
    command = [str(program), *workload.arguments, "-P", str(server.process.pid)]
    command += [f"{HOST}:{server.port}", workload.path]
    try:
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=workload.seconds + 10,
            preexec_fn=pin(core),
        )
    except subprocess.TimeoutExpired:
        raise Unavailable("the load generator did not end in time") from None
    if server.process.poll() is not None:
        raise Unavailable(f"died under load: {server.last_words()}")
    if result.returncode not in (0, 1):  # 1: some requests were not answered
        raise Unavailable(f"the load generator failed: {result.stderr.strip()}")
    report = json.loads(result.stdout)
    assert isinstance(report, dict)
    return report


def to_measurement(server: str, repeat: int, window: int, report: dict[str, Any]) -> Measurement:
    """Pick the figures out of a report, if they are figures of what was to be measured."""
    completed = report["completed"]
    if not completed:
        raise Unavailable("answered nothing under load")
    if report["class2"] != completed or report["piggybacked"] != completed:
        raise Unavailable(
            f"of {completed} answers {report['class2']} were 2.xx "
            f"and {report['piggybacked']} piggybacked"
        )
    return Measurement(
        server=server,
        repeat=repeat,
        window=window,
        rps=report["rps"],
        cpu_us=report["cpu_us_per_req"],
        p50_us=report["lat_us"]["p50"],
        p99_us=report["lat_us"]["p99"],
        rss_mb=report["rss_kb_after"] / 1024,
        busy=report["cpu_share"],
        lost=report["lost"] + report["unfinished"],
        resent=report["retransmits"],
        raw=report,
    )
