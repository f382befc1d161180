"""RFC 7252 appendix A, figures 16 to 23: the server is played, the client is ours."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from coapsep import Address, Client, Code, RequestTimedOut, open_client
from coapsep.testing import Network, ScriptedPeer, open_scripted_peer
from tests.figures.sides import CLIENT, SERVER, Outcome, ask_while_playing


def assert_answered(outcome: Outcome) -> None:
    assert outcome.response is not None
    assert (outcome.response.code, outcome.response.payload) == (Code.CONTENT, b"22.3 C")


async def test_figures_16_and_17(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """A piggybacked response. Our client always has a token (section 5.3.1 asks for one)."""
    outcome = await ask_while_playing(
        client,
        as_server,
        """
        <-- CON [MID=$m], GET, /temperature, T=$t
        --> ACK [MID=$m], 2.05 Content, T=$t, "22.3 C"
        """,
    )
    assert_answered(outcome)
    await as_server.expect_nothing()


async def test_figure_18(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """The request is lost. After ACK_TIMEOUT it is sent again, the same in every byte."""
    outcome = await ask_while_playing(
        client,
        as_server,
        """
        X-- CON [MID=$m], GET, /temperature, T=$t
        @ 2..3.1
        <-- CON [MID=$m], GET, /temperature, T=$t
        --> ACK [MID=$m], 2.05 Content, T=$t, "22.3 C"
        """,
    )
    assert_answered(outcome)
    await as_server.expect_nothing()


async def test_figure_18_nobody_answers(
    autojump_clock: MockClock, network: Network, client: Client, as_server: ScriptedPeer
) -> None:
    """The timeout doubles each time, and then it is over (section 4.2)."""
    outcome = await ask_while_playing(
        client, as_server, "<-- CON [MID=$m], GET, /temperature, T=$t\n" * 5
    )
    assert isinstance(outcome.failure, RequestTimedOut)
    times = [datagram.time for datagram in network.trace] + [trio.current_time()]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert 2 <= waits[0] <= 3
    assert waits == pytest.approx([waits[0] * 2**n for n in range(5)])
    await as_server.expect_nothing()


async def test_figure_19(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """The response is lost, and the request sent again."""
    outcome = await ask_while_playing(
        client,
        as_server,
        """
        <-- CON [MID=$m], GET, /temperature, T=$t
        --X ACK [MID=$m], 2.05 Content, T=$t, "22.3 C"
        @ 2..3.1
        <-- CON [MID=$m], GET, /temperature, T=$t
        --> ACK [MID=$m], 2.05 Content, T=$t, "22.3 C"
        """,
    )
    assert_answered(outcome)
    await as_server.expect_nothing()


async def test_figure_20(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """A separate response, which the client acknowledges."""
    outcome = await ask_while_playing(
        client,
        as_server,
        """
        <-- CON [MID=$m], GET, /temperature, T=$t
        --> ACK [MID=$m]
        --> CON [MID=0xad7b], 2.05 Content, T=$t, "22.3 C"
        <-- ACK [MID=0xad7b]
        """,
    )
    assert_answered(outcome)
    await as_server.expect_nothing()


async def test_figure_20_in_another_order(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """The ACK need not arrive before the separate response, as the text to the figure says."""
    outcome = await ask_while_playing(
        client,
        as_server,
        """
        <-- CON [MID=$m], GET, /temperature, T=$t
        --> CON [MID=0xad7b], 2.05 Content, T=$t, "22.3 C"
        --> ACK [MID=$m]
        <-- ACK [MID=0xad7b]
        """,
    )
    assert_answered(outcome)
    await as_server.expect_nothing()


async def test_figure_20_both_acks_are_lost(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """Whoever misses an ACK sends again, and the copy is acknowledged once more."""
    outcome = await ask_while_playing(
        client,
        as_server,
        """
        <-- CON [MID=$m], GET, /temperature, T=$t
        --X ACK [MID=$m]
        @ 2..3.1
        <-- CON [MID=$m], GET, /temperature, T=$t
        --> ACK [MID=$m]
        @ 60
        --> CON [MID=0xad7b], 2.05 Content, T=$t, "22.3 C"
        X-- ACK [MID=0xad7b]
        @ 62.5
        --> CON [MID=0xad7b], 2.05 Content, T=$t, "22.3 C"
        <-- ACK [MID=0xad7b]
        """,
    )
    assert_answered(outcome)
    await as_server.expect_nothing()


async def test_figure_21(
    autojump_clock: MockClock, network: Network, as_server: ScriptedPeer
) -> None:
    """The client crashes: it ignores the ACK, and rejects the response that it cannot place."""
    async with (
        open_client(transport=network.bind(CLIENT.host, CLIENT.port)) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(client.get, SERVER, "/temperature")
        await as_server.expect("CON [MID=$m], GET, /temperature, T=$t")
        nursery.cancel_scope.cancel()  # CRASH
    async with open_client(transport=network.bind(CLIENT.host, CLIENT.port)):
        await as_server.play(
            """
            --> ACK [MID=$m]
            --> CON [MID=0xad7c], 2.05 Content, T=$t, "22.3 C"
            <-- RST [MID=0xad7c]
            """
        )
        await as_server.expect_nothing()


async def test_figure_22(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """Request and response are Non-confirmable."""
    outcome = await ask_while_playing(
        client,
        as_server,
        """
        <-- NON [MID=*], GET, /temperature, T=$t
        --> NON [MID=0xad7d], 2.05 Content, T=$t, "22.3 C"
        """,
        confirmable=False,
    )
    assert_answered(outcome)
    await as_server.expect_nothing()


async def test_figure_23(autojump_clock: MockClock, network: Network) -> None:
    """A group is asked. B's response is lost, and C has no such resource."""
    here = Address("2001:db8::2", 40000)
    async with (
        open_client(transport=network.bind(here.host, here.port), rng=random.Random(1)) as client,
        open_scripted_peer(network, "2001:db8::a", remote=here) as a,
        open_scripted_peer(network, "2001:db8::b", remote=here) as b,
        open_scripted_peer(network, "2001:db8::c", remote=here) as c,
    ):
        for member in (a, b, c):
            member.transport.join("ff02::1")
        async with client.multicast("coap://[ff02::1]/temperature", seconds=5) as responses:
            for member in (a, b, c):
                await member.expect("NON [MID=*], GET, /temperature, T=$t")
            a.send('NON [MID=0x60b1], 2.05, T=$t, "22.3 C"')
            await b.play('--X NON [MID=0x01a0], 2.05, T=$t, "20.9 C"')
            c.send("NON [MID=0x952a], 4.04, T=$t")
            answers = [(one.peer, one.code, one.payload) async for one in responses]
        assert answers == [
            (a.address, Code.CONTENT, b"22.3 C"),
            (c.address, Code.NOT_FOUND, b""),
        ]
        for member in (a, b, c):
            await member.expect_nothing()
