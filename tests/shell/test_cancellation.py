"""Cancellation at every await: of every public call of the server, and that none is missing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial

import pytest
import trio

from coapsep import Block, Code, Ended, PendingRequest, Request, Router, Server, open_server, serve
from coapsep.testing import Network, open_network
from tests.interop.test_udp_cancellation import SCENARIOS as TRANSPORT
from tests.interop.test_workers_cancellation import SCENARIOS as WORKERS
from tests.shell.cancelling import cancel_at_every_step, public_async_calls
from tests.shell.client.test_client_cancellation import LIFETIMES as CLIENT_LIFETIMES
from tests.shell.client.test_client_cancellation import SCENARIOS as CLIENT
from tests.shell.peer import SERVER, Peer, open_peer

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

        @router.get("/watch")
        async def watch(request: Request) -> str:
            self.handlers += 1
            try:
                await request.wait_abandoned()
                await request.wait_abandoned()  # it is known by now
                await trio.sleep(0.1)
            finally:
                self.handlers -= 1
            return "unheard"

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

        @router.put("/upload", stream=True)
        async def upload(request: Request) -> str:
            self.handlers += 1
            try:
                first = await request.body.__anext__()
                return f"{len(first) + len(await request.body.read())} bytes"
            finally:
                self.handlers -= 1

        @router.get("/clock", observable=True)
        async def clock(request: Request) -> AsyncGenerator[str, None]:
            self.handlers += 1
            try:
                while True:
                    yield str(trio.current_time())
                    await trio.sleep(0.5)
            finally:
                self.handlers -= 1

        @router.get("/log")
        async def log(request: Request) -> AsyncGenerator[bytes, None]:
            self.handlers += 1
            try:
                for _ in range(5):
                    yield b"x" * 1000
                    await trio.sleep(0.1)
            finally:
                self.handlers -= 1

        @router.get("/door", observable=True)
        async def door(request: Request) -> str:
            await trio.sleep(0.1)
            return "open"

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


async def a_wait_for_being_abandoned(network: Network, peer: Peer, witness: Witness) -> None:
    async with open_server(witness.router(), transport=network.bind(SERVER)):
        peer.request("/watch", token=b"1")
        await trio.sleep(0.5)
        peer.request("/slow", token=b"1")  # another request takes the token
        await trio.sleep(2)


async def a_body_in_blocks(network: Network, peer: Peer, witness: Witness) -> None:
    async with open_server(witness.router(), transport=network.bind(SERVER)):
        for number in range(3):
            peer.request(
                "/upload",
                code=Code.PUT,
                payload=bytes(16),
                block1=Block(number, more=number < 2, size=16),
            )
            await trio.sleep(0.3)
        for number in range(3):
            peer.request("/log", block2=Block(number, more=False, size=1024))
            await trio.sleep(0.3)


async def states(network: Network, peer: Peer, witness: Witness) -> None:
    async with open_server(witness.router(), transport=network.bind(SERVER)) as server:
        peer.request("/clock", token=b"1", observe=0)
        peer.request("/door", token=b"2", observe=0)
        await trio.sleep(0.7)
        server.notify("/door")
        await trio.sleep(0.3)
        peer.request("/clock", token=b"1", observe=1)
        with trio.move_on_after(1):
            await server.drain()


#: What is called, and a scenario for it.
SCENARIOS: list[tuple[str, Scenario]] = [
    ("open_server", a_block),
    ("serve", a_nursery),
    ("Server.drain", a_drain),
    ("PendingRequest.ended", a_wait_for_the_end),
    ("Request.wait_abandoned", a_wait_for_being_abandoned),
    ("RequestBody.__anext__", a_body_in_blocks),
    ("RequestBody.read", a_body_in_blocks),
    ("Server.drain", states),
]


def test_no_public_call_is_missing() -> None:
    """Whatever can be awaited is cancelled at every step, here or in the files named."""
    tables = (SCENARIOS, CLIENT, CLIENT_LIFETIMES, TRANSPORT, WORKERS)
    assert {name for table in tables for name, _ in table} == set(public_async_calls())


async def judge(scenario: Scenario, arm: Callable[[trio.CancelScope], None]) -> bool:
    """Run it; True if it was over before the cancellation."""
    witness = Witness()
    async with open_network() as network, open_peer(network) as peer:
        before = trio.lowlevel.current_statistics().tasks_living
        with trio.CancelScope() as scope:
            arm(scope)
            await scenario(network, peer, witness)
            witness.finished = True
        assert trio.lowlevel.current_statistics().tasks_living == before
        assert witness.handlers == 0
        assert all(isinstance(entry.reason, Ended) for entry in witness.entries)
        network.bind(SERVER).close()  # the address was given back
        sent = len(network.trace)
        await trio.sleep(300)
        assert len([s for s in network.trace[sent:] if s.source.host == SERVER]) == 0
    return witness.finished


@pytest.mark.parametrize(
    "scenario", [pytest.param(scenario, id=name) for name, scenario in SCENARIOS]
)
def test_cancelled_at_every_step(scenario: Scenario) -> None:
    cancel_at_every_step(partial(judge, scenario), least=20)


def test_the_server_type_is_what_the_nursery_hands_back() -> None:
    async def main() -> None:
        async with open_network() as network, trio.open_nursery() as nursery:
            server = await nursery.start(partial(serve, Router(), transport=network.bind(SERVER)))
            assert isinstance(server, Server)
            nursery.cancel_scope.cancel()

    trio.run(main)
