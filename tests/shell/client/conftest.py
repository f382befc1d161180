"""A client on the virtual network, and what it talks to: a real server, or a Responder."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator

import pytest
import trio
from trio.testing import MockClock

from coapsep import Client, Request, Router, open_client
from coapsep.testing import Network
from tests.shell.client.names import Names, known_names
from tests.shell.client.responder import CLIENT, Responder, open_responder


@pytest.fixture
async def client(network: Network) -> AsyncGenerator[Client, None]:
    async with open_client(transport=network.bind(CLIENT), rng=random.Random(1)) as client:
        yield client


@pytest.fixture
async def responder(network: Network) -> AsyncGenerator[Responder, None]:
    """In the place of the server."""
    async with open_responder(network) as responder:
        yield responder


@pytest.fixture
def router() -> Router:
    """What most tests ask for."""
    router = Router()

    @router.get("/hello", rt="greeting")
    def hello(request: Request) -> str:
        return "hello"

    @router.get("/slow")
    async def slow(request: Request) -> str:
        await trio.sleep(float(request.argument("s") or 5))
        return "slow"

    return router


@pytest.fixture
async def names(autojump_clock: MockClock) -> AsyncGenerator[Names, None]:
    async with known_names() as names:
        yield names
