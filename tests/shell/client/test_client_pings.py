"""Pings: an Empty CON that RST answers (RFC 7252 section 4.3)."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from coapsep import (
    Client,
    RequestTimedOut,
    Server,
    Tuning,
    open_client,
)
from coapsep.testing import Conditions, Network
from tests.shell.client.asking import HELLO, PEER, ask
from tests.shell.client.responder import CLIENT, Responder
from tests.shell.peer import SERVER


async def test_a_ping_tells_the_round_trip(
    autojump_clock: MockClock, network: Network, server: Server, client: Client
) -> None:
    network.link(SERVER, CLIENT, Conditions(delay=1.5))
    assert await client.ping(PEER) == pytest.approx(1.51)
    assert await client.ping(f"coap://{SERVER}") == pytest.approx(1.51)
    assert [sent.data[:2] for sent in network.trace] == [b"\x40\0", b"\x70\0"] * 2


async def test_a_ping_that_nobody_answers(autojump_clock: MockClock, client: Client) -> None:
    with pytest.raises(RequestTimedOut):
        await client.ping(PEER)


async def test_a_ping_waits_for_its_turn(
    autojump_clock: MockClock, network: Network, client: Client, responder: Responder
) -> None:
    seconds: list[float] = []

    async def ping() -> None:
        seconds.append(await client.ping(PEER))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.get, HELLO)
        request = await responder.expect_request()
        nursery.start_soon(ping)
        await trio.sleep(1)
        responder.answer(request)
        responder.reset(await responder.expect_ping())
    assert seconds[0] == pytest.approx(1.03)


async def test_two_pings_each_have_their_own_pong(
    autojump_clock: MockClock, network: Network, responder: Responder
) -> None:
    ends: list[object] = []
    async with (
        open_client(transport=network.bind(CLIENT), tuning=Tuning(nstart=2)) as client,
        trio.open_nursery() as nursery,
    ):
        for _ in range(2):
            nursery.start_soon(ask, ends, partial(client.ping, PEER))
        first, second = await responder.expect_ping(), await responder.expect_ping()
        responder.reset(second)
        await trio.sleep(1)
        assert len(ends) == 1
        responder.reset(first)
    assert [type(end) for end in ends] == [float, float]
