"""The command observe."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from coapsep import Code, Message, NotFound, Request, Response, Router, Server
from coapsep.cli.exits import Exit
from coapsep.testing import Network
from tests.shell.command import command
from tests.shell.peer import SERVER

URI = f"{SERVER}/count"


@pytest.fixture
def router() -> Router:
    router = Router()

    @router.get("/count", observable=True)
    async def count(request: Request) -> AsyncGenerator[str, None]:
        for number in range(4):
            yield f"state {number}"
            await trio.sleep(1)
        raise NotFound("it is over")

    router.get("/once")(lambda request: "once")
    return router


def deregistrations(network: Network) -> int:
    """How often the server was told that nobody is interested any more."""
    asked = [sent.message for sent in network.trace]
    return sum(
        isinstance(m, Message) and m.code is Code.GET and m.options.observe == 1 for m in asked
    )


async def test_each_state_is_a_line(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    ran = await command(network, "observe", URI, "-c", "3")
    assert ran == (0, b"state 0\nstate 1\nstate 2\n", "")
    assert deregistrations(network) == 1


async def test_on_a_terminal_as_well(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    ran = await command(network, "observe", URI, "-c", "2", terminal=True)
    assert ran.output == "state 0\nstate 1\n"


async def test_some_seconds_are_enough(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    began = trio.current_time()
    ran = await command(network, "observe", URI, "--seconds", "1.5")
    assert trio.current_time() - began == pytest.approx(1.5)
    assert ran == (0, b"state 0\nstate 1\n", "")
    assert deregistrations(network) == 1


async def test_an_error_ends_it(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    ran = await command(network, "observe", URI)
    assert ran.code == Exit.CLIENT_ERROR
    assert ran.output == "state 0\nstate 1\nstate 2\nstate 3\n"
    assert ran.errors == "4.04 Not Found: it is over\n"
    assert deregistrations(network) == 0


async def test_what_cannot_be_observed_is_shown_once(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    ran = await command(network, "observe", f"{SERVER}/once")
    assert (ran.code, ran.output) == (0, "once\n")
    assert ran.errors == "coapsep: the server does not tell about this resource any more\n"


async def test_what_is_not_there(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    ran = await command(network, "observe", f"{SERVER}/nothing")
    assert (ran.code, ran.output, ran.errors) == (Exit.CLIENT_ERROR, "", "4.04 Not Found\n")


async def test_nobody_there(autojump_clock: MockClock, network: Network) -> None:
    ran = await command(network, "observe", URI, "--timeout", "3")
    assert (ran.code, ran.output) == (Exit.TIMED_OUT, "")
    assert "no response in 3 s" in ran.errors


async def test_a_server_that_falls_silent(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    """The registration that is due when Max-Age is over finds nobody."""
    with trio.move_on_after(300):
        async with trio.open_nursery() as nursery:

            async def cut() -> None:
                await trio.sleep(1.5)
                network.partition({SERVER})

            nursery.start_soon(cut)
            ran = await command(network, "observe", URI)
    assert ran.code == Exit.TIMED_OUT
    assert ran.output == "state 0\nstate 1\n"


async def test_json(autojump_clock: MockClock, network: Network, server: Server) -> None:
    ran = await command(network, "observe", URI, "-c", "2", "--json")
    assert [state["payload"] for state in ran.objects] == ["state 0", "state 1"]
    first, second = (state["options"]["Observe"] for state in ran.objects)
    assert (second - first) % 2**24 < 2**23


async def test_the_newest_state_is_in_the_file(
    autojump_clock: MockClock, network: Network, server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "state"
    ran = await command(network, "observe", URI, "-c", "3", "-o", str(file))
    assert (ran.code, ran.output) == (0, "")
    assert file.read_text() == "state 2"


async def test_ctrl_c_tells_the_server(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    """SIGINT cancels the command, wherever it is."""
    with trio.move_on_after(1.5):
        await command(network, "observe", URI)
        pytest.fail("it did not go on")
    await trio.sleep(1)
    assert deregistrations(network) == 1
    assert server.statistics().observers == 0


async def test_a_long_state_comes_whole(
    autojump_clock: MockClock, network: Network, server: Server, router: Router
) -> None:
    router.get("/long", observable=True)(lambda request: Response(Code.CONTENT, b"x" * 3000))
    ran = await command(network, "observe", f"{SERVER}/long", "-c", "1", "-q")
    assert ran.data == b"x" * 3000 + b"\n"
