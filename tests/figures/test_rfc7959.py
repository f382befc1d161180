"""RFC 7959: what its examples come to with a side that knows no block-wise transfer.

Block1 and Block2 are critical (section 2.1): whoever does not understand them says so.
"""

from __future__ import annotations

from trio.testing import MockClock

from coapsep import BadResponse, Client
from coapsep.testing import ScriptedPeer
from tests.figures.sides import ask_while_playing


async def test_figure_2_by_our_client(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """The first block is not taken for the whole."""
    outcome = await ask_while_playing(
        client,
        as_server,
        """
        <-- CON [MID=$m], GET, /status, T=$t
        --> ACK [MID=$m], 2.05 Content, T=$t, 2:0/1/128, "the first of several"
        """,
        path="/status",
    )
    assert isinstance(outcome.failure, BadResponse)
    await as_server.expect_nothing()
