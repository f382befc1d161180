"""A ScriptedPeer: lines that are sent and expected, and what it says when they do not fit."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from coapsep import Address, Code, EndpointCrashed, Request, Router, Server, Type
from coapsep.message.codec import empty
from coapsep.testing import Network, ScriptedPeer, ScriptFailed, open_network, open_scripted_peer
from tests.shell.peer import SERVER

ADDRESS = Address(SERVER, 5683)


@pytest.fixture
async def scripted(network: Network) -> AsyncGenerator[ScriptedPeer, None]:
    """It talks to the server."""
    async with open_scripted_peer(network, "10.0.0.2", 40000, remote=ADDRESS) as peer:
        yield peer


@pytest.fixture
async def other(network: Network) -> AsyncGenerator[ScriptedPeer, None]:
    """In the place of the server: it talks to whoever sent last."""
    async with open_scripted_peer(network, SERVER) as peer:
        yield peer


@pytest.fixture
def router() -> Router:
    router = Router()

    @router.get("/temperature")
    def temperature(request: Request) -> str:
        return "22.3 C"

    return router


# -- one line at a time --------------------------------------------------------------------


async def test_lines_are_sent_and_expected(
    autojump_clock: MockClock, server: Server, scripted: ScriptedPeer
) -> None:
    sent = scripted.send("CON [MID=0x7d34], GET, /temperature, T=20")
    assert (sent.code, sent.mid) == (Code.GET, 0x7D34)
    got = await scripted.expect('ACK [MID=0x7d34], 2.05, T=20, Content-Format=0, "22.3 C"')
    assert (got.type, got.payload) == (Type.ACK, b"22.3 C")
    await scripted.expect_nothing()
    assert trio.current_time() == pytest.approx(300.02)


async def test_names_last_as_long_as_the_peer(
    autojump_clock: MockClock, scripted: ScriptedPeer, other: ScriptedPeer
) -> None:
    scripted.send("CON [MID=0x7d34], GET, /slow, T=20")
    await other.expect("CON [MID=$a], GET, /slow, T=$t")
    other.send("ACK [MID=$a]")
    other.send('CON [MID=0x0001], 2.05, T=$t, "done"')
    await scripted.expect("ACK [MID=0x7d34]")
    await scripted.expect('CON [MID=$b], 2.05, T=20, "done"')
    scripted.send("ACK [MID=$b]")
    await other.expect("ACK [MID=0x0001]")
    scripted.send("CON [MID=0x7d35], GET, /slow, T=20")
    with pytest.raises(ScriptFailed, match=re.escape("MID:      expected $a, which is 0x7d34")):
        await other.expect("CON [MID=$a], GET, /slow, T=$t")


async def test_a_line_that_does_not_fit_gives_no_names(
    autojump_clock: MockClock, scripted: ScriptedPeer, other: ScriptedPeer
) -> None:
    scripted.send("CON [MID=0x7d34], GET, /a")
    with pytest.raises(ScriptFailed):
        await other.expect("CON [MID=$a], GET, /b")
    with pytest.raises(ValueError, match="stands for nothing yet"):
        other.send("ACK [MID=$a]", to=scripted.address)


async def test_bytes_that_are_no_message(
    autojump_clock: MockClock, scripted: ScriptedPeer, server: Server
) -> None:
    scripted.send_bytes(b"\x40\x01\x7d\x34\xff")
    await scripted.expect("RST [MID=0x7d34]")


async def test_ipv6(autojump_clock: MockClock, network: Network) -> None:
    # The host is known in one normal form, however it was written.
    there = Address("2001:DB8:0::1", 5683)
    async with (
        open_scripted_peer(network, "2001:db8::1") as one,
        open_scripted_peer(network, "2001:db8::2", remote=there) as two,
    ):
        two.send("CON [MID=0x0001]")
        await one.expect("CON [MID=$m]")
        assert one.remote == two.address
        one.send("RST [MID=$m]")
        await two.expect("RST [MID=0x0001]")


# -- several remotes -----------------------------------------------------------------------


async def test_whoever_was_heard_last_is_the_remote(
    autojump_clock: MockClock, network: Network, scripted: ScriptedPeer, other: ScriptedPeer
) -> None:
    assert other.remote is None
    with pytest.raises(ValueError, match="nobody to send to"):
        other.send("RST [MID=0x0001]")
    async with open_scripted_peer(network, "10.0.0.3", 0, remote=ADDRESS) as third:
        scripted.send("CON [MID=0x0002]")
        third.send("CON [MID=0x0003]")
        await other.expect("CON [MID=0x0002]")
        assert other.remote == scripted.address
        other.send("RST [MID=0x0002]")
        await other.expect("CON [MID=0x0003]")
        other.send("RST [MID=0x0003]")
        other.send("RST [MID=0x0004]", to=scripted.address)
        other.send_bytes(empty(Type.RST, 5), to=scripted.address)
        await third.expect("RST [MID=0x0003]")
        await scripted.play("<-- RST [MID=0x0002]\n<-- RST [MID=0x0004]\n<-- RST [MID=0x0005]")


async def test_one_of_several_can_be_waited_for(
    autojump_clock: MockClock, network: Network, scripted: ScriptedPeer, other: ScriptedPeer
) -> None:
    async with open_scripted_peer(network, "10.0.0.3", remote=ADDRESS) as third:
        scripted.send("CON [MID=0x0002]")
        third.send("CON [MID=0x0003]")
        await other.expect("CON [MID=0x0003]", source=third.address)
        await other.expect("CON [MID=0x0002]")
        with pytest.raises(ScriptFailed, match="nothing in 5 s"):
            await other.expect("CON [MID=*]", source=third.address, within=5)


async def test_a_remote_that_was_given_is_the_only_one(
    autojump_clock: MockClock, network: Network, scripted: ScriptedPeer
) -> None:
    async with open_scripted_peer(network, "10.0.0.3", remote=scripted.address) as stranger:
        stranger.send("ACK [MID=0x0001]")
        with pytest.raises(
            ScriptFailed, match=r"from: +expected 10\.0\.0\.1:5683, got 10\.0\.0\.3"
        ):
            await scripted.expect("ACK [MID=0x0001]")
        stranger.send("ACK [MID=0x0001]")
        await scripted.expect("ACK [MID=0x0001]", source=stranger.address)
        assert scripted.remote == ADDRESS


async def test_members_of_a_group_answer_from_their_own_addresses(
    autojump_clock: MockClock, network: Network, other: ScriptedPeer
) -> None:
    other.transport.join("224.0.1.187")
    group = Address("224.0.1.187", 5683)
    async with open_scripted_peer(network, "10.0.0.2", 0, remote=group) as asker:
        await asker_and_member(asker, other)
        assert asker.remote == group


async def asker_and_member(asker: ScriptedPeer, member: ScriptedPeer) -> None:
    asker.send("NON [MID=0x0001], GET, /a, T=01")
    await member.expect("NON [MID=*], GET, /a, T=$t")
    member.send("NON [MID=0x0002], 2.05, T=$t")
    await asker.expect("NON [MID=*], 2.05, T=01")


# -- what does not fit ---------------------------------------------------------------------


async def test_a_failure_says_all_that_helps(
    autojump_clock: MockClock, server: Server, scripted: ScriptedPeer
) -> None:
    scripted.send("CON [MID=0x7d34], GET, /temperature, T=20")
    with pytest.raises(ScriptFailed) as caught:
        await scripted.expect('ACK [MID=0x7d34], 2.05 Content, T=21, "22.3 C"')
    assert isinstance(caught.value, AssertionError)
    got = 'ACK [MID=0x7d34], 2.05 Content, T=20, Content-Format=0, "22.3 C"'
    lines = str(caught.value).splitlines()
    assert lines[:6] == [
        "not as the script says",
        'expected:       ACK [MID=0x7d34], 2.05 Content, T=21, "22.3 C"',
        f"got:            {got}, from 10.0.0.1:5683",
        "token:          expected 21, got 20",
        "Content-Format: expected none, got 0",
        "",
    ]
    assert lines[6].split() == ["10.0.0.2:40000", "10.0.0.1:5683"]
    assert "CON [MID=0x7d34], GET, /temperature, T=20" in str(caught.value)


async def test_waiting_in_vain_ends(autojump_clock: MockClock, scripted: ScriptedPeer) -> None:
    with pytest.raises(ScriptFailed) as caught:
        await scripted.expect("ACK [MID=$a]")
    assert trio.current_time() == pytest.approx(1000)
    assert str(caught.value).splitlines() == [
        "not as the script says",
        "expected: ACK [MID=$a]",
        "got:      nothing in 1000 s",
        "",
        "(no datagrams)",
    ]


async def test_waiting_in_vain_tells_the_names(
    autojump_clock: MockClock, scripted: ScriptedPeer, other: ScriptedPeer
) -> None:
    other.send("CON [MID=0x7d34]", to=scripted.address)
    await scripted.expect("CON [MID=$a]")
    with pytest.raises(ScriptFailed) as caught:
        await scripted.expect("CON [MID=$a], 2.05, T=$t", within=2.5)
    assert str(caught.value).splitlines()[2:4] == ["got:      nothing in 2.5 s", "$a:       0x7d34"]


async def test_what_has_arrived_is_there_at_once(
    autojump_clock: MockClock, scripted: ScriptedPeer, other: ScriptedPeer
) -> None:
    other.send("ACK [MID=0x0001]", to=scripted.address)
    await trio.sleep(1)
    await scripted.expect("ACK [MID=0x0001]", within=0)


async def test_silence_is_broken_at_once(
    autojump_clock: MockClock, scripted: ScriptedPeer, other: ScriptedPeer
) -> None:
    other.send("ACK [MID=0x0001]", to=scripted.address)
    with pytest.raises(ScriptFailed) as caught:
        await scripted.expect_nothing(5)
    assert trio.current_time() == pytest.approx(0.01)
    assert str(caught.value).splitlines()[1:3] == [
        "expected: nothing for 5 s",
        "got:      ACK [MID=0x0001], from 10.0.0.1:5683",
    ]


async def test_what_has_arrived_unasked_breaks_it_too(
    autojump_clock: MockClock, scripted: ScriptedPeer, other: ScriptedPeer
) -> None:
    other.send("ACK [MID=0x0001]", to=scripted.address)
    await trio.sleep(1)
    with pytest.raises(ScriptFailed):
        await scripted.expect_nothing(0)


async def test_what_is_malformed_fits_nothing(
    autojump_clock: MockClock, scripted: ScriptedPeer, other: ScriptedPeer
) -> None:
    other.send_bytes(b"\x4f\x01\x7d\x34", to=scripted.address)
    with pytest.raises(ScriptFailed, match="malformed: token length 15, 4 bytes, from 10"):
        await scripted.expect("CON [MID=*], ...")


async def test_what_does_not_fit_the_buffer_is_told(
    autojump_clock: MockClock, scripted: ScriptedPeer, other: ScriptedPeer
) -> None:
    for mid in range(1030):
        other.send(f"NON [MID={mid:#06x}]", to=scripted.address)
    await trio.sleep(1)
    for mid in range(1024):
        await scripted.expect(f"NON [MID={mid:#06x}]")
    with pytest.raises(ScriptFailed, match=r"6 more did not fit into the buffer of 1024\."):
        await scripted.expect("NON [MID=0x0400]")


# -- mistakes of the test --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("CON [MID=*], GET, /", "no open fields"),
        ("CON [MID=$a], GET, /", "stands for nothing yet"),
        ("CON [MID=0x0001], GET, /, Uri-Port=invalid", "write the value, as 0x"),
        (
            f"CON [MID=0x0001], GET, /, T={'00' * 65_805}",
            "a token has at most 65804 bytes",
        ),
        ("CON [MID=0x0001], GTE, /", "a method such as GET"),
    ],
)
async def test_a_line_that_cannot_be_sent(scripted: ScriptedPeer, line: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)) as caught:
        scripted.send(line)
    assert line in str(caught.value)


async def test_a_blocked_transport(scripted: ScriptedPeer) -> None:
    scripted.transport.blocked = True
    with pytest.raises(RuntimeError, match="blocked to False"):
        scripted.send("CON [MID=0x0001]")


async def test_others_are_addresses(network: Network, scripted: ScriptedPeer) -> None:
    host: Any = SERVER
    with pytest.raises(TypeError, match="remote is an Address, such as"):
        async with open_scripted_peer(network, "10.0.0.3", remote=host):
            raise AssertionError("it opened")
    with pytest.raises(TypeError, match="to is an Address, such as"):
        scripted.send("CON [MID=0x0001]", to=host)
    with pytest.raises(TypeError, match="source is an Address, such as"):
        await scripted.expect("CON [MID=*]", source=host)
    network.bind("10.0.0.3").close()  # the address was given back


# -- lifetime --------------------------------------------------------------------------------


async def test_nothing_outlives_the_block(autojump_clock: MockClock, network: Network) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    with pytest.raises(KeyError, match="mine"):
        async with open_scripted_peer(network, "10.0.0.2"):
            raise KeyError("mine")
    assert trio.lowlevel.current_statistics().tasks_living == before
    network.bind("10.0.0.2").close()


async def test_waiting_can_be_cancelled(autojump_clock: MockClock, scripted: ScriptedPeer) -> None:
    for script in ("<-- ACK [MID=*]", "X-- ACK [MID=*]", "@ 5"):
        with trio.move_on_after(1) as scope:
            await scripted.play(script)
        assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(3)


async def test_a_cancelled_loss_loses_nothing(
    autojump_clock: MockClock, scripted: ScriptedPeer, other: ScriptedPeer
) -> None:
    with trio.move_on_after(1):
        await scripted.play("X-- ACK [MID=*]")
    other.send("ACK [MID=0x0001]", to=scripted.address)
    await scripted.expect("ACK [MID=0x0001]")


async def test_all_that_is_async_checkpoints(
    autojump_clock: MockClock, scripted: ScriptedPeer, other: ScriptedPeer
) -> None:
    other.send("ACK [MID=0x0001]", to=scripted.address)
    await trio.sleep(1)
    with trio.testing.assert_checkpoints():
        await scripted.expect("ACK [MID=0x0001]")
    with trio.testing.assert_checkpoints():
        await scripted.expect_nothing(0)
    with trio.testing.assert_checkpoints():
        await scripted.play("--> ACK [MID=0x0001]")
    with trio.testing.assert_no_checkpoints():
        scripted.send("ACK [MID=0x0001]")


async def test_a_transport_that_is_closed_ends_the_block(network: Network) -> None:
    with pytest.raises(EndpointCrashed):
        async with open_scripted_peer(network, "10.0.0.2") as peer:
            peer.transport.close()
            await trio.sleep_forever()


async def test_without_a_trace_there_is_no_ladder(autojump_clock: MockClock) -> None:
    async with (
        open_network(trace_limit=0) as network,
        open_scripted_peer(network, "10.0.0.2") as peer,
    ):
        with pytest.raises(ScriptFailed, match="no datagrams"):
            await peer.expect("ACK [MID=*]", within=1)
