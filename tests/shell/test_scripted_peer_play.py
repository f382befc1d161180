"""Scripts that a ScriptedPeer plays: arrows, losses, times, and what is said when they fail."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from coapsep import Address
from coapsep.testing import Network, ScriptedPeer, ScriptFailed, open_scripted_peer

ONE, TWO = Address("10.0.0.1", 5683), Address("10.0.0.2", 5683)


@pytest.fixture
async def one(network: Network) -> AsyncGenerator[ScriptedPeer, None]:
    async with open_scripted_peer(network, ONE.host, remote=TWO) as peer:
        yield peer


@pytest.fixture
async def two(network: Network) -> AsyncGenerator[ScriptedPeer, None]:
    async with open_scripted_peer(network, TWO.host, remote=ONE) as peer:
        yield peer


async def both(one: ScriptedPeer, first: str, two: ScriptedPeer, second: str) -> None:
    """Let both play at once. A failure leaves as it is."""
    failures: list[ScriptFailed] = []

    async def play(peer: ScriptedPeer, script: str) -> None:
        try:
            await peer.play(script)
        except ScriptFailed as exc:
            failures.append(exc)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(play, one, first)
        nursery.start_soon(play, two, second)
    if failures:
        raise failures[0]


async def test_both_sides_of_a_figure(
    autojump_clock: MockClock, one: ScriptedPeer, two: ScriptedPeer
) -> None:
    await both(
        one,
        """
        # the server
        <-- CON [MID=$m], GET, /temperature, T=$t

        --> ACK [MID=$m], 2.05 Content, T=$t, "22.3 C"
        """,
        two,
        """
        --> CON [MID=0x7d34], GET, /temperature, T=20
        <-- ACK [MID=0x7d34], 2.05 Content, T=20, "22.3 C"
        """,
    )


async def test_what_is_lost_is_lost_alone(
    autojump_clock: MockClock, network: Network, one: ScriptedPeer, two: ScriptedPeer
) -> None:
    await both(
        one,
        """
        --X CON [MID=0x0001]
        --> CON [MID=0x0002]
        X-- RST [MID=$m]
        <-- RST [MID=$m]
        """,
        two,
        """
        <-- CON [MID=$m]
        --> RST [MID=$m]
        @ 1
        --> RST [MID=$m]
        """,
    )
    assert [datagram.lost for datagram in network.trace] == ["filter", "", "filter", ""]


async def test_only_what_the_remote_sends_is_lost(
    autojump_clock: MockClock, network: Network, one: ScriptedPeer, two: ScriptedPeer
) -> None:
    async with (
        open_scripted_peer(network, "10.0.0.3", remote=ONE) as third,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(one.play, "X-- RST [MID=0x0002]")
        await trio.testing.wait_all_tasks_blocked()
        third.send("RST [MID=0x0003]")
        two.send("RST [MID=0x0002]")
        two.send("RST [MID=0x0004]")
    await one.expect("RST [MID=0x0003]", source=third.address)
    await one.expect("RST [MID=0x0004]")


async def test_whoever_sent_what_is_lost_is_the_remote(
    autojump_clock: MockClock, network: Network, two: ScriptedPeer
) -> None:
    async with open_scripted_peer(network, ONE.host) as one, trio.open_nursery() as nursery:
        nursery.start_soon(one.play, "X-- CON [MID=$m]\n--> RST [MID=$m]")
        await trio.testing.wait_all_tasks_blocked()
        two.send("CON [MID=0x0007]")
        await two.expect("RST [MID=0x0007]")


async def test_what_is_lost_must_fit(
    autojump_clock: MockClock, one: ScriptedPeer, two: ScriptedPeer
) -> None:
    with pytest.raises(ScriptFailed, match=r"type: +expected ACK, got RST"):
        await both(one, "X-- ACK [MID=*]", two, "@ 1\n--> RST [MID=0x0001]")


async def test_times_are_seconds_from_the_beginning(
    autojump_clock: MockClock, one: ScriptedPeer, two: ScriptedPeer
) -> None:
    await trio.sleep(100)
    await both(
        one,
        """
        @ 2..2.5
        <-- CON [MID=0x0001]
        @ 3..4.5
        X-- CON [MID=0x0002]
        @ 10
        --> RST [MID=0x0001]
        @ 12.5
        """,
        two,
        """
        @ 2.1
        --> CON [MID=0x0001]
        @ 4
        --> CON [MID=0x0002]
        @ 10..10.1
        <-- RST [MID=0x0001]
        """,
    )
    assert trio.current_time() == pytest.approx(112.5)


@pytest.mark.parametrize(
    ("script", "expected", "got"),
    [
        ("@ 2..3\n<-- CON [MID=*]", "it 2 to 3 s after the beginning", ", after 1.01 s"),
        ("@ 2..3\nX-- CON [MID=*]", "it 2 to 3 s after the beginning", ", after 1 s"),
        ("@ 0.5..1\n<-- CON [MID=*]", "CON [MID=*]", "nothing until 1 s"),
        ("@ 0.5..0.7\nX-- CON [MID=*]", "CON [MID=*]", "nothing until 0.7 s"),
        ("@ 5", "nothing until 5 s", "CON [MID=0x0001], from"),
    ],
)
async def test_out_of_time(
    autojump_clock: MockClock,
    one: ScriptedPeer,
    two: ScriptedPeer,
    script: str,
    expected: str,
    got: str,
) -> None:
    with pytest.raises(ScriptFailed) as caught:
        await both(one, script, two, "@ 1\n--> CON [MID=0x0001]")
    lines = str(caught.value).splitlines()
    assert lines[1] == f"expected: {expected}"
    assert got in lines[2]


async def test_a_failure_says_where_in_the_script(
    autojump_clock: MockClock, one: ScriptedPeer, two: ScriptedPeer
) -> None:
    with pytest.raises(ScriptFailed) as caught:
        await both(
            one,
            """
            --> CON [MID=0x7d34], GET, /temperature
            <-- ACK [MID=0x7d34], 2.05 Content

            @ 5
            """,
            two,
            """
            <-- CON [MID=0x7d34], GET, /temperature
            --> RST [MID=0x7d34]
            """,
        )
    lines = str(caught.value).splitlines()
    assert lines[1:10] == [
        "expected: ACK [MID=0x7d34], 2.05 Content",
        "got:      RST [MID=0x7d34], from 10.0.0.2:5683",
        "type:     expected ACK, got RST",
        "code:     expected 2.05 Content, got Empty",
        "",
        "  --> CON [MID=0x7d34], GET, /temperature",
        "> <-- ACK [MID=0x7d34], 2.05 Content",
        "  @ 5",
        "",
    ]
    assert lines[10].split() == ["10.0.0.1:5683", "10.0.0.2:5683"]


@pytest.mark.parametrize(
    ("script", "row", "why"),
    [
        ("CON [MID=0x0001]", 1, "expected -->, <--, --X, X--"),
        ("\n<-> CON [MID=0x0001]", 2, "expected -->, <--, --X, X--"),
        ("-->", 1, "a type and a message ID"),
        ("# first\n--> CON [MID=1]", 2, "a type and a message ID"),
        ("@ soon", 1, "expected a time, such as"),
        ("@ 3..2", 1, "ends before it begins"),
        ("@ 2..3\n--> CON [MID=0x0001]", 2, "comes what the other side sends"),
        ("@ 2..3\n@ 4", 2, "comes what the other side sends"),
        ("--> CON [MID=0x0001]\n@ 2..3\n", 2, "nothing follows"),
    ],
)
async def test_a_script_that_is_wrong_sends_nothing(
    network: Network, one: ScriptedPeer, script: str, row: int, why: str
) -> None:
    with pytest.raises(ValueError, match=f"in line {row} of the script: .*{why}"):
        await one.play(script)
    assert not network.trace


async def test_a_name_that_is_not_known(network: Network, one: ScriptedPeer) -> None:
    with pytest.raises(ValueError, match=r"\$a stands for nothing yet"):
        await one.play("--X ACK [MID=$a]")
    one.send("ACK [MID=0x0001]")
    assert [datagram.lost for datagram in network.trace] == [""]
