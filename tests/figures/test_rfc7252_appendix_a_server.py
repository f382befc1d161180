"""RFC 7252 appendix A, figures 16 to 22: the client is played, the server is ours."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from coapsep import Code, Response, Server
from coapsep.testing import ScriptedPeer
from tests.figures.sides import Sensor


@pytest.fixture
def sensor() -> Sensor:
    return Sensor(Response(Code.CONTENT, b"22.3 C"))


async def test_figure_16(autojump_clock: MockClock, as_client: ScriptedPeer) -> None:
    """A piggybacked response; the token is empty."""
    await as_client.play(
        """
        --> CON [MID=0x7d34], GET, /temperature
        <-- ACK [MID=0x7d34], 2.05 Content, "22.3 C"
        """
    )
    await as_client.expect_nothing()


async def test_figure_17(autojump_clock: MockClock, as_client: ScriptedPeer) -> None:
    """A piggybacked response, with a token."""
    await as_client.play(
        """
        --> CON [MID=0x7d35], GET, /temperature, T=20
        <-- ACK [MID=0x7d35], 2.05 Content, T=20, "22.3 C"
        """
    )
    await as_client.expect_nothing()


async def test_figure_18(
    autojump_clock: MockClock, as_client: ScriptedPeer, sensor: Sensor
) -> None:
    """The request is lost, and sent again."""
    await as_client.play(
        """
        --X CON [MID=0x7d36], GET, /temperature, T=31
        @ 2.5
        --> CON [MID=0x7d36], GET, /temperature, T=31
        <-- ACK [MID=0x7d36], 2.05 Content, T=31, "22.3 C"
        """
    )
    await as_client.expect_nothing()
    assert sensor.asked == 1


async def test_figure_19(
    autojump_clock: MockClock, as_client: ScriptedPeer, sensor: Sensor
) -> None:
    """The response is lost: the copy of the request draws it again, and is not acted on."""
    await as_client.play(
        """
        --> CON [MID=0x7d37], GET, /temperature, T=42
        X-- ACK [MID=0x7d37], 2.05 Content, T=42, "22.3 C"
        @ 2.5
        --> CON [MID=0x7d37], GET, /temperature, T=42
        <-- ACK [MID=0x7d37], 2.05 Content, T=42, "22.3 C"
        """
    )
    await as_client.expect_nothing()
    assert sensor.asked == 1


async def test_figure_20(
    autojump_clock: MockClock, as_client: ScriptedPeer, sensor: Sensor, server: Server
) -> None:
    """A separate response, which the client acknowledges."""
    sensor.takes = 5
    await as_client.play(
        """
        --> CON [MID=0x7d38], GET, /temperature, T=53
        <-- ACK [MID=0x7d38]
        <-- CON [MID=$s], 2.05 Content, T=53, "22.3 C"
        --> ACK [MID=$s]
        """
    )
    await as_client.expect_nothing()
    assert server.statistics().delivered == 1


async def test_figure_20_its_ack_is_lost(
    autojump_clock: MockClock, as_client: ScriptedPeer, sensor: Sensor, server: Server
) -> None:
    """The separate response is sent again, and the second ACK ends it."""
    sensor.takes = 5
    await as_client.play(
        """
        --> CON [MID=0x7d38], GET, /temperature, T=53
        <-- ACK [MID=0x7d38]
        <-- CON [MID=$s], 2.05 Content, T=53, "22.3 C"
        --X ACK [MID=$s]
        @ 7..8.1
        <-- CON [MID=$s], 2.05 Content, T=53, "22.3 C"
        --> ACK [MID=$s]
        """
    )
    await as_client.expect_nothing()
    assert sensor.asked == 1
    assert server.statistics().delivered == 1


async def test_figure_20_nobody_acknowledges(
    autojump_clock: MockClock, as_client: ScriptedPeer, sensor: Sensor
) -> None:
    """The separate response is a Confirmable message like any other (section 4.2)."""
    sensor.takes = 5
    as_client.send("CON [MID=0x7d38], GET, /temperature, T=53")
    await as_client.expect("ACK [MID=0x7d38]")
    times = []
    for _ in range(5):
        await as_client.expect('CON [MID=$s], 2.05 Content, T=53, "22.3 C"')
        times.append(trio.current_time())
    await as_client.expect_nothing()
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert 2 <= waits[0] <= 3
    assert waits == pytest.approx([waits[0] * 2**n for n in range(4)])


async def test_figure_21(
    autojump_clock: MockClock, as_client: ScriptedPeer, sensor: Sensor
) -> None:
    """The client has forgotten what it asked: its RST ends the response."""
    sensor.takes = 5
    await as_client.play(
        """
        --> CON [MID=0x7d39], GET, /temperature, T=64
        # CRASH
        <-- ACK [MID=0x7d39]
        <-- CON [MID=$s], 2.05 Content, T=64, "22.3 C"
        --> RST [MID=$s]
        """
    )
    await as_client.expect_nothing()


async def test_figure_22(autojump_clock: MockClock, as_client: ScriptedPeer) -> None:
    """Request and response are Non-confirmable."""
    await as_client.play(
        """
        --> NON [MID=0x7d40], GET, /temperature, T=75
        <-- NON [MID=*], 2.05 Content, T=75, "22.3 C"
        """
    )
    await as_client.expect_nothing()
