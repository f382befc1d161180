"""Both sides of a figure: one of them is ours, and the other is played.

A datagram needs 0.01 s in either direction. Every test takes ``autojump_clock`` itself:
pytest-trio looks for a clock among the arguments of the test, not of its fixtures.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator

import pytest
from trio.testing import MockClock

from coapsep import Client, Router, Server, open_client, open_server
from coapsep.testing import Network, ScriptedPeer, open_network, open_scripted_peer
from tests.figures.sides import CLIENT, SERVER, Sensor


@pytest.fixture
async def network(autojump_clock: MockClock) -> AsyncGenerator[Network, None]:
    async with open_network() as network:
        yield network


@pytest.fixture
def sensor() -> Sensor:
    """What our server has at /temperature, to GET, and at /options, to PUT."""
    return Sensor()


@pytest.fixture
async def server(network: Network, sensor: Sensor) -> AsyncGenerator[Server, None]:
    """Ours."""
    router = Router()
    router.get("/temperature")(sensor.answer)
    router.put("/options")(sensor.answer)
    async with open_server(
        router, transport=network.bind(SERVER.host, SERVER.port), rng=random.Random(1)
    ) as server:
        yield server


@pytest.fixture
async def client(network: Network) -> AsyncGenerator[Client, None]:
    """Ours."""
    async with open_client(
        transport=network.bind(CLIENT.host, CLIENT.port), rng=random.Random(1)
    ) as client:
        yield client


@pytest.fixture
async def as_client(network: Network, server: Server) -> AsyncGenerator[ScriptedPeer, None]:
    """Played, and talks to our server."""
    async with open_scripted_peer(network, CLIENT.host, CLIENT.port, remote=SERVER) as peer:
        yield peer


@pytest.fixture
async def as_server(network: Network) -> AsyncGenerator[ScriptedPeer, None]:
    """Played, and talks to our client."""
    async with open_scripted_peer(network, SERVER.host, SERVER.port, remote=CLIENT) as peer:
        yield peer
