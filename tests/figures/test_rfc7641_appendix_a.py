"""RFC 7641 appendix A.1, figures 3 to 5: a client and a server, each of them once ours.

The figures after those are about proxies. A client of ours registers again with the token that
it has (section 3.3.1), where the one of the figure has crashed and takes another one.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from coapsep import (
    Client,
    Code,
    Options,
    RequestTimedOut,
    ResponseError,
    Router,
    Server,
    Tuning,
    UnsuccessfulResponse,
    open_server,
)
from coapsep import Response as Reading
from coapsep.testing import Network, ScriptedPeer
from tests.figures.sides import SERVER, Sensor


def reading(text: str, etag: bytes | None = None) -> Reading:
    options = Options.build(etags=() if etag is None else [etag])
    return Reading(Code.CONTENT, text.encode(), max_age=15, options=options)


@pytest.fixture
async def server(network: Network, sensor: Sensor) -> AsyncGenerator[Server, None]:
    """Ours; it lets itself be observed, and its notifications are NONs, but for the first."""
    router = Router()
    router.get("/temperature", observable=True)(sensor.answer)
    async with open_server(
        router,
        transport=network.bind(SERVER.host, SERVER.port),
        tuning=Tuning(confirm_every=100),
        rng=random.Random(1),
    ) as server:
        yield server


class Watcher:
    """Our client observes /temperature, while the other side plays."""

    def __init__(self) -> None:
        self.seen: list[tuple[Code, bytes]] = []
        self.failure: Exception | None = None
        self.leave = trio.CancelScope()

    async def watch(self, client: Client, options: Options) -> None:
        with self.leave:
            try:
                async with client.observe(
                    SERVER, "/temperature", options=options, buffer=8
                ) as states:
                    async for response in states:
                        self.seen.append((response.code, response.payload))
            except (UnsuccessfulResponse, RequestTimedOut) as exc:
                self.failure = exc


async def watch_while_playing(
    client: Client, server: ScriptedPeer, *scripts: str, options: Options | None = None
) -> Watcher:
    """Let the server play a script; then the client leaves, and the next one begins."""
    watcher = Watcher()
    async with trio.open_nursery() as nursery:

        async def play() -> None:
            for script in scripts:
                await server.play(script)
                await trio.sleep(0.1)  # the last line arrives
                watcher.leave.cancel()

        nursery.start_soon(play)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(watcher.watch, client, options or Options())
    return watcher


# -- our client ---------------------------------------------------------------------------------

FIGURE_3 = """
    <-- CON [MID=$m], GET, /temperature, T=$t, Observe=0
    --> ACK [MID=$m], 2.05, T=$t, Observe=9, Max-Age=15, "18.5 Cel"
    @ 13
    --> NON [MID=0x7b50], 2.05, T=$t, Observe=16, Max-Age=15, "19.2 Cel"
    """

#: Max-Age is over at 28, and then the client waits for 5 to 15 seconds (section 3.3.1).
FIGURE_4 = (
    FIGURE_3
    + """
    @ 22
    --X NON [MID=0x7b51], 2.05, T=$t, Observe=25, Max-Age=15, "19.7 Cel"
    @ 33..43.1
    <-- CON [MID=$n], GET, /temperature, T=$t, Observe=0
    --> ACK [MID=$n], 2.05, T=$t, Observe=44, Max-Age=15, ETag=0x78797a7a79, "19.7 Cel"
    """
)

LEAVES = """
    <-- CON [MID=*], GET, /temperature, T=$t, Observe=1
    """


async def test_figure_3(autojump_clock: MockClock, client: Client, as_server: ScriptedPeer) -> None:
    """It registers, and receives the current state and a new one. Then it leaves (3.6)."""
    watcher = await watch_while_playing(client, as_server, FIGURE_3, LEAVES)
    assert [payload for _, payload in watcher.seen] == [b"18.5 Cel", b"19.2 Cel"]


async def test_figure_4(autojump_clock: MockClock, client: Client, as_server: ScriptedPeer) -> None:
    """A notification is lost; the client registers again after Max-Age."""
    watcher = await watch_while_playing(client, as_server, FIGURE_4, LEAVES)
    assert [payload for _, payload in watcher.seen] == [b"18.5 Cel", b"19.2 Cel", b"19.7 Cel"]


async def test_figure_4_in_the_end_nobody_is_there(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """The server has crashed: the registration is repeated as any CON, and then it is over."""
    lines = FIGURE_3 + "    <-- CON [MID=$n], GET, /temperature, T=$t, Observe=0\n" * 5 + "@ 140"
    watcher = await watch_while_playing(client, as_server, lines)
    assert isinstance(watcher.failure, RequestTimedOut)
    assert len(watcher.seen) == 2
    await as_server.expect_nothing()


async def test_figure_5(autojump_clock: MockClock, client: Client, as_server: ScriptedPeer) -> None:
    """It names what it has stored, and the server says when that is valid again (3.3.2)."""
    watcher = await watch_while_playing(
        client,
        as_server,
        """
        <-- CON [MID=$m], GET, /temperature, T=$t, Observe=0, ETag=0x78797a7a79
        --> ACK [MID=$m], 2.05, T=$t, Observe=63, Max-Age=15, "20.0 Cel"
        @ 6
        --> NON [MID=0x7b53], 2.03, T=$t, Observe=70, Max-Age=15, ETag=0x78797a7a79
        """,
        "<-- CON [MID=*], GET, /temperature, T=$t, Observe=1, ETag=0x78797a7a79",
        options=Options.build(etags=[b"xyzzy"]),
    )
    assert watcher.seen == [(Code.CONTENT, b"20.0 Cel"), (Code.VALID, b"")]


async def test_out_of_order(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """What is overtaken by a newer state is acknowledged, and not shown (section 3.4)."""
    watcher = await watch_while_playing(
        client,
        as_server,
        FIGURE_3
        + """
        --> CON [MID=0x7b52], 2.05, T=$t, Observe=18, Max-Age=15, "19.9 Cel"
        <-- ACK [MID=0x7b52]
        --> CON [MID=0x7b51], 2.05, T=$t, Observe=17, Max-Age=15, "19.7 Cel"
        <-- ACK [MID=0x7b51]
        """,
        LEAVES,
    )
    assert [payload for _, payload in watcher.seen] == [b"18.5 Cel", b"19.2 Cel", b"19.9 Cel"]


async def test_the_resource_is_gone(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """An error is the last one, and there is nothing to leave (section 3.2)."""
    watcher = await watch_while_playing(
        client,
        as_server,
        FIGURE_3
        + """
        --> CON [MID=0x7b51], 4.04, T=$t
        <-- ACK [MID=0x7b51]
        --> CON [MID=0x7b52], 2.05, T=$t, Observe=30, "back"
        <-- RST [MID=0x7b52]
        """,
    )
    assert isinstance(watcher.failure, UnsuccessfulResponse)
    assert watcher.failure.response.code is Code.NOT_FOUND
    assert len(watcher.seen) == 2
    await as_server.expect_nothing()


async def test_after_leaving_a_notification_draws_an_rst(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """Also a NON, as long as the client knows that it was an observation (section 3.6)."""
    await watch_while_playing(
        client,
        as_server,
        FIGURE_3,
        """
        <-- CON [MID=$d], GET, /temperature, T=$t, Observe=1
        --> NON [MID=0x7b51], 2.05, T=$t, Observe=30, "19.7 Cel"
        <-- RST [MID=0x7b51]
        --> ACK [MID=$d], 2.05, T=$t, "19.7 Cel"
        --> CON [MID=0x7b52], 2.05, T=$t, Observe=31, "19.8 Cel"
        <-- RST [MID=0x7b52]
        """,
    )
    await as_server.expect_nothing()


# -- our server ---------------------------------------------------------------------------------


async def test_figure_3_by_our_server(
    autojump_clock: MockClock, as_client: ScriptedPeer, server: Server, sensor: Sensor
) -> None:
    """The numbers are its own; the second one is the larger one (section 4.4)."""
    sensor.reading = reading("18.5 Cel")
    as_client.send("CON [MID=0x1633], GET, /temperature, T=4a, Observe=0")
    first = await as_client.expect(
        'ACK [MID=0x1633], 2.05, T=4a, Observe=*, Max-Age=15, "18.5 Cel"'
    )
    await trio.sleep(6)
    sensor.reading = reading("19.2 Cel")
    server.notify("/temperature")
    # The first one to a client that has acknowledged nothing yet is a CON.
    second = await as_client.expect('CON [MID=$m], 2.05, T=4a, Observe=*, Max-Age=15, "19.2 Cel"')
    as_client.send("ACK [MID=$m]")
    assert first.options.observe is not None
    assert second.options.observe == first.options.observe + 1
    await trio.sleep(4)
    sensor.reading = reading("19.7 Cel")
    server.notify("/temperature")
    await as_client.expect('NON [MID=*], 2.05, T=4a, Observe=*, Max-Age=15, "19.7 Cel"')
    await as_client.expect_nothing()


async def test_figure_4_by_our_server(
    autojump_clock: MockClock,
    as_client: ScriptedPeer,
    network: Network,
    server: Server,
    sensor: Sensor,
) -> None:
    """The notification is lost, and the client registers again, with another token."""
    sensor.reading = reading("18.5 Cel")
    await as_client.play(
        """
        --> CON [MID=0x1633], GET, /temperature, T=4a, Observe=0
        <-- ACK [MID=0x1633], 2.05, T=4a, Observe=*, Max-Age=15, "18.5 Cel"
        """
    )
    sensor.reading = reading("19.2 Cel")
    server.notify("/temperature")
    await as_client.play(
        """
        <-- CON [MID=$m], 2.05, T=4a, Observe=*, Max-Age=15, "19.2 Cel"
        --> ACK [MID=$m]
        @ 5
        """
    )
    sensor.reading = reading("19.7 Cel", b"xyzzy")
    network.drop(source=SERVER, nth=1)
    server.notify("/temperature")
    await as_client.play(
        """
        @ 16
        --> CON [MID=0x1634], GET, /temperature, T=b2, Observe=0
        <-- ACK [MID=0x1634], 2.05, T=b2, Observe=*, Max-Age=15, ETag=0x78797a7a79, "19.7 Cel"
        """
    )
    # The client knows the old token no more: its RST takes that off the list (section 3.6).
    assert server.statistics().observers == 2
    sensor.reading = reading("20.0 Cel")
    server.notify("/temperature")
    await as_client.play(
        """
        <-- NON [MID=$old], 2.05, T=4a, Observe=*, Max-Age=15, "20.0 Cel"
        <-- NON [MID=$new], 2.05, T=b2, Observe=*, Max-Age=15, "20.0 Cel"
        --> RST [MID=$old]
        @ 5
        """
    )
    assert server.statistics().observers == 1


async def test_deregistration_by_our_server(
    autojump_clock: MockClock, as_client: ScriptedPeer, server: Server, sensor: Sensor
) -> None:
    """Observe=1 draws a response without the option, and nothing after it (section 3.6)."""
    sensor.reading = reading("18.5 Cel")
    await as_client.play(
        """
        --> CON [MID=0x1633], GET, /temperature, T=4a, Observe=0
        <-- ACK [MID=0x1633], 2.05, T=4a, Observe=*, Max-Age=15, "18.5 Cel"
        --> CON [MID=0x1634], GET, /temperature, T=4a, Observe=1
        <-- ACK [MID=0x1634], 2.05, T=4a, Max-Age=15, "18.5 Cel"
        """
    )
    server.notify("/temperature")
    await as_client.expect_nothing()


async def test_the_resource_of_our_server_is_gone(
    autojump_clock: MockClock, as_client: ScriptedPeer, server: Server, sensor: Sensor
) -> None:
    """The error is a CON, has no Observe option, and is the last one (section 4.2)."""
    sensor.reading = reading("18.5 Cel")
    await as_client.play(
        """
        --> CON [MID=0x1633], GET, /temperature, T=4a, Observe=0
        <-- ACK [MID=0x1633], 2.05, T=4a, Observe=*, Max-Age=15, "18.5 Cel"
        """
    )
    sensor.reading = ResponseError(Code.NOT_FOUND)
    server.notify("/temperature")
    await as_client.play(
        """
        <-- CON [MID=$m], 4.04, T=4a
        --> ACK [MID=$m]
        """
    )
    server.notify("/temperature")
    await as_client.expect_nothing()
