"""Cancellation at every await: the same scenario, cancelled after step 1, 2, 3, ...

A step is a task's turn in Trio's scheduler, so between any two of them everything that
awaits is cancelled once at each of its awaits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from coapsep import Ended, PendingRequest, Request, Router, Server, open_server, serve
from coapsep.testing import Network, open_network
from tests.shell.peer import SERVER, Peer, open_peer


class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope before the n-th turn of any task, counted from ``arm``."""

    def __init__(self, step: int) -> None:
        self._left = step
        self._scope: trio.CancelScope | None = None

    def arm(self, scope: trio.CancelScope) -> None:
        self._scope = scope

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._scope is not None:
            self._left -= 1
            if self._left == 0:
                self._scope.cancel()


Scenario = Callable[[Network, Peer, "Witness"], Awaitable[None]]


class Witness:
    """What a scenario leaves behind for the judgement."""

    def __init__(self) -> None:
        self.entries: list[PendingRequest] = []
        self.handlers = 0  # that run at this moment
        self.finished = False

    def router(self) -> Router:
        router = Router()

        @router.get("/slow")
        async def slow(request: Request) -> str:
            self.handlers += 1
            try:
                await trio.sleep(1)
            finally:
                self.handlers -= 1
            return "slow"

        @router.get("/later")
        async def later(request: Request) -> str | None:
            self.handlers += 1
            try:
                await trio.sleep(0.2)
                if request.pending is None:
                    self.entries.append(request.asyncs.register_async(request, 0.5))
                    return None
                if len(self.entries) == 1:
                    request.pending.set_delay(0.5)
            finally:
                self.handlers -= 1
            return "later"

        return router


async def talk(peer: Peer) -> None:
    peer.request("/slow", token=b"1")
    peer.request("/later", token=b"2")
    await trio.sleep(1.5)
    peer.request("/later", token=b"3")
    await trio.sleep(0.5)


async def a_block(network: Network, peer: Peer, witness: Witness) -> None:
    async with open_server(witness.router(), transport=network.bind(SERVER)):
        await talk(peer)


async def a_nursery(network: Network, peer: Peer, witness: Witness) -> None:
    async with trio.open_nursery() as nursery:
        start = partial(serve, witness.router(), transport=network.bind(SERVER))
        await nursery.start(start)
        await talk(peer)
        nursery.cancel_scope.cancel()


async def a_drain(network: Network, peer: Peer, witness: Witness) -> None:
    async with open_server(witness.router(), transport=network.bind(SERVER)) as server:
        await talk(peer)
        with trio.move_on_after(3):
            await server.drain()


async def a_wait_for_the_end(network: Network, peer: Peer, witness: Witness) -> None:
    async with open_server(witness.router(), transport=network.bind(SERVER)) as server:
        await talk(peer)
        for entry in server.asyncs:
            await entry.ended


async def judge(scenario: Scenario, cancel: CancelAtStep) -> bool:
    """Run it; True if it was over before the cancellation."""
    witness = Witness()
    async with open_network() as network, open_peer(network) as peer:
        before = trio.lowlevel.current_statistics().tasks_living
        with trio.CancelScope() as scope:
            cancel.arm(scope)
            await scenario(network, peer, witness)
            witness.finished = True
        assert trio.lowlevel.current_statistics().tasks_living == before
        assert witness.handlers == 0
        assert all(isinstance(entry.reason, Ended) for entry in witness.entries)
        network.bind(SERVER).close()  # the address was given back
        sent = len(network.log)
        await trio.sleep(300)
        assert len([s for s in network.log[sent:] if s.source.host == SERVER]) == 0
    return witness.finished


@pytest.mark.parametrize("scenario", [a_block, a_nursery, a_drain, a_wait_for_the_end])
def test_cancelled_at_every_step(scenario: Scenario) -> None:
    for step in range(1, 1000):
        cancel = CancelAtStep(step)
        clock = MockClock(autojump_threshold=0)
        if trio.run(judge, scenario, cancel, clock=clock, instruments=[cancel]):
            assert step > 30
            return
    raise AssertionError("it never finished")


def test_the_server_type_is_what_the_nursery_hands_back() -> None:
    async def main() -> None:
        async with open_network() as network, trio.open_nursery() as nursery:
            server = await nursery.start(partial(serve, Router(), transport=network.bind(SERVER)))
            assert isinstance(server, Server)
            nursery.cancel_scope.cancel()

    trio.run(main)
