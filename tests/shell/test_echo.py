"""A server that is strict about forged addresses, and clients that do and do not know Echo."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator

import pytest
from trio.testing import MockClock

from coapsep import (
    Address,
    Client,
    Code,
    Limits,
    Request,
    Router,
    Server,
    Type,
    open_client,
    open_server,
)
from coapsep.testing import Network
from tests.shell.peer import SERVER, open_peer

PEER = Address(SERVER, 5683)


class Counted:
    """How often each handler ran."""

    def __init__(self) -> None:
        self.runs: dict[str, int] = {}

    def count(self, request: Request) -> None:
        path = "/".join(request.path)
        self.runs[path] = self.runs.get(path, 0) + 1


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
async def server(network: Network, counted: Counted) -> AsyncGenerator[Server, None]:
    router = Router()

    @router.get("/large")
    def large(request: Request) -> bytes:
        counted.count(request)
        return bytes(3000)

    @router.get("/small")
    def small(request: Request) -> str:
        return "small"

    @router.post("/job")
    def job(request: Request) -> bytes:
        counted.count(request)
        return bytes(500)

    async with open_server(
        router, transport=network.bind(SERVER), limits=Limits(amplification="strict")
    ) as server:
        yield server


@pytest.fixture
async def client(network: Network) -> AsyncGenerator[Client, None]:
    async with open_client(transport=network.bind("10.0.0.2"), rng=random.Random(1)) as client:
        yield client


async def test_a_client_of_ours_notices_nothing(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    assert (await client.get(PEER, "/large")).payload == bytes(3000)
    assert (await client.get(PEER, "/large")).payload == bytes(3000)
    assert server.statistics().echo_challenges == 1  # once is enough


async def test_small_answers_come_at_once(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    assert (await client.get(PEER, "/small")).text == "small"
    assert client.statistics().datagrams_sent == 1


async def test_what_was_executed_is_not_executed_again(
    autojump_clock: MockClock, server: Server, client: Client, counted: Counted
) -> None:
    assert (await client.post(PEER, "/job")).payload == bytes(500)
    assert counted.runs == {"job": 1}
    assert server.statistics().echo_challenges == 0


async def test_a_client_that_does_not_know_echo(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    async with open_peer(network) as peer:
        peer.request("/small")
        await peer.expect(Type.ACK, Code.CONTENT, payload=b"small")
        peer.request("/large")
        refused = await peer.expect(Type.ACK, Code.UNAUTHORIZED)
        assert refused.options.echo is not None
