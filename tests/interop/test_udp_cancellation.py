"""Cancellation of every public call of the UDP transport, at every step, on real sockets.

No clock is involved: whatever is waited for is on its way already.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable

import pytest
import trio

from coapsep import Address, Batch, Session, open_udp, open_udp_client
from tests.interop.processes import free_port
from tests.shell.cancelling import CancelAtStep

Scenario = Callable[[int], Awaitable[None]]


async def open_for_a_server(port: int) -> None:
    transport = await open_udp("127.0.0.1", port)
    transport.close()


async def open_for_a_client(port: int) -> None:
    transport = await open_udp_client("127.0.0.1", port)
    transport.close()


async def receive(port: int) -> None:
    """Three datagrams, which it sends to itself."""
    transport = await open_udp("127.0.0.1", port)
    arrived: list[bytes] = []
    try:
        async with trio.open_nursery() as nursery:

            def deliver(batch: Batch) -> None:
                arrived.extend(data for data, _ in batch)
                if len(arrived) == 3:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(transport.run, deliver, lost)
            for number in range(3):
                session = transport.session_to(Address("127.0.0.1", port))
                await transport.wait_writable(session)
                assert transport.send(bytes([number]), session)
                await trio.lowlevel.checkpoint()
    finally:
        transport.close()


def lost(session: Session) -> None:
    raise AssertionError(f"UDP has no connections: {session}")


#: What is called, and a scenario for it; see tests/shell/test_cancellation.py.
SCENARIOS: list[tuple[str, Scenario]] = [
    ("open_udp", open_for_a_server),
    ("open_udp_client", open_for_a_client),
    ("UdpTransport.run", receive),
    ("UdpTransport.wait_writable", receive),
]


async def judge(scenario: Scenario, port: int, cancel: CancelAtStep) -> bool:
    """Run it; True if it was over before the cancellation."""
    tasks = trio.lowlevel.current_statistics().tasks_living
    finished = False
    with trio.CancelScope() as scope:
        cancel.arm(scope)
        await scenario(port)
        finished = True
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    return finished


@pytest.mark.parametrize(
    "scenario", [pytest.param(scenario, id=name) for name, scenario in SCENARIOS]
)
def test_cancelled_at_every_step(scenario: Scenario) -> None:
    port = free_port()
    for step in range(100):
        cancel = CancelAtStep(step)
        finished = trio.run(judge, scenario, port, cancel, instruments=[cancel])
        assert is_free(port)
        if finished:
            assert step > 0
            return
    raise AssertionError("it never finished")


def is_free(port: int) -> bool:
    """Whether every socket on it was closed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError as exc:
            assert exc.errno == errno.EADDRINUSE
            return False
    return True
