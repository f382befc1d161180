# SPDX-License-Identifier: MIT
"""The machine a run takes place on: cores to pin to, and what to record of it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path


@dataclass(frozen=True)
class Cores:
    """The core of the server and the core of the load; None: not pinned."""

    server: int | None
    load: int | None
    remark: str = ""


def choose_cores() -> Cores:
    """The first two cores this process may use, if there are two and they can be chosen."""
    if not hasattr(os, "sched_setaffinity"):
        return Cores(None, None, "not pinned to cores: this system has no sched_setaffinity")
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        return Cores(None, None, "not pinned: with one core the load takes time from the server")
    server, load = usable[:2]
    if load in _thread_siblings(server):
        return Cores(server, load, f"cores {server} and {load} are threads of one physical core")
    return Cores(server, load)


def pin(core: int | None) -> Callable[[], None] | None:
    """What a child process has to call before exec to stay on the core."""
    return None if core is None else partial(os.sched_setaffinity, 0, {core})


def describe(cores: Cores, load_average_before: float) -> dict[str, object]:
    """What somebody needs to judge whether two runs can be compared."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "server_core": cores.server,
        "load_core": cores.load,
        "load_average_before": load_average_before,
    }


def load_average() -> float:
    """Of the last minute."""
    return round(os.getloadavg()[0], 2)


def revision(directory: Path) -> str | None:
    """The git revision of the checkout, if it is one."""
    command = ["git", "-C", str(directory), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _thread_siblings(core: int) -> set[int]:
    """The cores in one of the kernel's lists, such as ``0,4`` or ``0-1``."""
    siblings: set[int] = set()
    path = f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list"
    for part in filter(None, _read(path).strip().split(",")):
        first, _, last = part.partition("-")
        siblings.update(range(int(first), int(last or first) + 1))
    return siblings


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
