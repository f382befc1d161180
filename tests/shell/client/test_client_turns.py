"""Many requests at a time: whose turn it is, and what one does to the others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from coapsep import (
    Address,
    Client,
    ClientResponse,
    RequestTimedOut,
    Server,
    Tuning,
    open_client,
)
from coapsep.testing import Network
from tests.shell.client.asking import HELLO, PEER, SLOW, ask
from tests.shell.client.responder import CLIENT, Responder, open_responder


async def test_one_client_asks_many_peers_over_one_socket(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    ends: list[object] = []
    hosts = [f"10.0.1.{number}" for number in range(50)]

    async def serve(host: str, *, task_status: trio.TaskStatus[None]) -> None:
        async with open_responder(network, host) as responder:
            task_status.started()
            responder.answer(await responder.expect_request(), host.encode())
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        for host in hosts:
            await nursery.start(serve, host)
        for host in hosts:
            nursery.start_soon(ask, ends, partial(client.get, f"coap://{host}/"))
    assert {str(end) for end in ends} == {
        f"2.05 Content from {h}:5683, {len(h)} bytes" for h in hosts
    }
    assert all(e.payload.decode() == e.peer.host for e in ends if isinstance(e, ClientResponse))
    assert {sent.source for sent in network.trace if sent.destination.port == 5683} >= {
        Address(CLIENT, 5683)
    }


@pytest.mark.parametrize("nstart", [1, 4])
async def test_a_hundred_tasks_ask_one_peer_in_turn(
    autojump_clock: MockClock, network: Network, nstart: int
) -> None:
    """NSTART at a time, first come, first served (RFC 7252 section 4.7)."""
    ends: list[object] = []
    order: list[str] = []
    most = outstanding = 0
    tuning = Tuning(nstart=nstart)
    async with (
        open_client(transport=network.bind(CLIENT), tuning=tuning) as client,
        open_responder(network) as responder,
        trio.open_nursery() as nursery,
    ):

        async def respond() -> None:
            nonlocal most, outstanding
            while True:
                request = await responder.expect_request()
                outstanding += 1
                most = max(most, outstanding)
                order.append(request.options.uri_query[0])
                nursery.start_soon(later, partial(responder.answer, request, request.token))

        async def later(answer: Callable[[], object]) -> None:
            nonlocal outstanding
            await trio.sleep(0.1)
            outstanding -= 1
            answer()

        nursery.start_soon(respond)
        async with trio.open_nursery() as askers:
            for number in range(100):
                askers.start_soon(ask, ends, partial(client.get, PEER, query=[f"{number}"]))
                await trio.sleep(0.0001)  # Trio starts tasks of one instant in any order
        nursery.cancel_scope.cancel()
    assert order == [f"{number}" for number in range(100)]
    assert most == nstart
    assert len(ends) == 100
    assert all(isinstance(end, ClientResponse) for end in ends)
    assert client.statistics().retransmissions == 0


async def test_an_acknowledged_request_holds_up_no_other(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    """A hundred that take five seconds each take five seconds, not five hundred."""
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(client.get, SLOW)
    # Each waits for the empty ACK of the one before, a tenth of a second each.
    assert trio.current_time() < 5 + 100 * 0.13


async def test_a_silent_peer_does_not_hold_up_the_others(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.get, "coap://10.9.9.9/"))
        await trio.sleep(1)
        assert (await client.get(HELLO)).text == "hello"
        assert trio.current_time() == pytest.approx(1.02)
    assert isinstance(ends[0], RequestTimedOut)


async def test_one_failed_request_fails_only_itself(
    autojump_clock: MockClock, network: Network, client: Client, responder: Responder
) -> None:
    """Nobody acknowledges the first one; those behind it go on."""
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.get, PEER, "first"))
        await trio.sleep(0.001)
        nursery.start_soon(ask, ends, partial(client.get, PEER, "second"))
        for _ in range(5):
            assert (await responder.expect_request()).options.uri_path == ("first",)
        request = await responder.expect_request()
        assert request.options.uri_path == ("second",)
        responder.answer(request, b"yes")
    assert [type(end) for end in ends] == [RequestTimedOut, ClientResponse]
