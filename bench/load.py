# SPDX-License-Identifier: MIT
"""Run the load generator against one server and read what it measured."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machine import pin
from servers import HOST, Running, Unavailable

WARM_UP = 0.3  # seconds, not counted
GRACE = 3.0  # seconds to wait at the end for answers under way: more than one retransmission


def closed_loop(window: int, seconds: float) -> list[str]:
    """The arguments that keep ``window`` requests under way for so long."""
    return [
        "-m",
        "closed",
        "-W",
        f"{window}",
        "-d",
        f"{seconds}",
        "-w",
        f"{WARM_UP}",
        "-g",
        f"{GRACE}",
    ]


def run_load(
    program: Path,
    server: Running,
    path: str,
    arguments: Sequence[str | float],
    seconds: float,
    core: int | None,
) -> dict[str, Any]:
    """Run the generator once and return its report."""
    command = [str(program), *map(str, arguments), "-P", str(server.process.pid)]
    command += [f"{HOST}:{server.port}", path]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + 10, preexec_fn=pin(core)
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
