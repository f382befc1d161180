"""Cancellation of what has to do with worker processes, at every step, with real processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from coapsep import open_udp, open_workers
from tests.interop.processes import free_port
from tests.interop.test_serve import SERVED
from tests.shell.cancelling import CancelAtStep

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are for Linux")

Scenario = Callable[[int], Awaitable[None]]


async def from_start_to_end(port: int) -> None:
    async with open_workers(f"{SERVED}:router", 1, host="127.0.0.1", port=port) as workers:
        await workers.statistics()
        await workers.drain()


#: What is called, and a scenario for it; see tests/shell/test_cancellation.py.
SCENARIOS: list[tuple[str, Scenario]] = [
    ("open_workers", from_start_to_end),
    ("Workers.drain", from_start_to_end),
    ("Workers.statistics", from_start_to_end),
]


def children() -> set[int]:
    """The processes of ours that run, or were not waited for. Other tests may have some, too."""
    found: set[int] = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            # After the name, which may hold anything: the state, and the parent.
            if int(path.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(path.parent.name))
    return found


async def judge(scenario: Scenario, cancel: CancelAtStep) -> bool:
    """Run it; True if it was over before the cancellation. No process and no socket is left."""
    port = free_port()
    await trio.to_thread.run_sync(os.getpid)  # a thread of Trio's may keep files of its own
    before, files = children(), len(os.listdir("/proc/self/fd"))
    with trio.fail_after(20), trio.CancelScope() as scope:
        cancel.arm(scope)
        await scenario(port)
    assert children() == before
    assert len(os.listdir("/proc/self/fd")) == files
    (await open_udp("127.0.0.1", port)).close()
    return not scope.cancelled_caught


def test_it_is_cancelled_at_every_step() -> None:
    for step in range(1000):
        cancel = CancelAtStep(step)
        if trio.run(judge, from_start_to_end, cancel, instruments=[cancel]):
            assert step > 20
            return
    raise AssertionError("it never finished")
