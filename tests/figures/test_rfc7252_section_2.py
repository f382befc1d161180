"""RFC 7252 section 2: what messages, requests and responses are."""

from __future__ import annotations

from trio.testing import MockClock

from coapsep import Client, Code, NotFound, Response
from coapsep.testing import ScriptedPeer
from tests.figures.sides import Sensor, ask_while_playing

READING = Response(Code.CONTENT, b"22.5 C")


async def test_figure_2_by_our_server(
    autojump_clock: MockClock, as_client: ScriptedPeer, sensor: Sensor
) -> None:
    """A Confirmable message is acknowledged, whatever becomes of the request in it."""
    sensor.reading, sensor.takes = READING, 3600
    await as_client.play(
        """
        --> CON [MID=0x7d34], GET, /temperature
        <-- ACK [MID=0x7d34]
        """
    )


async def test_figure_2_by_our_client(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """A Confirmable message is acknowledged, and so are its copies."""
    await ask_while_playing(
        client,
        as_server,
        """
        <-- CON [MID=$m], GET, /temperature, T=$t
        --> CON [MID=0x7d34], 2.05 Content, T=$t, "22.5 C"
        <-- ACK [MID=0x7d34]
        --> CON [MID=0x7d34], 2.05 Content, T=$t, "22.5 C"
        <-- ACK [MID=0x7d34]
        """,
    )


async def test_figure_3_by_our_server(
    autojump_clock: MockClock, as_client: ScriptedPeer, sensor: Sensor
) -> None:
    """A Non-confirmable message is not acknowledged."""
    sensor.reading, sensor.takes = READING, 3600
    await as_client.play(
        """
        --> NON [MID=0x01a0], GET, /temperature
        @ 3000
        """
    )


async def test_figure_3_by_our_client(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """A Non-confirmable message is not acknowledged."""
    await ask_while_playing(
        client,
        as_server,
        """
        <-- NON [MID=$m], GET, /temperature, T=$t
        --> NON [MID=0x01a0], 2.05 Content, T=$t, "22.5 C"
        @ 300
        """,
        confirmable=False,
    )


async def test_figure_4_by_our_server(
    autojump_clock: MockClock, as_client: ScriptedPeer, sensor: Sensor
) -> None:
    """Two piggybacked responses: a reading, and an error."""
    sensor.reading = READING
    await as_client.play(
        """
        --> CON [MID=0xbc90], GET, /temperature, T=71
        <-- ACK [MID=0xbc90], 2.05 Content, T=71, "22.5 C"
        """
    )
    sensor.reading = NotFound("Not found")
    await as_client.play(
        """
        --> CON [MID=0xbc91], GET, /temperature, T=72
        <-- ACK [MID=0xbc91], 4.04 Not Found, T=72, "Not found"
        """
    )
    await as_client.expect_nothing()


async def test_figure_4_by_our_client(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """Two piggybacked responses: a reading, and an error."""
    reading = await ask_while_playing(
        client,
        as_server,
        """
        <-- CON [MID=$a], GET, /temperature, T=$t
        --> ACK [MID=$a], 2.05 Content, T=$t, "22.5 C"
        """,
    )
    error = await ask_while_playing(
        client,
        as_server,
        """
        <-- CON [MID=$b], GET, /temperature, T=$u
        --> ACK [MID=$b], 4.04 Not Found, T=$u, "Not found"
        """,
    )
    assert reading.response is not None
    assert (reading.response.code, reading.response.payload) == (Code.CONTENT, b"22.5 C")
    assert error.response is not None
    assert (error.response.code, error.response.payload) == (Code.NOT_FOUND, b"Not found")
    await as_server.expect_nothing()


async def test_figure_5_by_our_server(
    autojump_clock: MockClock, as_client: ScriptedPeer, sensor: Sensor
) -> None:
    """A separate response, when time has passed."""
    sensor.reading, sensor.takes = READING, 60
    await as_client.play(
        """
        --> CON [MID=0x7a10], GET, /temperature, T=73
        @ 0..1
        <-- ACK [MID=0x7a10]
        @ 60..61
        <-- CON [MID=$s], 2.05 Content, T=73, "22.5 C"
        --> ACK [MID=$s]
        """
    )
    await as_client.expect_nothing()


async def test_figure_5_by_our_client(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """A separate response, when time has passed."""
    outcome = await ask_while_playing(
        client,
        as_server,
        """
        <-- CON [MID=$m], GET, /temperature, T=$t
        --> ACK [MID=$m]
        # Time passes, and the request is not sent again.
        @ 3600
        --> CON [MID=0x23bb], 2.05 Content, T=$t, "22.5 C"
        <-- ACK [MID=0x23bb]
        """,
    )
    assert outcome.response is not None
    assert outcome.response.payload == b"22.5 C"
    await as_server.expect_nothing()


async def test_figure_6_by_our_server(
    autojump_clock: MockClock, as_client: ScriptedPeer, sensor: Sensor
) -> None:
    """Request and response in Non-confirmable messages."""
    sensor.reading = READING
    await as_client.play(
        """
        --> NON [MID=0x7a11], GET, /temperature, T=74
        <-- NON [MID=*], 2.05 Content, T=74, "22.5 C"
        """
    )
    await as_client.expect_nothing()


async def test_figure_6_by_our_client(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """Request and response in Non-confirmable messages."""
    outcome = await ask_while_playing(
        client,
        as_server,
        """
        <-- NON [MID=*], GET, /temperature, T=$t
        --> NON [MID=0x23bc], 2.05 Content, T=$t, "22.5 C"
        """,
        confirmable=False,
    )
    assert outcome.response is not None
    assert outcome.response.payload == b"22.5 C"
    await as_server.expect_nothing()
