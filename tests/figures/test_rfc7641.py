"""RFC 7641: what its examples come to with a side that does not observe."""

from __future__ import annotations

from trio.testing import MockClock

from coapsep import Client, Code, Options, Response
from coapsep.testing import ScriptedPeer
from tests.figures.sides import Sensor, ask_while_playing

READING = Response(Code.CONTENT, b"18.5 Cel", max_age=15)


async def test_figure_3_by_our_server(
    autojump_clock: MockClock, as_client: ScriptedPeer, sensor: Sensor
) -> None:
    """Who asks to be registered gets the response to a plain GET (section 4.1)."""
    sensor.reading = READING
    await as_client.play(
        """
        --> CON [MID=0x1633], GET, /temperature, T=4a, Observe=0
        <-- ACK [MID=0x1633], 2.05, T=4a, Max-Age=15, "18.5 Cel"
        """
    )
    await as_client.expect_nothing()


async def test_a_separate_response_by_our_server(
    autojump_clock: MockClock, as_client: ScriptedPeer, sensor: Sensor
) -> None:
    """The same if the response is not there at once; no second one follows it."""
    sensor.reading, sensor.takes = READING, 5
    await as_client.play(
        """
        --> CON [MID=0x1633], GET, /temperature, T=4a, Observe=0
        <-- ACK [MID=0x1633]
        <-- CON [MID=$s], 2.05, T=4a, Max-Age=15, "18.5 Cel"
        --> ACK [MID=$s]
        """
    )
    await as_client.expect_nothing()


async def test_figure_3_by_our_client(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """It gets its response. What comes after that is unexpected: a NON is ignored, and a CON
    rejected, so that the server forgets the client (section 3.6)."""
    outcome = await ask_while_playing(
        client,
        as_server,
        """
        <-- CON [MID=$m], GET, /temperature, T=$t, Observe=0
        --> ACK [MID=$m], 2.05, T=$t, Observe=9, Max-Age=15, "18.5 Cel"
        --> NON [MID=0x7b50], 2.05, T=$t, Observe=16, Max-Age=15, "19.2 Cel"
        --> CON [MID=0x7b51], 2.05, T=$t, Observe=17, Max-Age=15, "19.2 Cel"
        <-- RST [MID=0x7b51]
        """,
        options=Options.build(observe=0),
    )
    assert outcome.response is not None
    assert outcome.response.payload == b"18.5 Cel"
    await as_server.expect_nothing()
