"""A virtual network, a server on it, and a peer that asks it, all in virtual time.

Every test takes ``autojump_clock`` itself: pytest-trio looks for a clock among the
arguments of the test, not of its fixtures.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncGenerator

import pytest
import trio.testing

from coapsep import Router, Server, UndeliveredResponse, open_server
from coapsep.testing import Network, open_network
from tests.shell.peer import SERVER, Peer, open_peer


@pytest.fixture
async def network(autojump_clock: trio.testing.MockClock) -> AsyncGenerator[Network, None]:
    async with open_network(seed=1) as network:
        yield network


@pytest.fixture
def router() -> Router:
    return Router()


@pytest.fixture
def undelivered() -> list[UndeliveredResponse]:
    """What the server said of responses that did not arrive."""
    return []


@pytest.fixture
async def server(
    network: Network, router: Router, undelivered: list[UndeliveredResponse]
) -> AsyncGenerator[Server, None]:
    async with open_server(
        router,
        transport=network.bind(SERVER),
        rng=random.Random(1),
        on_undelivered=undelivered.append,
    ) as server:
        yield server


@pytest.fixture
async def peer(network: Network) -> AsyncGenerator[Peer, None]:
    async with open_peer(network) as peer:
        yield peer


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log, at the level where handlers' failures show."""
    caplog.set_level(logging.INFO)
    return caplog
